//! The other items of Sentry's SDKs: spans, logs, metrics, sessions, check-ins and reports.

use std::borrow::Cow;

use super::event::trace;
use crate::decode::{Reason, each_member};
use crate::raw::{
    Shared, elements, member, members, moment, ms_between, number, pick, quoted, seconds_as_ms, status, text,
};

/// Keys that the spans of a transaction share with it.
pub(super) const INHERITED: &[&str] =
    &["trace_id", "user", "release", "environment", "host", "request_id", "ip", "user_agent"];

/// A span within a transaction.
pub(super) fn span(span: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    let [trace_id, span_id, op, description, start, end, data] =
        pick(Some(span), ["trace_id", "span_id", "op", "description", "start_timestamp", "timestamp", "data"]);
    let (start, end) = (moment(start), moment(end));
    keys.text("event", Some("span".into()));
    keys.text("stream", Some("SPAN".into()));
    keys.hex("trace_id", text(trace_id));
    keys.hex("span_id", text(span_id));
    keys.text("message", text(description).or_else(|| text(op)));
    keys.moment(start.or(end));
    keys.value("duration_ms", ms_between(start, end));
    keys.value("status", status(member(data, "http.response.status_code")));
    keys
}

/// A span of a container. `item` has its attributes unpacked.
pub(super) fn span_v2(item: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    let [name, trace_id, span_id, start, end, attributes] =
        pick(Some(item), ["name", "trace_id", "span_id", "start_timestamp", "end_timestamp", "attributes"]);
    let (start, end) = (moment(start), moment(end));
    keys.text("event", Some("span".into()));
    keys.text("stream", Some("SPAN".into()));
    keys.hex("trace_id", text(trace_id));
    keys.hex("span_id", text(span_id));
    keys.text("message", text(name));
    keys.moment(start.or(end));
    keys.value("duration_ms", ms_between(start, end));
    keys.text("host", text(member(attributes, "host.name")));
    self::attributes(&mut keys, attributes);
    keys
}

/// A log record.
pub(super) fn log(item: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    let [timestamp, level, body, trace_id, span_id, attributes] =
        pick(Some(item), ["timestamp", "level", "body", "trace_id", "span_id", "attributes"]);
    keys.text("event", Some("log".into()));
    keys.level(text(level));
    keys.text("message", text(body));
    keys.moment(moment(timestamp));
    keys.hex("trace_id", text(trace_id));
    keys.hex("span_id", text(span_id));
    keys.hex("span_id", text(member(attributes, "sentry.trace.parent_span_id")));
    keys.text("host", text(member(attributes, "server.address")));
    self::attributes(&mut keys, attributes);
    keys
}

/// One measurement.
pub(super) fn metric(item: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    let [timestamp, name, trace_id, span_id, attributes] =
        pick(Some(item), ["timestamp", "name", "trace_id", "span_id", "attributes"]);
    keys.text("event", Some("metric".into()));
    keys.text("message", text(name));
    keys.moment(moment(timestamp));
    keys.hex("trace_id", text(trace_id));
    keys.hex("span_id", text(span_id));
    keys.text("host", text(member(attributes, "server.address")));
    self::attributes(&mut keys, attributes);
    keys
}

/// Attributes of spans, logs and metrics, under the names of OpenTelemetry.
fn attributes<'a>(keys: &mut Shared<'a>, attributes: Option<&'a str>) {
    let [id, name, email, ip, client, agent] = pick(
        attributes,
        ["user.id", "user.name", "user.email", "user.ip_address", "client.address", "user_agent.original"],
    );
    for user in [id, name, email] {
        keys.text("user", text(user));
    }
    keys.text("ip", text(ip).or_else(|| text(client)));
    keys.text("user_agent", text(agent));
    let [release, environment, logger, service] =
        pick(attributes, ["sentry.release", "sentry.environment", "logger.name", "service.name"]);
    keys.text("release", text(release));
    keys.text("environment", text(environment));
    keys.text("logger", text(logger));
    keys.text("service", text(service));
    let [method, url, path, code, request_id, header] = pick(
        attributes,
        [
            "http.request.method",
            "url.full",
            "url.path",
            "http.response.status_code",
            "request_id",
            "http.request.header.x-request-id",
        ],
    );
    keys.text("method", text(method));
    keys.url(text(url));
    keys.text("path", text(path));
    keys.value("status", status(code));
    keys.text("request_id", text(request_id).or_else(|| text(header)).or_else(|| text(elements(header).next())));
}

/// A session, sent again whenever something about it changed.
pub(super) fn session(payload: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    let [sid, did, timestamp, started, status, duration, attrs] =
        pick(Some(payload), ["sid", "did", "timestamp", "started", "status", "duration", "attrs"]);
    keys.text("event", Some("session".into()));
    keys.text("session", text(sid));
    keys.text("user", text(did));
    keys.text("message", text(status));
    keys.moment(moment(timestamp).or_else(|| moment(started)));
    keys.value("duration_ms", seconds_as_ms(duration));
    session_attributes(&mut keys, attrs);
    keys
}

