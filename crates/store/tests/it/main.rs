//! The tests of the store at its own boundary: rows go in through [`store::Store::append`], documents come out of
//! a snapshot. One binary, so that it is linked once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by stopping there")]

mod crash;
mod damage;
mod events;
mod faults;
mod folder;
mod lookup;
mod lossless;
mod model;
mod once;
mod random;
mod sim;
mod tiers;
