//! What is to be replaced, as the owner of a log writes it down.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use thiserror::Error;

use super::Level;

/// Most named keys of one log.
const KEYS_MAX: usize = 200;

/// Longest name of a key, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// Most patterns of one log: each is looked for in every text.
const PATTERNS_MAX: usize = 20;

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 500;

/// Memory that one compiled pattern may take, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// Longest name of a pattern, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// By what events are found and told apart: it cannot be replaced.
const OWN: [&str; 5] = ["id", "timestamp", "received", "sequence", "stream"];

/// What a log says of redaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How much is replaced; none for what holds for all logs.
    pub level: Option<Level>,
    /// Keys whose values go, whatever they are.
    pub keys: Vec<String>,
    /// Regular expressions by the names in their marks. What they match goes, wherever it stands.
    pub patterns: BTreeMap<String, String>,
}

/// Why a setting cannot be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SettingError(String);

impl Settings {
    /// Reads a level, a list of keys, or an object with `level`, `keys` and `patterns`.
    ///
    /// # Errors
    /// When it is neither; the message names what is wrong and where.
    pub fn parse(value: &Value) -> Result<Self, SettingError> {
        let settings = match value {
            Value::String(level) => Self { level: Some(read_level(level)?), ..Self::default() },
            Value::Array(_) => Self { keys: read_keys(value)?, ..Self::default() },
            Value::Object(object) => {
                let mut settings = Self::default();
                for (name, value) in object {
                    match name.as_str() {
                        "level" => settings.level = Some(read_level(value.as_str().unwrap_or(&value.to_string()))?),
                        "keys" => settings.keys = read_keys(value)?,
                        "patterns" => settings.patterns = read_patterns(value)?,
                        _ => {
                            return Err(SettingError(format!(
                                "unknown key {name:?}; there are level, keys and patterns"
                            )));
                        }
                    }
                }
                settings
            }
            _ => {
                let what = "expected \"off\", \"standard\", \"strict\", a list of keys such as [\"card\"], or { level, keys, patterns }";
                return Err(SettingError(format!("{what}, found {value}")));
            }
        };
        settings.patterns.iter().try_for_each(|(name, pattern)| compile(name, pattern).map(drop))?;
        Ok(settings)
    }

    /// These and those: the higher level, all keys, all patterns.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.level = self.level.max(other.level);
        both.keys.extend(other.keys.iter().filter(|key| !self.keys.contains(key)).cloned());
        both.patterns.extend(other.patterns.iter().map(|(name, pattern)| (name.clone(), pattern.clone())));
        both
    }
}

fn read_level(text: &str) -> Result<Level, SettingError> {
    Level::parse(text)
        .ok_or_else(|| SettingError(format!("the levels are \"off\", \"standard\" and \"strict\", found {text:?}")))
}

fn read_keys(value: &Value) -> Result<Vec<String>, SettingError> {
    let names: Option<Vec<String>> =
        value.as_array().and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
    let names = names.ok_or_else(|| {
        SettingError(format!("expected a list of names such as [\"card\", \"password\"], found {value}"))
    })?;
    if names.len() > KEYS_MAX {
        return Err(SettingError(format!("{} names: at most {KEYS_MAX} are looked for", names.len())));
    }
    for name in &names {
        if name.is_empty() || name.len() > KEY_BYTES_MAX {
            return Err(SettingError(format!("{name:?} cannot be the name of a key")));
        }
        if OWN.contains(&name.as_str()) {
            let what = "is what events are found and told apart by: it cannot be replaced";
            return Err(SettingError(format!("{name:?} {what}")));
        }
    }
    Ok(names)
}

fn read_patterns(value: &Value) -> Result<BTreeMap<String, String>, SettingError> {
    let wrong = || SettingError(format!("patterns: expected {{ ticket = \"TCK-[0-9]{{6}}\" }}, found {value}"));
    let object = value.as_object().ok_or_else(wrong)?;
    if object.len() > PATTERNS_MAX {
        return Err(SettingError(format!("{} patterns: at most {PATTERNS_MAX} are looked for", object.len())));
    }
    object.iter().map(|(name, pattern)| Ok((name.clone(), pattern.as_str().ok_or_else(wrong)?.to_owned()))).collect()
}

/// Makes a pattern ready, or says what is wrong with it and at which byte.
pub(super) fn compile(name: &str, pattern: &str) -> Result<Regex, SettingError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        return Err(SettingError(format!("the name {name:?} of a pattern is of letters, digits, _ and -")));
    }
    if pattern.len() > PATTERN_BYTES_MAX {
        let what = format!("the pattern {name} has {} bytes: at most {PATTERN_BYTES_MAX} are taken", pattern.len());
        return Err(SettingError(what));
    }
    let limit = |what: &mut RegexBuilder| what.size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX).build();
    let compiled = limit(&mut RegexBuilder::new(pattern)).map_err(|error| {
        let (what, place) = told(&error);
        SettingError(format!("the pattern {name} = {pattern:?} cannot be read{place}: {what}"))
    })?;
    if compiled.is_match("") {
        return Err(SettingError(format!(
            "the pattern {name} = {pattern:?} matches an empty text: it would match everywhere"
        )));
    }
    Ok(compiled)
}

/// What a message of the parser says in its last line, and the place that it points at.
fn told(error: &regex::Error) -> (String, String) {
    let text = error.to_string();
    let pointer = text.lines().find(|line| line.trim_start().starts_with('^'));
    // The pattern stands four blanks from the left.
    let column = pointer.and_then(|line| line.find('^')).map(|at| at.saturating_sub(4));
    let what = text.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
    (what, column.map(|column| format!(" at character {}", column + 1)).unwrap_or_default())
}
