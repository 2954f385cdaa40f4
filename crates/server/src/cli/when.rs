//! Moments as people type and read them: an hour ago, in two hours, `3 d ago`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::human::minute;

/// How old something is before its date says more than its age.
const DATED_AFTER_SECONDS: i64 = 60 * 86_400;

/// What to write where a moment of the past is expected.
const PAST: &str = "write how long ago, like 1d or 90m, or a time like 2026-01-31 or 2026-01-31T10:00:00Z";

/// What to write where a moment to come is expected.
const FUTURE: &str = "write for how long, like 2h or 7d, or until when, like 2026-01-31 or 2026-01-31T10:00:00Z";

/// Reads a moment of the past, `1d` being a day ago, and writes it as the server reads it.
///
/// # Errors
/// When it is none.
pub(super) fn past(text: &str) -> Result<String, String> {
    moment(text, Timestamp::now(), -1).ok_or_else(|| PAST.to_owned())
}

/// Reads a moment to come, `2h` being in two hours, and writes it as the server reads it.
///
/// # Errors
/// When it is none.
pub(super) fn future(text: &str) -> Result<String, String> {
    let now = Timestamp::now();
    let found = moment(text, now, 1).ok_or_else(|| FUTURE.to_owned())?;
    match found.parse::<Timestamp>() {
        Ok(moment) if moment <= now => Err(format!("{text} is in the past: {FUTURE}")),
        _ => Ok(found),
    }
}

fn moment(text: &str, now: Timestamp, sign: i64) -> Option<String> {
    let distance = engine::parse_duration(text.trim());
    let found = match distance.and_then(|distance| i64::try_from(distance.as_secs()).ok()) {
        Some(seconds) => now.checked_add(jiff::SignedDuration::from_secs(sign.checked_mul(seconds)?)).ok()?,
        None => engine::time::time(text, now)?,
    };
    Some(engine::time::written(found))
}

/// How long ago a moment was, in one unit: `40 s ago`, `5 min ago`, `3 d ago`; its date if that is long ago.
/// What is no moment is shown as it is.
pub(super) fn ago(text: &str, now: Timestamp) -> String {
    let Ok(then) = text.parse::<Timestamp>() else { return text.to_owned() };
    let seconds = now.duration_since(then).as_secs();
    match seconds {
        i64::MIN..1 => "now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        172_800..DATED_AFTER_SECONDS => format!("{} d ago", seconds / 86_400),
        _ => then.to_zoned(TimeZone::system()).strftime("%Y-%m-%d").to_string(),
    }
}

/// A moment to the minute with its age: `2026-01-31 10:00 (3 d ago)`.
pub(super) fn dated(text: &str, now: Timestamp, zone: &TimeZone) -> String {
    let (minute, ago) = (minute(text, zone), ago(text, now));
    if ago == minute || minute.starts_with(&ago) { minute } else { format!("{minute} ({ago})") }
}

/// Whether a moment is yet to come.
pub(super) fn is_ahead(text: &str, now: Timestamp) -> bool {
    text.parse::<Timestamp>().is_ok_and(|moment| moment > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_typed_in_several_ways() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        for (text, sign, expected) in [
            ("1d", -1, Some("2026-01-01T03:04:05.000000Z")),
            ("90m", -1, Some("2026-01-02T01:34:05.000000Z")),
            ("-90m", -1, Some("2026-01-02T01:34:05.000000Z")),
            ("2h", 1, Some("2026-01-02T05:04:05.000000Z")),
            ("2026-01-01", -1, Some("2026-01-01T00:00:00.000000Z")),
            ("2026-01-01T10:00:00+01:00", 1, Some("2026-01-01T09:00:00.000000Z")),
            ("soon", 1, None),
            ("", -1, None),
        ] {
            assert_eq!(moment(text, now, sign).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let now: Timestamp = "2026-03-20T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-03-20T12:00:07Z", "now"),
            ("2026-03-20T11:59:20Z", "40 s ago"),
            ("2026-03-20T11:00:01Z", "59 min ago"),
            ("2026-03-19T10:00:00Z", "26 h ago"),
            ("2026-03-01T12:00:00Z", "19 d ago"),
            ("2025-06-15T12:00:00Z", "2025-06-15"),
            ("soon", "soon"),
        ] {
            assert_eq!(ago(text, now), expected, "{text}");
        }
        assert_eq!(dated("2026-03-20T11:30:00Z", now, &TimeZone::UTC), "2026-03-20 11:30 (30 min ago)");
        assert!(is_ahead("2026-03-20T12:00:01Z", now) && !is_ahead("2026-03-20T12:00:00Z", now));
    }
}
