//! Single documents: written, and read by their ids.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use engine::{Fetched, Limits, Reason, Scope, check_log_name};
use event::Value as Text;
use intake::elasticsearch::document;
use serde_json::{Value, json};

use super::{Call, Refusal, TIME, no_method};
use crate::http::write::take;

/// Most documents that are asked for at once.
const MGET_MAX: usize = 10_000;

/// What a document was refused for.
pub(super) fn refused(reason: &Reason) -> Refusal {
    let (status, kind) = match reason.name() {
        "too_large" => (StatusCode::PAYLOAD_TOO_LARGE, "content_too_long_exception"),
        "batch_full" => (StatusCode::PAYLOAD_TOO_LARGE, "content_too_long_exception"),
        "conflict" | "id_too_long" => (StatusCode::BAD_REQUEST, "illegal_argument_exception"),
        _ => (StatusCode::BAD_REQUEST, "document_parsing_exception"),
    };
    Refusal::new(status, kind, reason.to_string())
}

/// 409 of a document that is there already.
pub(super) fn conflict(id: &str, index: &str) -> Refusal {
    let reason = format!("[{id}]: version conflict, document already exists (current version [1])");
    let mut refusal = Refusal::new(StatusCode::CONFLICT, "version_conflict_engine_exception", reason);
    refusal.index = Some(index.to_owned());
    refusal
}

/// 405 of what would change or remove a document.
pub(super) fn append_only(what: &str) -> Refusal {
    let reason = format!(
        "{what} is not possible: what was written stays as it is, until the retention of the log ends; send what has changed as a document of its own"
    );
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "illegal_argument_exception", reason)
}

