//! The tree: one file for each user and stream, which `tail -F` and grep read, and archives of what was full.
//!
//! It is a view of the store: what it holds can be written again. Entries come in batches, in the order of their
//! sequence numbers. Before a batch changes anything, `undo` says how the files were that it touches; when all is
//! written, `state` says how far it is. So after a kill at any point the next start undoes the half of a batch and goes
//! on: no entry is missing, none is there twice. What a kill cannot lose but a power failure can is not awaited: after
//! one, the tree is written anew.

mod archive;
mod export;
mod live;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use event::Timestamp;
use thiserror::Error;

pub use self::archive::Compress;
pub use self::export::Export;
use self::live::{Fresh, Live};
use self::state::{Before, State, Undo};
use crate::folder::{Folder, Kind};
use crate::names;

/// Where the tree keeps what it has to know of itself.
const META: &str = ".everlog-tree";

/// Where full files go.
const ARCHIVES: &str = "log-archives";

/// All that the tree makes beside [`META`].
const ROOTS: [&str; 4] = ["users", "sys", "by-log", ARCHIVES];

/// Files whose size and beginning are remembered.
const REMEMBERED_MAX: usize = 16_384;

/// How the tree is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeSettings {
    /// Where.
    pub directory: PathBuf,
    /// Lines of a file, its header counted; 0 for as many as come.
    pub lines_max: u64,
    /// Bytes of a file.
    pub bytes_max: Option<u64>,
    /// Whether a day begins a new file.
    pub daily: bool,
    /// How archives are compressed.
    pub compress: Compress,
    /// How long archives stay.
    pub keep: Option<Duration>,
    /// Whether each user has a folder; otherwise all is in `sys`.
    pub users: bool,
}

impl TreeSettings {
    /// In a directory, as API Logger has it: 3000 lines a file, nothing ever removed.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        let compress = Compress::Gzip;
        Self { directory, lines_max: 3000, bytes_max: None, daily: false, compress, keep: None, users: true }
    }
}

/// Why the tree cannot be written just now.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// Below the directory of the tree.
        path: String,
        /// What it says.
        source: io::Error,
    },
    /// The directory is somebody else's.
    #[error(
        "the directory {directory} is not empty and was not made for the tree: empty it, or name another with tree_dir"
    )]
    Strange {
        /// Which.
        directory: String,
    },
    /// Another process writes it.
    #[error("another everlog writes the tree in {directory}: give this one a directory of its own with tree_dir")]
    InUse {
        /// Which.
        directory: String,
    },
    /// The files are not as they were left. Only seen inside: it is built anew.
    #[error("{path} is shorter than it was")]
    Changed {
        /// Below the directory of the tree.
        path: String,
    },
}

impl TreeError {
    /// Its kind, by which the same trouble is told once.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{:?}", source.kind()),
            Self::Strange { .. } => "Strange".to_owned(),
            Self::InUse { .. } => "InUse".to_owned(),
            Self::Changed { .. } => "Changed".to_owned(),
        }
    }
}

pub(crate) fn at(path: &str) -> impl FnOnce(io::Error) -> TreeError {
    let path = path.to_owned();
    move |source| TreeError::Io { path, source }
}

/// An event on its way into the tree.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose it is.
    pub user: String,
    /// Its stream.
    pub stream: String,
    /// When it came: files begin, end and are named by it.
    pub received: Timestamp,
    /// Its lines.
    pub text: String,
}

impl Entry {
    /// Of an event as an answer holds it, with its lines.
    #[must_use]
    pub fn new(event: &serde_json::Value, text: String) -> Self {
        let found = |key: &str| event.get(key).and_then(serde_json::Value::as_str);
        let received = ["received", "timestamp"].into_iter().find_map(|key| Timestamp::parse(found(key)?));
        Self {
            user: event.get("user").and_then(name_of).unwrap_or_else(|| event::shared::SYSTEM_USER.to_owned()),
            stream: found("stream").unwrap_or("INFO").to_owned(),
            received: received.map_or(Timestamp::from_micros(0), |(moment, _)| moment),
            text,
        }
    }
}

