//! What comes out of an event stays on its line, and commands no terminal.

/// The mark before the time of an entry.
pub(crate) const MARK: &str = " § [";

/// Whether a character would end the line, move the cursor, or turn the direction of writing.
pub(crate) fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends a text as one line: newlines as `\n`, other such characters as `\u{1b}`. A backslash stays as it is: no entry
/// can be forged by one, and paths and patterns are found as they were typed. Only where it looks like the mark of a
/// time, § becomes `\u{a7}`.
pub(crate) fn push_line(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(|character| character == '§' || is_harmful(character)) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let Some(character) = from.chars().next() else { break };
        rest = &from[character.len_utf8()..];
        if character == '§' && !rest.starts_with(" [") {
            out.push(character);
        } else {
            push_escaped(character, out);
        }
    }
    out.push_str(rest);
}

fn push_escaped(character: char, out: &mut String) {
    match character {
        '\n' => out.push_str(r"\n"),
        '\r' => out.push_str(r"\r"),
        '\t' => out.push_str(r"\t"),
        other => out.extend(other.escape_unicode()),
    }
}

/// Appends JSON text whose strings may hold such characters, as escapes of JSON.
pub(crate) fn push_json(json: &str, out: &mut String) {
    for character in json.chars() {
        // What is no newline of the layout itself is within a string.
        if character != '\n' && is_harmful(character) {
            let code = u32::from(character);
            out.push_str(r"\u");
            out.extend([12, 8, 4, 0].map(|shift| char::from_digit(code >> shift & 0xf, 16).unwrap_or('0')));
        } else {
            out.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line() {
        let check = |text: &str| {
            let mut out = String::new();
            push_line(text, &mut out);
            out
        };
        assert_eq!(check("a\nb\r\tc\x1b[2J\u{202e}\u{9b}"), r"a\nb\r\tc\u{1b}[2J\u{202e}\u{9b}");
        assert_eq!(check(r"C:\new ünïcödé § 5"), r"C:\new ünïcödé § 5");
        assert_eq!(check("x § [2024-04-09 20:39:05]"), r"x \u{a7} [2024-04-09 20:39:05]");
    }

    #[test]
    fn json_stays_json() {
        let mut out = String::new();
        push_json("{\n    \"a\": \"\u{9b}\u{2028}é\"\n}", &mut out);
        assert_eq!(out, "{\n    \"a\": \"\\u009b\\u2028é\"\n}");
    }
}
