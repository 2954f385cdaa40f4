//! The tree of a question's answer, written once.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Entry, TreeError, at, header, path_of};
use crate::folder::Folder;

/// A tree that is being written to an empty directory.
#[derive(Debug)]
pub struct Export {
    folder: Folder,
    name: String,
}

impl Export {
    /// In this directory, which is made; the header of each file gives it this name.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create(directory: &Path, name: &str) -> Result<Self, TreeError> {
        let folder = Folder::open(directory).map_err(at(&directory.display().to_string()))?;
        Ok(Self { folder, name: name.to_owned() })
    }

    /// Writes entries to the ends of their files.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, entries: &[Entry]) -> Result<(), TreeError> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for entry in entries {
            let path = path_of("", true, entry);
            let text = match files.get_mut(&path) {
                Some(text) => text,
                None => {
                    let new = self.folder.size(&path).map_err(at(&path))?.is_none();
                    let head =
                        if new { header(&format!("{}/{path}", self.name), entry.received) } else { String::new() };
                    files.entry(path).or_insert(head)
                }
            };
            text.push_str(&entry.text);
        }
        files.iter().try_for_each(|(path, text)| self.folder.append(path, text.as_bytes()).map_err(at(path)))
    }
}
