//! Silence: a source that always spoke says nothing any more.
//!
//! Always is learned: in nine of ten slots of five minutes, for hours. What is silent every night is learned too.

use std::time::Duration;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::moment::{self, elapsed};

/// Shortest silence that is told: three slots.
pub const SILENCE_MIN: Duration = Duration::from_mins(15);
/// Slots that must be known before a source is one that always speaks: three hours.
pub const SLOTS_MIN: u32 = 36;
/// How many of a hundred slots it must have been heard in.
pub const HEARD_PERCENT: u32 = 90;

const SLOT_MICROS: i64 = 300_000_000;
const HOUR_MICROS: i64 = 3_600_000_000;
/// Slots that are remembered: as many as a word has bits, a good five hours.
const SLOTS_MAX: u32 = 64;
/// A silence this long belongs to a timetable: the end of a working day, not a failure of an hour.
const TIMETABLE_MIN: Duration = Duration::from_hours(2);
/// How often an hour of the day must have been silent before its silence is no news.
const TIMETABLE_TIMES: u8 = 2;

/// When one source was heard. About 200 bytes as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Presence {
    /// The slot of the lowest bit, since 1970.
    slot: i64,
    /// A bit for each slot in which it was heard; the newest is lowest.
    heard: u64,
    /// How many slots are known.
    known: u32,
    #[serde(with = "moment::kept_or_null")]
    last: Option<Timestamp>,
    /// How often each hour of the day (UTC) passed in silence.
    silent_hours: Vec<u8>,
}

impl Default for Presence {
    fn default() -> Self {
        Self { slot: 0, heard: 0, known: 0, last: None, silent_hours: vec![0; 24] }
    }
}

impl Presence {
    /// It spoke.
    pub fn hear(&mut self, now: Timestamp) {
        let slot = now.as_micros().div_euclid(SLOT_MICROS);
        let Some(last) = self.last else {
            (self.slot, self.heard, self.known, self.last) = (slot, 1, 1, Some(now));
            return;
        };
        self.learn_timetable(last, now);
        let passed = u32::try_from(slot.saturating_sub(self.slot).max(0)).unwrap_or(SLOTS_MAX);
        if passed >= SLOTS_MAX {
            (self.heard, self.known) = (0, 1);
        } else {
            self.heard <<= passed;
            self.known = (self.known + passed).min(SLOTS_MAX);
        }
        self.heard |= 1;
        self.slot = self.slot.max(slot);
        self.last = Some(last.max(now));
    }

    /// Goes on after a time in which nobody listened: that time counts neither as heard nor as silent.
    pub fn resume(&mut self, now: Timestamp) {
        if let Some(last) = self.last {
            self.last = Some(last.max(now));
            self.slot = self.slot.max(now.as_micros().div_euclid(SLOT_MICROS));
        }
    }

    fn learn_timetable(&mut self, last: Timestamp, now: Timestamp) {
        self.silent_hours.resize(24, 0);
        let gap = elapsed(last, now);
        if gap >= TIMETABLE_MIN && self.is_regular() {
            let first = last.as_micros().saturating_add(SILENCE_MIN.as_micros() as i64).div_euclid(HOUR_MICROS);
            let end = now.as_micros().div_euclid(HOUR_MICROS).min(first + 24);
            for hour in first..end.max(first + 1).min(first + 24) {
                if let Some(times) = self.silent_hours.get_mut(hour_of_day(hour)) {
                    *times = times.saturating_add(1);
                }
            }
        }
        // Heard at the end of an hour: it is not one that passes in silence.
        if now.as_micros().rem_euclid(HOUR_MICROS) >= HOUR_MICROS / 4 * 3
            && let Some(times) = self.silent_hours.get_mut(hour_of_day(now.as_micros().div_euclid(HOUR_MICROS)))
        {
            *times = 0;
        }
    }

    /// Whether it is one that always speaks.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.known >= SLOTS_MIN && self.heard.count_ones() * 100 >= self.known.min(SLOTS_MAX) * HEARD_PERCENT
    }

    /// For how long it has been silent, if that is worth telling.
    #[must_use]
    pub fn silent_for(&self, now: Timestamp) -> Option<Duration> {
        let gap = elapsed(self.last?, now);
        (gap >= SILENCE_MIN && self.is_regular() && self.unusual(now) >= SILENCE_MIN).then_some(gap)
    }

    /// How much of the silence falls into hours that do not usually pass in silence; after two days it is all unusual.
    fn unusual(&self, now: Timestamp) -> Duration {
        let Some(last) = self.last.map(Timestamp::as_micros) else { return Duration::ZERO };
        let now = now.as_micros();
        let first = last.div_euclid(HOUR_MICROS);
        let end = now.div_euclid(HOUR_MICROS);
        if end.saturating_sub(first) > 48 {
            return Duration::from_micros(now.abs_diff(last));
        }
        let usual =
            |hour: &i64| self.silent_hours.get(hour_of_day(*hour)).is_some_and(|times| *times >= TIMETABLE_TIMES);
        let within = |hour: i64| now.min((hour + 1) * HOUR_MICROS).abs_diff(last.max(hour * HOUR_MICROS));
        let micros = (first..=end).filter(|hour| !usual(hour)).map(within).sum();
        Duration::from_micros(micros)
    }

    /// When it was last heard.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }
}

fn hour_of_day(hour: i64) -> usize {
    usize::try_from(hour.rem_euclid(24)).unwrap_or(0)
}
