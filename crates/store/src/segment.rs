//! A segment: an immutable Parquet file of one log, sorted by time, with its index beside it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arrow::array::{RecordBatch, RecordBatchReader as _};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use event::Timestamp;
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use crate::archive::{AWAY, Archive, Archived};
use crate::columns::{Kind, key_columns};
use crate::decimal::{as_doubles, from_file};
use crate::disk::{Disk, ReadAt};
use crate::index::Index;
use crate::{LogId, StoreError};

/// Most bytes of a segment that share one checksum.
pub(crate) const CHECKSUM_BYTES: usize = 16 << 10;

/// The checksum of the bytes from the end of the one before it up to its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum {
    pub(crate) end: u64,
    pub(crate) sum: u32,
}

/// Uncompressed bytes of a row group beyond which few rows are read at a time. A usual one has about 40 MiB.
const LARGE_GROUP_BYTES: i64 = 192 << 20;

/// Rows read at a time from such a row group.
const LARGE_GROUP_BATCH_ROWS: usize = 64;

/// Rows read at a time where only some columns are.
const CODED_BATCH_ROWS: usize = 8192;

/// Most bytes of a column of one row group that are read in one go.
const AHEAD_BYTES_MAX: u64 = 16 << 20;

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
    opened: Mutex<Option<Arc<Opened>>>,
    doomed: AtomicBool,
    /// On its way to the archive: merges leave it alone.
    leaving: AtomicBool,
    /// Until when it stays live whatever its age, in microseconds; 0 when it does not.
    held_until: AtomicI64,
    damage: Mutex<Vec<SegmentDamage>>,
    /// What the archive said when it could not be reached, and how often that was.
    away: Mutex<(u64, String)>,
}

/// Where the files of a segment are.
#[derive(Debug)]
enum Home {
    Live(Arc<dyn Disk>),
    Archived(Arc<dyn Archive>, Box<Archived>),
}

/// A segment's files, open.
#[derive(Debug)]
pub struct Opened {
    file: SegmentFile,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    index: Option<Index>,
}

impl Segment {
    pub(crate) fn new(info: SegmentInfo, disk: Arc<dyn Disk>) -> Self {
        Self::at(info, Home::Live(disk))
    }

    pub(crate) fn archived(record: Archived, archive: Arc<dyn Archive>) -> Self {
        Self::at(record.info.clone(), Home::Archived(archive, Box::new(record)))
    }

