//! Events handed on to other systems: which targets there are, how far each is, what became of what it was sent.
//!
//! A target costs a position and little more: what comes after it is read from the store, wherever it is by now, so
//! that one that is away for days holds up nobody. Everything is sent at least once, in order, under the id of the
//! event, by which the target stores it once. Sending is not done here.

mod body;
mod otlp;
mod told;
mod verdict;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event::{Level, Timestamp, Value};
use parking_lot::Mutex;
use query::filter::Filter;
use query::{Order, Request};
use store::catalog::ForwardRow;
use store::{LogId, Snapshot, StoreError};
use thiserror::Error;

use crate::audit::Deed;
use crate::{AskError, Engine, Grant, LogError, WriteError};

pub use body::{content_type, write_body};
use told::Trouble;

pub use told::Refusal;
pub use verdict::{Backoff, Verdict, retry_after, verdict};

/// Targets there may be: each has a batch in memory while it is sent.
const FORWARDS_MAX: usize = 64;

/// Events sent at a time at the most.
pub const EVENTS_MAX: usize = 1000;

/// Events read at a time at first, and at the most: in between it goes by their size, as whole rows are in memory before
/// their bytes are known.
const STEP: usize = 64;
const STEP_MAX: usize = 8000;

/// Bytes of documents read at a time, of which the last may go beyond it.
const BYTES_MAX: usize = 5 << 20;

/// How long a position that moved over events that nobody wants waits to be kept.
const SAVE_AFTER: Duration = Duration::from_secs(10);

/// Which protocol a target speaks, and where it is to put the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `_bulk` of Elasticsearch and OpenSearch.
    Elasticsearch {
        /// The index, alias or data stream.
        index: String,
    },
    /// Logs of OpenTelemetry over HTTP, as JSON.
    Otlp,
    /// A POST of the events as they are.
    Webhook {
        /// Whether they come as one array, not as one object a line.
        array: bool,
    },
}

impl Target {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Elasticsearch { .. } => "elasticsearch",
            Self::Otlp => "otlp",
            Self::Webhook { .. } => "webhook",
        }
    }
}

/// What is forwarded where.
#[derive(Clone, Debug)]
pub struct ForwardSettings {
    /// The name of the target.
    pub name: String,
    /// The log whose events it gets.
    pub log: String,
    /// How it is spoken to.
    pub target: Target,
    /// Where it is, without any secret.
    pub shown_url: String,
    /// Only events that pass are sent.
    pub filter: Filter,
    /// Whether a new target gets the events that are there already.
    pub from_start: bool,
}

