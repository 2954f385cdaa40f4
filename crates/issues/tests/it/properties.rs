//! What holds for any occurrences in any order.

use event::{Level, Timestamp};
use issues::{Issue, Occurrence, Releases};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Made {
    id: String,
    fingerprint: String,
    hours: i64,
    times: u64,
    release: String,
    user: Option<u64>,
    level: Level,
}

fn made() -> impl Strategy<Value = Made> {
    let level = prop_oneof![Just(Level::Error), Just(Level::Critical), Just(Level::Warning)];
    let release = prop_oneof![Just(""), Just("1.0"), Just("1.1"), Just("abc")];
    let hours = prop_oneof![0..400_i64, 0..12_000_i64];
    (0..1_000_000_u32, 0..4_u8, hours, 1..50_u64, release, proptest::option::of(0..400_u64), level).prop_map(
        |(id, fingerprint, hours, times, release, user, level)| Made {
            id: id.to_string(),
            fingerprint: format!("1-{fingerprint}"),
            hours,
            times,
            release: release.to_owned(),
            user: user.map(|user| user.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            level,
        },
    )
}

fn fold(issue: &mut Issue, made: &Made, known: &Releases) {
    let time = Timestamp::from_micros(made.hours * 3_600_000_000);
    let occurrence = Occurrence {
        id: &made.id,
        fingerprint: &made.fingerprint,
        title: &made.id,
        culprit: "",
        level: made.level,
        time,
        received: time,
        times: made.times,
        release: &made.release,
        environment: &made.release,
        user: made.user,
    };
    issue.fold(&occurrence, known);
}

fn folded(all: &[Made]) -> Issue {
    let mut issue = Issue::new("1");
    for made in all {
        fold(&mut issue, made, &Releases::default());
    }
    issue
}

/// An issue for each of two halves of the fingerprints.
fn two(all: &[Made]) -> (Issue, Issue) {
    let (ones, others): (Vec<Made>, Vec<Made>) =
        all.iter().cloned().partition(|made| made.fingerprint.as_str() < "1-2");
    (folded(&ones), folded(&others))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_order_does_not_matter(all in proptest::collection::vec(made(), 1..120), seed in any::<u64>()) {
        let mut turned = all.clone();
        turned.sort_by_key(|made| made.id.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))));
        let (one, other) = (folded(&all), folded(&turned));
        let total: u64 = all.iter().map(|made| made.times).sum();
        prop_assert_eq!(one.occurrences(), total);
        prop_assert_eq!(one.counts().total(), total);
        let by_release: u64 = one.releases().seen.values().map(|seen| seen.times).sum();
        let released: u64 = all.iter().filter(|made| !made.release.is_empty()).map(|made| made.times).sum();
        prop_assert_eq!(by_release, released);
        let sorted = |issue: &Issue| {
            let mut tallies = issue.tallies().to_vec();
            for tally in &mut tallies {
                // Equal ids at one time: whichever came first gave its title.
                tally.title.clear();
            }
            tallies.sort_by(|one, other| one.fingerprint.cmp(&other.fingerprint));
            tallies
        };
        prop_assert_eq!(sorted(&one), sorted(&other));
    }

    #[test]
    fn a_merge_is_undone(all in proptest::collection::vec(made(), 2..60), since in proptest::collection::vec(made(), 0..10)) {
        let (mut one, mut other) = two(&all);
        prop_assume!(!one.tallies().is_empty() && !other.tallies().is_empty());
        let (one_before, other_before) = (one.clone(), other.clone());
        let merged = one.merge(&other).unwrap();
        prop_assert_eq!(one.occurrences(), one_before.occurrences() + other_before.occurrences());
        prop_assert_eq!(one.counts().total(), one.occurrences());
        let mut again = one.clone();
        prop_assert_eq!(again.undo_merge(&merged).unwrap(), other_before);
        prop_assert_eq!(again, one_before);
        // What was counted since goes where its fingerprint goes.
        let known = one.fingerprints().map(str::to_owned).collect::<Vec<_>>();
        for made in since.iter().filter(|made| known.contains(&made.fingerprint)) {
            fold(&mut one, made, &Releases::default());
        }
        let total = one.occurrences();
        other = one.undo_merge(&merged).unwrap();
        prop_assert_eq!(one.occurrences() + other.occurrences(), total);
    }

    #[test]
    fn a_split_is_undone(all in proptest::collection::vec(made(), 2..60)) {
        let mut issue = folded(&all);
        prop_assume!(issue.tallies().len() > 1);
        let before = issue.clone();
        let going = vec![issue.tallies()[0].fingerprint.clone()];
        let (apart, split) = issue.split(&going, "2").unwrap();
        prop_assert_eq!(apart.occurrences() + issue.occurrences(), before.occurrences());
        issue.undo_split(&apart, &split).unwrap();
        prop_assert_eq!(issue, before);
    }

    #[test]
    fn what_is_stored_comes_back(all in proptest::collection::vec(made(), 0..60), resolution in 0..5_u8) {
        let (mut issue, known) = (folded(&all), Releases::default());
        match resolution {
            0 => issue.resolve_now(Timestamp::from_micros(7), &known),
            1 => issue.resolve_in("1.0"),
            2 => issue.resolve_in_next(&known),
            3 => issue.ignore_times(3),
            _ => issue.reopen(),
        }
        let text = serde_json::to_string(&issue).unwrap();
        prop_assert_eq!(serde_json::from_str::<Issue>(&text).unwrap(), issue);
    }
}
