//! What must not be kept within a text, found by its looks.
//!
//! Every finder goes once from left to right. What it has looked at it does not look at again, so the time grows with
//! the length of the text and with nothing else.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use memchr::{memchr, memchr_iter, memchr2, memchr3_iter, memmem};
use regex::bytes::Regex;

use super::names::Place;
use super::triggers::{TRIGGERS, is_triggered};
use super::{ANONYMOUS, HASH_BYTES, Level, Redact, addresses, is_hash, numbers};

/// Longest name of a key that is looked for before a `=` or a `:`, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// So much of a value without quotes is looked at to see whether it looks like a secret.
const LOOK_BYTES_MAX: usize = 256;

/// Most matches of one own pattern in one text. What follows goes whole.
const MATCHES_MAX: usize = 1000;

/// Longest name in a mark, in bytes.
const MARK_BYTES_MAX: usize = 260;

/// How a mark begins.
pub(super) const MARK: &str = "[REDACTED:";

static REGEX: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&TRIGGERS.map(regex::escape).join("|")).ok());

/// A part of a text that is replaced by a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span<'r> {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) name: &'r str,
}

/// All that goes from a text, in order and apart from each other.
pub(super) fn spans<'r>(rules: &'r Redact, text: &str, place: Place) -> Vec<Span<'r>> {
    let mut found = spans_of_rules(rules, text, place);
    for (name, pattern) in &rules.patterns {
        for (count, found_here) in pattern.find_iter(text).filter(|found| !found.is_empty()).enumerate() {
            let end = if count + 1 < MATCHES_MAX { found_here.end() } else { text.len() };
            found.push(Span { start: found_here.start(), end, name });
            if count + 1 == MATCHES_MAX {
                break;
            }
        }
    }
    if found.is_empty() { found } else { apart(text, found) }
}

/// The same for a text from which something has gone. Own patterns are left out: they might match what a mark says.
pub(super) fn spans_beside_marks<'r>(rules: &'r Redact, text: &str, place: Place) -> Vec<Span<'r>> {
    let found = spans_of_rules(rules, text, place);
    if found.is_empty() { found } else { apart(text, found) }
}

fn spans_of_rules<'r>(rules: &'r Redact, text: &str, place: Place) -> Vec<Span<'r>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    if rules.level > Level::Off {
        let triggered = is_triggered(bytes);
        if triggered {
            credentials(text, &mut found);
        }
        let by_code = place == Place::Address && memchr(b'%', bytes).is_some();
        if triggered || by_code || !rules.own.is_empty() {
            pairs(rules, text, &mut found);
        }
        if triggered || memchr(b'@', bytes).is_some() {
            let everywhere = rules.level == Level::Strict || matches!(place, Place::Address | Place::Request);
            addresses::find(text, everywhere, &mut found);
        }
        if place != Place::Opaque && numbers::may_hold_card(bytes) {
            numbers::cards(bytes, |start, end| found.push(Span { start, end, name: "card" }));
        }
        if rules.level == Level::Strict && matches!(place, Place::Text | Place::Address) {
            numbers::phones(bytes, |start, end| found.push(Span { start, end, name: "phone" }));
        }
    } else if !rules.own.is_empty() {
        pairs(rules, text, &mut found);
    }
    found
}

/// Sorts spans and joins those that overlap. What is a mark already stays as it is.
pub(super) fn apart<'r>(text: &str, mut found: Vec<Span<'r>>) -> Vec<Span<'r>> {
    let marks: Vec<(usize, usize)> = memmem::find_iter(text.as_bytes(), MARK)
        .filter_map(|start| mark_at(&text.as_bytes()[start..]).map(|length| (start, start + length)))
        .collect();
    let within_mark = |span: &Span<'_>| {
        let next = marks.partition_point(|(_, end)| *end <= span.start);
        marks.get(next).is_some_and(|(start, end)| *start <= span.start && span.end <= *end)
    };
    // The longer one of two that begin together counts.
    found.sort_by(|a, b| a.start.cmp(&b.start).then(b.end.cmp(&a.end)));
    let mut kept: Vec<Span<'r>> = Vec::with_capacity(found.len());
    for span in found.into_iter().filter(|span| !within_mark(span)) {
        match kept.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => kept.push(span),
        }
    }
    kept
}

