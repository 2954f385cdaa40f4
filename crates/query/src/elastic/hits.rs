//! Hits: their order, the best of them, and how they are shown.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde_json::{Map, Value, json};
use store::Documents;
use store::columns::{SEQUENCE, TIMESTAMP};

use super::collect::{Part, Place, Unit, View, units};
use super::dates::{self, Reading};
use super::source;
use super::values::{One, whole};
use super::{Context, ElasticError, key_of, object, scalar};
use crate::scan::read_rows;

/// Most keys in one order.
const KEYS_MAX: usize = 32;

/// What hits are sorted by.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) by: Vec<SortBy>,
    /// Whether an order was asked for, so that hits show what they were sorted by.
    pub(crate) asked: bool,
    /// Whether equal hits come in the reverse order of acceptance.
    reverse: bool,
}

/// One key of an order.
#[derive(Clone, Debug)]
pub(crate) struct SortBy {
    what: What,
    descending: bool,
    missing: Absent,
    format: Option<String>,
    /// Of several values the greatest; else the least.
    greatest: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Field(String),
    /// The order of acceptance.
    Doc,
    /// All are the same.
    Score,
}

/// Where events without the value stand.
#[derive(Clone, Debug, PartialEq)]
enum Absent {
    First,
    Last,
    As(Key),
}

/// A value that is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    Int(i64),
    Float(f64),
    Text(Box<str>),
    Missing,
}

impl Key {
    fn of(one: One<'_>) -> Self {
        match one {
            One::Bool(truth) => Self::Int(i64::from(truth)),
            One::Int(number) => Self::Int(number),
            One::Float(number) => Self::Float(number),
            One::Text(text) => Self::Text(text.into()),
            One::Time(micros) => Self::Int(micros.div_euclid(dates::MILLI)),
        }
    }

    fn of_json(value: &Value) -> Self {
        match value {
            Value::Bool(truth) => Self::Int(i64::from(*truth)),
            Value::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => number.as_f64().map_or(Self::Missing, Self::Float),
            },
            Value::String(text) => Self::Text(text.as_str().into()),
            Value::Null | Value::Array(_) | Value::Object(_) => Self::Missing,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Int(number) => json!(number),
            Self::Float(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Missing => Value::Null,
        }
    }

    /// Numbers before texts.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(one), Self::Int(two)) => one.cmp(two),
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            (Self::Text(_), _) => Ordering::Greater,
            (_, Self::Text(_)) => Ordering::Less,
            _ => self.float().total_cmp(&other.float()),
        }
    }

    fn float(&self) -> f64 {
        match self {
            Self::Int(number) => super::values::float(*number),
            Self::Float(number) => *number,
            Self::Text(_) | Self::Missing => f64::NAN,
        }
    }
}

impl SortBy {
    fn compare(&self, one: &Key, two: &Key) -> Ordering {
        let order = match (one, two) {
            (Key::Missing, Key::Missing) => return Ordering::Equal,
            (Key::Missing, _) if self.missing == Absent::First => return Ordering::Less,
            (Key::Missing, _) => return Ordering::Greater,
            (_, Key::Missing) => return self.compare(two, one).reverse(),
            _ => one.compare(two),
        };
        if self.descending { order.reverse() } else { order }
    }

    fn key(&self, view: &View<'_>, row: usize, field: usize) -> Key {
        if self.what == What::Score {
            return Key::Int(1);
        }
        let mut found = Key::Missing;
        view.fields[field].each(row, &mut |one| {
            let key = Key::of(one);
            let better = match (&found, key.compare(&found)) {
                (Key::Missing, _) => true,
                (_, order) => order == if self.greatest { Ordering::Greater } else { Ordering::Less },
            };
            if better {
                found = key;
            }
        });
        match (&found, &self.missing) {
            (Key::Missing, Absent::As(value)) => value.clone(),
            _ => found,
        }
    }

    fn shown(&self, key: &Key) -> Value {
        match (key, &self.format) {
            (Key::Int(millis), Some(format)) => json!(dates::write(*millis, Some(format), &jiff::tz::TimeZone::UTC)),
            (_, _) if self.what == What::Score => json!(1.0),
            _ => key.json(),
        }
    }
}

