//! What the targets do, by what they try.

pub mod decoders;
#[cfg(feature = "questions")]
pub mod questions;
