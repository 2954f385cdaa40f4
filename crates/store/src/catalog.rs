//! The catalog: which segments are live, up to where the journal is in segments, and all small mutable facts.
//! One SQLite database; its tables are described in docs/format.md.

mod forwards;
mod reactions;

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use event::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

pub use forwards::ForwardRow;
pub use reactions::{DeliveryRow, IssueQuery, IssueRow, NoticeRow, Reaction};

use crate::archive::Policy;
use crate::disk::Disk;
use crate::segment::{SegmentInfo, StreamSpan};
use crate::{LogId, StoreError};

/// The format of the data directory. 2: segments may have decimals, sidecars of version 2 are written.
pub const FORMAT: u32 = 2;

/// A log as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Its number.
    pub id: LogId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// How long events are kept, by stream; the empty name stands for all other streams.
    pub retention: BTreeMap<String, Duration>,
    /// When they go to the archive.
    pub archive: Policy,
}

/// How the name of a log begins that is being removed, which no other log's does.
const LEAVING: &str = "-";

impl LogRow {
    /// Whether it is being removed.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.name.starts_with(LEAVING)
    }
}

/// A token as the catalog keeps it: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// A short public name of the token, part of its text.
    pub id: String,
    /// What it is for, in the words of whoever made it.
    pub label: String,
    /// SHA-256 of the secret.
    pub hash: Vec<u8>,
    /// `write`, `read`, `admin`, separated by commas.
    pub scopes: String,
    /// The logs it is good for, separated by commas; empty for all.
    pub logs: String,
    /// When it was made.
    pub created: Timestamp,
}

/// What was said about a stream: that it was added, that one of the first was removed, or what its label is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// Its name.
    pub name: String,
    /// Its label, if it has one of its own.
    pub label: Option<String>,
    /// Whether it was removed.
    pub removed: bool,
}

/// What changes at once.
#[derive(Debug, Default)]
pub(crate) struct Change<'a> {
    pub(crate) add: &'a [SegmentInfo],
    pub(crate) remove: &'a [u64],
    pub(crate) flushed: Option<u64>,
    pub(crate) producers: &'a [(String, u64)],
}

