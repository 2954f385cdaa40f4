//! What can call a person: the kinds, by the names that rules use, and what happened in one case.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::span_text;

/// What a rule listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// An error that was not there before.
    NewIssue,
    /// A resolved issue that is back.
    Regression,
    /// An issue that has been seen 10, 100, 1000, … times.
    Reached,
    /// Far more than is usual for it.
    Spike,
    /// Something that always spoke says nothing.
    Silence,
    /// A finding of [`crate::watch`].
    Security,
    /// The disk will be full in some days.
    DiskFull,
    /// Notices or forwarded events do not get through.
    DeliveryFailing,
    /// An application was configured wrongly.
    ConfigurationError,
    /// A search that found more or less than it should.
    Threshold,
    /// What was held back, told in one. No rule listens to it.
    Digest,
    /// Somebody tries a channel. No rule listens to it.
    Test,
}

/// Other names of the same: those of Rollbar, and plain ones.
const ALIASES: [(&str, On); 12] = [
    ("new_item", On::NewIssue),
    ("new", On::NewIssue),
    ("reactivated_item", On::Regression),
    ("regressed", On::Regression),
    ("exp_repeat_item", On::Reached),
    ("10^n", On::Reached),
    ("item_velocity", On::Threshold),
    ("search", On::Threshold),
    ("count", On::Threshold),
    ("disk", On::DiskFull),
    ("config_error", On::ConfigurationError),
    ("security_event", On::Security),
];

impl On {
    /// All that a rule may listen to.
    pub const ALL: [Self; 10] = [
        Self::NewIssue,
        Self::Regression,
        Self::Reached,
        Self::Spike,
        Self::Silence,
        Self::Security,
        Self::DiskFull,
        Self::DeliveryFailing,
        Self::ConfigurationError,
        Self::Threshold,
    ];

    /// Its name in rules, webhooks and state.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NewIssue => "new_issue",
            Self::Regression => "regression",
            Self::Reached => "reached",
            Self::Spike => "spike",
            Self::Silence => "silence",
            Self::Security => "security",
            Self::DiskFull => "disk_full",
            Self::DeliveryFailing => "delivery_failing",
            Self::ConfigurationError => "configuration_error",
            Self::Threshold => "threshold",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }

    /// Reads its name, or another that is in use for the same.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let named = Self::ALL.into_iter().find(|on| on.name() == text);
        named.or_else(|| ALIASES.iter().find(|(alias, _)| *alias == text).map(|(_, on)| *on))
    }

    /// Whether it happens at a moment, and not for a while.
    #[must_use]
    pub fn is_moment(self) -> bool {
        !matches!(self, Self::Spike | Self::Silence | Self::DiskFull | Self::DeliveryFailing | Self::Threshold)
    }
}

/// What happened, with its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An issue was opened.
    NewIssue,
    /// A resolved issue is back.
    Regression,
    /// An issue has been seen this often: a power of ten.
    Reached(u64),
    /// Far more than usual.
    Spike {
        /// How many there were.
        count: u64,
        /// How many there are usually.
        usual: u64,
        /// In how many seconds.
        window_seconds: u64,
    },
    /// A source that always spoke says nothing.
    Silence {
        /// For so many seconds.
        seconds: u64,
    },
    /// Somebody tries something.
    Security {
        /// How many times, in this finding.
        count: u64,
    },
    /// The disk will be full.
    DiskFull {
        /// In so many days.
        days: u64,
    },
    /// Something does not get through.
    DeliveryFailing {
        /// For so many seconds.
        seconds: u64,
    },
    /// An application was configured wrongly.
    ConfigurationError,
    /// A search found more or less than it should.
    Threshold {
        /// What was measured.
        value: f64,
        /// The limit, in words: `10 or more`.
        limit: String,
        /// Over how many seconds.
        window_seconds: u64,
    },
    /// What was held back.
    Digest {
        /// How many notices.
        count: u64,
    },
    /// Somebody tries a channel.
    Test,
}

