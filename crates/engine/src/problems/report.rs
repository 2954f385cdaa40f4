//! An issue as a report to paste into a ticket.

use std::fmt::Write as _;

use serde_json::Value;

use super::IssueError;
use crate::Engine;

/// Frames, headers and crumbs that a report shows: a ticket is read in a minute.
const FRAMES_MAX: usize = 20;
const LINES_MAX: usize = 30;

/// Longest value in a report, in characters.
const VALUE_MAX: usize = 500;

impl Engine {
    /// An issue with its latest occurrence and what led to it, as Markdown.
    ///
    /// # Errors
    /// When there is no such issue, or the question takes too long.
    pub fn issue_report(&self, id: &str) -> Result<String, IssueError> {
        let issue = self.issue(id)?;
        let occurrences = self.occurrences(id, (1, None), true)?;
        Ok(report(&issue, occurrences.occurrences.first(), self.link(&format!("/issues/{id}"))))
    }
}

fn report(issue: &Value, occurrence: Option<&Value>, link: Option<String>) -> String {
    let mut out = String::with_capacity(4096);
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("# {}", code_free(text(issue, "title"))));
    line(String::new());
    let mut rows = issue_rows(issue);
    rows.push(("Issue", link.unwrap_or_else(|| text(issue, "id").to_owned())));
    table(&mut line, &rows);
    let Some(occurrence) = occurrence else {
        line("None of its occurrences is kept any more.".to_owned());
        return out;
    };
    line(format!("## Latest occurrence, {}", text(occurrence, "timestamp")));
    line(String::new());
    table(&mut line, &occurrence_rows(occurrence));
    exception(&mut line, &occurrence["exception"]);
    headers(&mut line, &occurrence["request"]["headers"]);
    steps(&mut line, "What led to it", &occurrence["trail"]);
    steps(&mut line, "Breadcrumbs of the client", &occurrence["breadcrumbs"]);
    out
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// A value in one line: a text as it is, the parts of a list with commas.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(parts) => parts.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn rows(value: &Value, names: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let rows = names.iter().map(|(label, key)| (*label, plain(&value[*key])));
    rows.filter(|(_, value)| !value.is_empty()).collect()
}

/// What is shown of an issue, in a report and on a page: labels and values, without those that it does not have.
#[must_use]
pub fn issue_rows(issue: &Value) -> Vec<(&'static str, String)> {
    const ROWS: [(&str, &str); 13] = [
        ("State", "state"),
        ("Level", "level"),
        ("Where", "culprit"),
        ("Occurrences", "occurrences"),
        ("Users", "users"),
        ("First seen", "first_seen"),
        ("Last seen", "last_seen"),
        ("Releases", "releases"),
        ("Environments", "environments"),
        ("Suspected deploy", "suspect_deploy"),
        ("Assigned to", "assignee"),
        ("Fingerprint", "fingerprint"),
        ("Log", "log"),
    ];
    rows(issue, &ROWS)
}

/// The same of an occurrence.
#[must_use]
pub fn occurrence_rows(occurrence: &Value) -> Vec<(&'static str, String)> {
    const ROWS: [(&str, &str); 10] = [
        ("Status", "status"),
        ("User", "user"),
        ("Browser", "browser"),
        ("System", "os"),
        ("Release", "release"),
        ("Environment", "environment"),
        ("Host", "host"),
        ("Request id", "request_id"),
        ("Trace id", "trace_id"),
        ("Event", "id"),
    ];
    let place = [text(occurrence, "url"), text(occurrence, "path")].into_iter().find(|place| !place.is_empty());
    let request = format!("{} {}", text(occurrence, "method"), place.unwrap_or("")).trim().to_owned();
    let request = (!request.is_empty()).then_some(("Request", request));
    request.into_iter().chain(rows(occurrence, &ROWS)).collect()
}

/// One line, without anything that Markdown takes for its own.
fn code_free(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars().take(VALUE_MAX) {
        match character {
            character if character.is_control() => out.push(' '),
            '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '#' | '\\' | '~' | '!' | '@' => {
                out.push('\\');
                out.push(character);
            }
            character => out.push(character),
        }
    }
    out
}

fn table(line: &mut impl FnMut(String), rows: &[(&str, String)]) {
    line("| | |".to_owned());
    line("|---|---|".to_owned());
    for (label, value) in rows {
        line(format!("| {} | {} |", code_free(label), code_free(value)));
    }
    line(String::new());
}

