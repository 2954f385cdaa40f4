use serde_json::json;

use super::*;

fn check(layout: Layout, events: &[Value]) -> String {
    let mut labels = Labels::default();
    labels.set("PAYMENTS", "PAID: ");
    let mut out = String::new();
    events.iter().for_each(|event| layout.write(&labels, event, &mut out));
    out
}

fn entry(stream: &str, message: &str) -> Value {
    json!({"id": "1", "timestamp": "2024-04-09T20:39:05.339166Z", "stream": stream, "message": message, "user": "bob"})
}

fn with(mut event: Value, key: &str, value: impl Into<Value>) -> Value {
    event[key] = value.into();
    event
}

#[test]
fn a_label_for_each_stream() {
    let streams = [
        "INFO",
        "WARN",
        "DEBUG",
        "LOGIN",
        "ERROR",
        "SECURITY ALERT",
        "STRANGE ACTIVITY",
        "INTERNAL",
        "AUDIT",
        "PAYMENTS",
    ];
    insta::assert_snapshot!(check(Layout::Text, &streams.map(|stream| entry(stream, "Log entry here."))), @"
    INFO:  Log entry here.
    WARNING:  Log entry here.
    DEBUG:  Log entry here.
    LOGIN:  Log entry here.
    ERROR:  Log entry here.
    SECURITY:  Log entry here.
    STRANGE ACTIVITY:  Log entry here.
    [ INTERNAL ]:  Log entry here.
    AUDIT:  Log entry here.
    PAID:  Log entry here.
    ");
}

#[test]
fn the_time_if_it_was_asked_for() {
    let line = check(Layout::Text, &[with(entry("INFO", "Log entry here."), "show_timestamp", true)]);
    assert_eq!(line, "INFO:  Log entry here. § [2024-04-09 20:39:05]\n");
    assert!(line.as_bytes().windows(3).any(|bytes| bytes == b"\xc2\xa7 "));
}

#[test]
fn a_dictionary_and_a_heading() {
    let text = r#"{"username":"usera1@gizzleMail.com","IP_Address":"200.88.45.102","größe":1.50,"big":123456789012345678901234567890,"list":[1],"none":{}}"#;
    let dictionary = with(entry("LOGIN", text), "dict_to_string", true);
    let events = [
        with(dictionary.clone(), "heading", "New Login"),
        with(dictionary, "show_timestamp", true),
        with(entry("LOGIN", "plain"), "heading", "New Login"),
        with(entry("LOGIN", "no dictionary"), "dict_to_string", true),
        entry("LOGIN", text),
        json!({"stream": "LOGIN", "data": {"ip": "::1"}, "heading": "Older"}),
    ];
    insta::assert_snapshot!(check(Layout::Text, &events), @r#"
    LOGIN: New Login
    {
        "username": "usera1@gizzleMail.com",
        "IP_Address": "200.88.45.102",
        "größe": 1.50,
        "big": 123456789012345678901234567890,
        "list": [
            1
        ],
        "none": {}
    }
    LOGIN:  {
        "username": "usera1@gizzleMail.com",
        "IP_Address": "200.88.45.102",
        "größe": 1.50,
        "big": 123456789012345678901234567890,
        "list": [
            1
        ],
        "none": {}
    } § [2024-04-09 20:39:05]
    LOGIN: New Login
    plain
    LOGIN:  no dictionary
    LOGIN:  {"username":"usera1@gizzleMail.com","IP_Address":"200.88.45.102","größe":1.50,"big":123456789012345678901234567890,"list":[1],"none":{}}
    LOGIN: Older
    {
        "ip": "::1"
    }
    "#);
}

#[test]
fn nothing_is_forged() {
    let events = [
        entry("INFO", "a\nINFO:  forged § [2024-04-09 20:39:05]"),
        with(entry("INFO", "INFO:  forged"), "heading", "H\r\nINFO:  forged"),
        with(entry("INFO", "[ INTERNAL ]:  forged"), "heading", "  H"),
        with(entry("INFO", "harmless"), "heading", " "),
        entry("INFO\nINFO", "x\u{1b}[2J\u{2028}"),
        with(entry("INFO", "{\"a\":\"\\n\u{9b}\"}"), "dict_to_string", true),
    ];
    insta::assert_snapshot!(check(Layout::Text, &events), @r#"
    INFO:  a\nINFO:  forged \u{a7} [2024-04-09 20:39:05]
    INFO: H\r\nINFO:  forged
        INFO:  forged
    INFO: H
        [ INTERNAL ]:  forged
    INFO:  harmless
    INFO\nINFO:  x\u{1b}[2J\u{2028}
    INFO:  {
        "a": "\n\u009b"
    }
    "#);
}

#[test]
fn events_that_are_no_entries() {
    let events = [
        json!({"id": "1", "stream": "INFO", "level": "info", "event": "object_created", "user": "7", "logger": "api",
            "request_id": "r", "object_uuid": "1734", "token": {"identifier": "app test", "tags": ["a", 1]}}),
        json!({"stream": "ERROR", "event": "request_failed", "method": "GET", "path": "/a", "status": 500,
            "duration_ms": 1.5, "exception": {"type": "KeyError", "message": "'x'", "frames": []}}),
        json!({"stream": "INFO", "x": 1, "y": "=", "a b\"=c": "\"q\"\n", "n": null, "o": {}, "e": ""}),
        json!({"stream": "INFO"}),
    ];
    insta::assert_snapshot!(check(Layout::Text, &events).replace("  \n", "  |\n"), @r#"
    INFO:  object_created object_uuid=1734 token.identifier="app test" token.tags="[\"a\",1]"
    ERROR:  request_failed method=GET path=/a status=500 duration_ms=1.5 exception.type=KeyError exception.message='x'
    INFO:  x=1 y="=" a_b__c="\"q\"\n" n=null o={} e=""
    INFO:  |
    "#);
}

#[test]
fn logbook() {
    let noticed = with(with(entry("INFO", "paid\nnow"), "level", "notice"), "logger", "API/Auto");
    let events = [
        noticed,
        with(entry("WARN", "x"), "source", "uwsgi"),
        json!({"timestamp": "2024-04-09T20:39:05.000000Z", "stream": "INFO", "event": "started", "port": 80}),
    ];
    insta::assert_snapshot!(check(Layout::Logbook, &events), @r"
    [2024-04-09 20:39:05.339166+00:00] NOTICE: API/Auto: paid\nnow
    [2024-04-09 20:39:05.339166+00:00] WARNING: uwsgi: x
    [2024-04-09 20:39:05.000000+00:00] INFO: INFO: started port=80
    ");
}

#[test]
fn logfmt() {
    let event = json!({"zip": "01234", "path": r"C:\new", "user": {"id": 7, "name": "Ann Lee"}, "id": "1",
        "timestamp": "2024-04-09T20:39:05.000000Z", "message": "a \"b\"\n", "stream": "SECURITY ALERT"});
    insta::assert_snapshot!(check(Layout::Logfmt, &[event]), @r#"id=1 timestamp=2024-04-09T20:39:05.000000Z stream="SECURITY ALERT" message="a \"b\"\n" user.id=7 user.name="Ann Lee" path="C:\\new" zip=01234"#);
}
