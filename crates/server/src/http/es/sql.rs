//! `_sql`: statements, pages by a cursor, answers as JSON, text or CSV.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::elastic::{Asked, Table};
use serde_json::{Map, Value, json};

use super::{Call, Refusal};

/// Rows of a page unless asked otherwise.
const FETCH: usize = 1000;

/// Most rows of a page.
const FETCH_MAX: usize = 10_000;

/// Longest cursor that is looked at.
const CURSOR_BYTES_MAX: usize = 128 << 10;

/// The door for a path, if it is one of these.
///
/// # Errors
/// In Elasticsearch's shape.
pub(super) async fn answer(call: &mut Call, path: &[&str]) -> Result<Option<Response>, Refusal> {
    let reads = call.parts.method == Method::GET || call.parts.method == Method::POST;
    Ok(match path {
        ["_sql"] if reads => Some(statement(call).await?),
        ["_sql", "close"] if call.parts.method == Method::POST => {
            call.grant()?;
            Some(super::json(StatusCode::OK, &json!({ "succeeded": true })))
        }
        _ => None,
    })
}

async fn statement(call: &mut Call) -> Result<Response, Refusal> {
    let held = call.body().await?;
    let body: Value = serde_json::from_slice(&held.bytes)
        .map_err(|error| Refusal::parsing(format!("expected {{\"query\": …}} or {{\"cursor\": …}}: {error}")))?;
    let body = body.as_object().ok_or_else(|| Refusal::parsing("expected {\"query\": …} or {\"cursor\": …}"))?;
    let grant = call.grant()?;
    let logs: Vec<String> = call.doors.engine.log_names().into_iter().filter(|log| grant.may_read(log)).collect();
    let first = !body.contains_key("cursor");
    let place = match body.get("cursor").and_then(Value::as_str) {
        Some(cursor) => read_cursor(cursor)?,
        None => begun(body)?,
    };
    let number = |name: &str| place.get(name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    let asked = Asked {
        query: place.get("q").and_then(Value::as_str).unwrap_or_default().to_owned(),
        params: place.get("p").and_then(Value::as_array).cloned().unwrap_or_default(),
        offset: number("o").unwrap_or(0),
        fetch: number("f").unwrap_or(FETCH).clamp(1, FETCH_MAX),
        bound: place.get("s").and_then(Value::as_u64),
        ..Asked::default()
    };
    let (offset, fetch) = (asked.offset, asked.fetch);
    let engine = call.doors.engine.clone();
    let filter = place.get("w").filter(|filter| !filter.is_null()).cloned();
    let answered =
        call.doors.questions.compute(async move { engine.sql_as_elastic(asked, filter.as_ref(), &logs).await });
    let table = answered.await??;
    let cursor = table.more.then(|| {
        let mut next = place.clone();
        next.insert("o".to_owned(), json!(offset + fetch));
        next.insert("s".to_owned(), json!(table.bound));
        URL_SAFE_NO_PAD.encode(Value::Object(next).to_string())
    });
    let format = call.parameter("format").or_else(|| accepted(call));
    shown(&table, cursor, format.as_deref(), (first, body.get("columnar") == Some(&json!(true))))
}

/// The first page's place.
fn begun(body: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let query = body.get("query").and_then(Value::as_str).ok_or_else(|| Refusal::parsing("[query] is missing"))?;
    let fetch = body.get("fetch_size").and_then(Value::as_u64).unwrap_or(FETCH as u64);
    if fetch == 0 {
        return Err(Refusal::illegal("[fetch_size] must be more than 0"));
    }
    let place = json!({ "q": query, "f": fetch, "p": body.get("params"), "w": body.get("filter") });
    Ok(place.as_object().cloned().unwrap_or_default())
}

fn read_cursor(cursor: &str) -> Result<Map<String, Value>, Refusal> {
    let refused = || Refusal::illegal("the cursor was not made by this server: ask the statement again");
    let bytes = if cursor.len() <= CURSOR_BYTES_MAX { URL_SAFE_NO_PAD.decode(cursor).ok() } else { None };
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(refused)
}

fn accepted(call: &Call) -> Option<String> {
    let accepted = call.parts.headers.get(header::ACCEPT)?.to_str().ok()?;
    let kind = accepted.split([',', ';']).next()?.trim();
    match kind {
        "text/csv" => Some("csv".to_owned()),
        "text/plain" => Some("txt".to_owned()),
        "text/tab-separated-values" => Some("tsv".to_owned()),
        _ => None,
    }
}

fn shown(
    table: &Table,
    cursor: Option<String>,
    format: Option<&str>,
    (first, columnar): (bool, bool),
) -> Result<Response, Refusal> {
    let (kind, text) = match format {
        None | Some("json" | "") => {
            let mut answer = Map::new();
            if first {
                let columns: Vec<Value> =
                    table.columns.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
                answer.insert("columns".to_owned(), json!(columns));
            }
            if columnar {
                let column = |at: usize| table.rows.iter().map(|row| row[at].clone()).collect::<Vec<_>>();
                answer.insert("values".to_owned(), (0..table.columns.len()).map(column).collect());
            } else {
                answer.insert("rows".to_owned(), json!(table.rows));
            }
            if let Some(cursor) = cursor {
                answer.insert("cursor".to_owned(), json!(cursor));
            }
            return Ok(super::json(StatusCode::OK, &Value::Object(answer)));
        }
        Some("txt") => ("text/plain; charset=UTF-8", drawn(table, first)),
        Some("csv") => ("text/csv; charset=UTF-8", separated(table, first, ',')),
        Some("tsv") => ("text/tab-separated-values; charset=UTF-8", separated(table, first, '\t')),
        Some(other) => {
            return Err(Refusal::illegal(format!("Invalid format [{other}]: json, txt, csv and tsv are known")));
        }
    };
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response();
    if let Some(cursor) = cursor.and_then(|cursor| HeaderValue::from_str(&cursor).ok()) {
        response.headers_mut().insert("cursor", cursor);
    }
    Ok(response)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn separated(table: &Table, first: bool, separator: char) -> String {
    let quoted = |text: String| match separator {
        '\t' => text.replace('\t', "\\t").replace('\n', "\\n"),
        _ if text.contains([separator, '"', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        _ => text,
    };
    let mut out = String::new();
    let mut line = |cells: Vec<String>| {
        out.push_str(&cells.join(&separator.to_string()));
        out.push_str(if separator == ',' { "\r\n" } else { "\n" });
    };
    if first {
        line(table.columns.iter().map(|(name, _)| quoted(name.clone())).collect());
    }
    table.rows.iter().for_each(|row| line(row.iter().map(|value| quoted(cell(value))).collect()));
    out
}

/// A table of aligned columns.
fn drawn(table: &Table, first: bool) -> String {
    let rows: Vec<Vec<String>> = table
        .rows
        .iter()
        .map(|row| row.iter().map(|value| if value.is_null() { "null".to_owned() } else { cell(value) }).collect())
        .collect();
    let width = |at: usize| {
        let longest = rows.iter().map(|row: &Vec<String>| row[at].chars().count()).max().unwrap_or(0);
        longest.max(table.columns[at].0.chars().count()).clamp(15, 200)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("|") + "\n"
    };
    let mut out = String::new();
    if first {
        let names = table.columns.iter().zip(&widths).map(|((name, _), width)| format!("{name:^width$}"));
        out.push_str(&names.collect::<Vec<_>>().join("|"));
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        out.push('\n');
        out.push_str(&rule.join("+"));
        out.push('\n');
    }
    rows.iter().for_each(|row| out.push_str(&line(row)));
    out
}
