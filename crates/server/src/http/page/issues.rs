//! Issues as pages: the list of a log, and one of them with what led to its latest occurrence.

use engine::told;
use serde_json::Value;

use super::html::{Html, cut};
use super::query::Query;
use super::table::{write_level, write_time};

/// Characters of a title in the list.
const TITLE_CHARACTERS: usize = 120;

/// Frames of each exception, and steps.
const FRAMES_MAX: usize = 100;
const STEPS_MAX: usize = 100;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// A page of the list.
pub(super) struct Listed {
    /// What it was asked for.
    pub(super) query: Query,
    pub(super) issues: Vec<Value>,
    /// How many there are in all.
    pub(super) total: u64,
    /// How many are before them.
    pub(super) offset: usize,
    /// Where the next page begins.
    pub(super) next: Option<usize>,
}

/// The links that choose states, by what they ask for.
const STATES: [(&str, &str); 4] =
    [("", "open"), ("resolved", "resolved"), ("ignored", "ignored"), ("open,regressed,resolved,ignored", "all")];

/// Issues of one log or several, and what else can be asked.
pub(super) fn list(html: &mut Html, listed: &Listed) {
    form(html, &listed.query);
    table(html, listed);
    pager(html, listed);
}

fn form(html: &mut Html, query: &Query) {
    html.raw("<form class=\"search\" action=\"/issues\"><input type=\"search\" name=\"q\" aria-label=\"In title or place\" placeholder=\"in title or place\"");
    html.attr("value", query.get("q").unwrap_or("")).raw(">");
    for key in ["state", "log", "level", "since", "limit"] {
        if let Some(value) = query.get(key) {
            html.raw("<input type=\"hidden\"").attr("name", key).attr("value", value).raw(">");
        }
    }
    html.raw("<button>Search</button></form><div class=\"chips\"><span>");
    for (value, label) in STATES {
        let link = query.without(&["state", "offset"]);
        let link = if value.is_empty() { link } else { link.with("state", value) };
        let is_current = match query.get("state").unwrap_or("") {
            "open,regressed" => value.is_empty(),
            chosen => chosen == value,
        };
        html.raw(" <a").attr("href", &link_of(&link));
        html.raw(if is_current { " aria-current=\"true\">" } else { ">" }).text(label).raw("</a>");
    }
    html.raw("</span>");
    for key in ["log", "level", "since", "q"] {
        let Some(value) = query.get(key) else { continue };
        let (said, without) = (format!("{key} {value}"), query.without(&[key, "offset"]));
        let remove = format!("Remove: {said}");
        html.raw("<span class=\"chip\">").text(&said).raw(" <a").attr("href", &link_of(&without));
        html.attr("aria-label", &remove).attr("title", &remove).raw(">×</a></span>");
    }
    html.raw("</div>");
}

/// `?` alone would keep what is asked for.
fn link_of(query: &Query) -> String {
    if query.pairs.is_empty() { "/issues".to_owned() } else { format!("/issues{}", query.link()) }
}

fn pager(html: &mut Html, listed: &Listed) {
    let shown = listed.issues.len() as u64;
    if listed.total == 0 {
        return;
    }
    html.raw("<nav class=\"pager\" aria-label=\"Pages\"><span>");
    if listed.offset > 0 && shown > 0 {
        html.count(listed.offset as u64 + 1).raw("–").count(listed.offset as u64 + shown);
    } else {
        html.count(shown);
    }
    html.raw(" of ").count(listed.total).raw("</span>");
    if listed.offset > 0 {
        html.raw(" ").link(&link_of(&listed.query.without(&["offset"])), "First page");
    }
    if let Some(next) = listed.next {
        let link = listed.query.without(&["offset"]).with("offset", &next.to_string());
        html.raw(" <a rel=\"next\"").attr("href", &link_of(&link)).raw(">Next page</a>");
    } else if listed.offset as u64 + shown < listed.total && shown > 0 {
        html.raw("<span>Choose a log to see the others.</span>");
    }
    html.raw("</nav>");
}

