//! `GET /api/v1/logs/{log}/values`: which values a column has, for the selects and sliders of a form.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use engine::url::{Condition, condition};
use engine::{Answer, Scope};
use serde_json::{Map, Value, json};

use super::openapi::{Grammar, shapes};
use super::problem::Problem;
use super::{Doors, answer, auth, read};

/// Values of a column when `_limit` is not given.
const VALUES_DEFAULT: usize = 100;

/// Most values of a column.
const VALUES_MAX: usize = 10_000;

/// Most columns asked for at once: each is a question of its own.
const COLUMNS_MAX: usize = 32;

/// What `column|range` asks for.
const RANGE: &str = "|range";

/// Answers with the distinct values of each `_c=column`, and with the least and the greatest of each
/// `_c=column|range`. The conditions of the question apply, but for those on the very column: a form goes on offering
/// the values that were not chosen.
#[utoipa::path(get, path = "/api/v1/logs/{log}/values", tag = "read", operation_id = "values", summary = "Which values a key has, for forms",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log"),
        ("_c" = Vec<String>, Query, description = "A key whose values are wanted, or `key|range` for the least and the greatest", example = json!(["status"])),
        Grammar),
    responses((status = 200, description = "By key: its values, or its range", body = std::collections::BTreeMap<String, serde_json::Value>)))]
pub(crate) async fn values(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, Some(&log))?;
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()).into_owned().collect();
    let (columns, limit) = asked(&pairs)?;
    let mut found = Map::new();
    let mut ignored: Vec<String> = Vec::new();
    for name in columns {
        let column = name.strip_suffix(RANGE).unwrap_or(name);
        let question = read::question(&query(&pairs, name, column, limit))?;
        let answer = read::group(&doors, &log, &question).await?;
        if !answer.ignored.iter().any(|unknown| unknown == column) {
            let rows = rows(&answer);
            let value = if name == column { distinct(rows, column, limit, answer.total) } else { range(&rows, column) };
            found.insert(name.to_owned(), value);
        }
        ignored.extend(answer.ignored);
    }
    ignored.sort_unstable();
    ignored.dedup();
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    if !ignored.is_empty() {
        answer::set(&mut headers, "x-everlog-ignored", &ignored.join(","));
    }
    Ok((headers, Json(found)).into_response())
}

/// The columns and how many values of each.
fn asked(pairs: &[(String, String)]) -> Result<(Vec<&str>, usize), Problem> {
    let given = |wanted: &'static str| {
        pairs.iter().filter(move |(key, value)| key == wanted && !value.is_empty()).map(|(_, value)| value.as_str())
    };
    let mut columns: Vec<&str> = Vec::new();
    for name in given("_c") {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    if columns.is_empty() || columns.len() > COLUMNS_MAX {
        return Err(Problem::bad_request(format!(
            "_c: name 1 to {COLUMNS_MAX} columns whose values are wanted, like _c=status&_c=duration|range"
        )));
    }
    if let Some((key, _)) = pairs.iter().find(|(key, value)| key == "_limit" && !is_limit(value)) {
        return Err(Problem::bad_request(format!("{key}: expected a whole number from 1 to {VALUES_MAX}")));
    }
    let limit = given("_limit").filter_map(|value| value.parse().ok()).min();
    Ok((columns, limit.unwrap_or(VALUES_DEFAULT)))
}

fn is_limit(value: &str) -> bool {
    value.is_empty() || value.parse().is_ok_and(|limit: usize| (1..=VALUES_MAX).contains(&limit))
}

/// The question of one column, as a query string.
fn query(pairs: &[(String, String)], name: &str, column: &str, limit: usize) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (key, value) in pairs {
        let own = condition(key, value).is_some_and(|Condition { column: of, .. }| of == column);
        if !own
            && !matches!(key.as_str(), "_c" | "_by" | "_sort" | "_limit" | "_offset" | "_cursor" | "_format" | "_total")
        {
            out.append_pair(key, value);
        }
    }
    if name == column {
        out.append_pair("_q", &format!("_exists_:{}", quoted(column)));
        out.append_pair("_by", column).append_pair("_c", COUNT);
        out.append_pair("_sort", &format!("-{COUNT}")).append_pair("_sort", column);
        out.append_pair("_limit", &limit.to_string());
    } else {
        out.append_pair("_by", "").append_pair("_c", &format!("{column}|min"));
        out.append_pair("_c", &format!("{column}|max"));
    }
    out.finish()
}

/// The number of events, under a name that no column has.
const COUNT: &str = "*|count";

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn rows(answer: &Answer) -> Vec<Value> {
    answer::documents(answer).iter().filter_map(|row| serde_json::from_slice(row).ok()).collect()
}

fn distinct(rows: Vec<Value>, column: &str, limit: usize, total: Option<u64>) -> Value {
    let total = total.unwrap_or(rows.len() as u64);
    let values: Vec<Value> = rows.into_iter().map(|row| json!({ "value": row[column], "count": row[COUNT] })).collect();
    json!({ "values": values, "distinct": total, "more": total > limit as u64 })
}

fn range(rows: &[Value], column: &str) -> Value {
    let of = |function: &str| rows.first().map_or(Value::Null, |row| row[format!("{column}|{function}")].clone());
    json!({ "min": of("min"), "max": of("max") })
}
