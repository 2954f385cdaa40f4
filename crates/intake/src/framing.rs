//! Where one message of a connection ends and the next begins: RFC 6587 and RFC 5425 for syslog, a NUL for GELF.
//!
//! A sender counts the bytes of each message, or ends it with a line feed or a NUL; which one is seen message by message.
//! A line that begins neither with a priority nor with a count belongs to the message before it, so a traceback that was
//! sent with line feeds in it stays one message.

/// How messages are parted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// Counted, or ended by a line feed or a NUL.
    Syslog,
    /// Ended by a NUL.
    Nul,
}

/// Most digits of a count of bytes.
const COUNT_DIGITS_MAX: usize = 8;

/// Cuts the bytes of one connection into messages. How they were chunked makes no difference.
///
/// Held back at any time: one message of at most `bytes_max`, and the bytes of one `push`.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    bytes_max: usize,
    buffer: Vec<u8>,
    /// Up to here no end was found in the message that stands at the beginning of the buffer.
    searched: usize,
    /// Bytes of a counted message that are still to come and are left out.
    skip: usize,
    /// Bytes that were left out of the message at the beginning of the buffer.
    left_out: u64,
}

impl Frames {
    /// A reader of one connection; of a message longer than `bytes_max` the beginning is kept.
    #[must_use]
    pub fn new(framing: Framing, bytes_max: usize) -> Self {
        Self { framing, bytes_max: bytes_max.max(1), buffer: Vec::new(), searched: 0, skip: 0, left_out: 0 }
    }

    /// Takes the next bytes, and calls `emit` with each message that is complete and how many bytes of it were left out.
    pub fn push(&mut self, bytes: &[u8], emit: &mut dyn FnMut(&[u8], u64)) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.buffer.extend_from_slice(&bytes[skipped..]);
        self.cut(false, emit);
    }

    /// Nothing came for a while: a line that is complete is a message, if nothing follows it.
    pub fn settle(&mut self, emit: &mut dyn FnMut(&[u8], u64)) {
        self.cut(true, emit);
    }

    /// The connection has ended: what is left is a message too.
    pub fn finish(&mut self, emit: &mut dyn FnMut(&[u8], u64)) {
        self.cut(true, emit);
        let between = |byte: &u8| self.framing == Framing::Syslog && is_between(*byte);
        let start = self.buffer.iter().position(|byte| !between(byte)).unwrap_or(self.buffer.len());
        self.emit(start, self.buffer.len(), emit);
        self.buffer.clear();
    }

    fn cut(&mut self, quiet: bool, emit: &mut dyn FnMut(&[u8], u64)) {
        let mut at = 0;
        let mut ends = true;
        while at < self.buffer.len() {
            if self.searched == 0 && is_between(self.buffer[at]) && self.framing == Framing::Syslog {
                at += 1;
                continue;
            }
            let (start, end, next) = match self.find(at) {
                Found::Message { start, end, next } => (start, end, next),
                Found::Line { end } if quiet => (at, end, end + 1),
                Found::Line { .. } => break,
                Found::More => {
                    ends = false;
                    break;
                }
            };
            self.emit(start, end, emit);
            // A counted message that is too long is cut before all of it is here.
            self.skip += next.saturating_sub(self.buffer.len());
            at = next.min(self.buffer.len());
        }
        self.buffer.drain(..at);
        if !ends && self.buffer.len() > self.bytes_max + COUNT_DIGITS_MAX + 2 {
            // No end is in sight, and the beginning is what is kept.
            self.left_out += (self.buffer.len() - self.bytes_max) as u64;
            self.buffer.truncate(self.bytes_max);
            self.searched = self.buffer.len();
        }
    }

    fn emit(&mut self, start: usize, end: usize, emit: &mut dyn FnMut(&[u8], u64)) {
        let kept = end.min(start + self.bytes_max).min(self.buffer.len());
        let left_out = std::mem::take(&mut self.left_out) + (end - kept) as u64;
        self.searched = 0;
        let mut message = &self.buffer[start..kept];
        while let Some((b'\n' | b'\r', before)) = message.split_last() {
            message = before;
        }
        if !message.is_empty() {
            emit(message, left_out);
        }
    }

    /// Finds the end of the message that begins at `at`.
    fn find(&mut self, at: usize) -> Found {
        let message = &self.buffer[at..];
        if self.framing == Framing::Nul {
            let from = self.searched.min(message.len());
            return match memchr::memchr(0, &message[from..]) {
                Some(place) => Found::Message { start: at, end: at + from + place, next: at + from + place + 1 },
                None => {
                    self.searched = message.len();
                    Found::More
                }
            };
        }
        match count(message) {
            Count::Of { header, bytes } if message.len() - header >= bytes.min(self.bytes_max) => {
                let end = at + header + bytes;
                Found::Message { start: at + header, end, next: end }
            }
            Count::Of { .. } | Count::Unclear => Found::More,
            Count::None => self.find_line(at),
        }
    }

    fn find_line(&mut self, start: usize) -> Found {
        let message = &self.buffer[start..];
        let mut from = self.searched.min(message.len());
        loop {
            let Some(place) = memchr::memchr2(0, b'\n', &message[from..]) else {
                self.searched = message.len();
                return Found::More;
            };
            let end = from + place;
            let ends_here = message[end] == 0 || has_priority(message) == Some(false) || self.left_out > 0;
            match if ends_here { Some(true) } else { begins_message(&message[end + 1..]) } {
                Some(true) => return Found::Message { start, end: start + end, next: start + end + 1 },
                Some(false) => from = end + 1,
                None => {
                    self.searched = end;
                    return Found::Line { end: start + end };
                }
            }
        }
    }
}

