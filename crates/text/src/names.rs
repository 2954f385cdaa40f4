//! Names of files that a stranger chose: they stay inside, stay apart, and stay readable.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Longest name of a folder or a stream, in bytes. With what stands behind it a file name stays below 255.
const NAME_BYTES_MAX: usize = 180;

/// The name of a user as the name of a folder. Two users never share one.
pub(crate) fn of_user(user: &str) -> String {
    safe(user)
}

/// The name of a stream as the beginning of a file name. `SECURITY ALERT` and `SECURITY_ALERT` are one stream.
pub(crate) fn of_stream(stream: &str) -> String {
    safe(&stream.replace(' ', "_"))
}

fn safe(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let mut out = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        // At the beginning a dot would hide the file, and a dash would look like an option.
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'@' | b'+' | b'_')
            || (index > 0 && matches!(byte, b'.' | b'-'));
        let cut = out.len();
        if plain {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        if out.len() > NAME_BYTES_MAX {
            let digest = Sha256::digest(name);
            out.truncate(cut.min(NAME_BYTES_MAX - 34));
            out.push_str("%~");
            for byte in digest.iter().take(16) {
                let _ = write!(out, "{byte:02x}");
            }
            return out;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_where_possible_and_always_inside() {
        for (user, name) in [
            ("alice@example.com", "alice@example.com"),
            ("Bob+x_y-z", "Bob+x_y-z"),
            ("../../../tmp/evil", "%2E.%2F..%2F..%2Ftmp%2Fevil"),
            (".", "%2E"),
            ("..", "%2E."),
            (".ssh", "%2Essh"),
            ("-rf", "%2Drf"),
            ("", "%"),
            ("%", "%25"),
            ("a\0b\nc", "a%00b%0Ac"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(of_user(user), name, "{user:?}");
        }
        assert_eq!(of_stream("SECURITY ALERT"), "SECURITY_ALERT");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let names: Vec<String> =
            ["a", "b", "é"].iter().map(|end| of_user(&format!("{}{end}", "é".repeat(100_000)))).collect();
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES_MAX), "{names:?}");
        assert!(names[0] != names[1] && names[1] != names[2]);
        assert!(of_user(&"x".repeat(NAME_BYTES_MAX)).ends_with("xx"));
        assert!(of_user(&"x".repeat(NAME_BYTES_MAX + 1)).contains("%~"));
    }
}
