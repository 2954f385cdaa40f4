//! What follows from an event once it is stored: its issue counts it, detectors see it, rules look whether to call
//! somebody.
//!
//! A thread looks at what was stored, in the order of sequence numbers. All that follows from one look is one transaction
//! with the position reached: after a crash the look is done again or not at all, and nothing is counted twice.

mod asking;
mod calls;
mod failed;
mod fold;
mod history;
mod leaving;
mod measure;
mod outbox;
mod passing;
mod seen;
mod settings;
mod undefined;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alerts::Passing;
use alerts::configuration::ConfigurationErrors;
use alerts::disk::Trend;
use alerts::silence::Presence;
use alerts::spike::Baseline;
use alerts::watch::Watch;
use event::{Level, Timestamp, Value};
use issues::{Issue, Releases};
use parking_lot::{Condvar, Mutex};
use serde::de::DeserializeOwned;
use store::catalog::{Catalog, Reaction};
use store::{LogId, StoreError};

use crate::over::{Over, REFUSED};
use crate::waking::Waking;
use crate::{AskError, Engine};

use calls::Calls;
pub(crate) use fold::{OVERFLOW, OVERFLOW_TITLE, issue_row};
use history::History;
pub use outbox::{Due, Posted, Settled, Told, Trouble};
pub use passing::PassedError;
pub use settings::{AlertError, AlertSettings, CONFIGURATION_MAIL, ChannelTables, RuleInfo, Tables};

/// Events looked at in one transaction.
const LOOK_MAX: usize = 2000;

/// After something was stored it waits this long for more, so that a busy server makes large looks and not many.
const BREATH: Duration = Duration::from_millis(25);

/// After looks that took long it waits this many times as long, within limits, so that a server under load spends its time
/// on what comes in: the less often rows are looked at, the less often those in memory are put together.
const REST: u32 = 8;
const REST_MAX: Duration = Duration::from_millis(200);

/// How often it looks for itself: windows end, and rules are measured.
const ROUND: Duration = Duration::from_secs(1);

/// How long it may go on when the server stops. What is left is looked at after the next start.
const END_MAX: Duration = Duration::from_secs(3);

/// How long a position that moved over events without consequences waits to be kept.
const SAVE_AFTER: Duration = Duration::from_secs(10);

/// How often notices are counted, and the oldest forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Looks in which events that cannot be read are waited for.
const UNREADABLE_TRIES: u32 = 30;

/// Issues that are opened again in one look because their time is over. The others are next.
const OPENED_MAX: usize = 500;

/// How long who asks waits for it.
const CATCH_UP_MAX: Duration = Duration::from_millis(500);

/// How long it waits after trouble.
const PAUSE: Duration = Duration::from_secs(1);

/// Issues, and fingerprints, that are held in memory; the others are read when they are needed.
const ISSUES_HELD_MAX: usize = 2000;
const FINGERPRINTS_HELD_MAX: usize = 50_000;

/// Reacting, as the rest of the engine sees it.
#[derive(Debug, Default)]
pub(crate) struct Reacting {
    pub(crate) waking: Waking,
    /// What is remembered between two looks; held during one.
    pub(super) memory: Mutex<Option<Memory>>,
    /// Requests with something to react to that are on their way to the store.
    under_way: AtomicUsize,
    /// Rules that are asked.
    asking: asking::Asking,
    /// The last sequence number of those that arrived.
    notable: AtomicU64,
    /// Everything up to this sequence number was looked at.
    reached: Mutex<u64>,
    moved: Condvar,
    /// What was refused for being too much, and still counts.
    pub(crate) over: Mutex<Over>,
    /// Events that are taken in as days of the past.
    pub(crate) history: Mutex<History>,
    /// Which sources spoke since the last measurement.
    pub(crate) heard: Mutex<measure::Heard>,
    /// Whether retention let go of events, and issues are to be looked at.
    pub(crate) retained: AtomicBool,
    /// Channels that do not take anything, and since when.
    failing: Mutex<BTreeMap<String, Timestamp>>,
    /// Channels that took something since the start.
    delivered: Mutex<BTreeSet<String>>,
    /// Told when there may be something to send.
    outbox: Mutex<Option<Wake>>,
}

