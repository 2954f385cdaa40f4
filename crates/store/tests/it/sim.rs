//! A disk in memory that forgets, tears, fails and fills up.
//!
//! What is written is seen by every reader at once, as through the page cache of a real system, and is on the
//! platter only after a sync. A loss of power keeps of every write since then any set of sectors, and of every
//! change of a name since the last sync of its folder either all or nothing, each on its own. Ending the process
//! alone loses nothing, and syncs nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use rusqlite::Connection;
use store::archive::{Archive, Places};
use store::catalog::Catalog;
use store::disk::{Disk, DiskFile, ReadAt};
use store::{StartReport, Store, StoreError};

use crate::random::Random;

const SECTOR_BYTES: usize = 512;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process or the machine stops: this call and all later ones fail until the next start.
    Crash,
    /// One write, or one sync, fails with an input/output error.
    Device,
    /// No room from now on.
    Full,
}

/// What a call wants to do, as far as faults care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Create,
    Name,
    SyncFolder,
    Write,
    Sync,
    Allocate,
    Commit,
    Committed,
}

impl Fault {
    fn strikes(self, call: Call) -> bool {
        match self {
            Self::Crash => true,
            Self::Device => matches!(call, Call::Write | Call::Sync | Call::Commit),
            Self::Full => matches!(call, Call::Create | Call::Write | Call::Allocate | Call::Commit),
        }
    }
}

/// The disk; a clone is the same disk.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: Random,
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    calls: usize,
    armed: Option<(usize, Fault)>,
    /// After so many names in the folder of segments, whoever makes the next one tells, and waits.
    pause: Option<(usize, Sender<()>, Receiver<()>)>,
    crashed: bool,
    full: bool,
    /// Whether a fault has struck since the last start.
    failed: bool,
}

#[derive(Debug, Default)]
struct Content {
    /// What a reader sees.
    cache: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    reserved: usize,
}

/// A change of a name that is not durable yet.
#[derive(Debug)]
enum Change {
    Create { name: String, file: usize },
    Rename { from: String, to: String, file: usize },
    Remove { name: String },
}

impl Change {
    fn folder(&self) -> &str {
        let (Self::Create { name, .. } | Self::Rename { to: name, .. } | Self::Remove { name }) = self;
        name.split_once('/').map_or("", |(folder, _)| folder)
    }

    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create { name, file } => drop(names.insert(name.clone(), *file)),
            Self::Rename { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Remove { name } => drop(names.remove(name)),
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// The parts of a write that fall into different sectors, as ranges of its bytes.
fn sectors(offset: usize, length: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = (start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES).min(length);
        let part = start..end;
        start = end;
        (!part.is_empty()).then_some(part)
    })
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.cache, offset, bytes);
        self.unsynced.push((offset, bytes.to_vec()));
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            put(&mut self.durable, offset, &bytes);
        }
    }

    /// Lets chance decide about every sector that was not synced, for good.
    fn lose(&mut self, random: &mut Random) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            let fate = random.below(3);
            for part in sectors(offset, bytes.len()) {
                if fate == 0 || (fate == 1 && random.percent(50)) {
                    put(&mut self.durable, offset + part.start, &bytes[part]);
                }
            }
        }
    }
}

fn crashed() -> io::Error {
    io::Error::other("the machine stopped")
}

fn device_error() -> io::Error {
    io::Error::other("input/output error")
}

