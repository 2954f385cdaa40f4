use std::fmt;

use crate::{Timestamp, format_uuid, parse_uuid};

/// The id of an event, which is also its idempotency key: an event sent twice under one id is kept once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// A UUID in its canonical text form (lower case, with hyphens), kept as 16 bytes.
    Uuid([u8; 16]),
    /// Any other text.
    Text(Box<str>),
}

impl Id {
    /// Takes the text of an id as sent.
    #[must_use]
    pub fn new(text: &str) -> Self {
        parse_uuid(text).map_or_else(|| Self::Text(text.into()), Self::Uuid)
    }

    /// A fresh UUID of version 7 for an event that came without an id.
    #[must_use]
    pub fn fresh(now: Timestamp) -> Self {
        let micros = now.as_micros().max(0).unsigned_abs();
        let subsecond_nanos = u32::try_from(micros % 1_000_000 * 1000).unwrap_or(0);
        let time =
            uuid::Timestamp::from_unix(uuid::timestamp::context::ContextV7::new(), micros / 1_000_000, subsecond_nanos);
        Self::Uuid(uuid::Uuid::new_v7(time).into_bytes())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(bytes) => formatter.write_str(&format_uuid(bytes)),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}
