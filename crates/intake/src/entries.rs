//! The call of API Logger: a stream, a location and a message, and how its line is to look.
//!
//! An entry becomes an event with the keys `stream`, `user` (the location) and `message`. What only concerns its line
//! is kept beside them: `heading`, `dict_to_string`, `show_timestamp`. Nothing is remembered from one entry to the next.

use std::borrow::Cow;

use event::limits::{HEADING_BYTES_MAX, LOCATION_BYTES_MAX, STREAM_BYTES_MAX};
use event::suggest::suggest;
use event::text::unescape;
use event::{Level, Timestamp, Value, shared};

use crate::decode::{Decoded, Decoder, Door, Limits, Reason, Walked, decode, each_member};
use crate::normalise::{Kept, Noticed};

/// The keys of an entry.
const KEYS: [&str; 11] =
    ["stream", "location", "message", "timestamp", "heading", "dict_to_string", "m", "at", "id", "level", "fields"];

/// What others call these keys.
const OTHER_NAMES: [(&str, &str); 10] = [
    ("user", "location"),
    ("username", "location"),
    ("user_id", "location"),
    ("msg", "message"),
    ("text", "message"),
    ("time", "at"),
    ("datetime", "at"),
    ("severity", "level"),
    ("extra", "fields"),
    ("data", "fields"),
];

/// Reads a body of API Logger calls: one entry, an array of them, or one a line. Entries that cannot be read are
/// refused one by one; the others are kept. Bytes that are not UTF-8 are kept as [`crate::native`] keeps them.
#[must_use]
pub fn entries(body: &[u8], limits: Limits, received: Timestamp) -> Decoded {
    decode(body, Door::Entries, limits, received)
}

/// Reads one entry that was sent as a form. Its values are texts: `true`, `yes`, `on` and `1` say yes, `fields` is the
/// text of a JSON object, and so is `message` when `dict_to_string` is set.
#[must_use]
pub fn form(body: &[u8], limits: Limits, received: Timestamp) -> Decoded {
    let body = body.trim_ascii();
    if body.is_empty() || matches!(body.first(), Some(b'{' | b'[')) {
        // Some clients call everything a form that they send.
        return entries(body, limits, received);
    }
    entries(&json_of_form(body), limits, received)
}

/// The values of one entry as they were sent, by their places in [`KEYS`]; null is as good as not there.
#[derive(Default)]
struct Sent<'a>([Option<&'a str>; KEYS.len()]);

impl<'a> Sent<'a> {
    fn read(text: &'a str) -> Result<Self, Reason> {
        let mut sent = Self::default();
        each_member(text, |key, raw| {
            let place = KEYS.iter().position(|known| *known == key).ok_or_else(|| unknown(key))?;
            sent.0[place] = (raw != "null").then_some(raw);
            Ok(())
        })?;
        Ok(sent)
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.0[KEYS.iter().position(|known| *known == key)?]
    }

