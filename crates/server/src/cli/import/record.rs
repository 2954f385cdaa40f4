//! A record made ready to be sent: with an id that is the same every time, and the file it came from.
//!
//! What the record says itself is not touched, but for one key: an `id` that is no UUID may be the id of anything, the same
//! in many lines, and as the id of the event it would make all but one of them duplicates. It is kept as `sent_id`.

use std::ops::Range;

use serde_json::Value;

/// A key of a JSON object, with its place in the text.
struct Key {
    name: String,
    name_at: Range<usize>,
    value_at: Range<usize>,
}

/// Appends a record as one line; `file` is the JSON text of where it came from.
pub(super) fn push(out: &mut Vec<u8>, json: &str, id: &str, file: Option<&str>) {
    let object = json.trim();
    let inside = object.strip_prefix('{').unwrap_or(object);
    let keys = if may_have_them(object) { keys(object) } else { Vec::new() };
    let own_id = keys.iter().find(|key| key.name == "id");
    let keeps_id = own_id.is_some_and(|key| is_uuid(&object[key.value_at.clone()]));
    let names_file = keys.iter().any(|key| key.name == "file");
    out.push(b'{');
    let start = out.len();
    if !keeps_id {
        out.extend_from_slice(b"\"id\":\"");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b"\",");
    }
    if let Some(file) = file.filter(|_| !names_file) {
        out.extend_from_slice(b"\"file\":");
        out.extend_from_slice(file.as_bytes());
        out.push(b',');
    }
    if inside.trim_start() == "}" && out.len() > start {
        // There is nothing for the last comma to separate.
        out.pop();
    }
    match own_id.filter(|_| !keeps_id) {
        Some(key) => {
            out.extend_from_slice(&object.as_bytes()[1..key.name_at.start]);
            out.extend_from_slice(format!("\"{}\"", free_name(&keys)).as_bytes());
            out.extend_from_slice(&object.as_bytes()[key.name_at.end..]);
        }
        None => out.extend_from_slice(inside.as_bytes()),
    }
    out.push(b'\n');
}

/// Most records have neither key, and a look for their letters is quick. An escaped letter might hide one.
fn may_have_them(json: &str) -> bool {
    json.contains("\"id\"") || json.contains("\"file\"") || json.contains("\\u00")
}

fn is_uuid(value: &str) -> bool {
    match serde_json::from_str(value) {
        Ok(Value::String(text)) => text.len() == 36 && uuid::Uuid::try_parse(&text).is_ok(),
        _ => false,
    }
}

/// `sent_id`, unless the record uses that name itself.
fn free_name(keys: &[Key]) -> String {
    let mut name = "sent_id".to_owned();
    while keys.iter().any(|key| key.name == name) {
        name.insert_str(0, "sent_");
    }
    name
}

/// The keys of an object at its top. The text must be one valid JSON object, which the reader of lines has made sure of.
fn keys(object: &str) -> Vec<Key> {
    let bytes = object.as_bytes();
    let mut keys = Vec::new();
    let mut at = 1;
    while let Some(from) = find(bytes, at, |byte| byte == b'"') {
        let name_at = from..end_of_string(bytes, from);
        let Some(colon) = find(bytes, name_at.end, |byte| byte == b':') else { break };
        let value_at = colon + 1..end_of_value(bytes, colon + 1);
        let name = serde_json::from_str(&object[name_at.clone()]).unwrap_or_default();
        at = value_at.end;
        keys.push(Key { name, name_at, value_at });
    }
    keys
}

fn find(bytes: &[u8], from: usize, fits: impl Fn(u8) -> bool) -> Option<usize> {
    bytes.get(from..)?.iter().position(|byte| fits(*byte)).map(|place| from + place)
}

/// The end of the string whose quote is at `from`.
fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(place) = find(bytes, at, |byte| matches!(byte, b'"' | b'\\')) {
        if bytes[place] == b'"' {
            return place + 1;
        }
        at = place + 2;
    }
    bytes.len()
}

/// The place of the comma or brace after the value that begins at `from`.
fn end_of_value(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' | b'}' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::push;

    fn check(json: &str) -> String {
        let mut out = Vec::new();
        push(&mut out, json, "ID", Some("\"a.log\""));
        let line = String::from_utf8(out).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
        line.trim_end().to_owned()
    }

    #[test]
    fn id_and_file_come_first_and_the_rest_is_not_touched() {
        assert_eq!(check(r#"{"a": 1.0,"b":[]}"#), r#"{"id":"ID","file":"a.log","a": 1.0,"b":[]}"#);
        assert_eq!(check("{}"), r#"{"id":"ID","file":"a.log"}"#);
        assert_eq!(check("{ }"), r#"{"id":"ID","file":"a.log" }"#);
        assert_eq!(check(r#"{"file":"own","x":"id"}"#), r#"{"id":"ID","file":"own","x":"id"}"#);
        assert_eq!(check(r#"{"x":{"id":7,"file":1}}"#), r#"{"id":"ID","file":"a.log","x":{"id":7,"file":1}}"#);
    }

    #[test]
    fn only_a_uuid_is_the_id_of_the_event() {
        let uuid = r#"{"id":"0197f3c2-0000-7000-8000-000000000000"}"#;
        assert_eq!(check(uuid), r#"{"file":"a.log","id":"0197f3c2-0000-7000-8000-000000000000"}"#);
        assert_eq!(
            check(r#"{"a":"}\"",  "id" : 7, "b":{"c":[1]}}"#),
            r#"{"id":"ID","file":"a.log","a":"}\"",  "sent_id" : 7, "b":{"c":[1]}}"#
        );
        assert_eq!(check(r#"{"sent_id":1,"id":"x"}"#), r#"{"id":"ID","file":"a.log","sent_id":1,"sent_sent_id":"x"}"#);
        assert_eq!(check(r#"{"\u0069d":null}"#), r#"{"id":"ID","file":"a.log","sent_id":null}"#);
    }

    #[test]
    fn without_a_file() {
        let mut out = Vec::new();
        push(&mut out, r#"{"id":"0197f3c2-0000-7000-8000-000000000000"}"#, "ID", None);
        assert_eq!(out, b"{\"id\":\"0197f3c2-0000-7000-8000-000000000000\"}\n");
    }
}
