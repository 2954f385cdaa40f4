//! The visitor endpoint: what a stranger's browser sends becomes an event, of which he decides nothing that others
//! rely on.
//!
//! Keys that the server sets beat the fixed fields of the log, and these beat what the visitor sent.

use event::limits::DEPTH_MAX;
use serde_json::{Map, Value};

use crate::decode::{Decoded, Decoder, Door, Limits, Reason, Refused, is_too_deep};
use crate::keys::{Facts, Key, Visit};

/// Largest body.
pub const VISIT_BYTES_MAX: usize = 64 << 10;

/// Most arguments of one visit, repeated ones counted too.
pub const ARGUMENTS_MAX: usize = 200;

/// Longest name of an argument, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Longest value of an argument, in bytes: a stack trace fits.
pub const VALUE_BYTES_MAX: usize = 32 << 10;

/// Reserved names that an answer lists.
const LISTED_MAX: usize = 10;

/// What only the server says: which event it is, when it came, whose it is.
const RESERVED: [&str; 8] = ["id", "timestamp", "received", "sequence", "stream", "user", "session", "ip"];

/// The body of a visit.
#[derive(Clone, Copy, Debug)]
pub enum Sent<'a> {
    /// None, or an empty one.
    Nothing,
    /// `a=1&b=2`.
    Form(&'a [u8]),
    /// A JSON object.
    Json(&'a [u8]),
}

/// Whether a name may not come from a visitor.
fn is_reserved(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    name.starts_with('_') || RESERVED.contains(&name) || matches!(first, "user" | "session")
}

/// Reads the arguments of a visit. Of one that occurs several times the last counts, or with `lists` all do.
///
/// # Errors
/// When there are too many, one is too long, the body is no object, or a name is reserved. Nothing is kept then.
pub fn arguments(query: &str, sent: Sent<'_>, lists: bool) -> Result<Map<String, Value>, Reason> {
    let mut pairs = pairs(query.as_bytes())?;
    match sent {
        Sent::Nothing => {}
        Sent::Form(body) => pairs.extend(self::pairs(body)?),
        Sent::Json(body) => pairs.extend(object(body)?),
    }
    if pairs.len() > ARGUMENTS_MAX {
        return Err(Reason::TooManyArguments);
    }
    let mut reserved: Vec<String> = Vec::new();
    let mut found: Map<String, Value> = Map::new();
    let mut repeated: Vec<String> = Vec::new();
    for (name, value) in pairs {
        if name.len() > NAME_BYTES_MAX {
            return Err(Reason::ArgumentTooLong { what: "name", bytes: name.len(), bytes_max: NAME_BYTES_MAX });
        }
        let bytes = value.as_str().map_or_else(|| value.to_string().len(), str::len);
        if bytes > VALUE_BYTES_MAX {
            return Err(Reason::ArgumentTooLong { what: "value", bytes, bytes_max: VALUE_BYTES_MAX });
        }
        if is_reserved(&name) {
            reserved.push(name);
            continue;
        }
        match found.get_mut(&name) {
            Some(Value::Array(values)) if lists && repeated.contains(&name) => values.push(value),
            Some(known) if lists => {
                *known = Value::Array(vec![std::mem::take(known), value]);
                repeated.push(name);
            }
            _ => drop(found.insert(name, value)),
        }
    }
    if reserved.is_empty() { Ok(found) } else { Err(refusal(&reserved)) }
}

fn refusal(reserved: &[String]) -> Reason {
    let shown = reserved.iter().take(LISTED_MAX).map(|name| format!("{:?}", name.chars().take(64).collect::<String>()));
    Reason::Reserved { names: shown.collect::<Vec<_>>().join(", ") }
}

fn pairs(form: &[u8]) -> Result<Vec<(String, Value)>, Reason> {
    let pairs: Vec<_> = form_urlencoded::parse(form)
        .take(ARGUMENTS_MAX + 1)
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    if pairs.len() > ARGUMENTS_MAX { Err(Reason::TooManyArguments) } else { Ok(pairs) }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Reason> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Reason::NotJson { message: format!("no UTF-8 at byte {}", error.valid_up_to()) })?;
    if is_too_deep(text, DEPTH_MAX) {
        return Err(Reason::TooDeep);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Array(_)) => Err(Reason::NotAnObject { found: "an array" }),
        Ok(_) => Err(Reason::NotAnObject { found: "a single value" }),
        Err(error) => Err(Reason::NotJson { message: error.to_string() }),
    }
}

