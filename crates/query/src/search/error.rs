//! What is wrong with a search, and where.

use std::fmt::{self, Display, Formatter};

/// How much of the text [`ParseError::pointed`] shows on either side of the place, in characters.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// Why a text is not a search, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where it went wrong, in bytes from the start of the text; always on a character boundary.
    pub position: usize,
    /// How many bytes are wrong; 0 where something is missing.
    pub length: usize,
    /// What was found and what was expected.
    pub message: String,
    /// What to write instead, where there is something to say.
    pub help: Option<String>,
}

impl ParseError {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        let (position, length) = (span.start, span.end - span.start);
        Self { position, length, message: message.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Three lines for a terminal: the text that was parsed, a caret under the place, and what is wrong there.
    pub fn pointed(&self, text: &str) -> String {
        let (before, after) = text.split_at_checked(self.position).unwrap_or((text, ""));
        let wrong = after.get(..self.length).unwrap_or(after).chars().count();
        let visible = |character: char| if character.is_control() { ' ' } else { character };
        let before: Vec<char> = before.chars().map(visible).collect();
        let cut = before.len().saturating_sub(SHOWN_CHARACTERS_MAX);
        let mut line: String = if cut > 0 { "…".into() } else { String::new() };
        line.extend(before.iter().skip(cut));
        let indent = " ".repeat(line.chars().count());
        line.extend(after.chars().map(visible).take(SHOWN_CHARACTERS_MAX));
        if after.chars().nth(SHOWN_CHARACTERS_MAX).is_some() {
            line.push('…');
        }
        let carets = "^".repeat(wrong.clamp(1, SHOWN_CHARACTERS_MAX));
        let help = self.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
        format!("{line}\n{indent}{carets}\n{}{help}", self.message)
    }
}

impl Display for ParseError {
    /// One line; positions count from 1, in bytes.
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{} at position {}", self.message, self.position + 1)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(out, "; {help}"))
    }
}

impl std::error::Error for ParseError {}

/// Bytes `start..end` of the text.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}
