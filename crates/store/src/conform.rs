//! Batches of different columns brought to one schema, nothing lost: what has no column goes to the overflow.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder, new_null_array};
use arrow::datatypes::{Float64Type, Int64Type, Schema};
use arrow::error::ArrowError;
use event::Value;
use event::limits::COLUMNS_MAX;

use crate::columns::{Kind, REST_AT, key_columns, push_rest, schema_of};

/// How often each column of a key has a value.
pub(crate) type Counts = HashMap<(String, Kind), u64>;

/// Adds the values of a batch to the counts.
pub(crate) fn count(counts: &mut Counts, batch: &RecordBatch) {
    for (index, path, kind) in key_columns(&batch.schema()) {
        let column = batch.column(index);
        *counts.entry((path.to_owned(), kind)).or_default() += (column.len() - column.null_count()) as u64;
    }
}

/// The schema for these counts: every shared key, and the commonest of the others.
pub(crate) fn choose(counts: &Counts) -> Arc<Schema> {
    let mut chosen: Vec<(&(String, Kind), &u64)> = counts.iter().filter(|(_, values)| **values > 0).collect();
    let is_shared = |path: &str| event::shared::has_column(path);
    chosen.sort_by(|left, right| {
        (!is_shared(&left.0.0)).cmp(&!is_shared(&right.0.0)).then(right.1.cmp(left.1)).then(left.0.cmp(right.0))
    });
    let shared = chosen.iter().filter(|(key, _)| is_shared(&key.0)).count();
    chosen.truncate(shared + COLUMNS_MAX);
    // Grouped by path, the commonest kind first, in the order of the answer.
    chosen.sort_by(|left, right| {
        let rank = |path: &str| (event::shared::rank(path), path.to_owned());
        rank(&left.0.0).cmp(&rank(&right.0.0)).then(right.1.cmp(left.1)).then(left.0.1.cmp(&right.0.1))
    });
    schema_of(chosen.into_iter().map(|((path, kind), _)| (path.as_str(), *kind)))
}

/// The batch with the columns of `target`.
pub(crate) fn conform(batch: &RecordBatch, target: &Arc<Schema>) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref().fields() == target.fields() {
        return RecordBatch::try_new(Arc::clone(target), batch.columns().to_vec());
    }
    let schema = batch.schema();
    let have: HashMap<(&str, Kind), usize> =
        key_columns(&schema).map(|(index, path, kind)| ((path, kind), index)).collect();
    let mut used = vec![false; batch.num_columns()];
    let mut arrays: Vec<ArrayRef> = batch.columns()[..=REST_AT].to_vec();
    for (index, path, kind) in key_columns(target) {
        arrays.push(if let Some(found) = have.get(&(path, kind)) {
            used[*found] = true;
            Arc::clone(batch.column(*found))
        } else {
            new_null_array(target.field(index).data_type(), batch.num_rows())
        });
    }
    let surplus: Vec<(usize, &str, Kind)> = key_columns(&schema)
        .filter(|(index, ..)| !used[*index] && batch.column(*index).null_count() < batch.num_rows())
        .collect();
    if !surplus.is_empty() {
        arrays[REST_AT] = overflow(batch, &surplus);
    }
    RecordBatch::try_new(Arc::clone(target), arrays)
}

fn overflow(batch: &RecordBatch, surplus: &[(usize, &str, Kind)]) -> ArrayRef {
    let rest = batch.column(REST_AT).as_string::<i32>();
    let mut built = StringBuilder::new();
    let mut members = Vec::new();
    for row in 0..batch.num_rows() {
        members.clear();
        for (index, path, kind) in surplus {
            if let Some(value) = value_at(batch.column(*index), *kind, row) {
                push_rest(&mut members, path, &value);
            }
        }
        // What was there comes last: where it has the same path, it is what was sent, and the last one is shown.
        if rest.is_valid(row) {
            let object = rest.value(row);
            let inner = object.strip_prefix('{').and_then(|open| open.strip_suffix('}')).unwrap_or_default();
            members.push(if members.is_empty() { b'{' } else { b',' });
            members.extend_from_slice(inner.as_bytes());
        }
        if members.is_empty() {
            built.append_null();
        } else {
            members.push(b'}');
            built.append_value(String::from_utf8_lossy(&members));
        }
    }
    Arc::new(built.finish())
}

/// The value of a key's column in a row, if there is one.
///
/// # Panics
/// When the row is beyond the column, or the column not of that kind.
#[must_use]
pub fn value_at(column: &ArrayRef, kind: Kind, row: usize) -> Option<Value<'_>> {
    if column.is_null(row) {
        return None;
    }
    Some(match kind {
        Kind::Str => Value::Str(column.as_string::<i32>().value(row)),
        Kind::Uuid => Value::Uuid(column.as_fixed_size_binary().value(row).try_into().ok()?),
        Kind::Int => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        Kind::Float => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        Kind::Bool => Value::Bool(column.as_boolean().value(row)),
    })
}
