//! The frames of the causes of an exception, out of what a client sent. Events keep them as they came, and in our names only
//! those of the exception that was raised.

use serde_json::{Map, Value};

use crate::frames;

/// Frames of one exception, those next to where it was raised.
const FRAMES_MAX: usize = 50;

/// Where the lists of exceptions stand, and whether the one that was raised is last in it.
const LISTS: [(&[&str], bool); 4] = [
    (&["sentry", "exception", "values"], true),
    (&["sentry", "exception"], true),
    (&["rollbar", "body", "trace_chain"], false),
    (&["exception"], false),
];

/// Where the texts of tracebacks stand.
const TEXTS: [&[&str]; 11] = [
    &["exception"],
    &["exc_text"],
    &["exc_info"],
    &["error", "stack_trace"],
    &["error", "stack"],
    &["err", "stack"],
    &["exception", "stacktrace"],
    &["stack_trace"],
    &["stacktrace"],
    &["traceback"],
    &["stack"],
];

/// What our frames call what others call otherwise.
const MEMBERS: [(&str, &[&str]); 6] = [
    ("function", &["function", "method", "name"]),
    ("module", &["module", "class_name"]),
    ("file", &["filename", "file", "abs_path"]),
    ("line", &["lineno", "line"]),
    ("column", &["colno", "column"]),
    ("in_app", &["in_app"]),
];

/// Gives the exceptions of a chain, the one that was raised first, the frames that a document has of them.
pub fn add_frames(chain: &mut [Value], document: &Value) {
    if chain.len() < 2 {
        return;
    }
    let sent = sent(document);
    for (one, sent) in chain.iter_mut().zip(&sent) {
        let (Some(one), false) = (one.as_object_mut(), sent.frames.is_empty()) else { continue };
        if one.get("type").and_then(Value::as_str) == Some(sent.kind.as_str()) && !one.contains_key("frames") {
            one.insert("frames".to_owned(), Value::Array(sent.frames.clone()));
        }
    }
}

/// One exception as it was sent.
struct Sent {
    kind: String,
    frames: Vec<Value>,
}

fn at<'v>(document: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(document, |value, name| value.get(*name))
}

fn sent(document: &Value) -> Vec<Sent> {
    for (path, is_last) in LISTS {
        let Some(list) = at(document, path).and_then(Value::as_array) else { continue };
        let mut sent: Vec<Sent> = list.iter().map(Sent::of).collect();
        if is_last {
            sent.reverse();
        }
        return sent;
    }
    // Keys may also stand in a document with their dots.
    let texts = TEXTS.iter().filter_map(|path| at(document, path).or_else(|| document.get(path.join("."))));
    let read = texts.filter_map(Value::as_str).map(frames::chain).find(|chain| chain.len() > 1);
    read.iter().flatten().map(Sent::of).collect()
}

impl Sent {
    fn of(value: &Value) -> Self {
        let named = value.get("exception").unwrap_or(value);
        let kind = ["type", "class", "exc_type"].iter().find_map(|key| named.get(*key)?.as_str());
        let frames = at(value, &["stacktrace", "frames"]).or_else(|| value.get("frames")).and_then(Value::as_array);
        let frames = frames.map(Vec::as_slice).unwrap_or_default();
        let skipped = frames.len().saturating_sub(FRAMES_MAX);
        let frames =
            frames[skipped..].iter().map(frame).filter(|frame| frame.as_object().is_some_and(|it| !it.is_empty()));
        Self { kind: kind.unwrap_or_default().to_owned(), frames: frames.collect() }
    }
}

fn frame(sent: &Value) -> Value {
    let member =
        |names: &[&str]| names.iter().find_map(|name| sent.get(*name)).filter(|value| !value.is_null()).cloned();
    let members = MEMBERS.iter().filter_map(|(ours, theirs)| Some(((*ours).to_owned(), member(theirs)?)));
    Value::Object(members.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(document: &Value) {
        let mut chain =
            [json!({ "type": "ValueError", "message": "no" }), json!({ "type": "KeyError", "message": "'sku'" })];
        add_frames(&mut chain, document);
        let last = |one: &Value| one["frames"].as_array().and_then(|frames| frames.last().cloned()).unwrap_or_default();
        assert_eq!(last(&chain[0])["function"], "pay", "{document}: {chain:?}");
        assert_eq!(last(&chain[1]), json!({ "function": "price", "file": "b.py", "line": 3 }), "{document}");
    }

    #[test]
    fn of_lists_and_of_texts() {
        let list = |names: [&str; 3]| {
            let [function, file, line] = names;
            [("pay", "a.py", 7), ("price", "b.py", 3)]
                .map(|(name, place, number)| json!([{ function: name, file: place, line: number }]))
        };
        let [pay, price] = list(["function", "filename", "lineno"]);
        check(&json!({ "sentry": { "exception": { "values": [
            { "type": "KeyError", "stacktrace": { "frames": price } }, { "type": "ValueError", "stacktrace": { "frames": pay } }] } } }));
        let [pay, price] = list(["method", "filename", "lineno"]);
        check(&json!({ "rollbar": { "body": { "trace_chain": [
            { "exception": { "class": "ValueError" }, "frames": pay }, { "exception": { "class": "KeyError" }, "frames": price }] } } }));
        let [pay, price] = list(["name", "filename", "lineno"]);
        check(
            &json!({ "exception": [{ "exc_type": "ValueError", "frames": pay }, { "exc_type": "KeyError", "frames": price }] }),
        );
        let text = "Traceback (most recent call last):\n  File \"b.py\", line 3, in price\nKeyError: 'sku'\n\n\
            The above exception was the direct cause of the following exception:\n\n\
            Traceback (most recent call last):\n  File \"a.py\", line 7, in pay\nValueError: no";
        for document in
            [json!({ "exception": text }), json!({ "exc_info": text }), json!({ "error.stack_trace": text })]
        {
            check(&document);
        }
    }

    #[test]
    fn what_does_not_fit_gets_none() {
        let mut chain = [json!({ "type": "A" }), json!({ "type": "B" })];
        let other = json!([{ "type": "C", "frames": [{ "function": "f" }] }, { "type": "B", "frames": "none" }]);
        add_frames(&mut chain, &json!({ "exception": other }));
        assert_eq!(chain, [json!({ "type": "A" }), json!({ "type": "B" })]);
    }
}
