//! Rows become columns: typed builders for every key, an overflow column for the rest.
//!
//! A key may have values of several types; each type is a column of its own, so nothing is refused or bent for
//! its type, and a question about the key looks at all of them. Everlog's own columns begin with an underscore,
//! which no column of a key does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use event::limits::{COLUMN_PATH_BYTES_MAX, COLUMNS_MAX};
use event::{Batch, Id, Timestamp, Value};

/// Name of the column with the sequence numbers.
pub const SEQUENCE: &str = "_sequence";
/// Name of the column with the overflow: a flat JSON object from paths to values.
pub const REST: &str = "_rest";
/// Name of the column with the time of the event.
pub const TIMESTAMP: &str = "timestamp";
/// Name of the column with the time of receipt.
pub const RECEIVED: &str = "received";

const PATH_KEY: &str = "everlog.path";
const UUID_EXTENSION: (&str, &str) = ("ARROW:extension:name", "arrow.uuid");

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Text.
    Str,
    /// A UUID, 16 bytes.
    Uuid,
    /// A whole number of 64 bits.
    Int,
    /// A double.
    Float,
    /// true or false.
    Bool,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Str, Self::Uuid, Self::Int, Self::Float, Self::Bool];

    fn data_type(self) -> DataType {
        match self {
            Self::Str => DataType::Utf8,
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Str => "text",
            Self::Uuid => "uuid",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
        }
    }

    fn of(data_type: &DataType) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.data_type() == *data_type)
    }
}

/// The columns of keys in a schema, as (index, path, kind).
pub fn key_columns(schema: &Schema) -> impl Iterator<Item = (usize, &str, Kind)> {
    schema.fields().iter().enumerate().filter_map(|(index, field)| {
        Some((index, field.metadata().get(PATH_KEY)?.as_str(), Kind::of(field.data_type())?))
    })
}

/// The type of the two time columns.
#[must_use]
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The columns that every schema begins with.
fn own_fields() -> Vec<Field> {
    vec![
        Field::new(SEQUENCE, DataType::UInt64, false),
        Field::new(TIMESTAMP, time_type(), false),
        Field::new(RECEIVED, time_type(), false),
        Field::new(REST, DataType::Utf8, true),
    ]
}

/// Index of the sequence column in every schema.
pub const SEQUENCE_AT: usize = 0;
/// Index of the time column in every schema.
pub const TIMESTAMP_AT: usize = 1;
/// Index of the receipt column in every schema.
pub const RECEIVED_AT: usize = 2;
/// Index of the overflow column in every schema.
pub const REST_AT: usize = 3;

/// A schema with Everlog's own columns and one column for each (path, kind). The first kind named for a path has
/// the path as its name, the others a suffix (`status`, `status|text`).
#[must_use]
pub fn schema_of<'a>(columns: impl Iterator<Item = (&'a str, Kind)>) -> Arc<Schema> {
    let mut fields = own_fields();
    let mut named: HashSet<String> = [SEQUENCE, TIMESTAMP, RECEIVED, REST].map(str::to_owned).into();
    for (path, kind) in columns {
        let mut name = path.to_owned();
        // More than once only where a key that was sent looks like such a name.
        while !named.insert(name.clone()) {
            name = format!("{name}|{}", kind.suffix());
        }
        let mut metadata = HashMap::from([(PATH_KEY.to_owned(), path.to_owned())]);
        if kind == Kind::Uuid {
            metadata.insert(UUID_EXTENSION.0.to_owned(), UUID_EXTENSION.1.to_owned());
        }
        fields.push(Field::new(name, kind.data_type(), true).with_metadata(metadata));
    }
    Arc::new(Schema::new(fields))
}

/// Builds columns from rows as they are accepted.
#[derive(Debug, Default)]
pub struct ColumnsBuilder {
    sequences: Vec<u64>,
    timestamps: Vec<i64>,
    received: Vec<i64>,
    keys: Vec<KeyColumns>,
    by_path: hashbrown::HashMap<Box<str>, usize>,
    columns: usize,
    id: KeyColumns,
    rest: Lazy<StringBuilder>,
    rest_scratch: Vec<u8>,
    bytes: usize,
    /// What the batch before this one took: its rows, and the bytes of its texts by path.
    before: (usize, hashbrown::HashMap<Box<str>, usize>),
}

