//! Runs cargo and other programs: prints the command, inherits the terminal, turns a failure into an error.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::{env, fmt, thread};

use anyhow::Context;

/// A command ended, and not well. The chore ends with the same exit code.
#[derive(Debug)]
pub(crate) struct CommandFailed {
    command: String,
    status: ExitStatus,
    /// What the chore exits with: the command's own code, or 1 if a signal ended it.
    pub(crate) code: u8,
}

impl fmt::Display for CommandFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` failed ({})", self.command, self.status)
    }
}

impl std::error::Error for CommandFailed {}

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        // Asked when we run: two checkouts may share a target directory, and with it this very binary.
        let of_run = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let here = of_run.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        here.parent().map_or_else(|| here.clone(), Path::to_owned)
    });
    &ROOT
}

/// The cargo that started us, in the root of the checkout.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    // `cargo run` describes this very package to us in the environment. Passed on, it would make build scripts that
    // look at these names (ring's does) run again after each change between `cargo xtask` and plain cargo.
    let of_this_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in env::vars_os() {
        if of_this_package.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a cargo subcommand is installed.
pub(crate) fn has_subcommand(name: &str) -> bool {
    let status = cargo(&[name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Builds the server as a stranger would, and returns the path of the binary.
///
/// # Errors
///
/// If the build fails, or cargo does not tell where it builds.
pub(crate) fn build_release() -> anyhow::Result<PathBuf> {
    run(&mut cargo(&["build", "--release", "--package", "server"]))?;
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&metadata.stdout).context("cannot read the answer of `cargo metadata`")?;
    let target = metadata["target_directory"].as_str().context("`cargo metadata` names no target directory")?;
    Ok(Path::new(target).join("release").join("everlog"))
}

/// Runs a command to its end; its output goes where ours goes.
///
/// # Errors
///
/// [`CommandFailed`] if it ends badly; another error if it cannot be started.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    announce(command);
    let status = command.status().with_context(|| format!("cannot run `{}`", text_of(command)))?;
    judge(command, status)
}

/// Like [`run`], but also returns the lines of its output that `keep` asks for, standard output first.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_and_keep(command: &mut Command, keep: fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
    announce(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", text_of(command)))?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    // One thread for each, so that neither pipe can fill up and stop the child.
    let kept = thread::scope(|scope| {
        let of_errors = scope.spawn(|| pass_on(errors, std::io::stderr(), keep));
        let mut kept = pass_on(output, std::io::stdout(), keep);
        kept.extend(of_errors.join().unwrap_or_default());
        kept
    });
    let status = child.wait()?;
    judge(command, status)?;
    Ok(kept)
}

fn pass_on(from: Option<impl Read>, mut to: impl Write, keep: fn(&str) -> bool) -> Vec<String> {
    let mut kept = Vec::new();
    let Some(from) = from else { return kept };
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        // If nobody reads our output any more, the command shall still come to its end.
        writeln!(to, "{line}").ok();
        if keep(&line) {
            kept.push(line.trim().to_owned());
        }
    }
    kept
}

fn announce(command: &Command) {
    println!("$ {}", text_of(command));
}

fn judge(command: &Command, status: ExitStatus) -> anyhow::Result<()> {
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(CommandFailed { command: text_of(command), status, code }.into())
}

/// The command as one would type it; the path of the program is shortened to its name.
fn text_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        let quote = if argument.contains(char::is_whitespace) { "'" } else { "" };
        text = format!("{text} {quote}{argument}{quote}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{CommandFailed, run, run_and_keep, text_of};

    #[test]
    fn a_failure_keeps_its_code() {
        let error = run(Command::new("sh").args(["-c", "exit 7"])).unwrap_err();
        assert_eq!(error.downcast_ref::<CommandFailed>().unwrap().code, 7);
        assert_eq!(error.to_string(), "`sh -c 'exit 7'` failed (exit status: 7)");
    }

    #[test]
    fn lines_are_kept_from_both_outputs() {
        let script = "echo one; echo two >&2; echo '  three two'";
        let kept = run_and_keep(Command::new("sh").args(["-c", script]), |line| line.contains("two")).unwrap();
        assert_eq!(kept, ["three two", "two"]);
    }

    #[test]
    fn a_command_reads_as_it_is_typed() {
        assert_eq!(text_of(Command::new("/usr/bin/cargo").args(["test", "a b"])), "cargo test 'a b'");
    }
}
