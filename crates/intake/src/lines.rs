//! Lines of log files in, the text of JSON objects out: each line says for itself which format it is in.
//!
//! Files are mixed in practice (JSON beside access lines beside a traceback), so nothing is decided per file. A line that
//! no format claims is kept whole as `message`; lines that belong together, such as a traceback, become one record.
//! No input makes this module panic, and none is left out without the record saying so.

mod access;
mod assemble;
mod bracketed;
mod clock;
mod cursor;
mod event;
mod journal;
mod labelled;
mod level;
mod message;
mod recognise;
mod server_errors;
mod syslog;
mod text;
mod timestamped;
mod trace;
mod uwsgi;

#[cfg(test)]
mod tests;

use assemble::{Assembler, Line};
use clock::Clock;
use jiff::{Timestamp, tz::TimeZone};
use journal::Entry;
pub(crate) use message::{Messages, json_text, severity_name};

/// What one record of a file became.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The event as the text of one JSON object, without a newline.
    pub json: String,
    /// Byte offset, in the input fed so far, of the record's first byte.
    pub offset: u64,
    /// Which format was recognised.
    pub format: Format,
}

/// The formats that are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Format {
    /// A JSON object on a line of its own, passed through as it is.
    Json,
    /// A web server's access line: "common", "combined", gunicorn's, Django's development server's.
    Access,
    /// nginx's error log.
    NginxError,
    /// Apache's error log.
    ApacheError,
    /// gunicorn's error and boot log.
    Gunicorn,
    /// uWSGI's request line.
    Uwsgi,
    /// Logbook: `[time] LEVEL: channel: message`.
    Logbook,
    /// Python's logging, and every other line of a time, a level and a message.
    Python,
    /// The text layout of Rust's tracing.
    Tracing,
    /// API Logger: `INFO:  message § [time]`.
    ApiLogger,
    /// Syslog: RFC 5424, RFC 3164, and the files below `/var/log`.
    Syslog,
    /// The systemd journal, exported as fields or as JSON.
    Journal,
    /// Anything else.
    Text,
}

impl Format {
    /// The name of the format, as shown in an import's summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Access => "access",
            Self::NginxError => "nginx-error",
            Self::ApacheError => "apache-error",
            Self::Gunicorn => "gunicorn",
            Self::Uwsgi => "uwsgi",
            Self::Logbook => "logbook",
            Self::Python => "python",
            Self::Tracing => "tracing",
            Self::ApiLogger => "api-logger",
            Self::Syslog => "syslog",
            Self::Journal => "journal",
            Self::Text => "text",
        }
    }
}

/// What the lines themselves do not say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The zone of times that are written without one.
    pub zone: TimeZone,
    /// The moment of reading, from which the year of a syslog time is inferred.
    pub now: Timestamp,
    /// Longest line kept, in bytes. The event of a longer one says how much was left out, in `truncated_bytes`.
    pub line_bytes_max: usize,
}

/// Cuts a stream of bytes into records. How the bytes were chunked makes no difference to the records.
///
/// Held back at any time: one line of at most `line_bytes_max`, and one record whose continuation may still follow, of
/// about 1 MiB.
#[derive(Debug)]
pub struct Lines {
    line_bytes_max: usize,
    /// Offset of the next byte to be read.
    position: u64,
    partial: Partial,
    journal: Option<Entry>,
    assembler: Assembler,
}

impl Lines {
    /// A reader at offset 0.
    pub fn new(settings: Settings) -> Self {
        let Settings { zone, now, line_bytes_max } = settings;
        Self {
            line_bytes_max,
            position: 0,
            partial: Partial::default(),
            journal: None,
            assembler: Assembler::new(Clock::new(zone, now)),
        }
    }

