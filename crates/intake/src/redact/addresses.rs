//! E-mail addresses, and passwords in URLs.

use memchr::memmem;

use super::scan::{self, Span};

/// Longest part of an e-mail address before the `@` (RFC 5321, 4.5.3.1.1), in bytes.
const LOCAL_BYTES_MAX: usize = 64;

/// Longest domain, in bytes (RFC 5321, 4.5.3.1.2).
const DOMAIN_BYTES_MAX: usize = 255;

/// Shortest user of a URL without a password that is taken for a key, in bytes.
const KEY_BYTES_MIN: usize = 16;

/// Finds passwords in URLs, and e-mail addresses: everywhere, or only in what is a URL, a path with a query string or a
/// form.
pub(super) fn find(text: &str, everywhere: bool, found: &mut Vec<Span<'_>>) {
    let bytes = text.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`');
        let end = bytes[start..].iter().position(ends).map_or(bytes.len(), |ahead| start + ahead);
        let word = &bytes[start..end];
        if memchr::memchr2(b'@', b'%', word).is_some() {
            passwords(word, start, found);
            if let Some(from) = if everywhere { Some(0) } else { address_start(word) } {
                emails(word, from, start, found);
            }
        }
        start = end + 1;
    }
}

/// Where a URL, a path with a query string or a form begins in a word without blanks.
fn address_start(word: &[u8]) -> Option<usize> {
    if let Some(at) = memmem::find(word, b"://") {
        let before = word[..at].iter().rposition(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'-'));
        return Some(before.map_or(0, |before| before + 1));
    }
    let question = memchr::memchr(b'?', word);
    let equals = memchr::memchr(b'=', word);
    match (question, equals) {
        (Some(question), Some(equals)) if question < equals => Some(0),
        (_, Some(_)) if memchr::memchr(b'&', word).is_some() => Some(0),
        _ => None,
    }
}

/// `scheme://user:password@host`.
fn passwords(word: &[u8], offset: usize, found: &mut Vec<Span<'_>>) {
    let mut floor = 0;
    for at in memmem::find_iter(word, b"://") {
        let start = at + 3;
        if start < floor || at == 0 || !word[at - 1].is_ascii_alphanumeric() {
            continue;
        }
        let rest = &word[start..];
        let authority = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
        floor = start + authority;
        if let Some(sign) = memchr::memrchr(b'@', &rest[..authority]) {
            match scan::colon(&rest[..sign]) {
                Some(colon) if colon + 1 < sign => {
                    push_unmarked(word, (start + colon + 1, start + sign), offset, found);
                }
                None if is_key(&rest[..sign]) => {
                    found.push(Span { start: offset + start, end: offset + start + sign, name: "token" });
                }
                _ => {}
            }
        } else if let Some(colon) = scan::colon(&rest[..authority]) {
            // A password with a slash that should have been encoded: what stands there is no port.
            let no_port = rest[colon + 1..authority].iter().any(|byte| !byte.is_ascii_digit());
            let end = rest.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(rest.len());
            if no_port && let Some(sign) = memchr::memrchr(b'@', &rest[..end]) {
                push_unmarked(word, (start + colon + 1, start + sign), offset, found);
                floor = start + sign;
            }
        }
    }
}

fn push_unmarked(word: &[u8], (start, end): (usize, usize), offset: usize, found: &mut Vec<Span<'_>>) {
    let is_mark = std::str::from_utf8(&word[start..end]).is_ok_and(scan::is_mark);
    if !is_mark {
        found.push(Span { start: offset + start, end: offset + end, name: "password" });
    }
}

/// Whether the user of a URL is rather a key: long, with digits, and no word.
fn is_key(user: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    user.len() >= KEY_BYTES_MIN && user.iter().all(plain) && user.iter().any(u8::is_ascii_digit)
}

fn emails(word: &[u8], from: usize, offset: usize, found: &mut Vec<Span<'_>>) {
    let mut floor = from;
    let mut at = from;
    while let Some(sign) = memchr::memchr2(b'@', b'%', &word[at..]).map(|ahead| at + ahead) {
        at = sign + 1;
        let length = match word[sign..] {
            [b'@', ..] => 1,
            [b'%', b'4', b'0', ..] => 3,
            [b'%', b'2', b'5', b'4', b'0', ..] => 5,
            _ => continue,
        };
        let start = start_of_local(word, sign, floor);
        let end = end_of_domain(word, sign + length);
        // `bob@a.example@b.example`: what stands before it was an address, and not the one that is meant.
        let goes_on = floor > from && word[floor..sign].iter().all(|byte| matches!(byte, b'.' | b'-'));
        if let (true, Some(end), Some(last)) = (goes_on, end, found.last_mut()) {
            last.end = offset + end;
            (floor, at) = (end, end);
            continue;
        }
        // `https://user@host` names a user of that host and no mailbox.
        let in_authority = length == 1 && start >= 3 && word[..start].ends_with(b"://");
        // `https://anon:…@host`, who was a key.
        let is_hashed = start.checked_sub(1).is_some_and(|colon| scan::is_of_hash(word, colon));
        if let (true, Some(end), false) = (start < sign, end, in_authority || is_hashed) {
            found.push(Span { start: offset + start, end: offset + end, name: "email" });
            (floor, at) = (end, end);
        }
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'_' | b'+' | b'-' | b'~' | b'!' | b'$' | b'*')
        || byte >= 0x80
}

fn start_of_local(word: &[u8], sign: usize, floor: usize) -> usize {
    let least = sign.saturating_sub(LOCAL_BYTES_MAX).max(floor);
    let mut start = sign;
    while start > least {
        let byte = word[start - 1];
        // What is encoded is a part of the address only when it might be written plainly too.
        let escape = start >= least + 3 && word[start - 3] == b'%';
        if escape {
            let code =
                std::str::from_utf8(&word[start - 2..start]).ok().and_then(|code| u8::from_str_radix(code, 16).ok());
            match code {
                Some(code) if is_local(code) => start -= 3,
                _ => break,
            }
        } else if is_local(byte) {
            start -= 1;
        } else {
            break;
        }
    }
    while start < sign && (matches!(word[start], b'.' | b'-') || word[start] & 0xc0 == 0x80) {
        start += 1;
    }
    start
}

/// The end of a domain that has a dot and ends with letters. What goes on as a domain does and ends otherwise is none from
/// there on: `bob@example.com-2`, `bob@example.com.4111`.
fn end_of_domain(word: &[u8], start: usize) -> Option<usize> {
    let most = word.len().min(start + DOMAIN_BYTES_MAX);
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || byte >= 0x80;
    let mut end = word[start..most].iter().position(|byte| !is_domain(*byte)).map_or(most, |ahead| start + ahead);
    while end > start && (matches!(word[end - 1], b'.' | b'-') || word.get(end).is_some_and(|byte| byte & 0xc0 == 0x80))
    {
        end -= 1;
    }
    let mut domain = &word[start..end];
    while let Some(dot) = memchr::memrchr(b'.', domain).filter(|dot| *dot > 0 && domain[0] != b'.') {
        let label = &domain[dot + 1..];
        let is_encoded = label.starts_with(b"xn--");
        let hyphen = memchr::memchr(b'-', label).filter(|_| !is_encoded).unwrap_or(label.len());
        let letters = label[..hyphen].iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
        if hyphen >= 2 && (letters || is_encoded) {
            return Some(start + dot + 1 + hyphen);
        }
        domain = &domain[..dot];
    }
    None
}
