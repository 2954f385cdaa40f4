//! The layouts, and the tree of text files: exported, and live.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::server::{EVENTS, EVERLOG, Server, program, until};
use reqwest::Method;

const ENTRIES: &str = "/api/v1/logs/default/entries";

/// All files below a directory, archives unpacked. What the tree keeps for itself is left out.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                if name != ".everlog-tree" {
                    folders.push(path);
                }
                continue;
            }
            let mut text = String::new();
            if name.ends_with(".gz") {
                let file = fs::File::open(&path).unwrap();
                flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
            } else {
                text = fs::read_to_string(&path).unwrap();
            }
            found.insert(name, text);
        }
    }
    found
}

/// Waits until all that was sent is in the tree.
pub(crate) async fn caught_up(server: &Server, tree: &Path) {
    let receipt = server.post(EVENTS, r#"{"stream":"DEBUG","message":"the last one"}"#).await.expect(200);
    let sequence = receipt["sequence"].as_u64().unwrap();
    until("the tree", async || {
        let state: Value = serde_json::from_slice(&fs::read(tree.join(".everlog-tree/state")).ok()?).ok()?;
        (state["positions"]["default"].as_u64()? >= sequence).then_some(())
    })
    .await;
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap()
}

fn logs(server: &Server) -> PathBuf {
    server.data().join("logs")
}

async fn with_tree(settings: &[(&str, &str)]) -> Server {
    Server::start_with(&[&[("EVERLOG_TREE", "true")], settings].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_user_and_one_of_the_system() {
    let server = with_tree(&[]).await;
    let at = ["--timestamp", "--at", "2024-04-09T20:39:05Z"];
    for [stream, user] in [["INFO", "alice@example.com"], ["ERROR", "system"]] {
        server.cli_ok(&[&["log", stream, user, "Log entry here."], &at[..]].concat());
    }
    server.cli_ok(&["log", "-m", "This log entry will go under INFO for the system."]);
    caught_up(&server, &logs(&server)).await;
    let exported = server.folder().join("out");
    server.cli_ok(&["export", "--format", "text", "--out", exported.to_str().unwrap()]);
    for tree in [logs(&server), exported] {
        let files = files(&tree);
        let line = |file: &str| last_line(&files[file]);
        let marked = "INFO:  Log entry here. \u{a7} [2024-04-09 20:39:05]";
        assert_eq!(line("users/alice@example.com/INFO_log.log"), marked);
        assert!(marked.as_bytes().windows(4).any(|bytes| bytes == b" \xc2\xa7 "));
        assert_eq!(line("sys/ERROR_log.log"), "ERROR:  Log entry here. § [2024-04-09 20:39:05]");
        assert_eq!(line("sys/INFO_log.log"), "INFO:  This log entry will go under INFO for the system.");
        let header = files["sys/INFO_log.log"].lines().next().unwrap();
        let name = tree.file_name().unwrap().to_str().unwrap();
        let head = format!(" [ {name}/sys/INFO_log.log ] created on ");
        let moment = header.strip_prefix(&head).unwrap_or_else(|| panic!("{header}"));
        assert_eq!((moment.len(), &moment[10..13]), (21, " @ "), "{header}");
    }
    let found = server.events("user=alice@example.com").await;
    assert_eq!((found.len(), &found[0]["timestamp"]), (1, &json!("2024-04-09T20:39:05.000000Z")));
    assert_ne!(server.cli(&["log", "INFO", "-m", "x"]).status.code(), Some(0));
    // An export goes to a directory that nobody else has.
    let output = server.cli(&["export", "--format", "text", "--out", "out"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("out is not empty"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_and_a_heading_that_does_not_stick() {
    let server = with_tree(&[]).await;
    let message =
        json!({"username": "usera1@gizzleMail.com", "IP_Address": "200.88.45.102", "time_in": "2024-04-09T21:08:10Z"});
    let login = |message: &Value, more: Value| {
        let mut entry = json!({"stream": "LOGIN", "location": "usera1@gizzleMail.com", "message": message});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry.to_string()
    };
    let call = login(&message, json!({"dict_to_string": true, "heading": "New Login"}));
    server.post(ENTRIES, call).await.accepted(1, 0);
    server.post(ENTRIES, login(&json!("plain"), json!({}))).await.accepted(1, 0);
    caught_up(&server, &logs(&server)).await;
    let lines = "LOGIN: New Login\n{\n    \"username\": \"usera1@gizzleMail.com\",\n    \"IP_Address\": \"200.88.45.102\",\n    \
                 \"time_in\": \"2024-04-09T21:08:10Z\"\n}\nLOGIN:  plain\n";
    let file = &files(&logs(&server))["users/usera1@gizzleMail.com/LOGIN_log.log"];
    let (_, entries) = file.split_once("\n\n").unwrap();
    assert_eq!(entries, lines);
    let block: String = entries.lines().skip(1).take(5).collect();
    assert_eq!(serde_json::from_str::<Value>(&block).unwrap(), message);
    assert_eq!(file.matches("New Login").count(), 1);
    // The same lines by HTTP, from the command line, and as they come.
    let answer = server.get(&format!("{EVENTS}?stream=LOGIN&_sort=_sequence&_format=text")).await;
    assert_eq!((answer.header("content-type"), answer.text().as_str()), ("text/plain; charset=utf-8", lines));
    assert_eq!(server.cli_ok(&["query", "stream:LOGIN", "--format", "text"]), lines);
    assert_eq!(server.cli_ok(&["tail", "stream:LOGIN", "--format", "text", "--no-follow"]), lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_users_and_messages() {
    let server = with_tree(&[]).await;
    let forged = "a\nINFO:  forged § [2024-04-09 20:39:05]";
    for user in ["../../../tmp/evil", "..", "/etc", "."] {
        server.cli_ok(&["log", "INFO", user, forged]);
    }
    server.cli_ok(&["log", "../../EVIL", "bob", "x"]);
    caught_up(&server, &logs(&server)).await;
    server.cli_ok(&["export", "--format", "text", "--out", "out"]);
    for tree in [logs(&server), server.folder().join("out")] {
        let mut files = files(&tree);
        files.retain(|name, _| name.starts_with("users/"));
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "users/%2E.%2F..%2F..%2Ftmp%2Fevil/INFO_log.log",
                "users/%2E./INFO_log.log",
                "users/%2E/INFO_log.log",
                "users/%2Fetc/INFO_log.log",
                "users/bob/%2E.%2F..%2FEVIL_log.log"
            ]
        );
        let text = &files["users/%2E./INFO_log.log"];
        assert_eq!(text.split_once("\n\n").unwrap().1, "INFO:  a\\nINFO:  forged \\u{a7} [2024-04-09 20:39:05]\n");
    }
    let mut outside: Vec<_> =
        fs::read_dir(server.folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    outside.sort_unstable();
    assert_eq!(outside, ["data", "out", "server.err", "server.out"], "nothing outside");
    assert_eq!(server.events("message*=forged&user=..").await.len(), 1);
}

/// The test at which API Logger lost 1,570 of 1,600 entries.
#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_of_two_hundred_entries() {
    let server = with_tree(&[("EVERLOG_TREE_LINES_MAX", "20")]).await;
    let import = |process: usize| -> Child {
        let file = server.folder().join(format!("{process}.ndjson"));
        let line = |entry: usize| {
            format!("{}\n", json!({"stream": "INFO", "user": "u", "message": format!("id={process}-{entry}")}))
        };
        fs::write(&file, (0..200).map(line).collect::<String>()).unwrap();
        let mut command = program(EVERLOG, server.folder());
        command.arg("import").arg(&file).env("EVERLOG_DATA", server.data());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let processes: Vec<Child> = (0..8).map(import).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    caught_up(&server, &logs(&server)).await;
    check_ids(&logs(&server), 8, 200);
}

/// Every id is there once, those of each writer ascend, and no file is too long.
pub(crate) fn check_ids(tree: &Path, writers: usize, each: usize) {
    let mut files = files(tree);
    files.retain(|name, _| name.contains("users/u/INFO_log"));
    let number = |name: &str| -> usize {
        let archived = name.strip_suffix(".log.gz").and_then(|name| name.rsplit_once('_'));
        archived.map_or(usize::MAX, |(_, number)| number.parse().unwrap())
    };
    let mut in_order: Vec<_> = files.iter().map(|(name, text)| (number(name), text)).collect();
    in_order.sort_unstable();
    assert!(in_order.windows(2).all(|pair| pair[0].0 < pair[1].0), "archives have names of their own");
    let mut next = vec![0; writers];
    for (number, text) in &in_order {
        assert!(text.lines().count() <= 20, "archive {number} is too long: {text}");
        for line in text.lines().skip(2) {
            let (writer, entry) = line.strip_prefix("INFO:  id=").unwrap().split_once('-').unwrap();
            let next = &mut next[writer.parse::<usize>().unwrap()];
            assert_eq!(entry.parse::<usize>().unwrap(), *next, "writer {writer} in archive {number}");
            *next += 1;
        }
    }
    assert_eq!(next, vec![each; writers]);
    assert!(in_order.len() >= writers * each / 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_with_the_tree_is_told_once_and_loses_nothing() {
    let mut server = with_tree(&[("EVERLOG_TREE_USERS", "false"), ("EVERLOG_TREE_COMPRESS", "none")]).await;
    let tree = logs(&server);
    server.cli_ok(&["log", "INFO", "alice", "one"]);
    caught_up(&server, &tree).await;
    // Somebody's directory stands where a file has to be.
    fs::create_dir_all(tree.join("sys/LOGIN_log.log")).unwrap();
    server.cli_ok(&["log", "LOGIN", "alice", "two"]);
    until("the message", async || (server.internal("tree_failed").await == 1).then_some(())).await;
    server.cli_ok(&["log", "INFO", "alice", "three"]);
    fs::remove_dir(tree.join("sys/LOGIN_log.log")).unwrap();
    caught_up(&server, &tree).await;
    assert_eq!(server.internal("tree_failed").await, 1);
    let entries = |tree: &Path, file: &str| files(tree)[file].split_once("\n\n").unwrap().1.to_owned();
    assert_eq!(entries(&tree, "sys/LOGIN_log.log"), "LOGIN:  two\n");
    assert_eq!(entries(&tree, "sys/INFO_log.log"), "INFO:  one\nINFO:  three\n");
    assert!(entries(&tree, "sys/INTERNAL_log.log").contains("[ INTERNAL ]:  the tree of text files in"));
    let without_internal = |tree: &Path| {
        let mut files = files(tree);
        files.remove("sys/INTERNAL_log.log");
        files.remove("sys/DEBUG_log.log");
        files
    };
    let before = without_internal(&tree);
    // Somebody removes all of it, while the server runs and while it does not.
    fs::remove_dir_all(&tree).unwrap();
    caught_up(&server, &tree).await;
    assert_eq!((without_internal(&tree), server.internal("tree_rebuilt").await), (before.clone(), 1));
    server.stop().await;
    fs::remove_file(tree.join(".everlog-tree/state")).unwrap();
    fs::write(tree.join("sys/INFO_log.log"), "something else").unwrap();
    server.restart().await;
    caught_up(&server, &tree).await;
    assert_eq!((without_internal(&tree), server.internal("tree_rebuilt").await), (before, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_last_is_written_before_a_stop() {
    let mut server = with_tree(&[]).await;
    server.cli_ok(&["log", "INFO", "bob", "last"]);
    server.post("/api/v1/logs/shop/events", r#"{"user":"bob","message":"sold"}"#).await.accepted(1, 0);
    server.stop().await;
    let files = files(&logs(&server));
    assert_eq!(last_line(&files["users/bob/INFO_log.log"]), "INFO:  last");
    assert_eq!(last_line(&files["by-log/shop/users/bob/INFO_log.log"]), "INFO:  sold");
    server.restart().await;
    caught_up(&server, &logs(&server)).await;
    assert_eq!(server.internal("tree_rebuilt").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn layouts_by_http_and_what_has_none() {
    let server = Server::start().await;
    server.send(&json!({"timestamp": "2024-04-09T20:39:05Z", "level": "notice", "event": "paid", "logger": "shop", "sum": 5})).await;
    let get = async |query: &str| server.get(&format!("{EVENTS}?event=paid&{query}")).await;
    assert_eq!(get("_format=text").await.text(), "INFO:  paid sum=5\n");
    let logbook = "[2024-04-09 20:39:05.000000+00:00] NOTICE: shop: paid sum=5\n";
    assert_eq!(get("_format=logbook").await.text(), logbook);
    assert_eq!(get("_format=logbook&_limit=20000").await.text(), logbook);
    assert_eq!(get("_format=logfmt&_c=event&_c=sum").await.text(), "event=paid sum=5\n");
    assert_eq!(get("_format=logfmt&_by=event").await.text(), "event=paid count=1\n");
    for query in ["_format=text&_c=sum", "_format=logbook&_by=event"] {
        get(query).await.problem(400, "bad_request");
    }
    assert_eq!(
        server.cli_ok(&["query", "--filter", "_by=event", "--filter", "event=paid", "--format", "logfmt"]),
        "event=paid count=1\n"
    );
    assert_eq!(server.cli_ok(&["query", "--sql", "SELECT 1 AS one", "--format", "logfmt"]), "one=1\n");
    assert_eq!(server.cli(&["query", "--sql", "SELECT 1", "--format", "text"]).status.code(), Some(2));
    assert_eq!(server.cli_ok(&["export", "event:paid", "--format", "logbook"]), logbook);
    server.cli_ok(&["stream", "add", "PAYMENTS", "--label", "PAID:"]);
    server.send(&json!({"stream": "PAYMENTS", "message": "5"})).await;
    assert_eq!(server.cli_ok(&["query", "stream:PAYMENTS", "--format", "text"]), "PAID:  5\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_whose_the_event_is() {
    let server = Server::start_with(&[("EVERLOG_TREE", "true")]).await;
    server.as_admin(Method::PUT, "/api/v1/logs/via", &json!({"index": "default"})).await.expect(200);
    for event in [
        json!({"user": 7, "message": "a"}),
        json!({"user": {"id": 8}, "message": "b"}),
        json!({"user": "9", "message": "c", "received": "1970-01-01T00:00:00Z"}),
    ] {
        server.send(&event).await;
    }
    let tree = server.data().join("logs");
    caught_up(&server, &tree).await;
    let files = files(&tree);
    for user in ["7", "8", "9"] {
        assert!(files.contains_key(&format!("users/{user}/INFO_log.log")), "{:?}", files.keys());
    }
    assert!(!files["users/9/INFO_log.log"].contains("1970"), "the time of receipt is ours");
    assert!(!files.keys().any(|name| name.starts_with("by-log")), "two names of a log are one: {:?}", files.keys());
}
