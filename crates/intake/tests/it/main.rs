//! The native door, seen from outside.

mod lossless;
mod native;
