//! Aggregations in the shape of Elasticsearch's answers.

use std::cmp::Ordering;

use hashbrown::HashMap;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::aggs::{
    BUCKETS_MAX, BucketOrder, By, Chosen, Composite, CompositeSource, Dates, Histogram, Kind, Measure, Metric, Plan,
    Range, Ranges, Shape, Source, TermsPlan, Top,
};
use super::buckets::{Buckets, NO_VALUE, Node, Seen, State, Term, Terms, Tuples};
use super::collect::Part;
use super::hits::{Page, Ranking};
use super::metrics::{Summary, count};
use super::typed::type_of;
use super::values::{float, whole};
use super::{ElasticError, dates, scalar};

/// A tree whose buckets can be found by the bucket above.
struct Indexed<'n, 'p> {
    node: &'n Node<'p>,
    by_owner: HashMap<u32, Vec<u32>>,
    distinct: HashMap<u32, u64>,
    inner: Vec<Self>,
}

impl<'n, 'p> Indexed<'n, 'p> {
    fn new(node: &'n Node<'p>) -> Self {
        let mut by_owner: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut add = |owner: u32, at: usize| by_owner.entry(owner).or_default().extend(u32::try_from(at));
        match &node.state {
            State::Terms(_, buckets) | State::Steps(buckets) => {
                buckets.list.iter().enumerate().for_each(|(at, (owner, _))| add(*owner, at));
            }
            State::Tuples(tuples) => tuples.list.iter().enumerate().for_each(|(at, (owner, _))| add(*owner, at)),
            _ => {}
        }
        let distinct = if let State::Distinct(distinct) = &node.state { distinct.counts() } else { HashMap::new() };
        Self { node, by_owner, distinct, inner: node.inner.iter().map(Indexed::new).collect() }
    }

    fn buckets(&self, owner: Option<u32>) -> &[u32] {
        owner.and_then(|owner| self.by_owner.get(&owner)).map_or(&[], Vec::as_slice)
    }

    /// The number that buckets are sorted by: of the aggregation of this name below, or below those.
    fn number(&self, names: &[String], property: Option<&str>, bucket: u32) -> f64 {
        let Some((name, rest)) = names.split_first() else { return f64::NAN };
        let Some(inner) = self.inner.iter().find(|inner| inner.node.plan.name == *name) else { return f64::NAN };
        match (&inner.node.state, &inner.node.plan.kind) {
            (State::Fixed(counts), kind) if kind.fixed() == 1 => match rest {
                [] => counts.get(bucket as usize).map_or(0.0, |number| count(*number)),
                rest => inner.number(rest, property, bucket),
            },
            (_, Kind::Metric(metric)) => inner.property(metric, property, bucket),
            _ => f64::NAN,
        }
    }

    fn property(&self, metric: &Metric, property: Option<&str>, owner: u32) -> f64 {
        let at = owner as usize;
        match &self.node.state {
            State::Distinct(_) => self.distinct.get(&owner).map_or(0.0, |number| count(*number)),
            State::Spread(spread) => {
                let percent = property.and_then(|text| text.parse::<f64>().ok()).unwrap_or(50.0);
                spread.list.get(at).and_then(|spread| spread.percentile(percent / 100.0)).unwrap_or(f64::NAN)
            }
            State::Summaries(summaries) => {
                let summary = summaries.list.get(at).copied().unwrap_or_default();
                let of = match (&metric.measure, property) {
                    (Measure::Min, _) | (_, Some("min")) => Some(summary.least).filter(|_| summary.count > 0),
                    (Measure::Max, _) | (_, Some("max")) => Some(summary.greatest).filter(|_| summary.count > 0),
                    (Measure::Sum, _) | (_, Some("sum")) => Some(summary.sum),
                    (Measure::Count, _) | (_, Some("count")) => Some(count(summary.count)),
                    (_, Some("std_deviation")) => summary.variance().map(f64::sqrt),
                    (_, Some("variance")) => summary.variance(),
                    _ => summary.average(),
                };
                of.unwrap_or(f64::NAN)
            }
            _ => f64::NAN,
        }
    }
}

/// Writes the answer; counts its buckets.
pub(crate) struct Answering<'a> {
    parts: &'a [Part<'a>],
    /// Whether names say what they are.
    typed: bool,
    buckets: usize,
}

