//! The values that a page is sorted by when it is not the time.

use std::cmp::Ordering;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, TimestampMicrosecondType, UInt64Type};
use event::{Level, Value, logical_name};
use store::columns::key_columns;
use store::value_at;

use crate::url::Sort;

/// A value to sort by. Missing values come last, whatever the direction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    Bool(bool),
    Level(Level),
    Number(f64),
    Text(String),
    Missing,
}

impl Key {
    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Level(_) => 1,
            Self::Number(_) => 2,
            Self::Text(_) => 3,
            Self::Missing => 4,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(two)) => one.cmp(two),
            (Self::Level(one), Self::Level(two)) => one.cmp(two),
            (Self::Number(one), Self::Number(two)) => one.total_cmp(two),
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// The columns of a schema that hold the sort keys.
pub(crate) fn sort_columns<'a>(sort: &'a [Sort], schema: &'a Schema) -> impl Iterator<Item = usize> + 'a {
    let keys = key_columns(schema)
        .filter(|(_, path, _)| sort.iter().any(|by| logical_name(path) == by.column))
        .map(|(index, ..)| index);
    let own = crate::known::OWN
        .iter()
        .enumerate()
        .filter(|(_, name)| sort.iter().any(|by| by.column == **name))
        .map(|(index, _)| index);
    keys.chain(own)
}

/// The columns of a batch that hold the sort keys.
#[derive(Default)]
pub(crate) struct SortValues {
    columns: Vec<SortColumn>,
}

/// Where the values of one sort key stand.
struct SortColumn {
    is_level: bool,
    columns: Vec<(usize, store::columns::Kind)>,
    /// One of Everlog's own columns.
    own: Option<usize>,
}

impl SortValues {
    /// For the columns that a batch has.
    pub(crate) fn new(sort: &[Sort], batch: &RecordBatch) -> Self {
        let schema = batch.schema();
        let columns = sort
            .iter()
            .map(|by| {
                let found = key_columns(&schema)
                    .filter(|(_, path, _)| logical_name(path) == by.column)
                    .map(|(index, _, kind)| (index, kind))
                    .collect();
                let own =
                    crate::known::OWN.contains(&by.column.as_str()).then(|| schema.index_of(&by.column).ok()).flatten();
                SortColumn { is_level: by.column == "level", columns: found, own }
            })
            .collect();
        Self { columns }
    }

    /// Whether a row comes behind another one already by the first key. Most rows do, and need no keys of their own.
    pub(crate) fn comes_after(&self, batch: &RecordBatch, row: usize, keys: &[Key], descending: bool) -> bool {
        let (Some(column), Some(bound)) = (self.columns.first(), keys.first()) else { return false };
        let order = match (column.text(batch, row), bound) {
            (Some(text), Key::Text(bound)) => text.cmp(bound.as_str()),
            (Some(_), _) => return false,
            (None, bound) => return in_order(&column.key(batch, row), bound, descending) == Ordering::Greater,
        };
        if descending { order == Ordering::Less } else { order == Ordering::Greater }
    }

    /// The keys of a row.
    pub(crate) fn keys(&self, batch: &RecordBatch, row: usize) -> Box<[Key]> {
        self.columns.iter().map(|column| column.key(batch, row)).collect()
    }
}

impl SortColumn {
    fn value<'a>(&self, batch: &'a RecordBatch, row: usize) -> Option<Value<'a>> {
        self.columns.iter().find_map(|(index, kind)| value_at(batch.column(*index), *kind, row))
    }

    /// The text of a row, if it is sorted by a text.
    fn text<'a>(&self, batch: &'a RecordBatch, row: usize) -> Option<&'a str> {
        if self.is_level || self.own.is_some() {
            return None;
        }
        match self.value(batch, row) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        }
    }

    fn key(&self, batch: &RecordBatch, row: usize) -> Key {
        if let Some(own) = self.own {
            return own_key(batch, own, row);
        }
        match self.value(batch, row) {
            Some(Value::Bool(truth)) => Key::Bool(truth),
            #[expect(
                clippy::cast_precision_loss,
                reason = "an order among numbers beyond 2^53 that differ by less is not promised"
            )]
            Some(Value::Int(number)) => Key::Number(number as f64),
            Some(Value::Float(number)) => Key::Number(number),
            Some(Value::Str(text)) => match Level::parse(text).filter(|_| self.is_level) {
                Some(level) => Key::Level(level),
                None => Key::Text(text.to_owned()),
            },
            Some(Value::Uuid(bytes)) => Key::Text(event::format_uuid(&bytes)),
            Some(Value::Null | Value::Raw(_)) | None => Key::Missing,
        }
    }
}

/// The order of two values on a page.
pub(crate) fn in_order(left: &Key, right: &Key, descending: bool) -> Ordering {
    match (left, right) {
        (Key::Missing, _) | (_, Key::Missing) => left.rank().cmp(&right.rank()),
        _ if descending => right.compare(left),
        _ => left.compare(right),
    }
}

fn own_key(batch: &RecordBatch, column: usize, row: usize) -> Key {
    let column = batch.column(column);
    #[expect(clippy::cast_precision_loss, reason = "microseconds of the present era are below 2^53")]
    let number = match column.data_type() {
        arrow::datatypes::DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row) as f64,
        arrow::datatypes::DataType::Timestamp(..) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row) as f64
        }
        arrow::datatypes::DataType::Int64 => column.as_primitive::<Int64Type>().value(row) as f64,
        _ => return Key::Missing,
    };
    Key::Number(number)
}