fn no_room() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl State {
    fn start(&mut self) {
        self.crashed = false;
        self.armed = None;
        self.failed = false;
    }

    /// Counts a call; says which fault strikes it, if one does.
    fn call(&mut self, call: Call) -> io::Result<Option<Fault>> {
        if self.crashed {
            return Err(crashed());
        }
        self.calls += 1;
        let struck = self.armed.filter(|(at, fault)| self.calls >= *at && fault.strikes(call)).map(|(_, fault)| fault);
        if let Some(fault) = struck {
            self.armed = None;
            self.failed = true;
            self.crashed |= fault == Fault::Crash;
            self.full |= fault == Fault::Full;
        }
        Ok(struck)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    /// A change of a name: at a crash it has happened or not.
    fn change_name(&mut self, change: Change) -> io::Result<()> {
        if self.call(Call::Name)? == Some(Fault::Crash) {
            if self.random.percent(50) {
                self.change(change);
            }
            return Err(crashed());
        }
        self.change(change);
        Ok(())
    }

    fn write(&mut self, file: usize, bytes: &[u8], offset: usize) -> io::Result<()> {
        let struck = self.call(Call::Write)?;
        let reserved = self.files[file].reserved;
        let error = match struck {
            Some(Fault::Crash) => crashed(),
            Some(Fault::Device) => device_error(),
            Some(Fault::Full) => no_room(),
            None if self.full && offset + bytes.len() > reserved => no_room(),
            None => {
                self.files[file].write(offset, bytes);
                return Ok(());
            }
        };
        let written = self.random.below(bytes.len() + 1);
        self.files[file].write(offset, &bytes[..written]);
        Err(error)
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        let struck = self.call(Call::Sync)?;
        match struck {
            Some(Fault::Crash) => {
                if self.random.percent(50) {
                    self.files[file].sync();
                }
                Err(crashed())
            }
            Some(_) => {
                // The system marks the pages clean: readers still see them, and no later sync writes them.
                self.files[file].lose(&mut self.random);
                Err(device_error())
            }
            None => {
                self.files[file].sync();
                Ok(())
            }
        }
    }
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            calls: 0,
            armed: None,
            pause: None,
            crashed: false,
            full: false,
            failed: false,
        })))
    }

    /// Lets a fault strike the first call it can strike after `calls` more.
    pub(crate) fn arm(&self, calls: usize, fault: Fault) {
        let mut state = self.0.lock();
        state.armed = Some((state.calls + 1 + calls, fault));
    }

    /// Lets whoever makes the next name but `names` in the folder of segments tell, and wait until the other end is used.
    pub(crate) fn pause_at_segment(&self, names: usize) -> (Receiver<()>, Sender<()>) {
        let ((reached, hears), (go, waits)) = (channel(), channel());
        self.0.lock().pause = Some((names, reached, waits));
        (hears, go)
    }

    pub(crate) fn pause_no_more(&self) {
        self.0.lock().pause = None;
    }

    fn pass(&self, name: &str) {
        let mut state = self.0.lock();
        if !name.starts_with("segments/") {
            return;
        }
        match state.pause.take() {
            Some((0, reached, waits)) => {
                drop(state);
                let _ = reached.send(());
                let _ = waits.recv();
            }
            Some((names, reached, waits)) => state.pause = Some((names - 1, reached, waits)),
            None => {}
        }
    }

    pub(crate) fn is_crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// Whether an error has an excuse.
    pub(crate) fn has_failed(&self) -> bool {
        let state = self.0.lock();
        state.failed || state.full
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.lock().full
    }

    /// Somebody made room.
    pub(crate) fn make_room(&self) {
        self.0.lock().full = false;
    }

    /// The process ends and is started again: nothing is lost, and nothing is synced.
    pub(crate) fn restart(&self) {
        let mut state = self.0.lock();
        state.start();
    }

    /// The power is lost and comes back.
    pub(crate) fn reboot(&self) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        for change in std::mem::take(&mut state.changes) {
            if state.random.percent(50) {
                change.apply(&mut state.durable_names);
            }
        }
        state.names.clone_from(&state.durable_names);
        for file in &mut state.files {
            file.lose(&mut state.random);
            file.cache.clone_from(&file.durable);
        }
        state.start();
    }

    /// The names in a folder, without asking the store.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let state = self.0.lock();
        state.names.keys().filter_map(|name| Some(name.strip_prefix(folder)?.strip_prefix('/')?.to_owned())).collect()
    }
}

