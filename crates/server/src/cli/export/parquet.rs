//! `everlog export --format parquet`: the server writes the file, and it is saved as it comes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::Sink;
use crate::cli::client::Client;
use crate::cli::human::{bytes, count_of, duration};
use crate::cli::output::note;

/// How often it is said how far it is where no bar can be drawn.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Saves the answer to a question.
pub(super) async fn write(client: &Client, path: &str, out: Option<&Path>) -> anyhow::Result<()> {
    let started = Instant::now();
    // A mistyped question is refused before there is a file.
    let mut answer = client.send(client.get(path)?).await?;
    let total = answer.headers().get("x-total-count").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut sink = Sink::create(out)?;
    let progress = ProgressBar::new_spinner();
    let template = format!("{{spinner}} {{bytes}} of {}, {{bytes_per_sec}}", count_of(total.unwrap_or(0), "event"));
    progress.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let (mut saved, mut told) = (0, Instant::now());
    loop {
        let piece = answer.chunk().await.context("the server broke off: the file would have no end")?;
        let Some(piece) = piece else { break };
        sink.write(&piece)?;
        saved += piece.len() as u64;
        progress.set_position(saved);
        if progress.is_hidden() && told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            note(&format!("{} so far", bytes(saved)));
        }
    }
    progress.finish_and_clear();
    let size = sink.finish()?;
    if let Some(path) = out {
        let events = count_of(total.unwrap_or(0), "event");
        note(&format!("{events} in {}, {} in {}", path.display(), bytes(size), duration(started.elapsed())));
    }
    Ok(())
}
