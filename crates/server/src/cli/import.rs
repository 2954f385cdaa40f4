//! `everlog import`: log files, each record once, however often it is run.
//!
//! The server remembers how far each file is stored (see [`identity`]), so an import that was interrupted, or that finds a
//! file grown, renamed, rotated or compressed, goes on where it was. An `id` in a JSON line is the event's id only if it
//! is a UUID, and kept as it is in any case (see [`record`]).

mod batches;
mod deliver;
mod files;
mod follow;
mod identity;
mod progress;
mod record;
mod resume;
mod source;
mod summary;

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use intake::lines::Format;
use jiff::tz::TimeZone;
use tokio::sync::{mpsc, watch};

use self::batches::{Batch, Reading, file_name};
use self::deliver::{Delivered, Lookup, Receipt, Store};
use self::files::Input;
pub(crate) use self::progress::Progress;
use self::resume::{Opened, resume};
use self::source::Source;
pub(crate) use self::summary::ImportSummary;
use super::LOG;
use super::client::{Client, Connection};
use super::human::count_of;
use super::output::{Output, note};

/// How often a file is begun anew because somebody else imports the same at the same time.
const STARTS_MAX: u32 = 5;

/// Send log files, each line once, however often it is run.
#[derive(Args, Debug)]
#[command(after_help = "\
Run it as often as you like: what was imported before is skipped, and a file that has grown goes on where it was. \
That holds for files that were renamed, rotated or compressed since, because they are known by their content.

Each line says for itself in which format it is: JSON, access and error logs of web servers, syslog, the systemd \
journal (export), Python, Rust, and many more; anything else is kept as a message. A traceback is one event, \
and a line without a time has that of the line before it. \
Files may be compressed with gzip or zstd. Each event gets the key `file`; JSON lines are kept as they are; an
`id` that is not a UUID is a value like any other.

Examples:
  everlog import /var/log/nginx --log web
  everlog import app.log app.log.1 app.log.2.gz --zone Europe/Paris
  journalctl -o export --since today | everlog import -
  everlog import --follow '/var/log/nginx/*.log' --log web")]
pub(super) struct ImportArguments {
    /// Files and directories; - is standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    paths: Vec<PathBuf>,
    /// Log to send them to
    #[arg(long, value_name = "NAME", default_value = LOG)]
    log: String,
    /// Zone of times that are written without one, such as Europe/Paris [default: that of this machine]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Option<TimeZone>,
    /// Stay, and send what is written to the files from now on too; patterns in quotes also find files that come later
    #[arg(long)]
    follow: bool,
    /// Where it stands what is followed [default: in $STATE_DIRECTORY or ~/.local/state/everlog]
    #[arg(long, value_name = "FILE", requires = "follow")]
    state: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| "expected a zone like Europe/Paris or UTC".to_owned())
}

pub(super) async fn run(arguments: ImportArguments) -> anyhow::Result<()> {
    let ImportArguments { paths, log, zone, follow, state, connection } = arguments;
    let client = Client::connect(&connection)?;
    if follow {
        let zone = zone.unwrap_or_else(TimeZone::system);
        return follow::run(Store { client: &client, log: &log }, &paths, state, zone).await;
    }
    let (stop, stopped) = watch::channel(false);
    let import = Import::new(&client, &log, zone.unwrap_or_else(TimeZone::system), Progress::standard_error());
    let summary = tokio::select! {
        summary = import.run(&paths, stopped) => summary?,
        () = interrupted_twice(stop) => bail!("interrupted. Run the same command again: it goes on where it stopped"),
    };
    let mut output = Output::new();
    output.lines(&summary.lines(output.paint()))?;
    output.flush()?;
    let named_failed = summary.failed.iter().any(|(path, _)| paths.contains(path));
    if summary.refused > 0 || named_failed {
        bail!("not everything could be imported: see above");
    }
    if summary.stopped { bail!("stopped") } else { Ok(()) }
}

/// The first interruption lets the request under way end, the second does not.
async fn interrupted_twice(stop: watch::Sender<bool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        note("\nstopping after the request that is under way (once more to stop at once)");
        // If nobody listens, the import has just ended.
        let _ = stop.send(true);
        if tokio::signal::ctrl_c().await.is_ok() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Imports files and directories into a log; times without a zone are in that of this machine.
///
/// Dropping the future stops the import; started again it goes on where it was.
///
/// # Errors
/// When the server cannot be reached for some minutes, or does not let us write. A file that cannot be read is named in
/// the summary instead.
pub(crate) async fn import_paths(
    client: &Client,
    log: &str,
    paths: &[PathBuf],
    progress: Progress,
) -> anyhow::Result<ImportSummary> {
    let (_stop, stopped) = watch::channel(false);
    Import::new(client, log, TimeZone::system(), progress).run(paths, stopped).await
}

struct Import<'a> {
    store: Store<'a>,
    zone: TimeZone,
    progress: Progress,
    summary: ImportSummary,
}

/// How a file ended.
enum End {
    Complete,
    Stopped,
    /// Somebody else stored something under its name meanwhile.
    Overtaken,
}

impl<'a> Import<'a> {
    fn new(client: &'a Client, log: &'a str, zone: TimeZone, progress: Progress) -> Self {
        Self { store: Store { client, log }, zone, progress, summary: ImportSummary::default() }
    }

