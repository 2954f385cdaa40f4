//! An answer as somebody wants to read it: with `filter_path` some of its members, with `pretty` on many lines.
//!
//! A path names members with points between them; `*` stands for any text within a name, `**` for any names in between,
//! `-` before it for what is left out. Lists are seen through.

use std::collections::BTreeSet;

use axum::body::to_bytes;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value};

use super::call::fits;
use super::{Call, Refusal};

/// Most names in all paths together: each member of the answer is compared with those that may come next.
const NAMES_MAX: usize = 1000;

/// The answer as `filter_path` and `pretty` ask for it; whatever is no JSON stays as it is.
///
/// # Errors
/// 400 when there are too many paths.
pub(super) async fn shaped(call: &Call, response: Response) -> Result<Response, Refusal> {
    let paths = call.parameter("filter_path").filter(|text| !text.is_empty());
    let pretty = call.flag("pretty");
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !is_json || (paths.is_none() && !pretty) {
        return Ok(response);
    }
    let paths = paths.map(|text| Paths::parse(&text)).transpose()?;
    let (parts, body) = response.into_parts();
    let failed = |error: axum::Error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", error.to_string());
    // It is ready, in memory: nothing is waited for.
    let bytes = to_bytes(body, usize::MAX).await.map_err(failed)?;
    let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else {
        return Ok(Response::from_parts(parts, bytes.into()));
    };
    if let Some(paths) = paths {
        value = paths.of(value);
    }
    let written = if pretty { format!("{value:#}\n") } else { value.to_string() };
    Ok(Response::from_parts(parts, written.into()))
}

/// What `filter_path` says.
#[derive(Debug, Default)]
struct Paths {
    wanted: Vec<Vec<String>>,
    unwanted: Vec<Vec<String>>,
}

/// Which names may come next: of each path, and how far into it.
type Places = BTreeSet<(usize, usize)>;

/// What paths say about one member.
enum Member {
    /// A path ends here: it is meant with all that is in it.
    Whole,
    /// Paths that may go on below it; none if it is not meant.
    Below(Places),
}

impl Paths {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut paths = Self::default();
        let mut names = 0;
        for path in text.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            let (list, path) = match path.strip_prefix('-') {
                Some(path) => (&mut paths.unwanted, path),
                None => (&mut paths.wanted, path),
            };
            let path = split(path);
            names += path.len();
            list.push(path);
        }
        if names > NAMES_MAX {
            return Err(Refusal::illegal(format!("[filter_path] has {names} names, the limit is {NAMES_MAX}")));
        }
        Ok(paths)
    }

    /// What is left of a value; an empty one of its kind if nothing is.
    fn of(&self, value: Value) -> Value {
        let empty = if value.is_array() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        let by = |value: Value, paths: &[Vec<String>], wanted: bool| {
            let start = (0..paths.len()).map(|path| (path, 0)).collect();
            if paths.is_empty() { Some(value) } else { reduced(value, paths, &start, wanted) }
        };
        by(value, &self.unwanted, false).and_then(|left| by(left, &self.wanted, true)).unwrap_or(empty)
    }
}

/// The names of a path; `\.` is a point within one.
fn split(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next_if_eq(&'.').is_some() => {
                names.last_mut().into_iter().for_each(|name| name.push('.'));
            }
            '.' => names.push(String::new()),
            other => names.last_mut().into_iter().for_each(|name| name.push(other)),
        }
    }
    names.retain(|name| !name.is_empty());
    names.dedup_by(|one, two| one == "**" && two == "**");
    names
}

fn member(paths: &[Vec<String>], places: &Places, name: &str) -> Member {
    let mut below = Places::new();
    for (path, place) in places {
        let names = paths.get(*path).map_or(&[][..], Vec::as_slice);
        let mut place = *place;
        // `**` stays for the members below, and may also stand for no name at all.
        if names.get(place).is_some_and(|expected| expected == "**") {
            below.insert((*path, place));
            place += 1;
        }
        match names.get(place) {
            None => return Member::Whole,
            Some(expected) if fits(expected, name) => {
                if place + 1 == names.len() {
                    return Member::Whole;
                }
                below.insert((*path, place + 1));
            }
            Some(_) => {}
        }
    }
    Member::Below(below)
}

