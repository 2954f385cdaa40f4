//! The systemd journal, as `journalctl -o export` and `journalctl -o json` write it.
//!
//! The export format is the only one here that is not made of lines alone: a value with a newline in it is preceded by
//! its length. So [`Entry`] is fed bytes.

use super::event::{Event, Keeping, write_text};
use super::level;
use super::text::escape;
use super::{Format, Record};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The longest field value the journal itself accepts. A greater length is not a length but a line of text.
const VALUE_BYTES_MAX: u64 = 768 * 1024 * 1024;

/// Size at which an entry is closed, though more fields may come. Those become a record of their own.
const ENTRY_BYTES_MAX: usize = 1024 * 1024;

/// Longest name of a field, set by the journal.
const NAME_BYTES_MAX: usize = 64;

/// One entry of an export, as far as it has been read.
#[derive(Debug)]
pub(super) struct Entry {
    offset: u64,
    fields: Vec<(String, Vec<u8>)>,
    held_bytes: usize,
    truncated_bytes: u64,
    value_bytes_max: usize,
    binary: Option<Binary>,
}

/// A value with its length before it.
#[derive(Debug)]
enum Binary {
    Length {
        bytes: [u8; 8],
        count: usize,
    },
    Value {
        missing: u64,
    },
    /// Only the newline after the value is still to come.
    End,
}

impl Entry {
    /// Whether a line begins an entry: an export always writes these fields first.
    pub(super) fn starts_with(line: &[u8]) -> bool {
        line.starts_with(b"__CURSOR=") || line.starts_with(b"__REALTIME_TIMESTAMP=")
    }

    pub(super) fn new(offset: u64, value_bytes_max: usize) -> Self {
        Self { offset, fields: Vec::new(), held_bytes: 0, truncated_bytes: 0, value_bytes_max, binary: None }
    }

    /// Where it begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the line is a further field of this entry.
    pub(super) fn takes(&self, line: &[u8]) -> bool {
        let (name, _) = split_field(line);
        let is_name = matches!(name.first(), Some(b'A'..=b'Z' | b'_'))
            && name.len() <= NAME_BYTES_MAX
            && name.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        is_name && !line.starts_with(b"__CURSOR=")
    }

    pub(super) fn is_full(&self) -> bool {
        self.held_bytes > ENTRY_BYTES_MAX
    }

    /// Adds the field of a line. A name alone announces a value with its length before it.
    pub(super) fn line(&mut self, line: &[u8], left_out: u64) {
        let (name, value) = split_field(line);
        self.held_bytes += line.len();
        self.truncated_bytes += left_out;
        self.fields.push((String::from_utf8_lossy(name).into_owned(), value.unwrap_or_default().to_vec()));
        if value.is_none() && left_out == 0 {
            self.binary = Some(Binary::Length { bytes: [0; 8], count: 0 });
        }
    }

    /// Whether the next bytes are not a line but belong to a value.
    pub(super) fn wants_bytes(&self) -> bool {
        self.binary.is_some()
    }

    /// Reads of a value what is there, and returns how much was read; also the eight bytes of a length that cannot be one.
    pub(super) fn bytes(&mut self, rest: &[u8]) -> (usize, Option<[u8; 8]>) {
        match &mut self.binary {
            Some(Binary::Length { bytes, count }) => {
                let used = rest.len().min(8 - *count);
                bytes[*count..*count + used].copy_from_slice(&rest[..used]);
                *count += used;
                if *count < 8 {
                    return (used, None);
                }
                let (bytes, missing) = (*bytes, u64::from_le_bytes(*bytes));
                if missing > VALUE_BYTES_MAX {
                    self.binary = None;
                    return (used, Some(bytes));
                }
                self.binary = Some(if missing == 0 { Binary::End } else { Binary::Value { missing } });
                (used, None)
            }
            Some(Binary::Value { missing }) => {
                let used = usize::try_from(*missing).map_or(rest.len(), |missing| missing.min(rest.len()));
                *missing -= used as u64;
                if *missing == 0 {
                    self.binary = Some(Binary::End);
                }
                self.append(&rest[..used]);
                (used, None)
            }
            Some(Binary::End) => {
                self.binary = None;
                (usize::from(rest.first() == Some(&b'\n')), None)
            }
            None => (0, None),
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let Some((_, value)) = self.fields.last_mut() else { return };
        let kept = bytes.len().min(self.value_bytes_max.saturating_sub(value.len()));
        value.extend_from_slice(&bytes[..kept]);
        self.held_bytes += kept;
        self.truncated_bytes += (bytes.len() - kept) as u64;
    }

    /// The entry is over, or the input is.
    pub(super) fn finish(mut self) -> Record {
        if let Some(Binary::Length { bytes, count }) = self.binary.take() {
            self.append(&bytes[..count]);
        }
        let not_utf8 = self.fields.iter().any(|(_, value)| std::str::from_utf8(value).is_err());
        let mut fields = Fields::new();
        for (name, value) in self.fields {
            let text = if not_utf8 { escape(&value) } else { String::from_utf8_lossy(&value).into_owned() };
            fields.entry(name).or_default().push(Some(text));
        }
        let keeping = Keeping { not_utf8, truncated_bytes: self.truncated_bytes };
        Record { json: event(fields).into_json(keeping), offset: self.offset, format: Format::Journal }
    }
}

fn split_field(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', line) {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    }
}

/// A field can occur more than once. `None` is a value that `journalctl` left out as too large.
type Fields = BTreeMap<String, Vec<Option<String>>>;

/// The event of an entry that `journalctl -o json` wrote, and whether a value of it was not UTF-8.
pub(super) fn from_json(object: Map<String, Value>) -> (Event, bool) {
    let mut not_utf8 = false;
    let mut fields = Fields::new();
    for (name, value) in object {
        let values = match value {
            Value::Array(values) if !values.iter().all(Value::is_number) => values,
            value => vec![value],
        };
        let texts = values.into_iter().map(|value| text_of(value, &mut not_utf8)).collect();
        fields.insert(name, texts);
    }
    (event(fields), not_utf8)
}

/// A value that is not UTF-8 is written as the list of its bytes.
fn text_of(value: Value, not_utf8: &mut bool) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        Value::Array(numbers) => {
            let byte = |number: &Value| number.as_u64().and_then(|number| u8::try_from(number).ok());
            let bytes: Option<Vec<u8>> = numbers.iter().map(byte).collect();
            let Some(bytes) = bytes else { return Some(Value::Array(numbers).to_string()) };
            Some(String::from_utf8(bytes).unwrap_or_else(|error| {
                *not_utf8 = true;
                escape(error.as_bytes())
            }))
        }
        other => Some(other.to_string()),
    }
}

