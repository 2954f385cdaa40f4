//! `cargo xtask test`: the rules of the house, then every test of the workspace.

use std::process::Command;

use crate::cargo;
use crate::tidy;

/// Runs tidy, then the tests with cargo-nextest, or with `cargo test` where that is not installed.
///
/// # Errors
///
/// If a rule is broken or a test fails.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    tidy::run(&[])?;
    cargo::run(&mut command(arguments))
}

/// The command that runs all tests, or those that `arguments` select.
pub(crate) fn command(arguments: &[String]) -> Command {
    let passed = match arguments.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => arguments,
    };
    let nextest = cargo::has_subcommand("nextest");
    if !nextest {
        println!(
            "note: cargo-nextest is not installed, so this is `cargo test`: the same tests, one binary after another"
        );
    }
    let mut command = cargo::cargo(if nextest { &["nextest", "run"] } else { &["test"] });
    if !names_a_package(passed) {
        command.arg("--workspace");
    }
    command.args(passed);
    command
}

/// Cargo ignores `--package` beside `--workspace`, so only one of them may be given.
fn names_a_package(arguments: &[String]) -> bool {
    let before_test_binary = arguments.iter().take_while(|argument| *argument != "--");
    before_test_binary
        .filter(|argument| !argument.starts_with("--profile"))
        .any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
}

#[cfg(test)]
mod tests {
    use super::names_a_package;

    fn check(line: &str) -> bool {
        names_a_package(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn packages_are_noticed() {
        assert!(check("-p store"));
        assert!(check("--package=store some_test"));
        assert!(check("-pstore"));
        assert!(!check("--release"));
        assert!(!check("some-test --profile ci"));
        assert!(!check("some_test -- -p"));
    }
}
