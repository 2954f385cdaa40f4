//! Events as logs of OpenTelemetry, in the JSON of OTLP 1.x (`ExportLogsServiceRequest`).
//!
//! Shared keys go where OpenTelemetry has a place or a name for them (semantic conventions 1.3x); every other key is an
//! attribute of its own name, with its type and its nesting.

use event::Level;
use serde_json::{Map, Value, json};

use super::Outgoing;

/// Shared keys that are properties of who sends, and their names.
const RESOURCE: [(&str, &str); 4] = [
    ("service", "service.name"),
    ("host", "host.name"),
    ("environment", "deployment.environment.name"),
    ("release", "service.version"),
];

/// Shared keys with another name among the attributes.
const ATTRIBUTES: [(&str, &str); 9] = [
    ("user", "user.id"),
    ("session", "session.id"),
    ("url", "url.full"),
    ("method", "http.request.method"),
    ("path", "url.path"),
    ("status", "http.response.status_code"),
    ("ip", "client.address"),
    ("user_agent", "user_agent.original"),
    ("id", "log.record.uid"),
];

/// Keys that have a place of their own in a record.
const PLACED: [&str; 6] = ["timestamp", "received", "message", "level", "event", "logger"];

/// Writes a request. Neighbours of one resource and one scope share them.
pub(super) fn write<'a>(events: impl Iterator<Item = &'a Outgoing>, out: &mut Vec<u8>) {
    let mut resources: Vec<Value> = Vec::new();
    let mut last: Option<(Value, Value)> = None;
    for event in events {
        let mut document: Map<String, Value> = serde_json::from_slice(&event.document).unwrap_or_default();
        let place = place(&mut document);
        let record = record(event, document);
        if last.as_ref() == Some(&place)
            && let Some(records) =
                resources.last_mut().and_then(|last| last["scopeLogs"][0]["logRecords"].as_array_mut())
        {
            records.push(record);
            continue;
        }
        let (resource, scope) = place.clone();
        resources.push(json!({ "resource": resource, "scopeLogs": [{ "scope": scope, "logRecords": [record] }] }));
        last = Some(place);
    }
    out.extend_from_slice(json!({ "resourceLogs": resources }).to_string().as_bytes());
}

/// The resource and the scope of an event, whose keys are taken out of it.
fn place(document: &mut Map<String, Value>) -> (Value, Value) {
    let mut attributes = Vec::new();
    for (key, name) in RESOURCE {
        if let Some(Value::String(text)) = document.get(key) {
            attributes.push(json!({ "key": name, "value": { "stringValue": text } }));
            document.shift_remove(key);
        }
    }
    let logger = document.get("logger").and_then(Value::as_str).unwrap_or_default();
    (json!({ "attributes": attributes }), json!({ "name": logger }))
}

fn record(event: &Outgoing, mut document: Map<String, Value>) -> Value {
    let level = document.get("level").and_then(Value::as_str).map(str::to_owned);
    let mut record = Map::new();
    record.insert("timeUnixNano".to_owned(), nanos(event.timestamp).into());
    record.insert("observedTimeUnixNano".to_owned(), nanos(event.received).into());
    if let Some(text) = &level {
        let number = Level::parse(text).map_or(0, Level::severity_number);
        record.insert("severityNumber".to_owned(), number.into());
        record.insert("severityText".to_owned(), text.clone().into());
    }
    let message = document.get("message").filter(|message| **message != Value::String(String::new()));
    if let Some(message) = message {
        record.insert("body".to_owned(), any(message));
    }
    if let Some(Value::String(name)) = document.get("event") {
        record.insert("eventName".to_owned(), name.clone().into());
    }
    for (key, name, digits) in [("trace_id", "traceId", 32), ("span_id", "spanId", 16)] {
        if let Some(id) = document.get(key).and_then(|value| hexadecimal(value, digits)) {
            record.insert(name.to_owned(), id.into());
            document.shift_remove(key);
        }
    }
    let placed = |key: &str, value: &Value| match key {
        "message" | "timestamp" | "received" => true,
        _ => PLACED.contains(&key) && value.is_string(),
    };
    let attributes: Vec<Value> = document
        .iter()
        .filter(|(key, value)| !placed(key, value))
        .map(|(key, value)| json!({ "key": name_of(key, value), "value": any(value) }))
        .collect();
    record.insert("attributes".to_owned(), attributes.into());
    Value::Object(record)
}

fn nanos(time: event::Timestamp) -> String {
    // Before 1970 there is no time in OpenTelemetry.
    (i128::from(time.as_micros()).max(0) * 1000).to_string()
}

fn name_of<'a>(key: &'a str, value: &Value) -> &'a str {
    let known = ATTRIBUTES.iter().find(|(shared, _)| *shared == key && !value.is_object());
    known.map_or(key, |(_, name)| *name)
}

