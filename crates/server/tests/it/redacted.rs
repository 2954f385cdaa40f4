//! No planted secret reaches disk, notice or report, wherever in an error it stands.

use reqwest::Method;
use serde_json::{Value, json};

use crate::secrets::{SECRETS, files_with, planted, secrets_in};
use crate::server::{EVENTS, Server, ask, until};
use crate::sinks::{HttpSink, MailSink};

/// Errors of each door.
const ERRORS: u64 = 8;

/// How an error is made: what was drawn, and whether addresses stand in free text too, where only `strict` takes them out.
struct Draw {
    state: u64,
    is_strict: bool,
}

impl Draw {
    /// The next of a series of numbers that look like chance (xorshift64).
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % limit as u64).unwrap()
    }
}

/// A sentence with one secret in it, as people write it into a log.
fn sentence(draw: &mut Draw) -> String {
    let secrets = [
        "password=hunter2planted",
        "Authorization: Bearer Zm9vYmFyplanted1",
        "card 4111 1111 1111 1111",
        "card 4111111111111111",
        "postgres://bob:pw7urlplanted@db/shop",
        "/checkout?email=planted%40mail.example&step=3",
        "{'password': 'hunter2planted'}",
        "{\"api_key\": \"hunter2planted\"}",
        "Cookie: sid=cookieplanted9",
        "planted@mail.example",
    ];
    let known = if draw.is_strict { secrets.len() } else { secrets.len() - 1 };
    let (one, other) = (secrets[draw.below(known)], secrets[draw.below(known)]);
    match draw.below(4) {
        0 => format!("it failed with {one}"),
        1 => format!("{one} did not work, nor did {other}"),
        2 => format!("first line\n  second line: {one}\n{other}"),
        _ => one.to_owned(),
    }
}

/// A value of some depth with secrets as texts and under telling keys.
fn nested(draw: &mut Draw, depth: usize) -> Value {
    match draw.below(if depth == 0 { 2 } else { 5 }) {
        0 => sentence(draw).into(),
        1 => json!({ "client_secret": "hunter2planted", "note": sentence(draw) }),
        2 => json!([nested(draw, depth - 1), 7, null]),
        3 => json!({ "inner": nested(draw, depth - 1), "card": 4_111_111_111_111_111_i64 }),
        _ => json!(format!("{}", json!({ "password": "hunter2planted", "deep": nested(draw, depth - 1) }))),
    }
}

/// The keys that a secret is planted under in an error of our own door.
const PLACES: [&str; 14] = [
    "message",
    "url",
    "path",
    "query",
    "body",
    "headers",
    "request",
    "breadcrumbs",
    "extra",
    "params",
    "form",
    "tags",
    "note",
    "context",
];

fn native(draw: &mut Draw, number: u64) -> Value {
    let mut event = planted();
    for _ in 0..6 {
        let place = PLACES[draw.below(PLACES.len())];
        event[place] = match place {
            "message" => sentence(draw).into(),
            "url" => {
                "https://bob:pw7urlplanted@shop.example/a?email=planted@mail.example&password=hunter2planted".into()
            }
            "path" => "/a/planted@mail.example?token=hunter2planted".into(),
            "headers" => json!({ "cookie": "sid=cookieplanted9", "x-note": sentence(draw) }),
            "breadcrumbs" => json!([{ "message": sentence(draw), "data": nested(draw, 2) }]),
            _ => nested(draw, 3),
        };
    }
    let frames = json!([{ "function": format!("f{}", word(number)), "file": "a.py", "line": 7,
        "vars": { "password": "'hunter2planted'", "text": sentence(draw) }, "context": sentence(draw) }]);
    event["exception"] = json!({ "type": format!("Err{}", word(number)), "message": sentence(draw), "frames": frames });
    for (key, value) in
        [("level", "error"), ("environment", "production"), ("user", "7"), ("session", "s"), ("ip", "203.0.113.9")]
    {
        event[key] = value.into();
    }
    event
}

fn person(draw: &Draw) -> Value {
    if draw.is_strict { json!({ "id": "7", "email": "planted@mail.example" }) } else { json!({ "id": "7" }) }
}

fn word(number: u64) -> String {
    let letter = |place: u32| char::from(b'a' + u8::try_from(number / 16_u64.pow(place) % 16).unwrap());
    format!("{}{}", letter(0), letter(1))
}

