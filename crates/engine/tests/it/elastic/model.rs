//! Elasticsearch's queries as the documentation says them, decided document by document over JSON.
//!
//! Nothing here is quick, and nothing of it is code that is tested. Where Everlog differs on purpose (docs/elasticsearch.md),
//! so does this.

use serde_json::{Map, Value, json};

/// The time of a document, in milliseconds since 1970; whole days begin here.
pub(crate) const FIRST_DAY: i64 = 1_767_225_600_000;

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// Whether a text matches.
type Matches = fn(&str) -> bool;

/// Regular expressions, with what they say in other words.
pub(crate) const EXPRESSIONS: [(&str, Matches); 5] = [
    ("a.*", |text| text.starts_with('a')),
    ("(db|web)", |text| text == "db" || text == "web"),
    ("[a-z]+ ?[0-9]?", |text| {
        let rest = text.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
        let digits = rest.strip_prefix(' ').unwrap_or(rest);
        rest.len() < text.len() && digits.len() <= 1 && digits.bytes().all(|digit| digit.is_ascii_digit())
    }),
    ("..", |text| text.chars().count() == 2),
    ("4[0-9]{2}", |text| text.len() == 3 && text.starts_with('4') && text.bytes().all(|digit| digit.is_ascii_digit())),
];

/// A query.
#[derive(Clone, Debug)]
pub(crate) enum Query {
    All,
    None,
    Term(String, Value),
    Terms(String, Vec<Value>),
    /// Words of a text, some or all.
    Match(String, String, bool),
    Several(Vec<String>, String),
    Phrase(String, String),
    Prefix(String, String),
    Wildcard(String, String),
    Regexp(String, usize),
    /// `gt`, `gte`, `lt` or `lte`.
    Range(String, &'static str, Value),
    /// The same of the time: a day, or milliseconds.
    Time(&'static str, i64, bool),
    Exists(String),
    Ids(Vec<String>),
    Constant(Box<Self>),
    Bool(Box<Bool>),
    /// Clauses of `query_string` with what stands between them.
    Lucene(Box<Self>, Joint, Box<Self>),
}

/// What demands, prefers and forbids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bool {
    pub(crate) must: Vec<Query>,
    pub(crate) filter: Vec<Query>,
    pub(crate) should: Vec<Query>,
    pub(crate) not: Vec<Query>,
    pub(crate) least: Option<Value>,
}

/// How two clauses of Lucene's language are put together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Joint {
    And,
    Or,
    AndNot,
    /// `+a b`: the second is only preferred.
    Plus,
    /// `a -b`
    Minus,
}

/// A field as it is named in the document.
fn key(field: &str) -> &str {
    field.strip_suffix(".keyword").unwrap_or(field)
}

/// All values under a field: lists are seen through, nulls are none.
pub(crate) fn values<'d>(document: &'d Value, field: &str) -> Vec<&'d Value> {
    let mut found = Vec::new();
    below(document, key(field), &mut found);
    found
}

fn below<'d>(value: &'d Value, path: &str, found: &mut Vec<&'d Value>) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| below(one, path, found)),
        Value::Object(members) => {
            for (name, value) in members {
                if name == path {
                    below(value, "", found);
                } else if let Some(rest) = path.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('.')) {
                    below(value, rest, found);
                }
            }
        }
        Value::Null => {}
        scalar => found.extend(path.is_empty().then_some(scalar)),
    }
}

/// A scalar as text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The number that a text spells.
pub(crate) fn number(text: &str) -> Option<f64> {
    let spelled = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| spelled)
}

fn words(text: &str) -> Vec<String> {
    let parts = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Texts and whole numbers have words.
fn words_of(value: &Value) -> Vec<String> {
    if value.is_string() || value.is_i64() { words(&text(value)) } else { Vec::new() }
}

fn equals(value: &Value, typed: &str) -> bool {
    match value {
        Value::Bool(truth) if *truth => matches!(typed, "true" | "1"),
        Value::Bool(_) => matches!(typed, "false" | "0"),
        other => text(other) == typed || number(typed).is_some_and(|typed| number(&text(other)) == Some(typed)),
    }
}

/// Whether words stand in a value, one after the other.
fn follow(value: &Value, wanted: &[String]) -> bool {
    !wanted.is_empty() && words_of(value).windows(wanted.len()).any(|window| window == wanted)
}

fn phrase(value: &Value, typed: &str) -> bool {
    equals(value, typed) || follow(value, &words(typed))
}

fn fits(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|from| fits(rest, &text[from..])),
        Some((one, rest)) => {
            text.split_first().is_some_and(|(first, text)| (*one == '?' || one == first) && fits(rest, text))
        }
    }
}

