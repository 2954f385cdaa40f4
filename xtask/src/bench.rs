//! `cargo xtask bench`: the canonical workload, end to end, against the release binary.
//!
//! Everything is measured over HTTP with the settings that a stranger gets, and every answer is compared with what the
//! generator knows. What came out is kept as JSON in `benchmarks/`, from which the table in the documents is drawn.

mod doors;
mod ingest;
mod machine;
mod options;
mod peers;
mod questions;
mod report;
mod starts;
mod table;
mod warm;
mod writing;

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use bench::Generator;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use self::machine::Process;
use self::options::{Options, Part};
use self::questions::LOG;
use crate::cargo;
use crate::http::{Connection, Request};
use crate::options::refuse;
use crate::server::{Server, Workplace, explain};

/// Measures what the options ask for.
///
/// # Errors
///
/// If the server does not do what it should: an answer is wrong, an event is not taken or lost.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let options = Options::parse(arguments)?;
    if options.help {
        print!("{}", options::USAGE);
        return Ok(());
    }
    if options.table {
        return table::draw();
    }
    let binary = match &options.binary {
        Some(path) => fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()))?,
        None => cargo::build_release()?,
    };
    let workplace = match &options.data {
        Some(folder) => Workplace::at(std::path::absolute(folder)?, binary)?,
        None => Workplace::new("bench", binary)?,
    };
    let keeps = options.data.is_some();
    let mut run = Run::new(options, workplace)?;
    let outcome = run.measure();
    run.bar.finish_and_clear();
    let Run { results, workplace, options, .. } = run;
    explain(outcome, &workplace)?;
    if let Some(path) = options.results_path(&results)? {
        report::write(&path, &results)?;
        println!("\n{}", path.display());
    }
    if keeps { Ok(()) } else { workplace.clear() }
}

/// One run, and what it found out so far.
struct Run {
    options: Options,
    workplace: Workplace,
    bar: ProgressBar,
    /// The events that are asked for, with the right answers.
    day: Generator,
    /// Events that the server has acknowledged, in all.
    acknowledged: u64,
    results: Value,
}

impl Run {
    fn new(options: Options, workplace: Workplace) -> anyhow::Result<Self> {
        let bar = ProgressBar::new(0);
        bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len}")?);
        let results = json!({
            "schema": 1,
            "date": report::date()?,
            "commit": report::commit(),
            "machine": machine::describe(workplace.folder())?,
            "settings": { "events": options.events, "seed": options.seed, "server": "defaults" },
        });
        let day = Generator::new(options.seed, options.events);
        Ok(Self { options, workplace, bar, day, acknowledged: 0, results })
    }

    fn measure(&mut self) -> anyhow::Result<()> {
        let used = self.data().join("catalog.sqlite").is_file();
        let mut server = self.workplace.start()?;
        self.fill(&server, used)?;
        if self.options.wants(Part::Disk) {
            let found = ingest::footprint(self)?;
            self.keep("disk", found);
        }
        if self.options.wants(Part::Queries) {
            let found = warm::measure(self, &server)?;
            self.keep("questions", found);
        }
        if self.options.peers {
            let found = peers::measure(self)?;
            self.keep("peers", found);
        }
        if [Part::Writing, Part::Start].iter().any(|part| self.options.wants(*part)) {
            fs::remove_file(self.mark())?;
        }
        if self.options.wants(Part::Writing) {
            let found = writing::measure(self, &server)?;
            self.keep("writing", found);
        }
        let (now, peak) = Process(server.process()).memory_bytes()?;
        self.keep("memory", json!({ "after_questions_bytes": now, "peak_bytes": peak }));
        if self.options.wants(Part::Start) {
            let found;
            (server, found) = starts::measure(self, server)?;
            self.keep("start", found);
        }
        let status = server.terminate()?;
        if !status.success() {
            return Err(refuse(&format!("the server ended with {status} after SIGTERM")));
        }
        if self.options.wants(Part::Ingest) {
            let mut loads = vec![self.results["load"].clone()];
            loads.extend(ingest::others(self)?);
            self.keep("loads", Value::Array(loads));
        }
        if self.options.wants(Part::Doors) {
            let found = doors::measure(self)?;
            self.keep("doors", found);
        }
        report::print(&self.results);
        Ok(())
    }

    /// Says that the folder holds the day and nothing else.
    fn mark(&self) -> PathBuf {
        self.workplace.folder().join("load.json")
    }

    /// Sends all events, unless an earlier run left them in the folder, which was `used` before.
    fn fill(&mut self, server: &Server, used: bool) -> anyhow::Result<()> {
        let mark = self.mark();
        let earlier: Option<Value> = fs::read(&mark).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let found = match earlier {
            Some(earlier) if earlier["settings"] == self.results["settings"] => {
                self.bar.suspend(|| println!("the events are there already"));
                let mut lines = Vec::new();
                while self.day.next_line(&mut lines) {
                    lines.clear();
                }
                self.acknowledged = self.options.events;
                earlier["load"].clone()
            }
            earlier if used || earlier.is_some() => {
                let folder = self.workplace.folder().display();
                return Err(refuse(&format!(
                    "{folder} holds other events than those of the day (writing and start add some): remove it, or name another"
                )));
            }
            _ => {
                let load = ingest::canonical(self, server)?;
                let text = json!({ "settings": self.results["settings"], "load": load });
                fs::write(&mark, text.to_string())?;
                load
            }
        };
        self.keep("load", found);
        Ok(())
    }

    fn keep(&mut self, name: &str, value: Value) {
        self.results[name] = value;
    }

    /// Waits for an idle machine before something is timed; returns whether it is idle, as far as is known.
    fn settle(&self, what: &str) -> anyhow::Result<bool> {
        self.bar.set_message(what.to_owned());
        if self.options.quick || self.options.no_wait {
            return Ok(false);
        }
        machine::wait_until_idle(what, &self.bar)
    }

    fn data(&self) -> PathBuf {
        self.workplace.data()
    }

    /// How many events the log has, as SQL counts them.
    fn count(&self, server: &Server) -> anyhow::Result<u64> {
        let token = self.workplace.token()?;
        let body = json!({ "sql": format!("SELECT count(*) AS n FROM {LOG}") }).to_string();
        let request = Request { body: body.as_bytes(), ..post("/api/v1/query", &token) };
        let answer = Connection::open(server.address())?.ask(request)?;
        let value: Value = serde_json::from_slice(&answer.body).with_context(|| answer.excerpt())?;
        value["rows"][0]["n"].as_u64().with_context(|| answer.excerpt())
    }
}

fn post<'a>(target: &'a str, token: &'a str) -> Request<'a> {
    Request { method: "POST", token: Some(token), content_type: "application/json", ..Request::get(target) }
}

/// The middle one of some durations, in milliseconds.
fn median_ms(mut took: Vec<std::time::Duration>) -> f64 {
    took.sort_unstable();
    took.get(took.len() / 2).map_or(0.0, |middle| middle.as_secs_f64() * 1e3)
}

/// The geometric mean.
fn mean_ms(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.max(1e-6).ln()).sum::<f64>() / values.len().max(1) as f64).exp()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{mean_ms, median_ms};

    #[test]
    fn the_middle_and_the_mean() {
        assert_eq!(median_ms([9, 1, 5].map(Duration::from_millis).to_vec()), 5.0);
        assert!((mean_ms(&[1.0, 100.0]) - 10.0).abs() < 1e-9);
    }
}
