//! The query DSL, read into a filter.

use serde_json::{Map, Value};

use super::dates::{self, Moments, Reading};
use super::lucene::{self, Lucene};
use super::{Context, ElasticError, is_time, key_of, object, scalar};
use crate::filter::{Comparison, DEPTH_MAX, Filter, Pattern, Scalar, TERMS_MAX, Test, Text, is_text_key};
use crate::time::written;

/// Most clauses of a `bool` of which several have to match: each choice of them is tried.
const CHOICES_MAX: usize = 12;

/// Most fields that a pattern of fields stands for.
const FIELDS_MAX: usize = 64;

/// Reads a query.
///
/// # Errors
/// 400 with Elasticsearch's own names.
pub(crate) fn query(value: &Value, context: &Context<'_>) -> Result<Filter, ElasticError> {
    let filter = Parser { context }.query(value, 0)?;
    bounded(filter)
}

/// Refuses a filter that would take too long.
pub(crate) fn bounded(filter: Filter) -> Result<Filter, ElasticError> {
    if filter.depth() > DEPTH_MAX {
        return Err(too_deep());
    }
    if filter.terms() > TERMS_MAX {
        let reason =
            format!("maxClauseCount is set to {TERMS_MAX}, the query has {}: ask in several searches", filter.terms());
        return Err(ElasticError::too_many("too_many_clauses", reason));
    }
    Ok(filter)
}

fn too_deep() -> ElasticError {
    ElasticError::illegal(format!("The query is nested deeper than the limit of {DEPTH_MAX}"))
}

struct Parser<'a> {
    context: &'a Context<'a>,
}

/// What one clause says: its field, the value, and the other members of the long form.
struct Clause<'v> {
    field: &'v str,
    value: &'v Value,
    options: Option<&'v Map<String, Value>>,
}

impl Clause<'_> {
    fn text(&self, kind: &str) -> Result<String, ElasticError> {
        scalar(self.value).ok_or_else(|| {
            ElasticError::parsing(format!("[{kind}] query does not support this value for [{}]", self.field))
        })
    }

    fn option(&self, name: &str) -> Option<&Value> {
        self.options.and_then(|options| options.get(name))
    }

    fn folds(&self) -> bool {
        self.option("case_insensitive").is_some_and(|value| value.as_bool() == Some(true))
    }
}

