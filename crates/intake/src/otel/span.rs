//! Spans: work that began and ended.

use event::{Timestamp, Value};
use sha2::{Digest as _, Sha256};

use super::attributes::{Facts, Whose, pair_of, write_text};
use super::record::{at, attribute, number, put_text, shared};
use super::wire::{Fields, Wire, hex, text};
use super::{Around, Broken};
use crate::decode::Reason;
use crate::normalise::Kept;
use crate::shaped::Shaped;

/// The names of `Span.SpanKind`.
const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// The names of `Status.StatusCode`.
const STATUSES: [&str; 3] = ["unset", "ok", "error"];

/// Makes an event of a `Span`.
pub(super) fn fill<'a>(event: &mut Shaped<'_, 'a>, around: Around<'_, 'a>, span: &'a [u8]) -> Result<(), Reason> {
    let mut facts = around.scope.facts;
    let mut path = String::with_capacity(64);
    let (mut trace, mut id, mut kind, mut start, mut end) = (&[][..], &[][..], 0, 0, 0);
    let (mut events, mut links) = (String::new(), String::new());
    for field in Fields::of(span) {
        match field? {
            (9, Wire::Bytes(pair)) => attribute(event, &mut path, &mut facts, pair)?,
            (1, Wire::Bytes(bytes)) => trace = bytes,
            (2, Wire::Bytes(bytes)) => id = bytes,
            (3, Wire::Bytes(state)) => put_text(event, "otel.trace_state", state),
            (4, Wire::Bytes(parent)) => event.owned("otel.parent_span_id", hex(parent).unwrap_or_default()),
            (5, Wire::Bytes(name)) => put_text(event, "message", name),
            (6, Wire::Varint(number)) => kind = number,
            (7, Wire::Fixed64(nanos)) => start = nanos,
            (8, Wire::Fixed64(nanos)) => end = nanos,
            (10, Wire::Varint(count)) => number(event, "otel.dropped_attributes_count", count),
            (11, Wire::Bytes(message)) => happening(&mut events, &mut facts, message)?,
            (12, Wire::Varint(count)) => number(event, "otel.dropped_events_count", count),
            (13, Wire::Bytes(message)) => link(&mut links, message)?,
            (14, Wire::Varint(count)) => number(event, "otel.dropped_links_count", count),
            (15, Wire::Bytes(message)) => status(event, message)?,
            (16, Wire::Fixed32(flags)) => number(event, "otel.flags", flags.into()),
            _ => {}
        }
    }
    identify(event, (trace, id, kind));
    event.text("stream", "SPAN");
    event.text("event", "span");
    enumerated(event, "otel.kind", &KINDS, kind);
    times(event, start, end);
    for (path, mut list) in [("otel.events", events), ("otel.links", links)] {
        if !list.is_empty() {
            list.push(']');
            event.put(path, Kept::Raw(list));
        }
    }
    shared(event, &facts);
    put_text(event, "logger", around.scope.logger);
    around.put(event, &mut path)
}

/// The id of the event is made of what names the span, so that one that is sent again is stored once. Zipkin's clients
/// and servers share a span, which its kind tells apart.
fn identify(event: &mut Shaped<'_, '_>, (trace, id, kind): (&[u8], &[u8], u64)) {
    let (Some(trace_id), Some(span_id)) = (hex(trace), hex(id)) else { return };
    let digest =
        Sha256::new().chain_update(b"span").chain_update(trace).chain_update(id).chain_update(kind.to_le_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    event.value("id", Value::Uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes()));
    event.owned("trace_id", trace_id);
    event.owned("span_id", span_id);
}

fn times(event: &mut Shaped<'_, '_>, start: u64, end: u64) {
    if start > 0 {
        at(event, start, "otel.start_time_unix_nano");
    } else if end > 0 {
        at(event, end, "otel.end_time_unix_nano");
    }
    if start > 0 && end >= start {
        #[expect(
            clippy::cast_precision_loss,
            reason = "spans take less than the 104 days that a double counts in nanoseconds"
        )]
        event.value("duration_ms", Value::Float((end - start) as f64 / 1e6));
    }
}

