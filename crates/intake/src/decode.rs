//! The native door: a JSON object, an array of them, or one object a line.

use std::borrow::Cow;
use std::collections::BTreeMap;

use event::limits::{DEPTH_MAX, EVENT_BYTES_MAX, ID_BYTES_MAX, REFUSED_LISTED_MAX, REQUEST_EVENTS_MAX};
use event::text::unescape;
use event::{Batch, BatchBuilder, Id, Timestamp, Value};
use thiserror::Error;

use crate::keys::is_within;
use crate::normalise::{Kept, Noticed, Now};
use crate::vocabulary::{Role, role};

/// Bounds that are settings.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest event, in bytes of JSON.
    pub event_bytes_max: usize,
    /// Whether an `id` that is no UUID is a value like any other, and the event gets an id of its own: for files whose
    /// lines use the key for something else.
    pub only_uuid_ids: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { event_bytes_max: EVENT_BYTES_MAX, only_uuid_ids: false }
    }
}

/// What a body held.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The events.
    pub batch: Batch,
    /// What is not among them, and why; of very many the first.
    pub refused: Vec<Refused>,
    /// How many more are not among them, by the names of the reasons.
    pub unlisted: BTreeMap<&'static str, usize>,
    /// How many items there were: `batch.len()` and all that was refused.
    pub received: usize,
    /// Whether it came through a visitor endpoint.
    pub visit: bool,
    /// Whether days of the past are taken in, as the sender says: what lies far back in it wakes nobody.
    pub history: bool,
}

impl Decoded {
    /// How many items were refused.
    #[must_use]
    pub fn refused_count(&self) -> usize {
        self.refused.len() + self.unlisted.values().sum::<usize>()
    }
}

/// An item that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the body, from 0.
    pub index: usize,
    /// Why.
    pub reason: Reason,
}

/// Why an event did not enter. Every variant is counted for its log and shown to whoever sent it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Reason {
    /// Larger than one event may be.
    #[error(
        "the event has {bytes} bytes; at most {bytes_max} are accepted: leave out what nobody reads, or raise the setting event_bytes_max"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Arrays and objects nested too deeply.
    #[error("arrays and objects are nested more than {DEPTH_MAX} deep")]
    TooDeep,
    /// Not JSON.
    #[error("not valid JSON: {message}")]
    NotJson {
        /// Where and what, in the words of the parser.
        message: String,
    },
    /// JSON, but no object.
    #[error("expected a JSON object, found {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// The id is too long to be kept.
    #[error("the id has {bytes} bytes; at most {ID_BYTES_MAX} are accepted")]
    IdTooLong {
        /// Its length.
        bytes: usize,
    },
    /// An entry with nothing to say.
    #[error(
        "there is no message: send `message`, or `m` for a message in the stream INFO of the user system; null is none"
    )]
    NoMessage,
    /// Two things that do not go together.
    #[error("{what}")]
    Conflict {
        /// Which, and which to leave out.
        what: String,
    },
    /// An entry with a key that means nothing.
    #[error("an entry has no key {key:?}{hint}; further keys of the event go into `fields`")]
    UnknownKey {
        /// As sent.
        key: String,
        /// `: did you mean "x"?` or nothing.
        hint: String,
    },
    /// A value that cannot be what its key says.
    #[error("`{key}` is {expected}, found {found}")]
    WrongValue {
        /// The key.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A text that is too long for what it is.
    #[error("`{key}` has {bytes} bytes; at most {bytes_max} are accepted: longer texts go into `message` or `fields`")]
    TooLong {
        /// Its key.
        key: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// More errors in a minute than the log is to keep.
    #[error(
        "the log has as many errors of this minute as it keeps: this one is counted in its issue and not kept; send less, or raise errors_per_minute of the log"
    )]
    OverLimit,
    /// A visitor sent what only the server says.
    #[error(
        "{names} cannot come from a visitor: such names are set by the server alone; nothing of this request is kept"
    )]
    Reserved {
        /// Which, in quotes.
        names: String,
    },
    /// More arguments than a visit may have.
    #[error(
        "more than {} arguments: send fewer, or an event through POST /api/v1/logs/{{log}}/events",
        crate::visitor::ARGUMENTS_MAX
    )]
    TooManyArguments,
    /// An argument with a very long name or value.
    #[error("the {what} of an argument has {bytes} bytes; at most {bytes_max} are accepted")]
    ArgumentTooLong {
        /// `name` or `value`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// A visit with a very long body.
    #[error("the body has more than {} bytes, which is the most of a visit", crate::visitor::VISIT_BYTES_MAX)]
    VisitTooLarge,
    /// A body that no browser sends by itself.
    #[error(
        "the body is {sent:?}: send a form (application/x-www-form-urlencoded) or a JSON object (application/json)"
    )]
    MediaType {
        /// As it was named.
        sent: String,
    },
    /// More events than a request of this door may have.
    #[error("a request may hold up to {events_max} events: send the others in further requests")]
    TooManyEvents {
        /// The bound.
        events_max: usize,
    },
    /// A measurement id that no log takes.
    #[error(
        "no log takes events of the measurement id {measurement:?}: let one name it, `ga4 = \"G-…\"` in [logs.NAME]"
    )]
    UnknownMeasurement {
        /// As sent.
        measurement: String,
    },
    /// A message that breaks off or contradicts itself.
    #[error("{message}")]
    NotOtlp {
        /// What is wrong with it.
        message: String,
    },
    /// A data point: this is no place for metrics.
    #[error(
        "Everlog keeps logs and traces, no metrics: let the exporter of metrics send somewhere else, or turn it off"
    )]
    Metric,
    /// A resource that stands once in a request and would be kept with very many records.
    #[error("what the resource and the scope say would be kept too many times: send fewer records in a request")]
    RepeatedTooOften,
    /// An item of a kind that is not kept.
    #[error(
        "items of the type {kind:?} are not kept: nothing has to be done about it; leave that feature of the SDK off to save the sending"
    )]
    Unsupported {
        /// Its type.
        kind: String,
    },
    /// A file that is larger than a file may be.
    #[error(
        "the attachment has {bytes} bytes; at most {bytes_max} are accepted: attach less, or raise the setting attachment_bytes_max"
    )]
    AttachmentTooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// More than fits into one request.
    #[error("a request may hold up to {REQUEST_EVENTS_MAX} events: send it in smaller parts")]
    BatchFull,
}

