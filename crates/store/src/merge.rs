//! Sorted batches from several sources become one sequence in the order of time.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{SortColumn, interleave, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType, UInt64Type};

use crate::StoreError;
use crate::columns::{SEQUENCE_AT, TIMESTAMP_AT};
use crate::conform::conform;

/// Rows handed on at a time.
const OUTPUT_ROWS: usize = 8192;

/// A source of batches in the order of (time, sequence number).
pub(crate) type Source<'a> = Box<dyn Iterator<Item = Result<RecordBatch, StoreError>> + 'a>;

/// The rows of a batch in the order of (time, sequence number).
pub(crate) fn sorted(batch: &RecordBatch) -> Result<RecordBatch, StoreError> {
    let times = batch.column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>().values();
    let sequences = batch.column(SEQUENCE_AT).as_primitive::<UInt64Type>().values();
    let in_order = (1..times.len()).all(|row| (times[row - 1], sequences[row - 1]) <= (times[row], sequences[row]));
    if in_order {
        return Ok(batch.clone());
    }
    let by = [TIMESTAMP_AT, SEQUENCE_AT].map(|at| SortColumn { values: Arc::clone(batch.column(at)), options: None });
    let order = lexsort_to_indices(&by, None)?;
    Ok(take_record_batch(batch, &order)?)
}

struct Head {
    batch: RecordBatch,
    row: usize,
}

impl Head {
    fn key(&self, row: usize) -> (i64, u64) {
        let times = self.batch.column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>();
        let sequences = self.batch.column(SEQUENCE_AT).as_primitive::<UInt64Type>();
        (times.value(row), sequences.value(row))
    }
}

/// Merges the sources and hands on batches with the columns of `schema`.
pub(crate) fn merge(
    sources: Vec<Source<'_>>,
    schema: &SchemaRef,
    emit: &mut dyn FnMut(RecordBatch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut sources = sources;
    let mut heads: Vec<Head> = Vec::new();
    let mut at = 0;
    while at < sources.len() {
        if let Some(head) = next_head(&mut sources[at], schema)? {
            heads.push(head);
            at += 1;
        } else {
            drop(sources.remove(at));
        }
    }
    let mut picked: Vec<(usize, usize)> = Vec::with_capacity(OUTPUT_ROWS);
    while let Some(least) = (0..heads.len()).min_by_key(|at| heads[*at].key(heads[*at].row)) {
        let bound = (0..heads.len()).filter(|at| *at != least).map(|at| heads[at].key(heads[at].row)).min();
        let rows = heads[least].batch.num_rows();
        while heads[least].row < rows
            && picked.len() < OUTPUT_ROWS
            && bound.is_none_or(|bound| heads[least].key(heads[least].row) <= bound)
        {
            picked.push((least, heads[least].row));
            heads[least].row += 1;
        }
        let exhausted = heads[least].row == rows;
        if exhausted || picked.len() == OUTPUT_ROWS {
            hand_on(&heads, &mut picked, schema, emit)?;
        }
        if exhausted {
            match next_head(&mut sources[least], schema)? {
                Some(head) => heads[least] = head,
                None => {
                    heads.remove(least);
                    drop(sources.remove(least));
                }
            }
        }
    }
    Ok(())
}

fn next_head(source: &mut Source<'_>, schema: &SchemaRef) -> Result<Option<Head>, StoreError> {
    for batch in source {
        let batch = batch?;
        if batch.num_rows() > 0 {
            return Ok(Some(Head { batch: conform(&batch, schema)?, row: 0 }));
        }
    }
    Ok(None)
}

fn hand_on(
    heads: &[Head],
    picked: &mut Vec<(usize, usize)>,
    schema: &SchemaRef,
    emit: &mut dyn FnMut(RecordBatch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let Some((source, first)) = picked.first().copied() else { return Ok(()) };
    let run = picked.len();
    let contiguous = picked.iter().enumerate().all(|(offset, (from, row))| *from == source && *row == first + offset);
    let batch = if contiguous {
        heads[source].batch.slice(first, run)
    } else {
        let columns = (0..schema.fields().len()).map(|column| {
            let arrays: Vec<&dyn Array> = heads.iter().map(|head| &**head.batch.column(column)).collect();
            interleave(&arrays, picked)
        });
        RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)?
    };
    picked.clear();
    emit(batch)
}
