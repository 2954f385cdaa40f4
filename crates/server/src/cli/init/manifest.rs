//! What init wrote, and the way back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::connect::MARK;
use super::files::{Folder, check_inside, replace};

/// The manifest's file.
pub(super) const FILE: &str = ".everlog-init.json";

/// What init wrote.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Manifest {
    version: u32,
    /// The log that was chosen.
    pub(super) log: String,
    /// Files, with the SHA-256 of what was written.
    pub(super) files: BTreeMap<String, String>,
    /// Folders that were made for them.
    #[serde(default)]
    pub(super) folders: BTreeSet<String>,
    /// Lines added to files, to the letter.
    #[serde(default)]
    pub(super) lines: BTreeMap<String, String>,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            version: 1,
            log: String::new(),
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            lines: BTreeMap::new(),
        }
    }
}

impl Manifest {
    /// The manifest of a folder, if there is one.
    ///
    /// # Errors
    /// When it is not what init wrote.
    pub(super) fn read(folder: &Folder) -> anyhow::Result<Option<Self>> {
        if !folder.has(FILE) {
            return Ok(None);
        }
        let place = folder.shown(FILE);
        let text = folder.text(FILE).with_context(|| format!("{place} cannot be read: is it a file?"))?;
        let manifest: Self = serde_json::from_str(&text)
            .with_context(|| format!("{place} is damaged: restore it, or remove it and what init wrote by hand"))?;
        if manifest.version != 1 {
            bail!("{place} is of a later Everlog: use that one");
        }
        let paths = manifest.files.keys().chain(manifest.lines.keys()).chain(&manifest.folders);
        // It comes with the project, so it may be a stranger's.
        if let Some(path) = paths.into_iter().find(|path| !is_plain(path)) {
            bail!("{place} names {path:?}, which is not in this folder: it was not written by init");
        }
        if let Err(error) = engine::check_log_name(&manifest.log) {
            bail!(
                "{place} was not written by init, or changed since: {error}; correct its \"log\", or remove the file"
            );
        }
        Ok(Some(manifest))
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Never, but the library says so.
    pub(super) fn render(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// A relative path that only goes down.
fn is_plain(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// The checksum of a file's content.
pub(super) fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes back what the manifest names. Returns what was done, a line for each.
///
/// # Errors
/// When a file cannot be removed or written.
pub(super) fn uninstall(folder: &Folder, manifest: Option<Manifest>, dry_run: bool) -> anyhow::Result<Vec<String>> {
    let Some(manifest) = manifest else {
        return Ok(vec![format!("nothing to do: init wrote nothing in {}", folder.path().display())]);
    };
    let mut lines = Vec::new();
    for (path, block) in &manifest.lines {
        lines.push(take_out(folder, path, block, dry_run)?);
    }
    for (path, checksum) in &manifest.files {
        lines.push(remove(folder, path, checksum, dry_run)?);
    }
    if !dry_run {
        // The inner ones first; one that is not empty stays.
        for path in manifest.folders.iter().rev() {
            match check_inside(folder, path) {
                Ok(()) => drop(fs::remove_dir(folder.at(path))),
                Err(_) if folder.has(path) => lines.push(leads_out(path)),
                Err(_) => {}
            }
        }
        fs::remove_file(folder.at(FILE)).with_context(|| format!("cannot remove {}", folder.shown(FILE)))?;
    }
    lines.push("Events are never removed: the data directory stays as it is.".to_owned());
    if dry_run {
        lines.push("nothing was changed: this was a dry run".to_owned());
    }
    Ok(lines)
}

/// The answer for a path that goes through a linked folder: a stranger's checkout may hold one.
fn leads_out(path: &str) -> String {
    format!("kept     {path}: a linked folder leads it out of the project, and nothing is touched there")
}

fn take_out(folder: &Folder, path: &str, block: &str, dry_run: bool) -> anyhow::Result<String> {
    let full = folder.at(path);
    if folder.has(path) && check_inside(folder, path).is_err() {
        return Ok(leads_out(path));
    }
    let bytes = match fs::symlink_metadata(&full) {
        Ok(found) if found.is_file() => fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?,
        _ => return Ok(format!("gone     {path}: there is no such file any more")),
    };
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, block.as_bytes()).collect();
    match places[..] {
        [place] if !block.is_empty() => {
            if !dry_run {
                replace(&full, &[&bytes[..place], &bytes[place + block.len()..]].concat())?;
            }
            Ok(format!("restored {path}: the marked lines are taken out"))
        }
        _ if memchr::memmem::find(&bytes, MARK.as_bytes()).is_some() => {
            Ok(format!("kept     {path}: the marked lines were changed, take them out by hand"))
        }
        _ => Ok(format!("gone     {path}: the marked lines are out already")),
    }
}

fn remove(folder: &Folder, path: &str, expected: &str, dry_run: bool) -> anyhow::Result<String> {
    let full = folder.at(path);
    if folder.has(path) && check_inside(folder, path).is_err() {
        return Ok(leads_out(path));
    }
    match fs::symlink_metadata(&full) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(format!("kept     {path}: it is no file of init's any more")),
        Err(_) => return Ok(format!("gone     {path}: it was removed already")),
    }
    let bytes = fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
    if checksum(&bytes) != expected {
        return Ok(format!("kept     {path}: it was changed since init wrote it"));
    }
    if !dry_run {
        fs::remove_file(&full).with_context(|| format!("cannot remove {}", full.display()))?;
    }
    Ok(format!("removed  {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_a_stranger_reaches_nothing_outside() {
        for (path, plain) in
            [("everlog.toml", true), ("a/b", true), ("../x", false), ("/etc/passwd", false), ("", false)]
        {
            assert_eq!(is_plain(path), plain, "{path}");
        }
    }
}
