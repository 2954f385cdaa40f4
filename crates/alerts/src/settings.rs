//! Settings read from a map, key by key: what is unknown or of the wrong kind is an error that says what would be right.

use std::time::Duration;

use event::suggest::suggest;
use event::{Level, Timestamp};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::hours::QuietHours;
use crate::moment::span;

/// Most entries of a list in a setting.
pub(crate) const LIST_MAX: usize = 64;
/// Longest text in a setting, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 4096;

/// Why rules or channels cannot be as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    /// There is no such key.
    #[error("{place}: there is no key `{key}`; {hint}")]
    UnknownKey {
        /// `rule spike`
        place: String,
        /// As written.
        key: String,
        /// One that is near, or all of them.
        hint: String,
    },
    /// A value is not what its key needs.
    #[error("{place}: `{key}` must be {expected}, not {found}")]
    Value {
        /// `rule spike`
        place: String,
        /// Of which key.
        key: String,
        /// What would be right.
        expected: String,
        /// What stands there, shortened.
        found: String,
    },
    /// Keys that do not go together, or one that is missing.
    #[error("{place}: {detail}")]
    Together {
        /// `rule spike`
        place: String,
        /// Which, and what to do.
        detail: String,
    },
}

/// A map whose keys are looked at one by one.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    place: String,
    map: &'a Map<String, Value>,
}

impl<'a> Settings<'a> {
    /// Of `place`, which an error names; every key must be one of `known`.
    pub(crate) fn new(place: String, map: &'a Map<String, Value>, known: &[&str]) -> Result<Self, SettingError> {
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            let near = suggest(key, known.iter().copied());
            let hint =
                near.map_or_else(|| format!("known are {}", known.join(", ")), |near| format!("is it `{near}`?"));
            return Err(SettingError::UnknownKey { place, key: key.clone(), hint });
        }
        Ok(Self { place, map })
    }

    pub(crate) fn together(&self, detail: impl Into<String>) -> SettingError {
        SettingError::Together { place: self.place.clone(), detail: detail.into() }
    }

    pub(crate) fn wrong(&self, key: &str, expected: impl Into<String>) -> SettingError {
        let found = self.map.get(key).map(ToString::to_string).unwrap_or_default();
        let found = crate::clean::cut(&found, 80);
        SettingError::Value { place: self.place.clone(), key: key.to_owned(), expected: expected.into(), found }
    }

    /// The value of a key; null is as good as nothing.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, SettingError> {
        self.get(key).map(|value| value.as_bool().ok_or_else(|| self.wrong(key, "true or false"))).transpose()
    }

    pub(crate) fn text(&self, key: &str, expected: &str) -> Result<Option<&'a str>, SettingError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let fits = value.as_str().filter(|text| !text.is_empty() && text.len() <= TEXT_BYTES_MAX);
        fits.map(Some).ok_or_else(|| self.wrong(key, expected))
    }

    pub(crate) fn whole(&self, key: &str, least: u32, most: u32) -> Result<Option<u32>, SettingError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let fits = number.filter(|number| (least..=most).contains(number));
        fits.map(Some).ok_or_else(|| self.wrong(key, format!("a whole number from {least} to {most}")))
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, SettingError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let fits = value.as_f64().filter(|number| number.is_finite());
        fits.map(Some).ok_or_else(|| self.wrong(key, "a number"))
    }

    pub(crate) fn span(&self, key: &str) -> Result<Option<Duration>, SettingError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_u64().map(|seconds| seconds.to_string());
        let read = number.as_deref().or_else(|| value.as_str()).and_then(span);
        read.map(Some).ok_or_else(|| self.wrong(key, "a span like 30s, 5m or 1h, of a year at most"))
    }

    pub(crate) fn moment(&self, key: &str) -> Result<Option<Timestamp>, SettingError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let read = value.as_str().and_then(Timestamp::parse).map(|(moment, _)| moment);
        read.map(Some).ok_or_else(|| self.wrong(key, "the moment until which, like 2026-01-02T08:00:00Z"))
    }

    pub(crate) fn level(&self, key: &str) -> Result<Option<Level>, SettingError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let read = value.as_str().and_then(Level::parse);
        read.map(Some).ok_or_else(|| self.wrong(key, level_names()))
    }

    /// A list of texts; one alone may stand without brackets.
    pub(crate) fn list(&self, key: &str) -> Result<Option<Vec<String>>, SettingError> {
        let wrong = || self.wrong(key, format!("a text or a list of up to {LIST_MAX} texts"));
        let one = |value: &Value| {
            let text = value.as_str().filter(|text| !text.is_empty() && text.len() <= TEXT_BYTES_MAX);
            text.map(str::to_owned).ok_or_else(wrong)
        };
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(values)) if values.len() <= LIST_MAX => {
                values.iter().map(one).collect::<Result<_, _>>().map(Some)
            }
            Some(value) => one(value).map(|text| Some(vec![text])),
        }
    }

    pub(crate) fn levels(&self, key: &str) -> Result<Option<Vec<Level>>, SettingError> {
        let Some(names) = self.list(key)? else { return Ok(None) };
        let read: Option<Vec<Level>> = names.iter().map(|name| Level::parse(name)).collect();
        read.map(Some).ok_or_else(|| self.wrong(key, level_names()))
    }

    /// Quiet hours stand in `quiet_hours`, their zone in `timezone`.
    pub(crate) fn quiet_hours(&self) -> Result<Option<QuietHours>, SettingError> {
        let zone = self.text("timezone", "a zone like Europe/Paris")?;
        let Some(text) = self.text("quiet_hours", "two times of day like 22:00-07:00")? else {
            return if zone.is_some() {
                Err(self.together("`timezone` is that of `quiet_hours`: give both"))
            } else {
                Ok(None)
            };
        };
        let key_of = |expected: &str| if expected.starts_with("a zone") { "timezone" } else { "quiet_hours" };
        let read = QuietHours::parse(text, zone.unwrap_or("UTC"));
        read.map(Some).map_err(|expected| self.wrong(key_of(expected), expected))
    }
}

fn level_names() -> String {
    let names: Vec<&str> = Level::ALL.iter().map(|level| level.name()).collect();
    format!("of {}", names.join(", "))
}
