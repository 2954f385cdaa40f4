//! The streams: which are listed, what stands before their lines, and how one goes.
//!
//! Names of streams are open: an event of a stream that nobody listed is kept like any other. The list is for people:
//! it says which streams there are to be, and what their labels are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use event::limits::STREAM_BYTES_MAX;
use event::shared::{STREAMS, stream_name};
use event::{Timestamp, Value};
use store::catalog::StreamRow;
use store::{LogId, Purge, Retention, StoreError};
use text::Labels;
use thiserror::Error;

use crate::audit::Deed;
use crate::{Engine, Grant, WriteError};

/// Streams that have doors of their own, and are kept beside those that are listed.
const BESIDE: [&str; 3] = ["AUDIT", "VIEW", "SPAN"];

/// Streams that nobody may rewrite quietly.
const SEALED: [&str; 3] = ["AUDIT", "LOGIN", "SECURITY ALERT"];

/// Why a stream is among those there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// One of the eight of a fresh installation.
    First,
    /// Somebody added it.
    Added,
    /// AUDIT, VIEW or SPAN, which have doors of their own.
    Beside,
    /// It is on no list, and there are events of it.
    Seen,
}

impl StreamKind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Added => "added",
            Self::Beside => "beside",
            Self::Seen => "seen",
        }
    }
}

/// A stream as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// What stands before the message where its events are written as text.
    pub label: String,
    /// Why it is here.
    pub kind: StreamKind,
    /// How many events there are of it.
    pub events: u64,
}

/// What becomes of the events of a stream that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// They stay.
    Keep,
    /// They are deleted.
    Purge,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The stream.
    pub name: String,
    /// Whether it was on the list.
    pub listed: bool,
    /// Its events, by the names of their logs.
    pub events: BTreeMap<String, u64>,
    /// How many of them are in the archive.
    pub archived: u64,
    /// How many of them all were deleted.
    pub purged: u64,
}

/// Why a stream cannot be added or removed.
#[derive(Debug, Error)]
pub enum StreamError {
    /// Not a name.
    #[error(
        "{name:?} cannot be the name of a stream: use up to {STREAM_BYTES_MAX} bytes of visible text, such as PAYMENTS"
    )]
    Name {
        /// As asked.
        name: String,
    },
    /// Not a label.
    #[error("{label:?} cannot be a label: use up to {STREAM_BYTES_MAX} bytes of visible text, such as \"PAYMENTS:\"")]
    Label {
        /// As asked.
        label: String,
    },
    /// There is no such stream.
    #[error("there is no stream {name:?}{hint}")]
    Unknown {
        /// As asked.
        name: String,
        /// `: did you mean "x"?` or where they are listed.
        hint: String,
    },
    /// This one stays.
    #[error("the stream {name} stays: {why}")]
    Stays {
        /// Its name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// Nobody said what becomes of its events.
    #[error(
        "the stream {name} has {events} event{} in {logs}: say what becomes of them. --keep (data=keep) only takes the name off the list, --purge (data=purge) deletes them for good; --dry-run (dry_run=y) shows what would happen",
        if *events == 1 { "" } else { "s" }
    )]
    HasEvents {
        /// Its name.
        name: String,
        /// How many.
        events: u64,
        /// `the log default`, `the logs a and b`.
        logs: String,
    },
    /// The change is made, and could not be written down.
    #[error("it is done, but the AUDIT event about it could not be kept: {0}")]
    Unwritten(#[from] WriteError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn visible(text: &str) -> bool {
    text.len() <= STREAM_BYTES_MAX && !text.chars().any(char::is_control)
}

/// A name in its one form.
fn checked(name: &str) -> Result<&str, StreamError> {
    let one = stream_name(name.trim());
    if one.is_empty() || !visible(one) {
        return Err(StreamError::Name { name: name.chars().take(STREAM_BYTES_MAX).collect() });
    }
    Ok(one)
}

/// Why a stream cannot be removed, if it cannot.
fn stays(name: &str) -> Option<&'static str> {
    match name {
        "INTERNAL" => Some("Everlog tells there what happens to itself, and nobody would hear of trouble without it"),
        _ if SEALED.contains(&name) => Some("it is sealed, so that nobody can make its events disappear quietly"),
        _ if BESIDE.contains(&name) => Some("it has a door of its own, which writes into it"),
        _ => None,
    }
}

