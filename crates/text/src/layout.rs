//! One event as text.

use std::borrow::Cow;

use event::{Level, Timestamp, shared};
use serde_json::Value;

use crate::Labels;
use crate::escape::{MARK, push_line};
use crate::pairs::{Pairs, is_entry_key, json_text, pretty};

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As API Logger writes it: `INFO:  Log entry here. § [2024-04-09 20:39:05]`.
    Text,
    /// As Logbook writes it: `[2024-04-09 20:39:05.000000+00:00] INFO: channel: message`.
    Logbook,
    /// `key=value` pairs.
    Logfmt,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Logbook, Self::Logfmt];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Logbook => "logbook",
            Self::Logfmt => "logfmt",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == text)
    }

    /// Appends an event (the JSON object that an answer holds) with the newline at its end. Only [`Layout::Text`] writes
    /// more than one line, for a heading or a dictionary.
    pub fn write(self, labels: &Labels, event: &Value, out: &mut String) {
        match self {
            Self::Text => write_text(labels, event, out),
            Self::Logbook => write_logbook(event, out),
            Self::Logfmt => Pairs::of(event).all(out),
        }
        out.push('\n');
    }
}

/// The level of an event as an answer holds it; of one that has none, what its stream says.
#[must_use]
pub fn level_of(event: &Value) -> Level {
    text(event, "level").and_then(Level::parse).unwrap_or(match stream(event) {
        "DEBUG" => Level::Debug,
        "WARN" => Level::Warning,
        "ERROR" => Level::Error,
        _ => Level::Info,
    })
}

fn text<'a>(event: &'a Value, key: &str) -> Option<&'a str> {
    event.get(key).and_then(Value::as_str)
}

fn is_set(event: &Value, key: &str) -> bool {
    event.get(key) == Some(&Value::Bool(true))
}

fn stream(event: &Value) -> &str {
    text(event, "stream").unwrap_or("INFO")
}

fn message(event: &Value) -> Option<Cow<'_, str>> {
    match event.get("message")? {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(json_text(other))),
    }
}

fn write_text(labels: &Labels, event: &Value, out: &mut String) {
    let heading = text(event, "heading").map(str::trim_start).filter(|heading| !heading.is_empty());
    push_line(&labels.of(stream(event)), out);
    match heading {
        Some(heading) => {
            out.push(' ');
            push_line(heading, out);
            out.push('\n');
        }
        None => out.push_str("  "),
    }
    match (dictionary(event), message(event)) {
        (Some(dictionary), _) => out.push_str(&dictionary),
        (None, Some(message)) => {
            // Without a label before it, it must not look as if it had one.
            if heading.is_some() && looks_like_a_line(&message) {
                out.push_str("    ");
            }
            push_line(&message, out);
        }
        (None, None) => push_structured(event, out),
    }
    if is_set(event, "show_timestamp")
        && let Some((date, time)) = text(event, "timestamp").and_then(date_and_time)
    {
        out.push_str(MARK);
        out.push_str(&date);
        out.push(' ');
        out.push_str(&time);
        out.push(']');
    }
}

fn looks_like_a_line(message: &str) -> bool {
    message.contains(": ") || message.starts_with([' ', '['])
}

/// The object or array that an entry holds, indented.
fn dictionary(event: &Value) -> Option<String> {
    let parsed;
    let found = match message(event) {
        Some(message) if is_set(event, "dict_to_string") => {
            parsed = serde_json::from_str::<Value>(&message).ok();
            parsed.as_ref()
        }
        Some(_) => None,
        // An entry that is nothing but data, as it was sent before there was a message beside it.
        None if text(event, "event").is_none() => event.get("data"),
        None => None,
    };
    found.filter(|value| value.is_object() || value.is_array()).map(pretty)
}

/// The name of the event and what it tells beside the shared keys, as `key=value` pairs.
fn push_structured(event: &Value, out: &mut String) {
    let name = text(event, "event");
    push_line(name.unwrap_or_default(), out);
    let mut pairs = String::new();
    Pairs::of(event).telling(&mut pairs);
    if name.is_some() && !pairs.is_empty() {
        out.push(' ');
    }
    out.push_str(&pairs);
}

fn write_logbook(event: &Value, out: &mut String) {
    let moment = text(event, "timestamp").unwrap_or_default();
    out.push('[');
    match moment.strip_suffix('Z').and_then(|moment| moment.split_once('T')) {
        Some((date, time)) => {
            out.push_str(date);
            out.push(' ');
            out.push_str(time);
            out.push_str("+00:00");
        }
        None => push_line(moment, out),
    }
    out.push_str("] ");
    out.push_str(&level_of(event).name().to_ascii_uppercase());
    out.push_str(": ");
    let channel = ["logger", "source"].into_iter().find_map(|key| text(event, key));
    push_line(channel.unwrap_or_else(|| stream(event)), out);
    out.push_str(": ");
    match message(event) {
        Some(message) => push_line(&message, out),
        None => push_structured(event, out),
    }
}

/// A moment as `2024-04-09` and `20:39:05`, UTC.
pub(crate) fn date_and_time(moment: &str) -> Option<(String, String)> {
    let (moment, _) = Timestamp::parse(moment)?;
    let moment = moment.to_string();
    let (date, time) = moment.split_once('T')?;
    Some((date.to_owned(), time.get(..8)?.to_owned()))
}

/// Whether a key is told by the layout itself, or stands before every entry of a log anyway.
pub(crate) fn is_told(key: &str) -> bool {
    is_entry_key(key) || shared::ORDER.contains(&key)
}

#[cfg(test)]
mod tests;