impl Reason {
    /// Its name in answers and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::AttachmentTooLarge { .. } | Self::VisitTooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::NotJson { .. } => "not_json",
            Self::NotAnObject { .. } => "not_an_object",
            Self::IdTooLong { .. } => "id_too_long",
            Self::NoMessage => "no_message",
            Self::Conflict { .. } => "conflict",
            Self::UnknownKey { .. } => "unknown_key",
            Self::WrongValue { .. } => "wrong_value",
            Self::TooLong { .. } => "too_long",
            Self::OverLimit => "over_limit",
            Self::Reserved { .. } => "reserved_name",
            Self::TooManyArguments => "too_many_arguments",
            Self::ArgumentTooLong { .. } => "argument_too_long",
            Self::MediaType { .. } => "media_type",
            Self::NotOtlp { .. } => "not_otlp",
            Self::Metric => "metric",
            Self::Unsupported { .. } => "unsupported",
            Self::UnknownMeasurement { .. } => "unknown_measurement",
            Self::RepeatedTooOften | Self::TooManyEvents { .. } | Self::BatchFull => "batch_full",
        }
    }

    /// The names of all reasons, for metrics that exist before anything was refused.
    pub const NAMES: [&'static str; 20] = [
        "too_large",
        "too_deep",
        "not_json",
        "not_an_object",
        "id_too_long",
        "no_message",
        "conflict",
        "unknown_key",
        "wrong_value",
        "too_long",
        "reserved_name",
        "too_many_arguments",
        "argument_too_long",
        "media_type",
        "not_otlp",
        "metric",
        "unsupported",
        "unknown_measurement",
        "batch_full",
        "over_limit",
    ];
}

/// Reads a body of the native door. Items that cannot be read are refused one by one; the others are kept.
///
/// One object may span lines; in a body of several objects each stands on a line of its own. Bytes that are not
/// UTF-8 are kept as `\xNN` in the text they stand in, backslashes of that line doubled, and the event marked
/// `not_utf8`.
#[must_use]
pub fn native(body: &[u8], limits: Limits, received: Timestamp) -> Decoded {
    decode(body, Door::Native, limits, received)
}

/// What the objects of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Events.
    Native,
    /// Calls of API Logger.
    Entries,
    /// Documents of Elasticsearch.
    Elasticsearch,
}

