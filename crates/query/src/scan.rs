//! The events that pass a filter, in order: the newest first unless asked otherwise, a page at a time.
//!
//! Rows are found with as few columns as the filter needs; only the rows of the page are then read whole. A scan for
//! the latest events stops as soon as nothing older can take a place on the page.

mod fetch;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as AtomicOrdering};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{TimestampMicrosecondType, UInt64Type};
use parquet::arrow::arrow_reader::RowSelection;
use store::columns::{REST_AT, SEQUENCE, TIMESTAMP, TIMESTAMP_AT};
use store::index::{BLOCK_ROWS, BlockSet};
use store::segment::{Opened, Segment};
use store::{Rows, Snapshot, StoreError};

use crate::QueryError;
use crate::evaluate::{matches, matches_among};
use crate::filter::Filter;
use crate::keys::{Key, SortValues, in_order, sort_columns};
use crate::known::columns_of;
use crate::prune::{passes, times_may_pass};
use crate::url::Sort;
use fetch::fetch;
pub(crate) use fetch::read_rows;

/// Threads that look at one question.
const THREADS_MAX: usize = 4;

/// What one question may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// When to give up.
    pub deadline: Instant,
    /// The same as a length, for the message.
    pub allowed: Duration,
}

impl Bounds {
    /// From now on.
    #[must_use]
    pub fn new(allowed: Duration) -> Self {
        Self { deadline: Instant::now() + allowed, allowed }
    }

    /// Fails when the time is over.
    ///
    /// # Errors
    /// [`QueryError::TooSlow`].
    pub fn check(&self) -> Result<(), QueryError> {
        if Instant::now() < self.deadline {
            Ok(())
        } else {
            Err(QueryError::TooSlow { seconds: self.allowed.as_secs() })
        }
    }
}

/// The order of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By time and sequence number.
    Time {
        /// The newest first.
        descending: bool,
    },
    /// By sequence number, the oldest first: the order of acceptance.
    Sequence,
    /// By the values of keys, then the newest first.
    Keys(Vec<Sort>),
}

impl Order {
    /// From the sort keys of a question.
    #[must_use]
    pub fn of(sort: &[Sort]) -> Self {
        match sort {
            [] => Self::Time { descending: true },
            [one] if one.column == TIMESTAMP => Self::Time { descending: one.descending },
            [one] if one.column == SEQUENCE && !one.descending => Self::Sequence,
            _ => Self::Keys(sort.to_vec()),
        }
    }
}

/// Where the next page begins. It also fixes what is counted: events accepted after the first page are not on the
/// following ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last sequence number that counts.
    pub bound: u64,
    /// The last row of the page before.
    after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Row { micros: i64, sequence: u64 },
    Offset(usize),
}

impl Cursor {
    /// Behind a row of a page in the order of time. Sequence numbers are those of all logs, so that this is a place in
    /// any of them.
    #[must_use]
    pub fn behind(bound: u64, micros: i64, sequence: u64) -> Self {
        Self { bound, after: After::Row { micros, sequence } }
    }

    /// The time and the sequence number of the row before, if it is a place in the order of time.
    #[must_use]
    pub fn moment(&self) -> Option<(i64, u64)> {
        match self.after {
            After::Row { micros, sequence } => Some((micros, sequence)),
            After::Offset(_) => None,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            After::Row { micros, sequence } => write!(formatter, "{}.r.{micros}.{sequence}", self.bound),
            After::Offset(offset) => write!(formatter, "{}.o.{offset}", self.bound),
        }
    }
}

impl FromStr for Cursor {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let read = || -> Option<Self> {
            let mut parts = text.split('.');
            let bound = parts.next()?.parse().ok()?;
            let after = match parts.next()? {
                "r" => After::Row { micros: parts.next()?.parse().ok()?, sequence: parts.next()?.parse().ok()? },
                "o" => After::Offset(parts.next()?.parse().ok()?),
                _ => return None,
            };
            parts.next().is_none().then_some(Self { bound, after })
        };
        read().ok_or_else(|| QueryError::Cursor { cursor: text.to_owned() })
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which events.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// How many of them to leave out at the beginning.
    pub offset: usize,
    /// How many at the most.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// Only events with a higher sequence number.
    pub after_sequence: u64,
    /// Whether to count all that pass.
    pub total: bool,
}

