//! Where words go: standard output for what was asked for, standard error for what is said about it.
//!
//! Colour only on a terminal, and never if `NO_COLOR` is set. What comes out of events is stripped of everything by which
//! it could move the cursor, change colours or write backwards: the events of a log are written by strangers.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Stdout, Write as _};

use anyhow::Context as _;

/// The command was not understood; its text says how it should have been.
#[derive(Debug)]
pub(super) struct WrongUsage(pub(super) String);

impl fmt::Display for WrongUsage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Whoever read our output, such as `head`, has seen enough. That is no failure.
#[derive(Debug)]
pub(super) struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Standard output.
pub(super) struct Output {
    stdout: BufWriter<Stdout>,
    terminal: bool,
    paint: Paint,
}

impl Output {
    pub(super) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        Self { stdout: BufWriter::new(io::stdout()), terminal, paint: Paint::on(terminal) }
    }

    /// Whether a person is looking.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// How many places a line of the terminal has; none where no person is looking.
    pub(super) fn places(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|_| self.terminal)?;
        Some(usize::from(size.ws_col)).filter(|places| *places > 0)
    }

    pub(super) fn paint(&self) -> Paint {
        self.paint
    }

    pub(super) fn line(&mut self, text: &str) -> anyhow::Result<()> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    pub(super) fn lines(&mut self, lines: &[String]) -> anyhow::Result<()> {
        lines.iter().try_for_each(|line| self.line(line))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stdout.write_all(bytes).or_else(reader_gone)
    }

    /// To be called at the end, and whenever somebody may be waiting for the last line.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.stdout.flush().or_else(reader_gone)
    }
}

fn reader_gone(error: io::Error) -> anyhow::Result<()> {
    if error.kind() == ErrorKind::BrokenPipe {
        Err(ReaderGone.into())
    } else {
        Err(error).context("cannot write the output")
    }
}

/// Says something beside the output. If standard error is closed, nobody wants to hear it.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    colour: bool,
}

/// The colours of all output, which are those of the terminal's own theme.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Red,
    Alarm,
    Yellow,
    Green,
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Alarm => "1;97;41",
            Self::Yellow => "33",
            Self::Green => "32",
            Self::Cyan => "36",
        }
    }
}

impl Paint {
    fn on(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { colour: terminal && !refused && !dumb }
    }

    pub(super) fn none() -> Self {
        Self { colour: false }
    }

    pub(super) fn apply(self, style: Style, text: &str) -> Cow<'_, str> {
        if self.colour && style != Style::Plain && !text.is_empty() {
            Cow::Owned(format!("\x1b[{}m{text}\x1b[0m", style.code()))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// Replaces what a terminal would obey instead of show: control characters and those that turn the direction of writing.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_harmful(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn events_cannot_command_the_terminal() {
        assert_eq!(harmless("caf\u{e9} \u{65e5}\u{672c}"), "caf\u{e9} \u{65e5}\u{672c}");
        assert_eq!(harmless("a\nb\x1b[2J\u{9b}x\u{202e}y"), r"a\nb\u{1b}[2J\u{9b}x\u{202e}y");
    }
}
