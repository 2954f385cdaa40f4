//! The machine: what it is, whether it is idle, what a process used of it, and what it keeps of files in its memory.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::options::refuse;
use crate::wait;

/// Idle is a machine that has this share of its processors free for this long.
const IDLE_SHARE: f64 = 0.85;
const IDLE_TIME: Duration = Duration::from_secs(5);
const IDLE_WAIT_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The kernel counts processor time in hundredths of a second for everybody, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

const SYNCS: usize = 200;

/// What the figures depend on.
pub(super) fn describe(folder: &Path) -> anyhow::Result<Value> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let [p50_ms, p99_ms] = sync_ms(&folder.join("sync-test"))?;
    Ok(json!({
        "cores": cores,
        "model": model,
        "memory_bytes": memory("MemTotal:").unwrap_or(0),
        "kernel": kernel.trim(),
        "sync_4k_p50_ms": p50_ms,
        "sync_4k_p99_ms": p99_ms,
    }))
}

/// How long it takes to append 4 KiB and sync them: what every acknowledgement waits for.
fn sync_ms(path: &Path) -> anyhow::Result<[f64; 2]> {
    let mut file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut took = Vec::new();
    for _ in 0..SYNCS {
        let before = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        took.push(before.elapsed().as_secs_f64() * 1e3);
    }
    fs::remove_file(path)?;
    took.sort_by(f64::total_cmp);
    Ok([0.5, 0.99].map(|share| took[(SYNCS as f64 * share) as usize]))
}

/// The memory that could be used without pushing anybody out.
pub(super) fn memory_available() -> u64 {
    memory("MemAvailable:").unwrap_or(1 << 30)
}

fn memory(name: &str) -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, name)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// What a process uses.
pub(super) struct Process(pub(super) u32);

impl Process {
    /// Processor time so far, in seconds.
    pub(super) fn processor_seconds(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0)).context("the process ended")?;
        // The name of the program, in parentheses, may hold blanks.
        let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
        let ticks = ticks(11).zip(ticks(12)).context("/proc/PID/stat is not as expected")?;
        Ok((ticks.0 + ticks.1) / TICKS_PER_SECOND)
    }

    /// Processor time so far of a process, its children, and what ended children left to it, in seconds.
    pub(super) fn family_processor_seconds(&self) -> anyhow::Result<f64> {
        let own = fs::read_to_string(format!("/proc/{}/stat", self.0)).context("the process ended")?;
        let fields_of = |text: &str| -> Vec<f64> {
            let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
            rest.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect()
        };
        let own = fields_of(&own);
        let mut ticks: f64 = own.get(11..15).map_or(0.0, |fields| fields.iter().sum());
        for entry in fs::read_dir("/proc")? {
            // Processes come and go while we look.
            let Ok(text) = fs::read_to_string(entry?.path().join("stat")) else { continue };
            let fields = fields_of(&text);
            if fields.get(1) == Some(&f64::from(self.0)) {
                ticks += fields.get(11..13).map_or(0.0, |fields| fields.iter().sum());
            }
        }
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// Memory now, and the most so far, in bytes.
    pub(super) fn memory_bytes(&self) -> anyhow::Result<(u64, u64)> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0)).context("the process ended")?;
        kilobytes(&text, "VmRSS:").zip(kilobytes(&text, "VmHWM:")).context("/proc/PID/status is not as expected")
    }

    /// Bytes read from the disk so far, not from the memory of the kernel.
    pub(super) fn disk_bytes_read(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/io", self.0)).context("/proc/PID/io is not to be read")?;
        let value = text.lines().find_map(|line| line.strip_prefix("read_bytes:"));
        value.and_then(|value| value.trim().parse().ok()).context("/proc/PID/io is not as expected")
    }
}

/// Waits until other programs rest. What is measured on a busy machine says nothing: a sync of a quarter of a millisecond
/// reads as four. After two minutes it goes on with a visible line, and `false`.
pub(super) fn wait_until_idle(what: &str, bar: &ProgressBar) -> anyhow::Result<bool> {
    let started = Instant::now();
    let mut idle_since = Instant::now();
    let mut before = processor_times()?;
    loop {
        wait::rest(LOOK_EVERY);
        let now = processor_times()?;
        let share = (now.0 - before.0) as f64 / (now.1 - before.1).max(1) as f64;
        before = now;
        if share < IDLE_SHARE {
            idle_since = Instant::now();
            bar.set_message(format!("{what}: waiting for an idle machine ({:.0} % idle)", share * 100.0));
        } else if idle_since.elapsed() >= IDLE_TIME {
            return Ok(true);
        }
        if started.elapsed() > IDLE_WAIT_MAX {
            let minutes = IDLE_WAIT_MAX.as_secs() / 60;
            bar.suspend(|| println!("BUSY: the machine was not idle for {minutes} minutes: {what} is measured anyway"));
            return Ok(false);
        }
        bar.tick();
    }
}

/// Ticks of all processors: idle ones, and all.
fn processor_times() -> anyhow::Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").context("this needs /proc, as on Linux")?;
    let first = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; what follows is in user already.
    match ticks.get(..8) {
        Some(ticks) => Ok((ticks[3] + ticks[4], ticks.iter().sum())),
        None => Err(refuse("/proc/stat is not as expected")),
    }
}

/// Lets the kernel forget what it keeps of the files in a folder and below, so that the next reader goes to the disk.
pub(super) fn forget_files(folder: &Path) -> anyhow::Result<()> {
    for path in files_below(folder)? {
        // A merge may have removed it.
        if let Ok(file) = File::open(&path) {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// All files in a folder and below.
pub(super) fn files_below(folder: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_about_this_process() {
        let process = Process(std::process::id());
        assert!(process.processor_seconds().unwrap() >= 0.0);
        let (now, peak) = process.memory_bytes().unwrap();
        assert!(now > 0 && peak >= now);
        let (idle, all) = processor_times().unwrap();
        assert!(idle <= all);
        assert!(memory_available() > 0);
    }
}
