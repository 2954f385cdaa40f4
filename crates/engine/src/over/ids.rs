//! Ids of errors that were refused: one that is sent again counts once, after a restart too.
//!
//! They are kept in parts, of which the oldest is forgotten when there are too many; what is written anew after each look
//! is only the part that grew.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use store::LogId;

/// Parts, and ids of each: some 200,000 ids.
const PARTS_MAX: usize = 256;
const PART_IDS_MAX: usize = 800;

/// What the memories of it are called.
pub(crate) const REFUSED: &str = "refused/";

/// Digits that an id is kept in.
const DIGITS: usize = 16;

/// Ids, as far as they are remembered.
#[derive(Debug, Default)]
pub(super) struct Ids {
    known: HashSet<u64>,
    /// By their numbers, the oldest first.
    parts: VecDeque<Part>,
    /// Parts that are to be written, or removed.
    changed: BTreeSet<u64>,
    /// Those that were handed out to be, and are not known to have been.
    saving: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Part {
    number: u64,
    ids: Vec<u64>,
}

/// An id of a log in eight bytes.
pub(crate) fn hash(log: LogId, id: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(log.0.to_be_bytes());
    hash.update(id.as_bytes());
    hash.finalize().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

impl Ids {
    /// What was kept; a part that cannot be read is as if it had never been.
    pub(super) fn read(rows: Vec<(String, String)>) -> Self {
        let read = |(name, body): (String, String)| {
            let ids = body
                .as_bytes()
                .chunks(DIGITS)
                .map_while(|digits| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
            Some(Part { number: name.parse().ok()?, ids: ids.take(PART_IDS_MAX).collect() })
        };
        let mut parts: Vec<Part> = rows.into_iter().filter_map(read).collect();
        parts.sort_by_key(|part| part.number);
        let known = parts.iter().flat_map(|part| part.ids.iter().copied()).collect();
        Self { known, parts: parts.into(), ..Self::default() }
    }

    /// Whether it was not known. It is now.
    pub(super) fn insert(&mut self, log: LogId, id: &str) -> bool {
        let hash = hash(log, id);
        if !self.known.insert(hash) {
            return false;
        }
        if self.parts.back().is_none_or(|part| part.ids.len() >= PART_IDS_MAX) {
            let number = self.parts.back().map_or(0, |part| part.number + 1);
            self.parts.push_back(Part { number, ids: Vec::new() });
        }
        if self.parts.len() > PARTS_MAX
            && let Some(oldest) = self.parts.pop_front()
        {
            for id in &oldest.ids {
                self.known.remove(id);
            }
            self.changed.insert(oldest.number);
        }
        if let Some(part) = self.parts.back_mut() {
            part.ids.push(hash);
            self.changed.insert(part.number);
        }
        true
    }

    pub(super) fn holds(&self, log: LogId, id: &str) -> bool {
        !self.known.is_empty() && self.known.contains(&hash(log, id))
    }

    /// What is to be kept: names and bodies, or none for what goes.
    pub(super) fn unsaved(&mut self) -> Vec<(String, Option<String>)> {
        self.saving.append(&mut self.changed);
        let written = |number: &u64| {
            let part = self.parts.iter().rev().find(|part| part.number == *number);
            (format!("{REFUSED}{number}"), part.map(Part::written))
        };
        self.saving.iter().map(written).collect()
    }

    /// What was handed out last is kept.
    pub(super) fn saved(&mut self) {
        self.saving.clear();
    }
}

impl Part {
    fn written(&self) -> String {
        let mut body = String::with_capacity(self.ids.len() * DIGITS);
        for id in &self.ids {
            let written = write!(body, "{id:016x}");
            debug_assert!(written.is_ok(), "writing into memory cannot fail");
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_kept_is_known_again_and_the_oldest_is_forgotten() {
        let (mut ids, mut kept) = (Ids::default(), BTreeMap::new());
        let all = PARTS_MAX * PART_IDS_MAX + 10;
        for number in 0..all {
            assert!(ids.insert(LogId(1), &number.to_string()), "{number}");
            assert!(!ids.insert(LogId(1), &number.to_string()), "{number}");
            if number % 777 == 0 {
                // What is handed out and not kept is handed out again.
                drop(ids.unsaved());
                for (name, body) in ids.unsaved() {
                    match body {
                        Some(body) => drop(kept.insert(name, body)),
                        None => drop(kept.remove(&name)),
                    }
                }
                ids.saved();
                assert!(ids.unsaved().is_empty());
            }
        }
        for (name, body) in ids.unsaved() {
            match body {
                Some(body) => drop(kept.insert(name, body)),
                None => drop(kept.remove(&name)),
            }
        }
        let rows = kept.into_iter().map(|(name, body)| (name.replace(REFUSED, ""), body)).collect();
        let again = Ids::read(rows);
        for known in [&ids, &again] {
            let held = |number: usize| known.holds(LogId(1), &number.to_string());
            assert!(!held(0) && !held(PART_IDS_MAX - 1) && held(PART_IDS_MAX) && held(all - 1));
            assert!(!known.holds(LogId(2), &(all - 1).to_string()));
            assert_eq!(known.known.len(), (PARTS_MAX - 1) * PART_IDS_MAX + 10);
        }
        assert!(Ids::read(vec![("x".to_owned(), "y".to_owned()), ("1".to_owned(), "zz".to_owned())]).known.is_empty());
    }
}
