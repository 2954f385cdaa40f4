//! The archive at work: a thread of its own moves what is old enough, so that a slow bucket never holds up a flush; and
//! what an administrator asks for: list, verify, restore, purge.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use event::{Level, Timestamp, Value};
use parking_lot::{Condvar, Mutex, MutexGuard};
use store::catalog::LogRow;
use store::{ArchiveWork, LogId, Purge, StoreError, Verified};

use crate::audit::Deed;
use crate::logs::LogError;
use crate::{AskError, Engine, Grant};

/// How often the archiver looks for events that are old enough; also how long it waits after a failure.
const ROUND: Duration = Duration::from_secs(60);

/// How long a stop waits for a file that is on its way. What is cut off is cleared away after the next start.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// How long restored events stay live unless somebody says otherwise.
pub const HOLD: Duration = Duration::from_secs(7 * 86_400);

/// What the archiver remembers.
#[derive(Debug, Default)]
pub(crate) struct Archiver {
    /// Whether it has to look at once.
    due: Mutex<bool>,
    wake: Condvar,
    /// Whether its thread is done.
    ended: Mutex<bool>,
    end: Condvar,
    /// Whether it failed the last time.
    failing: AtomicBool,
    pub(crate) failures: AtomicU64,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
}

/// What was done for a log, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveOf {
    /// The log.
    pub log: String,
    /// What was done.
    pub work: ArchiveWork,
}

/// A segment in the archive as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedSegment {
    /// Whose.
    pub log: String,
    /// Where; empty for `archive/` in the data directory.
    pub place: String,
    /// The names of its files.
    pub files: [String; 2],
    /// SHA-256 of each.
    pub digests: [[u8; 32]; 2],
    /// Events.
    pub events: u64,
    /// Bytes of both files.
    pub bytes: u64,
    /// The earliest event.
    pub first: Timestamp,
    /// The latest event.
    pub last: Timestamp,
    /// How many events of each stream.
    pub streams: BTreeMap<String, u64>,
    /// When it came.
    pub archived: Timestamp,
}

/// What somebody wants to remove for good.
#[derive(Clone, Debug)]
pub struct PurgeRequest {
    /// From which log.
    pub log: String,
    /// Only events before this moment.
    pub before: Timestamp,
    /// Only events of this stream.
    pub stream: Option<String>,
    /// Who wants it.
    pub by: Grant,
}

impl Engine {
    pub(crate) fn keep_archive(&self) {
        let mut due = self.archiver.due.lock();
        while !self.stopping.load(Ordering::Acquire) {
            if !*due {
                self.archiver.wake.wait_for(&mut due, ROUND);
            }
            *due = false;
            MutexGuard::unlocked(&mut due, || {
                // What went wrong was told.
                let _ = self.run_archive(&mut |_, _| true);
            });
        }
        *self.archiver.ended.lock() = true;
        self.archiver.end.notify_all();
    }

    pub(crate) fn wake_archiver(&self) {
        *self.archiver.due.lock() = true;
        self.archiver.wake.notify_all();
    }

    /// Ends the thread, unless it is held up by a place that does not answer.
    pub(crate) fn stop_archiver(&self) {
        self.wake_archiver();
        let Some(thread) = self.archiver.thread.lock().take() else { return };
        let mut ended = self.archiver.ended.lock();
        self.archiver.end.wait_while_for(&mut ended, |ended| !*ended, STOP_TIME_MAX);
        if *ended && thread.join().is_err() {
            tracing::error!("the thread of the archive ended badly");
        }
    }

