//! Segments come and go between the data directory and the archive.
//!
//! The order of things, so that a stop anywhere loses nothing and doubles nothing: the name goes to the catalog as a
//! leaving; the files are put, and their sizes compared; one transaction takes the segment from where it was, names it
//! where it is, and the leaving is none any more. Leavings are removed later, when the last reader is gone.

mod verify;

use std::collections::HashSet;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::TimestampMicrosecondType;
use event::Timestamp;
use sha2::{Digest as _, Sha256};

pub use verify::{ArchiveFault, Verified, verify_record};

use super::ids::read_ids;
use super::{Snapshot, Store};
use crate::archive::{AWAY, Archive, ArchiveChange, Archived, Policy, files_of, name_of};
use crate::columns::{Kind, TIMESTAMP_AT, key_columns};
use crate::disk::ReadAt;
use crate::recent::REMEMBERED;
use crate::retention::{Coverage, Cutoff, Expiry, Retention, cutoff, side_of};
use crate::segment::{Segment, SegmentInfo, index_name, remove_files, segment_name};
use crate::{LogId, StoreError};

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 20;

/// Threads that open sidecars in the archive at the same time, each of which is a journey to a bucket.
const OPENERS: usize = 8;

/// Bytes of indexes of archived segments that stay in memory from one question to the next.
const OPEN_BYTES_MAX: u64 = 256 << 20;

/// Segments that may refuse to go before the others are left for the next time: by then it is the place, or the disk.
const REFUSALS_MAX: usize = 8;

/// What became of work that takes long, so far. The caller hears of it, and says whether to go on.
pub(super) type GoOn<'a> = &'a mut dyn FnMut(u64) -> bool;

/// What was done, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveWork {
    /// Segments.
    pub segments: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

impl ArchiveWork {
    fn add(&mut self, info: &SegmentInfo) {
        self.segments += 1;
        self.events += info.rows;
        self.bytes += info.bytes + info.index_bytes;
    }
}

/// What is to be removed from the archive for good.
#[derive(Clone, Debug)]
pub struct Purge {
    /// Of which log.
    pub log: LogId,
    /// Its name.
    pub name: String,
    /// Only events before this moment.
    pub before: Timestamp,
    /// Only events of this stream.
    pub stream: Option<String>,
}

/// What is to be cleared away in the archive.
#[derive(Debug, Default)]
pub(super) struct Archiving {
    /// Places and names that no segment has.
    leavings: Vec<(String, String)>,
    /// Segments that have left the archive, whose files somebody may still read.
    leaving: Vec<Arc<Segment>>,
}

impl Archiving {
    pub(super) fn new(leavings: Vec<(String, String)>) -> Self {
        Self { leavings, leaving: Vec::new() }
    }
}

impl Store {
    /// The log as it is now, with what is in the archive.
    #[must_use]
    pub fn snapshot_with_archive(&self, log: LogId) -> Snapshot {
        // One lock for both, so that a segment on its way is seen once.
        let mut live = self.live.lock();
        let last_sequence = live.last_sequence;
        let Some(found) = live.logs.get_mut(&log) else {
            return Snapshot { log, segments: Vec::new(), rows: Vec::new(), last_sequence };
        };
        found.freeze();
        let segments = found.segments.iter().chain(&found.archived).cloned().collect();
        Snapshot { log, segments, rows: found.buffered().cloned().collect(), last_sequence }
    }

    /// The segments of a log in the archive.
    #[must_use]
    pub fn archived(&self, log: LogId) -> Vec<Arc<Segment>> {
        self.live.lock().logs.get(&log).map(|live| live.archived.clone()).unwrap_or_default()
    }

    /// All segments in the archive.
    #[must_use]
    pub fn archived_segments(&self) -> Vec<Arc<Segment>> {
        self.live.lock().logs.values().flat_map(|log| log.archived.iter().cloned()).collect()
    }

