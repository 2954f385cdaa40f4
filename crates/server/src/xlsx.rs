//! An Excel workbook of one sheet, `data`: a row for each event or group, a typed cell for each value.
//!
//! Rows go to a temporary file while they are written, so a long sheet takes little memory. Nothing that was stored is
//! ever a formula or a link: a text is a text, whatever it begins with.

use std::collections::HashMap;

use event::Timestamp;
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use serde_json::{Number, Value};
use thiserror::Error;

/// Rows of a sheet, with the heading.
const ROWS_MAX: u32 = 1_048_576;

/// Columns of a sheet.
const COLUMNS_MAX: usize = 16_384;

/// UTF-16 units of a cell.
const CELL_UNITS_MAX: usize = 32_767;

/// What stands at the end of a text that was cut.
const CUT: &str = " … [cut: csv has all of it]";

/// Largest whole number that a cell, which is a float, holds exactly.
const EXACT_MAX: i64 = 1 << 53;

/// Rows whose cells decide how wide a column is.
const MEASURED_ROWS: u32 = 200;

/// Why there is no workbook.
#[derive(Debug, Error)]
pub(crate) enum SheetError {
    /// Excel has no room for so much.
    #[error("a sheet has room for {max} {what}: ask for less, or take csv, which has no bound")]
    TooLarge { what: &'static str, max: usize },
    /// The temporary file, most likely.
    #[error("the workbook cannot be written: {0}")]
    Write(#[from] XlsxError),
}

/// A workbook that is being written.
pub(crate) struct Sheet {
    workbook: Workbook,
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    row: u32,
    time: Format,
}

struct Column {
    /// Whether its values are moments, written as RFC 3339.
    is_time: bool,
    characters: usize,
}

impl Sheet {
    /// A sheet with these columns.
    ///
    /// # Errors
    /// When they are too many, or there is no temporary file.
    pub(crate) fn new(names: &[String]) -> Result<Self, SheetError> {
        if names.len() > COLUMNS_MAX {
            return Err(SheetError::TooLarge { what: "columns", max: COLUMNS_MAX });
        }
        let mut workbook = Workbook::new();
        workbook.add_worksheet_with_constant_memory()?.set_name("data")?.set_freeze_panes(1, 0)?;
        let columns = names.iter().map(|name| Column { is_time: is_time(name), characters: 0 }).collect();
        let places = names.iter().enumerate().rev().map(|(place, name)| (name.clone(), place)).collect();
        let time = Format::new().set_num_format("yyyy-mm-dd hh:mm:ss.000");
        let mut sheet = Self { workbook, columns, places, row: 0, time };
        let bold = Format::new().set_bold();
        for (place, name) in names.iter().enumerate() {
            // Room for the button of the filter.
            sheet.measure(place, name.chars().count() + 3);
            let name = fitting(name);
            sheet.page()?.write_string_with_format(0, column(place), name, &bold)?;
        }
        sheet.row = 1;
        Ok(sheet)
    }

    /// Appends a row. Of two values of one name the first counts; a name that is no column is left out.
    ///
    /// # Errors
    /// When the sheet is full, or the temporary file is.
    pub(crate) fn push<'a, N: AsRef<str>>(
        &mut self,
        cells: impl IntoIterator<Item = (N, &'a Value)>,
    ) -> Result<(), SheetError> {
        if self.row >= ROWS_MAX {
            return Err(SheetError::TooLarge { what: "rows", max: ROWS_MAX as usize });
        }
        let mut row: Vec<Option<&Value>> = vec![None; self.columns.len()];
        for (name, value) in cells {
            if let Some(place) = self.places.get(name.as_ref()) {
                row[*place].get_or_insert(value);
            }
        }
        for (place, value) in row.into_iter().enumerate() {
            if let Some(value) = value {
                self.cell(place, value)?;
            }
        }
        self.row += 1;
        Ok(())
    }

    fn cell(&mut self, place: usize, value: &Value) -> Result<(), SheetError> {
        let (row, at) = (self.row, column(place));
        let text = match value {
            Value::Null => return Ok(()),
            Value::Bool(truth) => {
                self.page()?.write_boolean(row, at, *truth)?;
                return Ok(());
            }
            Value::Number(number) => match exact(number) {
                Some(float) => {
                    self.measure(place, number.as_str().len());
                    self.page()?.write_number(row, at, float)?;
                    return Ok(());
                }
                None => number.to_string(),
            },
            Value::String(text) => {
                if let Some(day) = self.columns[place].is_time.then(|| day(text)).flatten() {
                    self.measure(place, 23);
                    let time = self.time.clone();
                    self.page()?.write_number_with_format(row, at, day, &time)?;
                    return Ok(());
                }
                fitting(text)
            }
            other => fitting(&other.to_string()),
        };
        self.measure(place, text.chars().take(100).count());
        self.page()?.write_string(row, at, text)?;
        Ok(())
    }

    fn measure(&mut self, place: usize, characters: usize) {
        if self.row <= MEASURED_ROWS {
            let widest = &mut self.columns[place].characters;
            *widest = characters.max(*widest);
        }
    }

    fn page(&mut self) -> Result<&mut Worksheet, XlsxError> {
        self.workbook.worksheet_from_index(0)
    }

    /// The bytes of the workbook.
    ///
    /// # Errors
    /// When they cannot be put together.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, SheetError> {
        let widths: Vec<u8> = self.columns.iter().map(|one| one.characters.clamp(8, 60) as u8 + 2).collect();
        let last = self.row.saturating_sub(1);
        let page = self.page()?;
        for (place, width) in widths.iter().enumerate() {
            page.set_column_width(column(place), *width)?;
        }
        if let Some(columns) = widths.len().checked_sub(1) {
            page.autofilter(0, 0, last, column(columns))?;
        }
        Ok(self.workbook.save_to_buffer()?)
    }
}

fn column(place: usize) -> u16 {
    u16::try_from(place).unwrap_or(u16::MAX)
}

/// `timestamp`, and what a group computes of it.
fn is_time(name: &str) -> bool {
    let (column, function) = name.split_once('|').unwrap_or((name, "max"));
    matches!(column, "timestamp" | "received") && matches!(function, "min" | "max" | "first" | "last")
}

/// The number as a float, if that loses nothing of a whole number.
fn exact(number: &Number) -> Option<f64> {
    let text = number.as_str();
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        let whole: i64 = text.parse().ok()?;
        if !(-EXACT_MAX..=EXACT_MAX).contains(&whole) {
            return None;
        }
    }
    text.parse::<f64>().ok().filter(|float| float.is_finite())
}

