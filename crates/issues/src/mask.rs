//! Messages and paths without what differs each time: numbers, ids, addresses, moments, quoted values.

/// So many bytes of a message are looked at.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1000;

/// What stands in place of a value.
const MARK: char = '#';

/// Words after which a short number is a code and no value: it says what went wrong.
const CODE_WORDS: [&str; 10] =
    ["status", "code", "errno", "http", "signal", "exit", "sqlstate", "winerror", "statuscode", "error"];

/// Longest number that may be such a code, in digits.
const CODE_DIGITS_MAX: usize = 5;

/// What errors of databases and compilers are called: letters, then a number that is part of the name.
const CODE_NAMES: [&str; 6] = ["ORA-", "TNS-", "PLS-", "SQLSTATE", "AADSTS", "ERR-"];

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The first line of a message, the next as well where the first only announces it.
pub(crate) fn head(message: &str) -> &str {
    let message = message.trim_start();
    let first = message.lines().next().unwrap_or("").trim_end();
    if !first.ends_with(':') {
        return first;
    }
    let Some(next) = message[first.len()..].lines().find(|line| !line.trim().is_empty()) else { return first };
    let end = next.as_ptr().addr() - message.as_ptr().addr() + next.len();
    message.get(..end).unwrap_or(first).trim_end()
}

/// At most so many bytes, not cut within a character.
pub(crate) fn bounded(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// A message without its values. With `keeps_quoted` names in quotes stay: in `has no attribute 'items'` they are the
/// cause.
pub(crate) fn message(text: &str, keeps_quoted: bool) -> String {
    let text = bounded(head(text), MESSAGE_BYTES_MAX);
    let mut masker = Masker { out: String::with_capacity(text.len()), previous: "", keeps_quoted };
    masker.text(text);
    masker.finish()
}

struct Masker<'a> {
    out: String,
    /// The word before this one.
    previous: &'a str,
    keeps_quoted: bool,
}