fn table(html: &mut Html, listed: &Listed) {
    let issues = &listed.issues;
    if issues.is_empty() {
        let is_narrow = listed.total > 0
            || ["state", "log", "level", "since", "q"].iter().any(|key| listed.query.get(key).is_some());
        html.raw(if is_narrow {
            "<p class=\"empty\">Nothing fits.</p>"
        } else {
            "<p class=\"remark\">There is no open issue. An event of the level error, one with an exception, and an answer of 500 and above make one.</p>"
        });
        return;
    }
    html.raw("<div class=\"scroll\"><table class=\"issues\"><thead><tr><th scope=\"col\">issue</th><th scope=\"col\">level</th><th scope=\"col\">title</th>");
    html.raw("<th scope=\"col\" class=\"n\">times</th><th scope=\"col\" class=\"n\">users</th><th scope=\"col\">state</th><th scope=\"col\">log</th><th scope=\"col\">first seen</th><th scope=\"col\">last seen</th></tr></thead><tbody>\n");
    for issue in issues {
        let id = text(issue, "id");
        html.raw("<tr><td data-k=\"issue\">").link(&format!("/issues/{id}"), id).raw("</td><td data-k=\"level\">");
        write_level(html, text(issue, "level"));
        let (title, is_cut) = cut(text(issue, "title"), TITLE_CHARACTERS);
        html.raw("</td><td class=\"m\" data-k=\"title\">").text(title).raw(if is_cut { "…" } else { "" });
        html.raw("</td><td class=\"n\" data-k=\"times\">").count(issue["occurrences"].as_u64().unwrap_or(0));
        html.raw("</td><td class=\"n\" data-k=\"users\">").count(issue["users"].as_u64().unwrap_or(0));
        html.raw("</td><td data-k=\"state\">").text(text(issue, "state"));
        let log = text(issue, "log");
        let of_log = listed.query.without(&["log", "offset"]).with("log", log);
        html.raw("</td><td data-k=\"log\">").link(&link_of(&of_log), log);
        for key in ["first_seen", "last_seen"] {
            html.raw("</td><td class=\"t\"").attr("data-k", key).raw(">");
            write_time(html, text(issue, key), 0);
        }
        html.raw("</td></tr>\n");
    }
    html.raw("</tbody></table></div>");
}

fn rows(html: &mut Html, rows: &[(impl AsRef<str>, String)]) {
    html.raw("<div class=\"scroll\"><table class=\"event facts\"><tbody>\n");
    for (label, value) in rows {
        html.raw("<tr><th scope=\"row\">").text(label.as_ref()).raw("</th><td>").text(value).raw("</td></tr>\n");
    }
    html.raw("</tbody></table></div>");
}

fn block(html: &mut Html, title: &'static str, text: &str) {
    if !text.is_empty() {
        html.raw("<h2>").raw(title).raw("</h2><pre>").text(text).raw("</pre>");
    }
}

/// One issue, and its latest occurrence.
pub(super) fn one(html: &mut Html, issue: &Value, occurrence: Option<&Value>) {
    rows(html, &told::issue_rows(issue));
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
    rows(html, &told::occurrence_rows(occurrence));
    block(html, "Exception", &told::exception_text(&occurrence["exception"], FRAMES_MAX));
    let headers = told::header_rows(occurrence);
    if !headers.is_empty() {
        html.raw("<h2>Headers</h2>");
        rows(html, &headers);
    }
    block(html, "Body", &told::body_text(occurrence).unwrap_or_default());
    steps(html, "What led to it", occurrence["trail"].as_array().map(Vec::as_slice).unwrap_or_default());
    steps(html, "What the client noted", told::client_crumbs(occurrence));
}

fn steps(html: &mut Html, title: &'static str, steps: &[Value]) {
    if steps.is_empty() {
        return;
    }
    html.raw("<h2>").raw(title).raw("</h2><div class=\"scroll\"><table><thead><tr><th scope=\"col\">time</th><th scope=\"col\">what</th><th scope=\"col\">request</th></tr></thead><tbody>\n");
    for step in &steps[steps.len().saturating_sub(STEPS_MAX)..] {
        let step = told::Step::of(step);
        html.raw("<tr><td class=\"t\">");
        write_time(html, &step.time, 3);
        let said = [step.name, step.message].into_iter().filter(|part| !part.is_empty());
        html.raw("</td><td class=\"m\">").text(&said.collect::<Vec<_>>().join(" · ")).raw("</td><td class=\"m\">");
        html.text(&step.request).raw("</td></tr>\n");
    }
    html.raw("</tbody></table></div>");
}
