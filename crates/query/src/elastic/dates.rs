//! Dates as Elasticsearch reads, rounds and writes them.
//!
//! A text that leaves out the smaller units names all of the larger one, down to the millisecond that Elasticsearch
//! counts in; our times have microseconds, so that every date is a span with an end.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

use super::ElasticError;

/// Microseconds of a millisecond.
pub(crate) const MILLI: i64 = 1000;

/// What a date names: from the first microsecond to before the last, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moments {
    /// The first microsecond.
    pub(crate) start: i64,
    /// The first microsecond after it.
    pub(crate) end: i64,
}

/// How a date is to be read.
#[derive(Clone, Debug)]
pub(crate) struct Reading<'a> {
    /// `format` of the query: one or several, with `||` between them.
    pub(crate) format: Option<&'a str>,
    /// `time_zone` of the query, for dates that name none.
    pub(crate) zone: TimeZone,
    /// What `now` is.
    pub(crate) now: Timestamp,
}

/// A unit of date math and of calendar intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    /// `y M w d h H m s`.
    fn letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b's' => Self::Second,
            b'm' => Self::Minute,
            b'h' | b'H' => Self::Hour,
            b'd' => Self::Day,
            b'w' => Self::Week,
            b'M' => Self::Month,
            b'y' => Self::Year,
            _ => return None,
        })
    }

    /// The unit of a `calendar_interval`.
    pub(crate) fn calendar(text: &str) -> Option<Self> {
        Some(match text {
            "second" | "1s" => Self::Second,
            "minute" | "1m" => Self::Minute,
            "hour" | "1h" => Self::Hour,
            "day" | "1d" => Self::Day,
            "week" | "1w" => Self::Week,
            "month" | "1M" => Self::Month,
            "quarter" | "1q" => Self::Quarter,
            "year" | "1y" => Self::Year,
            _ => return None,
        })
    }

    fn span(self, count: i64) -> Option<jiff::Span> {
        // Beyond these the library would panic; no date is that far away.
        if count.abs() > 1_000_000_000 {
            return None;
        }
        let span = jiff::Span::new();
        match self {
            Self::Second => span.try_seconds(count),
            Self::Minute => span.try_minutes(count),
            Self::Hour => span.try_hours(count),
            Self::Day => span.try_days(count),
            Self::Week => span.try_weeks(count),
            Self::Month => span.try_months(count),
            Self::Quarter => span.try_months(count * 3),
            Self::Year => span.try_years(count),
        }
        .ok()
    }

    /// The unit's part of time that an instant is in.
    pub(crate) fn around(self, micros: i64, zone: &TimeZone) -> Option<Moments> {
        if matches!(self, Self::Second | Self::Minute | Self::Hour | Self::Day) && zone.to_fixed_offset().is_ok() {
            let length = match self {
                Self::Second => 1,
                Self::Minute => 60,
                Self::Hour => 3600,
                _ => 86_400,
            } * 1_000_000;
            let shift = i64::from(zone.to_fixed_offset().ok()?.seconds()) * 1_000_000;
            let start = (micros + shift).div_euclid(length) * length - shift;
            return Some(Moments { start, end: start + length });
        }
        let local = Timestamp::from_microsecond(micros).ok()?.to_zoned(zone.clone()).datetime();
        let (date, time) = (local.date(), local.time());
        let first = match self {
            Self::Second => date.to_datetime(Time::new(time.hour(), time.minute(), time.second(), 0).ok()?),
            Self::Minute => date.to_datetime(Time::new(time.hour(), time.minute(), 0, 0).ok()?),
            Self::Hour => date.to_datetime(Time::new(time.hour(), 0, 0, 0).ok()?),
            Self::Day => midnight(date),
            Self::Week => midnight(date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days()).ok()?),
            Self::Month => midnight(date.first_of_month()),
            Self::Quarter => midnight(Date::new(date.year(), (date.month() - 1) / 3 * 3 + 1, 1).ok()?),
            Self::Year => midnight(date.first_of_year()),
        };
        let next = first.checked_add(self.span(1)?).ok()?;
        let (start, end) = (instant(first, zone)?, instant(next, zone)?);
        // An hour that the clocks go through twice, or jump over, is still around its own instant.
        if start <= micros && micros < end {
            return Some(Moments { start, end });
        }
        let length = end - start;
        let start = micros.div_euclid(length.max(1)) * length.max(1);
        Some(Moments { start, end: start + length.max(1) })
    }
}

