//! Logs, tokens and senders.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::{Grant, LogError, LogInfo, LogSettings, Options, Scope, TokenInfo, parse_duration, print_duration};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, auth, body};

/// `GET /api/v1/logs`: those that the sender may read or write.
#[utoipa::path(get, path = "/api/v1/logs", tag = "administration", operation_id = "logs", summary = "List the logs",
    responses((status = 200, description = "Those that the sender may read", body = Vec<shapes::Log>)))]
pub(crate) async fn logs(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    let grant = auth::grant(&doors, &parts)?;
    let engine = doors.engine.clone();
    let logs = tokio::task::spawn_blocking(move || engine.logs()).await.map_err(|error| Problem::internal(&error))?;
    Ok(Json(logs.iter().filter(|log| grant.may_read(&log.name)).map(|log| log_json(&doors, log)).collect()))
}

/// `GET /api/v1/logs/{log}`.
#[utoipa::path(get, path = "/api/v1/logs/{log}", tag = "administration", operation_id = "log", summary = "Look at a log",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log")),
    responses((status = 200, description = "The log", body = shapes::Log)))]
pub(crate) async fn log(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, Some(&log))?;
    doors.engine.log(&log)?;
    let found = doors.engine.logs().into_iter().find(|one| one.name == log);
    Ok(Json(found.as_ref().map_or(Value::Null, |log| log_json(&doors, log))))
}

/// Which of the times of a log stand in the file, and hold.
fn in_file(doors: &Doors, log: &str) -> Vec<&'static str> {
    let archiving = doors.config.archiving.get(log);
    let named = [
        ("retention", doors.config.logs.get(log).is_some_and(|retention| !retention.is_empty())),
        ("archive_after", archiving.is_some_and(|archiving| archiving.archive_after.is_some())),
        ("archive_bytes", archiving.is_some_and(|archiving| archiving.archive_bytes.is_some())),
    ];
    named.into_iter().filter(|(_, named)| *named).map(|(name, _)| name).collect()
}

fn log_json(doors: &Doors, log: &LogInfo) -> Value {
    let in_file: Vec<&str> =
        in_file(doors, &log.name).into_iter().chain(log.options.in_file.iter().map(String::as_str)).collect();
    let times = |times: &BTreeMap<String, Duration>| {
        times.iter().map(|(stream, time)| (stream.clone(), print_duration(*time).into())).collect::<Map<_, _>>()
    };
    let mut shown = json!({
        "name": log.name,
        "number": log.number,
        "events": log.size.events,
        "buffered_events": log.size.buffered_events,
        "segments": log.size.segments,
        "bytes": log.size.bytes,
        "first": log.size.first.map(|moment| moment.to_string()),
        "last": log.size.last.map(|moment| moment.to_string()),
        "created": log.created.to_string(),
        "retention": times(&log.retention),
        "archived_events": log.size.archived_events,
        "archived_bytes": log.size.archived_bytes,
        "archived_segments": log.size.archived_segments,
        "archive_after": times(&log.archive.after),
        "archive_bytes": log.archive.bytes,
        "in_file": in_file,
        "at_runtime": log.options.at_runtime,
    });
    for (name, value) in &log.options.values {
        shown[name] = value.clone();
    }
    shown
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct LogBody {
    retention: Option<Retention>,
    archive_after: Option<Retention>,
    archive_bytes: Option<Size>,
    /// The engine knows their names.
    #[serde(flatten)]
    #[schema(value_type = shapes::LogOptions)]
    options: Options,
}

/// `50GiB`, or a number of bytes; 0 for no bound.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

/// One length for all streams, or one for each.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum Retention {
    All(String),
    ByStream(BTreeMap<String, String>),
}

/// `PUT /api/v1/logs/{log}`: makes a log, sets how long it keeps its events and what it does with them.
#[utoipa::path(put, path = "/api/v1/logs/{log}", tag = "administration", operation_id = "set_log",
    summary = "Make a log, or say what it does with its events", params(("log" = inline(shapes::LogName), Path, description = "Name of a log")),
    request_body(content = LogBody, example = json!({ "retention": { "": "90d", "DEBUG": "7d" } })),
    responses((status = 200, description = "The log", body = shapes::Log)))]
pub(crate) async fn set_log(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let sent = admin_body::<LogBody>(&doors, request).await?;
    let file = in_file(&doors, &log);
    let changed = [
        ("retention", sent.retention.is_some()),
        ("archive_after", sent.archive_after.is_some()),
        ("archive_bytes", sent.archive_bytes.is_some()),
    ];
    if let Some((setting, _)) = changed.into_iter().find(|(name, changed)| *changed && file.contains(name)) {
        return Err(LogError::InFile { log, setting: setting.to_owned() }.into());
    }
    let settings = LogSettings {
        retention: sent.retention.map(|sent| read_times("retention", sent)).transpose()?,
        archive_after: sent.archive_after.map(|sent| read_times("archive_after", sent)).transpose()?,
        archive_bytes: sent.archive_bytes.map(read_size).transpose()?,
        options: sent.options,
    };
    let info = doors.engine.set_log(&log, settings)?;
    Ok(Json(log_json(&doors, &info)))
}

