//! What is told of an issue and of an occurrence, wherever people read it: on the command line, on a page, in a report.
//! Each part has its bounds here.

use std::fmt::Write as _;

use event::Timestamp;
use serde_json::Value;

/// Headers, lines of a body, and causes that are shown.
const HEADERS_MAX: usize = 40;
const BODY_LINES_MAX: usize = 60;
const CAUSES_MAX: usize = 10;

/// Longest body and longest message of an exception, in characters.
const BODY_CHARACTERS_MAX: usize = 4000;
const MESSAGE_CHARACTERS_MAX: usize = 4000;

/// Longest other value, in characters.
const VALUE_CHARACTERS_MAX: usize = 2000;

/// How a decision begins that holds until a moment.
pub(super) const UNTIL: &str = "ignored until ";

/// The words for a moment, which are others in a terminal.
pub type Moment<'m> = &'m dyn Fn(&str) -> String;

pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// The beginning of a text, with a mark where the rest is missing.
fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A value in one line: a text as it is, the parts of a list with commas.
pub(super) fn plain(value: &Value) -> String {
    let whole = match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(parts) => parts.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    cut(&whole, VALUE_CHARACTERS_MAX)
}

fn rows(value: &Value, names: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let rows = names.iter().map(|(label, key)| (*label, plain(&value[*key])));
    rows.filter(|(_, value)| !value.is_empty()).collect()
}

/// Its state, with what was said of it: `resolved in 3.0`, `ignored until …`.
#[must_use]
pub fn standing(issue: &Value, moment: Moment<'_>) -> String {
    let state = text(issue, "state");
    let (resolution, ignore) = (&issue["resolution"], &issue["ignore"]);
    let more = match (text(resolution, "kind"), text(ignore, "kind")) {
        ("in_release", _) => format!(" in {}", text(resolution, "release")),
        ("next_release", _) => " in the next release".to_owned(),
        (_, "for_ever") => " for ever".to_owned(),
        (_, "upto") => {
            let most = ignore["occurrences"].as_u64().unwrap_or(0);
            format!(" up to {most} occurrence{}", if most == 1 { "" } else { "s" })
        }
        (_, "until") => format!(" until {}", moment(text(ignore, "time"))),
        _ => String::new(),
    };
    format!("{state}{more}")
}

/// What was decided last: `resolved by alice: out of petrol`; empty when nothing was.
#[must_use]
pub fn decision(issue: &Value, moment: Moment<'_>) -> String {
    let decision = &issue["decision"];
    let (what, by, why) = (text(decision, "what"), text(decision, "by"), text(decision, "why"));
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let what = match what.strip_prefix(UNTIL) {
        Some(rest) => {
            let (time, more) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
            format!("{UNTIL}{}{more}", moment(time))
        }
        None => what.to_owned(),
    };
    if what.is_empty() { String::new() } else { format!("{what} by {by}{why}") }
}

/// What is shown of an issue, in a report and on a page: labels and values, without those that it does not have.
#[must_use]
pub fn issue_rows(issue: &Value) -> Vec<(&'static str, String)> {
    const ROWS: [(&str, &str); 12] = [
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
    let state = standing(issue, &str::to_owned);
    let first = [("State", state), ("Decided", decision(issue, &str::to_owned))]
        .into_iter()
        .filter(|(_, value)| !value.is_empty());
    first.chain(rows(issue, &ROWS)).collect()
}

/// The same of an occurrence, everywhere.
#[must_use]
pub fn occurrence_rows(occurrence: &Value) -> Vec<(&'static str, String)> {
    const ROWS: [(&str, &str); 13] = [
        ("Status", "status"),
        ("User", "user"),
        ("Session", "session"),
        ("Address", "ip"),
        ("Browser", "browser"),
        ("System", "os"),
        ("Release", "release"),
        ("Environment", "environment"),
        ("Service", "service"),
        ("Host", "host"),
        ("Request id", "request_id"),
        ("Trace id", "trace_id"),
        ("Event", "id"),
    ];
    let said = own_message(occurrence).map(|said| ("Message", cut(said, VALUE_CHARACTERS_MAX)));
    let place = [text(occurrence, "url"), text(occurrence, "path")].into_iter().find(|place| !place.is_empty());
    let request = format!("{} {}", text(occurrence, "method"), place.unwrap_or("")).trim().to_owned();
    let request = (!request.is_empty()).then(|| ("Request", cut(&request, VALUE_CHARACTERS_MAX)));
    said.into_iter().chain(request).chain(rows(occurrence, &ROWS)).collect()
}

/// What the event says beside its exception.
fn own_message(occurrence: &Value) -> Option<&str> {
    let said = text(occurrence, "message").trim();
    let exception = &occurrence["exception"];
    let raised = [text(exception, "message").trim().to_owned(), named(exception)];
    (!said.is_empty() && !raised.iter().any(|raised| raised == said)).then_some(said)
}

/// `KeyError: 'sku'`.
fn named(exception: &Value) -> String {
    match (text(exception, "type"), text(exception, "message").trim()) {
        ("", message) => message.to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    }
}

/// An exception or one of its causes, with as many frames as are shown.
#[derive(Clone, Debug)]
pub struct Raise<'v> {
    /// Type and message.
    pub said: String,
    /// The frames next to where it was raised, which is last.
    pub frames: &'v [Value],
    /// Frames before them.
    pub more: usize,
}

