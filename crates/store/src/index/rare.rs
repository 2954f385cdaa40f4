//! The words of rare rows, row by row.
//!
//! People look into errors far more than into the rest, and a block of the segment nearly always has some error and,
//! in another row, the word that is looked for: block by block, `stream:ERROR connection` rules out nothing. So for
//! a stream or level that few rows have, the index also keeps which of these rows hold which words. That is a few
//! hundredths of all rows, and costs about a byte an event.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use event::text::{json_scalars, words};
use event::{logical_name, parse_uuid};
use hashbrown::HashMap;

use super::postings::{Postings, encode_postings, read_varint, write_varint};
use super::{BLOCK_ROWS, BlockSet, Token, is_id_like};
use crate::columns::{Kind, REST_AT, key_columns};

/// The keys whose rare values have their rows in the index.
const KEYS: [&str; 2] = ["stream", "level"];

/// A value is rare when at most one row in so many has it.
const RARE: usize = 16;

/// How many rows of a value are taken apart before its share is looked at.
const ROWS_BEFORE_JUDGED: usize = 2048;

/// Values of one key that are looked at; a segment with more has none that people would ask for together with words.
const VALUES_MAX: usize = 64;

/// The rows of one rare value while a segment is written.
#[derive(Debug, Default)]
struct Growing {
    rows: Vec<u32>,
    /// Token and place among `rows`.
    pairs: Vec<u64>,
    given_up: bool,
}