pub(crate) fn decode(body: &[u8], door: Door, limits: Limits, received: Timestamp) -> Decoded {
    let mut decoder = Decoder::new(door, limits, received);
    decoder.builder = BatchBuilder::with_room(body.len());
    let start = body.trim_ascii_start();
    let is_array = start.first() == Some(&b'[');
    match std::str::from_utf8(body) {
        Ok(text) if is_array => decoder.array(text),
        Ok(text) => decoder.objects(text),
        Err(_) if is_array => decoder.escaped(&escape_bytes(body), Decoder::array),
        Err(_) => body.split(|byte| *byte == b'\n').for_each(|line| match std::str::from_utf8(line) {
            Ok(line) => decoder.line(line),
            Err(_) => decoder.escaped(&escape_bytes(line), Decoder::line),
        }),
    }
    decoder.finish()
}

/// The text with every byte that is not UTF-8 as `\xNN`, within JSON: the backslash itself escaped.
pub(crate) fn escape_bytes(line: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(line.len() + 16);
    for chunk in line.utf8_chunks() {
        text.push_str(&chunk.valid().replace("\\\\", "\\\\\\\\"));
        for byte in chunk.invalid() {
            let written = write!(text, "\\\\x{byte:02x}");
            debug_assert!(written.is_ok(), "writing into memory cannot fail");
        }
    }
    text
}

#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) builder: BatchBuilder,
    /// The role of each key of the batch, by its number.
    roles: Vec<Role>,
    refused: Vec<Refused>,
    unlisted: BTreeMap<&'static str, usize>,
    pub(crate) kept: usize,
    index: usize,
    door: Door,
    /// Whether what is read now had bytes that are not UTF-8.
    pub(crate) escaped: bool,
    /// While what a visitor sent is read: the names that the server has set, which he cannot.
    set: Option<Vec<String>>,
    pub(crate) limits: Limits,
    now: Now,
    /// The id that stands beside the document that is read now.
    pub(crate) given: Option<Id>,
}

impl Decoder {
    pub(crate) fn new(door: Door, limits: Limits, received: Timestamp) -> Self {
        Self {
            builder: BatchBuilder::new(),
            roles: Vec::new(),
            refused: Vec::new(),
            unlisted: BTreeMap::new(),
            kept: 0,
            index: 0,
            door,
            escaped: false,
            set: None,
            limits,
            now: Now { received, only_uuid_ids: limits.only_uuid_ids, document: door == Door::Elasticsearch },
            given: None,
        }
    }

    pub(crate) fn finish(self) -> Decoded {
        Decoded {
            received: self.index,
            batch: self.builder.finish(),
            refused: self.refused,
            unlisted: self.unlisted,
            visit: self.set.is_some(),
            history: false,
        }
    }

    /// Reads one event out of two objects: what the server says, with the names that are his, and what a visitor sent.
    pub(crate) fn visit(&mut self, (own, names): (&str, Vec<String>), sent: &str) {
        let read = || {
            let mut noticed = Noticed::new();
            self.walk(own, &mut String::new(), 0, &mut noticed)?;
            self.set = Some(names);
            self.walk(sent, &mut String::new(), 0, &mut noticed)?;
            self.complete(noticed)
        };
        match read() {
            Ok(_) => self.index += 1,
            Err(reason) => {
                self.builder.rollback();
                self.refuse(reason);
            }
        }
    }

    pub(crate) fn escaped(&mut self, text: &str, read: impl Fn(&mut Self, &str)) {
        self.with_escapes(|decoder| read(decoder, text));
    }

    /// Reads something that had bytes that are not UTF-8.
    pub(crate) fn with_escapes(&mut self, read: impl FnOnce(&mut Self)) {
        self.escaped = true;
        read(self);
        self.escaped = false;
    }

