//! The occurrences of an issue, each with what led to it.

use event::shared::{FINGERPRINT, SYSTEM_USER};
use query::filter::{Comparison, Filter, Scalar, Test};
use query::{Cursor, Order, Request};
use serde_json::{Map, Value, json};
use store::Documents;

use super::IssueError;
use crate::mark::Known;
use crate::{AskError, Engine, select};

/// Events of a trail.
pub const TRAIL_MAX: usize = 50;

/// Occurrences on one page at the most.
const OCCURRENCES_MAX: usize = 100;

/// Occurrences of an issue.
#[derive(Clone, Debug, Default)]
pub struct Occurrences {
    /// The newest first.
    pub occurrences: Vec<Value>,
    /// How many of them are kept; issues count those too that are not.
    pub kept: u64,
    /// What to give as `cursor` for the next page.
    pub next: Option<String>,
}

impl Engine {
    /// The occurrences of an issue that are kept, the newest first, each with its trail if that is asked.
    ///
    /// # Errors
    /// When there is no such issue, or the question takes too long.
    pub fn occurrences(
        &self,
        id: &str,
        (limit, cursor): (usize, Option<&str>),
        with_trail: bool,
    ) -> Result<Occurrences, IssueError> {
        let found = self.found(id)?;
        let log = self.issue_log(id)?;
        let fingerprints: Vec<Scalar> = found.issue.fingerprints().map(Scalar::from).collect();
        if fingerprints.is_empty() {
            return Ok(Occurrences::default());
        }
        let request = Request {
            filter: Filter::field(FINGERPRINT, Test::Equal(fingerprints)),
            order: Order::Time { descending: true },
            offset: 0,
            limit: limit.clamp(1, OCCURRENCES_MAX),
            cursor: cursor.map(str::parse::<Cursor>).transpose().map_err(AskError::from)?,
            after_sequence: 0,
            total: true,
        };
        let asked = self.asked(&log, false)?;
        let page = query::scan(&asked.snapshot, &request, &self.bounds()).map_err(AskError::from)?;
        let mut writers: Vec<Documents<'_>> = page.batches.iter().map(Documents::new).collect();
        let mut occurrences = Vec::with_capacity(page.rows.len());
        for (batch, row, sequence) in &page.rows {
            let occurrence = Raised::of(&mut writers[*batch], *row, *sequence);
            let trail = if with_trail { self.trail(&log, &occurrence.before())? } else { Vec::new() };
            occurrences.push(occurrence.shown(with_trail.then_some(trail)));
        }
        Ok(Occurrences { occurrences, kept: page.total.unwrap_or(0), next: page.next.map(|next| next.to_string()) })
    }

    /// One error of a log with its trail, by its sequence number; nothing when it is not kept any more.
    ///
    /// # Errors
    /// When the log is not known, or the question takes too long.
    pub fn occurrence(&self, log: &str, sequence: u64) -> Result<Option<Value>, IssueError> {
        let asked = self.asked(log, false)?;
        let request = Request {
            filter: Filter::All,
            order: Order::Sequence,
            offset: 0,
            limit: 1,
            cursor: None,
            after_sequence: sequence.saturating_sub(1),
            total: false,
        };
        let page = query::scan(&asked.snapshot, &request, &self.bounds()).map_err(AskError::from)?;
        let Some((batch, row, _)) = page.rows.first().filter(|(_, _, found)| *found == sequence) else {
            return Ok(None);
        };
        let occurrence = Raised::of(&mut Documents::new(&page.batches[*batch]), *row, sequence);
        let trail = self.trail(log, &occurrence.before())?;
        Ok(Some(occurrence.shown(Some(trail))))
    }

