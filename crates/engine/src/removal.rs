//! A log removed with all its events.

use event::{Timestamp, Value};
use store::catalog::LogRow;
use store::{LogId, Purge, StoreError};

use crate::audit::Deed;
use crate::logs::LogError;
use crate::rules::Options;
use crate::{DEFAULT_LOG, Engine, Grant};

/// How often the archive is looked through again for what went there meanwhile.
const TRIES: usize = 10;

impl Engine {
    /// Removes a log, its settings and all its events, live and archived, for good. The log `default` keeps an AUDIT event
    /// about it, which is written first. Returns how many events went.
    ///
    /// # Errors
    /// When there is no such log, it has to stay, the AUDIT event cannot be written, or the archive or the catalog refuses.
    pub fn remove_log(&self, name: &str, by: &Grant) -> Result<u64, LogError> {
        let _one_at_a_time = self.setting.lock();
        let log = self.removable(name)?;
        let purge = everything(log, name);
        self.store.reach_archive(&purge)?;
        let size = self.store.size(log);
        let (live, archived) = (size.events, size.archived_events);
        let message =
            format!("the log {name} and its events were deleted for good: {live} (in the archive: {archived})");
        let fields = [
            ("object_type", Value::Str("log")),
            ("object_id", Value::Str(name)),
            ("log", Value::Str(name)),
            ("events", Value::Int(live.cast_signed())),
            ("archived_events", Value::Int(archived.cast_signed())),
        ];
        self.audit(DEFAULT_LOG, &Deed { event: "log_removed", by, message: &message, fields: &fields })?;
        let mut settled = self.logs.read().settled.with(name, Options::new());
        self.settle(&mut settled)?;
        {
            let mut logs = self.logs.write();
            self.store.catalog().begin_removal(log)?;
            logs.forget(name);
            logs.settled = settled;
        }
        self.finish_removal(&purge)
    }

    /// Takes away what a log has whose name is gone already: at the next start, if it does not come to that now.
    pub(crate) fn finish_removal(&self, purge: &Purge) -> Result<u64, LogError> {
        let mut gone = 0;
        self.attachments.remove_all(purge.log).map_err(StoreError::from)?;
        for _ in 0..TRIES {
            gone += self.store.purge(purge, self.clock.now(), &mut |_| Ok(()))?.events;
            if let Some(live) = self.store.remove_log(purge.log)? {
                // What the journal still has of it goes.
                self.flush()?;
                self.wake_archiver();
                return Ok(gone + live);
            }
        }
        Err(StoreError::Stopped.into())
    }

    /// Ends removals that the last run did not come to the end of.
    pub(crate) fn end_removals(&self, leaving: Vec<LogRow>) {
        for row in leaving {
            if let Err(error) = self.finish_removal(&everything(row.id, &row.name)) {
                tracing::warn!(
                    "a log that was removed still has events, which is tried again at the next start: {error}"
                );
            }
        }
    }

    /// The number of a log that may go.
    fn removable(&self, name: &str) -> Result<LogId, LogError> {
        let logs = self.logs.read();
        let id = logs.id(name).ok_or_else(|| self.unknown(&logs, name))?;
        let refused = |detail: String| Err(LogError::Setting { log: name.to_owned(), detail });
        if name == DEFAULT_LOG {
            return refused("it stays: what is done to Everlog, and what happens to it, is written there".to_owned());
        }
        if logs.settled.is_in_file(name) {
            return refused(
                "it stands in the configuration file: take it out there, restart, and remove it then".to_owned(),
            );
        }
        if let Some(index) = logs.settled.rules(id).and_then(|rules| rules.index.clone()) {
            return refused(format!("its events are kept in {index}: set its index to null first"));
        }
        match logs.settled.kept_in(name) {
            Some(other) => {
                refused(format!("it keeps the events of the log {other}: set the index of that one to null first"))
            }
            None => Ok(id),
        }
    }
}

/// All events of a log.
fn everything(log: LogId, name: &str) -> Purge {
    Purge { log, name: name.to_owned(), before: Timestamp::from_micros(i64::MAX), stream: None }
}
