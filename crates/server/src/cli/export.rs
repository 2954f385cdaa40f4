//! `everlog export`: events written to a file, oldest first.
//!
//! The file appears under its name only when it is complete: until then it is FILE.part.

mod parquet;
mod tree;

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::LOG;
use super::client::{Client, Connection};
use super::csv::{Columns, cells};
use super::human::{bytes, count, count_of, duration, rate};
use super::layout::{LayoutName, Lines};
use super::line::Row;
use super::output::{Output, WrongUsage, note};
use super::pages::{Pages, Question, lines};
use crate::xlsx::Sheet;

/// Events fetched at a time.
const PAGE: &str = "10000";

/// Write events to a file.
#[derive(Args, Debug)]
#[command(after_help = "\
SEARCH, --filter and the times are those of `everlog query`. The oldest event comes first. A FILE that ends in \
.gz or .zst is compressed. `everlog import` reads what was exported as ndjson.

--format text --out DIR writes DIR/users/USER/STREAM_log.log and DIR/sys/STREAM_log.log; DIR must be new or empty.

Examples:
  everlog export --out shop.ndjson.zst --log shop
  everlog export 'user:bob' --from 2026-01-01 --to 2026-01-31 --format csv --out bob.csv
  everlog export level:error --from -7d --format xlsx --out errors.xlsx
  everlog export --log shop --format parquet --out shop.parquet
  everlog export --format text --out logs-of-may --from 2026-05-01 --to 2026-05-31
  everlog export level:error | jq -r .message | sort | uniq -c")]