impl Parser<'_> {
    fn query(&self, value: &Value, depth: usize) -> Result<Filter, ElasticError> {
        if depth > DEPTH_MAX {
            return Err(too_deep());
        }
        let members = object(value, "query")?;
        let mut members = members.iter();
        let Some((kind, body)) = members.next() else {
            return Err(ElasticError::illegal("query malformed, empty clause found"));
        };
        if let Some((second, _)) = members.next() {
            let reason = format!("[{kind}] malformed query, expected [END_OBJECT] but found [{second}]");
            return Err(ElasticError::parsing(reason));
        }
        if let Some(filter) = self.compound(kind, body, depth)? {
            return Ok(filter);
        }
        self.leaf(kind, body)
    }

    /// Queries made of queries.
    fn compound(&self, kind: &str, body: &Value, depth: usize) -> Result<Option<Filter>, ElasticError> {
        let inner = |name: &str| {
            let inner = object(body, kind)?.get(name);
            let inner = inner.ok_or_else(|| ElasticError::parsing(format!("[{kind}] requires [{name}]")))?;
            self.query(inner, depth + 1)
        };
        Ok(Some(match kind {
            "match_all" => Filter::All,
            "match_none" => Filter::not(Filter::All),
            "bool" => self.boolean(object(body, "bool")?, depth)?,
            "constant_score" => inner("filter")?,
            "nested" => inner("query")?,
            "boosting" => inner("positive")?,
            "dis_max" => Filter::or(self.list(object(body, kind)?.get("queries"), depth)?),
            "function_score" => {
                let members = object(body, kind)?;
                if members.contains_key("functions") || members.contains_key("script_score") {
                    return Err(unsupported(kind, "events have no score: sort by a field instead"));
                }
                members.get("query").map_or(Ok(Filter::All), |query| self.query(query, depth + 1))?
            }
            _ => return Ok(None),
        }))
    }

    fn boolean(&self, members: &Map<String, Value>, depth: usize) -> Result<Filter, ElasticError> {
        let (mut must, mut should, mut not) = (Vec::new(), Vec::new(), Vec::new());
        let mut least = None;
        for (name, value) in members {
            match name.as_str() {
                "must" | "filter" => must.extend(self.list(Some(value), depth)?),
                "should" => should.extend(self.list(Some(value), depth)?),
                "must_not" | "mustNot" => not.extend(self.list(Some(value), depth)?),
                "minimum_should_match" => least = Some(value),
                "boost" | "_name" | "adjust_pure_negative" => {}
                _ => return Err(ElasticError::parsing(format!("[bool] query does not support [{name}]"))),
            }
        }
        let least = match least {
            Some(value) => at_least(value, should.len())?,
            // What is only preferred where something is demanded changes the score alone.
            None => usize::from(must.is_empty() && !should.is_empty()),
        };
        let chosen = choice(should, least)?;
        let not = not.into_iter().map(Filter::not);
        Ok(Filter::and(must.into_iter().chain([chosen]).chain(not)))
    }

    /// One query or a list of them.
    fn list(&self, value: Option<&Value>, depth: usize) -> Result<Vec<Filter>, ElasticError> {
        match value {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) if list.len() > TERMS_MAX => {
                let reason = format!("maxClauseCount is set to {TERMS_MAX}, there are {}", list.len());
                Err(ElasticError::too_many("too_many_clauses", reason))
            }
            Some(Value::Array(list)) => list.iter().map(|one| self.query(one, depth + 1)).collect(),
            Some(one) => Ok(vec![self.query(one, depth + 1)?]),
        }
    }

    fn leaf(&self, kind: &str, body: &Value) -> Result<Filter, ElasticError> {
        match kind {
            "exists" => {
                let field = object(body, kind)?.get("field").and_then(Value::as_str);
                Ok(exists(field.ok_or_else(|| ElasticError::parsing("[exists] must be provided with a [field]"))?))
            }
            "ids" => {
                let values = object(body, kind)?.get("values").and_then(Value::as_array);
                let values = values.ok_or_else(|| ElasticError::parsing("[ids] requires providing values"))?;
                Ok(equal("_id", values.iter().filter_map(scalar).collect(), self.context))
            }
            "terms" => self.terms(object(body, kind)?),
            "multi_match" => self.multi_match(object(body, kind)?),
            "query_string" => self.query_string(object(body, kind)?),
            "simple_query_string" => self.simple_query_string(object(body, kind)?),
            "term"
            | "match"
            | "match_phrase"
            | "match_phrase_prefix"
            | "match_bool_prefix"
            | "prefix"
            | "wildcard"
            | "regexp"
            | "range" => self.of_field(kind, object(body, kind)?),
            "fuzzy" => Err(unsupported(kind, "words are compared as they are; use [match], [prefix] or [wildcard]")),
            "script" | "script_score" => Err(unsupported(kind, "no scripts are run")),
            "more_like_this" | "geo_distance" | "geo_bounding_box" | "geo_shape" | "geo_polygon" | "knn"
            | "has_child" | "has_parent" | "parent_id" | "percolate" | "span_term" | "span_near" | "span_or"
            | "span_first" | "span_not" | "intervals" | "distance_feature" | "rank_feature" | "terms_set"
            | "wrapper" | "pinned" | "semantic" | "sparse_vector" | "text_expansion" | "combined_fields" | "rule"
            | "shape" => Err(unsupported(kind, "it is not part of what Everlog answers; see docs/elasticsearch.md")),
            _ => Err(ElasticError::parsing(format!("unknown query [{kind}]"))),
        }
    }

    /// `{"field": value}` or `{"field": {"query": value, …}}`.
    fn of_field(&self, kind: &str, members: &Map<String, Value>) -> Result<Filter, ElasticError> {
        let mut fields = members.iter().filter(|(name, _)| !matches!(name.as_str(), "boost" | "_name"));
        let (Some((field, body)), None) = (fields.next(), fields.next()) else {
            return Err(ElasticError::parsing(format!("[{kind}] query doesn't support multiple fields, or has none")));
        };
        if kind == "range" {
            return self.range(field, object(body, "range")?);
        }
        let value = match body {
            Value::Object(long) => ["query", "value", "wildcard", "prefix"].iter().find_map(|name| long.get(*name)),
            short => Some(short),
        };
        let value =
            value.ok_or_else(|| ElasticError::parsing(format!("No text specified for [{kind}] query on [{field}]")))?;
        let clause = Clause { field, value, options: body.as_object() };
        match kind {
            "term" => self.term(&clause),
            "match" | "match_bool_prefix" => self.match_words(&clause, kind),
            "match_phrase" => Ok(phrase(field, &clause.text(kind)?, false, self.context)),
            "match_phrase_prefix" => Ok(phrase(field, &clause.text(kind)?, true, self.context)),
            "prefix" => Ok(pattern(field, &format!("{}*", escaped(&clause.text(kind)?)), clause.folds())),
            "wildcard" => Ok(pattern(field, &clause.text(kind)?, clause.folds())),
            _ => regexp(field, &clause.text(kind)?, clause.folds()),
        }
    }

    fn term(&self, clause: &Clause<'_>) -> Result<Filter, ElasticError> {
        let text = clause.text("term")?;
        if clause.folds() {
            return Ok(pattern(clause.field, &escaped(&text), true));
        }
        Ok(equal(clause.field, vec![text], self.context))
    }

    fn terms(&self, members: &Map<String, Value>) -> Result<Filter, ElasticError> {
        let mut fields = members.iter().filter(|(name, _)| !matches!(name.as_str(), "boost" | "_name"));
        let (Some((field, values)), None) = (fields.next(), fields.next()) else {
            return Err(ElasticError::parsing("[terms] query requires one field name, followed by an array of terms"));
        };
        let Some(values) = values.as_array() else {
            return Err(ElasticError::parsing(
                "[terms] query requires an array of terms; a lookup in an index is not supported",
            ));
        };
        if values.len() > TERMS_MAX {
            let reason = format!(
                "The number of terms [{}] used in the Terms Query has exceeded the allowed maximum of [{TERMS_MAX}]",
                values.len()
            );
            return Err(ElasticError::too_many("too_many_clauses", reason));
        }
        Ok(equal(field, values.iter().filter_map(scalar).collect(), self.context))
    }

    fn match_words(&self, clause: &Clause<'_>, kind: &str) -> Result<Filter, ElasticError> {
        if clause.option("fuzziness").is_some_and(|value| scalar(value).is_some_and(|text| text != "0")) {
            return Err(unsupported("fuzziness", "words are compared as they are"));
        }
        let text = clause.text(kind)?;
        let all = clause
            .option("operator")
            .and_then(Value::as_str)
            .is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
        let least = clause.option("minimum_should_match");
        any_words(clause.field, &text, &Words { all, least, prefix: kind == "match_bool_prefix" }, self.context)
    }

    fn multi_match(&self, members: &Map<String, Value>) -> Result<Filter, ElasticError> {
        let text = members
            .get("query")
            .and_then(scalar)
            .ok_or_else(|| ElasticError::parsing("No text specified for multi_match query"))?;
        let kind = members.get("type").and_then(Value::as_str).unwrap_or("best_fields");
        let all = members
            .get("operator")
            .and_then(Value::as_str)
            .is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
        let least = members.get("minimum_should_match");
        let one = |field: &str| match kind {
            "phrase" => Ok(phrase(field, &text, false, self.context)),
            "phrase_prefix" => Ok(phrase(field, &text, true, self.context)),
            _ => any_words(field, &text, &Words { all, least, prefix: kind == "bool_prefix" }, self.context),
        };
        let fields = fields_of(members.get("fields"), self.context)?;
        Ok(Filter::or(fields.iter().map(|field| one(field)).collect::<Result<Vec<_>, _>>()?))
    }

    fn query_string(&self, members: &Map<String, Value>) -> Result<Filter, ElasticError> {
        let text = members
            .get("query")
            .and_then(scalar)
            .ok_or_else(|| ElasticError::parsing("[query_string] must be provided with a [query]"))?;
        let and = |value: &Value| value.as_str().is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
        let fields = match (members.get("fields"), members.get("default_field")) {
            (None, Some(field)) => Some(Value::Array(vec![field.clone()])),
            (fields, _) => fields.cloned(),
        };
        lucene::parse(
            &text,
            &Lucene {
                fields: fields_of(fields.as_ref(), self.context)?,
                all: members.get("default_operator").is_some_and(and),
                zone: members.get("time_zone").and_then(Value::as_str),
                context: self.context,
            },
        )
    }

    fn simple_query_string(&self, members: &Map<String, Value>) -> Result<Filter, ElasticError> {
        let text = members
            .get("query")
            .and_then(scalar)
            .ok_or_else(|| ElasticError::parsing("[simple_query_string] query text missing"))?;
        let and = |value: &Value| value.as_str().is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
        let fields = fields_of(members.get("fields"), self.context)?;
        let all = members.get("default_operator").is_some_and(and);
        lucene::simple(&text, &Lucene { fields, all, zone: None, context: self.context })
    }

    fn range(&self, field: &str, members: &Map<String, Value>) -> Result<Filter, ElasticError> {
        let zone = match members.get("time_zone").and_then(Value::as_str) {
            Some(text) => dates::zone(text)?,
            None => jiff::tz::TimeZone::UTC,
        };
        let format = members.get("format").and_then(Value::as_str);
        let includes = |name: &str| members.get(name).and_then(Value::as_bool).unwrap_or(true);
        let reading = Reading { format, zone, now: self.context.now };
        let mut parts = Vec::new();
        for (name, value) in members {
            let comparison = match name.as_str() {
                "gt" => Comparison::Greater,
                "gte" | "ge" => Comparison::GreaterOrEqual,
                "lt" => Comparison::Less,
                "lte" | "le" => Comparison::LessOrEqual,
                "from" if includes("include_lower") => Comparison::GreaterOrEqual,
                "from" => Comparison::Greater,
                "to" if includes("include_upper") => Comparison::LessOrEqual,
                "to" => Comparison::Less,
                "boost" | "_name" | "format" | "time_zone" | "relation" | "include_lower" | "include_upper" => continue,
                _ => return Err(ElasticError::parsing(format!("[range] query does not support [{name}]"))),
            };
            if let Some(text) = scalar(value) {
                parts.push(compared(field, comparison, &text, &reading)?);
            } else if !value.is_null() {
                return Err(ElasticError::parsing(format!("[range] query does not support this value for [{name}]")));
            }
        }
        Ok(if parts.is_empty() { exists(field) } else { Filter::and(parts) })
    }
}

