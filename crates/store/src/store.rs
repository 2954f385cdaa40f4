//! The store: what is accepted goes to the journal and the buffer, the buffer becomes segments, segments merge and
//! grow old. One writer at a time; readers see a frozen snapshot and wait for nobody.

mod archive;
mod ids;
mod inspect;
mod removal;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType, UInt64Type};
use event::{Batch, Timestamp};
use parking_lot::Mutex;

pub use archive::{ArchiveFault, ArchiveWork, Purge, Verified, verify_record};
pub use inspect::{Inspection, inspect};

use crate::archive::{Archived, Places};
use crate::cache::IndexCache;
use crate::catalog::{Catalog, Change};
use crate::columns::{ColumnsBuilder, SEQUENCE_AT, TIMESTAMP_AT};
use crate::conform::{Counts, choose, conform, count};
use crate::decimal::Decimals;
use crate::disk::Disk;
use crate::journal::{Entry, Journal, JournalDamage, JournalError};
use crate::merge::{Source, merge};
use crate::recent::{Recent, key};
use crate::retention::{Cutoff, Expiry, Retention, cutoff, side_of};
use crate::segment::{Opened, Segment, SegmentInfo, remove_files};
use crate::write::{Compress, SegmentWriter};
use crate::{LogId, StoreError, tiers};

/// A builder is frozen at this size, so that no question ever waits for a large one.
const BUILDER_BYTES_MAX: usize = 8 << 20;

/// Rows that a merge reads at a time from each segment.
const MERGE_READ_ROWS: usize = 2048;

/// Events on their way in.
#[derive(Debug)]
pub struct Incoming {
    /// Where they go.
    pub log: LogId,
    /// When they came.
    pub received: Timestamp,
    /// Who sent them, and how far that producer is with them: events up to a position that is known are dropped.
    pub producer: Option<(String, u64)>,
    /// The events.
    pub batch: Batch,
}

/// What became of one [`Incoming`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Sequence number of the first event of the request that is new; behind the last where there is none.
    pub first: u64,
    /// Sequence number of the last event stored so far.
    pub last: u64,
    /// Events that are new.
    pub stored: usize,
    /// Events that were there already under the same id: their places in the batch.
    pub known: Vec<u32>,
}

/// What was found at a start.
#[derive(Clone, Debug, Default)]
pub struct StartReport {
    /// Parts of the journal that could not be read.
    pub journal: Vec<JournalDamage>,
    /// Events read back from the journal.
    pub recovered: u64,
    /// Files that nobody named, left by an interrupted flush or merge, and removed.
    pub orphans: usize,
    /// Segments that the catalog names and the disk does not have.
    pub missing: Vec<String>,
}

/// Frozen rows of the buffer, in the order of their sequence numbers.
#[derive(Debug)]
pub struct Rows {
    /// The columns.
    pub batch: RecordBatch,
    /// The earliest event.
    pub first: Timestamp,
    /// The latest event.
    pub last: Timestamp,
    /// The lowest sequence number.
    pub first_sequence: u64,
    /// The highest sequence number.
    pub last_sequence: u64,
    bytes: usize,
}

/// One log as it was at one moment. Holding it keeps its files.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The log.
    pub log: LogId,
    /// Its segments.
    pub segments: Vec<Arc<Segment>>,
    /// Its rows that are in no segment yet.
    pub rows: Vec<Arc<Rows>>,
    /// The last sequence number in it (of all logs, so that two snapshots can be compared).
    pub last_sequence: u64,
}

/// How large a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSize {
    /// Events.
    pub events: u64,
    /// Events that are in no segment yet.
    pub buffered_events: u64,
    /// Bytes on disk in segments and their sidecars.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// The earliest event.
    pub first: Option<Timestamp>,
    /// The latest event.
    pub last: Option<Timestamp>,
    /// Events in the archive.
    pub archived_events: u64,
    /// Bytes in the archive.
    pub archived_bytes: u64,
    /// Segments in the archive.
    pub archived_segments: u64,
}

