//! Whatever is searched as in Elasticsearch, hits and aggregations are those worked out document by document.

mod model;

use std::collections::BTreeMap;

use engine::elastic::{ElasticError, Search};
use proptest::prelude::*;
use serde_json::{Value, json};

use self::model::{Bool, DAY, EXPRESSIONS, FIRST_DAY, Joint, Query, day, number, text, time, values};
use crate::harness::Fixture;

const TEXTS: [&str; 12] =
    ["api", "web", "Web", "db", "db 7", "", "7", "404", "çelik 🦊", "api-v2", "timed", "the connection timed out"];

/// Values of one key, of several types.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(TEXTS.to_vec()).prop_map(Value::from),
        prop::sample::select(vec![2_i64, 7, 8, 404, 500]).prop_map(Value::from),
        (2..9_u8).prop_map(|whole| json!(f64::from(whole) + 0.5)),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let service = prop::sample::select(TEXTS.to_vec());
    let message = proptest::collection::vec(
        prop::sample::select(vec!["The", "connection", "timed", "out", "Api", "to", "db_1", "404", "-"]),
        0..6,
    );
    let tags = prop_oneof![
        Just(json!([])),
        Just(json!([null])),
        proptest::collection::vec(
            prop::sample::select(vec![json!("red"), json!("blue"), json!(7), json!("db 7")]),
            1..3
        )
        .prop_map(Value::from),
    ];
    let took = (0..200_u8).prop_map(|quarter| json!(f64::from(quarter) / 4.0));
    let person = (prop::sample::select(vec!["Ann", "Bob", "çelik"]), prop::option::of(1..4_i64))
        .prop_map(|(name, team)| json!({ "name": name, "team.id": team }));
    let items = proptest::collection::vec(
        (1..5_i64).prop_map(|amount| json!({ "sku": format!("s{amount}"), "amount": amount })),
        0..3,
    );
    let some = |strategy: BoxedStrategy<Value>| proptest::option::of(strategy);
    let members = (
        some(service.prop_map(Value::from).boxed()),
        some(odd().boxed()),
        some(message.prop_map(|words| json!(words.join(" "))).boxed()),
        some(tags.boxed()),
        some(took.boxed()),
        some(person.boxed()),
        some(items.prop_map(Value::from).boxed()),
        some(any::<bool>().prop_map(Value::from).boxed()),
    );
    (members, 0..4 * DAY).prop_map(|((service, n, message, tags, took, person, items, ok), millis)| {
        let mut document =
            json!({ "timestamp": jiff::Timestamp::from_millisecond(FIRST_DAY + millis).unwrap().to_string() });
        let names = ["service", "n", "message", "tags", "took", "person", "items", "ok"];
        for (name, value) in names.into_iter().zip([service, n, message, tags, took, person, items, ok]) {
            if let Some(value) = value {
                document[name] = value;
            }
        }
        document
    })
}

fn field() -> impl Strategy<Value = String> {
    let names = [
        "service",
        "service.keyword",
        "n",
        "message",
        "tags",
        "took",
        "person.name",
        "person.team.id",
        "items.sku",
        "items.amount",
        "ok",
        "nothing.like.it",
    ];
    prop::sample::select(names.map(str::to_owned).to_vec())
}

fn value() -> impl Strategy<Value = Value> {
    let others =
        [json!("Ann"), json!("red"), json!("s2"), json!(3), json!(7.5), json!(true), json!("connection"), json!(0)];
    prop_oneof![odd().prop_filter("is one", |value| !value.is_null()), prop::sample::select(others.to_vec())]
}

fn operator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["gt", "gte", "lt", "lte"])
}

fn range() -> impl Strategy<Value = Query> {
    let bound = prop_oneof![
        (0..10_i64).prop_map(Value::from),
        Just(json!(404)),
        Just(json!("7")),
        Just(json!(30.25)),
        prop::sample::select(vec![json!("api"), json!("m"), json!("blue")]),
    ];
    // A number in a list is compared with a text as the text that it is sent as; elsewhere a number is no text.
    let range = (field(), operator(), bound)
        .prop_filter("no list of both", |(field, _, bound)| field != "tags" || number(&text(bound)).is_some());
    range.prop_map(|(field, operator, bound)| Query::Range(field, operator, bound))
}

