//! Reads the values of settings, each of the type it must have.

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Map, Value};

/// The settings of a channel, not yet understood.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl Fields<'_> {
    /// Refuses keys that there are not.
    ///
    /// # Errors
    /// When there is one; it is told which may be meant.
    pub(super) fn only(&self, known: &[&str]) -> anyhow::Result<()> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) => bail!("unknown key {:?}{}", start(unknown), suggestion(unknown, known)),
            None => Ok(()),
        }
    }

    /// Refuses keys that say something where they mean nothing.
    ///
    /// # Errors
    /// When one of them does.
    pub(super) fn nothing_of(&self, keys: &[&str], why: &str) -> anyhow::Result<()> {
        let says = |key: &&&str| {
            self.0
                .get(**key)
                .is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
        };
        match keys.iter().find(says) {
            Some(key) => bail!("{key}: {why}"),
            None => Ok(()),
        }
    }

    /// A text in one line that is not empty.
    ///
    /// # Errors
    /// When it is another thing. What it is, is not said: it may be a secret.
    pub(super) fn text(&self, key: &str, bytes_max: usize) -> anyhow::Result<Option<String>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => line(text, bytes_max).with_context(|| key.to_owned()).map(Some),
            Some(_) => bail!("{key} takes a text"),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// As [`Fields::text`], and when it is missing.
    pub(super) fn needed(&self, key: &str, bytes_max: usize, what: &str) -> anyhow::Result<String> {
        self.text(key, bytes_max)?.ok_or_else(|| anyhow!("{key} is missing: {what}"))
    }

    /// True or false.
    ///
    /// # Errors
    /// When it is another thing.
    pub(super) fn truth(&self, key: &str) -> anyhow::Result<Option<bool>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(_) => bail!("{key} is true or false"),
        }
    }

    /// Some texts; one alone needs no list.
    ///
    /// # Errors
    /// When there are too many, or one is no text.
    pub(super) fn texts(&self, key: &str, count_max: usize, bytes_max: usize) -> anyhow::Result<Option<Vec<String>>> {
        let list = match self.0.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) => list.as_slice(),
            Some(one @ Value::String(_)) => std::slice::from_ref(one),
            Some(_) => bail!("{key} takes a list of texts"),
        };
        if list.len() > count_max {
            bail!("{key}: at most {count_max}, found {}", list.len());
        }
        let one = |value: &Value| {
            let text = value.as_str().ok_or_else(|| anyhow!("{key} takes a list of texts"))?;
            line(text, bytes_max).with_context(|| key.to_owned())
        };
        list.iter().map(one).collect::<anyhow::Result<_>>().map(Some)
    }
}

fn line(text: &str, bytes_max: usize) -> anyhow::Result<String> {
    if text.is_empty() {
        bail!("this is empty: leave the key out, or give it a text");
    }
    if text.len() > bytes_max {
        bail!("at most {bytes_max} bytes, found {}", text.len());
    }
    if text.contains(char::is_control) {
        bail!("this must be one line, without control characters");
    }
    Ok(text.to_owned())
}

/// The start of a foreign name, to show it.
fn start(name: &str) -> String {
    name.chars().take(64).collect()
}

/// What a name that there is not may have been meant to be.
pub(super) fn suggestion(name: &str, known: &[&str]) -> String {
    match event::suggest::suggest(name, known.iter().copied()) {
        Some(near) => format!(": did you mean {near:?}?"),
        None => format!("; there are {}", known.join(", ")),
    }
}

/// A table as JSON has it, with the environment put in.
///
/// # Errors
/// When a variable is not set, or a value is of a type that JSON has not.
pub(super) fn from_toml(value: &toml::Value) -> anyhow::Result<Value> {
    Ok(match value {
        toml::Value::String(text) => Value::String(environment(text)?),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::Bool(*truth),
        toml::Value::Array(list) => Value::Array(list.iter().map(from_toml).collect::<anyhow::Result<_>>()?),
        toml::Value::Table(table) => {
            let entry = |(key, value): (&String, _)| {
                from_toml(value).with_context(|| key.clone()).map(|value| (key.clone(), value))
            };
            Value::Object(table.iter().map(entry).collect::<anyhow::Result<_>>()?)
        }
        other @ (toml::Value::Float(_) | toml::Value::Datetime(_)) => bail!("no key of a channel takes {other}"),
    })
}

/// The name of the variable that a text stands for.
pub(super) fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))?;
    (!name.contains(['$', '{', '}'])).then_some(name)
}

fn environment(text: &str) -> anyhow::Result<String> {
    let Some(name) = variable(text) else {
        // As it stands it would be sent to, or with, the letters of the name.
        if text.contains("${") {
            bail!("a variable is the whole value, \"${{NAME}}\", and no part of one: put all of the value in it");
        }
        return Ok(text.to_owned());
    };
    std::env::var(name).map_err(|_| anyhow!("the variable {name} is not set in the environment of the server"))
}
