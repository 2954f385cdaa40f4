//! Searches: `_search`, `_msearch`, `_count`, scrolling, and points in time.
//!
//! Scroll ids and points in time are not kept: the id says all there is to know, the logs, the last sequence number that
//! counts, and where the page before ended. So there is no number of them that is too many and none that is lost by a
//! restart, and each page is asked for with the rights of whoever asks.

use std::time::Instant;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::elastic::{Context, ElasticError, Found, Search, counted};
use serde_json::{Map, Value, json};

use super::{Call, Refusal};
use crate::http::Doors;

/// Longest body of a search that is scrolled: it is part of each scroll id.
const SCROLLED_BYTES_MAX: usize = 16 << 10;

/// Longest id that is looked at.
const ID_BYTES_MAX: usize = 64 << 10;

/// Most searches in one `_msearch`.
const SEARCHES_MAX: usize = 200;

impl From<ElasticError> for Refusal {
    fn from(error: ElasticError) -> Self {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, error.kind, error.reason)
    }
}

/// The door for a path, if it is one of these.
///
/// # Errors
/// In Elasticsearch's shape.
pub(super) async fn answer(call: &mut Call, path: &[&str]) -> Result<Option<Response>, Refusal> {
    let reads = call.parts.method == Method::GET || call.parts.method == Method::POST;
    let removes = call.parts.method == Method::DELETE;
    let answered = match path {
        ["_search"] if reads => search(call, None).await?,
        [logs, "_search"] if reads => search(call, Some(logs)).await?,
        ["_count"] if reads => count(call, None).await?,
        [logs, "_count"] if reads => count(call, Some(logs)).await?,
        ["_msearch"] if reads => several(call, None).await?,
        [logs, "_msearch"] if reads => several(call, Some(logs)).await?,
        ["_search", "scroll"] if reads => scroll(call, None).await?,
        ["_search", "scroll", id] if reads => scroll(call, Some(id)).await?,
        ["_search", "scroll", ..] if removes => freed(call).await?,
        [logs, "_pit"] if call.parts.method == Method::POST => point(call, logs).await?,
        ["_pit"] if removes => freed(call).await?,
        _ => return Ok(None),
    };
    Ok(Some(answered))
}

/// What is asked, once the parameters of the path are part of the body.
struct Asked {
    /// The logs.
    logs: Vec<String>,
    /// The body.
    body: Map<String, Value>,
    /// Events accepted later are not seen.
    bound: Option<u64>,
    /// Where the page before ended.
    last: Option<Value>,
    /// Whether hits are not counted, because that was done.
    counted: bool,
    /// Whether the names of aggregations say what they are.
    typed: bool,
}

async fn search(call: &mut Call, logs: Option<&str>) -> Result<Response, Refusal> {
    let begun = Instant::now();
    let mut body = read_body(call).await?;
    parameters(call, &mut body)?;
    let scrolls = call.parameter("scroll").is_some();
    let mut asked = asked(call, logs, body)?;
    let pit = asked.bound.is_some();
    if scrolls {
        if pit
            || asked.body.contains_key("search_after")
            || asked.body.get("from").is_some_and(|from| from.as_i64() != Some(0))
        {
            return Err(Refusal::illegal("using [from], [search_after] or [pit] is not allowed in a scroll context"));
        }
        if asked.body.get("size").and_then(Value::as_i64) == Some(0) {
            return Err(Refusal::illegal("[size] cannot be [0] in a scroll context"));
        }
        // Each page is counted as the first one was: all of it.
        asked.body.entry("track_total_hits").or_insert(json!(true));
    }
    let found = ask(&call.doors, &asked).await?;
    let pit = pit.then(|| json!(write_id(&json!({ "i": asked.logs, "s": found.bound }))));
    let scroll = if scrolls { Some(scroll_id(&asked, &found)?) } else { None };
    let mut answer = timed(begun);
    if let Some(scroll) = scroll {
        answer.insert("_scroll_id".to_owned(), json!(scroll));
    }
    if let Some(pit) = pit {
        answer.insert("pit_id".to_owned(), pit);
    }
    answer.extend(found.answer);
    finished(call, answer)
}

