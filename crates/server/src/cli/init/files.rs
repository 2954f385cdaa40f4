//! Reading and writing in the project's folder, so that nothing that is there is lost.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::NewFile;
use super::connect::Edit;
use super::manifest::{self, Manifest};

/// Longer files are not looked at: they are not written by hand.
const READ_BYTES_MAX: u64 = 1 << 20;

/// The project's folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// As the person who runs the command calls it.
    named: PathBuf,
}

impl Folder {
    /// Opens a folder that is there.
    ///
    /// # Errors
    /// Says what is there instead.
    pub(super) fn open(named: &Path) -> anyhow::Result<Self> {
        let found = match fs::metadata(named) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("there is no folder {}: make it first, or name the folder of your project", named.display())
            }
            Err(error) => return Err(error).with_context(|| format!("cannot look at {}", named.display())),
        };
        if !found.is_dir() {
            bail!("{} is a file: name the folder of your project", named.display());
        }
        let path = fs::canonicalize(named).with_context(|| format!("cannot look at {}", named.display()))?;
        Ok(Self { path, named: named.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// A path as the person would type it.
    pub(super) fn shown(&self, path: &str) -> String {
        if self.named == Path::new(".") {
            return path.to_owned();
        }
        if path.is_empty() { self.named.display().to_string() } else { self.named.join(path).display().to_string() }
    }

    /// Whether anything has this name, even a link to nowhere.
    pub(super) fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    /// The text of a file of reasonable size.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let file = self.at(path);
        let found = fs::metadata(&file).ok()?;
        if !found.is_file() || found.len() > READ_BYTES_MAX {
            return None;
        }
        fs::read_to_string(file).ok()
    }

    /// Names in a folder of the project, sorted; folders end with `/`.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .take(10_000)
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some(if entry.file_type().ok()?.is_dir() { format!("{name}/") } else { name })
            })
            .collect();
        names.sort();
        names
    }
}

/// Writes the manifest first, then what it names: whatever goes wrong between, `--uninstall` knows of it.
///
/// # Errors
/// Names the file that could not be written.
pub(super) fn carry_out(
    folder: &Folder,
    files: &[NewFile],
    edits: &[Edit],
    mut manifest: Manifest,
) -> anyhow::Result<()> {
    if files.is_empty() && edits.is_empty() {
        return Ok(());
    }
    for edit in edits {
        check_editable(folder, &edit.path)?;
        manifest.lines.insert(edit.path.clone(), edit.block.clone());
    }
    for file in files {
        manifest.files.insert(file.path.clone(), manifest::checksum(file.text.as_bytes()));
        for parent in Path::new(&file.path).ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            let parent = parent.to_string_lossy().into_owned();
            if !folder.has(&parent) {
                manifest.folders.insert(parent);
            }
        }
    }
    replace(&folder.at(manifest::FILE), manifest.render()?.as_bytes())?;
    for file in files {
        create(folder, &file.path, &file.text)?;
    }
    for edit in edits {
        let path = folder.at(&edit.path);
        let mut bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if edit.at > bytes.len() {
            bail!("{} changed in this moment: run the command again", path.display());
        }
        bytes.splice(edit.at..edit.at, edit.block.bytes());
        replace(&path, &bytes)?;
    }
    Ok(())
}

/// A file that may be changed: one of the folder's own, no link to elsewhere.
fn check_editable(folder: &Folder, path: &str) -> anyhow::Result<()> {
    let found = fs::symlink_metadata(folder.at(path)).with_context(|| format!("cannot look at {path}"))?;
    if found.is_symlink() {
        bail!("{path} is a link, and what it points to is not touched: run without --apply and add the lines by hand");
    }
    check_inside(folder, path)
}

/// Refuses a path that a linked folder leads out of the project.
///
/// # Errors
/// When it does, or its folder is not there.
pub(super) fn check_inside(folder: &Folder, path: &str) -> anyhow::Result<()> {
    let parent = folder.at(path).parent().map(Path::to_owned).unwrap_or_default();
    let real = fs::canonicalize(&parent).with_context(|| format!("cannot look at {}", parent.display()))?;
    if !real.starts_with(folder.path()) {
        bail!("{path} leads out of the project, to {}: nothing is written there", real.display());
    }
    Ok(())
}

/// Makes a file that is not there yet.
fn create(folder: &Folder, path: &str, text: &str) -> anyhow::Result<()> {
    let full = folder.at(path);
    if let Some(parent) = full.parent() {
        fs::create_dir_all(parent).with_context(|| cannot_write(parent))?;
    }
    check_inside(folder, path)?;
    let mut file = File::options().write(true).create_new(true).open(&full).with_context(|| cannot_write(&full))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| cannot_write(&full))
}

/// Puts a file in the place of another in one step, with its owner and permissions.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut aside = tempfile::Builder::new().prefix(".everlog-init-").tempfile_in(folder)?;
        aside.write_all(bytes)?;
        let permissions = match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => {
                let own = aside.as_file().metadata()?;
                if (own.uid(), own.gid()) != (found.uid(), found.gid()) {
                    fchown(aside.as_file(), Some(found.uid()), Some(found.gid()))?;
                }
                found.permissions()
            }
            _ => fs::Permissions::from_mode(0o644),
        };
        // After the owner: a change of owner takes bits of the mode away.
        aside.as_file().set_permissions(permissions)?;
        aside.as_file().sync_all()?;
        aside.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}: look at the permissions of its folder, or run the command as its owner", path.display())
}
