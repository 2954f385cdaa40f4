//! `everlog notices`: what people were told, and what became of it.

use clap::Args;
use engine::alerts::Notice;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, Connection};
use super::human::{count_of, cut, minute};
use super::output::{Output, Style, harmless, note};
use super::pages::Question;
use super::table::{Side, Table};

/// Places for what was told, on a terminal.
const SAID_PLACES_MAX: usize = 72;

/// Show what people were told, and what became of it.
#[derive(Args, Debug)]
#[command(
    alias = "notice",
    after_help = "\
The newest comes first. A delivery is `sent`, `waiting` (for its first attempt, or the next), `held`
(it comes in a digest), `digest` (it came in the one that is named) or `failed` (given up).

Examples:
  everlog notices
  everlog notices --limit 200 --json | jq 'select(.deliveries[].state == \"failed\")'"
)]
pub(super) struct NoticesArguments {
    /// At most so many, up to 500
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u64,
    /// Only those before the notice of this number
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// One JSON object a line, with all that was told
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A notice, and what became of it.
#[derive(Deserialize)]
struct Told {
    number: u64,
    notice: Notice,
    #[serde(default)]
    deliveries: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Delivery {
    channel: String,
    state: String,
    next_attempt: Option<String>,
    attempts: Option<u64>,
    reason: Option<String>,
}

pub(super) async fn run(arguments: NoticesArguments) -> anyhow::Result<()> {
    let client = Client::connect(&arguments.connection)?;
    let before = arguments.before.map(|number| number.to_string());
    let question = Question::default()
        .with("limit", &arguments.limit.to_string())
        .with_some("before", before.as_deref())
        .below("/api/v1/notices");
    let answer: Vec<Value> = client.ask(client.get(&question)?).await?;
    let mut output = Output::new();
    if arguments.json {
        for told in &answer {
            output.line(&told.to_string())?;
        }
        return output.flush();
    }
    let told: Vec<Told> = serde_json::from_value(Value::Array(answer))?;
    if told.is_empty() {
        note(if before.is_some() {
            "there are no notices before that one"
        } else {
            "nobody was told of anything yet. `everlog rule` lists what is listened to, `everlog channel` who is told"
        });
        return Ok(());
    }
    output.lines(&table(&told, output.is_terminal(), &TimeZone::system()).lines(output.paint()))?;
    output.flush()?;
    if let Some(last) = told.last().filter(|_| told.len() as u64 == arguments.limit) {
        note(&format!("{}; those before: --before {}", count_of(arguments.limit, "notice"), last.number));
    }
    Ok(())
}

/// A line for each delivery; what nobody was sent has one too.
fn table(told: &[Told], is_narrow: bool, zone: &TimeZone) -> Table {
    let mut table = Table::new(&[
        ("", Side::Right),
        ("when", Side::Left),
        ("what", Side::Left),
        ("channel", Side::Left),
        ("state", Side::Left),
        ("reason", Side::Left),
    ]);
    for Told { number, notice, deliveries } in told {
        let when = minute(&notice.time.to_string(), zone);
        let said = harmless(&notice.headline()).into_owned();
        let said = if is_narrow { cut(&said, SAID_PLACES_MAX) } else { said };
        let mut first = Some((number.to_string(), when, said));
        for delivery in deliveries {
            // What is told to several is written once.
            let (number, when, said) = first.take().unwrap_or_default();
            let reason = delivery.reason(zone);
            table.styled([
                (number.as_str(), Style::Dim),
                (when.as_str(), Style::Dim),
                (said.as_str(), Style::Plain),
                (delivery.channel.as_str(), Style::Cyan),
                (delivery.state.as_str(), delivery.style()),
                (reason.as_str(), Style::Plain),
            ]);
        }
        if let Some((number, when, said)) = first {
            table.row([&number, &when, &said, "", "", "no channel takes it"]);
        }
    }
    table
}

impl Delivery {
    fn style(&self) -> Style {
        match self.state.as_str() {
            "sent" => Style::Green,
            "failed" => Style::Red,
            "waiting" => Style::Yellow,
            _ => Style::Plain,
        }
    }

    fn reason(&self, zone: &TimeZone) -> String {
        let reason = self.reason.clone().unwrap_or_default();
        match (self.state.as_str(), self.attempts.unwrap_or(0), &self.next_attempt) {
            ("waiting", attempts @ 1.., Some(next)) => {
                format!("{} failed, the next at {}: {reason}", count_of(attempts, "attempt"), minute(next, zone))
            }
            _ => reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::output::Paint;

    #[test]
    fn what_became_of_each() {
        let notice = |trigger: Value, title: &str| json!({ "trigger": trigger, "title": title, "log": "shop", "environment": "production", "time": "2026-01-02T03:04:05Z" });
        let told = json!([
            { "number": 3, "notice": notice(json!("new_issue"), "division by zero\u{1b}[2J"), "deliveries": [
                { "channel": "ops", "state": "sent", "ended": "2026-01-02T03:04:06Z", "attempts": 1, "reason": null, "answer": "ok" },
                { "channel": "mail", "state": "waiting", "next_attempt": "2026-01-02T03:10:06Z", "attempts": 2, "reason": "the connection was refused" }] },
            { "number": 2, "notice": notice(json!({ "reached": 1000 }), "division by zero"), "deliveries": [
                { "channel": "ops", "state": "digest", "attempts": null, "reason": "in digest 3" }] },
            { "number": 1, "notice": notice(json!("regression"), "timeout"), "deliveries": [] },
        ]);
        let told: Vec<Told> = serde_json::from_value(told).unwrap();
        insta::assert_snapshot!(table(&told, true, &TimeZone::UTC).lines(Paint::none()).join("\n"), @"
           when              what                                                     channel  state    reason
        3  2026-01-02 03:04  [production] New issue: division by zero[2J (shop)       ops      sent
                                                                                      mail     waiting  2 attempts failed, the next at 2026-01-02 03:10: the connection was refused
        2  2026-01-02 03:04  [production] 1,000 occurrences: division by zero (shop)  ops      digest   in digest 3
        1  2026-01-02 03:04  [production] Regression: it is back: timeout (shop)                        no channel takes it
        ");
    }
}
