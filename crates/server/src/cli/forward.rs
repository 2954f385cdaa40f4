//! `everlog forward`: what is forwarded to other systems, and how far each of them is.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Connection, percent};
use super::human::{count, count_of, duration};
use super::output::{Output, note};
use super::table::{Side, Table};

/// List what is forwarded to other systems, pause it, begin anew.
#[derive(Args, Debug)]
#[command(after_help = "\
Targets are the tables [forward.NAME] of everlog.toml: Elasticsearch, OpenSearch, OpenTelemetry or a webhook.

Examples:
  everlog forward
  everlog forward test search
  everlog forward pause search
  everlog forward resume search
  everlog forward reset search --to start")]
pub(super) struct ForwardArguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// All that is known, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Ask a target whether it answers, with a batch that has no event in it
    Test {
        /// Its name
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Send nothing to a target until it is resumed; its events wait in the log
    Pause {
        /// Its name
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Go on where it was paused
    Resume {
        /// Its name
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Begin anew: with the first event there is, or with the next
    Reset {
        /// Its name
        name: String,
        /// Where
        #[arg(long, value_enum)]
        to: Begin,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Begin {
    /// Everything in the log is sent, again if need be: a target stores an event of one id once
    Start,
    /// What is there is left out
    Now,
}

#[derive(Deserialize)]
struct Forward {
    name: String,
    log: String,
    to: String,
    url: String,
    behind_events: u64,
    behind_seconds: u64,
    delivered: u64,
    refused: u64,
    missed: u64,
    paused: bool,
    error: Option<String>,
    refusals: Vec<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    id: String,
    reason: String,
}

pub(super) async fn run(arguments: ForwardArguments) -> anyhow::Result<()> {
    match arguments.task {
        None => list(&Client::connect(&arguments.connection)?, arguments.json).await,
        Some(Task::Test { name, connection }) => test(&Client::connect(&connection)?, &name).await,
        Some(Task::Pause { name, connection }) => change(&connection, &name, json!({ "paused": true })).await,
        Some(Task::Resume { name, connection }) => change(&connection, &name, json!({ "paused": false })).await,
        Some(Task::Reset { name, to, connection }) => {
            let since = match to {
                Begin::Start => "start",
                Begin::Now => "now",
            };
            change(&connection, &name, json!({ "since": since })).await
        }
    }
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let answer: Value = client.ask(client.get("/api/v1/forwards")?).await?;
    let mut output = Output::new();
    if json {
        output.line(&answer.to_string())?;
        return output.flush();
    }
    let targets: Vec<Forward> = serde_json::from_value(answer).context("the answer has another form")?;
    if targets.is_empty() {
        note("nothing is forwarded. A table [forward.NAME] in everlog.toml makes a target: see docs/forwarding.md");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("name", Side::Left),
        ("log", Side::Left),
        ("to", Side::Left),
        ("at", Side::Left),
        ("behind", Side::Right),
        ("since", Side::Right),
        ("delivered", Side::Right),
        ("refused", Side::Right),
        ("missed", Side::Right),
        ("state", Side::Left),
    ]);
    for target in &targets {
        let waits = match target.behind_events {
            0 => String::new(),
            _ => duration(Duration::from_secs(target.behind_seconds)),
        };
        table.row([
            &target.name,
            &target.log,
            &target.to,
            &target.url,
            &count(target.behind_events),
            &waits,
            &count(target.delivered),
            &count(target.refused),
            &count(target.missed),
            target.state(),
        ]);
    }
    output.lines(&table.lines(output.paint()))?;
    output.flush()?;
    for target in &targets {
        if let Some(error) = &target.error {
            note(&format!("{}: {error}", target.name));
        }
        if let Some(Refusal { id, reason }) = target.refusals.last() {
            note(&format!("{} refused {id:?}: {reason}", target.name));
        }
    }
    Ok(())
}

impl Forward {
    fn state(&self) -> &'static str {
        match (self.paused, &self.error) {
            (true, _) => "paused",
            (false, Some(_)) => "failing",
            (false, None) => "ok",
        }
    }
}

#[derive(Deserialize)]
struct Tested {
    name: String,
    works: bool,
    detail: String,
    milliseconds: u64,
}

async fn test(client: &Client, name: &str) -> anyhow::Result<()> {
    let request = client.post(&format!("/api/v1/forwards/{}/test", percent(name)))?;
    let Tested { name, works, detail, milliseconds } = client.ask(request).await?;
    if !works {
        bail!("{name}: {detail}");
    }
    note(&format!("{name}: {detail} ({milliseconds} ms)"));
    Ok(())
}

async fn change(connection: &Connection, name: &str, change: Value) -> anyhow::Result<()> {
    let client = Client::connect(connection)?;
    let request = client.post(&format!("/api/v1/forwards/{}", percent(name)))?.json(&change);
    let target: Forward = client.ask(request).await?;
    note(&format!("{}: {}, {} behind", target.name, target.state(), count_of(target.behind_events, "event")));
    Ok(())
}
