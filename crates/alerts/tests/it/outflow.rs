//! Caps, nights and digests: nothing is lost, nothing is too much.

use std::collections::VecDeque;

use alerts::{Admission, Channel, Hold, Limits, Notice, Outflow, Reason, Rule, line_key};
use event::{Level, Timestamp};
use proptest::prelude::*;

use crate::{at, crash, kept, map};

const HOUR: u64 = 3600;

fn titled(title: &str) -> Notice {
    Notice { title: title.to_owned(), ..crash() }
}

#[test]
fn more_than_the_cap_wait_for_one_digest() {
    let channel = Channel::read("ops", &map(r#"{"kind": "slack", "hourly_cap": 20}"#)).expect("a channel");
    let limits = Limits::of(None, &channel, None);
    let mut outflow = Outflow::default();
    let mut sent = 0;
    for number in 0..1000 {
        let admission = outflow.offer(&titled(&format!("error {}", number % 300)), &limits, at(number / 100));
        sent += usize::from(admission == Admission::Send);
    }
    assert_eq!((sent, outflow.waiting()), (20, 980));
    assert_eq!(outflow.due(&channel, at(60)), None);
    let mut outflow = kept(&outflow);
    let digest = outflow.due(&channel, at(310)).expect("a digest");
    assert_eq!(digest.says(), "980 notices were held back");
    assert_eq!(digest.trail.len(), 20);
    assert!(digest.trail.last().is_some_and(|last| last.contains("others")), "{:?}", digest.trail);
    assert_eq!(outflow.waiting(), 0);
    // The next digest an hour later, when there is room again too.
    assert_eq!(outflow.offer(&titled("late"), &limits, at(320)), Admission::Held(Reason::HourlyCap));
    assert_eq!(outflow.next_due(&channel), Some(at(310 + HOUR)));
    assert_eq!(outflow.due(&channel, at(310 + HOUR - 1)), None);
    assert_eq!(outflow.due(&channel, at(310 + HOUR)).map(|digest| digest.held), Some(1));
    assert_eq!(outflow.offer(&titled("later"), &limits, at(2 * HOUR)), Admission::Send);
}

#[test]
fn nights_are_quiet_but_for_what_is_critical() {
    let settings = r#"{"quiet_hours": "22:00-07:00", "timezone": "UTC"}"#;
    let channel = Channel::read("ops", &map(settings)).expect("a channel");
    let limits = Limits::of(None, &channel, None);
    let mut outflow = Outflow::default();
    // 03:04:05
    assert_eq!(outflow.offer(&titled("can wait"), &limits, at(0)), Admission::Held(Reason::QuietHours));
    let critical = Notice { level: Some(Level::Critical), ..titled("cannot") };
    assert_eq!(outflow.offer(&critical, &limits, at(1)), Admission::Send);
    let morning = Timestamp::parse("2026-01-02T07:00:00Z").expect("a moment").0;
    assert_eq!(outflow.next_due(&channel), Some(morning));
    let digest = outflow.due(&channel, morning).expect("a digest");
    assert_eq!(digest.trail, ["[production] New issue: can wait (shop) (quiet hours)"]);
    // What is held for another reason waits for the morning too.
    let hold = Hold { reason: Reason::Window, until: at(24 * HOUR) };
    outflow.offer(&titled("again"), &Limits::of(None, &channel, Some(hold)), at(20 * HOUR));
    assert_eq!(outflow.next_due(&channel).map(|due| due.to_string()), Some("2026-01-03T07:00:00.000000Z".to_owned()));
}

#[test]
fn limits_of_a_rule_come_before_those_of_the_channel() {
    let rule = Rule::read("mine", &map(r#"{"on": "new_issue", "hourly_cap": 1}"#)).expect("a rule");
    let channel = Channel::new("ops");
    let mut outflow = Outflow::default();
    let limits = Limits::of(Some(&rule), &channel, None);
    assert_eq!(outflow.offer(&titled("a"), &limits, at(0)), Admission::Send);
    assert_eq!(outflow.offer(&titled("b"), &limits, at(0)), Admission::Held(Reason::HourlyCap));
    assert_eq!(outflow.offer(&titled("c"), &Limits::of(None, &channel, None), at(0)), Admission::Send);
}

#[test]
fn a_digest_takes_all_that_is_held_for_the_channel() {
    let channel = Channel::read("ops", &map(r#"{"hourly_cap": 1}"#)).expect("a channel");
    let limits = Limits::of(None, &channel, None);
    let mut outflow = Outflow::default();
    for number in 0..4 {
        outflow.offer(&titled(&format!("error {number}")), &limits, at(3 * number));
    }
    // Who is held longer by a wish waits longer, and so does the end of what nobody heard of.
    let until = at(2 * HOUR);
    let over = Notice { resolved: true, ..titled("over") };
    for (notice, reason) in
        [(titled("snoozed"), Reason::Snooze), (titled("again"), Reason::Window), (over, Reason::NotUrgent)]
    {
        outflow.offer(&notice, &Limits::of(None, &channel, Some(Hold { reason, until })), at(20));
    }
    let scanner = Hold { reason: Reason::NotUrgent, until: at(HOUR) };
    outflow.offer(&titled("scanner"), &Limits::of(None, &channel, Some(scanner)), at(20));
    let digest = outflow.due(&channel, at(303)).expect("a digest");
    assert_eq!((digest.held, outflow.waiting()), (4, 3), "{:?}", digest.trail);
    assert!(!outflow.is_held(&line_key(&titled("error 3"), Reason::HourlyCap)));
    assert!(outflow.is_held(&line_key(&titled("snoozed"), Reason::Snooze)));
    assert_eq!(outflow.due(&channel, until).map(|digest| digest.held), Some(3));
}

#[test]
fn what_is_critical_passes_the_cap_and_has_as_much_room_again() {
    let channel = Channel::read("ops", &map(r#"{"hourly_cap": 2}"#)).expect("a channel");
    let limits = Limits::of(None, &channel, None);
    let mut outflow = Outflow::default();
    let mut offer =
        |level| outflow.offer(&Notice { level: Some(level), ..titled("e") }, &limits, at(0)) == Admission::Send;
    let sent =
        [Level::Error, Level::Error, Level::Error, Level::Critical, Level::Critical, Level::Critical].map(&mut offer);
    assert_eq!(sent, [true, true, false, true, true, false]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_is_lost_and_no_cap_exceeded(
        offers in proptest::collection::vec((0_u64..600, 0_u32..400, proptest::option::of(0_u64..5000), any::<bool>()), 0..400),
        cap in 1_u32..6,
        quiet in any::<bool>(),
    ) {
        let hours = if quiet { r#", "quiet_hours": "04:00-06:30""# } else { "" };
        let channel = Channel::read("ops", &map(&format!(r#"{{"hourly_cap": {cap}{hours}}}"#))).expect("a channel");
        let mut outflow = Outflow::default();
        let (mut now, mut offered, mut sent, mut digested) = (0, 0, 0, 0);
        let mut last_hour: VecDeque<u64> = VecDeque::new();
        let mut last_digest: Option<u64> = None;
        for (later, title, hold, critical) in offers {
            now += later;
            let hold = hold.map(|seconds| Hold { reason: Reason::Window, until: at(now + seconds) });
            let level = critical.then_some(Level::Critical);
            let notice = Notice { level, ..titled(&format!("error {title}")) };
            offered += 1;
            if outflow.offer(&notice, &Limits::of(None, &channel, hold), at(now)) == Admission::Send {
                sent += 1;
                last_hour.push_back(now);
                last_hour.retain(|moment| now - moment < HOUR);
                let room = if critical { 2 * cap } else { cap };
                prop_assert!(last_hour.len() <= usize::try_from(room).expect("small"));
            }
            if let Some(digest) = outflow.due(&channel, at(now)) {
                digested += digest.held;
                prop_assert!(last_digest.is_none_or(|last| now - last >= HOUR));
                last_digest = Some(now);
            }
            prop_assert_eq!(sent + digested + outflow.waiting(), offered);
        }
        outflow = kept(&outflow);
        // In the end everything is told.
        while let Some(due) = outflow.next_due(&channel) {
            let digest = outflow.due(&channel, due).expect("it is due");
            digested += digest.held;
        }
        prop_assert_eq!(sent + digested, offered);
    }
}
