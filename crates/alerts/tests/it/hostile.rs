//! No text from outside calls anybody, sets a link or passes for a fact.

use alerts::render::{discord, email, slack, teams, telegram, webhook};
use alerts::{Fact, Notice, Trigger};
use proptest::prelude::*;
use serde_json::Value;

use crate::crash;

const EVIL: &str = "<!channel> <@U123> @everyone @alice [x](http://evil.example) <a href=http://evil.example>x</a> **b** `c` ```d``` \
                    \u{202E}gnp.exe\u{202C}\nEnvironment: staging\r\nBcc: all@example.com\u{2028}<script>alert(1)</script>";

fn hostile(text: &str) -> Notice {
    let mut notice = crash();
    notice.title = text.to_owned();
    notice.message = Some(format!("said:\n{text}"));
    notice.environment = Some(text.to_owned());
    notice.log = text.to_owned();
    notice.path = Some(text.to_owned());
    notice.release = Some(text.to_owned());
    notice.facts = vec![Fact::new(text, text); 30];
    notice.trail = vec![text.to_owned(); 30];
    notice
}

/// All texts in a JSON value, but links of ours.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(map) => map.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

/// Longest of what a service may count: it says characters, and not which.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn all_texts(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    texts(value, &mut found);
    found
}

fn check_slack(notice: &Notice) {
    let body = slack(notice);
    let blocks = body["blocks"].as_array().expect("blocks");
    let link = notice.link.as_deref().expect("a link");
    assert!(blocks.len() <= 50);
    for block in blocks {
        let bound = match (block["type"].as_str(), &block["fields"]) {
            (Some("header"), _) => 150,
            (Some("section"), Value::Array(_)) => 2000,
            _ => 3000,
        };
        assert!(block["type"] == "header" || block["type"] == "section");
        for text in all_texts(block) {
            assert!((1..=bound).contains(&length(&text)), "{text}");
            let without_link = text.replace(&format!("<{link}|Open in Everlog>"), "");
            assert!(!without_link.contains(['<', '>']), "{text}");
            assert!(
                without_link
                    .split('&')
                    .skip(1)
                    .all(|rest| ["amp;", "lt;", "gt;"].iter().any(|name| rest.starts_with(name)))
            );
        }
        for field in block["fields"].as_array().into_iter().flatten() {
            assert_eq!(field["type"], "plain_text");
            assert_eq!(field["text"].as_str().map(|text| text.matches('\n').count()), Some(1));
        }
        assert!(block["fields"].as_array().is_none_or(|fields| fields.len() <= 10));
    }
    let text = body["text"].as_str().expect("a text");
    assert!((1..=3000).contains(&length(text)));
    assert!(!text.contains(['<', '>', '\n']) && body["link_names"] == false && body["mrkdwn"] == false);
}

fn check_email(notice: &Notice) {
    let mail = email(notice);
    assert!(!mail.subject.contains(char::is_control) && mail.subject.chars().count() <= 180);
    let facts: Vec<&str> = mail.text.lines().filter(|line| line.starts_with("Environment: ")).collect();
    assert!(facts.len() <= 1, "{facts:?}");
    assert!(!mail.text.contains('\r') && !mail.text.contains('\u{202E}'));
    for tag in ["<script", "<img", "<a href=http", "<!channel"] {
        assert!(!mail.html.contains(tag), "{tag}");
    }
    assert_eq!(mail.html.matches("<a ").count(), 1);
}

fn check_teams(notice: &Notice) {
    let body = teams(notice);
    let content = &body["attachments"][0]["content"];
    assert!(body.to_string().len() < 28_000, "{}", body.to_string().len());
    assert!(content["msteams"]["entities"].is_null());
    for block in content["body"].as_array().expect("a body") {
        assert_eq!(block["type"], "RichTextBlock");
        for run in block["inlines"].as_array().expect("inlines") {
            assert!(run["type"] == "TextRun" && run["text"].as_str().is_some_and(|text| !text.is_empty()), "{run}");
        }
    }
    for action in content["actions"].as_array().expect("actions") {
        assert!(action["url"].as_str().is_some_and(|url| url.starts_with("https://everlog.example.com/")), "{action}");
    }
}

