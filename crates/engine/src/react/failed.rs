//! One failure is one issue: the exception of a request and the answer of 500 and above that came of it, whichever comes
//! first.
//!
//! An exception counts at once, and its answer not at all. An answer that comes first waits a few seconds for its
//! exception, and counts by itself when none comes. Both are kept with the position, so that a crash between the two
//! changes nothing. What is soon and what is late is told by when events were received.

use std::collections::{BTreeMap, HashMap, VecDeque};

use event::{Level, Timestamp};
use issues::Group;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::catalog::{Catalog, Reaction};
use store::{LogId, StoreError};

use super::seen::Seen;
use super::{read_all, read_rows};
use crate::over::hash;

/// Requests with an exception that are remembered: their answers come soon.
const RAISED_MAX: usize = 10_000;

/// How long after its exception the answer of a request comes at the latest.
const ANSWER_MICROS_MAX: i64 = 60_000_000;

/// How long an answer waits for its exception, which clients send at once: people are to hear of an answer soon, too.
const WAIT_MICROS: i64 = 2_000_000;

/// Answers that wait, and the size of what is kept of each in bytes. What is beyond counts at once.
const WAITING_MAX: usize = 1000;
const WAITING_BYTES_MAX: usize = 16 << 10;

/// Shortest id of a request that is taken for one.
const REQUEST_ID_BYTES_MIN: usize = 8;

/// What the memories of it are called.
const RAISED: &str = "raised/";
const WAITING: &str = "waiting/";

/// Requests that failed.
#[derive(Debug, Default)]
pub(super) struct FailedRequests {
    /// When the exception of a request was received, by its hash.
    raised: HashMap<u64, Timestamp>,
    /// The same, those seen first in front.
    order: VecDeque<u64>,
    /// Answers by log and sequence number, each with the hash of its request.
    waiting: BTreeMap<(LogId, u64), (u64, Seen)>,
}

fn raised_name(request: u64) -> String {
    format!("{RAISED}{request:016x}")
}

fn waiting_name((log, sequence): (LogId, u64)) -> String {
    format!("{WAITING}{} {sequence}", log.0)
}

/// What is always the same is no id of a request.
fn request(log: LogId, seen: &Seen) -> Option<u64> {
    seen.text("request_id").filter(|id| id.len() >= REQUEST_ID_BYTES_MIN).map(|id| hash(log, id))
}

fn later(moment: Timestamp, than: Timestamp) -> i64 {
    moment.as_micros().saturating_sub(than.as_micros())
}

impl FailedRequests {
    /// What was kept; what cannot be read any more is as if it had never been.
    pub(super) fn read(catalog: &Catalog) -> Result<Self, StoreError> {
        let mut failed = Self::default();
        for (name, micros) in read_all::<i64>(catalog, RAISED)? {
            let Ok(request) = u64::from_str_radix(&name, 16) else { continue };
            failed.raised.insert(request, Timestamp::from_micros(micros));
            failed.order.push_back(request);
        }
        let raised = &failed.raised;
        failed.order.make_contiguous().sort_by_key(|request| raised.get(request).copied());
        for (name, body) in read_rows(catalog, WAITING)? {
            let key =
                name.split_once(' ').and_then(|(log, sequence)| Some((log.parse().ok()?, sequence.parse().ok()?)));
            let Some((log, sequence)) = key else { continue };
            let Ok(kept) = serde_json::from_str::<Kept>(&body) else { continue };
            let (log, seen) = (LogId(log), kept.seen(sequence));
            failed.waiting.insert((log, sequence), (request(log, &seen).unwrap_or(0), seen));
        }
        Ok(failed)
    }