/// The open catalog.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) connection: Arc<Mutex<Connection>>,
    disk: Arc<dyn Disk>,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS logs (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, retention TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS removed_logs (number INTEGER PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS log_settings (log INTEGER PRIMARY KEY, settings TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS segments (
  number INTEGER PRIMARY KEY, log INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
  index_bytes INTEGER NOT NULL, footer_bytes INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  first_sequence INTEGER NOT NULL, last_sequence INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS streams (
  segment INTEGER NOT NULL, stream TEXT NOT NULL, rows INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY (segment, stream)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS named_streams (name TEXT PRIMARY KEY, label TEXT, removed INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS producers (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (
  id TEXT PRIMARY KEY, label TEXT NOT NULL, hash BLOB NOT NULL, scopes TEXT NOT NULL, logs TEXT NOT NULL,
  created INTEGER NOT NULL) STRICT;
";

impl Catalog {
    /// Opens the catalog of a data directory, and makes it if it is not there.
    ///
    /// # Errors
    /// When SQLite cannot open it, or a later version of Everlog wrote it.
    pub fn open(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        for_the_owner_alone(path)?;
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        Self::with_connection(Arc::new(Mutex::new(connection)), disk)
    }

    /// Uses a database that is open already: tests keep one in memory over several starts.
    ///
    /// # Errors
    /// When its tables cannot be made, or a later version of Everlog made them.
    pub fn with_connection(connection: Arc<Mutex<Connection>>, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        {
            let open = connection.lock();
            open.busy_timeout(Duration::from_secs(5))?;
            // Asked first: nothing is written to what a later version wrote.
            let found = read_format(&open)?;
            if found > FORMAT {
                return Err(StoreError::Newer { found, known: FORMAT });
            }
            open.execute_batch(SCHEMA)?;
            open.execute_batch(crate::archive::SCHEMA)?;
            open.execute_batch(forwards::SCHEMA)?;
            open.execute_batch(reactions::SCHEMA)?;
            open.execute(
                "INSERT OR IGNORE INTO meta VALUES ('format', ?1), ('flushed', 0), ('next_segment', 1)",
                [FORMAT],
            )?;
        }
        Ok(Self { connection, disk })
    }

    /// Whatever is written from now on may be of the present format: an earlier version must refuse it.
    pub(crate) fn raise_format(&self) -> Result<(), StoreError> {
        if read_format(&self.connection.lock())? == FORMAT {
            return Ok(());
        }
        self.transaction(|transaction| {
            transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'format'", [FORMAT]).map(drop)
        })
    }

    pub(crate) fn transaction(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction()?;
        change(&transaction)?;
        self.disk.around_commit(false)?;
        transaction.commit()?;
        Ok(self.disk.around_commit(true)?)
    }

    /// All logs by number.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn logs(&self) -> Result<Vec<LogRow>, StoreError> {
        let mut policies = self.archive_policies()?;
        let connection = self.connection.lock();
        let mut statement = connection.prepare("SELECT number, name, created, retention FROM logs ORDER BY number")?;
        let rows = statement.query_map([], |row| {
            let retention: String = row.get(3)?;
            let id = LogId(row.get(0)?);
            Ok(LogRow {
                id,
                name: row.get(1)?,
                created: Timestamp::from_micros(row.get(2)?),
                retention: read_retention(&retention),
                archive: policies.remove(&id).unwrap_or_default(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Makes a log; the one of that name if there is one.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn create_log(&self, name: &str, created: Timestamp) -> Result<LogRow, StoreError> {
        self.transaction(|transaction| {
            transaction
                .execute(
                    // The journal may still have events under the number of a log that was removed.
                    "INSERT OR IGNORE INTO logs (number, name, created, retention) VALUES (
                       (SELECT 1 + max(
                         (SELECT coalesce(max(number), 0) FROM logs), (SELECT coalesce(max(number), 0) FROM removed_logs))),
                       ?1, ?2, '{}')",
                    params![name, created.as_micros()],
                )
                .map(drop)
        })?;
        let logs = self.logs()?;
        logs.into_iter().find(|log| log.name == name).ok_or(StoreError::Catalog(rusqlite::Error::QueryReturnedNoRows))
    }

    /// Takes the name from a log that is to go, so that another may have it: [`LogRow::is_leaving`] from now on.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn begin_removal(&self, log: LogId) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let name = format!("{LEAVING}{}", log.0);
            transaction.execute("UPDATE logs SET name = ?2 WHERE number = ?1", params![log.0, name]).map(drop)
        })
    }

    /// Takes a log away with these segments, which are all that it has. Its number is remembered.
    pub(crate) fn remove_log(&self, log: LogId, segments: &[u64]) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            for number in segments {
                remove_segment(transaction, *number, "segments")?;
            }
            for (table, key) in [("logs", "number"), ("log_settings", "log"), ("archive_policies", "log")] {
                transaction.execute(&format!("DELETE FROM {table} WHERE {key} = ?1"), [log.0])?;
            }
            reactions::forget_log(transaction, log)?;
            transaction.execute("INSERT OR IGNORE INTO removed_logs VALUES (?1)", [log.0]).map(drop)
        })
    }

    /// The numbers of logs that were taken away.
    pub(crate) fn removed_logs(&self) -> Result<HashSet<LogId>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare("SELECT number FROM removed_logs")?;
        let rows = statement.query_map([], |row| Ok(LogId(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What else was set for logs, as the JSON that [`Catalog::set_log_settings`] was given.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn log_settings(&self) -> Result<Vec<(LogId, String)>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare("SELECT log, settings FROM log_settings ORDER BY log")?;
        let rows = statement.query_map([], |row| Ok((LogId(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps what else is set for a log.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn set_log_settings(&self, log: LogId, settings: &str) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            transaction
                .execute("INSERT OR REPLACE INTO log_settings VALUES (?1, ?2)", params![log.0, settings])
                .map(drop)
        })
    }

    /// Sets how long events of a log are kept.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn set_retention(&self, log: LogId, retention: &BTreeMap<String, Duration>) -> Result<(), StoreError> {
        let seconds: BTreeMap<&String, u64> = retention.iter().map(|(stream, kept)| (stream, kept.as_secs())).collect();
        let text = serde_json::to_string(&seconds).unwrap_or_else(|_| "{}".to_owned());
        self.transaction(|transaction| {
            transaction.execute("UPDATE logs SET retention = ?2 WHERE number = ?1", params![log.0, text]).map(drop)
        })
    }

    /// The live segments.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, StoreError> {
        let connection = self.connection.lock();
        let mut streams = read_streams(&connection)?;
        let mut statement = connection.prepare("SELECT * FROM segments ORDER BY number")?;
        let rows = statement.query_map([], |row| read_segment(row, &mut streams))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The last sequence number that is in segments, and the number of the next segment.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn position(&self) -> Result<(u64, u64), StoreError> {
        let connection = self.connection.lock();
        let read = |key: &str| {
            connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0).map(unsigned))
        };
        Ok((read("flushed")?, read("next_segment")?))
    }

    /// How far each producer is, as of the last flush.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn producers(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare("SELECT name, position FROM producers")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn commit(&self, change: &Change<'_>) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            for info in change.add {
                insert_segment(transaction, info, "segments")?;
            }
            for number in change.remove {
                remove_segment(transaction, *number, "segments")?;
            }
            if let Some(flushed) = change.flushed {
                transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'flushed'", [signed(flushed)])?;
            }
            for (name, position) in change.producers {
                transaction
                    .execute("INSERT OR REPLACE INTO producers VALUES (?1, ?2)", params![name, signed(*position)])?;
            }
            Ok(())
        })
    }

    /// What was said about streams, by name.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn named_streams(&self) -> Result<Vec<StreamRow>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare("SELECT name, label, removed FROM named_streams ORDER BY name")?;
        let rows = statement
            .query_map([], |row| Ok(StreamRow { name: row.get(0)?, label: row.get(1)?, removed: row.get(2)? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps what was said about a stream.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn name_stream(&self, row: &StreamRow) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let values = params![row.name, row.label, row.removed];
            transaction.execute("INSERT OR REPLACE INTO named_streams VALUES (?1, ?2, ?3)", values).map(drop)
        })
    }

    /// Remembers for the next start how many messages of Everlog about itself could not be kept.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn set_untold(&self, messages: u64) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            transaction.execute("INSERT OR REPLACE INTO meta VALUES ('untold', ?1)", [signed(messages)]).map(drop)
        })
    }

    /// What [`Catalog::set_untold`] remembered, which is forgotten then.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn take_untold(&self) -> Result<u64, StoreError> {
        let read = "SELECT value FROM meta WHERE key = 'untold' AND value > 0";
        let untold =
            self.connection.lock().query_row(read, [], |row| row.get(0).map(unsigned)).optional()?.unwrap_or(0);
        if untold > 0 {
            self.set_untold(0)?;
        }
        Ok(untold)
    }

    /// All tokens, oldest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let connection = self.connection.lock();
        let mut statement =
            connection.prepare("SELECT id, label, hash, scopes, logs, created FROM tokens ORDER BY created, id")?;
        let rows = statement.query_map([], |row| {
            Ok(TokenRow {
                id: row.get(0)?,
                label: row.get(1)?,
                hash: row.get(2)?,
                scopes: row.get(3)?,
                logs: row.get(4)?,
                created: Timestamp::from_micros(row.get(5)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds a token.
    ///
    /// # Errors
    /// When SQLite refuses, also when there is a token of that id.
    pub fn add_token(&self, token: &TokenRow) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let values =
                params![token.id, token.label, token.hash, token.scopes, token.logs, token.created.as_micros()];
            transaction.execute("INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6)", values).map(drop)
        })
    }

    /// Removes a token. False when there was none of that id.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn remove_token(&self, id: &str) -> Result<bool, StoreError> {
        let known = self
            .connection
            .lock()
            .query_row("SELECT 1 FROM tokens WHERE id = ?1", [id], |_| Ok(()))
            .optional()?
            .is_some();
        self.transaction(|transaction| transaction.execute("DELETE FROM tokens WHERE id = ?1", [id]).map(drop))?;
        Ok(known)
    }

    /// Asks SQLite to check its own file; `None` when it is sound, else what it says.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn check(&self) -> Result<Option<String>, StoreError> {
        let found: String = self.connection.lock().query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok((found != "ok").then_some(found))
    }
}

