//! Many hits of one source are one finding.

use alerts::watch::{Crawler, Finding, Hit, Kind, Login, SOURCES_MAX, Watch};
use alerts::{Reason, render};
use proptest::prelude::*;

use crate::{at, kept};

fn probe(ip: &str) -> Hit<'_> {
    Hit { ip: Some(ip), path: Some("/wp-login.php"), probe: Some("wordpress"), status: Some(404), ..Hit::default() }
}

fn login<'a>(ip: &'a str, user: &'a str, login: Login) -> Hit<'a> {
    Hit { ip: Some(ip), user: Some(user), login: Some(login), ..Hit::default() }
}

/// Hits as `(second, hit)`, looked after each second until two hours later; findings as `second kind source count`.
fn check(hits: &[(u64, Hit<'_>)], expected: &[&str]) -> Vec<Finding> {
    let mut watch = Watch::default();
    let (mut told, mut findings) = (Vec::new(), Vec::new());
    let end = hits.iter().map(|(second, _)| *second).max().unwrap_or(0) + 7200;
    for second in 0..end {
        for (_, hit) in hits.iter().filter(|(time, _)| *time == second) {
            watch.see(hit, at(second));
        }
        let due = watch.next_due();
        let found = watch.due(at(second));
        assert!(found.is_empty() || due.is_some_and(|due| due <= at(second)));
        for finding in found {
            told.push(format!("{second} {} {} {}", finding.kind.name(), finding.source, finding.count));
            findings.push(finding);
        }
        assert!(watch.next_due().is_none_or(|due| due > at(second)), "it asks to be called at once, again");
    }
    assert_eq!(told, expected);
    findings
}

#[test]
fn fifty_probes_are_one_finding_and_a_crawler_is_none() {
    let crawler = Hit {
        ip: Some("203.0.113.50"),
        path: Some("/courses/x/video.mp4"),
        status: Some(404),
        crawler: Some(Crawler::Unverified),
        ..Hit::default()
    };
    let mut hits: Vec<(u64, Hit<'_>)> = (0..50).map(|hit| (hit * 6 / 5, probe("198.51.100.7"))).collect();
    hits.extend((0..20).map(|second| (second, crawler)));
    let findings = check(&hits, &["68 scanner 198.51.100.7 50"]);
    let finding = &findings[0];
    assert_eq!(
        (finding.stream(), finding.message()),
        ("SECURITY ALERT", "scanner at 198.51.100.7: 50 probes".to_owned())
    );
    assert_eq!(finding.examples, ["/wp-login.php"]);
    // It waits for a digest: nobody is called for it.
    assert_eq!(finding.hold(at(68)).map(|hold| hold.reason), Some(Reason::NotUrgent));
    let notice = finding.notice("web");
    assert_eq!((notice.rule.as_str(), notice.occurrences), ("security", Some(50)));
    assert!(render::email(&notice).text.contains("Source: 198.51.100.7"));
}

#[test]
fn a_window_ends_after_five_minutes_and_the_next_comes_in_an_hour() {
    let all_the_time: Vec<(u64, Hit<'_>)> = (0..1000).map(|hit| (hit * 5, probe("198.51.100.7"))).collect();
    // 0 to 295 s, told at 300; from 300 to 3895 s; the rest when it is quiet and an hour later.
    check(
        &all_the_time,
        &["300 scanner 198.51.100.7 60", "3900 scanner 198.51.100.7 720", "7500 scanner 198.51.100.7 220"],
    );
    let few: Vec<(u64, Hit<'_>)> = (0..9).map(|hit| (hit, probe("198.51.100.7"))).collect();
    check(&few, &[]);
    let slow: Vec<(u64, Hit<'_>)> = (0..100).map(|hit| (hit * 11, probe("198.51.100.7"))).collect();
    check(&slow, &[]);
}

#[test]
fn guessing_is_told_of_once_by_where_it_comes_from() {
    let (ip, user) = ("198.51.100.7", "alice");
    let from_one: Vec<(u64, Hit<'_>)> = (0..10).map(|hit| (hit * 5, login(ip, user, Login::Failed))).collect();
    let findings = check(&from_one, &["55 brute_force 198.51.100.7 10"]);
    assert_eq!((findings[0].stream(), findings[0].hold(at(0))), ("STRANGE ACTIVITY", None));
    let ips: Vec<String> = (0..12).map(|number| format!("198.51.100.{number}")).collect();
    let from_many: Vec<(u64, Hit<'_>)> =
        (0..12).map(|hit| (hit as u64, login(&ips[hit], user, Login::Failed))).collect();
    let findings = check(&from_many, &["21 brute_force alice 12"]);
    assert_eq!(findings[0].message(), "guessing the password of alice: 12 failed logins from 12 addresses");
    let users = ["a", "b", "c", "d", "e"];
    let stuffing: Vec<(u64, Hit<'_>)> = (0..5).map(|hit| (hit as u64, login(ip, users[hit], Login::Failed))).collect();
    let findings = check(&stuffing, &["14 credential_stuffing 198.51.100.7 5"]);
    assert_eq!(findings[0].stream(), "SECURITY ALERT");
    let forgotten: Vec<(u64, Hit<'_>)> = (0..4).map(|hit| (hit, login(ip, user, Login::Failed))).collect();
    check(&forgotten, &[]);
}

#[test]
fn a_login_that_succeeds_after_guessing_is_told_at_once() {
    let (ip, user) = ("198.51.100.7", "alice");
    let mut hits: Vec<(u64, Hit<'_>)> = (0..12).map(|hit| (hit, login(ip, user, Login::Failed))).collect();
    hits.push((12, login(ip, user, Login::Succeeded)));
    hits.push((13, login(ip, user, Login::Succeeded)));
    let findings = check(&hits, &["12 broken_in 198.51.100.7 12", "21 brute_force 198.51.100.7 12"]);
    assert_eq!((findings[0].level(), findings[0].hold(at(0))), (event::Level::Error, None));
    // Somebody else behind the same address, and a person who remembers in the end, are nobody's business.
    let mut other: Vec<(u64, Hit<'_>)> = (0..12).map(|hit| (hit, login(ip, user, Login::Failed))).collect();
    other.push((12, login(ip, "bob", Login::Succeeded)));
    check(&other, &["21 brute_force 198.51.100.7 12"]);
    check(&[(0, login(ip, user, Login::Failed)), (1, login(ip, user, Login::Succeeded))], &[]);
}

#[test]
fn more_sources_than_there_is_room_for_leave_and_what_they_did_is_told() {
    let mut watch = Watch::default();
    for number in 0..20 {
        watch.see(&probe("198.51.100.7"), at(number));
    }
    for number in 0..3 * SOURCES_MAX {
        let ip = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
        watch.see(&probe(&ip), at(21));
    }
    assert!(watch.sources() <= SOURCES_MAX);
    let findings = watch.due(at(22));
    assert_eq!(findings.iter().map(|finding| finding.count).collect::<Vec<_>>(), [20]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_finding_counts_what_was_not_there_and_none_comes_twice_in_an_hour(
        hits in proptest::collection::vec((0_u64..30, 0_u8..3, 0_u8..3, 0_u8..4), 0..400),
    ) {
        let mut watch = Watch::default();
        let (mut now, mut seen) = (0, std::collections::BTreeMap::<(Kind, String), u64>::new());
        let mut last = std::collections::BTreeMap::<(Kind, String), u64>::new();
        for (later, ip, user, what) in hits {
            now += later * later;
            let (ip, user) = (format!("198.51.100.{ip}"), format!("user{user}"));
            match what {
                0 => watch.see(&login(&ip, &user, Login::Succeeded), at(now)),
                1 => watch.see(&login(&ip, &user, Login::Failed), at(now)),
                _ => {
                    watch.see(&probe(&ip), at(now));
                    *seen.entry((Kind::Scanner, ip)).or_default() += 1;
                }
            }
            for finding in watch.due(at(now)) {
                prop_assert!(finding.first <= finding.last && finding.last <= at(now));
                if finding.kind == Kind::Scanner {
                    let left = seen.get_mut(&(finding.kind, finding.source.clone())).expect("it was seen");
                    prop_assert!(*left >= finding.count && finding.count >= 10);
                    *left -= finding.count;
                }
                if finding.kind != Kind::BrokenIn {
                    let before = last.insert((finding.kind, finding.source), now);
                    prop_assert!(before.is_none_or(|before| now - before >= 3600), "{:?} {now}", before);
                }
            }
            prop_assert!(watch.next_due().is_none_or(|due| due > at(now)));
            watch = kept(&watch);
        }
    }
}
