//! The names of levels, of which every program has its own.

/// The levels an event can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
}

/// Every accepted name in small letters.
const NAMES: [(&str, Level); 22] = [
    ("info", Level::Info),
    ("error", Level::Error),
    ("warning", Level::Warning),
    ("debug", Level::Debug),
    ("notice", Level::Notice),
    ("warn", Level::Warning),
    ("trace", Level::Trace),
    ("critical", Level::Critical),
    ("fatal", Level::Critical),
    ("err", Level::Error),
    ("crit", Level::Critical),
    ("alert", Level::Critical),
    ("emerg", Level::Critical),
    ("severe", Level::Error),
    ("trace1", Level::Trace),
    ("trace2", Level::Trace),
    ("trace3", Level::Trace),
    ("trace4", Level::Trace),
    ("trace5", Level::Trace),
    ("trace6", Level::Trace),
    ("trace7", Level::Trace),
    ("trace8", Level::Trace),
];

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// Reads a level in any case. Use it where the place of the word already says that it is a level.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, level)| *level)
    }

    /// Reads a level in capitals. In running text a small "error" is a word like any other.
    pub(super) fn from_capitals(name: &str) -> Option<Self> {
        if name.bytes().all(|byte| byte.is_ascii_uppercase()) { Self::from_name(name) } else { None }
    }

    /// Syslog's severity; the journal's `PRIORITY` is the same number.
    pub(super) fn from_severity(severity: u64) -> Self {
        match severity {
            0..=2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warning,
            5 => Self::Notice,
            6 => Self::Info,
            _ => Self::Debug,
        }
    }

    /// The level of an answered HTTP request.
    pub(super) fn from_status(status: u64) -> Self {
        match status {
            500.. => Self::Error,
            400..500 => Self::Warning,
            _ => Self::Info,
        }
    }
}
