//! Application Insights: what Azure Monitor's clients send.
//!
//! Their only credential is the instrumentation key in each item, so it is a token. They take an empty answer for a failure,
//! keep and repeat what is answered 401, 403, 408, 429, 500 or 503, and drop the rest.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{Limits, Scope};
use intake::azure;
use serde_json::json;

use super::problem::Problem;
use super::{Doors, auth, body, write};

/// `POST /v2.1/track`: envelopes, as an array or one a line.
#[utoipa::path(post, path = "/v2.1/track", tag = "write", operation_id = "track", summary = "Send telemetry of Application Insights",
    request_body(description = "Envelopes, each with a token as its iKey", content((serde_json::Value = "application/json"))),
    responses((status = 200, description = "All were accepted", body = serde_json::Value),
        (status = 206, description = "Some were not: which, and why", body = serde_json::Value)))]
pub(super) async fn track(State(doors): State<Doors>, request: Request) -> Response {
    taken(&doors, request).await
}

/// `POST /v2/track`: the same, as clients before 2020 and in browsers send it.
#[utoipa::path(post, path = "/v2/track", tag = "write", operation_id = "track_v2", summary = "Send telemetry of Application Insights, older clients",
    request_body(description = "Envelopes, each with a token as its iKey", content((serde_json::Value = "application/json"))),
    responses((status = 200, description = "All were accepted", body = serde_json::Value),
        (status = 206, description = "Some were not: which, and why", body = serde_json::Value)))]
pub(super) async fn track_v2(State(doors): State<Doors>, request: Request) -> Response {
    taken(&doors, request).await
}

/// `POST /QuickPulseService.svc/ping`: nobody watches live metrics here, so none need be sent.
#[utoipa::path(post, path = "/QuickPulseService.svc/{call}", tag = "write", operation_id = "live_metrics", summary = "Live metrics of Application Insights, which nobody watches",
    params(("call" = String, Path, description = "`ping` or `post`")),
    responses((status = 200, description = "Not now", body = serde_json::Value)))]
pub(super) async fn live_metrics(request: Request) -> Response {
    body::refuse(request.into_body()).await;
    let not_watched = [(HeaderName::from_static("x-ms-qps-subscribed"), HeaderValue::from_static("false"))];
    (not_watched, Json(json!({}))).into_response()
}

async fn taken(doors: &Doors, request: Request) -> Response {
    match take(doors, request).await {
        Ok(response) => response,
        Err(problem) => {
            let error = json!({ "index": 0, "statusCode": problem.status.as_u16(), "message": problem.detail });
            let answer = json!({ "itemsReceived": 0, "itemsAccepted": 0, "errors": [error] });
            let mut response = (problem.status, Json(answer)).into_response();
            if let Some(seconds) = problem.retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
    }
}

async fn take(doors: &Doors, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let held = body::read(doors, &parts.headers, body).await?;
    let grant = auth::grant_sent(doors, &parts, azure::key(&held.bytes).as_deref())?;
    let log = auth::log_of(&parts, &grant);
    if !grant.allows(Scope::Write, Some(&log)) {
        let detail = format!("this instrumentation key does not allow to write on the log {log:?}");
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let limits = Limits { event_bytes_max: doors.engine.settings().event_bytes_max, ..Limits::default() };
    let received = doors.engine.now();
    let decoded = tokio::task::block_in_place(|| azure::track(&held.bytes, limits, received));
    drop(held);
    let items = decoded.received;
    let receipt = write::take(doors, &log, decoded, None).await?;
    let errors = receipt
        .refused
        .iter()
        .map(|refused| json!({ "index": refused.index, "statusCode": 400, "message": refused.reason.to_string() }));
    let errors: Vec<_> = errors.collect();
    let status = if receipt.accepted == items { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    let answer = json!({ "itemsReceived": items, "itemsAccepted": receipt.accepted, "errors": errors });
    Ok((status, Json(answer)).into_response())
}
