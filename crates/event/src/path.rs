//! Paths of keys. A path is the keys from the top of the event down to a value, joined by dots; a dot or a
//! backslash inside a key is written with a backslash before it, and so is an underscore that begins the first
//! key (names that begin with an underscore are Everlog's own columns). An empty first key is written `\0`, so that
//! no path is empty. So `{"user":{"id":1}}` has the path
//! `user.id` and `{"user.id":1}` the path `user\.id`: told apart when an event is put together again, found by
//! the same name `user.id` when it is searched.

use std::borrow::Cow;

/// An empty key that begins a path.
const EMPTY: &str = "\\0";

/// Writes one key so that it can stand in a path. `first` says that it begins the path.
#[must_use]
pub fn escape_segment(key: &str, first: bool) -> Cow<'_, str> {
    if first && key.is_empty() {
        return Cow::Borrowed(EMPTY);
    }
    let leading = first && key.starts_with('_');
    if !leading && !key.bytes().any(|byte| byte == b'.' || byte == b'\\') {
        return Cow::Borrowed(key);
    }
    let mut escaped = String::with_capacity(key.len() + 2);
    if leading {
        escaped.push('\\');
    }
    for character in key.chars() {
        if matches!(character, '.' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    Cow::Owned(escaped)
}

/// Appends a key to a path.
pub fn push_segment(path: &mut String, key: &str) {
    let first = path.is_empty();
    if !first {
        path.push('.');
    }
    path.push_str(&escape_segment(key, first));
}

/// The name under which a path is asked for: without the backslashes, so that `user\.id` and `user.id` agree.
#[must_use]
pub fn logical_name(path: &str) -> Cow<'_, str> {
    if !path.contains('\\') {
        return Cow::Borrowed(path);
    }
    let mut name = String::with_capacity(path.len());
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            name.extend(characters.next().filter(|escaped| *escaped != '0'));
        } else {
            name.push(character);
        }
    }
    Cow::Owned(name)
}

/// Splits a path into its first key, unescaped, and the rest of the path if there is more.
#[must_use]
pub fn split_first(path: &str) -> (Cow<'_, str>, Option<&str>) {
    let mut escaped = false;
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'.' => return (logical_name(&path[..at]), Some(&path[at + 1..])),
            _ => {}
        }
    }
    (logical_name(path), None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_survive_the_way_through_a_path(keys in proptest::collection::vec("[a-z._\\\\]{0,4}", 1..5)) {
            let mut path = String::new();
            keys.iter().for_each(|key| push_segment(&mut path, key));
            let mut read = Vec::new();
            let mut rest = Some(path.as_str());
            while let Some(left) = rest {
                let (key, more) = split_first(left);
                read.push(key.into_owned());
                rest = more;
            }
            prop_assert_eq!(read, keys);
        }
    }
}
