//! Bytes in, batches out: a request of a thousand events, and of one.

use bench::{Batches, Generator, Source as _};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use event::Timestamp;
use intake::Limits;
use intake::otel::{Encoding, logs};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 1000])]
fn native(bencher: Bencher<'_, '_>, events: u64) {
    let batches = Batches::make(&mut Generator::new(7, events), events, events);
    let mut room = Vec::new();
    let body = batches.next(&mut room).map_or(&[][..], |(body, _)| body);
    bencher
        .counter(BytesCount::new(body.len()))
        .counter(ItemsCount::new(events))
        .bench(|| intake::native(divan::black_box(body), Limits::default(), Timestamp::from_micros(0)));
}

/// The same events as log records: the message is the body, every other key an attribute.
fn otlp(events: u64) -> Vec<u8> {
    let batches = Batches::make(&mut Generator::new(7, events), events, events);
    let mut room = Vec::new();
    let body = batches.next(&mut room).map_or(&[][..], |(body, _)| body);
    let records = body.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).map(record);
    let scope = Some(InstrumentationScope { name: "shop.pay".to_owned(), ..InstrumentationScope::default() });
    let scope_logs = vec![ScopeLogs { scope, log_records: records.collect(), ..ScopeLogs::default() }];
    let resource = [
        ("service.name", "shop"),
        ("telemetry.sdk.language", "python"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.version", "1.45.1"),
    ];
    let attributes = resource.map(|(key, value)| attribute(key, Any::StringValue(value.to_owned()))).into();
    let resource = Some(Resource { attributes, ..Resource::default() });
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn record(event: serde_json::Map<String, serde_json::Value>) -> LogRecord {
    let mut record = LogRecord {
        time_unix_nano: 1_767_225_600_123_456_000,
        severity_number: 9,
        trace_id: vec![7; 16],
        span_id: vec![7; 8],
        ..LogRecord::default()
    };
    for (key, value) in event {
        let value = match value {
            serde_json::Value::Bool(value) => Any::BoolValue(value),
            serde_json::Value::Number(number) if number.is_i64() => Any::IntValue(number.as_i64().unwrap_or(0)),
            serde_json::Value::Number(number) => Any::DoubleValue(number.as_f64().unwrap_or(0.0)),
            serde_json::Value::String(text) => Any::StringValue(text),
            other => Any::StringValue(other.to_string()),
        };
        match key.as_str() {
            "message" => record.body = Some(AnyValue { value: Some(value) }),
            "id" | "timestamp" | "level" | "stream" => {}
            _ => record.attributes.push(attribute(&key, value)),
        }
    }
    record
}

#[divan::bench(args = [1, 1000])]
fn otlp_logs(bencher: Bencher<'_, '_>, events: u64) {
    let body = otlp(events);
    bencher
        .counter(BytesCount::new(body.len()))
        .counter(ItemsCount::new(events))
        .bench(|| logs(divan::black_box(&body), Encoding::Protobuf, Limits::default(), Timestamp::from_micros(0)));
}

/// What reading into the types that are made from the description of the messages costs, before anything is made of them.
#[divan::bench(args = [1000])]
fn otlp_logs_as_owned_types(bencher: Bencher<'_, '_>, events: u64) {
    let body = otlp(events);
    bencher
        .counter(ItemsCount::new(events))
        .bench(|| ExportLogsServiceRequest::decode(divan::black_box(body.as_slice())));
}

/// The same events as documents of `_bulk`, each below an action with an id, as clients send them.
#[divan::bench(args = [1, 1000])]
fn bulk(bencher: Bencher<'_, '_>, events: u64) {
    let batches = Batches::make(&mut Generator::new(7, events), events, events);
    let mut room = Vec::new();
    let lines = batches.next(&mut room).map_or(&[][..], |(body, _)| body);
    let mut body = Vec::new();
    for (number, line) in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        body.extend_from_slice(format!("{{\"index\":{{\"_index\":\"day\",\"_id\":\"d-{number}\"}}}}\n").as_bytes());
        body.extend_from_slice(line);
        body.push(b'\n');
    }
    let body = &body[..];
    bencher.counter(BytesCount::new(body.len())).counter(ItemsCount::new(events)).bench(|| {
        intake::elasticsearch::bulk(divan::black_box(body), None, Limits::default(), Timestamp::from_micros(0))
    });
}

/// An exception of a Django application as its SDK sends it.
const EXCEPTION: &[u8] = include_bytes!("../tests/fixtures/sentry/django-20kb.envelope");

#[divan::bench]
fn sentry_exception(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::new(EXCEPTION.len())).counter(ItemsCount::new(1_usize)).bench(|| {
        intake::sentry::envelope(divan::black_box(EXCEPTION), Limits::default(), 0, Timestamp::from_micros(0))
    });
}

/// An exception of a Pyramid application as Rollbar's client sends it.
const ITEM: &[u8] = include_bytes!("../tests/fixtures/rollbar/pyramid-1.json");

#[divan::bench]
fn rollbar_exception(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::new(ITEM.len()))
        .counter(ItemsCount::new(1_usize))
        .bench(|| intake::rollbar::item(divan::black_box(ITEM), Limits::default(), Timestamp::from_micros(0)));
}

/// A thousand messages of syslog, as they come over a connection.
#[divan::bench]
fn syslog(bencher: Bencher<'_, '_>) {
    let message =
        b"<165>1 2026-10-11T22:14:15.003Z web1 shop 17 ID47 [a@1 order=\"17\"] paid 12.5 by somebody or other";
    bencher.counter(BytesCount::new(message.len() * 1000)).counter(ItemsCount::new(1000_usize)).bench(|| {
        let zone = jiff::tz::TimeZone::UTC;
        let mut messages =
            intake::Messages::new(intake::Protocol::Syslog, Limits::default(), Timestamp::from_micros(0), zone);
        (0..1000).for_each(|_| messages.push(divan::black_box(message), 0, Some("127.0.0.1")));
        messages.finish()
    });
}

/// A record of Python's `HTTPHandler`.
const RECORD: &[u8] = include_bytes!("../tests/fixtures/python/0-post.txt");

#[divan::bench]
fn python_record(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::new(RECORD.len()))
        .bench(|| intake::records(divan::black_box(RECORD), Limits::default(), Timestamp::from_micros(0)));
}
