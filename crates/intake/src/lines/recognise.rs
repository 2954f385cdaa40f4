//! Which format a line is in.
//!
//! The first byte rules out most formats, so that a line is looked at by one or two parsers and not by all.

use super::assemble::Line;
use super::clock::Clock;
use super::cursor::Cursor;
use super::event::Event;
use super::{Format, access, bracketed, journal, labelled, syslog, timestamped, uwsgi};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A line understood.
#[derive(Debug)]
pub(super) struct Recognised {
    pub(super) format: Format,
    pub(super) event: Event,
    /// The line was UTF-8, but what it describes was not.
    pub(super) not_utf8: bool,
}

/// What a parser found.
pub(super) type Found = Option<(Format, Event)>;

/// Recognises a line; `text` is the text of it without white space at the end.
pub(super) fn recognise(line: &Line<'_>, text: &str, clock: &Clock) -> Recognised {
    let start = text.trim_start();
    let found = match start.as_bytes().first() {
        Some(b'{') if line.truncated_bytes == 0 => return json(start, text),
        Some(b'[') => uwsgi::parse(start, clock)
            .or_else(|| bracketed::parse(start, clock))
            .or_else(|| labelled::parse(start))
            .or_else(|| access::parse(start, line.not_utf8, clock)),
        Some(b'<') => syslog::with_priority(start, clock),
        Some(b'0'..=b'9') => timestamped::parse(start, clock).or_else(|| access::parse(start, line.not_utf8, clock)),
        Some(b'A'..=b'Z') => labelled::parse(start)
            .or_else(|| timestamped::level_first(start, clock))
            .or_else(|| syslog::without_year(start, clock))
            .or_else(|| access::parse(start, line.not_utf8, clock)),
        _ => access::parse(start, line.not_utf8, clock),
    };
    let (format, event) = found.unwrap_or_else(|| (Format::Text, plain(text, clock)));
    Recognised { format, event, not_utf8: false }
}

/// Whether a text is one JSON object.
pub(super) fn is_object(text: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

fn json(start: &str, text: &str) -> Recognised {
    let Ok(object) = serde_json::from_str::<Map<String, Value>>(start) else {
        return Recognised { format: Format::Text, event: Event::with_message(text), not_utf8: false };
    };
    if object.contains_key("__REALTIME_TIMESTAMP") {
        let (event, not_utf8) = journal::from_json(object);
        return Recognised { format: Format::Journal, event, not_utf8 };
    }
    let event = Event { timestamp: json_time(&object), verbatim: Some(start.to_owned()), ..Event::default() };
    Recognised { format: Format::Json, event, not_utf8: false }
}

/// The time of a JSON line, for the lines without one that follow it.
fn json_time(object: &Map<String, Value>) -> Option<Timestamp> {
    let value = ["timestamp", "@timestamp", "time", "ts", "datetime"].iter().find_map(|key| object.get(*key))?;
    let (moment, _) = match value {
        Value::String(text) => event::Timestamp::parse(text)?,
        Value::Number(number) => match number.as_i64() {
            Some(number) => event::Timestamp::from_epoch(number)?,
            None => event::Timestamp::from_epoch_float(number.as_f64()?)?,
        },
        _ => return None,
    };
    Timestamp::from_microsecond(moment.as_micros()).ok()
}

/// What follows the time in a line of dpkg's log.
const DPKG_WORDS: [&str; 10] =
    ["startup", "status", "install", "upgrade", "configure", "trigproc", "triggers", "remove", "purge", "conffile"];

/// A line that no format claims. If it begins with a time, as dpkg's do, the event has that time.
fn plain(text: &str, clock: &Clock) -> Event {
    let mut cursor = Cursor::new(text);
    let written = if text.starts_with(|first: char| first.is_ascii_digit()) { clock.iso(&mut cursor) } else { None };
    let mut event = Event { timestamp: written.map(|written| written.timestamp), ..Event::with_message(text) };
    let next = cursor.rest.trim_start().split(' ').next().unwrap_or_default();
    if written.is_some_and(|written| !written.has_zone && !written.parted_by_t) && DPKG_WORDS.contains(&next) {
        event.text("source", "dpkg");
    }
    event
}