    /// Where segments go now.
    #[must_use]
    pub fn archive_place(&self) -> &str {
        self.places.current()
    }

    /// Opens the archived segments of a snapshot, several at a time.
    pub fn open_archived(&self, snapshot: &Snapshot) {
        let closed: Vec<&Arc<Segment>> = snapshot
            .segments
            .iter()
            .filter(|segment| segment.record().is_some() && segment.open_bytes() == 0)
            .collect();
        std::thread::scope(|scope| {
            for part in closed.chunks(closed.len().div_ceil(OPENERS).max(1)) {
                scope.spawn(move || part.iter().for_each(|segment| drop(segment.open())));
            }
        });
    }

    /// Lets go of the indexes of archived segments when they take much memory.
    pub fn close_archived(&self) {
        let segments = self.archived_segments();
        if segments.iter().map(|segment| segment.open_bytes()).sum::<u64>() > OPEN_BYTES_MAX {
            segments.iter().for_each(|segment| segment.close());
        }
    }

    /// What a policy would move now.
    #[must_use]
    pub fn archive_due(&self, log: LogId, policy: &Policy, now: Timestamp) -> ArchiveWork {
        let (whole, mixed) = self.due(log, policy, now);
        let mut work = ArchiveWork::default();
        whole.iter().for_each(|segment| work.add(segment.info()));
        for segment in mixed {
            let events = count_old(&segment, &|stream| cutoff(&policy.after, stream, now)).unwrap_or(0);
            work.segments += 1;
            work.events += events;
            work.bytes += share(segment.info(), events);
        }
        work
    }

    fn due(&self, log: LogId, policy: &Policy, now: Timestamp) -> (Vec<Arc<Segment>>, Vec<Arc<Segment>>) {
        let mut live: Vec<Arc<Segment>> =
            self.live.lock().logs.get(&log).map(|live| live.segments.clone()).unwrap_or_default();
        let size = |segment: &Arc<Segment>| segment.info().bytes + segment.info().index_bytes;
        let mut left: u64 = live.iter().map(size).sum();
        live.retain(|segment| segment.is_readable() && segment.held_until().is_none_or(|until| until <= now));
        live.sort_by_key(|segment| segment.info().last);
        let (mut whole, mut mixed) = (Vec::new(), Vec::new());
        let mut young = Vec::new();
        for segment in live {
            match Expiry::of(segment.info(), &policy.after, now) {
                Expiry::Drop => {
                    left -= size(&segment);
                    whole.push(segment);
                }
                Expiry::Rewrite => mixed.push(segment),
                Expiry::Keep => young.push(segment),
            }
        }
        for segment in mixed.clone().into_iter().chain(young) {
            if policy.bytes.is_none_or(|most| left <= most) {
                break;
            }
            left -= size(&segment);
            mixed.retain(|one| one.info().number != segment.info().number);
            whole.push(segment);
        }
        (whole, mixed)
    }

    /// Moves to the archive what a policy says. `go_on` hears the bytes moved since it was called last. A segment that
    /// cannot go does not keep the others: returned is what was moved, and the first error, which may be that the
    /// archive or the disk refuses, or that `go_on` says no.
    pub fn archive(
        &self,
        (log, name): (LogId, &str),
        policy: &Policy,
        now: Timestamp,
        go_on: GoOn<'_>,
    ) -> (ArchiveWork, Result<(), StoreError>) {
        let mut work = ArchiveWork::default();
        let mut failed = Failed::default();
        let end = self.archive_into((log, name), (policy, now), (&mut work, &mut failed), go_on);
        (work, end.and_then(|()| failed.into_result()))
    }

