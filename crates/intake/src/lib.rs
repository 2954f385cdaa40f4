//! Bytes in, events out: decoders for everything Everlog accepts.
//!
//! Nothing here performs IO or asks for the time, and no input makes it panic: what cannot be read is returned as
//! [`Refused`], with the reason, and the events around it are kept.

pub mod azure;
pub mod body;
pub mod causes;
pub mod classify;
mod decode;
pub mod elasticsearch;
mod entries;
mod exception;
mod fill;
mod frames;
pub mod framing;
pub mod ga4;
mod gelf;
pub mod keys;
pub mod lines;
mod messages;
mod normalise;
pub mod otel;
mod python;
mod raw;
mod reading;
pub mod redact;
pub mod rollbar;
pub mod sentry;
mod shaped;
pub mod visitor;
mod vocabulary;

pub use decode::{Decoded, Limits, Reason, Refused, native};
pub use entries::{entries, form};
pub use gelf::Pieces;
pub use messages::{Messages, Protocol, gelf};
pub use python::records;
