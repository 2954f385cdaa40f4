//! What groups and aggregates, compared with the answer worked out row by row here.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

use crate::harness::{Fixture, question, wait};

#[derive(Clone, Debug)]
struct Row {
    person: Option<&'static str>,
    /// So many different ones that they do not fit into a dictionary of a segment.
    session: u32,
    /// Of several types.
    odd: Option<Value>,
    status: Option<i64>,
    duration: Option<f64>,
    flag: Option<bool>,
    /// Seconds after the start of 2026.
    second: u32,
}

fn row() -> impl Strategy<Value = Row> {
    let person = proptest::option::of(prop::sample::select(vec!["anna", "bob", "çelik 🦊", "", "d\"e"]));
    let odd = prop_oneof![
        Just(Value::Null),
        prop::sample::select(vec![json!("x"), json!(7), json!("7"), json!(true), json!(2.5)]),
        (0..3_u8).prop_map(|digit| json!(format!("1734afac-4628-446d-b344-f39b42f48bd{digit}"))),
    ];
    let status = proptest::option::of(prop::sample::select(vec![200_i64, 204, 404, 500, 503]));
    let duration = proptest::option::of((0..2_000_000_u32).prop_map(|micros| f64::from(micros) / 1000.0 + 0.5));
    (person, 0..6000_u32, odd, status, duration, any::<Option<bool>>(), 0..7200_u32).prop_map(
        |(person, session, odd, status, duration, flag, second)| {
            let odd = Some(odd).filter(|odd| !odd.is_null());
            Row { person, session, odd, status, duration, flag, second }
        },
    )
}

fn document(number: usize, row: &Row) -> String {
    let mut members = json!({
        "id": format!("e{number}"),
        "timestamp": format!("2026-01-01T{:02}:{:02}:{:02}Z", row.second / 3600, row.second / 60 % 60, row.second % 60),
        "session": format!("a session with number {}", row.session),
    });
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            members[key] = value;
        }
    };
    put("person", row.person.map(Value::from));
    put("odd", row.odd.clone());
    put("status", row.status.map(Value::from));
    put("duration_ms", row.duration.map(Value::from));
    put("flag", row.flag.map(Value::from));
    format!("{members}\n")
}

/// Rows spread over two segments and the buffer.
fn stored(rows: &[Row]) -> Fixture {
    let fixture = Fixture::new();
    for (part, rows) in rows.chunks(rows.len().div_ceil(3)).enumerate() {
        let body: String = rows.iter().enumerate().map(|(at, row)| document(part << 20 | at, row)).collect();
        assert_eq!(fixture.send("log", &body).refused.len(), 0);
        if part < 2 {
            fixture.engine.flush().unwrap();
        }
    }
    fixture
}

/// The rows of an answer as texts, numbers by their value, in any order.
fn sorted(answer: &engine::Answer) -> Vec<Vec<String>> {
    let mut json = b"[".to_vec();
    answer.write_rows(b",", &mut json);
    json.push(b']');
    let rows: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(&json).unwrap();
    let mut shown: Vec<Vec<String>> = rows.iter().map(|row| row.values().map(shown).collect()).collect();
    shown.sort();
    shown
}

fn shown(value: &Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), |number| format!("{number:.6}"))
}

fn ask(fixture: &Fixture, text: &str) -> Vec<Vec<String>> {
    sorted(
        &wait(fixture.engine.sql(text, &fixture.engine.log_names(), false))
            .unwrap_or_else(|error| panic!("{text}: {error}")),
    )
}

/// The rows in groups, and for each what is worked out of them.
fn worked_out(
    rows: &[Row],
    key: impl Fn(&Row) -> Vec<Value>,
    aggregate: impl Fn(&[&Row]) -> Vec<Value>,
) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(key(row).iter().map(shown).collect()).or_default().push(row);
    }
    let with = |(mut shown_key, rows): (Vec<String>, Vec<&Row>)| {
        shown_key.extend(aggregate(&rows).iter().map(shown));
        shown_key
    };
    let mut all: Vec<Vec<String>> = groups.into_iter().map(with).collect();
    all.sort();
    all
}

fn count(rows: &[&Row]) -> Value {
    json!(rows.len())
}

fn sum(rows: &[&Row]) -> Value {
    let statuses: Vec<i64> = rows.iter().filter_map(|row| row.status).collect();
    if statuses.is_empty() { Value::Null } else { json!(statuses.iter().sum::<i64>()) }
}

fn largest(rows: &[&Row]) -> Value {
    json!(rows.iter().filter_map(|row| row.duration).reduce(f64::max))
}

/// A key of several types, as SQL shows it.
fn as_text(value: Option<&Value>) -> Value {
    value.map_or(Value::Null, |value| value.as_str().map_or_else(|| json!(value.to_string()), |text| json!(text)))
}