fn midnight(date: Date) -> DateTime {
    date.to_datetime(Time::midnight())
}

fn instant(local: DateTime, zone: &TimeZone) -> Option<i64> {
    Some(local.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond())
}

/// The time zone that a query names.
///
/// # Errors
/// 400 when it is none.
pub(crate) fn zone(text: &str) -> Result<TimeZone, ElasticError> {
    if matches!(text, "Z" | "UTC" | "utc" | "GMT") {
        return Ok(TimeZone::UTC);
    }
    let named = || TimeZone::get(text).ok();
    offset(text)
        .and_then(|seconds| Some(TimeZone::fixed(Offset::from_seconds(seconds).ok()?)))
        .or_else(named)
        .ok_or_else(|| ElasticError::illegal(format!("Unknown time-zone ID: {text}")))
}

/// Seconds of `+01:00`, `-0530`, `+02`.
fn offset(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text.get(1..)?.chars().filter(|character| *character != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 1 | 2 | 4 | 6) {
        return None;
    }
    let part = |from: usize| digits.get(from..(from + 2).min(digits.len())).filter(|part| !part.is_empty());
    let number = |from: usize| part(from).map_or(Some(0), |part| part.parse::<i32>().ok());
    Some(sign * (number(0)? * 3600 + number(2)? * 60 + number(4)?))
}

/// Reads a date, or date math: `now-1h/d`, `2024-01-02||+1M/d`, `1704153600000`.
pub(crate) fn read(text: &str, reading: &Reading<'_>) -> Option<Moments> {
    let text = text.trim();
    let (mut moments, math) = if let Some(math) = text.strip_prefix("now") {
        let now = reading.now.as_microsecond();
        (Moments { start: now, end: now + 1 }, math)
    } else {
        let (date, math) = text.split_once("||").unwrap_or((text, ""));
        (date_of(date, reading)?, math)
    };
    if !math.is_empty() {
        moments = Moments { start: moments.start, end: moments.start + 1 };
    }
    let mut rest = math.as_bytes();
    while let Some((sign, after)) = rest.split_first() {
        let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, after) = after.split_at(digits);
        let (letter, after) = after.split_first()?;
        let unit = Unit::letter(*letter)?;
        let count = if number.is_empty() { 1 } else { std::str::from_utf8(number).ok()?.parse::<i64>().ok()? };
        moments = match sign {
            b'/' if count == 1 => unit.around(moments.start, &reading.zone)?,
            b'+' => moved(moments, unit, count, &reading.zone)?,
            b'-' => moved(moments, unit, -count, &reading.zone)?,
            _ => return None,
        };
        rest = after;
    }
    Some(moments)
}

fn moved(moments: Moments, unit: Unit, count: i64, zone: &TimeZone) -> Option<Moments> {
    let move_one = |micros: i64| {
        let local = Timestamp::from_microsecond(micros).ok()?.to_zoned(zone.clone());
        Some(local.checked_add(unit.span(count)?).ok()?.timestamp().as_microsecond())
    };
    Some(Moments { start: move_one(moments.start)?, end: move_one(moments.end)? })
}

fn date_of(text: &str, reading: &Reading<'_>) -> Option<Moments> {
    let formats = reading.format.unwrap_or("strict_date_optional_time||epoch_millis");
    formats.split("||").find_map(|format| match format {
        "epoch_millis" => epoch(text, MILLI),
        "epoch_second" => epoch(text, 1_000_000),
        _ if format.starts_with("strict_") || !format.contains(['y', 'u']) || format.contains("date") => {
            calendar(text, &reading.zone).or_else(|| epoch(text, MILLI))
        }
        pattern => by_pattern(text, pattern, &reading.zone).or_else(|| calendar(text, &reading.zone)),
    })
}

