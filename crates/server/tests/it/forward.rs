//! What is forwarded to other systems, against stubs that refuse, fail and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Server, until};

/// What a stub was sent, and how it answers.
#[derive(Default)]
struct Seen {
    /// Documents by index and id, as `_bulk` keeps them.
    documents: BTreeMap<(String, String), Value>,
    /// Bodies of requests that were taken, uncompressed, with their paths and the header `authorization`.
    bodies: Vec<(String, String, Vec<u8>)>,
    /// Requests that are answered 503 before all others.
    outages: usize,
    /// Every so many items of the next `_bulk` are answered 429.
    busy_every: Option<usize>,
    /// More events than this in one request are answered 413.
    events_max: Option<usize>,
}

#[derive(Clone)]
struct Stub {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Stub {
    async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), Seen::default()).await
    }

    async fn start_at(address: SocketAddr, seen: Seen) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let stub = Self { address: listener.local_addr().unwrap(), seen: Arc::new(Mutex::new(seen)) };
        let router = Router::new().fallback(answer).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        stub
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The numbers `n` of the documents in an index.
    fn numbers(&self, index: &str) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        let in_index = seen.documents.iter().filter(|((of, _), _)| of == index);
        in_index.filter_map(|(_, document)| document["n"].as_u64()).collect()
    }

    fn bodies(&self) -> Vec<(String, String, Vec<u8>)> {
        self.seen.lock().unwrap().bodies.clone()
    }
}

async fn answer(State(stub): State<Stub>, request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let mut body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    if parts.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        body = Bytes::from(plain);
    }
    let mut seen = stub.seen.lock().unwrap();
    if seen.outages > 0 {
        seen.outages -= 1;
        return (axum::http::StatusCode::SERVICE_UNAVAILABLE, "down for a moment").into_response();
    }
    let is_bulk = parts.uri.path().ends_with("/_bulk");
    let events =
        body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() / if is_bulk { 2 } else { 1 };
    if seen.events_max.is_some_and(|most| events > most) {
        return axum::http::StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    if !is_bulk && String::from_utf8_lossy(&body).contains("poison") {
        return (axum::http::StatusCode::BAD_REQUEST, "I cannot read that").into_response();
    }
    let right = parts.headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
    seen.bodies.push((parts.uri.path().to_owned(), right, body.to_vec()));
    if is_bulk { axum::Json(seen.bulk(&body)).into_response() } else { axum::Json(json!({})).into_response() }
}

impl Seen {
    /// Does what Elasticsearch does with operations `create`.
    fn bulk(&mut self, body: &[u8]) -> Value {
        let lines: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let busy_every = self.busy_every.take();
        let mut errors = false;
        let mut items = Vec::new();
        for (at, pair) in lines.chunks(2).enumerate() {
            let operation = &pair[0]["create"];
            let text = |key: &str| operation[key].as_str().unwrap().to_owned();
            let key = (text("_index"), text("_id"));
            assert!(pair[1]["@timestamp"].is_string(), "{}", pair[1]);
            let is_known = self.documents.contains_key(&key);
            let (status, error) = match () {
                () if busy_every.is_some_and(|every| at % every == 0) => {
                    (429, json!({"type": "es_rejected_execution_exception", "reason": "queue full"}))
                }
                () if is_known => {
                    (409, json!({"type": "version_conflict_engine_exception", "reason": "already exists"}))
                }
                () if pair[1]["poison"] == true => {
                    (400, json!({"type": "mapper_parsing_exception", "reason": "failed to parse [poison]"}))
                }
                () => (201, Value::Null),
            };
            if status == 201 {
                self.documents.insert(key, pair[1].clone());
            }
            errors |= status != 201;
            items.push(json!({"create": {"status": status, "error": error}}));
        }
        json!({"took": 1, "errors": errors, "items": items})
    }
}

/// A server with these targets.
async fn server(tables: &str) -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("everlog.toml");
    std::fs::write(&file, tables).unwrap();
    (Server::start_with(&[("EVERLOG_CONFIG", file.to_str().unwrap())]).await, folder)
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Events with these numbers, one a line.
fn events(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{{\"n\":{n},\"message\":\"event {n} of many\",\"user\":\"u{}\"}}\n", n % 7)).collect()
}

async fn send(server: &Server, log: &str, numbers: std::ops::Range<u64>) {
    let count = numbers.clone().count();
    server.post(&format!("/api/v1/logs/{log}/events"), events(numbers)).await.accepted(count, 0);
}

async fn target(server: &Server, name: &str) -> Value {
    let listed = server.get("/api/v1/forwards").await.expect(200);
    listed.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
}

