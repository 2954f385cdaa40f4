//! Rows of columns put together again as documents: the inverse of taking an event apart.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use event::{Leaf, Renderer, Timestamp, Value, rest_leaves};

use crate::columns::{Kind, RECEIVED, RECEIVED_AT, REST_AT, TIMESTAMP, TIMESTAMP_AT, key_columns};
use crate::value_at;

/// Writes the rows of one batch as JSON objects.
#[derive(Debug)]
pub struct Documents<'a> {
    batch: &'a RecordBatch,
    columns: Vec<(usize, String, Kind)>,
    renderer: Renderer,
}

impl<'a> Documents<'a> {
    /// For a batch with all columns of a segment or of the buffer.
    #[must_use]
    pub fn new(batch: &'a RecordBatch) -> Self {
        let columns = key_columns(&batch.schema()).map(|(index, path, kind)| (index, path.to_owned(), kind)).collect();
        Self { batch, columns, renderer: Renderer::default() }
    }

    /// Appends the document of a row: what was sent, `id`, `timestamp`, `received`, and the shared keys.
    pub fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        let time = |at: usize| {
            let micros = self.batch.column(at).as_primitive::<TimestampMicrosecondType>().value(row);
            Timestamp::from_micros(micros).to_string()
        };
        let (happened, received) = (time(TIMESTAMP_AT), time(RECEIVED_AT));
        let rest = self.batch.column(REST_AT).as_string::<i32>();
        let overflow: Vec<_> = if rest.is_valid(row) { rest_leaves(rest.value(row)).collect() } else { Vec::new() };
        let mut leaves: Vec<Leaf<'_>> = Vec::with_capacity(self.columns.len() + overflow.len() + 2);
        leaves.push(Leaf { path: TIMESTAMP, value: Value::Str(&happened), sent: false });
        leaves.push(Leaf { path: RECEIVED, value: Value::Str(&received), sent: false });
        for (index, path, kind) in &self.columns {
            if let Some(value) = value_at(self.batch.column(*index), *kind, row) {
                leaves.push(Leaf { path, value, sent: false });
            }
        }
        for (path, json) in &overflow {
            leaves.push(Leaf { path, value: Value::Raw(json), sent: true });
        }
        self.renderer.write(&mut leaves, out);
    }
}
