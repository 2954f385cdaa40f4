//! The type and the message of an exception from the text of a traceback.

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

/// The same of a list of exceptions, as structlog's `dict_tracebacks` writes it: the first one is the one that was not
/// caught, the others are what caused it.
pub(crate) fn first_of_list(json: &str) -> Option<(String, String)> {
    let list: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
    let first = list.first()?;
    let text = |keys: [&str; 2]| keys.iter().find_map(|key| first.get(*key)?.as_str()).map(str::to_owned);
    Some((text(["exc_type", "type"])?, text(["exc_value", "value"]).unwrap_or_default()))
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
        let list = r#"[{"exc_type":"ValueError","exc_value":"no such sku","frames":[]},{"exc_type":"KeyError","exc_value":"'sku'","is_cause":true}]"#;
        assert_eq!(first_of_list(list), Some(("ValueError".to_owned(), "no such sku".to_owned())));
        assert_eq!(first_of_list(r#"["a.py:1","b.py:2"]"#), None);
        assert_eq!(first_of_list("[]"), None);
    }
}
