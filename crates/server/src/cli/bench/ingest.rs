//! How fast the server takes events: in large batches, in small ones, and one by one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;

use super::super::client::{Client, log_path};
use super::super::human::{bytes, count, duration, rate};
use super::SEED;
use super::report::{Line, Reference, Report, quantile};
use super::server::Server;
use crate::bench::generate::Generator;

/// The log that is filled.
pub(super) const LOG: &str = "bench";

/// Events made before the clock starts, so that making them is not measured; about 47 MB.
const ROUND: u64 = 100_000;

/// How long single events are sent.
const SINGLE_TIME: Duration = Duration::from_secs(5);

const FLUSH_TIME_MAX: Duration = Duration::from_secs(120);

/// What there is to ask for.
pub(super) struct Asked {
    pub(super) events: u64,
    pub(super) heavy_user: String,
    pub(super) rare_user: String,
    pub(super) some_request: String,
}

/// How events are sent.
#[derive(Clone, Copy)]
struct Manner {
    per_batch: u64,
    connections: usize,
    what: &'static str,
    /// Events a second that are good, and those that are bad.
    reference: Reference,
    expected: &'static str,
}

const LARGE: Manner = Manner {
    per_batch: 1000,
    connections: 4,
    what: "1000 per batch, 4 connections",
    reference: Reference::AtLeast(100_000.0, 20_000.0),
    expected: "≥ 100,000 events/s",
};

const SMALL: Manner = Manner {
    per_batch: 100,
    connections: 4,
    what: "100 per batch, 4 connections",
    reference: Reference::AtLeast(30_000.0, 5_000.0),
    expected: "≥ 30,000 events/s",
};

const SINGLE: Manner = Manner {
    per_batch: 1,
    connections: 16,
    what: "one by one, 16 connections",
    reference: Reference::AtLeast(4_000.0, 500.0),
    expected: "≥ 4,000 events/s",
};

/// What sending has cost.
#[derive(Default)]
struct Cost {
    events: u64,
    took: Duration,
    latencies: Vec<f64>,
    processor_seconds: Option<f64>,
}

pub(super) async fn measure(server: &Server, events: u64, report: &mut Report) -> anyhow::Result<Asked> {
    report.part("Taking events");
    let small = (events / 10).clamp(1000, 100_000);
    let mut day = Generator::new(SEED, events + small);
    let mut asked = Asked {
        events: events + small,
        heavy_user: day.heavy_user().to_owned(),
        rare_user: day.rare_user().to_owned(),
        some_request: day.some_request().to_owned(),
    };
    in_batches(server, &mut day, LARGE, events).await?.report(LARGE, report);
    in_batches(server, &mut day, SMALL, small).await?.report(SMALL, report);
    let single = one_by_one(server).await?;
    asked.events += single.events;
    single.report(SINGLE, report);
    footprint(server, report).await?;
    Ok(asked)
}

async fn in_batches(server: &Server, day: &mut Generator, manner: Manner, events: u64) -> anyhow::Result<Cost> {
    let mut cost = Cost::default();
    let mut left = events;
    while left > 0 {
        let round = left.min(ROUND);
        left -= round;
        let mut bodies = Vec::new();
        let mut made = 0;
        while made < round {
            let mut body = Vec::new();
            let size = manner.per_batch.min(round - made);
            made += size;
            for _ in 0..size {
                day.next_line(&mut body);
            }
            bodies.push((size, body));
        }
        // From the end they are taken, in the order in which they were made.
        bodies.reverse();
        let bodies = Mutex::new(bodies);
        let next = || bodies.lock().unwrap_or_else(PoisonError::into_inner).pop();
        cost.add(send_all(server, manner.connections, &next).await?);
    }
    Ok(cost)
}

async fn one_by_one(server: &Server) -> anyhow::Result<Cost> {
    // Of another day, so that no id occurs twice.
    let day = Mutex::new(Generator::new(SEED + 1, 10_000_000));
    let started = Instant::now();
    let next = move || {
        let mut body = Vec::new();
        let mut day = day.lock().unwrap_or_else(PoisonError::into_inner);
        (started.elapsed() < SINGLE_TIME && day.next_line(&mut body)).then_some((1, body))
    };
    send_all(server, SINGLE.connections, &next).await
}

