//! What is forwarded to other systems: how far each target is, and the few things that can be done about it.

use axum::Json;
use axum::extract::{Path, Request, State};
use engine::{ForwardInfo, Scope, Target};
use event::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, admin, auth, body};
use crate::forward::probe;

/// `GET /api/v1/forwards`: the targets of the logs that the sender may read.
#[utoipa::path(get, path = "/api/v1/forwards", tag = "administration", operation_id = "forwards", summary = "List what is forwarded to other systems",
    responses((status = 200, description = "The targets, and how far each is", body = Vec<shapes::Forward>)))]
pub(crate) async fn list(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    let grant = auth::grant(&doors, &parts)?;
    let engine = doors.engine.clone();
    let found = tokio::task::spawn_blocking(move || (engine.forwards(), engine.now())).await;
    let (found, now) = found.map_err(|error| Problem::internal(&error))?;
    let readable = found.iter().filter(|forward| grant.may_read(&forward.settings.log));
    Ok(Json(readable.map(|forward| forward_json(forward, now)).collect()))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    /// Whether nothing is sent for now.
    paused: Option<bool>,
    /// `start`: everything that is there is sent, again if need be. `now`: only what comes from now on.
    since: Option<String>,
}

/// `POST /api/v1/forwards/{name}`: pauses a target, lets it go on, or begin anew.
#[utoipa::path(post, path = "/api/v1/forwards/{name}", tag = "administration", operation_id = "change_forward",
    summary = "Pause a target, let it go on, or begin anew", params(("name" = String, Path, description = "Name of a target", example = "search")),
    request_body(content = ChangeBody, example = json!({ "paused": true })),
    responses((status = 200, description = "The target", body = shapes::Forward)))]
pub(crate) async fn change(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (grant, sent) = admin::admin_sent::<ChangeBody>(&doors, request).await?;
    let from_start = match sent.since.as_deref() {
        None => None,
        Some("start") => Some(true),
        Some("now") => Some(false),
        Some(other) => return Err(Problem::bad_request(format!("since is start or now, found {other:?}"))),
    };
    let engine = doors.engine.clone();
    let changed = tokio::task::spawn_blocking(move || {
        engine.change_forward(&name, (sent.paused, from_start), &grant).map(|forward| (forward, engine.now()))
    });
    let (forward, now) = changed.await.map_err(|error| Problem::internal(&error))??;
    Ok(Json(forward_json(&forward, now)))
}

/// `POST /api/v1/forwards/{name}/test`: asks a target whether it answers, with a batch that has no event in it.
#[utoipa::path(post, path = "/api/v1/forwards/{name}/test", tag = "administration", operation_id = "test_forward",
    summary = "Ask a target whether it answers", params(("name" = String, Path, description = "Name of a target", example = "search")),
    responses((status = 200, description = "What it said, be it yes or no", body = shapes::ForwardTest)))]
pub(crate) async fn test(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, body) = request.into_parts();
    auth::require(&doors, &parts, Scope::Admin, None)?;
    body::refuse(body).await;
    let name = doors.engine.forward(&name)?.settings.name.clone();
    let target = doors.config.forwards.iter().find(|target| target.settings.name == name);
    let target = target.ok_or_else(|| Problem::internal(&format!("the target {name} is not configured")))?;
    let said = probe(target).await;
    let milliseconds = u64::try_from(said.took.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(
        json!({ "name": name, "works": said.works, "status": said.status, "detail": said.said, "milliseconds": milliseconds }),
    ))
}

/// How long the first event waits that a target is still to get.
pub(super) fn seconds_behind(forward: &ForwardInfo, now: Timestamp) -> u64 {
    let since = forward.waiting_since.map_or(0, |since| now.as_micros().saturating_sub(since.as_micros()));
    u64::try_from(since / 1_000_000).unwrap_or(0)
}

fn forward_json(forward: &ForwardInfo, now: Timestamp) -> Value {
    let settings = &forward.settings;
    let index = match &settings.target {
        Target::Elasticsearch { index } => Some(index),
        Target::Otlp | Target::Webhook { .. } => None,
    };
    let refusals: Vec<Value> = forward
        .refusals
        .iter()
        .map(|refusal| json!({ "id": refusal.id, "sequence": refusal.sequence, "reason": refusal.reason }))
        .collect();
    json!({
        "name": settings.name,
        "log": settings.log,
        "to": settings.target.name(),
        "url": settings.shown_url,
        "index": index,
        "position": forward.position,
        "behind_events": forward.behind,
        "behind_seconds": seconds_behind(forward, now),
        "delivered": forward.delivered,
        "refused": forward.refused,
        "missed": forward.missed,
        "paused": forward.paused,
        "failures": forward.failures,
        "error": forward.error.as_ref().map(|(reason, _)| reason),
        "failing_since": forward.error.as_ref().map(|(_, since)| since.to_string()),
        "last_delivery": forward.last_delivery.map(|time| time.to_string()),
        "refusals": refusals,
    })
}