fn sentry(draw: &mut Draw, number: u64) -> String {
    let (event, person) = (planted(), person(draw));
    let crumb = json!({ "message": sentence(draw), "category": "query", "data": nested(draw, 2) });
    let frames = json!([{ "function": format!("g{}", word(number)), "filename": "b.py", "lineno": 3, "in_app": true,
        "vars": { "password": "'hunter2planted'", "inner": nested(draw, 2) }, "context_line": sentence(draw) }]);
    let sent = json!({
        "event_id": format!("{:032x}", 1000 + number), "level": "error", "environment": "production", "user": person,
        "message": sentence(draw), "extra": event, "tags": { "note": sentence(draw) }, "breadcrumbs": { "values": [crumb] },
        "request": { "method": "POST", "url": "https://shop.example/pay?email=planted@mail.example", "headers": event["request"]["headers"],
            "query_string": "token=hunter2planted&mail=planted@mail.example", "data": nested(draw, 3), "cookies": { "sid": "cookieplanted9" } },
        "exception": { "values": [{ "type": format!("S{}", word(number)), "value": sentence(draw), "stacktrace": { "frames": frames } }] },
    });
    format!("{{}}\n{{\"type\":\"event\"}}\n{sent}\n")
}

fn rollbar(draw: &mut Draw, number: u64) -> Value {
    let (event, person) = (planted(), person(draw));
    let frames = json!([{ "method": format!("h{}", word(number)), "filename": "c.py", "lineno": 9, "code": sentence(draw),
        "locals": { "password": "hunter2planted", "order": nested(draw, 2) } }]);
    let trace =
        json!({ "frames": frames, "exception": { "class": format!("R{}", word(number)), "message": sentence(draw) } });
    let telemetry = json!([{ "level": "info", "type": "log", "body": { "message": sentence(draw) } }]);
    json!({ "data": { "level": "error", "environment": "production", "custom": event, "body": { "trace": trace, "telemetry": telemetry },
        "person": person,
        "request": { "url": "https://shop.example/pay?mail=planted@mail.example", "method": "POST", "headers": event["request"]["headers"],
            "POST": nested(draw, 2), "body": sentence(draw) } } })
}

/// Sends all errors; each is another one, so that each is told.
async fn plant(server: &Server, mut draw: Draw) {
    for number in 0..ERRORS {
        server.send(&native(&mut draw, number)).await;
        let envelope = sentry(&mut draw, number);
        server.post("/api/1/envelope/?sentry_key=any", envelope).await.expect(200);
        let item = server.request(Method::POST, "/api/1/item/").header("x-rollbar-access-token", "any");
        ask(item.json(&rollbar(&mut draw, number))).await.expect(200);
    }
    let configuration = json!({ "message": sentence(&mut draw), "object": "w:1", "url": "/a?password=hunter2planted", "config_field": "x" });
    server.post("/api/v1/logs/default/configuration-errors", configuration.to_string()).await.accepted(1, 0);
}

#[track_caller]
fn check(place: &str, text: &str) {
    let found: Vec<&str> = secrets_in(text.as_bytes()).collect();
    assert!(found.is_empty(), "{place}: {found:?} in {text}");
}

