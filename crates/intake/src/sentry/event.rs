//! Events, transactions and feedback of Sentry's SDKs: what they say under Sentry's names, as shared keys.

use std::borrow::Cow;
use std::fmt::Write as _;

use event::Value;

use crate::raw::{Shared, elements, member, members, moment, ms_between, number, pick, quoted, status, text};

/// Exceptions of one event that stand in `exception.chain`.
const CHAIN_MAX: usize = 100;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Event,
    Transaction,
    Feedback,
}

/// The id of an event as it stands there, and its shared keys. The payload is read once for all of them.
pub(super) fn shared(payload: &str, kind: Kind) -> (Option<&str>, Shared<'_>) {
    let mut keys = Shared::default();
    let names = [
        "event_id",
        "timestamp",
        "start_timestamp",
        "level",
        "logger",
        "message",
        "logentry",
        "exception",
        "user",
        "request",
        "contexts",
        "tags",
        "transaction",
        "release",
        "environment",
        "server_name",
    ];
    let [id, timestamp, start, level, logger, message, logentry, exception, user, request, contexts, tags, rest @ ..] =
        pick(Some(payload), names);
    let [transaction, release, environment, host] = rest;
    let (start, end) = (moment(start), moment(timestamp));
    let raised = exceptions(&mut keys, exception);
    let [trace, response, feedback] = pick(contexts, ["trace", "response", "feedback"]);
    match kind {
        Kind::Event => {
            let name = if raised.is_some() { "exception" } else { "message" };
            keys.text("event", Some(name.into()));
            keys.level(text(level));
            keys.text("level", Some("error".into()));
            keys.moment(end);
        }
        Kind::Transaction => {
            keys.text("event", Some("transaction".into()));
            keys.text("stream", Some("SPAN".into()));
            keys.text("message", text(transaction));
            keys.moment(start.or(end));
            keys.value("duration_ms", ms_between(start, end));
        }
        Kind::Feedback => {
            keys.text("event", Some("feedback".into()));
            keys.level(text(level));
            keys.text("message", text(member(feedback, "message")));
            keys.moment(end);
        }
    }
    for said in [logentry, message] {
        keys.text("message", text(member(said, "formatted")).or_else(|| text(member(said, "message"))));
        keys.text("message", text(said));
    }
    keys.text("message", raised.map(Cow::Owned));
    keys.text("logger", text(logger));
    keys.text("release", text(release));
    keys.text("environment", text(environment));
    keys.text("host", text(host));
    self::user(&mut keys, user);
    self::request(&mut keys, request);
    self::trace(&mut keys, trace);
    keys.value("status", status(member(response, "status_code")));
    keys.value("status", status(tag(tags, "http.status_code")));
    keys.text("request_id", text(tag(tags, "request_id")));
    (id, keys)
}

fn user<'a>(keys: &mut Shared<'a>, user: Option<&'a str>) {
    let [id, username, email, ip] = pick(user, ["id", "username", "email", "ip_address"]);
    for name in [id, username, email] {
        keys.text("user", text(name));
    }
    // `{{auto}}` asks for the address that the request came from, which may be a proxy's.
    keys.text("ip", text(ip).filter(|ip| !ip.starts_with('{')));
}

/// `request`: the URL comes with its query or without.
fn request<'a>(keys: &mut Shared<'a>, request: Option<&'a str>) {
    let [url, query, method, headers, env] = pick(request, ["url", "query_string", "method", "headers", "env"]);
    let query = text(query).filter(|_| query.is_some_and(|query| query.starts_with('"')));
    let whole = match (text(url), query) {
        (Some(url), Some(query)) if !url.contains('?') => {
            Some(Cow::Owned(format!("{url}?{}", query.trim_start_matches('?'))))
        }
        (url, _) => url,
    };
    keys.url(whole);
    keys.text("method", text(method));
    headers_of(keys, headers);
    keys.text("ip", text(member(env, "REMOTE_ADDR")));
}

/// Headers: an object, or a list of pairs.
pub(crate) fn headers_of<'a>(keys: &mut Shared<'a>, headers: Option<&'a str>) {
    let mut take = |name: &str, value: &'a str| {
        if name.eq_ignore_ascii_case("user-agent") {
            keys.text("user_agent", text(Some(value)));
        } else if name.eq_ignore_ascii_case("x-request-id") {
            keys.text("request_id", text(Some(value)));
        }
    };
    members(headers, &mut take);
    for pair in elements(headers) {
        let mut pair = elements(Some(pair));
        if let (Some(name), Some(value)) = (pair.next().and_then(|name| text(Some(name))), pair.next()) {
            take(&name, value);
        }
    }
}

