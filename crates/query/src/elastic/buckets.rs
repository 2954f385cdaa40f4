//! The tree of aggregations while events are looked at: which bucket of each a row falls into, level by level.
//!
//! Each aggregation numbers its buckets across all buckets of the one above it. It is handed rows with the number of the
//! bucket they are in, and hands them on with the numbers of its own. Trees of several threads are then made one.

use std::collections::BTreeSet;

use arrow::array::Array as _;
use arrow::buffer::BooleanBuffer;
use hashbrown::HashMap;

use super::aggs::{Composite, Dates, Kind, Plan, Source};
use super::collect::View;
use super::dates::{self, Moments};
use super::hits::Ranking;
use super::metrics::{Distinct, Spread, Summaries};
use super::values::{Column, FieldView, One, whole};
use crate::QueryError;
use crate::evaluate::matches;

/// Most entries of all aggregations of a question together: buckets, distinct values, hits.
pub(crate) const ENTRIES_MAX: usize = 4 << 20;

/// A key that stands for a missing value in a composite key.
pub(crate) const NO_VALUE: u64 = u64::MAX;

/// Rows of a batch with the bucket of the aggregation above that each is in. A row may be in several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Docs {
    pub(crate) rows: Vec<u32>,
    pub(crate) owners: Vec<u32>,
}

impl Docs {
    /// All rows that are set, in one bucket.
    pub(crate) fn all(passed: &BooleanBuffer) -> Self {
        let rows: Vec<u32> = passed.set_indices().filter_map(|row| u32::try_from(row).ok()).collect();
        Self { owners: vec![0; rows.len()], rows }
    }

    fn push(&mut self, row: u32, owner: u32) {
        self.rows.push(row);
        self.owners.push(owner);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u32)> {
        self.rows.iter().zip(&self.owners).map(|(row, owner)| (*row as usize, *owner))
    }
}

/// A value in the one form in which values of several types are the same: `7` and `"7"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Term {
    Bool(bool),
    Int(i64),
    /// The bits of a double that is no whole number.
    Float(u64),
    Text(Box<str>),
}

/// The same without memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Same<'a> {
    Bool(bool),
    Int(i64),
    Float(u64),
    Text(&'a str),
}

impl<'a> Same<'a> {
    pub(crate) fn of(one: One<'a>) -> Self {
        match one {
            One::Bool(truth) => Self::Bool(truth),
            One::Int(number) => Self::Int(number),
            One::Time(micros) => Self::Int(micros.div_euclid(dates::MILLI)),
            One::Float(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => Self::Int(whole(number)),
            One::Float(number) => Self::Float(number.to_bits()),
            One::Text(text) => Self::of_text(text),
        }
    }

    fn of_text(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b'0'..=b'9' | b'-') if text.len() <= 24 => {}
            Some(b't') if text == "true" => return Self::Bool(true),
            Some(b'f') if text == "false" => return Self::Bool(false),
            _ => return Self::Text(text),
        }
        match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => return Self::Int(number),
            _ => {}
        }
        match text.parse::<f64>() {
            Ok(number) if number.fract() != 0.0 && number.to_string() == text => Self::Float(number.to_bits()),
            _ => Self::Text(text),
        }
    }

    fn kept(self) -> Term {
        match self {
            Self::Bool(truth) => Term::Bool(truth),
            Self::Int(number) => Term::Int(number),
            Self::Float(bits) => Term::Float(bits),
            Self::Text(text) => Term::Text(text.into()),
        }
    }
}

/// The values of a field, each with a number.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    texts: HashMap<Box<str>, u32>,
    others: HashMap<Same<'static>, u32>,
    pub(crate) list: Vec<Term>,
    /// Of which types values were.
    pub(crate) seen: Seen,
    bytes: usize,
}

/// Of which types the values of a field are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) texts: bool,
    pub(crate) floats: bool,
    pub(crate) ints: bool,
    pub(crate) bools: bool,
    pub(crate) times: bool,
}

