//! A folder that is never left: every path is walked folder by folder, and no symbolic link is followed.
//!
//! All changes of the tree go through here, so that a test can cut them off at any point.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o700);

/// The ending of a file that is not complete.
pub(crate) const NEW: &str = ".new";

/// A folder, and what is below it by relative paths with `/`.
#[derive(Debug)]
pub(crate) struct Folder {
    root: Arc<OwnedFd>,
    /// The folder used last, by its path: many changes in a row are in one.
    last: Mutex<Option<(String, Arc<OwnedFd>)>>,
    #[cfg(test)]
    pub(crate) fuse: std::cell::Cell<Option<usize>>,
}

impl Folder {
    /// Opens a folder, and makes it if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let root = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self {
            root: Arc::new(root),
            last: Mutex::default(),
            #[cfg(test)]
            fuse: std::cell::Cell::new(None),
        })
    }

    /// Whether this folder is what is found at a path.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let same = || -> io::Result<bool> {
            let (mine, there) = (rustix::fs::fstat(&self.root)?, rustix::fs::stat(path)?);
            Ok((mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino))
        };
        same().unwrap_or(false)
    }

    /// Called before each change.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "it does something in tests")]
    #[cfg(not(test))]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    /// Called before each change; fails for good after so many.
    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        match self.fuse.get() {
            Some(0) => Err(Errno::IO.into()),
            left => {
                self.fuse.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    /// The folder that holds a path, and the last name of the path.
    fn parent<'a>(&self, path: &'a str, make: bool) -> io::Result<(Arc<OwnedFd>, &'a str)> {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.folder(folders, make)?, name))
    }

    fn folder(&self, path: &str, make: bool) -> io::Result<Arc<OwnedFd>> {
        if let Some((last, folder)) = &*self.last.lock()
            && last == path
        {
            return Ok(Arc::clone(folder));
        }
        let mut at = Arc::clone(&self.root);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            let opened = match rustix::fs::openat(&at, name, flags, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    self.step()?;
                    match rustix::fs::mkdirat(&at, name, FOLDER_MODE) {
                        Ok(()) | Err(Errno::EXIST) => rustix::fs::openat(&at, name, flags, Mode::empty())?,
                        Err(error) => return Err(error.into()),
                    }
                }
                opened => opened?,
            };
            at = Arc::new(opened);
        }
        *self.last.lock() = Some((path.to_owned(), Arc::clone(&at)));
        Ok(at)
    }

    /// Forgets which folder was used last: from now on it is looked for again.
    pub(crate) fn look_again(&self) {
        *self.last.lock() = None;
    }

    /// Makes a folder if it is not there, and holds it against other processes until the guard goes.
    pub(crate) fn lock(&self, path: &str) -> io::Result<Option<Arc<OwnedFd>>> {
        let folder = self.folder(path, true)?;
        match rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(folder)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The size of a file; `None` if there is none.
    pub(crate) fn size(&self, path: &str) -> io::Result<Option<u64>> {
        match self.read(path) {
            Ok(file) => file.metadata().map(|found| Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a file to read it.
    pub(crate) fn read(&self, path: &str) -> io::Result<File> {
        let (folder, name) = self.parent(path, false)?;
        // Without waiting: somebody's pipe must not hold us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        regular(File::from(rustix::fs::openat(&folder, name, flags, Mode::empty())?))
    }

    /// Writes to the end of a file, which is made if it is not there.
    pub(crate) fn append(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let (folder, name) = self.parent(path, true)?;
        self.step()?;
        let flags =
            OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = regular(File::from(rustix::fs::openat(&folder, name, flags, FILE_MODE)?))?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.step()?;
        file.write_all(second)
    }

    /// Writes a file whole, in place of the one of that name: it is seen complete or not at all.
    pub(crate) fn replace(&self, path: &str, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let (folder, name) = self.parent(path, true)?;
        self.step()?;
        let aside = format!("{name}{NEW}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = regular(File::from(rustix::fs::openat(&folder, aside.as_str(), flags, FILE_MODE)?))?;
        write(&mut file)?;
        self.step()?;
        Ok(rustix::fs::renameat(&folder, aside.as_str(), &folder, name)?)
    }

    /// Cuts a file off.
    pub(crate) fn truncate(&self, path: &str, length: u64) -> io::Result<()> {
        let (folder, name) = self.parent(path, false)?;
        self.step()?;
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        regular(File::from(rustix::fs::openat(&folder, name, flags, Mode::empty())?))?.set_len(length)
    }

    /// Gives a file another name, which must be free.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_folder, from_name) = self.parent(from, false)?;
        let (to_folder, to_name) = self.parent(to, true)?;
        self.step()?;
        Ok(rustix::fs::renameat(&from_folder, from_name, &to_folder, to_name)?)
    }

    /// Removes a file; one that is not there is removed already.
    pub(crate) fn remove(&self, path: &str) -> io::Result<()> {
        let (folder, name) = match self.parent(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        self.step()?;
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a folder with all that is in it.
    pub(crate) fn remove_all(&self, path: &str) -> io::Result<()> {
        self.look_again();
        for (name, kind) in self.list(path)? {
            let inner = if path.is_empty() { name } else { format!("{path}/{name}") };
            if kind == Kind::Folder { self.remove_all(&inner)? } else { self.remove(&inner)? }
        }
        let (folder, name) = match self.parent(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        self.step()?;
        self.look_again();
        match rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is in a folder; nothing if there is none.
    pub(crate) fn list(&self, path: &str) -> io::Result<Vec<(String, Kind)>> {
        let folder = match self.folder(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "." || name == ".." {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == rustix::fs::FileType::Unknown {
                let status = rustix::fs::statat(&folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
                kind = rustix::fs::FileType::from_raw_mode(status.st_mode);
            }
            found.push((name, if kind == rustix::fs::FileType::Directory { Kind::Folder } else { Kind::File }));
        }
        Ok(found)
    }

    /// Makes all that was written durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(self.root.as_fd())?;
        #[cfg(not(target_os = "linux"))]
        rustix::fs::fsync(self.root.as_fd())?;
        Ok(())
    }
}

/// What stands in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    /// Or a link, or anything else that is no folder.
    File,
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else of that name, which is no file"))
    }
}

/// All bytes of a file, which is small.
pub(crate) fn read_small(folder: &Folder, path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    folder.read(path)?.take(64 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}
