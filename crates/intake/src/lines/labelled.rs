//! Lines that begin with a label: API Logger's text entries, and Python's `LEVEL:logger:message`.

use super::clock::Clock;
use super::cursor::Cursor;
use super::event::Event;
use super::level::{self, Level};
use super::recognise::Found;
use super::{Format, access};

/// A label of API Logger and what it means.
struct Label {
    label: &'static str,
    stream: &'static str,
    level: Level,
    /// No other program writes this label, so that one blank after it is enough, as before a heading.
    unmistakable: bool,
}

const LABELS: [Label; 9] = [
    Label { label: "INFO", stream: "INFO", level: Level::Info, unmistakable: false },
    Label { label: "WARNING", stream: "WARN", level: Level::Warning, unmistakable: false },
    Label { label: "DEBUG", stream: "DEBUG", level: Level::Debug, unmistakable: false },
    Label { label: "ERROR", stream: "ERROR", level: Level::Error, unmistakable: false },
    Label { label: "LOGIN", stream: "LOGIN", level: Level::Info, unmistakable: true },
    Label { label: "SECURITY ALERT", stream: "SECURITY ALERT", level: Level::Warning, unmistakable: true },
    Label { label: "SECURITY", stream: "SECURITY ALERT", level: Level::Warning, unmistakable: false },
    Label { label: "STRANGE ACTIVITY", stream: "STRANGE ACTIVITY", level: Level::Warning, unmistakable: true },
    Label { label: "[ INTERNAL ]", stream: "INTERNAL", level: Level::Info, unmistakable: true },
];

/// What stands before the time at the end of an entry: the sign, and what became of it in files read as Thai.
const MARKS: [&str; 2] = ["§ [", "ยง ["];

/// No time is longer than this, with its mark.
const MARK_BYTES_MAX: usize = 48;

/// A line that begins with a capital or a bracket.
pub(super) fn parse(text: &str) -> Found {
    if let Some(rest) = text.strip_prefix("[ INTERNAL ] ") {
        return entry("[ INTERNAL ]", rest);
    }
    let (label, rest) = text.split_once(':')?;
    let message = rest.trim_start_matches(' ');
    if message.is_empty() {
        return None;
    }
    match rest.len() - message.len() {
        0 => basic(label, message),
        1 => entry(label, message).filter(|_| is_unmistakable(label)).or_else(|| level_only(label, message)),
        // Two blanks before a message, three before a heading.
        2 | 3 => entry(label, message).or_else(|| level_only(label, message)),
        _ => access::behind_level(message)
            .filter(|_| level::from_capitals(label).is_some())
            .or_else(|| level_only(label, message)),
    }
}

fn is_unmistakable(label: &str) -> bool {
    LABELS.iter().any(|known| known.label == label && known.unmistakable)
}

fn entry(label: &str, message: &str) -> Found {
    let known = LABELS.iter().find(|known| known.label == label)?;
    let mut event = Event { level: Some(known.level), ..Event::with_message(message.trim_start()) };
    event.text("stream", known.stream);
    Some((Format::ApiLogger, event))
}

/// `ERROR:shop.cart:message`.
fn basic(label: &str, rest: &str) -> Found {
    let level = level::from_capitals(label)?;
    let (logger, message) = rest.split_once(':').filter(|(logger, _)| !logger.contains(' '))?;
    let mut event = Event { level: Some(level), ..Event::with_message(message) };
    event.text_unless_missing("logger", logger);
    Some((Format::Python, event))
}

/// `ERROR: message`.
fn level_only(label: &str, message: &str) -> Found {
    let level = level::from_capitals(label)?;
    Some((Format::Python, Event { level: Some(level), ..Event::with_message(message) }))
}

/// Whether an entry has its time, and thereby its end.
pub(super) fn ends_with_mark(message: &str) -> bool {
    let bytes = message.as_bytes();
    let tail = &bytes[bytes.len().saturating_sub(MARK_BYTES_MAX)..];
    tail.ends_with(b"]") && MARKS.iter().any(|mark| memchr::memmem::find(tail, mark.as_bytes()).is_some())
}

/// Takes the time off the end of an entry's message.
pub(super) fn split_mark(event: &mut Event, clock: &Clock) {
    let Some(message) = event.message.as_mut().filter(|message| ends_with_mark(message)) else { return };
    let found = MARKS.iter().find_map(|mark| {
        let (before, time) = message.rsplit_once(mark)?;
        let mut cursor = Cursor::new(time);
        let written = clock.iso(&mut cursor)?;
        (cursor.rest == "]").then_some((before.trim_end().len(), written.timestamp))
    });
    if let Some((length, timestamp)) = found {
        message.truncate(length);
        event.timestamp = Some(timestamp);
    }
}
