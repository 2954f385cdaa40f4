//! Rules and channels: from the file, and set at runtime. What the file names holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alerts::{Channel, Notice, On, Rule, SettingError, State, read_rules, step};
use event::{Timestamp, Value as EventValue};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use store::StoreError;
use store::catalog::Reaction;
use thiserror::Error;

use super::calls::Calls;
use super::measure::{self, told};
use super::outbox::mended;
use super::{read_all, undefined};
use crate::audit::Deed;
use crate::{AskError, Engine, Grant, WriteError};

/// Channels there may be.
const CHANNELS_MAX: usize = 50;

/// Longest name of a rule or a channel, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Half windows of the past that a rule is tried on, and for how long.
const HALF_WINDOWS_MAX: i64 = 5000;
const TRY_TIME_MAX: Duration = Duration::from_secs(30);

const RULE: &str = "rule/";
const CHANNEL: &str = "channel/";

/// The channel, and the rule, by which configuration errors are mailed to whom the configuration names.
pub const CONFIGURATION_MAIL: &str = "config_error_report_email";

/// Settings of channels by their names, as JSON.
pub type Tables = BTreeMap<String, Map<String, Value>>;

/// The same, each with whether it stands in the file.
pub type ChannelTables = BTreeMap<String, (Map<String, Value>, bool)>;

/// Why a rule or a channel cannot be as it is asked.
#[derive(Debug, Error)]
pub enum AlertError {
    /// A setting that cannot be.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A search that cannot be read, or a rule that cannot be tried.
    #[error("{0}")]
    Refused(String),
    /// There is none of that name.
    #[error("there is no {what} {name:?}: {known}")]
    Unknown {
        /// A rule or a channel.
        what: &'static str,
        /// As asked.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// It is built in, and nobody changed it.
    #[error(
        "the rule {name} is built in and as it was, so there is nothing to remove: {{\"enabled\": false}} switches it off"
    )]
    Unchanged {
        /// Its name.
        name: String,
    },
    /// It stands in the file.
    #[error("the {what} {name} stands in the configuration file, which holds: change it there and restart")]
    InFile {
        /// A rule or a channel.
        what: &'static str,
        /// Its name.
        name: String,
    },
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

/// What the file says of alerts.
#[derive(Clone, Debug, Default)]
pub struct AlertSettings {
    /// The table `rules`: settings by name, or `false` to switch a rule off.
    pub rules: Map<String, Value>,
    /// The tables `[channels.NAME]`, checked by who sends.
    pub channels: Tables,
}

/// A rule as it is shown.
#[derive(Clone, Debug)]
pub struct RuleInfo {
    /// All of it.
    pub rule: Rule,
    /// Whether only the file can change it.
    pub in_file: bool,
    /// Whether it is there without anybody writing one.
    pub built_in: bool,
    /// What of it leads nowhere: channels that are not there.
    pub warnings: Vec<String>,
    /// What it says now: groups that are firing or pending, and since when.
    pub states: Vec<(String, State)>,
}

fn check_name(what: &str, name: &str) -> Result<(), AlertError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        return Err(AlertError::Refused(format!(
            "a {what} has a name of letters, digits and - _ . of at most {NAME_BYTES_MAX} bytes, found {name:?}"
        )));
    }
    Ok(())
}

impl Engine {
    /// Takes the rules and channels of the file, together with those set at runtime.
    ///
    /// # Errors
    /// When what the file says cannot be; the message names it.
    pub fn configure_alerts(&self, settings: AlertSettings) -> Result<(), AlertError> {
        *self.alert_settings.write() = settings;
        let mut calls = Calls::default();
        self.set_up(&mut calls)?;
        self.warn_of_undefined(&calls);
        self.take_over(calls)
    }

    /// Says once what of the file leads nowhere.
    fn warn_of_undefined(&self, calls: &Calls) {
        let file = self.alert_settings.read();
        let rules = calls.rules.iter().filter(|rule| file.rules.contains_key(&rule.name));
        let rules = rules.flat_map(|rule| {
            let found = undefined::channels_of(rule, &calls.channels);
            found.into_iter().map(|warning| format!("[rules.{}]: {warning}", rule.name))
        });
        let channels = calls.channels.iter().filter(|channel| file.channels.contains_key(&channel.name));
        let channels = channels.flat_map(|channel| {
            let found = undefined::rules_of(channel, &calls.rules);
            found.into_iter().map(|warning| format!("[channels.{}]: {warning}", channel.name))
        });
        let warnings: Vec<String> = rules.chain(channels).collect();
        if !warnings.is_empty() {
            tracing::warn!("nobody is called by what is not there: {}", warnings.join("; "));
        }
    }