    fn archive_into(
        &self,
        (log, name): (LogId, &str),
        (policy, now): (&Policy, Timestamp),
        (work, failed): (&mut ArchiveWork, &mut Failed),
        go_on: GoOn<'_>,
    ) -> Result<(), StoreError> {
        let mut archiving = self.archiving.lock();
        self.end_holds(log, now)?;
        let mut refused = HashSet::new();
        // A first pass for those that are wholly due: when the archive is away, nothing is split in vain.
        for pass in 0..2 {
            let (whole, mixed) = self.due(log, policy, now);
            let numbers: HashSet<u64> = whole.iter().map(|segment| segment.info().number).collect();
            for segment in self.live_segments(log) {
                segment.set_leaving(numbers.contains(&segment.info().number));
            }
            for segment in &whole {
                if refused.contains(&segment.info().number) {
                    continue;
                }
                if !go_on(0) {
                    return Err(StoreError::Stopped);
                }
                match self.archive_segment(&mut archiving, segment, name, now) {
                    Ok(false) => {}
                    Ok(true) => {
                        work.add(segment.info());
                        go_on(segment.info().bytes + segment.info().index_bytes);
                    }
                    Err(error) => {
                        refused.insert(segment.info().number);
                        failed.note(error)?;
                    }
                }
            }
            if pass == 0 {
                if mixed.is_empty() || (!refused.is_empty() && work.segments == 0) {
                    break;
                }
                for segment in mixed {
                    self.split(log, &segment, &policy.after, now).or_else(|error| failed.note(error))?;
                }
            }
        }
        Ok(())
    }

    fn live_segments(&self, log: LogId) -> Vec<Arc<Segment>> {
        self.live.lock().logs.get(&log).map(|live| live.segments.clone()).unwrap_or_default()
    }

    fn end_holds(&self, log: LogId, now: Timestamp) -> Result<(), StoreError> {
        for segment in self.live_segments(log) {
            if segment.held_until().is_some_and(|until| until <= now) {
                self.catalog.end_hold(segment.info().number)?;
                segment.hold_until(None);
            }
        }
        Ok(())
    }

