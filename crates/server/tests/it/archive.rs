//! Old events go to the archive, are found there, are checked, and come back or go for good.

use std::path::{Path, PathBuf};

use event::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{EVENTS, Server, until};

/// Sends events of `days` days ago, one of each stream, and makes a segment of each day.
pub(crate) async fn old_events(server: &Server, days: &[i64]) {
    let now = event::SystemClock.now().as_micros();
    for age in days {
        let at = (now - age * 86_400_000_000) / 1_000_000;
        let lines: String = ["INFO", "DEBUG"]
            .iter()
            .map(|stream| format!("{}\n", json!({"stream": stream, "age": age, "timestamp": at, "id": format!("{stream}-{age}"), "message": format!("day{age}")})))
            .collect();
        server.post(EVENTS, lines).await.accepted(2, 0);
        server.flush().await;
    }
}

async fn ages(server: &Server, query: &str) -> Vec<i64> {
    let mut ages: Vec<i64> =
        server.events(&format!("age>=0&{query}")).await.iter().map(|event| event["age"].as_i64().unwrap()).collect();
    ages.sort_unstable();
    ages
}

/// The last line of work on the archive.
pub(crate) async fn work(server: &Server, door: &str, body: &Value) -> Value {
    let answer = server.as_admin(Method::POST, &format!("/api/v1/archive/{door}"), body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let last = answer.text().lines().last().unwrap().to_owned();
    let mut last: Value = serde_json::from_str(&last).unwrap();
    if last["result"].is_null() { last } else { last["result"].take() }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_by_age_and_are_found_when_asked_for() {
    let mut server = Server::start().await;
    old_events(&server, &[1, 10, 40]).await;
    assert_eq!(server.cli_ok(&["logs", "archive", "default"]), "default never goes to the archive\n");
    server.cli_ok(&["logs", "archive", "default", "--after", "30d", "--stream", "DEBUG=5d"]);
    let check = async |server: &Server| {
        assert_eq!(ages(server, "").await, [1, 1, 10], "the live ones");
        assert_eq!(ages(server, "_archive=y").await, [1, 1, 10, 10, 40, 40]);
        assert_eq!(server.events("_archive=y&_q=day40").await.len(), 2);
        assert_eq!(server.events("_archive=y&age>=0&_by=stream").await.len(), 2);
        assert_eq!(server.events("age>=0&_by=age").await.len(), 2);
        let sql = json!({"sql": "SELECT count(*) AS n FROM \"default\" WHERE age >= 0", "archive": true});
        assert_eq!(server.post("/api/v1/query", sql.to_string()).await.expect(200)["rows"][0]["n"], 6);
        let search = json!({"search": "day40", "archive": true});
        assert_eq!(server.post("/api/v1/query", search.to_string()).await.expect(200)["total"], 2);
    };
    until("the archiver", async || (ages(&server, "").await.len() == 3).then_some(())).await;
    check(&server).await;
    assert!(server.internal("archived").await > 0);
    let log = server.get("/api/v1/logs/default").await.expect(200);
    assert_eq!((&log["archived_events"], &log["archive_after"]["DEBUG"]), (&json!(3), &json!("5d")), "{log}");
    server.kill9();
    server.restart().await;
    check(&server).await;
    // What is in the archive is known by its id, also after a start.
    server.post(EVENTS, json!({"id": "INFO-40"}).to_string()).await.accepted(1, 1);
    let listed = server.cli_ok(&["archive", "list"]);
    assert_eq!(listed.lines().count(), 1 + files(&server.data().join("archive")).len() / 2, "{listed}");
    assert_eq!(server.cli_ok(&["query", "age:>=0", "--archive"]).lines().count(), 6);
    assert_eq!(server.cli_ok(&["export", "age:>=0", "--archive"]).lines().count(), 6);
    assert!(
        server.get("/metrics").await.text().contains("everlog_archived_segments 2"),
        "{}",
        server.get("/metrics").await.text()
    );
    assert!(server.cli_ok(&["doctor"]).contains("all well"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_by_size_the_oldest_first() {
    let server = Server::start().await;
    old_events(&server, &[1, 2, 3, 4]).await;
    let log = server.get("/api/v1/logs/default").await.expect(200);
    let most = log["bytes"].as_u64().unwrap() * 2 / 3;
    let due = json!({"archive_bytes": most});
    server.as_admin(Method::PUT, "/api/v1/logs/default", &due).await.expect(200);
    until("the archiver", async || (ages(&server, "").await.len() == 4).then_some(())).await;
    assert_eq!(ages(&server, "").await, [1, 1, 2, 2]);
    assert_eq!(ages(&server, "_archive=y").await, [1, 1, 2, 2, 3, 3, 4, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_what_comes_back_comes_once() {
    let mut server = Server::start().await;
    old_events(&server, &[1, 10, 40]).await;
    server.as_admin(Method::PUT, "/api/v1/logs/default", &json!({"archive_after": "5d"})).await.expect(200);
    let run = work(&server, "run", &json!({})).await;
    assert!(run["logs"].is_array(), "{run}");
    assert_eq!(ages(&server, "").await, [1, 1]);
    let verified = work(&server, "verify", &json!({})).await;
    assert_eq!(
        (&verified["segments"], &verified["faults"], &verified["unknown_files"]),
        (&json!(2), &json!([]), &json!([]))
    );
    let archive = server.data().join("archive");
    let parquet: Vec<_> = files(&archive).into_iter().filter(|path| path.extension().unwrap() == "parquet").collect();
    let name = parquet[0].strip_prefix(&archive).unwrap().to_str().unwrap();
    flip(&parquet[0]);
    let output = server.cli(&["archive", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains(name), "{output:?}");
    assert!(!server.cli(&["doctor"]).status.success());
    let refused = server.cli(&["archive", "restore", "--log", "default", "--to", "-30d"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains(name), "{refused:?}");
    flip(&parquet[0]);
    std::fs::write(archive.join("notes.txt"), "somebody's").unwrap();
    let output = server.cli(&["archive", "verify"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("notes.txt"), "{output:?}");
    server.cli_ok(&["archive", "restore", "--log", "default", "--to", "-30d", "--stream", "DEBUG"]);
    assert_eq!(ages(&server, "").await, [1, 1, 40, 40]);
    assert_eq!(ages(&server, "_archive=y").await, [1, 1, 10, 10, 40, 40]);
    // It is held, so the policy does not take it back at once.
    work(&server, "run", &json!({})).await;
    server.kill9();
    server.restart().await;
    assert_eq!(work(&server, "run", &json!({"dry_run": true})).await["logs"], json!([]));
    assert_eq!(ages(&server, "").await, [1, 1, 40, 40]);
    assert_eq!(ages(&server, "_archive=y").await, [1, 1, 10, 10, 40, 40]);
    until("the files that came back to go", async || {
        (files(&archive).iter().filter(|path| path.extension().unwrap() == "parquet").count() == 1).then_some(())
    })
    .await;
    assert!(server.cli(&["archive", "verify"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_tried_first_and_leaves_a_record() {
    let server = Server::start().await;
    old_events(&server, &[1, 10, 40]).await;
    server.as_admin(Method::PUT, "/api/v1/logs/default", &json!({"archive_after": "5d"})).await.expect(200);
    work(&server, "run", &json!({})).await;
    for door in ["run", "verify", "restore", "purge"] {
        server.post(&format!("/api/v1/archive/{door}"), "{}").await.problem(403, "forbidden");
    }
    let asked = ["archive", "purge", "--log", "default", "--before", "-20d", "--stream", "DEBUG"];
    assert_eq!(server.cli(&asked).status.code(), Some(2), "neither --dry-run nor --yes");
    let said = server.cli_ok(&[&asked[..], &["--dry-run"]].concat());
    assert!(said.contains("1 event in 1 segment") && said.contains("would be removed"), "{said}");
    assert_eq!(ages(&server, "_archive=y").await.len(), 6);
    assert_eq!(server.events("stream=AUDIT").await.len(), 0);
    server.cli_ok(&[&asked[..], &["--yes"]].concat());
    assert_eq!(ages(&server, "_archive=y").await, [1, 1, 10, 10, 40]);
    let audit = server.events("stream=AUDIT&event=archive_purged").await;
    assert_eq!(
        (audit.len(), &audit[0]["token_label"], &audit[0]["events"]),
        (1, &json!("made at the first start"), &json!(1)),
        "{audit:?}"
    );
    assert!(audit[0]["user"].as_str().unwrap().starts_with("token/"), "{audit:?}");
    let before = json!({"log": "default", "before": "-5d"});
    assert_eq!(work(&server, "purge", &before).await["events"], 3);
    assert_eq!(ages(&server, "_archive=y").await, [1, 1]);
    let nothing = work(&server, "purge", &before).await;
    assert_eq!((&nothing["events"], server.events("stream=AUDIT").await.len()), (&json!(0), 2));
    server
        .as_admin(Method::POST, "/api/v1/archive/purge", &json!({"log": "default", "before": "soon"}))
        .await
        .problem(400, "bad_request");
    server
        .as_admin(Method::POST, "/api/v1/archive/purge", &json!({"log": "nope", "before": "-1d"}))
        .await
        .problem(404, "unknown_log");
    until("the files to go", async || files(&server.data().join("archive")).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_holds_in_the_archive_too() {
    let server = Server::start().await;
    old_events(&server, &[1, 10, 40]).await;
    server.as_admin(Method::PUT, "/api/v1/logs/default", &json!({"archive_after": "5d"})).await.expect(200);
    work(&server, "run", &json!({})).await;
    server
        .as_admin(Method::PUT, "/api/v1/logs/default", &json!({"retention": {"": "30d", "DEBUG": "7d"}}))
        .await
        .expect(200);
    work(&server, "run", &json!({})).await;
    assert_eq!(ages(&server, "_archive=y").await, [1, 1, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_away_costs_nothing() {
    // A folder that cannot be made, and a bucket where nobody answers.
    for (name, place) in [("folder", "/dev/null/archive"), ("bucket", "s3://bucket/here")] {
        let server = Server::start_with(&[
            ("EVERLOG_ARCHIVE", place),
            ("EVERLOG_ARCHIVE_S3_ENDPOINT", "http://127.0.0.1:1"),
            ("EVERLOG_ARCHIVE_S3_ACCESS_KEY", "key"),
            ("EVERLOG_ARCHIVE_S3_SECRET_KEY", "a secret thing"),
        ])
        .await;
        old_events(&server, &[1, 40]).await;
        server.as_admin(Method::PUT, "/api/v1/logs/default", &json!({"archive_after": "5d"})).await.expect(200);
        let failed = work(&server, "run", &json!({})).await;
        assert_eq!(failed["error"]["code"], "archive", "{name}: {failed}");
        work(&server, "run", &json!({})).await;
        assert_eq!(ages(&server, "").await, [1, 1, 40, 40]);
        until("the message", async || (server.internal("archive_failed").await == 1).then_some(())).await;
        assert!(!server.said().contains("a secret thing"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_purged_goes_from_the_archive_too() {
    let mut server = Server::start().await;
    old_events(&server, &[1, 10, 40]).await;
    let due = json!({"archive_after": {"": "20d", "DEBUG": "1h"}});
    server.as_admin(Method::PUT, "/api/v1/logs/default", &due).await.expect(200);
    until("the archiver", async || {
        work(&server, "run", &json!({})).await;
        (ages(&server, "").await == [1, 10]).then_some(())
    })
    .await;
    assert_eq!(ages(&server, "_archive=y").await, [1, 1, 10, 10, 40, 40]);
    // While the folder is away nothing goes, and that is no damage.
    let (archive, aside) = (server.data().join("archive"), server.data().join("aside"));
    server.stop().await;
    std::fs::rename(&archive, &aside).unwrap();
    server.restart().await;
    let door = "/api/v1/streams/DEBUG?data=purge";
    let problem = server.as_admin(Method::DELETE, door, &Value::Null).await.problem(503, "archive");
    assert!(problem["detail"].as_str().unwrap().contains("the archive cannot be reached"), "{problem}");
    server.get(&format!("{EVENTS}?_archive=y&_q=day40")).await.problem(503, "archive");
    assert_eq!(server.events("stream=AUDIT&event=events_purged").await.len(), 0);
    std::fs::rename(&aside, &archive).unwrap();
    assert_eq!(ages(&server, "_archive=y").await, [1, 1, 10, 10, 40, 40]);
    let would = server.cli(&["stream", "remove", "DEBUG", "--purge", "--dry-run"]);
    assert!(
        String::from_utf8_lossy(&would.stderr).contains("3 events of it (3 in default; 3 archived) deleted"),
        "{would:?}"
    );
    let done = server.as_admin(Method::DELETE, door, &Value::Null).await.expect(200);
    assert_eq!((&done["events"], &done["archived"], &done["purged"]), (&json!(3), &json!(3), &json!(3)));
    assert_eq!(ages(&server, "_archive=y").await, [1, 10, 40]);
    let told = server.events("event=events_purged").await;
    assert_eq!((told.len(), &told[0]["events"], &told[0]["archived_events"]), (1, &json!(3), &json!(3)), "{told:?}");
    // INFO is live and archived.
    let done = server.as_admin(Method::DELETE, "/api/v1/streams/INFO?data=purge", &Value::Null).await.expect(200);
    assert_eq!(done["purged"], done["events"], "{done}");
    assert!(done["archived"].as_u64().unwrap() >= 1, "{done}");
    assert_eq!(server.events("_archive=y&_q=day40").await, [Value::Null; 0]);
    server.as_admin(Method::DELETE, door, &Value::Null).await.problem(404, "unknown_stream");
    until("the files to go", async || files(&archive).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_go_does_not_keep_the_others() {
    let server = Server::start().await;
    old_events(&server, &[1, 40]).await;
    // Where the files of the log default would go, a file is in the way.
    let archive = server.data().join("archive");
    std::fs::create_dir_all(&archive).unwrap();
    std::fs::write(archive.join("default"), "in the way").unwrap();
    let old = (event::SystemClock.now().as_micros() / 1_000_000 - 40 * 86_400).to_string();
    server.post("/api/v1/logs/shop/events", format!("{{\"age\":40,\"timestamp\":{old}}}")).await.accepted(1, 0);
    server.flush().await;
    for log in ["default", "shop"] {
        let due = json!({"archive_after": "5d"});
        server.as_admin(Method::PUT, &format!("/api/v1/logs/{log}"), &due).await.expect(200);
    }
    let failed = work(&server, "run", &json!({})).await;
    assert_eq!(failed["error"]["code"], "archive", "{failed}");
    let log = server.get("/api/v1/logs/shop").await.expect(200);
    assert_eq!(log["archived_events"], 1, "{log}");
    assert_eq!(ages(&server, "").await, [1, 1, 40, 40]);
    until("the message", async || (server.internal("archive_failed").await == 1).then_some(())).await;
    std::fs::remove_file(archive.join("default")).unwrap();
    work(&server, "run", &json!({})).await;
    assert_eq!(ages(&server, "").await, [1, 1]);
}
