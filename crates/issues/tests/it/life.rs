//! Folding occurrences, and what people hear of it.

use event::{Level, Timestamp};
use issues::{Deploy, Happening, Ignore, Issue, MergeError, Occurrence, Releases, State};

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(crate) fn plain(seconds: i64) -> Occurrence<'static> {
    Occurrence {
        id: "e",
        fingerprint: "1-a",
        title: "E: no",
        culprit: "shop.cart in pay",
        level: Level::Error,
        time: at(seconds),
        received: at(seconds),
        times: 1,
        release: "",
        environment: "",
        user: None,
    }
}

/// Folds into a log that sees each release first.
fn fold(issue: &mut Issue, known: &mut Releases, occurrence: Occurrence<'_>) -> Vec<String> {
    known.see(occurrence.release, occurrence.moment());
    issue.fold(&occurrence, known).iter().map(said).collect()
}

fn said(happening: &Happening) -> String {
    match happening {
        Happening::New { suspect } => format!("new {}", suspect.as_ref().map_or("", |deploy| &deploy.release)),
        Happening::Reached { occurrences } => format!("reached {occurrences}"),
        Happening::Regressed { release, suspect } => {
            format!("regressed {release} {}", suspect.as_ref().map_or("", |deploy| &deploy.release))
        }
        Happening::IgnoreEnded => "ignore ended".to_owned(),
        Happening::NewRelease { release } => format!("release {release}"),
    }
}

#[test]
fn powers_of_ten_are_told_once() {
    let (mut issue, mut known) = (Issue::new("1"), Releases::default());
    assert_eq!(fold(&mut issue, &mut known, plain(1)), ["new ", "reached 1"]);
    for second in 2..10 {
        assert!(fold(&mut issue, &mut known, plain(second)).is_empty());
    }
    assert_eq!(fold(&mut issue, &mut known, plain(10)), ["reached 10"]);
    let many = Occurrence { times: 1500, ..plain(11) };
    assert_eq!(fold(&mut issue, &mut known, many), ["reached 100", "reached 1000"]);
    assert_eq!((issue.occurrences(), issue.counts().total()), (1510, 1510));
    let (mut issue, mut known) = (Issue::new("1"), Releases::default());
    assert_eq!(fold(&mut issue, &mut known, Occurrence { times: 12, ..plain(1) }), ["new ", "reached 1", "reached 10"]);
}

#[test]
fn a_release_decides_on_a_regression() {
    let check = |resolve: &dyn Fn(&mut Issue, &Releases), release: &str, seconds, expected| {
        let (mut issue, mut known) = (Issue::new("1"), Releases::default());
        for (second, release) in [(1, "1.0"), (2, "1.9"), (3, "1.10")] {
            fold(&mut issue, &mut known, Occurrence { release, ..plain(second) });
        }
        resolve(&mut issue, &known);
        fold(&mut issue, &mut known, Occurrence { release, ..plain(seconds) });
        assert_eq!(issue.state == State::Regressed, expected, "{release} at {seconds}");
    };
    let in_release = |issue: &mut Issue, _: &Releases| issue.resolve_in("1.10");
    for (release, expected) in
        [("1.9", false), ("1.10", true), ("1.10.1", true), ("2.0-rc1", true), ("", false), ("1.0", false)]
    {
        check(&in_release, release, 9, expected);
    }
    let next = |issue: &mut Issue, known: &Releases| issue.resolve_in_next(known);
    for (release, expected) in [("1.10", false), ("1.9", false), ("1.11", true), ("", false), ("f00dfeed", true)] {
        check(&next, release, 9, expected);
    }
    let now = |issue: &mut Issue, known: &Releases| issue.resolve_now(at(5), known);
    for (release, seconds, expected) in
        [("", 9, true), ("", 4, false), ("1.9", 9, false), ("1.10", 9, true), ("1.10", 4, false), ("1.11", 9, true)]
    {
        check(&now, release, seconds, expected);
    }
    let in_commit = |issue: &mut Issue, _: &Releases| issue.resolve_in("c0ffee1");
    check(&in_commit, "1.10", 9, false);
    check(&in_commit, "c0ffee1", 9, true);
}

