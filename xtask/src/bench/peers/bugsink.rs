//! Bugsink, an error tracker on SQLite, given the same errors as our own door for them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bench::{Batches, Door, Protocol, send};
use serde_json::{Value, json};

use crate::{python, wait};

const PACKAGE: &str = "bugsink==2.6.1";
const SCRIPT: &str = include_str!("bugsink.py");
/// How long it may go on digesting after the last answer.
const DIGEST_MAX: Duration = Duration::from_secs(600);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Its input ends, and with it the script, which ends the servers.
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

/// Errors a second, until the last is in its database.
pub(in super::super) fn measure(folder: &Path, errors: &Batches, connections: usize) -> anyhow::Result<Value> {
    let programs = python::tools(&[PACKAGE])?;
    let folder = folder.join("bugsink");
    fs::create_dir_all(&folder)?;
    let script = folder.join("bugsink.py");
    fs::write(&script, SCRIPT)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut command = Command::new(programs.join("python"));
    command.arg(&script).arg(&folder).arg(&port).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running(command.spawn().context("cannot run Python")?);
    let mut output = BufReader::new(running.0.stdout.take().context("no output")?).lines();
    let mut line = || output.next().context("Bugsink ended").and_then(|line| Ok(line?));
    let ready = line()?;
    let key = ready.strip_prefix("ready ").with_context(|| format!("Bugsink said {ready}"))?;
    let (address, path) = (format!("127.0.0.1:{port}"), format!("/api/1/envelope/?sentry_key={key}"));
    let door = Door { address: &address, path: &path, token: None, protocol: Protocol::Sentry };
    let started = Instant::now();
    let sent = send(door, connections, errors)?;
    loop {
        running.0.stdin.as_mut().context("no input")?.write_all(b"\n")?;
        let count: u64 = line()?.parse()?;
        if count == sent.events {
            break;
        }
        if started.elapsed() > DIGEST_MAX {
            bail!("after {} s it has digested {count} of {} errors", DIGEST_MAX.as_secs(), sent.events);
        }
        wait::rest(Duration::from_millis(100));
    }
    let took = started.elapsed().as_secs_f64();
    drop(running);
    fs::remove_dir_all(&folder)?;
    Ok(json!({
        "version": PACKAGE,
        "errors": sent.events,
        "answered_per_s": sent.per_second(),
        "kept_per_s": sent.events as f64 / took,
    }))
}
