//! Questions and answers: the search language, the URL grammar and SQL, over one frozen snapshot of the store.
//!
//! A question is parsed, pruned with the index, and scanned; nothing here changes what is stored.

mod aggregate;
mod cell;
pub mod elastic;
mod evaluate;
pub mod filter;
mod grouping;
#[cfg(test)]
mod kept;
mod keys;
mod known;
mod log_scan;
mod parquet;
mod percentile;
mod prune;
mod scan;
pub mod search;
mod sql;
mod table;
pub mod time;
pub mod url;

#[cfg(test)]
extern crate self as query;

use thiserror::Error;

pub use aggregate::group;
pub use cell::{Answer, write_json as write_cells};
pub use evaluate::matches;
pub use event::suggest;
pub use known::{Known, unknown_columns};
pub use parquet::ParquetWriter;
pub use scan::{Bounds, Cursor, Order, Page, Request, scan, scan_columns};
pub use sql::{Sql, SqlLimits};

/// Reads a search as it was typed; relative times count from `now`.
///
/// # Errors
/// When it cannot be read: the error points at the place.
pub fn searched(text: &str, now: event::Timestamp) -> Result<filter::Filter, QueryError> {
    let now = jiff::Timestamp::from_microsecond(now.as_micros()).unwrap_or_default();
    search::parse(text, now).map_err(|error| QueryError::Search { pointed: error.pointed(text) })
}

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The search text cannot be read. Holds the text with a pointer to the place.
    #[error("{pointed}")]
    Search {
        /// Three lines: the text, a caret, what was expected.
        pointed: String,
    },
    /// A parameter of the URL cannot be read.
    #[error(transparent)]
    Url(#[from] url::UrlError),
    /// The question names a column that no event has.
    #[error("unknown column {column:?}{hint}; add _strict=n to leave unknown columns out of the question")]
    UnknownColumn {
        /// As asked.
        column: String,
        /// `: did you mean "x"?` or nothing.
        hint: String,
    },
    /// The cursor is not one of ours.
    #[error("the cursor {cursor:?} was not made by this server: begin again without _cursor")]
    Cursor {
        /// As sent.
        cursor: String,
    },
    /// The SQL text cannot be planned.
    #[error("{message}")]
    Sql {
        /// What is wrong and where.
        message: String,
    },
    /// The question took longer than allowed.
    #[error(
        "the question took longer than {seconds} s and was given up: ask for less time or fewer events, or raise the setting query_time_max"
    )]
    TooSlow {
        /// The bound.
        seconds: u64,
    },
    /// The question needs more than allowed.
    #[error("the question needs more {what} than allowed ({limit}): ask for less, or group by fewer values")]
    TooLarge {
        /// Memory or rows.
        what: &'static str,
        /// The bound.
        limit: String,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

impl From<arrow::error::ArrowError> for QueryError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Store(error.into())
    }
}
