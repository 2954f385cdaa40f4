//! OpenTelemetry: OTLP over HTTP in both encodings, over gRPC, and what exporters rely on in the answers.

use std::io::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;

use crate::answer::Answer;
use crate::server::{Server, ask};

const PROTOBUF: &str = "application/x-protobuf";

const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn value(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Any::StringValue(text.to_owned())) })
}

fn logs(messages: &[&str]) -> Vec<u8> {
    let record = |message: &&str| LogRecord {
        time_unix_nano: 1_767_225_600_000_001_000,
        severity_number: 17,
        body: value(message),
        attributes: vec![KeyValue { key: "user.id".to_owned(), value: value("bob"), ..KeyValue::default() }],
        trace_id: vec![0xab; 16],
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: messages.iter().map(record).collect(), ..ScopeLogs::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }
        .encode_to_vec()
}

fn spans() -> Vec<u8> {
    let span = Span {
        name: "GET /pay".to_owned(),
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: 1_767_225_600_000_000_000,
        end_time_unix_nano: 1_767_225_600_001_500_000,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
        .encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn post(server: &Server, path: &str, kind: &str, body: Vec<u8>) -> Answer {
    ask(server.request(Method::POST, path).header("content-type", kind).body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_in_both_encodings() {
    let server = Server::start().await;
    let answer = post(&server, "/v1/logs", PROTOBUF, logs(&["first"])).await;
    assert_eq!((answer.status, answer.header("content-type"), answer.body.len()), (200, PROTOBUF, 0));
    let body = gzip(&logs(&["second"]));
    let request =
        server.request(Method::POST, "/v1/logs").header("content-type", PROTOBUF).header("content-encoding", "gzip");
    assert_eq!(ask(request.body(body)).await.status, 200);
    let body =
        json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "body": { "stringValue": "third" } }] }] }] });
    let answer = post(&server, "/v1/logs", "application/json", body.to_string().into_bytes()).await;
    assert_eq!(answer.expect(200), json!({ "partialSuccess": {} }));
    let found = server.events("otel.attributes.user.id=bob&_sort=message").await;
    assert_eq!(found.len(), 2);
    let mut first = found[0].clone();
    let keys: Vec<_> =
        ["timestamp", "stream", "level", "message", "user", "trace_id"].map(|key| first[key].take()).into();
    assert_eq!(json!(keys), json!(["2026-01-01T00:00:00.000001Z", "ERROR", "error", "first", "bob", "ab".repeat(16)]));
    assert_eq!(first["otel"], json!({ "attributes": { "user.id": "bob" }, "severity_number": 17 }));
    assert_eq!(server.events("message=third&level!").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_is_sent_again_is_there_once() {
    let server = Server::start().await;
    for _ in 0..2 {
        assert_eq!(post(&server, "/v1/traces", PROTOBUF, spans()).await.status, 200);
    }
    let found = server.events("stream=SPAN").await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["message"], &found[0]["duration_ms"]), (&json!("GET /pay"), &json!(1.5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_silently_counted() {
    let server = Server::start().await;
    let body =
        json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{ "gauge": { "dataPoints": [{}, {}] } }] }] }] });
    let answer = post(&server, "/v1/metrics", "application/json", body.to_string().into_bytes()).await.expect(200);
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], json!("2"));
    assert!(answer["partialSuccess"]["errorMessage"].as_str().unwrap().contains("no metrics"));
    assert_eq!(post(&server, "/v1/metrics", PROTOBUF, b"\xff\xff".to_vec()).await.status, 200);
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.lines().any(|line| line.contains("reason=\"metric\"") && line.ends_with(" 2")), "{metrics}");
    assert_eq!(server.internal("events_refused").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_in_the_encoding_of_the_request() {
    let server = Server::start().await;
    let answer = post(&server, "/v1/logs", "application/json", b"{\"resourceLogs\":7}".to_vec()).await;
    assert_eq!(answer.expect(400)["code"], 3);
    let answer = post(&server, "/v1/traces", PROTOBUF, b"\x0a\xff".to_vec()).await;
    assert_eq!((answer.status, answer.header("content-type")), (400, PROTOBUF));
    assert!(answer.body.starts_with(b"\x08\x03\x12"), "{:?}", answer.body);
    let request = server.request(Method::POST, "/v1/logs").bearer_auth("0".repeat(32)).body(logs(&["x"]));
    assert_eq!(ask(request.header("content-type", PROTOBUF)).await.status, 401);
    // One record too large: the other is kept, and the exporter is told.
    let answer = post(&server, "/v1/logs", PROTOBUF, logs(&["kept", &"x".repeat(2 << 20)])).await;
    let partial = ExportLogsServiceResponse::decode(answer.body.as_slice()).unwrap().partial_success.unwrap();
    assert_eq!((answer.status, partial.rejected_log_records), (200, 1));
    assert!(partial.error_message.contains("event_bytes_max"), "{}", partial.error_message);
    assert_eq!(server.events("message=kept").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_may_send() {
    let server = Server::start().await;
    let preflight = server.request(Method::OPTIONS, "/v1/traces").header("origin", "https://shop.example");
    let asked = preflight
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = ask(asked).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "https://shop.example"));
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    let sent = server.request(Method::POST, "/v1/traces").header("origin", "https://shop.example").body(spans());
    // It is not of this machine, and has no token.
    let refused = ask(sent.header("content-type", PROTOBUF)).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, "https://shop.example"));
}

