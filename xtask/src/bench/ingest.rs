//! How fast events are taken, what that costs the server, and what they take on the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use bench::{Batches, Door, Generator, Protocol, Sent, send};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::machine::{self, Process};
use super::questions::LOG;
use super::{Run, post};
use crate::http::Connection;
use crate::server::{Server, Workplace};
use crate::wait;

/// Events that are made before the clock starts, so that making them is not measured.
const ROUND_EVENTS_MAX: u64 = 5_000_000;
/// What an event takes while it waits to be sent, with room to spare.
const EVENT_BYTES: u64 = 600;

const CANONICAL: Manner = Manner { per_batch: 1000, connections: 4, events: 0 };

/// The other manners of sending. Each takes some seconds.
const OTHERS: [Manner; 10] = [
    Manner { per_batch: 1000, connections: 1, events: 1_000_000 },
    Manner { per_batch: 1000, connections: 16, events: 1_000_000 },
    Manner { per_batch: 100, connections: 1, events: 500_000 },
    Manner { per_batch: 100, connections: 4, events: 1_000_000 },
    Manner { per_batch: 100, connections: 8, events: 1_000_000 },
    Manner { per_batch: 100, connections: 16, events: 1_000_000 },
    Manner { per_batch: 1, connections: 1, events: 20_000 },
    Manner { per_batch: 1, connections: 4, events: 60_000 },
    Manner { per_batch: 1, connections: 16, events: 150_000 },
    Manner { per_batch: 1, connections: 64, events: 200_000 },
];
/// In a quick run the last ones, with fewer events.
const OTHERS_QUICK: usize = 2;
const EVENTS_QUICK: u64 = 500;

/// How long the server may merge after the last event.
const REST_MAX: Duration = Duration::from_secs(600);
/// At rest is a server that uses less than this of a processor for this many seconds.
const REST_SHARE: f64 = 0.03;
const REST_SECONDS: usize = 4;

#[derive(Clone, Copy)]
struct Manner {
    per_batch: u64,
    connections: usize,
    events: u64,
}

/// Sends the whole day, 1000 events a request over 4 connections.
pub(super) fn canonical(run: &mut Run, server: &Server) -> anyhow::Result<Value> {
    let manner = Manner { events: run.options.events, ..CANONICAL };
    let round = ROUND_EVENTS_MAX.min(machine::memory_available() / 4 / EVENT_BYTES).max(manner.per_batch);
    let process = Process(server.process());
    let was_idle = run.settle("ingest")?;
    let mut costs = Costs::default();
    let before = process.processor_seconds()?;
    while run.day.facts().events() < manner.events {
        let batches = make(&mut run.day, round, manner.per_batch, &run.bar);
        if costs.rounds.is_empty() {
            // Making them has warmed the machine up.
            run.settle("ingest")?;
        }
        costs.take(run, server, manner, &batches)?;
    }
    // What the server does between the rounds belongs to it, too.
    costs.server_seconds = process.processor_seconds()? - before;
    run.acknowledged += costs.sent.events;
    let mut row = costs.row(manner, &process)?;
    row["machine_was_idle"] = json!(was_idle);
    row["event_bytes"] = json!(run.day.facts().bytes() as f64 / run.day.facts().events() as f64);
    let settled = rest(run, server)?;
    row["merged_after_s"] = json!(settled.as_secs_f64());
    row["server_cpu_with_merges_us"] = json!(per_event(process.processor_seconds()? - before, costs.sent.events));
    Ok(row)
}

/// The other manners, each with a server and a folder of its own.
pub(super) fn others(run: &mut Run) -> anyhow::Result<Vec<Value>> {
    let mut rows = Vec::new();
    let skipped = if run.options.quick { OTHERS.len() - OTHERS_QUICK } else { 0 };
    for (place, manner) in (0..).zip(OTHERS).skip(skipped) {
        let events = if run.options.quick { EVENTS_QUICK } else { manner.events };
        let manner = Manner { events, ..manner };
        let workplace = Workplace::at(run.workplace.folder().join("other"), run.workplace.binary().to_owned())?;
        let server = workplace.start()?;
        let mut day = Generator::new(run.options.seed + 100 + place, events);
        let batches = make(&mut day, events, manner.per_batch, &run.bar);
        let was_idle = run.settle(&format!("ingest, {} x {}", manner.per_batch, manner.connections))?;
        let mut costs = Costs::default();
        costs.take(run, &server, manner, &batches)?;
        let mut row = costs.row(manner, &Process(server.process()))?;
        row["machine_was_idle"] = json!(was_idle);
        rows.push(row);
        drop(server);
        workplace.clear()?;
    }
    Ok(rows)
}

