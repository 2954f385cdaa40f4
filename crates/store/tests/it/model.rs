//! Random operations on a store in a real folder and on a plain list of events: equal after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{TimestampMicrosecondType, UInt64Type};
use event::Timestamp;
use serde_json::Value as Json;
use store::columns::{SEQUENCE_AT, TIMESTAMP_AT};
use store::segment::Segment;
use store::{Expiry, LogId, Retention, Store};

use crate::events::{BASE_MICROS, DAY_MICROS, KEYS, Reader, Sent, append, by_id, random_event, snapshot_documents};
use crate::folder::Folder;
use crate::random::Random;

const LOG: LogId = LogId(1);

struct Model {
    random: Random,
    folder: Folder,
    store: Option<Store>,
    events: Vec<(Sent, Timestamp)>,
    /// How many events were made, with those that are gone: an id is never another's.
    made: usize,
    now: i64,
    reader: Reader,
    checked: BTreeSet<u64>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let folder = Folder::new();
        let (store, _) = folder.open();
        Self {
            random: Random::new(seed),
            folder,
            store: Some(store),
            events: Vec::new(),
            made: 0,
            now: BASE_MICROS,
            reader: Reader::default(),
            checked: BTreeSet::new(),
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn step(&mut self) -> &'static str {
        self.now += i64::try_from(self.random.below(3_600)).unwrap() * 1_000_000;
        match self.random.below(100) {
            0..50 => self.append(),
            50..75 => self.flush(),
            75..82 => self.merge(),
            82..87 => self.archive(),
            87..92 => self.retain(),
            92..97 => self.restart(),
            _ => self.hold_a_snapshot(),
        }
    }

