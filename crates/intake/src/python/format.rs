//! `template % arguments`, for the conversions that messages use.

use std::fmt::Write as _;

use super::literal::{Argument, Arguments};

/// Widest field, and most places after the point.
const WIDTH_MAX: usize = 1000;

/// Longest message that is put together.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The message; none when template and arguments do not go together, or a conversion is none of the usual.
pub(super) fn fill(template: &str, arguments: &Arguments<'_>) -> Option<String> {
    let mut message = String::with_capacity(template.len() + 32);
    let mut rest = template;
    let mut used = 0;
    while let Some((before, after)) = rest.split_once('%') {
        message.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            message.push('%');
            rest = after;
            continue;
        }
        let (conversion, after) = Conversion::read(after)?;
        match (arguments, conversion.name) {
            (Arguments::Positional(list), None) => conversion.write(list.get(used)?, &mut message)?,
            (Arguments::Named { by_name, .. }, Some(name)) => {
                conversion.write(&by_name.iter().find(|(known, _)| known == name)?.1, &mut message)?;
            }
            (Arguments::Named { whole, .. }, None) if used == 0 => {
                conversion.write(&Argument { raw: whole, text: None }, &mut message)?;
            }
            _ => return None,
        }
        used += 1;
        rest = after;
        if message.len() > MESSAGE_BYTES_MAX {
            return None;
        }
    }
    message.push_str(rest);
    match arguments {
        Arguments::Positional(list) if list.len() != used => None,
        _ => Some(message),
    }
}

/// `(name)-08.3f`, what follows a percent sign.
struct Conversion<'a> {
    name: Option<&'a str>,
    flags: &'a str,
    width: usize,
    precision: Option<usize>,
    kind: char,
}

impl<'a> Conversion<'a> {
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (name, text) = match text.strip_prefix('(') {
            Some(named) => named.split_once(')').map(|(name, rest)| (Some(name), rest))?,
            None => (None, text),
        };
        let (flags, text) = split(text, |byte| b"-+ #0".contains(&byte));
        let (width, text) = number(text)?;
        let (precision, text) = match text.strip_prefix('.') {
            Some(rest) => number(rest).map(|(precision, rest)| (Some(precision), rest))?,
            None => (None, text),
        };
        let text = text.trim_start_matches(['l', 'h', 'L']);
        let kind = text.chars().next()?;
        Some((Self { name, flags, width, precision, kind }, &text[kind.len_utf8()..]))
    }

    fn write(&self, argument: &Argument<'_>, message: &mut String) -> Option<()> {
        let raw = argument.raw;
        let text = match self.kind {
            's' => cut(argument.text.as_deref().unwrap_or(raw), self.precision),
            'r' | 'a' => cut(raw, self.precision),
            'd' | 'i' | 'u' => self.signed(whole(argument)?.to_string()),
            'f' | 'F' => self.signed(format!("{:.*}", self.precision.unwrap_or(6), float(argument)?)),
            'x' => format!("{:x}", u128::try_from(whole(argument)?).ok()?),
            'X' => format!("{:X}", u128::try_from(whole(argument)?).ok()?),
            'o' => format!("{:o}", u128::try_from(whole(argument)?).ok()?),
            _ => return None,
        };
        let width = self.width;
        let is_number = !matches!(self.kind, 's' | 'r' | 'a');
        let written = if self.flags.contains('-') {
            write!(message, "{text:<width$}")
        } else if self.flags.contains('0') && is_number {
            let (sign, digits) = text.strip_prefix(['-', '+']).map_or(("", &*text), |digits| (&text[..1], digits));
            let width = width.saturating_sub(sign.len());
            write!(message, "{sign}{digits:0>width$}")
        } else {
            write!(message, "{text:>width$}")
        };
        written.ok()
    }

    fn signed(&self, number: String) -> String {
        let positive = !number.starts_with('-');
        if positive && self.flags.contains('+') {
            format!("+{number}")
        } else if positive && self.flags.contains(' ') {
            format!(" {number}")
        } else {
            number
        }
    }
}

fn split(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().take_while(|byte| belongs(*byte)).count())
}

/// A number that may be left out; none if it is too large.
fn number(text: &str) -> Option<(usize, &str)> {
    let (digits, rest) = split(text, |byte| byte.is_ascii_digit());
    let number = if digits.is_empty() { 0 } else { digits.parse().ok().filter(|number| *number <= WIDTH_MAX)? };
    Some((number, rest))
}

fn cut(text: &str, characters: Option<usize>) -> String {
    match characters {
        Some(characters) => text.chars().take(characters).collect(),
        None => text.to_owned(),
    }
}

fn whole(argument: &Argument<'_>) -> Option<i128> {
    match (argument.text.as_ref(), argument.raw) {
        (Some(_), _) => None,
        (None, "True") => Some(1),
        (None, "False") => Some(0),
        (None, raw) => raw.parse().ok().or_else(|| {
            let number = raw.parse::<f64>().ok().filter(|number| number.abs() < 1e15)?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "Python cuts off the fraction too; the size was checked"
            )]
            let number = number as i64;
            Some(i128::from(number))
        }),
    }
}

fn float(argument: &Argument<'_>) -> Option<f64> {
    match (argument.text.as_ref(), argument.raw) {
        (Some(_), _) => None,
        (None, "True") => Some(1.0),
        (None, "False") => Some(0.0),
        (None, raw) => raw.parse().ok(),
    }
}