fn unsupported(kind: &str, why: &str) -> ElasticError {
    ElasticError::parsing(format!("[{kind}] is not supported: {why}"))
}

/// How the words of a `match` are put together.
struct Words<'v> {
    all: bool,
    least: Option<&'v Value>,
    prefix: bool,
}

/// The events with the words of a text in a field, some or all of them, or with the text as their value.
fn any_words(field: &str, text: &str, how: &Words<'_>, context: &Context<'_>) -> Result<Filter, ElasticError> {
    let key = key_of(field);
    if is_special(field) || is_time(key) {
        return Ok(equal(field, vec![text.to_owned()], context));
    }
    let words: Vec<String> = crate::filter::words(text).map(str::to_owned).collect();
    let last = words.len().saturating_sub(1);
    let each: Vec<Filter> = words
        .iter()
        .enumerate()
        .map(|(at, word)| word_in(key, if how.prefix && at == last { Text::starting(word) } else { Text::new(word) }))
        .collect();
    let exact = Filter::field(key, Test::equal(text));
    if each.is_empty() {
        return Ok(exact);
    }
    let least = match how.least {
        _ if how.all => each.len(),
        Some(value) => at_least(value, each.len())?.max(1),
        None => 1,
    };
    Ok(Filter::or([choice(each, least)?, exact]))
}

