//! What Everlog says about itself: events of the stream INTERNAL in the log `default`.
//!
//! They go through the same door as all others. What cannot be written there is only traced, so that a message about
//! trouble never makes more trouble.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use event::{BatchBuilder, Id, Level, Value};
use intake::Decoded;
use store::{LogId, StartReport};

use crate::Engine;
use crate::accept::WriteError;

/// How long the next message about refusals of one kind waits.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);

/// When refusals of each kind were last told, and how many were not told since.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    told: HashMap<(LogId, &'static str), (Instant, u64)>,
}

impl Engine {
    /// Tells of items that a door refused: the first of a kind at once, then at most every ten seconds, with how many
    /// there were since.
    pub(crate) fn report_refused(&self, log: LogId, decoded: &Decoded) {
        let Some(first) = decoded.refused.first() else { return };
        let reason = first.reason.name();
        let mut count = decoded.refused_count() as u64;
        {
            let mut refusals = self.refusals.lock();
            let now = Instant::now();
            if let Some((last, untold)) = refusals.told.get_mut(&(log, reason)) {
                if now - *last < REFUSAL_PAUSE {
                    *untold += count;
                    return;
                }
                count += *untold;
            }
            refusals.told.insert((log, reason), (now, 0));
        }
        let name = self.logs.read().all().find(|row| row.id == log).map(|row| row.name.clone()).unwrap_or_default();
        let message = format!("{count} events for the log {name} were refused: {}", first.reason);
        let fields =
            [("reason", Value::Str(reason)), ("log", Value::Str(&name)), ("events", Value::Int(count.cast_signed()))];
        self.internal(Level::Warning, "events_refused", &message, &fields);
    }

    /// Keeps a message about Everlog itself.
    pub(crate) fn internal(&self, level: Level, event: &str, message: &str, fields: &[(&str, Value<'_>)]) {
        match level {
            Level::Error | Level::Critical => tracing::error!(event, "{message}"),
            Level::Warning => tracing::warn!(event, "{message}"),
            _ => tracing::info!(event, "{message}"),
        }
        let said = self.message(("INTERNAL", level), event, message, fields);
        self.accept(self.internal_log(), said, None, |_| {});
    }

    /// Keeps an event of the stream AUDIT, and waits until it is durable.
    pub(crate) fn audit(&self, event: &str, message: &str, fields: &[(&str, Value<'_>)]) -> Result<(), WriteError> {
        tracing::info!(event, "{message}");
        let said = self.message(("AUDIT", Level::Notice), event, message, fields);
        let (sender, receiver) = std::sync::mpsc::channel();
        self.accept(self.internal_log(), said, None, move |result| {
            // Whoever waits for it waits below.
            let _ = sender.send(result);
        });
        receiver.recv().unwrap_or(Err(WriteError::Stopping)).map(drop)
    }

    /// An event of Everlog's own; it belongs to `system` unless the fields name a user.
    fn message(&self, kind: (&str, Level), event: &str, message: &str, fields: &[(&str, Value<'_>)]) -> Decoded {
        let (stream, level) = kind;
        let mut builder = BatchBuilder::new();
        let mut push = |path: &str, value: Value<'_>| {
            let key = builder.key(path);
            builder.push(key, value, false);
        };
        push("stream", Value::Str(stream));
        push("level", Value::Str(level.name()));
        push("event", Value::Str(event));
        push("message", Value::Str(message));
        push("source", Value::Str("everlog"));
        if fields.iter().all(|(path, _)| *path != "user") {
            push("user", Value::Str(event::shared::SYSTEM_USER));
        }
        fields.iter().for_each(|(path, value)| push(path, *value));
        let now = self.clock.now();
        builder.commit(Id::fresh(now), now);
        Decoded { batch: builder.finish(), refused: Vec::new(), unlisted: BTreeMap::new(), received: 1 }
    }

    fn internal_log(&self) -> LogId {
        self.logs.read().id(crate::DEFAULT_LOG).unwrap_or(LogId(1))
    }

    pub(crate) fn report_start(&self, report: &StartReport) {
        if report.recovered > 0 {
            let message =
                format!("{} events were read back from the journal after a stop without a flush", report.recovered);
            self.internal(
                Level::Info,
                "journal_recovered",
                &message,
                &[("events", Value::Int(report.recovered.cast_signed()))],
            );
        }
        for damage in &report.journal {
            let message = format!(
                "{} acknowledged events from sequence {} on are lost: {} is damaged",
                damage.events, damage.first, damage.file
            );
            self.internal(
                Level::Critical,
                "journal_damaged",
                &message,
                &[("file", Value::Str(&damage.file)), ("events", Value::Int(damage.events.cast_signed()))],
            );
        }
        for file in &report.missing {
            let message = format!(
                "{file} is missing on the disk: its events cannot be answered; restore it from a backup, or see `everlog doctor`"
            );
            self.internal(Level::Critical, "segment_missing", &message, &[("file", Value::Str(file))]);
        }
    }

    /// Called by the writer when a group could not be stored.
    pub(crate) fn note_trouble(&self, error: &WriteError, requests: usize) {
        if *error != WriteError::DiskFull {
            tracing::error!("{error}");
        } else if self.refused_while_full.fetch_add(requests as u64, Ordering::Relaxed) == 0 {
            tracing::error!("{error}");
        }
    }

    /// Called by the writer after each group that was stored: says once that trouble is over.
    pub(crate) fn note_room(&self) {
        let refused = self.refused_while_full.swap(0, Ordering::Relaxed);
        if refused > 0 {
            let message = format!(
                "the disk was full, and {refused} requests were refused with 503; there is room again, and everything acknowledged is there"
            );
            self.internal(Level::Error, "disk_full", &message, &[("requests", Value::Int(refused.cast_signed()))]);
        }
    }
}
