//! Which of the events that were stored came as days of the past.
//!
//! It is known in memory alone: after a crash what was not looked at yet is taken as happening now, and somebody may hear of
//! it. The same holds for the oldest of very many that wait to be looked at.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Ranges that are remembered. Those of one import follow each other, unless much else comes in meanwhile.
const RANGES_MAX: usize = 100_000;

/// Sequence numbers of such events that were not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct History {
    ranges: VecDeque<RangeInclusive<u64>>,
}

impl History {
    /// Adds the events of one request.
    pub(crate) fn add(&mut self, new: RangeInclusive<u64>) {
        if new.is_empty() {
            return;
        }
        match self.ranges.back_mut() {
            Some(before) if *before.end() + 1 == *new.start() => *before = *before.start()..=*new.end(),
            _ => self.ranges.push_back(new),
        }
        if self.ranges.len() > RANGES_MAX {
            self.ranges.pop_front();
        }
    }

    pub(super) fn has(&self, sequence: u64) -> bool {
        let at = self.ranges.partition_point(|range| *range.end() < sequence);
        self.ranges.get(at).is_some_and(|range| range.contains(&sequence))
    }

    /// Forgets all up to a number.
    pub(super) fn forget(&mut self, reached: u64) {
        while self.ranges.front().is_some_and(|range| *range.end() <= reached) {
            self.ranges.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_known_until_they_are_forgotten() {
        let mut history = History::default();
        let nothing = RangeInclusive::new(21, 20);
        [8..=10, 11..=12, nothing, 31..=31].into_iter().for_each(|new| history.add(new));
        let known = |history: &History| (0..40).filter(|sequence| history.has(*sequence)).collect::<Vec<_>>();
        assert_eq!(known(&history), [8, 9, 10, 11, 12, 31]);
        assert_eq!(history.ranges.len(), 2);
        history.forget(11);
        assert_eq!(known(&history), [8, 9, 10, 11, 12, 31], "a range goes as a whole");
        history.forget(12);
        assert_eq!(known(&history), [31]);
    }
}
