//! One fault at a time, at every call it can strike: a full disk, a failing device, a write that was seen and is gone.

use event::Timestamp;
use store::{Incoming, JournalError, LogId, Store, StoreError};

use crate::events::{BASE_MICROS, Sent, append, batch, by_id, rows};
use crate::sim::{Fault, Machine};

const LOG: LogId = LogId(1);

fn request(number: usize) -> Vec<Sent> {
    let event = |at| Sent::new(&format!("{number}-{at}"), BASE_MICROS, serde_json::json!({"message": "m".repeat(300)}));
    (0..4).map(event).collect()
}

fn try_append(store: &Store, number: usize) -> Result<usize, JournalError> {
    let received = Timestamp::from_micros(BASE_MICROS);
    let incoming = Incoming { log: LOG, received, producer: None, batch: batch(&request(number)) };
    Ok(store.append(vec![incoming])?[0].stored)
}

/// Appends until a fault strikes; returns how many requests were acknowledged, and the error.
fn append_until_refused(store: &Store, from: usize) -> (usize, JournalError) {
    (from..).find_map(|number| try_append(store, number).err().map(|error| (number - from, error))).unwrap()
}

fn check_requests(store: &Store, count: usize) {
    let found = by_id(rows(store, LOG));
    for id in (0..count).flat_map(request).map(|event| event.id) {
        assert!(found.contains_key(&id), "{id} was acknowledged and is lost");
    }
    assert_eq!(found.len(), count * 4);
}

#[test]
fn a_full_disk_refuses_until_there_is_room_and_loses_nothing() {
    for calls in 0..12 {
        let machine = Machine::new(calls as u64);
        let (store, _) = machine.open().unwrap();
        machine.disk.arm(calls, Fault::Full);
        let (count, error) = append_until_refused(&store, 0);
        assert!(matches!(error, JournalError::Full), "{error}");
        check_requests(&store, count);
        machine.disk.make_room();
        for number in count..count + 3 {
            assert_eq!(try_append(&store, number).unwrap(), 4, "writing resumes without a restart");
        }
        check_requests(&store, count + 3);
        drop(store);
        machine.disk.reboot();
        let (store, report) = machine.open().unwrap();
        assert_eq!(report.journal, [], "what was refused is no damage");
        check_requests(&store, count + 3);
    }
}

#[test]
fn a_flush_on_a_full_disk_leaves_no_litter() {
    for calls in 0..6 {
        let machine = Machine::new(calls as u64);
        let (store, _) = machine.open().unwrap();
        (0..3).for_each(|number| assert_eq!(try_append(&store, number).unwrap(), 4));
        machine.disk.arm(calls, Fault::Full);
        let flushed = store.flush();
        if !machine.disk.is_full() {
            flushed.unwrap();
            continue;
        }
        assert!(matches!(flushed, Err(StoreError::Full)), "{flushed:?}");
        // Whether a commit that failed took place is only known at the next start.
        let left = machine.disk.names("segments");
        assert!(left.is_empty() || left.iter().all(|name| !name.ends_with(".new")), "{left:?}");
        check_requests(&store, 3);
        machine.disk.make_room();
        assert_eq!(store.flush().unwrap(), 12);
        check_requests(&store, 3);
    }
}

#[test]
fn a_failing_device_ends_writing_until_a_restart() {
    for calls in 0..12 {
        let machine = Machine::new(calls as u64);
        let (store, _) = machine.open().unwrap();
        machine.disk.arm(calls, Fault::Device);
        let (count, error) = append_until_refused(&store, 0);
        assert!(matches!(error, JournalError::Poisoned { .. }), "{error}");
        assert!(store.poisoned().is_some());
        let again = try_append(&store, count);
        assert!(matches!(again, Err(JournalError::Poisoned { .. })), "the device is well again, and nobody knows");
        check_requests(&store, count);
        drop(store);
        machine.disk.reboot();
        let (store, report) = machine.open().unwrap();
        assert_eq!(report.journal, []);
        assert!(store.poisoned().is_none());
        try_append(&store, count).unwrap();
        check_requests(&store, count + 1);
    }
}

/// A sync fails, the process is started again and finds the bytes in the page cache, where no later sync writes
/// them from. The client sends again and is told that they are there. Then the power goes.
#[test]
fn what_a_start_only_saw_is_durable_before_it_is_acknowledged() {
    for seed in 0..40 {
        let machine = Machine::new(seed);
        let (store, _) = machine.open().unwrap();
        append(&store, LOG, BASE_MICROS, &request(0));
        machine.disk.arm(usize::from(seed % 2 == 0), if seed < 20 { Fault::Device } else { Fault::Crash });
        try_append(&store, 1).unwrap_err();
        drop(store);
        machine.disk.restart();
        let (store, _) = machine.open().unwrap();
        try_append(&store, 1).unwrap();
        check_requests(&store, 2);
        drop(store);
        machine.disk.reboot();
        let (store, _) = machine.open().unwrap();
        check_requests(&store, 2);
    }
}
