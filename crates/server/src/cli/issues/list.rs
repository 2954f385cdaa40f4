//! The issues of a log as a table that fits the terminal.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::{Question, joined, text, total};
use crate::cli::LOG;
use crate::cli::client::{ANSWER_TIMEOUT, Client, Connection};
use crate::cli::human::{count, cut, width};
use crate::cli::line::level_style;
use crate::cli::output::{Output, Style, harmless, note};
use crate::cli::table::{Side, Table};
use crate::cli::when;

/// Places for a title before columns that matter less make room for it.
const TITLE_PLACES_MIN: usize = 30;

/// Places that a title has at least, however narrow the terminal is.
const TITLE_PLACES_LEAST: usize = 10;

/// Places for where it happened, on a terminal.
const WHERE_PLACES_MAX: usize = 36;

#[derive(Args, Debug)]
pub(super) struct ListArguments {
    /// Log whose issues to list
    #[arg(long, value_name = "NAME", default_value = LOG)]
    log: String,
    /// Only those in these states: open, regressed, resolved, ignored; separated by commas
    #[arg(long, value_name = "STATES")]
    state: Option<String>,
    /// Only those of this level or above
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// Only those seen since then: how long ago, such as 1d, or a time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = when::past)]
    since: Option<String>,
    /// Only those whose title or place holds this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// At most so many, those seen last
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u64,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(arguments: ListArguments) -> anyhow::Result<()> {
    let client = Client::connect(&arguments.connection)?;
    let question = Question::default()
        .with_some("state", arguments.state.as_deref())
        .with_some("level", arguments.level.as_deref())
        .with_some("since", arguments.since.as_deref())
        .with_some("q", arguments.search.as_deref())
        .with("limit", &arguments.limit.to_string());
    let request = client.get(&question.path(&arguments.log, "/issues"))?.timeout(ANSWER_TIMEOUT);
    let answer = client.send(request).await?;
    let all = total(&answer);
    let issues: Vec<Value> = answer.json().await.map_err(|error| client.unreachable(&error))?;
    let mut output = Output::new();
    if arguments.json {
        for issue in &issues {
            output.line(&issue.to_string())?;
        }
        return output.flush();
    }
    if issues.is_empty() {
        note(&nothing(&arguments, all.unwrap_or(0)));
        return Ok(());
    }
    output.lines(&table(&issues, Timestamp::now(), output.places()).lines(output.paint()))?;
    output.flush()?;
    let shown = issues.len() as u64;
    match all.filter(|all| *all > shown) {
        Some(all) => note(&format!("{} of {}; --limit shows more", count(shown), count(all))),
        None if output.is_terminal() => note("all of one: everlog issues show ID"),
        None => {}
    }
    Ok(())
}

fn nothing(arguments: &ListArguments, all: u64) -> String {
    let ListArguments { log, state, level, since, search, .. } = arguments;
    if all > 0 {
        return format!("there are {}; --limit shows them", count(all));
    }
    if state.is_some() || level.is_some() || since.is_some() || search.is_some() {
        return format!("no issue of the log {log} fits");
    }
    let named = if log == LOG { String::new() } else { format!(" --log {log}") };
    format!(
        "the log {log} has no issues. An issue is all occurrences of one error: what has an exception, the level error, or a \
         status of 500.\nSend one: everlog log ERROR alice@example.com \"The cart is on fire.\"{named}"
    )
}

/// A column of the table.
struct Column {
    name: &'static str,
    side: Side,
    /// Those with the highest leave first where there is little room; 0 stays.
    leaves: u8,
    cells: Vec<(String, Style)>,
}

impl Column {
    fn places(&self) -> usize {
        let widest = self.cells.iter().map(|(cell, _)| width(cell)).max().unwrap_or(0);
        widest.max(width(self.name))
    }

