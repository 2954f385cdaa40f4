//! A search body, and its answer over some logs.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering as Atomic};

use arrow::buffer::BooleanBuffer;
use serde_json::{Map, Value, json};
use store::Snapshot;

use super::aggs::{Kind, Plan};
use super::answer::Answering;
use super::buckets::{Docs, ENTRIES_MAX, Node};
use super::collect::{Ahead, Gather, Look, Part, View};
use super::hits::{After, Candidate, Order, Page, Ranking, Shown, size};
use super::values::Field;
use super::{Context, ElasticError, aggs, dsl, object};
use crate::QueryError;
use crate::filter::{Filter, Scalar, Test, wildcard, wildcard_matches};
use crate::scan::Bounds;

/// Most hits up to the end of a page, as in Elasticsearch.
pub const WINDOW_MAX: usize = 10_000;

/// So many hits are counted exactly unless asked otherwise.
const COUNTED: u64 = 10_000;

/// A search that was read.
#[derive(Debug)]
pub struct Search {
    query: Filter,
    after_filter: Filter,
    from: usize,
    size: usize,
    order: Arc<Order>,
    after: Option<After>,
    /// How many hits are counted exactly; none are shown for 0.
    track: u64,
    shown: Shown,
    aggs: Vec<Plan>,
    /// The fields of the aggregations, then those of the order.
    fields: Vec<String>,
    /// `pit`: which one.
    pit: Option<String>,
    /// Events accepted later are not seen.
    bound: Option<u64>,
    /// Whether hits show what tells equal ones apart.
    with_tie: bool,
    /// Whether the names of aggregations in the answer say what they are.
    typed: bool,
}

/// The answer to a search.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// `hits`, `aggregations` and `_shards`, in Elasticsearch's shape; who asks adds `took`.
    pub answer: Map<String, Value>,
    /// Where the next page begins: the `search_after` of the last hit.
    pub last: Option<Vec<Value>>,
    /// How many hits there are on the page.
    pub hits: usize,
    /// Events accepted later were not seen.
    pub bound: u64,
}

impl Search {
    /// Reads a body. An empty one finds everything.
    ///
    /// # Errors
    /// 400 with Elasticsearch's own names.
    pub fn parse(body: &[u8], context: &Context<'_>) -> Result<Self, ElasticError> {
        if body.trim_ascii().is_empty() {
            return Self::of(&Value::Object(Map::new()), context);
        }
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| ElasticError::parsing(format!("the body is no JSON: {error}")))?;
        Self::of(&value, context)
    }

    /// The same of JSON that was read.
    ///
    /// # Errors
    /// As [`Search::parse`].
    pub fn of(body: &Value, context: &Context<'_>) -> Result<Self, ElasticError> {
        let members = object(body, "body")?;
        check_members(members)?;
        let (from, size) = (size(members, "from", 0)?, size(members, "size", 10)?);
        if from.saturating_add(size) > WINDOW_MAX {
            let reason = format!(
                "Result window is too large, from + size must be less than or equal to: [{WINDOW_MAX}] but was [{}]. See the scroll api for a more efficient way to request large data sets.",
                from.saturating_add(size)
            );
            return Err(ElasticError::illegal(reason));
        }
        let order = Order::parse(members.get("sort"), context)?;
        let after = members
            .get("search_after")
            .filter(|value| !value.is_null())
            .map(|value| order.after(value, context))
            .transpose()?;
        if after.is_some() && from > 0 {
            return Err(ElasticError::illegal("`from` parameter must be set to 0 when `search_after` is used"));
        }
        let query = |name: &str| {
            members
                .get(name)
                .filter(|value| !value.is_null())
                .map_or(Ok(Filter::All), |query| dsl::query(query, context))
        };
        let mut fields = Vec::new();
        let tree = members.get("aggs").or_else(|| members.get("aggregations"));
        let aggs = tree
            .filter(|tree| !tree.is_null())
            .map_or(Ok(Vec::new()), |tree| aggs::parse(tree, context, &mut fields))?;
        let pit = members.get("pit").filter(|pit| !pit.is_null()).map(|pit| {
            pit.get("id")
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| ElasticError::parsing("[pit] requires an [id]"))
        });
        let pit = pit.transpose()?;
        Ok(Self {
            query: query("query")?,
            after_filter: query("post_filter")?,
            from,
            size,
            order: Arc::new(order),
            after,
            track: tracked(members.get("track_total_hits"))?,
            shown: Shown::parse(members)?,
            aggs,
            fields,
            with_tie: pit.is_some(),
            pit,
            bound: None,
            typed: false,
        })
    }

    /// Only the events that pass another query too, as `?q=` has it.
    ///
    /// # Errors
    /// 400 when it cannot be read.
    pub fn narrow(&mut self, query: &Value, context: &Context<'_>) -> Result<(), ElasticError> {
        let more = dsl::query(query, context)?;
        self.query = dsl::bounded(Filter::and([std::mem::take(&mut self.query), more]))?;
        Ok(())
    }

    /// The point in time that is named.
    #[must_use]
    pub fn pit(&self) -> Option<&str> {
        self.pit.as_deref()
    }

    /// How many hits a page has at the most.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether the hits come in the order of time; that of acceptance is not.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.order.asked
    }

    /// Leaves out what was accepted after a sequence number.
    pub fn freeze(&mut self, bound: u64) {
        self.bound = Some(bound);
    }

    /// Begins behind the last hit of the page before, for all pages but the first; aggregations are of the first alone.
    ///
    /// # Errors
    /// 400 when it is no such place.
    pub fn resume(&mut self, last: &Value, context: &Context<'_>) -> Result<(), ElasticError> {
        self.after = Some(self.order.after(last, context)?);
        self.aggs.clear();
        self.fields.clear();
        Ok(())
    }

    /// Neither hits nor more than their number is wanted: `_count`.
    pub fn only_count(&mut self) {
        (self.size, self.from, self.track) = (0, 0, u64::MAX);
        self.aggs.clear();
    }

    /// Puts before the name of each aggregation in the answer what it is, as `sterms#name`: `typed_keys`.
    pub fn name_types(&mut self) {
        self.typed = true;
    }

    /// Does not count, because it is known already.
    pub fn do_not_count(&mut self) {
        self.track = 0;
    }
}