#[derive(Debug, Default)]
struct KeyColumns {
    path: Box<str>,
    room: Room,
    text: Lazy<StringBuilder>,
    uuid: Lazy<Uuids>,
    int: Lazy<Int64Builder>,
    float: Lazy<Float64Builder>,
    bool: Lazy<BooleanBuilder>,
}

#[derive(Debug)]
struct Uuids(FixedSizeBinaryBuilder);

/// Room that a builder is made with, so that it need not grow: rows, and bytes of their texts.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    rows: usize,
    bytes: usize,
}

/// A builder that is only made when a value comes, and only then filled up with the nulls before it.
#[derive(Debug)]
struct Lazy<B>(Option<Box<B>>);

impl<B> Default for Lazy<B> {
    fn default() -> Self {
        Self(None)
    }
}

trait Nulls {
    fn with(room: Room) -> Self;
    fn rows(&self) -> usize;
    fn nulls(&mut self, count: usize);
}

macro_rules! nulls {
    ($($builder:ty: $make:expr),*) => { $(
        impl Nulls for $builder {
            fn with(room: Room) -> Self { $make(room) }
            fn rows(&self) -> usize { arrow::array::ArrayBuilder::len(self) }
            fn nulls(&mut self, count: usize) { self.append_nulls(count); }
        }
    )* };
}
nulls!(
    StringBuilder: |room: Room| Self::with_capacity(room.rows, room.bytes),
    Int64Builder: |room: Room| Self::with_capacity(room.rows),
    Float64Builder: |room: Room| Self::with_capacity(room.rows),
    BooleanBuilder: |room: Room| Self::with_capacity(room.rows)
);

impl Nulls for Uuids {
    fn with(room: Room) -> Self {
        Self(FixedSizeBinaryBuilder::with_capacity(room.rows, 16))
    }
    fn rows(&self) -> usize {
        arrow::array::ArrayBuilder::len(&self.0)
    }
    fn nulls(&mut self, count: usize) {
        self.0.append_nulls(count);
    }
}

impl<B: Nulls> Lazy<B> {
    /// The builder, filled up to `row`, unless it has a value for that row already.
    fn at(&mut self, row: usize, room: Room) -> &mut B {
        let builder = self.0.get_or_insert_with(|| Box::new(B::with(room)));
        let rows = builder.rows();
        if rows < row {
            builder.nulls(row - rows);
        }
        builder
    }
}

enum Slot {
    Key(usize),
    Id,
    Overflow,
}

impl ColumnsBuilder {
    /// How many rows it holds.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sequences.len()
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds all rows of a batch, numbered from `first`.
    pub fn append(&mut self, batch: &Batch, first: u64, received: Timestamp) {
        let slots: Vec<Slot> = batch.keys().iter().map(|path| self.slot(path)).collect();
        self.bytes += batch.bytes();
        for (index, row) in batch.rows().enumerate() {
            let at = self.rows();
            self.sequences.push(first + index as u64);
            self.timestamps.push(row.timestamp.as_micros());
            self.received.push(received.as_micros());
            match row.id {
                Id::Uuid(bytes) => push(&mut self.id, at, &Value::Uuid(*bytes)),
                Id::Text(text) => push(&mut self.id, at, &Value::Str(text)),
            };
            self.rest_scratch.clear();
            for field in row.fields() {
                let kept = match slots[field.key as usize] {
                    Slot::Key(slot) if !field.sent => push(&mut self.keys[slot], at, &field.value),
                    Slot::Id | Slot::Key(_) | Slot::Overflow => false,
                };
                if !kept {
                    push_rest(&mut self.rest_scratch, &batch.keys()[field.key as usize], &field.value);
                }
            }
            if !self.rest_scratch.is_empty() {
                self.rest_scratch.push(b'}');
                let text = String::from_utf8_lossy(&self.rest_scratch);
                self.rest.at(at, Room::default()).append_value(&text);
            }
        }
    }

