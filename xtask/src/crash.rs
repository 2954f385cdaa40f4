//! `cargo xtask crash`: many histories of the store on a simulated disk, each cut off at a random call.

use crate::{cargo, options};

/// Runs the store's crash simulation for many seeds. A failing seed is printed by the test, and fails again alone with
/// `--seeds 1 --from SEED`.
///
/// # Errors
///
/// If a history breaks a promise, or an argument is not understood.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [seeds, from] = options::numbers(arguments, [("--seeds", 5000), ("--from", 1)])?;
    let mut command = cargo::cargo(&["test", "--release", "--package", "store", "--test", "it", "crash_many"]);
    command.args(["--", "--ignored", "--nocapture"]);
    command.env("CRASH_SEEDS", seeds.to_string()).env("CRASH_FROM", from.to_string());
    println!("seeds {from} to {}", from + seeds.saturating_sub(1));
    cargo::run(&mut command)
}
