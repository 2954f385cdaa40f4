//! No planted secret reaches the disk: doors × places, then every byte below the data directory.

mod elsewhere;

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{EVENTS, EVERLOG, Server, ask, program};

/// Texts that must not be found anywhere, each in places of its own.
pub(crate) const SECRETS: [&str; 8] = [
    "hunter2planted",
    "Zm9vYmFyplanted1",
    "4111 1111 1111 1111",
    "4111111111111111",
    "pw7urlplanted",
    "planted@mail.example",
    "planted%40mail.example",
    "cookieplanted9",
];

/// A private key's lines.
const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIplantedkeybytes0001\n-----END RSA PRIVATE KEY-----";

fn texts() -> Value {
    let json = json!({"user": {"password": "hunter2planted"}, "list": [{"api_key": "hunter2planted"}]}).to_string();
    json!([
        "login with password=hunter2planted failed",
        "sent Authorization: Bearer Zm9vYmFyplanted1",
        "paid with 4111 1111 1111 1111",
        "connect to postgres://bob:pw7urlplanted@db/shop",
        "GET /checkout?email=planted@mail.example&step=3",
        "see https://shop.example/?mail=planted%40mail.example",
        format!("key {KEY}"),
        "{'password': 'hunter2planted', 'user': 'bob'}",
        json,
    ])
}

/// An event with secrets in every place where applications put them.
pub(crate) fn planted() -> Value {
    let headers = json!({"Authorization": "Bearer Zm9vYmFyplanted1", "Cookie": "sid=cookieplanted9", "From": "planted@mail.example"});
    let frames = json!([{"function": "f", "vars": {"password": "'hunter2planted'", "form": "{'token': 'hunter2planted'}"},
        "pre_context": ["password = 'hunter2planted'"]}]);
    json!({
        "message": texts()[0], "password": "hunter2planted", "nested": {"deep": [{"client_secret": "hunter2planted"}]},
        "texts": texts(), "card": 4_111_111_111_111_111_i64, "private": KEY,
        "url": "https://bob:pw7urlplanted@shop.example/?email=planted@mail.example",
        "path": "/checkout?email=planted%40mail.example&password=hunter2planted",
        "request": {"headers": headers, "query_string": "token=hunter2planted&mail=planted@mail.example",
            "data": {"email": "planted@mail.example", "password": "hunter2planted"}, "cookies": {"sid": "cookieplanted9"}},
        "headers": [["Authorization", "Basic Zm9vYmFyplanted1"], ["Cookie", "sid=cookieplanted9"]],
        "har": [{"name": "Cookie", "value": "sid=cookieplanted9"}],
        "breadcrumbs": [{"message": texts()[1], "data": {"url": "/?mail=planted@mail.example", "to": "/a?b=planted@mail.example"}}],
        "exception": {"frames": frames}, "body": texts()[8], "http.request.header.authorization": "Bearer Zm9vYmFyplanted1",
    })
}

/// What a browser and a server send to Google Analytics: the parameters of an address, and a body.
fn measured() -> (String, Value) {
    let event = planted();
    let address = form_urlencoded::Serializer::new("/g/collect?v=2&tid=G-SHOP&cid=1.2&en=page_view".to_owned())
        .append_pair("dl", event["url"].as_str().unwrap())
        .append_pair("dr", "https://shop.example/?mail=planted@mail.example")
        .append_pair("ep.password", "hunter2planted")
        .append_pair("ep.note", texts()[0].as_str().unwrap())
        .append_pair("up.api_key", "hunter2planted")
        .finish();
    let params = json!({"page_location": event["url"], "password": "hunter2planted", "texts": texts(), "items": [{"token": "hunter2planted"}]});
    let body = json!({"client_id": "1.2", "user_properties": {"secret": {"value": "hunter2planted"}},
        "events": [{"name": "page_view", "params": params}]});
    (address, body)
}

