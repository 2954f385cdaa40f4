//! The same over gRPC: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>. Each call is one message there and
//! one back, so it needs no more than HTTP/2 with trailers.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use intake::body::unpack;
use intake::otel::{Encoding, Signal, refused};

use super::{allowed, code, take};
use crate::http::problem::Problem;
use crate::http::{Doors, body};

/// The code of a method that there is not.
const UNIMPLEMENTED: u32 = 12;

/// Whether a request is a call of gRPC.
pub(in crate::http) fn is_call(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Answers a call.
pub(in crate::http) async fn call(doors: &Doors, request: Request) -> Response {
    let signal = match request.uri().path() {
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Logs,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
        path => {
            let detail = format!(
                "there is no method {path}: Everlog has Export of LogsService, TraceService and MetricsService"
            );
            body::refuse(request.into_body()).await;
            return failed(UNIMPLEMENTED, &detail, None);
        }
    };
    match answer(doors, signal, request).await {
        Ok(message) => succeeded(&message),
        Err(problem) => failed(code(problem.status), &problem.detail, problem.retry_after),
    }
}

async fn answer(doors: &Doors, signal: Signal, request: Request) -> Result<Vec<u8>, Problem> {
    let (parts, body) = request.into_parts();
    let (log, body) = allowed(doors, &parts, body).await?;
    let held = body::read(doors, &parts.headers, body).await?;
    let encoding = parts.headers.get("grpc-encoding").and_then(|value| value.to_str().ok()).unwrap_or("");
    let message = tokio::task::block_in_place(|| message_of(&held.bytes, encoding, doors.config.body_bytes_max))?;
    take(doors, &log, (signal, Encoding::Protobuf), &message).await
}

/// The one message of a call.
fn message_of<'a>(body: &'a [u8], encoding: &str, bytes_max: usize) -> Result<Cow<'a, [u8]>, Problem> {
    let broken = |what: &str| Problem::bad_request(format!("the message of the call {what}"));
    let ([compressed, length @ ..], message) = body.split_first_chunk::<5>().ok_or_else(|| broken("is missing"))?;
    if u32::from_be_bytes(*length) as usize != message.len() {
        return Err(broken("has another length than it says, or is not the only one"));
    }
    match compressed {
        0 => Ok(Cow::Borrowed(message)),
        1 => unpack(encoding, message, bytes_max)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "body", error.to_string())),
        _ => Err(broken("begins with an unknown flag")),
    }
}

fn succeeded(message: &[u8]) -> Response {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    let trailers =
        HeaderMap::from_iter([(header::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let frames = [Frame::data(Bytes::from(framed)), Frame::trailers(trailers)];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, "application/grpc")], Body::new(body)).into_response()
}

fn failed(code: u32, message: &str, retry_after: Option<u32>) -> Response {
    let mut response = [(header::CONTENT_TYPE, "application/grpc")].into_response();
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(code));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(message)) {
        headers.insert("grpc-message", message);
    }
    if let Some(seconds) = retry_after {
        let status = refused(Encoding::Protobuf, code, message, Some(Duration::from_secs(seconds.into())));
        if let Ok(details) = HeaderValue::from_str(&BASE64_STANDARD_NO_PAD.encode(status)) {
            headers.insert("grpc-status-details-bin", details);
        }
    }
    response
}

/// As the values of `grpc-message` are written.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let written = write!(encoded, "%{byte:02X}");
            debug_assert!(written.is_ok(), "writing into memory cannot fail");
        }
    }
    encoded
}
