//! The archive, for administrators: what is in it, and work on it that may take long.
//!
//! Such work answers with one JSON object a line while it goes on, `{"bytes":n,"of":m}`, and at last `{"result":…}` or
//! `{"error":…}`. Who hangs up ends it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use engine::{ArchiveOf, ArchiveWork, ArchivedSegment, Engine, HOLD, PurgeRequest, parse_duration};
use event::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, admin, auth};

/// How often the answer says how far the work is.
const TOLD_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    log: Option<String>,
}

/// `GET /api/v1/archive`: the segments in the archive, of the logs that the sender may read.
#[utoipa::path(get, path = "/api/v1/archive", tag = "administration", operation_id = "archive", summary = "List what is in the archive",
    params(("log" = Option<String>, Query, description = "Only of this log", example = "default")),
    responses((status = 200, description = "Its place, and the segments in it", body = shapes::Archive)))]
pub(crate) async fn list(
    State(doors): State<Doors>,
    Query(asked): Query<ListQuery>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    let grant = auth::grant(&doors, &parts)?;
    if let Some(log) = &asked.log {
        auth::require(&doors, &parts, engine::Scope::Read, Some(log))?;
    }
    let engine = Arc::clone(&doors.engine);
    let found = tokio::task::spawn_blocking(move || engine.archive_list(asked.log.as_deref()));
    let found = found.await.map_err(|error| Problem::internal(&error))??;
    let segments: Vec<Value> = found.iter().filter(|segment| grant.may_read(&segment.log)).map(segment_json).collect();
    Ok(Json(json!({ "place": shown_place(doors.engine.archive_place()), "segments": segments })))
}

fn shown_place(place: &str) -> &str {
    if place.is_empty() { "archive" } else { place }
}

fn segment_json(segment: &ArchivedSegment) -> Value {
    let hex = |digest: &[u8; 32]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let files: BTreeMap<&str, String> =
        segment.files.iter().zip(&segment.digests).map(|(file, digest)| (file.as_str(), hex(digest))).collect();
    json!({
        "log": segment.log,
        "place": shown_place(&segment.place),
        "file": segment.files[0],
        "events": segment.events,
        "bytes": segment.bytes,
        "first": segment.first.to_string(),
        "last": segment.last.to_string(),
        "streams": segment.streams,
        "archived": segment.archived.to_string(),
        "sha256": files,
    })
}

fn work_json(work: &ArchiveWork) -> Value {
    json!({ "segments": work.segments, "events": work.events, "bytes": work.bytes })
}

fn logs_json(dry_run: bool, logs: &[ArchiveOf]) -> Value {
    let one = |of: &ArchiveOf| {
        let mut shown = work_json(&of.work);
        shown["log"] = of.log.clone().into();
        shown
    };
    json!({ "dry_run": dry_run, "logs": logs.iter().map(one).collect::<Vec<_>>() })
}

type Tell<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