fn leaf() -> impl Strategy<Value = Query> {
    let typed = || "(api|API|db 7|timed out|connection out|the CONNECTION timed|404|red|ann|7|7\\.5|true|çelik|db_1|-)";
    let ids = proptest::collection::vec((0..3_u8, 0..60_u8).prop_map(|(part, at)| format!("e{part}.{at}")), 0..9);
    let moment = (operator(), 0..4_i64, 0..DAY, any::<bool>()).prop_map(|(operator, days, rest, whole)| {
        Query::Time(operator, FIRST_DAY + days * DAY + if whole { 0 } else { rest }, whole)
    });
    prop_oneof![
        1 => prop_oneof![Just(Query::All), Just(Query::None), ids.prop_map(Query::Ids)],
        3 => (field(), value()).prop_map(|(field, value)| Query::Term(field, value)),
        2 => (field(), proptest::collection::vec(value(), 0..4)).prop_map(|(field, list)| Query::Terms(field, list)),
        3 => (field(), typed(), any::<bool>()).prop_map(|(field, typed, all)| Query::Match(field, typed, all)),
        1 => (proptest::collection::vec(field(), 1..3), typed()).prop_map(|(fields, typed)| Query::Several(fields, typed)),
        2 => (field(), typed()).prop_map(|(field, typed)| Query::Phrase(field, typed)),
        2 => (field(), "(a|ap|We|4|db |t|s|7|\\*)").prop_map(|(field, typed)| Query::Prefix(field, typed)),
        2 => (field(), "(\\*|a\\*|\\*i|[?]b|\\*4\\*|W[?]b|t[?]\\*e|s\\*)").prop_map(|(field, pattern)| Query::Wildcard(field, pattern)),
        1 => (field(), 0..EXPRESSIONS.len()).prop_map(|(field, which)| Query::Regexp(field, which)),
        3 => range(),
        2 => moment,
        2 => prop_oneof![field(), Just("person".to_owned()), Just("items".to_owned())].prop_map(Query::Exists),
    ]
}

/// What Lucene's language has a form for.
fn clause() -> impl Strategy<Value = Query> {
    let word =
        prop::sample::select(vec![json!("api"), json!("404"), json!("timed"), json!(7.5), json!("red"), json!(true)]);
    prop_oneof![
        (field(), word).prop_map(|(field, value)| Query::Term(field, value)),
        (
            prop::sample::select(vec!["service".to_owned(), "message".to_owned(), "n".to_owned()]),
            "(db 7|timed out|api)"
        )
            .prop_map(|(field, typed)| Query::Phrase(field, typed)),
        (prop::sample::select(vec!["service".to_owned(), "tags".to_owned()]), "(a|r|We|4)")
            .prop_map(|(field, typed)| Query::Prefix(field, typed)),
        range(),
        field().prop_map(Query::Exists),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let joint = prop::sample::select(vec![Joint::And, Joint::Or, Joint::AndNot, Joint::Plus, Joint::Minus]);
    let lucene =
        (clause(), joint, clause()).prop_map(|(one, joint, two)| Query::Lucene(Box::new(one), joint, Box::new(two)));
    let single = prop_oneof![4 => leaf(), 1 => lucene];
    single.prop_recursive(3, 12, 4, |inner| {
        let some = |most| proptest::collection::vec(inner.clone(), 0..most);
        let least = prop::option::of(prop::sample::select(vec![
            json!(0),
            json!(1),
            json!(2),
            json!(-1),
            json!("50%"),
            json!("-25%"),
            json!(5),
            json!("1"),
        ]));
        prop_oneof![
            4 => (some(2), some(2), some(4), some(2), least).prop_map(|(must, filter, should, not, least)| {
                Query::Bool(Box::new(Bool { must, filter, should, not, least }))
            }),
            1 => inner.prop_map(|query| Query::Constant(Box::new(query))),
        ]
    })
}

/// The documents in two segments and the buffer, far more than a block holds, so that blocks can be ruled out.
fn stored(documents: Vec<Value>) -> (Fixture, Vec<Value>) {
    let fixture = Fixture::new();
    let mut all = Vec::new();
    let parts = documents.len().div_ceil(3);
    for (part, documents) in documents.chunks(parts).enumerate() {
        let plain = (0..1100).map(|at| {
            let at = jiff::Timestamp::from_millisecond(FIRST_DAY + at * 60_000).unwrap();
            json!({ "timestamp": at.to_string(), "message": "nothing here", "took": 60.0, "service": "plain" })
        });
        let mut sent: Vec<Value> = plain.collect();
        sent.splice(500..500, documents.iter().cloned());
        for (at, document) in sent.iter_mut().enumerate() {
            let at = at.wrapping_sub(500);
            document["id"] =
                if at < documents.len() { json!(format!("e{part}.{at}")) } else { json!(format!("p{part}.{at}")) };
        }
        let body: String = sent.iter().map(|document| format!("{document}\n")).collect();
        assert_eq!(fixture.send("log", &body).refused.len(), 0);
        if part < 2 {
            fixture.engine.flush().unwrap();
        }
        all.extend(sent);
    }
    (fixture, all)
}

fn search(fixture: &Fixture, body: &Value) -> Result<Value, ElasticError> {
    let found =
        fixture.engine.search_as_elastic(&["log".to_owned()], false, |context| Search::of(body, context)).unwrap();
    found.map(|found| Value::Object(found.answer))
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["hits"]["hits"].as_array().unwrap().iter().map(|hit| hit["_id"].as_str().unwrap()).collect()
}

/// The buckets of an answer by their keys as texts, with what is in them.
fn buckets<'a>(aggregation: &'a Value) -> BTreeMap<String, &'a Value> {
    let listed = aggregation["buckets"].as_array().unwrap();
    let key = |bucket: &'a Value| {
        let shown = bucket.get("key_as_string").unwrap_or(&bucket["key"]);
        (text(shown).trim_end_matches(".0").to_owned(), bucket)
    };
    assert!(
        listed.iter().map(|bucket| bucket["doc_count"].as_u64()).is_sorted_by(|one, two| one >= two)
            || aggregation.get("sum_other_doc_count").is_none()
    );
    listed.iter().map(key).collect()
}

