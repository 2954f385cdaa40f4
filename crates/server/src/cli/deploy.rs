//! `everlog deploy`: tells that a release came into use, so that errors name the deploy that probably brought them.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::LOG;
use super::client::{Client, Connection, log_path};
use super::output::{Output, WrongUsage, note};
use super::table::{Side, Table};
use super::when::{self, dated};

/// Tell of a deploy, list the deploys.
#[derive(Args, Debug)]
#[command(
    alias = "deploys",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
A deploy is an event, `deploy`, like any other. A new issue, and one that is back, name the latest
deploy of their release and environment as the suspect.

Examples:
  everlog deploy 1.4.2
  everlog deploy \"$(git rev-parse --short HEAD)\" --environment production --user \"$USER\" --comment \"faster cart\"
  everlog deploy 1.4.1 --log shop --at 2026-01-31T10:00:00Z
  everlog deploy list --log shop"
)]
pub(super) struct DeployArguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    tell: Tell,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// List the deploys of a log, the latest first
    #[command(alias = "ls")]
    List {
        /// Log whose deploys to list
        #[arg(long, value_name = "NAME", default_value = LOG)]
        log: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Args, Debug)]
struct Tell {
    /// What was deployed: a version, a commit. It is what errors name as their release
    #[arg(value_name = "RELEASE", required_unless_present = "named")]
    release: Option<String>,
    /// The same, for a release that is called like a command
    #[arg(long = "release", value_name = "RELEASE", conflicts_with = "release")]
    named: Option<String>,
    /// Log that the errors of this release go to
    #[arg(long, value_name = "NAME", default_value = LOG)]
    log: String,
    /// Where, such as production [default: everywhere]
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// What to say about it
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Who did it
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// When: how long ago, such as 10m, or a time [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = when::past)]
    at: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(arguments: DeployArguments) -> anyhow::Result<()> {
    match arguments.task {
        Some(Task::List { log, json, connection }) => list(&Client::connect(&connection)?, &log, json).await,
        None => tell(arguments.tell).await,
    }
}

/// Whether a release is rather `list` with letters left out, twice or swapped.
fn is_nearly_list(release: &str) -> bool {
    let typed = release.to_lowercase();
    typed.chars().all(|letter| "list".contains(letter))
        && event::suggest::suggest(&typed, std::iter::once("list")).is_some()
}

async fn tell(mut told: Tell) -> anyhow::Result<()> {
    if let Some(near) = told.release.as_deref().filter(|release| is_nearly_list(release)) {
        let what =
            format!("did you mean `everlog deploy list`? If the release is called so: everlog deploy --release {near}");
        return Err(WrongUsage(what).into());
    }
    told.release = told.release.or(told.named.take());
    let client = Client::connect(&told.connection)?;
    let release = told.release.clone().unwrap_or_default();
    let request = client.post(&log_path(&told.log, "/deploys"))?.json(&body(&told));
    client.send(request).await?;
    let place = told.environment.as_deref().map(|name| format!(" in {name}")).unwrap_or_default();
    note(&format!(
        "{release} is deployed{place}: errors of the log {} that are new, or back, from now on name it",
        told.log
    ));
    Ok(())
}

fn body(told: &Tell) -> Map<String, Value> {
    let given = [
        ("release", &told.release),
        ("environment", &told.environment),
        ("comment", &told.comment),
        ("user", &told.user),
        ("timestamp", &told.at),
    ];
    given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?.into()))).collect()
}

async fn list(client: &Client, log: &str, json: bool) -> anyhow::Result<()> {
    let deploys: Vec<Value> = client.ask(client.get(&log_path(log, "/deploys"))?).await?;
    let mut output = Output::new();
    if json {
        for deploy in &deploys {
            output.line(&deploy.to_string())?;
        }
        return output.flush();
    }
    if deploys.is_empty() {
        note(&format!("nobody told of a deploy to the log {log}. The next one: everlog deploy 1.0 --log {log}"));
        return Ok(());
    }
    output.lines(&table(&deploys, Timestamp::now(), &TimeZone::system()).lines(output.paint()))?;
    output.flush()
}

fn table(deploys: &[Value], now: Timestamp, zone: &TimeZone) -> Table {
    let mut table = Table::new(&[
        ("release", Side::Left),
        ("environment", Side::Left),
        ("when", Side::Left),
        ("by", Side::Left),
        ("comment", Side::Left),
    ]);
    for deploy in deploys {
        let text = |key: &str| deploy[key].as_str().unwrap_or_default();
        let when = dated(text("time"), now, zone);
        table.row([text("release"), text("environment"), &when, text("user"), text("comment")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::output::Paint;

    #[test]
    fn a_mistyped_list_is_no_release() {
        for (release, expected) in [
            ("lst", true),
            ("lsit", true),
            ("Lits", true),
            ("lists", true),
            ("test", false),
            ("last", false),
            ("1.1", false),
            ("stilist", false),
        ] {
            assert_eq!(is_nearly_list(release), expected, "{release}");
        }
    }

    #[test]
    fn deploys_line_up() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let deploys = [
            json!({ "release": "1.1", "environment": "production", "time": "2026-01-02T03:00:00.000000Z", "user": "alice", "comment": "1.1 was deployed" }),
            json!({ "release": "1.0", "environment": "", "time": "2025-01-02T03:00:00.000000Z", "user": "", "comment": "" }),
        ];
        insta::assert_snapshot!(table(&deploys, now, &TimeZone::UTC).lines(Paint::none()).join("\n"), @"
        release  environment  when                          by     comment
        1.1      production   2026-01-02 03:00 (4 min ago)  alice  1.1 was deployed
        1.0                   2025-01-02 03:00
        ");
    }
}
