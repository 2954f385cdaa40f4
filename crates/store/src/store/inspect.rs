//! A look at a data directory that is not ours to change.

use std::sync::Arc;

use crate::StoreError;
use crate::archive::Archived;
use crate::catalog::{Catalog, ForwardRow};
use crate::disk::Disk;
use crate::journal::{Journal, JournalDamage};
use crate::segment::Segment;

/// What a data directory holds, read without changing anything, also while a server works on it.
#[derive(Debug)]
pub struct Inspection {
    /// Its segments.
    pub segments: Vec<Arc<Segment>>,
    /// What it has in the archive.
    pub archived: Vec<Archived>,
    /// How far each target of forwarding was when that was last kept, and about how many events of its log come after.
    pub forwards: Vec<(ForwardRow, u64)>,
    /// Events in the journal that are in no segment.
    pub journal_events: u64,
    /// Parts of the journal that cannot be read.
    pub journal: Vec<JournalDamage>,
}

/// Looks at a data directory.
///
/// # Errors
/// When the catalog or the journal cannot be read at all.
pub fn inspect(disk: &Arc<dyn Disk>, catalog: &Catalog) -> Result<Inspection, StoreError> {
    let (flushed, _) = catalog.position()?;
    let mut journal_events = 0;
    let mut forwards: Vec<(ForwardRow, u64)> = catalog.forwards()?.into_iter().map(|row| (row, 0)).collect();
    let (_, journal) = Journal::open(Arc::clone(disk), flushed, &mut |found| {
        let count = found.batch.len() as u64;
        journal_events += count;
        for (row, behind) in forwards.iter_mut().filter(|(row, _)| row.log == found.log) {
            *behind += (found.first + count).saturating_sub(row.position + 1).min(count);
        }
    })?;
    let (segments, archived) = (catalog.segments()?, catalog.archived()?);
    for info in segments.iter().chain(archived.iter().map(|archived| &archived.info)) {
        for (row, behind) in forwards.iter_mut().filter(|(row, _)| row.log == info.log) {
            *behind += info.rows_after(row.position);
        }
    }
    let cache = Arc::default();
    let segments = segments.into_iter().map(|info| Arc::new(Segment::new(info, Arc::clone(disk), &cache))).collect();
    Ok(Inspection { segments, archived, forwards, journal_events, journal })
}