/// A number since 1970, whose unit is so many microseconds.
fn epoch(text: &str, unit: i64) -> Option<Moments> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let micros = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    let below = format!("0.{fraction}").parse::<f64>().ok()? * float(unit);
    let start = sign * micros.checked_add(whole_part(below))?;
    let length = if fraction == "0" { unit } else { 1 };
    Some(Moments { start, end: start.checked_add(length)? })
}

/// ISO 8601 from a year to microseconds, with `T` or a blank, with or without an offset.
fn calendar(text: &str, zone: &TimeZone) -> Option<Moments> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i16> {
        let part = text.get(from..to)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let year = number(0, 4)?;
    let small = |from: usize| number(from, from + 2).and_then(|number| i8::try_from(number).ok());
    let whole = |date: Date, unit: Unit| {
        let (first, next) = (midnight(date), midnight(date).checked_add(unit.span(1)?).ok()?);
        Some(Moments { start: instant(first, zone)?, end: instant(next, zone)? })
    };
    match bytes.get(4) {
        None => return whole(Date::new(year, 1, 1).ok()?, Unit::Year),
        Some(b'-') => {}
        Some(_) => return None,
    }
    let month = small(5)?;
    match bytes.get(7) {
        None => return whole(Date::new(year, month, 1).ok()?, Unit::Month),
        Some(b'-') => {}
        Some(_) => return None,
    }
    let date = Date::new(year, month, small(8)?).ok()?;
    match bytes.get(10) {
        None => whole(date, Unit::Day),
        Some(b'T' | b't' | b' ') if bytes.len() == 11 => whole(date, Unit::Day),
        Some(b'T' | b't' | b' ') => clock(date, text.get(11..)?, zone),
        Some(_) => None,
    }
}

