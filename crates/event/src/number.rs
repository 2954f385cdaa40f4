//! Numbers as they stand in JSON, and whether a machine type holds them without loss.

use crate::Value;

impl<'a> Value<'a> {
    /// Classifies the text of a JSON number: a whole number of 64 bits, a double that prints back to the same
    /// decimal value, or else the text itself.
    #[must_use]
    pub fn number(text: &'a str) -> Self {
        if !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            return match text.parse() {
                Ok(number) if text != "-0" => Self::Int(number),
                _ => Self::Raw(text),
            };
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && is_exact(text, number) => Self::Float(number),
            _ => Self::Raw(text),
        }
    }

    /// The number that a text holds, if it is written as JSON writes numbers.
    #[must_use]
    pub fn number_in(text: &'a str) -> Option<Self> {
        let plain = text.len() <= 40
            && text.bytes().any(|byte| byte.is_ascii_digit())
            && serde_json::from_str::<serde_json::Number>(text).is_ok();
        match Self::number(text) {
            number @ (Value::Int(_) | Value::Float(_)) if plain => Some(number),
            _ => None,
        }
    }
}

/// Whether the shortest text of `number` has the decimal value of `text`.
fn is_exact(text: &str, number: f64) -> bool {
    let digits = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).filter(u8::is_ascii_digit).count();
    // Fifteen digits always come back from a double of normal size.
    if digits <= 15 && (number == 0.0 || (1e-290..1e290).contains(&number.abs())) {
        // A value too small for a double reads as zero; then the text must be a zero as well.
        return number != 0.0 || Decimal::read(text).is_some_and(|decimal| decimal.digits.is_empty());
    }
    // Of two shortest texts that are equally near, printers may take either: what counts is the one that answers use.
    let Ok(printed) = serde_json::to_string(&number) else { return false };
    match (Decimal::read(text), Decimal::read(&printed)) {
        (Some(sent), Some(kept)) => sent == kept,
        _ => false,
    }
}

/// A decimal number in one form: the digits without zeros at either end, and the power of ten of the last one.
#[derive(PartialEq)]
struct Decimal {
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].trim_start_matches('+').parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let mut exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.checked_add(1)?;
        }
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        if digits.is_empty() {
            exponent = 0;
        }
        Some(Self { digits, exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_back_becomes_a_machine_number() {
        assert_eq!(Value::number("12"), Value::Int(12));
        assert_eq!(Value::number("-9223372036854775808"), Value::Int(i64::MIN));
        assert_eq!(Value::number("9223372036854775808"), Value::Raw("9223372036854775808"));
        assert_eq!(Value::number("-0"), Value::Raw("-0"));
        assert_eq!(Value::number("25.100"), Value::Float(25.1));
        assert_eq!(
            Value::number("0.1000000000000000055511151231257827"),
            Value::Raw("0.1000000000000000055511151231257827")
        );
        assert_eq!(Value::number("1e400"), Value::Raw("1e400"));
        assert_eq!(Value::number("1e-400"), Value::Raw("1e-400"));
        assert_eq!(Value::number("0.0"), Value::Float(0.0));
        assert_eq!(Value::number("1.7976931348623157e308"), Value::Float(f64::MAX));
        // Halfway between two texts of seventeen digits: one of them comes back, the other has to be kept as it is.
        for text in ["-1.5903864073095963e15", "-1590386407309596.2"] {
            let mut out = Vec::new();
            Value::number(text).write_json(&mut out);
            let written = String::from_utf8(out).unwrap();
            assert!(Decimal::read(&written) == Decimal::read(text), "{text} came back as {written}");
        }
        assert_eq!(Value::number("123456789012345678.5"), Value::Raw("123456789012345678.5"));
    }
}
