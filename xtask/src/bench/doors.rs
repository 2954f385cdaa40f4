//! How fast the doors of other protocols are, beside our own: the same events, said in each protocol, in one run.

use bench::{Batches, Door, Generator, Protocol, Sent, send};
use serde_json::{Value, json};

use super::ingest::latencies_ms;
use super::machine::Process;
use super::report::{count, milliseconds, table};
use super::{Run, post};
use crate::http::{Connection, Request};
use crate::options::refuse;
use crate::sentry::Envelopes;
use crate::server::{Server, Workplace};

mod otlp;

const PER_BATCH: u64 = 1000;
const CONNECTIONS: usize = 4;
const EVENTS: u64 = 1_000_000;
const EVENTS_QUICK: u64 = 2_000;
/// Errors of 20 kB, each in an envelope of its own, as clients send them.
const ERRORS: u64 = 30_000;
const ERRORS_QUICK: u64 = 50;
const ERROR_CONNECTIONS: usize = 16;
/// How often each is measured, in turns: the machine is not equally fast all the time.
const ROUNDS: usize = 3;

struct Case {
    name: &'static str,
    path: &'static str,
    protocol: Protocol,
    connections: usize,
    bodies: fn(&Run) -> Batches,
}

const CASES: [Case; 4] = [
    Case {
        name: "native",
        path: "/api/v1/logs/default/events",
        protocol: Protocol::Native,
        connections: CONNECTIONS,
        bodies: native,
    },
    Case {
        name: "elasticsearch _bulk",
        path: "/es/default/_bulk",
        protocol: Protocol::Bulk,
        connections: CONNECTIONS,
        bodies: |run| rewritten(run, bulk),
    },
    Case {
        name: "otlp logs",
        path: "/v1/logs",
        protocol: Protocol::Otlp,
        connections: CONNECTIONS,
        bodies: |run| rewritten(run, otlp::request),
    },
    Case {
        name: "sentry, 20 kB",
        path: "/api/1/envelope/",
        protocol: Protocol::Sentry,
        connections: ERROR_CONNECTIONS,
        bodies: errors,
    },
];

fn native(run: &Run) -> Batches {
    let events = if run.options.quick { EVENTS_QUICK } else { EVENTS };
    Batches::make(&mut Generator::new(run.options.seed + 200, events), events, PER_BATCH)
}

fn errors(run: &Run) -> Batches {
    let (mut bodies, envelopes) = (Batches::default(), Envelopes::new());
    for number in 0..if run.options.quick { ERRORS_QUICK } else { ERRORS } {
        bodies.push(envelopes.of(number).as_bytes(), 1);
    }
    bodies
}

fn rewritten(run: &Run, rewrite: fn(&[u8]) -> Vec<u8>) -> Batches {
    let mut bodies = Batches::default();
    for (body, events) in native(run).bodies() {
        bodies.push(&rewrite(body), events);
    }
    bodies
}

/// Lines as documents of `_bulk`.
fn bulk(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() * 5 / 4);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(b"{\"index\":{\"_index\":\"default\"}}\n");
        out.extend_from_slice(line);
    }
    out
}

/// Sends the events through each door, to a server and a folder of its own each time.
pub(super) fn measure(run: &Run) -> anyhow::Result<Value> {
    let mut found: Vec<Vec<(Sent, f64)>> = CASES.iter().map(|_| Vec::new()).collect();
    for round in 0..if run.options.quick { 1 } else { ROUNDS } {
        for (case, found) in CASES.iter().zip(&mut found) {
            run.bar.set_message(format!("{}, round {}", case.name, round + 1));
            run.bar.tick();
            let bodies = (case.bodies)(run);
            let workplace = Workplace::at(run.workplace.folder().join("doors"), run.workplace.binary().to_owned())?;
            let server = workplace.start()?;
            run.settle(case.name)?;
            found.push(one(case, &bodies, &server, &workplace.token()?)?);
            drop(server);
            workplace.clear()?;
        }
    }
    let native = median(&found[0], Sent::per_second);
    let rows = CASES.iter().zip(&found).map(|(case, found)| {
        let per_second = median(found, Sent::per_second);
        let mut micros: Vec<f64> = found.iter().map(|(sent, seconds)| seconds * 1e6 / sent.events as f64).collect();
        micros.sort_unstable_by(f64::total_cmp);
        let latencies = [0, 1].map(|place| median(found, |sent| latencies_ms(sent)[place]));
        json!({
            "door": case.name,
            "events_per_s": per_second,
            "of_native": per_second / native,
            "connections": case.connections,
            "server_cpu_us": micros[micros.len() / 2],
            "bytes_per_event": found[0].0.bytes as f64 / found[0].0.events as f64,
            "p50_ms": latencies[0],
            "p99_ms": latencies[1],
        })
    });
    Ok(json!({ "rows": rows.collect::<Vec<_>>() }))
}

fn median(found: &[(Sent, f64)], of: impl Fn(&Sent) -> f64) -> f64 {
    let mut values: Vec<f64> = found.iter().map(|(sent, _)| of(sent)).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// What sending was like, and the seconds of processor time that it took the server.
fn one(case: &Case, bodies: &Batches, server: &Server, token: &str) -> anyhow::Result<(Sent, f64)> {
    let process = Process(server.process());
    let before = process.processor_seconds()?;
    let door = Door { address: server.address(), path: case.path, token: Some(token), protocol: case.protocol };
    let sent = send(door, case.connections, bodies)?;
    let seconds = process.processor_seconds()? - before;
    let body = br#"{"sql":"SELECT count(*) AS n FROM \"default\""}"#;
    let answer = Connection::open(server.address())?.ask(Request { body, ..post("/api/v1/query", token) })?;
    let count: Value = serde_json::from_slice(&answer.body)?;
    if count["rows"][0]["n"].as_u64() != Some(sent.events) {
        return Err(refuse(&format!("{}: {} events were sent: {}", case.name, sent.events, answer.excerpt())));
    }
    Ok((sent, seconds))
}

/// As a table on the terminal.
pub(super) fn print(doors: &Value) {
    let Some(rows) = doors["rows"].as_array() else { return };
    let head = ["door", "events/s", "of native", "bytes", "CPU/event", "p50", "p99"];
    let row = |row: &Value| {
        vec![
            row["door"].as_str().unwrap_or_default().to_owned(),
            count(&row["events_per_s"]),
            format!("{:.0} %", row["of_native"].as_f64().unwrap_or(0.0) * 100.0),
            count(&row["bytes_per_event"]),
            format!("{:.1} µs", row["server_cpu_us"].as_f64().unwrap_or(0.0)),
            milliseconds(&row["p50_ms"]),
            milliseconds(&row["p99_ms"]),
        ]
    };
    table("Doors", &head, &rows.iter().map(row).collect::<Vec<_>>());
}
