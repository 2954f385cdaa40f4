//! Events as documents: taken apart on their way in as `intake` does it, and compared when they come out again.

use std::cell::RefCell;
use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use event::{Batch, BatchBuilder, Id, Timestamp, Value};
use serde_json::{Map, Value as Json, json};
use store::columns::SEQUENCE_AT;
use store::segment::Segment;
use store::{Documents, LogId, Snapshot, Store};

use crate::random::Random;

/// 2026-01-01T00:00:00Z.
pub(crate) const BASE_MICROS: i64 = 1_767_225_600_000_000;
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// One event as a client sends it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) timestamp: Timestamp,
    /// Every other key.
    pub(crate) document: Map<String, Json>,
}

impl Sent {
    pub(crate) fn new(id: &str, micros: i64, document: Json) -> Self {
        let Json::Object(document) = document else { panic!("{document} is no object") };
        Self { id: id.to_owned(), timestamp: Timestamp::from_micros(micros), document }
    }

    /// What an answer shows of it.
    pub(crate) fn answer(&self, received: Timestamp) -> Json {
        let mut answer = self.document.clone();
        answer.insert("id".to_owned(), json!(self.id));
        answer.insert("timestamp".to_owned(), json!(self.timestamp.to_string()));
        answer.insert("received".to_owned(), json!(received.to_string()));
        Json::Object(answer)
    }
}

pub(crate) fn batch(events: &[Sent]) -> Batch {
    let mut builder = BatchBuilder::new();
    for sent in events {
        let mut path = String::new();
        push_object(&mut builder, &mut path, &sent.document);
        assert!(builder.commit(Id::new(&sent.id), sent.timestamp), "a small batch has room");
    }
    builder.finish()
}

fn push_object(builder: &mut BatchBuilder, path: &mut String, object: &Map<String, Json>) {
    for (name, value) in object {
        let length = path.len();
        event::push_segment(path, name);
        match value {
            Json::Object(inner) if !inner.is_empty() => push_object(builder, path, inner),
            leaf => push_leaf(builder, path, leaf),
        }
        path.truncate(length);
    }
}

fn push_leaf(builder: &mut BatchBuilder, path: &str, leaf: &Json) {
    let text = leaf.to_string();
    let value = match leaf {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(_) => Value::number(&text),
        Json::String(inner) => Value::text(inner),
        Json::Array(_) | Json::Object(_) => Value::Raw(&text),
    };
    let key = builder.key(path);
    assert!(builder.push(key, value, false), "{path} occurs once in a document");
}

/// A row as it is read back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) sequence: u64,
    pub(crate) document: Json,
}

impl Found {
    pub(crate) fn id(&self) -> &str {
        self.document["id"].as_str().unwrap()
    }
}

/// Every row of a log, in no particular order.
pub(crate) fn rows(store: &Store, log: LogId) -> Vec<Found> {
    let snapshot = store.snapshot(log);
    let mut found = buffered_rows(&snapshot);
    snapshot.segments.iter().for_each(|segment| found.extend(segment_rows(segment)));
    found
}

/// Reads a log again and again: a segment never changes, so its rows are kept from one time to the next.
#[derive(Debug, Default)]
pub(crate) struct Reader(RefCell<BTreeMap<u64, Vec<Found>>>);

impl Reader {
    pub(crate) fn rows(&self, store: &Store, log: LogId) -> Vec<Found> {
        let snapshot = store.snapshot_with_archive(log);
        let mut found = buffered_rows(&snapshot);
        let mut known = self.0.borrow_mut();
        for segment in &snapshot.segments {
            found.extend_from_slice(known.entry(segment.info().number).or_insert_with(|| segment_rows(segment)));
        }
        found
    }

    /// Lets chance say which segments are read anew.
    pub(crate) fn forget(&mut self, random: &mut Random, percent: usize) {
        self.0.get_mut().retain(|_, _| !random.percent(percent));
    }
}

