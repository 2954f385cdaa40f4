//! Levels where lines of text say them.

pub(super) use event::Level;

/// Reads a level in any case. Use it where the place of the word already says that it is a level.
pub(super) fn from_name(name: &str) -> Option<Level> {
    // The finer ones of OpenTelemetry's eight.
    let trace = || matches!(name.as_bytes(), [word @ .., b'1'..=b'8'] if word.eq_ignore_ascii_case(b"trace"));
    Level::parse(name).or_else(|| trace().then_some(Level::Trace))
}

/// Reads a level in capitals. In running text a small "error" is a word like any other.
pub(super) fn from_capitals(name: &str) -> Option<Level> {
    if name.bytes().all(|byte| byte.is_ascii_uppercase()) { from_name(name) } else { None }
}

/// Syslog's severity, which is also the journal's `PRIORITY`; what it does not know is for developers.
pub(super) fn from_severity(severity: u64) -> Level {
    Level::from_syslog(severity).unwrap_or(Level::Debug)
}

/// The level of an answered HTTP request.
pub(super) fn from_status(status: u64) -> Level {
    match status {
        500.. => Level::Error,
        400..500 => Level::Warning,
        _ => Level::Info,
    }
}
