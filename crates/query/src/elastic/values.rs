//! The values of a field in the rows of a batch, wherever they stand: in a column of their type, or in the overflow.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch,
    StringArray,
};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, Schema, TimestampMicrosecondType, UInt64Type};
use event::{format_uuid, logical_name, rest_leaves};
use memchr::memmem::Finder;
use serde_json::Value;
use store::columns::{
    Kind, RECEIVED, RECEIVED_AT, REST, REST_AT, SEQUENCE, SEQUENCE_AT, TIMESTAMP, TIMESTAMP_AT, key_columns,
};

use super::dates::{self, Reading};

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum One<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// Microseconds since 1970.
    Time(i64),
}

impl<'a> One<'a> {
    /// The same as a value of an event.
    pub(crate) fn value(self) -> event::Value<'a> {
        match self {
            Self::Bool(truth) => event::Value::Bool(truth),
            Self::Int(number) | Self::Time(number) => event::Value::Int(number),
            Self::Float(number) => event::Value::Float(number),
            Self::Text(text) => event::Value::Str(text),
        }
    }

    /// The number it is or spells; a date is its milliseconds.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(truth) => Some(f64::from(u8::from(*truth))),
            Self::Int(number) => Some(float(*number)),
            Self::Float(number) => Some(*number),
            Self::Time(micros) => Some(float(micros.div_euclid(dates::MILLI))),
            Self::Text(text) => match crate::filter::Scalar::new(*text).as_number() {
                Some(number) => Some(number),
                None => self.micros().map(|micros| float(micros.div_euclid(dates::MILLI))),
            },
        }
    }

    /// The time it is or spells, in microseconds since 1970; a number is milliseconds.
    pub(crate) fn micros(&self) -> Option<i64> {
        match self {
            Self::Time(micros) => Some(*micros),
            Self::Int(millis) => millis.checked_mul(dates::MILLI),
            Self::Float(millis) => Some(whole(*millis * 1000.0)),
            Self::Bool(_) => None,
            Self::Text(text) => {
                let bytes = text.as_bytes();
                let date = bytes.len() >= 10 && bytes[4] == b'-' && bytes[0].is_ascii_digit();
                let reading =
                    || Reading { format: None, zone: jiff::tz::TimeZone::UTC, now: jiff::Timestamp::UNIX_EPOCH };
                if date { dates::read(text, &reading()).map(|moments| moments.start) } else { None }
            }
        }
    }

    /// Whether it is a date, by its column or by its look.
    pub(crate) fn is_date(&self) -> bool {
        match self {
            Self::Time(_) => true,
            Self::Text(_) => self.micros().is_some(),
            _ => false,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Elasticsearch computes with doubles too")]
pub(crate) fn float(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, which is as good as any number so large")]
pub(crate) fn whole(number: f64) -> i64 {
    number as i64
}

/// A field that values are wanted of.
#[derive(Debug)]
pub(crate) struct Field {
    /// The key of ours.
    pub(crate) key: String,
    /// Finds the rows whose overflow may have it; none when every one has to be looked at.
    finder: Option<Finder<'static>>,
}

impl Field {
    pub(crate) fn new(key: &str) -> Self {
        let last = key.split('.').next_back().unwrap_or(key);
        let plain = !last.is_empty()
            && last.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'@'));
        Self { key: key.to_owned(), finder: plain.then(|| Finder::new(last).into_owned()) }
    }

    /// The columns of a schema that have its values.
    pub(crate) fn columns(&self, schema: &Schema) -> Vec<usize> {
        match self.key.as_str() {
            TIMESTAMP => vec![TIMESTAMP_AT],
            RECEIVED => vec![RECEIVED_AT],
            SEQUENCE => vec![SEQUENCE_AT],
            _ => key_columns(schema)
                .filter(|(_, path, _)| logical_name(path) == *self.key)
                .map(|(index, ..)| index)
                .collect(),
        }
    }

    /// Whether its values may be in the overflow.
    pub(crate) fn may_overflow(&self) -> bool {
        !matches!(self.key.as_str(), TIMESTAMP | RECEIVED | SEQUENCE | "_index")
    }
}

/// A column of one type.
#[derive(Debug)]
pub(crate) enum Column<'b> {
    Text(&'b StringArray),
    /// Each text once, and for each row which one.
    Coded(&'b DictionaryArray<Int32Type>, &'b StringArray),
    Uuid(&'b FixedSizeBinaryArray),
    Int(&'b PrimitiveArray<Int64Type>),
    Float(&'b PrimitiveArray<Float64Type>),
    Bool(&'b BooleanArray),
    Time(&'b PrimitiveArray<TimestampMicrosecondType>),
    Sequence(&'b PrimitiveArray<UInt64Type>),
}

impl<'b> Column<'b> {
    fn new(array: &'b ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::Dictionary(..) => {
                let coded = array.as_dictionary_opt::<Int32Type>()?;
                Self::Coded(coded, coded.values().as_string_opt()?)
            }
            DataType::FixedSizeBinary(16) => Self::Uuid(array.as_fixed_size_binary()),
            DataType::Int64 => Self::Int(array.as_primitive()),
            DataType::Float64 => Self::Float(array.as_primitive()),
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Timestamp(..) => Self::Time(array.as_primitive_opt()?),
            DataType::UInt64 => Self::Sequence(array.as_primitive()),
            _ => return None,
        })
    }

    pub(crate) fn one(&self, row: usize, see: &mut dyn FnMut(One<'_>)) {
        match self {
            Self::Text(texts) if texts.is_valid(row) => see(One::Text(texts.value(row))),
            Self::Coded(coded, texts) if coded.is_valid(row) => {
                let at = usize::try_from(coded.keys().value(row)).unwrap_or(0);
                see(One::Text(texts.value(at)));
            }
            Self::Uuid(uuids) if uuids.is_valid(row) => {
                if let Ok(bytes) = uuids.value(row).try_into() {
                    see(One::Text(&format_uuid(&bytes)));
                }
            }
            Self::Int(numbers) if numbers.is_valid(row) => see(One::Int(numbers.value(row))),
            Self::Float(numbers) if numbers.is_valid(row) => see(One::Float(numbers.value(row))),
            Self::Bool(truths) if truths.is_valid(row) => see(One::Bool(truths.value(row))),
            Self::Time(times) if times.is_valid(row) => see(One::Time(times.value(row))),
            Self::Sequence(numbers) => see(One::Int(i64::try_from(numbers.value(row)).unwrap_or(i64::MAX))),
            _ => {}
        }
    }
}

/// The values of one field in a batch.
#[derive(Debug)]
pub(crate) struct FieldView<'b> {
    field: &'b Field,
    pub(crate) columns: Vec<Column<'b>>,
    /// The overflow, if some row of the batch may have the field there.
    rest: Option<&'b StringArray>,
    /// Whether what stands in the overflow is what was sent, and the column only its common form.
    sent_wins: bool,
    /// The name of the log, for `_index`.
    log: Option<&'b str>,
}

impl<'b> FieldView<'b> {
    pub(crate) fn new(field: &'b Field, batch: &'b RecordBatch, log: &'b str) -> Self {
        let schema = batch.schema_ref();
        if field.key == "_index" {
            return Self { field, columns: Vec::new(), rest: None, sent_wins: false, log: Some(log) };
        }
        let own = match field.key.as_str() {
            TIMESTAMP | RECEIVED | SEQUENCE => schema.index_of(&field.key).ok(),
            _ => None,
        };
        let named = |index: usize| {
            let path = schema.field(index).metadata().get("everlog.path");
            path.is_some_and(|path| logical_name(path) == *field.key)
        };
        let found = (0..schema.fields().len()).filter(|index| own.map_or_else(|| named(*index), |own| own == *index));
        let columns = found.filter_map(|index| Column::new(batch.column(index))).collect();
        let rest = if field.may_overflow() { batch.column_by_name(REST) } else { None };
        let rest = rest.map(|rest| rest.as_string::<i32>()).filter(|rest| rest.null_count() < rest.len());
        // Most batches have it nowhere, which one look at all their bytes tells.
        let rest = rest.filter(|rest| field.finder.as_ref().is_none_or(|finder| finder.find(bytes_of(rest)).is_some()));
        Self { field, columns, rest, sent_wins: event::shared::ORDER.contains(&field.key.as_str()), log: None }
    }

    /// The column, if all values are in one and nowhere else.
    pub(crate) fn only(&self) -> Option<&Column<'b>> {
        match &self.columns[..] {
            [column] if self.rest.is_none() => Some(column),
            _ => None,
        }
    }

    /// Calls `see` with each value of a row, in no certain order.
    pub(crate) fn each(&self, row: usize, see: &mut dyn FnMut(One<'_>)) {
        if let Some(log) = self.log {
            return see(One::Text(log));
        }
        if let Some(rest) = self.rest
            && rest.is_valid(row)
            && self.overflow(rest.value(row), see)
            && self.sent_wins
        {
            return;
        }
        self.columns.iter().for_each(|column| column.one(row, see));
    }

    /// The values in an overflow text; whether there are any.
    fn overflow(&self, rest: &str, see: &mut dyn FnMut(One<'_>)) -> bool {
        if self.field.finder.as_ref().is_some_and(|finder| finder.find(rest.as_bytes()).is_none()) {
            return false;
        }
        let mut any = false;
        for (path, json) in rest_leaves(rest) {
            let name = logical_name(&path);
            let below = match self.field.key.strip_prefix(name.as_ref()) {
                Some("") => "",
                Some(below) if below.starts_with('.') && json.starts_with(['[', '{']) => &below[1..],
                _ => continue,
            };
            if let Ok(value) = serde_json::from_str::<Value>(&json) {
                dig(&value, below, &mut |one| {
                    any = true;
                    see(one);
                });
            }
        }
        any
    }
}

/// All bytes of the texts of an array.
fn bytes_of(texts: &StringArray) -> &[u8] {
    let end = |at: usize| texts.value_offsets().get(at).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
    &texts.value_data()[end(0)..end(texts.len())]
}

/// The scalars under a path in a value; those of each member of an array.
pub(crate) fn dig(value: &Value, path: &str, see: &mut dyn FnMut(One<'_>)) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| dig(one, path, see)),
        Value::Object(members) => {
            for (key, inner) in members {
                match path.strip_prefix(key.as_str()) {
                    Some("") if !path.is_empty() => dig(inner, "", see),
                    Some(below) if below.starts_with('.') => dig(inner, &below[1..], see),
                    _ => {}
                }
            }
        }
        _ if !path.is_empty() => {}
        Value::Bool(truth) => see(One::Bool(*truth)),
        Value::String(text) => see(One::Text(text)),
        Value::Number(number) => match number.as_i64() {
            Some(number) => see(One::Int(number)),
            None => {
                if let Some(number) = number.as_f64() {
                    see(One::Float(number));
                }
            }
        },
        Value::Null => {}
    }
}

/// The columns that rows are read with: of a filter, and of fields.
pub(crate) fn columns_for(
    filter: &[usize],
    fields: &[Field],
    schema: &Schema,
    overflow: bool,
) -> (Vec<usize>, Vec<usize>) {
    let mut columns: Vec<usize> = filter.to_vec();
    columns.extend([SEQUENCE_AT, TIMESTAMP_AT]);
    let mut coded = Vec::new();
    for field in fields {
        let found = field.columns(schema);
        if let [one] = found[..]
            && !filter.contains(&one)
            && key_columns(schema).any(|(index, _, kind)| index == one && kind == Kind::Str)
        {
            coded.push(one);
        }
        columns.extend(found);
    }
    if overflow && fields.iter().any(Field::may_overflow) {
        columns.push(REST_AT);
    }
    columns.sort_unstable();
    columns.dedup();
    (columns, coded)
}
