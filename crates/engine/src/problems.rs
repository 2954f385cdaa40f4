//! Issues for whoever asks and decides: lists, one of them, what people say of it, together and apart.
//!
//! Every change is written down as an AUDIT event of the log, with who did it and why, before it is done.

mod occurrences;
mod report;
pub mod told;

use std::collections::BTreeMap;

use event::{Timestamp, Value as EventValue};
use issues::{Decision, Ignore, Issue, MergeError, Merged, Split, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::catalog::{IssueQuery, IssueRow, Reaction};
use store::{LogId, StoreError};
use thiserror::Error;

use crate::audit::Deed;
use crate::logs::LogError;
use crate::react::{Memory, issue_row};
use crate::{AskError, Engine, Grant, WriteError};

pub(crate) use occurrences::Before;
pub use occurrences::{Occurrences, TRAIL_MAX};

/// Issues on one page at the most.
pub const ISSUES_MAX: usize = 1000;

/// Longest reason, assignee and release, in bytes.
const TEXT_BYTES_MAX: usize = 1000;

/// Merges and splits of one issue that can be undone, the last first.
const UNDO_MAX: usize = 20;

/// What the memories of it are called.
pub(crate) const UNDO: &str = "undo/";

/// What a list of issues is asked for.
#[derive(Clone, Debug, Default)]
pub struct IssuesAsked {
    /// Only those in one of these states.
    pub states: Vec<String>,
    /// Only those of this level or above.
    pub level_min: Option<event::Level>,
    /// Only those last seen at this moment or later.
    pub since: Option<Timestamp>,
    /// Only those whose title or culprit holds this text.
    pub text: Option<String>,
    /// How many to leave out, and how many there may be.
    pub page: (usize, usize),
}

/// What somebody decided about an issue. What is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueChange {
    /// `open`, `resolved` or `ignored`.
    pub state: Option<String>,
    /// With `resolved`: the release in which it does not happen any more, or `next`.
    pub in_release: Option<String>,
    /// With `ignored`: for so many more occurrences.
    pub times: Option<u64>,
    /// With `ignored`: until this moment.
    pub until: Option<String>,
    /// Who looks after it; an empty text for nobody.
    pub assignee: Option<String>,
    /// Why.
    pub why: Option<String>,
}

/// Why an issue cannot be shown or changed.
#[derive(Debug, Error)]
pub enum IssueError {
    /// There is none of that number.
    #[error("there is no issue {id:?}: GET /api/v1/logs/LOG/issues lists those of a log")]
    Unknown {
        /// As asked.
        id: String,
    },
    /// Something that cannot be done with it.
    #[error("{0}")]
    Refused(String),
    /// A merge or a split that cannot be.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The log is not known.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The change could not be written down.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It cannot be asked.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The catalog refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What can be undone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Undo {
    Merge(Box<Merged>),
    Split { apart: String, split: Split },
}

/// What somebody decided, for the AUDIT event and for the issue.
struct Decided<'d> {
    event: &'d str,
    /// The event in words, without why.
    message: &'d str,
    what: &'d str,
    why: &'d str,
    by: &'d Grant,
}

/// An issue, as the catalog has it.
struct Found {
    log: LogId,
    id: u64,
    issue: Issue,
}

impl Engine {
    /// Issues of a log, those seen last first, and how many pass in all.
    ///
    /// # Errors
    /// When the log is not known, or the catalog refuses.
    pub fn issues(&self, log: &str, asked: &IssuesAsked) -> Result<(Vec<Value>, u64), IssueError> {
        let id = self.log(log)?;
        self.catch_up();
        let states: Vec<&str> = asked.states.iter().map(String::as_str).collect();
        let (offset, limit) = asked.page;
        let query = IssueQuery {
            states: &states,
            level_min: asked.level_min.map_or(0, event::Level::severity_number),
            since: asked.since,
            text: asked.text.as_deref(),
            page: (offset, limit.min(ISSUES_MAX)),
        };
        let (rows, total) = self.store.catalog().issues(id, &query)?;
        let shown = rows.iter().filter_map(|row| Some(shown(log, &read(row)?.issue)));
        Ok((shown.collect(), total))
    }

