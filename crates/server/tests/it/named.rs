//! Named logs: keys, fixed fields, shared indexes, visitors, and what is not kept of what they send.

use std::collections::BTreeSet;
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::server::{EVENTS, EVERLOG, Server, ask, program, until};

/// The moment of the frozen clock.
const MOMENT: &str = "2026-01-02T03:04:05Z";

/// A server with this configuration, at that moment.
async fn start(configuration: &str) -> Server {
    start_with(configuration, &[]).await
}

async fn start_with(configuration: &str, variables: &[(&str, &str)]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("everlog.toml"), configuration).unwrap();
    let mut command = program(EVERLOG, folder.path());
    command.env("EVERLOG_TEST_CLOCK", MOMENT).envs(variables.iter().copied());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("data"));
    let data = folder.path().join("data");
    Server::start_by(command, folder, |_| data.clone()).await
}

/// What the server says that does not start with this configuration.
fn refusal(configuration: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("everlog.toml"), configuration).unwrap();
    let mut command = program(EVERLOG, folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{configuration}");
    String::from_utf8(output.stderr).unwrap()
}

async fn events(server: &Server, log: &str, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/api/v1/logs/{log}/events?{query}")).await.expect(200);
    answer.as_array().unwrap().clone()
}

async fn count(server: &Server, log: &str) -> usize {
    events(server, log, "_limit=1000").await.len()
}

/// A visit that must be taken; its event, without what every event has.
async fn visited(server: &Server, log: &str, request: reqwest::RequestBuilder) -> Map<String, Value> {
    let answer = ask(request).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "null"));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let found = events(server, log, &format!("id={}", answer.header("x-event-id"))).await;
    assert_eq!(found.len(), 1, "{found:?}");
    own(&found[0])
}

