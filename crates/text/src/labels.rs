//! What stands before the message of a line: one label for each stream.

use std::collections::BTreeMap;

/// Streams whose label is not their name with a colon, as API Logger writes them.
const OWN_LABELS: [(&str, &str); 3] =
    [("WARN", "WARNING:"), ("SECURITY ALERT", "SECURITY:"), ("INTERNAL", "[ INTERNAL ]:")];

/// The labels of the streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    own: BTreeMap<String, String>,
}

impl Labels {
    /// Gives a stream a label. Blanks at its end do not count: a layout has its own.
    pub fn set(&mut self, stream: &str, label: &str) {
        self.own.insert(stream.to_owned(), label.trim_end().to_owned());
    }

    /// The label of a stream: its own, or its name with a colon.
    #[must_use]
    pub fn of(&self, stream: &str) -> String {
        let built_in = || OWN_LABELS.iter().find(|(name, _)| *name == stream).map(|(_, label)| (*label).to_owned());
        self.own.get(stream).cloned().or_else(built_in).unwrap_or_else(|| format!("{stream}:"))
    }
}
