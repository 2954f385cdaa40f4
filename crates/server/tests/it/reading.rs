//! Answers in every format, columns that are not there, and queries as people type them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{EVENTS, Server, ask};

async fn shop() -> Server {
    let server = Server::start().await;
    for (status, path, message) in
        [(200, "/a", "=1+1"), (404, "/b", "@SUM(A1)"), (500, "/c,\"d\"", "two\nlines"), (503, "/é", "-5")]
    {
        let moment = format!("2026-01-01T00:00:{:02}Z", status % 60);
        server
            .send(&json!({"status": status, "path": path, "message": message, "timestamp": moment, "deep": {"n": -5}}))
            .await;
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_for_spreadsheets() {
    let server = shop().await;
    let answer = server
        .get(&format!("{EVENTS}?_format=csv&_c=status&_c=path&_c=message&_c=deep.n&_sort=status&_download=shop"))
        .await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/csv; charset=utf-8"));
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"shop.csv\"; filename*=UTF-8''shop.csv");
    assert!(answer.body.starts_with(&[0xef, 0xbb, 0xbf]));
    let text = answer.text();
    assert_eq!(
        text.trim_start_matches('\u{feff}'),
        "status,path,message,deep.n\n200,/a,'=1+1,-5\n404,/b,'@SUM(A1),-5\n500,\"/c,\"\"d\"\"\",\"two\nlines\",-5\n503,/é,'-5,-5\n"
    );
    let grouped = server.get(&format!("{EVENTS}?_format=csv&_by=path&_c=status|max&_sort=path")).await.text();
    assert!(grouped.starts_with("\u{feff}path,status|max\n/a,200\n"), "{grouped}");
    let nothing = server.get(&format!("{EVENTS}?_format=csv&status=1")).await;
    assert_eq!((nothing.status, nothing.body.as_slice()), (200, b"\xef\xbb\xbf".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_arrays_and_totals() {
    let server = shop().await;
    let lines = server.get(&format!("{EVENTS}?_format=ndjson&_limit=3&_c=status")).await;
    assert_eq!((lines.header("content-type"), lines.header("x-total-count")), ("application/x-ndjson", "4"));
    let statuses: Vec<Value> =
        lines.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].clone()).collect();
    assert_eq!(Value::from(statuses), json!([404, 503, 500]), "newest first");
    let last = server.get(&lines.next().unwrap()).await;
    assert_eq!((last.text().lines().count(), last.next()), (1, None));
    let array = server.get(&format!("{EVENTS}?status>=400&_sort=-status&_offset=1&_c=status")).await;
    assert_eq!((array.json(), array.header("x-total-count")), (json!([{"status": 500}, {"status": 404}]), "3"));
    let head = ask(server.request(Method::HEAD, EVENTS)).await;
    assert_eq!((head.status, head.header("x-total-count"), head.body.len()), (200, "4", 0));
    server.get(&format!("{EVENTS}?_format=text")).await.problem(400, "bad_request");
    let problem = server.get(&format!("{EVENTS}?_format=jsno")).await.problem(400, "parameter");
    assert!(problem["detail"].as_str().unwrap().contains("json"), "{problem}");
}

/// Many keys in many events would make a table that is mostly empty cells.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_so_many_columns_and_no_more() {
    let server = Server::start().await;
    for event in 0..3 {
        let keys: serde_json::Map<String, Value> =
            (0..1000).map(|key| (format!("k{event}_{key}"), json!(key))).collect();
        server.send(&Value::Object(keys)).await;
    }
    server.get(&format!("{EVENTS}?_format=csv")).await.problem(422, "too_large");
    let chosen = server.get(&format!("{EVENTS}?_format=csv&_c=k0_999&k0_999")).await.text();
    assert_eq!(chosen, "\u{feff}k0_999\n999\n");
    assert_eq!(server.events("").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_not_there() {
    let server = shop().await;
    for place in ["buffer", "segment"] {
        let problem = server.get(&format!("{EVENTS}?statsu=200")).await.problem(400, "unknown_column");
        assert!(problem["detail"].as_str().unwrap().contains("did you mean \"status\"?"), "{place}: {problem}");
        for query in ["_sort=nope", "_c=nope", "nope>=1", "nope!", "_c=-nope"] {
            server.get(&format!("{EVENTS}?{query}")).await.problem(400, "unknown_column");
        }
        let lenient = server.get(&format!("{EVENTS}?nope=1&status=200&_strict=n")).await;
        assert_eq!((lenient.expect(200).as_array().unwrap().len(), lenient.header("x-everlog-ignored")), (1, "nope"));
        server.flush().await;
    }
    let problem = server.get(&format!("{EVENTS}?_limt=5")).await.problem(400, "parameter");
    assert!(problem["detail"].as_str().unwrap().contains("_limit"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_as_people_type_them() {
    let server = shop().await;
    for (query, count) in [
        ("status>=404", 3),
        ("status>404", 2),
        ("status<500", 2),
        ("status<=404&path=/b", 1),
        ("_q=\"two\"", 1),
        ("path=/%C3%A9", 1),
        ("message=%3D1%2B1", 1),
    ] {
        let request =
            format!("GET {EVENTS}?{query}&_limit=1&_c=status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{query}: {answer}");
        assert!(answer.contains(&format!("x-total-count: {count}\r\n")), "{query}: {answer}");
        if let Some(link) = answer.lines().find_map(|line| line.strip_prefix("link: <")) {
            let path = link.split('>').next().unwrap();
            assert_eq!(server.get(path).await.expect(200).as_array().unwrap().len(), 1, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_and_search_over_the_same_events() {
    let server = shop().await;
    for place in ["buffer", "segment"] {
        let sql = r#"{"sql":"SELECT status, count(*) AS n FROM \"default\" WHERE status >= 404 GROUP BY status ORDER BY status"}"#;
        let rows = server.post("/api/v1/query", sql).await.expect(200);
        assert_eq!(
            rows["rows"],
            json!([{"status": 404, "n": 1}, {"status": 500, "n": 1}, {"status": 503, "n": 1}]),
            "{place}"
        );
        let found = server
            .post("/api/v1/query", r#"{"search":"status:>=404 -path:/b","sort":"status","limit":1}"#)
            .await
            .expect(200);
        assert_eq!((&found["total"], &found["events"][0]["status"]), (&json!(2), &json!(500)), "{found}");
        let rest = json!({"search": "status:>=404 -path:/b", "sort": "status", "limit": 5, "cursor": found["next"]});
        let rest = server.post("/api/v1/query", rest.to_string()).await.expect(200);
        assert_eq!((rest["events"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
        server.flush().await;
    }
    for sql in [
        "DELETE FROM \"default\"",
        "DROP TABLE \"default\"",
        "CREATE TABLE x (a INT)",
        "COPY \"default\" TO '/tmp/evil'",
        "SELECT * FROM '/etc/passwd'",
        "SET x = 1",
        "SELEC 1",
        "",
    ] {
        server.post("/api/v1/query", json!({"sql": sql}).to_string()).await.problem(400, "sql");
    }
    for body in ["", "{}x", "[]", "{\"sql\":\"SELECT 1\",\"search\":\"x\"}", "{\"sqll\":\"SELECT 1\"}"] {
        assert!(matches!(server.post("/api/v1/query", body).await.status, 400), "{body}");
    }
    let problem = server.post("/api/v1/query", r#"{"search":"level:("}"#).await.problem(400, "search");
    assert!(problem["detail"].as_str().unwrap().contains('^'), "it points at the place: {problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_ndjson_answer_is_sent_while_it_is_read() {
    let server = Server::start().await;
    for batch in 0..5 {
        let body: String = (0..4000).map(|number| format!("{{\"id\":\"{batch}-{number}\"}}\n")).collect();
        server.post(EVENTS, body).await.accepted(4000, 0);
    }
    let answer = server.get(&format!("{EVENTS}?_format=ndjson&_limit=100000")).await;
    assert_eq!((answer.status, answer.header("x-total-count")), (200, "20000"));
    let ids: std::collections::HashSet<String> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(ids.len(), 20_000);
    let refused = server.get(&format!("{EVENTS}?_format=ndjson&_limit=100000&colour=red")).await;
    refused.problem(400, "unknown_column");
}