    /// How many issues of a log are in each state.
    ///
    /// # Errors
    /// As [`Engine::issues`].
    pub fn issue_counts(&self, log: &str) -> Result<BTreeMap<&'static str, u64>, IssueError> {
        let id = self.log(log)?;
        let mut counts = BTreeMap::new();
        for state in ["open", "regressed", "resolved", "ignored"] {
            let query = IssueQuery { states: &[state], page: (0, 0), ..IssueQuery::default() };
            counts.insert(state, self.store.catalog().issues(id, &query)?.1);
        }
        Ok(counts)
    }

    /// The log of an issue, by which is known who may see it.
    ///
    /// # Errors
    /// When there is no such issue.
    pub fn issue_log(&self, id: &str) -> Result<String, IssueError> {
        self.catch_up();
        let found = self.found(id)?;
        self.log_numbers().remove(&found.log).ok_or_else(|| IssueError::Unknown { id: id.to_owned() })
    }

    /// An issue, with its hours.
    ///
    /// # Errors
    /// When there is no such issue.
    pub fn issue(&self, id: &str) -> Result<Value, IssueError> {
        let found = self.found(id)?;
        let mut issue = shown(&self.issue_log(id)?, &found.issue);
        let counts = found.issue.counts();
        let hours = counts.by_hour().map(|(hour, count)| json!({ "hour": hour.to_string(), "occurrences": count }));
        issue["hours"] = hours.collect();
        let days = counts.by_day().map(|(day, count)| json!({ "day": day.to_string(), "occurrences": count }));
        issue["days"] = days.collect();
        issue["releases_seen"] = readable(&found.issue.releases().seen);
        issue["environments_seen"] = readable(&found.issue.environments().seen);
        let undo = self.undo_list(found.id)?;
        issue["can_undo"] = undo.last().map_or(Value::Null, |undo| match undo {
            Undo::Merge(merged) => format!("merge with {}", merged.gone_id()).into(),
            Undo::Split { apart, .. } => format!("split of {apart}").into(),
        });
        Ok(issue)
    }

    /// The deploys of a log, newest first.
    ///
    /// # Errors
    /// When the log is not known.
    pub fn deploys(&self, log: &str) -> Result<Vec<Value>, IssueError> {
        let id = self.log(log)?;
        self.catch_up();
        let mut held = self.reacting.memory.lock();
        let memory = self.remembered(&mut held)?;
        let releases = memory.releases.get(&id);
        let deploys = releases.into_iter().flat_map(|releases| releases.deploys().rev());
        Ok(deploys.map(readable).collect())
    }

    fn found(&self, id: &str) -> Result<Found, IssueError> {
        let unknown = || IssueError::Unknown { id: id.to_owned() };
        let mut number: u64 = id.parse().map_err(|_| unknown())?;
        // One that was merged leads on; a chain of them is short.
        for _ in 0..32 {
            let row = self.store.catalog().issue(number)?.ok_or_else(unknown)?;
            if row.state != MERGED {
                return read(&row).ok_or_else(unknown);
            }
            number = serde_json::from_str::<Value>(&row.body)
                .ok()
                .and_then(|body| body["merged_into"].as_u64())
                .ok_or_else(unknown)?;
        }
        Err(unknown())
    }

    /// Changes an issue while nothing else does: what the store holds of it was looked at before.
    fn change<T>(
        &self,
        id: &str,
        decided: &Decided<'_>,
        change: impl FnOnce(&mut Memory, &mut Found, &mut Reaction) -> Result<T, IssueError>,
    ) -> Result<T, IssueError> {
        let log = self.issue_log(id)?;
        let Decided { event, message, what, why, by } = *decided;
        let message = format!("{message}{}", because(why));
        self.audit(&log, &Deed { event, by, message: &message, fields: &[("issue", EventValue::Str(id))] })?;
        let mut held = self.reacting.memory.lock();
        let memory = self.remembered(&mut held)?;
        let mut found = self.found(id)?;
        let mut reaction = Reaction::default();
        let done = change(memory, &mut found, &mut reaction)?;
        // What is kept here is kept as in the event.
        let kept = |text: &str| self.redacted(found.log, text);
        found.issue.decision =
            Some(Decision { what: kept(what), by: kept(&by.person()), why: kept(why), at: self.clock.now() });
        reaction.issues.push(issue_row(found.log, found.id, &found.issue));
        // Read anew by the next look, whatever becomes of this.
        memory.issues.clear();
        memory.known.clear();
        self.keep_reaction(memory, &mut reaction)?;
        Ok(done)
    }

    /// Does what somebody decided about an issue.
    ///
    /// # Errors
    /// When it cannot be decided so, or the decision cannot be written down. Nothing is changed then.
    pub fn change_issue(&self, id: &str, change: &IssueChange, by: &Grant) -> Result<Value, IssueError> {
        let wish = Wish::of(change)?;
        let what = wish.says(change);
        let (message, why) = (format!("issue {id}: {what}"), change.why.as_deref().unwrap_or(""));
        let now = self.clock.now();
        let decided = Decided { event: "issue_changed", message: &message, what: &what, why, by };
        self.change(id, &decided, |memory, found, _| {
            let releases = memory.releases.entry(found.log).or_default();
            let issue = &mut found.issue;
            match wish {
                Wish::Nothing => {}
                Wish::Open => issue.reopen(),
                Wish::Resolve(None) => issue.resolve_now(now, releases),
                Wish::Resolve(Some("next")) => issue.resolve_in_next(releases),
                Wish::Resolve(Some(release)) => issue.resolve_in(release),
                Wish::Ignore(None, None) => issue.ignore(Ignore::ForEver),
                Wish::Ignore(Some(times), _) => issue.ignore_times(times),
                Wish::Ignore(None, Some(time)) => issue.ignore(Ignore::Until { time }),
            }
            if let Some(assignee) = &change.assignee {
                issue.assignee = Some(assignee.clone()).filter(|name| !name.is_empty());
            }
            Ok(())
        })?;
        self.issue(id)
    }

    /// Makes one issue of two: what the other counted is counted here.
    ///
    /// # Errors
    /// When there is no such issue, it is of another log, or they would have too many fingerprints.
    pub fn merge_issues(&self, id: &str, other: &str, why: &str, by: &Grant) -> Result<Value, IssueError> {
        check_text("why", why)?;
        let gone = self.found(other)?;
        if gone.id == self.found(id)?.id {
            return Err(IssueError::Refused(format!("{id} and {other} are one issue already")));
        }
        if gone.log != self.found(id)?.log {
            return Err(IssueError::Refused(format!("{id} and {other} are of two logs: an issue is of one")));
        }
        // Tried on a copy: what cannot be does not stand among what was done.
        self.found(id)?.issue.merge(&gone.issue)?;
        let (message, what) = (format!("issue {other} was merged into {id}"), format!("merged with {other}"));
        let decided = Decided { event: "issues_merged", message: &message, what: &what, why, by };
        self.change(id, &decided, |_, found, reaction| {
            let gone = self.found(other)?;
            let merged = found.issue.merge(&gone.issue)?;
            for fingerprint in gone.issue.fingerprints() {
                reaction.fingerprints.push((found.log, fingerprint.to_owned(), found.id));
            }
            reaction.issues.push(IssueRow {
                id: gone.id,
                log: gone.log,
                state: MERGED.to_owned(),
                level: 0,
                last_seen: Timestamp::from_micros(0),
                body: json!({ "merged_into": found.id }).to_string(),
            });
            self.push_undo(found.id, Undo::Merge(Box::new(merged)), reaction)
        })?;
        self.issue(id)
    }

    /// Makes an issue of its own of some fingerprints of an issue.
    ///
    /// # Errors
    /// When there is no such issue, or nothing would stay or go.
    pub fn split_issue(&self, id: &str, fingerprints: &[String], why: &str, by: &Grant) -> Result<Value, IssueError> {
        check_text("why", why)?;
        self.found(id)?.issue.split(fingerprints, id)?;
        let message = format!("{} fingerprints of issue {id} became an issue of their own", fingerprints.len());
        let decided = Decided { event: "issue_split", message: &message, what: "split", why, by };
        let apart = self.change(id, &decided, |memory, found, reaction| {
            memory.last_issue += 1;
            let number = memory.last_issue;
            let (apart, split) = found.issue.split(fingerprints, number.to_string())?;
            for fingerprint in apart.fingerprints() {
                reaction.fingerprints.push((found.log, fingerprint.to_owned(), number));
            }
            reaction.issues.push(issue_row(found.log, number, &apart));
            self.push_undo(found.id, Undo::Split { apart: number.to_string(), split }, reaction)?;
            Ok(number.to_string())
        })?;
        self.issue(&apart)
    }

    /// Undoes the last merge or split of an issue.
    ///
    /// # Errors
    /// When there is none, or what it made has changed too much since.
    pub fn undo_issue(&self, id: &str, why: &str, by: &Grant) -> Result<Value, IssueError> {
        check_text("why", why)?;
        let nothing = || IssueError::Refused(format!("no merge or split of issue {id} can be undone"));
        if self.undo_list(self.found(id)?.id)?.is_empty() {
            return Err(nothing());
        }
        let message = format!("the last merge or split of issue {id} was undone");
        let what = "last merge or split undone";
        let decided = Decided { event: "issue_undone", message: &message, what, why, by };
        self.change(id, &decided, |_, found, reaction| {
            let mut list = self.undo_list(found.id)?;
            match list.pop().ok_or_else(nothing)? {
                Undo::Merge(merged) => {
                    let back = found.issue.undo_merge(&merged)?;
                    let number: u64 = back.id.parse().map_err(|_| nothing())?;
                    for fingerprint in back.fingerprints() {
                        reaction.fingerprints.push((found.log, fingerprint.to_owned(), number));
                    }
                    reaction.issues.push(issue_row(found.log, number, &back));
                }
                Undo::Split { apart, split } => {
                    let gone = self.found(&apart)?;
                    let is_itself = gone.id.to_string() == apart && gone.log == found.log;
                    if !is_itself || !self.undo_list(gone.id)?.is_empty() {
                        return Err(IssueError::Refused(format!(
                            "issue {apart} was merged or split since: undo that first"
                        )));
                    }
                    found.issue.undo_split(&gone.issue, &split)?;
                    for fingerprint in gone.issue.fingerprints() {
                        reaction.fingerprints.push((found.log, fingerprint.to_owned(), found.id));
                    }
                    reaction.removed_issues.push(gone.id);
                }
            }
            let body = serde_json::to_string(&list).ok().filter(|_| !list.is_empty());
            reaction.memories.push((format!("{UNDO}{}", found.id), body));
            Ok(())
        })?;
        self.issue(id)
    }

    fn undo_list(&self, id: u64) -> Result<Vec<Undo>, IssueError> {
        let name = format!("{UNDO}{id}");
        let rows = self.store.catalog().memories(&name)?;
        let row = rows.into_iter().find(|(known, _)| *known == name);
        let mut list: Vec<Undo> = row.and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default();
        // What went apart and is gone since, with its events, cannot come back.
        let is_there = |undo: &Undo| match undo {
            Undo::Merge(_) => Ok(true),
            Undo::Split { apart, .. } => Ok(self.store.catalog().issue(apart.parse().unwrap_or(0))?.is_some()),
        };
        let there = list.iter().map(is_there).collect::<Result<Vec<bool>, StoreError>>()?;
        let mut there = there.into_iter();
        list.retain(|_| there.next().unwrap_or(false));
        Ok(list)
    }

    fn push_undo(&self, id: u64, undo: Undo, reaction: &mut Reaction) -> Result<(), IssueError> {
        let mut list = self.undo_list(id)?;
        list.push(undo);
        if list.len() > UNDO_MAX {
            list.remove(0);
        }
        reaction.memories.push((format!("{UNDO}{id}"), serde_json::to_string(&list).ok()));
        Ok(())
    }
}

