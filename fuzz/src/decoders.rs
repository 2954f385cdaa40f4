//! What holds for every decoder, whatever it is given.
//!
//! The tests of `intake` have this file as well: what fuzzing has found is read by the same functions without a fuzzer.

use std::sync::LazyLock;

use event::{Batch, Timestamp};
use intake::redact::{Key, Level, Redact, Settings};
use intake::{Decoded, Limits};

/// A name, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 16] = [
    ("native", native),
    ("entries", entries),
    ("records", records),
    ("visitor", visitor),
    ("unpack", unpack),
    ("lines", lines),
    ("bulk", bulk),
    ("sentry_envelope", sentry_envelope),
    ("sentry_store", sentry_store),
    ("rollbar", rollbar),
    ("otlp_protobuf", otlp_protobuf),
    ("otlp_json", otlp_json),
    ("azure", azure),
    ("ga4", ga4),
    ("syslog", syslog),
    ("gelf", gelf),
];

/// The rules that look closest.
static STRICT: LazyLock<Redact> = LazyLock::new(|| {
    Redact::new(&Settings::default(), Level::Strict, Some(&Key::new([7; 32]))).expect("rules without patterns")
});

/// A moment in 2026.
fn now() -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000)
}

/// Bounds that a small input can reach.
fn limits() -> Limits {
    Limits { event_bytes_max: 16 << 10, ..Limits::default() }
}

/// As [`check`], for what repeats in each event what stands once in the body.
fn count(decoded: Decoded) {
    let bytes = decoded.batch.bytes();
    check(&vec![0; bytes / 64], decoded);
}

/// Every item is kept or refused, the journal gives back what it took, and redaction loses none.
fn check(body: &[u8], decoded: Decoded) {
    assert_eq!(decoded.received, decoded.batch.len() + decoded.refused_count(), "an item vanished");
    let bytes = decoded.batch.bytes();
    assert!(bytes <= 4096 + 64 * body.len(), "{} bytes became {bytes}", body.len());
    let mut encoded = Vec::new();
    decoded.batch.encode(&mut encoded);
    let read = Batch::decode(&encoded).expect("the journal reads what it wrote");
    assert!(read == decoded.batch, "the journal changed a batch");
    let count = read.len();
    let (redacted, _) = STRICT.apply(read);
    assert_eq!(redacted.len(), count, "redaction lost an event");
}

pub fn native(body: &[u8]) {
    check(body, intake::native(body, limits(), now()));
}

pub fn entries(body: &[u8]) {
    check(body, intake::entries(body, limits(), now()));
    check(body, intake::form(body, limits(), now()));
}

pub fn records(body: &[u8]) {
    check(body, intake::records(body, limits(), now()));
}

pub fn visitor(body: &[u8]) {
    use intake::visitor::{Sent, arguments};
    let text = String::from_utf8_lossy(body);
    let (query, sent) = text.split_once("\\n").unwrap_or((&text, ""));
    for kind in [Sent::Form(sent.as_bytes()), Sent::Json(sent.as_bytes())] {
        let _ = arguments(query, kind, sent.len() % 2 == 0);
    }
}

pub fn unpack(body: &[u8]) {
    let Some((kind, body)) = body.split_first() else { return };
    let encoding = ["gzip", "deflate", "zstd", "br", "gzip, br"][usize::from(*kind) % 5];
    if let Ok(unpacked) = intake::body::unpack(encoding, body, 1 << 20) {
        assert!(unpacked.len() <= 1 << 20);
    }
}

pub fn lines(body: &[u8]) {
    use intake::lines::{Lines, Settings};
    let mut lines =
        Lines::new(Settings { zone: jiff::tz::TimeZone::UTC, now: jiff::Timestamp::UNIX_EPOCH, line_bytes_max: 4096 });
    let mut records = 0;
    let mut emit = |_| records += 1;
    for chunk in body.chunks(997) {
        lines.push(chunk, &mut emit);
    }
    lines.finish(&mut emit);
    assert!(records <= body.len() + 1);
}

pub fn bulk(body: &[u8]) {
    let bulk = intake::elasticsearch::bulk(body, Some("shop"), limits(), now());
    for part in bulk.parts {
        check(body, part.decoded);
    }
    check(body, intake::elasticsearch::document(body, None, limits(), now()));
}

pub fn sentry_envelope(body: &[u8]) {
    check(body, intake::sentry::envelope(body, limits(), 1 << 12, now()).decoded);
    let _ = intake::sentry::key(body);
}

pub fn sentry_store(body: &[u8]) {
    check(body, intake::sentry::store(body, limits(), now()).decoded);
}

pub fn rollbar(body: &[u8]) {
    let document = intake::rollbar::document(body);
    let _ = intake::rollbar::token(&document);
    check(body, intake::rollbar::item(&document, limits(), now()).decoded);
    let fields = intake::rollbar::deploy_fields(body);
    check(body, intake::rollbar::deploy(&fields, limits(), now()).decoded);
}

pub fn otlp_protobuf(body: &[u8]) {
    use intake::otel::{Encoding, logs, traces};
    for read in [logs, traces] {
        if let Ok(decoded) = read(body, Encoding::Protobuf, limits(), now()) {
            count(decoded);
        }
    }
    let _ = intake::otel::metrics(body, Encoding::Protobuf);
}

pub fn otlp_json(body: &[u8]) {
    use intake::otel::{Encoding, logs, traces};
    for read in [logs, traces] {
        if let Ok(decoded) = read(body, Encoding::Json, limits(), now()) {
            count(decoded);
        }
    }
    let _ = intake::otel::metrics(body, Encoding::Json);
}

pub fn azure(body: &[u8]) {
    let _ = intake::azure::key(body);
    check(body, intake::azure::track(body, limits(), now()));
}

pub fn ga4(body: &[u8]) {
    let sender = intake::ga4::Sender { measurement: "G-1".into(), ip: String::new(), user_agent: String::new() };
    count(intake::ga4::collect(body, &sender, limits(), now()));
    let text = String::from_utf8_lossy(body);
    let (query, lines) = text.split_once('\n').unwrap_or((&text, ""));
    count(intake::ga4::gtag(query, lines.as_bytes(), &sender, limits(), now()));
    let _ = intake::ga4::faults(body, "G-1");
}

pub fn syslog(body: &[u8]) {
    use intake::framing::{Frames, Framing};
    let mut messages = intake::Messages::new(intake::Protocol::Syslog, limits(), now(), jiff::tz::TimeZone::UTC);
    let mut frames = Frames::new(Framing::Syslog, 4096);
    for chunk in body.chunks(61) {
        frames.push(chunk, &mut |message, left_out| messages.push(message, left_out, Some("192.0.2.1")));
    }
    frames.finish(&mut |message, left_out| messages.push(message, left_out, Some("192.0.2.1")));
    count(messages.finish());
}

pub fn gelf(body: &[u8]) {
    check(body, intake::gelf(body, limits(), now()));
}
