//! `key=value` pairs, and JSON as text.

use event::shared;
use serde::Serialize as _;
use serde_json::Value;

use crate::escape::{is_harmful, push_json, push_line};
use crate::layout::is_told;

/// Shared keys that say what happened where an event has no message.
const TELLING: [&str; 5] = ["method", "path", "status", "duration_ms", "exception"];

/// Keys by which an entry says how it is to be written.
const ENTRY_KEYS: [&str; 3] = ["heading", "dict_to_string", "show_timestamp"];

pub(crate) fn is_entry_key(key: &str) -> bool {
    ENTRY_KEYS.contains(&key)
}

/// The keys of an event, flattened with dots.
pub(crate) struct Pairs<'a> {
    keys: Vec<(&'a str, &'a Value)>,
}

impl<'a> Pairs<'a> {
    /// Of an event, the shared keys first.
    pub(crate) fn of(event: &'a Value) -> Self {
        let mut keys: Vec<_> =
            event.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect();
        keys.sort_by_key(|(key, _)| shared::rank(key));
        Self { keys }
    }

    /// All of them.
    pub(crate) fn all(&self, out: &mut String) {
        let start = out.len();
        for (key, value) in &self.keys {
            push(key, value, start, out);
        }
    }

    /// Those that tell something beside the message.
    pub(crate) fn telling(&self, out: &mut String) {
        let start = out.len();
        for (key, value) in &self.keys {
            match *key {
                "exception" => {
                    for part in ["type", "message"] {
                        if let Some(value) = value.get(part) {
                            push(&format!("exception.{part}"), value, start, out);
                        }
                    }
                }
                key if TELLING.contains(&key) || !is_told(key) => push(key, value, start, out),
                _ => {}
            }
        }
    }
}

/// Appends one key, or what is below it.
fn push(key: &str, value: &Value, start: usize, out: &mut String) {
    if let Value::Object(object) = value
        && !object.is_empty()
    {
        for (inner, value) in object {
            push(&format!("{key}.{inner}"), value, start, out);
        }
        return;
    }
    if out.len() > start {
        out.push(' ');
    }
    // A key stands for itself: what could end it is no part of one.
    let split = |character: char| character.is_whitespace() || matches!(character, '=' | '"') || is_harmful(character);
    out.extend(key.chars().map(|character| if split(character) { '_' } else { character }));
    out.push('=');
    match value {
        Value::String(text) => push_value(text, out),
        other => push_value(&other.to_string(), out),
    }
}

/// A bare word if nothing in it could be taken for something else, otherwise in quotes.
fn push_value(text: &str, out: &mut String) {
    let special =
        |character: char| character.is_whitespace() || matches!(character, '=' | '"' | '\\') || is_harmful(character);
    if !text.is_empty() && !text.contains(special) {
        push_line(text, out);
        return;
    }
    out.push('"');
    push_line(&text.replace('\\', r"\\").replace('"', r#"\""#), out);
    out.push('"');
}

/// JSON on one line.
pub(crate) fn json_text(value: &Value) -> String {
    value.to_string()
}

/// JSON indented by four blanks, as Python does it, without escapes for what is no ASCII.
pub(crate) fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter));
    debug_assert!(written.is_ok(), "writing into memory cannot fail");
    let json = String::from_utf8_lossy(&bytes);
    let mut out = String::with_capacity(json.len());
    push_json(&json, &mut out);
    out
}
