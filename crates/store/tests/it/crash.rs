//! Random work, a fault at a random call, a start, and the question whether every promise was kept.
//!
//! One seed is one history: `CRASH_FROM=17 CRASH_SEEDS=1 cargo nextest run -p store --run-ignored all crash_many`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use event::Timestamp;
use serde_json::Value as Json;
use store::{Appended, Incoming, JournalError, LogId, Retention, Store, StoreError};

use crate::events::{BASE_MICROS, DAY_MICROS, Found, KEYS, Reader, Sent, batch, by_id, random_event};
use crate::random::Random;
use crate::sim::{Fault, Machine};

const LOGS: [LogId; 2] = [LogId(1), LogId(2)];
const PRODUCERS: [&str; 2] = ["app-1", "app-2"];
const STEPS: usize = 30;

type Key = (LogId, String);

/// What one client sends at once.
#[derive(Clone, Debug)]
struct Request {
    log: LogId,
    producer: Option<(String, u64)>,
    events: Vec<Sent>,
}

/// An event that has to be there.
#[derive(Clone, Debug)]
struct Kept {
    sequence: u64,
    /// Retention may have removed it.
    expired: bool,
}

/// The store under test, and what is known about it without asking it.
struct World {
    random: Random,
    machine: Machine,
    store: Option<Store>,
    /// Every event ever sent, and what an answer shows of it.
    sent: BTreeMap<Key, (Sent, Json)>,
    kept: BTreeMap<Key, Kept>,
    /// The new events of each request that was refused: all of them may be found after a start, or none.
    refused: Vec<BTreeSet<Key>>,
    /// The last group that was refused, which its clients may send again as it was.
    unanswered: Vec<Request>,
    /// Refused, yet found after a start, and not confirmed since.
    seen: BTreeMap<Key, u64>,
    /// How far each producer is: with requests that stored anything, as the last start found it, and now.
    positions: BTreeMap<String, u64>,
    found_positions: BTreeMap<String, u64>,
    heard: BTreeMap<String, u64>,
    last_sequence: u64,
    reader: Reader,
}

