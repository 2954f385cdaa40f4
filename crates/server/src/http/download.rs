//! The name under which a browser saves an answer.

use std::fmt::Write as _;

use engine::url::Format;

/// Characters of a name that somebody else gave.
const NAME_MAX: usize = 200;

/// The header `Content-Disposition` (RFC 6266); `None` when the answer is to be shown.
///
/// A workbook and a Parquet file are always saved: nothing shows them.
pub(super) fn disposition(name: Option<&str>, format: Format) -> Option<String> {
    if name.is_none() && !matches!(format, Format::Xlsx | Format::Parquet) {
        return None;
    }
    let ending = format!(".{}", format.name());
    let safe: String = name.unwrap_or("data").chars().map(safe_character).collect();
    let stem = match safe.len().checked_sub(ending.len()).and_then(|at| safe.split_at_checked(at)) {
        Some((stem, end)) if end.eq_ignore_ascii_case(&ending) && !stem.is_empty() => stem,
        _ => &safe,
    };
    Some(attachment(&format!("{stem}{ending}")))
}

/// The same for a file that has a name already.
pub(super) fn named(name: &str) -> String {
    let safe: String = name.chars().take(NAME_MAX).map(safe_character).collect();
    attachment(&safe)
}

/// `safe` has only characters that [`safe_character`] lets through.
fn attachment(safe: &str) -> String {
    let plain: String = safe.chars().map(|character| if character.is_ascii() { character } else { '_' }).collect();
    let mut encoded = String::new();
    for byte in safe.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

fn safe_character(character: char) -> char {
    if character.is_alphanumeric() || matches!(character, '.' | '-' | '_' | ' ' | '(' | ')') { character } else { '_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_end_as_the_format_does() {
        let named = |name: &str| disposition(Some(name), Format::Csv).unwrap();
        assert_eq!(named("data"), "attachment; filename=\"data.csv\"; filename*=UTF-8''data.csv");
        assert_eq!(named("May.CSV"), "attachment; filename=\"May.csv\"; filename*=UTF-8''May.csv");
        assert_eq!(named("é b"), "attachment; filename=\"_ b.csv\"; filename*=UTF-8''%C3%A9%20b.csv");
        assert_eq!(named("a\";x=b"), "attachment; filename=\"a__x_b.csv\"; filename*=UTF-8''a__x_b.csv");
        assert_eq!(named(".csv"), "attachment; filename=\".csv.csv\"; filename*=UTF-8''.csv.csv");
        assert_eq!(disposition(None, Format::Csv), None);
        assert!(disposition(None, Format::Xlsx).unwrap().contains("\"data.xlsx\""));
    }
}
