//! Values of any type, and the attributes that have a shared key of their own.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use event::Value;
use event::limits::DEPTH_MAX;

use super::Broken;
use super::wire::{Fields, Wire, text};
use crate::decode::Reason;
use crate::normalise::Kept;
use crate::shaped::Shaped;

/// An `AnyValue`, its parts where they lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Any<'a> {
    /// No value at all.
    Null,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// The message `ArrayValue`.
    Array(&'a [u8]),
    /// The message `KeyValueList`.
    List(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> Any<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Broken> {
        let mut any = Self::Null;
        for field in Fields::of(message) {
            any = match field? {
                (1, Wire::Bytes(bytes)) => Self::Text(bytes),
                (2, Wire::Varint(value)) => Self::Bool(value != 0),
                (3, Wire::Varint(value)) => Self::Int(value.cast_signed()),
                (4, Wire::Fixed64(bits)) => Self::Double(f64::from_bits(bits)),
                (5, Wire::Bytes(message)) => Self::Array(message),
                (6, Wire::Bytes(message)) => Self::List(message),
                (7, Wire::Bytes(bytes)) => Self::Bytes(bytes),
                _ => continue,
            };
        }
        Ok(any)
    }

    /// The value as it is kept, if it is a scalar.
    pub(super) fn kept(self) -> Option<Kept<'a>> {
        Some(match self {
            Self::Null => Kept::Value(Value::Null),
            Self::Text(bytes) => match text(bytes) {
                std::borrow::Cow::Borrowed(text) => Kept::Value(Value::text(text)),
                std::borrow::Cow::Owned(text) => Kept::Text(text),
            },
            Self::Bool(value) => Kept::Value(Value::Bool(value)),
            Self::Int(value) => Kept::Value(Value::Int(value)),
            Self::Double(value) if value.is_finite() => Kept::Value(Value::Float(value)),
            Self::Double(value) => Kept::Value(Value::Str(special(value))),
            Self::Bytes(bytes) => Kept::Text(BASE64_STANDARD.encode(bytes)),
            Self::Array(_) | Self::List(_) => return None,
        })
    }

    /// Appends the value as JSON.
    pub(super) fn write_json(self, out: &mut String, depth: usize) -> Result<(), Reason> {
        if depth > DEPTH_MAX - 3 {
            return Err(Reason::TooDeep);
        }
        match self {
            Self::Array(message) => {
                out.push('[');
                let mut first = true;
                for field in Fields::of(message) {
                    let (1, Wire::Bytes(value)) = field? else { continue };
                    comma(&mut first, out);
                    Self::read(value)?.write_json(out, depth + 1)?;
                }
                out.push(']');
            }
            Self::List(message) => {
                out.push('{');
                let mut first = true;
                for field in Fields::of(message) {
                    let (1, Wire::Bytes(pair)) = field? else { continue };
                    let (key, value) = pair_of(pair)?;
                    comma(&mut first, out);
                    write_text(out, &text(key));
                    out.push(':');
                    value.write_json(out, depth + 1)?;
                }
                out.push('}');
            }
            scalar => {
                let mut json = Vec::new();
                if let Some(kept) = scalar.kept() {
                    kept.value().write_json(&mut json);
                }
                out.push_str(std::str::from_utf8(&json).unwrap_or("null"));
            }
        }
        Ok(())
    }

    /// Adds the value to an event under a path; what is in a list of keys and values under paths of its own.
    pub(super) fn put(self, event: &mut Shaped<'_, 'a>, path: &mut String, depth: usize) -> Result<(), Reason> {
        match self {
            Self::Array(_) => {
                let mut json = String::new();
                self.write_json(&mut json, depth)?;
                event.put(path, Kept::Raw(json));
            }
            Self::List([]) => event.put(path, Kept::Value(Value::Raw("{}"))),
            Self::List(message) => {
                if depth > DEPTH_MAX - 3 {
                    return Err(Reason::TooDeep);
                }
                for field in Fields::of(message) {
                    let (1, Wire::Bytes(pair)) = field? else { continue };
                    let (key, value) = pair_of(pair)?;
                    let length = path.len();
                    push_key(path, key);
                    value.put(event, path, depth + 1)?;
                    path.truncate(length);
                }
            }
            scalar => {
                if let Some(kept) = scalar.kept() {
                    event.put(path, kept);
                }
            }
        }
        Ok(())
    }
}

