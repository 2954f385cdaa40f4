//! The doors of Sentry's SDKs. The log is the project: the path has its number, and the key of the DSN is a token.
//!
//! An SDK sends nothing twice, so what is refused is lost: a request that cannot be taken now is answered 429, upon
//! which SDKs keep quiet for a while, and everything else that was understood is answered 200.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use engine::{Limits, LogId, Receipt, Scope};
use intake::sentry::Envelope;
use serde_json::{Value, json};

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, auth, body, write};

/// A body that has to say itself who sent it is read before that is known: so much of it.
const UNKNOWN_BYTES_MAX: usize = 4 << 20;

/// A body of this size is decoded beside the threads that serve requests.
const LARGE_BYTES: usize = 256 << 10;

/// The same doors as some clients write them.
pub(super) fn without_slash() -> Router<Doors> {
    Router::new().route("/api/{number}/envelope", post(envelope)).route("/api/{number}/store", post(store))
}

/// Which of the two doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Envelope,
    Store,
}

/// `POST /api/{number}/envelope/`: whatever an SDK of Sentry sends today.
#[utoipa::path(post, path = "/api/{number}/envelope/", tag = "write", operation_id = "sentry_envelope", summary = "Send an envelope of Sentry",
    params(("number" = String, Path, description = "Number of a log, as `everlog logs` shows it", example = "1"),
        ("sentry_key" = Option<String>, Query, description = "A token, if it is in no header")),
    request_body(description = "An envelope: a line of JSON, then items; also compressed", content((String = "application/x-sentry-envelope"), (String = "text/plain"))),
    responses((status = 200, description = "All that could be kept is kept", body = shapes::SentryAnswer)))]
pub(crate) async fn envelope(state: State<Doors>, path: Path<String>, request: Request) -> Response {
    answer(state, path, request, Door::Envelope).await
}

/// `POST /api/{number}/store/`: the single event of older clients.
#[utoipa::path(post, path = "/api/{number}/store/", tag = "write", operation_id = "sentry_store", summary = "Send one event of an older client of Sentry",
    params(("number" = String, Path, description = "Number of a log, as `everlog logs` shows it", example = "1"),
        ("sentry_key" = Option<String>, Query, description = "A token, if it is in no header")),
    request_body(description = "An event as JSON; also compressed, also as Base64", content((shapes::Event = "application/json"), (String = "text/plain"))),
    responses((status = 200, description = "It is kept", body = shapes::SentryAnswer)))]
pub(crate) async fn store(state: State<Doors>, path: Path<String>, request: Request) -> Response {
    answer(state, path, request, Door::Store).await
}

async fn answer(State(doors): State<Doors>, Path(number): Path<String>, request: Request, door: Door) -> Response {
    match take(&doors, &number, request, door).await {
        Ok(answer) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
        }
        Err(problem) => refusal(problem),
    }
}

/// A refusal as SDKs read it: the reason in a header, and how long to keep quiet.
fn refusal(mut problem: Problem) -> Response {
    if problem.retry_after.is_some() {
        // Whatever cannot be taken now: SDKs count anything else as a failure, and go on sending.
        problem.status = StatusCode::TOO_MANY_REQUESTS;
    }
    let said: String = problem.detail.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
    let limits = problem.retry_after.map(|seconds| format!("{seconds}::key:{}", problem.kind));
    let mut response = problem.into_response();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set("x-sentry-error", &said);
    if let Some(limits) = limits {
        set("x-sentry-rate-limits", &limits);
    }
    response
}

async fn take(doors: &Doors, number: &str, request: Request, door: Door) -> Result<Value, Problem> {
    let (parts, sent) = request.into_parts();
    let Some(log) = log(doors, number) else {
        body::refuse(sent).await;
        let detail = format!("there is no log with the number {number}: `everlog logs` shows their numbers");
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_log", detail));
    };
    let scope = (Scope::Write, Some(log.as_str()));
    let said = key(&parts);
    let known = auth::require_sent(doors, &parts, said.as_deref(), scope);
    // An envelope may say in its first line whom it is from.
    if let Err(problem) = &known
        && (said.is_some() || door == Door::Store || problem.kind != "token_needed")
    {
        body::refuse(sent).await;
        return Err(problem.clone());
    }
    let bytes_max = doors.config.body_bytes_max;
    let bytes_max = if known.is_ok() { bytes_max } else { bytes_max.min(UNKNOWN_BYTES_MAX) };
    let held = body::read_within(doors, &parts.headers, sent, bytes_max).await?;
    if known.is_err() {
        auth::require_sent(doors, &parts, intake::sentry::key(&held.bytes).as_deref(), scope)?;
    }
    let limits = Limits { event_bytes_max: doors.engine.settings().event_bytes_max, only_uuid_ids: false };
    let received = doors.engine.now();
    let decode = || match door {
        Door::Envelope => intake::sentry::envelope(&held.bytes, limits, doors.config.attachment_bytes_max, received),
        Door::Store => intake::sentry::store(&held.bytes, limits, received),
    };
    let is_large = held.bytes.len() > LARGE_BYTES;
    let Envelope { decoded, id, attachments } = if is_large { tokio::task::block_in_place(decode) } else { decode() };
    if !attachments.is_empty() {
        // Before their events: whoever reads of a file can have it.
        tokio::task::block_in_place(|| {
            attachments.iter().try_for_each(|one| {
                doors
                    .engine
                    .keep_attachment(&log, (&one.id, one.timestamp), one.bytes)?
                    .map_err(|error| no_room(&error))
            })
        })?;
    }
    drop(attachments);
    drop(held);
    let receipt = write::take(doors, &log, decoded, None).await?;
    refused(&receipt)?;
    Ok(id.map_or_else(|| json!({}), |id| json!({ "id": id })))
}

