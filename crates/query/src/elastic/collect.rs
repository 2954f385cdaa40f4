//! One look at all events that pass a filter, on several threads, each with what it gathers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::UInt64Type;
use parquet::arrow::arrow_reader::RowSelection;
use store::columns::{REST_AT, SEQUENCE};
use store::index::{BLOCK_ROWS, BlockSet};
use store::segment::Segment;
use store::{Rows, Snapshot, StoreError};

use super::values::{Field, FieldView, columns_for};
use crate::QueryError;
use crate::evaluate::matches;
use crate::filter::Filter;
use crate::known::columns_of;
use crate::prune::{blocks, times_may_pass};
use crate::scan::{Bounds, Positions, on_threads, ranges_of};

/// One log of a question, frozen.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    /// Its name, which is that of the index.
    pub(crate) log: &'a str,
    /// Its events.
    pub(crate) snapshot: &'a Snapshot,
    /// Which of them.
    pub(crate) filter: Filter,
}

/// What is read in one go.
#[derive(Clone)]
pub(crate) enum Unit {
    Group(Arc<Segment>, usize),
    Rows(Arc<Rows>),
}

/// Where a row stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Which log of the question.
    pub(crate) part: usize,
    /// Which of the units of that log.
    pub(crate) unit: usize,
    /// Which row of it.
    pub(crate) row: usize,
}

/// Some rows of one log.
pub(crate) struct View<'b> {
    /// The rows.
    pub(crate) batch: &'b RecordBatch,
    /// The values of the fields asked for, in their order.
    pub(crate) fields: Vec<FieldView<'b>>,
    /// Which log it is.
    pub(crate) part: usize,
    /// Its name.
    pub(crate) log: &'b str,
    unit: usize,
    positions: Option<&'b Positions<'b>>,
    first: usize,
}

impl View<'_> {
    /// Where a row stands.
    pub(crate) fn place(&self, row: usize) -> Place {
        let row = self.positions.map_or(self.first + row, |positions| positions.row(row));
        Place { part: self.part, unit: self.unit, row }
    }

    /// The sequence number of a row.
    pub(crate) fn sequences(&self) -> &[u64] {
        let column = self.batch.column_by_name(SEQUENCE);
        column.map_or(&[][..], |column| column.as_primitive::<UInt64Type>().values())
    }
}

/// What gathers something of the rows that pass.
pub(crate) trait Gather: Send {
    /// Whether nothing between these times and sequence numbers is of interest any more.
    fn may_skip(&self, times: (i64, i64), sequences: (u64, u64)) -> bool;

    /// Looks at the rows of a view that are set.
    fn take(&mut self, view: &View<'_>, passed: &BooleanBuffer) -> Result<(), QueryError>;
}

/// What is looked at.
pub(crate) struct Look<'a> {
    /// The logs.
    pub(crate) parts: &'a [Part<'a>],
    /// The fields whose values are wanted.
    pub(crate) fields: &'a [Field],
    /// More filters whose columns are wanted.
    pub(crate) filters: &'a [&'a Filter],
    /// Where to begin.
    pub(crate) ahead: Ahead,
    /// Events accepted later do not count.
    pub(crate) bound: u64,
    /// How long it may take.
    pub(crate) bounds: &'a Bounds,
}

/// What is looked at first, because the rest may not be needed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    Newest,
    Oldest,
    /// What was accepted first.
    First,
    Any,
}

impl Unit {
    /// The earliest and the latest event of the whole of which it is a part, in microseconds since 1970.
    fn times(&self) -> (i64, i64) {
        match self {
            Self::Group(segment, _) => (segment.info().first.as_micros(), segment.info().last.as_micros()),
            Self::Rows(rows) => (rows.first.as_micros(), rows.last.as_micros()),
        }
    }

    fn sequences(&self) -> (u64, u64) {
        match self {
            Self::Group(segment, _) => (segment.info().first_sequence, segment.info().last_sequence),
            Self::Rows(rows) => (rows.first_sequence, rows.last_sequence),
        }
    }
}

/// The units of a snapshot. A segment that cannot be opened has none.
pub(crate) fn units(snapshot: &Snapshot) -> Vec<Unit> {
    let segments = snapshot.segments.iter().flat_map(|segment| {
        let groups = segment.open().map_or(0, |opened| opened.row_groups().len());
        (0..groups).map(|group| Unit::Group(Arc::clone(segment), group))
    });
    segments.chain(snapshot.rows.iter().cloned().map(Unit::Rows)).collect()
}