struct Wake(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Wake {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Wake")
    }
}

/// What is remembered between two looks. All of it is in the catalog too.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    positions: HashMap<LogId, u64>,
    /// When positions were kept that moved over nothing, and whether it is time again.
    saved: Option<Instant>,
    is_saving: bool,
    forgot: Option<Instant>,
    calls: Calls,
    pub(crate) issues: HashMap<u64, Issue>,
    pub(crate) known: HashMap<(LogId, String), u64>,
    pub(crate) last_issue: u64,
    pub(crate) releases: HashMap<LogId, Releases>,
    watches: BTreeMap<LogId, Watch>,
    watch_kept: HashMap<LogId, Instant>,
    configuration: ConfigurationErrors,
    /// What users are hashed with in counts.
    users_key: u64,
    /// New issues of the hour, by log.
    new: HashMap<LogId, fold::NewIssues>,
    failed: failed::FailedRequests,
    /// What is remembered of the channels that errors are passed on to.
    passing: BTreeMap<String, Passing>,
    pub(crate) touched: fold::Touched,
    baselines: BTreeMap<String, Baseline>,
    presences: BTreeMap<String, Presence>,
    /// Sources that spoke since this was read: of the others nobody knows that they speak again.
    spoke: BTreeSet<String>,
    /// How often a log had events that could not be read.
    unreadable: HashMap<LogId, u32>,
    /// Up to which issues were looked at that may have to go, while there are more of them.
    leaving: Option<leaving::Reached>,
    /// The number of an issue that is kept as the last that was given.
    kept_issue: u64,
    trend: Trend,
    measured: measure::Measured,
}

/// One look at what was stored.
struct Look<'m> {
    memory: &'m mut Memory,
    now: Timestamp,
    /// What follows from it.
    reaction: Reaction,
    /// Notices that show what led to their errors.
    trails: u32,
}

const RELEASES: &str = "releases/";
const WATCH: &str = "watch/";
const CONFIGURATION: &str = "configuration_error/";
const USERS_KEY: &str = "users_key";
const BASELINE: &str = "baseline/";
const PRESENCE: &str = "presence/";
const TREND: &str = "disk";
const LAST_ISSUE: &str = "last_issue";
const PASSING: &str = "passing/";

/// What is kept under names that begin so, and how each goes on.
fn read_rows(catalog: &Catalog, beginning: &str) -> Result<Vec<(String, String)>, StoreError> {
    let rows = catalog.memories(beginning)?;
    Ok(rows.into_iter().map(|(name, body)| (name[beginning.len()..].to_owned(), body)).collect())
}

/// What is kept as JSON under a name; what cannot be read any more is as if it had never been.
fn read_all<T: DeserializeOwned>(catalog: &Catalog, beginning: &str) -> Result<Vec<(String, T)>, StoreError> {
    let read = |(name, body): (String, String)| Some((name, serde_json::from_str(&body).ok()?));
    Ok(read_rows(catalog, beginning)?.into_iter().filter_map(read).collect())
}

fn by_log<T>(rows: Vec<(String, T)>) -> impl Iterator<Item = (LogId, T)> {
    rows.into_iter().filter_map(|(name, value)| Some((LogId(name.parse().ok()?), value)))
}

