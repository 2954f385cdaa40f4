//! Times as log files write them.

use super::cursor::Cursor;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// How many years back a date without a year is looked for: 29 February is at most eight years ago.
const YEARS_BACK_MAX: i16 = 8;

/// Length of a zone's name in letters.
const ZONE_BYTES_MIN: usize = 3;
const ZONE_BYTES_MAX: usize = 5;

/// What is needed to make a moment of a time that lacks its zone or its year.
#[derive(Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    now: Timestamp,
}

/// A time of the form `2026-11-20T15:59:36.557202Z`, and how it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) timestamp: Timestamp,
    /// Date and time were parted by `T`.
    pub(super) parted_by_t: bool,
    pub(super) has_zone: bool,
    /// The date was written with slashes.
    pub(super) slashes: bool,
    /// The fraction follows a comma, as Python's logging writes it.
    pub(super) comma: bool,
}

impl Clock {
    pub(super) fn new(zone: TimeZone, now: Timestamp) -> Self {
        Self { zone, now }
    }

    pub(super) fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// `2026-11-20 15:59:36`, with `T` or a blank, with `-` or `/`, with or without fraction and zone.
    pub(super) fn iso(&self, cursor: &mut Cursor<'_>) -> Option<Written> {
        let bytes = cursor.rest.as_bytes();
        let separator = *bytes.get(4)?;
        let parting = *bytes.get(10)?;
        if !matches!(separator, b'-' | b'/') || bytes.get(7) != Some(&separator) || !matches!(parting, b'T' | b' ') {
            return None;
        }
        let date = (digits(bytes, 0, 4)?, digits(bytes, 5, 2)?, digits(bytes, 8, 2)?);
        let mut after = Cursor::new(cursor.rest.get(11..)?);
        let time = time_of_day(&mut after)?;
        let local = civil(date, time)?;
        let comma = bytes.get(19) == Some(&b',');
        let offset = zone(&mut after).or_else(|| parted_zone(&mut after));
        let timestamp = self.moment(local, offset)?;
        *cursor = after;
        let (parted_by_t, slashes) = (parting == b'T', separator == b'/');
        Some(Written { timestamp, parted_by_t, has_zone: offset.is_some(), slashes, comma })
    }

    /// `20/Nov/2026:15:59:36 +0000`, and `20/Nov/2026 15:59:36` as Django's development server writes it.
    pub(super) fn access(&self, text: &str) -> Option<Timestamp> {
        let bytes = text.as_bytes();
        if bytes.get(2) != Some(&b'/') || bytes.get(6) != Some(&b'/') || !matches!(bytes.get(11), Some(b':' | b' ')) {
            return None;
        }
        let date = (digits(bytes, 7, 4)?, month(text.get(3..6)?)?, digits(bytes, 0, 2)?);
        let mut after = Cursor::new(text.get(12..)?);
        let time = time_of_day(&mut after)?;
        after.blanks();
        let offset = zone(&mut after);
        if !after.rest.is_empty() {
            return None;
        }
        self.moment(civil(date, time)?, offset)
    }

    /// `Fri Nov 20 16:13:32 2026`, with or without fraction.
    pub(super) fn asctime(&self, text: &str) -> Option<Timestamp> {
        let mut cursor = Cursor::new(text);
        if !WEEKDAYS.contains(&cursor.word()) {
            return None;
        }
        let (month, day) = month_and_day(&mut cursor)?;
        let time = time_of_day(&mut cursor)?;
        cursor.take(" ")?;
        let year = digits(cursor.rest.as_bytes(), 0, 4)?;
        if cursor.rest.len() != 4 {
            return None;
        }
        self.moment(civil((year, month, day), time)?, None)
    }

    /// `Nov 20 15:59:36`: the latest year that does not put it more than a day after now. Also `Nov 20 2026 15:59:36`.
    pub(super) fn without_year(&self, cursor: &mut Cursor<'_>) -> Option<Timestamp> {
        let mut after = *cursor;
        let (month, day) = month_and_day(&mut after)?;
        let with_year = digits(after.rest.as_bytes(), 0, 4).filter(|_| after.rest.as_bytes().get(4) == Some(&b' '));
        if let Some(year) = with_year {
            // Cisco's firewalls do write one.
            after.rest = &after.rest[5..];
            let time = time_of_day(&mut after)?;
            let moment = self.moment(civil((year, month, day), time)?, None)?;
            *cursor = after;
            return Some(moment);
        }
        let time = time_of_day(&mut after)?;
        let latest = self.now.checked_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
        let next_year = self.zone.to_datetime(self.now).year().saturating_add(1);
        let years = (0..=YEARS_BACK_MAX + 1).filter_map(|back| u32::try_from(next_year - back).ok());
        let mut moments = years.filter_map(|year| self.moment(civil((year, month, day), time)?, None));
        let moment = moments.find(|moment| *moment <= latest)?;
        *cursor = after;
        Some(moment)
    }

    /// `Mar  1 18:46:11.123 UTC`, as Cisco's routers write it: with a zone in letters, of which only UTC is known.
    pub(super) fn lettered(&self, cursor: &mut Cursor<'_>) -> Option<Timestamp> {
        let mut after = *cursor;
        let here = self.without_year(&mut after)?;
        let before = *cursor;
        *cursor = after;
        let letters = cursor.rest.strip_prefix(' ').unwrap_or_default();
        let length = letters.bytes().take(ZONE_BYTES_MAX + 1).take_while(u8::is_ascii_uppercase).count();
        if !(ZONE_BYTES_MIN..=ZONE_BYTES_MAX).contains(&length) {
            return Some(here);
        }
        cursor.rest = &letters[length..];
        if !matches!(&letters[..length], "UTC" | "GMT") {
            return Some(here);
        }
        Self { zone: TimeZone::UTC, now: self.now }.without_year(&mut before.clone())
    }