/// The state of a row whose issue went into another.
const MERGED: &str = "merged";

fn read(row: &IssueRow) -> Option<Found> {
    Some(Found { log: row.log, id: row.id, issue: serde_json::from_str(&row.body).ok()? })
}

/// What is to become of it.
enum Wish<'c> {
    Nothing,
    Open,
    Resolve(Option<&'c str>),
    Ignore(Option<u64>, Option<Timestamp>),
}

impl<'c> Wish<'c> {
    fn of(change: &'c IssueChange) -> Result<Self, IssueError> {
        for (name, text) in [("why", &change.why), ("assignee", &change.assignee), ("in_release", &change.in_release)] {
            check_text(name, text.as_deref().unwrap_or(""))?;
        }
        let refused = |what: &str| Err(IssueError::Refused(what.to_owned()));
        let state = change.state.as_deref();
        if change.in_release.is_some() && state != Some("resolved") {
            return refused("in_release goes with \"state\": \"resolved\"");
        }
        if (change.times.is_some() || change.until.is_some()) && state != Some("ignored") {
            return refused("times and until go with \"state\": \"ignored\"");
        }
        if change.times.is_some() && change.until.is_some() {
            return refused("an issue is ignored for a number of times or until a moment: name one of times and until");
        }
        if change.in_release.as_deref().is_some_and(|release| release.trim().is_empty()) {
            return refused("in_release is empty: name a release or `next`, or leave it out for now");
        }
        if change.times == Some(0) {
            return refused("times is 0, and must be 1 or more: \"state\": \"open\" ends that an issue is ignored");
        }
        match state {
            None if change.assignee.is_none() => {
                refused("nothing to change: name state (open, resolved, ignored) or assignee")
            }
            None => Ok(Self::Nothing),
            Some("open") => Ok(Self::Open),
            Some("resolved") => Ok(Self::Resolve(change.in_release.as_deref())),
            Some("ignored") => {
                let until = change.until.as_deref().map(|text| {
                    Timestamp::parse(text).map(|(time, _)| time).ok_or_else(|| {
                        IssueError::Refused(format!("until is a moment such as 2026-12-01T08:00:00Z, found {text:?}"))
                    })
                });
                Ok(Self::Ignore(change.times, until.transpose()?))
            }
            Some(other) => {
                refused(&format!("state is open, resolved or ignored, found {other:?}; regressed comes by itself"))
            }
        }
    }

