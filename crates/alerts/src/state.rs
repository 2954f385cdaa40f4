//! The states of a rule and one of its groups, and the steps between them.
//!
//! What lasts (a count above its limit, a silence) goes quiet → pending → firing → resolved → quiet. What happens at a
//! moment (a new issue) has no phases, and only passes the window in which nothing is told twice. A step never forgets:
//! whatever is not told is handed on as held, with the reason and the moment at which it is to be told after all.

use std::time::Duration;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::moment::{self, after, elapsed};
use crate::rule::Rule;

/// Most groups of one rule whose states are worth keeping. Beyond it nobody reads them one by one: the caller takes all
/// others as one group.
pub const GROUPS_MAX: usize = 1000;

/// Where a rule and group stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing to say.
    #[default]
    Quiet,
    /// It is so, but not for long enough.
    Pending,
    /// It is so.
    Firing,
    /// It was so, and is over.
    Resolved,
}

impl Phase {
    /// Whether a step may lead from here to there.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Quiet => next != Self::Resolved,
            Self::Pending => matches!(next, Self::Quiet | Self::Pending | Self::Firing),
            Self::Firing => matches!(next, Self::Firing | Self::Resolved),
            Self::Resolved => true,
        }
    }
}

/// What is remembered of a rule and group. Small, and kept as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    #[serde(with = "moment::kept_or_null")]
    pub since: Option<Timestamp>,
    /// While firing: since when it has been over without a break.
    #[serde(with = "moment::kept_or_null")]
    pub calm_since: Option<Timestamp>,
    /// When somebody was last told that it began, or happened.
    #[serde(with = "moment::kept_or_null")]
    pub told: Option<Timestamp>,
    /// While firing: until when the notice that it began is held, if it was not told.
    #[serde(with = "moment::kept_or_null")]
    pub held_until: Option<Timestamp>,
    /// Notices held back since one was told.
    pub held: u64,
    /// The value that was last measured.
    pub value: Option<f64>,
}

/// What a step is made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measurement {
    /// It happened, so many times. Of rules on what happens at a moment.
    Happened(u64),
    /// A value, to be compared with the limit of the rule.
    Value(f64),
    /// Whether it is so: a detector has judged it.
    Judged(bool),
}

/// What there is to say after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It happened.
    Happened,
    /// It began.
    Fired,
    /// It is over.
    Resolved,
}

/// Why a notice is not told at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The same was told a short time ago.
    Window,
    /// Somebody asked for silence.
    Snooze,
    /// It is night.
    QuietHours,
    /// The channel has had enough this hour.
    HourlyCap,
    /// It is for reading, not for acting on.
    NotUrgent,
    /// It happened long before it was told.
    Past,
}

impl Reason {
    /// In a few words.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::Window => "told a short time before",
            Self::Snooze => "snoozed",
            Self::QuietHours => "quiet hours",
            Self::HourlyCap => "too many in an hour",
            Self::NotUrgent => "not urgent",
            Self::Past => "of the past",
        }
    }
}

/// A notice that is held back, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: Reason,
    /// When it is to be told, with others, in a digest.
    pub until: Timestamp,
}

/// What is worth a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What there is to say.
    pub what: What,
    /// Whether it is held back by its rule. The channel may hold it back too.
    pub hold: Option<Hold>,
    /// How many notices of this rule and group were held back since one was told.
    pub held: u64,
}

