//! `everlog export --format text --out DIR`: a file for each user and stream.
//!
//! As a file does, the directory appears under its name only when it is complete: until then it is DIR.part.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use text::{Entry, Export};

use super::{LayoutName, Lines, each_page, lines};
use crate::cli::client::Client;
use crate::cli::pages::Pages;

/// In a directory that is not complete; it says that the directory is ours.
const MARK: &str = ".everlog-export";

/// Writes all pages; gives the number of events and of bytes.
pub(super) async fn write(
    client: &Client,
    pages: &mut Pages<'_>,
    first: Vec<u8>,
    directory: &Path,
) -> anyhow::Result<(u64, u64)> {
    let layout = Lines::new(client, LayoutName::Text).await?;
    let part = begin(directory)?;
    let name = directory.file_name().map_or("logs".into(), |name| name.to_string_lossy());
    let export = Export::create(&part, &name)?;
    let mut bytes = 0;
    let events = each_page(pages, first, &mut |page| {
        let entries = lines(page)
            .map(|line| Ok(layout.entry(&serde_json::from_slice(line)?)))
            .collect::<anyhow::Result<Vec<Entry>>>()?;
        bytes += entries.iter().map(|entry| entry.text.len() as u64).sum::<u64>();
        export.write(&entries).with_context(|| format!("cannot write {}", part.display()))
    })
    .await?;
    let complete = || {
        fs::remove_file(part.join(MARK))?;
        fs::rename(&part, directory)
    };
    complete().with_context(|| format!("cannot complete {}", directory.display()))?;
    Ok((events, bytes))
}

/// Makes the directory in which the export grows.
fn begin(directory: &Path) -> anyhow::Result<PathBuf> {
    let shown = directory.display();
    match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => bail!("{shown} is not empty: name a new directory with --out, or remove it"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot write {shown}")),
    }
    let mut part = directory.components().as_path().as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let is_ours = fs::symlink_metadata(part.join(MARK)).is_ok();
    if is_ours {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    let make = || {
        fs::create_dir(&part)?;
        fs::write(part.join(MARK), "")
    };
    make().with_context(|| format!("cannot make {}", part.display()))?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_elses_directory() {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("out");
        let part = begin(&directory).unwrap();
        fs::write(part.join("half"), "").unwrap();
        let again = begin(&directory.join("")).unwrap();
        assert_eq!(
            (again == part, fs::read_dir(&part).unwrap().count()),
            (true, 1),
            "an export that was cut off begins anew"
        );
        fs::remove_file(part.join(MARK)).unwrap();
        assert!(format!("{:#}", begin(&directory).unwrap_err()).contains("cannot make"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("mine"), "").unwrap();
        assert!(begin(&directory).unwrap_err().to_string().contains("is not empty"));
    }
}
