//! Numbers of cards and telephones in texts.

/// Digits of a card number, fewest and most (ISO/IEC 7812).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// In a run of so many bytes as a card has digits, four stand together at one of the places that are so far apart.
const STRIDE: usize = *DIGITS.start() - 3;

/// Shortest telephone number that is taken for one, and the longest there is (ITU-T E.164), in digits.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 9..=15;

fn in_run(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b' ' | b'-')
}

/// Whether a text may hold a card number: looks at four bytes in ten.
pub(super) fn may_hold_card(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(four) = text.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        // All digits, blanks and hyphens are from 0x20 to 0x3f.
        let may_be_run = u32::from_le_bytes(*four) & 0xe0e0_e0e0 == 0x2020_2020;
        at = match may_be_run && four.iter().all(|byte| in_run(*byte)) {
            false => at + STRIDE,
            true => match end_of_short(text, at) {
                Some(end) => end,
                None => return true,
            },
        };
    }
    false
}

/// The end of the run around a place, when it has too few digits for a card.
fn end_of_short(text: &[u8], at: usize) -> Option<usize> {
    let start = text[..at].iter().rposition(|byte| !in_run(*byte)).map_or(0, |before| before + 1);
    let end = text[at..].iter().position(|byte| !in_run(*byte)).map_or(text.len(), |ahead| at + ahead);
    let digits = text[start..end].iter().filter(|byte| byte.is_ascii_digit()).count();
    (digits < *DIGITS.start()).then_some(end)
}

/// Whether a whole number is the number of a card. One of more than 16 digits is rather an id: programs that count in
/// doubles could not have written it.
#[inline]
pub(super) fn is_card(number: i64) -> bool {
    let has_length = (30_000_000_000_000..10_000_000_000_000_000).contains(&number)
        || (4_000_000_000_000..5_000_000_000_000).contains(&number);
    has_length && is_card_of_length(number)
}

fn is_card_of_length(number: i64) -> bool {
    let digits = number.to_string();
    has_issuer(digits.as_bytes()) && passes_luhn(digits.as_bytes())
}

/// Calls `found` with the place of each card number, written in one piece or in the groups that are printed on cards.
pub(super) fn cards(text: &[u8], mut found: impl FnMut(usize, usize)) {
    let (mut at, mut known) = (0, 0);
    while let Some(start) = text[at..].iter().position(u8::is_ascii_digit).map(|ahead| at + ahead) {
        let end = end_of_run(text, start);
        at = end;
        if end - start >= *DIGITS.start() {
            // Of a card that was found nothing goes on.
            let is_free = |from: usize, to: usize| {
                (from > 0 || !continues_before(&text[known..], start - known))
                    && (start + to < end || !continues_after(text, end))
            };
            let mut last = known;
            cards_of_run(&text[start..end], is_free, |from, to| {
                found(start + from, start + to);
                last = start + to;
            });
            known = last;
        }
    }
}

/// The end of a run of digits with single separators, which ends with a digit.
fn end_of_run(text: &[u8], start: usize) -> usize {
    let mut end = start;
    loop {
        match text.get(end) {
            Some(byte) if byte.is_ascii_digit() => end += 1,
            Some(b' ' | b'-') if text.get(end + 1).is_some_and(u8::is_ascii_digit) => end += 1,
            _ => return end,
        }
    }
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether a run of digits goes on a longer name, number or hexadecimal id that begins before it.
fn continues_before(text: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1) else { return false };
    let fraction = text[before] == b'.' && before > 0 && text[before - 1].is_ascii_digit();
    let group = &text[before.saturating_sub(12)..before];
    let letters = group.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let hex = text[before] == b'-' && letters >= 4 && group.iter().rev().take(letters).all(u8::is_ascii_hexdigit);
    is_word(Some(&text[before])) || fraction || hex
}

/// The same for one that goes on behind it.
fn continues_after(text: &[u8], end: usize) -> bool {
    let hex = text.get(end) == Some(&b'-') && text.get(end + 1).is_some_and(u8::is_ascii_hexdigit);
    is_word(text.get(end)) || hex
}

fn cards_of_run(run: &[u8], is_free: impl Fn(usize, usize) -> bool, mut found: impl FnMut(usize, usize)) {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let mut start = 0;
    for (at, byte) in run.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_digit()) {
        debug_assert!(!byte.is_ascii_digit(), "a separator");
        groups.push((start, at));
        start = at + 1;
    }
    groups.push((start, run.len()));
    let mut first = 0;
    while first < groups.len() {
        let most = 5.min(groups.len() - first);
        let taken = (1..=most).rev().find(|count| {
            let window = &groups[first..first + count];
            is_free(window[0].0, window[count - 1].1) && is_card_in_groups(run, window)
        });
        if let Some(count) = taken {
            found(groups[first].0, groups[first + count - 1].1);
        }
        first += taken.unwrap_or(1);
    }
}

fn is_card_in_groups(run: &[u8], groups: &[(usize, usize)]) -> bool {
    let lengths: Vec<usize> = groups.iter().map(|(start, end)| end - start).collect();
    let printed = matches!(lengths.as_slice(), [_] | [4, 6, 4 | 5] | [4, 4, 4, 1..=4] | [4, 4, 4, 4, 1..=3]);
    let (Some(first), Some(last), true) = (groups.first(), groups.last(), printed) else { return false };
    if !DIGITS.contains(&lengths.iter().sum()) {
        return false;
    }
    let digits: Vec<u8> = run[first.0..last.1].iter().copied().filter(u8::is_ascii_digit).collect();
    has_issuer(&digits) && passes_luhn(&digits)
}