    fn says(&self, change: &IssueChange) -> String {
        let mut said = match self {
            Self::Nothing => String::new(),
            Self::Open => "opened again".to_owned(),
            Self::Resolve(None) => "resolved".to_owned(),
            Self::Resolve(Some("next")) => "resolved in the next release".to_owned(),
            Self::Resolve(Some(release)) => format!("resolved in {release}"),
            Self::Ignore(None, None) => "ignored for ever".to_owned(),
            Self::Ignore(Some(times), _) => format!("ignored for {times} more occurrences"),
            Self::Ignore(None, Some(until)) => format!("{}{until}", told::UNTIL),
        };
        if let Some(assignee) = &change.assignee {
            let assigned =
                if assignee.is_empty() { "assigned to nobody".to_owned() } else { format!("assigned to {assignee}") };
            said = if said.is_empty() { assigned } else { format!("{said}, {assigned}") };
        }
        said
    }
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

fn check_text(name: &str, text: &str) -> Result<(), IssueError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(IssueError::Refused(format!("{name} has {} bytes; at most {TEXT_BYTES_MAX} are kept", text.len())));
    }
    Ok(())
}

/// What is kept, with its moments as people read them: kept they are whole microseconds.
fn readable(kept: impl Serialize) -> Value {
    fn moments(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    match member.as_i64().filter(|_| matches!(key.as_str(), "time" | "first" | "last" | "at")) {
                        Some(micros) => *member = Timestamp::from_micros(micros).to_string().into(),
                        None => moments(member),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(moments),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(kept).unwrap_or_default();
    moments(&mut value);
    value
}

/// An issue as it is shown.
fn shown(log: &str, issue: &Issue) -> Value {
    let users = issue.users();
    let names = |names: &issues::Names| {
        let mut list: Vec<_> = names.seen.iter().collect();
        list.sort_by_key(|(_, seen)| seen.first);
        list.into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    json!({
        "id": issue.id,
        "log": log,
        "title": issue.title(),
        "culprit": issue.culprit(),
        "level": issue.level().name(),
        "state": issue.state,
        "occurrences": issue.occurrences(),
        "users": users.users,
        "users_are_exact": users.is_exact,
        "first_seen": issue.first().map(|(time, _)| time.to_string()),
        "last_seen": issue.last().map(|(time, _)| time.to_string()),
        "first_event": issue.first().map(|(_, id)| id),
        "last_event": issue.last().map(|(_, id)| id),
        "releases": names(&issue.releases()),
        "environments": names(&issue.environments()),
        "fingerprint": issue.fingerprints().next(),
        "fingerprints": issue.fingerprints().collect::<Vec<_>>(),
        "assignee": issue.assignee,
        "resolution": readable(&issue.resolution),
        "ignore": readable(issue.ignore.as_ref().filter(|_| issue.state == State::Ignored)),
        "decision": readable(&issue.decision),
        "suspect_deploy": issue.suspect.as_ref().map(|deploy| &deploy.release),
        "deploy": readable(&issue.suspect),
    })
}