fn read_size(sent: Size) -> Result<u64, Problem> {
    match sent {
        Size::Bytes(bytes) => Ok(bytes),
        Size::Text(text) if text.trim() == "0" => Ok(0),
        Size::Text(text) => crate::config::size(&text)
            .map(|bytes| bytes as u64)
            .map_err(|error| Problem::bad_request(format!("archive_bytes: {error}"))),
    }
}

fn read_times(key: &str, sent: Retention) -> Result<BTreeMap<String, Duration>, Problem> {
    let by_stream = match sent {
        Retention::All(kept) => BTreeMap::from([(String::new(), kept)]),
        Retention::ByStream(kept) => kept,
    };
    let read = |(stream, kept): (String, String)| match parse_duration(&kept) {
        Some(kept) => Ok((event::shared::stream_name(&stream).to_owned(), kept)),
        None => Err(Problem::bad_request(format!("{key} is a time such as \"90d\" or \"12h\", found {kept:?}"))),
    };
    by_stream.into_iter().map(read).collect()
}

/// The body of a request that needs the scope admin.
pub(super) async fn admin_body<T: DeserializeOwned>(doors: &Doors, request: Request) -> Result<T, Problem> {
    admin_sent(doors, request).await.map(|(_, sent)| sent)
}

/// The same, and who sent it.
pub(super) async fn admin_sent<T: DeserializeOwned>(doors: &Doors, request: Request) -> Result<(Grant, T), Problem> {
    let (parts, sent) = request.into_parts();
    let grant = auth::require(doors, &parts, Scope::Admin, None)?;
    let held = body::read(doors, &parts.headers, sent).await?;
    let bytes: &[u8] = if held.bytes.trim_ascii().is_empty() { b"{}" } else { &held.bytes };
    let read = serde_json::from_slice(bytes)
        .map_err(|error| Problem::bad_request(format!("the body is not what is expected here: {error}")))?;
    Ok((grant, read))
}

/// `GET /api/v1/producers/{name}`: how far a numbered sender is.
#[utoipa::path(get, path = "/api/v1/producers/{name}", tag = "write", operation_id = "producer", summary = "How far a numbered sender is",
    params(("name" = String, Path, description = "X-Everlog-Producer of its requests")),
    responses((status = 200, description = "Its highest position", body = shapes::Producer)))]
pub(crate) async fn producer(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::grant(&doors, &parts)?;
    Ok(Json(json!({ "name": name, "position": std::future::ready(doors.engine.producer_position(&name)).await })))
}

fn token_json(token: &TokenInfo) -> Value {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
    json!({ "id": token.id, "label": token.label, "scopes": scopes, "logs": token.logs, "created": token.created.to_string() })
}

/// `GET /api/v1/tokens`: all of them, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "administration", operation_id = "tokens", summary = "List the tokens",
    responses((status = 200, description = "All of them, without their secrets", body = Vec<shapes::Token>)))]
pub(crate) async fn tokens(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Admin, None)?;
    Ok(Json(std::future::ready(doors.engine.tokens().iter().map(token_json).collect()).await))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    #[serde(default)]
    label: String,
    scopes: Vec<String>,
    #[serde(default)]
    logs: Vec<String>,
}

/// `POST /api/v1/tokens`: makes one; its secret is in the answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "administration", operation_id = "create_token", summary = "Make a token",
    request_body(content = TokenBody, example = json!({ "label": "web shop", "scopes": ["write"], "logs": ["shop"] })),
    responses((status = 201, description = "The token with its secret", body = shapes::NewToken)))]
pub(crate) async fn create_token(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let sent = admin_body::<TokenBody>(&doors, request).await?;
    let read = |name: &String| {
        Scope::parse(name)
            .ok_or_else(|| Problem::bad_request(format!("the scopes are write, read and admin, found {name:?}")))
    };
    let scopes: Vec<Scope> = sent.scopes.iter().map(read).collect::<Result<_, _>>()?;
    if scopes.is_empty() {
        return Err(Problem::bad_request("a token needs a scope: write, read or admin"));
    }
    if let Some(log) = sent.logs.iter().find(|log| log.contains(',') || log.is_empty()) {
        return Err(Problem::bad_request(format!("{log:?} cannot be the name of a log")));
    }
    let made = doors.engine.create_token(&sent.label, &scopes, &sent.logs)?;
    let mut shown = token_json(&made.info);
    shown["token"] = made.token.into();
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// `DELETE /api/v1/tokens/{id}`.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "administration", operation_id = "revoke_token",
    summary = "Make a token worthless", params(("id" = String, Path, description = "Its id, as the list has it")),
    responses((status = 204, description = "It is worthless from now on")))]
pub(crate) async fn revoke_token(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Admin, None)?;
    if std::future::ready(doors.engine.revoke_token(&id)?).await {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_token",
            format!("there is no token {id:?}: `everlog token list` shows them"),
        ))
    }
}

/// `POST /api/v1/flush`: writes the buffer to segments now.
#[utoipa::path(post, path = "/api/v1/flush", tag = "administration", operation_id = "flush", summary = "Write the buffer to segments now",
    responses((status = 200, description = "Done", body = shapes::Flushed)))]
pub(crate) async fn flush(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Admin, None)?;
    let engine = doors.engine.clone();
    let flushed =
        tokio::task::spawn_blocking(move || engine.flush()).await.map_err(|error| Problem::internal(&error))??;
    Ok(Json(json!({ "events": flushed })))
}
