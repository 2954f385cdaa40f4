//! Keys that the server adds to every event of a log: who visited, from where, when.
//!
//! A key is written as in `keys = ["datetime", "user.id", "headers.User-Agent"]` and kept under just that name. What
//! has no value is null.

use std::collections::BTreeMap;

use event::suggest::suggest;
use event::{Batch, BatchBuilder, Timestamp, escape_segment, logical_name};
use serde_json::{Map, Value};
use thiserror::Error;

/// Most keys of one log: each is a value in each event.
pub const KEYS_MAX: usize = 50;

/// Longest name of a key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// Longest value of a variable of the environment, in bytes: it is kept with each event.
pub const VARIABLE_BYTES_MAX: usize = 256;

/// A key that the server adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    name: String,
    /// The name as a path: one key, dots and all.
    path: String,
    source: Source,
}

/// Where the value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Direct(Direct),
    Argument(String),
    Request(Attribute),
    Header(String),
    Cookie(String),
    User(String),
    Session(String),
    Variable(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direct {
    Name,
    Class,
    Time,
    Datetime,
    Method,
    Uri,
    Ip,
    Status,
    Duration,
    Port,
    User,
    Session,
    Error,
    Browser,
}

const DIRECT: [(&str, Direct); 14] = [
    ("name", Direct::Name),
    ("class", Direct::Class),
    ("time", Direct::Time),
    ("datetime", Direct::Datetime),
    ("method", Direct::Method),
    ("uri", Direct::Uri),
    ("ip", Direct::Ip),
    ("status", Direct::Status),
    ("duration", Direct::Duration),
    ("port", Direct::Port),
    ("user", Direct::User),
    ("session", Direct::Session),
    ("error", Direct::Error),
    ("browser", Direct::Browser),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Method,
    Uri,
    Path,
    Query,
    Version,
    Protocol,
    Host,
    RemoteIp,
}

const ATTRIBUTES: [(&str, Attribute); 8] = [
    ("method", Attribute::Method),
    ("uri", Attribute::Uri),
    ("path", Attribute::Path),
    ("query", Attribute::Query),
    ("version", Attribute::Version),
    ("protocol", Attribute::Protocol),
    ("host", Attribute::Host),
    ("remote_ip", Attribute::RemoteIp),
];

const PREFIXES: [&str; 7] = ["args", "request", "headers", "cookies", "user", "session", "env"];

/// Why a text is no key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing of that name.
    #[error("unknown key {name:?}{hint}")]
    Unknown {
        /// As written.
        name: String,
        /// What was meant, or what there is.
        hint: String,
    },
    /// A variable that was not allowed.
    #[error("the key \"env.{name}\" needs the setting env_allowed = [{name:?}]: other variables are never shown")]
    NotAllowed {
        /// The variable.
        name: String,
    },
    /// A key that would bloat every event.
    #[error("a key of {bytes} bytes is too long: at most {KEY_BYTES_MAX} are accepted")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// What the server knows without any request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The present moment.
    pub now: Timestamp,
    /// The port it listens on.
    pub port: Option<u16>,
    /// The variables of the environment that may be shown.
    pub environment: &'a BTreeMap<String, Option<String>>,
}

