//! `everlog channel`: where notices go.

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::{ANSWER_TIMEOUT, Client, Connection, ServerConnection, percent};
use super::human::minute;
use super::logs::written;
use super::output::{Output, Style, WrongUsage, harmless, note};
use super::pairs::{Kinds, Settings, Typed};
use super::table::{Side, Table};

/// Settings that are texts, and those that are lists.
const KINDS: Kinds = Kinds {
    texts: &[
        "kind",
        "url",
        "dsn",
        "smtp",
        "username",
        "password",
        "from",
        "secret",
        "token",
        "chat",
        "level_min",
        "quiet_hours",
        "timezone",
    ],
    lists: &["to", "environments", "rules"],
};

/// Beside the settings in an answer.
const BESIDE: [&str; 4] = ["name", "in_file", "warnings", "trouble"];

/// List the channels that notices go to, set one up, try it.
#[derive(Args, Debug)]
#[command(
    alias = "channels",
    after_help = "\
Kinds are slack, email, webhook, teams, discord, telegram and sentry (docs/alerts.md). A channel gets
the notices of all rules, unless it names some; one of kind sentry gets errors that nobody caught.
What stands in everlog.toml, [channels.NAME], is changed there.

Examples:
  everlog channel
  everlog channel set ops --kind slack --stdin < slack.settings
  everlog channel set mail --kind email --smtp smtp://mail.example.com:25 --from everlog@example.com --to ops@example.com
  everlog channel test ops"
)]
pub(super) struct ChannelArguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// One JSON object a line, without secrets
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Show the settings of a channel, without its secrets
    Show {
        /// Its name
        name: String,
        /// As the server tells it
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Set up a channel, or change one; what is not named stays as it was
    #[command(after_help = "\
What is a secret (the URL of Slack, Teams and Discord, passwords, tokens) is better given on
standard input, where no history and no list of processes has it: lines KEY=VALUE, or one JSON
object. No answer shows it.

Examples:
  echo \"url=$SLACK_URL\" | everlog channel set ops --kind slack --stdin
  everlog channel set hook --kind webhook --url https://ops.example.com/everlog --stdin < secret
  everlog channel set ops environments=production rules=new_issue,regression level_min=error
  everlog channel set ops quiet_hours=22:00-07:00 timezone=Europe/Paris
  everlog channel set ops --json '{\"kind\":\"discord\",\"url\":\"https://discord.com/api/webhooks/1/x\"}'
  echo \"dsn=$SENTRY_DSN\" | everlog channel set tracker --kind sentry environments=production --stdin
  everlog channel set ops enabled=false")]
    Set(Box<Set>),
    /// Send a notice that says it is a test, at once, and say what became of it
    Test {
        /// Its name
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Remove a channel; what waits for it is given up
    #[command(name = "rm", alias = "remove")]
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Args, Debug)]
struct Set {
    /// Its name
    name: String,
    /// slack, email, webhook, teams, discord, telegram or sentry
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Address of a webhook
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Server that takes mails, such as smtp+starttls://mail.example.com:587
    #[arg(long, value_name = "SMTP")]
    smtp: Option<String>,
    /// From whom mails are
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Who gets mails; repeat for several
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// The channel may lead to addresses inside, such as 10.0.0.7 or localhost
    #[arg(long)]
    allow_private: bool,
    #[command(flatten)]
    typed: Typed,
    #[command(flatten)]
    server: ServerConnection,
}

impl Set {
    /// What was given, by options and by pairs.
    fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = self.typed.read(&KINDS)?;
        let texts = [("kind", &self.kind), ("url", &self.url), ("smtp", &self.smtp), ("from", &self.from)];
        let given = texts.into_iter().filter_map(|(key, value)| Some((key, Value::from(value.clone()?))));
        let to = (!self.to.is_empty()).then(|| ("to", Value::from(self.to.clone())));
        let private = self.allow_private.then_some(("allow_private", Value::Bool(true)));
        for (key, value) in given.chain(to).chain(private) {
            if settings.changes.contains_key(key) {
                return Err(WrongUsage(format!("{key} was given twice: once by its option is enough")).into());
            }
            settings.changes.insert(key.to_owned(), value);
        }
        Ok(settings)
    }
}

