//! The table in docs/benchmarks.md, drawn from the newest results, so that no figure in it is typed by hand.

use std::fs;

use anyhow::Context;
use serde_json::Value;

use super::report::{FOLDER, count, milliseconds};
use crate::cargo::root;

const DOCUMENT: &str = "docs/benchmarks.md";
const START: &str = "<!-- drawn by `cargo xtask bench --table` -->";
const END: &str = "<!-- end of what is drawn -->";

const PEERS: [(&str, &str); 3] =
    [("postgresql", "PostgreSQL {}"), ("chdb", "ClickHouse's engine {}"), ("duckdb", "DuckDB {} on our segments")];

/// The usual number of events; the table of another number says so.
const EVENTS: u64 = 5_000_000;

/// What is to be reached, by row.
const AIMS: [(&str, &str); 21] = [
    ("1000 x 4", "≥ 350,000/s, ≤ 4.5 µs"),
    ("100 x 8", "≥ 250,000/s"),
    ("1 x 16", "≥ 25,000/s, p99 < 3 ms"),
    ("1 x 64", "≥ 35,000/s"),
    ("disk", "≤ 60 B"),
    ("a", "≤ 5 ms"),
    ("b heavy", "≤ 5 ms"),
    ("b rare", "≤ 5 ms"),
    ("c", "≤ 5 ms"),
    ("d", "≤ 5 ms"),
    ("e", "≤ 13 ms"),
    ("f", "≤ 76 ms"),
    ("g", "≤ 162 ms"),
    ("h", "≤ 78 ms"),
    ("i", "≤ 49 ms"),
    ("j", "≤ 73 ms"),
    ("mean", "≤ 10 ms"),
    ("p99 ratio", "≤ 2"),
    ("clean", "< 1 s with 50 M"),
    ("killed", "< 5 s with 50 M"),
    ("peak", "≤ 500 MiB"),
];

/// Draws the table anew.
///
/// # Errors
///
/// If there are no results, or the document has no place for them.
pub(super) fn draw() -> anyhow::Result<()> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join(FOLDER)).with_context(|| format!("there is no {FOLDER}/"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path)?;
            let results: Value = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
            all.push(results);
        }
    }
    all.sort_by_key(|results| results["date"].as_str().unwrap_or_default().to_owned());
    let usual = all.iter().rfind(|results| events_of(results) == EVENTS);
    let usual = usual.or(all.last()).with_context(|| format!("{FOLDER}/ holds no results: run `cargo xtask bench`"))?;
    let large = all.iter().rfind(|results| events_of(results) > events_of(usual));
    let path = root().join(DOCUMENT);
    let document = fs::read_to_string(&path)?;
    fs::write(&path, replaced(&document, &text(usual, large))?)?;
    println!("{DOCUMENT}: the figures of {}", usual["date"].as_str().unwrap_or_default());
    Ok(())
}

fn events_of(results: &Value) -> u64 {
    results["settings"]["events"].as_u64().unwrap_or(0)
}

/// The document with another text between the marks.
fn replaced(document: &str, text: &str) -> anyhow::Result<String> {
    let parts = document.split_once(START).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.with_context(|| format!("{DOCUMENT} has no `{START}` with `{END}` behind it"))?;
    Ok(format!("{before}{START}\n\n{text}\n{END}{after}"))
}

/// One line of the table: its name, how to find its aim, and what of the results is in a cell.
struct Row {
    what: String,
    aim: &'static str,
    cell: Box<dyn Fn(&Value) -> String>,
    peer: Box<dyn Fn(&Value) -> String>,
}

fn text(usual: &Value, large: Option<&Value>) -> String {
    let machine = &usual["machine"];
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let mut lines = vec![format!(
        "{}, commit {}: {} cores ({}), {:.0} GiB, 4 KiB appended and synced in {} (p99 {}); {} events of {:.0} B.",
        text(&usual["date"]).get(..10).unwrap_or_default(),
        text(&usual["commit"]),
        machine["cores"],
        text(&machine["model"]),
        machine["memory_bytes"].as_f64().unwrap_or(0.0) / f64::from(1 << 30),
        milliseconds(&machine["sync_4k_p50_ms"]),
        milliseconds(&machine["sync_4k_p99_ms"]),
        count(&usual["settings"]["events"]),
        usual["load"]["event_bytes"].as_f64().unwrap_or(0.0),
    )];
    let peers: Vec<_> = PEERS.iter().filter(|(key, _)| usual["peers"][key]["questions"].is_object()).collect();
    let mut head = vec!["".to_owned(), "Everlog".to_owned(), "aim".to_owned()];
    head.extend(large.map(|large| format!("Everlog, {} events", count(&large["settings"]["events"]))));
    head.extend(peers.iter().map(|(key, name)| name.replace("{}", short(&usual["peers"][key]["version"]))));
    lines.push(String::new());
    lines.push(format!("| {} |", head.join(" | ")));
    lines.push(format!("|{}", "---|".repeat(head.len())));
    for row in rows(usual) {
        let aim = AIMS.iter().find(|(key, _)| *key == row.aim).map_or("", |(_, aim)| aim);
        let mut cells = vec![row.what, (row.cell)(usual), aim.to_owned()];
        cells.extend(large.map(|large| (row.cell)(large)));
        cells.extend(peers.iter().map(|(key, _)| (row.peer)(&usual["peers"][key])));
        if !cells[1].is_empty() {
            lines.push(format!("| {} |", cells.join(" | ")));
        }
    }
    lines.push(String::new());
    lines.push(
        "Questions: warm (cold · while 50,000 events/s are written); cold is the first time after the kernel forgot the \
         files. *with total*: with the exact number of all that passes."
            .to_owned(),
    );
    lines.push(String::new());
    lines.join("\n")
}