/// A word in a field, or anywhere for `*`.
fn word_in(key: &str, text: Text) -> Filter {
    if key == "*" { Filter::Anywhere(text) } else { Filter::field(key, Test::Words(text)) }
}

/// The events with the words of a text one after the other in a field.
pub(crate) fn phrase(field: &str, text: &str, prefix: bool, context: &Context<'_>) -> Filter {
    let key = key_of(field);
    if is_special(field) || is_time(key) {
        return equal(field, vec![text.to_owned()], context);
    }
    let words = if prefix { Text::starting(text) } else { Text::new(text) };
    if key == "*" {
        return Filter::Anywhere(words);
    }
    let exact = Filter::field(key, Test::equal(text));
    if words.words.is_empty() { exact } else { Filter::or([word_in(key, words), exact]) }
}

/// `_index` is known of each log and not of each event.
fn is_special(field: &str) -> bool {
    field == "_index"
}

/// The events whose value is one of these. In fields of prose a word is enough, as in an analysed field.
pub(crate) fn equal(field: &str, values: Vec<String>, context: &Context<'_>) -> Filter {
    let key = key_of(field);
    if is_time(key) {
        let reading = Reading { format: None, zone: jiff::tz::TimeZone::UTC, now: context.now };
        let at = |text: &String| dates::read(text, &reading).map(|moments| within(key, moments));
        return Filter::or(values.iter().filter_map(at));
    }
    if values.is_empty() {
        return Filter::not(Filter::All);
    }
    let words: Vec<Filter> = if is_text_key(field) {
        let words = values.iter().map(|value| Text::new(value)).filter(|text| text.words.len() == 1);
        words.map(|text| Filter::field(key, Test::Words(text))).collect()
    } else {
        Vec::new()
    };
    let exact = Filter::field(key, Test::Equal(values.into_iter().map(Scalar::new).collect()));
    Filter::or(words.into_iter().chain([exact]))
}

