//! The bytes of a line as text, such that nothing of them is lost.

use std::borrow::Cow;

/// Moves a cut that fell inside a character to before it, so that cutting a line does not make it look like broken UTF-8.
pub(super) fn whole_characters(bytes: &[u8], left_out: u64) -> (&[u8], u64) {
    if left_out == 0 {
        return (bytes, 0);
    }
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => {
            let kept = &bytes[..error.valid_up_to()];
            (kept, left_out + (bytes.len() - kept.len()) as u64)
        }
        _ => (bytes, left_out),
    }
}

/// The text of a line without colour codes, and whether it was *not* UTF-8 and therefore escaped.
pub(super) fn decode(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    let (text, not_utf8) = match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (Cow::Owned(escape(bytes)), true),
    };
    if memchr::memchr(0x1b, text.as_bytes()).is_none() {
        return (text, not_utf8);
    }
    (Cow::Owned(without_colours(&text)), not_utf8)
}

/// Each byte that is not UTF-8 as `\xNN`, and each backslash doubled, so that the bytes can be had back.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut escaped = String::with_capacity(bytes.len() + bytes.len() / 4);
    for part in bytes.utf8_chunks() {
        escaped.push_str(&double_backslashes(part.valid()));
        for byte in part.invalid() {
            escaped.push_str("\\x");
            for digit in [byte >> 4, byte & 15] {
                escaped.push(char::from_digit(u32::from(digit), 16).map_or('0', |digit| digit.to_ascii_uppercase()));
            }
        }
    }
    escaped
}

/// What [`escape`] does to text that is UTF-8.
pub(super) fn double_backslashes(text: &str) -> Cow<'_, str> {
    if text.contains('\\') { Cow::Owned(text.replace('\\', "\\\\")) } else { Cow::Borrowed(text) }
}

/// Leaves out `ESC [ … m`. Other control sequences stay, being no mere decoration.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(0x1b, rest.as_bytes()) {
        plain.push_str(&rest[..at]);
        let code = &rest[at..];
        let length = colour_length(code);
        if length == 0 {
            plain.push('\x1b');
        }
        rest = &code[length.max(1)..];
    }
    plain.push_str(rest);
    plain
}

/// Longest parameter text of a colour code; a 24-bit foreground with a background needs 36.
const COLOUR_BYTES_MAX: usize = 64;

fn colour_length(code: &str) -> usize {
    let bytes = code.as_bytes();
    if bytes.get(1) != Some(&b'[') {
        return 0;
    }
    let parameters = bytes.iter().skip(2).take(COLOUR_BYTES_MAX);
    let length = parameters.take_while(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')).count();
    if bytes.get(2 + length) == Some(&b'm') { length + 3 } else { 0 }
}
