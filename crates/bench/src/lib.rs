//! What Everlog is measured with: a made-up day of a web API whose answers are known, and a sender that costs little.
//!
//! `everlog bench` (for whoever has a machine) and `cargo xtask bench` (for whoever changes Everlog) send the same events.

mod facts;
mod generate;
mod load;
mod tabs;

pub use self::facts::{Facts, Newest};
pub use self::generate::Generator;
pub use self::load::{Batches, Door, Protocol, Sent, Source, Steady, send};
pub use self::tabs::{COLUMNS, push_row};

/// A word that occurs in one event of a day.
pub const NEEDLE: &str = "needle_7";

/// What a search for a part of a message looks for.
pub const PART: &str = "timeout";

/// Two words that errors have in their message, seldom both.
pub const TWO_WORDS: [&str; 2] = ["connection", "error"];

/// How a path begins of which failures are looked for.
pub const PATH_START: &str = "/api/v1/orders";
