//! Rules as people write them.

use std::time::Duration;

use alerts::{Limit, On, Rule, read_rules};
use event::Level;
use proptest::prelude::*;

use crate::map;

fn refused(name: &str, text: &str, expected: &str) {
    let error = Rule::read(name, &map(text)).expect_err(text).to_string();
    assert!(error.contains(expected), "{text}: {error}");
}

#[test]
fn a_rule_is_read_with_all_its_keys() {
    let rule = Rule::read(
        "slow",
        &map(r#"{"on": "threshold", "search": "level:error", "log": "shop", "window": "10m", "above": 10,
            "group_by": ["user"], "environments": ["production"], "levels": ["error", "fatal"], "level_min": "warn",
            "channels": ["ops"], "quiet_hours": "22:00-07:00", "timezone": "+01:00", "snooze": "2026-01-02T08:00:00Z",
            "repeat": "2h", "hourly_cap": 5, "for": "2m"}"#),
    )
    .expect("a rule");
    assert_eq!((rule.on, rule.limit), (On::Threshold, Some(Limit::Above(10.0))));
    assert_eq!((rule.window, rule.repeat), (Duration::from_mins(10), Duration::from_hours(2)));
    assert_eq!((rule.pending, rule.hourly_cap), (Duration::from_mins(2), Some(5)));
    assert_eq!((rule.logs.as_slice(), rule.group_by.as_slice()), (&["shop".to_owned()][..], &["user".to_owned()][..]));
    assert_eq!((rule.levels.as_slice(), rule.level_min), (&[Level::Error, Level::Critical][..], Some(Level::Warning)));
    assert_eq!(Rule::read("slow", &rule.written()).expect("as written"), rule);
}