/// Numbers that JSON does not have, by the names that the JSON form of protocol buffers gives them.
fn special(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

fn comma(first: &mut bool, out: &mut String) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

pub(super) fn write_text(out: &mut String, text: &str) {
    let mut json = Vec::with_capacity(text.len() + 2);
    Value::Str(text).write_json(&mut json);
    out.push_str(std::str::from_utf8(&json).unwrap_or("\"\""));
}

/// Appends a key to a path that has a beginning.
pub(super) fn push_key(path: &mut String, key: &[u8]) {
    path.push('.');
    let key = text(key);
    if memchr::memchr2(b'.', b'\\', key.as_bytes()).is_none() {
        path.push_str(&key);
        return;
    }
    for character in key.chars() {
        if matches!(character, '.' | '\\') {
            path.push('\\');
        }
        path.push(character);
    }
}

/// The key and the value of a `KeyValue`.
pub(super) fn pair_of(message: &[u8]) -> Result<(&[u8], Any<'_>), Broken> {
    let (mut key, mut value) = (&[][..], Any::Null);
    for field in Fields::of(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(message)) => value = Any::read(message)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// What attributes tell, under whatever names. The semantic conventions have renamed many; both names are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    User,
    Session,
    Event,
    RequestId,
    Method,
    Url,
    Path,
    Query,
    Scheme,
    Authority,
    Port,
    Status,
    Ip,
    UserAgent,
    Service,
    Host,
    Environment,
    Release,
    ExceptionType,
    ExceptionMessage,
    Stacktrace,
}

const FACTS: usize = Fact::Stacktrace as usize + 1;

/// Which fact an attribute tells, and how good a name it is (0 is the best).
/// <https://opentelemetry.io/docs/specs/semconv/>, and what it was before version 1.21.
fn fact(key: &[u8]) -> Option<(Fact, u8)> {
    Some(match key {
        b"user.id" => (Fact::User, 0),
        b"enduser.id" => (Fact::User, 1),
        b"user.name" => (Fact::User, 2),
        b"user.email" => (Fact::User, 3),
        b"session.id" => (Fact::Session, 0),
        b"event.name" => (Fact::Event, 1),
        b"request_id" => (Fact::RequestId, 0),
        b"request.id" | b"http.request.id" => (Fact::RequestId, 1),
        b"http.request.header.x-request-id" => (Fact::RequestId, 2),
        b"http.request.header.x_request_id" => (Fact::RequestId, 3),
        b"correlation_id" => (Fact::RequestId, 4),
        b"http.request.method" => (Fact::Method, 0),
        b"http.method" => (Fact::Method, 1),
        b"url.full" => (Fact::Url, 0),
        b"http.url" => (Fact::Url, 1),
        b"url.path" => (Fact::Path, 0),
        b"http.target" => (Fact::Path, 1),
        b"url.query" => (Fact::Query, 0),
        b"url.scheme" => (Fact::Scheme, 0),
        b"http.scheme" => (Fact::Scheme, 1),
        b"server.address" => (Fact::Authority, 0),
        b"http.host" => (Fact::Authority, 1),
        b"http.server_name" | b"net.host.name" => (Fact::Authority, 2),
        b"server.port" => (Fact::Port, 0),
        b"net.host.port" => (Fact::Port, 1),
        b"http.response.status_code" => (Fact::Status, 0),
        b"http.status_code" => (Fact::Status, 1),
        b"client.address" => (Fact::Ip, 0),
        b"http.client_ip" => (Fact::Ip, 1),
        b"net.peer.ip" => (Fact::Ip, 2),
        b"network.peer.address" | b"net.sock.peer.addr" => (Fact::Ip, 3),
        b"user_agent.original" => (Fact::UserAgent, 0),
        b"http.user_agent" => (Fact::UserAgent, 1),
        b"service.name" => (Fact::Service, 0),
        b"host.name" => (Fact::Host, 0),
        b"deployment.environment.name" => (Fact::Environment, 0),
        b"deployment.environment" => (Fact::Environment, 1),
        b"service.version" => (Fact::Release, 0),
        b"exception.type" => (Fact::ExceptionType, 0),
        b"exception.message" => (Fact::ExceptionMessage, 0),
        b"exception.stacktrace" => (Fact::Stacktrace, 0),
        _ => return None,
    })
}

/// The facts that were found, each under the best of its names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    found: [Option<(u8, Any<'a>)>; FACTS],
}

