//! What a log does with its events: keys that are added, values that are replaced, the log they are kept in, the door
//! for visitors.
//!
//! Settings come from the file and from whoever administrates a running server. What the file names holds; the rest can
//! be set at runtime, and is kept in the catalog.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use event::Level;
use event::limits::LOG_NAME_BYTES_MAX;
use event::suggest::suggest;
use intake::classify::{Classifier, Settings as ClassifySettings};
use intake::keys::{Facts, KEYS_MAX, Key, complete};
use intake::redact::{Level as Redaction, Redact, Redacted, Settings as RedactSettings};
use intake::visitor::NAME_BYTES_MAX;
use intake::{Decoded, Reason};
use serde_json::{Map, Value, json};
use store::LogId;

use crate::Engine;
use crate::logs::LogError;

/// Settings of a log by their names, as JSON.
pub type Options = Map<String, Value>;

/// The names of the settings that are rules.
pub const OPTIONS: [&str; 10] =
    ["keys", "fields", "index", "path", "public_write", "ga4", "arrays", "redact", "errors_per_minute", "classify"];

/// Most fixed fields of a log.
const NAMES_MAX: usize = 200;

/// Longest path of a visitor endpoint, in bytes.
const PATH_BYTES_MAX: usize = 256;

/// Paths and beginnings of paths that are doors already, or are kept for those to come.
const DOORS: [&str; 20] = [
    "/api",
    "/issues",
    "/g/collect",
    "/debug/mp",
    "/QuickPulseService.svc",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/es",
    "/v1",
    "/v2",
    "/v2.1",
    "/mp",
    "/widget",
    "/console",
    "/assets",
    "/favicon.ico",
    "/robots.txt",
    "/.well-known",
];

/// Fields that are not fixed for a whole log.
const OWN: [&str; 5] = ["id", "timestamp", "received", "sequence", "stream"];

/// The rules of one log.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The name of the log.
    pub log: String,
    /// Keys that the server adds.
    pub keys: Vec<Key>,
    /// Fixed fields of visits.
    pub fields: Map<String, Value>,
    /// The log that keeps the events.
    pub index: Option<String>,
    /// The path of the visitor endpoint.
    pub path: Option<String>,
    /// Whether any visitor may use it.
    pub public_write: bool,
    /// The measurement id of Google Analytics 4 whose visitors it takes.
    pub ga4: Option<String>,
    /// Whether a repeated argument becomes a list.
    pub arrays: bool,
    /// So many errors of a minute are kept; the others are counted alone.
    pub errors_per_minute: Option<u64>,
    redact: Redact,
    /// What this comes from; none for what holds for all logs.
    redaction: Option<RedactSettings>,
    classify: Option<Arc<Classifier>>,
    /// What that comes from.
    classification: Option<ClassifySettings>,
}

/// The settings of all logs, and the rules they come to.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// As they were set at runtime, by log.
    runtime: BTreeMap<String, Options>,
    /// As the file has them.
    file: BTreeMap<String, Options>,
    rules: HashMap<LogId, Arc<Rules>>,
    paths: HashMap<String, LogId>,
    measurements: HashMap<String, LogId>,
    /// What is replaced in logs that say nothing of it.
    redaction: Redaction,
    redact: Arc<Redact>,
    classify: Arc<Classifier>,
}

/// The settings of a log as they are shown: each with its value, and which stand in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownOptions {
    /// All of them.
    pub values: Options,
    /// The names of those that only the file can change.
    pub in_file: Vec<String>,
    /// The names of those that were set at runtime, and hold.
    pub at_runtime: Vec<String>,
}

impl Settled {
    /// No settings: what is replaced is the same in all logs.
    pub(crate) fn of(redaction: Redaction) -> Self {
        Self { redaction, ..Self::default() }
    }

    /// What holds for a log.
    fn effective(&self, log: &str) -> Options {
        merged(self.runtime.get(log), self.file.get(log))
    }

