//! Aggregations as they are asked for, read into a tree of plans.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::dates::{self, Moments, Reading, Unit};
use super::hits::{Order, Shown};
use super::values::{One, float};
use super::{Context, ElasticError, dsl, key_of, object, scalar};
use crate::filter::Filter;

/// Deepest nesting of aggregations.
const DEPTH_MAX: usize = 12;

/// Most aggregations in one question.
const PLANS_MAX: usize = 256;

/// Most buckets in one answer.
pub(crate) const BUCKETS_MAX: usize = 65_536;

/// Most hits of a `top_hits`, as in Elasticsearch.
const TOP_MAX: usize = 100;

/// One aggregation.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Its name in the answer.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The aggregations of each of its buckets.
    pub(crate) inner: Vec<Self>,
    /// Sent back as it came.
    pub(crate) meta: Option<Value>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Terms(TermsPlan),
    Histogram(Histogram),
    Dates(Dates),
    Ranges(Ranges),
    Filters(Filters),
    /// The field that has no value.
    Missing(usize),
    /// All events, whatever was asked.
    Global,
    Composite(Composite),
    Top(Box<Top>),
    Metric(Metric),
}

impl Kind {
    /// How many buckets it has in each one above, if that does not depend on the events.
    pub(crate) fn fixed(&self) -> usize {
        match self {
            Self::Ranges(plan) => plan.ranges.len(),
            Self::Filters(plan) => plan.filters.len() + usize::from(plan.other.is_some()),
            Self::Missing(_) | Self::Global => 1,
            _ => 0,
        }
    }
}

/// The value of events without one.
#[derive(Clone, Debug)]
pub(crate) enum Missing {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
}

impl Missing {
    fn new(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => number.as_i64().map(Self::Int).or_else(|| number.as_f64().map(Self::Float))?,
            Value::String(text) => Self::Text(text.clone()),
            _ => return None,
        })
    }

    pub(crate) fn one(&self) -> One<'_> {
        match self {
            Self::Int(number) => One::Int(*number),
            Self::Float(number) => One::Float(*number),
            Self::Bool(truth) => One::Bool(*truth),
            Self::Text(text) => One::Text(text),
        }
    }
}

#[derive(Debug)]
pub(crate) struct TermsPlan {
    pub(crate) field: usize,
    pub(crate) size: usize,
    pub(crate) order: Vec<BucketOrder>,
    pub(crate) missing: Option<Missing>,
    pub(crate) min_count: u64,
    pub(crate) include: Option<Chosen>,
    pub(crate) exclude: Option<Chosen>,
    pub(crate) format: Option<String>,
}

/// Which terms are wanted, or not.
#[derive(Debug)]
pub(crate) enum Chosen {
    Values(Vec<String>),
    Pattern(crate::filter::Pattern),
    /// One of so many parts of all terms.
    Partition(u64, u64),
}

/// What buckets are sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BucketOrder {
    pub(crate) by: By,
    pub(crate) descending: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum By {
    Count,
    Key,
    /// The names of aggregations below, and the property of the last, as `max`.
    Metric(Vec<String>, Option<String>),
}

#[derive(Debug)]
pub(crate) struct Histogram {
    pub(crate) field: usize,
    pub(crate) interval: f64,
    pub(crate) offset: f64,
    pub(crate) min_count: u64,
    pub(crate) bounds: Option<(f64, f64)>,
    pub(crate) missing: Option<f64>,
    pub(crate) keyed: bool,
    pub(crate) order: Option<BucketOrder>,
}

#[derive(Debug)]
pub(crate) struct Dates {
    pub(crate) field: usize,
    /// A calendar's unit, or a length in milliseconds.
    pub(crate) every: Result<Unit, i64>,
    pub(crate) zone: TimeZone,
    /// In microseconds.
    pub(crate) offset: i64,
    pub(crate) min_count: u64,
    /// In milliseconds.
    pub(crate) bounds: Option<(i64, i64)>,
    pub(crate) hard: Option<(i64, i64)>,
    pub(crate) missing: Option<i64>,
    pub(crate) format: Option<String>,
    pub(crate) keyed: bool,
    pub(crate) order: Option<BucketOrder>,
}

