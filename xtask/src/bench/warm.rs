//! The questions one after the other: warm, and the first time after the kernel forgot the files.

use anyhow::Context;
use serde_json::{Value, json};

use super::machine::{self, Process};
use super::{Run, mean_ms, median_ms, questions};
use crate::http::Connection;
use crate::server::Server;

const RUNS: usize = 7;
const COLD_RUNS: usize = 3;

/// Asks each question seven times after a first, and three times cold.
pub(super) fn measure(run: &Run, server: &Server) -> anyhow::Result<Value> {
    let was_idle = run.settle("questions")?;
    let token = run.workplace.token()?;
    let mut connection = Connection::open(server.address())?;
    let process = Process(server.process());
    let [runs, cold_runs] = if run.options.quick { [1, 1] } else { [RUNS, COLD_RUNS] };
    let questions = questions::all(&run.day);
    run.bar.set_length(questions.len() as u64);
    run.bar.set_position(0);
    let mut rows = Vec::new();
    for question in &questions {
        run.bar.set_message(format!("question {}", question.name));
        let (_, answer) = question.ask(&mut connection, &token)?;
        let found = question.check(&answer, &run.day)?;
        let mut warm = Vec::new();
        for _ in 0..runs {
            warm.push(question.ask(&mut connection, &token)?.0);
        }
        let (mut cold, mut read) = (Vec::new(), 0);
        for _ in 0..cold_runs {
            machine::forget_files(&run.data())?;
            let before = process.disk_bytes_read()?;
            cold.push(question.ask(&mut connection, &token)?.0);
            read = process.disk_bytes_read()? - before;
        }
        rows.push(json!({
            "name": question.name,
            "what": question.what,
            "counts": question.counts,
            "rows": found,
            "total": question.total(&answer),
            "warm_ms": median_ms(warm),
            "cold_ms": median_ms(cold),
            "cold_bytes_read": read,
        }));
        run.bar.inc(1);
    }
    let mean = |key: &str| means(&rows, key);
    Ok(json!({
        "machine_was_idle": was_idle,
        "mean_warm_ms": mean("warm_ms").context("no figures")?,
        "mean_cold_ms": mean("cold_ms").context("no figures")?,
        "rows": rows,
    }))
}

/// The geometric mean over the questions that count.
pub(super) fn means(rows: &[Value], key: &str) -> Option<f64> {
    let counting = rows.iter().filter(|row| row["counts"] == true);
    let values: Option<Vec<f64>> = counting.map(|row| row[key].as_f64()).collect();
    values.map(|values| mean_ms(&values))
}
