//! The sidecar of a segment: for every word and id, the blocks it occurs in; the times of each block; checksums of
//! the segment's bytes; a copy of its footer. The layout is in docs/format.md.
//!
//! The index only ever rules blocks out. A word is kept as 32 bits of its hash, so a block may be named that does
//! not hold it, and whoever asks looks at the rows; a block that holds it is always named.

use std::io;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use event::parse_uuid;
use event::shared::ID_LIKE;
use event::text::{fold, json_scalars, words};
use hashbrown::{HashSet, HashTable};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::columns::{Kind, REST_AT, TIMESTAMP_AT, key_columns};
use crate::segment::Checksum;

/// Rows of a block, which is what the index points at and what a page of the segment holds.
pub const BLOCK_ROWS: usize = 1024;

const MAGIC: &[u8; 8] = b"EVLINDX1";
const VERSION: u32 = 1;

/// A checksum of the segment: where its bytes end (8), and the sum (4).
const CHECKSUM_ENTRY_BYTES: usize = 12;

/// What the index keeps of a word, a whole UUID, or a value under an id-like key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u32);

impl Token {
    /// A word, whatever key it stands under.
    #[must_use]
    pub fn word(word: &str) -> Self {
        Self::of(xxh3_64(fold(word).as_bytes()))
    }

    /// A UUID that is the whole value of some key.
    #[must_use]
    pub fn uuid(bytes: &[u8; 16]) -> Self {
        Self::of(xxh3_64_with_seed(bytes, 16))
    }

    /// A text or number that is the whole value of an id-like key.
    #[must_use]
    pub fn value(key: &str, value: &str) -> Self {
        Self::of(xxh3_64_with_seed(value.as_bytes(), xxh3_64(key.as_bytes())))
    }

    fn of(hash: u64) -> Self {
        Self((hash >> 32) as u32)
    }
}

/// Whether whole values of this key are in the index.
#[must_use]
pub fn is_id_like(key: &str) -> bool {
    ID_LIKE.contains(&key)
}

/// A set of blocks of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSet {
    words: Vec<u64>,
    blocks: usize,
}

impl BlockSet {
    /// None of `blocks` blocks.
    #[must_use]
    pub fn none(blocks: usize) -> Self {
        Self { words: vec![0; blocks.div_ceil(64)], blocks }
    }

    /// All of `blocks` blocks.
    #[must_use]
    pub fn all(blocks: usize) -> Self {
        let mut set = Self::none(blocks);
        (0..blocks).for_each(|block| set.insert(block));
        set
    }

    /// Adds a block.
    pub fn insert(&mut self, block: usize) {
        if block < self.blocks {
            self.words[block / 64] |= 1 << (block % 64);
        }
    }

    /// Whether a block is in it.
    #[must_use]
    pub fn contains(&self, block: usize) -> bool {
        self.words.get(block / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// Keeps the blocks that are in the other set too.
    pub fn intersect(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(mine, theirs)| *mine &= theirs);
    }

    /// Adds the blocks of the other set.
    pub fn unite(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// The blocks, in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.blocks).filter(|block| self.contains(*block))
    }

    /// How many blocks are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

/// Collects what the index keeps while a segment is written.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    tokens: HashSet<Token>,
    /// Hashes of values already taken apart in this block, so that a repeated value costs one hash.
    seen: HashTable<u64>,
    pairs: Vec<u64>,
    times: Vec<(i64, i64)>,
    block: u32,
    rows_in_block: usize,
    rows: u64,
}

impl IndexBuilder {
    /// Adds rows in the order in which they are written.
    pub(crate) fn append(&mut self, batch: &RecordBatch) {
        let mut start = 0;
        while start < batch.num_rows() {
            let length = (BLOCK_ROWS - self.rows_in_block).min(batch.num_rows() - start);
            self.append_part(&batch.slice(start, length));
            self.rows_in_block += length;
            self.rows += length as u64;
            start += length;
            if self.rows_in_block == BLOCK_ROWS {
                self.close_block();
            }
        }
    }

