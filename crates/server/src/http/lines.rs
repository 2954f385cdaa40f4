//! Answers as lines of text: the layouts of API Logger and Logbook, and logfmt.

use engine::url::{Columns, Format, Question};
use engine::{Answer, Engine};
use serde_json::Value;
use text::{Labels, Layout};

use super::problem::Problem;

/// The layout of a format, if it is one.
pub(crate) fn layout(format: Format) -> Option<Layout> {
    Layout::parse(format.name())
}

/// Whether a question can be answered in its layout.
///
/// # Errors
/// 400 when it asks for something that has no line of that kind.
pub(crate) fn check(question: &Question) -> Result<(), Problem> {
    let Some(layout @ (Layout::Text | Layout::Logbook)) = layout(question.format) else { return Ok(()) };
    let name = layout.name();
    let what = if question.by.is_some() {
        "groups are no entries"
    } else if matches!(question.columns, Columns::Only(_)) {
        "a line is made of the whole event, so there are no columns to choose with _c"
    } else {
        return Ok(());
    };
    Err(Problem::bad_request(format!("_format={name}: {what}; use logfmt, csv or json")))
}

/// Makes each document its lines, if the format has such.
pub(crate) fn lay_out(engine: &Engine, format: Format, documents: &mut [Vec<u8>]) {
    let Some(layout) = layout(format) else { return };
    let labels = engine.labels();
    for document in documents {
        *document = lines(layout, &labels, document).into_bytes();
    }
}

/// The body of an answer in lines.
pub(crate) fn body(format: Format, documents: &[Vec<u8>]) -> Vec<u8> {
    if layout(format).is_some() { documents.concat() } else { super::answer::ndjson(documents) }
}

/// The rows of a table, one a line.
pub(crate) fn rows(answer: &Answer) -> Vec<u8> {
    let mut rows = Vec::new();
    answer.write_rows(b"\n", &mut rows);
    let rows = rows.split(|byte| *byte == b'\n').filter(|row| !row.is_empty());
    rows.flat_map(|row| lines(Layout::Logfmt, &Labels::default(), row).into_bytes()).collect()
}

fn lines(layout: Layout, labels: &Labels, document: &[u8]) -> String {
    let mut out = String::with_capacity(document.len());
    if let Ok(event) = serde_json::from_slice::<Value>(document) {
        layout.write(labels, &event, &mut out);
    }
    out
}
