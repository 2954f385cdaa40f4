//! When to call: rules that are built in, and those that people write.

mod read;

use std::time::Duration;

use event::{Level, Timestamp};

use crate::clean::{cut, line};
use crate::hours::QuietHours;
use crate::trigger::{On, Trigger};
pub use read::{RULE_KEYS, read_rules};

/// Most rules there may be: each is looked at with every event that might meet it.
pub(crate) const RULES_MAX: usize = 200;
/// Most keys that a rule may count by: their values together are the name of a group.
pub(crate) const GROUP_KEYS_MAX: usize = 4;
/// Longest value in the name of a group, in characters.
const GROUP_VALUE_CHARACTERS_MAX: usize = 200;
/// Days in which the disk must be full before somebody is told.
pub(crate) const DISK_DAYS: f64 = 7.0;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// `threshold = 10`: ten or more.
    AtLeast(f64),
    /// `above = 10`: more than ten.
    Above(f64),
    /// `below = 10`: less than ten.
    Below(f64),
}

impl Limit {
    /// Whether the value is one to call for.
    #[must_use]
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::Above(limit) => value > limit,
            Self::Below(limit) => value < limit,
        }
    }

    /// In words: `10 or more`.
    #[must_use]
    pub fn says(self) -> String {
        match self {
            Self::AtLeast(limit) => format!("{limit} or more"),
            Self::Above(limit) => format!("more than {limit}"),
            Self::Below(limit) => format!("less than {limit}"),
        }
    }
}

/// When to call, about what, whom, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name: that of a built-in one, or the writer's own.
    pub name: String,
    /// Whether it calls at all.
    pub enabled: bool,
    /// What it listens to.
    pub on: On,
    /// Only events that this search finds, in the search language.
    pub search: Option<String>,
    /// Only these logs; all if empty.
    pub logs: Vec<String>,
    /// Over which time is counted.
    pub window: Duration,
    /// What the count, or the days that a disk has left, are compared with.
    pub limit: Option<Limit>,
    /// Counted for each value of these keys by itself.
    pub group_by: Vec<String>,
    /// Only these environments; all if empty.
    pub environments: Vec<String>,
    /// Only these levels; all if empty.
    pub levels: Vec<Level>,
    /// Only this level and those above.
    pub level_min: Option<Level>,
    /// Who is told; every channel that fits if empty.
    pub channels: Vec<String>,
    /// When only what is critical is told, in place of the channel's own quiet hours.
    pub quiet_hours: Option<QuietHours>,
    /// Nothing is told until then.
    pub snooze: Option<Timestamp>,
    /// Shortest time between two notices about the same group.
    pub repeat: Duration,
    /// Most notices an hour on one channel while this rule speaks, in place of the channel's own.
    pub hourly_cap: Option<u32>,
    /// How long it must be so before somebody is told.
    pub pending: Duration,
}

impl Rule {
    /// A rule with what is usual for its kind.
    #[must_use]
    pub fn new(name: &str, on: On) -> Self {
        Self {
            name: name.to_owned(),
            enabled: true,
            on,
            search: None,
            logs: Vec::new(),
            window: 5 * MINUTE,
            limit: match on {
                On::DiskFull => Some(Limit::Below(DISK_DAYS)),
                On::Threshold => Some(Limit::AtLeast(1.0)),
                _ => None,
            },
            group_by: Vec::new(),
            environments: Vec::new(),
            levels: Vec::new(),
            level_min: None,
            channels: Vec::new(),
            quiet_hours: None,
            snooze: None,
            repeat: match on {
                // Each of these is another happening: it has its own limit where it is noticed.
                On::NewIssue | On::Reached | On::Security | On::ConfigurationError | On::Digest | On::Test => {
                    Duration::ZERO
                }
                On::DiskFull => 24 * HOUR,
                On::Regression | On::Spike | On::Silence | On::DeliveryFailing | On::Threshold => HOUR,
            },
            hourly_cap: None,
            pending: match on {
                On::DeliveryFailing => MINUTE,
                On::DiskFull => HOUR,
                _ => Duration::ZERO,
            },
        }
    }

    /// The rules that are there without writing one, named as what they listen to.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        let kinds = [
            On::NewIssue,
            On::Regression,
            On::Reached,
            On::Spike,
            On::Silence,
            On::Security,
            On::DiskFull,
            On::DeliveryFailing,
        ];
        kinds.into_iter().map(|on| Self::new(on.name(), on)).collect()
    }

    /// How long it must be over before that is said, so that what comes and goes is told once.
    #[must_use]
    pub fn calm(&self) -> Duration {
        match self.on {
            On::Spike | On::Threshold => self.window.max(5 * MINUTE),
            On::DiskFull => HOUR,
            _ => Duration::ZERO,
        }
    }

    /// The name of the group that an event belongs to: `user: alice, release: 1.1`. Empty if it does not count by keys.
    #[must_use]
    pub fn group(&self, value_of: impl Fn(&str) -> Option<String>) -> String {
        let named = |key: &String| {
            let value = value_of(key).unwrap_or_else(|| "none".to_owned());
            format!("{key}: {}", cut(&line(&value), GROUP_VALUE_CHARACTERS_MAX))
        };
        self.group_by.iter().map(named).collect::<Vec<_>>().join(", ")
    }

    /// The values by whose name a group goes, with their keys; none of one that is the rest of all groups.
    #[must_use]
    pub fn values_of<'g>(&self, group: &'g str) -> Vec<(&str, &'g str)> {
        let mut rest = group;
        let mut found = Vec::new();
        for (place, key) in self.group_by.iter().enumerate() {
            let Some(value) = rest.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix(": ")) else {
                return Vec::new();
            };
            let next = self.group_by.get(place + 1).map(|next| format!(", {next}: "));
            let end = next.and_then(|next| value.find(&next)).unwrap_or(value.len());
            found.push((key.as_str(), &value[..end]));
            rest = value[end..].strip_prefix(", ").unwrap_or("");
        }
        found
    }

    /// What happened when this value met its limit.
    #[must_use]
    pub fn trigger(&self, value: f64) -> Trigger {
        let limit = self.limit.map_or_else(String::new, Limit::says);
        Trigger::Threshold { value, limit, window_seconds: self.window.as_secs() }
    }

    /// Whether it listens to this log, environment and level. A rule that names environments or levels does not hear what has none.
    #[must_use]
    pub fn hears(&self, log: &str, environment: Option<&str>, level: Option<Level>) -> bool {
        let in_list = |list: &[String], name: &str| list.iter().any(|entry| entry == name);
        self.enabled
            && (self.logs.is_empty() || in_list(&self.logs, log))
            && (self.environments.is_empty() || environment.is_some_and(|name| in_list(&self.environments, name)))
            && (self.levels.is_empty() || level.is_some_and(|level| self.levels.contains(&level)))
            && self.level_min.is_none_or(|least| level.is_some_and(|level| level >= least))
    }
}
