//! Errors that are passed on to a tracker: so many a minute, so many of one issue, and all others counted.

use std::collections::BTreeMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};

/// Most errors a minute that one channel passes on: trackers have quotas, and groups beyond it are told by a count.
pub const ERRORS_A_MINUTE: u32 = 60;
/// Most of one issue among them: a loop that fails must not keep all other errors away.
pub const ERRORS_OF_ISSUE_A_MINUTE: u32 = 10;

const MINUTE_MICROS: i64 = 60_000_000;

/// What is remembered of one channel that errors are passed on to. Kept as JSON, and bounded by the errors of a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passing {
    minute: i64,
    passed: u32,
    issues: BTreeMap<u64, u32>,
    left_out: u64,
    /// The minute of the first that was left out and is not told yet.
    since: i64,
}

fn minute(now: Timestamp) -> i64 {
    now.as_micros().div_euclid(MINUTE_MICROS)
}

impl Passing {
    /// Whether an error of an issue is passed on; else it is counted.
    pub fn offer(&mut self, issue: u64, now: Timestamp) -> bool {
        let minute = minute(now);
        if minute != self.minute {
            (self.minute, self.passed) = (minute, 0);
            self.issues.clear();
        }
        let of_issue = self.issues.get(&issue).copied().unwrap_or(0);
        if self.passed >= ERRORS_A_MINUTE || of_issue >= ERRORS_OF_ISSUE_A_MINUTE {
            self.leave_out(now);
            return false;
        }
        self.passed += 1;
        self.issues.insert(issue, of_issue + 1);
        true
    }

    /// Counts an error that is not passed on.
    pub fn leave_out(&mut self, now: Timestamp) {
        if self.left_out == 0 {
            self.since = minute(now);
        }
        self.left_out = self.left_out.saturating_add(1);
    }

    /// How many were left out and not told of, and since which minute, once that is over: once a minute at most.
    pub fn told(&mut self, now: Timestamp) -> Option<(u64, Timestamp)> {
        if self.left_out == 0 || self.since == minute(now) {
            return None;
        }
        let since = Timestamp::from_micros(self.since.saturating_mul(MINUTE_MICROS));
        Some((std::mem::take(&mut self.left_out), since))
    }
}

#[cfg(test)]
mod tests {
    use super::{ERRORS_A_MINUTE, ERRORS_OF_ISSUE_A_MINUTE, MINUTE_MICROS, Passing};
    use event::Timestamp;

    /// Errors at these seconds, each with its issue: how many are passed on, and what is told at the end.
    #[track_caller]
    fn check(errors: impl Iterator<Item = (i64, u64)>, passed: u32, told: Option<u64>) {
        let mut passing = Passing::default();
        let moment = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let count = errors.filter(|(second, issue)| passing.offer(*issue, moment(*second))).count();
        assert_eq!(count, usize::try_from(passed).unwrap());
        let kept = serde_json::to_string(&passing).unwrap();
        assert_eq!(serde_json::from_str::<Passing>(&kept).unwrap(), passing);
        assert_eq!(passing.told(moment(3600)).map(|(count, _)| count), told);
        assert_eq!(passing.told(moment(7200)), None, "told once");
    }

    #[test]
    fn so_many_of_an_issue_and_of_all() {
        check((0..3).map(|second| (second, 1)), 3, None);
        check((0..50).map(|second| (second, 1)), ERRORS_OF_ISSUE_A_MINUTE, Some(40));
        check((0..100).map(|issue| (1, issue)), ERRORS_A_MINUTE, Some(40));
        check((0..40).map(|error| (error * 30, 1)), 40, None);
    }

    #[test]
    fn the_minute_of_the_first_is_told_when_it_is_over() {
        let mut passing = Passing::default();
        let moment = |minute: i64| Timestamp::from_micros(minute * MINUTE_MICROS + 1);
        passing.leave_out(moment(7));
        assert_eq!(passing.told(moment(7)), None);
        assert_eq!(passing.told(moment(8)), Some((1, Timestamp::from_micros(7 * MINUTE_MICROS))));
    }
}