/// The name of the log with a number.
fn log(doors: &Doors, number: &str) -> Option<String> {
    let number = number.parse().ok()?;
    doors.engine.log_numbers().remove(&LogId(number))
}

/// The key of a DSN: in `X-Sentry-Auth`, a list in any order, or in the query.
fn key(parts: &Parts) -> Option<String> {
    let header = parts.headers.get("x-sentry-auth").and_then(|value| value.to_str().ok()).unwrap_or("");
    let list = header.trim_start().strip_prefix("Sentry ").unwrap_or(header);
    let in_header =
        list.split(',').filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == "sentry_key");
    let in_query = || {
        let query = parts.uri.query().unwrap_or("");
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "sentry_key").map(|(_, key)| key.into_owned())
    };
    in_header.map(|(_, key)| key.trim().to_owned()).or_else(in_query).filter(|key| !key.is_empty())
}

fn no_room(error: &std::io::Error) -> Problem {
    tracing::error!("an attachment could not be kept: {error}");
    let mut problem = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "disk",
        "the disk of the server does not take the attachment: nothing of this envelope is kept",
    );
    problem.retry_after = Some(10);
    problem
}

/// When nothing was kept of what is kept here: an SDK that shows its failures shows the reason.
fn refused(receipt: &Receipt) -> Result<(), Problem> {
    let first = receipt.refused.iter().find(|one| one.reason.name() != "unsupported");
    match first {
        Some(first) if receipt.accepted == 0 => {
            let too_large = first.reason.name() == "too_large";
            let status = if too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
            Err(Problem::new(status, first.reason.name(), first.reason.to_string()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn keys_of_all_clients() {
        let said = |uri: &str, header: Option<&str>| {
            let mut request = Request::builder().uri(uri);
            if let Some(header) = header {
                request = request.header("x-sentry-auth", header);
            }
            key(&request.body(()).unwrap().into_parts().0)
        };
        let new = "Sentry sentry_key=abc, sentry_version=7, sentry_client=sentry.python/2.75.0";
        assert_eq!(said("/", Some(new)).as_deref(), Some("abc"));
        let old = "Sentry sentry_timestamp=1, sentry_client=raven/6, sentry_secret=x,sentry_version=6,sentry_key=abc";
        assert_eq!(said("/", Some(old)).as_deref(), Some("abc"));
        assert_eq!(said("/?sentry_version=7&sentry_key=abc&sentry_client=x", None).as_deref(), Some("abc"));
        assert_eq!(said("/?sentry_key=", Some("Bearer abc")), None);
    }

    #[test]
    fn what_cannot_be_taken_now_says_how_long_to_keep_quiet() {
        for error in [engine::WriteError::Busy, engine::WriteError::DiskFull, engine::WriteError::Stopping] {
            let seconds = Problem::from(error.clone()).retry_after.unwrap();
            let response = refusal(error.into());
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            let limits = response.headers()["x-sentry-rate-limits"].to_str().unwrap();
            assert!(limits.starts_with(&format!("{seconds}::key:")), "{limits}");
            // The layer that renders it keeps these, and adds Retry-After.
            let problem = response.extensions().get::<Problem>().unwrap();
            let rendered = problem.rendered("id", response.headers());
            assert_eq!(rendered.headers()["retry-after"], seconds.to_string());
            assert_eq!(rendered.headers()["x-sentry-rate-limits"], limits);
            assert!(rendered.headers().contains_key("x-sentry-error"));
        }
        let lasting = refusal(Problem::bad_request("line one\nline two é"));
        assert_eq!(lasting.status(), StatusCode::BAD_REQUEST);
        assert_eq!(lasting.headers()["x-sentry-error"], "line one line two  ");
        assert!(!lasting.headers().contains_key("x-sentry-rate-limits"));
    }
}
