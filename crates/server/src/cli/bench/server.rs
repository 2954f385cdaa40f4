//! The server that is measured: started on an empty directory, watched, and stopped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::super::client::Client;

const START_TIME_MAX: Duration = Duration::from_secs(30);
const STOP_TIME_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The kernel counts processor time in hundredths of a second for everybody, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server of our own.
pub(super) struct Server {
    child: Child,
    pub(super) client: Client,
    /// As in `127.0.0.1:7171`.
    pub(super) address: String,
}

#[derive(Deserialize)]
struct Running {
    url: String,
    pid: u32,
}

impl Server {
    pub(super) async fn start(directory: &Path) -> anyhow::Result<Self> {
        let data = directory.join("data");
        let output_path = directory.join("server.log");
        let output = File::create(&output_path)?;
        let binary = std::env::current_exe().context("cannot find the binary of everlog")?;
        let mut command = Command::new(&binary);
        // What is set for another server must not change this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EVERLOG_")) {
            command.env_remove(name);
        }
        // The day is of the past, and sent within seconds: nobody guesses its passwords now.
        std::fs::write(directory.join("everlog.toml"), "[logs.bench]\nclassify = { watch = false }\n")?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data).current_dir(directory);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        // From here on the child is stopped whatever happens.
        let mut starting = Starting { child: Some(child), output_path };
        let (client, address) = starting.wait(&data).await?;
        let child = starting.child.take().context("the server was stopped")?;
        Ok(Self { child, client, address })
    }

    /// Processor time used so far, in seconds; none where the kernel does not tell.
    pub(super) fn processor_seconds(&self) -> Option<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name of the program, in parentheses, may hold blanks.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }

    /// The most memory used so far, in bytes.
    pub(super) fn memory_bytes_peak(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// Asks the server to stop, and waits for it.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        terminate(&self.child);
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIME_MAX {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the server did not stop within {} s of being asked to", STOP_TIME_MAX.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop_at_once(&mut self.child);
    }
}

/// A server that has not answered yet.
struct Starting {
    child: Option<Child>,
    output_path: PathBuf,
}

impl Starting {
    async fn wait(&mut self, data: &Path) -> anyhow::Result<(Client, String)> {
        let started = Instant::now();
        while started.elapsed() < START_TIME_MAX {
            if let Some(child) = &mut self.child {
                if let Some(status) = child.try_wait()? {
                    bail!("the server ended at once ({status}). It says:\n{}", self.last_words());
                }
                if let Some(found) = client_of(child.id(), data).await? {
                    return Ok(found);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the server was not ready after {} s. It says:\n{}", START_TIME_MAX.as_secs(), self.last_words())
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.output_path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            stop_at_once(child);
        }
    }
}

/// The way to the server and its address, as soon as it has told its address and is ready.
async fn client_of(pid: u32, data: &Path) -> anyhow::Result<Option<(Client, String)>> {
    let Ok(text) = std::fs::read(data.join("server.json")) else { return Ok(None) };
    // It may be half written; then the next look finds it whole.
    let Ok(running) = serde_json::from_slice::<Running>(&text) else { return Ok(None) };
    if running.pid != pid {
        return Ok(None);
    }
    let token = std::fs::read_to_string(data.join("admin.token")).unwrap_or_default();
    let client = Client::new(&running.url, Some(token.trim()).filter(|token| !token.is_empty()))?;
    let ready = client.send(client.get("/readyz")?).await.is_ok();
    let address = running.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    Ok(ready.then_some((client, address)))
}

fn terminate(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn stop_at_once(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(Some(_))) {
        // What it holds is thrown away anyhow.
        let _ = child.kill();
        let _ = child.wait();
    }
}