/// Reads the body of a search; an absent one is empty.
async fn read_body(call: &mut Call) -> Result<Map<String, Value>, Refusal> {
    let held = call.body().await?;
    if let Some(source) = call.parameter("source").filter(|_| held.bytes.is_empty()) {
        return object(source.as_bytes());
    }
    object(&held.bytes)
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Refusal::parsing("the body of a search is an object, like {\"query\": …}")),
        Err(error) => Err(Refusal::parsing(format!("the body of a search is no JSON: {error}"))),
    }
}

/// Puts what the query string says into the body.
fn parameters(call: &Call, body: &mut Map<String, Value>) -> Result<(), Refusal> {
    let list = |text: String| Value::Array(text.split(',').map(|one| json!(one)).collect());
    for name in ["size", "from"] {
        if let Some(text) = call.parameter(name) {
            let number: i64 = text
                .parse()
                .map_err(|_| Refusal::illegal(format!("Failed to parse int parameter [{name}] with value [{text}]")))?;
            body.insert(name.to_owned(), json!(number));
        }
    }
    if let Some(text) = call.parameter("sort").filter(|text| !text.is_empty()) {
        body.insert("sort".to_owned(), list(text));
    }
    if let Some(text) = call.parameter("track_total_hits").filter(|text| !text.is_empty()) {
        body.insert("track_total_hits".to_owned(), serde_json::from_str(&text).unwrap_or(json!(text)));
    }
    if call.flag("rest_total_hits_as_int") {
        body.entry("track_total_hits").or_insert(json!(true));
    }
    let either = |one: &str, other: &str| call.parameter(one).or_else(|| call.parameter(other));
    let (includes, excludes) =
        (either("_source_includes", "_source_include"), either("_source_excludes", "_source_exclude"));
    if let Some(text) = call.parameter("_source") {
        body.insert(
            "_source".to_owned(),
            match text.as_str() {
                "true" | "" => json!(true),
                "false" => json!(false),
                _ => list(text),
            },
        );
    } else if includes.is_some() || excludes.is_some() {
        let patterns = |text: Option<String>| text.map_or(json!([]), list);
        body.insert("_source".to_owned(), json!({ "includes": patterns(includes), "excludes": patterns(excludes) }));
    }
    for name in ["docvalue_fields", "stored_fields"] {
        if let Some(text) = call.parameter(name) {
            body.insert(name.to_owned(), list(text));
        }
    }
    if let Some(text) = call.parameter("q").filter(|text| !text.is_empty()) {
        let mut words = Map::from_iter([("query".to_owned(), json!(text))]);
        for (name, of_query) in [("df", "default_field"), ("default_operator", "default_operator")] {
            if let Some(value) = call.parameter(name) {
                words.insert(of_query.to_owned(), json!(value));
            }
        }
        body.insert("query".to_owned(), json!({ "query_string": words }));
    }
    Ok(())
}

/// The logs of a search, or those of its point in time.
fn asked(call: &Call, logs: Option<&str>, body: Map<String, Value>) -> Result<Asked, Refusal> {
    let typed = call.flag("typed_keys");
    let pit = body.get("pit").filter(|pit| !pit.is_null());
    let Some(pit) = pit else {
        return Ok(Asked {
            logs: call.logs(logs.unwrap_or(""))?,
            body,
            bound: None,
            last: None,
            counted: false,
            typed,
        });
    };
    if logs.is_some() {
        return Err(Refusal::illegal(
            "[indices] cannot be used with point in time. Do not specify any index with point in time.",
        ));
    }
    let id = pit.get("id").and_then(Value::as_str).ok_or_else(|| Refusal::parsing("[pit] requires an [id]"))?;
    let point = read_id(id)?;
    let bound = point.get("s").and_then(Value::as_u64).ok_or_else(|| no_context(id))?;
    Ok(Asked { logs: named(call, &point)?, body, bound: Some(bound), last: None, counted: false, typed })
}

/// The logs that an id names; each only with the right to read it.
fn named(call: &Call, id: &Value) -> Result<Vec<String>, Refusal> {
    let names: Vec<&str> =
        id.get("i").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    // The id of no logs at all stands for none, not for all.
    if names.is_empty() { Ok(Vec::new()) } else { call.logs(&names.join(",")) }
}

