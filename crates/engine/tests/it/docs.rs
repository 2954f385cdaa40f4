//! The examples of docs/query.md, run: from the buffer, from segments, and after a restart.

use std::fmt::Write as _;

use serde_json::Value;

use crate::harness::{Fixture, ids, question, wait};

const PAGE: &str = include_str!("../../../../docs/query.md");

struct Example {
    line: usize,
    language: &'static str,
    question: &'static str,
    answer: &'static str,
}

fn examples() -> (String, Vec<Example>) {
    let mut data = String::new();
    let mut examples = Vec::new();
    let mut language = "";
    for (number, line) in PAGE.lines().enumerate() {
        if let Some(fence) = line.strip_prefix("```") {
            language = fence;
        } else if language == "ndjson" && data.lines().count() < 8 {
            data.push_str(line);
            data.push('\n');
        } else if matches!(language, "url" | "search" | "sql")
            && let Some((question, answer)) = line.split_once(" → ")
        {
            examples.push(Example { line: number + 1, language, question: question.trim(), answer: answer.trim() });
        }
    }
    (data, examples)
}

/// Numbers by their value: 50 and 50.0 are one.
fn normal(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap()),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        Value::Object(members) => Value::Object(members.into_iter().map(|(key, value)| (key, normal(value))).collect()),
        other => other,
    }
}

fn rows(answer: &engine::Answer) -> Value {
    let mut json = b"[".to_vec();
    answer.write_rows(b",", &mut json);
    json.push(b']');
    serde_json::from_slice(&json).unwrap()
}

/// The answer to an example: rows as JSON, or ids as text.
fn answer(fixture: &Fixture, example: &Example) -> Result<Value, String> {
    let engine = &fixture.engine;
    let documents = |events: engine::Events| -> Value {
        events.documents.iter().map(|document| serde_json::from_slice::<Value>(document).unwrap()).collect()
    };
    let found = match example.language {
        "sql" => {
            return wait(engine.sql(example.question, &engine.log_names(), false))
                .map(|answer| rows(&answer))
                .map_err(|error| error.to_string());
        }
        "search" => {
            let filter = engine::search::parse(example.question, jiff::Timestamp::now())
                .map_err(|error| error.pointed(example.question))?;
            let question = engine::url::Question { filter, ..engine::url::Question::default() };
            engine.events("docs", &question)
        }
        _ => {
            let question = question(example.question);
            if question.by.is_some() {
                return wait(engine.group("docs", &question))
                    .map(|answer| rows(&answer))
                    .map_err(|error| error.to_string());
            }
            engine.events("docs", &question)
        }
    };
    let found = found.map_err(|error| error.to_string())?;
    if example.answer.starts_with('[') {
        return Ok(documents(found));
    }
    let mut found = ids(&found);
    found.sort();
    Ok(Value::from(if found.is_empty() { "none".to_owned() } else { found.join(", ") }))
}

fn expected(text: &str) -> Value {
    if text.starts_with('[') {
        return serde_json::from_str(text).unwrap();
    }
    let mut ids: Vec<&str> = text.split(',').map(str::trim).collect();
    ids.sort_unstable();
    Value::from(ids.join(", "))
}

fn check(fixture: &Fixture, examples: &[Example], place: &str) {
    let mut wrong = String::new();
    for example in examples {
        let found = answer(fixture, example);
        let right = found.as_ref().is_ok_and(|found| normal(found.clone()) == normal(expected(example.answer)));
        if !right {
            writeln!(
                wrong,
                "\nline {}: {}\n  expected {}\n  found    {found:?}",
                example.line, example.question, example.answer
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{place}: {wrong}");
}

#[test]
fn every_example_is_true() {
    let (data, examples) = examples();
    assert_eq!(data.lines().count(), 8, "the page begins with its eight events");
    assert!(examples.len() > 80, "{} examples", examples.len());
    let fixture = Fixture::new();
    fixture.send("docs", &data);
    check(&fixture, &examples, "in the buffer");
    fixture.engine.flush().unwrap();
    check(&fixture, &examples, "in a segment");
    let fixture = fixture.restart();
    check(&fixture, &examples, "after a restart");
}
