//! The error logs of nginx and Apache.

use super::Format;
use super::access::{address, request};
use super::clock::Clock;
use super::cursor::Cursor;
use super::event::Event;
use super::level;
use super::recognise::Found;
use jiff::Timestamp;

/// What nginx writes behind the message, and under which key it is kept.
const NGINX_FIELDS: [(&str, &str); 9] = [
    ("client", "ip"),
    ("server", "server"),
    ("request", "request"),
    ("subrequest", "subrequest"),
    ("upstream", "upstream"),
    ("host", "host"),
    ("referrer", "referer"),
    ("login", "login"),
    ("session", "session"),
];

/// How many places are tried as the beginning of these fields: a message can contain a path that looks like them.
const NGINX_BEGINNINGS_MAX: usize = 4;

/// `[error] 123#124: *1 message, client: 1.2.3.4, server: x, request: "GET / HTTP/1.1", host: "x"`, after the time.
pub(super) fn nginx(timestamp: Timestamp, mut cursor: Cursor<'_>) -> Found {
    let level = level::from_name(cursor.bracketed()?)?;
    cursor.take(" ")?;
    let pid = cursor.number()?;
    cursor.take("#")?;
    let thread = cursor.number()?;
    cursor.take(": ")?;
    let mut after = cursor;
    let connection = after.take("*").and_then(|()| after.number()).filter(|_| after.take(" ").is_some());
    if connection.is_some() {
        cursor = after;
    }
    let (message, fields) = nginx_fields(cursor.rest);
    let mut event = Event { timestamp: Some(timestamp), level: Some(level), ..Event::with_message(message) };
    event.text("source", "nginx");
    event.number("pid", pid);
    event.number("thread", thread);
    if let Some(connection) = connection {
        event.number("connection", connection);
    }
    for (key, value) in fields {
        match key {
            "ip" => address(&mut event, value),
            // The error log escapes nothing.
            "request" => request(&mut event, value, true),
            key => event.text(key, value),
        }
    }
    Some((Format::NginxError, event))
}

/// The message, and the fields behind it.
fn nginx_fields(text: &str) -> (&str, Vec<(&'static str, &str)>) {
    let beginnings = text.match_indices(", client: ").take(NGINX_BEGINNINGS_MAX);
    let found = beginnings.filter_map(|(at, _)| nginx_field_list(&text[at..]).map(|fields| (&text[..at], fields)));
    let mut found = found;
    found.next().unwrap_or((text, Vec::new()))
}

fn nginx_field_list(text: &str) -> Option<Vec<(&'static str, &str)>> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    let mut cursor = Cursor::new(text);
    while !cursor.rest.is_empty() {
        cursor.take(", ")?;
        let name = cursor.until(": ")?;
        let (_, key) = *NGINX_FIELDS.iter().find(|(known, _)| *known == name)?;
        if fields.iter().any(|(seen, _)| *seen == key) {
            return None;
        }
        fields.push((key, nginx_value(&mut cursor)?));
    }
    Some(fields)
}

/// A bare value without blanks, or a quoted one. Quotes inside are not escaped, so only `", ` or the end ends it; nginx
/// cuts its lines at 2048 bytes, so that the closing quote may be missing.
fn nginx_value<'a>(cursor: &mut Cursor<'a>) -> Option<&'a str> {
    let Some(inside) = cursor.rest.strip_prefix('"') else {
        let end = cursor.rest.find(", ").unwrap_or(cursor.rest.len());
        let (value, after) = cursor.rest.split_at(end);
        cursor.rest = after;
        return (!value.contains(' ')).then_some(value);
    };
    let end = inside.find("\", ").unwrap_or_else(|| inside.strip_suffix('"').unwrap_or(inside).len());
    let (value, after) = inside.split_at(end);
    cursor.rest = after.strip_prefix('"').unwrap_or(after);
    Some(value)
}

/// `[Fri Nov 20 15:59:36.123456 2026] [core:error] [pid 1:tid 2] [client 1.2.3.4:55] message`.
pub(super) fn apache(text: &str, clock: &Clock) -> Found {
    let mut cursor = Cursor::new(text);
    let timestamp = clock.asctime(cursor.bracketed()?)?;
    cursor.take(" ")?;
    let category = cursor.bracketed()?;
    let (module, level) = category.rsplit_once(':').unwrap_or(("", category));
    let mut event = Event { timestamp: Some(timestamp), level: Some(level::from_name(level)?), ..Event::default() };
    event.text("source", "apache");
    event.text_unless_missing("logger", module);
    cursor.blanks();
    apache_process(&mut event, &mut cursor);
    cursor.blanks();
    apache_client(&mut event, &mut cursor);
    cursor.blanks();
    let (message, referer) = cursor.rest.rsplit_once(", referer: ").unwrap_or((cursor.rest, ""));
    event.message = Some(message.to_owned());
    event.text_unless_missing("referer", referer);
    Some((Format::ApacheError, event))
}

fn apache_process(event: &mut Event, cursor: &mut Cursor<'_>) {
    let mut after = *cursor;
    let Some(process) = after.bracketed().and_then(|inside| inside.strip_prefix("pid ")) else { return };
    let (pid, thread) = process.split_once(":tid ").unwrap_or((process, ""));
    let Ok(pid) = pid.parse() else { return };
    event.number("pid", pid);
    match thread.parse() {
        Ok(thread) => event.number("thread", thread),
        Err(_) => event.text_unless_missing("thread", thread),
    }
    *cursor = after;
}

fn apache_client(event: &mut Event, cursor: &mut Cursor<'_>) {
    let mut after = *cursor;
    let Some(inside) = after.bracketed() else { return };
    let Some(client) = inside.strip_prefix("client ").or_else(|| inside.strip_prefix("remote ")) else { return };
    // Before Apache 2.4 there was no port, and an IPv6 address has colons of its own.
    let with_port = client.rsplit_once(':').filter(|(ip, _)| ip.parse::<std::net::IpAddr>().is_ok());
    match with_port.and_then(|(ip, port)| Some((ip, port.parse().ok()?))) {
        Some((ip, port)) => {
            event.text("ip", ip);
            event.number("port", port);
        }
        None => address(event, client),
    }
    *cursor = after;
}
