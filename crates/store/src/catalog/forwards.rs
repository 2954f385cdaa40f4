//! How far each target is with what is forwarded to it.

use rusqlite::params;

use super::{Catalog, signed, unsigned};
use crate::{LogId, StoreError};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS forwards (
  name TEXT PRIMARY KEY, log INTEGER NOT NULL, position INTEGER NOT NULL, delivered INTEGER NOT NULL,
  refused INTEGER NOT NULL, missed INTEGER NOT NULL, paused INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// A target as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardRow {
    /// Its name.
    pub name: String,
    /// The log whose events it gets.
    pub log: LogId,
    /// Every event of the log up to this sequence number is settled: delivered, refused for good, or not wanted.
    pub position: u64,
    /// Events that it has.
    pub delivered: u64,
    /// Events that it refused for good.
    pub refused: u64,
    /// Events that went, by retention or a purge, before it got them.
    pub missed: u64,
    /// Whether nothing is sent to it for now.
    pub paused: bool,
}

impl Catalog {
    /// The targets there ever were, by name.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forwards(&self) -> Result<Vec<ForwardRow>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection
            .prepare("SELECT name, log, position, delivered, refused, missed, paused FROM forwards ORDER BY name")?;
        let rows = statement.query_map([], |row| {
            Ok(ForwardRow {
                name: row.get(0)?,
                log: LogId(row.get(1)?),
                position: unsigned(row.get(2)?),
                delivered: unsigned(row.get(3)?),
                refused: unsigned(row.get(4)?),
                missed: unsigned(row.get(5)?),
                paused: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps how far a target is.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn set_forward(&self, row: &ForwardRow) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let ForwardRow { name, log, position, delivered, refused, missed, paused } = row;
            let [position, delivered, refused, missed] = [position, delivered, refused, missed].map(|at| signed(*at));
            let values = params![name, log.0, position, delivered, refused, missed, paused];
            transaction.execute("INSERT OR REPLACE INTO forwards VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", values).map(drop)
        })
    }
}
