//! What the crate promises, through its public items alone.

mod channels;
mod configuration;
mod detectors;
mod documented;
mod hostile;
mod outflow;
mod render;
mod rules;
mod sign;
mod states;
mod watch;

use std::time::Duration;

use alerts::{Notice, On, Rule, Trigger};
use event::Timestamp;
use serde_json::{Map, Value};

/// 2026-01-02 03:04:05 UTC and so many seconds.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_767_323_045_000_000 + i64::try_from(seconds).expect("a few years") * 1_000_000)
}

fn map(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).expect("an object")
}

fn rule(text: &str) -> Rule {
    Rule::read("mine", &map(text)).expect("a rule")
}

/// The notice of a crash, with everything that one can have.
fn crash() -> Notice {
    let mut notice = Notice::new(On::NewIssue.name(), Trigger::NewIssue, at(0));
    notice.id = alerts::notice_id(&["new_issue", "42"]);
    notice.title = "attempt to divide by zero".to_owned();
    notice.log = "shop".to_owned();
    notice.environment = Some("production".to_owned());
    notice.level = Some(event::Level::Error);
    notice.issue = Some("42".to_owned());
    notice.occurrences = Some(1);
    notice.users = Some(1);
    notice.release = Some("1.1".to_owned());
    notice.suspect_deploy = Some("1.1 by ann".to_owned());
    notice.method = Some("GET".to_owned());
    notice.path = Some("/checkout?email=[REDACTED:email]&step=3".to_owned());
    notice.message = Some("thread 'main' panicked:\n  attempt to divide by zero".to_owned());
    notice.link = Some("https://everlog.example.com/issues/42".to_owned());
    notice.first_seen = Some(at(0));
    notice.last_seen = Some(at(0));
    notice.facts = vec![alerts::Fact::new("Browser", "Firefox 128"), alerts::Fact::new("User", "7")];
    notice.trail = vec!["03:04:01 POST /login 200".to_owned(), "03:04:03 POST /cart 200".to_owned()];
    notice
}

/// The value, written and read again as state is kept.
fn kept<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_string(value).expect("state is JSON");
    // What a later version adds is skipped by this one.
    let mut later: Value = serde_json::from_str(&text).expect("JSON");
    if let Some(fields) = later.as_object_mut() {
        fields.insert("added_later".to_owned(), Value::Bool(true));
    }
    serde_json::from_value(later).expect("state is read back")
}

fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}