/// What clients of Application Insights send.
fn tracked() -> Value {
    let event = planted();
    let envelope = |kind: &str, data: Value| {
        json!({"name": "x", "time": "2026-01-01T00:00:00Z", "tags": {"ai.location.ip": "203.0.113.9"},
        "data": {"baseType": kind, "baseData": data}})
    };
    let properties = json!({"password": "hunter2planted", "url": event["url"], "note": texts()[8], "http.request.header.cookie": "sid=cookieplanted9"});
    json!([
        envelope("MessageData", json!({"message": texts()[0], "properties": properties})),
        envelope(
            "ExceptionData",
            json!({"exceptions": [{"typeName": "E", "message": texts()[1], "stack": texts()[6]}], "properties": properties})
        ),
        envelope(
            "RequestData",
            json!({"name": "GET /checkout", "url": event["url"], "responseCode": "500", "duration": "00:00:00.1", "properties": properties})
        ),
        envelope("RemoteDependencyData", json!({"name": "SQL", "data": texts()[3], "target": event["url"]})),
        envelope(
            "PageViewData",
            json!({"name": "Pay", "url": event["url"], "refUri": "https://shop.example/?mail=planted@mail.example"})
        ),
        envelope("EventData", json!({"name": "Paid", "properties": properties})),
    ])
}

/// A door: its name, path, content type and what is sent there.
fn doors() -> Vec<(&'static str, String, &'static str, String)> {
    let json = "application/json";
    let event = planted();
    let attributes = json!([
        {"key": "http.url", "value": {"stringValue": event["url"]}},
        {"key": "http.request.header.cookie", "value": {"stringValue": "sid=cookieplanted9"}},
        {"key": "password", "value": {"stringValue": "hunter2planted"}},
        {"key": "note", "value": {"stringValue": texts()[5]}},
    ]);
    let record =
        json!({"timeUnixNano": "1767225600000001000", "body": {"stringValue": texts()[3]}, "attributes": attributes});
    let otlp = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]});
    let sentry = json!({"event_id": "0123456789abcdef0123456789abcdef", "level": "error", "message": texts()[0], "extra": event,
        "request": event["request"], "breadcrumbs": {"values": event["breadcrumbs"]},
        "exception": {"values": [{"type": "E", "value": texts()[1], "stacktrace": {"frames": event["exception"]["frames"]}}]}});
    let rollbar = json!({"data": {"level": "error", "request": event["request"], "custom": event,
        "body": {"trace": {"exception": {"class": "E", "message": texts()[2]}, "frames": [{"method": "f",
            "locals": {"password": "hunter2planted"}}]}}}});
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("msg", texts()[0].as_str().unwrap())
        .append_pair("levelname", "ERROR")
        .append_pair("password", "hunter2planted")
        .append_pair("url", event["url"].as_str().unwrap())
        .append_pair("exc_text", texts()[4].as_str().unwrap())
        .finish();
    let mut fields = event.clone();
    fields.as_object_mut().unwrap().shift_remove("message");
    let entry = json!({"message": texts()[0], "fields": fields});
    let gelf = json!({"version": "1.1", "host": "h", "short_message": texts()[0], "_password": "hunter2planted", "_url": event["url"]});
    let (browser, sent) = measured();
    vec![
        ("native", EVENTS.to_owned(), json, event.to_string()),
        ("entries", "/api/v1/logs/default/entries".to_owned(), json, entry.to_string()),
        (
            "visitor",
            "/visit?password=hunter2planted&mail=planted@mail.example".to_owned(),
            json,
            json!({"body": texts()[8], "texts": texts()}).to_string(),
        ),
        ("records", "/api/v1/logs/default/records".to_owned(), "application/x-www-form-urlencoded", form),
        (
            "elasticsearch",
            "/es/default/_bulk".to_owned(),
            "application/x-ndjson",
            format!("{{\"index\":{{}}}}\n{event}\n"),
        ),
        ("gelf", "/gelf".to_owned(), json, gelf.to_string()),
        (
            "sentry",
            "/api/1/envelope/".to_owned(),
            "application/x-sentry-envelope",
            format!("{{}}\n{{\"type\":\"event\"}}\n{sentry}\n"),
        ),
        ("rollbar", "/api/1/item/".to_owned(), json, rollbar.to_string()),
        ("otlp", "/v1/logs".to_owned(), json, otlp.to_string()),
        ("azure", "/v2.1/track".to_owned(), json, tracked().to_string()),
        ("ga4", "/mp/collect?measurement_id=G-SHOP".to_owned(), json, sent.to_string()),
        ("gtag", browser, "text/plain", String::new()),
    ]
}

/// Every file below a folder that has one of the secrets in it, and which.
fn leaks(folder: &Path) -> Vec<String> {
    files_with(folder, &[&SECRETS[..], &["MIIplantedkeybytes0001"]].concat())
}

