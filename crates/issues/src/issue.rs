//! The life of an issue: what it counted, what people decided about it, and what became of that.

use std::borrow::Cow;
use std::cmp::Ordering;

use event::{Level, Timestamp};
use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::moment;
use crate::release::{Deploy, Releases};
use crate::tally::{Names, Occurrence, Tally};
use crate::users::{UserCount, Users};

/// Fingerprints of one issue after merges. Another one is refused.
pub const FINGERPRINTS_MAX: usize = 100;

/// Where an issue stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It happens, and nobody has dealt with it.
    #[default]
    Open,
    /// Somebody says that it will not happen again.
    Resolved,
    /// It happened again.
    Regressed,
    /// Nobody wants to hear of it.
    Ignored,
}

/// As of when it should not happen again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Resolution {
    /// As of this moment.
    Now {
        /// The moment.
        #[serde(with = "moment", default = "moment::epoch")]
        time: Timestamp,
        /// The latest release that was known then. What happens in older ones was not mended there.
        #[serde(default)]
        latest: Option<String>,
    },
    /// As of a release.
    InRelease {
        /// The release.
        release: String,
    },
    /// As of whatever release comes after the latest.
    NextRelease {
        /// The latest release that was known.
        #[serde(default)]
        latest: Option<String>,
    },
}

/// For how long nobody wants to hear of an issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ignore {
    /// For ever.
    ForEver,
    /// While it has at most so many occurrences, see [`Issue::ignore_times`].
    Upto {
        /// The number.
        occurrences: u64,
    },
    /// Until a moment.
    Until {
        /// The moment.
        #[serde(with = "moment", default = "moment::epoch")]
        time: Timestamp,
    },
}

/// What somebody decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was decided: `resolved in 1.4`.
    #[serde(default)]
    pub what: String,
    /// Who did.
    #[serde(default)]
    pub by: String,
    /// Why; may be empty.
    #[serde(default)]
    pub why: String,
    /// When.
    #[serde(with = "moment", default = "moment::epoch")]
    pub at: Timestamp,
}

/// What people may want to hear of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// It is here for the first time.
    New {
        /// The deploy that probably brought it.
        suspect: Option<Deploy>,
    },
    /// It has so many occurrences: 1, 10, 100 and so on. Each is told once.
    Reached {
        /// The power of ten.
        occurrences: u64,
    },
    /// It was resolved and happened again.
    Regressed {
        /// In this release, if it is known.
        release: String,
        /// The deploy that probably brought it back.
        suspect: Option<Deploy>,
    },
    /// The time for which it was ignored is over.
    IgnoreEnded,
    /// It is in a release that it was not in before.
    NewRelease {
        /// The release.
        release: String,
    },
}

/// All occurrences of one error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its id.
    pub id: String,
    /// Where it stands.
    #[serde(default)]
    pub state: State,
    /// Who looks after it.
    #[serde(default)]
    pub assignee: Option<String>,
    /// As of when it should not happen again, while it is resolved.
    #[serde(default)]
    pub resolution: Option<Resolution>,
    /// For how long it is ignored, while it is, and after that until somebody was told that it happened again.
    #[serde(default)]
    pub ignore: Option<Ignore>,
    /// What was decided about it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The deploy that probably brought it, or brought it back.
    #[serde(default)]
    pub suspect: Option<Deploy>,
    /// The highest power of ten that its occurrences reached.
    #[serde(default)]
    pub(crate) reached: u64,
    /// What was counted, by fingerprint; the one it began with first. Not empty once anything was folded.
    #[serde(default)]
    pub(crate) tallies: Vec<Tally>,
}

