//! What an error is written as.

use engine::PassedError;
use serde_json::{Value, json};

use super::{envelope, event_of};

const ID: &str = "0198C6f0-0000-7000-8000-00000000000a";

#[track_caller]
fn check(id: &str, occurrence: &Value, expected: &Value) {
    let error = PassedError { log: "shop".to_owned(), sequence: 7, id: id.to_owned() };
    assert_eq!(event_of(&error, occurrence), *expected);
}

#[test]
fn all_that_is_known() {
    let occurrence = json!({
        "timestamp": "2026-01-02T03:04:05.000000Z", "level": "critical", "message": "no", "release": "1.1",
        "environment": "production", "host": "web-1", "method": "GET", "path": "/pay", "status": 500,
        "user_agent": "curl/8", "person": { "id": "7" }, "trace_id": "x",
        "exception": {
            "type": "ValueError", "message": "no", "handled": false,
            "chain": [{ "type": "ValueError", "message": "no" }, { "type": "KeyError", "message": "'sku'" }],
            "frames": [{ "function": "pay", "file": "app/pay.py", "line": 7, "in_app": true }],
        },
        "breadcrumbs": [{ "timestamp": "2026-01-02T03:04:04.000000Z", "category": "INFO", "level": null,
            "message": "POST /login", "event": "a" }],
        "event_document": {},
    });
    check(
        ID,
        &occurrence,
        &json!({
            "event_id": "0198c6f000007000800000000000000a",
            "timestamp": "2026-01-02T03:04:05.000000Z", "platform": "python", "level": "fatal", "release": "1.1",
            "environment": "production", "server_name": "web-1", "transaction": "/pay",
            "logentry": { "formatted": "no" },
            "exception": { "values": [
                { "type": "KeyError", "value": "'sku'" },
                { "type": "ValueError", "value": "no", "mechanism": { "type": "generic", "handled": false },
                  "stacktrace": { "frames": [{ "function": "pay", "filename": "app/pay.py", "lineno": 7, "in_app": true }] } },
            ] },
            "request": { "url": "/pay", "method": "GET", "headers": { "User-Agent": "curl/8" } },
            "user": { "id": "7" },
            "tags": { "log": "shop", "status": "500" },
            "breadcrumbs": { "values": [{ "timestamp": "2026-01-02T03:04:04.000000Z", "category": "INFO",
                "message": "POST /login", "data": { "event": "a" } }] },
            "extra": { "everlog": { "log": "shop", "id": ID } },
        }),
    );
}

#[test]
fn what_a_client_of_the_protocol_sent_goes_on() {
    let sent = json!({ "exception": { "values": [] }, "contexts": { "a": null }, "level": "error" });
    let mut expected = sent.clone();
    expected["event_id"] = "0198c6f000007000800000000000000a".into();
    check(ID, &json!({ "exception": { "type": "X" }, "event_document": { "sentry": sent } }), &expected);
}

#[test]
fn an_id_of_another_kind_becomes_one_and_the_same() {
    let error = PassedError { log: "shop".to_owned(), sequence: 7, id: "order 7".to_owned() };
    let id = event_of(&error, &json!({}))["event_id"].clone();
    assert_eq!(id.as_str().map(str::len), Some(32));
    assert_eq!(event_of(&error, &json!({}))["event_id"], id);
}

#[test]
fn an_envelope_has_three_lines() {
    let message = envelope(&json!({ "event_id": "a", "message": "ü\n" }), "key");
    let body = String::from_utf8(message.body).unwrap();
    let lines: Vec<&str> = body.lines().collect();
    let item: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!((lines.len(), item["length"].as_u64()), (3, Some(lines[2].len() as u64)));
    let [(name, auth)] = &message.headers[..] else { panic!("one header") };
    assert_eq!(name, "X-Sentry-Auth");
    assert!(auth.starts_with("Sentry sentry_version=7, sentry_client=everlog/"), "{auth}");
    assert!(auth.ends_with(", sentry_key=key"), "{auth}");
}