/// An exception and its causes, the one that was not caught first, each with at most so many frames.
#[must_use]
pub fn raised(exception: &Value, frames_max: usize) -> Vec<Raise<'_>> {
    let mut all = Vec::new();
    // The first of the chain is the exception itself.
    let causes = exception["chain"].as_array().into_iter().flatten().skip(1).take(CAUSES_MAX);
    for value in std::iter::once(exception).chain(causes) {
        let frames = value["frames"].as_array().map(Vec::as_slice).unwrap_or_default();
        let more = frames.len().saturating_sub(frames_max);
        all.push(Raise { said: cut(&named(value), MESSAGE_CHARACTERS_MAX), frames: &frames[more..], more });
    }
    all.retain(|raise| !raise.said.is_empty() || !raise.frames.is_empty());
    all
}

/// The same as lines; nothing when there is no exception.
#[must_use]
pub fn exception_text(exception: &Value, frames_max: usize) -> String {
    let mut out = String::new();
    for (number, raise) in raised(exception, frames_max).iter().enumerate() {
        let written = writeln!(out, "{}{}", if number == 0 { "" } else { "caused by " }, raise.said);
        debug_assert!(written.is_ok(), "writing into memory cannot fail");
        if raise.more > 0 {
            let written = writeln!(out, "  ({} frames before)", raise.more);
            debug_assert!(written.is_ok(), "writing into memory cannot fail");
        }
        for frame in raise.frames {
            let place = [text(frame, "file"), text(frame, "module")].into_iter().find(|place| !place.is_empty());
            let line = frame.get("line").filter(|line| line.is_number()).map(|line| format!(":{line}"));
            let written = writeln!(
                out,
                "  at {} ({}{})",
                cut(text(frame, "function"), VALUE_CHARACTERS_MAX),
                cut(place.unwrap_or("?"), VALUE_CHARACTERS_MAX),
                line.unwrap_or_default()
            );
            debug_assert!(written.is_ok(), "writing into memory cannot fail");
        }
    }
    out
}

/// The headers that came with the request: clients send an object, or a list of pairs.
#[must_use]
pub fn header_rows(occurrence: &Value) -> Vec<(String, String)> {
    let rows: Vec<(String, String)> = match &occurrence["request"]["headers"] {
        Value::Object(headers) => {
            headers.iter().take(HEADERS_MAX).map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        Value::Array(pairs) => {
            let pairs = pairs.iter().filter_map(|pair| Some((plain(pair.get(0)?), plain(pair.get(1)?))));
            pairs.take(HEADERS_MAX).collect()
        }
        _ => Vec::new(),
    };
    rows.into_iter().filter(|(name, _)| !name.is_empty()).collect()
}

/// The body of the request: a text as it is, else JSON.
#[must_use]
pub fn body_text(occurrence: &Value) -> Option<String> {
    let request = &occurrence["request"];
    let is_something = |value: &&Value| match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Array(parts) => !parts.is_empty(),
        _ => true,
    };
    let body = ["data", "body", "POST"].into_iter().find_map(|key| request.get(key).filter(is_something))?;
    let whole = match body {
        Value::String(text) => text.trim_end().to_owned(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    let lines: Vec<&str> = whole.lines().take(BODY_LINES_MAX + 1).collect();
    let shown = lines[..lines.len().min(BODY_LINES_MAX)].join("\n");
    let shown = cut(&shown, BODY_CHARACTERS_MAX);
    Some(if lines.len() > BODY_LINES_MAX && !shown.ends_with('…') { format!("{shown}\n…") } else { shown })
}

/// The breadcrumbs that the client sent; none where the trail stands in for them.
#[must_use]
pub fn client_crumbs(occurrence: &Value) -> &[Value] {
    let list = |key: &str| occurrence.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (crumbs, trail) = (list("breadcrumbs"), list("trail"));
    let is_of_trail = crumbs.len() == trail.len()
        && crumbs.iter().zip(trail).all(|(crumb, step)| !step["id"].is_null() && crumb["event"] == step["id"]);
    if is_of_trail { &[] } else { crumbs }
}

/// A step of a trail, or a breadcrumb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, as far as that can be read.
    pub time: String,
    /// What it is called.
    pub name: String,
    /// What it says.
    pub message: String,
    /// Method, address and status of its request.
    pub request: String,
}

impl Step {
    /// Reads one of ours, of Sentry's clients or of Rollbar's.
    #[must_use]
    pub fn of(step: &Value) -> Self {
        let first = |keys: &[&str], places: &[&Value]| {
            let mut found = places.iter().flat_map(|place| keys.iter().map(|key| plain(&place[*key])));
            found.find(|text| !text.is_empty()).unwrap_or_default()
        };
        let (data, body) = (&step["data"], &step["body"]);
        let address = first(&["url", "path"], &[step, data, body]);
        let method = first(&["method"], &[step, data, body]);
        let status = first(&["status", "status_code"], &[step, data, body]);
        let parts = [method, address.clone(), status];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let time = step.get("timestamp").or_else(|| step.get("timestamp_ms"));
        Self {
            time: time.map(|time| time_of(time, step.get("timestamp").is_none())).unwrap_or_default(),
            name: first(&["event", "category", "stream", "type"], &[step]),
            message: first(&["message"], &[step, body]),
            request: if address.is_empty() { String::new() } else { parts.join(" ") },
        }
    }

    /// All of it but the time.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        [&self.name, &self.message, &self.request]
            .into_iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect()
    }
}