/// The length of the mark with which a text begins.
pub(super) fn mark_at(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(MARK.as_bytes())?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80;
    let end = run(&rest[..rest.len().min(MARK_BYTES_MAX)], 0, plain);
    // What begins with a digit is a number that somebody has put there, and no name.
    (rest.get(end) == Some(&b']') && !rest[0].is_ascii_digit() && end > 0).then_some(())?;
    Some(MARK.len() + end + 1)
}

/// The first `:` that is not that of a mark or of a hash.
pub(super) fn colon(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b':', bytes).find(|at| !is_of_mark(bytes, *at) && !is_of_hash(bytes, *at))
}

/// Whether a hash goes on at a place, behind its `:`.
pub(super) fn is_of_hash(bytes: &[u8], colon: usize) -> bool {
    let end = bytes.len().min(colon + 1 + 2 * HASH_BYTES);
    let start = (colon + 1).checked_sub(ANONYMOUS.len());
    start.and_then(|start| std::str::from_utf8(&bytes[start..end]).ok()).is_some_and(is_hash)
}

/// Whether the `:` at a place is that of a mark.
fn is_of_mark(bytes: &[u8], at: usize) -> bool {
    let start = (at + 1).checked_sub(MARK.len());
    start.is_some_and(|start| bytes[start..].starts_with(MARK.as_bytes()) && mark_at(&bytes[start..]).is_some())
}

/// Whether a whole text is a mark.
pub(super) fn is_mark(text: &str) -> bool {
    mark_at(text.as_bytes()) == Some(text.len())
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%' | b'$') || byte >= 0x80
}

fn run(bytes: &[u8], start: usize, of: impl Fn(u8) -> bool) -> usize {
    bytes[start..].iter().position(|byte| !of(*byte)).map_or(bytes.len(), |ahead| start + ahead)
}

/// Credentials that show themselves: `Bearer …`, keys of well-known services, private keys.
fn credentials(text: &str, found: &mut Vec<Span<'_>>) {
    let bytes = text.as_bytes();
    let mut floor = 0;
    for hit in REGEX.iter().flat_map(|triggers| triggers.find_iter(bytes)) {
        let (start, end) = (hit.start(), hit.end());
        if start < floor {
            continue;
        }
        let alone =
            |start: usize| start == 0 || !(bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'_');
        let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        match hit.as_bytes() {
            b"-----BEGIN" => {
                let label = &bytes[end..bytes.len().min(end + NAME_BYTES_MAX)];
                if memmem::find(label, b"PRIVATE KEY").is_some() {
                    floor = private_key(bytes, end);
                    found.push(Span { start, end: floor, name: "private_key" });
                }
            }
            b"earer " | b"EARER " | b"earer%20" if start > 0 && bytes[start - 1].eq_ignore_ascii_case(&b'b') => {
                let from = run(bytes, end, |byte| byte == b' ');
                let to = run(bytes, from, |byte| token(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'='));
                if looks_like_token(&bytes[from..to]) {
                    found.push(Span { start: from, end: to, name: "token" });
                    floor = to;
                }
            }
            b"asic " | b"ASIC " | b"asic%20" if start > 0 && bytes[start - 1].eq_ignore_ascii_case(&b'b') => {
                let from = run(bytes, end, |byte| byte == b' ');
                let to = run(bytes, from, |byte| token(byte) || matches!(byte, b'+' | b'/' | b'='));
                if is_user_and_password(&bytes[from..to]) {
                    found.push(Span { start: from, end: to, name: "credentials" });
                    floor = to;
                }
            }
            b"eyJ" if alone(start) => {
                let to = run(bytes, start, |byte| token(byte) || byte == b'.');
                let is_jwt = bytes[start..to].iter().filter(|byte| **byte == b'.').count() >= 2 && to - start >= 20;
                if is_jwt {
                    found.push(Span { start, end: to, name: "token" });
                }
                floor = to;
            }
            prefix if alone(start) => {
                let Some(least) = key_length(prefix) else { continue };
                let to = run(bytes, start, token);
                if to - start >= least {
                    found.push(Span { start, end: to, name: "api_key" });
                }
                floor = to;
            }
            _ => {}
        }
    }
}

