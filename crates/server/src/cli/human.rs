//! Numbers, sizes, durations and times as people read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1234567` as `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 event`, `2 events`.
pub(super) fn count_of(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Bytes in decimal units, as disks and networks count: `999 B`, `1.5 kB`, `12 MB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut size = number as f64 / 1000.0;
    let mut unit = 0;
    // What would be shown as 1000 is 1.0 of the next unit.
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    if size < 9.95 { format!("{size:.1} {}", UNITS[unit]) } else { format!("{size:.0} {}", UNITS[unit]) }
}

/// A duration with three digits that matter: `870 µs`, `3.21 ms`, `1.5 s`, `4 min 10 s`, `2 h 5 min`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.000_999_5 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 0.009_995 {
        format!("{:.2} ms", seconds * 1e3)
    } else if seconds < 0.099_95 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 0.999_5 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        if whole < 3600 {
            format!("{} min {} s", whole / 60, whole % 60)
        } else {
            format!("{} h {} min", whole / 3600, whole / 60 % 60)
        }
    }
}

/// How many a second, rounded to what can be compared.
pub(super) fn rate(number: u64, over: Duration) -> String {
    let rate = number as f64 / over.as_secs_f64().max(1e-6);
    if rate < 10.0 { format!("{rate:.1}") } else { count(rate as u64) }
}

/// A moment in a zone, to the millisecond. What is no moment is shown as it is.
pub(super) fn moment(text: &str, zone: &TimeZone) -> String {
    in_zone(text, zone, "%Y-%m-%d %H:%M:%S%.3f")
}

/// The same to the minute, for tables.
pub(super) fn minute(text: &str, zone: &TimeZone) -> String {
    in_zone(text, zone, "%Y-%m-%d %H:%M")
}

fn in_zone(text: &str, zone: &TimeZone, format: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime(format).to_string(),
        Err(_) => text.to_owned(),
    }
}

/// How many places of a terminal a text takes.
pub(super) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(character_width).sum() }
}

/// Wide are the scripts of East Asia and pictures; combining marks take no place.
fn character_width(character: char) -> usize {
    match character {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{20d0}'..='\u{20ff}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Fills a text up with blanks on its right.
pub(super) fn pad(text: &str, places: usize) -> String {
    format!("{text}{}", " ".repeat(places.saturating_sub(width(text))))
}

/// Cuts a text that takes more than so many places, and marks the cut.
pub(super) fn cut(text: &str, places: usize) -> String {
    if width(text) <= places {
        return text.to_owned();
    }
    let mut left = places.saturating_sub(1);
    let mut out = String::new();
    for character in text.chars() {
        let Some(rest) = left.checked_sub(character_width(character)) else { break };
        left = rest;
        out.push(character);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 999, 1000, 9_960, 999_400, 999_600, 12_345_678].map(bytes),
            ["0 B", "999 B", "1.0 kB", "10 kB", "999 kB", "1.0 MB", "12 MB"]
        );
        assert_eq!((count_of(1, "event"), count_of(2, "event")), ("1 event".to_owned(), "2 events".to_owned()));
    }

    #[test]
    fn durations() {
        let shown = [87, 999, 3_214, 12_345, 870_000, 1_500_000, 59_990_000, 250_000_000, 7_500_000_000]
            .map(|micros| duration(Duration::from_micros(micros)));
        assert_eq!(
            shown,
            ["87 µs", "999 µs", "3.21 ms", "12.3 ms", "870 ms", "1.5 s", "1 min 0 s", "4 min 10 s", "2 h 5 min"]
        );
    }

    #[test]
    fn places() {
        assert_eq!((width("abc"), width("日本"), width("e\u{301}")), (3, 4, 1));
        assert_eq!(
            (cut("日本語", 5), cut("abcdef", 4), cut("abc", 3)),
            ("日本…".to_owned(), "abc…".to_owned(), "abc".to_owned())
        );
        assert_eq!(moment("2026-01-01T00:00:00.1239Z", &TimeZone::UTC), "2026-01-01 00:00:00.123");
        assert_eq!(moment("soon", &TimeZone::UTC), "soon");
    }
}
