//! OpenTelemetry: log records and spans as they come over OTLP.
//!
//! The messages are those of <https://github.com/open-telemetry/opentelemetry-proto> 1.10. They are read where they lie
//! (`otel/wire.rs`); JSON is first rewritten to the same bytes (`otel/json.rs`), so that there is one reader.

mod answer;
mod attributes;
mod json;
mod record;
mod span;
mod wire;

use std::borrow::Cow;
use std::collections::BTreeMap;

use event::Timestamp;
use thiserror::Error;

use crate::decode::{Decoded, Decoder, Door, Limits, Reason};
use crate::shaped::Shaped;
pub use answer::{Signal, refused, taken};
use attributes::{Any, Facts, Whose, pair_of};
use wire::{Fields, Wire};

/// What the resources and scopes of a request may add to its records, in bytes: they stand once in the request, and with
/// each record in the events.
const REPEATED_BYTES_MAX: usize = 128 << 20;

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol buffers, also within gRPC.
    Protobuf,
    /// The JSON form of protocol buffers, ids in hexadecimal.
    Json,
}

/// A body that is no request at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Broken {
    /// Not the bytes of a message.
    #[error("not a message of OTLP: {0}")]
    Protobuf(&'static str),
    /// Not its JSON form.
    #[error("not the JSON form of a message of OTLP: {0}")]
    Json(String),
}

impl From<Broken> for Reason {
    fn from(broken: Broken) -> Self {
        Self::NotOtlp { message: broken.to_string() }
    }
}

/// Reads an `ExportLogsServiceRequest`. Records that cannot be read are refused one by one.
///
/// A log record has no id, so one that is sent again is stored again: delivery is at least once.
///
/// # Errors
/// When the request itself cannot be read.
pub fn logs(body: &[u8], encoding: Encoding, limits: Limits, received: Timestamp) -> Result<Decoded, Broken> {
    records(body, (encoding, &json::LOGS), (limits, received), record::fill)
}

/// Reads an `ExportTraceServiceRequest`. The id of a span is made of its own ids, so that one sent again is stored once.
///
/// # Errors
/// As [`logs`].
pub fn traces(body: &[u8], encoding: Encoding, limits: Limits, received: Timestamp) -> Result<Decoded, Broken> {
    records(body, (encoding, &json::TRACES), (limits, received), span::fill)
}

/// Counts the data points of an `ExportMetricsServiceRequest`: none is kept, all are counted as refused.
///
/// # Errors
/// As [`logs`].
pub fn metrics(body: &[u8], encoding: Encoding) -> Result<Decoded, Broken> {
    let request = protobuf(body, encoding, &json::METRICS)?;
    let mut points = 0;
    // Requests have resources, these have scopes, these have metrics.
    for resource in children(&request, 1) {
        for scope in children(resource?, 2) {
            for metric in children(scope?, 2) {
                for field in Fields::of(metric?) {
                    if let (5 | 7 | 9 | 10 | 11, Wire::Bytes(data)) = field? {
                        for point in children(data, 1) {
                            point?;
                            points += 1;
                        }
                    }
                }
            }
        }
    }
    let reason = Reason::Metric;
    let unlisted = if points == 0 { BTreeMap::new() } else { BTreeMap::from([(reason.name(), points)]) };
    let batch = event::BatchBuilder::new().finish();
    Ok(Decoded { batch, unlisted, received: points, ..Decoded::default() })
}

fn protobuf<'a>(body: &'a [u8], encoding: Encoding, schema: &'static json::Message) -> Result<Cow<'a, [u8]>, Broken> {
    match encoding {
        Encoding::Protobuf => Ok(Cow::Borrowed(body)),
        Encoding::Json => json::to_protobuf(body, schema).map(Cow::Owned),
    }
}

/// The messages that a field of a message holds.
fn children(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Broken>> {
    Fields::of(message).filter_map(move |field| match field {
        Ok((found, Wire::Bytes(child))) if found == number => Some(Ok(child)),
        Ok(_) => None,
        Err(broken) => Some(Err(broken)),
    })
}

/// What a resource or a scope adds to each of its records.
#[derive(Debug)]
struct Common<'a> {
    leaves: Vec<(String, Any<'a>)>,
    facts: Facts<'a>,
    /// The name of the scope.
    logger: &'a [u8],
    /// How much that is.
    bytes: usize,
}

/// What is around a record: its resource, and its scope, whose facts are those of both.
#[derive(Clone, Copy, Debug)]
struct Around<'r, 'a> {
    resource: &'r Common<'a>,
    scope: &'r Common<'a>,
}

type Fill = for<'a> fn(&mut Shaped<'_, 'a>, Around<'_, 'a>, &'a [u8]) -> Result<(), Reason>;

