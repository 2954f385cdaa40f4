//! Lines that begin with a time: Python's logging, Rust's tracing, and everything of a time, a level and a message.

use super::Format;
use super::clock::{Clock, Written};
use super::cursor::Cursor;
use super::event::Event;
use super::level::{self, Level};
use super::recognise::Found;
use super::{server_errors, syslog};
use jiff::Timestamp;

/// A line whose first byte is a digit.
pub(super) fn parse(text: &str, clock: &Clock) -> Found {
    let mut cursor = Cursor::new(text);
    let written = clock.iso(&mut cursor)?;
    cursor.take(" ")?;
    cursor.blanks();
    let timestamp = written.timestamp;
    if written.slashes
        && let Some(found) = server_errors::nginx(timestamp, cursor)
    {
        return Some(found);
    }
    match cursor.rest.as_bytes().first()? {
        b'-' => dashes(timestamp, cursor),
        b'|' => bars(timestamp, cursor),
        _ => tracing(written, cursor).or_else(|| level_and_message(timestamp, cursor, written.comma)).or_else(|| {
            if written.parted_by_t && written.has_zone { syslog::after_time(timestamp, cursor) } else { None }
        }),
    }
}

/// `ERROR 2026-11-20 15:59:36,123 views 1234 140 message`, the layout that Django's documentation calls "verbose".
pub(super) fn level_first(text: &str, clock: &Clock) -> Found {
    let mut cursor = Cursor::new(text);
    let level = level::from_capitals(cursor.word())?;
    cursor.blanks();
    let written = clock.iso(&mut cursor)?;
    Some(python(written.timestamp, level, "", cursor.rest.trim_start()))
}

/// `ERROR message`, `[error] message`, `ERROR: message`, `ERROR shop.cart message`.
///
/// `logger_first` says that the line is Python's, where the logger's name may follow the level without any mark.
pub(super) fn level_and_message(timestamp: Timestamp, mut cursor: Cursor<'_>, logger_first: bool) -> Found {
    let level = match cursor.bracketed() {
        Some(name) => level::from_name(name.trim())?,
        None => {
            let word = cursor.word();
            level::from_capitals(word.strip_suffix(':').unwrap_or(word))?
        }
    };
    cursor.blanks();
    if cursor.take("- ").is_some() {
        return Some(python(timestamp, level, "", cursor.rest));
    }
    let mut after = cursor;
    let word = after.word();
    let (logger, colon) = word.strip_suffix(':').map_or((word, false), |logger| (logger, true));
    if is_logger(logger) && (colon || (logger_first && is_unmarked_logger(logger))) {
        return Some(python(timestamp, level, logger, after.rest.trim_start()));
    }
    Some(python(timestamp, level, "", cursor.rest))
}

fn python(timestamp: Timestamp, level: Level, logger: &str, message: &str) -> (Format, Event) {
    let mut event = Event { timestamp: Some(timestamp), level: Some(level), ..Event::with_message(message) };
    event.text_unless_missing("logger", logger);
    (Format::Python, event)
}

/// A name as modules have it. Words with a capital are more likely the beginning of a sentence.
fn is_logger(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

/// Whether a name before a message is a logger's even without a mark between them. A single word would be a guess.
fn is_unmarked_logger(name: &str) -> bool {
    matches!(name, "root" | "__main__") || (name.contains('.') && !name.ends_with('.') && !name.contains(".."))
}

/// `- logger - LEVEL - message`, `- LEVEL - message`.
fn dashes(timestamp: Timestamp, mut cursor: Cursor<'_>) -> Found {
    cursor.take("- ")?;
    let first = cursor.until(" - ")?;
    if let Some(level) = level::from_capitals(first.trim()) {
        return Some(python(timestamp, level, "", cursor.rest));
    }
    let level = level::from_capitals(cursor.until(" - ")?.trim())?;
    Some(python(timestamp, level, first.trim(), cursor.rest))
}

/// `| INFO     | module:function:12 - message`, the layout of loguru.
fn bars(timestamp: Timestamp, mut cursor: Cursor<'_>) -> Found {
    cursor.take("| ")?;
    let level = level::from_capitals(cursor.until("| ")?.trim())?;
    let (place, message) =
        cursor.rest.split_once(" - ").filter(|(place, _)| !place.contains(' ')).unwrap_or(("", cursor.rest));
    Some(python(timestamp, level, place, message))
}

/// `INFO request{method=GET}: shop::cart: message key=value`.
fn tracing(written: Written, mut cursor: Cursor<'_>) -> Found {
    if !written.parted_by_t || !written.has_zone {
        return None;
    }
    let level = level::from_capitals(cursor.word())?;
    cursor.blanks();
    let all = cursor.rest;
    while let Some(length) = span_length(cursor.rest) {
        cursor.rest = &cursor.rest[length..];
    }
    let spans = all[..all.len() - cursor.rest.len()].trim_end_matches([':', ' ']);
    cursor.blanks();
    let target = cursor.until(": ").or_else(|| {
        // A record without a message ends in its target.
        let target = cursor.rest.strip_suffix(':')?;
        cursor.rest = "";
        Some(target)
    })?;
    if target.is_empty()
        || !target.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.' | b'-'))
    {
        return None;
    }
    let mut event =
        Event { timestamp: Some(written.timestamp), level: Some(level), ..Event::with_message(cursor.rest) };
    event.text("logger", target);
    event.text_unless_missing("spans", spans);
    Some((Format::Tracing, event))
}

/// The length of `name{field=value}:` at the beginning, with braces and quotes inside heeded.
fn span_length(text: &str) -> Option<usize> {
    let name =
        text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')).count();
    if name == 0 || text.as_bytes().get(name) != Some(&b'{') {
        return None;
    }
    let (mut depth, mut in_quotes, mut protected) = (0_u32, false, false);
    for (at, byte) in text.bytes().enumerate().skip(name) {
        match byte {
            _ if protected => protected = false,
            b'\\' => protected = true,
            b'"' => in_quotes = !in_quotes,
            b'{' if !in_quotes => depth += 1,
            b'}' if !in_quotes => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (text.as_bytes().get(at + 1) == Some(&b':')).then_some(at + 2);
        }
    }
    None
}