    /// What made the fingerprint of an issue, read off its latest occurrence that is kept.
    ///
    /// # Errors
    /// When there is no such issue, or none of its occurrences is kept.
    pub fn explain_issue(&self, id: &str) -> Result<Value, IssueError> {
        let found = self.found(id)?;
        let log = self.issue_log(id)?;
        let asked = self.asked(&log, false)?;
        let mut explained = Vec::new();
        for fingerprint in found.issue.fingerprints() {
            let request = Request {
                filter: Filter::field(FINGERPRINT, Test::Equal(vec![fingerprint.into()])),
                order: Order::Time { descending: true },
                offset: 0,
                limit: 1,
                cursor: None,
                after_sequence: 0,
                total: false,
            };
            let page = query::scan(&asked.snapshot, &request, &self.bounds()).map_err(AskError::from)?;
            let Some((batch, row, _)) = page.rows.first() else {
                explained.push(json!({ "fingerprint": fingerprint, "explained": false,
                    "reason": "none of its occurrences is kept any more" }));
                continue;
            };
            let documents = Documents::new(&page.batches[*batch]);
            let Some(explanation) = Known::of(&documents, *row).explain() else { continue };
            let is_same = explanation.fingerprint == fingerprint;
            let mut shown = serde_json::to_value(&explanation).unwrap_or_default();
            shown["fingerprint"] = fingerprint.into();
            shown["explained"] = true.into();
            shown["event"] = documents.text("id", *row).into();
            if !is_same {
                // It was made by an earlier version, or of keys that are not kept as they came.
                shown["would_be"] = explanation.fingerprint.into();
            }
            explained.push(shown);
        }
        Ok(json!({ "issue": found.issue.id, "title": found.issue.title(), "fingerprints": explained }))
    }

    /// The last events before an error of the same request, session or user, the oldest first.
    pub(crate) fn trail(&self, log: &str, error: &Before<'_>) -> Result<Vec<Value>, IssueError> {
        let mut same = Vec::new();
        for (key, value) in [("request_id", error.request_id), ("session", error.session), ("user", error.user)] {
            if let Some(value) = value {
                same.push(Filter::field(key, Test::Equal(vec![value.into()])));
            }
        }
        if same.is_empty() {
            return Ok(Vec::new());
        }
        let until = Scalar::from(error.timestamp);
        let before = Filter::field("timestamp", Test::Compare(Comparison::LessOrEqual, until));
        let request = Request {
            filter: Filter::and([Filter::or(same), before]),
            order: Order::Time { descending: true },
            offset: 0,
            limit: TRAIL_MAX + 10,
            cursor: None,
            after_sequence: 0,
            total: false,
        };
        let asked = self.asked(log, false)?;
        let page = query::scan(&asked.snapshot, &request, &self.bounds()).map_err(AskError::from)?;
        let mut writers: Vec<Documents<'_>> =
            page.batches.iter().map(|batch| Documents::of_keys(batch, &STEP_KEYS)).collect();
        let mut steps = Vec::new();
        for (batch, row, sequence) in &page.rows {
            // What came with it or after it led to nothing.
            let is_before =
                (writers[*batch].moment(*row).to_string(), *sequence) < (error.timestamp.to_owned(), error.sequence);
            if !is_before || steps.len() >= TRAIL_MAX {
                continue;
            }
            let mut text = Vec::with_capacity(512);
            writers[*batch].write(*row, &mut text);
            steps.push(step(serde_json::from_slice(&text).unwrap_or_default()));
        }
        steps.reverse();
        Ok(steps)
    }
}

/// An error, as far as is needed to find what led to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before<'a> {
    pub(crate) sequence: u64,
    pub(crate) timestamp: &'a str,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
}

/// What a step of a trail shows.
const STEP_KEYS: [&str; 18] = [
    "id",
    "stream",
    "level",
    "event",
    "message",
    "source",
    "logger",
    "user",
    "request_id",
    "session",
    "method",
    "url",
    "path",
    "status",
    "code",
    "duration_ms",
    "exception.type",
    "exception.message",
];

fn step(event: Value) -> Value {
    match event {
        Value::Object(mut step) => {
            step.remove("received");
            step.retain(|_, value| !value.is_null() && *value != json!(""));
            Value::Object(step)
        }
        other => other,
    }
}

/// One occurrence, as it is read.
#[derive(Debug)]
pub(super) struct Raised {
    sequence: u64,
    pub(super) timestamp: String,
    pub(super) user: Option<String>,
    request_id: Option<String>,
    session: Option<String>,
    /// The shared columns, whatever was sent under their names.
    columns: Map<String, Value>,
    event: Value,
}

/// Columns that an occurrence shows, and under which names.
const COLUMNS: [(&str, &str); 20] = [
    ("id", "id"),
    ("level", "level"),
    ("event", "event"),
    ("message", "message"),
    ("source", "source"),
    ("logger", "logger"),
    ("user", "user"),
    ("request_id", "request_id"),
    ("trace_id", "trace_id"),
    ("span_id", "span_id"),
    ("session", "session"),
    ("method", "method"),
    ("url", "url"),
    ("path", "path"),
    ("ip", "ip"),
    ("release", "release"),
    ("environment", "environment"),
    ("service", "service"),
    ("host", "host"),
    ("user_agent", "user_agent"),
];

