//! What a person is told: the same facts for every channel, and which channels it goes to.

use event::{Level, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::channel::Channel;
use crate::clean::{cut, line};
use crate::moment;
use crate::rule::Rule;
use crate::trigger::{On, Trigger};

/// Longest title, in characters: a mail's subject and a phone's screen have no room for more.
pub(crate) const TITLE_CHARACTERS_MAX: usize = 200;
/// Longest message, in characters: the rest is behind the link.
pub(crate) const MESSAGE_CHARACTERS_MAX: usize = 1500;
/// Longest other text, in characters.
pub(crate) const FACT_CHARACTERS_MAX: usize = 300;
/// Longest name of an environment or a log in a headline, in characters.
const NAME_CHARACTERS_MAX: usize = 60;
/// Most further facts, and most lines of the trail: a notice is read in a minute.
pub(crate) const FACTS_MAX: usize = 16;
/// Most lines of what came before.
pub(crate) const TRAIL_MAX: usize = 20;

/// What a person is told.
///
/// Texts from outside stand in it as they came, bounded by [`Notice::bounded`]; each renderer makes them harmless for its
/// channel. As JSON it is what a webhook receives, so fields are added, and never renamed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notice {
    /// The same for the same happening, however often it is worked out: who receives it twice can tell.
    pub id: String,
    /// The rule that called.
    pub rule: String,
    /// What happened.
    pub trigger: Trigger,
    /// Whether this says that it is over.
    pub resolved: bool,
    /// What it is about, in a line: the title of the issue, the search, the source.
    pub title: String,
    /// The log.
    pub log: String,
    /// The environment, if it has one.
    pub environment: Option<String>,
    /// The level, if it has one.
    #[serde(with = "moment::level_or_null")]
    pub level: Option<Level>,
    /// The id of the issue.
    pub issue: Option<String>,
    /// How often the issue was seen, or what was counted.
    pub occurrences: Option<u64>,
    /// How many users it met.
    pub users: Option<u64>,
    /// The release it was seen in.
    pub release: Option<String>,
    /// The deploy that is suspected.
    pub suspect_deploy: Option<String>,
    /// The method of the request.
    pub method: Option<String>,
    /// The path, or the address, of the request. Redaction is done before it gets here.
    pub path: Option<String>,
    /// What was said; may have several lines.
    pub message: Option<String>,
    /// Where more is to be seen.
    pub link: Option<String>,
    /// When it was first seen.
    #[serde(with = "moment::kept_or_null")]
    pub first_seen: Option<Timestamp>,
    /// When it was last seen.
    #[serde(with = "moment::kept_or_null")]
    pub last_seen: Option<Timestamp>,
    /// Further facts, in order.
    pub facts: Vec<Fact>,
    /// What came before, or what was held back: a line each.
    pub trail: Vec<String>,
    /// How many notices of the same rule and group were held back before this one.
    pub held: u64,
    /// When it happened.
    #[serde(with = "moment::kept")]
    pub time: Timestamp,
}

/// A label and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fact {
    /// `Browser`
    pub label: String,
    /// `Firefox 128`
    pub value: String,
}

impl Fact {
    /// A label and its value.
    #[must_use]
    pub fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into() }
    }
}

impl Default for Notice {
    fn default() -> Self {
        Self::new("", Trigger::NewIssue, moment::epoch())
    }
}

impl Notice {
    /// A notice with nothing but what every one has.
    #[must_use]
    pub fn new(rule: impl Into<String>, trigger: Trigger, time: Timestamp) -> Self {
        Self {
            id: String::new(),
            rule: rule.into(),
            trigger,
            resolved: false,
            title: String::new(),
            log: String::new(),
            environment: None,
            level: None,
            issue: None,
            occurrences: None,
            users: None,
            release: None,
            suspect_deploy: None,
            method: None,
            path: None,
            message: None,
            link: None,
            first_seen: None,
            last_seen: None,
            facts: Vec::new(),
            trail: Vec::new(),
            held: 0,
            time,
        }
    }