impl Dates {
    /// The bucket that an instant falls into.
    pub(crate) fn around(&self, micros: i64) -> Moments {
        let moved = micros.saturating_sub(self.offset);
        let found = match self.every {
            Ok(unit) => unit.around(moved, &self.zone),
            Err(millis) => {
                let length = millis.saturating_mul(dates::MILLI);
                let local = jiff::Timestamp::from_microsecond(moved).map_or(0, |at| self.zone.to_offset(at).seconds());
                let shift = i64::from(local) * 1_000_000;
                let start = moved.saturating_add(shift).div_euclid(length).saturating_mul(length).saturating_sub(shift);
                Some(Moments { start, end: start.saturating_add(length) })
            }
        };
        let Moments { start, end } = found.unwrap_or(Moments { start: moved, end: moved + 1 });
        Moments { start: start.saturating_add(self.offset), end: end.saturating_add(self.offset) }
    }
}

#[derive(Debug)]
pub(crate) struct Ranges {
    pub(crate) field: usize,
    pub(crate) ranges: Vec<Range>,
    pub(crate) dates: bool,
    pub(crate) format: Option<String>,
    pub(crate) zone: TimeZone,
    pub(crate) keyed: bool,
    pub(crate) missing: Option<f64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) key: Option<String>,
    pub(crate) from: Option<f64>,
    pub(crate) to: Option<f64>,
}

impl Range {
    pub(crate) fn has(&self, number: f64) -> bool {
        self.from.is_none_or(|from| number >= from) && self.to.is_none_or(|to| number < to)
    }
}

#[derive(Debug)]
pub(crate) struct Filters {
    /// With names where they have some.
    pub(crate) filters: Vec<(String, Filter)>,
    pub(crate) other: Option<String>,
    pub(crate) shape: Shape,
}

/// How filters are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `filter`: one bucket, by itself.
    Single,
    /// An object by name.
    Keyed,
    /// A list.
    List,
}

#[derive(Debug)]
pub(crate) struct Composite {
    pub(crate) sources: Vec<CompositeSource>,
    pub(crate) size: usize,
    pub(crate) after: Option<Map<String, Value>>,
}

#[derive(Debug)]
pub(crate) struct CompositeSource {
    pub(crate) name: String,
    pub(crate) field: usize,
    pub(crate) kind: Source,
    pub(crate) descending: bool,
    pub(crate) with_missing: bool,
    pub(crate) missing_first: Option<bool>,
}

#[derive(Debug)]
pub(crate) enum Source {
    Terms,
    Histogram(f64),
    Dates(Dates),
}

#[derive(Debug)]
pub(crate) struct Top {
    pub(crate) order: std::sync::Arc<Order>,
    pub(crate) from: usize,
    pub(crate) size: usize,
    pub(crate) shown: Shown,
    /// Where the fields of its order begin among all fields.
    pub(crate) first_field: usize,
}

impl Top {
    pub(crate) fn wanted(&self) -> usize {
        self.from + self.size
    }
}

#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) field: usize,
    pub(crate) measure: Measure,
    pub(crate) missing: Option<Missing>,
    pub(crate) format: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measure {
    Min,
    Max,
    Average,
    Sum,
    Count,
    Stats,
    Extended { sigma: f64 },
    Cardinality,
    Percentiles { percents: Vec<f64>, keyed: bool },
    Ranks { values: Vec<f64>, keyed: bool },
}

/// Reads aggregations; the fields they look at are added to `fields`.
///
/// # Errors
/// 400 with Elasticsearch's own names.
pub(crate) fn parse(value: &Value, context: &Context<'_>, fields: &mut Vec<String>) -> Result<Vec<Plan>, ElasticError> {
    let mut reader = Reader { context, fields, plans: 0 };
    reader.list(value, 0)
}

struct Reader<'a> {
    context: &'a Context<'a>,
    fields: &'a mut Vec<String>,
    plans: usize,
}

type Members = Map<String, Value>;

