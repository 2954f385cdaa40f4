//! What the catalog keeps about the archive.

use std::collections::{BTreeMap, HashMap};

use event::Timestamp;
use rusqlite::params;

use super::{Archived, Policy};
use crate::catalog::{
    Catalog, insert_segment, read_retention, read_segment, read_streams, remove_segment, retention_text, signed,
    unsigned,
};
use crate::segment::SegmentInfo;
use crate::{LogId, StoreError};

/// `archive_leavings` names the files in the archive that no segment has (yet, or any more): whatever an interrupted
/// upload or removal leaves is in it.
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS archived (
  number INTEGER PRIMARY KEY, log INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
  index_bytes INTEGER NOT NULL, footer_bytes INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  first_sequence INTEGER NOT NULL, last_sequence INTEGER NOT NULL, place TEXT NOT NULL DEFAULT '',
  name TEXT NOT NULL DEFAULT '', digest BLOB NOT NULL DEFAULT x'', index_digest BLOB NOT NULL DEFAULT x'',
  archived INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS archived_ids (segment INTEGER PRIMARY KEY, ids BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS archive_leavings (
  place TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (place, name)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS archive_policies (log INTEGER PRIMARY KEY, after TEXT NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS holds (segment INTEGER PRIMARY KEY, until INTEGER NOT NULL) STRICT;
";

/// What changes at once when segments come and go.
#[derive(Debug, Default)]
pub(crate) struct ArchiveChange<'a> {
    /// New in the archive, each with its ids as far as they have to be known.
    pub(crate) archive: &'a [(Archived, Vec<u8>)],
    /// Out of the archive; their files are leavings from then on.
    pub(crate) unarchive: &'a [Archived],
    /// New among the live segments, held until then.
    pub(crate) add: Option<(&'a SegmentInfo, Timestamp)>,
    /// No longer live.
    pub(crate) remove: Option<u64>,
    /// Segments in the archive whose ids nobody has to know any more.
    pub(crate) forget: &'a [u64],
}

impl Catalog {
    /// The segments in the archive.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn archived(&self) -> Result<Vec<Archived>, StoreError> {
        let connection = self.connection.lock();
        let mut streams = read_streams(&connection)?;
        let mut statement = connection.prepare("SELECT * FROM archived ORDER BY number")?;
        let rows = statement.query_map([], |row| {
            let digest = |at: usize| -> rusqlite::Result<[u8; 32]> {
                let bytes: Vec<u8> = row.get(at)?;
                Ok(bytes.try_into().unwrap_or_default())
            };
            Ok(Archived {
                info: read_segment(row, &mut streams)?,
                place: row.get(10)?,
                name: row.get(11)?,
                digests: [digest(12)?, digest(13)?],
                archived: Timestamp::from_micros(row.get(14)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn commit_archive(&self, change: &ArchiveChange<'_>) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            if let Some(number) = change.remove {
                remove_segment(transaction, number, "segments")?;
            }
            for record in change.unarchive {
                remove_segment(transaction, record.info.number, "archived")?;
                transaction.execute(
                    "INSERT OR IGNORE INTO archive_leavings VALUES (?1, ?2)",
                    params![record.place, record.name],
                )?;
            }
            if let Some((info, until)) = change.add {
                insert_segment(transaction, info, "segments")?;
                transaction
                    .execute("INSERT INTO holds VALUES (?1, ?2)", params![signed(info.number), until.as_micros()])?;
            }
            for (record, ids) in change.archive {
                insert_segment(transaction, &record.info, "archived")?;
                transaction.execute(
                    "UPDATE archived SET place = ?2, name = ?3, digest = ?4, index_digest = ?5, archived = ?6
                     WHERE number = ?1",
                    params![
                        signed(record.info.number),
                        record.place,
                        record.name,
                        record.digests[0].as_slice(),
                        record.digests[1].as_slice(),
                        record.archived.as_micros()
                    ],
                )?;
                if !ids.is_empty() {
                    transaction.execute(
                        "INSERT INTO archived_ids VALUES (?1, ?2)",
                        params![signed(record.info.number), ids],
                    )?;
                }
                transaction.execute(
                    "DELETE FROM archive_leavings WHERE place = ?1 AND name = ?2",
                    params![record.place, record.name],
                )?;
            }
            for number in change.forget {
                transaction.execute("DELETE FROM archived_ids WHERE segment = ?1", [signed(*number)])?;
            }
            Ok(())
        })
    }

    /// The remembered ids of a segment in the archive, sixteen bytes each.
    pub(crate) fn archived_ids(&self, number: u64) -> Result<Vec<u8>, StoreError> {
        use rusqlite::OptionalExtension as _;
        let connection = self.connection.lock();
        let found = connection
            .query_row("SELECT ids FROM archived_ids WHERE segment = ?1", [signed(number)], |row| row.get(0))
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Files in the archive that no segment has: place and name.
    pub(crate) fn leavings(&self) -> Result<Vec<(String, String)>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare("SELECT place, name FROM archive_leavings")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn set_leaving(&self, place: &str, name: &str, is_there: bool) -> Result<(), StoreError> {
        let text = if is_there {
            "INSERT OR IGNORE INTO archive_leavings VALUES (?1, ?2)"
        } else {
            "DELETE FROM archive_leavings WHERE place = ?1 AND name = ?2"
        };
        self.transaction(|transaction| transaction.execute(text, params![place, name]).map(drop))
    }

    /// Live segments that stay live for a while, and until when.
    pub(crate) fn holds(&self) -> Result<HashMap<u64, Timestamp>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare("SELECT segment, until FROM holds")?;
        let rows = statement.query_map([], |row| Ok((unsigned(row.get(0)?), Timestamp::from_micros(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn end_hold(&self, number: u64) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            transaction.execute("DELETE FROM holds WHERE segment = ?1", [signed(number)]).map(drop)
        })
    }

    /// Sets when the segments of a log go to the archive.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn set_archive_policy(&self, log: LogId, policy: &Policy) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let values = params![log.0, retention_text(&policy.after), signed(policy.bytes.unwrap_or(0))];
            transaction.execute("INSERT OR REPLACE INTO archive_policies VALUES (?1, ?2, ?3)", values).map(drop)
        })
    }

    pub(crate) fn archive_policies(&self) -> Result<BTreeMap<LogId, Policy>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare("SELECT log, after, bytes FROM archive_policies")?;
        let rows = statement.query_map([], |row| {
            let after: String = row.get(1)?;
            let bytes = Some(unsigned(row.get(2)?)).filter(|bytes| *bytes > 0);
            Ok((LogId(row.get(0)?), Policy { after: read_retention(&after), bytes }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
