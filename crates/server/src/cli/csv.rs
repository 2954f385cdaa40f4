//! Comma-separated values: events of many shapes as one sheet.
//!
//! The columns are those of all events together, so they are known only when the last event was seen. A nested key has
//! the column of its dotted path; an array stands in its cell as JSON.

use std::borrow::Cow;
use std::collections::HashMap;

use event::shared::rank;
use serde_json::Value;

use super::line::Row;

/// The columns seen so far, in the order in which they were first seen.
#[derive(Default, Debug)]
pub(super) struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Columns {
    /// Makes a column for each key that has none yet.
    pub(super) fn see(&mut self, row: &Row) {
        for (name, _) in cells(row) {
            if !self.places.contains_key(name.as_ref()) {
                self.places.insert(name.clone().into_owned(), self.names.len());
                self.names.push(name.into_owned());
            }
        }
    }

    /// Brings the shared keys to the front, in the order of every answer.
    pub(super) fn arrange(&mut self) {
        self.names.sort_by_key(|name| rank(name.split('.').next().unwrap_or_default()));
        self.places = self.names.iter().cloned().enumerate().map(|(place, name)| (name, place)).collect();
    }

    /// Their names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Appends the first line. The mark before it tells spreadsheets that this is UTF-8.
    pub(super) fn push_heading(&self, out: &mut Vec<u8>) {
        out.extend_from_slice("\u{feff}".as_bytes());
        push_line(out, self.names.iter().map(|name| inert(name)));
    }

    pub(super) fn push_row(&self, out: &mut Vec<u8>, row: &Row) {
        let mut line = vec![Cow::Borrowed(""); self.names.len()];
        for (name, value) in cells(row) {
            if let Some(place) = self.places.get(name.as_ref()) {
                line[*place] = shown(value);
            }
        }
        push_line(out, line.into_iter());
    }
}

/// The values of a row with their dotted paths.
pub(super) fn cells(row: &Row) -> Vec<(Cow<'_, str>, &Value)> {
    let mut cells = Vec::with_capacity(row.0.len());
    for (key, value) in &row.0 {
        push_cells(&mut cells, Cow::Borrowed(key), value);
    }
    cells
}

fn push_cells<'a>(cells: &mut Vec<(Cow<'a, str>, &'a Value)>, name: Cow<'a, str>, value: &'a Value) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                push_cells(cells, Cow::Owned(format!("{name}.{key}")), value);
            }
        }
        _ => cells.push((name, value)),
    }
}

fn shown(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => inert(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// A text that a spreadsheet would run as a formula gets a quote before it, as in the CSV that the server answers.
fn inert(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn push_line<'a>(out: &mut Vec<u8>, cells: impl Iterator<Item = Cow<'a, str>>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            out.push(b'"');
            out.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(cell.as_bytes());
        }
    }
    out.push(b'\n');
}

/// A few rows as one sheet.
pub(super) fn sheet(rows: &[Row]) -> Vec<u8> {
    let mut columns = Columns::default();
    rows.iter().for_each(|row| columns.see(row));
    let mut out = Vec::new();
    columns.push_heading(&mut out);
    rows.iter().for_each(|row| columns.push_row(&mut out, row));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        [
            r#"{"z":1,"user":{"id":"7","name":"A, \"B\""}}"#,
            r#"{"message":"two\nlines","timestamp":"=t","list":[1,2],"z":null}"#,
        ]
        .map(|text| serde_json::from_str(text).unwrap())
        .into()
    }

    #[test]
    fn every_key_has_a_column() {
        assert_eq!(
            String::from_utf8(sheet(&rows())).unwrap(),
            "\u{feff}z,user.id,user.name,message,timestamp,list\n1,7,\"A, \"\"B\"\"\",,,\n,,,\"two\nlines\",'=t,\"[1,2]\"\n"
        );
    }

    #[test]
    fn shared_keys_come_first() {
        let mut columns = Columns::default();
        rows().iter().for_each(|row| columns.see(row));
        columns.arrange();
        let mut out = Vec::new();
        columns.push_heading(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "\u{feff}timestamp,message,user.id,user.name,z,list\n");
    }
}
