//! The files that came with an event.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use engine::Scope;
use event::Timestamp;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio_stream::StreamExt as _;

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, auth, download, read};

/// Files of one event that are listed.
const LISTED_MAX: usize = 100;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// `GET /api/v1/logs/{log}/events/{id}/attachments`: the events of its files, in the order in which they came.
#[utoipa::path(get, path = "/api/v1/logs/{log}/events/{id}/attachments", tag = "read", operation_id = "attachments", summary = "List the files that came with an event",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log"), ("id" = String, Path, description = "Id of an event")),
    responses((status = 200, description = "An event for each; `attachment` says what it is", body = Vec<shapes::Event>)))]
pub(crate) async fn list(
    State(doors): State<Doors>,
    Path((log, id)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Vec<Value>>, Problem> {
    let (parts, _) = request.into_parts();
    Ok(Json(of_event(&doors, &parts, &log, &id).await?))
}

/// `GET /api/v1/logs/{log}/events/{id}/attachments/{n}`: one of them, counted from 0.
#[utoipa::path(get, path = "/api/v1/logs/{log}/events/{id}/attachments/{n}", tag = "read", operation_id = "attachment", summary = "Download a file that came with an event",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log"), ("id" = String, Path, description = "Id of an event"),
        ("n" = u32, Path, description = "Its place in the list, from 0")),
    responses((status = 200, description = "The file", content((String = "application/octet-stream")))))]
pub(crate) async fn file(
    State(doors): State<Doors>,
    Path((log, id, n)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let found = of_event(&doors, &parts, &log, &id).await?;
    let missing = |detail: String| Problem::new(StatusCode::NOT_FOUND, "unknown_attachment", detail);
    let one = n.parse().ok().and_then(|n: usize| found.get(n)).ok_or_else(|| {
        missing(format!("the event {id} has {} attachments, counted from 0; there is no {n}", found.len()))
    })?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let place = text(&one["id"]).and_then(|id| event::parse_uuid(&id)).zip(text(&one["timestamp"]));
    let place = place.and_then(|(id, moment)| Some((id, Timestamp::parse(&moment)?.0)));
    let opened = match place {
        Some((id, moment)) => doors.engine.attachment(&log, &id, moment)?,
        None => None,
    };
    let opened = opened.ok_or_else(|| missing("the file is no longer there".to_owned()))?;
    let length = opened.metadata().map_err(|error| Problem::internal(&error))?.len();
    let mut response = Body::from_stream(chunks(tokio::fs::File::from_std(opened))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let name = text(&one["attachment"]["filename"]).unwrap_or_else(|| "attachment".to_owned());
    if let Ok(value) = HeaderValue::from_str(&download::named(&name)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn chunks(file: tokio::fs::File) -> impl tokio_stream::Stream<Item = std::io::Result<Vec<u8>>> {
    let parts = futures::stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let mut chunk = vec![0; CHUNK_BYTES];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(read) => {
                chunk.truncate(read);
                Some((Ok(chunk), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    parts.map(|part| part)
}

async fn of_event(doors: &Doors, parts: &Parts, log: &str, id: &str) -> Result<Vec<Value>, Problem> {
    auth::require(doors, parts, Scope::Read, Some(log))?;
    // Sentry's ids come without hyphens.
    let id = if id.len() == 32 {
        uuid::Uuid::try_parse(id).map_or_else(|_| id.to_owned(), |id| id.to_string())
    } else {
        id.to_owned()
    };
    let question = read::question(
        &form_urlencoded::Serializer::new(String::new())
            .append_pair("event", "attachment")
            .append_pair("attachment.event_id", &id)
            .append_pair("_strict", "n")
            .append_pair("_limit", &LISTED_MAX.to_string())
            .append_pair("_sort", "timestamp")
            .finish(),
    )?;
    let (events, _) = read::ask(doors, log.to_owned(), question).await?;
    if !events.ignored.is_empty() {
        return Ok(Vec::new());
    }
    Ok(events.documents.iter().filter_map(|document| serde_json::from_slice(document).ok()).collect())
}
