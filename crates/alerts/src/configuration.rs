//! Configuration errors: who runs the application is told of each once, and then how often it was meant to be told again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use event::{Level, Timestamp};
use serde::{Deserialize, Serialize};

use crate::moment::{self, after, elapsed};
use crate::notice::{Fact, Notice, notice_id};
use crate::trigger::{On, Trigger};

/// Most different errors that are remembered.
pub const ERRORS_MAX: usize = 10_000;
/// Hours between two mails about the same error, unless a setting says otherwise.
pub const RATE_LIMIT_HOURS: u32 = 24;

/// What an application reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigurationError {
    /// `'ward_id' configuration is missing`
    pub message: String,
    /// `dashboardwidget:12`
    pub object: Option<String>,
    /// `/dash/12`
    pub url: Option<String>,
    /// `ward_id`
    pub config_field: Option<String>,
}

impl ConfigurationError {
    /// What makes it the same as another: message, object and field. Where it was met does not.
    #[must_use]
    pub fn key(&self) -> String {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        notice_id(&[&self.message, &part(&self.object), &part(&self.config_field)])
    }

    /// What is mailed, `held` being how many were not.
    #[must_use]
    pub fn notice(&self, log: &str, held: u64, now: Timestamp) -> Notice {
        let mut notice = Notice::new(On::ConfigurationError.name(), Trigger::ConfigurationError, now);
        notice.id = notice_id(&["configuration_error", log, &self.key(), &now.to_string()]);
        notice.title.clone_from(&self.message);
        log.clone_into(&mut notice.log);
        notice.level = Some(Level::Error);
        notice.message = Some(self.message.clone());
        notice.held = held;
        let facts = [("Object", &self.object), ("URL", &self.url), ("Field", &self.config_field)];
        let given = facts.into_iter().filter_map(|(label, value)| Some(Fact::new(label, value.clone()?)));
        notice.facts.extend(given);
        notice.bounded()
    }
}

/// Whether an error is to be mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailing {
    /// Mail it, and say how many of it were held since the last mail.
    Mail {
        /// How many.
        held: u64,
    },
    /// It was counted; it was mailed a short time ago.
    Held {
        /// How many are held now, this one included.
        held: u64,
    },
}

/// What is remembered of configuration errors: of each by itself, and bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationErrors {
    known: BTreeMap<String, Known>,
    /// Those of which something else is to be kept than before.
    changed: BTreeSet<String>,
    /// Held ones of errors that had to be forgotten.
    forgotten: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    #[serde(with = "moment::kept")]
    mailed: Timestamp,
    #[serde(default)]
    held: u64,
}

impl ConfigurationErrors {
    /// What was kept, by the keys of the errors; what cannot be read any more is as if it had never been.
    #[must_use]
    pub fn read(rows: Vec<(String, String)>) -> Self {
        let read = |(key, body): (String, String)| Some((key, serde_json::from_str(&body).ok()?));
        Self { known: rows.into_iter().filter_map(read).collect(), ..Self::default() }
    }

    /// What is to be kept of the errors that changed since this was asked last, as JSON; nothing of those that are forgotten.
    pub fn changed(&mut self) -> Vec<(String, Option<String>)> {
        let body = |key: &String| self.known.get(key).and_then(|known| serde_json::to_string(known).ok());
        std::mem::take(&mut self.changed).into_iter().map(|key| (key.clone(), body(&key))).collect()
    }

    /// Counts an error, and says whether it is to be mailed: the first, and the first after `hours` since the last mail.
    pub fn see(&mut self, error: &ConfigurationError, hours: u32, now: Timestamp) -> Mailing {
        let window = Duration::from_secs(3600 * u64::from(hours));
        let key = error.key();
        self.changed.insert(key.clone());
        if let Some(known) = self.known.get_mut(&key) {
            if elapsed(known.mailed, now) < window {
                known.held = known.held.saturating_add(1);
                return Mailing::Held { held: known.held };
            }
            known.mailed = now;
            return Mailing::Mail { held: std::mem::take(&mut known.held) };
        }
        if self.known.len() >= ERRORS_MAX {
            self.make_room(window, now);
        }
        self.known.insert(key, Known { mailed: now, held: 0 });
        Mailing::Mail { held: 0 }
    }

    /// Forgets a tenth: first those whose window is over and of which none is held, then those mailed longest ago.
    fn make_room(&mut self, window: Duration, now: Timestamp) {
        let over = |known: &Known| known.held == 0 && after(known.mailed, window) <= now;
        let mut order: Vec<(bool, Timestamp, String)> =
            self.known.iter().map(|(key, known)| (!over(known), known.mailed, key.clone())).collect();
        order.sort();
        for (_, _, key) in order.into_iter().take(ERRORS_MAX / 10) {
            if let Some(known) = self.known.remove(&key) {
                self.forgotten = self.forgotten.saturating_add(known.held);
                self.changed.insert(key);
            }
        }
    }

    /// How many different errors are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// How many are held and will be told with the next mail about the same error.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.known.values().map(|known| known.held).fold(0, u64::saturating_add)
    }

    /// How many were held of errors that had to make room for others. They were kept as records like all others.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