impl Memory {
    fn read(catalog: &Catalog, now: Timestamp) -> Result<Self, StoreError> {
        let [last_issue, last_notice, last_delivery] = catalog.reaction_numbers()?;
        // An issue that is gone gives its number to no other.
        let given: Option<(String, u64)> = read_all(catalog, LAST_ISSUE)?.pop();
        let last_issue = last_issue.max(given.map_or(0, |(_, given)| given));
        let mut memory = Self { positions: catalog.reacted()?.into_iter().collect(), last_issue, ..Self::default() };
        memory.kept_issue = last_issue;
        memory.calls.last_notice = last_notice;
        memory.calls.last_delivery = last_delivery;
        memory.calls.states = read_all(catalog, calls::STATE)?.into_iter().collect();
        memory.calls.definitions = read_rows(catalog, calls::DEFINITION)?.into_iter().collect();
        memory.calls.outflows = read_all(catalog, calls::OUTFLOW)?.into_iter().collect();
        memory.releases = by_log(read_all(catalog, RELEASES)?).collect();
        memory.watches = by_log(read_all(catalog, WATCH)?).collect();
        memory.failed = failed::FailedRequests::read(catalog)?;
        memory.passing = read_all(catalog, PASSING)?.into_iter().collect();
        memory.baselines = read_all(catalog, BASELINE)?.into_iter().collect();
        memory.presences = read_all(catalog, PRESENCE)?.into_iter().collect();
        // Nobody listened while the server was away.
        memory.baselines.values_mut().for_each(|baseline| baseline.resume(now));
        memory.presences.values_mut().for_each(|presence| presence.resume(now));
        memory.configuration = ConfigurationErrors::read(read_rows(catalog, CONFIGURATION)?);
        memory.trend = read_all(catalog, TREND)?.pop().map(|(_, trend)| trend).unwrap_or_default();
        let key: Option<(String, u64)> = read_all(catalog, USERS_KEY)?.pop();
        memory.users_key = match key {
            Some((_, key)) => key,
            None => {
                let key = uuid::Uuid::new_v4().as_u64_pair().0;
                let memories = vec![(USERS_KEY.to_owned(), Some(key.to_string()))];
                catalog.react(&Reaction { memories, ..Reaction::default() })?;
                key
            }
        };
        Ok(memory)
    }

    /// Whether it is time to let go of old notices.
    fn is_forgetting(&mut self) -> bool {
        let due = self.forgot.is_none_or(|forgot| forgot.elapsed() >= FORGET_EVERY);
        if due {
            self.forgot = Some(Instant::now());
        }
        due
    }

    /// Lets go of what can be read again.
    fn shrink(&mut self) {
        if self.issues.len() > ISSUES_HELD_MAX {
            self.issues.clear();
        }
        if self.known.len() > FINGERPRINTS_HELD_MAX {
            self.known.clear();
        }
    }
}

impl Reacting {
    /// A request with something to react to is on its way.
    pub(crate) fn expect(&self) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
    }

    /// It was stored up to this sequence number, or not at all.
    pub(crate) fn arrived(&self, last: Option<u64>) {
        if let Some(last) = last {
            self.notable.fetch_max(last, Ordering::AcqRel);
        }
        self.under_way.fetch_sub(1, Ordering::AcqRel);
        if last.is_some() {
            self.waking.stored();
        }
    }

    /// Whether anything after a position has consequences. To be asked after the last sequence number was read.
    fn has_news(&self, position: u64) -> bool {
        self.under_way.load(Ordering::Acquire) > 0 || self.notable.load(Ordering::Acquire) > position
    }

    fn note_delivery(&self, channel: &str, well: bool, now: Timestamp) {
        let mut failing = self.failing.lock();
        if well {
            failing.remove(channel);
            self.delivered.lock().insert(channel.to_owned());
        } else {
            failing.entry(channel.to_owned()).or_insert(now);
        }
    }

    fn wake_outbox(&self) {
        if let Some(wake) = &*self.outbox.lock() {
            (wake.0)();
        }
    }
}

impl Engine {
    /// Calls `wake` when there may be a notice to send.
    pub fn on_notice(&self, wake: impl Fn() + Send + Sync + 'static) {
        *self.reacting.outbox.lock() = Some(Wake(Box::new(wake)));
    }