/// How many sessions there were in some minutes.
pub(super) fn sessions(payload: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    let [attrs, aggregates] = pick(Some(payload), ["attrs", "aggregates"]);
    keys.text("event", Some("sessions".into()));
    keys.moment(moment(member(elements(aggregates).next(), "started")));
    session_attributes(&mut keys, attrs);
    keys
}

fn session_attributes<'a>(keys: &mut Shared<'a>, attrs: Option<&'a str>) {
    let [release, environment, ip, agent] = pick(attrs, ["release", "environment", "ip_address", "user_agent"]);
    keys.text("release", text(release));
    keys.text("environment", text(environment));
    keys.text("ip", text(ip).filter(|ip| !ip.starts_with('{')));
    keys.text("user_agent", text(agent));
}

/// A scheduled job that begins or ends.
pub(super) fn check_in(payload: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    let [slug, status, duration, timestamp, release, environment, host] = pick(
        Some(payload),
        ["monitor_slug", "status", "duration", "timestamp", "release", "environment", "server_name"],
    );
    let status = text(status);
    let level = match status.as_deref() {
        Some("error" | "missed" | "timeout") => "error",
        _ => "info",
    };
    let line = [text(slug), status].into_iter().flatten().collect::<Vec<_>>().join(": ");
    keys.text("event", Some("check_in".into()));
    keys.text("level", Some(level.into()));
    keys.text("message", Some(Cow::Owned(line)));
    keys.moment(moment(timestamp));
    keys.value("duration_ms", seconds_as_ms(duration));
    keys.text("release", text(release));
    keys.text("environment", text(environment));
    keys.text("host", text(host));
    trace(&mut keys, member(member(Some(payload), "contexts"), "trace"));
    keys
}

/// What a user wrote about an error, in the form of old.
pub(super) fn user_report(payload: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    keys.text("event", Some("user_report".into()));
    keys.text("message", text(member(Some(payload), "comments")));
    keys
}

/// What an SDK could not send.
pub(super) fn client_report(payload: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    let [timestamp, discarded] = pick(Some(payload), ["timestamp", "discarded_events"]);
    let what = |one: &str| {
        let [reason, category, quantity] = pick(Some(one), ["reason", "category", "quantity"]);
        Some(format!("{} {} ({})", text(quantity)?, text(category)?, text(reason)?))
    };
    let listed = elements(discarded).take(10).filter_map(what).collect::<Vec<_>>().join(", ");
    keys.text("event", Some("client_report".into()));
    keys.text("message", Some(Cow::Owned(format!("not sent: {listed}"))).filter(|_| !listed.is_empty()));
    keys.moment(moment(timestamp));
    keys
}

/// An item of a container with each attribute `{"value":…,"type":…}` as its value, of its type.
pub(super) fn unpacked(item: &str) -> String {
    let mut out = String::with_capacity(item.len());
    out.push('{');
    members(Some(item), |key, raw| {
        if key == "attributes" && raw.starts_with('{') {
            begin(&mut out, key, 1);
            let start = out.len();
            out.push('{');
            members(Some(raw), |key, raw| {
                begin(&mut out, key, start + 1);
                unpack(&mut out, raw);
            });
            out.push('}');
        } else {
            begin(&mut out, key, 1);
            out.push_str(raw);
        }
    });
    out.push('}');
    out
}

/// Begins a member of an object that begins at `start`.
fn begin(out: &mut String, key: &str, start: usize) {
    if out.len() > start {
        out.push(',');
    }
    out.push_str(&quoted(key));
    out.push(':');
}

fn unpack(out: &mut String, raw: &str) {
    let (mut value, mut kind, mut others) = (None, None, false);
    members(Some(raw), |key, raw| match key {
        "value" => value = Some(raw),
        "type" => kind = Some(raw),
        _ => others = true,
    });
    match value {
        // Whole numbers beyond what JavaScript can count come as texts.
        Some(value) if matches!(kind, Some("\"integer\"" | "\"double\"")) && value.starts_with('"') => {
            let inner = text(Some(value)).filter(|inner| number(Some(value)).is_some() && is_number(inner));
            out.push_str(inner.as_deref().unwrap_or(value));
        }
        Some(value) if !others => out.push_str(value),
        _ => out.push_str(raw),
    }
}

fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// A document without one of its members.
///
/// # Errors
/// When it is no JSON object.
pub(super) fn without(document: &str, name: &str) -> Result<String, Reason> {
    let mut out = String::with_capacity(document.len());
    out.push('{');
    each_member(document, |key, raw| {
        if key != name {
            begin(&mut out, key, 1);
            out.push_str(raw);
        }
        Ok(())
    })?;
    out.push('}');
    Ok(out)
}
