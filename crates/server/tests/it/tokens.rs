//! Tokens: who may do what, and where the secrets are (nowhere).

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::server::{EVENTS, Server, ask};

const TOKENS: &str = "/api/v1/tokens";

/// A request with a token; a body makes it a write.
async fn with_token(server: &Server, token: &str, path: &str, body: Option<&str>) -> Answer {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    ask(server.request(method, path).bearer_auth(token).body(body.unwrap_or("").to_owned())).await
}

/// Makes a token; returns its id and its secret.
async fn create(server: &Server, scopes: &[&str], logs: &[&str]) -> (String, String) {
    let made = server
        .as_admin(Method::POST, TOKENS, &json!({"label": "a test", "scopes": scopes, "logs": logs}))
        .await
        .expect(201);
    (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_may_write_and_read_and_no_more() {
    let server = Server::start().await;
    server.send(&json!({"n": 1})).await;
    assert_eq!(server.events("n=1").await.len(), 1);
    for (method, path, body) in [
        (Method::GET, TOKENS, ""),
        (Method::POST, TOKENS, "{\"scopes\":[\"admin\"]}"),
        (Method::PUT, "/api/v1/logs/default", "{\"retention\":\"1h\"}"),
        (Method::POST, "/api/v1/flush", ""),
        (Method::DELETE, "/api/v1/tokens/00000000", ""),
    ] {
        ask(server.request(method, path).body(body)).await.problem(403, "forbidden");
    }
    // What a proxy passed on, or what a page in a browser sends, does not come from this machine.
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1"),
        ("via", "1.1 proxy"),
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example"),
    ] {
        let answer = ask(server.request(Method::GET, EVENTS).header(name, value)).await;
        answer.problem(401, "token_needed");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{name}");
        ask(server.request(Method::POST, EVENTS).header(name, value).body("{}")).await.problem(401, "token_needed");
        ask(server.request(Method::GET, EVENTS).header(name, value).bearer_auth(server.admin_token()))
            .await
            .expect(200);
    }
    for wrong in ["", "x", "00000000-0000-4000-8000-000000000000", &"x".repeat(10_000)] {
        with_token(&server, wrong, EVENTS, None).await.problem(401, "unknown_token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_needs_a_token_too_if_so_set() {
    let server = Server::start_with(&[("EVERLOG_REQUIRE_TOKEN", "true")]).await;
    server.post(EVENTS, "{}").await.problem(401, "token_needed");
    // Also when there is much to refuse.
    server.post(EVENTS, vec![b' '; 20 << 20]).await.problem(401, "token_needed");
    for path in
        [EVENTS, "/api/v1/logs/default/tail", "/api/v1/logs", "/api/v1/logs/nope", TOKENS, "/api/v1/producers/x"]
    {
        server.get(path).await.problem(401, "token_needed");
    }
    server.post("/api/v1/query", r#"{"sql":"SELECT 1"}"#).await.problem(401, "token_needed");
    with_token(&server, &server.admin_token(), EVENTS, Some("{}")).await.accepted(1, 0);
    server.cli_ok(&["log", "INFO", "bob", "hello"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_scopes_and_logs() {
    let server = Server::start().await;
    let [a, b] = ["/api/v1/logs/a/events", "/api/v1/logs/b/events"];
    server.post(a, "{\"in\":\"a\"}").await.accepted(1, 0);
    server.post(b, "{\"in\":\"b\"}").await.accepted(1, 0);
    let (writer, write_a) = create(&server, &["write"], &["a"]).await;
    with_token(&server, &write_a, a, Some("{}")).await.accepted(1, 0);
    with_token(&server, &write_a, a, None).await.problem(403, "forbidden");
    with_token(&server, &write_a, b, Some("{}")).await.problem(403, "forbidden");
    with_token(&server, &write_a, "/api/v1/logs/new/events", Some("{}")).await.problem(403, "forbidden");
    let (_, read_a) = create(&server, &["read"], &["a"]).await;
    assert_eq!(with_token(&server, &read_a, a, None).await.expect(200).as_array().unwrap().len(), 2);
    with_token(&server, &read_a, a, Some("{}")).await.problem(403, "forbidden");
    for path in [b, "/api/v1/logs/b", "/api/v1/logs/b/tail", "/api/v1/logs/nope/events", TOKENS] {
        with_token(&server, &read_a, path, None).await.problem(403, "forbidden");
    }
    for path in ["/api/v1/rules", "/api/v1/notices", "/api/v1/channels"] {
        let problem = with_token(&server, &read_a, path, None).await.problem(403, "forbidden");
        assert_eq!(problem["detail"], "this token does not allow to read for all logs");
    }
    let logs = with_token(&server, &read_a, "/api/v1/logs", None).await.expect(200);
    assert_eq!(logs.as_array().unwrap().iter().map(|log| &log["name"]).collect::<Vec<_>>(), ["a"]);
    let ask_b = r#"{"search":"","log":"b"}"#;
    with_token(&server, &read_a, "/api/v1/query", Some(ask_b)).await.problem(403, "forbidden");
    let rows = with_token(&server, &read_a, "/api/v1/query", Some(r#"{"sql":"SELECT count(*) AS n FROM a"}"#))
        .await
        .expect(200);
    assert_eq!(rows["rows"][0]["n"], 2);
    for sql in ["SELECT * FROM b", "SELECT (SELECT count(*) FROM b) FROM a", "SELECT * FROM a JOIN b ON true"] {
        with_token(&server, &read_a, "/api/v1/query", Some(&json!({"sql": sql}).to_string())).await.problem(400, "sql");
    }
    assert_eq!(
        ask(server.request(Method::DELETE, &format!("{TOKENS}/{writer}")).bearer_auth(server.admin_token()))
            .await
            .status,
        204
    );
    with_token(&server, &write_a, a, Some("{}")).await.problem(401, "unknown_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_survive_a_restart_and_so_does_their_end() {
    let mut server = Server::start().await;
    let (kept_id, kept) = create(&server, &["write", "read"], &[]).await;
    let (gone_id, gone) = create(&server, &["write"], &["default"]).await;
    let listed = server.cli_ok(&["token", "list"]);
    assert!(listed.contains(&kept_id) && listed.contains(&gone_id) && listed.contains("a test"), "{listed}");
    server.cli_ok(&["token", "revoke", &gone_id]);
    server.kill9();
    server.restart().await;
    // However a client writes a UUID.
    for same in [kept.clone(), kept.to_uppercase(), kept.replace('-', "")] {
        with_token(&server, &same, EVENTS, Some("{}")).await.accepted(1, 0);
        ask(server.request(Method::POST, EVENTS).basic_auth("", Some(&same)).body("{}")).await.accepted(1, 0);
        ask(server.request(Method::POST, EVENTS).header("x-everlog-token", &same).body("{}")).await.accepted(1, 0);
    }
    with_token(&server, &gone, EVENTS, Some("{}")).await.problem(401, "unknown_token");
    let admin = server.admin_token();
    let mode = std::fs::metadata(server.data().join("admin.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::metadata(server.data()).unwrap().permissions().mode() & 0o077, 0);
    server.flush().await;
    server.stop().await;
    for secret in [&kept, &gone, &admin] {
        assert_eq!(
            files_with(server.folder(), secret.as_bytes()),
            if *secret == admin { vec!["admin.token"] } else { vec![] }
        );
        let short = secret.replace('-', "");
        assert_eq!(files_with(server.folder(), short.as_bytes()), Vec::<String>::new());
    }
}

/// The names of the files below a folder that hold these bytes, what the server said among them.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with(&entry.path(), bytes));
        } else if memchr::memmem::find(&std::fs::read(entry.path()).unwrap(), bytes).is_some() {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_makes_no_sense_is_not_made() {
    let server = Server::start().await;
    for body in [
        json!({"scopes": []}),
        json!({"scopes": ["all"]}),
        json!({"scopes": ["read"], "logs": ["a,b"]}),
        json!({"scope": "read"}),
        json!([]),
    ] {
        server.as_admin(Method::POST, TOKENS, &body).await.problem(400, "bad_request");
    }
    let answer = ask(server.request(Method::DELETE, "/api/v1/tokens/nope").bearer_auth(server.admin_token())).await;
    answer.problem(404, "unknown_token");
    let tokens = server.as_admin(Method::GET, TOKENS, &Value::Null).await.expect(200);
    assert_eq!(tokens.as_array().unwrap().len(), 1, "the one for everything");
}
