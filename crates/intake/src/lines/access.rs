//! Access lines of web servers: "common", "combined", what follows them, and the development servers' shorter forms.

use super::Format;
use super::clock::Clock;
use super::cursor::Cursor;
use super::event::Event;
use super::level;
use super::recognise::Found;
use std::borrow::Cow;
use std::net::IpAddr;

/// How many `[` are tried as the beginning of the time: a user's name can contain some.
const BRACKETS_TRIED_MAX: usize = 4;

/// `ip ident user [time] "request" status bytes "referer" "user agent" …`.
///
/// `escaped` says that the line was not UTF-8 and its backslashes are doubled.
pub(super) fn parse(text: &str, escaped: bool, clock: &Clock) -> Found {
    let mut from = 0;
    for _ in 0..BRACKETS_TRIED_MAX {
        let at = from + memchr::memchr(b'[', &text.as_bytes()[from..])?;
        let mut cursor = Cursor::new(&text[at..]);
        let time = cursor.bracketed().and_then(|inside| clock.access(inside));
        if let Some(timestamp) = time {
            let mut event = Event { timestamp: Some(timestamp), ..Event::default() };
            cursor.take(" ")?;
            let mut extra = Vec::new();
            answered(&mut event, &mut cursor, escaped)?;
            client(&mut event, text[..at].trim_end(), escaped, &mut extra);
            let further = further(cursor, escaped);
            let mut further = further.iter().map(|field| (field.quoted, field.text.as_ref()));
            let mut rest = further.clone();
            if let (Some((true, referer)), Some((true, user_agent))) = (rest.next(), rest.next()) {
                event.text_unless_missing("referer", referer);
                event.text_unless_missing("user_agent", user_agent);
                further = rest;
            }
            extra.extend(further.map(|(_, text)| text));
            event.texts("extra", &extra);
            return Some((Format::Access, event));
        }
        from = at + 1;
    }
    None
}

/// `127.0.0.1:54321 - "GET /a HTTP/1.1" 200 OK`, which uvicorn writes behind a level.
pub(super) fn behind_level(text: &str) -> Found {
    let mut cursor = Cursor::new(text);
    let client = cursor.until(" - ")?;
    let (ip, port) = client.rsplit_once(':')?;
    let mut event = Event::default();
    let request = quoted(&mut cursor, false)?;
    cursor.take(" ")?;
    let status = status(&mut cursor)?;
    describe(&mut event, request, false, status);
    address(&mut event, ip);
    if let Ok(port) = port.parse() {
        event.number("port", port);
    }
    Some((Format::Access, event))
}

/// Adds the fields of a request and its status.
fn describe(event: &mut Event, request_line: &str, escaped: bool, status: u64) {
    event.level = Some(level::from_status(status));
    event.text("event", "request");
    event.text("source", "access");
    request(event, request_line, escaped);
    event.number("status", status);
}

/// `"request" status bytes`.
fn answered(event: &mut Event, cursor: &mut Cursor<'_>, escaped: bool) -> Option<()> {
    let request = quoted(cursor, escaped)?;
    cursor.take(" ")?;
    let status = status(cursor)?;
    cursor.blanks();
    let bytes = cursor.number();
    if bytes.is_none() {
        let _ = cursor.take("-");
    }
    describe(event, request, escaped, status);
    if let Some(bytes) = bytes {
        event.number("bytes", bytes);
    }
    Some(())
}

fn status(cursor: &mut Cursor<'_>) -> Option<u64> {
    let mut after = *cursor;
    let status = after.number()?;
    if cursor.rest.len() - after.rest.len() != 3 || !(after.rest.is_empty() || after.rest.starts_with(' ')) {
        return None;
    }
    *cursor = after;
    Some(status)
}

/// What is before the time: `ip ident user`, also with `host:port` before it or with a list of addresses as the first.
fn client<'a>(event: &mut Event, head: &'a str, escaped: bool, extra: &mut Vec<&'a str>) {
    let mut head = head;
    if let Some((virtual_host, rest)) = head.split_once(' ')
        && let Some((host, port)) = virtual_host.rsplit_once(':')
        && let Ok(port) = port.parse()
        && rest.split(' ').next().is_some_and(is_address)
    {
        event.text("host", host);
        event.number("port", port);
        head = rest;
    }
    let mut addresses = 0;
    while let Some((before, after)) = head[addresses..].split_once(", ")
        && !before.contains(' ')
    {
        addresses = head.len() - after.len();
    }
    let end = head[addresses..].find(' ').map_or(head.len(), |length| addresses + length);
    let (list, rest) = head.split_at(end);
    let first = list.split(',').next().unwrap_or_default();
    if first.len() < list.len() {
        extra.push(list);
    }
    address(event, first);
    let (ident, user) = rest.trim_start().split_once(' ').unwrap_or_default();
    event.text_unless_missing("ident", ident);
    event.text_unless_missing("user", &field(user.trim(), escaped));
}

