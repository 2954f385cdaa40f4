//! The ten questions of the canonical workload: how they are asked, and whether the answer is right.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bench::{Facts, Generator, NEEDLE, Newest, PART, PATH_START, TWO_WORDS};
use serde_json::{Value, json};

use crate::http::{Answer, Connection, Request};

/// The log with the events.
pub(super) const LOG: &str = "bench";

/// How far a percentile may be from the exact one, as a share of all values: it is a sketch that answers.
const PERCENTILE_TOLERANCE: f64 = 0.01;

/// One question.
pub(super) struct Question {
    /// As in the tables.
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Whether it counts for the mean; the others ask for the exact number of all that passes, too.
    pub(super) counts: bool,
    form: Form,
    expected: Expected,
}

enum Form {
    Get(String),
    Sql(&'static str),
}

enum Expected {
    Count,
    Events { newest: fn(&Facts) -> &Newest, limit: usize },
    Histogram,
    TopUsers,
    Percentiles,
}

const HISTOGRAM: &str = "SELECT date_bin(interval '10 minutes', timestamp) AS t, status/100 AS class, count(*) AS n \
                         FROM bench GROUP BY 1, 2 ORDER BY 1, 2";
const TOP_USERS: &str = "SELECT \"user\", count(*) AS n FROM bench GROUP BY 1 ORDER BY 2 DESC LIMIT 20";
const PERCENTILES: &str = "SELECT event, approx_percentile_cont(duration_ms, 0.5) p50, \
                           approx_percentile_cont(duration_ms, 0.95) p95, approx_percentile_cont(duration_ms, 0.99) p99 \
                           FROM bench GROUP BY event ORDER BY event";
const TOP: usize = 20;

/// All questions about a day.
pub(super) fn all(day: &Generator) -> Vec<Question> {
    let sql = |name, what, sql, expected| Question { name, what, counts: true, form: Form::Sql(sql), expected };
    let get = |name, what, conditions: String, limit, newest| {
        let target = format!("/api/v1/logs/{LOG}/events?{conditions}&_limit={limit}");
        [("", "&_total=n"), (" total", "")].map(|(suffix, total)| Question {
            name: if suffix.is_empty() { name } else { with_total(name) },
            what,
            counts: suffix.is_empty(),
            form: Form::Get(format!("{target}{total}")),
            expected: Expected::Events { newest, limit },
        })
    };
    let search = |text: &str| format!("_q={}", text.replace(' ', "%20").replace('>', "%3E"));
    let [first, second] = TWO_WORDS;
    let heavy = format!("user={}", day.heavy_user());
    let rare = format!("user={}", day.rare_user());
    let request = format!("request_id={}", day.some_request());
    let errors = search(&format!("stream:ERROR message:{first} message:{second}"));
    let part = format!("message~={PART}");
    let failures = search(&format!("status:>=500 path:{PATH_START}*"));
    let mut questions = vec![sql("a", "count of all", "SELECT count(*) AS n FROM bench", Expected::Count)];
    questions.extend(get("b heavy", "latest 100 of the user with most events", heavy, 100, Facts::heavy_user));
    questions.extend(get("b rare", "latest 100 of a user with 11 events", rare, 100, Facts::rare_user));
    questions.extend(get("c", "all of one request id", request, 100, Facts::some_request));
    questions.extend(get("d", "a word that occurs once, in any key", search(NEEDLE), 50, Facts::needle));
    let newest = Facts::errors_with_two_words;
    questions.extend(get("e", "a stream and two words of the message, latest 50", errors, 50, newest));
    questions.push(sql("f", "count by 10 minutes and class of status", HISTOGRAM, Expected::Histogram));
    questions.push(sql("g", "top 20 users", TOP_USERS, Expected::TopUsers));
    questions.push(sql("h", "p50, p95, p99 of the duration by event", PERCENTILES, Expected::Percentiles));
    questions.extend(get("i", "a part of the message, latest 50", part, 50, Facts::message_part));
    let newest = Facts::failures_of_path;
    questions.extend(get("j", "status and start of the path, latest 100", failures, 100, newest));
    // Where the page holds everything, the exact number costs nothing more.
    questions.retain(|question| !["b rare total", "c total", "d total"].contains(&question.name));
    questions
}

fn with_total(name: &str) -> &'static str {
    match name {
        "b heavy" => "b heavy total",
        "b rare" => "b rare total",
        "c" => "c total",
        "d" => "d total",
        "e" => "e total",
        "i" => "i total",
        _ => "j total",
    }
}

