//! Settings as they are typed: `KEY=VALUE`, one JSON object, or either of them on standard input, where no history of a
//! shell and no list of processes shows a secret.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value};

use super::output::WrongUsage;

/// Most that is read from standard input.
const STDIN_BYTES_MAX: u64 = 256 << 10;

/// Settings on the command line.
#[derive(Args, Clone, Default, Debug)]
pub(super) struct Typed {
    /// Key and value, such as environments=production; repeat for several. `KEY=null` takes a key away
    #[arg(value_name = "KEY=VALUE")]
    pairs: Vec<String>,
    /// All settings as one JSON object, in place of those there are
    #[arg(long, value_name = "OBJECT", conflicts_with = "pairs")]
    json: Option<String>,
    /// Read settings from standard input: lines KEY=VALUE, or one JSON object in place of those there are
    #[arg(long, conflicts_with = "json")]
    stdin: bool,
}

/// What the values of keys are. Those of all other keys are JSON where that is possible, and texts where not.
pub(super) struct Kinds {
    /// Texts, whatever they look like.
    pub(super) texts: &'static [&'static str],
    /// Lists of texts, separated by commas.
    pub(super) lists: &'static [&'static str],
}

/// Settings that were given.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Settings {
    /// All of them, in place of those there are.
    pub(super) whole: Option<Map<String, Value>>,
    /// Those that change; null takes one away.
    pub(super) changes: Map<String, Value>,
}

impl Settings {
    /// Whether nothing was given.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_none() && self.changes.is_empty()
    }

    /// What is to hold where these hold now. Of keys that exclude each other the one given now is left.
    pub(super) fn over(self, now: Map<String, Value>, exclusive: &[&[&str]]) -> Map<String, Value> {
        let mut all = self.whole.unwrap_or(now);
        for keys in exclusive {
            if keys.iter().any(|key| self.changes.get(*key).is_some_and(|value| !value.is_null())) {
                all.retain(|key, _| !keys.contains(&key.as_str()));
            }
        }
        all.extend(self.changes);
        all.retain(|_, value| !value.is_null());
        all
    }
}

impl Typed {
    /// Reads what was given.
    ///
    /// # Errors
    /// When it cannot be read. No value stands in the message: it may be a secret.
    pub(super) fn read(&self, kinds: &Kinds) -> anyhow::Result<Settings> {
        let mut settings = Settings::default();
        if let Some(text) = &self.json {
            settings.whole = Some(object("--json", text)?);
        }
        if self.stdin {
            settings = read_text("standard input", &standard_input()?, kinds)?;
        }
        for (index, text) in self.pairs.iter().enumerate() {
            let (key, value) = pair(text, kinds).ok_or_else(|| {
                WrongUsage(format!("setting {} has no `=`: expected KEY=VALUE, such as enabled=false", index + 1))
            })?;
            settings.changes.insert(key, value);
        }
        Ok(settings)
    }
}

fn standard_input() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let what = "standard input is a terminal, which would show what you type: give a file or a pipe, such as `--stdin < settings`";
        return Err(WrongUsage(what.to_owned()).into());
    }
    let mut text = String::new();
    stdin.take(STDIN_BYTES_MAX + 1).read_to_string(&mut text).context("cannot read standard input as text")?;
    if text.len() as u64 > STDIN_BYTES_MAX {
        return Err(
            WrongUsage(format!("standard input has more than {STDIN_BYTES_MAX} bytes: are these settings?")).into()
        );
    }
    Ok(text)
}

fn read_text(place: &str, text: &str, kinds: &Kinds) -> anyhow::Result<Settings> {
    if text.trim_start().starts_with('{') {
        return Ok(Settings { whole: Some(object(place, text)?), ..Settings::default() });
    }
    let mut settings = Settings::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = pair(line, kinds).ok_or_else(|| {
            WrongUsage(format!("{place}, line {}: expected KEY=VALUE, or one JSON object as the whole", index + 1))
        })?;
        settings.changes.insert(key, value);
    }
    Ok(settings)
}

fn object(place: &str, text: &str) -> anyhow::Result<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(WrongUsage(format!("{place}: expected a JSON object, such as {{\"enabled\": false}}")).into()),
        Err(error) => Err(WrongUsage(format!("{place} is no JSON: {error}")).into()),
    }
}

fn pair(text: &str, kinds: &Kinds) -> Option<(String, Value)> {
    let (key, value) = text.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || key.contains(char::is_whitespace) {
        return None;
    }
    Some((key.to_owned(), valued(key, value, kinds)))
}

fn valued(key: &str, text: &str, kinds: &Kinds) -> Value {
    let json = serde_json::from_str::<Value>(text).ok();
    match json {
        Some(Value::Null) => Value::Null,
        Some(value @ Value::String(_)) => value,
        _ if kinds.texts.contains(&key) => text.into(),
        Some(value @ Value::Array(_)) => value,
        _ if kinds.lists.contains(&key) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect()
        }
        Some(value) => value,
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KINDS: Kinds = Kinds { texts: &["password", "search"], lists: &["rules"] };

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn values_are_of_the_type_that_their_keys_have() {
        for (text, key, expected) in [
            ("password=12345", "password", json!("12345")),
            ("password=\"null\"", "password", json!("null")),
            ("password=a=b", "password", json!("a=b")),
            ("search=[1, 2]", "search", json!("[1, 2]")),
            ("rules=new_issue, spike", "rules", json!(["new_issue", "spike"])),
            ("rules=new_issue", "rules", json!(["new_issue"])),
            ("rules=[\"a,b\"]", "rules", json!(["a,b"])),
            ("threshold=10", "threshold", json!(10)),
            ("enabled=false", "enabled", json!(false)),
            ("headers={\"X-Key\":\"k\"}", "headers", json!({ "X-Key": "k" })),
            ("chat=@ops", "chat", json!("@ops")),
            ("level_min=null", "level_min", Value::Null),
            ("rules=null", "rules", Value::Null),
        ] {
            assert_eq!(pair(text, &KINDS), Some((key.to_owned(), expected)), "{text}");
        }
        for text in ["password", "=x", "two words=x"] {
            assert_eq!(pair(text, &KINDS), None, "{text}");
        }
    }

    #[test]
    fn standard_input_has_lines_or_an_object() {
        let lines = read_text("here", "# for the bot\n\npassword = hush\nenabled=true\n", &KINDS).unwrap();
        assert_eq!((lines.whole, lines.changes), (None, map(&json!({ "password": "hush", "enabled": true }))));
        let object = read_text("here", " {\"password\": \"hush\"}\n", &KINDS).unwrap();
        assert_eq!(object.whole, Some(map(&json!({ "password": "hush" }))));
        for text in ["{\"password\": \"hush\"", "password: hush"] {
            let error = read_text("here", text, &KINDS).unwrap_err().to_string();
            assert!(error.starts_with("here") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let now = || map(&json!({ "threshold": 10, "window": "5m", "channels": ["ops"] }));
        let change = |changes: Value| Settings { whole: None, changes: map(&changes) };
        let exclusive: &[&[&str]] = &[&["threshold", "above", "below"]];
        for (given, expected) in [
            (change(json!({ "above": 3 })), json!({ "window": "5m", "channels": ["ops"], "above": 3 })),
            (change(json!({ "channels": null })), json!({ "threshold": 10, "window": "5m" })),
            (Settings { whole: Some(map(&json!({ "below": 1 }))), ..Settings::default() }, json!({ "below": 1 })),
        ] {
            assert_eq!(given.over(now(), exclusive), map(&expected));
        }
    }
}
