//! Rules as they are written, in TOML or JSON, and back.

use std::time::Duration;

use event::suggest::suggest;
use serde_json::{Map, Value, json};

use super::{GROUP_KEYS_MAX, Limit, RULES_MAX, Rule};
use crate::channel::HOURLY_CAP_MAX;
use crate::moment::span_text;
use crate::settings::{SettingError, Settings};
use crate::trigger::On;

/// The keys of a rule.
pub const RULE_KEYS: [&str; 22] = [
    "on",
    "enabled",
    "search",
    "log",
    "logs",
    "window",
    "threshold",
    "above",
    "below",
    "group_by",
    "environments",
    "environment",
    "levels",
    "level_min",
    "channels",
    "channel",
    "quiet_hours",
    "timezone",
    "snooze",
    "repeat",
    "hourly_cap",
    "for",
];

/// Longest name of a rule, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// Shortest and longest window: below it counting is by chance, beyond it a search answers better.
const WINDOW_MIN: Duration = Duration::from_secs(10);
const WINDOW_MAX: Duration = Duration::from_hours(24);

/// The built-in rules and those that were written, by name: `{"new_issue": false, "logins": {"search": "stream:LOGIN", "above": 100}}`.
///
/// A built-in rule is changed by its name: keys that are not given stay as they are; `false` switches it off.
///
/// # Errors
///
/// The first thing that cannot be, and what would be right.
pub fn read_rules(written: &Map<String, Value>) -> Result<Vec<Rule>, SettingError> {
    let mut rules = Rule::built_in();
    for (name, value) in written {
        let place = rules.iter().position(|rule| rule.name == *name);
        let rule = match (value, place) {
            (Value::Bool(enabled), Some(place)) => Rule { enabled: *enabled, ..rules[place].clone() },
            (Value::Object(map), _) => Rule::read(name, map)?,
            _ => return Err(no_rule(name, value, &rules)),
        };
        match place {
            Some(place) => rules[place] = rule,
            None => rules.push(rule),
        }
    }
    if rules.len() > RULES_MAX {
        let detail = format!("{} are more than the {RULES_MAX} there may be", rules.len());
        return Err(SettingError::Together { place: "rules".to_owned(), detail });
    }
    Ok(rules)
}

fn no_rule(name: &str, value: &Value, rules: &[Rule]) -> SettingError {
    let near = suggest(name, rules.iter().map(|rule| rule.name.as_str()));
    let expected = match (value, near) {
        (Value::Bool(_), Some(near)) => format!("a rule; is the built-in rule `{near}` meant?"),
        _ => "a table of settings, or true or false for a built-in rule".to_owned(),
    };
    let found = crate::clean::cut(&value.to_string(), 80);
    SettingError::Value { place: "rules".to_owned(), key: name.to_owned(), expected, found }
}

