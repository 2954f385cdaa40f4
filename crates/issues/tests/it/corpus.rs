//! The corpus: real shapes of errors with the issue that each belongs to, and how well the grouping finds it.

use std::collections::BTreeMap;

use event::Level;
use issues::{Facts, explain};
use serde_json::Value;

/// Of two errors in one issue, how many pairs must have one cause.
const PRECISION_MIN: f64 = 0.98;

/// Of two errors with one cause, how many pairs must be in one issue.
const RECALL_MIN: f64 = 0.98;

pub(crate) const FILES: [&str; 9] = [
    include_str!("corpus/python.txt"),
    include_str!("corpus/javascript.txt"),
    include_str!("corpus/rust.txt"),
    include_str!("corpus/go.txt"),
    include_str!("corpus/java.txt"),
    include_str!("corpus/dotnet.txt"),
    include_str!("corpus/ruby_php.txt"),
    include_str!("corpus/messages.txt"),
    include_str!("corpus/alike.txt"),
];

/// One error, with the group it should be in and what was found.
struct Entry {
    group: String,
    text: String,
    fingerprint: String,
    parts: String,
}

impl Entry {
    fn new(group: &str, text: &str, facts: &Facts<'_>) -> Self {
        let facts = Facts { level: Some(Level::Error), ..*facts };
        let found = explain(&facts).unwrap();
        assert_eq!(issues::group(&facts).unwrap().fingerprint, found.fingerprint, "{text}");
        let parts = found.parts.iter().map(|part| format!("{:?}={}", part.kind, part.value));
        let parts = format!("{:?}: {}", found.basis, parts.collect::<Vec<_>>().join(" | "));
        Self { group: group.to_owned(), text: text.to_owned(), fingerprint: found.fingerprint, parts }
    }

    /// One line of JSON with members as the fields of `Facts` are called.
    fn of_json(group: &str, line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| value[key].as_str().unwrap_or("");
        let list = |key: &str| value.get(key).map(Value::to_string).unwrap_or_default();
        let (frames, chain) = (list("frames"), list("chain"));
        let fingerprint: Vec<&str> =
            value["fingerprint"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let facts = Facts {
            event: text("event"),
            message: text("message"),
            template: text("template"),
            logger: text("logger"),
            exception_type: text("type"),
            exception_message: if text("type").is_empty() { "" } else { text("message") },
            chain: &chain,
            frames: &frames,
            status: value["status"].as_u64().and_then(|status| status.try_into().ok()),
            method: text("method"),
            path: text("path"),
            route: text("route"),
            fingerprint: &fingerprint,
            ..Facts::default()
        };
        Self::new(group, line, &facts)
    }

    /// `500 GET /orders/17`
    fn of_answer(group: &str, line: &str) -> Self {
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap();
        let facts = Facts { status: next().parse().ok(), method: next(), path: next(), ..Facts::default() };
        Self::new(group, line, &facts)
    }
}

/// `=== GROUP` begins a group, `--- KIND …` entries of it: `text` is one traceback, every line of the others is an entry.
fn corpus(change: impl Fn(&str) -> String) -> Vec<Entry> {
    let mut entries = Vec::new();
    for part in FILES.iter().flat_map(|file| file.split("=== ").skip(1)) {
        let (group, rest) = part.split_once('\n').unwrap();
        for part in rest.split("--- ").skip(1).filter(|part| is_kind(part)) {
            let (head, _) = part.split_once('\n').unwrap();
            let start = part.as_ptr().addr() - rest.as_ptr().addr() + head.len() + 1;
            let end = next_entry(&rest[start..]).map_or(rest.len(), |end| start + end);
            add(&mut entries, group, head, &change(rest[start..end].trim_end()));
        }
    }
    entries
}

fn is_kind(part: &str) -> bool {
    ["text", "json", "log", "answer"].iter().any(|kind| part.split([' ', '\n']).next() == Some(kind))
}

/// .NET writes lines that begin in the same way.
fn next_entry(rest: &str) -> Option<usize> {
    rest.match_indices("\n--- ").map(|(at, _)| at + 1).find(|at| is_kind(&rest[at + 4..]))
}

fn add(entries: &mut Vec<Entry>, group: &str, head: &str, body: &str) {
    let (kind, note) = head.split_once(' ').unwrap_or((head, ""));
    for line in body.lines().filter(|_| kind != "text") {
        entries.push(match kind {
            "json" => Entry::of_json(group, line),
            "answer" => Entry::of_answer(group, line),
            _ => Entry::new(group, line, &Facts { message: line, logger: note, ..Facts::default() }),
        });
    }
    if kind == "text" {
        entries.push(Entry::new(group, body, &Facts { exception_text: body, ..Facts::default() }));
    }
}

#[test]
fn one_cause_together_and_different_ones_apart() {
    let entries = corpus(str::to_owned);
    let (mut right, mut wrong, mut missed) = (0_u32, Vec::new(), Vec::new());
    for (place, one) in entries.iter().enumerate() {
        for other in &entries[place + 1..] {
            match (one.group == other.group, one.fingerprint == other.fingerprint) {
                (true, true) => right += 1,
                (false, true) => wrong.push((one, other)),
                (true, false) => missed.push((one, other)),
                (false, false) => {}
            }
        }
    }
    for (what, pairs) in [("together, and should be apart", &wrong), ("apart, and should be together", &missed)] {
        for (one, other) in pairs {
            println!("{what}: {} and {}\n  {}\n  {}", one.group, other.group, one.parts, other.parts);
        }
    }
    let share = |others: usize| f64::from(right) / (f64::from(right) + f64::from(u32::try_from(others).unwrap()));
    let (precision, recall) = (share(wrong.len()), share(missed.len()));
    let groups: BTreeMap<&str, ()> = entries.iter().map(|entry| (entry.group.as_str(), ())).collect();
    println!("{} errors of {} causes: precision {precision:.4}, recall {recall:.4}", entries.len(), groups.len());
    assert!(entries.len() >= 150, "{} errors", entries.len());
    assert!(precision >= PRECISION_MIN, "precision {precision}");
    assert!(recall >= RECALL_MIN, "recall {recall}");
    let short = entries.iter().filter(|entry| entry.text.is_empty());
    assert_eq!(short.count(), 0, "an entry without a text");
}

/// The digits of line numbers, addresses and deploys become others.
fn moved(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut changes = false;
    for (place, character) in text.char_indices() {
        let before = &text[..place];
        let continues = before.ends_with(|last: char| last.is_ascii_hexdigit());
        let begins = [":", "line ", "0x", "releases/", "\"line\":", "$"].iter().any(|ahead| before.ends_with(ahead))
            && !before.ends_with("\"status\":");
        changes = begins || continues && changes;
        match character.to_digit(10).filter(|_| changes) {
            Some(digit) => out.extend(char::from_digit((digit + 3) % 10, 10)),
            None => out.push(character),
        }
    }
    out
}

#[test]
fn lines_addresses_and_deploys_change_nothing() {
    for (entry, again) in corpus(str::to_owned).iter().zip(corpus(moved)) {
        assert_eq!(entry.fingerprint, again.fingerprint, "{}\n{}\n{}", again.text, entry.parts, again.parts);
    }
}