impl Raised {
    /// By what the events that led to it are found.
    fn before(&self) -> Before<'_> {
        Before {
            sequence: self.sequence,
            timestamp: &self.timestamp,
            request_id: self.request_id.as_deref(),
            session: self.session.as_deref(),
            user: self.user.as_deref(),
        }
    }

    fn of(documents: &mut Documents<'_>, row: usize, sequence: u64) -> Self {
        let text = |key: &str| documents.text(key, row).filter(|text| !text.is_empty());
        let mut columns = Map::new();
        for (key, name) in COLUMNS {
            if let Some(value) = text(key) {
                columns.insert(name.to_owned(), value.into());
            }
        }
        if let Some(status) = text("status").and_then(|status| status.parse::<u16>().ok()) {
            columns.insert("status".to_owned(), status.into());
        }
        for (key, name) in [("client.name", "browser"), ("client.os", "os"), ("client.kind", "client_kind")] {
            if let Some(value) = text(key) {
                columns.insert(name.to_owned(), value.into());
            }
        }
        let mut exception = Map::new();
        for (key, name) in [("exception.type", "type"), ("exception.message", "message")] {
            exception.extend(text(key).map(|value| (name.to_owned(), Value::from(value))));
        }
        for (key, name) in [("exception.chain", "chain"), ("exception.frames", "frames")] {
            let list = documents.list(key, row).and_then(|list| serde_json::from_str(&list).ok());
            exception.extend(list.map(|list| (name.to_owned(), list)));
        }
        let (user, request_id, session) =
            (text("user").filter(|user| user != SYSTEM_USER), text("request_id"), text("session"));
        let timestamp = documents.moment(row).to_string();
        let mut written = Vec::with_capacity(2048);
        documents.write(row, &mut written);
        let event: Value = serde_json::from_slice(&written).unwrap_or_default();
        if let Some(chain) = exception.get_mut("chain").and_then(Value::as_array_mut) {
            intake::causes::add_frames(chain, &event);
        }
        if let Some(handled) = select::find(&event, "exception.handled") {
            exception.insert("handled".to_owned(), handled.clone());
        }
        if !exception.is_empty() {
            columns.insert("exception".to_owned(), Value::Object(exception));
        }
        Self { sequence, timestamp, user, request_id, session, columns, event }
    }

    /// The occurrence with its trail.
    pub(super) fn shown(&self, trail: Option<Vec<Value>>) -> Value {
        let mut shown = self.columns.clone();
        shown.insert("timestamp".to_owned(), self.timestamp.as_str().into());
        if let Some(user) = &self.user {
            shown.insert("person".to_owned(), json!({ "id": user }));
        }
        let request = ["sentry.request", "rollbar.request", "request"].iter();
        let request = request.filter_map(|path| select::find(&self.event, path)).find(|request| request.is_object());
        if let Some(request) = request {
            shown.insert("request".to_owned(), request.clone());
        }
        let sent = crumbs(&self.event);
        let crumbs = if sent.is_empty() { trail.iter().flatten().map(crumb).collect() } else { sent };
        if !crumbs.is_empty() {
            shown.insert("breadcrumbs".to_owned(), Value::Array(crumbs));
        }
        if let Some(trail) = trail {
            shown.insert("trail".to_owned(), Value::Array(trail));
        }
        shown.insert("event_document".to_owned(), self.event.clone());
        Value::Object(shown)
    }
}

/// The breadcrumbs that a client sent.
fn crumbs(event: &Value) -> Vec<Value> {
    let paths = ["sentry.breadcrumbs.values", "sentry.breadcrumbs", "rollbar.body.telemetry", "breadcrumbs"];
    let list = paths.iter().find_map(|path| select::find(event, path).and_then(Value::as_array));
    list.cloned().unwrap_or_default()
}

/// A step of the trail as a breadcrumb.
fn crumb(step: &Value) -> Value {
    let text = |key: &str| step.get(key).and_then(Value::as_str);
    let said = text("message").or_else(|| text("event")).map(str::to_owned);
    let request = || Some(format!("{} {}", text("method")?, text("url").or_else(|| text("path"))?));
    json!({
        "timestamp": step.get("timestamp"),
        "category": text("event").or_else(|| text("stream")),
        "level": text("level"),
        "message": said.or_else(request),
        "event": step.get("id"),
    })
}
