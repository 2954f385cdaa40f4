//! What was measured, beside what is to be expected, and what the difference means.

use super::super::output::{Paint, Style};
use super::super::table::{Side, Table};

/// What a measurement is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reference {
    /// Good up to the first, bad beyond the second.
    AtMost(f64, f64),
    /// Good from the first on, bad below the second.
    AtLeast(f64, f64),
    /// For information only.
    None,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) what: String,
    /// As compared with the reference.
    pub(super) value: f64,
    /// As shown.
    pub(super) shown: String,
    pub(super) reference: Reference,
    /// The reference as shown.
    pub(super) expected: &'static str,
    /// What it means if it is bad.
    pub(super) warning: &'static str,
}

/// All measurements, in their order.
#[derive(Default, Debug)]
pub(super) struct Report {
    parts: Vec<(&'static str, Vec<Line>)>,
}

impl Report {
    pub(super) fn part(&mut self, title: &'static str) {
        self.parts.push((title, Vec::new()));
    }

    pub(super) fn line(&mut self, line: Line) {
        if let Some((_, lines)) = self.parts.last_mut() {
            lines.push(line);
        }
    }

    /// A table for each part; all have the same columns, so that they line up with each other.
    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        let mut table =
            Table::new(&[("", Side::Left), ("measured", Side::Right), ("reference", Side::Right), ("", Side::Left)]);
        let mut styles = Vec::new();
        for (title, lines) in &self.parts {
            table.row([title, "", "", ""]);
            styles.push(Style::Bold);
            for line in lines {
                let (verdict, style) = line.verdict();
                table.row([&format!("  {}", line.what), &line.shown, line.expected, verdict]);
                styles.push(style);
            }
        }
        let shown = table.lines(paint);
        let heading = shown.iter().take(1).cloned();
        heading
            .chain(shown.iter().skip(1).zip(styles).map(|(line, style)| paint.apply(style, line).into_owned()))
            .collect()
    }
}

impl Line {
    fn verdict(&self) -> (&'static str, Style) {
        let (good, bad) = match self.reference {
            Reference::None => return ("", Style::Plain),
            Reference::AtMost(good, bad) => (self.value <= good, self.value > bad),
            Reference::AtLeast(good, bad) => (self.value >= good, self.value < bad),
        };
        match (good, bad) {
            (true, _) => ("good", Style::Plain),
            (false, false) => ("fair", Style::Plain),
            (false, true) => (self.warning, Style::Yellow),
        }
    }
}

/// The value below which a share of all values lie. The values get sorted.
pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share) as usize;
    values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let mut report = Report::default();
        report.part("Disk");
        let line = |what: &str, value: f64, reference| Line {
            what: what.to_owned(),
            value,
            shown: format!("{value} ms"),
            reference,
            expected: "≤ 1 ms",
            warning: "slow",
        };
        report.line(line("sync", 0.4, Reference::AtMost(1.0, 5.0)));
        report.line(line("slow sync", 4.0, Reference::AtMost(1.0, 5.0)));
        report.line(line("write", 6.5, Reference::AtMost(1.0, 5.0)));
        report.line(line("rate", 7.0, Reference::AtLeast(10.0, 8.0)));
        insta::assert_snapshot!(report.lines(Paint::none()).join("\n"), @"
                     measured  reference
        Disk
          sync         0.4 ms     ≤ 1 ms  good
          slow sync      4 ms     ≤ 1 ms  fair
          write        6.5 ms     ≤ 1 ms  slow
          rate           7 ms     ≤ 1 ms  slow
        ");
    }

    #[test]
    fn quantiles() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (quantile(&mut values, 0.5), quantile(&mut values, 0.99), quantile(&mut [], 0.5)),
            (51.0, 100.0, 0.0)
        );
    }
}
