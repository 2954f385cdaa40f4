use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

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
        Self::Uuid(fresh_uuid(now))
    }
}

/// A fresh UUID of version 7. Its random bits are hashes under a key that the system made for this thread: to ask the
/// system each time costs more than all the rest.
#[must_use]
pub fn fresh_uuid(now: Timestamp) -> [u8; 16] {
    thread_local! {
        static MADE: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    let millis = now.as_micros().max(0).unsigned_abs() / 1000;
    let random = MADE.with(|(key, count)| {
        count.set(count.get() + 1);
        u128::from(key.hash_one((count.get(), false))) << 64 | u128::from(key.hash_one((count.get(), true)))
    });
    let random = random.to_le_bytes();
    let mut bits = [0; 10];
    bits.copy_from_slice(&random[..10]);
    uuid::Builder::from_unix_timestamp_millis(millis, &bits).into_uuid().into_bytes()
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(bytes) => formatter.write_str(&format_uuid(bytes)),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn fresh_ids_are_of_version_7_and_never_the_same() {
        let now = Timestamp::from_micros(1_767_225_600_123_456);
        let make = move || (0..10_000).map(|_| fresh_uuid(now)).collect::<Vec<_>>();
        let others: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        let mut made: HashSet<[u8; 16]> = make().into_iter().collect();
        others.into_iter().for_each(|other| made.extend(other.join().unwrap()));
        assert_eq!(made.len(), 50_000);
        for bytes in made {
            let uuid = uuid::Uuid::from_bytes(bytes);
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(uuid.get_timestamp().unwrap().to_unix(), (1_767_225_600, 123_000_000));
        }
    }
}
