//! One issue with its latest occurrence: what a person needs to mend it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::list::{some, state_style};
use super::{path, standing, text, times};
use crate::cli::client::Client;
use crate::cli::human::{count, count_of, moment, pad, width};
use crate::cli::line::{level_style, named, place};
use crate::cli::output::{Output, Paint, Style, harmless, note};
use crate::cli::when::dated;

/// Frames, causes and steps that are shown; the report and --json have more.
const FRAMES_MAX: usize = 20;
const CAUSES_MAX: usize = 10;
const STEPS_MAX: usize = 50;

/// Releases and environments in a line.
const NAMES_MAX: usize = 5;

pub(super) async fn run(client: &Client, id: &str, json: bool) -> anyhow::Result<()> {
    // The report as JSON is the issue with its latest occurrence, whatever the issue is called now.
    let found: Value = client.ask(client.get(&path(id, "/report?format=json"))?).await?;
    let mut output = Output::new();
    if json {
        output.line(&serde_json::to_string_pretty(&found)?)?;
        return output.flush();
    }
    let look = Look { paint: output.paint(), zone: TimeZone::system(), now: Timestamp::now() };
    output.lines(&look.lines(&found["issue"], &found["occurrence"]))?;
    output.flush()?;
    if output.is_terminal() {
        note(&format!("\nto a ticket: everlog issues report {id}    mended: everlog issues resolve {id}"));
    }
    Ok(())
}

/// How it is shown.
struct Look {
    paint: Paint,
    zone: TimeZone,
    now: Timestamp,
}

