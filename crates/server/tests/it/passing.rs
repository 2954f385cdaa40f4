//! Errors that nobody caught go on to trackers, each to those of its environment, once.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, ask, until};
use crate::sinks::{HttpSink, Sent};

const EXCEPTION: &str = include_str!("../../../intake/tests/fixtures/sentry/django-exception.envelope");

/// The settings of a channel that passes errors of an environment on to a sink.
fn tracker(sink: &HttpSink, path: &str, environment: &str) -> Value {
    let dsn = sink.url(path).replacen("http://", "http://k3y@", 1);
    json!({ "kind": "sentry", "dsn": dsn, "environments": [environment], "allow_private": true })
}

fn crash(id: &str, environment: &str) -> Value {
    json!({
        "id": id, "level": "error", "event": "api.uncaught_exception", "environment": environment, "release": "1.1",
        "message": "attempt to divide by zero", "method": "GET", "path": "/checkout", "status": 500, "user": "7",
        "request_id": id, "host": "web-1",
        "exception": { "type": "ZeroDivisionError", "message": "attempt to divide by zero", "handled": false,
            "frames": [{ "function": "pay", "file": "app/pay.py", "line": 7, "in_app": true }] },
    })
}

/// The event in an envelope.
fn event(sent: &Sent) -> Value {
    let lines: Vec<&str> = sent.body.lines().collect();
    let [head, item, payload] = lines[..] else { panic!("three lines: {}", sent.body) };
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let event = parse(payload);
    assert_eq!((&parse(head)["event_id"], &parse(item)["type"]), (&event["event_id"], &json!("event")));
    assert_eq!(parse(item)["length"].as_u64(), Some(payload.len() as u64));
    event
}

