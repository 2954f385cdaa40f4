//! What one source did since its first hit, or since it was last told of.

use std::collections::BTreeMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FAILURES_MIN, FINDING_EVERY, Finding, Kind, QUIET, WINDOW_MAX};
use crate::clean::cut;
use crate::moment::{self, after};

/// Different users or addresses that are counted for one source.
const DISTINCT_MAX: usize = 64;
/// Examples that a finding has.
const EXAMPLES_MAX: usize = 5;
const EXAMPLE_CHARACTERS_MAX: usize = 120;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    #[serde(with = "moment::kept")]
    first: Timestamp,
    #[serde(with = "moment::kept")]
    last: Timestamp,
    #[serde(with = "moment::kept_or_null", default)]
    told: Option<Timestamp>,
    /// What it was told of with.
    #[serde(default)]
    told_count: u64,
    #[serde(default)]
    count: u64,
    /// Users or addresses with their hits; none since it was told of is 0.
    #[serde(default)]
    distinct: BTreeMap<String, u64>,
    #[serde(default)]
    examples: Vec<String>,
    #[serde(default)]
    succeeded: bool,
}

impl Window {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            first: now,
            last: now,
            told: None,
            told_count: 0,
            count: 0,
            distinct: BTreeMap::new(),
            examples: Vec::new(),
            succeeded: false,
        }
    }

    pub(super) fn hit(&mut self, example: &str, distinct: Option<&str>, now: Timestamp) {
        if self.count == 0 {
            self.first = now;
        }
        self.last = self.last.max(now);
        self.count = self.count.saturating_add(1);
        if self.count == FAILURES_MIN {
            self.succeeded = false;
        }
        let example = cut(example, EXAMPLE_CHARACTERS_MAX);
        if self.examples.len() < EXAMPLES_MAX && !example.is_empty() && !self.examples.contains(&example) {
            self.examples.push(example);
        }
        let Some(name) = distinct.map(|name| cut(name, EXAMPLE_CHARACTERS_MAX)) else { return };
        if let Some(times) = self.distinct.get_mut(&name) {
            *times = times.saturating_add(1);
            return;
        }
        if self.distinct.len() >= DISTINCT_MAX
            && let Some(past) = self.distinct.iter().find(|(_, times)| **times == 0).map(|(name, _)| name.clone())
        {
            self.distinct.remove(&past);
        }
        if self.distinct.len() < DISTINCT_MAX {
            self.distinct.insert(name, 1);
        }
    }

    /// A login succeeded: true if that is the first since it was last told of.
    pub(super) fn succeed(&mut self) -> bool {
        !std::mem::replace(&mut self.succeeded, true)
    }

    pub(super) fn has_tried(&self, name: &str) -> bool {
        self.distinct.contains_key(&cut(name, EXAMPLE_CHARACTERS_MAX))
    }

    /// All that failed, those included that were told of last.
    pub(super) fn failures(&self) -> u64 {
        self.count.saturating_add(self.told_count)
    }

    /// When the window ends. One that was told of ends when the hour is over, quiet or not.
    pub(super) fn due(&self) -> Option<Timestamp> {
        if self.count == 0 {
            return None;
        }
        let ends = after(self.last, QUIET).min(after(self.first, WINDOW_MAX));
        Some(self.told.map_or(ends, |told| ends.max(after(told, FINDING_EVERY))))
    }

    /// Starts anew, knowing when it was told of.
    pub(super) fn tell(&mut self, now: Timestamp) {
        let mut distinct = std::mem::take(&mut self.distinct);
        distinct.values_mut().for_each(|times| *times = 0);
        *self = Self {
            last: self.last,
            told: Some(now),
            told_count: self.count,
            succeeded: self.succeeded,
            distinct,
            ..Self::new(now)
        };
    }

    /// Not enough yet for another finding: what is counted stays.
    pub(super) fn defer(&mut self, now: Timestamp) {
        self.told = Some(now);
    }

    pub(super) fn is_told(&self) -> bool {
        self.told.is_some()
    }

    pub(super) fn last(&self) -> Timestamp {
        self.last
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn distinct(&self) -> usize {
        self.distinct.values().filter(|times| **times > 0).count()
    }

    /// The most hits that one user or address has of it.
    pub(super) fn most_of_one(&self) -> u64 {
        self.distinct.values().copied().max().unwrap_or(0)
    }

    pub(super) fn finding(&self, kind: Kind, source: &str, is_user: bool) -> Finding {
        Finding {
            kind,
            source: source.to_owned(),
            count: self.count,
            distinct: self.distinct() as u64,
            examples: self.examples.clone(),
            is_user,
            first: self.first,
            last: self.last,
        }
    }
}
