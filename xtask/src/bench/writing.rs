//! The questions while events come in at a steady rate, and what the questions do to the acknowledgements.

use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use bench::{Door, Generator, Protocol, Sent, Steady, send};
use serde_json::{Value, json};

use super::ingest::latencies_ms;
use super::questions::{self, LOG};
use super::{Run, median_ms, warm};
use crate::http::Connection;
use crate::server::Server;
use crate::wait;

const PER_SECOND: u64 = 50_000;
const PER_BATCH: u64 = 100;
const CONNECTIONS: usize = 8;
const RUNS: usize = 5;
/// How long is written without a question, and at least with them.
const TIME: Duration = Duration::from_secs(15);
const TIME_QUICK: Duration = Duration::from_millis(500);

/// A day at this rate.
const DAY_EVENTS: u64 = PER_SECOND * 86_400;

/// Measures the acknowledgements alone, then with questions; the events are those of later days in the same log.
pub(super) fn measure(run: &mut Run, server: &Server) -> anyhow::Result<Value> {
    let time = if run.options.quick { TIME_QUICK } else { TIME };
    let was_idle = run.settle("writing")?;
    run.bar.set_message("writing");
    let (alone, ()) = write(run, server, 1, || {
        wait::rest(time);
        Ok(())
    })?;
    run.settle("writing, with questions")?;
    let token = run.workplace.token()?;
    let runs = if run.options.quick { 1 } else { RUNS };
    let (with, rows) = write(run, server, 2, || {
        let mut connection = Connection::open(server.address())?;
        let mut rows = Vec::new();
        for question in questions::all(&run.day).iter().filter(|question| question.counts) {
            run.bar.set_message(format!("writing, question {}", question.name));
            let (_, answer) = question.ask(&mut connection, &token)?;
            question.check_grown(&answer, &run.day)?;
            let mut took = Vec::new();
            for _ in 0..runs {
                took.push(question.ask(&mut connection, &token)?.0);
            }
            rows.push(json!({ "name": question.name, "counts": true, "ms": median_ms(took) }));
        }
        Ok(rows)
    })?;
    run.acknowledged += alone.events + with.events;
    let found = run.count(server)?;
    if found != run.acknowledged {
        bail!("{} events were acknowledged, and {found} are there", run.acknowledged);
    }
    let [before, after] = [&alone, &with].map(|sent| latencies_ms(sent)[1]);
    Ok(json!({
        "machine_was_idle": was_idle,
        "per_second": PER_SECOND,
        "per_batch": PER_BATCH,
        "connections": CONNECTIONS,
        "alone": acknowledgements(&alone),
        "with_questions": acknowledgements(&with),
        "p99_ratio": after / before.max(1e-3),
        "mean_ms": warm::means(&rows, "ms").context("no figures")?,
        "questions": rows,
    }))
}

/// Writes as long as `work` takes.
fn write<T>(
    run: &Run,
    server: &Server,
    days_later: u64,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(Sent, T)> {
    let day = Generator::new(run.options.seed + days_later, DAY_EVENTS).days_later(days_later);
    let path = format!("/api/v1/logs/{LOG}/events");
    let door = Door { address: server.address(), path: &path, token: None, protocol: Protocol::Native };
    let steady = Steady::new(day, PER_SECOND, PER_BATCH);
    let (sent, found) = thread::scope(|scope| {
        let sending = scope.spawn(|| send(door, CONNECTIONS, &steady));
        let found = work();
        steady.stop();
        (sending.join(), found)
    });
    let sent = sent.map_err(|_| crate::options::refuse("the senders panicked"))??;
    Ok((sent, found?))
}

fn acknowledgements(sent: &Sent) -> Value {
    let [p50, p99, p999] = latencies_ms(sent);
    json!({ "events_per_s": sent.per_second(), "p50_ms": p50, "p99_ms": p99, "p999_ms": p999 })
}
