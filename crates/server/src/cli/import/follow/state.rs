//! What is followed, in a file: under which number each is known to the server, and by what it is known again.
//!
//! How far each is stored the server knows, which keeps it together with the events. So this file is written when a file
//! is new, and may be older than what was sent.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use flate2::Crc;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::identity::Position;

/// Where the ids of records begin, so that they cannot be taken for those of another program.
const NAMESPACE: Uuid = Uuid::from_u128(0x6576_6572_6c6f_6720_8066_6f6c_6c6f_7721);

/// So many bytes of the beginning tell one file from another.
const HEAD_BYTES: u64 = 256;

/// So many bytes before a position have to be the same for a file to be the same.
pub(super) const CHECK_BYTES: usize = 1024;

/// All that is followed.
#[derive(Serialize, Deserialize, Debug)]
pub(super) struct State {
    /// Who follows: part of the names under which the server knows the files.
    follower: String,
    /// The number of the next file.
    next: u64,
    pub(super) files: Vec<Known>,
}

/// One content of one file, from its beginning to its truncation or deletion.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) number: u64,
    /// Where it was found.
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
    head_bytes: u64,
    head_check: u32,
}

impl Known {
    /// Whether the file is the one that was known, whatever it holds now.
    pub(super) fn is_at(&self, metadata: &fs::Metadata) -> bool {
        (self.device, self.inode) == (metadata.dev(), metadata.ino())
    }

    /// Whether nothing of it was ever seen.
    pub(super) fn was_empty(&self) -> bool {
        self.head_bytes == 0
    }

    /// Whether a content begins and, before `position`, goes on as this one.
    pub(super) fn fits(&self, file: &File, position: Position) -> io::Result<bool> {
        let mut head = vec![0; self.head_bytes as usize];
        Ok(read_at(file, &mut head, 0)? == head.len()
            && check(&head) == self.head_check
            && Position::after(position.offset, &before(file, position.offset)?) == position
            && file.metadata()?.len() >= position.offset)
    }

    /// The same of the content of a compressed file.
    pub(super) fn fits_content(&self, head: &[u8], before: &[u8], position: Position) -> bool {
        let tail = &before[before.len().saturating_sub(CHECK_BYTES)..];
        head.get(..self.head_bytes as usize).is_some_and(|head| check(head) == self.head_check)
            && Position::after(position.offset, tail) == position
    }

    /// Learns more of the beginning, if there is more now.
    pub(super) fn learn(&mut self, file: &File) -> io::Result<bool> {
        if self.head_bytes >= HEAD_BYTES {
            return Ok(false);
        }
        let mut head = vec![0; HEAD_BYTES as usize];
        let length = read_at(file, &mut head, 0)?;
        // Half of a line is learnt as well: it will not change.
        let grown = length as u64 > self.head_bytes;
        if grown {
            (self.head_bytes, self.head_check) = (length as u64, check(&head[..length]));
        }
        Ok(grown)
    }
}

fn check(bytes: &[u8]) -> u32 {
    let mut checksum = Crc::new();
    checksum.update(bytes);
    checksum.sum()
}

/// The bytes before an offset that a position is computed from.
pub(super) fn before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let start = offset.saturating_sub(CHECK_BYTES as u64);
    let mut bytes = vec![0; (offset - start) as usize];
    let length = read_at(file, &mut bytes, start)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Reads as much as there is.
pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl State {
    /// The name under which the server knows a file.
    pub(super) fn producer(&self, number: u64) -> String {
        format!("follow:{}:{number}", self.follower)
    }

    /// The id of the record at an offset of a file: the same each time.
    pub(super) fn event_id(&self, number: u64, offset: u64) -> Uuid {
        let mut bytes = Uuid::new_v5(&NAMESPACE, self.producer(number).as_bytes()).into_bytes();
        bytes[8..].copy_from_slice(&offset.to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// A content lies elsewhere now: in a copy of its file.
    pub(super) fn moved(&mut self, number: u64, to: &fs::Metadata) {
        for known in self.files.iter_mut().filter(|known| known.number == number) {
            (known.device, known.inode) = (to.dev(), to.ino());
        }
    }

    /// Knows a content no longer.
    pub(super) fn forget(&mut self, number: u64) {
        self.files.retain(|known| known.number != number);
    }

    /// Begins to know a file.
    pub(super) fn add(&mut self, path: &Path, file: &File) -> io::Result<Known> {
        let metadata = file.metadata()?;
        let mut known = Known {
            number: self.next,
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            head_bytes: 0,
            head_check: check(b""),
        };
        known.learn(file)?;
        self.next += 1;
        self.files.push(known.clone());
        Ok(known)
    }
}

/// The file that holds the state, and that nobody else writes meanwhile.
#[derive(Debug)]
pub(super) struct Saved {
    path: PathBuf,
    _lock: File,
}

impl Saved {
    /// Opens the state, or begins one.
    pub(super) fn open(named: Option<PathBuf>, log: &str) -> anyhow::Result<(Self, State)> {
        let path = match named {
            Some(path) => path,
            None => folder()?.join(format!("follow-{log}.json")),
        };
        let open = || -> anyhow::Result<(Self, State)> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let lock = File::options().create(true).append(true).open(path.with_extension("lock"))?;
            if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
                bail!("another `everlog import --follow` uses it: give this one a file of its own with --state");
            }
            let state = match std::fs::read_to_string(&path) {
                Ok(text) => serde_json::from_str(&text).context("it is damaged: remove it to begin anew")?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    State { follower: Uuid::new_v4().simple().to_string(), next: 0, files: Vec::new() }
                }
                Err(error) => return Err(error.into()),
            };
            Ok((Self { path: path.clone(), _lock: lock }, state))
        };
        open().with_context(|| format!("the state in {}", path.display()))
    }

    /// Makes the state durable.
    pub(super) fn save(&self, state: &State) -> anyhow::Result<()> {
        let aside = self.path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&aside)?;
            file.write_all(&serde_json::to_vec(state)?)?;
            file.sync_all()?;
            fs::rename(&aside, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

fn folder() -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || Some(variable("HOME")?.join(".local/state/everlog"));
    variable("STATE_DIRECTORY")
        .or_else(|| Some(variable("XDG_STATE_HOME")?.join("everlog")))
        .or_else(home)
        .context("there is no home directory to remember in how far files are read: name a file with --state")
}
