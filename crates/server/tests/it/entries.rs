//! The call of API Logger, by HTTP and by the command line, and what becomes of it.

use std::io::Write as _;
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::server::{EVERLOG, Server, ask, program, until};

const ENTRIES: &str = "/api/v1/logs/default/entries";

/// An event without what was made for it.
fn bare(event: &Value) -> Value {
    let mut event = event.as_object().unwrap().clone();
    event.retain(|key, _| !["id", "received", "timestamp"].contains(&key.as_str()));
    Value::Object(event)
}

/// The events of a query string, oldest first, without what was made for them.
async fn stored(server: &Server, query: &str) -> Vec<Value> {
    server.events(&format!("{query}&_sort=_sequence")).await.iter().map(bare).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_and_the_short_form() {
    let server = Server::start().await;
    server.post(ENTRIES, r#"{"m":"This log entry will go under INFO for the system."}"#).await.accepted(1, 0);
    server.post(ENTRIES, r#"{"location":"alice","message":"no stream"}"#).await.accepted(1, 0);
    let call = json!({"stream": "SECURITY_ALERT", "location": "bob", "message": "x", "timestamp": false, "heading": null,
        "dict_to_string": false, "m": null});
    server.post(ENTRIES, call.to_string()).await.accepted(1, 0);
    for place in ["buffer", "segment"] {
        assert_eq!(
            stored(&server, "").await,
            [
                json!({"stream": "INFO", "message": "This log entry will go under INFO for the system.", "user": "system"}),
                json!({"stream": "INFO", "message": "no stream", "user": "alice"}),
                json!({"stream": "SECURITY ALERT", "message": "x", "user": "bob"}),
            ],
            "{place}"
        );
        assert_eq!(server.events("stream=SECURITY+ALERT").await.len(), 1);
        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_user_and_one_of_the_system() {
    let server = Server::start().await;
    let at = ["--timestamp", "--at", "2024-04-09T20:39:05Z"];
    for who in [["INFO", "alice@example.com"], ["ERROR", "system"]] {
        let words = ["log", who[0], who[1], "Log entry here."];
        server.cli_ok(&[&words[..], &at].concat());
    }
    server.cli_ok(&["log", "-m", "This log entry will go under INFO for the system."]);
    let found = server.events("user=alice@example.com").await;
    assert_eq!((found.len(), &found[0]["timestamp"]), (1, &json!("2024-04-09T20:39:05.000000Z")));
    assert_eq!(
        bare(&found[0]),
        json!({"stream": "INFO", "message": "Log entry here.", "user": "alice@example.com", "show_timestamp": true})
    );
    assert_eq!(server.events("user=system&show_timestamp").await[0]["stream"], "ERROR");
    let short = &server.events("user=system&stream=INFO").await[0];
    assert_eq!(
        bare(short),
        json!({"stream": "INFO", "message": "This log entry will go under INFO for the system.", "user": "system"})
    );
    assert!(!server.cli(&["log", "INFO", "-m", "x"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_with_a_heading_that_does_not_stick() {
    let server = Server::start().await;
    let user = "usera1@gizzleMail.com";
    let dict = r#"{"username":"usera1@gizzleMail.com","IP_Address":"200.88.45.102","time_in":"2024-04-09T21:08:10Z"}"#;
    server.cli_ok(&["log", "LOGIN", user, dict, "--dict", "--heading", "New Login"]);
    server.cli_ok(&["log", "LOGIN", user, "plain"]);
    let call = format!(
        "[{{\"stream\":\"LOGIN\",\"location\":\"{user}\",\"message\":{dict},\"dict_to_string\":true,\"heading\":\"New Login\"}},\
         {{\"stream\":\"LOGIN\",\"location\":\"{user}\",\"message\":\"plain\"}}]"
    );
    server.post(ENTRIES, call).await.accepted(2, 0);
    let stored = stored(&server, "stream=LOGIN").await;
    let with_heading = json!({"stream": "LOGIN", "user": user, "heading": "New Login", "dict_to_string": true, "message": dict,
        "data": serde_json::from_str::<Value>(dict).unwrap()});
    let plain = json!({"stream": "LOGIN", "user": user, "message": "plain"});
    assert_eq!(stored, [with_heading.clone(), plain.clone(), with_heading, plain]);
    assert_eq!(server.events("data.IP_Address=200.88.45.102").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_together_is_refused_and_named() {
    let server = Server::start().await;
    let says = |problem: &Value, words: &str| assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    for beside in ["stream", "location", "message"] {
        let call = json!({"m": "x", beside: "y"}).to_string();
        says(&server.post(ENTRIES, call).await.problem(400, "conflict"), &format!("`{beside}`"));
    }
    for nothing in ["{}", r#"{"message":null}"#, r#"{"stream":"INFO","location":"bob"}"#] {
        says(&server.post(ENTRIES, nothing).await.problem(400, "no_message"), "send `message`");
    }
    let problem = server.post(ENTRIES, r#"{"message":"x","locaton":"bob"}"#).await.problem(400, "unknown_key");
    says(&problem, "did you mean \"location\"?");
    says(&server.post(ENTRIES, r#"{"m":"x","timestamp":"now"}"#).await.problem(400, "wrong_value"), "`at`");
    let long = json!({"message": "x", "location": "y".repeat(321)}).to_string();
    says(&server.post(ENTRIES, long).await.problem(400, "too_long"), "at most 320");
    server.post(ENTRIES, " ").await.problem(400, "bad_request");
    // One bad entry does not harm the others, and all add up.
    let mixed = r#"[{"m":"1"},{"m":"2","stream":"X"},{"message":"3"},7]"#;
    let receipt = server.post(ENTRIES, mixed).await.expect(200);
    let refused: Vec<_> =
        receipt["refused"].as_array().unwrap().iter().map(|one| (&one["index"], &one["reason"])).collect();
    assert_eq!(receipt["accepted"], 2);
    assert_eq!(refused, [(&json!(1), &json!("conflict")), (&json!(3), &json!("not_an_object"))]);
    let metrics = server.get("/metrics").await.text();
    for (reason, count) in [("conflict", 4), ("no_message", 3), ("unknown_key", 1), ("wrong_value", 1), ("too_long", 1)]
    {
        let line = format!("everlog_events_refused_total{{log=\"default\",reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert_eq!(server.events("stream!=INTERNAL").await.len(), 2);
}

async fn send_form(server: &Server, body: &str) -> Answer {
    let request = server
        .request(Method::POST, ENTRIES)
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    ask(request.body(body.to_owned())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_lines_and_ids() {
    let server = Server::start().await;
    send_form(&server, "stream=LOGIN&location=bob%40example.com&message=in+%26+out&timestamp=true&id=f1")
        .await
        .accepted(1, 0);
    send_form(&server, "stream=LOGIN&location=bob%40example.com&message=in+%26+out&timestamp=true&id=f1")
        .await
        .accepted(1, 1);
    // As curl -d sends it.
    send_form(&server, "{\"m\":\"json\",\"id\":\"f2\"}").await.accepted(1, 0);
    server.post(ENTRIES, "{\"m\":\"a\",\"id\":\"l1\"}\n{\"m\":\"b\",\"id\":\"l2\"}\n").await.accepted(2, 0);
    assert_eq!(
        bare(&server.events("id=f1").await[0]),
        json!({"stream": "LOGIN", "message": "in & out", "user": "bob@example.com", "show_timestamp": true})
    );
    assert_eq!(server.events("").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_cannot_forge_another() {
    let server = Server::start().await;
    let forged = "a\nINFO:  forged § [2024-04-09 20:39:05]\n{\"m\":\"forged\"}";
    server.post(ENTRIES, json!({"m": forged}).to_string()).await.accepted(1, 0);
    let found = server.events("").await;
    assert_eq!((found.len(), &found[0]["message"]), (1, &json!(forged)));
    assert_eq!(server.cli_ok(&["query", "forged"]).lines().count(), 1);
    // Hostile names are names.
    server.cli_ok(&["log", "INFO", "../../../tmp/evil", "x"]);
    assert_eq!(server.events("user=../../../tmp/evil").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_is_stored_whole_or_refused_and_told() {
    let server = Server::start().await;
    let fits = "y".repeat((1 << 20) - 20);
    server.post(ENTRIES, json!({"m": fits}).to_string()).await.accepted(1, 0);
    assert_eq!(server.events("").await[0]["message"], json!(fits));
    server.post(ENTRIES, json!({"m": "x".repeat(1 << 20)}).to_string()).await.problem(413, "too_large");
    until("the message", async || (server.internal("events_refused").await == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_utf8() {
    let server = Server::start().await;
    server.post(ENTRIES, b"{\"m\":\"caf\xe9\",\"id\":\"http\"}".to_vec()).await.accepted(1, 0);
    let mut command = program(EVERLOG, server.folder());
    command.args(["log", "INFO", "bob", "-"]).env("EVERLOG_DATA", server.data());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"caf\xe9 \\ two\nlines\n").unwrap();
    assert!(child.wait().unwrap().success());
    for (query, message) in [("id=http", r"caf\xe9"), ("user=bob", "caf\\xe9 \\\\ two\nlines")] {
        let event = &server.events(query).await[0];
        assert_eq!((&event["message"], &event["not_utf8"]), (&json!(message), &json!(true)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_the_command_line_says() {
    let server = Server::start().await;
    server.cli_ok(&[
        "log",
        "PAYMENTS",
        "bob",
        "paid",
        "--log",
        "shop",
        "--level",
        "WARN",
        "--field",
        "order=17",
        "--field",
        "zip:=01234",
        "--field",
        "deep={\"x\":[1,2.5]}",
        "--at",
        "1712695145",
    ]);
    let found = server.get("/api/v1/logs/shop/events").await.json();
    assert_eq!(found[0]["timestamp"], "2024-04-09T20:39:05.000000Z");
    assert_eq!(
        bare(&found[0]),
        json!({"stream": "PAYMENTS", "level": "warning", "user": "bob", "message": "paid", "order": 17, "zip": "01234",
            "deep": {"x": [1, 2.5]}})
    );
    server.cli_ok(&["log", "LOGIN", "bob", "--field", "ip=203.0.113.9"]);
    assert_eq!(bare(&server.events("").await[0]), json!({"stream": "LOGIN", "user": "bob", "ip": "203.0.113.9"}));
    let again = server.cli(&["log", "-m", "x", "--field", "user=7"]);
    assert_eq!(again.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_another_log_does_not_open_the_door() {
    let server = Server::start_with(&[("EVERLOG_REQUIRE_TOKEN", "true")]).await;
    server.post(ENTRIES, r#"{"m":"x"}"#).await.problem(401, "token_needed");
    let body = json!({"label": "shop", "scopes": ["write"], "logs": ["shop"]});
    let token =
        server.as_admin(Method::POST, "/api/v1/tokens", &body).await.expect(201)["token"].as_str().unwrap().to_owned();
    let send =
        async |path: &str| ask(server.request(Method::POST, path).bearer_auth(&token).body(r#"{"m":"x"}"#)).await;
    send(ENTRIES).await.problem(403, "forbidden");
    send("/api/v1/logs/shop/entries").await.accepted(1, 0);
    send("/api/v1/logs/%2e%2e%2f/entries").await.problem(403, "forbidden");
}
