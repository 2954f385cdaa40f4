//! `everlog rule test`: when a rule would have called in the past.

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::state::style;
use super::{EXCLUSIVE, Named, Rule, path};
use crate::cli::client::{ANSWER_TIMEOUT, Client};
use crate::cli::human::{count_of, minute, moment};
use crate::cli::output::{Output, Style, note};
use crate::cli::pairs::Settings;
use crate::cli::table::{Side, Table};

/// What the server answers.
#[derive(Deserialize)]
struct Tried {
    from: String,
    to: String,
    told: Vec<Told>,
}

/// A moment at which it would have called, or said that it is over.
#[derive(Deserialize)]
struct Told {
    time: String,
    state: String,
    #[serde(default)]
    group: String,
    value: Value,
    held: Option<String>,
}

pub(super) async fn run(
    named: &Named,
    settings: Settings,
    since: Option<String>,
    until: Option<String>,
) -> anyhow::Result<()> {
    let client = Client::connect(&named.connection)?;
    let mut body = Map::new();
    if !settings.is_empty() {
        let known: Option<Rule> = client.ask_if_there(client.get(&path(&named.name, ""))?).await?;
        let known = known.map(|rule| rule.settings).unwrap_or_default();
        body.insert("settings".to_owned(), settings.over(known, &EXCLUSIVE).into());
    }
    body.extend(since.map(|since| ("from".to_owned(), since.into())));
    body.extend(until.map(|until| ("to".to_owned(), until.into())));
    let request = client.post(&path(&named.name, "/test"))?.json(&body).timeout(ANSWER_TIMEOUT);
    let tried: Tried = client.ask(request).await?;
    let zone = TimeZone::system();
    let mut output = Output::new();
    if !tried.told.is_empty() {
        output.lines(&table(&tried.told, &zone).lines(output.paint()))?;
    }
    output.flush()?;
    note(&summary(&tried, &zone));
    Ok(())
}

fn table(told: &[Told], zone: &TimeZone) -> Table {
    let mut table = Table::new(&[
        ("when", Side::Left),
        ("state", Side::Left),
        ("value", Side::Right),
        ("group", Side::Left),
        ("held back", Side::Left),
    ]);
    for Told { time, state, group, value, held } in told {
        let (time, value) = (moment(time, zone), value.to_string());
        table.styled([
            (time.as_str(), Style::Dim),
            (state, style(state)),
            (value.trim_end_matches(".0"), Style::Plain),
            (group, Style::Plain),
            (held.as_deref().unwrap_or(""), Style::Plain),
        ]);
    }
    table
}

fn summary(tried: &Tried, zone: &TimeZone) -> String {
    let between = format!("between {} and {}", minute(&tried.from, zone), minute(&tried.to, zone));
    let calls = tried.told.iter().filter(|told| told.state == "firing" && told.held.is_none()).count() as u64;
    match (calls, tried.told.is_empty()) {
        (0, true) => format!("it would not have called {between}"),
        _ => format!("it would have called {} {between}", count_of(calls, "time")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::output::Paint;

    #[test]
    fn when_it_would_have_called() {
        let one = |time: &str, state: &str, value: f64| json!({ "time": time, "state": state, "group": "paypal", "value": value, "held": null });
        let tried = json!({ "from": "2026-01-01T03:04:05Z", "to": "2026-01-02T03:04:05Z", "told": [
            one("2026-01-01T10:00:00Z", "firing", 12.0), one("2026-01-01T10:15:00Z", "resolved", 0.0)] });
        let mut tried: Tried = serde_json::from_value(tried).unwrap();
        insta::assert_snapshot!(table(&tried.told, &TimeZone::UTC).lines(Paint::none()).join("\n"), @"
        when                     state     value  group   held back
        2026-01-01 10:00:00.000  firing       12  paypal
        2026-01-01 10:15:00.000  resolved      0  paypal
        ");
        assert_eq!(
            summary(&tried, &TimeZone::UTC),
            "it would have called 1 time between 2026-01-01 03:04 and 2026-01-02 03:04"
        );
        tried.told.clear();
        assert_eq!(
            summary(&tried, &TimeZone::UTC),
            "it would not have called between 2026-01-01 03:04 and 2026-01-02 03:04"
        );
    }
}