    /// Starts the thread that looks at what was stored: once rules and channels are known, so that what was left from
    /// before the start calls those whom it is for.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn begin_reacting(self: &Arc<Self>) -> Result<(), std::io::Error> {
        self.reacting.notable.fetch_max(self.last_sequence(), Ordering::AcqRel);
        let refused = read_rows(self.store.catalog(), REFUSED).map_err(std::io::Error::other)?;
        self.reacting.over.lock().remember(refused);
        let engine = Arc::clone(self);
        let thread = std::thread::Builder::new().name("react".to_owned()).spawn(move || engine.keep_reacting())?;
        *self.reacting.waking.thread.lock() = Some(thread);
        self.begin_asking()
    }

    pub(crate) fn end_reacting(&self) {
        self.end_asking();
        self.reacting.waking.end(END_MAX, "reacts to events");
    }

    fn keep_reacting(&self) {
        let waking = &self.reacting.waking;
        let mut is_troubled = false;
        let mut began = Instant::now();
        while !waking.is_over() {
            match self.look() {
                Ok(true) => {}
                Ok(false) if waking.is_ending() => return,
                Ok(false) => {
                    is_troubled = false;
                    let rest = Instant::now() + (began.elapsed() * REST).min(REST_MAX);
                    waking.wait_for_more(ROUND, BREATH);
                    waking.wait(rest.saturating_duration_since(Instant::now()));
                    began = Instant::now();
                }
                Err(error) => {
                    // What was in memory may be ahead of what is kept.
                    *self.reacting.memory.lock() = None;
                    if !std::mem::replace(&mut is_troubled, true) {
                        tracing::error!(
                            "issues and alerts stand still: {error}; no event is lost, and it is tried again"
                        );
                    }
                    if !waking.wait(PAUSE) {
                        return;
                    }
                }
            }
        }
    }

    /// Looks at what was stored since the last look. True when there is more.
    fn look(&self) -> Result<bool, AskError> {
        let mut held = self.reacting.memory.lock();
        let memory = self.remembered(&mut held)?;
        let mut more = false;
        memory.is_saving = memory.saved.is_none_or(|saved| saved.elapsed() >= SAVE_AFTER);
        if memory.is_saving {
            memory.saved = Some(Instant::now());
        }
        let mut look = Look { memory, now: self.clock.now(), reaction: Reaction::default(), trails: 0 };
        let logs = self.log_numbers();
        let mut reached = u64::MAX;
        for (log, name) in &logs {
            if self.log(name).is_ok_and(|kept| kept == *log) {
                more |= self.look_at(&mut look, (*log, name))?;
                reached = reached.min(look.memory.positions.get(log).copied().unwrap_or(0));
            } else {
                // What is sent to it now is kept in another one.
                let now = look.now;
                self.count_late(&mut look, (*log, name), now)?;
            }
        }
        look.memory.failed.forget(|log| logs.contains_key(&log), &mut look.reaction);
        self.count_over(&mut look)?;
        self.tell_findings(&mut look)?;
        self.tell_left_out(&mut look)?;
        self.open_again(&mut look)?;
        self.measure(&mut look);
        let Look { memory, now, mut reaction, .. } = look;
        memory.keep_touched(&mut reaction);
        if memory.is_forgetting() {
            self.store.catalog().forget_notices(outbox::HISTORY_MAX).map_err(query::QueryError::from)?;
        }
        let link = || self.link("/");
        for (channel, digest) in memory.calls.digests(now, link, &mut reaction) {
            let held = self.store.catalog().deliveries_held(&channel).map_err(query::QueryError::from)?;
            memory.calls.note_digest((&channel, digest), held, now, &mut reaction);
        }
        self.keep_reaction(memory, &mut reaction)?;
        self.reacting.over.lock().kept();
        self.reacting.history.lock().forget(reached);
        *self.reacting.reached.lock() = reached;
        self.reacting.moved.notify_all();
        self.let_issues_go(memory)?;
        Ok(more)
    }

    /// Waits until what was acknowledged was looked at: who asks for issues sees those of his errors. Not for long, as the
    /// thread may be far behind. Never to be called by that thread, nor by who holds what it remembers.
    pub(crate) fn catch_up(&self) {
        let wanted = self.reacting.notable.load(Ordering::Acquire);
        let until = Instant::now() + CATCH_UP_MAX;
        let mut reached = self.reacting.reached.lock();
        while *reached < wanted && !self.reacting.waking.is_ending() {
            if self.reacting.moved.wait_until(&mut reached, until).timed_out() {
                return;
            }
        }
    }

    /// What is remembered; read from the catalog if it is not in memory.
    pub(crate) fn remembered<'m>(&self, held: &'m mut Option<Memory>) -> Result<&'m mut Memory, AskError> {
        if held.is_none() {
            let mut memory = Memory::read(self.store.catalog(), self.clock.now()).map_err(query::QueryError::from)?;
            if self.set_up_calls(&mut memory.calls) {
                let memories = memory.calls.settle();
                let reaction = Reaction { memories, ..Reaction::default() };
                self.store.catalog().react(&reaction).map_err(query::QueryError::from)?;
            }
            *held = Some(memory);
        }
        Ok(held.get_or_insert_default())
    }

    /// Keeps what follows, and wakes who sends.
    pub(crate) fn keep_reaction(&self, memory: &mut Memory, reaction: &mut Reaction) -> Result<(), AskError> {
        if memory.last_issue != memory.kept_issue {
            reaction.memories.push((LAST_ISSUE.to_owned(), Some(memory.last_issue.to_string())));
            memory.kept_issue = memory.last_issue;
        }
        if !reaction.is_empty() {
            self.store.catalog().react(reaction).map_err(query::QueryError::from)?;
        }
        if !reaction.deliveries.is_empty() {
            self.reacting.wake_outbox();
        }
        memory.shrink();
        Ok(())
    }

    fn look_at(&self, look: &mut Look<'_>, (log, name): (LogId, &str)) -> Result<bool, AskError> {
        let last = self.store.last_sequence();
        let position = look.memory.positions.get(&log).copied().unwrap_or(0).min(last);
        if position == last {
            self.count_late(look, (log, name), look.now)?;
            return Ok(false);
        }
        let (seen, reached, more) = if self.reacting.has_news(position) {
            let mut is_new = |fingerprint: &str| !matches!(look.memory.issue_of(self, log, fingerprint), Ok(Some(_)));
            let page = match self.notable_events(log, position, LOOK_MAX, &mut is_new) {
                Ok(page) => page,
                // Nothing was counted yet: the other logs go on.
                Err(error) => {
                    tracing::warn!("events of the log {name} are not looked at for issues yet: {error}");
                    return Ok(false);
                }
            };
            if self.is_to_wait(look.memory, (log, name), page.unreadable) {
                return Ok(false);
            }
            (page.events, page.reached, page.more)
        } else {
            (Vec::new(), last, false)
        };
        if !seen.is_empty() || look.memory.is_saving {
            look.reaction.positions.push((log, reached));
        }
        for event in seen {
            self.count_late(look, (log, name), event.received)?;
            self.fold(look, (log, name), event)?;
        }
        if !more {
            self.count_late(look, (log, name), look.now)?;
        }
        look.memory.positions.insert(log, reached);
        Ok(more)
    }

    /// Opens issues that were ignored until a moment which is past, whether anything happens or not.
    fn open_again(&self, look: &mut Look<'_>) -> Result<(), AskError> {
        let over = self.store.catalog().issues_ignored_until(look.now, OPENED_MAX).map_err(query::QueryError::from)?;
        for (log, number) in over {
            // What was decided and counted in this look is ahead of the catalog.
            if let Some(issue) = look.memory.issue(self, number)?
                && issue.expire(look.now)
            {
                look.memory.touched.issues.insert(number, log);
            }
        }
        Ok(())
    }

    /// Whether events that cannot be read now are waited for. What stays unreadable is passed by, and told.
    fn is_to_wait(&self, memory: &mut Memory, (log, name): (LogId, &str), unreadable: u64) -> bool {
        if unreadable == 0 {
            memory.unreadable.remove(&log);
            return false;
        }
        let tries = memory.unreadable.entry(log).or_default();
        *tries += 1;
        if *tries < UNREADABLE_TRIES {
            return true;
        }
        if *tries == UNREADABLE_TRIES {
            let message = format!(
                "{unreadable} events of the log {name} cannot be read: errors among them are in no count of issues"
            );
            let fields = [("log", Value::Str(name))];
            self.internal(Level::Error, "events_not_looked_at", &message, &fields);
        }
        false
    }
}
