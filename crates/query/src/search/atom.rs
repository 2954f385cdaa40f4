//! Keys, values and texts, before it is known which of them they are.

use super::error::Span;

/// A key, value or text as it stands between spaces, with its escapes resolved.
pub(super) struct Atom {
    /// What it says, stars included.
    pub(super) text: String,
    /// The same as a pattern: whatever was quoted or escaped is escaped again.
    pub(super) pattern: String,
    pub(super) quoted: bool,
    /// How many `*` and `?` are neither quoted nor escaped.
    pub(super) stars: usize,
    pub(super) marks: usize,
    /// Whether it ends in such a `*`.
    pub(super) open: bool,
    pub(super) span: Span,
}

impl Atom {
    /// An empty one that begins at this byte.
    pub(super) fn at(start: usize) -> Self {
        let (text, pattern) = (String::new(), String::new());
        Self { text, pattern, quoted: false, stars: 0, marks: 0, open: false, span: Span { start, end: start } }
    }

    pub(super) fn is_star(&self) -> bool {
        self.stars == 1 && self.text == "*"
    }

    /// Whether its only `*` is the last character.
    pub(super) fn is_start(&self) -> bool {
        self.stars == 1 && self.open
    }

    pub(super) fn literal(&mut self, character: char) {
        if matches!(character, '*' | '?' | '\\') {
            self.pattern.push('\\');
        }
        self.pattern.push(character);
        self.text.push(character);
    }

    pub(super) fn wild(&mut self, character: char) {
        self.pattern.push(character);
        self.text.push(character);
        self.stars += usize::from(character == '*');
        self.marks += usize::from(character == '?');
    }
}