    fn at(info: SegmentInfo, home: Home) -> Self {
        Self {
            info,
            home,
            opened: Mutex::default(),
            doomed: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            held_until: AtomicI64::new(0),
            damage: Mutex::default(),
            away: Mutex::default(),
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
        self.away.lock().clone()
    }

    /// About how many bytes of memory its open index takes.
    #[must_use]
    pub fn open_bytes(&self) -> u64 {
        if self.opened.lock().is_some() { self.info.index_bytes } else { 0 }
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
        let mut slot = self.opened.lock();
        if let Some(opened) = &*slot {
            return Ok(Arc::clone(opened));
        }
        let opened = self.read_files().inspect_err(|error| {
            let [file, _] = self.file_names();
            self.note(SegmentDamage { file, row_group: None, rows: self.info.rows, reason: error.to_string() });
        })?;
        let opened = Arc::new(opened);
        *slot = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Whether no event of it is known to be lost.
    pub(crate) fn is_readable(&self) -> bool {
        self.damage.lock().iter().all(|damage| damage.rows == 0)
    }

    /// Lets go of the open files and what was kept of them in memory.
    pub fn close(&self) {
        *self.opened.lock() = None;
    }

    /// Damage found so far.
    #[must_use]
    pub fn damage(&self) -> Vec<SegmentDamage> {
        self.damage.lock().clone()
    }

    /// Notes that a row group cannot be read. Once for each.
    pub fn note_damage(&self, row_group: usize, reason: &str) {
        let rows = self.info.rows.saturating_sub((row_group * ROW_GROUP_ROWS) as u64).min(ROW_GROUP_ROWS as u64);
        let [file, _] = self.file_names();
        self.note(SegmentDamage { file, row_group: Some(row_group), rows, reason: reason.to_owned() });
    }

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

    fn read_files(&self) -> Result<Opened, StoreError> {
        let [name, index_name] = self.file_names();
        let unreadable =
            |error: &dyn std::fmt::Display| StoreError::Unreadable { file: name.clone(), reason: error.to_string() };
        let file = self.open_file(&name, self.info.bytes).map_err(|error| unreadable(&error))?;
        let index = match self.read_index(&index_name) {
            Ok(index) => Some(index),
            Err(error) if error.to_string().contains(AWAY) => return Err(unreadable(&error)),
            Err(error) => {
                self.note(SegmentDamage { file: index_name, row_group: None, rows: 0, reason: error.to_string() });
                None
            }
        };
        let footer = match &index {
            Some(index) => index.footer.clone(),
            None => self.read_footer(&*file).map_err(|error| unreadable(&error))?,
        };
        let metadata = read_metadata(&footer, self.info.bytes).map_err(|error| unreadable(&error))?;
        let checksums = index.as_ref().map_or_else(Vec::new, |index| index.checksums.clone());
        let schema = Arc::new(as_doubles(metadata.schema()));
        Ok(Opened { file: SegmentFile::new(file, self.info.bytes, checksums), metadata, schema, index })
    }

    fn read_index(&self, name: &str) -> io::Result<Index> {
        let file = self.open_file(name, self.info.index_bytes)?;
        let mut bytes = vec![0; usize::try_from(self.info.index_bytes).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Index::read(&bytes.into())
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
        self.index.as_ref()
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
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        self.reader(builder, (row_group, columns), selection, batch_rows)
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
        // Very large events: what is read at a time, and what a merge then holds, stays far below the 2 GiB of a column.
        let bytes = self.metadata.metadata().row_group(row_group).total_byte_size();
        let batch_rows = if bytes > LARGE_GROUP_BYTES { batch_rows.min(LARGE_GROUP_BATCH_ROWS) } else { batch_rows };
        let builder = builder.with_row_groups(vec![row_group]).with_projection(mask).with_batch_size(batch_rows);
        let batches = match selection {
            Some(selection) => builder.with_row_selection(selection).build()?,
            None => builder.build()?,
        };
        let schema = Arc::new(as_doubles(&batches.schema()));
        Ok(SegmentReader { batches, schema })
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

    /// Compares every byte with its checksum; returns the row groups that are damaged and why.
    ///
    /// # Errors
    /// When the file cannot be read, or bytes outside the row groups are damaged, which costs no event.
    pub fn verify(&self) -> io::Result<Vec<(usize, String)>> {
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
            self.file.read_checked(0, self.file.length)?;
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

impl Iterator for SegmentReader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.batches.next()?.and_then(|batch| from_file(batch, &self.schema)))
    }
}

/// The bytes of a segment, each checked against its checksum the first time it is read.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    file: Arc<dyn ReadAt>,
    length: u64,
    checksums: Arc<[Checksum]>,
    checked: Arc<[AtomicU64]>,
}

impl SegmentFile {
    fn new(file: Arc<dyn ReadAt>, length: u64, checksums: Vec<Checksum>) -> Self {
        let checked = (0..checksums.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { file, length, checksums: checksums.into(), checked }
    }

    fn is_checked(&self, block: usize) -> bool {
        self.checked[block / 64].load(Ordering::Relaxed) >> (block % 64) & 1 == 1
    }

    /// The block that holds a byte.
    fn block_at(&self, offset: u64) -> usize {
        self.checksums.partition_point(|block| block.end <= offset)
    }

    /// Where a block begins.
    fn start_of(&self, block: usize) -> u64 {
        block.checked_sub(1).map_or(0, |before| self.checksums[before].end)
    }

    /// Bytes of the file; whole blocks are read where one of them was never checked.
    fn read_checked(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let end = start.checked_add(length).filter(|end| *end <= self.length).ok_or(io::ErrorKind::UnexpectedEof)?;
        let blocks = self.block_at(start)..self.checksums.partition_point(|block| block.end < end) + 1;
        let blocks = blocks.start..blocks.end.min(self.checksums.len());
        if blocks.clone().all(|block| self.is_checked(block)) {
            return self.read_plain(start, length);
        }
        let from = self.start_of(blocks.start);
        let bytes = self.read_plain(from, self.checksums[blocks.end - 1].end.max(end) - from)?;
        let mut at = 0;
        for block in blocks {
            let block_end = offset_in(&bytes, self.checksums[block].end - from);
            self.check(block, &bytes[at..block_end])?;
            at = block_end;
        }
        let skip = offset_in(&bytes, start - from);
        Ok(bytes.slice(skip..offset_in(&bytes, end - from)))
    }

    fn read_plain(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }

    fn check(&self, block: usize, bytes: &[u8]) -> io::Result<()> {
        if crc32c::crc32c(bytes) != self.checksums[block].sum {
            let message =
                format!("the {} bytes from byte {} do not match their checksum", bytes.len(), self.start_of(block));
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.checked[block / 64].fetch_or(1 << (block % 64), Ordering::Relaxed);
        Ok(())
    }
}

fn offset_in(bytes: &Bytes, offset: u64) -> usize {
    usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()))
}

impl Length for SegmentFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for SegmentFile {
    type T = SequentialRead;

    fn get_read(&self, start: u64) -> parquet::errors::Result<SequentialRead> {
        Ok(SequentialRead { file: self.clone(), at: start, buffer: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        Ok(self.read_checked(start, length as u64)?)
    }
}

/// A segment of which some ranges are in memory, each with where it begins.
#[derive(Clone, Debug)]
struct Ahead {
    file: SegmentFile,
    ranges: Arc<[(u64, Bytes)]>,
}

impl Length for Ahead {
    fn len(&self) -> u64 {
        self.file.length
    }
}

impl ChunkReader for Ahead {
    type T = SequentialRead;

    fn get_read(&self, start: u64) -> parquet::errors::Result<SequentialRead> {
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        for (from, bytes) in self.ranges.iter() {
            let at = start.checked_sub(*from).and_then(|at| usize::try_from(at).ok());
            if let Some(at) = at.filter(|at| at.checked_add(length).is_some_and(|end| end <= bytes.len())) {
                return Ok(bytes.slice(at..at + length));
            }
        }
        self.file.get_bytes(start, length)
    }
}

/// Reads a segment from one place on.
#[derive(Debug)]
pub(crate) struct SequentialRead {
    file: SegmentFile,
    at: u64,
    buffer: Bytes,
}

impl Read for SequentialRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            // Never beyond a block: the next one may be damaged and of no concern to whoever reads here.
            let end = self.file.checksums.get(self.file.block_at(self.at)).map_or(self.file.length, |block| block.end);
            let length = end.saturating_sub(self.at).min(CHECKSUM_BYTES as u64);
            self.buffer = self.file.read_checked(self.at, length)?;
            self.at += length;
        }
        let length = out.len().min(self.buffer.len());
        out[..length].copy_from_slice(&self.buffer.split_to(length));
        Ok(length)
    }
}
