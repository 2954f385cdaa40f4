//! The ids of the latest events of a log, so that an event sent again is noticed.

use event::Id;
use hashbrown::HashSet;
use xxhash_rust::xxh3::xxh3_128;

/// How many of the latest ids of a log are remembered at least.
pub(crate) const REMEMBERED: usize = 1_000_000;

/// Two generations of ids: when the younger one is full, the older one is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    young: HashSet<u128>,
    old: HashSet<u128>,
}

/// What is remembered of an id. A UUID is remembered whole; any other text by 128 bits of its hash.
pub(crate) fn key(id: &Id) -> u128 {
    match id {
        Id::Uuid(bytes) => u128::from_le_bytes(*bytes),
        Id::Text(text) => xxh3_128(text.as_bytes()),
    }
}

impl Recent {
    /// Remembers an id. False when it was known.
    pub(crate) fn insert(&mut self, key: u128) -> bool {
        if self.old.contains(&key) || !self.young.insert(key) {
            return false;
        }
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        true
    }

    /// Remembers many ids.
    pub(crate) fn extend(&mut self, keys: impl Iterator<Item = u128>) {
        for key in keys {
            self.insert(key);
        }
    }

    /// Remembers ids that are older than all remembered so far but the ones from here.
    pub(crate) fn extend_older(&mut self, keys: impl Iterator<Item = u128>) {
        self.old.extend(keys);
    }

    /// Forgets an id that was not accepted after all.
    pub(crate) fn remove(&mut self, key: u128) {
        self.young.remove(&key);
        self.old.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_younger_ids_do_not_push_one_out() {
        let mut recent = Recent::default();
        recent.extend([1].into_iter());
        recent.extend_older(2..10);
        recent.extend(10..10 + REMEMBERED as u128 - 2);
        assert!(!recent.insert(1), "an id of the journal");
        assert!(!recent.insert(2), "an id of a segment");
        recent.extend([0].into_iter());
        assert!(!recent.insert(1), "the first generation has become the old one");
        assert!(recent.insert(2), "older than a million others");
    }
}