type Members = Map<String, Value>;
type Result<T> = std::result::Result<T, ElasticError>;

impl<'a> Answering<'a> {
    pub(crate) fn new(parts: &'a [Part<'a>], typed: bool) -> Self {
        Self { parts, typed, buckets: 0 }
    }

    /// The name of an aggregation in the answer.
    fn name(&self, node: &Node<'_>) -> String {
        let name = &node.plan.name;
        if self.typed { format!("{}#{name}", type_of(node)) } else { name.clone() }
    }

    /// The answers of the uppermost aggregations, by name.
    pub(crate) fn all(mut self, plans: &[Plan], trees: &[Node<'_>]) -> Result<Members> {
        let mut all = Map::new();
        for plan in plans {
            if let Some(tree) = trees.iter().find(|tree| std::ptr::eq(tree.plan, plan)) {
                all.insert(self.name(tree), self.answer(&Indexed::new(tree), Some(0))?);
            }
        }
        Ok(all)
    }

    fn answer(&mut self, tree: &Indexed<'_, '_>, owner: Option<u32>) -> Result<Value> {
        let mut answer = match (&tree.node.plan.kind, &tree.node.state) {
            (Kind::Terms(plan), State::Terms(terms, buckets)) => self.terms(tree, (plan, terms, buckets), owner)?,
            (Kind::Histogram(plan), State::Steps(buckets)) => self.histogram(tree, (plan, buckets), owner)?,
            (Kind::Dates(plan), State::Steps(buckets)) => self.dates(tree, (plan, buckets), owner)?,
            (Kind::Composite(plan), State::Tuples(tuples)) => self.composite(tree, (plan, tuples), owner)?,
            (Kind::Top(plan), State::Top(rankings, counts)) => self.top(plan, rankings, counts, owner),
            (Kind::Metric(metric), _) => metric_answer(metric, tree, owner),
            (_, State::Fixed(counts)) => self.fixed(tree, counts, owner)?,
            _ => Map::new(),
        };
        if let Some(meta) = &tree.node.plan.meta {
            answer.insert("meta".to_owned(), meta.clone());
        }
        Ok(Value::Object(answer))
    }

    /// What every bucket has: how many events, and the aggregations below.
    fn fill(&mut self, bucket: &mut Members, tree: &Indexed<'_, '_>, (count, place): (u64, Option<u32>)) -> Result<()> {
        self.buckets += 1;
        if self.buckets > BUCKETS_MAX {
            let reason = format!(
                "Trying to create too many buckets. Must be less than or equal to: [{BUCKETS_MAX}] but was [{}].",
                self.buckets
            );
            return Err(ElasticError::too_many("too_many_buckets_exception", reason));
        }
        bucket.insert("doc_count".to_owned(), json!(count));
        for inner in &tree.inner {
            bucket.insert(self.name(inner.node), self.answer(inner, place)?);
        }
        Ok(())
    }

    fn terms(
        &mut self,
        tree: &Indexed<'_, '_>,
        (plan, terms, buckets): (&TermsPlan, &Terms, &Buckets),
        owner: Option<u32>,
    ) -> Result<Members> {
        let term = |bucket: u32| &terms.list[usize::try_from(buckets.list[bucket as usize].1).unwrap_or(0)];
        let amount = |bucket: u32| buckets.counts[bucket as usize];
        let wanted = |bucket: &u32| {
            let text = text_of(term(*bucket));
            amount(*bucket) >= plan.min_count
                && plan.include.as_ref().is_none_or(|chosen| is_chosen(chosen, &text))
                && plan.exclude.as_ref().is_none_or(|chosen| !is_chosen(chosen, &text))
        };
        let picky = plan.include.is_some() || plan.exclude.is_some() || plan.min_count > 1;
        let mut found: Vec<u32> =
            tree.buckets(owner).iter().copied().filter(|bucket| !picky || wanted(bucket)).collect();
        let all: u64 = found.iter().map(|bucket| amount(*bucket)).sum();
        let by_key = |one: &u32, two: &u32| compare_terms(term(*one), term(*two), terms.seen);
        for order in &plan.order {
            check_order(tree, order)?;
        }
        let compare = |one: &u32, two: &u32| {
            let orders = plan.order.iter().map(|order| match &order.by {
                By::Count => directed(amount(*one).cmp(&amount(*two)), order.descending),
                By::Key => directed(by_key(one, two), order.descending),
                By::Metric(names, property) => {
                    let number = |bucket: &u32| tree.number(names, property.as_deref(), *bucket);
                    compare_numbers(number(one), number(two), order.descending)
                }
            });
            orders.fold(Ordering::Equal, Ordering::then).then_with(|| by_key(one, two))
        };
        // The best of many need no order of all.
        if found.len() > plan.size.saturating_mul(4) {
            found.select_nth_unstable_by(plan.size, compare);
            found.truncate(plan.size);
        }
        found.sort_by(compare);
        found.truncate(plan.size);
        let mut listed = Vec::with_capacity(found.len());
        for bucket in &found {
            let mut shown = Map::new();
            key_json(term(*bucket), terms.seen, plan.format.as_deref(), &mut shown);
            self.fill(&mut shown, tree, (amount(*bucket), Some(*bucket)))?;
            listed.push(Value::Object(shown));
        }
        let others = all - found.iter().map(|bucket| amount(*bucket)).sum::<u64>();
        Ok(Map::from_iter([
            ("doc_count_error_upper_bound".to_owned(), json!(0)),
            ("sum_other_doc_count".to_owned(), json!(others)),
            ("buckets".to_owned(), Value::Array(listed)),
        ]))
    }

    fn histogram(
        &mut self,
        tree: &Indexed<'_, '_>,
        (plan, buckets): (&Histogram, &Buckets),
        owner: Option<u32>,
    ) -> Result<Members> {
        let mut steps: Vec<(i64, Option<u32>)> =
            tree.buckets(owner).iter().map(|at| (buckets.list[*at as usize].1.cast_signed(), Some(*at))).collect();
        steps.sort_unstable();
        if plan.min_count == 0 {
            let step = |number: f64| whole(((number - plan.offset) / plan.interval).floor());
            let bounds = plan.bounds.map(|(least, greatest)| (step(least), step(greatest)));
            let first = steps.first().map(|first| first.0).into_iter().chain(bounds.map(|bounds| bounds.0)).min();
            let last = steps.last().map(|last| last.0).into_iter().chain(bounds.map(|bounds| bounds.1)).max();
            if let (Some(first), Some(last)) = (first, last) {
                check_steps(last.saturating_sub(first))?;
                let known: HashMap<i64, Option<u32>> = steps.into_iter().collect();
                steps = (first..=last).map(|step| (step, known.get(&step).copied().flatten())).collect();
            }
        }
        let mut listed = Vec::new();
        for (step, bucket) in self.ordered(tree, buckets, steps, plan.order.as_ref())? {
            let amount = bucket.map_or(0, |bucket| buckets.counts[bucket as usize]);
            if amount < plan.min_count {
                continue;
            }
            let key = float(step) * plan.interval + plan.offset;
            let mut shown = Map::from_iter([("key".to_owned(), json!(key))]);
            self.fill(&mut shown, tree, (amount, bucket))?;
            listed.push((json!(key).to_string(), shown));
        }
        Ok(listed_or_keyed(listed, plan.keyed))
    }

    fn dates(
        &mut self,
        tree: &Indexed<'_, '_>,
        (plan, buckets): (&Dates, &Buckets),
        owner: Option<u32>,
    ) -> Result<Members> {
        let mut steps: Vec<(i64, Option<u32>)> =
            tree.buckets(owner).iter().map(|at| (buckets.list[*at as usize].1.cast_signed(), Some(*at))).collect();
        steps.sort_unstable();
        let start = |millis: i64| plan.around(millis.saturating_mul(dates::MILLI)).start.div_euclid(dates::MILLI);
        if plan.min_count == 0 {
            let bounds = plan.bounds.map(|(least, greatest)| (start(least), start(greatest)));
            let first = steps.first().map(|first| first.0).into_iter().chain(bounds.map(|bounds| bounds.0)).min();
            let last = steps.last().map(|last| last.0).into_iter().chain(bounds.map(|bounds| bounds.1)).max();
            if let (Some(first), Some(last)) = (first, last) {
                steps = filled(plan, steps, first, last)?;
            }
        }
        if let Some((least, greatest)) = plan.hard {
            steps.retain(|(step, _)| (start(least)..=greatest).contains(step));
        }
        let mut listed = Vec::new();
        for (step, bucket) in self.ordered(tree, buckets, steps, plan.order.as_ref())? {
            let amount = bucket.map_or(0, |bucket| buckets.counts[bucket as usize]);
            if amount < plan.min_count {
                continue;
            }
            let text = dates::write(step, plan.format.as_deref(), &plan.zone);
            let mut shown =
                Map::from_iter([("key_as_string".to_owned(), json!(text)), ("key".to_owned(), json!(step))]);
            self.fill(&mut shown, tree, (amount, bucket))?;
            listed.push((text, shown));
        }
        Ok(listed_or_keyed(listed, plan.keyed))
    }

    fn ordered(
        &self,
        tree: &Indexed<'_, '_>,
        buckets: &Buckets,
        mut steps: Vec<(i64, Option<u32>)>,
        order: Option<&BucketOrder>,
    ) -> Result<Vec<(i64, Option<u32>)>> {
        let Some(order) = order else { return Ok(steps) };
        check_order(tree, order)?;
        let amount = |bucket: Option<u32>| bucket.map_or(0, |bucket| buckets.counts[bucket as usize]);
        let number = |names: &[String], property: &Option<String>, bucket: Option<u32>| {
            bucket.map_or(f64::NAN, |bucket| tree.number(names, property.as_deref(), bucket))
        };
        steps.sort_by(|one, two| match &order.by {
            By::Count => directed(amount(one.1).cmp(&amount(two.1)), order.descending).then(one.0.cmp(&two.0)),
            By::Key => directed(one.0.cmp(&two.0), order.descending),
            By::Metric(names, property) => {
                compare_numbers(number(names, property, one.1), number(names, property, two.1), order.descending)
                    .then(one.0.cmp(&two.0))
            }
        });
        Ok(steps)
    }

    fn fixed(&mut self, tree: &Indexed<'_, '_>, counts: &[u64], owner: Option<u32>) -> Result<Members> {
        let kind = &tree.node.plan.kind;
        let size = kind.fixed();
        let place = |at: usize| owner.and_then(|owner| u32::try_from(owner as usize * size + at).ok());
        let amount = |at: usize| place(at).and_then(|place| counts.get(place as usize)).copied().unwrap_or(0);
        let mut single = Map::new();
        match kind {
            Kind::Filters(plan) if plan.shape == Shape::Single => {
                self.fill(&mut single, tree, (amount(0), place(0)))?;
            }
            Kind::Filters(plan) => {
                let names = plan.filters.iter().map(|(name, _)| name).chain(&plan.other);
                let mut listed = Vec::new();
                for (at, name) in names.enumerate() {
                    let mut shown = Map::new();
                    if plan.shape == Shape::List && !plan.filters[0].0.is_empty() {
                        shown.insert("key".to_owned(), json!(name));
                    }
                    self.fill(&mut shown, tree, (amount(at), place(at)))?;
                    listed.push((name.clone(), shown));
                }
                return Ok(listed_or_keyed(listed, plan.shape == Shape::Keyed));
            }
            Kind::Ranges(plan) => {
                let mut listed = Vec::new();
                for (at, range) in plan.ranges.iter().enumerate() {
                    let (key, mut shown) = range_json(plan, range);
                    self.fill(&mut shown, tree, (amount(at), place(at)))?;
                    if plan.keyed {
                        shown.shift_remove("key");
                    }
                    listed.push((key, shown));
                }
                return Ok(listed_or_keyed(listed, plan.keyed));
            }
            _ => self.fill(&mut single, tree, (amount(0), place(0)))?,
        }
        Ok(single)
    }

    fn composite(
        &mut self,
        tree: &Indexed<'_, '_>,
        (plan, tuples): (&Composite, &Tuples),
        owner: Option<u32>,
    ) -> Result<Members> {
        let parts = |bucket: u32| -> Vec<KeyPart<'_>> {
            let key = &tuples.list[bucket as usize].1;
            key.iter().enumerate().map(|(at, key)| KeyPart::new(&plan.sources[at], &tuples.sources[at], *key)).collect()
        };
        let compare = |one: &[KeyPart<'_>], two: &[KeyPart<'_>]| {
            let pairs = one.iter().zip(two).zip(&plan.sources);
            pairs.map(|((one, two), source)| one.compare(two, source)).fold(Ordering::Equal, Ordering::then)
        };
        let mut found: Vec<(Vec<KeyPart<'_>>, u32)> =
            tree.buckets(owner).iter().map(|bucket| (parts(*bucket), *bucket)).collect();
        if let Some(after) = &plan.after {
            let after: Vec<KeyPart<'_>> = plan
                .sources
                .iter()
                .zip(&tuples.sources)
                .map(|(source, terms)| KeyPart::of_json(source, terms, &after[&source.name]))
                .collect::<Result<_>>()?;
            found.retain(|(parts, _)| compare(parts, &after) == Ordering::Greater);
        }
        found.sort_by(|one, two| compare(&one.0, &two.0));
        found.truncate(plan.size);
        let mut listed = Vec::with_capacity(found.len());
        let mut last = None;
        for (parts, bucket) in &found {
            let key: Members = parts
                .iter()
                .zip(&plan.sources)
                .map(|(part, source)| (source.name.clone(), part.json(source)))
                .collect();
            last = Some(key.clone());
            let mut shown = Map::from_iter([("key".to_owned(), Value::Object(key))]);
            self.fill(&mut shown, tree, (tuples.counts[*bucket as usize], Some(*bucket)))?;
            listed.push(Value::Object(shown));
        }
        let mut answer = Map::new();
        if let Some(last) = last {
            answer.insert("after_key".to_owned(), Value::Object(last));
        }
        answer.insert("buckets".to_owned(), Value::Array(listed));
        Ok(answer)
    }

    fn top(&self, plan: &Top, rankings: &[Ranking], counts: &[u64], owner: Option<u32>) -> Members {
        let at = owner.map_or(usize::MAX, |owner| owner as usize);
        let page = Page { parts: self.parts, order: &plan.order, shown: &plan.shown, with_tie: false };
        let chosen: Vec<_> =
            rankings.get(at).map_or_else(Vec::new, Ranking::sorted).into_iter().skip(plan.from).collect();
        let hits = page.hits(&chosen);
        let scored = !hits.is_empty() && plan.order.by_score();
        let total = json!({ "value": counts.get(at).copied().unwrap_or(0), "relation": "eq" });
        let hits = json!({ "total": total, "max_score": if scored { json!(1.0) } else { Value::Null }, "hits": hits });
        Map::from_iter([("hits".to_owned(), hits)])
    }
}

