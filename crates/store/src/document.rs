//! Rows of columns put together again as documents: the inverse of taking an event apart.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use event::{ADDED, Added, Leaf, Renderer, Timestamp, Value, format_uuid, rest_leaves};

use crate::columns::{Kind, RECEIVED, RECEIVED_AT, REST_AT, TIMESTAMP, TIMESTAMP_AT, key_columns};
use crate::value_at;

/// Writes the rows of one batch as JSON objects.
#[derive(Debug)]
pub struct Documents<'a> {
    batch: &'a RecordBatch,
    columns: Vec<(usize, String, Kind)>,
    /// The keys that are written; all of them when there is no list.
    only: Option<&'a [&'a str]>,
    renderer: Renderer,
}

/// Where an event belongs, by its shared columns: whatever shape was sent under these names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belongs {
    /// Whose it is.
    pub user: Option<String>,
    /// Its stream.
    pub stream: Option<String>,
    /// When it came. A sender cannot say otherwise.
    pub received: Timestamp,
}

fn is_under(keys: &[&str], path: &str) -> bool {
    keys.iter().any(|key| path.strip_prefix(key).is_some_and(|below| below.is_empty() || below.starts_with('.')))
}

impl<'a> Documents<'a> {
    /// For a batch with all columns of a segment or of the buffer.
    #[must_use]
    pub fn new(batch: &'a RecordBatch) -> Self {
        let columns = key_columns(&batch.schema()).map(|(index, path, kind)| (index, path.to_owned(), kind)).collect();
        Self { batch, columns, only: None, renderer: Renderer::default() }
    }

    /// The same with only what stands under these keys, which are paths: `exception.type` leaves out the frames.
    #[must_use]
    pub fn of_keys(batch: &'a RecordBatch, only: &'a [&'a str]) -> Self {
        let mut documents = Self { only: Some(only), ..Self::new(batch) };
        documents.columns.retain(|(_, path, _)| is_under(only, path));
        documents
    }

    /// Appends the document of a row: what was sent, `id`, `timestamp`, `received`, and the shared keys.
    pub fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        self.write_chosen(row, None, out);
    }

    /// Appends the document of a row as it was sent, with its time under `time` if it has nothing there. Of an event
    /// that came through another door than Elasticsearch's, this is all but `received`.
    pub fn write_sent(&mut self, row: usize, time: &str, out: &mut Vec<u8>) {
        self.write_chosen(row, Some(time), out);
    }

    fn write_chosen(&mut self, row: usize, time_key: Option<&str>, out: &mut Vec<u8>) {
        let time = |at: usize| {
            let micros = self.batch.column(at).as_primitive::<TimestampMicrosecondType>().value(row);
            Timestamp::from_micros(micros).to_string()
        };
        let (happened, received) = (time(TIMESTAMP_AT), time(RECEIVED_AT));
        let rest = self.batch.column(REST_AT).as_string::<i32>();
        let is_wanted = |path: &str| self.only.is_none_or(|only| is_under(only, path));
        let overflow = rest.is_valid(row).then(|| rest_leaves(rest.value(row))).into_iter().flatten();
        let overflow: Vec<_> = overflow.filter(|(path, _)| is_wanted(path)).collect();
        let mut leaves: Vec<Leaf<'_>> = Vec::with_capacity(self.columns.len() + overflow.len() + 2);
        leaves.push(Leaf { path: TIMESTAMP, value: Value::Str(&happened), sent: false });
        if time_key.is_none() {
            leaves.push(Leaf { path: RECEIVED, value: Value::Str(&received), sent: false });
        }
        for (index, path, kind) in &self.columns {
            if let Some(value) = value_at(self.batch.column(*index), *kind, row) {
                leaves.push(Leaf { path, value, sent: false });
            }
        }
        for (path, json) in &overflow {
            leaves.push(Leaf { path, value: Value::Raw(json), sent: true });
        }
        let mark = leaves.iter().position(|leaf| leaf.path == ADDED).map(|at| leaves.swap_remove(at));
        if let Some(time_key) = time_key {
            let added = mark.map(|mark| Added::read(mark.value));
            let is_ours = |path: &str| added.is_some_and(|added| path == "id" || added.has(path));
            leaves.retain(|leaf| leaf.sent || !is_ours(leaf.path));
            if !leaves.iter().any(|leaf| leaf.path == time_key) {
                leaves.push(Leaf { path: time_key, value: Value::Str(&happened), sent: true });
            }
        }
        self.renderer.write(&mut leaves, out);
    }

    /// The id of a row.
    #[must_use]
    pub fn id(&self, row: usize) -> Option<String> {
        self.text("id", row)
    }

    /// When the event of a row happened.
    #[must_use]
    pub fn moment(&self, row: usize) -> Timestamp {
        let happened = self.batch.column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>().value(row);
        Timestamp::from_micros(happened)
    }

    /// The first value of a key's columns in a row, as text: whatever shape was sent under its name.
    #[must_use]
    pub fn text(&self, key: &str, row: usize) -> Option<String> {
        let columns = self.columns.iter().filter(|(_, path, _)| path == key);
        let mut values = columns.filter_map(|(index, _, kind)| value_at(self.batch.column(*index), *kind, row));
        values.find_map(|value| match value {
            Value::Str(text) => Some(text.to_owned()),
            Value::Uuid(bytes) => Some(format_uuid(&bytes)),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        })
    }

    /// A list or an object that the columns have no place for, as JSON.
    #[must_use]
    pub fn list(&self, key: &str, row: usize) -> Option<String> {
        let rest = self.batch.column(REST_AT).as_string::<i32>();
        let rest = rest.is_valid(row).then(|| rest.value(row))?;
        rest_leaves(rest).find(|(path, _)| *path == key).map(|(_, json)| json.into_owned())
    }

    /// Where the event of a row belongs.
    #[must_use]
    pub fn belongs(&self, row: usize) -> Belongs {
        let received = self.batch.column(RECEIVED_AT).as_primitive::<TimestampMicrosecondType>().value(row);
        Belongs {
            user: self.text("user", row),
            stream: self.text("stream", row),
            received: Timestamp::from_micros(received),
        }
    }
}
