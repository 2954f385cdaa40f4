//! `_bulk`: many documents at a time, each with an answer of its own.

use std::time::Instant;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use engine::{DEFAULT_LOG, Limits, Receipt, Scope, check_log_name};
use event::{Id, Value};
use futures::future::join_all;
use intake::elasticsearch::{Action, Bulk, Item, Outcome, Part, Trouble, bulk};

use super::{Call, Refusal, no_method};
use crate::http::write::take;

/// A body of this size is decoded beside the threads that serve requests.
const LARGE_BYTES: usize = 1 << 20;

/// `POST` or `PUT /_bulk` and `/INDEX/_bulk`. 200 once all that is kept is durable and visible, whatever `refresh` says.
pub(super) async fn take_bulk(call: &mut Call, index: Option<&str>) -> Result<Response, Refusal> {
    if !matches!(call.parts.method, Method::POST | Method::PUT) {
        return Err(no_method(call, &[Method::POST, Method::PUT]));
    }
    let began = Instant::now();
    if !call.grant()?.may(Scope::Write) {
        call.require(Scope::Write, index)?;
    }
    let held = call.body().await?;
    let limits = Limits { event_bytes_max: call.doors.engine.settings().event_bytes_max, ..Limits::default() };
    let received = call.doors.engine.now();
    let decode = || bulk(&held.bytes, index, limits, received);
    let found = if held.bytes.len() > LARGE_BYTES { tokio::task::block_in_place(decode) } else { decode() };
    drop(held);
    if found.items.is_empty() {
        let reason =
            "Validation Failed: 1: no requests added: send an action a line, each with its document in the next";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "action_request_validation_exception", reason));
    }
    let Bulk { parts, items } = found;
    let kept = join_all(parts.into_iter().map(|part| keep(call, part))).await;
    // When nothing at all was kept, and may be later, the client should hold it back and send it again.
    let later = |part: &KeptPart| part.refusal().filter(|refusal| refusal.is_for_later()).cloned();
    if let Some(Some(refusal)) = kept.first().map(later)
        && kept.iter().all(|part| later(part).is_some())
    {
        return Err(refusal);
    }
    if let Some(refusal) = kept.first().and_then(KeptPart::refusal)
        && kept.iter().all(|part| part.refusal().is_some_and(|refusal| refusal.status == StatusCode::FORBIDDEN))
    {
        return Err(refusal.clone());
    }
    Ok(super::bytes(StatusCode::OK, answer(&items, &kept, began)))
}

/// What became of one part.
struct KeptPart {
    index: String,
    ids: Vec<Id>,
    result: Result<Receipt, Refusal>,
}

impl KeptPart {
    fn refusal(&self) -> Option<&Refusal> {
        self.result.as_ref().err()
    }
}

async fn keep(call: &Call, part: Part) -> KeptPart {
    let Part { index, decoded } = part;
    let ids: Vec<Id> = decoded.batch.rows().map(|row| row.id.clone()).collect();
    let engine = &call.doors.engine;
    // What names no log, or has nothing for one that is not there, is counted where Everlog tells of itself.
    let nameless = index.is_empty() || (ids.is_empty() && engine.log(&index).is_err());
    let log = if nameless { DEFAULT_LOG } else { index.as_str() };
    let allowed = || {
        if !nameless {
            call.require(Scope::Write, Some(log))?;
            check_log_name(log)?;
        }
        Ok::<(), Refusal>(())
    };
    let result = match allowed() {
        Ok(()) => take(&call.doors, log, decoded, None).await.map_err(Refusal::from),
        Err(refusal) => Err(refusal),
    };
    KeptPart { index, ids, result }
}

/// Writes the answer: one item for each action, in order.
fn answer(items: &[Item], parts: &[KeptPart], began: Instant) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.len() * 192 + 64);
    let mut errors = false;
    let mut places: Vec<Places<'_>> = parts.iter().map(Places::new).collect();
    let mut written = Vec::with_capacity(items.len() * 192);
    for item in items {
        if !written.is_empty() {
            written.push(b',');
        }
        errors |= !write_item(item, &mut places[item.part as usize], &mut written);
    }
    let took = began.elapsed().as_millis();
    out.extend_from_slice(format!("{{\"took\":{took},\"errors\":{errors},\"items\":[").as_bytes());
    out.extend_from_slice(&written);
    out.extend_from_slice(b"]}");
    out
}