/// All steps from the first to the last, those without events too.
fn filled(plan: &Dates, steps: Vec<(i64, Option<u32>)>, first: i64, last: i64) -> Result<Vec<(i64, Option<u32>)>> {
    let known: HashMap<i64, Option<u32>> = steps.into_iter().collect();
    let mut all = Vec::new();
    let mut at = first;
    while at <= last {
        check_steps(i64::try_from(all.len()).unwrap_or(i64::MAX))?;
        all.push((at, known.get(&at).copied().flatten()));
        let next = plan.around(at.saturating_mul(dates::MILLI)).end.div_euclid(dates::MILLI);
        at = next.max(at + 1);
    }
    Ok(all)
}

fn check_steps(steps: i64) -> Result<()> {
    if usize::try_from(steps).is_ok_and(|steps| steps < BUCKETS_MAX) {
        return Ok(());
    }
    let reason = format!(
        "Trying to create too many buckets. Must be less than or equal to: [{BUCKETS_MAX}]: take a longer interval, or min_doc_count 1"
    );
    Err(ElasticError::too_many("too_many_buckets_exception", reason))
}

fn check_order(tree: &Indexed<'_, '_>, order: &BucketOrder) -> Result<()> {
    if let By::Metric(names, _) = &order.by
        && let Some(first) = names.first()
        && !tree.inner.iter().any(|inner| inner.node.plan.name == *first)
    {
        let reason = format!(
            "Invalid aggregation order path [{}]. The provided aggregation [{first}] either does not exist, or is a pipeline aggregation",
            names.join(">")
        );
        return Err(ElasticError { status: 400, kind: "aggregation_execution_exception", reason });
    }
    Ok(())
}

