//! Issues go as their events did: once the retention of their log has taken the last of them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use event::shared::FINGERPRINT;
use event::{Level, Timestamp, Value};
use issues::Issue;
use query::filter::{Filter, Scalar, Test};
use query::{Bounds, Order, Request};
use store::LogId;
use store::catalog::Reaction;

use super::Memory;
use super::fold::OVERFLOW;
use crate::problems::UNDO;
use crate::{AskError, Engine};

/// Issues that are looked at in one look, and how long that goes on: a notice of a crash must not wait for it. The others
/// are next.
const LOOKED_AT_MAX: usize = 100;
const TIME_MAX: Duration = Duration::from_millis(50);

/// How long the question for the events of one issue may take. One that takes longer stays.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(1);

/// The stream whose retention says how long issues stay.
const ERRORS: &str = "ERROR";

/// Up to which issue was looked at: its log, when it was seen last, and its number.
pub(super) type Reached = (LogId, Timestamp, u64);

impl Engine {
    /// Lets go of issues, after retention has let go of events.
    pub(super) fn let_issues_go(&self, memory: &mut Memory) -> Result<(), AskError> {
        if !self.reacting.retained.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let kept_for = |retention: &store::Retention| retention.get(ERRORS).or_else(|| retention.get("")).copied();
        let mut logs: Vec<(LogId, String, Duration)> = {
            let logs = self.logs.read();
            logs.all().filter_map(|log| Some((log.id, log.name.clone(), kept_for(&log.retention)?))).collect()
        };
        let reached = memory.leaving.take();
        logs.retain(|(log, ..)| reached.is_none_or(|(first, ..)| *log >= first));
        logs.sort_by_key(|(log, ..)| *log);
        let end = Instant::now() + TIME_MAX;
        for (log, name, kept) in logs {
            let kept = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
            let before = Timestamp::from_micros(self.clock.now().as_micros().saturating_sub(kept));
            let after = reached.filter(|(first, ..)| *first == log);
            let after = after.map_or((Timestamp::from_micros(i64::MIN), 0), |(_, time, number)| (time, number));
            let gone = self.let_issues_of_go(memory, log, (before, after), end)?;
            if gone > 0 {
                let message = format!("{gone} issues of {name} went after the last of their events");
                let fields = [("log", Value::Str(&name)), ("issues", Value::Int(gone.cast_signed()))];
                self.internal(Level::Info, "issues_removed", &message, &fields);
            }
            if memory.leaving.is_some() {
                self.reacting.retained.store(true, Ordering::Release);
                break;
            }
        }
        Ok(())
    }

    /// Lets go of issues of a log that were last seen before a moment. Returns how many went; where it stopped is remembered
    /// if that was before the last of them.
    fn let_issues_of_go(
        &self,
        memory: &mut Memory,
        log: LogId,
        (before, after): (Timestamp, (Timestamp, u64)),
        end: Instant,
    ) -> Result<u64, AskError> {
        let catalog = self.store.catalog();
        let rows = catalog.issues_seen_before(log, before, after, LOOKED_AT_MAX).map_err(query::QueryError::from)?;
        let is_full = rows.len() == LOOKED_AT_MAX;
        let mut reaction = Reaction::default();
        let mut gone = 0;
        let mut left = rows.len();
        for row in rows {
            left -= 1;
            let issue = serde_json::from_str::<Issue>(&row.body).ok();
            if let Some(issue) = issue.filter(|issue| !self.has_events(log, issue)) {
                gone += 1;
                for fingerprint in issue.fingerprints() {
                    memory.known.remove(&(log, fingerprint.to_owned()));
                    reaction.fingerprints.push((log, fingerprint.to_owned(), 0));
                }
                for number in catalog.issues_leading_to(row.id).map_err(query::QueryError::from)? {
                    memory.issues.remove(&number);
                    reaction.removed_issues.push(number);
                    reaction.memories.push((format!("{UNDO}{number}"), None));
                }
            }
            if (left > 0 && Instant::now() >= end) || (left == 0 && is_full) {
                memory.leaving = Some((log, row.last_seen, row.id));
                break;
            }
        }
        self.keep_reaction(memory, &mut reaction)?;
        Ok(gone)
    }

    /// Whether any event of an issue is kept, or may be. What is in the issue of all further errors has other fingerprints.
    fn has_events(&self, log: LogId, issue: &Issue) -> bool {
        let fingerprints: Vec<Scalar> =
            issue.fingerprints().filter(|fingerprint| *fingerprint != OVERFLOW).map(Scalar::from).collect();
        if fingerprints.is_empty() {
            return false;
        }
        let request = Request {
            filter: Filter::field(FINGERPRINT, Test::Equal(fingerprints)),
            order: Order::Sequence,
            offset: 0,
            limit: 1,
            cursor: None,
            after_sequence: 0,
            total: false,
        };
        let found = query::scan(&self.store.snapshot(log), &request, &Bounds::new(QUESTION_TIME_MAX));
        !found.is_ok_and(|page| page.rows.is_empty() && page.unreadable == 0)
    }
}
