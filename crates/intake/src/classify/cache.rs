//! The last user agents that were seen, with what was read from them: reading one takes fifty times as long as finding it.

use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::DefaultHashBuilder;

use super::agents::Agent;

/// Parts with a lock of their own, so that threads seldom meet.
const PARTS: usize = 64;

/// Places of one part: 4096 in all. With the longest user agents they take 3 MB.
const PLACES: usize = 64;

/// A table of bounded size: a new entry takes the place of an old one.
pub(super) struct Cache {
    parts: Vec<Mutex<[Option<Arc<Agent>>; PLACES]>>,
    hasher: DefaultHashBuilder,
}

impl Cache {
    pub(super) fn new() -> Self {
        let part = || Mutex::new([const { None }; PLACES]);
        Self { parts: std::iter::repeat_with(part).take(PARTS).collect(), hasher: DefaultHashBuilder::default() }
    }

    /// What is known of a user agent; what `read` says of one that is not known.
    pub(super) fn get(&self, text: &str, read: impl FnOnce(&str) -> Agent) -> Arc<Agent> {
        let hash = self.hasher.hash_one(text);
        let (part, place) = (hash as usize % PARTS, (hash >> 32) as usize % PLACES);
        // Two that fall on one place stay beside each other.
        let beside = place ^ 1;
        {
            let part = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
            for place in [place, beside] {
                if let Some(agent) = part[place].as_ref().filter(|agent| agent.text() == text) {
                    return Arc::clone(agent);
                }
            }
        }
        let agent = Arc::new(read(text));
        let mut part = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = part[place].replace(Arc::clone(&agent)) {
            part[beside] = Some(before);
        }
        agent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_read_again() {
        let cache = Cache::new();
        let mut reads = 0;
        for text in ["curl/8.0", "Wget/1.2", "curl/8.0", "curl/8.0"] {
            let agent = cache.get(text, |text| {
                reads += 1;
                super::super::agents::read(text)
            });
            assert_eq!(agent.text(), text);
        }
        assert_eq!(reads, 2);
        for number in 0..20_000 {
            cache.get(&format!("tool/{number}"), super::super::agents::read);
        }
        let held = cache.parts.iter().map(|part| part.lock().unwrap().iter().flatten().count()).sum::<usize>();
        assert!(held <= PARTS * PLACES && held > 3000, "{held}");
    }
}
