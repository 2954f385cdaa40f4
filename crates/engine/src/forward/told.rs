//! What is remembered of a target that fails, and of the events that it refused.

use std::time::{Duration, Instant};

use event::Timestamp;

use super::State;

/// So long a target may fail before that is told.
const PATIENCE: Duration = Duration::from_secs(60);

/// Refusals that are remembered, the latest.
const REFUSALS_MAX: usize = 100;

/// How long refusals are counted before they are told again.
const REFUSALS_PAUSE: Duration = Duration::from_secs(3600);

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 500;

/// An event that a target refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its id, under which it stays in its log.
    pub id: String,
    /// Its number.
    pub sequence: u64,
    /// What the target said.
    pub reason: String,
}

impl Refusal {
    /// With a reason that is not too long.
    #[must_use]
    pub fn new(id: &str, sequence: u64, reason: &str) -> Self {
        Self { id: id.to_owned(), sequence, reason: short(reason) }
    }
}

fn short(reason: &str) -> String {
    let end = (0..=REASON_BYTES_MAX).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    reason[..end].to_owned()
}

/// Whether a target fails, since when, and whether that was told.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    failures: u64,
    now: Option<(Instant, Timestamp, String)>,
    told: bool,
    refused_untold: u64,
    refusals_told: Option<Instant>,
}

impl Trouble {
    /// Notes a failure. Returns since when they last, if that is to be told now.
    pub(super) fn failed(&mut self, reason: &str, now: Instant, time: Timestamp) -> Option<Timestamp> {
        self.failures += 1;
        let (since, time) = self.now.take().map_or((now, time), |(since, time, _)| (since, time));
        self.now = Some((since, time, short(reason)));
        if self.told || now.duration_since(since) < PATIENCE {
            return None;
        }
        self.told = true;
        Some(time)
    }

    /// Notes that all is well. Returns since when it was not, if that had been told.
    pub(super) fn works(&mut self) -> Option<Timestamp> {
        let told = std::mem::take(&mut self.told);
        self.now.take().map(|(_, time, _)| time).filter(|_| told)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn now(&self) -> Option<(String, Timestamp)> {
        self.now.as_ref().map(|(_, time, reason)| (reason.clone(), *time))
    }

    /// Counts refusals. Returns how many are to be told now: the first at once, the others once an hour.
    fn refused(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.refused_untold += count;
        if count == 0 || self.refusals_told.is_some_and(|told| now.duration_since(told) < REFUSALS_PAUSE) {
            return None;
        }
        self.refusals_told = Some(now);
        Some(std::mem::take(&mut self.refused_untold))
    }
}

impl State {
    /// Remembers refusals. Returns the first and their number when that is to be told.
    pub(super) fn note(&mut self, refused: Vec<Refusal>) -> Option<(Refusal, u64)> {
        let first = refused.first()?.clone();
        let told = self.trouble.refused(refused.len() as u64, Instant::now());
        self.refusals.extend(refused);
        let surplus = self.refusals.len().saturating_sub(REFUSALS_MAX);
        self.refusals.drain(..surplus);
        told.map(|count| (first, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_is_told_once_after_a_minute_and_so_is_its_end() {
        let (start, time) = (Instant::now(), Timestamp::from_micros(7));
        let mut trouble = Trouble::default();
        assert_eq!(trouble.failed("refused", start, time), None);
        assert_eq!(trouble.works(), None, "nobody was told that it failed");
        assert_eq!(trouble.failed("refused", start, time), None);
        let later = start + PATIENCE;
        assert_eq!(trouble.failed("timed out", later, Timestamp::from_micros(8)), Some(time));
        assert_eq!(trouble.failed("timed out", later + PATIENCE, time), None, "once");
        assert_eq!(trouble.now(), Some(("timed out".to_owned(), time)));
        assert_eq!((trouble.works(), trouble.works(), trouble.failures()), (Some(time), None, 4));
    }

    #[test]
    fn refusals_are_told_at_once_and_then_by_the_hour() {
        let start = Instant::now();
        let mut trouble = Trouble::default();
        assert_eq!(trouble.refused(2, start), Some(2));
        assert_eq!(trouble.refused(3, start), None);
        assert_eq!(trouble.refused(1, start + REFUSALS_PAUSE), Some(4));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let refusal = Refusal::new("a", 1, &"ä".repeat(REASON_BYTES_MAX));
        assert_eq!(refusal.reason, "ä".repeat(REASON_BYTES_MAX / 2));
    }
}
