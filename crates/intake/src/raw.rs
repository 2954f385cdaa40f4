//! Reading a few members of a JSON document and leaving the rest as it stands: a payload of many kilobytes is looked
//! through once, and nothing is made of what nobody asks for.

use std::borrow::Cow;

use event::text::unescape;
use event::{Level, Timestamp, Value};

use crate::decode::{Reason, each_member, offset_in};
use crate::shaped::Shaped;

/// Longest id of a trace or a span, in bytes: twice what any protocol has.
const HEX_BYTES_MAX: usize = 72;

/// Longest text that is handed on from one event to others, in bytes.
const INHERITED_BYTES_MAX: usize = 512;

/// The members of an object that have these names, as they stand there; the last of one that occurs twice. Null is
/// none, and what is no object has no members.
pub(crate) fn pick<'a, const N: usize>(object: Option<&'a str>, names: [&str; N]) -> [Option<&'a str>; N] {
    let mut found = [None; N];
    members(object, |key, raw| {
        if let Some(at) = names.iter().position(|name| *name == key) {
            found[at] = Some(raw).filter(|raw| *raw != "null");
        }
    });
    found
}

/// One member of an object.
pub(crate) fn member<'a>(object: Option<&'a str>, name: &str) -> Option<&'a str> {
    pick(object, [name])[0]
}

/// All members of an object, as far as it can be read.
pub(crate) fn members<'a>(object: Option<&'a str>, mut take: impl FnMut(&str, &'a str)) {
    if let Some(object) = object.filter(|object| object.starts_with('{')) {
        // What cannot be read is found by whoever keeps the document.
        let _ = each_member(object, |key, raw| {
            take(key, raw);
            Ok(())
        });
    }
}

/// The elements of an array, as far as it can be read.
pub(crate) fn elements(array: Option<&str>) -> impl Iterator<Item = &str> {
    let array = array.filter(|array| array.starts_with('[')).unwrap_or("[]");
    sonic_rs::to_array_iter(array).map_while(move |element| {
        let element = element.ok()?;
        let start = offset_in(array, element.as_raw_str());
        array.get(start..start + element.as_raw_str().len())
    })
}

/// A text, or a number or a truth as its text. Nothing for what is empty, null, or a list or an object.
pub(crate) fn text(raw: Option<&str>) -> Option<Cow<'_, str>> {
    let raw = raw?;
    let text = match raw.as_bytes().first()? {
        b'"' => unescape(raw)?,
        b'{' | b'[' => return None,
        _ if raw == "null" => return None,
        _ => Cow::Borrowed(raw),
    };
    if text.is_empty() { None } else { Some(text) }
}

/// A moment: epoch seconds with a fraction, or a text of any form that the native door takes.
pub(crate) fn moment(raw: Option<&str>) -> Option<Timestamp> {
    let raw = raw?;
    match raw.as_bytes().first()? {
        b'"' => Timestamp::parse(&unescape(raw)?).map(|(moment, _)| moment),
        b'-' | b'0'..=b'9' => match Value::number(raw) {
            Value::Int(number) => Timestamp::from_epoch(number).map(|(moment, _)| moment),
            // Of more digits than a float has, those that count are the first ones.
            _ => Timestamp::from_epoch_float(raw.parse().ok()?).map(|(moment, _)| moment),
        },
        _ => None,
    }
}

/// A number, which may come as a text.
pub(crate) fn number(raw: Option<&str>) -> Option<Value<'static>> {
    let text = text(raw)?;
    let first = text.as_bytes().first()?;
    if text.len() > 40 || !matches!(first, b'-' | b'0'..=b'9') {
        return None;
    }
    match Value::number(&text) {
        Value::Int(number) => Some(Value::Int(number)),
        Value::Float(number) => Some(Value::Float(number)),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float),
    }
}

