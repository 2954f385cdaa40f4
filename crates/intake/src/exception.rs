//! The type and the message of an exception from the text of a traceback.

use serde_json::{Value, json};

use crate::frames::{CHAIN_MAX, FRAMES_MAX, Traceback, traceback};

/// Finds type and message: the last line of a Python traceback, the first line of a Java or JavaScript one, the
/// message of a Rust panic.
pub(crate) fn type_and_message(text: &str) -> Option<(&str, &str)> {
    if let Some(at) = text.find("panicked at ") {
        let message = text[at..].lines().nth(1).or_else(|| text[at..].split('\'').nth(1))?;
        return Some(("panic", message.trim()));
    }
    let python = text.contains("Traceback (most recent call last):");
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let line = if python { lines.rfind(|line| !line.starts_with([' ', '\t'])) } else { lines.next() }?;
    let line =
        line.strip_prefix("Exception in thread ").and_then(|rest| rest.split_once(' ')).map_or(line, |(_, rest)| rest);
    let (kind, message) = line.split_once(':').unwrap_or((line, ""));
    let kind = kind.trim();
    let is_name = !kind.is_empty()
        && kind.len() <= 200
        && kind.chars().all(|character| character.is_alphanumeric() || matches!(character, '.' | '_' | '$'));
    (is_name && (python || kind.ends_with("Error") || kind.contains("Exception"))).then(|| (kind, message.trim()))
}

/// What the key `exception` of a document says, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) traceback: Traceback,
}

impl Raised {
    /// Reads the text of a traceback.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let (kind, message) = type_and_message(text)?;
        Some(Self { kind: kind.to_owned(), message: message.to_owned(), traceback: traceback(text) })
    }

    /// The same of a list of exceptions, as structlog's `dict_tracebacks` writes it: the first one is the one that was
    /// not caught, the others are what caused it.
    pub(crate) fn of_list(json: &str) -> Option<Self> {
        let list: Vec<Value> = serde_json::from_str(json).ok()?;
        let text = |one: &Value, keys: [&str; 2]| {
            keys.iter().find_map(|key| one.get(*key)?.as_str()).unwrap_or_default().to_owned()
        };
        let first = list.first()?;
        let kind = Some(text(first, ["exc_type", "type"])).filter(|kind| !kind.is_empty())?;
        let frame =
            |frame: &Value| json!({ "function": frame["name"], "file": frame["filename"], "line": frame["lineno"] });
        let frames = first.get("frames").and_then(Value::as_array).filter(|frames| !frames.is_empty());
        let frames = frames.map(|frames| {
            let skipped = frames.len().saturating_sub(FRAMES_MAX);
            frames[skipped..].iter().map(frame).collect::<Value>().to_string()
        });
        let one = |one: &Value| json!({ "type": text(one, ["exc_type", "type"]), "message": text(one, ["exc_value", "value"]) });
        let chain: Option<Value> = (list.len() > 1).then(|| list.iter().take(CHAIN_MAX).map(one).collect());
        let traceback = Traceback { frames, chain: chain.map(|chain| chain.to_string()) };
        Some(Self { kind, message: text(first, ["exc_value", "value"]), traceback })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_usual_languages() {
        let python = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    1 / 0\n    ~~^~~\nZeroDivisionError: division by zero";
        assert_eq!(type_and_message(python), Some(("ZeroDivisionError", "division by zero")));
        let java = "java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)";
        assert_eq!(type_and_message(java), Some(("java.lang.IllegalStateException", "no")));
        let rust = "thread 'main' panicked at src/main.rs:1:2:\nattempt to divide by zero\nnote: run";
        assert_eq!(type_and_message(rust), Some(("panic", "attempt to divide by zero")));
        assert_eq!(
            type_and_message("TypeError: x is undefined\n    at f (a.js:1:2)"),
            Some(("TypeError", "x is undefined"))
        );
        assert_eq!(type_and_message("it broke"), None);
        assert_eq!(type_and_message(""), None);
    }

    #[test]
    fn of_structlogs_lists() {
        let list = r#"[{"exc_type":"ValueError","exc_value":"no such sku","frames":[{"filename":"/app/a.py","lineno":7,"name":"pay","locals":{"card":"4"}}]},{"exc_type":"KeyError","exc_value":"'sku'","is_cause":true}]"#;
        let raised = Raised::of_list(list).unwrap();
        assert_eq!((raised.kind.as_str(), raised.message.as_str()), ("ValueError", "no such sku"));
        assert_eq!(raised.traceback.frames.as_deref(), Some(r#"[{"function":"pay","file":"/app/a.py","line":7}]"#));
        assert!(raised.traceback.chain.unwrap().ends_with(r#"{"type":"KeyError","message":"'sku'"}]"#));
        assert_eq!(Raised::of_list(r#"["a.py:1","b.py:2"]"#), None);
        assert_eq!(Raised::of_list("[]"), None);
    }
}
