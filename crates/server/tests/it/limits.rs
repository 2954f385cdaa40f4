//! One cause, a thousand times: what is kept, what is counted, who is told, and what becomes of it after a deploy.

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::server::{EVENTS, Server, ask, until};
use crate::sinks::HttpSink;

/// All of it happens within one minute.
const MOMENT: &str = "2026-01-02T03:04:05Z";

/// An error as a door takes it. The number makes it another occurrence with other lines, ids and amounts.
struct Error {
    id: String,
    function: &'static str,
    number: u32,
    release: &'static str,
}

impl Error {
    fn new(function: &'static str, number: u32, release: &'static str) -> Self {
        let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{function}-{number}").as_bytes());
        Self { id: id.to_string(), function, number, release }
    }

    fn message(&self) -> String {
        format!("order {} of {} costs {}.{:02}", 1000 + self.number, self.id, self.number * 7, self.number % 100)
    }

    /// As the log of a service in Python has it.
    fn native(&self) -> Value {
        let Self { id, function, number, release } = self;
        let traceback = format!(
            "Traceback (most recent call last):\n  File \"/srv/shop/app.py\", line {}, in handle\n    {function}(order)\n  \
             File \"/srv/shop/orders.py\", line {}, in {function}\n    raise ValueError(order)\nValueError: {}",
            10 + number % 5,
            100 + number,
            self.message()
        );
        json!({ "id": id, "level": "error", "message": "uncaught", "exception": traceback, "release": release, "environment": "production" })
    }

    /// As an SDK of Sentry sends it.
    fn sentry(&self) -> String {
        let Self { id, function, number, release } = self;
        let frames = json!([
            { "filename": "app.py", "module": "shop.app", "lineno": 10 + number % 5, "function": "handle", "in_app": true },
            { "filename": "orders.py", "module": "shop.orders", "lineno": 100 + number, "function": function, "in_app": true },
        ]);
        let exception = json!({ "type": "ValueError", "value": self.message(), "stacktrace": { "frames": frames } });
        let id = id.replace('-', "");
        let event = json!({ "event_id": id, "level": "error", "platform": "python", "release": release, "environment": "production",
            "exception": { "values": [exception] } });
        format!("{{\"event_id\":\"{id}\"}}\n{{\"type\":\"event\"}}\n{event}\n")
    }

    /// As a client of Rollbar sends it.
    fn rollbar(&self) -> Value {
        let Self { id, function, number, release } = self;
        let frames = json!([
            { "filename": "/srv/shop/app.py", "lineno": 10 + number % 5, "method": "handle" },
            { "filename": "/srv/shop/orders.py", "lineno": 100 + number, "method": function },
        ]);
        let trace = json!({ "frames": frames, "exception": { "class": "ValueError", "message": self.message() } });
        json!({ "access_token": "any", "data": { "uuid": id, "level": "error", "language": "python", "environment": "production",
            "code_version": release, "body": { "trace": trace } } })
    }
}

async fn send(server: &Server, door: &str, error: &Error) -> Answer {
    match door {
        "native" => server.post(EVENTS, error.native().to_string()).await,
        "sentry" => server.post("/api/1/envelope/?sentry_key=any", error.sentry()).await,
        _ => {
            let request = server.request(Method::POST, "/api/1/item/").header("x-rollbar-access-token", "any");
            ask(request.json(&error.rollbar())).await
        }
    }
}

#[track_caller]
fn check_over_limit(answer: &Answer, door: &str) {
    assert_eq!(answer.status, 429, "{door}: {}", answer.text());
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&seconds), "{door}: {seconds}");
    assert!(answer.text().contains("errors_per_minute"), "{door}: {}", answer.text());
}

async fn set_limit(server: &Server, limit: &Value) {
    let settings = json!({ "errors_per_minute": limit });
    server.as_admin(Method::PUT, "/api/v1/logs/default", &settings).await.expect(200);
}

async fn issue_by_id(server: &Server, id: &str) -> Value {
    server.get(&format!("/api/v1/issues/{id}")).await.expect(200)
}