    /// A text; an empty one is as good as none.
    fn text(&self, key: &'static str, bytes_max: usize) -> Result<Option<String>, Reason> {
        let Some(raw) = self.get(key) else { return Ok(None) };
        let text = unescape(raw).ok_or_else(|| wrong(key, "a text", raw))?.into_owned();
        if text.len() > bytes_max {
            return Err(Reason::TooLong { key, bytes: text.len(), bytes_max });
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn is_true(&self, key: &'static str, expected: &'static str) -> Result<bool, Reason> {
        match self.get(key) {
            Some("true") => Ok(true),
            None | Some("false") => Ok(false),
            Some(raw) => Err(wrong(key, expected, raw)),
        }
    }

    /// What is to be said: `message`, or `m` if that stands alone.
    fn message(&self) -> Result<Option<&'a str>, Reason> {
        let Some(short) = self.get("m") else { return Ok(self.get("message")) };
        let beside: Vec<String> = ["stream", "location", "message"]
            .iter()
            .filter(|key| self.get(key).is_some())
            .map(|key| format!("`{key}`"))
            .collect();
        if beside.is_empty() {
            return Ok(Some(short));
        }
        let what = format!(
            "`m` is a message for the stream INFO and the user system, and does not go together with {}: send `message` instead of `m`",
            beside.join(" and ")
        );
        Err(Reason::Conflict { what })
    }
}

/// Makes one entry an event.
pub(crate) fn take(decoder: &mut Decoder, text: &str) -> Result<Walked, Reason> {
    let sent = Sent::read(text)?;
    let message = sent.message()?;
    let fields = sent.get("fields");
    let pretty = sent.is_true("dict_to_string", "true or false")?;
    if message.is_none() && (pretty || fields.is_none_or(is_empty_object)) {
        return Err(Reason::NoMessage);
    }
    let mut noticed = Noticed::new();
    let mut said = vec![("stream", "stream"), ("user", "location"), ("message", "message")];
    let stream = sent.text("stream", STREAM_BYTES_MAX)?;
    let stream = stream.as_deref().map_or("INFO", shared::stream_name).to_owned();
    decoder.keep("stream", Kept::Text(stream), &mut noticed);
    location(decoder, &sent, &mut noticed)?;
    if let Some(message) = message
        && say(decoder, message, &mut said, &mut noticed)? == Walked::Repeated
    {
        return Ok(Walked::Repeated);
    }
    const SHOWN: &str = "true or false, and says whether the line shows the time (when it happened is said by `at`)";
    let shown = sent.is_true("timestamp", SHOWN)?;
    for (path, key, wanted) in [("dict_to_string", "dict_to_string", pretty), ("show_timestamp", "timestamp", shown)] {
        if wanted {
            said.push((path, key));
            decoder.leaf(path, "true", &mut noticed)?;
        }
    }
    if let Some(heading) = sent.text("heading", HEADING_BYTES_MAX)? {
        said.push(("heading", "heading"));
        decoder.keep("heading", Kept::Text(heading), &mut noticed);
    }
    for (path, key, check) in
        [("timestamp", "at", is_time as fn(&str) -> bool), ("level", "level", is_level), ("id", "id", is_id)]
    {
        let Some(raw) = sent.get(key).filter(|raw| *raw != "\"\"") else { continue };
        if !check(raw) {
            return Err(wrong(key, expected(key), raw));
        }
        said.push((path, key));
        decoder.leaf(path, raw, &mut noticed)?;
    }
    if let Some(fields) = fields
        && further(decoder, fields, &said, &mut noticed)? == Walked::Repeated
    {
        return Ok(Walked::Repeated);
    }
    decoder.complete(noticed)
}

/// A user name: a text, or a number as some applications have them.
fn location<'a>(decoder: &mut Decoder, sent: &Sent<'a>, noticed: &mut Noticed<'a>) -> Result<(), Reason> {
    const KEY: &str = "location";
    if let Some(raw) = sent.get(KEY).filter(|raw| is_number(raw)) {
        if raw.len() > LOCATION_BYTES_MAX {
            return Err(Reason::TooLong { key: KEY, bytes: raw.len(), bytes_max: LOCATION_BYTES_MAX });
        }
        return decoder.leaf("user", raw, noticed).map(drop);
    }
    if sent.get(KEY).is_some_and(|raw| !raw.starts_with('"')) {
        return Err(wrong(KEY, "the name of a user, or system", sent.get(KEY).unwrap_or_default()));
    }
    let name = sent.text(KEY, LOCATION_BYTES_MAX)?.unwrap_or_else(|| shared::SYSTEM_USER.to_owned());
    decoder.keep("user", Kept::Text(name), noticed);
    Ok(())
}

/// The message is a text. What is none is kept as its JSON, and an object under `data` besides, where each of its keys
/// is found.
fn say<'a>(
    decoder: &mut Decoder,
    raw: &'a str,
    said: &mut Vec<(&'static str, &'static str)>,
    noticed: &mut Noticed<'a>,
) -> Result<Walked, Reason> {
    let text = match raw.strip_prefix('"') {
        // What is no Unicode keeps its escapes.
        Some(open) => unescape(raw).map_or_else(|| open.strip_suffix('"').unwrap_or(open).to_owned(), Cow::into_owned),
        None => compact(raw),
    };
    decoder.keep("message", Kept::Text(text), noticed);
    if !raw.starts_with('{') {
        return Ok(Walked::Whole);
    }
    said.push(("data", "message"));
    if is_empty_object(raw) {
        decoder.leaf("data", "{}", noticed)?;
        return Ok(Walked::Whole);
    }
    decoder.walk(raw, &mut "data".to_owned(), 1, noticed)
}

/// Further keys of the event, none of which may say again what is said already.
fn further<'a>(
    decoder: &mut Decoder,
    raw: &'a str,
    said: &[(&'static str, &'static str)],
    noticed: &mut Noticed<'a>,
) -> Result<Walked, Reason> {
    if !raw.starts_with('{') {
        return Err(wrong("fields", "an object with further keys of the event", raw));
    }
    if is_empty_object(raw) {
        return Ok(Walked::Whole);
    }
    each_member(raw, |key, _| match said.iter().find(|(path, _)| *path == key) {
        None => Ok(()),
        Some((path, by)) => {
            let what = format!("`{path}` in `fields` says again what `{by}` says: leave one of the two out");
            Err(Reason::Conflict { what })
        }
    })?;
    decoder.walk(raw, &mut String::new(), 0, noticed)
}

fn is_empty_object(raw: &str) -> bool {
    raw.starts_with('{') && raw[1..].trim_start().starts_with('}')
}