fn received() -> Timestamp {
    Timestamp::from_micros(BASE_MICROS + 40 * DAY_MICROS)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            random: Random::new(seed),
            machine: Machine::new(seed),
            store: None,
            sent: BTreeMap::new(),
            kept: BTreeMap::new(),
            refused: Vec::new(),
            unanswered: Vec::new(),
            seen: BTreeMap::new(),
            positions: BTreeMap::new(),
            found_positions: BTreeMap::new(),
            heard: BTreeMap::new(),
            last_sequence: 0,
            reader: Reader::default(),
        };
        world.start();
        world
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn open(&self) -> Option<Store> {
        match self.machine.open() {
            Ok((store, report)) => {
                assert_eq!(report.journal, [], "a disk that only forgets what was not synced leaves no damage");
                assert_eq!(report.missing, [""; 0], "a segment that the catalog names is on the disk");
                Some(store)
            }
            Err(error) => {
                assert!(self.machine.disk.is_crashed(), "the start failed without a fault: {error}");
                None
            }
        }
    }

    /// Starts until it succeeds; the power may be lost before each try.
    fn start(&mut self) {
        self.store = None;
        // A start may find any segment changed; to read them all each time would take long.
        self.reader.forget(&mut self.random, 25);
        loop {
            if self.random.percent(60) {
                self.machine.disk.reboot();
            } else {
                self.machine.disk.restart();
            }
            if self.random.percent(10) {
                self.arm(&[Fault::Crash]);
            }
            self.store = self.open();
            if self.store.is_some() {
                break;
            }
        }
        self.check_files();
        if self.machine.disk.is_crashed() {
            // The power that was to be lost at the start was lost while files were cleared away after it.
            return self.start();
        }
        self.check_positions();
        let found = self.found();
        self.settle_refused(&found);
        self.compare(&found);
    }

    fn arm(&mut self, faults: &[Fault]) {
        self.machine.disk.arm(self.random.below(30), *self.random.pick(faults));
    }

    fn step(&mut self) {
        // What a start found last and no flush has saved: the power may go before anything else happens.
        if !self.seen.is_empty() && self.random.percent(40) {
            self.append();
            self.start();
            return;
        }
        match self.random.below(100) {
            0..55 => self.append(),
            55..72 => self.after(|store| store.flush().map(drop)),
            72..77 => self.grow(),
            77..79 => self.after(|store| store.merge().map(drop)),
            79..82 => self.flush_within_merge(),
            82..85 => self.retain(),
            85..91 => self.archive(),
            91..95 => self.arm(&[Fault::Crash, Fault::Crash, Fault::Device, Fault::Full]),
            95..98 => self.machine.disk.make_room(),
            _ => self.start(),
        }
        if self.machine.disk.is_crashed() {
            self.start();
        } else if self.store().poisoned().is_some() {
            self.check();
            self.start();
        }
    }

    /// Housekeeping that may fail, and changes no answer whether it does or not.
    fn after(&mut self, work: impl FnOnce(&Store) -> Result<(), StoreError>) {
        let store = self.store.take().unwrap();
        let done = work(&store);
        assert!(done.is_ok() || self.machine.disk.has_failed(), "{done:?} without a fault");
        self.store = Some(store);
        self.check_sometimes();
    }

    /// All is read and compared, unless a read can only fail.
    fn check_sometimes(&mut self) {
        if !self.machine.disk.is_crashed() && self.random.percent(20) {
            self.check();
        }
    }

    /// So many small segments that there is something to merge.
    fn grow(&mut self) {
        for _ in 0..8 {
            if self.machine.disk.is_crashed() {
                return;
            }
            self.append();
            self.after(|store| store.flush().map(drop));
        }
        self.after(|store| store.merge().map(drop));
    }

    /// A flush while a merge is at its files.
    fn flush_within_merge(&mut self) {
        for _ in 0..8 {
            self.append();
            if self.machine.disk.is_crashed() {
                return;
            }
            self.after(|store| store.flush().map(drop));
        }
        self.append();
        let disk = self.machine.disk.clone();
        let names = self.random.below(4);
        self.after(move |store| {
            let (reached, go) = disk.pause_at_segment(names);
            std::thread::scope(|scope| {
                let merge = scope.spawn(|| {
                    let merged = store.merge();
                    disk.pause_no_more();
                    merged
                });
                // Not, when there is nothing to merge.
                let flushed = if reached.recv().is_ok() { store.flush().map(drop) } else { Ok(()) };
                let _ = go.send(());
                merge.join().unwrap().map(drop).and(flushed)
            })
        });
    }

    fn retain(&mut self) {
        // An event that may still vanish with a start cannot be judged by its age as well.
        if !self.seen.is_empty() {
            return;
        }
        // Nor can one be that is sent again afterwards.
        self.unanswered.clear();
        let log = *self.random.pick(&LOGS);
        let days = 10 + self.random.below(20) as u64;
        let stream = *self.random.pick(&["", "INFO", "ERROR"]);
        let retention = Retention::from([(stream.to_owned(), Duration::from_secs(days * 86_400))]);
        let cutoff = received().as_micros() - i64::try_from(days).unwrap() * DAY_MICROS;
        for (key, kept) in &mut self.kept {
            let (event, _) = &self.sent[key];
            let covered = stream.is_empty() || event.document["stream"] == stream;
            kept.expired |= key.0 == log && covered && event.timestamp.as_micros() < cutoff;
        }
        self.after(|store| {
            store.retain_archived((log, "log"), &retention, received()).1?;
            store.retain(log, &retention, received()).map(drop)
        });
    }

    /// What is moved between the live segments and the archive is there all the time, once.
    fn archive(&mut self) {
        let log = *self.random.pick(&LOGS);
        let days = 5 + self.random.below(30) as u64;
        let stream = *self.random.pick(&["", "", "INFO"]);
        let after = Retention::from([(stream.to_owned(), Duration::from_secs(days * 86_400))]);
        let bytes = self.random.percent(30).then_some(0);
        let policy = store::archive::Policy { after, bytes };
        let back = self.random.percent(30);
        self.after(move |store| {
            store.archive((log, "log"), &policy, received(), &mut |_| true).1?;
            if back {
                let always = Timestamp::from_micros(i64::MIN)..=Timestamp::from_micros(i64::MAX);
                let (segments, _) = store.restorable(log, &always, Some("ERROR"));
                store.restore(&segments, received(), &mut |_| true)?;
            }
            store.sweep_archive()
        });
    }

    fn append(&mut self) {
        let again = std::mem::take(&mut self.unanswered);
        let requests: Vec<Request> = if !again.is_empty() && self.random.percent(60) {
            again
        } else {
            (0..=self.random.below(2)).map(|_| self.request()).collect()
        };
        let group = requests.iter().map(|request| Incoming {
            log: request.log,
            received: received(),
            producer: request.producer.clone(),
            batch: batch(&request.events),
        });
        match self.store().append(group.collect()) {
            Ok(results) => {
                self.confirm_seen();
                // What is stored takes the place of what was refused.
                if results.iter().any(|result| result.stored > 0) {
                    self.refused.clear();
                }
                requests.into_iter().zip(results).for_each(|(request, result)| self.acknowledged(request, result));
            }
            Err(error) => {
                let full = matches!(error, JournalError::Full);
                assert!(full || self.machine.disk.is_crashed() || self.store().poisoned().is_some(), "{error}");
                requests.iter().for_each(|request| self.refuse(request));
                self.unanswered = requests;
            }
        }
        self.check_sometimes();
    }

    /// New events, mostly, and some that were sent before.
    fn request(&mut self) -> Request {
        let log = *self.random.pick(&LOGS);
        let mut events = Vec::new();
        for _ in 0..self.random.below(9) {
            let old: Vec<&Key> = self.sent.keys().filter(|key| key.0 == log && !self.is_expired(key)).collect();
            if !old.is_empty() && self.random.percent(15) {
                let again = self.sent[*self.random.pick(&old)].0.clone();
                events.push(again);
            } else {
                events.push(self.fresh(log));
            }
        }
        let producer = self.random.percent(30).then(|| {
            let name = (*self.random.pick(&PRODUCERS)).to_owned();
            let next = self.store().producer_position(&name).unwrap_or(0) + 1;
            let again = self.positions.get(&name).copied().filter(|_| self.random.percent(20));
            (name, again.unwrap_or(next))
        });
        Request { log, producer, events }
    }

    fn fresh(&mut self, log: LogId) -> Sent {
        let number = self.sent.len();
        let id = if number.is_multiple_of(3) {
            format!("event {number}")
        } else {
            format!("0197f3c2-0000-7000-8000-{number:012x}")
        };
        let micros = BASE_MICROS + i64::try_from(self.random.below(40 * 86_400)).unwrap() * 1_000_000;
        let event = random_event(&mut self.random, id.clone(), micros, &KEYS[..4]);
        let answer = event.answer(received());
        self.sent.insert((log, id), (event.clone(), answer));
        event
    }

    fn is_expired(&self, key: &Key) -> bool {
        self.kept.get(key).is_some_and(|kept| kept.expired)
    }

    fn acknowledged(&mut self, request: Request, result: Appended) {
        let count = request.events.len();
        assert_eq!(result.stored + result.known.len(), count, "every event is accounted for");
        if let Some((name, position)) = &request.producer {
            if self.heard.get(name).is_some_and(|known| known >= position) {
                assert_eq!(result.stored, 0, "{name} had position {position} already");
                return;
            }
            self.heard.insert(name.clone(), *position);
            if result.stored > 0 {
                self.positions.insert(name.clone(), *position);
            }
        }
        let known: BTreeSet<Key> = self.kept.keys().cloned().collect();
        let fresh: Vec<Key> = new_keys(&request, |key| known.contains(key));
        assert_eq!(result.stored, fresh.len(), "exactly the new events are stored");
        let first = result.last + 1 - fresh.len() as u64;
        assert!(fresh.is_empty() || first > self.last_sequence, "sequence numbers ascend");
        self.last_sequence = self.last_sequence.max(result.last);
        for (key, sequence) in fresh.into_iter().zip(first..) {
            self.kept.insert(key, Kept { sequence, expired: false });
        }
    }

    fn refuse(&mut self, request: &Request) {
        let fresh = new_keys(request, |key| self.kept.contains_key(key) || self.seen.contains_key(key));
        self.refused.push(fresh.into_iter().collect());
    }

    /// Once anything is acknowledged, what was found at the start is as good as acknowledged too.
    fn confirm_seen(&mut self) {
        for (key, sequence) in std::mem::take(&mut self.seen) {
            self.last_sequence = self.last_sequence.max(sequence);
            self.kept.insert(key, Kept { sequence, expired: false });
        }
        self.positions.append(&mut self.found_positions);
    }

    /// After a start: a refused request is there as a whole, or it is not there at all.
    fn settle_refused(&mut self, found: &BTreeMap<Key, Found>) {
        let waiting: BTreeSet<Key> = self.refused.iter().flatten().chain(self.seen.keys()).cloned().collect();
        let whole: BTreeSet<Key> = self
            .refused
            .iter()
            .filter(|keys| keys.iter().all(|key| found.contains_key(key)))
            .flatten()
            .cloned()
            .collect();
        for key in waiting.iter().filter(|key| found.contains_key(*key) && !self.kept.contains_key(*key)) {
            assert!(whole.contains(key), "only a part is there of the refused request with {key:?}");
        }
        self.seen = whole
            .into_iter()
            .filter(|key| !self.kept.contains_key(key))
            .map(|key| (key.clone(), found[&key].sequence))
            .collect();
    }

    fn found(&self) -> BTreeMap<Key, Found> {
        let of = |log| by_id(self.reader.rows(self.store(), log)).into_iter().map(move |(id, row)| ((log, id), row));
        LOGS.into_iter().flat_map(of).collect()
    }

    fn check(&self) {
        self.compare(&self.found());
    }

    fn compare(&self, found: &BTreeMap<Key, Found>) {
        for segment in [self.store().segments(), self.store().archived_segments()].concat() {
            assert_eq!(segment.damage(), [], "a loss of power damages no segment");
        }
        let sequences: BTreeSet<u64> = found.values().map(|row| row.sequence).collect();
        assert_eq!(sequences.len(), found.len(), "no sequence number is given twice");
        for (key, row) in found {
            assert_eq!(row.document, self.sent[key].1, "an event comes back as it was sent");
            assert!(self.kept.contains_key(key) || self.seen.contains_key(key), "{key:?} was never acknowledged");
        }
        for (key, kept) in self.kept.iter().filter(|(_, kept)| !kept.expired) {
            let Some(row) = found.get(key) else { panic!("{key:?}, which was acknowledged, is lost") };
            assert_eq!(row.sequence, kept.sequence, "the sequence number of {key:?} stays the same");
        }
    }

    /// A producer whose request was acknowledged never has to send it again.
    fn check_positions(&mut self) {
        self.found_positions.clear();
        for name in PRODUCERS {
            let (known, found) = (self.positions.get(name), self.store().producer_position(name));
            assert!(found.as_ref() >= known, "{name} was at {known:?}, and is at {found:?} after a start");
            self.found_positions.extend(found.map(|found| (name.to_owned(), found)));
        }
        self.heard.clone_from(&self.found_positions);
    }

    /// After a start no file is left that the catalog does not name.
    fn check_files(&self) {
        let numbers = self.store().segments().into_iter().map(|segment| segment.info().number);
        let named: BTreeSet<String> =
            numbers.flat_map(|number| ["parquet", "idx"].map(|kind| format!("{number:010}.{kind}"))).collect();
        let found: BTreeSet<String> = self.machine.disk.names("segments").into_iter().collect();
        assert_eq!(found, named);
        if self.store().sweep_archive().is_err() {
            assert!(self.machine.disk.is_crashed() || self.machine.disk.has_failed());
            return;
        }
        let archived: BTreeSet<String> =
            self.store().archived_segments().iter().flat_map(|segment| segment.file_names()).collect();
        let found = self.machine.disk.names("archive").into_iter().map(|name| name.replace('~', "/"));
        assert_eq!(found.collect::<BTreeSet<_>>(), archived, "nothing is left in the archive that no segment has");
    }
}

/// The events of a request that are new, in order.
fn new_keys(request: &Request, is_known: impl Fn(&Key) -> bool) -> Vec<Key> {
    let mut fresh: Vec<Key> = Vec::new();
    for event in &request.events {
        let key = (request.log, event.id.clone());
        if !is_known(&key) && !fresh.contains(&key) {
            fresh.push(key);
        }
    }
    fresh
}

fn check_seed(seed: u64) {
    let history = || {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.start();
        assert!(!world.kept.is_empty() || !world.sent.is_empty(), "something was sent");
    };
    let result = catch_unwind(AssertUnwindSafe(history));
    assert!(result.is_ok(), "the panic above is the history CRASH_FROM={seed} CRASH_SEEDS=1");
}

#[test]
fn crash_seeds() {
    (0..250).for_each(check_seed);
}

#[test]
#[ignore = "as long as you like: CRASH_SEEDS histories from seed CRASH_FROM on"]
fn crash_many() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (from, seeds) = (number("CRASH_FROM", 0), number("CRASH_SEEDS", 1000));
    (from..from + seeds).for_each(check_seed);
}
