//! Packages of npm, in a folder of the user's cache, and of Debian.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::Context;

use crate::options::refuse;
use crate::python::cache_folder;

/// The folder with the programs of these packages, in their `node_modules`; installed if they are not there yet.
///
/// # Errors
///
/// If there is no npm, or no network.
pub(crate) fn npm(packages: &[String]) -> anyhow::Result<PathBuf> {
    let folder = cache_folder(&format!("npm-{}", packages.join("-")))?;
    let done = folder.join("installed");
    let modules = folder.join("node_modules");
    if !done.is_file() {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), "{\"private\":true}")?;
        println!("installing {} into {}", packages.join(", "), folder.display());
        let mut command = Command::new("npm");
        command.args(["install", "--silent", "--no-audit", "--no-fund"]).args(packages).current_dir(&folder);
        quiet(&mut command, &packages.join(", "))?;
        fs::create_dir_all(modules.join(".bin"))?;
        fs::write(&done, "")?;
    }
    Ok(modules.join(".bin"))
}

/// Sees to it that these packages of Debian are there: in CI they are installed, elsewhere that is its owner's affair.
///
/// # Errors
///
/// If one is missing and cannot be installed, or may not.
pub(crate) fn debian(packages: &[String]) -> anyhow::Result<()> {
    let has = |package: &&String| {
        let asked = Command::new("dpkg-query").args(["-W", "-f", "${Status}"]).arg(package.as_str()).output();
        asked.is_ok_and(|output| output.stdout.ends_with(b"ok installed"))
    };
    let missing: Vec<&String> = packages.iter().filter(|package| !has(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    if env::var_os("CI").is_none() {
        return Err(refuse(&format!("`apt-get install {names}` first")));
    }
    println!("installing {names}");
    let install = format!(
        "S=$([ \"$(id -u)\" = 0 ] || echo sudo); $S apt-get update -qq && \
         DEBIAN_FRONTEND=noninteractive $S apt-get install -y -qq --no-install-recommends {names}"
    );
    quiet(Command::new("sh").args(["-c", &install]), &names)
}

/// Runs a command, and shows what it said only if it failed.
fn quiet(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot install {what}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(refuse(&format!("{what} cannot be installed: {said}")))
}
