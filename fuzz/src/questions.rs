//! What holds for the languages of questions, whatever is asked.
//!
//! The tests of `query` have this file as well: what fuzzing has found is read by the same functions without a fuzzer.

use query::elastic::{Context, Search, filter};
use query::filter::{DEPTH_MAX, Filter, TERMS_MAX};

/// A name, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 2] = [("search", search), ("dsl", dsl)];

fn check(filter: &Filter) {
    assert!(filter.terms() <= TERMS_MAX && filter.depth() <= DEPTH_MAX, "beyond the limits: {filter}");
}

/// A moment in 2026.
fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_767_225_600).expect("a moment in 2026")
}

/// The search language and the URL grammar: within their limits, and printed they read as they were.
pub fn search(body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    if let Ok(filter) = query::search::parse(&text, now()) {
        check_printed(&filter);
    }
    let pair = |pair: &str| {
        pair.split_once('=').map_or((pair.to_owned(), String::new()), |(key, value)| (key.to_owned(), value.to_owned()))
    };
    let pairs: Vec<(String, String)> = text.split('&').map(pair).collect();
    if let Ok(question) = query::url::parse(&pairs, now()) {
        check_printed(&question.filter);
    }
}

fn check_printed(filter: &Filter) {
    check(filter);
    let printed = filter.to_string();
    // Quoting makes it longer than what was typed.
    if printed.len() <= 4096 {
        assert_eq!(query::search::parse(&printed, now()).as_ref(), Ok(filter), "{printed}");
    }
}

/// Bodies of Elasticsearch's `_search`, and Lucene's language in them.
pub fn dsl(body: &[u8]) {
    let names = ["a".to_owned(), "a.b".to_owned(), "message".to_owned()];
    let context = Context::new(event::Timestamp::from_micros(1_767_225_600_000_000), &names);
    let _ = Search::parse(body, &context);
    let text = String::from_utf8_lossy(body);
    let mut queries = vec![
        serde_json::json!({ "query_string": { "query": text } }),
        serde_json::json!({ "simple_query_string": { "query": text, "fields": ["a*"] } }),
        serde_json::json!({ "regexp": { "a": text } }),
        serde_json::json!({ "range": { "@timestamp": { "gte": text } } }),
    ];
    queries.extend(serde_json::from_slice::<serde_json::Value>(body));
    for query in queries {
        if let Ok(filter) = filter(&query, &context) {
            check(&filter);
        }
    }
}