/// `contexts.trace`.
pub(super) fn trace<'a>(keys: &mut Shared<'a>, trace: Option<&'a str>) {
    let [trace_id, span_id, data] = pick(trace, ["trace_id", "span_id", "data"]);
    keys.hex("trace_id", text(trace_id));
    keys.hex("span_id", text(span_id));
    keys.value("status", status(member(data, "http.response.status_code")));
}

/// One of the `tags`: an object, or a list of pairs.
fn tag<'a>(tags: Option<&'a str>, name: &str) -> Option<&'a str> {
    let of_list = || {
        elements(tags).find_map(|pair| {
            let mut pair = elements(Some(pair));
            (text(pair.next())?.as_ref() == name).then(|| pair.next()).flatten()
        })
    };
    member(tags, name).or_else(of_list)
}

/// `exception`: a list, or an object with `values`; the cause comes first, and what was raised last. Returns what was
/// raised in one line. A text without a type is a message to which a stack was added.
fn exceptions<'a>(keys: &mut Shared<'a>, exception: Option<&'a str>) -> Option<String> {
    let list = member(exception, "values").or(exception);
    let values: Vec<&str> = elements(list).collect();
    // One alone may stand without a list around it.
    let raised = values.last().copied().or(exception.filter(|one| member(Some(one), "type").is_some()))?;
    let [kind, value, mechanism, stacktrace] = pick(Some(raised), ["type", "value", "mechanism", "stacktrace"]);
    if let Some(frames) = frames(stacktrace) {
        keys.list("exception.frames", frames);
    }
    let (kind, message) = (text(kind)?, text(value));
    let line = message.as_ref().map_or_else(|| kind.to_string(), |message| format!("{kind}: {message}"));
    keys.text("exception.type", Some(kind));
    keys.text("exception.message", message);
    keys.value("exception.handled", truth(member(mechanism, "handled")));
    let mut chain = String::from("[");
    for one in values.iter().rev().take(CHAIN_MAX) {
        let [kind, message] = pick(Some(one), ["type", "value"]);
        link(&mut chain, text(kind).as_deref(), text(message).as_deref());
    }
    chain.push(']');
    keys.list("exception.chain", chain);
    Some(line)
}

/// Adds an exception to a chain.
pub(crate) fn link(chain: &mut String, kind: Option<&str>, message: Option<&str>) {
    if chain.len() > 1 {
        chain.push(',');
    }
    let written =
        write!(chain, r#"{{"type":{},"message":{}}}"#, quoted(kind.unwrap_or("")), quoted(message.unwrap_or("")));
    debug_assert!(written.is_ok(), "writing into memory cannot fail");
}

fn truth(raw: Option<&str>) -> Option<Value<'static>> {
    match raw? {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// The frames of a stack in our names, in the order they came: where it was raised is last.
fn frames(stacktrace: Option<&str>) -> Option<String> {
    let mut out = String::from("[");
    for frame in elements(member(stacktrace, "frames")) {
        let [function, module, file, path, line, column, in_app] =
            pick(Some(frame), ["function", "module", "filename", "abs_path", "lineno", "colno", "in_app"]);
        let file = file.or(path);
        let line = line.filter(|line| number(Some(line)).is_some());
        let column = column.filter(|column| number(Some(column)).is_some());
        let in_app = in_app.filter(|in_app| matches!(*in_app, "true" | "false"));
        let named = [
            ("function", function.filter(|raw| raw.starts_with('"'))),
            ("module", module.filter(|raw| raw.starts_with('"'))),
            ("file", file.filter(|raw| raw.starts_with('"'))),
            ("line", line),
            ("column", column),
            ("in_app", in_app),
        ];
        push_object(&mut out, &named);
    }
    out.push(']');
    (out.len() > 2).then_some(out)
}

/// Adds an object to a list, without the members that are none.
pub(crate) fn push_object(list: &mut String, members: &[(&str, Option<&str>)]) {
    list.push_str(if list.len() > 1 { ",{" } else { "{" });
    let mut first = true;
    for (name, raw) in members {
        let Some(raw) = raw else { continue };
        if !first {
            list.push(',');
        }
        first = false;
        for part in ["\"", name, "\":", raw] {
            list.push_str(part);
        }
    }
    list.push('}');
}
