//! Which channels a notice goes to.

use alerts::{Channel, Notice, read_rules, route};
use event::Level;

use crate::{crash, map};

#[test]
fn notices_go_where_they_belong() {
    let channels: Vec<Channel> = [
        ("all", "{}"),
        ("production", r#"{"environments": ["production"]}"#),
        ("staging", r#"{"environments": ["staging"], "url": "not read here"}"#),
        ("security", r#"{"rules": ["security"]}"#),
        ("pager", r#"{"level_min": "critical"}"#),
        ("off", r#"{"enabled": false}"#),
    ]
    .into_iter()
    .map(|(name, settings)| Channel::read(name, &map(settings)).expect(settings))
    .collect();
    let rules = read_rules(&map(
        r#"{"mine": {"search": "x", "channels": ["security"]}, "spike": false, "silence": {"channel": "staging"}}"#,
    ))
    .expect("rules");
    let check = |rule: &str, environment: Option<&str>, level: Option<Level>, expected: &[&str]| {
        let environment = environment.map(str::to_owned);
        let notice = Notice { rule: rule.to_owned(), environment, level, ..crash() };
        assert_eq!(route(&notice, &rules, &channels), expected, "{rule} {level:?}");
    };
    check("new_issue", Some("production"), Some(Level::Error), &["all", "production"]);
    check("new_issue", Some("staging"), Some(Level::Critical), &["all", "staging", "pager"]);
    check("new_issue", Some("test"), Some(Level::Error), &["all"]);
    check("security", None, Some(Level::Notice), &["all", "production", "staging", "security"]);
    check("disk_full", None, None, &["all", "production", "staging", "pager"]);
    check("mine", Some("production"), None, &["security"]);
    check("spike", Some("production"), None, &[]);
    check("silence", Some("production"), None, &[]);
    check("silence", Some("staging"), None, &["staging"]);
}

#[test]
fn settings_of_a_channel_are_checked() {
    let check = |settings: &str, expected: &str| {
        let error = Channel::read("ops", &map(settings)).expect_err(settings).to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(r#"{"hourly_cap": 5000}"#, "channel ops: `hourly_cap` must be a whole number from 1 to 1000, not 5000");
    check(r#"{"level_min": 3}"#, "of trace, debug");
    check(r#"{"quiet_hours": "always"}"#, "two times of day");
}