impl Reader<'_> {
    fn list(&mut self, value: &Value, depth: usize) -> Result<Vec<Plan>, ElasticError> {
        if depth > DEPTH_MAX {
            return Err(ElasticError::illegal(format!("aggregations are nested deeper than the limit of {DEPTH_MAX}")));
        }
        object(value, "aggs")?.iter().map(|(name, body)| self.plan(name, body, depth)).collect()
    }

    fn plan(&mut self, name: &str, body: &Value, depth: usize) -> Result<Plan, ElasticError> {
        self.plans += 1;
        if self.plans > PLANS_MAX {
            return Err(ElasticError::illegal(format!("there are more aggregations than the limit of {PLANS_MAX}")));
        }
        if name.is_empty() || name.contains(['[', ']', '>']) {
            let reason = format!(
                "Invalid aggregation name [{name}]. Aggregation names can contain any character except '[', ']', and '>'"
            );
            return Err(ElasticError::parsing(reason));
        }
        let (mut kind, mut inner, mut meta) = (None, Vec::new(), None);
        for (member, value) in object(body, name)? {
            match member.as_str() {
                "aggs" | "aggregations" => inner = self.list(value, depth + 1)?,
                "meta" => meta = Some(value.clone()),
                _ if kind.is_some() => {
                    return Err(ElasticError::parsing(format!("Found two aggregation type definitions in [{name}]")));
                }
                _ => kind = Some(self.kind(member, object(value, member)?, (name, depth))?),
            }
        }
        let kind = kind.ok_or_else(|| ElasticError::parsing(format!("Missing definition for aggregation [{name}]")))?;
        if !inner.is_empty() && matches!(kind, Kind::Metric(_) | Kind::Top(_)) {
            return Err(ElasticError::parsing(format!("Aggregator [{name}] cannot accept sub-aggregations")));
        }
        Ok(Plan { name: name.to_owned(), kind, inner, meta })
    }

    fn kind(&mut self, kind: &str, members: &Members, (name, depth): (&str, usize)) -> Result<Kind, ElasticError> {
        Ok(match kind {
            "terms" => Kind::Terms(self.terms(members)?),
            "histogram" => Kind::Histogram(self.histogram(members)?),
            "date_histogram" => Kind::Dates(self.dates(members)?),
            "range" => Kind::Ranges(self.ranges(members, false)?),
            "date_range" => Kind::Ranges(self.ranges(members, true)?),
            "filter" => {
                let filter = dsl::query(&Value::Object(members.clone()), self.context)?;
                Kind::Filters(Filters { filters: vec![(String::new(), filter)], other: None, shape: Shape::Single })
            }
            "filters" => Kind::Filters(self.filters(members)?),
            "missing" => Kind::Missing(self.field(members)?),
            "global" if depth == 0 => Kind::Global,
            "global" => {
                let reason = format!("Aggregator [{name}] of type [global] cannot be used inside another aggregation");
                return Err(ElasticError::illegal(reason));
            }
            "composite" => Kind::Composite(self.composite(members)?),
            "top_hits" => Kind::Top(Box::new(self.top(members)?)),
            _ => Kind::Metric(self.metric(kind, members)?),
        })
    }

    fn field(&mut self, members: &Members) -> Result<usize, ElasticError> {
        if members.contains_key("script") {
            return Err(ElasticError::illegal("no scripts are run: aggregate over a field"));
        }
        let field = members.get("field").and_then(Value::as_str);
        let field = field
            .ok_or_else(|| ElasticError::illegal("Required one of fields [field, script], but none were specified."))?;
        Ok(field_at(self.fields, field))
    }

    fn terms(&mut self, members: &Members) -> Result<TermsPlan, ElasticError> {
        let size = members.get("size").map_or(Some(10), Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let size = size
            .filter(|size| *size > 0)
            .ok_or_else(|| ElasticError::illegal("[size] must be greater than 0. Found [0] in [terms]"))?;
        let order = match members.get("order") {
            None => vec![BucketOrder { by: By::Count, descending: true }],
            Some(order) => orders(order)?,
        };
        Ok(TermsPlan {
            field: self.field(members)?,
            size,
            order,
            missing: members.get("missing").and_then(Missing::new),
            min_count: members.get("min_doc_count").and_then(Value::as_u64).unwrap_or(1).max(1),
            include: members.get("include").map(chosen).transpose()?,
            exclude: members.get("exclude").map(chosen).transpose()?,
            format: text(members, "format"),
        })
    }

    fn histogram(&mut self, members: &Members) -> Result<Histogram, ElasticError> {
        let number = |name: &str| members.get(name).and_then(number);
        let interval = number("interval").filter(|interval| *interval > 0.0);
        let bounds = members.get("extended_bounds").and_then(Value::as_object);
        let bounds = bounds.and_then(|bounds| {
            Some((bounds.get("min").and_then(self::number)?, bounds.get("max").and_then(self::number)?))
        });
        Ok(Histogram {
            field: self.field(members)?,
            interval: interval
                .ok_or_else(|| ElasticError::illegal("[interval] must be >0 for histogram aggregation"))?,
            offset: number("offset").unwrap_or(0.0),
            min_count: members.get("min_doc_count").and_then(Value::as_u64).unwrap_or(0),
            bounds,
            missing: number("missing"),
            keyed: flag(members, "keyed", false),
            order: members.get("order").map(orders).transpose()?.and_then(|orders| orders.into_iter().next()),
        })
    }

    fn dates(&mut self, members: &Members) -> Result<Dates, ElasticError> {
        let every = every(members)?;
        let zone = zone(members)?;
        let format = text(members, "format");
        let reading = Reading { format: format.as_deref(), zone: zone.clone(), now: self.context.now };
        let date = |value: &Value| {
            scalar(value)
                .and_then(|text| dates::read(&text, &reading))
                .map(|moments| moments.start.div_euclid(dates::MILLI))
        };
        let both = |name: &str| {
            let bounds = members.get(name).and_then(Value::as_object)?;
            Some((bounds.get("min").and_then(date)?, bounds.get("max").and_then(date)?))
        };
        let (bounds, hard) = (both("extended_bounds"), both("hard_bounds"));
        let missing = members.get("missing").and_then(date).map(|millis| millis.saturating_mul(dates::MILLI));
        Ok(Dates {
            field: self.field(members)?,
            every,
            offset: text(members, "offset").map_or(Ok(0), |text| offset(&text))?,
            min_count: members.get("min_doc_count").and_then(Value::as_u64).unwrap_or(0),
            bounds,
            hard,
            missing,
            zone,
            format,
            keyed: flag(members, "keyed", false),
            order: members.get("order").map(orders).transpose()?.and_then(|orders| orders.into_iter().next()),
        })
    }

    fn ranges(&mut self, members: &Members, dates: bool) -> Result<Ranges, ElasticError> {
        let zone = zone(members)?;
        let format = text(members, "format");
        let reading = Reading { format: format.as_deref(), zone: zone.clone(), now: self.context.now };
        let refused = |value: &Value| ElasticError::parsing(format!("the end of a range cannot be read: {value}"));
        let end = |value: Option<&Value>| match value {
            None | Some(Value::Null) => Ok(None),
            Some(value) if dates => {
                let moments =
                    scalar(value).and_then(|text| dates::read(&text, &reading)).ok_or_else(|| refused(value))?;
                Ok(Some(float(moments.start.div_euclid(dates::MILLI))))
            }
            Some(value) => number(value).map(Some).ok_or_else(|| refused(value)),
        };
        let listed = members.get("ranges").and_then(Value::as_array).filter(|ranges| !ranges.is_empty());
        let listed = listed.ok_or_else(|| ElasticError::illegal("No [ranges] specified for the aggregation"))?;
        if listed.len() > 1024 {
            return Err(ElasticError::illegal("there are more [ranges] than the limit of 1024"));
        }
        let mut ranges = listed
            .iter()
            .map(|range| {
                let range = object(range, "ranges")?;
                Ok(Range { key: text(range, "key"), from: end(range.get("from"))?, to: end(range.get("to"))? })
            })
            .collect::<Result<Vec<_>, ElasticError>>()?;
        let place = |range: &Range| (range.from.unwrap_or(f64::NEG_INFINITY), range.to.unwrap_or(f64::INFINITY));
        ranges.sort_by(|one, two| place(one).partial_cmp(&place(two)).unwrap_or(std::cmp::Ordering::Equal));
        let missing = members.get("missing").and_then(|value| end(Some(value)).ok().flatten());
        Ok(Ranges {
            field: self.field(members)?,
            ranges,
            dates,
            zone,
            keyed: flag(members, "keyed", false),
            missing,
            format,
        })
    }

    fn filters(&mut self, members: &Members) -> Result<Filters, ElasticError> {
        let other = text(members, "other_bucket_key");
        let other = other.or_else(|| flag(members, "other_bucket", false).then(|| "_other_".to_owned()));
        let (filters, shape) = match members.get("filters") {
            Some(Value::Object(named)) => {
                let read = named.iter().map(|(name, query)| Ok((name.clone(), dsl::query(query, self.context)?)));
                let shape = if flag(members, "keyed", true) { Shape::Keyed } else { Shape::List };
                (read.collect::<Result<Vec<_>, ElasticError>>()?, shape)
            }
            Some(Value::Array(list)) => {
                let read = list.iter().map(|query| Ok((String::new(), dsl::query(query, self.context)?)));
                (read.collect::<Result<Vec<_>, ElasticError>>()?, Shape::List)
            }
            _ => return Err(ElasticError::illegal("[filters] cannot be empty.")),
        };
        if filters.is_empty() || filters.len() > 256 {
            return Err(ElasticError::illegal("[filters] must have between 1 and 256 filters"));
        }
        Ok(Filters { filters, other, shape })
    }

    fn composite(&mut self, members: &Members) -> Result<Composite, ElasticError> {
        let size = members.get("size").map_or(Some(10), Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| (1..=BUCKETS_MAX).contains(size));
        let sources =
            members.get("sources").and_then(Value::as_array).filter(|sources| (1..=16).contains(&sources.len()));
        let sources =
            sources.ok_or_else(|| ElasticError::illegal("Composite [sources] must have between 1 and 16 sources"))?;
        let sources = sources.iter().map(|source| self.source(source)).collect::<Result<Vec<_>, _>>()?;
        let after = members.get("after").and_then(Value::as_object).cloned();
        if let Some(after) = &after
            && let Some(absent) = sources.iter().find(|source| !after.contains_key(&source.name))
        {
            return Err(ElasticError::illegal(format!("Missing value for [after.{}]", absent.name)));
        }
        Ok(Composite {
            sources,
            size: size.ok_or_else(|| ElasticError::illegal("[size] must be a positive integer"))?,
            after,
        })
    }

    fn source(&mut self, value: &Value) -> Result<CompositeSource, ElasticError> {
        let refused = || ElasticError::parsing("a source of a composite is {\"name\": {\"terms\": {\"field\": …}}}");
        let (name, body) = object(value, "sources")?.iter().next().ok_or_else(refused)?;
        let (kind, members) = object(body, name)?.iter().next().ok_or_else(refused)?;
        let members = object(members, kind)?;
        let kind = match kind.as_str() {
            "terms" => Source::Terms,
            "histogram" => Source::Histogram(self.histogram(members)?.interval),
            "date_histogram" => Source::Dates(self.dates(members)?),
            other => return Err(ElasticError::parsing(format!("invalid source type: {other}"))),
        };
        Ok(CompositeSource {
            name: name.clone(),
            field: self.field(members)?,
            kind,
            descending: members
                .get("order")
                .and_then(Value::as_str)
                .is_some_and(|order| order.eq_ignore_ascii_case("desc")),
            with_missing: flag(members, "missing_bucket", false),
            missing_first: members.get("missing_order").and_then(Value::as_str).map(|order| order == "first"),
        })
    }

    fn top(&mut self, members: &Members) -> Result<Top, ElasticError> {
        for name in ["highlight", "script_fields", "explain"] {
            if members.contains_key(name) {
                return Err(ElasticError::parsing(format!("[top_hits] does not support [{name}]")));
            }
        }
        let whole = |name: &str, default: u64| {
            members.get(name).map_or(Some(default), Value::as_u64).and_then(|size| usize::try_from(size).ok())
        };
        let (from, size) = (whole("from", 0).unwrap_or(usize::MAX), whole("size", 3).unwrap_or(usize::MAX));
        if from.saturating_add(size) > TOP_MAX {
            let reason = format!(
                "Top hits result window is too large, the top hits aggregator's from + size must be less than or equal to: [{TOP_MAX}]"
            );
            return Err(ElasticError::illegal(reason));
        }
        let order = Order::parse(members.get("sort"), self.context)?;
        let first_field = self.fields.len();
        self.fields.extend(order.keys().map(str::to_owned));
        Ok(Top { order: std::sync::Arc::new(order), from, size, shown: Shown::parse(members)?, first_field })
    }

    fn metric(&mut self, kind: &str, members: &Members) -> Result<Metric, ElasticError> {
        let numbers = |name: &str| {
            members.get(name).and_then(Value::as_array).map(|list| list.iter().filter_map(number).collect::<Vec<_>>())
        };
        let keyed = flag(members, "keyed", true);
        let measure = match kind {
            "min" => Measure::Min,
            "max" => Measure::Max,
            "avg" => Measure::Average,
            "sum" => Measure::Sum,
            "value_count" => Measure::Count,
            "stats" => Measure::Stats,
            "extended_stats" => Measure::Extended { sigma: members.get("sigma").and_then(number).unwrap_or(2.0) },
            "cardinality" => Measure::Cardinality,
            "percentiles" => {
                let percents = numbers("percents").unwrap_or_else(|| vec![1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0]);
                if percents.len() > 256 || percents.iter().any(|percent| !(0.0..=100.0).contains(percent)) {
                    return Err(ElasticError::illegal("percent must be in [0,100]"));
                }
                Measure::Percentiles { percents, keyed }
            }
            "percentile_ranks" => Measure::Ranks {
                values: numbers("values")
                    .filter(|values| values.len() <= 256)
                    .ok_or_else(|| ElasticError::illegal("[values] must not be empty"))?,
                keyed,
            },
            _ => return Err(unknown(kind)),
        };
        let (missing, format) = (members.get("missing").and_then(Missing::new), text(members, "format"));
        Ok(Metric { field: self.field(members)?, measure, missing, format })
    }
}

