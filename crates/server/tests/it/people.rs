//! One person's events in all streams and logs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, ask};

/// Events of alice in three streams and two logs, many at the same moment, among those of others.
async fn crowd() -> (Server, Vec<String>) {
    let server = Server::start().await;
    let mut expected = Vec::new();
    for number in 0..60_u32 {
        let (log, stream) = (["web", "jobs"][number as usize % 2], ["INFO", "LOGIN", "ERROR"][number as usize % 3]);
        let id = format!("a{number:02}");
        let moment = format!("2026-01-01T00:00:{:02}Z", number / 10);
        let event = json!({"id": id, "user": "alice", "stream": stream, "timestamp": moment, "n": number});
        let other = json!({"user": "bob", "timestamp": moment});
        server.post(&format!("/api/v1/logs/{log}/events"), format!("{event}\n{other}")).await.accepted(2, 0);
        if number == 25 {
            server.flush().await;
        }
        expected.push(id);
    }
    // Newest first; of one moment the last accepted first.
    expected.reverse();
    (server, expected)
}

fn ids(events: &Value) -> Vec<String> {
    events.as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_over_streams_and_logs_page_by_page() {
    let (server, expected) = crowd().await;
    let whole = server.get("/api/v1/users/alice/events").await;
    assert_eq!((ids(&whole.json()), whole.header("x-total-count"), whole.next()), (expected.clone(), "60", None));
    let newest = &whole.json()[0];
    assert_eq!((&newest["_log"], &newest["stream"], &newest["id"]), (&json!("jobs"), &json!("ERROR"), &json!("a59")));
    for limit in [1, 7, 10, 59, 60] {
        for (sort, expected) in [("", expected.clone()), ("&_sort=timestamp", expected.iter().rev().cloned().collect())]
        {
            let mut found = Vec::new();
            let mut next = Some(format!("/api/v1/users/alice/events?_limit={limit}{sort}"));
            while let Some(path) = next {
                let page = server.get(&path).await;
                found.extend(ids(&page.json()));
                next = page.next();
                // What comes in meanwhile is not on the pages that follow.
                let late = json!({"user": "alice", "timestamp": "2026-01-01T00:00:03Z", "stream": "LATE"});
                server.post("/api/v1/logs/web/events", late.to_string()).await.accepted(1, 0);
                if found.len() == limit {
                    server.flush().await;
                }
            }
            found.retain(|id| id.starts_with('a') && id.len() == 3);
            assert_eq!(found, expected, "{limit}{sort}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_timeline_can_be_asked() {
    let (server, _) = crowd().await;
    let count = async |query: &str| {
        let answer = server.get(&format!("/api/v1/users/alice/events?_limit=1&{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("x-total-count").parse::<u64>().unwrap()
    };
    assert_eq!(count("stream=LOGIN").await, 20);
    assert_eq!(count("stream=LOGIN&stream=ERROR").await, 40);
    assert_eq!(count("_log=web").await, 30);
    assert_eq!(count("_log=web&_log=jobs").await, 60);
    assert_eq!(count("_from=2026-01-01T00:00:02Z&_to=2026-01-01T00:00:04Z").await, 20);
    assert_eq!(count("_q=stream:ERROR&n>=30").await, 10);
    // Another user cannot be smuggled in, and a column of one log only is asked of all.
    assert_eq!(count("user=bob").await, 0);
    server.post("/api/v1/logs/web/events", r#"{"user":"alice","only_here":1}"#).await.accepted(1, 0);
    assert_eq!(count("only_here=1").await, 1);
    let path = "/api/v1/users/alice/events";
    server.get(&format!("{path}?nobody_has=1")).await.problem(400, "unknown_column");
    assert_eq!(count("nobody_has=1&_strict=n").await, 61);
    assert_eq!(server.get(&format!("{path}?_limit=0")).await.header("x-total-count"), "61");
    for (query, kind) in [
        ("_by=stream", "timeline"),
        ("_sort=n", "timeline"),
        ("_offset=5", "timeline"),
        ("_cursor=1.o.5", "cursor"),
        ("_cursor=x", "cursor"),
        ("_lmit=5", "parameter"),
        ("_format=nope", "parameter"),
    ] {
        server.get(&format!("{path}?{query}")).await.problem(400, kind);
    }
    server.get(&format!("{path}?_log=webb")).await.problem(404, "unknown_log");
    let chosen = server.get(&format!("{path}?_c=n&_limit=1&n=7")).await.json();
    assert_eq!(chosen, json!([{"_log": "jobs", "n": 7}]));
    let csv = server.get(&format!("{path}?_format=csv&_c=n&_limit=1&n=7")).await.text();
    assert_eq!(csv, "\u{feff}n\n7\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_a_timeline() {
    let (server, expected) = crowd().await;
    let lines = |words: &[&str]| -> Vec<Value> {
        let output = server.cli_ok(&[&["user"], words].concat());
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let found: Vec<String> = lines(&["alice"]).iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, expected);
    assert_eq!(lines(&["alice", "--stream", "LOGIN", "--log", "web", "--json"]).len(), 10);
    assert_eq!(lines(&["alice", "n:>=50", "--limit", "3"]).len(), 3);
    assert_eq!(lines(&["system"]).len(), 0);
    let table = server.cli_ok(&["user", "alice", "--limit", "2", "--format", "table"]);
    assert!(
        table.lines().count() == 2 && table.contains("_log=web") && table.ends_with("n=59\n"),
        "newest last: {table}"
    );
    let nobody = server.cli(&["user", "alcie"]);
    assert!(
        nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains("did you mean \"alice\"?"),
        "{nobody:?}"
    );
    let nobody = server.cli(&["user", "zoe@example.com"]);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("everlog log INFO \"zoe@example.com\""), "{nobody:?}");
    // Names are data.
    for name in ["../../etc/passwd", "a b&c=d?#", "\u{65e5}\u{672c}", "100%"] {
        server.cli_ok(&["log", "INFO", name, "x"]);
        assert_eq!(lines(&[name]).len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_logs_that_a_token_may_read() {
    let (server, _) = crowd().await;
    let token = async |scope: &str, log: &str| {
        let body = json!({"scopes": [scope], "logs": [log]});
        server.as_admin(Method::POST, "/api/v1/tokens", &body).await.expect(201)["token"].as_str().unwrap().to_owned()
    };
    let (web, writer) = (token("read", "web").await, token("write", "web").await);
    let get = async |token: &str, path: &str| ask(server.request(Method::GET, path).bearer_auth(token)).await;
    let path = "/api/v1/users/alice/events";
    let seen = get(&web, path).await;
    assert_eq!(seen.header("x-total-count"), "30");
    assert!(seen.json().as_array().unwrap().iter().all(|event| event["_log"] == "web"));
    get(&web, &format!("{path}?_log=jobs")).await.problem(403, "forbidden");
    get(&web, &format!("{path}?_log=secret")).await.problem(403, "forbidden");
    get(&writer, path).await.problem(403, "forbidden");
    let streams = get(&web, "/api/v1/streams").await.json();
    let info = streams.as_array().unwrap().iter().find(|stream| stream["name"] == "INFO").unwrap();
    assert_eq!(info["events"], 40, "10 of alice, and all 30 of bob");
}
