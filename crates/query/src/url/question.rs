//! What can be asked with a query string.

use super::LIMIT_DEFAULT;
use crate::filter::{Filter, Test};

/// What a query string asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Which events.
    pub filter: Filter,
    /// Which groups, all of these; only with `by`.
    pub having: Vec<Having>,
    /// In which order, most important first. Empty: newest first.
    pub sort: Vec<Sort>,
    /// At most this many rows.
    pub limit: usize,
    /// Leaving out this many at the start.
    pub offset: usize,
    /// Which columns to show; with `by`, of the columns grouped by.
    pub columns: Columns,
    /// The columns to group by; an empty list makes one group of everything.
    pub by: Option<Vec<String>>,
    /// What to compute for each group. With `by` there is always one: the number of events, if nothing else was asked.
    pub aggregates: Vec<Aggregate>,
    /// How to write the answer.
    pub format: Format,
    /// Whether an unknown column is an error. Otherwise what is asked of it is left out and reported.
    pub strict: bool,
    /// Whether to tell in headers how the question was understood.
    pub meta: bool,
    /// The name under which a browser saves the answer; safe to stand in a header.
    pub download: Option<String>,
    /// Where the page before ended, as the answer gave it.
    pub cursor: Option<String>,
    /// Whether to count all rows, not only the page's.
    pub total: bool,
    /// Whether to look through the archive too.
    pub archive: bool,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            filter: Filter::All,
            having: Vec::new(),
            sort: Vec::new(),
            limit: LIMIT_DEFAULT,
            offset: 0,
            columns: Columns::All,
            by: None,
            aggregates: Vec::new(),
            format: Format::Json,
            strict: true,
            meta: false,
            download: None,
            cursor: None,
            total: true,
            archive: false,
        }
    }
}

/// Which columns to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Every one.
    All,
    /// These, in this order.
    Only(Vec<String>),
    /// Every one but these.
    Except(Vec<String>),
}

/// One column to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// A column's name; with groups, one of `by` or the name of an aggregate.
    pub column: String,
    /// Largest first.
    pub descending: bool,
}

/// A number computed for each group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Of which column; `*` stands for the events themselves, and is only counted.
    pub column: String,
    /// What is computed.
    pub function: Function,
    /// What the answer calls it: as typed, `duration|avg` or `count`.
    pub name: String,
}

/// What can be computed of a group's values. Missing values and nulls are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// How many.
    Count,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
    /// The mean.
    Average,
    /// All added up.
    Sum,
    /// Of the earliest event that has one.
    First,
    /// Of the latest event that has one.
    Last,
    /// How many different ones.
    Distinct,
    /// The value that this many percent do not exceed.
    Percentile(u8),
}

pub(super) const FUNCTIONS: [(&str, Function); 13] = [
    ("count", Function::Count),
    ("min", Function::Minimum),
    ("max", Function::Maximum),
    ("avg", Function::Average),
    ("sum", Function::Sum),
    ("first", Function::First),
    ("last", Function::Last),
    ("distinct", Function::Distinct),
    ("median", Function::Percentile(50)),
    ("p50", Function::Percentile(50)),
    ("p90", Function::Percentile(90)),
    ("p95", Function::Percentile(95)),
    ("p99", Function::Percentile(99)),
];

/// A test that a group must pass. It may ask for an aggregate that is not shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Having {
    /// Of what.
    pub aggregate: Aggregate,
    /// [`Test::Present`], [`Test::Equal`] or [`Test::Compare`].
    pub test: Test,
    /// Whether it must fail instead.
    pub negated: bool,
}

/// How to write an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Comma separated, for spreadsheets.
    Csv,
    /// An Excel workbook.
    Xlsx,
    /// A page with a table.
    Html,
    /// The API Logger's lines.
    Text,
    /// The lines of Logbook.
    Logbook,
    /// `key=value` pairs, one event a line.
    Logfmt,
    /// A Parquet file with a typed column for each key.
    Parquet,
}

pub(super) const FORMATS: [(&str, Format); 9] = [
    ("json", Format::Json),
    ("ndjson", Format::Ndjson),
    ("csv", Format::Csv),
    ("xlsx", Format::Xlsx),
    ("html", Format::Html),
    ("text", Format::Text),
    ("logbook", Format::Logbook),
    ("logfmt", Format::Logfmt),
    ("parquet", Format::Parquet),
];

impl Format {
    /// The names of all of them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FORMATS.into_iter().map(|(name, _)| name)
    }

    /// Its name in a URL, which is also the usual ending of a file.
    pub fn name(self) -> &'static str {
        FORMATS.into_iter().find(|(_, format)| *format == self).map_or("json", |(name, _)| name)
    }
}
