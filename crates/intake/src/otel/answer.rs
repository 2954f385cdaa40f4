//! What is answered to an exporter.

use std::time::Duration;

use serde_json::json;

use super::Encoding;

/// What an exporter sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
}

/// The message of a request that was taken: empty when all of it was, else how many items were not, and why.
#[must_use]
pub fn taken(signal: Signal, encoding: Encoding, rejected: usize, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf if rejected == 0 => Vec::new(),
        Encoding::Protobuf => {
            let mut partial = Vec::new();
            number(&mut partial, 1, rejected as u64);
            bytes(&mut partial, 2, message.as_bytes());
            let mut answer = Vec::new();
            bytes(&mut answer, 1, &partial);
            answer
        }
        Encoding::Json if rejected == 0 => br#"{"partialSuccess":{}}"#.to_vec(),
        Encoding::Json => {
            let name = match signal {
                Signal::Logs => "rejectedLogRecords",
                Signal::Traces => "rejectedSpans",
                Signal::Metrics => "rejectedDataPoints",
            };
            let answer = json!({ "partialSuccess": { name: rejected.to_string(), "errorMessage": message } });
            answer.to_string().into_bytes()
        }
    }
}

/// A `google.rpc.Status`: why a request was refused, and when it may be sent again if it may.
#[must_use]
pub fn refused(encoding: Encoding, code: u32, message: &str, retry: Option<Duration>) -> Vec<u8> {
    if encoding == Encoding::Json {
        return json!({ "code": code, "message": message }).to_string().into_bytes();
    }
    let mut status = Vec::new();
    number(&mut status, 1, code.into());
    bytes(&mut status, 2, message.as_bytes());
    if let Some(retry) = retry {
        let (mut duration, mut info, mut any) = (Vec::new(), Vec::new(), Vec::new());
        number(&mut duration, 1, retry.as_secs());
        bytes(&mut info, 1, &duration);
        bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
        bytes(&mut any, 2, &info);
        bytes(&mut status, 3, &any);
    }
    status
}

fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    event::varint::write(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    event::varint::write(out, value.len() as u64);
    out.extend_from_slice(value);
}