/// A simulated disk with the catalog that belongs to it: a database in memory, for its durability is SQLite's business.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    connection: Arc<Mutex<Connection>>,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        let connection = Arc::new(Mutex::new(Connection::open_in_memory().unwrap()));
        Self { disk: SimDisk::new(seed), connection }
    }

    pub(crate) fn open(&self) -> Result<(Store, StartReport), StoreError> {
        let disk = Arc::new(self.disk.clone());
        let places = Arc::new(SimPlaces(self.disk.clone()));
        Store::open(disk.clone(), Catalog::with_connection(Arc::clone(&self.connection), disk)?, places)
    }
}

/// An archive on the same disk, in the folder `archive`: it crashes, fails and fills up with everything else.
#[derive(Debug)]
struct SimPlaces(SimDisk);

impl Places for SimPlaces {
    fn current(&self) -> &str {
        ""
    }

    fn at(&self, _place: &str) -> Arc<dyn Archive> {
        Arc::new(Self(self.0.clone()))
    }
}

/// A name as one of a flat folder.
fn flat(name: &str) -> String {
    format!("archive/{}", name.replace('/', "~"))
}

impl Archive for SimPlaces {
    fn put(&self, name: &str, source: Arc<dyn ReadAt>, length: u64) -> io::Result<()> {
        let mut bytes = vec![0; index(length)];
        source.read_exact_at(&mut bytes, 0)?;
        let file = self.0.create(&flat(name))?;
        file.write_all_at(&bytes, 0)?;
        file.sync()?;
        self.0.sync_folder("archive")
    }

    fn open(&self, name: &str, _length: u64) -> io::Result<Arc<dyn ReadAt>> {
        Ok(self.0.open(&flat(name))?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(&flat(name))?;
        self.0.sync_folder("archive")
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let names = self.0.list("archive")?;
        names
            .iter()
            .map(|name| Ok((name.replace('~', "/"), self.0.open(&format!("archive/{name}"))?.size()?)))
            .collect()
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.pass(name);
        let mut state = self.0.lock();
        let struck = state.call(Call::Create)?;
        if state.full {
            return Err(no_room());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        if struck.is_none() || state.random.percent(50) {
            state.change(Change::Create { name: name.to_owned(), file });
        }
        if struck.is_some() {
            return Err(crashed());
        }
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.lock();
        if state.crashed {
            return Err(crashed());
        }
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.pass(to);
        let mut state = self.0.lock();
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change_name(Change::Rename { from: from.to_owned(), to: to.to_owned(), file })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(Change::Remove { name: name.to_owned() })
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        if self.is_crashed() { Err(crashed()) } else { Ok(self.names(folder)) }
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let struck = state.call(Call::SyncFolder)?;
        if struck.is_none() || state.random.percent(50) {
            for change in state.changes.extract_if(.., |change| change.folder() == folder) {
                change.apply(&mut state.durable_names);
            }
        }
        if struck.is_some() { Err(crashed()) } else { Ok(()) }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(if self.is_full() { 0 } else { 1 << 40 })
    }

    fn around_commit(&self, done: bool) -> io::Result<()> {
        let mut state = self.0.lock();
        let struck = state.call(if done { Call::Committed } else { Call::Commit })?;
        match struck {
            Some(Fault::Crash) => Err(crashed()),
            Some(Fault::Device) => Err(device_error()),
            Some(Fault::Full) => Err(no_room()),
            None if state.full && !done => Err(no_room()),
            None => Ok(()),
        }
    }
}

impl ReadAt for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.0.lock();
        if state.crashed {
            return Err(crashed());
        }
        let start = index(offset);
        let bytes = state.files[self.file].cache.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.disk.0.lock();
        if state.crashed { Err(crashed()) } else { Ok(state.files[self.file].cache.len() as u64) }
    }
}

impl DiskFile for SimFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.0.lock().write(self.file, bytes, index(offset))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.0.lock().sync(self.file)
    }

    /// Reserves room without a change of the size, so that 64 MiB of zeros need not be kept.
    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let struck = state.call(Call::Allocate)?;
        if struck == Some(Fault::Crash) {
            return Err(crashed());
        }
        if state.full {
            return Err(no_room());
        }
        state.files[self.file].reserved = index(length);
        Ok(())
    }
}
