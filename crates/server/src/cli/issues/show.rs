//! One issue with its latest occurrence: what a person needs to mend it.

use engine::told;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::list::{some, state_style};
use super::{path, standing, text, times};
use crate::cli::client::Client;
use crate::cli::human::{count, count_of, minute, moment, pad, width};
use crate::cli::line::{level_style, place};
use crate::cli::output::{Output, Paint, Style, harmless, note};
use crate::cli::when::dated;

/// Frames of each exception and steps that are shown; --json has more.
const FRAMES_MAX: usize = 20;
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

impl Look {
    fn lines(&self, issue: &Value, occurrence: &Value) -> Vec<String> {
        let head = format!("{} {}", text(issue, "id"), harmless(text(issue, "title")));
        let level = text(issue, "level");
        let mut lines = vec![
            self.paint.apply(Style::Bold, &head).into_owned(),
            format!(
                "{}, {}, {}",
                self.paint.apply(level_style(event::Level::parse(level)), level),
                self.paint.apply(state_style(text(issue, "state")), &standing(issue, &self.zone)),
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
        let facts = told::occurrence_rows(occurrence).into_iter().map(|(label, value)| (label.to_lowercase(), value));
        self.push_facts(&mut lines, &facts.collect::<Vec<_>>());
        self.push_exception(&mut lines, &occurrence["exception"]);
        self.push_headers(&mut lines, &told::header_rows(occurrence));
        self.push_body(&mut lines, &told::body_text(occurrence).unwrap_or_default());
        let trail = occurrence["trail"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.push_steps(&mut lines, "What led to it", trail);
        self.push_steps(&mut lines, "What the client noted", told::client_crumbs(occurrence));
        lines
    }

    fn of_issue(&self, issue: &Value) -> Vec<(&'static str, String)> {
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
        let decided = match told::decision(issue, &|time| minute(time, &self.zone)) {
            decision if decision.is_empty() => decision,
            decision => format!("{decision}, {}", dated(text(&issue["decision"], "at"), self.now, &self.zone)),
        };
        vec![
            ("decided", decided),
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

    fn push_facts(&self, lines: &mut Vec<String>, facts: &[(impl AsRef<str>, String)]) {
        let there = || facts.iter().filter(|(_, value)| !value.trim().is_empty());
        let places = there().map(|(label, _)| width(label.as_ref())).max().unwrap_or(0);
        lines.extend(there().map(|(label, value)| {
            format!("  {}  {}", self.paint.apply(Style::Dim, &pad(label.as_ref(), places)), harmless(value.trim()))
        }));
    }

    fn push_exception(&self, lines: &mut Vec<String>, exception: &Value) {
        for (number, raise) in told::raised(exception, FRAMES_MAX).iter().enumerate() {
            if number == 0 {
                self.push_heading(lines, "Exception");
            }
            let mut push = |indent: &str, style: Style, said: &str| {
                let shown = said.lines().map(|line| format!("{indent}{}", self.paint.apply(style, &harmless(line))));
                lines.extend(shown);
            };
            push(if number == 0 { "  " } else { "  caused by " }, Style::Red, &raise.said);
            // Where it was raised is last in the list, and first for who reads.
            for frame in raise.frames.iter().rev() {
                let ours = frame.get("in_app").and_then(Value::as_bool).unwrap_or(true);
                push("    ", if ours { Style::Plain } else { Style::Dim }, &place(frame));
            }
            if raise.more > 0 {
                push("    ", Style::Dim, &format!("and {} more", count_of(raise.more as u64, "frame")));
            }
        }
    }

    fn push_headers(&self, lines: &mut Vec<String>, headers: &[(String, String)]) {
        if !headers.is_empty() {
            self.push_heading(lines, "Headers");
        }
        lines.extend(headers.iter().map(|(name, value)| {
            format!("  {} {}", self.paint.apply(Style::Dim, &harmless(&format!("{name}:"))), harmless(value))
        }));
    }

    fn push_body(&self, lines: &mut Vec<String>, body: &str) {
        if !body.is_empty() {
            self.push_heading(lines, "Body");
        }
        lines.extend(body.lines().map(|line| format!("  {}", harmless(line))));
    }

    fn push_steps(&self, lines: &mut Vec<String>, heading: &str, steps: &[Value]) {
        if !steps.is_empty() {
            self.push_heading(lines, heading);
        }
        for step in steps.iter().skip(steps.len().saturating_sub(STEPS_MAX)) {
            let style = level_style(event::Level::parse(text(step, "level")));
            let step = told::Step::of(step);
            lines.push(format!(
                "  {}  {}",
                self.paint.apply(Style::Dim, &harmless(&moment(&step.time, &self.zone))),
                self.paint.apply(style, &harmless(&step.parts().join("  ")))
            ));
        }
    }
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
            "state": "open", "decision": { "what": "opened again", "by": "alice", "why": "it is back", "at": "2026-01-02T03:00:05Z" }, "occurrences": 3, "users": 2, "users_are_exact": true, "first_seen": "2026-01-01T03:04:05Z",
            "last_seen": "2026-01-02T03:03:05Z", "releases": ["1.0", "1.1"], "environments": ["production"], "assignee": "alice",
            "suspect_deploy": "1.1", "deploy": { "release": "1.1", "time": "2026-01-01T03:00:00Z", "user": "bob" },
            "fingerprints": ["1-0123456789abcdef0123456789abcdef"] })
    }

    #[test]
    fn an_issue_and_what_led_to_it() {
        let frame = |name: &str, line: u32, ours: bool| json!({ "function": name, "file": "shop/views.py", "line": line, "in_app": ours });
        let occurrence = json!({ "timestamp": "2026-01-02T03:03:05Z", "id": "0001", "method": "POST", "url": "https://shop.example/checkout",
            "message": "the payment failed", "status": 500, "user": "carol", "session": "s7", "ip": "203.0.113.9", "service": "shop",
            "request": { "headers": { "Accept": "text/html" }, "data": "sku=1&count=2" }, "browser": "Firefox 128", "os": "Linux",
            "exception": { "type": "ZeroDivisionError", "message": "division by zero\nreally", "frames": [frame("main", 1, false), frame("checkout", 7, true)],
                "chain": [{ "type": "ZeroDivisionError", "message": "division by zero" }, { "type": "KeyError", "message": "'sku'", "frames": [{ "function": "price", "file": "shop/price.py", "line": 3 }] }] },
            "trail": [{ "timestamp": "2026-01-02T03:03:01Z", "event": "login", "message": "logged in\u{1b}[2J" },
                { "timestamp": "2026-01-02T03:03:02Z", "stream": "VIEW", "method": "GET", "path": "/cart", "status": 200 }],
            "breadcrumbs": [{ "timestamp": 1767322981.5, "category": "ui.click", "message": "button#pay" }] });
        insta::assert_snapshot!(check(&issue(), &occurrence), @r"
        6 ZeroDivisionError: division by zero
        error, open, 3 occurrences

          decided       opened again by alice: it is back, 2026-01-02 03:00 (4 min ago)
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
          message  the payment failed
          request  POST https://shop.example/checkout
          status   500
          user     carol
          session  s7
          address  203.0.113.9
          browser  Firefox 128
          system   Linux
          service  shop
          event    0001

        Exception
          ZeroDivisionError: division by zero
          really
            at checkout (shop/views.py:7)
            at main (shop/views.py:1)
          caused by KeyError: 'sku'
            at price (shop/price.py:3)

        Headers
          Accept: text/html

        Body
          sku=1&count=2

        What led to it
          2026-01-02 03:03:01.000  login  logged in\u{1b}[2J
          2026-01-02 03:03:02.000  VIEW  GET /cart 200

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