/// The hits with each of their keys.
fn grouped<'d>(hits: &[&'d Value], keys: impl Fn(&Value) -> Vec<String>) -> BTreeMap<String, Vec<&'d Value>> {
    let mut groups: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for hit in hits {
        let mut keys = keys(hit);
        keys.sort();
        keys.dedup();
        keys.into_iter().for_each(|key| groups.entry(key).or_default().push(hit));
    }
    groups
}

/// The numbers of a field in documents: truths are 0 and 1, texts what they spell.
fn numbers(documents: &[&Value], field: &str) -> Vec<f64> {
    let of = |value: &Value| value.as_bool().map(|truth| f64::from(u8::from(truth))).or_else(|| number(&text(value)));
    documents
        .iter()
        .flat_map(|document| values(document, field).into_iter().filter_map(of).collect::<Vec<_>>())
        .collect()
}

fn check_stats(stats: &Value, documents: &[&Value], field: &str) {
    let numbers = numbers(documents, field);
    assert_eq!(stats["count"], json!(numbers.len()), "{field}");
    let near = |name: &str, expected: Option<f64>| match (stats[name].as_f64(), expected) {
        (Some(shown), Some(expected)) => {
            assert!((shown - expected).abs() < 1e-6, "{name} of {field}: {shown} {expected}");
        }
        (shown, expected) => assert_eq!(shown, expected, "{name} of {field}"),
    };
    let sum: f64 = numbers.iter().sum();
    near("sum", Some(sum));
    near("min", numbers.iter().copied().reduce(f64::min));
    near("max", numbers.iter().copied().reduce(f64::max));
    near("avg", (!numbers.is_empty()).then(|| sum / numbers.len() as f64));
}

