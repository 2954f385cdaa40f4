//! The index may name a block too many, never one too few.

use std::collections::BTreeMap;

use event::parse_uuid;
use event::text::words;
use serde_json::{Value as Json, json};
use store::index::{BLOCK_ROWS, Token, is_id_like};
use store::segment::Segment;
use store::{LogId, Store};

use crate::events::{BASE_MICROS, KEYS, Sent, append, random_event, segment_rows};
use crate::folder::Folder;
use crate::random::Random;

const LOG: LogId = LogId(1);

/// The tokens that a document promises to be found by.
fn tokens(document: &Json) -> Vec<(String, Token)> {
    let mut found = Vec::new();
    for (key, value) in document.as_object().unwrap() {
        if !["id", "timestamp", "received"].contains(&key.as_str()) {
            collect(key, value, true, &mut found);
        }
    }
    found
}

fn collect(path: &str, value: &Json, whole: bool, found: &mut Vec<(String, Token)>) {
    match value {
        Json::String(text) => {
            if let Some(bytes) = parse_uuid(text) {
                found.push((format!("uuid {text}"), Token::uuid(&bytes)));
            } else {
                found.extend(words(text).map(|word| (format!("word {word}"), Token::word(word))));
                if whole && is_id_like(path) {
                    found.push((format!("{path}={text}"), Token::value(path, text)));
                }
            }
        }
        Json::Number(number) if number.is_i64() => {
            let text = number.to_string();
            found.extend(words(&text).map(|word| (format!("word {word}"), Token::word(word))));
            if whole && is_id_like(path) {
                found.push((format!("{path}={text}"), Token::value(path, &text)));
            }
        }
        Json::Array(items) => items.iter().for_each(|item| collect(path, item, false, found)),
        Json::Object(members) => {
            members.iter().for_each(|(key, member)| collect(&format!("{path}.{key}"), member, whole, found));
        }
        _ => {}
    }
}

fn check_segment(segment: &Segment) {
    let opened = segment.open().unwrap();
    let index = opened.index().unwrap();
    let rows = segment_rows(segment);
    assert_eq!(index.rows(), rows.len() as u64);
    assert_eq!(index.blocks(), rows.len().div_ceil(BLOCK_ROWS));
    let mut blocks_of: BTreeMap<String, (Token, Vec<usize>)> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        for (name, token) in tokens(&row.document) {
            let blocks = &mut blocks_of.entry(name).or_insert((token, Vec::new())).1;
            if blocks.last() != Some(&(at / BLOCK_ROWS)) {
                blocks.push(at / BLOCK_ROWS);
            }
        }
    }
    for (name, (token, blocks)) in blocks_of {
        let found = index.blocks_with(token);
        assert!(blocks.iter().all(|block| found.contains(*block)), "{name} is in {blocks:?}, found in {found:?}");
    }
    for (number, block) in rows.chunks(BLOCK_ROWS).enumerate() {
        let (first, last) = index.times(number);
        let moment = |micros| json!(event::Timestamp::from_micros(micros).to_string());
        let times = || block.iter().map(|row| row.document["timestamp"].as_str().unwrap());
        assert_eq!((times().min(), times().max()), (moment(first).as_str(), moment(last).as_str()));
    }
}

fn event(random: &mut Random, number: usize) -> Sent {
    let micros = BASE_MICROS + i64::try_from(number).unwrap() * 1_000;
    let mut event = random_event(random, format!("event {number}"), micros, &KEYS);
    let uuid = format!("0197f3c2-0000-7000-8000-{:012x}", random.below(300));
    let members = &mut event.document;
    members.insert("message".to_owned(), json!(format!("Größe w{} of WORD_{}", random.below(2_000), number / 10)));
    members.insert("fingerprint".to_owned(), json!(random.pick(&[uuid.as_str(), "abc", "a b"])));
    // So many keys that some of them have no column.
    members.insert(format!("key{}", random.below(400)), json!([uuid, number]));
    members.insert(format!("number{}", random.below(400)), json!(number));
    event
}

fn filled() -> (Folder, Store) {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let mut random = Random::new(1);
    for part in 0..8 {
        // Each part is spread over all the time, so that a merge mixes them.
        let events: Vec<Sent> = (0..700).map(|at| event(&mut random, at * 8 + part)).collect();
        append(&store, LOG, BASE_MICROS, &events);
        store.flush().unwrap();
    }
    (folder, store)
}

#[test]
fn no_row_is_missed_and_a_rare_word_is_found_quickly() {
    let (_folder, store) = filled();
    store.segments().iter().for_each(|segment| check_segment(segment));
    assert!(store.merge().unwrap());
    let segments = store.segments();
    assert_eq!(segments.len(), 1);
    check_segment(&segments[0]);
    let opened = segments[0].open().unwrap();
    let index = opened.index().unwrap();
    assert_eq!(index.blocks(), 6);
    assert_eq!(index.blocks_with(Token::word("word_300")).len(), 1, "ten rows, close in time");
    assert_eq!(index.blocks_with(Token::word("GRÖSSE")).len(), 0, "ß is no SS");
    assert_eq!(index.blocks_with(Token::word("grÖße")).len(), 6);
    let absent = (0..100).filter(|number| !index.blocks_with(Token::word(&format!("never{number}"))).is_empty());
    assert_eq!(absent.count(), 0, "of 2^32 hashes few are taken");
}
