//! The word table of sidecars of version 1: in memory as a whole.

use bytes::Bytes;
use event::varint;

use crate::index::BlockSet;

const SINGLE: u64 = 0;
const BITMAP: u64 = 2;

#[derive(Debug, Default)]
pub(crate) struct Version1 {
    blocks: usize,
    bits: u32,
    directory: Bytes,
    postings: Bytes,
}

impl Version1 {
    pub(crate) fn read(blocks: usize, directory: &Bytes, postings: Bytes) -> Option<Self> {
        let bits = u32::from_le_bytes(*directory.first_chunk()?);
        let fits = bits < 32 && directory.len() == 4 + 4 * ((1_usize << bits) + 1);
        fits.then(|| Self { blocks, bits, directory: directory.slice(4..), postings })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.directory.len() + self.postings.len()
    }

    pub(crate) fn blocks_with(&self, token: u32) -> BlockSet {
        self.find(token).unwrap_or_else(|| BlockSet::none(self.blocks))
    }

    fn find(&self, token: u32) -> Option<BlockSet> {
        let bucket = if self.bits == 0 { 0 } else { (token >> (32 - self.bits)) as usize };
        let start = |bucket: usize| -> Option<usize> {
            Some(u32::from_le_bytes(*self.directory.get(bucket * 4..)?.first_chunk()?) as usize)
        };
        let (mut at, end) = (start(bucket)?, start(bucket + 1)?);
        let bytes = self.postings.get(..end)?;
        let mut current = 0_u64;
        while at < end {
            current = current.checked_add(varint::read(bytes, &mut at)?)?;
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
        let head = varint::read(bytes, at)?;
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
                for _ in 0..varint::read(bytes, at)? {
                    block = block.checked_add(usize::try_from(varint::read(bytes, at)?).ok()?)?;
                    set.insert(block);
                }
            }
        }
        Some(set)
    }
}