/// Added to the rank of a name: what the record itself says goes before what the resource says of all its records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    Record = 0,
    Scope = 50,
    Resource = 100,
}

impl<'a> Facts<'a> {
    pub(super) fn new() -> Self {
        Self { found: [None; FACTS] }
    }

    pub(super) fn note(&mut self, whose: Whose, key: &[u8], value: Any<'a>) {
        let Some((fact, rank)) = fact(key) else { return };
        let rank = rank + whose as u8;
        let says = !matches!(value, Any::Null | Any::Text([]) | Any::List(_));
        let found = &mut self.found[fact as usize];
        if says && found.is_none_or(|(known, _)| rank < known) {
            *found = Some((rank, value));
        }
    }

    /// The scalar that was found, as text or number; of a list (headers are lists) the first.
    pub(super) fn get(&self, fact: Fact) -> Option<Kept<'a>> {
        let (_, any) = self.found[fact as usize]?;
        if let Any::Array(message) = any {
            let first = Fields::of(message).find_map(|field| match field {
                Ok((1, Wire::Bytes(value))) => Any::read(value).ok(),
                _ => None,
            });
            return first?.kept();
        }
        any.kept()
    }

    pub(super) fn text(&self, fact: Fact) -> Option<std::borrow::Cow<'a, str>> {
        match self.found[fact as usize]?.1 {
            Any::Text(bytes) => Some(text(bytes)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{Role, Shared, role};

    /// A name means the same in attributes and in a document that came through another door.
    #[test]
    fn the_names_are_those_of_the_table() {
        let check = |name: &str, expected: (Fact, Shared)| {
            assert_eq!(fact(name.as_bytes()).map(|(fact, _)| fact), Some(expected.0), "{name}");
            assert!(
                matches!(role(&name.replace('.', "\\.")), Role::Alias(shared, _) if shared == expected.1),
                "{name}"
            );
        };
        for (names, expected) in [
            ("user.id enduser.id user.name user.email", (Fact::User, Shared::User)),
            ("session.id", (Fact::Session, Shared::Session)),
            ("event.name", (Fact::Event, Shared::Event)),
            ("request.id http.request.id correlation_id", (Fact::RequestId, Shared::RequestId)),
            ("http.request.header.x-request-id http.request.header.x_request_id", (Fact::RequestId, Shared::RequestId)),
            ("http.request.method http.method", (Fact::Method, Shared::Method)),
            ("url.full http.url", (Fact::Url, Shared::Url)),
            ("url.path http.target", (Fact::Path, Shared::Path)),
            ("http.response.status_code http.status_code", (Fact::Status, Shared::Status)),
            ("client.address http.client_ip net.peer.ip network.peer.address", (Fact::Ip, Shared::Ip)),
            ("user_agent.original http.user_agent", (Fact::UserAgent, Shared::UserAgent)),
            ("service.name", (Fact::Service, Shared::Service)),
            ("host.name", (Fact::Host, Shared::Host)),
            ("deployment.environment.name deployment.environment", (Fact::Environment, Shared::Environment)),
            ("service.version", (Fact::Release, Shared::Release)),
            ("exception.type", (Fact::ExceptionType, Shared::ExceptionType)),
            ("exception.message", (Fact::ExceptionMessage, Shared::ExceptionMessage)),
            ("exception.stacktrace", (Fact::Stacktrace, Shared::Stack)),
        ] {
            names.split(' ').for_each(|name| check(name, expected));
        }
    }
}
