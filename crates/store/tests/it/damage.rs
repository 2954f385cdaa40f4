//! A byte changes on the disk: the smallest possible loss, named; and never a start that fails.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use store::index::{BlockSet, Token};
use store::segment::{Opened, ROW_GROUP_ROWS, Segment};
use store::{LogId, Store, StoreError};

use crate::events::{BASE_MICROS, Sent, append, by_id, rows};
use crate::folder::{Folder, flip};
use crate::random::Random;

const LOG: LogId = LogId(1);

fn small_events(range: std::ops::Range<usize>) -> Vec<Sent> {
    let event = |number: usize| {
        let id = format!("0197f3c2-0000-7000-8000-{number:012x}");
        let micros = BASE_MICROS + i64::try_from(number).unwrap();
        Sent::new(&id, micros, json!({"stream": "INFO", "number": number, "user": (number % 97).to_string()}))
    };
    range.map(event).collect()
}

/// A folder with one segment of `count` small events, and the path of its Parquet file.
fn one_segment(count: usize) -> (Folder, Store) {
    let folder = Folder::new();
    let (store, _) = folder.open();
    for start in (0..count).step_by(10_000) {
        append(&store, LOG, BASE_MICROS, &small_events(start..(start + 10_000).min(count)));
    }
    assert_eq!(store.flush().unwrap(), count as u64);
    (folder, store)
}

fn only_segment(store: &Store) -> Arc<Segment> {
    let segments = store.segments();
    assert_eq!(segments.len(), 1);
    Arc::clone(&segments[0])
}

fn reopened(segment: &Segment) -> Arc<Opened> {
    segment.close();
    segment.open().unwrap()
}

fn unreadable_groups(opened: &Opened) -> Vec<usize> {
    let sizes: Vec<usize> = opened.row_groups().collect();
    let is_lost = |group: &usize| match opened.read_all(*group) {
        Ok(batches) => {
            assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), sizes[*group]);
            false
        }
        Err(_) => true,
    };
    (0..sizes.len()).filter(is_lost).collect()
}

/// The length of a file, and places in it: its ends, and some by chance.
fn places(path: &Path, count: usize) -> Vec<u64> {
    let length = fs::metadata(path).unwrap().len();
    let mut random = Random::new(length);
    let anywhere = (0..count).map(|_| random.below(usize::try_from(length).unwrap()) as u64);
    [0, 3, 4, length - 1, length - 5, length - 9, length - 100].into_iter().chain(anywhere).collect()
}

#[test]
fn a_damaged_byte_of_a_segment_costs_one_row_group_at_most() {
    let (folder, store) = one_segment(2 * ROW_GROUP_ROWS + 20_000);
    let segment = only_segment(&store);
    let path = &folder.files("segments", ".parquet")[0];
    assert_eq!(unreadable_groups(&reopened(&segment)), [0; 0]);
    let mut hit = [0; 3];
    for (turn, at) in places(path, 200).into_iter().enumerate() {
        flip(path, at);
        let opened = reopened(&segment);
        let named: Vec<usize> =
            opened.verify().map_or(Vec::new(), |found| found.into_iter().map(|(group, _)| group).collect());
        assert!(named.len() <= 1, "byte {at} damages {named:?}");
        named.iter().for_each(|group| hit[*group] += 1);
        // Reading a quarter of a million rows takes a while without optimisation.
        if turn < 12 {
            assert_eq!(unreadable_groups(&reopened(&segment)), named, "byte {at}");
        } else if let [group] = named[..] {
            assert!(opened.read_all(group).is_err(), "byte {at} in group {group}");
        }
        flip(path, at);
    }
    assert!(hit.iter().all(|count| *count > 0), "every row group was hit: {hit:?}");
    assert_eq!(reopened(&segment).verify().unwrap(), []);
}