impl Issue {
    /// An issue without occurrences.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            state: State::Open,
            assignee: None,
            resolution: None,
            ignore: None,
            decision: None,
            suspect: None,
            reached: 0,
            tallies: Vec::new(),
        }
    }

    /// Counts an occurrence, and says what people may want to hear of. `releases` has seen its release already.
    pub fn fold(&mut self, occurrence: &Occurrence<'_>, releases: &Releases) -> Vec<Happening> {
        let is_first = self.tallies.is_empty();
        let is_new_release = self.count(occurrence);
        let mut happenings = Vec::new();
        let suspect = || releases.suspect(occurrence.release, occurrence.environment, occurrence.moment()).cloned();
        if is_first {
            self.suspect = suspect();
            happenings.push(Happening::New { suspect: self.suspect.clone() });
        }
        match self.state {
            State::Resolved if self.is_regression(occurrence, releases) => {
                self.state = State::Regressed;
                self.resolution = None;
                self.suspect = suspect();
                let release = occurrence.release.to_owned();
                happenings.push(Happening::Regressed { release, suspect: self.suspect.clone() });
            }
            State::Ignored => happenings.extend(self.end_ignore(occurrence.received)),
            // The moment came without an occurrence: this is the first after it.
            State::Open if self.ignore.is_some() => happenings.extend(self.end_ignore(occurrence.received)),
            State::Open | State::Resolved | State::Regressed => {}
        }
        let reached = power_of_ten(self.occurrences());
        let is_heard = matches!(self.state, State::Open | State::Regressed);
        if is_heard {
            happenings.extend(powers(self.reached, reached).map(|occurrences| Happening::Reached { occurrences }));
            if is_new_release && !is_first {
                happenings.push(Happening::NewRelease { release: occurrence.release.to_owned() });
            }
        }
        self.reached = self.reached.max(reached);
        happenings
    }

    /// Returns whether the release is new to the issue.
    fn count(&mut self, occurrence: &Occurrence<'_>) -> bool {
        let known = self.tallies.iter().position(|tally| tally.fingerprint == occurrence.fingerprint);
        let is_known_release = self.tallies.iter().any(|tally| tally.releases.seen.contains_key(occurrence.release));
        let place = known.unwrap_or_else(|| {
            if self.tallies.len() < FINGERPRINTS_MAX {
                self.tallies.push(Tally::of(occurrence));
            }
            self.tallies.len() - 1
        });
        let is_new = self.tallies.get_mut(place).is_some_and(|tally| tally.add(occurrence));
        is_new && !is_known_release
    }

    fn is_regression(&self, occurrence: &Occurrence<'_>, releases: &Releases) -> bool {
        let release = occurrence.release;
        match &self.resolution {
            Some(Resolution::Now { time, latest }) => {
                let of_older = !release.is_empty()
                    && latest
                        .as_deref()
                        .is_some_and(|latest| releases.compare(release, latest) == Some(Ordering::Less));
                occurrence.moment() > *time && !of_older
            }
            Some(Resolution::InRelease { release: mended }) => {
                let order = releases.compare(release, mended);
                !release.is_empty() && matches!(order, Some(Ordering::Equal | Ordering::Greater))
            }
            Some(Resolution::NextRelease { latest: Some(latest) }) => {
                !release.is_empty() && releases.compare(release, latest) == Some(Ordering::Greater)
            }
            Some(Resolution::NextRelease { latest: None }) => !release.is_empty(),
            None => true,
        }
    }

    fn end_ignore(&mut self, now: Timestamp) -> Option<Happening> {
        let is_over = match &self.ignore {
            Some(Ignore::ForEver) => false,
            Some(Ignore::Upto { occurrences }) => self.occurrences() > *occurrences,
            Some(Ignore::Until { time }) => now >= *time,
            None => true,
        };
        is_over.then(|| {
            self.reopen();
            Happening::IgnoreEnded
        })
    }

    /// Opens it when the moment has come until which it was ignored. There is nothing to tell yet: people hear of the next
    /// occurrence. Returns whether it was so.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let is_over =
            self.state == State::Ignored && matches!(self.ignore, Some(Ignore::Until { time }) if now >= time);
        if is_over {
            self.state = State::Open;
        }
        is_over
    }

    /// Somebody says that it will not happen again, as of now.
    pub fn resolve_now(&mut self, now: Timestamp, releases: &Releases) {
        self.resolve(Resolution::Now { time: now, latest: releases.latest().map(str::to_owned) });
    }

    /// Somebody says that it will not happen again in a release and later ones.
    pub fn resolve_in(&mut self, release: &str) {
        self.resolve(Resolution::InRelease { release: release.to_owned() });
    }

    /// Somebody says that it will not happen again in the release that comes next.
    pub fn resolve_in_next(&mut self, releases: &Releases) {
        self.resolve(Resolution::NextRelease { latest: releases.latest().map(str::to_owned) });
    }

    fn resolve(&mut self, resolution: Resolution) {
        self.state = State::Resolved;
        self.resolution = Some(resolution);
        self.ignore = None;
    }

    /// Nobody wants to hear of it.
    pub fn ignore(&mut self, ignore: Ignore) {
        self.state = State::Ignored;
        self.ignore = Some(ignore);
        self.resolution = None;
    }

    /// Nobody wants to hear of the next so many occurrences.
    pub fn ignore_times(&mut self, more: u64) {
        self.ignore(Ignore::Upto { occurrences: self.occurrences().saturating_add(more) });
    }

    /// It is to be dealt with again.
    pub fn reopen(&mut self) {
        self.state = State::Open;
        self.resolution = None;
        self.ignore = None;
    }
}