/// An id of so many hexadecimal digits, with or without hyphens, that is not zero.
fn hexadecimal(value: &Value, digits: usize) -> Option<String> {
    let id: String = value.as_str()?.chars().filter(|character| *character != '-').collect();
    let is_one =
        id.len() == digits && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0');
    is_one.then(|| id.to_ascii_lowercase())
}

/// A value as `AnyValue`. Whole numbers are texts there, as in every JSON of protobuf; one beyond 64 bits stays a text.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(truth) => json!({ "boolValue": truth }),
        Value::String(text) => json!({ "stringValue": text }),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => json!({ "intValue": whole.to_string() }),
            (None, Some(float)) if float.is_finite() && !is_whole(number) => json!({ "doubleValue": float }),
            _ => json!({ "stringValue": number.to_string() }),
        },
        Value::Array(items) => json!({ "arrayValue": { "values": items.iter().map(any).collect::<Vec<_>>() } }),
        Value::Object(members) => {
            let one = |(key, value): (&String, &Value)| json!({ "key": key, "value": any(value) });
            json!({ "kvlistValue": { "values": members.iter().map(one).collect::<Vec<_>>() } })
        }
    }
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.as_str().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use event::Timestamp;

    use super::*;

    fn written(documents: &[Value]) -> Value {
        let events: Vec<Outgoing> = documents
            .iter()
            .map(|document| Outgoing {
                sequence: 1,
                id: "a".to_owned(),
                timestamp: Timestamp::from_micros(1_750_000_000_000_001),
                received: Timestamp::from_micros(1_750_000_000_000_002),
                document: document.to_string().into_bytes(),
            })
            .collect();
        let mut out = Vec::new();
        write(events.iter(), &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn shared_keys_have_their_places() {
        let sent = json!({
            "id": "a", "timestamp": "x", "received": "y", "level": "warning", "message": "hello", "event": "greeted",
            "logger": "shop.cart", "service": "shop", "host": "web-1", "environment": "production", "release": "1.2",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "no", "user": "7", "status": 500,
            "big": "x", "price": 1.5, "tags": ["a", 1, null], "nested": {"ok": true},
        });
        let found = written(&[sent]);
        let logs = &found["resourceLogs"][0];
        let attribute = |attributes: &Value, key: &str| {
            let found =
                attributes.as_array().unwrap().iter().find(|one| one["key"] == key).map(|one| one["value"].clone());
            found.unwrap_or_else(|| panic!("{key} is missing in {attributes}"))
        };
        let resource = &logs["resource"]["attributes"];
        assert_eq!(attribute(resource, "service.name"), json!({"stringValue": "shop"}));
        assert_eq!(attribute(resource, "service.version"), json!({"stringValue": "1.2"}));
        assert_eq!(logs["scopeLogs"][0]["scope"]["name"], "shop.cart");
        let record = &logs["scopeLogs"][0]["logRecords"][0];
        assert_eq!(record["timeUnixNano"], "1750000000000001000");
        assert_eq!(record["observedTimeUnixNano"], "1750000000000002000");
        assert_eq!((&record["severityNumber"], &record["severityText"]), (&json!(13), &json!("warning")));
        assert_eq!(record["body"], json!({"stringValue": "hello"}));
        assert_eq!(record["eventName"], "greeted");
        assert_eq!(record["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(record["spanId"], Value::Null);
        let attributes = &record["attributes"];
        for (key, value) in [
            ("log.record.uid", json!({"stringValue": "a"})),
            ("span_id", json!({"stringValue": "no"})),
            ("user.id", json!({"stringValue": "7"})),
            ("http.response.status_code", json!({"intValue": "500"})),
            ("price", json!({"doubleValue": 1.5})),
            ("tags", json!({"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}, {}]}})),
            ("nested", json!({"kvlistValue": {"values": [{"key": "ok", "value": {"boolValue": true}}]}})),
        ] {
            assert_eq!(attribute(attributes, key), value, "{key}");
        }
        assert_eq!(attributes.as_array().unwrap().len(), 8, "{attributes}");
    }

    #[test]
    fn neighbours_share_their_resource() {
        let found = written(&[json!({"service": "a"}), json!({"service": "a"}), json!({"service": "b"})]);
        let counts: Vec<usize> = found["resourceLogs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|logs| logs["scopeLogs"][0]["logRecords"].as_array().unwrap().len())
            .collect();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn a_number_that_nothing_holds_stays_a_text() {
        let big: Value = serde_json::from_str("123456789012345678901234567890").unwrap();
        assert_eq!(any(&big), json!({"stringValue": "123456789012345678901234567890"}));
        assert_eq!(any(&json!(-3)), json!({"intValue": "-3"}));
    }
}
