//! What people do to the grouping: together, apart, and back. Nothing is counted twice and nothing is lost, because each
//! fingerprint keeps a tally of its own that only moves.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::issue::{FINGERPRINTS_MAX, Ignore, Issue, power_of_ten};
use crate::tally::Tally;

/// Why a merge, a split, or the undoing of one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MergeError {
    /// Together they would have too many fingerprints.
    #[error("{0} fingerprints, and an issue has at most {FINGERPRINTS_MAX}: merge fewer issues")]
    TooMany(usize),
    /// Both have it: they are one issue, or one of them is an old copy.
    #[error("both issues have the fingerprint {0}: read them again")]
    InBoth(String),
    /// The issue does not have it.
    #[error("the issue has no fingerprint {0}: ask which it has")]
    NotThere(String),
    /// Nothing would stay or nothing would go.
    #[error("a split needs a fingerprint that goes and one that stays")]
    NothingLeft,
}

/// A merge that was done, with what is needed to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// The issue that went, without its tallies.
    gone: Issue,
    /// What came from it.
    fingerprints: Vec<String>,
    /// The power of ten that the issue that stayed had reached.
    reached: u64,
}

impl Merged {
    /// The id of the issue that went into the other.
    #[must_use]
    pub fn gone_id(&self) -> &str {
        &self.gone.id
    }

    /// What came from it.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.fingerprints.iter().map(String::as_str)
    }
}

/// A split that was done, with what is needed to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The order of all fingerprints before.
    order: Vec<String>,
}

impl Issue {
    /// Takes another issue into this one. State, resolution and assignee of this one stay; the other one is to be removed.
    ///
    /// # Errors
    ///
    /// Too many fingerprints, or one that both have. Nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<Merged, MergeError> {
        let count = self.tallies.len() + other.tallies.len();
        if count > FINGERPRINTS_MAX {
            return Err(MergeError::TooMany(count));
        }
        if let Some(both) = other.fingerprints().find(|fingerprint| self.place(fingerprint).is_some()) {
            return Err(MergeError::InBoth(both.to_owned()));
        }
        let merged = Merged {
            gone: Self { tallies: Vec::new(), ..other.clone() },
            fingerprints: other.fingerprints().map(str::to_owned).collect(),
            reached: self.reached,
        };
        self.moving(|issue| issue.tallies.extend(other.tallies.iter().cloned()));
        self.reached = self.reached.max(power_of_ten(self.occurrences()));
        Ok(merged)
    }

    /// Gives back the issue that was taken in, with what was counted under its fingerprints since.
    ///
    /// # Errors
    ///
    /// A fingerprint of it has gone elsewhere since. Nothing is changed then.
    pub fn undo_merge(&mut self, merged: &Merged) -> Result<Self, MergeError> {
        let tallies = self.take(&merged.fingerprints, 0)?;
        self.reached = merged.reached.max(power_of_ten(self.occurrences()));
        let mut back = Self { tallies, ..merged.gone.clone() };
        back.reached = back.reached.max(power_of_ten(back.occurrences()));
        Ok(back)
    }

    /// Makes an issue of its own, open, of some of the fingerprints.
    ///
    /// # Errors
    ///
    /// A fingerprint that is not there, or none that goes, or none that stays. Nothing is changed then.
    pub fn split(&mut self, fingerprints: &[String], id: impl Into<String>) -> Result<(Self, Split), MergeError> {
        let order = self.fingerprints().map(str::to_owned).collect();
        let tallies = self.take(fingerprints, 1)?;
        let mut apart = Self { tallies, ..Self::new(id) };
        apart.reached = power_of_ten(apart.occurrences());
        Ok((apart, Split { order }))
    }

    /// Takes back what a split made an issue of its own, which is to be removed.
    ///
    /// # Errors
    ///
    /// Those of [`Issue::merge`].
    pub fn undo_split(&mut self, apart: &Self, split: &Split) -> Result<(), MergeError> {
        let reached = self.reached;
        self.merge(apart)?;
        self.reached = reached.max(power_of_ten(self.occurrences()));
        let place = |tally: &Tally| split.order.iter().position(|known| *known == tally.fingerprint);
        self.tallies.sort_by_key(|tally| place(tally).unwrap_or(usize::MAX));
        Ok(())
    }

    fn place(&self, fingerprint: &str) -> Option<usize> {
        self.tallies.iter().position(|tally| tally.fingerprint == fingerprint)
    }

    /// Takes the tallies of some fingerprints; so many others must stay.
    fn take(&mut self, fingerprints: &[String], staying_min: usize) -> Result<Vec<Tally>, MergeError> {
        if let Some(missing) = fingerprints.iter().find(|fingerprint| self.place(fingerprint).is_none()) {
            return Err(MergeError::NotThere(missing.clone()));
        }
        let (going, staying): (Vec<Tally>, Vec<Tally>) =
            self.tallies.iter().cloned().partition(|tally| fingerprints.contains(&tally.fingerprint));
        if staying.len() < staying_min || going.is_empty() && staying_min > 0 {
            return Err(MergeError::NothingLeft);
        }
        self.moving(|issue| issue.tallies = staying);
        Ok(going)
    }

    /// Moves tallies. What comes or goes with them did not happen: of an ignore as many occurrences are left as before.
    fn moving(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.occurrences();
        change(self);
        let after = self.occurrences();
        if let Some(Ignore::Upto { occurrences }) = &mut self.ignore {
            *occurrences = occurrences.saturating_sub(before).saturating_add(after);
        }
    }
}