fn expected(key: &str) -> &'static str {
    match key {
        "at" => "a time such as \"2024-04-09T20:39:05Z\", or seconds since 1970",
        "level" => "one of trace, debug, info, notice, warning, error and critical",
        _ => "a text or a number",
    }
}

fn is_time(raw: &str) -> bool {
    match unescape(raw) {
        Some(text) => Timestamp::parse(&text).is_some(),
        None => match Value::number(raw) {
            Value::Int(number) => Timestamp::from_epoch(number).is_some(),
            Value::Float(number) => Timestamp::from_epoch_float(number).is_some(),
            _ => false,
        },
    }
}

fn is_level(raw: &str) -> bool {
    unescape(raw).is_some_and(|name| Level::parse(&name).is_some())
}

fn is_id(raw: &str) -> bool {
    is_number(raw) || unescape(raw).is_some()
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn wrong(key: &'static str, expected: &'static str, raw: &str) -> Reason {
    let found = match raw.as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "a list".to_owned(),
        _ => raw.chars().take(60).collect(),
    };
    Reason::WrongValue { key, expected, found }
}

fn unknown(key: &str) -> Reason {
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == key).map(|(_, known)| *known);
    let near = other.or_else(|| suggest(key, KEYS.into_iter()));
    let hint = near.map_or_else(String::new, |near| format!(": did you mean {near:?}?"));
    Reason::UnknownKey { key: key.chars().take(100).collect(), hint }
}

/// JSON without blanks between its parts, keys in their order and numbers as they were sent, texts without escapes that
/// they do not need.
fn compact(raw: &str) -> String {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(first) = rest.bytes().next() {
        let length = if first == b'"' { text_length(rest) } else { rest.find('"').unwrap_or(rest.len()) };
        let (part, after) = rest.split_at(length);
        rest = after;
        match unescape(part) {
            Some(text) => Value::Str(&text).write_json(&mut out),
            None if first == b'"' => out.extend_from_slice(part.as_bytes()),
            None => out.extend(part.bytes().filter(|byte| !byte.is_ascii_whitespace())),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How many bytes the text takes that `json` begins with, quotes included.
fn text_length(json: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

/// The entry in a form as a JSON object. Bytes that are not UTF-8 stay as they are.
fn json_of_form(body: &[u8]) -> Vec<u8> {
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = body
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let middle = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            (unquoted(&pair[..middle]), unquoted(pair.get(middle + 1..).unwrap_or_default()))
        })
        .collect();
    let says_yes =
        |value: &[u8]| matches!(value.to_ascii_lowercase().as_slice(), b"true" | b"yes" | b"y" | b"on" | b"1" | b"t");
    let says_no = |value: &[u8]| {
        matches!(value.to_ascii_lowercase().as_slice(), b"" | b"false" | b"no" | b"n" | b"off" | b"0" | b"f")
    };
    let pretty = pairs.iter().any(|(key, value)| key == b"dict_to_string" && says_yes(value));
    let mut json = vec![b'{'];
    for (key, value) in &pairs {
        if json.len() > 1 {
            json.push(b',');
        }
        quote(key, &mut json);
        json.push(b':');
        let is_object = || serde_json::from_slice::<serde_json::Value>(value).is_ok_and(|parsed| parsed.is_object());
        match key.as_slice() {
            b"timestamp" | b"dict_to_string" if says_yes(value) => json.extend_from_slice(b"true"),
            b"timestamp" | b"dict_to_string" if says_no(value) => json.extend_from_slice(b"false"),
            b"fields" if value.is_empty() => json.extend_from_slice(b"null"),
            b"fields" if is_object() => one_line(value, &mut json),
            b"message" | b"m" if pretty && is_object() => one_line(value, &mut json),
            _ => quote(value, &mut json),
        }
    }
    json.push(b'}');
    json
}

/// JSON may stand on several lines; the line breaks in its texts are escapes.
fn one_line(value: &[u8], json: &mut Vec<u8>) {
    json.extend(value.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
}

fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        let hex = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, after) {
            (b'%', [high, low, beyond @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                out.push(hex(high).unwrap_or(0) << 4 | hex(low).unwrap_or(0));
                rest = beyond;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*first),
        }
    }
    out
}

/// Appends bytes as a JSON text; those that are not UTF-8 as they are.
fn quote(bytes: &[u8], json: &mut Vec<u8>) {
    json.push(b'"');
    for chunk in bytes.utf8_chunks() {
        let mut text = Vec::new();
        Value::Str(chunk.valid()).write_json(&mut text);
        json.extend_from_slice(text.get(1..text.len() - 1).unwrap_or_default());
        json.extend_from_slice(chunk.invalid());
    }
    json.push(b'"');
}