impl Trigger {
    /// Which kind it is.
    #[must_use]
    pub fn on(&self) -> On {
        match self {
            Self::NewIssue => On::NewIssue,
            Self::Regression => On::Regression,
            Self::Reached(_) => On::Reached,
            Self::Spike { .. } => On::Spike,
            Self::Silence { .. } => On::Silence,
            Self::Security { .. } => On::Security,
            Self::DiskFull { .. } => On::DiskFull,
            Self::DeliveryFailing { .. } => On::DeliveryFailing,
            Self::ConfigurationError => On::ConfigurationError,
            Self::Threshold { .. } => On::Threshold,
            Self::Digest { .. } => On::Digest,
            Self::Test => On::Test,
        }
    }

    /// What happened, in a few words, none of which come from outside.
    #[must_use]
    pub fn says(&self) -> String {
        let span = |seconds: u64| span_text(Duration::from_secs(seconds));
        match self {
            Self::NewIssue => "New issue".to_owned(),
            Self::Regression => "Regression: it is back".to_owned(),
            Self::Reached(count) => format!("{} occurrences", grouped(*count)),
            Self::Spike { count, usual, window_seconds } => {
                format!("Spike: {} in {}, usually {}", grouped(*count), span(*window_seconds), grouped(*usual))
            }
            Self::Silence { seconds } => format!("Silence for {}", span(seconds - seconds % 60)),
            Self::Security { count } => format!("Security: {} times", grouped(*count)),
            Self::DiskFull { days: 0 } => "Disk full within a day".to_owned(),
            Self::DiskFull { days: 1 } => "Disk full in 1 day".to_owned(),
            Self::DiskFull { days } => format!("Disk full in {days} days"),
            Self::DeliveryFailing { seconds } => format!("Delivery failing for {}", span(*seconds)),
            Self::ConfigurationError => "Configuration error".to_owned(),
            Self::Threshold { value, limit, window_seconds } => {
                format!("{value} in {} (limit: {limit})", span(*window_seconds))
            }
            Self::Test => "Test: this channel works".to_owned(),
            Self::Digest { count: 1 } => "1 notice was held back".to_owned(),
            Self::Digest { count } => format!("{} notices were held back", grouped(*count)),
        }
    }

    /// The powers of ten that an issue reached which had been seen `before` times and now `after` times, in order. All of
    /// them, so that it makes no difference whether occurrences are counted one by one or many at once. One is a new issue.
    pub fn reached(before: u64, after: u64) -> impl Iterator<Item = Self> {
        let powers = (1..=19).map_while(|exponent| 10_u64.checked_pow(exponent));
        powers.filter(move |power| before < *power && *power <= after).map(Self::Reached)
    }
}

/// A number with a comma after each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_read() {
        for on in On::ALL {
            assert_eq!(On::parse(on.name()), Some(on));
            assert_eq!(serde_json::to_value(on).expect("a name"), on.name());
        }
        for (alias, on) in [
            ("new_item", On::NewIssue),
            ("exp_repeat_item", On::Reached),
            ("item_velocity", On::Threshold),
            ("reactivated_item", On::Regression),
        ] {
            assert_eq!(On::parse(alias), Some(on));
        }
        assert_eq!(On::parse("digest"), None);
    }

    #[test]
    fn powers_of_ten_are_reached_once() {
        let check = |before, after, expected: &[u64]| {
            let reached: Vec<Trigger> = Trigger::reached(before, after).collect();
            let expected: Vec<Trigger> = expected.iter().copied().map(Trigger::Reached).collect();
            assert_eq!(reached, expected, "{before} {after}");
        };
        check(0, 1, &[]);
        check(9, 9, &[]);
        check(9, 10, &[10]);
        check(10, 11, &[]);
        check(0, 1000, &[10, 100, 1000]);
        check(99, 1000, &[100, 1000]);
        check(1001, 1000, &[]);
        check(u64::MAX - 1, u64::MAX, &[]);
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(100), "100");
    }
}
