//! uWSGI's request lines.

use super::Format;
use super::access::{address, request};
use super::clock::Clock;
use super::cursor::Cursor;
use super::event::Event;
use super::level;
use super::recognise::Found;

/// `[pid: 1|app: 0|req: 1/1] ip (user) {24 vars in 283 bytes} [time] GET /a => generated 2 bytes in 0 msecs (HTTP/1.1 200) …`.
pub(super) fn parse(text: &str, clock: &Clock) -> Found {
    let mut cursor = Cursor::new(text);
    cursor.take("[pid: ")?;
    let pid = cursor.number()?;
    cursor.take("|")?;
    let counters = cursor.until("] ")?;
    let ip = cursor.until(" (")?;
    let user = cursor.until(") {")?;
    let variables = cursor.until("} [")?;
    let timestamp = clock.asctime(cursor.until("] ")?)?;
    // The path is written as it came and may contain the arrow; what uWSGI itself writes comes last.
    let (request_line, answer) = cursor.rest.rsplit_once(" => generated ")?;
    let mut cursor = Cursor::new(answer);
    let bytes = cursor.number()?;
    cursor.take(" bytes in ")?;
    let duration = cursor.number()?;
    cursor.take(" ")?;
    let duration_ms = if cursor.word() == "micros" { duration as f64 / 1000.0 } else { duration as f64 };
    cursor.take("(")?;
    let protocol = cursor.until(" ")?;
    let status = cursor.number()?;
    cursor.take(")")?;

    let mut event = Event { timestamp: Some(timestamp), level: Some(level::from_status(status)), ..Event::default() };
    event.text("event", "request");
    event.text("source", "uwsgi");
    event.number("pid", pid);
    address(&mut event, ip);
    event.text_unless_missing("user", user);
    request(&mut event, &format!("{request_line} {protocol}"), true);
    event.number("status", status);
    event.number("bytes", bytes);
    event.json("duration_ms", &duration_ms.to_string());
    let rest = Some(cursor.rest.trim()).filter(|rest| !rest.is_empty());
    let extra: Vec<&str> = counters.split('|').chain([variables]).chain(rest).collect();
    event.texts("extra", &extra);
    Some((Format::Uwsgi, event))
}