/// A call of gRPC: headers, message and trailers of the answer.
async fn call(
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    (flag, message): (u8, &[u8]),
) -> (HeaderMap, Vec<u8>, HeaderMap) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut body = vec![flag];
    body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend_from_slice(message);
    let mut request = Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    (headers, collected.to_bytes().to_vec(), trailers)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc() {
    let server = Server::start().await;
    let (headers, message, trailers) = call(server.address(), LOGS, &[], (0, &logs(&["plain"]))).await;
    assert_eq!(
        (&headers["content-type"], message.as_slice(), &trailers["grpc-status"]),
        (&"application/grpc".parse().unwrap(), &[0; 5][..], &"0".parse().unwrap())
    );
    let (_, _, trailers) =
        call(server.address(), LOGS, &[("grpc-encoding", "gzip")], (1, &gzip(&logs(&["packed"])))).await;
    assert_eq!(trailers["grpc-status"], "0");
    let (_, _, trailers) =
        call(server.address(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", &[], (0, &spans())).await;
    assert_eq!(trailers["grpc-status"], "0");
    let found = server.events("_sort=message").await;
    let messages: Vec<_> = found.iter().map(|event| event["message"].clone()).collect();
    assert_eq!(json!(messages), json!(["GET /pay", "packed", "plain"]));
    let token = ("authorization", format!("Bearer {}", "0".repeat(32)));
    let refused = async |path: &str, headers: &[(&str, &str)], message: (u8, &[u8])| {
        let (headers, _, _) = call(server.address(), path, headers, message).await;
        (headers["grpc-status"].to_str().unwrap().to_owned(), headers["grpc-message"].to_str().unwrap().to_owned())
    };
    assert_eq!(refused(LOGS, &[(token.0, &token.1)], (0, &[])).await.0, "16");
    assert_eq!(refused(LOGS, &[], (0, b"\x0a\xff")).await.0, "3");
    assert_eq!(refused(LOGS, &[], (7, b"")).await.0, "3");
    let (status, message) = refused("/grpc.health.v1.Health/Check", &[], (0, b"")).await;
    assert_eq!(status, "12");
    assert!(message.contains("LogsService"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_its_own() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let server = Server::start_with(&[("EVERLOG_LISTEN_OTLP", &address)]).await;
    let (_, _, trailers) = call(&address, LOGS, &[], (0, &logs(&["there"]))).await;
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(server.events("message=there").await.len(), 1);
}