/// What an issue counted, over all of its fingerprints.
impl Issue {
    /// What was counted under each fingerprint, the one it began with first.
    #[must_use]
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// Its fingerprints, the one it began with first.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.tallies.iter().map(|tally| tally.fingerprint.as_str())
    }

    /// What it is called.
    #[must_use]
    pub fn title(&self) -> &str {
        self.tallies.first().map_or("", |tally| &tally.title)
    }

    /// Where it happens.
    #[must_use]
    pub fn culprit(&self) -> &str {
        self.tallies.first().map_or("", |tally| &tally.culprit)
    }

    /// The highest level that was seen.
    #[must_use]
    pub fn level(&self) -> Level {
        self.tallies.iter().map(|tally| tally.level).max().unwrap_or(Level::Error)
    }

    /// How many occurrences it has.
    #[must_use]
    pub fn occurrences(&self) -> u64 {
        self.tallies.iter().fold(0, |sum, tally| sum.saturating_add(tally.occurrences))
    }

    /// When it happened first, and the id of that event.
    #[must_use]
    pub fn first(&self) -> Option<(Timestamp, &str)> {
        self.tallies.iter().map(|tally| (tally.first_seen, tally.first_id.as_str())).min()
    }

    /// When it happened last, and the id of that event.
    #[must_use]
    pub fn last(&self) -> Option<(Timestamp, &str)> {
        self.tallies.iter().map(|tally| (tally.last_seen, tally.last_id.as_str())).max()
    }

    /// How many people it met.
    #[must_use]
    pub fn users(&self) -> UserCount {
        self.together(|tally| &tally.users, Users::add_all).count()
    }

    /// In which releases it was seen.
    #[must_use]
    pub fn releases(&self) -> Cow<'_, Names> {
        self.together(|tally| &tally.releases, Names::add_all)
    }

    /// In which environments it was seen.
    #[must_use]
    pub fn environments(&self) -> Cow<'_, Names> {
        self.together(|tally| &tally.environments, Names::add_all)
    }

    /// How often it happened, hour by hour.
    #[must_use]
    pub fn counts(&self) -> Cow<'_, Counts> {
        self.together(|tally| &tally.counts, Counts::add_all)
    }

    /// Nearly every issue has one fingerprint, and nothing is copied.
    fn together<T: Clone + Default>(&self, part: impl Fn(&Tally) -> &T, add: impl Fn(&mut T, &T)) -> Cow<'_, T> {
        if let [only] = self.tallies.as_slice() {
            return Cow::Borrowed(part(only));
        }
        let mut sum = T::default();
        for tally in &self.tallies {
            add(&mut sum, part(tally));
        }
        Cow::Owned(sum)
    }
}

/// The highest power of ten that is not above a number; 0 for 0.
pub(crate) fn power_of_ten(number: u64) -> u64 {
    number.checked_ilog10().map_or(0, |exponent| 10_u64.pow(exponent))
}

/// The powers of ten above one number, up to another.
fn powers(above: u64, upto: u64) -> impl Iterator<Item = u64> {
    let all = std::iter::successors(Some(1_u64), |power| power.checked_mul(10));
    all.skip_while(move |power| *power <= above).take_while(move |power| *power <= upto)
}
