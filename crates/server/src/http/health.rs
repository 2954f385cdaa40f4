//! Is it well, can it take more, what did it do.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{ForwardInfo, Reason, WriteError};
use event::Timestamp;
use serde_json::json;

use super::problem::Problem;
use super::{Doors, auth};

/// `/healthz`: the process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "healthz", summary = "The process answers",
    responses((status = 200, description = "It is up", body = serde_json::Value)))]
pub(crate) async fn healthz() -> Response {
    std::future::ready(Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })).into_response()).await
}

/// `/readyz`: 200 while events are taken, else 503 and why.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readyz", summary = "Events are taken",
    responses((status = 200, description = "They are", body = serde_json::Value), (status = 503, description = "They are not, and why", body = serde_json::Value)))]
pub(crate) async fn readyz(State(doors): State<Doors>) -> Response {
    let vitals = std::future::ready(doors.engine.vitals()).await;
    let trouble = match vitals.poisoned {
        Some(reason) => Some(format!("nothing is taken until a restart, after a failed disk write: {reason}")),
        None if doors.engine.is_disk_full() => {
            Some("the disk is full: writing resumes by itself when there is room".to_owned())
        }
        None if *doors.stopping.borrow() => Some("the server is stopping".to_owned()),
        None => None,
    };
    match trouble {
        None => Json(json!({ "status": "ready" })).into_response(),
        Some(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "reason": reason }))).into_response()
        }
    }
}

