//! Files that came with events: `attachments/LOG NUMBER/DAY/ID` in the data directory, each beside an event of its own
//! that says what it is. They are on the disk before that event is, and go by whole days when no event of their log is
//! kept as long.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use event::{Timestamp, format_uuid};
use parking_lot::Mutex;
use store::LogId;

use crate::{Engine, LogError};

/// Their folder in the data directory.
pub(crate) const FOLDER: &str = "attachments";

/// What a file is called until it is whole.
const UNFINISHED: &str = ".part";

/// The files, and how much room they take.
#[derive(Debug)]
pub(crate) struct Attachments {
    root: PathBuf,
    bytes: AtomicU64,
    counted: AtomicBool,
    /// Folders that are known to be durable, of the latest.
    made: Mutex<HashSet<PathBuf>>,
}

/// So many folders are remembered.
const MADE_MAX: usize = 1000;

impl Attachments {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, bytes: AtomicU64::new(0), counted: AtomicBool::new(false), made: Mutex::default() }
    }

    /// Bytes of all of them, as far as they were counted.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn day(&self, log: LogId, day: &str) -> PathBuf {
        self.root.join(log.0.to_string()).join(day)
    }

    fn keep(&self, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = folder.join(name);
        // The name says what is in it, so there is nothing to write a second time.
        if !path.try_exists()? {
            self.make_folder(folder)?;
            // Two requests with one file write to two.
            let unfinished = folder.join(format!("{name}.{:?}{UNFINISHED}", std::thread::current().id()));
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            let written = file.write_all(bytes).and_then(|()| file.sync_data());
            if let Err(error) = written.and_then(|()| fs::rename(&unfinished, &path)) {
                // What is left of it goes with its day.
                let _ = fs::remove_file(&unfinished);
                return Err(error);
            }
            self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        File::open(folder)?.sync_all()
    }

    /// Makes a folder, with every name on the way to it durable.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let mut made = self.made.lock();
        if made.contains(folder) && folder.is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let above = folder.ancestors().skip(1).take_while(|above| above.starts_with(&self.root));
        for parent in above.chain(self.root.parent()) {
            File::open(parent)?.sync_all()?;
        }
        if made.len() >= MADE_MAX {
            made.clear();
        }
        made.insert(folder.to_path_buf());
        Ok(())
    }

    /// Removes the days of a log before one.
    fn remove_before(&self, log: LogId, first_kept: &str) -> io::Result<bool> {
        let mut any = false;
        for folder in folders(&self.root.join(log.0.to_string()))? {
            let is_old = folder.file_name().is_some_and(|day| day.to_string_lossy().as_ref() < first_kept);
            if is_old {
                fs::remove_dir_all(&folder)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Removes all of a log.
    pub(crate) fn remove_all(&self, log: LogId) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(log.0.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.count()),
        }
    }

    fn count(&self) -> io::Result<()> {
        let sum = sums(&self.root)?.iter().map(|(_, sum)| sum.bytes).sum();
        self.bytes.store(sum, Ordering::Relaxed);
        Ok(())
    }
}

/// How many files there are, and how large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// The files of each log, by the name of its folder.
pub(crate) fn sums(root: &Path) -> io::Result<Vec<(String, Sum)>> {
    let mut sums = Vec::new();
    for log in folders(root)? {
        let mut sum = Sum::default();
        for day in folders(&log)? {
            for file in folders(&day)? {
                // It may be gone, or have its name, by now.
                let Ok(found) = fs::metadata(&file) else { continue };
                sum.files += 1;
                sum.bytes += found.len();
            }
        }
        sums.push((log.file_name().unwrap_or_default().to_string_lossy().into_owned(), sum));
    }
    Ok(sums)
}

/// What is in a folder; nothing if it is not there.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The day of a moment, as its folder is called.
fn day(moment: Timestamp) -> String {
    let text = moment.to_string();
    text.split('T').next().unwrap_or(&text).to_owned()
}

impl Engine {
    /// Keeps a file for an event of this log, id and time: returns once it is durable. What is there under the id stays.
    ///
    /// # Errors
    /// When the log cannot be, or the disk refuses.
    pub fn keep_attachment(
        &self,
        log: &str,
        (id, timestamp): (&[u8; 16], Timestamp),
        bytes: &[u8],
    ) -> Result<io::Result<()>, LogError> {
        self.log_or_create(log)?;
        let folder = self.attachments.day(self.log(log)?, &day(timestamp));
        Ok(self.attachments.keep(&folder, &format_uuid(id), bytes))
    }

    /// The file of an event of this log, id and time; `None` when there is none.
    ///
    /// # Errors
    /// When there is no such log.
    pub fn attachment(&self, log: &str, id: &[u8; 16], timestamp: Timestamp) -> Result<Option<File>, LogError> {
        let folder = self.attachments.day(self.log(log)?, &day(timestamp));
        Ok(File::open(folder.join(format_uuid(id))).ok())
    }

    /// Lets files go that are older than any event of their log is kept.
    pub(crate) fn tend_attachments(&self) {
        let now = self.clock.now();
        let logs: Vec<_> = self.logs.read().all().map(|log| (log.id, log.retention.clone())).collect();
        let mut again = !self.attachments.counted.swap(true, Ordering::Relaxed);
        let mut tend = || {
            for (log, retention) in &logs {
                // Streams that are not named stay for ever, unless there is a time for all others.
                let Some(longest) = retention.get("").and(retention.values().max()) else { continue };
                again |= self.attachments.remove_before(*log, &day(before(now, *longest)))?;
            }
            if again { self.attachments.count() } else { Ok(()) }
        };
        if let Err(error) = tend() {
            tracing::warn!("old attachments could not be removed, which is tried again: {error}");
        }
    }
}

fn before(now: Timestamp, kept: Duration) -> Timestamp {
    let micros = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_until_their_day_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let files = Attachments::new(folder.path().join(FOLDER));
        let log = LogId(3);
        let moment = |text: &str| Timestamp::parse(text).unwrap().0;
        for (day_of, bytes) in [("2026-01-01T23:59:59Z", "old"), ("2026-01-02T00:00:00Z", "new")] {
            let folder = files.day(log, &day(moment(day_of)));
            files.keep(&folder, "a", bytes.as_bytes()).unwrap();
            // A second one under the name changes nothing.
            files.keep(&folder, "a", b"forged").unwrap();
        }
        assert_eq!(files.bytes(), 6);
        let kept = Duration::from_secs(86_400);
        let first_kept = day(before(moment("2026-01-03T12:00:00Z"), kept));
        assert!(files.remove_before(log, &first_kept).unwrap());
        assert!(!files.remove_before(log, &first_kept).unwrap());
        files.count().unwrap();
        assert_eq!(files.bytes(), 3);
        assert_eq!(fs::read(files.day(log, "2026-01-02").join("a")).unwrap(), b"new");
        assert!(!files.day(log, "2026-01-01").try_exists().unwrap());
        assert_eq!(sums(&files.root).unwrap(), [("3".to_owned(), Sum { files: 1, bytes: 3 })]);
        files.remove_all(LogId(4)).unwrap();
        files.remove_all(log).unwrap();
        assert_eq!((files.bytes(), sums(&files.root).unwrap()), (0, Vec::new()));
    }
}