/// One page of events.
#[derive(Debug, Default)]
pub struct Page {
    /// Batches that hold the rows, with all columns.
    pub batches: Vec<RecordBatch>,
    /// The rows in order: which batch, which row of it, and its sequence number.
    pub rows: Vec<(usize, usize, u64)>,
    /// How many events pass, if that was asked.
    pub total: Option<u64>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Cursor>,
    /// Events that could not be looked at because their row group is damaged.
    pub unreadable: u64,
}

impl Page {
    /// When each event happened, in microseconds since 1970, and its sequence number.
    pub fn moments(&self) -> impl Iterator<Item = (i64, u64)> {
        self.rows.iter().map(|(batch, row, sequence)| {
            let times = self.batches[*batch].column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>();
            (times.value(*row), *sequence)
        })
    }
}

/// One place that holds rows.
#[derive(Clone)]
enum Source {
    Segment(Arc<Segment>),
    Rows(Arc<Rows>),
}

impl Source {
    fn times(&self) -> (i64, i64) {
        match self {
            Self::Segment(segment) => (segment.info().first.as_micros(), segment.info().last.as_micros()),
            Self::Rows(rows) => (rows.first.as_micros(), rows.last.as_micros()),
        }
    }

    fn sequences(&self) -> (u64, u64) {
        match self {
            Self::Segment(segment) => (segment.info().first_sequence, segment.info().last_sequence),
            Self::Rows(rows) => (rows.first_sequence, rows.last_sequence),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Segment(segment) => segment.info().rows,
            Self::Rows(rows) => rows.batch.num_rows() as u64,
        }
    }
}

/// A row that passed.
#[derive(Clone, Debug)]
struct Candidate {
    keys: Box<[Key]>,
    micros: i64,
    sequence: u64,
    source: usize,
    group: usize,
    row: usize,
}

/// Answers a request.
///
/// # Errors
/// When the time is over. A damaged row group is no error: its rows are counted in [`Page::unreadable`].
pub fn scan(snapshot: &Snapshot, request: &Request, bounds: &Bounds) -> Result<Page, QueryError> {
    scan_with(snapshot, request, bounds, true)
}

/// The same by what stands in columns alone, which is all there is of keys that [`event::shared::has_column`] and have one
/// value: no overflow is read. What a sender keeps beside such a column under the same name does not count.
///
/// # Errors
/// Those of [`scan`].
pub fn scan_columns(snapshot: &Snapshot, request: &Request, bounds: &Bounds) -> Result<Page, QueryError> {
    scan_with(snapshot, request, bounds, false)
}

fn scan_with(snapshot: &Snapshot, request: &Request, bounds: &Bounds, overflow: bool) -> Result<Page, QueryError> {
    let mut sources: Vec<Source> = snapshot.segments.iter().cloned().map(Source::Segment).collect();
    sources.extend(snapshot.rows.iter().cloned().map(Source::Rows));
    let mut scan = Scan {
        request,
        bounds,
        bound: request.cursor.map_or(snapshot.last_sequence, |cursor| cursor.bound),
        best: Vec::new(),
        worst: None,
        last_keys: None,
        wanted: wanted(request),
        overflow,
        matched: 0,
        unreadable: 0,
    };
    let mut order: Vec<usize> = (0..sources.len()).collect();
    match request.order {
        Order::Time { descending: false } => order.sort_by_key(|at| sources[*at].times().0),
        Order::Sequence => order.sort_by_key(|at| sources[*at].sequences().0),
        _ => order.sort_by_key(|at| std::cmp::Reverse(sources[*at].times().1)),
    }
    let mut left = &order[..];
    while let Some((at, rest)) = left.split_first() {
        scan.source(*at, &sources[*at])?;
        left = rest;
        if scan.has_much_to_do() && rest.len() > 1 {
            scan = side_by_side(scan, rest, &sources)?;
            break;
        }
    }
    Ok(scan.finish(&sources))
}