    fn is_empty(&self) -> bool {
        self.cells.iter().all(|(cell, _)| cell.is_empty())
    }
}

const TITLE: &str = "title";

/// The table; it fits into so many places, if they are limited.
fn table(issues: &[Value], now: Timestamp, places: Option<usize>) -> Table {
    let mut columns = columns(issues, now, places.map(|_| WHERE_PLACES_MAX));
    columns.retain(|column| column.leaves == 0 || !column.is_empty());
    if let Some(places) = places {
        let room = fit(&mut columns, places);
        for column in columns.iter_mut().filter(|column| column.name == TITLE) {
            for (cell, _) in &mut column.cells {
                *cell = cut(cell, room);
            }
        }
    }
    let heads: Vec<(&str, Side)> = columns.iter().map(|column| (column.name, column.side)).collect();
    let mut table = Table::new(&heads);
    for row in 0..issues.len() {
        let cell = |column: &'_ Column| column.cells.get(row).map(|(cell, style)| (cell.clone(), *style));
        let cells: Vec<(String, Style)> = columns.iter().filter_map(cell).collect();
        table.styled(cells.iter().map(|(cell, style)| (cell.as_str(), *style)));
    }
    table
}

/// Lets columns go until there is room for titles. How much there is.
fn fit(columns: &mut Vec<Column>, places: usize) -> usize {
    let wanted = columns.iter().find(|column| column.name == TITLE).map_or(0, Column::places).min(TITLE_PLACES_MIN);
    loop {
        let others = columns.iter().filter(|column| column.name != TITLE).map(|column| column.places() + 2).sum();
        let room = places.saturating_sub(others);
        let last = columns.iter().map(|column| column.leaves).max().unwrap_or(0);
        if room >= wanted || last == 0 {
            return room.max(TITLE_PLACES_LEAST);
        }
        columns.retain(|column| column.leaves != last);
    }
}

fn columns(issues: &[Value], now: Timestamp, where_max: Option<usize>) -> Vec<Column> {
    let column = |name, side, leaves, cell: &dyn Fn(&Value) -> (String, Style)| Column {
        name,
        side,
        leaves,
        cells: issues.iter().map(cell).map(|(cell, style)| (harmless(&cell).into_owned(), style)).collect(),
    };
    let plain = |key: &'static str| move |issue: &Value| (text(issue, key).to_owned(), Style::Plain);
    let number = |value: &Value| value.as_u64().filter(|number| *number > 0).map(count).unwrap_or_default();
    let age = |key: &'static str| move |issue: &Value| (when::ago(text(issue, key), now), Style::Plain);
    vec![
        column("id", Side::Right, 0, &plain("id")),
        column("level", Side::Left, 0, &|issue| {
            let level = text(issue, "level");
            (level.to_owned(), level_style(event::Level::parse(level)))
        }),
        column("state", Side::Left, 0, &|issue| (text(issue, "state").to_owned(), state_style(text(issue, "state")))),
        column(TITLE, Side::Left, 0, &plain("title")),
        column("where", Side::Left, 5, &|issue| {
            let place = text(issue, "culprit");
            (where_max.map_or_else(|| place.to_owned(), |most| cut(place, most)), Style::Dim)
        }),
        column("times", Side::Right, 0, &|issue| (number(&issue["occurrences"]), Style::Plain)),
        column("users", Side::Right, 3, &|issue| {
            let users = number(&issue["users"]);
            let about = issue["users_are_exact"] == false && !users.is_empty();
            (if about { format!("~{users}") } else { users }, Style::Plain)
        }),
        column("first seen", Side::Left, 4, &age("first_seen")),
        column("last seen", Side::Left, 0, &age("last_seen")),
        column("release", Side::Left, 2, &|issue| {
            let releases = issue["releases"].as_array();
            let last = releases.and_then(|list| list.last()?.as_str()).unwrap_or_default();
            (last.to_owned(), Style::Plain)
        }),
        column("suspected", Side::Left, 6, &plain("suspect_deploy")),
        column("assignee", Side::Left, 1, &plain("assignee")),
    ]
}

/// The colour of a state.
pub(super) fn state_style(state: &str) -> Style {
    match state {
        "regressed" => Style::Red,
        "resolved" => Style::Green,
        "ignored" => Style::Dim,
        _ => Style::Plain,
    }
}

/// What stands in one line of a list: `1.0, 1.1, 1.2`, or the first and how many more.
pub(super) fn some(list: &Value, most: usize) -> String {
    let entries = list.as_array().map_or(0, Vec::len);
    if entries <= most {
        return joined(list);
    }
    let last: Value = list.as_array().into_iter().flatten().skip(entries - most).cloned().collect();
    format!("{} and {} before", joined(&last), entries - most)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::output::Paint;

    fn check(places: Option<usize>) -> String {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let issues = [
            json!({ "id": "12", "level": "critical", "state": "regressed", "title": "ZeroDivisionError: division by zero, and a long story about it",
                "culprit": "shop.views in checkout", "occurrences": 1200, "users": 300, "users_are_exact": false,
                "first_seen": "2026-01-01T00:00:00Z", "last_seen": "2026-01-02T03:03:05Z", "releases": ["1.0", "1.1"],
                "suspect_deploy": "1.1", "assignee": null }),
            json!({ "id": "3", "level": "error", "state": "open", "title": "a\u{1b}[2J", "culprit": "", "occurrences": 1, "users": 0,
                "users_are_exact": true, "first_seen": "2026-01-02T03:04:00Z", "last_seen": "2026-01-02T03:04:00Z",
                "releases": [], "suspect_deploy": null, "assignee": null }),
        ];
        table(&issues, now, places).lines(Paint::none()).join("\n")
    }

    #[test]
    fn what_nobody_has_is_left_out() {
        insta::assert_snapshot!(check(None), @r"
        id  level     state      title                                                           where                   times  users  first seen  last seen  release  suspected
        12  critical  regressed  ZeroDivisionError: division by zero, and a long story about it  shop.views in checkout  1,200   ~300  27 h ago    1 min ago  1.1      1.1
         3  error     open       a\u{1b}[2J                                                                                  1         5 s ago     5 s ago
        ");
    }

    #[test]
    fn columns_make_room_for_titles() {
        insta::assert_snapshot!(check(Some(100)), @r"
        id  level     state      title                                      times  users  last seen  release
        12  critical  regressed  ZeroDivisionError: division by zero, and…  1,200   ~300  1 min ago  1.1
         3  error     open       a\u{1b}[2J                                     1         5 s ago
        ");
        insta::assert_snapshot!(check(Some(60)), @r"
        id  level     state      title              times  last seen
        12  critical  regressed  ZeroDivisionErro…  1,200  1 min ago
         3  error     open       a\u{1b}[2J             1  5 s ago
        ");
        for places in 60..200 {
            assert!(check(Some(places)).lines().all(|line| width(line) <= places), "{places}: {}", check(Some(places)));
        }
    }

    #[test]
    fn long_lists_tell_their_end() {
        assert_eq!(some(&json!(["1", "2"]), 3), "1, 2");
        assert_eq!(some(&json!(["1", "2", "3", "4"]), 2), "3, 4 and 2 before");
    }
}