    fn slot(&mut self, path: &str) -> Slot {
        if path == "id" {
            return Slot::Id;
        }
        if let Some(slot) = self.by_path.get(path) {
            return Slot::Key(*slot);
        }
        let shared = event::shared::has_column(path);
        if path.is_empty() || path.len() > COLUMN_PATH_BYTES_MAX || (!shared && self.columns >= COLUMNS_MAX) {
            return Slot::Overflow;
        }
        self.columns += usize::from(!shared);
        let room =
            self.before.1.get(path).map_or_else(Room::default, |bytes| Room { rows: self.before.0, bytes: *bytes });
        self.keys.push(KeyColumns { path: path.into(), room, ..KeyColumns::default() });
        self.by_path.insert(path.into(), self.keys.len() - 1);
        Slot::Key(self.keys.len() - 1)
    }

    /// Everything so far as one batch of columns; the builder is empty afterwards. `None` when there is nothing.
    pub fn finish(&mut self) -> Option<RecordBatch> {
        let rows = self.rows();
        if rows == 0 {
            return None;
        }
        let mut built = std::mem::take(self);
        self.before.0 = rows;
        self.id.room = Room { rows, bytes: 0 };
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(built.sequences)),
            Arc::new(TimestampMicrosecondArray::from(built.timestamps).with_timezone("UTC")),
            Arc::new(TimestampMicrosecondArray::from(built.received).with_timezone("UTC")),
            Arc::new(built.rest.at(rows, Room::default()).finish()),
        ];
        let mut names: Vec<(Box<str>, Kind)> = Vec::new();
        built.id.path = "id".into();
        for mut key in std::iter::once(built.id).chain(built.keys) {
            let finished = key.finish(rows);
            let texts = finished.iter().filter_map(|(_, array)| array.as_string_opt::<i32>());
            self.before.1.insert(key.path.clone(), texts.map(|texts| texts.value_data().len()).sum());
            for (kind, array) in finished {
                names.push((key.path.clone(), kind));
                arrays.push(array);
            }
        }
        let schema = schema_of(names.iter().map(|(path, kind)| (&**path, *kind)));
        RecordBatch::try_new(schema, arrays).ok()
    }
}

impl KeyColumns {
    fn finish(&mut self, rows: usize) -> Vec<(Kind, ArrayRef)> {
        let mut finished: Vec<(Kind, ArrayRef)> = Vec::with_capacity(1);
        if self.text.0.is_some() {
            finished.push((Kind::Str, Arc::new(self.text.at(rows, self.room).finish())));
        }
        if self.uuid.0.is_some() {
            finished.push((Kind::Uuid, Arc::new(self.uuid.at(rows, self.room).0.finish())));
        }
        if self.int.0.is_some() {
            finished.push((Kind::Int, Arc::new(self.int.at(rows, self.room).finish())));
        }
        if self.float.0.is_some() {
            finished.push((Kind::Float, Arc::new(self.float.at(rows, self.room).finish())));
        }
        if self.bool.0.is_some() {
            finished.push((Kind::Bool, Arc::new(self.bool.at(rows, self.room).finish())));
        }
        // The commonest kind gives the key its plain name.
        finished.sort_by_key(|(_, array)| array.null_count());
        finished
    }
}

/// Puts a value into the column of its type. False when it has none: then it belongs to the overflow.
fn push(key: &mut KeyColumns, row: usize, value: &Value<'_>) -> bool {
    match value {
        Value::Str(text) => key.text.at(row, key.room).append_value(text),
        Value::Uuid(bytes) => return key.uuid.at(row, key.room).0.append_value(bytes).is_ok(),
        Value::Int(number) => key.int.at(row, key.room).append_value(*number),
        Value::Float(number) => key.float.at(row, key.room).append_value(*number),
        Value::Bool(truth) => key.bool.at(row, key.room).append_value(*truth),
        Value::Null | Value::Raw(_) => return false,
    }
    true
}

/// Adds one member to an overflow object that is still open.
pub(crate) fn push_rest(out: &mut Vec<u8>, path: &str, value: &Value<'_>) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    Value::Str(path).write_json(out);
    out.push(b':');
    value.write_json(out);
}
