//! Days of the past that are taken in.
//!
//! What happened long before it was told is counted under its own time, and nothing in it happens now: no detector sees it, and what there is to say of it
//! is said once, in a digest.

use std::time::Duration;

use event::Timestamp;

use crate::moment::{after, elapsed};
use crate::outflow::DIGEST_AFTER;
use crate::state::{Hold, Reason};

/// From when on an event that is taken in so belongs to the past. What a shipper of logs held back for minutes, or a clock that goes a little
/// wrong, is of now.
pub const PAST_AFTER: Duration = Duration::from_hours(1);

/// Whether an event of this time, received at that, belongs to the past.
#[must_use]
pub fn is_past(time: Timestamp, received: Timestamp) -> bool {
    elapsed(time, received) > PAST_AFTER
}

/// Holds a notice about the past until more of its kind are there.
#[must_use]
pub fn hold(now: Timestamp) -> Hold {
    Hold { reason: Reason::Past, until: after(now, DIGEST_AFTER) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_now() {
        let received = Timestamp::from_micros(1_767_323_045_000_000);
        let check = |seconds: i64, expected| {
            let time = Timestamp::from_micros(received.as_micros() - seconds * 1_000_000);
            assert_eq!(is_past(time, received), expected, "{seconds}");
        };
        check(-86_400, false);
        check(0, false);
        check(3600, false);
        check(3601, true);
        assert!(is_past(Timestamp::from_micros(0), received));
    }
}