/// The open store of a data directory.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    catalog: Catalog,
    cache: Arc<IndexCache>,
    writer: Mutex<Writer>,
    live: Mutex<Live>,
    /// Held while the buffer is written to segments, which waits for no merge.
    flushing: Mutex<()>,
    /// Held by whoever takes segments out of the set of them.
    housekeeping: Mutex<()>,
    next_segment: AtomicU64,
    /// Set when merges are to end early.
    stopping: AtomicBool,
    /// Held by whoever joins small batches of the buffer.
    joining: Mutex<()>,
    places: Arc<dyn Places>,
    /// Held by whoever changes what is in the archive; taken before `housekeeping`, never the other way round.
    archiving: Mutex<archive::Archiving>,
}

#[derive(Debug)]
struct Writer {
    journal: Journal,
    recent: HashMap<LogId, Recent>,
    producers: HashMap<String, u64>,
    /// Logs that were taken away.
    removed: HashSet<LogId>,
}

#[derive(Debug, Default)]
struct Live {
    logs: HashMap<LogId, LogLive>,
    last_sequence: u64,
}

#[derive(Debug, Default)]
struct LogLive {
    segments: Vec<Arc<Segment>>,
    archived: Vec<Arc<Segment>>,
    flushing: Vec<Arc<Rows>>,
    frozen: Vec<Arc<Rows>>,
    builder: ColumnsBuilder,
}

/// What a flush writes: the buffer as it was at one moment.
#[derive(Debug)]
struct Taken {
    rows: Vec<(LogId, Vec<Arc<Rows>>)>,
    /// The last sequence number in it.
    flushed: u64,
    producers: Vec<(String, u64)>,
}

/// What a group has changed in the writer's memory before the journal took it.
#[derive(Debug, Default)]
struct Noted {
    /// How many ids of each log, in the order in which they were remembered.
    ids: Vec<(LogId, usize)>,
    positions: Vec<(String, Option<u64>)>,
}

impl Writer {
    /// Empties a request for a log that was taken away; returns how many events it had.
    fn take_gone(&self, incoming: &mut Incoming) -> usize {
        if self.removed.contains(&incoming.log) { std::mem::take(&mut incoming.batch).len() } else { 0 }
    }

    /// Takes back what was noted for a group that was refused.
    fn forget(&mut self, noted: Noted) {
        for (log, count) in noted.ids.into_iter().rev() {
            if let Some(recent) = self.recent.get_mut(&log) {
                recent.forget_last(count);
            }
        }
        for (name, position) in noted.positions.into_iter().rev() {
            match position {
                Some(position) => self.producers.insert(name, position),
                None => self.producers.remove(&name),
            };
        }
    }
}

impl Rows {
    fn new(batch: RecordBatch, bytes: usize) -> Self {
        let times = batch.column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>().values();
        let sequences = batch.column(SEQUENCE_AT).as_primitive::<UInt64Type>().values();
        Self {
            first: Timestamp::from_micros(times.iter().min().copied().unwrap_or(0)),
            last: Timestamp::from_micros(times.iter().max().copied().unwrap_or(0)),
            first_sequence: sequences.first().copied().unwrap_or(0),
            last_sequence: sequences.last().copied().unwrap_or(0),
            bytes,
            batch,
        }
    }
}

impl LogLive {
    fn freeze(&mut self) {
        let bytes = self.builder.bytes();
        if let Some(batch) = self.builder.finish() {
            let bytes = bytes.max(batch.get_array_memory_size());
            self.frozen.push(Arc::new(Rows::new(batch, bytes)));
        }
    }

    /// The youngest two batches, if they are of like size and small. One that a full builder made is never copied.
    fn to_join(&self) -> Option<[Arc<Rows>; 2]> {
        let [.., left, right] = &self.frozen[..] else { return None };
        let fits = left.bytes <= 4 * right.bytes && left.bytes + right.bytes <= BUILDER_BYTES_MAX;
        fits.then(|| [Arc::clone(left), Arc::clone(right)])
    }

    fn buffered(&self) -> impl Iterator<Item = &Arc<Rows>> {
        self.flushing.iter().chain(&self.frozen)
    }
}

