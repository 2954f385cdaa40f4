//! The pages of a row group. A page is decoded by a decompressor that the thread keeps, and a dictionary only when a
//! page is asked for that refers to it: what one row costs is then what its own pages cost.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, SerializedPageReader};
use zstd::bulk::Decompressor;

use crate::checked::CheckedFile;

thread_local! {
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A page is never larger than this, decoded.
const PAGE_BYTES_MAX: usize = i32::MAX as usize;

/// One row group of a file.
pub(crate) struct Group<'a> {
    pub(crate) file: &'a CheckedFile,
    pub(crate) metadata: &'a Arc<ParquetMetaData>,
    pub(crate) at: usize,
}

impl RowGroups for Group<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata.row_group(self.at).num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.metadata.row_group(self.at).column(column);
        let locations = || Some(self.metadata.offset_index()?.get(self.at)?.get(column)?.page_locations());
        let is_ours = matches!(chunk.compression(), Compression::ZSTD(_) | Compression::UNCOMPRESSED);
        let reader: Box<dyn PageReader> = match locations() {
            Some(locations) if is_ours && !locations.is_empty() => Box::new(Pages {
                file: self.file.clone(),
                metadata: Arc::clone(self.metadata),
                group: self.at,
                column,
                dictionary_is_due: locations.first().is_some_and(|first| offset(first) > chunk.byte_range().0),
                read: None,
                next: 0,
            }),
            found => {
                let locations = found.cloned().filter(|locations| !locations.is_empty());
                Box::new(SerializedPageReader::new(Arc::new(self.file.clone()), chunk, self.num_rows(), locations)?)
            }
        };
        Ok(Box::new(OneChunk(Some(reader))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.at)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

fn offset(location: &PageLocation) -> u64 {
    u64::try_from(location.offset).unwrap_or(0)
}

struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}

/// The pages of a column of a row group.
struct Pages {
    file: CheckedFile,
    metadata: Arc<ParquetMetaData>,
    group: usize,
    column: usize,
    dictionary_is_due: bool,
    /// A page that waits until its dictionary is handed over.
    read: Option<Page>,
    next: usize,
}

impl Pages {
    fn locations(&self) -> &[PageLocation] {
        let found = self.metadata.offset_index().and_then(|index| index.get(self.group)?.get(self.column));
        found.map_or(&[], |column| column.page_locations())
    }

    fn rows(&self) -> i64 {
        self.metadata.row_group(self.group).num_rows()
    }

