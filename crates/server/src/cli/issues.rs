//! `everlog issues`: which errors there are, what led to each, and what people decide about them.

mod list;
mod show;
mod why;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use reqwest::{Method, Response};
use serde_json::{Map, Value, json};

use super::client::{ANSWER_TIMEOUT, Client, Connection, percent};
use super::human::{count_of, minute};
use super::output::{Output, WrongUsage, harmless, note};
use super::{pages::Question, when};

/// List the issues, show what led to one, resolve it, ignore it, assign it.
#[derive(Args, Debug)]
#[command(
    alias = "issue",
    args_conflicts_with_subcommands = true,
    after_help = "\
An issue is all occurrences of one error. It is opened by the first, and counted by the others.

Examples:
  everlog issues
  everlog issues --state open,regressed --since 1d --log shop
  everlog issues show 6
  everlog issues report 6 | xclip
  everlog issues resolve 6 --in-release 1.4 --why \"the cart may be empty\""
)]
pub(super) struct IssuesArguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    list: list::ListArguments,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Show an issue and its latest occurrence: the exception, the request, who it met, what led to it
    Show(Look),
    /// Say why these occurrences are one issue: what made its fingerprint
    Explain(Look),
    /// Write an issue as Markdown, to paste into a ticket
    Report(One),
    /// Say that it does not happen any more: now, in a release, or in the next one
    #[command(after_help = "\
Resolved, it is back (regressed) with an occurrence after this moment; with --in-release only with one
of that release or a later one, with --next only with one of a later release than those known now.
What old releases still do is counted.

Examples:
  everlog issues resolve 6
  everlog issues resolve 6 --in-release 1.4 --why \"mended in #17\"
  everlog issues resolve 6 --next")]
    Resolve {
        /// The release in which it does not happen any more
        #[arg(long, value_name = "RELEASE", conflicts_with = "next")]
        in_release: Option<String>,
        /// In the release that comes next
        #[arg(long)]
        next: bool,
        #[command(flatten)]
        deed: Deed,
    },
    /// Hear nothing of it: for ever, for so many occurrences, or until a time. It is counted all the same
    #[command(after_help = "\
Examples:
  everlog issues ignore 6 --why \"a scanner\"
  everlog issues ignore 6 --times 100
  everlog issues ignore 6 --until 7d")]
    Ignore {
        /// For so many more occurrences
        #[arg(long, value_name = "N", conflicts_with = "until")]
        times: Option<u64>,
        /// For how long, such as 2h or 7d, or until when
        #[arg(long, value_name = "TIME", value_parser = when::future)]
        until: Option<String>,
        #[command(flatten)]
        deed: Deed,
    },
    /// Open it again
    Open(Deed),
    /// Say who looks after it
    #[command(after_help = "\
Examples:
  everlog issues assign 6 alice
  everlog issues assign 6 --nobody")]
    Assign {
        #[command(flatten)]
        deed: Deed,
        /// Who
        #[arg(value_name = "NAME", required_unless_present = "nobody")]
        name: Option<String>,
        /// Nobody does
        #[arg(long, conflicts_with = "name")]
        nobody: bool,
    },
    /// Take another issue into it: one cause
    #[command(after_help = "\
What the other one counted is counted here, its number leads here, and `everlog issues undo` takes
them apart again.

Examples:
  everlog issues merge 6 9 --why \"one cause\"")]
    Merge {
        #[command(flatten)]
        deed: Deed,
        /// Number of the issue that goes into it
        #[arg(value_name = "OTHER")]
        other: String,
    },
    /// Make an issue of its own of some of its fingerprints
    #[command(after_help = "\
`everlog issues explain` shows the fingerprints that an issue has; after a merge there are several.

Examples:
  everlog issues split 6 1-0123456789abcdef0123456789abcdef --why \"two causes\"")]
    Split {
        #[command(flatten)]
        deed: Deed,
        /// Fingerprints that go
        #[arg(value_name = "FINGERPRINT", required = true)]
        fingerprints: Vec<String>,
    },
    /// Undo its last merge or split
    Undo(Deed),
}

/// An issue.
#[derive(Args, Debug)]
struct One {
    /// Its number, as `everlog issues` shows it
    #[arg(value_name = "ID", value_parser = number)]
    id: String,
    #[command(flatten)]
    connection: Connection,
}

/// An issue that is looked at.
#[derive(Args, Debug)]
struct Look {
    #[command(flatten)]
    one: One,
    /// All that is known, as JSON
    #[arg(long)]
    json: bool,
}

/// An issue about which somebody decides.
#[derive(Args, Debug)]
struct Deed {
    #[command(flatten)]
    one: One,
    /// Why; it is kept with who did it
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// The issue as it is then, as JSON
    #[arg(long)]
    json: bool,
}

/// Numbers are often written `#6`.
fn number(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Ok(digits.to_owned()) } else { Err("issues have numbers; `everlog issues` lists them".to_owned()) }
}

