//! Errors as trackers that speak the protocol of Sentry take them: an envelope with one event.

use engine::PassedError;
use engine::alerts::{Notice, notice_id};
use serde_json::{Map, Value, json};

use super::HttpMessage;

/// What we are called where the other side asks.
const CLIENT: &str = concat!("everlog/", env!("CARGO_PKG_VERSION"));

/// The languages of files, as the protocol names them.
const PLATFORMS: [(&str, &[&str]); 8] = [
    ("python", &["py"]),
    ("javascript", &["js", "mjs", "cjs", "ts", "tsx", "jsx"]),
    ("java", &["java", "kt"]),
    ("go", &["go"]),
    ("ruby", &["rb"]),
    ("php", &["php"]),
    ("csharp", &["cs"]),
    ("native", &["rs"]),
];

/// An envelope with an event, for whoever has the key.
pub(super) fn envelope(event: &Value, key: &str) -> HttpMessage {
    let payload = event.to_string();
    let head = json!({ "event_id": event["event_id"] });
    let item = json!({ "type": "event", "content_type": "application/json", "length": payload.len() });
    HttpMessage {
        body: format!("{head}\n{item}\n{payload}\n").into_bytes(),
        content_type: "application/x-sentry-envelope".to_owned(),
        headers: vec![(
            "X-Sentry-Auth".to_owned(),
            format!("Sentry sentry_version=7, sentry_client={CLIENT}, sentry_key={key}"),
        )],
    }
}

/// What a notice says, as an event: to try the channel.
pub(super) fn event_of_notice(notice: &Notice) -> Value {
    without_nulls(json!({
        "event_id": notice.id, "timestamp": notice.time.to_string(), "platform": "other", "level": "info",
        "logger": "everlog", "environment": notice.environment, "logentry": { "formatted": notice.headline() },
    }))
}

/// An occurrence as the engine shows it, with its trail, as an event of the protocol. What came from a client of it
/// goes on as it is kept.
pub(super) fn event_of(error: &PassedError, occurrence: &Value) -> Value {
    let document = &occurrence["event_document"];
    let id = event_id(error);
    if let Some(sent) = document["sentry"].as_object().filter(|sent| sent.contains_key("exception")) {
        let mut event = sent.clone();
        event.insert("event_id".to_owned(), id.into());
        return Value::Object(event);
    }
    let exception = &occurrence["exception"];
    without_nulls(json!({
        "event_id": id,
        "timestamp": occurrence["timestamp"],
        "platform": platform(&exception["frames"]),
        "level": level(&occurrence["level"]),
        "logger": occurrence["logger"],
        "release": occurrence["release"],
        "environment": occurrence["environment"],
        "server_name": occurrence["host"],
        "transaction": transaction(occurrence),
        "logentry": occurrence["message"].as_str().map(|message| json!({ "formatted": message })),
        "exception": { "values": exceptions(exception) },
        "request": request(occurrence),
        "user": occurrence["person"],
        "tags": tags(error, occurrence),
        "breadcrumbs": { "values": crumbs(&occurrence["breadcrumbs"]) },
        "contexts": contexts(occurrence),
        "extra": { "everlog": { "log": error.log, "id": error.id } },
    }))
}

/// The id as 32 hexadecimal digits: the same each time it is sent, so that the target keeps it once.
fn event_id(error: &PassedError) -> String {
    let digits: String = error.id.chars().filter(|letter| *letter != '-').collect();
    if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return digits.to_ascii_lowercase();
    }
    notice_id(&["event", &error.log, &error.id])
}

fn level(level: &Value) -> &'static str {
    match level.as_str() {
        Some("critical") => "fatal",
        Some("warning") => "warning",
        Some("info" | "notice") => "info",
        Some("debug" | "trace") => "debug",
        _ => "error",
    }
}

/// The language, by the last file that tells it.
fn platform(frames: &Value) -> &'static str {
    let files = frames.as_array().into_iter().flatten().rev().filter_map(|frame| frame["file"].as_str());
    let mut endings = files.filter_map(|file| file.rsplit_once('.')).map(|(_, ending)| ending);
    let known = |ending: &str| PLATFORMS.iter().find(|(_, endings)| endings.contains(&ending)).map(|(name, _)| *name);
    endings.find_map(known).unwrap_or("other")
}

