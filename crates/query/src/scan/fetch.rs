//! Reads the rows of a page whole, once it is known which they are.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::RowSelector;
use store::StoreError;
use store::segment::Segment;

use super::{Candidate, Page, Source, on_threads};
use crate::QueryError;

/// So few row groups are read by who asks.
const FETCH_ALONE: usize = 4;

/// Reads the rows of the page with all their columns.
pub(super) fn fetch(chosen: &[Candidate], sources: &[Source], page: &mut Page) {
    let mut places: Vec<usize> = (0..chosen.len()).collect();
    places.sort_by_key(|at| (chosen[*at].source, chosen[*at].group, chosen[*at].row));
    page.rows = vec![(usize::MAX, 0, 0); chosen.len()];
    let runs: Vec<&[usize]> = places
        .chunk_by(|one, two| (chosen[*one].source, chosen[*one].group) == (chosen[*two].source, chosen[*two].group))
        .collect();
    for (run, read) in runs.iter().zip(fetch_runs(&runs, chosen, sources)) {
        let head = &chosen[run[0]];
        let batch = page.batches.len();
        match (&sources[head.source], read) {
            (Source::Rows(rows), _) => {
                page.batches.push(rows.batch.clone());
                run.iter().for_each(|at| page.rows[*at] = (batch, chosen[*at].row, chosen[*at].sequence));
            }
            (Source::Segment(_), Ok(read)) => {
                page.batches.extend(read);
                run.iter().enumerate().for_each(|(row, at)| page.rows[*at] = (batch, row, chosen[*at].sequence));
            }
            (Source::Segment(segment), Err(error)) => {
                segment.note_damage(head.group, &error.to_string());
                page.unreadable += run.len() as u64;
            }
        }
    }
    page.rows.retain(|(batch, ..)| *batch != usize::MAX);
}

/// Reads the rows of each run, on several threads when there are many; none for those that are in memory.
fn fetch_runs(
    runs: &[&[usize]],
    chosen: &[Candidate],
    sources: &[Source],
) -> Vec<Result<Option<RecordBatch>, QueryError>> {
    let read = |run: &[usize]| match &sources[chosen[run[0]].source] {
        Source::Rows(_) => Ok(None),
        Source::Segment(segment) => {
            read_rows(segment, chosen[run[0]].group, run.iter().map(|at| chosen[*at].row)).map(Some)
        }
    };
    if runs.len() < FETCH_ALONE {
        return runs.iter().map(|run| read(run)).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, Result<Option<RecordBatch>, QueryError>)> {
        let turns = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        turns.map_while(|at| Some((at, read(runs.get(at)?)))).collect()
    };
    let mut done: Vec<_> = on_threads(runs.len(), &work).into_iter().flatten().collect();
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, read)| read).collect()
}

pub(crate) fn read_rows(
    segment: &Segment,
    group: usize,
    rows: impl Iterator<Item = usize>,
) -> Result<RecordBatch, QueryError> {
    let opened = segment.open()?;
    let columns: Vec<usize> = (0..opened.schema().fields().len()).collect();
    let mut selectors = Vec::new();
    let mut at = 0;
    for row in rows {
        if row > at {
            selectors.push(RowSelector::skip(row - at));
        }
        selectors.push(RowSelector::select(1));
        at = row + 1;
    }
    let reader = opened.read(group, &columns, Some(selectors.into()), 8192).map_err(StoreError::from)?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>()?;
    Ok(concat_batches(opened.schema(), &batches)?)
}
