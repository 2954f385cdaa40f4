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

/// The issue that an error belongs to.
pub const FINGERPRINT: &str = "fingerprint";

/// Whether the values of a key have a column of their own, however many other keys there are.
#[must_use]
pub fn has_column(path: &str) -> bool {
    ORDER.contains(&path) || CLASSES.iter().any(|(class, _)| *class == path)
}

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

/// The path under which a row notes which of its keys were added to a document of Elasticsearch. No key that is
/// sent has it: an underscore that begins a key is escaped.
pub const ADDED: &str = "_added";

/// What classification and grouping add, with the bit that notes it. Bits are kept on disk: those of shared keys count from the
/// lowest, these from the highest, and none may change.
const CLASSES: [(&str, u32); 7] = [
    (FINGERPRINT, 1 << 29),
    ("client.kind", 1 << 31),
    ("client.name", 1 << 31),
    ("client.os", 1 << 31),
    ("client.verified", 1 << 31),
    ("security.probe", 1 << 30),
    ("security.login_outcome", 1 << 30),
];

const _: () = assert!(ORDER.len() <= 29, "a mask has a bit for each shared key beside those of CLASSES");

/// The keys that a document did not have when it was sent: shared ones, and what classification found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added(u32);

impl Added {
    fn bit(path: &str) -> u32 {
        let key = if path.starts_with("exception.") { "exception" } else { path };
        let class = || CLASSES.iter().find(|(class, _)| *class == key).map_or(0, |(_, bit)| *bit);
        ORDER.iter().position(|shared| *shared == key).map_or_else(class, |at| 1 << at)
    }

    /// Notes a key that may be added; others are left alone.
    pub fn add(&mut self, path: &str) {
        self.0 |= Self::bit(path);
    }

    /// Takes one back.
    pub fn remove(&mut self, path: &str) {
        self.0 &= !Self::bit(path);
    }

    /// Whether the column of this path was added. What was sent as `exception` is never; what is below it may be.
    #[must_use]
    pub fn has(self, path: &str) -> bool {
        path != "exception" && self.0 & Self::bit(path) != 0
    }

    /// As a row keeps it: no whole number, which a search for words would find.
    #[must_use]
    pub fn value(self) -> crate::Value<'static> {
        crate::Value::Float(self.number())
    }

    /// The number in that value: a row with more keys differs in it alone.
    #[must_use]
    pub fn number(self) -> f64 {
        f64::from(self.0)
    }

    /// Reads what a row keeps.
    #[must_use]
    pub fn read(value: crate::Value<'_>) -> Self {
        match value {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "casts saturate, and any mask will do"
            )]
            crate::Value::Float(mask) => Self(mask as u32),
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_survives_a_row() {
        let mut added = Added::default();
        for path in ["id", "sequence", "exception.type", "client.kind", "security.probe", "client.ip", "zebra"] {
            added.add(path);
        }
        let read = Added::read(added.value());
        assert_eq!(read, added);
        for path in ["id", "sequence", "exception.frames", "client.name", "client.verified", "security.login_outcome"] {
            assert!(read.has(path), "{path}");
        }
        for path in ["level", "exception", "client", "client.ip", "security", "security.x", "zebra"] {
            assert!(!read.has(path), "{path}");
        }
    }
}
