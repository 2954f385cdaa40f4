//! Which of the events that were stored came as days of the past.
//!
//! It is known in memory alone: after a crash what was not looked at yet is taken as happening now, and somebody may hear of
//! it.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Sequence numbers of such events that were not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct History {
    ranges: VecDeque<RangeInclusive<u64>>,
}

impl History {
    /// Adds the events of one request: how many were stored, and the last of them.
    pub(crate) fn add(&mut self, last: u64, stored: usize) {
        if stored == 0 {
            return;
        }
        let first = (last + 1).saturating_sub(stored as u64);
        match self.ranges.back_mut() {
            Some(before) if *before.end() + 1 == first => *before = *before.start()..=last,
            _ => self.ranges.push_back(first..=last),
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
        [(10, 3), (12, 2), (20, 0), (31, 1)].into_iter().for_each(|(last, stored)| history.add(last, stored));
        let known = |history: &History| (0..40).filter(|sequence| history.has(*sequence)).collect::<Vec<_>>();
        assert_eq!(known(&history), [8, 9, 10, 11, 12, 31]);
        assert_eq!(history.ranges.len(), 2);
        history.forget(11);
        assert_eq!(known(&history), [8, 9, 10, 11, 12, 31], "a range goes as a whole");
        history.forget(12);
        assert_eq!(known(&history), [31]);
    }
}