/// Least length of a key of a well-known service that begins so.
fn key_length(prefix: &[u8]) -> Option<usize> {
    Some(match prefix {
        b"sk_live_" | b"sk_test_" | b"rk_live_" => 16,
        b"AKIA" | b"ASIA" => 20,
        b"ghp_" | b"gho_" | b"ghu_" | b"ghs_" | b"ghr_" => 30,
        b"github_pat_" | b"AIza" => 35,
        b"glpat-" => 20,
        b"xoxb" | b"xoxp" | b"xoxa" | b"xoxr" | b"xoxs" => 15,
        _ => return None,
    })
}

/// The end of a private key whose first line begins before `from`; that of the text when it was cut off.
fn private_key(bytes: &[u8], from: usize) -> usize {
    let after = |at: usize, what: &[u8]| memmem::find(&bytes[at..], what).map(|ahead| at + ahead + what.len());
    after(from, b"-----END").and_then(|at| after(at, b"-----")).unwrap_or(bytes.len())
}

/// Whether what follows `Bearer` is a token, and no word.
fn looks_like_token(value: &[u8]) -> bool {
    let digits = value.iter().any(u8::is_ascii_digit);
    let mixed = value.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    value.len() >= 8 && (digits || mixed || value.len() >= 24)
}

/// Whether it is `user:password` in Base64.
fn is_user_and_password(value: &[u8]) -> bool {
    let end = value.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let decoded =
        BASE64_STANDARD_NO_PAD.decode(&value[..end]).or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(&value[..end]));
    decoded.is_ok_and(|decoded| decoded.contains(&b':') && std::str::from_utf8(&decoded).is_ok())
}

/// Values under named keys: `password=x`, `token: "x"`, `'secret': 'x'`, `--password x`, and header lines.
fn pairs<'r>(rules: &'r Redact, text: &str, found: &mut Vec<Span<'r>>) {
    let bytes = text.as_bytes();
    pairs_at(rules, text, memchr3_iter(b'=', b':', b'%', bytes), found);
    pairs_at(rules, text, options(bytes), found);
}

fn pairs_at<'r>(rules: &'r Redact, text: &str, separators: impl Iterator<Item = usize>, found: &mut Vec<Span<'r>>) {
    let bytes = text.as_bytes();
    let mut floor = 0;
    for at in separators {
        if at < floor {
            continue;
        }
        let Some(pair) = Pair::before(bytes, at, floor) else { continue };
        let name = &text[pair.start..pair.end];
        let decoded = if name.contains('%') { Some(percent_decoded(name)) } else { None };
        let Some(rule) = rules.secret(decoded.as_deref().unwrap_or(name)) else { continue };
        let Some((start, end)) = pair.value(bytes, rule.name) else { continue };
        floor = floor.max(end);
        if start < end && !is_mark(&text[start..end]) && (rule.own || !is_nothing(&text[start..end])) {
            found.push(Span { start, end, name: rule.name });
        }
    }
}

/// The places of the blanks after `--name`.
fn options(bytes: &[u8]) -> impl Iterator<Item = usize> {
    memmem::find_iter(bytes, b"--").filter_map(|start| {
        let name = &bytes[start..bytes.len().min(start + NAME_BYTES_MAX)];
        let end = name.iter().position(|byte| *byte == b' ')?;
        Some(start + end)
    })
}

/// What is there when nothing is.
fn is_nothing(value: &str) -> bool {
    matches!(value, "null" | "None" | "true" | "false" | "True" | "False" | "nil" | "undefined" | "[]" | "{}" | "()")
}