/// Looks at sources on several threads, each with a page of its own; the pages are then made one.
fn side_by_side<'a>(scan: Scan<'a>, order: &[usize], sources: &[Source]) -> Result<Scan<'a>, QueryError> {
    let next = AtomicUsize::new(0);
    let part = Scan { matched: 0, unreadable: 0, ..scan.clone() };
    let work = || -> Result<Scan<'a>, QueryError> {
        let mut mine = Scan { best: Vec::new(), ..part.clone() };
        while let Some(at) = order.get(next.fetch_add(1, AtomicOrdering::Relaxed)) {
            mine.source(*at, &sources[*at])?;
        }
        Ok(mine)
    };
    let parts = on_threads(order.len(), &work);
    let mut whole = scan;
    for part in parts {
        let part = part?;
        whole.best.extend(part.best);
        whole.matched += part.matched;
        whole.unreadable += part.unreadable;
    }
    whole.shrink();
    Ok(whole)
}

fn wanted(request: &Request) -> usize {
    let offset = match request.cursor.map(|cursor| cursor.after) {
        Some(After::Offset(offset)) => offset,
        _ => request.offset,
    };
    // One more than the page, to know whether there is a next one.
    offset.saturating_add(request.limit).saturating_add(1)
}

#[derive(Clone)]
struct Scan<'a> {
    request: &'a Request,
    bounds: &'a Bounds,
    bound: u64,
    /// The best rows so far; in order, and no more than wanted, after each [`Scan::shrink`].
    best: Vec<Candidate>,
    /// Time and sequence number of the last row of a full page: only what comes before it is of interest.
    worst: Option<(i64, u64)>,
    /// The sort keys of that row.
    last_keys: Option<Box<[Key]>>,
    wanted: usize,
    /// Whether what has no column is looked at.
    overflow: bool,
    matched: u64,
    unreadable: u64,
}

