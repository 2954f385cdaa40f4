//! The sidecar of a segment: for every word and id, the blocks it occurs in; the times of each block; checksums of
//! the segment's bytes; a copy of its footer. The layout is in docs/format.md.
//!
//! The index only ever rules blocks out. A word is kept as 32 bits of its hash, so a block may be named that does
//! not hold it, and whoever asks looks at the rows; a block that holds it is always named.

mod blocks;
mod postings;
mod rare;
mod version1;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use event::parse_uuid;
use event::shared::ID_LIKE;
use event::text::{fold, json_scalars, words};
use hashbrown::{HashSet, HashTable};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub use blocks::BlockSet;
use postings::{Encoded, Table};
pub use rare::RARE_KEYS;
use rare::{FREQUENT_BLOCKS, Marks, RareBuilder, read_marks};
use version1::Version1;

use crate::checked::{CHECKSUM_BYTES, CheckedFile, Checksum};
use crate::columns::{Kind, REST_AT, TIMESTAMP_AT, key_columns};
use crate::disk::ReadAt;
use crate::segment::Notes;

/// Rows of a block, which is what the index points at and what a page of the segment holds.
pub const BLOCK_ROWS: usize = 1024;

const MAGIC: &[u8; 8] = b"EVLINDX1";
const VERSION: u32 = 2;

/// The head of a sidecar of version 1, and of those after it, which say how long what is before the lists is.
const HEAD_BYTES_1: usize = 28;
const HEAD_BYTES: usize = 32;

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

    /// A word of the stream or level, of rows that are listed one by one.
    #[must_use]
    pub fn scope(key: &str, word: &str) -> Self {
        Self::of(xxh3_64_with_seed(fold(word).as_bytes(), !xxh3_64(key.as_bytes())))
    }

    fn of(hash: u64) -> Self {
        Self((hash >> 32) as u32)
    }

    /// With a place, in one number that sorts by both.
    fn pair(self, place: u64) -> u64 {
        u64::from(self.0) << 32 | place
    }

    fn of_pair(pair: u64) -> Self {
        Self::of(pair)
    }
}

/// Whether whole values of this key are in the index.
#[must_use]
pub fn is_id_like(key: &str) -> bool {
    ID_LIKE.contains(&key)
}

