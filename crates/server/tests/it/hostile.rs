//! Input that means harm, and input that is merely broken.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::{EVENTS, Server, ask, until};

/// Everything below a folder, in the order of names.
fn paths(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_is_a_path_stays_a_text() {
    let server = Server::start().await;
    let before = paths(server.folder());
    for user in ["../../../tmp/evil", "..\\evil", "/tmp/evil", "a\u{0}b", "%2e%2e/evil", "'; DROP TABLE logs; --"] {
        server.send(&json!({"user": user, "message": "hello"})).await;
    }
    server.flush().await;
    assert_eq!(paths(server.folder()), before, "nothing is made outside the data directory");
    assert!(!std::path::Path::new("/tmp/evil").try_exists().unwrap());
    let events = server.events("user=../../../tmp/evil").await;
    assert_eq!((events.len(), &events[0]["user"]), (1, &json!("../../../tmp/evil")));
    for (asked, user) in [
        ("a%00b", "a\u{0}b"),
        ("%252e%252e/evil", "%2e%2e/evil"),
        ("'%3B+DROP+TABLE+logs%3B+--", "'; DROP TABLE logs; --"),
    ] {
        let events = server.events(&format!("user={asked}")).await;
        assert_eq!((events.len(), &events[0]["user"]), (1, &json!(user)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_cannot_forge_an_event() {
    let server = Server::start().await;
    let message = "a\nINFO:  forged § [2024-04-09 20:39:05]\r\n{\"user\":\"forged\"}\n\u{2028}data: forged\u{85}";
    server.send(&json!({"message": message, "list": ["x\ny"]})).await;
    for place in ["buffer", "segment"] {
        let events = server.events("").await;
        assert_eq!((events.len(), &events[0]["message"]), (1, &json!(message)), "{place}");
        let lines = server.get(&format!("{EVENTS}?_format=ndjson")).await.text();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert_eq!(server.cli_ok(&["query", "forged"]).lines().count(), 1);
        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_as_sent_over_several_lines_is_answered_on_one() {
    let server = Server::start().await;
    server
        .post(EVENTS, "[{\"id\":\"many\",\"list\":[1,\r\n  2,\n {\"a\":\r\n3}], \"empty\": {\n}, \"none\": [\n]}]")
        .await
        .accepted(1, 0);
    server.post(EVENTS, "{\"list\":[\"a\nb\"]}").await.problem(400, "not_json");
    server.post(EVENTS, "[{\"list\":[\"a\nb\"]}]").await.problem(400, "not_json");
    let lines = server.get(&format!("{EVENTS}?_format=ndjson&id=many")).await.text();
    assert_eq!(lines.lines().count(), 1, "{lines:?}");
    let event: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!((&event["list"], &event["empty"], &event["none"]), (&json!([1, 2, {"a": 3}]), &json!({}), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_is_refused_and_told() {
    let server = Server::start().await;
    let large = json!({"message": "x".repeat(1 << 20)});
    let problem = server.post(EVENTS, large.to_string()).await.problem(413, "too_large");
    assert!(problem["detail"].as_str().unwrap().contains("at most 1048576"), "{problem}");
    until("the message", async || (server.internal("events_refused").await > 0).then_some(())).await;
    let told = server.events("stream=INTERNAL").await;
    assert_eq!((told.len(), &told[0]["event"], &told[0]["reason"]), (1, &json!("events_refused"), &json!("too_large")));
    let receipt = server.post(EVENTS, format!("[{{\"n\":1}},{large},{{\"n\":2}}]")).await.expect(200);
    assert_eq!(
        (&receipt["accepted"], &receipt["refused"][0]["index"], &receipt["refused"][0]["reason"]),
        (&json!(2), &json!(1), &json!("too_large"))
    );
    assert_eq!(server.internal("events_refused").await, 1, "one message for a while, however many are refused");
    assert_eq!(server.events("n>=1").await.len(), 2);
    // Just small enough is kept whole.
    let fits = json!({"n": 3, "message": "y".repeat((1 << 20) - 20)}).to_string();
    assert!(fits.len() <= 1 << 20 && fits.len() > (1 << 20) - 30);
    server.post(EVENTS, fits).await.accepted(1, 0);
    assert_eq!(server.events("n=3").await[0]["message"].as_str().unwrap().len(), (1 << 20) - 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_kept_as_escapes() {
    let server = Server::start().await;
    server.post(EVENTS, b"{\"id\":\"a\",\"message\":\"caf\xe9 \xff\xfe \\\\x41 \xf0\x9f\"}\n{\"id\":\"b\",\"message\":\"caf\xc3\xa9\"}".to_vec()).await.accepted(2, 0);
    server.flush().await;
    let odd = &server.events("id=a").await[0];
    assert_eq!(odd["message"], json!("caf\\xe9 \\xff\\xfe \\\\x41 \\xf0\\x9f"));
    assert_eq!(odd["not_utf8"], json!(true));
    let plain = &server.events("id=b").await[0];
    assert_eq!((&plain["message"], plain.get("not_utf8")), (&json!("caf\u{e9}"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_is_refused() {
    let server = Server::start().await;
    let deep = 1 << 20;
    for (body, kind) in [
        ("[".repeat(deep), "too_deep"),
        ("{\"a\":".repeat(deep / 8), "too_deep"),
        (format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200)), "too_deep"),
        (format!("{{\"a\":{}", "[".repeat(119)), "not_json"),
        (format!("[{{\"a\":{}", "[".repeat(119)), "not_json"),
    ] {
        server.post(EVENTS, body).await.problem(400, kind);
    }
    // As deep as is allowed.
    server.post(EVENTS, format!("{{\"a\":{}{}}}", "[".repeat(119), "]".repeat(119))).await.accepted(1, 0);
    server.post(EVENTS, format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120))).await.accepted(1, 0);
    let query = format!("{EVENTS}?_q={}", "(".repeat(10_000));
    server.get(&query).await.problem(400, "parameter");
    let sql = json!({"sql": format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000))});
    server.post("/api/v1/query", sql.to_string()).await.problem(400, "sql");
    server.post("/api/v1/query", "[".repeat(deep)).await.problem(400, "bad_request");
    server.send(&json!({"still": "alive"})).await;
}

/// A small body must not become a large one in memory or on its way back.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_very_many_items_stays_small() {
    let server = Server::start().await;
    let answer = server.post(EVENTS, "{\"kept\":1}\n".to_owned() + &"x\n".repeat(100_000)).await;
    let receipt = answer.expect(200);
    assert_eq!((&receipt["accepted"], &receipt["refused_more"]), (&json!(1), &json!(90_000)));
    assert_eq!(receipt["refused"].as_array().unwrap().len(), 10_000);
    assert!(answer.body.len() < 2 << 20);
    let answer = server.post(EVENTS, "{}\n".repeat(500_001)).await;
    let receipt = answer.expect(200);
    assert_eq!((&receipt["accepted"], &receipt["refused"][0]["reason"]), (&json!(500_000), &json!("batch_full")));
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("{log=\"default\",reason=\"not_json\"} 100000\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_fields_are_kept() {
    let server = Server::start().await;
    let fields: serde_json::Map<String, Value> =
        (0..10_000).map(|number| (format!("field_{number}"), json!(number))).collect();
    let mut wide = Value::Object(fields);
    wide["id"] = json!("wide");
    server.send(&wide).await;
    for place in ["buffer", "segment"] {
        let events = server.events("field_9999=9999").await;
        assert_eq!(events.len(), 1, "{place}");
        for (name, value) in wide.as_object().unwrap() {
            assert_eq!(events[0].get(name), Some(value), "{place}");
        }
        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_idle_connections_keep_nobody_waiting() {
    let server = Server::start().await;
    let mut idle = Vec::new();
    for number in 0..500 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let begun: &[u8] = [
            b"".as_slice(),
            b"GET /hea",
            b"POST /api/v1/logs/default/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"a\":",
            b"PRI * HT",
        ][number % 4];
        stream.write_all(begun).await.unwrap();
        idle.push(stream);
    }
    for number in 0..50 {
        server.send(&json!({"n": number})).await;
    }
    assert_eq!(server.events("n>=0").await.len(), 50);
    // One of the slow ones goes on, and is served as if nothing had been.
    let rest = format!("{:>95}", "7}");
    idle[2].write_all(rest.as_bytes()).await.unwrap();
    let mut answer = [0; 15];
    idle[2].read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_http_is_refused_and_the_server_lives() {
    let server = Server::start().await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".as_slice(),
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        long.as_bytes(),
    ] {
        let answer = server.raw(bytes).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"),
            "{answer}"
        );
    }
    // Two lengths: what follows could be taken for another request by somebody in between.
    let smuggled = server
        .raw(
            format!(
                "POST {EVENTS} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 9\r\n\r\n{{}}GET / H"
            )
            .as_bytes(),
        )
        .await;
    assert!(smuggled.starts_with("HTTP/1.1 400"), "{smuggled}");
    let answer = ask(server.request(Method::GET, "/healthz")).await;
    assert_eq!(answer.status, 200);
}
