//! Markup that can only be written safely: what is not part of the program is escaped.

/// A page that is being written. [`Html::raw`] takes only what stands in the source of the program, so whatever comes
/// from outside has to go through [`Html::text`] or [`Html::attr`], which escape it.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text, which may stand between tags or in a quoted attribute.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        let mut plain = 0;
        for (at, character) in text.char_indices() {
            let escaped = match character {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                // Signs that nobody sees, and that may turn what follows around.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => "\u{fffd}",
                '\n' | '\t' => continue,
                _ if character.is_control() => "\u{fffd}",
                _ => continue,
            };
            self.0.push_str(&text[plain..at]);
            self.0.push_str(escaped);
            plain = at + character.len_utf8();
        }
        self.0.push_str(&text[plain..]);
        self
    }

    /// An attribute, with the blank before it.
    pub(super) fn attr(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    /// A link with a text.
    pub(super) fn link(&mut self, href: &str, text: &str) -> &mut Self {
        self.raw("<a").attr("href", href).raw(">").text(text).raw("</a>")
    }

    /// A number with its thousands set apart.
    pub(super) fn count(&mut self, number: u64) -> &mut Self {
        let digits = number.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                self.0.push(',');
            }
            self.0.push(digit);
        }
        self
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// The beginning of a text, and whether anything was cut off.
pub(super) fn cut(text: &str, characters: usize) -> (&str, bool) {
    match text.char_indices().nth(characters) {
        Some((at, _)) => (&text[..at], true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let mut html = Html::default();
        html.raw("<p")
            .attr("title", "\" onload='x'")
            .raw(">")
            .text("<script>&\u{202e}\u{0}é\n")
            .raw("</p>")
            .count(1_234_567);
        let expected = "<p title=\"&quot; onload=&#39;x&#39;\">&lt;script&gt;&amp;\u{fffd}\u{fffd}é\n</p>1,234,567";
        assert_eq!(String::from_utf8(html.into_bytes()).unwrap(), expected);
        assert_eq!((cut("éa", 1), cut("éa", 2)), (("é", true), ("éa", false)));
    }
}
