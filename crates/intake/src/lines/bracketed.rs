//! Lines that begin with a time in brackets: gunicorn, Logbook, Celery, Apache's errors, and their like.

use super::Format;
use super::clock::Clock;
use super::cursor::Cursor;
use super::event::Event;
use super::level;
use super::recognise::Found;
use super::{server_errors, timestamped};
use jiff::Timestamp;

/// `[time] …`, told apart by what follows.
pub(super) fn parse(text: &str, clock: &Clock) -> Found {
    match text.as_bytes().get(1)? {
        b'A'..=b'Z' => server_errors::apache(text, clock),
        b'0'..=b'9' => {
            let mut cursor = Cursor::new(&text[1..]);
            let (timestamp, task) = time(&mut cursor, clock)?;
            match task {
                Some(task) => celery(timestamp, task, cursor),
                None => gunicorn(timestamp, cursor)
                    .or_else(|| logbook(timestamp, cursor))
                    .or_else(|| timestamped::level_and_message(timestamp, cursor, false)),
            }
        }
        _ => None,
    }
}

/// Reads `2026-11-20 15:59:36 +0000] `. Celery has its level and process in the same brackets.
fn time<'a>(cursor: &mut Cursor<'a>, clock: &Clock) -> Option<(Timestamp, Option<&'a str>)> {
    let timestamp = clock.iso(cursor)?.timestamp;
    if cursor.take(": ").is_some() {
        return Some((timestamp, Some(cursor.until("] ")?)));
    }
    cursor.take("]")?;
    cursor.blanks();
    Some((timestamp, None))
}

/// `[2026-11-20 15:59:36 +0000] [1234] [INFO] Booting worker`.
fn gunicorn(timestamp: Timestamp, mut cursor: Cursor<'_>) -> Found {
    let pid = cursor.bracketed()?.parse().ok()?;
    cursor.take(" ")?;
    let level = level::from_name(cursor.bracketed()?)?;
    cursor.blanks();
    let mut event = Event { timestamp: Some(timestamp), level: Some(level), ..Event::with_message(cursor.rest) };
    event.text("source", "gunicorn");
    event.number("pid", pid);
    Some((Format::Gunicorn, event))
}

/// `[2026-11-20 15:59:36.123456+00:00] NOTICE: API/Auto: message`.
fn logbook(timestamp: Timestamp, mut cursor: Cursor<'_>) -> Found {
    let level = level::from_capitals(cursor.until(": ")?)?;
    let (logger, message) = cursor.rest.split_once(": ").unwrap_or(("", cursor.rest));
    let mut event = Event { timestamp: Some(timestamp), level: Some(level), ..Event::with_message(message) };
    event.text_unless_missing("logger", logger);
    Some((Format::Logbook, event))
}

/// `[2026-11-20 15:59:36,123: INFO/MainProcess] message`.
fn celery(timestamp: Timestamp, task: &str, cursor: Cursor<'_>) -> Found {
    let (level, process) = task.split_once('/')?;
    let level = level::from_capitals(level)?;
    let mut event = Event { timestamp: Some(timestamp), level: Some(level), ..Event::with_message(cursor.rest) };
    event.text("process", process);
    Some((Format::Python, event))
}