/// Answers a search over logs, each with its events. All are seen as of the first.
///
/// # Errors
/// When it takes too long or needs too much.
pub fn run(search: &Search, logs: &[(String, Snapshot)], bounds: &Bounds) -> Result<Found, ElasticError> {
    let newest = logs.iter().map(|(_, snapshot)| snapshot.last_sequence).min().unwrap_or(0);
    let bound = search.bound.unwrap_or(newest);
    let parts = parts_of(logs, &Filter::and([search.query.clone(), search.after_filter.clone()]));
    let together = search.after_filter == Filter::All;
    let hits = Pass {
        search,
        parts: &parts,
        bound,
        bounds,
        with_hits: true,
        plans: if together { Which::Usual } else { Which::None },
    };
    let (ranking, counted, mut trees) = hits.look()?;
    if !together && !search.aggs.is_empty() {
        let parts = parts_of(logs, &search.query);
        trees = Pass { search, parts: &parts, bound, bounds, with_hits: false, plans: Which::Usual }.look()?.2;
    }
    if search.aggs.iter().any(|plan| matches!(plan.kind, Kind::Global)) {
        let parts = parts_of(logs, &Filter::All);
        trees.extend(Pass { search, parts: &parts, bound, bounds, with_hits: false, plans: Which::Global }.look()?.2);
    }
    let chosen: Vec<Candidate> = ranking.finish().into_iter().skip(search.from).collect();
    let page = Page { parts: &parts, order: &search.order, shown: &search.shown, with_tie: search.with_tie };
    let shown = page.hits(&chosen);
    let mut found = Found {
        hits: shown.len(),
        bound,
        last: chosen.last().map(|last| last.behind(&search.order)),
        ..Found::default()
    };
    let shards = json!({ "total": logs.len(), "successful": logs.len(), "skipped": 0, "failed": 0 });
    found.answer.insert("_shards".to_owned(), shards);
    found.answer.insert("hits".to_owned(), hits_json(search, counted, shown));
    if !search.aggs.is_empty() {
        let aggregations = Answering::new(&parts, search.typed).all(&search.aggs, &trees)?;
        found.answer.insert("aggregations".to_owned(), Value::Object(aggregations));
    }
    Ok(found)
}

fn parts_of<'l>(logs: &'l [(String, Snapshot)], filter: &Filter) -> Vec<Part<'l>> {
    let part =
        |(log, snapshot): &'l (String, Snapshot)| Part { log, snapshot, filter: for_log(filter, log).into_owned() };
    logs.iter().map(part).collect()
}

/// How many events pass.
#[must_use]
pub fn counted(found: &Found) -> u64 {
    found.answer.get("hits").and_then(|hits| hits.pointer("/total/value")).and_then(Value::as_u64).unwrap_or(0)
}

