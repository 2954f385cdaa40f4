//! Events kept on disk: journal, buffer, segments, index, catalog, merge, retention, recovery.
//!
//! Nothing here asks for the time, knows a protocol, or understands a question: rows go in, columns come out.

pub mod archive;
mod cache;
pub mod catalog;
mod checked;
pub mod columns;
mod conform;
mod decimal;
pub mod disk;
mod document;
pub mod index;
mod journal;
mod merge;
mod pages;
mod recent;
mod retention;
pub mod segment;
mod store;
mod streams;
mod tiers;
mod write;

use std::io;

use thiserror::Error;

pub use conform::value_at;
pub use document::{Belongs, Documents};
pub use journal::{JournalDamage, JournalError, PRODUCER_BYTES_MAX};
pub use retention::{Expiry, Retention};
pub use store::{
    Appended, ArchiveFault, ArchiveWork, Incoming, Inspection, LogSize, Purge, Rows, Snapshot, StartReport, Store,
    Verified, inspect, verify_record,
};

/// The number of a log: 1 is `default`. The same as in a Sentry DSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

/// Why the store could not do something beyond accepting events.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No room. Nothing is lost; the same call may be tried again.
    #[error("the disk is full: free some space on the disk of the data directory")]
    Full,
    /// A file cannot be read.
    #[error("{file} cannot be read: {reason}; run `everlog doctor` to see what is affected")]
    Unreadable {
        /// Its name in the data directory.
        file: String,
        /// What was found.
        reason: String,
    },
    /// The data directory was written by a later version.
    #[error(
        "the data directory has format {found}, this everlog knows formats up to {known}: use the newer everlog that wrote it"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// The latest format this version reads.
        known: u32,
    },
    /// The place of the archive does not do what it should.
    #[error("archive {place}: {reason}; nothing is lost, and what is live stays live")]
    Archive {
        /// Which.
        place: String,
        /// What it says.
        reason: String,
    },
    /// The work was told to stop.
    #[error("stopped before the end: what was done stays done, the rest can be asked for again")]
    Stopped,
    /// The system refused.
    #[error("the disk refused: {0}")]
    Io(#[source] io::Error),
    /// Columns could not be encoded or decoded.
    #[error("columns cannot be encoded or decoded: {0}")]
    Columns(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The catalog refused.
    #[error("the catalog refused: {0}")]
    Catalog(#[source] rusqlite::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        if disk::is_full(&error) { Self::Full } else { Self::Io(error) }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Catalog(error),
        }
    }
}

impl From<arrow::error::ArrowError> for StoreError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Columns(Box::new(error))
    }
}

impl From<parquet::errors::ParquetError> for StoreError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(found) = cause {
            if found.downcast_ref::<io::Error>().is_some_and(disk::is_full) {
                return Self::Full;
            }
            cause = found.source();
        }
        if error.to_string().contains("No space left") { Self::Full } else { Self::Columns(Box::new(error)) }
    }
}