/// What a visitor's request tells.
#[derive(Clone, Debug, Default)]
pub struct Visit {
    /// The log whose door it came through.
    pub log: String,
    /// `GET` or `POST`.
    pub method: String,
    /// The path.
    pub path: String,
    /// What follows the question mark.
    pub query: String,
    /// `HTTP/1.1`.
    pub version: String,
    /// `http` or `https`, as far as it is known.
    pub protocol: String,
    /// The address of the visitor.
    pub ip: String,
    /// How long it took so far, in milliseconds.
    pub duration_ms: f64,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// What the visitor sent.
    pub arguments: Map<String, Value>,
    /// Who it is, with `id`, from whoever may say so.
    pub user: Map<String, Value>,
    /// The session, with `id`, likewise.
    pub session: Map<String, Value>,
}

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// When there is no such key, with the near one; when it names a variable that was not allowed.
    pub fn parse(name: &str, environment: &BTreeMap<String, Option<String>>) -> Result<Self, KeyError> {
        if name.len() > KEY_BYTES_MAX {
            return Err(KeyError::TooLong { bytes: name.len() });
        }
        let source = match name.split_once('.') {
            None => {
                let direct = DIRECT.iter().find(|(known, _)| *known == name);
                direct.map(|(_, direct)| Source::Direct(*direct))
            }
            Some((_, "")) => None,
            Some(("args", rest)) => Some(Source::Argument(rest.to_owned())),
            Some(("headers", rest)) => Some(Source::Header(rest.to_ascii_lowercase())),
            Some(("cookies", rest)) => Some(Source::Cookie(rest.to_owned())),
            Some(("user", rest)) => Some(Source::User(rest.to_owned())),
            Some(("session", rest)) => Some(Source::Session(rest.to_owned())),
            Some(("env", rest)) if !environment.contains_key(rest) => {
                return Err(KeyError::NotAllowed { name: rest.to_owned() });
            }
            Some(("env", rest)) => Some(Source::Variable(rest.to_owned())),
            Some(("request", rest)) => {
                let attribute = ATTRIBUTES.iter().find(|(known, _)| *known == rest);
                attribute.map(|(_, attribute)| Source::Request(*attribute))
            }
            Some(_) => None,
        };
        let unknown = || KeyError::Unknown { name: name.to_owned(), hint: hint(name) };
        let path = escape_segment(name, true).into_owned();
        Ok(Self { name: name.to_owned(), path, source: source.ok_or_else(unknown)? })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value that is known without a request; `None` for what only a request tells.
    fn fact(&self, facts: &Facts<'_>) -> Option<Value> {
        Some(match &self.source {
            Source::Direct(Direct::Time) => facts.now.as_micros().div_euclid(1000).into(),
            Source::Direct(Direct::Datetime) => datetime(facts.now).into(),
            Source::Direct(Direct::Port) => facts.port.into(),
            Source::Variable(name) => facts.environment.get(name).cloned().flatten().into(),
            _ => return None,
        })
    }

    /// The value for a visit.
    pub(crate) fn value(&self, visit: &Visit, facts: &Facts<'_>) -> Value {
        if let Some(value) = self.fact(facts) {
            return value;
        }
        let text = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
        let of = |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or(Value::Null);
        match &self.source {
            Source::Direct(direct) => match direct {
                Direct::Name => text(&visit.log),
                Direct::Class => "visitor".into(),
                Direct::Method => text(&visit.method),
                Direct::Uri => visit.uri().into(),
                Direct::Ip => text(&visit.ip),
                // What is kept is answered with 200; what is refused is not kept.
                Direct::Status => 200.into(),
                Direct::Duration => visit.duration_ms.into(),
                Direct::User => of(&visit.user, "id"),
                Direct::Session => of(&visit.session, "id"),
                Direct::Browser => visit.header("user-agent").map_or(Value::Null, |agent| text(&agent)),
                Direct::Error | Direct::Time | Direct::Datetime | Direct::Port => Value::Null,
            },
            Source::Argument(name) => of(&visit.arguments, name),
            Source::Header(name) => visit.header(name).into(),
            Source::Cookie(name) => visit.cookie(name).into(),
            Source::User(name) => of(&visit.user, name),
            Source::Session(name) => of(&visit.session, name),
            Source::Variable(_) => Value::Null,
            Source::Request(attribute) => match attribute {
                Attribute::Method => text(&visit.method),
                Attribute::Uri => visit.uri().into(),
                Attribute::Path => text(&visit.path),
                Attribute::Query => visit.query.clone().into(),
                Attribute::Version => text(&visit.version),
                Attribute::Protocol => text(&visit.protocol),
                Attribute::Host => visit.header("host").into(),
                Attribute::RemoteIp => text(&visit.ip),
            },
        }
    }
}

