//! Google Analytics 4: the Measurement Protocol of servers and apps, and gtag.js of browsers.
//!
//! The first has a secret, which is a token here. A browser can have none: what it sends is taken for the log whose option
//! `ga4` names its measurement id. Google answers 204 whatever was sent, and so is what cannot be kept answered here; it
//! is counted as refused.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{Decoded, Limits, Reason, Scope};
use intake::ga4::{self, Sender};
use intake::visitor::VISIT_BYTES_MAX;
use serde_json::json;

use super::problem::Problem;
use super::{Doors, auth, body, caller, write};

/// `POST /mp/collect`: events of the Measurement Protocol.
#[utoipa::path(post, path = "/mp/collect", tag = "write", operation_id = "ga4_collect", summary = "Send events of Google Analytics 4",
    params(("measurement_id" = Option<String>, Query, description = "`G-…`"),
        ("api_secret" = Option<String>, Query, description = "A token")),
    request_body(description = "client_id, and up to 25 events", content((serde_json::Value = "application/json"))),
    responses((status = 204, description = "Taken; what could not be kept is counted as refused")))]
pub(super) async fn collect(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let sender = sender(&doors, &parts);
    let allowed = auth::grant_sent(&doors, &parts, parameter(&parts, "api_secret").as_deref()).and_then(|grant| {
        let measured = doors.engine.measured(&sender.measurement).map(|(_, rules)| rules.log.clone());
        let measured = measured.filter(|log| grant.allows(Scope::Write, Some(log)));
        let log = measured.unwrap_or_else(|| auth::log_of(&parts, &grant));
        let detail = format!("this api_secret does not allow to write on the log {log:?}");
        let allows = grant.allows(Scope::Write, Some(&log));
        if allows { Ok(log) } else { Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)) }
    });
    let log = match allowed {
        Ok(log) => log,
        Err(problem) => {
            body::refuse(body).await;
            return Err(problem);
        }
    };
    let held = body::read_within(&doors, &parts.headers, body, ga4::BODY_BYTES_MAX).await?;
    let decoded = ga4::collect(&held.bytes, &sender, limits(&doors), doors.engine.now());
    drop(held);
    write::take(&doors, &log, decoded, None).await?;
    Ok(nothing())
}

/// `POST /debug/mp/collect`: what is wrong with events of the Measurement Protocol. Nothing is kept.
#[utoipa::path(post, path = "/debug/mp/collect", tag = "write", operation_id = "ga4_debug", summary = "Check events of Google Analytics 4",
    params(("measurement_id" = Option<String>, Query, description = "`G-…`")),
    request_body(description = "client_id, and up to 25 events", content((serde_json::Value = "application/json"))),
    responses((status = 200, description = "What is wrong", body = serde_json::Value)))]
pub(super) async fn debug(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let held = body::read_within(&doors, &parts.headers, body, ga4::BODY_BYTES_MAX).await?;
    let faults = ga4::faults(&held.bytes, &sender(&doors, &parts).measurement);
    let messages: Vec<_> = faults
        .into_iter()
        .map(|fault| json!({ "fieldPath": fault.path, "description": fault.description, "validationCode": fault.code }))
        .collect();
    Ok(Json(json!({ "validationMessages": messages })).into_response())
}

/// `GET /g/collect`: one event of gtag.js.
#[utoipa::path(get, path = "/g/collect", tag = "write", operation_id = "gtag_get", summary = "What gtag.js sends",
    params(("tid" = Option<String>, Query, description = "The measurement id, which the option `ga4` of a log names"),
        ("en" = Option<String>, Query, description = "The name of the event")),
    responses((status = 204, description = "Taken; what could not be kept is counted as refused")))]
pub(super) async fn gtag_get(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    gtag(&doors, request).await
}

/// `POST /g/collect`: events of gtag.js, one a line.
#[utoipa::path(post, path = "/g/collect", tag = "write", operation_id = "gtag_post", summary = "What gtag.js sends, several events",
    params(("tid" = Option<String>, Query, description = "The measurement id, which the option `ga4` of a log names")),
    request_body(description = "Parameters of one event a line", content((String = "text/plain"))),
    responses((status = 204, description = "Taken; what could not be kept is counted as refused")))]
pub(super) async fn gtag_post(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    gtag(&doors, request).await
}

async fn gtag(doors: &Doors, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let sender = sender(doors, &parts);
    let Some((_, rules)) = doors.engine.measured(&sender.measurement) else {
        body::refuse(body).await;
        return unknown(doors, sender.measurement).await;
    };
    let held = body::read_within(doors, &parts.headers, body, VISIT_BYTES_MAX).await?;
    let query = parts.uri.query().unwrap_or("");
    let decoded = ga4::gtag(query, &held.bytes, &sender, limits(doors), doors.engine.now());
    drop(held);
    write::take(doors, &rules.log, decoded, None).await?;
    Ok(nothing())
}

/// Counts what no log wants.
async fn unknown(doors: &Doors, measurement: String) -> Result<Response, Problem> {
    let measurement = measurement.chars().take(40).collect();
    let decoded: Decoded = intake::visitor::refused(Reason::UnknownMeasurement { measurement });
    write::take(doors, "default", decoded, None).await?;
    Ok(nothing())
}

fn limits(doors: &Doors) -> Limits {
    Limits { event_bytes_max: doors.engine.settings().event_bytes_max, ..Limits::default() }
}

fn parameter(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query().unwrap_or("").as_bytes();
    form_urlencoded::parse(query).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// Who sends. A server that speaks for its users says so in the events; the address is its own then.
fn sender(doors: &Doors, parts: &Parts) -> Sender {
    let ids = ["tid", "measurement_id", "firebase_app_id"];
    let agent = parts.headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    Sender {
        measurement: ids.iter().find_map(|name| parameter(parts, name)).unwrap_or_default(),
        ip: caller::address(parts, &doors.config.trusted_proxies).map(|ip| ip.to_string()).unwrap_or_default(),
        user_agent: agent.map(|agent| agent.chars().take(1024).collect()).unwrap_or_default(),
    }
}

fn nothing() -> Response {
    (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]).into_response()
}
