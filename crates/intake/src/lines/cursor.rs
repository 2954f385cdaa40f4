//! A place in a line, moved forward by what is read there.

/// What of a line is still unread. A method that returns `None` has not moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// Reads exactly `expected`.
    pub(super) fn take(&mut self, expected: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// Reads up to and including `end`, and returns what was before it.
    pub(super) fn until(&mut self, end: &str) -> Option<&'a str> {
        let (before, after) = self.rest.split_once(end)?;
        self.rest = after;
        Some(before)
    }

    /// Reads `[…]`, and returns what is inside.
    pub(super) fn bracketed(&mut self) -> Option<&'a str> {
        let (inside, after) = self.rest.strip_prefix('[')?.split_once(']')?;
        self.rest = after;
        Some(inside)
    }

    /// Reads up to the next blank or the end; the blank is read too.
    pub(super) fn word(&mut self) -> &'a str {
        let (word, after) = self.rest.split_once(' ').unwrap_or((self.rest, ""));
        self.rest = after;
        word
    }

    /// Reads any number of blanks.
    pub(super) fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    /// Reads a whole number.
    pub(super) fn number(&mut self) -> Option<u64> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let value = self.rest[..digits].parse().ok()?;
        self.rest = &self.rest[digits..];
        Some(value)
    }
}
