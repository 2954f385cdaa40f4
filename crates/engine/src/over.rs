//! More errors than a log is to keep: those beyond the limit are refused, and counted all the same.
//!
//! What was counted is handed to who reacts within a second or so; a crash before that loses the count of what was
//! refused, never of what was acknowledged.

mod ids;

use std::collections::{BTreeSet, HashMap};

use event::limits::REFUSED_LISTED_MAX;
use event::{Batch, Id, Level, Row, Timestamp, Value, logical_name, shared};
use intake::{Decoded, Reason, Refused};
use issues::Group;
use store::LogId;

use crate::Engine;
use crate::mark::{Error, Marked};
use crate::react::{OVERFLOW, OVERFLOW_TITLE};
use ids::Ids;
pub(crate) use ids::{REFUSED, hash};

/// Different errors that are counted between two looks; what is different beyond it is one.
const COUNTED_MAX: usize = 10_000;

/// Users of one error between two looks who are counted.
const USERS_MAX: usize = 1000;

const MINUTE_MICROS: i64 = 60_000_000;

/// Errors of one kind that were refused.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) log: LogId,
    pub(crate) id: String,
    pub(crate) group: Group,
    pub(crate) level: Option<Level>,
    pub(crate) release: String,
    pub(crate) environment: String,
    pub(crate) times: u64,
    pub(crate) users: BTreeSet<String>,
    pub(crate) time: Timestamp,
    pub(crate) received: Timestamp,
}

/// Errors beyond the limits of their logs.
#[derive(Debug, Default)]
pub(crate) struct Over {
    /// The minute that runs, and how many errors of it were kept.
    minutes: HashMap<LogId, (i64, u64)>,
    counted: HashMap<(LogId, String, String, String), Counted>,
    /// Handed to who reacts, and not known to be kept.
    taken: Vec<Counted>,
    ids: Ids,
}

impl Over {
    /// Knows what was refused before the start.
    pub(crate) fn remember(&mut self, rows: Vec<(String, String)>) {
        self.ids = Ids::read(rows);
    }

    /// Seconds until there is room again, if there is none for one more error.
    fn admit(&mut self, log: LogId, limit: u64, now: Timestamp) -> Option<u32> {
        let (start, kept) = self.minutes.entry(log).or_insert((now.as_micros(), 0));
        let age = now.as_micros().saturating_sub(*start);
        if !(0..MINUTE_MICROS).contains(&age) {
            (*start, *kept) = (now.as_micros(), 0);
        }
        if *kept < limit {
            *kept += 1;
            return None;
        }
        let left = MINUTE_MICROS - now.as_micros().saturating_sub(*start);
        Some(u32::try_from((left - 1) / 1_000_000 + 1).unwrap_or(1))
    }

    /// Counts an error that is refused, unless it was before.
    fn count(&mut self, mut one: Counted) {
        if !self.ids.insert(one.log, &one.id) {
            return;
        }
        let mut key = (one.log, one.group.fingerprint.clone(), one.release.clone(), one.environment.clone());
        if self.counted.len() >= COUNTED_MAX && !self.counted.contains_key(&key) {
            key = (one.log, OVERFLOW.to_owned(), String::new(), String::new());
            one.group =
                Group { fingerprint: OVERFLOW.to_owned(), title: OVERFLOW_TITLE.to_owned(), culprit: String::new() };
            (one.release, one.environment) = (String::new(), String::new());
        }
        self.add(key, one);
    }

    fn add(&mut self, key: (LogId, String, String, String), one: Counted) {
        match self.counted.get_mut(&key) {
            Some(counted) => {
                counted.times += one.times;
                counted.level = counted.level.max(one.level);
                counted.time = counted.time.max(one.time);
                counted.received = one.received;
                if counted.users.len() < USERS_MAX {
                    counted.users.extend(one.users);
                }
            }
            None => drop(self.counted.insert(key, one)),
        }
    }

    /// Whether an error that was stored after all was refused, and counted, before.
    pub(crate) fn was_counted(&self, log: LogId, id: &str) -> bool {
        self.ids.holds(log, id)
    }

