//! The native door: what it takes, how it answers what it does not take, and what every answer has.

use std::io::Write as _;

use axum::http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::answer::Answer;
use crate::server::{EVENTS, Server, ask};

fn packed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    match encoding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::stream::encode_all(bytes, 1).unwrap(),
        "br" => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(bytes).unwrap();
            out
        }
        _ => bytes.to_vec(),
    }
}

async fn post_packed(server: &Server, encoding: &str, body: Vec<u8>) -> Answer {
    ask(server.request(Method::POST, EVENTS).header("content-encoding", encoding).body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_an_array_and_lines() {
    let server = Server::start().await;
    server.post(EVENTS, r#"{"n":1}"#).await.accepted(1, 0);
    server.post(EVENTS, "{\n  \"n\": 2,\n  \"in\": {\"depth\": true}\n}\n").await.accepted(1, 0);
    server.post(EVENTS, r#"[{"n":3},{"n":4}]"#).await.accepted(2, 0);
    server.post(EVENTS, "{\"n\":5}\n\n{\"n\":6}\r\n{\"n\":7}").await.accepted(3, 0);
    let numbers: Vec<Value> = server.events("_sort=n&n>=1").await.iter().map(|event| event["n"].clone()).collect();
    assert_eq!(Value::from(numbers), json!([1, 2, 3, 4, 5, 6, 7]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_encoding_and_chunks() {
    let server = Server::start().await;
    for encoding in ["gzip", "deflate", "zstd", "br", "identity"] {
        let body = packed(encoding, format!("{{\"packed\":\"{encoding}\"}}").as_bytes());
        post_packed(&server, encoding, body).await.accepted(1, 0);
        assert_eq!(server.events(&format!("packed={encoding}")).await.len(), 1, "{encoding}");
    }
    let twice = packed("zstd", &packed("gzip", b"{\"packed\":\"twice\"}"));
    post_packed(&server, "gzip, zstd", twice).await.accepted(1, 0);
    let chunks = ["{\"chunk\":", "1}\n{\"chu", "nk\":2}\n"].map(Ok::<_, std::io::Error>);
    let body = Body::wrap_stream(futures::stream::iter(chunks));
    ask(server.request(Method::POST, EVENTS).body(body)).await.accepted(2, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_unpack() {
    let server = Server::start_with(&[("EVERLOG_BODY_BYTES_MAX", "4MiB")]).await;
    let blanks = vec![b' '; 64 << 20];
    for encoding in ["gzip", "zstd", "br", "deflate"] {
        let bomb = packed(encoding, &blanks);
        assert!(bomb.len() < 1 << 20);
        let problem = post_packed(&server, encoding, bomb).await.problem(413, "body");
        assert!(problem["detail"].as_str().unwrap().contains("body_bytes_max"), "{problem}");
        post_packed(&server, encoding, b"{\"a\":1}".to_vec()).await.problem(400, "body");
    }
    server.post(EVENTS, vec![b' '; 5 << 20]).await.problem(413, "body");
    let problem = post_packed(&server, "lzma", b"{}".to_vec()).await.problem(415, "body");
    assert!(problem["detail"].as_str().unwrap().contains("gzip"), "{problem}");
    for empty in ["", " \n\r\n ", "[]"] {
        server.post(EVENTS, empty).await.problem(400, "bad_request");
    }
    post_packed(&server, "gzip", packed("gzip", b"")).await.problem(400, "bad_request");
    assert_eq!(server.events("").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_one_by_one() {
    let server = Server::start().await;
    let lines = "{\"n\":1}\n{\"n\":\n[1]\n\"text\"\n7\ntrue\nnull\nnonsense\n{\"n\":2} x\n{\"n\":3}\n";
    let receipt = server.post(EVENTS, lines).await.expect(200);
    assert_eq!(receipt["accepted"], 2);
    let refused: Vec<_> = receipt["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["index"].as_u64().unwrap(), one["reason"].as_str().unwrap()))
        .collect();
    let (broken, other) = ("not_json", "not_an_object");
    assert_eq!(
        refused,
        [(1, broken), (2, other), (3, other), (4, other), (5, other), (6, other), (7, broken), (8, broken)]
    );
    let receipt = server.post(EVENTS, "[{\"n\":4}, 5, {\"n\":6}]").await.expect(200);
    assert_eq!((&receipt["accepted"], &receipt["refused"][0]["index"]), (&json!(2), &json!(1)));
    let problem = server.post(EVENTS, "nonsense").await.problem(400, "not_json");
    assert_eq!((&problem["accepted"], &problem["refused"][0]["index"]), (&json!(0), &json!(0)));
    let numbers: Vec<Value> = server.events("_sort=n&n").await.iter().map(|event| event["n"].clone()).collect();
    assert_eq!(Value::from(numbers), json!([1, 3, 4, 6]));
    // What came in, was kept and was refused adds up; Everlog's own messages come in too.
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("everlog_events_refused_total{log=\"default\",reason=\"not_json\"} 4\n"), "{metrics}");
    assert!(
        metrics.contains("everlog_events_refused_total{log=\"default\",reason=\"not_an_object\"} 6\n"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_methods_and_names() {
    let server = Server::start().await;
    let problem = server.get("/api/v1/nothing").await.problem(404, "not_found");
    assert!(problem["detail"].as_str().unwrap().contains("/api/v1/nothing"));
    let answer = ask(server.request(Method::DELETE, EVENTS)).await;
    answer.problem(405, "method_not_allowed");
    assert!(answer.header("allow").contains("POST") && answer.header("allow").contains("GET"), "{answer:?}");
    server.get("/api/v1/logs/nope/events").await.problem(404, "unknown_log");
    let problem = server.get("/api/v1/logs/defualt/events").await.problem(404, "unknown_log");
    assert!(problem["detail"].as_str().unwrap().contains("did you mean \"default\"?"), "{problem}");
    for name in ["..", "a%2Fb", "%2e%2e%2fetc", "-a", "a%00b", "%20", &"a".repeat(65)] {
        let answer = server.raw(format!("POST /api/v1/logs/{name}/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}").as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("urn:everlog:problem:log_name"),
            "{name}: {answer}"
        );
    }
    server.get("/api/v1/logs/%FF/events").await.problem(400, "bad_request");
    let logs = server.get("/api/v1/logs").await.expect(200);
    assert_eq!(logs.as_array().unwrap().len(), 1, "a request that is refused makes no log: {logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id() {
    let server = Server::start().await;
    let with_id = async |id: &[u8], path: &str| {
        let value = reqwest::header::HeaderValue::from_bytes(id).unwrap();
        ask(server.request(Method::GET, path).header("x-request-id", value)).await
    };
    for path in ["/healthz", EVENTS, "/api/v1/nothing"] {
        assert_eq!(with_id(b"2f9e-ABC.7", path).await.header("x-request-id"), "2f9e-ABC.7", "{path}");
        for odd in [b"".as_slice(), b"two words", b"tab\there", "n\u{f6}".as_bytes(), &[b'x'; 129]] {
            let answer = with_id(odd, path).await;
            assert!(uuid::Uuid::try_parse(answer.header("x-request-id")).is_ok(), "{answer:?}");
        }
    }
    with_id(b"mine", "/nothing").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_follow_each_other_on_one_connection() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let body = "{\"kept\":\"alive\"}";
    let post = format!("POST {EVENTS} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let last =
        "GET /api/v1/logs/default/events?kept=alive&_c=kept HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    // All of them at once: the answers come one after the other.
    stream.write_all(format!("{post}{post}{last}").as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert!(answers.ends_with("[{\"kept\":\"alive\"},\n{\"kept\":\"alive\"}]\n"), "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_from_the_first_byte() {
    let server = Server::start().await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let requests = (0..20).map(|number| {
        let mut sender = sender.clone();
        let uri = format!("{}{EVENTS}", server.url());
        let request = Request::post(uri).body(Full::<bytes::Bytes>::from(format!("{{\"number\":{number}}}"))).unwrap();
        async move { sender.send_request(request).await.unwrap() }
    });
    for answer in futures::future::join_all(requests).await {
        assert_eq!((answer.status(), answer.version()), (axum::http::StatusCode::OK, axum::http::Version::HTTP_2));
        let receipt: Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(receipt["accepted"], 1);
    }
    assert_eq!(server.events("number>=0").await.len(), 20);
}