fn percent_decoded(name: &str) -> String {
    let pair = form_urlencoded::parse(name.as_bytes()).next();
    pair.map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// A name and what separates it from its value.
#[derive(Clone, Copy, Debug)]
struct Pair {
    start: usize,
    end: usize,
    /// Where the value may begin.
    value: usize,
    separator: Separator,
    /// The quote around the name.
    quote: Option<u8>,
    /// The quote before a name that has none behind it.
    open: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Separator {
    Equals,
    /// `%3D`: within a query string that is itself an argument.
    Encoded,
    Colon,
    Blank,
}

impl Pair {
    /// The name that ends before the separator at `at`.
    fn before(bytes: &[u8], at: usize, floor: usize) -> Option<Self> {
        let (separator, value) = match bytes[at] {
            b'=' if bytes.get(at + 1) == Some(&b'>') => (Separator::Colon, at + 2),
            b'=' => (Separator::Equals, at + 1),
            b':' if is_of_mark(bytes, at) => return None,
            b':' if bytes.get(at + 1) == Some(&b'=') => (Separator::Equals, at + 2),
            b':' => (Separator::Colon, at + 1),
            b' ' => (Separator::Blank, at + 1),
            _ => {
                let encoded = bytes.get(at + 1..at + 3)?.eq_ignore_ascii_case(b"3d");
                encoded.then_some((Separator::Encoded, at + 3))?
            }
        };
        let mut end = at;
        while end > floor && bytes[end - 1] == b' ' && at - end < 2 {
            end -= 1;
        }
        let mut quote = None;
        if end > floor
            && let b'"' | b'\'' | b'`' = bytes[end - 1]
        {
            quote = Some(bytes[end - 1]);
            end -= 1;
            // Within a text of JSON that is not read as such.
            if end > floor && bytes[end - 1] == b'\\' {
                end -= 1;
            }
        }
        let most = end.saturating_sub(NAME_BYTES_MAX).max(floor);
        let mut start = bytes[most..end].iter().rposition(|byte| !is_name(*byte)).map_or(most, |last| most + last + 1);
        while start < end && (matches!(bytes[start], b'-' | b'[' | b']' | b'.') || bytes[start] & 0xc0 == 0x80) {
            start += 1;
        }
        // An escape that is no letter ends a name: `%26token%3D`.
        while let Some(escape) = memchr(b'%', &bytes[start..end]).map(|ahead| start + ahead) {
            let code = bytes.get(escape + 1..escape + 3).and_then(|code| std::str::from_utf8(code).ok());
            start = match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
                Some(code) if is_name(code) => break,
                Some(_) => (escape + 3).min(end),
                None => escape + 1,
            };
        }
        if bytes[..start].ends_with(MARK.as_bytes()) {
            return None;
        }
        let open = start.checked_sub(1).map(|at| bytes[at]).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
        (start < end).then_some(Self { start, end, value, separator, quote, open })
    }

    /// Where the value begins and ends; `None` when there is none that counts.
    fn value(&self, bytes: &[u8], rule: &str) -> Option<(usize, usize)> {
        let mut start = self.value;
        while start < bytes.len()
            && bytes[start] == b' '
            && (self.separator != Separator::Equals || start - self.value < 2)
        {
            start += 1;
        }
        if let [b'b' | b'u' | b'r', b'\'' | b'"', ..] = bytes[start..] {
            start += 1;
        }
        let escaped = bytes.get(start) == Some(&b'\\') && matches!(bytes.get(start + 1), Some(b'"' | b'\''));
        let first = *bytes.get(start + usize::from(escaped))?;
        match first {
            b'"' | b'\'' | b'`' if self.open != Some(first) || self.quote.is_some() => {
                let from = start + 1 + usize::from(escaped);
                return Some((from, end_of_quoted(bytes, from, first, escaped)));
            }
            b'{' | b'[' | b'(' if self.quote.is_some() && self.separator == Separator::Colon => {
                return Some((start, end_of_brackets(bytes, start)));
            }
            b'{' | b'[' | b'(' if self.separator == Separator::Equals => {
                return Some((start, end_of_bare(bytes, end_of_brackets(bytes, start), Separator::Equals)));
            }
            _ => {}
        }
        let is_header = matches!(rule, "authorization" | "cookie" | "api_key" | "csrf_token");
        match self.separator {
            Separator::Colon if self.quote.is_none() && is_header => {
                let ends = |byte: u8| !matches!(byte, b'\r' | b'\n') && Some(byte) != self.open;
                Some((start, trimmed(bytes, start, run(bytes, start, ends))))
            }
            Separator::Colon if self.quote.is_none() => {
                let near = &bytes[..bytes.len().min(start + LOOK_BYTES_MAX)];
                let value = &bytes[start..end_of_bare(near, start, Separator::Colon)];
                let own = without_marks(value);
                let (digit, letter) = (own.iter().any(u8::is_ascii_digit), own.iter().any(u8::is_ascii_alphabetic));
                let is_secret = value.len() >= 6 && digit && letter;
                is_secret.then(|| (start, end_of_bare(bytes, start, Separator::Colon)))
            }
            Separator::Blank if first == b'-' => None,
            separator => Some((start, end_of_bare(bytes, start, separator))),
        }
    }
}

/// A value but for the marks in it, whose letters are ours.
fn without_marks(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut at) = memmem::find(value, MARK.as_bytes()) else { return Cow::Borrowed(value) };
    let (mut own, mut rest) = (Vec::with_capacity(value.len()), value);
    loop {
        own.extend_from_slice(&rest[..at]);
        rest = &rest[at + mark_at(&rest[at..]).unwrap_or(MARK.len())..];
        match memmem::find(rest, MARK.as_bytes()) {
            Some(next) => at = next,
            None => break,
        }
    }
    own.extend_from_slice(rest);
    Cow::Owned(own)
}