    /// Passes on an error that counts now. One that is an answer is kept until its exception comes, or is none of its own.
    pub(super) fn admit(&mut self, log: LogId, seen: Seen, reaction: &mut Reaction) -> Option<Seen> {
        let Some(request) = request(log, &seen) else { return Some(seen) };
        if seen.text("exception.type").is_some() {
            self.raise((log, request), seen.received, reaction);
            return Some(seen);
        }
        if seen.status().is_none_or(|status| status < 500) {
            return Some(seen);
        }
        if self.raised.get(&request).is_some_and(|raised| later(seen.received, *raised) < ANSWER_MICROS_MAX) {
            return None;
        }
        // What says itself what went wrong waits for nothing.
        if seen.text("exception.message").is_some() {
            return Some(seen);
        }
        let kept = serde_json::to_string(&Kept::of(&seen)).ok().filter(|kept| kept.len() <= WAITING_BYTES_MAX);
        if self.waiting.len() >= WAITING_MAX || kept.is_none() {
            return Some(seen);
        }
        let key = (log, seen.sequence);
        reaction.memories.push((waiting_name(key), kept));
        self.waiting.insert(key, (request, seen));
        None
    }

    /// Remembers the request of an exception, and lets go of its answers: they are no failures of their own.
    fn raise(&mut self, (log, raised): (LogId, u64), received: Timestamp, reaction: &mut Reaction) {
        let answers = self.waiting.range((log, 0)..=(log, u64::MAX)).filter(|(_, (request, _))| *request == raised);
        for key in answers.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.waiting.remove(&key);
            reaction.memories.push((waiting_name(key), None));
        }
        if self.raised.insert(raised, received).is_none() {
            self.order.push_back(raised);
        }
        reaction.memories.push((raised_name(raised), Some(received.as_micros().to_string())));
        while let Some(oldest) = self.order.front() {
            let known = self.raised.get(oldest).copied().unwrap_or(received);
            if self.order.len() <= RAISED_MAX && later(received, known) < ANSWER_MICROS_MAX {
                break;
            }
            self.raised.remove(oldest);
            reaction.memories.push((raised_name(*oldest), None));
            self.order.pop_front();
        }
    }

    /// The first answer of a log whose exception did not come, when all that was received up to a moment was seen.
    pub(super) fn late(&mut self, log: LogId, moment: Timestamp, reaction: &mut Reaction) -> Option<Seen> {
        let (key, (_, first)) = self.waiting.range((log, 0)..=(log, u64::MAX)).next()?;
        if later(moment, first.received) < WAIT_MICROS {
            return None;
        }
        let key = *key;
        reaction.memories.push((waiting_name(key), None));
        self.waiting.remove(&key).map(|(_, seen)| seen)
    }

    /// Lets go of answers of logs that are not there any more.
    pub(super) fn forget(&mut self, is_there: impl Fn(LogId) -> bool, reaction: &mut Reaction) {
        self.waiting.retain(|key, _| {
            let stays = is_there(key.0);
            if !stays {
                reaction.memories.push((waiting_name(*key), None));
            }
            stays
        });
    }
}

/// An answer as it is kept while it waits: what is read of it, as it may be gone from the store when it counts.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    id: String,
    time: i64,
    received: i64,
    #[serde(default)]
    is_past: bool,
    fingerprint: Option<String>,
    level: Option<String>,
    user: Option<String>,
    /// What an issue is called that it opens.
    called: Option<(String, String)>,
    document: Value,
}

impl Kept {
    fn of(seen: &Seen) -> Self {
        Self {
            id: seen.id.clone(),
            time: seen.time.as_micros(),
            received: seen.received.as_micros(),
            is_past: seen.is_past,
            fingerprint: seen.fingerprint.clone(),
            level: seen.level.map(|level| level.name().to_owned()),
            user: seen.user.clone(),
            called: seen.group.as_ref().map(|group| (group.title.clone(), group.culprit.clone())),
            document: seen.document.clone(),
        }
    }

