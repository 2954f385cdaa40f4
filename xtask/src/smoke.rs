//! The smoke test: the release binary does for a stranger what the README promises.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;

use crate::server::{Server, Workplace, explain};

/// Two lines of nginx's combined format; the second is what the query has to find.
const ACCESS_LOG: &str = "\
203.0.113.7 - - [19/May/2025:14:09:20 +0000] \"GET /api/v1/orders HTTP/1.1\" 200 512 \"-\" \"curl/8.15.0\"
203.0.113.8 - bob [19/May/2025:14:09:21 +0000] \"POST /api/v1/teapots HTTP/1.1\" 418 27 \"-\" \"Mozilla/5.0\"
";

/// Starts, writes, asks, imports, ends and restarts the server, with one line for each step.
///
/// # Errors
///
/// At the first step that does not do what it should.
pub(crate) fn run(binary: PathBuf) -> anyhow::Result<()> {
    let workplace = Workplace::new("smoke", binary)?;
    explain(steps(&workplace), &workplace)?;
    workplace.clear()
}

fn steps(workplace: &Workplace) -> anyhow::Result<()> {
    let server = step("serve on a free port, /healthz answers", || workplace.start())?;
    step("log a message", || workplace.command(&["log", "INFO", "alice", "hello smoke"]))?;
    step("query it", || find(workplace, "user:alice", "hello smoke"))?;
    let file = workplace.write("access.log", ACCESS_LOG)?;
    step("import an nginx access log", || workplace.command(&["import", &file.to_string_lossy()]))?;
    step("query a status of it", || find(workplace, "status:418", "/api/v1/teapots"))?;
    step("SIGTERM ends it with exit code 0", || end(server))?;
    let server = step("serve again on the same data", || workplace.start())?;
    step("query what was there before", || find(workplace, "user:alice", "hello smoke"))?;
    step("SIGTERM ends it again", || end(server))
}

fn step<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let start = Instant::now();
    let outcome = work();
    let word = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("  {word:6} {:7.3} s  {name}", start.elapsed().as_secs_f64());
    outcome
}

fn find(workplace: &Workplace, question: &str, expected: &str) -> anyhow::Result<()> {
    let answer = workplace.command(&["query", question])?;
    if !answer.contains(expected) {
        bail!("`everlog query {question}` does not answer `{expected}`, but:\n{answer}");
    }
    Ok(())
}

fn end(server: Server) -> anyhow::Result<()> {
    let status = server.terminate()?;
    if !status.success() {
        bail!("the server ended with {status} after SIGTERM");
    }
    Ok(())
}