/// Adds who asked: `ip`, or `client` for a name or a socket.
pub(super) fn address(event: &mut Event, text: &str) {
    event.text_unless_missing(if is_address(text) { "ip" } else { "client" }, text);
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// Adds a request line in its parts, or whole and as it is written as `request` when it is none.
pub(super) fn request(event: &mut Event, line: &str, escaped: bool) {
    let Some((method, target, protocol)) = request_parts(line) else {
        event.text("request", line);
        return;
    };
    event.text("method", method);
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    event.text("path", &field(path, escaped));
    if let Some(query) = query {
        event.text("query", &field(query, escaped));
    }
    if let Some(protocol) = protocol {
        event.text("protocol", protocol);
    }
}

/// Longest method that is believed to be one. The longest registered, UPDATEREDIRECTREF, has 17 letters.
const METHOD_BYTES_MAX: usize = 20;

fn request_parts(line: &str) -> Option<(&str, &str, Option<&str>)> {
    let (method, rest) = line.split_once(' ')?;
    let is_method = (1..=METHOD_BYTES_MAX).contains(&method.len())
        && method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
    if !is_method {
        return None;
    }
    match rest.rsplit_once(' ') {
        Some((target, protocol)) if protocol.starts_with("HTTP/") && !target.is_empty() => {
            Some((method, target, Some(protocol)))
        }
        _ if rest.starts_with('/') && !rest.contains(' ') => Some((method, rest, None)),
        _ => None,
    }
}

/// A field after status and size.
struct Further<'a> {
    text: Cow<'a, str>,
    quoted: bool,
}

fn further(mut cursor: Cursor<'_>, escaped: bool) -> Vec<Further<'_>> {
    let mut fields = Vec::new();
    loop {
        cursor.blanks();
        if cursor.rest.is_empty() {
            return fields;
        }
        let field = match quoted(&mut cursor, escaped) {
            Some(raw) => Further { text: field(raw, escaped), quoted: true },
            None => Further { text: Cow::Borrowed(cursor.word()), quoted: false },
        };
        fields.push(field);
    }
}

/// Reads `"…"`, and returns the inside as it is written. A `"` with a backslash before it does not end it.
fn quoted<'a>(cursor: &mut Cursor<'a>, escaped: bool) -> Option<&'a str> {
    let inside = cursor.rest.strip_prefix('"')?;
    let bytes = inside.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            let (field, after) = inside.split_at(at);
            cursor.rest = &after[1..];
            return Some(field);
        }
        at += escape_length(&bytes[at..], escaped);
    }
}

/// How many bytes a backslash and what it protects take.
fn escape_length(bytes: &[u8], escaped: bool) -> usize {
    match (escaped, bytes.get(1), bytes.get(2)) {
        (false, ..) => 2,
        // Two backslashes are one, which protects what follows: one character, or an escaped backslash or byte.
        (true, Some(b'\\'), Some(b'\\')) => {
            if bytes.get(3) == Some(&b'\\') {
                4
            } else {
                6
            }
        }
        (true, Some(b'\\'), _) => 3,
        (true, ..) => 4,
    }
}

/// What a field says. In a line that was not UTF-8 the escapes are ours, and stay.
fn field(raw: &str, escaped: bool) -> Cow<'_, str> {
    if escaped { Cow::Borrowed(raw) } else { unescape(raw) }
}

/// Undoes nginx's `\xNN` and Apache's `\"` and `\t`. A field whose bytes are not UTF-8 stays as it is written.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        rest = unescape_one(escape, &mut bytes);
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_or(Cow::Borrowed(raw), Cow::Owned)
}

fn unescape_one<'a>(escape: &'a str, bytes: &mut Vec<u8>) -> &'a str {
    let coded = escape.strip_prefix('x').and_then(|code| code.get(..2));
    if let Some(byte) = coded.filter(|code| !code.starts_with('+')).and_then(|code| u8::from_str_radix(code, 16).ok()) {
        bytes.push(byte);
        return &escape[3..];
    }
    let plain = match escape.as_bytes().first() {
        Some(b'"') => b'"',
        Some(b'\\') => b'\\',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        _ => {
            bytes.push(b'\\');
            return escape;
        }
    };
    bytes.push(plain);
    &escape[1..]
}