/// What was told of an issue, in order.
fn told_of(sink: &HttpSink, issue: &Value) -> Vec<Value> {
    sink.notices().into_iter().filter(|notice| notice["issue"] == issue["id"]).collect()
}

/// 1 error of g and 1000 of f: 100 are kept, all are counted. Returns the issue of f.
async fn a_thousand_and_one(server: &Server, door: &str) -> Value {
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    let errors = (0..1000).map(|number| Error::new("f", number, "1.0"));
    for error in std::iter::once(Error::new("g", 0, "1.0")).chain(errors) {
        let answer = send(server, door, &error).await;
        if answer.status == 200 {
            kept.push(error);
        } else {
            check_over_limit(&answer, door);
            refused.push(error);
        }
    }
    assert_eq!((kept.len(), refused.len()), (100, 901), "{door}");
    let issue = server.issue("ValueError", 1000).await;
    let all = server.issues("").await;
    assert_eq!(all.iter().map(|issue| &issue["occurrences"]).collect::<Vec<_>>(), [1000, 1], "{door}: {all:?}");
    assert_eq!(server.events("level=error&_limit=1000").await.len(), 100, "{door}");
    // What is sent again is what it was.
    for again in [&refused[0], &refused[900]] {
        check_over_limit(&send(server, door, again).await, door);
    }
    assert_eq!(send(server, door, &kept[50]).await.status, 200, "{door}");
    set_limit(server, &json!(1_000_000)).await;
    for again in [&refused[0], &refused[1], &kept[99]] {
        assert_eq!(send(server, door, again).await.status, 200, "{door}");
    }
    issue
}