/// Sends what `next` gives until there is no more, over several connections at once.
async fn send_all(
    server: &Server,
    connections: usize,
    next: &(dyn Fn() -> Option<(u64, Vec<u8>)> + Sync),
) -> anyhow::Result<Cost> {
    let before = server.processor_seconds();
    let started = Instant::now();
    let parts = try_join_all((0..connections).map(|_| one_connection(&server.client, next))).await?;
    let took = started.elapsed();
    let used = server.processor_seconds().zip(before).map(|(after, before)| after - before);
    let mut cost = Cost { took, processor_seconds: used, ..Cost::default() };
    for (events, latencies) in parts {
        cost.events += events;
        cost.latencies.extend(latencies);
    }
    Ok(cost)
}

async fn one_connection(
    client: &Client,
    next: &(dyn Fn() -> Option<(u64, Vec<u8>)> + Sync),
) -> anyhow::Result<(u64, Vec<f64>)> {
    #[derive(Deserialize)]
    struct Receipt {
        accepted: u64,
    }
    let mut latencies = Vec::new();
    let mut events = 0;
    while let Some((size, body)) = next() {
        let before = Instant::now();
        loop {
            let request = client.post(&log_path(LOG, "/events"))?.header("content-type", "application/x-ndjson");
            match client.ask::<Receipt>(request.body(body.clone())).await {
                Ok(receipt) if receipt.accepted == size => break,
                Ok(receipt) => bail!("of {size} events the server took only {}", receipt.accepted),
                // Pressing back is part of what is measured.
                Err(error) => match error.downcast_ref().and_then(super::super::client::Failure::wait) {
                    Some(wait) if before.elapsed() < Duration::from_secs(60) => tokio::time::sleep(wait).await,
                    _ => return Err(error.context("the server did not take the events")),
                },
            }
        }
        latencies.push(before.elapsed().as_secs_f64());
        events += size;
    }
    Ok((events, latencies))
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.took += other.took;
        self.latencies.extend(other.latencies);
        self.processor_seconds = other.processor_seconds.map(|more| more + self.processor_seconds.unwrap_or(0.0));
    }

    fn report(mut self, manner: Manner, report: &mut Report) {
        let per_second = self.events as f64 / self.took.as_secs_f64().max(1e-6);
        report.line(Line {
            what: manner.what.to_owned(),
            value: per_second,
            shown: format!("{} events/s", rate(self.events, self.took)),
            reference: manner.reference,
            expected: manner.expected,
            warning: "slow: see the sync above, and what else runs on this machine",
        });
        let [p50, p99] =
            [0.5, 0.99].map(|share| duration(Duration::from_secs_f64(quantile(&mut self.latencies, share))));
        report.line(told("  acknowledged within, median and p99", format!("{p50}, {p99}")));
        if let Some(seconds) = self.processor_seconds {
            let micros = seconds * 1e6 / self.events.max(1) as f64;
            report.line(told("  processor time of the server per event", format!("{micros:.1} µs")));
        }
    }
}

fn told(what: &str, shown: String) -> Line {
    Line { what: what.to_owned(), value: 0.0, shown, reference: Reference::None, expected: "", warning: "" }
}

/// What the events take in memory and, once all are written out, on the disk.
async fn footprint(server: &Server, report: &mut Report) -> anyhow::Result<()> {
    let client = &server.client;
    // An older server without this door writes out by itself after a while.
    let _ = client.send(client.post("/api/v1/flush")?).await;
    let started = Instant::now();
    let log = loop {
        let logs: Vec<Value> = client.ask(client.get("/api/v1/logs")?).await?;
        let log = logs.into_iter().find(|log| log["name"] == LOG).context("the log of the measurement is gone")?;
        if log["buffered_events"].as_u64() == Some(0) || started.elapsed() > FLUSH_TIME_MAX {
            break log;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let (events, size) = (log["events"].as_u64().unwrap_or(0), log["bytes"].as_u64().unwrap_or(0));
    if let Some(peak) = server.memory_bytes_peak() {
        report.line(told("memory of the server, at most", bytes(peak)));
    }
    let each = size as f64 / events.max(1) as f64;
    report.line(Line {
        what: format!("on the disk per event, of {}", count(events)),
        value: each,
        shown: format!("{each:.0} B"),
        reference: Reference::AtMost(70.0, 140.0),
        expected: "≤ 70 B",
        warning: "more than these events should take",
    });
    Ok(())
}
