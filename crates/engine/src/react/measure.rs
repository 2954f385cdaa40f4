//! What no single event tells: spikes, silence, a disk that fills, targets that take nothing, and rules that count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use alerts::spike::{Baseline, Judgement};
use alerts::{Fact, Measurement, Notice, On, Rule, Trigger};
use event::{Level, Timestamp, Value};
use query::filter::{Comparison, Filter, Scalar, Test};
use query::{Bounds, Order, Request};
use serde_json::json;
use store::LogId;

use super::asking::Counted;
use super::calls::{Calls, Happened};
use super::seen::Seen;
use super::{BASELINE, Look, Memory, PRESENCE, TREND};
use crate::internal::Said;
use crate::{AskError, Engine};

/// Sources of all logs that are listened to.
const SOURCES_MAX: usize = 1000;

/// Issues whose counts are compared with what is usual.
const BASELINES_MAX: usize = 500;

/// How often what is usual is kept: what was counted since is lost in a crash.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// How often rules that count are asked at the most and at least.
const ASK_MIN: Duration = Duration::from_secs(5);
const ASK_MAX: Duration = Duration::from_secs(60);

/// Groups of a rule that are told apart.
const GROUPS_MAX: usize = 1000;

/// Events that are read at a time to count them by groups.
const PAGE_ROWS: usize = 10_000;

/// How long one rule may take in a log: while it is asked, no other rule is.
const RULE_TIME_MAX: Duration = Duration::from_secs(2);

/// How often the disk, and what is sent elsewhere, is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Which sources spoke since the last measurement, by log.
#[derive(Debug, Default)]
pub(crate) struct Heard(BTreeSet<(LogId, String)>);

impl Heard {
    /// These sources spoke.
    pub(crate) fn hear(&mut self, log: LogId, sources: &[String]) {
        for source in sources {
            if self.0.len() < SOURCES_MAX {
                self.0.insert((log, source.clone()));
            }
        }
    }
}

/// When what was measured last.
#[derive(Debug, Default)]
pub(super) struct Measured {
    looked: Option<Instant>,
    kept: Option<Instant>,
    rules: BTreeMap<String, Instant>,
}

fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

impl Memory {
    /// Counts occurrences of an issue.
    pub(super) fn count_for_spikes(&mut self, log: &str, issue: u64, times: u64, now: Timestamp) {
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        for name in [format!("{log}\n"), format!("{log}\n{issue}")] {
            if self.baselines.len() >= BASELINES_MAX && !self.baselines.contains_key(&name) {
                continue;
            }
            self.baselines.entry(name).or_default().see(times, now);
        }
    }
}

impl Engine {
    /// Measures what is due.
    pub(super) fn measure(&self, look: &mut Look<'_>) {
        let heard = std::mem::take(&mut self.reacting.heard.lock().0);
        let logs = self.log_numbers();
        for (log, source) in heard {
            // Our own messages come when there is something to say.
            let Some(log) = logs.get(&log).filter(|_| source != "everlog") else { continue };
            let name = format!("{log}\n{source}");
            if look.memory.presences.len() < SOURCES_MAX || look.memory.presences.contains_key(&name) {
                look.memory.spoke.insert(name.clone());
                look.memory.presences.entry(name).or_default().hear(look.now);
            }
        }
        if is_due(&mut look.memory.measured.looked, LOOK_EVERY) {
            self.measure_spikes(look);
            self.measure_silence(look);
            self.measure_disk(look);
            self.measure_delivery(look);
        }
        self.measure_rules(look);
        if is_due(&mut look.memory.measured.kept, KEEP_EVERY) {
            let forgotten = look.memory.calls.forget(look.now);
            look.reaction.memories.extend(forgotten);
            let is_known =
                |name: &String| name.split_once('\n').is_some_and(|(log, _)| logs.values().any(|known| known == log));
            let gone = look.memory.presences.keys().filter(|name| !is_known(name)).cloned().collect::<Vec<_>>();
            for name in gone {
                look.memory.presences.remove(&name);
                look.reaction.memories.push((format!("{PRESENCE}{name}"), None));
            }
            let baselines = look
                .memory
                .baselines
                .iter()
                .map(|(name, kept)| (format!("{BASELINE}{name}"), serde_json::to_string(kept).ok()));
            let presences = look
                .memory
                .presences
                .iter()
                .map(|(name, kept)| (format!("{PRESENCE}{name}"), serde_json::to_string(kept).ok()));
            look.reaction.memories.extend(baselines.chain(presences));
            look.reaction.memories.push((TREND.to_owned(), serde_json::to_string(&look.memory.trend).ok()));
        }
    }