impl Seen {
    fn add(&mut self, one: One<'_>) {
        match one {
            One::Bool(_) => self.bools = true,
            One::Int(_) => self.ints = true,
            One::Float(_) => self.floats = true,
            One::Text(_) => self.texts = true,
            One::Time(_) => self.times = true,
        }
    }

    fn merge(&mut self, other: Self) {
        self.texts |= other.texts;
        self.floats |= other.floats;
        self.ints |= other.ints;
        self.bools |= other.bools;
        self.times |= other.times;
    }

    /// Whether the values are shown as texts: they are, or they are not all of one kind.
    pub(crate) fn as_texts(self) -> bool {
        self.texts || (self.bools && (self.ints || self.floats))
    }
}

impl Terms {
    pub(crate) fn number(&mut self, one: One<'_>) -> u32 {
        self.seen.add(one);
        self.number_of(Same::of(one))
    }

    fn number_of(&mut self, same: Same<'_>) -> u32 {
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let other = match same {
            Same::Text(text) => {
                if let Some(number) = self.texts.get(text) {
                    return *number;
                }
                self.texts.insert(text.into(), next);
                None
            }
            Same::Bool(truth) => Some(Same::Bool(truth)),
            Same::Int(number) => Some(Same::Int(number)),
            Same::Float(bits) => Some(Same::Float(bits)),
        };
        if let Some(other) = other {
            let known = *self.others.entry(other).or_insert(next);
            if known != next {
                return known;
            }
        }
        self.bytes += if let Same::Text(text) = same { text.len() } else { 0 };
        self.list.push(same.kept());
        next
    }

    /// The numbers of another's values here.
    fn merge(&mut self, other: &Self) -> Vec<u32> {
        self.seen.merge(other.seen);
        other.list.iter().map(|term| self.number_of(same(term))).collect()
    }
}

fn same(term: &Term) -> Same<'_> {
    match term {
        Term::Bool(truth) => Same::Bool(*truth),
        Term::Int(number) => Same::Int(*number),
        Term::Float(bits) => Same::Float(*bits),
        Term::Text(text) => Same::Text(text),
    }
}

/// Buckets by the bucket above and a key.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    map: HashMap<(u32, u64), u32>,
    /// Owner and key of each.
    pub(crate) list: Vec<(u32, u64)>,
    pub(crate) counts: Vec<u64>,
    last: Option<((u32, u64), u32)>,
}

impl Buckets {
    pub(crate) fn at(&mut self, owner: u32, key: u64) -> u32 {
        let place = (owner, key);
        if let Some((last, bucket)) = self.last
            && last == place
        {
            return bucket;
        }
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let bucket = *self.map.entry(place).or_insert(next);
        if bucket == next {
            self.list.push(place);
            self.counts.push(0);
        }
        self.last = Some((place, bucket));
        bucket
    }

    fn count(&mut self, bucket: u32, more: u64) {
        self.counts[bucket as usize] += more;
    }

    /// Counts one more; the bucket.
    fn hit(&mut self, owner: u32, key: u64) -> u32 {
        let bucket = self.at(owner, key);
        self.count(bucket, 1);
        bucket
    }
}

/// Buckets by keys of several values.
#[derive(Debug, Default)]
pub(crate) struct Tuples {
    pub(crate) sources: Vec<Terms>,
    map: HashMap<(u32, Box<[u64]>), u32>,
    pub(crate) list: Vec<(u32, Box<[u64]>)>,
    pub(crate) counts: Vec<u64>,
}

impl Tuples {
    fn at(&mut self, owner: u32, key: Box<[u64]>) -> u32 {
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let bucket = *self.map.entry((owner, key.clone())).or_insert(next);
        if bucket == next {
            self.list.push((owner, key));
            self.counts.push(0);
        }
        bucket
    }
}

