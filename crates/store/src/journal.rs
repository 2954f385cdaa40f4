//! The journal: what was accepted, in order, durable before anybody is told so.
//!
//! One frame per request; one group of frames per write and sync, shared by every request that waited. The layout
//! is in docs/format.md. Recovery relies on two facts: a group is only written after the sync of the group before
//! it has returned, and sequence numbers have no gaps. So a hole in the last group is a write that was cut off and
//! never acknowledged, and a hole anywhere else is damage, which is reported with the number of events lost.
//! A group that was refused leaves its sequence numbers to the next one, which may stand in another file.

mod recovery;

use std::io;
use std::sync::Arc;

use event::{Batch, Timestamp};
use thiserror::Error;

use self::recovery::Recovery;
use crate::LogId;
use crate::disk::{Disk, DiskFile, is_full};

const FILE_MAGIC: &[u8; 8] = b"EVLJRNL1";
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"EVFR");
const FILE_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: usize = 56;

/// Size of a journal file; room for it is reserved before it is used, so that a full disk is noticed between
/// requests and a sync has no metadata to write.
const FILE_BYTES: u64 = 64 << 20;

/// Longest name of a producer, in bytes.
pub const PRODUCER_BYTES_MAX: usize = 256;

/// Why the journal did not take a group. Nothing of the group was acknowledged.
#[derive(Debug, Error)]
pub enum JournalError {
    /// No room. Nothing is lost; the same call may be tried again.
    #[error("the disk is full: free some space on the disk of the data directory; writing resumes by itself")]
    Full,
    /// An earlier write or sync failed, so what the disk holds is unknown until it is read back at a start.
    #[error(
        "the journal is closed after a failed disk write ({reason}): check the disk, then restart everlog; reading goes on"
    )]
    Poisoned {
        /// What the system said.
        reason: String,
    },
}

/// One request's events for one log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// Where they go.
    pub(crate) log: LogId,
    /// When they came.
    pub(crate) received: Timestamp,
    /// Who sent them and how far that producer is with them.
    pub(crate) producer: Option<(&'a str, u64)>,
    /// The events.
    pub(crate) batch: &'a Batch,
}

/// Events read back at a start.
#[derive(Clone, Debug)]
pub(crate) struct Recovered {
    /// Where they go.
    pub(crate) log: LogId,
    /// When they came.
    pub(crate) received: Timestamp,
    /// The sequence number of the first.
    pub(crate) first: u64,
    /// Who sent them and how far that producer was with them.
    pub(crate) producer: Option<(String, u64)>,
    /// The events.
    pub(crate) batch: Batch,
}

impl Recovered {
    fn entry(&self) -> Entry<'_> {
        Entry {
            log: self.log,
            received: self.received,
            producer: self.producer.as_ref().map(|(name, position)| (name.as_str(), *position)),
            batch: &self.batch,
        }
    }
}

/// A part of the journal that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalDamage {
    /// The file.
    pub file: String,
    /// Acknowledged events that cannot be read.
    pub events: u64,
    /// The sequence number of the first of them.
    pub first: u64,
}

/// The open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    current: Option<OpenFile>,
    /// Closed files and the last sequence number in each, oldest first.
    closed: Vec<(u64, u64)>,
    next_number: u64,
    next_sequence: u64,
    group: u64,
    /// The last group that a start found. Nobody knows whether its sync ever returned, so it is written once more
    /// before anything is acknowledged.
    in_doubt: Vec<Recovered>,
    poisoned: Option<String>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct OpenFile {
    number: u64,
    file: Arc<dyn DiskFile>,
    offset: u64,
    length: u64,
}

fn file_name(number: u64) -> String {
    format!("journal/{number:012}.journal")
}

