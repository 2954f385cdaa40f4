//! Lists of places by token, coded to the bit. The layout is in docs/format.md.

use std::io;

use hashbrown::HashSet;

use crate::index::BlockSet;

/// About how many tokens share an entry of the directory.
const BUCKET_TOKENS: usize = 128;

/// One token in so many that are looked for and are not there is taken for another one, or fewer.
const TAKEN_FOR_ANOTHER_BITS: u32 = 8;

/// Which tokens a table keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bits of a token that choose its bucket.
    bucket_bits: u32,
    /// Bits of a token that are kept.
    token_bits: u32,
    /// How many places there are.
    places: u32,
}

impl Shape {
    /// For pairs of a token (upper half) and a place (lower half), in ascending order.
    fn of(pairs: &[u64], places: u32) -> Self {
        let tokens = pairs.chunk_by(|left, right| left >> 32 == right >> 32).count().max(1);
        let bucket_bits = (tokens / BUCKET_TOKENS).max(1).ilog2();
        let token_bits = tokens.ilog2() + 1 + TAKEN_FOR_ANOTHER_BITS;
        Self { bucket_bits, token_bits: token_bits.min(32), places }
    }

    fn kept(self, token: u32) -> u32 {
        token >> (32 - self.token_bits)
    }

    fn bucket(self, token: u32) -> usize {
        if self.bucket_bits == 0 { 0 } else { (token >> (32 - self.bucket_bits)) as usize }
    }

    /// Bits of a token that its bucket does not tell.
    fn rest_bits(self) -> u32 {
        self.token_bits - self.bucket_bits
    }

    fn rest(self, token: u32) -> u32 {
        let bits = self.rest_bits();
        if bits >= 32 { self.kept(token) } else { self.kept(token) & ((1 << bits) - 1) }
    }

    /// Bits of a place that stands alone.
    fn place_bits(self) -> u32 {
        u32::BITS - self.places.saturating_sub(1).leading_zeros()
    }
}

/// The Rice parameter for numbers of this mean.
fn rice_of(span: u64, count: u64) -> u32 {
    (span / count.max(1)).max(1).ilog2()
}

/// Pairs of tokens that a table cannot tell apart, in order.
fn groups(shape: Shape, pairs: &[u64]) -> impl Iterator<Item = &[u64]> {
    pairs.chunk_by(move |left, right| shape.kept(token_of(*left)) == shape.kept(token_of(*right)))
}