/// What an aggregation knows so far.
#[derive(Debug)]
pub(crate) enum State {
    Terms(Terms, Buckets),
    /// Histograms; the key is the start of the bucket, or its number.
    Steps(Buckets),
    /// So many buckets for each of the one above, by their place.
    Fixed(Vec<u64>),
    Tuples(Tuples),
    Summaries(Summaries),
    Distinct(Distinct),
    Spread(Spread),
    Top(Vec<Ranking>, Vec<u64>),
}

/// One aggregation with those below it.
#[derive(Debug)]
pub(crate) struct Node<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) state: State,
    pub(crate) inner: Vec<Self>,
}

impl<'p> Node<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Self {
        let state = match &plan.kind {
            Kind::Terms(_) => State::Terms(Terms::default(), Buckets::default()),
            Kind::Histogram(_) | Kind::Dates(_) => State::Steps(Buckets::default()),
            Kind::Ranges(_) | Kind::Filters(_) | Kind::Missing(_) | Kind::Global => State::Fixed(Vec::new()),
            Kind::Composite(composite) => {
                let sources = composite.sources.iter().map(|_| Terms::default()).collect();
                State::Tuples(Tuples { sources, ..Tuples::default() })
            }
            Kind::Top(_) => State::Top(Vec::new(), Vec::new()),
            Kind::Metric(metric) => metric.state(),
        };
        Self { plan, state, inner: plan.inner.iter().map(Node::new).collect() }
    }

    /// How many entries it and those below have.
    pub(crate) fn entries(&self) -> usize {
        let own = match &self.state {
            // Long texts count by their length.
            State::Terms(terms, buckets) => buckets.list.len() + terms.list.len() + terms.bytes / 32,
            State::Steps(buckets) => buckets.list.len(),
            State::Fixed(counts) => counts.len(),
            State::Tuples(tuples) => {
                let bytes: usize = tuples.sources.iter().map(|terms| terms.list.len() + terms.bytes / 32).sum();
                tuples.list.len() * (1 + tuples.sources.len() / 2) + bytes
            }
            State::Summaries(summaries) => summaries.list.len(),
            State::Distinct(distinct) => distinct.len(),
            State::Spread(spread) => spread.bytes() / 32,
            State::Top(rankings, _) => rankings.iter().map(Ranking::len).sum(),
        };
        own + self.inner.iter().map(Node::entries).sum::<usize>()
    }

    /// Looks at some rows.
    pub(crate) fn collect(&mut self, view: &View<'_>, docs: &Docs) -> Result<(), QueryError> {
        if docs.rows.is_empty() {
            return Ok(());
        }
        let wanted = !self.inner.is_empty();
        let mut inner = Docs::default();
        let mut note = |row: usize, bucket: u32| {
            if wanted && let Ok(row) = u32::try_from(row) {
                inner.push(row, bucket);
            }
        };
        match (&self.plan.kind, &mut self.state) {
            (Kind::Terms(plan), State::Terms(terms, buckets)) => {
                let missing = plan.missing.as_ref().map(|missing| missing.one());
                of_terms(&view.fields[plan.field], (terms, buckets), missing, docs, &mut note);
            }
            (Kind::Histogram(plan), State::Steps(buckets)) => {
                let field = &view.fields[plan.field];
                let step = |one: One<'_>| {
                    one.number().map(|number| whole(((number - plan.offset) / plan.interval).floor()).cast_unsigned())
                };
                let missing = plan.missing.and_then(|missing| step(One::Float(missing)));
                of_steps(field, buckets, (&mut { step }, missing), docs, &mut note);
            }
            (Kind::Dates(plan), State::Steps(buckets)) => {
                let mut around = Rounding::new(plan);
                let missing = plan.missing.map(|micros| around.start(micros).cast_unsigned());
                let mut step = |one: One<'_>| one.micros().map(|micros| around.start(micros).cast_unsigned());
                of_steps(&view.fields[plan.field], buckets, (&mut step, missing), docs, &mut note);
            }
            (Kind::Composite(plan), State::Tuples(tuples)) => of_tuples(plan, tuples, view, docs, &mut note)?,
            (Kind::Top(plan), State::Top(rankings, counts)) => {
                for (row, owner) in docs.iter() {
                    let at = owner as usize;
                    if rankings.len() <= at {
                        rankings.resize_with(at + 1, || Ranking::new(&plan.order, plan.wanted()));
                        counts.resize(at + 1, 0);
                    }
                    counts[at] += 1;
                    rankings[at].offer(view, row, plan.first_field);
                }
            }
            (Kind::Metric(metric), state) => metric.collect(&view.fields[metric.field], docs, state),
            (kind, State::Fixed(counts)) => fixed(kind, counts, view, docs, &mut note),
            _ => {}
        }
        self.inner.iter_mut().try_for_each(|node| node.collect(view, &inner))
    }

    /// Adds what another thread's tree of the same plan knows. `owners` are the numbers here of the other's buckets above.
    pub(crate) fn merge(&mut self, other: Self, owners: &[u32]) {
        let mine: Vec<u32> = match (&mut self.state, other.state) {
            (State::Terms(terms, buckets), State::Terms(theirs, others)) => {
                let numbers = terms.merge(&theirs);
                let moved = |key: u64| usize::try_from(key).map_or(key, |key| u64::from(numbers[key]));
                merge_buckets(buckets, &others, owners, moved)
            }
            (State::Steps(buckets), State::Steps(others)) => merge_buckets(buckets, &others, owners, |key| key),
            (State::Fixed(counts), State::Fixed(theirs)) => {
                let size = self.plan.kind.fixed().max(1);
                let places: Vec<usize> =
                    (0..theirs.len()).map(|at| owners[at / size] as usize * size + at % size).collect();
                for (place, count) in places.iter().zip(&theirs) {
                    if counts.len() <= *place {
                        counts.resize(place + 1, 0);
                    }
                    counts[*place] += count;
                }
                places.into_iter().filter_map(|place| u32::try_from(place).ok()).collect()
            }
            (State::Tuples(tuples), State::Tuples(theirs)) => merge_tuples(tuples, &theirs, owners),
            (State::Summaries(summaries), State::Summaries(theirs)) => return summaries.merge(&theirs, owners),
            (State::Distinct(distinct), State::Distinct(theirs)) => return distinct.merge(&theirs, owners),
            (State::Spread(spread), State::Spread(theirs)) => return spread.merge(&theirs, owners),
            (State::Top(rankings, counts), State::Top(theirs, more)) => {
                for ((ranking, count), owner) in theirs.into_iter().zip(more).zip(owners) {
                    let at = *owner as usize;
                    if rankings.len() <= at {
                        rankings.resize_with(at + 1, || ranking.empty());
                        counts.resize(at + 1, 0);
                    }
                    rankings[at].merge(ranking);
                    counts[at] += count;
                }
                return;
            }
            _ => return,
        };
        for (node, theirs) in self.inner.iter_mut().zip(other.inner) {
            node.merge(theirs, &mine);
        }
    }
}