fn unknown(kind: &str) -> ElasticError {
    const KNOWN: &str = "significant_terms significant_text rare_terms multi_terms auto_date_histogram variable_width_histogram \
        adjacency_matrix nested reverse_nested children parent sampler diversified_sampler geo_bounds geo_centroid geo_distance \
        geohash_grid geotile_grid ip_range ip_prefix matrix_stats median_absolute_deviation rate scripted_metric string_stats \
        t_test top_metrics weighted_avg boxplot avg_bucket bucket_script bucket_selector bucket_sort cumulative_sum \
        cumulative_cardinality derivative extended_stats_bucket max_bucket min_bucket moving_fn moving_percentiles normalize \
        percentiles_bucket serial_diff stats_bucket sum_bucket categorize_text frequent_item_sets random_sampler time_series";
    if KNOWN.split_whitespace().any(|known| known == kind) {
        return ElasticError::illegal(format!(
            "the aggregation [{kind}] is not supported; see docs/elasticsearch.md for those that are"
        ));
    }
    ElasticError::parsing(format!("Unknown aggregation type [{kind}]"))
}

/// The place of a field among those that are looked at.
pub(crate) fn field_at(fields: &mut Vec<String>, field: &str) -> usize {
    let key = key_of(field);
    fields.iter().position(|known| known == key).unwrap_or_else(|| {
        fields.push(key.to_owned());
        fields.len() - 1
    })
}

