//! A record made ready to be sent: with an id that is the same every time, and the file it came from.
//!
//! What the record says itself is not touched. Its own `id` stays where it is; the request says `_ids=uuid`, so that one
//! that is no UUID (and may be the id of anything, the same in many lines) is kept as a value, and not as the event's id.

/// Appends a record as one line; `file` is the JSON text of where it came from.
pub(super) fn push(out: &mut Vec<u8>, json: &str, id: &str, file: Option<&str>) {
    let object = json.trim();
    let inside = object.strip_prefix('{').unwrap_or(object);
    let keys = if may_have_them(object) { keys(object) } else { Vec::new() };
    let has = |name: &str| keys.iter().any(|key| key == name);
    out.push(b'{');
    let start = out.len();
    if !has("id") {
        out.extend_from_slice(b"\"id\":\"");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b"\",");
    }
    if let Some(file) = file.filter(|_| !has("file")) {
        out.extend_from_slice(b"\"file\":");
        out.extend_from_slice(file.as_bytes());
        out.push(b',');
    }
    if inside.trim_start() == "}" && out.len() > start {
        // There is nothing for the last comma to separate.
        out.pop();
    }
    out.extend_from_slice(inside.as_bytes());
    out.push(b'\n');
}

/// Most records have neither key, and a look for their letters is quick. An escaped letter might hide one.
fn may_have_them(json: &str) -> bool {
    json.contains("\"id\"") || json.contains("\"file\"") || json.contains("\\u00")
}

/// The keys of an object at its top. The text must be one valid JSON object, which the reader of lines has made sure of.
fn keys(object: &str) -> Vec<String> {
    let bytes = object.as_bytes();
    let mut keys = Vec::new();
    let mut at = 1;
    while let Some(from) = find(bytes, at, |byte| byte == b'"') {
        let name_at = from..end_of_string(bytes, from);
        let Some(colon) = find(bytes, name_at.end, |byte| byte == b':') else { break };
        let name = serde_json::from_str(&object[name_at]).unwrap_or_default();
        at = end_of_value(bytes, colon + 1);
        keys.push(name);
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
    fn its_own_id_is_not_touched() {
        let uuid = r#"{"id":"0197f3c2-0000-7000-8000-000000000000"}"#;
        assert_eq!(check(uuid), r#"{"file":"a.log","id":"0197f3c2-0000-7000-8000-000000000000"}"#);
        let odd = r#"{"a":"}\"",  "id" : 7, "b":{"c":[1]}}"#;
        assert_eq!(check(odd), r#"{"file":"a.log","a":"}\"",  "id" : 7, "b":{"c":[1]}}"#);
        assert_eq!(check(r#"{"\u0069d":null}"#), r#"{"file":"a.log","\u0069d":null}"#);
    }

    #[test]
    fn without_a_file() {
        let mut out = Vec::new();
        push(&mut out, r#"{"id":"0197f3c2-0000-7000-8000-000000000000"}"#, "ID", None);
        assert_eq!(out, b"{\"id\":\"0197f3c2-0000-7000-8000-000000000000\"}\n");
    }
}
