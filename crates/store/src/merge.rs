//! Batches from several sources become one sequence in the order of time, a part at a time: no source is ever copied
//! whole.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat, interleave};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType, UInt64Type};
use arrow::error::ArrowError;

use crate::StoreError;
use crate::columns::{SEQUENCE_AT, TIMESTAMP_AT};
use crate::conform::conform;

/// Rows handed on at a time.
const OUTPUT_ROWS: usize = 8192;

/// Rows that stand beside each other in their source are copied as a piece when pieces are this long on average.
const PIECE_ROWS: usize = 16;

/// A source of batches. The rows of one batch may be in any order; no row of a later batch comes before one of an
/// earlier batch in the order of (time, sequence number).
pub(crate) type Source<'a> = Box<dyn Iterator<Item = Result<RecordBatch, StoreError>> + 'a>;

/// The batch of a source that is being handed on.
struct Head {
    batch: RecordBatch,
    times: ScalarBuffer<i64>,
    sequences: ScalarBuffer<u64>,
    /// The rows in the order of (time, sequence number), where that is not the order they stand in.
    order: Option<Vec<u32>>,
    /// How many were handed on.
    done: usize,
}

impl Head {
    fn new(batch: RecordBatch) -> Self {
        let times = batch.column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>().values().clone();
        let sequences = batch.column(SEQUENCE_AT).as_primitive::<UInt64Type>().values().clone();
        let key = |row: u32| (times[row as usize], sequences[row as usize]);
        let rows = 0..u32::try_from(times.len()).unwrap_or(u32::MAX);
        let order = (!rows.clone().is_sorted_by_key(key)).then(|| {
            let mut order: Vec<u32> = rows.collect();
            order.sort_by_key(|row| key(*row));
            order
        });
        Self { batch, times, sequences, order, done: 0 }
    }

    fn rows(&self) -> usize {
        self.times.len()
    }

    /// The row that is handed on next.
    fn row(&self) -> usize {
        self.order.as_ref().map_or(self.done, |order| order[self.done] as usize)
    }

    fn key(&self) -> (i64, u64) {
        let row = self.row();
        (self.times[row], self.sequences[row])
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
    while let Some(least) = (0..heads.len()).min_by_key(|at| heads[*at].key()) {
        let bound = (0..heads.len()).filter(|at| *at != least).map(|at| heads[at].key()).min();
        let head = &mut heads[least];
        let rows = head.rows();
        while head.done < rows && picked.len() < OUTPUT_ROWS && bound.is_none_or(|bound| head.key() <= bound) {
            picked.push((least, head.row()));
            head.done += 1;
        }
        let exhausted = head.done == rows;
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
            return Ok(Some(Head::new(conform(&batch, schema)?)));
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
    let beside = |left: &(usize, usize), right: &(usize, usize)| left.0 == right.0 && left.1 + 1 == right.1;
    let pieces: Vec<RecordBatch> = picked
        .chunk_by(beside)
        .take(picked.len() / PIECE_ROWS + 2)
        .map(|piece| heads[piece[0].0].batch.slice(piece[0].1, piece.len()))
        .collect();
    let batch = match &pieces[..] {
        [] => return Ok(()),
        [piece] => piece.clone(),
        pieces if pieces.len() <= picked.len() / PIECE_ROWS + 1 => copied(schema, |column| {
            let arrays: Vec<&dyn Array> = pieces.iter().map(|piece| &**piece.column(column)).collect();
            concat(&arrays)
        })?,
        _ => copied(schema, |column| {
            let arrays: Vec<&dyn Array> = heads.iter().map(|head| &**head.batch.column(column)).collect();
            interleave(&arrays, picked)
        })?,
    };
    picked.clear();
    emit(batch)
}

fn copied(
    schema: &SchemaRef,
    column: impl Fn(usize) -> Result<ArrayRef, ArrowError>,
) -> Result<RecordBatch, StoreError> {
    let columns = (0..schema.fields().len()).map(column).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