async fn has_all(stub: &Stub, index: &str, count: u64) {
    until("all events at the target", async || (stub.numbers(index).len() as u64 >= count).then_some(())).await;
    let distinct: BTreeSet<u64> = stub.numbers(index).into_iter().collect();
    assert_eq!((distinct.len() as u64, stub.numbers(index).len() as u64), (count, count), "each is there once");
}

/// A store that is away, comes back busy, and is not waited for by anybody else.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_no_event_and_holds_nobody_up() {
    let (address, healthy) = (free_address(), Stub::start().await);
    let (mut server, _folder) = server(&format!(
        "[forward.first]\nlog = \"log2\"\nto = \"elasticsearch\"\nurl = \"http://{address}\"\nindex = \"log1\"\n\
         [forward.second]\nlog = \"other\"\nto = \"elasticsearch\"\nurl = \"{}\"\n",
        healthy.url()
    ))
    .await;
    for part in 0..50 {
        send(&server, "log2", part * 200..(part + 1) * 200).await;
        send(&server, "other", part * 10..(part + 1) * 10).await;
    }
    has_all(&healthy, "other", 500).await;
    let away =
        until("a failure", async || Some(target(&server, "first").await).filter(|one| one["error"].is_string())).await;
    assert_eq!((&away["delivered"], &away["behind_events"]), (&json!(0), &json!(10_000)), "{away}");
    // It comes back, fails one item of a hundred at first, and we stop in the middle.
    let seen = Seen { outages: 1, busy_every: Some(100), ..Seen::default() };
    let stub = Stub::start_at(address, seen).await;
    until("the first events", async || (!stub.numbers("log1").is_empty()).then_some(())).await;
    server.stop().await;
    server.restart().await;
    has_all(&stub, "log1", 10_000).await;
    let done =
        until("the end", async || Some(target(&server, "first").await).filter(|one| one["behind_events"] == 0)).await;
    assert_eq!((&done["refused"], &done["missed"], &done["error"]), (&json!(0), &json!(0), &Value::Null), "{done}");
    assert!(stub.bodies().iter().all(|(path, ..)| path == "/_bulk"));
    let indexes: BTreeSet<String> =
        stub.seen.lock().unwrap().documents.keys().map(|(index, _)| index.clone()).collect();
    assert_eq!(indexes, BTreeSet::from(["log1".to_owned()]));
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("everlog_forward_behind_events{forward=\"first\",log=\"log2\"} 0\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_goes_on_where_it_was() {
    let stub = Stub::start().await;
    let (mut server, _folder) = server(&format!(
        "[forward.es]\nto = \"elasticsearch\"\nurl = \"{}\"\n[forward.es.headers]\nx-a = \"b\"\n",
        stub.url()
    ))
    .await;
    for round in 0..3 {
        for part in 0..10 {
            send(&server, "default", round * 5000 + part * 500..round * 5000 + (part + 1) * 500).await;
        }
        let before = round * 5000;
        until("some of them", async || (stub.numbers("default").len() as u64 > before).then_some(())).await;
        server.kill9();
        server.restart().await;
    }
    has_all(&stub, "default", 15_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_cannot_take_is_counted_and_told_and_blocks_nothing() {
    let (bulk, hook) = (Stub::start().await, Stub::start().await);
    hook.seen.lock().unwrap().events_max = Some(10);
    let (server, _folder) = server(&format!(
        "[forward.bulk]\nlog = \"a\"\nto = \"elasticsearch\"\nurl = \"{}\"\nfilter = \"n:* OR id:bad\"\n\
         [forward.hook]\nlog = \"a\"\nto = \"webhook\"\nurl = \"{}/in?key=hush\"\nbearer = \"hush\"\n",
        bulk.url(),
        hook.url()
    ))
    .await;
    send(&server, "a", 0..50).await;
    server.post("/api/v1/logs/a/events", r#"{"id":"bad","poison":true}"#).await.accepted(1, 0);
    send(&server, "a", 50..100).await;
    server.post("/api/v1/logs/a/events", r#"{"message":"nobody wants this there"}"#).await.accepted(1, 0);
    has_all(&bulk, "a", 100).await;
    let lines = || -> Vec<Value> {
        let bodies = hook.bodies();
        let lines = bodies.iter().flat_map(|(_, _, body)| body.split(|byte| *byte == b'\n'));
        lines.filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
    };
    until("all at the webhook", async || (lines().len() >= 101).then_some(())).await;
    let in_order: Vec<u64> = lines().iter().filter_map(|event| event["n"].as_u64()).collect();
    assert_eq!(in_order, (0..100).collect::<Vec<_>>(), "once, and in the order of acceptance");
    assert!(hook.bodies().iter().all(|(path, right, _)| path == "/in" && right == "Bearer hush"));
    for name in ["bulk", "hook"] {
        let found = until("the refusal", async || {
            Some(target(&server, name).await).filter(|one| one["refused"] == 1 && one["behind_events"] == 0)
        })
        .await;
        assert_eq!(found["refusals"][0]["id"], "bad", "{found}");
        assert!(found["refusals"][0]["reason"].as_str().is_some_and(|reason| reason.contains("400")), "{found}");
        assert!(!found.to_string().contains("hush"), "{found}");
    }
    until("the messages", async || (server.internal("forward_refused").await == 2).then_some(())).await;
    assert!(!server.said().contains("hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_gets_records_and_a_webhook_an_array() {
    let (collector, hook) = (Stub::start().await, Stub::start().await);
    let (server, _folder) = server(&format!(
        "[forward.otel]\nto = \"otlp\"\nurl = \"{}\"\ngzip = true\nfilter = \"user:u1\"\n\
         [forward.hook]\nto = \"webhook\"\nformat = \"json\"\nurl = \"http://bob:pw@{}/in\"\nfilter = \"user:u1\"\n",
        collector.url(),
        hook.address
    ))
    .await;
    let sent = json!({"id": "e1", "user": "u1", "message": "hällo", "level": "error", "service": "shop", "big": 1.5, "deep": {"a": [1, "x"]}});
    server.send(&sent).await;
    let (path, _, body) = until("the record", async || collector.bodies().first().cloned()).await;
    assert_eq!(path, "/v1/logs");
    let body: Value = serde_json::from_slice(&body).unwrap();
    let record = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!((&record["body"]["stringValue"], &record["severityNumber"]), (&json!("hällo"), &json!(17)), "{body}");
    assert_eq!(body["resourceLogs"][0]["resource"]["attributes"][0]["value"]["stringValue"], "shop");
    let (_, right, body) = until("the array", async || hook.bodies().first().cloned()).await;
    assert_eq!(right, "Basic Ym9iOnB3");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body[0]["id"], &body[0]["deep"]), (&json!("e1"), &sent["deep"]), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_paused_resumed_and_begins_anew() {
    let stub = Stub::start().await;
    let (server, _folder) = server(&format!("[forward.es]\nto = \"elasticsearch\"\nurl = \"{}\"\n", stub.url())).await;
    let path = "/api/v1/forwards/es";
    server.as_admin(Method::POST, path, &json!({"paused": true})).await.expect(200);
    send(&server, "default", 0..10).await;
    let paused = target(&server, "es").await;
    assert_eq!((&paused["paused"], &paused["delivered"]), (&json!(true), &json!(0)));
    assert!(paused["behind_events"].as_u64().unwrap() >= 10, "{paused}");
    server.cli_ok(&["forward", "resume", "es"]);
    has_all(&stub, "default", 10).await;
    stub.seen.lock().unwrap().documents.clear();
    server.cli_ok(&["forward", "reset", "es", "--to", "start"]);
    has_all(&stub, "default", 10).await;
    let listed = server.cli_ok(&["forward"]);
    assert!(listed.contains("es") && listed.contains(" ok"), "{listed}");
    server.post(path, json!({"paused": true}).to_string()).await.problem(403, "forbidden");
    server
        .as_admin(Method::POST, "/api/v1/forwards/is", &json!({"paused": true}))
        .await
        .problem(404, "unknown_forward");
    let audited = server.events("stream=AUDIT&_limit=100").await;
    let names: Vec<&str> = audited.iter().filter_map(|event| event["event"].as_str()).collect();
    assert!(names.contains(&"forward_paused") && names.contains(&"forward_reset"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_asked_whether_it_answers() {
    let stub = Stub::start().await;
    let table =
        |name: &str, to: &str, url: String| format!("[forward.{name}]\nlog = \"a\"\nto = \"{to}\"\nurl = \"{url}\"\n");
    let tables = [
        table("es", "elasticsearch", stub.url()),
        table("otel", "otlp", stub.url()),
        table("hook", "webhook", format!("http://bob:pw@{}/in", stub.address)),
        table("gone", "webhook", format!("http://{}", free_address())),
    ];
    let (server, _folder) = server(&tables.concat()).await;
    for name in ["es", "otel", "hook"] {
        server.cli_ok(&["forward", "test", name]);
    }
    let sent: Vec<(String, String, String)> =
        stub.bodies().into_iter().map(|(path, right, body)| (path, right, String::from_utf8(body).unwrap())).collect();
    let expected = [("/_bulk", "", ""), ("/v1/logs", "", "{\"resourceLogs\":[]}"), ("/in", "Basic Ym9iOnB3", "")];
    assert_eq!(sent, expected.map(|(path, right, body)| (path.to_owned(), right.to_owned(), body.to_owned())));
    let refused = |name: &str| {
        let output = server.cli(&["forward", "test", name]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    stub.seen.lock().unwrap().outages = 1;
    let (code, said) = refused("es");
    assert!(code == Some(1) && said.contains("503") && said.contains("down for a moment"), "{said}");
    let (code, said) = refused("gone");
    assert!(code == Some(1) && said.contains("cannot be reached"), "{said}");
    let (code, said) = refused("hok");
    assert!(code == Some(1) && said.contains("did you mean \"hook\""), "{said}");
    let path = "/api/v1/forwards/es/test";
    let told = server.as_admin(Method::POST, path, &json!({})).await.expect(200);
    assert_eq!((&told["works"], &told["status"]), (&json!(true), &json!(200)), "{told}");
    server.post(path, "").await.problem(403, "forbidden");
    // Nothing of it counts, and doctor knows how far each is.
    assert_eq!(target(&server, "gone").await["failures"], 0);
    server.as_admin(Method::POST, "/api/v1/forwards/hook", &json!({"paused": true})).await.expect(200);
    let position = target(&server, "hook").await["position"].as_u64().unwrap();
    send(&server, "a", 0..3).await;
    assert!(target(&server, "hook").await["behind_events"].as_u64().unwrap() >= 3, "after {position}");
    for _ in ["in the journal", "in a segment"] {
        let said = server.cli_ok(&["doctor"]);
        let line = said.lines().find(|line| line.contains("hook (of the log a)")).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains("paused") && line.contains("events behind, 0 delivered"), "{line}");
        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_before_it_is_forwarded_is_counted_and_told() {
    let (server, _folder) =
        server(&format!("[forward.es]\nlog = \"a\"\nto = \"elasticsearch\"\nurl = \"http://{}\"\n", free_address()))
            .await;
    let old: String = (0..30).map(|n| format!("{{\"n\":{n},\"timestamp\":\"2020-01-01T00:00:00Z\"}}\n")).collect();
    server.post("/api/v1/logs/a/events", old).await.accepted(30, 0);
    send(&server, "a", 30..40).await;
    server.flush().await;
    server.as_admin(Method::PUT, "/api/v1/logs/a", &json!({"retention": "30d"})).await.expect(200);
    let found = until("the count", async || Some(target(&server, "es").await).filter(|one| one["missed"] != 0)).await;
    assert!(found["missed"].as_u64().is_some_and(|missed| missed <= 30) && found["behind_events"] == 10, "{found}");
    until("the message", async || (server.internal("forward_missed").await == 1).then_some(())).await;
}

/// The figures of an outage of a minute: callers' times, how soon all is there again, how long a neighbour waits.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes more than a minute, and prints figures"]
async fn figures_of_an_outage() {
    let (address, healthy) = (free_address(), Stub::start().await);
    let (server, _folder) = server(&format!(
        "[forward.first]\nlog = \"log2\"\nto = \"elasticsearch\"\nurl = \"http://{address}\"\nindex = \"log1\"\n\
         [forward.second]\nlog = \"other\"\nto = \"elasticsearch\"\nurl = \"{}\"\n",
        healthy.url()
    ))
    .await;
    let (mut times, mut waits) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for n in 0..10_000 {
        let sent = Instant::now();
        send(&server, "log2", n..n + 1).await;
        times.push(sent.elapsed());
        if n % 500 == 0 {
            let sent = Instant::now();
            send(&server, "other", n..n + 1).await;
            until("the neighbour", async || healthy.numbers("other").contains(&n).then_some(())).await;
            waits.push(sent.elapsed());
        }
        let due = Duration::from_millis(6) * u32::try_from(n).unwrap();
        tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
    }
    let outage = start.elapsed();
    let stub = Stub::start_at(address, Seen { busy_every: Some(100), ..Seen::default() }).await;
    let back = Instant::now();
    has_all(&stub, "log1", 10_000).await;
    let recovery = back.elapsed();
    times.sort_unstable();
    waits.sort_unstable();
    let said = format!(
        "outage {outage:?}; callers p50 {:?} p99 {:?} max {:?}; all there {recovery:?} after it; neighbour at most {:?}",
        times[5000],
        times[9900],
        times[9999],
        waits.last().unwrap()
    );
    std::io::Write::write_all(&mut std::io::stderr(), format!("{said}\n").as_bytes()).unwrap();
    // What comes in steadily, and how fast a backlog goes.
    for part in 10..110 {
        send(&server, "log2", part * 1000..(part + 1) * 1000).await;
    }
    let start = Instant::now();
    has_all(&stub, "log1", 110_000).await;
    let said = format!("100,000 events were there {:?} after the last was acknowledged\n", start.elapsed());
    std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes()).unwrap();
}
