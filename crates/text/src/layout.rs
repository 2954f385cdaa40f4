//! One event as text.

use serde_json::Value;

use crate::Labels;

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

    /// Appends an event (the JSON object that an answer holds) with the newline at its end.
    pub fn write(self, labels: &Labels, event: &Value, out: &mut String) {
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        out.push_str(&labels.of(text("stream")));
        out.push_str("  ");
        out.push_str(text("message"));
        out.push('\n');
    }
}