fn accepts(operator: &str, order: std::cmp::Ordering) -> bool {
    match operator {
        "gt" => order.is_gt(),
        "gte" => order.is_ge(),
        "lt" => order.is_lt(),
        _ => order.is_le(),
    }
}

/// How a value stands to a bound: numbers to numbers, texts to texts.
fn compare(value: &Value, bound: &Value) -> Option<std::cmp::Ordering> {
    match (number(&text(bound)), value) {
        (_, Value::Bool(_)) => None,
        (Some(bound), value) => number(&text(value))?.partial_cmp(&bound),
        (None, Value::String(value)) => Some(value.as_str().cmp(bound.as_str()?)),
        _ => None,
    }
}

fn in_time(document: &Value, operator: &str, bound: i64, day: bool) -> bool {
    let at = time(document);
    match operator {
        // What is a whole day is left behind when it is over.
        "gt" if day => at >= bound + DAY,
        "lte" if day => at < bound + DAY,
        _ => accepts(operator, at.cmp(&bound)),
    }
}

/// Milliseconds since 1970.
pub(crate) fn time(document: &Value) -> i64 {
    let text = document["timestamp"].as_str().unwrap();
    jiff::Timestamp::as_millisecond(text.parse().unwrap())
}

/// How many of so many clauses have to match.
fn at_least(value: &Value, clauses: usize) -> i64 {
    let all = i64::try_from(clauses).unwrap();
    let typed = text(value);
    let number = match typed.strip_suffix('%') {
        Some(percent) => all * percent.parse::<i64>().unwrap() / 100,
        None => typed.parse().unwrap(),
    };
    if number < 0 { all + number } else { number }
}

impl Bool {
    fn passes(&self, document: &Value) -> bool {
        let demanded = self.must.iter().chain(&self.filter).collect::<Vec<_>>();
        let least = match &self.least {
            Some(value) => at_least(value, self.should.len()),
            None => i64::from(demanded.is_empty() && !self.should.is_empty()),
        };
        let matched = self.should.iter().filter(|part| part.passes(document)).count();
        demanded.iter().all(|part| part.passes(document))
            && !self.not.iter().any(|part| part.passes(document))
            && i64::try_from(matched).unwrap() >= least
    }

    fn json(&self) -> Value {
        let list = |parts: &[Query]| parts.iter().map(Query::json).collect::<Value>();
        let mut members = Map::new();
        for (name, parts) in
            [("must", &self.must), ("filter", &self.filter), ("should", &self.should), ("must_not", &self.not)]
        {
            match parts.as_slice() {
                [] => {}
                [one] => drop(members.insert(name.to_owned(), one.json())),
                more => drop(members.insert(name.to_owned(), list(more))),
            }
        }
        if let Some(least) = &self.least {
            members.insert("minimum_should_match".to_owned(), least.clone());
        }
        Value::Object(members)
    }
}

impl Query {
    /// Whether a document is a hit.
    pub(crate) fn passes(&self, document: &Value) -> bool {
        let any = |field: &str, test: &dyn Fn(&Value) -> bool| values(document, field).into_iter().any(test);
        match self {
            Self::All => true,
            Self::None => false,
            Self::Term(field, value) => any(field, &|one| term(field, one, &text(value))),
            Self::Terms(field, list) => any(field, &|one| list.iter().any(|value| term(field, one, &text(value)))),
            Self::Match(field, typed, all) => has_words(document, field, typed, *all),
            Self::Several(fields, typed) => fields.iter().any(|field| has_words(document, field, typed, false)),
            Self::Phrase(field, typed) => any(field, &|one| phrase(one, typed)),
            Self::Prefix(field, typed) => any(field, &|one| text(one).starts_with(typed.as_str())),
            Self::Wildcard(field, pattern) => {
                let pattern: Vec<char> = pattern.chars().collect();
                any(field, &|one| fits(&pattern, &text(one).chars().collect::<Vec<char>>()))
            }
            Self::Regexp(field, which) => any(field, &|one| EXPRESSIONS[*which].1(&text(one))),
            Self::Range(field, operator, bound) => {
                any(field, &|one| compare(one, bound).is_some_and(|order| accepts(operator, order)))
            }
            Self::Time(operator, bound, day) => in_time(document, operator, *bound, *day),
            Self::Exists(field) => exists(document, field),
            Self::Ids(ids) => ids.iter().any(|id| document["id"] == *id),
            Self::Constant(query) => query.passes(document),
            Self::Bool(query) => query.passes(document),
            Self::Lucene(one, joint, two) => match joint {
                Joint::And => one.passes(document) && two.passes(document),
                Joint::Or => one.passes(document) || two.passes(document),
                Joint::AndNot | Joint::Minus => one.passes(document) && !two.passes(document),
                Joint::Plus => one.passes(document),
            },
        }
    }

