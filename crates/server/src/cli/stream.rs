//! `everlog stream`: which streams there are.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Connection, percent};
use super::human::{count, count_of};
use super::output::{Output, note};
use super::table::{Side, Table};

/// List the streams, add one, remove one.
#[derive(Args, Debug)]
#[command(
    alias = "streams",
    after_help = "\
Names are open: an event of a stream that is not on the list is kept like any other. A blank in a name may be \
written _ for the streams of a fresh installation: SECURITY_ALERT is \"SECURITY ALERT\".

Examples:
  everlog stream list
  everlog stream add PAYMENTS --label \"PAYMENTS: \"
  everlog stream remove PAYMENTS --purge --dry-run"
)]
pub(super) struct StreamArguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// List the streams, a line each; in a pipe without a heading
    #[command(alias = "ls")]
    List {
        /// Those too that have doors of their own, and those that events name and nobody added
        #[arg(long)]
        all: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Put a stream on the list, or give one another label
    Add {
        /// Its name, such as PAYMENTS
        name: String,
        /// What stands before the message where its events are text [default: the name and a colon]
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Take a stream off the list
    #[command(
        alias = "rm",
        after_help = "\
INTERNAL stays, and so do AUDIT, LOGIN and \"SECURITY ALERT\" (sealed), VIEW and SPAN (which have doors of their own).
Deleting cannot be undone; an event of the stream AUDIT says who did it and how many went.

Examples:
  everlog stream remove DEBUG --keep
  everlog stream remove PAYMENTS --purge --dry-run
  everlog stream remove PAYMENTS --purge"
    )]
    Remove {
        /// Its name
        name: String,
        /// Keep its events
        #[arg(long, conflicts_with = "purge")]
        keep: bool,
        /// Delete its events for good, in all logs and in the archive
        #[arg(long)]
        purge: bool,
        /// Only say what would happen
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Deserialize)]
struct Stream {
    name: String,
    label: String,
    kind: String,
    listed: bool,
    events: u64,
}

#[derive(Deserialize)]
struct Removed {
    name: String,
    listed: bool,
    events: u64,
    logs: BTreeMap<String, u64>,
    archived: u64,
    purged: u64,
}

pub(super) async fn run(arguments: StreamArguments) -> anyhow::Result<()> {
    match arguments.task {
        Task::List { all, json, connection } => list(&Client::connect(&connection)?, all, json).await,
        Task::Add { name, label, connection } => {
            let client = Client::connect(&connection)?;
            let request = client.request(Method::PUT, &path(&name))?.json(&json!({ "label": label }));
            let stream: Value = client.ask(request).await?;
            let said =
                if stream["changed"] == true { "is on the list" } else { "was there already, and nothing changed" };
            note(&format!("the stream {} {said}; its lines begin with {}", text(&stream, "name"), stream["label"]));
            Ok(())
        }
        Task::Remove { name, keep, purge, dry_run, connection } => {
            let client = Client::connect(&connection)?;
            let mut asked = format!("{}?dry_run={}", path(&name), if dry_run { "y" } else { "n" });
            for (word, wanted) in [("keep", keep), ("purge", purge)] {
                if wanted {
                    asked.push_str("&data=");
                    asked.push_str(word);
                }
            }
            let removed: Removed = client.ask(client.request(Method::DELETE, &asked)?).await?;
            note(&outcome(&removed, purge, dry_run));
            Ok(())
        }
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/streams/{}", percent(name))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

async fn list(client: &Client, all: bool, json: bool) -> anyhow::Result<()> {
    let streams: Vec<Value> = client.ask(client.get("/api/v1/streams")?).await?;
    let mut output = Output::new();
    let mut table =
        Table::new(&[("stream", Side::Left), ("label", Side::Left), ("events", Side::Right), ("", Side::Left)]);
    let (mut beside, mut seen) = (Vec::new(), 0);
    for value in streams {
        let stream: Stream = serde_json::from_value(value.clone())?;
        if !stream.listed && !all {
            if stream.kind == "beside" {
                beside.push(stream.name);
            } else {
                seen += 1;
            }
            continue;
        }
        if json {
            output.line(&value.to_string())?;
        }
        let remark = match stream.kind.as_str() {
            "first" => "",
            "beside" => "has a door of its own",
            "seen" => "not on the list",
            kind => kind,
        };
        table.row([&stream.name, &stream.label, &count(stream.events), remark]);
    }
    if !json {
        // A script counts lines.
        let heading = usize::from(!output.is_terminal());
        output.lines(table.lines(output.paint()).get(heading..).unwrap_or_default())?;
    }
    output.flush()?;
    if !beside.is_empty() {
        let last = beside.pop().unwrap_or_default();
        note(&format!("{} and {last} are kept besides; they have doors of their own", beside.join(", ")));
    }
    if seen > 0 {
        note(&format!("events name {} more; --all lists them", count_of(seen, "stream")));
    }
    Ok(())
}

fn outcome(removed: &Removed, purge: bool, dry_run: bool) -> String {
    let Removed { name, listed, events, logs, archived, purged } = removed;
    let places: Vec<String> = logs.iter().map(|(log, events)| format!("{} in {log}", count(*events))).collect();
    let archived = if *archived > 0 { format!("; {} archived", count(*archived)) } else { String::new() };
    let places = if places.is_empty() { String::new() } else { format!(" ({}{archived})", places.join(", ")) };
    let events_of = count_of(*events, "event");
    match (dry_run, purge) {
        (true, true) => format!("{name} would go, with {events_of} of it{places} deleted for good"),
        (true, false) => format!("{name} would be taken off the list; it has {events_of}{places}"),
        (false, true) if purged < events => format!(
            "{} of {name} were deleted; {} could not be, because their bytes are damaged (see `everlog doctor`)",
            count_of(*purged, "event"),
            count(events - purged)
        ),
        (false, true) => format!("{name} is gone, with {events_of} of it{places} deleted for good"),
        (false, false) if !listed => format!("{name} is not on the list; kept: {events_of} of it{places}"),
        (false, false) if *events > 0 => format!("{name} is off the list; kept: {events_of} of it{places}"),
        (false, false) => format!("{name} is off the list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_stream() {
        let logs = BTreeMap::from([("default".to_owned(), 3), ("shop".to_owned(), 1)]);
        let mut removed = Removed { name: "PAY".to_owned(), listed: true, events: 4, logs, archived: 0, purged: 4 };
        assert_eq!(
            outcome(&removed, true, false),
            "PAY is gone, with 4 events of it (3 in default, 1 in shop) deleted for good"
        );
        assert_eq!(
            outcome(&removed, true, true),
            "PAY would go, with 4 events of it (3 in default, 1 in shop) deleted for good"
        );
        assert_eq!(
            outcome(&removed, false, false),
            "PAY is off the list; kept: 4 events of it (3 in default, 1 in shop)"
        );
        removed.archived = 2;
        assert_eq!(
            outcome(&removed, true, false),
            "PAY is gone, with 4 events of it (3 in default, 1 in shop; 2 archived) deleted for good"
        );
        removed.purged = 3;
        assert!(outcome(&removed, true, false).starts_with("3 events of PAY were deleted; 1 could not be"));
        removed.logs.clear();
        assert_eq!(outcome(&Removed { events: 0, ..removed }, false, false), "PAY is off the list");
    }
}