impl Engine {
    /// What stands before the message of each stream where events are written as text.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let mut labels = Labels::default();
        for row in self.streams.read().iter() {
            if let Some(label) = &row.label {
                labels.set(&row.name, label);
            }
        }
        labels
    }

    /// The streams that are listed, those with doors of their own, and those that occur in these logs.
    #[must_use]
    pub fn streams(&self, logs: &[String]) -> Vec<StreamInfo> {
        let mut events: BTreeMap<String, u64> = BTreeMap::new();
        // Two names of one log are counted once.
        let kept_in: BTreeSet<LogId> = logs.iter().filter_map(|log| self.log(log).ok()).collect();
        for (name, count) in kept_in.into_iter().flat_map(|log| self.streams_of(log)) {
            *events.entry(name).or_default() += count;
        }
        let labels = self.labels();
        let mut shown = |name: &str, kind| {
            let events = events.remove(name).unwrap_or(0);
            StreamInfo { name: name.to_owned(), label: labels.of(name), kind, events }
        };
        let rows = self.streams.read();
        let removed = |name: &str| rows.iter().any(|row| row.removed && row.name == name);
        let first = STREAMS.iter().filter(|name| !BESIDE.contains(name) && !removed(name));
        let mut all: Vec<StreamInfo> = first.map(|name| shown(name, StreamKind::First)).collect();
        let added = rows.iter().filter(|row| !row.removed && !STREAMS.contains(&row.name.as_str()));
        all.extend(added.map(|row| shown(&row.name, StreamKind::Added)));
        all.extend(BESIDE.iter().map(|name| shown(name, StreamKind::Beside)));
        let seen = events.into_iter();
        all.extend(seen.map(|(name, events)| StreamInfo {
            label: labels.of(&name),
            name,
            kind: StreamKind::Seen,
            events,
        }));
        all
    }

    fn streams_of(&self, log: LogId) -> BTreeMap<String, u64> {
        self.store.snapshot_with_archive(log).streams()
    }

    /// Lists a stream, and gives it a label if one is named. True when that changed something.
    ///
    /// # Errors
    /// When the name or the label is none, or the catalog refuses.
    pub fn add_stream(&self, name: &str, label: Option<&str>, by: &Grant) -> Result<bool, StreamError> {
        let name = checked(name)?;
        let label = label.map(str::trim_end);
        if let Some(label) = label.filter(|label| !visible(label)) {
            return Err(StreamError::Label { label: label.chars().take(STREAM_BYTES_MAX).collect() });
        }
        let mut rows = self.streams.write();
        let known = rows.iter().find(|row| row.name == name);
        let listed = known.map_or(STREAMS.contains(&name), |row| !row.removed);
        let mut labels = Labels::default();
        if let Some(kept) = known.and_then(|row| row.label.as_deref()) {
            labels.set(name, kept);
        }
        if listed && label.is_none_or(|label| labels.of(name) == label) {
            return Ok(false);
        }
        let kept = label.map(str::to_owned).or_else(|| known.and_then(|row| row.label.clone()));
        let row = StreamRow { name: name.to_owned(), label: kept, removed: false };
        self.set_stream(&mut rows, row)?;
        drop(rows);
        let what = if listed { "now has" } else { "was added with" };
        let message = format!("the stream {name} {what} the label {:?}", self.labels().of(name));
        let fields = [("object_type", Value::Str("stream")), ("object_id", Value::Str(name))];
        self.audit(crate::DEFAULT_LOG, &Deed { event: "stream_added", by, message: &message, fields: &fields })?;
        Ok(true)
    }

    /// Takes a stream off the list, and deletes its events if that is asked. With `dry_run` it only says what there is.
    ///
    /// # Errors
    /// When it has to stay, is not known, has events and nobody said what becomes of them, or the store refuses.
    pub fn remove_stream(
        &self,
        name: &str,
        leftover: Option<Leftover>,
        dry_run: bool,
        by: &Grant,
    ) -> Result<Removed, StreamError> {
        let name = checked(name)?;
        if let Some(why) = stays(name) {
            return Err(StreamError::Stays { name: name.to_owned(), why });
        }
        let events = self.events_of_stream(name);
        let count: u64 = events.values().sum();
        let listed = self.is_listed(name);
        if !listed && events.is_empty() {
            return Err(self.unknown_stream(name));
        }
        let archived = self.log_numbers().into_keys().map(|log| self.archived_of_stream(log, name)).sum();
        let mut removed = Removed { name: name.to_owned(), listed, events, archived, purged: 0 };
        if dry_run {
            return Ok(removed);
        }
        if leftover.is_none() && count > 0 {
            let logs: Vec<&str> = removed.events.keys().map(String::as_str).collect();
            let logs = format!("the log{} {}", if logs.len() == 1 { "" } else { "s" }, logs.join(", "));
            return Err(StreamError::HasEvents { name: name.to_owned(), events: count, logs });
        }
        if leftover == Some(Leftover::Purge) {
            self.purge_stream(&mut removed, by)?;
        }
        if listed {
            let row = StreamRow { name: name.to_owned(), label: None, removed: true };
            self.set_stream(&mut self.streams.write(), row)?;
            let left = count.saturating_sub(removed.purged);
            let message = format!("the stream {name} was taken off the list; events of it that are kept: {left}");
            let fields = [
                ("object_type", Value::Str("stream")),
                ("object_id", Value::Str(name)),
                ("events", Value::Int(left.cast_signed())),
            ];
            self.audit(crate::DEFAULT_LOG, &Deed { event: "stream_removed", by, message: &message, fields: &fields })?;
        }
        Ok(removed)
    }

    fn set_stream(&self, rows: &mut Vec<StreamRow>, row: StreamRow) -> Result<(), StoreError> {
        self.store.catalog().name_stream(&row)?;
        rows.retain(|other| other.name != row.name);
        let place = rows.partition_point(|other| other.name < row.name);
        rows.insert(place, row);
        Ok(())
    }

    fn is_listed(&self, name: &str) -> bool {
        let rows = self.streams.read();
        rows.iter().find(|row| row.name == name).map_or(STREAMS.contains(&name), |row| !row.removed)
    }

    fn unknown_stream(&self, name: &str) -> StreamError {
        let all = self.streams(&self.log_names());
        let near = query::suggest::suggest(name, all.iter().map(|stream| stream.name.as_str()));
        let hint = near.map_or_else(
            || ": `everlog stream list --all` shows them".to_owned(),
            |near| format!(": did you mean {near:?}?"),
        );
        StreamError::Unknown { name: name.to_owned(), hint }
    }

    fn events_of_stream(&self, name: &str) -> BTreeMap<String, u64> {
        let counts = self.log_numbers().into_iter();
        counts.filter_map(|(id, log)| self.streams_of(id).get(name).map(|count| (log, *count))).collect()
    }

    fn archived_of_stream(&self, log: LogId, name: &str) -> u64 {
        let segments = self.store.archived(log);
        let spans = segments.iter().flat_map(|segment| &segment.info().streams);
        spans.filter(|span| span.stream == name).map(|span| span.rows).sum()
    }

    /// Deletes the events of a stream, live and archived, log by log; each log that had some keeps an AUDIT event about
    /// it. When the archive cannot be read, nothing goes.
    fn purge_stream(&self, removed: &mut Removed, by: &Grant) -> Result<(), StreamError> {
        let name = removed.name.clone();
        if !removed.events.is_empty() {
            self.flush()?;
        }
        let logs = self.log_numbers().into_iter().filter(|(_, log)| removed.events.contains_key(log));
        let before = Timestamp::from_micros(i64::MAX);
        let purges: Vec<Purge> =
            logs.map(|(log, named)| Purge { log, name: named, before, stream: Some(name.clone()) }).collect();
        for purge in &purges {
            self.store.reach_archive(purge)?;
            self.store.purge_due(purge)?;
        }
        for purge in &purges {
            let (mut live, mut archived) = (0, 0);
            let end = self.purge_in_log(purge, &name, (&mut live, &mut archived));
            removed.purged += live + archived;
            if end.is_ok() || live + archived > 0 {
                self.tell_purged(purge, &name, (live, archived), by)?;
            }
            end?;
        }
        self.wake_archiver();
        Ok(())
    }

    fn purge_in_log(
        &self,
        purge: &Purge,
        name: &str,
        (live, archived): (&mut u64, &mut u64),
    ) -> Result<(), StoreError> {
        // Older than the end of time is everything.
        let all: Retention = BTreeMap::from([(name.to_owned(), Duration::ZERO)]);
        let now = self.clock.now();
        *archived += self.store.purge(purge, now, &mut |_| Ok(()))?.events;
        *live += self.store.retain(purge.log, &all, purge.before)?;
        // What went to the archive in between.
        *archived += self.store.purge(purge, now, &mut |_| Ok(()))?.events;
        Ok(())
    }

    fn tell_purged(
        &self,
        purge: &Purge,
        name: &str,
        (live, archived): (u64, u64),
        by: &Grant,
    ) -> Result<(), WriteError> {
        let (log, gone) = (&purge.name, live + archived);
        let message = format!(
            "events of the stream {name} in the log {log} were deleted for good: {gone} (in the archive: {archived})"
        );
        let fields = [
            ("object_type", Value::Str("stream")),
            ("object_id", Value::Str(name)),
            ("log", Value::Str(log)),
            ("events", Value::Int(gone.cast_signed())),
            ("archived_events", Value::Int(archived.cast_signed())),
        ];
        self.audit(log, &Deed { event: "events_purged", by, message: &message, fields: &fields })
    }
}
