//! Events as lines of text, with the labels of the server's streams.

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;
use text::{Entry, Labels, Layout};

use super::client::Client;

/// A layout, as an option names it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum LayoutName {
    /// Lines as API Logger writes them
    Text,
    /// Lines as Logbook writes them
    Logbook,
    /// key=value pairs
    Logfmt,
}

impl LayoutName {
    fn layout(self) -> Layout {
        match self {
            Self::Text => Layout::Text,
            Self::Logbook => Layout::Logbook,
            Self::Logfmt => Layout::Logfmt,
        }
    }
}

#[derive(Deserialize)]
struct Stream {
    name: String,
    label: String,
}

/// Writes events in a layout.
#[derive(Debug)]
pub(super) struct Lines {
    layout: Layout,
    labels: Labels,
}

impl Lines {
    /// Asks the server for its labels. Without an answer they are those of a fresh installation.
    pub(super) async fn new(client: &Client, name: LayoutName) -> anyhow::Result<Self> {
        let mut labels = Labels::default();
        if name == LayoutName::Text {
            let streams: Vec<Stream> = client.ask(client.get("/api/v1/streams")?).await.unwrap_or_default();
            streams.iter().for_each(|stream| labels.set(&stream.name, &stream.label));
        }
        Ok(Self { layout: name.layout(), labels })
    }

    /// Appends the lines of an event.
    pub(super) fn push(&self, event: &Value, out: &mut String) {
        self.layout.write(&self.labels, event, out);
    }

    /// An event with its lines, for a tree of files.
    pub(super) fn entry(&self, event: &Value) -> Entry {
        let mut lines = String::new();
        self.push(event, &mut lines);
        Entry::new(event, lines)
    }
}
