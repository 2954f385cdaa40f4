//! Events older than their log keeps them go.

use event::Clock as _;
use reqwest::Method;
use serde_json::json;

use crate::server::{EVENTS, Server, until};

#[tokio::test(flavor = "multi_thread")]
async fn old_events_go_when_retention_is_set() {
    let server = Server::start().await;
    let day = 86_400_000_000;
    let now = event::SystemClock.now().as_micros();
    for (age, stream) in [(10, "INFO"), (10, "AUDIT"), (10, "DEBUG"), (0, "INFO"), (0, "DEBUG")] {
        server.send(&json!({"timestamp": (now - age * day), "stream": stream, "age": age})).await;
    }
    server.flush().await;
    assert_eq!(server.events("age>=0").await.len(), 5);
    server.cli_ok(&["logs", "retention", "default", "1d", "--stream", "AUDIT=forever"]);
    until("the old events to go", async || (server.events("age>=0").await.len() == 3).then_some(())).await;
    assert_eq!(server.events("age=10").await[0]["stream"], "AUDIT");
    until("the message", async || (server.internal("retention_applied").await == 1).then_some(())).await;
    let told = &server.events("event=retention_applied").await[0];
    assert_eq!((&told["events"], &told["log"]), (&json!(2), &json!("default")));
    let log = server.get("/api/v1/logs/default").await.expect(200);
    assert_eq!(log["retention"][""], "1d", "{log}");
}

/// The titles of all issues.
async fn titles(server: &Server) -> Vec<String> {
    let mut titles: Vec<String> = server
        .issues("limit=1000&q=%3A%20x")
        .await
        .iter()
        .map(|issue| issue["title"].as_str().unwrap().replace(": x", ""))
        .collect();
    titles.sort();
    titles
}

/// An issue goes after the last of its events, with the numbers that lead to it; what still happens, and what somebody
/// ignores, stays, and no number is given again.
#[tokio::test(flavor = "multi_thread")]
async fn issues_go_with_the_last_of_their_events() {
    let mut server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z")]).await;
    let mut ids = Vec::new();
    let kinds = ["Lost", "Quiet", "Still", "Merged", "Future"];
    let error = |kind: &str| {
        let time = if kind == "Future" { "2026-03-01T00:00:00Z" } else { "2026-01-02T03:00:00Z" };
        json!({ "level": "error", "timestamp": time, "exception": { "type": kind, "message": "x" } })
    };
    for kind in kinds {
        server.send(&error(kind)).await;
        ids.push(server.issue(kind, 1).await["id"].as_str().unwrap().to_owned());
    }
    // More than are looked at in one look.
    let letter = |number: u8| char::from(b'g' + number);
    let many = |number: u8| {
        let word = [letter(number / 13), letter(number % 13)].into_iter().collect::<String>();
        json!({ "level": "error", "timestamp": "2026-01-02T03:00:00Z", "message": format!("{word} broke") })
    };
    let lines: String = (0..150).map(|number| format!("{}\n", many(number))).collect();
    server.post(EVENTS, lines).await.accepted(150, 0);
    until("all of them", async || (server.issues("limit=1000&q=broke").await.len() == 150).then_some(())).await;
    let path = |place: usize| format!("/api/v1/issues/{}", ids[place]);
    server.as_admin(Method::PATCH, &path(1), &json!({ "state": "ignored" })).await.expect(200);
    server.as_admin(Method::POST, &format!("{}/merge", path(0)), &json!({ "with": ids[3] })).await.expect(200);
    server.cli_ok(&["logs", "retention", "default", "30d"]);
    for (now, again) in [("2026-01-20T00:00:00Z", Some("Still")), ("2026-02-10T00:00:00Z", None)] {
        server.flush().await;
        server.kill9();
        server.set("EVERLOG_TEST_CLOCK", now);
        server.restart().await;
        if let Some(kind) = again {
            assert_eq!(titles(&server).await, ["Future", "Lost", "Quiet", "Still"]);
            let late = json!({ "level": "error", "exception": { "type": kind, "message": "x" } });
            server.send(&late).await;
            server.issue(kind, 2).await;
        }
    }
    until("the issues to go", async || (titles(&server).await == ["Future", "Quiet", "Still"]).then_some(())).await;
    for gone in [0, 3] {
        server.get(&path(gone)).await.problem(404, "unknown_issue");
    }
    until("all others to go", async || server.issues("q=broke").await.is_empty().then_some(())).await;
    until("the messages", async || {
        let told = server.events("event=issues_removed&log=default").await;
        (told.iter().map(|told| told["issues"].as_u64().unwrap()).sum::<u64>() == 151).then_some(())
    })
    .await;
    server.kill9();
    server.restart().await;
    server.send(&error("Lost")).await;
    let new = server.issue("Lost", 1).await["id"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(ids.iter().all(|id| id.parse::<u64>().unwrap() < new), "{new} {ids:?}");
}