fn event(mut fields: Fields) -> Event {
    // The same entry, exported once more, has the same id.
    let cursor = fields.get("__CURSOR").and_then(|cursors| cursors.first()?.as_deref());
    // `s=…;i=…;b=…;m=…;t=…;x=…`: the file and the number in it say which entry it is.
    let id = cursor.filter(|cursor| cursor.starts_with("s=") && cursor.contains(";i=")).map(id_of);
    let mut event = Event {
        timestamp: take_parsed(&mut fields, "__REALTIME_TIMESTAMP", moment),
        level: take_parsed(&mut fields, "PRIORITY", |text| text.parse().ok().map(level::from_severity)),
        message: take(&mut fields, "MESSAGE"),
        ..Event::default()
    };
    if let Some(id) = id {
        event.text("id", &id.to_string());
    }
    for (key, names) in [("host", &["_HOSTNAME"] as &[&str]), ("source", &["SYSLOG_IDENTIFIER", "_COMM"])] {
        if let Some(text) = names.iter().find_map(|name| take(&mut fields, name)) {
            event.text(key, &text);
        }
    }
    let number = |text: &str| text.parse().ok();
    if let Some(pid) = ["_PID", "SYSLOG_PID"].iter().find_map(|name| take_parsed(&mut fields, name, number)) {
        event.number("pid", pid);
    }
    fields.retain(|_, values| !values.is_empty());
    if !fields.is_empty() {
        event.json("journal", &object(&fields));
    }
    event
}

/// Where the ids of entries begin, so that they cannot be taken for those of another program.
const NAMESPACE: Uuid = Uuid::from_u128(0x6576_6572_6c6f_6720_806a_6f75_726e_616c);

/// The id of an entry by its cursor, which no other entry has.
fn id_of(cursor: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, cursor.as_bytes())
}

fn take(fields: &mut Fields, name: &str) -> Option<String> {
    take_parsed(fields, name, |text| Some(text.to_owned()))
}

/// Takes the first value of a field, unless it cannot be read: then it stays among the others.
fn take_parsed<T>(fields: &mut Fields, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    let values = fields.get_mut(name)?;
    let parsed = parse(values.first()?.as_ref()?)?;
    values.remove(0);
    Some(parsed)
}

fn moment(microseconds: &str) -> Option<Timestamp> {
    let microseconds: u64 = microseconds.parse().ok()?;
    Timestamp::from_microsecond(i64::try_from(microseconds).ok()?).ok()
}

/// The fields without a key of ours, as a JSON object.
fn object(fields: &Fields) -> String {
    let mut json = String::new();
    for (name, values) in fields {
        json.push(if json.is_empty() { '{' } else { ',' });
        write_text(&mut json, name);
        json.push(':');
        let list = values.len() > 1;
        for (index, value) in values.iter().enumerate() {
            if list {
                json.push(if index == 0 { '[' } else { ',' });
            }
            match value {
                Some(text) => write_text(&mut json, text),
                None => json.push_str("null"),
            }
        }
        if list {
            json.push(']');
        }
    }
    json.push('}');
    json
}
