//! Writing a segment: sorted rows in, two durable files out, named by nobody until the catalog names them.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType, UInt64Type};
use event::Timestamp;
use hashbrown::HashMap;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::checked::{CHECKSUM_BYTES, Checksum};
use crate::columns::{Kind, RECEIVED, SEQUENCE, SEQUENCE_AT, TIMESTAMP, TIMESTAMP_AT, key_columns};
use crate::decimal::{as_doubles, to_file};
use crate::disk::{Disk, DiskFile};
use crate::index::{BLOCK_ROWS, IndexBuilder};
use crate::segment::{ROW_GROUP_ROWS, SegmentInfo, StreamSpan, index_name, segment_name};
use crate::{LogId, StoreError};

/// Dictionaries stay small, so that reading one row does not mean reading a large dictionary.
const DICTIONARY_BYTES: usize = 64 << 10;

/// How much time goes into making a segment small: the level of zstd.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compress {
    /// What a flush writes, which a merge writes again.
    Quickly = 1,
    /// What stays.
    Well = 3,
}

/// Writes a segment from batches of one schema, in the order of time.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    disk: Arc<dyn Disk>,
    info: SegmentInfo,
    schema: SchemaRef,
    writer: ArrowWriter<ChecksumWriter>,
    index: IndexBuilder,
    streams: HashMap<String, StreamSpan>,
}

impl SegmentWriter {
    /// `schema` is that of the file, see [`crate::decimal`].
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        number: u64,
        log: LogId,
        schema: SchemaRef,
        compress: Compress,
    ) -> Result<Self, StoreError> {
        let file = disk.create(&format!("{}.new", segment_name(number)))?;
        let properties = properties(&schema, compress);
        let mut writer = ArrowWriter::try_new(ChecksumWriter::new(file), Arc::clone(&schema), Some(properties))?;
        writer.sync()?;
        writer.inner_mut().end_block()?;
        let info = SegmentInfo {
            number,
            log,
            rows: 0,
            bytes: 0,
            index_bytes: 0,
            footer_bytes: 0,
            first: Timestamp::from_micros(i64::MAX),
            last: Timestamp::from_micros(i64::MIN),
            first_sequence: u64::MAX,
            last_sequence: 0,
            streams: Vec::new(),
        };
        Ok(Self { disk, info, schema, writer, index: IndexBuilder::default(), streams: HashMap::new() })
    }

    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        self.write_rows(&to_file(batch, &self.schema)?)?;
        self.index.append(batch);
        let times = batch.column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>().values();
        for sequence in batch.column(SEQUENCE_AT).as_primitive::<UInt64Type>().values() {
            self.info.first_sequence = self.info.first_sequence.min(*sequence);
            self.info.last_sequence = self.info.last_sequence.max(*sequence);
        }
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            self.info.first = self.info.first.min(Timestamp::from_micros(*first));
            self.info.last = self.info.last.max(Timestamp::from_micros(*last));
        }
        self.info.rows += batch.num_rows() as u64;
        self.count_streams(batch, times);
        Ok(())
    }

    fn write_rows(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let mut start = 0;
        while start < batch.num_rows() {
            let length = (ROW_GROUP_ROWS - self.writer.in_progress_rows()).min(batch.num_rows() - start);
            self.writer.write(&batch.slice(start, length))?;
            start += length;
            if self.writer.in_progress_rows() == ROW_GROUP_ROWS {
                self.end_row_group()?;
            }
        }
        Ok(())
    }

    /// Ends a row group, and with it a checksum: no damaged byte is shared by two row groups, or by one and the footer.
    fn end_row_group(&mut self) -> Result<(), StoreError> {
        self.writer.flush()?;
        self.writer.sync()?;
        Ok(self.writer.inner_mut().end_block()?)
    }

    fn count_streams(&mut self, batch: &RecordBatch, times: &[i64]) {
        let schema = batch.schema();
        let Some((index, ..)) = key_columns(&schema).find(|(_, path, kind)| *path == "stream" && *kind == Kind::Str)
        else {
            return;
        };
        let streams = batch.column(index).as_string::<i32>();
        for (row, micros) in times.iter().enumerate() {
            let stream = if streams.is_null(row) { "" } else { streams.value(row) };
            let moment = Timestamp::from_micros(*micros);
            if let Some(span) = self.streams.get_mut(stream) {
                span.rows += 1;
                span.first = span.first.min(moment);
                span.last = span.last.max(moment);
            } else {
                self.streams.insert(
                    stream.to_owned(),
                    StreamSpan { stream: stream.to_owned(), rows: 1, first: moment, last: moment },
                );
            }
        }
    }

    /// Makes both files durable under their final names. After an error, or a crash, they are orphans that the next
    /// start removes.
    pub(crate) fn finish(mut self) -> Result<SegmentInfo, StoreError> {
        self.end_row_group()?;
        let footer_start = self.writer.inner().offset;
        self.writer.finish()?;
        let output = self.writer.inner_mut();
        output.end_block()?;
        let (file, length, checksums) =
            (Arc::clone(&output.file), output.offset, std::mem::take(&mut output.checksums));
        file.sync()?;
        let mut footer = vec![0; usize::try_from(length - footer_start).map_err(io::Error::other)?];
        file.read_exact_at(&mut footer, footer_start)?;
        let sidecar = self.index.finish(&checksums, &footer);
        let (segment, index) = (segment_name(self.info.number), index_name(self.info.number));
        let index_file = self.disk.create(&format!("{index}.new"))?;
        index_file.write_all_at(&sidecar, 0)?;
        index_file.sync()?;
        self.disk.rename(&format!("{segment}.new"), &segment)?;
        self.disk.rename(&format!("{index}.new"), &index)?;
        self.disk.sync_folder("segments")?;
        self.info.bytes = length;
        self.info.index_bytes = sidecar.len() as u64;
        self.info.footer_bytes = length - footer_start;
        self.info.streams = self.streams.into_values().collect();
        self.info.streams.sort_by(|left, right| left.stream.cmp(&right.stream));
        Ok(self.info)
    }
}