impl Scan<'_> {
    /// Whether all sources have to be looked at, so that more threads are of use: to count, to sort by a key, or
    /// because the page is not full yet.
    fn has_much_to_do(&self) -> bool {
        let counting = self.request.total && self.request.filter != Filter::All;
        counting || matches!(self.request.order, Order::Keys(_)) || self.worst.is_none()
    }

    fn compare(&self, one: &Candidate, two: &Candidate) -> Ordering {
        let by_time = (one.micros, one.sequence).cmp(&(two.micros, two.sequence));
        match &self.request.order {
            Order::Time { descending: false } => by_time,
            Order::Time { descending: true } => by_time.reverse(),
            Order::Sequence => one.sequence.cmp(&two.sequence),
            Order::Keys(sort) => {
                for ((left, right), by) in one.keys.iter().zip(&two.keys).zip(sort) {
                    let order = in_order(left, right, by.descending);
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                by_time.reverse()
            }
        }
    }

    /// Whether rows with times (and numbers) in these ranges can still be on the page.
    fn may_hold(&self, times: (i64, i64), sequences: (u64, u64)) -> bool {
        if let Some(Cursor { after: After::Row { micros, sequence }, .. }) = self.request.cursor {
            // What the pages before this one held.
            let over = match self.request.order {
                Order::Time { descending: true } => times.0 > micros,
                Order::Time { descending: false } => times.1 < micros,
                Order::Sequence => sequences.1 <= sequence,
                Order::Keys(_) => false,
            };
            if over {
                return false;
            }
        }
        let Some((micros, sequence)) = self.worst else { return true };
        match self.request.order {
            Order::Time { descending: true } => times.1 >= micros,
            Order::Time { descending: false } => times.0 <= micros,
            Order::Sequence => sequences.0 <= sequence,
            Order::Keys(_) => true,
        }
    }

    fn shrink(&mut self) {
        let mut best = std::mem::take(&mut self.best);
        best.sort_unstable_by(|one, two| self.compare(one, two));
        best.truncate(self.wanted);
        if best.len() == self.wanted {
            self.worst = best.last().map(|worst| (worst.micros, worst.sequence));
            self.last_keys = best.last().map(|worst| worst.keys.clone());
        }
        self.best = best;
    }

    fn source(&mut self, at: usize, source: &Source) -> Result<(), QueryError> {
        self.bounds.check()?;
        let sequences = source.sequences();
        if sequences.0 > self.bound
            || sequences.1 <= self.request.after_sequence
            || !times_may_pass(&self.request.filter, source.times())
        {
            return Ok(());
        }
        let whole = self.request.filter == Filter::All
            && sequences.1 <= self.bound
            && sequences.0 > self.request.after_sequence;
        let needed = self.may_hold(source.times(), sequences);
        if self.request.total && whole {
            // Counted without looking; what is looked at below is for the page only.
            self.matched += source.len();
        }
        let counting = self.request.total && !whole;
        if !needed && !counting {
            return Ok(());
        }
        match source {
            Source::Rows(rows) => {
                let place = Place { source: at, group: 0, filter: &self.request.filter, counting };
                match self.overflow {
                    true => self.batch(place, &rows.batch, |row| row),
                    false => self.batch(place, &without_overflow(&rows.batch), |row| row),
                }
            }
            Source::Segment(segment) => self.segment(at, segment, counting)?,
        }
        self.shrink();
        Ok(())
    }

    fn segment(&mut self, at: usize, segment: &Segment, counting: bool) -> Result<(), QueryError> {
        let Ok(opened) = segment.open() else {
            self.unreadable += segment.info().rows;
            return Ok(());
        };
        let groups: Vec<usize> = opened.row_groups().collect();
        let all_blocks = groups.iter().map(|rows| rows.div_ceil(BLOCK_ROWS)).sum();
        let passes = match opened.index() {
            Some(index) => passes(&self.request.filter, index, opened.schema()),
            None => vec![(Cow::Borrowed(&self.request.filter), BlockSet::all(all_blocks))],
        };
        let mut damaged = BTreeSet::new();
        for (filter, candidates) in &passes {
            self.pass(
                &Pass { at, segment, opened: &opened, groups: &groups, filter, counting },
                candidates,
                &mut damaged,
            )?;
        }
        self.unreadable += damaged.iter().map(|group| groups[*group] as u64).sum::<u64>();
        Ok(())
    }

    /// Looks at the candidate blocks of a segment. Row groups that cannot be read are added to `damaged`.
    fn pass(
        &mut self,
        pass: &Pass<'_>,
        candidates: &BlockSet,
        damaged: &mut BTreeSet<usize>,
    ) -> Result<(), QueryError> {
        if candidates.is_empty() {
            return Ok(());
        }
        let Pass { at, segment, opened, groups, filter, counting } = *pass;
        let mut columns = columns_of(filter, opened.schema(), self.overflow && opened.values(REST_AT) > 0);
        if let Order::Keys(sort) = &self.request.order {
            columns.extend(sort_columns(sort, opened.schema()));
        }
        columns.sort_unstable();
        columns.dedup();
        let mut first_block: Vec<usize> = Vec::with_capacity(groups.len());
        groups.iter().fold(0, |block, rows| {
            first_block.push(block);
            block + rows.div_ceil(BLOCK_ROWS)
        });
        let newest_first = self.request.order == Order::Time { descending: true };
        let order: Vec<usize> =
            if newest_first { (0..groups.len()).rev().collect() } else { (0..groups.len()).collect() };
        for group in order {
            let first = first_block[group];
            let within = first..first + groups[group].div_ceil(BLOCK_ROWS);
            let wanted: Vec<usize> =
                candidates.iter().filter(|block| within.contains(block)).map(|block| block - first).collect();
            let part =
                GroupScan { at, group, rows: groups[group], first_block: first, columns: &columns, filter, counting };
            match self.group(&part, opened, wanted) {
                Ok(()) => {}
                Err(error @ QueryError::TooSlow { .. }) => return Err(error),
                Err(error) => {
                    segment.note_damage(group, &error.to_string());
                    damaged.insert(group);
                }
            }
        }
        Ok(())
    }

    /// Looks at some blocks of a row group: in steps from the promising end while only the page is wanted, else all.
    fn group(&mut self, part: &GroupScan<'_>, opened: &Opened, blocks: Vec<usize>) -> Result<(), QueryError> {
        let stepwise = !part.counting && !matches!(self.request.order, Order::Keys(_));
        let newest_first = self.request.order == Order::Time { descending: true };
        let mut left = &blocks[..];
        let mut step = if stepwise { 2 } else { left.len() };
        while !left.is_empty() {
            self.bounds.check()?;
            let size = step.min(left.len());
            let chosen = if newest_first {
                let (rest, chosen) = left.split_at(left.len() - size);
                left = rest;
                chosen
            } else {
                let (chosen, rest) = left.split_at(size);
                left = rest;
                chosen
            };
            if stepwise && !self.blocks_may_hold(part, opened, chosen) {
                continue;
            }
            self.read_blocks(part, opened, chosen)?;
            if stepwise {
                self.shrink();
            }
            step = (step * 4).min(32.max(step));
        }
        Ok(())
    }

    fn blocks_may_hold(&self, part: &GroupScan<'_>, opened: &Opened, chosen: &[usize]) -> bool {
        let Some(index) = opened.index() else { return true };
        let times = chosen.iter().map(|block| index.times(part.first_block + block));
        let range = times.fold((i64::MAX, i64::MIN), |range, (first, last)| (range.0.min(first), range.1.max(last)));
        self.may_hold(range, (0, u64::MAX))
    }

    fn read_blocks(&mut self, part: &GroupScan<'_>, opened: &Opened, chosen: &[usize]) -> Result<(), QueryError> {
        let ranges = ranges_of(chosen, part.rows);
        let selection = RowSelection::from_consecutive_ranges(ranges.iter().cloned(), part.rows);
        let reader = opened.read(part.group, part.columns, Some(selection), 8192).map_err(StoreError::from)?;
        let mut positions = Positions::new(&ranges);
        for batch in reader {
            self.bounds.check()?;
            let batch = batch?;
            let start = positions.clone();
            positions.advance(batch.num_rows());
            let place = Place { source: part.at, group: part.group, filter: part.filter, counting: part.counting };
            self.batch(place, &batch, |row| start.row(row));
        }
        Ok(())
    }

    /// Takes the rows of a batch that pass. `position` gives the place of a row of the batch in its row group.
    fn batch(&mut self, place: Place<'_>, batch: &RecordBatch, position: impl Fn(usize) -> usize) {
        let column = |name: &str| batch.schema().index_of(name).unwrap_or_default();
        let times = batch.column(column(TIMESTAMP)).as_primitive::<TimestampMicrosecondType>();
        let sequences = batch.column(column(SEQUENCE)).as_primitive::<UInt64Type>();
        let passed = match self.in_bounds(sequences.values()) {
            Some(left) => matches_among(place.filter, batch, &left),
            None => matches(place.filter, batch),
        };
        if place.counting {
            self.matched += passed.count_set_bits() as u64;
        }
        let sort_by = match &self.request.order {
            Order::Keys(sort) => SortValues::new(sort, batch),
            _ => SortValues::default(),
        };
        for row in passed.set_indices() {
            let (micros, sequence) = (times.value(row), sequences.value(row));
            if !self.after_cursor(micros, sequence) || !self.may_hold((micros, micros), (sequence, sequence)) {
                continue;
            }
            if let (Order::Keys(sort), Some(last)) = (&self.request.order, &self.last_keys)
                && sort_by.comes_after(batch, row, last, sort.first().is_some_and(|by| by.descending))
            {
                continue;
            }
            let keys = sort_by.keys(batch, row);
            self.best.push(Candidate {
                keys,
                micros,
                sequence,
                source: place.source,
                group: place.group,
                row: position(row),
            });
            if self.best.len() >= self.wanted.saturating_mul(2).max(4096) {
                self.shrink();
            }
        }
    }

    /// The rows that count; `None` when all do.
    fn in_bounds(&self, sequences: &[u64]) -> Option<BooleanBuffer> {
        let counts = |sequence: u64| sequence > self.request.after_sequence && sequence <= self.bound;
        let all = sequences.iter().all(|sequence| counts(*sequence));
        (!all).then(|| BooleanBuffer::collect_bool(sequences.len(), |row| counts(sequences[row])))
    }

    fn after_cursor(&self, micros: i64, sequence: u64) -> bool {
        let Some(Cursor { after: After::Row { micros: last_micros, sequence: last }, .. }) = self.request.cursor else {
            return true;
        };
        match self.request.order {
            Order::Time { descending: true } => (micros, sequence) < (last_micros, last),
            Order::Time { descending: false } => (micros, sequence) > (last_micros, last),
            Order::Sequence => sequence > last,
            Order::Keys(_) => true,
        }
    }

    fn finish(mut self, sources: &[Source]) -> Page {
        self.shrink();
        let skip = self.wanted - 1 - self.request.limit;
        let more = self.best.len() == self.wanted;
        let mut chosen = std::mem::take(&mut self.best);
        chosen.truncate(skip + self.request.limit);
        chosen.drain(..skip.min(chosen.len()));
        let mut page =
            Page { total: self.request.total.then_some(self.matched), unreadable: self.unreadable, ..Page::default() };
        if more && let Some(last) = chosen.last() {
            let after = match self.request.order {
                Order::Keys(_) => After::Offset(skip + chosen.len()),
                _ => After::Row { micros: last.micros, sequence: last.sequence },
            };
            page.next = Some(Cursor { bound: self.bound, after });
        }
        fetch(&chosen, sources, &mut page);
        page
    }
}