fn directed(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
}

/// Those that are no numbers come last.
fn compare_numbers(one: f64, two: f64, descending: bool) -> Ordering {
    match (one.is_nan(), two.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => directed(one.total_cmp(&two), descending),
    }
}

fn text_of(term: &Term) -> String {
    match term {
        Term::Bool(truth) => truth.to_string(),
        Term::Int(number) => number.to_string(),
        Term::Float(bits) => f64::from_bits(*bits).to_string(),
        Term::Text(text) => text.to_string(),
    }
}

fn is_chosen(chosen: &Chosen, text: &str) -> bool {
    match chosen {
        Chosen::Values(values) => values.iter().any(|value| value == text),
        Chosen::Pattern(pattern) => pattern.matches(text),
        Chosen::Partition(part, parts) => {
            let sum = text.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
            sum % parts == *part
        }
    }
}

fn compare_terms(one: &Term, two: &Term, seen: Seen) -> Ordering {
    let number = |term: &Term| match term {
        Term::Int(number) => float(*number),
        Term::Float(bits) => f64::from_bits(*bits),
        Term::Bool(truth) => f64::from(u8::from(*truth)),
        Term::Text(_) => f64::NAN,
    };
    match (one, two) {
        (Term::Text(one), Term::Text(two)) => one.cmp(two),
        (Term::Int(one), Term::Int(two)) if !seen.as_texts() => one.cmp(two),
        _ if seen.as_texts() => text_of(one).cmp(&text_of(two)),
        _ => number(one).total_cmp(&number(two)),
    }
}