fn merge_buckets(mine: &mut Buckets, theirs: &Buckets, owners: &[u32], moved: impl Fn(u64) -> u64) -> Vec<u32> {
    let each = theirs.list.iter().zip(&theirs.counts);
    each.map(|((owner, key), count)| {
        let bucket = mine.at(owners[*owner as usize], moved(*key));
        mine.count(bucket, *count);
        bucket
    })
    .collect()
}

fn merge_tuples(mine: &mut Tuples, theirs: &Tuples, owners: &[u32]) -> Vec<u32> {
    let numbers: Vec<Vec<u32>> =
        mine.sources.iter_mut().zip(&theirs.sources).map(|(terms, others)| terms.merge(others)).collect();
    let each = theirs.list.iter().zip(&theirs.counts);
    each.map(|((owner, key), count)| {
        let moved = key.iter().zip(&numbers).map(|(key, numbers)| match usize::try_from(*key) {
            // Sources that are steps have no numbers: their keys are the same everywhere.
            Ok(at) if *key != NO_VALUE && !numbers.is_empty() => u64::from(numbers[at]),
            _ => *key,
        });
        let bucket = mine.at(owners[*owner as usize], moved.collect());
        mine.counts[bucket as usize] += count;
        bucket
    })
    .collect()
}

fn of_terms(
    field: &FieldView<'_>,
    (terms, buckets): (&mut Terms, &mut Buckets),
    missing: Option<One<'_>>,
    docs: &Docs,
    note: &mut impl FnMut(usize, u32),
) {
    let missing = missing.map(|one| u64::from(terms.number(one)));
    let Some(Column::Coded(coded, texts)) = field.only() else {
        let find = |row: usize, keys: &mut Keys| {
            field.each(row, &mut |one| keys.add(u64::from(terms.number(one))));
        };
        return by_keys(buckets, (docs, missing), find, note);
    };
    // Most rows have a value that another row of the batch had: each text is looked up once.
    let mut numbers: Vec<Option<u32>> = vec![None; texts.len()];
    let codes = coded.keys();
    for (row, owner) in docs.iter() {
        let key = if codes.is_valid(row) {
            let at = usize::try_from(codes.value(row)).unwrap_or(0);
            Some(u64::from(*numbers[at].get_or_insert_with(|| terms.number(One::Text(texts.value(at))))))
        } else {
            missing
        };
        if let Some(key) = key {
            note(row, buckets.hit(owner, key));
        }
    }
}