impl Look<'_> {
    /// Looks at everything; what each thread gathered.
    ///
    /// # Errors
    /// When the time is over, or gathering fails. A damaged row group is noted with its segment and left out.
    pub(crate) fn each<G: Gather>(&self, make: impl Fn() -> G + Sync) -> Result<Vec<G>, QueryError> {
        let all: Vec<Vec<Unit>> = self.parts.iter().map(|part| units(part.snapshot)).collect();
        let mut order: Vec<(usize, usize)> =
            all.iter().enumerate().flat_map(|(part, units)| (0..units.len()).map(move |unit| (part, unit))).collect();
        let unit = |(part, unit): &(usize, usize)| &all[*part][*unit];
        match self.ahead {
            // The last row group of a segment has its newest events.
            Ahead::Newest => order.sort_by_key(|at| std::cmp::Reverse((unit(at).times().1, at.1))),
            Ahead::Oldest => order.sort_by_key(|at| unit(at).times().0),
            Ahead::First => order.sort_by_key(|at| unit(at).sequences().0),
            Ahead::Any => {}
        }
        let next = AtomicUsize::new(0);
        let work = || -> Result<G, QueryError> {
            let mut gathered = make();
            while let Some((part, unit)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.bounds.check()?;
                let found = &all[*part][*unit];
                let (times, sequences) = (found.times(), found.sequences());
                let beyond = sequences.0 > self.bound || !times_may_pass(&self.parts[*part].filter, times);
                if beyond || gathered.may_skip(times, sequences) {
                    continue;
                }
                match found {
                    Unit::Rows(rows) => self.rows(rows, (*part, *unit), &mut gathered)?,
                    Unit::Group(segment, group) => self.group(segment, *group, (*part, *unit), &mut gathered)?,
                }
            }
            Ok(gathered)
        };
        on_threads(order.len().max(1), &work).into_iter().collect()
    }

    fn rows<G: Gather>(&self, rows: &Rows, place: (usize, usize), gathered: &mut G) -> Result<(), QueryError> {
        for first in (0..rows.batch.num_rows()).step_by(8192) {
            self.bounds.check()?;
            let batch = rows.batch.slice(first, 8192.min(rows.batch.num_rows() - first));
            self.batch(&batch, place, Whereabouts { positions: None, first }, gathered)?;
        }
        Ok(())
    }

    fn group<G: Gather>(
        &self,
        segment: &Arc<Segment>,
        group: usize,
        place: (usize, usize),
        gathered: &mut G,
    ) -> Result<(), QueryError> {
        match self.read_group(segment, group, place, gathered) {
            Err(QueryError::Store(error)) => {
                segment.note_damage(group, &error.to_string());
                Ok(())
            }
            read => read,
        }
    }

    fn read_group<G: Gather>(
        &self,
        segment: &Arc<Segment>,
        group: usize,
        place: (usize, usize),
        gathered: &mut G,
    ) -> Result<(), QueryError> {
        let filter = &self.parts[place.0].filter;
        let opened = segment.open()?;
        let rows = opened.row_groups().nth(group).unwrap_or(0);
        let first = opened.row_groups().take(group).map(|rows| rows.div_ceil(BLOCK_ROWS)).sum::<usize>();
        let count = rows.div_ceil(BLOCK_ROWS);
        let candidates = match opened.index() {
            Some(index) => blocks(filter, index, opened.schema()),
            None => BlockSet::all(first + count),
        };
        let within = candidates.iter().filter(|block| (first..first + count).contains(block));
        let chosen: Vec<usize> = within.map(|block| block - first).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let ranges = ranges_of(&chosen, rows);
        let selection =
            (chosen.len() < count).then(|| RowSelection::from_consecutive_ranges(ranges.iter().cloned(), rows));
        let overflow = opened.values(REST_AT) > 0;
        let filters = self.filters.iter().copied().chain([filter]).filter(|filter| **filter != Filter::All);
        let mut of_filter: Vec<usize> =
            filters.flat_map(|filter| columns_of(filter, opened.schema(), overflow)).collect();
        of_filter.sort_unstable();
        of_filter.dedup();
        let (columns, coded) = columns_for(&of_filter, self.fields, opened.schema(), overflow);
        let reader = opened.read_coded(group, &columns, &coded, selection).map_err(StoreError::from)?;
        let mut positions = Positions::new(&ranges);
        for batch in reader {
            self.bounds.check()?;
            let batch = batch?;
            let start = positions.clone();
            positions.advance(batch.num_rows());
            self.batch(&batch, place, Whereabouts { positions: Some(&start), first: 0 }, gathered)?;
        }
        Ok(())
    }

    fn batch<G: Gather>(
        &self,
        batch: &RecordBatch,
        place: (usize, usize),
        at: Whereabouts<'_>,
        gathered: &mut G,
    ) -> Result<(), QueryError> {
        let part = &self.parts[place.0];
        let mut passed = if part.filter == Filter::All {
            BooleanBuffer::new_set(batch.num_rows())
        } else {
            matches(&part.filter, batch)
        };
        let fields = self.fields.iter().map(|field| FieldView::new(field, batch, part.log)).collect();
        let view = View {
            batch,
            fields,
            part: place.0,
            log: part.log,
            unit: place.1,
            positions: at.positions,
            first: at.first,
        };
        let sequences = view.sequences();
        if sequences.iter().any(|sequence| *sequence > self.bound) {
            passed = &passed & &BooleanBuffer::collect_bool(sequences.len(), |row| sequences[row] <= self.bound);
        }
        if passed.count_set_bits() == 0 {
            return Ok(());
        }
        gathered.take(&view, &passed)
    }
}

/// How the rows of a batch are found in their unit.
#[derive(Clone, Copy)]
struct Whereabouts<'a> {
    positions: Option<&'a Positions<'a>>,
    first: usize,
}
