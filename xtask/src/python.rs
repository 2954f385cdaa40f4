//! Tools that come from PyPI, in a folder of the user's cache of their own.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::Context;

use crate::options::refuse;

/// The folder with the programs of these packages, which are installed if they are not there yet.
///
/// # Errors
///
/// If there is no Python, or no network.
pub(crate) fn tools(packages: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = cache_folder(&packages.join("-").replace("==", "-"))?;
    let (programs, done) = (folder.join("bin"), folder.join("installed"));
    if !done.is_file() {
        let quiet = |command: &mut Command| {
            let output = command.output().context("there is no python3")?;
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            if output.status.success() {
                Ok(())
            } else {
                Err(refuse(&format!("{} cannot be installed: {said}", packages.join(", "))))
            }
        };
        println!("installing {} into {}", packages.join(", "), folder.display());
        quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        quiet(Command::new(programs.join("pip")).args(["install", "--quiet", "--retries", "1"]).args(packages))?;
        fs::write(&done, "")?;
    }
    Ok(programs)
}

/// A folder of this name in the user's cache. What is too long for a file system is cut, and ends in a checksum.
///
/// # Errors
///
/// If there is no such cache.
pub(crate) fn cache_folder(name: &str) -> anyhow::Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let mut name = name.replace(['/', '@'], "-");
    if name.len() > 80 {
        // FNV-1a: a name that differs is another folder.
        let sum = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        name = format!("{}-{sum:016x}", name.chars().take(60).collect::<String>());
    }
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("everlog-ci").join(name))
}