impl Order {
    /// Reads `sort`. Without one it is the order of acceptance.
    pub(crate) fn parse(sort: Option<&Value>, context: &Context<'_>) -> Result<Self, ElasticError> {
        let mut by = Vec::new();
        match sort {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for one in list {
                    sort_by(one, context, &mut by)?;
                }
            }
            Some(one) => sort_by(one, context, &mut by)?,
        }
        if by.len() > KEYS_MAX {
            return Err(ElasticError::illegal(format!("[sort] has more keys than the limit of {KEYS_MAX}")));
        }
        let asked = !by.is_empty();
        let reverse =
            by.first().is_some_and(|first| first.descending && first.what == What::Field(TIMESTAMP.to_owned()));
        Ok(Self { by, asked, reverse })
    }

    /// The keys whose values are needed, one for each.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.by.iter().map(|by| match &by.what {
            What::Field(key) => key.as_str(),
            What::Doc | What::Score => SEQUENCE,
        })
    }

    /// Whether the score is what counts.
    pub(crate) fn by_score(&self) -> bool {
        self.by.first().is_none_or(|first| first.what == What::Score)
    }

    /// Whether it is the order of time, and if so, the newest first; the order of acceptance is neither.
    pub(crate) fn of_time(&self) -> Option<bool> {
        let first = self.by.first()?;
        (first.what == What::Field(TIMESTAMP.to_owned())).then_some(first.descending)
    }

    /// Whether it is the order of acceptance.
    pub(crate) fn of_acceptance(&self) -> bool {
        self.by
            .first()
            .is_none_or(|first| first.what != What::Score && matches!(first.what, What::Doc) && !first.descending)
    }

    fn compare(&self, one: &Candidate, two: &Candidate) -> Ordering {
        for ((by, one), two) in self.by.iter().zip(&one.keys).zip(&two.keys) {
            let order = by.compare(one, two);
            if order != Ordering::Equal {
                return order;
            }
        }
        let order = one.sequence.cmp(&two.sequence);
        if self.reverse { order.reverse() } else { order }
    }

    /// Reads `search_after`: a value for each key, and perhaps one more, which tells equal hits apart.
    pub(crate) fn after(&self, value: &Value, context: &Context<'_>) -> Result<After, ElasticError> {
        let values = value.as_array().ok_or_else(|| ElasticError::parsing("[search_after] must be an array"))?;
        if self.by.is_empty() && values.len() != 1 {
            return Err(ElasticError::illegal("Sort must contain at least one field."));
        }
        if values.len() != self.by.len() && values.len() != self.by.len() + 1 {
            let reason = format!("search_after has {} value(s) but sort has {}.", values.len(), self.by.len());
            return Err(ElasticError::illegal(reason));
        }
        let keys = self.by.iter().zip(values).map(|(by, value)| match (&by.what, value) {
            (What::Field(key), Value::String(text)) if super::is_time(key) => {
                let reading = Reading { format: by.format.as_deref(), zone: jiff::tz::TimeZone::UTC, now: context.now };
                let moments = dates::read(text, &reading)
                    .or_else(|| dates::read(text, &Reading { format: None, ..reading.clone() }));
                let moments =
                    moments.ok_or_else(|| ElasticError::parsing(format!("failed to parse date field [{text}]")))?;
                Ok(Key::Int(moments.start.div_euclid(dates::MILLI)))
            }
            _ => Ok(Key::of_json(value)),
        });
        let keys = keys.collect::<Result<Box<[Key]>, ElasticError>>()?;
        let tie = values.get(self.by.len()).map(|tie| {
            tie.as_u64()
                .ok_or_else(|| ElasticError::parsing("the last value of [search_after] must be the one that was sent"))
        });
        Ok(After { keys, tie: tie.transpose()? })
    }
}

