//! `everlog query`: find events.

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::LOG;
use super::client::{Client, Connection};
use super::csv::sheet;
use super::human::{count, count_of};
use super::layout::{LayoutName, Lines};
use super::line::{Liner, Row};
use super::output::{Output, WrongUsage, note};
use super::pages::{Pages, Question, lines};
use super::table::{Side, Table};

/// Most events asked for at once.
pub(super) const PAGE: u64 = 10_000;

/// Find events, by the search language or by SQL.
#[derive(Args, Debug)]
#[command(after_help = "\
SEARCH is made of words and key:value pairs: timeout  \"timed out\"  user:bob  status:>=500  path:/api/* \
-path:/health  level:(error OR critical). A bare word is looked for in every value, so any id can be pasted.
--filter takes the grammar of the URL instead: 'status>=500', 'path~=wp', 'user.id!' (has none), '_by=status'.
Times are RFC 3339, dates, seconds since 1970, or relative: -15m, -1h, -7d.

On a terminal the newest event is the last line; in a pipe one JSON object a line comes, newest first.

Examples:
  everlog query 'level:error \"timed out\"' --from -1h
  everlog query user:bob --limit 1000 --format csv > bob.csv
  everlog query user:bob --format text
  everlog query --filter 'status>=500' --filter '_by=path'
  everlog query --sql 'SELECT path, count(*) AS n FROM shop GROUP BY path ORDER BY n DESC LIMIT 10'")]
pub(super) struct QueryArguments {
    /// Which events, such as 'level:error user:bob' [default: all]
    #[arg(allow_hyphen_values = true, value_parser = super::search)]
    search: Option<String>,
    /// Ask in SQL; each log is a table
    #[arg(long, conflicts_with_all = ["search", "log", "filter", "from", "to", "sort", "limit"])]
    sql: Option<String>,
    /// Log to ask [default: default]
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    /// Condition of the URL grammar, such as 'status>=500'; repeat for several
    #[arg(long, value_name = "CONDITION")]
    filter: Vec<String>,
    /// Only events from this time on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only events up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Order by this key, by -KEY downwards; repeat for several [default: newest first]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    sort: Vec<String>,
    /// At most so many events [default: 100]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// How to write the answer [default: table on a terminal, ndjson in a pipe]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Look through the archive too
    #[arg(long)]
    archive: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum Format {
    /// Lines for people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Ndjson,
    /// Comma separated, for spreadsheets
    Csv,
    /// Lines as API Logger writes them, the newest last
    Text,
    /// Lines as Logbook writes them, the newest last
    Logbook,
    /// key=value pairs, the newest last
    Logfmt,
}

impl Format {
    fn layout(self) -> Option<LayoutName> {
        match self {
            Self::Text => Some(LayoutName::Text),
            Self::Logbook => Some(LayoutName::Logbook),
            Self::Logfmt => Some(LayoutName::Logfmt),
            Self::Table | Self::Json | Self::Ndjson | Self::Csv => None,
        }
    }

    /// Refuses what makes lines of events where there are only rows.
    fn for_rows(self) -> anyhow::Result<()> {
        match self {
            Self::Text | Self::Logbook => {
                let what = "rows of SQL and groups are no entries: use --format logfmt, table, json, ndjson or csv";
                Err(WrongUsage(what.to_owned()).into())
            }
            _ => Ok(()),
        }
    }
}

impl Format {
    /// That of a command that names none.
    pub(super) fn usual(output: &Output) -> Self {
        if output.is_terminal() { Self::Table } else { Self::Ndjson }
    }
}

pub(super) async fn run(arguments: QueryArguments) -> anyhow::Result<()> {
    let client = Client::connect(&arguments.connection)?;
    let mut output = Output::new();
    let format = arguments.format.unwrap_or_else(|| Format::usual(&output));
    match &arguments.sql {
        Some(sql) => {
            ask_sql(&client, &json!({ "sql": sql, "archive": arguments.archive }), format, &mut output).await?;
        }
        None => ask_events(&client, &arguments, format, &mut output).await?,
    }
    output.flush()
}

async fn ask_events(
    client: &Client,
    arguments: &QueryArguments,
    format: Format,
    output: &mut Output,
) -> anyhow::Result<()> {
    let limit = arguments.limit.unwrap_or(100);
    let question = question(arguments)?.with("_format", "ndjson").with("_limit", &limit.min(PAGE).to_string());
    let mut pages = Pages::new(client, question.path(arguments.log.as_deref().unwrap_or(LOG), "/events"));
    let kind = match arguments.filter.iter().any(|filter| filter.starts_with("_by")) {
        true => {
            format.for_rows()?;
            Kind::Groups
        }
        false => Kind::Events { newest_first: arguments.sort.is_empty() },
    };
    show_pages(&mut pages, kind, limit, format, output).await.map(drop)
}

/// What the rows of an answer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Groups,
    Events {
        newest_first: bool,
    },
    /// The newest first; when there are none, others say so.
    Timeline,
}

