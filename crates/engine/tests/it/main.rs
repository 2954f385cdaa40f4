//! The engine, seen from outside.

mod docs;
mod harness;
mod pages;
mod pruned;