/// One step of a rule and group. Nothing but its arguments decides; time that runs backwards is taken as standing still.
#[must_use]
pub fn step(rule: &Rule, state: &State, measurement: Measurement, now: Timestamp) -> (State, Option<Change>) {
    let mut next = state.clone();
    let is_so = match measurement {
        Measurement::Happened(0) => return (next, None),
        Measurement::Happened(count) => return happened(rule, next, count, now),
        Measurement::Value(value) => {
            next.value = value.is_finite().then_some(value);
            rule.limit.is_some_and(|limit| limit.is_met(value))
        }
        Measurement::Judged(is_so) => is_so,
    };
    let change = match (next.phase, is_so && rule.enabled) {
        (Phase::Quiet | Phase::Resolved, true) => begin(rule, &mut next, now),
        (Phase::Pending, true) => lasts(rule, &mut next, now),
        (Phase::Firing, true) => {
            next.calm_since = None;
            None
        }
        (Phase::Quiet, false) => None,
        (Phase::Pending, false) => {
            next.enter(Phase::Quiet, now);
            None
        }
        (Phase::Firing, false) => ends(rule, &mut next, now),
        (Phase::Resolved, false) => {
            if next.since.is_none_or(|since| elapsed(since, now) >= rule.repeat) {
                next.enter(Phase::Quiet, now);
            }
            None
        }
    };
    (next, change)
}

impl State {
    fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.since = Some(now);
        self.calm_since = None;
    }

    /// Tells it, or says until when it is held.
    fn tell(&mut self, rule: &Rule, what: What, now: Timestamp) -> Change {
        let hold = self.hold(rule, what, now);
        if hold.is_some() {
            self.held = self.held.saturating_add(1);
            return Change { what, hold, held: 0 };
        }
        if what != What::Resolved {
            self.told = Some(now);
        }
        Change { what, hold, held: std::mem::take(&mut self.held) }
    }

    fn hold(&self, rule: &Rule, what: What, now: Timestamp) -> Option<Hold> {
        if let Some(until) = rule.snooze.filter(|until| *until > now) {
            return Some(Hold { reason: Reason::Snooze, until });
        }
        let window_end =
            self.told.map(|told| after(told, rule.repeat)).filter(|end| *end > now && !rule.repeat.is_zero());
        if what == What::Resolved {
            // Who was told that it began wants to know that it is over; who was not reads both together.
            let until = self.held_until?.max(now);
            return Some(Hold { reason: Reason::NotUrgent, until });
        }
        window_end.map(|until| Hold { reason: Reason::Window, until })
    }

    /// Whether nothing is lost if it is forgotten: it is quiet, and what comes next would be told anyway.
    #[must_use]
    pub fn may_be_forgotten(&self, rule: &Rule, now: Timestamp) -> bool {
        let past = self.told.is_none_or(|told| elapsed(told, now) >= rule.repeat);
        self.phase == Phase::Quiet && self.held == 0 && past
    }
}

fn happened(rule: &Rule, mut state: State, count: u64, now: Timestamp) -> (State, Option<Change>) {
    if !rule.enabled {
        return (state, None);
    }
    let mut change = state.tell(rule, What::Happened, now);
    // All but one of what came together was not told by itself.
    match change.hold {
        Some(_) => state.held = state.held.saturating_add(count - 1),
        None => change.held = change.held.saturating_add(count - 1),
    }
    (state, Some(change))
}

fn begin(rule: &Rule, state: &mut State, now: Timestamp) -> Option<Change> {
    if rule.pending > Duration::ZERO {
        state.enter(Phase::Pending, now);
        return None;
    }
    Some(fire(rule, state, now))
}

fn lasts(rule: &Rule, state: &mut State, now: Timestamp) -> Option<Change> {
    let long_enough = state.since.is_none_or(|since| elapsed(since, now) >= rule.pending);
    long_enough.then(|| fire(rule, state, now))
}

fn fire(rule: &Rule, state: &mut State, now: Timestamp) -> Change {
    state.enter(Phase::Firing, now);
    let change = state.tell(rule, What::Fired, now);
    state.held_until = change.hold.map(|hold| hold.until);
    change
}

fn ends(rule: &Rule, state: &mut State, now: Timestamp) -> Option<Change> {
    let calm_since = *state.calm_since.get_or_insert(now);
    if elapsed(calm_since, now) < rule.calm() {
        return None;
    }
    state.enter(Phase::Resolved, now);
    let change = state.tell(rule, What::Resolved, now);
    state.held_until = None;
    Some(change)
}