fn clock(date: Date, text: &str, zone: &TimeZone) -> Option<Moments> {
    let end = text.find(['Z', 'z', '+', '-', ' ']).unwrap_or(text.len());
    let (time, place) = text.split_at(end);
    let place = place.trim();
    let own = match place {
        "" => None,
        "Z" | "z" => Some(TimeZone::UTC),
        place => Some(TimeZone::fixed(Offset::from_seconds(offset(place)?).ok()?)),
    };
    let (time, fraction) = time.split_once(['.', ',']).unwrap_or((time, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let parts: Vec<i8> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let (time, length) = match parts[..] {
        [hour] => (Time::new(hour, 0, 0, 0).ok()?, 3_600_000_000),
        [hour, minute] => (Time::new(hour, minute, 0, 0).ok()?, 60_000_000),
        [hour, minute, second] => (Time::new(hour, minute, second.min(59), 0).ok()?, 1_000_000),
        _ => return None,
    };
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let length = match fraction.len() {
        0 => length,
        1..=3 => MILLI,
        _ => 1,
    };
    let start = instant(date.to_datetime(time), own.as_ref().unwrap_or(zone))? + micros;
    Some(Moments { start, end: start + length })
}

/// By a pattern like `dd/MM/yyyy HH:mm`: its letters are digits, everything else stands for itself.
fn by_pattern(text: &str, pattern: &str, zone: &TimeZone) -> Option<Moments> {
    let (mut year, mut month, mut day, mut clock) = (1970_i16, 1_i8, 1_i8, [0_i8; 3]);
    let mut rest = text;
    let mut letters = pattern.chars().filter(|letter| *letter != '\'').peekable();
    while let Some(letter) = letters.next() {
        let mut count = 1;
        while letters.peek() == Some(&letter) && letter.is_ascii_alphabetic() {
            letters.next();
            count += 1;
        }
        if !matches!(letter, 'y' | 'u' | 'M' | 'd' | 'H' | 'm' | 's') {
            rest = rest.strip_prefix(letter)?;
            continue;
        }
        let most = if matches!(letter, 'y' | 'u') { 4 } else { count.max(2) };
        let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let number: i16 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let small = i8::try_from(number).ok();
        match letter {
            'y' | 'u' => year = number,
            'M' => month = small?,
            'd' => day = small?,
            'H' => clock[0] = small?,
            'm' => clock[1] = small?,
            _ => clock[2] = small?,
        }
    }
    if !rest.is_empty() {
        return None;
    }
    let units = [('s', Unit::Second), ('m', Unit::Minute), ('H', Unit::Hour), ('d', Unit::Day), ('M', Unit::Month)];
    let smallest = units.into_iter().find(|(letter, _)| pattern.contains(*letter)).map_or(Unit::Year, |(_, unit)| unit);
    let local = Date::new(year, month, day).ok()?.to_datetime(Time::new(clock[0], clock[1], clock[2], 0).ok()?);
    let next = local.checked_add(smallest.span(1)?).ok()?;
    Some(Moments { start: instant(local, zone)?, end: instant(next, zone)? })
}

/// The pattern of a format that has a name, or is one.
fn pattern_of(format: Option<&str>) -> Option<&str> {
    match format {
        Some("strict_date" | "date" | "strict_year_month_day" | "year_month_day") => Some("yyyy-MM-dd"),
        Some("basic_date") => Some("yyyyMMdd"),
        Some("strict_year" | "year") => Some("yyyy"),
        Some("strict_year_month" | "year_month") => Some("yyyy-MM"),
        Some("date_hour_minute_second" | "strict_date_hour_minute_second") => Some("yyyy-MM-dd'T'HH:mm:ss"),
        Some("date_time_no_millis" | "strict_date_time_no_millis") => Some("yyyy-MM-dd'T'HH:mm:ssXXX"),
        Some(pattern)
            if !pattern.starts_with("strict_")
                && !pattern.starts_with("date_")
                && pattern.contains(['y', 'u', 'M', 'd', 'H']) =>
        {
            Some(pattern)
        }
        _ => None,
    }
}

/// Writes an instant of so many milliseconds since 1970 in a format; `strict_date_optional_time` if there is none.
pub(crate) fn write(millis: i64, format: Option<&str>, zone: &TimeZone) -> String {
    let format = format.and_then(|format| format.split("||").next());
    match format {
        Some("epoch_millis") => return millis.to_string(),
        Some("epoch_second") => return millis.div_euclid(1000).to_string(),
        _ => {}
    }
    let Ok(instant) = Timestamp::from_millisecond(millis) else { return millis.to_string() };
    let local = instant.to_zoned(zone.clone());
    let place = if local.offset() == Offset::UTC {
        "Z".to_owned()
    } else {
        jiff::fmt::strtime::format("%:z", &local).unwrap_or_default()
    };
    let shown = pattern_of(format);
    let pattern = shown.unwrap_or("yyyy-MM-dd'T'HH:mm:ss.SSSXXX");
    let mut written = String::new();
    let mut letters = pattern.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            quoted = !quoted;
            continue;
        }
        let mut width = 1_usize;
        while !quoted && letter.is_ascii_alphabetic() && letters.peek() == Some(&letter) {
            letters.next();
            width += 1;
        }
        let number = match letter {
            _ if quoted => None,
            'y' | 'u' => Some(i64::from(local.year())),
            'M' if width >= 3 => {
                written.push_str(&local.strftime("%b").to_string());
                continue;
            }
            'E' => {
                written.push_str(&local.strftime("%a").to_string());
                continue;
            }
            'M' => Some(i64::from(local.month())),
            'd' => Some(i64::from(local.day())),
            'H' => Some(i64::from(local.hour())),
            'm' => Some(i64::from(local.minute())),
            's' => Some(i64::from(local.second())),
            'S' => Some(i64::from(local.millisecond())),
            'X' | 'x' | 'Z' | 'z' => {
                written.push_str(&place);
                continue;
            }
            _ => None,
        };
        match number {
            Some(number) => {
                let digits = number.to_string();
                written.extend(std::iter::repeat_n('0', width.min(9).saturating_sub(digits.len())));
                written.push_str(&digits);
            }
            None => written.push(letter),
        }
    }
    written
}

/// The length of a `fixed_interval` in milliseconds: `30s`, `1h`, `7d`.
pub(crate) fn fixed(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit).filter(|length| *length > 0)
}

