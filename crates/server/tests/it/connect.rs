//! The connectors that `everlog init` writes, run by their own languages against a real server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::server::{Server, program};

#[path = "../../connect/everlog_connect.rs"]
#[expect(clippy::disallowed_methods, reason = "it has the real time, and nobody hands it a clock")]
mod everlog_connect;

/// Runs a script beside its connector. False, and said, when the language is not installed; it has to be in CI.
#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
fn run(server: &Server, language: &str, files: &[(&str, &str)]) -> bool {
    if !program(language, server.folder()).arg("--version").output().is_ok_and(|output| output.status.success()) {
        assert!(language == "ruby" || std::env::var_os("CI").is_none(), "{language} is needed");
        eprintln!("SKIPPED: there is no {language} here");
        return false;
    }
    for (name, text) in files {
        std::fs::write(server.folder().join(name), text).unwrap();
    }
    let mut command: Command = program(language, server.folder());
    let output = command.arg(files[0].0).env("EVERLOG_URL", server.url()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("all done"), "{}\n{out}\n{err}", output.status);
    true
}

/// The events of a log that answer a query string, without what differs each time.
async fn events(server: &Server, log: &str, query: &str, keys: &[&str]) -> Vec<Value> {
    let answer = server.get(&format!("/api/v1/logs/{log}/events?{query}&_sort=timestamp")).await.expect(200);
    let keep = |event: &Value| keys.iter().map(|key| ((*key).to_owned(), event[*key].clone())).collect();
    answer.as_array().unwrap().iter().map(keep).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn python() {
    let server = Server::start().await;
    let files = [
        ("connect.py", include_str!("../fixtures/connect.py")),
        ("everlog_connect.py", include_str!("../../connect/everlog_connect.py")),
    ];
    if !run(&server, "python3", &files) {
        return;
    }
    let keys = ["method", "path", "status", "user", "request_id", "level"];
    assert_eq!(
        events(&server, "default", "event=request_finished&_limit=2", &keys).await,
        [
            json!({"method": "POST", "path": "/orders", "status": 201, "user": "alice", "request_id": "r-1", "level": "info"}),
            json!({"method": "POST", "path": "/boom", "status": 500, "user": "alice", "request_id": "r-1", "level": "error"}),
        ]
    );
    let found = events(&server, "default", "path=/boom", &["exception"]).await;
    assert_eq!(found[0]["exception"]["type"], "ValueError", "{found:?}");
    assert_eq!(found[0]["exception"]["handled"], false);
    let keys = ["message", "user", "request_id", "order", "stream"];
    assert_eq!(
        events(&server, "default", "logger=shop.orders&_limit=1", &keys).await,
        [
            json!({"message": "few left: 3", "user": "alice", "request_id": "r-1", "order": {"id": 17}, "stream": "WARN"})
        ]
    );
    let keys = ["message", "level"];
    assert_eq!(
        events(&server, "default", "logger=werkzeug", &keys).await,
        Vec::<Value>::new(),
        "it has a query string"
    );
    let quiet = events(&server, "default", "message=not shown", &keys).await;
    assert_eq!(quiet, [json!({"message": "not shown", "level": "info"})], "the console had no use for it");
    assert_eq!(events(&server, "default", "logger=shop&message~=shown", &keys).await.len(), 4);
    let caught = events(&server, "default", "message=caught", &["exception"]).await;
    assert_eq!(caught[0]["exception"]["type"], "ZeroDivisionError");
    assert_eq!(
        events(&server, "default", "path=/asgi", &["status", "user_agent"]).await,
        [json!({"status": 204, "user_agent": "probe"})]
    );
    let keys = ["stream", "user", "message", "heading"];
    assert_eq!(
        events(&server, "default", "stream=LOGIN", &keys).await,
        [json!({"stream": "LOGIN", "user": "bob", "message": "logged in", "heading": "New login"})]
    );
    let only = events(&server, "default", "message=only a message", &keys).await;
    assert_eq!(only, [json!({"stream": "INFO", "user": "system", "message": "only a message", "heading": null})]);
    assert_eq!(events(&server, "default", "event=odd", &["event"]).await.len(), 0, "it came as texts of its values");
    assert_eq!(events(&server, "default", "event='odd'", &["number"]).await, [json!({"number": "nan"})]);
    // Its answer was swallowed and it was sent again: each is there once.
    assert_eq!(events(&server, "once", "", &["number"]).await.len(), 5);
}

/// What the scripts of Node and Ruby send.
async fn check_requests(server: &Server) {
    let keys = ["path", "status", "user", "level"];
    assert_eq!(
        events(server, "default", "event=request_finished", &keys).await,
        [
            json!({"path": "/orders", "status": 201, "user": "alice", "level": "info"}),
            json!({"path": "/boom", "status": 500, "user": "alice", "level": "error"}),
        ]
    );
    assert_eq!(events(server, "default", "request_id=r-1&status=201", &["path"]).await.len(), 1);
    let placed = events(server, "default", "event=order_placed", &["user"]).await;
    assert_eq!(placed, [json!({"user": "bob"})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn node() {
    let server = Server::start().await;
    let files = [
        ("connect.cjs", include_str!("../fixtures/connect.cjs")),
        ("everlog-connect.cjs", include_str!("../../connect/everlog-connect.cjs")),
    ];
    if run(&server, "node", &files) {
        check_requests(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ruby() {
    let server = Server::start().await;
    let files = [
        ("connect.rb", include_str!("../fixtures/connect.rb")),
        ("everlog_connect.rb", include_str!("../../connect/everlog_connect.rb")),
    ];
    if run(&server, "ruby", &files) {
        check_requests(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rust() {
    let server = Server::start().await;
    // Its address is a constant, which a test cannot fill in; so this one runs with a variable of its own.
    let test = std::env::current_exe().unwrap();
    let mut command = program(test.to_str().unwrap(), Path::new("."));
    command.args(["connect::rust_sends", "--exact", "--ignored", "--nocapture"]).env("EVERLOG_URL", server.url());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let keys = ["method", "path", "status", "request_id"];
    assert_eq!(
        events(&server, "default", "event=request_finished", &keys).await,
        [json!({"method": "GET", "path": "/orders", "status": 200, "request_id": "r-1"})]
    );
    let text = events(&server, "default", "event=order_placed", &["user", "note"]).await;
    assert_eq!(text, [json!({"user": "bob", "note": "a \"b\"\\\n\u{1}ü"})]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above, in a process of its own"]
async fn rust_sends() {
    let routes = axum::Router::new().route("/orders", axum::routing::get(|| std::future::ready("done")));
    let app = routes.layer(axum::middleware::from_fn(everlog_connect::record));
    let request = axum::http::Request::get("/orders?secret=1").header("x-request-id", "r-1");
    let answer = app.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    everlog_connect::log("info", "order_placed", &[("user", "bob"), ("note", "a \"b\"\\\n\u{1}ü")]);
    assert!(everlog_connect::flush(Duration::from_secs(30)));
}