    fn seen(self, sequence: u64) -> Seen {
        let fingerprint = self.fingerprint.clone().unwrap_or_default();
        Seen {
            sequence,
            id: self.id,
            time: Timestamp::from_micros(self.time),
            received: Timestamp::from_micros(self.received),
            is_past: self.is_past,
            fingerprint: self.fingerprint,
            level: self.level.as_deref().and_then(Level::parse),
            user: self.user,
            group: self.called.map(|(title, culprit)| Group { fingerprint, title, culprit }),
            document: self.document,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use store::disk::RealDisk;

    use super::*;

    fn seen(sequence: u64, second: i64, document: Value) -> Seen {
        let received = Timestamp::from_micros(second * 1_000_000);
        Seen {
            sequence,
            id: sequence.to_string(),
            time: received,
            received,
            is_past: sequence == 1,
            fingerprint: Some("1-a".to_owned()),
            level: Some(Level::Error),
            user: None,
            group: None,
            document,
        }
    }

    /// Which events count, in the order in which they do. What is remembered is kept and read again after each step.
    #[track_caller]
    fn check(events: &[(i64, Value)], expected: &[u64]) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let catalog = Catalog::open(&folder.path().join("catalog"), disk).unwrap();
        let keep = |reaction: &Reaction| {
            catalog.react(reaction).unwrap();
            FailedRequests::read(&catalog).unwrap()
        };
        let (log, mut failed, mut counted) = (LogId(1), FailedRequests::default(), Vec::new());
        for (sequence, (second, document)) in (1..).zip(events) {
            let event = seen(sequence, *second, document.clone());
            let mut reaction = Reaction::default();
            while let Some(late) = failed.late(log, event.received, &mut reaction) {
                counted.push(late.sequence);
            }
            assert!(failed.late(LogId(2), event.received, &mut reaction).is_none());
            counted.extend(failed.admit(log, event, &mut reaction).map(|seen| seen.sequence));
            failed = keep(&reaction);
        }
        let mut reaction = Reaction::default();
        while let Some(late) = failed.late(log, Timestamp::from_micros(i64::MAX), &mut reaction) {
            counted.push(late.sequence);
        }
        failed = keep(&reaction);
        assert_eq!((counted.as_slice(), failed.waiting.len()), (expected, 0), "{events:?}");
    }

    #[test]
    fn an_answer_belongs_to_its_exception() {
        let raised =
            || json!({ "request_id": "request-1", "exception": { "type": "E", "message": "m" }, "status": 500 });
        let answer = || json!({ "request_id": "request-1", "status": 502 });
        let other = || json!({ "request_id": "request-2", "status": 500 });
        check(&[(0, raised()), (59, answer()), (59, other())], &[1, 3]);
        check(&[(0, raised()), (60, answer())], &[1, 2]);
        check(&[(0, answer()), (1, raised()), (2, answer())], &[2]);
        check(&[(0, answer()), (2, raised())], &[1, 2]);
        check(&[(0, answer()), (0, answer()), (1, other()), (1, raised())], &[4, 3]);
        // One exception after the other: each counts.
        check(&[(0, raised()), (1, raised()), (60, answer())], &[1, 2]);
        // No answer that failed, no id of a request, and what says itself what went wrong.
        for document in [
            json!({ "request_id": "request-1", "status": 404 }),
            json!({ "request_id": "request-1" }),
            json!({ "request_id": "1", "status": 500 }),
            json!({ "status": 500 }),
            json!({ "request_id": "request-1", "status": 500, "message": "m".repeat(WAITING_BYTES_MAX) }),
            json!({ "request_id": "request-1", "status": 500, "exception": { "message": "m" } }),
        ] {
            check(&[(0, document), (1, raised())], &[1, 2]);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (log, mut failed, mut reaction) = (LogId(1), FailedRequests::default(), Reaction::default());
        let id = |number: u64| format!("request-{number}");
        for number in 0..2 * WAITING_MAX as u64 {
            let answer = seen(number, 0, json!({ "request_id": id(number), "status": 500 }));
            let counts = failed.admit(log, answer, &mut reaction).is_some();
            assert_eq!(counts, number >= WAITING_MAX as u64, "{number}");
        }
        for number in 0..2 * RAISED_MAX as u64 {
            let raised = seen(number, 0, json!({ "request_id": id(number), "exception": { "type": "E" } }));
            assert!(failed.admit(log, raised, &mut reaction).is_some());
        }
        assert_eq!((failed.raised.len(), failed.order.len(), failed.waiting.len()), (RAISED_MAX, RAISED_MAX, 0));
        let late = seen(1, 60, json!({ "request_id": "request-x", "exception": { "type": "E" } }));
        failed.admit(log, late, &mut reaction);
        assert_eq!((failed.raised.len(), failed.order.len()), (1, 1));
    }
}
