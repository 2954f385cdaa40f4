//! The index may name a block too many, never one too few.

use std::collections::BTreeMap;
use std::fs;

use event::parse_uuid;
use event::text::words;
use serde_json::{Value as Json, json};
use store::index::{BLOCK_ROWS, BlockSet, Token, is_id_like};
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
    assert!(absent.count() < 5, "few words are taken for another one");
}

/// Rows of rare streams are listed one by one, with what they hold.
#[test]
fn words_of_a_rare_stream_lead_to_its_rows() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let events: Vec<Sent> = (0..5 * BLOCK_ROWS)
        .map(|number| {
            let stream = if number % 32 == 7 { "ERROR" } else { "INFO" };
            let micros = BASE_MICROS + i64::try_from(number).unwrap();
            // Every block has both words, and one block has them in one row of the stream.
            let message = match number {
                2055 => "both connection and refused".to_owned(),
                _ if number % 3 == 0 => format!("connection {number}"),
                _ => format!("refused {number}"),
            };
            Sent::new(&format!("e{number}"), micros, json!({"stream": stream, "message": message}))
        })
        .collect();
    append(&store, LOG, BASE_MICROS, &events);
    store.flush().unwrap();
    let segment = &store.segments()[0];
    let opened = segment.open().unwrap();
    let index = opened.index().unwrap();
    let listed = index.blocks_by_row("stream", "error").unwrap();
    assert_eq!(listed, &BlockSet::all(5));
    assert_eq!(index.blocks_by_row("stream", "info"), None);
    assert_eq!(index.blocks_by_row("level", "error"), None);
    assert_eq!(index.rare_rows(), 5 * BLOCK_ROWS / 32);
    let rows = |word: &str| index.rare_rows_with(Token::word(word));
    let mut both = rows("connection");
    assert_eq!(index.blocks_of_rare_rows(&both), BlockSet::all(5));
    both.intersect(&rows("refused"));
    both.intersect(&index.rare_rows_with(Token::scope("stream", "ERROR")));
    assert_eq!(both.iter().collect::<Vec<_>>(), [2055 / 32]);
    assert_eq!(index.blocks_of_rare_rows(&both).iter().collect::<Vec<_>>(), [2]);
}

/// Sidecars of the first version had no ids, no rare rows, and other lists.
#[test]
fn a_sidecar_of_version_1_is_read() {
    let (folder, store) = filled();
    drop(store);
    let path = &folder.files("segments", ".idx")[0];
    let new = fs::read(path).unwrap();
    let number = |at: usize| u32::from_le_bytes(new[at..at + 4].try_into().unwrap());
    let mut old = new[..24].to_vec();
    old[8] = 1;
    let mut end = 32;
    (0..3).for_each(|_| end += 8 + number(end) as usize);
    old.extend(crc32c::crc32c(&old).to_le_bytes());
    old.extend(&new[32..end]);
    let section = |old: &mut Vec<u8>, bytes: &[u8]| {
        old.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        old.extend(bytes);
        old.extend(crc32c::crc32c(bytes).to_le_bytes());
    };
    // One word, in block 0 alone: its hash in five bytes of seven bits, and the block.
    let hash = xxhash_rust::xxh3::xxh3_64(b"system") >> 32;
    let mut list: Vec<u8> = (0..5).map(|at| (hash >> (7 * at)) as u8 & 0x7f | 0x80).collect();
    list[4] &= 0x7f;
    list.push(0);
    section(&mut old, &[0_u32, 0, u32::try_from(list.len()).unwrap()].map(u32::to_le_bytes).concat());
    section(&mut old, &list);
    assert!(old.len() <= new.len());
    old.resize(new.len(), 0);
    fs::write(path, old).unwrap();
    let (store, _) = folder.open();
    let segments = store.segments();
    let segment = segments.iter().find(|segment| path.ends_with(segment.file_names()[1].rsplit('/').next().unwrap()));
    let opened = segment.unwrap().open().unwrap();
    let index = opened.index().unwrap();
    assert_eq!((index.blocks(), index.rare_rows()), (1, 0));
    assert_eq!(index.blocks_with(Token::word("system")).len(), 1);
    assert_eq!(index.blocks_with(Token::word("größe")).len(), 0);
    assert_eq!(index.blocks_with_id(&[7; 16]).len(), 1, "nothing is known of ids");
    assert_eq!(opened.verify().unwrap(), []);
    assert_eq!(segment.unwrap().damage(), []);
}
