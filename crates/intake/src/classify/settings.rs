//! How events are classified, as the owner of a log writes it down.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};
use thiserror::Error;

use super::probes;

/// Most patterns of a log, of its own and excepted, each.
const PATTERNS_MAX: usize = 500;

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 200;

/// Longest name of a class or a crawler, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Most ranges of addresses: all are tried for an event of their crawler.
const RANGES_MAX: usize = 5000;

/// What a log says of classification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether anything is added at all.
    pub is_on: bool,
    /// Whether many small hits of one source are told as one finding.
    pub watches: bool,
    /// Patterns of probes beside the built-in ones, by their classes.
    pub probes: BTreeMap<String, Vec<String>>,
    /// Patterns of what is no probe here, and classes of the built-in list that are none.
    pub except: Vec<String>,
    /// The addresses of crawlers by their names.
    pub crawlers: BTreeMap<String, Vec<IpNet>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { is_on: true, watches: true, probes: BTreeMap::new(), except: Vec::new(), crawlers: BTreeMap::new() }
    }
}

/// Why a setting cannot be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SettingError(String);

impl Settings {
    /// Reads true, false, or an object with `probes`, `except` and `crawlers`.
    ///
    /// # Errors
    /// When it is neither; the message names what is wrong and where.
    pub fn parse(value: &Value) -> Result<Self, SettingError> {
        let object = match value {
            Value::Bool(is_on) => return Ok(Self { is_on: *is_on, ..Self::default() }),
            Value::Object(object) => object,
            _ => {
                return Err(SettingError(format!(
                    "expected true, false, or {{ watch, probes, except, crawlers }}, found {value}"
                )));
            }
        };
        let mut settings = Self::default();
        for (name, value) in object {
            match name.as_str() {
                "watch" => {
                    let truth = value.as_bool();
                    settings.watches =
                        truth.ok_or_else(|| SettingError(format!("watch: expected true or false, found {value}")))?;
                }
                "probes" => settings.probes = read_probes(value)?,
                "except" => settings.except = read_except(value)?,
                "crawlers" => settings.crawlers = read_crawlers(value)?,
                _ => {
                    return Err(SettingError(format!(
                        "unknown key {name:?}; there are watch, probes, except and crawlers"
                    )));
                }
            }
        }
        Ok(settings)
    }

    /// These beside those: on where both are, with all patterns and ranges.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.is_on &= other.is_on;
        both.watches &= other.watches;
        for (class, patterns) in &other.probes {
            both.probes.entry(class.clone()).or_default().extend(patterns.iter().cloned());
        }
        both.except.extend(other.except.iter().cloned());
        for (name, ranges) in &other.crawlers {
            both.crawlers.entry(name.clone()).or_default().extend(ranges);
        }
        both
    }
}

/// Whether an entry of `except` is the name of a class: a pattern has a slash, a dot or a star.
pub(super) fn is_class(entry: &str) -> bool {
    !entry.contains(['/', '.', '*'])
}

fn read_probes(value: &Value) -> Result<BTreeMap<String, Vec<String>>, SettingError> {
    let example = "probes = { shop = [\"/old-admin\", \"setup.cgi\"] }";
    let mut probes = BTreeMap::new();
    for (class, patterns) in read_table(value, example)? {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if class.is_empty() || class.len() > NAME_BYTES_MAX || !class.bytes().all(plain) {
            return Err(SettingError(format!("probes: the class {class:?} is of letters, digits, _ and -")));
        }
        let patterns = read_texts(patterns, example)?;
        patterns.iter().try_for_each(|pattern| check_pattern("probes", pattern))?;
        probes.insert(class.clone(), patterns);
    }
    check_count("probes: patterns", probes.values().map(Vec::len).sum(), PATTERNS_MAX)?;
    Ok(probes)
}

fn read_except(value: &Value) -> Result<Vec<String>, SettingError> {
    let entries = read_texts(value, "except = [\"wordpress\", \"/config.json\"]")?;
    check_count("except: entries", entries.len(), PATTERNS_MAX)?;
    for entry in &entries {
        if !is_class(entry) {
            check_pattern("except", entry)?;
        } else if !probes::is_built_in(entry) {
            let classes = probes::classes().join(", ");
            let what = "is neither a path (write \"/it\") nor a class; the classes are";
            return Err(SettingError(format!("except: {entry:?} {what} {classes}")));
        }
    }
    Ok(entries)
}

fn read_crawlers(value: &Value) -> Result<BTreeMap<String, Vec<IpNet>>, SettingError> {
    let example = "crawlers = { Googlebot = [\"66.249.64.0/19\"] }";
    let mut crawlers = BTreeMap::new();
    for (name, ranges) in read_table(value, example)? {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(SettingError(format!("crawlers: {name:?} cannot be the name of a crawler")));
        }
        let ranges = read_texts(ranges, example)?;
        let read = |text: &String| {
            let range = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            range.ok_or_else(|| SettingError(format!("crawlers: {name}: {text:?} is no range; expected {example}")))
        };
        crawlers.insert(name.clone(), ranges.iter().map(read).collect::<Result<_, _>>()?);
    }
    check_count("crawlers: ranges", crawlers.values().map(Vec::len).sum(), RANGES_MAX)?;
    Ok(crawlers)
}

fn read_table<'v>(value: &'v Value, example: &str) -> Result<&'v Map<String, Value>, SettingError> {
    value.as_object().ok_or_else(|| SettingError(format!("expected {example}, found {value}")))
}

fn read_texts(value: &Value, example: &str) -> Result<Vec<String>, SettingError> {
    let texts = value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
    texts.flatten().ok_or_else(|| SettingError(format!("expected {example}, found {value}")))
}

fn check_count(what: &str, count: usize, max: usize) -> Result<(), SettingError> {
    if count <= max { Ok(()) } else { Err(SettingError(format!("{what}: {count} are more than {max}"))) }
}

fn check_pattern(what: &str, pattern: &str) -> Result<(), SettingError> {
    let body = pattern.strip_prefix('*').unwrap_or(pattern);
    let body = body.strip_suffix('*').unwrap_or(body);
    if body.trim_matches('/').is_empty() || pattern.len() > PATTERN_BYTES_MAX {
        let detail = format!("has 1 to {PATTERN_BYTES_MAX} bytes beside / and *");
        return Err(SettingError(format!("{what}: a pattern {detail}, found {pattern:?}")));
    }
    if body.contains('*') {
        return Err(SettingError(format!("{what}: * stands only at the beginning and the end, found {pattern:?}")));
    }
    Ok(())
}
