//! The Elasticsearch door: under `/es/`, and at the root of the listener `listen_elasticsearch`.
//!
//! An index is a log, a document an event, `_id` the id of the event. Requests are told apart here and not by the router:
//! Elasticsearch takes most paths with several methods, with and without a slash at the end, and its clients want every
//! answer, refusals included, in its shape. docs/elasticsearch.md lists what there is.

mod bulk;
mod call;
mod cluster;
mod documents;
mod indices;
mod refusal;
mod search;
mod shape;
mod sql;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::Value;

use super::Doors;
pub(super) use call::Call;
pub(super) use refusal::Refusal;

/// The path under which the door is.
pub(crate) const PREFIX: &str = "/es";

/// Under this key every document has its time when it is read, sent with it or not.
pub(super) const TIME: &str = "@timestamp";

/// Everything under [`PREFIX`].
pub(super) fn router() -> Router<Doors> {
    Router::new().route("/es", any(door)).route("/es/", any(door)).route("/es/{*path}", any(door))
}

async fn door(State(doors): State<Doors>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.clone();
    let mut call = Call::new(doors, parts, body);
    let answered = match answer(&mut call).await {
        Ok(response) => shape::shaped(&call, response).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(refusal) => {
            call.forget_body().await;
            refusal.into_response()
        }
    };
    let sent = response.headers_mut();
    sent.insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    if sent.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
        && let Some(kind) = compatible(&headers)
    {
        sent.insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// The door that a request is for.
async fn answer(call: &mut Call) -> Result<Response, Refusal> {
    let path: Vec<String> = call.path.clone();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if let Some(answer) = search::answer(call, &path).await? {
        return Ok(answer);
    }
    if let Some(answer) = sql::answer(call, &path).await? {
        return Ok(answer);
    }
    match path[..] {
        [] => cluster::info(call),
        ["_bulk"] => bulk::take_bulk(call, None).await,
        ["_mget"] => documents::mget(call, None).await,
        ["_cat", ..] | ["_cluster", ..] | ["_nodes", ..] | ["_license"] | ["_xpack", ..] => {
            of_cluster(call, &path).await
        }
        ["_refresh" | "_flush" | "_forcemerge"] => indices::refresh(call, ""),
        ["_mapping"] => indices::mapping(call, "*").await,
        ["_settings", ..] => indices::all_settings(call, "*").await,
        ["_field_caps"] => indices::field_caps(call, "*").await,
        ["_alias" | "_aliases"] => cluster::alias(call, "*", None),
        ["_alias", name] => cluster::alias(call, "*", Some(name)),
        [kind @ ("_index_template" | "_component_template" | "_template" | "_data_stream"), ref name @ ..] => {
            cluster::template(call, kind, name.first().copied()).await
        }
        ["_ilm", kind @ "policy", ref name @ ..] | ["_ingest", kind @ "pipeline", ref name @ ..] => {
            cluster::template(call, kind, name.first().copied()).await
        }
        [index, ref rest @ ..] if !index.starts_with('_') || index == "_all" => of_index(call, index, rest).await,
        _ => Err(no_handler(call)),
    }
}

/// The doors of the cluster.
async fn of_cluster(call: &mut Call, path: &[&str]) -> Result<Response, Refusal> {
    match path {
        ["_cat", "indices"] => indices::cat(call, "*").await,
        ["_cat", "indices", index] => indices::cat(call, index).await,
        ["_cat", "health"] => cluster::cat_health(call),
        ["_cluster", "health", ..] => cluster::health(call),
        ["_cluster", "settings"] => cluster::settings(call).await,
        ["_nodes", ..] => cluster::nodes(call),
        ["_license"] => cluster::license(call),
        ["_xpack", ..] => cluster::xpack(call),
        _ => Err(no_handler(call)),
    }
}

/// The doors of an index.
async fn of_index(call: &mut Call, index: &str, rest: &[&str]) -> Result<Response, Refusal> {
    match *rest {
        [] => indices::one(call, index).await,
        ["_bulk"] => bulk::take_bulk(call, Some(index)).await,
        ["_mget"] => documents::mget(call, Some(index)).await,
        ["_doc"] => documents::add(call, index, None, false).await,
        ["_create", id] => documents::add(call, index, Some(id), true).await,
        [kind @ ("_doc" | "_source"), id] => match call.parts.method {
            Method::GET | Method::HEAD => documents::get(call, index, id, kind == "_source").await,
            Method::DELETE => Err(documents::append_only("DELETE")),
            _ => documents::add(call, index, Some(id), false).await,
        },
        ["_update", _] | ["_update_by_query" | "_delete_by_query"] => Err(documents::append_only(rest[0])),
        ["_refresh" | "_flush" | "_forcemerge"] => indices::refresh(call, index),
        ["_mapping" | "_mappings", ..] => indices::mapping(call, index).await,
        ["_settings", ..] => indices::all_settings(call, index).await,
        ["_field_caps"] => indices::field_caps(call, index).await,
        ["_alias" | "_aliases"] => cluster::alias(call, index, None),
        ["_alias" | "_aliases", name] => cluster::alias(call, index, Some(name)),
        _ => Err(no_handler(call)),
    }
}

/// Of a path that is none.
fn no_handler(call: &Call) -> Refusal {
    let reason = format!(
        "no handler found for uri [{}] and method [{}]: docs/elasticsearch.md lists what Everlog answers",
        call.parts.uri.path(),
        call.parts.method
    );
    Refusal::new(StatusCode::BAD_REQUEST, "illegal_argument_exception", reason)
}

/// Of a method that a path does not take.
fn no_method(call: &Call, allowed: &[Method]) -> Refusal {
    let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let reason = format!(
        "Incorrect HTTP method for uri [{}] and method [{}], allowed: [{}]",
        call.parts.uri.path(),
        call.parts.method,
        allowed.join(", ")
    );
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "illegal_argument_exception", reason)
}

/// An answer of this status.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    bytes(status, body.to_string().into_bytes())
}

/// What is accepted and has no effect.
fn acknowledged() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "acknowledged": true }))
}

/// The same of JSON that is written already.
pub(super) fn bytes(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(body)).into_response()
}

/// The type that clients from version 8 on ask for, and get back with the version that they name.
fn compatible(headers: &HeaderMap) -> Option<HeaderValue> {
    let accepted = headers.get(header::ACCEPT)?.to_str().ok()?;
    let kind = accepted.split(',').find(|kind| kind.contains("application/vnd.elasticsearch+json"))?;
    let version = kind.split(';').find_map(|part| part.trim().strip_prefix("compatible-with="))?;
    let known = matches!(version.trim(), "7" | "8" | "9").then(|| version.trim())?;
    HeaderValue::from_str(&format!("application/vnd.elasticsearch+json;compatible-with={known}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_an_answer() {
        let of = |accept: &str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            compatible(&headers).map(|kind| kind.to_str().unwrap().to_owned())
        };
        assert_eq!(of("application/json"), None);
        assert_eq!(of("*/*"), None);
        let nine = "application/vnd.elasticsearch+json;compatible-with=9";
        assert_eq!(of("application/vnd.elasticsearch+json; compatible-with=9").as_deref(), Some(nine));
        assert_eq!(of("text/plain,application/vnd.elasticsearch+json; compatible-with=9").as_deref(), Some(nine));
        assert_eq!(of("application/vnd.elasticsearch+json; compatible-with=evil"), None);
    }
}
