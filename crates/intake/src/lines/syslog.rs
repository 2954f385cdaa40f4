//! Syslog: RFC 5424, RFC 3164 and its relatives, and what is left of them in the files below `/var/log`.
//!
//! Host, program and process become `host`, `source` and `pid`; what only syslog knows stands below `syslog`. A message
//! that is a JSON object, with or without `@cee:` before it, gives its keys to the event, and the header says only what it
//! does not say itself.

use std::collections::HashSet;

use super::Format;
use super::clock::Clock;
use super::cursor::Cursor;
use super::event::Event;
use super::level;
use super::recognise::Found;
use super::trace::Trace;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The greatest priority: facility 23, severity 7.
const PRIORITY_MAX: u64 = 191;

/// Longest program name that is believed to be one.
const TAG_BYTES_MAX: usize = 64;

/// What the daemon itself writes, without a program's name.
const DAEMON_MESSAGES: [&str; 3] = ["last message repeated ", "message repeated ", "-- MARK --"];

/// What a JSON message may call its time and its level.
const TIMES: [&str; 5] = ["timestamp", "@timestamp", "time", "ts", "datetime"];
const LEVELS: [&str; 6] = ["level", "severity", "levelname", "log.level", "loglevel", "severity_text"];

/// `<34>1 2026-…`, `<34>Oct 11 22:14:15 host app[123]: message`, and `<34>message`.
pub(super) fn with_priority(text: &str, clock: &Clock) -> Found {
    Header::with_priority(text, clock).map(|header| (Format::Syslog, header.event()))
}

/// The same of a message that came over the network, which may have several lines, and from where.
pub(super) fn received(text: &str, clock: &Clock, sender: Option<&str>) -> Option<Event> {
    Header::with_priority(text, clock).map(|header| Header { sender, ..header }.event())
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
    let mut header = Header { timestamp: Some(timestamp), ..Header::default() };
    let mut cursor = cursor;
    header.host = cursor.word();
    header.take_tag(cursor);
    Some((Format::Syslog, header.event()))
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

/// What stands before a message, and the message. An empty text or `-` is nothing.
#[derive(Default)]
struct Header<'a> {
    priority: Option<u64>,
    timestamp: Option<Timestamp>,
    host: &'a str,
    source: &'a str,
    process: &'a str,
    message_id: &'a str,
    sequence: Option<u64>,
    structured_data: Map<String, Value>,
    message: &'a str,
    /// The address it came from.
    sender: Option<&'a str>,
}

impl<'a> Header<'a> {
    /// What follows a priority.
    fn with_priority(text: &'a str, clock: &Clock) -> Option<Self> {
        let mut cursor = Cursor::new(text);
        cursor.take("<")?;
        let priority = cursor.number().filter(|priority| *priority <= PRIORITY_MAX)?;
        cursor.take(">")?;
        let header = Self::rfc5424(cursor, clock).or_else(|| Self::cisco(cursor, clock));
        Some(Self { priority: Some(priority), ..header.unwrap_or_else(|| Self::rfc3164(cursor, clock)) })
    }

    /// `Oct 11 22:14:15 host app[123]: message`, or what is left of it.
    fn rfc3164(mut cursor: Cursor<'a>, clock: &Clock) -> Self {
        let timestamp =
            clock.without_year(&mut cursor).or_else(|| clock.iso(&mut cursor).map(|written| written.timestamp));
        let mut header = Self { timestamp, ..Self::default() };
        if timestamp.is_some() {
            cursor.blanks();
            header.take_host(&mut cursor);
        }
        header.take_tag(cursor);
        header
    }

    /// `1 2026-10-11T22:14:15.003Z host app 123 ID47 [id name="value"] message`, `-` where something is missing.
    fn rfc5424(mut cursor: Cursor<'a>, clock: &Clock) -> Option<Self> {
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
        let structured_data = structured_data(&mut cursor);
        let message = cursor.rest.strip_prefix(' ').unwrap_or(cursor.rest);
        let message = message.strip_prefix('\u{feff}').unwrap_or(message);
        let header = Self { timestamp, host, source, process, message_id, structured_data, message, ..Self::default() };
        Some(header)
    }

