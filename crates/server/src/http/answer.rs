//! Answers in the format that was asked for.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::url::{Columns, Format, Question};
use engine::{Answer, Events};
use serde_json::Value;

use super::download::disposition;
use super::problem::Problem;
use crate::xlsx::{Sheet, SheetError};

/// Cells that a spreadsheet would take for a formula begin with one of these.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

fn content_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
        Format::Csv => "text/csv; charset=utf-8",
        Format::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Format::Html => "text/html; charset=utf-8",
        Format::Text | Format::Logbook | Format::Logfmt => "text/plain; charset=utf-8",
        Format::Parquet => "application/vnd.apache.parquet",
    }
}

/// Most columns of a table that nobody chose: each row has a cell for each.
const TABLE_COLUMNS_MAX: usize = 2000;

/// A page of events. `path` is the path of the request, for the link to the next page.
pub(crate) fn events(events: Events, question: &Question, link: &str) -> Result<Response, Problem> {
    let mut headers = start(question);
    if let Some(total) = events.total {
        headers.insert("x-total-count", HeaderValue::from(total));
    }
    if let Some(next) = &events.next {
        set(&mut headers, "link", &format!("<{link}_cursor={next}>; rel=\"next\""));
        set(&mut headers, "x-next-cursor", next);
    }
    if events.unreadable > 0 {
        set(
            &mut headers,
            "x-everlog-warning",
            &format!(
                "{} events could not be looked at: their bytes on the disk are damaged (see `everlog doctor`)",
                events.unreadable
            ),
        );
    }
    if !events.ignored.is_empty() {
        set(&mut headers, "x-everlog-ignored", &events.ignored.join(","));
    }
    let body = match question.format {
        Format::Csv => tokio::task::block_in_place(|| csv_of_documents(&events.documents, &question.columns))?,
        Format::Xlsx => tokio::task::block_in_place(|| workbook(&events, question))?,
        Format::Parquet => return Err(no_file()),
        Format::Ndjson => ndjson(&events.documents),
        // Each is its lines already.
        Format::Text | Format::Logbook | Format::Logfmt => events.documents.concat(),
        _ => joined(&events.documents, b"[", b",\n", b"]\n"),
    };
    Ok((StatusCode::OK, headers, Body::from(body)).into_response())
}

/// A file for other programs, whose body is still to come.
pub(super) fn file(question: &Question, total: Option<u64>, body: Body) -> Response {
    let mut headers = start(question);
    if let Some(total) = total {
        headers.insert("x-total-count", HeaderValue::from(total));
    }
    (StatusCode::OK, headers, body).into_response()
}

fn no_file() -> Problem {
    Problem::bad_request("_format=parquet is for the events of one log, without _by: groups come as csv or ndjson")
}

/// One document a line.
pub(crate) fn ndjson(documents: &[Vec<u8>]) -> Vec<u8> {
    joined(documents, b"", b"\n", b"\n")
}

/// A table: groups, or an SQL answer in the formats of the URL grammar.
pub(crate) fn table(answer: &Answer, question: &Question) -> Result<Response, Problem> {
    let mut headers = start(question);
    if let Some(total) = answer.total {
        headers.insert("x-total-count", HeaderValue::from(total));
    }
    if !answer.ignored.is_empty() {
        set(&mut headers, "x-everlog-ignored", &answer.ignored.join(","));
    }
    let mut rows = Vec::new();
    let body = match question.format {
        Format::Csv => csv_of_documents(&documents(answer), &columns(answer))?,
        Format::Xlsx => {
            let columns = columns(answer);
            tokio::task::block_in_place(|| workbook_of_documents(&documents(answer), &columns))?
        }
        Format::Parquet => return Err(no_file()),
        Format::Text | Format::Logbook | Format::Logfmt => super::lines::rows(answer),
        Format::Ndjson => {
            answer.write_rows(b"\n", &mut rows);
            if !rows.is_empty() {
                rows.push(b'\n');
            }
            rows
        }
        _ => {
            rows.push(b'[');
            answer.write_rows(b",\n", &mut rows);
            rows.extend_from_slice(b"]\n");
            rows
        }
    };
    Ok((StatusCode::OK, headers, Body::from(body)).into_response())
}

fn start(question: &Question) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(question.format)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Some(disposition) = disposition(question.download.as_deref(), question.format) {
        set(&mut headers, "content-disposition", &disposition);
    }
    headers
}

/// The rows of a table as JSON objects.
pub(super) fn documents(answer: &Answer) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    answer.write_rows(b"\n", &mut rows);
    rows.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()).map(<[u8]>::to_vec).collect()
}

fn columns(answer: &Answer) -> Columns {
    Columns::Only(answer.columns.iter().map(|(name, _)| name.clone()).collect())
}

