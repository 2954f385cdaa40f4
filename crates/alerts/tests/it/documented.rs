//! The page about alerts says what is so.

use alerts::{CHANNEL_KEYS, Notice, On, RULE_KEYS, Trigger, read_rules};
use serde_json::{Map, Value};

const PAGE: &str = include_str!("../../../../docs/alerts.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn rules_of_the_page_can_be_written() {
    let mut read = 0;
    for block in blocks("toml") {
        let table: toml::Table = block.parse().expect(block);
        let Some(rules) = table.get("rules") else { continue };
        let rules: Map<String, Value> = match serde_json::to_value(rules) {
            Ok(Value::Object(rules)) => rules,
            other => panic!("{other:?}"),
        };
        read_rules(&rules).expect(block);
        read += 1;
    }
    assert_eq!(read, 2);
}

#[test]
fn the_webhook_of_the_page_is_a_notice() {
    let blocks = blocks("json");
    let body: Value = serde_json::from_str(blocks[0]).expect("JSON");
    let notice: Notice = serde_json::from_value(body["notice"].clone()).expect("a notice");
    assert_eq!(alerts::render::webhook(&notice), body);
    for line in blocks[1].lines() {
        serde_json::from_str::<Trigger>(line).expect(line);
    }
}

#[test]
fn every_key_and_every_rule_is_on_the_page() {
    let listed = |name: &&str| {
        PAGE.contains(&format!("`{name}`"))
            || name.strip_suffix('s').is_some_and(|one| PAGE.contains(&format!("`{one}(s)`")))
    };
    let singular = ["environment", "channel"];
    let names = RULE_KEYS.into_iter().chain(CHANNEL_KEYS).chain(On::ALL.iter().map(|on| on.name()));
    let missing: Vec<&str> = names.filter(|name| !listed(name) && !singular.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