/// Collects what the index keeps while a segment is written.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    tokens: HashSet<Token>,
    /// Hashes of values already taken apart in this block, so that a repeated value costs one hash.
    seen: HashTable<u64>,
    pairs: Vec<u64>,
    times: Vec<(i64, i64)>,
    /// The least and the greatest upper half of a UUID that is the id of an event, of each block.
    ids: Vec<(u64, u64)>,
    rare: RareBuilder,
    /// The block so far.
    parts: Vec<RecordBatch>,
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
            let part = batch.slice(start, length);
            self.append_part(&part);
            self.parts.push(part);
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
            self.ids.push((u64::MAX, 0));
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
                Kind::Uuid if path == "id" => {
                    column.as_fixed_size_binary().iter().flatten().for_each(|bytes| self.add_id(bytes));
                }
                Kind::Uuid => column.as_fixed_size_binary().iter().flatten().for_each(|bytes| self.add_uuid(bytes)),
                Kind::Int => {
                    for number in column.as_primitive::<Int64Type>().iter().flatten() {
                        self.add_text(path, &number.to_string(), id_like);
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

    fn add_id(&mut self, bytes: &[u8]) {
        if let (Some(upper), Some(range)) =
            (bytes.first_chunk().map(|upper| u64::from_be_bytes(*upper)), self.ids.last_mut())
        {
            *range = (range.0.min(upper), range.1.max(upper));
        }
    }

    fn close_block(&mut self) {
        let block = u64::from(self.block);
        self.rare.append(&self.parts);
        self.parts.clear();
        self.pairs.extend(self.tokens.drain().map(|token| token.pair(block)));
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
        let words = Encoded::new(&self.pairs, self.block);
        let frequent = words.frequent(&self.pairs, self.block as usize / FREQUENT_BLOCKS);
        let rare = self.rare.finish(|token| words.is_among(token.0, &frequent));
        let by_row = Encoded::new(&rare.pairs, rare.rows);
        let mut sums = Vec::with_capacity(checksums.len() * CHECKSUM_ENTRY_BYTES);
        for checksum in checksums {
            sums.extend_from_slice(&checksum.end.to_le_bytes());
            sums.extend_from_slice(&checksum.sum.to_le_bytes());
        }
        let lists = [words.buckets, by_row.buckets].concat();
        let pieces: Vec<u8> =
            lists.chunks(CHECKSUM_BYTES).flat_map(|piece| crc32c::crc32c(piece).to_le_bytes()).collect();
        let mut body = Vec::with_capacity(footer.len() + sums.len() + lists.len() + 64 * self.times.len());
        section(
            &mut body,
            &self
                .times
                .iter()
                .flat_map(|(first, last)| pair_bytes(first.to_le_bytes(), last.to_le_bytes()))
                .collect::<Vec<u8>>(),
        );
        section(&mut body, &sums);
        section(&mut body, footer);
        section(
            &mut body,
            &self
                .ids
                .iter()
                .flat_map(|(least, most)| pair_bytes(least.to_le_bytes(), most.to_le_bytes()))
                .collect::<Vec<u8>>(),
        );
        section(&mut body, &rare.counts);
        section(&mut body, &rare.marks);
        section(&mut body, &words.directory);
        section(&mut body, &by_row.directory);
        section(&mut body, &pieces);
        let mut out = Vec::with_capacity(HEAD_BYTES + body.len() + lists.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.block.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&u32::try_from(HEAD_BYTES + body.len()).unwrap_or(u32::MAX).to_le_bytes());
        let head = crc32c::crc32c(&out);
        out.extend_from_slice(&head.to_le_bytes());
        out.append(&mut body);
        out.extend_from_slice(&lists);
        out
    }
}

fn pair_bytes(first: [u8; 8], last: [u8; 8]) -> impl Iterator<Item = u8> {
    first.into_iter().chain(last)
}

fn section(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
}

/// What is kept in memory of a sidecar. The lists are read where they are needed.
#[derive(Debug)]
pub struct Index {
    blocks: usize,
    rows: u64,
    times: Vec<(i64, i64)>,
    ids: Vec<(u64, u64)>,
    lists: Lists,
}

#[derive(Debug)]
enum Lists {
    Version1(Version1),
    Version2(Box<Version2>),
}

#[derive(Debug)]
struct Version2 {
    words: Table,
    by_row: Table,
    /// The rare row with which each block begins.
    rare: Vec<u32>,
    marks: Marks,
    file: CheckedFile,
    /// Where the lists of the blocks and of the rare rows begin.
    starts: [u64; 2],
    notes: Arc<Notes>,
    is_damaged: AtomicBool,
}

/// The sections before the lists.
struct Sections<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Sections<'_> {
    fn next(&mut self, what: &str) -> io::Result<Bytes> {
        read_section(self.bytes, &mut self.at).ok_or_else(|| broken(what))
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} of the sidecar is damaged"))
}

