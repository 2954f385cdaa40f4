//! Envelopes that SDKs sent, and what becomes of them.

use event::{Timestamp, parse_uuid};
use intake::Limits;
use intake::sentry::{Envelope, envelope, store};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::native::{RECEIVED, documents};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../fixtures/sentry/", $name, ".envelope"))
    };
}

fn read(body: &[u8]) -> Envelope<'_> {
    let received = Timestamp::parse(RECEIVED).unwrap().0;
    let read = envelope(body, Limits::default(), 1000, received);
    let decoded = &read.decoded;
    assert_eq!(decoded.received, decoded.batch.len() + decoded.refused_count(), "nothing vanishes");
    read
}

/// Its events, of which there are so many, and none refused.
fn events(body: &[u8], count: usize) -> Vec<Value> {
    let read = read(body);
    assert_eq!((read.decoded.refused.as_slice(), read.decoded.batch.len()), (&[][..], count));
    documents(&read.decoded)
}

/// The payload of the item at this place.
fn payload(body: &[u8], item: usize) -> Value {
    let line = body.split(|byte| *byte == b'\n').nth(2 + 2 * item).unwrap();
    serde_json::from_slice(line).unwrap()
}

/// The values of these keys.
fn of(event: &Value, keys: &[&str]) -> Vec<Value> {
    keys.iter().map(|key| event.pointer(&format!("/{}", key.replace('.', "/"))).cloned().unwrap_or_default()).collect()
}

#[test]
fn an_exception_of_django() {
    let body = fixture!("django-exception");
    let event = &events(body, 1)[0];
    let keys = ["event", "level", "stream", "message", "user", "ip", "method", "path", "user_agent", "request_id"];
    let expected = [
        "exception",
        "error",
        "ERROR",
        "Stock: no stock for order 7: 日本",
        "7",
        "203.0.113.9",
        "GET",
        "/pay/7",
        "shopper/1.0",
        "req-django-1",
    ];
    assert_eq!(of(event, &keys), expected);
    assert_eq!(of(event, &["release", "environment", "host"]), ["shop@1.4.2", "production", "web1"]);
    assert!(event["url"].as_str().unwrap().ends_with("/pay/7?m=mk1&q=h%C3%A9"), "{}", event["url"]);
    assert_eq!(event["timestamp"], event["sentry"]["timestamp"]);
    assert_eq!(event["trace_id"], event["sentry"]["contexts"]["trace"]["trace_id"]);
    assert_eq!(event["span_id"], event["sentry"]["contexts"]["trace"]["span_id"]);
    assert_eq!(event["id"].as_str().unwrap().replace('-', ""), event["sentry"]["event_id"].as_str().unwrap());
    let exception = &event["exception"];
    assert_eq!(
        of(exception, &["type", "message", "handled"]),
        [json!("Stock"), json!("no stock for order 7: 日本"), json!(false)]
    );
    assert_eq!(
        exception["chain"],
        json!([
            { "type": "Stock", "message": "no stock for order 7: 日本" },
            { "type": "KeyError", "message": "'grün'" },
        ])
    );
    let frames = exception["frames"].as_array().unwrap();
    assert_eq!(frames[0]["function"], "inner");
    assert_eq!(
        frames.last().unwrap(),
        &json!({ "function": "pay", "module": "app", "file": "app.py", "line": 60, "in_app": true })
    );
    assert_eq!(event["sentry"], payload(body, 0), "the payload is kept as it was sent");
}

#[test]
fn an_exception_and_a_message_of_node() {
    let body = fixture!("node-exception");
    let event = &events(body, 1)[0];
    assert_eq!(
        of(event, &["event", "user", "request_id", "user_agent"]),
        ["exception", "7", "req-node-1", "shopper/1.0"]
    );
    assert!(
        event["url"].as_str().unwrap().ends_with("/pay?m=mk1&q=h%C3%A9"),
        "the query stands there once: {}",
        event["url"]
    );
    assert_eq!(
        event["exception"]["chain"],
        json!([
            { "type": "StockError", "message": "no stock: 日本" },
            { "type": "TypeError", "message": "no such sku: grün" },
        ])
    );
    let raised = event["exception"]["frames"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        of(&raised, &["function", "line", "column", "in_app"]),
        [json!("pay"), json!(20), json!(11), json!(true)]
    );
    assert_eq!(event["timestamp"], "2026-11-22T04:02:09.543000Z");
    assert_eq!(event["sentry"], payload(body, 0));

    let event = &events(fixture!("node-message"), 1)[0];
    assert_eq!(
        of(event, &["event", "level", "message", "exception.type"]),
        [json!("message"), json!("warning"), json!("cart is odd"), Value::Null]
    );
    assert!(event["exception"]["frames"].is_array(), "the stack of a message is kept");
    let event = &events(fixture!("node-feedback"), 1)[0];
    assert_eq!(of(event, &["event", "level", "message", "user"]), ["feedback", "info", "I like tea", "7"]);
}