fn sort_by(value: &Value, context: &Context<'_>, all: &mut Vec<SortBy>) -> Result<(), ElasticError> {
    let what = |field: &str| match field {
        "_doc" | "_shard_doc" | "_seq_no" => What::Doc,
        "_score" => What::Score,
        field => What::Field(key_of(field).to_owned()),
    };
    if let Value::String(text) = value {
        let (field, direction) = text.rsplit_once(':').unwrap_or((text, ""));
        let (field, direction) =
            if matches!(direction, "asc" | "desc") { (field, direction) } else { (text.as_str(), "") };
        let descending = direction == "desc" || (direction.is_empty() && field == "_score");
        all.push(SortBy { what: what(field), descending, missing: Absent::Last, format: None, greatest: descending });
        return Ok(());
    }
    for (field, options) in object(value, "sort")? {
        if matches!(field.as_str(), "_script" | "_geo_distance") {
            return Err(ElasticError::parsing(format!("sorting by [{field}] is not supported: sort by a field")));
        }
        let options = match options {
            Value::String(order) => Map::from_iter([("order".to_owned(), json!(order))]),
            other => object(other, "sort")?.clone(),
        };
        let order = options
            .get("order")
            .and_then(Value::as_str)
            .unwrap_or(if field == "_score" { "desc" } else { "asc" })
            .to_ascii_lowercase();
        if !matches!(order.as_str(), "asc" | "desc") {
            return Err(ElasticError::illegal(format!("Unknown SortOrder [{order}]")));
        }
        let what = what(field);
        let missing = match options.get("missing") {
            None | Some(Value::Null) => Absent::Last,
            Some(Value::String(text)) if text == "_last" => Absent::Last,
            Some(Value::String(text)) if text == "_first" => Absent::First,
            Some(other) => Absent::As(missing_key(other, &what, context)),
        };
        let descending = order == "desc";
        let greatest = options.get("mode").and_then(Value::as_str).map_or(descending, |mode| mode == "max");
        let format = options.get("format").and_then(Value::as_str).map(str::to_owned);
        all.push(SortBy { what, descending, missing, format, greatest });
    }
    Ok(())
}

fn missing_key(value: &Value, what: &What, context: &Context<'_>) -> Key {
    let reading = Reading { format: None, zone: jiff::tz::TimeZone::UTC, now: context.now };
    match (what, scalar(value)) {
        (What::Field(key), Some(text)) if super::is_time(key) => dates::read(&text, &reading)
            .map_or(Key::Missing, |moments| Key::Int(moments.start.div_euclid(dates::MILLI))),
        _ => Key::of_json(value),
    }
}

/// Behind which hit the page begins.
#[derive(Clone, Debug)]
pub(crate) struct After {
    keys: Box<[Key]>,
    /// The sequence number of the hit; without it all of equal keys are left out.
    tie: Option<u64>,
}

/// An event that may be a hit.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    keys: Box<[Key]>,
    pub(crate) sequence: u64,
    pub(crate) place: Place,
}

impl Candidate {
    /// What it is sorted by, with its sequence number.
    pub(crate) fn behind(&self, order: &Order) -> Vec<Value> {
        let keys = self.keys.iter().zip(&order.by).map(|(key, _)| key.json());
        keys.chain([json!(self.sequence)]).collect()
    }

    /// The same as hits show it.
    pub(crate) fn shown(&self, order: &Order, with_tie: bool) -> Vec<Value> {
        let keys = self.keys.iter().zip(&order.by).map(|(key, by)| by.shown(key));
        keys.chain(with_tie.then(|| json!(self.sequence))).collect()
    }
}

/// The best events so far.
#[derive(Clone, Debug)]
pub(crate) struct Ranking {
    order: Arc<Order>,
    wanted: usize,
    after: Option<After>,
    best: Vec<Candidate>,
    /// Whether `best` is as many as are wanted, in order, up to this place.
    settled: usize,
}

impl Ranking {
    pub(crate) fn new(order: &Arc<Order>, wanted: usize) -> Self {
        Self { order: Arc::clone(order), wanted, after: None, best: Vec::new(), settled: 0 }
    }

    pub(crate) fn starting(self, after: Option<After>) -> Self {
        Self { after, ..self }
    }

    /// Another one of the same order with nothing in it.
    pub(crate) fn empty(&self) -> Self {
        Self { best: Vec::new(), settled: 0, ..self.clone() }
    }

    pub(crate) fn len(&self) -> usize {
        self.best.len()
    }

    /// The last of a full page.
    fn worst(&self) -> Option<&Candidate> {
        (self.wanted > 0 && self.settled == self.wanted).then(|| &self.best[self.settled - 1])
    }

    /// Whether no event between these times and sequence numbers can take a place.
    pub(crate) fn beyond(&self, times: (i64, i64), sequences: (u64, u64)) -> bool {
        if self.wanted == 0 {
            return true;
        }
        let Some(worst) = self.worst() else { return false };
        let millis = |micros: i64| micros.div_euclid(dates::MILLI);
        match (self.order.of_time(), worst.keys.first()) {
            (Some(true), Some(Key::Int(bound))) => millis(times.1) < *bound,
            (Some(false), Some(Key::Int(bound))) => millis(times.0) > *bound,
            _ => self.order.of_acceptance() && sequences.0 > worst.sequence,
        }
    }