/// The moment as days since the last day of 1899, as Excel counts them; it knows none before 1900.
fn day(text: &str) -> Option<f64> {
    let (moment, _) = Timestamp::parse(text)?;
    #[expect(clippy::cast_precision_loss, reason = "a day with its fraction has seven digits left for the second")]
    let day = moment.as_micros() as f64 / 86_400e6 + 25_569.0;
    (61.0..2_958_466.0).contains(&day).then_some(day)
}

/// The text, cut to what a cell holds.
fn fitting(text: &str) -> String {
    if text.len() <= CELL_UNITS_MAX || text.encode_utf16().count() <= CELL_UNITS_MAX {
        return text.to_owned();
    }
    let room = CELL_UNITS_MAX - CUT.encode_utf16().count();
    let mut units = 0;
    let kept = text.chars().take_while(|character| {
        units += character.len_utf16();
        units <= room
    });
    kept.chain(CUT.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_float_cannot_hold_stay_text() {
        let read = |text: &str| exact(&serde_json::from_str(text).unwrap());
        assert_eq!(read("9007199254740992"), Some(9_007_199_254_740_992.0));
        assert_eq!(read("9007199254740993"), None);
        assert_eq!(read("-123456789012345678901234567890"), None);
        assert_eq!(read("-0.5e3"), Some(-500.0));
        assert_eq!(read("1e999"), None);
    }

    #[test]
    fn moments_are_days() {
        assert_eq!(day("2026-01-01T12:00:00Z"), Some(46_023.5));
        assert_eq!(day("1800-01-01T00:00:00Z"), None);
        assert_eq!(day("soon"), None);
        assert!(is_time("timestamp|max") && !is_time("timestamp|count") && !is_time("datetime"));
    }

    #[test]
    fn a_text_is_cut_to_a_cell() {
        assert_eq!(fitting(&"é".repeat(CELL_UNITS_MAX)).chars().count(), CELL_UNITS_MAX);
        let cut = fitting(&"𝄞".repeat(CELL_UNITS_MAX));
        assert!(cut.ends_with(CUT) && cut.encode_utf16().count() <= CELL_UNITS_MAX);
    }
}
