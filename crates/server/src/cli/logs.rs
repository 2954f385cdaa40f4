//! `everlog logs`: which logs there are, and how long each is kept.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Connection, log_path};
use super::human::{bytes, count, minute};
use super::output::{Output, note};
use super::table::{Side, Table};

/// List the logs, make one, show its settings, say how long one is kept and when it is archived.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  everlog logs
  everlog logs create shop
  everlog logs show shop
  everlog logs retention shop 90d --stream DEBUG=7d --stream AUDIT=forever
  everlog logs archive shop --after 90d
  everlog logs set shop redact=strict"
)]
pub(super) struct LogsArguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    list: List,
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// List the logs
    List(List),
    /// Make a log
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show the settings of a log
    #[command(after_help = "\
Settings stand in the configuration file, or are set by `everlog logs set` (docs/operating.md names them all).

Examples:
  everlog logs show shop
  everlog logs show shop --json")]
    Show {
        /// Its name
        name: String,
        /// As the server tells it
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Set what a log does with its events
    #[command(after_help = "\
The settings are those of docs/operating.md. A value is JSON, or a plain text; `null` goes back to the default. What stands in
the configuration file is changed there.

Examples:
  everlog logs set shop redact=strict
  everlog logs set shop 'redact={\"level\":\"strict\",\"keys\":[\"card\"],\"patterns\":{\"ticket\":\"TCK-[0-9]{6}\"}}'
  everlog logs set shop 'keys=[\"datetime\"]' arrays=true
  everlog logs set shop redact=null")]
    Set {
        /// Its name
        name: String,
        /// Setting and value; repeat for several
        #[arg(required = true, value_name = "SETTING=VALUE", value_parser = setting)]
        settings: Vec<(String, Value)>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Say how long a log is kept; without a time, show it
    #[command(after_help = "\
Streams without a time of their own are kept as long as the log. What you do not mention stays as it was.
A time is a number with d, w or h, such as 90d; `forever` is one too.

Examples:
  everlog logs retention shop
  everlog logs retention shop 90d --stream DEBUG=7d
  everlog logs retention shop --forever")]
    Retention {
        /// Its name
        name: String,
        /// How long to keep its events, such as 90d
        #[arg(conflicts_with = "forever")]
        time: Option<String>,
        /// How long to keep one stream of it; repeat for several
        #[arg(long = "stream", value_name = "STREAM=TIME", value_parser = stream)]
        streams: Vec<(String, String)>,
        /// Keep its events for ever
        #[arg(long)]
        forever: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Say when events of a log go to the archive; without a time or a size, show it
    #[command(after_help = "\
Events older than --after go; when what is live takes more than --bytes, the oldest go. What you do not mention stays
as it was. They stay answerable with `everlog query --archive`.

Examples:
  everlog logs archive shop
  everlog logs archive shop --after 90d --stream DEBUG=7d
  everlog logs archive shop --bytes 50GiB
  everlog logs archive shop --never")]
    Archive {
        /// Its name
        name: String,
        /// Age at which its events go, such as 90d
        #[arg(long, value_name = "TIME")]
        after: Option<String>,
        /// Age at which those of one stream go; repeat for several
        #[arg(long = "stream", value_name = "STREAM=TIME", value_parser = stream)]
        streams: Vec<(String, String)>,
        /// Size of what is live beyond which the oldest go, such as 50GiB
        #[arg(long, value_name = "SIZE")]
        bytes: Option<String>,
        /// Leave all of it live
        #[arg(long, conflicts_with_all = ["after", "streams", "bytes"])]
        never: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Deserialize)]
struct Log {
    name: String,
    #[serde(default)]
    number: u64,
    #[serde(default)]
    events: u64,
    #[serde(default)]
    segments: u64,
    #[serde(default)]
    bytes: u64,
    first: Option<Value>,
    last: Option<Value>,
    /// By stream; the empty name stands for all that have no time of their own.
    #[serde(default)]
    retention: BTreeMap<String, String>,
    /// The log that keeps its events.
    index: Option<String>,
    /// Of its visitor endpoint.
    path: Option<String>,
    #[serde(default)]
    public_write: bool,
    /// Settings that the file has.
    #[serde(default)]
    in_file: Vec<String>,
    /// Settings that were made while it ran.
    #[serde(default)]
    at_runtime: Vec<String>,
    #[serde(default)]
    archived_events: u64,
    #[serde(default)]
    archived_bytes: u64,
    #[serde(default)]
    archive_after: BTreeMap<String, String>,
    archive_bytes: Option<u64>,
}

pub(super) async fn run(arguments: LogsArguments) -> anyhow::Result<()> {
    match arguments.task.unwrap_or(Task::List(arguments.list)) {
        Task::List(List { connection }) => list(&Client::connect(&connection)?).await,
        Task::Create { name, connection } => {
            let client = Client::connect(&connection)?;
            client.send(client.request(Method::PUT, &log_path(&name, ""))?.json(&json!({}))).await?;
            note(&format!("the log {name} is there. Send it something: everlog log INFO system Hello --log {name}"));
            Ok(())
        }
        Task::Show { name, json, connection } => show(&Client::connect(&connection)?, &name, json).await,
        Task::Set { name, settings, connection } => {
            let client = Client::connect(&connection)?;
            let body = Value::Object(settings.into_iter().collect());
            client.send(client.request(Method::PUT, &log_path(&name, ""))?.json(&body)).await?;
            show(&client, &name, false).await
        }
        Task::Retention { name, time, streams, forever, connection } => {
            let client = Client::connect(&connection)?;
            let time = if forever { Some(FOREVER.to_owned()) } else { time };
            retain(&client, &name, time.map(|time| (String::new(), time)).into_iter().chain(streams).collect()).await
        }
        Task::Archive { name, after, streams, bytes, never, connection } => {
            let client = Client::connect(&connection)?;
            let wanted: Vec<_> = after.map(|time| (String::new(), time)).into_iter().chain(streams).collect();
            archive(&client, &name, (!never).then_some((wanted, bytes))).await
        }
    }
}

async fn list(client: &Client) -> anyhow::Result<()> {
    let logs: Vec<Log> = client.ask(client.get("/api/v1/logs")?).await?;
    let mut output = Output::new();
    let visited = logs.iter().any(|log| log.path.is_some());
    let mut columns = vec![
        ("log", Side::Left),
        ("number", Side::Right),
        ("events", Side::Right),
        ("size", Side::Right),
        ("segments", Side::Right),
        ("archived", Side::Right),
        ("first event", Side::Left),
        ("last event", Side::Left),
        ("kept", Side::Left),
    ];
    columns.extend(visited.then_some(("visitors", Side::Left)));
    let mut table = Table::new(&columns);
    let zone = TimeZone::system();
    let when = |moment: &Option<Value>| match moment {
        Some(Value::String(text)) => minute(text, &zone),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    for log in &logs {
        let cells = [
            log.name.clone(),
            log.number.to_string(),
            count(log.events),
            bytes(log.bytes),
            count(log.segments),
            archived(log),
            when(&log.first),
            when(&log.last),
            log.index.as_ref().map_or_else(|| kept(&log.retention), |index| format!("in {index}")),
        ];
        let cells = cells.into_iter().chain(visited.then(|| visitors(log)));
        table.cells(cells.collect::<Vec<_>>().iter().map(String::as_str));
    }
    if !logs.is_empty() {
        output.lines(&table.lines(output.paint()))?;
    }
    output.flush()?;
    if logs.iter().all(|log| log.events == 0) {
        note("there are no events yet. Send the first: everlog log INFO alice@example.com \"Hello.\"");
    }
    Ok(())
}

/// Where visitors come in, and whether they need a token.
fn visitors(log: &Log) -> String {
    log.path.as_ref().map_or_else(
        || "-".to_owned(),
        |path| if log.public_write { format!("{path} (all)") } else { format!("{path} (with a token)") },
    )
}

async fn show(client: &Client, name: &str, json: bool) -> anyhow::Result<()> {
    let shown: Value = client.ask(client.get(&log_path(name, ""))?).await?;
    let mut output = Output::new();
    if json {
        output.line(&serde_json::to_string_pretty(&shown)?)?;
        return output.flush();
    }
    let log: Log = serde_json::from_value(shown.clone())?;
    let mut table = Table::new(&[("setting", Side::Left), ("value", Side::Left), ("from", Side::Left)]);
    table.row(["retention", &kept(&log.retention), ""]);
    for setting in engine::OPTIONS {
        let is_among = |names: &[String]| names.iter().any(|name| name == setting);
        let from = match () {
            () if is_among(&log.in_file) => "file",
            () if is_among(&log.at_runtime) => "set at runtime",
            () => "default",
        };
        table.row([setting, &written(&shown[setting]), from]);
    }
    output.lines(&table.lines(output.paint()))?;
    output.flush()
}

/// A value as one would write it into the file.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// How a time without end is written.
const FOREVER: &str = "forever";

/// What a stream gets that is to be kept for ever in a log that is not: without a time of its own it would follow the log.
const AGES: &str = "1000y";

/// From so many days on a time is called for ever.
const AGES_DAYS: u64 = 365 * 100;

async fn retain(client: &Client, name: &str, wanted: Vec<(String, String)>) -> anyhow::Result<()> {
    let logs: Vec<Log> = client.ask(client.get("/api/v1/logs")?).await?;
    let Some(log) = logs.into_iter().find(|log| log.name == name) else {
        bail!("there is no log {name}. `everlog logs` lists them, `everlog logs create {name}` makes it");
    };
    let changed = !wanted.is_empty();
    let retention = merged(log.retention, wanted);
    if changed {
        let body = json!({ "retention": &retention });
        client.send(client.request(Method::PUT, &log_path(name, ""))?.json(&body)).await?;
    }
    let mut output = Output::new();
    output.line(&format!("{name} is kept {}", kept(&retention)))?;
    output.flush()
}

/// How much of a log is in the archive.
fn archived(log: &Log) -> String {
    if log.archived_events == 0 {
        return "-".to_owned();
    }
    format!("{} ({})", count(log.archived_events), bytes(log.archived_bytes))
}

/// A time for each stream; the empty name stands for all others.
type Times = Vec<(String, String)>;

/// Sets when events go to the archive: some times and a size, or never.
async fn archive(client: &Client, name: &str, wanted: Option<(Times, Option<String>)>) -> anyhow::Result<()> {
    let logs: Vec<Log> = client.ask(client.get("/api/v1/logs")?).await?;
    let Some(log) = logs.into_iter().find(|log| log.name == name) else {
        bail!("there is no log {name}. `everlog logs` lists them, `everlog logs create {name}` makes it");
    };
    let body = match wanted {
        None => json!({ "archive_after": {}, "archive_bytes": 0 }),
        Some((times, size)) if times.is_empty() && size.is_none() => Value::Null,
        Some((times, size)) => {
            let mut body = json!({ "archive_after": merged(log.archive_after.clone(), times) });
            if let Some(size) = size {
                body["archive_bytes"] = size.into();
            }
            body
        }
    };
    let log: Log = if body.is_null() {
        log
    } else {
        client.ask(client.request(Method::PUT, &log_path(name, ""))?.json(&body)).await?
    };
    let mut output = Output::new();
    output.line(&format!("{name} {}", leaves(&log)))?;
    output.flush()
}

/// When events of a log go to the archive, in words.
fn leaves(log: &Log) -> String {
    let ages: Vec<String> = log
        .archive_after
        .iter()
        .map(
            |(stream, time)| if stream.is_empty() { format!("after {time}") } else { format!("{stream} after {time}") },
        )
        .collect();
    let size = log.archive_bytes.map(|most| format!("when more than {} are live", bytes(most)));
    let all: Vec<String> = ages.into_iter().chain(size).collect();
    if all.is_empty() {
        "never goes to the archive".to_owned()
    } else {
        format!("goes to the archive {}", all.join(", "))
    }
}

fn merged(mut retention: BTreeMap<String, String>, wanted: Vec<(String, String)>) -> BTreeMap<String, String> {
    for (stream, time) in wanted {
        match (stream.as_str(), time.as_str()) {
            ("", FOREVER) => retention.remove(""),
            (_, FOREVER) => retention.insert(stream, AGES.to_owned()),
            _ => retention.insert(stream, time),
        };
    }
    retention
}

fn kept(retention: &BTreeMap<String, String>) -> String {
    let whole = retention.get("").map_or(FOREVER, |time| named(time)).to_owned();
    let streams = retention.iter().filter(|(stream, _)| !stream.is_empty());
    streams.fold(whole, |text, (stream, time)| format!("{text}, {stream} {}", named(time)))
}

fn named(time: &str) -> &str {
    let is_ages = |days: &str| days.parse::<u64>().is_ok_and(|days| days >= AGES_DAYS);
    if time == AGES || time.strip_suffix('d').is_some_and(is_ages) { FOREVER } else { time }
}

fn setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected SETTING=VALUE, such as redact=strict")?;
    if !engine::OPTIONS.contains(&name) {
        return Err(match engine::suggest(name, engine::OPTIONS.into_iter()) {
            Some(near) => format!("there is no setting {name:?}: did you mean {near:?}?"),
            None => format!("there is no setting {name:?}; there are {}", engine::OPTIONS.join(", ")),
        });
    }
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

fn stream(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((stream, time)) if !stream.is_empty() && !time.is_empty() => {
            Ok((event::shared::stream_name(stream).to_owned(), time.to_owned()))
        }
        _ => Err("expected STREAM=TIME, such as DEBUG=7d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mentioned_stays() {
        let pairs =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
        let before: BTreeMap<_, _> = pairs(&[("", "90d"), ("DEBUG", "7d")]).into_iter().collect();
        assert_eq!(kept(&before), "90d, DEBUG 7d");
        assert_eq!(kept(&merged(before.clone(), pairs(&[("AUDIT", "forever")]))), "90d, AUDIT forever, DEBUG 7d");
        assert_eq!(kept(&merged(before, pairs(&[("", "forever")]))), "forever, DEBUG 7d");
        assert_eq!(stream("SECURITY_ALERT=1w"), Ok(("SECURITY ALERT".to_owned(), "1w".to_owned())));
        assert!(stream("DEBUG").is_err());
    }
}