    /// Looks at a row; the values of the order's keys are those of the fields from `first_field` on.
    pub(crate) fn offer(&mut self, view: &View<'_>, row: usize, first_field: usize) {
        if self.wanted == 0 {
            return;
        }
        let sequence = view.sequences().get(row).copied().unwrap_or(0);
        let mut keys: Vec<Key> = Vec::with_capacity(self.order.by.len());
        for (at, by) in self.order.by.iter().enumerate() {
            let key = by.key(view, row, first_field + at);
            // Most rows are behind the page by their first key already.
            if at == 0 && self.worst().is_some_and(|worst| by.compare(&key, &worst.keys[0]) == Ordering::Greater) {
                return;
            }
            keys.push(key);
        }
        if self.order.by.is_empty() && self.worst().is_some_and(|worst| worst.sequence < sequence) {
            return;
        }
        // The place costs a search: it is found when the row is sure to be kept for a while.
        let mut candidate =
            Candidate { keys: keys.into(), sequence, place: Place { part: view.part, unit: 0, row: 0 } };
        if !self.is_after(&candidate)
            || self.worst().is_some_and(|worst| self.order.compare(&candidate, worst) == Ordering::Greater)
        {
            return;
        }
        candidate.place = view.place(row);
        self.best.push(candidate);
        if self.best.len() >= self.wanted.saturating_mul(2).max(self.wanted.saturating_add(256)) {
            self.settle();
        }
    }

    fn is_after(&self, candidate: &Candidate) -> bool {
        let Some(after) = &self.after else { return true };
        for ((by, one), two) in self.order.by.iter().zip(&candidate.keys).zip(&after.keys) {
            match by.compare(one, two) {
                Ordering::Less => return false,
                Ordering::Greater => return true,
                Ordering::Equal => {}
            }
        }
        let Some(tie) = after.tie else { return false };
        if self.order.reverse { candidate.sequence < tie } else { candidate.sequence > tie }
    }

    fn settle(&mut self) {
        let order = Arc::clone(&self.order);
        self.best.sort_unstable_by(|one, two| order.compare(one, two));
        self.best.truncate(self.wanted);
        self.settled = self.best.len();
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.best.extend(other.best);
        self.settled = 0;
        if self.best.len() > self.wanted.saturating_mul(2) {
            self.settle();
        }
    }

    /// In order, no more than wanted.
    pub(crate) fn finish(mut self) -> Vec<Candidate> {
        self.settle();
        self.best
    }

    /// The same without giving it away.
    pub(crate) fn sorted(&self) -> Vec<Candidate> {
        self.clone().finish()
    }

    /// As [`Ranking::settle`], once a batch is done: what is full then rules out more of the next.
    pub(crate) fn rest(&mut self) {
        if self.best.len() > self.settled && self.best.len() >= self.wanted {
            self.settle();
        }
    }
}

/// Which parts of an event a hit shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    source: source::Filtering,
    /// Patterns of fields with the format of their dates.
    fields: Vec<(String, Option<String>)>,
    version: bool,
}

impl Shown {
    pub(crate) fn parse(members: &Map<String, Value>) -> Result<Self, ElasticError> {
        let mut fields = Vec::new();
        for name in ["fields", "docvalue_fields"] {
            for one in members.get(name).and_then(Value::as_array).into_iter().flatten() {
                let format = one.get("format").and_then(Value::as_str).filter(|format| *format != "use_field_mapping");
                let field = one.as_str().or_else(|| one.get("field").and_then(Value::as_str));
                let field = field.ok_or_else(|| {
                    ElasticError::parsing(format!("[{name}] must be names or objects with a [field]"))
                })?;
                fields.push((field.to_owned(), format.map(str::to_owned)));
            }
        }
        let stored = members.get("stored_fields");
        let source = match (members.get("_source"), stored) {
            (None, Some(stored)) if stored.as_str() != Some("_source") => source::Filtering::Nothing,
            (source, _) => source::Filtering::parse(source)?,
        };
        let version = members.get("version").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { source, fields, version })
    }

    /// One hit.
    fn hit(&self, log: &str, event: &Event) -> Map<String, Value> {
        let mut hit = Map::new();
        hit.insert("_index".to_owned(), json!(log));
        hit.insert("_id".to_owned(), json!(event.id));
        if self.version {
            hit.insert("_version".to_owned(), json!(1));
        }
        hit.insert("_score".to_owned(), Value::Null);
        if !self.fields.is_empty() {
            let fields = source::fields(&event.source, &self.fields);
            if !fields.is_empty() {
                hit.insert("fields".to_owned(), Value::Object(fields));
            }
        }
        if let Some(source) = self.source.apply(&event.source) {
            hit.insert("_source".to_owned(), Value::Object(source));
        }
        hit
    }
}

