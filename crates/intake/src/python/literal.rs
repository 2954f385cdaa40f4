//! What `repr` wrote of tuples and dictionaries, as far as it is made of literals.

/// Longest text that is read.
const BYTES_MAX: usize = 64 << 10;

/// Most arguments of a message.
const ARGUMENTS_MAX: usize = 100;

/// Deepest nesting inside an argument.
const DEPTH_MAX: usize = 16;

/// One argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Argument<'a> {
    /// As `repr` wrote it.
    pub(super) raw: &'a str,
    /// The content of a string; of all else `str` and `repr` are the same.
    pub(super) text: Option<String>,
}

/// The arguments of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Arguments<'a> {
    Positional(Vec<Argument<'a>>),
    Named {
        /// All of them, as `%s` writes them.
        whole: &'a str,
        by_name: Vec<(String, Argument<'a>)>,
    },
}

/// Reads `('a', 1)` or `{'name': 'a'}`; none if anything in it is no literal.
pub(super) fn arguments(text: &str) -> Option<Arguments<'_>> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let mut reader = Reader { text, at: 1 };
    let found = match text.as_bytes().first()? {
        b'(' => Arguments::Positional(reader.list()?),
        b'{' => Arguments::Named { whole: text, by_name: reader.dictionary()? },
        _ => return None,
    };
    (reader.at == text.len()).then_some(found)
}

/// The first value of `'a', 1)`, as `str` writes it.
pub(super) fn first(text: &str) -> Option<String> {
    let text = text.get(..text.len().min(BYTES_MAX)).unwrap_or(text);
    let argument = Reader { text, at: 0 }.argument()?;
    Some(argument.text.unwrap_or_else(|| argument.raw.to_owned()))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, expected: &str) -> bool {
        let there = self.rest().starts_with(expected);
        if there {
            self.at += expected.len();
        }
        there
    }

    fn list(&mut self) -> Option<Vec<Argument<'a>>> {
        let mut list = Vec::new();
        while !self.take(")") {
            if list.len() >= ARGUMENTS_MAX {
                return None;
            }
            list.push(self.argument()?);
            // A tuple of one ends in `,)`.
            if !self.take(", ") && !self.take(",") && !self.rest().starts_with(')') {
                return None;
            }
        }
        Some(list)
    }

    fn dictionary(&mut self) -> Option<Vec<(String, Argument<'a>)>> {
        let mut list = Vec::new();
        while !self.take("}") {
            let key = self.argument()?;
            let value = self.take(": ").then(|| self.argument())??;
            if list.len() >= ARGUMENTS_MAX || !(self.take(", ") || self.rest().starts_with('}')) {
                return None;
            }
            list.push((key.text.unwrap_or_else(|| key.raw.to_owned()), value));
        }
        Some(list)
    }

    fn argument(&mut self) -> Option<Argument<'a>> {
        let start = self.at;
        let text = self.value(0)?;
        Some(Argument { raw: self.text.get(start..self.at)?, text })
    }

    /// Reads a value; the outer `None` is for what is no literal, the inner for what is no string.
    fn value(&mut self, depth: usize) -> Option<Option<String>> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.rest().as_bytes().first()? {
            b'\'' | b'"' => self.string().map(Some),
            b'b' if matches!(self.rest().as_bytes().get(1), Some(b'\'' | b'"')) => {
                self.at += 1;
                self.string().map(|_| None)
            }
            b'(' => self.container(")", depth),
            b'[' => self.container("]", depth),
            b'{' => self.container("}", depth),
            _ => self.word().then_some(None),
        }
    }

    fn container(&mut self, end: &str, depth: usize) -> Option<Option<String>> {
        self.at += 1;
        while !self.take(end) {
            self.value(depth + 1)?;
            if self.take(": ") {
                self.value(depth + 1)?;
            }
            if !self.take(", ") && !self.take(",") && !self.rest().starts_with(end) {
                return None;
            }
        }
        Some(None)
    }

    /// A number, or one of the words that are values.
    fn word(&mut self) -> bool {
        let rest = self.rest();
        let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(byte)).count();
        let word = &rest[..length];
        self.at += length;
        matches!(word, "None" | "True" | "False" | "inf" | "-inf" | "nan")
            || (word.starts_with(|first: char| first.is_ascii_digit() || first == '-') && word.parse::<f64>().is_ok())
    }

    fn string(&mut self) -> Option<String> {
        let quote = char::from(*self.rest().as_bytes().first()?);
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((place, character)) = characters.next() {
            match character {
                '\\' => {
                    let escaped = match characters.next()?.1 {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'x' => coded(&mut characters, 2)?,
                        'u' => coded(&mut characters, 4)?,
                        'U' => coded(&mut characters, 8)?,
                        same => same,
                    };
                    text.push(escaped);
                }
                end if end == quote => {
                    self.at += place + 1;
                    return Some(text);
                }
                other => text.push(other),
            }
        }
        None
    }
}

/// A character by its number in so many hexadecimal digits.
fn coded(characters: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> Option<char> {
    let mut number = 0;
    for _ in 0..digits {
        number = number * 16 + characters.next()?.1.to_digit(16)?;
    }
    char::from_u32(number)
}