impl Question {
    /// Asks once; the time is that from the first byte sent to the last received.
    pub(super) fn ask(&self, connection: &mut Connection, token: &str) -> anyhow::Result<(Duration, Answer)> {
        let token = Some(token);
        let body;
        let request = match &self.form {
            Form::Get(target) => Request { token, ..Request::get(target) },
            Form::Sql(sql) => {
                body = json!({ "sql": sql }).to_string();
                let content_type = "application/json";
                Request { method: "POST", target: "/api/v1/query", token, content_type, body: body.as_bytes() }
            }
        };
        let before = Instant::now();
        let answer = connection.ask(request)?;
        let took = before.elapsed();
        if answer.status != 200 {
            bail!("question {} is answered {}: {}", self.name, answer.status, answer.excerpt());
        }
        Ok((took, answer))
    }

    /// Compares an answer with what is known of the day, and returns its number of rows.
    pub(super) fn check(&self, answer: &Answer, day: &Generator) -> anyhow::Result<usize> {
        let context = || format!("question {} ({}) is answered wrongly", self.name, self.what);
        let value: Value = serde_json::from_slice(&answer.body).with_context(context)?;
        let rows = value.as_array().or_else(|| value["rows"].as_array()).with_context(context)?;
        match &self.expected {
            Expected::Count => same("count", rows[0]["n"].as_u64(), Some(day.facts().events())),
            Expected::Events { newest, limit } => check_events(rows, newest(day.facts()), *limit, self.total(answer)),
            Expected::Histogram => check_histogram(rows, day.facts()),
            Expected::TopUsers => check_users(rows, day),
            Expected::Percentiles => check_percentiles(rows, day),
        }
        .with_context(context)?;
        Ok(rows.len())
    }

    /// As [`Question::check`] for a log that has grown since: what was there must still be there.
    pub(super) fn check_grown(&self, answer: &Answer, day: &Generator) -> anyhow::Result<()> {
        let value: Value = serde_json::from_slice(&answer.body)?;
        let rows = value.as_array().or_else(|| value["rows"].as_array()).map_or(&[][..], Vec::as_slice);
        let expected = self.rows(day);
        if rows.len() < expected {
            bail!("question {} has {} rows, and had {expected}", self.name, rows.len());
        }
        let count = rows.first().and_then(|row| row["n"].as_u64());
        if matches!(self.expected, Expected::Count) && count < Some(day.facts().events()) {
            bail!("the log shrank to {count:?} events");
        }
        Ok(())
    }

    /// How many rows the right answer has.
    pub(super) fn rows(&self, day: &Generator) -> usize {
        let facts = day.facts();
        match &self.expected {
            Expected::Count => 1,
            Expected::Events { newest, limit } => newest(facts).times_us().len().min(*limit),
            Expected::Histogram => facts.histogram().count(),
            Expected::TopUsers => facts.top_users(TOP).len(),
            Expected::Percentiles => facts.event_names().len(),
        }
    }