fn trimmed(bytes: &[u8], start: usize, end: usize) -> usize {
    bytes[start..end].iter().rposition(|byte| *byte != b' ').map_or(start, |last| start + last + 1)
}

/// The end of a value in quotes; of one that was cut off that of the text.
fn end_of_quoted(bytes: &[u8], from: usize, quote: u8, escaped: bool) -> usize {
    let mut at = from;
    while let Some(ahead) = memchr2(quote, b'\\', &bytes[at..]) {
        at += ahead;
        match bytes[at] {
            b'\\' if escaped && bytes.get(at + 1) == Some(&quote) => return at,
            b'\\' => at = (at + 2).min(bytes.len()),
            _ => return at,
        }
    }
    bytes.len()
}

fn end_of_brackets(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' if depth <= 1 => return at + 1,
            b'}' | b']' | b')' => depth -= 1,
            _ => {}
        }
    }
    bytes.len()
}

/// The end of a value without quotes.
fn end_of_bare(bytes: &[u8], start: usize, separator: Separator) -> usize {
    let mut at = start;
    if let Some(length) = mark_at(&bytes[start..]) {
        at += length;
    }
    while at < bytes.len() {
        match bytes[at] {
            byte if byte.is_ascii_whitespace() => break,
            b'&' | b'"' | b'\'' | b'<' | b'>' | b'`' => break,
            b'%' if separator == Separator::Encoded && bytes[at..].starts_with(b"%26") => break,
            b';' | b',' if begins_pair(&bytes[at + 1..]) => break,
            b'}' | b',' if separator == Separator::Colon => break,
            _ => at += 1,
        }
    }
    while at > start && matches!(bytes[at - 1], b')' | b'}' | b',' | b';' | b'.') {
        at -= 1;
    }
    at
}

/// Whether a further `name=` follows a `,` or `;`, or nothing but a blank.
fn begins_pair(rest: &[u8]) -> bool {
    let rest = &rest[..rest.len().min(NAME_BYTES_MAX)];
    let name = run(rest, 0, is_name);
    rest.first().is_none_or(u8::is_ascii_whitespace) || (name > 0 && matches!(rest.get(name), Some(b'=' | b':' | b' ')))
}
