//! One step of a rule and group.

use alerts::{Measurement, Phase, Reason, Rule, State, What, step};
use event::Timestamp;
use proptest::prelude::*;

use crate::{at, kept, minutes, rule};

/// Steps as `(minute, value)`; what there was to say, as `minute what[ held]`.
fn check(rule: &Rule, values: &[(u64, f64)], expected: &[&str]) {
    let mut state = State::default();
    let mut said = Vec::new();
    for (minute, value) in values {
        let (next, change) = step(rule, &state, Measurement::Value(*value), at(minute * 60));
        assert!(state.phase.may_become(next.phase), "{:?} {:?}", state.phase, next.phase);
        said.extend(change.map(|change| {
            let hold = change.hold.map_or(String::new(), |hold| format!(" ({})", hold.reason.says()));
            let held = if change.held == 0 { String::new() } else { format!(" {} held", change.held) };
            format!("{minute} {:?}{hold}{held}", change.what)
        }));
        state = kept(&next);
    }
    assert_eq!(said, expected);
}

#[test]
fn what_lasts_is_told_once_and_then_its_end() {
    let rule = rule(r#"{"search": "x", "threshold": 10, "window": "5m"}"#);
    check(&rule, &[(0, 9.0), (1, 10.0), (2, 50.0), (3, 9.0), (7, 0.0), (8, 0.0)], &["1 Fired", "8 Resolved"]);
    // It is not over before it was over for a window without a break.
    check(&rule, &[(0, 10.0), (1, 9.0), (4, 12.0), (5, 9.0), (9, 9.0), (10, 9.0)], &["0 Fired", "10 Resolved"]);
}

#[test]
fn what_must_last_is_pending_first() {
    let rule = rule(r#"{"search": "x", "below": 1, "for": "2m"}"#);
    check(&rule, &[(0, 0.0), (1, 0.0), (2, 0.0)], &["2 Fired"]);
    check(&rule, &[(0, 0.0), (1, 1.0), (2, 0.0), (3, 0.0), (4, 0.0)], &["4 Fired"]);
}

#[test]
fn what_comes_and_goes_is_held_and_counted() {
    let rule = rule(r#"{"search": "x", "threshold": 10, "window": "1m", "repeat": "1h"}"#);
    let values = [(0, 10.0), (1, 0.0), (6, 0.0), (10, 10.0), (11, 0.0), (16, 0.0), (70, 10.0)];
    let held = "(told a short time before)";
    check(
        &rule,
        &values,
        &["0 Fired", "6 Resolved", &format!("10 Fired {held}"), "16 Resolved (not urgent)", "70 Fired 2 held"],
    );
}

#[test]
fn a_snoozed_rule_holds_and_a_disabled_one_is_quiet() {
    let snoozed = rule(r#"{"search": "x", "snooze": "2026-01-02T04:04:05Z"}"#);
    check(
        &snoozed,
        &[(0, 1.0), (1, 0.0), (70, 0.0), (200, 0.0), (201, 1.0)],
        &["0 Fired (snoozed)", "70 Resolved (not urgent)", "201 Fired 2 held"],
    );
    let disabled = rule(r#"{"search": "x", "enabled": false}"#);
    check(&disabled, &[(0, 1.0), (1, 1.0)], &[]);
    let (state, change) = step(&disabled, &State::default(), Measurement::Happened(1), at(0));
    assert_eq!((state, change), (State::default(), None));
}

#[test]
fn what_happens_at_a_moment_has_no_phases() {
    let rule = rule(r#"{"on": "regression", "repeat": "1h"}"#);
    let (state, first) = step(&rule, &State::default(), Measurement::Happened(1), at(0));
    let (state, second) = step(&rule, &state, Measurement::Happened(3), at(60));
    let (state, third) = step(&rule, &state, Measurement::Happened(1), at(3600));
    let hold =
        |change: Option<alerts::Change>| change.expect("something to say").hold.map(|hold| (hold.reason, hold.until));
    assert_eq!(first.map(|change| change.what), Some(What::Happened));
    assert_eq!((hold(first), hold(second)), (None, Some((Reason::Window, at(3600)))));
    assert_eq!(third.map(|change| change.held), Some(3));
    assert_eq!(state.phase, Phase::Quiet);
}

#[test]
fn a_thousand_of_one_error_are_three_notices_beside_the_first() {
    let reached = Rule::built_in().into_iter().find(|rule| rule.name == "reached").expect("built in");
    let mut state = State::default();
    let mut told = Vec::new();
    // Ten at a time, as occurrences come in batches.
    for batch in 0..100 {
        for trigger in alerts::Trigger::reached(batch * 10, batch * 10 + 10) {
            let (next, change) = step(&reached, &state, Measurement::Happened(1), at(0));
            state = next;
            told.extend(change.filter(|change| change.hold.is_none()).map(|_| trigger.says()));
        }
    }
    assert_eq!(told, ["10 occurrences", "100 occurrences", "1,000 occurrences"]);
}

#[test]
fn state_of_an_earlier_version_is_read_and_what_is_over_may_be_forgotten() {
    let rule = rule(r#"{"on": "regression", "repeat": "1h"}"#);
    assert_eq!(serde_json::from_str::<State>("{}").expect("all has a default"), State::default());
    let (state, _) = step(&rule, &State::default(), Measurement::Happened(1), at(0));
    assert!(!state.may_be_forgotten(&rule, at(3599)) && state.may_be_forgotten(&rule, at(3600)));
    let (held, _) = step(&rule, &state, Measurement::Happened(1), at(60));
    assert!(!held.may_be_forgotten(&rule, at(3600)));
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let rule = rule(r#"{"search": "x", "for": "2m"}"#);
    let (state, _) = step(&rule, &State::default(), Measurement::Value(1.0), at(1000));
    let (state, change) = step(&rule, &state, Measurement::Value(1.0), at(0));
    assert_eq!((state.phase, change), (Phase::Pending, None));
}

fn measurement() -> impl Strategy<Value = Measurement> {
    prop_oneof![
        Just(Measurement::Judged(true)),
        Just(Measurement::Judged(false)),
        (0_u32..3).prop_map(|value| Measurement::Value(f64::from(value))),
        Just(Measurement::Value(f64::NAN)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn states_only_move_along_their_edges(
        steps in proptest::collection::vec((measurement(), 0_u64..100), 0..200),
        pending in 0_u64..10,
        repeat in 0_u64..100,
    ) {
        let mut rule = rule(r#"{"search": "x", "threshold": 1}"#);
        rule.pending = minutes(pending);
        rule.repeat = minutes(repeat);
        let mut state = State::default();
        let mut now = 0;
        let (mut firings, mut ends) = (0, 0);
        for (measurement, later) in steps {
            now += later * 60;
            let (next, change) = step(&rule, &state, measurement, at(now));
            prop_assert!(state.phase.may_become(next.phase), "{:?} {:?}", state.phase, next.phase);
            match change.map(|change| change.what) {
                Some(What::Fired) => firings += 1,
                Some(What::Resolved) => ends += 1,
                Some(What::Happened) => prop_assert!(false, "nothing happened"),
                None => {}
            }
            prop_assert!(ends <= firings && firings - ends <= 1);
            prop_assert_eq!(kept(&next), next.clone());
            state = next;
        }
    }

    #[test]
    fn what_is_held_is_told_with_the_next(times in proptest::collection::vec((0_u64..40, 1_u64..5), 1..100)) {
        let rule = rule(r#"{"on": "regression", "repeat": "1h"}"#);
        let mut state = State::default();
        let (mut now, mut all, mut told) = (0, 0, 0);
        let mut last: Option<Timestamp> = None;
        for (later, count) in times {
            now += later * 60;
            all += count;
            let (next, change) = step(&rule, &state, Measurement::Happened(count), at(now));
            let change = change.expect("it happened");
            if change.hold.is_none() {
                told += 1 + change.held;
                prop_assert!(last.is_none_or(|last| at(now).as_micros() - last.as_micros() >= 3_600_000_000));
                last = Some(at(now));
            }
            state = next;
            prop_assert_eq!(told + state.held, all);
        }
    }
}