/// What stands for no error that nobody caught in production.
async fn send_others(server: &Server) {
    let mut handled = crash("0198c6f0-0000-7000-8000-00000000000c", "production");
    handled["exception"]["handled"] = true.into();
    server.send(&handled).await;
    server.send(&json!({ "level": "error", "message": "payment failed", "environment": "production" })).await;
    let mut warned = crash("0198c6f0-0000-7000-8000-00000000000d", "production");
    warned["level"] = "warning".into();
    server.send(&warned).await;
    let mut nowhere = crash("0198c6f0-0000-7000-8000-00000000000e", "");
    nowhere.as_object_mut().unwrap().remove("environment");
    server.send(&nowhere).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_environment_has_its_tracker() {
    let (gitlab, sentry) = (HttpSink::start().await, HttpSink::start().await);
    let mut server = Server::start().await;
    let collector = "/api/v4/error_tracking/collector/12";
    let shown = server.set_channel("gitlab", &tracker(&gitlab, collector, "staging")).await;
    assert!(!shown.to_string().contains("k3y"), "{shown}");
    server.set_channel("sentry", &tracker(&sentry, "/42", "production")).await;
    send_others(&server).await;
    server.send(&json!({ "message": "cart opened", "request_id": "0198c6f0-0000-7000-8000-00000000000a" })).await;
    let staging = crash("0198c6f0-0000-7000-8000-00000000000b", "staging");
    let production = crash("0198c6f0-0000-7000-8000-00000000000a", "production");
    for error in [&staging, &production, &production] {
        server.post(crate::server::EVENTS, error.to_string()).await.expect(200);
    }
    let (at_gitlab, at_sentry) = (gitlab.wait(1).await, sentry.wait(1).await);
    server.stop().await;
    server.restart().await;
    // Whatever comes after it has been looked at when this arrives.
    let last = crash("0198c6f0-0000-7000-8000-00000000000f", "production");
    server.send(&last).await;
    assert_eq!(event(&sentry.wait(2).await[1])["event_id"], "0198c6f000007000800000000000000f");
    assert_eq!((gitlab.sent().len(), sentry.sent().len()), (1, 2));
    assert_eq!(at_gitlab[0].path, "/api/v4/error_tracking/collector/api/12/envelope/");
    assert_eq!(event(&at_gitlab[0])["event_id"], "0198c6f000007000800000000000000b");
    assert_eq!(at_sentry[0].path, "/api/42/envelope/");
    let auth = at_sentry[0].header("x-sentry-auth");
    assert!(auth.starts_with("Sentry sentry_version=7, ") && auth.ends_with("sentry_key=k3y"), "{auth}");
    check_event(&event(&at_sentry[0]));
}

#[track_caller]
fn check_event(event: &Value) {
    for (pointer, expected) in [
        ("/event_id", json!("0198c6f000007000800000000000000a")),
        ("/environment", json!("production")),
        ("/release", json!("1.1")),
        ("/level", json!("error")),
        ("/platform", json!("python")),
        ("/server_name", json!("web-1")),
        ("/user", json!({ "id": "7" })),
        ("/request/method", json!("GET")),
        ("/exception/values/0/type", json!("ZeroDivisionError")),
        ("/exception/values/0/mechanism/handled", json!(false)),
        ("/exception/values/0/stacktrace/frames/0/filename", json!("app/pay.py")),
    ] {
        assert_eq!(event.pointer(pointer), Some(&expected), "{pointer} of {event}");
    }
    let crumbs = event["breadcrumbs"]["values"].as_array().unwrap();
    assert!(crumbs.iter().any(|crumb| crumb["message"] == "cart opened"), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_of_sentry_sent_goes_on() {
    let sink = HttpSink::start().await;
    let server = Server::start().await;
    let mut channel = tracker(&sink, "/42", "production");
    channel.as_object_mut().unwrap().remove("environments");
    server.set_channel("sentry", &channel).await;
    let sent =
        EXCEPTION.replace("\"handled\":true", "\"handled\":false").replace("\"handled\": true", "\"handled\": false");
    ask(server.request(Method::POST, "/api/1/envelope/?sentry_key=x").body(sent)).await.expect(200);
    let event = event(&sink.wait(1).await[0]);
    assert_eq!(event["contexts"]["order"]["id"], 1_152_921_504_606_846_976_u64, "{event}");
    assert!(event["sdk"]["name"].as_str().is_some_and(|name| name.starts_with("sentry.python")), "{event}");
    // To try it, an event that says it is a test.
    server.as_admin(Method::POST, "/api/v1/channels/sentry/test", &Value::Null).await.expect(200);
    assert_eq!(self::event(&sink.wait(2).await[1])["level"], "info");
}

/// A loop that fails does not flood a tracker; what is left out is told as a count.
#[tokio::test(flavor = "multi_thread")]
async fn so_many_of_one_issue_in_a_minute() {
    let sink = HttpSink::start().await;
    let mut server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z")]).await;
    server.set_channel("sentry", &tracker(&sink, "/42", "production")).await;
    sink.refuse([(503, None)]);
    for number in 0..25 {
        server.send(&crash(&format!("0198c6f0-0000-7000-8000-0000000000{number:02}"), "production")).await;
    }
    server.issue("ZeroDivisionError", 25).await;
    server.kill9();
    server.set("EVERLOG_TEST_CLOCK", "2026-01-02T03:06:05Z");
    server.restart().await;
    let ids = || sink.sent().iter().map(|sent| event(sent)["event_id"].to_string()).collect::<BTreeSet<_>>();
    until("ten errors", async || (ids().len() >= 10).then_some(())).await;
    until("the count of the others", async || {
        let told = server.events("event=errors_left_out").await;
        (told.first()?["count"] == 15).then_some(())
    })
    .await;
    assert_eq!(ids().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused() {
    let sink = HttpSink::start().await;
    let server = Server::start().await;
    let good = tracker(&sink, "/42", "production");
    for (key, value, reason) in [
        ("dsn", json!("https://host.example/42"), "its key stands before the @"),
        ("dsn", json!("https://k3y@host.example/"), "expected one like"),
        ("rules", json!(["new_issue"]), "errors themselves and no notices"),
        ("hourly_cap", json!(5), "errors themselves and no notices"),
        ("allow_private", json!(false), "dsn"),
    ] {
        let mut channel = good.clone();
        channel[key] = value;
        let answer = server.as_admin(Method::PUT, "/api/v1/channels/sentry", &channel).await;
        answer.problem(400, "alert_setting");
        assert!(answer.text().contains(reason) && !answer.text().contains("k3y"), "{}", answer.text());
    }
    // As it was shown, it is taken again, with its key.
    let mut shown = server.set_channel("sentry", &good).await;
    shown.as_object_mut().unwrap().remove("in_file");
    server.set_channel("sentry", &shown).await;
    server.send(&crash("0198c6f0-0000-7000-8000-00000000000a", "production")).await;
    assert!(sink.wait(1).await[0].header("x-sentry-auth").ends_with("=k3y"));
}
