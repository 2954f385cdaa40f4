//! What an import did, so that the sum is right: every file and every record is in one of the lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use intake::lines::Format;

use super::super::human::{bytes, count, count_of, duration, rate};
use super::super::output::{Paint, Style, harmless};
use super::super::table::{Side, Table};

/// How many of a kind are named; the others are counted.
const NAMED_MAX: usize = 10;

/// What an import did.
#[derive(Clone, Default, Debug)]
pub(crate) struct ImportSummary {
    /// Files read, of which `known_files` brought nothing new.
    pub(crate) files: u64,
    /// Files that were imported before and have not grown.
    pub(crate) known_files: u64,
    /// Bytes of content that were imported before.
    pub(crate) known_bytes: u64,
    /// Events accepted, by the name of the format of their lines.
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// Events that the server had already, by their ids.
    pub(crate) duplicates: u64,
    /// Events that the server refused.
    pub(crate) refused: u64,
    /// The first refusals: file, offset, reason.
    pub(crate) refusals: Vec<String>,
    /// What was found in a directory and not read, with the reason.
    pub(crate) left_out: Vec<(PathBuf, String)>,
    /// What could not be read, or not to its end, with the reason.
    pub(crate) failed: Vec<(PathBuf, String)>,
    /// Whether it was stopped before the end.
    pub(crate) stopped: bool,
    /// How long it took.
    pub(crate) took: Duration,
}

impl ImportSummary {
    /// Events accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.events.values().sum()
    }

    pub(super) fn add(&mut self, format: Format, events: u64) {
        if events > 0 {
            *self.events.entry(format.name()).or_default() += events;
        }
    }

    pub(super) fn refuse(&mut self, path: &Path, offset: u64, reason: &str) {
        self.refused += 1;
        if self.refusals.len() < NAMED_MAX {
            self.refusals.push(format!("{} at byte {}: {reason}", path.display(), count(offset)));
        }
    }

    /// The summary for people.
    pub(crate) fn lines(&self, paint: Paint) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.events.is_empty() {
            let mut table = Table::new(&[("format", Side::Left), ("events", Side::Right)]);
            let mut formats: Vec<_> = self.events.iter().collect();
            formats.sort_by_key(|(_, events)| std::cmp::Reverse(**events));
            for (format, events) in formats {
                table.row([format, &count(*events)]);
            }
            lines.extend(table.lines(paint));
        }
        let named = |(path, reason): &(PathBuf, String)| format!("{} {reason}", path.display());
        self.push_named(
            &mut lines,
            "not read, as these are no logs",
            &self.left_out.iter().map(named).collect::<Vec<_>>(),
            self.left_out.len(),
        );
        let failed: Vec<String> = self.failed.iter().map(named).collect();
        self.push_named(&mut lines, &paint.apply(Style::Red, "not read to the end"), &failed, failed.len());
        let refused = usize::try_from(self.refused).unwrap_or(usize::MAX);
        self.push_named(&mut lines, &paint.apply(Style::Red, "refused by the server"), &self.refusals, refused);
        lines.push(self.last_line());
        if self.stopped {
            lines.push("stopped before the end. Run the same command again: it goes on where it stopped".to_owned());
        }
        lines
    }

    fn push_named(&self, lines: &mut Vec<String>, title: &str, items: &[String], all: usize) {
        if all > 0 {
            lines.push(format!("{title} ({}):", count(all as u64)));
            lines.extend(items.iter().take(NAMED_MAX).map(|item| format!("  {}", harmless(item))));
            let more = all - items.len().min(NAMED_MAX);
            if more > 0 {
                lines.push(format!("  and {} more", count(more as u64)));
            }
        }
    }

    fn last_line(&self) -> String {
        let events = self.accepted();
        let mut parts = vec![format!(
            "{} from {}",
            if events > 0 { count_of(events, "event") } else { "nothing new".to_owned() },
            count_of(self.files, "file")
        )];
        if self.known_files > 0 {
            parts.push(format!("{} imported already", count_of(self.known_files, "file")));
        }
        if self.known_bytes > 0 {
            parts.push(format!("{} of them known from before", bytes(self.known_bytes)));
        }
        if self.duplicates > 0 {
            parts.push(count_of(self.duplicates, "duplicate"));
        }
        let pace = if events > 0 { format!(" ({} events/s)", rate(events, self.took)) } else { String::new() };
        format!("{}; {}{pace}", parts.join(", "), duration(self.took))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_the_sum() {
        let mut summary = ImportSummary {
            files: 3,
            known_files: 1,
            known_bytes: 2_000_000,
            duplicates: 4,
            took: Duration::from_secs(2),
            ..Default::default()
        };
        summary.add(Format::Json, 7);
        summary.add(Format::Access, 12_345);
        summary.refuse(Path::new("a.log"), 1234, "the event is larger than 1 MiB");
        summary.left_out =
            (0..12).map(|number| (PathBuf::from(format!("/var/log/{number}")), "is no text".to_owned())).collect();
        summary.failed.push((PathBuf::from("b.log"), "may not be read by this user".to_owned()));
        insta::assert_snapshot!(summary.lines(Paint::none()).join("\n"), @"
        format  events
        access  12,345
        json         7
        not read, as these are no logs (12):
          /var/log/0 is no text
          /var/log/1 is no text
          /var/log/2 is no text
          /var/log/3 is no text
          /var/log/4 is no text
          /var/log/5 is no text
          /var/log/6 is no text
          /var/log/7 is no text
          /var/log/8 is no text
          /var/log/9 is no text
          and 2 more
        not read to the end (1):
          b.log may not be read by this user
        refused by the server (1):
          a.log at byte 1,234: the event is larger than 1 MiB
        12,352 events from 3 files, 1 file imported already, 2.0 MB of them known from before, 4 duplicates; 2.0 s (6,176 events/s)
        ");
    }
}