    fn append_part(&mut self, part: &RecordBatch) {
        let times = part.column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>().values();
        let (first, last) = (times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(0));
        if self.rows_in_block == 0 {
            self.times.push((first, last));
        } else if let Some(range) = self.times.last_mut() {
            *range = (range.0.min(first), range.1.max(last));
        }
        for (index, path, kind) in key_columns(&part.schema()) {
            let column = part.column(index);
            if column.null_count() == column.len() {
                continue;
            }
            let id_like = is_id_like(path);
            match kind {
                Kind::Str => {
                    column.as_string::<i32>().iter().flatten().for_each(|text| self.add_text(path, text, id_like));
                }
                Kind::Uuid if path == "id" => {}
                Kind::Uuid => column.as_fixed_size_binary().iter().flatten().for_each(|bytes| self.add_uuid(bytes)),
                Kind::Int => {
                    for number in column.as_primitive::<Int64Type>().iter().flatten() {
                        self.add_text(path, itoa(number).as_str(), id_like);
                    }
                }
                Kind::Float | Kind::Bool => {}
            }
        }
        let rest = part.column(REST_AT).as_string::<i32>();
        for (path, json) in rest.iter().flatten().flat_map(event::rest_leaves) {
            let id_like = is_id_like(&path);
            json_scalars(&json, &mut |text| {
                self.add_text(&path, text, id_like);
                if let Some(bytes) = parse_uuid(text) {
                    self.tokens.insert(Token::uuid(&bytes));
                }
            });
        }
    }

    fn add_text(&mut self, path: &str, text: &str, id_like: bool) {
        let hash = if id_like {
            xxh3_64_with_seed(text.as_bytes(), xxh3_64(path.as_bytes()))
        } else {
            xxh3_64(text.as_bytes())
        };
        match self.seen.entry(hash, |seen| *seen == hash, |seen| *seen) {
            hashbrown::hash_table::Entry::Occupied(_) => return,
            hashbrown::hash_table::Entry::Vacant(entry) => drop(entry.insert(hash)),
        }
        if id_like {
            self.tokens.insert(Token::of(hash));
        }
        self.add_words(text);
    }

    fn add_words(&mut self, text: &str) {
        self.tokens.extend(words(text).map(Token::word));
    }

    fn add_uuid(&mut self, bytes: &[u8]) {
        if let Ok(bytes) = bytes.try_into() {
            self.tokens.insert(Token::uuid(bytes));
        }
    }

    fn close_block(&mut self) {
        let block = u64::from(self.block);
        self.pairs.extend(self.tokens.drain().map(|token| u64::from(token.0) << 32 | block));
        self.seen.clear();
        self.block += 1;
        self.rows_in_block = 0;
    }

