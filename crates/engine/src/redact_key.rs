//! The key that identities are hashed with at the level `strict`: made when it is first needed, kept in the data directory.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use intake::redact::Key;
use parking_lot::Mutex;

use crate::Engine;

/// Its file in the data directory, which nobody but the owner may read.
pub(crate) const FILE: &str = "redact.key";

/// The key, once it was needed.
#[derive(Debug)]
pub(crate) struct Kept {
    file: PathBuf,
    key: Mutex<Option<Key>>,
}

impl Kept {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self { file: directory.join(FILE), key: Mutex::default() }
    }
}

impl Engine {
    /// The key, which is made if there is none.
    ///
    /// # Errors
    /// When it can neither be read nor made; the message says what to do.
    pub(crate) fn redact_key(&self) -> Result<Key, String> {
        let mut kept = self.redact_key.key.lock();
        if let Some(key) = &*kept {
            return Ok(key.clone());
        }
        let file = &self.redact_key.file;
        let key =
            read_or_make(file).map_err(|error| format!("the key {} for the level strict: {error}", file.display()))?;
        *kept = Some(key.clone());
        Ok(key)
    }
}

/// 32 bytes of chance.
fn chance() -> [u8; 32] {
    let mut bytes = [0; 32];
    for half in bytes.chunks_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    bytes
}

fn read_or_make(file: &Path) -> std::io::Result<Key> {
    match fs::read_to_string(file) {
        Ok(text) => read(&text).ok_or_else(|| {
            let what = "it is not 64 hexadecimal digits: restore it from a backup, or remove it to have a new one (whoever was hashed before gets a new hash)";
            std::io::Error::new(ErrorKind::InvalidData, what)
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => make(file),
        Err(error) => Err(error),
    }
}

fn make(file: &Path) -> std::io::Result<Key> {
    let bytes = chance();
    let text: String = bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    let aside = file.with_extension("key.new");
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&aside, file)?;
    if let Some(directory) = file.parent() {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(Key::new(bytes))
}

fn read(text: &str) -> Option<Key> {
    let text = text.trim();
    let mut bytes = [0; 32];
    (text.len() == 64 && text.is_ascii()).then_some(())?;
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(Key::new(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_and_nobody_else_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        let made = read_or_make(&file).unwrap();
        assert_eq!(read_or_make(&file).unwrap().hash("7"), made.hash("7"));
        assert_ne!(made.hash("7"), made.hash("8"));
        assert_eq!(made.hash("Bob@Example.com"), made.hash("bob@example.com "));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "short").unwrap();
        assert!(read_or_make(&file).unwrap_err().to_string().contains("64 hexadecimal digits"));
    }
}