    fn judged(&self, look: &mut Look<'_>, notice: Notice, group: String, is_so: bool) {
        let (measurement, moment) = (Measurement::Judged(is_so), look.now.to_string());
        self.call_rules(look, &Happened { notice, group, measurement, moment, hold: None }, None);
    }

    fn measure_spikes(&self, look: &mut Look<'_>) {
        look.memory.baselines.values_mut().for_each(|baseline| baseline.advance(look.now));
        let quiet: Vec<String> =
            look.memory.baselines.iter().filter(|(_, kept)| is_forgotten(kept)).map(|(name, _)| name.clone()).collect();
        for name in quiet {
            look.memory.baselines.remove(&name);
            look.reaction.memories.push((format!("{BASELINE}{name}"), None));
        }
        let judged: Vec<(String, Judgement)> =
            look.memory.baselines.iter().map(|(name, baseline)| (name.clone(), baseline.judge())).collect();
        for (name, Judgement { is_spike, count, usual }) in judged {
            let Some((log, issue)) = name.split_once('\n') else { continue };
            let key = format!("spike\n{name}");
            if !is_spike && !look.memory.calls.states.contains_key(&key) {
                continue;
            }
            let trigger = Trigger::Spike { count, usual, window_seconds: alerts::spike::SLOT.as_secs() };
            let mut notice = Notice::new("", trigger, look.now);
            log.clone_into(&mut notice.log);
            notice.level = Some(Level::Error);
            notice.occurrences = Some(count);
            let known = issue.parse().ok().and_then(|id| look.memory.issue(self, id).ok().flatten());
            if let Some(known) = known {
                known.title().clone_into(&mut notice.title);
                notice.issue = Some(issue.to_owned());
                notice.link = self.link(&format!("/issues/{issue}"));
            } else {
                "all errors of the log together".clone_into(&mut notice.title);
            }
            self.judged(look, notice, name.clone(), is_spike);
        }
    }

    fn measure_silence(&self, look: &mut Look<'_>) {
        let silent: Vec<(String, Option<Duration>)> = look
            .memory
            .presences
            .iter()
            .map(|(name, presence)| (name.clone(), presence.silent_for(look.now)))
            .collect();
        for (name, silent) in silent {
            // It is over when it was heard, and not when the server was started anew.
            let is_told = look.memory.calls.states.contains_key(&format!("silence\n{name}"));
            if silent.is_none() && !(is_told && look.memory.spoke.contains(&name)) {
                continue;
            }
            let Some((log, source)) = name.split_once('\n') else { continue };
            let seconds = silent.map_or(0, |silent| silent.as_secs());
            let mut notice = Notice::new("", Trigger::Silence { seconds }, look.now);
            notice.title = format!("{source} says nothing any more");
            log.clone_into(&mut notice.log);
            notice.level = Some(Level::Warning);
            notice.last_seen = look.memory.presences.get(&name).and_then(alerts::silence::Presence::last);
            notice.facts = vec![Fact::new("Source", source)];
            self.judged(look, notice, name.clone(), silent.is_some());
        }
    }