fn enumerated(event: &mut Shaped<'_, '_>, path: &str, names: &[&'static str], code: u64) {
    match usize::try_from(code).ok().and_then(|code| names.get(code)) {
        Some(_) if code == 0 => {}
        Some(name) => event.text(path, name),
        None => number(event, path, code),
    }
}

fn status<'a>(event: &mut Shaped<'_, 'a>, message: &'a [u8]) -> Result<(), Broken> {
    for field in Fields::of(message) {
        match field? {
            (2, Wire::Bytes(said)) => put_text(event, "otel.status.message", said),
            (3, Wire::Varint(code)) => {
                enumerated(event, "otel.status.code", &STATUSES, code);
                if code == 2 {
                    event.text("level", "error");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes an event of a span into a list. One that tells of an exception tells it of the span.
fn happening<'a>(list: &mut String, facts: &mut Facts<'a>, message: &'a [u8]) -> Result<(), Reason> {
    let (mut time, mut name) = (0, &[][..]);
    let mut attributes = String::new();
    let mut dropped = 0;
    for field in Fields::of(message) {
        match field? {
            (1, Wire::Fixed64(nanos)) => time = nanos,
            (2, Wire::Bytes(bytes)) => name = bytes,
            (3, Wire::Bytes(pair)) => {
                let (key, value) = pair_of(pair)?;
                if key.starts_with(b"exception.") {
                    facts.note(Whose::Record, key, value);
                }
                member(&mut attributes, key);
                value.write_json(&mut attributes, 4)?;
            }
            (4, Wire::Varint(count)) => dropped = count,
            _ => {}
        }
    }
    begin(list);
    list.push_str("{\"name\":");
    write_text(list, &text(name));
    if time > 0 {
        list.push_str(",\"time\":\"");
        Timestamp::from_micros(i64::try_from(time / 1000).unwrap_or(i64::MAX)).write(list);
        list.push('"');
    }
    end(list, attributes, dropped);
    Ok(())
}

fn link(list: &mut String, message: &[u8]) -> Result<(), Reason> {
    let (mut trace, mut span, mut state) = (None, None, &[][..]);
    let mut attributes = String::new();
    let mut dropped = 0;
    for field in Fields::of(message) {
        match field? {
            (1, Wire::Bytes(id)) => trace = hex(id),
            (2, Wire::Bytes(id)) => span = hex(id),
            (3, Wire::Bytes(bytes)) => state = bytes,
            (4, Wire::Bytes(pair)) => {
                let (key, value) = pair_of(pair)?;
                member(&mut attributes, key);
                value.write_json(&mut attributes, 4)?;
            }
            (5, Wire::Varint(count)) => dropped = count,
            _ => {}
        }
    }
    begin(list);
    list.push_str("{\"trace_id\":");
    write_text(list, &trace.unwrap_or_default());
    list.push_str(",\"span_id\":");
    write_text(list, &span.unwrap_or_default());
    if !state.is_empty() {
        list.push_str(",\"trace_state\":");
        write_text(list, &text(state));
    }
    end(list, attributes, dropped);
    Ok(())
}

fn begin(list: &mut String) {
    list.push(if list.is_empty() { '[' } else { ',' });
}

fn member(object: &mut String, key: &[u8]) {
    object.push(if object.is_empty() { '{' } else { ',' });
    write_text(object, &text(key));
    object.push(':');
}

fn end(list: &mut String, mut attributes: String, dropped: u64) {
    if !attributes.is_empty() {
        attributes.push('}');
        list.push_str(",\"attributes\":");
        list.push_str(&attributes);
    }
    if dropped > 0 {
        list.push_str(",\"dropped_attributes_count\":");
        list.push_str(&dropped.to_string());
    }
    list.push('}');
}
