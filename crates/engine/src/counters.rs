//! What came in and what became of it, for each log: received = accepted + refused, by reason.

use std::collections::BTreeMap;

use intake::Decoded;
use intake::redact::Redacted;
use parking_lot::Mutex;
use store::LogId;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counters {
    logs: Mutex<BTreeMap<LogId, LogCounts>>,
}

/// The counts of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Items that came in.
    pub received: u64,
    /// Items that are kept.
    pub accepted: u64,
    /// Items among the kept that were there already.
    pub duplicates: u64,
    /// Items that are not kept, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Values that were replaced by a mark, by the name of the rule.
    pub redacted: BTreeMap<String, u64>,
    /// Items that wait to be written.
    pub waiting: u64,
}

/// Facts about the server as a whole.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    /// Segments in the archive.
    pub archived_segments: usize,
    /// Bytes in the archive.
    pub archived_bytes: u64,
    /// How often the archive failed since the start.
    pub archive_failures: u64,
    /// Bytes of events in memory that are in no segment yet.
    pub buffer_bytes: usize,
    /// The sequence number of the last event stored.
    pub last_sequence: u64,
    /// Live segments.
    pub segments: usize,
    /// Bytes of them on disk, sidecars included.
    pub segment_bytes: u64,
    /// Bytes of the files that came with events.
    pub attachment_bytes: u64,
    /// Row groups that cannot be read.
    pub damaged: usize,
    /// Bytes left on the disk.
    pub free_bytes: u64,
    /// Why writing is over until a restart, if it is.
    pub poisoned: Option<String>,
}

impl Counters {
    pub(crate) fn received(&self, log: LogId, decoded: &Decoded) {
        let mut logs = self.logs.lock();
        let counts = logs.entry(log).or_default();
        counts.received += decoded.received as u64;
        counts.waiting += decoded.batch.len() as u64;
        for refused in &decoded.refused {
            *counts.refused.entry(refused.reason.name()).or_default() += 1;
        }
        for (reason, more) in &decoded.unlisted {
            *counts.refused.entry(*reason).or_default() += *more as u64;
        }
        counts.check();
    }

    pub(crate) fn redacted(&self, log: LogId, redacted: Redacted) {
        let mut logs = self.logs.lock();
        let counts = &mut logs.entry(log).or_default().redacted;
        for (name, values) in redacted {
            *counts.entry(name).or_default() += values;
        }
    }

    pub(crate) fn accepted(&self, log: LogId, events: usize, duplicates: usize) {
        let mut logs = self.logs.lock();
        let counts = logs.entry(log).or_default();
        counts.waiting -= events as u64;
        counts.accepted += events as u64;
        counts.duplicates += duplicates as u64;
        counts.check();
    }

    pub(crate) fn refused_whole(&self, log: LogId, events: usize, reason: &'static str) {
        let mut logs = self.logs.lock();
        let counts = logs.entry(log).or_default();
        counts.waiting -= events as u64;
        *counts.refused.entry(reason).or_default() += events as u64;
        counts.check();
    }

    /// All counts.
    #[must_use]
    pub fn all(&self) -> BTreeMap<LogId, LogCounts> {
        self.logs.lock().clone()
    }
}

impl LogCounts {
    /// Nothing vanishes.
    fn check(&self) {
        let refused: u64 = self.refused.values().sum();
        assert!(self.received == self.accepted + refused + self.waiting, "received = accepted + refused + waiting");
    }
}