    /// As it is sent.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::All => json!({ "match_all": {} }),
            Self::None => json!({ "match_none": {} }),
            Self::Term(field, value) => json!({ "term": { field: value } }),
            Self::Terms(field, list) => json!({ "terms": { field: list } }),
            Self::Match(field, typed, false) => json!({ "match": { field: typed } }),
            Self::Match(field, typed, true) => json!({ "match": { field: { "query": typed, "operator": "and" } } }),
            Self::Several(fields, typed) => json!({ "multi_match": { "query": typed, "fields": fields } }),
            Self::Phrase(field, typed) => json!({ "match_phrase": { field: typed } }),
            Self::Prefix(field, typed) => json!({ "prefix": { field: { "value": typed } } }),
            Self::Wildcard(field, pattern) => json!({ "wildcard": { field: { "value": pattern } } }),
            Self::Regexp(field, which) => json!({ "regexp": { field: EXPRESSIONS[*which].0 } }),
            Self::Range(field, operator, bound) => json!({ "range": { field: { *operator: bound } } }),
            Self::Time(operator, bound, true) => json!({ "range": { "@timestamp": { *operator: day(*bound) } } }),
            Self::Time(operator, bound, false) => json!({ "range": { "@timestamp": { *operator: bound } } }),
            Self::Exists(field) => json!({ "exists": { "field": field } }),
            Self::Ids(ids) => json!({ "ids": { "values": ids } }),
            Self::Constant(query) => json!({ "constant_score": { "filter": query.json() } }),
            Self::Bool(query) => json!({ "bool": query.json() }),
            Self::Lucene(one, joint, two) => {
                let (one, two) = (one.lucene(), two.lucene());
                let query = match joint {
                    Joint::And => format!("{one} AND {two}"),
                    Joint::Or => format!("{one} OR ({two})"),
                    Joint::AndNot => format!("({one}) AND NOT {two}"),
                    Joint::Plus => format!("+{one} {two}"),
                    Joint::Minus => format!("{one} -{two}"),
                };
                json!({ "query_string": { "query": query } })
            }
        }
    }

    /// As a clause of Lucene's language; only for those that have one.
    fn lucene(&self) -> String {
        match self {
            Self::Term(field, value) => format!("{field}:{}", text(value)),
            Self::Phrase(field, typed) => format!("{field}:\"{typed}\""),
            Self::Prefix(field, typed) => format!("{field}:{typed}*"),
            Self::Range(field, "gt", bound) => format!("{field}:{{{} TO *]", text(bound)),
            Self::Range(field, "gte", bound) => format!("{field}:>={}", text(bound)),
            Self::Range(field, "lt", bound) => format!("{field}:<{}", text(bound)),
            Self::Range(field, _, bound) => format!("{field}:[* TO {}]", text(bound)),
            Self::Exists(field) => format!("_exists_:{field}"),
            other => panic!("{other:?} has no such form"),
        }
    }
}

/// A day as text.
pub(crate) fn day(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).unwrap().strftime("%Y-%m-%d").to_string()
}

/// In `message` a word is enough.
fn term(field: &str, value: &Value, typed: &str) -> bool {
    let wanted = words(typed);
    equals(value, typed) || (field == "message" && wanted.len() == 1 && follow(value, &wanted))
}

fn has_words(document: &Value, field: &str, typed: &str, all: bool) -> bool {
    let values = values(document, field);
    let has = |word: &String| values.iter().any(|value| words_of(value).contains(word));
    let wanted = words(typed);
    let found = if all { wanted.iter().all(has) } else { wanted.iter().any(has) };
    (found && !wanted.is_empty()) || values.iter().any(|value| equals(value, typed))
}

fn exists(document: &Value, field: &str) -> bool {
    fn any(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Array(list) => list.iter().any(any),
            Value::Object(members) => members.values().any(any),
            _ => true,
        }
    }
    !values(document, field).is_empty() || any(&document[key(field)])
}
