//! Aggregations that are numbers: of each bucket above, what its values come to.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use arrow::array::Array as _;

use super::aggs::{Measure, Metric};
use super::buckets::{Docs, Same, State};
use super::values::{Column, FieldView, One, float};
use crate::percentile::histogram::Histogram;

/// Count, sum, least and greatest of the numbers of one bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    /// What the sum has lost to rounding so far.
    lost: f64,
    pub(crate) squares: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Default for Summary {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, lost: 0.0, squares: 0.0, least: f64::INFINITY, greatest: f64::NEG_INFINITY }
    }
}

impl Summary {
    fn add(&mut self, number: f64) {
        self.count += 1;
        self.plus(number);
        self.squares += number * number;
        self.least = self.least.min(number);
        self.greatest = self.greatest.max(number);
    }

    /// Adds as Kahan does, so that millions of small numbers are not lost beside a large sum.
    fn plus(&mut self, number: f64) {
        let corrected = number - self.lost;
        let sum = self.sum + corrected;
        self.lost = if sum.is_finite() { (sum - self.sum) - corrected } else { 0.0 };
        self.sum = sum;
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.plus(other.sum);
        self.squares += other.squares;
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
    }

    pub(crate) fn average(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / count(self.count))
    }

    /// Of the population.
    pub(crate) fn variance(&self) -> Option<f64> {
        let average = self.average()?;
        Some((self.squares / count(self.count) - average * average).max(0.0))
    }
}

pub(crate) fn count(number: u64) -> f64 {
    float(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The summaries of all buckets above.
#[derive(Debug, Default)]
pub(crate) struct Summaries {
    pub(crate) list: Vec<Summary>,
    /// Whether the numbers are dates.
    pub(crate) dates: bool,
}

impl Summaries {
    fn at(&mut self, owner: u32) -> &mut Summary {
        let at = owner as usize;
        if self.list.len() <= at {
            self.list.resize(at + 1, Summary::default());
        }
        &mut self.list[at]
    }

    pub(crate) fn merge(&mut self, other: &Self, owners: &[u32]) {
        self.dates |= other.dates;
        for (summary, owner) in other.list.iter().zip(owners) {
            self.at(*owner).merge(summary);
        }
    }
}

/// The different values of all buckets above: a hash of 64 bits for each.
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    seen: HashSet<(u32, u64)>,
}

impl Distinct {
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// How many there are in each bucket above.
    pub(crate) fn counts(&self) -> hashbrown::HashMap<u32, u64> {
        let mut counts = hashbrown::HashMap::new();
        self.seen.iter().for_each(|(owner, _)| *counts.entry(*owner).or_insert(0) += 1);
        counts
    }

    pub(crate) fn merge(&mut self, other: &Self, owners: &[u32]) {
        self.seen.extend(other.seen.iter().map(|(owner, hash)| (owners[*owner as usize], *hash)));
    }
}

fn hash_of(one: One<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    Same::of(one).hash(&mut hasher);
    hasher.finish()
}

/// How the numbers of all buckets above are spread.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    pub(crate) list: Vec<Histogram>,
    pub(crate) dates: bool,
}

impl Spread {
    fn at(&mut self, owner: u32) -> &mut Histogram {
        let at = owner as usize;
        if self.list.len() <= at {
            self.list.resize_with(at + 1, Histogram::default);
        }
        &mut self.list[at]
    }

    pub(crate) fn bytes(&self) -> usize {
        self.list.iter().map(Histogram::bytes).sum()
    }

    pub(crate) fn merge(&mut self, other: &Self, owners: &[u32]) {
        self.dates |= other.dates;
        let mut written = Vec::new();
        for (histogram, owner) in other.list.iter().zip(owners) {
            written.clear();
            histogram.write(&mut written);
            self.at(*owner).merge(&written);
        }
    }
}

impl Metric {
    pub(crate) fn state(&self) -> State {
        match self.measure {
            Measure::Cardinality => State::Distinct(Distinct::default()),
            Measure::Percentiles { .. } | Measure::Ranks { .. } => State::Spread(Spread::default()),
            _ => State::Summaries(Summaries::default()),
        }
    }

    pub(crate) fn collect(&self, field: &FieldView<'_>, docs: &Docs, state: &mut State) {
        match state {
            State::Distinct(distinct) => self.distinct(field, docs, distinct),
            State::Summaries(summaries) if self.measure == Measure::Count => {
                self.values(field, docs, &mut |owner, _| summaries.at(owner).count += 1);
            }
            State::Summaries(summaries) => {
                let Summaries { list, dates } = summaries;
                self.values(field, docs, &mut |owner, one| {
                    if let Some(number) = one.number() {
                        *dates |= one.is_date();
                        if list.len() <= owner as usize {
                            list.resize(owner as usize + 1, Summary::default());
                        }
                        list[owner as usize].add(number);
                    }
                });
            }
            State::Spread(spread) => self.values(field, docs, &mut |owner, one| {
                if let Some(number) = one.number() {
                    spread.dates |= one.is_date();
                    spread.at(owner).add(number);
                }
            }),
            _ => {}
        }
    }

    /// Each value of each row with the bucket above.
    fn values(&self, field: &FieldView<'_>, docs: &Docs, see: &mut dyn FnMut(u32, One<'_>)) {
        let missing = self.missing.as_ref().map(super::aggs::Missing::one);
        match (field.only(), missing) {
            (Some(Column::Int(numbers)), None) => {
                let valid = docs.iter().filter(|(row, _)| numbers.is_valid(*row));
                valid.for_each(|(row, owner)| see(owner, One::Int(numbers.value(row))));
            }
            (Some(Column::Float(numbers)), None) => {
                let valid = docs.iter().filter(|(row, _)| numbers.is_valid(*row));
                valid.for_each(|(row, owner)| see(owner, One::Float(numbers.value(row))));
            }
            _ => {
                for (row, owner) in docs.iter() {
                    let mut any = false;
                    field.each(row, &mut |one| {
                        any = true;
                        see(owner, one);
                    });
                    if let Some(missing) = missing.filter(|_| !any) {
                        see(owner, missing);
                    }
                }
            }
        }
    }

    fn distinct(&self, field: &FieldView<'_>, docs: &Docs, distinct: &mut Distinct) {
        if let (Some(Column::Coded(coded, texts)), None) = (field.only(), &self.missing) {
            let mut hashes: Vec<Option<u64>> = vec![None; texts.len()];
            let keys = coded.keys();
            for (row, owner) in docs.iter().filter(|(row, _)| keys.is_valid(*row)) {
                let at = usize::try_from(keys.value(row)).unwrap_or(0);
                let hash = *hashes[at].get_or_insert_with(|| hash_of(One::Text(texts.value(at))));
                distinct.seen.insert((owner, hash));
            }
            return;
        }
        self.values(field, docs, &mut |owner, one| {
            distinct.seen.insert((owner, hash_of(one)));
        });
    }
}
