use std::fmt;

/// How severe an event is. Independent of the stream it goes to, and never a filter at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Finer than debug.
    Trace,
    /// For developers.
    Debug,
    /// Normal operation.
    Info,
    /// Significant in the life of the application, yet nothing is wrong.
    Notice,
    /// Something to look at.
    Warning,
    /// Something failed.
    Error,
    /// Somebody should get up.
    Critical,
}

impl Level {
    /// All seven, least severe first.
    pub const ALL: [Self; 7] =
        [Self::Trace, Self::Debug, Self::Info, Self::Notice, Self::Warning, Self::Error, Self::Critical];

    /// The name used in every answer.
    #[must_use]
    pub fn name(self) -> &'static str {
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

    /// The OpenTelemetry severity number: 1, 5, 9, 10, 13, 17, 21.
    #[must_use]
    pub fn severity_number(self) -> u8 {
        match self {
            Self::Trace => 1,
            Self::Debug => 5,
            Self::Info => 9,
            Self::Notice => 10,
            Self::Warning => 13,
            Self::Error => 17,
            Self::Critical => 21,
        }
    }

    /// Reads a name, its usual aliases (`warn`, `fatal`, `err`, …) or its upper-case form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(level) = Self::ALL.into_iter().find(|level| level.name() == text) {
            return Some(level);
        }
        if text.len() > 13 {
            return None;
        }
        Some(match text.to_ascii_lowercase().as_str() {
            "trace" | "verbose" | "finest" => Self::Trace,
            "debug" | "fine" | "finer" => Self::Debug,
            "info" | "information" | "informational" => Self::Info,
            "notice" => Self::Notice,
            "warning" | "warn" => Self::Warning,
            "error" | "err" | "severe" => Self::Error,
            "critical" | "crit" | "fatal" | "alert" | "emergency" | "emerg" | "panic" | "dpanic" => Self::Critical,
            _ => return None,
        })
    }

    /// Reads the numbers of pino and bunyan: 10 trace, 20 debug, 30 info, 40 warning, 50 error, 60 fatal.
    #[must_use]
    pub fn from_pino(number: i64) -> Option<Self> {
        Some(match number {
            10 => Self::Trace,
            20 => Self::Debug,
            30 => Self::Info,
            40 => Self::Warning,
            50 => Self::Error,
            60 => Self::Critical,
            _ => return None,
        })
    }
}

impl Level {
    /// Reads syslog's severity, which is also the journal's `PRIORITY`: 0 is the worst, 7 is debug.
    #[must_use]
    pub fn from_syslog(severity: u64) -> Option<Self> {
        Some(match severity {
            0..=2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warning,
            5 => Self::Notice,
            6 => Self::Info,
            7 => Self::Debug,
            _ => return None,
        })
    }

    /// Reads the severity numbers of OpenTelemetry, four for each level; what is above the first of INFO is a notice.
    /// <https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber>
    #[must_use]
    pub fn from_severity_number(number: u64) -> Option<Self> {
        Some(match number {
            1..=4 => Self::Trace,
            5..=8 => Self::Debug,
            9 => Self::Info,
            10..=12 => Self::Notice,
            13..=16 => Self::Warning,
            17..=20 => Self::Error,
            21..=24 => Self::Critical,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
