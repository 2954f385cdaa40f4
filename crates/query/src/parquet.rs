//! Events as a Parquet file for other programs: a column for each key, with a type that all its values have.
//!
//! Rows are written page by page and row group by row group, so that any number of events takes the same memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use event::{Value, format_uuid, logical_name, rest_leaves};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use store::columns::{Kind, RECEIVED, RECEIVED_AT, REST, REST_AT, TIMESTAMP, TIMESTAMP_AT, key_columns, time_type};
use store::value_at;

use crate::known::Known;
use crate::url::Columns;
use crate::{Page, QueryError};

/// Rows of a row group, and bytes of one that is being written: the first reached ends it.
const GROUP_ROWS: usize = 122_880;
const GROUP_BYTES: usize = 32 << 20;

/// Columns of keys at the most; the values of all others are in the overflow.
const COLUMNS_MAX: usize = 1000;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Int,
    /// Whole numbers among them are floats too.
    Float,
    Bool,
    /// Texts; where a key has values of other types too, they are there as JSON writes them.
    Text,
}

impl Type {
    fn of(kinds: &BTreeSet<Kind>) -> Self {
        let only = |some: &[Kind]| kinds.iter().all(|kind| some.contains(kind));
        match () {
            () if only(&[Kind::Int]) => Self::Int,
            () if only(&[Kind::Int, Kind::Float]) => Self::Float,
            () if only(&[Kind::Bool]) => Self::Bool,
            () => Self::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Utf8,
        }
    }
}

/// A column of a key.
#[derive(Clone, Debug)]
struct Column {
    name: String,
    kind: Type,
    /// Whether it takes arrays and all else that has no column of its own: as JSON.
    takes_all: bool,
}

/// Writes events into a Parquet file.
pub struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    columns: Vec<Column>,
    by_name: BTreeMap<String, usize>,
    /// Which of the times are wanted.
    times: [bool; 2],
    wanted: Columns,
    unreadable: u64,
}

impl<W: Write + Send> std::fmt::Debug for ParquetWriter<W> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ParquetWriter").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file with the columns of these keys that are wanted.
    ///
    /// # Errors
    /// When `out` refuses.
    pub fn new(known: &Known, wanted: &Columns, out: W) -> Result<Self, QueryError> {
        let columns = columns(known, wanted);
        let times = [TIMESTAMP, RECEIVED].map(|name| is_wanted(wanted, name));
        let own = [TIMESTAMP, RECEIVED].into_iter().zip(times).filter(|(_, wanted)| *wanted);
        let mut fields: Vec<Field> = own.map(|(name, _)| Field::new(name, time_type(), false)).collect();
        fields.extend(columns.iter().map(|column| Field::new(&column.name, column.kind.data_type(), true)));
        fields.push(Field::new(REST, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(fields));
        let level = ZstdLevel::try_new(1).map_err(arrow::error::ArrowError::from)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by("everlog".to_owned())
            .build();
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties)).map_err(refused)?;
        let by_name = columns.iter().enumerate().map(|(at, column)| (column.name.clone(), at)).collect();
        Ok(Self { writer, schema, columns, by_name, times, wanted: wanted.clone(), unreadable: 0 })
    }

    /// Adds the events of a page, in their order.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, page: &Page) -> Result<(), QueryError> {
        self.unreadable = self.unreadable.max(page.unreadable);
        if page.rows.is_empty() {
            return Ok(());
        }
        let overflow = Overflow::of(page, self);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (at, wanted) in [TIMESTAMP_AT, RECEIVED_AT].into_iter().zip(self.times) {
            let micros = |(batch, row, _): &(usize, usize, u64)| {
                page.batches[*batch].column(at).as_primitive::<TimestampMicrosecondType>().value(*row)
            };
            if wanted {
                let times = TimestampMicrosecondArray::from_iter_values(page.rows.iter().map(micros));
                arrays.push(Arc::new(times.with_timezone("UTC")));
            }
        }
        for (at, column) in self.columns.iter().enumerate() {
            arrays.push(built(page, column, overflow.lifted.get(&at)));
        }
        arrays.push(Arc::new(overflow.rest));
        self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), arrays)?).map_err(refused)?;
        if self.writer.in_progress_size() > GROUP_BYTES {
            self.writer.flush().map_err(refused)?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), QueryError> {
        if self.unreadable > 0 {
            let told = KeyValue::new("everlog.unreadable".to_owned(), self.unreadable.to_string());
            self.writer.append_key_value_metadata(told);
        }
        self.writer.close().map(drop).map_err(refused)
    }
}

