//! Words: what the index keeps and what a search for a word compares.
//!
//! A word is a longest run of letters, digits (of any script) and underscores. Words are compared without regard
//! to case. `alice@example.com` is the three words alice, example and com, one after the other.

use std::borrow::Cow;

/// The words of a text, as they stand in it.
pub fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = find(rest, is_word)?;
        let tail = &rest[start..];
        let end = find(tail, |character| !is_word(character)).unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        rest = after;
        Some(word)
    })
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || (!character.is_ascii() && character.is_alphanumeric())
}

fn find(text: &str, wanted: impl Fn(char) -> bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii() {
            if wanted(char::from(byte)) {
                return Some(at);
            }
            at += 1;
        } else {
            let character = text[at..].chars().next()?;
            if wanted(character) {
                return Some(at);
            }
            at += character.len_utf8();
        }
    }
    None
}

/// A text in the form in which words are compared.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        return Cow::Owned(text.to_lowercase());
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Calls `visit` for every text and number in a piece of JSON, texts unescaped; keys of objects are left out.
pub fn json_scalars(json: &str, visit: &mut dyn FnMut(&str)) {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at);
                let is_key = bytes[end..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
                if !is_key && let Some(text) = unescape(&json[at..end]) {
                    visit(&text);
                }
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..]
                    .iter()
                    .position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .map_or(bytes.len(), |length| at + length);
                visit(&json[at..end]);
                at = end;
            }
            _ => at += 1,
        }
    }
}

/// The position after the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The text of a JSON string literal; `None` for one that is no Unicode text (a lone surrogate).
#[must_use]
pub fn unescape(literal: &str) -> Option<Cow<'_, str>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(literal).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_texts() {
        let check = |text: &str| words(text).map(str::to_owned).collect::<Vec<_>>().join("|");
        assert_eq!(check("alice@example.com"), "alice|example|com");
        assert_eq!(check(" needle_7, (Größe) 漢字!"), "needle_7|Größe|漢字");
        assert_eq!(check("--"), "");
    }

    #[test]
    fn scalars_of_json() {
        let mut found = Vec::new();
        json_scalars(r#"{"a":["x\ny",{"k":-1.5e3}],"b" : "\ud800","c":"z\"q"}"#, &mut |text| {
            found.push(text.to_owned());
        });
        assert_eq!(found, ["x\ny", "-1.5e3", "z\"q"]);
    }
}
