//! From something that happened to the people who are told: rules, states, channels, and what each of them holds back.

use std::collections::{BTreeMap, HashMap};

use alerts::{Admission, Channel, Hold, Limits, Measurement, Notice, Outflow, Phase, Rule, State, What, route, step};
use event::Timestamp;
use serde_json::{Value, json};
use store::catalog::{DeliveryRow, NoticeRow, Reaction};

use super::passing::PassedError;

/// Rules and groups that are remembered: those that were told longest ago are forgotten first.
const STATES_MAX: usize = 20_000;

/// The state of a delivery that went in a digest.
const DIGESTED: &str = "digest";

/// What the memories of this part are called.
pub(super) const DEFINITION: &str = "definition/";
pub(super) const STATE: &str = "state/";
pub(super) const OUTFLOW: &str = "outflow/";

/// Something that a rule may listen to.
#[derive(Debug)]
pub(super) struct Happened {
    /// All but the rule and the id.
    pub(super) notice: Notice,
    /// What it is about: an issue, a source. A rule remembers each by itself.
    pub(super) group: String,
    /// What is measured.
    pub(super) measurement: Measurement,
    /// What makes it another happening than the one before.
    pub(super) moment: String,
    /// Whether it may wait, whatever rules say.
    pub(super) hold: Option<Hold>,
}

/// Who is told what: the rules, the channels, and what is remembered of both.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) rules: Vec<Rule>,
    pub(super) channels: Vec<Channel>,
    pub(super) states: HashMap<String, State>,
    pub(super) outflows: HashMap<String, Outflow>,
    /// What each rule said when its states began.
    pub(super) definitions: BTreeMap<String, String>,
    /// The last number of a notice and of a delivery.
    pub(super) last_notice: u64,
    pub(super) last_delivery: u64,
}

impl Calls {
    /// Passes what happened by one rule.
    pub(super) fn call(&mut self, rule: &Rule, happened: &Happened, now: Timestamp, reaction: &mut Reaction) {
        let key = format!("{}\n{}", rule.name, happened.group);
        let before = self.states.get(&key).cloned().unwrap_or_default();
        let (state, change) = step(rule, &before, happened.measurement, now);
        if state != before {
            self.remember(key, state, reaction);
        }
        let Some(change) = change else { return };
        let mut notice = happened.notice.clone();
        notice.rule.clone_from(&rule.name);
        // A configuration error knows already how many were held of it.
        notice.held = notice.held.saturating_add(change.held);
        notice.resolved = change.what == What::Resolved;
        let said = if notice.resolved { "resolved" } else { "told" };
        notice.id = alerts::notice_id(&[&rule.name, &happened.group, &happened.moment, said]);
        let hold = change.hold.or(happened.hold);
        self.tell(notice, (Some(rule), hold), now, reaction);
    }