/// A channel as it is listed.
#[derive(Deserialize)]
struct Channel {
    name: String,
    #[serde(default)]
    in_file: bool,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    trouble: Option<Trouble>,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

/// What does not get there.
#[derive(Deserialize)]
struct Trouble {
    state: String,
    since: String,
    reason: String,
}

impl Trouble {
    fn says(&self, zone: &TimeZone) -> String {
        let reason = harmless(&self.reason);
        if self.state == "broken" {
            format!("broken: {reason}")
        } else {
            format!("retrying since {}: {reason}", minute(&self.since, zone))
        }
    }
}

pub(super) async fn run(arguments: ChannelArguments) -> anyhow::Result<()> {
    match arguments.task {
        None => list(&Client::connect(&arguments.connection)?, arguments.json).await,
        Some(Task::Show { name, json, connection }) => show(&Client::connect(&connection)?, &name, json).await,
        Some(Task::Set(asked)) => set(*asked).await,
        Some(Task::Test { name, connection }) => test(&Client::connect(&connection)?, &name).await,
        Some(Task::Remove { name, connection }) => {
            let client = Client::connect(&connection)?;
            client.send(client.request(Method::DELETE, &path(&name, ""))?).await?;
            note(&format!("the channel {name} is gone; what waited for it is given up"));
            Ok(())
        }
    }
}

fn path(name: &str, door: &str) -> String {
    format!("/api/v1/channels/{}{door}", percent(name))
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let answer: Vec<Value> = client.ask(client.get("/api/v1/channels")?).await?;
    let mut output = Output::new();
    if json {
        for channel in &answer {
            output.line(&channel.to_string())?;
        }
        return output.flush();
    }
    let channels: Vec<Channel> = serde_json::from_value(Value::Array(answer))?;
    if channels.is_empty() {
        note(
            "there is no channel, so nobody is called. The first one:\n  echo \"url=$SLACK_URL\" | everlog channel set ops --kind slack --stdin\n  \
             everlog channel set mail --kind email --smtp smtp://HOST:25 --from everlog@example.com --to you@example.com",
        );
        return Ok(());
    }
    output.lines(&table(&channels, &TimeZone::system()).lines(output.paint()))?;
    output.flush()?;
    for channel in &channels {
        warn(&channel.name, &channel.warnings);
    }
    Ok(())
}

fn warn(name: &str, warnings: &[String]) {
    for warning in warnings {
        note(&format!("the channel {name}: {warning}"));
    }
}

fn table(channels: &[Channel], zone: &TimeZone) -> Table {
    let mut table = Table::new(&[
        ("channel", Side::Left),
        ("kind", Side::Left),
        ("leads to", Side::Left),
        ("takes", Side::Left),
        ("state", Side::Left),
        ("from", Side::Left),
    ]);
    for channel in channels {
        let is_on = channel.settings.get("enabled") != Some(&Value::Bool(false));
        let trouble = channel.trouble.as_ref().filter(|_| is_on).map(|trouble| trouble.says(zone));
        let state = match &trouble {
            _ if !is_on => ("off", Style::Dim),
            Some(trouble) => (trouble.as_str(), Style::Red),
            None => ("on", Style::Green),
        };
        table.styled([
            (channel.name.as_str(), Style::Cyan),
            (&channel.text("kind"), Style::Plain),
            (&channel.leads_to(), Style::Plain),
            (&channel.takes(), Style::Plain),
            state,
            (if channel.in_file { "file" } else { "set at runtime" }, Style::Plain),
        ]);
    }
    table
}

impl Channel {
    fn text(&self, key: &str) -> String {
        match self.settings.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            Some(other) => other.to_string(),
        }
    }

    fn leads_to(&self) -> String {
        let there = ["to", "chat", "url", "dsn"].into_iter().map(|key| self.text(key)).find(|text| !text.is_empty());
        there.unwrap_or_default()
    }

    /// Which notices it takes, in words.
    fn takes(&self) -> String {
        let rules = match self.text("rules") {
            _ if self.text("kind") == "sentry" => "errors that nobody handled".to_owned(),
            rules if rules.is_empty() => "all rules".to_owned(),
            rules => rules,
        };
        let more = [("environments", " in "), ("level_min", " from "), ("quiet_hours", ", not ")];
        more.into_iter()
            .map(|(key, before)| (self.text(key), before))
            .filter(|(text, _)| !text.is_empty())
            .fold(rules, |all, (text, before)| format!("{all}{before}{text}"))
    }
}

async fn show(client: &Client, name: &str, json: bool) -> anyhow::Result<()> {
    let channel: Map<String, Value> = client.ask(client.get(&path(name, ""))?).await?;
    let mut output = Output::new();
    if json {
        output.line(&serde_json::to_string_pretty(&channel)?)?;
        return output.flush();
    }
    let mut table = Table::new(&[("setting", Side::Left), ("value", Side::Left)]);
    for (key, value) in channel.iter().filter(|(key, _)| !BESIDE.contains(&key.as_str())) {
        table.row([key, &written(value)]);
    }
    output.lines(&table.lines(output.paint()))?;
    output.flush()?;
    let told: Channel = serde_json::from_value(Value::Object(channel.clone()))?;
    if let Some(trouble) = &told.trouble {
        note(&trouble.says(&TimeZone::system()));
    }
    warn(name, &told.warnings);
    if channel.get("in_file") == Some(&Value::Bool(true)) {
        note(&format!("it stands in the configuration file, [channels.{name}], and is changed there"));
    }
    Ok(())
}