impl Rule {
    /// Reads a rule; what is not given is as the built-in rule of that name has it, or as is usual for its kind.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be, and what would be right.
    pub fn read(name: &str, map: &Map<String, Value>) -> Result<Self, SettingError> {
        let settings = Settings::new(format!("rule {name}"), map, &RULE_KEYS)?;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(settings.together(format!("a name has 1 to {NAME_BYTES_MAX} bytes and no controls")));
        }
        let built_in = Self::built_in().into_iter().find(|rule| rule.name == name);
        let mut rule = match (on(&settings)?, built_in) {
            (Some(on), Some(rule)) if on != rule.on => {
                let detail = format!("this name belongs to the built-in rule on {}: give another", rule.on.name());
                return Err(settings.together(detail));
            }
            (_, Some(rule)) => rule,
            (Some(on), None) => named(name, on, map),
            (None, None) => own(name, &settings)?,
        };
        rule.whom(&settings)?;
        rule.what(&settings)?;
        rule.how_often(&settings)?;
        Ok(rule)
    }

    /// Who is told, and what about.
    fn whom(&mut self, settings: &Settings<'_>) -> Result<(), SettingError> {
        self.enabled = settings.flag("enabled")?.unwrap_or(self.enabled);
        take(&mut self.logs, one_or_many(settings, "log", "logs")?);
        take(&mut self.environments, one_or_many(settings, "environment", "environments")?);
        take(&mut self.channels, one_or_many(settings, "channel", "channels")?);
        take(&mut self.levels, settings.levels("levels")?);
        self.level_min = settings.level("level_min")?.or(self.level_min);
        Ok(())
    }

    /// What is counted, and what it is compared with.
    fn what(&mut self, settings: &Settings<'_>) -> Result<(), SettingError> {
        self.search = settings.text("search", "a search like level:error")?.map(str::to_owned).or(self.search.take());
        if let Some(window) = settings.span("window")? {
            if !(WINDOW_MIN..=WINDOW_MAX).contains(&window) {
                return Err(settings.wrong("window", "a span from 10s to 1d"));
            }
            self.window = window;
        }
        let limits = [
            settings.number("threshold")?.map(Limit::AtLeast),
            settings.number("above")?.map(Limit::Above),
            settings.number("below")?.map(Limit::Below),
        ];
        let mut given = limits.into_iter().flatten();
        if let Some(limit) = given.next() {
            if given.next().is_some() {
                return Err(settings.together("give one of `threshold`, `above` and `below`"));
            }
            if !matches!(self.on, On::Threshold | On::DiskFull) {
                let on = self.on.name();
                return Err(settings
                    .together(format!("a rule on {on} finds its limit itself; a limit needs on = \"threshold\"")));
            }
            self.limit = Some(limit);
            check_limit(settings, limit)?;
        }
        if let Some(keys) = settings.list("group_by")? {
            if keys.len() > GROUP_KEYS_MAX {
                return Err(settings.wrong("group_by", format!("up to {GROUP_KEYS_MAX} keys")));
            }
            self.group_by = keys;
        }
        Ok(())
    }

    fn how_often(&mut self, settings: &Settings<'_>) -> Result<(), SettingError> {
        self.quiet_hours = settings.quiet_hours()?.or(self.quiet_hours.take());
        self.snooze = settings.moment("snooze")?.or(self.snooze);
        self.repeat = settings.span("repeat")?.unwrap_or(self.repeat);
        self.pending = settings.span("for")?.unwrap_or(self.pending);
        self.hourly_cap = settings.whole("hourly_cap", 1, HOURLY_CAP_MAX)?.or(self.hourly_cap);
        if self.on.is_moment() && !self.pending.is_zero() {
            let on = self.on.name();
            return Err(settings
                .together(format!("`for` waits for a state to last, but {on} happens at a moment: leave it out")));
        }
        Ok(())
    }

    /// What it looks at, as a text. With another one its states say nothing any more.
    #[must_use]
    pub fn definition(&self) -> String {
        const COUNTED: [&str; 10] =
            ["on", "search", "logs", "group_by", "threshold", "above", "below", "environments", "levels", "level_min"];
        // What is noticed elsewhere goes on, whoever hears of it.
        let counted = if self.on == On::Threshold { COUNTED.len() } else { COUNTED.len() - 3 };
        let mut written = self.written();
        written.retain(|key, _| key == "window" || COUNTED[..counted].contains(&key.as_str()));
        Value::Object(written).to_string()
    }

    /// The rule as it would be written: [`Rule::read`] reads it back equal.
    #[must_use]
    pub fn written(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("on", json!(self.on.name()));
        put("enabled", json!(self.enabled));
        if let Some(search) = &self.search {
            put("search", json!(search));
        }
        let names: Vec<&str> = self.levels.iter().map(|level| level.name()).collect();
        for (key, list) in [
            ("logs", json!(self.logs)),
            ("group_by", json!(self.group_by)),
            ("environments", json!(self.environments)),
            ("levels", json!(names)),
            ("channels", json!(self.channels)),
        ] {
            if list.as_array().is_some_and(|entries| !entries.is_empty()) {
                put(key, list);
            }
        }
        match self.limit {
            Some(Limit::AtLeast(limit)) => put("threshold", json!(limit)),
            Some(Limit::Above(limit)) => put("above", json!(limit)),
            Some(Limit::Below(limit)) => put("below", json!(limit)),
            None => None,
        };
        if let Some(level) = self.level_min {
            put("level_min", json!(level.name()));
        }
        if let Some(hours) = &self.quiet_hours {
            put("quiet_hours", json!(hours.text()));
            put("timezone", json!(hours.zone_name()));
        }
        if let Some(until) = self.snooze {
            put("snooze", json!(until.to_string()));
        }
        if let Some(cap) = self.hourly_cap {
            put("hourly_cap", json!(cap));
        }
        put("window", json!(span_text(self.window)));
        put("repeat", json!(span_text(self.repeat)));
        put("for", json!(span_text(self.pending)));
        map
    }
}

