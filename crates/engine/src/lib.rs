//! The product without sockets: accept, ask, tail, tokens, housekeeping. Plain structs in and out.
//!
//! There is one door in, [`Engine::accept`]; what came in is either acknowledged or refused with a counted reason.

mod accept;
mod archive;
mod ask;
mod attachments;
mod audit;
mod counters;
mod diagnose;
mod elastic_search;
mod fetch;
mod forward;
mod housekeeping;
mod internal;
mod logs;
mod mark;
mod over;
mod people;
mod problems;
mod react;
mod redact_key;
mod removal;
mod rules;
mod select;
mod streams;
pub mod threads;
mod tokens;
mod tree;
mod waking;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use event::Clock;
use intake::classify::Known;
use parking_lot::{Condvar, Mutex, RwLock};
use store::catalog::Catalog;
use store::disk::{DirectoryLock, Disk, RealDisk};
use store::{Store, StoreError};
use text::TreeSettings;
use thiserror::Error;

pub use accept::{Producer, Receipt, WriteError};
pub use alerts;
pub use archive::{ArchiveOf, ArchivedSegment, HOLD, PurgeRequest};
pub use ask::{AskError, Events, Tailed};
pub use counters::{Counters, LogCounts, Vitals};
pub use diagnose::{Diagnosis, Finding, ForwardState, diagnose};
pub use fetch::{Fetched, FieldKind};
pub use forward::{
    Backoff, EVENTS_MAX, Forward, ForwardError, ForwardInfo, ForwardSettings, Outgoing, Parcel, Refusal, Target,
    Verdict, content_type, retry_after, verdict, write_body,
};
pub use intake::keys::VARIABLE_BYTES_MAX;
pub use intake::redact::{Change, Key as RedactKey, Level as Redaction, Redact, Settings as RedactSettings};
pub use intake::{Decoded, Limits, Reason, Refused};
pub use logs::{LogError, LogInfo, LogSettings, check_log_name, parse_duration, print_duration};
pub use problems::{ISSUES_MAX, IssueChange, IssueError, IssuesAsked, Occurrences, TRAIL_MAX, told};
pub use query::suggest::suggest;
pub use query::{Answer, QueryError, elastic, filter, search, time, url};
pub use react::{
    AlertError, AlertSettings, CONFIGURATION_MAIL, ChannelTables, Due, PassedError, Posted, RuleInfo, Settled, Tables,
    Told, Trouble,
};
pub use rules::{OPTIONS, Options, Rules, ShownOptions};
pub use store::archive::{AWAY, Archive, Folders, Places};
pub use store::disk::ReadAt;
pub use store::{ArchiveFault, ArchiveWork, Verified};
pub use store::{LogId, LogSize, PRODUCER_BYTES_MAX, StartReport, StoreError as StorageError};
pub use streams::{Leftover, Removed, StreamError, StreamInfo, StreamKind};
pub use tokens::{FIRST_TOKEN, Grant, NewToken, Scope, TokenInfo, is_token};

/// The log that a fresh installation has, and that Everlog's own messages go to.
pub const DEFAULT_LOG: &str = "default";

