//! The streams: which there are, adding one, and what may not go.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, ask};

fn listed(server: &Server) -> Vec<String> {
    let lines = server.cli_ok(&["streams", "list"]);
    lines.lines().map(|line| line.split("  ").next().unwrap().to_owned()).collect()
}

const FIRST: [&str; 8] = ["INFO", "WARN", "DEBUG", "LOGIN", "ERROR", "SECURITY ALERT", "STRANGE ACTIVITY", "INTERNAL"];

#[tokio::test(flavor = "multi_thread")]
async fn eight_at_first_and_nine_after_one_was_added() {
    let mut server = Server::start().await;
    assert_eq!(listed(&server), FIRST);
    let remarks = server.cli(&["stream", "list"]);
    assert!(String::from_utf8_lossy(&remarks.stderr).contains("AUDIT, VIEW and SPAN are kept besides"), "{remarks:?}");
    server.cli_ok(&["streams", "add", "PAYMENTS", "--label", "PAID: "]);
    server.cli_ok(&["streams", "add", "PAYMENTS"]);
    server.cli_ok(&["streams", "add", "PAYMENTS", "--label", "PAID:"]);
    for _ in 0..2 {
        assert_eq!(listed(&server), [&FIRST[..], &["PAYMENTS"]].concat());
        let table = server.cli_ok(&["stream", "ls"]);
        assert!(table.contains("PAYMENTS          PAID:") && table.contains("WARN              WARNING:"), "{table}");
        server.kill9();
        server.restart().await;
    }
    let told = server.events("stream=AUDIT&event=stream_added").await;
    assert_eq!(told.len(), 1, "what changes nothing is no deed: {told:?}");
    assert_eq!((&told[0]["object_type"], &told[0]["object_id"]), (&json!("stream"), &json!("PAYMENTS")));
    assert!(told[0]["user"].as_str().unwrap().starts_with("token/"), "{told:?}");
    server.cli_ok(&["stream", "add", "PAYMENTS", "--label", "P:"]);
    assert_eq!(server.events("event=stream_added").await.len(), 2);
    // All that is there, one JSON object a line.
    server.send(&json!({"stream": "ODD ONE"})).await;
    let all: Vec<Value> = server
        .cli_ok(&["stream", "list", "--all", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all.len(), 8 + 1 + 3 + 1);
    assert_eq!(all[12], json!({"name": "ODD ONE", "label": "ODD ONE:", "kind": "seen", "listed": false, "events": 1}));
    assert_eq!((&all[9]["name"], &all[9]["events"]), (&json!("AUDIT"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn some_streams_stay() {
    let server = Server::start().await;
    for (name, why) in [
        ("INTERNAL", "nobody would hear of trouble"),
        ("AUDIT", "sealed"),
        ("LOGIN", "sealed"),
        ("SECURITY_ALERT", "sealed"),
        ("VIEW", "door of its own"),
        ("SPAN", "door of its own"),
    ] {
        for how in [&[][..], &["--purge"], &["--keep"], &["--purge", "--dry-run"]] {
            let output = server.cli(&[&["streams", "rm", name], how].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(1) && said.contains(why), "{name}: {output:?}");
        }
    }
    assert_eq!(listed(&server), FIRST);
    let unknown =
        server.as_admin(Method::DELETE, "/api/v1/streams/DEBGU", &Value::Null).await.problem(404, "unknown_stream");
    assert!(unknown["detail"].as_str().unwrap().contains("did you mean \"DEBUG\"?"), "{unknown}");
    assert_eq!(server.events("stream=AUDIT").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_events_goes_only_when_it_is_said_what_becomes_of_them() {
    let mut server = Server::start().await;
    for (log, stream, count) in
        [("default", "DEBUG", 3), ("shop", "DEBUG", 2), ("shop", "INFO", 4), ("other", "INFO", 1)]
    {
        for number in 0..count {
            // Some in the buffer, some in segments; some in a far future.
            let year = 2026 + number * 1000;
            let body = json!({"stream": stream, "n": number, "timestamp": format!("{year}-01-01T00:00:00Z")});
            server.post(&format!("/api/v1/logs/{log}/events"), body.to_string()).await.accepted(1, 0);
            if number == 0 {
                server.flush().await;
            }
        }
    }
    let count = async |server: &Server, log: &str, query: &str| {
        server.get(&format!("/api/v1/logs/{log}/events?{query}")).await.json().as_array().unwrap().len()
    };
    let problem =
        server.as_admin(Method::DELETE, "/api/v1/streams/DEBUG", &Value::Null).await.problem(409, "stream_has_events");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("5 events in the logs default, shop")
            && detail.contains("--keep")
            && detail.contains("--purge"),
        "{detail}"
    );
    let would = server.cli(&["stream", "remove", "DEBUG", "--purge", "--dry-run"]);
    assert!(
        String::from_utf8_lossy(&would.stderr).contains("5 events of it (3 in default, 2 in shop) deleted"),
        "{would:?}"
    );
    assert_eq!((listed(&server).len(), count(&server, "shop", "stream=DEBUG").await), (8, 2), "nothing happened yet");
    let done = server.as_admin(Method::DELETE, "/api/v1/streams/DEBUG?data=purge", &Value::Null).await.expect(200);
    assert_eq!((&done["purged"], &done["logs"]), (&json!(5), &json!({"default": 3, "shop": 2})));
    for _ in 0..2 {
        assert_eq!(
            (count(&server, "default", "stream=DEBUG").await, count(&server, "shop", "stream=DEBUG").await),
            (0, 0)
        );
        assert_eq!((count(&server, "shop", "stream=INFO").await, count(&server, "other", "").await), (4, 1));
        assert_eq!(listed(&server).len(), 7, "it stays removed");
        server.stop().await;
        server.restart().await;
    }
    for (log, gone) in [("default", 3), ("shop", 2)] {
        let told = server.get(&format!("/api/v1/logs/{log}/events?event=events_purged")).await.json();
        assert_eq!(
            (told.as_array().unwrap().len(), &told[0]["stream"], &told[0]["events"]),
            (1, &json!("AUDIT"), &json!(gone))
        );
        assert_eq!(
            (&told[0]["object_id"], &told[0]["token_label"]),
            (&json!("DEBUG"), &json!("made at the first start"))
        );
    }
    assert_eq!(server.events("event=stream_removed").await.len(), 1);
    // A name that is off the list is still a name.
    server.send(&json!({"stream": "DEBUG"})).await;
    assert_eq!(server.events("stream=DEBUG").await.len(), 1);
    server.cli_ok(&["stream", "add", "DEBUG"]);
    assert_eq!(listed(&server).len(), 8);
    server.cli_ok(&["stream", "remove", "DEBUG", "--keep"]);
    assert_eq!((listed(&server).len(), server.events("stream=DEBUG").await.len()), (7, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_labels_and_who_may() {
    let server = Server::start().await;
    let put =
        async |name: &str, body: Value| server.as_admin(Method::PUT, &format!("/api/v1/streams/{name}"), &body).await;
    for name in ["%20", "a%0Ab", "%1b%5B2J", &"x".repeat(101)] {
        put(name, json!({})).await.problem(400, "stream_name");
    }
    for label in ["a\nb", "\u{1b}[2J", &"x".repeat(101)] {
        put("A", json!({ "label": label })).await.problem(400, "stream_label");
    }
    put("A", json!({"lable": "x"})).await.problem(400, "bad_request");
    let made = put("%E6%97%A5%2F..", json!({"label": "日: "})).await.expect(200);
    assert_eq!((&made["name"], &made["label"], &made["changed"]), (&json!("日/.."), &json!("日:"), &json!(true)));
    assert_eq!(put("SECURITY_ALERT", json!({})).await.expect(200)["changed"], false);
    let path = "/api/v1/streams/DEBUG";
    ask(server.request(Method::PUT, path)).await.problem(403, "forbidden");
    ask(server.request(Method::DELETE, path)).await.problem(403, "forbidden");
    server.as_admin(Method::DELETE, &format!("{path}?data=burn"), &Value::Null).await.problem(400, "bad_request");
    server.as_admin(Method::DELETE, &format!("{path}?purge=y"), &Value::Null).await.problem(400, "bad_request");
    assert_eq!(server.get("/api/v1/streams").await.expect(200).as_array().unwrap().len(), 8 + 1 + 3);
}
