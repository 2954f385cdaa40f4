//! The native door, seen from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod classify;
mod entries;
mod kept;
mod lossless;
mod messages;
mod native;
mod otel;
mod python;
mod redact;
mod rollbar;
mod sentry;
mod shared_keys;
