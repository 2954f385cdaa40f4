//! Searching through the Elasticsearch door: answers in the shapes that its clients read, wherever the events are.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::Server;

/// A status and a body.
async fn told(server: &Server, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let sent = if let Value::String(text) = body { text.clone() } else { body.to_string() };
    let request = server.request(method, &format!("/es{path}")).header("content-type", "application/json").body(sent);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-elastic-product"], "Elasticsearch");
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn ask(server: &Server, path: &str, body: Value) -> Value {
    let (status, answer) = told(server, Method::POST, path, &body).await;
    assert_eq!(status, 200, "{path} {body}: {answer}");
    answer
}

/// The ids of the hits of a query, in order.
async fn found(server: &Server, query: Value) -> String {
    let answer = ask(server, "/flows/_search", json!({ "query": query, "size": 100 })).await;
    let ids = answer["hits"]["hits"].as_array().unwrap().iter().map(|hit| hit["_id"].as_str().unwrap().to_owned());
    let ids: Vec<String> = ids.collect();
    assert_eq!(answer["hits"]["total"], json!({ "value": ids.len(), "relation": "eq" }));
    ids.join(" ")
}

/// Nine events of one log and two of another, with one key of two types, lists, and objects.
async fn with_events() -> Server {
    let server = Server::start().await;
    let services = ["api", "web", "api", "db", "api", "web", "api", "web", "api"];
    let mut lines = String::new();
    for (at, service) in services.iter().enumerate() {
        let number = if at == 7 { json!("7") } else { json!(at) };
        let event = json!({
            "@timestamp": format!("2024-01-0{}T0{at}:00:00.123Z", 1 + at / 3), "service": service, "n": number,
            "ok": at % 2 == 0, "took": 1.5 * f64::from(u8::try_from(at).unwrap()), "tags": if at % 4 == 0 { json!(["red", "blue"]) } else { json!(["red"]) },
            "person": { "name": if at < 4 { "Ann" } else { "Bob" }, "team.id": at % 3 },
            "message": if at == 5 { "The connection timed out".to_owned() } else { format!("GET /orders/{at} done") },
            "items": [{ "sku": format!("s{at}"), "amount": at }],
        });
        let head = json!({ "index": { "_index": "flows", "_id": format!("f{at}") } });
        lines.extend([head.to_string(), "\n".to_owned(), event.to_string(), "\n".to_owned()]);
    }
    for (id, time, service) in [("o0", "2024-01-02T00:00:00Z", "api"), ("o1", "2024-01-02T12:00:00Z", "zip")] {
        let head = json!({ "index": { "_index": "other", "_id": id } });
        lines.extend([head.to_string(), format!("\n{}\n", json!({ "@timestamp": time, "service": service }))]);
    }
    let taken = ask(&server, "/_bulk", Value::String(lines)).await;
    assert_eq!((&taken["errors"], taken["items"].as_array().unwrap().len()), (&json!(false), 11));
    server
}

/// Does something with the events in the buffer, in a segment, and after a restart.
async fn everywhere(check: impl AsyncFn(&Server)) {
    let mut server = with_events().await;
    check(&server).await;
    server.flush().await;
    check(&server).await;
    server.stop().await;
    server.restart().await;
    check(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_find_what_they_say() {
    everywhere(async |server| {
        for (query, ids) in [
            (json!({ "match_all": {} }), "f0 f1 f2 f3 f4 f5 f6 f7 f8"),
            (json!({ "match_none": {} }), ""),
            (json!({ "term": { "service": "db" } }), "f3"),
            (json!({ "term": { "service.keyword": { "value": "db" } } }), "f3"),
            (json!({ "term": { "n": 7 } }), "f7"),
            (json!({ "terms": { "n": [1, "2", 7] } }), "f1 f2 f7"),
            (json!({ "term": { "ok": false } }), "f1 f3 f5 f7"),
            (json!({ "term": { "tags": "blue" } }), "f0 f4 f8"),
            (json!({ "term": { "person.name": "Ann" } }), "f0 f1 f2 f3"),
            (json!({ "term": { "person.team.id": 2 } }), "f2 f5 f8"),
            (json!({ "term": { "nothing.like.it": 1 } }), ""),
            (json!({ "match": { "message": "timed nowhere" } }), "f5"),
            (json!({ "match": { "message": { "query": "timed nowhere", "operator": "and" } } }), ""),
            (json!({ "match_phrase": { "message": "connection timed out" } }), "f5"),
            (json!({ "match_phrase_prefix": { "message": "connection tim" } }), "f5"),
            (json!({ "multi_match": { "query": "timed", "fields": ["message^2", "service"] } }), "f5"),
            (json!({ "prefix": { "service.keyword": "we" } }), "f1 f5 f7"),
            (json!({ "wildcard": { "service": { "value": "?e*" } } }), "f1 f5 f7"),
            (json!({ "wildcard": { "service": { "value": "W*", "case_insensitive": true } } }), "f1 f5 f7"),
            (json!({ "regexp": { "service": "(d|we)b" } }), "f1 f3 f5 f7"),
            (json!({ "range": { "n": { "gte": 6, "lt": 8 } } }), "f6 f7"),
            (json!({ "range": { "@timestamp": { "gte": "2024-01-02", "lte": "2024-01-02" } } }), "f3 f4 f5"),
            (json!({ "range": { "@timestamp": { "gt": "2024-01-02||/d" } } }), "f6 f7 f8"),
            (json!({ "range": { "@timestamp": { "lt": 1_704_078_000_123_u64 } } }), "f0 f1 f2"),
            (json!({ "range": { "@timestamp": { "lt": "02/01/2024", "format": "dd/MM/yyyy" } } }), "f0 f1 f2"),
            (json!({ "exists": { "field": "person" } }), "f0 f1 f2 f3 f4 f5 f6 f7 f8"),
            (json!({ "bool": { "must_not": { "exists": { "field": "message" } } } }), ""),
            (json!({ "ids": { "values": ["f2", "f8", "no"] } }), "f2 f8"),
            (json!({ "bool": { "filter": [{ "term": { "service": "api" } }], "must_not": [{ "term": { "ok": true } }] } }), ""),
            (json!({ "bool": { "should": [{ "term": { "n": 1 } }, { "term": { "n": 2 } }] } }), "f1 f2"),
            (json!({ "bool": { "must": { "term": { "service": "db" } }, "should": [{ "term": { "n": 1 } }] } }), "f3"),
            (json!({ "bool": { "should": [{ "term": { "service": "api" } }, { "term": { "ok": true } }, { "term": { "n": 4 } }], "minimum_should_match": 3 } }), "f4"),
            (json!({ "constant_score": { "filter": { "term": { "n": 4 } } } }), "f4"),
            (json!({ "nested": { "path": "items", "query": { "term": { "items.sku": "s6" } } } }), "f6"),
            (json!({ "query_string": { "query": "service:(db OR web) AND n:>=5" } }), "f5 f7"),
            (json!({ "query_string": { "query": "n:[2 TO 3] OR message:timed" } }), "f2 f3 f5"),
            (json!({ "query_string": { "query": "timed" } }), "f5"),
            (json!({ "simple_query_string": { "query": "timed + out", "fields": ["message"] } }), "f5"),
            (json!({ "term": { "_index": "flows" } }), "f0 f1 f2 f3 f4 f5 f6 f7 f8"),
            (json!({ "bool": { "must_not": { "term": { "_index": "flows" } } } }), ""),
        ] {
            assert_eq!(found(server, query.clone()).await, ids, "{query}");
        }
        let by_path = server.request(Method::GET, "/es/flows/_search?q=n:3&_source=false&size=1").send().await.unwrap();
        let by_path: Value = serde_json::from_str(&by_path.text().await.unwrap()).unwrap();
        assert_eq!(by_path["hits"]["hits"], json!([{ "_index": "flows", "_id": "f3", "_score": 1.0 }]));
        assert_eq!(ask(server, "/flows,other/_count", json!({ "query": { "term": { "service": "api" } } })).await["count"], 6);
        assert_eq!(ask(server, "/flows/_count", Value::String(String::new())).await["count"], 9);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_in_its_words() {
    let server = with_events().await;
    let deep = (0..80)
        .fold(json!({ "match_all": {} }), |inner, _| json!({ "bool": { "must": [inner, { "term": { "a": 1 } }] } }));
    let many: Vec<usize> = (0..600).collect();
    for (body, kind, said) in [
        (json!({ "query": { "foo": {} } }), "parsing_exception", "unknown query [foo]"),
        (json!({ "query": { "fuzzy": { "a": "b" } } }), "parsing_exception", "[fuzzy] is not supported"),
        (json!({ "query": { "terms": { "n": many } } }), "too_many_clauses", "600"),
        (json!({ "query": deep }), "parsing_exception", "recursion limit"),
        (json!({ "query": { "regexp": { "a": "(" } } }), "illegal_argument_exception", "regular expression"),
        (json!({ "query": { "range": { "@timestamp": { "gte": "yesterday" } } } }), "parsing_exception", "yesterday"),
        (json!({ "query": { "query_string": { "query": "(a" } } }), "query_shard_exception", "`)` is missing"),
        (json!({ "highlight": { "fields": { "message": {} } } }), "parsing_exception", "[highlight]"),
        (json!({ "nonsense": 1 }), "parsing_exception", "[nonsense]"),
        (json!({ "size": 10_001 }), "illegal_argument_exception", "Result window is too large"),
        (
            json!({ "aggs": { "a": { "significant_terms": { "field": "n" } } } }),
            "illegal_argument_exception",
            "[significant_terms]",
        ),
        (
            json!({ "aggs": { "a": { "histogram": { "field": "n", "interval": 0.000_001 } } } }),
            "too_many_buckets_exception",
            "too many buckets",
        ),
        (json!({ "sort": "n", "search_after": [1, 2, 3] }), "illegal_argument_exception", "search_after"),
    ] {
        let (status, answer) = told(&server, Method::POST, "/flows/_search", &body).await;
        assert_eq!((status, &answer["error"]["type"]), (400, &json!(kind)), "{body}: {answer}");
        assert!(answer["error"]["reason"].as_str().unwrap().contains(said), "{answer}");
        assert_eq!(answer["error"]["root_cause"][0]["type"], kind);
    }
    assert_eq!(
        told(&server, Method::POST, "/nolog/_search", &json!({})).await.1["error"]["type"],
        "index_not_found_exception"
    );
    assert_eq!(told(&server, Method::POST, "/flows/_search", &json!("{")).await.0, 400);
    assert_eq!(told(&server, Method::POST, "/_search/scroll", &json!({ "scroll_id": "zzz" })).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn hits_and_their_order() {
    everywhere(async |server| {
        let body = json!({ "query": { "term": { "n": 5 } }, "sort": [{ "@timestamp": "desc" }, { "n": { "order": "asc", "unmapped_type": "long" } }] });
        let mut answer = ask(server, "/flows/_search", body).await;
        assert!(answer["took"].is_u64());
        answer.as_object_mut().unwrap().remove("took");
        assert_eq!(answer, json!({
            "timed_out": false,
            "_shards": { "total": 1, "successful": 1, "skipped": 0, "failed": 0 },
            "hits": { "total": { "value": 1, "relation": "eq" }, "max_score": null, "hits": [{
                "_index": "flows", "_id": "f5", "_score": null,
                "_source": {
                    "@timestamp": "2024-01-02T05:00:00.123Z", "items": [{ "amount": 5, "sku": "s5" }], "message": "The connection timed out", "n": 5, "ok": false,
                    "person": { "name": "Bob", "team.id": 2 }, "service": "web", "tags": ["red"], "took": 7.5,
                },
                "sort": [1_704_171_600_123_u64, 5],
            }] },
        }));
        let ids = |answer: &Value| -> String {
            answer["hits"]["hits"].as_array().unwrap().iter().map(|hit| format!("{} ", hit["_id"].as_str().unwrap())).collect()
        };
        for (sort, expected) in [
            (json!("n"), "f0 f1 f2 f3 f4 f5 f6 f8 f7 "),
            (json!([{ "ok": "desc" }, { "took": { "order": "desc" } }]), "f8 f6 f4 f2 f0 f7 f5 f3 f1 "),
            (json!("_doc"), "f0 f1 f2 f3 f4 f5 f6 f7 f8 "),
            (json!([{ "service.keyword": { "order": "desc" } }, "@timestamp:desc"]), "f7 f5 f1 f3 f8 f6 f4 f2 f0 "),
        ] {
            assert_eq!(ids(&ask(server, "/flows/_search", json!({ "sort": sort })).await), expected, "{sort}");
        }
        let both = ask(server, "/_search", json!({ "sort": [{ "@timestamp": "asc" }], "query": { "term": { "service.keyword": "api" } }, "from": 1, "size": 3 })).await;
        assert_eq!(ids(&both), "f2 o0 f4 ");
        let missing = ask(server, "/flows,other/_search", json!({ "sort": [{ "n": { "order": "desc", "missing": "_first" } }], "size": 3 })).await;
        assert_eq!(missing["hits"]["hits"][0]["sort"], json!([null]));
        let parts = ask(server, "/flows/_search", json!({ "size": 1, "_source": ["person.*"], "fields": ["n", "@timestamp"], "track_total_hits": false })).await;
        assert_eq!(parts["hits"], json!({ "max_score": 1.0, "hits": [{ "_index": "flows", "_id": "f0", "_score": 1.0,
            "fields": { "n": [0], "@timestamp": ["2024-01-01T00:00:00.123Z"] }, "_source": { "person": { "name": "Ann", "team.id": 0 } } }] }));
        let few = ask(server, "/flows/_search", json!({ "track_total_hits": 4, "size": 0, "query": { "exists": { "field": "n" } } })).await;
        assert_eq!(few["hits"]["total"], json!({ "value": 4, "relation": "gte" }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lose_nothing_and_see_nothing_new() {
    let server = with_events().await;
    let point = ask(&server, "/flows/_pit?keep_alive=1m", Value::String(String::new())).await["id"].clone();
    let first = ask(&server, "/flows/_search?scroll=1m", json!({ "size": 4, "sort": "_doc" })).await;
    server.flush().await;
    let late = json!({ "@timestamp": "2024-01-01T00:00:00.5Z", "service": "api", "n": 0 });
    assert_eq!(told(&server, Method::PUT, "/flows/_doc/late", &late).await.0, 201);
    let mut ids: Vec<String> = Vec::new();
    let mut page = first;
    while !page["hits"]["hits"].as_array().unwrap().is_empty() {
        ids.extend(page["hits"]["hits"].as_array().unwrap().iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()));
        assert_eq!(page["hits"]["total"], json!({ "value": 9, "relation": "eq" }));
        page = ask(&server, "/_search/scroll", json!({ "scroll": "1m", "scroll_id": page["_scroll_id"] })).await;
    }
    assert_eq!(ids.join(" "), "f0 f1 f2 f3 f4 f5 f6 f7 f8");
    let freed = told(&server, Method::DELETE, "/_search/scroll", &json!({ "scroll_id": page["_scroll_id"] })).await;
    assert_eq!(freed, (200, json!({ "succeeded": true, "num_freed": 1 })));
    for sort in [json!([{ "@timestamp": "desc" }]), json!(["service.keyword"]), json!([{ "nothing": "asc" }])] {
        let (mut seen, mut after): (Vec<String>, Value) = (Vec::new(), Value::Null);
        loop {
            let mut body = json!({ "size": 2, "pit": { "id": point, "keep_alive": "1m" }, "sort": sort });
            if !after.is_null() {
                body["search_after"] = after.clone();
            }
            let page = ask(&server, "/_search", body).await;
            assert!(page["pit_id"].is_string());
            let hits = page["hits"]["hits"].as_array().unwrap();
            let Some(last) = hits.last() else { break };
            assert_eq!(last["sort"].as_array().unwrap().len(), 2, "a place among equals comes after the key");
            after = last["sort"].clone();
            seen.extend(hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()));
        }
        seen.sort();
        assert_eq!(seen.join(" "), "f0 f1 f2 f3 f4 f5 f6 f7 f8", "{sort}");
    }
    assert_eq!(told(&server, Method::DELETE, "/_pit", &json!({ "id": point })).await.1["succeeded"], true);
    let lines = "{\"index\":\"flows\"}\n{\"size\":0}\n{\"index\":\"nolog\"}\n{}\n{}\n{\"query\":{\"term\":{\"service\":\"zip\"}}}\n";
    let several = ask(&server, "/_msearch", json!(lines)).await;
    let statuses: Vec<&Value> =
        several["responses"].as_array().unwrap().iter().map(|response| &response["status"]).collect();
    assert_eq!(statuses, [&json!(200), &json!(404), &json!(200)]);
    assert_eq!(several["responses"][2]["hits"]["hits"][0]["_id"], "o1");
}

async fn aggregated(server: &Server, aggregations: Value) -> Value {
    ask(server, "/flows/_search", json!({ "size": 0, "aggs": aggregations })).await["aggregations"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets() {
    everywhere(async |server| {
        let answer = aggregated(server, json!({
            "services": { "terms": { "field": "service.keyword", "size": 2, "order": { "most": "desc" } }, "aggs": { "most": { "max": { "field": "took" } } } },
            "numbers": { "terms": { "field": "n", "size": 3, "order": { "_key": "asc" } } },
            "truths": { "terms": { "field": "ok" } },
            "colours": { "terms": { "field": "tags" } },
            "items": { "terms": { "field": "items.sku", "size": 1 } },
        })).await;
        assert_eq!(answer["services"], json!({ "doc_count_error_upper_bound": 0, "sum_other_doc_count": 1, "buckets": [
            { "key": "api", "doc_count": 5, "most": { "value": 12.0 } }, { "key": "web", "doc_count": 3, "most": { "value": 10.5 } }] }));
        assert_eq!(answer["numbers"]["buckets"], json!([{ "key": "0", "doc_count": 1 }, { "key": "1", "doc_count": 1 }, { "key": "2", "doc_count": 1 }]));
        assert_eq!(answer["truths"]["buckets"], json!([{ "key": 1, "key_as_string": "true", "doc_count": 5 }, { "key": 0, "key_as_string": "false", "doc_count": 4 }]));
        assert_eq!(answer["colours"]["buckets"], json!([{ "key": "red", "doc_count": 9 }, { "key": "blue", "doc_count": 3 }]));
        assert_eq!((&answer["items"]["buckets"][0]["key"], &answer["items"]["sum_other_doc_count"]), (&json!("s0"), &json!(8)));

        let answer = aggregated(server, json!({
            "days": { "date_histogram": { "field": "@timestamp", "calendar_interval": "day" }, "aggs": { "who": { "terms": { "field": "service" } } } },
            "hours": { "date_histogram": { "field": "@timestamp", "fixed_interval": "12h", "time_zone": "+01:00", "min_doc_count": 1 } },
            "steps": { "histogram": { "field": "n", "interval": 5 } },
            "spans": { "range": { "field": "took", "ranges": [{ "to": 3 }, { "from": 3, "key": "more" }] } },
            "dates": { "date_range": { "field": "@timestamp", "format": "yyyy-MM-dd", "ranges": [{ "to": "2024-01-02" }] } },
        })).await;
        assert_eq!(answer["days"]["buckets"][0], json!({ "key_as_string": "2024-01-01T00:00:00.000Z", "key": 1_704_067_200_000_u64, "doc_count": 3,
            "who": { "doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": [{ "key": "api", "doc_count": 2 }, { "key": "web", "doc_count": 1 }] } }));
        assert_eq!(answer["days"]["buckets"].as_array().unwrap().len(), 3);
        assert_eq!(answer["hours"]["buckets"][0]["key_as_string"], "2024-01-01T00:00:00.000+01:00");
        assert_eq!(answer["steps"]["buckets"], json!([{ "key": 0.0, "doc_count": 5 }, { "key": 5.0, "doc_count": 4 }]));
        assert_eq!(answer["spans"]["buckets"], json!([{ "key": "*-3.0", "to": 3.0, "doc_count": 2 }, { "key": "more", "from": 3.0, "doc_count": 7 }]));
        assert_eq!(answer["dates"]["buckets"], json!([{ "key": "*-2024-01-02", "to": 1_704_153_600_000.0_f64, "to_as_string": "2024-01-02", "doc_count": 3 }]));

        let answer = ask(server, "/flows/_search", json!({ "size": 0, "query": { "term": { "service": "web" } }, "aggs": {
            "all": { "global": {}, "aggs": { "n": { "value_count": { "field": "n" } } } },
            "good": { "filter": { "term": { "ok": true } } },
            "kinds": { "filters": { "other_bucket_key": "rest", "filters": { "late": { "range": { "n": { "gte": 6 } } } } } },
            "none": { "missing": { "field": "nothing" } },
            "latest": { "top_hits": { "size": 1, "sort": [{ "@timestamp": "desc" }], "_source": ["n"] } },
        } })).await["aggregations"].clone();
        assert_eq!(answer["all"], json!({ "doc_count": 9, "n": { "value": 9 } }));
        assert_eq!((&answer["good"], &answer["none"]), (&json!({ "doc_count": 0 }), &json!({ "doc_count": 3 })));
        assert_eq!(answer["kinds"], json!({ "buckets": { "late": { "doc_count": 1 }, "rest": { "doc_count": 2 } } }));
        assert_eq!(answer["latest"]["hits"]["hits"][0], json!({ "_index": "flows", "_id": "f7", "_score": null, "_source": { "n": "7" }, "sort": [1_704_265_200_123_u64] }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_buckets() {
    everywhere(async |server| {
        let answer = aggregated(server, json!({
            "stats": { "stats": { "field": "n" } }, "more": { "extended_stats": { "field": "took" } }, "kinds": { "cardinality": { "field": "service" } },
            "first": { "min": { "field": "@timestamp" } }, "empty": { "avg": { "field": "nothing" } }, "half": { "percentiles": { "field": "n", "percents": [50] } },
            "list": { "percentiles": { "field": "n", "percents": [0, 100], "keyed": false } }, "ranks": { "percentile_ranks": { "field": "n", "values": [3] } },
        })).await;
        assert_eq!(answer["stats"], json!({ "count": 9, "min": 0.0, "max": 8.0, "avg": 4.0, "sum": 36.0 }));
        assert_eq!((&answer["more"]["variance"], &answer["more"]["sum_of_squares"]), (&json!(15.0), &json!(459.0)));
        assert_eq!(answer["kinds"], json!({ "value": 3 }));
        assert_eq!(answer["first"], json!({ "value": 1_704_067_200_123.0_f64, "value_as_string": "2024-01-01T00:00:00.123Z" }));
        assert_eq!(answer["empty"], json!({ "value": null }));
        assert_eq!(answer["half"], json!({ "values": { "50.0": 4.0 } }));
        assert_eq!(answer["list"], json!({ "values": [{ "key": 0.0, "value": 0.0 }, { "key": 100.0, "value": 8.0 }] }));
        assert_eq!(answer["ranks"]["values"]["3.0"].as_f64().map(f64::round), Some(44.0));
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        loop {
            let mut composite = json!({ "size": 2, "sources": [{ "service": { "terms": { "field": "service", "order": "desc" } } },
                { "day": { "date_histogram": { "field": "@timestamp", "calendar_interval": "1d", "format": "yyyy-MM-dd" } } }] });
            if !after.is_null() {
                composite["after"] = after.clone();
            }
            let answer = aggregated(server, json!({ "pairs": { "composite": composite } })).await["pairs"].clone();
            let buckets = answer["buckets"].as_array().unwrap();
            if buckets.is_empty() {
                break;
            }
            seen.extend(buckets.iter().map(|bucket| format!("{}{}={}", bucket["key"]["service"].as_str().unwrap(), &bucket["key"]["day"].as_str().unwrap()[8..], bucket["doc_count"])));
            after = answer["after_key"].clone();
        }
        assert_eq!(seen.join(" "), "web01=1 web02=1 web03=1 db02=1 api01=2 api02=1 api03=2");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_what_types_are_and_leave_out_what_nobody_wants() {
    everywhere(async |server| {
        let tree = json!({
            "who": { "terms": { "field": "service.keyword" }, "aggs": {
                "n": { "stats": { "field": "took" } }, "all": { "extended_stats": { "field": "took" } }, "top": { "top_hits": { "size": 1 } } } },
            "ids": { "terms": { "field": "person.team.id" } }, "took": { "terms": { "field": "took" } }, "ok": { "terms": { "field": "ok" } },
            "none": { "terms": { "field": "nothing" } }, "day": { "date_histogram": { "field": "@timestamp", "calendar_interval": "day" } },
            "step": { "histogram": { "field": "took", "interval": 5 } }, "parts": { "range": { "field": "took", "ranges": [{ "to": 3 }] } },
            "dates": { "date_range": { "field": "@timestamp", "ranges": [{ "to": "now" }] } }, "one": { "filter": { "term": { "ok": true } } },
            "more": { "filters": { "filters": [{ "match_all": {} }] } }, "miss": { "missing": { "field": "x" } }, "glob": { "global": {} },
            "pairs": { "composite": { "sources": [{ "s": { "terms": { "field": "service" } } }] } }, "min": { "min": { "field": "took" } },
            "max": { "max": { "field": "took" } }, "avg": { "avg": { "field": "took" } }, "sum": { "sum": { "field": "took" } },
            "count": { "value_count": { "field": "took" } }, "card": { "cardinality": { "field": "took" } },
            "perc": { "percentiles": { "field": "took" } }, "rank": { "percentile_ranks": { "field": "took", "values": [1] } },
        });
        let answer = ask(server, "/flows/_search?typed_keys=true", json!({ "size": 0, "aggs": tree })).await;
        let names: Vec<&str> = answer["aggregations"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names.join(" "), "sterms#who lterms#ids dterms#took lterms#ok sterms#none date_histogram#day histogram#step range#parts date_range#dates \
            filter#one filters#more missing#miss global#glob composite#pairs min#min max#max avg#avg sum#sum value_count#count cardinality#card \
            tdigest_percentiles#perc tdigest_percentile_ranks#rank");
        let bucket = answer["aggregations"]["sterms#who"]["buckets"][0].as_object().unwrap();
        assert_eq!(bucket.keys().collect::<Vec<_>>(), ["key", "doc_count", "stats#n", "extended_stats#all", "top_hits#top"]);
        let lines = format!("{{}}\n{}\n", json!({ "size": 0, "query": { "term": { "service": "db" } }, "aggs": { "who": { "terms": { "field": "service" } } } }));
        let several = ask(server, "/flows/_msearch?typed_keys&filter_path=responses.aggregations.*.buckets", json!(lines)).await;
        assert_eq!(several, json!({ "responses": [{ "aggregations": { "sterms#who": { "buckets": [{ "key": "db", "doc_count": 1 }] } } }] }));

        let body = json!({ "size": 2, "sort": "n", "aggs": { "n": { "max": { "field": "took" } } } });
        for (paths, left) in [
            ("hits.hits._source.service,aggregations.*.value", json!({ "hits": { "hits": [{ "_source": { "service": "api" } }, { "_source": { "service": "web" } }] }, "aggregations": { "n": { "value": 12.0 } } })),
            ("-took,-**._source,-_shards,-**.sort,-hits.max_score", json!({ "timed_out": false, "hits": { "total": { "value": 9, "relation": "eq" },
                "hits": [{ "_index": "flows", "_id": "f0", "_score": null }, { "_index": "flows", "_id": "f1", "_score": null }] }, "aggregations": { "n": { "value": 12.0 } } })),
            ("nothing.like.it", json!({})),
        ] {
            assert_eq!(ask(server, &format!("/flows/_search?filter_path={paths}"), body.clone()).await, left, "{paths}");
        }
        assert_eq!(ask(server, "/_bulk?filter_path=errors,items.*.error", json!("{\"index\":{\"_index\":\"other\",\"_id\":\"o0\"}}\n{}\n")).await, json!({ "errors": false }));
        assert_eq!(ask(server, "/_sql?filter_path=rows", json!({ "query": "SELECT count(*) FROM flows" })).await, json!({ "rows": [[9]] }));
        let (status, answer) = told(server, Method::GET, "/flows/_doc/f3?filter_path=_source.n,found&pretty", &json!("")).await;
        assert_eq!((status, answer), (200, json!({ "found": true, "_source": { "n": 3 } })));
        let (status, refused) = told(server, Method::GET, "/nowhere/_search?filter_path=hits", &json!("")).await;
        assert_eq!((status, &refused["error"]["type"]), (404, &json!("index_not_found_exception")), "who is refused is told why");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements() {
    everywhere(async |server| {
        let sql = async |query: &str| ask(server, "/_sql/", json!({ "query": query })).await;
        let answer = sql("SELECT flows.service, count(*) AS k \nFROM flows \nWHERE flows.took >= 1 GROUP BY flows.service ORDER BY k DESC").await;
        assert_eq!(answer, json!({ "columns": [{ "name": "service", "type": "keyword" }, { "name": "k", "type": "long" }], "rows": [["api", 4], ["web", 3], ["db", 1]] }));
        let answer = sql("SELECT person.name, \"@timestamp\", ok, took, message FROM \"flows\" WHERE flows.person.team.id = 2 ORDER BY \"@timestamp\" LIMIT 1").await;
        let kinds: Vec<&Value> = answer["columns"].as_array().unwrap().iter().map(|column| &column["type"]).collect();
        assert_eq!(kinds, ["keyword", "datetime", "boolean", "double", "text"]);
        assert_eq!(answer["rows"], json!([["Ann", "2024-01-01T02:00:00.123000Z", true, 3.0, "GET /orders/2 done"]]));
        let tables = sql("SHOW TABLES").await;
        let names: Vec<&Value> = tables["rows"].as_array().unwrap().iter().map(|row| &row[1]).collect();
        assert_eq!(names, ["default", "flows", "other"]);
        let columns = sql("SHOW COLUMNS FROM \"flows\"").await;
        for row in [json!(["@timestamp", "TIMESTAMP", "datetime"]), json!(["took", "DOUBLE", "double"]), json!(["n", "VARCHAR", "keyword"]), json!(["ok", "BOOLEAN", "boolean"])] {
            assert!(columns["rows"].as_array().unwrap().contains(&row), "{row} in {columns}");
        }
        let all = sql("SELECT * FROM flows").await;
        assert_eq!((all["rows"].as_array().unwrap().len(), &all["columns"][0]["name"]), (9, &json!("@timestamp")));
        assert_eq!(sql("SELECT count(*) FROM \"fl*,other\" WHERE service = 'api'").await["rows"], json!([[6]]));
        let given = json!({ "query": "SELECT took FROM flows WHERE service = ? AND took > ?", "params": ["db", 1], "filter": { "term": { "n": 3 } } });
        assert_eq!(ask(server, "/_sql", given).await["rows"], json!([[4.5]]));
        let (mut rows, mut page) = (Vec::new(), ask(server, "/_sql", json!({ "query": "SELECT took, service FROM flows", "fetch_size": 4 })).await);
        loop {
            rows.extend(page["rows"].as_array().unwrap().iter().map(|row| row[0].to_string()));
            let Some(cursor) = page["cursor"].as_str().map(str::to_owned) else { break };
            page = ask(server, "/_sql", json!({ "cursor": cursor })).await;
            assert!(page["columns"].is_null());
        }
        assert_eq!(rows.join(" "), "0.0 1.5 3.0 4.5 6.0 7.5 9.0 10.5 12.0");
        assert_eq!(ask(server, "/_sql?format=csv", json!({ "query": "SELECT service, took FROM flows WHERE took = 4.5" })).await, json!("service,took\r\ndb,4.5\r\n"));
        assert_eq!(ask(server, "/_sql/close", json!({ "cursor": "x" })).await["succeeded"], true);
        for (query, kind) in [("SELEC 1", "parsing_exception"), ("SELECT nothing FROM flows", "verification_exception"), ("SELECT 1 FROM nolog", "verification_exception"), ("DROP TABLE flows", "parsing_exception")] {
            let (status, answer) = told(server, Method::POST, "/_sql", &json!({ "query": query })).await;
            assert_eq!((status, &answer["error"]["type"]), (400, &json!(kind)), "{query}: {answer}");
        }
    })
    .await;
}