/// Whom a value names: a text, a number, or an object with one of the keys that name people.
fn name_of(value: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Object(keys) => {
            let named = ["id", "user_id", "username", "name", "email"].into_iter().find_map(|key| keys.get(key));
            named.filter(|value| !value.is_object()).and_then(name_of)
        }
        Value::Null | Value::Array(_) => None,
    }
}

/// The tree, open.
#[derive(Debug)]
pub struct Tree {
    folder: Folder,
    settings: TreeSettings,
    /// What the header calls the directory.
    name: String,
    state: State,
    live: HashMap<String, Live>,
    _lock: Arc<OwnedFd>,
}

/// How a tree was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// As it was left, or as a kill left it.
    Whole,
    /// There was none.
    Nothing,
    /// It had to be removed, and is written anew.
    Unusable {
        /// Why.
        reason: String,
    },
}

impl Tree {
    /// Opens the tree and undoes the batch that a kill cut off. `origin` names the data directory that it is a view of,
    /// `last_sequence` is the last number there.
    ///
    /// # Errors
    /// When the system refuses, or the directory is somebody else's.
    pub fn open(settings: TreeSettings, origin: &str, last_sequence: u64) -> Result<(Self, Found), TreeError> {
        let shown = settings.directory.display().to_string();
        let folder = Folder::open(&settings.directory).map_err(at(&shown))?;
        Self::open_in(folder, settings, origin, last_sequence)
    }

    fn open_in(
        folder: Folder,
        settings: TreeSettings,
        origin: &str,
        last_sequence: u64,
    ) -> Result<(Self, Found), TreeError> {
        let shown = settings.directory.display().to_string();
        let there = folder.list("").map_err(at(&shown))?;
        let known = there.iter().any(|(name, kind)| name == META && *kind == Kind::Folder);
        if !known && !there.is_empty() {
            return Err(TreeError::Strange { directory: shown });
        }
        let lock = folder.lock(META).map_err(at(META))?;
        let lock = lock.ok_or(TreeError::InUse { directory: shown })?;
        let name = settings.directory.file_name().map_or("logs".into(), |name| name.to_string_lossy().into_owned());
        let state = State::new(origin);
        let mut tree = Self { folder, settings, name, state, live: HashMap::new(), _lock: lock };
        let reason = match State::read(&tree.folder, origin, last_sequence) {
            Ok(state) => {
                tree.state = state;
                match tree.undo() {
                    Ok(()) => None,
                    Err(error @ TreeError::Changed { .. }) => Some(error.to_string()),
                    Err(error) => return Err(error),
                }
            }
            Err(reason) => Some(reason),
        };
        let found = match reason {
            None => Found::Whole,
            Some(reason) => {
                tree.clear(origin)?;
                if known { Found::Unusable { reason } } else { Found::Nothing }
            }
        };
        tree.state.begin(&tree.folder)?;
        Ok((tree, found))
    }

    /// Removes what the tree wrote. Cut off within, the next start does it again, because there is no state.
    fn clear(&mut self, origin: &str) -> Result<(), TreeError> {
        State::remove(&self.folder)?;
        for root in ROOTS {
            self.folder.remove_all(root).map_err(at(root))?;
        }
        self.state = State::new(origin);
        Ok(())
    }