    fn decode(&self, start: u64, length: u64) -> Result<Page> {
        let length = usize::try_from(length)?;
        let bytes = self.file.get_bytes(start, length)?;
        let compressed = self.metadata.row_group(self.group).column(self.column).compression();
        decode(&bytes, compressed != Compression::UNCOMPRESSED)
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        if let Some(page) = self.read.take() {
            return Ok(Some(page));
        }
        let Some(location) = self.locations().get(self.next) else { return Ok(None) };
        let (start, length) = (offset(location), u64::try_from(location.compressed_page_size)?);
        let page = self.decode(start, length)?;
        self.next += 1;
        let refers = matches!(page.encoding(), Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
        if refers && std::mem::take(&mut self.dictionary_is_due) {
            let (from, _) = self.metadata.row_group(self.group).column(self.column).byte_range();
            let first = self.locations().first().map_or(from, offset);
            let dictionary = self.decode(from, first.saturating_sub(from))?;
            self.read = Some(page);
            return Ok(Some(dictionary));
        }
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        let locations = self.locations();
        let Some(location) = locations.get(self.next) else { return Ok(None) };
        let end = locations.get(self.next + 1).map_or_else(|| self.rows(), |after| after.first_row_index);
        let rows = usize::try_from(end - location.first_row_index)?;
        Ok(Some(PageMetadata { num_rows: Some(rows), num_levels: None, is_dict: false }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.next += 1;
        Ok(())
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        Ok(true)
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

fn malformed() -> ParquetError {
    ParquetError::General("the head of a page makes no sense".to_owned())
}

/// A page from its bytes, the head included.
fn decode(bytes: &Bytes, is_compressed: bool) -> Result<Page> {
    let mut reader = Compact { bytes, at: 0 };
    let head = Head::read(&mut reader).ok_or_else(malformed)?;
    let body = bytes.slice(reader.at..);
    let length = usize::try_from(head.uncompressed)?;
    let levels = head.v2.map_or(0, |v2| v2.definition_bytes + v2.repetition_bytes);
    let levels = usize::try_from(levels)?;
    if length > PAGE_BYTES_MAX || levels > length || levels > body.len() {
        return Err(malformed());
    }
    let is_compressed = is_compressed && head.v2.is_none_or(|v2| v2.is_compressed);
    let buf = if is_compressed { decompress(&body, levels, length)? } else { body };
    let encoding = encoding_of(head.encoding).ok_or_else(malformed)?;
    Ok(match (head.kind, head.v2) {
        (Kind::Dictionary, _) => Page::DictionaryPage { buf, num_values: head.values, encoding, is_sorted: false },
        (Kind::Data, Some(v2)) => Page::DataPageV2 {
            buf,
            num_values: head.values,
            encoding,
            num_nulls: v2.nulls,
            num_rows: v2.rows,
            def_levels_byte_len: v2.definition_bytes,
            rep_levels_byte_len: v2.repetition_bytes,
            is_compressed: v2.is_compressed,
            statistics: None,
        },
        (Kind::Data, None) => Page::DataPage {
            buf,
            num_values: head.values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        },
    })
}

/// Decompresses all behind the levels.
fn decompress(body: &Bytes, levels: usize, length: usize) -> Result<Bytes> {
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&body[..levels]);
    if length > levels {
        DECOMPRESSOR.with_borrow_mut(|kept| {
            let decompressor = match kept {
                Some(decompressor) => decompressor,
                None => kept.insert(Decompressor::new()?),
            };
            let mut cursor = std::io::Cursor::new(&mut out);
            cursor.set_position(levels as u64);
            decompressor.decompress_to_buffer(&body[levels..], &mut cursor)
        })?;
    }
    if out.len() == length { Ok(out.into()) } else { Err(malformed()) }
}

fn encoding_of(number: u32) -> Option<Encoding> {
    Some(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        _ => return None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Dictionary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct V2 {
    nulls: u32,
    rows: u32,
    definition_bytes: u32,
    repetition_bytes: u32,
    is_compressed: bool,
}

/// What is used of the head of a page.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    kind: Kind,
    uncompressed: u32,
    values: u32,
    encoding: u32,
    v2: Option<V2>,
}

impl Head {
    fn read(reader: &mut Compact<'_>) -> Option<Self> {
        let mut head = Self { kind: Kind::Data, uncompressed: 0, values: 0, encoding: u32::MAX, v2: None };
        reader.each_field(&mut |reader, field, kind| {
            match field {
                1 => head.kind = if reader.number()? == 2 { Kind::Dictionary } else { Kind::Data },
                2 => head.uncompressed = reader.number()?,
                5 | 7 => reader.each_field(&mut |reader, field, kind| match field {
                    1 => reader.number().map(|values| head.values = values),
                    2 => reader.number().map(|encoding| head.encoding = encoding),
                    _ => reader.skip(kind, 0),
                })?,
                8 => {
                    let mut v2 =
                        V2 { nulls: 0, rows: 0, definition_bytes: 0, repetition_bytes: 0, is_compressed: true };
                    reader.each_field(&mut |reader, field, kind| {
                        match field {
                            1 => head.values = reader.number()?,
                            2 => v2.nulls = reader.number()?,
                            3 => v2.rows = reader.number()?,
                            4 => head.encoding = reader.number()?,
                            5 => v2.definition_bytes = reader.number()?,
                            6 => v2.repetition_bytes = reader.number()?,
                            7 => v2.is_compressed = kind == Compact::TRUE,
                            _ => reader.skip(kind, 0)?,
                        }
                        Some(())
                    })?;
                    head.v2 = Some(v2);
                }
                _ => reader.skip(kind, 0)?,
            }
            Some(())
        })?;
        Some(head)
    }
}

/// Reads Thrift's compact protocol, in which the heads of pages are written.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Sees a field: its number and its type.
type SeeField<'s> = dyn FnMut(&mut Compact<'_>, i64, u8) -> Option<()> + 's;

impl Compact<'_> {
    const TRUE: u8 = 1;
    const DEPTH_MAX: usize = 8;

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        event::varint::read(self.bytes, &mut self.at)
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A number that is never negative.
    fn number(&mut self) -> Option<u32> {
        u32::try_from(self.zigzag()?).ok()
    }

    fn each_field(&mut self, see: &mut SeeField<'_>) -> Option<()> {
        let mut field = 0;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Some(());
            }
            field = if byte >> 4 == 0 { self.zigzag()? } else { field + i64::from(byte >> 4) };
            see(self, field, byte & 15)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > Self::DEPTH_MAX {
            return None;
        }
        match kind {
            1 | 2 => {}
            3 => self.at += 1,
            4..=6 => drop(self.varint()?.to_le_bytes()),
            7 => self.at += 8,
            8 => self.at = usize::try_from(self.varint()?).ok()?.checked_add(self.at)?,
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                for _ in 0..count {
                    self.skip(if head & 15 <= 2 { 3 } else { head & 15 }, depth + 1)?;
                    self.bytes.get(self.at)?;
                }
            }
            12 => self.each_field(&mut |reader, _, kind| reader.skip(kind, depth + 1))?,
            _ => return None,
        }
        (self.at <= self.bytes.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes.into(), true);
        }
    }

    #[test]
    fn the_head_of_a_page_is_read() {
        // As the Parquet writer has it: type 0, 1000 and 500 bytes, then {3 values, RLE_DICTIONARY, levels RLE, statistics}.
        let bytes = [
            0x15, 0, 0x15, 0xd0, 0x0f, 0x15, 0xe8, 0x07, 0x2c, 0x15, 6, 0x15, 16, 0x15, 6, 0x15, 6, 0x1c, 0x36, 2,
            0x28, 1, 7, 0, 0, 0,
        ];
        let mut reader = Compact { bytes: &bytes, at: 0 };
        let head = Head::read(&mut reader).unwrap();
        assert_eq!(head, Head { kind: Kind::Data, uncompressed: 1000, values: 3, encoding: 8, v2: None });
        assert_eq!(reader.at, bytes.len());
    }
}
