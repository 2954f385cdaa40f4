//! A segment: an immutable Parquet file of one log, sorted by time, with its index beside it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{RecordBatch, RecordBatchReader as _};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use event::Timestamp;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;

use crate::archive::{AWAY, Archive, Archived};
use crate::cache::IndexCache;
use crate::checked::{Ahead, CheckedFile, Checksum, InMemory};
use crate::columns::{Kind, REST_AT, key_columns};
use crate::decimal::{as_doubles, from_file};
use crate::disk::{Disk, ReadAt};
use crate::index::Index;
use crate::pages::Group;
use crate::{LogId, StoreError};

/// Uncompressed bytes of a row group beyond which few rows are read at a time. A usual one has about 40 MiB.
const LARGE_GROUP_BYTES: i64 = 192 << 20;

/// Rows read at a time from such a row group.
const LARGE_GROUP_BATCH_ROWS: usize = 64;

/// Rows read at a time where only some columns are.
const CODED_BATCH_ROWS: usize = 8192;

/// Most bytes of a column of one row group that are read in one go.
const AHEAD_BYTES_MAX: u64 = 16 << 20;

/// Sets of columns of which is kept how they are read.
const LEVELS_MAX: usize = 16;

/// Rows of a row group: the most that a damaged byte can cost.
pub const ROW_GROUP_ROWS: usize = 128 * crate::index::BLOCK_ROWS;

/// How the events of one stream are spread within a segment, for retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpan {
    /// The stream.
    pub stream: String,
    /// How many events.
    pub rows: u64,
    /// The earliest.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
}

/// What the catalog knows of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number, unique in the data directory.
    pub number: u64,
    /// The log it belongs to.
    pub log: LogId,
    /// How many events.
    pub rows: u64,
    /// Bytes of the Parquet file.
    pub bytes: u64,
    /// Bytes of the sidecar.
    pub index_bytes: u64,
    /// Bytes at the end of the Parquet file that hold its footer and page index.
    pub footer_bytes: u64,
    /// The earliest event.
    pub first: Timestamp,
    /// The latest event.
    pub last: Timestamp,
    /// The lowest sequence number.
    pub first_sequence: u64,
    /// The highest sequence number.
    pub last_sequence: u64,
    /// The streams in it.
    pub streams: Vec<StreamSpan>,
}

impl SegmentInfo {
    /// About how many of its events come after a sequence number: of one that begins before it and ends after it, the
    /// share that its numbers suggest.
    #[must_use]
    pub fn rows_after(&self, after: u64) -> u64 {
        match after {
            _ if self.last_sequence <= after => 0,
            _ if self.first_sequence > after => self.rows,
            _ => self.rows.saturating_mul(self.last_sequence - after) / (self.last_sequence - self.first_sequence + 1),
        }
    }
}

pub(crate) fn segment_name(number: u64) -> String {
    format!("segments/{number:010}.parquet")
}

/// Removes whatever there is of a segment that the catalog does not name. What cannot be removed now is an orphan,
/// which the next start removes.
pub(crate) fn remove_files(disk: &dyn Disk, number: u64) {
    for name in [segment_name(number), index_name(number)] {
        let _ = disk.remove(&name);
        let _ = disk.remove(&format!("{name}.new"));
    }
}

pub(crate) fn index_name(number: u64) -> String {
    format!("segments/{number:010}.idx")
}

/// A part of a segment that does not match its checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentDamage {
    /// The file.
    pub file: String,
    /// The row group that cannot be read; `None` when it is the whole segment, or the sidecar, which costs no event.
    pub row_group: Option<usize>,
    /// Events that cannot be read.
    pub rows: u64,
    /// What was found.
    pub reason: String,
}

/// A live segment. Its files are opened when it is first asked, and removed when it is no longer live and the last
/// question that sees it is answered.
#[derive(Debug)]
pub struct Segment {
    info: SegmentInfo,
    home: Home,
    cache: Arc<IndexCache>,
    ticket: u64,
    opening: Mutex<()>,
    columns: OnceLock<Arc<SegmentColumns>>,
    doomed: AtomicBool,
    /// On its way to the archive: merges leave it alone.
    leaving: AtomicBool,
    /// Until when it stays live whatever its age, in microseconds; 0 when it does not.
    held_until: AtomicI64,
    notes: Arc<Notes>,
}