/// What can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest event, in bytes of JSON.
    pub event_bytes_max: usize,
    /// Bytes in memory at which the buffer is written to segments.
    pub flush_bytes: usize,
    /// How long events stay in the buffer at most.
    pub flush_after: Duration,
    /// Bytes in memory at which writers wait for a flush.
    pub buffer_bytes_max: usize,
    /// Memory for sorting, joining and grouping, of all questions together.
    pub query_memory_bytes: usize,
    /// Memory for what is kept of open segments.
    pub index_cache_bytes: usize,
    /// How long one question may take.
    pub query_time_max: Duration,
    /// Rows of one SQL answer.
    pub query_rows_max: usize,
    /// How many logs there may be.
    pub logs_max: usize,
    /// Whether the first event for a log makes it.
    pub create_logs: bool,
    /// The port that the server listens on, for the key `port`.
    pub port: Option<u16>,
    /// The variables of the environment that the keys `env.NAME` may show, with their values.
    pub environment: BTreeMap<String, Option<String>>,
    /// The tree of text files, if there is to be one.
    pub tree: Option<TreeSettings>,
    /// The least level of what the tree has; all events if there is none.
    pub tree_level_min: Option<event::Level>,
    /// Whether the tree has a file of errors besides.
    pub tree_errors: bool,
    /// How much is replaced in logs that say nothing of it.
    pub redact: Redaction,
    /// The address under which people see this server, for links in notices.
    pub public_url: Option<String>,
    /// What is known of the addresses of crawlers, beside the ranges that logs name.
    pub crawlers: Option<Arc<dyn Known>>,
    /// Hours between two mails about the same configuration error.
    pub config_error_rate_limit_hours: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            event_bytes_max: event::limits::EVENT_BYTES_MAX,
            flush_bytes: 48 << 20,
            flush_after: Duration::from_secs(300),
            buffer_bytes_max: 160 << 20,
            query_memory_bytes: 128 << 20,
            index_cache_bytes: 64 << 20,
            query_time_max: Duration::from_secs(30),
            query_rows_max: 100_000,
            logs_max: 1000,
            create_logs: true,
            port: None,
            environment: BTreeMap::new(),
            tree: None,
            tree_level_min: None,
            tree_errors: false,
            redact: Redaction::Standard,
            public_url: None,
            crawlers: None,
            config_error_rate_limit_hours: alerts::configuration::RATE_LIMIT_HOURS,
        }
    }
}

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another server has it.
    #[error(
        "the data directory {directory} is in use by another everlog: stop that one, or give this one a directory of its own with --data"
    )]
    InUse {
        /// Which.
        directory: String,
    },
    /// The directory cannot be made or written.
    #[error("the data directory {directory} cannot be used: {source}")]
    Directory {
        /// Which.
        directory: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The query engine cannot be set up.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Everlog at work on one data directory.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    clock: Arc<dyn Clock>,
    settings: Settings,
    logs: RwLock<logs::Logs>,
    /// Held while settings of logs change.
    setting: Mutex<()>,
    tokens: RwLock<Vec<store::catalog::TokenRow>>,
    sql: query::Sql,
    queue: accept::Queue,
    counters: Counters,
    /// Told the last sequence number after each group that was stored.
    listener: RwLock<Option<Listener>>,
    flushing: Mutex<housekeeping::Flushing>,
    /// Wakes the thread that flushes.
    wake: Condvar,
    work: Mutex<housekeeping::Work>,
    /// Wakes the thread that merges.
    chores: Condvar,
    /// Whether one flush follows the other.
    pressed: AtomicBool,
    stopping: AtomicBool,
    refused_while_full: AtomicU64,
    /// Set when a retention was changed: the housekeeper looks at once.
    retention_due: AtomicBool,
    refusals: Mutex<internal::Refusals>,
    /// Messages about ourselves that could not be kept.
    untold: Arc<AtomicU64>,
    streams: RwLock<Vec<store::catalog::StreamRow>>,
    archiver: archive::Archiver,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    following: waking::Waking,
    attachments: attachments::Attachments,
    /// What is forwarded, by the names of the targets.
    forwards: RwLock<Vec<Arc<Forward>>>,
    redact_key: redact_key::Kept,
    reacting: react::Reacting,
    alert_settings: RwLock<react::AlertSettings>,
    _lock: DirectoryLock,
}

struct Listener(Box<dyn Fn(u64) + Send + Sync>);

impl std::fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Listener")
    }
}

impl Engine {
    /// Opens a data directory, makes it if it is not there, and starts the threads that write and keep house.
    ///
    /// The settings of logs hold from [`Engine::configure_logs`] on. Damage never stops a start: it is in the report, and an event of the stream INTERNAL each.
    ///
    /// # Errors
    /// When the directory is in use, cannot be used, or was written by a later version.
    pub fn open(
        directory: &Path,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, StartReport), OpenError> {
        Self::open_with_archive(directory, settings, clock, Arc::new(Folders::new(directory, "")))
    }

