//! The disk, as far as the store sees it: the one door to files, so that tests can put a disk behind it that
//! forgets, tears, fails and fills up.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of files, addressed by names relative to it (`segments/12.parquet`).
pub trait Disk: Send + Sync + Debug {
    /// Makes an empty file, in place of one of that name if there is one.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// What the system says; `NotFound` when it is not there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of one of that name. Durable once the folder is synced.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of the files in a folder, without the folder. A folder that is not there has none.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes names in the folder durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Bytes left for us.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Called right before (`done` false) and right after the catalog commits, so that a test disk can fail or stop
    /// there: the catalog's own file is SQLite's business.
    ///
    /// # Errors
    /// Only on a test disk.
    fn around_commit(&self, done: bool) -> io::Result<()> {
        let _ = done;
        Ok(())
    }
}

/// A file to read. Positions are given with each call, so one handle serves many threads.
pub trait ReadAt: Send + Sync + Debug {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// What the system says; `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// The size in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;
}

/// An open file of a disk, which can be written too.
pub trait DiskFile: ReadAt {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the system says. Part of the bytes may then be in the file.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the content durable (`fdatasync`). After an error the content is unknown until it is read back
    /// from the device, so nobody may try again and trust a later success.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self) -> io::Result<()>;

    /// Reserves room up to `length`, filled with zeros.
    ///
    /// # Errors
    /// What the system says; `StorageFull` when there is no room.
    fn allocate(&self, length: u64) -> io::Result<()>;
}

/// Whether an error says that the disk (or the quota) is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// The machine's own disk.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// A data directory, made if it is not there, readable by its owner only.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn new(root: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        for folder in [root.to_path_buf(), root.join("journal"), root.join("segments")] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // The names of the folders have to be as durable as what is in them.
        fs::File::open(root)?.sync_all()?;
        if let Some(parent) = root.canonicalize()?.parent() {
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(Self { root: root.to_path_buf() })
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.root.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(fs::File::open(self.root.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(name))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        fs::File::open(self.root.join(folder))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.root)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

#[derive(Debug)]
pub(crate) struct RealFile(pub(crate) fs::File);

impl ReadAt for RealFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl DiskFile for RealFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, length) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.0.set_len(length),
            other => Ok(other?),
        }
    }
}

/// Held while a data directory is in use, so that two servers never share one.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: fs::File,
}

impl DirectoryLock {
    /// Takes the lock; `None` when another process has it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn take(root: &Path) -> io::Result<Option<Self>> {
        let file = fs::File::options().write(true).create(true).truncate(false).open(root.join("everlog.lock"))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