/// Secrets of channels are in the database: nobody else reads it, nor the files that SQLite keeps beside it, which get
/// the rights of the database.
fn for_the_owner_alone(path: &Path) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

/// The format of the tables; 0 when there are none yet.
fn read_format(connection: &Connection) -> rusqlite::Result<u32> {
    if !connection.table_exists(None, "meta")? {
        return Ok(0);
    }
    let found = connection.query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0))
}

pub(crate) fn read_streams(connection: &Connection) -> rusqlite::Result<BTreeMap<u64, Vec<StreamSpan>>> {
    let mut streams: BTreeMap<u64, Vec<StreamSpan>> = BTreeMap::new();
    let mut statement =
        connection.prepare("SELECT segment, stream, rows, first, last FROM streams ORDER BY segment, stream")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        streams.entry(unsigned(row.get(0)?)).or_default().push(StreamSpan {
            stream: row.get(1)?,
            rows: unsigned(row.get(2)?),
            first: Timestamp::from_micros(row.get(3)?),
            last: Timestamp::from_micros(row.get(4)?),
        });
    }
    Ok(streams)
}

/// The first ten columns of a row of `segments` or `archived`.
pub(crate) fn read_segment(
    row: &rusqlite::Row<'_>,
    streams: &mut BTreeMap<u64, Vec<StreamSpan>>,
) -> rusqlite::Result<SegmentInfo> {
    let number = unsigned(row.get(0)?);
    Ok(SegmentInfo {
        number,
        log: LogId(row.get(1)?),
        rows: unsigned(row.get(2)?),
        bytes: unsigned(row.get(3)?),
        index_bytes: unsigned(row.get(4)?),
        footer_bytes: unsigned(row.get(5)?),
        first: Timestamp::from_micros(row.get(6)?),
        last: Timestamp::from_micros(row.get(7)?),
        first_sequence: unsigned(row.get(8)?),
        last_sequence: unsigned(row.get(9)?),
        streams: streams.remove(&number).unwrap_or_default(),
    })
}

