//! The work that nobody waits for: flush, and on a thread of its own, which never holds a flush up, merge, retention,
//! and a look at damage that was found.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use event::{Level, Value};
use store::StoreError;

use crate::Engine;

/// How often the housekeeper looks around when nobody wakes it.
const ROUND: Duration = Duration::from_secs(1);

/// How often it looks for events that are too old.
const RETENTION_ROUND: Duration = Duration::from_secs(60);

/// How long it waits after the disk refused.
const PAUSE: Duration = Duration::from_secs(5);

/// With so much room again (a file of the journal, and then some), a disk that was full is tried without waiting for a
/// writer: one who looks at `/readyz` before he writes would never come.
const ROOM_BYTES: u64 = 128 << 20;

/// While one flush follows the other, only segments of fewer rows are merged: the others can wait, events cannot.
const PRESSED_ROWS_MAX: u64 = 32_768;

/// So many segments wait at the most.
const WAITING_MAX: usize = 256;

/// What the thread that flushes remembers.
#[derive(Debug, Default)]
pub(crate) struct Flushing {
    /// Since when something is in the buffer.
    waiting_since: Option<Instant>,
    failing: Failing,
}

/// What the thread that merges remembers.
#[derive(Debug, Default)]
pub(crate) struct Work {
    last_retention: Option<Instant>,
    failing: Failing,
    reported: HashSet<(String, Option<usize>)>,
}

/// Work that failed.
#[derive(Debug, Default)]
struct Failing {
    paused_until: Option<Instant>,
    /// Which, the last time it was done.
    what: HashSet<&'static str>,
}

impl Failing {
    fn is_paused(&self) -> bool {
        self.paused_until.is_some_and(|until| Instant::now() < until)
    }
}

impl Engine {
    pub(crate) fn keep_flushing(&self) {
        let mut flushing = self.flushing.lock();
        while !self.stopping.load(Ordering::Acquire) {
            if self.is_flush_due(&mut flushing) {
                flushing.waiting_since = None;
                self.pressed.store(self.queue.buffered() > self.settings.flush_bytes, Ordering::Relaxed);
                let flushed = self.flush().map(drop);
                self.note(&mut flushing.failing, "flush", flushed);
                self.chores.notify_all();
            } else if self.wake.wait_for(&mut flushing, ROUND).timed_out() {
                self.pressed.store(false, Ordering::Relaxed);
            }
            if self.is_disk_full() && self.store.free_bytes().is_ok_and(|free| free > ROOM_BYTES) {
                self.note_room();
            }
        }
    }

    fn is_flush_due(&self, flushing: &mut Flushing) -> bool {
        if flushing.failing.is_paused() {
            return false;
        }
        let buffered = self.queue.buffered();
        if buffered == 0 {
            flushing.waiting_since = None;
            return false;
        }
        let now = Instant::now();
        let since = *flushing.waiting_since.get_or_insert(now);
        buffered > self.settings.flush_bytes || now - since >= self.settings.flush_after
    }

    pub(crate) fn keep_house(&self) {
        crate::threads::step_back(crate::threads::HOUSEKEEPING);
        let mut work = self.work.lock();
        while !self.stopping.load(Ordering::Acquire) {
            if !self.round(&mut work) && !self.stopping.load(Ordering::Acquire) {
                self.chores.wait_for(&mut work, ROUND);
            }
        }
    }

    /// Returns whether there may be more to do.
    fn round(&self, work: &mut Work) -> bool {
        let is_pressed = self.pressed.load(Ordering::Relaxed) && self.store.segments().len() < WAITING_MAX;
        let rows_max = if is_pressed { PRESSED_ROWS_MAX } else { u64::MAX };
        let merged = if work.failing.is_paused() { Ok(false) } else { self.store.merge_below(rows_max) };
        let more = merged.as_ref().is_ok_and(|merged| *merged);
        if !matches!(merged, Err(StoreError::Stopped)) {
            self.note(&mut work.failing, "merge", merged.map(drop));
        }
        let changed = self.retention_due.swap(false, Ordering::AcqRel);
        if changed || work.last_retention.is_none_or(|last| last.elapsed() >= RETENTION_ROUND) {
            work.last_retention = Some(Instant::now());
            let retained = self.apply_retention();
            self.note(&mut work.failing, "retention", retained);
            self.tend_attachments();
        }
        self.report_damage(work);
        more
    }

    /// Tells of work that fails: once, until it went well again.
    fn note(&self, failing: &mut Failing, what: &'static str, result: Result<(), StoreError>) {
        match result {
            Ok(()) => drop(failing.what.remove(what)),
            Err(error) => {
                failing.paused_until = Some(Instant::now() + PAUSE);
                if failing.what.insert(what) {
                    self.internal(
                        Level::Error,
                        "housekeeping_failed",
                        &format!("{error}; nothing is lost, and it is tried again"),
                        &[],
                    );
                }
            }
        }
    }

    /// Lets go of events older than their log's retention.
    fn apply_retention(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let due: Vec<_> = self.logs.read().all().filter(|log| !log.retention.is_empty()).cloned().collect();
        for log in due {
            let before = self.before_removal(log.id);
            let gone = self.store.retain(log.id, &log.retention, now);
            if !matches!(gone, Ok(0)) {
                self.after_removal(before);
            }
            let gone = gone?;
            if gone > 0 {
                self.tell_retained(&log.name, gone);
            }
        }
        // Issues follow their events.
        self.reacting.retained.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn tell_retained(&self, log: &str, gone: u64) {
        let message = format!("{gone} events of {log} were older than their retention and are gone");
        let fields = [("log", Value::Str(log)), ("events", Value::Int(gone.cast_signed()))];
        self.internal(Level::Info, "retention_applied", &message, &fields);
    }

    fn report_damage(&self, work: &mut Work) {
        let segments = [self.store.segments(), self.store.archived_segments()].concat();
        for damage in segments.iter().flat_map(|segment| segment.damage()) {
            if !work.reported.insert((damage.file.clone(), damage.row_group)) {
                continue;
            }
            let message = match damage.row_group {
                Some(group) => format!(
                    "{} events in row group {group} of {} cannot be read: {}; all others can",
                    damage.rows, damage.file, damage.reason
                ),
                None if damage.rows > 0 => {
                    format!("{} events of {} cannot be read: {}", damage.rows, damage.file, damage.reason)
                }
                None => format!(
                    "{} cannot be used: {}; no event is lost, questions take longer",
                    damage.file, damage.reason
                ),
            };
            let fields = [("file", Value::Str(&damage.file)), ("events", Value::Int(damage.rows.cast_signed()))];
            self.internal(Level::Critical, "segment_damaged", &message, &fields);
        }
    }

    /// Writes everything in the buffer to segments now. Returns how many events that were.
    ///
    /// # Errors
    /// When the disk refuses; nothing is lost then.
    pub fn flush(&self) -> Result<u64, StoreError> {
        let flushed = self.store.flush();
        self.queue.after_flush(self.store.buffer_bytes(), flushed.is_ok());
        flushed
    }
}
