//! Quiet hours: the time of day, somewhere on earth, in which nobody is to be woken by what can wait.

use event::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

/// From one time of day to another, every day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietHours {
    from: Time,
    until: Time,
    zone: TimeZone,
    zone_name: String,
}

impl QuietHours {
    /// Reads `22:00-07:00`, in a zone like `Europe/Paris`, `UTC` or `+02:00`. Zones are looked up in the database of the machine.
    ///
    /// # Errors
    ///
    /// What was expected, if it is neither.
    pub fn parse(text: &str, zone_name: &str) -> Result<Self, &'static str> {
        let expected = "two times of day like 22:00-07:00";
        let (from, until) = text.split_once('-').ok_or(expected)?;
        let (from, until) = (time(from).ok_or(expected)?, time(until).ok_or(expected)?);
        if from == until {
            return Err("two different times of day like 22:00-07:00");
        }
        let zone = zone(zone_name).ok_or("a zone like Europe/Paris, UTC or +02:00")?;
        Ok(Self { from, until, zone, zone_name: zone_name.to_owned() })
    }

    /// When they end, if `now` is in them.
    #[must_use]
    pub fn end(&self, now: Timestamp) -> Option<Timestamp> {
        let moment = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?;
        let local = moment.to_zoned(self.zone.clone());
        let time = local.time();
        let over_midnight = self.from > self.until;
        let within =
            if over_midnight { time >= self.from || time < self.until } else { time >= self.from && time < self.until };
        if !within {
            return None;
        }
        let today = local.date();
        let date = if over_midnight && time >= self.from { today.tomorrow().ok()? } else { today };
        let end = date.to_datetime(self.until).to_zoned(self.zone.clone()).ok()?;
        // Where clocks are set back, a time of day comes twice: never an end that is past.
        let end = Timestamp::from_micros(end.timestamp().as_microsecond());
        Some(if end > now { end } else { crate::moment::after(now, std::time::Duration::from_mins(1)) })
    }

    /// `22:00-07:00`
    #[must_use]
    pub fn text(&self) -> String {
        let (from, until) = (self.from, self.until);
        format!("{:02}:{:02}-{:02}:{:02}", from.hour(), from.minute(), until.hour(), until.minute())
    }

    /// The zone, as it was written.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |part: &str| !part.is_empty() && part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
    if (hour, minute) == (24, 0) {
        return Some(Time::midnight());
    }
    Time::new(hour, minute, 0, 0).ok()
}

fn zone(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("utc") || name == "Z" {
        return Some(TimeZone::UTC);
    }
    let signed = name.strip_prefix('+').map(|rest| (1, rest)).or_else(|| name.strip_prefix('-').map(|rest| (-1, rest)));
    if let Some((sign, rest)) = signed {
        let offset = time(rest)?;
        let seconds = i32::from(offset.hour()) * 3600 + i32::from(offset.minute()) * 60;
        return jiff::tz::Offset::from_seconds(sign * seconds).ok().map(TimeZone::fixed);
    }
    TimeZone::get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a moment").0
    }

    #[test]
    fn quiet_hours_end() {
        let check = |hours: &str, zone: &str, now: &str, expected: Option<&str>| {
            let end = QuietHours::parse(hours, zone).expect("quiet hours").end(moment(now));
            assert_eq!(end, expected.map(moment), "{hours} {zone} {now}");
        };
        check("22:00-07:00", "UTC", "2026-01-02T21:59:59Z", None);
        check("22:00-07:00", "UTC", "2026-01-02T22:00:00Z", Some("2026-01-03T07:00:00Z"));
        check("22:00-07:00", "UTC", "2026-01-03T06:59:59Z", Some("2026-01-03T07:00:00Z"));
        check("22:00-07:00", "UTC", "2026-01-03T07:00:00Z", None);
        check("12:00-13:30", "UTC", "2026-01-03T13:00:00Z", Some("2026-01-03T13:30:00Z"));
        check("18:00-24:00", "UTC", "2026-01-03T19:00:00Z", Some("2026-01-04T00:00:00Z"));
        check("22:00-07:00", "+02:00", "2026-01-02T20:30:00Z", Some("2026-01-03T05:00:00Z"));
        check("22:00-07:00", "-05:30", "2026-01-02T20:30:00Z", None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (hours, zone) in [
            ("22-7", "UTC"),
            ("22:00", "UTC"),
            ("25:00-07:00", "UTC"),
            ("22:60-07:00", "UTC"),
            ("07:00-07:00", "UTC"),
            ("22:00-07:00", "Middle/Earth"),
            ("22:00-07:00", "+2"),
        ] {
            assert!(QuietHours::parse(hours, zone).is_err(), "{hours} {zone}");
        }
        let hours = QuietHours::parse("9:05-24:00", "+02:00").expect("quiet hours");
        assert_eq!((hours.text().as_str(), hours.zone_name()), ("09:05-00:00", "+02:00"));
    }
}