/// Takes a segment out of `segments` or `archived`, and what is known of it beside.
pub(crate) fn remove_segment(transaction: &Transaction<'_>, number: u64, table: &str) -> rusqlite::Result<()> {
    for (table, key) in [(table, "number"), ("streams", "segment"), ("archived_ids", "segment"), ("holds", "segment")] {
        transaction.execute(&format!("DELETE FROM {table} WHERE {key} = ?1"), [signed(number)])?;
    }
    Ok(())
}

/// Adds a segment to `segments` or `archived`.
pub(crate) fn insert_segment(transaction: &Transaction<'_>, info: &SegmentInfo, table: &str) -> rusqlite::Result<()> {
    transaction.execute(
        &format!(
            "INSERT INTO {table} (number, log, rows, bytes, index_bytes, footer_bytes, first, last, first_sequence, last_sequence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        ),
        params![
            signed(info.number),
            info.log.0,
            signed(info.rows),
            signed(info.bytes),
            signed(info.index_bytes),
            signed(info.footer_bytes),
            info.first.as_micros(),
            info.last.as_micros(),
            signed(info.first_sequence),
            signed(info.last_sequence),
        ],
    )?;
    for span in &info.streams {
        let values =
            params![signed(info.number), span.stream, signed(span.rows), span.first.as_micros(), span.last.as_micros()];
        transaction.execute("INSERT INTO streams VALUES (?1, ?2, ?3, ?4, ?5)", values)?;
    }
    transaction
        .execute("UPDATE meta SET value = max(value, ?1) WHERE key = 'next_segment'", [signed(info.number + 1)])
        .map(drop)
}

pub(crate) fn retention_text(retention: &BTreeMap<String, Duration>) -> String {
    let seconds: BTreeMap<&str, u64> =
        retention.iter().map(|(stream, kept)| (stream.as_str(), kept.as_secs())).collect();
    serde_json::to_string(&seconds).unwrap_or_else(|_| "{}".to_owned())
}

pub(crate) fn read_retention(text: &str) -> BTreeMap<String, Duration> {
    let seconds: BTreeMap<String, u64> = serde_json::from_str(text).unwrap_or_default();
    seconds.into_iter().map(|(stream, seconds)| (stream, Duration::from_secs(seconds))).collect()
}

/// SQLite keeps signed numbers; ours never reach the sign.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