/// A version without what its packager adds.
fn short(version: &Value) -> &str {
    version.as_str().and_then(|version| version.split(' ').next()).unwrap_or_default()
}

fn rows(usual: &Value) -> Vec<Row> {
    let mut rows: Vec<Row> =
        [(1000, 4), (1000, 1), (1000, 16), (100, 1), (100, 4), (100, 8), (100, 16), (1, 1), (1, 4), (1, 16), (1, 64)]
            .map(|(per_batch, connections)| load(per_batch, connections))
            .into();
    rows.push(figure("CPU per event, merges included", "", |results| {
        micros(&results["load"]["server_cpu_with_merges_us"])
    }));
    let mut disk = figure("disk per event after merging (index)", "disk", |results| {
        let bytes = |key: &str| results["disk"][key].as_f64();
        let both = bytes("bytes_per_event").zip(bytes("index_bytes_per_event"));
        both.map_or_else(String::new, |(all, index)| format!("{all:.1} B ({index:.1} B)"))
    });
    disk.peer = Box::new(|peer| peer["bytes_per_event"].as_f64().map_or_else(String::new, |all| format!("{all:.0} B")));
    rows.push(disk);
    for question in usual["questions"]["rows"].as_array().into_iter().flatten() {
        rows.extend(self::question(question));
    }
    let mut mean = figure("geometric mean of the questions", "mean", |results| {
        let [cold, writing] = [&results["questions"]["mean_cold_ms"], &results["writing"]["mean_ms"]];
        times(&results["questions"]["mean_warm_ms"], cold, writing)
    });
    mean.peer = Box::new(|peer| milliseconds(&peer["mean_ms"]));
    rows.push(mean);
    rows.extend([
        figure("acknowledged at 50,000 events/s, p99", "", |results| {
            milliseconds(&results["writing"]["alone"]["p99_ms"])
        }),
        figure("… while questions are asked", "", |results| {
            milliseconds(&results["writing"]["with_questions"]["p99_ms"])
        }),
        figure("… times as long", "p99 ratio", |results| {
            results["writing"]["p99_ratio"].as_f64().map_or_else(String::new, |ratio| format!("{ratio:.1}"))
        }),
        figure("ready after a clean stop", "clean", |results| seconds(&results["start"]["clean_s"])),
        figure("ready after `kill -9`", "killed", |results| seconds(&results["start"]["killed_s"])),
        figure("memory at rest after a start", "", |results| mebibytes(&results["start"]["idle_memory_bytes"])),
        figure("memory at the most, loading and asking", "peak", |results| mebibytes(&results["memory"]["peak_bytes"])),
    ]);
    rows
}

fn figure(what: &str, aim: &'static str, cell: fn(&Value) -> String) -> Row {
    Row { what: what.to_owned(), aim, cell: Box::new(cell), peer: Box::new(|_| String::new()) }
}

fn load(per_batch: u64, connections: u64) -> Row {
    let cell = move |results: &Value| {
        let first = [results["load"].clone()];
        let mut loads = results["loads"].as_array().map_or(&first[..], Vec::as_slice).iter();
        let load = loads.find(|load| load["per_batch"] == per_batch && load["connections"] == connections);
        load.map_or_else(String::new, |load| {
            let rate = count(&load["events_per_s"]);
            format!("{rate}/s, {}, p99 {}", micros(&load["server_cpu_us"]), milliseconds(&load["p99_ms"]))
        })
    };
    let peer = move |peer: &Value| {
        let (rate, cpu) = match (per_batch, connections) {
            (1000, 4) => (&peer["events_per_s"], micros(&peer["cpu_us"])),
            (1, 16) => (&peer["single_per_s"], String::new()),
            _ => return String::new(),
        };
        let text = [count(rate), cpu].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("/s, ");
        if text.is_empty() || text.contains("/s") { text } else { format!("{text}/s") }
    };
    let requests = if per_batch == 1 { "single events".to_owned() } else { format!("{per_batch} events a request") };
    let connections = if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
    let aim = AIMS.iter().map(|(key, _)| *key).find(|key| is_load(key, per_batch, &connections)).unwrap_or("");
    Row { what: format!("{requests}, {connections}"), aim, cell: Box::new(cell), peer: Box::new(peer) }
}

