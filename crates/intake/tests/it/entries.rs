//! The call of API Logger, decoded.

use event::Timestamp;
use intake::{Decoded, Limits, entries, form};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::native::{RECEIVED, documents};

fn limits() -> Limits {
    Limits { event_bytes_max: 10_000, ..Limits::default() }
}

fn now() -> Timestamp {
    Timestamp::parse(RECEIVED).unwrap().0
}

/// The events of a decoded body, without what was made for them.
fn events(decoded: &Decoded) -> Vec<Value> {
    assert_eq!(decoded.received, decoded.batch.len() + decoded.refused_count(), "nothing vanishes");
    let mut documents = documents(decoded);
    for document in &mut documents {
        let object = document.as_object_mut().unwrap();
        if object["timestamp"] == RECEIVED {
            object.remove("timestamp");
        }
        if object["id"].as_str().is_some_and(|id| id.len() == 36) {
            object.remove("id");
        }
    }
    documents
}

#[track_caller]
fn check(body: &str, event: Value) {
    let decoded = entries(body.as_bytes(), limits(), now());
    assert_eq!(decoded.refused, [], "{body}");
    assert_eq!(events(&decoded), [event], "{body}");
}

#[track_caller]
fn refused(body: &str, reason: &str, says: &str) {
    let decoded = entries(body.as_bytes(), limits(), now());
    assert_eq!((decoded.batch.len(), decoded.refused.len()), (0, 1), "{body}");
    let found = &decoded.refused[0].reason;
    assert!(found.name() == reason && found.to_string().contains(says), "{body}: {found:?} {found}");
}

