//! Leaves put together again: the inverse of taking a document apart.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::{Value, shared, split_first};

/// One value on its way into a document.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// The path, escaped as in [`crate::escape_segment`].
    pub path: &'a str,
    /// The value.
    pub value: Value<'a>,
    /// Whether it is the document as sent, which wins over a column of the same path.
    pub sent: bool,
}

/// Writes documents; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Renderer {
    open: Vec<String>,
}

impl Renderer {
    /// Appends the JSON object that the leaves make. They are sorted in place: shared keys first, then by path.
    ///
    /// Where a column was derived from an object of the same name (`user` from `user.id`) the object is shown;
    /// where a text stands beside keys derived from it (`exception`, `exception.type`) the text is shown: in both
    /// cases, what was sent.
    pub fn write(&mut self, leaves: &mut [Leaf<'_>], out: &mut Vec<u8>) {
        leaves.sort_by(|left, right| order(left, right));
        self.open.clear();
        out.push(b'{');
        let mut first = true;
        let mut shown_scalar: Option<&str> = None;
        for (index, leaf) in leaves.iter().enumerate() {
            if leaves.get(index + 1).is_some_and(|next| next.path == leaf.path) {
                continue;
            }
            if shown_scalar.is_some_and(|path| is_below(leaf.path, path)) {
                continue;
            }
            if !leaf.sent
                && shared::may_stand_for_object(leaf.path)
                && leaves[index + 1..]
                    .iter()
                    .take_while(|next| next.path.starts_with(leaf.path))
                    .any(|next| is_below(next.path, leaf.path))
            {
                continue;
            }
            shown_scalar = Some(leaf.path);
            self.write_leaf(leaf, &mut first, out);
        }
        for _ in 0..self.open.len() {
            out.push(b'}');
        }
        out.push(b'}');
    }

    fn write_leaf(&mut self, leaf: &Leaf<'_>, first: &mut bool, out: &mut Vec<u8>) {
        let mut depth = 0;
        let mut rest = leaf.path;
        loop {
            let (key, more) = split_first(rest);
            let Some(more) = more else {
                self.close_to(depth, first, out);
                write_key(&key, first, out);
                break;
            };
            if self.open.get(depth).is_none_or(|open| *open != key) {
                self.close_to(depth, first, out);
                write_key(&key, first, out);
                out.push(b'{');
                *first = true;
                self.open.push(key.into_owned());
            }
            depth += 1;
            rest = more;
        }
        leaf.value.write_json(out);
        *first = false;
    }

    fn close_to(&mut self, depth: usize, first: &mut bool, out: &mut Vec<u8>) {
        while self.open.len() > depth {
            self.open.pop();
            out.push(b'}');
            *first = false;
        }
    }
}

fn write_key(key: &str, first: &mut bool, out: &mut Vec<u8>) {
    if !*first {
        out.push(b',');
    }
    *first = false;
    Value::Str(key).write_json(out);
    out.push(b':');
}

/// Whether `path` lies inside the object at `parent`.
fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
}

fn order(left: &Leaf<'_>, right: &Leaf<'_>) -> Ordering {
    if left.path == right.path {
        return left.sent.cmp(&right.sent);
    }
    let (left_key, _) = split_first(left.path);
    let (right_key, _) = split_first(right.path);
    shared::rank(&left_key).cmp(&shared::rank(&right_key)).then_with(|| compare_paths(left.path, right.path))
}

/// By keys, so that what belongs to one object stands together.
fn compare_paths(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (Some(left), Some(right));
    loop {
        match (left, right) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(one), Some(other)) => {
                let (one_key, one_rest) = split_first(one);
                let (other_key, other_rest) = split_first(other);
                match one_key.cmp(&other_key) {
                    // A literal key that looks like the other's object: told apart by having more below it.
                    Ordering::Equal => (left, right) = (one_rest, other_rest),
                    unequal => return unequal,
                }
            }
        }
    }
}

/// The leaves of an overflow text: a flat JSON object from paths to values.
///
/// A text that is not such an object gives none: it was written by us and is covered by a checksum.
pub fn rest_leaves(rest: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    sonic_rs::to_object_iter(rest).map_while(Result::ok).map(|(key, value)| (key, value.as_raw_cow()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(leaves: &[(&str, Value<'_>)]) -> String {
        let mut leaves: Vec<Leaf<'_>> =
            leaves.iter().map(|(path, value)| Leaf { path, value: *value, sent: false }).collect();
        let mut out = Vec::new();
        Renderer::default().write(&mut leaves, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nests_and_orders() {
        let json = check(&[
            ("zeta", Value::Int(1)),
            ("token.tags", Value::Raw("[1,2]")),
            ("token.identifier", Value::Str("a\"b")),
            (r"user\.id", Value::Null),
            ("user", Value::Str("7")),
            ("level", Value::Str("info")),
        ]);
        assert_eq!(
            json,
            r#"{"level":"info","user":"7","token":{"identifier":"a\"b","tags":[1,2]},"user.id":null,"zeta":1}"#
        );
    }

    #[test]
    fn what_was_sent_is_shown() {
        assert_eq!(check(&[("user", Value::Str("7")), ("user.id", Value::Int(7))]), r#"{"user":{"id":7}}"#);
        assert_eq!(
            check(&[("exception", Value::Str("Traceback")), ("exception.type", Value::Str("KeyError"))]),
            r#"{"exception":"Traceback"}"#
        );
    }

    #[test]
    fn odd_keys() {
        assert_eq!(check(&[("", Value::Int(1))]), r#"{"":1}"#);
        assert_eq!(check(&[("a.", Value::Int(1)), ("a.b", Value::Int(2))]), r#"{"a":{"":1,"b":2}}"#);
        assert_eq!(check(&[(r"\_rest", Value::Int(1))]), r#"{"_rest":1}"#);
        assert_eq!(check(&[]), "{}");
    }
}