#[expect(clippy::cast_precision_loss, reason = "units are small")]
fn float(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, reason = "below one unit")]
fn whole_part(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(format: Option<&str>) -> Reading<'_> {
        Reading { format, zone: TimeZone::UTC, now: "2026-01-31T12:34:56.789Z".parse().unwrap() }
    }

    fn shown(text: &str, format: Option<&str>) -> String {
        let micros = |micros| Timestamp::from_microsecond(micros).unwrap();
        read(text, &reading(format))
            .map_or_else(String::new, |moments| format!("{} {}", micros(moments.start), micros(moments.end)))
    }

    #[test]
    fn dates_and_date_math() {
        for (text, expected) in [
            ("2024", "2024-01-01T00:00:00Z 2025-01-01T00:00:00Z"),
            ("2024-02", "2024-02-01T00:00:00Z 2024-03-01T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z 2024-03-01T00:00:00Z"),
            ("2024-02-29T10", "2024-02-29T10:00:00Z 2024-02-29T11:00:00Z"),
            ("2024-02-29T10:05", "2024-02-29T10:05:00Z 2024-02-29T10:06:00Z"),
            ("2024-02-29 10:05:07Z", "2024-02-29T10:05:07Z 2024-02-29T10:05:08Z"),
            ("2024-02-29T10:05:07.1Z", "2024-02-29T10:05:07.1Z 2024-02-29T10:05:07.101Z"),
            ("2024-02-29T10:05:07.123456+02:00", "2024-02-29T08:05:07.123456Z 2024-02-29T08:05:07.123457Z"),
            ("1704153600000", "2024-01-02T00:00:00Z 2024-01-02T00:00:00.001Z"),
            ("-1000", "1969-12-31T23:59:59Z 1969-12-31T23:59:59.001Z"),
            ("now/d", "2026-01-31T00:00:00Z 2026-02-01T00:00:00Z"),
            ("now-1h/h", "2026-01-31T11:00:00Z 2026-01-31T12:00:00Z"),
            ("now-1M/M", "2025-12-01T00:00:00Z 2026-01-01T00:00:00Z"),
            ("2024-01-02||+1M/d", "2024-02-02T00:00:00Z 2024-02-03T00:00:00Z"),
            ("now/w", "2026-01-26T00:00:00Z 2026-02-02T00:00:00Z"),
        ] {
            assert_eq!(shown(text, None), expected, "{text}");
        }
        assert_eq!(shown("1704153600", Some("epoch_second")), "2024-01-02T00:00:00Z 2024-01-02T00:00:01Z");
        assert_eq!(shown("02/01/2024", Some("dd/MM/yyyy")), "2024-01-02T00:00:00Z 2024-01-03T00:00:00Z");
        for text in ["", "x", "now+", "now-1", "now/", "now-99999999999y", "2024-13", "2024-02-30", "2024-01-01T25"] {
            assert_eq!(shown(text, None), "", "{text}");
        }
    }

    #[test]
    fn dates_are_written() {
        let berlin = zone("+01:00").unwrap();
        assert_eq!(write(1_704_153_600_123, None, &TimeZone::UTC), "2024-01-02T00:00:00.123Z");
        assert_eq!(write(1_704_153_600_123, None, &berlin), "2024-01-02T01:00:00.123+01:00");
        assert_eq!(write(1_704_153_600_123, Some("yyyy-MM-dd HH:mm"), &TimeZone::UTC), "2024-01-02 00:00");
        assert_eq!(write(1_704_153_600_123, Some("epoch_second"), &TimeZone::UTC), "1704153600");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(now)?[-+/|0-9TZ:. dMywhms]{0,30}", micros: i64) {
            let _ = read(&text, &reading(None));
            let _ = read(&text, &reading(Some(&text)));
            for unit in [Unit::Second, Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year] {
                let _ = unit.around(micros / 1_000_000, &TimeZone::UTC);
            }
            let _ = write(micros, Some(&text), &TimeZone::UTC);
            let _ = (zone(&text), fixed(&text));
        }
    }
}
