//! One event as one line for people: when, how bad, who, what, and the rest as `key=value`.
//!
//! Columns widen as longer values come, so that a live tail lines up without knowing what will follow. An exception is
//! told below its line, indented. All that is left out or cut here is in the JSON of the same event.

use std::fmt::Write as _;

use event::Level;
use event::shared::stream_of;
use jiff::tz::TimeZone;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::human::{cut, moment, pad, width};
use super::output::{Paint, Style, harmless};

/// Widest column before the message, in places of the terminal.
const COLUMN_PLACES_MAX: usize = 28;

/// Places of the longest level.
const LEVEL_PLACES: usize = 8;

/// Longest value shown after the message, in places of the terminal.
const VALUE_PLACES_MAX: usize = 160;

/// Most frames of an exception shown.
const FRAMES_MAX: usize = 20;

/// Payloads that a door keeps as they were sent; too long for a line.
const PAYLOADS: [&str; 5] = ["sentry", "rollbar", "otel", "azure", "ga4"];

/// An event or a row, with its keys in the order of the answer.
#[derive(Clone, Debug)]
pub(super) struct Row(pub(super) Vec<(String, Value)>);

impl Row {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Row;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut row = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    row.push(entry);
                }
                Ok(Row(row))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Writes events as lines that line up with those before.
pub(super) struct Liner {
    paint: Paint,
    zone: TimeZone,
    stream_places: usize,
    user_places: usize,
}

impl Liner {
    pub(super) fn new(paint: Paint, zone: TimeZone) -> Self {
        Self { paint, zone, stream_places: 0, user_places: 6 }
    }

    /// Makes room for an event that is to be written later.
    pub(super) fn measure(&mut self, event: &Row) {
        self.stream_places = self.stream_places.max(places(stream(event)));
        self.user_places = self.user_places.max(places(&user(event)));
    }

    /// The line of an event, and below it those of its exception.
    pub(super) fn lines(&mut self, event: &Row) -> Vec<String> {
        self.measure(event);
        let level = level(event);
        let style = level_style(Level::parse(level));
        let mut line = String::new();
        let mut column = |style: Style, text: &str, places: usize| {
            let text = pad(&cut(&harmless(text), COLUMN_PLACES_MAX), places);
            line.push_str(&self.paint.apply(style, &text));
            line.push_str("  ");
        };
        column(Style::Dim, &moment(event.text("timestamp"), &self.zone), 23);
        column(style, level, LEVEL_PLACES);
        if self.stream_places > 0 {
            column(Style::Cyan, stream(event), self.stream_places);
        }
        column(Style::Green, &user(event), self.user_places);
        self.push_words(&mut line, event);
        self.push_rest(&mut line, event);
        line.truncate(line.trim_end().len());
        let mut lines = vec![line];
        if let Some(exception) = event.get("exception") {
            self.push_exception(&mut lines, exception);
        }
        lines
    }

    fn push_words(&self, line: &mut String, event: &Row) {
        for (key, style) in [("event", Style::Bold), ("heading", Style::Bold), ("message", Style::Plain)] {
            let text = match event.get(key) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => continue,
            };
            if !text.is_empty() {
                line.push_str(&self.paint.apply(style, &harmless(&text)));
                line.push_str("  ");
            }
        }
    }

    fn push_rest(&self, line: &mut String, event: &Row) {
        const SHOWN: [&str; 13] = [
            "id",
            "timestamp",
            "received",
            "sequence",
            "stream",
            "level",
            "user",
            "event",
            "heading",
            "message",
            "exception",
            "dict_to_string",
            "show_timestamp",
        ];
        // A message that is an object is there a second time, taken apart.
        let said = |key: &str, value: &Value| {
            key == "data" && serde_json::from_str::<Value>(event.text("message")).is_ok_and(|message| message == *value)
        };
        for (key, value) in &event.0 {
            if SHOWN.contains(&key.as_str()) || said(key, value) {
                continue;
            }
            if PAYLOADS.contains(&key.as_str()) {
                self.push_pair(line, key, "{…}");
            } else {
                self.push_value(line, key, value);
            }
        }
    }

    fn push_value(&self, line: &mut String, key: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::Object(object) => {
                for (name, value) in object {
                    self.push_value(line, &format!("{key}.{name}"), value);
                }
            }
            Value::String(text) if is_bare(text) => self.push_pair(line, key, text),
            other => self.push_pair(line, key, &other.to_string()),
        }
    }

    fn push_pair(&self, line: &mut String, key: &str, value: &str) {
        let key = self.paint.apply(Style::Dim, &format!("{}=", harmless(key))).into_owned();
        // Writing to a String cannot fail.
        let _ = write!(line, "{key}{} ", cut(&harmless(value), VALUE_PLACES_MAX));
    }

    fn push_exception(&self, lines: &mut Vec<String>, exception: &Value) {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut indented = |indent: &str, style: Style, text: &str| {
            for part in text.lines() {
                lines.push(format!("{indent}{}", self.paint.apply(style, &harmless(&part.replace('\t', "    ")))));
            }
        };
        let Value::Object(_) = exception else {
            return indented("    ", Style::Red, exception.as_str().unwrap_or(&exception.to_string()));
        };
        indented("    ", Style::Red, &named(&text(exception, "type"), &text(exception, "message")));
        let frames = exception.get("frames").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for frame in frames.iter().take(FRAMES_MAX) {
            let ours = frame.get("in_app").and_then(Value::as_bool).unwrap_or(true);
            indented("      ", if ours { Style::Plain } else { Style::Dim }, &place(frame));
        }
        if frames.len() > FRAMES_MAX {
            indented("      ", Style::Dim, &format!("and {} frames more", frames.len() - FRAMES_MAX));
        }
        for cause in exception.get("chain").and_then(Value::as_array).into_iter().flatten() {
            let cause = match cause {
                Value::String(text) => text.clone(),
                other => named(&text(other, "type"), &text(other, "message")),
            };
            indented("    caused by ", Style::Red, &cause);
        }
    }
}

