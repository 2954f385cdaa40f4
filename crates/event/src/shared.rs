//! The shared keys: columns of their own, whatever door an event came through.

/// Keys in the order in which an answer shows them. `exception` stands for the keys below it.
pub const ORDER: [&str; 29] = [
    "id",
    "timestamp",
    "received",
    "stream",
    "level",
    "event",
    "message",
    "source",
    "logger",
    "user",
    "request_id",
    "trace_id",
    "span_id",
    "session",
    "method",
    "url",
    "path",
    "status",
    "duration_ms",
    "ip",
    "user_agent",
    "release",
    "environment",
    "service",
    "host",
    "exception",
    "object_type",
    "object_id",
    "sequence",
];

/// Whether a column of this key may stand for an object of the same name: `user` for `{"user":{"id":7}}`. The other
/// way round only for `exception`, where the text is what was sent and `exception.type` is derived.
#[must_use]
pub fn may_stand_for_object(key: &str) -> bool {
    key != "exception" && ORDER.contains(&key)
}

/// Keys by which one thing is looked up: the index keeps, for each of their values, the blocks it occurs in.
pub const ID_LIKE: [&str; 11] = [
    "user",
    "request_id",
    "trace_id",
    "span_id",
    "session",
    "object",
    "object_id",
    "object_uuid",
    "fingerprint",
    "correlation_id",
    "task_id",
];

/// Who an event belongs to when it names nobody.
pub const SYSTEM_USER: &str = "system";

/// The streams of a fresh installation.
pub const STREAMS: [&str; 11] = [
    "INFO",
    "WARN",
    "DEBUG",
    "LOGIN",
    "ERROR",
    "SECURITY ALERT",
    "STRANGE ACTIVITY",
    "INTERNAL",
    "AUDIT",
    "VIEW",
    "SPAN",
];

/// The name of a stream in its one form: `SECURITY_ALERT` is `SECURITY ALERT`.
#[must_use]
pub fn stream_name(sent: &str) -> &str {
    match sent {
        "SECURITY_ALERT" => "SECURITY ALERT",
        "STRANGE_ACTIVITY" => "STRANGE ACTIVITY",
        other => other,
    }
}

/// The stream of an event that names none.
#[must_use]
pub fn stream_of(level: Option<crate::Level>) -> &'static str {
    use crate::Level;
    match level {
        Some(Level::Trace | Level::Debug) => "DEBUG",
        Some(Level::Warning) => "WARN",
        Some(Level::Error | Level::Critical) => "ERROR",
        Some(Level::Info | Level::Notice) | None => "INFO",
    }
}

/// Where a key stands in an answer; keys that are not shared come after all that are.
#[must_use]
pub fn rank(first_key: &str) -> usize {
    ORDER.iter().position(|key| *key == first_key).unwrap_or(ORDER.len())
}
