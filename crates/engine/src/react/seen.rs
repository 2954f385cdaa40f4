//! The events that something follows from, with what is read of them.

use alerts::past::is_past;
use event::{Level, Timestamp, shared};
use intake::classify::{LOGIN, PROBE};
use issues::Group;
use query::filter::{Filter, Scalar, Test};
use query::{Order, Request};
use serde_json::{Value, json};
use store::{Documents, LogId};

use crate::mark::Known;
use crate::{AskError, Engine, select};

/// What is read of an event. The payload of a client and the frames of an exception are not.
const KEYS: [&str; 26] = [
    "id",
    "event",
    "message",
    "release",
    "environment",
    "url",
    "path",
    "method",
    "status",
    "ip",
    "source",
    "host",
    "service",
    "request_id",
    "session",
    "object",
    "config_field",
    "exception.type",
    "exception.message",
    "exception.handled",
    "client.kind",
    "client.name",
    "client.os",
    "client.verified",
    PROBE,
    LOGIN,
];

/// Characters of an exception of unknown form that are read.
const SAID_MAX: usize = 1000;

/// An event that something follows from.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) sequence: u64,
    pub(super) id: String,
    pub(super) time: Timestamp,
    pub(super) received: Timestamp,
    /// Whether it is of a day of the past that was taken in.
    pub(super) is_past: bool,
    pub(super) fingerprint: Option<String>,
    pub(super) level: Option<Level>,
    /// Whose it is, if it is somebody's.
    pub(super) user: Option<String>,
    /// Its title and where it happened, of an error that was not seen before.
    pub(super) group: Option<Group>,
    pub(super) document: Value,
}

impl Seen {
    /// A text of the event.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        select::find(&self.document, key)?.as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn owned(&self, key: &str) -> Option<String> {
        self.text(key).map(str::to_owned)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        select::find(&self.document, key)?.as_bool()
    }

    pub(super) fn status(&self) -> Option<u16> {
        u16::try_from(select::find(&self.document, "status")?.as_u64()?).ok()
    }
}

/// Notable events after a position.
pub(super) struct Notable {
    pub(super) events: Vec<Seen>,
    /// Everything up to this sequence number was looked at.
    pub(super) reached: u64,
    pub(super) more: bool,
    /// How many more could not be read.
    pub(super) unreadable: u64,
}

/// What has consequences.
fn filter() -> Filter {
    let present = |key: &str| Filter::field(key, Test::Present);
    let equal = |key: &str, text: &str| Filter::field(key, Test::Equal(vec![Scalar::from(text)]));
    Filter::or([
        present(shared::FINGERPRINT),
        present(PROBE),
        present(LOGIN),
        Filter::and([equal("client.kind", "crawler"), equal("status", "404")]),
        equal("event", issues::CONFIGURATION_ERROR),
        equal("event", crate::mark::DEPLOY),
    ])
}

impl Engine {
    /// The events of a log after a position that something follows from, in order. Of errors with fingerprints that
    /// are new, what an issue is called.
    pub(super) fn notable_events(
        &self,
        log: LogId,
        after: u64,
        limit: usize,
        is_new: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Notable, AskError> {
        let snapshot = self.store.snapshot(log);
        let request = Request {
            filter: filter(),
            order: Order::Sequence,
            offset: 0,
            limit,
            cursor: None,
            after_sequence: after,
            total: false,
        };
        // All of them have columns, and what is sent beside one under its name has no consequences.
        let page = query::scan_columns(&snapshot, &request, &self.bounds())?;
        let mut writers: Vec<Documents<'_>> =
            page.batches.iter().map(|batch| Documents::of_keys(batch, &KEYS)).collect();
        let whole: Vec<Documents<'_>> = page.batches.iter().map(Documents::new).collect();
        let mut events = Vec::with_capacity(page.rows.len());
        let mut text = Vec::with_capacity(1024);
        for (batch, row, sequence) in &page.rows {
            let (writer, columns) = (&mut writers[*batch], &whole[*batch]);
            text.clear();
            writer.write(*row, &mut text);
            let mut document: Value = serde_json::from_slice(&text).unwrap_or_default();
            // A release is a text to whoever compares it, also where it was sent as a number.
            for key in ["release", "environment"] {
                if let Some(number) = document.get_mut(key).filter(|value| value.is_number()) {
                    *number = number.to_string().into();
                }
            }
            // A text that is not known for what it is says at least what went wrong.
            if let Some(said) = columns.text("exception", *row)
                && select::find(&document, "exception.message").is_none()
            {
                let exception =
                    document.as_object_mut().map(|keys| keys.entry("exception").or_insert_with(|| json!({})));
                if let Some(exception) = exception.and_then(Value::as_object_mut) {
                    exception.insert("message".to_owned(), said.chars().take(SAID_MAX).collect::<String>().into());
                }
            }
            let fingerprint = columns.text(shared::FINGERPRINT, *row);
            let group = fingerprint.as_deref().filter(|fingerprint| is_new(fingerprint));
            let group = group.and_then(|_| Known::of(columns, *row).group());
            let user = columns.text("user", *row).filter(|user| user != shared::SYSTEM_USER);
            let (time, received) = (columns.moment(*row), columns.belongs(*row).received);
            events.push(Seen {
                sequence: *sequence,
                id: columns.text("id", *row).unwrap_or_default(),
                time,
                received,
                is_past: is_past(time, received) && self.reacting.history.lock().has(*sequence),
                fingerprint,
                level: columns.text("level", *row).and_then(|level| Level::parse(&level)),
                user,
                group,
                document,
            });
        }
        let reached = page.next.and_then(|next| next.moment()).map_or(snapshot.last_sequence, |(_, sequence)| sequence);
        Ok(Notable { events, reached, more: page.next.is_some(), unreadable: page.unreadable })
    }
}
