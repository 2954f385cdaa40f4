//! The hot loops of finding events, in one segment that the kernel has in its memory.

use std::sync::Arc;
use std::time::Duration;

use bench::{Batches, Generator, NEEDLE, PATH_START, Source as _};
use divan::Bencher;
use divan::counter::ItemsCount;
use event::Timestamp;
use query::{Bounds, Order, Request, scan, search};
use store::archive::Folders;
use store::catalog::Catalog;
use store::disk::RealDisk;
use store::{Incoming, LogId, Store};
use tempfile::TempDir;

const EVENTS: u64 = 100_000;
const PER_BATCH: u64 = 10_000;
const LOG: LogId = LogId(1);

fn main() {
    divan::main();
}

fn filled(day: &mut Generator) -> (TempDir, Store) {
    let folder = TempDir::new().expect("a temporary folder");
    let disk = Arc::new(RealDisk::new(folder.path()).expect("a folder of our own"));
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite"), disk.clone()).expect("an empty catalog");
    let places = Arc::new(Folders::new(folder.path(), ""));
    let (store, _) = Store::open(disk, catalog, places).expect("an empty store");
    let batches = Batches::make(day, EVENTS, PER_BATCH);
    let mut room = Vec::new();
    let received = Timestamp::from_micros(0);
    while let Some((body, _)) = batches.next(&mut room) {
        let batch = intake::native(body, intake::Limits::default(), received).batch;
        store.append(vec![Incoming { log: LOG, received, producer: None, batch }]).expect("room on the disk");
    }
    store.flush().expect("room on the disk");
    (folder, store)
}

/// Asks for a page; with `total` every block that the index leaves is looked at.
fn ask(bencher: Bencher<'_, '_>, text: impl FnOnce(&Generator) -> String, total: bool) {
    let mut day = Generator::new(7, EVENTS);
    let (_folder, store) = filled(&mut day);
    let filter = search::parse(&text(&day), jiff::Timestamp::UNIX_EPOCH).expect("a search");
    let order = Order::Time { descending: true };
    let request = Request { filter, order, offset: 0, limit: 50, cursor: None, after_sequence: 0, total };
    let snapshot = store.snapshot(LOG);
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| {
        let page = scan(&snapshot, &request, &Bounds::new(Duration::from_secs(60))).expect("an answer");
        assert!(!page.rows.is_empty());
        page
    });
}

/// One word that one block has: the index, and one block.
#[divan::bench]
fn rare_word(bencher: Bencher<'_, '_>) {
    ask(bencher, |_| NEEDLE.to_owned(), true);
}

#[divan::bench]
fn one_request(bencher: Bencher<'_, '_>) {
    ask(bencher, |day| format!("request_id:{}", day.some_request()), true);
}

/// The newest of many: stops early.
#[divan::bench]
fn latest_of_many(bencher: Bencher<'_, '_>) {
    ask(bencher, |day| format!("user:{}", day.heavy_user()), false);
}

/// Every block, a number and the start of a text.
#[divan::bench]
fn number_and_path(bencher: Bencher<'_, '_>) {
    ask(bencher, |_| format!("status:>=500 path:{PATH_START}*"), true);
}

/// Every block, two words in a long text.
#[divan::bench]
fn two_words(bencher: Bencher<'_, '_>) {
    ask(bencher, |_| "message:order message:payment".to_owned(), true);
}