#[test]
fn commits_are_in_order_of_their_deploys() {
    let (mut issue, mut known) = (Issue::new("1"), Releases::default());
    let deploy = |release: &str, seconds| Deploy {
        release: release.to_owned(),
        environment: "production".to_owned(),
        time: at(seconds),
        user: "ann".to_owned(),
        comment: String::new(),
    };
    known.deploy(deploy("aaaaaaa", 10));
    let first = Occurrence { release: "aaaaaaa", environment: "production", ..plain(15) };
    assert_eq!(fold(&mut issue, &mut known, first), ["new aaaaaaa", "reached 1"]);
    known.deploy(deploy("0000abc", 20));
    issue.resolve_in("0000abc");
    assert!(fold(&mut issue, &mut known, Occurrence { time: at(30), received: at(30), ..first }).is_empty());
    assert_eq!(issue.state, State::Resolved);
    let again = Occurrence { release: "0000abc", ..Occurrence { time: at(31), received: at(31), ..first } };
    assert_eq!(fold(&mut issue, &mut known, again), ["regressed 0000abc 0000abc", "release 0000abc"]);
    assert_eq!(issue.suspect.as_ref().map(|deploy| deploy.release.as_str()), Some("0000abc"));
}

#[test]
fn what_is_ignored_is_quiet() {
    let (mut issue, mut known) = (Issue::new("1"), Releases::default());
    fold(&mut issue, &mut known, plain(1));
    issue.ignore(Ignore::ForEver);
    assert!(fold(&mut issue, &mut known, Occurrence { times: 100, ..plain(2) }).is_empty());
    issue.ignore_times(2);
    assert!(fold(&mut issue, &mut known, Occurrence { times: 2, ..plain(3) }).is_empty());
    assert_eq!(fold(&mut issue, &mut known, plain(4)), ["ignore ended"]);
    issue.ignore(Ignore::Until { time: at(10) });
    assert!(fold(&mut issue, &mut known, plain(9)).is_empty());
    assert!(!issue.expire(at(9)));
    assert!(issue.expire(at(10)));
    assert_eq!((issue.state, issue.occurrences()), (State::Open, 105));
    assert!(!issue.expire(at(11)));
    // People hear of what happens after the moment, once, and not of what happened before it.
    assert!(fold(&mut issue, &mut known, plain(9)).is_empty());
    assert_eq!(fold(&mut issue, &mut known, plain(12)), ["ignore ended"]);
    assert!(fold(&mut issue, &mut known, plain(13)).is_empty());
    assert_eq!((issue.state, &issue.ignore), (State::Open, &None));
}

/// However many come or go with a merge, a split, or the undoing of one: three more are quiet, and the fourth is told.
#[test]
fn so_many_more_are_ignored_whatever_is_merged() {
    let of = |id: &str, fingerprint: &'static str, times| {
        let (mut issue, mut known) = (Issue::new(id), Releases::default());
        fold(&mut issue, &mut known, Occurrence { fingerprint, times, ..plain(1) });
        issue
    };
    let check = |name: &str, change: &dyn Fn(&mut Issue)| {
        let mut issue = of("1", "1-a", 10);
        issue.merge(&of("2", "1-b", 20)).unwrap();
        issue.ignore_times(4);
        let mut known = Releases::default();
        assert!(fold(&mut issue, &mut known, plain(2)).is_empty(), "{name}");
        change(&mut issue);
        for second in 3..6 {
            assert!(fold(&mut issue, &mut known, plain(second)).is_empty(), "{name} {second}");
            assert_eq!(issue.state, State::Ignored, "{name} {second}");
        }
        let told = fold(&mut issue, &mut known, plain(6));
        assert!(told.contains(&"ignore ended".to_owned()), "{name}: {told:?}");
    };
    let going = ["1-b".to_owned()];
    check("nothing", &|_| ());
    check("a merge", &|issue| drop(issue.merge(&of("3", "1-c", 1000)).unwrap()));
    check("a split", &|issue| drop(issue.split(&going, "3").unwrap()));
    check("a merge that is undone", &|issue| {
        let merged = issue.merge(&of("3", "1-c", 1000)).unwrap();
        issue.undo_merge(&merged).unwrap();
    });
    check("a split that is undone", &|issue| {
        let (apart, split) = issue.split(&going, "3").unwrap();
        issue.undo_split(&apart, &split).unwrap();
    });
}

