//! `everlog bench`: what this machine can do, measured with a server of its own and a made-up day of a web API.
//!
//! The server is this same binary, started on an empty directory and stopped at the end, so what is measured is what one
//! gets: HTTP, the sync before each answer, and queries over what is on the disk.

mod disk;
mod ingest;
mod questions;
mod report;
mod server;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;

use self::report::Report;
use self::server::Server;
use super::human::{count, duration};
use super::output::{Output, note};

/// The made-up day; any other number gives another day of the same kind.
const SEED: u64 = 7;

/// Measure this machine: its disk, how fast it takes events, how fast it finds them.
#[derive(Args, Debug)]
#[command(after_help = "\
A server is started on an empty directory, fed with made-up events of about 470 bytes, asked, and stopped again; what \
it stored is removed. Other programs running at the same time make the numbers worse, and so does a slow disk: give \
--data a directory on the disk on which you would keep your events.

Examples:
  everlog bench
  everlog bench --data /var/lib --events 5000000")]
pub(super) struct BenchArguments {
    /// How many events to send in batches of 1000
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    events: u64,
    /// Keep what was stored, and say where
    #[arg(long)]
    keep: bool,
    /// Directory in which a directory is made for the measurement [default: that for temporary files]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) async fn run(arguments: BenchArguments) -> anyhow::Result<()> {
    let parent = std::path::absolute(arguments.data.unwrap_or_else(std::env::temp_dir))?;
    let directory = tempfile::Builder::new().prefix("everlog-bench-").tempdir_in(&parent);
    let mut directory = directory.with_context(|| format!("cannot make a directory in {}", parent.display()))?;
    directory.disable_cleanup(arguments.keep);
    let started = Instant::now();
    let mut report = Report::default();
    let path = directory.path().to_owned();
    tokio::select! {
        result = measure(&path, arguments.events, &mut report) => result?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
    let mut output = Output::new();
    output.lines(&report.lines(output.paint()))?;
    output.flush()?;
    note(&format!("\n{} on {}, in {}", machine(), parent.display(), duration(started.elapsed())));
    if cfg!(debug_assertions) {
        note("this is a debug build: what is handed out is several times faster");
    }
    if arguments.keep {
        note(&format!("what was stored is in {}: everlog serve --data {0}", path.display()));
    }
    Ok(())
}

async fn measure(directory: &std::path::Path, events: u64, report: &mut Report) -> anyhow::Result<()> {
    note("measuring the disk…");
    let path = directory.to_owned();
    let disk = tokio::task::spawn_blocking(move || disk::measure(&path)).await??;
    disk.report(report);
    let server = Server::start(directory).await?;
    note(&format!("sending {} events in batches of 1000…", count(events)));
    let asked = ingest::measure(&server, events, report).await?;
    note("asking…");
    questions::measure(&server, &asked, report).await?;
    server.stop().await
}

/// The machine in a few words.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    match model {
        Some((_, model)) => format!("{cores} cores of {model}"),
        None => format!("{cores} cores"),
    }
}