fn check(fixture: &Fixture, all: &[Value], query: &Query, within: &Query) {
    const FIELDS: [&str; 6] = ["service", "n", "tags", "ok", "person.team.id", "items.sku"];
    let mut tree = json!({
        "days": { "date_histogram": { "field": "@timestamp", "calendar_interval": "day", "min_doc_count": 1 }, "aggs": { "took": { "stats": { "field": "took" } } } },
        "steps": { "histogram": { "field": "took", "interval": 10, "min_doc_count": 1 } },
        "within": { "filter": within.json(), "aggs": { "n": { "stats": { "field": "n" } } } },
        "without": { "missing": { "field": "n" } },
    });
    for field in FIELDS {
        tree[field.replace('.', "_")] =
            json!({ "terms": { "field": field, "size": 1000 }, "aggs": { "took": { "stats": { "field": "took" } } } });
        tree[format!("{}_kinds", field.replace('.', "_"))] = json!({ "cardinality": { "field": field } });
    }
    let body = json!({ "query": query.json(), "size": 10_000, "_source": false, "aggs": tree });
    let answer = match search(fixture, &body) {
        Err(error) if error.kind == "too_many_clauses" => return,
        other => other.unwrap_or_else(|error| panic!("{body}: {error}")),
    };
    let hits: Vec<&Value> = all.iter().filter(|document| query.passes(document)).collect();
    let expected: Vec<&str> = hits.iter().map(|hit| hit["id"].as_str().unwrap()).collect();
    assert_eq!(ids(&answer), expected, "{}", query.json());
    assert_eq!(answer["hits"]["total"]["value"], json!(hits.len()));

    let aggregations = &answer["aggregations"];
    let compare = |name: &str, groups: BTreeMap<String, Vec<&Value>>, field: Option<&str>| {
        let found = buckets(&aggregations[name]);
        let counts = |bucket: &&Value| bucket["doc_count"].as_u64().unwrap() as usize;
        let shown: BTreeMap<&String, usize> = found.iter().map(|(key, bucket)| (key, counts(bucket))).collect();
        assert_eq!(shown, groups.iter().map(|(key, hits)| (key, hits.len())).collect(), "{name} of {}", query.json());
        for (key, hits) in groups.iter().filter(|_| field.is_some()) {
            check_stats(&found[key]["took"], hits, "took");
        }
        groups.len()
    };
    for field in FIELDS {
        let name = field.replace('.', "_");
        let kinds =
            compare(&name, grouped(&hits, |hit| values(hit, field).into_iter().map(text).collect()), Some("took"));
        assert_eq!(aggregations[format!("{name}_kinds")]["value"], json!(kinds), "{field} of {}", query.json());
    }
    compare("days", grouped(&hits, |hit| vec![format!("{}T00:00:00.000Z", day(time(hit)))]), Some("took"));
    compare(
        "steps",
        grouped(&hits, |hit| {
            numbers(&[hit], "took").iter().map(|took| ((took / 10.0).floor() * 10.0).to_string()).collect()
        }),
        None,
    );
    let inside: Vec<&Value> = hits.iter().copied().filter(|hit| within.passes(hit)).collect();
    assert_eq!(aggregations["within"]["doc_count"], json!(inside.len()), "{} in {}", within.json(), query.json());
    check_stats(&aggregations["within"]["n"], &inside, "n");
    let without = hits.iter().filter(|hit| values(hit, "n").is_empty()).count();
    assert_eq!(aggregations["without"]["doc_count"], json!(without));

    let mut sorted: Vec<(f64, &str)> =
        hits.iter().map(|hit| (-hit["took"].as_f64().unwrap_or(-1.0), hit["id"].as_str().unwrap())).collect();
    sorted.sort_by(|one, two| one.0.total_cmp(&two.0));
    let page = json!({ "query": query.json(), "from": 3, "size": 40, "sort": [{ "took": "desc" }], "_source": false });
    let expected: Vec<&str> = sorted.iter().skip(3).take(40).map(|(_, id)| *id).collect();
    assert_eq!(ids(&search(fixture, &page).unwrap()), expected, "sorted: {}", query.json());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn searches_find_what_the_documents_say(
        documents in proptest::collection::vec(document(), 3..150),
        queries in proptest::collection::vec((query(), leaf()), 20),
    ) {
        let (fixture, all) = stored(documents);
        for (query, within) in &queries {
            check(&fixture, &all, query, within);
        }
    }
}

#[test]
fn a_list_of_nothing_is_no_value() {
    let fixture = Fixture::new();
    for (at, value) in
        ["[]", "[null]", "[{}]", "{}", "null", "[0]", "[null,{\"b\":false}]", "{\"b\":[\"\"]}"].iter().enumerate()
    {
        fixture.send("log", &format!("{{\"id\":\"{at}\",\"a\":{value}}}"));
    }
    for _ in ["in the buffer", "in a segment"] {
        let found = search(&fixture, &json!({ "query": { "exists": { "field": "a" } }, "sort": "_doc" })).unwrap();
        assert_eq!(ids(&found), ["5", "6", "7"]);
        fixture.engine.flush().unwrap();
    }
}