fn token_of(pair: u64) -> u32 {
    (pair >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half of a pair")]
fn place_of(pair: u64) -> u32 {
    pair as u32
}

/// A table as it is written: the directory and the buckets.
pub(crate) struct Encoded {
    shape: Shape,
    pub(crate) directory: Vec<u8>,
    pub(crate) buckets: Vec<u8>,
}

impl Encoded {
    /// Encodes pairs of a token (upper half) and a place (lower half), in ascending order.
    pub(crate) fn new(pairs: &[u64], places: u32) -> Self {
        let shape = Shape::of(pairs, places);
        let mut starts = vec![0_u32; (1 << shape.bucket_bits) + 1];
        let mut out = BitWriter::default();
        let mut next = 0;
        let mut list = Vec::new();
        for bucket in pairs.chunk_by(|left, right| shape.bucket(token_of(*left)) == shape.bucket(token_of(*right))) {
            let number = bucket.first().map_or(0, |pair| shape.bucket(token_of(*pair)));
            starts[next..=number].fill(out.length());
            next = number + 1;
            encode_bucket(shape, bucket, &mut out, &mut list);
            out.end_byte();
        }
        starts[next..].fill(out.length());
        let mut directory = Vec::with_capacity(12 + starts.len() * 4);
        for part in [shape.bucket_bits, shape.token_bits, shape.places].iter().chain(&starts) {
            directory.extend(part.to_le_bytes());
        }
        Self { shape, directory, buckets: out.bytes }
    }

    /// The tokens, as far as the table keeps them, that stand in more than so many places.
    pub(crate) fn frequent(&self, pairs: &[u64], places: usize) -> HashSet<u32> {
        groups(self.shape, pairs)
            .filter(|group| {
                let mut found: Vec<u32> = group.iter().map(|pair| place_of(*pair)).collect();
                found.sort_unstable();
                found.dedup();
                found.len() > places
            })
            .map(|group| self.shape.kept(token_of(group[0])))
            .collect()
    }

    /// Whether a token is among some that [`Encoded::frequent`] found.
    pub(crate) fn is_among(&self, token: u32, kept: &HashSet<u32>) -> bool {
        kept.contains(&self.shape.kept(token))
    }
}

fn encode_bucket(shape: Shape, pairs: &[u64], out: &mut BitWriter, list: &mut Vec<u32>) {
    let count = groups(shape, pairs).count() as u64;
    out.gamma(count);
    let rice = rice_of(1 << shape.rest_bits(), count);
    let mut next = 0;
    for group in groups(shape, pairs) {
        let rest = u64::from(shape.rest(token_of(group[0])));
        out.rice(rest - next, rice);
        next = rest + 1;
    }
    for group in groups(shape, pairs) {
        list.clear();
        list.extend(group.iter().map(|pair| place_of(*pair)));
        list.sort_unstable();
        list.dedup();
        encode_list(shape, list, out);
    }
}

/// How the places of a list of more than one are coded.
#[derive(Clone, Copy)]
struct Coding {
    /// The places where the token is not are listed: of a word that is nearly everywhere they are fewer.
    absent: bool,
    listed: u64,
    rice: u32,
}

impl Coding {
    fn of(count: u64, places: u32) -> Self {
        let places = u64::from(places);
        let absent = count * 2 > places;
        let listed = if absent { places.saturating_sub(count) } else { count };
        Self { absent, listed, rice: rice_of(places, listed) }
    }
}

fn encode_list(shape: Shape, list: &[u32], out: &mut BitWriter) {
    if let [one] = list {
        out.bits(1, 1);
        out.bits(u64::from(*one), shape.place_bits());
        return;
    }
    out.bits(0, 1);
    out.gamma(list.len() as u64 - 1);
    let coding = Coding::of(list.len() as u64, shape.places);
    let mut next = 0;
    let mut put = |place: u32| {
        out.rice(u64::from(place - next), coding.rice);
        next = place + 1;
    };
    if coding.absent {
        let mut before = 0;
        for place in list.iter().copied().chain([shape.places]) {
            (before..place).for_each(&mut put);
            before = place + 1;
        }
    } else {
        list.iter().copied().for_each(put);
    }
}

/// A table to look in: what is kept in memory of it.
#[derive(Debug)]
pub(crate) struct Table {
    shape: Shape,
    starts: Vec<u32>,
}

impl Table {
    /// Reads a directory.
    pub(crate) fn read(directory: &[u8]) -> Option<Self> {
        let (words, []) = directory.as_chunks::<4>() else { return None };
        let [bucket_bits, token_bits, places, starts @ ..] = words else { return None };
        let [bucket_bits, token_bits, places] = [bucket_bits, token_bits, places].map(|word| u32::from_le_bytes(*word));
        let starts: Vec<u32> = starts.iter().map(|start| u32::from_le_bytes(*start)).collect();
        let fits = bucket_bits <= token_bits && (1..=32).contains(&token_bits) && bucket_bits < 32;
        (fits && starts.len() == (1 << bucket_bits) + 1 && starts.is_sorted())
            .then_some(Self { shape: Shape { bucket_bits, token_bits, places }, starts })
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> usize {
        self.shape.places as usize
    }

    /// Bytes of all buckets.
    pub(crate) fn bucket_bytes(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0).into()
    }

    /// Bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.starts.len() * size_of::<u32>()
    }

    /// The places of a token. `fetch` reads so many bytes from a place in the buckets.
    pub(crate) fn find(
        &self,
        token: u32,
        fetch: impl FnOnce(u64, u64) -> io::Result<bytes::Bytes>,
    ) -> io::Result<BlockSet> {
        let bucket = self.shape.bucket(token);
        let (start, end) = (self.starts[bucket], self.starts[bucket + 1]);
        if start == end {
            return Ok(BlockSet::none(self.places()));
        }
        let bytes = fetch(start.into(), (end - start).into())?;
        find_in(self.shape, token, &bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a list of the word table ends too early"))
    }
}

/// The places of a token, as its bucket says; `None` when the bucket makes no sense.
fn find_in(shape: Shape, token: u32, bytes: &[u8]) -> Option<BlockSet> {
    let mut reader = BitReader { bytes, at: 0 };
    let wanted = u64::from(shape.rest(token));
    let count = reader.gamma()?;
    let rice = rice_of(1 << shape.rest_bits(), count);
    let mut found = None;
    let mut next = 0;
    for at in 0..count {
        let rest = next + reader.rice(rice)?;
        if rest == wanted {
            found = Some(at);
        } else if rest > wanted && found.is_none() {
            break;
        }
        next = rest + 1;
    }
    let mut set = BlockSet::none(shape.places as usize);
    let Some(found) = found else { return Some(set) };
    for _ in 0..found {
        read_list(shape, &mut reader, |_| {})?;
    }
    if read_list(shape, &mut reader, |place| set.insert(place))? {
        set.invert();
    }
    Some(set)
}

/// Reads a list; true when it is one of the places where the token is not.
fn read_list(shape: Shape, reader: &mut BitReader<'_>, mut see: impl FnMut(usize)) -> Option<bool> {
    if reader.bits(1)? == 1 {
        see(usize::try_from(reader.bits(shape.place_bits())?).ok()?);
        return Some(false);
    }
    let coding = Coding::of(reader.gamma()? + 1, shape.places);
    let mut next = 0;
    for _ in 0..coding.listed {
        let place = next + reader.rice(coding.rice)?;
        see(usize::try_from(place).ok()?);
        next = place + 1;
    }
    Some(coding.absent)
}

/// Writes numbers of any number of bits, the lowest bit first.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    held: u32,
}

impl BitWriter {
    /// Up to 32 bits.
    fn bits(&mut self, value: u64, count: u32) {
        self.pending |= value << self.held;
        self.held += count;
        while self.held >= 8 {
            self.bytes.push(self.pending.to_le_bytes()[0]);
            self.pending >>= 8;
            self.held -= 8;
        }
    }

    /// So many zeros and a one.
    fn unary(&mut self, mut count: u64) {
        while count >= 32 {
            self.bits(0, 32);
            count -= 32;
        }
        self.bits(1 << count, u32::try_from(count).unwrap_or(0) + 1);
    }

    fn rice(&mut self, value: u64, parameter: u32) {
        self.unary(value >> parameter);
        self.bits(value & ((1 << parameter) - 1), parameter);
    }

    /// A number from 1 on, small ones in few bits.
    fn gamma(&mut self, value: u64) {
        let length = value.max(1).ilog2();
        self.unary(length.into());
        self.bits(value & ((1 << length) - 1), length);
    }

    fn end_byte(&mut self) {
        if self.held > 0 {
            self.bits(0, 8 - self.held);
        }
    }

    fn length(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
}

impl BitReader<'_> {
    /// At least 57 bits from here; zeros beyond the end.
    fn peek(&self) -> u64 {
        let from = self.at / 8;
        let whole = self.bytes.get(from..).and_then(|rest| rest.first_chunk()).map(|chunk| u64::from_le_bytes(*chunk));
        let loaded = whole.unwrap_or_else(|| {
            let mut padded = [0; 8];
            let rest = self.bytes.get(from..).unwrap_or_default();
            padded[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(padded)
        });
        loaded >> (self.at % 8)
    }

    fn bits(&mut self, count: u32) -> Option<u64> {
        let value = self.peek() & ((1 << count) - 1);
        self.at += count as usize;
        (self.at <= self.bytes.len() * 8).then_some(value)
    }

    fn unary(&mut self) -> Option<u64> {
        let mut count = 0;
        loop {
            let zeros = self.peek().trailing_zeros().min(56);
            count += u64::from(zeros);
            self.at += zeros as usize;
            if zeros < 56 {
                self.at += 1;
                return (self.at <= self.bytes.len() * 8).then_some(count);
            }
            if self.at >= self.bytes.len() * 8 {
                return None;
            }
        }
    }

    fn rice(&mut self, parameter: u32) -> Option<u64> {
        Some(self.unary()? << parameter | self.bits(parameter)?)
    }

    fn gamma(&mut self) -> Option<u64> {
        let length = u32::try_from(self.unary()?).ok().filter(|length| *length < 32)?;
        Some(1 << length | self.bits(length)?)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn every_posting_is_found(
            pairs in proptest::collection::btree_set((0_u32..500, 0_u32..100), 0..2000),
            everywhere in proptest::collection::btree_set(0_u32..100, 0..100),
        ) {
            let spread = |token: u32| token.wrapping_mul(2_654_435_761);
            let all: std::collections::BTreeSet<(u32, u32)> =
                pairs.into_iter().chain((0..100).filter(|place| !everywhere.contains(place)).map(|place| (500, place))).collect();
            let mut encoded: Vec<u64> = all.iter().map(|(token, place)| u64::from(spread(*token)) << 32 | u64::from(*place)).collect();
            encoded.sort_unstable();
            let encoded = Encoded::new(&encoded, 100);
            let buckets = Bytes::from(encoded.buckets);
            let table = Table::read(&encoded.directory).unwrap();
            prop_assert_eq!(table.bucket_bytes(), buckets.len() as u64);
            let (mut more, mut exact) = (0, 0);
            for token in 0..=500 {
                let expected: Vec<usize> = all.iter().filter(|(one, _)| *one == token).map(|(_, place)| *place as usize).collect();
                let fetch = |from: u64, length: u64| Ok(buckets.slice(usize::try_from(from).unwrap()..usize::try_from(from + length).unwrap()));
                let found: Vec<usize> = table.find(spread(token), fetch).unwrap().iter().collect();
                prop_assert!(expected.iter().all(|place| found.contains(place)), "{:?} {:?}", expected, found);
                if found == expected { exact += 1 } else { more += 1 }
            }
            prop_assert!(exact > 20 * more, "{} of {}", more, exact + more);
        }

        #[test]
        fn any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), token: u32) {
            let shape = Shape { bucket_bits: 2, token_bits: 20, places: 300 };
            find_in(shape, token, &bytes);
        }
    }
}