    pub(crate) fn shown(&self, log: &str) -> ShownOptions {
        let set = self.effective(log);
        let default = |name: &str| match name {
            "keys" => json!([]),
            "redact" => json!(self.redaction.name()),
            "fields" => json!({}),
            "public_write" | "arrays" => json!(false),
            "classify" => json!(true),
            _ => Value::Null,
        };
        let value = |name: &&str| ((*name).to_owned(), set.get(*name).cloned().unwrap_or_else(|| default(name)));
        let in_file: Vec<String> =
            self.file.get(log).map(|options| options.keys().cloned().collect()).unwrap_or_default();
        let at_runtime = set.keys().filter(|name| !in_file.contains(name)).cloned().collect();
        ShownOptions { values: OPTIONS.iter().map(value).collect(), in_file, at_runtime }
    }

    pub(crate) fn rules(&self, log: LogId) -> Option<Arc<Rules>> {
        self.rules.get(&log).cloned()
    }

    /// Whether the file says something of a log.
    pub(crate) fn is_in_file(&self, log: &str) -> bool {
        self.file.contains_key(log)
    }

    /// A log whose events are kept in this one.
    pub(crate) fn kept_in(&self, log: &str) -> Option<String> {
        self.rules.values().find(|rules| rules.index.as_deref() == Some(log)).map(|rules| rules.log.clone())
    }

    pub(crate) fn with(&self, log: &str, runtime: Options) -> Self {
        let mut changed = Self { runtime: self.runtime.clone(), file: self.file.clone(), ..Self::of(self.redaction) };
        changed.runtime.insert(log.to_owned(), runtime);
        changed
    }
}

