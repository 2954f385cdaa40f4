//! What was counted under one fingerprint. It does not depend on the order in which it was counted.

use std::collections::BTreeMap;

use event::{Level, Timestamp};
use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::mask::bounded;
use crate::moment;
use crate::release::NAME_BYTES_MAX;
use crate::users::Users;

/// Releases, and environments, of one fingerprint that are kept apart: those that were seen last.
pub const NAMES_MAX: usize = 50;

/// Longest title that is kept, in bytes: every title of [`crate::group`] fits.
const TITLE_BYTES_MAX: usize = 4 * crate::TITLE_CHARACTERS_MAX;

/// One occurrence, or several of one kind that were only counted.
#[derive(Clone, Copy, Debug)]
pub struct Occurrence<'a> {
    /// The id of the event; empty for what was only counted and not kept.
    pub id: &'a str,
    /// Its fingerprint, see [`crate::group`].
    pub fingerprint: &'a str,
    /// What it is called; empty if that was said with another occurrence of the fingerprint.
    pub title: &'a str,
    /// Where it happened.
    pub culprit: &'a str,
    /// Its level; [`Level::Error`] if it has none.
    pub level: Level,
    /// When it happened, in the words of who sent it.
    pub time: Timestamp,
    /// When it was received. What claims to be of the future happened then.
    pub received: Timestamp,
    /// How many it stands for.
    pub times: u64,
    /// The release it happened in, or nothing.
    pub release: &'a str,
    /// The environment it happened in, or nothing.
    pub environment: &'a str,
    /// Whom it met, see [`crate::user_hash`].
    pub user: Option<u64>,
}

impl Occurrence<'_> {
    /// When it happened, and not later than it was received.
    #[must_use]
    pub fn moment(&self) -> Timestamp {
        self.time.min(self.received)
    }
}

/// From when to when something was seen, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// First.
    #[serde(with = "moment", default = "moment::epoch")]
    pub first: Timestamp,
    /// Last.
    #[serde(with = "moment", default = "moment::epoch")]
    pub last: Timestamp,
    /// How often.
    #[serde(default)]
    pub times: u64,
}

/// Names with when they were seen, at most [`NAMES_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// Each name.
    pub seen: BTreeMap<String, Seen>,
    /// Occurrences of names that are no longer kept apart.
    pub beyond: u64,
}

impl Names {
    /// Returns whether the name is new.
    fn add(&mut self, name: &str, moment: Timestamp, times: u64) -> bool {
        if name.is_empty() {
            return false;
        }
        let name = bounded(name, NAME_BYTES_MAX);
        if let Some(seen) = self.seen.get_mut(name) {
            seen.add(&Seen { first: moment, last: moment, times });
            return false;
        }
        self.seen.insert(name.to_owned(), Seen { first: moment, last: moment, times });
        self.bound();
        true
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for (name, seen) in &other.seen {
            match self.seen.get_mut(name) {
                Some(own) => own.add(seen),
                None => {
                    self.seen.insert(name.clone(), seen.clone());
                }
            }
        }
        self.beyond = self.beyond.saturating_add(other.beyond);
        self.bound();
    }

    fn bound(&mut self) {
        while self.seen.len() > NAMES_MAX {
            let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.last).map(|(name, _)| name.clone());
            let gone = oldest.and_then(|name| self.seen.remove(&name));
            self.beyond = self.beyond.saturating_add(gone.map_or(0, |seen| seen.times));
        }
    }
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.times = self.times.saturating_add(other.times);
    }
}

/// What was counted under one fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The fingerprint.
    pub fingerprint: String,
    /// What the first occurrence is called.
    #[serde(default)]
    pub title: String,
    /// Where the first occurrence happened.
    #[serde(default)]
    pub culprit: String,
    /// The highest level that was seen.
    #[serde(with = "moment::level", default = "moment::level::error")]
    pub level: Level,
    /// How many there are.
    #[serde(default)]
    pub occurrences: u64,
    /// When the first one happened.
    #[serde(with = "moment", default = "moment::epoch")]
    pub first_seen: Timestamp,
    /// When the last one happened.
    #[serde(with = "moment", default = "moment::epoch")]
    pub last_seen: Timestamp,
    /// The id of the first one that was kept.
    #[serde(default)]
    pub first_id: String,
    /// The id of the last one that was kept.
    #[serde(default)]
    pub last_id: String,
    /// In which releases.
    #[serde(default)]
    pub releases: Names,
    /// In which environments.
    #[serde(default)]
    pub environments: Names,
    /// Whom it met.
    #[serde(default)]
    pub users: Users,
    /// How often, hour by hour.
    #[serde(default)]
    pub counts: Counts,
}

impl Tally {
    /// One without occurrences.
    pub(crate) fn of(occurrence: &Occurrence<'_>) -> Self {
        Self {
            fingerprint: occurrence.fingerprint.to_owned(),
            title: bounded(occurrence.title, TITLE_BYTES_MAX).to_owned(),
            culprit: bounded(occurrence.culprit, NAME_BYTES_MAX).to_owned(),
            level: occurrence.level,
            occurrences: 0,
            first_seen: occurrence.moment(),
            last_seen: occurrence.moment(),
            first_id: occurrence.id.to_owned(),
            last_id: occurrence.id.to_owned(),
            releases: Names::default(),
            environments: Names::default(),
            users: Users::default(),
            counts: Counts::default(),
        }
    }

    /// Counts; returns whether its release is new here.
    pub(crate) fn add(&mut self, occurrence: &Occurrence<'_>) -> bool {
        let moment = occurrence.moment();
        self.occurrences = self.occurrences.saturating_add(occurrence.times);
        self.level = self.level.max(occurrence.level);
        // What was only counted has no event to show.
        let has_id = !occurrence.id.is_empty();
        if has_id && (self.first_id.is_empty() || (moment, occurrence.id) < (self.first_seen, self.first_id.as_str())) {
            occurrence.id.clone_into(&mut self.first_id);
            // Whoever counts may leave them out once they are known.
            if !occurrence.title.is_empty() {
                bounded(occurrence.title, TITLE_BYTES_MAX).clone_into(&mut self.title);
                bounded(occurrence.culprit, NAME_BYTES_MAX).clone_into(&mut self.culprit);
            }
        }
        if has_id && (self.last_id.is_empty() || (moment, occurrence.id) > (self.last_seen, self.last_id.as_str())) {
            occurrence.id.clone_into(&mut self.last_id);
        }
        self.first_seen = self.first_seen.min(moment);
        self.last_seen = self.last_seen.max(moment);
        self.environments.add(occurrence.environment, moment, occurrence.times);
        if let Some(user) = occurrence.user {
            self.users.add(user);
        }
        self.counts.add(moment, occurrence.times);
        self.releases.add(occurrence.release, moment, occurrence.times)
    }
}
