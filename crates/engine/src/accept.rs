//! The one door in: admit or refuse, store, acknowledge.
//!
//! Requests queue up for one writer thread; each time it is free it takes all that wait, and they share one write and
//! one sync. So nobody waits for a timer, and the busier the server, the more events there are to a sync.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use event::Timestamp;
use intake::{Decoded, Refused};
use parking_lot::{Condvar, Mutex};
use store::{Appended, Incoming, JournalError, LogId};
use thiserror::Error;

use crate::Engine;

/// Bytes of requests that may wait for the writer; beyond it, writers are asked to come back.
const QUEUE_BYTES_MAX: usize = 96 << 20;

/// Bytes written with one sync at the most, so that no request waits for a very long write.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// A sender whose requests are numbered: a request that was stored is not stored again, however late it is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its name, the same each time.
    pub name: String,
    /// Higher with each request.
    pub position: u64,
}

/// What an accepted write returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Events that are kept: durable, and in every answer from now on.
    pub accepted: usize,
    /// How many of them were there already under the same id, and are there once.
    pub duplicates: usize,
    /// Which: their places among the events of the request.
    pub known: Vec<u32>,
    /// Items that are not kept, and why; of very many the first.
    pub refused: Vec<Refused>,
    /// How many more are not kept.
    pub unlisted: usize,
    /// The sequence number of the last event stored.
    pub sequence: u64,
}

/// Why a whole request was refused. Nothing of it is kept, and it may be sent again.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WriteError {
    /// More comes in than the disk takes.
    #[error("more is coming in than can be written: send it again in a second")]
    Busy,
    /// No room on the disk.
    #[error(
        "the disk of the server is full: nothing of this request is kept; send it again later (writing resumes by itself when there is room)"
    )]
    DiskFull,
    /// The journal is closed after a failed write.
    #[error("the server takes nothing until it is restarted: {reason}")]
    Poisoned {
        /// What happened.
        reason: String,
    },
    /// More errors in a minute than the log is to keep.
    #[error(
        "the log keeps no more errors of this minute: these are counted in their issues; wait {seconds} s, or raise errors_per_minute of the log"
    )]
    OverLimit {
        /// After so many seconds there is room again.
        seconds: u32,
    },
    /// The server is stopping.
    #[error("the server is stopping: send it again in a moment")]
    Stopping,
}

impl WriteError {
    /// Its name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::DiskFull => "disk_full",
            Self::Poisoned { .. } => "poisoned",
            Self::OverLimit { .. } => "over_limit",
            Self::Stopping => "stopping",
        }
    }

    /// The names of all.
    pub const NAMES: [&'static str; 4] = ["busy", "disk_full", "poisoned", "stopping"];
}

type Done = Box<dyn FnOnce(Result<Receipt, WriteError>) + Send>;

pub(crate) struct Job {
    /// The log it was sent to; the one that keeps it may be another.
    log: LogId,
    incoming: Incoming,
    /// What is answered when all of it is stored.
    receipt: Receipt,
    bytes: usize,
    /// Whether something follows from it.
    is_notable: bool,
    /// Whether days of the past are taken in.
    history: bool,
    done: Done,
}

pub(crate) type Jobs = Receiver<Job>;

/// Requests that wait for the writer.
pub(crate) struct Queue {
    sender: Mutex<Option<Sender<Job>>>,
    bytes: AtomicUsize,
    buffered: AtomicUsize,
    room: Mutex<()>,
    flushed: Condvar,
    flush_fails: AtomicBool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Queue")
            .field("bytes", &self.bytes)
            .field("buffered", &self.buffered)
            .finish_non_exhaustive()
    }
}

impl Queue {
    pub(crate) fn new() -> (Self, Jobs) {
        let (sender, jobs) = channel();
        (
            Self {
                sender: Mutex::new(Some(sender)),
                bytes: AtomicUsize::new(0),
                buffered: AtomicUsize::new(0),
                room: Mutex::default(),
                flushed: Condvar::new(),
                flush_fails: AtomicBool::new(false),
            },
            jobs,
        )
    }

