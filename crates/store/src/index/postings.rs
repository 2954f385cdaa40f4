//! Postings: for each token the units (blocks of a segment, or rows of a few) it occurs in.

use bytes::Bytes;

use super::{BlockSet, Token};

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

/// The postings: for each token, ascending, the distance from the one before it in its bucket and its units.
#[expect(clippy::cast_possible_truncation, reason = "taking pairs of 32 bits apart")]
pub(super) fn encode_postings(pairs: &[u64], units: u32) -> (Vec<u8>, Vec<u8>) {
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
        } else if group.len() > units as usize / 8 {
            write_varint(&mut out, BITMAP);
            let mut bitmap = vec![0_u8; (units as usize).div_ceil(8)];
            group.iter().map(|pair| *pair as u32 as usize).for_each(|unit| bitmap[unit / 8] |= 1 << (unit % 8));
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

pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is meant")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128 after the loop")]
    out.push(value as u8);
}

pub(super) fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
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

/// Postings in memory.
#[derive(Debug)]
pub(super) struct Postings {
    units: usize,
    bits: u32,
    directory: Bytes,
    lists: Bytes,
}

impl Postings {
    /// From the two parts that [`encode_postings`] made; `None` when they do not fit together.
    pub(super) fn read(directory: Bytes, lists: Bytes, units: usize) -> Option<Self> {
        let bits = u32::from_le_bytes(directory.get(..4)?.try_into().ok()?);
        let fits = bits <= 31 && directory.len() == 4 + 4 * ((1_usize << bits) + 1);
        fits.then(|| Self { units, bits, directory: directory.slice(4..), lists })
    }

    pub(super) fn bytes(&self) -> usize {
        self.directory.len() + self.lists.len()
    }

    /// The units that may hold a token; every one that does hold it is among them.
    pub(super) fn find(&self, token: Token) -> BlockSet {
        self.lookup(token.0).unwrap_or_else(|| BlockSet::none(self.units))
    }

    fn lookup(&self, token: u32) -> Option<BlockSet> {
        let bucket = bucket_of(token, self.bits);
        let start = |bucket: usize| -> Option<usize> {
            Some(u32::from_le_bytes(self.directory.get(bucket * 4..bucket * 4 + 4)?.try_into().ok()?) as usize)
        };
        let (mut at, end) = (start(bucket)?, start(bucket + 1)?);
        let bytes = self.lists.get(..end)?;
        let mut current = 0_u64;
        while at < end {
            current += read_varint(bytes, &mut at)?;
            let set = self.read_units(bytes, &mut at, current == u64::from(token))?;
            match current.cmp(&u64::from(token)) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Some(set),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    fn read_units(&self, bytes: &[u8], at: &mut usize, wanted: bool) -> Option<BlockSet> {
        let mut set = BlockSet::none(if wanted { self.units } else { 0 });
        let head = read_varint(bytes, at)?;
        let mut unit = usize::try_from(head >> 2).ok()?;
        match head & 3 {
            SINGLE => set.insert(unit),
            BITMAP => {
                let bitmap = bytes.get(*at..*at + self.units.div_ceil(8))?;
                *at += bitmap.len();
                if wanted {
                    (0..self.units)
                        .filter(|unit| bitmap[unit / 8] >> (unit % 8) & 1 == 1)
                        .for_each(|unit| set.insert(unit));
                }
            }
            _ => {
                set.insert(unit);
                for _ in 0..read_varint(bytes, at)? {
                    unit += usize::try_from(read_varint(bytes, at)?).ok()?;
                    set.insert(unit);
                }
            }
        }
        Some(set)
    }
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
            let index = Postings::read(directory.into(), postings.into(), 100).unwrap();
            for token in 0..500 {
                let expected: Vec<usize> = pairs.iter().filter(|(one, _)| *one == token).map(|(_, block)| *block as usize).collect();
                let found: Vec<usize> = index.find(Token(spread(token))).iter().collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
