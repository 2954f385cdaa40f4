//! Issues as pages: the list of a log, and one of them with what led to its latest occurrence.

use serde_json::Value;

use super::html::{Html, cut};
use super::table::{write_level, write_time};

/// Characters of a title in the list.
const TITLE_CHARACTERS: usize = 120;

/// Issues of each log in the list.
pub(super) const LISTED_MAX: usize = 100;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// The issues of some logs that are open.
pub(super) fn list(html: &mut Html, issues: &[Value]) {
    if issues.is_empty() {
        html.raw("<p class=\"remark\">There is no open issue. An event of the level error, one with an exception, and an answer of 500 and above make one.</p>");
        return;
    }
    html.raw("<div class=\"scroll\"><table class=\"issues\"><thead><tr><th scope=\"col\">issue</th><th scope=\"col\">level</th><th scope=\"col\">title</th>");
    html.raw("<th scope=\"col\" class=\"n\">times</th><th scope=\"col\" class=\"n\">users</th><th scope=\"col\">state</th><th scope=\"col\">log</th><th scope=\"col\">first seen</th><th scope=\"col\">last seen</th></tr></thead><tbody>\n");
    for issue in issues {
        let id = text(issue, "id");
        html.raw("<tr><td data-k=\"issue\">").link(&format!("/issues/{id}"), id).raw("</td><td data-k=\"level\">");
        write_level(html, text(issue, "level"));
        let (title, whole) = cut(text(issue, "title"), TITLE_CHARACTERS);
        html.raw("</td><td data-k=\"title\">").text(title).raw(if whole { "" } else { "…" });
        html.raw("</td><td class=\"n\" data-k=\"times\">").count(issue["occurrences"].as_u64().unwrap_or(0));
        html.raw("</td><td class=\"n\" data-k=\"users\">").count(issue["users"].as_u64().unwrap_or(0));
        html.raw("</td><td data-k=\"state\">").text(text(issue, "state"));
        html.raw("</td><td data-k=\"log\">").text(text(issue, "log"));
        for key in ["first_seen", "last_seen"] {
            html.raw("</td><td class=\"t\"").attr("data-k", key).raw(">");
            write_time(html, text(issue, key), 0);
        }
        html.raw("</td></tr>\n");
    }
    html.raw("</tbody></table></div>");
}

fn rows(html: &mut Html, rows: &[(&'static str, String)]) {
    html.raw("<div class=\"scroll\"><table><tbody>\n");
    for (label, value) in rows {
        html.raw("<tr><th scope=\"row\">").raw(label).raw("</th><td>").text(value).raw("</td></tr>\n");
    }
    html.raw("</tbody></table></div>");
}

/// One issue, and its latest occurrence.
pub(super) fn one(html: &mut Html, issue: &Value, occurrence: Option<&Value>) {
    rows(html, &engine::issue_rows(issue));
    let fingerprint = text(issue, "fingerprint");
    let events = format!("/api/v1/logs/{}/events?_format=html&fingerprint={fingerprint}", text(issue, "log"));
    html.raw("<p>").link(&events, "All its occurrences that are kept").raw(" · ");
    html.link(&format!("/api/v1/issues/{}/report", text(issue, "id")), "Report as Markdown").raw(" · ");
    html.link(&format!("/api/v1/issues/{}/explain", text(issue, "id")), "Why these are one issue").raw("</p>");
    let Some(occurrence) = occurrence else {
        html.raw("<p class=\"remark\">None of its occurrences is kept any more.</p>");
        return;
    };
    html.raw("<h2>Latest occurrence, ").text(text(occurrence, "timestamp")).raw("</h2>");
    rows(html, &engine::occurrence_rows(occurrence));
    exception(html, &occurrence["exception"]);
    trail(html, &occurrence["trail"]);
}

fn exception(html: &mut Html, exception: &Value) {
    if exception.is_null() {
        return;
    }
    html.raw("<h2>Exception</h2><pre>");
    html.text(text(exception, "type")).raw(": ").text(text(exception, "message")).raw("\n");
    for frame in exception["frames"].as_array().into_iter().flatten() {
        let place = [text(frame, "file"), text(frame, "module")].into_iter().find(|place| !place.is_empty());
        html.raw("  at ").text(text(frame, "function")).raw(" (").text(place.unwrap_or("?"));
        if let Some(line) = frame.get("line").filter(|line| !line.is_null()) {
            html.raw(":").text(&line.to_string());
        }
        html.raw(")\n");
    }
    for cause in exception["chain"].as_array().into_iter().flatten().skip(1) {
        html.raw("caused by ").text(text(cause, "type")).raw(": ").text(text(cause, "message")).raw("\n");
    }
    html.raw("</pre>");
}

fn trail(html: &mut Html, trail: &Value) {
    let Some(steps) = trail.as_array().filter(|steps| !steps.is_empty()) else { return };
    html.raw("<h2>What led to it</h2><div class=\"scroll\"><table><thead><tr><th scope=\"col\">time</th><th scope=\"col\">what</th><th scope=\"col\">request</th></tr></thead><tbody>\n");
    for step in steps {
        html.raw("<tr><td class=\"t\">");
        write_time(html, text(step, "timestamp"), 3);
        html.raw("</td><td>");
        let said = [text(step, "event"), text(step, "message")].into_iter().filter(|part| !part.is_empty());
        html.text(&said.collect::<Vec<_>>().join(" · ")).raw("</td><td>");
        let request = [text(step, "method"), text(step, "url"), text(step, "path")];
        let request: Vec<&str> = request.into_iter().filter(|part| !part.is_empty()).take(2).collect();
        html.text(&request.join(" ")).raw("</td></tr>\n");
    }
    html.raw("</tbody></table></div>");
}