fn hits_json(search: &Search, counted: u64, shown: Vec<Value>) -> Value {
    let mut hits = Map::new();
    if search.track > 0 {
        let (value, relation) = if counted > search.track { (search.track, "gte") } else { (counted, "eq") };
        hits.insert("total".to_owned(), json!({ "value": value, "relation": relation }));
    }
    let scored = !shown.is_empty() && (!search.order.asked || search.order.by_score());
    hits.insert("max_score".to_owned(), if scored { json!(1.0) } else { Value::Null });
    hits.insert("hits".to_owned(), Value::Array(shown));
    Value::Object(hits)
}

fn tracked(value: Option<&Value>) -> Result<u64, ElasticError> {
    match value {
        None | Some(Value::Null) => Ok(COUNTED),
        Some(Value::Bool(true)) => Ok(u64::MAX),
        Some(Value::Bool(false)) => Ok(0),
        Some(value) if value.as_i64() == Some(-1) => Ok(0),
        Some(value) => value
            .as_u64()
            .ok_or_else(|| ElasticError::illegal("[track_total_hits] parameter must be positive or equals to -1")),
    }
}

/// Refuses what is not known, and what would change the answer and is not done.
fn check_members(members: &Map<String, Value>) -> Result<(), ElasticError> {
    const READ: &str = "query post_filter from size sort search_after track_total_hits aggs aggregations _source fields \
        docvalue_fields stored_fields pit version";
    const IGNORED: &str = "timeout terminate_after explain profile seq_no_primary_term track_scores indices_boost stats \
        min_score keep_alive preference";
    for (name, value) in members {
        let listed = |list: &str| list.split_whitespace().any(|known| known == name);
        let empty = value.is_null()
            || value.as_object().is_some_and(Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty);
        if listed(READ) || listed(IGNORED) || (empty && !name.is_empty()) {
            continue;
        }
        let why = match name.as_str() {
            "highlight" => "show the words of the query in the client",
            "suggest" | "knn" | "rescore" | "rank" | "retriever" => "events have no score and no vectors",
            "script_fields" | "runtime_mappings" => "no scripts are run",
            "collapse" => "use a [terms] aggregation with [top_hits]",
            "slice" => "ask by ranges of [@timestamp] instead",
            _ => return Err(ElasticError::parsing(format!("Unknown key for a VALUE in [{name}]."))),
        };
        return Err(ElasticError::parsing(format!("[{name}] is not supported: {why}")));
    }
    Ok(())
}

/// The filter for one log, in which its name is known.
pub(crate) fn for_log<'f>(filter: &'f Filter, log: &str) -> Cow<'f, Filter> {
    if !filter.fields().contains("_index") {
        return Cow::Borrowed(filter);
    }
    Cow::Owned(match filter {
        Filter::And(parts) => {
            let parts: Vec<Filter> = parts.iter().map(|part| for_log(part, log).into_owned()).collect();
            if parts.contains(&Filter::not(Filter::All)) { Filter::not(Filter::All) } else { Filter::and(parts) }
        }
        Filter::Or(parts) => {
            let parts: Vec<Filter> = parts.iter().map(|part| for_log(part, log).into_owned()).collect();
            if parts.contains(&Filter::All) { Filter::All } else { Filter::or(parts) }
        }
        Filter::Not(part) => Filter::not(for_log(part, log).into_owned()),
        Filter::Field { field, test } if field == "_index" => {
            let fits = |pattern: &str| wildcard_matches(&wildcard(pattern), log);
            let passes = match test {
                Test::Present => true,
                Test::Equal(scalars) => scalars.iter().any(|Scalar { text }| text == log || fits(text)),
                Test::Wildcard(pattern) => fits(pattern),
                Test::Regex(pattern) => pattern.matches(log),
                Test::Words(text) => text.typed == log,
                Test::Compare(..) | Test::Contains { .. } => false,
            };
            if passes { Filter::All } else { Filter::not(Filter::All) }
        }
        other => other.clone(),
    })
}

/// Which of the aggregations a pass is for.
#[derive(Clone, Copy, PartialEq)]
enum Which {
    None,
    Usual,
    Global,
}

/// One look at the events.
struct Pass<'s, 'a> {
    search: &'s Search,
    parts: &'a [Part<'a>],
    bound: u64,
    bounds: &'a Bounds,
    with_hits: bool,
    plans: Which,
}

type Looked<'a> = (Ranking, u64, Vec<Node<'a>>);

