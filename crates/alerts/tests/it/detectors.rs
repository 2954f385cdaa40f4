//! Spikes, silences and full disks.

use alerts::disk::Trend;
use alerts::silence::Presence;
use alerts::spike::{Baseline, Judgement};
use proptest::prelude::*;

use crate::{at, kept, minutes};

/// Counts of five minutes each, then what is seen in the running ones.
fn spike(history: impl IntoIterator<Item = u32>, now: u32) -> Judgement {
    let mut baseline = Baseline::default();
    let mut slot = 0;
    for count in history {
        baseline.see(count, at(slot * 300));
        slot += 1;
    }
    baseline.see(now, at(slot * 300));
    assert_eq!(kept(&baseline), baseline);
    baseline.judge()
}

#[test]
fn a_spike_is_far_from_what_is_usual_for_it() {
    let check = |name: &str, history: Vec<u32>, now: u32, expected: bool| {
        let judgement = spike(history, now);
        assert_eq!(judgement.is_spike, expected, "{name}: {judgement:?}");
    };
    check("three are an error or two", vec![0; 100], 3, false);
    check("many of what never was", vec![0; 100], 50, true);
    check("as always", vec![100; 100], 110, false);
    check("three times as many", vec![100; 100], 300, true);
    check("twice as many", vec![100; 100], 200, false);
    check("too early to say", vec![0; 11], 1000, false);
    let restless: Vec<u32> = (0..100).map(|slot| (slot * 37) % 200).collect();
    check("what scatters may scatter", restless.clone(), 400, false);
    check("but not that far", restless, 4000, true);
    let daily: Vec<u32> = (0..288).map(|slot| if (96..108).contains(&slot) { 1000 } else { 10 }).collect();
    check("as busy as yesterday at this time", daily.iter().chain(&daily[..100]).copied().collect(), 1000, false);
    check("busy when it never is", daily.iter().chain(&daily[..50]).copied().collect(), 1000, true);
    let mut outlier = vec![50; 100];
    outlier[20] = 100_000;
    check("one odd slot does not hide another", outlier, 500, true);
}

#[test]
fn a_spike_lasts_into_the_next_slot_and_a_standstill_is_not_empty() {
    let mut baseline = Baseline::default();
    for slot in 0..50 {
        baseline.see(10, at(slot * 300));
    }
    baseline.see(500, at(50 * 300));
    assert_eq!(baseline.judge(), Judgement { is_spike: true, count: 510 - 10, usual: 10 });
    baseline.see(1, at(51 * 300));
    assert!(baseline.judge().is_spike);
    baseline.see(1, at(52 * 300));
    assert!(!baseline.judge().is_spike);
    let mut stopped = baseline.clone();
    stopped.resume(at(1000 * 300));
    assert_eq!(stopped.judge().usual, 10);
    baseline.advance(at(1000 * 300));
    assert_eq!(baseline.judge().usual, 0);
}

/// A source that speaks once in `every` minutes for `hours`; then whether it is silent, so many minutes later.
fn silence(every: u64, hours: u64, later: u64) -> bool {
    let mut presence = Presence::default();
    let mut minute = 0;
    while minute <= hours * 60 {
        presence.hear(at(minute * 60));
        minute += every;
    }
    assert_eq!(kept(&presence), presence);
    presence.silent_for(at((minute - every + later) * 60)).is_some()
}

#[test]
fn only_what_always_spoke_is_silent() {
    let check =
        |every, hours, later, expected| assert_eq!(silence(every, hours, later), expected, "{every} {hours} {later}");
    check(1, 6, 15, true);
    check(1, 6, 14, false);
    check(5, 24, 20, true);
    check(1, 2, 60, false);
    check(30, 48, 600, false);
}

#[test]
fn silence_ends_when_it_speaks_and_a_standstill_is_none() {
    let mut presence = Presence::default();
    for minute in 0..300 {
        presence.hear(at(minute * 60));
    }
    assert_eq!(presence.silent_for(at(320 * 60)), Some(minutes(21)));
    let mut stopped = presence.clone();
    stopped.resume(at(1000 * 60));
    assert_eq!(stopped.silent_for(at(1014 * 60)), None);
    assert_eq!(stopped.silent_for(at(1015 * 60)), Some(minutes(15)));
    presence.hear(at(321 * 60));
    assert_eq!(presence.silent_for(at(322 * 60)), None);
    assert_eq!(presence.silent_for(at(340 * 60)), Some(minutes(19)));
}

#[test]
fn evenings_are_learned() {
    let mut presence = Presence::default();
    let mut told = Vec::new();
    for minute in 0..5 * 24 * 60 {
        let hour = minute / 60 % 24;
        if (5..15).contains(&hour) {
            presence.hear(at(minute * 60));
        }
        if presence.silent_for(at(minute * 60)).is_some() {
            let day = minute / 60 / 24;
            if !told.contains(&day) {
                told.push(day);
            }
        }
    }
    assert!(told.iter().all(|day| *day < 3), "{told:?}");
    assert!(told.contains(&0));
}

/// Free bytes at each half hour.
fn days_left(free: impl Iterator<Item = f64>) -> Option<f64> {
    let mut trend = Trend::default();
    for (place, bytes) in free.enumerate() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a disk")]
        trend.measure(bytes as u64, at(place as u64 * 1800));
    }
    assert_eq!(kept(&trend), trend);
    trend.days_left().map(|days| (days * 10.0).round() / 10.0)
}

#[test]
fn the_day_on_which_a_disk_is_full_is_foreseen() {
    let gigabyte = 1e9;
    let steady = |count: i32| (0..count).map(move |step| 100.0 * gigabyte - f64::from(step) * gigabyte);
    // A gigabyte in half an hour is 48 a day.
    assert_eq!(days_left(steady(11)), Some(1.9));
    assert_eq!(days_left(steady(5)), None);
    assert_eq!(days_left((0..100).map(|_| 100.0 * gigabyte)), None);
    assert_eq!(days_left((0..100).map(|step| f64::from(step) * gigabyte)), None);
    let dented = steady(21).enumerate().map(|(place, free)| if place == 10 { free + 40.0 * gigabyte } else { free });
    assert_eq!(days_left(dented), Some(1.7));
    let mut often = Trend::default();
    for second in 0..20_000 {
        often.measure(1_000_000_000 - second * 1000, at(second));
    }
    assert!(serde_json::to_string(&often).expect("JSON").len() < 2000);
    let left = often.days_left().expect("a trend");
    assert!((left - 980_001_000.0 / 1000.0 / 86_400.0).abs() < 0.1, "{left}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn detectors_are_bounded_and_never_panic(
        steps in proptest::collection::vec((-100_000_i64..10_000_000, any::<u32>()), 0..300),
    ) {
        let (mut baseline, mut presence, mut trend) = (Baseline::default(), Presence::default(), Trend::default());
        let mut seconds = 0_i64;
        for (later, count) in steps {
            seconds += later;
            let now = event::Timestamp::from_micros(seconds.saturating_mul(1_000_000));
            baseline.see(count, now);
            presence.hear(now);
            trend.measure(u64::from(count), now);
            let _ = (baseline.judge(), presence.silent_for(now), presence.last());
        }
        let _ = trend.days_left();
        for text in [serde_json::to_string(&baseline), serde_json::to_string(&presence), serde_json::to_string(&trend)] {
            prop_assert!(text.expect("JSON").len() < 16_000);
        }
    }
}