#[test]
fn a_transaction_and_its_spans() {
    let body = fixture!("django-transaction");
    let events = events(body, 5);
    let transaction = &events[0];
    assert_eq!(
        of(transaction, &["event", "stream", "message", "user", "method"]),
        ["transaction", "SPAN", "/pay/{n}", "7", "GET"]
    );
    assert_eq!(
        of(transaction, &["status", "duration_ms", "timestamp"]),
        [json!(500), json!(106.599), transaction["sentry"]["start_timestamp"].clone()]
    );
    let sent = payload(body, 0);
    let mut own = sent.clone();
    own.as_object_mut().unwrap().remove("spans");
    assert_eq!(transaction["sentry"], own, "its spans stand for themselves");
    for (span, sent) in events[1..].iter().zip(sent["spans"].as_array().unwrap()) {
        assert_eq!(of(span, &["event", "stream", "user", "release"]), ["span", "SPAN", "7", "shop@1.4.2"]);
        assert_eq!(of(span, &["trace_id", "span_id"]), of(sent, &["trace_id", "span_id"]));
        assert_eq!(span["sentry"], *sent);
        assert_eq!(span["sentry"]["parent_span_id"], transaction["span_id"]);
    }
    assert_eq!(of(&events[3], &["message", "duration_ms"]), [json!("select stock"), json!(16.502)]);
}

#[test]
fn containers_of_spans_logs_and_metrics() {
    let spans = events(fixture!("node-spans"), 5);
    let first = &spans[0];
    assert_eq!(
        of(first, &["event", "stream", "message", "method", "path", "status"]),
        [json!("span"), json!("SPAN"), json!("GET"), json!("GET"), json!("/pay"), json!(500)]
    );
    assert_eq!(of(first, &["user", "request_id", "trace_id"]), ["7", "req-node-1", "287f841eb22e4a8dab94c876fdda489b"]);
    assert_eq!(first["sentry"]["attributes"]["device.memory_size"], 25_276_510_208_i64);
    assert_eq!(first["sentry"]["attributes"]["http.request.header.x-request-id"], json!(["req-node-1"]));
    assert_eq!(first["sentry"]["is_segment"], true);

    let logs = events(fixture!("django-logs"), 2);
    assert_eq!(
        of(&logs[0], &["event", "level", "logger", "message"]),
        ["log", "error", "django.request", "Internal Server Error: /pay/7"]
    );
    let odd = &logs[1];
    assert_eq!(
        of(odd, &["level", "message", "user", "ip", "host", "release", "trace_id"]),
        [
            "warning",
            "cart a1 has 3 lines",
            "7",
            "203.0.113.9",
            "web1",
            "shop@1.4.2",
            "ca4340ba81cb4d6abba7c8af0f69bea8"
        ]
    );
    let attributes = &odd["sentry"]["attributes"];
    assert_eq!(
        [&attributes["total"], &attributes["vip"], &attributes["who"], &attributes["sentry.message.parameter.n"]],
        [&json!(9.75), &json!(true), &json!("Zoë"), &json!(3)]
    );
    assert_eq!(odd["timestamp"], "2026-11-22T04:00:51.049903Z");

    let metrics = events(fixture!("django-metrics"), 2);
    assert_eq!(
        of(&metrics[0], &["event", "message", "sentry.type", "sentry.value"]),
        [json!("metric"), json!("carts"), json!("counter"), json!(2.0)]
    );
    assert_eq!(of(&metrics[1], &["message", "sentry.unit"]), ["cart.total", "euro"]);
}