impl Visit {
    fn uri(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.headers.iter().filter(|(known, _)| known == "cookie");
        let mut pairs = cookies.flat_map(|(_, value)| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"').to_owned())
    }
}

/// What was meant, or what there is.
fn hint(name: &str) -> String {
    let prefixed = name.split_once('.');
    let (head, rest) = prefixed.unwrap_or((name, ""));
    if head == "request" && prefixed.is_some() {
        let known = ATTRIBUTES.map(|(attribute, _)| attribute);
        return match suggest(rest, known.into_iter()) {
            Some(near) => format!(": did you mean \"request.{near}\"?"),
            None => format!("; of the request there are {}", known.join(", ")),
        };
    }
    let near = match prefixed {
        Some(_) => {
            suggest(head, PREFIXES.into_iter()).filter(|_| !rest.is_empty()).map(|near| format!("{near}.{rest}"))
        }
        None => suggest(name, DIRECT.iter().map(|(known, _)| *known)).map(str::to_owned),
    };
    near.map_or_else(
        || {
            let prefixes = PREFIXES.map(|prefix| format!("{prefix}.NAME"));
            format!("; the keys are {}, {}", DIRECT.map(|(known, _)| known).join(", "), prefixes.join(", "))
        },
        |near| format!(": did you mean {near:?}?"),
    )
}

/// `2026-01-02 03:04:05Z`.
fn datetime(moment: Timestamp) -> String {
    let text = moment.to_string();
    let whole = text.split('.').next().unwrap_or(&text);
    format!("{}Z", whole.replacen('T', " ", 1))
}

/// Whether `name` is `of` or something within it.
pub(crate) fn is_within(name: &str, of: &str) -> bool {
    name.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Adds the keys to events that came without a visitor. What the server knows takes the place of what was sent; what
/// only a visitor's request tells is null where it was not sent. Also tells how many events found no room.
#[must_use]
pub fn complete(batch: &Batch, keys: &[Key], facts: &Facts<'_>) -> (Batch, usize) {
    let values: Vec<(&Key, Option<Value>)> = keys.iter().map(|key| (key, key.fact(facts))).collect();
    let names: Vec<_> = batch.keys().iter().map(|path| logical_name(path)).collect();
    let is_set = |name: &str| values.iter().any(|(key, value)| value.is_some() && is_within(name, &key.name));
    let replaced: Vec<bool> = names.iter().map(|name| is_set(name)).collect();
    let mut builder = BatchBuilder::new();
    let mut lost = 0;
    for row in batch.rows() {
        let mut present = vec![false; values.len()];
        for field in row.fields().filter(|field| !replaced[field.key as usize]) {
            for (place, (key, _)) in values.iter().enumerate() {
                present[place] |= is_within(&names[field.key as usize], &key.name);
            }
            let key = builder.key(&batch.keys()[field.key as usize]);
            builder.push(key, field.value, field.sent);
        }
        for ((key, value), _) in values.iter().zip(present).filter(|(_, present)| !present) {
            let index = builder.key(&key.path);
            builder.push(index, plain(value.as_ref()), false);
        }
        lost += usize::from(!builder.commit(row.id.clone(), row.timestamp));
    }
    (builder.finish(), lost)
}

/// What the server knows is a text, a whole number, or nothing.
fn plain(value: Option<&Value>) -> event::Value<'_> {
    match value {
        Some(Value::String(text)) => event::Value::text(text),
        Some(Value::Number(number)) => number.as_i64().map_or(event::Value::Null, event::Value::Int),
        _ => event::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, native};

    fn parse(name: &str) -> Result<Key, String> {
        Key::parse(name, &BTreeMap::from([("REGION".to_owned(), Some("eu".to_owned()))]))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_wrong_key_names_the_right_one() {
        let check = |name: &str, expected: &str| {
            let error = parse(name).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("header.User-Agent", "did you mean \"headers.User-Agent\"?");
        check("datetme", "did you mean \"datetime\"?");
        check("request.urii", "did you mean \"request.uri\"?");
        check("request.zebra", "of the request there are method, uri,");
        check("zebra", "the keys are name, class,");
        check("headers.", "unknown key \"headers.\"");
        check("", "unknown key");
        check("env.HOME", "needs the setting env_allowed = [\"HOME\"]");
        check(&format!("headers.{}", "x".repeat(300)), "308 bytes");
        for name in ["headers.A.B", "env.REGION", "session.id", "args.a.b.c", "request.remote_ip"] {
            assert_eq!(parse(name).unwrap().name(), name);
        }
    }

    #[test]
    fn the_time_as_people_write_it() {
        let moment = Timestamp::parse("2026-01-02T03:04:05.678901Z").unwrap().0;
        assert_eq!(datetime(moment), "2026-01-02 03:04:05Z");
    }

    #[test]
    fn events_without_a_visitor() {
        let environment = BTreeMap::from([("REGION".to_owned(), Some("eu".to_owned()))]);
        let now = Timestamp::parse("2026-01-02T03:04:05Z").unwrap().0;
        let facts = Facts { now, port: Some(7171), environment: &environment };
        let names = ["time", "datetime", "user.id", "headers.User-Agent", "ip", "env.REGION", "port"];
        let keys: Vec<Key> = names.iter().map(|name| parse(name).unwrap()).collect();
        let check = |json: &str, expected: &str| {
            let decoded = native(json.as_bytes(), Limits::default(), now);
            let (batch, lost) = complete(&decoded.batch, &keys, &facts);
            assert_eq!((batch.len(), lost), (1, 0));
            let mut out = Vec::new();
            for field in batch.row(0).fields() {
                let path = &batch.keys()[field.key as usize];
                out.extend_from_slice(format!(" {}=", logical_name(path)).as_bytes());
                field.value.write_json(&mut out);
            }
            assert_eq!(String::from_utf8(out).unwrap().trim(), expected, "{json}");
        };
        let own = r#"time=1767323045000 datetime="2026-01-02 03:04:05Z""#;
        check(
            r#"{"x":1,"y":2}"#,
            &format!(
                r#"x=1 y=2 stream="INFO" user="system" {own} user.id=null headers.User-Agent=null ip=null env.REGION="eu" port=7171"#
            ),
        );
        check(
            r#"{"datetime":"never","time":5,"env":{"REGION":"us"},"port":1,"user":{"id":7},"remote_ip":"::1"}"#,
            &format!(
                r#"user.id=7 remote_ip="::1" stream="INFO" user="7" ip="::1" {own} headers.User-Agent=null env.REGION="eu" port=7171"#
            ),
        );
    }
}
