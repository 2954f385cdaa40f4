//! `cargo xtask ci`: everything that must hold before a merge, in the order of what is known soonest.

use std::time::{Duration, Instant};

use crate::cargo::{self, cargo};
use crate::{bench, clients, options, schemathesis, smoke, test, tidy};

/// Formatting, lints, tests, and the smoke test of the release binary. Ends with the time of each step and the counts
/// of the tests.
///
/// # Errors
///
/// At the first step that fails.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    options::none(arguments)?;
    let mut steps = Steps::default();
    steps.take("tidy", || tidy::run(&[]))?;
    steps.take("format", || cargo::run(&mut cargo(&["fmt", "--all", "--check"])))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps.take("lints", || cargo::run(&mut cargo(&clippy)))?;
    let counts = steps.take("tests", || cargo::run_and_keep(&mut test::command(&[]), is_count))?;
    let binary = steps.take("release build", cargo::build_release)?;
    steps.take("smoke test", || smoke::run(binary.clone()))?;
    let quick = ["--quick", "--binary", &binary.to_string_lossy()].map(str::to_owned);
    steps.take("benchmark, whether it works", || bench::run(&quick))?;
    steps.take("schemathesis", || match std::env::var_os("CI") {
        Some(_) => schemathesis::run(&[binary.to_string_lossy().into_owned()]),
        None => {
            println!("SKIPPED: it asks PyPI for its tools, so it is for CI=true, or for `cargo xtask schemathesis`");
            Ok(())
        }
    })?;
    steps.take("clients of other products", || match std::env::var_os("CI") {
        Some(_) => clients::run(&["--binary".to_owned(), binary.to_string_lossy().into_owned()]),
        None => {
            println!("SKIPPED: they come from PyPI and npm, so they are for CI=true, or for `cargo xtask clients`");
            Ok(())
        }
    })?;
    steps.print();
    for count in counts {
        println!("tests: {count}");
    }
    Ok(())
}

/// The lines in which cargo-nextest and `cargo test` count.
fn is_count(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("Summary [") || line.starts_with("test result:")
}

/// What was done, and how long it took.
#[derive(Default)]
struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn take<T>(&mut self, name: &'static str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        self.0.push((name, start.elapsed()));
        if outcome.is_err() {
            self.print();
            println!("FAILED in: {name}");
        }
        outcome
    }

    fn print(&self) {
        println!("\n== time");
        for (name, time) in &self.0 {
            println!("  {:8.1} s  {name}", time.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_count;

    #[test]
    fn counts_are_recognised() {
        assert!(is_count("     Summary [   1.204s] 93 tests run: 93 passed, 2 skipped"));
        assert!(is_count("test result: ok. 3 passed; 0 failed; 0 ignored"));
        assert!(!is_count("        PASS [   0.004s] store journal::tests::summary"));
    }
}
