//! Full files: their names, how they are compressed, and how the beginning of one is taken back.

use std::fs::File;
use std::io::{self, Read};

use event::Timestamp;

use super::live::{Fresh, Live};
use super::{ARCHIVES, Tree, TreeError, at, system_time};
use crate::folder::{Folder, Kind, NEW};

/// How archives are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compress {
    /// `.log.gz`
    Gzip,
    /// `.log.zst`
    Zstd,
    /// `.log`
    Nothing,
}

impl Compress {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::Nothing];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Nothing => "none",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compress| compress.name() == text)
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".log.gz",
            Self::Zstd => ".log.zst",
            Self::Nothing => ".log",
        }
    }

    fn write(self, mut from: impl Read, to: &mut File) -> io::Result<()> {
        match self {
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::default());
                io::copy(&mut from, &mut encoder)?;
                encoder.finish()?;
            }
            Self::Zstd => zstd::stream::copy_encode(from, to, 3)?,
            Self::Nothing => drop(io::copy(&mut from, to)?),
        }
        Ok(())
    }

    fn reader(self, file: File) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
            Self::Nothing => Box::new(file),
        })
    }
}

/// The folder of a file's archives, and what their names begin with.
fn home(path: &str) -> (String, &str) {
    let (place, file) = path.rsplit_once('/').unwrap_or(("", path));
    (format!("{ARCHIVES}/{place}"), file.strip_suffix(".log").unwrap_or(file))
}

/// The number and the compression of an archive of a file. Its name is `INFO_log_20240409T203905Z_000001.log.gz`.
fn parse(name: &str, stem: &str) -> Option<(u64, Compress)> {
    let rest = name.strip_prefix(stem)?.strip_prefix('_')?;
    let (rest, compress) =
        Compress::ALL.into_iter().find_map(|compress| Some((rest.strip_suffix(compress.ending())?, compress)))?;
    let (time, number) = rest.split_once('_')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, time) = time.split_once('T')?;
    (digits(date) && digits(time.strip_suffix('Z')?) && digits(number)).then_some((number.parse().ok()?, compress))
}

/// Whether a name may be one of ours.
pub(super) fn is_one(name: &str) -> bool {
    name.rmatch_indices("_log_").any(|(at, _)| parse(name, &name[..at + 4]).is_some())
}

/// The archives of a file: number, compression and path, in order.
pub(super) fn of_file(folder: &Folder, path: &str) -> Result<Vec<(u64, Compress, String)>, TreeError> {
    let (home, stem) = home(path);
    let names = folder.list(&home).map_err(at(&home))?.into_iter().filter(|(_, kind)| *kind == Kind::File);
    let mut found: Vec<_> = names
        .filter_map(|(name, _)| {
            parse(&name, stem).map(|(number, compress)| (number, compress, format!("{home}/{name}")))
        })
        .collect();
    found.sort_unstable_by_key(|(number, ..)| *number);
    Ok(found)
}

/// Removes what is left of an archive of a file that was never complete.
pub(super) fn remove_incomplete(folder: &Folder, path: &str) -> Result<(), TreeError> {
    let (home, stem) = home(path);
    for (name, _) in folder.list(&home).map_err(at(&home))? {
        if name.strip_suffix(NEW).is_some_and(|name| parse(name, stem).is_some()) {
            folder.remove(&format!("{home}/{name}")).map_err(at(&home))?;
        }
    }
    Ok(())
}

/// The number of the last archive of a file; 0 if there is none.
pub(super) fn last_number(folder: &Folder, path: &str) -> Result<u64, TreeError> {
    Ok(of_file(folder, path)?.last().map_or(0, |(number, ..)| *number))
}

/// Gives back to a file its first `bytes`, which are in this archive now.
pub(super) fn restore(
    folder: &Folder,
    archive: &(u64, Compress, String),
    path: &str,
    bytes: u64,
) -> Result<(), TreeError> {
    let (_, compress, archived) = archive;
    let file = folder.read(archived).map_err(at(archived))?;
    let reader = compress.reader(file).map_err(at(archived))?;
    let changed = || TreeError::Changed { path: archived.clone() };
    let mut copied = 0;
    let restored = folder.replace(path, |file| {
        copied = io::copy(&mut reader.take(bytes), file)?;
        Ok(())
    });
    restored.map_err(|error| match error.raw_os_error() {
        Some(_) => at(path)(error),
        // What cannot be unpacked is not what was packed.
        None => changed(),
    })?;
    if copied == bytes { Ok(()) } else { Err(changed()) }
}

impl Tree {
    /// Archives a file with what was about to be written to it. The next entry begins a new file of the same name, so
    /// that a reader that holds the old one (`tail -F`) sees its end, and then the new one.
    pub(super) fn archive(&self, path: &str, live: &mut Live, fresh: &mut Fresh) -> Result<(), TreeError> {
        let number = live.number + 1;
        let compress = self.settings.compress;
        let (home, stem) = home(path);
        let name = format!("{home}/{stem}_{}_{number:06}{}", compact(live.start), compress.ending());
        let last = live.last;
        let date = |file: &File| last.map_or(Ok(()), |last| file.set_modified(system_time(last)));
        match live.on_disk {
            // It was never on the disk: all of it came with this batch.
            None => self.folder.replace(&name, |file| {
                compress.write(fresh.text.as_bytes(), file)?;
                date(file)
            }),
            Some(_) => {
                if !fresh.text.is_empty() {
                    self.folder.append(path, fresh.text.as_bytes()).map_err(at(path))?;
                }
                if compress == Compress::Nothing {
                    self.folder.rename(path, &name)
                } else {
                    let file = self.folder.read(path).map_err(at(path))?;
                    let modified = file.metadata().and_then(|found| found.modified()).map_err(at(path))?;
                    let archived = self.folder.replace(&name, |archive| {
                        compress.write(file, archive)?;
                        if last.is_some() { date(archive) } else { archive.set_modified(modified) }
                    });
                    archived.and_then(|()| self.folder.remove(path))
                }
            }
        }
        .map_err(at(&name))?;
        fresh.text.clear();
        *live = Live { number, ..Live::default() };
        Ok(())
    }
}

/// `20240409T203905Z`
fn compact(moment: Timestamp) -> String {
    let moment = moment.to_string();
    let digits: String = moment.chars().filter(|character| character.is_ascii_digit() || *character == 'T').collect();
    let seconds = digits.find('T').map_or(digits.len(), |at| (at + 7).min(digits.len()));
    format!("{}Z", &digits[..seconds])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let moment = Timestamp::parse("2024-04-09T20:39:05.5Z").unwrap().0;
        assert_eq!(compact(moment), "20240409T203905Z");
        let name = "INFO_log_20240409T203905Z_000012.log.gz";
        assert_eq!(parse(name, "INFO_log"), Some((12, Compress::Gzip)));
        assert!(is_one(name) && is_one("INFO_log_20240409T203905Z_1_log_20240409T203905Z_1000000.log"));
        for name in [
            "INFO_log.log",
            "INFO_log_x_log_20240409T203905Z_000012.log.gz",
            "INFO_log_20240409T203905Z_1_log_20240409T203905Z_000001.log",
            "INFO_log_20240409T203905Z_000012.log.gz.new",
            "WARN_log_20240409T203905Z_000012.log.gz",
        ] {
            assert_eq!(parse(name, "INFO_log"), None, "{name}");
        }
        assert!(!is_one("notes.log") && !is_one("INFO_log_20240409T203905Z_000012.log.bz2"));
    }
}