/// Sets a header; what cannot stand in one is left out character by character.
pub(crate) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let visible: String = value.chars().filter(|character| matches!(character, ' '..='~')).collect();
    if let Ok(value) = HeaderValue::from_str(&visible) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn joined(documents: &[Vec<u8>], before: &[u8], between: &[u8], after: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(documents.iter().map(|document| document.len() + 2).sum::<usize>() + 4);
    out.extend_from_slice(before);
    for (index, document) in documents.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(document);
    }
    if !(documents.is_empty() && before.is_empty()) {
        out.extend_from_slice(after);
    }
    out
}

/// A workbook of events. Who opens it sees no header, so one that ended early is refused.
fn workbook(events: &Events, question: &Question) -> Result<Vec<u8>, Problem> {
    if events.next.is_some() && events.documents.len() < question.limit {
        let detail = format!(
            "these events are too large for one workbook, which has room for the first {} of them: \
             choose columns with _c, set a lower _limit, or take csv or ndjson page by page",
            events.documents.len()
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_large", detail));
    }
    workbook_of_documents(&events.documents, &question.columns)
}

fn workbook_of_documents(documents: &[Vec<u8>], columns: &Columns) -> Result<Vec<u8>, Problem> {
    let rows: Vec<Vec<(String, Value)>> = documents.iter().map(|document| cells(document, columns)).collect();
    let names = names(&rows, columns);
    few_enough(names.len())?;
    let write = || -> Result<Vec<u8>, SheetError> {
        let mut sheet = Sheet::new(&names)?;
        for row in &rows {
            sheet.push(row.iter().map(|(name, value)| (name, value)))?;
        }
        sheet.finish()
    };
    write().map_err(|error| match error {
        SheetError::TooLarge { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_large", error.to_string()),
        SheetError::Write(_) => Problem::internal(&error),
    })
}

/// The columns of a table: those chosen, or all that occur, in the order in which they do.
fn names(rows: &[Vec<(String, Value)>], columns: &Columns) -> Vec<String> {
    if let Columns::Only(names) = columns
        && !names.is_empty()
    {
        return names.clone();
    }
    let mut seen = std::collections::HashSet::new();
    rows.iter().flatten().filter(|(name, _)| seen.insert(name)).map(|(name, _)| name.clone()).collect()
}

fn few_enough(columns: usize) -> Result<(), Problem> {
    if columns <= TABLE_COLUMNS_MAX {
        return Ok(());
    }
    let detail = format!(
        "these events have {columns} keys, and a table may have {TABLE_COLUMNS_MAX} columns: choose some with _c"
    );
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_large", detail))
}

/// CSV with a byte order mark, so that spreadsheets read it as UTF-8, and with texts that look like formulas made
/// harmless by a quote before them.
fn csv_of_documents(documents: &[Vec<u8>], columns: &Columns) -> Result<Vec<u8>, Problem> {
    let rows: Vec<Vec<(String, Value)>> = documents.iter().map(|document| cells(document, columns)).collect();
    let names = names(&rows, columns);
    few_enough(names.len())?;
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut writer = csv::Writer::from_writer(b"\xef\xbb\xbf".to_vec());
    let broken = |error: csv::Error| Problem::internal(&error);
    if !names.is_empty() {
        writer.write_record(names.iter().map(|name| inert(name))).map_err(broken)?;
    }
    for row in &rows {
        let mut cells = vec![String::new(); names.len()];
        for (name, value) in row.iter().rev() {
            if let Some(place) = places.get(name.as_str()) {
                cells[*place] = text(value);
            }
        }
        writer.write_record(cells).map_err(broken)?;
    }
    writer.into_inner().map_err(|error| Problem::internal(&error))
}

/// The values of a document with their names: those of chosen columns as they were chosen, else the dotted ones.
pub(super) fn cells(document: &[u8], columns: &Columns) -> Vec<(String, Value)> {
    match (columns, serde_json::from_slice(document)) {
        (Columns::Only(_), Ok(Value::Object(object))) => object.into_iter().collect(),
        _ => flattened(document),
    }
}

fn flattened(document: &[u8]) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    if let Ok(Value::Object(object)) = serde_json::from_slice(document) {
        flatten(object, "", &mut flat);
    }
    flat
}

fn flatten(object: serde_json::Map<String, Value>, prefix: &str, flat: &mut Vec<(String, Value)>) {
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        match value {
            Value::Object(inner) if !inner.is_empty() => flatten(inner, &format!("{name}."), flat),
            value => flat.push((name, value)),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => inert(text),
        other => other.to_string(),
    }
}

fn inert(text: &str) -> String {
    if text.starts_with(FORMULA_STARTS) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_flat_quoted_and_inert() {
        let documents =
            [br#"{"a":"=1+1","b":{"c":-5},"d":"x,\"y\"\nz"}"#.to_vec(), br#"{"a":null,"e":[1,2]}"#.to_vec()];
        let csv = String::from_utf8(csv_of_documents(&documents, &Columns::All).unwrap()).unwrap();
        assert_eq!(csv, "\u{feff}a,b.c,d,e\n'=1+1,-5,\"x,\"\"y\"\"\nz\",\n,,,\"[1,2]\"\n");
    }
}