/// An event as it is shown.
struct Event {
    id: String,
    source: Map<String, Value>,
}

/// How the hits of a page are shown.
pub(crate) struct Page<'a> {
    pub(crate) parts: &'a [Part<'a>],
    pub(crate) order: &'a Order,
    pub(crate) shown: &'a Shown,
    /// Whether their place among equals is shown.
    pub(crate) with_tie: bool,
}

impl Page<'_> {
    /// The hits for candidates, in their order. Those whose bytes are damaged are left out.
    pub(crate) fn hits(&self, chosen: &[Candidate]) -> Vec<Value> {
        let events = self.events(chosen);
        let shown = chosen.iter().zip(events).filter_map(|(candidate, event)| {
            let mut hit = self.shown.hit(self.parts[candidate.place.part].log, &event?);
            if self.order.asked || self.with_tie {
                hit.insert("sort".to_owned(), Value::Array(candidate.shown(self.order, self.with_tie)));
            }
            if !self.order.asked || self.order.by_score() {
                hit.insert("_score".to_owned(), json!(1.0));
            }
            Some(Value::Object(hit))
        });
        shown.collect()
    }

    fn events(&self, chosen: &[Candidate]) -> Vec<Option<Event>> {
        let mut places: Vec<usize> = (0..chosen.len()).collect();
        let place = |at: &usize| {
            let Place { part, unit, row } = chosen[*at].place;
            (part, unit, row)
        };
        places.sort_by_key(place);
        let mut events: Vec<Option<Event>> = chosen.iter().map(|_| None).collect();
        let mut known: Option<(usize, Vec<Unit>)> = None;
        for run in places.chunk_by(|one, two| (place(one).0, place(one).1) == (place(two).0, place(two).1)) {
            let (part, unit, _) = place(&run[0]);
            if known.as_ref().is_none_or(|(known, _)| *known != part) {
                known = Some((part, units(self.parts[part].snapshot)));
            }
            let Some(unit) = known.as_ref().and_then(|(_, units)| units.get(unit)) else { continue };
            let rows: Vec<usize> = run.iter().map(|at| chosen[*at].place.row).collect();
            let (batch, rows) = match unit {
                Unit::Rows(held) => (held.batch.clone(), rows),
                Unit::Group(segment, group) => match read_rows(segment, *group, rows.iter().copied()) {
                    Ok(batch) => (batch, (0..rows.len()).collect()),
                    Err(error) => {
                        segment.note_damage(*group, &error.to_string());
                        continue;
                    }
                },
            };
            for (at, event) in run.iter().zip(read(&batch, &rows)) {
                events[*at] = event;
            }
        }
        events
    }
}

fn read(batch: &RecordBatch, rows: &[usize]) -> Vec<Option<Event>> {
    let mut documents = Documents::new(batch);
    let mut text = Vec::new();
    rows.iter()
        .map(|row| {
            text.clear();
            documents.write_sent(*row, "@timestamp", &mut text);
            let Ok(Value::Object(source)) = serde_json::from_slice(&text) else { return None };
            Some(Event { id: documents.id(*row).unwrap_or_default(), source })
        })
        .collect()
}

/// A whole number of a body that is not negative.
pub(crate) fn size(members: &Map<String, Value>, name: &str, default: usize) -> Result<usize, ElasticError> {
    let Some(value) = members.get(name).filter(|value| !value.is_null()) else { return Ok(default) };
    let number = super::aggs::number(value).filter(|number| number.fract() == 0.0);
    let number = number.ok_or_else(|| ElasticError::parsing(format!("[{name}] must be a whole number")))?;
    usize::try_from(whole(number))
        .map_err(|_| ElasticError::illegal(format!("[{name}] parameter cannot be negative, found [{number}]")))
}
