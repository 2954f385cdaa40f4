//! An event in the making: the fields a format has found, written out as a JSON object at the end.

use super::clock::write_timestamp;
use super::level::Level;
use super::text::double_backslashes;
use jiff::Timestamp;
use std::fmt::Write as _;

/// What one record says. The fields with a name of their own may still change while further lines of the record come.
#[derive(Default, Debug)]
pub(super) struct Event {
    pub(super) timestamp: Option<Timestamp>,
    pub(super) level: Option<Level>,
    pub(super) message: Option<String>,
    pub(super) exception: Option<String>,
    /// The record was a JSON object already, and this is it.
    pub(super) verbatim: Option<String>,
    /// The other fields, as the inside of a JSON object: `,"key":value` for each.
    pub(super) fields: String,
}

/// What a record says about its own keeping.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Keeping {
    pub(super) not_utf8: bool,
    pub(super) truncated_bytes: u64,
}

impl Event {
    pub(super) fn with_message(message: &str) -> Self {
        Self { message: Some(message.to_owned()), ..Self::default() }
    }

    /// Adds a text field.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_text(&mut self.fields, value);
    }

    /// Adds a text field, unless it is empty or `-`, the usual sign for "nothing".
    pub(super) fn text_unless_missing(&mut self, key: &str, value: &str) {
        if !matches!(value, "" | "-") {
            self.text(key, value);
        }
    }

    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        write_number(&mut self.fields, value);
    }

    /// Adds a list of texts, unless it is empty.
    pub(super) fn texts(&mut self, key: &str, values: &[&str]) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        for (index, value) in values.iter().enumerate() {
            self.fields.push(if index == 0 { '[' } else { ',' });
            write_text(&mut self.fields, value);
        }
        self.fields.push(']');
    }

    /// Adds a field whose value is JSON already.
    pub(super) fn json(&mut self, key: &str, value: &str) {
        self.key(key);
        self.fields.push_str(value);
    }

    fn key(&mut self, key: &str) {
        self.fields.push(',');
        write_text(&mut self.fields, key);
        self.fields.push(':');
    }

    /// Escapes what is here already as a line that is not UTF-8 is escaped, because one such line is being added.
    pub(super) fn double_backslashes(&mut self) {
        for text in [&mut self.message, &mut self.exception].into_iter().flatten() {
            *text = double_backslashes(text).into_owned();
        }
        // In JSON a backslash is two; other escapes also begin with one, so a plain replacement would not do.
        let mut doubled = String::with_capacity(self.fields.len());
        let mut rest = self.fields.as_str();
        while let Some((before, escape)) = rest.split_once('\\') {
            doubled.push_str(before);
            doubled.push('\\');
            rest = escape;
            if let Some(after) = rest.strip_prefix('\\') {
                doubled.push_str("\\\\\\");
                rest = after;
            }
        }
        doubled.push_str(rest);
        self.fields = doubled;
    }

    /// The event as the text of one JSON object.
    pub(super) fn into_json(self, keeping: Keeping) -> String {
        if let Some(verbatim) = self.verbatim {
            return verbatim;
        }
        let texts = self.message.as_ref().map_or(0, String::len) + self.exception.as_ref().map_or(0, String::len);
        let mut json = String::with_capacity(self.fields.len() + texts + texts / 8 + 160);
        if let Some(timestamp) = self.timestamp {
            json.push_str(",\"timestamp\":\"");
            write_timestamp(&mut json, timestamp);
            json.push('"');
        }
        if let Some(level) = self.level {
            json.push_str(",\"level\":\"");
            json.push_str(level.name());
            json.push('"');
        }
        for (key, text) in [(",\"message\":", &self.message), (",\"exception\":", &self.exception)] {
            if let Some(text) = text {
                json.push_str(key);
                write_text(&mut json, text);
            }
        }
        json.push_str(&self.fields);
        if keeping.not_utf8 {
            json.push_str(",\"not_utf8\":true");
        }
        if keeping.truncated_bytes > 0 {
            json.push_str(",\"truncated_bytes\":");
            write_number(&mut json, keeping.truncated_bytes);
        }
        if json.is_empty() {
            return "{}".to_owned();
        }
        json.replace_range(..1, "{");
        json.push('}');
        json
    }
}

pub(super) fn write_number(json: &mut String, value: u64) {
    // Writing to a String cannot fail.
    let _ = write!(json, "{value}");
}

/// Writes a JSON string.
pub(super) fn write_text(json: &mut String, text: &str) {
    json.push('"');
    let mut clean_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.push_str(&text[clean_from..at]);
        clean_from = at + 1;
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            control => {
                let _ = write!(json, "\\u{control:04x}");
            }
        }
    }
    json.push_str(&text[clean_from..]);
    json.push('"');
}