    /// The number of all that passes, if that was asked for.
    pub(super) fn total(&self, answer: &Answer) -> Option<u64> {
        let header = answer.header("x-total-count")?;
        (!self.counts).then(|| header.parse().ok())?
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> anyhow::Result<()> {
    if found == expected {
        return Ok(());
    }
    bail!("{what}: expected {expected:?}, found {found:?}")
}

fn check_events(rows: &[Value], newest: &Newest, limit: usize, total: Option<u64>) -> anyhow::Result<()> {
    let found: Option<Vec<u64>> = rows.iter().map(|row| microseconds(row["timestamp"].as_str()?)).collect();
    let mut expected = newest.times_us();
    expected.truncate(limit);
    same("number of events", rows.len(), expected.len())?;
    same("their times", found, Some(expected))?;
    total.map_or(Ok(()), |total| same("total", total, newest.count()))
}

fn check_histogram(rows: &[Value], facts: &Facts) -> anyhow::Result<()> {
    let bar_of = |time: &str| Some(microseconds(time)? % 86_400_000_000 / 600_000_000);
    let found: Option<Vec<_>> = rows
        .iter()
        .map(|row| Some((bar_of(row["t"].as_str()?)?, row["class"].as_u64()?, row["n"].as_u64()?)))
        .collect();
    same("bars", found, Some(facts.histogram().collect()))
}

fn check_users(rows: &[Value], day: &Generator) -> anyhow::Result<()> {
    let found: Option<Vec<u64>> = rows.iter().map(|row| row["n"].as_u64()).collect();
    same("counts", found, Some(day.facts().top_users(TOP)))?;
    for row in rows {
        same("a user", row["n"].as_u64(), row["user"].as_str().and_then(|user| day.events_of(user)))?;
    }
    Ok(())
}

fn check_percentiles(rows: &[Value], day: &Generator) -> anyhow::Result<()> {
    let names: Vec<&str> = rows.iter().filter_map(|row| row["event"].as_str()).collect();
    same("names", names, day.facts().event_names())?;
    for row in rows {
        for (key, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let name = row["event"].as_str().unwrap_or_default();
            let value = row[key].as_f64().with_context(|| format!("{key} of {name} is no number"))?;
            let (below, up_to) = day.shares_below(name, value).with_context(|| format!("there is no {name}"))?;
            // A few values have no exact percentile: the neighbours are as right.
            let tolerance = PERCENTILE_TOLERANCE + 1.5 / day.events_named(name).max(1) as f64;
            if below > share + tolerance || up_to < share - tolerance {
                bail!("{key} of {name} is {value} ms, but {:.1} % of its events took less", below * 100.0);
            }
        }
    }
    Ok(())
}

/// `2026-01-01T12:34:56.789Z` in microseconds since 1970; only days of January 2026, which all events are of.
fn microseconds(time: &str) -> Option<u64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let day: u64 = date.strip_prefix("2026-01-")?.parse().ok()?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok());
    let seconds = (parts.next()?? * 60 + parts.next()??) * 60 + parts.next()??;
    let fraction: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some((1_767_225_600 + (day - 1) * 86_400 + seconds) * 1_000_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(microseconds("2026-01-01T00:00:00Z"), Some(1_767_225_600_000_000));
        assert_eq!(microseconds("2026-01-02T00:00:01.5Z"), Some(1_767_312_001_500_000));
        assert_eq!(microseconds("2026-02-01T00:00:00Z"), None);
    }

    #[test]
    fn a_wrong_answer_is_noticed() {
        let mut day = Generator::new(7, 1000);
        let mut lines = Vec::new();
        while day.next_line(&mut lines) {}
        let facts = day.facts();
        let row = |time: &u64| {
            let of_day = (time - 1_767_225_600_000_000) / 1_000_000;
            let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
            let micros = time % 1_000_000;
            json!({ "timestamp": format!("2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.{micros:06}Z") })
        };
        let mut rows: Vec<Value> = facts.rare_user().times_us().iter().map(row).collect();
        assert!(check_events(&rows, facts.rare_user(), 100, Some(11)).is_ok());
        assert!(check_events(&rows, facts.rare_user(), 100, Some(12)).is_err());
        rows.swap(0, 1);
        assert!(check_events(&rows, facts.rare_user(), 100, None).is_err());
        rows.pop();
        assert!(check_events(&rows, facts.rare_user(), 100, None).is_err());
    }
}