fn text(members: &Members, name: &str) -> Option<String> {
    members.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn flag(members: &Members, name: &str, default: bool) -> bool {
    members.get(name).and_then(Value::as_bool).unwrap_or(default)
}

pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
    .filter(|number: &f64| number.is_finite())
}

fn zone(members: &Members) -> Result<TimeZone, ElasticError> {
    members.get("time_zone").and_then(Value::as_str).map_or(Ok(TimeZone::UTC), dates::zone)
}

/// The interval of a `date_histogram`; that of old clients is either kind.
fn every(members: &Members) -> Result<Result<Unit, i64>, ElasticError> {
    let (calendar, fixed, old) =
        (text(members, "calendar_interval"), text(members, "fixed_interval"), text(members, "interval"));
    let refused = |text: &str| {
        ElasticError::illegal(format!(
            "The supplied interval [{text}] could not be parsed as a calendar or fixed interval."
        ))
    };
    match (calendar, fixed, old) {
        (Some(text), ..) => Unit::calendar(&text).map(Ok).ok_or_else(|| refused(&text)),
        (None, Some(text), _) => dates::fixed(&text).map(Err).ok_or_else(|| refused(&text)),
        (None, None, Some(text)) => {
            Unit::calendar(&text).map(Ok).or_else(|| dates::fixed(&text).map(Err)).ok_or_else(|| refused(&text))
        }
        (None, None, None) => Err(ElasticError::illegal("Invalid interval specified, must be non-null and non-empty")),
    }
}