/// Why events cannot be forwarded as it is asked.
#[derive(Debug, Error)]
pub enum ForwardError {
    /// A setting that cannot be.
    #[error("[forward.{name}]: {detail}")]
    Setting {
        /// Of which target.
        name: String,
        /// Which, and what to do.
        detail: String,
    },
    /// There is no such target.
    #[error("there is no target {name:?}{hint}")]
    Unknown {
        /// As asked.
        name: String,
        /// One that is near, or where they are configured.
        hint: String,
    },
    /// What was changed could not be written down.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The catalog refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A target at work.
#[derive(Debug)]
pub struct Forward {
    /// As it is configured.
    pub settings: ForwardSettings,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    row: ForwardRow,
    /// Everything up to here is settled, or nobody wants it.
    read: u64,
    /// The last number of the batch under way; 0 when there is none.
    under_way: u64,
    /// How many events to read next.
    step: usize,
    saved: Instant,
    /// Counts how often the position was set by hand: a batch of before then counts no more.
    turn: u64,
    trouble: Trouble,
    refusals: VecDeque<Refusal>,
    last_delivery: Option<Timestamp>,
}

/// An event on its way.
#[derive(Debug)]
pub struct Outgoing {
    /// Its number.
    pub sequence: u64,
    /// By which the target knows it again.
    pub id: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// When it came.
    pub received: Timestamp,
    /// A JSON object.
    pub document: Vec<u8>,
}

/// Events of one log on their way to one target, in the order in which they were accepted.
#[derive(Debug)]
pub struct Parcel {
    /// Those that pass the filter.
    pub events: Vec<Outgoing>,
    /// Everything up to this sequence number was looked at.
    pub seen: u64,
    /// Whether there is more after it.
    pub more: bool,
    turn: u64,
}

impl Parcel {
    /// Of these events, when everything up to `seen` was looked at.
    #[must_use]
    pub fn new(events: Vec<Outgoing>, seen: u64, more: bool) -> Self {
        Self { events, seen, more, turn: 0 }
    }
}

/// A target as it is shown.
#[derive(Clone, Debug)]
pub struct ForwardInfo {
    /// As it is configured.
    pub settings: ForwardSettings,
    /// Every event of the log up to this sequence number is settled.
    pub position: u64,
    /// Events of the log after it, whether they pass the filter or not.
    pub behind: u64,
    /// When the first of them came.
    pub waiting_since: Option<Timestamp>,
    /// Events that the target has.
    pub delivered: u64,
    /// Events that it refused for good.
    pub refused: u64,
    /// Events that went before it got them.
    pub missed: u64,
    /// Whether nothing is sent to it for now.
    pub paused: bool,
    /// Attempts that failed since the start.
    pub failures: u64,
    /// What went wrong, if the last attempt failed, and since when it does.
    pub error: Option<(String, Timestamp)>,
    /// When it last took something, since the start.
    pub last_delivery: Option<Timestamp>,
    /// The latest of those it refused.
    pub refusals: Vec<Refusal>,
}

impl Engine {
    /// Takes up the targets that are configured. Each goes on where it was; one that is new, or whose log is another
    /// now, begins as its settings say.
    ///
    /// # Errors
    /// When a setting cannot be.
    pub fn configure_forwards(&self, settings: Vec<ForwardSettings>) -> Result<Vec<Arc<Forward>>, ForwardError> {
        if let Some(surplus) = settings.get(FORWARDS_MAX) {
            let detail = format!("there are {FORWARDS_MAX} targets before it, which is the most");
            return Err(ForwardError::Setting { name: surplus.name.clone(), detail });
        }
        let known = self.store.catalog().forwards()?;
        let mut forwards = Vec::with_capacity(settings.len());
        for settings in settings {
            forwards.push(Arc::new(self.forward_of(settings, &known)?));
        }
        self.forwards.write().clone_from(&forwards);
        Ok(forwards)
    }

    fn forward_of(&self, settings: ForwardSettings, known: &[ForwardRow]) -> Result<Forward, ForwardError> {
        let wrong = |detail: String| ForwardError::Setting { name: settings.name.clone(), detail };
        let own = self.create_log(&settings.log).map_err(|error| wrong(error.to_string()))?;
        let log = self.log(&settings.log)?;
        if log != own {
            let kept = self.log_numbers().remove(&log).unwrap_or_default();
            return Err(wrong(format!("the events of {} are kept in {kept}: forward that log", settings.log)));
        }
        let last = self.last_sequence();
        let begin = if settings.from_start { 0 } else { last };
        let fresh = ForwardRow {
            name: settings.name.clone(),
            log,
            position: begin,
            delivered: 0,
            refused: 0,
            missed: 0,
            paused: false,
        };
        let mut row = known.iter().find(|row| row.name == settings.name && row.log == log).cloned();
        if let Some(row) = &mut row {
            // The store was put back to an earlier day: its next events have numbers that were given before.
            row.position = row.position.min(last);
        }
        let row = row.unwrap_or(fresh);
        self.store.catalog().set_forward(&row)?;
        let state = State {
            read: row.position,
            under_way: 0,
            step: STEP,
            row,
            saved: Instant::now(),
            turn: 0,
            trouble: Trouble::default(),
            refusals: VecDeque::new(),
            last_delivery: None,
        };
        Ok(Forward { settings, state: Mutex::new(state) })
    }

