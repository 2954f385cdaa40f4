//! The streams: listed, named, removed.

use axum::Json;
use axum::extract::{Path, Request, State};
use engine::{Grant, Leftover, Removed, Scope, StorageError, StreamError, StreamInfo, StreamKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::issues::beside;
use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, auth, body};

/// `GET /api/v1/streams`: all of them, with their events in the logs that the sender may read.
#[utoipa::path(get, path = "/api/v1/streams", tag = "administration", operation_id = "streams", summary = "List the streams",
    responses((status = 200, description = "All of them, with their events", body = Vec<shapes::Stream>)))]
pub(crate) async fn streams(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    let logs = auth::readable(&doors, &parts)?;
    let streams = beside(&doors, move |engine| Ok::<_, StreamError>(engine.streams(&logs))).await?;
    Ok(Json(streams.iter().map(stream_json).collect()))
}

fn stream_json(stream: &StreamInfo) -> Value {
    let listed = matches!(stream.kind, StreamKind::First | StreamKind::Added);
    json!({ "name": stream.name, "label": stream.label, "kind": stream.kind.name(), "listed": listed, "events": stream.events })
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct StreamBody {
    label: Option<String>,
}

/// `PUT /api/v1/streams/{name}`: lists a stream, and gives it a label.
#[utoipa::path(put, path = "/api/v1/streams/{name}", tag = "administration", operation_id = "put_stream",
    summary = "List a stream, and give it a label", params(("name" = String, Path, description = "Name of a stream", example = "PAYMENTS")),
    request_body(content = Option<StreamBody>, example = json!({ "label": "PAYMENTS:" })),
    responses((status = 200, description = "The stream", body = shapes::Stream)))]
pub(crate) async fn put(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, sent) = request.into_parts();
    let by = auth::require(&doors, &parts, Scope::Admin, None)?;
    let held = body::read(&doors, &parts.headers, sent).await?;
    let sent: StreamBody = if held.bytes.trim_ascii().is_empty() {
        StreamBody::default()
    } else {
        serde_json::from_slice(&held.bytes).map_err(|error| {
            Problem::bad_request(format!("expected {{\"label\": \"PAYMENTS:\"}} or nothing: {error}"))
        })?
    };
    let (changed, stream) = beside(&doors, move |engine| {
        let changed = engine.add_stream(&name, sent.label.as_deref(), &by)?;
        let name = event::shared::stream_name(name.trim()).to_owned();
        Ok::<_, StreamError>((changed, engine.streams(&[]).into_iter().find(|stream| stream.name == name)))
    })
    .await?;
    let mut shown = stream.as_ref().map_or(Value::Null, stream_json);
    shown["changed"] = changed.into();
    Ok(Json(shown))
}

/// `DELETE /api/v1/streams/{name}?data=keep|purge&dry_run=y`.
#[utoipa::path(delete, path = "/api/v1/streams/{name}", tag = "administration", operation_id = "remove_stream", summary = "Remove a stream",
    params(("name" = String, Path, description = "Name of a stream", example = "PAYMENTS"),
        ("data" = Option<String>, Query, description = "What becomes of its events: `keep` or `purge`", example = "keep"),
        ("dry_run" = Option<String>, Query, description = "`y`: only say what would be removed", example = "y")),
    responses((status = 200, description = "What was removed", body = shapes::RemovedStream)))]
pub(crate) async fn remove(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    let by: Grant = auth::require(&doors, &parts, Scope::Admin, None)?;
    let (mut leftover, mut dry_run) = (None, false);
    for (key, value) in form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()) {
        match (&*key, &*value) {
            ("data", "keep") => leftover = Some(Leftover::Keep),
            ("data", "purge") => leftover = Some(Leftover::Purge),
            ("dry_run", "y" | "yes" | "true" | "1") => dry_run = true,
            ("dry_run", "n" | "no" | "false" | "0") => dry_run = false,
            ("data" | "dry_run", _) => {
                return Err(Problem::bad_request(format!(
                    "data is keep or purge, dry_run is y or n; found {key}={value}"
                )));
            }
            _ => return Err(Problem::bad_request(format!("unknown parameter {key:?}: there are data and dry_run"))),
        }
    }
    let removed = beside(&doors, move |engine| engine.remove_stream(&name, leftover, dry_run, &by)).await?;
    Ok(Json(removed_json(&removed, dry_run)))
}

fn removed_json(removed: &Removed, dry_run: bool) -> Value {
    json!({
        "name": removed.name,
        "listed": removed.listed,
        "events": removed.events.values().sum::<u64>(),
        "logs": removed.events,
        "archived": removed.archived,
        "purged": removed.purged,
        "dry_run": dry_run,
    })
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        use axum::http::StatusCode;
        let detail = error.to_string();
        match error {
            StreamError::Name { .. } => Self::new(StatusCode::BAD_REQUEST, "stream_name", detail),
            StreamError::Label { .. } => Self::new(StatusCode::BAD_REQUEST, "stream_label", detail),
            StreamError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "unknown_stream", detail),
            StreamError::Stays { .. } => Self::new(StatusCode::CONFLICT, "stream_stays", detail),
            StreamError::HasEvents { .. } => Self::new(StatusCode::CONFLICT, "stream_has_events", detail),
            StreamError::Unwritten(error) => Self { detail, ..error.into() },
            StreamError::Store(error) => StorageError::into(error),
        }
    }
}
