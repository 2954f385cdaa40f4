//! However the events come, there are few segments after the merges, and no event was written often.

use std::collections::BTreeSet;

use serde_json::json;
use store::{LogId, Store};

use crate::events::{BASE_MICROS, Sent, append, by_id, rows};
use crate::sim::Machine;

const LOG: LogId = LogId(1);

/// Flushes and merges as the engine does it; returns the most segments there were after a merge, and how many rows were
/// written in all.
fn trickle(store: &Store, flushes: usize, rows_of: impl Fn(usize) -> usize) -> (usize, u64) {
    let (mut most, mut written, mut sent) = (0, 0, 0);
    let mut seen = BTreeSet::new();
    for flush in 0..flushes {
        let micros = BASE_MICROS + i64::try_from(flush).unwrap() * 40_000_000;
        let event = |number| Sent::new(&format!("event {number}"), micros, json!({"number": number}));
        let events: Vec<Sent> = (sent..sent + rows_of(flush)).map(event).collect();
        sent += append(store, LOG, micros, &events);
        store.flush().unwrap();
        loop {
            for segment in store.segments() {
                written += if seen.insert(segment.info().number) { segment.info().rows } else { 0 };
            }
            if !store.merge().unwrap() {
                break;
            }
        }
        most = most.max(store.segments().len());
    }
    assert_eq!(by_id(rows(store, LOG)).len(), sent);
    (most, written)
}

/// A day of single events, a flush every 40 seconds: classes below 8, 64, 512 and 4,096 rows.
#[test]
fn a_day_of_single_events() {
    let (store, _) = Machine::new(1).open().unwrap();
    let (most, written) = trickle(&store, 2160, |_| 1);
    assert!(most <= 4 * 7, "{most} segments");
    assert!(written <= 4 * 2160, "{written} rows written for 2160");
}

#[test]
fn flushes_of_all_sizes() {
    let (store, _) = Machine::new(1).open().unwrap();
    let rows_of = |flush: usize| [1, 3, 100, 2, 17, 1, 40, 5][flush % 8] + flush % 3;
    let sent: usize = (0..400).map(rows_of).sum();
    let (most, written) = trickle(&store, 400, rows_of);
    assert!(most <= 5 * 7, "{most} segments");
    assert!(written <= 5 * sent as u64, "{written} rows written for {sent}");
}