fn merged(below: Option<&Options>, above: Option<&Options>) -> Options {
    let mut merged = below.cloned().unwrap_or_default();
    merged.extend(above.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    merged
}

impl Engine {
    /// Takes the settings of logs as the file has them, together with what was set at runtime, and makes logs that are
    /// not there. What was set at runtime and cannot be any more is left out, and told.
    ///
    /// # Errors
    /// When what the file says cannot be; the message names the log and the setting.
    pub fn configure_logs(&self, file: BTreeMap<String, Options>) -> Result<(), LogError> {
        for log in file.keys() {
            self.create_log(log)?;
        }
        let redaction = self.settings.redact;
        let mut settled = Settled { file, ..Settled::of(redaction) };
        self.settle(&mut settled)?;
        let mut kept = self.store.catalog().log_settings()?;
        kept.retain(|(_, settings)| settings != "{}");
        let names = self.log_numbers();
        let mut runtime: BTreeMap<String, Options> = BTreeMap::new();
        for (log, settings) in kept {
            let Some(name) = names.get(&log) else { continue };
            let options: Options = serde_json::from_str(&settings).unwrap_or_default();
            self.tell_of_conflicts(name, &options, settled.file.get(name));
            runtime.insert(name.clone(), options);
        }
        let mut whole = Settled { runtime: runtime.clone(), file: settled.file.clone(), ..Settled::of(redaction) };
        if self.settle(&mut whole).is_ok() {
            self.logs.write().settled = whole;
            return Ok(());
        }
        for (name, options) in runtime {
            let mut with = settled.with(&name, options);
            match self.settle(&mut with) {
                Ok(()) => settled = with,
                Err(error) => self.internal(
                    Level::Error,
                    "log_settings_left_out",
                    &format!("what was set at runtime for the log {name} cannot be any more and is left out: {error}"),
                    &[("log", event::Value::Str(&name))],
                ),
            }
        }
        self.logs.write().settled = settled;
        Ok(())
    }

    fn tell_of_conflicts(&self, log: &str, runtime: &Options, file: Option<&Options>) {
        let Some(file) = file else { return };
        let differs = |name: &&String| file.get(*name).is_some_and(|value| *value != runtime[*name]);
        let names: Vec<&str> = runtime.keys().filter(differs).map(String::as_str).collect();
        if !names.is_empty() {
            let names = names.join(", ");
            let message = format!("{names} of the log {log} had been set at runtime too: what the file says holds");
            self.internal(Level::Warning, "log_settings_in_file", &message, &[("log", event::Value::Str(log))]);
        }
    }

    /// Changes settings at runtime; null goes back to the default.
    ///
    /// # Errors
    /// When a setting stands in the file, or cannot be. Nothing is changed then.
    pub(crate) fn change_options(&self, log: &str, change: &Options) -> Result<(), LogError> {
        let _one_at_a_time = self.setting.lock();
        let mut changed = {
            let logs = self.logs.read();
            let fixed = logs.settled.file.get(log);
            let in_file = |name: &&String| fixed.is_some_and(|fixed| fixed.contains_key(*name));
            if let Some(name) = change.keys().find(in_file) {
                return Err(LogError::InFile { log: log.to_owned(), setting: name.clone() });
            }
            let mut runtime = logs.settled.runtime.get(log).cloned().unwrap_or_default();
            for (name, value) in change {
                if value.is_null() {
                    known_option(log, name)?;
                    runtime.shift_remove(name);
                } else {
                    runtime.insert(name.clone(), value.clone());
                }
            }
            logs.settled.with(log, runtime)
        };
        // Looked at before the log is made, and then once more with its number.
        self.settle(&mut changed)?;
        let id = self.create_log(log)?;
        self.settle(&mut changed)?;
        let settings = Value::Object(changed.runtime.get(log).cloned().unwrap_or_default()).to_string();
        self.store.catalog().set_log_settings(id, &settings)?;
        self.logs.write().settled = changed;
        Ok(())
    }

    /// Makes rules of the settings, each log for itself and then all together.
    pub(crate) fn settle(&self, settled: &mut Settled) -> Result<(), LogError> {
        let names: BTreeSet<String> = settled.file.keys().chain(settled.runtime.keys()).cloned().collect();
        let mut all: BTreeMap<String, Rules> = BTreeMap::new();
        for log in &names {
            let options = settled.effective(log);
            if !options.is_empty() {
                all.insert(log.clone(), self.rules_of(log, &options)?);
            }
        }
        for rules in all.values() {
            self.check_index(rules, &all)?;
        }
        let redacted: BTreeMap<String, RedactSettings> =
            all.iter().map(|(log, rules)| (log.clone(), rules.redaction.clone().unwrap_or_default())).collect();
        settled.redact = Arc::new(self.redact_of("", &RedactSettings::default())?);
        settled.classify = self.classifier(&ClassifySettings::default());
        let classified: BTreeMap<String, ClassifySettings> =
            all.iter().filter_map(|(log, rules)| Some((log.clone(), rules.classification.clone()?))).collect();
        let mut visited: BTreeMap<String, String> = BTreeMap::new();
        let mut measured: BTreeMap<String, String> = BTreeMap::new();
        for (log, mut rules) in all {
            // What must not be in a log must not come into it under another name either.
            let of_index = rules.index.as_ref().map(|index| redacted.get(index).cloned().unwrap_or_default());
            let own = RedactSettings {
                level: rules
                    .redaction
                    .as_ref()
                    .and_then(|own| own.level)
                    .or(of_index.is_some().then_some(Redaction::Off)),
                ..rules.redaction.clone().unwrap_or_default()
            };
            let both = of_index.map_or_else(
                || own.clone(),
                |index| own.and(&RedactSettings { level: Some(index.level.unwrap_or(settled.redaction)), ..index }),
            );
            rules.redact = self.redact_of(&log, &both)?.but_for(rules.keys.iter().map(Key::name));
            // A log that is kept in another follows its rules too.
            let of_index = rules.index.as_ref().and_then(|index| classified.get(index));
            rules.classify = match (&rules.classification, of_index) {
                (Some(own), Some(index)) => Some(self.classifier(&own.and(index))),
                (Some(one), None) | (None, Some(one)) => Some(self.classifier(one)),
                (None, None) => None,
            };
            if let Some(path) = &rules.path
                && let Some(other) = visited.insert(path.clone(), log.clone())
            {
                let detail = format!("the path {path:?} is that of the log {other:?} already: each has its own");
                return Err(wrong(&log, detail));
            }
            if let Some(id) = &rules.ga4
                && let Some(other) = measured.insert(id.clone(), log.clone())
            {
                return Err(wrong(&log, format!("ga4: the log {other:?} takes {id:?} already")));
            }
            let Some(id) = self.logs.read().id(&log) else { continue };
            settled.measurements.extend(rules.ga4.iter().map(|measurement| (measurement.clone(), id)));
            settled.paths.extend(rules.path.iter().map(|path| (path.clone(), id)));
            settled.rules.insert(id, Arc::new(rules));
        }
        Ok(())
    }

    fn classifier(&self, settings: &ClassifySettings) -> Arc<Classifier> {
        let classifier = Classifier::new(settings);
        Arc::new(match &self.settings.crawlers {
            Some(known) => classifier.with_known(Arc::clone(known)),
            None => classifier,
        })
    }

    /// Makes rules of what a log says, with the key if they need one.
    fn redact_of(&self, log: &str, settings: &RedactSettings) -> Result<Redact, LogError> {
        let strict = settings.level.unwrap_or(self.settings.redact) == Redaction::Strict;
        let key = if strict { Some(self.redact_key().map_err(|detail| wrong(log, detail))?) } else { None };
        Redact::new(settings, self.settings.redact, key.as_ref())
            .map_err(|error| wrong(log, format!("redact: {error}")))
    }

    fn check_index(&self, rules: &Rules, all: &BTreeMap<String, Rules>) -> Result<(), LogError> {
        let (log, Some(index)) = (&rules.log, &rules.index) else { return Ok(()) };
        if log == index {
            return Err(wrong(log, "index names the log itself: leave it out".to_owned()));
        }
        if let Some(further) = all.get(index).and_then(|rules| rules.index.as_ref()) {
            let detail =
                format!("index = {index:?} leads on to {further:?}: name the log in which the events are kept");
            return Err(wrong(log, detail));
        }
        let logs = self.logs.read();
        let target = logs.id(index).ok_or_else(|| wrong(log, format!("index: {}", self.unknown(&logs, index))))?;
        let own = logs.id(log);
        let held = own.filter(|own| *own != target).map_or(0, |own| self.store.size(own).events);
        if held > 0 {
            let detail = format!(
                "it holds {held} events of its own, which nobody would find once index = {index:?}: export them, import them into {index}, and give the index to a log with another name"
            );
            return Err(wrong(log, detail));
        }
        Ok(())
    }

    fn rules_of(&self, log: &str, options: &Options) -> Result<Rules, LogError> {
        let mut rules = Rules { log: log.to_owned(), ..Rules::default() };
        for (name, value) in options {
            known_option(log, name)?;
            let read = match name.as_str() {
                "keys" => read_keys(value, &self.settings.environment).map(|keys| rules.keys = keys),
                "fields" => read_fields(value).map(|fields| rules.fields = fields),
                "index" => read_text(value, "the name of a log").map(|index| rules.index = Some(index)),
                "path" => read_path(value).map(|path| rules.path = Some(path)),
                "public_write" => read_truth(value).map(|truth| rules.public_write = truth),
                "ga4" => read_text(value, "a measurement id such as \"G-ABC123\"").map(|id| rules.ga4 = Some(id)),
                "errors_per_minute" => read_limit(value).map(|limit| rules.errors_per_minute = Some(limit)),
                "classify" => ClassifySettings::parse(value)
                    .map(|settings| rules.classification = Some(settings))
                    .map_err(|error| error.to_string()),
                "arrays" => read_truth(value).map(|truth| rules.arrays = truth),
                _ => RedactSettings::parse(value)
                    .map(|settings| rules.redaction = Some(settings))
                    .map_err(|error| error.to_string()),
            };
            read.map_err(|detail| wrong(log, format!("{name}: {detail}")))?;
        }
        if rules.public_write && rules.path.is_none() {
            return Err(wrong(
                log,
                "public_write opens the visitor endpoint, and there is none: set its path".to_owned(),
            ));
        }
        if let Some(key) = rules.keys.iter().find(|key| rules.fields.contains_key(key.name())) {
            return Err(wrong(log, format!("{:?} is in keys and in fields: keep one of them", key.name())));
        }
        Ok(rules)
    }

    /// Whether detectors look at the events of a log.
    pub(crate) fn watches(&self, log: LogId) -> bool {
        let rules = self.logs.read().settled.rules(log);
        rules.and_then(|rules| rules.classification.as_ref().map(|settings| settings.watches)).unwrap_or(true)
    }

    /// The log with a visitor endpoint at this path.
    #[must_use]
    pub fn visitor(&self, path: &str) -> Option<(LogId, Arc<Rules>)> {
        let logs = self.logs.read();
        let id = *logs.settled.paths.get(path)?;
        Some((id, logs.settled.rules(id)?))
    }

    /// The log that takes what browsers send for this measurement id of Google Analytics 4.
    #[must_use]
    pub fn measured(&self, id: &str) -> Option<(LogId, Arc<Rules>)> {
        let logs = self.logs.read();
        let log = *logs.settled.measurements.get(id)?;
        Some((log, logs.settled.rules(log)?))
    }

    /// What the server knows without any request.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        Facts { now: self.clock.now(), port: self.settings.port, environment: &self.settings.environment }
    }

    /// A text as a log keeps it: without what its rules replace.
    pub(crate) fn redacted(&self, log: LogId, text: &str) -> String {
        let (rules, default) = {
            let settled = &self.logs.read().settled;
            (settled.rules(log), Arc::clone(&settled.redact))
        };
        let redact = rules.as_ref().map_or(&*default, |rules| &rules.redact);
        redact.text(text).unwrap_or_else(|| text.to_owned())
    }

    /// What a door decoded, by the rules of its log; the log that keeps it; and how many errors of a minute it keeps.
    pub(crate) fn ruled(&self, log: LogId, decoded: Decoded) -> (LogId, Decoded, Option<u64>) {
        let (rules, default, classify) = {
            let settled = &self.logs.read().settled;
            (settled.rules(log), Arc::clone(&settled.redact), Arc::clone(&settled.classify))
        };
        let mut decoded = decoded;
        if let Some(rules) = rules.as_ref().filter(|rules| !rules.keys.is_empty() && !decoded.visit) {
            let (batch, lost) = complete(&decoded.batch, &rules.keys, &self.facts());
            decoded.batch = batch;
            if lost > 0 {
                *decoded.unlisted.entry(Reason::BatchFull.name()).or_default() += lost;
            }
        }
        // Before anything is replaced: who vouches for a crawler needs its whole address.
        let classify = rules.as_ref().and_then(|rules| rules.classify.as_ref()).unwrap_or(&classify);
        // What a visitor sends is kept with what the owner of the log asked for, and nothing else.
        if !decoded.visit {
            decoded.batch = classify.apply(decoded.batch);
        }
        let redact = rules.as_ref().map_or(&*default, |rules| &rules.redact);
        if !redact.is_empty() {
            let (batch, redacted): (_, Redacted) = match decoded.visit {
                true => redact.apply_to_visits(decoded.batch),
                false => redact.apply(decoded.batch),
            };
            decoded.batch = batch;
            if !redacted.is_empty() {
                self.counters.redacted(log, redacted);
            }
        }
        let Some(rules) = rules else { return (log, decoded, None) };
        let target = rules.index.as_ref().and_then(|index| self.logs.read().id(index));
        (target.unwrap_or(log), decoded, rules.errors_per_minute)
    }
}