/// `Type: message`, or whichever there is.
pub(super) fn named(kind: &str, message: &str) -> String {
    match (kind, message) {
        ("", message) => message.to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    }
}

/// `at module::function (file:line)`.
pub(super) fn place(frame: &Value) -> String {
    let text = |key: &str| frame.get(key).and_then(Value::as_str).unwrap_or_default();
    let function = match (text("module"), text("function")) {
        ("", function) => function.to_owned(),
        (module, "") => module.to_owned(),
        (module, function) => format!("{module}.{function}"),
    };
    let line = frame.get("line").filter(|line| !line.is_null()).map(|line| format!(":{line}")).unwrap_or_default();
    match text("file") {
        "" => format!("at {function}"),
        file => format!("at {function} ({file}{line})"),
    }
}

/// Whether a value can stand without quotes and still be told from its neighbours.
fn is_bare(text: &str) -> bool {
    !text.is_empty() && !text.contains(|character: char| character.is_whitespace() || matches!(character, '"' | '='))
}

fn places(text: &str) -> usize {
    width(&cut(&harmless(text), COLUMN_PLACES_MAX))
}

/// The level, or in its place the stream of an event that has none.
fn level(event: &Row) -> &str {
    match (event.text("level"), event.text("stream")) {
        ("", stream) if stream.len() <= LEVEL_PLACES => stream,
        (level, _) => level,
    }
}

/// The stream, unless the column of the level says it already.
fn stream(event: &Row) -> &str {
    let stream = event.text("stream");
    let level = level(event);
    if stream == level || stream == stream_of(Level::parse(level)) { "" } else { stream }
}

/// The user as one word; what was sent as an object is shown by its id or name.
fn user(event: &Row) -> String {
    match event.get("user") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(object)) => {
            let known = ["id", "name", "email", "username"].into_iter().find_map(|key| object.get(key));
            match known {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => "{…}".to_owned(),
            }
        }
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The colour of a level.
pub(super) fn level_style(level: Option<Level>) -> Style {
    match level {
        Some(Level::Critical) => Style::Alarm,
        Some(Level::Error) => Style::Red,
        Some(Level::Warning) => Style::Yellow,
        Some(Level::Notice) => Style::Cyan,
        Some(Level::Trace | Level::Debug) => Style::Dim,
        Some(Level::Info) | None => Style::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[&str]) -> String {
        let mut liner = Liner::new(Paint::none(), TimeZone::UTC);
        let lines = events.iter().flat_map(|event| liner.lines(&serde_json::from_str(event).unwrap()));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn lines_line_up() {
        insta::assert_snapshot!(check(&[
            r#"{"id":"1","timestamp":"2026-01-02T09:30:00.000000Z","stream":"INFO","level":"info","event":"object_created","message":"","user":"7","request_id":"2f9e","status":201,"trace_id":null,"token":{"identifier":"a b","n":1}}"#,
            r#"{"timestamp":"2026-01-02T09:31:05.250999Z","stream":"LOGIN","level":"info","user":"alice@example.com","message":"in"}"#,
            r#"{"timestamp":"2026-01-02T09:31:05Z","stream":"ERROR","user":"bob","message":"no level"}"#,
            r#"{"timestamp":"2026-01-02T09:31:06Z","stream":"WARN","level":"warning","user":{"id":"u4"},"message":"two\nlines","otel":{"a":1},"list":[1,2]}"#,
        ]), @r#"
        2026-01-02 09:30:00.000  info      7       object_created  request_id=2f9e status=201 token.identifier="a b" token.n=1
        2026-01-02 09:31:05.250  info      LOGIN  alice@example.com  in
        2026-01-02 09:31:05.000  ERROR            bob                no level
        2026-01-02 09:31:06.000  warning          u4                 two\nlines  otel={…} list=[1,2]
        "#);
    }

    #[test]
    fn an_exception_stands_below() {
        insta::assert_snapshot!(check(&[
            r#"{"timestamp":"2026-01-02T09:30:00Z","level":"error","stream":"ERROR","user":"bob","message":"failed","exception":{"type":"TimeoutError","message":"no answer","frames":[{"function":"pay","module":"shop","file":"shop.py","line":7},{"function":"main","in_app":false}],"chain":[{"type":"OSError","message":"gone"}]}}"#,
            r#"{"timestamp":"2026-01-02T09:30:00Z","level":"error","stream":"ERROR","user":"bob","exception":"Traceback:\n\tline 1\nKeyError: 'a'"}"#,
        ]), @"
        2026-01-02 09:30:00.000  error     bob     failed
            TimeoutError: no answer
              at shop.pay (shop.py:7)
              at main
            caused by OSError: gone
        2026-01-02 09:30:00.000  error     bob
            Traceback:
                line 1
            KeyError: 'a'
        ");
    }

    #[test]
    fn an_event_cannot_command_the_terminal() {
        let line = check(&[
            "{\"timestamp\":\"x\",\"user\":\"\\u001b[2J\",\"message\":\"\\u001b]0;owned\\u0007\",\"k\\u001b\":\"\\u202e\"}",
        ]);
        assert!(!line.contains(|character: char| character.is_control() && character != '\n'), "{line:?}");
    }
}
