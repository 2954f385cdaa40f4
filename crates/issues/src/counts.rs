//! How often, hour by hour: exact, and bounded however long an issue lives.

use std::collections::BTreeMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};

/// Hours that are kept apart: fourteen days before the newest.
pub const HOURS_MAX: i64 = 14 * 24;

/// Days that are kept apart: those before the hours, thirteen months in all. What is older is one number.
pub const DAYS_MAX: i64 = 400;

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_HOURS: i64 = 24;

/// Occurrences by time. It depends on what was counted, not on the order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// By hour since the epoch, the newest [`HOURS_MAX`].
    hours: BTreeMap<i64, u64>,
    /// By day since the epoch, what is older.
    days: BTreeMap<i64, u64>,
    /// What is older than the days.
    older: u64,
    /// The newest hour that was counted.
    newest_hour: Option<i64>,
}

impl Counts {
    pub(crate) fn add(&mut self, moment: Timestamp, times: u64) {
        let hour = moment.as_micros().div_euclid(HOUR_MICROS);
        self.add_hour(hour, times);
        if self.newest_hour.is_none_or(|newest| hour > newest) {
            self.newest_hour = Some(hour);
            self.age(hour);
        }
    }

    fn add_hour(&mut self, hour: i64, times: u64) {
        let newest = self.newest_hour.unwrap_or(hour);
        if hour > newest - HOURS_MAX {
            add_to(&mut self.hours, hour, times);
        } else {
            self.add_day(hour.div_euclid(DAY_HOURS), times);
        }
    }

    fn add_day(&mut self, day: i64, times: u64) {
        let newest = self.newest_hour.map_or(day, |hour| hour.div_euclid(DAY_HOURS));
        if day > newest - DAYS_MAX {
            add_to(&mut self.days, day, times);
        } else {
            self.older = self.older.saturating_add(times);
        }
    }

    /// Makes days of hours and one number of days that became too old.
    fn age(&mut self, newest: i64) {
        let kept = self.hours.split_off(&(newest - HOURS_MAX + 1));
        for (hour, times) in std::mem::replace(&mut self.hours, kept) {
            self.add_day(hour.div_euclid(DAY_HOURS), times);
        }
        let kept = self.days.split_off(&(newest.div_euclid(DAY_HOURS) - DAYS_MAX + 1));
        for (_, times) in std::mem::replace(&mut self.days, kept) {
            self.older = self.older.saturating_add(times);
        }
    }

    /// Adds what another has counted.
    pub fn add_all(&mut self, other: &Self) {
        if let Some(newest) = other.newest_hour.filter(|newest| self.newest_hour.is_none_or(|own| *newest > own)) {
            self.newest_hour = Some(newest);
            self.age(newest);
        }
        for (hour, times) in &other.hours {
            self.add_hour(*hour, *times);
        }
        for (day, times) in &other.days {
            self.add_day(*day, *times);
        }
        self.older = self.older.saturating_add(other.older);
    }

    /// All that was counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        let all = self.hours.values().chain(self.days.values()).chain([&self.older]);
        all.fold(0, |sum, times| sum.saturating_add(*times))
    }

    /// The begin of each hour that has any, and how many; oldest first.
    pub fn by_hour(&self) -> impl Iterator<Item = (Timestamp, u64)> + '_ {
        self.hours.iter().map(|(hour, times)| (Timestamp::from_micros(hour.saturating_mul(HOUR_MICROS)), *times))
    }

    /// The begin of each day (UTC) that has any older than the hours, and how many; oldest first.
    pub fn by_day(&self) -> impl Iterator<Item = (Timestamp, u64)> + '_ {
        let micros = |day: i64| day.saturating_mul(DAY_HOURS * HOUR_MICROS);
        self.days.iter().map(move |(day, times)| (Timestamp::from_micros(micros(*day)), *times))
    }

    /// How many are older than the days.
    #[must_use]
    pub fn older(&self) -> u64 {
        self.older
    }

    /// How many there were in the whole hours from one moment to before another, as far back as hours are kept.
    #[must_use]
    pub fn between(&self, from: Timestamp, to: Timestamp) -> u64 {
        let hour = |moment: Timestamp| moment.as_micros().div_euclid(HOUR_MICROS);
        if hour(from) >= hour(to) {
            return 0;
        }
        self.hours.range(hour(from)..hour(to)).fold(0, |sum, (_, times)| sum.saturating_add(*times))
    }
}

fn add_to(counts: &mut BTreeMap<i64, u64>, key: i64, times: u64) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(times);
}