/// Every file below a folder that has one of these texts in it, and which.
pub(crate) fn files_with(folder: &Path, texts: &[&'static str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = std::fs::read(entry.path()).unwrap();
            let held = texts.iter().filter(|text| holds(&bytes, text));
            found.extend(held.map(|text| format!("{}: {text}", entry.path().display())));
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

pub(crate) fn secrets_in(bytes: &[u8]) -> impl Iterator<Item = &'static str> {
    SECRETS.into_iter().chain(["MIIplantedkeybytes0001"]).filter(|secret| holds(bytes, secret))
}

async fn start(configuration: &str) -> Server {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("everlog.toml"), configuration).unwrap();
    let data = folder.path().join("data");
    let mut command = program(EVERLOG, folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    Server::start_by(command, folder, |_| data.clone()).await
}

async fn plant(server: &Server) {
    for (door, path, kind, body) in doors() {
        let token = server.admin_token();
        let request = server.request(Method::POST, &path).bearer_auth(&token).header("content-type", kind);
        let request = request.header("referer", "https://shop.example/?mail=planted@mail.example").body(body);
        let answer = ask(request).await;
        assert!((200..300).contains(&answer.status), "{door}: {} {}", answer.status, answer.text());
        // What cannot be taken is not written down either.
        let broken = "{\"password\":\"hunter2planted\" broken";
        let request = server.request(Method::POST, &path).bearer_auth(&token).header("content-type", kind).body(broken);
        drop(ask(request).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_disk_through_any_door() {
    let keys = "keys = [\"request.uri\", \"headers.Referer\", \"headers.Authorization\", \"args.mail\"]";
    let listen = "listen_syslog = \"127.0.0.1:0\"\nlisten_gelf = \"127.0.0.1:0\"";
    let logs = format!("[logs.visits]\npath = \"/visit\"\n{keys}\n[logs.shop]\nga4 = \"G-SHOP\"");
    let mut server = start(&format!("tree = true\n{listen}\n{logs}\n")).await;
    plant(&server).await;
    elsewhere::plant_by_syslog(&server).await;
    elsewhere::plant_by_gelf(&server).await;
    elsewhere::plant_in_a_followed_file(&server).await;
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("everlog_redacted_total{log=\"default\",key=\"password\"}"), "{metrics}");
    // As it is in the journal.
    server.kill9();
    assert_eq!(leaks(server.folder()), [""; 0]);
    server.restart().await;
    for log in ["default", "visits", "shop"] {
        let events = server.get(&format!("/api/v1/logs/{log}/events?_limit=1000")).await;
        let events = events.text();
        assert_eq!(secrets_in(events.as_bytes()).collect::<Vec<_>>(), [""; 0], "{log}: {events}");
        assert!(events.contains("[REDACTED:password]") && events.contains("[REDACTED:email]"), "{log}: {events}");
    }
    server.flush().await;
    server.stop().await;
    assert_eq!(leaks(server.folder()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_would_do_is_shown() {
    let server = start("redact = \"off\"\n").await;
    server.send(&json!({"password": "hunter2planted", "message": "TCK-123456", "user": "bob"})).await;
    server.send(&json!({"message": "nothing"})).await;
    assert!(server.cli_ok(&["redact", "--test"]).is_empty(), "nothing goes at the level of the log");
    let shown = server.cli_ok(&["redact", "--test", "--level", "strict", "--pattern", "ticket=TCK-[0-9]{6}"]);
    for expected in
        ["identity", "password", "ticket", "hunter2planted", "[REDACTED:password]", "[REDACTED:ticket]", "anon:"]
    {
        assert!(shown.contains(expected), "{shown}");
    }
    let json = server.cli_ok(&["redact", "--test", "--level", "standard", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["events"], &json["changed"], &json["rules"]["password"]["values"]),
        (&json!(2), &json!(1), &json!(1))
    );
    for (arguments, expected) in [
        (&["redact"][..], "--test"),
        (&["redact", "--test", "--pattern", "x=("], "at character 1"),
        (&["redact", "--test", "--level", "much"], "off, standard and strict"),
    ] {
        let output = server.cli(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let set = server.cli_ok(&["logs", "set", "shop", "redact=strict"]);
    assert!(
        set.lines().any(|line| line.starts_with("redact") && line.contains("strict") && line.contains("runtime")),
        "{set}"
    );
    assert!(server.data().join("redact.key").try_exists().unwrap());
    assert_eq!(server.cli(&["logs", "set", "shop", "redact={\"patterns\":{\"x\":\"(\"}}"]).status.code(), Some(1));
}