fn joined(batches: &[&RecordBatch]) -> Result<RecordBatch, StoreError> {
    let mut counts = Counts::new();
    batches.iter().for_each(|batch| count(&mut counts, batch));
    let schema = choose(&counts);
    let conformed = batches.iter().map(|batch| conform(batch, &schema)).collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &conformed)?)
}

impl Store {
    /// Opens the store: reads the catalog, reads the journal back, removes what an interrupted flush left.
    ///
    /// Damage never stops a start; it is in the report.
    ///
    /// # Errors
    /// When the catalog cannot be read or the disk refuses.
    pub fn open(
        disk: Arc<dyn Disk>,
        catalog: Catalog,
        places: Arc<dyn Places>,
    ) -> Result<(Self, StartReport), StoreError> {
        catalog.raise_format()?;
        let (flushed, next_segment) = catalog.position()?;
        let mut report = StartReport::default();
        let mut live = Live { last_sequence: flushed, ..Live::default() };
        let mut files: std::collections::HashSet<String> = disk.list("segments")?.into_iter().collect();
        let holds = catalog.holds()?;
        let cache = Arc::<IndexCache>::default();
        for record in catalog.archived()? {
            let archive = places.at(&record.place);
            let log = live.logs.entry(record.info.log).or_default();
            log.archived.push(Arc::new(Segment::archived(record, archive, &cache)));
        }
        for info in catalog.segments()? {
            let number = info.number;
            if !files.remove(&format!("{number:010}.parquet")) {
                report.missing.push(crate::segment::segment_name(number));
            }
            files.remove(&format!("{number:010}.idx"));
            let log = live.logs.entry(info.log).or_default();
            let segment = Segment::new(info, Arc::clone(&disk), &cache);
            segment.hold_until(holds.get(&number).copied());
            log.segments.push(Arc::new(segment));
        }
        for orphan in &files {
            disk.remove(&format!("segments/{orphan}"))?;
            report.orphans += 1;
        }
        let mut producers: HashMap<String, u64> = catalog.producers()?.into_iter().collect();
        let removed = catalog.removed_logs()?;
        let mut take = |found: crate::journal::Recovered| {
            live.last_sequence = live.last_sequence.max(found.first + found.batch.len() as u64 - 1);
            if !removed.contains(&found.log) {
                report.recovered += found.batch.len() as u64;
                let log = live.logs.entry(found.log).or_default();
                log.builder.append(&found.batch, found.first, found.received);
                if log.builder.bytes() > BUILDER_BYTES_MAX {
                    log.freeze();
                }
            }
            if let Some((name, position)) = found.producer {
                let known = producers.entry(name).or_default();
                *known = position.max(*known);
            }
        };
        let (journal, damage) = Journal::open(Arc::clone(&disk), flushed, &mut take)?;
        report.journal = damage;
        live.last_sequence = live.last_sequence.max(journal.next_sequence() - 1);
        let archiving = Mutex::new(archive::Archiving::new(catalog.leavings()?));
        let store = Self {
            disk,
            catalog,
            cache,
            places,
            archiving,
            writer: Mutex::new(Writer { journal, recent: HashMap::new(), producers, removed }),
            live: Mutex::new(live),
            flushing: Mutex::default(),
            housekeeping: Mutex::default(),
            next_segment: AtomicU64::new(next_segment),
            stopping: AtomicBool::new(false),
            joining: Mutex::default(),
        };
        Ok((store, report))
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// How many bytes of memory open segments may take; those in the archive are apart.
    pub fn limit_index_cache(&self, bytes: u64) {
        self.cache.set_limit(bytes);
    }

    /// Stores a group of requests with one write and one sync. When it returns, all of it is durable and in every
    /// snapshot taken from then on.
    ///
    /// # Errors
    /// When the journal refuses; then nothing of the group is stored.
    pub fn append(&self, group: Vec<Incoming>) -> Result<Vec<Appended>, JournalError> {
        let mut writer = self.writer.lock();
        let mut group = group;
        // Of a log that was taken away meanwhile: they went with it.
        let gone: Vec<usize> = group.iter_mut().map(|incoming| writer.take_gone(incoming)).collect();
        let mut noted = Noted::default();
        let known: Vec<Vec<u32>> =
            group.iter_mut().map(|incoming| self.drop_known(&mut writer, incoming, &mut noted)).collect();
        let entries: Vec<Entry<'_>> = group
            .iter()
            .filter(|incoming| !incoming.batch.is_empty())
            .map(|incoming| Entry {
                log: incoming.log,
                received: incoming.received,
                producer: incoming.producer.as_ref().map(|(name, position)| (name.as_str(), *position)),
                batch: &incoming.batch,
            })
            .collect();
        let mut sequence = match writer.journal.append(&entries) {
            Ok(first) => first,
            Err(error) => {
                writer.forget(noted);
                return Err(error);
            }
        };
        let mut live = self.live.lock();
        let mut results = Vec::with_capacity(group.len());
        for ((incoming, known), gone) in group.into_iter().zip(known).zip(gone) {
            let (stored, first) = (incoming.batch.len(), sequence);
            if stored > 0 {
                let log = live.logs.entry(incoming.log).or_default();
                log.builder.append(&incoming.batch, sequence, incoming.received);
                sequence += stored as u64;
                if log.builder.bytes() > BUILDER_BYTES_MAX {
                    log.freeze();
                }
                live.last_sequence = sequence - 1;
            }
            results.push(Appended { first, last: live.last_sequence, stored: stored + gone, known });
        }
        Ok(results)
    }

    /// Takes out of a batch what is stored already; returns the places of those events.
    fn drop_known(&self, writer: &mut Writer, incoming: &mut Incoming, noted: &mut Noted) -> Vec<u32> {
        let places = 0..u32::try_from(incoming.batch.len()).unwrap_or(u32::MAX);
        if let Some((name, position)) = &incoming.producer {
            let known = writer.producers.get(name).copied();
            if known.is_some_and(|known| known >= *position) {
                incoming.batch = Batch::default();
                return places.collect();
            }
            writer.producers.insert(name.clone(), *position);
            noted.positions.push((name.clone(), known));
        }
        let recent = self.recent(writer, incoming.log, incoming.received);
        let rows = incoming.batch.rows().zip(places);
        let known: Vec<u32> = rows.filter(|(row, _)| !recent.insert(key(row.id))).map(|(_, place)| place).collect();
        noted.ids.push((incoming.log, incoming.batch.len() - known.len()));
        if !known.is_empty() {
            let mut next = known.iter().peekable();
            let batch = incoming.batch.filtered(|index| next.next_if(|place| **place as usize == index).is_none());
            incoming.batch = batch;
        }
        known
    }

    /// Joins the youngest batches of a log's buffer as long as they are small, so that a question never meets many of
    /// them. They are copied while nobody waits for it.
    fn join(&self, log: LogId) {
        let Some(_one_at_a_time) = self.joining.try_lock() else { return };
        let youngest = || self.live.lock().logs.get(&log).and_then(LogLive::to_join);
        while let Some([left, right]) = youngest() {
            let Ok(batch) = joined(&[&left.batch, &right.batch]) else { return };
            let bytes = batch.get_array_memory_size();
            let rows = Arc::new(Rows::new(batch, bytes));
            let mut live = self.live.lock();
            let Some(frozen) = live.logs.get_mut(&log).map(|log| &mut log.frozen) else { return };
            // Another question may have frozen more behind them, or a flush have taken them.
            let Some(at) = frozen.iter().position(|rows| Arc::ptr_eq(rows, &left)) else { return };
            frozen.splice(at..at + 2, [rows]);
        }
    }

    /// The log as it is now.
    #[must_use]
    pub fn snapshot(&self, log: LogId) -> Snapshot {
        self.join(log);
        let mut live = self.live.lock();
        let last_sequence = live.last_sequence;
        let Some(found) = live.logs.get_mut(&log) else {
            return Snapshot { log, segments: Vec::new(), rows: Vec::new(), last_sequence };
        };
        found.freeze();
        Snapshot { log, segments: found.segments.clone(), rows: found.buffered().cloned().collect(), last_sequence }
    }

    /// The sequence number of the last event stored.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.live.lock().last_sequence
    }