    pub(crate) fn close(&self) {
        *self.sender.lock() = None;
    }

    /// Whether little waits, so that a message about ourselves takes nobody's place.
    pub(crate) fn is_calm(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < QUEUE_BYTES_MAX / 2
    }

    /// Bytes of events that are in no segment yet, as of the last group.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered.load(Ordering::Relaxed)
    }

    pub(crate) fn set_buffered(&self, bytes: usize) {
        self.buffered.store(bytes, Ordering::Relaxed);
    }

    /// Told after each flush: how much is left, and whether it went well.
    pub(crate) fn after_flush(&self, bytes: usize, well: bool) {
        self.flush_fails.store(!well, Ordering::Relaxed);
        self.set_buffered(bytes);
        // Whoever has just looked and is about to wait hears of it.
        drop(self.room.lock());
        self.flushed.notify_all();
    }
}

impl Engine {
    /// Takes what a door decoded. `done` is called, on another thread, once the events are durable and visible, or
    /// right here when the request is refused; it must not block.
    ///
    /// # Panics
    /// When a door lost count of its items: every one is either in the batch or refused.
    pub fn accept(
        &self,
        log: LogId,
        decoded: Decoded,
        producer: Option<Producer>,
        done: impl FnOnce(Result<Receipt, WriteError>) + Send + 'static,
    ) {
        let (kept_in, mut decoded, limit) = self.ruled(log, decoded);
        let history = decoded.history.then(|| self.clock.now());
        let marked = crate::mark::mark(std::mem::take(&mut decoded.batch), history);
        let is_notable = marked.is_notable;
        self.reacting.heard.lock().hear(kept_in, &marked.sources);
        let (batch, wait) = self.limit_errors((kept_in, limit), marked, &mut decoded);
        decoded.batch = batch;
        assert!(
            decoded.received == decoded.batch.len() + decoded.refused_count(),
            "every item is either kept or refused with a reason"
        );
        self.counters.received(log, &decoded);
        self.report_refused(log, &decoded);
        let events = decoded.batch.len();
        let unlisted = decoded.unlisted.values().sum();
        let receipt = Receipt {
            accepted: events,
            duplicates: 0,
            known: Vec::new(),
            refused: decoded.refused,
            unlisted,
            sequence: 0,
        };
        if let (0, Some(seconds)) = (events, wait) {
            done(Err(WriteError::OverLimit { seconds }));
            return;
        }
        if events == 0 {
            let sequence = self.store.last_sequence();
            done(Ok(Receipt { sequence, ..receipt }));
            return;
        }
        let bytes = decoded.batch.bytes();
        if self.queue.bytes.load(Ordering::Relaxed) > QUEUE_BYTES_MAX {
            self.wake.notify_all();
            self.refuse(log, events, done, WriteError::Busy);
            return;
        }
        self.queue.bytes.fetch_add(bytes, Ordering::Relaxed);
        let incoming = Incoming {
            log: kept_in,
            received: self.clock.now(),
            producer: producer.map(|producer| (producer.name, producer.position)),
            batch: decoded.batch,
        };
        if is_notable {
            self.reacting.expect();
        }
        let history = history.is_some();
        let job = Job { log, incoming, receipt, bytes, is_notable, history, done: Box::new(done) };
        let unsent = match &*self.queue.sender.lock() {
            Some(sender) => sender.send(job).err().map(|error| error.0),
            None => Some(job),
        };
        if let Some(job) = unsent {
            self.queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
            if is_notable {
                self.reacting.arrived(None);
            }
            self.refuse(log, events, job.done, WriteError::Stopping);
        }
    }