fn of_steps<S: FnMut(One<'_>) -> Option<u64>>(
    field: &FieldView<'_>,
    buckets: &mut Buckets,
    (step, missing): (&mut S, Option<u64>),
    docs: &Docs,
    note: &mut impl FnMut(usize, u32),
) {
    let find = |row: usize, keys: &mut Keys| match field.only() {
        Some(Column::Time(times)) => step(One::Time(times.value(row))).into_iter().for_each(|key| keys.add(key)),
        _ => field.each(row, &mut |one| step(one).into_iter().for_each(|key| keys.add(key))),
    };
    by_keys(buckets, (docs, missing), find, note);
}

/// The different keys of one row.
#[derive(Default)]
struct Keys(Vec<u64>);

impl Keys {
    fn add(&mut self, key: u64) {
        if !self.0.contains(&key) {
            self.0.push(key);
        }
    }
}

/// Counts each row in the buckets of its keys; one that has none in that of `missing`, if there is such a key.
fn by_keys(
    buckets: &mut Buckets,
    (docs, missing): (&Docs, Option<u64>),
    mut find: impl FnMut(usize, &mut Keys),
    note: &mut impl FnMut(usize, u32),
) {
    let mut keys = Keys::default();
    for (row, owner) in docs.iter() {
        keys.0.clear();
        find(row, &mut keys);
        if keys.0.is_empty() {
            keys.0.extend(missing);
        }
        keys.0.iter().for_each(|key| note(row, buckets.hit(owner, *key)));
    }
}

fn fixed(kind: &Kind, counts: &mut Vec<u64>, view: &View<'_>, docs: &Docs, note: &mut impl FnMut(usize, u32)) {
    let size = kind.fixed().max(1);
    let mut hit = |row: usize, owner: u32, place: usize| {
        let at = owner as usize * size + place;
        if counts.len() <= at {
            counts.resize((owner as usize + 1) * size, 0);
        }
        counts[at] += 1;
        if let Ok(bucket) = u32::try_from(at) {
            note(row, bucket);
        }
    };
    match kind {
        Kind::Global => docs.iter().for_each(|(row, owner)| hit(row, owner, 0)),
        Kind::Missing(field) => {
            for (row, owner) in docs.iter() {
                let mut any = false;
                view.fields[*field].each(row, &mut |_| any = true);
                if !any {
                    hit(row, owner, 0);
                }
            }
        }
        Kind::Filters(plan) => {
            let filters: Vec<BooleanBuffer> = plan
                .filters
                .iter()
                .map(|(_, filter)| matches(&super::search::for_log(filter, view.log), view.batch))
                .collect();
            for (row, owner) in docs.iter() {
                let mut any = false;
                for (place, passed) in filters.iter().enumerate() {
                    if passed.value(row) {
                        any = true;
                        hit(row, owner, place);
                    }
                }
                if !any && plan.other.is_some() {
                    hit(row, owner, filters.len());
                }
            }
        }
        Kind::Ranges(plan) => {
            for (row, owner) in docs.iter() {
                inside(plan, &view.fields[plan.field], row).into_iter().for_each(|place| hit(row, owner, place));
            }
        }
        _ => {}
    }
}

