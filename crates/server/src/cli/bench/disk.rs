//! The disk alone: how long a sync takes, which every acknowledgement waits for, and how much it writes in a row.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::super::human::duration;
use super::report::{Line, Reference, Report, quantile};

/// What a group commit typically writes.
const BLOCK: [u8; 4096] = [0x5a; 4096];
const SYNCS_MAX: usize = 2000;
const SYNC_TIME: Duration = Duration::from_secs(3);

const PIECE_BYTES: usize = 1 << 20;
const PIECES_MAX: usize = 512;
const WRITE_TIME: Duration = Duration::from_secs(3);

/// What a disk can do.
#[derive(Debug)]
pub(super) struct Disk {
    sync_p50_seconds: f64,
    sync_p99_seconds: f64,
    megabytes_per_second: f64,
}

pub(super) fn measure(directory: &Path) -> anyhow::Result<Disk> {
    let path = directory.join("disk-test");
    let disk = syncs(&path).and_then(|mut syncs| {
        Ok(Disk {
            sync_p50_seconds: quantile(&mut syncs, 0.5),
            sync_p99_seconds: quantile(&mut syncs, 0.99),
            megabytes_per_second: writes(&path)?,
        })
    });
    // If it cannot be removed, the directory around it will tell.
    let _ = std::fs::remove_file(&path);
    disk.with_context(|| format!("cannot write to {}", directory.display()))
}

fn syncs(path: &Path) -> std::io::Result<Vec<f64>> {
    let mut file = File::create(path)?;
    let started = Instant::now();
    let mut took = Vec::new();
    while took.len() < SYNCS_MAX && started.elapsed() < SYNC_TIME {
        let before = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        took.push(before.elapsed().as_secs_f64());
    }
    Ok(took)
}

fn writes(path: &Path) -> std::io::Result<f64> {
    let mut file = File::create(path)?;
    let piece = vec![0xa5; PIECE_BYTES];
    let started = Instant::now();
    let mut pieces = 0;
    while pieces < PIECES_MAX && started.elapsed() < WRITE_TIME {
        file.write_all(&piece)?;
        pieces += 1;
    }
    file.sync_data()?;
    Ok((pieces * PIECE_BYTES) as f64 / 1e6 / started.elapsed().as_secs_f64())
}

impl Disk {
    pub(super) fn report(&self, report: &mut Report) {
        report.part("Disk");
        let seconds = |seconds: f64| duration(Duration::from_secs_f64(seconds));
        report.line(Line {
            what: "append 4 KiB and sync, median".to_owned(),
            value: self.sync_p50_seconds,
            shown: seconds(self.sync_p50_seconds),
            reference: Reference::AtMost(0.001, 0.005),
            expected: "≤ 1 ms",
            warning: "acknowledgements will be slow on this disk",
        });
        report.line(Line {
            what: "append 4 KiB and sync, p99".to_owned(),
            value: self.sync_p99_seconds,
            shown: seconds(self.sync_p99_seconds),
            reference: Reference::AtMost(0.005, 0.05),
            expected: "≤ 5 ms",
            warning: "some acknowledgements will be very slow on this disk",
        });
        report.line(Line {
            what: "write in a row".to_owned(),
            value: self.megabytes_per_second,
            shown: format!("{:.0} MB/s", self.megabytes_per_second),
            reference: Reference::AtLeast(200.0, 50.0),
            expected: "≥ 200 MB/s",
            warning: "large batches will wait for this disk",
        });
    }
}
