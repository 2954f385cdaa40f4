use event::{Batch, Leaf, Renderer, Timestamp, Value};
use intake::{Decoded, Limits, native};

pub(crate) const RECEIVED: &str = "2026-01-01T00:00:00.000000Z";

pub(crate) fn decode(body: &[u8]) -> Decoded {
    let received = Timestamp::parse(RECEIVED).unwrap().0;
    let decoded = native(body, Limits { event_bytes_max: 10_000, ..Limits::default() }, received);
    assert_eq!(decoded.received, decoded.batch.len() + decoded.refused.len(), "nothing vanishes");
    decoded
}

/// The documents of a batch, as an answer shows them (without `received`).
pub(crate) fn documents(decoded: &Decoded) -> Vec<serde_json::Value> {
    batch_documents(&decoded.batch)
}

pub(crate) fn batch_documents(batch: &Batch) -> Vec<serde_json::Value> {
    batch
        .rows()
        .map(|row| {
            let (id, time) = (row.id.to_string(), row.timestamp.to_string());
            let mut leaves = vec![
                Leaf { path: "id", value: Value::Str(&id), sent: false },
                Leaf { path: "timestamp", value: Value::Str(&time), sent: false },
            ];
            leaves.extend(row.fields().map(|field| Leaf {
                path: &batch.keys()[field.key as usize],
                value: field.value,
                sent: field.sent,
            }));
            let mut json = Vec::new();
            Renderer::default().write(&mut leaves, &mut json);
            serde_json::from_slice(&json).unwrap()
        })
        .collect()
}

/// What the shared column of a key holds, as JSON; null when it has none.
fn column(body: &str, key: &str) -> serde_json::Value {
    let decoded = decode(body.as_bytes());
    assert_eq!(decoded.batch.len(), 1, "{:?}", decoded.refused);
    let row = decoded.batch.row(0);
    let found = row.fields().find(|field| !field.sent && &*decoded.batch.keys()[field.key as usize] == key);
    found.map_or(serde_json::Value::Null, |field| {
        let mut json = Vec::new();
        field.value.write_json(&mut json);
        serde_json::from_slice(&json).unwrap()
    })
}

fn refusals(body: &str) -> Vec<(usize, &'static str)> {
    decode(body.as_bytes()).refused.iter().map(|refused| (refused.index, refused.reason.name())).collect()
}

