//! When to call a human: rule, state, notice.
//!
//! Everything is a value in and a value out: nothing here performs IO, asks for the time or sends anything. Whatever is
//! remembered between two steps is a struct with a bound, kept as JSON by the caller; fields that a later version does
//! not know are skipped, those that an earlier one did not write have a default.

pub mod backoff;
mod channel;
mod clean;
pub mod configuration;
pub mod disk;
mod hours;
mod moment;
mod notice;
mod outflow;
mod passing;
pub mod past;
pub mod render;
mod rule;
mod settings;
pub mod sign;
pub mod silence;
pub mod spike;
mod state;
mod trigger;
pub mod watch;

pub use channel::{CHANNEL_KEYS, Channel, HOURLY_CAP, HOURLY_CAP_MAX, TRACKER};
pub use hours::QuietHours;
pub use moment::span_text;
pub use notice::{Fact, Notice, notice_id, route};
pub use outflow::{Admission, Limits, Outflow, line_key};
pub use passing::{ERRORS_A_MINUTE, ERRORS_OF_ISSUE_A_MINUTE, Passing};
pub use rule::{Limit, RULE_KEYS, Rule, read_rules};
pub use settings::SettingError;
pub use state::{Change, GROUPS_MAX, Hold, Measurement, Phase, Reason, State, What, step};
pub use trigger::{On, Trigger};
