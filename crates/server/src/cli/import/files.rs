//! Which files an import reads: those named, and in a directory all that may be logs, in the order of their names.

use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// Deepest directory entered.
const DEPTH_MAX: usize = 64;

/// One thing to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    /// Bytes of the file as it is, compressed or not; 0 if that cannot be told beforehand.
    pub(super) size: u64,
    /// Whether it was named, not found in a directory. Then it is read whatever it looks like.
    pub(super) named: bool,
}

impl Input {
    pub(super) fn is_standard_input(&self) -> bool {
        self.named && self.path.as_os_str() == "-"
    }
}

/// All that is to be read, and what is not, with the reason.
#[derive(Default, Debug)]
pub(super) struct Found {
    pub(super) inputs: Vec<Input>,
    pub(super) left_out: Vec<(PathBuf, String)>,
    /// What may well be a log and cannot be read, or was named and is not there.
    pub(super) missing: Vec<(PathBuf, String)>,
}

/// Looks for files below the paths.
pub(super) fn find(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in paths {
        if path.as_os_str() == "-" {
            found.inputs.push(Input { path: path.clone(), size: 0, named: true });
            continue;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => found.directory(path, 0),
            Ok(metadata) if metadata.file_type().is_socket() => {
                found.missing.push((path.clone(), "is a socket, not a file".to_owned()));
            }
            Ok(metadata) => found.inputs.push(Input { path: path.clone(), size: metadata.len(), named: true }),
            Err(error) => found.missing.push((path.clone(), reason(&error))),
        }
    }
    found
}

impl Found {
    fn directory(&mut self, path: &Path, depth: usize) {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.missing.push((path.to_owned(), reason(&error))),
        };
        if depth > DEPTH_MAX {
            return self.left_out.push((path.to_owned(), "is nested too deeply".to_owned()));
        }
        if entries.iter().any(|entry| entry.file_name() == "admin.token") {
            return self.left_out.push((path.to_owned(), "is a data directory of Everlog".to_owned()));
        }
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            match entry.file_type() {
                // A link to a directory may lead back here.
                Ok(kind) if kind.is_dir() => self.directory(&path, depth + 1),
                Ok(kind) => self.file(path, kind),
                Err(error) => self.left_out.push((path, reason(&error))),
            }
        }
    }

    fn file(&mut self, path: PathBuf, kind: FileType) {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return self.left_out.push((path, reason(&error))),
        };
        if kind.is_symlink() && metadata.is_dir() {
            self.left_out.push((path, "is a link to a directory".to_owned()));
        } else if !metadata.is_file() {
            self.left_out.push((path, "is not a file".to_owned()));
        } else if is_no_log(&path) {
            self.left_out.push((path, "is no text".to_owned()));
        } else {
            self.inputs.push(Input { path, size: metadata.len(), named: false });
        }
    }
}

/// Files below `/var/log` that are databases.
fn is_no_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    matches!(&*name, "wtmp" | "btmp" | "utmp" | "lastlog" | "faillog" | "tallylog")
        || name.ends_with(".journal")
        || name.ends_with(".journal~")
}

pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for folder in ["b", "data"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        for file in ["c.log", "a.log", "b/2.log", "b/1.log", "wtmp", "system.journal", "data/admin.token", "data/x.log"]
        {
            fs::write(root.join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("b/loop")).unwrap();
        std::os::unix::fs::symlink(root.join("nowhere"), root.join("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let found = find(&[root.to_owned(), root.join("missing"), PathBuf::from("-")]);
        let shown = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
        let read: Vec<String> = found.inputs.iter().map(|input| shown(&input.path)).collect();
        assert_eq!(read, ["a.log", "b/1.log", "b/2.log", "c.log", "-"]);
        let left_out: Vec<String> = found.left_out.iter().map(|(path, why)| format!("{} {why}", shown(path))).collect();
        assert_eq!(
            left_out,
            [
                "b/loop is a link to a directory",
                "dangling does not exist",
                "data is a data directory of Everlog",
                "socket is not a file",
                "system.journal is no text",
                "wtmp is no text"
            ]
        );
        assert_eq!(found.missing, [(root.join("missing"), "does not exist".to_owned())]);
    }
}