fn is_load(key: &str, per_batch: u64, connections: &str) -> bool {
    key.split_once(" x ")
        .is_some_and(|(batch, count)| batch == per_batch.to_string() && connections.split(' ').next() == Some(count))
}

fn question(question: &Value) -> Option<Row> {
    let name = question["name"].as_str()?.to_owned();
    let what = match name.strip_suffix(" total") {
        Some(short) => format!("{short}, with total"),
        None => format!("{name}: {}", question["what"].as_str()?),
    };
    let aim = AIMS.iter().map(|(key, _)| *key).find(|key| **key == name).unwrap_or("");
    let of_peer = name.clone();
    let cell = move |results: &Value| {
        let find = |rows: &Value| rows.as_array()?.iter().find(|row| row["name"] == *name).cloned();
        let row = find(&results["questions"]["rows"]).unwrap_or_default();
        let writing = find(&results["writing"]["questions"]).unwrap_or_default();
        times(&row["warm_ms"], &row["cold_ms"], &writing["ms"])
    };
    let peer = move |peer: &Value| milliseconds(&peer["questions"][&of_peer]);
    Some(Row { what, aim, cell: Box::new(cell), peer: Box::new(peer) })
}

fn times(warm: &Value, cold: &Value, writing: &Value) -> String {
    let others: Vec<String> = [cold, writing].map(milliseconds).into_iter().filter(|text| !text.is_empty()).collect();
    match (milliseconds(warm), others.join(" · ")) {
        (warm, others) if others.is_empty() => warm,
        (warm, others) => format!("{warm} ({others})"),
    }
}

fn micros(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |micros| format!("{micros:.1} µs"))
}

fn seconds(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |seconds| format!("{seconds:.2} s"))
}

fn mebibytes(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |bytes| format!("{:.0} MiB", bytes / f64::from(1 << 20)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = format!("before\n{START}\nold\n{END}\nafter\n");
        assert_eq!(replaced(&document, "new").unwrap(), format!("before\n{START}\n\nnew\n{END}\nafter\n"));
        assert!(replaced("nothing", "new").is_err());
    }

    #[test]
    fn the_table_has_a_line_for_each_figure_that_is_there() {
        let results = json!({
            "date": "2026-11-20T01:02:03Z", "commit": "abc", "settings": { "events": 5_000_000 },
            "machine": { "cores": 2, "model": "M", "memory_bytes": 8_589_934_592_u64, "sync_4k_p50_ms": 0.24, "sync_4k_p99_ms": 0.9 },
            "load": { "per_batch": 1000, "connections": 4, "events_per_s": 400_000.4, "server_cpu_us": 4.04, "p99_ms": 30.2, "event_bytes": 473.2 },
            "questions": { "mean_warm_ms": 9.96, "rows": [
                { "name": "c", "what": "all of one request id", "warm_ms": 1.04, "cold_ms": 2.06 },
                { "name": "e total", "what": "words", "warm_ms": 250.4, "cold_ms": 300.0 },
            ] },
            "writing": { "questions": [{ "name": "c", "ms": 3.0 }] },
            "peers": { "postgresql": { "version": "15.18 (Debian)", "events_per_s": 50_000, "cpu_us": 30, "single_per_s": 5000,
                "bytes_per_event": 500, "mean_ms": 39, "questions": { "c": 0.4 } }, "duckdb": { "skipped": "no network" } },
        });
        let expected = "\
2026-11-20, commit abc: 2 cores (M), 8 GiB, 4 KiB appended and synced in 0.24 ms (p99 0.90 ms); 5,000,000 events of 473 B.

|  | Everlog | aim | PostgreSQL 15.18 |
|---|---|---|---|
| 1000 events a request, 4 connections | 400,000/s, 4.0 µs, p99 30 ms | ≥ 350,000/s, ≤ 4.5 µs | 50,000/s, 30.0 µs |
| c: all of one request id | 1.0 ms (2.1 ms · 3.0 ms) | ≤ 5 ms | 0.40 ms |
| e, with total | 250 ms (300 ms) |  |  |
| geometric mean of the questions | 10.0 ms | ≤ 10 ms | 39 ms |
";
        let text = text(&results, None);
        assert_eq!(&text[..expected.len()], expected);
    }
}