    /// Takes the next bytes of the input (any chunking), and calls `emit` for each record that is complete.
    pub fn push(&mut self, chunk: &[u8], emit: &mut dyn FnMut(Record)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let used = if self.journal.as_ref().is_some_and(Entry::wants_bytes) {
                self.take_binary(rest, emit)
            } else {
                self.take_line(rest, emit)
            };
            self.position += used as u64;
            rest = &rest[used..];
        }
    }

    /// The input is over: emits what is still held back (last line without newline, an open traceback).
    pub fn finish(&mut self, emit: &mut dyn FnMut(Record)) {
        if self.partial.total > 0 {
            self.end_partial(emit);
        }
        if let Some(entry) = self.journal.take() {
            emit(entry.finish());
        }
        self.assembler.close(emit);
    }

    /// Tells a reader that lives long what time it is, which syslog's times without a year need.
    pub fn set_now(&mut self, now: Timestamp) {
        self.assembler.set_now(now);
    }

    /// Nothing came for a while: emits what could have been continued. A line without its end stays held back.
    pub fn settle(&mut self, emit: &mut dyn FnMut(Record)) {
        if let Some(entry) = self.journal.take_if(|entry| !entry.wants_bytes()) {
            emit(entry.finish());
        }
        self.assembler.close(emit);
    }

    /// Offset, in the input fed so far, of the first byte that is in no emitted record: up to there nothing is held back.
    #[must_use]
    pub fn held_from(&self) -> u64 {
        let partial = (self.partial.total > 0).then_some(self.partial.offset);
        let journal = self.journal.as_ref().map(Entry::offset);
        [partial, journal, self.assembler.held_from()].into_iter().flatten().min().unwrap_or(self.position)
    }

    fn take_line(&mut self, rest: &[u8], emit: &mut dyn FnMut(Record)) -> usize {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            self.partial.extend(rest, self.position, self.line_bytes_max);
            return rest.len();
        };
        if self.partial.total == 0 {
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            let kept = &line[..line.len().min(self.line_bytes_max)];
            self.line(kept, (line.len() - kept.len()) as u64, self.position, emit);
        } else {
            self.partial.extend(&rest[..end], self.position, self.line_bytes_max);
            self.end_partial(emit);
        }
        end + 1
    }

    fn end_partial(&mut self, emit: &mut dyn FnMut(Record)) {
        let partial = std::mem::take(&mut self.partial);
        let length = partial.total - u64::from(partial.last == b'\r');
        let kept = usize::try_from(length).map_or(partial.bytes.len(), |length| length.min(partial.bytes.len()));
        self.line(&partial.bytes[..kept], length - kept as u64, partial.offset, emit);
        self.partial.reuse(partial.bytes);
    }

    fn line(&mut self, bytes: &[u8], left_out: u64, offset: u64, emit: &mut dyn FnMut(Record)) {
        let bytes = if offset == 0 { bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes) } else { bytes };
        if let Some(entry) = &mut self.journal {
            if entry.takes(bytes) {
                if entry.is_full() {
                    emit(std::mem::replace(entry, Entry::new(offset, self.line_bytes_max)).finish());
                }
                entry.line(bytes, left_out);
                return;
            }
            if let Some(entry) = self.journal.take() {
                emit(entry.finish());
            }
        }
        if Entry::starts_with(bytes) {
            self.assembler.close(emit);
            let mut entry = Entry::new(offset, self.line_bytes_max);
            entry.line(bytes, left_out);
            self.journal = Some(entry);
            return;
        }
        let (bytes, left_out) = text::whole_characters(bytes, left_out);
        let (text, not_utf8) = text::decode(bytes);
        self.assembler.line(&Line { text: &text, offset, not_utf8, truncated_bytes: left_out }, emit);
    }

    /// Feeds the length-prefixed value of a journal field.
    fn take_binary(&mut self, rest: &[u8], emit: &mut dyn FnMut(Record)) -> usize {
        let Some(entry) = &mut self.journal else { return 0 };
        let (used, refused) = entry.bytes(rest);
        if let Some(length) = refused {
            // Not a length any journal writes, so the name before it was a line of text, and these bytes are lines too.
            if let Some(entry) = self.journal.take() {
                emit(entry.finish());
            }
            let after = self.position + used as u64;
            self.position = after - length.len() as u64;
            self.push(&length, emit);
            self.position = after - used as u64;
        }
        used
    }
}

/// The beginning of a line whose end has not come yet.
#[derive(Default, Debug)]
struct Partial {
    bytes: Vec<u8>,
    /// Length of the line so far, kept or not.
    total: u64,
    last: u8,
    offset: u64,
}

/// Capacity kept from line to line; a buffer that one huge line has grown is given back.
const PARTIAL_BYTES_KEPT_MAX: usize = 256 * 1024;

impl Partial {
    fn extend(&mut self, bytes: &[u8], position: u64, line_bytes_max: usize) {
        let Some(last) = bytes.last() else { return };
        if self.total == 0 {
            self.offset = position;
        }
        let room = line_bytes_max.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.total += bytes.len() as u64;
        self.last = *last;
    }

    fn reuse(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() <= PARTIAL_BYTES_KEPT_MAX {
            bytes.clear();
            self.bytes = bytes;
        }
    }
}
