//! Log records, and what they share with spans.

use std::borrow::Cow;

use event::{Level, Timestamp, Value};

use super::Around;
use super::attributes::{Any, Fact, Facts, Whose, pair_of, push_key};
use super::wire::{Fields, Wire, hex, text};
use crate::decode::Reason;
use crate::frames;
use crate::normalise::Kept;
use crate::shaped::{Shaped, path_of};

/// Makes an event of a `LogRecord`.
pub(super) fn fill<'a>(event: &mut Shaped<'_, 'a>, around: Around<'_, 'a>, record: &'a [u8]) -> Result<(), Reason> {
    let mut facts = around.scope.facts;
    let mut path = String::with_capacity(64);
    let (mut time, mut observed, mut severity, mut severity_text) = (0, 0, 0, &[][..]);
    let mut name = &[][..];
    for field in Fields::of(record) {
        match field? {
            (6, Wire::Bytes(pair)) => attribute(event, &mut path, &mut facts, pair)?,
            (1, Wire::Fixed64(nanos)) => time = nanos,
            (11, Wire::Fixed64(nanos)) => observed = nanos,
            (2, Wire::Varint(number)) => severity = number,
            (3, Wire::Bytes(bytes)) => severity_text = bytes,
            (5, Wire::Bytes(message)) => body(event, &mut path, Any::read(message)?)?,
            (7, Wire::Varint(count)) => number(event, "otel.dropped_attributes_count", count),
            (8, Wire::Fixed32(flags)) => number(event, "otel.flags", flags.into()),
            (9, Wire::Bytes(id)) => event.owned("trace_id", hex(id).unwrap_or_default()),
            (10, Wire::Bytes(id)) => event.owned("span_id", hex(id).unwrap_or_default()),
            (12, Wire::Bytes(bytes)) => name = bytes,
            _ => {}
        }
    }
    let moment = if time == 0 { observed } else { time };
    if moment > 0 {
        at(event, moment, "otel.time_unix_nano");
    }
    if observed != moment {
        number(event, "otel.observed_time_unix_nano", observed);
    }
    if let Some(level) = Level::from_severity_number(severity).or_else(|| Level::parse(&text(severity_text))) {
        event.text("level", level.name());
    }
    number(event, "otel.severity_number", severity);
    put_text(event, "otel.severity_text", severity_text);
    put_text(event, "event", name);
    shared(event, &facts);
    put_text(event, "logger", around.scope.logger);
    around.put(event, &mut path)
}

/// Notes an attribute, and adds it under `otel.attributes`.
pub(super) fn attribute<'a>(
    event: &mut Shaped<'_, 'a>,
    path: &mut String,
    facts: &mut Facts<'a>,
    pair: &'a [u8],
) -> Result<(), Reason> {
    let (key, value) = pair_of(pair)?;
    facts.note(Whose::Record, key, value);
    path.clear();
    path.push_str("otel.attributes");
    push_key(path, key);
    value.put(event, path, 2)
}

/// The body of a record: a text is the message. Anything else stays under `otel.body`, and the message is the text in it
/// that is one, or all of it as JSON.
fn body<'a>(event: &mut Shaped<'_, 'a>, path: &mut String, body: Any<'a>) -> Result<(), Reason> {
    match body {
        Any::Null => return Ok(()),
        Any::Text(bytes) => {
            put_text(event, "message", bytes);
            return Ok(());
        }
        _ => {}
    }
    path.clear();
    path.push_str("otel.body");
    body.put(event, path, 2)?;
    let mut said = None;
    if let Any::List(message) = body {
        for field in Fields::of(message) {
            let (1, Wire::Bytes(pair)) = field? else { continue };
            if let (b"message" | b"msg", Any::Text(bytes)) = pair_of(pair)? {
                said = said.or(Some(bytes));
            }
        }
    }
    match said {
        Some(bytes) => put_text(event, "message", bytes),
        None => {
            let mut json = String::new();
            body.write_json(&mut json, 2)?;
            event.owned("message", json);
        }
    }
    Ok(())
}

/// Adds a text, unless it is empty.
pub(super) fn put_text<'a>(event: &mut Shaped<'_, 'a>, path: &str, bytes: &'a [u8]) {
    match text(bytes) {
        Cow::Borrowed(text) => event.text(path, text),
        Cow::Owned(text) => event.owned(path, text),
    }
}

