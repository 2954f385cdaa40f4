//! A file with checksums, each of which is compared when bytes under it are read for the first time.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::file::reader::{ChunkReader, Length};

use crate::disk::ReadAt;

/// Most bytes of a file that share one checksum.
pub(crate) const CHECKSUM_BYTES: usize = 16 << 10;

/// The checksum of the bytes from the end of the one before it up to its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum {
    pub(crate) end: u64,
    pub(crate) sum: u32,
}

/// The bytes of a file, each checked against its checksum the first time it is read.
#[derive(Clone, Debug)]
pub(crate) struct CheckedFile {
    file: Arc<dyn ReadAt>,
    length: u64,
    checksums: Arc<[Checksum]>,
    checked: Arc<[AtomicU64]>,
}

impl CheckedFile {
    pub(crate) fn new(file: Arc<dyn ReadAt>, length: u64, checksums: Vec<Checksum>) -> Self {
        let checked = (0..checksums.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { file, length, checksums: checksums.into(), checked }
    }

    /// Its length.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.checksums.len() * size_of::<Checksum>() + self.checked.len() * size_of::<u64>()
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
    pub(crate) fn read_checked(&self, start: u64, length: u64) -> io::Result<Bytes> {
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

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for CheckedFile {
    type T = SequentialRead;

    fn get_read(&self, start: u64) -> parquet::errors::Result<SequentialRead> {
        Ok(SequentialRead { file: self.clone(), at: start, buffer: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        Ok(self.read_checked(start, length as u64)?)
    }
}

/// The same file with some ranges of it already in memory.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) file: CheckedFile,
    pub(crate) ranges: Arc<[(u64, Bytes)]>,
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
    file: CheckedFile,
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

/// A file that was read as a whole.
#[derive(Debug)]
pub(crate) struct InMemory(pub(crate) Bytes);

impl ReadAt for InMemory {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let to = from.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.0.get(from..to).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
