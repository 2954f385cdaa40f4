//! The engine, seen from outside.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod docs;
mod harness;
mod pages;
mod pruned;
