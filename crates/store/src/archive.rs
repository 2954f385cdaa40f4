//! The archive: segments that are out of the way and still there. The same files, in another folder or in a bucket,
//! named by the catalog like the live ones.

mod folder;
mod table;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use event::Timestamp;

use crate::disk::ReadAt;
use crate::retention::Retention;
use crate::segment::SegmentInfo;

pub use folder::Folders;
pub(crate) use table::{ArchiveChange, SCHEMA};

/// How every error begins that says nothing about a file but that its place cannot be asked just now.
pub const AWAY: &str = "the archive cannot be reached";

/// A place for files that never change: a folder, or a bucket. Names have slashes in them.
///
/// Called from any thread, tasks of a runtime among them: it may wait, but must not need the thread it is called on.
pub trait Archive: Send + Sync + Debug {
    /// Makes the place ready for files. Called before the first trace of a file that is to come.
    ///
    /// # Errors
    /// What the place says.
    fn prepare(&self) -> io::Result<()> {
        Ok(())
    }

    /// Keeps a file, in place of one of that name. It is durable when this returns; after an error, or a crash, it is
    /// there or not, or a part of it.
    ///
    /// # Errors
    /// What the place says, in words that name the setting to look at.
    fn put(&self, name: &str, source: Arc<dyn ReadAt>, length: u64) -> io::Result<()>;

    /// A file that should be there with this length, to read.
    ///
    /// # Errors
    /// What the place says; `NotFound` when it is not there, which may come with the first read as well. An error
    /// whose text begins with [`AWAY`] is about the place and not about the file.
    fn open(&self, name: &str, length: u64) -> io::Result<Arc<dyn ReadAt>>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the place says; `NotFound`, or nothing, when it was not there. A place that is not there itself, such as a
    /// folder that is not mounted, says [`AWAY`].
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Every file that is there, with its size.
    ///
    /// # Errors
    /// What the place says.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
}

/// Finds the archive at a place. The catalog keeps for each segment where it went, so that a setting may change.
pub trait Places: Send + Sync + Debug {
    /// Where segments go now.
    fn current(&self) -> &str;

    /// The archive at a place, without asking it anything: what is wrong with it shows when it is used.
    fn at(&self, place: &str) -> Arc<dyn Archive>;
}

/// When the segments of a log go to the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Events older than this go, by stream; the empty name stands for every stream not named.
    pub after: Retention,
    /// When the live segments take more bytes than this, the oldest go.
    pub bytes: Option<u64>,
}

/// A segment in the archive, as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// What is known of every segment.
    pub info: SegmentInfo,
    /// Where it went; empty for the folder `archive` in the data directory.
    pub place: String,
    /// The name of its files, without their endings.
    pub name: String,
    /// SHA-256 of the Parquet file and of the sidecar.
    pub digests: [[u8; 32]; 2],
    /// When it came.
    pub archived: Timestamp,
}

impl Archived {
    /// The names of the Parquet file and of the sidecar.
    #[must_use]
    pub fn files(&self) -> [String; 2] {
        files_of(&self.name)
    }

    /// Bytes of both files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.info.bytes + self.info.index_bytes
    }

    pub(crate) fn lengths(&self) -> [u64; 2] {
        [self.info.bytes, self.info.index_bytes]
    }
}

pub(crate) fn files_of(name: &str) -> [String; 2] {
    [format!("{name}.parquet"), format!("{name}.idx")]
}

/// `shop/2026/11/20261101T000000Z_20261102T120000Z_0000000123_1a2b3c4d`: people find a day by it, and no two segments
/// have one name, of whichever data directories they are.
pub(crate) fn name_of(log: &str, info: &SegmentInfo, digest: &[u8; 32]) -> String {
    let (first, last) = (info.first.to_string(), info.last.to_string());
    let mut date = first.split('T').next().unwrap_or_default().rsplit('-');
    let (_, month, year) = (date.next(), date.next().unwrap_or("00"), date.next().unwrap_or("0000"));
    let compact = |moment: &str| {
        let seconds: String =
            moment.split('.').next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{}Z", seconds.trim_end_matches('Z'))
    };
    let sum: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{log}/{year}/{month}/{}_{}_{:010}_{sum}", compact(&first), compact(&last), info.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogId;

    #[test]
    fn names_tell_log_time_and_number() {
        let moment = |text: &str| text.parse().map(Timestamp::from_micros).unwrap();
        let mut info = SegmentInfo {
            number: 123,
            log: LogId(1),
            rows: 1,
            bytes: 1,
            index_bytes: 1,
            footer_bytes: 1,
            first: moment("1767225600000000"),
            last: moment("1767312000500000"),
            first_sequence: 1,
            last_sequence: 1,
            streams: Vec::new(),
        };
        let name = name_of("shop", &info, &[0x1a; 32]);
        assert_eq!(name, "shop/2026/01/20260101T000000Z_20260102T000000Z_0000000123_1a1a1a1a");
        for micros in [i64::MIN, -62_135_596_800_000_001, 0, 1, i64::MAX] {
            info.first = Timestamp::from_micros(micros);
            let name = name_of("a.b-c", &info, &[0; 32]);
            assert_eq!(name.split('/').count(), 4, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)), "{name}");
        }
    }
}