pub(crate) fn segment_rows(segment: &Segment) -> Vec<Found> {
    let mut found = Vec::new();
    let opened = segment.open().unwrap();
    for group in 0..opened.row_groups().len() {
        opened.read_all(group).unwrap().iter().for_each(|batch| render(batch, &mut found));
    }
    found
}

pub(crate) fn buffered_rows(snapshot: &Snapshot) -> Vec<Found> {
    let mut found = Vec::new();
    snapshot.rows.iter().for_each(|rows| render(&rows.batch, &mut found));
    found
}

/// The documents of a snapshot, in its own order.
pub(crate) fn snapshot_documents(snapshot: &Snapshot) -> Vec<Json> {
    let mut found: Vec<Found> = snapshot.segments.iter().flat_map(|segment| segment_rows(segment)).collect();
    found.extend(buffered_rows(snapshot));
    found.into_iter().map(|row| row.document).collect()
}

pub(crate) fn render(batch: &RecordBatch, found: &mut Vec<Found>) {
    let sequences = batch.column(SEQUENCE_AT).as_primitive::<UInt64Type>();
    let mut documents = Documents::new(batch);
    let mut bytes = Vec::new();
    for row in 0..batch.num_rows() {
        bytes.clear();
        documents.write(row, &mut bytes);
        let document = serde_json::from_slice(&bytes).unwrap();
        found.push(Found { sequence: sequences.value(row), document });
    }
}

/// Rows by their ids. Panics when two have one id.
pub(crate) fn by_id(rows: impl IntoIterator<Item = Found>) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    for row in rows {
        let before = found.insert(row.id().to_owned(), row.clone());
        assert_eq!(before, None, "the id of {row:?} is there twice");
    }
    found
}

/// Appends one request without a producer; returns how many events were new.
pub(crate) fn append(store: &Store, log: LogId, received: i64, events: &[Sent]) -> usize {
    let received = Timestamp::from_micros(received);
    let incoming = store::Incoming { log, received, producer: None, batch: batch(events) };
    store.append(vec![incoming]).unwrap()[0].stored
}

/// Keys of random events; some have values of several types.
pub(crate) const KEYS: [&str; 10] =
    ["message", "user", "request_id", "tags", "status", "duration_ms", "token", "user.id", "größe", "ok"];

/// A random event with some of these keys.
pub(crate) fn random_event(random: &mut Random, id: String, micros: i64, keys: &[&str]) -> Sent {
    let mut document = Map::new();
    document.insert("stream".to_owned(), json!(random.pick(&["INFO", "ERROR", "AUDIT"])));
    for key in keys {
        if random.percent(40) {
            document.insert((*key).to_owned(), random_value(random, key));
        }
    }
    Sent { id, timestamp: Timestamp::from_micros(micros), document }
}

fn random_value(random: &mut Random, key: &str) -> Json {
    let number = random.below(100);
    match (key, random.below(8)) {
        ("token", _) => json!({"identifier": format!("token-{number}"), "rights": {"write": number.is_multiple_of(2)}}),
        ("message", 0..6) => json!("many words ".repeat(number)),
        ("request_id", 0..6) => json!(uuid(number)),
        ("tags", 0..6) => json!([number, "a b", null, {"deep": [1.5]}]),
        ("duration_ms", 0..6) => json!(f64::from(u32::try_from(number).unwrap()) / 8.0),
        (_, 0) => json!(format!("text {number} \"\\\n漢")),
        (_, 1) => json!(number),
        (_, 2) => json!(-0.25),
        (_, 3) => Json::Null,
        (_, 4) => json!({}),
        (_, 5) => json!(uuid(number)),
        (_, 6) => json!(number.is_multiple_of(2)),
        _ => json!(u64::MAX),
    }
}

fn uuid(number: usize) -> String {
    format!("0197f3c2-0000-7000-8000-{number:012x}")
}
