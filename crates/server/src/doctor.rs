//! `everlog doctor`: is everything in a data directory readable, and what to do if not.
//!
//! It reads every byte and changes none, also while a server works on the directory.

use std::io::Write as _;

use anyhow::bail;
use engine::{Diagnosis, Finding, ForwardState};

use crate::cli::DoctorArguments;

/// Looks at a data directory and tells what it finds.
///
/// # Errors
/// When there is none, or something in it is not as it should be.
#[expect(clippy::needless_pass_by_value, reason = "the arguments of a command belong to it")]
pub(crate) fn run(arguments: DoctorArguments) -> anyhow::Result<()> {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let bar = if terminal { indicatif::ProgressBar::new(0) } else { indicatif::ProgressBar::hidden() };
    let diagnosis = engine::diagnose(&arguments.data, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    report(&diagnosis, &arguments.data)?;
    match diagnosis.findings.len() {
        0 => Ok(()),
        1 => bail!("1 thing found: see above"),
        many => bail!("{many} things found: see above"),
    }
}

fn report(diagnosis: &Diagnosis, data: &std::path::Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "data directory   {}", data.display())?;
    writeln!(out, "format           {}", diagnosis.format)?;
    writeln!(out, "logs             {}", diagnosis.logs)?;
    writeln!(out, "segments         {} ({} events, {} bytes)", diagnosis.segments, diagnosis.events, diagnosis.bytes)?;
    if diagnosis.archived > 0 {
        writeln!(out, "archive          {} segments ({} bytes)", diagnosis.archived, diagnosis.archived_bytes)?;
    }
    if diagnosis.archived_elsewhere > 0 {
        let elsewhere = diagnosis.archived_elsewhere;
        writeln!(out, "                 {elsewhere} of them in a bucket: `everlog archive verify` checks those")?;
    }
    writeln!(out, "journal          {} events that are in no segment yet", diagnosis.journal_events)?;
    if diagnosis.attachments > 0 {
        writeln!(out, "attachments      {} files ({} bytes)", diagnosis.attachments, diagnosis.attachment_bytes)?;
    }
    for forward in &diagnosis.forwards {
        writeln!(out, "forward          {}", told(forward))?;
    }
    writeln!(out, "free on disk     {} MiB", diagnosis.free_bytes >> 20)?;
    for Finding { what, cost, remedy } in &diagnosis.findings {
        writeln!(out, "\nfound            {what}\ncosts            {cost}\nwhat to do       {remedy}")?;
    }
    if diagnosis.findings.is_empty() {
        writeln!(out, "\nall well: every byte matches its checksum")?;
    }
    Ok(out.flush()?)
}

/// How far a target is, in a line. What is wrong with one that is away only the running server knows.
fn told(forward: &ForwardState) -> String {
    let ForwardState { name, log, paused, behind, delivered, refused, missed } = forward;
    let paused = if *paused { "paused, " } else { "" };
    let mut text = format!("{name} (of the log {log}): {paused}{behind} events behind, {delivered} delivered");
    for (count, what) in [(refused, "refused"), (missed, "gone before they were sent")] {
        if *count > 0 {
            text.extend([format!(", {count} {what}")]);
        }
    }
    if *behind > 0 { text + "; `everlog forward` says why, if it is not getting less" } else { text }
}
