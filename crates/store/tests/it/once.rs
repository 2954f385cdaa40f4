//! An event sent again is stored once: within a request, a group, across flushes, merges and starts.

use event::Timestamp;
use serde_json::json;
use store::{Appended, Incoming, LogId, Store};

use crate::events::{BASE_MICROS, Sent, append, batch, by_id, rows};
use crate::folder::Folder;

const LOG: LogId = LogId(1);

/// Ids of both kinds: UUIDs and other texts.
fn events(range: std::ops::Range<usize>) -> Vec<Sent> {
    let event = |number: usize| {
        let id = if number.is_multiple_of(2) { format!("order {number}") } else { format!("{number:032x}") };
        let id = if number.is_multiple_of(3) { format!("0197f3c2-0000-7000-8000-{number:012x}") } else { id };
        Sent::new(&id, BASE_MICROS, json!({"number": number}))
    };
    range.map(event).collect()
}

#[test]
fn ids_are_remembered_across_flushes_merges_and_starts() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    for round in 0..20 {
        assert_eq!(append(&store, LOG, BASE_MICROS, &events(round * 10..round * 10 + 10)), 10);
        match round % 4 {
            0 => drop(store.flush().unwrap()),
            1 => drop(store.merge().unwrap()),
            2 => {
                drop(store);
                store = folder.open().0;
            }
            _ => {}
        }
        assert_eq!(append(&store, LOG, BASE_MICROS, &events(0..round * 10 + 10)), 0, "round {round}");
    }
    assert_eq!(by_id(rows(&store, LOG)).len(), 200);
    assert_eq!(append(&store, LogId(2), BASE_MICROS, &events(0..5)), 5, "another log knows nothing of it");
}

fn send(store: &Store, group: &[(&str, u64, std::ops::Range<usize>)]) -> Vec<Appended> {
    let incoming = |(producer, position, range): &(&str, u64, std::ops::Range<usize>)| Incoming {
        log: LOG,
        received: Timestamp::from_micros(BASE_MICROS),
        producer: (!producer.is_empty()).then(|| ((*producer).to_owned(), *position)),
        batch: batch(&events(range.clone())),
    };
    store.append(group.iter().map(incoming).collect()).unwrap()
}

fn check(store: &Store, group: &[(&str, u64, std::ops::Range<usize>)], stored: &[usize]) {
    let results = send(store, group);
    assert_eq!(results.iter().map(|result| result.stored).collect::<Vec<_>>(), stored, "{group:?}");
    for (result, (.., range)) in results.iter().zip(group) {
        assert_eq!(result.stored + result.known.len(), range.len());
    }
}

#[test]
fn within_one_group() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    check(&store, &[("", 0, 0..5), ("", 0, 3..8), ("", 0, 0..8)], &[5, 3, 0]);
    let twice: Vec<Sent> = events(8..10).into_iter().chain(events(8..10)).collect();
    assert_eq!(append(&store, LOG, BASE_MICROS, &twice), 2);
}

#[test]
fn a_producer_sends_each_position_once() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    check(&store, &[("app", 1, 0..2), ("app", 1, 2..4), ("other", 1, 4..6)], &[2, 0, 2]);
    check(&store, &[("app", 3, 6..8), ("app", 2, 8..10)], &[2, 0]);
    assert_eq!(store.producer_position("app"), Some(3));
    for flushed in [false, true, true] {
        if flushed {
            store.flush().unwrap();
        }
        drop(store);
        store = folder.open().0;
        assert_eq!(store.producer_position("app"), Some(3));
        check(&store, &[("app", 3, 20..22), ("app", 2, 22..24), ("other", 1, 24..26)], &[0, 0, 0]);
    }
    check(&store, &[("app", 4, 2..4)], &[2]);
    assert_eq!(store.producer_position("nobody"), None);
}
