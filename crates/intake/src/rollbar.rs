//! Rollbar's items and deploys.
//!
//! An item becomes one event: the shared keys are filled from what Rollbar calls them, and its `data` stands under
//! `rollbar` as it was sent, without the token beside it.

use std::borrow::Cow;

use event::limits::DEPTH_MAX;
use event::{Timestamp, Value, format_uuid};

use crate::decode::{Decoded, Decoder, Door, Limits, Reason, escape_bytes, is_too_deep, not_an_object};
use crate::raw::{Shared, elements, member, moment, number, pick, quoted, text};
use crate::sentry::{derived, headers_of, link, plain, push_object, uuid};

/// Exceptions of one item that stand in `exception.chain`.
const CHAIN_MAX: usize = 100;

/// What a request held.
#[derive(Debug)]
pub struct Item {
    /// Its event.
    pub decoded: Decoded,
    /// Its id as Rollbar answers it, without hyphens.
    pub uuid: Option<String>,
}

/// The document in a body: the body, or the field `payload` of a form.
#[must_use]
pub fn document(body: &[u8]) -> Cow<'_, [u8]> {
    let start = body.trim_ascii_start();
    if start.starts_with(b"payload=") || (!start.starts_with(b"{") && start.contains(&b'=')) {
        let found = form_urlencoded::parse(start).find(|(name, _)| name == "payload");
        if let Some((_, payload)) = found {
            return Cow::Owned(payload.into_owned().into_bytes());
        }
    }
    Cow::Borrowed(body)
}

/// The `access_token` in a document.
#[must_use]
pub fn token(document: &[u8]) -> Option<String> {
    let document = std::str::from_utf8(document).ok()?.trim();
    text(member(Some(document), "access_token")).map(Cow::into_owned)
}

/// Reads an item.
#[must_use]
pub fn item(document: &[u8], limits: Limits, received: Timestamp) -> Item {
    let mut decoder = Decoder::new(Door::Native, limits, received);
    let escaped;
    let document = match std::str::from_utf8(document) {
        Ok(document) => document.trim(),
        Err(_) => {
            decoder.escaped = true;
            escaped = escape_bytes(document);
            escaped.trim()
        }
    };
    let mut id = None;
    // Older clients send what is in `data` alone.
    let data = member(Some(document), "data").unwrap_or(document);
    if !data.starts_with('{') {
        decoder.refuse(not_an_object(data));
    } else if is_too_deep(data, DEPTH_MAX - 1) {
        decoder.refuse(Reason::TooDeep);
    } else {
        id = text(member(Some(data), "uuid")).as_deref().and_then(uuid);
        add(&mut decoder, id, &shared(data), data);
    }
    Item { decoded: decoder.finish(), uuid: id.map(|id| plain(&id)) }
}

fn add(decoder: &mut Decoder, id: Option<[u8; 16]>, keys: &Shared<'_>, data: &str) {
    decoder.shaped(data.len(), |event| {
        event.value("id", id.map_or(Value::Null, Value::Uuid));
        keys.fill(event)?;
        event.json("rollbar", data)
    });
}

fn shared(data: &str) -> Shared<'_> {
    let mut keys = Shared::default();
    let [timestamp, level, environment, version, context, title, body] =
        pick(Some(data), ["timestamp", "level", "environment", "code_version", "context", "title", "body"]);
    let [person, request, server, custom] = pick(Some(data), ["person", "request", "server", "custom"]);
    keys.moment(moment(timestamp));
    keys.level(text(level));
    keys.text("level", Some("error".into()));
    self::body(&mut keys, body);
    keys.text("message", text(title));
    keys.text("environment", text(environment));
    keys.text("release", text(version).or_else(|| text(member(server, "code_version"))));
    keys.text("host", text(member(server, "host")));
    let [id, username, email] = pick(person, ["id", "username", "email"]);
    for name in [id, username, email] {
        keys.text("user", text(name));
    }
    let [url, method, headers, ip] = pick(request, ["url", "method", "headers", "user_ip"]);
    keys.url(text(url));
    keys.text("method", text(method));
    headers_of(&mut keys, headers);
    keys.text("ip", text(ip).filter(|ip| !ip.starts_with('$')));
    let [request_id, trace_id, span_id] = pick(custom, ["request_id", "trace_id", "span_id"]);
    keys.text("request_id", text(request_id));
    keys.hex("trace_id", text(trace_id));
    keys.hex("span_id", text(span_id));
    keys.text("logger", text(member(member(member(body, "message"), "record"), "name")));
    // The name of the route, which every client calls another thing.
    keys.text("source", text(context));
    keys
}

