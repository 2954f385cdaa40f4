//! OpenTelemetry: OTLP over HTTP and over gRPC, at every address that is listened at.
//!
//! <https://opentelemetry.io/docs/specs/otlp/>. Exporters drop what is answered with anything but 429, 502, 503 and 504 (or
//! their like in gRPC), and write a line into their application's log; so 429 and 503 are for what may be sent again, and
//! metrics, of which none is kept, are answered 200.

mod grpc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{Limits, Scope};
use intake::otel::{self, Broken, Encoding, Signal};

use super::problem::Problem;
use super::{Doors, auth, body, write};
pub(super) use grpc::{call, is_call};

/// A body of this size is decoded beside the threads that serve requests.
const LARGE_BYTES: usize = 1 << 20;

/// `POST /v1/logs`: an `ExportLogsServiceRequest`.
#[utoipa::path(post, path = "/v1/logs", tag = "write", operation_id = "otlp_logs", summary = "Send log records of OpenTelemetry",
    request_body(description = "An ExportLogsServiceRequest of OTLP",
        content((serde_json::Value = "application/json"), (Vec<u8> = "application/x-protobuf"))),
    responses((status = 200, description = "How many were refused, if any", body = serde_json::Value)))]
pub(super) async fn logs(State(doors): State<Doors>, request: Request) -> Response {
    over_http(&doors, Signal::Logs, request).await
}

/// `POST /v1/traces`: an `ExportTraceServiceRequest`.
#[utoipa::path(post, path = "/v1/traces", tag = "write", operation_id = "otlp_traces", summary = "Send spans of OpenTelemetry",
    request_body(description = "An ExportTraceServiceRequest of OTLP",
        content((serde_json::Value = "application/json"), (Vec<u8> = "application/x-protobuf"))),
    responses((status = 200, description = "How many were refused, if any", body = serde_json::Value)))]
pub(super) async fn traces(State(doors): State<Doors>, request: Request) -> Response {
    over_http(&doors, Signal::Traces, request).await
}

/// `POST /v1/metrics`: an `ExportMetricsServiceRequest`. None is kept; all are counted.
#[utoipa::path(post, path = "/v1/metrics", tag = "write", operation_id = "otlp_metrics", summary = "Send metrics of OpenTelemetry, which are not kept",
    request_body(description = "An ExportMetricsServiceRequest of OTLP",
        content((serde_json::Value = "application/json"), (Vec<u8> = "application/x-protobuf"))),
    responses((status = 200, description = "How many were refused: all", body = serde_json::Value)))]
pub(super) async fn metrics(State(doors): State<Doors>, request: Request) -> Response {
    over_http(&doors, Signal::Metrics, request).await
}

async fn over_http(doors: &Doors, signal: Signal, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let mut encoding = if kind.contains("json") { Encoding::Json } else { Encoding::Protobuf };
    let taken = async {
        let log = allowed(doors, &parts, body).await?;
        let held = body::read(doors, &parts.headers, log.1).await?;
        // No message of OTLP begins with this byte.
        if held.bytes.trim_ascii_start().starts_with(b"{") {
            encoding = Encoding::Json;
        }
        take(doors, &log.0, (signal, encoding), &held.bytes).await
    };
    let (status, answer, retry) = match taken.await {
        Ok(answer) => (StatusCode::OK, answer, None),
        Err(problem) => {
            let answer = otel::refused(encoding, code(problem.status), &problem.detail, None);
            (problem.status, answer, problem.retry_after)
        }
    };
    let kind = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let mut response = (status, [(header::CONTENT_TYPE, kind)], answer).into_response();
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The log that a request is for, if its sender may write there.
async fn allowed(doors: &Doors, parts: &Parts, body: Body) -> Result<(String, Body), Problem> {
    let allowed = auth::grant_sent(doors, parts, None).and_then(|grant| {
        let log = auth::log_of(parts, &grant);
        auth::require(doors, parts, Scope::Write, Some(&log)).map(|_| log)
    });
    match allowed {
        Ok(log) => Ok((log, body)),
        Err(problem) => {
            body::refuse(body).await;
            Err(problem)
        }
    }
}

/// Keeps the records of a request: the message to answer.
async fn take(doors: &Doors, log: &str, sent: (Signal, Encoding), bytes: &[u8]) -> Result<Vec<u8>, Problem> {
    let (signal, encoding) = sent;
    let limits = Limits { event_bytes_max: doors.engine.settings().event_bytes_max, ..Limits::default() };
    let received = doors.engine.now();
    let decode = || match signal {
        Signal::Logs => otel::logs(bytes, encoding, limits, received),
        Signal::Traces => otel::traces(bytes, encoding, limits, received),
        Signal::Metrics => otel::metrics(bytes, encoding),
    };
    let decoded = if bytes.len() > LARGE_BYTES { tokio::task::block_in_place(decode) } else { decode() };
    let decoded = match decoded {
        Ok(decoded) => decoded,
        // What is not kept anyway need not be right.
        Err(_) if signal == Signal::Metrics => return Ok(otel::taken(signal, encoding, 0, "")),
        Err(broken) => return Err(unreadable(&broken)),
    };
    let rejected = decoded.refused_count();
    let message = match decoded.refused.first() {
        Some(refused) => format!("record {}: {}", refused.index, refused.reason),
        None => intake::Reason::Metric.to_string(),
    };
    let kept = write::take(doors, log, decoded, None).await;
    if signal != Signal::Metrics {
        kept?;
    }
    Ok(otel::taken(signal, encoding, rejected, &message))
}

fn unreadable(broken: &Broken) -> Problem {
    Problem::bad_request(broken.to_string())
}

/// The code of gRPC for a status of HTTP: <https://grpc.io/docs/guides/status-codes/>. A request that is too large is not
/// "resource exhausted", which would have it sent again.
fn code(status: StatusCode) -> u32 {
    match status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND => 5,
        StatusCode::CONFLICT => 9,
        StatusCode::TOO_MANY_REQUESTS => 8,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => 14,
        status if status.is_server_error() => 13,
        _ => 3,
    }
}