    /// The moment at which a request that is decoded now counts as received.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn refuse(&self, log: LogId, events: usize, done: impl FnOnce(Result<Receipt, WriteError>), error: WriteError) {
        self.counters.refused_whole(log, events, error.name());
        done(Err(error));
    }

    /// The writer: takes all that wait, stores it with one sync, acknowledges.
    pub(crate) fn write_all(&self, jobs: &Jobs) {
        while let Ok(first) = jobs.recv() {
            let mut bytes = first.bytes;
            let mut group = vec![first];
            while bytes < GROUP_BYTES_MAX
                && let Ok(job) = jobs.try_recv()
            {
                bytes += job.bytes;
                group.push(job);
            }
            if self.wait_for_room() {
                self.write_group(group, bytes);
            } else {
                self.refuse_group(group, bytes);
            }
        }
    }

    /// Holds the writer while the buffer is full, which slows senders down instead of refusing them. False when there
    /// is no use in waiting, because flushing fails.
    fn wait_for_room(&self) -> bool {
        let mut room = self.queue.room.lock();
        while self.queue.buffered() > self.settings.buffer_bytes_max
            && !self.queue.flush_fails.load(Ordering::Relaxed)
            && !self.stopping.load(Ordering::Acquire)
        {
            self.wake.notify_all();
            self.queue.flushed.wait_for(&mut room, Duration::from_millis(100));
        }
        self.queue.buffered() <= self.settings.buffer_bytes_max || self.stopping.load(Ordering::Acquire)
    }

    fn refuse_group(&self, group: Vec<Job>, bytes: usize) {
        self.queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
        for job in group {
            if job.is_notable {
                self.reacting.arrived(None);
            }
            self.refuse(job.log, job.incoming.batch.len(), job.done, WriteError::Busy);
        }
    }

    fn write_group(&self, group: Vec<Job>, bytes: usize) {
        let mut waiting = Vec::with_capacity(group.len());
        let mut incoming = Vec::with_capacity(group.len());
        let notable = group.iter().filter(|job| job.is_notable).count();
        let history: Vec<bool> = group.iter().map(|job| job.history).collect();
        for job in group {
            waiting.push((job.log, job.receipt, job.done));
            incoming.push(job.incoming);
        }
        // Held meanwhile, so that nobody looks at what is stored before it is known to be of the past.
        let mut past = history.contains(&true).then(|| self.reacting.history.lock());
        let stored = self.store.append(incoming);
        if let (Some(past), Ok(appended)) = (&mut past, &stored) {
            let told = history.iter().zip(appended).filter(|(history, _)| **history);
            told.for_each(|(_, appended)| past.add(appended.first..=appended.last));
        }
        drop(past);
        self.queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let last = stored.as_ref().ok().and_then(|appended| appended.last()).map(|appended| appended.last);
        (0..notable).for_each(|_| self.reacting.arrived(last));
        match stored {
            Ok(appended) => {
                self.queue.set_buffered(self.store.buffer_bytes());
                if self.queue.buffered() > self.settings.flush_bytes {
                    self.wake.notify_all();
                }
                let last = appended.last().map_or(0, |appended| appended.last);
                for ((log, receipt, done), appended) in waiting.into_iter().zip(appended) {
                    self.acknowledge(log, receipt, appended, done);
                }
                if let Some(listener) = &*self.listener.read() {
                    (listener.0)(last);
                }
                self.following.stored();
                self.note_room();
            }
            Err(error) => {
                let error = match error {
                    JournalError::Full => WriteError::DiskFull,
                    JournalError::Poisoned { reason } => WriteError::Poisoned { reason },
                };
                let requests = waiting.len();
                for (log, receipt, done) in waiting {
                    self.refuse(log, receipt.accepted, done, error.clone());
                }
                self.note_trouble(&error, requests);
            }
        }
    }

    fn acknowledge(&self, log: LogId, receipt: Receipt, appended: Appended, done: Done) {
        let events = receipt.accepted;
        let Appended { last: sequence, stored, known, .. } = appended;
        let duplicates = known.len();
        assert!(events == stored + duplicates, "every event taken is stored or was there already");
        self.counters.accepted(log, events, duplicates);
        done(Ok(Receipt { duplicates, known, sequence, ..receipt }));
    }
}