/// The columns of the keys of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentColumns {
    /// Their paths and types.
    pub keys: Vec<(String, Kind)>,
    /// Whether some events have more keys, in the overflow.
    pub overflow: bool,
}

/// What was found to be wrong with a segment.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    sidecar: String,
    damage: Mutex<Vec<SegmentDamage>>,
    /// What the archive said when it could not be reached, and how often that was.
    away: Mutex<(u64, String)>,
}

impl Notes {
    fn note(&self, damage: SegmentDamage) {
        // A bucket that cannot be reached for a while is no damage. Columns are read through layers that keep only the
        // text of an error.
        if let Some(at) = damage.reason.find(AWAY) {
            let mut away = self.away.lock();
            *away = (away.0 + 1, damage.reason[at..].to_owned());
            return;
        }
        let mut noted = self.damage.lock();
        if !noted.iter().any(|known| known.file == damage.file && known.row_group == damage.row_group) {
            noted.push(damage);
        }
    }

    /// Notes damage of the sidecar, which costs no event.
    pub(crate) fn sidecar(&self, reason: &str) {
        self.note(SegmentDamage { file: self.sidecar.clone(), row_group: None, rows: 0, reason: reason.to_owned() });
    }
}

/// Where the files of a segment are.
#[derive(Debug)]
enum Home {
    Live(Arc<dyn Disk>),
    Archived(Arc<dyn Archive>, Box<Archived>),
}

/// How some columns are read.
type KnownLevels = (Box<[usize]>, Arc<FieldLevels>);

/// A segment's files, open.
#[derive(Debug)]
pub struct Opened {
    file: CheckedFile,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    index: Option<Index>,
    levels: Mutex<Vec<KnownLevels>>,
    bytes: u64,
}

impl Segment {
    pub(crate) fn new(info: SegmentInfo, disk: Arc<dyn Disk>, cache: &Arc<IndexCache>) -> Self {
        Self::at(info, Home::Live(disk), cache)
    }

    pub(crate) fn archived(record: Archived, archive: Arc<dyn Archive>, cache: &Arc<IndexCache>) -> Self {
        Self::at(record.info.clone(), Home::Archived(archive, Box::new(record)), cache)
    }

    fn at(info: SegmentInfo, home: Home, cache: &Arc<IndexCache>) -> Self {
        let sidecar = match &home {
            Home::Live(_) => index_name(info.number),
            Home::Archived(_, record) => record.files()[1].clone(),
        };
        Self {
            info,
            home,
            ticket: cache.ticket(),
            cache: Arc::clone(cache),
            opening: Mutex::default(),
            columns: OnceLock::new(),
            doomed: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            held_until: AtomicI64::new(0),
            notes: Arc::new(Notes { sidecar, ..Notes::default() }),
        }
    }

    /// What the catalog knows of it beside its [`SegmentInfo`], if it is in the archive.
    #[must_use]
    pub fn record(&self) -> Option<&Archived> {
        match &self.home {
            Home::Live(_) => None,
            Home::Archived(_, record) => Some(record),
        }
    }

    /// The names of the Parquet file and of the sidecar, where they are.
    #[must_use]
    pub fn file_names(&self) -> [String; 2] {
        match &self.home {
            Home::Live(_) => [segment_name(self.info.number), index_name(self.info.number)],
            Home::Archived(_, record) => record.files(),
        }
    }

    pub(crate) fn open_file(&self, name: &str, length: u64) -> io::Result<Arc<dyn ReadAt>> {
        match &self.home {
            Home::Live(disk) => Ok(disk.open(name)?),
            Home::Archived(archive, _) => archive.open(name, length),
        }
    }