/// Whether the first digits are those of an issuer whose numbers have this length.
fn has_issuer(digits: &[u8]) -> bool {
    let prefix = |count: usize| digits.iter().take(count).fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let length = digits.len();
    match prefix(2) {
        40..=49 => matches!(length, 13 | 16 | 19),
        51..=55 => length == 16,
        22..=27 => length == 16 && (2221..=2720).contains(&prefix(4)),
        34 | 37 => length == 15,
        30 | 36 | 38 | 39 => length == 14,
        35 => (16..=19).contains(&length) && (3528..=3589).contains(&prefix(4)),
        60 | 62 | 64 | 65 | 67 => (16..=19).contains(&length),
        50 | 56..=58 | 63 | 68 | 69 => length == 16,
        _ => false,
    }
}

fn passes_luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let value = |(place, digit): (usize, &u8)| {
        let digit = u32::from(digit - b'0');
        if place % 2 == 1 { doubled(digit) } else { digit }
    };
    digits.iter().rev().enumerate().map(value).sum::<u32>().is_multiple_of(10)
}

/// Calls `found` with the place of what is written as telephone numbers are: with `+` and a country, with a leading
/// zero and separators, or in the groups of North America.
pub(super) fn phones(text: &[u8], mut found: impl FnMut(usize, usize)) {
    let mut at = 0;
    let begins = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'(');
    while let Some(start) = text[at..].iter().position(begins).map(|ahead| at + ahead) {
        let mut end = start + 1;
        let mut last = start;
        let mut gap = 0;
        while let Some(byte) = text.get(end) {
            match byte {
                b'0'..=b'9' => (last, gap) = (end, 0),
                b' ' | b'-' | b'.' | b'/' | b'(' | b')' if gap < 3 => gap += 1,
                _ => break,
            }
            end += 1;
        }
        let run = &text[start..=last];
        let part_of_more = is_word(start.checked_sub(1).and_then(|at| text.get(at))) || is_word(text.get(last + 1));
        if !part_of_more && is_phone(run) {
            found(start, last + 1);
        }
        at = end;
    }
}

fn is_phone(run: &[u8]) -> bool {
    let digits = run.iter().filter(|byte| byte.is_ascii_digit()).count();
    if !PHONE_DIGITS.contains(&digits) {
        return false;
    }
    let groups: Vec<usize> =
        run.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).filter(|length| *length > 0).collect();
    match (run[0], groups.as_slice()) {
        (b'+', _) => true,
        (_, [3, 3, 4] | [1, 3, 3, 4]) => true,
        (b'0' | b'(', [2..=5, rest @ ..]) => !run.contains(&b'.') && (1..=5).contains(&rest.len()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards_in(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        cards(text.as_bytes(), |start, end| all.push(&text[start..end]));
        assert!(all.is_empty() || may_hold_card(text.as_bytes()), "{text}");
        all
    }

    #[test]
    fn numbers_of_cards() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "378282246310005",
            "3782 822463 10005",
            "30569309025904",
            "5555555555554444",
            "2223003122003222",
            "6011111111111117",
            "3530111333300000",
        ] {
            assert_eq!(cards_in(card), [card]);
            for around in ["card: {}.", "x={}&y=1", "({})", "12 {} 03/27", "order-{}", "\"{}\"", "über {} ä"] {
                assert_eq!(cards_in(&around.replace("{}", card)), [card], "{around}");
            }
        }
        for text in [
            "4111111111111112",
            "41111111111111110000",
            "a4111111111111111",
            "4111111111111111f",
            "0.4111111111111111",
            "1767323045000123",
            "12345678-4111-1111-1111-111111111111",
            "dead-4111111111111111",
            "4111-1111-1111-1111-beef",
            "2026-01-02 03:04:05",
            "411111111111111",
        ] {
            assert_eq!(cards_in(text), [""; 0], "{text}");
        }
        assert!(is_card(4_111_111_111_111_111) && is_card(378_282_246_310_005) && is_card(30_569_309_025_904));
        assert!(
            !is_card(1_767_323_045_000_123) && !is_card(7) && !is_card(i64::MIN) && !is_card(4_111_111_111_111_112)
        );
    }

    #[test]
    fn numbers_of_telephones() {
        let phones_in = |text: &str| {
            let mut all = Vec::new();
            phones(text.as_bytes(), |start, end| all.push(text[start..end].to_owned()));
            all
        };
        for phone in [
            "+49 30 1234567",
            "+1-202-555-0143",
            "(202) 555-0143",
            "202-555-0143",
            "030 / 12 34 56 78",
            "+4915112345678",
        ] {
            assert_eq!(phones_in(&format!("call {phone}.")), [phone]);
        }
        for text in ["2026-01-02 03:04:05", "10.0.0.1", "1767323045", "0.123456789", "v1.2.3", "4111", "a030 12345678"]
        {
            assert_eq!(phones_in(text), [""; 0], "{text}");
        }
    }
}
