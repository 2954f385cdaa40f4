//! Envelopes: a line of JSON, then items, each a line of JSON and a payload.
//!
//! What real SDKs send: the first line may be `{}`; an item may say the `length` of its payload, which may hold any
//! bytes then, or else ends with its line; the last line may have no end.

use event::limits::DEPTH_MAX;

use crate::decode::{Reason, is_too_deep};
use crate::raw::{member, number, pick, text};

/// Most items of one envelope. Sentry's own relay takes 100 of a kind.
pub(super) const ITEMS_MAX: usize = 10_000;

/// The parts of an envelope.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// Its first line.
    pub(super) head: &'a str,
    rest: &'a [u8],
    items: usize,
}

/// One item.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// Its line.
    pub(super) head: &'a str,
    /// Its type.
    pub(super) kind: String,
    pub(super) payload: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        let (head, rest) = line(body.trim_ascii_start());
        Self { head: std::str::from_utf8(head).unwrap_or("").trim(), rest, items: 0 }
    }

    /// The next item. After an error there is none: where the next one begins is not known.
    pub(super) fn next(&mut self) -> Option<Result<Item<'a>, Reason>> {
        while let [b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        self.items += 1;
        let item = if self.items > ITEMS_MAX { Err(Reason::BatchFull) } else { self.item() };
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }

    fn item(&mut self) -> Result<Item<'a>, Reason> {
        let broken = |message: &str| Reason::NotJson { message: message.to_owned() };
        let (head, rest) = line(self.rest);
        let head = std::str::from_utf8(head).map_err(|_| broken("the head of an item is not UTF-8"))?.trim();
        if is_too_deep(head, DEPTH_MAX) || !head.starts_with('{') {
            return Err(broken(
                "the head of an item is no JSON object: what follows cannot be told apart and was not read",
            ));
        }
        let [kind, length] = pick(Some(head), ["type", "length"]);
        let Some(kind) = text(kind) else {
            return Err(broken(
                "the head of an item names no type: what follows cannot be told apart and was not read",
            ));
        };
        let kind = kind.into_owned();
        let payload;
        (payload, self.rest) = match number(length) {
            Some(event::Value::Int(length)) => {
                let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
                split.ok_or_else(|| broken("the body ends before the payload of an item does"))?
            }
            _ => line(rest),
        };
        Ok(Item { head, kind, payload })
    }
}

/// A line without its end, and what comes after it.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// The key in the `dsn` of an envelope's first line: what stands before the `@`, without the secret of old days.
pub(super) fn key(head: &str) -> Option<String> {
    let dsn = text(member(Some(head), "dsn"))?;
    let (user, _) = dsn.split_once("://")?.1.split_once('@')?;
    Some(user.split(':').next().unwrap_or(user).to_owned())
}