fn transaction(occurrence: &Value) -> Value {
    let given = &occurrence["event_document"]["transaction"];
    if given.is_string() { given.clone() } else { occurrence["path"].clone() }
}

/// The chain of exceptions: the cause comes first, and what was raised last, with the frames.
fn exceptions(exception: &Value) -> Vec<Value> {
    let mut values: Vec<Value> = exception["chain"]
        .as_array()
        .into_iter()
        .flatten()
        .rev()
        .map(|one| json!({ "type": one["type"], "value": one["message"] }))
        .collect();
    if values.is_empty() {
        values.push(json!({ "type": exception["type"], "value": exception["message"] }));
    }
    let Some(raised) = values.last_mut() else { return values };
    let frames: Vec<Value> = exception["frames"].as_array().into_iter().flatten().map(frame).collect();
    if !frames.is_empty() {
        raised["stacktrace"] = json!({ "frames": frames });
    }
    if let Some(handled) = exception["handled"].as_bool() {
        raised["mechanism"] = json!({ "type": "generic", "handled": handled });
    }
    values
}

fn frame(frame: &Value) -> Value {
    without_nulls(json!({
        "function": frame["function"], "module": frame["module"], "filename": frame["file"], "lineno": frame["line"],
        "colno": frame["column"], "in_app": frame["in_app"],
    }))
}

fn request(occurrence: &Value) -> Value {
    let sent = &occurrence["request"];
    if sent.is_object() {
        return sent.clone();
    }
    let url = if occurrence["url"].is_string() { &occurrence["url"] } else { &occurrence["path"] };
    let mut headers = occurrence["event_document"]["headers"].as_object().cloned().unwrap_or_default();
    if let Some(agent) = occurrence["user_agent"].as_str() {
        headers.entry("User-Agent").or_insert_with(|| agent.into());
    }
    let headers = (!headers.is_empty()).then_some(headers);
    json!({ "url": url, "method": occurrence["method"], "headers": headers })
}

fn tags(error: &PassedError, occurrence: &Value) -> Value {
    let mut tags = json!({ "log": error.log });
    for key in ["service", "request_id", "browser", "os", "status"] {
        tags[key] = match &occurrence[key] {
            Value::Number(number) => number.to_string().into(),
            other => other.clone(),
        };
    }
    tags
}

/// The trace, where its ids are ones that the protocol knows.
fn contexts(occurrence: &Value) -> Value {
    let id = |key: &str, digits: usize| {
        let text = occurrence[key].as_str()?;
        (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_owned())
    };
    match (id("trace_id", 32), id("span_id", 16)) {
        (Some(trace), Some(span)) => json!({ "trace": { "trace_id": trace, "span_id": span } }),
        _ => Value::Null,
    }
}

fn crumbs(crumbs: &Value) -> Vec<Value> {
    let crumb = |crumb: &Value| {
        let data = match (&crumb["data"], &crumb["event"]) {
            (Value::Object(data), _) => Value::Object(data.clone()),
            (_, Value::String(event)) => json!({ "event": event }),
            _ => Value::Null,
        };
        let text = |key: &str| crumb[key].as_str().map(str::to_owned);
        let level = crumb["level"].as_str().map(|_| level(&crumb["level"]));
        without_nulls(json!({ "timestamp": crumb["timestamp"], "type": text("type"), "category": text("category"),
            "level": level, "message": text("message"), "data": data }))
    };
    crumbs.as_array().into_iter().flatten().map(crumb).collect()
}

/// Without what is not known: members that are null, or objects and lists without anything.
fn without_nulls(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let known = |value: &Value| match value {
        Value::Null => false,
        Value::Object(members) => !members.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    let members: Map<String, Value> =
        members.into_iter().map(|(key, value)| (key, without_nulls(value))).filter(|(_, value)| known(value)).collect();
    Value::Object(members)
}

#[cfg(test)]
mod tests;
