//! `everlog rule`: when people are called.

mod state;
mod tried;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Client, Connection, percent};
use super::human::minute;
use super::logs::written;
use super::output::{Output, WrongUsage, note};
use super::pairs::{Kinds, Settings, Typed};
use super::table::{Side, Table};
use super::when;

/// Settings that are texts, and those that are lists.
const KINDS: Kinds = Kinds {
    texts: &["on", "search", "window", "level_min", "quiet_hours", "timezone", "snooze", "repeat", "for"],
    lists: &["log", "logs", "group_by", "environment", "environments", "levels", "channel", "channels"],
};

/// Settings of which a rule has one.
const EXCLUSIVE: [&[&str]; 4] =
    [&["threshold", "above", "below"], &["log", "logs"], &["environment", "environments"], &["channel", "channels"]];

/// List the rules by which people are called, write one, try it on the past.
#[derive(Args, Debug)]
#[command(
    alias = "rules",
    after_help = "\
The built-in rules hold without writing any; docs/alerts.md has all settings. What stands in
everlog.toml, [rules.NAME], is changed there.

Examples:
  everlog rule
  everlog rule set failed_payments search=event:payment_failed threshold=10 window=5m group_by=provider
  everlog rule test failed_payments --since 7d
  everlog rule snooze spike 2h
  everlog rule off silence"
)]
pub(super) struct RuleArguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A rule that is named.
#[derive(Args, Debug)]
struct Named {
    /// Its name
    name: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Show all settings of a rule, and where it stands
    Show {
        #[command(flatten)]
        named: Named,
        /// As the server tells it
        #[arg(long)]
        json: bool,
    },
    /// Write a rule, or change one, a built-in one too; what is not named stays as it was
    #[command(after_help = "\
Examples:
  everlog rule set failed_payments 'search=event:payment_failed level:>=warning' threshold=10 window=5m
  everlog rule set new_issue environments=production channels=ops
  everlog rule set failed_payments above=20 group_by=null
  everlog rule set no_orders --json '{\"search\":\"event:order_placed\",\"below\":1,\"window\":\"30m\"}'")]
    Set {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        typed: Typed,
    },
    /// Show when a rule would have called in the past, with other settings if some are given; nobody is called
    #[command(after_help = "\
A rule that counts can be tried; what follows from issues and detectors cannot: `everlog notices`
shows what it told.

Examples:
  everlog rule test failed_payments --since 7d
  everlog rule test failed_payments threshold=50
  everlog rule test idea search=level:error threshold=100 window=10m")]
    Test {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        typed: Typed,
        /// From when: how long ago, such as 7d, or a time [default: a day ago]
        #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = when::past)]
        since: Option<String>,
        /// Until when [default: now]
        #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = when::past)]
        until: Option<String>,
    },
    /// Hold back what a rule tells; it comes in a digest afterwards
    #[command(after_help = "\
Examples:
  everlog rule snooze spike 2h
  everlog rule snooze spike 2026-01-31T08:00:00Z
  everlog rule snooze spike off")]
    Snooze {
        #[command(flatten)]
        named: Named,
        /// For how long, such as 2h or 7d, until when, or `off`
        #[arg(value_name = "TIME", value_parser = snooze)]
        until: Until,
    },
    /// Switch a rule off
    Off(Named),
    /// Switch a rule on
    On(Named),
    /// Remove a rule; a built-in one is then as it was
    #[command(name = "rm", alias = "remove")]
    Remove(Named),
}

/// Until when a rule is snoozed.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Until {
    Off,
    Moment(String),
}

fn snooze(text: &str) -> Result<Until, String> {
    if text == "off" { Ok(Until::Off) } else { when::future(text).map(Until::Moment) }
}

/// A rule as it is listed.
#[derive(Deserialize)]
struct Rule {
    name: String,
    #[serde(default)]
    in_file: bool,
    #[serde(default)]
    built_in: bool,
    settings: Map<String, Value>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    states: Vec<Group>,
}

/// Where a group of a rule stands.
#[derive(Deserialize)]
struct Group {
    group: String,
    state: String,
    since: Option<String>,
    value: Option<f64>,
}