/// Of a value what paths lead to, or all but that. Nothing if nothing is left.
fn reduced(value: Value, paths: &[Vec<String>], places: &Places, wanted: bool) -> Option<Value> {
    match value {
        Value::Object(members) => {
            let left = members.into_iter().filter_map(|(name, value)| match member(paths, places, &name) {
                Member::Whole => wanted.then_some((name, value)),
                Member::Below(places) if places.is_empty() => (!wanted).then_some((name, value)),
                Member::Below(places) => reduced(value, paths, &places, wanted).map(|value| (name, value)),
            });
            Some(left.collect::<Map<_, _>>()).filter(|left| !left.is_empty()).map(Value::Object)
        }
        Value::Array(list) => {
            let left: Vec<Value> = list.into_iter().filter_map(|value| reduced(value, paths, places, wanted)).collect();
            if left.is_empty() { None } else { Some(Value::Array(left)) }
        }
        scalar => (!wanted).then_some(scalar),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(paths: &str, left: Value) {
        let answer = json!({
            "took": 3, "errors": false,
            "hits": { "total": { "value": 2 }, "hits": [
                { "_id": "1", "_source": { "user": "a", "a.b": 1, "n": 12345678901234567890123_f64 } },
                { "_id": "2", "_source": { "text": "b" }, "sort": [1] },
            ] },
            "aggregations": { "one": { "buckets": [{ "key": 1 }] }, "two": { "value": 1, "below": { "buckets": [] } } },
        });
        assert_eq!(Paths::parse(paths).unwrap().of(answer), left, "{paths}");
    }

    #[test]
    fn paths_say_what_is_left() {
        check("took", json!({ "took": 3 }));
        check("took,hits.hits._id", json!({ "took": 3, "hits": { "hits": [{ "_id": "1" }, { "_id": "2" }] } }));
        check("hits.hits._source.user", json!({ "hits": { "hits": [{ "_source": { "user": "a" } }] } }));
        check("hits.hits.sort", json!({ "hits": { "hits": [{ "sort": [1] }] } }));
        check("hits.hits._source.a\\.b", json!({ "hits": { "hits": [{ "_source": { "a.b": 1 } }] } }));
        check("h*.t*", json!({ "hits": { "total": { "value": 2 } } }));
        check("aggregations.*.buckets", json!({ "aggregations": { "one": { "buckets": [{ "key": 1 }] } } }));
        check(
            "aggregations.**.buckets",
            json!({ "aggregations": { "one": { "buckets": [{ "key": 1 }] }, "two": { "below": { "buckets": [] } } } }),
        );
        check("**.value", json!({ "hits": { "total": { "value": 2 } }, "aggregations": { "two": { "value": 1 } } }));
        check("**.took", json!({ "took": 3 }));
        check("hits.**,-**.hits,-hits.total", json!({}));
        check("nothing", json!({}));
        check("took.more", json!({}));
        check("-hits,-aggregations", json!({ "took": 3, "errors": false }));
        check("-hits.hits,-aggregations.*.*,-errors", json!({ "took": 3, "hits": { "total": { "value": 2 } } }));
        check("hits.hits,-hits.hits._source,-**.sort", json!({ "hits": { "hits": [{ "_id": "1" }, { "_id": "2" }] } }));
    }

    #[test]
    fn lists_at_the_top_and_many_paths() {
        let of = |paths: &str, value: Value| Paths::parse(paths).unwrap().of(value);
        assert_eq!(of("index", json!([{ "index": "a", "n": 1 }, { "n": 2 }])), json!([{ "index": "a" }]));
        assert_eq!(of("x", json!([{ "index": "a" }])), json!([]));
        let deep = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert_eq!(of(&"**.".repeat(500), deep.clone()), deep);
        assert_eq!(of(&"**.a.".repeat(90), deep.clone()), deep);
        assert_eq!(of(&"**.a.".repeat(400), deep), json!({}), "in no time");
        assert!(Paths::parse(&"a.b,".repeat(501)).is_err());
    }
}