/// What stands at the beginning of the buffer.
enum Found {
    /// A message, and where the next one begins.
    Message { start: usize, end: usize, next: usize },
    /// The end is not here yet.
    More,
    /// A line is complete, and only what follows tells whether the message is.
    Line { end: usize },
}

/// What some senders put between two messages.
fn is_between(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

enum Count {
    /// Digits and a blank before so many bytes.
    Of {
        header: usize,
        bytes: usize,
    },
    /// More bytes are needed to tell.
    Unclear,
    None,
}

/// Reads `123 <`: a count, and the beginning of a priority. A line that begins with a number is none.
fn count(message: &[u8]) -> Count {
    let digits = message.iter().take(COUNT_DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits > COUNT_DIGITS_MAX || message.first().is_none_or(|first| !matches!(first, b'1'..=b'9')) {
        return Count::None;
    }
    match (message.get(digits), message.get(digits + 1)) {
        (None, _) | (Some(b' '), None) => Count::Unclear,
        (Some(b' '), Some(b'<')) => {
            let bytes = message[..digits].iter().fold(0, |count, digit| count * 10 + usize::from(digit - b'0'));
            Count::Of { header: digits + 1, bytes }
        }
        _ => Count::None,
    }
}

/// Whether a message begins with `<` and a digit; none if only more bytes can tell.
fn has_priority(message: &[u8]) -> Option<bool> {
    match (message.first()?, message.get(1)) {
        (b'<', None) => None,
        (b'<', Some(digit)) => Some(digit.is_ascii_digit()),
        _ => Some(false),
    }
}

/// Whether what follows a line feed is a message of its own; none if only more bytes can tell.
fn begins_message(after: &[u8]) -> Option<bool> {
    match count(after) {
        Count::Of { .. } => Some(true),
        Count::Unclear => None,
        Count::None => match after.first() {
            Some(byte) if is_between(*byte) => Some(*byte == 0),
            _ => has_priority(after),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn cut(framing: Framing, chunks: &[&[u8]], bytes_max: usize) -> Vec<(String, u64)> {
        let mut frames = Frames::new(framing, bytes_max);
        let mut found = Vec::new();
        let mut emit = |message: &[u8], left_out| found.push((String::from_utf8_lossy(message).into_owned(), left_out));
        for chunk in chunks {
            frames.push(chunk, &mut emit);
        }
        frames.finish(&mut emit);
        found
    }

    fn messages(bytes: &[u8]) -> Vec<String> {
        cut(Framing::Syslog, &[bytes], 1000).into_iter().map(|(message, _)| message).collect()
    }

    #[test]
    fn counted_ended_and_mixed() {
        assert_eq!(messages(b"5 <1>ab7 <2>a\nbc<3>c\n<4>d\0\n<5>e"), ["<1>ab", "<2>a\nbc", "<3>c", "<4>d", "<5>e"]);
        assert_eq!(messages(b"<1>a\r\n\n<2>b\n"), ["<1>a", "<2>b"]);
        assert_eq!(messages(b"42 bottles\nplain\n<1>a\n"), ["42 bottles", "plain", "<1>a"]);
        assert_eq!(messages(b"<9>12 monkeys\n12 apes\n<1>x"), ["<9>12 monkeys\n12 apes", "<1>x"]);
    }

    #[test]
    fn a_traceback_stays_with_its_message() {
        let sent = b"<11>failed\nTraceback (most recent call last):\n  File \"a.py\"\n\nKeyError: 1\0<11>next\0";
        assert_eq!(messages(sent)[0], "<11>failed\nTraceback (most recent call last):\n  File \"a.py\"\n\nKeyError: 1");
        assert_eq!(messages(sent).len(), 2);
    }

    #[test]
    fn what_is_complete_does_not_wait_for_ever() {
        let mut frames = Frames::new(Framing::Syslog, 100);
        let mut found = Vec::new();
        frames.push(b"<1>a\n", &mut |message, _| found.push(message.to_vec()));
        assert!(found.is_empty());
        frames.settle(&mut |message, _| found.push(message.to_vec()));
        assert_eq!(found, [b"<1>a"]);
        frames.push(b"<1>half", &mut |_, _| unreachable!("there is no end yet"));
        frames.settle(&mut |_, _| unreachable!("there is no end yet"));
        frames.push(b" and half\n", &mut |_, _| {});
        frames.settle(&mut |message, _| found.push(message.to_vec()));
        assert_eq!(found[1], b"<1>half and half");
    }

    #[test]
    fn of_a_long_message_the_beginning_is_kept() {
        let long = [b"<1>".as_slice(), &[b'x'; 97], b"\n<2>b\n"].concat();
        let expected = [(format!("<1>{}", "x".repeat(47)), 50), ("<2>b".to_owned(), 0)];
        for size in [1, 7, 1000] {
            let chunks: Vec<&[u8]> = long.chunks(size).collect();
            assert_eq!(cut(Framing::Syslog, &chunks, 50), expected, "{size}");
        }
        let counted = [b"100 <1>".as_slice(), &[b'x'; 97], b"4 <2>b"].concat();
        for size in [1, 7, 1000] {
            let chunks: Vec<&[u8]> = counted.chunks(size).collect();
            assert_eq!(cut(Framing::Syslog, &chunks, 50), expected, "{size}");
        }
        let nul = [&[b'x'; 100][..], b"\0y\0"].concat();
        for size in [1, 7, 1000] {
            let chunks: Vec<&[u8]> = nul.chunks(size).collect();
            assert_eq!(cut(Framing::Nul, &chunks, 50), [("x".repeat(50), 50), ("y".to_owned(), 0)], "{size}");
        }
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(text in "[<>0-9 a\n\0]{0,60}", size in 1_usize..9, bytes_max in 1_usize..80) {
            let whole = cut(Framing::Syslog, &[text.as_bytes()], 1000);
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(&cut(Framing::Syslog, &chunks, 1000), &whole);
            let short = cut(Framing::Nul, &chunks, bytes_max);
            prop_assert_eq!(short, cut(Framing::Nul, &[text.as_bytes()], bytes_max));
        }

        #[test]
        fn nothing_makes_it_panic(bytes in any::<Vec<u8>>(), size in 1_usize..9, bytes_max in 1_usize..20) {
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            cut(Framing::Syslog, &chunks, bytes_max);
        }
    }
}