    async fn run(mut self, paths: &[PathBuf], mut stopped: watch::Receiver<bool>) -> anyhow::Result<ImportSummary> {
        let started = Instant::now();
        let paths = paths.to_vec();
        let found = tokio::task::spawn_blocking(move || files::find(&paths)).await?;
        self.summary.left_out = found.left_out;
        self.summary.failed = found.missing;
        self.progress.begin(&found.inputs);
        for input in &found.inputs {
            let result = self.file(input, &mut stopped).await;
            if let Err(error) = result {
                self.progress.end();
                return Err(error.context(format!(
                    "the import stopped in {} after {}. Run the same command again: it goes on where it stopped",
                    input.path.display(),
                    count_of(self.summary.accepted(), "event")
                )));
            }
            self.progress.end_file(input);
            if *stopped.borrow() {
                self.summary.stopped = true;
                break;
            }
        }
        self.progress.end();
        self.summary.took = started.elapsed();
        Ok(self.summary)
    }

    async fn file(&mut self, input: &Input, stopped: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
        for start in 0..STARTS_MAX {
            let opened = match self.open(input).await? {
                Ok(Some(opened)) => opened,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.summary.failed.push((input.path.clone(), files::reason(&error)));
                    return Ok(());
                }
            };
            self.progress.begin_file(input, &opened.source.read);
            if start == 0 {
                self.summary.files += 1;
                self.summary.known_bytes += opened.from;
            }
            match self.send(input, opened, stopped).await? {
                End::Complete | End::Stopped => return Ok(()),
                End::Overtaken if input.is_standard_input() => break,
                End::Overtaken => {}
            }
        }
        let reason = "is being imported by somebody else at the same time. Run this again when that is done";
        self.summary.failed.push((input.path.clone(), reason.to_owned()));
        Ok(())
    }

    /// Opens a file and finds out where to go on; none if there is nothing to read in it.
    async fn open(&mut self, input: &Input) -> anyhow::Result<io::Result<Option<Opened>>> {
        let opening = input.clone();
        let source = match tokio::task::spawn_blocking(move || Source::open(&opening)).await? {
            Ok(source) => source,
            Err(error) => return Ok(Err(error)),
        };
        if source.is_binary() && !input.named {
            self.summary.left_out.push((input.path.clone(), "is no text".to_owned()));
            return Ok(Ok(None));
        }
        let Some(Lookup { known, free }) = self.store.look_up(&source.head).await? else { return Ok(Ok(None)) };
        let opening = input.clone();
        let opened = tokio::task::spawn_blocking(move || resume(&opening, source, &known, free)).await?;
        if let Ok(None) = opened {
            self.summary.files += 1;
            self.summary.known_files += 1;
        }
        Ok(opened)
    }

    /// Sends what is new in a file, parsing the next batch while one is on its way.
    async fn send(
        &mut self,
        input: &Input,
        opened: Opened,
        stopped: &mut watch::Receiver<bool>,
    ) -> anyhow::Result<End> {
        let Opened { source, identity, from, before } = opened;
        let reading = Reading {
            source,
            from,
            before,
            identity: identity.clone(),
            zone: self.zone.clone(),
            file: file_name(input),
        };
        let (sender, mut batches) = mpsc::channel(1);
        let reader = tokio::task::spawn_blocking(move || reading.run(&sender));
        let mut is_known = from > 0;
        loop {
            let batch = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(End::Stopped),
                batch = batches.recv() => batch,
            };
            match batch {
                None => break,
                Some(Err(error)) => {
                    self.summary.failed.push((input.path.clone(), files::reason(&error)));
                    return Ok(End::Complete);
                }
                Some(Ok(batch)) => match self.store.deliver(&batch, &identity, &self.progress).await? {
                    Delivered::Overtaken => return Ok(End::Overtaken),
                    Delivered::Stored(receipt) => self.account(input, &batch, receipt),
                },
            }
            is_known = false;
        }
        self.summary.known_files += u64::from(is_known);
        // What made the reader panic would otherwise look like the end of the file.
        reader.await?;
        Ok(End::Complete)
    }

    fn account(&mut self, input: &Input, batch: &Batch, mut receipt: Receipt) {
        receipt.refused.sort_by_key(|refused| refused.index);
        let mut counts: Vec<(Format, u64)> = Vec::new();
        let mut refused = receipt.refused.iter().peekable();
        for (index, (offset, format)) in batch.records.iter().enumerate() {
            if let Some(refused) = refused.next_if(|refused| refused.index == index) {
                self.summary.refuse(&input.path, *offset, refused.text());
            } else {
                match counts.iter_mut().find(|(known, _)| known == format) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((*format, 1)),
                }
            }
        }
        self.summary.duplicates += receipt.duplicates;
        // Which ones were duplicates is not told; nearly always they are JSON lines, which may have an id of their own.
        counts.sort_by_key(|(format, _)| *format != Format::Json);
        let mut duplicates = receipt.duplicates;
        for (format, count) in counts {
            let known = duplicates.min(count);
            duplicates -= known;
            self.summary.add(format, count - known);
        }
        self.progress.sent(self.summary.accepted());
    }
}