    fn append(&mut self) -> &'static str {
        let mut events = Vec::new();
        for _ in 0..=self.random.below(30) {
            let micros = self.moment();
            self.made += 1;
            let id = format!("event {}", self.made);
            events.push(random_event(&mut self.random, id, micros, &KEYS));
        }
        let fresh = events.len();
        if !self.events.is_empty() && self.random.percent(30) {
            events.push(self.random.pick(&self.events).0.clone());
        }
        assert_eq!(append(self.store(), LOG, self.now, &events), fresh, "what was sent again is not stored again");
        events.truncate(fresh);
        let received = Timestamp::from_micros(self.now);
        self.events.extend(events.into_iter().map(|event| (event, received)));
        "append"
    }

    /// In order, late, years ago, in the future, or the moment of the event before.
    fn moment(&mut self) -> i64 {
        match self.random.below(10) {
            0..6 => self.now,
            6 => self.now - i64::try_from(self.random.below(40)).unwrap() * DAY_MICROS,
            7 => self.now + DAY_MICROS,
            8 => self.random.pick(&[0, -DAY_MICROS, 100 * 365 * DAY_MICROS]).to_owned(),
            _ => self.events.last().map_or(self.now, |(event, _)| event.timestamp.as_micros()),
        }
    }

    fn flush(&mut self) -> &'static str {
        let buffered = self.store().size(LOG).buffered_events;
        assert_eq!(self.store().flush().unwrap(), buffered);
        assert_eq!(self.store().size(LOG).buffered_events, 0);
        "flush"
    }

    fn merge(&mut self) -> &'static str {
        while self.store().merge().unwrap() {}
        "merge"
    }

    /// Out, and sometimes back or gone for good; after it no segment is left that should have gone.
    fn archive(&mut self) -> &'static str {
        let days = 5 + self.random.below(30) as u64;
        let stream = *self.random.pick(&["", "INFO", "AUDIT"]);
        let after = Retention::from([(stream.to_owned(), Duration::from_secs(days * 86_400))]);
        let now = Timestamp::from_micros(self.now);
        let policy = store::archive::Policy { after, bytes: None };
        let due = self.store().archive_due(LOG, &policy, now);
        let before = self.store().size(LOG).archived_events;
        let (done, end) = self.store().archive((LOG, "log"), &policy, now, &mut |_| true);
        end.unwrap();
        assert_eq!(done.events, due.events, "what a dry run says");
        assert_eq!(self.store().size(LOG).archived_events, before + done.events);
        assert_eq!(self.store().archive_due(LOG, &policy, now), store::ArchiveWork::default());
        let verified = self.store().verify_archive(None, &mut |_| true).unwrap();
        assert_eq!((verified.faults, verified.strangers), (Vec::new(), Vec::new()));
        match self.random.below(4) {
            0 => {
                let (segments, _) = self.store().restorable(LOG, &(Timestamp::from_micros(0)..=now), None);
                self.store().restore(&segments, now, &mut |_| true).unwrap();
                "archive and restore"
            }
            1 => {
                self.purge();
                "archive and purge"
            }
            _ => "archive",
        }
    }

    fn purge(&mut self) {
        let before = Timestamp::from_micros(self.now - 20 * DAY_MICROS);
        let stream = self.random.percent(50).then(|| "ERROR".to_owned());
        let purge = store::Purge { log: LOG, name: "log".to_owned(), before, stream: stream.clone() };
        let due = self.store().purge_due(&purge).unwrap();
        let archived = |store: &Store| -> BTreeMap<String, Json> {
            let segments = store.archived(LOG);
            let rows = segments.iter().flat_map(|segment| crate::events::segment_rows(segment));
            by_id(rows).into_iter().map(|(id, row)| (id, row.document)).collect()
        };
        let there = archived(self.store());
        let mut told = None;
        let refusal = self.store().purge(&purge, before, &mut |_| Err(store::StoreError::Stopped));
        assert!(refusal.is_err() && archived(self.store()) == there, "a witness may refuse");
        let done = self.store().purge(&purge, before, &mut |work| {
            told = Some(*work);
            Ok(())
        });
        let done = done.unwrap();
        assert_eq!((done.events, told), (due.events, Some(done)));
        let left = archived(self.store());
        self.events.retain(|(event, _)| {
            let named = stream.as_ref().is_none_or(|stream| event.document["stream"] == **stream);
            let goes = there.contains_key(&event.id) && named && event.timestamp < before;
            assert!(!there.contains_key(&event.id) || left.contains_key(&event.id) != goes, "{event:?}");
            !goes
        });
    }

    /// Only what is old may go, and no segment is left in which it would pay to look again.
    fn retain(&mut self) -> &'static str {
        let days = 5 + self.random.below(30) as u64;
        let stream = *self.random.pick(&["", "INFO", "AUDIT"]);
        let retention = Retention::from([(stream.to_owned(), Duration::from_secs(days * 86_400))]);
        let now = Timestamp::from_micros(self.now);
        let (archived, end) = self.store().retain_archived((LOG, "log"), &retention, now);
        end.unwrap();
        let gone = self.store().retain(LOG, &retention, now).unwrap() + archived;
        let cutoff = self.now - i64::try_from(days).unwrap() * DAY_MICROS;
        let left = by_id(self.reader.rows(self.store(), LOG));
        let before = self.events.len();
        self.events.retain(|(event, _)| {
            let covered = stream.is_empty() || event.document["stream"] == stream;
            let is_old = covered && event.timestamp.as_micros() < cutoff;
            !is_old || left.contains_key(&event.id)
        });
        assert_eq!(gone, (before - self.events.len()) as u64, "only what is old went");
        for segment in [self.store().segments(), self.store().archived_segments()].concat() {
            assert_eq!(Expiry::of(segment.info(), &retention, now), Expiry::Keep);
        }
        "retain"
    }

    fn restart(&mut self) -> &'static str {
        self.store = None;
        let (store, report) = self.folder.open();
        assert_eq!((report.journal, report.missing), (Vec::new(), Vec::new()));
        assert_eq!(report.orphans, 0, "nobody was interrupted");
        self.store = Some(store);
        self.reader.forget(&mut self.random, 100);
        "restart"
    }

    /// A snapshot stays what it was, whatever happens to the log behind it.
    fn hold_a_snapshot(&mut self) -> &'static str {
        let held = self.store().snapshot(LOG);
        let before = snapshot_documents(&held);
        self.append();
        self.flush();
        self.merge();
        self.retain();
        assert_eq!(snapshot_documents(&held), before);
        "hold a snapshot"
    }

    fn check(&mut self) {
        let expected: BTreeMap<String, Json> =
            self.events.iter().map(|(event, received)| (event.id.clone(), event.answer(*received))).collect();
        let found: BTreeMap<String, Json> =
            by_id(self.reader.rows(self.store(), LOG)).into_iter().map(|(id, row)| (id, row.document)).collect();
        assert_eq!(found.len(), expected.len());
        for (id, document) in &expected {
            assert_eq!(found.get(id), Some(document));
        }
        let size = self.store().size(LOG);
        assert_eq!(size.events + size.archived_events, expected.len() as u64);
        for segment in [self.store().segments(), self.store().archived_segments()].concat() {
            if self.checked.insert(segment.info().number) {
                check_info(&segment);
            }
        }
    }
}

/// What the catalog knows of a segment is what is in it, and its rows are in order.
fn check_info(segment: &Segment) {
    let info = segment.info();
    let opened = segment.open().unwrap();
    let mut keys: Vec<(i64, u64)> = Vec::new();
    for batch in (0..opened.row_groups().len()).flat_map(|group| opened.read_all(group).unwrap()) {
        let times = batch.column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>();
        let sequences = batch.column(SEQUENCE_AT).as_primitive::<UInt64Type>();
        keys.extend(times.values().iter().copied().zip(sequences.values().iter().copied()));
    }
    assert!(keys.is_sorted());
    assert_eq!(keys.len() as u64, info.rows);
    assert_eq!(info.streams.iter().map(|span| span.rows).sum::<u64>(), info.rows);
    let ends = (keys.first().map(|key| key.0), keys.last().map(|key| key.0));
    assert_eq!(ends, (Some(info.first.as_micros()), Some(info.last.as_micros())));
    let sequences = || keys.iter().map(|key| key.1);
    assert_eq!((sequences().min(), sequences().max()), (Some(info.first_sequence), Some(info.last_sequence)));
}

#[test]
fn random_operations_agree_with_a_list() {
    for seed in 0..6 {
        let mut model = Model::new(seed);
        let mut steps = Vec::new();
        for _ in 0..50 {
            steps.push(model.step());
            let checked = catch_unwind(AssertUnwindSafe(|| model.check()));
            assert!(checked.is_ok(), "seed {seed} after {steps:?}");
        }
    }
}
