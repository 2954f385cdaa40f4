//! How fast the server takes events: in large batches, in small ones, and one by one.

use std::time::{Duration, Instant};

use ::bench::{Batches, Door, Generator, Sent, Source};
use anyhow::Context as _;
use serde_json::Value;

use super::super::client::log_path;
use super::super::human::{bytes, count, duration, rate};
use super::SEED;
use super::report::{Line, Reference, Report};
use super::server::Server;

/// The log that is filled.
pub(super) const LOG: &str = "bench";

/// Events made before the clock starts, so that making them is not measured; about 47 MB.
const ROUND: u64 = 100_000;

/// How long single events are sent.
const SINGLE_TIME: Duration = Duration::from_secs(5);
/// And how many of them at most; about 240 MB.
const SINGLE_MAX: u64 = 500_000;

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
    sent: Sent,
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
    asked.events += single.sent.events;
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
        cost.add(send_all(server, manner, Batches::make(day, round, manner.per_batch)).await?);
    }
    Ok(cost)
}

async fn one_by_one(server: &Server) -> anyhow::Result<Cost> {
    // Of another day, so that no id occurs twice.
    let batches = Batches::make(&mut Generator::new(SEED + 1, 10_000_000), SINGLE_MAX, 1);
    send_all(server, SINGLE, For { batches, started: Instant::now(), at_most: SINGLE_TIME }).await
}

/// What is sent as long as there is time.
struct For {
    batches: Batches,
    started: Instant,
    at_most: Duration,
}

impl Source for For {
    fn next<'a>(&'a self, room: &'a mut Vec<u8>) -> Option<(&'a [u8], u64)> {
        (self.started.elapsed() < self.at_most).then(|| self.batches.next(room))?
    }
}

/// Sends what there is until there is no more, over several connections at once.
async fn send_all(server: &Server, manner: Manner, source: impl Source + 'static + Send) -> anyhow::Result<Cost> {
    let before = server.processor_seconds();
    let address = server.address.clone();
    let path = log_path(LOG, "/events");
    let sending = tokio::task::spawn_blocking(move || {
        // Whoever is on the same machine needs no token.
        ::bench::send(
            Door { address: &address, path: &path, token: None, protocol: ::bench::Protocol::Native },
            manner.connections,
            &source,
        )
    });
    let sent = sending.await?.context("the server did not take the events")?;
    let processor_seconds = server.processor_seconds().zip(before).map(|(after, before)| after - before);
    Ok(Cost { sent, processor_seconds })
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.sent.add(other.sent);
        self.processor_seconds = other.processor_seconds.map(|more| more + self.processor_seconds.unwrap_or(0.0));
    }

    fn report(self, manner: Manner, report: &mut Report) {
        let sent = &self.sent;
        report.line(Line {
            what: manner.what.to_owned(),
            value: sent.per_second(),
            shown: format!("{} events/s", rate(sent.events, sent.took)),
            reference: manner.reference,
            expected: manner.expected,
            warning: "slow: see the sync above, and what else runs on this machine",
        });
        let [p50, p99] = [0.5, 0.99].map(|share| duration(sent.within(share)));
        report.line(told("  acknowledged within, median and p99", format!("{p50}, {p99}")));
        if let Some(seconds) = self.processor_seconds {
            let micros = seconds * 1e6 / sent.events.max(1) as f64;
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