fn wrong(log: &str, detail: String) -> LogError {
    LogError::Setting { log: log.to_owned(), detail }
}

/// Checks the name of a setting.
fn known_option(log: &str, name: &str) -> Result<(), LogError> {
    if OPTIONS.contains(&name) {
        return Ok(());
    }
    let hint = match suggest(name, OPTIONS.into_iter().chain(["retention"])) {
        Some(near) => format!(": did you mean {near:?}?"),
        None => format!("; the keys are retention, {}", OPTIONS.join(", ")),
    };
    Err(wrong(log, format!("unknown key {name:?}{hint}")))
}

fn read_truth(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("expected true or false, found {value}"))
}

fn read_limit(value: &Value) -> Result<u64, String> {
    value
        .as_u64()
        .filter(|limit| *limit > 0)
        .ok_or_else(|| format!("expected a number of errors above 0, found {value}"))
}

fn read_text(value: &Value, what: &str) -> Result<String, String> {
    let text = value.as_str().filter(|text| !text.is_empty() && text.len() <= LOG_NAME_BYTES_MAX);
    text.map(str::to_owned).ok_or_else(|| format!("expected {what}, found {value}"))
}

fn read_names(value: &Value, example: &str) -> Result<Vec<String>, String> {
    let list = value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
    list.flatten().ok_or_else(|| format!("expected a list of names such as {example}, found {value}"))
}