    /// What is sent to try a channel.
    #[must_use]
    pub fn test(channel: &str, now: Timestamp) -> Self {
        let mut notice = Self::new("test", Trigger::Test, now);
        notice.id = notice_id(&["test", channel, &now.to_string()]);
        notice.title = format!("sent to {channel} to try it");
        notice.bounded()
    }

    /// Cuts every text and list to its bound; to be called once, where the notice is made.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.title = cut(&line(&self.title), TITLE_CHARACTERS_MAX);
        self.log = cut(&self.log, FACT_CHARACTERS_MAX);
        self.rule = cut(&self.rule, FACT_CHARACTERS_MAX);
        self.message = self.message.map(|text| cut(&text, MESSAGE_CHARACTERS_MAX));
        for text in [
            &mut self.environment,
            &mut self.issue,
            &mut self.release,
            &mut self.suspect_deploy,
            &mut self.method,
            &mut self.path,
        ] {
            *text = text.take().map(|text| cut(&text, FACT_CHARACTERS_MAX));
        }
        self.facts.truncate(FACTS_MAX);
        for fact in &mut self.facts {
            fact.label = cut(&fact.label, FACT_CHARACTERS_MAX);
            fact.value = cut(&fact.value, FACT_CHARACTERS_MAX);
        }
        let more = self.trail.len().saturating_sub(TRAIL_MAX);
        self.trail.drain(..more);
        for entry in &mut self.trail {
            *entry = cut(entry, FACT_CHARACTERS_MAX);
        }
        self
    }

    /// Whether it may not wait for the end of quiet hours.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        self.level == Some(Level::Critical)
    }

    /// What happened, in a few words of our own.
    #[must_use]
    pub fn says(&self) -> String {
        if self.resolved { format!("Over: {}", self.trigger.says()) } else { self.trigger.says() }
    }

    /// The whole of it in one line, harmless as plain text: `[production] New issue: division by zero (shop)`.
    #[must_use]
    pub fn headline(&self) -> String {
        let mut text = String::new();
        if let Some(environment) = &self.environment {
            text = format!("[{}] ", cut(&line(environment), NAME_CHARACTERS_MAX));
        }
        text.push_str(&self.says());
        if !self.title.is_empty() {
            text.push_str(": ");
            text.push_str(&cut(&line(&self.title), TITLE_CHARACTERS_MAX));
        }
        if !self.log.is_empty() {
            text = format!("{text} ({})", cut(&line(&self.log), NAME_CHARACTERS_MAX));
        }
        text
    }
}

/// The id of a notice: the same parts give the same id, on every machine and after every restart.
///
/// What happens once has parts that say so (`reached`, the issue, `100`); what may happen again has its moment in them.
#[must_use]
pub fn notice_id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()[..16])
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The names of the channels that a notice goes to, in their order.
///
/// A rule that names channels goes to those; any other goes to each channel that names no rules, or names this one. In
/// either case the channel's own environments and least level must fit. A notice without an environment (the disk, a
/// scanner) belongs to all of them, so that it is heard by somebody.
#[must_use]
pub fn route(notice: &Notice, rules: &[Rule], channels: &[Channel]) -> Vec<String> {
    let rule = rules.iter().find(|rule| rule.name == notice.rule);
    if rule.is_some_and(|rule| !rule.enabled) {
        return Vec::new();
    }
    let named = rule.map_or(&[] as &[String], |rule| &rule.channels);
    let chosen = |channel: &&Channel| {
        if named.is_empty() {
            channel.rules.is_empty() || channel.rules.contains(&notice.rule)
        } else {
            named.contains(&channel.name)
        }
    };
    let fits = |channel: &&Channel| {
        let environment = notice.environment.as_ref();
        let here =
            channel.environments.is_empty() || environment.is_none_or(|name| channel.environments.contains(name));
        let level = channel.level_min.is_none_or(|least| notice.level.is_none_or(|level| level >= least));
        here && level && channel.enabled && !channel.errors
    };
    // A digest belongs to the channel that held back what it lists, a test to the one that is tried.
    if matches!(notice.trigger.on(), On::Digest | On::Test) {
        return Vec::new();
    }
    channels.iter().filter(chosen).filter(fits).map(|channel| channel.name.clone()).collect()
}