    /// Which of these ids belong to events that are among the latest of a log. Waits for the write under way.
    #[must_use]
    pub fn known(&self, log: LogId, ids: &[&event::Id], now: Timestamp) -> Vec<bool> {
        let mut writer = self.writer.lock();
        let recent = self.recent(&mut writer, log, now);
        ids.iter().map(|id| recent.knows(key(id))).collect()
    }

    /// How far a producer is.
    #[must_use]
    pub fn producer_position(&self, name: &str) -> Option<u64> {
        self.writer.lock().producers.get(name).copied()
    }

    /// Why writing is over until a restart, if it is.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.writer.lock().journal.poisoned().map(str::to_owned)
    }

    /// About how many bytes of memory the events take that are in no segment yet.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        let live = self.live.lock();
        let rows = |log: &LogLive| log.buffered().map(|rows| rows.bytes).sum::<usize>() + log.builder.bytes();
        live.logs.values().map(rows).sum()
    }

    /// How large a log is.
    #[must_use]
    pub fn size(&self, log: LogId) -> LogSize {
        let snapshot = self.snapshot(log);
        let mut size = LogSize::default();
        let mut span = |first: Timestamp, last: Timestamp| {
            size.first = Some(size.first.map_or(first, |known| known.min(first)));
            size.last = Some(size.last.map_or(last, |known| known.max(last)));
        };
        for segment in &snapshot.segments {
            span(segment.info().first, segment.info().last);
        }
        for rows in &snapshot.rows {
            span(rows.first, rows.last);
        }
        size.segments = snapshot.segments.len() as u64;
        size.bytes = snapshot.segments.iter().map(|segment| segment.info().bytes + segment.info().index_bytes).sum();
        for segment in self.archived(log) {
            size.archived_segments += 1;
            size.archived_events += segment.info().rows;
            size.archived_bytes += segment.record().map_or(0, Archived::bytes);
        }
        size.buffered_events = snapshot.rows.iter().map(|rows| rows.batch.num_rows() as u64).sum();
        size.events = size.buffered_events + snapshot.segments.iter().map(|segment| segment.info().rows).sum::<u64>();
        size
    }

    /// Writes everything in the buffer to segments, one for each log, and lets go of the journal up to there.
    /// Returns how many events that were.
    ///
    /// # Errors
    /// When the disk refuses; the events stay in the buffer and in the journal, and the call may be tried again.
    pub fn flush(&self) -> Result<u64, StoreError> {
        let _one_at_a_time = self.flushing.lock();
        let Taken { rows: taken, flushed, producers } = self.take_for_flush();
        let mut added = Vec::with_capacity(taken.len());
        for (log, rows) in &taken {
            match self.write_rows(*log, rows) {
                Ok(info) => added.push(info),
                Err(error) => {
                    added.iter().for_each(|info| remove_files(&*self.disk, info.number));
                    return Err(error);
                }
            }
        }
        // When this fails, nobody knows whether the catalog names the files: they stay until the next start.
        self.catalog.commit(&Change {
            add: &added,
            flushed: Some(flushed),
            producers: &producers,
            ..Change::default()
        })?;
        let mut events = 0;
        {
            let mut live = self.live.lock();
            for info in added {
                events += info.rows;
                let log = live.logs.entry(info.log).or_default();
                log.flushing.clear();
                log.segments.push(Arc::new(Segment::new(info, Arc::clone(&self.disk), &self.cache)));
            }
        }
        self.writer.lock().journal.trim(flushed)?;
        Ok(events)
    }

    fn take_for_flush(&self) -> Taken {
        let mut writer = self.writer.lock();
        let mut live = self.live.lock();
        let mut taken = Vec::new();
        for (log, found) in &mut live.logs {
            found.freeze();
            found.flushing.append(&mut found.frozen);
            if !found.flushing.is_empty() {
                taken.push((*log, found.flushing.clone()));
            }
        }
        if !taken.is_empty() {
            writer.journal.close_current();
        }
        taken.sort_by_key(|(log, _)| *log);
        let producers = writer.producers.iter().map(|(name, position)| (name.clone(), *position)).collect();
        Taken { rows: taken, flushed: writer.journal.next_sequence() - 1, producers }
    }

    fn write_rows(&self, log: LogId, rows: &[Arc<Rows>]) -> Result<SegmentInfo, StoreError> {
        let mut counts = Counts::new();
        let mut decimals = Decimals::default();
        for rows in rows {
            count(&mut counts, &rows.batch);
            decimals.add(&rows.batch);
        }
        let sources = rows.iter().map(|rows| Box::new(std::iter::once(Ok(rows.batch.clone()))) as Source<'_>).collect();
        let schema = choose(&counts);
        self.write_segment(log, &schema, (&decimals, Compress::Quickly), sources)
    }

    fn write_segment(
        &self,
        log: LogId,
        schema: &SchemaRef,
        (decimals, compress): (&Decimals, Compress),
        sources: Vec<Source<'_>>,
    ) -> Result<SegmentInfo, StoreError> {
        let number = self.next_segment.fetch_add(1, Ordering::Relaxed);
        let written =
            SegmentWriter::create(Arc::clone(&self.disk), number, log, decimals.file_schema(schema), compress)
                .and_then(|mut writer| {
                    merge(sources, schema, &mut |batch| writer.append(&batch))?;
                    writer.finish()
                });
        if written.is_err() {
            // Half a segment takes room, and room may be what is missing.
            remove_files(&*self.disk, number);
        }
        written
    }

    /// Lets a merge under way, and all later ones, end early with [`StoreError::Stopped`]. Nothing is lost by that.
    pub fn stop_merging(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Merges one set of small segments, if there is one. Returns whether there was.
    ///
    /// # Errors
    /// When the disk refuses, or merges are to end; nothing changes then.
    pub fn merge(&self) -> Result<bool, StoreError> {
        self.merge_below(u64::MAX)
    }

    /// The same, of segments with fewer rows.
    ///
    /// # Errors
    /// As [`Store::merge`].
    pub fn merge_below(&self, rows_max: u64) -> Result<bool, StoreError> {
        let _one_at_a_time = self.housekeeping.lock();
        let logs: Vec<(LogId, Vec<Arc<Segment>>)> =
            self.live.lock().logs.iter().map(|(log, live)| (*log, live.segments.clone())).collect();
        for (log, segments) in logs {
            if let Some(chosen) = tiers::choose(&segments, rows_max) {
                match self.rewrite(log, &chosen, &|batch| self.unless_stopping(batch)) {
                    // A damaged one is noted and left out the next time.
                    Err(StoreError::Columns(_) | StoreError::Unreadable { .. }) => return Ok(true),
                    result => return result.map(|_| true),
                }
            }
        }
        Ok(false)
    }

    fn unless_stopping(&self, batch: RecordBatch) -> Result<RecordBatch, StoreError> {
        if self.stopping.load(Ordering::Acquire) { Err(StoreError::Stopped) } else { Ok(batch) }
    }

    /// Writes the rows of some segments, as `change` leaves them, into one new segment that takes their place. Returns
    /// how many rows are left.
    fn rewrite(
        &self,
        log: LogId,
        segments: &[Arc<Segment>],
        change: &dyn Fn(RecordBatch) -> Result<RecordBatch, StoreError>,
    ) -> Result<u64, StoreError> {
        let added = self.written_anew(log, segments, change)?;
        let removed: Vec<u64> = segments.iter().map(|segment| segment.info().number).collect();
        let left = added.as_ref().map_or(0, |info| info.rows);
        self.replace(log, added.into_iter().collect(), &removed)?;
        Ok(left)
    }

    /// Writes the rows of some segments, as `change` leaves them, into one new segment that nobody names yet; none
    /// when there are no rows.
    fn written_anew(
        &self,
        log: LogId,
        segments: &[Arc<Segment>],
        change: &dyn Fn(RecordBatch) -> Result<RecordBatch, StoreError>,
    ) -> Result<Option<SegmentInfo>, StoreError> {
        let mut counts = Counts::new();
        let mut decimals = Decimals::default();
        let mut opened = Vec::with_capacity(segments.len());
        for segment in segments {
            let files = segment.open()?;
            decimals.add_file(files.file_schema());
            for (path, kind, values) in files.key_values() {
                *counts.entry((path.to_owned(), kind)).or_default() += values;
            }
            opened.push((segment, files));
        }
        let sources = opened.iter().map(|(segment, files)| rows_of(segment, files, change)).collect();
        let info = self.write_segment(log, &choose(&counts), (&decimals, Compress::Well), sources)?;
        if info.rows == 0 {
            remove_files(&*self.disk, info.number);
            return Ok(None);
        }
        Ok(Some(info))
    }

    fn replace(&self, log: LogId, added: Vec<SegmentInfo>, removed: &[u64]) -> Result<(), StoreError> {
        self.catalog.commit(&Change { add: &added, remove: removed, ..Change::default() })?;
        let mut live = self.live.lock();
        let found = live.logs.entry(log).or_default();
        found.segments.retain(|segment| {
            let gone = removed.contains(&segment.info().number);
            if gone {
                segment.doom();
            }
            !gone
        });
        found
            .segments
            .extend(added.into_iter().map(|info| Arc::new(Segment::new(info, Arc::clone(&self.disk), &self.cache))));
        Ok(())
    }

    /// Lets go of events of a log that are older than its retention. Returns how many events went.
    ///
    /// # Errors
    /// When the disk refuses; what went before that is gone, the rest is tried again the next time.
    pub fn retain(&self, log: LogId, retention: &Retention, now: Timestamp) -> Result<u64, StoreError> {
        let _one_at_a_time = self.housekeeping.lock();
        let segments = self.live.lock().logs.get(&log).map(|live| live.segments.clone()).unwrap_or_default();
        let is_dropped = |segment: &&Arc<Segment>| Expiry::of(segment.info(), retention, now) == Expiry::Drop;
        let mut gone: u64 = segments.iter().filter(is_dropped).map(|segment| segment.info().rows).sum();
        let dropped: Vec<u64> = segments.iter().filter(is_dropped).map(|segment| segment.info().number).collect();
        if !dropped.is_empty() {
            self.replace(log, Vec::new(), &dropped)?;
        }
        let is_old: Cutoff<'_> = &|stream| cutoff(retention, stream, now);
        for segment in segments.iter().filter(|segment| segment.is_readable()) {
            if Expiry::of(segment.info(), retention, now) == Expiry::Rewrite {
                match self.rewrite(log, std::slice::from_ref(segment), &|batch| side_of(&batch, is_old, false)) {
                    Err(StoreError::Columns(_) | StoreError::Unreadable { .. }) => {}
                    result => gone += segment.info().rows - result?,
                }
            }
        }
        Ok(gone)
    }

    /// All live segments.
    #[must_use]
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        self.live.lock().logs.values().flat_map(|log| log.segments.iter().cloned()).collect()
    }

    /// Bytes left on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

/// The rows of a segment, in the order of time; damage is noted and ends them with an error.
fn rows_of<'a>(
    segment: &'a Arc<Segment>,
    opened: &'a Arc<Opened>,
    change: &'a dyn Fn(RecordBatch) -> Result<RecordBatch, StoreError>,
) -> Source<'a> {
    let columns: Vec<usize> = (0..opened.schema().fields().len()).collect();
    let groups = (0..opened.row_groups().len()).flat_map(move |group| {
        let reader = opened.read(group, &columns, None, MERGE_READ_ROWS);
        let noted = move |error: StoreError| {
            segment.note_damage(group, &error.to_string());
            error
        };
        let batches: Source<'a> = match reader {
            Ok(reader) => Box::new(reader.map(move |batch| batch.map_err(StoreError::from).map_err(noted))),
            Err(error) => Box::new(std::iter::once_with(move || Err(noted(error.into())))),
        };
        batches
    });
    Box::new(groups.map(move |batch| batch.and_then(change)))
}
