//! An issue as a report to paste into a ticket.

use serde_json::Value;

use super::IssueError;
use super::told::{Step, body_text, client_crumbs, exception_text, header_rows, issue_rows, occurrence_rows, text};
use crate::Engine;

/// Frames and steps that a report shows: a ticket is read in a minute.
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
    let exception = exception_text(&occurrence["exception"], FRAMES_MAX);
    section(&mut line, "Exception", (!exception.is_empty()).then_some(exception));
    let headers = header_rows(occurrence);
    if !headers.is_empty() {
        line("## Headers".to_owned());
        line(String::new());
        table(&mut line, &headers);
    }
    section(&mut line, "Body", body_text(occurrence));
    steps(&mut line, "What led to it", occurrence["trail"].as_array().map(Vec::as_slice).unwrap_or_default());
    steps(&mut line, "Breadcrumbs of the client", client_crumbs(occurrence));
    out
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

fn table(line: &mut impl FnMut(String), rows: &[(impl AsRef<str>, String)]) {
    line("| | |".to_owned());
    line("|---|---|".to_owned());
    for (label, value) in rows {
        line(format!("| {} | {} |", code_free(label.as_ref()), code_free(value)));
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

fn section(line: &mut impl FnMut(String), title: &str, text: Option<String>) {
    let Some(text) = text else { return };
    line(format!("## {title}"));
    line(String::new());
    block(line, &text);
}

fn steps(line: &mut impl FnMut(String), title: &str, steps: &[Value]) {
    if steps.is_empty() {
        return;
    }
    line(format!("## {title}"));
    line(String::new());
    for step in &steps[steps.len().saturating_sub(LINES_MAX)..] {
        let step = Step::of(step);
        let said: Vec<String> = step.parts().into_iter().map(code_free).collect();
        line(format!("- {} {}", code_free(&step.time), said.join(" · ")));
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
            "request": { "headers": { "X-*": "<b>" }, "data": "```\n# out" },
            "trail": [{ "timestamp": "t", "event": "login", "message": "[x](y)" }] });
        let made = report(&issue, Some(&occurrence), None);
        assert!(made.starts_with("# a \\| b \\# \\<script\\>\\@all\n"), "{made}");
        assert!(made.contains("| Request | GET /x?a=\\`b\\`\\|c |"), "{made}");
        assert!(made.contains("````\nE: ```\n# out\n  at f (a.py:7)\ncaused by F: n\n````"), "{made}");
        assert!(made.contains("| X-\\* | \\<b\\> |") && made.contains("## Body\n\n````\n```\n# out\n````"), "{made}");
        assert!(made.contains("- t login · \\[x\\](y)"), "{made}");
    }
}