fn make(day: &mut Generator, events: u64, per_batch: u64, bar: &ProgressBar) -> Batches {
    bar.set_message("making events");
    bar.tick();
    Batches::make(day, events, per_batch)
}

/// What sending has cost both sides.
#[derive(Default)]
struct Costs {
    sent: Sent,
    rounds: Vec<f64>,
    server_seconds: f64,
    client_seconds: f64,
}

impl Costs {
    fn take(&mut self, run: &Run, server: &Server, manner: Manner, batches: &Batches) -> anyhow::Result<()> {
        let (theirs, ours) = (Process(server.process()), Process(std::process::id()));
        let before = (theirs.processor_seconds()?, ours.processor_seconds()?);
        let sent = send_with_bar(run, server, manner, batches, self.sent.events)?;
        self.server_seconds += theirs.processor_seconds()? - before.0;
        self.client_seconds += ours.processor_seconds()? - before.1;
        self.rounds.push(sent.per_second());
        self.sent.add(sent);
        Ok(())
    }

    fn row(&self, manner: Manner, process: &Process) -> anyhow::Result<Value> {
        let sent = &self.sent;
        let [p50, p99, p999] = latencies_ms(sent);
        Ok(json!({
            "per_batch": manner.per_batch,
            "connections": manner.connections,
            "events": sent.events,
            "seconds": sent.took.as_secs_f64(),
            "events_per_s": sent.per_second(),
            "events_per_s_by_round": self.rounds,
            "p50_ms": p50,
            "p99_ms": p99,
            "p999_ms": p999,
            "server_cpu_us": per_event(self.server_seconds, sent.events),
            "sender_cpu_us": per_event(self.client_seconds, sent.events),
            "memory_peak_bytes": process.memory_bytes()?.1,
            "pushed_back": sent.pushed_back,
        }))
    }
}

fn per_event(seconds: f64, events: u64) -> f64 {
    seconds * 1e6 / events.max(1) as f64
}

/// How long half, 99 % and 99.9 % of the acknowledgements took at most.
pub(super) fn latencies_ms(sent: &Sent) -> [f64; 3] {
    [0.5, 0.99, 0.999].map(|share| sent.within(share).as_secs_f64() * 1e3)
}

fn send_with_bar(
    run: &Run,
    server: &Server,
    manner: Manner,
    batches: &Batches,
    sent_before: u64,
) -> anyhow::Result<Sent> {
    let path = format!("/api/v1/logs/{LOG}/events");
    let door = Door { address: server.address(), path: &path, token: None, protocol: Protocol::Native };
    run.bar.set_message(format!("sending, {} x {}", manner.per_batch, manner.connections));
    run.bar.set_length(manner.events);
    let done = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                run.bar.set_position(sent_before + batches.events_sent());
                wait::rest(Duration::from_millis(100));
            }
        });
        let sent = send(door, manner.connections, batches);
        done.store(true, Ordering::Relaxed);
        sent
    })?;
    Ok(sent)
}

/// Waits until all is in segments, and these are merged; returns how long that took.
pub(super) fn rest(run: &Run, server: &Server) -> anyhow::Result<Duration> {
    let token = run.workplace.token()?;
    let started = Instant::now();
    run.bar.set_message("waiting for flushes and merges");
    let answer = Connection::open(server.address())?.ask(post("/api/v1/flush", &token))?;
    if answer.status != 200 {
        bail!("the server does not flush: {} {}", answer.status, answer.excerpt());
    }
    let process = Process(server.process());
    let mut quiet = 0;
    let mut before = process.processor_seconds()?;
    while quiet < if run.options.quick { 1 } else { REST_SECONDS } {
        if started.elapsed() > REST_MAX {
            bail!("the server is still merging {} s after the last event", REST_MAX.as_secs());
        }
        wait::rest(Duration::from_secs(1));
        let now = process.processor_seconds()?;
        quiet = if now - before < REST_SHARE { quiet + 1 } else { 0 };
        before = now;
        run.bar.tick();
    }
    Ok(started.elapsed().saturating_sub(Duration::from_secs(quiet as u64)))
}

/// What the events take on the disk.
pub(super) fn footprint(run: &Run) -> anyhow::Result<Value> {
    let events = run.acknowledged as f64;
    let (mut segments, mut columns, mut indexes) = (0, 0, 0);
    for path in machine::files_below(&run.data().join("segments"))? {
        let bytes = std::fs::metadata(&path)?.len();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            segments += 1;
            columns += bytes;
        } else {
            indexes += bytes;
        }
    }
    Ok(json!({
        "events": run.acknowledged,
        "segments": segments,
        "segment_bytes_per_event": columns as f64 / events,
        "index_bytes_per_event": indexes as f64 / events,
        "bytes_per_event": (columns + indexes) as f64 / events,
    }))
}