#[test]
fn check_ins_sessions_and_reports() {
    let event = &events(fixture!("django-check-in"), 1)[0];
    assert_eq!(
        of(event, &["event", "level", "message", "trace_id"]),
        ["check_in", "info", "nightly: ok", "78efc111acee4d69bbb18c1700ac5679"]
    );
    assert_eq!(of(event, &["duration_ms", "sentry.monitor_config.max_runtime"]), [json!(0.444352), json!(5)]);
    let event = &events(fixture!("django-sessions"), 1)[0];
    assert_eq!(
        of(event, &["event", "release", "timestamp"]),
        ["sessions", "shop@1.4.2", "2026-11-22T04:00:00.000000Z"]
    );
    assert_eq!(event["sentry"]["aggregates"][0]["crashed"], 1);
    let event = &events(fixture!("django-client-report"), 1)[0];
    assert_eq!(of(event, &["event", "message"]), ["client_report", "not sent: 1 span (buffer_overflow)"]);
    let session = r#"{"sid":"9f2c","did":"bob","init":true,"started":"2026-01-02T03:04:05Z","timestamp":"2026-01-02T03:04:06Z","status":"exited","errors":0,"duration":1.5,"attrs":{"release":"a@1","environment":"x"}}"#;
    let event = &events(format!("{{}}\n{{\"type\":\"session\"}}\n{session}").as_bytes(), 1)[0];
    assert_eq!(
        of(event, &["event", "session", "user", "message", "release"]),
        ["session", "9f2c", "bob", "exited", "a@1"]
    );
    let report =
        r#"{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","email":"a@example.com","name":"Zoë","comments":"it broke"}"#;
    let event = &events(format!("{{}}\n{{\"type\":\"user_report\"}}\n{report}\n").as_bytes(), 1)[0];
    assert_eq!(of(event, &["event", "message", "sentry.email"]), ["user_report", "it broke", "a@example.com"]);
}

#[test]
fn attachments() {
    let body = fixture!("django-attachments");
    let sent = read(body);
    let events = documents(&sent.decoded);
    assert_eq!((events.len(), sent.attachments.len()), (3, 2));
    let [event, first, second] = [&events[0], &events[1], &events[2]];
    assert_eq!(of(first, &["event", "level", "message"]), ["attachment", "warning", "cart é.bin"]);
    assert_eq!(of(first, &["attachment.event_id", "timestamp"]), of(event, &["id", "timestamp"]));
    assert_eq!(
        of(first, &["attachment.bytes", "attachment.content_type"]),
        [json!(268), json!("application/octet-stream")]
    );
    assert_eq!(of(second, &["attachment.filename", "attachment.bytes"]), [json!("cart.json"), json!(13)]);
    assert_eq!(sent.attachments[0].bytes, [&b"Zo\xc3\xab's cart\n"[..], &(0..=255).collect::<Vec<u8>>()].concat());
    assert_eq!(sent.attachments[1].bytes, b"{\"lines\": 3}\n");
    assert_eq!(parse_uuid(second["id"].as_str().unwrap()), Some(sent.attachments[1].id));
    let others = read(fixture!("node-attachments"));
    assert_eq!(others.attachments.iter().map(|one| one.bytes.len()).collect::<Vec<_>>(), [256, 15]);
    let large = [b"{}\n{\"type\":\"attachment\",\"length\":1001}\n".to_vec(), vec![b'x'; 1001]].concat();
    let large = read(&large);
    assert_eq!((large.attachments.len(), large.decoded.refused[0].reason.name()), (0, "too_large"));
}

#[test]
fn what_is_sent_again_has_the_same_ids() {
    let ids = |body: &[u8]| read(body).decoded.batch.rows().map(|row| row.id.to_string()).collect::<Vec<_>>();
    for body in [
        &fixture!("django-transaction")[..],
        fixture!("node-spans"),
        fixture!("django-logs"),
        fixture!("django-metrics"),
        fixture!("django-check-in"),
        fixture!("django-attachments"),
    ] {
        let (first, again) = (ids(body), ids(body));
        assert_eq!(first, again);
        assert_eq!(first.iter().collect::<std::collections::HashSet<_>>().len(), first.len(), "each has its own");
    }
    // Two workers count the same sessions of a minute, and both are meant.
    assert_ne!(ids(fixture!("django-sessions")), ids(fixture!("django-sessions")));
}

