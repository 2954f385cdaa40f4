//! What holds for every decoder, whatever it is given.

use std::sync::LazyLock;

use event::{Batch, Timestamp};
use intake::redact::{Key, Level, Redact, Settings};
use intake::{Decoded, Limits};

/// The rules that look closest.
static STRICT: LazyLock<Redact> = LazyLock::new(|| {
    Redact::new(&Settings::default(), Level::Strict, Some(&Key::new([7; 32]))).expect("rules without patterns")
});

/// A moment in 2026.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000)
}

/// Bounds that a small input can reach.
#[must_use]
pub fn limits() -> Limits {
    Limits { event_bytes_max: 16 << 10, ..Limits::default() }
}

/// As [`check`], for what repeats in each event what stands once in the body.
pub fn count(decoded: Decoded) {
    let bytes = decoded.batch.bytes();
    check(&vec![0; bytes / 64], decoded);
}

/// Every item is kept or refused, the journal gives back what it took, and redaction loses none.
pub fn check(body: &[u8], decoded: Decoded) {
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