fn within(key: &str, moments: Moments) -> Filter {
    Filter::and([bound(key, Comparison::GreaterOrEqual, moments.start), bound(key, Comparison::Less, moments.end)])
}

fn bound(key: &str, comparison: Comparison, micros: i64) -> Filter {
    let time = jiff::Timestamp::from_microsecond(micros).map(written).unwrap_or_default();
    Filter::field(key, Test::Compare(comparison, Scalar::new(time)))
}

/// The events whose value stands on one side of a bound.
pub(crate) fn compared(
    field: &str,
    comparison: Comparison,
    text: &str,
    reading: &Reading<'_>,
) -> Result<Filter, ElasticError> {
    let key = key_of(field);
    let moments = || dates::read(text, reading);
    // The end of the span for what comes after it or up to it.
    let rounded = |moments: Moments| match comparison {
        Comparison::Greater => (Comparison::GreaterOrEqual, moments.end),
        Comparison::LessOrEqual => (Comparison::Less, moments.end),
        other => (other, moments.start),
    };
    if is_time(key) {
        let moments = moments().ok_or_else(|| {
            ElasticError::parsing(format!(
                "failed to parse date field [{text}] with format [{}]",
                reading.format.unwrap_or("strict_date_optional_time||epoch_millis")
            ))
        })?;
        let (comparison, micros) = rounded(moments);
        return Ok(bound(key, comparison, micros));
    }
    let number = Scalar::new(text).as_number().is_some();
    let date = reading.format.is_some()
        || text.starts_with("now")
        || text.contains("||")
        || (text.len() >= 10 && text.as_bytes().get(4) == Some(&b'-'));
    if let Some(moments) = moments().filter(|_| date && !number) {
        let (comparison, micros) = rounded(moments);
        return Ok(Filter::field(key, Test::Compare(comparison, Scalar::new(date_text(micros)))));
    }
    Ok(Filter::field(key, Test::Compare(comparison, Scalar::new(text))))
}