#[test]
fn what_cannot_be_says_what_would_be_right() {
    refused("a", r#"{"serch": "x"}"#, "there is no key `serch`; is it `search`?");
    refused("a", r#"{"on": "new_isue"}"#, "is it `new_issue`?");
    refused("a", r#"{"on": "resolved_thing_of_mine"}"#, "of new_issue, regression");
    refused("a", "{}", "say what it listens to");
    refused("new_isue", "{}", "is the built-in rule `new_issue` meant?");
    refused("spike", r#"{"on": "silence"}"#, "this name belongs to the built-in rule on spike");
    refused("a", r#"{"search": "x", "above": 1, "below": 2}"#, "give one of");
    refused("a", r#"{"on": "new_issue", "threshold": 2}"#, "finds its limit itself");
    refused("a", r#"{"on": "new_issue", "for": "2m"}"#, "happens at a moment");
    refused("a", r#"{"search": "x", "window": "5 minutes"}"#, "a span like 30s, 5m or 1h");
    refused("a", r#"{"search": "x", "window": "2d"}"#, "from 10s to 1d");
    refused("a", r#"{"search": "x", "level_min": "loud"}"#, "of trace, debug");
    refused("a", r#"{"search": "x", "channels": [1]}"#, "a text or a list");
    refused("a", r#"{"search": "x", "log": "a", "logs": ["b"]}"#, "either `log` or `logs`");
    refused("a", r#"{"search": "x", "quiet_hours": "22-7"}"#, "two times of day like 22:00-07:00");
    refused("a", r#"{"search": "x", "quiet_hours": "22:00-07:00", "timezone": "Mars"}"#, "a zone like Europe/Paris");
    refused("a", r#"{"search": "x", "timezone": "UTC"}"#, "give both");
    refused(
        "a",
        r#"{"threshold": 0}"#,
        "`threshold` must be more than 0 (`below = 1` calls when nothing comes), not 0",
    );
    refused("a", r#"{"threshold": -5}"#, "more than 0");
    refused("a", r#"{"above": -1}"#, "0 or more");
    refused("a", r#"{"below": 0}"#, "more than 0, as nothing is less");
    refused("disk_full", r#"{"below": -1}"#, "more than 0");
    refused("a", r#"{"search": "x", "hourly_cap": 0}"#, "a whole number from 1 to 1000");
    refused("a", r#"{"search": "x", "group_by": ["a", "b", "c", "d", "e"]}"#, "up to 4 keys");
    refused("a", r#"{"search": ""}"#, "a search like level:error");
    refused("", r#"{"search": "x"}"#, "a name has 1 to 100 bytes");
}

#[test]
fn built_in_rules_are_there_and_are_changed_by_their_name() {
    let names: Vec<String> = read_rules(&map("{}")).expect("rules").into_iter().map(|rule| rule.name).collect();
    let expected =
        ["new_issue", "regression", "reached", "spike", "silence", "security", "disk_full", "delivery_failing"];
    assert_eq!(names, expected);
    let rules = read_rules(&map(
        r#"{"spike": false, "disk_full": {"below": 14}, "new_issue": {"environments": ["production"]},
            "logins": {"search": "stream:LOGIN", "threshold": 100}}"#,
    ))
    .expect("rules");
    let named = |name: &str| rules.iter().find(|rule| rule.name == name).expect("there");
    assert!(!named("spike").enabled && named("silence").enabled);
    assert_eq!(named("disk_full").limit, Some(Limit::Below(14.0)));
    assert_eq!(named("disk_full").repeat, Duration::from_hours(24));
    assert!(named("new_issue").hears("shop", Some("production"), None));
    assert!(!named("new_issue").hears("shop", Some("staging"), None));
    assert!(!named("new_issue").hears("shop", None, None));
    assert_eq!(rules.len(), 9);
    let error = read_rules(&map(r#"{"spyke": false}"#)).expect_err("a name that is nobody's").to_string();
    assert!(error.contains("is the built-in rule `spike` meant?"), "{error}");
}

#[test]
fn names_of_rollbar_mean_the_same() {
    let rule = Rule::read("fast", &map(r#"{"on": "item_velocity", "threshold": 10, "window": "300s"}"#)).expect("read");
    assert_eq!((rule.on, rule.group_by.as_slice()), (On::Threshold, &["issue".to_owned()][..]));
    assert_eq!(Rule::read("a", &map(r#"{"on": "reactivated_item"}"#)).map(|rule| rule.on), Ok(On::Regression));
}

#[test]
fn groups_and_triggers_of_a_rule_have_names() {
    let rule = Rule::read("a", &map(r#"{"search": "x", "above": 10, "group_by": ["user", "release"]}"#)).expect("read");
    let group = rule.group(|key| (key == "user").then(|| "alice\nbob".to_owned()));
    assert_eq!(group, "user: alice bob, release: none");
    assert_eq!(rule.trigger(12.5).says(), "12.5 in 5m (limit: more than 10)");
}

#[test]
fn levels_decide_what_is_heard() {
    let check = |text: &str, level: Option<Level>, expected: bool| {
        let rule = Rule::read("a", &map(text)).expect("a rule");
        assert_eq!(rule.hears("shop", None, level), expected, "{text} {level:?}");
    };
    check(r#"{"on": "new_issue"}"#, None, true);
    check(r#"{"on": "new_issue", "level_min": "error"}"#, Some(Level::Critical), true);
    check(r#"{"on": "new_issue", "level_min": "error"}"#, Some(Level::Warning), false);
    check(r#"{"on": "new_issue", "levels": ["warning"]}"#, Some(Level::Error), false);
    check(r#"{"on": "new_issue", "log": "web"}"#, None, false);
    check(r#"{"on": "new_issue", "enabled": false}"#, None, false);
}

#[test]
fn a_group_is_read_back() {
    let check = |keys: &[&str], group: &str, expected: &[(&str, &str)]| {
        let mut rule = Rule::new("mine", On::Threshold);
        rule.group_by = keys.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(rule.values_of(group), expected, "{group}");
    };
    check(&["provider"], "provider: stripe", &[("provider", "stripe")]);
    check(&["user", "release"], "user: a, b: c, release: 1.1", &[("user", "a, b: c"), ("release", "1.1")]);
    check(&["user"], "(others)", &[]);
    check(&[], "", &[]);
}

proptest! {
    #[test]
    fn every_rule_is_read_back_as_it_was_written(
        threshold in 1_u32..100_000,
        window in 10_u64..86_400,
        repeat in 0_u64..1_000_000,
        pending in 0_u64..100_000,
        cap in proptest::option::of(1_u32..=1000),
        channels in proptest::collection::vec("[a-z]{1,8}", 0..4),
        search in proptest::option::of("[a-z:> ]{1,20}"),
    ) {
        let mut rule = Rule::new("mine", On::Threshold);
        rule.limit = Some(Limit::AtLeast(f64::from(threshold)));
        rule.window = Duration::from_secs(window);
        rule.repeat = Duration::from_secs(repeat);
        rule.pending = Duration::from_secs(pending);
        rule.hourly_cap = cap;
        rule.channels = channels;
        rule.search = search;
        prop_assert_eq!(Rule::read("mine", &rule.written()), Ok(rule));
    }

    #[test]
    fn any_object_is_read_or_refused(text in r#"\{"(on|search|window|threshold|levels|quiet_hours|snooze|for|group_by)": (null|1|-3\.5|true|"[ -~&&[^"\\]]{0,12}"|\[\]|\{\})\}"#) {
        let read = Rule::read("mine", &map(&text));
        if let Err(error) = read {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