    pub(crate) fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::Release);
    }

    pub(crate) fn hold_until(&self, moment: Option<Timestamp>) {
        self.held_until.store(moment.map_or(0, Timestamp::as_micros), Ordering::Release);
    }

    /// Until when it stays live whatever its age.
    #[must_use]
    pub fn held_until(&self) -> Option<Timestamp> {
        Some(self.held_until.load(Ordering::Acquire)).filter(|micros| *micros != 0).map(Timestamp::from_micros)
    }

    /// Whether a merge may take it.
    pub(crate) fn is_mergeable(&self) -> bool {
        self.is_readable() && !self.leaving.load(Ordering::Acquire) && self.held_until().is_none()
    }

    /// How often the archive could not be reached when this segment was read, and what it said last.
    #[must_use]
    pub fn away(&self) -> (u64, String) {
        self.notes.away.lock().clone()
    }

    /// About how many bytes of memory it takes while it is open; 0 when it is not.
    #[must_use]
    pub fn open_bytes(&self) -> u64 {
        self.cache.bytes_of(self.ticket)
    }

    /// What the catalog knows of it.
    #[must_use]
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// Removes the files once nobody looks at them any more.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    /// The open files.
    ///
    /// A damaged sidecar is no error: the segment is then read without it, and the damage noted.
    ///
    /// # Errors
    /// When the segment cannot be read at all: its file is missing, or both copies of its footer are damaged.
    pub fn open(&self) -> Result<Arc<Opened>, StoreError> {
        if let Some(opened) = self.cache.get(self.ticket) {
            return Ok(opened);
        }
        let _one_at_a_time = self.opening.lock();
        if let Some(opened) = self.cache.get(self.ticket) {
            return Ok(opened);
        }
        let opened = self.read_files().inspect_err(|error| {
            let [file, _] = self.file_names();
            self.notes.note(SegmentDamage { file, row_group: None, rows: self.info.rows, reason: error.to_string() });
        })?;
        let opened = Arc::new(opened);
        self.cache.put(self.ticket, &opened, self.record().is_some());
        Ok(opened)
    }

    /// The columns of its keys. They are known without opening it from the first time on.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn columns(&self) -> Result<Arc<SegmentColumns>, StoreError> {
        if let Some(columns) = self.columns.get() {
            return Ok(Arc::clone(columns));
        }
        let opened = self.open()?;
        let keys = key_columns(opened.schema()).map(|(_, path, kind)| (path.to_owned(), kind)).collect();
        let columns = self.cache.shared(SegmentColumns { keys, overflow: opened.values(REST_AT) > 0 });
        Ok(Arc::clone(self.columns.get_or_init(|| columns)))
    }

    /// Whether no event of it is known to be lost.
    pub(crate) fn is_readable(&self) -> bool {
        self.notes.damage.lock().iter().all(|damage| damage.rows == 0)
    }

    /// Lets go of the open files and what was kept of them in memory.
    pub fn close(&self) {
        self.cache.remove(self.ticket);
    }

    /// Damage found so far.
    #[must_use]
    pub fn damage(&self) -> Vec<SegmentDamage> {
        self.notes.damage.lock().clone()
    }

    /// Notes that a row group cannot be read. Once for each.
    pub fn note_damage(&self, row_group: usize, reason: &str) {
        let rows = self.info.rows.saturating_sub((row_group * ROW_GROUP_ROWS) as u64).min(ROW_GROUP_ROWS as u64);
        let [file, _] = self.file_names();
        self.notes.note(SegmentDamage { file, row_group: Some(row_group), rows, reason: reason.to_owned() });
    }

    fn read_files(&self) -> Result<Opened, StoreError> {
        let [name, index_name] = self.file_names();
        let unreadable =
            |error: &dyn std::fmt::Display| StoreError::Unreadable { file: name.clone(), reason: error.to_string() };
        let file = self.open_file(&name, self.info.bytes).map_err(|error| unreadable(&error))?;
        let (index, checksums, footer) = match self.open_index(&index_name) {
            Ok((index, checksums, footer)) => (Some(index), checksums, footer),
            Err(error) if error.to_string().contains(AWAY) => return Err(unreadable(&error)),
            Err(error) => {
                self.notes.sidecar(&error.to_string());
                (None, Vec::new(), self.read_footer(&*file).map_err(|error| unreadable(&error))?)
            }
        };
        let metadata = read_metadata(&footer, self.info.bytes).map_err(|error| unreadable(&error))?;
        let schema = Arc::new(as_doubles(metadata.schema()));
        let file = CheckedFile::new(file, self.info.bytes, checksums);
        let lists = if self.record().is_some() { self.info.index_bytes } else { 0 };
        let kept = metadata.metadata().memory_size() + index.as_ref().map_or(0, Index::bytes) + file.bytes();
        Ok(Opened { file, metadata, schema, index, levels: Mutex::default(), bytes: kept as u64 + lists })
    }

    /// Opens the sidecar. One in the archive is read as a whole: its lists would take a request each.
    fn open_index(&self, name: &str) -> io::Result<(Index, Vec<Checksum>, Bytes)> {
        let length = self.info.index_bytes;
        let mut file = self.open_file(name, length)?;
        if self.record().is_some() {
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, 0)?;
            file = Arc::new(InMemory(bytes.into()));
        }
        Index::open(file, length, &self.notes)
    }

    fn read_footer(&self, file: &dyn ReadAt) -> io::Result<Bytes> {
        let length = self.info.footer_bytes.min(self.info.bytes);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, self.info.bytes - length)?;
        Ok(bytes.into())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.cache.remove(self.ticket);
        if let Home::Live(disk) = &self.home
            && *self.doomed.get_mut()
        {
            remove_files(&**disk, self.info.number);
        }
    }
}