    /// The next events for a target, those of one or more requests; `None` when there are none, or it is paused.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn forward_read(&self, forward: &Forward) -> Result<Option<Parcel>, AskError> {
        let (after, turn, step) = {
            let state = forward.state.lock();
            if state.row.paused {
                return Ok(None);
            }
            (state.read, state.turn, state.step)
        };
        let found = self.accepted(&forward.settings.log, &forward.settings.filter, after, (step, BYTES_MAX))?;
        let mut state = forward.state.lock();
        if state.turn != turn {
            return Ok(None);
        }
        state.step = next_step(step, &found.events);
        if found.events.is_empty() {
            state.read = found.seen;
            if state.row.position != found.seen && state.saved.elapsed() >= SAVE_AFTER {
                state.row.position = found.seen;
                self.store.catalog().set_forward(&state.row).map_err(query::QueryError::from)?;
                state.saved = Instant::now();
            }
            drop(state);
            let nothing = Parcel { turn, ..Parcel::new(Vec::new(), found.seen, true) };
            return Ok(found.more.then_some(nothing));
        }
        let one = |event: crate::ask::Accepted| Outgoing {
            sequence: event.sequence,
            id: event.id,
            timestamp: event.timestamp,
            received: event.belongs.received,
            document: event.document,
        };
        let events: Vec<Outgoing> = found.events.into_iter().map(one).collect();
        state.under_way = events.last().map_or(0, |event| event.sequence);
        Ok(Some(Parcel { turn, ..Parcel::new(events, found.seen, found.more) }))
    }

    /// Keeps that everything up to a sequence number is settled: so many are delivered, these are refused for good.
    ///
    /// # Errors
    /// When the catalog refuses; the events are sent again then.
    pub fn forward_settled(
        &self,
        forward: &Forward,
        parcel: &Parcel,
        up_to: u64,
        (delivered, refused): (u64, Vec<Refusal>),
    ) -> Result<(), StoreError> {
        let mut state = forward.state.lock();
        if state.turn != parcel.turn {
            return Ok(());
        }
        state.row.delivered += delivered;
        state.row.refused += refused.len() as u64;
        state.row.position = state.row.position.max(up_to);
        state.read = state.read.max(up_to);
        state.under_way = 0;
        self.store.catalog().set_forward(&state.row)?;
        state.saved = Instant::now();
        if delivered > 0 {
            state.last_delivery = Some(self.now());
        }
        let told = state.note(refused);
        drop(state);
        if let Some((first, count)) = told {
            self.tell_refusals(&forward.settings, &first, count);
        }
        Ok(())
    }

    /// Notes that an attempt failed; it is told once when that goes on for a minute.
    pub fn forward_failed(&self, forward: &Forward, reason: &str) {
        let since = {
            let mut state = forward.state.lock();
            state.under_way = 0;
            state.trouble.failed(reason, Instant::now(), self.now())
        };
        if let Some(since) = since {
            let ForwardSettings { name, log, .. } = &forward.settings;
            let message = format!(
                "events of {log} have not reached the target {name} since {since}: {reason}; no event is lost, and it is tried again"
            );
            let fields = [("forward", Value::Str(name)), ("log", Value::Str(log)), ("reason", Value::Str(reason))];
            self.internal(Level::Error, "forward_failing", &message, &fields);
        }
    }

    /// Notes that an attempt went well; if it was told that they failed, that they do no more.
    pub fn forward_works(&self, forward: &Forward) {
        let told = forward.state.lock().trouble.works();
        if let Some(since) = told {
            let ForwardSettings { name, log, .. } = &forward.settings;
            let message = format!("events of {log} reach the target {name} again, which failed since {since}");
            let fields = [("forward", Value::Str(name)), ("log", Value::Str(log))];
            self.internal(Level::Notice, "forward_works", &message, &fields);
        }
    }

