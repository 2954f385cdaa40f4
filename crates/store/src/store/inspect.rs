//! A look at a data directory that is not ours to change.

use std::sync::Arc;

use crate::StoreError;
use crate::archive::Archived;
use crate::catalog::Catalog;
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
    let (_, journal) =
        Journal::open(Arc::clone(disk), flushed, &mut |found| journal_events += found.batch.len() as u64)?;
    let cache = Arc::default();
    let segments =
        catalog.segments()?.into_iter().map(|info| Arc::new(Segment::new(info, Arc::clone(disk), &cache))).collect();
    Ok(Inspection { segments, archived: catalog.archived()?, journal_events, journal })
}