pub(super) struct ExportArguments {
    /// Which events, such as 'level:error user:bob' [default: all]
    #[arg(allow_hyphen_values = true, value_parser = super::search)]
    search: Option<String>,
    /// Log to export
    #[arg(long, value_name = "NAME", default_value = LOG)]
    log: String,
    /// How to write them
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// File to write, with --format text a directory [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Condition of the URL grammar, such as 'status>=500'; repeat for several
    #[arg(long, value_name = "CONDITION")]
    filter: Vec<String>,
    /// Only events from this time on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only events up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only this key, and those below it; repeat for several
    #[arg(long, short, value_name = "KEY")]
    column: Vec<String>,
    /// Look through the archive too
    #[arg(long)]
    archive: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Format {
    /// One JSON object a line
    Ndjson,
    /// Comma separated; a column for every key that occurs
    Csv,
    /// An Excel workbook; up to 1,048,575 events
    Xlsx,
    /// Typed columns for DuckDB, Polars, Spark; --column chooses some
    Parquet,
    /// Lines as API Logger writes them; with --out a tree of files, one for each user and stream
    Text,
    /// Lines as Logbook writes them
    Logbook,
    /// key=value pairs
    Logfmt,
}

fn check(arguments: &ExportArguments) -> anyhow::Result<()> {
    let unseen = match arguments.format {
        Format::Xlsx => Some("--format xlsx: a terminal cannot show a workbook; add --out FILE.xlsx"),
        Format::Parquet => Some("--format parquet: a terminal cannot show this file; add --out FILE.parquet"),
        _ => None,
    };
    if let Some(usage) = unseen.filter(|_| arguments.out.is_none() && std::io::stdout().is_terminal()) {
        return Err(WrongUsage(usage.to_owned()).into());
    }
    if !arguments.column.is_empty() && arguments.format != Format::Parquet {
        return Err(WrongUsage("--column is for --format parquet".to_owned()).into());
    }
    Ok(())
}

pub(super) async fn run(arguments: ExportArguments) -> anyhow::Result<()> {
    check(&arguments)?;
    let client = Client::connect(&arguments.connection)?;
    let started = Instant::now();
    let mut question = Question::default()
        .with_some("_q", arguments.search.as_deref())
        .with_some("_from", arguments.from.as_deref())
        .with_some("_to", arguments.to.as_deref())
        .with_some("_archive", arguments.archive.then_some("y"));
    for filter in &arguments.filter {
        question = question.with_condition(filter)?;
    }
    let question = question.with("_sort", "timestamp");
    if arguments.format == Format::Parquet {
        let columns = arguments.column.iter();
        let question =
            columns.fold(question.with("_format", "parquet"), |question, column| question.with("_c", column));
        return parquet::write(&client, &question.path(&arguments.log, "/events"), arguments.out.as_deref()).await;
    }
    let question = question.with("_format", "ndjson").with("_limit", PAGE);
    let mut pages = Pages::new(&client, question.path(&arguments.log, "/events"));
    // The first page before the file: a mistyped question leaves no empty file behind.
    let first = pages.next().await?.unwrap_or_default();
    let out = arguments.out.as_deref();
    let (events, size) = if let (Format::Text, Some(directory)) = (arguments.format, out) {
        tree::write(&client, &mut pages, first, directory).await?
    } else {
        let mut sink = Sink::create(out)?;
        let events = match arguments.format {
            Format::Ndjson => each_page(&mut pages, first, &mut |page| sink.write(page)).await?,
            Format::Csv | Format::Xlsx => as_sheet(&mut pages, first, &mut sink, arguments.format).await?,
            Format::Text => as_lines(&client, LayoutName::Text, &mut pages, first, &mut sink).await?,
            Format::Logbook => as_lines(&client, LayoutName::Logbook, &mut pages, first, &mut sink).await?,
            Format::Logfmt => as_lines(&client, LayoutName::Logfmt, &mut pages, first, &mut sink).await?,
            Format::Parquet => 0,
        };
        (events, sink.finish()?)
    };
    if let Some(path) = &arguments.out {
        note(&format!(
            "{} in {}, {} in {} ({} events/s)",
            count_of(events, "event"),
            path.display(),
            bytes(size),
            duration(started.elapsed()),
            rate(events, started.elapsed())
        ));
    }
    match pages.warning {
        Some(_) => bail!("what was exported is not all there should be; see the warning above"),
        None => Ok(()),
    }
}

/// Takes page after page; gives the number of events.
async fn each_page(
    pages: &mut Pages<'_>,
    first: Vec<u8>,
    take: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let progress = ProgressBar::new(pages.total.unwrap_or(0));
    let template = "{bar:30} {human_pos} of {human_len} events, {per_sec}, {eta} left";
    progress.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut told = Instant::now();
    let mut page = Some(first);
    let mut events = 0;
    while let Some(body) = page {
        take(&body)?;
        events += lines(&body).count() as u64;
        progress.set_position(events);
        if progress.is_hidden() && told.elapsed().as_secs() >= 5 {
            told = Instant::now();
            note(&format!("{} events so far", count(events)));
        }
        page = pages.next().await?;
    }
    progress.finish_and_clear();
    Ok(events)
}

async fn as_lines(
    client: &Client,
    layout: LayoutName,
    pages: &mut Pages<'_>,
    first: Vec<u8>,
    sink: &mut Sink,
) -> anyhow::Result<u64> {
    let layout = Lines::new(client, layout).await?;
    let mut out = String::new();
    each_page(pages, first, &mut |page| {
        out.clear();
        for line in lines(page) {
            layout.push(&serde_json::from_slice(line)?, &mut out);
        }
        sink.write(out.as_bytes())
    })
    .await
}

/// The columns are known only at the end, so the events wait in a temporary file.
async fn as_sheet(pages: &mut Pages<'_>, first: Vec<u8>, sink: &mut Sink, format: Format) -> anyhow::Result<u64> {
    let waiting = tempfile::tempfile().context("cannot make a temporary file")?;
    let mut waiting = zstd::stream::write::Encoder::new(waiting, 1)?;
    let mut columns = Columns::default();
    let events = each_page(pages, first, &mut |page| {
        for line in lines(page) {
            columns.see(&serde_json::from_slice(line)?);
        }
        // In one piece with its length before it, so that no line has to be looked for again.
        waiting.write_all(&(page.len() as u64).to_le_bytes())?;
        waiting.write_all(page).context("cannot write to the temporary file")
    })
    .await?;
    columns.arrange();
    let mut waiting = waiting.finish()?;
    waiting.rewind()?;
    let mut waiting = zstd::stream::read::Decoder::new(waiting)?;
    if format == Format::Xlsx {
        let mut sheet = Sheet::new(columns.names())?;
        each_waiting(&mut waiting, &mut |row| Ok(sheet.push(cells(row))?))?;
        sink.write(&sheet.finish()?)?;
        return Ok(events);
    }
    let mut out = Vec::new();
    columns.push_heading(&mut out);
    each_waiting(&mut waiting, &mut |row| {
        columns.push_row(&mut out, row);
        if out.len() >= SHEET_PART_BYTES {
            sink.write(&out)?;
            out.clear();
        }
        Ok(())
    })?;
    sink.write(&out)?;
    Ok(events)
}

/// Bytes of a sheet that are written at a time.
const SHEET_PART_BYTES: usize = 1 << 20;

fn each_waiting(waiting: &mut impl Read, take: &mut dyn FnMut(&Row) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut length = [0; 8];
    while waiting.read_exact(&mut length).is_ok() {
        let mut page = vec![0; usize::try_from(u64::from_le_bytes(length))?];
        waiting.read_exact(&mut page).context("cannot read the temporary file")?;
        for line in lines(&page) {
            take(&serde_json::from_slice::<Row>(line)?)?;
        }
    }
    Ok(())
}

/// Where the events go.
enum Sink {
    Stdout(Output),
    File { writer: Box<dyn Finish>, part: PathBuf, path: PathBuf },
}

/// A writer with something left to do at the end.
trait Finish: Write {
    fn finish(self: Box<Self>) -> std::io::Result<File>;
}

impl Finish for BufWriter<File> {
    fn finish(self: Box<Self>) -> std::io::Result<File> {
        self.into_inner().map_err(std::io::IntoInnerError::into_error)
    }
}

impl Finish for flate2::write::GzEncoder<File> {
    fn finish(self: Box<Self>) -> std::io::Result<File> {
        (*self).finish()
    }
}

impl Finish for zstd::stream::write::Encoder<'_, File> {
    fn finish(self: Box<Self>) -> std::io::Result<File> {
        (*self).finish()
    }
}

