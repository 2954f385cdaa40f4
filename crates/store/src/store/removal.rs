//! A log taken away as a whole, with all its live events.

use std::sync::Arc;

use super::Store;
use crate::segment::Segment;
use crate::{LogId, StoreError};

impl Store {
    /// Takes a log and its events away for good: from when this returns, and after any crash. Returns how many events
    /// that were; none, and nothing is done, while some are in the archive. What still comes in under its number is
    /// taken and forgotten; the number is never given again.
    ///
    /// # Errors
    /// When the catalog refuses; the log is as it was then.
    pub fn remove_log(&self, log: LogId) -> Result<Option<u64>, StoreError> {
        let _unarchived = self.archiving.lock();
        let _unmerged = self.housekeeping.lock();
        let _unflushed = self.flushing.lock();
        let mut writer = self.writer.lock();
        let mut live = self.live.lock();
        let segments = live.logs.get(&log).map(|live| live.segments.clone()).unwrap_or_default();
        if live.logs.get(&log).is_some_and(|live| !live.archived.is_empty()) {
            return Ok(None);
        }
        let numbers: Vec<u64> = segments.iter().map(|segment| segment.info().number).collect();
        self.catalog.remove_log(log, &numbers)?;
        writer.removed.insert(log);
        writer.recent.remove(&log);
        let mut events: u64 = segments.iter().map(|segment| segment.info().rows).sum();
        if let Some(mut gone) = live.logs.remove(&log) {
            gone.freeze();
            events += gone.buffered().map(|rows| rows.batch.num_rows() as u64).sum::<u64>();
        }
        // Their files go when the last question that reads them ends.
        segments.iter().map(Arc::as_ref).for_each(Segment::doom);
        Ok(Some(events))
    }
}
