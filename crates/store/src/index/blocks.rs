//! Sets of blocks.

/// A set of blocks of one segment, or of its rare rows.
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
        let mut set = Self { words: vec![u64::MAX; blocks.div_ceil(64)], blocks };
        set.trim();
        set
    }

    /// Forgets bits beyond the last block.
    fn trim(&mut self) {
        if let Some(last) = self.words.last_mut()
            && !self.blocks.is_multiple_of(64)
        {
            *last &= (1 << (self.blocks % 64)) - 1;
        }
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

    /// Removes the blocks of the other set.
    pub fn subtract(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(mine, theirs)| *mine &= !theirs);
    }

    /// Turns it into the set of the blocks that are not in it.
    pub(crate) fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.trim();
    }

    /// The blocks, in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(at, word)| Bits(*word).map(move |bit| at * 64 + bit))
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

/// The places of the ones in a word.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (bit < 64).then_some(bit as usize)
    }
}

impl DoubleEndedIterator for Bits {
    fn next_back(&mut self) -> Option<usize> {
        let bit = 63_u32.checked_sub(self.0.leading_zeros())?;
        self.0 &= !(1 << bit);
        Some(bit as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_has_what_was_put_into_it(blocks in 1_usize..200, chosen in proptest::collection::btree_set(0_usize..200, 0..100)) {
            let chosen: Vec<usize> = chosen.into_iter().filter(|block| *block < blocks).collect();
            let mut set = BlockSet::none(blocks);
            chosen.iter().for_each(|block| set.insert(*block));
            prop_assert_eq!(set.len(), chosen.len());
            prop_assert_eq!(&set.iter().collect::<Vec<_>>(), &chosen);
            prop_assert_eq!(set.iter().rev().collect::<Vec<_>>(), chosen.iter().rev().copied().collect::<Vec<_>>());
            let mut others = BlockSet::all(blocks);
            others.subtract(&set);
            prop_assert_eq!(others.len(), blocks - chosen.len());
            others.invert();
            prop_assert_eq!(others, set);
        }
    }
}
