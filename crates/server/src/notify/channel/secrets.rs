//! What of a channel's settings is never shown, and how it stays when settings come back as they were shown.

use anyhow::bail;
use reqwest::Url;
use serde_json::{Map, Value};

use super::fields::variable;

/// Stands where a secret is.
pub(super) const MARK: &str = "[REDACTED]";

/// The keys whose whole value is secret.
const WHOLE: [&str; 3] = ["secret", "token", "password"];

/// The shortest text that is taken out of other texts: a shorter one stands in half of all words.
const CONCEALED_BYTES_MIN: usize = 4;

/// The shortest part of a path that is taken for a secret: words of a path are shorter, keys are not.
const PART_BYTES_MIN: usize = 12;

/// A value as people may see it.
fn masked_value(key: &str, value: &Value) -> Value {
    match (key, value) {
        ("url", Value::String(text)) => Value::String(masked_url(text)),
        ("smtp", Value::String(text)) => Value::String(masked_smtp(text)),
        ("dsn", Value::String(text)) => Value::String(masked_dsn(text)),
        ("headers", Value::Object(headers)) => {
            Value::Object(headers.keys().map(|name| (name.clone(), Value::String(MARK.to_owned()))).collect())
        }
        ("headers", _) => Value::String(MARK.to_owned()),
        _ if WHOLE.contains(&key) && !value.is_null() => Value::String(MARK.to_owned()),
        _ => value.clone(),
    }
}

/// Settings as people may see them.
pub(super) fn masked(given: &Map<String, Value>) -> Map<String, Value> {
    given.iter().map(|(key, value)| (key.clone(), masked_value(key, value))).collect()
}

/// An address with its host alone: the path of a webhook gives the right to use it.
pub(super) fn masked_url(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return MARK.to_owned() };
    let origin = url.origin().ascii_serialization();
    let tells = url.query().is_some() || !url.username().is_empty() || url.password().is_some();
    if tells || !matches!(url.path(), "" | "/") { format!("{origin}/{MARK}") } else { origin }
}

/// A DSN without its key.
fn masked_dsn(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return MARK.to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{MARK}@{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// The address of a server for mail without the password.
fn masked_smtp(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return MARK.to_owned() };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let user = match (url.username(), url.password()) {
        ("", None) => String::new(),
        (name, None) => format!("{name}@"),
        (name, Some(_)) => format!("{name}:{MARK}@"),
    };
    format!("{}://{user}{host}{port}", url.scheme())
}

/// Puts back what was given before where only the mark is now. The key of one that was put back.
///
/// # Errors
/// When the mark stands where nothing was, or in another text than was shown.
pub(super) fn restore(
    given: &mut Map<String, Value>,
    before: Option<&Map<String, Value>>,
) -> anyhow::Result<Option<String>> {
    let mut restored = None;
    for (key, value) in given.iter_mut() {
        let kept = before.and_then(|before| before.get(key));
        match value {
            Value::Object(inner) => {
                for (name, value) in inner.iter_mut().filter(|(_, value)| has_mark(value)) {
                    let kept = kept.and_then(|kept| kept.get(name)).filter(|_| value.as_str() == Some(MARK));
                    let Some(kept) = kept else { bail!("{key}: {name}: {WHAT_IT_IS}") };
                    *value = kept.clone();
                    restored = Some(key.clone());
                }
            }
            value if has_mark(value) => {
                let kept = kept.filter(|kept| masked_value(key, kept) == *value);
                let Some(kept) = kept else { bail!("{key}: {WHAT_IT_IS}") };
                *value = kept.clone();
                restored = Some(key.clone());
            }
            _ => {}
        }
    }
    Ok(restored)
}

const WHAT_IT_IS: &str = "[REDACTED] stands for a value that is not shown, and there is none to keep: give the whole";

fn has_mark(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains(MARK))
}

/// A text without what is secret in the settings.
pub(super) fn conceal(given: &Map<String, Value>, text: &str) -> String {
    let mut secrets: Vec<String> = given.iter().flat_map(|(key, value)| secrets_of(key, value)).collect();
    secrets.retain(|secret| secret.len() >= CONCEALED_BYTES_MIN);
    // The longest first: none is a rest of another then.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MARK))
}

fn secrets_of(key: &str, value: &Value) -> Vec<String> {
    match (key, value) {
        ("url", Value::String(text)) => {
            let Ok(url) = Url::parse(text) else { return vec![text.clone()] };
            let parts = url.path_segments().into_iter().flatten().filter(|part| part.len() >= PART_BYTES_MIN);
            let mut found: Vec<String> = parts.map(str::to_owned).collect();
            // The values of the query besides: a server may tell each of them alone.
            found.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
            found.extend([url.query().unwrap_or_default().to_owned(), url.password().unwrap_or_default().to_owned()]);
            if matches!(url.path().len(), PART_BYTES_MIN..) {
                found.push(url.path().to_owned());
            }
            found
        }
        ("dsn", Value::String(text)) => {
            let Ok(url) = Url::parse(text) else { return vec![text.clone()] };
            vec![url.username().to_owned(), url.password().unwrap_or_default().to_owned()]
        }
        ("smtp", Value::String(text)) => {
            let password = Url::parse(text).ok().and_then(|url| url.password().map(str::to_owned)).unwrap_or_default();
            vec![super::mail::percent_decoded(&password), password]
        }
        ("headers", Value::Object(headers)) => {
            headers.values().filter_map(|value| value.as_str().map(str::to_owned)).collect()
        }
        (key, Value::String(text)) if WHOLE.contains(&key) => vec![text.clone()],
        _ => Vec::new(),
    }
}

/// A line of a table as a file has it; a secret is only said to be set, unless the environment has it.
pub(super) fn printed(key: &str, value: &toml::Value) -> String {
    let named = value.as_str().is_some_and(|text| variable(text).is_some());
    let json = value.as_str().map_or(Value::Null, |text| Value::String(text.to_owned()));
    let is_secret = key == "headers" || WHOLE.contains(&key) || masked_value(key, &json) != json;
    if is_secret && !named { format!("# {key} = \"(set)\"\n") } else { format!("{key} = {value}\n") }
}
