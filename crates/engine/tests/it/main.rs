//! The engine, seen from outside.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod docs;
mod elastic;
mod grouped;
mod harness;
mod pages;
mod pruned;