    /// The same, with the places where archived segments are and go.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with_archive(
        directory: &Path,
        settings: Settings,
        clock: Arc<dyn Clock>,
        places: Arc<dyn Places>,
    ) -> Result<(Arc<Self>, StartReport), OpenError> {
        let shown = || directory.display().to_string();
        let refused = |source| OpenError::Directory { directory: shown(), source };
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(directory).map_err(refused)?);
        let lock =
            DirectoryLock::take(directory).map_err(refused)?.ok_or_else(|| OpenError::InUse { directory: shown() })?;
        let catalog = Catalog::open(&directory.join("catalog.sqlite"), Arc::clone(&disk))?;
        let store = Store::open(disk, catalog, places)?;
        Self::with_store(store, settings, clock, (directory, lock))
    }

    fn with_store(
        (store, report): (Store, StartReport),
        settings: Settings,
        clock: Arc<dyn Clock>,
        (directory, lock): (&Path, DirectoryLock),
    ) -> Result<(Arc<Self>, StartReport), OpenError> {
        if store.catalog().logs()?.is_empty() {
            store.catalog().create_log(DEFAULT_LOG, clock.now())?;
        }
        store.limit_index_cache(settings.index_cache_bytes as u64);
        let limits = query::SqlLimits { memory_bytes: settings.query_memory_bytes, rows_max: settings.query_rows_max };
        let (leaving, rows) = store.catalog().logs()?.into_iter().partition(store::catalog::LogRow::is_leaving);
        let logs = logs::Logs::new(rows);
        let tokens = RwLock::new(store.catalog().tokens()?);
        let streams = RwLock::new(store.catalog().named_streams()?);
        let untold = store.catalog().take_untold()?;
        let (queue, jobs) = accept::Queue::new();
        let engine = Arc::new(Self {
            sql: query::Sql::new(limits)?,
            store,
            clock,
            settings,
            logs: RwLock::new(logs),
            setting: Mutex::default(),
            tokens,
            queue,
            counters: Counters::default(),
            listener: RwLock::default(),
            flushing: Mutex::default(),
            wake: Condvar::new(),
            work: Mutex::default(),
            chores: Condvar::new(),
            pressed: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            refused_while_full: AtomicU64::new(0),
            retention_due: AtomicBool::new(false),
            refusals: Mutex::default(),
            untold: Arc::default(),
            streams,
            archiver: archive::Archiver::default(),
            threads: Mutex::default(),
            following: waking::Waking::default(),
            forwards: RwLock::default(),
            attachments: attachments::Attachments::new(directory.join(attachments::FOLDER)),
            redact_key: redact_key::Kept::in_directory(directory),
            reacting: react::Reacting::default(),
            alert_settings: RwLock::default(),
            _lock: lock,
        });
        engine.start_threads(jobs)?;
        engine.report_start(&report);
        engine.end_removals(leaving);
        engine.tell_untold(untold);
        Ok((engine, report))
    }

    fn start_threads(self: &Arc<Self>, jobs: accept::Jobs) -> Result<(), OpenError> {
        let refused = |source| OpenError::Directory { directory: "(threads)".to_owned(), source };
        let (writer, flusher, keeper) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let writer = named("writer").spawn(move || writer.write_all(&jobs)).map_err(refused)?;
        let flusher = named("flush").spawn(move || flusher.keep_flushing()).map_err(refused)?;
        let keeper = named("housekeeping").spawn(move || keeper.keep_house()).map_err(refused)?;
        *self.threads.lock() = vec![writer, flusher, keeper];
        if let Some(tree) = self.settings.tree.clone() {
            self.follow(tree).map_err(refused)?;
        }
        let archiver = Arc::clone(self);
        let archiver = std::thread::Builder::new()
            .name("archive".to_owned())
            .spawn(move || archiver.keep_archive())
            .map_err(refused)?;
        *self.archiver.thread.lock() = Some(archiver);
        Ok(())
    }

    /// Calls `listener` with the last sequence number after each group that was stored.
    pub fn on_stored(&self, listener: impl Fn(u64) + Send + Sync + 'static) {
        *self.listener.write() = Some(Listener(Box::new(listener)));
    }

    /// What can be set, as it is set.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes nothing more, writes what was taken to segments, and ends the threads. What could not be written stays
    /// in the journal, where the next start finds it.
    ///
    /// # Errors
    /// When the last flush fails.
    pub fn close(&self) -> Result<(), StoreError> {
        self.stopping.store(true, std::sync::atomic::Ordering::Release);
        self.queue.close();
        self.store.stop_merging();
        self.wake.notify_all();
        self.chores.notify_all();
        self.stop_archiver();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!("a thread of the engine ended badly");
            }
        }
        self.end_reacting();
        self.following.end(tree::END_MAX, "writes the tree of text files");
        let flushed = self.store.flush().map(drop);
        let untold = self.untold.load(std::sync::atomic::Ordering::Relaxed);
        if untold > 0 {
            self.store.catalog().set_untold(untold)?;
        }
        flushed
    }
}
