//! `everlog archive`: what is in the archive, whether it is whole, and the ways out of it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Connection, percent};
use super::human::{bytes, count_of, minute};
use super::output::{Output, WrongUsage, note};
use super::table::{Side, Table};

/// Look after the events in the archive.
#[derive(Args, Debug)]
#[command(after_help = "\
Old events go to the archive by `everlog logs archive`. They stay answerable: everlog query --archive.

Examples:
  everlog archive list --log shop
  everlog archive verify
  everlog archive restore --log shop --from 2026-03-01 --to 2026-03-31
  everlog archive run --dry-run
  everlog archive purge --log shop --before 2020-01-01 --dry-run")]
pub(super) struct ArchiveArguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// List what is in the archive
    List {
        /// Only of this log
        #[arg(long, value_name = "NAME")]
        log: Option<String>,
        /// All that is known, as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Read every byte back, and name what is damaged or missing
    Verify {
        /// Only of this log
        #[arg(long, value_name = "NAME")]
        log: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Make archived events live again
    ///
    /// Whole files come back that have any of the stream within the time, and stay live for a week or as --hold says.
    Restore {
        /// Of this log
        #[arg(long, value_name = "NAME")]
        log: String,
        /// Only events from this time on
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        from: Option<String>,
        /// Only events up to this time
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        to: Option<String>,
        /// Only this stream
        #[arg(long)]
        stream: Option<String>,
        /// How long they stay live before the policy applies again, such as 30d [default: 7d]
        #[arg(long, value_name = "TIME")]
        hold: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Move what is old enough now, instead of within a minute
    Run {
        /// Only say what would be moved
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Remove archived events for good; an AUDIT event says who did
    Purge {
        /// Of this log
        #[arg(long, value_name = "NAME")]
        log: String,
        /// Only events before this time
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        before: String,
        /// Only this stream
        #[arg(long)]
        stream: Option<String>,
        /// Only say what would be removed
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        /// Yes, remove it
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Work {
    log: String,
    segments: u64,
    events: u64,
    bytes: u64,
}

impl Work {
    fn told(&self) -> String {
        format!("{} in {}, {}", count_of(self.events, "event"), count_of(self.segments, "segment"), bytes(self.bytes))
    }
}

pub(super) async fn run(arguments: ArchiveArguments) -> anyhow::Result<()> {
    match arguments.task {
        Task::List { log, json, connection } => list(&Client::connect(&connection)?, log.as_deref(), json).await,
        Task::Verify { log, connection } => verify(&Client::connect(&connection)?, log.as_deref()).await,
        Task::Restore { log, from, to, stream, hold, connection } => {
            let asked = json!({ "log": log, "from": from, "to": to, "stream": stream, "hold": hold });
            restore(&Client::connect(&connection)?, asked).await
        }
        Task::Run { dry_run, connection } => move_now(&Client::connect(&connection)?, dry_run).await,
        Task::Purge { log, before, stream, dry_run, yes, connection } => {
            if !dry_run && !yes {
                let usage = "purge removes events for good: look first with --dry-run, then say --yes";
                return Err(WrongUsage(usage.to_owned()).into());
            }
            let asked = json!({ "log": log, "before": before, "stream": stream, "dry_run": dry_run });
            purge(&Client::connect(&connection)?, &asked).await
        }
    }
}

#[derive(Deserialize)]
struct Listed {
    place: String,
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    log: String,
    file: String,
    events: u64,
    bytes: u64,
    first: String,
    last: String,
}

async fn list(client: &Client, log: Option<&str>, json: bool) -> anyhow::Result<()> {
    let path = log.map_or_else(|| "/api/v1/archive".to_owned(), |log| format!("/api/v1/archive?log={}", percent(log)));
    let answer: Value = client.ask(client.get(&path)?).await?;
    let mut output = Output::new();
    if json {
        output.line(&answer.to_string())?;
        return output.flush();
    }
    let Listed { place, segments } = serde_json::from_value(answer).context("the answer has another form")?;
    if segments.is_empty() {
        note("nothing is in the archive. Say when events go there: everlog logs archive shop --after 90d");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("log", Side::Left),
        ("events", Side::Right),
        ("size", Side::Right),
        ("first event", Side::Left),
        ("last event", Side::Left),
        ("file", Side::Left),
    ]);
    let zone = TimeZone::system();
    let mut all = Work::default();
    for segment in &segments {
        all.segments += 1;
        all.events += segment.events;
        all.bytes += segment.bytes;
        table.row([
            &segment.log,
            &super::human::count(segment.events),
            &bytes(segment.bytes),
            &minute(&segment.first, &zone),
            &minute(&segment.last, &zone),
            &segment.file,
        ]);
    }
    output.lines(&table.lines(output.paint()))?;
    output.flush()?;
    note(&format!("{}; new ones go to {place}", all.told()));
    Ok(())
}

async fn verify(client: &Client, log: Option<&str>) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Fault {
        file: String,
        place: String,
        events: u64,
        reason: String,
    }
    let result = work(client, "verify", &json!({ "log": log })).await?;
    let all: Work = Work::deserialize(&result)?;
    let faults: Vec<Fault> = Vec::deserialize(&result["faults"])?;
    let unknown: Vec<String> = Vec::deserialize(&result["unknown_files"])?;
    let mut output = Output::new();
    for Fault { file, place, events, reason } in &faults {
        output.line(&format!("{place}/{file}: {reason} (its segment has {})", count_of(*events, "event")))?;
    }
    output.flush()?;
    for file in unknown.iter().take(20) {
        note(&format!("{file} is in the archive and belongs to no log here"));
    }
    if unknown.len() > 20 {
        note(&format!("and {} more files that belong to no log here", unknown.len() - 20));
    }
    match faults.len() {
        0 => {
            note(&format!("all well: {}, every byte as it was archived", all.told()));
            Ok(())
        }
        faults => {
            bail!("{} of {} not as archived: put them back from a copy", count_of(faults as u64, "file"), all.told())
        }
    }
}

async fn restore(client: &Client, asked: Value) -> anyhow::Result<()> {
    let result = work(client, "restore", &asked).await?;
    let done: Work = Work::deserialize(&result)?;
    if done.segments == 0 {
        bail!("there is nothing of that in the archive: `everlog archive list` shows what there is");
    }
    let until = result["held_until"].as_str().unwrap_or_default();
    note(&format!("live again: {}; held until {}", done.told(), minute(until, &TimeZone::system())));
    Ok(())
}

async fn move_now(client: &Client, dry_run: bool) -> anyhow::Result<()> {
    let result = work(client, "run", &json!({ "dry_run": dry_run })).await?;
    let logs: Vec<Work> = Vec::deserialize(&result["logs"])?;
    let mut output = Output::new();
    let would = if dry_run { "would go" } else { "went" };
    for log in &logs {
        output.line(&format!("{}: {} {would} to the archive", log.log, log.told()))?;
    }
    output.flush()?;
    if logs.is_empty() {
        note("nothing is old enough or too much: `everlog logs archive NAME` shows when a log's events go");
    }
    Ok(())
}

async fn purge(client: &Client, asked: &Value) -> anyhow::Result<()> {
    let result = work(client, "purge", asked).await?;
    let done: Work = Work::deserialize(&result)?;
    let would = if asked["dry_run"] == true { "would be removed" } else { "removed for good" };
    let mut output = Output::new();
    output.line(&format!(
        "{}: {} before {} {would}",
        asked["log"].as_str().unwrap_or_default(),
        done.told(),
        result["before"].as_str().unwrap_or_default()
    ))?;
    output.flush()
}

/// Asks for work that may take long, shows how far it is, and returns its result.
async fn work(client: &Client, door: &str, asked: &Value) -> anyhow::Result<Value> {
    let mut answer = client.send(client.post(&format!("/api/v1/archive/{door}"))?.json(asked)).await?;
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut waiting = Vec::new();
    let mut last = None;
    while let Some(part) = answer.chunk().await.map_err(|error| client.unreachable(&error))? {
        waiting.extend_from_slice(&part);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let line: Value = serde_json::from_slice(&line).context("the answer is not what Everlog answers")?;
            if let (Some(done), Some(all)) = (line["bytes"].as_u64(), line["of"].as_u64()) {
                bar.set_length(all);
                bar.set_position(done);
            } else {
                last = Some(line);
            }
        }
    }
    bar.finish_and_clear();
    let mut last = last.context("the answer broke off: ask `everlog archive list` what was done, and try again")?;
    match last["error"]["detail"].as_str() {
        Some(detail) => bail!("{detail}"),
        None => Ok(last["result"].take()),
    }
}
