//! Tables that line up: texts to the left, numbers to the right.

use super::human::{cut, width};
use super::output::{Paint, Style, harmless};

/// Widest cell shown, in places of the terminal. A single long value would push all others out of sight.
const CELL_PLACES_MAX: usize = 80;

/// To which side the cells of a column go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Left,
    Right,
}

/// A table being filled.
pub(super) struct Table {
    columns: Vec<(String, Side)>,
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    pub(super) fn new(columns: &[(&str, Side)]) -> Self {
        Self { columns: columns.iter().map(|(name, side)| (shown(name), *side)).collect(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn row<const CELLS: usize>(&mut self, cells: [&str; CELLS]) {
        self.cells(cells);
    }

    pub(super) fn cells<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        self.styled(cells.into_iter().map(|cell| (cell, Style::Plain)));
    }

    /// Adds a row whose cells have colours.
    pub(super) fn styled<'a>(&mut self, cells: impl IntoIterator<Item = (&'a str, Style)>) {
        self.rows.push(cells.into_iter().map(|(cell, style)| (shown(cell), style)).collect());
    }

    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.width(column)).collect();
        let headings = self.columns.iter().map(|(name, _)| (name.as_str(), Style::Plain));
        let heading = paint.apply(Style::Bold, &self.line(headings, &widths, Paint::none())).into_owned();
        let rows = self.rows.iter().map(|row| {
            let cells = row.iter().map(|(cell, style)| (cell.as_str(), *style));
            self.line(cells, &widths, paint)
        });
        std::iter::once(heading).chain(rows).collect()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|(cell, _)| width(cell));
        cells.max().unwrap_or(0).max(width(&self.columns[column].0))
    }

    fn line<'a>(&self, cells: impl Iterator<Item = (&'a str, Style)>, widths: &[usize], paint: Paint) -> String {
        let mut line = String::new();
        for (((cell, style), (_, side)), places) in cells.zip(&self.columns).zip(widths) {
            let blanks = " ".repeat(places.saturating_sub(width(cell)));
            let cell = paint.apply(style, cell);
            match side {
                Side::Left => line.extend([&*cell, blanks.as_str()]),
                Side::Right => line.extend([blanks.as_str(), &*cell]),
            }
            line.push_str("  ");
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn shown(cell: &str) -> String {
    cut(&harmless(cell), CELL_PLACES_MAX)
}

#[cfg(test)]
mod tests {
    use super::{Side, Table};
    use crate::cli::output::Paint;

    #[test]
    fn numbers_stand_at_the_right_and_nothing_trails() {
        let mut table = Table::new(&[("log", Side::Left), ("events", Side::Right), ("note", Side::Left)]);
        table.row(["shop", "1,234", "x"]);
        table.row(["日本", "7", ""]);
        insta::assert_snapshot!(table.lines(Paint::none()).join("\n"), @"
        log   events  note
        shop   1,234  x
        日本       7
        ");
    }

    #[test]
    fn a_cell_cannot_break_the_table() {
        let mut table = Table::new(&[("a", Side::Left)]);
        table.row(["one\ntwo"]);
        table.row([&"x".repeat(100)]);
        let lines = table.lines(Paint::none());
        assert_eq!((lines.len(), lines[1].as_str(), lines[2].chars().count()), (3, r"one\ntwo", 80));
    }
}
