//! A look at a data directory that is not ours to change: every byte read and compared with its checksum.

use std::path::Path;
use std::sync::Arc;

use store::Inspection;
use store::archive::{Archived, Folders, Places as _};
use store::catalog::{Catalog, FORMAT, ForwardRow, LogRow};
use store::disk::{Disk, RealDisk};
use store::segment::Segment;

use crate::{OpenError, attachments};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found, and where.
    pub what: String,
    /// What it costs.
    pub cost: String,
    /// What to do about it.
    pub remedy: String,
}

/// What a data directory is like.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// The format it has.
    pub format: u32,
    /// Logs.
    pub logs: usize,
    /// Segments.
    pub segments: usize,
    /// Events in segments.
    pub events: u64,
    /// Bytes of segments and sidecars.
    pub bytes: u64,
    /// Segments in the archive.
    pub archived: usize,
    /// Bytes in the archive.
    pub archived_bytes: u64,
    /// Segments in the archive that were not looked at, because they are in a bucket.
    pub archived_elsewhere: usize,
    /// Events in the journal that are in no segment yet.
    pub journal_events: u64,
    /// The targets of forwarding that there are or were.
    pub forwards: Vec<ForwardState>,
    /// Files that came with events.
    pub attachments: u64,
    /// Their bytes.
    pub attachment_bytes: u64,
    /// Bytes left on the disk.
    pub free_bytes: u64,
    /// What is wrong; nothing when all is well.
    pub findings: Vec<Finding>,
}

/// How far a target was that events are forwarded to, when that was last kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardState {
    /// Its name.
    pub name: String,
    /// The log whose events it gets; its number when that is gone.
    pub log: String,
    /// Whether nothing is sent to it.
    pub paused: bool,
    /// About how many events of the log come after those that are settled.
    pub behind: u64,
    /// Events that it has.
    pub delivered: u64,
    /// Events that it refused for good.
    pub refused: u64,
    /// Events that went before it got them.
    pub missed: u64,
}

/// How often a directory that changes is looked at anew.
const LOOKS_MAX: usize = 20;

const RESTORE: &str =
    "restore the file from a backup while the server is stopped; until then everything else is answered as ever";

/// Reads everything in a data directory. `progress` is told the bytes done and the bytes in all.
///
/// # Errors
/// When there is no data directory, its catalog cannot be opened, or a later version wrote it.
pub fn diagnose(directory: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Diagnosis, OpenError> {
    let catalog_file = directory.join("catalog.sqlite");
    if !catalog_file.try_exists().unwrap_or(false) {
        let source = std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "there is no catalog.sqlite in it; name the right one with --data",
        );
        return Err(OpenError::Directory { directory: directory.display().to_string(), source });
    }
    let disk: Arc<dyn Disk> = Arc::new(
        RealDisk::new(directory)
            .map_err(|source| OpenError::Directory { directory: directory.display().to_string(), source })?,
    );
    let catalog = Catalog::open(&catalog_file, Arc::clone(&disk))?;
    let found = inspect(&disk, &catalog)?;
    let size = |segment: &Arc<Segment>| segment.info().bytes + segment.info().index_bytes;
    let logs = catalog.logs()?;
    let mut diagnosis = Diagnosis {
        format: FORMAT,
        logs: logs.len(),
        segments: found.segments.len(),
        events: found.segments.iter().map(|segment| segment.info().rows).sum(),
        bytes: found.segments.iter().map(size).sum(),
        archived: found.archived.len(),
        archived_bytes: found.archived.iter().map(Archived::bytes).sum(),
        archived_elsewhere: found.archived.iter().filter(|record| is_elsewhere(record)).count(),
        journal_events: found.journal_events,
        forwards: found.forwards.iter().map(|(row, behind)| forward_state(row, *behind, &logs)).collect(),
        free_bytes: disk.free_bytes().unwrap_or(0),
        ..Diagnosis::default()
    };
    diagnosis.look_at_attachments(&directory.join(attachments::FOLDER), &catalog)?;
    if let Some(message) = catalog.check()? {
        diagnosis.add(
            format!("catalog.sqlite: {message}"),
            "the list of what is live may be wrong".to_owned(),
            "restore catalog.sqlite from a backup",
        );
    }
    for damage in &found.journal {
        let what = format!("{} is damaged", damage.file);
        diagnosis.add(
            what,
            format!("{} acknowledged events from sequence {} on", damage.events, damage.first),
            "check the disk; nothing else is affected",
        );
    }
    if diagnosis.free_bytes < 1 << 30 {
        diagnosis.add(
            "less than 1 GiB is left on the disk".to_owned(),
            "soon nothing more is taken (503)".to_owned(),
            "free some space, or shorten a retention with `everlog logs retention`",
        );
    }
    let mut done = 0;
    let diagnosis_bytes = diagnosis.bytes + diagnosis.archived_bytes;
    for segment in &found.segments {
        let known = diagnosis.findings.len();
        diagnosis.look_at(segment);
        if diagnosis.findings.len() > known && !is_live(&catalog, segment)? {
            // Merged or grown too old while we looked.
            diagnosis.findings.truncate(known);
        }
        done += size(segment);
        progress(done, diagnosis_bytes);
    }
    diagnosis.look_at_archive(directory, (&catalog, &found.archived), &mut |read| {
        done += read;
        progress(done, diagnosis_bytes);
    })?;
    Ok(diagnosis)
}