    /// Whether the directory is still where it was: somebody may have removed or moved it.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.folder.is_at(&self.settings.directory)
    }

    /// All events of a log up to this sequence number are in the tree.
    #[must_use]
    pub fn position(&self, log: &str) -> u64 {
        self.state.position(log)
    }

    /// Writes the next entries of a log, after which it is at `position`. `root` has its files at the root, the others
    /// below `by-log`. After an error the tree has to be opened again, which undoes what was written.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&mut self, log: &str, root: bool, entries: &[Entry], position: u64) -> Result<(), TreeError> {
        self.folder.look_again();
        let above = if root { String::new() } else { format!("by-log/{}/", names::of_user(log)) };
        let mut files: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            files.entry(path_of(&above, self.settings.users, entry)).or_default().push(entry);
        }
        if self.live.len() > REMEMBERED_MAX {
            self.live.clear();
        }
        let mut before = Vec::with_capacity(files.len());
        for path in files.keys() {
            let live = self.load(path)?;
            before.push(Before { path: path.clone(), bytes: live.on_disk, number: live.number });
            self.live.insert(path.clone(), live);
        }
        Undo { batch: self.state.next_batch(), files: before }.write(&self.folder)?;
        for (path, entries) in files {
            self.write_file(&path, &entries)?;
        }
        self.state.advance(&self.folder, log, position)
    }

    fn write_file(&mut self, path: &str, entries: &[&Entry]) -> Result<(), TreeError> {
        let mut live = self.live.remove(path).unwrap_or_default();
        let mut fresh = Fresh::default();
        for entry in entries {
            if live.bytes > 0 && !self.fits(&live, entry) {
                self.archive(path, &mut live, &mut fresh)?;
            }
            if live.bytes == 0 {
                let header = header(&format!("{}/{path}", self.name), entry.received);
                live.begin(entry.received);
                live.add(&header, entry.received, &mut fresh);
            }
            live.add(&entry.text, entry.received, &mut fresh);
        }
        self.folder.append(path, fresh.text.as_bytes()).map_err(at(path))?;
        live.on_disk = Some(live.bytes);
        self.live.insert(path.to_owned(), live);
        Ok(())
    }

    fn fits(&self, live: &Live, entry: &Entry) -> bool {
        let lines = live.lines + live::lines(&entry.text);
        let bytes = live.bytes + entry.text.len() as u64;
        let later = self.settings.daily && day(entry.received) > day(live.start);
        (self.settings.lines_max == 0 || lines <= self.settings.lines_max)
            && self.settings.bytes_max.is_none_or(|most| bytes <= most)
            && !later
    }

    /// Makes everything durable and notes that it is, so that a power failure from now on costs nothing.
    ///
    /// # Errors
    /// When the system refuses; the next start then makes sure itself.
    pub fn close(mut self) -> Result<(), TreeError> {
        self.folder.sync().map_err(at(META))?;
        self.state.end(&self.folder)
    }

    /// Removes archives whose last entry is older than they are kept. Says how many.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove_old(&mut self, now: Timestamp) -> Result<u64, TreeError> {
        let Some(keep) = self.settings.keep else { return Ok(0) };
        let cutoff = system_time(now).checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut folders = vec![ARCHIVES.to_owned()];
        let mut removed = 0;
        while let Some(folder) = folders.pop() {
            for (name, kind) in self.folder.list(&folder).map_err(at(&folder))? {
                let path = format!("{folder}/{name}");
                if kind == Kind::Folder {
                    folders.push(path);
                } else if archive::is_one(&name) {
                    let modified = self.folder.read(&path).and_then(|file| file.metadata()?.modified());
                    if modified.map_err(at(&path))? < cutoff {
                        self.folder.remove(&path).map_err(at(&path))?;
                        removed += 1;
                    }
                }
            }
        }
        Ok(removed)
    }
}

/// The file of an entry.
fn path_of(above: &str, users: bool, entry: &Entry) -> String {
    let stream = names::of_stream(&entry.stream);
    if users && entry.user != event::shared::SYSTEM_USER {
        format!("{above}users/{}/{stream}_log.log", names::of_user(&entry.user))
    } else {
        format!("{above}sys/{stream}_log.log")
    }
}

/// What a file begins with.
fn header(path: &str, created: Timestamp) -> String {
    let moment = created.to_string();
    let (date, time) = moment.split_once('T').unwrap_or((&moment, ""));
    let mut out = " [ ".to_owned();
    crate::escape::push_line(path, &mut out);
    out.push_str(" ] created on ");
    out.push_str(date);
    out.push_str(" @ ");
    out.push_str(time.get(..8).unwrap_or(time));
    out.push_str("\n\n");
    out
}

fn day(moment: Timestamp) -> i64 {
    moment.as_micros().div_euclid(86_400_000_000)
}

fn system_time(moment: Timestamp) -> SystemTime {
    let micros = u64::try_from(moment.as_micros()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests;