/// The doors of everyday use.
pub(super) const DOORS: &str = "\
POST /api/v1/logs/{log}/events   send events: a JSON object, an array, or one object a line
POST /api/v1/logs/{log}/entries  the call of API Logger: {\"stream\", \"location\", \"message\", …}
GET  /api/v1/logs/{log}/events   ask: ?user=alice&status>=500&_sort=-timestamp&_limit=100
GET  /api/v1/logs/{log}/values   what values a key has, for forms
GET  /api/v1/logs/{log}/tail     watch them come in (server-sent events)
GET  /api/v1/users/{user}/events one person's events in all logs
GET  /api/v1/streams             the streams and their labels
POST /api/v1/query               {\"sql\": \"SELECT …\"} or {\"search\": \"level:error timeout\", \"log\": \"default\"}
GET  /api/v1/logs/{log}/issues   errors that are one problem; /api/v1/issues/{id} one of them, with /occurrences, /explain, /report
PUT  /api/v1/channels/{name}     who is called when something breaks: {\"kind\": \"slack\", \"url\": …}
GET  /api/v1/logs                what there is
GET  /openapi.json               all of them, described
GET  /healthz /readyz /metrics
";

/// `/`: where to go from here; for a browser a page with the logs.
#[utoipa::path(get, path = "/", tag = "health", operation_id = "home", summary = "Where to go from here",
    responses((status = 200, description = "A list of doors; for a browser a page with the logs",
        content((String = "text/plain"), (String = "text/html")))))]
pub(crate) async fn home(State(doors): State<Doors>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if super::page::is_wanted(&parts) {
        return super::page::home(&doors, &parts).await;
    }
    let text = format!("Everlog {}\n\n{DOORS}", env!("CARGO_PKG_VERSION"));
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// `/metrics`: in the text format of Prometheus.
///
/// It names the logs, so from another machine it takes a token, whatever that is good for.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics", summary = "Counters for Prometheus",
    responses((status = 200, description = "The text format of Prometheus", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    auth::grant(&doors, &parts)?;
    let engine = doors.engine.clone();
    let text = tokio::task::spawn_blocking(move || render(&engine)).await.unwrap_or_default();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

type Forwarded = (&'static str, &'static str, &'static str, fn(&ForwardInfo, Timestamp) -> u64);

/// What is told of each target that events are forwarded to.
const FORWARDED: [Forwarded; 6] = [
    ("everlog_forward_delivered_total", "Events that the target has.", "counter", |forward, _| forward.delivered),
    ("everlog_forward_refused_total", "Events that the target refused for good.", "counter", |forward, _| {
        forward.refused
    }),
    (
        "everlog_forward_missed_total",
        "Events that were removed before the target got them.",
        "counter",
        |forward, _| forward.missed,
    ),
    ("everlog_forward_failures_total", "Attempts that failed.", "counter", |forward, _| forward.failures),
    ("everlog_forward_behind_events", "Events of the log that are still to be looked at.", "gauge", |forward, _| {
        forward.behind
    }),
    ("everlog_forward_behind_seconds", "How long the first of them waits.", "gauge", |forward, now| {
        super::forward::seconds_behind(forward, now)
    }),
];

fn render(engine: &engine::Engine) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        let written = writeln!(out, "{text}");
        debug_assert!(written.is_ok(), "writing into memory cannot fail");
    };
    let names = engine.log_numbers();
    let mut counts = engine.counters().all();
    // What a log counted goes with it.
    counts.retain(|log, _| names.contains_key(log));
    let name = |log: &engine::LogId| names.get(log).cloned().unwrap_or_default();
    line(format_args!(
        "# HELP everlog_events_received_total Items that came in: accepted + refused + waiting.\n# TYPE everlog_events_received_total counter"
    ));
    for (log, counts) in &counts {
        line(format_args!("everlog_events_received_total{{log=\"{}\"}} {}", name(log), counts.received));
    }
    line(format_args!(
        "# HELP everlog_events_accepted_total Items acknowledged.\n# TYPE everlog_events_accepted_total counter"
    ));
    for (log, counts) in &counts {
        line(format_args!("everlog_events_accepted_total{{log=\"{}\"}} {}", name(log), counts.accepted));
    }
    line(format_args!(
        "# HELP everlog_events_duplicate_total Acknowledged items that were there already.\n# TYPE everlog_events_duplicate_total counter"
    ));
    for (log, counts) in &counts {
        line(format_args!("everlog_events_duplicate_total{{log=\"{}\"}} {}", name(log), counts.duplicates));
    }
    line(format_args!(
        "# HELP everlog_events_refused_total Items not kept, by reason.\n# TYPE everlog_events_refused_total counter"
    ));
    for (log, counts) in &counts {
        for reason in Reason::NAMES.iter().chain(&WriteError::NAMES) {
            let refused = counts.refused.get(reason).copied().unwrap_or(0);
            line(format_args!("everlog_events_refused_total{{log=\"{}\",reason=\"{reason}\"}} {refused}", name(log)));
        }
    }
    line(format_args!(
        "# HELP everlog_redacted_total Values replaced by a mark, by the name of the rule.\n# TYPE everlog_redacted_total counter"
    ));
    for (log, counts) in &counts {
        for (key, values) in &counts.redacted {
            let key = key.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            line(format_args!("everlog_redacted_total{{log=\"{}\",key=\"{key}\"}} {values}", name(log)));
        }
    }
    let vitals = engine.vitals();
    let gauges: [(&str, &str, u64); 10] = [
        ("everlog_buffer_bytes", "Bytes of events in memory that are in no segment yet.", vitals.buffer_bytes as u64),
        ("everlog_last_sequence", "Sequence number of the last event stored.", vitals.last_sequence),
        ("everlog_segments", "Live segments.", vitals.segments as u64),
        ("everlog_segment_bytes", "Bytes of live segments and their sidecars.", vitals.segment_bytes),
        ("everlog_attachment_bytes", "Bytes of the files that came with events.", vitals.attachment_bytes),
        ("everlog_archived_segments", "Segments in the archive.", vitals.archived_segments as u64),
        ("everlog_archived_bytes", "Bytes in the archive.", vitals.archived_bytes),
        ("everlog_damaged_row_groups", "Row groups and sidecars found damaged.", vitals.damaged as u64),
        ("everlog_disk_free_bytes", "Bytes left on the disk of the data directory.", vitals.free_bytes),
        ("everlog_journal_poisoned", "1 when nothing is taken until a restart.", u64::from(vitals.poisoned.is_some())),
    ];
    for (name, help, value) in gauges {
        line(format_args!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}"));
    }
    let failures = vitals.archive_failures;
    line(format_args!(
        "# HELP everlog_archive_failures_total Rounds of the archiver that failed.\n# TYPE everlog_archive_failures_total counter\neverlog_archive_failures_total {failures}"
    ));
    forwarded(engine, &mut out);
    out
}

/// How far the targets are that events are forwarded to.
fn forwarded(engine: &engine::Engine, out: &mut String) {
    let (forwards, now) = (engine.forwards(), engine.now());
    if forwards.is_empty() {
        return;
    }
    for (name, help, kind, value) in FORWARDED {
        let mut text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for forward in &forwards {
            let (target, log) = (&forward.settings.name, &forward.settings.log);
            let written = writeln!(text, "{name}{{forward=\"{target}\",log=\"{log}\"}} {}", value(forward, now));
            debug_assert!(written.is_ok(), "writing into memory cannot fail");
        }
        out.push_str(&text);
    }
}
