//! An archive in a folder of this machine, or of one that is mounted here.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{AWAY, Archive, Places};
use crate::disk::{DiskFile as _, ReadAt, RealFile};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Archives in folders. The empty place is the folder `archive` in the data directory, wherever that is moved.
#[derive(Clone, Debug)]
pub struct Folders {
    data: PathBuf,
    current: String,
}

impl Folders {
    /// The folders of a data directory; new segments go to `current`.
    #[must_use]
    pub fn new(data: &Path, current: &str) -> Self {
        Self { data: data.to_owned(), current: current.to_owned() }
    }

    /// The folder of a place.
    #[must_use]
    pub fn path(&self, place: &str) -> PathBuf {
        if place.is_empty() { self.data.join("archive") } else { self.data.join(place) }
    }
}

impl Places for Folders {
    fn current(&self) -> &str {
        &self.current
    }

    fn at(&self, place: &str) -> Arc<dyn Archive> {
        Arc::new(Folder(self.path(place)))
    }
}

#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    /// Makes the folders above a file, and their names durable.
    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if parent.try_exists()? {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let mut made = parent;
        while let Some(above) = made.parent().filter(|_| made.starts_with(&self.0)) {
            fs::File::open(above)?.sync_all()?;
            made = above;
        }
        Ok(())
    }

    /// A file that is not there because nothing is: the folder is not mounted just now.
    fn is_it_away(&self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::NotFound || self.0.try_exists().unwrap_or(true) {
            return error;
        }
        let folder = self.0.display();
        io::Error::other(format!("{AWAY}: there is no folder {folder}; is it on a disk that is not mounted?"))
    }
}

impl Archive for Folder {
    fn prepare(&self) -> io::Result<()> {
        self.make_parents(&self.0.join("log"))
    }

    fn put(&self, name: &str, source: Arc<dyn ReadAt>, length: u64) -> io::Result<()> {
        let path = self.0.join(name);
        let aside = self.0.join(format!("{name}.new"));
        self.make_parents(&path)?;
        let file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        let file = RealFile(file);
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = 0;
        while at < length {
            let part = usize::try_from(length - at).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            source.read_exact_at(&mut buffer[..part], at)?;
            file.write_all_at(&buffer[..part], at)?;
            at += part as u64;
        }
        file.sync()?;
        fs::rename(&aside, &path)?;
        path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
    }

    fn open(&self, name: &str, _length: u64) -> io::Result<Arc<dyn ReadAt>> {
        let file = fs::File::open(self.0.join(name)).map_err(|error| self.is_it_away(error))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.0.join(name);
        // What a crash left half written goes too.
        let _ = fs::remove_file(self.0.join(format!("{name}.new")));
        fs::remove_file(&path).map_err(|error| self.is_it_away(error))?;
        // Folders that are empty now go, up to the root; one that is not empty stays.
        let mut folder = path.parent();
        while let Some(empty) = folder.filter(|folder| folder.starts_with(&self.0) && **folder != *self.0)
            && fs::remove_dir(empty).is_ok()
        {
            folder = empty.parent();
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        let mut waiting = vec![self.0.clone()];
        while let Some(folder) = waiting.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    waiting.push(entry.path());
                } else if let Ok(name) = entry.path().strip_prefix(&self.0) {
                    found.push((name.to_string_lossy().into_owned(), entry.metadata()?.len()));
                }
            }
        }
        Ok(found)
    }
}