#[test]
fn bytes_outside_the_row_groups_cost_nothing_and_are_noticed() {
    let (folder, store) = one_segment(3_000);
    let segment = only_segment(&store);
    let path = &folder.files("segments", ".parquet")[0];
    let length = segment.info().bytes;
    for at in (0..4).chain((length - segment.info().footer_bytes..length).step_by(37)) {
        flip(path, at);
        let opened = reopened(&segment);
        assert_eq!(unreadable_groups(&opened), [0; 0], "byte {at}");
        assert!(opened.verify().is_err(), "byte {at}");
        flip(path, at);
    }
}

#[test]
fn a_damaged_sidecar_costs_no_row() {
    let (folder, store) = one_segment(3_000);
    let path = &folder.files("segments", ".idx")[0];
    let mut while_open = 0;
    for at in 0..fs::metadata(path).unwrap().len() {
        if at > 64 && !at.is_multiple_of(61) {
            continue;
        }
        flip(path, at);
        let (store, _) = folder.open();
        let segment = only_segment(&store);
        let opened = segment.open().unwrap();
        if let Some(index) = opened.index() {
            // The lists are read when they are asked. From what is damaged on nothing is ruled out.
            while_open += 1;
            for user in 0..97 {
                let user = user.to_string();
                let found = index.blocks_with(Token::value("user", &user));
                assert_eq!(found, BlockSet::all(index.blocks()), "user {user}, byte {at}");
            }
            opened.verify().unwrap();
        }
        assert!(opened.index().is_none(), "byte {at}");
        assert_eq!(unreadable_groups(&opened), [0; 0], "byte {at}");
        let damage = segment.damage();
        assert_eq!((damage.len(), damage[0].row_group, damage[0].rows), (1, None, 0), "byte {at}");
        assert!(damage[0].file.ends_with(".idx"), "{damage:?}");
        flip(path, at);
    }
    assert!(while_open > 10, "{while_open}");
    drop(store);
}

#[test]
fn a_missing_segment_is_reported_and_the_rest_goes_on() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    for start in (0..160).step_by(10) {
        append(&store, LOG, BASE_MICROS, &small_events(start..start + 10));
        store.flush().unwrap();
    }
    drop(store);
    fs::remove_file(&folder.files("segments", ".parquet")[3]).unwrap();
    let (store, report) = folder.open();
    assert_eq!(report.missing, ["segments/0000000004.parquet"]);
    let missing = store.segments().into_iter().find(|segment| segment.info().number == 4).unwrap();
    assert!(matches!(missing.open(), Err(StoreError::Unreadable { .. })));
    assert_eq!(missing.damage()[0].rows, 10);
    assert_eq!(append(&store, LOG, BASE_MICROS, &small_events(160..170)), 10);
    // Merging goes round it, and comes to an end.
    let merges = (0..10).take_while(|_| store.merge().unwrap()).count();
    assert!((1..10).contains(&merges), "{merges}");
    let readable = store.segments().into_iter().filter(|segment| segment.open().is_ok());
    assert_eq!(readable.map(|segment| segment.info().rows).sum::<u64>(), 150);
}