/// The events of a part while its answer is written.
struct Places<'a> {
    part: &'a KeptPart,
    /// `{"_index":"NAME","_id":`
    head: Vec<u8>,
    /// Which of the events that were there already comes next.
    known: usize,
    /// The sequence number of the next event that is new.
    sequence: u64,
}

impl<'a> Places<'a> {
    fn new(part: &'a KeptPart) -> Self {
        let mut head = b"{\"_index\":".to_vec();
        Value::Str(&part.index).write_json(&mut head);
        head.extend_from_slice(b",\"_id\":");
        // Those of one request follow each other.
        let sequence = part.result.as_ref().map_or(0, |receipt| {
            let stored = receipt.accepted.saturating_sub(receipt.duplicates) as u64;
            (receipt.sequence + 1).saturating_sub(stored)
        });
        Self { part, head, known: 0, sequence }
    }
}

/// Writes one item. False when it is an error.
fn write_item(item: &Item, places: &mut Places<'_>, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(item.action.name().as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(&places.head);
    let good = match (&item.outcome, &places.part.result) {
        (Outcome::Refused(trouble), _) => {
            write_refused(trouble, out);
            false
        }
        (Outcome::Kept(row), result) => {
            let id = &places.part.ids[*row as usize];
            write_id(id, out);
            match result {
                Ok(receipt) => {
                    let is_known = receipt.known.get(places.known) == Some(row);
                    places.known += usize::from(is_known);
                    write_kept(is_known, item.action, id, places, out)
                }
                Err(refusal) => {
                    write_error(refusal, out);
                    false
                }
            }
        }
    };
    out.extend_from_slice(b"}}");
    good
}

fn write_id(id: &Id, out: &mut Vec<u8>) {
    match id {
        Id::Uuid(bytes) => Value::Uuid(*bytes).write_json(out),
        Id::Text(text) => Value::Str(text).write_json(out),
    }
}

fn write_kept(is_known: bool, action: Action, id: &Id, places: &mut Places<'_>, out: &mut Vec<u8>) -> bool {
    const SHARDS: &[u8] = b",\"_shards\":{\"total\":1,\"successful\":1,\"failed\":0}";
    if !is_known {
        out.extend_from_slice(b",\"_version\":1,\"result\":\"created\"");
        out.extend_from_slice(SHARDS);
        out.extend_from_slice(
            format!(",\"_seq_no\":{},\"_primary_term\":1,\"status\":201", places.sequence).as_bytes(),
        );
        places.sequence += 1;
        return true;
    }
    if action == Action::Create {
        write_error(&super::documents::conflict(&id.to_string(), &places.part.index), out);
        return false;
    }
    // It is there as it was sent the first time.
    out.extend_from_slice(b",\"_version\":1,\"result\":\"noop\"");
    out.extend_from_slice(SHARDS);
    out.extend_from_slice(b",\"status\":200");
    true
}

fn write_refused(trouble: &Trouble, out: &mut Vec<u8>) {
    match &trouble.id {
        Some(id) => Value::Str(id).write_json(out),
        None => out.extend_from_slice(b"null"),
    }
    write_error(&super::documents::refused(&trouble.reason), out);
}

fn write_error(refusal: &Refusal, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(",\"status\":{},\"error\":{{\"type\":", refusal.status.as_u16()).as_bytes());
    Value::Str(refusal.kind).write_json(out);
    out.extend_from_slice(b",\"reason\":");
    Value::Str(&refusal.reason).write_json(out);
    if let Some(index) = &refusal.index {
        out.extend_from_slice(b",\"index_uuid\":\"_na_\",\"index\":");
        Value::Str(index).write_json(out);
    }
    out.push(b'}');
}
