//! The type and the message of an exception from the text of a traceback.

use serde_json::{Map, Value, json};

use crate::frames::{self, CHAIN_MAX, FRAMES_MAX, Traceback, traceback};

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
    (is_type(kind) && (python || kind.ends_with("Error") || kind.contains("Exception"))).then(|| (kind, message.trim()))
}

/// An exception whose traceback stands in a message, alone or after what is said of it.
pub(crate) fn in_message(message: &str) -> Option<Raised> {
    let start_of_line = |at: usize| message[..at].rfind('\n').map_or(0, |before| before + 1);
    let calls = || ["\n\tat ", "\n    at ", "\n  at "].iter().filter_map(|call| message.find(call)).min();
    let start = match ["Traceback (most recent call last):", "panicked at "].iter().find_map(|sign| message.find(sign))
    {
        Some(at) => start_of_line(at),
        None => start_of_line(calls()?),
    };
    Raised::of_text(&message[start..]).filter(|raised| raised.traceback.frames.is_some())
}

/// Whether a text may be the name of a type.
fn is_type(kind: &str) -> bool {
    !kind.is_empty()
        && kind.len() <= 200
        && kind.chars().all(|character| character.is_alphanumeric() || matches!(character, '.' | '_' | '$' | '\\'))
}

/// What the key `exception` of a document says, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) traceback: Traceback,
}

impl Raised {
    /// One of which nothing but its type and its message is known; either may be empty.
    pub(crate) fn named(kind: &str, message: &str) -> Self {
        Self { kind: kind.to_owned(), message: message.to_owned(), traceback: Traceback { frames: None, chain: None } }
    }

    /// Reads the text of a traceback.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let (kind, message) = type_and_message(text)?;
        Some(Self { traceback: traceback(text), ..Self::named(kind, message) })
    }

    /// Reads a text of which its key says that it is a traceback: the type may have any name then, or none.
    pub(crate) fn of_stack(text: &str) -> Self {
        if let Some(raised) = Self::of_text(text) {
            return raised;
        }
        let traceback = traceback(text);
        let first = text.lines().next().unwrap_or_default();
        // Without a message it may as well be the first function.
        let named = first.split_once(": ").filter(|(kind, _)| traceback.frames.is_some() && is_type(kind));
        let (kind, message) = named.unwrap_or_default();
        Self { traceback, ..Self::named(kind, message.trim()) }
    }

    /// The same of a list of exceptions, as structlog's `dict_tracebacks` writes it: the first one is the one that was
    /// not caught, the others are what caused it.
    pub(crate) fn of_list(json: &str) -> Option<Self> {
        let list: Vec<Value> = serde_json::from_str(json).ok()?;
        let first = list.first()?;
        let kind = Some(text(first, &LISTED)).filter(|kind| !kind.is_empty())?;
        let frames = first.get("frames").and_then(Value::as_array).and_then(|frames| frames_of(frames));
        let one = |one: &Value| json!({ "type": text(one, &LISTED), "message": text(one, &MESSAGES) });
        let chain: Option<Value> = (list.len() > 1).then(|| list.iter().take(CHAIN_MAX).map(one).collect());
        let traceback = Traceback { frames, chain: chain.map(|chain| chain.to_string()) };
        Some(Self { kind: kind.to_owned(), message: text(first, &MESSAGES).to_owned(), traceback })
    }

    /// A list of frames, where it was raised first: of objects (Log4j), or of texts (Monolog, Ruby).
    pub(crate) fn of_frames(json: &str) -> Option<Self> {
        let mut list: Vec<Value> = serde_json::from_str(json).ok()?;
        list.truncate(FRAMES_MAX);
        list.reverse();
        let frames = frames_of(&list)?;
        Some(Self { traceback: Traceback { frames: Some(frames), chain: None }, ..Self::named("", "") })
    }

    /// An object with the members of an exception under whatever names.
    pub(crate) fn of_object(json: &str) -> Option<Self> {
        let object: Value = serde_json::from_str(json).ok()?;
        let named = Self::named(text(&object, &TYPES), text(&object, &MESSAGES));
        let stack = STACKS.iter().find_map(|key| match object.get(*key)? {
            Value::String(text) => Some(Self::of_stack(text)),
            Value::Array(_) => Self::of_frames(&object[*key].to_string()),
            _ => None,
        });
        Some(stack.into_iter().fold(named, Self::or)).filter(Self::says)
    }

    /// With what another description of the same exception says beyond this one.
    pub(crate) fn or(mut self, other: Self) -> Self {
        if self.kind.is_empty() {
            self.kind = other.kind;
        }
        if self.message.is_empty() {
            self.message = other.message;
        }
        self.traceback.frames = self.traceback.frames.or(other.traceback.frames);
        self.traceback.chain = self.traceback.chain.or(other.traceback.chain);
        self
    }

    /// Whether anything is known of it.
    pub(crate) fn says(&self) -> bool {
        !self.kind.is_empty() || !self.message.is_empty() || self.traceback.frames.is_some()
    }
}

/// What loggers call the type, the message and the traceback of an exception. In a list, what has a class is a frame.
const LISTED: [&str; 2] = ["exc_type", "type"];
const TYPES: [&str; 5] = ["exc_type", "type", "class", "name", "exception_class"];
const MESSAGES: [&str; 4] = ["exc_value", "value", "message", "exception_message"];
const STACKS: [&str; 5] = ["stacktrace", "stack", "stack_trace", "trace", "backtrace"];

/// The first of these members that is a text.
fn text<'v>(object: &'v Value, keys: &[&str]) -> &'v str {
    keys.iter().find_map(|key| object.get(*key)?.as_str()).unwrap_or_default()
}

/// Frames as other loggers write them, in our names; those next to where it was raised, which is last.
fn frames_of(frames: &[Value]) -> Option<String> {
    let skipped = frames.len().saturating_sub(FRAMES_MAX);
    let frames: Vec<Value> = frames[skipped..].iter().filter_map(frame_of).collect();
    (!frames.is_empty()).then(|| Value::Array(frames).to_string())
}

fn frame_of(frame: &Value) -> Option<Value> {
    if let Value::String(line) = frame {
        return frames::line_of_list(line);
    }
    let first = |keys: &[&str]| keys.iter().find_map(|key| frame.get(*key)).filter(|value| !value.is_null());
    let members = [
        ("function", first(&["function", "method", "name"])),
        ("module", first(&["module", "class"])),
        ("file", first(&["filename", "file", "fileName"])),
        ("line", first(&["lineno", "line", "lineNumber"])),
    ];
    let members: Map<String, Value> =
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone()))).collect();
    (!members.is_empty()).then_some(Value::Object(members))
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
