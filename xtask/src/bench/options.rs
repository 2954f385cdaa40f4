//! What a run is to measure.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::report;
use crate::cargo::root;
use crate::options::refuse;

pub(super) const USAGE: &str = "\
Usage: cargo xtask bench [<options>]

Builds the release, fills it with a made-up day over HTTP, and measures it. All answers are checked.

  --events N      events of the day (5000000)
  --only A,B      of ingest, disk, queries, writing, start, doors; the day is sent in any case. Written only with --out
  --peers         also load PostgreSQL, ClickHouse's engine and DuckDB with the same day and ask them the same
  --quick         5000 events, one look at everything, no waiting, nothing written: whether it works
  --no-wait       do not wait for an idle machine before each part: to see that it works, not how fast it is
  --data DIR      keep what is stored in DIR; the next run with the same DIR does not send it again
  --binary FILE   measure this binary and build nothing
  --seed N        another day (7)
  --out FILE      where the results go (benchmarks/<date>-<cores>.json)
  --table         measure nothing: draw the table in docs/benchmarks.md from the newest results
";

const EVENTS: u64 = 5_000_000;
const EVENTS_QUICK: u64 = 5_000;

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Other sizes of batches and numbers of connections.
    Ingest,
    Disk,
    Queries,
    /// Questions and acknowledgements while events are written.
    Writing,
    Start,
    /// The doors of other protocols.
    Doors,
}

const PARTS: [(&str, Part); 6] = [
    ("ingest", Part::Ingest),
    ("disk", Part::Disk),
    ("queries", Part::Queries),
    ("writing", Part::Writing),
    ("start", Part::Start),
    ("doors", Part::Doors),
];

#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) help: bool,
    pub(super) quick: bool,
    /// Whether to go on at once although the machine is busy.
    pub(super) no_wait: bool,
    pub(super) peers: bool,
    pub(super) table: bool,
    pub(super) events: u64,
    pub(super) seed: u64,
    only: Option<Vec<Part>>,
    pub(super) data: Option<PathBuf>,
    pub(super) binary: Option<PathBuf>,
    out: Option<PathBuf>,
}

impl Options {
    pub(super) fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut options = Self { seed: 7, ..Self::default() };
        let mut events = None;
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().with_context(|| format!("`{name}` needs a value after it"));
            let number =
                |text: &String| text.parse().with_context(|| format!("`{name}` needs a whole number after it"));
            match name.as_str() {
                "--help" | "-h" => options.help = true,
                "--quick" => options.quick = true,
                "--table" => options.table = true,
                "--peers" => options.peers = true,
                "--no-wait" => options.no_wait = true,
                "--events" => events = Some(number(value()?)?),
                "--seed" => options.seed = number(value()?)?,
                "--only" => options.only = Some(parts(value()?)?),
                "--data" => options.data = Some(value()?.into()),
                "--binary" => options.binary = Some(value()?.into()),
                "--out" => options.out = Some(value()?.into()),
                _ => return Err(refuse(&format!("unexpected argument `{name}`\n\n{USAGE}"))),
            }
        }
        options.events = events.unwrap_or(if options.quick { EVENTS_QUICK } else { EVENTS });
        if options.events < 1000 {
            return Err(refuse("--events: at least 1000, so that there is something to find"));
        }
        Ok(options)
    }

    pub(super) fn wants(&self, part: Part) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&part))
    }

    /// Where the results go; nowhere, if they are not the whole.
    pub(super) fn results_path(&self, results: &Value) -> anyhow::Result<Option<PathBuf>> {
        let whole = self.only.is_none() && !self.quick;
        let path = match &self.out {
            Some(path) => std::path::absolute(path)?,
            None if whole => root().join(report::FOLDER).join(Path::new(&report::file_name(results))),
            None => return Ok(None),
        };
        Ok(Some(path))
    }
}

fn parts(text: &str) -> anyhow::Result<Vec<Part>> {
    let part = |name: &str| PARTS.iter().find(|(known, _)| *known == name).map(|(_, part)| *part);
    let known = || PARTS.map(|(name, _)| name).join(", ");
    text.split(',').map(|name| part(name).with_context(|| format!("`{name}` is none of {}", known()))).collect()
}

#[cfg(test)]
mod tests {
    use super::{Options, Part};

    fn check(line: &str) -> Result<Options, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read() {
        let options = check("--only queries,start --events 20000").unwrap();
        assert!(options.wants(Part::Start) && !options.wants(Part::Disk));
        assert_eq!((options.events, options.seed, options.quick), (20_000, 7, false));
        assert!(check("").unwrap().wants(Part::Ingest));
        assert_eq!(check("--quick").unwrap().events, 5000);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(check("--only all").unwrap_err(), "`all` is none of ingest, disk, queries, writing, start, doors");
        assert_eq!(check("--events many").unwrap_err(), "`--events` needs a whole number after it");
        assert_eq!(check("--events").unwrap_err(), "`--events` needs a value after it");
        assert!(check("--fast").unwrap_err().starts_with("unexpected argument `--fast`\n"));
        assert!(check("--events 10").unwrap_err().contains("at least 1000"));
    }
}
