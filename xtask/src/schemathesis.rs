//! `cargo xtask schemathesis`: every door takes whatever a generator makes of its description, and never fails.
//!
//! The tools come from PyPI into a folder of the user's cache; without a network or Python the chore says so and ends
//! well, but for CI, where it must run.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, bail};

use crate::http::{Connection, Request};
use crate::options::refuse;
use crate::server::{Server, Workplace, explain};
use crate::{cargo, python};

/// What is installed. A newer one may find more: raise it, and mend what it finds.
const TOOLS: [&str; 2] = ["schemathesis==4.32.5", "openapi-spec-validator==0.9.0"];

/// What an answer has to be. A 503 is an answer too, but a healthy server has no reason for one.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Inputs for each door at most, and seconds for a whole run.
const LIMITS: [&str; 4] = ["--max-examples", "25", "--max-time", "40"];

/// Runs against a server that is started for it, once as anybody on this machine and once with all rights.
/// The only argument is the binary to start; without one the release is built.
///
/// # Errors
///
/// If the description is invalid, or an answer is not as described.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let binary = match arguments {
        [] => cargo::build_release()?,
        [binary] => fs::canonicalize(binary).with_context(|| format!("there is no {binary}"))?,
        [_, surplus, ..] => return Err(refuse(&format!("unexpected argument `{surplus}`"))),
    };
    let tools = match python::tools(&TOOLS) {
        Ok(tools) => tools,
        Err(error) if env::var_os("CI").is_some() => return Err(error),
        Err(error) => {
            println!("SKIPPED: {error:#}");
            return Ok(());
        }
    };
    let workplace = Workplace::new("schemathesis", binary)?;
    explain(check(&tools, &workplace), &workplace)?;
    workplace.clear()
}

fn check(tools: &Path, workplace: &Workplace) -> anyhow::Result<()> {
    let server = workplace.start()?;
    let answer = Connection::open(server.address())?.ask(Request::get("/openapi.json"))?;
    if answer.status != 200 {
        bail!("/openapi.json: {} {}", answer.status, answer.excerpt());
    }
    let file = workplace.write("openapi.json", &String::from_utf8_lossy(&answer.body))?;
    cargo::run(Command::new(tools.join("openapi-spec-validator")).arg(file))?;
    generate(tools, workplace, &server, None)?;
    generate(tools, workplace, &server, Some(workplace.token()?))?;
    let status = server.terminate()?;
    if !status.success() {
        bail!("the server ended with {status} after SIGTERM");
    }
    Ok(())
}

/// One run. A tail never ends, so it is left out; it has tests of its own.
fn generate(tools: &Path, workplace: &Workplace, server: &Server, token: Option<String>) -> anyhow::Result<()> {
    let mut command = Command::new(tools.join("schemathesis"));
    command.args(["run", "--no-color", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"]).args(LIMITS);
    command.args(["--generation-database", "none", "--seed", "1", "--request-timeout", "30", "--warnings", "off"]);
    command.args(["--exclude-path-regex", "/tail$"]);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    command.arg(format!("http://{}/openapi.json", server.address())).current_dir(workplace.data());
    cargo::run(&mut command)
}