fn own(event: &Value) -> Map<String, Value> {
    let mut event = event.as_object().unwrap().clone();
    event.retain(|name, _| !["id", "timestamp", "received", "stream", "sequence"].contains(&name.as_str()));
    event
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

const GUIDE: &str = r#"
trusted_proxies = "127.0.0.1"
create_logs = false

[logs.gramexguide]
keys = ["datetime", "user.id", "headers.User-Agent"]
fields = { event = "handler" }
path = "/log"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_of_a_log() {
    let server = start(GUIDE).await;
    let get =
        |path: &str| server.request(Method::GET, path).header("user-agent", "demo/1.0").header("x-everlog-user", "42");
    let mut record = object(&json!({"x": "1", "y": "2", "event": "handler", "datetime": "2026-01-02 03:04:05Z",
        "user.id": "42", "headers.User-Agent": "demo/1.0"}));
    let standard = object(&json!({"user": "42", "user_agent": "demo/1.0"}));
    record.extend(standard.clone());
    assert_eq!(visited(&server, "gramexguide", get("/log?x=1&y=2")).await, record);

    let spoofed = visited(&server, "gramexguide", get("/log?event=spoof")).await;
    assert_eq!(spoofed["event"], "handler");

    let before = count(&server, "gramexguide").await;
    let refused = ask(get("/log?_op_type=delete&_id=1")).await.problem(400, "reserved_name");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("\"_op_type\", \"_id\""), "{detail}");
    assert_eq!(count(&server, "gramexguide").await, before);

    assert_eq!(visited(&server, "gramexguide", get("/log?x=1&x=2")).await["x"], "2");

    let background = r#"{"x":1,"y":2}"#;
    server.post("/api/v1/logs/gramexguide/events", background).await.accepted(1, 0);
    let found = events(&server, "gramexguide", "y=2&user=system").await;
    let mut expected = object(&json!({"x": 1, "y": 2, "datetime": "2026-01-02 03:04:05Z", "user.id": null,
        "headers.User-Agent": null}));
    expected.insert("user".to_owned(), "system".into());
    assert_eq!(own(&found[0]), expected);

    for answer in [
        server.post("/api/v1/logs/nope/events", background).await,
        server.get("/api/v1/logs/nope/events").await,
        server.get("/api/v1/logs/nope").await,
        server.get("/api/v1/logs/nope/tail").await,
    ] {
        let problem = answer.problem(404, "unknown_log");
        assert!(problem["detail"].as_str().unwrap().contains("\"nope\""), "{problem}");
    }
    assert_eq!(count(&server, "gramexguide").await, 4);
    let page = server.get("/api/v1/logs").await.expect(200);
    assert!(!page.to_string().contains("nope"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_the_grammar() {
    let configuration = r#"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
env_allowed = ["REGION", "MISSING"]
[logs.all]
path = "/all"
keys = ["name", "class", "time", "datetime", "method", "uri", "ip", "status", "duration", "port", "user", "session",
  "error", "browser", "args.x", "args.none", "request.method", "request.path", "request.query", "request.uri",
  "request.version", "request.protocol", "request.host", "request.remote_ip", "headers.x-two.dots", "headers.None",
  "cookies.theme", "cookies.none", "user.id", "user.role", "user.address.city", "session.id", "session.age", "env.REGION",
  "env.MISSING"]
"#;
    let server = start_with(configuration, &[("REGION", "eu")]).await;
    let request = server
        .request(Method::POST, "/all?x=1&password=s3")
        .header("user-agent", "demo/1.0")
        .header("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.1")
        .header("x-forwarded-proto", "https")
        .header("x-two.dots", "dotted")
        .header("cookie", "a=b; theme=dark")
        .header("x-everlog-user", r#"{"id":"42","role":"x","address.city":"Kyiv"}"#)
        .header("x-everlog-session", r#"{"id":"s1","age":7}"#)
        .bearer_auth(server.admin_token())
        .body("");
    let record = visited(&server, "all", request).await;
    let port: u16 = server.address().rsplit_once(':').unwrap().1.parse().unwrap();
    let uri = "/all?x=1&password=[REDACTED:password]";
    let expected = json!({
        "name": "all", "class": "visitor", "time": 1_767_323_045_000_i64, "datetime": "2026-01-02 03:04:05Z",
        "method": "POST", "uri": uri, "ip": "203.0.113.9", "status": 200, "duration": 0.0, "port": port, "user": "42", "path": "/all",
        "session": "s1", "error": null, "browser": "demo/1.0", "args.x": "1", "args.none": null,
        "request.method": "POST", "request.path": "/all", "request.query": "x=1&password=[REDACTED:password]",
        "request.uri": uri, "request.version": "HTTP/1.1", "request.protocol": "https",
        "request.host": server.address(), "request.remote_ip": "203.0.113.9", "headers.x-two.dots": "dotted",
        "headers.None": null, "cookies.theme": "dark", "cookies.none": null, "user.id": "42", "user.role": "x",
        "user.address.city": "Kyiv", "session.id": "s1", "session.age": 7, "env.REGION": "eu", "env.MISSING": null,
        "x": "1", "password": "[REDACTED:password]",
    });
    assert_eq!(record, object(&expected));
    for query in ["user=42", "user.id=42", "session=s1", "ip=203.0.113.9", "user.role=x", "status=200"] {
        assert_eq!(events(&server, "all", query).await.len(), 1, "{query}");
    }
}

const OPEN: &str = r#"
[logs.open]
keys = ["ip", "user.id", "session"]
path = "/open"
public_write = true
[logs.lists]
path = "/lists"
arrays = true
[logs.plain]
path = "/a/plain"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_may_come_and_what_is_believed() {
    let server = start(OPEN).await;
    // A stranger: the headers show that somebody passed the request on, and nobody is trusted to.
    let stranger = |method: Method, path: &str| {
        server
            .request(method, path)
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-everlog-user", "admin")
            .header("x-everlog-session", "s1")
    };
    let record = visited(&server, "open", stranger(Method::GET, "/open?x=1")).await;
    let expected = json!({"x": "1", "ip": "127.0.0.1", "user.id": null, "session": null, "user": "system"});
    assert_eq!(record, object(&expected));
    // With a token for this log the word counts.
    let known = stranger(Method::GET, "/open?x=2").bearer_auth(server.admin_token());
    assert_eq!(visited(&server, "open", known).await["user.id"], "admin");
    // A token of the page itself is none of our business where everybody may write.
    visited(&server, "open", stranger(Method::GET, "/open?x=3").basic_auth("somebody", Some("else"))).await;

    for path in ["/a/plain", "/lists"] {
        ask(stranger(Method::GET, path)).await.problem(401, "token_needed");
        ask(stranger(Method::POST, path).bearer_auth("0")).await.problem(401, "unknown_token");
    }
    visited(&server, "plain", server.request(Method::GET, "/a/plain")).await;
    assert_eq!((count(&server, "open").await, count(&server, "plain").await, count(&server, "lists").await), (3, 1, 0));
    ask(stranger(Method::DELETE, "/open")).await.problem(405, "method_not_allowed");
    ask(stranger(Method::GET, "/opened")).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin() {
    let server = start(OPEN).await;
    let preflight = |path: &str| {
        server
            .request(Method::OPTIONS, path)
            .header("origin", "https://shop.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
    };
    let answer = ask(preflight("/open")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, "*"));
    assert_eq!(answer.header("access-control-allow-methods"), "GET, POST");
    assert_eq!(
        (answer.header("access-control-allow-headers"), answer.header("access-control-allow-credentials")),
        ("*", "")
    );
    ask(preflight("/lists")).await.problem(405, "method_not_allowed");

    let post = |path: &str, kind: &str, body: &str| {
        let request = server.request(Method::POST, path).header("origin", "https://shop.example");
        request.header("content-type", kind).body(body.to_owned())
    };
    let sent = r#"{"message":"x is undefined","level":"error","n":1.50,"deep":{"a":[1,null]}}"#;
    for kind in ["application/json", "text/plain;charset=UTF-8", "application/csp-report+json"] {
        let record = visited(&server, "open", post("/open", kind, sent)).await;
        assert_eq!(
            (&record["message"], &record["level"], &record["deep"]),
            (&json!("x is undefined"), &json!("error"), &json!({"a": [1, null]}))
        );
        assert_eq!(record["n"], 1.5);
    }
    let refused = ask(post("/open", "application/json", "{\"user\":1}")).await;
    refused.problem(400, "reserved_name");
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    let closed = ask(post("/lists", "application/json", sent)).await;
    closed.problem(401, "token_needed");
    assert_eq!(closed.header("access-control-allow-origin"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_what_they_hold() {
    let server = start(OPEN).await;
    let form = |path: &str, body: &str| {
        let request = server.request(Method::POST, path);
        request.header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())
    };
    let check = async |log: &str, path: &str, body: &str, expected: Value| {
        let mut record = visited(&server, log, form(path, body)).await;
        record.retain(|name, _| name != "user");
        assert_eq!(record, object(&expected), "{path} {body}");
    };
    check("plain", "/a/plain?x=1", "x=2&%E9%AB%98=%CF%83&%D8%B3=", json!({"x": "2", "高": "σ", "س": ""})).await;
    check("lists", "/lists?x=1", "x=2&y=3", json!({"x": ["1", "2"], "y": "3"})).await;
    check("plain", "/a/plain", "", json!({})).await;
    check(
        "plain",
        "/a/plain?token=s3",
        "password=s3&api-key=s3&new_password=s3&name=b",
        json!({"token": "[REDACTED:token]", "password": "[REDACTED:password]", "api-key": "[REDACTED:api_key]",
            "new_password": "[REDACTED:password]", "name": "b"}),
    )
    .await;
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("everlog_redacted_total{log=\"plain\",key=\"password\"} 2"), "{metrics}");
    let stored = count(&server, "plain").await;

    let refuse = async |request: reqwest::RequestBuilder, status: u16, kind: &str| {
        ask(request).await.problem(status, kind);
    };
    refuse(form("/a/plain", &"a=1&".repeat(201)), 400, "too_many_arguments").await;
    refuse(form("/a/plain", &format!("{}=1", "n".repeat(257))), 400, "argument_too_long").await;
    refuse(form("/a/plain", &format!("x={}", "n".repeat(33 << 10))), 400, "argument_too_long").await;
    refuse(form("/a/plain", &format!("x={}", "n".repeat(65 << 10))), 413, "too_large").await;
    let multipart = server.request(Method::POST, "/a/plain").header("content-type", "multipart/form-data; boundary=x");
    let told = ask(multipart.body("--x")).await.problem(415, "media_type");
    assert!(told["detail"].as_str().unwrap().contains("application/x-www-form-urlencoded"), "{told}");
    assert_eq!(count(&server, "plain").await, stored);
    let metrics = server.get("/metrics").await.text();
    for (reason, refused) in [("too_many_arguments", 1), ("argument_too_long", 2), ("too_large", 1), ("media_type", 1)]
    {
        let line = format!("everlog_events_refused_total{{log=\"plain\",reason=\"{reason}\"}} {refused}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_logs_in_one() {
    let configuration = r#"
[logs.log1]
keys = ["time"]
[logs.log2]
index = "log1"
keys = ["datetime", "user.id"]
"#;
    let mut server = start(configuration).await;
    server.post("/api/v1/logs/log1/events", r#"{"n":1}"#).await.accepted(1, 0);
    server.post("/api/v1/logs/log2/events", r#"{"n":2,"id":"two"}"#).await.accepted(1, 0);
    server.post("/api/v1/logs/log1/events", r#"{"n":2,"id":"two"}"#).await.accepted(1, 1);
    let check = async |server: &Server| {
        for log in ["log1", "log2"] {
            let found = events(server, log, "_sort=n&n").await;
            let names: Vec<BTreeSet<String>> = found.iter().map(|event| own(event).keys().cloned().collect()).collect();
            let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
            assert_eq!(names, [set(&["n", "time", "user"]), set(&["n", "datetime", "user", "user.id"])]);
        }
        let sql = server.post("/api/v1/query", r#"{"sql":"SELECT count(*) AS n FROM log2"}"#).await.expect(200);
        assert_eq!(sql["rows"][0]["n"], 2);
    };
    check(&server).await;
    server.flush().await;
    check(&server).await;
    // Under two names it is one log.
    let timeline = server.get("/api/v1/users/system/events?n").await.expect(200);
    let logs: Vec<&Value> = timeline.as_array().unwrap().iter().map(|event| &event["_log"]).collect();
    assert_eq!(logs, ["log1", "log1"]);
    let held = server.get("/api/v1/logs/log2").await.expect(200);
    assert_eq!(
        (&held["index"], &held["events"], &held["in_file"]),
        (&json!("log1"), &json!(0), &json!(["index", "keys"]))
    );
    let list = server.cli_ok(&["logs"]);
    assert!(list.lines().any(|line| line.starts_with("log2") && line.contains("in log1")), "{list}");
    let wrong = server.as_admin(Method::PUT, "/api/v1/logs/log2", &json!({"retention": "1d"})).await;
    wrong.problem(400, "log_setting");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_at_runtime() {
    let mut server = Server::start().await;
    let put = async |server: &Server, log: &str, settings: Value| -> Answer {
        server.as_admin(Method::PUT, &format!("/api/v1/logs/{log}"), &settings).await
    };
    server.get("/shop").await.problem(404, "not_found");
    let settings = json!({"keys": ["method"], "fields": {"event": "visit", "n": 1.5, "yes": true}, "path": "/shop", "redact": ["card"]});
    let shown = put(&server, "shop", settings.clone()).await.expect(200);
    for (name, value) in settings.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{shown}");
    }
    let wrong = [
        ("shop", json!({"keys": ["methd"]}), "did you mean \\\"method\\\"?"),
        ("shop", json!({"kys": []}), "did you mean \\\"keys\\\"?"),
        ("shop", json!({"kys": null}), "did you mean \\\"keys\\\"?"),
        ("shop", json!({"keys": "method"}), "expected a list"),
        ("shop", json!({"keys": ["env.HOME"]}), "env_allowed"),
        ("shop", json!({"fields": {"method": "x"}}), "in keys and in fields"),
        ("shop", json!({"fields": {"x": [1]}}), "is a text, a number"),
        ("shop", json!({"fields": {"_x": 1}}), "cannot be a fixed field"),
        ("shop", json!({"index": "shop"}), "the log itself"),
        ("shop", json!({"index": "nothing"}), "there is no log"),
        ("shop", json!({"path": "/api/v1/x"}), "a door of Everlog itself"),
        ("shop", json!({"path": null, "public_write": true}), "set its path"),
        ("shop", json!({"redact": ["id"]}), "cannot be replaced"),
        ("other", json!({"path": "/shop"}), "that of the log"),
        ("default", json!({"index": "shop"}), "holds"),
    ];
    server.send(&json!({"n": 1})).await;
    for (log, settings, detail) in wrong {
        let answer = put(&server, log, settings.clone()).await;
        answer.problem(400, "log_setting");
        assert!(answer.text().contains(detail), "{settings}: {}", answer.text());
    }
    let list = server.get("/api/v1/logs").await.expect(200);
    let names: Vec<&str> = list.as_array().unwrap().iter().filter_map(|log| log["name"].as_str()).collect();
    assert_eq!(names, ["default", "shop"], "what is refused makes no log");

    let visit = async |server: &Server| {
        let record = visited(server, "shop", server.request(Method::GET, "/shop?card=4111&x=1")).await;
        let expected = json!({"card": "[REDACTED:card]", "x": "1", "method": "GET", "event": "visit", "n": 1.5, "yes": true, "user": "system"});
        assert_eq!(record, object(&expected));
    };
    visit(&server).await;
    server.kill9();
    server.restart().await;
    visit(&server).await;
    put(&server, "shop", json!({"path": null})).await.expect(200);
    server.get("/shop").await.problem(404, "not_found");
    let shown = server.cli_ok(&["logs", "show", "shop"]);
    assert!(shown.lines().any(|line| line.starts_with("keys") && line.ends_with("set at runtime")), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_says_holds() {
    let folder = "[logs.shop]\nkeys = [\"method\"]\nretention = \"400d\"\narchive_bytes = \"1GiB\"\n";
    let mut server = start_with("", &[]).await;
    let put = server.as_admin(Method::PUT, "/api/v1/logs/shop", &json!({"keys": ["time"], "path": "/shop"})).await;
    put.expect(200);
    server.stop().await;
    std::fs::write(server.folder().join("everlog.toml"), folder).unwrap();
    server.restart().await;
    let shown = server.get("/api/v1/logs/shop").await.expect(200);
    assert_eq!(
        (&shown["keys"], &shown["path"], &shown["in_file"]),
        (&json!(["method"]), &json!("/shop"), &json!(["retention", "archive_bytes", "keys"]))
    );
    until("the message", async || (server.internal("log_settings_in_file").await == 1).then_some(())).await;
    let refused = server.as_admin(Method::PUT, "/api/v1/logs/shop", &json!({"keys": []})).await;
    refused.problem(409, "in_file");
    for held in [json!({"retention": "5d"}), json!({"archive_bytes": 0})] {
        server.as_admin(Method::PUT, "/api/v1/logs/shop", &held).await.problem(409, "in_file");
    }
    server.as_admin(Method::PUT, "/api/v1/logs/shop", &json!({"archive_after": "9d"})).await.expect(200);
    server.stop().await;
    std::fs::write(server.folder().join("everlog.toml"), "[logs.other]\npath = \"/shop\"\n").unwrap();
    server.restart().await;
    until("the message", async || (server.internal("log_settings_left_out").await == 1).then_some(())).await;
    visited(&server, "other", server.request(Method::GET, "/shop")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_kept_is_not_kept_by_any_door() {
    let server = start("[logs.default]\nredact = [\"card\", \"password\"]\n[logs.via]\nindex = \"default\"\n").await;
    let secret = "4111-1111";
    let sent =
        json!({"card": secret, "order": {"Card": {"number": secret}}, "items": [{"card": secret}], "a.card": secret});
    server.post(EVENTS, sent.to_string()).await.accepted(1, 0);
    let entry = json!({"message": {"password": secret, "n": 1}, "dict_to_string": true, "fields": {"card": secret}});
    server.post("/api/v1/logs/via/entries", entry.to_string()).await.accepted(1, 0);
    server.flush().await;
    let found = &server.events("order.Card").await[0];
    let expected = json!({"card": "[REDACTED:card]", "order": {"Card": "[REDACTED:card]"},
        "items": [{"card": "[REDACTED:card]"}], "a.card": "[REDACTED:card]", "user": "system"});
    assert_eq!(own(found), object(&expected));
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("everlog_redacted_total{log=\"default\",key=\"card\"} 4"), "{metrics}");
    // The log that keeps the events has the word, whichever name they came under.
    assert!(metrics.contains("everlog_redacted_total{log=\"via\",key=\"password\"} 2"), "{metrics}");
    let mut folders = vec![server.data().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!is_there, "{}", entry.path().display());
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_is_refused() {
    let check = |configuration: &str, expected: &str| {
        let said = refusal(configuration);
        assert!(said.contains(expected), "{configuration}: {said}");
    };
    check("[logs.a]\nkeys = [\"header.User-Agent\"]", "did you mean \"headers.User-Agent\"?");
    check("[logs.a]\nkeys = [\"env.HOME\"]", "env_allowed");
    check("[logs.a]\npaths = \"/a\"", "did you mean \"path\"?");
    check("[logs.a]\npath = \"/a\"\n[logs.b]\npath = \"/a\"", "that of the log \"a\" already");
    check("[logs.a]\npath = \"/healthz\"", "a door of Everlog itself");
    check("[logs.a]\nindex = \"b\"\n[logs.b]\nindex = \"a\"", "leads on to");
    check("[logs.a]\nindex = \"c\"", "there is no log \"c\"");
    check("[logs.a]\nindex = \"b\"\n[logs.b]\nindex = \"d\"\n[logs.d]\n", "leads on to \"d\"");
    check("trusted_proxies = \"localhost\"", "10.0.0.0/8");
    check("user_header = \"a b\"", "X-Everlog-User");
}
