//! One request to the Elasticsearch door: its path, its parameters, its body, and the logs that it names.

use std::collections::BTreeSet;
use std::sync::Mutex;

use axum::body::Body;
use axum::http::request::Parts;
use engine::{Grant, Scope};
use serde_json::{Map, Value};

use super::{PREFIX, Refusal};
use crate::http::body::{self, Held};
use crate::http::{Doors, auth};

/// Longest list of names that is looked at.
const NAMES_MAX: usize = 1000;

/// A request on its way to the door that answers it.
#[derive(Debug)]
pub(in crate::http) struct Call {
    pub(in crate::http) doors: Doors,
    pub(in crate::http) parts: Parts,
    /// The parts of the path below [`PREFIX`], decoded.
    pub(in crate::http) path: Vec<String>,
    /// A body cannot be shared between threads, which a lock that is never taken makes good.
    body: Mutex<Option<Body>>,
}

impl Call {
    pub(super) fn new(doors: Doors, parts: Parts, body: Body) -> Self {
        let below = parts.uri.path().strip_prefix(PREFIX).unwrap_or("");
        let path = below.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
        Self { doors, parts, path, body: Mutex::new(Some(body)) }
    }

    /// A parameter of the query string; the empty text for one without a value.
    pub(in crate::http) fn parameter(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query().unwrap_or("");
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// Whether a parameter is there and not `false`.
    pub(in crate::http) fn flag(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value != "false")
    }

    fn take_body(&mut self) -> Option<Body> {
        self.body.get_mut().ok()?.take()
    }

    /// The body, unpacked; empty when it was read before.
    ///
    /// # Errors
    /// As [`body::read`].
    pub(in crate::http) async fn body(&mut self) -> Result<Held, Refusal> {
        let body = self.take_body().unwrap_or_default();
        Ok(body::read(&self.doors, &self.parts.headers, body).await?)
    }

    /// The body as JSON; an empty object when there is none.
    ///
    /// # Errors
    /// As [`Call::body`], and 400 when it is no JSON object.
    pub(in crate::http) async fn json(&mut self) -> Result<Value, Refusal> {
        let held = self.body().await?;
        if held.bytes.trim_ascii().is_empty() {
            return Ok(Value::Object(Map::new()));
        }
        let read: Value = serde_json::from_slice(&held.bytes)
            .map_err(|error| Refusal::parsing(format!("the body is not readable as JSON: {error}")))?;
        if read.is_object() { Ok(read) } else { Err(Refusal::parsing("the body is no JSON object")) }
    }

    /// Reads what a client that is refused still sends, so that it finds the reason.
    pub(super) async fn forget_body(&mut self) {
        if let Some(body) = self.take_body() {
            body::refuse(body).await;
        }
    }

    /// Who sent it.
    ///
    /// # Errors
    /// 401 when there is a token that is none of ours, or none and one is needed.
    pub(in crate::http) fn grant(&self) -> Result<Grant, Refusal> {
        Ok(auth::grant_sent(&self.doors, &self.parts, None)?)
    }

    /// Who sent it, if that allows something on a log; on all logs when none is named.
    ///
    /// # Errors
    /// 401 as [`Call::grant`], 403 when the token is for something else.
    pub(in crate::http) fn require(&self, scope: Scope, log: Option<&str>) -> Result<Grant, Refusal> {
        Ok(auth::require_sent(&self.doors, &self.parts, None, (scope, log))?)
    }

    /// The logs of an index expression that may be read, in order: names and patterns with `*`, separated by commas;
    /// `-name` takes away; `_all`, `*` and nothing are all. A pattern stands for those that the sender may read.
    ///
    /// # Errors
    /// 401 and 403 as [`Call::require`]; 404 for a name that is none, unless `ignore_unavailable` says that it may
    /// be, and for no log at all with `allow_no_indices=false`.
    pub(in crate::http) fn logs(&self, expression: &str) -> Result<Vec<String>, Refusal> {
        let grant = self.grant()?;
        let all = self.doors.engine.log_names();
        let readable = || all.iter().filter(|log| grant.may_read(log));
        let mut found: BTreeSet<String> = BTreeSet::new();
        let expression = if expression.is_empty() { "*" } else { expression };
        for name in expression.split(',').map(str::trim).filter(|name| !name.is_empty()).take(NAMES_MAX) {
            let (taken, name) = name.strip_prefix('-').map_or((false, name), |name| (true, name));
            if taken {
                found.retain(|log| !matches(name, log));
            } else if is_pattern(name) {
                found.extend(readable().filter(|log| matches(name, log)).cloned());
            } else if all.iter().any(|log| log == name) {
                self.require(Scope::Read, Some(name))?;
                found.insert(name.to_owned());
            } else if !self.flag("ignore_unavailable") {
                // Whether a log exists is no business of who may not read it.
                self.require(Scope::Read, Some(name))?;
                return Err(Refusal::no_index(name));
            }
        }
        if found.is_empty() && readable().next().is_none() {
            self.require(Scope::Read, None)?;
        }
        if found.is_empty() && self.parameter("allow_no_indices").as_deref() == Some("false") {
            return Err(Refusal::no_index(expression));
        }
        Ok(found.into_iter().collect())
    }
}

/// Whether an index expression stands for more than the log of that name.
pub(in crate::http) fn is_pattern(name: &str) -> bool {
    name == "_all" || name.contains('*')
}

/// Whether a log is meant by a name or pattern.
pub(in crate::http) fn matches(pattern: &str, log: &str) -> bool {
    pattern == "_all" || fits(pattern, log)
}

/// Whether a text fits a pattern, in which `*` stands for any text.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or("");
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A part of a path without its percent signs. What is no UTF-8 becomes U+FFFD.
fn decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| bytes[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths() {
        assert_eq!(decoded("a%2Fb%20%C3%A9+c"), "a/b é+c");
        assert_eq!(decoded("%"), "%");
        assert_eq!(decoded("%zz%4"), "%zz%4");
        assert_eq!(decoded("%ff"), "\u{fffd}");
    }

    #[test]
    fn patterns_of_logs() {
        for (pattern, log) in
            [("a*", "abc"), ("*", "x"), ("_all", "x"), ("a*c*e", "abcde"), ("abc", "abc"), ("*c", "abc")]
        {
            assert!(matches(pattern, log), "{pattern} {log}");
        }
        for (pattern, log) in [("a*", "ba"), ("abc", "abcd"), ("a*b", "a"), ("ab*ba", "aba"), ("", "x"), ("a*c", "abd")]
        {
            assert!(!matches(pattern, log), "{pattern} {log}");
        }
    }
}