impl Sink {
    fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(Output::new())) };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
        let writer: Box<dyn Finish> = match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Box::new(flate2::write::GzEncoder::new(file, flate2::Compression::default())),
            Some("zst") => Box::new(zstd::stream::write::Encoder::new(file, 3)?),
            _ => Box::new(BufWriter::with_capacity(1 << 20, file)),
        };
        Ok(Self::File { writer, part, path: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout(output) => output.bytes(bytes),
            Self::File { writer, part, .. } => {
                writer.write_all(bytes).with_context(|| format!("cannot write {}", part.display()))
            }
        }
    }

    /// Makes the file complete, safe on its disk and visible under its name; gives its size.
    fn finish(self) -> anyhow::Result<u64> {
        match self {
            Self::Stdout(mut output) => output.flush().map(|()| 0),
            Self::File { writer, part, path } => {
                let complete = || -> std::io::Result<u64> {
                    let file = writer.finish()?;
                    file.sync_all()?;
                    std::fs::rename(&part, &path)?;
                    Ok(file.metadata()?.len())
                };
                complete().with_context(|| format!("cannot complete {}", path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete_and_is_compressed_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        for (name, magic) in
            [("a.ndjson", b"{".as_slice()), ("a.ndjson.gz", b"\x1f\x8b"), ("a.zst", b"\x28\xb5\x2f\xfd")]
        {
            let path = directory.path().join(name);
            let mut sink = Sink::create(Some(&path)).unwrap();
            sink.write(b"{}\n").unwrap();
            assert!(!path.try_exists().unwrap());
            let size = sink.finish().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert!(bytes.starts_with(magic) && bytes.len() as u64 == size);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3, "no .part is left");
    }
}