fn properties(schema: &SchemaRef, compress: Compress) -> WriterProperties {
    let level = ZstdLevel::try_new(compress as i32).unwrap_or_default();
    let path = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(BLOCK_ROWS)
        .set_write_batch_size(BLOCK_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(concat!("everlog ", env!("CARGO_PKG_VERSION")).to_owned());
    for name in [SEQUENCE, TIMESTAMP, RECEIVED] {
        builder = plain(builder, path(name)).set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    for (index, key, kind) in key_columns(&as_doubles(schema)) {
        let field = schema.field(index);
        // For pages whose values are too many for a dictionary.
        let encoding = match (kind, field.data_type()) {
            (Kind::Str, _) => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
            (Kind::Int, _) => Some(Encoding::DELTA_BINARY_PACKED),
            (Kind::Float, DataType::Decimal64(..)) => Some(Encoding::BYTE_STREAM_SPLIT),
            _ => None,
        };
        if let Some(encoding) = encoding {
            builder = builder.set_column_encoding(path(field.name()), encoding);
        }
        // Nearly every value is another one: a dictionary would only be made and thrown away.
        if kind == Kind::Uuid || key == "message" {
            builder = plain(builder, path(field.name()));
        }
    }
    builder.build()
}

fn plain(builder: WriterPropertiesBuilder, column: ColumnPath) -> WriterPropertiesBuilder {
    builder.set_column_dictionary_enabled(column, false)
}

/// Passes bytes on to a file and keeps their checksums.
#[derive(Debug)]
struct ChecksumWriter {
    file: Arc<dyn DiskFile>,
    offset: u64,
    pending: Vec<u8>,
    checksums: Vec<Checksum>,
}

const WRITE_BYTES: usize = 1 << 20;

impl ChecksumWriter {
    fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, offset: 0, pending: Vec::with_capacity(WRITE_BYTES + CHECKSUM_BYTES), checksums: Vec::new() }
    }

    fn write_out(&mut self, length: usize) -> io::Result<()> {
        self.file.write_all_at(&self.pending[..length], self.offset)?;
        for block in self.pending[..length].chunks(CHECKSUM_BYTES) {
            self.offset += block.len() as u64;
            self.checksums.push(Checksum { end: self.offset, sum: crc32c::crc32c(block) });
        }
        self.pending.drain(..length);
        Ok(())
    }

    /// Writes out all there is; what follows has a checksum of its own.
    fn end_block(&mut self) -> io::Result<()> {
        self.write_out(self.pending.len())
    }
}

impl Write for ChecksumWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= WRITE_BYTES {
            self.write_out(self.pending.len() / CHECKSUM_BYTES * CHECKSUM_BYTES)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