impl Journal {
    /// Reads what is there and hands over every event after `flushed`, then stands ready to append.
    ///
    /// # Errors
    /// When the folder or a file cannot be read at all.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        flushed: u64,
        take: &mut dyn FnMut(Recovered),
    ) -> io::Result<(Self, Vec<JournalDamage>)> {
        let mut numbers: Vec<u64> =
            disk.list("journal")?.iter().filter_map(|name| name.strip_suffix(".journal")?.parse().ok()).collect();
        numbers.sort_unstable();
        let mut recovery = Recovery::new(flushed, take);
        for number in &numbers {
            recovery.read_file(&*disk, *number)?;
        }
        let in_doubt = recovery.finish();
        let next_sequence = recovery.expected;
        let journal = Self {
            disk,
            current: None,
            // All of it is in memory now, so the files go together when that is flushed.
            closed: numbers.iter().map(|number| (*number, next_sequence - 1)).collect(),
            next_number: numbers.last().map_or(1, |last| last + 1),
            next_sequence,
            group: recovery.group,
            in_doubt,
            poisoned: None,
            scratch: Vec::new(),
        };
        Ok((journal, recovery.damage))
    }

    /// The number that the next event gets.
    #[must_use]
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Why writing is over, if it is.
    #[must_use]
    pub(crate) fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// Writes a group and syncs once; returns the sequence number of the first event. When it returns, every event
    /// of every entry is durable, and so is all that the start found. Without entries nothing may be left to do.
    ///
    /// # Errors
    /// See [`JournalError`]; the whole group is then refused.
    pub(crate) fn append(&mut self, entries: &[Entry<'_>]) -> Result<u64, JournalError> {
        self.confirm()?;
        let first = self.next_sequence;
        if !entries.is_empty() {
            self.next_sequence += self.write_group(entries, first)?;
        }
        Ok(first)
    }

    /// Makes sure that what the start found last is durable, under its old sequence numbers.
    fn confirm(&mut self) -> Result<(), JournalError> {
        let in_doubt = std::mem::take(&mut self.in_doubt);
        let Some(first) = in_doubt.first().map(|recovered| recovered.first) else { return Ok(()) };
        let entries: Vec<Entry<'_>> = in_doubt.iter().map(Recovered::entry).collect();
        let written = self.write_group(&entries, first);
        if written.is_err() {
            self.in_doubt = in_doubt;
        }
        written.map(drop)
    }

    /// Writes a group; returns how many events are in it.
    fn write_group(&mut self, entries: &[Entry<'_>], group_first: u64) -> Result<u64, JournalError> {
        if let Some(reason) = &self.poisoned {
            return Err(JournalError::Poisoned { reason: reason.clone() });
        }
        self.group += 1;
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let group_rows = entries.iter().map(|entry| entry.batch.len() as u64).sum();
        let mut first = group_first;
        for entry in entries {
            encode_frame(&mut bytes, entry, FrameOrder { group: self.group, group_first, group_rows, first });
            first += entry.batch.len() as u64;
        }
        let written = self.write(&mut bytes);
        if bytes.capacity() > 16 << 20 {
            bytes = Vec::new();
        }
        self.scratch = bytes;
        written.map(|()| group_rows)
    }

    fn write(&mut self, bytes: &mut [u8]) -> Result<(), JournalError> {
        self.make_room(bytes.len() as u64)?;
        let Some(open) = &mut self.current else {
            return Err(JournalError::Full);
        };
        seal_frames(bytes, open.number);
        let wrote = open.file.write_all_at(bytes, open.offset).and_then(|()| open.file.sync());
        match wrote {
            Ok(()) => {
                open.offset += bytes.len() as u64;
                Ok(())
            }
            // The write ended early and nothing was acknowledged: the next group takes its place.
            Err(error) if is_full(&error) => Err(JournalError::Full),
            Err(error) => Err(self.poison(&error)),
        }
    }

    fn poison(&mut self, error: &io::Error) -> JournalError {
        let reason = error.to_string();
        self.poisoned = Some(reason.clone());
        JournalError::Poisoned { reason }
    }

    fn make_room(&mut self, length: u64) -> Result<(), JournalError> {
        if self.current.as_ref().is_some_and(|open| open.offset + length <= open.length) {
            return Ok(());
        }
        let number = self.next_number;
        let size = FILE_BYTES.max(FILE_HEADER_BYTES + length);
        match self.create(number, size) {
            Ok(file) => {
                self.close_current();
                self.next_number += 1;
                self.current = Some(OpenFile { number, file, offset: FILE_HEADER_BYTES, length: size });
                Ok(())
            }
            Err(error) => {
                // A file half made is no harm (it holds no frame), but it takes room that is short.
                let _ = self.disk.remove(&file_name(number));
                if is_full(&error) { Err(JournalError::Full) } else { Err(self.poison(&error)) }
            }
        }
    }

    fn create(&self, number: u64, size: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(&file_name(number))?;
        file.allocate(size)?;
        let mut header = Vec::with_capacity(32);
        header.extend_from_slice(FILE_MAGIC);
        header.extend_from_slice(&number.to_le_bytes());
        header.extend_from_slice(&self.next_sequence.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        let checksum = crc32c::crc32c(&header);
        header.extend_from_slice(&checksum.to_le_bytes());
        file.write_all_at(&header, 0)?;
        file.sync()?;
        self.disk.sync_folder("journal")?;
        Ok(file)
    }

    /// Ends the current file, so that it can be removed once its events are in segments.
    pub(crate) fn close_current(&mut self) {
        if let Some(open) = self.current.take() {
            self.closed.push((open.number, self.next_sequence.saturating_sub(1)));
        }
    }

    /// Removes the files that hold no event after `flushed`.
    ///
    /// # Errors
    /// What the system says; a file that could not be removed is tried again the next time.
    pub(crate) fn trim(&mut self, flushed: u64) -> io::Result<()> {
        self.in_doubt.retain(|recovered| recovered.first > flushed);
        while let Some((number, last)) = self.closed.first().copied() {
            if last > flushed {
                break;
            }
            match self.disk.remove(&file_name(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(self.closed.remove(0)),
            }
        }
        Ok(())
    }
}

struct FrameOrder {
    group: u64,
    group_first: u64,
    group_rows: u64,
    first: u64,
}

fn encode_frame(out: &mut Vec<u8>, entry: &Entry<'_>, order: FrameOrder) {
    let start = out.len();
    out.extend_from_slice(&FRAME_MAGIC.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&entry.log.0.to_le_bytes());
    for number in [order.group, order.group_first, order.group_rows, order.first] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&entry.received.as_micros().to_le_bytes());
    let (producer, position) = entry.producer.unwrap_or_default();
    out.extend_from_slice(&u16::try_from(producer.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&producer.as_bytes()[..producer.len().min(PRODUCER_BYTES_MAX)]);
    out.extend_from_slice(&position.to_le_bytes());
    entry.batch.encode(out);
    let payload = u32::try_from(out.len() - start - FRAME_HEADER_BYTES).unwrap_or(u32::MAX);
    out[start + 4..start + 8].copy_from_slice(&payload.to_le_bytes());
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Fills in the checksums. They begin with the number of the file, so that frames of an older file on the same
/// blocks of the disk are not taken for ours.
fn seal_frames(bytes: &mut [u8], number: u64) {
    let mut at = 0;
    while at < bytes.len() {
        let payload = read_u32(bytes, at + 4) as usize;
        let checksum = frame_checksum(&bytes[at..at + FRAME_HEADER_BYTES + payload], number);
        bytes[at + 8..at + 12].copy_from_slice(&checksum.to_le_bytes());
        at = (at + FRAME_HEADER_BYTES + payload).next_multiple_of(8);
    }
}

fn frame_checksum(frame: &[u8], number: u64) -> u32 {
    let sum = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &frame[..8]);
    crc32c::crc32c_append(sum, &frame[12..])
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|found| found.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|found| found.try_into().ok()).map_or(0, u64::from_le_bytes)
}

struct Frame {
    group_first: u64,
    group_rows: u64,
    recovered: Recovered,
}

/// The first sequence number of a file, as its header says.
fn file_start(bytes: &[u8]) -> Option<u64> {
    let header = bytes.get(..32)?;
    let sound = header.starts_with(FILE_MAGIC) && crc32c::crc32c(&header[..28]) == read_u32(header, 28);
    sound.then(|| read_u64(header, 16))
}

fn read_frame(bytes: &[u8], at: usize, number: u64) -> Option<(Frame, u64, usize)> {
    if read_u32(bytes, at) != FRAME_MAGIC {
        return None;
    }
    let payload = read_u32(bytes, at + 4) as usize;
    let end = at.checked_add(FRAME_HEADER_BYTES)?.checked_add(payload)?;
    let frame = bytes.get(at..end)?;
    if frame_checksum(frame, number) != read_u32(bytes, at + 8) {
        return None;
    }
    let name_end = FRAME_HEADER_BYTES + 2 + usize::from(u16::from_le_bytes(frame.get(56..58)?.try_into().ok()?));
    let name = std::str::from_utf8(frame.get(FRAME_HEADER_BYTES + 2..name_end)?).ok()?;
    let producer = (!name.is_empty()).then(|| (name.to_owned(), read_u64(frame, name_end)));
    let batch = Batch::decode(frame.get(name_end + 8..)?).ok()?;
    #[expect(clippy::cast_possible_wrap, reason = "written from an i64")]
    let received = Timestamp::from_micros(read_u64(frame, 48) as i64);
    let recovered =
        Recovered { log: LogId(read_u32(frame, 12)), received, first: read_u64(frame, 40), producer, batch };
    let frame_read = Frame { group_first: read_u64(frame, 24), group_rows: read_u64(frame, 32), recovered };
    Some((frame_read, read_u64(frame, 16), end.next_multiple_of(8)))
}
