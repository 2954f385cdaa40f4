//! Is the archive what it was when it was filled?

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::{ArchiveWork, GoOn, Purge, Store, absent, read_through, refused};
use crate::archive::{AWAY, Archive, Archived, files_of};
use crate::retention::Coverage;
use crate::{LogId, StoreError};

/// A file in the archive that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFault {
    /// The file.
    pub file: String,
    /// Where.
    pub place: String,
    /// Whose.
    pub log: LogId,
    /// How many events are in its segment.
    pub events: u64,
    /// What was found.
    pub reason: String,
}

/// What a look at every byte of the archive found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// What was looked at.
    pub work: ArchiveWork,
    /// What is wrong.
    pub faults: Vec<ArchiveFault>,
    /// Files that no segment has.
    pub strangers: Vec<String>,
}

impl Store {
    /// Reads every byte of archived segments and compares it. `go_on` hears the bytes read since it was called last.
    ///
    /// # Errors
    /// When `go_on` says no, or a place cannot be reached at all.
    pub fn verify_archive(&self, log: Option<LogId>, go_on: GoOn<'_>) -> Result<Verified, StoreError> {
        let mut found = Verified::default();
        for segment in self.archived_segments() {
            let Some(record) = segment.record().filter(|record| log.is_none_or(|log| record.info.log == log)) else {
                continue;
            };
            let faults = verify_record(record, &*self.places.at(&record.place), go_on)?;
            // One that left while we looked is nobody's concern.
            if faults.is_empty() || self.archived(record.info.log).iter().any(|one| Arc::ptr_eq(one, &segment)) {
                found.work.add(&record.info);
                found.faults.extend(faults);
            }
        }
        if log.is_none() {
            found.strangers = self.strangers()?;
        }
        Ok(found)
    }

    /// Asks each place that has files a purge would remove whether it is there.
    ///
    /// # Errors
    /// When one is not.
    pub fn reach_archive(&self, purge: &Purge) -> Result<(), StoreError> {
        let mut asked = HashSet::new();
        for segment in self.archived(purge.log) {
            let concerned = Coverage::of(segment.info(), &|stream| purge.cutoff(stream)) != Coverage::Nothing;
            let Some(record) = segment.record().filter(|_| concerned) else { continue };
            if asked.insert(record.place.clone()) {
                let archive = self.places.at(&record.place);
                let found =
                    archive.open(&record.files()[0], record.lengths()[0]).and_then(|file| file.size().map(drop));
                found.or_else(absent).map_err(|error| refused(&record.place, &error))?;
            }
        }
        Ok(())
    }

    /// Files in the archive that neither a segment has nor a removal is waiting for. They are named and left: another
    /// server, or an older backup of this one, may know them.
    fn strangers(&self) -> Result<Vec<String>, StoreError> {
        let archiving = self.archiving.lock();
        let place = self.places.current();
        let listed = self.places.at(place).list().map_err(|error| refused(place, &error))?;
        let leavings = archiving.leavings.iter().filter(|(at, _)| at == place).map(|(_, name)| name.clone());
        let segments = self.archived_segments();
        let records = segments.iter().filter_map(|segment| segment.record()).filter(|record| record.place == place);
        let known: HashSet<String> =
            records.map(|record| record.name.clone()).chain(leavings).flat_map(|name| files_of(&name)).collect();
        let mut strangers: Vec<String> = listed.into_iter().map(|(name, _)| name).collect();
        strangers.retain(|name| !known.contains(name));
        strangers.sort_unstable();
        Ok(strangers)
    }
}

/// Reads every byte of an archived segment and compares it. `go_on` hears the bytes read since it was called last.
///
/// # Errors
/// When `go_on` says no, or the place cannot be reached at all.
pub fn verify_record(
    record: &Archived,
    archive: &dyn Archive,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Vec<ArchiveFault>, StoreError> {
    let mut faults = Vec::new();
    for (at, file) in record.files().into_iter().enumerate() {
        let length = record.lengths()[at];
        let read = archive.open(&file, length).map_err(StoreError::from).and_then(|open| {
            let found = read_through(&*open, length, &mut |bytes, _| {
                if go_on(bytes.len() as u64) { Ok(()) } else { Err(StoreError::Stopped) }
            })?;
            let size = open.size()?;
            Ok((found, size))
        });
        let reason = match read {
            Ok((_, size)) if size != length => format!("it has {size} bytes, and was archived with {length}"),
            Ok((found, _)) if found != record.digests[at] => "its bytes are not those that were archived".to_owned(),
            Ok(_) => continue,
            Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::NotFound => "it is missing".to_owned(),
            Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "it is shorter than it was when it was archived".to_owned()
            }
            Err(StoreError::Io(error)) if error.to_string().starts_with(AWAY) => {
                return Err(refused(&record.place, &error));
            }
            Err(StoreError::Stopped) => return Err(StoreError::Stopped),
            Err(error) => error.to_string(),
        };
        let (place, log, events) = (record.place.clone(), record.info.log, record.info.rows);
        faults.push(ArchiveFault { file, place, log, events, reason });
    }
    Ok(faults)
}