    fn objects(&mut self, text: &str) {
        let first = text.trim_start().lines().next().unwrap_or("");
        // One object printed over several lines, as people type it.
        if !first.trim_end().ends_with('}')
            && text.len() <= self.limits.event_bytes_max
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        {
            self.item(text.trim());
            return;
        }
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) {
            self.line(&rest[..end]);
            rest = &rest[end + 1..];
        }
        self.line(rest);
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_matches([' ', '\t', '\r', '\n']);
        if !line.is_empty() {
            self.item(line);
        }
    }

    fn array(&mut self, text: &str) {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if is_too_deep(text, DEPTH_MAX + 1) {
            self.refuse(Reason::TooDeep);
            return;
        }
        let mut end = text.find('[').map_or(0, |at| at + 1);
        for item in sonic_rs::to_array_iter(text) {
            match item {
                Ok(value) => {
                    let raw = value.as_raw_str();
                    end = offset_in(text, raw) + raw.len();
                    self.item(raw);
                }
                Err(error) => {
                    self.refuse(Reason::NotJson {
                        message: format!(
                            "the array breaks off here, and what follows was not read: {}",
                            first_line(&error)
                        ),
                    });
                    return;
                }
            }
        }
        if text[end.min(text.len())..].trim_start() != "]" {
            self.refuse(Reason::NotJson { message: "there is something after the end of the array".to_owned() });
        }
    }

    /// How many items there were.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Counts an item that is kept.
    pub(crate) fn kept_one(&mut self) {
        self.kept += 1;
        self.index += 1;
    }

    /// Counts an item that is not kept.
    pub(crate) fn refuse(&mut self, reason: Reason) {
        if self.refused.len() < REFUSED_LISTED_MAX {
            self.refused.push(Refused { index: self.index, reason });
        } else {
            *self.unlisted.entry(reason.name()).or_default() += 1;
        }
        self.index += 1;
    }

    /// Reads one event.
    pub(crate) fn item(&mut self, text: &str) {
        match self.event(text) {
            Ok(()) => self.kept_one(),
            Err(reason) => {
                self.builder.rollback();
                self.refuse(reason);
            }
        }
    }

    pub(crate) fn event(&mut self, text: &str) -> Result<(), Reason> {
        let bytes_max = self.limits.event_bytes_max;
        if self.kept >= REQUEST_EVENTS_MAX {
            return Err(Reason::BatchFull);
        }
        if text.len() > bytes_max {
            return Err(Reason::TooLarge { bytes: text.len(), bytes_max });
        }
        if !text.starts_with('{') {
            return Err(not_an_object(text));
        }
        if is_too_deep(text, DEPTH_MAX) {
            return Err(Reason::TooDeep);
        }
        let repeated = match self.door {
            Door::Native | Door::Elasticsearch => self.document(text)?,
            Door::Entries => crate::entries::take(self, text)?,
        };
        if repeated == Walked::Whole {
            return Ok(());
        }
        // A key that occurs twice: the last one counts, as in every common reader.
        self.builder.rollback();
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| Reason::NotJson { message: error.to_string() })?;
        let text = value.to_string();
        match self.door {
            Door::Native | Door::Elasticsearch => self.document(&text)?,
            Door::Entries => crate::entries::take(self, &text)?,
        };
        Ok(())
    }

    fn document(&mut self, text: &str) -> Result<Walked, Reason> {
        let mut noticed = Noticed::new();
        match self.walk(text, &mut String::new(), 0, &mut noticed)? {
            Walked::Whole => self.complete(noticed),
            Walked::Repeated => Ok(Walked::Repeated),
        }
    }

    /// Adds what the event has to have, and keeps it.
    pub(crate) fn complete(&mut self, mut noticed: Noticed<'_>) -> Result<Walked, Reason> {
        if self.escaped {
            self.leaf("not_utf8", "true", &mut noticed)?;
        }
        noticed.finish(&mut self.builder, self.now, self.given.take())?;
        Ok(Walked::Whole)
    }

    /// Takes an object apart. Texts without escapes are borrowed from `text`.
    pub(crate) fn walk<'a>(
        &mut self,
        text: &'a str,
        path: &mut String,
        depth: usize,
        noticed: &mut Noticed<'a>,
    ) -> Result<Walked, Reason> {
        let mut walked = Walked::Whole;
        each_member(text, |key, raw| {
            let length = path.len();
            if depth == 0 {
                path.push_str(&event::escape_segment(key, true));
            } else {
                path.push('.');
                path.push_str(&event::escape_segment(key, false));
            }
            if raw.starts_with('{') && !raw[1..].trim_start().starts_with('}') {
                if depth == 0 && path == "exception" {
                    noticed.exception_object = Some(raw);
                }
                if self.walk(raw, path, depth + 1, noticed)? == Walked::Repeated {
                    walked = Walked::Repeated;
                }
            } else if !self.leaf(path, raw, noticed)? {
                walked = Walked::Repeated;
            }
            path.truncate(length);
            Ok(())
        })?;
        Ok(walked)
    }

    /// Adds one value. False when the event has one under this path.
    pub(crate) fn leaf<'a>(&mut self, path: &str, raw: &'a str, noticed: &mut Noticed<'a>) -> Result<bool, Reason> {
        let kept = match raw.as_bytes().first() {
            Some(b'"') => match unescape(raw) {
                Some(Cow::Borrowed(text)) => Kept::Value(Value::text(text)),
                Some(Cow::Owned(text)) => Kept::Text(text),
                None => Kept::Value(Value::Raw(raw)),
            },
            Some(b't') => Kept::Value(Value::Bool(true)),
            Some(b'f') => Kept::Value(Value::Bool(false)),
            Some(b'n') => Kept::Value(Value::Null),
            Some(b'-' | b'0'..=b'9') => Kept::Value(Value::number(raw)),
            Some(b'{' | b'[') => match on_one_line(raw) {
                Cow::Borrowed(raw) => Kept::Value(Value::Raw(raw)),
                Cow::Owned(raw) => Kept::Raw(raw),
            },
            _ => return Err(Reason::NotJson { message: format!("unreadable value under {path:?}") }),
        };
        Ok(self.keep(path, kept, noticed))
    }

    /// The same for a value that is read already.
    pub(crate) fn keep<'a>(&mut self, path: &str, kept: Kept<'a>, noticed: &mut Noticed<'a>) -> bool {
        if let Some(names) = &self.set {
            let name = event::logical_name(path);
            if names.iter().any(|set| is_within(&name, set)) {
                return true;
            }
        }
        let key = self.builder.key(path);
        while self.roles.len() <= key as usize {
            let role = role(self.builder.path(u32::try_from(self.roles.len()).unwrap_or(u32::MAX)));
            self.roles.push(if self.set.is_some() { role.of_stranger() } else { role });
        }
        let role = self.roles[key as usize];
        noticed.take(&mut self.builder, key, role, kept)
    }
}

