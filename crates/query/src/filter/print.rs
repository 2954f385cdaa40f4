//! A filter in the search language.
//!
//! Whatever is not plainly harmless is quoted, so that the grammar may grow without changing what a printed filter means.

use std::fmt::{self, Display, Formatter, Write};

use super::{Filter, Scalar, Test, Text, is_text_key, is_word_character};

impl Display for Filter {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("*"),
            Self::And(parts) if parts.is_empty() => out.write_str("*"),
            Self::Or(parts) if parts.is_empty() => out.write_str("-*"),
            Self::And(parts) => print_parts(out, parts, " "),
            Self::Or(parts) => print_parts(out, parts, " OR "),
            Self::Not(part) => {
                out.write_char('-')?;
                print_part(out, part)
            }
            Self::Anywhere(text) => print_text(out, text),
            Self::Field { field, test } => {
                if is_bare(field) && field != "_exists_" {
                    out.write_str(field)?;
                } else {
                    print_quoted(out, field)?;
                }
                out.write_char(':')?;
                print_test(out, is_text_key(field), test)
            }
        }
    }
}

fn print_parts(out: &mut Formatter<'_>, parts: &[Filter], between: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.write_str(between)?;
        }
        print_part(out, part)?;
    }
    Ok(())
}

fn print_part(out: &mut Formatter<'_>, part: &Filter) -> fmt::Result {
    match part {
        Filter::And(_) | Filter::Or(_) => write!(out, "({part})"),
        _ => write!(out, "{part}"),
    }
}

fn print_test(out: &mut Formatter<'_>, text_key: bool, test: &Test) -> fmt::Result {
    match test {
        Test::Present => out.write_char('*'),
        Test::Equal(values) => {
            out.write_str(if text_key { "=" } else { "" })?;
            print_values(out, values)
        }
        Test::Compare(comparison, value) => {
            out.write_str(comparison.sign())?;
            print_value(out, &value.text)
        }
        Test::Contains { text, ignore_case } => {
            out.write_str(if *ignore_case { "~*" } else { "~" })?;
            print_value(out, text)
        }
        Test::Wildcard(pattern) => {
            out.write_str(if text_key { "=" } else { "" })?;
            print_pattern(out, pattern)
        }
        Test::Regex(pattern) => {
            out.write_str("=~")?;
            print_quoted(out, pattern.text())
        }
        Test::Words(text) => {
            out.write_str(if text_key { "" } else { "@@" })?;
            print_text(out, text)
        }
    }
}

fn print_values(out: &mut Formatter<'_>, values: &[Scalar]) -> fmt::Result {
    if let [value] = values {
        return print_value(out, &value.text);
    }
    out.write_char('(')?;
    for (index, value) in values.iter().enumerate() {
        out.write_str(if index > 0 { " OR " } else { "" })?;
        print_value(out, &value.text)?;
    }
    out.write_char(')')
}

fn print_value(out: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let number = text.strip_prefix('-').is_some_and(is_bare);
    // `http://…` is read as a text and not as a key, so a value must not begin with two slashes.
    if (number || is_bare(text)) && !text.starts_with("//") { out.write_str(text) } else { print_quoted(out, text) }
}

fn print_text(out: &mut Formatter<'_>, text: &Text) -> fmt::Result {
    print_value_without_minus(out, &text.typed)?;
    out.write_str(if text.prefix { "*" } else { "" })
}

fn print_value_without_minus(out: &mut Formatter<'_>, text: &str) -> fmt::Result {
    if text.starts_with('-') { print_quoted(out, text) } else { print_value(out, text) }
}

fn print_pattern(out: &mut Formatter<'_>, pattern: &str) -> fmt::Result {
    // See `print_value`.
    out.write_str(if pattern.starts_with("//") { "\\" } else { "" })?;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' | '?' => out.write_char(character)?,
            '\\' => write!(out, "\\{}", characters.next().unwrap_or('\\'))?,
            plain if is_harmless(plain) => out.write_char(plain)?,
            other => write!(out, "\\{other}")?,
        }
    }
    Ok(())
}

fn print_quoted(out: &mut Formatter<'_>, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        out.write_str(if matches!(character, '"' | '\\') { "\\" } else { "" })?;
        out.write_char(character)?;
    }
    out.write_char('"')
}

/// Whether a text reads as itself without quotes, wherever it stands.
fn is_bare(text: &str) -> bool {
    !matches!(text, "" | "AND" | "OR" | "NOT") && !text.starts_with('-') && text.chars().all(is_harmless)
}

fn is_harmless(character: char) -> bool {
    is_word_character(character) || matches!(character, '.' | '/' | '-')
}
