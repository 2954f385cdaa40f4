//! How far the tree is, and how to undo what comes next.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::{Tree, TreeError, archive, at};
use crate::folder::{Folder, read_small};

const STATE: &str = ".everlog-tree/state";
const UNDO: &str = ".everlog-tree/undo";

/// What the files are like that these rules describe.
const FORMAT: u32 = 1;

/// How far the tree is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct State {
    format: u32,
    /// Which data directory it is a view of.
    origin: String,
    /// Since which start of the machine it is written: what a program wrote survives its end, but not the machine's.
    boot: String,
    /// Whether all of it is durable.
    clean: bool,
    /// The number of the last batch that is whole.
    batch: u64,
    /// The sequence number up to which all events of a log are in.
    positions: BTreeMap<String, u64>,
}

impl State {
    pub(super) fn new(origin: &str) -> Self {
        Self {
            format: FORMAT,
            origin: origin.to_owned(),
            boot: boot(),
            clean: false,
            batch: 0,
            positions: BTreeMap::new(),
        }
    }

    /// Reads it, or says why the tree cannot be used.
    pub(super) fn read(folder: &Folder, origin: &str, last_sequence: u64) -> Result<Self, String> {
        let bytes = read_small(folder, STATE).map_err(|error| format!("{STATE} cannot be read ({error})"))?;
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| format!("{STATE} is damaged ({error})"))?;
        if state.format != FORMAT {
            return Err("it was written by another version".to_owned());
        }
        if state.origin != origin {
            return Err("it was written from another data directory".to_owned());
        }
        if state.positions.values().any(|position| *position > last_sequence) {
            return Err("it is ahead of the data directory".to_owned());
        }
        if !state.clean && state.boot != boot() {
            return Err("the machine was started again without a clean stop before".to_owned());
        }
        Ok(state)
    }

    pub(super) fn remove(folder: &Folder) -> Result<(), TreeError> {
        folder.remove(STATE).and_then(|()| folder.remove(UNDO)).map_err(at(STATE))
    }

    pub(super) fn position(&self, log: &str) -> u64 {
        self.positions.get(log).copied().unwrap_or(0)
    }

    pub(super) fn next_batch(&self) -> u64 {
        self.batch + 1
    }

    /// From now on it is being written.
    pub(super) fn begin(&mut self, folder: &Folder) -> Result<(), TreeError> {
        (self.clean, self.boot) = (false, boot());
        self.write(folder)?;
        // Durable before the first batch: after a power failure nobody may find it clean with files that went on.
        folder.sync().map_err(at(STATE))
    }

    /// A batch is whole.
    pub(super) fn advance(&mut self, folder: &Folder, log: &str, position: u64) -> Result<(), TreeError> {
        self.batch += 1;
        self.positions.insert(log.to_owned(), position);
        self.write(folder)
    }

    /// All is durable.
    pub(super) fn end(&mut self, folder: &Folder) -> Result<(), TreeError> {
        self.clean = true;
        self.write(folder)
    }

    fn write(&self, folder: &Folder) -> Result<(), TreeError> {
        write(folder, STATE, self)
    }
}

/// How the files were before a batch.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Undo {
    pub(super) batch: u64,
    pub(super) files: Vec<Before>,
}

/// How a file was.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Before {
    pub(super) path: String,
    /// Its size; none if it was not there.
    pub(super) bytes: Option<u64>,
    /// The number of its last archive.
    pub(super) number: u64,
}

impl Undo {
    pub(super) fn write(&self, folder: &Folder) -> Result<(), TreeError> {
        write(folder, UNDO, self)
    }
}

fn write(folder: &Folder, path: &str, value: &impl Serialize) -> Result<(), TreeError> {
    let json = serde_json::to_vec(value).map_err(io::Error::other);
    json.and_then(|json| folder.replace(path, |file| file.write_all(&json))).map_err(at(path))
}

/// Which start of the machine this is.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

impl Tree {
    /// Undoes the batch that was cut off, if one was. Cut off itself, it is simply done again.
    pub(super) fn undo(&self) -> Result<(), TreeError> {
        let bytes = match read_small(&self.folder, UNDO) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(at(UNDO))?,
        };
        let changed = |_| TreeError::Changed { path: UNDO.to_owned() };
        let undo: Undo = serde_json::from_slice(&bytes).map_err(changed)?;
        if undo.batch != self.state.next_batch() {
            return Ok(());
        }
        undo.files.iter().try_for_each(|before| self.undo_file(before))
    }

    fn undo_file(&self, before: &Before) -> Result<(), TreeError> {
        let Before { path, bytes, number } = before;
        archive::remove_incomplete(&self.folder, path)?;
        let mut newer = archive::of_file(&self.folder, path)?;
        newer.retain(|(of_archive, ..)| of_archive > number);
        match bytes {
            None => self.folder.remove(path).map_err(at(path))?,
            Some(bytes) => match newer.first() {
                // What was in the file went to the first archive of the batch.
                Some(first) => archive::restore(&self.folder, first, path, *bytes)?,
                None => {
                    let size = self.folder.size(path).map_err(at(path))?;
                    if size.is_none_or(|size| size < *bytes) {
                        return Err(TreeError::Changed { path: path.clone() });
                    }
                    self.folder.truncate(path, *bytes).map_err(at(path))?;
                }
            },
        }
        // The first one last: until it is gone, the file can be restored from it.
        for (_, _, archive) in newer.iter().rev() {
            self.folder.remove(archive).map_err(at(archive))?;
        }
        Ok(())
    }
}
