//! Why occurrences are one issue: the parts of each fingerprint, and what each frame did for it.

use serde_json::Value;

use super::{path, text};
use crate::cli::client::Client;
use crate::cli::human::{pad, width};
use crate::cli::output::{Output, Paint, Style, harmless};

pub(super) async fn run(client: &Client, id: &str, json: bool) -> anyhow::Result<()> {
    let found: Value = client.ask(client.get(&path(id, "/explain"))?).await?;
    let mut output = Output::new();
    if json {
        output.line(&serde_json::to_string_pretty(&found)?)?;
        return output.flush();
    }
    output.lines(&lines(&found, output.paint()))?;
    output.flush()
}

fn lines(found: &Value, paint: Paint) -> Vec<String> {
    let head = format!("{} {}", text(found, "issue"), harmless(text(found, "title")));
    let mut lines = vec![paint.apply(Style::Bold, &head).into_owned()];
    for fingerprint in found["fingerprints"].as_array().into_iter().flatten() {
        lines.push(String::new());
        lines.push(text(fingerprint, "fingerprint").to_owned());
        if fingerprint["explained"] == false {
            lines.push(format!("  {}", text(fingerprint, "reason")));
            continue;
        }
        lines.push(format!("  {}", basis(text(fingerprint, "basis"))));
        let parts = fingerprint["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
        push_pairs(&mut lines, paint, &pairs(parts, "kind", "value"));
        let frames = fingerprint["frames"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !frames.is_empty() {
            lines.push("  Its frames, where it was raised first:".to_owned());
            let mut shown: Vec<(String, String)> = frames.iter().map(frame).collect();
            shown.reverse();
            push_pairs(&mut lines, paint, &shown);
        }
        if let Some(other) = fingerprint.get("would_be").and_then(Value::as_str) {
            lines.push(format!(
                "  Today it would be {other}: it was made by another version, or of keys that were not kept."
            ));
        }
    }
    lines
}

/// Which way to the fingerprint was taken.
fn basis(name: &str) -> &str {
    match name {
        "client" => "The client gave it:",
        "frames" => "Made of the exception and the functions that were being called:",
        "exception" => "Made of the exception, which has no usable frames:",
        "message" => "Made of what the line says, without its values:",
        "answer" => "Made of the answer and its route:",
        other => other,
    }
}

fn pairs(parts: &[Value], key: &str, value: &str) -> Vec<(String, String)> {
    let said = parts.iter().filter(|part| !text(part, value).is_empty());
    said.map(|part| (text(part, key).to_owned(), text(part, value).to_owned())).collect()
}

/// What a frame did, and its name.
fn frame(frame: &Value) -> (String, String) {
    let role = match text(frame, "role") {
        "counted" => "counts",
        "called" => "counts as what was called",
        "not_in_app" => "code of others",
        "machinery" => "the runtime's",
        "nameless" => "has no lasting name",
        "repeated" => "was there already",
        "too_far" => "too far from the error",
        other => other,
    };
    let sent = [text(frame, "name"), text(frame, "function"), text(frame, "place")];
    (role.to_owned(), sent.into_iter().find(|name| !name.is_empty()).unwrap_or("?").to_owned())
}

fn push_pairs(lines: &mut Vec<String>, paint: Paint, pairs: &[(String, String)]) {
    let places = pairs.iter().map(|(label, _)| width(label)).max().unwrap_or(0);
    lines.extend(
        pairs
            .iter()
            .map(|(label, value)| format!("    {}  {}", paint.apply(Style::Dim, &pad(label, places)), harmless(value))),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_parts_of_a_fingerprint() {
        let found = json!({ "issue": "6", "title": "E: m", "fingerprints": [
            { "fingerprint": "1-01", "explained": true, "basis": "frames", "would_be": "2-02",
              "parts": [{ "kind": "type", "value": "E" }, { "kind": "function", "value": "views:checkout" }],
              "frames": [{ "function": "run", "place": "wsgi.py", "name": "wsgi:run", "role": "not_in_app" },
                { "function": "checkout", "place": "views.py", "name": "views:checkout", "role": "counted" }] },
            { "fingerprint": "1-03", "explained": false, "reason": "none of its occurrences is kept any more" }] });
        insta::assert_snapshot!(lines(&found, Paint::none()).join("\n"), @"
        6 E: m

        1-01
          Made of the exception and the functions that were being called:
            type      E
            function  views:checkout
          Its frames, where it was raised first:
            counts          views:checkout
            code of others  wsgi:run
          Today it would be 2-02: it was made by another version, or of keys that were not kept.

        1-03
          none of its occurrences is kept any more
        ");
    }
}
