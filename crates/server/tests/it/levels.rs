//! Each sink has a level of its own: text files, the file of errors, the terminal.

use serde_json::json;

use crate::server::{Server, until};
use crate::tree::{caught_up, files};

const LEVELS: [&str; 4] = ["debug", "info", "warning", "error"];

/// Which of the four events stand in a text, and each once.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    for level in LEVELS {
        let count = text.matches(&format!("this is of level {level}")).count();
        assert_eq!(count, usize::from(expected.contains(&level)), "{level} in {text}");
    }
}

async fn send(server: &Server) {
    for level in LEVELS {
        server.send(&json!({ "level": level, "message": format!("this is of level {level}") })).await;
    }
}

/// The text files, and the file of errors among them.
fn read(server: &Server) -> (String, String) {
    let mut files = files(&server.data().join("logs"));
    let errors = files.remove("sys/ERRORS_log.log").unwrap_or_default();
    (files.into_values().collect(), errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_errors_and_terminal() {
    let mut server = Server::start_with(&[
        ("EVERLOG_TREE", "true"),
        ("EVERLOG_LOGFILE_LOG_LEVEL", "WARNING"),
        ("EVERLOG_CONSOLE_LOG_LEVEL", "DEBUG"),
        ("EVERLOG_LOG_ERRORS", "1"),
    ])
    .await;
    send(&server).await;
    let tree = server.data().join("logs");
    caught_up(&server, &tree).await;
    until("four lines in the terminal", async || server.printed().contains("of level error").then_some(())).await;
    check(&server.printed(), &LEVELS);
    let written = read(&server);
    check(&written.0, &["warning", "error"]);
    check(&written.1, &["error"]);
    // A crash, and a tree that is gone and written anew: the same again.
    server.kill9();
    server.restart().await;
    caught_up(&server, &tree).await;
    assert_eq!(read(&server), written);
    std::fs::remove_dir_all(&tree).unwrap();
    caught_up(&server, &tree).await;
    let anew = read(&server);
    check(&anew.0, &["warning", "error"]);
    check(&anew.1, &["error"]);
    until("what is told of it", async || (server.internal("tree_rebuilt").await == 1).then_some(())).await;
    check(&server.printed(), &LEVELS);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_in_the_files_and_nothing_in_the_terminal_by_default() {
    let server = Server::start_with(&[("EVERLOG_TREE", "true")]).await;
    send(&server).await;
    caught_up(&server, &server.data().join("logs")).await;
    let (files, errors) = read(&server);
    check(&files, &LEVELS);
    assert_eq!(errors, "");
    check(&server.printed(), &[]);
}