/// A date as it stands in texts, as short as it can be, so that it sorts before all that it begins.
fn date_text(micros: i64) -> String {
    let full = dates::write(micros.div_euclid(dates::MILLI), None, &jiff::tz::TimeZone::UTC);
    let short = full.trim_end_matches('Z').trim_end_matches(".000");
    short.strip_suffix("T00:00:00").unwrap_or(short).to_owned()
}

/// The events that have a value under a field.
pub(crate) fn exists(field: &str) -> Filter {
    match key_of(field) {
        "timestamp" | "received" | "id" | "_index" | "_source" => Filter::All,
        key => Filter::field(key, Test::Present),
    }
}

/// The events with a text that fits a pattern of `*` and `?`.
pub(crate) fn pattern(field: &str, pattern: &str, folds: bool) -> Filter {
    let key = key_of(field);
    if pattern == "*" {
        return exists(field);
    }
    if folds && let Ok(regex) = Pattern::new(&format!("(?i){}", regex_of(pattern))) {
        return Filter::field(key, Test::Regex(regex));
    }
    Filter::field(key, Test::Wildcard(pattern.to_owned()))
}

fn regex_of(pattern: &str) -> String {
    let piece = |piece| match piece {
        crate::filter::Piece::Literal(text) => regex::escape(&text),
        crate::filter::Piece::Any => ".*".to_owned(),
        crate::filter::Piece::One => ".".to_owned(),
    };
    crate::filter::wildcard(pattern).into_iter().map(piece).collect()
}