/// A count, and the days that a disk has left, are never below zero.
fn check_limit(settings: &Settings<'_>, limit: Limit) -> Result<(), SettingError> {
    let (key, fits, expected) = match limit {
        Limit::AtLeast(limit) => ("threshold", limit > 0.0, "more than 0 (`below = 1` calls when nothing comes)"),
        Limit::Above(limit) => ("above", limit >= 0.0, "0 or more (`below = 1` calls when nothing comes)"),
        Limit::Below(limit) => {
            ("below", limit > 0.0, "more than 0, as nothing is less (`below = 1` calls when nothing comes)")
        }
    };
    if fits { Ok(()) } else { Err(settings.wrong(key, expected)) }
}

fn take<T>(place: &mut Vec<T>, given: Option<Vec<T>>) {
    if let Some(list) = given {
        *place = list;
    }
}

fn one_or_many(settings: &Settings<'_>, one: &str, many: &str) -> Result<Option<Vec<String>>, SettingError> {
    match (settings.list(one)?, settings.list(many)?) {
        (Some(_), Some(_)) => Err(settings.together(format!("give either `{one}` or `{many}`"))),
        (given, None) | (None, given) => Ok(given),
    }
}

fn on(settings: &Settings<'_>) -> Result<Option<On>, SettingError> {
    let names = || On::ALL.iter().map(|on| on.name());
    let Some(text) = settings.text("on", "what the rule listens to, like new_issue")? else { return Ok(None) };
    let expected = || match suggest(text, names()) {
        Some(near) => format!("what the rule listens to: is it `{near}`?"),
        None => format!("of {}", names().collect::<Vec<_>>().join(", ")),
    };
    On::parse(text).map(Some).ok_or_else(|| settings.wrong("on", expected()))
}

/// What Rollbar calls the velocity of an item is counted for each issue by itself.
fn named(name: &str, on: On, map: &Map<String, Value>) -> Rule {
    let mut rule = Rule::new(name, on);
    if map.get("on").and_then(Value::as_str) == Some("item_velocity") {
        rule.group_by = vec!["issue".to_owned()];
    }
    rule
}

/// A rule of the writer's own, which does not say what it listens to: a search, then.
fn own(name: &str, settings: &Settings<'_>) -> Result<Rule, SettingError> {
    let says = ["search", "threshold", "above", "below"].iter().any(|key| settings.get(key).is_some());
    if says {
        return Ok(Rule::new(name, On::Threshold));
    }
    let near = suggest(name, On::ALL.iter().map(|on| on.name()));
    let detail = near.map_or_else(
        || {
            "say what it listens to: `search = \"level:error\"` and `threshold = 10`, or `on = \"new_issue\"`"
                .to_owned()
        },
        |near| format!("say what it listens to with `on`, or is the built-in rule `{near}` meant?"),
    );
    Err(settings.together(detail))
}
