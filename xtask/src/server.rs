//! The real server as another process: started on a free port, spoken to, ended or killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, io};

use anyhow::{Context, bail};

use crate::http::{Connection, Request};
use crate::options::refuse;
use crate::wait;

const START_MAX: Duration = Duration::from_secs(30);
/// How long a server may take to end after SIGTERM.
const END_MAX: Duration = Duration::from_secs(20);
/// How long one command of the command line may take.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// A folder under the system's temporary folder. It is removed by [`Workplace::clear`] only, so that after a failure
/// the data are still there to be looked at.
pub(crate) struct Workplace {
    binary: PathBuf,
    folder: PathBuf,
}

impl Workplace {
    /// Makes an empty folder for one run of a chore.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made, or `binary` is not there.
    pub(crate) fn new(chore: &str, binary: PathBuf) -> anyhow::Result<Self> {
        Self::at(env::temp_dir().join(format!("everlog-{chore}-{}", std::process::id())), binary)
    }

    /// As [`Workplace::new`], in a folder with a name of its own, which may be there already.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made, or `binary` is not there.
    pub(crate) fn at(folder: PathBuf, binary: PathBuf) -> anyhow::Result<Self> {
        if !binary.is_file() {
            bail!("there is no binary at {}", binary.display());
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { binary, folder })
    }

    /// The data directory of the servers started here.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The program that is started here.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file beside the data directory and returns its path.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Runs the binary with these arguments and `--data`, and returns its standard output.
    ///
    /// # Errors
    ///
    /// If the command fails, or takes longer than a minute; the text holds what it said.
    pub(crate) fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (output, errors) = (self.folder.join("command.out"), self.folder.join("command.err"));
        let text = format!("everlog {}", arguments.join(" "));
        let mut child = self
            .program()
            .args(arguments)
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(&errors)?)
            .spawn()
            .with_context(|| format!("cannot run `{text}`"))?;
        let ended = wait::until(&format!("the end of `{text}`"), COMMAND_MAX, || Ok(child.try_wait()?));
        if ended.is_err() {
            child.kill().ok();
        }
        let status = ended?;
        if !status.success() {
            bail!("`{text}` failed ({status}): {}", tail_of(&errors));
        }
        fs::read_to_string(&output).context("the command printed something that is not UTF-8")
    }

    /// Starts a server and returns when it answers on `/healthz`.
    ///
    /// # Errors
    ///
    /// If it ends, or does not answer within half a minute; the text holds its last lines.
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        // The day of a benchmark is of the past, and sent within seconds: nobody guesses its passwords now.
        if !self.folder.join("everlog.toml").try_exists()? {
            let quiet = "classify = { watch = false }\n";
            self.write("everlog.toml", &format!("[logs.default]\n{quiet}[logs.bench]\n{quiet}"))?;
        }
        let output = self.folder.join("server.out");
        let log = File::options().create(true).append(true).open(&output)?;
        let child = self
            .program()
            .arg("serve")
            .arg("--data")
            .arg(self.data())
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        let mut server = Server { child, address: String::new() };
        let answers = wait::until("an answer of /healthz", START_MAX, || server.look(&self.data()));
        match answers {
            Ok(address) => server.address = address,
            Err(error) => return Err(error.context(format!("the server does not start: {}", tail_of(&output)))),
        }
        Ok(server)
    }

    /// The administrator's token, which the server wrote at its first start.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        let path = self.data().join("admin.token");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Says where the data are, for whoever has to find out what went wrong.
    pub(crate) fn kept(&self) -> String {
        format!("everything is kept in {}", self.folder.display())
    }

    /// Removes the folder.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    pub(crate) fn clear(self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }

    /// The binary, far from any configuration of the person who runs the chore.
    fn program(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.folder);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("EVERLOG_") {
                command.env_remove(name);
            }
        }
        command
    }
}

/// A running server. Dropped while it runs, it is killed, so that no failure leaves a server behind.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Where it listens, as in `127.0.0.1:40123`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an operator does, with SIGTERM, and returns how it ended.
    ///
    /// # Errors
    ///
    /// If it has not ended after 20 s.
    pub(crate) fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        // The shell's own `kill`: not every machine has the program.
        let signal = format!("kill -TERM {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &signal]).status()?;
        if !sent.success() {
            bail!("`{signal}` failed ({sent})");
        }
        wait::until("the end of the server after SIGTERM", END_MAX, || Ok(self.child.try_wait()?))
    }

    /// Ends it as a power cut does, with SIGKILL.
    ///
    /// # Errors
    ///
    /// If it had ended before.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended by itself ({status})");
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The address, if the server has written it and answers there.
    fn look(&mut self, data: &Path) -> anyhow::Result<Option<String>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended at once ({status})");
        }
        let text = match fs::read(data.join("server.json")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("cannot read server.json"),
        };
        // A killed predecessor left its file, and ours may be half written.
        let Some(address) = address_of(&text, self.child.id()) else { return Ok(None) };
        let answer = Connection::open(&address).and_then(|mut connection| connection.ask(Request::get("/healthz")));
        Ok(answer.is_ok_and(|answer| answer.status == 200).then_some(address))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The address in a `server.json`, if it is whole and of this process.
fn address_of(text: &[u8], process: u32) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    if value["pid"].as_u64() != Some(u64::from(process)) {
        return None;
    }
    let address = value["url"].as_str()?.strip_prefix("http://")?;
    Some(address.trim_end_matches('/').to_owned())
}

/// The last lines of a file, for an error message.
fn tail_of(path: &Path) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Adds to an error where the data are kept.
///
/// # Errors
///
/// The error of `outcome`, if it is one.
pub(crate) fn explain<T>(outcome: anyhow::Result<T>, workplace: &Workplace) -> anyhow::Result<T> {
    outcome.map_err(|error| refuse(&format!("{error:#}\n{}", workplace.kept())))
}

#[cfg(test)]
mod tests {
    use super::address_of;

    #[test]
    fn only_the_file_of_this_process_counts() {
        let file = br#"{"url":"http://127.0.0.1:4711","pid":7}"#;
        assert_eq!(address_of(file, 7), Some("127.0.0.1:4711".to_owned()));
        assert_eq!(address_of(file, 8), None);
        assert_eq!(address_of(&file[..20], 7), None);
    }
}
