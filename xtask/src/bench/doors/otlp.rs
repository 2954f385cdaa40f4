//! Events as OpenTelemetry's exporters send them: protobuf, written by hand because so little of it is needed.
//!
//! Field numbers are those of opentelemetry-proto, `logs/v1/logs.proto` and `common/v1/common.proto`.

use serde_json::Value;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;

/// One `ExportLogsServiceRequest` of these lines.
pub(super) fn request(body: &[u8]) -> Vec<u8> {
    let mut scope_logs = Vec::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if let Ok(Value::Object(event)) = serde_json::from_slice(line) {
            bytes(&mut scope_logs, 2, &record(&event));
        }
    }
    let mut resource = Vec::new();
    bytes(&mut resource, 1, &pair("service.name", &Value::from("shop")));
    let mut resource_logs = Vec::new();
    bytes(&mut resource_logs, 1, &resource);
    bytes(&mut resource_logs, 2, &scope_logs);
    let mut request = Vec::new();
    bytes(&mut request, 1, &resource_logs);
    request
}

fn record(event: &serde_json::Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in event {
        match (key.as_str(), value) {
            ("id", _) => {}
            ("timestamp", Value::String(text)) => {
                tag(&mut out, 1, FIXED64);
                out.extend_from_slice(&nanoseconds(text).to_le_bytes());
            }
            ("level", Value::String(level)) => {
                let number = match level.as_str() {
                    "debug" => 5,
                    "warning" => 13,
                    "error" => 17,
                    _ => 9,
                };
                tag(&mut out, 2, VARINT);
                out.push(number);
                bytes(&mut out, 3, level.to_uppercase().as_bytes());
            }
            ("message", _) => bytes(&mut out, 5, &any(value)),
            _ => bytes(&mut out, 6, &pair(key, value)),
        }
    }
    out
}

/// Of a day of the generator, which are all in January 2026.
fn nanoseconds(text: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<u64>().ok());
    let (days, hours) = (number(8..10).unwrap_or(1) - 1, number(11..13).unwrap_or(0));
    let (minutes, seconds) = (number(14..16).unwrap_or(0), number(17..19).unwrap_or(0));
    let micros = number(20..26).unwrap_or(0);
    let since = 1_767_225_600 + ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    (since * 1_000_000 + micros) * 1000
}

/// A `KeyValue`.
fn pair(key: &str, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, key.as_bytes());
    bytes(&mut out, 2, &any(value));
    out
}

/// An `AnyValue`.
fn any(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Bool(truth) => {
            tag(&mut out, 2, VARINT);
            out.push(u8::from(*truth));
        }
        Value::Number(number) if number.is_u64() => {
            tag(&mut out, 3, VARINT);
            varint(&mut out, number.as_u64().unwrap_or(0));
        }
        Value::Number(number) => {
            tag(&mut out, 4, FIXED64);
            out.extend_from_slice(&number.as_f64().unwrap_or(0.0).to_le_bytes());
        }
        Value::String(text) => bytes(&mut out, 1, text.as_bytes()),
        other => bytes(&mut out, 1, other.to_string().as_bytes()),
    }
    out
}

fn tag(out: &mut Vec<u8>, field: u8, wire: u8) {
    out.push(field << 3 | wire);
}

fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    tag(out, field, LENGTH);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