    /// `45: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: message`, and a firewall's `Mar 01 2024 18:46:11 host : %ASA-6-…`.
    fn cisco(mut cursor: Cursor<'a>, clock: &Clock) -> Option<Self> {
        let mut numbered = cursor;
        let sequence = numbered.number().filter(|_| numbered.take(": ").is_some());
        if sequence.is_some() {
            cursor = numbered;
        }
        cursor.rest = cursor.rest.trim_start_matches([':', ' ', '*', '.']);
        let timestamp = Some(clock.lettered(&mut cursor)?);
        let (before, _) = cursor.rest.split_once('%')?;
        let host = before.trim_matches([' ', ':']);
        if host.contains(' ') || !before.ends_with(": ") {
            return None;
        }
        let message = &cursor.rest[before.len()..];
        let message_id = message[1..].split(':').next().filter(|id| !id.contains(' ')).unwrap_or_default();
        Some(Self { timestamp, host, sequence, message_id, message, ..Self::default() })
    }

    /// The C library writes to its own machine without a host: then the program comes first.
    fn take_host(&mut self, cursor: &mut Cursor<'a>) {
        let mut after = *cursor;
        let word = after.word();
        if !word.ends_with(':') {
            self.host = word;
            *cursor = after;
        }
    }

    fn take_tag(&mut self, mut cursor: Cursor<'a>) {
        if let Some(tag) = Tag::read(&mut cursor) {
            self.source = tag.source;
            self.process = tag.process.unwrap_or_default();
        }
        self.message = cursor.rest;
    }

    fn event(self) -> Event {
        // Python's SysLogHandler ends its messages with a NUL.
        let message = self.message.trim_end_matches('\0');
        let object = Object::read(message);
        let says =
            |keys: &[&str]| object.as_ref().is_some_and(|object| keys.iter().any(|key| object.keys.contains(*key)));
        let severity = self.priority.map(|priority| priority % 8);
        let mut event = Event {
            timestamp: self.timestamp.filter(|_| !says(&TIMES)),
            level: severity.filter(|_| !says(&LEVELS)).map(level::from_severity),
            ..Event::default()
        };
        if object.is_none() {
            set_message(&mut event, message);
        }
        for (key, text) in [("host", self.host), ("source", self.source)] {
            if !says(&[key]) {
                event.text_unless_missing(key, text);
            }
        }
        match self.process.parse() {
            Ok(pid) if !says(&["pid"]) => event.number("pid", pid),
            Err(_) if !says(&["process"]) => event.text_unless_missing("process", self.process),
            _ => {}
        }
        if !says(&["syslog"]) {
            self.add_to(&mut event);
        }
        if let Some(Object { inside, .. }) = object.filter(|object| !object.keys.is_empty()) {
            event.fields.push(',');
            event.fields.push_str(&inside);
        }
        event
    }

    /// What has no shared key.
    fn add_to(self, event: &mut Event) {
        let mut syslog = Map::new();
        if let Some(priority) = self.priority {
            syslog.insert("facility".to_owned(), (priority / 8).into());
            syslog.insert("severity".to_owned(), (priority % 8).into());
        }
        if !matches!(self.message_id, "" | "-") {
            syslog.insert("message_id".to_owned(), self.message_id.into());
        }
        if let Some(sequence) = self.sequence {
            syslog.insert("sequence".to_owned(), sequence.into());
        }
        if !self.structured_data.is_empty() {
            syslog.insert("structured_data".to_owned(), self.structured_data.into());
        }
        if let Some(sender) = self.sender {
            syslog.insert("sender".to_owned(), sender.into());
        }
        if !syslog.is_empty() {
            event.json("syslog", &Value::Object(syslog).to_string());
        }
    }
}