/// `key`, and `key_as_string` for booleans and dates.
fn key_json(term: &Term, seen: Seen, format: Option<&str>, bucket: &mut Members) {
    let key = match term {
        term if seen.as_texts() => json!(text_of(term)),
        Term::Bool(truth) => json!(i32::from(*truth)),
        Term::Int(number) if seen.floats => json!(float(*number)),
        Term::Int(number) => json!(number),
        Term::Float(bits) => json!(f64::from_bits(*bits)),
        Term::Text(text) => json!(text),
    };
    bucket.insert("key".to_owned(), key);
    match term {
        _ if seen.as_texts() => {}
        Term::Bool(truth) => {
            bucket.insert("key_as_string".to_owned(), json!(truth.to_string()));
        }
        Term::Int(millis) if seen.times => {
            bucket.insert("key_as_string".to_owned(), json!(dates::write(*millis, format, &TimeZone::UTC)));
        }
        _ => {}
    }
}

fn listed_or_keyed(listed: Vec<(String, Members)>, keyed: bool) -> Members {
    let buckets = if keyed {
        Value::Object(listed.into_iter().map(|(key, bucket)| (key, Value::Object(bucket))).collect())
    } else {
        Value::Array(listed.into_iter().map(|(_, bucket)| Value::Object(bucket)).collect())
    };
    Map::from_iter([("buckets".to_owned(), buckets)])
}