async fn ask(doors: &Doors, asked: &Asked) -> Result<Found, Refusal> {
    let engine = doors.engine.clone();
    let (logs, body) = (asked.logs.clone(), Value::Object(asked.body.clone()));
    let (bound, last, is_counted, typed) = (asked.bound, asked.last.clone(), asked.counted, asked.typed);
    let with_names = asked.body.get("query").is_some_and(|query| query.to_string().contains("\"fields\""));
    let read = move |context: &Context<'_>| {
        let mut search = Search::of(&body, context)?;
        if let Some(bound) = bound {
            search.freeze(bound);
        }
        if let Some(last) = &last {
            search.resume(last, context)?;
        }
        if is_counted {
            search.do_not_count();
        }
        if typed {
            search.name_types();
        }
        Ok(search)
    };
    let found = doors.questions.read(move || engine.search_as_elastic(&logs, with_names, read)).await?;
    Ok(found?)
}

fn timed(begun: Instant) -> Map<String, Value> {
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Map::from_iter([("took".to_owned(), json!(took)), ("timed_out".to_owned(), json!(false))])
}

/// The answer; with the total as a number for clients that want it so.
fn finished(call: &Call, mut answer: Map<String, Value>) -> Result<Response, Refusal> {
    if call.flag("rest_total_hits_as_int")
        && let Some(total) = answer.get_mut("hits").and_then(|hits| hits.get_mut("total"))
    {
        *total = total.get("value").cloned().unwrap_or_default();
    }
    Ok(super::json(StatusCode::OK, &Value::Object(answer)))
}

async fn count(call: &mut Call, logs: Option<&str>) -> Result<Response, Refusal> {
    let mut body = read_body(call).await?;
    if let Some(other) = body.keys().find(|name| *name != "query") {
        return Err(Refusal::parsing(format!("request does not support [{other}]")));
    }
    parameters(call, &mut body)?;
    body.retain(|name, _| name == "query");
    body.extend([("size".to_owned(), json!(0)), ("track_total_hits".to_owned(), json!(true))]);
    let found = ask(&call.doors, &asked(call, logs, body)?).await?;
    let shards = found.answer.get("_shards").cloned().unwrap_or_default();
    Ok(super::json(StatusCode::OK, &json!({ "count": counted(&found), "_shards": shards })))
}

/// Pairs of lines: what is asked of which logs. One that cannot be answered does not stop the others.
async fn several(call: &mut Call, logs: Option<&str>) -> Result<Response, Refusal> {
    let begun = Instant::now();
    let held = call.body().await?;
    let lines: Vec<&[u8]> = held.bytes.split(|byte| *byte == b'\n').collect();
    let last = lines.iter().rposition(|line| !line.trim_ascii().is_empty()).map_or(0, |last| last + 1);
    let lines = &lines[..last];
    if lines.is_empty() {
        return Err(Refusal::illegal("Validation Failed: 1: no requests added;"));
    }
    if lines.len().div_ceil(2) > SEARCHES_MAX {
        return Err(Refusal::illegal(format!("there are more searches than the limit of {SEARCHES_MAX}")));
    }
    let mut responses = Vec::new();
    for pair in lines.chunks(2) {
        let begun = Instant::now();
        let answered = match one_of_several(call, logs, pair) {
            Ok(asked) => ask(&call.doors, &asked).await,
            Err(refusal) => Err(refusal),
        };
        responses.push(match answered {
            Ok(found) => {
                let mut answer = timed(begun);
                answer.extend(found.answer);
                answer.insert("status".to_owned(), json!(200));
                if call.flag("rest_total_hits_as_int")
                    && let Some(total) = answer.get_mut("hits").and_then(|hits| hits.get_mut("total"))
                {
                    *total = total.get("value").cloned().unwrap_or_default();
                }
                Value::Object(answer)
            }
            Err(refusal) => json!({ "error": refusal.error(), "status": refusal.status.as_u16() }),
        });
    }
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(super::json(StatusCode::OK, &json!({ "took": took, "responses": responses })))
}