pub(super) async fn run(arguments: RuleArguments) -> anyhow::Result<()> {
    let Some(task) = arguments.task else {
        return list(&Client::connect(&arguments.connection)?, arguments.json).await;
    };
    match task {
        Task::Show { named, json } => show(&named, json).await,
        Task::Set { named, typed } => {
            let settings = typed.read(&KINDS)?;
            if settings.is_empty() {
                let name = &named.name;
                return Err(
                    WrongUsage(format!("what is to change? such as: everlog rule set {name} threshold=10")).into()
                );
            }
            let rule = change(&named, settings).await?;
            note(&format!("the rule {} is set: {}", rule.name, rule.listens()));
            warn(&rule);
            if rule.settings.get("on") == Some(&json!("threshold")) {
                note(&format!("when it would have called: everlog rule test {}", rule.name));
            }
            Ok(())
        }
        Task::Test { named, typed, since, until } => tried::run(&named, typed.read(&KINDS)?, since, until).await,
        Task::Snooze { named, until } => put_to_sleep(&named, until).await,
        Task::Off(named) => switch(&named, false).await,
        Task::On(named) => switch(&named, true).await,
        Task::Remove(named) => {
            let client = Client::connect(&named.connection)?;
            client.send(client.request(Method::DELETE, &path(&named.name, ""))?).await?;
            note(&format!("the rule {} is gone; one that is built in is as it was", named.name));
            Ok(())
        }
    }
}

fn path(name: &str, door: &str) -> String {
    format!("/api/v1/rules/{}{door}", percent(name))
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let answer: Vec<Value> = client.ask(client.get("/api/v1/rules")?).await?;
    let mut output = Output::new();
    if json {
        for rule in &answer {
            output.line(&rule.to_string())?;
        }
        return output.flush();
    }
    let rules: Vec<Rule> = serde_json::from_value(Value::Array(answer))?;
    output.lines(&state::table(&rules, Timestamp::now(), &TimeZone::system()).lines(output.paint()))?;
    output.flush()?;
    rules.iter().for_each(warn);
    Ok(())
}

fn warn(rule: &Rule) {
    for warning in &rule.warnings {
        note(&format!("the rule {}: {warning}", rule.name));
    }
}

async fn show(named: &Named, json: bool) -> anyhow::Result<()> {
    let client = Client::connect(&named.connection)?;
    let answer: Value = client.ask(client.get(&path(&named.name, ""))?).await?;
    let mut output = Output::new();
    if json {
        output.line(&serde_json::to_string_pretty(&answer)?)?;
        return output.flush();
    }
    let rule: Rule = serde_json::from_value(answer)?;
    let mut table = Table::new(&[("setting", Side::Left), ("value", Side::Left)]);
    for (key, value) in &rule.settings {
        table.row([key, &written(value)]);
    }
    output.lines(&table.lines(output.paint()))?;
    if !rule.states.is_empty() {
        output.line("")?;
        output.lines(&state::groups(&rule.states, Timestamp::now(), &TimeZone::system()).lines(output.paint()))?;
    }
    output.flush()?;
    warn(&rule);
    if rule.in_file {
        note(&format!("it stands in the configuration file, [rules.{}], and is changed there", rule.name));
    }
    Ok(())
}

/// Changes a rule. One that is built in keeps only what was written, so that it goes on with what later versions find usual.
async fn change(named: &Named, settings: Settings) -> anyhow::Result<Rule> {
    let client = Client::connect(&named.connection)?;
    let before: Option<Rule> = client.ask_if_there(client.get(&path(&named.name, ""))?).await?;
    let written = before.filter(|rule| !rule.built_in).map(|rule| rule.settings).unwrap_or_default();
    let body = settings.over(written, &EXCLUSIVE);
    client.ask(client.request(Method::PUT, &path(&named.name, ""))?.json(&body)).await
}

fn one(key: &str, value: Value) -> Settings {
    Settings { whole: None, changes: [(key.to_owned(), value)].into_iter().collect() }
}

async fn switch(named: &Named, on: bool) -> anyhow::Result<()> {
    known(named).await?;
    let rule = change(named, one("enabled", on.into())).await?;
    note(&format!("the rule {} is {}", rule.name, if on { "on" } else { "off" }));
    Ok(())
}

async fn put_to_sleep(named: &Named, until: Until) -> anyhow::Result<()> {
    known(named).await?;
    match until {
        Until::Off => {
            let rule = change(named, one("snooze", Value::Null)).await?;
            note(&format!("the rule {} is awake", rule.name));
        }
        Until::Moment(moment) => {
            let rule = change(named, one("snooze", moment.as_str().into())).await?;
            let until = minute(&moment, &TimeZone::system());
            note(&format!("the rule {} is snoozed until {until}; what it tells comes in a digest then", rule.name));
        }
    }
    Ok(())
}

/// Refuses a name that no rule has: it is not to become one by being switched off.
async fn known(named: &Named) -> anyhow::Result<()> {
    let client = Client::connect(&named.connection)?;
    client.send(client.get(&path(&named.name, ""))?).await?;
    Ok(())
}