fn range_json(plan: &Ranges, range: &Range) -> (String, Members) {
    let text = |end: Option<f64>| match end {
        None => "*".to_owned(),
        Some(end) if plan.dates => dates::write(whole(end), plan.format.as_deref(), &plan.zone),
        Some(end) => json!(end).to_string(),
    };
    let key = range.key.clone().unwrap_or_else(|| format!("{}-{}", text(range.from), text(range.to)));
    let mut shown = Map::from_iter([("key".to_owned(), json!(key))]);
    for (name, end) in [("from", range.from), ("to", range.to)] {
        let Some(number) = end else { continue };
        shown.insert(name.to_owned(), json!(number));
        if plan.dates {
            shown.insert(format!("{name}_as_string"), json!(text(end)));
        }
    }
    (key, shown)
}

/// One value of a composite key.
#[derive(Clone, Debug)]
enum KeyPart<'a> {
    Missing,
    Term(std::borrow::Cow<'a, Term>, Seen),
    Number(f64),
    Millis(i64),
}

impl<'a> KeyPart<'a> {
    fn new(source: &CompositeSource, terms: &'a Terms, key: u64) -> Self {
        match &source.kind {
            _ if key == NO_VALUE => Self::Missing,
            Source::Terms => {
                Self::Term(std::borrow::Cow::Borrowed(&terms.list[usize::try_from(key).unwrap_or(0)]), terms.seen)
            }
            Source::Histogram(interval) => Self::Number(float(key.cast_signed()) * interval),
            Source::Dates(_) => Self::Millis(key.cast_signed()),
        }
    }