async fn limits_thresholds_and_regressions(door: &'static str) {
    let sink = HttpSink::start().await;
    let server = Server::start_with(&[("EVERLOG_TEST_CLOCK", MOMENT)]).await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    set_limit(&server, &json!(100)).await;
    let issue = a_thousand_and_one(&server, door).await;
    let id = issue["id"].as_str().unwrap();
    sink.wait(5).await;
    let triggers: Vec<Value> = told_of(&sink, &issue).iter().map(|notice| notice["trigger"].clone()).collect();
    assert_eq!(
        triggers,
        [json!("new_issue"), json!({"reached": 10}), json!({"reached": 100}), json!({"reached": 1000})]
    );
    let resolved = json!({ "state": "resolved", "in_release": "1.1", "why": "orders may cost nothing" });
    let resolved = server.as_admin(Method::PATCH, &format!("/api/v1/issues/{id}"), &resolved).await.expect(200);
    assert_eq!(resolved["state"], "resolved", "{resolved}");
    if door != "rollbar" {
        let deploy = json!({ "release": "1.1", "environment": "production" });
        server.post("/api/v1/logs/default/deploys", deploy.to_string()).await.accepted(1, 0);
    } else {
        let deploy = json!({ "revision": "1.1", "environment": "production", "local_username": "eve" });
        server.post("/api/1/deploy/", deploy.to_string()).await.expect(200);
    }
    until("the deploy", async || {
        let deploys = server.get("/api/v1/logs/default/deploys").await.expect(200);
        (deploys[0]["release"] == "1.1").then_some(())
    })
    .await;
    // Somebody still runs the old one.
    assert_eq!(send(&server, door, &Error::new("f", 5000, "1.0")).await.status, 200);
    let straggler = server.issue("ValueError", 1001).await;
    assert_eq!((&straggler["id"], &straggler["state"]), (&issue["id"], &json!("resolved")), "{straggler}");
    assert_eq!(send(&server, door, &Error::new("f", 5001, "1.1")).await.status, 200);
    let back = server.issue("ValueError", 1002).await;
    assert_eq!((&back["id"], &back["state"]), (&issue["id"], &json!("regressed")), "{back}");
    assert_eq!((&back["suspect_deploy"], &back["releases"]), (&json!("1.1"), &json!(["1.0", "1.1"])), "{back}");
    // The last of all: what comes before it has come.
    assert_eq!(send(&server, door, &Error::new("h", 0, "1.1")).await.status, 200);
    sink.wait(7).await;
    let told = told_of(&sink, &issue);
    assert_eq!((sink.sent().len(), told.len()), (7, 5), "{told:?}");
    assert_eq!(
        (&told[4]["trigger"], &told[4]["suspect_deploy"], &told[4]["release"]),
        (&json!("regression"), &json!("1.1"), &json!("1.1"))
    );
    let shown = issue_by_id(&server, id).await;
    let hours: u64 = shown["hours"].as_array().unwrap().iter().map(|hour| hour["occurrences"].as_u64().unwrap()).sum();
    assert_eq!(hours, 1002, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_of_one_cause_through_our_own_door() {
    limits_thresholds_and_regressions("native").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_through_that_of_rollbar() {
    limits_thresholds_and_regressions("rollbar").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_through_that_of_sentry() {
    limits_thresholds_and_regressions("sentry").await;
}

/// Whatever else of a request is refused, each is named by its place.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_the_limit_is_named_by_its_place() {
    let server = Server::start_with(&[("EVERLOG_TEST_CLOCK", MOMENT)]).await;
    set_limit(&server, &json!(1)).await;
    let error = |number| Error::new("f", number, "1.0").native().to_string();
    let lines = [error(0), "no".to_owned(), error(1), json!({ "n": 1 }).to_string(), "7".to_owned(), error(2)];
    let receipt = server.post(EVENTS, lines.join("\n")).await.expect(200);
    let refused: Vec<(u64, &str)> = receipt["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["index"].as_u64().unwrap(), one["reason"].as_str().unwrap()))
        .collect();
    let expected = [(1, "not_json"), (2, "over_limit"), (4, "not_an_object"), (5, "over_limit")];
    assert_eq!((&receipt["accepted"], &refused[..]), (&json!(2), &expected[..]), "{receipt}");
    server.issue("ValueError", 3).await;
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("everlog_events_refused_total{log=\"default\",reason=\"over_limit\"} 2\n"), "{metrics}");
}

/// Of a request with many, those that fit are kept, and the others named.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_fit_in_part() {
    let server = Server::start_with(&[("EVERLOG_TEST_CLOCK", MOMENT)]).await;
    set_limit(&server, &json!(3)).await;
    let lines: Vec<String> = (0..6)
        .map(|number| if number == 1 { json!({ "n": 1 }) } else { Error::new("f", number, "1.0").native() }.to_string())
        .collect();
    let receipt = server.post(EVENTS, lines.join("\n")).await.expect(200);
    assert_eq!(receipt["accepted"], 4, "{receipt}");
    let refused: Vec<(&Value, &Value)> =
        receipt["refused"].as_array().unwrap().iter().map(|one| (&one["index"], &one["reason"])).collect();
    assert_eq!(refused, [(&json!(4), &json!("over_limit")), (&json!(5), &json!("over_limit"))], "{receipt}");
    server.issue("ValueError", 5).await;
    for wrong in [json!(0), json!(-1), json!("many"), json!(1.5)] {
        let settings = json!({ "errors_per_minute": wrong });
        server.as_admin(Method::PUT, "/api/v1/logs/default", &settings).await.problem(400, "log_setting");
    }
    set_limit(&server, &Value::Null).await;
    server.post(EVENTS, lines.join("\n")).await.accepted(6, 3);
    server.send(&Error::new("f", 7, "1.0").native()).await;
    server.issue("ValueError", 6).await;
}

/// A client that was refused and comes back after a restart is still the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_before_a_restart_is_counted_once() {
    let mut server = Server::start_with(&[("EVERLOG_TEST_CLOCK", MOMENT)]).await;
    set_limit(&server, &json!(1)).await;
    for number in 0..3 {
        send(&server, "native", &Error::new("f", number, "1.0")).await;
    }
    server.issue("ValueError", 3).await;
    server.kill9();
    server.restart().await;
    set_limit(&server, &Value::Null).await;
    for number in [0, 1, 2, 3] {
        assert_eq!(send(&server, "native", &Error::new("f", number, "1.0")).await.status, 200);
    }
    server.send(&json!({ "level": "error", "message": "the end" })).await;
    server.issue("the end", 1).await;
    assert_eq!(server.issues("q=ValueError").await[0]["occurrences"], 4);
}
