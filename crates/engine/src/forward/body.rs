//! The bodies of requests that carry events to a target.

use event::{Timestamp, Value};

use super::{Outgoing, Target, otlp};

/// What stands before each document. An `_id` may have 512 bytes, as our ids.
const BULK_LINE: &str = "{\"create\":{\"_index\":";

/// What the body of a request is.
#[must_use]
pub fn content_type(target: &Target) -> &'static str {
    match target {
        Target::Elasticsearch { .. } | Target::Webhook { array: false } => "application/x-ndjson",
        Target::Otlp | Target::Webhook { array: true } => "application/json",
    }
}

/// Writes the body of a request with these events.
#[must_use]
pub fn write_body<'a>(target: &Target, events: impl Iterator<Item = &'a Outgoing>) -> Vec<u8> {
    let mut out = Vec::new();
    match target {
        Target::Elasticsearch { index } => events.for_each(|event| bulk_item(index, event, &mut out)),
        Target::Otlp => otlp::write(events, &mut out),
        Target::Webhook { array: false } => {
            for event in events {
                out.extend_from_slice(&event.document);
                out.push(b'\n');
            }
        }
        Target::Webhook { array: true } => {
            out.push(b'[');
            for event in events {
                if out.len() > 1 {
                    out.extend_from_slice(b",\n");
                }
                out.extend_from_slice(&event.document);
            }
            out.push(b']');
        }
    }
    out
}

/// An operation and its document. `create` never writes over what is there, and is what a data stream takes.
fn bulk_item(index: &str, event: &Outgoing, out: &mut Vec<u8>) {
    out.extend_from_slice(BULK_LINE.as_bytes());
    Value::Str(index).write_json(out);
    out.extend_from_slice(b",\"_id\":");
    Value::Str(&event.id).write_json(out);
    out.extend_from_slice(b"}}\n");
    with_time(&event.document, event.timestamp, out);
    out.push(b'\n');
}

/// The document with `@timestamp`, which data streams and Kibana ask for, unless it has one.
fn with_time(document: &[u8], timestamp: Timestamp, out: &mut Vec<u8>) {
    const KEY: &[u8] = b"\"@timestamp\"";
    let rest = document.strip_prefix(b"{");
    let Some(rest) = rest.filter(|_| !document.windows(KEY.len()).any(|window| window == KEY) || !has_time(document))
    else {
        out.extend_from_slice(document);
        return;
    };
    out.push(b'{');
    out.extend_from_slice(KEY);
    out.push(b':');
    Value::Str(&timestamp.to_string()).write_json(out);
    if rest != b"}" {
        out.push(b',');
    }
    out.extend_from_slice(rest);
}

fn has_time(document: &[u8]) -> bool {
    let parsed: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(document);
    parsed.is_ok_and(|object| object.contains_key("@timestamp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(document: &str) -> Outgoing {
        let timestamp = Timestamp::from_micros(1_750_000_000_000_001);
        Outgoing {
            sequence: 1,
            id: "a\"b".to_owned(),
            timestamp,
            received: timestamp,
            document: document.as_bytes().to_vec(),
        }
    }

    fn written(target: &Target, documents: &[&str]) -> String {
        let events: Vec<Outgoing> = documents.iter().map(|document| outgoing(document)).collect();
        String::from_utf8(write_body(target, events.iter())).unwrap()
    }

    #[test]
    fn bulk_has_the_id_and_one_time() {
        let target = Target::Elasticsearch { index: "log1".to_owned() };
        let operation = r#"{"create":{"_index":"log1","_id":"a\"b"}}"#;
        let time = r#""@timestamp":"2025-06-15T15:06:40.000001Z""#;
        for (document, expected) in [
            (r#"{"n":1}"#, format!("{{{time},\"n\":1}}")),
            ("{}", format!("{{{time}}}")),
            (r#"{"@timestamp":7}"#, r#"{"@timestamp":7}"#.to_owned()),
            (r#"{"a":{"@timestamp":7}}"#, format!("{{{time},\"a\":{{\"@timestamp\":7}}}}")),
        ] {
            assert_eq!(written(&target, &[document]), format!("{operation}\n{expected}\n"));
        }
    }

    #[test]
    fn a_webhook_gets_lines_or_an_array() {
        assert_eq!(written(&Target::Webhook { array: false }, &["{}", "{\"n\":1}"]), "{}\n{\"n\":1}\n");
        assert_eq!(written(&Target::Webhook { array: true }, &["{}", "{\"n\":1}"]), "[{},\n{\"n\":1}]");
        assert_eq!(written(&Target::Webhook { array: true }, &[]), "[]");
    }
}