    /// The bytes of the sidecar.
    pub(crate) fn finish(mut self, checksums: &[Checksum], footer: &[u8]) -> Vec<u8> {
        if self.rows_in_block > 0 {
            self.close_block();
        }
        self.pairs.sort_unstable();
        let mut out = Vec::with_capacity(self.pairs.len() * 3 + footer.len() + 1024);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.block.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        let header = crc32c::crc32c(&out);
        out.extend_from_slice(&header.to_le_bytes());
        let times: Vec<u8> =
            self.times.iter().flat_map(|(first, last)| [first.to_le_bytes(), last.to_le_bytes()]).flatten().collect();
        section(&mut out, &times);
        let mut sums = Vec::with_capacity(checksums.len() * CHECKSUM_ENTRY_BYTES);
        for checksum in checksums {
            sums.extend_from_slice(&checksum.end.to_le_bytes());
            sums.extend_from_slice(&checksum.sum.to_le_bytes());
        }
        section(&mut out, &sums);
        section(&mut out, footer);
        let (directory, postings) = encode_postings(&self.pairs, self.block);
        section(&mut out, &directory);
        section(&mut out, &postings);
        out
    }
}

fn itoa(number: i64) -> String {
    number.to_string()
}

fn section(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
}

/// About how many words share an entry of the directory.
const BUCKET_TOKENS: usize = 128;

fn bucket_bits(tokens: usize) -> u32 {
    (tokens / BUCKET_TOKENS).max(1).ilog2()
}

fn bucket_of(token: u32, bits: u32) -> usize {
    if bits == 0 { 0 } else { (token >> (32 - bits)) as usize }
}

const SINGLE: u64 = 0;
const LIST: u64 = 1;
const BITMAP: u64 = 2;

/// The postings: for each token, ascending, the distance from the one before it in its bucket and its blocks.
#[expect(clippy::cast_possible_truncation, reason = "taking pairs of 32 bits apart")]
fn encode_postings(pairs: &[u64], blocks: u32) -> (Vec<u8>, Vec<u8>) {
    let groups = || pairs.chunk_by(|left, right| left >> 32 == right >> 32);
    let bits = bucket_bits(groups().count());
    let mut starts = vec![0_u32; (1 << bits) + 1];
    let mut out = Vec::with_capacity(pairs.len() * 3);
    let (mut bucket, mut before) = (0, 0_u32);
    for group in groups() {
        let token = (group[0] >> 32) as u32;
        while bucket < bucket_of(token, bits) {
            bucket += 1;
            starts[bucket] = out.len() as u32;
            before = 0;
        }
        write_varint(&mut out, u64::from(token - before));
        before = token;
        let first = group[0] as u32;
        if group.len() == 1 {
            write_varint(&mut out, u64::from(first) << 2 | SINGLE);
        } else if group.len() > blocks as usize / 8 {
            write_varint(&mut out, BITMAP);
            let mut bitmap = vec![0_u8; (blocks as usize).div_ceil(8)];
            group.iter().map(|pair| *pair as u32 as usize).for_each(|block| bitmap[block / 8] |= 1 << (block % 8));
            out.extend_from_slice(&bitmap);
        } else {
            write_varint(&mut out, u64::from(first) << 2 | LIST);
            write_varint(&mut out, group.len() as u64 - 1);
            group.windows(2).for_each(|pair| write_varint(&mut out, pair[1] - pair[0]));
        }
    }
    let end = out.len() as u32;
    starts[bucket + 1..].fill(end);
    let mut directory = bits.to_le_bytes().to_vec();
    directory.extend(starts.iter().flat_map(|start| start.to_le_bytes()));
    (directory, out)
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is meant")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128 after the loop")]
    out.push(value as u8);
}

fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The sidecar in memory.
#[derive(Debug)]
pub struct Index {
    blocks: usize,
    rows: u64,
    times: Vec<(i64, i64)>,
    pub(crate) checksums: Vec<Checksum>,
    pub(crate) footer: Bytes,
    bits: u32,
    directory: Bytes,
    postings: Bytes,
}

