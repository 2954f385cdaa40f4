//! What others make of the same events and questions, on the same machine, in the same run.
//!
//! Only those that a package registry provides. Where one cannot be installed, a visible line says so and the others go on.

mod postgres;
mod sql;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use bench::{Generator, push_row};
use serde_json::{Value, json};

use self::sql::Dialect;
use super::Run;
use super::machine;
use crate::options::refuse;
use crate::python;

/// What is compared with. Raise them now and then: a peer that got better is worth knowing.
const PACKAGES: [&str; 3] = ["chdb==4.4.0", "duckdb==2.0.0", "pytz"];
const SCRIPT: &str = include_str!("peers/peers.py");

/// How often each question is asked after the first time.
const RUNS: usize = 7;
/// Files that are loaded at the same time.
const PARTS: usize = 4;

/// Loads and asks all peers.
pub(super) fn measure(run: &Run) -> anyhow::Result<Value> {
    let folder = run.workplace.folder().join("peers");
    fs::create_dir_all(&folder)?;
    run.bar.set_message("writing files for the peers");
    let files = Files::write(run, &folder)?;
    let mut found = json!({});
    let mut peer = |name: &str, measure: &dyn Fn() -> anyhow::Result<Value>| {
        run.bar.set_message(name.to_owned());
        run.bar.tick();
        found[name] = measure().unwrap_or_else(|error| {
            let reason = format!("{error:#}");
            run.bar.suspend(|| println!("SKIPPED: {name}: {reason}"));
            json!({ "skipped": reason })
        });
    };
    peer("postgresql", &|| postgres::measure(run, &files, &folder));
    peer("chdb", &|| with_python(run, &files, &folder, Dialect::ClickHouse));
    peer("duckdb", &|| with_python(run, &files, &folder, Dialect::DuckDb));
    peer("victorialogs", &|| Err(refuse("no package registry has it")));
    fs::remove_dir_all(&folder)?;
    compare(&mut found, &run.results);
    Ok(found)
}

/// Adds how many times as long as we each peer takes for each question, and how many times as fast we load.
fn compare(found: &mut Value, ours: &Value) {
    let rows = ours["questions"]["rows"].as_array().cloned().unwrap_or_default();
    for peer in found.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
        let mut ratios = json!({});
        for row in &rows {
            let name = row["name"].as_str().unwrap_or_default();
            if let Some((theirs, ours)) = peer["questions"][name].as_f64().zip(row["warm_ms"].as_f64()) {
                ratios[name] = json!(theirs / ours);
            }
        }
        if let Some((theirs, ours)) = peer["mean_ms"].as_f64().zip(ours["questions"]["mean_warm_ms"].as_f64()) {
            ratios["mean"] = json!(theirs / ours);
        }
        if let Some((theirs, ours)) = peer["events_per_s"].as_f64().zip(ours["load"]["events_per_s"].as_f64()) {
            ratios["ingest"] = json!(ours / theirs);
        }
        if ratios.as_object().is_some_and(|ratios| !ratios.is_empty()) {
            peer["times_ours"] = ratios;
        }
    }
}

/// The day as files, made once for all.
struct Files {
    lines: PathBuf,
    rows: Vec<PathBuf>,
}

impl Files {
    fn write(run: &Run, folder: &Path) -> anyhow::Result<Self> {
        let lines = folder.join("day.ndjson");
        let rows: Vec<PathBuf> = (0..PARTS).map(|part| folder.join(format!("day-{part}.tsv"))).collect();
        let create = |path: &PathBuf| -> anyhow::Result<_> {
            Ok(BufWriter::with_capacity(1 << 20, File::create(path).with_context(|| format!("{}", path.display()))?))
        };
        let mut to_lines = create(&lines)?;
        let mut to_rows = rows.iter().map(create).collect::<anyhow::Result<Vec<_>>>()?;
        let mut day = Generator::new(run.options.seed, run.options.events);
        let (mut line, mut row) = (Vec::new(), Vec::new());
        // In turns of a thousand, as over several connections.
        for turn in (0..PARTS).cycle() {
            let before = day.facts().events();
            for _ in 0..1000 {
                line.clear();
                row.clear();
                if !day.next_line(&mut line) {
                    break;
                }
                push_row(std::str::from_utf8(&line)?, &mut row);
                to_lines.write_all(&line)?;
                to_rows[turn].write_all(&row)?;
            }
            if day.facts().events() == before {
                break;
            }
        }
        to_lines.flush()?;
        to_rows.iter_mut().try_for_each(std::io::Write::flush)?;
        Ok(Self { lines, rows })
    }
}

/// The peers that live in a Python process.
fn with_python(run: &Run, files: &Files, folder: &Path, dialect: Dialect) -> anyhow::Result<Value> {
    let programs = python::tools(&PACKAGES)?;
    let segments = machine::files_below(&run.data().join("segments"))?;
    let segments: Vec<_> =
        segments.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect();
    let (plan, script) = (folder.join("plan.json"), folder.join("peers.py"));
    let place = folder.join("stored");
    let questions: Vec<Value> = sql::questions(run, dialect)
        .into_iter()
        .map(|question| json!({ "name": question.name, "sql": question.sql, "rows": question.rows }))
        .collect();
    let text = json!({
        "engine": dialect.engine(),
        "lines": files.lines,
        "segments": segments,
        "folder": place,
        "events": run.options.events,
        "runs": RUNS,
        "questions": questions,
    });
    fs::write(&plan, text.to_string())?;
    fs::write(&script, SCRIPT)?;
    run.settle(dialect.engine())?;
    let output = Command::new(programs.join("python")).arg(&script).arg(&plan).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().next_back().unwrap_or_default().to_owned();
        bail!("{}: {last}", output.status);
    }
    if place.is_dir() {
        fs::remove_dir_all(&place)?;
    }
    let said = String::from_utf8(output.stdout)?;
    let mut found: Value = serde_json::from_str(said.lines().next_back().unwrap_or_default())?;
    found["mean_ms"] = json!(mean(&found["questions"]));
    Ok(found)
}

/// The geometric mean of the times of all questions.
fn mean(questions: &Value) -> Option<f64> {
    let times: Vec<f64> = questions.as_object()?.values().filter_map(Value::as_f64).collect();
    Some(super::mean_ms(&times))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::compare;

    #[test]
    fn more_than_one_is_in_our_favour() {
        let mut found = json!({
            "x": { "events_per_s": 100.0, "mean_ms": 30.0, "questions": { "a": 1.0, "c": 8.0 } },
            "y": { "skipped": "no network" },
        });
        let questions =
            json!({ "mean_warm_ms": 10.0, "rows": [{ "name": "a", "warm_ms": 2.0 }, { "name": "c", "warm_ms": 2.0 }] });
        compare(&mut found, &json!({ "load": { "events_per_s": 400.0 }, "questions": questions }));
        assert_eq!(found["x"]["times_ours"], json!({ "a": 0.5, "c": 4.0, "mean": 3.0, "ingest": 4.0 }));
        assert_eq!(found["y"], json!({ "skipped": "no network" }));
    }
}