/// Shows page after page, up to so many rows; gives their number.
pub(super) async fn show_pages(
    pages: &mut Pages<'_>,
    kind: Kind,
    limit: u64,
    format: Format,
    output: &mut Output,
) -> anyhow::Result<u64> {
    let mut rows: Vec<Row> = Vec::new();
    let mut events: Vec<Value> = Vec::new();
    let mut shown = 0;
    while shown < limit
        && let Some(page) = pages.next().await?
    {
        for line in lines(&page).take(usize::try_from(limit - shown).unwrap_or(usize::MAX)) {
            shown += 1;
            match format {
                // What a pipe gets is byte for byte what the server answered.
                Format::Ndjson => output.line(&String::from_utf8_lossy(line))?,
                Format::Json => {
                    output.bytes(if shown == 1 { b"[" } else { b",\n" })?;
                    output.bytes(line)?;
                }
                Format::Table | Format::Csv => rows.push(serde_json::from_slice(line)?),
                Format::Text | Format::Logbook | Format::Logfmt => events.push(serde_json::from_slice(line)?),
            }
        }
    }
    match (format, kind) {
        (Format::Ndjson, _) => {}
        (Format::Json, _) => output.line(if shown == 0 { "[]" } else { "]" })?,
        (Format::Csv, _) => output.bytes(&sheet(&rows))?,
        (Format::Text | Format::Logbook | Format::Logfmt, _) => {
            if matches!(kind, Kind::Timeline | Kind::Events { newest_first: true }) {
                events.reverse();
            }
            show_lines(pages.client(), format, &events, output).await?;
        }
        (Format::Table, Kind::Groups) => show_table(&rows, output)?,
        (Format::Table, Kind::Timeline) if shown == 0 => {}
        (Format::Table, Kind::Timeline) => show_events(&rows, true, pages.total, output)?,
        (Format::Table, Kind::Events { newest_first }) => show_events(&rows, newest_first, pages.total, output)?,
    }
    Ok(shown)
}

async fn show_lines(client: &Client, format: Format, events: &[Value], output: &mut Output) -> anyhow::Result<()> {
    let Some(layout) = format.layout() else { return Ok(()) };
    let lines = Lines::new(client, layout).await?;
    let mut out = String::new();
    for event in events {
        lines.push(event, &mut out);
        output.bytes(out.as_bytes())?;
        out.clear();
    }
    Ok(())
}

fn question(arguments: &QueryArguments) -> anyhow::Result<Question> {
    let mut question = Question::default()
        .with_some("_q", arguments.search.as_deref())
        .with_some("_from", arguments.from.as_deref())
        .with_some("_to", arguments.to.as_deref())
        .with_some("_archive", arguments.archive.then_some("y"));
    for filter in &arguments.filter {
        question = question.with_condition(filter)?;
    }
    for key in &arguments.sort {
        question = question.with("_sort", key);
    }
    Ok(question)
}

fn show_events(rows: &[Row], newest_first: bool, total: Option<u64>, output: &mut Output) -> anyhow::Result<()> {
    let mut liner = Liner::new(output.paint(), TimeZone::system());
    rows.iter().for_each(|row| liner.measure(row));
    let mut show = |row: &Row| output.lines(&liner.lines(row));
    if newest_first {
        rows.iter().rev().try_for_each(&mut show)?;
    } else {
        rows.iter().try_for_each(&mut show)?;
    }
    output.flush()?;
    note(&summary(rows.len() as u64, total, newest_first));
    Ok(())
}