fn read_metadata(footer: &Bytes, file_bytes: u64) -> Result<ArrowReaderMetadata, ParquetError> {
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.try_parse_sized(footer, file_bytes)?;
    ArrowReaderMetadata::try_new(
        Arc::new(reader.finish()?),
        ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional),
    )
}

impl Opened {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns as they are in the file.
    pub(crate) fn file_schema(&self) -> &Schema {
        self.metadata.schema()
    }

    /// The index; `None` when it is damaged, and every block has to be looked at.
    #[must_use]
    pub fn index(&self) -> Option<&Index> {
        self.index.as_ref().filter(|index| !index.is_damaged())
    }

    /// Bytes it takes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The rows of each row group.
    pub fn row_groups(&self) -> impl ExactSizeIterator<Item = usize> {
        self.metadata.metadata().row_groups().iter().map(|group| usize::try_from(group.num_rows()).unwrap_or(0))
    }

    /// How many values the column at `index` has, if the file says so.
    #[must_use]
    pub fn values(&self, index: usize) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        groups
            .iter()
            .map(|group| {
                let nulls = group.column(index).statistics().and_then(|found| found.null_count_opt()).unwrap_or(0);
                u64::try_from(group.num_rows()).unwrap_or(0).saturating_sub(nulls)
            })
            .sum()
    }

    /// The columns of keys with the number of their values.
    pub fn key_values(&self) -> impl Iterator<Item = (&str, Kind, u64)> {
        key_columns(self.schema()).map(|(index, path, kind)| (path, kind, self.values(index)))
    }

    /// Reads the columns `columns` (indexes into the schema) of the selected rows of one row group.
    ///
    /// # Errors
    /// When the row group cannot be decoded. Damaged bytes show up as errors of the reader while it is read.
    pub fn read(
        &self,
        row_group: usize,
        columns: &[usize],
        selection: Option<RowSelection>,
        batch_rows: usize,
    ) -> Result<SegmentReader, ParquetError> {
        let batch_rows = self.batch_rows(row_group, batch_rows);
        let group = Group { file: &self.file, metadata: self.metadata.metadata(), at: row_group };
        let levels = self.levels(columns)?;
        Ok(SegmentReader::new(ParquetRecordBatchReader::try_new_with_row_groups(
            &levels, &group, batch_rows, selection,
        )?))
    }

    /// Like [`Opened::read`], but the texts of those columns among `coded` that stand in a dictionary of the row group,
    /// all of them, come as dictionary arrays: each text once, and for each row which one.
    ///
    /// # Errors
    /// As [`Opened::read`].
    pub fn read_coded(
        &self,
        row_group: usize,
        columns: &[usize],
        coded: &[usize],
        selection: Option<RowSelection>,
    ) -> Result<SegmentReader, ParquetError> {
        let mut fields: Vec<FieldRef> = self.metadata.schema().fields().iter().cloned().collect();
        let is_coded = |index: usize, field: &FieldRef| {
            *field.data_type() == DataType::Utf8 && self.is_in_dictionary(row_group, index)
        };
        let mut any = false;
        for index in coded {
            if !is_coded(*index, &fields[*index]) {
                continue;
            }
            any = true;
            let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            fields[*index] = Arc::new(fields[*index].as_ref().clone().with_data_type(dictionary));
        }
        let mut metadata = self.metadata.clone();
        if any {
            let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
            metadata = ArrowReaderMetadata::try_new(Arc::clone(self.metadata.metadata()), options)?;
        }
        // When all of a column is read, it is read in one go.
        let ahead = if selection.is_none() { self.read_ahead(row_group, columns) } else { Vec::new() };
        let file = Ahead { file: self.file.clone(), ranges: ahead.into() };
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        self.reader(builder, (row_group, columns), selection, CODED_BATCH_ROWS)
    }

    /// The bytes of columns with where they begin. Those that are very long, or damaged somewhere, are read page by page.
    fn read_ahead(&self, row_group: usize, columns: &[usize]) -> Vec<(u64, Bytes)> {
        let group = self.metadata.metadata().row_group(row_group);
        let ranges = columns.iter().map(|index| group.column(*index).byte_range());
        let short = ranges.filter(|(_, length)| *length <= AHEAD_BYTES_MAX);
        short.filter_map(|(start, length)| Some((start, self.file.read_checked(start, length).ok()?))).collect()
    }

    /// Whether every value of the column at `index` stands in the dictionary of its row group.
    fn is_in_dictionary(&self, row_group: usize, index: usize) -> bool {
        let chunk = self.metadata.metadata().row_group(row_group).column(index);
        let encodings = chunk.page_encoding_stats_mask();
        chunk.dictionary_page_offset().is_some() && encodings.is_some_and(|mask| mask.is_only(Encoding::RLE_DICTIONARY))
    }

    fn reader<R: ChunkReader + 'static>(
        &self,
        builder: ParquetRecordBatchReaderBuilder<R>,
        (row_group, columns): (usize, &[usize]),
        selection: Option<RowSelection>,
        batch_rows: usize,
    ) -> Result<SegmentReader, ParquetError> {
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
        let batch_rows = self.batch_rows(row_group, batch_rows);
        let builder = builder.with_row_groups(vec![row_group]).with_projection(mask).with_batch_size(batch_rows);
        Ok(SegmentReader::new(match selection {
            Some(selection) => builder.with_row_selection(selection).build()?,
            None => builder.build()?,
        }))
    }

    /// Very large events: what is read at a time, and what a merge then holds, stays far below the 2 GiB of a column.
    fn batch_rows(&self, row_group: usize, wanted: usize) -> usize {
        let bytes = self.metadata.metadata().row_group(row_group).total_byte_size();
        if bytes > LARGE_GROUP_BYTES { wanted.min(LARGE_GROUP_BATCH_ROWS) } else { wanted }
    }

    /// How some columns are read. Worked out once: a page of rows asks for the same columns again and again.
    fn levels(&self, columns: &[usize]) -> Result<Arc<FieldLevels>, ParquetError> {
        let mut known = self.levels.lock();
        if let Some((_, levels)) = known.iter().find(|(known, _)| **known == *columns) {
            return Ok(Arc::clone(levels));
        }
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), columns.iter().copied());
        let fields = Some(self.metadata.schema().fields());
        let levels = Arc::new(parquet_to_arrow_field_levels(self.metadata.parquet_schema(), mask, fields)?);
        if known.len() == LEVELS_MAX {
            known.clear();
        }
        known.push((columns.into(), Arc::clone(&levels)));
        Ok(levels)
    }

    /// Reads all rows of one row group with all columns.
    ///
    /// # Errors
    /// When a byte of it is damaged.
    pub fn read_all(&self, row_group: usize) -> Result<Vec<RecordBatch>, StoreError> {
        let columns: Vec<usize> = (0..self.schema().fields().len()).collect();
        let reader = self.read(row_group, &columns, None, 8192).map_err(StoreError::from)?;
        reader.map(|batch| batch.map_err(StoreError::from)).collect()
    }

    /// Compares every byte with its checksum; returns the row groups that are damaged and why. Damage of the sidecar is
    /// noted with the segment.
    ///
    /// # Errors
    /// When the file cannot be read, or bytes outside the row groups are damaged, which costs no event.
    pub fn verify(&self) -> io::Result<Vec<(usize, String)>> {
        if let Some(index) = &self.index {
            index.verify();
        }
        let mut damaged = Vec::new();
        for (at, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            for column in group.columns() {
                let (start, length) = column.byte_range();
                if let Err(error) = self.file.read_checked(start, length) {
                    damaged.push((at, error.to_string()));
                    break;
                }
            }
        }
        if damaged.is_empty() {
            self.file.read_checked(0, self.file.length())?;
        }
        Ok(damaged)
    }
}

/// Batches of a segment, one after the other.
pub struct SegmentReader {
    batches: ParquetRecordBatchReader,
    schema: SchemaRef,
}

impl std::fmt::Debug for SegmentReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SegmentReader").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl SegmentReader {
    fn new(batches: ParquetRecordBatchReader) -> Self {
        Self { schema: Arc::new(as_doubles(&batches.schema())), batches }
    }
}

impl Iterator for SegmentReader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.batches.next()?.and_then(|batch| from_file(batch, &self.schema)))
    }
}