    /// Takes a segment apart into what leaves and what stays.
    fn split(&self, log: LogId, segment: &Arc<Segment>, after: &Retention, now: Timestamp) -> Result<(), StoreError> {
        let _one_at_a_time = self.housekeeping.lock();
        if !self.is_live(segment) {
            return Ok(());
        }
        let is_old: Cutoff<'_> = &|stream| cutoff(after, stream, now);
        let one = std::slice::from_ref(segment);
        let parts = self.written_anew(log, one, &|batch| side_of(&batch, is_old, true)).and_then(|old| {
            match self.written_anew(log, one, &|batch| side_of(&batch, is_old, false)) {
                Ok(young) => Ok(old.into_iter().chain(young).collect()),
                Err(error) => {
                    // Half of it takes room, and room may be what is missing.
                    old.iter().for_each(|info| remove_files(&*self.disk, info.number));
                    Err(error)
                }
            }
        });
        match parts {
            Ok(parts) => self.replace(log, parts, &[segment.info().number]),
            // A damaged one is noted, and left where it is the next time.
            Err(StoreError::Columns(_) | StoreError::Unreadable { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn is_live(&self, segment: &Arc<Segment>) -> bool {
        self.live_segments(segment.info().log).iter().any(|one| Arc::ptr_eq(one, segment))
    }

    /// Moves one segment. False when it is damaged, which is noted, or no longer live.
    fn archive_segment(
        &self,
        archiving: &mut Archiving,
        segment: &Arc<Segment>,
        name: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Ok(opened) = segment.open() else { return Ok(false) };
        match opened.verify() {
            Ok(damaged) if damaged.is_empty() => {}
            Ok(damaged) => {
                damaged.iter().for_each(|(group, reason)| segment.note_damage(*group, reason));
                return Ok(false);
            }
            Err(error) => {
                segment.note_damage(0, &error.to_string());
                return Ok(false);
            }
        }
        let ids = if self.is_remembered(segment) { ids_of(segment)? } else { Vec::new() };
        let record = self.put(archiving, segment, name, now)?;
        let _one_at_a_time = self.housekeeping.lock();
        if !self.is_live(segment) {
            return Ok(false);
        }
        let forget = self.forgotten(segment.info().log);
        let moved = [(record, ids)];
        let change = ArchiveChange {
            archive: &moved,
            remove: Some(segment.info().number),
            forget: &forget,
            ..ArchiveChange::default()
        };
        self.commit(archiving, &change)?;
        let [(record, _)] = moved;
        let mut live = self.live.lock();
        let found = live.logs.entry(segment.info().log).or_default();
        found.segments.retain(|one| !Arc::ptr_eq(one, segment));
        let archive = self.places.at(&record.place);
        found.archived.push(Arc::new(Segment::archived(record, archive, &self.cache)));
        segment.doom();
        Ok(true)
    }

    /// Commits, and keeps the list of leavings in step. When the commit fails nobody knows what the catalog names:
    /// then the files stay until the next start.
    fn commit(&self, archiving: &mut Archiving, change: &ArchiveChange<'_>) -> Result<(), StoreError> {
        for (record, _) in change.archive {
            archiving.leavings.retain(|(place, name)| (place, name) != (&record.place, &record.name));
        }
        self.catalog.commit_archive(change)?;
        archiving.leavings.extend(change.unarchive.iter().map(|record| (record.place.clone(), record.name.clone())));
        Ok(())
    }

    /// Puts the files of a segment of the data directory into the archive. Nobody names them there yet.
    fn put(
        &self,
        archiving: &mut Archiving,
        segment: &Segment,
        log: &str,
        now: Timestamp,
    ) -> Result<Archived, StoreError> {
        let place = self.places.current().to_owned();
        let archive = self.places.at(&place);
        let info = segment.info().clone();
        let names = segment.file_names();
        let lengths = [info.bytes, info.index_bytes];
        let files = [segment.open_file(&names[0], lengths[0])?, segment.open_file(&names[1], lengths[1])?];
        let digests = [digest(&*files[0], lengths[0])?, digest(&*files[1], lengths[1])?];
        let name = name_of(log, &info, &digests[0]);
        let record = Archived { info, place, name, digests, archived: now };
        archive.prepare().map_err(|error| refused(&record.place, &error))?;
        self.catalog.set_leaving(&record.place, &record.name, true)?;
        archiving.leavings.push((record.place.clone(), record.name.clone()));
        for ((target, file), length) in record.files().iter().zip(files).zip(lengths) {
            put_file(&*archive, target, file, length).map_err(|error| refused(&record.place, &error))?;
        }
        Ok(record)
    }

    /// Whether the ids of a segment are among the latest of its log.
    fn is_remembered(&self, segment: &Segment) -> bool {
        let snapshot = self.snapshot_with_archive(segment.info().log);
        let sequence = segment.info().last_sequence;
        let later = snapshot.segments.iter().filter(|one| one.info().last_sequence > sequence);
        later.map(|one| one.info().rows).sum::<u64>() < REMEMBERED as u64
    }

    /// The archived segments of a log whose ids are no longer among the latest.
    fn forgotten(&self, log: LogId) -> Vec<u64> {
        let mut segments = self.snapshot_with_archive(log).segments;
        segments.sort_by_key(|segment| std::cmp::Reverse(segment.info().last_sequence));
        let mut rows = 0;
        let mut forgotten = Vec::new();
        for segment in segments {
            if rows >= REMEMBERED as u64 && segment.record().is_some() {
                forgotten.push(segment.info().number);
            }
            rows += segment.info().rows;
        }
        forgotten
    }

    /// The archived segments of a log that have events of a stream within a time, and what they are together.
    #[must_use]
    pub fn restorable(
        &self,
        log: LogId,
        time: &RangeInclusive<Timestamp>,
        stream: Option<&str>,
    ) -> (Vec<Arc<Segment>>, ArchiveWork) {
        let mut segments = self.archived(log);
        segments.retain(|segment| {
            let within = |first: Timestamp, last: Timestamp| first <= *time.end() && last >= *time.start();
            match stream {
                None => within(segment.info().first, segment.info().last),
                Some(stream) => {
                    segment.info().streams.iter().any(|span| span.stream == stream && within(span.first, span.last))
                }
            }
        });
        segments.sort_by_key(|segment| segment.info().first);
        let mut work = ArchiveWork::default();
        segments.iter().for_each(|segment| work.add(segment.info()));
        (segments, work)
    }

    /// Makes archived segments live again, and keeps them so until `until`.
    ///
    /// # Errors
    /// When a file is missing or damaged, the archive or the disk refuses, or `go_on` says no; what was restored
    /// before that is live.
    pub fn restore(
        &self,
        segments: &[Arc<Segment>],
        until: Timestamp,
        go_on: GoOn<'_>,
    ) -> Result<ArchiveWork, StoreError> {
        let mut archiving = self.archiving.lock();
        let mut work = ArchiveWork::default();
        for segment in segments {
            if !go_on(0) {
                return Err(StoreError::Stopped);
            }
            let still_there = self.archived(segment.info().log).iter().any(|one| Arc::ptr_eq(one, segment));
            if let Some(record) = segment.record().filter(|_| still_there) {
                self.restore_segment(&mut archiving, segment, record, until)?;
                work.add(segment.info());
                go_on(record.bytes());
            }
        }
        Ok(work)
    }

    fn restore_segment(
        &self,
        archiving: &mut Archiving,
        segment: &Arc<Segment>,
        record: &Archived,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        // A number of its own: files of the old one may still have a reader.
        let number = self.next_segment.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Err(error) = self.fetch(record, number) {
            remove_files(&*self.disk, number);
            return Err(error);
        }
        let info = SegmentInfo { number, ..record.info.clone() };
        let _one_at_a_time = self.housekeeping.lock();
        let change = ArchiveChange {
            unarchive: std::slice::from_ref(record),
            add: Some((&info, until)),
            ..ArchiveChange::default()
        };
        self.commit(archiving, &change)?;
        let restored = Segment::new(info, Arc::clone(&self.disk), &self.cache);
        restored.hold_until(Some(until));
        let mut live = self.live.lock();
        let found = live.logs.entry(segment.info().log).or_default();
        found.archived.retain(|one| !Arc::ptr_eq(one, segment));
        found.segments.push(Arc::new(restored));
        archiving.leaving.push(Arc::clone(segment));
        Ok(())
    }

    /// Copies the files of an archived segment into the data directory, every byte compared.
    fn fetch(&self, record: &Archived, number: u64) -> Result<(), StoreError> {
        let archive = self.places.at(&record.place);
        let targets = [segment_name(number), index_name(number)];
        for (at, (name, target)) in record.files().iter().zip(&targets).enumerate() {
            let length = record.lengths()[at];
            let aside = self.disk.create(&format!("{target}.new"))?;
            let write = |bytes: &[u8], offset| aside.write_all_at(bytes, offset).map_err(StoreError::from);
            let found = match archive.open(name, length) {
                Ok(file) => read_through(&*file, length, &mut |bytes, offset| write(bytes, offset)),
                Err(error) => Err(error.into()),
            };
            let found = found.map_err(|error| match error {
                StoreError::Io(error) => refused(&record.place, &error),
                other => other,
            })?;
            if found != record.digests[at] {
                let reason = "its bytes are not those that were archived".to_owned();
                return Err(StoreError::Unreadable { file: name.clone(), reason });
            }
            aside.sync()?;
        }
        for target in &targets {
            self.disk.rename(&format!("{target}.new"), target)?;
        }
        Ok(self.disk.sync_folder("segments")?)
    }

    /// Lets go of archived events that are older than the retention of their log. A segment that cannot be read does
    /// not keep the others: returned is how many went, and the first error.
    pub fn retain_archived(
        &self,
        (log, name): (LogId, &str),
        retention: &Retention,
        now: Timestamp,
    ) -> (u64, Result<(), StoreError>) {
        let (mut whole, mut mixed) = (Vec::new(), Vec::new());
        for segment in self.archived(log) {
            match Expiry::of(segment.info(), retention, now) {
                Expiry::Drop => whole.push(segment),
                Expiry::Rewrite if segment.is_readable() => mixed.push(segment),
                _ => {}
            }
        }
        let is_old: Cutoff<'_> = &|stream| cutoff(retention, stream, now);
        let mut events = 0;
        let mut failed = Failed::default();
        let alone = mixed.chunks(1).map(|one| (&[][..], one));
        for parts in std::iter::once((&whole[..], &[][..])).filter(|(whole, _)| !whole.is_empty()).chain(alone) {
            let gone = self.remove_archived((log, name), parts, (is_old, now), &mut |_| Ok(()));
            if let Err(end) = gone.map(|work| events += work.events).or_else(|error| failed.note(error)) {
                return (events, Err(end));
            }
        }
        (events, failed.into_result())
    }

    /// What a purge would remove. Bytes of segments of which a part stays are a share.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn purge_due(&self, purge: &Purge) -> Result<ArchiveWork, StoreError> {
        let is_old: Cutoff<'_> = &|stream| purge.cutoff(stream);
        let mut work = ArchiveWork::default();
        for segment in self.archived(purge.log) {
            match Coverage::of(segment.info(), is_old) {
                Coverage::All => work.add(segment.info()),
                Coverage::Part => {
                    let events = count_old(&segment, is_old).map_err(|error| away(&segment, error))?;
                    work.segments += u64::from(events > 0);
                    work.events += events;
                    work.bytes += share(segment.info(), events);
                }
                Coverage::Nothing => {}
            }
        }
        Ok(work)
    }

    /// Removes events from the archive. `witness` hears what is about to go, at the last moment, and may refuse.
    ///
    /// # Errors
    /// When the archive or the disk refuses, or `witness` does; then nothing is removed.
    pub fn purge(
        &self,
        purge: &Purge,
        now: Timestamp,
        witness: &mut dyn FnMut(&ArchiveWork) -> Result<(), StoreError>,
    ) -> Result<ArchiveWork, StoreError> {
        let is_old: Cutoff<'_> = &|stream| purge.cutoff(stream);
        let (mut whole, mut mixed) = (Vec::new(), Vec::new());
        for segment in self.archived(purge.log) {
            match Coverage::of(segment.info(), is_old) {
                Coverage::All => whole.push(segment),
                Coverage::Part if count_old(&segment, is_old).map_err(|error| away(&segment, error))? > 0 => {
                    mixed.push(segment);
                }
                _ => {}
            }
        }
        self.remove_archived((purge.log, &purge.name), (&whole, &mixed), (is_old, now), witness)
    }

    /// Takes whole segments out of the archive, and puts the rest of mixed ones in the place of them.
    fn remove_archived(
        &self,
        (log, name): (LogId, &str),
        (whole, mixed): (&[Arc<Segment>], &[Arc<Segment>]),
        (is_old, now): (Cutoff<'_>, Timestamp),
        witness: &mut dyn FnMut(&ArchiveWork) -> Result<(), StoreError>,
    ) -> Result<ArchiveWork, StoreError> {
        let mut archiving = self.archiving.lock();
        let there: Vec<Arc<Segment>> = self.archived(log);
        let still_there = |segment: &&Arc<Segment>| there.iter().any(|one| Arc::ptr_eq(one, segment));
        let mut gone: Vec<Arc<Segment>> = whole.iter().filter(still_there).cloned().collect();
        let mut work = ArchiveWork::default();
        gone.iter().for_each(|segment| work.add(segment.info()));
        let mut rests = Vec::new();
        for segment in mixed.iter().filter(still_there) {
            let one = std::slice::from_ref(segment);
            let rest = self.written_anew(log, one, &|batch| side_of(&batch, is_old, false));
            let rest = rest.map_err(|error| away(segment, error))?;
            let (mut kept, mut bytes) = (0, 0);
            if let Some(info) = rest {
                (kept, bytes) = (info.rows, info.bytes + info.index_bytes);
                let local = Arc::new(Segment::new(info, Arc::clone(&self.disk), &self.cache));
                local.doom();
                let ids = if self.is_remembered(segment) { ids_of(&local)? } else { Vec::new() };
                rests.push((self.put(&mut archiving, &local, name, now)?, ids));
            }
            work.segments += 1;
            work.events += segment.info().rows - kept;
            work.bytes += (segment.info().bytes + segment.info().index_bytes).saturating_sub(bytes);
            gone.push(Arc::clone(segment));
        }
        let records: Vec<Archived> = gone.iter().filter_map(|segment| segment.record().cloned()).collect();
        witness(&work)?;
        let _one_at_a_time = self.housekeeping.lock();
        let change = ArchiveChange { archive: &rests, unarchive: &records, ..ArchiveChange::default() };
        self.commit(&mut archiving, &change)?;
        let mut live = self.live.lock();
        let found = live.logs.entry(log).or_default();
        found.archived.retain(|one| !gone.iter().any(|gone| Arc::ptr_eq(gone, one)));
        for (record, _) in rests {
            let archive = self.places.at(&record.place);
            found.archived.push(Arc::new(Segment::archived(record, archive, &self.cache)));
        }
        archiving.leaving.append(&mut gone);
        Ok(work)
    }

    /// Removes files in the archive that no segment has and nobody reads.
    ///
    /// # Errors
    /// When a place refuses, after all others had their turn; what is left is tried again the next time.
    pub fn sweep_archive(&self) -> Result<(), StoreError> {
        let mut archiving = self.archiving.lock();
        archiving.leaving.retain(|segment| Arc::strong_count(segment) > 1);
        let read: HashSet<(String, String)> = archiving
            .leaving
            .iter()
            .filter_map(|segment| segment.record().map(|record| (record.place.clone(), record.name.clone())))
            .collect();
        let unread: Vec<_> = archiving.leavings.iter().filter(|leaving| !read.contains(leaving)).cloned().collect();
        let mut refusing = HashSet::new();
        let mut first = Ok(());
        for (place, name) in unread {
            if refusing.contains(&place) {
                continue;
            }
            let archive = self.places.at(&place);
            let removed = files_of(&name).iter().try_for_each(|file| archive.remove(file).or_else(absent));
            if let Err(error) = removed {
                first = first.and(Err(refused(&place, &error)));
                refusing.insert(place);
                continue;
            }
            self.catalog.set_leaving(&place, &name, false)?;
            archiving.leavings.retain(|leaving| *leaving != (place.clone(), name.clone()));
        }
        first
    }
}

/// The first error of work that goes on after one.
#[derive(Debug, Default)]
struct Failed {
    first: Option<StoreError>,
    times: usize,
}

impl Failed {
    /// Keeps an error that is about one segment; one that all others would meet ends the work.
    fn note(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.times += 1;
        let ends = match &error {
            StoreError::Stopped => return Err(error),
            StoreError::Full | StoreError::Catalog(_) => true,
            StoreError::Archive { reason, .. } => reason.starts_with(AWAY),
            _ => false,
        };
        let first = self.first.take().unwrap_or(error);
        if ends || self.times >= REFUSALS_MAX {
            return Err(first);
        }
        self.first = Some(first);
        Ok(())
    }

    fn into_result(self) -> Result<(), StoreError> {
        self.first.map_or(Ok(()), Err)
    }
}

impl Purge {
    fn cutoff(&self, stream: &str) -> Option<Timestamp> {
        self.stream.as_deref().is_none_or(|only| only == stream).then_some(self.before)
    }
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// What could not be read because its place cannot be asked just now says so. Layers between keep only the text.
fn away(segment: &Segment, error: StoreError) -> StoreError {
    let reason = match &error {
        StoreError::Unreadable { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    match (segment.record(), reason.find(AWAY)) {
        (Some(record), Some(at)) => refused(&record.place, &io::Error::other(&reason[at..])),
        _ => error,
    }
}

fn refused(place: &str, error: &io::Error) -> StoreError {
    let place = if place.is_empty() { "archive/ in the data directory".to_owned() } else { place.to_owned() };
    StoreError::Archive { place, reason: error.to_string() }
}

fn put_file(archive: &dyn Archive, name: &str, file: Arc<dyn ReadAt>, length: u64) -> io::Result<()> {
    archive.put(name, file, length)?;
    let found = archive.open(name, length)?.size()?;
    if found == length {
        return Ok(());
    }
    Err(io::Error::other(format!("{name} has {found} bytes there, and should have {length}")))
}

fn digest(file: &dyn ReadAt, length: u64) -> Result<[u8; 32], StoreError> {
    read_through(file, length, &mut |_, _| Ok(()))
}

/// Hears the bytes of a file, and where they are.
type See<'a> = &'a mut dyn FnMut(&[u8], u64) -> Result<(), StoreError>;

/// Reads a file from end to end; returns its SHA-256.
fn read_through(file: &dyn ReadAt, length: u64, see: See<'_>) -> Result<[u8; 32], StoreError> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; usize::try_from(length).map_or(READ_BYTES, |length| length.min(READ_BYTES))];
    let mut at = 0;
    while at < length {
        let part = usize::try_from(length - at).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        file.read_exact_at(&mut buffer[..part], at)?;
        sum.update(&buffer[..part]);
        see(&buffer[..part], at)?;
        at += part as u64;
    }
    Ok(sum.finalize().into())
}

/// The ids of a segment, sixteen bytes each.
fn ids_of(segment: &Segment) -> Result<Vec<u8>, StoreError> {
    let opened = segment.open()?;
    let mut ids = Vec::with_capacity(usize::try_from(segment.info().rows).unwrap_or(0) * 16);
    let mut found = Vec::new();
    for group in 0..opened.row_groups().len() {
        read_ids(&opened, group, &mut found)?;
        ids.extend(found.drain(..).flat_map(|(_, id)| id));
    }
    Ok(ids)
}

/// How many events of a segment are old: read from two of its columns.
fn count_old(segment: &Segment, is_old: Cutoff<'_>) -> Result<u64, StoreError> {
    let opened = segment.open()?;
    let mut columns = vec![TIMESTAMP_AT];
    columns.extend(
        key_columns(opened.schema())
            .find(|(_, path, kind)| *path == "stream" && *kind == Kind::Str)
            .map(|(index, ..)| index),
    );
    let mut old = 0;
    for group in 0..opened.row_groups().len() {
        for batch in opened.read(group, &columns, None, 8192)? {
            let batch = batch?;
            let times = batch.column(0).as_primitive::<TimestampMicrosecondType>().values();
            let streams = batch.columns().get(1).and_then(|column| column.as_string_opt::<i32>());
            for (row, micros) in times.iter().enumerate() {
                let stream = streams.filter(|streams| streams.is_valid(row)).map_or("", |streams| streams.value(row));
                old += u64::from(is_old(stream).is_some_and(|cutoff| *micros < cutoff.as_micros()));
            }
        }
    }
    Ok(old)
}

/// About how many bytes so many events of a segment take.
fn share(info: &SegmentInfo, events: u64) -> u64 {
    let part = u128::from(info.bytes + info.index_bytes) * u128::from(events) / u128::from(info.rows.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}