/// The ranges that some value of a row is in, each once.
fn inside(plan: &super::aggs::Ranges, field: &FieldView<'_>, row: usize) -> BTreeSet<usize> {
    let mut inside = BTreeSet::new();
    let mut add = |number: f64| {
        let within = plan.ranges.iter().enumerate().filter(|(_, range)| range.has(number));
        inside.extend(within.map(|(place, _)| place));
    };
    let mut any = false;
    field.each(row, &mut |one| {
        any = true;
        let millis = || one.micros().map(|micros| super::values::float(micros) / 1000.0);
        if let Some(number) = if plan.dates { millis() } else { one.number() } {
            add(number);
        }
    });
    if let Some(missing) = plan.missing.filter(|_| !any) {
        add(missing);
    }
    inside
}

fn of_tuples(
    plan: &Composite,
    tuples: &mut Tuples,
    view: &View<'_>,
    docs: &Docs,
    note: &mut impl FnMut(usize, u32),
) -> Result<(), QueryError> {
    let mut roundings: Vec<Option<Rounding<'_>>> = plan
        .sources
        .iter()
        .map(|source| if let Source::Dates(dates) = &source.kind { Some(Rounding::new(dates)) } else { None })
        .collect();
    for (row, owner) in docs.iter() {
        let mut keys: Vec<Vec<u64>> = vec![Vec::new()];
        for (at, source) in plan.sources.iter().enumerate() {
            let mut values: Vec<u64> = Vec::new();
            view.fields[source.field].each(row, &mut |one| {
                let key = match (&source.kind, &mut roundings[at]) {
                    (Source::Histogram(interval), _) => {
                        one.number().map(|number| whole((number / interval).floor()).cast_unsigned())
                    }
                    (Source::Dates(_), Some(rounding)) => {
                        one.micros().map(|micros| rounding.start(micros).cast_unsigned())
                    }
                    _ => Some(u64::from(tuples.sources[at].number(one))),
                };
                values.extend(key.filter(|key| !values.contains(key)));
            });
            if values.is_empty() && source.with_missing {
                values.push(NO_VALUE);
            }
            if keys.len().saturating_mul(values.len()) > 4096 {
                return Err(QueryError::TooLarge {
                    what: "keys of one event in a composite aggregation",
                    limit: "4096".to_owned(),
                });
            }
            keys = keys
                .iter()
                .flat_map(|key| values.iter().map(move |value| key.iter().copied().chain([*value]).collect()))
                .collect();
        }
        for key in keys {
            let bucket = tuples.at(owner, key.into());
            tuples.counts[bucket as usize] += 1;
            note(row, bucket);
        }
    }
    Ok(())
}

/// Finds the bucket of dates; remembers the last one, which is mostly the next one too.
pub(crate) struct Rounding<'p> {
    plan: &'p Dates,
    last: Moments,
}

impl<'p> Rounding<'p> {
    pub(crate) fn new(plan: &'p Dates) -> Self {
        Self { plan, last: Moments { start: 1, end: 0 } }
    }

    /// Milliseconds at which the bucket of an instant begins.
    pub(crate) fn start(&mut self, micros: i64) -> i64 {
        if micros < self.last.start || micros >= self.last.end {
            self.last = self.plan.around(micros);
        }
        self.last.start.div_euclid(dates::MILLI)
    }
}
