//! `everlog token`: who may write, read and administrate.

use clap::{Args, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, Connection, percent};
use super::human::minute;
use super::output::{Output, note};
use super::table::{Side, Table};

/// Make, list and revoke the tokens of applications and people.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  everlog token create --label \"shop, production\" --scope write --log shop
  everlog token create --label alice --scope read
  everlog token list
  everlog token revoke 3f2a91bc")]
pub(super) struct TokenArguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Make a token, and show it this once
    Create {
        /// Whom it is for
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
        /// What it may do; repeat for several
        #[arg(long, value_enum, default_values_t = [Scope::Write])]
        scope: Vec<Scope>,
        /// The only log for which it holds; repeat for several [default: all logs]
        #[arg(long, value_name = "NAME")]
        log: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the tokens, without their secrets
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Make a token worthless at once
    Revoke {
        /// Its id, as `everlog token list` shows it
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// Send events
    Write,
    /// Ask for events
    Read,
    /// All, including tokens and retention
    Admin,
}

#[derive(Deserialize)]
struct Token {
    id: serde_json::Value,
    #[serde(default)]
    token: String,
    label: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    logs: Vec<String>,
    created: Option<String>,
}

#[derive(Deserialize)]
struct Log {
    name: String,
    number: u32,
}

pub(super) async fn run(arguments: TokenArguments) -> anyhow::Result<()> {
    match arguments.task {
        Task::Create { label, scope, log, connection } => {
            let client = Client::connect(&connection)?;
            let body = json!({ "label": label, "scopes": scope, "logs": log });
            let made: Token = client.ask(client.post("/api/v1/tokens")?.json(&body)).await?;
            shown_once(&made)?;
            tell_dsn(&client, &made).await
        }
        Task::List { connection } => {
            let client = Client::connect(&connection)?;
            list(&client.ask::<Vec<Token>>(client.get("/api/v1/tokens")?).await?)
        }
        Task::Revoke { id, connection } => {
            let client = Client::connect(&connection)?;
            client.send(client.request(Method::DELETE, &format!("/api/v1/tokens/{}", percent(&id)))?).await?;
            note(&format!("the token {id} is worthless from now on"));
            Ok(())
        }
    }
}

fn shown_once(token: &Token) -> anyhow::Result<()> {
    let mut output = Output::new();
    // Alone on its line and on standard output, so that a script can take it.
    output.line(&token.token)?;
    output.flush()?;
    note(&format!(
        "Keep it now: it is not shown again. It may {} {}; `everlog token revoke {}` ends it.",
        token.scopes.join(" and "),
        logs(token),
        id(token)
    ));
    Ok(())
}

/// For SDKs of Sentry a token and a log are one address.
async fn tell_dsn(client: &Client, made: &Token) -> anyhow::Result<()> {
    if !made.scopes.iter().any(|scope| scope == "write") {
        return Ok(());
    }
    let name = made.logs.first().map_or("default", String::as_str);
    let logs: Vec<Log> = client.ask(client.get("/api/v1/logs")?).await?;
    // A log that nothing was sent to yet has no number.
    if let Some(log) = logs.iter().find(|log| log.name == name) {
        let dsn = client.with_user(&made.token.replace('-', ""));
        note(&format!("The DSN of the log {name} for SDKs of Sentry: {dsn}/{}", log.number));
    }
    Ok(())
}

fn list(tokens: &[Token]) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        ("id", Side::Left),
        ("label", Side::Left),
        ("may", Side::Left),
        ("logs", Side::Left),
        ("created", Side::Left),
    ]);
    let zone = TimeZone::system();
    for token in tokens {
        let created = token.created.as_deref().map(|moment| minute(moment, &zone)).unwrap_or_default();
        table.row([
            &id(token),
            token.label.as_deref().unwrap_or_default(),
            &token.scopes.join(" "),
            &logs(token),
            &created,
        ]);
    }
    let mut output = Output::new();
    if tokens.is_empty() {
        note("there are no tokens yet. Make one: everlog token create --label my-app --scope write");
    } else {
        output.lines(&table.lines(output.paint()))?;
    }
    output.flush()
}

fn id(token: &Token) -> String {
    token.id.as_str().map_or_else(|| token.id.to_string(), str::to_owned)
}

fn logs(token: &Token) -> String {
    if token.logs.is_empty() { "all logs".to_owned() } else { token.logs.join(", ") }
}
