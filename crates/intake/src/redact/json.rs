//! JSON with what must not be kept replaced, read once from its beginning to its end.
//!
//! Nothing is put together anew: what is replaced is noted, and all else stays byte for byte, numbers and blanks too.

use std::borrow::Cow;

use event::limits::DEPTH_MAX;
use event::text::unescape;

use super::names::{Judged, Place, Rule, Verdict};
use super::scan::{MARK, is_mark};
use super::{Change, Depth, Redact, Tally, mark};

/// A part that is replaced.
#[derive(Debug)]
struct Edit {
    start: usize,
    end: usize,
    with: String,
}

/// The text with its values replaced, `Some(None)` when nothing is to be replaced, `None` when it is no JSON.
pub(super) fn rewrite<'r>(
    rules: &'r Redact,
    text: &str,
    (place, depth): (Place, Depth),
    tally: &mut Tally<'r>,
    nested: u8,
) -> Option<Option<String>> {
    let before = tally.names.len();
    let only_names = depth != Depth::Whole;
    let mut walk = Walk { rules, text, at: 0, edits: Vec::new(), nested, only_names, key: String::new(), tally };
    let read = walk.value(place, 0).filter(|()| {
        walk.blank();
        walk.at == text.len()
    });
    let Walk { edits, tally, .. } = walk;
    if read.is_none() {
        tally.names.truncate(before);
        return None;
    }
    Some(applied(text, &edits))
}

fn applied(text: &str, edits: &[Edit]) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        out.push_str(&text[at..edit.start]);
        out.push_str(&edit.with);
        at = edit.end;
    }
    out.push_str(&text[at..]);
    Some(out)
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a literal. Halves of surrogate pairs, which are no text, become U+FFFD in it; what else cannot be read is
/// taken as it stands.
fn unescaped(literal: &str) -> Cow<'_, str> {
    if let Some(text) = unescape(literal) {
        return text;
    }
    let mut whole = String::with_capacity(literal.len());
    let mut rest = literal;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let escape = rest.as_bytes().get(at + 1..at + 6).unwrap_or_default();
        let is_half = matches!(escape, [b'u', b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
        let end = if is_half { at + 6 } else { (at + 2).min(rest.len()) };
        let Some((before, after)) = rest.split_at_checked(end) else { break };
        whole.push_str(if is_half { &before[..at] } else { before });
        whole.push_str(if is_half { "\\ufffd" } else { "" });
        rest = after;
    }
    whole.push_str(rest);
    match unescape(&whole) {
        Some(text) => Cow::Owned(text.into_owned()),
        None => Cow::Borrowed(literal.trim_matches('"')),
    }
}

struct Walk<'w, 'r, 't> {
    rules: &'r Redact,
    text: &'t str,
    at: usize,
    edits: Vec<Edit>,
    nested: u8,
    /// Whether nothing has to go but what stands under a name that says so.
    only_names: bool,
    /// The key of the value that is read, where changes are shown.
    key: String,
    tally: &'w mut Tally<'r>,
}

