//! The settings of a channel: where notices go, with whose right, and which of them.
//!
//! Whether they come as JSON or as a table `[channels.NAME]`, they are read by the same code, checked whole, and bounded.

mod fields;
mod kind;
mod mail;
mod secrets;

use std::fmt;

use anyhow::{anyhow, bail};
use engine::alerts::CHANNEL_KEYS;
use serde_json::{Map, Value};

use self::fields::Fields;
pub(crate) use self::kind::{Kind, Secret};
pub(crate) use self::mail::{Mail, Security};

/// Bytes of the name of a channel.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of an address, as browsers take them.
const URL_BYTES_MAX: usize = 2048;
/// Environments that a channel is for, and rules it follows; whoever needs more wants all.
const ENVIRONMENTS_MAX: usize = 32;
const RULES_MAX: usize = 100;
/// Bytes of a short text: an environment, a rule, a chat, a secret.
const TEXT_BYTES_MAX: usize = 256;

/// Keys that choose among notices, of which a tracker gets none.
const NOTICE_KEYS: [&str; 4] = ["rules", "quiet_hours", "timezone", "hourly_cap"];

/// The keys of every channel, beside those that choose its notices.
const KEYS: [&str; 2] = ["kind", "allow_private"];

/// A channel as it is set up.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// Its name.
    pub(crate) name: String,
    /// What it is and where it leads.
    pub(crate) kind: Kind,
    /// Whether it may lead to addresses inside.
    pub(crate) allow_private: bool,
    /// The environments whose notices it gets; all when there are none.
    pub(crate) environments: Vec<String>,
    /// The names of the rules whose notices it gets; those built in when there are none.
    pub(crate) rules: Vec<String>,
    /// Whether it gets any.
    pub(crate) enabled: bool,
    /// As it was given.
    given: Given,
}

/// What was given, secrets among it.
#[derive(Clone)]
struct Given(Map<String, Value>);

impl fmt::Debug for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", secrets::masked(&self.0))
    }
}

impl Channel {
    /// Reads settings as JSON. Where they have `[REDACTED]` as [`Channel::shown`] has it, what `before` has there stays,
    /// if the channel leads where it led.
    ///
    /// # Errors
    /// When something in them cannot be, with the key and what is right. No secret stands in it.
    pub(crate) fn parse(name: &str, given: &Value, before: Option<&Self>) -> anyhow::Result<Self> {
        check_name(name)?;
        let mut given = given.as_object().cloned().ok_or_else(|| anyhow!("a channel is an object: {{\"kind\": …}}"))?;
        match given.remove("name") {
            None => {}
            Some(Value::String(same)) if same == name => {}
            Some(other) => bail!("name: this is the channel {name:?}, and not {other}"),
        }
        let restored = secrets::restore(&mut given, before.map(|before| &before.given.0))?;
        let channel = Self::read(name, given)?;
        if let (Some(key), Some(before)) = (restored, before)
            && (channel.kind.name() != before.kind.name() || channel.kind.destination() != before.kind.destination())
        {
            bail!("{key}: the channel leads to another place now, which does not get what is kept: give it again");
        }
        Ok(channel)
    }

    /// Reads a table `[channels.NAME]`, in which a text `${VARIABLE}` stands in the environment.
    ///
    /// # Errors
    /// As [`Channel::parse`]; and when a variable is not set.
    pub(crate) fn from_toml(name: &str, table: &toml::Value) -> anyhow::Result<Self> {
        Self::parse(name, &fields::from_toml(table)?, None)
    }

    /// The settings as people may see them.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = secrets::masked(&self.given.0);
        for (key, value) in [
            ("allow_private", Value::Bool(self.allow_private)),
            ("environments", self.environments.clone().into()),
            ("rules", self.rules.clone().into()),
            ("enabled", Value::Bool(self.enabled)),
        ] {
            shown.entry(key).or_insert(value);
        }
        Value::Object(shown)
    }

    /// The settings with their secrets, from which [`Channel::parse`] makes the same channel.
    pub(crate) fn kept(&self) -> Value {
        Value::Object(self.given.0.clone())
    }

    /// A text without the secrets of the channel, should somebody have put them in.
    pub(crate) fn conceal(&self, text: &str) -> String {
        secrets::conceal(&self.given.0, text)
    }

    fn read(name: &str, given: Map<String, Value>) -> anyhow::Result<Self> {
        let fields = Fields(&given);
        let own = Kind::keys(&fields)?;
        fields.only(&[&KEYS, &CHANNEL_KEYS[..], own].concat())?;
        let allow_private = fields.truth("allow_private")?.unwrap_or(false);
        let kind = Kind::read(&fields, allow_private)?;
        if matches!(kind, Kind::Sentry { .. }) {
            fields.nothing_of(&NOTICE_KEYS, "it gets errors themselves and no notices: leave it out")?;
        }
        let environments = fields.texts("environments", ENVIRONMENTS_MAX, TEXT_BYTES_MAX)?.unwrap_or_default();
        let rules = fields.texts("rules", RULES_MAX, TEXT_BYTES_MAX)?.unwrap_or_default();
        let enabled = fields.truth("enabled")?.unwrap_or(true);
        engine::alerts::Channel::read(name, &given)?;
        let name = name.to_owned();
        Ok(Self { name, kind, allow_private, environments, rules, enabled, given: Given(given) })
    }
}

/// The tables `[channels.NAME]` as a file would have them, without their secrets.
pub(crate) fn print(tables: &toml::Table) -> String {
    let mut out = String::new();
    for (name, table) in tables {
        let name = toml::Value::String(name.clone());
        out.extend([format!("\n[channels.{name}]\n")]);
        let lines: Vec<String> =
            table.as_table().into_iter().flatten().map(|(key, value)| secrets::printed(key, value)).collect();
        if lines.iter().any(|line| line.starts_with('#')) {
            out.push_str("# Secrets are not shown: fill in what is \"(set)\", such as \"${VARIABLE}\", before this is fed back.\n");
        }
        out.extend(lines);
    }
    out
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(good) || name.starts_with('.') {
        bail!("a channel is named with letters, digits, `_`, `-` and `.`, at most {NAME_BYTES_MAX}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
