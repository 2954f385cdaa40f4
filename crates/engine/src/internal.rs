//! What Everlog says about itself: events of the stream INTERNAL in the log `default`.
//!
//! They go through the same door as all others. What cannot be written there is only traced, so that a message about
//! trouble never makes more trouble.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use event::{BatchBuilder, Id, Level, Timestamp, Value};
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

/// An event that Everlog itself writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) stream: &'a str,
    pub(crate) level: Level,
    pub(crate) event: &'a str,
    pub(crate) message: &'a str,
    pub(crate) user: &'a str,
    /// By which it is there once, if it may be said twice.
    pub(crate) id: Option<&'a str>,
    pub(crate) fields: &'a [(&'a str, Value<'a>)],
}

impl Said<'_> {
    /// What a door would have made of it.
    pub(crate) fn decoded(&self, now: Timestamp) -> Decoded {
        let mut builder = BatchBuilder::new();
        let mut push = |path: &str, value: Value<'_>| {
            let key = builder.key(path);
            builder.push(key, value, false);
        };
        push("stream", Value::Str(self.stream));
        push("level", Value::Str(self.level.name()));
        push("event", Value::Str(self.event));
        push("message", Value::Str(self.message));
        push("source", Value::Str("everlog"));
        push("user", Value::Str(self.user));
        self.fields.iter().for_each(|(path, value)| push(path, *value));
        builder.commit(self.id.map_or_else(|| Id::fresh(now), Id::new), now);
        Decoded { batch: builder.finish(), received: 1, ..Decoded::default() }
    }
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

    /// Tells something about Everlog itself: on standard error, and as an event.
    pub(crate) fn internal(&self, level: Level, event: &str, message: &str, fields: &[(&str, Value<'_>)]) {
        match level {
            Level::Error | Level::Critical => tracing::error!(event, "{message}"),
            Level::Warning => tracing::warn!(event, "{message}"),
            _ => tracing::info!(event, "{message}"),
        }
        self.keep_message(level, event, message, fields);
    }

    /// Keeps something about Everlog itself that is on standard error already. What cannot be kept is counted, and
    /// told as soon as something can be kept again.
    pub fn keep_message(&self, level: Level, event: &str, message: &str, fields: &[(&str, Value<'_>)]) {
        let user = event::shared::SYSTEM_USER;
        let said = Said { stream: "INTERNAL", level, event, message, user, id: None, fields };
        let untold = Arc::clone(&self.untold);
        self.accept(self.internal_log(), said.decoded(self.clock.now()), None, move |result| {
            if result.is_err() {
                untold.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    pub(crate) fn internal_log(&self) -> LogId {
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

    /// Called by the writer after each group that was stored: says once that trouble is over, and how many messages
    /// were not kept meanwhile.
    pub(crate) fn note_room(&self) {
        let refused = self.refused_while_full.swap(0, Ordering::Relaxed);
        if refused == 0 && (self.untold.load(Ordering::Relaxed) == 0 || !self.queue.is_calm()) {
            return;
        }
        let untold = self.untold.swap(0, Ordering::Relaxed);
        if refused > 0 {
            let message = format!(
                "the disk was full, and {refused} requests were refused with 503; there is room again, and everything acknowledged is there"
            );
            let fields =
                [("requests", Value::Int(refused.cast_signed())), ("messages", Value::Int(untold.cast_signed()))];
            self.internal(Level::Error, "disk_full", &message, &fields[..if untold > 0 { 2 } else { 1 }]);
        } else {
            self.tell_untold(untold);
        }
    }

    /// Says how many messages of this kind are missing here.
    pub(crate) fn tell_untold(&self, untold: u64) {
        if untold > 0 {
            let message = format!(
                "{untold} messages of Everlog about itself could not be kept when they came; they are on its standard error"
            );
            self.internal(
                Level::Warning,
                "messages_missing",
                &message,
                &[("messages", Value::Int(untold.cast_signed()))],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use event::SystemClock;

    use super::*;
    use crate::Settings;

    fn open(directory: &tempfile::TempDir) -> Arc<Engine> {
        Engine::open(directory.path(), Settings::default(), Arc::new(SystemClock)).unwrap().0
    }

    /// The messages about missing messages, each as how many are missing, once there are so many events.
    fn missing(engine: &Engine, events: u64) -> Vec<i64> {
        while engine.last_sequence() < events {
            std::thread::yield_now();
        }
        let found = engine.latest(crate::DEFAULT_LOG, &query::filter::Filter::All, 100).unwrap().documents;
        let parsed = found.iter().map(|(_, document)| serde_json::from_slice::<serde_json::Value>(document).unwrap());
        parsed
            .filter(|event| event["event"] == "messages_missing")
            .map(|event| event["messages"].as_i64().unwrap())
            .collect()
    }

    #[test]
    fn what_could_not_be_kept_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(&directory);
        engine.untold.store(2, Ordering::Relaxed);
        engine.internal(Level::Info, "all_is_well", "again", &[]);
        assert_eq!(missing(&engine, 2), [2]);
        engine.internal(Level::Info, "all_is_well", "still", &[]);
        assert_eq!(missing(&engine, 3), [2]);
        // While it stops nothing is kept, and the next start tells of it.
        engine.queue.close();
        engine.internal(Level::Warning, "too_late", "nobody keeps this", &[]);
        engine.close().unwrap();
        drop(engine);
        for expected in [vec![2, 1], vec![2, 1]] {
            let engine = open(&directory);
            assert_eq!(missing(&engine, 4), expected);
            engine.close().unwrap();
        }
    }
}
