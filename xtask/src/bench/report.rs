//! What came out: as tables on the terminal, and as JSON to be kept.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use crate::cargo::root;

/// Where results are kept, from the root of the checkout.
pub(super) const FOLDER: &str = "benchmarks";

/// Today, as RFC 3339.
pub(super) fn date() -> anyhow::Result<String> {
    said(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])).context("`date` does not tell the date")
}

/// The commit that is measured, with a mark if files differ from it.
pub(super) fn commit() -> String {
    let git = |arguments: &[&str]| said(Command::new("git").args(arguments).current_dir(root()));
    git(&["describe", "--always", "--dirty", "--exclude", "*"]).unwrap_or_else(|| "unknown".to_owned())
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// As in `2026-11-20-two-cores.json`; a run with other than the usual number of events names it.
pub(super) fn file_name(results: &Value) -> String {
    let date = results["date"].as_str().and_then(|date| date.get(..10)).unwrap_or("undated");
    let cores = match results["machine"]["cores"].as_u64() {
        Some(1) => "one-core".to_owned(),
        Some(2) => "two-cores".to_owned(),
        Some(4) => "four-cores".to_owned(),
        cores => format!("{}-cores", cores.unwrap_or(0)),
    };
    match results["settings"]["events"].as_u64() {
        None | Some(5_000_000) => format!("{date}-{cores}.json"),
        Some(events) if events.is_multiple_of(1_000_000) => format!("{date}-{cores}-{}m.json", events / 1_000_000),
        Some(events) => format!("{date}-{cores}-{events}.json"),
    }
}

pub(super) fn write(path: &Path, results: &Value) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut results = results.clone();
    round(&mut results);
    fs::write(path, format!("{results:#}\n")).with_context(|| format!("cannot write {}", path.display()))
}

/// Five digits of each figure: more are noise.
fn round(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Object(members) => members.values_mut().for_each(round),
        Value::Number(number) if number.is_f64() => {
            let exact = number.as_f64().unwrap_or(0.0);
            let rounded: f64 = format!("{exact:.4e}").parse().unwrap_or(exact);
            *value = Value::from(rounded);
        }
        _ => {}
    }
}

