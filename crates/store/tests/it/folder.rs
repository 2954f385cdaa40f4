//! A store in a folder of the real file system.

use std::path::PathBuf;
use std::sync::Arc;

use store::archive::Folders;
use store::catalog::Catalog;
use store::disk::RealDisk;
use store::{StartReport, Store, StoreError};

/// A data directory that goes when the test ends.
#[derive(Debug)]
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn open(&self) -> (Store, StartReport) {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<(Store, StartReport), StoreError> {
        let disk = Arc::new(RealDisk::new(self.0.path())?);
        let places = Arc::new(Folders::new(self.0.path(), ""));
        Store::open(disk.clone(), Catalog::open(&self.path("catalog.sqlite"), disk)?, places)
    }

    /// The files in a folder whose names end like this, in order.
    pub(crate) fn files(&self, folder: &str, ending: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.to_string_lossy().ends_with(ending));
        files.sort();
        files
    }
}

/// Flips bits of one byte of a file; twice is as it was.
pub(crate) fn flip(path: &std::path::Path, at: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
}