    fn moment(&self, local: DateTime, offset: Option<Offset>) -> Option<Timestamp> {
        let moment = match offset {
            Some(offset) => offset.to_timestamp(local),
            None => self.zone.to_timestamp(local),
        };
        // A zone can push the first or last day out of the years that are written with four digits.
        moment.ok().filter(|moment| (0..=9999).contains(&Offset::UTC.to_datetime(*moment).year()))
    }
}

/// Reads a zone that follows at once: `Z`, `+00:00`, `+0000` or `+00`.
fn zone(cursor: &mut Cursor<'_>) -> Option<Offset> {
    if cursor.take("Z").is_some() {
        return Some(Offset::UTC);
    }
    let bytes = cursor.rest.as_bytes();
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = digits(bytes, 1, 2)?;
    let minutes_at = if bytes.get(3) == Some(&b':') { 4 } else { 3 };
    let (minutes, length) = digits(bytes, minutes_at, 2).map_or((0, 3), |minutes| (minutes, minutes_at + 2));
    if minutes > 59 {
        return None;
    }
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    let offset = Offset::from_seconds(sign * seconds).ok()?;
    cursor.rest = &cursor.rest[length..];
    Some(offset)
}

/// Reads a zone after a blank. Of the shorter forms none would be safe: ` -12` can be a number of the message.
fn parted_zone(cursor: &mut Cursor<'_>) -> Option<Offset> {
    let mut after = *cursor;
    after.take(" ")?;
    if after.take("UTC").or_else(|| after.take("GMT")).is_some() && !after.rest.starts_with(char::is_alphanumeric) {
        *cursor = after;
        return Some(Offset::UTC);
    }
    let offset = zone(&mut after)?;
    if cursor.rest.len() - after.rest.len() < " +0000".len() {
        return None;
    }
    *cursor = after;
    Some(offset)
}

/// Hour, minute, second, and nanoseconds.
type TimeOfDay = (u32, u32, u32, u32);

/// `15:59:36`, with or without a fraction after a point or a comma.
fn time_of_day(cursor: &mut Cursor<'_>) -> Option<TimeOfDay> {
    let bytes = cursor.rest.as_bytes();
    if bytes.get(2) != Some(&b':') || bytes.get(5) != Some(&b':') {
        return None;
    }
    let (hour, minute, second) = (digits(bytes, 0, 2)?, digits(bytes, 3, 2)?, digits(bytes, 6, 2)?);
    let fraction = if matches!(bytes.get(8), Some(b'.' | b',')) { &bytes[9..] } else { &[] };
    let places = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let nanosecond = (0..9).fold(0, |value, place| {
        let digit = if place < places { u32::from(fraction[place] - b'0') } else { 0 };
        value * 10 + digit
    });
    let length = if places > 0 { 9 + places } else { 8 };
    cursor.rest = &cursor.rest[length..];
    // A leap second is written as the second before it: our times have none.
    let second = if second == 60 { 59 } else { second };
    Some((hour, minute, second, nanosecond))
}

fn month_and_day(cursor: &mut Cursor<'_>) -> Option<(u32, u32)> {
    let month = month(cursor.rest.get(..3)?)?;
    let bytes = cursor.rest.as_bytes();
    if bytes.get(3) != Some(&b' ') || bytes.get(6) != Some(&b' ') {
        return None;
    }
    let day = if bytes[4] == b' ' { digits(bytes, 5, 1)? } else { digits(bytes, 4, 2)? };
    cursor.rest = &cursor.rest[7..];
    Some((month, day))
}

fn month(name: &str) -> Option<u32> {
    let index = MONTHS.iter().position(|month| *month == name)?;
    u32::try_from(index + 1).ok()
}

fn civil((year, month, day): (u32, u32, u32), (hour, minute, second, nanosecond): TimeOfDay) -> Option<DateTime> {
    let small = |value: u32| i8::try_from(value).ok();
    let year = i16::try_from(year).ok()?;
    let nanosecond = i32::try_from(nanosecond).ok()?;
    DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second)?, nanosecond).ok()
}

fn digits(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    bytes
        .get(at..at + count)?
        .iter()
        .try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

/// Writes `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
pub(super) fn write_timestamp(json: &mut String, moment: Timestamp) {
    let utc = Offset::UTC.to_datetime(moment);
    let parts = [
        (i32::from(utc.year()), 4, '-'),
        (i32::from(utc.month()), 2, '-'),
        (i32::from(utc.day()), 2, 'T'),
        (i32::from(utc.hour()), 2, ':'),
        (i32::from(utc.minute()), 2, ':'),
        (i32::from(utc.second()), 2, '.'),
        (utc.subsec_nanosecond() / 1000, 6, 'Z'),
    ];
    for (value, width, end) in parts {
        let mut unit = 10_i32.pow(width - 1);
        while unit > 0 {
            let digit = u32::try_from(value / unit % 10).unwrap_or(0);
            json.push(char::from_digit(digit, 10).unwrap_or('0'));
            unit /= 10;
        }
        json.push(end);
    }
}
