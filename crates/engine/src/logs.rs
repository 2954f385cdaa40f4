//! Named logs: found, made, and how long they keep their events.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use event::Timestamp;
use event::limits::LOG_NAME_BYTES_MAX;
use store::archive::Policy;
use store::catalog::LogRow;
use store::{LogId, Retention, StoreError};
use thiserror::Error;

use crate::counters::Vitals;
use crate::rules::{Options, Settled, ShownOptions};
use crate::{Engine, WriteError};

/// The logs in memory.
#[derive(Debug)]
pub(crate) struct Logs {
    by_name: HashMap<String, LogRow>,
    pub(crate) settled: Settled,
}

impl Logs {
    pub(crate) fn new(rows: Vec<LogRow>) -> Self {
        let by_name = rows.into_iter().map(|row| (row.name.clone(), row)).collect();
        Self { by_name, settled: Settled::default() }
    }

    pub(crate) fn id(&self, name: &str) -> Option<LogId> {
        self.by_name.get(name).map(|row| row.id)
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &LogRow> {
        self.by_name.values()
    }
}

/// Why a log cannot be used as asked.
#[derive(Debug, Error)]
pub enum LogError {
    /// There is no log of that name.
    #[error("there is no log {name:?}{hint}")]
    Unknown {
        /// As asked.
        name: String,
        /// `: did you mean "x"?` or how to make one.
        hint: String,
    },
    /// Not a name.
    #[error(
        "{name:?} cannot be the name of a log: use up to {LOG_NAME_BYTES_MAX} letters, digits, `_`, `-` and `.`, beginning with a letter or a digit"
    )]
    Name {
        /// As asked.
        name: String,
    },
    /// A setting that cannot be.
    #[error("the log {log}: {detail}")]
    Setting {
        /// Of which log.
        log: String,
        /// Which, and what to do.
        detail: String,
    },
    /// A setting that stands in the file.
    #[error(
        "{setting} of the log {log} stands in the configuration file, and what the file says holds: change it there, and restart"
    )]
    InFile {
        /// Of which log.
        log: String,
        /// Which.
        setting: String,
    },
    /// There are too many.
    #[error("there are {logs_max} logs already, which is the most: use one of them, or raise the setting logs_max")]
    TooMany {
        /// The bound.
        logs_max: usize,
    },
    /// What was done could not be written down, so it was not done.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The catalog refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What can be set for a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// How long events are kept, by stream; the empty name stands for all other streams.
    pub retention: Option<Retention>,
    /// The rules that change, by name; null goes back to the default.
    pub options: Options,
    /// When events go to the archive, by stream in the same way.
    pub archive_after: Option<Retention>,
    /// Bytes of live segments beyond which the oldest go to the archive; 0 for no such bound.
    pub archive_bytes: Option<u64>,
}

/// A log as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// When it was made.
    pub created: Timestamp,
    /// How long its events are kept.
    pub retention: BTreeMap<String, Duration>,
    /// Its rules.
    pub options: ShownOptions,
    /// When its events go to the archive.
    pub archive: Policy,
    /// How large it is.
    pub size: store::LogSize,
}

/// Whether a log may have this name.
///
/// # Errors
/// When it may not; the message says what a name looks like.
pub fn check_log_name(name: &str) -> Result<(), LogError> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if first && rest && name.len() <= LOG_NAME_BYTES_MAX {
        Ok(())
    } else {
        Err(LogError::Name { name: name.to_owned() })
    }
}

impl Engine {
    /// The number of a log; of one with an `index` that of the log in which its events are kept.
    ///
    /// # Errors
    /// When there is none of that name; the message names one that is near.
    pub fn log(&self, name: &str) -> Result<LogId, LogError> {
        let logs = self.logs.read();
        let id = logs.id(name).ok_or_else(|| self.unknown(&logs, name))?;
        let index = logs.settled.rules(id).and_then(|rules| logs.id(rules.index.as_ref()?));
        Ok(index.unwrap_or(id))
    }

    pub(crate) fn unknown(&self, logs: &Logs, name: &str) -> LogError {
        let near = query::suggest::suggest(name, logs.by_name.keys().map(String::as_str));
        let how = if self.settings.create_logs {
            "the first event makes it"
        } else {
            "`everlog logs create` makes one, and so does its name in the configuration file"
        };
        let hint = near
            .map_or_else(|| format!(": `everlog logs` lists them; {how}"), |near| format!(": did you mean {near:?}?"));
        LogError::Unknown { name: name.to_owned(), hint }
    }

    /// The number of a log to write to, which is made if it is not there, unless the setting `create_logs` says no.
    ///
    /// # Errors
    /// When the name is none, there is no such log, there are too many, or the catalog refuses.
    pub fn log_or_create(&self, name: &str) -> Result<LogId, LogError> {
        if !self.settings.create_logs {
            let logs = self.logs.read();
            return logs.id(name).ok_or_else(|| self.unknown(&logs, name));
        }
        self.create_log(name)
    }

    pub(crate) fn create_log(&self, name: &str) -> Result<LogId, LogError> {
        if let Some(id) = self.logs.read().id(name) {
            return Ok(id);
        }
        check_log_name(name)?;
        let mut logs = self.logs.write();
        if logs.by_name.len() >= self.settings.logs_max {
            return Err(LogError::TooMany { logs_max: self.settings.logs_max });
        }
        let row = self.store.catalog().create_log(name, self.clock.now())?;
        let id = row.id;
        logs.by_name.insert(name.to_owned(), row);
        Ok(id)
    }

