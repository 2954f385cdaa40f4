//! How many days until the disk is full: a line through what was free, by the median of slopes, so that one clean-up or
//! one big import does not turn it.

use std::collections::VecDeque;
use std::time::Duration;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::moment::{self, elapsed};

/// Measurements that are kept: of three days at one in half an hour.
pub const SAMPLES_MAX: usize = 144;
/// Shortest time between two that are kept.
pub const SAMPLE_EVERY: Duration = Duration::from_mins(30);
/// Measurements, and time between the first and the last, before there is a trend.
pub const SAMPLES_MIN: usize = 6;
/// See [`SAMPLES_MIN`].
pub const SPAN_MIN: Duration = Duration::from_hours(3);

const DAY_SECONDS: f64 = 86_400.0;

/// What was free, and when. About 7 kB as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trend {
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    #[serde(with = "moment::kept")]
    time: Timestamp,
    free_bytes: u64,
}

impl Trend {
    /// Adds a measurement; more than one in half an hour replace each other.
    pub fn measure(&mut self, free_bytes: u64, now: Timestamp) {
        if self.samples.back().is_some_and(|last| last.time >= now) {
            return;
        }
        let before = self.samples.len().checked_sub(2).and_then(|place| self.samples.get(place));
        if before.is_some_and(|sample| elapsed(sample.time, now) < SAMPLE_EVERY) {
            self.samples.pop_back();
        }
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { time: now, free_bytes });
    }

    /// In how many days nothing will be free, if it goes on as it did. Nothing if it does not get less, or is not known.
    #[must_use]
    pub fn days_left(&self) -> Option<f64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        if self.samples.len() < SAMPLES_MIN || elapsed(first.time, last.time) < SPAN_MIN {
            return None;
        }
        let mut slopes = Vec::with_capacity(self.samples.len() * self.samples.len() / 2);
        for (place, early) in self.samples.iter().enumerate() {
            for late in self.samples.iter().skip(place + 1) {
                let seconds = elapsed(early.time, late.time).as_secs_f64();
                slopes.push((late.free_bytes as f64 - early.free_bytes as f64) / seconds);
            }
        }
        slopes.sort_by(f64::total_cmp);
        let slope = *slopes.get(slopes.len() / 2)?;
        // Less than a byte a second is standing still: it would be full in decades.
        (slope <= -1.0).then(|| last.free_bytes as f64 / -slope / DAY_SECONDS)
    }
}