/// Text in a block that it cannot end.
fn block(line: &mut impl FnMut(String), text: &str) {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    line(fence.clone());
    line(text.trim_end().to_owned());
    line(fence);
    line(String::new());
}

fn exception(line: &mut impl FnMut(String), exception: &Value) {
    if exception.is_null() {
        return;
    }
    line("## Exception".to_owned());
    line(String::new());
    let mut said = format!("{}: {}\n", text(exception, "type"), text(exception, "message"));
    let frames = exception["frames"].as_array().map(Vec::as_slice).unwrap_or_default();
    let skipped = frames.len().saturating_sub(FRAMES_MAX);
    if skipped > 0 {
        let written = writeln!(said, "  ({skipped} frames before)");
        debug_assert!(written.is_ok(), "writing into memory cannot fail");
    }
    for frame in frames.iter().skip(skipped) {
        let place = [text(frame, "file"), text(frame, "module")].into_iter().find(|place| !place.is_empty());
        let number = frame.get("line").filter(|number| !number.is_null()).map(|number| format!(":{number}"));
        let written =
            writeln!(said, "  at {} ({}{})", text(frame, "function"), place.unwrap_or("?"), number.unwrap_or_default());
        debug_assert!(written.is_ok(), "writing into memory cannot fail");
    }
    for cause in exception["chain"].as_array().into_iter().flatten().skip(1).take(LINES_MAX) {
        let written = writeln!(said, "caused by {}: {}", text(cause, "type"), text(cause, "message"));
        debug_assert!(written.is_ok(), "writing into memory cannot fail");
    }
    block(line, &said);
}

fn headers(line: &mut impl FnMut(String), headers: &Value) {
    let Some(headers) = headers.as_object().filter(|headers| !headers.is_empty()) else { return };
    line("## Headers".to_owned());
    line(String::new());
    let rows: Vec<(&str, String)> =
        headers.iter().take(LINES_MAX).map(|(name, value)| (name.as_str(), plain(value))).collect();
    table(line, &rows);
}

fn steps(line: &mut impl FnMut(String), title: &str, steps: &Value) {
    let Some(steps) = steps.as_array().filter(|steps| !steps.is_empty()) else { return };
    line(format!("## {title}"));
    line(String::new());
    let skipped = steps.len().saturating_sub(LINES_MAX);
    for step in steps.iter().skip(skipped) {
        let time = step.get("timestamp").map(|time| time.as_str().map_or_else(|| time.to_string(), str::to_owned));
        let name = [text(step, "event"), text(step, "category"), text(step, "stream")];
        let name = name.into_iter().find(|name| !name.is_empty()).unwrap_or("");
        let request = [text(step, "method"), text(step, "url"), text(step, "path")];
        let request = request.into_iter().filter(|part| !part.is_empty()).take(2).collect::<Vec<_>>().join(" ");
        let said = [name, text(step, "message"), &request].into_iter().filter(|part| !part.is_empty());
        let said = said.map(code_free).collect::<Vec<_>>().join(" · ");
        line(format!("- {} {said}", code_free(&time.unwrap_or_default())));
    }
    line(String::new());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let issue = json!({ "id": "1", "log": "default", "title": "a | b\n# <script>@all", "state": "open", "level": "error",
            "occurrences": 3, "users": 1, "releases": ["1.0"] });
        let occurrence = json!({ "timestamp": "2026-01-02T03:04:05Z", "method": "GET", "url": "/x?a=`b`|c",
            "exception": { "type": "E", "message": "```\n# out", "frames": [{ "function": "f", "file": "a.py", "line": 7 }],
                "chain": [{ "type": "E", "message": "m" }, { "type": "F", "message": "n" }] },
            "trail": [{ "timestamp": "t", "event": "login", "message": "[x](y)" }] });
        let made = report(&issue, Some(&occurrence), None);
        assert!(made.starts_with("# a \\| b \\# \\<script\\>\\@all\n"), "{made}");
        assert!(made.contains("| Request | GET /x?a=\\`b\\`\\|c |"), "{made}");
        assert!(made.contains("````\nE: ```\n# out\n  at f (a.py:7)\ncaused by F: n\n````"), "{made}");
        assert!(made.contains("- t login · \\[x\\](y)"), "{made}");
    }
}
