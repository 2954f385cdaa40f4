//! A file's records in requests of a bearable size, each with the position after it.
//!
//! Reading and parsing go on in a thread of their own while the request before is on its way.

use std::io;

use event::limits::EVENT_BYTES_MAX;
use intake::lines::{Format, Lines, Record, Settings};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use tokio::sync::mpsc::Sender;

use super::files::Input;
use super::identity::{HEAD_BYTES, Identity, Position};
use super::record;
use super::source::Source;

/// Most records of a request.
const RECORDS_MAX: usize = 5000;

/// Bytes after which a request is closed. One record may go beyond them.
const BATCH_BYTES: usize = 4 << 20;

/// Longest line kept. A JSON line of this length is still an event that the server takes, with the keys we add.
const LINE_BYTES_MAX: usize = EVENT_BYTES_MAX - (16 << 10);

/// One request.
#[derive(Debug)]
pub(super) struct Batch {
    /// One event a line.
    pub(super) body: Vec<u8>,
    /// Where in the file each event came from, and what it was.
    pub(super) records: Vec<(u64, Format)>,
    /// The position after it.
    pub(super) position: Position,
}

/// What is to be read, from where on.
pub(super) struct Reading {
    pub(super) source: Source,
    /// Up to where the file was imported before.
    pub(super) from: u64,
    /// The end of what was imported before.
    pub(super) before: Vec<u8>,
    pub(super) identity: Identity,
    pub(super) zone: TimeZone,
    /// The JSON text of the file's name.
    pub(super) file: Option<String>,
}

/// The JSON text of a file's name.
pub(super) fn file_name(input: &Input) -> Option<String> {
    (!input.is_standard_input()).then(|| json!(input.path.to_string_lossy()).to_string())
}

impl Reading {
    /// Reads to the end, or until nobody takes the batches any more.
    pub(super) fn run(self, batches: &Sender<io::Result<Batch>>) {
        let Self { mut source, from, before, identity, zone, file } = self;
        let mut lines = Lines::new(Settings { zone, now: Timestamp::now(), line_bytes_max: LINE_BYTES_MAX });
        let mut open = Open {
            body: Vec::new(),
            records: Vec::new(),
            seen_from: from - before.len() as u64,
            seen: before,
            identity,
            file,
        };
        let (mut chunk, mut records) = (Vec::new(), Vec::new());
        loop {
            if let Err(error) = source.next(&mut chunk) {
                let _ = batches.blocking_send(Err(error));
                return;
            }
            open.seen.extend_from_slice(&chunk);
            let over = chunk.is_empty();
            if over {
                lines.finish(&mut |record| records.push(record));
            } else {
                lines.push(&chunk, &mut |record| records.push(record));
            }
            for record in records.drain(..) {
                let offset = from + record.offset;
                if open.is_full() && batches.blocking_send(Ok(open.close(offset))).is_err() {
                    return;
                }
                open.push(&record, offset);
            }
            if over {
                break;
            }
        }
        if !open.records.is_empty() {
            let end = open.seen_from + open.seen.len() as u64;
            let _ = batches.blocking_send(Ok(open.close(end)));
        }
    }
}

/// The batch that is being filled.
struct Open {
    body: Vec<u8>,
    records: Vec<(u64, Format)>,
    /// The content that the next position is computed from, beginning at `seen_from`.
    seen: Vec<u8>,
    seen_from: u64,
    identity: Identity,
    file: Option<String>,
}

impl Open {
    fn is_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX || self.body.len() >= BATCH_BYTES
    }

    fn push(&mut self, record: &Record, offset: u64) {
        let id = self.identity.event_id(offset).to_string();
        record::push(&mut self.body, &record.json, &id, self.file.as_deref());
        self.records.push((offset, record.format));
    }

    /// The batch of all records before an offset.
    fn close(&mut self, offset: u64) -> Batch {
        let end = usize::try_from(offset - self.seen_from).unwrap_or(self.seen.len()).min(self.seen.len());
        let position = Position::after(offset, &self.seen[..end]);
        let start = end.saturating_sub(HEAD_BYTES);
        self.seen.drain(..start);
        self.seen_from += start as u64;
        Batch { body: std::mem::take(&mut self.body), records: std::mem::take(&mut self.records), position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(bytes: &[u8], from: u64) -> Vec<Batch> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        std::fs::write(&path, bytes).unwrap();
        let mut source = Source::open(&Input { path, size: 0, named: true }).unwrap();
        let before = source.advance(from).unwrap().unwrap();
        let identity = Identity::of(&source.head, 1);
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1000);
        Reading { source, from, before, identity, zone: TimeZone::UTC, file: None }.run(&sender);
        drop(sender);
        std::iter::from_fn(|| receiver.blocking_recv()).map(Result::unwrap).collect()
    }

    #[test]
    fn going_on_after_any_batch_gives_the_batches_that_are_left() {
        let text: String = (0..12_000).map(|number| format!("{{\"number\":{number}}}\n")).collect();
        let whole = batches(text.as_bytes(), 0);
        assert_eq!(whole.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(), [5000, 5000, 2000]);
        assert_eq!(whole[2].position, Position::after(text.len() as u64, text.as_bytes()));
        let rest = batches(text.as_bytes(), whole[0].position.offset);
        assert_eq!(rest.len(), 2);
        for (again, first) in rest.iter().zip(&whole[1..]) {
            assert!(again.body == first.body, "the same records get the same ids");
            assert_eq!((again.position, &again.records), (first.position, &first.records));
        }
        assert!(batches(text.as_bytes(), text.len() as u64).is_empty());
    }

    #[test]
    fn a_position_stands_after_the_last_record() {
        let all = batches(b"first\nsecond\n\n", 0);
        assert_eq!((all.len(), all[0].records.len(), all[0].position.offset), (1, 2, 14));
        assert!(batches(b"\n\n", 0).is_empty());
    }
}