fn check(fixture: &Fixture, rows: &[Row]) {
    let person = |row: &Row| json!(row.person);
    let filtered: Vec<Row> =
        rows.iter().filter(|row| row.status.is_some_and(|status| status >= 404)).cloned().collect();
    assert_eq!(ask(fixture, "SELECT count(*) FROM log"), [[shown(&json!(rows.len()))]]);
    let seconds = |row: &Row| row.second;
    let at = |second: u32| format!("2026-01-01T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
    let ends =
        [rows.iter().map(seconds).min(), rows.iter().map(seconds).max()].map(|second| json!(at(second.unwrap())));
    // Known without reading, and read.
    for bound in ["", " WHERE timestamp > '2000-01-01T00:00:00Z'"] {
        let text = format!(
            "SELECT CAST(min(timestamp) AS TIMESTAMP) AS a, CAST(max(timestamp) AS TIMESTAMP) AS b FROM log{bound}"
        );
        let found = ask(fixture, &text).concat().concat();
        assert!(
            ends.iter().all(|end| found.contains(end.as_str().unwrap().trim_end_matches('Z'))),
            "{found} has not {ends:?}"
        );
    }
    assert_eq!(
        ask(fixture, "SELECT person, count(*), sum(status), max(duration_ms) FROM log GROUP BY 1"),
        worked_out(rows, |row| vec![person(row)], |rows| vec![count(rows), sum(rows), largest(rows)]),
    );
    assert_eq!(
        ask(fixture, "SELECT session, count(*) FROM log GROUP BY 1"),
        worked_out(rows, |row| vec![json!(format!("a session with number {}", row.session))], |rows| vec![count(rows)]),
    );
    assert_eq!(
        ask(
            fixture,
            "SELECT flag, odd, person, count(duration_ms) FILTER (WHERE status < 300) FROM log GROUP BY 1, 2, 3"
        ),
        worked_out(
            rows,
            |row| vec![json!(row.flag), as_text(row.odd.as_ref()), person(row)],
            |rows| {
                let fits = |row: &&&Row| row.duration.is_some() && row.status.is_some_and(|status| status < 300);
                vec![json!(rows.iter().filter(fits).count())]
            },
        ),
    );
    assert_eq!(
        ask(
            fixture,
            "SELECT person, status, count(*) AS n FROM log WHERE status >= 404 GROUP BY 1, 2 HAVING count(*) > 1"
        ),
        worked_out(&filtered, |row| vec![person(row), json!(row.status)], |rows| vec![count(rows)])
            .into_iter()
            .filter(|row| row[2] != shown(&json!(1)))
            .collect::<Vec<_>>(),
    );
    let bin = |row: &Row, length: u32, origin: u32| {
        let start = (row.second + length - origin) / length * length + origin - length;
        json!(format!("2026-01-01T{:02}:{:02}:{:02}Z", start / 3600, start / 60 % 60, start % 60))
    };
    assert_eq!(
        ask(
            fixture,
            "SELECT date_bin(INTERVAL '10 minutes', timestamp), status / 100, count(*) FROM log GROUP BY 1, 2"
        ),
        worked_out(
            rows,
            |row| vec![bin(row, 600, 0), json!(row.status.map(|status| status / 100))],
            |rows| vec![count(rows)]
        ),
    );
    assert_eq!(
        ask(
            fixture,
            "SELECT date_bin(INTERVAL '1 hour', timestamp, '2026-01-01T00:00:00Z'), count(*) FROM log GROUP BY 1"
        ),
        worked_out(rows, |row| vec![bin(row, 3600, 0)], |rows| vec![count(rows)]),
    );
    for unit in ["second", "minute", "hour", "day", "week"] {
        let spans = format!("SELECT date_trunc('{unit}', timestamp) AS t, count(*) AS n FROM log GROUP BY 1");
        let texts =
            format!("SELECT CAST(date_trunc('{unit}', timestamp) AS VARCHAR) AS t, count(*) AS n FROM log GROUP BY 1");
        let spans = format!("SELECT CAST(t AS VARCHAR) AS t, n FROM ({spans})");
        assert_eq!(ask(fixture, &spans), ask(fixture, &texts), "row by row, and span by span");
    }
    let distinct = |rows: &[&Row]| json!(rows.iter().map(|row| row.session).collect::<BTreeSet<_>>().len());
    assert_eq!(
        ask(fixture, "SELECT person, count(DISTINCT session) FROM log GROUP BY 1"),
        worked_out(rows, |row| vec![person(row)], |rows| vec![distinct(rows)]),
    );
    let grouped =
        wait(fixture.engine.group("log", &question("_by=person&status>=404&_c=status|sum&_limit=1000"))).unwrap();
    assert_eq!(sorted(&grouped), worked_out(&filtered, |row| vec![person(row)], |rows| vec![sum(rows)]));
}

/// Every percentile lies between the two durations next to it, or at most 1/256 beside them.
fn check_percentiles(fixture: &Fixture, rows: &[Row]) {
    let text = "SELECT person, approx_percentile_cont(duration_ms, 0.0) AS a, \
         approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) AS b, \
         approx_percentile_cont(0.05) WITHIN GROUP (ORDER BY duration_ms DESC) AS c, \
         approx_percentile_cont(duration_ms, 1.0) AS d, approx_median(duration_ms) AS e, \
         approx_percentile_cont(duration_ms, 0.9) FILTER (WHERE status = 500) AS f FROM log GROUP BY 1";
    let found = ask(fixture, text);
    let mut groups: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for row in rows {
        let group = groups.entry(shown(&json!(row.person))).or_default();
        group.0.extend(row.duration);
        group.1.extend(row.duration.filter(|_| row.status == Some(500)));
    }
    assert_eq!(found.len(), groups.len());
    for row in found {
        let (mut all, mut failed) = groups.remove(&row[0]).unwrap();
        all.sort_by(f64::total_cmp);
        failed.sort_by(f64::total_cmp);
        let shares = [(&all, 0.0), (&all, 0.5), (&all, 0.95), (&all, 1.0), (&all, 0.5), (&failed, 0.9)];
        for (text, (sorted, share)) in row[1..].iter().zip(shares) {
            let Some(last) = sorted.len().checked_sub(1) else {
                assert_eq!(text, "null");
                continue;
            };
            let (number, place) = (text.parse::<f64>().unwrap(), share * last as f64);
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            assert!(
                low * 255.0 / 256.0 <= number + 1e-5 && number - 1e-5 <= high * 257.0 / 256.0,
                "{share}: {number} is not in {low}..{high}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn groups_of_few_rows_are_right(rows in proptest::collection::vec(row(), 3..300)) {
        let fixture = stored(&rows);
        check(&fixture, &rows);
        check_percentiles(&fixture, &rows);
    }
}

#[test]
fn groups_of_many_rows_are_right() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let rows: Vec<Row> = (0..20_000).map(|_| row().new_tree(&mut runner).unwrap().current()).collect();
    let fixture = stored(&rows);
    check(&fixture, &rows);
    check_percentiles(&fixture, &rows);
}

#[test]
fn plans_group_on_codes_and_share_histograms() {
    let fixture = stored(&[Row {
        person: Some("anna"),
        session: 1,
        odd: None,
        status: Some(200),
        duration: Some(1.0),
        flag: None,
        second: 0,
    }]);
    let plan = |text: &str| ask(&fixture, &format!("EXPLAIN {text}")).concat().concat();
    let percentiles = plan(
        "SELECT person, approx_percentile_cont(duration_ms, 0.5), approx_percentile_cont(duration_ms, 0.9) FROM log GROUP BY 1",
    );
    assert_eq!(percentiles.matches("partial=[histogram(log.duration_ms)]").count(), 1, "{percentiles}");
    assert!(percentiles.contains("person as codes"), "{percentiles}");
    let bins = plan("SELECT date_bin(INTERVAL '10 minutes', timestamp), status / 100, count(*) FROM log GROUP BY 1, 2");
    assert!(bins.contains("in spans of 600000000 µs"), "{bins}");
    let weeks = plan("SELECT date_trunc('week', timestamp), count(*) FROM log GROUP BY 1");
    assert!(weeks.contains("in spans of 604800000000 µs"), "{weeks}");
    for known in ["count(*)", "count(*), min(timestamp), max(timestamp)"] {
        let plan = plan(&format!("SELECT {known} FROM log"));
        assert!(!plan.contains("LogScan"), "how many there are, and when, is known without reading: {plan}");
    }
}

#[test]
fn too_many_groups_are_refused_with_what_helps() {
    let fixture = Fixture::small_memory();
    let body: String = (0..60_000)
        .map(|row| format!("{{\"id\":\"e{row}\",\"key\":\"a text that is there once {row:0200}\"}}\n"))
        .collect();
    fixture.send("log", &body);
    let text = "SELECT key, count(*) AS n, approx_percentile_cont(1.0 * _sequence, 0.5) AS p FROM log GROUP BY key ORDER BY n LIMIT 3";
    let refused =
        wait(fixture.engine.sql(text, &fixture.engine.log_names(), false)).err().map(|error| error.to_string());
    assert!(refused.as_deref().is_some_and(|refused| refused.contains("group by fewer values")), "{refused:?}");
}