/// `+6h`, `-1d`: microseconds.
fn offset(text: &str) -> Result<i64, ElasticError> {
    let (sign, length) = match text.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let millis = if length == "0" { Some(0) } else { dates::fixed(length) };
    let micros = millis.and_then(|millis| millis.checked_mul(sign * dates::MILLI));
    micros.ok_or_else(|| {
        ElasticError::illegal(format!("failed to parse setting [DateHistogramAggregation.offset] with value [{text}]"))
    })
}

/// `{"_key": "asc"}`, or a list of such.
fn orders(value: &Value) -> Result<Vec<BucketOrder>, ElasticError> {
    if let Value::Array(list) = value {
        return Ok(list.iter().map(orders).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect());
    }
    let order = object(value, "order")?.iter().map(|(path, direction)| {
        let direction = direction.as_str().unwrap_or_default().to_ascii_lowercase();
        if !matches!(direction.as_str(), "asc" | "desc") {
            return Err(ElasticError::parsing(format!("Unknown order direction [{direction}]")));
        }
        let by = match path.as_str() {
            "_count" => By::Count,
            "_key" | "_term" | "_time" => By::Key,
            path => {
                let mut names: Vec<String> = path.split('>').map(str::to_owned).collect();
                let last = names.pop().unwrap_or_default();
                let (last, property) = match last.split_once('[') {
                    Some((name, property)) => (name.to_owned(), Some(property.trim_end_matches(']').to_owned())),
                    None => last
                        .split_once('.')
                        .map_or((last.clone(), None), |(name, property)| (name.to_owned(), Some(property.to_owned()))),
                };
                names.push(last);
                By::Metric(names, property)
            }
        };
        Ok(BucketOrder { by, descending: direction == "desc" })
    });
    order.collect()
}

fn chosen(value: &Value) -> Result<Chosen, ElasticError> {
    match value {
        Value::Array(list) => Ok(Chosen::Values(list.iter().filter_map(scalar).collect())),
        Value::String(pattern) => match dsl::regexp("include", pattern, false)? {
            Filter::Field { test: crate::filter::Test::Regex(pattern), .. } => Ok(Chosen::Pattern(pattern)),
            _ => Err(ElasticError::parsing("[include] cannot be read")),
        },
        Value::Object(parts) => {
            let number = |name: &str| parts.get(name).and_then(Value::as_u64);
            match (number("partition"), number("num_partitions")) {
                (Some(part), Some(parts)) if part < parts => Ok(Chosen::Partition(part, parts)),
                _ => Err(ElasticError::illegal("[include] needs [partition] below [num_partitions]")),
            }
        }
        _ => Err(ElasticError::parsing("[include] and [exclude] are a regular expression or a list of terms")),
    }
}
