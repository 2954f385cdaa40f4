use std::fmt;

/// A moment, in microseconds since 1970-01-01T00:00:00Z. Any year from -9999 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MIN_MICROS: i64 = -377_705_023_201_000_000;
const MAX_MICROS: i64 = 253_402_207_200_999_999;

impl Timestamp {
    /// From microseconds since the epoch; moments beyond the years -9999 to 9999 are moved to that bound.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(MIN_MICROS, MAX_MICROS))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 (with `T` or a blank; without a zone it is UTC) or a number as text.
    ///
    /// The second part says whether nothing was lost: false where the text has digits beyond microseconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, bool)> {
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Some(Self::from_jiff(moment));
        }
        if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
            if text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Self::from_epoch_text(text);
            }
            return local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| Self::from_jiff(zoned.timestamp()));
        }
        Self::from_epoch_text(text)
    }

    fn from_epoch_text(text: &str) -> Option<(Self, bool)> {
        if let Ok(number) = text.parse::<i64>() {
            return Self::from_epoch(number);
        }
        let bytes = text.as_bytes();
        let plain = !bytes.is_empty()
            && bytes.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'e' | b'E' | b'+'));
        if plain { Self::from_epoch_float(text.parse().ok()?) } else { None }
    }

    fn from_jiff(moment: jiff::Timestamp) -> (Self, bool) {
        (
            Self::from_micros(moment.as_nanosecond().div_euclid(1000).try_into().unwrap_or(0)),
            moment.subsec_nanosecond() % 1000 == 0,
        )
    }

    /// Reads a whole number since the epoch: seconds, milliseconds, microseconds or nanoseconds, told apart by size.
    ///
    /// Below 10^11 it is seconds (until the year 5138), below 10^14 milliseconds, below 10^17 microseconds.
    #[must_use]
    pub fn from_epoch(number: i64) -> Option<(Self, bool)> {
        let micros = match number.unsigned_abs() {
            0..100_000_000_000 => number.checked_mul(1_000_000)?,
            100_000_000_000..100_000_000_000_000 => number.checked_mul(1000)?,
            100_000_000_000_000..100_000_000_000_000_000 => number,
            _ => return Some((Self(number.div_euclid(1000)), number % 1000 == 0)),
        };
        Some((Self::from_micros(micros), true))
    }

    /// Reads a fractional number since the epoch: seconds below 10^11, milliseconds below 10^14, else microseconds.
    #[must_use]
    pub fn from_epoch_float(number: f64) -> Option<(Self, bool)> {
        let micros = match number.abs() {
            size if size < 1e11 => number * 1e6,
            size if size < 1e14 => number * 1e3,
            size if size < 1e17 => number,
            _ => return None,
        };
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the match above")]
        let whole = micros.round() as i64;
        Some((Self::from_micros(whole), true))
    }

    /// Appends `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
    pub fn write(self, out: &mut String) {
        let moment = jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let printer = const { jiff::fmt::temporal::DateTimePrinter::new().precision(Some(6)) };
        let written = printer.print_timestamp(&moment, out);
        debug_assert!(written.is_ok(), "writing into memory cannot fail");
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(27);
        self.write(&mut text);
        formatter.write_str(&text)
    }
}

/// Where the time comes from, so that tests own it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_accepted_forms() {
        let check = |text: &str| Timestamp::parse(text).map(|(moment, _)| moment.to_string());
        for text in [
            "2024-04-09T20:39:05Z",
            "2024-04-09 20:39:05Z",
            "2024-04-09T22:39:05+02:00",
            "2024-04-09T20:39:05",
            "2024-04-09 20:39:05.000000",
            "1712695145",
            "1712695145000",
            "1712695145000000",
            "1712695145000000000",
            "1712695145.0",
        ] {
            assert_eq!(check(text).as_deref(), Some("2024-04-09T20:39:05.000000Z"), "{text}");
        }
        assert_eq!(check("yesterday"), None);
        assert_eq!(check(""), None);
        assert_eq!(check("0001-01-01T00:00:00Z").as_deref(), Some("0001-01-01T00:00:00.000000Z"));
        assert_eq!(Timestamp::parse("2026-01-01T00:00:00.123456789Z").map(|(_, whole)| whole), Some(false));
    }
}
