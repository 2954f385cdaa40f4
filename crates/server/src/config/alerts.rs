//! The tables `[channels.NAME]` and `[rules.NAME]`, and the mails that a few settings ask for.

use anyhow::{Context as _, anyhow, bail};
use engine::{AlertSettings, CONFIGURATION_MAIL, Tables};
use serde_json::{Map, Value, json};

use super::Config;
use crate::notify::Channel;

/// The channel by which new errors are mailed to whom `email_errors` names.
const ERRORS_MAIL: &str = "email_errors";

/// Mails of it in an hour: what is more comes as one digest.
const ERRORS_AN_HOUR: u32 = 10;

/// Mails about configuration errors in an hour: each different one is told once in a day or so.
const CONFIGURATION_AN_HOUR: u32 = 200;

impl Config {
    pub(super) fn read_channels(&mut self, value: &toml::Value) -> anyhow::Result<()> {
        let channels =
            value.as_table().filter(|channels| channels.values().all(toml::Value::is_table)).ok_or_else(|| {
                anyhow!("`channels` is a table of channels: write [channels.NAME] and its settings below")
            })?;
        for (name, table) in channels {
            let channel = Channel::from_toml(name, table).with_context(|| format!("[channels.{name}]"))?;
            self.channels.insert(name.clone(), kept(&channel));
        }
        self.channel_tables.clone_from(channels);
        Ok(())
    }

    pub(super) fn read_rules(&mut self, value: &toml::Value) -> anyhow::Result<()> {
        let rules = value
            .as_table()
            .ok_or_else(|| anyhow!("`rules` is a table of rules: write [rules.NAME] and its settings below"))?;
        let read: Map<String, Value> = rules
            .iter()
            .map(|(name, value)| Ok((name.clone(), serde_json::to_value(value)?)))
            .collect::<anyhow::Result<_>>()?;
        engine::alerts::read_rules(&read).map_err(|error| anyhow!("{error}"))?;
        self.rule_tables.clone_from(rules);
        self.rules = read;
        Ok(())
    }

    /// What the engine is told of rules and channels.
    ///
    /// # Errors
    /// When mails are asked for that cannot be sent.
    pub(crate) fn alert_settings(&self) -> anyhow::Result<AlertSettings> {
        let mut channels: Tables = self.channels.clone();
        let mails = [
            (
                CONFIGURATION_MAIL,
                &self.config_error_report_email,
                json!({ "hourly_cap": CONFIGURATION_AN_HOUR, "rules": [CONFIGURATION_MAIL] }),
            ),
            (
                ERRORS_MAIL,
                &self.email_errors,
                json!({ "hourly_cap": ERRORS_AN_HOUR, "rules": ["new_issue", "regression"] }),
            ),
        ];
        for (name, to, more) in mails {
            if to.is_empty() {
                continue;
            }
            if self.channels.contains_key(name) {
                bail!(
                    "[channels.{name}]: the setting {name} makes a channel of that name already: give this one another"
                );
            }
            if self.smtp.is_empty() {
                bail!("{name} asks for mails, and there is no mail server: set smtp, such as \"smtp://localhost:25\"");
            }
            let mut settings =
                json!({ "kind": "email", "smtp": self.smtp, "from": self.mail_from, "to": to, "allow_private": true });
            for (key, value) in more.as_object().into_iter().flatten() {
                settings[key] = value.clone();
            }
            let channel = Channel::parse(name, &settings, None).with_context(|| name.to_owned())?;
            channels.insert(name.to_owned(), kept(&channel));
        }
        Ok(AlertSettings { rules: self.rules.clone(), channels })
    }
}

fn kept(channel: &Channel) -> Map<String, Value> {
    match channel.kept() {
        Value::Object(kept) => kept,
        _ => Map::new(),
    }
}

/// The table `rules` as it stands in the file.
pub(super) fn print_rules(rules: &toml::Table) -> String {
    if rules.is_empty() {
        return String::new();
    }
    let whole: toml::Table = [("rules".to_owned(), toml::Value::Table(rules.clone()))].into_iter().collect();
    format!("\n{}", toml::to_string(&whole).unwrap_or_default())
}
