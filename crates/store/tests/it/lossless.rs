//! Whatever is sent comes back equal: from the buffer, from segments, from merged segments, after a start.

use event::Timestamp;
use serde_json::{Map, Value as Json, json};
use store::{LogId, Store};

use crate::events::{BASE_MICROS, Sent, append, by_id, rows};
use crate::folder::Folder;
use crate::random::Random;

const LOG: LogId = LogId(1);

/// Keys that mean something to somebody, or look as if they did.
const KEYS: [&str; 22] = [
    "user",
    "user.id",
    "level",
    "message",
    "exception",
    "exception.type",
    "sequence",
    "_rest",
    "_sequence",
    "",
    ".",
    "\\",
    "a\\.b",
    "status",
    "status|text",
    "status|int",
    "größe",
    "漢字",
    "with space",
    "\"quoted\"",
    "\u{1}",
    "\\0",
];

/// JSON texts of values, each as a reader writes it back.
const VALUES: [&str; 26] = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "123456789012345678901234567890",
    "-0",
    "0.1",
    "-0.0",
    "1.7976931348623157e308",
    "5e-324",
    "0.10000000000000000001",
    "1e999",
    r#""""#,
    r#""text""#,
    r#""\"\\\n\u0000""#,
    r#""0197f3c2-0000-7000-8000-000000000001""#,
    r#""0197F3C2-0000-7000-8000-000000000001""#,
    "[]",
    "{}",
    r#"[1,[2,{"a.b":null}],"x"]"#,
    r#"[{"":{}}]"#,
    r#""漢字🦀""#,
];

fn key(random: &mut Random) -> String {
    match random.below(20) {
        0..8 => (*random.pick(&KEYS)).to_owned(),
        8..18 => format!("key{}", random.below(300)),
        18 => "k".repeat(250 + random.below(20)),
        _ => format!("{}{}", random.pick(&KEYS), random.pick(&KEYS)),
    }
}

fn object(random: &mut Random, depth: usize) -> Map<String, Json> {
    let mut members = Map::new();
    for _ in 0..=random.below(if depth == 0 { 14 } else { 3 }) {
        let value = if depth < 4 && random.percent(15) {
            Json::Object(object(random, depth + 1))
        } else {
            let text: &&str = random.pick(&VALUES);
            serde_json::from_str(text).unwrap()
        };
        members.insert(key(random), value);
    }
    members
}

fn event(random: &mut Random, id: String) -> Sent {
    let micros = BASE_MICROS + i64::try_from(random.below(1_000_000)).unwrap();
    Sent { id, timestamp: Timestamp::from_micros(micros), document: object(random, 0) }
}

fn check(store: &Store, sent: &[Sent], when: &str) {
    let found = by_id(rows(store, LOG));
    assert_eq!(found.len(), sent.len(), "{when}");
    for event in sent {
        let expected = event.answer(Timestamp::from_micros(BASE_MICROS + 7));
        assert_eq!(found[&event.id].document, expected, "{when}");
    }
}

#[test]
fn every_document_comes_back_equal() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let folder = Folder::new();
        let (store, _) = folder.open();
        let mut sent = Vec::new();
        for round in 0..8 {
            // One round has few events and so few columns, the next has more keys than columns.
            let count = if round % 2 == 0 { 8 } else { 60 };
            let events: Vec<Sent> = (0..count).map(|at| event(&mut random, format!("{round} {at}"))).collect();
            assert_eq!(append(&store, LOG, BASE_MICROS + 7, &events), count);
            sent.extend(events);
            check(&store, &sent, &format!("seed {seed}: in the buffer"));
            store.flush().unwrap();
        }
        check(&store, &sent, &format!("seed {seed}: in segments"));
        while store.merge().unwrap() {}
        check(&store, &sent, &format!("seed {seed}: merged"));
        drop(store);
        check(&folder.open().0, &sent, &format!("seed {seed}: after a start"));
    }
}

/// Surplus columns of several batches meet in the overflow when they are merged into one segment.
#[test]
fn more_keys_than_columns_and_keys_of_several_types() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let mut sent = Vec::new();
    for part in 0..8 {
        let wide = |at: usize| {
            let members: Map<String, Json> = (0..150)
                .map(|number| {
                    let value = if at.is_multiple_of(2) { json!(number) } else { json!(format!("{number} of {part}")) };
                    (format!("part{part}.key{number}"), value)
                })
                .collect();
            Sent::new(&format!("{part} {at}"), BASE_MICROS, Json::Object(members))
        };
        let events: Vec<Sent> = (0..6).map(wide).collect();
        append(&store, LOG, BASE_MICROS + 7, &events);
        sent.extend(events);
        store.flush().unwrap();
    }
    assert!(store.merge().unwrap());
    assert_eq!(store.segments().len(), 1);
    check(&store, &sent, "merged");
}

fn send(store: &Store, builder: event::BatchBuilder) {
    let received = Timestamp::from_micros(BASE_MICROS);
    let incoming = store::Incoming { log: LOG, received, producer: None, batch: builder.finish() };
    store.append(vec![incoming]).unwrap();
}

/// A derived column stays behind the document as it was sent, also where commoner keys take its place.
#[test]
fn what_was_sent_is_shown_wherever_the_column_goes() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let mut builder = event::BatchBuilder::new();
    let derived = builder.key("twice");
    builder.push(derived, event::Value::Str("derived"), false);
    builder.push(derived, event::Value::Raw(r#"{"sent":[1]}"#), true);
    builder.commit(event::Id::new("both"), Timestamp::from_micros(BASE_MICROS));
    send(&store, builder);
    let is_shown = || {
        let found = by_id(rows(&store, LOG));
        found["both"].document["twice"] == json!({"sent": [1]})
    };
    assert!(is_shown(), "in a batch of its own");
    let mut builder = event::BatchBuilder::new();
    for number in 0..3 {
        for column in 0..200 {
            let key = builder.key(&format!("k{column}"));
            builder.push(key, event::Value::Int(1), false);
        }
        builder.commit(event::Id::new(&format!("{number}")), Timestamp::from_micros(BASE_MICROS));
    }
    send(&store, builder);
    assert!(is_shown(), "joined with a wider one");
    store.flush().unwrap();
    let segment = &store.segments()[0];
    let opened = segment.open().unwrap();
    assert!(store::columns::key_columns(opened.schema()).all(|(_, path, _)| path != "twice"), "it has no column");
    assert!(is_shown(), "in a segment");
}
