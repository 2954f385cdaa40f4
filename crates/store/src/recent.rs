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

    /// Forgets an id that was not accepted after all.
    pub(crate) fn remove(&mut self, key: u128) {
        self.young.remove(&key);
        self.old.remove(&key);
    }
}
