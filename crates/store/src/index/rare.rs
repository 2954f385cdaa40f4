//! The rows of rare streams and levels: a few of each block, whose words are in the index row by row. Errors are what
//! is asked for most, and the words of errors are in every block; which of the few errors has them, a block can't tell.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use event::text::{fold, json_scalars, words};
use hashbrown::{HashMap, HashSet};

use crate::columns::{Kind, REST_AT, key_columns};
use crate::index::{BLOCK_ROWS, BlockSet, Token};

/// The keys whose rare values are meant.
pub const RARE_KEYS: [&str; 2] = ["stream", "level"];

/// Rare rows of a full block at the most.
const RARE_ROWS_MAX: usize = 48;

/// Values of a key in a block; of a key with more, none counts as rare.
const VALUES_MAX: usize = 64;

/// Words of streams and levels of a segment that are known to be rare in some blocks, and the longest.
const MARKS_MAX: usize = 256;
const MARK_BYTES_MAX: usize = 255;

/// A word that stands in fewer blocks than one in so many has no list of rare rows.
pub(crate) const FREQUENT_BLOCKS: usize = 32;

type RowBits = [u64; BLOCK_ROWS / 64];

/// Collects the rare rows while a segment is written.
#[derive(Debug, Default)]
pub(crate) struct RareBuilder {
    /// Words (upper half) and rare rows (lower half).
    words: Vec<u64>,
    /// The same for words of streams and levels.
    scopes: Vec<u64>,
    /// Rare rows of each block.
    counts: Vec<u8>,
    /// For words of streams and levels, in lower case: the blocks in which all rows with them are listed.
    marks: BTreeMap<(u8, String), Vec<usize>>,
    rows: u32,
    tokens: HashSet<Token>,
}

/// What there is to list of the rare rows of a segment.
#[derive(Debug)]
pub(crate) struct RareRows {
    /// How many.
    pub(crate) rows: u32,
    /// Rare rows of each block.
    pub(crate) counts: Vec<u8>,
    /// The section of the marks.
    pub(crate) marks: Vec<u8>,
    /// Tokens (upper half) and rare rows (lower half), in order.
    pub(crate) pairs: Vec<u64>,
}

/// A part of a block with the places of its columns.
struct Part<'a> {
    batch: &'a RecordBatch,
    /// The texts of the keys that make a row rare.
    scopes: Vec<(&'static str, &'a StringArray)>,
    /// All others whose words are in the index.
    texts: Vec<(usize, Kind)>,
    /// Row of the block with which it begins.
    start: usize,
}

impl<'a> Part<'a> {
    fn new(batch: &'a RecordBatch, start: usize) -> Self {
        let mut part = Self { batch, scopes: Vec::new(), texts: Vec::new(), start };
        for (index, path, kind) in key_columns(batch.schema_ref()) {
            let column = batch.column(index);
            match RARE_KEYS.into_iter().find(|key| *key == path && kind == Kind::Str) {
                Some(key) => part.scopes.push((key, column.as_string::<i32>())),
                None if column.null_count() < column.len() => part.texts.push((index, kind)),
                None => {}
            }
        }
        part
    }

    fn each_word(&self, row: usize, see: &mut dyn FnMut(Token)) {
        for (index, kind) in &self.texts {
            let column = self.batch.column(*index);
            if column.is_null(row) {
                continue;
            }
            match kind {
                Kind::Str => words(column.as_string::<i32>().value(row)).map(Token::word).for_each(&mut *see),
                Kind::Int => {
                    let number = column.as_primitive::<Int64Type>().value(row).to_string();
                    words(&number).map(Token::word).for_each(&mut *see);
                }
                Kind::Uuid | Kind::Float | Kind::Bool => {}
            }
        }
        let rest = self.batch.column(REST_AT).as_string::<i32>();
        if rest.is_valid(row) {
            for (_, json) in event::rest_leaves(rest.value(row)) {
                json_scalars(&json, &mut |text| words(text).map(Token::word).for_each(&mut *see));
            }
        }
    }
}

/// The rows of a block that have one value of a key.
struct Holders<'a> {
    key: &'static str,
    value: &'a str,
    rows: RowBits,
    count: usize,
    is_rare: bool,
}

