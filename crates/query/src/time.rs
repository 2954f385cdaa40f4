//! Times as people type them: dates, RFC 3339, seconds since 1970, and "an hour ago".
//!
//! A text that leaves out the smaller units names all of the larger one: `2026-01-31` is a whole day. So "up to" that
//! day includes it, "after" it begins with the next, and equal to it is anywhere in it. A time with seconds is an
//! instant. Without an offset it is UTC.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::filter::{Comparison, Filter, Scalar, Test};

/// What to write where a time is expected; for error messages.
pub const TIME_FORMS: &str =
    "write a time like 2026-01-31, 2026-01-31T10:00, 1767225600 (seconds since 1970), -1h, -7d or now";

/// What a typed time names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The instant, or the first one of the span.
    pub start: Timestamp,
    /// The first instant after the span; none if an instant was typed.
    pub end: Option<Timestamp>,
}

/// Whether values of this key are times, so that `-1h` and `2026-01-31` mean something.
pub fn is_time_key(key: &str) -> bool {
    matches!(key, "timestamp" | "received")
}

/// The instant that a text names, or the first one of the span it names.
pub fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    moment(text, now).map(|moment| moment.start)
}

/// The instant or the span that a text names.
pub fn moment(text: &str, now: Timestamp) -> Option<Moment> {
    let text = text.trim();
    if let Some(instant) = relative(text, now).or_else(|| epoch(text)) {
        return Some(Moment { start: instant, end: None });
    }
    calendar(text)
}

/// `field` compared with a time.
pub fn compare(field: &str, comparison: Comparison, text: &str, now: Timestamp) -> Option<Filter> {
    let Moment { start, end } = moment(text, now)?;
    let (comparison, instant) = match (comparison, end) {
        (Comparison::Greater, Some(end)) => (Comparison::GreaterOrEqual, end),
        (Comparison::LessOrEqual, Some(end)) => (Comparison::Less, end),
        (other, _) => (other, start),
    };
    Some(bound(field, comparison, instant))
}

/// `field` at a time: within the span named, or, for a relative time, between it and now.
pub fn at(field: &str, text: &str, now: Timestamp) -> Option<Filter> {
    let Moment { start, end } = moment(text, now)?;
    let (from, upper, to) = match end {
        Some(end) => (start, Comparison::Less, end),
        // "an hour ago" as one instant finds nothing; whoever asks for it means the last hour.
        None if relative(text.trim(), now).is_some() => (start.min(now), Comparison::LessOrEqual, start.max(now)),
        None => return Some(Filter::field(field, Test::equal(written(start)))),
    };
    Some(Filter::and([bound(field, Comparison::GreaterOrEqual, from), bound(field, upper, to)]))
}

/// RFC 3339 in UTC, to the microsecond: the form in which times stand in a filter.
pub fn written(time: Timestamp) -> String {
    format!("{time:.6}")
}

fn bound(field: &str, comparison: Comparison, time: Timestamp) -> Filter {
    Filter::field(field, Test::Compare(comparison, Scalar::new(written(time))))
}

/// `now`, `-1h`, `now-1h`, `+1d12h`.
fn relative(text: &str, now: Timestamp) -> Option<Timestamp> {
    let distance = text.strip_prefix("now").unwrap_or(text);
    if distance.is_empty() {
        return (text == "now").then_some(now);
    }
    let sign = match distance.as_bytes().first() {
        Some(b'-') => -1,
        Some(b'+') => 1,
        _ => return None,
    };
    let mut rest = distance.get(1..)?;
    let mut seconds = 0_i64;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let mut units = after.chars();
        let unit = match units.next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        seconds = number.parse::<i64>().ok()?.checked_mul(unit)?.checked_add(seconds)?;
        rest = units.as_str();
    }
    // A sign with nothing after it is no time.
    let distance = (distance.len() > 1).then_some(SignedDuration::from_secs(sign * seconds))?;
    now.checked_add(distance).ok()
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their length: seconds reach the year
/// 5138, milliseconds begin in 1973. Up to four digits are a year, not seconds.
fn epoch(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !(5..=19).contains(&whole.len()) || !digits(whole) || !fraction.is_none_or(digits) {
        return None;
    }
    let number: i128 = whole.parse().ok()?;
    let unit = match whole.len() {
        5..=11 => 1_000_000_000,
        12..=14 => 1_000_000,
        15..=17 => 1_000,
        _ => 1,
    };
    let below = match fraction {
        Some(fraction) => i128::from(format!("{fraction:0<9}").get(..9)?.parse::<u32>().ok()?) * unit / 1_000_000_000,
        None => 0,
    };
    Timestamp::from_nanosecond(number.checked_mul(unit)?.checked_add(below)?).ok()
}

/// A year, a month, a day, or a day and a time with or without an offset.
fn calendar(text: &str) -> Option<Moment> {
    let span = |first: Date, last: Result<Date, jiff::Error>| {
        let midnight = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
        Some(Moment { start: midnight(first)?, end: Some(midnight(last.ok()?)?) })
    };
    let shape: String =
        text.chars().map(|character| if character.is_ascii_digit() { '0' } else { character }).collect();
    match shape.as_str() {
        "0000" => {
            let first = format!("{text}-01-01").parse::<Date>().ok()?;
            span(first, first.checked_add(1.year()))
        }
        "0000-00" => {
            let first = format!("{text}-01").parse::<Date>().ok()?;
            span(first, first.checked_add(1.month()))
        }
        "0000-00-00" => {
            let first = text.parse::<Date>().ok()?;
            span(first, first.tomorrow())
        }
        shape if shape.starts_with("0000-00-00") => clock(text),
        _ => None,
    }
}

