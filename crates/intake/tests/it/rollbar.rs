//! Items that Rollbar's clients sent, and what becomes of them.

use event::Timestamp;
use intake::Limits;
use intake::rollbar::{Item, deploy, deploy_fields, document, item, token};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::native::{RECEIVED, documents};

fn read(body: &[u8]) -> Item {
    let received = Timestamp::parse(RECEIVED).unwrap().0;
    let read = item(&document(body), Limits::default(), received);
    assert_eq!(read.decoded.received, read.decoded.batch.len() + read.decoded.refused_count(), "nothing vanishes");
    read
}

fn event(body: &[u8]) -> Value {
    let read = read(body);
    assert_eq!(read.decoded.refused, []);
    documents(&read.decoded).remove(0)
}

#[test]
fn an_exception_of_pyramid() {
    let body = include_bytes!("../fixtures/rollbar/pyramid-1.json");
    let sent: Value = serde_json::from_slice(body).unwrap();
    let event = event(body);
    let named = json!({
        "event": "exception", "level": "error", "stream": "ERROR", "message": "Stock: no stock: 日本", "user": "7",
        "method": "POST", "path": "/pay/7", "user_agent": "shopper/1.0", "request_id": "req-pyramid-1", "ip": "127.0.0.1",
        "release": "1.4.2", "environment": "production", "host": "web1", "source": "pay", "id": "b3767173-ba6b-4407-9323-4042c8b18830",
    });
    for (key, value) in named.as_object().unwrap() {
        assert_eq!(event[key], *value, "{key}");
    }
    assert!(event["url"].as_str().unwrap().ends_with("/pay/7?m=mk1&q=h%C3%A9"));
    assert_eq!(
        event["exception"]["chain"],
        json!([
            { "type": "Stock", "message": "no stock: 日本" },
            { "type": "KeyError", "message": "'grün'" },
        ])
    );
    let frames = event["exception"]["frames"].as_array().unwrap();
    assert_eq!(
        frames.last().unwrap(),
        &json!({ "function": "pay", "file": "/srv/shop/app.py", "line": 28, "code": "raise Stock(\"no stock: 日本\") from error" })
    );
    assert_eq!(event["rollbar"], sent["data"]);
    assert!(!event.to_string().contains(sent["access_token"].as_str().unwrap()), "the token is not kept");
    assert_eq!(token(body).as_deref(), sent["access_token"].as_str());
}

#[test]
fn messages_of_pyramid() {
    let odd = event(include_bytes!("../fixtures/rollbar/pyramid-2.json"));
    assert_eq!([&odd["event"], &odd["message"], &odd["level"]], ["message", "cart is odd", "warning"]);
    assert_eq!(odd["rollbar"]["custom"]["big"], 1_152_921_504_606_846_976_i64);
    let logged = event(include_bytes!("../fixtures/rollbar/pyramid-3.json"));
    assert_eq!([&logged["message"], &logged["logger"]], ["paying 7 failed", "shop.pay"]);
}

#[test]
fn other_bodies() {
    let trace = br#"{"data":{"body":{"trace":{"frames":[{"filename":"a.js","lineno":3,"colno":9,"method":"f"}],"exception":{"class":"TypeError","message":"x is null"}},"telemetry":[{"type":"log"}]},"level":"critical"}}"#;
    let event_of = event(trace);
    assert_eq!([&event_of["exception"]["type"], &event_of["level"]], ["TypeError", "critical"]);
    assert_eq!(event_of["exception"]["frames"], json!([{ "function": "f", "file": "a.js", "line": 3, "column": 9 }]));
    assert_eq!(event_of["rollbar"]["body"]["telemetry"][0]["type"], "log");
    let crash =
        br#"{"data":{"body":{"crash_report":{"raw":"java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)"}}}}"#;
    let event_of = event(crash);
    assert_eq!(
        [&event_of["exception"]["type"], &event_of["exception"]["message"]],
        ["java.lang.IllegalStateException", "no"]
    );
    let form = b"payload=%7B%22access_token%22%3A%22t%22%2C%22data%22%3A%7B%22body%22%3A%7B%22message%22%3A%7B%22body%22%3A%22hi%22%7D%7D%7D%7D";
    assert_eq!(event(form)["message"], "hi");
    assert_eq!(token(&document(form)).as_deref(), Some("t"));
    assert_eq!(read(b"[]").decoded.refused[0].reason.name(), "not_an_object");
    assert_eq!(read(b"{\"data\":{\"a\":}}").decoded.refused[0].reason.name(), "not_json");
}

#[test]
fn deploys() {
    let received = Timestamp::parse(RECEIVED).unwrap().0;
    for body in [&b"access_token=t&environment=production&revision=abc1&local_username=bob&comment=f%C3%BCr+Zo%C3%AB"[..], r#"{"access_token":"t","environment":"production","revision":"abc1","local_username":"bob","comment":"für Zoë"}"#.as_bytes()] {
        let deployed = deploy(&deploy_fields(body), Limits::default(), received);
        let event = &documents(&deployed.decoded)[0];
        assert_eq!([&event["event"], &event["release"], &event["environment"], &event["user"]], ["deploy", "abc1", "production", "bob"]);
        assert_eq!(event["rollbar"], json!({ "environment": "production", "revision": "abc1", "local_username": "bob", "comment": "für Zoë" }));
    }
    let nameless = deploy(&deploy_fields(b"environment=x"), Limits::default(), received);
    assert_eq!(nameless.decoded.refused[0].reason.name(), "wrong_value");
}

proptest! {
    #[test]
    fn any_bytes(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        read(&body);
        read(&[b"{\"data\":{\"body\":", body.as_slice(), b"}}"].concat());
    }

    #[test]
    fn a_fixture_with_other_bytes_in_it(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut body = include_bytes!("../fixtures/rollbar/pyramid-1.json").to_vec();
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        read(&body);
    }
}