/// What is shown of what was found, and how to see more.
fn summary(shown: u64, total: Option<u64>, newest_first: bool) -> String {
    match total {
        Some(0) => "no events found".to_owned(),
        Some(total) if total > shown => {
            let which = if newest_first { "newest" } else { "first" };
            let more = (shown.max(1) * 10).min(total);
            format!("{} of {} ({which} shown; --limit {more} for more)", count(shown), count_of(total, "event"))
        }
        _ => count_of(shown, "event"),
    }
}

/// The answer to SQL. A column is a name, or an object with the name in it.
#[derive(Deserialize)]
struct Answer {
    columns: Vec<Value>,
    rows: Vec<Row>,
}

async fn ask_sql(client: &Client, asked: &Value, format: Format, output: &mut Output) -> anyhow::Result<()> {
    format.for_rows()?;
    let Answer { columns, rows } = client.ask(client.post("/api/v1/query")?.json(asked)).await?;
    let name = |column: &Value| column.as_str().or_else(|| column.get("name")?.as_str()).map(str::to_owned);
    let columns: Vec<String> = columns.iter().filter_map(name).collect();
    // Every row in the order of the columns, with a null for what it lacks, so that a sheet has all of them.
    let rows: Vec<Row> = rows.into_iter().map(|row| arranged(row, &columns)).collect();
    match format {
        Format::Ndjson => rows.iter().try_for_each(|row| output.line(&object(row))),
        Format::Json => {
            let objects: Vec<String> = rows.iter().map(object).collect();
            output.line(&format!("[{}]", objects.join(",\n")))
        }
        Format::Csv if rows.is_empty() => output.line(&format!("\u{feff}{}", columns.join(","))),
        Format::Csv => output.bytes(&sheet(&rows)),
        Format::Table => show_table(&rows, output),
        Format::Text | Format::Logbook | Format::Logfmt => {
            let events: Vec<Value> = rows.into_iter().map(|row| Value::Object(row.0.into_iter().collect())).collect();
            show_lines(client, format, &events, output).await
        }
    }
}

fn arranged(mut row: Row, columns: &[String]) -> Row {
    let mut take = |name: &String| {
        let place = row.0.iter().position(|(key, _)| key == name);
        (name.clone(), place.map_or(Value::Null, |place| row.0.swap_remove(place).1))
    };
    Row(columns.iter().map(&mut take).collect())
}

fn object(row: &Row) -> String {
    let pairs: Vec<String> = row.0.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn show_table(rows: &[Row], output: &mut Output) -> anyhow::Result<()> {
    if let Some(first) = rows.first() {
        let is_number = |key: &str| rows.iter().filter_map(|row| row.get(key)).all(Value::is_number);
        let columns: Vec<(&str, Side)> = first
            .0
            .iter()
            .map(|(key, _)| (key.as_str(), if is_number(key) { Side::Right } else { Side::Left }))
            .collect();
        let mut table = Table::new(&columns);
        for row in rows {
            let cells: Vec<String> = columns.iter().map(|(key, _)| cell(row.get(key))).collect();
            table.cells(cells.iter().map(String::as_str));
        }
        output.lines(&table.lines(output.paint()))?;
    }
    output.flush()?;
    note(&count_of(rows.len() as u64, "row"));
    Ok(())
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_what_was_found() {
        assert_eq!(summary(12, Some(3456), true), "12 of 3,456 events (newest shown; --limit 120 for more)");
        assert_eq!(summary(100, Some(150), false), "100 of 150 events (first shown; --limit 150 for more)");
        assert_eq!(summary(1, Some(1), true), "1 event");
        assert_eq!(summary(0, Some(0), true), "no events found");
        assert_eq!(summary(7, None, true), "7 events");
    }

    #[test]
    fn rows_of_sql_keep_their_columns() {
        let row: Row = serde_json::from_str(r#"{"b":1.50,"a":"x"}"#).unwrap();
        let columns = ["a", "missing", "b"].map(str::to_owned);
        assert_eq!(object(&arranged(row, &columns)), r#"{"a":"x","missing":null,"b":1.50}"#);
    }
}
