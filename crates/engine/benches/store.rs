//! The hot loops of keeping events, on a real disk: journal, columns, segments with their index, merges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bench::{Batches, Generator, Source as _};
use divan::Bencher;
use divan::counter::ItemsCount;
use event::{Batch, Timestamp};
use store::archive::Folders;
use store::catalog::Catalog;
use store::columns::ColumnsBuilder;
use store::disk::RealDisk;
use store::{Incoming, LogId, Store};
use tempfile::TempDir;

const FLUSH_EVENTS: u64 = 20_000;
const MERGED: u64 = 8;

fn main() {
    divan::main();
}

/// Events that were never made before: the store drops what it has already.
fn fresh(events: u64) -> Batch {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    let batches = Batches::make(&mut Generator::new(seed, events), events, events);
    let mut room = Vec::new();
    let body = batches.next(&mut room).map_or(&[][..], |(body, _)| body);
    intake::native(body, intake::Limits::default(), Timestamp::from_micros(0)).batch
}

fn open(folder: &TempDir) -> Store {
    let disk = Arc::new(RealDisk::new(folder.path()).expect("a folder of our own"));
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite"), disk.clone()).expect("an empty catalog");
    let places = Arc::new(Folders::new(folder.path(), ""));
    Store::open(disk, catalog, places).expect("an empty store").0
}

fn append(store: &Store, batch: Batch) {
    let received = Timestamp::from_micros(0);
    let appended = store.append(vec![Incoming { log: LogId(1), received, producer: None, batch }]);
    assert!(appended.expect("room on the disk")[0].known.is_empty());
}

/// A store with so many flushed segments, and events in the buffer.
fn filled(segments: u64, buffered: bool) -> (TempDir, Store) {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(&folder);
    for _ in 0..segments {
        append(&store, fresh(FLUSH_EVENTS));
        store.flush().expect("room on the disk");
    }
    if buffered {
        append(&store, fresh(FLUSH_EVENTS));
    }
    (folder, store)
}

/// One group, written and synced: the journal, and the buffer behind it.
#[divan::bench(args = [1, 100, 1000], max_time = 3)]
fn journal_append(bencher: Bencher<'_, '_>, events: u64) {
    let (_folder, store) = filled(0, false);
    bencher.counter(ItemsCount::new(events)).with_inputs(|| fresh(events)).bench_values(|batch| append(&store, batch));
}

/// The buffer alone.
#[divan::bench(args = [1, 1000])]
fn buffer_append(bencher: Bencher<'_, '_>, events: u64) {
    let batch = fresh(events);
    bencher.counter(ItemsCount::new(events)).with_inputs(ColumnsBuilder::default).bench_refs(|builder| {
        builder.append(&batch, 1, Timestamp::from_micros(0));
    });
}

/// From columns to a synced segment with its index.
#[divan::bench(sample_count = 10)]
fn flush(bencher: Bencher<'_, '_>) {
    let buffered = || filled(0, true);
    bencher.counter(ItemsCount::new(FLUSH_EVENTS)).with_inputs(buffered).bench_refs(|(_, store)| store.flush());
}

/// From small segments to a large one.
#[divan::bench(sample_count = 3)]
fn merge(bencher: Bencher<'_, '_>) {
    let segments = || filled(MERGED, false);
    bencher.counter(ItemsCount::new(FLUSH_EVENTS * MERGED)).with_inputs(segments).bench_refs(|(_, store)| {
        assert!(store.merge().expect("room on the disk"), "there is something to merge");
    });
}