/// A day and a time, with or without an offset; without seconds it is the whole minute.
fn clock(text: &str) -> Option<Moment> {
    let time = text.get(11..)?;
    // In a query string the plus of an offset, unless escaped, arrives as a space.
    let repaired = time.rsplit_once(' ').map(|(clock, offset)| format!("{}{clock}+{offset}", &text[..11]));
    let text = repaired.as_deref().unwrap_or(text);
    let start = match text.parse::<Timestamp>() {
        Ok(instant) => instant,
        // Only where there is no offset at all: a civil time would silently ignore one.
        Err(_) if text.get(11..)?.contains(['+', '-', 'Z', 'z', '[']) => return None,
        Err(_) => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    let clock_bytes = time.find(['+', '-', 'Z', 'z', ' ']).unwrap_or(time.len());
    let length_s = match clock_bytes {
        5 => Some(60),
        2 => Some(3_600),
        _ => None,
    };
    let end = length_s.and_then(|length_s| start.checked_add(SignedDuration::from_secs(length_s)).ok());
    Some(Moment { start, end })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn times_are_read() {
        let cases = [
            ("now", "2026-01-31T12:00:00.000000Z"),
            ("-1h", "2026-01-31T11:00:00.000000Z"),
            ("now-15m", "2026-01-31T11:45:00.000000Z"),
            ("-7d", "2026-01-24T12:00:00.000000Z"),
            ("+1d12h", "2026-02-02T00:00:00.000000Z"),
            ("-2w", "2026-01-17T12:00:00.000000Z"),
            ("1767225600", "2026-01-01T00:00:00.000000Z"),
            ("1767225600.25", "2026-01-01T00:00:00.250000Z"),
            ("1767225600123", "2026-01-01T00:00:00.123000Z"),
            ("1767225600123456", "2026-01-01T00:00:00.123456Z"),
            ("1767225600123456789", "2026-01-01T00:00:00.123456Z"),
            ("2026", "2026-01-01T00:00:00.000000Z"),
            ("2026-01-02", "2026-01-02T00:00:00.000000Z"),
            ("2026-01-02T10:00", "2026-01-02T10:00:00.000000Z"),
            ("2026-01-02 10:00:05", "2026-01-02T10:00:05.000000Z"),
            ("2026-01-02T10:00:05.5Z", "2026-01-02T10:00:05.500000Z"),
            ("2026-01-02T10:00+02:00", "2026-01-02T08:00:00.000000Z"),
            ("2026-01-02T10:00:00 02:00", "2026-01-02T08:00:00.000000Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text, now()).map(written).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        let cases =
            ["", "-", "+", "now-", "nowadays", "-1", "1h", "-1y", "-h", "-99999999999999999999d", "12", "tomorrow"];
        let dates = [
            "2026-13",
            "2026-01-32",
            "2026-01-01T25:00",
            "2026-01-01T10:00+99:00",
            "2026-01-01x",
            "99999999999999999999",
        ];
        for text in cases.into_iter().chain(dates) {
            assert_eq!(time(text, now()), None, "{text}");
        }
    }

    #[test]
    fn a_larger_unit_is_a_span() {
        let end = |text: &str| moment(text, now()).unwrap().end.map(written);
        assert_eq!(end("2026").as_deref(), Some("2027-01-01T00:00:00.000000Z"));
        assert_eq!(end("2026-01").as_deref(), Some("2026-02-01T00:00:00.000000Z"));
        assert_eq!(end("2026-02-28").as_deref(), Some("2026-03-01T00:00:00.000000Z"));
        assert_eq!(end("2026-01-01T10:00Z").as_deref(), Some("2026-01-01T10:01:00.000000Z"));
        assert_eq!(end("2026-01-01T10:00:00"), None);
        assert_eq!(end("-1h"), None);
    }

    #[test]
    fn bounds_include_or_exclude_the_whole_span() {
        let printed = |comparison, text| compare("timestamp", comparison, text, now()).unwrap().to_string();
        assert_eq!(printed(Comparison::Less, "2026-01-02"), r#"timestamp:<"2026-01-02T00:00:00.000000Z""#);
        assert_eq!(printed(Comparison::LessOrEqual, "2026-01-02"), r#"timestamp:<"2026-01-03T00:00:00.000000Z""#);
        assert_eq!(printed(Comparison::Greater, "2026-01-02"), r#"timestamp:>="2026-01-03T00:00:00.000000Z""#);
        assert_eq!(printed(Comparison::GreaterOrEqual, "2026-01-02"), r#"timestamp:>="2026-01-02T00:00:00.000000Z""#);
        assert_eq!(printed(Comparison::Greater, "-1h"), r#"timestamp:>"2026-01-31T11:00:00.000000Z""#);
        let last_hour = r#"timestamp:>="2026-01-31T11:00:00.000000Z" timestamp:<="2026-01-31T12:00:00.000000Z""#;
        assert_eq!(at("timestamp", "-1h", now()).unwrap().to_string(), last_hour);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = moment(&text, now());
        }

        #[test]
        fn nothing_that_looks_like_a_time_makes_it_panic(text in "(now)?[-+]?[0-9]{0,20}[-:TZsmhdw +.é]{0,2}[0-9]{0,12}[-:TZsmhdw +.é]{0,2}[0-9]{0,3}") {
            let _ = moment(&text, now());
        }
    }
}