impl<'s> Pass<'s, '_> {
    fn look(&self) -> Result<Looked<'s>, ElasticError> {
        let search = self.search;
        let wanted = if self.with_hits { search.from + search.size } else { 0 };
        let order = &search.order;
        let plans: Vec<&'s Plan> = search
            .aggs
            .iter()
            .filter(|plan| match self.plans {
                Which::None => false,
                Which::Usual => !matches!(plan.kind, Kind::Global),
                Which::Global => matches!(plan.kind, Kind::Global),
            })
            .collect();
        let known = if self.with_hits { self.known_count() } else { Some(0) };
        let first_field = search.fields.len();
        let fields: Vec<Field> = search.fields.iter().map(String::as_str).chain(order.keys()).map(Field::new).collect();
        let (counted, entries) = (AtomicU64::new(0), AtomicUsize::new(0));
        let limit = if known.is_some() { 0 } else { search.track };
        let mut filters = Vec::new();
        plans.iter().for_each(|plan| filters_of(plan, &mut filters));
        let ahead = match order.of_time() {
            _ if wanted == 0 => Ahead::Any,
            Some(true) => Ahead::Newest,
            Some(false) => Ahead::Oldest,
            None => Ahead::First,
        };
        let look = Look {
            parts: self.parts,
            fields: &fields,
            filters: &filters,
            bound: self.bound,
            bounds: self.bounds,
            ahead,
        };
        let gathered = look.each(|| Gatherer {
            ranking: Ranking::new(order, wanted).starting(search.after.clone()),
            trees: plans.iter().map(|plan| Node::new(plan)).collect(),
            counted: &counted,
            limit,
            entries: &entries,
            mine: 0,
            first_field,
        })?;
        let mut gathered = gathered.into_iter();
        let mut whole = gathered
            .next()
            .map_or_else(|| (Ranking::new(order, wanted), Vec::new()), |first| (first.ranking, first.trees));
        for other in gathered {
            whole.0.merge(other.ranking);
            for (mine, theirs) in whole.1.iter_mut().zip(other.trees) {
                mine.merge(theirs, &[0]);
            }
        }
        Ok((whole.0, known.unwrap_or_else(|| counted.load(Atomic::Relaxed)), whole.1))
    }

    /// How many events pass, if that can be told without looking at them.
    fn known_count(&self) -> Option<u64> {
        if self.search.track == 0 {
            return Some(0);
        }
        let mut count = 0;
        for part in self.parts {
            if part.filter == Filter::not(Filter::All) {
                continue;
            }
            if part.filter != Filter::All || part.snapshot.last_sequence > self.bound {
                return None;
            }
            count += part.snapshot.segments.iter().map(|segment| segment.info().rows).sum::<u64>();
            count += part.snapshot.rows.iter().map(|rows| rows.batch.num_rows() as u64).sum::<u64>();
        }
        Some(count)
    }
}

/// The filters that aggregations evaluate for themselves.
fn filters_of<'p>(plan: &'p Plan, all: &mut Vec<&'p Filter>) {
    if let Kind::Filters(filters) = &plan.kind {
        all.extend(filters.filters.iter().map(|(_, filter)| filter));
    }
    plan.inner.iter().for_each(|inner| filters_of(inner, all));
}

/// What one thread gathers.
struct Gatherer<'a, 'p> {
    ranking: Ranking,
    trees: Vec<Node<'p>>,
    counted: &'a AtomicU64,
    /// Beyond so many nobody counts.
    limit: u64,
    /// Entries of all threads.
    entries: &'a AtomicUsize,
    mine: usize,
    first_field: usize,
}

impl Gather for Gatherer<'_, '_> {
    fn may_skip(&self, times: (i64, i64), sequences: (u64, u64)) -> bool {
        let counted = self.limit == 0 || self.counted.load(Atomic::Relaxed) > self.limit;
        self.trees.is_empty() && counted && self.ranking.beyond(times, sequences)
    }

    fn take(&mut self, view: &View<'_>, passed: &BooleanBuffer) -> Result<(), QueryError> {
        if self.limit > 0 {
            self.counted.fetch_add(passed.count_set_bits() as u64, Atomic::Relaxed);
        }
        for row in passed.set_indices() {
            self.ranking.offer(view, row, self.first_field);
        }
        self.ranking.rest();
        if self.trees.is_empty() {
            return Ok(());
        }
        let docs = Docs::all(passed);
        self.trees.iter_mut().try_for_each(|tree| tree.collect(view, &docs))?;
        let now: usize = self.trees.iter().map(Node::entries).sum();
        let before = self.entries.fetch_add(now.saturating_sub(self.mine), Atomic::Relaxed);
        self.mine = now.max(self.mine);
        if before + now.saturating_sub(self.mine) > ENTRIES_MAX {
            return Err(QueryError::TooLarge { what: "buckets and distinct values", limit: ENTRIES_MAX.to_string() });
        }
        Ok(())
    }
}