impl<'a> Masker<'a> {
    fn text(&mut self, text: &'a str) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(length) = redaction(rest) {
                self.mark();
                rest = &rest[length..];
            } else if let Some((quoted, length)) = self.quoted(rest, first) {
                self.quote(first, quoted);
                rest = &rest[length..];
            } else if is_of_word(first) {
                let length = rest.find(|character| !is_of_word(character)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(length);
                self.word(word, after);
                rest = after;
            } else {
                if first.is_whitespace() {
                    if !self.out.ends_with(' ') {
                        self.out.push(' ');
                    }
                } else {
                    self.out.push(first);
                }
                rest = &rest[first.len_utf8()..];
            }
        }
    }

    /// What is in the quotes that begin here, and its length with them.
    fn quoted<'b>(&self, rest: &'b str, first: char) -> Option<(&'b str, usize)> {
        let close = match first {
            '\'' | '"' | '`' => first,
            '“' => '”',
            '‘' => '’',
            '«' => '»',
            _ => return None,
        };
        // An apostrophe is within a word.
        if self.out.ends_with(char::is_alphanumeric) {
            return None;
        }
        let inside = &rest[first.len_utf8()..];
        let end = inside
            .match_indices(close)
            .map(|(end, _)| end)
            .find(|end| !inside[end + close.len_utf8()..].starts_with(char::is_alphanumeric))?;
        Some((&inside[..end], first.len_utf8() + end + close.len_utf8()))
    }

    fn quote(&mut self, open: char, quoted: &str) {
        let is_name = !quoted.is_empty()
            && quoted.len() <= 80
            && quoted
                .chars()
                .all(|character| is_of_word(character) || matches!(character, '(' | ')' | '<' | '>' | '[' | ']'));
        let open = if matches!(open, '"' | '`' | '“' | '‘' | '«') { '\'' } else { open };
        self.out.push(open);
        if self.keeps_quoted && is_name {
            self.out.push_str(quoted);
        } else {
            self.mark();
        }
        self.out.push(open);
        self.previous = "";
    }

    /// A run of what words, numbers, paths and addresses are made of.
    fn word(&mut self, word: &'a str, after: &str) {
        let trimmed = word.trim_end_matches(['.', ':', '-', '/', '+']);
        let (trimmed, tail) = if trimmed.is_empty() { (word, "") } else { (trimmed, &word[trimmed.len()..]) };
        let (key, value) = trimmed
            .split_once('=')
            .filter(|(key, _)| {
                key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
            })
            .map_or((None, trimmed), |(key, value)| (Some(key), value));
        if let Some(key) = key {
            self.out.push_str(key);
            self.out.push('=');
            self.previous = key;
        }
        self.value(value, after);
        self.out.push_str(tail);
        self.previous = value;
    }

    fn value(&mut self, word: &str, after: &str) {
        if word.is_empty() {
            return;
        }
        if let Some((scheme, rest)) = word.split_once("://") {
            self.url(scheme, rest);
        } else if word.contains('@') && word.contains('.') {
            self.mark();
        } else if self.is_code(word) {
            self.out.push_str(word);
        } else if word.contains('/') && word.bytes().any(|byte| byte.is_ascii_alphabetic()) && !is_moment(word) {
            let path = word.split(['?', '#']).next().unwrap_or(word);
            push_path(&mut self.out, path, MARK);
        } else if self.is_of_date(word, after) || is_variable(word) {
            self.mark();
        } else {
            push_identifier(&mut self.out, word, MARK);
        }
    }

    fn url(&mut self, scheme: &str, rest: &str) {
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
        self.out.push_str(scheme);
        self.out.push_str("://");
        if is_variable(host) {
            self.mark();
        } else {
            push_identifier(&mut self.out, host, MARK);
        }
        push_path(&mut self.out, path, MARK);
    }

    /// `code 404`, `[Errno 111]`, `ORA-00942`.
    fn is_code(&self, word: &str) -> bool {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let after_code_word = || {
            let previous = self.previous.trim_end_matches([':', '=']);
            CODE_WORDS.iter().any(|known| previous.eq_ignore_ascii_case(known))
        };
        (is_number(word) && word.len() <= CODE_DIGITS_MAX && after_code_word())
            || CODE_NAMES.iter().any(|name| word.strip_prefix(name).is_some_and(is_number))
    }

    /// A month beside a number, or a day of the week before a date.
    fn is_of_date(&self, word: &str, after: &str) -> bool {
        let named = |names: &[&str]| {
            word.len() >= 3
                && word.bytes().all(|byte| byte.is_ascii_alphabetic())
                && word.get(..3).is_some_and(|head| names.iter().any(|name| head.eq_ignore_ascii_case(name)))
        };
        let before_number =
            || after.trim_start_matches([' ', ',', '.']).starts_with(|next: char| next.is_ascii_digit());
        let after_number = || self.out.trim_end().ends_with(MARK);
        (word.len() <= 9 && named(&MONTHS) && (before_number() || after_number()))
            || (word.len() <= 9
                && named(&DAYS)
                && (before_number() || after.starts_with(", ") || after.starts_with(" "))
                && word.len() == 3)
            || (["AM", "PM", "UTC", "GMT", "am", "pm", "ms", "s", "seconds", "minutes", "bytes", "KB", "MB", "GB"]
                .contains(&word)
                && after_number())
    }

    /// Puts a mark; marks side by side, as of lists and dates, become one.
    fn mark(&mut self) {
        let before = self.out.trim_end_matches([' ', ',', ';', 'T']);
        if before.ends_with(MARK) {
            let length = before.len();
            self.out.truncate(length);
        } else {
            self.out.push(MARK);
        }
    }

    fn finish(self) -> String {
        // Quoted values of a list are one as well.
        let mut out = self.out;
        for list in ["'#', '#'", "#, #", "'#' '#'"] {
            let one = list.split(", ").next().and_then(|one| one.split(' ').next()).unwrap_or("#");
            while out.contains(list) {
                out = out.replace(list, one);
            }
        }
        out.trim().to_owned()
    }
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric()
        || matches!(
            character,
            '_' | '-' | '.' | ':' | '/' | '@' | '+' | '%' | '$' | '~' | '=' | '?' | '&' | '#' | '\\' | '*'
        )
}

