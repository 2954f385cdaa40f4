//! The search language and the URL grammar: within their limits, and printed they read as they were.
#![no_main]
use query::filter::{DEPTH_MAX, Filter, TERMS_MAX};

fn check(filter: &Filter) {
    assert!(filter.terms() <= TERMS_MAX && filter.depth() <= DEPTH_MAX, "beyond the limits: {filter}");
    let printed = filter.to_string();
    // Quoting makes it longer than what was typed.
    if printed.len() <= 4096 {
        assert_eq!(query::search::parse(&printed, now()).as_ref(), Ok(filter), "{printed}");
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_767_225_600).expect("a moment in 2026")
}

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let text = String::from_utf8_lossy(body);
    if let Ok(filter) = query::search::parse(&text, now()) {
        check(&filter);
    }
    let pair = |pair: &str| {
        pair.split_once('=').map_or((pair.to_owned(), String::new()), |(key, value)| (key.to_owned(), value.to_owned()))
    };
    let pairs: Vec<(String, String)> = text.split('&').map(pair).collect();
    if let Ok(question) = query::url::parse(&pairs, now()) {
        check(&question.filter);
    }
});