fn without_overflow(batch: &RecordBatch) -> Cow<'_, RecordBatch> {
    let columns: Vec<usize> = (0..batch.num_columns()).filter(|at| *at != REST_AT).collect();
    batch.project(&columns).map_or(Cow::Borrowed(batch), Cow::Owned)
}

struct Place<'a> {
    source: usize,
    group: usize,
    filter: &'a Filter,
    counting: bool,
}

struct GroupScan<'a> {
    at: usize,
    group: usize,
    rows: usize,
    first_block: usize,
    columns: &'a [usize],
    filter: &'a Filter,
    counting: bool,
}

/// One look at a segment with one filter.
#[derive(Clone, Copy)]
struct Pass<'a> {
    at: usize,
    segment: &'a Segment,
    opened: &'a Opened,
    groups: &'a [usize],
    filter: &'a Filter,
    counting: bool,
}

/// The row ranges of some blocks, neighbours joined.
pub(crate) fn ranges_of(blocks: &[usize], rows: usize) -> Vec<std::ops::Range<usize>> {
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    for block in blocks {
        let range = block * BLOCK_ROWS..((block + 1) * BLOCK_ROWS).min(rows);
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges
}

/// Where the rows of consecutive batches stand in their row group.
#[derive(Clone)]
pub(crate) struct Positions<'a> {
    ranges: &'a [std::ops::Range<usize>],
    range: usize,
    at: usize,
}

impl<'a> Positions<'a> {
    /// At the first row of some ranges of rows.
    pub(crate) fn new(ranges: &'a [std::ops::Range<usize>]) -> Self {
        Self { ranges, range: 0, at: ranges.first().map_or(0, |range| range.start) }
    }

    pub(crate) fn advance(&mut self, rows: usize) {
        let mut left = rows;
        while let Some(range) = self.ranges.get(self.range) {
            let here = range.end - self.at;
            if left < here {
                self.at += left;
                return;
            }
            left -= here;
            self.range += 1;
            self.at = self.ranges.get(self.range).map_or(range.end, |next| next.start);
        }
    }

    pub(crate) fn row(&self, row: usize) -> usize {
        let mut moved = self.clone();
        moved.advance(row);
        moved.at
    }
}

/// Does the same on as many threads as there are processors, for so many pieces of work.
pub(crate) fn on_threads<R: Send>(pieces: usize, work: &(impl Fn() -> R + Sync)) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(pieces);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = vec![work()];
        // A thread that panicked was looking at something impossible; so would be whoever asked.
        done.extend(
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
        );
        done
    })
}
