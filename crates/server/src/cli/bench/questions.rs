//! Ten questions of everyday life, asked over HTTP.

use std::time::{Duration, Instant};

use ::bench::NEEDLE;
use anyhow::Context as _;
use serde_json::json;

use super::super::human::duration;
use super::super::pages::Question;
use super::ingest::{Asked, LOG};
use super::report::{Line, Reference, Report, quantile};
use super::server::Server;

/// How often a question is asked after the first time.
const RUNS: usize = 7;

/// Up to this many events the references hold; beyond, those of questions that look at every event grow in proportion.
const REFERENCE_EVENTS: f64 = 1_000_000.0;

enum Form {
    /// The URL grammar, as conditions.
    Url(Vec<String>),
    Sql(String),
}

struct Case {
    what: &'static str,
    form: Form,
    /// Whether every event has to be looked at.
    looks_at_all: bool,
}

fn cases(asked: &Asked) -> Vec<Case> {
    let url = |what, conditions: &[&str]| Case {
        what,
        form: Form::Url(conditions.iter().map(|condition| (*condition).to_owned()).collect()),
        looks_at_all: false,
    };
    let sql = |what, sql: &str| Case { what, form: Form::Sql(sql.to_owned()), looks_at_all: true };
    vec![
        sql("count all", "SELECT count(*) AS n FROM bench"),
        url("latest 100 of the busiest user", &[&format!("user={}", asked.heavy_user)]),
        url("latest 100 of a rare user", &[&format!("user={}", asked.rare_user)]),
        url("one request id", &[&format!("_q={}", asked.some_request)]),
        url("a word that occurs once", &[&format!("_q={NEEDLE}")]),
        url("errors with two words", &["_q=stream:ERROR timeout database"]),
        sql(
            "histogram by 10 min and class of status",
            "SELECT date_bin(INTERVAL '10 minutes', \"timestamp\", TIMESTAMP '1970-01-01T00:00:00Z') AS bin, \
             CAST(floor(status / 100) AS BIGINT) AS class, count(*) AS n FROM bench GROUP BY 1, 2 ORDER BY 1, 2",
        ),
        sql("top 20 users", "SELECT \"user\", count(*) AS n FROM bench GROUP BY 1 ORDER BY n DESC LIMIT 20"),
        sql(
            "p50, p95, p99 of duration by event",
            "SELECT event, approx_percentile_cont(duration_ms, 0.5) AS p50, approx_percentile_cont(duration_ms, 0.95) \
             AS p95, approx_percentile_cont(duration_ms, 0.99) AS p99 FROM bench GROUP BY 1 ORDER BY 1",
        ),
        url("latest 100 whose message contains a text", &["message~=imeout"]),
        url("latest 100 with status ≥ 500 below a path", &["status>=500", "_q=path:/api/*"]),
    ]
}

pub(super) async fn measure(server: &Server, asked: &Asked, report: &mut Report) -> anyhow::Result<()> {
    report.part("Finding events (median of 7, over HTTP)");
    let scale = (asked.events as f64 / REFERENCE_EVENTS).max(1.0);
    for case in cases(asked) {
        let median =
            median_seconds(server, &case).await.with_context(|| format!("the question failed: {}", case.what))?;
        let (reference, expected) = if case.looks_at_all {
            (Reference::AtMost(0.05 * scale, 0.5 * scale), if scale > 1.0 { "≤ 50 ms/M" } else { "≤ 50 ms" })
        } else {
            (Reference::AtMost(0.01, 0.1), "≤ 10 ms")
        };
        report.line(Line {
            what: case.what.to_owned(),
            value: median,
            shown: duration(Duration::from_secs_f64(median)),
            reference,
            expected,
            warning: "slow: is the machine busy, or short of memory?",
        });
    }
    Ok(())
}

async fn median_seconds(server: &Server, case: &Case) -> anyhow::Result<f64> {
    let mut took = Vec::new();
    for run in 0..=RUNS {
        let before = Instant::now();
        ask(server, &case.form).await?;
        // The first time the files are read from the disk; people ask more than once.
        if run > 0 {
            took.push(before.elapsed().as_secs_f64());
        }
    }
    Ok(quantile(&mut took, 0.5))
}

async fn ask(server: &Server, form: &Form) -> anyhow::Result<()> {
    let client = &server.client;
    let request = match form {
        Form::Sql(sql) => client.post("/api/v1/query")?.json(&json!({ "sql": sql })),
        Form::Url(conditions) => {
            let mut question = Question::default().with("_limit", "100").with("_total", "n");
            for condition in conditions {
                question = question.with_condition(condition)?;
            }
            client.get(&question.path(LOG, "/events"))?
        }
    };
    client.send(request).await?.bytes().await?;
    Ok(())
}