impl Index {
    /// Opens a sidecar; returns it with the checksums of the segment and the copy of its footer. Damage that is found later is told to `notes`.
    ///
    /// # Errors
    /// When a checksum does not match or the parts do not fit together.
    pub(crate) fn open(
        file: Arc<dyn ReadAt>,
        length: u64,
        notes: &Arc<Notes>,
    ) -> io::Result<(Self, Vec<Checksum>, Bytes)> {
        let mut head = [0; HEAD_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let word = |at: usize| head[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        let version = word(8);
        let head_bytes = if version == 1 { HEAD_BYTES_1 } else { HEAD_BYTES };
        if &head[..8] != MAGIC || crc32c::crc32c(&head[..head_bytes - 4]) != word(head_bytes - 4) {
            return Err(broken("the head"));
        }
        if !(1..=VERSION).contains(&version) {
            let message = format!("the sidecar has version {version}, this everlog reads 1 to {VERSION}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let kept = if version == 1 { length } else { length.min(word(24).into()) };
        let mut bytes = vec![0; usize::try_from(kept).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        let bytes = Bytes::from(bytes);
        let mut sections = Sections { bytes: &bytes, at: head_bytes };
        let (times, checksums, footer) = (
            sections.next("the time table")?,
            sections.next("the checksum table")?,
            Bytes::copy_from_slice(&sections.next("the footer copy")?),
        );
        let mut index = Self {
            blocks: word(12) as usize,
            rows: u64::from(word(16)) | u64::from(word(20)) << 32,
            times: pairs_of(&times)
                .map(|(first, last)| (i64::from_le_bytes(first), i64::from_le_bytes(last)))
                .collect(),
            ids: Vec::new(),
            lists: Lists::Version1(Version1::default()),
        };
        if version == 1 {
            let (directory, lists) = (sections.next("the directory")?, sections.next("the word table")?);
            let lists = Version1::read(index.blocks, &directory, lists).ok_or_else(|| broken("the directory"))?;
            index.lists = Lists::Version1(lists);
        } else {
            let ids = sections.next("the id table")?;
            index.ids =
                pairs_of(&ids).map(|(least, most)| (u64::from_le_bytes(least), u64::from_le_bytes(most))).collect();
            index.lists =
                Lists::Version2(Box::new(Version2::read(&mut sections, index.blocks, (file, length), notes)?));
        }
        let checksums = checksums.chunks_exact(CHECKSUM_ENTRY_BYTES).filter_map(read_checksum).collect();
        Ok((index, checksums, footer))
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
        let lists = match &self.lists {
            Lists::Version1(lists) => lists.bytes(),
            Lists::Version2(lists) => {
                lists.words.bytes()
                    + lists.by_row.bytes()
                    + lists.rare.len() * 4
                    + lists.marks.len() * (64 + self.blocks / 8)
                    + lists.file.bytes()
            }
        };
        lists + (self.times.len() + self.ids.len()) * 16
    }

    /// Whether damage was found in the lists after it was opened: then it rules nothing out any more.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(&self.lists, Lists::Version2(lists) if lists.is_damaged.load(Ordering::Relaxed))
    }

    /// Reads all lists, so that damage in them is noted.
    pub(crate) fn verify(&self) {
        if let Lists::Version2(lists) = &self.lists
            && let Err(error) = lists.file.read_checked(lists.starts[0], lists.file.length() - lists.starts[0])
        {
            lists.note(&error);
        }
    }

    /// The blocks that may hold a token; every block that does hold it is among them.
    #[must_use]
    pub fn blocks_with(&self, token: Token) -> BlockSet {
        match &self.lists {
            Lists::Version1(lists) => lists.blocks_with(token.0),
            Lists::Version2(lists) => lists.find(&lists.words, lists.starts[0], token),
        }
    }

    /// The blocks that may hold an event with this id.
    #[must_use]
    pub fn blocks_with_id(&self, id: &[u8; 16]) -> BlockSet {
        if self.ids.is_empty() {
            return BlockSet::all(self.blocks);
        }
        let upper = id.first_chunk().map_or(0, |upper| u64::from_be_bytes(*upper));
        let mut found = BlockSet::none(self.blocks);
        let may = self.ids.iter().enumerate().filter(|(_, (least, most))| (*least..=*most).contains(&upper));
        may.for_each(|(block, _)| found.insert(block));
        found
    }

    /// The blocks in which all rows with this word in the value of one of [`RARE_KEYS`] are listed one by one.
    #[must_use]
    pub fn blocks_by_row(&self, key: &str, word: &str) -> Option<&BlockSet> {
        let Lists::Version2(lists) = &self.lists else { return None };
        let number = u8::try_from(RARE_KEYS.iter().position(|one| *one == key)?).ok()?;
        lists.marks.get(&(number, fold(word).into()))
    }

    /// How many rare rows are listed one by one.
    #[must_use]
    pub fn rare_rows(&self) -> usize {
        match &self.lists {
            Lists::Version1(_) => 0,
            Lists::Version2(lists) => lists.by_row.places(),
        }
    }

    /// The rare rows that may hold a token: a word that is in more than [`Index::rare_from`] blocks, or one of
    /// [`Token::scope`].
    #[must_use]
    pub fn rare_rows_with(&self, token: Token) -> BlockSet {
        match &self.lists {
            Lists::Version1(_) => BlockSet::none(0),
            Lists::Version2(lists) => lists.find(&lists.by_row, lists.starts[1], token),
        }
    }

    /// Words in no more blocks than these are not listed for rare rows.
    #[must_use]
    pub fn rare_from(&self) -> usize {
        self.blocks / FREQUENT_BLOCKS
    }

    /// The blocks in which some rare rows are.
    #[must_use]
    pub fn blocks_of_rare_rows(&self, rows: &BlockSet) -> BlockSet {
        let mut found = BlockSet::none(self.blocks);
        if let Lists::Version2(lists) = &self.lists {
            let block_of = |row: usize| lists.rare.partition_point(|first| *first as usize <= row).saturating_sub(1);
            rows.iter().for_each(|row| found.insert(block_of(row)));
        }
        found
    }
}

impl Version2 {
    fn read(
        sections: &mut Sections<'_>,
        blocks: usize,
        (file, length): (Arc<dyn ReadAt>, u64),
        notes: &Arc<Notes>,
    ) -> io::Result<Self> {
        let counts = sections.next("the table of rare rows")?;
        let marks = read_marks(&sections.next("the table of rare words")?, blocks)
            .ok_or_else(|| broken("the table of rare words"))?;
        let mut table = |what: &str| Table::read(&sections.next(what)?).ok_or_else(|| broken(what));
        let (words, by_row) = (table("the directory")?, table("the directory of rare rows")?);
        let pieces = sections.next("the checksums of the lists")?;
        let head = sections.at as u64;
        let starts = [head, head + words.bucket_bytes()];
        let rare_rows: usize = counts.iter().map(|count| usize::from(*count)).sum();
        let end = starts[1] + by_row.bucket_bytes();
        let sums = pieces.chunks_exact(4).filter_map(|sum| Some(u32::from_le_bytes(*sum.first_chunk()?)));
        let mut checksums = vec![Checksum { end: head, sum: 0 }];
        checksums.extend(
            (1_u64..).zip(sums).map(|(at, sum)| Checksum { end: end.min(head + at * CHECKSUM_BYTES as u64), sum }),
        );
        let fits = counts.len() == blocks && words.places() == blocks && by_row.places() == rare_rows;
        if !fits || end != length || checksums.last().is_none_or(|last| last.end != end) {
            return Err(broken("the directory"));
        }
        let firsts = counts.iter().scan(0, |next, count| {
            let first = *next;
            *next += u32::from(*count);
            Some(first)
        });
        let rare = firsts.collect();
        let file = CheckedFile::new(file, length, checksums);
        Ok(Self {
            words,
            by_row,
            rare,
            marks,
            file,
            starts,
            notes: Arc::clone(notes),
            is_damaged: AtomicBool::new(false),
        })
    }

    fn find(&self, table: &Table, start: u64, token: Token) -> BlockSet {
        if self.is_damaged.load(Ordering::Relaxed) {
            return BlockSet::all(table.places());
        }
        let fetch = |at: u64, length: u64| self.file.read_checked(start + at, length);
        table.find(token.0, fetch).unwrap_or_else(|error| {
            self.note(&error);
            BlockSet::all(table.places())
        })
    }

    fn note(&self, error: &io::Error) {
        self.is_damaged.store(true, Ordering::Relaxed);
        self.notes.sidecar(&error.to_string());
    }
}

fn pairs_of(bytes: &[u8]) -> impl Iterator<Item = ([u8; 8], [u8; 8])> {
    let (pairs, _) = bytes.as_chunks::<8>();
    let (pairs, _) = pairs.as_chunks::<2>();
    pairs.iter().map(|[first, last]| (*first, *last))
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
