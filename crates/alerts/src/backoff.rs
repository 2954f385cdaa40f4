//! When a notice that did not get through is tried again, and when no more.

use std::time::Duration;

use event::Timestamp;

use crate::moment::{after, elapsed};

/// The first pause; each further one is twice as long.
pub const PAUSE: Duration = Duration::from_secs(2);
/// The longest pause. All that is for a channel waits behind the first that does not get through, so that this is how late
/// it is noticed at the most that the channel is there again.
pub const PAUSE_MAX: Duration = Duration::from_mins(10);
/// After so long nobody wants to hear it any more: it stays in the history as failed.
pub const GIVE_UP_AFTER: Duration = Duration::from_hours(72);
/// A receiver that asks for a longer pause gets at most this: an hour later the notice is old already.
pub const ASKED_MAX: Duration = Duration::from_hours(1);

/// What comes after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again then.
    At(Timestamp),
    /// Give it up.
    Dead,
}

/// One notice on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt {
    /// How many attempts have failed, this one included.
    pub failed: u32,
    /// When it was to be sent first.
    pub since: Timestamp,
    /// What the receiver asked for in `Retry-After`.
    pub retry_after: Option<Duration>,
    /// By chance, from 0 to 1: spreads what failed together.
    pub jitter: f64,
}

impl Attempt {
    /// When it is tried again: after 2 s, 4 s, 8 s … ten minutes, of each at least half and at most all; never before the
    /// receiver allows it.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Next {
        if elapsed(self.since, now) >= GIVE_UP_AFTER {
            return Next::Dead;
        }
        let doubled = PAUSE.saturating_mul(1 << self.failed.saturating_sub(1).min(20));
        let jitter = if self.jitter.is_finite() { self.jitter.clamp(0.0, 1.0) } else { 1.0 };
        let pause = doubled.min(PAUSE_MAX).mul_f64(0.5 + jitter / 2.0);
        let asked = self.retry_after.unwrap_or_default().min(ASKED_MAX);
        Next::At(after(now, pause.max(asked)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_minutes_and_end_after_days() {
        let start = Timestamp::from_micros(1_767_323_045_000_000);
        let check = |failed, waited_hours, asked, jitter, expected: Option<u64>| {
            let now = after(start, Duration::from_hours(waited_hours));
            let retry_after = (asked > 0).then(|| Duration::from_secs(asked));
            let next = Attempt { failed, since: start, retry_after, jitter }.next(now);
            let wanted = expected.map_or(Next::Dead, |seconds| Next::At(after(now, Duration::from_secs(seconds))));
            assert_eq!(next, wanted, "{failed} {waited_hours} {asked} {jitter}");
        };
        check(1, 0, 0, 1.0, Some(2));
        check(1, 0, 0, 0.0, Some(1));
        check(2, 0, 0, 1.0, Some(4));
        check(5, 0, 0, 1.0, Some(32));
        check(30, 0, 0, 1.0, Some(600));
        check(u32::MAX, 71, 0, f64::NAN, Some(600));
        check(0, 0, 0, 7.0, Some(2));
        check(1, 0, 120, 1.0, Some(120));
        check(30, 0, 120, 1.0, Some(600));
        check(30, 0, 1200, 1.0, Some(1200));
        check(1, 0, 999_999, 1.0, Some(3600));
        check(40, 72, 0, 1.0, None);
    }
}