/// A text that stands for itself in a pattern.
pub(crate) fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 4);
    for character in text.chars() {
        if matches!(character, '*' | '?' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// The events with a text that matches a regular expression of Lucene from end to end.
pub(crate) fn regexp(field: &str, text: &str, folds: bool) -> Result<Filter, ElasticError> {
    let refused = |what: &str| {
        ElasticError::illegal(format!("the regular expression [{text}] on [{field}] cannot be used: {what}"))
    };
    let mut translated = String::from(if folds { "(?i)" } else { "" });
    let (mut escaped, mut class) = (false, false);
    for character in text.chars() {
        if escaped {
            escaped = false;
            // A letter behind a backslash is that letter; the crate has classes of its own there.
            if character.is_ascii_alphanumeric() && !matches!(character, 'd' | 'D' | 's' | 'S' | 'w' | 'W') {
                translated.push(character);
            } else if character.is_ascii_alphanumeric() {
                translated.extend(['\\', character]);
            } else {
                translated.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
            }
            continue;
        }
        match character {
            '\\' => escaped = true,
            '[' if !class => {
                class = true;
                translated.push('[');
            }
            ']' if class => {
                class = false;
                translated.push(']');
            }
            '[' | '&' | '~' if class => translated.extend(['\\', character]),
            _ if class => translated.push(character),
            '@' => translated.push_str(".*"),
            '~' | '<' | '&' | '#' => {
                return Err(refused(&format!(
                    "[{character}] is an operator that is not supported; write \\{character} for the character"
                )));
            }
            '^' | '$' => translated.extend(['\\', character]),
            '"' => {}
            _ => translated.push(character),
        }
    }
    if escaped {
        return Err(refused("it ends in a backslash"));
    }
    Ok(Filter::field(key_of(field), Test::Regex(Pattern::new(&translated).map_err(|error| refused(&error))?)))
}

/// How many of so many clauses have to match: `2`, `-1`, `75%`, `-25%`, `3<90%`.
fn at_least(value: &Value, clauses: usize) -> Result<usize, ElasticError> {
    let refused = || ElasticError::illegal(format!("[minimum_should_match] cannot be read: {value}"));
    let mut text = scalar(value).ok_or_else(refused)?;
    if let Some((beyond, rule)) = text.split_once('<') {
        let beyond: usize = beyond.trim().parse().map_err(|_| refused())?;
        if clauses <= beyond {
            return Ok(clauses);
        }
        text = rule.split_whitespace().next().unwrap_or_default().to_owned();
    }
    let (number, percent) = text.trim().strip_suffix('%').map_or((text.trim(), false), |number| (number, true));
    let number: i64 = number.parse().map_err(|_| refused())?;
    let all = i64::try_from(clauses).unwrap_or(i64::MAX);
    let counted = if percent { all.saturating_mul(number.clamp(-100, 100)) / 100 } else { number };
    let least = if counted < 0 { all.saturating_add(counted) } else { counted };
    // More than there are can never match; Elasticsearch finds nothing then.
    Ok(usize::try_from(least.max(0)).unwrap_or(usize::MAX))
}

/// The events that pass at least so many of the parts.
fn choice(parts: Vec<Filter>, least: usize) -> Result<Filter, ElasticError> {
    match least {
        0 => Ok(Filter::All),
        1 => Ok(Filter::or(parts)),
        _ if least > parts.len() => Ok(Filter::not(Filter::All)),
        _ if least == parts.len() => Ok(Filter::and(parts)),
        _ if parts.len() > CHOICES_MAX => {
            let reason = format!(
                "[minimum_should_match] of {least} is possible among at most {CHOICES_MAX} clauses, these are {}",
                parts.len()
            );
            Err(ElasticError::too_many("too_many_clauses", reason))
        }
        _ => {
            let chosen = (0_u32..1 << parts.len()).filter(|set| set.count_ones() as usize == least);
            if chosen.clone().count() * least > TERMS_MAX {
                let reason =
                    format!("maxClauseCount is set to {TERMS_MAX}, {least} of {} clauses are more", parts.len());
                return Err(ElasticError::too_many("too_many_clauses", reason));
            }
            bounded(Filter::or(chosen.map(|set| {
                let members = parts.iter().enumerate().filter(|(at, _)| set & (1 << at) != 0);
                Filter::and(members.map(|(_, part)| part.clone()))
            })))
        }
    }
}

/// The fields of a list, without boosts, with patterns replaced by the keys that fit. All keys are `*`.
fn fields_of(value: Option<&Value>, context: &Context<'_>) -> Result<Vec<String>, ElasticError> {
    let named: Vec<String> = match value {
        None | Some(Value::Null) => return Ok(vec!["*".to_owned()]),
        Some(Value::Array(list)) => list.iter().filter_map(scalar).collect(),
        Some(one) => scalar(one).into_iter().collect(),
    };
    let mut fields = Vec::new();
    for name in named {
        let name = name.split('^').next().unwrap_or_default();
        if name == "*" || !name.contains('*') {
            fields.push(name.to_owned());
            continue;
        }
        let pieces = crate::filter::wildcard(name);
        fields.extend(context.names.iter().filter(|key| crate::filter::wildcard_matches(&pieces, key)).cloned());
    }
    if fields.len() > FIELDS_MAX {
        let reason = format!("field expansion for [{}] fields exceeds the limit of {FIELDS_MAX}", fields.len());
        return Err(ElasticError::illegal(reason));
    }
    Ok(fields)
}