fn refused(error: parquet::errors::ParquetError) -> QueryError {
    arrow::error::ArrowError::from(error).into()
}

/// Whether a key is to be in the answer: chosen itself, or below a chosen one.
fn is_wanted(wanted: &Columns, name: &str) -> bool {
    let named = |names: &[String]| {
        names
            .iter()
            .any(|one| name.strip_prefix(one.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    match wanted {
        Columns::All => true,
        Columns::Only(names) => named(names),
        Columns::Except(names) => !named(names),
    }
}

/// The columns, the shared keys first, in the order of an answer.
fn columns(known: &Known, wanted: &Columns) -> Vec<Column> {
    let kept = known.columns.iter().filter(|(name, _)| is_wanted(wanted, name) && *name != REST);
    let mut columns: Vec<Column> =
        kept.map(|(name, kinds)| Column { name: name.clone(), kind: Type::of(kinds), takes_all: false }).collect();
    let place = |name: &str| match name {
        "id" => (0, 0),
        _ => (1, event::shared::rank(name)),
    };
    columns.sort_by_key(|column| place(&column.name));
    columns.truncate(COLUMNS_MAX);
    if let Columns::Only(names) = wanted {
        let own = [TIMESTAMP, RECEIVED, REST];
        for name in names.iter().filter(|name| !own.contains(&name.as_str())) {
            let has_one = columns.iter().any(|column| is_wanted(&Columns::Only(vec![name.clone()]), &column.name));
            if !has_one {
                columns.push(Column { name: name.clone(), kind: Type::Text, takes_all: true });
            }
        }
    }
    columns
}

/// What the overflow of the rows of a page has: values for columns that have none, and what is left.
struct Overflow {
    lifted: BTreeMap<usize, BTreeMap<usize, String>>,
    rest: arrow::array::StringArray,
}

impl Overflow {
    fn of<W: Write + Send>(page: &Page, writer: &ParquetWriter<W>) -> Self {
        let mut lifted: BTreeMap<usize, BTreeMap<usize, String>> = BTreeMap::new();
        let mut rest = StringBuilder::new();
        let mut left = Vec::new();
        let schemas: Vec<SchemaRef> = page.batches.iter().map(RecordBatch::schema).collect();
        for (number, (batch, row, _)) in page.rows.iter().enumerate() {
            let overflow = page.batches[*batch].column(REST_AT).as_string::<i32>();
            if overflow.is_null(*row) {
                rest.append_null();
                continue;
            }
            left.clear();
            for (path, json) in rest_leaves(overflow.value(*row)) {
                let name = logical_name(&path);
                let column = writer.by_name.get(&*name).copied();
                let takes = |at: &usize| {
                    let has = || has_value(&page.batches[*batch], &schemas[*batch], *row, &name);
                    fits(&writer.columns[*at], &json) && !has()
                };
                match column.filter(takes) {
                    Some(at) => drop(lifted.entry(at).or_default().insert(number, json.into_owned())),
                    None if is_wanted(&writer.wanted, &name) => push_member(&mut left, &path, &json),
                    None => {}
                }
            }
            if left.is_empty() {
                rest.append_null();
            } else {
                left.push(b'}');
                rest.append_value(String::from_utf8_lossy(&left));
            }
        }
        Self { lifted, rest: rest.finish() }
    }
}

fn push_member(out: &mut Vec<u8>, path: &str, json: &str) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    Value::Str(path).write_json(out);
    out.push(b':');
    out.extend_from_slice(json.as_bytes());
}

fn has_value(batch: &RecordBatch, schema: &Schema, row: usize, name: &str) -> bool {
    key_columns(schema).any(|(index, path, _)| logical_name(path) == name && batch.column(index).is_valid(row))
}

/// Whether a value of the overflow is one of a column's.
fn fits(column: &Column, json: &str) -> bool {
    match (column.kind, json.as_bytes().first()) {
        _ if column.takes_all => json != "null",
        (Type::Text, Some(b'"')) => true,
        (Type::Int, _) => json.parse::<i64>().is_ok(),
        (Type::Float, _) => number(json).is_some(),
        (Type::Bool, _) => matches!(json, "true" | "false"),
        (Type::Text, _) => false,
    }
}

/// Digits that a float holds, whatever number they make.
const DIGITS_EXACT: usize = 15;

/// A number of JSON that a float can hold.
fn number(json: &str) -> Option<f64> {
    let is_number = json.bytes().next().is_some_and(|byte| byte.is_ascii_digit() || byte == b'-');
    let digits = json.bytes().filter(u8::is_ascii_digit).count();
    json.parse::<f64>().ok().filter(|float| is_number && digits <= DIGITS_EXACT && float.is_finite())
}

/// The values of a column for the rows of a page.
fn built(page: &Page, column: &Column, lifted: Option<&BTreeMap<usize, String>>) -> ArrayRef {
    let sources: Vec<Vec<(usize, Kind)>> = page
        .batches
        .iter()
        .map(|batch| {
            let schema = batch.schema();
            let of_name = key_columns(&schema).filter(|(_, path, _)| logical_name(path) == column.name);
            of_name.map(|(index, _, kind)| (index, kind)).collect()
        })
        .collect();
    let value = |batch: usize, row: usize| {
        sources[batch].iter().find_map(|(index, kind)| value_at(page.batches[batch].column(*index), *kind, row))
    };
    let cells = page.rows.iter().enumerate().map(|(number, (batch, row, _))| {
        let lifted = || lifted.and_then(|lifted| lifted.get(&number)).map(|json| Value::Raw(json));
        value(*batch, *row).or_else(lifted)
    });
    match column.kind {
        Type::Int => {
            let mut built = Int64Builder::with_capacity(page.rows.len());
            cells.for_each(|cell| built.append_option(int(cell)));
            Arc::new(built.finish())
        }
        Type::Float => {
            let mut built = Float64Builder::with_capacity(page.rows.len());
            cells.for_each(|cell| built.append_option(float(cell)));
            Arc::new(built.finish())
        }
        Type::Bool => {
            let mut built = BooleanBuilder::with_capacity(page.rows.len());
            cells.for_each(|cell| built.append_option(truth(cell)));
            Arc::new(built.finish())
        }
        Type::Text => {
            let mut built = StringBuilder::new();
            cells.for_each(|cell| match cell {
                None => built.append_null(),
                Some(Value::Str(text)) => built.append_value(text),
                Some(other) => built.append_value(text(&other)),
            });
            Arc::new(built.finish())
        }
    }
}

fn int(cell: Option<Value<'_>>) -> Option<i64> {
    match cell? {
        Value::Int(number) => Some(number),
        Value::Raw(json) => json.parse().ok(),
        _ => None,
    }
}

fn float(cell: Option<Value<'_>>) -> Option<f64> {
    match cell? {
        Value::Float(number) => Some(number),
        #[expect(clippy::cast_precision_loss, reason = "the column is one of floats")]
        Value::Int(number) => Some(number as f64),
        Value::Raw(json) => number(json),
        _ => None,
    }
}

fn truth(cell: Option<Value<'_>>) -> Option<bool> {
    match cell? {
        Value::Bool(truth) => Some(truth),
        Value::Raw(json) => json.parse().ok(),
        _ => None,
    }
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Uuid(bytes) => format_uuid(bytes),
        Value::Raw(json) if json.starts_with('"') => serde_json::from_str(json).unwrap_or_default(),
        other => {
            let mut json = Vec::new();
            other.write_json(&mut json);
            String::from_utf8_lossy(&json).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Float64Type, Int64Type};
    use event::{BatchBuilder, Id, Timestamp};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use store::columns::ColumnsBuilder;

    use super::*;

    /// Rows of the store, one for each event, which is a list of keys and values.
    fn stored(events: &[&[(&str, Value<'_>)]], first: u64) -> RecordBatch {
        let mut batch = BatchBuilder::new();
        for (at, event) in events.iter().enumerate() {
            for (path, value) in *event {
                let key = batch.key(path);
                batch.push(key, *value, false);
            }
            let micros = 1_750_000_000_000_000 + i64::try_from(first).unwrap() + i64::try_from(at).unwrap();
            batch.commit(Id::new(&format!("id-{first}-{at}")), Timestamp::from_micros(micros));
        }
        let mut columns = ColumnsBuilder::default();
        columns.append(&batch.finish(), first, Timestamp::from_micros(7));
        columns.finish().unwrap()
    }

    fn written(batches: Vec<RecordBatch>, wanted: &Columns) -> RecordBatch {
        let mut known = Known::default();
        for batch in &batches {
            for (_, path, kind) in key_columns(&batch.schema()) {
                known.columns.entry(logical_name(path).into_owned()).or_default().insert(kind);
            }
        }
        let rows = batches
            .iter()
            .enumerate()
            .flat_map(|(at, batch)| (0..batch.num_rows()).map(move |row| (at, row, 0)))
            .collect();
        let page = Page { batches, rows, ..Page::default() };
        let mut out = Vec::new();
        let mut writer = ParquetWriter::new(&known, wanted, &mut out).unwrap();
        writer.write(&page).unwrap();
        writer.write(&Page::default()).unwrap();
        writer.finish().unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(out)).unwrap().build().unwrap();
        let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        concat_batches(&read[0].schema(), &read).unwrap()
    }

    fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Vec<Option<&'a str>> {
        batch.column_by_name(name).unwrap().as_string::<i32>().iter().collect()
    }

    #[test]
    fn each_key_has_one_column_of_one_type() {
        let one = stored(
            &[
                &[
                    ("status", Value::Int(200)),
                    ("took", Value::Int(1)),
                    ("ok", Value::Bool(true)),
                    ("mixed", Value::Int(7)),
                ],
                &[("tags", Value::Raw("[1,\"é\"]")), ("user", Value::Str("zoë")), ("o.n", Value::Int(3))],
            ],
            1,
        );
        let two = stored(
            &[&[
                ("took", Value::Float(1.5)),
                ("mixed", Value::Str("x")),
                ("big", Value::Raw("12345678901234567890123")),
            ]],
            3,
        );
        let found = written(vec![one, two], &Columns::All);
        let column = |name: &str| Arc::clone(found.column_by_name(name).unwrap());
        assert_eq!(column("status").as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(200), None, None]);
        assert_eq!(
            column("took").as_primitive::<Float64Type>().iter().collect::<Vec<_>>(),
            [Some(1.0), None, Some(1.5)]
        );
        assert_eq!(column("ok").as_boolean().iter().collect::<Vec<_>>(), [Some(true), None, None]);
        assert_eq!(column("o.n").as_primitive::<Int64Type>().value(1), 3);
        assert_eq!(texts(&found, "mixed"), [Some("7"), None, Some("x")]);
        assert_eq!(texts(&found, "user"), [None, Some("zoë"), None]);
        assert_eq!(texts(&found, "id"), [Some("id-1-0"), Some("id-1-1"), Some("id-3-0")]);
        let rest = [None, Some("{\"tags\":[1,\"é\"]}"), Some("{\"big\":12345678901234567890123}")];
        assert_eq!(texts(&found, REST), rest);
        assert_eq!(found.column_by_name(TIMESTAMP).unwrap().data_type(), &time_type());
    }

    #[test]
    fn chosen_columns_are_there_whatever_they_hold() {
        let event =
            [("a", Value::Int(1)), ("o.n", Value::Int(2)), ("tags", Value::Raw("[1]")), ("x", Value::Raw("[2]"))];
        let only = |names: &[&str]| Columns::Only(names.iter().map(|name| (*name).to_owned()).collect());
        let found = written(vec![stored(&[&event], 1)], &only(&["timestamp", "o", "tags"]));
        let schema = found.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["timestamp", "o.n", "tags", "_rest"]);
        assert_eq!((texts(&found, "tags"), texts(&found, REST)), (vec![Some("[1]")], vec![None]));
        let found = written(vec![stored(&[&event], 1)], &Columns::Except(vec!["o".to_owned(), "x".to_owned()]));
        assert!(found.column_by_name("o.n").is_none() && found.column_by_name("a").is_some());
        assert_eq!(texts(&found, REST), [Some("{\"tags\":[1]}")]);
    }

    #[test]
    fn a_value_without_a_column_goes_to_the_one_that_others_have() {
        let column = |kind| Column { name: "x".to_owned(), kind, takes_all: false };
        for (kind, json, expected) in [
            (Type::Int, "7", true),
            (Type::Int, "7.5", false),
            (Type::Int, "12345678901234567890123", false),
            (Type::Float, "7.5", true),
            (Type::Float, "0.1234567890123456789", false),
            (Type::Float, "\"7\"", false),
            (Type::Bool, "true", true),
            (Type::Text, "\"a\"", true),
            (Type::Text, "[1]", false),
            (Type::Text, "null", false),
        ] {
            assert_eq!(fits(&column(kind), json), expected, "{kind:?} {json}");
        }
        assert_eq!(text(&Value::Raw("\"a\\u0301\"")), "a\u{301}");
    }
}