fn one_of_several(call: &Call, logs: Option<&str>, pair: &[&[u8]]) -> Result<Asked, Refusal> {
    let [head, body] = pair else {
        return Err(Refusal::illegal("the last search has a line with its index and none with its body"));
    };
    let head = object(head)?;
    let named = match head.get("index").or_else(|| head.get("indices")) {
        Some(Value::Array(list)) => Some(list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")),
        Some(Value::String(name)) => Some(name.clone()),
        _ => None,
    };
    asked(call, named.as_deref().or(logs), object(body)?)
}

/// `POST /{logs}/_pit`: the events as they are now.
async fn point(call: &mut Call, logs: &str) -> Result<Response, Refusal> {
    call.body().await?;
    let logs = call.logs(logs)?;
    let bound = call.doors.engine.last_sequence();
    let shards = json!({ "total": logs.len(), "successful": logs.len(), "skipped": 0, "failed": 0 });
    let id = write_id(&json!({ "i": logs, "s": bound }));
    Ok(super::json(StatusCode::OK, &json!({ "id": id, "_shards": shards })))
}

/// Nothing is kept of a scroll or a point in time, so all of them are let go of.
async fn freed(call: &mut Call) -> Result<Response, Refusal> {
    call.grant()?;
    let body = read_body(call).await?;
    let ids = match body.get("scroll_id").or_else(|| body.get("id")) {
        Some(Value::Array(list)) => list.len(),
        _ => 1,
    };
    Ok(super::json(StatusCode::OK, &json!({ "succeeded": true, "num_freed": ids })))
}

/// The next page of a scroll.
async fn scroll(call: &mut Call, id: Option<&str>) -> Result<Response, Refusal> {
    let begun = Instant::now();
    let body = read_body(call).await?;
    let id = id
        .map(str::to_owned)
        .or_else(|| call.parameter("scroll_id"))
        .or_else(|| body.get("scroll_id").and_then(Value::as_str).map(str::to_owned));
    let id = id.ok_or_else(|| Refusal::illegal("Validation Failed: 1: scrollId is missing;"))?;
    let place = read_id(&id)?;
    let (Some(body), Some(bound)) = (place.get("b").and_then(Value::as_object), place.get("s").and_then(Value::as_u64))
    else {
        return Err(no_context(&id));
    };
    let last = place.get("l").filter(|last| !last.is_null()).cloned();
    let asked =
        Asked { logs: named(call, &place)?, body: body.clone(), bound: Some(bound), last, counted: true, typed: false };
    let ended = asked.last.is_none();
    let mut found = if ended {
        let mut none = Asked { counted: true, ..asked };
        none.body.insert("size".to_owned(), json!(0));
        let found = ask(&call.doors, &none).await?;
        (found, id.clone())
    } else {
        let found = ask(&call.doors, &asked).await?;
        let next = json!({ "i": asked.logs, "b": asked.body, "s": bound, "l": found.last, "t": place.get("t") });
        (found, write_id(&next))
    };
    if let (Some(total), Some(hits)) =
        (place.get("t").filter(|total| !total.is_null()), found.0.answer.get_mut("hits").and_then(Value::as_object_mut))
    {
        hits.insert("total".to_owned(), total.clone());
    }
    let mut answer = Map::from_iter([("_scroll_id".to_owned(), json!(found.1))]);
    answer.extend(timed(begun));
    answer.extend(found.0.answer);
    finished(call, answer)
}

/// The id with which the page after the first is asked for.
fn scroll_id(asked: &Asked, found: &Found) -> Result<String, Refusal> {
    let mut body = asked.body.clone();
    for name in ["aggs", "aggregations", "from"] {
        body.shift_remove(name);
    }
    if Value::Object(body.clone()).to_string().len() > SCROLLED_BYTES_MAX {
        return Err(Refusal::illegal(format!(
            "a search that is scrolled may be {SCROLLED_BYTES_MAX} bytes long: use a point in time with [search_after] for this one"
        )));
    }
    let total = found.answer.get("hits").and_then(|hits| hits.get("total"));
    Ok(write_id(&json!({ "i": asked.logs, "b": body, "s": found.bound, "l": found.last, "t": total })))
}

fn write_id(content: &Value) -> String {
    URL_SAFE_NO_PAD.encode(content.to_string())
}

fn read_id(id: &str) -> Result<Value, Refusal> {
    let bytes = if id.len() <= ID_BYTES_MAX { URL_SAFE_NO_PAD.decode(id).ok() } else { None };
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| no_context(id))
}

fn no_context(id: &str) -> Refusal {
    let shown: String = id.chars().take(80).collect();
    let reason = format!("No search context found for id [{shown}]: it was not made by this server");
    Refusal::new(StatusCode::NOT_FOUND, "search_context_missing_exception", reason)
}