    fn remember(&mut self, key: String, state: State, reaction: &mut Reaction) {
        let name = format!("{STATE}{key}");
        if state == State::default() {
            self.states.remove(&key);
            reaction.memories.push((name, None));
            return;
        }
        if self.states.len() >= STATES_MAX && !self.states.contains_key(&key) {
            let oldest = self
                .states
                .iter()
                .min_by_key(|(_, state)| (state.phase == Phase::Firing, state.told))
                .map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.states.remove(&oldest);
                reaction.memories.push((format!("{STATE}{oldest}"), None));
            }
        }
        reaction.memories.push((name, serde_json::to_string(&state).ok()));
        self.states.insert(key, state);
    }

    /// Drops the states of rules that are gone, or look at something else than when their states began: nothing is over of
    /// what nobody looks at any more. Returns what is to be kept of it.
    pub(super) fn settle(&mut self) -> Vec<(String, Option<String>)> {
        let now: BTreeMap<String, String> =
            self.rules.iter().map(|rule| (rule.name.clone(), rule.definition())).collect();
        let before = std::mem::replace(&mut self.definitions, now);
        let now = &self.definitions;
        let is_other = |name: &str| match (before.get(name), now.get(name)) {
            (Some(before), Some(now)) => before != now,
            (_, now) => now.is_none(),
        };
        let dropped: Vec<String> = self
            .states
            .keys()
            .filter(|key| key.split_once('\n').is_some_and(|(name, _)| is_other(name)))
            .cloned()
            .collect();
        for key in &dropped {
            self.states.remove(key);
        }
        let gone = before.keys().filter(|name| !now.contains_key(*name)).map(|name| (name, None));
        let new = now.iter().filter(|(name, text)| before.get(*name) != Some(*text));
        let definitions = gone.chain(new.map(|(name, text)| (name, Some(text.clone()))));
        let mut memories: Vec<_> = definitions.map(|(name, text)| (format!("{DEFINITION}{name}"), text)).collect();
        memories.extend(dropped.into_iter().map(|key| (format!("{STATE}{key}"), None)));
        memories
    }

    /// Keeps a notice, and sends it on its way to the channels it is for.
    pub(super) fn tell(
        &mut self,
        notice: Notice,
        (rule, hold): (Option<&Rule>, Option<Hold>),
        now: Timestamp,
        reaction: &mut Reaction,
    ) {
        let notice = notice.bounded();
        let to: Vec<String> = route(&notice, rule.map_or(&[], std::slice::from_ref), &self.channels);
        let number = self.keep(&notice, reaction);
        for name in to {
            let Some(channel) = self.channels.iter().find(|channel| channel.name == name) else { continue };
            let outflow = self.outflows.entry(name.clone()).or_default();
            let admission = outflow.offer(&notice, &Limits::of(rule, channel, hold), now);
            let kept = serde_json::to_string(outflow).ok();
            reaction.memories.push((format!("{OUTFLOW}{name}"), kept));
            match admission {
                Admission::Send => self.deliver(number, &name, now, reaction),
                Admission::Held(reason) => {
                    let body = json!({ "reason": reason.says(), "line": alerts::line_key(&notice, reason) });
                    self.delivery((number, &name), ("held", now), &body, reaction);
                }
            }
        }
    }

    /// Keeps a notice.
    pub(super) fn keep(&mut self, notice: &Notice, reaction: &mut Reaction) -> u64 {
        self.last_notice += 1;
        let body = serde_json::to_string(notice).unwrap_or_default();
        reaction.notices.push(NoticeRow { id: self.last_notice, time: notice.time, body });
        self.last_notice
    }

    /// Sends a notice on its way to a channel.
    pub(super) fn deliver(&mut self, notice: u64, channel: &str, now: Timestamp, reaction: &mut Reaction) {
        let body = json!({ "attempts": 0, "since": now.to_string() });
        self.delivery((notice, channel), ("waiting", now), &body, reaction);
    }

    /// Sends an error itself on its way to a channel. It stays in the store, and is read from there when it is sent.
    pub(super) fn pass_on(&mut self, error: &PassedError, channel: &str, now: Timestamp, reaction: &mut Reaction) {
        let body = json!({ "attempts": 0, "since": now.to_string(), "error": error });
        self.delivery((0, channel), ("waiting", now), &body, reaction);
    }

    fn delivery(
        &mut self,
        (notice, channel): (u64, &str),
        (state, due): (&str, Timestamp),
        body: &Value,
        reaction: &mut Reaction,
    ) {
        self.last_delivery += 1;
        reaction.deliveries.push(DeliveryRow {
            id: self.last_delivery,
            notice,
            channel: channel.to_owned(),
            state: state.to_owned(),
            due,
            body: body.to_string(),
        });
    }

    /// Sends the digests that are due. Returns the channels with the number of each.
    pub(super) fn digests(
        &mut self,
        now: Timestamp,
        link: impl Fn() -> Option<String>,
        reaction: &mut Reaction,
    ) -> Vec<(String, u64)> {
        let mut sent = Vec::new();
        for channel in self.channels.clone() {
            let name = channel.name.clone();
            let Some(outflow) = self.outflows.get_mut(&name) else { continue };
            let Some(mut digest) = outflow.due(&channel, now) else { continue };
            reaction.memories.push((format!("{OUTFLOW}{name}"), serde_json::to_string(outflow).ok()));
            digest.link = digest.link.or_else(&link);
            let number = self.keep(&digest, reaction);
            self.deliver(number, &name, now, reaction);
            sent.push((name, number));
        }
        sent
    }

    /// Says of what was held for a channel that it is in its digest: of `held`, which are kept, and of those of this reaction.
    pub(super) fn note_digest(
        &self,
        (channel, digest): (&str, u64),
        held: Vec<DeliveryRow>,
        now: Timestamp,
        reaction: &mut Reaction,
    ) {
        let Some(outflow) = self.outflows.get(channel) else { return };
        let is_told = |row: &DeliveryRow| {
            let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
            row.state == "held"
                && row.channel == channel
                && !body["line"].as_str().is_some_and(|key| outflow.is_held(key))
        };
        let tell = |row: &mut DeliveryRow| {
            DIGESTED.clone_into(&mut row.state);
            row.due = now;
            row.body = json!({ "reason": format!("in digest {digest}"), "digest": digest }).to_string();
        };
        reaction.deliveries.iter_mut().filter(|row| is_told(row)).for_each(tell);
        let told = held.into_iter().filter(is_told).map(|mut row| {
            tell(&mut row);
            row
        });
        reaction.deliveries.extend(told);
    }

    /// Forgets rules and groups of which nothing is to be remembered; returns what is kept of them no more.
    pub(super) fn forget(&mut self, now: Timestamp) -> Vec<(String, Option<String>)> {
        let rules = &self.rules;
        let is_over = |key: &String, state: &State| {
            let rule = key.split_once('\n').and_then(|(name, _)| rules.iter().find(|rule| rule.name == name));
            rule.is_none_or(|rule| state.may_be_forgotten(rule, now))
        };
        let over: Vec<String> =
            self.states.iter().filter(|(key, state)| is_over(key, state)).map(|(key, _)| key.clone()).collect();
        for key in &over {
            self.states.remove(key);
        }
        over.into_iter().map(|key| (format!("{STATE}{key}"), None)).collect()
    }

    /// Whether a rule and group have nothing to say.
    pub(super) fn is_quiet(state: &State) -> bool {
        matches!(state.phase, Phase::Quiet | Phase::Resolved)
    }

    /// Rules that listen to this, by their place.
    pub(super) fn listening(&self, notice: &Notice) -> Vec<Rule> {
        let hears = |rule: &&Rule| {
            rule.on == notice.trigger.on() && rule.hears(&notice.log, notice.environment.as_deref(), notice.level)
        };
        self.rules.iter().filter(hears).cloned().collect()
    }
}