/// A message of several lines may end in a traceback.
fn set_message(event: &mut Event, message: &str) {
    let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
    let mut at = first.len() + 1;
    let mut before = 0;
    for line in rest.split_inclusive('\n') {
        let text = line.trim_end();
        let start = if Trace::begin(text).is_some() {
            Some(at)
        } else {
            // The line before the first frame says what went wrong.
            Trace::turned_by(text, false).map(|_| before)
        };
        if let Some(start) = start {
            event.exception = Some(message[start..].trim_end().to_owned());
            event.message = Some(if start == 0 { first.trim_end() } else { message[..start].trim_end() }.to_owned());
            return;
        }
        before = at;
        at += line.len();
    }
    event.message = Some(message.strip_suffix('\n').unwrap_or(message).to_owned());
}

/// A message that is a JSON object.
struct Object {
    keys: HashSet<String>,
    /// Its members, without the braces, on one line.
    inside: String,
}

impl Object {
    fn read(message: &str) -> Option<Self> {
        let text = message.trim();
        let text = text.strip_prefix("@cee:").map_or(text, str::trim_start);
        if !text.starts_with('{') {
            return None;
        }
        let object: Map<String, Value> = serde_json::from_str(text).ok()?;
        let inside = text.strip_prefix('{')?.strip_suffix('}')?.replace(['\n', '\r'], " ");
        Some(Self { keys: object.into_iter().map(|(key, _)| key).collect(), inside })
    }
}

/// Reads `-` or `[id name="value"][…]`. What does not end properly belongs to the message.
fn structured_data(cursor: &mut Cursor<'_>) -> Map<String, Value> {
    let mut elements = Map::new();
    if cursor.rest == "-" || cursor.rest.starts_with("- ") {
        cursor.rest = &cursor.rest[1..];
        return elements;
    }
    while let Some(length) = element(cursor.rest, &mut elements) {
        cursor.rest = &cursor.rest[length..];
    }
    elements
}

/// Reads `[id name="value" …]` and returns its length. A name that occurs twice has a list of values.
fn element(text: &str, elements: &mut Map<String, Value>) -> Option<usize> {
    let mut cursor = Cursor::new(text);
    cursor.take("[")?;
    let end = cursor.rest.find([' ', ']', '"', '='])?;
    let id = &cursor.rest[..end];
    cursor.rest = &cursor.rest[end..];
    let mut parameters = Vec::new();
    while cursor.take("]").is_none() {
        cursor.take(" ")?;
        cursor.blanks();
        if cursor.rest.starts_with(']') {
            continue;
        }
        let name = cursor.until("=\"").filter(|name| !name.contains([' ', ']', '"']))?;
        parameters.push((name, quoted(&mut cursor)?));
    }
    let found = elements.entry(id).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(found) = found {
        for (name, value) in parameters {
            match found.get_mut(name) {
                None => drop(found.insert(name.to_owned(), value.into())),
                Some(Value::Array(values)) => values.push(value.into()),
                Some(one) => *one = Value::Array(vec![one.take(), value.into()]),
            }
        }
    }
    Some(text.len() - cursor.rest.len())
}

/// Reads up to and including the quote that ends a value. A backslash protects `"`, `\` and `]`, and stands for itself
/// before all else (RFC 5424, 6.3.3).
fn quoted(cursor: &mut Cursor<'_>) -> Option<String> {
    let mut value = String::new();
    loop {
        let end = cursor.rest.find(['"', '\\'])?;
        value.push_str(&cursor.rest[..end]);
        let (mark, after) = cursor.rest[end..].split_at(1);
        cursor.rest = after;
        if mark == "\"" {
            return Some(value);
        }
        match cursor.rest.chars().next()? {
            protected @ ('"' | '\\' | ']') => {
                value.push(protected);
                cursor.rest = &cursor.rest[1..];
            }
            _ => value.push('\\'),
        }
    }
}