    /// Whether what was read is still to be sent.
    #[must_use]
    pub fn forward_goes_on(&self, forward: &Forward, parcel: &Parcel) -> bool {
        let state = forward.state.lock();
        state.turn == parcel.turn && !state.row.paused
    }

    /// All targets, in the order of their names.
    #[must_use]
    pub fn forwards(&self) -> Vec<ForwardInfo> {
        let forwards = self.forwards.read().clone();
        forwards.iter().map(|forward| self.forward_info(forward)).collect()
    }

    fn forward_info(&self, forward: &Forward) -> ForwardInfo {
        let (row, read) = {
            let state = forward.state.lock();
            (state.row.clone(), state.read)
        };
        let (behind, waiting_since) = self.behind(row.log, read);
        let state = forward.state.lock();
        ForwardInfo {
            settings: forward.settings.clone(),
            position: row.position,
            behind,
            waiting_since,
            delivered: row.delivered,
            refused: row.refused,
            missed: row.missed,
            paused: row.paused,
            failures: state.trouble.failures(),
            error: state.trouble.now(),
            last_delivery: state.last_delivery,
            refusals: state.refusals.iter().cloned().collect(),
        }
    }

    /// How many events of a log come after a sequence number, and when the first of them came.
    fn behind(&self, log: LogId, after: u64) -> (u64, Option<Timestamp>) {
        let snapshot = self.store.snapshot_with_archive(log);
        if snapshot.last_sequence <= after {
            return (0, None);
        }
        let count = self.count_after(&snapshot, after);
        if count == 0 {
            return (0, None);
        }
        let live = self.store.snapshot(log);
        let request = first_after(after, false);
        let first = query::scan(&live, &request, &self.bounds()).ok();
        let came = first.and_then(|page| {
            let (batch, row, _) = *page.rows.first()?;
            Some(store::Documents::new(&page.batches[batch]).belongs(row).received)
        });
        (count, came)
    }

    /// Counts what comes after a sequence number. Of a segment in the archive that begins before it and ends after it,
    /// only the share that its numbers suggest: nothing is fetched for a count.
    fn count_after(&self, snapshot: &Snapshot, after: u64) -> u64 {
        let (archived, live): (Vec<_>, Vec<_>) =
            snapshot.segments.iter().cloned().partition(|segment| segment.record().is_some());
        let in_archive: u64 = archived.iter().map(|segment| segment.info().rows_after(after)).sum();
        let live = Snapshot { segments: live, ..snapshot.clone() };
        let counted = query::scan(&live, &first_after(after, true), &self.bounds());
        in_archive + counted.ok().and_then(|page| page.total).unwrap_or(0)
    }

    /// The logs as they are, for those of whose events some are still to be forwarded.
    pub(crate) fn before_removal(&self, log: LogId) -> Option<Snapshot> {
        let forwards = self.forwards.read();
        let is_behind = forwards.iter().any(|forward| {
            let state = forward.state.lock();
            state.row.log == log && state.read < self.store.last_sequence()
        });
        is_behind.then(|| self.store.snapshot_with_archive(log))
    }

    /// Counts and tells what was removed before it was forwarded.
    pub(crate) fn after_removal(&self, before: Option<Snapshot>) {
        let Some(before) = before else { return };
        let mut now = self.store.snapshot_with_archive(before.log);
        now.last_sequence = before.last_sequence;
        for forward in &*self.forwards.read() {
            let mut state = forward.state.lock();
            if state.row.log != before.log {
                continue;
            }
            let read = state.read.max(state.under_way);
            let missed = self.count_after(&before, read).saturating_sub(self.count_after(&now, read));
            if missed == 0 {
                continue;
            }
            state.row.missed += missed;
            if let Err(error) = self.store.catalog().set_forward(&state.row) {
                tracing::warn!("how many events {} missed is counted again: {error}", forward.settings.name);
            }
            drop(state);
            let ForwardSettings { name, log, .. } = &forward.settings;
            let message =
                format!("{missed} events of {log} were removed before the target {name} got them: it never will");
            let fields =
                [("forward", Value::Str(name)), ("log", Value::Str(log)), ("events", Value::Int(missed.cast_signed()))];
            self.internal(Level::Error, "forward_missed", &message, &fields);
        }
    }