fn records(
    body: &[u8],
    (encoding, schema): (Encoding, &'static json::Message),
    (limits, received): (Limits, Timestamp),
    fill: Fill,
) -> Result<Decoded, Broken> {
    let request = protobuf(body, encoding, schema)?;
    let mut decoder = Decoder::new(Door::Native, limits, received);
    decoder.builder = event::BatchBuilder::with_room(request.len());
    let mut repeated = 0;
    for of_resource in children(&request, 1) {
        let of_resource = of_resource?;
        let resource = Common::of_resource(of_resource)?;
        for of_scope in children(of_resource, 2) {
            let of_scope = of_scope?;
            let scope = Common::of_scope(of_scope, &resource)?;
            let bytes = resource.bytes + scope.bytes;
            for record in children(of_scope, 2) {
                let record = record?;
                repeated += bytes;
                if repeated > REPEATED_BYTES_MAX {
                    decoder.refuse(Reason::RepeatedTooOften);
                    continue;
                }
                let around = Around { resource: &resource, scope: &scope };
                decoder.shaped(record.len() + bytes, |event| fill(event, around, record));
            }
        }
    }
    Ok(decoder.finish())
}

impl<'a> Common<'a> {
    fn new(facts: Facts<'a>) -> Self {
        Self { leaves: Vec::new(), facts, logger: &[], bytes: 0 }
    }

    /// Reads the resource of a `ResourceLogs` or `ResourceSpans`.
    fn of_resource(message: &'a [u8]) -> Result<Self, Broken> {
        let mut common = Self::new(Facts::new());
        for field in Fields::of(message) {
            match field? {
                (1, Wire::Bytes(resource)) => {
                    for field in Fields::of(resource) {
                        match field? {
                            (1, Wire::Bytes(pair)) => common.attribute("otel.resource", Whose::Resource, pair)?,
                            (2, Wire::Varint(count)) => {
                                common.count("otel.resource_dropped_attributes_count", count);
                            }
                            _ => {}
                        }
                    }
                }
                (3, Wire::Bytes(url)) => common.text("otel.resource_schema_url", url),
                _ => {}
            }
        }
        Ok(common)
    }

    /// Reads the scope of a `ScopeLogs` or `ScopeSpans`.
    fn of_scope(message: &'a [u8], resource: &Self) -> Result<Self, Broken> {
        let mut common = Self::new(resource.facts);
        for field in Fields::of(message) {
            match field? {
                (1, Wire::Bytes(scope)) => {
                    for field in Fields::of(scope) {
                        match field? {
                            (1, Wire::Bytes(name)) => {
                                common.logger = name;
                                common.text("otel.scope.name", name);
                            }
                            (2, Wire::Bytes(version)) => common.text("otel.scope.version", version),
                            (3, Wire::Bytes(pair)) => common.attribute("otel.scope.attributes", Whose::Scope, pair)?,
                            (4, Wire::Varint(count)) => common.count("otel.scope.dropped_attributes_count", count),
                            _ => {}
                        }
                    }
                }
                (3, Wire::Bytes(url)) => common.text("otel.scope.schema_url", url),
                _ => {}
            }
        }
        Ok(common)
    }

    fn attribute(&mut self, under: &str, whose: Whose, pair: &'a [u8]) -> Result<(), Broken> {
        let (key, value) = pair_of(pair)?;
        self.facts.note(whose, key, value);
        let mut path = under.to_owned();
        attributes::push_key(&mut path, key);
        self.bytes += path.len() + pair.len();
        self.leaves.push((path, value));
        Ok(())
    }

    fn count(&mut self, path: &str, count: u64) {
        if count > 0 {
            self.bytes += path.len() + 8;
            self.leaves.push((path.to_owned(), Any::Int(count.cast_signed())));
        }
    }

    fn text(&mut self, path: &str, text: &'a [u8]) {
        if !text.is_empty() {
            self.bytes += path.len() + text.len();
            self.leaves.push((path.to_owned(), Any::Text(text)));
        }
    }
}

impl<'a> Around<'_, 'a> {
    /// Adds what the resource and the scope say.
    fn put(self, event: &mut Shaped<'_, 'a>, path: &mut String) -> Result<(), Reason> {
        for (under, value) in self.scope.leaves.iter().chain(&self.resource.leaves) {
            path.clear();
            path.push_str(under);
            value.put(event, path, 1)?;
        }
        Ok(())
    }
}