    fn of_json(source: &CompositeSource, terms: &Terms, value: &Value) -> Result<Self> {
        let refused = || ElasticError::illegal(format!("Invalid value for [after.{}]", source.name));
        if value.is_null() {
            return Ok(Self::Missing);
        }
        let text = scalar(value).ok_or_else(refused)?;
        Ok(match &source.kind {
            Source::Terms => {
                let term = match value {
                    Value::Bool(truth) => Term::Bool(*truth),
                    Value::Number(number) => number
                        .as_i64()
                        .map(Term::Int)
                        .or_else(|| Some(Term::Float(number.as_f64()?.to_bits())))
                        .ok_or_else(refused)?,
                    _ => match super::buckets::Same::of(super::values::One::Text(&text)) {
                        super::buckets::Same::Int(number) => Term::Int(number),
                        super::buckets::Same::Float(bits) => Term::Float(bits),
                        super::buckets::Same::Bool(truth) => Term::Bool(truth),
                        super::buckets::Same::Text(text) => Term::Text(text.into()),
                    },
                };
                Self::Term(std::borrow::Cow::Owned(term), terms.seen)
            }
            Source::Histogram(_) => Self::Number(super::aggs::number(value).ok_or_else(refused)?),
            Source::Dates(plan) => {
                let reading = dates::Reading {
                    format: plan.format.as_deref(),
                    zone: plan.zone.clone(),
                    now: jiff::Timestamp::UNIX_EPOCH,
                };
                Self::Millis(dates::read(&text, &reading).ok_or_else(refused)?.start.div_euclid(dates::MILLI))
            }
        })
    }

    fn compare(&self, other: &Self, source: &CompositeSource) -> Ordering {
        let order = match (self, other) {
            (Self::Missing, Self::Missing) => return Ordering::Equal,
            (Self::Missing, _) => {
                // As the least value, unless it is said where.
                let first = source.missing_first.unwrap_or(!source.descending);
                return if first { Ordering::Less } else { Ordering::Greater };
            }
            (_, Self::Missing) => return other.compare(self, source).reverse(),
            (Self::Term(one, seen), Self::Term(two, _)) => compare_terms(one, two, *seen),
            (Self::Number(one), Self::Number(two)) => one.total_cmp(two),
            (Self::Millis(one), Self::Millis(two)) => one.cmp(two),
            _ => Ordering::Equal,
        };
        directed(order, source.descending)
    }

    fn json(&self, source: &CompositeSource) -> Value {
        match (self, &source.kind) {
            (Self::Missing, _) => Value::Null,
            (Self::Term(term, seen), _) => {
                let mut shown = Map::new();
                key_json(term, *seen, None, &mut shown);
                match term.as_ref() {
                    Term::Bool(truth) if !seen.as_texts() => json!(truth),
                    _ => shown.shift_remove("key").unwrap_or_default(),
                }
            }
            (Self::Number(number), _) => json!(number),
            (Self::Millis(millis), Source::Dates(plan)) if plan.format.is_some() => {
                json!(dates::write(*millis, plan.format.as_deref(), &plan.zone))
            }
            (Self::Millis(millis), _) => json!(millis),
        }
    }
}

fn metric_answer(metric: &Metric, tree: &Indexed<'_, '_>, owner: Option<u32>) -> Members {
    let at = owner.map_or(usize::MAX, |owner| owner as usize);
    let mut answer = Map::new();
    match &tree.node.state {
        State::Distinct(_) => {
            let number = owner.and_then(|owner| tree.distinct.get(&owner)).copied().unwrap_or(0);
            answer.insert("value".to_owned(), json!(number));
        }
        State::Spread(spread) => {
            let numbers = spread.list.get(at);
            let (asked, keyed, values): (&[f64], bool, Vec<Option<f64>>) = match &metric.measure {
                Measure::Percentiles { percents, keyed } => {
                    (percents, *keyed, percents.iter().map(|percent| numbers?.percentile(percent / 100.0)).collect())
                }
                Measure::Ranks { values, keyed } => (
                    values,
                    *keyed,
                    values.iter().map(|value| numbers?.rank(*value).map(|share| share * 100.0)).collect(),
                ),
                _ => (&[], true, Vec::new()),
            };
            let dated = spread.dates && matches!(metric.measure, Measure::Percentiles { .. });
            answer.insert("values".to_owned(), percents_json(asked, &values, keyed, dated.then_some(metric)));
        }
        State::Summaries(summaries) => {
            let summary = summaries.list.get(at).copied().unwrap_or_default();
            summary_json(metric, &summary, summaries.dates, &mut answer);
        }
        _ => {}
    }
    answer
}