    fn rows(&self, only: Option<&str>) -> Result<Vec<LogRow>, LogError> {
        let only = only.map(|name| self.log(name)).transpose()?;
        let mut rows: Vec<LogRow> =
            self.logs.read().all().filter(|row| only.is_none_or(|only| only == row.id)).cloned().collect();
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    /// What the policies would move to the archive now.
    #[must_use]
    pub fn archive_due(&self) -> Vec<ArchiveOf> {
        let now = self.clock.now();
        let rows = self.rows(None).unwrap_or_default();
        let due = rows
            .into_iter()
            .map(|row| ArchiveOf { work: self.store.archive_due(row.id, &row.archive, now), log: row.name });
        due.filter(|of| of.work.segments > 0).collect()
    }

    /// Applies the policies now. `progress` hears the bytes done and the bytes in all, and says whether to go on.
    ///
    /// # Errors
    /// When the archive or the disk refuses, the first time it did: what was done is done, and nothing is lost.
    pub fn run_archive(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Vec<ArchiveOf>, StoreError> {
        let mut done = Vec::new();
        let result = match self.apply_policies(&mut done, progress) {
            Err(StoreError::Stopped) => Err(StoreError::Stopped),
            applied => applied.and(self.store.sweep_archive()),
        };
        match result {
            Ok(()) => {
                self.archiver.failing.store(false, Ordering::Release);
                Ok(done)
            }
            Err(StoreError::Stopped) => Err(StoreError::Stopped),
            Err(error) => {
                self.archiver.failures.fetch_add(1, Ordering::Relaxed);
                if !self.archiver.failing.swap(true, Ordering::AcqRel) {
                    self.internal(
                        Level::Error,
                        "archive_failed",
                        &format!("{error}; it is tried again every minute"),
                        &[],
                    );
                }
                Err(error)
            }
        }
    }

    fn apply_policies(
        &self,
        done: &mut Vec<ArchiveOf>,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let rows = self.rows(None).unwrap_or_default();
        let all: u64 = self.archive_due().iter().map(|of| of.work.bytes).sum();
        let mut moved = 0;
        // What one log meets does not keep the others.
        let mut first = Ok(());
        for row in rows {
            let named = (row.id, row.name.as_str());
            let (gone, retained) = self.store.retain_archived(named, &row.retention, now);
            if gone > 0 {
                self.tell_retained(&row.name, gone);
            }
            let (work, archived) = self.store.archive(named, &row.archive, now, &mut |bytes| {
                moved += bytes;
                progress(moved, all.max(moved)) && !self.stopping.load(Ordering::Acquire)
            });
            if work.segments > 0 {
                self.tell_archived(&row.name, &work);
                done.push(ArchiveOf { log: row.name, work });
            }
            if matches!(archived, Err(StoreError::Stopped)) {
                return archived;
            }
            first = first.and(retained).and(archived);
        }
        first
    }

    fn tell_archived(&self, log: &str, work: &ArchiveWork) {
        let message = format!("{} events of {log} went to the archive (segments: {})", work.events, work.segments);
        let fields = [
            ("log", Value::Str(log)),
            ("events", Value::Int(work.events.cast_signed())),
            ("segments", Value::Int(work.segments.cast_signed())),
            ("bytes", Value::Int(work.bytes.cast_signed())),
            ("place", Value::Str(self.archive_place())),
        ];
        self.internal(Level::Info, "archived", &message, &fields);
    }

    /// Where segments go; empty for `archive/` in the data directory.
    #[must_use]
    pub fn archive_place(&self) -> &str {
        self.store.archive_place()
    }

    /// The segments in the archive, of one log or of all.
    ///
    /// # Errors
    /// When there is no such log.
    pub fn archive_list(&self, log: Option<&str>) -> Result<Vec<ArchivedSegment>, LogError> {
        let mut found = Vec::new();
        for row in self.rows(log)? {
            let segments = self.store.archived(row.id);
            found.extend(segments.iter().filter_map(|segment| segment.record()).map(|record| ArchivedSegment {
                log: row.name.clone(),
                place: record.place.clone(),
                files: record.files(),
                digests: record.digests,
                events: record.info.rows,
                bytes: record.bytes(),
                first: record.info.first,
                last: record.info.last,
                streams: record.info.streams.iter().map(|span| (span.stream.clone(), span.rows)).collect(),
                archived: record.archived,
            }));
        }
        found.sort_by(|one, other| (&one.log, one.first, &one.files).cmp(&(&other.log, other.first, &other.files)));
        Ok(found)
    }

    /// Reads every byte of the archive back and compares it. `progress` as for [`Engine::run_archive`].
    ///
    /// # Errors
    /// When there is no such log, or a place cannot be reached.
    pub fn verify_archive(
        &self,
        log: Option<&str>,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Verified, AskError> {
        let all = self.archive_list(log)?.iter().map(|segment| segment.bytes).sum();
        let log = log.map(|log| self.log(log)).transpose()?;
        let mut read = 0;
        let verified = self.store.verify_archive(log, &mut |bytes| {
            read += bytes;
            progress(read, all) && !self.stopping.load(Ordering::Acquire)
        });
        Ok(verified.map_err(LogError::Store)?)
    }

    /// Makes archived events live again, whole segments that have any of the stream within the time, and keeps them so
    /// for a while. `progress` as for [`Engine::run_archive`].
    ///
    /// # Errors
    /// When there is no such log, a file is missing or damaged, or the archive or the disk refuses.
    pub fn restore_archive(
        &self,
        (log, stream): (&str, Option<&str>),
        time: &RangeInclusive<Timestamp>,
        hold: Duration,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(ArchiveWork, Timestamp), AskError> {
        let id = self.log(log)?;
        let (segments, found) = self.store.restorable(id, time, stream);
        let hold = i64::try_from(hold.as_micros()).unwrap_or(i64::MAX);
        let until = Timestamp::from_micros(self.clock.now().as_micros().saturating_add(hold));
        let mut moved = 0;
        let work = self.store.restore(&segments, until, &mut |bytes| {
            moved += bytes;
            progress(moved, found.bytes) && !self.stopping.load(Ordering::Acquire)
        });
        // Their places are empty now; what cannot be cleared away is tried again.
        drop(segments);
        self.wake_archiver();
        let work = work.map_err(LogError::Store)?;
        if work.segments > 0 {
            let message = format!("{} events of {log} came back from the archive, and stay until {until}", work.events);
            let fields = [("log", Value::Str(log)), ("events", Value::Int(work.events.cast_signed()))];
            self.internal(Level::Info, "archive_restored", &message, &fields);
        }
        Ok((work, until))
    }

    /// What a purge would remove.
    ///
    /// # Errors
    /// When there is no such log, or the archive cannot be read.
    pub fn archive_purge_due(&self, request: &PurgeRequest) -> Result<ArchiveWork, AskError> {
        Ok(self.store.purge_due(&self.purge_of(request)?).map_err(LogError::Store)?)
    }

    /// Removes events from the archive for good. An event of the stream AUDIT says who did that, and is durable before
    /// anything goes; when it cannot be written, nothing goes.
    ///
    /// # Errors
    /// When there is no such log, the archive or the disk refuses, or the event cannot be written.
    pub fn purge_archive(&self, request: &PurgeRequest) -> Result<ArchiveWork, AskError> {
        let purge = self.purge_of(request)?;
        let mut witness = |work: &ArchiveWork| if work.events == 0 { Ok(()) } else { self.witness(request, work) };
        let work = self.store.purge(&purge, self.clock.now(), &mut witness).map_err(LogError::Store)?;
        self.wake_archiver();
        Ok(work)
    }

    fn purge_of(&self, request: &PurgeRequest) -> Result<Purge, LogError> {
        let log: LogId = self.log(&request.log)?;
        Ok(Purge { log, name: request.log.clone(), before: request.before, stream: request.stream.clone() })
    }

    fn witness(&self, request: &PurgeRequest, work: &ArchiveWork) -> Result<(), StoreError> {
        let PurgeRequest { log, before, stream, by } = request;
        let what = stream.as_ref().map_or_else(String::new, |stream| format!(" of the stream {stream}"));
        let message = format!("{} events{what} before {before} were removed from the archive of {log}", work.events);
        let before = before.to_string();
        let mut fields = vec![
            ("log", Value::Str(log)),
            ("before", Value::Str(&before)),
            ("events", Value::Int(work.events.cast_signed())),
            ("segments", Value::Int(work.segments.cast_signed())),
            ("bytes", Value::Int(work.bytes.cast_signed())),
        ];
        fields.extend(stream.as_ref().map(|stream| ("purged_stream", Value::Str(stream))));
        let deed = Deed { event: "archive_purged", by, message: &message, fields: &fields };
        self.audit(crate::DEFAULT_LOG, &deed).map_err(|error| StoreError::Archive {
            place: self.archive_place().to_owned(),
            reason: format!("the AUDIT event of a purge could not be written ({error}), so nothing was removed"),
        })
    }
}
