//! A spike: far more than is usual for this one thing, told by its own history and not by a number somebody guessed.
//!
//! Counts of five minutes each are kept for two days. Usual is their median; how far they scatter is the median of their
//! distances from it. Both stay where they are while a spike goes on, as an average would not.

use std::collections::VecDeque;
use std::time::Duration;

use event::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a slot is.
pub const SLOT: Duration = Duration::from_mins(5);
/// Slots that are kept: two days, so that the same time of yesterday is among them.
pub const SLOTS_MAX: usize = 576;
/// Slots that must be known before anything is called unusual: an hour.
pub const SLOTS_MIN: usize = 12;
/// Fewer than this are never a spike: from 0 to 3 is an error or two.
pub const COUNT_MIN: u32 = 20;

const SLOT_MICROS: i64 = 300_000_000;
const DAY_SLOTS: usize = 288;
/// So many standard deviations (a median distance is 1 / 1.4826 of one), and so many times the median.
const DEVIATIONS: f64 = 6.0;
const DEVIATION_OF_DISTANCE: f64 = 1.4826;
const TIMES_USUAL: f64 = 3.0;
/// Slots around the same time of yesterday that are looked at: what is busy every morning is no spike.
const AROUND: usize = 3;

/// The counts of one thing. About 3 kB as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Baseline {
    /// The slot that is being counted, since 1970; none before the first step.
    slot: Option<i64>,
    current: u32,
    /// Whole slots, oldest first.
    counts: VecDeque<u32>,
}

/// What a baseline says of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is a spike.
    pub is_spike: bool,
    /// How many there were in the running slot or the one before, whichever has more.
    pub count: u64,
    /// How many there are usually in a slot.
    pub usual: u64,
}

impl Baseline {
    /// Counts what was seen. Moments before the running slot count to it.
    pub fn see(&mut self, count: u32, now: Timestamp) {
        self.advance(now);
        self.current = self.current.saturating_add(count);
    }

    /// Goes on to `now`; slots in between had nothing.
    pub fn advance(&mut self, now: Timestamp) {
        let slot = now.as_micros().div_euclid(SLOT_MICROS);
        let Some(running) = self.slot else {
            self.slot = Some(slot);
            return;
        };
        let passed = slot.saturating_sub(running);
        if passed <= 0 {
            return;
        }
        self.close();
        let empty = usize::try_from(passed - 1).unwrap_or(SLOTS_MAX).min(SLOTS_MAX);
        for _ in 0..empty {
            self.push(0);
        }
        self.slot = Some(slot);
    }

    /// Goes on to `now` after a time in which nobody counted: that time is not taken as empty.
    pub fn resume(&mut self, now: Timestamp) {
        let slot = now.as_micros().div_euclid(SLOT_MICROS);
        if self.slot.is_some_and(|running| slot > running) {
            self.close();
        }
        self.slot = Some(self.slot.unwrap_or(slot).max(slot));
    }

    /// Whether nothing was seen for as long as is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current == 0 && self.counts.iter().all(|count| *count == 0)
    }

    fn close(&mut self) {
        let count = std::mem::take(&mut self.current);
        self.push(count);
    }

    fn push(&mut self, count: u32) {
        if self.counts.len() >= SLOTS_MAX {
            self.counts.pop_front();
        }
        self.counts.push_back(count);
    }

    /// Whether what is counted now is far more than usual.
    #[must_use]
    pub fn judge(&self) -> Judgement {
        let last = self.counts.back().copied().unwrap_or(0);
        let count = self.current.max(last);
        let before = self.counts.len().saturating_sub(1);
        let mut history: Vec<u32> = self.counts.iter().take(before).copied().collect();
        let usual = median(&mut history);
        let mut judgement = Judgement { is_spike: false, count: u64::from(count), usual: u64::from(usual) };
        if count < COUNT_MIN || history.len() < SLOTS_MIN {
            return judgement;
        }
        let mut distances: Vec<u32> = history.iter().map(|seen| seen.abs_diff(usual)).collect();
        let deviation = f64::from(median(&mut distances)) * DEVIATION_OF_DISTANCE;
        let (count, usual) = (f64::from(count), f64::from(usual));
        let far = count > usual + DEVIATIONS * deviation && count >= usual * TIMES_USUAL;
        judgement.is_spike = far && count >= 2.0 * f64::from(self.yesterday());
        judgement
    }

    /// The most of a slot around this time of yesterday; nothing if that is not known.
    fn yesterday(&self) -> u32 {
        let Some(same) = self.counts.len().checked_sub(DAY_SLOTS) else { return 0 };
        let from = same.saturating_sub(AROUND);
        self.counts.iter().skip(from).take(same + AROUND + 1 - from).copied().max().unwrap_or(0)
    }
}

/// The middle one, of an even number the lower one.
fn median(numbers: &mut [u32]) -> u32 {
    if numbers.is_empty() {
        return 0;
    }
    let middle = (numbers.len() - 1) / 2;
    *numbers.select_nth_unstable(middle).1
}