impl Index {
    /// Reads a sidecar.
    ///
    /// # Errors
    /// When a checksum does not match or the parts do not fit together.
    pub(crate) fn read(bytes: &Bytes) -> io::Result<Self> {
        let broken =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what} of the sidecar is damaged"));
        let header = bytes.get(..28).ok_or_else(|| broken("the head"))?;
        let word = |at: usize| header[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        if &header[..8] != MAGIC || crc32c::crc32c(&header[..24]) != word(24) {
            return Err(broken("the head"));
        }
        if word(8) != VERSION {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the sidecar has version {}, this everlog reads {VERSION}", word(8)),
            ));
        }
        let mut at = 28;
        let mut next = |what: &str| read_section(bytes, &mut at).ok_or_else(|| broken(what));
        let (times, checksums, footer, directory, postings) = (
            next("the time table")?,
            next("the checksum table")?,
            next("the footer copy")?,
            next("the directory")?,
            next("the word table")?,
        );
        let bits = directory.get(..4).and_then(|bits| bits.try_into().ok()).map_or(0, u32::from_le_bytes);
        if bits > 31 || directory.len() != 4 + 4 * ((1_usize << bits) + 1) {
            return Err(broken("the directory"));
        }
        let time = |bytes: &[u8]| bytes.try_into().map_or(0, i64::from_le_bytes);
        Ok(Self {
            blocks: word(12) as usize,
            rows: u64::from(word(16)) | u64::from(word(20)) << 32,
            times: times.chunks_exact(16).map(|pair| (time(&pair[..8]), time(&pair[8..]))).collect(),
            checksums: checksums.chunks_exact(CHECKSUM_ENTRY_BYTES).filter_map(read_checksum).collect(),
            footer,
            bits,
            directory: directory.slice(4..),
            postings,
        })
    }

    /// How many blocks the segment has.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// How many rows the segment has.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The earliest and the latest time in a block, in microseconds.
    #[must_use]
    pub fn times(&self, block: usize) -> (i64, i64) {
        self.times.get(block).copied().unwrap_or((i64::MIN, i64::MAX))
    }

    /// Bytes it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.directory.len()
            + self.postings.len()
            + self.footer.len()
            + self.checksums.len() * size_of::<Checksum>()
            + self.times.len() * 16
    }

    /// The blocks that may hold a token; every block that does hold it is among them.
    #[must_use]
    pub fn blocks_with(&self, token: Token) -> BlockSet {
        self.find(token.0).unwrap_or_else(|| BlockSet::none(self.blocks))
    }

    fn find(&self, token: u32) -> Option<BlockSet> {
        let bucket = bucket_of(token, self.bits);
        let start = |bucket: usize| -> Option<usize> {
            Some(u32::from_le_bytes(self.directory.get(bucket * 4..bucket * 4 + 4)?.try_into().ok()?) as usize)
        };
        let (mut at, end) = (start(bucket)?, start(bucket + 1)?);
        let bytes = self.postings.get(..end)?;
        let mut current = 0_u64;
        while at < end {
            current += read_varint(bytes, &mut at)?;
            let set = self.read_blocks(bytes, &mut at, current == u64::from(token))?;
            match current.cmp(&u64::from(token)) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Some(set),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    fn read_blocks(&self, bytes: &[u8], at: &mut usize, wanted: bool) -> Option<BlockSet> {
        let mut set = BlockSet::none(if wanted { self.blocks } else { 0 });
        let head = read_varint(bytes, at)?;
        let mut block = usize::try_from(head >> 2).ok()?;
        match head & 3 {
            SINGLE => set.insert(block),
            BITMAP => {
                let bitmap = bytes.get(*at..*at + self.blocks.div_ceil(8))?;
                *at += bitmap.len();
                if wanted {
                    (0..self.blocks)
                        .filter(|block| bitmap[block / 8] >> (block % 8) & 1 == 1)
                        .for_each(|block| set.insert(block));
                }
            }
            _ => {
                set.insert(block);
                for _ in 0..read_varint(bytes, at)? {
                    block += usize::try_from(read_varint(bytes, at)?).ok()?;
                    set.insert(block);
                }
            }
        }
        Some(set)
    }
}

fn read_checksum(entry: &[u8]) -> Option<Checksum> {
    let (end, sum) = entry.split_first_chunk()?;
    Some(Checksum { end: u64::from_le_bytes(*end), sum: u32::from_le_bytes(sum.try_into().ok()?) })
}

fn read_section(bytes: &Bytes, at: &mut usize) -> Option<Bytes> {
    let length = u32::from_le_bytes(bytes.get(*at..*at + 4)?.try_into().ok()?) as usize;
    let start = *at + 4;
    let end = start.checked_add(length)?;
    let sum = u32::from_le_bytes(bytes.get(end..end + 4)?.try_into().ok()?);
    *at = end + 4;
    (crc32c::crc32c(&bytes[start..end]) == sum).then(|| bytes.slice(start..end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_posting_is_found(pairs in proptest::collection::btree_set((0_u32..500, 0_u32..100), 0..2000)) {
            let spread = |token: u32| token.wrapping_mul(2_654_435_761);
            let mut encoded: Vec<u64> = pairs.iter().map(|(token, block)| u64::from(spread(*token)) << 32 | u64::from(*block)).collect();
            encoded.sort_unstable();
            let (directory, postings) = encode_postings(&encoded, 100);
            let bits = u32::from_le_bytes(directory[..4].try_into().unwrap());
            let index = Index { blocks: 100, rows: 0, times: vec![], checksums: vec![], footer: Bytes::new(), bits,
                directory: Bytes::from(directory).slice(4..), postings: postings.into() };
            for token in 0..500 {
                let expected: Vec<usize> = pairs.iter().filter(|(one, _)| *one == token).map(|(_, block)| *block as usize).collect();
                let found: Vec<usize> = index.blocks_with(Token(spread(token))).iter().collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
