//! Log files as they lie around, taken in twice.

use serde_json::json;

use crate::server::{Server, until};
use crate::sinks::HttpSink;

const ACCESS: &str = r#"203.0.113.7 - alice [19/May/2025:14:09:20 +0000] "GET /api/orders?page=2 HTTP/1.1" 200 512 "-" "curl/8.5.0"
203.0.113.8 - - [19/May/2025:14:09:21 +0000] "POST /api/orders HTTP/1.1" 502 157 "https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64)"
203.0.113.9 - bob [19/May/2025:14:09:22 +0000] "GET /wp-login.php HTTP/1.1" 404 0 "-" "masscan/1.3"
"#;

const TRACE: &str = r#"2025-05-19 14:09:23,101 ERROR django.request: Internal Server Error: /api/orders
Traceback (most recent call last):
  File "/srv/shop/orders/views.py", line 42, in create
    total = cart.total()
  File "/srv/shop/orders/cart.py", line 7, in total
    return sum(self.prices) / self.count
ZeroDivisionError: division by zero
2025-05-19 14:09:24,000 INFO orders: next one
"#;

fn django() -> String {
    let trace = "Traceback (most recent call last):\n  File \"/srv/shop/api.py\", line 3, in get\n    raise KeyError('sku')\nKeyError: 'sku'";
    let lines = [
        json!({"timestamp": "2025-05-19T14:09:25Z", "level": "error", "event": "request_failed", "user_id": 7, "request": "GET /api/items/9", "code": 500, "exception": trace}),
        json!({"timestamp": "2025-05-19T14:09:26Z", "level": "info", "event": "request_finished", "user_id": 7, "request": "GET /api/items/8", "code": 200}),
    ];
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// How many events a search finds.
fn found(server: &Server, search: &str) -> usize {
    server.cli_ok(&["query", search]).lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_taken_once_and_everything_in_them_is_found() {
    let mut server = Server::start().await;
    let logs = server.folder().join("var-log");
    std::fs::create_dir(&logs).unwrap();
    for (name, text) in [("access.log", ACCESS), ("python.log", TRACE), ("django.jsonl", &django())] {
        std::fs::write(logs.join(name), text).unwrap();
    }
    let import = |server: &Server| server.cli_ok(&["import", logs.to_str().unwrap(), "--zone", "UTC"]);
    import(&server);
    for (search, count) in [
        ("", 7),
        ("user:alice", 1),
        ("user:7", 2),
        ("status:>=500", 2),
        ("status:404", 1),
        ("masscan", 1),
        ("path:/api/orders", 2),
        ("ip:203.0.113.8", 1),
        ("ZeroDivisionError", 1),
        ("cart.py", 1),
        ("exception.type:ZeroDivisionError", 1),
        ("KeyError", 1),
        ("level:error", 3),
        ("\"next one\"", 1),
    ] {
        assert_eq!(found(&server, search), count, "{search}");
    }
    import(&server);
    assert_eq!(found(&server, "file:*"), 7, "the second time adds nothing");
    server.kill9();
    server.restart().await;
    import(&server);
    assert_eq!(found(&server, "file:*"), 7, "nor after a power cut");
    std::fs::write(
        logs.join("access.log"),
        format!("{ACCESS}{}", ACCESS.lines().next().unwrap().replace("alice", "carol") + "\n"),
    )
    .unwrap();
    std::fs::rename(logs.join("python.log"), logs.join("python.log.1")).unwrap();
    import(&server);
    assert_eq!((found(&server, "file:*"), found(&server, "user:carol")), (8, 1), "only what a file has grown by");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_use_the_key_id_for_something_else_are_all_kept_as_they_are() {
    let server = Server::start().await;
    let file = server.folder().join("orders.jsonl");
    std::fs::write(&file, "{\"id\":7,\"n\":1}\n{\"id\":7,\"n\":2}\n{\"id\":\"x\",\"n\":3}\n").unwrap();
    for _ in 0..2 {
        server.cli_ok(&["import", file.to_str().unwrap()]);
    }
    let kept: Vec<_> = server.events("n&_sort=n").await.iter().map(|event| event["id"].clone()).collect();
    assert_eq!(kept, [json!(7), json!(7), json!("x")]);
}

/// An access log of yesterday with a scanner and guessed passwords, and errors that nobody knew of.
fn yesterday() -> (String, String) {
    let browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0";
    let line = |second: usize, ip: &str, request: &str, status: u16| {
        format!(
            "{ip} - - [01/Jan/2026:03:04:{second:02} +0000] \"{request} HTTP/1.1\" {status} 0 \"-\" \"{browser}\"\n"
        )
    };
    let probes = (0..50).map(|second| line(second, "198.51.100.7", "GET /wp-login.php", 404));
    let guesses = (0..50).map(|second| line(second, "198.51.100.8", "POST /login", 401));
    let letter = |number: u8| char::from(b'A' + number);
    let errors = (0..26).map(|number| {
        let exception = json!({ "type": format!("{}Error", letter(number)), "message": "it failed" });
        let event = json!({ "timestamp": "2026-01-01T04:00:00Z", "level": "error", "exception": exception });
        format!("{event}\n")
    });
    // One that waits for its exception is of the past when it has waited.
    let answer = json!({ "timestamp": "2026-01-01T04:00:00Z", "status": 503, "path": "/pay", "method": "GET", "request_id": "request-1" });
    (probes.chain(guesses).collect(), errors.chain([format!("{answer}\n")]).collect())
}

/// A day of the past is counted under its own time, and nothing in it is taken as happening now.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_the_past_is_no_attack_and_no_flood() {
    let sink = HttpSink::start().await;
    let mut server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T12:00:00Z")]).await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    let (access, errors) = yesterday();
    for (name, text) in [("access.log", access), ("errors.jsonl", errors)] {
        let file = server.folder().join(name);
        std::fs::write(&file, text).unwrap();
        server.cli_ok(&["import", file.to_str().unwrap(), "--zone", "UTC"]);
    }
    // All the same it is seen what they are.
    assert_eq!(server.events("security.probe=wordpress&_limit=100").await.len(), 50);
    assert_eq!(server.events("security.login_outcome=failed&_limit=100").await.len(), 50);
    until("the issues", async || (server.issues("limit=100").await.len() == 26).then_some(())).await;
    let issue = server.issue("AError", 1).await;
    assert_eq!(issue["last_seen"], "2026-01-01T04:00:00.000000Z", "{issue}");
    // What is sent otherwise is told at once, however old it is, and before the rest.
    server.send(&json!({ "timestamp": "2025-12-24T00:00:00Z", "level": "error", "message": "the end" })).await;
    sink.wait(1).await;
    assert_eq!(sink.notices()[0]["title"], "the end");
    // Six minutes later all windows are over, and the errors of the past come in one digest, with the answer that waited for
    // its exception until now.
    server.stop().await;
    server.set("EVERLOG_TEST_CLOCK", "2026-01-02T12:06:00Z");
    server.restart().await;
    let told = sink.wait(2).await;
    let digest = told[1].json();
    assert_eq!((&digest["event_name"], &digest["notice"]["held"]), (&json!("digest"), &json!(27)), "{digest}");
    assert!(told[1].body.contains("(of the past)"), "{digest}");
    server.send(&json!({ "level": "error", "message": "another end" })).await;
    sink.wait(3).await;
    assert_eq!(sink.notices()[2]["title"], "another end");
    for stream in ["SECURITY%20ALERT", "STRANGE%20ACTIVITY"] {
        assert_eq!(server.events(&format!("stream={stream}")).await, Vec::<serde_json::Value>::new());
    }
}