impl RareBuilder {
    /// Adds a block, in the parts in which it came.
    pub(crate) fn append(&mut self, batches: &[RecordBatch]) {
        let mut rows = 0;
        let mut parts = Vec::with_capacity(batches.len());
        for batch in batches {
            parts.push(Part::new(batch, rows));
            rows += batch.num_rows();
        }
        let mut holders = holders_of(&parts);
        let rare = choose(&mut holders, rows * RARE_ROWS_MAX / BLOCK_ROWS);
        let words_of = |one: &Holders<'_>| -> Vec<(u8, String)> {
            let number = RARE_KEYS.iter().take_while(|key| **key != one.key).count();
            words(one.value).map(|word| (u8::try_from(number).unwrap_or(u8::MAX), fold(word).into_owned())).collect()
        };
        let (rare_ones, others): (Vec<_>, Vec<_>) = holders.iter().partition(|one| one.is_rare);
        let elsewhere: HashSet<(u8, String)> = others.into_iter().flat_map(words_of).collect();
        for mark in rare_ones.into_iter().flat_map(words_of).filter(|mark| !elsewhere.contains(mark)) {
            self.mark(mark);
        }
        let before = self.rows;
        for part in &parts {
            for row in (0..part.batch.num_rows()).filter(|row| is_in(&rare, part.start + row)) {
                self.append_row(part, row);
            }
        }
        self.counts.push(u8::try_from(self.rows - before).unwrap_or(u8::MAX));
    }

    fn mark(&mut self, mark: (u8, String)) {
        let block = self.counts.len();
        if let Some(blocks) = self.marks.get_mut(&mark) {
            if blocks.last() != Some(&block) {
                blocks.push(block);
            }
        } else if self.marks.len() < MARKS_MAX && mark.1.len() <= MARK_BYTES_MAX {
            self.marks.insert(mark, vec![block]);
        }
    }

    fn append_row(&mut self, part: &Part<'_>, row: usize) {
        let place = u64::from(self.rows);
        self.rows += 1;
        part.each_word(row, &mut |token| {
            self.tokens.insert(token);
        });
        self.words.extend(self.tokens.drain().map(|token| token.pair(place)));
        for (key, column) in part.scopes.iter().filter(|(_, column)| column.is_valid(row)) {
            self.tokens.extend(words(column.value(row)).map(|word| Token::scope(key, word)));
        }
        self.scopes.extend(self.tokens.drain().map(|token| token.pair(place)));
    }

    /// What has to be listed: of the words those that `keep` names.
    pub(crate) fn finish(mut self, keep: impl Fn(Token) -> bool) -> RareRows {
        self.words.retain(|pair| keep(Token::of_pair(*pair)));
        self.words.append(&mut self.scopes);
        self.words.sort_unstable();
        let marks = encode_marks(&self.marks, self.counts.len());
        RareRows { rows: self.rows, counts: self.counts, marks, pairs: self.words }
    }
}

fn is_in(rows: &RowBits, row: usize) -> bool {
    rows[row / 64] >> (row % 64) & 1 == 1
}

/// The values of the keys in a block, the rarest first. Of a key with too many none is there.
fn holders_of<'a>(parts: &[Part<'a>]) -> Vec<Holders<'a>> {
    let mut all: Vec<Holders<'a>> = RARE_KEYS.into_iter().flat_map(|key| holders_of_key(key, parts)).collect();
    all.sort_unstable_by_key(|one| (one.count, one.key, one.value));
    all
}

fn holders_of_key<'a>(key: &'static str, parts: &[Part<'a>]) -> Vec<Holders<'a>> {
    let mut found: HashMap<&str, Holders<'a>> = HashMap::new();
    for part in parts {
        for (_, column) in part.scopes.iter().filter(|(one, _)| *one == key) {
            for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
                let (value, row) = (column.value(row), part.start + row);
                let new = || Holders { key, value, rows: [0; BLOCK_ROWS / 64], count: 0, is_rare: false };
                let holders = found.entry(value).or_insert_with(new);
                holders.rows[row / 64] |= 1 << (row % 64);
                holders.count += 1;
            }
            if found.len() > VALUES_MAX {
                return Vec::new();
            }
        }
    }
    found.into_values().collect()
}

/// Takes the rarest values as long as their rows are no more than `most`; returns those rows.
fn choose(holders: &mut [Holders<'_>], most: usize) -> RowBits {
    let mut rare: RowBits = [0; BLOCK_ROWS / 64];
    for one in holders {
        let mut with = rare;
        with.iter_mut().zip(&one.rows).for_each(|(word, more)| *word |= more);
        if with.iter().map(|word| word.count_ones() as usize).sum::<usize>() <= most {
            rare = with;
            one.is_rare = true;
        }
    }
    rare
}

fn encode_marks(marks: &BTreeMap<(u8, String), Vec<usize>>, blocks: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for ((key, word), found) in marks {
        out.extend([*key, u8::try_from(word.len()).unwrap_or(u8::MAX)]);
        out.extend_from_slice(word.as_bytes());
        let start = out.len();
        out.resize(start + blocks.div_ceil(8), 0);
        found.iter().for_each(|block| out[start + block / 8] |= 1 << (block % 8));
    }
    out
}

/// For words of streams and levels, in lower case: the blocks in which all rows with them are listed.
pub(crate) type Marks = HashMap<(u8, Box<str>), BlockSet>;

pub(crate) fn read_marks(mut bytes: &[u8], blocks: usize) -> Option<Marks> {
    let mut marks = Marks::new();
    while let [key, length, rest @ ..] = bytes {
        let (word, rest) = rest.split_at_checked((*length).into())?;
        let (bitmap, rest) = rest.split_at_checked(blocks.div_ceil(8))?;
        let mut set = BlockSet::none(blocks);
        let found = (0..blocks).filter(|block| bitmap[block / 8] >> (block % 8) & 1 == 1);
        found.for_each(|block| set.insert(block));
        marks.insert((*key, std::str::from_utf8(word).ok()?.into()), set);
        bytes = rest;
    }
    bytes.is_empty().then_some(marks)
}