#[test]
fn what_it_knows_is_over_all_fingerprints() {
    let (mut issue, known) = (Issue::new("1"), Releases::default());
    issue.fold(&Occurrence { id: "b", user: Some(1), release: "1.0", environment: "production", ..plain(7) }, &known);
    let mut other = Issue::new("2");
    let earlier = Occurrence {
        id: "a",
        fingerprint: "1-b",
        title: "other",
        user: Some(2),
        level: Level::Critical,
        release: "1.1",
        ..plain(5)
    };
    other.fold(&earlier, &known);
    let merged = issue.merge(&other).unwrap();
    assert_eq!((issue.title(), issue.level(), issue.occurrences()), ("E: no", Level::Critical, 2));
    assert_eq!((issue.first(), issue.last()), (Some((at(5), "a")), Some((at(7), "b"))));
    assert_eq!((issue.users().users, issue.users().is_exact), (2, true));
    assert_eq!(issue.releases().seen.keys().collect::<Vec<_>>(), ["1.0", "1.1"]);
    assert_eq!(issue.merge(&other), Err(MergeError::InBoth("1-b".to_owned())));
    assert_eq!(merged.gone_id(), "2");
    let (apart, split) = issue.split(&["1-a".to_owned()], "3").unwrap();
    assert_eq!((apart.title(), issue.title()), ("E: no", "other"));
    assert_eq!(issue.split(&["1-b".to_owned()], "4"), Err(MergeError::NothingLeft));
    assert_eq!(issue.split(&["1-x".to_owned()], "4"), Err(MergeError::NotThere("1-x".to_owned())));
    issue.undo_split(&apart, &split).unwrap();
    assert_eq!(issue.title(), "E: no");
    assert_eq!(issue.undo_merge(&merged).unwrap(), other);
}

#[test]
fn what_claims_to_be_of_the_future_happened_when_it_was_received() {
    let (mut issue, known) = (Issue::new("1"), Releases::default());
    issue.fold(&Occurrence { time: at(999_999_999), ..plain(7) }, &known);
    assert_eq!(issue.last(), Some((at(7), "e")));
}

#[test]
fn what_was_only_counted_has_no_event_to_show() {
    let (mut issue, known) = (Issue::new("1"), Releases::default());
    issue.fold(&Occurrence { id: "", times: 500, ..plain(5) }, &known);
    issue.fold(&Occurrence { id: "b", ..plain(7) }, &known);
    issue.fold(&Occurrence { id: "", times: 500, ..plain(9) }, &known);
    assert_eq!((issue.first(), issue.last()), (Some((at(5), "b")), Some((at(9), "b"))));
    assert_eq!(issue.occurrences(), 1001);
}

#[test]
fn releases_are_stored_with_their_order() {
    let mut known = Releases::default();
    for (second, release) in [(2, "bbb"), (1, "aaa"), (3, "ccc")] {
        known.see(release, at(second));
    }
    let again: Releases = serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
    assert_eq!((again.latest(), again == known), (Some("ccc"), true));
}

#[test]
fn stored_issues_of_another_version_are_read() {
    let issue: Issue =
        serde_json::from_str(r#"{"id":"1","colour":"red","tallies":[{"fingerprint":"1-a","sound":7}]}"#).unwrap();
    assert_eq!((issue.state, issue.occurrences()), (State::Open, 0));
}