/// Does work on a thread of its own, and answers line by line.
fn answer_lines(
    doors: &Doors,
    work: impl FnOnce(&Engine, Tell<'_>) -> Result<Value, Problem> + Send + 'static,
) -> Response {
    let (sender, receiver) = mpsc::channel::<Value>(16);
    let engine = Arc::clone(&doors.engine);
    tokio::task::spawn_blocking(move || {
        let mut told: Option<Instant> = None;
        let done = work(&engine, &mut |bytes, of| {
            if told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
                return !sender.is_closed();
            }
            told = Some(Instant::now());
            // The work holds locks: who does not read misses how far it is, and holds nobody up.
            let said = sender.try_send(json!({ "bytes": bytes, "of": of }));
            !matches!(said, Err(mpsc::error::TrySendError::Closed(_)))
        });
        let last = match done {
            Ok(result) => json!({ "result": result }),
            Err(problem) => json!({ "error": { "code": problem.kind, "detail": problem.detail } }),
        };
        // When nobody reads any more, nobody has to be told.
        let _ = sender.blocking_send(last);
    });
    let lines = ReceiverStream::new(receiver).map(|line| Ok::<_, std::io::Error>(Bytes::from(format!("{line}\n"))));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RunBody {
    #[serde(default)]
    dry_run: bool,
}

/// `POST /api/v1/archive/run`: applies the policies now.
#[utoipa::path(post, path = "/api/v1/archive/run", tag = "administration", operation_id = "run_archive", summary = "Archive what is due",
    request_body(content = Option<RunBody>, example = json!({ "dry_run": true })),
    responses((status = 200, description = "How far the work is, one JSON object a line; the last has the result or the error", content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn run(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let sent: RunBody = admin::admin_body(&doors, request).await?;
    Ok(answer_lines(&doors, move |engine, tell| {
        if sent.dry_run {
            return Ok(logs_json(true, &engine.archive_due()));
        }
        Ok(logs_json(false, &engine.run_archive(tell)?))
    }))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct VerifyBody {
    log: Option<String>,
}

/// `POST /api/v1/archive/verify`: reads every byte back.
#[utoipa::path(post, path = "/api/v1/archive/verify", tag = "administration", operation_id = "verify_archive", summary = "Read the archive back and compare it",
    request_body(content = Option<VerifyBody>, example = json!({ "log": "default" })),
    responses((status = 200, description = "How far the work is, one JSON object a line; the last has the result or the error", content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn verify(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let sent: VerifyBody = admin::admin_body(&doors, request).await?;
    if let Some(log) = &sent.log {
        doors.engine.log(log)?;
    }
    Ok(answer_lines(&doors, move |engine, tell| {
        let found = engine.verify_archive(sent.log.as_deref(), tell)?;
        let names = engine.log_numbers();
        let faults: Vec<Value> = found
            .faults
            .iter()
            .map(|fault| {
                json!({
                    "file": fault.file,
                    "place": shown_place(&fault.place),
                    "log": names.get(&fault.log),
                    "events": fault.events,
                    "reason": fault.reason,
                })
            })
            .collect();
        let mut result = work_json(&found.work);
        result["faults"] = faults.into();
        result["unknown_files"] = found.strangers.into();
        Ok(result)
    }))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RestoreBody {
    log: String,
    from: Option<String>,
    to: Option<String>,
    stream: Option<String>,
    hold: Option<String>,
}

/// `POST /api/v1/archive/restore`: makes archived events live again.
#[utoipa::path(post, path = "/api/v1/archive/restore", tag = "administration", operation_id = "restore_archive", summary = "Make archived events live again",
    request_body(content = RestoreBody, example = json!({ "log": "default", "from": "2026-01-01", "hold": "7d" })),
    responses((status = 200, description = "How far the work is, one JSON object a line; the last has the result or the error", content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn restore(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let sent: RestoreBody = admin::admin_body(&doors, request).await?;
    doors.engine.log(&sent.log)?;
    let time = span(sent.from.as_deref(), sent.to.as_deref())?;
    let hold = match &sent.hold {
        None => HOLD,
        Some(text) => parse_duration(text)
            .ok_or_else(|| Problem::bad_request(format!("hold is a time such as \"30d\", found {text:?}")))?,
    };
    let stream = sent.stream.map(|stream| event::shared::stream_name(&stream).to_owned());
    Ok(answer_lines(&doors, move |engine, tell| {
        let (work, until) = engine.restore_archive((&sent.log, stream.as_deref()), &time, hold, tell)?;
        let mut result = work_json(&work);
        result["held_until"] = until.to_string().into();
        Ok(result)
    }))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PurgeBody {
    log: String,
    before: String,
    stream: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// `POST /api/v1/archive/purge`: removes archived events for good.
#[utoipa::path(post, path = "/api/v1/archive/purge", tag = "administration", operation_id = "purge_archive", summary = "Remove archived events for good",
    request_body(content = PurgeBody, example = json!({ "log": "default", "before": "2026-01-01", "dry_run": true })),
    responses((status = 200, description = "How far the work is, one JSON object a line; the last has the result or the error", content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn purge(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let (grant, sent) = admin::admin_sent::<PurgeBody>(&doors, request).await?;
    doors.engine.log(&sent.log)?;
    let asked = PurgeRequest {
        before: *span(Some(&sent.before), None)?.start(),
        stream: sent.stream.map(|stream| event::shared::stream_name(&stream).to_owned()),
        by: grant,
        log: sent.log,
    };
    Ok(answer_lines(&doors, move |engine, _| {
        let work = if sent.dry_run { engine.archive_purge_due(&asked) } else { engine.purge_archive(&asked) }?;
        let mut result = work_json(&work);
        result["dry_run"] = sent.dry_run.into();
        result["before"] = asked.before.to_string().into();
        Ok(result)
    }))
}

/// The time between two texts; a day ends with its last moment.
fn span(from: Option<&str>, to: Option<&str>) -> Result<RangeInclusive<Timestamp>, Problem> {
    let now = jiff::Timestamp::now();
    let read = |text: &str| {
        engine::time::moment(text, now).ok_or_else(|| {
            Problem::bad_request(format!("{text:?} is no time: use RFC 3339, a date, or a relative one such as -30d"))
        })
    };
    let start = from.map(read).transpose()?.map_or(i64::MIN, |moment| moment.start.as_microsecond());
    let end = to
        .map(read)
        .transpose()?
        .map_or(i64::MAX, |moment| moment.end.map_or(moment.start.as_microsecond(), |end| end.as_microsecond() - 1));
    Ok(Timestamp::from_micros(start)..=Timestamp::from_micros(end))
}