/// Everything that is told of issues, in every form.
async fn check_answers(server: &Server) {
    let issues = server.get("/api/v1/logs/default/issues?limit=1000").await;
    check("issues", &issues.text());
    let ids: Vec<String> =
        issues.expect(200).as_array().unwrap().iter().map(|issue| issue["id"].as_str().unwrap().to_owned()).collect();
    for id in ids {
        for what in ["", "/occurrences", "/explain", "/report", "/report?format=json"] {
            let path = format!("/api/v1/issues/{id}{what}");
            let answer = server.get(&path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            check(&path, &answer.text());
        }
    }
    for path in ["/api/v1/notices?limit=500", "/api/v1/channels", &format!("{EVENTS}?_limit=1000")] {
        check(path, &server.get(path).await.text());
    }
}

async fn plants_and_finds_nothing(level: &str, seed: u64) {
    let (hook, slack, mail) = (HttpSink::start().await, HttpSink::start().await, MailSink::start().await);
    let mut server = Server::start_with(&[
        ("EVERLOG_REDACT", level),
        ("EVERLOG_SMTP", &mail.url()),
        ("EVERLOG_CONFIG_ERROR_REPORT_EMAIL", "ops@ops.example"),
    ])
    .await;
    let (mut to_hook, mut to_slack, mut to_mail) = (hook.channel("webhook"), slack.channel("slack"), mail.channel());
    for (name, channel) in [("hook", &mut to_hook), ("slack", &mut to_slack), ("mail", &mut to_mail)] {
        channel["hourly_cap"] = json!(1000);
        server.set_channel(name, channel).await;
    }
    plant(&server, Draw { state: seed, is_strict: level == "strict" }).await;
    let issues = usize::try_from(ERRORS * 3).unwrap();
    until("all issues", async || (server.issues("limit=1000").await.len() >= issues).then_some(())).await;
    hook.wait(issues).await;
    slack.wait(issues).await;
    for mail in mail.wait(issues + 1).await {
        check("mail", &mail.raw);
        check("mail", &mail.text());
    }
    for sent in hook.sent().iter().chain(&slack.sent()) {
        check(&sent.path, &sent.body);
    }
    check_answers(&server).await;
    server.kill9();
    assert_eq!(files_with(server.folder(), &SECRETS), [""; 0], "seed {seed:#x}");
    server.restart().await;
    server.flush().await;
    server.stop().await;
    assert_eq!(files_with(server.folder(), &SECRETS), [""; 0], "seed {seed:#x}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_disk_notice_or_report() {
    plants_and_finds_nothing("standard", 0x5eed_0001).await;
}

/// Under `strict` that holds for addresses in free text, and of persons, too.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_an_address_under_strict() {
    plants_and_finds_nothing("strict", 0x5eed_0002).await;
}

/// At `standard` an address in free text stays where it is kept, and goes to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_free_text_is_in_no_notice() {
    let (hook, mail) = (HttpSink::start().await, MailSink::start().await);
    let server = Server::start().await;
    server.set_channel("hook", &hook.channel("webhook")).await;
    server.set_channel("mail", &mail.channel()).await;
    let person = |text: &str| json!({ "message": text, "user": "7", "request_id": "request-1" });
    server.send(&person("login of planted@mail.example")).await;
    let mut error = person("no order of planted@mail.example");
    error["level"] = "error".into();
    server.send(&error).await;
    let told = hook.wait(1).await;
    let notice = &told[0].json()["notice"];
    assert_eq!((&notice["title"], &notice["message"]), (&json!("no order of [REDACTED:email]"), &notice["title"]));
    assert!(notice["trail"].to_string().contains("login of [REDACTED:email]"), "{notice}");
    let mail = &mail.wait(1).await[0];
    for text in [&told[0].body, &mail.raw, &mail.text(), &server.get("/api/v1/notices").await.text()] {
        check("notice", text);
    }
    assert_eq!(server.events("message~=planted@mail.example").await.len(), 2);
}

/// What Everlog notes about a document is no value of it, whatever a rule of the log says of numbers and names.
#[tokio::test(flavor = "multi_thread")]
async fn own_rules_leave_alone_what_is_noted_of_a_document() {
    let mut server = Server::start().await;
    let rules = json!({ "redact": { "keys": ["added"], "patterns": { "number": "[0-9]{9}" } } });
    server.as_admin(Method::PUT, "/api/v1/logs/shop", &rules).await.expect(200);
    let document = json!({ "level": "error", "message": "it broke", "user_agent": "curl/8.0", "path": "/pay" });
    server.post("/es/shop/_doc/1", document.to_string()).await.expect(201);
    for _ in 0..2 {
        let mut source = server.get("/es/shop/_doc/1").await.expect(200)["_source"].clone();
        source.as_object_mut().unwrap().remove("@timestamp");
        assert_eq!(source, document);
        let events = server.get("/api/v1/logs/shop/events?client.kind=bot&fingerprint").await.expect(200);
        assert_eq!(events.as_array().map(Vec::len), Some(1), "{events}");
        let issues = until("the issue", async || {
            let issues = server.get("/api/v1/logs/shop/issues").await.expect(200);
            issues.as_array().filter(|issues| !issues.is_empty()).cloned()
        });
        assert_eq!(issues.await[0]["occurrences"], 1);
        // What the journal has of it can be read.
        server.kill9();
        server.restart().await;
    }
}
