//! Misconfiguration without a flood of mails: each error once a day, and then how often it was meant to be told.

use serde_json::{Value, json};

use crate::server::{EVENTS, Server, until};
use crate::sinks::{Mail, MailSink};

const DOOR: &str = "/api/v1/logs/default/configuration-errors";

fn error(message: &str) -> Value {
    json!({ "message": message, "object": "dashboardwidget:12", "url": "/dash/12", "config_field": "ward_id" })
}

const MISSING: &str = "'ward_id' configuration is missing";
const UNKNOWN: &str = "Ward 99 does not exist";

#[track_caller]
fn check_mail(mail: &Mail, message: &str, held: Option<&str>) {
    let text = mail.text();
    assert_eq!(mail.to, ["ops@example.com"]);
    for part in [message, "dashboardwidget:12", "/dash/12", "ward_id"].into_iter().chain(held) {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert_eq!(text.contains("Held back"), held.is_some(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_mailed_once_a_day() {
    let sink = MailSink::start().await;
    let mut server = Server::start_with(&[
        ("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z"),
        ("EVERLOG_SMTP", &sink.url()),
        ("EVERLOG_CONFIG_ERROR_REPORT_EMAIL", "ops@example.com"),
        ("EVERLOG_CONFIG_ERROR_REPORT_RATE_LIMIT_HOURS", "24"),
    ])
    .await;
    for _ in 0..100 {
        server.post(DOOR, error(MISSING).to_string()).await.accepted(1, 0);
    }
    server.post(DOOR, error(UNKNOWN).to_string()).await.accepted(1, 0);
    let first = sink.wait(2).await;
    server.told(2).await;
    check_mail(&first[0], MISSING, None);
    check_mail(&first[1], UNKNOWN, None);
    server.kill9();
    server.restart().await;
    server.stop().await;
    // A day and a second later.
    server.set("EVERLOG_TEST_CLOCK", "2026-01-03T03:04:06Z");
    server.restart().await;
    server.post(DOOR, error(MISSING).to_string()).await.accepted(1, 0);
    let all = sink.wait(3).await;
    assert_eq!(all.len(), 3);
    check_mail(&all[2], MISSING, Some("99 more since the last notice"));
    assert_eq!(server.issues("").await, [Value::Null; 0], "none is an error of the code");
    assert_eq!(server.events("event=configuration_error&_limit=1000").await.len(), 102);
    assert!(!server.said().contains("reported to nobody"), "{}", server.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_it_is_kept_and_said_once() {
    let server = Server::start().await;
    server.post(DOOR, error(MISSING).to_string()).await.accepted(1, 0);
    // It may come as any other event.
    let mut event = error(UNKNOWN);
    event["event"] = "configuration_error".into();
    server.post(EVENTS, event.to_string()).await.accepted(1, 0);
    let kept = server.events("event=configuration_error&_sort=_sequence").await;
    assert_eq!(kept.len(), 2);
    for (key, value) in error(MISSING).as_object().unwrap() {
        assert_eq!(&kept[0][key], value, "{}", kept[0]);
    }
    server.send(&json!({ "level": "error", "message": "the end" })).await;
    server.issue("the end", 1).await;
    assert_eq!(server.issues("").await.len(), 1);
    let notices = server.get("/api/v1/notices").await.expect(200);
    assert_eq!(notices.as_array().unwrap().len(), 1, "of the error alone: {notices}");
    assert_eq!(server.said().matches("configuration errors are kept and reported to nobody").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_none_is_refused() {
    let server = Server::start().await;
    for body in [json!({}), json!({ "message": " " }), json!({ "object": "x:1" }), json!([1])] {
        server.post(DOOR, body.to_string()).await.problem(400, "bad_request");
    }
    let object = json!({ "message": MISSING, "object": { "type": "dashboardwidget", "id": 12 } });
    server.post(DOOR, object.to_string()).await.accepted(1, 0);
    assert_eq!(server.events("object=dashboardwidget:12").await.len(), 1);
}

/// `email_errors` mails new errors of the code, and not those of the configuration.
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_code_have_an_address_of_their_own() {
    let sink = MailSink::start().await;
    let server =
        Server::start_with(&[("EVERLOG_SMTP", &sink.url()), ("EVERLOG_EMAIL_ERRORS", "dev@example.com")]).await;
    server.post(DOOR, error(MISSING).to_string()).await.accepted(1, 0);
    server.send(&json!({ "level": "error", "message": "payment failed" })).await;
    let mails = sink.wait(1).await;
    assert_eq!(mails[0].to, ["dev@example.com"]);
    assert!(mails[0].text().contains("payment failed"), "{}", mails[0].text());
    until("the answer", async || {
        let notices = server.get("/api/v1/notices").await.expect(200);
        let states: Vec<String> =
            notices[0]["deliveries"].as_array()?.iter().map(|delivery| delivery["state"].to_string()).collect();
        (states == ["\"sent\""]).then_some(())
    })
    .await;
    assert_eq!(sink.mails().len(), 1);
}