/// The length of a mark that redaction left: `[REDACTED:email]`.
fn redaction(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("[REDACTED")?;
    rest.find(']').map(|end| end + "[REDACTED]".len())
}

fn is_moment(word: &str) -> bool {
    let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits >= 4 && letters <= 3 && word.starts_with(|first: char| first.is_ascii_digit())
}

/// Whether a word as a whole is a number, a moment, an address of a machine, an id or a key.
pub(crate) fn is_variable(word: &str) -> bool {
    let bytes = word.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    if digits == 0 {
        return is_hexadecimal(bytes) && bytes.len() >= 8;
    }
    let body = word.trim_start_matches(['-', '+', '$', '~', '#', '%', '*']);
    if body.starts_with("0x") || body.starts_with("0X") {
        return true;
    }
    if letters == 0 && word.is_ascii() {
        return true;
    }
    // 12, 1.5e3, 10.0.0.1:80, 2024-05-01T10:11:12Z, 12ms, 10%.
    if body.starts_with(|first: char| first.is_ascii_digit()) && letters <= 3.max(digits / 3) {
        return true;
    }
    if bytes.len() >= 6
        && letters > 0
        && bytes.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b':' | b'.'))
    {
        return true;
    }
    is_key(bytes)
}

fn is_hexadecimal(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

/// A random text: long, of one piece, digits among letters.
fn is_key(bytes: &[u8]) -> bool {
    if bytes.len() < 16 || bytes.iter().any(|byte| matches!(byte, b'.' | b'/' | b':')) {
        return false;
    }
    let kind = |byte: &u8| byte.is_ascii_digit();
    let changes = bytes.windows(2).filter(|pair| kind(&pair[0]) != kind(&pair[1])).count();
    changes >= 4
}

/// A path with its ids masked.
pub(crate) fn push_path(out: &mut String, path: &str, mark: char) {
    for (place, segment) in path.split('/').enumerate() {
        if place > 0 {
            out.push('/');
        }
        push_segment(out, segment, mark);
    }
}

fn push_segment(out: &mut String, segment: &str, mark: char) {
    let is_version = |segment: &str| {
        segment.strip_prefix('v').is_some_and(|number| {
            (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
    };
    let is_address = segment.contains('@') || segment.contains("%40");
    if is_version(segment) {
        out.push_str(segment);
    } else if is_address || segment.starts_with("[REDACTED") || is_variable(segment) {
        out.push(mark);
    } else {
        push_identifier(out, segment, mark);
    }
}

/// A name without the numbers in it that count things: `worker-17`, `tmp123456`, but `utf8` and `oauth2`.
fn push_identifier(out: &mut String, name: &str, mark: char) {
    if !name.bytes().any(|byte| byte.is_ascii_digit()) {
        out.push_str(name);
        return;
    }
    let mut previous = None;
    for part in name.split_inclusive(['-', '_', '.', ':']) {
        let body = part.trim_end_matches(['-', '_', '.', ':']);
        let is_hash =
            body.len() >= 6 && is_hexadecimal(body.as_bytes()) && body.bytes().any(|byte| byte.is_ascii_digit());
        if is_hash || (!body.is_empty() && body.bytes().all(|byte| byte.is_ascii_digit()) && previous.is_some()) {
            out.push(mark);
        } else {
            push_without_runs(out, body, mark);
        }
        out.push_str(&part[body.len()..]);
        previous = Some(body);
    }
}

/// Masks runs of three digits and more.
fn push_without_runs(out: &mut String, text: &str, mark: char) {
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let length = rest[start..].find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len() - start);
        out.push_str(&rest[..start]);
        if length >= 3 || start == 0 && length == rest.len() {
            out.push(mark);
        } else {
            out.push_str(&rest[start..start + length]);
        }
        rest = &rest[start + length..];
    }
    out.push_str(rest);
}

/// The path of a request as its route: without query, ids as `{id}`.
pub(crate) fn route(path: &str) -> String {
    let path = bounded(path.split(['?', '#']).next().unwrap_or(path), MESSAGE_BYTES_MAX);
    let mut masked = String::with_capacity(path.len());
    push_path(&mut masked, path.trim_end_matches('/'), '\u{1}');
    if masked.is_empty() {
        masked.push('/');
    }
    masked.replace('\u{1}', "{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_each_time_is_masked() {
        let check = |text: &str, expected: &str| assert_eq!(message(text, false), expected, "{text}");
        check("user 42 not found", "user # not found");
        check("user 7f3c9a1e-8d2b-4c6f-9e01-23456789abcd not found", "user # not found");
        check("order deadbeef01 took 12.5ms", "order # took #");
        check("took 3 seconds", "took #");
        check("took 900 ms", "took #");
        check("mail to bob@example.com bounced", "mail to # bounced");
        check("mail to [REDACTED:email] bounced", "mail to # bounced");
        check("no such table: \"orders_2024\"", "no such table: '#'");
        check("can't open 'a.txt', don't know why", "can't open '#', don't know why");
        check("connect ECONNREFUSED 10.0.0.1:5432", "connect ECONNREFUSED #");
        check("connect ECONNREFUSED ::1:5432", "connect ECONNREFUSED #");
        check("at 2024-05-01T10:11:12.123Z it broke", "at # it broke");
        check("at 2024-05-01 10:11:12 it broke", "at # it broke");
        check("at Mon, 06 May 2024 10:11:12 GMT it broke", "at # it broke");
        check("ids [1, 2, 3] and ['a', 'b']", "ids [#] and ['#']");
        check(
            "GET https://api.pay.example/v1/charges/123?x=1 failed",
            "GET https://api.pay.example/v1/charges/# failed",
        );
        check("cannot read /srv/files/8412/a.pdf", "cannot read /srv/files/#/a.pdf");
        check("Request failed with status code 404", "Request failed with status code 404");
        check("[Errno 111] Connection refused", "[Errno 111] Connection refused");
        check("ORA-00942: table or view does not exist", "ORA-00942: table or view does not exist");
        check("worker-17 of sha256 utf8", "worker-# of sha# utf8");
        check("object at 0x7f1b2c3d4e5f", "object at #");
        check("token eyJhbGciOiJIUzI1NiIsInR5cCI6 expired", "token # expired");
        check("retry in -1.5 s", "retry in #");
        check("Zahlung für Kunde 7 fehlgeschlagen — größer", "Zahlung für Kunde # fehlgeschlagen — größer");
        check("first line\nsecond", "first line");
        check("Errors:\n  really", "Errors: really");
        check("", "");
        assert_eq!(message("has no attribute 'items'", true), "has no attribute 'items'");
    }

    #[test]
    fn a_route_has_no_ids() {
        let check = |path: &str, expected: &str| assert_eq!(route(path), expected, "{path}");
        check("/api/v2/objects/17/permissions", "/api/v2/objects/{id}/permissions");
        check("/api/v2/objects/7f3c9a1e-8d2b-4c6f-9e01-23456789abcd?x=1", "/api/v2/objects/{id}");
        check("/users/bob@example.com/", "/users/{id}");
        check("/report-2024-05-01.pdf", "/report-{id}-{id}-{id}.pdf");
        check("/", "/");
        check("", "/");
        check("/oauth2/s3/utf8", "/oauth2/s3/utf8");
        check("/orders/ORD-20240501-7", "/orders/ORD-{id}-{id}");
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in
            ["'", "''", "'#", "\u{1}", "«", "a:\n", ":\n\n", "=", "a=", "=1", "://", "a://", "é'é'é", "[REDACTED"]
        {
            message(text, false);
            route(text);
        }
    }
}
