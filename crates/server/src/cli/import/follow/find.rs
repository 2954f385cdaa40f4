//! Which files are followed: those named, those that a pattern fits now, and those that may be what a file became.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::super::files;

/// Most files that are followed.
pub(super) const FILES_MAX: usize = 10_000;

/// The files that paths and patterns name now, in the order of their names.
pub(super) fn files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    for path in paths {
        let matching = if is_pattern(path) { expand(path) } else { vec![path.clone()] };
        let inputs = files::find(&matching).inputs;
        let is_file = |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        found.extend(inputs.into_iter().map(|input| input.path).filter(is_file).take(FILES_MAX));
    }
    found.into_iter().take(FILES_MAX).collect()
}

/// The files beside one that may be copies of it, or what it was renamed to: `app.log.1`, `app.log-20260101.gz`.
pub(super) fn siblings(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|other| is_rotated(path, other)).collect();
    found.sort();
    found
}

/// Whether a path is what rotation may have made of another.
pub(super) fn is_rotated(path: &Path, other: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
    let (name, other_name) = (name(path), name(other));
    let suffix = other_name.strip_prefix(&*name).unwrap_or_default();
    matches!(suffix.first(), Some(b'.' | b'-' | b'_'))
}

fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?'))
        && !path.try_exists().unwrap_or(false)
}

fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            paths.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let name = name.as_encoded_bytes();
        if !name.iter().any(|byte| matches!(byte, b'*' | b'?')) {
            paths.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let folders = std::mem::take(&mut paths);
        for folder in folders {
            let place = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            let entries = fs::read_dir(place).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name()).filter(|found| fits(name, found.as_encoded_bytes()));
            paths.extend(names.map(|found| folder.join(found)).take(FILES_MAX));
        }
        paths.sort();
        paths.truncate(FILES_MAX);
    }
    paths
}

/// Whether a name fits a pattern of `*` and `?`. A point at the beginning has to be in the pattern.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut at, mut in_name) = (0, 0);
    // Where the last star stands, and up to where it reaches.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((place, reached)) = star else { return false };
                star = Some((place, reached + 1));
                at = place + 1;
                in_name = reached + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.log", "app.log", true),
            ("*.log", "app.log.1", false),
            ("*", ".hidden", false),
            ("a?c*", "abcd", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("x")).unwrap();
        for name in ["a.log", "b.log", "b.log.1", "x/c.log"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = |pattern: &str| files(&[folder.path().join(pattern)]).len();
        assert_eq!((found("*.log"), found("*/*.log"), found("*.log*"), found("none*")), (2, 1, 3, 0));
        assert_eq!(siblings(&folder.path().join("b.log")), [folder.path().join("b.log.1")]);
    }
}