    fn tell_refusals(&self, settings: &ForwardSettings, first: &Refusal, count: u64) {
        let ForwardSettings { name, log, .. } = settings;
        let message = format!(
            "{count} events of {log} were refused by the target {name} for good, {:?} first: {}; they stay in {log}, and the others are sent on",
            first.id, first.reason
        );
        let fields = [
            ("forward", Value::Str(name)),
            ("log", Value::Str(log)),
            ("events", Value::Int(count.cast_signed())),
            ("reason", Value::Str(&first.reason)),
        ];
        self.internal(Level::Warning, "forward_refused", &message, &fields);
    }

    /// The target of a name.
    ///
    /// # Errors
    /// When there is none.
    pub fn forward(&self, name: &str) -> Result<Arc<Forward>, ForwardError> {
        let forwards = self.forwards.read();
        let found = forwards.iter().find(|forward| forward.settings.name == name);
        found.cloned().ok_or_else(|| {
            let names = forwards.iter().map(|forward| forward.settings.name.as_str());
            let near = query::suggest::suggest(name, names);
            let hint = near.map_or_else(
                || ": targets are the tables [forward.NAME] of the configuration".to_owned(),
                |near| format!(": did you mean {near:?}?"),
            );
            ForwardError::Unknown { name: name.to_owned(), hint }
        })
    }

    /// Stops or goes on with a target, or lets it begin anew: with the first event there is, or with the next.
    ///
    /// # Errors
    /// When there is no such target, or the change cannot be kept.
    pub fn change_forward(
        &self,
        name: &str,
        (paused, from_start): (Option<bool>, Option<bool>),
        by: &Grant,
    ) -> Result<ForwardInfo, ForwardError> {
        let forward = self.forward(name)?;
        for (said, event) in [
            (paused.map(|paused| if paused { "paused" } else { "resumed" }), "forward_paused"),
            (
                from_start.map(|start| if start { "begun anew with the first event" } else { "set to the next event" }),
                "forward_reset",
            ),
        ] {
            let Some(said) = said else { continue };
            let message = format!("the target {name} was {said}");
            let fields = [("forward", Value::Str(name))];
            self.audit(&forward.settings.log, &Deed { event, by, message: &message, fields: &fields })?;
        }
        let last = self.last_sequence();
        {
            let mut state = forward.state.lock();
            let mut row = state.row.clone();
            row.paused = paused.unwrap_or(row.paused);
            if let Some(start) = from_start {
                row.position = if start { 0 } else { last };
            }
            self.store.catalog().set_forward(&row)?;
            if from_start.is_some() {
                state.turn += 1;
                state.read = row.position;
                state.under_way = 0;
            }
            state.row = row;
        }
        Ok(self.forward_info(&forward))
    }
}

/// How many events to read after these: twice as many, if they will be no more bytes than are wanted.
fn next_step(step: usize, events: &[crate::ask::Accepted]) -> usize {
    if events.is_empty() {
        return (step * 2).min(EVENTS_MAX);
    }
    let bytes: usize = events.iter().map(|event| event.document.len()).sum();
    let fitting = BYTES_MAX / (bytes / events.len()).max(1);
    fitting.clamp(16, (step * 2).min(STEP_MAX))
}

/// The first event after a sequence number, or how many there are.
fn first_after(after_sequence: u64, total: bool) -> Request {
    let order = Order::Sequence;
    Request { filter: Filter::All, order, offset: 0, limit: 1, cursor: None, after_sequence, total }
}
