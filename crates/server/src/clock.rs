//! The clock of the server: that of the machine, or one that stands still for tests of exact values.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use event::{Clock, SystemClock, Timestamp};

/// The variable that sets a clock for tests.
pub(crate) const VARIABLE: &str = "EVERLOG_TEST_CLOCK";

/// A clock that shows one moment, for ever or for a while.
#[derive(Debug)]
struct TestClock {
    shows: Timestamp,
    /// How long it stands before it goes on from the moment it shows; `None` is for ever.
    stands: Option<Duration>,
    since: Instant,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let gone = self.stands.map_or(Duration::ZERO, |stands| self.since.elapsed().saturating_sub(stands));
        Timestamp::from_micros(self.shows.as_micros() + i64::try_from(gone.as_micros()).unwrap_or(0))
    }
}

/// The clock that the environment asks for.
///
/// # Errors
/// When it asks for one that cannot be.
pub(crate) fn from_environment() -> anyhow::Result<Arc<dyn Clock>> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(Arc::new(SystemClock)) };
    let clock = read(&text.to_string_lossy())?;
    tracing::warn!("{VARIABLE} is set: the time of this server is {} and not that of the world", clock.shows);
    Ok(Arc::new(clock))
}

fn read(text: &str) -> anyhow::Result<TestClock> {
    let parse = |moment: &str| Timestamp::parse(moment).map(|(moment, _)| moment);
    let clock = |shows, stands| TestClock { shows, stands, since: Instant::now() };
    // A time may have a `+` of its own: +02:00.
    let standing =
        text.rsplit_once('+').and_then(|(moment, stands)| Some((parse(moment)?, engine::parse_duration(stands)?)));
    match (standing, parse(text)) {
        (Some((shows, stands)), _) => Ok(clock(shows, Some(stands))),
        (None, Some(shows)) => Ok(clock(shows, None)),
        (None, None) => Err(anyhow!(
            "{VARIABLE}: expected a time such as 2026-01-02T03:04:05Z or 2026-01-02T03:04:05Z+5s, found {text:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_as_long_as_it_is_told() {
        let shows = Timestamp::parse("2026-01-02T03:04:05Z").unwrap().0;
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05Z+1h",
            "2026-01-02T05:04:05+02:00",
            "2026-01-02T05:04:05+02:00+5m",
        ] {
            assert_eq!(read(text).unwrap().now(), shows, "{text}");
        }
        let mut going = read("2026-01-02T03:04:05Z+1s").unwrap();
        going.since -= Duration::from_secs(3);
        assert!(going.now().as_micros() >= shows.as_micros() + 2_000_000);
        assert!(read("soon").is_err());
    }
}