/// The event of a visit.
#[must_use]
pub fn visit(visit: &Visit, keys: &[Key], fields: &Map<String, Value>, facts: &Facts<'_>) -> Decoded {
    let mut own: Map<String, Value> = keys.iter().map(|key| (key.name().to_owned(), key.value(visit, facts))).collect();
    for (name, value) in fields {
        own.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    // Said outright, so that neither `datetime` nor anything else decides it.
    own.insert("timestamp".to_owned(), facts.now.to_string().into());
    match (own.get("user"), visit.user.get("id")) {
        (None, Some(id)) => drop(own.insert("user".to_owned(), id.clone())),
        // As in every event that belongs to nobody.
        (Some(Value::Null), _) => drop(own.shift_remove("user")),
        _ => {}
    }
    let limits = Limits { event_bytes_max: usize::MAX, only_uuid_ids: false };
    let mut decoder = Decoder::new(Door::Native, limits, facts.now);
    let own_names = own.keys().cloned().collect();
    let (own, sent) = (Value::Object(own).to_string(), Value::Object(visit.arguments.clone()).to_string());
    decoder.visit((&own, own_names), &sent);
    decoder.finish()
}

/// A visit that is not kept, to be counted.
#[must_use]
pub fn refused(reason: Reason) -> Decoded {
    let nothing = Decoder::new(Door::Native, Limits::default(), event::Timestamp::from_micros(0)).finish();
    Decoded { refused: vec![Refused { index: 0, reason }], received: 1, visit: true, ..nothing }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use event::Timestamp;
    use serde_json::json;

    use super::*;

    fn read(query: &str, sent: Sent<'_>, lists: bool) -> Result<Value, String> {
        arguments(query, sent, lists).map(Value::Object).map_err(|reason| reason.name().to_owned())
    }

    #[test]
    fn arguments_of_all_kinds() {
        let check = |query: &str, sent: Sent<'_>, lists: bool, expected: Value| {
            assert_eq!(read(query, sent, lists), Ok(expected), "{query}");
        };
        check("", Sent::Nothing, false, json!({}));
        check("x=1&x=2", Sent::Nothing, false, json!({ "x": "2" }));
        check("x=1&x=2&x=3&y=", Sent::Nothing, true, json!({ "x": ["1", "2", "3"], "y": "" }));
        check("x=1", Sent::Form(b"x=2&z=a+b%26"), false, json!({ "x": "2", "z": "a b&" }));
        check(
            "x=1",
            Sent::Json(br#"{"x":[7],"n":12345678901234567890.50}"#),
            true,
            json!({ "x": ["1", [7]], "n": serde_json::from_str::<Value>("12345678901234567890.50").unwrap() }),
        );
        check("%E9%AB%98=%CF%83&%D8%B3=", Sent::Nothing, false, json!({ "高": "σ", "س": "" }));
        check("x", Sent::Form(b""), false, json!({ "x": "" }));
    }

    #[test]
    fn what_is_refused() {
        let check = |query: &str, sent: Sent<'_>, reason: &str| {
            assert_eq!(read(query, sent, false), Err(reason.to_owned()), "{query}");
        };
        for name in ["_op_type", "_id", "_", "id", "user", "user.id", "session.x", "stream", "ip", "timestamp"] {
            check(&format!("a=1&{name}=x"), Sent::Nothing, "reserved_name");
        }
        check("", Sent::Json(br#"{"user":{"id":1}}"#), "reserved_name");
        check("", Sent::Json(b"[1]"), "not_an_object");
        check("", Sent::Json(b"{"), "not_json");
        check("", Sent::Json(b"\xff"), "not_json");
        check("", Sent::Json(format!("{}{}", "[".repeat(200), "]".repeat(200)).as_bytes()), "too_deep");
        check(&"x&".repeat(201), Sent::Nothing, "too_many_arguments");
        check(&"x".repeat(257), Sent::Nothing, "argument_too_long");
        check("", Sent::Form(format!("x={}", "y".repeat(VALUE_BYTES_MAX + 1)).as_bytes()), "argument_too_long");
        for name in ["user_id", "username", "users", "ids", "remote_ip", "time", ""] {
            assert!(read(&format!("{name}=x"), Sent::Nothing, false).is_ok(), "{name}");
        }
    }

    /// What a visit becomes: names and values, without those of every event.
    fn event(keys: &[&str], fields: &Value, sent: &str) -> BTreeMap<String, String> {
        let now = Timestamp::parse("2026-01-02T03:04:05.250Z").unwrap().0;
        let nothing = BTreeMap::new();
        let keys: Vec<Key> = keys.iter().map(|key| Key::parse(key, &nothing).unwrap()).collect();
        let facts = Facts { now, port: None, environment: &nothing };
        let arguments = arguments("", Sent::Json(sent.as_bytes()), false).unwrap();
        let made = Visit { arguments, ..Visit::default() };
        let decoded = visit(&made, &keys, fields.as_object().unwrap(), &facts);
        assert_eq!(decoded.refused, []);
        let row = decoded.batch.row(0);
        assert_eq!(row.timestamp, now, "nobody but the server says when it was");
        let shown = |field: event::Field<'_>| {
            let mut json = Vec::new();
            field.value.write_json(&mut json);
            (decoded.batch.keys()[field.key as usize].to_string(), String::from_utf8(json).unwrap())
        };
        row.fields().map(shown).filter(|(name, _)| name != "stream").collect()
    }

    #[test]
    fn a_visitor_decides_nothing_that_others_rely_on() {
        let check = |keys: &[&str], fields: Value, sent: &str, expected: &[(&str, &str)]| {
            let mut expected: BTreeMap<String, String> =
                expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            expected.entry("user".to_owned()).or_insert_with(|| r#""system""#.to_owned());
            assert_eq!(event(keys, &fields, sent), expected, "{sent}");
        };
        let aliases = r#"{"user_id":"7","username":"root","remote_ip":"::1","time":1,"@timestamp":"2001-01-01"}"#;
        check(
            &[],
            json!({}),
            aliases,
            &[
                ("user_id", r#""7""#),
                ("username", r#""root""#),
                ("remote_ip", r#""::1""#),
                ("time", "1"),
                ("@timestamp", r#""2001-01-01""#),
            ],
        );
        let spoof =
            r#"{"event":{"a":1},"headers":{"User-Agent":"x","b":2},"headers.User-Agent":"y","datetime":{"c":1}}"#;
        check(
            &["datetime", "headers.User-Agent"],
            json!({ "event": "handler" }),
            spoof,
            &[
                ("event", r#""handler""#),
                ("headers.b", "2"),
                (r"headers\.User-Agent", "null"),
                ("datetime", r#""2026-01-02 03:04:05Z""#),
            ],
        );
        check(
            &["user"],
            json!({}),
            r#"{"level":"error","message":"m"}"#,
            &[("level", r#""error""#), ("message", r#""m""#)],
        );
    }
}
