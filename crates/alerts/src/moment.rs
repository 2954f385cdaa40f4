//! Moments and spans of time: how kept state writes them, and how people do.

use std::time::Duration;

use event::Timestamp;

/// Longest span that a setting may have: what is longer is a mistyped unit.
pub(crate) const SPAN_MAX: Duration = Duration::from_hours(24 * 366);

const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads `5m`, `1h30m`, `90s`, `250ms`, `2d`, `1w`; a number alone is seconds.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds)).filter(|span| *span <= SPAN_MAX);
    }
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let (unit, after) =
            after.split_at(after.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(after.len()));
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(*size)?)?;
        rest = after.trim_start();
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis)).filter(|span| *span <= SPAN_MAX)
}

/// The shortest text that [`span`] reads back.
#[must_use]
pub fn span_text(span: Duration) -> String {
    let mut millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in UNITS {
        if millis >= size {
            text.push_str(&(millis / size).to_string());
            text.push_str(unit);
            millis %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// How long ago `since` was; nothing if it is yet to come.
pub(crate) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now.as_micros().saturating_sub(since.as_micros())).unwrap_or(0))
}

/// The moment `span` after `start`.
pub(crate) fn after(start: Timestamp, span: Duration) -> Timestamp {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(start.as_micros().saturating_add(micros))
}

/// What stands in a field that older state did not have.
pub(crate) fn epoch() -> Timestamp {
    Timestamp::from_micros(0)
}

/// A moment as RFC 3339.
pub(crate) mod kept {
    use event::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(moment)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse(&text).map(|(moment, _)| moment).ok_or_else(|| D::Error::custom("expected RFC 3339"))
    }
}

/// A moment as RFC 3339, or null.
pub(crate) mod kept_or_null {
    use event::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the shape that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(moment: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match moment {
            Some(moment) => serializer.collect_str(moment),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let moment = Timestamp::parse(&text).map(|(moment, _)| moment);
        moment.map(Some).ok_or_else(|| D::Error::custom("expected RFC 3339"))
    }
}

/// A level by its name, or null.
pub(crate) mod level_or_null {
    use event::Level;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the shape that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(level: &Option<Level>, serializer: S) -> Result<S::Ok, S::Error> {
        match level {
            Some(level) => serializer.serialize_str(level.name()),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Level>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.as_deref().and_then(Level::parse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_people_write_them() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(span(text).map(|span| span.as_millis()), expected.map(u128::from), "{text}");
        };
        check("5m", Some(300_000));
        check("1h30m", Some(5_400_000));
        check("1h 30m", Some(5_400_000));
        check("250ms", Some(250));
        check("90", Some(90_000));
        check("2d", Some(172_800_000));
        check("0s", Some(0));
        for wrong in ["", "m", "5 apples", "5M", "-5m", "1.5h", "99999999999999999999s", "5000w"] {
            check(wrong, None);
        }
        for text in ["5m", "1h30m", "250ms", "1w2d", "0s"] {
            assert_eq!(span(text).map(span_text).as_deref(), Some(text));
        }
    }
}