fn forward_state(row: &ForwardRow, behind: u64, logs: &[LogRow]) -> ForwardState {
    let log = logs.iter().find(|log| log.id == row.log);
    ForwardState {
        name: row.name.clone(),
        log: log.map_or_else(|| row.log.0.to_string(), |log| log.name.clone()),
        paused: row.paused,
        behind,
        delivered: row.delivered,
        refused: row.refused,
        missed: row.missed,
    }
}

fn is_elsewhere(record: &Archived) -> bool {
    record.place.contains("://")
}

/// Looks at what there is. A server that writes segments meanwhile lets go of the journal up to there, which is no
/// damage: then what looked like damage is looked at anew.
fn inspect(disk: &Arc<dyn Disk>, catalog: &Catalog) -> Result<Inspection, OpenError> {
    for _ in 1..LOOKS_MAX {
        let before = catalog.position()?;
        let found = store::inspect(disk, catalog);
        let is_whole = found.as_ref().is_ok_and(|found| found.journal.is_empty());
        if is_whole || catalog.position()? == before {
            return Ok(found?);
        }
    }
    Ok(store::inspect(disk, catalog)?)
}

fn is_live(catalog: &Catalog, segment: &Segment) -> Result<bool, OpenError> {
    Ok(catalog.segments()?.iter().any(|live| live.number == segment.info().number))
}

impl Diagnosis {
    fn add(&mut self, what: String, cost: String, remedy: &str) {
        self.findings.push(Finding { what, cost, remedy: remedy.to_owned() });
    }

    /// Counts files that came with events. Those of a log that is gone are nobody's.
    fn look_at_attachments(&mut self, folder: &Path, catalog: &Catalog) -> Result<(), OpenError> {
        let sums = attachments::sums(folder)
            .map_err(|source| OpenError::Directory { directory: folder.display().to_string(), source })?;
        // Read afterwards: a log that came meanwhile is there.
        let logs = catalog.logs()?;
        for (log, sum) in sums {
            self.attachments += sum.files;
            self.attachment_bytes += sum.bytes;
            if !logs.iter().any(|known| known.id.0.to_string() == log) {
                let what = format!("{}/{log}: {} files of a log that is not there", attachments::FOLDER, sum.files);
                self.add(what, format!("{} bytes on the disk, and no event", sum.bytes), "remove the folder");
            }
        }
        Ok(())
    }

    /// Archived segments in folders; for those in a bucket the server has the key.
    fn look_at_archive(
        &mut self,
        directory: &Path,
        (catalog, archived): (&Catalog, &[Archived]),
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), OpenError> {
        let folders = Folders::new(directory, "");
        for record in archived.iter().filter(|record| !is_elsewhere(record)) {
            let faults = store::verify_record(record, &*folders.at(&record.place), &mut |bytes| {
                progress(bytes);
                true
            })?;
            if faults.is_empty() || !catalog.archived()?.iter().any(|one| one.name == record.name) {
                continue;
            }
            for fault in faults {
                let what = format!("{}: {}", folders.path(&fault.place).join(&fault.file).display(), fault.reason);
                let cost = format!("up to {} archived events; all others are answered", fault.events);
                self.add(
                    what,
                    cost,
                    "restore the file from a backup; until then `_archive=y` leaves out what cannot be read",
                );
            }
        }
        Ok(())
    }

    fn look_at(&mut self, segment: &Segment) {
        let verified = match segment.open() {
            Ok(opened) => opened.verify().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match verified {
            Ok(groups) => groups.iter().for_each(|(group, reason)| segment.note_damage(*group, reason)),
            Err(reason) if segment.damage().is_empty() => {
                let what = format!("segments/{:010}.parquet: {reason}", segment.info().number);
                self.add(
                    what,
                    "nothing that its sidecar does not have a copy of, or all its events if it is missing".to_owned(),
                    RESTORE,
                );
            }
            Err(_) => {}
        }
        for damage in segment.damage() {
            let place = damage.row_group.map_or_else(String::new, |group| format!(", row group {group}"));
            let cost = if damage.rows == 0 {
                "no event; questions take longer".to_owned()
            } else {
                format!("{} events of {}", damage.rows, segment.info().rows)
            };
            self.add(format!("{}{place}: {}", damage.file, damage.reason), cost, RESTORE);
        }
        segment.close();
    }
}