/// Clients also write seconds since 1970, and thousandths of them.
fn time_of(time: &Value, is_millis: bool) -> String {
    let Some(number) = time.as_f64() else { return plain(time) };
    let micros = number * if is_millis { 1e3 } else { 1e6 };
    #[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest number of microseconds there is")]
    let micros = micros as i64;
    Timestamp::from_micros(micros).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_and_bodies_have_bounds() {
        let pairs: Vec<Value> = (0..90).map(|number| json!([format!("X-{number}"), "y".repeat(5000)])).collect();
        let shown = header_rows(&json!({ "request": { "headers": pairs } }));
        assert_eq!((shown.len(), shown[0].1.chars().count()), (HEADERS_MAX, VALUE_CHARACTERS_MAX + 1));
        let shown = header_rows(&json!({ "request": { "headers": { "Accept": "a/b", "Via": ["x", "y"] } } }));
        assert_eq!(shown, [("Accept".to_owned(), "a/b".to_owned()), ("Via".to_owned(), "x, y".to_owned())]);
        let body = |body: Value| body_text(&json!({ "request": { "data": body } }));
        assert_eq!(body(json!({ "sku": 1 })).as_deref(), Some("{\n  \"sku\": 1\n}"));
        assert_eq!(body(json!("a=b\n")).as_deref(), Some("a=b"));
        assert_eq!((body(json!({})), body(json!("")), body_text(&json!({}))), (None, None, None));
        assert!(body(json!("é".repeat(9000))).is_some_and(|body| body.chars().count() == BODY_CHARACTERS_MAX + 1));
        assert!(
            body(json!("x\n".repeat(900))).is_some_and(|body| body.ends_with("x\n…") && body.lines().count() == 61)
        );
    }

    #[test]
    fn what_an_event_says_beside_its_exception() {
        for (message, said) in
            [("no money", None), ("E: no money", None), ("the payment failed", Some("the payment failed"))]
        {
            let occurrence = json!({ "message": message, "exception": { "type": "E", "message": "no money" } });
            assert_eq!(own_message(&occurrence), said);
        }
        assert_eq!(own_message(&json!({ "message": "no money" })), Some("no money"));
    }

    #[test]
    fn what_was_decided() {
        let said = |what: &str, why: &str| {
            let issue = json!({ "decision": { "what": what, "by": "alice", "why": why, "at": "t" } });
            decision(&issue, &|time| format!("<{time}>"))
        };
        assert_eq!(said("resolved", "out of petrol"), "resolved by alice: out of petrol");
        assert_eq!(said("ignored until T, assigned to bob", ""), "ignored until <T>, assigned to bob by alice");
        assert_eq!((said("", ""), decision(&json!({}), &str::to_owned)), (String::new(), String::new()));
    }

    #[test]
    fn steps_of_each_client() {
        let step = |step: Value| {
            let step = Step::of(&step);
            format!("{} {}", step.time, step.parts().join(" · "))
        };
        let ours = json!({ "timestamp": "t", "event": "login", "method": "GET", "path": "/x", "status": 200 });
        assert_eq!(step(ours), "t login · GET /x 200");
        let sentry = json!({ "timestamp": 1_767_322_981.5, "category": "http", "data": { "method": "GET", "url": "/x", "status_code": 404 } });
        assert_eq!(step(sentry), "2026-01-02T03:03:01.500000Z http · GET /x 404");
        let rollbar = json!({ "timestamp_ms": 1_767_322_981_500_u64, "type": "log", "body": { "message": "paid" } });
        assert_eq!(step(rollbar), "2026-01-02T03:03:01.500000Z log · paid");
    }

    #[test]
    fn the_trail_is_not_told_twice() {
        let trail = json!([{ "id": "1", "event": "login" }]);
        let told = |crumbs: Value| client_crumbs(&json!({ "trail": trail, "breadcrumbs": crumbs })).len();
        assert_eq!((told(json!([{ "event": "1" }])), told(json!([{ "event": "click" }])), told(json!([]))), (0, 1, 0));
    }
}
