//! `_source`: the parts of a document that are asked for.

use serde_json::{Map, Value, json};

use super::dates;
use super::{ElasticError, scalar};
use crate::filter::{Piece, wildcard, wildcard_matches};

/// Which parts of a document are shown.
#[derive(Clone, Debug, Default)]
pub(crate) enum Filtering {
    /// All of it.
    #[default]
    Whole,
    /// Nothing.
    Nothing,
    /// The fields that fit some of the first patterns, if there are any, and none of the second.
    Parts(Vec<Pattern>, Vec<Pattern>),
}

type Pattern = Vec<Piece>;

impl Filtering {
    /// Reads `_source`.
    pub(crate) fn parse(value: Option<&Value>) -> Result<Self, ElasticError> {
        let patterns = |value: Option<&Value>| -> Vec<Pattern> {
            match value {
                Some(Value::String(text)) => text.split(',').map(wildcard).collect(),
                Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(wildcard).collect(),
                _ => Vec::new(),
            }
        };
        Ok(match value {
            None | Some(Value::Null | Value::Bool(true)) => Self::Whole,
            Some(Value::Bool(false)) => Self::Nothing,
            Some(Value::String(text)) if text == "false" => Self::Nothing,
            Some(Value::String(text)) if text == "true" => Self::Whole,
            Some(Value::Object(members)) => {
                let either = |one: &str, other: &str| patterns(members.get(one).or_else(|| members.get(other)));
                Self::Parts(either("includes", "include"), either("excludes", "exclude"))
            }
            Some(list @ (Value::Array(_) | Value::String(_))) => Self::Parts(patterns(Some(list)), Vec::new()),
            Some(Value::Number(_)) => {
                return Err(ElasticError::parsing("[_source] is a boolean, a name, a list or an object"));
            }
        })
    }

    /// What is left of a document; none if it is not shown at all.
    pub(crate) fn apply(&self, document: &Map<String, Value>) -> Option<Map<String, Value>> {
        match self {
            Self::Whole => Some(document.clone()),
            Self::Nothing => None,
            Self::Parts(includes, excludes) => Some(part(document, "", includes, excludes)),
        }
    }
}

fn part(document: &Map<String, Value>, above: &str, includes: &[Pattern], excludes: &[Pattern]) -> Map<String, Value> {
    let fits = |patterns: &[Pattern], name: &str| patterns.iter().any(|pattern| wildcard_matches(pattern, name));
    let mut kept = Map::new();
    for (key, value) in document {
        let name = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        if fits(excludes, &name) {
            continue;
        }
        // What is named with all that is below it.
        let whole = includes.is_empty() || fits(includes, &name);
        let below: &[Pattern] = if whole { &[] } else { includes };
        match value {
            Value::Object(inner) => {
                let inner_kept = part(inner, &name, below, excludes);
                if (whole && inner.is_empty()) || !inner_kept.is_empty() {
                    kept.insert(key.clone(), Value::Object(inner_kept));
                }
            }
            Value::Array(list) if list.iter().any(Value::is_object) => {
                let each = list.iter().filter_map(|one| match one {
                    Value::Object(inner) => Some(Value::Object(part(inner, &name, below, excludes)))
                        .filter(|one| whole || one.as_object().is_some_and(|one| !one.is_empty())),
                    other => whole.then(|| other.clone()),
                });
                let each: Vec<Value> = each.collect();
                if whole || !each.is_empty() {
                    kept.insert(key.clone(), Value::Array(each));
                }
            }
            other if whole => {
                kept.insert(key.clone(), other.clone());
            }
            _ => {}
        }
    }
    kept
}

/// `fields`: the values of each field that fits a pattern, as lists.
pub(crate) fn fields(document: &Map<String, Value>, wanted: &[(String, Option<String>)]) -> Map<String, Value> {
    let mut leaves: Vec<(String, Value)> = Vec::new();
    flatten(document, "", &mut leaves);
    let mut found = Map::new();
    for (pattern, format) in wanted {
        let keyword = pattern.ends_with(".keyword");
        let pieces = wildcard(pattern.strip_suffix(".keyword").unwrap_or(pattern));
        for (name, value) in leaves.iter().filter(|(name, _)| wildcard_matches(&pieces, name)) {
            let shown = if keyword { format!("{name}.keyword") } else { name.clone() };
            let value = formatted(name, value, format.as_deref());
            let list = found.entry(shown).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(value);
            }
        }
    }
    found
}

fn flatten(document: &Map<String, Value>, above: &str, leaves: &mut Vec<(String, Value)>) {
    for (key, value) in document {
        let name = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let list = if let Value::Array(list) = value { list.as_slice() } else { std::slice::from_ref(value) };
        for one in list {
            match one {
                Value::Object(inner) => flatten(inner, &name, leaves),
                Value::Null => {}
                other => leaves.push((name.clone(), other.clone())),
            }
        }
    }
}

fn formatted(name: &str, value: &Value, format: Option<&str>) -> Value {
    let is_date = name == "@timestamp" || format.is_some();
    let reading = dates::Reading { format: None, zone: jiff::tz::TimeZone::UTC, now: jiff::Timestamp::UNIX_EPOCH };
    let moments = scalar(value).filter(|_| is_date).and_then(|text| dates::read(&text, &reading));
    moments.map_or_else(
        || value.clone(),
        |moments| json!(dates::write(moments.start.div_euclid(dates::MILLI), format, &jiff::tz::TimeZone::UTC)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn parts_of_a_document() {
        let document = map(json!({ "a": { "b": 1, "c": [{ "d": 2, "e": 3 }] }, "f": "x", "a.g": 4 }));
        let applied = |filter: Value| Filtering::parse(Some(&filter)).unwrap().apply(&document).map(Value::Object);
        assert_eq!(applied(json!(false)), None);
        assert_eq!(applied(json!(["a.b", "f"])), Some(json!({ "a": { "b": 1 }, "f": "x" })));
        assert_eq!(applied(json!("a")), Some(json!({ "a": { "b": 1, "c": [{ "d": 2, "e": 3 }] } })));
        assert_eq!(
            applied(json!({ "includes": ["a.*"], "excludes": ["*.d"] })),
            Some(json!({ "a": { "b": 1, "c": [{ "e": 3 }] }, "a.g": 4 }))
        );
        assert_eq!(applied(json!({ "excludes": ["a", "a.*"] })), Some(json!({ "f": "x" })));
        let found = fields(&document, &[("a.*".to_owned(), None)]);
        assert_eq!(Value::Object(found), json!({ "a.b": [1], "a.c.d": [2], "a.c.e": [3], "a.g": [4] }));
    }
}