/// A table whose columns line up: the first to the left, the others to the right.
pub(super) fn table(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let width = |place: usize| {
        let cells = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
        cells.chain([head[place].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(place, (cell, width))| match place {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    println!("\n{title}\n  {}", line(head.to_vec()));
    for row in rows {
        println!("  {}", line(row.iter().map(String::as_str).collect()));
    }
}

/// Everything that was measured.
pub(super) fn print(results: &Value) {
    let loads = results["loads"].as_array().cloned().unwrap_or_else(|| vec![results["load"].clone()]);
    let head = ["events a request x connections", "events/s", "CPU/event", "p50", "p99", "p99.9", "peak memory"];
    let row = |load: &Value| {
        let mut row = vec![format!("{} x {}", load["per_batch"], load["connections"]), count(&load["events_per_s"])];
        row.push(format!("{:.1} µs", load["server_cpu_us"].as_f64().unwrap_or(0.0)));
        row.extend(["p50_ms", "p99_ms", "p999_ms"].map(|key| milliseconds(&load[key])));
        row.push(mebibytes(&load["memory_peak_bytes"]));
        row
    };
    table("Ingest", &head, &loads.iter().map(row).collect::<Vec<_>>());
    if let Some(rows) = results["questions"]["rows"].as_array() {
        print_questions(results, rows);
    }
    print_peers(&results["peers"]);
    super::doors::print(&results["doors"]);
    let figures: Vec<Vec<String>> = figures(results).into_iter().map(|(name, value)| vec![name, value]).collect();
    table("Other", &["", ""], &figures);
}

fn print_questions(results: &Value, questions: &[Value]) {
    let writing = results["writing"]["questions"].as_array();
    let while_writing =
        |name: &Value| writing?.iter().find(|row| row["name"] == *name).map(|row| milliseconds(&row["ms"]));
    let row = |question: &Value| {
        let name = &question["name"];
        let mut row = vec![format!("{}  {}", name.as_str().unwrap_or(""), question["what"].as_str().unwrap_or(""))];
        row.extend(["warm_ms", "cold_ms"].map(|key| milliseconds(&question[key])));
        row.push(while_writing(name).unwrap_or_default());
        row
    };
    let mut rows: Vec<Vec<String>> = questions.iter().map(row).collect();
    let means =
        [&results["questions"]["mean_warm_ms"], &results["questions"]["mean_cold_ms"], &results["writing"]["mean_ms"]];
    rows.push([vec!["geometric mean".to_owned()], means.map(milliseconds).to_vec()].concat());
    table("Questions", &["", "warm", "cold", "while writing"], &rows);
}

/// Each peer's time, and how many times as long as ours that is.
fn print_peers(peers: &Value) {
    let Some(peers) = peers.as_object() else { return };
    let peers: Vec<_> = peers.iter().filter(|(_, peer)| peer["questions"].is_object()).collect();
    let Some((_, first)) = peers.first() else { return };
    let head: Vec<&str> =
        ["peers, and how many times as long"].into_iter().chain(peers.iter().map(|(name, _)| name.as_str())).collect();
    let times = |ratio: &Value| ratio.as_f64().map_or_else(String::new, |ratio| format!(" ({ratio:.1} x)"));
    let mut rows = Vec::new();
    for name in first["questions"].as_object().into_iter().flat_map(serde_json::Map::keys) {
        let cell = |peer: &Value| milliseconds(&peer["questions"][name]) + &times(&peer["times_ours"][name]);
        rows.push([name.clone()].into_iter().chain(peers.iter().map(|(_, peer)| cell(peer))).collect());
    }
    let mean = |peer: &Value| milliseconds(&peer["mean_ms"]) + &times(&peer["times_ours"]["mean"]);
    rows.push(["geometric mean".to_owned()].into_iter().chain(peers.iter().map(|(_, peer)| mean(peer))).collect());
    let rate = |peer: &Value| count(&peer["events_per_s"]) + &times(&peer["times_ours"]["ingest"]);
    rows.push(["loading, events/s".to_owned()].into_iter().chain(peers.iter().map(|(_, peer)| rate(peer))).collect());
    table("Peers", &head, &rows);
}

/// The figures that stand alone, with their names.
fn figures(results: &Value) -> Vec<(String, String)> {
    let mut figures = Vec::new();
    let mut add = |name: &str, value: &Value, shown: fn(&Value) -> String| {
        if value.is_number() {
            figures.push((name.to_owned(), shown(value)));
        }
    };
    let Value::Object(_) = results else { return figures };
    let (disk, writing, start) = (&results["disk"], &results["writing"], &results["start"]);
    add("bytes on disk per event", &disk["bytes_per_event"], |value| format!("{:.1} B", value.as_f64().unwrap_or(0.0)));
    add("  of these the index", &disk["index_bytes_per_event"], |value| {
        format!("{:.1} B", value.as_f64().unwrap_or(0.0))
    });
    add("segments", &disk["segments"], count);
    add("CPU per event, merges included", &results["load"]["server_cpu_with_merges_us"], |value| {
        format!("{:.1} µs", value.as_f64().unwrap_or(0.0))
    });
    add("acknowledged at 50,000 events/s, p99", &writing["alone"]["p99_ms"], milliseconds);
    add("  while questions are asked, p99", &writing["with_questions"]["p99_ms"], milliseconds);
    add("  times as long", &writing["p99_ratio"], |value| format!("{:.2}", value.as_f64().unwrap_or(0.0)));
    add("ready after a clean stop", &start["clean_s"], seconds);
    add("ready after kill -9", &start["killed_s"], seconds);
    add("  events in the journal only", &start["killed_in_journal_only"], count);
    add("memory at rest after a start", &start["idle_memory_bytes"], mebibytes);
    add("memory at the most", &results["memory"]["peak_bytes"], mebibytes);
    figures
}

/// With commas, as in 5,000,000.
pub(super) fn count(value: &Value) -> String {
    let Some(number) = value.as_f64() else { return String::new() };
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn milliseconds(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(number) if number < 1.0 => format!("{number:.2} ms"),
        Some(number) if number < 20.0 => format!("{number:.1} ms"),
        Some(_) => format!("{} ms", count(value)),
    }
}

fn seconds(value: &Value) -> String {
    format!("{:.2} s", value.as_f64().unwrap_or(0.0))
}

fn mebibytes(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |bytes| format!("{:.0} MiB", bytes / 1_048_576.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!([5, 999, 1000, 5_000_000].map(|number| count(&json!(number))), ["5", "999", "1,000", "5,000,000"]);
        assert_eq!(
            [0.123, 4.56, 99.5, 1234.5].map(|number| milliseconds(&json!(number))),
            ["0.12 ms", "4.6 ms", "100 ms", "1,234 ms"]
        );
    }

    #[test]
    fn noise_is_rounded_away() {
        let mut value = json!({ "a": [123_456.789, 7], "b": 0.000_123_456_7 });
        round(&mut value);
        assert_eq!(value.to_string(), r#"{"a":[123460.0,7],"b":0.00012346}"#);
    }

    #[test]
    fn a_file_is_named_after_its_run() {
        let name = |cores: u64, events: u64| {
            file_name(
                &json!({ "date": "2026-11-20T01:02:03Z", "machine": { "cores": cores }, "settings": { "events": events } }),
            )
        };
        assert_eq!(name(2, 5_000_000), "2026-11-20-two-cores.json");
        assert_eq!(name(16, 50_000_000), "2026-11-20-16-cores-50m.json");
    }
}
