//! Who is at the door: scanners and crawlers are counted and told of once, and are nobody's error.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{EVENTS, Server, until};
use crate::sinks::HttpSink;

const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";

/// Sends what 50 probes, 20 misses of a crawler and one customer leave in a log.
async fn visitors(server: &Server) {
    let mut lines = String::new();
    let mut add = |event: Value| lines.extend([event.to_string(), "\n".to_owned()]);
    for second in 0..50 {
        add(
            json!({ "timestamp": format!("2026-01-02T03:03:{second:02}Z"), "method": "GET", "path": "/wp-login.php", "code": 404,
            "ip": "198.51.100.7", "user_agent": CHROME }),
        );
    }
    for _ in 0..20 {
        add(
            json!({ "method": "GET", "path": "/courses/x/video.mp4", "code": 404, "ip": "203.0.113.50", "user_agent": GOOGLEBOT }),
        );
    }
    for (event, message) in
        [("user.logged_in", "login"), ("user.subscribed", "subscribe"), ("user.logged_out", "logout")]
    {
        add(json!({ "level": "notice", "event": event, "message": message, "user": "42", "ip": "203.0.113.9" }));
    }
    server.post(EVENTS, lines).await.accepted(73, 0);
}

async fn check_kept(server: &Server) {
    let counted =
        server.get(&format!("{EVENTS}?code=404&_by=client.kind&_c=path%7Ccount&_sort=client.kind")).await.expect(200);
    let expected =
        json!([{ "client.kind": "crawler", "path|count": 20 }, { "client.kind": "probe", "path|count": 50 }]);
    assert_eq!(counted, expected);
    let crawlers = server.events("client.kind=crawler&client.verified=false&_limit=100").await;
    assert_eq!(crawlers.len(), 20);
    assert_eq!(server.events("client.verified=true").await.len(), 0);
    assert_eq!(server.events("security.probe=wordpress&_limit=100").await.len(), 50);
    let notices = server.events("level=notice&ip=203.0.113.9&_sort=_sequence").await;
    let said: Vec<&Value> = notices.iter().map(|notice| &notice["message"]).collect();
    assert_eq!(said, ["login", "subscribe", "logout"]);
}

/// The events that tell of findings.
async fn findings(server: &Server) -> Vec<Value> {
    let mut found = server.events("stream=SECURITY%20ALERT&_limit=100").await;
    found.extend(server.events("stream=STRANGE%20ACTIVITY&_limit=100").await);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_crawlers_are_one_line_and_no_error() {
    let sink = HttpSink::start().await;
    let mut server =
        Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z"), ("EVERLOG_TREE", "true")]).await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    visitors(&server).await;
    check_kept(&server).await;
    // Half a minute later, whatever happened in between, the window is over.
    server.kill9();
    server.set("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:35Z");
    server.restart().await;
    let found = until("the finding", async || Some(findings(&server).await).filter(|found| !found.is_empty())).await;
    let [finding] = &found[..] else { panic!("one, and not {found:?}") };
    assert_eq!((&finding["stream"], &finding["user"]), (&json!("SECURITY ALERT"), &json!("system")), "{finding}");
    let message = finding["message"].as_str().unwrap();
    assert!(message.contains("198.51.100.7") && message.contains("50"), "{message}");
    assert_eq!((&finding["count"], &finding["ip"]), (&json!(50), &json!("198.51.100.7")), "{finding}");
    let file = server.data().join("logs/sys/SECURITY_ALERT_log.log");
    let text = until("the line of text", async || {
        std::fs::read_to_string(&file).ok().filter(|text| text.contains("198.51.100.7"))
    })
    .await;
    assert_eq!(text.matches("198.51.100.7").count(), 1, "{text}");
    // Nothing else is told, neither before the first error nor at a further start.
    server.stop().await;
    server.restart().await;
    server.send(&json!({ "level": "error", "message": "the end" })).await;
    sink.wait(1).await;
    let told = sink.notices();
    assert_eq!(told.iter().map(|notice| &notice["title"]).collect::<Vec<_>>(), ["the end"], "{told:?}");
    assert_eq!(server.issues("").await.len(), 1);
    assert_eq!(findings(&server).await.len(), 1);
    check_kept(&server).await;
}

/// An hour later those who want to read it find the scanner in a digest.
#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_waits_for_the_digest() {
    let sink = HttpSink::start().await;
    let mut server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z")]).await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    visitors(&server).await;
    for (moment, events) in [("2026-01-02T03:04:35Z", 1), ("2026-01-02T04:10:00Z", 1)] {
        server.stop().await;
        server.set("EVERLOG_TEST_CLOCK", moment);
        server.restart().await;
        until("the finding", async || (findings(&server).await.len() == events).then_some(())).await;
    }
    let sent = sink.wait(1).await;
    assert_eq!(sent[0].json()["event_name"], "digest");
    assert!(sent[0].body.contains("scanner at 198.51.100.7: 50 probes"), "{}", sent[0].body);
}

/// Who tries stolen passwords is told of at once, and who gets in after that is critical.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_that_are_tried() {
    let sink = HttpSink::start().await;
    let mut server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z")]).await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    let attempt = |number: u32, event: &str| json!({ "event": event, "level": "info", "user": format!("victim{number}"), "ip": "198.51.100.8", "id": format!("{event}-{number}") });
    let lines: String = (0..12).map(|number| format!("{}\n", attempt(number, "login_failed"))).collect();
    server.post(EVENTS, lines).await.accepted(12, 0);
    server.send(&attempt(3, "login_succeeded")).await;
    let broken =
        until("who broke in", async || findings(&server).await.into_iter().find(|found| found["event"] == "broken_in"))
            .await;
    assert_eq!((&broken["level"], &broken["stream"]), (&json!("critical"), &json!("SECURITY ALERT")), "{broken}");
    sink.wait(1).await;
    server.stop().await;
    server.set("EVERLOG_TEST_CLOCK", "2026-01-02T03:05:05Z");
    server.restart().await;
    sink.wait(2).await;
    let told: Vec<Value> = sink.notices();
    assert!(told.iter().all(|notice| notice["rule"] == "security"), "{told:?}");
    assert!(
        told.iter().any(|notice| notice["title"].as_str().unwrap().contains("12 failed logins of 12 users")),
        "{told:?}"
    );
    assert_eq!(findings(&server).await.len(), 2);
    assert_eq!(server.issues("").await.len(), 0, "an attack is no error");
    let rule = server.as_admin(Method::GET, "/api/v1/rules/security", &Value::Null).await.expect(200);
    assert_eq!(rule["built_in"], true, "{rule}");
}
