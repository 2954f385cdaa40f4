//! The doors of Sentry's SDKs, over sockets.

use std::io::Write as _;

use base64::Engine as _;
use reqwest::{Body, Method};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::server::{Server, ask};

const ENVELOPE: &str = "/api/1/envelope/";

const EXCEPTION: &[u8] = include_bytes!("../../../intake/tests/fixtures/sentry/django-exception.envelope");
const TRANSACTION: &[u8] = include_bytes!("../../../intake/tests/fixtures/sentry/django-transaction.envelope");
const ATTACHMENTS: &[u8] = include_bytes!("../../../intake/tests/fixtures/sentry/django-attachments.envelope");

/// A token of this scope for these logs.
async fn token(server: &Server, scope: &str, logs: &[&str]) -> String {
    let body = json!({ "label": "a test", "scopes": [scope], "logs": logs });
    server.as_admin(Method::POST, "/api/v1/tokens", &body).await.expect(201)["token"].as_str().unwrap().to_owned()
}

async fn send(server: &Server, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let request =
        headers.iter().fold(server.request(Method::POST, path), |request, (name, value)| request.header(*name, *value));
    ask(request.body(body)).await
}

/// Envelopes of the same event under other ids.
fn message(id: u32) -> String {
    format!("{{}}\n{{\"type\":\"event\"}}\n{{\"event_id\":\"{id:032x}\",\"message\":\"m{id}\"}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_every_place() {
    let server = Server::start_with(&[("EVERLOG_REQUIRE_TOKEN", "yes")]).await;
    let key = token(&server, "write", &["default"]).await;
    let plain = key.replace('-', "");
    let header = format!("Sentry sentry_key={plain}, sentry_version=7, sentry_client=sentry.python/2.75.0");
    let old = format!("Sentry sentry_timestamp=1.5,sentry_client=raven/6,sentry_secret=x, sentry_key={key}");
    let query =
        format!("{ENVELOPE}?sentry_version=7&sentry_key={plain}&sentry_client=sentry.javascript.node%2F11.12.0");
    let bearer = format!("Bearer {key}");
    send(&server, ENVELOPE, &[("x-sentry-auth", &header)], message(1)).await.expect(200);
    send(&server, "/api/1/envelope", &[("x-sentry-auth", &old)], message(2)).await.expect(200);
    send(&server, &query, &[], message(3)).await.expect(200);
    send(&server, ENVELOPE, &[("authorization", &bearer)], message(4)).await.expect(200);
    let tunnel = message(5).replacen("{}", &format!("{{\"dsn\":\"http://{plain}@logs.example/1\"}}"), 1);
    send(&server, ENVELOPE, &[], tunnel).await.expect(200);

    let nobody = send(&server, ENVELOPE, &[], message(6)).await;
    nobody.problem(401, "token_needed");
    assert!(nobody.header("x-sentry-error").contains("token"), "{:?}", nobody.headers);
    let wrong = plain.replace(|c: char| c.is_ascii_digit(), "0");
    send(&server, &format!("{ENVELOPE}?sentry_key={wrong}"), &[], message(6)).await.problem(401, "unknown_token");
    let reader = token(&server, "read", &[]).await;
    send(&server, &format!("{ENVELOPE}?sentry_key={reader}"), &[], message(6)).await.problem(403, "forbidden");
    let other = token(&server, "write", &["shop"]).await;
    send(&server, &format!("{ENVELOPE}?sentry_key={other}"), &[], message(6)).await.problem(403, "forbidden");
    let unknown = send(&server, "/api/77/envelope/", &[("x-sentry-auth", &header)], message(6)).await;
    unknown.problem(404, "unknown_log");
    assert!(unknown.header("x-sentry-error").contains("everlog logs"), "{:?}", unknown.headers);
    send(&server, "/api/default/envelope/", &[("x-sentry-auth", &header)], message(6))
        .await
        .problem(404, "unknown_log");
    let kept =
        server.as_admin(Method::GET, "/api/v1/logs/default/events?event=message&_sort=message", &Value::Null).await;
    let kept: Vec<Value> = kept.expect(200).as_array().unwrap().iter().map(|event| event["message"].clone()).collect();
    assert_eq!(Value::from(kept), json!(["m1", "m2", "m3", "m4", "m5"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn from_this_machine_any_word_is_a_key() {
    let server = Server::start().await;
    send(&server, &format!("{ENVELOPE}?sentry_key=public"), &[], EXCEPTION).await.expect(200);
    let [event] = &server.events("event=exception").await[..] else { panic!("one") };
    assert_eq!(event["exception"]["type"], "Stock");
    assert_eq!(server.events("exception.type=Stock&user=7&release=shop@1.4.2").await.len(), 1);
    assert_eq!(server.events("sentry.contexts.order.id=1152921504606846976").await.len(), 1);
    // One question for the error and all spans.
    send(&server, ENVELOPE, &[], TRANSACTION).await.expect(200);
    let trace = event["trace_id"].as_str().unwrap();
    assert_eq!(server.events(&format!("trace_id={trace}")).await.len(), 6);
    assert_eq!(server.events("request_id=req-django-1&stream=SPAN").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_in_chunks_and_sent_again() {
    let server = Server::start().await;
    let mut br = Vec::new();
    brotli::CompressorWriter::new(&mut br, 4096, 5, 22).write_all(EXCEPTION).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(EXCEPTION).unwrap();
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(EXCEPTION).unwrap();
    let bodies = [
        ("br", br),
        ("gzip", gzip.finish().unwrap()),
        ("deflate", deflate.finish().unwrap()),
        ("zstd", zstd::stream::encode_all(EXCEPTION, 1).unwrap()),
        ("identity", EXCEPTION.to_vec()),
    ];
    for (encoding, body) in bodies {
        let chunks: Vec<_> = body.chunks(1000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        let chunked = Body::wrap_stream(futures::stream::iter(chunks));
        let answer = send(&server, ENVELOPE, &[("content-encoding", encoding)], chunked).await.expect(200);
        assert_eq!(answer["id"].as_str().unwrap().len(), 32, "{encoding}: {answer}");
    }
    send(&server, ENVELOPE, &[], TRANSACTION).await.expect(200);
    send(&server, ENVELOPE, &[], TRANSACTION).await.expect(200);
    assert_eq!(server.events("event=exception").await.len(), 1, "stored once");
    assert_eq!(server.events("stream=SPAN").await.len(), 5, "and so is each span");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_send_and_read_the_answer() {
    let server = Server::start_with(&[("EVERLOG_REQUIRE_TOKEN", "yes")]).await;
    let origin = ("origin", "https://shop.example");
    let preflight = server
        .request(Method::OPTIONS, ENVELOPE)
        .header(origin.0, origin.1)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-sentry-auth");
    let preflight = ask(preflight).await;
    assert!(matches!(preflight.status, 200 | 204), "{}", preflight.status);
    assert_eq!(preflight.header("access-control-allow-origin"), origin.1);
    assert!(preflight.header("access-control-allow-headers").contains("x-sentry-auth"));
    let plain = [origin, ("content-type", "text/plain;charset=UTF-8"), ("sec-fetch-site", "cross-site")];
    let key = token(&server, "write", &[]).await;
    let taken = send(&server, &format!("{ENVELOPE}?sentry_version=7&sentry_key={key}"), &plain, message(1)).await;
    taken.expect(200);
    let refused = send(&server, ENVELOPE, &plain, message(2)).await;
    refused.problem(401, "token_needed");
    let unknown = send(&server, "/api/9/envelope/", &plain, message(2)).await;
    unknown.problem(404, "unknown_log");
    for answer in [taken, refused, unknown] {
        assert_eq!(answer.header("access-control-allow-origin"), origin.1);
        assert!(answer.header("access-control-expose-headers").to_lowercase().contains("x-sentry-rate-limits"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_of_an_older_client() {
    let server = Server::start().await;
    let event = json!({ "event_id": "fc6d8c0c43fc4630ad850ee518f1b9d0", "message": "from raven é", "level": "fatal" });
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(event.to_string().as_bytes()).unwrap();
    let packed = base64::engine::general_purpose::STANDARD.encode(packed.finish().unwrap());
    for (path, body) in [("/api/1/store/", event.to_string()), ("/api/1/store", packed)] {
        let answer = send(&server, path, &[], body).await.expect(200);
        assert_eq!(answer, json!({ "id": "fc6d8c0c43fc4630ad850ee518f1b9d0" }));
    }
    let [kept] = &server.events("event=message").await[..] else { panic!("one") };
    assert_eq!([&kept["message"], &kept["level"]], ["from raven é", "critical"]);
    send(&server, "/api/1/store/", &[], "not this").await.problem(400, "not_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_said_and_counted() {
    let server =
        Server::start_with(&[("EVERLOG_EVENT_BYTES_MAX", "1KiB"), ("EVERLOG_ATTACHMENT_BYTES_MAX", "100")]).await;
    let large = format!("{{}}\n{{\"type\":\"event\"}}\n{{\"message\":\"{}\"}}", "x".repeat(2000));
    let answer = send(&server, ENVELOPE, &[], large.clone()).await;
    answer.problem(413, "too_large");
    assert!(answer.header("x-sentry-error").contains("event_bytes_max"));
    let mixed = format!("{}{}", message(1), "{\"type\":\"replay_event\"}\n{}\n");
    send(&server, ENVELOPE, &[], mixed).await.expect(200);
    send(&server, ENVELOPE, &[], "{}\n{\"type\":\"profile_chunk\"}\n{}\n").await.expect(200);
    let file = format!("{}{{\"type\":\"attachment\",\"length\":101}}\n{}\n", message(2), "y".repeat(101));
    send(&server, ENVELOPE, &[], file).await.expect(200);
    send(&server, ENVELOPE, &[], "").await.expect(200);
    send(&server, ENVELOPE, &[], "{}").await.expect(200);
    let metrics = server.get("/metrics").await.text();
    for (reason, count) in [("too_large", 2), ("unsupported", 2)] {
        let line = format!("everlog_events_refused_total{{log=\"default\",reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert_eq!(server.events("event=message").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_survive_a_kill_and_come_back_as_they_were() {
    let mut server = Server::start().await;
    let id = send(&server, ENVELOPE, &[], ATTACHMENTS).await.expect(200)["id"].as_str().unwrap().to_owned();
    send(&server, ENVELOPE, &[], ATTACHMENTS).await.expect(200);
    server.kill9();
    server.restart().await;
    let path = format!("/api/v1/logs/default/events/{id}/attachments");
    let list = server.get(&path).await.expect(200);
    let names: Vec<_> = list.as_array().unwrap().iter().map(|one| one["attachment"]["filename"].clone()).collect();
    assert_eq!(Value::from(names), json!(["cart é.bin", "cart.json"]), "each once: {list}");
    let file = server.get(&format!("{path}/0")).await;
    let sent = ["Zoë's cart\n".as_bytes(), &(0..=255).collect::<Vec<u8>>()].concat();
    assert_eq!((file.status, file.body.as_slice()), (200, sent.as_slice()));
    assert_eq!(
        file.header("content-disposition"),
        "attachment; filename=\"cart _.bin\"; filename*=UTF-8''cart%20%C3%A9.bin"
    );
    assert_eq!(
        [file.header("content-type"), file.header("x-content-type-options")],
        ["application/octet-stream", "nosniff"]
    );
    assert_eq!(server.get(&format!("{path}/1")).await.body, b"{\"lines\": 3}\n");
    server.get(&format!("{path}/2")).await.problem(404, "unknown_attachment");
    server.get(&format!("{path}/..%2f..%2fadmin.token")).await.problem(404, "unknown_attachment");
    assert_eq!(server.get("/api/v1/logs/default/events/none/attachments").await.expect(200), json!([]));
    assert!(server.get("/metrics").await.text().contains("everlog_attachment_bytes "));
    let writer = token(&server, "write", &[]).await;
    ask(server.request(Method::GET, &path).bearer_auth(writer)).await.problem(403, "forbidden");
    // What claims to be an attachment has no file of anybody else.
    server
        .send(&json!({ "event": "attachment", "attachment": { "event_id": "mine" }, "id": "../../../admin.token" }))
        .await;
    server.get("/api/v1/logs/default/events/mine/attachments/0").await.problem(404, "unknown_attachment");
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_go_with_their_log_and_doctor_counts_them() {
    let server = Server::start().await;
    server.as_admin(Method::PUT, "/api/v1/logs/shop", &json!({})).await.expect(200);
    let key = token(&server, "write", &["shop"]).await;
    let logs = server.get("/api/v1/logs").await.expect(200);
    let number = &logs.as_array().unwrap().iter().find(|log| log["name"] == "shop").unwrap()["number"];
    send(&server, &format!("/api/{number}/envelope/?sentry_key={key}"), &[], ATTACHMENTS).await.expect(200);
    let folder = server.data().join("attachments");
    let kept = || std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(kept(), 1);
    let said = server.cli_ok(&["doctor"]);
    assert!(said.contains("attachments      2 files (281 bytes)"), "{said}");
    server.as_admin(Method::DELETE, "/es/shop", &json!({})).await.expect(200);
    assert_eq!(kept(), 0, "what was deleted for good is gone");
    std::fs::create_dir_all(folder.join("99/2026-01-02")).unwrap();
    std::fs::write(folder.join("99/2026-01-02/x"), "nobody's").unwrap();
    let output = server.cli(&["doctor"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.code() == Some(1) && said.contains("attachments/99: 1 files of a log that is not there"),
        "{said}"
    );
}

/// A client tells an error as an event, and as a log record beside it: one of them is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_record_beside_its_event_is_no_second_error() {
    let server = Server::start().await;
    let trace = "771a43a4192642f0b136d5159a501700";
    let event = json!({ "event_id": "c".repeat(32), "level": "error", "logentry": { "message": "no stock" }, "contexts": { "trace": { "trace_id": trace } } });
    let record = json!({ "items": [{ "timestamp": 1_767_323_040.5, "trace_id": trace, "level": "error", "severity_number": 17, "body": "no stock",
        "attributes": { "sentry.origin": { "value": "auto.log.stdlib", "type": "string" } } }] });
    let kind = json!({ "type": "log", "item_count": 1, "content_type": "application/vnd.sentry.items.log+json" });
    let envelope = format!("{{}}\n{{\"type\":\"event\"}}\n{event}\n{kind}\n{record}\n");
    server.post("/api/1/envelope/?sentry_key=any", envelope).await.expect(200);
    server.issue("no stock", 1).await;
    let kept = server.events(&format!("trace_id={trace}")).await;
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(kept.iter().filter(|event| event.get("fingerprint").is_some()).count(), 1, "{kept:?}");
}