/// `POST /INDEX/_doc`, `PUT /INDEX/_doc/ID`, `PUT /INDEX/_create/ID`.
pub(super) async fn add(call: &mut Call, index: &str, id: Option<&str>, create: bool) -> Result<Response, Refusal> {
    if !matches!(call.parts.method, Method::POST | Method::PUT) {
        return Err(no_method(call, &[Method::POST, Method::PUT]));
    }
    call.require(Scope::Write, Some(index))?;
    check_log_name(index)?;
    let create = create || call.parameter("op_type").as_deref() == Some("create");
    let held = call.body().await?;
    if held.bytes.trim_ascii().is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "parse_exception", "request body is required"));
    }
    let limits = Limits { event_bytes_max: call.doors.engine.settings().event_bytes_max, ..Limits::default() };
    let decoded = document(&held.bytes, id, limits, call.doors.engine.now());
    drop(held);
    let named = decoded.batch.rows().next().map(|row| row.id.to_string()).unwrap_or_default();
    let receipt = take(&call.doors, index, decoded, None).await?;
    if let Some(first) = receipt.refused.first() {
        return Err(refused(&first.reason));
    }
    let is_known = receipt.duplicates > 0;
    if is_known && create {
        return Err(conflict(&named, index));
    }
    let status = if is_known { StatusCode::OK } else { StatusCode::CREATED };
    let body = json!({
        "_index": index,
        "_id": named,
        "_version": 1,
        "result": if is_known { "noop" } else { "created" },
        "_shards": { "total": 1, "successful": 1, "failed": 0 },
        "_seq_no": receipt.sequence,
        "_primary_term": 1,
    });
    let mut response = super::json(status, &body);
    let place: String = form_urlencoded::byte_serialize(named.as_bytes()).collect();
    if let Ok(place) = HeaderValue::from_str(&format!("/{index}/_doc/{place}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `GET` or `HEAD /INDEX/_doc/ID` and `/INDEX/_source/ID`.
pub(super) async fn get(call: &mut Call, index: &str, id: &str, source_only: bool) -> Result<Response, Refusal> {
    let found = fetch(call, index, vec![id.to_owned()]).await?.remove(id);
    if source_only {
        let missing = || {
            let reason = format!("Document not found [{index}]/[{id}]");
            Refusal::new(StatusCode::NOT_FOUND, "resource_not_found_exception", reason)
        };
        return Ok(super::bytes(StatusCode::OK, found.ok_or_else(missing)?.document));
    }
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let with_source = call.parameter("_source").as_deref() != Some("false");
    let mut out = Vec::new();
    write_found((index, id), found.as_ref(), with_source, &mut out);
    Ok(super::bytes(status, out))
}

/// The events of an index by their ids.
async fn fetch(call: &Call, index: &str, ids: Vec<String>) -> Result<BTreeMap<String, Fetched>, Refusal> {
    call.require(Scope::Read, Some(index))?;
    call.doors.engine.log(index)?;
    let (engine, index) = (call.doors.engine.clone(), index.to_owned());
    Ok(call.doors.questions.read(move || engine.fetch(&index, &ids, TIME)).await?)
}

fn write_found((index, id): (&str, &str), found: Option<&Fetched>, with_source: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"_index\":");
    Text::Str(index).write_json(out);
    out.extend_from_slice(b",\"_id\":");
    Text::Str(id).write_json(out);
    let Some(found) = found else {
        out.extend_from_slice(b",\"found\":false}");
        return;
    };
    let numbers = format!(",\"_version\":1,\"_seq_no\":{},\"_primary_term\":1,\"found\":true", found.sequence);
    out.extend_from_slice(numbers.as_bytes());
    if with_source {
        out.extend_from_slice(b",\"_source\":");
        out.extend_from_slice(&found.document);
    }
    out.push(b'}');
}

/// `GET` or `POST /_mget` and `/INDEX/_mget`: `{"ids": […]}` or `{"docs": [{"_index", "_id"}, …]}`.
pub(super) async fn mget(call: &mut Call, index: Option<&str>) -> Result<Response, Refusal> {
    if !call.grant()?.may(Scope::Read) {
        call.require(Scope::Read, index)?;
    }
    let wanted = wanted(&call.json().await?, index)?;
    let mut by_index: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (index, id) in &wanted {
        by_index.entry(index).or_default().push(id.clone());
    }
    let mut found = BTreeMap::new();
    for (index, ids) in by_index {
        match fetch(call, index, ids).await {
            Err(refusal) if refusal.status.is_server_error() => return Err(refusal),
            result => drop(found.insert(index, result)),
        }
    }
    let with_source = call.parameter("_source").as_deref() != Some("false");
    let mut out = b"{\"docs\":[".to_vec();
    for (at, (index, id)) in wanted.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match found.get(index.as_str()) {
            Some(Err(refusal)) => {
                let entry = json!({ "_index": index, "_id": id, "error": refusal.error() });
                out.extend_from_slice(entry.to_string().as_bytes());
            }
            Some(Ok(found)) => write_found((index, id), found.get(id), with_source, &mut out),
            None => write_found((index, id), None, false, &mut out),
        }
    }
    out.extend_from_slice(b"]}");
    Ok(super::bytes(StatusCode::OK, out))
}

/// The documents that a body asks for, as index and id.
fn wanted(body: &Value, index: Option<&str>) -> Result<Vec<(String, String)>, Refusal> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let invalid = |what: &str| {
        let reason = format!("Validation Failed: 1: {what};");
        Refusal::new(StatusCode::BAD_REQUEST, "action_request_validation_exception", reason)
    };
    let listed = body["ids"].as_array().into_iter().flatten().map(|id| (None, text(id)));
    let docs = body["docs"].as_array().into_iter().flatten().map(|doc| (text(&doc["_index"]), text(&doc["_id"])));
    let mut wanted = Vec::new();
    for (named, id) in listed.chain(docs) {
        let index = named.or_else(|| index.map(str::to_owned)).ok_or_else(|| invalid("index is missing for doc 0"))?;
        wanted.push((index, id.ok_or_else(|| invalid("id is missing for doc 0"))?));
    }
    if wanted.is_empty() {
        return Err(invalid("no documents to get"));
    }
    if wanted.len() > MGET_MAX {
        return Err(invalid(&format!("more than {MGET_MAX} documents: ask for fewer at a time")));
    }
    Ok(wanted)
}
