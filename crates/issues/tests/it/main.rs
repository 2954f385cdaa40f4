//! Issues, seen from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod corpus;
mod explained;
mod life;
mod properties;
mod robust;
