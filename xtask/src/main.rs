//! The chores of the house, behind one door: `cargo xtask`.
//!
//! Every chore works from any folder of the checkout, prints the commands it runs, and ends with a failing exit code if
//! one of them failed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore speaks to the person at the terminal")]

mod bench;
mod cargo;
mod ci;
mod clients;
mod crash;
mod errors;
mod http;
mod kill9;
mod options;
mod packages;
mod python;
mod schemathesis;
mod sentry;
mod server;
mod smoke;
mod test;
mod tidy;
mod wait;

use std::process::ExitCode;

use self::cargo::CommandFailed;

const USAGE: &str = "\
Usage: cargo xtask <chore>

  tidy                          the rules of the house: floors, sizes, names, links, words
  test [-- <arguments>]         tidy, then all tests; arguments go to cargo nextest (or cargo test)
  ci                            everything that must hold before a merge: format, lints, tests, smoke test of the release
  bench [<options>]             measure the release end to end; `cargo xtask bench --help` has the options
  clients [<name> ...]          real clients of other products against the release; `--binary <path>` for another one
  crash [--seeds N] [--from S]  crash the simulated disk N times (5000), from seed S (1)
  errors [--binary PATH] [--events N] [--events-bugsink N]
                                how fast errors of Sentry's SDKs are taken, beside Bugsink in the same run
  kill9 [--seed S]              kill -9 the real server ten times under load, and look for lost events
  schemathesis [<binary>]       send every door whatever fits, or not, its description in /openapi.json (needs python3)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = match arguments.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => ("", arguments.as_slice()),
    };
    let outcome = match chore {
        "tidy" => tidy::run(rest),
        "test" => test::run(rest),
        "ci" => ci::run(rest),
        "bench" => bench::run(rest),
        "clients" => clients::run(rest),
        "crash" => crash::run(rest),
        "errors" => errors::run(rest),
        "kill9" => kill9::run(rest),
        "schemathesis" => schemathesis::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(options::refuse(&format!("no chore is named `{chore}`\n\n{USAGE}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            error.downcast_ref::<CommandFailed>().map_or(ExitCode::FAILURE, |failed| ExitCode::from(failed.code))
        }
    }
}