/// The journal of ten groups of one request each, cut down to what was written.
fn ten_groups() -> (Folder, u64) {
    let folder = Folder::new();
    let (store, _) = folder.open();
    for group in 0..10 {
        append(&store, LOG, BASE_MICROS, &small_events(group * 5..group * 5 + 5));
    }
    drop(store);
    let path = &folder.files("journal", ".journal")[0];
    let bytes = fs::read(path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    // Zeros to the end of 64 MiB only take time here.
    fs::File::options().write(true).open(path).unwrap().set_len(used + 4096).unwrap();
    (folder, used)
}

#[test]
fn a_damaged_byte_of_the_journal_costs_its_group_and_is_counted() {
    let (folder, used) = ten_groups();
    let path = folder.files("journal", ".journal")[0].clone();
    let last_group = used - (used - 32) / 10;
    for at in (0..last_group).step_by(29) {
        flip(&path, at);
        let (store, report) = folder.open();
        let found = by_id(rows(&store, LOG));
        let lost: Vec<usize> =
            (0..50).filter(|number| !found.contains_key(&small_events(*number..*number + 1)[0].id)).collect();
        assert!(lost.is_empty() || (lost.len() == 5 && lost[0].is_multiple_of(5)), "byte {at} costs {lost:?}");
        assert!(at < 32 || !lost.is_empty() || is_padding(&path, at), "byte {at} is covered by a checksum");
        let counted: u64 = report.journal.iter().map(|damage| damage.events).sum();
        assert_eq!(counted, lost.len() as u64, "byte {at}: {:?}", report.journal);
        if let [damage] = &report.journal[..] {
            assert_eq!(damage.first, lost[0] as u64 + 1);
            assert!(path.ends_with(&damage.file), "{}", damage.file);
        }
        flip(&path, at);
    }
}

/// Frames begin on multiples of eight; what lies between is nobody's.
fn is_padding(path: &Path, at: u64) -> bool {
    flip(path, at);
    let bytes = fs::read(path).unwrap();
    flip(path, at);
    let at = usize::try_from(at).unwrap();
    bytes[at..at.next_multiple_of(8)].iter().all(|byte| *byte == 0)
}

#[test]
fn a_folder_of_a_later_version_is_refused_and_left_alone() {
    let folder = Folder::new();
    drop(folder.open());
    let change =
        |sql: &str| rusqlite::Connection::open(folder.path("catalog.sqlite")).unwrap().execute_batch(sql).unwrap();
    change(
        "DROP TABLE segments; CREATE TABLE segments (something TEXT) STRICT; UPDATE meta SET value = 7 WHERE key = 'format'; DROP TABLE tokens;",
    );
    let refused = folder.try_open().map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 7, known: 2 }), "{refused}");
    // Had anything been written, this would fail.
    change("CREATE TABLE tokens (id TEXT) STRICT;");
}

#[test]
fn a_folder_of_an_earlier_version_is_one_of_this_version_once_it_is_opened() {
    let folder = Folder::new();
    drop(folder.open());
    let catalog = || rusqlite::Connection::open(folder.path("catalog.sqlite")).unwrap();
    catalog().execute("UPDATE meta SET value = 1 WHERE key = 'format'", []).unwrap();
    drop(folder.open());
    let found: u32 = catalog().query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0)).unwrap();
    assert_eq!(found, 2);
}

#[test]
fn a_segment_that_cannot_go_does_not_keep_the_others() {
    const MONTH_MICROS: i64 = 40 * 86_400_000_000;
    let folder = Folder::new();
    let (store, _) = folder.open();
    for month in 0..3 {
        let micros = BASE_MICROS + month * MONTH_MICROS;
        append(
            &store,
            LOG,
            micros,
            &[Sent::new(&format!("event {month}"), micros, json!({"stream": "INFO", "month": month}))],
        );
        store.flush().unwrap();
    }
    // Where the files of the second month would go, a file is in the way.
    let first = event::Timestamp::from_micros(BASE_MICROS + MONTH_MICROS).to_string();
    let month = folder.path("archive/log").join(&first[..4]).join(&first[5..7]);
    fs::create_dir_all(month.parent().unwrap()).unwrap();
    fs::write(&month, "in the way").unwrap();
    let after = [(String::new(), std::time::Duration::from_secs(1))].into();
    let policy = store::archive::Policy { after, bytes: None };
    let now = event::Timestamp::from_micros(BASE_MICROS + 5 * MONTH_MICROS);
    let (moved, end) = store.archive((LOG, "log"), &policy, now, &mut |_| true);
    assert!(matches!(end, Err(StoreError::Archive { .. })), "{end:?}");
    assert_eq!((moved.segments, store.archived(LOG).len(), store.segments().len()), (2, 2, 1));
    assert_eq!(only_segment(&store).info().first.to_string(), first);
    fs::remove_file(&month).unwrap();
    let (moved, end) = store.archive((LOG, "log"), &policy, now, &mut |_| true);
    end.unwrap();
    assert_eq!((moved.segments, store.archived(LOG).len()), (1, 3));
    store.sweep_archive().unwrap();
    assert_eq!(store.verify_archive(None, &mut |_| true).unwrap().strangers, [""; 0]);
}