pub(super) async fn run(arguments: IssuesArguments) -> anyhow::Result<()> {
    let Some(task) = arguments.task else { return list::run(arguments.list).await };
    match task {
        Task::Show(look) => show::run(&Client::connect(&look.one.connection)?, &look.one.id, look.json).await,
        Task::Explain(look) => why::run(&Client::connect(&look.one.connection)?, &look.one.id, look.json).await,
        Task::Report(one) => report(&one).await,
        Task::Resolve { in_release, next, deed } => {
            let release = in_release.or_else(|| next.then(|| "next".to_owned()));
            decide(&deed, json!({ "state": "resolved", "in_release": release })).await
        }
        Task::Ignore { times, until, deed } => {
            decide(&deed, json!({ "state": "ignored", "times": times, "until": until })).await
        }
        Task::Open(deed) => decide(&deed, json!({ "state": "open" })).await,
        Task::Assign { deed, name, nobody: _ } => decide(&deed, json!({ "assignee": name.unwrap_or_default() })).await,
        Task::Merge { deed, other } => {
            let other = number(&other).map_err(WrongUsage)?;
            regroup(&deed, "/merge", json!({ "with": other })).await
        }
        Task::Split { deed, fingerprints } => regroup(&deed, "/split", json!({ "fingerprints": fingerprints })).await,
        Task::Undo(deed) => regroup(&deed, "/undo", json!({})).await,
    }
}

fn path(id: &str, door: &str) -> String {
    format!("/api/v1/issues/{}{door}", percent(id))
}

async fn report(one: &One) -> anyhow::Result<()> {
    let client = Client::connect(&one.connection)?;
    let question = Question::default().with("format", "markdown").below(&path(&one.id, "/report"));
    let answer = client.send(client.get(&question)?.timeout(ANSWER_TIMEOUT)).await?;
    let body = answer.bytes().await.map_err(|error| client.unreachable(&error))?;
    let mut output = Output::new();
    output.bytes(&body)?;
    output.flush()
}

async fn decide(deed: &Deed, change: Value) -> anyhow::Result<()> {
    let client = Client::connect(&deed.one.connection)?;
    let body = with_reason(change, deed.why.as_deref());
    let issue: Value = client.ask(client.request(Method::PATCH, &path(&deed.one.id, ""))?.json(&body)).await?;
    tell(deed, &issue)
}

async fn regroup(deed: &Deed, door: &str, body: Value) -> anyhow::Result<()> {
    let client = Client::connect(&deed.one.connection)?;
    let body = with_reason(body, deed.why.as_deref());
    let issue: Value = client.ask(client.post(&path(&deed.one.id, door))?.json(&body)).await?;
    tell(deed, &issue)
}

/// The body without what was not said, and with why.
fn with_reason(body: Value, why: Option<&str>) -> Map<String, Value> {
    let Value::Object(mut body) = body else { return Map::new() };
    body.retain(|_, value| !value.is_null());
    body.extend(why.map(|why| ("why".to_owned(), Value::from(why))));
    body
}

fn tell(deed: &Deed, issue: &Value) -> anyhow::Result<()> {
    if deed.json {
        let mut output = Output::new();
        output.line(&issue.to_string())?;
        return output.flush();
    }
    note(&stands(issue, &TimeZone::system()));
    Ok(())
}

/// Where an issue stands, in a line.
fn stands(issue: &Value, zone: &TimeZone) -> String {
    let assigned = match text(issue, "assignee") {
        "" => String::new(),
        name => format!(", assigned to {}", harmless(name)),
    };
    let (id, title) = (text(issue, "id"), harmless(text(issue, "title")));
    format!("issue {id} is {}{assigned}: {title} ({})", standing(issue, zone), times(issue))
}

/// Its state, with what was said of it; moments as in what is shown beside it.
fn standing(issue: &Value, zone: &TimeZone) -> String {
    harmless(&engine::told::standing(issue, &|time| minute(time, zone))).into_owned()
}

fn times(issue: &Value) -> String {
    count_of(issue["occurrences"].as_u64().unwrap_or(0), "occurrence")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// The texts of a list, as a line.
fn joined(value: &Value) -> String {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// How many there are, of which the answer is a part.
fn total(answer: &Response) -> Option<u64> {
    answer.headers().get("x-total-count")?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_issue_stands() {
        for (more, expected) in [
            (json!({ "state": "open" }), "issue 6 is open: E (3 occurrences)"),
            (
                json!({ "state": "resolved", "resolution": { "kind": "now", "time": "2026-01-02T03:04:05Z" } }),
                "issue 6 is resolved: E (3 occurrences)",
            ),
            (
                json!({ "state": "resolved", "resolution": { "kind": "in_release", "release": "1.4" }, "assignee": "alice" }),
                "issue 6 is resolved in 1.4, assigned to alice: E (3 occurrences)",
            ),
            (
                json!({ "state": "resolved", "resolution": { "kind": "next_release", "latest": "1.3" } }),
                "issue 6 is resolved in the next release: E (3 occurrences)",
            ),
            (
                json!({ "state": "ignored", "ignore": { "kind": "upto", "occurrences": 103 } }),
                "issue 6 is ignored up to 103 occurrences: E (3 occurrences)",
            ),
            (
                json!({ "state": "ignored", "ignore": { "kind": "until", "time": "2026-01-02T03:04:05Z" } }),
                "issue 6 is ignored until 2026-01-02 03:04: E (3 occurrences)",
            ),
        ] {
            let mut issue = json!({ "id": "6", "title": "E", "occurrences": 3 });
            for (key, value) in more.as_object().unwrap() {
                issue[key] = value.clone();
            }
            assert_eq!(stands(&issue, &TimeZone::UTC), expected);
        }
    }

    #[test]
    fn what_is_not_said_is_not_sent() {
        let body = with_reason(json!({ "state": "resolved", "in_release": null }), Some("mended"));
        assert_eq!(Value::Object(body), json!({ "state": "resolved", "why": "mended" }));
        assert_eq!((number("#6"), number("6").is_ok(), number("six").is_err()), (Ok("6".to_owned()), true, true));
    }
}
