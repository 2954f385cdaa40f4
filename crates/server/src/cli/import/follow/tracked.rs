//! One file that is followed: what was read of it, and what of that is stored.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use event::limits::EVENT_BYTES_MAX;
use intake::lines::{Lines, Record, Settings};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::identity::Position;
use super::state::{CHECK_BYTES, Known, before, read_at};

/// How much is read at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// How long a record waits for lines that belong to it.
const QUIET: Duration = Duration::from_secs(1);

/// How long a file that was renamed or deleted is still listened to after its last line.
const GRACE: Duration = Duration::from_secs(10);

/// Longest line kept.
const LINE_BYTES_MAX: usize = EVENT_BYTES_MAX - (16 << 10);

/// Records to be sent, and the position after them.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Each with the offset in the file of its first byte.
    pub(super) records: Vec<(u64, String)>,
    pub(super) position: Position,
}

/// What was found in a file.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// Records, and whether there is more to read at once.
    Records(Outgoing, bool),
    /// The file holds something else than what was read of it.
    Truncated,
    /// It is not where it was, and nobody writes to it any more.
    Over(Option<Outgoing>),
}

/// A file, read up to some place.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) known: Known,
    pub(super) file: File,
    /// Since when no path leads to it.
    gone: Option<Instant>,
    /// Whether something could not be sent, after which nothing else may be.
    pub(super) stuck: bool,
    lines: Lines,
    /// Offset at which `lines` began.
    start: u64,
    /// Up to here it is read.
    read: u64,
    /// Up to here it is sent.
    sent: u64,
    /// The content up to `read`, from some place before `sent`.
    seen: Vec<u8>,
    grown: Instant,
    settled: bool,
    /// Size and time of the last change, when it was looked at last.
    looked: Option<(u64, SystemTime)>,
}

impl Tracked {
    /// A file that is stored up to an offset.
    pub(super) fn new(known: Known, file: File, from: u64, zone: TimeZone) -> io::Result<Self> {
        let seen = before(&file, from)?;
        Ok(Self {
            known,
            file,
            gone: None,
            stuck: false,
            lines: lines(zone),
            start: from,
            read: from,
            sent: from,
            seen,
            grown: Instant::now(),
            settled: true,
            looked: None,
        })
    }

    /// Whether no path leads to it.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    pub(super) fn set_gone(&mut self, gone: bool) {
        self.gone = gone.then(|| self.gone.unwrap_or_else(Instant::now));
    }

    /// Whether what came after it has to wait, because something of it is to be sent before.
    pub(super) fn goes_first(&self) -> bool {
        self.gone.is_some_and(|since| since.elapsed() < GRACE && !self.settled)
    }

    /// Up to where it is stored.
    pub(super) fn position(&self) -> Position {
        self.position_at(self.sent)
    }

    /// Reads what is new.
    pub(super) fn look(&mut self) -> io::Result<Found> {
        let metadata = self.file.metadata()?;
        let now = (metadata.len(), metadata.modified()?);
        if self.looked.replace(now) != Some(now) && !self.is_same(now.0)? {
            self.looked = None;
            return Ok(Found::Truncated);
        }
        if now.0 == self.read {
            return Ok(self.idle());
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let length = read_at(&self.file, &mut chunk, self.read)?;
        chunk.truncate(length);
        self.seen.extend_from_slice(&chunk);
        self.read += length as u64;
        if length > 0 {
            (self.grown, self.settled) = (Instant::now(), false);
        }
        self.lines.set_now(Timestamp::now());
        let mut records = Vec::new();
        self.lines.push(&chunk, &mut |record| records.push(record));
        Ok(match self.outgoing(records) {
            Some(outgoing) => Found::Records(outgoing, length == CHUNK_BYTES),
            None if length == CHUNK_BYTES => Found::Records(self.nothing(), true),
            None => Found::Nothing,
        })
    }

    fn idle(&mut self) -> Found {
        if !self.settled && self.grown.elapsed() >= QUIET {
            return self.settle().map_or(Found::Nothing, |outgoing| Found::Records(outgoing, false));
        }
        if self.is_gone() && self.grown.elapsed() >= GRACE { Found::Over(self.finish()) } else { Found::Nothing }
    }

    /// What waits for lines that belong to it, without them.
    pub(super) fn settle(&mut self) -> Option<Outgoing> {
        self.settled = true;
        let mut records = Vec::new();
        self.lines.settle(&mut |record| records.push(record));
        self.outgoing(records)
    }

    /// All that was read, also the last line without its end.
    pub(super) fn finish(&mut self) -> Option<Outgoing> {
        let mut records = Vec::new();
        self.lines.finish(&mut |record| records.push(record));
        let outgoing = self.outgoing(records)?;
        Some(Outgoing { position: self.position_at(self.read), ..outgoing })
    }

    /// What was sent is stored.
    pub(super) fn stored(&mut self, position: Position) {
        self.sent = position.offset;
        let seen_from = self.read - self.seen.len() as u64;
        let needed_from = self.sent.saturating_sub(CHECK_BYTES as u64);
        self.seen.drain(..needed_from.saturating_sub(seen_from) as usize);
    }

    /// Whether what stands before the place up to which it is read is what was read there.
    fn is_same(&self, size: u64) -> io::Result<bool> {
        let tail = &self.seen[self.seen.len().saturating_sub(CHECK_BYTES)..];
        Ok(size >= self.read && before(&self.file, self.read)?.ends_with(tail))
    }

    fn outgoing(&self, records: Vec<Record>) -> Option<Outgoing> {
        if records.is_empty() {
            return None;
        }
        let position = self.position_at(self.start + self.lines.held_from());
        let records = records.into_iter().map(|record| (self.start + record.offset, record.json)).collect();
        Some(Outgoing { records, position })
    }

    fn nothing(&self) -> Outgoing {
        Outgoing { records: Vec::new(), position: self.position() }
    }

    fn position_at(&self, offset: u64) -> Position {
        let seen_from = self.read - self.seen.len() as u64;
        let end = offset.saturating_sub(seen_from) as usize;
        let content = &self.seen[..end.min(self.seen.len())];
        Position::after(offset, &content[content.len().saturating_sub(CHECK_BYTES)..])
    }
}

/// A reader of lines.
pub(super) fn lines(zone: TimeZone) -> Lines {
    Lines::new(Settings { zone, now: Timestamp::now(), line_bytes_max: LINE_BYTES_MAX })
}
