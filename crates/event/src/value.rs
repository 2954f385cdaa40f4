/// The value at one path of an event.
///
/// Objects never appear here: they are taken apart into their leaves. What no type holds without loss (arrays,
/// empty objects, numbers beyond 64 bits or with more digits than a double) stays JSON text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An explicit JSON null.
    Null,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number whose decimal digits a double gives back unchanged in value.
    Float(f64),
    /// A text.
    Str(&'a str),
    /// A text that is a UUID in canonical form.
    Uuid([u8; 16]),
    /// JSON text, kept as it was sent.
    Raw(&'a str),
}

impl Value<'_> {
    /// A text, recognised as a UUID where it is one.
    #[must_use]
    pub fn text(text: &str) -> Value<'_> {
        match parse_uuid(text) {
            Some(bytes) => Value::Uuid(bytes),
            None => Value::Str(text),
        }
    }

    /// Appends the JSON form.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let written = match self {
            Self::Null => serde_json::to_writer(&mut *out, &()),
            Self::Bool(value) => serde_json::to_writer(&mut *out, value),
            Self::Int(value) => serde_json::to_writer(&mut *out, value),
            Self::Float(value) => serde_json::to_writer(&mut *out, value),
            Self::Str(text) => serde_json::to_writer(&mut *out, text),
            Self::Uuid(bytes) => {
                out.push(b'"');
                out.extend_from_slice(format_uuid(bytes).as_bytes());
                out.push(b'"');
                Ok(())
            }
            Self::Raw(json) => {
                out.extend_from_slice(json.as_bytes());
                Ok(())
            }
        };
        debug_assert!(written.is_ok(), "writing a scalar into memory cannot fail");
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The canonical text of a UUID: 36 characters, lower case.
#[must_use]
pub fn format_uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

/// Reads a UUID in exactly the form that [`format_uuid`] writes; anything else, an upper-case one too, is a text.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    if text[8] != b'-' || text[13] != b'-' || text[18] != b'-' || text[23] != b'-' {
        return None;
    }
    let mut bytes = [0; 16];
    let (mut at, mut all) = (0, 0);
    for byte in &mut bytes {
        if matches!(at, 8 | 13 | 18 | 23) {
            at += 1;
        }
        let (high, low) = (HEX_VALUES[usize::from(text[at])], HEX_VALUES[usize::from(text[at + 1])]);
        all |= high | low;
        *byte = high << 4 | low & 0x0f;
        at += 2;
    }
    (all < 16).then_some(bytes)
}

/// The value of each hexadecimal digit in lower case; 255 for any other byte.
const HEX_VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < HEX.len() {
        values[HEX[value] as usize] = value as u8;
        value += 1;
    }
    values
};