fn read_keys(value: &Value, environment: &BTreeMap<String, Option<String>>) -> Result<Vec<Key>, String> {
    let names = read_names(value, "[\"datetime\", \"user.id\"]")?;
    if names.len() > KEYS_MAX {
        return Err(format!("{} keys: at most {KEYS_MAX} are added to each event", names.len()));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
        return Err(format!("{twice:?} is named twice"));
    }
    names.iter().map(|name| Key::parse(name, environment).map_err(|error| error.to_string())).collect()
}

fn read_fields(value: &Value) -> Result<Map<String, Value>, String> {
    let fields =
        value.as_object().ok_or_else(|| format!("expected a table such as {{ event = \"visit\" }}, found {value}"))?;
    if fields.len() > NAMES_MAX {
        return Err(format!("{} fields: at most {NAMES_MAX} are added to each visit", fields.len()));
    }
    for (name, value) in fields {
        // The stream of a whole log may well be fixed.
        let own = name.starts_with('_') || (OWN.contains(&name.as_str()) && name != "stream");
        if own || name.len() > NAME_BYTES_MAX {
            return Err(format!("{name:?} cannot be a fixed field: its value is set for each event"));
        }
        if value.is_null() || value.is_array() || value.is_object() {
            return Err(format!("{name} is a text, a number, true or false, found {value}"));
        }
    }
    Ok(fields.clone())
}

fn read_path(value: &Value) -> Result<String, String> {
    let path = value.as_str().unwrap_or("");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
    let good = path.starts_with('/') && path.len() > 1 && path.len() <= PATH_BYTES_MAX && path.bytes().all(plain);
    if !good || path.contains("//") || path.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(format!("expected a path such as \"/log\" of letters, digits and - _ . ~ /, found {value}"));
    }
    let taken = DOORS
        .iter()
        .find(|door| path.strip_prefix(**door).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    match taken {
        Some(door) => Err(format!(
            "{path:?} is a door of Everlog itself, as is all below {door}: choose another such as \"/log\""
        )),
        None => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_free() {
        for path in ["/log", "/a/b-c_d.e~f", "/apis", "/v10", "/es2/x"] {
            assert!(read_path(&json!(path)).is_ok(), "{path}");
        }
        for path in [
            "",
            "/",
            "log",
            "/a?b",
            "/a b",
            "/ä",
            "/a//b",
            "/a/../b",
            "/api",
            "/api/v1/x",
            "/metrics",
            "/v1/logs",
            "/es/_bulk",
        ] {
            assert!(read_path(&json!(path)).is_err(), "{path}");
        }
    }
}