impl<'r, 't> Walk<'_, 'r, 't> {
    /// Notes that what begins at `start` and ends here is replaced, by the rules that were counted since `before`.
    fn edit(&mut self, start: usize, with: String, before: usize) {
        if self.nested == 0
            && let Some(changes) = &mut self.tally.changes
        {
            let rules = self.tally.names[before..].iter().map(|name| (*name).to_owned()).collect();
            let (key, sent) = (self.key.clone(), self.text[start..self.at].to_owned());
            changes.push(Change { rules, key, before: sent, after: with.clone() });
        }
        self.edits.push(Edit { start, end: self.at, with });
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, place: Place, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.blank();
        match self.peek()? {
            b'{' => self.object(place, depth),
            b'[' => self.list(place, depth),
            b'"' if self.only_names => self.string_raw().map(drop),
            b'"' => {
                let (start, before) = (self.at, self.tally.names.len());
                let text = self.string()?;
                if let Some(new) = self.rules.replaced(&text, place, self.tally, self.nested + 1) {
                    self.edit(start, quoted(&new), before);
                }
                Some(())
            }
            _ => self.scalar(place),
        }
    }

    /// A text, without its escapes.
    fn string(&mut self) -> Option<Cow<'t, str>> {
        let start = self.at;
        self.at += 1;
        loop {
            let ahead = memchr::memchr2(b'"', b'\\', &self.text.as_bytes()[self.at..])?;
            self.at += ahead;
            if self.take(b'"') {
                return Some(unescaped(&self.text[start..self.at]));
            }
            self.at += 2;
            if self.at > self.text.len() {
                return None;
            }
        }
    }

    fn scalar(&mut self, place: Place) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')) {
            self.at += 1;
        }
        let scalar = &self.text[start..self.at];
        let is_number = scalar.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        if !is_number {
            return matches!(scalar, "true" | "false" | "null").then_some(());
        }
        let before = self.tally.names.len();
        if !self.only_names
            && let Some(new) = self.rules.replaced_number(scalar, place, self.tally)
        {
            self.edit(start, quoted(&new), before);
        }
        Some(())
    }

    /// Goes past a value without a look at what is in it, and returns its text.
    fn skip(&mut self) -> Option<&'t str> {
        self.blank();
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string_raw()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => self.at += 1,
                byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') => {
                    while self
                        .peek()
                        .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
                    {
                        self.at += 1;
                    }
                }
                _ => return None,
            }
            if depth == 0 {
                return Some(&self.text[start..self.at]);
            }
        }
    }

    fn string_raw(&mut self) -> Option<&'t str> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.text.as_bytes().get(self.at..)?)?;
            if self.take(b'"') {
                return Some(&self.text[start..self.at]);
            }
            self.at += 2;
        }
    }

    fn object(&mut self, place: Place, depth: usize) -> Option<()> {
        self.at += 1;
        self.blank();
        if self.take(b'}') {
            return Some(());
        }
        // Of a header or an attribute: `{"name": "Cookie", "value": "…"}`.
        let first = self.edits.len();
        let mut named: Option<String> = None;
        let mut waiting: Vec<usize> = Vec::new();
        loop {
            self.blank();
            (self.peek() == Some(b'"')).then_some(())?;
            let key_at = self.at;
            let key = self.string()?;
            self.mask_key(key_at, &key, place);
            if self.tally.changes.is_some() {
                key.as_ref().clone_into(&mut self.key);
            }
            self.blank();
            self.take(b':').then_some(())?;
            self.blank();
            match key.as_ref() {
                "name" | "key" | "header" | "k" | "Name" | "field" if named.is_none() && self.peek() == Some(b'"') => {
                    let at = self.at;
                    named = Some(self.string()?.into_owned());
                    self.at = at;
                    self.value(place, depth + 1)?;
                }
                "value" | "values" | "v" | "val" | "Value" => match named.clone() {
                    Some(name) => self.named(place, (&key, &name), depth)?,
                    None => {
                        waiting.push(self.at);
                        self.skip()?;
                    }
                },
                _ => {
                    let verdict = self.rules.judge(place, &key).resolve(place, self.peek() == Some(b'{'));
                    self.judged(verdict, depth)?;
                }
            }
            self.blank();
            if self.take(b'}') {
                break;
            }
            self.take(b',').then_some(())?;
        }
        if waiting.is_empty() {
            return Some(());
        }
        let end = self.at;
        for at in waiting {
            self.at = at;
            let name = named.clone().unwrap_or_default();
            self.named(place, ("value", &name), depth)?;
        }
        self.edits[first..].sort_by_key(|edit| edit.start);
        self.at = end;
        Some(())
    }

    /// The value of a pair that says its name beside it.
    fn named(&mut self, place: Place, (key, name): (&str, &str), depth: usize) -> Option<()> {
        // The word in a mark is ours, and names nothing.
        let name = if name.contains(MARK) { key } else { name };
        let judged = match self.rules.judge(place, name) {
            Judged::In(Place::Text) | Judged::Inside(_) => self.rules.judge(place, key),
            judged => judged,
        };
        // Wrapped as OpenTelemetry does it, `{"stringValue": "…"}`, it is one value still.
        self.judged(judged.resolve(place, false), depth)
    }

    fn judged(&mut self, verdict: Verdict<'r>, depth: usize) -> Option<()> {
        match verdict {
            Verdict::Look(place) => self.value(place, depth + 1),
            Verdict::Secret(rule) => self.secret(rule),
        }
    }

    fn secret(&mut self, rule: Rule<'r>) -> Option<()> {
        self.blank();
        let start = self.at;
        let raw = self.skip()?;
        let with = quoted(&mark(rule.name));
        let keep = match raw {
            "null" | "true" | "false" | "\"\"" | "[]" | "{}" => !rule.own,
            _ => raw.len() < 300 && unescape(raw).is_some_and(|text| is_mark(&text)),
        };
        if !keep && raw != with {
            self.tally.names.push(rule.name);
            self.edit(start, with, self.tally.names.len() - 1);
        }
        Some(())
    }

    /// A key that is an e-mail address itself.
    fn mask_key(&mut self, start: usize, key: &str, place: Place) {
        let before = self.tally.names.len();
        if let Some(new) = self.rules.replaced_key(key, place, self.tally) {
            self.edit(start, quoted(&new), before);
        }
    }

    fn list(&mut self, place: Place, depth: usize) -> Option<()> {
        self.at += 1;
        self.blank();
        if self.take(b']') {
            return Some(());
        }
        let mut before: Option<Cow<'t, str>> = None;
        let mut count = 0;
        loop {
            self.blank();
            let start = self.at;
            match before.as_deref().and_then(|name| self.of_list(place, name, count)) {
                Some(verdict) => self.judged(verdict, depth)?,
                None => self.value(place, depth + 1)?,
            }
            let text = &self.text[start..self.at];
            // Of the others, none is the name of what follows.
            let may_name = text.starts_with('"') && (count == 0 || text[1..].starts_with(['-', '\\']));
            before = may_name.then(|| unescaped(text));
            count += 1;
            self.blank();
            if self.take(b']') {
                return Some(());
            }
            self.take(b',').then_some(())?;
        }
    }

    /// What the text before it in a list says of a value: `["Authorization", "…"]` and `["--password", "…"]`.
    fn of_list(&mut self, place: Place, name: &str, count: usize) -> Option<Verdict<'r>> {
        let is_option = name.starts_with("--");
        if !is_option && (count != 1 || name.len() > 64) {
            return None;
        }
        // The word in a mark is ours, and names nothing.
        if name.contains(MARK) {
            return None;
        }
        let (rules, inner) = (self.rules, name.trim_start_matches('-'));
        let judged = match rules.judge(place, inner) {
            Judged::In(Place::Text | Place::Opaque | Place::Request) | Judged::Inside(_) => return None,
            Judged::In(inner) if inner == place => return None,
            judged => judged,
        };
        (is_option || self.is_last()).then(|| judged.resolve(place, false))
    }

    /// Whether the value here is the last one of its list.
    fn is_last(&mut self) -> bool {
        let at = self.at;
        let skipped = self.skip();
        self.blank();
        let last = skipped.is_some() && self.peek() == Some(b']');
        self.at = at;
        last
    }
}
