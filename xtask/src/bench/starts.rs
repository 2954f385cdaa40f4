//! How soon the server is ready again, after a clean stop and after kill -9, and what it takes when it rests.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bench::{Batches, Door, Generator, Protocol, send};
use serde_json::{Value, json};

use super::Run;
use super::machine::Process;
use super::questions::LOG;
use crate::http::{Connection, Request};
use crate::server::Server;
use crate::wait;

const READY_MAX: Duration = Duration::from_secs(120);
/// After a start, before its memory is looked at.
const REST: Duration = Duration::from_secs(5);
/// What is written before the kill, so that the journal holds something.
const BURST_EVENTS: u64 = 100_000;
const BURST_QUICK: u64 = 1000;

/// Stops, starts, kills and starts the server again, and returns it with what was found.
pub(super) fn measure(run: &mut Run, server: Server) -> anyhow::Result<(Server, Value)> {
    let was_idle = run.settle("start")?;
    let before = Instant::now();
    let status = server.terminate()?;
    if !status.success() {
        bail!("the server ended with {status} after SIGTERM");
    }
    let stopped = before.elapsed();
    let (mut server, clean) = start(run)?;
    if !run.options.quick {
        wait::rest(REST);
    }
    let (idle, _) = Process(server.process()).memory_bytes()?;
    let in_memory = burst(run, &server)?;
    server.kill()?;
    let (server, killed) = start(run)?;
    let found = run.count(&server)?;
    if found != run.acknowledged {
        bail!("{} events were acknowledged before kill -9, and {found} are there", run.acknowledged);
    }
    let found = json!({
        "machine_was_idle": was_idle,
        "events": run.acknowledged,
        "stop_s": stopped.as_secs_f64(),
        "clean_s": clean.as_secs_f64(),
        "killed_s": killed.as_secs_f64(),
        "killed_in_journal_only": in_memory,
        "idle_memory_bytes": idle,
    });
    Ok((server, found))
}

/// Starts the server and waits until it takes events.
fn start(run: &Run) -> anyhow::Result<(Server, Duration)> {
    let before = Instant::now();
    let server = run.workplace.start()?;
    let ready = || -> anyhow::Result<Option<()>> {
        let answer = Connection::open(server.address())?.ask(Request::get("/readyz"))?;
        Ok((answer.status == 200).then_some(()))
    };
    wait::until("a server that is ready", READY_MAX, ready)?;
    Ok((server, before.elapsed()))
}

/// Sends some events at once; returns how many of all are in the journal and in no segment yet.
fn burst(run: &mut Run, server: &Server) -> anyhow::Result<u64> {
    let events = if run.options.quick { BURST_QUICK } else { BURST_EVENTS };
    let mut day = Generator::new(run.options.seed + 3, events).days_later(3);
    let batches = Batches::make(&mut day, events, 1000);
    let path = format!("/api/v1/logs/{LOG}/events");
    let sent =
        send(Door { address: server.address(), path: &path, token: None, protocol: Protocol::Native }, 4, &batches)?;
    run.acknowledged += sent.events;
    let answer = Connection::open(server.address())?.ask(Request::get("/api/v1/logs"))?;
    let logs: Value = serde_json::from_slice(&answer.body).with_context(|| answer.excerpt())?;
    let log = logs.as_array().and_then(|logs| logs.iter().find(|log| log["name"] == LOG));
    log.and_then(|log| log["buffered_events"].as_u64()).with_context(|| answer.excerpt())
}