#[test]
fn envelopes_as_they_may_be() {
    let id = "9ec79c33-ec99-42ab-8353-589fcb2e04dc";
    // With hyphens, with a length, with an end and without one, with blank lines.
    for body in [
        format!("{{\"event_id\":\"{id}\"}}\n{{\"type\":\"event\",\"length\":2}}\n{{}}\n"),
        format!("{{\"event_id\":\"{id}\"}}\n{{\"type\":\"event\",\"length\":2}}\n{{}}"),
        format!("{{\"event_id\":\"{}\"}}\n\n{{\"type\":\"event\"}}\n{{}}\n\n", id.replace('-', "")),
    ] {
        let read = read(body.as_bytes());
        assert_eq!(read.decoded.batch.row(0).id.to_string(), id, "{body}");
        assert_eq!(read.id.unwrap(), id.replace('-', ""));
    }
    let mixed = "{}\n{\"type\":\"replay_event\"}\n{\"a\":1}\n{\"type\":\"event\"}\n{\"message\":\"kept\"}\n{\"type\":\"profile\",\"length\":7}\nx\ny\nz\n\n{\"type\":\"event\"}\n[1]\n{\"type\":\"log\"}\n{\"items\":[{\"body\":\"kept\"},7]}\n{\"type\":\"event\",\"length\":99}\n{}";
    let mixed = read(mixed.as_bytes());
    assert_eq!(
        documents(&mixed.decoded).iter().map(|event| event["message"].clone()).collect::<Vec<_>>(),
        ["kept", "kept"]
    );
    let reasons: Vec<_> = mixed.decoded.refused.iter().map(|one| one.reason.name()).collect();
    assert_eq!(reasons, ["unsupported", "unsupported", "not_an_object", "not_an_object", "not_json"]);
    assert_eq!(intake::sentry::key(b"{\"dsn\":\"https://abc:old@logs.example/1\"}\n").as_deref(), Some("abc"));
    let odd = r#"{"exception":{"values":[{"type":"A","value":7,"stacktrace":{"frames":[{"function":"f","lineno":"x"},3]}}]},"user":{"id":12345678901234567890},"tags":[["http.status_code","502"],["request_id","r1"]],"request":{"url":"http://h/p?a=1#f","headers":[["user-agent","x/1"]]},"logentry":{"message":"%s","formatted":"seven"},"level":"fatal","message":"not this"}"#;
    let event = &events(format!("{{}}\n{{\"type\":\"event\"}}\n{odd}").as_bytes(), 1)[0];
    assert_eq!(
        of(event, &["event", "level", "message", "user", "path", "user_agent", "request_id"]),
        ["exception", "critical", "seven", "12345678901234567890", "/p", "x/1", "r1"]
    );
    assert_eq!(of(event, &["status", "exception.message"]), [json!(502), json!("7")]);
    assert_eq!(event["exception"]["frames"], json!([{ "function": "f" }, {}]));
    assert_eq!(event["sentry"], serde_json::from_str::<Value>(odd).unwrap());
}

#[test]
fn one_event_of_an_older_client() {
    use base64::Engine as _;
    use std::io::Write as _;
    let event = r#"{"event_id":"fc6d8c0c43fc4630ad850ee518f1b9d0","message":"from raven é","culprit":"f","timestamp":"2026-01-02T03:04:05"}"#;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(event.as_bytes()).unwrap();
    let packed = base64::engine::general_purpose::STANDARD.encode(packed.finish().unwrap());
    for body in [event, &packed] {
        let received = Timestamp::parse(RECEIVED).unwrap().0;
        let read = store(body.as_bytes(), Limits::default(), received);
        let event = &documents(&read.decoded)[0];
        assert_eq!(
            of(event, &["message", "level", "timestamp", "sentry.culprit"]),
            ["from raven é", "error", "2026-01-02T03:04:05.000000Z", "f"]
        );
        assert_eq!(read.id.as_deref(), Some("fc6d8c0c43fc4630ad850ee518f1b9d0"));
    }
}

#[test]
fn a_container_of_very_many_items_under_a_very_long_line() {
    // Nothing may take the long line once for each item.
    let head = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let items = vec![r#"{"body":"b"}"#; 50_000].join(",");
    let body = format!("{head}\n{{\"type\":\"log\"}}\n{{\"items\":[{items}]}}");
    assert_eq!(read(body.as_bytes()).decoded.batch.len(), 50_000);
}

proptest! {
    #[test]
    fn any_bytes(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        read(&body);
        let framed = [&b"{}\n{\"type\":\"event\"}\n"[..], &body].concat();
        read(&framed);
    }

    #[test]
    fn fixtures_with_other_bytes_in_them(which in 0_usize..6, edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let bodies: [&[u8]; 6] = [fixture!("django-exception"), fixture!("django-transaction"), fixture!("node-spans"), fixture!("django-logs"), fixture!("django-attachments"), fixture!("django-check-in")];
        let mut body = bodies[which].to_vec();
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        read(&body);
    }
}