/// The body is one of four: traces with the most recent first, one trace, a message, a report as text.
fn body<'a>(keys: &mut Shared<'a>, body: Option<&'a str>) {
    let [chain, trace, message, crash] = pick(body, ["trace_chain", "trace", "message", "crash_report"]);
    let traces: Vec<&str> = elements(chain).chain(trace).collect();
    if let Some(raised) = traces.first() {
        exception(keys, raised);
        let mut list = String::from("[");
        for one in traces.iter().take(CHAIN_MAX) {
            let [class, message] = pick(member(Some(one), "exception"), ["class", "message"]);
            link(&mut list, text(class).as_deref(), text(message).as_deref());
        }
        list.push(']');
        keys.list("exception.chain", list);
        return;
    }
    if let Some(report) = text(member(crash, "raw")) {
        let line = report.lines().find(|line| !line.trim().is_empty()).unwrap_or("").trim().to_owned();
        let said =
            crate::exception::type_and_message(&report).map(|(kind, message)| (kind.to_owned(), message.to_owned()));
        if let Some((kind, message)) = said {
            keys.text("exception.type", Some(Cow::Owned(kind)));
            keys.text("exception.message", Some(Cow::Owned(message)));
        }
        keys.text("event", Some("exception".into()));
        keys.text("message", Some(Cow::Owned(line)));
        return;
    }
    keys.text("event", Some("message".into()));
    keys.text("message", text(member(message, "body")).or_else(|| text(message)));
}

fn exception<'a>(keys: &mut Shared<'a>, trace: &'a str) {
    let [exception, frames] = pick(Some(trace), ["exception", "frames"]);
    let [class, message, description] = pick(exception, ["class", "message", "description"]);
    let (class, message) = (text(class), text(message));
    let line = match (&class, &message) {
        (Some(class), Some(message)) => format!("{class}: {message}"),
        (one, other) => one.as_deref().or(other.as_deref()).unwrap_or("").to_owned(),
    };
    keys.text("event", Some("exception".into()));
    keys.text("message", text(description).filter(|said| said.contains(line.as_str())).or(Some(Cow::Owned(line))));
    keys.text("exception.type", class);
    keys.text("exception.message", message);
    if let Some(frames) = self::frames(frames) {
        keys.list("exception.frames", frames);
    }
}

/// The frames in our names, in the order they came: where it was raised is last.
fn frames(frames: Option<&str>) -> Option<String> {
    let mut out = String::from("[");
    for frame in elements(frames) {
        let [method, class, file, line, column, code] =
            pick(Some(frame), ["method", "class_name", "filename", "lineno", "colno", "code"]);
        let of = |raw: Option<&'_ str>| raw.filter(|raw| raw.starts_with('"')).map(str::to_owned);
        let at = |raw: Option<&'_ str>| raw.filter(|raw| number(Some(raw)).is_some()).map(str::to_owned);
        let named = [of(method), of(class), of(file), at(line), at(column), of(code)];
        let names = ["function", "module", "file", "line", "column", "code"];
        let members: Vec<(&str, Option<&str>)> = names.into_iter().zip(named.iter().map(Option::as_deref)).collect();
        push_object(&mut out, &members);
    }
    out.push(']');
    (out.len() > 2).then_some(out)
}

/// The fields of a deploy, from a form or from JSON.
#[must_use]
pub fn deploy_fields(body: &[u8]) -> Vec<(String, String)> {
    let trimmed = body.trim_ascii();
    if trimmed.starts_with(b"{") {
        let mut fields = Vec::new();
        let document = std::str::from_utf8(trimmed).ok();
        crate::raw::members(document, |key, raw| {
            if let Some(value) = text(Some(raw)) {
                fields.push((key.to_owned(), value.into_owned()));
            }
        });
        return fields;
    }
    form_urlencoded::parse(trimmed).into_owned().collect()
}

/// A deploy as an event.
#[must_use]
pub fn deploy(fields: &[(String, String)], limits: Limits, received: Timestamp) -> Item {
    let mut decoder = Decoder::new(Door::Native, limits, received);
    let field = |name: &str| {
        fields.iter().rev().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    };
    let mut keys = Shared::default();
    let mut set = |path, value: Option<&str>| keys.text(path, value.map(|value| Cow::Owned(value.to_owned())));
    set("event", Some("deploy"));
    set("release", field("revision"));
    set("environment", field("environment"));
    set("user", field("rollbar_username").or_else(|| field("local_username")));
    let line = [field("revision"), field("environment"), field("comment")];
    let line = line.into_iter().flatten().collect::<Vec<_>>().join(" ");
    set("message", Some(&line));
    set("level", Some(if field("status") == Some("failed") { "error" } else { "info" }));
    let kept: Vec<String> = fields
        .iter()
        .filter(|(name, _)| name != "access_token")
        .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
        .collect();
    let data = format!("{{{}}}", kept.join(","));
    let id = derived(&[b"deploy", data.as_bytes(), &received.as_micros().to_le_bytes()]);
    if field("revision").is_some() {
        add(&mut decoder, Some(id), &keys, &data);
    } else {
        decoder.refuse(Reason::WrongValue {
            key: "revision",
            expected: "what was deployed: a version or a commit",
            found: "nothing".to_owned(),
        });
    }
    Item { decoded: decoder.finish(), uuid: Some(format_uuid(&id)) }
}