#[test]
fn one_object_an_array_or_lines() {
    for (body, events) in [
        (r#"{"a":1}"#, 1),
        ("{\n  \"a\": {\n    \"b\": 1\n  }\n}\n", 1),
        (r#" [ {"a":1} , {"a":2} ] "#, 2),
        ("[]", 0),
        ("", 0),
        ("{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}", 3),
        ("{}", 1),
    ] {
        let decoded = decode(body.as_bytes());
        assert_eq!((decoded.batch.len(), decoded.refused.len()), (events, 0), "{body}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_alone() {
    assert_eq!(
        refusals("{\"a\":1}\n{\"a\":}\n{\"a\":2}\nnonsense\n7\n"),
        [(1, "not_json"), (3, "not_json"), (4, "not_an_object")]
    );
    assert_eq!(refusals(r#"[{"a":1},5,"x",{"a":2}]"#), [(1, "not_an_object"), (2, "not_an_object")]);
    assert_eq!(refusals(r#"[{"a":1},{"a":]"#), [(1, "not_json")]);
    assert_eq!(refusals(r#"{"a":1} {"b":2}"#), [(0, "not_json")]);
    assert_eq!(refusals(r#"{"a":1}x"#), [(0, "not_json")]);
    assert_eq!(refusals(&format!("{{\"a\":\"{}\"}}", "x".repeat(10_000))), [(0, "too_large")]);
    assert_eq!(refusals(&format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200))), [(0, "too_deep")]);
    assert_eq!(refusals(&format!("{{\"id\":\"{}\"}}", "x".repeat(600))), [(0, "id_too_long")]);
    assert!(refusals(&format!("{{\"a\":\"{}\"}}", "[".repeat(200))).is_empty(), "brackets in a text nest nothing");
}

#[test]
fn shared_keys_are_filled_in() {
    assert_eq!(column(r#"{"level":"WARN"}"#, "level"), "warning");
    assert_eq!(column(r#"{"level":30}"#, "level"), "info");
    assert_eq!(column(r#"{"severity":"error"}"#, "level"), "error");
    assert_eq!(column(r#"{"level":"error"}"#, "stream"), "ERROR");
    assert_eq!(column(r#"{"stream":"SECURITY_ALERT"}"#, "stream"), "SECURITY ALERT");
    assert_eq!(column(r#"{"user":7}"#, "user"), "7");
    assert_eq!(column(r#"{"user":{"id":7,"name":"x"}}"#, "user"), "7");
    assert_eq!(column(r#"{"user.id":"42"}"#, "user"), "42");
    assert_eq!(column(r#"{"user_id":null}"#, "user"), "system");
    assert_eq!(column(r#"{"a":1}"#, "user"), "system");
    assert_eq!(column(r#"{"status":"404"}"#, "status"), 404);
    assert_eq!(column(r#"{"code":200,"request":"GET /pay/7?m=1"}"#, "status"), 200);
    assert_eq!(column(r#"{"request":"GET /pay/7?m=1"}"#, "path"), "/pay/7");
    assert_eq!(column(r#"{"msg":"a\"b"}"#, "message"), "a\"b");
    assert_eq!(
        column("{\"exception\":\"Traceback (most recent call last):\\n  x\\nKeyError: 'a'\"}", "exception.type"),
        "KeyError"
    );
}

#[test]
fn times_and_ids() {
    let shown = |body: &str| documents(&decode(body.as_bytes())).remove(0)["timestamp"].clone();
    assert_eq!(shown(r#"{"timestamp":"2024-04-09T22:39:05+02:00"}"#), "2024-04-09T20:39:05.000000Z");
    assert_eq!(shown(r#"{"timestamp":1712695145000}"#), "2024-04-09T20:39:05.000000Z");
    assert_eq!(shown(r#"{"@timestamp":"2024-04-09T20:39:05Z"}"#), "2024-04-09T20:39:05.000000Z");
    assert_eq!(shown(r#"{"time":12}"#), RECEIVED, "a duration is no moment");
    assert_eq!(shown(r#"{"timestamp":"yesterday"}"#), "yesterday");
    assert_eq!(shown(r#"{"timestamp":"2024-04-09T20:39:05.123456789Z"}"#), "2024-04-09T20:39:05.123456789Z");
    let decoded = decode(br#"[{"id":"x"},{"id":5},{"id":null},{}]"#);
    let ids: Vec<String> = decoded.batch.rows().map(|row| row.id.to_string()).collect();
    assert_eq!((ids[0].as_str(), ids[1].as_str(), ids[2].len(), ids[3].len()), ("x", "5", 36, 36));
    assert_ne!(ids[2], ids[3]);
}

#[test]
fn the_last_of_a_repeated_key_counts() {
    assert_eq!(documents(&decode(br#"{"a":1,"b":2,"a":3,"user":"x","user":"y"}"#))[0]["a"], 3);
    assert_eq!(column(r#"{"user":"x","user":"y"}"#, "user"), "y");
}

#[test]
fn bytes_that_are_not_utf8_are_kept() {
    let decoded = decode(b"{\"message\":\"caf\xe9 \\\\ x\"}\n{\"a\":1}");
    let documents = documents(&decoded);
    assert_eq!(documents[0]["message"], r"caf\xe9 \\ x");
    assert_eq!(documents[0]["not_utf8"], true);
    assert_eq!(documents[1]["a"], 1);
}

#[test]
fn ten_thousand_keys_are_fine() {
    let body = format!("{{{}}}", (0..700).map(|key| format!("\"key{key}\":{key}")).collect::<Vec<_>>().join(","));
    assert_eq!(documents(&decode(body.as_bytes()))[0]["key699"], 699);
}

#[test]
fn a_file_may_use_the_key_id_for_something_else() {
    let limits = Limits { only_uuid_ids: true, ..Limits::default() };
    let decoded = native(
        br#"[{"id":5},{"id":5},{"id":"1734afac-4628-446d-b344-f39b42f48bd9"}]"#,
        limits,
        Timestamp::from_micros(0),
    );
    let ids: Vec<String> = decoded.batch.rows().map(|row| row.id.to_string()).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[2], "1734afac-4628-446d-b344-f39b42f48bd9");
    assert_eq!(documents(&decoded)[0]["id"], 5);
}