/// Calls `take` with each key of an object and the text of its value, which borrows from `text`.
pub(crate) fn each_member<'a>(
    text: &'a str,
    mut take: impl FnMut(&str, &'a str) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut end = 1;
    for member in sonic_rs::to_object_iter(text) {
        let (key, value) = member.map_err(|error| Reason::NotJson { message: first_line(&error) })?;
        // The raw text borrows from `text`, not from the value: found again by its place.
        let raw_length = value.as_raw_str().len();
        let start = offset_in(text, value.as_raw_str());
        let raw =
            text.get(start..start + raw_length).ok_or_else(|| Reason::NotJson { message: "unreadable".to_owned() })?;
        end = start + raw_length;
        take(&key, raw)?;
    }
    if text[end..].trim_start_matches([' ', '\t', '\r', '\n']) == "}" {
        Ok(())
    } else {
        Err(Reason::NotJson { message: "there is something after the end of the object".to_owned() })
    }
}

/// A list or an empty object without the line breaks it was sent with: an answer has one event a line.
pub(crate) fn on_one_line(raw: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut line = String::with_capacity(raw.len());
    let (mut in_text, mut escaped) = (false, false);
    for character in raw.chars() {
        if in_text || !character.is_ascii_whitespace() {
            line.push(character);
        }
        in_text ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
    }
    Cow::Owned(line)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    Whole,
    /// Some key occurs twice.
    Repeated,
}

/// Where `part`, which borrows from `whole`, begins in it.
pub(crate) fn offset_in(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len())
}

fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or("unreadable").to_owned()
}

pub(crate) fn not_an_object(text: &str) -> Reason {
    let found = match text.as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(b't' | b'f') if matches!(text, "true" | "false") => "a boolean",
        Some(b'n') if text == "null" => "null",
        _ => return Reason::NotJson { message: "expected `{` at the beginning".to_owned() },
    };
    Reason::NotAnObject { found }
}

/// The place of the quote that ends the text which begins with the one at `start`; the end of all where none does.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(rest) = bytes.get(at..) {
        let Some(ahead) = memchr::memchr2(b'"', b'\\', rest) else { break };
        if rest[ahead] == b'"' {
            return at + ahead;
        }
        at += ahead + 2;
    }
    bytes.len()
}

/// Whether brackets are nested deeper than `depth_max`. Counts first, which is quick, and looks closer only then.
pub(crate) fn is_too_deep(text: &str, depth_max: usize) -> bool {
    let bytes = text.as_bytes();
    if memchr::memchr2_iter(b'{', b'[', bytes).take(depth_max + 1).count() <= depth_max {
        return false;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_text(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Byte by byte.
    fn depth_of(text: &str) -> usize {
        let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
        for byte in text.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'{' | b'[' if !in_text => depth += 1,
                b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(depth);
        }
        deepest
    }

    proptest! {
        #[test]
        fn brackets_within_texts_do_not_count(text in r#"([\[\]{}"\\a]|\\"){0,40}"#, depth_max in 0..6_usize) {
            prop_assert_eq!(is_too_deep(&text, depth_max), depth_of(&text) > depth_max);
        }
    }
}