/// A line of a list of facts.
type Fact = (&'static str, String);

impl Look {
    fn lines(&self, issue: &Value, occurrence: &Value) -> Vec<String> {
        let head = format!("{} {}", text(issue, "id"), harmless(text(issue, "title")));
        let level = text(issue, "level");
        let mut lines = vec![
            self.paint.apply(Style::Bold, &head).into_owned(),
            format!(
                "{}, {}, {}",
                self.paint.apply(level_style(event::Level::parse(level)), level),
                self.paint.apply(state_style(text(issue, "state")), &standing(issue)),
                times(issue)
            ),
            String::new(),
        ];
        self.push_facts(&mut lines, &self.of_issue(issue));
        if occurrence.is_null() {
            lines.push(String::new());
            lines.push("None of its occurrences is kept any more.".to_owned());
            return lines;
        }
        let when = dated(text(occurrence, "timestamp"), self.now, &self.zone);
        self.push_heading(&mut lines, &format!("Latest occurrence, {when}"));
        self.push_facts(&mut lines, &of_occurrence(occurrence));
        self.push_exception(&mut lines, &occurrence["exception"]);
        self.push_steps(&mut lines, "What led to it", &occurrence["trail"]);
        let crumbs = &occurrence["breadcrumbs"];
        // Those made of the trail name the events that they are of.
        if crumbs.get(0).is_some_and(|crumb| crumb.get("event").is_none()) {
            self.push_steps(&mut lines, "What the client noted", crumbs);
        }
        lines
    }

    fn of_issue(&self, issue: &Value) -> Vec<Fact> {
        let users = issue["users"].as_u64().filter(|users| *users > 0);
        let about = if issue["users_are_exact"] == false { "about " } else { "" };
        let suspect = match (text(issue, "suspect_deploy"), &issue["deploy"]) {
            ("", _) => String::new(),
            (release, deploy) => {
                let by = Some(text(deploy, "user")).filter(|user| !user.is_empty());
                let by = by.map(|user| format!(" by {user}")).unwrap_or_default();
                format!("{release}, deployed {}{by}", dated(text(deploy, "time"), self.now, &self.zone))
            }
        };
        let can_undo = text(issue, "can_undo");
        vec![
            ("where", text(issue, "culprit").to_owned()),
            ("log", text(issue, "log").to_owned()),
            ("users", users.map(|users| format!("{about}{}", count(users))).unwrap_or_default()),
            ("first seen", dated(text(issue, "first_seen"), self.now, &self.zone)),
            ("last seen", dated(text(issue, "last_seen"), self.now, &self.zone)),
            ("releases", some(&issue["releases"], NAMES_MAX)),
            ("environments", some(&issue["environments"], NAMES_MAX)),
            ("suspected", suspect),
            ("assigned to", text(issue, "assignee").to_owned()),
            ("fingerprints", some(&issue["fingerprints"], NAMES_MAX)),
            ("can undo", can_undo.to_owned()),
        ]
    }

    fn push_heading(&self, lines: &mut Vec<String>, heading: &str) {
        lines.push(String::new());
        lines.push(self.paint.apply(Style::Bold, heading).into_owned());
    }

    fn push_facts(&self, lines: &mut Vec<String>, facts: &[Fact]) {
        let there = || facts.iter().filter(|(_, value)| !value.trim().is_empty());
        let places = there().map(|(label, _)| width(label)).max().unwrap_or(0);
        lines.extend(there().map(|(label, value)| {
            format!("  {}  {}", self.paint.apply(Style::Dim, &pad(label, places)), harmless(value.trim()))
        }));
    }

    fn push_exception(&self, lines: &mut Vec<String>, exception: &Value) {
        let said = named(text(exception, "type"), text(exception, "message"));
        let frames = exception["frames"].as_array().map(Vec::as_slice).unwrap_or_default();
        if said.is_empty() && frames.is_empty() {
            return;
        }
        self.push_heading(lines, "Exception");
        let mut push = |indent: &str, style: Style, said: &str| {
            let shown = said.lines().map(|line| format!("{indent}{}", self.paint.apply(style, &harmless(line))));
            lines.extend(shown);
        };
        push("  ", Style::Red, &said);
        // Where it was raised is last in the list, and first for who reads.
        for frame in frames.iter().rev().take(FRAMES_MAX) {
            let ours = frame.get("in_app").and_then(Value::as_bool).unwrap_or(true);
            push("    ", if ours { Style::Plain } else { Style::Dim }, &place(frame));
        }
        if let Some(more) = frames.len().checked_sub(FRAMES_MAX).filter(|more| *more > 0) {
            push("    ", Style::Dim, &format!("and {} more", count_of(more as u64, "frame")));
        }
        // The first of the chain is the exception itself.
        for cause in exception["chain"].as_array().into_iter().flatten().skip(1).take(CAUSES_MAX) {
            push("  caused by ", Style::Red, &named(text(cause, "type"), text(cause, "message")));
        }
    }

    fn push_steps(&self, lines: &mut Vec<String>, heading: &str, steps: &Value) {
        let Some(steps) = steps.as_array().filter(|steps| !steps.is_empty()) else { return };
        self.push_heading(lines, heading);
        for step in steps.iter().skip(steps.len().saturating_sub(STEPS_MAX)) {
            let time = moment(&when_of(step), &self.zone);
            let level = text(step, "level");
            let style = level_style(event::Level::parse(level));
            lines.push(format!(
                "  {}  {}",
                self.paint.apply(Style::Dim, &time),
                self.paint.apply(style, &said_of(step))
            ));
        }
    }
}

fn of_occurrence(occurrence: &Value) -> Vec<Fact> {
    let address =
        Some(text(occurrence, "url")).filter(|url| !url.is_empty()).unwrap_or_else(|| text(occurrence, "path"));
    let status = occurrence.get("status").map(|status| format!(" answered {status}")).unwrap_or_default();
    let request =
        if address.is_empty() { String::new() } else { format!("{} {address}{status}", text(occurrence, "method")) };
    let browser = [text(occurrence, "browser"), text(occurrence, "os")];
    let browser: Vec<&str> = browser.into_iter().filter(|part| !part.is_empty()).collect();
    let own = |key: &str| text(occurrence, key).to_owned();
    vec![
        ("message", if occurrence["exception"].is_null() { own("message") } else { String::new() }),
        ("request", request),
        ("user", own("user")),
        ("ip", own("ip")),
        ("browser", browser.join(" on ")),
        ("release", own("release")),
        ("environment", own("environment")),
        ("service", own("service")),
        ("host", own("host")),
        ("session", own("session")),
        ("request id", own("request_id")),
        ("trace id", own("trace_id")),
        ("event", own("id")),
    ]
}

/// When a step was; clients also write seconds since 1970.
fn when_of(step: &Value) -> String {
    let time = &step["timestamp"];
    if let Some(text) = time.as_str() {
        return text.to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest number of milliseconds there is")]
    let millis = time.as_f64().map(|seconds| (seconds * 1000.0) as i64);
    let read = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    read.map(|moment| moment.to_string()).unwrap_or_default()
}

/// What a step says: its name, its words, its request.
fn said_of(step: &Value) -> String {
    let name = ["event", "category", "stream"].into_iter().map(|key| text(step, key)).find(|name| !name.is_empty());
    let address = ["url", "path"].into_iter().map(|key| text(step, key)).find(|part| !part.is_empty());
    let request = address.map(|address| format!("{} {address}", text(step, "method"))).unwrap_or_default();
    let status = step.get("status").map(ToString::to_string).unwrap_or_default();
    let parts = [name.unwrap_or(""), text(step, "message"), request.trim(), &status];
    harmless(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(issue: &Value, occurrence: &Value) -> String {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        Look { paint: Paint::none(), zone: TimeZone::UTC, now }.lines(issue, occurrence).join("\n")
    }

    fn issue() -> Value {
        json!({ "id": "6", "log": "shop", "title": "ZeroDivisionError: division by zero", "culprit": "shop.views in checkout", "level": "error",
            "state": "open", "occurrences": 3, "users": 2, "users_are_exact": true, "first_seen": "2026-01-01T03:04:05Z",
            "last_seen": "2026-01-02T03:03:05Z", "releases": ["1.0", "1.1"], "environments": ["production"], "assignee": "alice",
            "suspect_deploy": "1.1", "deploy": { "release": "1.1", "time": "2026-01-01T03:00:00Z", "user": "bob" },
            "fingerprints": ["1-0123456789abcdef0123456789abcdef"] })
    }

    #[test]
    fn an_issue_and_what_led_to_it() {
        let frame = |name: &str, line: u32, ours: bool| json!({ "function": name, "file": "shop/views.py", "line": line, "in_app": ours });
        let occurrence = json!({ "timestamp": "2026-01-02T03:03:05Z", "id": "0001", "method": "POST", "url": "https://shop.example/checkout",
            "status": 500, "user": "carol", "browser": "Firefox 128", "os": "Linux",
            "exception": { "type": "ZeroDivisionError", "message": "division by zero\nreally", "frames": [frame("main", 1, false), frame("checkout", 7, true)],
                "chain": [{ "type": "ZeroDivisionError", "message": "division by zero" }, { "type": "KeyError", "message": "'sku'" }] },
            "trail": [{ "timestamp": "2026-01-02T03:03:01Z", "event": "login", "message": "logged in\u{1b}[2J" },
                { "timestamp": "2026-01-02T03:03:02Z", "stream": "VIEW", "method": "GET", "path": "/cart", "status": 200 }],
            "breadcrumbs": [{ "timestamp": 1767322981.5, "category": "ui.click", "message": "button#pay" }] });
        insta::assert_snapshot!(check(&issue(), &occurrence), @r"
        6 ZeroDivisionError: division by zero
        error, open, 3 occurrences

          where         shop.views in checkout
          log           shop
          users         2
          first seen    2026-01-01 03:04 (24 h ago)
          last seen     2026-01-02 03:03 (1 min ago)
          releases      1.0, 1.1
          environments  production
          suspected     1.1, deployed 2026-01-01 03:00 (24 h ago) by bob
          assigned to   alice
          fingerprints  1-0123456789abcdef0123456789abcdef

        Latest occurrence, 2026-01-02 03:03 (1 min ago)
          request  POST https://shop.example/checkout answered 500
          user     carol
          browser  Firefox 128 on Linux
          event    0001

        Exception
          ZeroDivisionError: division by zero
          really
            at checkout (shop/views.py:7)
            at main (shop/views.py:1)
          caused by KeyError: 'sku'

        What led to it
          2026-01-02 03:03:01.000  login  logged in\u{1b}[2J
          2026-01-02 03:03:02.000  VIEW  GET /cart  200

        What the client noted
          2026-01-02 03:03:01.500  ui.click  button#pay
        ");
    }

    #[test]
    fn an_issue_whose_occurrences_are_gone() {
        let shown = check(&issue(), &Value::Null);
        assert!(shown.ends_with("None of its occurrences is kept any more."), "{shown}");
    }
}