#[test]
fn what_is_not_said_has_a_default() {
    check(r#"{"m":"hello"}"#, json!({"stream": "INFO", "user": "system", "message": "hello"}));
    check(r#"{"message":"hello"}"#, json!({"stream": "INFO", "user": "system", "message": "hello"}));
    check(
        r#"{"stream":"","location":"","message":"","heading":"","at":"","level":"","id":"","fields":{}}"#,
        json!({"stream": "INFO", "user": "system", "message": ""}),
    );
    check(
        r#"{"stream":null,"location":null,"message":"x","timestamp":null,"heading":null,"dict_to_string":null,"m":null,"fields":null}"#,
        json!({"stream": "INFO", "user": "system", "message": "x"}),
    );
    check(
        r#"{"stream":"SECURITY_ALERT","location":"bob","message":"x","timestamp":false,"dict_to_string":false}"#,
        json!({"stream": "SECURITY ALERT", "user": "bob", "message": "x"}),
    );
    check(r#"{"fields":{"ip":"::1"},"stream":"LOGIN"}"#, json!({"stream": "LOGIN", "user": "system", "ip": "::1"}));
}

#[test]
fn everything_that_can_be_said() {
    check(
        r#"{"stream":"LOGIN","location":"alice@example.com","message":"in","timestamp":true,"heading":"New Login","level":"WARN",
            "at":"2024-04-09T22:39:05+02:00","id":"a-1","fields":{"n":1.50,"deep":{"x":[1]}, "a.b":null}}"#,
        json!({"id": "a-1", "timestamp": "2024-04-09T20:39:05.000000Z", "stream": "LOGIN", "level": "WARN", "message": "in",
            "user": "alice@example.com", "heading": "New Login", "show_timestamp": true, "n": 1.50, "deep": {"x": [1]}, "a.b": null}),
    );
    let at = |at: &str| {
        events(&entries(format!(r#"{{"m":"x","at":{at}}}"#).as_bytes(), limits(), now()))[0]["timestamp"].clone()
    };
    for moment in ["1712695145", "1712695145000", "1712695145.0", "\"1712695145\"", "\"2024-04-09 20:39:05\""] {
        assert_eq!(at(moment), "2024-04-09T20:39:05.000000Z", "{moment}");
    }
}

#[test]
fn a_message_may_be_any_json() {
    let message =
        |message: &str| events(&entries(format!(r#"{{"m":{message}}}"#).as_bytes(), limits(), now())).remove(0);
    for (sent, kept) in [
        ("7", "7"),
        ("1.50", "1.50"),
        ("-1e3", "-1e3"),
        ("true", "true"),
        ("\"a\\nb\"", "a\nb"),
        ("[1, \"a b\", {\"k\" : null}]", r#"[1,"a b",{"k":null}]"#),
        ("12345678901234567890123", "12345678901234567890123"),
        (r#""lone \ud800""#, r"lone \ud800"),
        (r#"["lone \ud800", "Z\u00fc"]"#, r#"["lone \ud800","Zü"]"#),
    ] {
        assert_eq!(message(sent), json!({"stream": "INFO", "user": "system", "message": kept}), "{sent}");
    }
    let dict = message(
        "{ \"z\" : 1e3,\n \"IP_Address\": \"200.88.45.102\", \"city\": \"Z\\u00fcrich \\\"x\\\"\", \"b\": {\"n\": 1.10, \"e\": []} }",
    );
    assert_eq!(
        dict["message"],
        r#"{"z":1e3,"IP_Address":"200.88.45.102","city":"Zürich \"x\"","b":{"n":1.10,"e":[]}}"#
    );
    let dict = message(r#"{"city": "Z\u00fcrich\t\"x\"", "user": "x", "id": 7}"#);
    assert_eq!(dict["message"], "{\"city\":\"Zürich\\t\\\"x\\\"\",\"user\":\"x\",\"id\":7}");
    assert_eq!(dict["data"], json!({"city": "Zürich\t\"x\"", "user": "x", "id": 7}));
    assert_eq!((&dict["user"], &dict["data"]["id"]), (&json!("system"), &json!(7)));
    assert_eq!((&message("{}")["message"], &message("{ }")["data"]), (&json!("{}"), &json!({})));
    // The last of two equal keys counts, wherever they are.
    let twice = message(r#"{"a": 1, "a": 2}"#);
    assert_eq!((&twice["message"], &twice["data"]), (&json!(r#"{"a":2}"#), &json!({"a": 2})));
    check(r#"{"m":"x","fields":{"a":1,"a":2}}"#, json!({"stream": "INFO", "user": "system", "message": "x", "a": 2}));
    check(
        r#"{"location":7,"message":{"a":1},"dict_to_string":true}"#,
        json!({"stream": "INFO", "user": 7, "message": "{\"a\":1}", "data": {"a": 1}, "dict_to_string": true}),
    );
}

#[test]
fn what_is_no_entry_is_refused_with_what_to_do() {
    for nothing in [
        "{}",
        r#"{"message":null}"#,
        r#"{"stream":"INFO","location":"bob"}"#,
        r#"{"m":null}"#,
        r#"{"fields":{}}"#,
        r#"{"fields":{"a":1},"dict_to_string":true}"#,
    ] {
        refused(nothing, "no_message", "send `message`");
    }
    for (beside, named) in [
        (r#""stream":"INFO""#, "`stream`"),
        (r#""location":"x""#, "`location`"),
        (r#""message":"y""#, "`message`"),
        (r#""location":"x","stream":"y","message":{}"#, "`stream` and `location` and `message`"),
    ] {
        refused(&format!(r#"{{"m":"x",{beside}}}"#), "conflict", named);
    }
    for said in [
        r#"{"m":"x","fields":{"user":7}}"#,
        r#"{"m":"x","fields":{"stream":"A"}}"#,
        r#"{"m":"x","fields":{"message":1}}"#,
        r#"{"m":{},"fields":{"data":1}}"#,
        r#"{"m":"x","heading":"h","fields":{"heading":1}}"#,
        r#"{"m":"x","at":1,"fields":{"timestamp":1}}"#,
        r#"{"m":"x","timestamp":true,"fields":{"show_timestamp":1}}"#,
        r#"{"m":"x","id":"1","fields":{"id":1}}"#,
    ] {
        refused(said, "conflict", "says again what");
    }
    refused(r#"{"mesage":"x"}"#, "unknown_key", "did you mean \"message\"?");
    refused(r#"{"m":"x","user":"bob"}"#, "unknown_key", "did you mean \"location\"?");
    refused(r#"{"m":"x","order":17}"#, "unknown_key", "go into `fields`");
    refused(r#"{"m":"x","timestamp":"2024-04-09"}"#, "wrong_value", "is said by `at`");
    refused(r#"{"m":"x","dict_to_string":1}"#, "wrong_value", "true or false, found 1");
    refused(r#"{"m":"x","at":"yesterday"}"#, "wrong_value", "2024-04-09T20:39:05Z");
    refused(r#"{"m":"x","level":"loud"}"#, "wrong_value", "one of trace, debug");
    refused(r#"{"m":"x","heading":[1]}"#, "wrong_value", "a text, found a list");
    refused(r#"{"m":"x","id":{}}"#, "wrong_value", "found an object");
    refused(r#"{"message":"x","location":true}"#, "wrong_value", "found true");
    refused(r#"{"m":"x","fields":[]}"#, "wrong_value", "an object with further keys");
    for (key, bytes) in [("stream", 101), ("location", 321), ("heading", 1025)] {
        refused(
            &json!({"message": "x", key: "y".repeat(bytes)}).to_string(),
            "too_long",
            &format!("`{key}` has {bytes} bytes"),
        );
    }
    refused(&json!({"m": "x", "id": "y".repeat(513)}).to_string(), "id_too_long", "513");
    refused(&json!({"m": "x".repeat(10_000)}).to_string(), "too_large", "10000");
    refused(r#"{"m":"x"} y"#, "not_json", "after the end");
    refused("7", "not_an_object", "a number");
}

#[test]
fn one_bad_entry_does_not_harm_the_others() {
    for (open, between, close) in [("", "\n", ""), ("[", ", ", "]")] {
        let body =
            [r#"{"m":"1"}"#, r#"{"m":"2","stream":"X"}"#, r#"{"message":"3","heading":"H"}"#, r#"{"message":"4"}"#]
                .join(between);
        let decoded = entries(format!("{open}{body}{close}").as_bytes(), limits(), now());
        let refused: Vec<_> = decoded.refused.iter().map(|refused| (refused.index, refused.reason.name())).collect();
        assert_eq!(refused, [(1, "conflict")]);
        let events = events(&decoded);
        let messages: Vec<_> = events.iter().map(|event| event["message"].as_str().unwrap()).collect();
        assert_eq!(messages, ["1", "3", "4"]);
        // A heading belongs to its entry and to no other.
        assert_eq!((&events[1]["heading"], events[2].get("heading")), (&json!("H"), None));
    }
}

#[test]
fn a_form_is_one_entry() {
    let check = |body: &[u8], event: Value| assert_eq!(events(&form(body, limits(), now())), [event]);
    check(b"m=hello+w%C3%B6rld", json!({"stream": "INFO", "user": "system", "message": "hello w\u{f6}rld"}));
    check(
        b"stream=LOGIN&location=bob%40example.com&message=a%0AINFO%3A++forged&timestamp=on&heading=&dict_to_string=0",
        json!({"stream": "LOGIN", "user": "bob@example.com", "message": "a\nINFO:  forged", "show_timestamp": true}),
    );
    check(
        b"message=%7B%0A%22a%22%3A+1%7D&dict_to_string=true&fields=%7B%22ip%22%3A%22%3A%3A1%22%7D",
        json!({"stream": "INFO", "user": "system", "message": "{\"a\":1}", "data": {"a": 1}, "dict_to_string": true, "ip": "::1"}),
    );
    check(b"message=%7B%22a%22%3A1%7D", json!({"stream": "INFO", "user": "system", "message": "{\"a\":1}"}));
    check(b"m=caf%E9+%5C", json!({"stream": "INFO", "user": "system", "message": r"caf\xe9 \\", "not_utf8": true}));
    check(b" {\"m\":\"json after all\"}", json!({"stream": "INFO", "user": "system", "message": "json after all"}));
    assert_eq!(form(b"mesage=x", limits(), now()).refused[0].reason.name(), "unknown_key");
    assert_eq!(form(b"m=x&timestamp=maybe", limits(), now()).refused[0].reason.name(), "wrong_value");
    assert_eq!(form(b"", limits(), now()).received, 0);
}

#[test]
fn bytes_that_are_not_utf8_are_kept() {
    for body in [b"{\"m\":\"caf\xe9 \\\\x41\"}".as_slice(), b"[{\"m\":\"caf\xe9 \\\\x41\"}]"] {
        let event = events(&entries(body, limits(), now())).remove(0);
        assert_eq!(event, json!({"stream": "INFO", "user": "system", "message": r"caf\xe9 \\x41", "not_utf8": true}));
    }
    let lines = events(&entries(b"{\"m\":\"\xff\"}\n{\"m\":\"plain\"}", limits(), now()));
    assert_eq!((&lines[0]["not_utf8"], lines[1].get("not_utf8")), (&json!(true), None));
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused(body: Vec<u8>, as_form: bool) {
        let read = if as_form { form } else { entries };
        let decoded = read(&body, limits(), now());
        prop_assert_eq!(decoded.received, decoded.batch.len() + decoded.refused_count());
    }

    #[test]
    fn any_keys_and_values_are_taken_or_refused(
        pairs in proptest::collection::vec((0_usize..12, 0_usize..10), 0..6), text in ".{0,12}",
    ) {
        let keys = ["stream", "location", "message", "timestamp", "heading", "dict_to_string", "m", "at", "id", "level", "fields", "odd"];
        let quoted = json!(text).to_string();
        let object = json!({ &text: &text }).to_string();
        let values = ["true", "null", "7", "-1.5e300", "[]", "{}", "\"\\ud800\"", "{\"a\":{\"a\":1},\"a\":2}", &quoted, &object];
        let members: Vec<String> = pairs.iter().map(|(key, value)| format!("\"{}\":{}", keys[*key], values[*value])).collect();
        let decoded = entries(format!("{{{}}}", members.join(",")).as_bytes(), limits(), now());
        prop_assert_eq!((decoded.received, decoded.batch.len() + decoded.refused_count()), (1, 1));
        for event in events(&decoded) {
            prop_assert!(event["stream"].is_string() && (event.get("message").is_none_or(Value::is_string)));
        }
    }

    /// A text comes back as it is, and an object equal.
    #[test]
    fn messages_come_back(text: String, number: i64) {
        let limits = Limits::default();
        let whole = entries(json!({ "m": &text }).to_string().as_bytes(), limits, now());
        prop_assert_eq!(&events(&whole)[0]["message"], &json!(text));
        let object = json!({ "text": &text, "in": { &text: [number, &text] } });
        let whole = entries(json!({ "m": &object }).to_string().as_bytes(), limits, now());
        let event = events(&whole).remove(0);
        prop_assert_eq!(&event["data"], &object);
        prop_assert_eq!(&event["message"], &json!(object.to_string()));
        // The same as a form.
        let form_body = format!("message={}", text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>());
        prop_assert_eq!(&events(&form(form_body.as_bytes(), limits, now()))[0]["message"], &json!(text));
    }
}