fn percents_json(asked: &[f64], values: &[Option<f64>], keyed: bool, dated: Option<&Metric>) -> Value {
    let text =
        |number: f64, metric: &Metric| json!(dates::write(whole(number), metric.format.as_deref(), &TimeZone::UTC));
    if keyed {
        let mut shown = Map::new();
        for (asked, value) in asked.iter().zip(values) {
            let key = json!(asked).to_string();
            shown.insert(key.clone(), json!(value));
            if let (Some(metric), Some(number)) = (dated, value) {
                shown.insert(format!("{key}_as_string"), text(*number, metric));
            }
        }
        return Value::Object(shown);
    }
    Value::Array(asked.iter().zip(values).map(|(asked, value)| json!({ "key": asked, "value": value })).collect())
}

fn summary_json(metric: &Metric, summary: &Summary, dated: bool, answer: &mut Members) {
    let mut insert = |name: &str, number: Option<f64>, is_date: bool| {
        answer.insert(name.to_owned(), json!(number));
        if let Some(number) = number.filter(|_| is_date && dated) {
            let text = dates::write(whole(number), metric.format.as_deref(), &TimeZone::UTC);
            answer.insert(format!("{name}_as_string"), json!(text));
        }
    };
    let some = |number: f64| (summary.count > 0).then_some(number);
    match &metric.measure {
        Measure::Min => insert("value", some(summary.least), true),
        Measure::Max => insert("value", some(summary.greatest), true),
        Measure::Average => insert("value", summary.average(), true),
        Measure::Sum => insert("value", Some(summary.sum), false),
        Measure::Count => {
            answer.insert("value".to_owned(), json!(summary.count));
        }
        _ => {
            answer.insert("count".to_owned(), json!(summary.count));
            let mut insert = |name: &str, number: Option<f64>, is_date: bool| {
                answer.insert(name.to_owned(), json!(number));
                if let Some(number) = number.filter(|_| is_date && dated) {
                    let text = dates::write(whole(number), metric.format.as_deref(), &TimeZone::UTC);
                    answer.insert(format!("{name}_as_string"), json!(text));
                }
            };
            insert("min", some(summary.least), true);
            insert("max", some(summary.greatest), true);
            insert("avg", summary.average(), true);
            insert("sum", Some(summary.sum), false);
            if let Measure::Extended { sigma } = metric.measure {
                extended(summary, sigma, answer);
            }
        }
    }
}

fn extended(summary: &Summary, sigma: f64, answer: &mut Members) {
    let variance = summary.variance();
    let number = count(summary.count);
    let sampled = variance.filter(|_| summary.count > 1).map(|variance| variance * number / (number - 1.0));
    let deviation = variance.map(f64::sqrt);
    let sampled_deviation = sampled.map(f64::sqrt);
    let bound = |sign: f64, deviation: Option<f64>| Some(summary.average()? + sign * sigma * deviation?);
    answer.insert("sum_of_squares".to_owned(), json!((summary.count > 0).then_some(summary.squares)));
    for (name, value) in [
        ("variance", variance),
        ("variance_population", variance),
        ("variance_sampling", sampled),
        ("std_deviation", deviation),
        ("std_deviation_population", deviation),
        ("std_deviation_sampling", sampled_deviation),
    ] {
        answer.insert(name.to_owned(), json!(value));
    }
    let bounds = json!({
        "upper": bound(1.0, deviation), "lower": bound(-1.0, deviation),
        "upper_population": bound(1.0, deviation), "lower_population": bound(-1.0, deviation),
        "upper_sampling": bound(1.0, sampled_deviation), "lower_sampling": bound(-1.0, sampled_deviation),
    });
    answer.insert("std_deviation_bounds".to_owned(), bounds);
}