    /// Sets how a log behaves; makes it if it is not there.
    ///
    /// # Errors
    /// As [`Engine::log_or_create`].
    pub fn set_log(&self, name: &str, settings: LogSettings) -> Result<LogInfo, LogError> {
        if !settings.options.is_empty() {
            self.change_options(name, &settings.options)?;
        }
        let id = self.create_log(name)?;
        let keeps =
            settings.retention.is_some() || settings.archive_after.is_some() || settings.archive_bytes.is_some();
        if keeps && let Some(index) = self.logs.read().settled.rules(id).and_then(|rules| rules.index.clone()) {
            let detail =
                format!("its events are kept in {index}, so that is the log whose retention and archive count");
            return Err(LogError::Setting { log: name.to_owned(), detail });
        }
        if let Some(retention) = settings.retention {
            self.store.catalog().set_retention(id, &retention)?;
            if let Some(row) = self.logs.write().by_name.get_mut(name) {
                row.retention = retention;
            }
            self.retention_due.store(true, Ordering::Release);
            self.chores.notify_all();
        }
        if settings.archive_after.is_some() || settings.archive_bytes.is_some() {
            let mut logs = self.logs.write();
            let mut policy = logs.by_name.get(name).map(|row| row.archive.clone()).unwrap_or_default();
            policy.after = settings.archive_after.unwrap_or(policy.after);
            policy.bytes = settings.archive_bytes.map_or(policy.bytes, |bytes| Some(bytes).filter(|bytes| *bytes > 0));
            self.store.catalog().set_archive_policy(id, &policy)?;
            if let Some(row) = logs.by_name.get_mut(name) {
                row.archive = policy;
            }
            drop(logs);
            self.wake_archiver();
        }
        let row = self.logs.read().by_name.get(name).cloned();
        row.map(|row| self.info(&row)).ok_or_else(|| LogError::Name { name: name.to_owned() })
    }

    /// All logs, by number.
    #[must_use]
    pub fn logs(&self) -> Vec<LogInfo> {
        let mut rows: Vec<LogRow> = self.logs.read().all().cloned().collect();
        rows.sort_by_key(|row| row.id);
        rows.iter().map(|row| self.info(row)).collect()
    }

    fn info(&self, row: &LogRow) -> LogInfo {
        LogInfo {
            name: row.name.clone(),
            number: row.id.0,
            created: row.created,
            retention: row.retention.clone(),
            options: self.logs.read().settled.shown(&row.name),
            archive: row.archive.clone(),
            size: self.store.size(row.id),
        }
    }

    /// When the data directory was begun: when its first log was made.
    #[must_use]
    pub fn begun(&self) -> Timestamp {
        let logs = self.logs.read();
        let first = logs.all().min_by_key(|row| row.id);
        first.map_or(Timestamp::from_micros(0), |row| row.created)
    }

    /// When a log was made.
    pub(crate) fn log_created(&self, name: &str) -> Option<Timestamp> {
        self.logs.read().by_name.get(name).map(|row| row.created)
    }

    /// The names of all logs.
    #[must_use]
    pub fn log_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.logs.read().by_name.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// The names of all logs by their numbers.
    #[must_use]
    pub fn log_numbers(&self) -> BTreeMap<LogId, String> {
        self.logs.read().all().map(|row| (row.id, row.name.clone())).collect()
    }

    /// Whether the last request was refused because the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.refused_while_full.load(Ordering::Relaxed) > 0
    }

    /// How far a numbered sender is.
    #[must_use]
    pub fn producer_position(&self, name: &str) -> u64 {
        self.store.producer_position(name).unwrap_or(0)
    }

    /// What came in and what became of it.
    #[must_use]
    pub fn counters(&self) -> &crate::Counters {
        &self.counters
    }

    /// Facts about the server as a whole.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        let segments = self.store.segments();
        let archived = self.store.archived_segments();
        Vitals {
            archived_segments: archived.len(),
            archived_bytes: archived.iter().map(|segment| segment.info().bytes + segment.info().index_bytes).sum(),
            archive_failures: self.archiver.failures.load(Ordering::Relaxed),
            buffer_bytes: self.store.buffer_bytes(),
            last_sequence: self.store.last_sequence(),
            segments: segments.len(),
            segment_bytes: segments.iter().map(|segment| segment.info().bytes + segment.info().index_bytes).sum(),
            attachment_bytes: self.attachments.bytes(),
            damaged: segments.iter().chain(&archived).map(|segment| segment.damage().len()).sum(),
            free_bytes: self.store.free_bytes().unwrap_or(0),
            poisoned: self.store.poisoned(),
        }
    }
}

/// Reads a length of time such as `90d`, `12h`, `2w`, `1y`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let seconds = match text[digits..].trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "y" => 365 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// Prints a length of time so that [`parse_duration`] reads it.
#[must_use]
pub fn print_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (unit, size) = [("d", 86_400), ("h", 3600), ("m", 60)]
        .into_iter()
        .find(|(_, size)| seconds.is_multiple_of(*size))
        .unwrap_or(("s", 1));
    format!("{}{unit}", seconds / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for text in ["90d", "12h", "5m", "7s"] {
            assert_eq!(parse_duration(text).map(print_duration).as_deref(), Some(text));
        }
        assert_eq!(parse_duration("2w").map(print_duration).as_deref(), Some("14d"));
        for text in ["", "d", "90", "0d", "1x", "-1d", "99999999999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