async fn set(asked: Set) -> anyhow::Result<()> {
    let settings = asked.settings()?;
    let name = asked.name.clone();
    if settings.is_empty() {
        let what = format!("what is to change? such as: everlog channel set {name} rules=new_issue,regression");
        return Err(WrongUsage(what).into());
    }
    let client = Client::connect(&asked.server.into())?;
    let before: Option<Map<String, Value>> = client.ask_if_there(client.get(&path(&name, ""))?).await?;
    let is_new = before.is_none();
    let body = changed(before.unwrap_or_default(), settings);
    let channel: Value = client.ask(client.request(Method::PUT, &path(&name, ""))?.json(&body)).await?;
    let warnings: Vec<String> = serde_json::from_value(channel["warnings"].clone()).unwrap_or_default();
    warn(&name, &warnings);
    let done = if is_new { "is there" } else { "is changed" };
    let kind = channel["kind"].as_str().unwrap_or_default();
    note(&format!("the channel {name} ({kind}) {done}. Try it: everlog channel test {name}"));
    Ok(())
}

/// The settings as they are to be. A channel of another kind has nothing of the one before.
fn changed(mut before: Map<String, Value>, settings: Settings) -> Map<String, Value> {
    before.retain(|key, _| !BESIDE.contains(&key.as_str()));
    let is_other = |kind: &Value| before.get("kind").is_some_and(|known| known != kind);
    if settings.changes.get("kind").is_some_and(is_other) {
        before.clear();
    }
    settings.over(before, &[])
}

async fn test(client: &Client, name: &str) -> anyhow::Result<()> {
    let tried: Value = client.ask(client.post(&path(name, "/test"))?.timeout(ANSWER_TIMEOUT)).await?;
    let missed = tried["missed"].as_array().map(Vec::as_slice).unwrap_or_default();
    for one in missed {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        note(&format!("{}: {}", text("address"), text("reason")));
    }
    if !missed.is_empty() {
        anyhow::bail!("some of the channel {name} did not get it; the others did");
    }
    let said = tried["answer"].as_str().filter(|answer| !answer.trim().is_empty());
    let said = said.map(|answer| format!(": {}", super::output::harmless(answer.trim()))).unwrap_or_default();
    note(&format!("the channel {name} took it{said}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::output::Paint;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_change_keeps_the_rest_and_another_kind_does_not() {
        let before = json!({ "kind": "slack", "url": "https://hooks.slack.com/[REDACTED]", "rules": ["spike"], "name": "ops", "in_file": false });
        for (changes, expected) in [
            (json!({ "rules": null }), json!({ "kind": "slack", "url": "https://hooks.slack.com/[REDACTED]" })),
            (
                json!({ "kind": "slack", "enabled": false }),
                json!({ "kind": "slack", "url": "https://hooks.slack.com/[REDACTED]", "rules": ["spike"], "enabled": false }),
            ),
            (
                json!({ "kind": "teams", "url": "https://x.example/y" }),
                json!({ "kind": "teams", "url": "https://x.example/y" }),
            ),
        ] {
            let settings = Settings { whole: None, changes: map(&changes) };
            assert_eq!(Value::Object(changed(map(&before), settings)), expected);
        }
    }

    #[test]
    fn where_channels_lead_and_what_they_take() {
        let channels = json!([
            { "name": "ops", "in_file": true, "kind": "slack", "url": "https://hooks.slack.com/[REDACTED]", "environments": [], "rules": [], "enabled": true },
            { "name": "mail", "in_file": false, "kind": "email", "smtp": "smtp://m.example", "from": "e@x.example", "to": ["a@x.example", "b@x.example"],
              "environments": ["production"], "rules": ["new_issue"], "quiet_hours": "22:00-07:00", "enabled": false },
            { "name": "tracker", "in_file": false, "kind": "sentry", "dsn": "https://[REDACTED]@o1.example/42", "environments": ["production"], "rules": [], "enabled": true,
              "trouble": { "state": "broken", "since": "2026-01-02T03:04:05Z", "reason": "o1.example answered 404" } },
        ]);
        let channels: Vec<Channel> = serde_json::from_value(channels).unwrap();
        insta::assert_snapshot!(table(&channels, &TimeZone::UTC).lines(Paint::none()).join("\n"), @"
        channel  kind    leads to                            takes                                     state                            from
        ops      slack   https://hooks.slack.com/[REDACTED]  all rules                                 on                               file
        mail     email   a@x.example, b@x.example            new_issue in production, not 22:00-07:00  off                              set at runtime
        tracker  sentry  https://[REDACTED]@o1.example/42    errors that nobody handled in production  broken: o1.example answered 404  set at runtime
        ");
    }
}
