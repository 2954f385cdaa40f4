//! The files that grow.

use std::io::Read as _;

use event::Timestamp;

use super::{Tree, TreeError, archive, at};

/// A file that grows, and how far its archives are.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// Its size; `None` if it is not there.
    pub(super) on_disk: Option<u64>,
    /// The same with what is about to be written.
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// When it began.
    pub(super) start: Timestamp,
    /// When its last entry came, as far as that was seen.
    pub(super) last: Option<Timestamp>,
    /// The number of its last archive.
    pub(super) number: u64,
}

impl Default for Live {
    fn default() -> Self {
        Self { on_disk: None, bytes: 0, lines: 0, start: Timestamp::from_micros(0), last: None, number: 0 }
    }
}

/// What is about to be written to a file.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    pub(super) text: String,
}

impl Live {
    pub(super) fn begin(&mut self, start: Timestamp) {
        (self.start, self.lines) = (start, 0);
    }

    pub(super) fn add(&mut self, text: &str, received: Timestamp, fresh: &mut Fresh) {
        fresh.text.push_str(text);
        self.bytes += text.len() as u64;
        self.lines += lines(text);
        self.last = Some(received);
    }
}

pub(super) fn lines(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

impl Tree {
    /// What a file is like, as remembered if it still has that size.
    pub(super) fn load(&self, path: &str) -> Result<Live, TreeError> {
        let on_disk = self.folder.size(path).map_err(at(path))?;
        let remembered = self.live.get(path);
        if let Some(live) = remembered.filter(|live| live.on_disk == on_disk) {
            return Ok(live.clone());
        }
        let number = match remembered {
            Some(live) => live.number,
            None => archive::last_number(&self.folder, path)?,
        };
        let mut live = Live { on_disk, number, bytes: on_disk.unwrap_or(0), ..Live::default() };
        if live.bytes > 0 {
            self.read(path, &mut live).map_err(at(path))?;
        }
        Ok(live)
    }

    /// Reads the beginning of a file, and counts its lines if that matters.
    fn read(&self, path: &str, live: &mut Live) -> std::io::Result<()> {
        let mut file = self.folder.read(path)?;
        let mut buffer = vec![0; 64 << 10];
        let mut length = file.read(&mut buffer)?;
        live.start = start_of(&buffer[..length]).unwrap_or(Timestamp::from_micros(0));
        while self.settings.lines_max > 0 && length > 0 {
            live.lines += buffer[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
            length = file.read(&mut buffer)?;
        }
        Ok(())
    }
}

/// The moment in a header.
fn start_of(bytes: &[u8]) -> Option<Timestamp> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let (_, moment) = std::str::from_utf8(line).ok()?.rsplit_once(" ] created on ")?;
    let (date, time) = moment.split_once(" @ ")?;
    Timestamp::parse(&format!("{date}T{time}Z")).map(|(moment, _)| moment)
}
