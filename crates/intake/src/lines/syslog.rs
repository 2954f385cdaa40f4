//! Syslog: RFC 5424, RFC 3164, and what is left of them in the files below `/var/log`.

use super::Format;
use super::clock::Clock;
use super::cursor::Cursor;
use super::event::Event;
use super::level::Level;
use super::recognise::Found;
use jiff::Timestamp;

/// The greatest priority: facility 23, severity 7.
const PRIORITY_MAX: u64 = 191;

/// Longest program name that is believed to be one.
const TAG_BYTES_MAX: usize = 64;

/// What the daemon itself writes, without a program's name.
const DAEMON_MESSAGES: [&str; 3] = ["last message repeated ", "message repeated ", "-- MARK --"];

/// `<34>1 2026-…`, `<34>Oct 11 22:14:15 host app[123]: message`, and `<34>message`.
pub(super) fn with_priority(text: &str, clock: &Clock) -> Found {
    let mut cursor = Cursor::new(text);
    cursor.take("<")?;
    let priority = cursor.number().filter(|priority| *priority <= PRIORITY_MAX)?;
    cursor.take(">")?;
    let mut event = Event { level: Some(Level::from_severity(priority % 8)), ..Event::default() };
    event.number("facility", priority / 8);
    if let Some(fields) = Fields5424::read(cursor, clock) {
        fields.add_to(&mut event);
        return Some((Format::Syslog, event));
    }
    let timestamp = clock.without_year(&mut cursor).or_else(|| clock.iso(&mut cursor).map(|written| written.timestamp));
    event.timestamp = timestamp;
    if timestamp.is_some() {
        cursor.blanks();
        host_and_body(&mut event, cursor);
    } else {
        body(&mut event, cursor);
    }
    Some((Format::Syslog, event))
}

/// `Nov 20 15:59:36 host app[123]: message`.
pub(super) fn without_year(text: &str, clock: &Clock) -> Found {
    let mut cursor = Cursor::new(text);
    let timestamp = clock.without_year(&mut cursor)?;
    cursor.take(" ")?;
    after_time(timestamp, cursor).or_else(|| {
        let event = Event { timestamp: Some(timestamp), ..Event::with_message(cursor.rest) };
        Some((Format::Syslog, event))
    })
}

/// `host app[123]: message`; without such a program it is not syslog.
pub(super) fn after_time(timestamp: Timestamp, cursor: Cursor<'_>) -> Found {
    let mut after = cursor;
    after.word();
    let from_daemon = DAEMON_MESSAGES.iter().any(|message| after.rest.starts_with(message));
    if !from_daemon && Tag::read(&mut after).is_none() {
        return None;
    }
    let mut event = Event { timestamp: Some(timestamp), ..Event::default() };
    host_and_body(&mut event, cursor);
    Some((Format::Syslog, event))
}

fn host_and_body(event: &mut Event, mut cursor: Cursor<'_>) {
    event.text_unless_missing("host", cursor.word());
    body(event, cursor);
}

fn body(event: &mut Event, mut cursor: Cursor<'_>) {
    if let Some(tag) = Tag::read(&mut cursor) {
        event.text("source", tag.source);
        if let Some(process) = tag.process {
            add_process(event, process);
        }
    }
    // Python's SysLogHandler ends its messages with a NUL.
    event.message = Some(cursor.rest.trim_end_matches('\0').to_owned());
}

fn add_process(event: &mut Event, process: &str) {
    match process.parse() {
        Ok(pid) => event.number("pid", pid),
        Err(_) => event.text_unless_missing("process", process),
    }
}

/// `app[123]: ` before a message.
struct Tag<'a> {
    source: &'a str,
    process: Option<&'a str>,
}

impl<'a> Tag<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        let length =
            cursor.rest.bytes().take(TAG_BYTES_MAX).take_while(|byte| !matches!(byte, b' ' | b':' | b'[')).count();
        let (source, rest) = cursor.rest.split_at_checked(length).filter(|(source, _)| !source.is_empty())?;
        let mut after = Cursor::new(rest);
        let process = after.bracketed().filter(|process| !process.contains(' '));
        after.take(":")?;
        if !after.rest.is_empty() {
            after.take(" ")?;
        }
        *cursor = after;
        Some(Self { source, process })
    }
}

/// The fields of RFC 5424, `-` where one is missing.
struct Fields5424<'a> {
    timestamp: Option<Timestamp>,
    host: &'a str,
    source: &'a str,
    process: &'a str,
    message_id: &'a str,
    structured_data: &'a str,
    message: &'a str,
}

impl<'a> Fields5424<'a> {
    fn read(mut cursor: Cursor<'a>, clock: &Clock) -> Option<Self> {
        cursor.take("1 ")?;
        let timestamp = match cursor.take("- ") {
            Some(()) => None,
            None => {
                let written = clock.iso(&mut cursor)?;
                cursor.take(" ")?;
                Some(written.timestamp)
            }
        };
        let (host, source, process, message_id) = (cursor.word(), cursor.word(), cursor.word(), cursor.word());
        let (structured_data, rest) = cursor.rest.split_at(structured_data_length(cursor.rest));
        let message = rest.strip_prefix(' ').unwrap_or(rest);
        let message = message.strip_prefix('\u{feff}').unwrap_or(message);
        Some(Self { timestamp, host, source, process, message_id, structured_data, message })
    }

    fn add_to(&self, event: &mut Event) {
        event.timestamp = self.timestamp;
        event.message = Some(self.message.to_owned());
        event.text_unless_missing("host", self.host);
        event.text_unless_missing("source", self.source);
        add_process(event, self.process);
        event.text_unless_missing("message_id", self.message_id);
        event.text_unless_missing("structured_data", self.structured_data);
    }
}

/// The length of `-` or of `[id name="value"][…]`. What does not end properly belongs to the message.
fn structured_data_length(text: &str) -> usize {
    if text == "-" || text.starts_with("- ") {
        return 1;
    }
    let bytes = text.as_bytes();
    let (mut length, mut in_element, mut in_quotes, mut protected) = (0, false, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if protected => protected = false,
            b'\\' if in_quotes => protected = true,
            b'"' if in_element => in_quotes = !in_quotes,
            b'[' if !in_element => in_element = true,
            b']' if in_element && !in_quotes => {
                in_element = false;
                length = at + 1;
            }
            _ if in_element => {}
            _ => break,
        }
    }
    length
}
