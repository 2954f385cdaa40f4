//! `cargo xtask tidy`: the rules of the house that no compiler knows, as a test.
//!
//! It looks at the files that git tracks or would track, so a new file is judged before it is committed. Every finding
//! says where, what, and how to mend it.

mod files;
mod floors;
mod links;
mod map;
mod words;

use std::path::Path;
use std::process::Command;
use std::{fmt, fs};

use anyhow::{Context, bail};

use crate::cargo::root;
use crate::options;

/// A file of the checkout, with its path from the root.
struct Listed {
    path: String,
    bytes: Vec<u8>,
}

impl Listed {
    /// The content, unless it is binary.
    fn text(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        (!text.contains('\0')).then_some(text)
    }

    fn has_ending(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == ending)
    }
}

/// One broken rule.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Finding {
    path: String,
    /// Counted from 1; nothing if the whole file is meant.
    line: Option<usize>,
    what: String,
    mend: String,
}

impl Finding {
    fn new(path: &str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, what: what.into(), mend: mend.into() }
    }

    fn at_line(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}\n    mend: {}", self.path, self.line.unwrap_or(1), self.what, self.mend)
    }
}

/// Checks all rules and prints each finding.
///
/// # Errors
///
/// If there is a finding, or git cannot list the files.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    options::none(arguments)?;
    let files = list()?;
    let mut findings = findings(&files);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} to mend in {} files", findings.len(), files.len());
    }
    println!("tidy: {} files, nothing to mend", files.len());
    Ok(())
}

fn findings(files: &[Listed]) -> Vec<Finding> {
    [floors::check, files::check, words::check, links::check, map::check].iter().flat_map(|rule| rule(files)).collect()
}

fn list() -> anyhow::Result<Vec<Listed>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
        .current_dir(root())
        .output()
        .context("cannot run git, which tidy asks for the list of files")?;
    if !listed.status.success() {
        bail!("`git ls-files` failed: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    let paths = String::from_utf8(listed.stdout).context("a path is not UTF-8")?;
    let mut files = Vec::new();
    for path in paths.split_terminator('\0') {
        let place = root().join(path);
        // A file that was just removed is still in git's index, and a link has no content of its own.
        if fs::symlink_metadata(&place).is_ok_and(|found| found.is_file()) {
            let bytes = fs::read(&place).with_context(|| format!("cannot read {path}"))?;
            files.push(Listed { path: path.to_owned(), bytes });
        }
    }
    Ok(files)
}

/// The crate folders, in the order of the list.
fn crate_folders(files: &[Listed]) -> impl Iterator<Item = (&str, &Listed)> {
    files.iter().filter_map(|file| {
        let folder = file.path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
        (!folder.contains('/')).then_some((folder, file))
    })
}

#[cfg(test)]
mod tests {
    use super::{Finding, Listed};

    /// Files as `(path, content)`, checked by one rule; each finding as `path:line: what`.
    pub(super) fn check(rule: fn(&[Listed]) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        let listed =
            |(path, content): &(&str, &str)| Listed { path: (*path).to_owned(), bytes: content.as_bytes().into() };
        let files: Vec<Listed> = files.iter().map(listed).collect();
        let line_of = |finding: Finding| finding.to_string().lines().next().unwrap_or_default().to_owned();
        rule(&files).into_iter().map(line_of).collect()
    }

    #[test]
    fn a_finding_says_where_what_and_how() {
        let finding = Finding::new("a.rs", "too long", "split it").at_line(7);
        assert_eq!(finding.to_string(), "a.rs:7: too long\n    mend: split it");
    }
}