/// Adds a number, unless it is 0, which is how the wire says that there is none.
pub(super) fn number(event: &mut Shaped<'_, '_>, path: &str, number: u64) {
    match i64::try_from(number) {
        Ok(0) => {}
        Ok(number) => event.value(path, Value::Int(number)),
        Err(_) => event.put(path, Kept::Raw(number.to_string())),
    }
}

/// Sets when it happened. What is finer than a microsecond is kept beside.
pub(super) fn at(event: &mut Shaped<'_, '_>, nanos: u64, path: &str) {
    let micros = i64::try_from(nanos / 1000).unwrap_or(i64::MAX);
    event.at(Timestamp::from_micros(micros));
    if !nanos.is_multiple_of(1000) || nanos > i64::MAX as u64 {
        number(event, path, nanos);
    }
}

/// Fills the shared keys from what the attributes say.
pub(super) fn shared<'a>(event: &mut Shaped<'_, 'a>, facts: &Facts<'a>) {
    const SAME: [(Fact, &str); 10] = [
        (Fact::Session, "session"),
        (Fact::Event, "event"),
        (Fact::RequestId, "request_id"),
        (Fact::Method, "method"),
        (Fact::Ip, "ip"),
        (Fact::UserAgent, "user_agent"),
        (Fact::Service, "service"),
        (Fact::Host, "host"),
        (Fact::Environment, "environment"),
        (Fact::Release, "release"),
    ];
    for (fact, key) in SAME {
        put_fact(event, facts, fact, key);
    }
    put_fact(event, facts, Fact::User, "user");
    if let Some(status) = facts.get(Fact::Status) {
        let status = match status.value() {
            Value::Str(text) => Value::number_in(text),
            value => Some(value),
        };
        if let Some(Value::Int(number @ 100..=599)) = status {
            event.value("status", Value::Int(number));
        }
    }
    address(event, facts);
    exception(event, facts);
}

/// Adds a fact as a text.
fn put_fact<'a>(event: &mut Shaped<'_, 'a>, facts: &Facts<'a>, fact: Fact, key: &str) {
    match facts.get(fact) {
        Some(Kept::Value(value @ (Value::Int(_) | Value::Float(_) | Value::Bool(_)))) => {
            let mut json = Vec::new();
            value.write_json(&mut json);
            event.owned(key, String::from_utf8(json).unwrap_or_default());
        }
        Some(kept) => event.put(key, kept),
        None => {}
    }
}

/// `url` and `path`, which may have been sent whole or in parts.
fn address<'a>(event: &mut Shaped<'_, 'a>, facts: &Facts<'a>) {
    let target = facts.text(Fact::Path);
    let url = facts.text(Fact::Url);
    if let Some(target) = target.as_deref().or_else(|| path_of(url.as_deref()?)) {
        event.owned("path", target.split(['?', '#']).next().unwrap_or_default().to_owned());
    }
    if url.is_some() {
        put_fact(event, facts, Fact::Url, "url");
        return;
    }
    let (Some(scheme), Some(host), Some(target)) = (facts.text(Fact::Scheme), facts.text(Fact::Authority), target)
    else {
        return;
    };
    let mut url = format!("{scheme}://{host}");
    let usual = if &*scheme == "https" { 443 } else { 80 };
    if let (Some(Kept::Value(Value::Int(port))), false) = (facts.get(Fact::Port), host.contains(':'))
        && port != usual
    {
        url.push(':');
        url.push_str(&port.to_string());
    }
    url.push_str(&target);
    if let (Some(query), false) = (facts.text(Fact::Query), target.contains('?')) {
        url.push('?');
        url.push_str(query.trim_start_matches('?'));
    }
    event.owned("url", url);
}

fn exception<'a>(event: &mut Shaped<'_, 'a>, facts: &Facts<'a>) {
    put_fact(event, facts, Fact::ExceptionType, "exception.type");
    put_fact(event, facts, Fact::ExceptionMessage, "exception.message");
    if let Some(stack) = facts.text(Fact::Stacktrace) {
        frames::put(event, &stack);
    }
}