    /// What was counted since the last time that it was kept, and what is to be kept with it.
    pub(crate) fn take(&mut self) -> (Vec<Counted>, Vec<(String, Option<String>)>) {
        // What was taken and could not be kept is counted with what came since: it is never more than there may be.
        for one in std::mem::take(&mut self.taken) {
            let key = (one.log, one.group.fingerprint.clone(), one.release.clone(), one.environment.clone());
            self.add(key, one);
        }
        let mut counted: Vec<Counted> = std::mem::take(&mut self.counted).into_values().collect();
        counted.sort_by(|one, two| (one.received, &one.id).cmp(&(two.received, &two.id)));
        self.taken.clone_from(&counted);
        (counted, self.ids.unsaved())
    }

    /// What was taken last is kept.
    pub(crate) fn kept(&mut self) {
        self.taken.clear();
        self.ids.saved();
    }
}

impl Engine {
    /// Refuses the errors beyond the limit of a log, and counts them. Seconds after which there is room again, if any was refused.
    pub(crate) fn limit_errors(
        &self,
        (log, limit): (LogId, Option<u64>),
        marked: Marked,
        decoded: &mut Decoded,
    ) -> (Batch, Option<u32>) {
        let Marked { batch, errors, .. } = marked;
        let Some(limit) = limit.filter(|_| !errors.is_empty()) else { return (batch, None) };
        let now = self.clock.now();
        let mut wait = None;
        let mut refused: BTreeSet<usize> = BTreeSet::new();
        let mut beyond = Vec::new();
        for error in errors {
            let seconds = self.reacting.over.lock().admit(log, limit, now);
            beyond.extend(seconds.map(|seconds| (seconds, error)));
        }
        if beyond.is_empty() {
            return (batch, None);
        }
        // What is stored already costs nothing, and its sender is to stop sending it. Asked once, as it waits for the writer.
        let ids: Vec<&Id> = beyond.iter().map(|(_, error)| batch.row(error.row).id).collect();
        let known = self.store.known(log, &ids, now);
        for ((seconds, Error { row: index, group }), _) in beyond.into_iter().zip(known).filter(|(_, known)| !known) {
            let row = batch.row(index);
            wait = Some(seconds);
            refused.insert(index);
            self.reacting.over.lock().count(counted(&batch, &row, (log, group), now));
        }
        if refused.is_empty() {
            return (batch, None);
        }
        note_refused(decoded, &refused);
        self.reacting.waking.stored();
        (batch.filtered(|index| !refused.contains(&index)), wait)
    }
}

/// Adds rows of the batch to what was refused, under their places in the body if these are known.
fn note_refused(decoded: &mut Decoded, rows: &BTreeSet<usize>) {
    if !decoded.unlisted.is_empty() || decoded.refused.len() + rows.len() > REFUSED_LISTED_MAX {
        *decoded.unlisted.entry(Reason::OverLimit.name()).or_default() += rows.len();
        return;
    }
    let before: BTreeSet<usize> = decoded.refused.iter().map(|refused| refused.index).collect();
    let places = (0..).filter(|place| !before.contains(place)).enumerate();
    let last = rows.last().copied().unwrap_or(0);
    let refused = places.take_while(|(row, _)| *row <= last).filter(|(row, _)| rows.contains(row));
    decoded.refused.extend(refused.map(|(_, index)| Refused { index, reason: Reason::OverLimit }));
    decoded.refused.sort_by_key(|refused| refused.index);
}

fn counted(batch: &Batch, row: &Row<'_>, (log, group): (LogId, Group), received: Timestamp) -> Counted {
    let mut one = Counted {
        log,
        id: match row.id {
            Id::Uuid(bytes) => event::format_uuid(bytes),
            Id::Text(text) => text.to_string(),
        },
        group,
        level: None,
        release: String::new(),
        environment: String::new(),
        times: 1,
        users: BTreeSet::new(),
        time: row.timestamp,
        received,
    };
    for field in row.fields().filter(|field| !field.sent) {
        let Value::Str(text) = field.value else { continue };
        let Some(path) = batch.keys().get(field.key as usize) else { continue };
        match &*logical_name(path) {
            "level" => one.level = Level::parse(text),
            "release" => text.clone_into(&mut one.release),
            "environment" => text.clone_into(&mut one.environment),
            "user" if text != shared::SYSTEM_USER => drop(one.users.insert(text.to_owned())),
            _ => {}
        }
    }
    one
}
