//! The native write door.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{Decoded, Limits, Producer, Receipt, Scope};
use event::Timestamp;
use serde_json::json;
use tokio::sync::oneshot;

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, auth, body};

/// A body of this size is decoded beside the threads that serve requests.
const LARGE_BYTES: usize = 1 << 20;

/// `POST /api/v1/logs/{log}/events`: an object, an array, or one object a line. 200 once all that is accepted is
/// durable and visible.
#[utoipa::path(post, path = "/api/v1/logs/{log}/events", tag = "write", operation_id = "send_events", summary = "Send events",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log"),
        ("_ids" = Option<String>, Query, description = "`uuid`: an `id` that is no UUID is a value like any other", example = "uuid"),
        ("_history" = Option<String>, Query, description = "`y`: days of the past are taken in, and what lies more than an hour back wakes nobody", example = "y"),
        ("X-Everlog-Producer" = Option<String>, Header, description = "Name of a sender that numbers its requests"),
        ("X-Everlog-Position" = Option<u64>, Header, description = "Number of the request; goes with the name")),
    request_body(description = "A JSON object, an array of them, or one object a line; also compressed",
        content((shapes::Events = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "What became of them", body = shapes::Receipt)))]
pub(crate) async fn native(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let nothing = "the body holds no event: send a JSON object, an array of objects, or one object a line";
    through(&doors, &log, request, intake::native, nothing).await
}

/// A request through a door whose bodies `decode` reads. `nothing` is said of a body that holds nothing.
pub(crate) async fn through(
    doors: &Doors,
    log: &str,
    request: Request,
    decode: fn(&[u8], Limits, Timestamp) -> Decoded,
    nothing: &'static str,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let allowed = auth::require(doors, &parts, Scope::Write, Some(log)).and_then(|_| producer(&parts.headers));
    let producer = match allowed {
        Ok(producer) => producer,
        Err(problem) => {
            body::refuse(body).await;
            return Err(problem);
        }
    };
    let held = body::read(doors, &parts.headers, body).await?;
    let says = |pair: &str| parts.uri.query().is_some_and(|query| query.split('&').any(|said| said == pair));
    let limits = Limits { event_bytes_max: doors.engine.settings().event_bytes_max, only_uuid_ids: says("_ids=uuid") };
    let history = says("_history=y");
    let received = doors.engine.now();
    let decode = || decode(&held.bytes, limits, received);
    let decoded = if held.bytes.len() > LARGE_BYTES { tokio::task::block_in_place(decode) } else { decode() };
    drop(held);
    if decoded.received == 0 {
        return Err(Problem::bad_request(nothing));
    }
    receipt_json(&take(doors, log, Decoded { history, ..decoded }, producer).await?)
}

/// Keeps one event that a door made.
///
/// # Errors
/// As [`take`], and when it is refused.
pub(super) async fn keep_one(doors: &Doors, log: &str, event: &serde_json::Value) -> Result<Response, Problem> {
    let limits = Limits { event_bytes_max: doors.engine.settings().event_bytes_max, only_uuid_ids: false };
    let decoded = intake::native(event.to_string().as_bytes(), limits, doors.engine.now());
    receipt_json(&take(doors, log, decoded, None).await?)
}

/// Keeps what a door decoded: returns once it is durable and visible.
///
/// # Errors
/// When the log cannot be, or nothing of the request was kept; it may be sent again then.
pub(crate) async fn take(
    doors: &Doors,
    log: &str,
    decoded: Decoded,
    producer: Option<Producer>,
) -> Result<Receipt, Problem> {
    let id = doors.engine.log_or_create(log)?;
    let (sender, receiver) = oneshot::channel();
    let is_large = decoded.batch.bytes() > LARGE_BYTES;
    let accept = || doors.engine.accept(id, decoded, producer, move |result| drop(sender.send(result)));
    // The rules of a log may have to look at each value.
    if is_large {
        tokio::task::block_in_place(accept);
    } else {
        accept();
    }
    let result = receiver.await.map_err(|error| Problem::internal(&error))?;
    Ok(result?)
}

/// `X-Everlog-Producer` and `X-Everlog-Position`: a request that was stored is never stored again.
fn producer(headers: &HeaderMap) -> Result<Option<Producer>, Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match (text("x-everlog-producer"), text("x-everlog-position")) {
        (None, None) => Ok(None),
        (Some(name), Some(position)) if !name.is_empty() && name.len() <= engine::PRODUCER_BYTES_MAX => match position
            .parse()
        {
            Ok(position) => Ok(Some(Producer { name: name.to_owned(), position })),
            Err(_) => Err(Problem::bad_request(format!("X-Everlog-Position is a whole number, found {position:?}"))),
        },
        _ => Err(Problem::bad_request(
            "X-Everlog-Producer (a name of up to 256 bytes) and X-Everlog-Position (a number that grows) go together",
        )),
    }
}

fn receipt_json(receipt: &Receipt) -> Result<Response, Problem> {
    if receipt.refused.is_empty() && receipt.unlisted == 0 {
        let Receipt { accepted, duplicates, sequence, .. } = receipt;
        let body = format!(r#"{{"accepted":{accepted},"duplicates":{duplicates},"refused":[],"sequence":{sequence}}}"#);
        return Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response());
    }
    let refused: Vec<_> = receipt
        .refused
        .iter()
        .map(|refused| json!({ "index": refused.index, "reason": refused.reason.name(), "detail": refused.reason.to_string() }))
        .collect();
    let mut body = json!({ "accepted": receipt.accepted, "duplicates": receipt.duplicates, "refused": refused, "sequence": receipt.sequence });
    if receipt.unlisted > 0 {
        body["refused_more"] = receipt.unlisted.into();
    }
    // When nothing at all could be kept, a client that looks at nothing but the status must notice.
    if let (true, Some(first)) = (receipt.accepted == 0, receipt.refused.first()) {
        let status =
            if first.reason.name() == "too_large" { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        let mut problem = Problem::new(status, first.reason.name(), first.reason.to_string());
        problem.members = body.as_object().cloned().map(Box::new);
        return Err(problem);
    }
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response())
}
