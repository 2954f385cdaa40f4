//! Bodies of Elasticsearch's `_search`, and Lucene's language in them.
#![no_main]
use query::elastic::{Context, Search, filter};
use query::filter::{DEPTH_MAX, TERMS_MAX};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let names = ["a".to_owned(), "a.b".to_owned(), "message".to_owned()];
    let context = Context::new(fuzz::now(), &names);
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
            assert!(filter.terms() <= TERMS_MAX && filter.depth() <= DEPTH_MAX, "beyond the limits: {filter}");
        }
    }
});