    fn measure_disk(&self, look: &mut Look<'_>) {
        let Ok(free) = self.store.free_bytes() else { return };
        look.memory.trend.measure(free, look.now);
        let days = look.memory.trend.days_left().unwrap_or(f64::INFINITY);
        let whole = days.min(3650.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 3650")]
        let mut notice = Notice::new("", Trigger::DiskFull { days: whole.max(0.0) as u64 }, look.now);
        "the disk with the data directory".clone_into(&mut notice.title);
        notice.level = Some(if days < 1.0 { Level::Critical } else { Level::Warning });
        notice.facts = vec![Fact::new("Free", format!("{} MiB", free >> 20))];
        let measurement = Measurement::Value(days);
        let happened =
            Happened { notice, group: "disk".to_owned(), measurement, moment: look.now.to_string(), hold: None };
        self.call_rules(look, &happened, None);
    }

    fn measure_delivery(&self, look: &mut Look<'_>) {
        let mut failing: BTreeMap<String, (String, Timestamp)> = BTreeMap::new();
        let mut well: BTreeSet<String> = BTreeSet::new();
        {
            let mut channels = self.reacting.failing.lock();
            let is_there =
                |name: &String| look.memory.calls.channels.iter().any(|known| known.name == *name && known.enabled);
            channels.retain(|name, _| is_there(name));
            failing.extend(channels.iter().map(|(name, since)| (format!("channel {name}"), (String::new(), *since))));
        }
        well.extend(self.reacting.delivered.lock().iter().map(|name| format!("channel {name}")));
        for forward in self.forwards() {
            let name = format!("target {}", forward.settings.name);
            match forward.error {
                Some((reason, since)) => drop(failing.insert(name, (reason, since))),
                None if forward.last_delivery.is_some() => drop(well.insert(name)),
                None => {}
            }
        }
        let beginning = format!("{}\n", On::DeliveryFailing.name());
        let known = look.memory.calls.states.keys().filter_map(|key| key.strip_prefix(&beginning)).map(str::to_owned);
        let all: BTreeSet<String> = failing.keys().cloned().chain(known).collect();
        for name in all {
            let found = failing.get(&name);
            // It is over when something got through, and not when the server was started anew.
            if found.is_none() && !well.contains(&name) {
                continue;
            }
            let seconds =
                found.map_or(0, |(_, since)| look.now.as_micros().saturating_sub(since.as_micros()) / 1_000_000);
            let trigger = Trigger::DeliveryFailing { seconds: u64::try_from(seconds).unwrap_or(0) };
            let mut notice = Notice::new("", trigger, look.now);
            notice.title = format!("nothing reaches the {name}");
            notice.level = Some(Level::Error);
            notice.message = found.map(|(reason, _)| reason.clone()).filter(|reason| !reason.is_empty());
            self.judged(look, notice, name, found.is_some());
        }
    }

    fn measure_rules(&self, look: &mut Look<'_>) {
        let rules: Vec<Rule> =
            look.memory.calls.rules.iter().filter(|rule| rule.on == On::Threshold && rule.enabled).cloned().collect();
        for Counted { rule, values } in self.reacting.asking.answers() {
            // One that was changed since is asked anew.
            if rules.contains(&rule) {
                self.step_rule(look, &rule, values);
            }
        }
        for rule in rules {
            let every = (rule.window / 10).clamp(ASK_MIN, ASK_MAX);
            if look.memory.measured.rules.get(&rule.name).is_some_and(|asked| asked.elapsed() < every) {
                continue;
            }
            look.memory.measured.rules.insert(rule.name.clone(), Instant::now());
            self.reacting.asking.ask(rule, look.now);
        }
    }

    fn step_rule(&self, look: &mut Look<'_>, rule: &Rule, mut values: BTreeMap<String, f64>) {
        // Groups that were above their limit and have no event now have none.
        let beginning = format!("{}\n", rule.name);
        let states = look.memory.calls.states.iter().filter(|(_, state)| !Calls::is_quiet(state));
        for group in states.filter_map(|(key, _)| key.strip_prefix(&beginning)) {
            values.entry(group.to_owned()).or_insert(0.0);
        }
        for (group, value) in values {
            let link = self.link(&self.found_by(rule, &group, look.now));
            let happened = threshold(rule, &group, value, look.now, link);
            look.memory.calls.call(rule, &happened, look.now, &mut look.reaction);
        }
    }

    /// The page with what a rule found: its search, in the time that it counted. The first page of all where it counts in
    /// several logs.
    fn found_by(&self, rule: &Rule, group: &str, now: Timestamp) -> String {
        let names = if rule.logs.is_empty() { self.log_names() } else { rule.logs.clone() };
        let [log] = names.as_slice() else { return "/".to_owned() };
        let from = Timestamp::from_micros(now.as_micros().saturating_sub(micros(rule.window)));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("_format", "html");
        let search = searched(rule, group);
        if !search.is_empty() {
            query.append_pair("_q", &search);
        }
        query.append_pair("_from", &from.to_string()).append_pair("_to", &now.to_string());
        let log: String = form_urlencoded::byte_serialize(log.as_bytes()).collect();
        format!("/api/v1/logs/{log}/events?{}", query.finish())
    }

    /// What a rule counts between two moments: of each group, or of all under the empty name.
    pub(crate) fn counted(
        &self,
        rule: &Rule,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<BTreeMap<String, f64>, AskError> {
        let logs = if rule.logs.is_empty() { self.log_names() } else { rule.logs.clone() };
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        let filter = rule_filter(rule, Some((from, to)), self.clock.now())?;
        for log in logs {
            if self.reacting.asking.is_over() {
                break;
            }
            // A rule may be written before its log is.
            let Ok(asked) = self.asked(&log, false) else { continue };
            if self.log_names().iter().all(|known| *known != log) {
                continue;
            }
            let mut request = Request {
                filter: filter.clone(),
                order: Order::Time { descending: true },
                offset: 0,
                limit: if rule.group_by.is_empty() { 0 } else { PAGE_ROWS },
                cursor: None,
                after_sequence: 0,
                total: rule.group_by.is_empty(),
            };
            let bounds = Bounds::new(RULE_TIME_MAX);
            loop {
                let page = query::scan(&asked.snapshot, &request, &bounds)?;
                if request.total {
                    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 events the last digit does not matter")]
                    let total = page.total.unwrap_or(0) as f64;
                    *sums.entry(String::new()).or_default() += total;
                    break;
                }
                count_groups(rule, &page, &mut sums);
                if page.next.is_none() {
                    break;
                }
                request.cursor = page.next;
            }
        }
        Ok(sums)
    }

    /// Whether an event passes a search.
    pub(super) fn passes(&self, log: &str, search: &str, seen: &Seen) -> bool {
        let sequence = seen.sequence;
        let found = query::searched(search, self.clock.now()).map_err(AskError::from).and_then(|filter| {
            let snapshot = self.store.snapshot(self.log(log)?);
            let order = Order::Sequence;
            let after_sequence = sequence.saturating_sub(1);
            // One that does not pass ends the question, and not the last event of the log.
            let itself = Filter::field("id", Test::Equal(vec![Scalar::from(seen.id.as_str())]));
            let filter = Filter::and([itself, filter]);
            let request = Request { filter, order, offset: 0, limit: 1, cursor: None, after_sequence, total: false };
            Ok(query::scan(&snapshot, &request, &self.bounds())?)
        });
        found.is_ok_and(|page| page.rows.first().is_some_and(|(_, _, first)| *first == sequence))
    }

    /// Writes an event of a detector, and waits until it is durable.
    pub(super) fn keep_alert(
        &self,
        log: &str,
        (stream, level, event): (&str, Level, &str),
        message: &str,
        (id, fields, now): (&str, &[(&str, Value<'_>)], Timestamp),
    ) -> Result<(), AskError> {
        let user = event::shared::SYSTEM_USER;
        let said = Said { stream, level, event, message, user, id: Some(id), fields };
        let (sender, receiver) = std::sync::mpsc::channel();
        let log = self.log(log)?;
        self.accept(log, said.decoded(now), None, move |result| drop(sender.send(result)));
        // What cannot be written now is told with the next look: the finding is kept only after it.
        match receiver.recv() {
            Ok(Ok(_)) => Ok(()),
            _ => Err(AskError::Query(query::QueryError::Store(store::StoreError::Stopped))),
        }
    }
}

/// Adds the events of a page to the sums of their groups; what has no place any more is one group of its own.
fn count_groups(rule: &Rule, page: &query::Page, sums: &mut BTreeMap<String, f64>) {
    let writers: Vec<store::Documents<'_>> = page.batches.iter().map(store::Documents::new).collect();
    for (batch, row, _) in &page.rows {
        let mut group = rule.group(|key| writers[*batch].text(key, *row));
        if sums.len() >= GROUPS_MAX && !sums.contains_key(&group) {
            "(others)".clone_into(&mut group);
        }
        *sums.entry(group).or_default() += 1.0;
    }
}

/// Whether nothing was seen for as long as is remembered.
fn is_forgotten(baseline: &Baseline) -> bool {
    baseline.is_empty()
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// What a rule finds, in a time if there is one.
pub(crate) fn rule_filter(
    rule: &Rule,
    time: Option<(Timestamp, Timestamp)>,
    now: Timestamp,
) -> Result<Filter, query::QueryError> {
    let mut parts = vec![query::searched(rule.search.as_deref().unwrap_or(""), now)?];
    if let Some((from, to)) = time {
        let side = |comparison, moment: Timestamp| {
            Filter::field("timestamp", Test::Compare(comparison, Scalar::from(moment.to_string())))
        };
        parts.push(side(Comparison::Greater, from));
        parts.push(side(Comparison::LessOrEqual, to));
    }
    if !rule.environments.is_empty() {
        let names = rule.environments.iter().map(|name| Scalar::from(name.as_str())).collect();
        parts.push(Filter::field("environment", Test::Equal(names)));
    }
    let levels: Vec<Scalar> =
        [Level::Trace, Level::Debug, Level::Info, Level::Notice, Level::Warning, Level::Error, Level::Critical]
            .into_iter()
            .filter(|level| rule.levels.is_empty() || rule.levels.contains(level))
            .filter(|level| rule.level_min.is_none_or(|least| *level >= least))
            .map(|level| Scalar::from(level.name()))
            .collect();
    if levels.len() < 7 {
        parts.push(Filter::field("level", Test::Equal(levels)));
    }
    Ok(Filter::and(parts))
}

/// What finds the events of a group in the search language.
fn searched(rule: &Rule, group: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let plain = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    let mut parts: Vec<String> = rule.search.iter().map(|search| search.trim().to_owned()).collect();
    // An alternative is one thing with what is added.
    if let [only] = parts.as_mut_slice()
        && only.contains(" OR ")
    {
        *only = format!("({only})");
    }
    // What has no value is in a group of its own, and so is one that is called so.
    let values = rule.values_of(group).into_iter().filter(|(key, value)| *value != "none" && plain(key));
    parts.extend(values.map(|(key, value)| format!("{key}:{}", quoted(value))));
    if let [only] = rule.environments.as_slice() {
        parts.push(format!("environment:{}", quoted(only)));
    }
    parts.extend(rule.level_min.map(|level| format!("level:>={}", level.name())));
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

/// A rule's value as something that happened.
pub(crate) fn threshold(rule: &Rule, group: &str, value: f64, now: Timestamp, link: Option<String>) -> Happened {
    let limit = rule.limit.map(alerts::Limit::says).unwrap_or_default();
    let trigger = Trigger::Threshold { value, limit, window_seconds: rule.window.as_secs() };
    let mut notice = Notice::new("", trigger, now);
    notice.title = match (&rule.search, group) {
        (Some(search), "") => search.clone(),
        (Some(search), group) => format!("{search} ({group})"),
        (None, group) => group.to_owned(),
    };
    if let [only] = rule.logs.as_slice() {
        notice.log.clone_from(only);
    }
    notice.level = Some(rule.level_min.unwrap_or(Level::Warning));
    notice.facts = rule.values_of(group).into_iter().map(|(key, value)| Fact::new(key, value)).collect();
    if notice.facts.is_empty() && !group.is_empty() {
        notice.facts.push(Fact::new("Group", group));
    }
    notice.facts.insert(0, Fact::new("Rule", rule.name.clone()));
    notice.link = link;
    let measurement = Measurement::Value(value);
    Happened { notice, group: group.to_owned(), measurement, moment: now.to_string(), hold: None }
}

/// How a rule would have called in the past: the moments at which it would have begun and ended, with what it measured.
pub(crate) fn told(change: alerts::Change, group: &str, value: f64, time: Timestamp) -> serde_json::Value {
    let what = match change.what {
        alerts::What::Happened | alerts::What::Fired => "firing",
        alerts::What::Resolved => "resolved",
    };
    json!({ "time": time.to_string(), "state": what, "group": group, "value": value, "held": change.hold.map(|hold| hold.reason.says()) })
}