fn check_discord(notice: &Notice) {
    let body = discord(notice);
    assert_eq!(body["allowed_mentions"]["parse"], serde_json::json!([]));
    let embed = &body["embeds"][0];
    let length = |value: &Value| value.as_str().map_or(0, length);
    let fields = embed["fields"].as_array().expect("fields");
    assert!(
        length(&body["content"]) <= 2000
            && (1..=256).contains(&length(&embed["title"]))
            && length(&embed["description"]) <= 4096
            && length(&embed["url"]) <= 2048
    );
    assert!(fields.len() <= 25);
    assert_eq!(body["embeds"].as_array().map(Vec::len), Some(1));
    let fences = embed["description"].as_str().expect("a description").matches("```").count();
    assert!(fences.is_multiple_of(2) && fences <= 4, "what is quoted ends where we say");
    let all = length(&embed["title"])
        + length(&embed["description"])
        + fields.iter().map(|field| length(&field["name"]) + length(&field["value"])).sum::<usize>();
    assert!(all <= 6000, "{all}");
    for field in fields {
        assert!((1..=256).contains(&length(&field["name"])) && (1..=1024).contains(&length(&field["value"])));
    }
    let content = body["content"].as_str().expect("content");
    assert!(!content.contains("](") && !content.contains(" @everyone") && !content.contains(" **"), "{content}");
}

fn check_telegram(notice: &Notice) {
    let body = telegram(notice, "1");
    let text = body["text"].as_str().expect("a text");
    assert!((1..=4096).contains(&length(text)));
    // Outside of code it would make links of addresses.
    let outside = text.split("<code>").map(|part| part.split_once("</code>").map_or(part, |(_, after)| after));
    // The last line is a label, or the link.
    let lines: Vec<&str> = outside.filter_map(|part| Some(part.rsplit_once('\n')?.0)).collect();
    assert!(!lines.concat().contains("evil.example"), "{text}");
    let mut open: Vec<&str> = Vec::new();
    for part in text.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("a tag ends");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None => open.push(tag.split(' ').next().expect("a name")),
        }
        assert!(
            ["b", "/b", "code", "/code", "/a"].contains(&tag) || tag.starts_with("a href=\"https://everlog."),
            "{tag}"
        );
    }
    assert!(open.is_empty());
    assert!(text.match_indices('@').all(|(place, _)| text[place..].starts_with("@\u{2060}")));
}

fn check(text: &str) {
    let digest = Notice { trigger: Trigger::Digest { count: u64::MAX }, ..hostile(text) };
    let trigger = Trigger::Threshold { value: f64::MAX, limit: "10 or more".to_owned(), window_seconds: u64::MAX };
    let over = Notice { trigger, resolved: true, ..hostile(text) };
    let link = Some(format!("https://everlog.example.com/{}", "x".repeat(1900)));
    let linked = Notice { link, level: None, ..hostile(text) };
    for notice in [hostile(text), hostile(text).bounded(), digest, over, linked] {
        check_slack(&notice);
        check_email(&notice);
        check_teams(&notice);
        check_discord(&notice);
        check_telegram(&notice);
        assert!(!webhook(&notice)["headline"].as_str().expect("a headline").contains(char::is_control));
    }
}

#[test]
fn a_hostile_text_calls_nobody_and_forges_nothing() {
    check(EVIL);
    for unit in ["<", "&", "@", "`", "\\", "*", "\n", "\u{202E}", "\u{0}", "😀", "日本語", "]("] {
        check(&unit.repeat(4000));
    }
    check("");
}

#[test]
fn only_links_of_the_web_are_links() {
    let check = |link: &str, expected: bool| {
        let notice = Notice { link: Some(link.to_owned()), ..crash() };
        let shown = [slack(&notice).to_string(), email(&notice).html, telegram(&notice, "1").to_string()];
        for text in shown {
            assert_eq!(text.contains("Open in Everlog"), expected, "{link}");
        }
        assert_eq!(
            teams(&notice)["attachments"][0]["content"]["actions"].as_array().is_some_and(|list| !list.is_empty()),
            expected
        );
        assert_eq!(discord(&notice)["embeds"][0]["url"].is_string(), expected);
    };
    check("https://everlog.example.com/issues/42?a=1&b=2", true);
    check("http://127.0.0.1:7171/", true);
    for evil in [
        "javascript:alert(1)",
        "https://a/|x>",
        "https://a/\"onclick=",
        "https://a b",
        "",
        &format!("https://a/{}", "&".repeat(1900)),
    ] {
        check(evil, false);
    }
}

#[test]
fn bounds_hold_where_a_notice_is_made() {
    let notice = hostile(&"long ".repeat(10_000)).bounded();
    assert!(serde_json::to_string(&notice).expect("JSON").len() < 32_000);
    assert_eq!(notice.clone().bounded(), notice);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_text_is_harmless(text in r#"([<>&@`*_~|\\\[\]()!#\n\r\t"' a-c😀\u{202E}\u{0}]|<!channel>|@everyone|&lt;|</code>){0,300}"#) {
        check(&text);
    }
}