    /// What of a channel leads nowhere: rules that are not there.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn channel_warnings(&self, name: &str) -> Result<Vec<String>, AlertError> {
        let mut calls = Calls::default();
        self.set_up(&mut calls)?;
        let channel = calls.channels.iter().find(|channel| channel.name == name);
        Ok(channel.map(|channel| undefined::rules_of(channel, &calls.rules)).unwrap_or_default())
    }

    /// Takes rules and channels that were set up anew.
    fn take_over(&self, calls: Calls) -> Result<(), AlertError> {
        let mut held = self.reacting.memory.lock();
        let Some(memory) = &mut *held else { return Ok(()) };
        (memory.calls.rules, memory.calls.channels) = (calls.rules, calls.channels);
        let memories = memory.calls.settle();
        let kept = self.store.catalog().react(&Reaction { memories, ..Reaction::default() });
        if kept.is_err() {
            // What is in memory is ahead of what is kept: it is read anew.
            *held = None;
        }
        Ok(kept?)
    }

    fn tables<T: FromIterator<(String, V)>, V: DeserializeOwned>(&self, beginning: &str) -> Result<T, StoreError> {
        Ok(read_all(self.store.catalog(), beginning)?.into_iter().collect())
    }

    /// Rules and channels as they hold. Whether they could be read.
    pub(super) fn set_up_calls(&self, calls: &mut Calls) -> bool {
        if let Err(error) = self.set_up(calls) {
            tracing::error!("rules and channels cannot be read, and those built in hold: {error}");
            calls.rules = Rule::built_in();
            return false;
        }
        true
    }

    fn set_up(&self, calls: &mut Calls) -> Result<(), AlertError> {
        let file = self.alert_settings.read().clone();
        calls.rules = self.effective_rules(&file.rules)?;
        let mut channels: Tables = self.tables(CHANNEL)?;
        channels.extend(file.channels);
        calls.channels = channels
            .iter()
            .take(CHANNELS_MAX)
            .map(|(name, settings)| Channel::read(name, settings))
            .collect::<Result<_, _>>()?;
        if calls.channels.iter().any(|channel| channel.name == CONFIGURATION_MAIL) {
            let mut rule = Rule::new(CONFIGURATION_MAIL, On::ConfigurationError);
            rule.channels = vec![CONFIGURATION_MAIL.to_owned()];
            calls.rules.push(rule);
        }
        Ok(())
    }

    fn effective_rules(&self, file: &Map<String, Value>) -> Result<Vec<Rule>, AlertError> {
        let mut written = self.written_rules()?;
        written.extend(file.clone());
        let rules = read_rules(&written)?;
        for rule in &rules {
            self.check_search(rule)?;
        }
        Ok(rules)
    }

    /// The rules that were set at runtime. What is refused by now was kept by an earlier version: it is left out, and no
    /// reason not to start.
    fn written_rules(&self) -> Result<Map<String, Value>, StoreError> {
        let mut written: Map<String, Value> = self.tables(RULE)?;
        written.retain(|name, settings| {
            let alone: Map<String, Value> = std::iter::once((name.clone(), settings.clone())).collect();
            read_rules(&alone).inspect_err(|error| tracing::warn!("a rule is left out: {error}")).is_ok()
        });
        Ok(written)
    }

    fn check_search(&self, rule: &Rule) -> Result<(), AlertError> {
        measure::rule_filter(rule, None, self.clock.now())
            .map(drop)
            .map_err(|error| AlertError::Refused(format!("rule {}: {error}", rule.name)))
    }

    /// All rules, with where they stand.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn rules(&self) -> Result<Vec<RuleInfo>, AlertError> {
        let file = self.alert_settings.read().rules.clone();
        let mut calls = Calls::default();
        self.set_up(&mut calls)?;
        let rules = self.effective_rules(&file)?;
        let written: Map<String, Value> = self.tables(RULE)?;
        let mut held = self.reacting.memory.lock();
        let memory = self.remembered(&mut held)?;
        let info = |rule: Rule| {
            let beginning = format!("{}\n", rule.name);
            let states = memory.calls.states.iter().filter_map(|(key, state)| {
                Some((key.strip_prefix(&beginning)?.to_owned(), state.clone())).filter(|_| !Calls::is_quiet(state))
            });
            let mut states: Vec<(String, State)> = states.collect();
            states.sort_by(|one, two| one.0.cmp(&two.0));
            let in_file = file.contains_key(&rule.name);
            let built_in = !in_file && !written.contains_key(&rule.name);
            let warnings = undefined::channels_of(&rule, &calls.channels);
            RuleInfo { in_file, built_in, warnings, states, rule }
        };
        Ok(rules.into_iter().map(info).collect())
    }

    /// Sets a rule; a built-in one by its name.
    ///
    /// # Errors
    /// When it stands in the file, or cannot be. Nothing is changed then.
    pub fn put_rule(&self, name: &str, settings: Value, by: &Grant) -> Result<(), AlertError> {
        check_name("rule", name)?;
        self.change_rule(name, Some(settings), by)
    }

    /// Removes what was set of a rule: one of your own is gone, a built-in one is as it was.
    ///
    /// # Errors
    /// When there is none, or it stands in the file.
    pub fn remove_rule(&self, name: &str, by: &Grant) -> Result<(), AlertError> {
        let written: Map<String, Value> = self.tables(RULE)?;
        if !written.contains_key(name) {
            let file = self.alert_settings.read().rules.clone();
            if file.contains_key(name) {
                return Err(AlertError::InFile { what: "rule", name: name.to_owned() });
            }
            let rules = self.effective_rules(&file)?;
            let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
            if names.contains(&name) {
                return Err(AlertError::Unchanged { name: name.to_owned() });
            }
            let known = format!("there are {}", names.join(", "));
            return Err(AlertError::Unknown { what: "rule", name: name.to_owned(), known });
        }
        self.change_rule(name, None, by)
    }

    fn change_rule(&self, name: &str, settings: Option<Value>, by: &Grant) -> Result<(), AlertError> {
        let file = self.alert_settings.read().clone();
        if file.rules.contains_key(name) {
            return Err(AlertError::InFile { what: "rule", name: name.to_owned() });
        }
        let mut written = self.written_rules()?;
        let written_before = read_rules(&written)?;
        match settings.clone() {
            Some(settings) => drop(written.insert(name.to_owned(), settings)),
            None => drop(written.remove(name)),
        }
        written.extend(file.rules);
        let rules = read_rules(&written)?;
        for rule in &rules {
            self.check_search(rule)?;
        }
        let now = self.clock.now();
        // One that is over stays in the settings until they are written anew.
        let before = written_before.iter().find(|rule| rule.name == name).and_then(|rule| rule.snooze);
        let snooze = rules.iter().find(|rule| rule.name == name).and_then(|rule| rule.snooze);
        if let Some(past) = snooze.filter(|until| *until <= now && snooze != before) {
            return Err(AlertError::Refused(format!(
                "rule {name}: `snooze` is in the past, {past}: it is {now}, give a later moment, or leave it out to wake the rule"
            )));
        }
        let (event, said) = if settings.is_some() { ("rule_set", "set") } else { ("rule_removed", "removed") };
        let body = settings.map(|settings| settings.to_string());
        self.change_table((RULE, name), body, (event, &format!("the rule {name} was {said}")), by)
    }

    fn change_table(
        &self,
        (beginning, name): (&str, &str),
        body: Option<String>,
        (event, message): (&str, &str),
        by: &Grant,
    ) -> Result<(), AlertError> {
        self.audit(crate::DEFAULT_LOG, &Deed { event, by, message, fields: &[("name", EventValue::Str(name))] })?;
        let mut memories = vec![(format!("{beginning}{name}"), body)];
        if beginning == CHANNEL {
            memories.push(mended(name, self.clock.now()));
        }
        self.store.catalog().react(&Reaction { memories, ..Reaction::default() })?;
        let mut calls = Calls::default();
        self.set_up(&mut calls)?;
        self.take_over(calls)
    }

    /// All channels with their settings, secrets among them, and whether they stand in the file.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn channels(&self) -> Result<ChannelTables, AlertError> {
        let mut channels: ChannelTables =
            self.tables::<Tables, _>(CHANNEL)?.into_iter().map(|(name, settings)| (name, (settings, false))).collect();
        let file = self.alert_settings.read().channels.clone();
        channels.extend(file.into_iter().map(|(name, settings)| (name, (settings, true))));
        Ok(channels)
    }

    /// Sets a channel, whose settings who sends has checked.
    ///
    /// # Errors
    /// When it stands in the file, there are too many, or it cannot be. Nothing is changed then.
    pub fn put_channel(&self, name: &str, settings: Map<String, Value>, by: &Grant) -> Result<(), AlertError> {
        check_name("channel", name)?;
        let channels = self.channels()?;
        if channels.get(name).is_some_and(|(_, in_file)| *in_file) {
            return Err(AlertError::InFile { what: "channel", name: name.to_owned() });
        }
        if channels.len() >= CHANNELS_MAX && !channels.contains_key(name) {
            return Err(AlertError::Refused(format!(
                "there are {CHANNELS_MAX} channels, which is the most: remove one"
            )));
        }
        Channel::read(name, &settings)?;
        let body = Value::Object(settings).to_string();
        self.change_table((CHANNEL, name), Some(body), ("channel_set", &format!("the channel {name} was set")), by)
    }

    /// Removes a channel. What waits for it is given up.
    ///
    /// # Errors
    /// When there is none, or it stands in the file.
    pub fn remove_channel(&self, name: &str, by: &Grant) -> Result<(), AlertError> {
        let channels = self.channels()?;
        match channels.get(name) {
            Some((_, true)) => Err(AlertError::InFile { what: "channel", name: name.to_owned() }),
            Some((_, false)) => {
                let said = format!("the channel {name} was removed");
                self.change_table((CHANNEL, name), None, ("channel_removed", &said), by)
            }
            None => {
                let names: Vec<&str> = channels.keys().map(String::as_str).collect();
                let known = if names.is_empty() {
                    "none was made yet".to_owned()
                } else {
                    format!("there are {}", names.join(", "))
                };
                Err(AlertError::Unknown { what: "channel", name: name.to_owned(), known })
            }
        }
    }

    /// A notice to try a channel with.
    #[must_use]
    pub fn test_notice(&self, channel: &str) -> Notice {
        Notice { link: self.link("/"), ..Notice::test(channel, self.clock.now()) }
    }

    /// What a rule would have said between two moments of the past, looked at once in each half of its window.
    ///
    /// # Errors
    /// When the rule cannot be, does not count events, or the time is too long for its window.
    pub fn try_rule(
        &self,
        name: &str,
        settings: &Map<String, Value>,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<Value>, AlertError> {
        let rule = Rule::read(name, settings)?;
        if rule.on != On::Threshold {
            return Err(AlertError::Refused(format!(
                "a rule on {} follows from issues and detectors as they come and cannot be tried on the past: `everlog notices` shows what it told; one with search and threshold can",
                rule.on.name()
            )));
        }
        self.check_search(&rule)?;
        let step_micros = i64::try_from(rule.window.as_micros() / 2).unwrap_or(i64::MAX).max(1_000_000);
        let length = to.as_micros().saturating_sub(from.as_micros());
        if length <= 0 {
            return Err(AlertError::Refused("the first moment must be before the second".to_owned()));
        }
        let longest = step_micros.saturating_mul(HALF_WINDOWS_MAX);
        if length > longest {
            let longest = alerts::span_text(Duration::from_micros(longest.unsigned_abs()));
            return Err(AlertError::Refused(format!(
                "a rule with a window of {} is tried on {longest} at most ({HALF_WINDOWS_MAX} half windows): ask for a shorter time, or give a longer window",
                alerts::span_text(rule.window)
            )));
        }
        let began = Instant::now();
        let mut states: BTreeMap<String, State> = BTreeMap::new();
        let mut found = Vec::new();
        let mut now = from;
        while now < to {
            if began.elapsed() > TRY_TIME_MAX {
                return Err(AlertError::Refused(format!(
                    "it takes more than {} to go through that time; after that long it was at {now}: ask for a shorter one",
                    alerts::span_text(TRY_TIME_MAX)
                )));
            }
            now = Timestamp::from_micros(now.as_micros().saturating_add(step_micros).min(to.as_micros()));
            let window = i64::try_from(rule.window.as_micros()).unwrap_or(i64::MAX);
            let mut values =
                self.counted(&rule, (Timestamp::from_micros(now.as_micros().saturating_sub(window)), now))?;
            for group in states.keys() {
                values.entry(group.clone()).or_insert(0.0);
            }
            for (group, value) in values {
                let state = states.entry(group.clone()).or_default();
                let (next, change) = step(&rule, state, alerts::Measurement::Value(value), now);
                *state = next;
                found.extend(change.map(|change| told(change, &group, value, now)));
            }
        }
        Ok(found)
    }

    /// Where a page of ours is seen, if the configuration says under which address.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        let base = self.settings.public_url.as_deref()?;
        Some(format!("{}{path}", base.trim_end_matches('/')))
    }
}
