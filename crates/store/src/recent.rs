//! The ids of the latest events of a log, so that an event sent again is noticed.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use event::{Id, Timestamp};
use hashbrown::{DefaultHashBuilder, HashTable};
use xxhash_rust::xxh3::xxh3_128;

/// How many of the latest ids of a log are remembered at least.
pub(crate) const REMEMBERED: usize = 1_000_000;

/// The ids of a log, the oldest first, and where each stands: 27 bytes an id.
#[derive(Debug)]
pub(crate) struct Recent {
    ids: VecDeque<u128>,
    /// The place of each id, counted from the first that was ever remembered (and around).
    places: HashTable<u32>,
    /// The place of the oldest.
    first: u32,
    hasher: DefaultHashBuilder,
    /// How many are remembered.
    most: usize,
    /// When the log was last written to.
    pub(crate) used: Timestamp,
}

/// What is remembered of an id. A UUID is remembered whole; any other text by 128 bits of its hash.
pub(crate) fn key(id: &Id) -> u128 {
    match id {
        Id::Uuid(bytes) => u128::from_le_bytes(*bytes),
        Id::Text(text) => xxh3_128(text.as_bytes()),
    }
}

impl Recent {
    /// Remembers the latest `most` of these ids, each with its sequence number, and of those that come after them.
    pub(crate) fn of(mut ids: Vec<(u64, [u8; 16])>, most: usize, used: Timestamp) -> Self {
        ids.sort_unstable();
        let mut recent = Self {
            ids: VecDeque::new(),
            places: HashTable::new(),
            first: 0,
            hasher: DefaultHashBuilder::default(),
            most,
            used,
        };
        for (_, id) in &ids[ids.len().saturating_sub(most)..] {
            recent.insert(u128::from_le_bytes(*id));
        }
        recent
    }

    /// Whether an id is remembered.
    pub(crate) fn knows(&self, key: u128) -> bool {
        let is_same = |place: &u32| self.ids[place.wrapping_sub(self.first) as usize] == key;
        self.places.find(self.hasher.hash_one(key), is_same).is_some()
    }

    /// Remembers an id, and forgets the oldest when there are enough. False when it was known.
    pub(crate) fn insert(&mut self, key: u128) -> bool {
        let hash = self.hasher.hash_one(key);
        let is_same = |place: &u32| self.ids[place.wrapping_sub(self.first) as usize] == key;
        if self.places.find(hash, is_same).is_some() {
            return false;
        }
        if self.ids.len() >= self.most
            && let Some(oldest) = self.ids.pop_front()
        {
            self.forget_place(oldest, self.first);
            self.first = self.first.wrapping_add(1);
        }
        let place = self.first.wrapping_add(u32::try_from(self.ids.len()).unwrap_or(u32::MAX));
        self.ids.push_back(key);
        let hash_at = |place: &u32| self.hasher.hash_one(self.ids[place.wrapping_sub(self.first) as usize]);
        self.places.insert_unique(hash, place, hash_at);
        true
    }

    /// Forgets the ids remembered last, whose events were not accepted after all.
    pub(crate) fn forget_last(&mut self, count: usize) {
        for _ in 0..count {
            let Some(youngest) = self.ids.pop_back() else { return };
            let place = self.first.wrapping_add(u32::try_from(self.ids.len()).unwrap_or(u32::MAX));
            self.forget_place(youngest, place);
        }
    }

    fn forget_place(&mut self, key: u128, place: u32) {
        if let Ok(entry) = self.places.find_entry(self.hasher.hash_one(key), |known| *known == place) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: impl Iterator<Item = u128>) -> Recent {
        let numbered = (0..).zip(ids.map(u128::to_le_bytes)).collect();
        Recent::of(numbered, 1000, Timestamp::from_micros(0))
    }

    #[test]
    fn as_many_younger_ids_do_not_push_one_out() {
        let mut recent = of(0..1010);
        assert!(!recent.insert(10), "the last thousand of what was there");
        assert!(recent.insert(9), "older than a thousand others");
        (0..999).for_each(|id| assert!(recent.insert(2000 + id)));
        assert!(!recent.insert(9), "a thousand with itself");
        assert!(recent.insert(0));
        assert!(recent.insert(9), "pushed out by one more");
        // Places are counted around.
        recent.first = u32::MAX - 10;
        recent.ids.clear();
        recent.places.clear();
        (0..5000).for_each(|id| assert!(recent.insert(10_000 + id)));
        assert!((4000..5000).all(|id| !recent.insert(10_000 + id)));
        assert_eq!((recent.ids.len(), recent.places.len()), (1000, 1000));
    }

    #[test]
    fn what_was_not_accepted_is_forgotten() {
        let mut recent = of(0..10);
        (10..20).for_each(|id| assert!(recent.insert(id)));
        recent.forget_last(10);
        assert!((0..10).all(|id| !recent.insert(id)));
        assert!((10..20).all(|id| recent.insert(id)));
        recent.forget_last(100);
        assert!((0..20).all(|id| recent.insert(id)), "no more than there are");
    }
}
