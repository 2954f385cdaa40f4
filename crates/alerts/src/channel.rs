//! What decides whether a notice goes to a channel; how it is spoken to is not known here.

use event::Level;
use serde_json::{Map, Value};

use crate::hours::QuietHours;
use crate::settings::{SettingError, Settings};

/// Most notices an hour to one channel, unless its settings say otherwise: a person reads no more.
pub const HOURLY_CAP: u32 = 20;
/// Most that a setting may ask for: each is a moment that is remembered for an hour.
pub const HOURLY_CAP_MAX: u32 = 1000;

/// The kind of the channels that get errors themselves.
pub const TRACKER: &str = "sentry";

/// The settings of a channel that are read here. Its address and secrets are others' to read.
pub const CHANNEL_KEYS: [&str; 7] =
    ["enabled", "environments", "rules", "level_min", "quiet_hours", "timezone", "hourly_cap"];

/// Which notices a channel takes, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Whether it gets anything.
    pub enabled: bool,
    /// Only notices of these environments; of all if empty.
    pub environments: Vec<String>,
    /// Only notices of these rules; of all if empty.
    pub rules: Vec<String>,
    /// Only notices of this level or above.
    pub level_min: Option<Level>,
    /// When it is to be left alone, but for what is critical.
    pub quiet_hours: Option<QuietHours>,
    /// Most notices an hour.
    pub hourly_cap: u32,
    /// Whether it gets errors themselves, as a tracker does, and no notices.
    pub errors: bool,
}

impl Channel {
    /// A channel that takes everything.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            enabled: true,
            environments: Vec::new(),
            rules: Vec::new(),
            level_min: None,
            quiet_hours: None,
            hourly_cap: HOURLY_CAP,
            errors: false,
        }
    }

    /// Reads those settings that are in [`CHANNEL_KEYS`]; the caller reads the others, and refuses what nobody knows.
    ///
    /// # Errors
    ///
    /// If a value is not what its key needs.
    pub fn read(name: &str, settings: &Map<String, Value>) -> Result<Self, SettingError> {
        let errors = settings.get("kind").and_then(Value::as_str) == Some(TRACKER);
        let known = |(key, _): &(&String, &Value)| CHANNEL_KEYS.contains(&key.as_str());
        let own: Map<String, Value> =
            settings.iter().filter(known).map(|(key, value)| (key.clone(), value.clone())).collect();
        let settings = Settings::new(format!("channel {name}"), &own, &CHANNEL_KEYS)?;
        Ok(Self {
            name: name.to_owned(),
            enabled: settings.flag("enabled")?.unwrap_or(true),
            environments: settings.list("environments")?.unwrap_or_default(),
            rules: settings.list("rules")?.unwrap_or_default(),
            level_min: settings.level("level_min")?,
            quiet_hours: settings.quiet_hours()?,
            hourly_cap: settings.whole("hourly_cap", 1, HOURLY_CAP_MAX)?.unwrap_or(HOURLY_CAP),
            errors,
        })
    }

    /// Whether an error is one that it passes on. One without an environment goes to channels that name none: what is
    /// said to be for production alone is not guessed.
    #[must_use]
    pub fn passes_on(&self, environment: Option<&str>, level: Level) -> bool {
        let here = self.environments.is_empty()
            || environment.is_some_and(|name| self.environments.iter().any(|known| known == name));
        self.errors && self.enabled && here && self.level_min.is_none_or(|least| level >= least)
    }
}