/// Collects the words of rows whose stream or level may turn out to be rare.
#[derive(Debug, Default)]
pub(super) struct RareBuilder {
    values: HashMap<(&'static str, String), Growing>,
    tokens: Vec<Token>,
}

impl RareBuilder {
    /// Adds rows in the order in which they are written; `first` is the number of the first.
    pub(super) fn append(&mut self, part: &RecordBatch, first: u64) {
        let seen = first as usize + part.num_rows();
        let mut wanted: Vec<Vec<(&'static str, String)>> = vec![Vec::new(); part.num_rows()];
        for (index, path, kind) in key_columns(&part.schema()) {
            let Some(key) = KEYS.into_iter().find(|key| *key == logical_name(path)) else { continue };
            for (row, names) in wanted.iter_mut().enumerate() {
                if let Some(value) = text_at(part, index, kind, row)
                    && self.is_wanted(key, &value)
                {
                    names.push((key, value));
                }
            }
        }
        for (row, names) in wanted.into_iter().enumerate().filter(|(_, names)| !names.is_empty()) {
            self.tokens.clear();
            tokens_of(part, row, &mut self.tokens);
            self.tokens.sort_unstable();
            self.tokens.dedup();
            for name in names {
                let Some(growing) = self.values.get_mut(&name) else { continue };
                let place = growing.rows.len() as u64;
                growing.rows.push(u32::try_from(first).unwrap_or(u32::MAX).saturating_add(row as u32));
                growing.pairs.extend(self.tokens.iter().map(|token| u64::from(token.0) << 32 | place));
            }
        }
        for growing in self.values.values_mut() {
            if growing.rows.len() > ROWS_BEFORE_JUDGED && growing.rows.len() * RARE / 2 > seen {
                *growing = Growing { given_up: true, ..Growing::default() };
            }
        }
    }

    fn is_wanted(&mut self, key: &'static str, value: &str) -> bool {
        let name = (key, value.to_owned());
        if let Some(growing) = self.values.get(&name) {
            return !growing.given_up;
        }
        let room = self.values.len() < VALUES_MAX * KEYS.len();
        // Beyond the bound rows of new values are not kept, so nobody may rely on any row of them.
        self.values.insert(name, Growing { given_up: !room, ..Growing::default() });
        room
    }

    /// The bytes of the section: of each value that is rare its names, its rows, and its postings.
    pub(super) fn finish(self, rows: u64) -> Vec<u8> {
        let mut rare: Vec<(Vec<(&'static str, String)>, Growing)> = Vec::new();
        let mut values: Vec<_> = self.values.into_iter().collect();
        values.sort_by(|(left, _), (right, _)| left.cmp(right));
        for (name, growing) in values {
            let few = growing.rows.len() as u64 * RARE as u64 <= rows;
            if growing.given_up || !few || growing.rows.is_empty() || rows <= BLOCK_ROWS as u64 {
                continue;
            }
            // `stream:ERROR` and `level:error` are mostly the same rows.
            match rare.iter_mut().find(|(_, known)| known.rows == growing.rows) {
                Some((names, _)) => names.push(name),
                None => rare.push((vec![name], growing)),
            }
        }
        let mut out = Vec::new();
        write_varint(&mut out, rare.len() as u64);
        for (names, growing) in rare {
            write_rare(&names, growing, &mut out);
        }
        out
    }
}

fn write_rare(names: &[(&'static str, String)], mut growing: Growing, out: &mut Vec<u8>) {
    write_varint(out, names.len() as u64);
    for text in names.iter().flat_map(|(key, value)| [*key, value]) {
        write_bytes(out, text.as_bytes());
    }
    write_varint(out, growing.rows.len() as u64);
    let mut before = 0;
    for row in &growing.rows {
        write_varint(out, u64::from(row - before));
        before = *row;
    }
    growing.pairs.sort_unstable();
    let (directory, lists) = encode_postings(&growing.pairs, u32::try_from(growing.rows.len()).unwrap_or(u32::MAX));
    write_bytes(out, &directory);
    write_bytes(out, &lists);
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn text_at(part: &RecordBatch, column: usize, kind: Kind, row: usize) -> Option<String> {
    let column = part.column(column);
    match kind {
        _ if column.is_null(row) => None,
        Kind::Str => Some(column.as_string::<i32>().value(row).to_owned()),
        Kind::Int => Some(column.as_primitive::<Int64Type>().value(row).to_string()),
        Kind::Uuid | Kind::Float | Kind::Bool => None,
    }
}

/// Every token that the index keeps of a row: the same as of its block.
fn tokens_of(part: &RecordBatch, row: usize, tokens: &mut Vec<Token>) {
    for (index, path, kind) in key_columns(&part.schema()) {
        let column = part.column(index);
        match kind {
            _ if column.is_null(row) => {}
            Kind::Uuid if path != "id" => {
                tokens.extend(column.as_fixed_size_binary().value(row).try_into().ok().map(Token::uuid));
            }
            Kind::Str => text_tokens(path, column.as_string::<i32>().value(row), tokens),
            Kind::Int => text_tokens(path, &column.as_primitive::<Int64Type>().value(row).to_string(), tokens),
            Kind::Uuid | Kind::Float | Kind::Bool => {}
        }
    }
    let rest = part.column(REST_AT).as_string::<i32>();
    if rest.is_valid(row) {
        for (path, json) in event::rest_leaves(rest.value(row)) {
            json_scalars(&json, &mut |text| {
                text_tokens(&path, text, tokens);
                tokens.extend(parse_uuid(text).map(|bytes| Token::uuid(&bytes)));
            });
        }
    }
}

fn text_tokens(path: &str, text: &str, tokens: &mut Vec<Token>) {
    if is_id_like(path) {
        tokens.push(Token::value(path, text));
    }
    tokens.extend(words(text).map(Token::word));
}

/// The rows of one rare value of `stream` or `level`, and the words in them.
#[derive(Debug)]
pub struct Rare {
    names: Vec<(String, String)>,
    rows: Vec<u32>,
    postings: Postings,
}

impl Rare {
    pub(super) fn is(&self, key: &str, value: &str) -> bool {
        self.names.iter().any(|(one, other)| one == key && other == value)
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.len() * size_of::<u32>() + self.postings.bytes()
    }

    /// How many rows they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Those of the rows, by their place among them, that may hold a token; every one that does is among them.
    #[must_use]
    pub fn rows_with(&self, token: Token) -> BlockSet {
        self.postings.find(token)
    }

    /// The blocks of the segment that these of the rows are in.
    #[must_use]
    pub fn blocks_of(&self, places: &BlockSet, blocks: usize) -> BlockSet {
        let mut found = BlockSet::none(blocks);
        places.iter().filter_map(|place| self.rows.get(place)).for_each(|row| found.insert(*row as usize / BLOCK_ROWS));
        found
    }

    /// Reads the section; none when it is empty, `None` when it is not what was written.
    pub(super) fn read_all(bytes: &Bytes) -> Option<Vec<Self>> {
        if bytes.is_empty() {
            return Some(Vec::new());
        }
        let mut at = 0;
        let count = read_varint(bytes, &mut at)?;
        (0..count).map(|_| Self::read(bytes, &mut at)).collect()
    }

    fn read(bytes: &Bytes, at: &mut usize) -> Option<Self> {
        let text = |at: &mut usize| Some(std::str::from_utf8(&read_bytes(bytes, at)?).ok()?.to_owned());
        let names = (0..read_varint(bytes, at)?).map(|_| Some((text(at)?, text(at)?))).collect::<Option<Vec<_>>>()?;
        let mut before = 0_u32;
        let rows = (0..read_varint(bytes, at)?)
            .map(|_| {
                before = before.checked_add(u32::try_from(read_varint(bytes, at)?).ok()?)?;
                Some(before)
            })
            .collect::<Option<Vec<_>>>()?;
        let (directory, lists) = (read_bytes(bytes, at)?, read_bytes(bytes, at)?);
        let postings = Postings::read(directory, lists, rows.len())?;
        Some(Self { names, rows, postings })
    }
}

fn read_bytes(bytes: &Bytes, at: &mut usize) -> Option<Bytes> {
    let length = usize::try_from(read_varint(bytes, at)?).ok()?;
    let end = at.checked_add(length).filter(|end| *end <= bytes.len())?;
    let found = bytes.slice(*at..end);
    *at = end;
    Some(found)
}
