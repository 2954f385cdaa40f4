//! Open segments: what is kept of them in memory, the least recently used let go when it is too much.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::segment::{Opened, SegmentColumns};

/// Bytes unless said otherwise.
const DEFAULT_BYTES: u64 = 64 << 20;

/// The open segments of a store.
#[derive(Debug)]
pub(crate) struct IndexCache {
    limit: AtomicU64,
    tickets: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, Kept>,
    /// Counts uses.
    clock: u64,
    /// Of those that may be let go.
    bytes: u64,
    columns: Vec<Weak<SegmentColumns>>,
}

#[derive(Debug)]
struct Kept {
    opened: Arc<Opened>,
    bytes: u64,
    used: u64,
    /// Stays until it is closed: opening it again is dear.
    stays: bool,
}

impl Default for IndexCache {
    fn default() -> Self {
        Self { limit: AtomicU64::new(DEFAULT_BYTES), tickets: AtomicU64::new(0), state: Mutex::default() }
    }
}

impl IndexCache {
    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// A number under which a segment is kept.
    pub(crate) fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, ticket: u64) -> Option<Arc<Opened>> {
        let mut state = self.state.lock();
        state.clock += 1;
        let now = state.clock;
        let kept = state.open.get_mut(&ticket)?;
        kept.used = now;
        Some(Arc::clone(&kept.opened))
    }

    /// Keeps an open segment, and lets go of others if there is too much then.
    pub(crate) fn put(&self, ticket: u64, opened: &Arc<Opened>, stays: bool) {
        let bytes = opened.bytes();
        let mut gone = Vec::new();
        let mut state = self.state.lock();
        state.clock += 1;
        let kept = Kept { opened: Arc::clone(opened), bytes, used: state.clock, stays };
        gone.extend(state.open.insert(ticket, kept));
        state.bytes += if stays { 0 } else { bytes };
        while state.bytes > self.limit.load(Ordering::Relaxed) {
            let others = state.open.iter().filter(|(other, kept)| **other != ticket && !kept.stays);
            let Some(oldest) = others.min_by_key(|(_, kept)| kept.used).map(|(oldest, _)| *oldest) else { break };
            gone.extend(state.remove(oldest));
        }
        drop(state);
    }

    pub(crate) fn remove(&self, ticket: u64) {
        let gone = self.state.lock().remove(ticket);
        drop(gone);
    }

    /// Bytes that an open segment takes; 0 when it is closed.
    pub(crate) fn bytes_of(&self, ticket: u64) -> u64 {
        self.state.lock().open.get(&ticket).map_or(0, |kept| kept.bytes)
    }

    /// Bytes that all of them take, without those in the archive.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// The same columns as those of another segment, if there is one.
    pub(crate) fn shared(&self, columns: SegmentColumns) -> Arc<SegmentColumns> {
        let mut state = self.state.lock();
        let mut known = None;
        state.columns.retain(|one| {
            let Some(one) = one.upgrade() else { return false };
            if *one == columns {
                known = Some(one);
            }
            true
        });
        known.unwrap_or_else(|| {
            let new = Arc::new(columns);
            state.columns.push(Arc::downgrade(&new));
            new
        })
    }
}

impl State {
    fn remove(&mut self, ticket: u64) -> Option<Kept> {
        let gone = self.open.remove(&ticket)?;
        self.bytes -= if gone.stays { 0 } else { gone.bytes };
        Some(gone)
    }
}
