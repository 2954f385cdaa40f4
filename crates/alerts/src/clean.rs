//! Text from outside made fit to be shown: one line where one line is meant, and nothing that turns the text around.

/// Whether a character shows nothing itself and changes how others are shown: marks of direction, invisible letters.
fn deceives(letter: char) -> bool {
    matches!(letter,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

fn ends_line(letter: char) -> bool {
    matches!(letter, '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The text as one line: whatever ends a line is a blank, other controls are gone.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if ends_line(letter) || letter == '\t' {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !letter.is_control() && !deceives(letter) {
            out.push(letter);
        }
    }
    out.trim().to_owned()
}

/// The text with its lines, each as [`line`] makes it, blanks at their beginning kept.
pub(crate) fn lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let mut found: Vec<String> = Vec::new();
    for part in text.split(ends_line) {
        let indent: String = part.chars().take_while(|letter| matches!(letter, ' ' | '\t')).take(40).collect();
        let shown = line(part);
        found.push(if shown.is_empty() { shown } else { indent.replace('\t', "    ") + &shown });
    }
    while found.last().is_some_and(String::is_empty) {
        found.pop();
    }
    found
}

/// At most so many characters, of which the last is `…` if there were more.
pub(crate) fn cut(text: &str, characters_max: usize) -> String {
    if text.chars().nth(characters_max).is_none() {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(characters_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The same, counted in units of UTF-16, as services count whose bound is in characters and who do not say in which: no
/// letter has fewer of them.
pub(crate) fn cut_units(text: &str, units_max: usize) -> String {
    if units(text) <= units_max {
        return text.to_owned();
    }
    let mut room = units_max.saturating_sub(1);
    let fits = |letter: &char| {
        let fits = letter.len_utf16() <= room;
        room = room.saturating_sub(letter.len_utf16());
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// How long a text is in units of UTF-16.
pub(crate) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        let check = |text: &str, expected: &str| assert_eq!(line(text), expected, "{text:?}");
        check("a\nb", "a b");
        check("a\r\n\r\nb\u{2028}c", "a b c");
        check("\u{202E}txt.exe\u{0}\u{1B}[31m", "txt.exe[31m");
        check("schön 👩‍👩‍👧 日本", "schön 👩‍👩‍👧 日本");
        check("  \n ", "");
        assert_eq!(lines("a\n  b\u{202E}\r\nc\n\n"), ["a", "  b", "c"]);
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("äöüß", 2), "ä…");
        assert_eq!(cut("abc", 0), "…");
        let check = |text: &str, units_max, expected: &str| assert_eq!(cut_units(text, units_max), expected, "{text}");
        check("ab😀", 4, "ab😀");
        check("ab😀", 3, "ab…");
        check("a😀😀", 4, "a😀…");
        check("😀😀", 2, "…");
    }
}