/// A number of seconds as milliseconds.
pub(crate) fn seconds_as_ms(raw: Option<&str>) -> Option<Value<'static>> {
    #[expect(clippy::cast_precision_loss, reason = "no duration has so many seconds")]
    match number(raw)? {
        Value::Int(seconds) => Some(Value::Float(seconds as f64 * 1e3)),
        Value::Float(seconds) => Some(Value::Float((seconds * 1e9).round() / 1e6)),
        _ => None,
    }
}

/// The milliseconds between two moments.
pub(crate) fn ms_between(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<Value<'static>> {
    let micros = end?.as_micros().checked_sub(start?.as_micros())?;
    #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 microseconds")]
    Some(Value::Float(micros as f64 / 1e3))
}

/// A status of HTTP.
pub(crate) fn status(raw: Option<&str>) -> Option<Value<'static>> {
    number(raw).filter(|status| matches!(status, Value::Int(100..=599)))
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The shared keys of an event, gathered before it is filled in. The first that is said of a key counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared<'a> {
    texts: Vec<(&'static str, Cow<'a, str>)>,
    values: Vec<(&'static str, Value<'a>)>,
    lists: Vec<(&'static str, String)>,
}

impl<'a> Shared<'a> {
    pub(crate) fn text(&mut self, path: &'static str, text: Option<Cow<'a, str>>) {
        if let Some(text) = text.filter(|text| !text.is_empty())
            && self.get(path).is_none()
        {
            self.texts.push((path, text));
        }
    }

    pub(crate) fn value(&mut self, path: &'static str, value: Option<Value<'a>>) {
        if let Some(value) = value
            && !self.values.iter().any(|(known, _)| *known == path)
        {
            self.values.push((path, value));
        }
    }

    /// JSON that was put together here.
    pub(crate) fn list(&mut self, path: &'static str, json: String) {
        self.lists.push((path, json));
    }

    pub(crate) fn moment(&mut self, moment: Option<Timestamp>) {
        self.text("timestamp", moment.map(|moment| Cow::Owned(moment.to_string())));
    }

    pub(crate) fn level(&mut self, name: Option<Cow<'a, str>>) {
        self.text("level", name.and_then(|name| Level::parse(&name)).map(|level| Cow::Borrowed(level.name())));
    }

    /// The id of a trace or a span, as every protocol is asked for it: digits only, in lower case.
    pub(crate) fn hex(&mut self, path: &'static str, id: Option<Cow<'a, str>>) {
        let plain = |id: Cow<'a, str>| {
            if id.bytes().any(|byte| byte == b'-' || byte.is_ascii_uppercase()) {
                Cow::Owned(id.replace('-', "").to_ascii_lowercase())
            } else {
                id
            }
        };
        let is_id = |id: &Cow<'a, str>| id.len() <= HEX_BYTES_MAX && id.bytes().any(|digit| digit != b'0');
        self.text(path, id.map(plain).filter(is_id));
    }

    /// A URL, and the path in it.
    pub(crate) fn url(&mut self, url: Option<Cow<'a, str>>) {
        let Some(url) = url else { return };
        let after = url.split_once("://").map_or(&*url, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
        let path = after.split(['?', '#']).next().filter(|path| path.starts_with('/')).map(str::to_owned);
        self.text("path", path.map(Cow::Owned));
        self.text("url", Some(url));
    }

    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| *known == path).map(|(_, text)| &**text)
    }

    /// These keys of another event, where this one has none. Long texts stay behind: there may be many heirs.
    pub(crate) fn inherit(&mut self, other: &Self, paths: &[&str]) {
        let shared = |(path, text): &&(&str, Cow<'a, str>)| paths.contains(path) && text.len() <= INHERITED_BYTES_MAX;
        for (path, text) in other.texts.iter().filter(shared) {
            self.text(path, Some(text.clone()));
        }
    }

    /// Fills an event in.
    pub(crate) fn fill<'s>(&'s self, event: &mut Shaped<'_, 's>) -> Result<(), Reason> {
        for (path, text) in &self.texts {
            event.text(path, text);
        }
        for (path, value) in &self.values {
            event.value(path, *value);
        }
        for (path, json) in &self.lists {
            event.json(path, json)?;
        }
        Ok(())
    }
}
