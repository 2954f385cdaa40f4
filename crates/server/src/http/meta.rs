//! `_meta=y`: how a question was understood, in the headers and shapes of Gramex FormHandler.
//!
//! A header has one JSON value in ASCII. What would make it longer than [`VALUE_BYTES_MAX`] is left out, element by element.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use engine::url::{Columns, Question, condition};
use serde_json::{Value, json};

/// Longest value of one header.
const VALUE_BYTES_MAX: usize = 4096;

/// Adds the headers to an answer. `query` is the query string, `ignored` the columns that were left out of it.
pub(super) fn add(headers: &mut HeaderMap, query: &str, question: &Question, ignored: &[String]) {
    let is_ignored = |column: &str| ignored.iter().any(|name| name == column.split('|').next().unwrap_or(column));
    let (mut filters, mut left_out): (Vec<Filter>, Vec<Value>) = (Vec::new(), Vec::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match condition(&key, &value) {
            Some(found) => push(&mut filters, found.column, gramex(found.operator), &found.value),
            None if value.is_empty() => {}
            None if matches!(&*key, "_q" | "_from" | "_to") => push(&mut filters, key.into_owned(), "", &value),
            None if matches!(&*key, "_sort" | "_c" | "_by") && is_ignored(value.trim_start_matches('-')) => {
                left_out.push(json!([key, value]));
            }
            None => {}
        }
    }
    let (dropped, filters): (Vec<Filter>, Vec<Filter>) =
        filters.into_iter().partition(|filter| is_ignored(&filter.column));
    left_out.extend(dropped.into_iter().map(|filter| json!([filter.column, filter.values])));
    let filters = filters.into_iter().map(|filter| json!([filter.column, filter.operator, filter.values])).collect();
    let sort = question.sort.iter().filter(|by| !is_ignored(&by.column));
    set(headers, "fh-data-filters", &list(filters));
    set(headers, "fh-data-ignored", &list(left_out));
    set(headers, "fh-data-sort", &list(sort.map(|by| json!([by.column, !by.descending])).collect()));
    set(headers, "fh-data-offset", &question.offset.to_string());
    set(headers, "fh-data-limit", &question.limit.to_string());
    if let Some(count) = headers.get("x-total-count").cloned() {
        headers.insert("fh-data-count", count);
    }
    if let Some(by) = &question.by {
        set(headers, "fh-data-by", &list(by.iter().filter(|name| !is_ignored(name)).map(|name| json!(name)).collect()));
    }
    if let Columns::Except(names) = &question.columns {
        set(headers, "fh-data-excluded", &list(names.iter().map(|name| json!(name)).collect()));
    }
}

struct Filter {
    column: String,
    operator: &'static str,
    values: Vec<Value>,
}

fn push(filters: &mut Vec<Filter>, column: String, operator: &'static str, value: &str) {
    let value = (!value.is_empty()).then(|| typed(value));
    let same = filters.iter_mut().find(|filter| filter.column == column && filter.operator == operator);
    match same {
        Some(same) => same.values.extend(value),
        None => filters.push(Filter { column, operator, values: value.into_iter().collect() }),
    }
}

/// The operator as Gramex has it at the end of a key, where `>` alone is more and `>~` is at least.
fn gramex(operator: &'static str) -> &'static str {
    match operator {
        "=" => "",
        ">=" => ">~",
        "<=" => "<~",
        other => other.strip_suffix('=').unwrap_or(other),
    }
}

/// A number if that is how the number would be written, else a text.
fn typed(value: &str) -> Value {
    match serde_json::from_str::<Value>(value) {
        Ok(Value::Number(number)) if number.as_str() == value => Value::Number(number),
        _ => Value::from(value),
    }
}

/// The JSON of a list in ASCII, as far as there is room.
fn list(elements: Vec<Value>) -> String {
    let mut out = "[".to_owned();
    for element in elements {
        let text = ascii(&element.to_string());
        if out.len() + text.len() + 2 > VALUE_BYTES_MAX {
            break;
        }
        out.push_str(if out.len() > 1 { ", " } else { "" });
        out.push_str(&text);
    }
    out.push(']');
    out
}

fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            out.push(character);
        } else {
            out.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(query: &str, ignored: &[&str]) -> HeaderMap {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let question = engine::url::parse(&pairs, jiff::Timestamp::UNIX_EPOCH).unwrap();
        let ignored: Vec<String> = ignored.iter().map(|name| (*name).to_owned()).collect();
        let mut headers = HeaderMap::from_iter([(HeaderName::from_static("x-total-count"), 3.into())]);
        add(&mut headers, query, &question, &ignored);
        headers
    }

    #[test]
    fn shapes_are_those_of_gramex() {
        let query = "status=200&status=404&ms%3E=5&ms%3E1&p!~=%C3%A9%F0%9D%84%9E&u&v!&_q=x&_sort=-a&_sort=b&_limit=7&_c=-z&gone=1&_sort=gone&_strict=n";
        let found = headers(query, &["gone"]);
        let expected = [
            (
                "filters",
                r#"[["status","",[200,404]], ["ms",">~",[5]], ["ms",">",[1]], ["p","!~",["\u00e9\ud834\udd1e"]], ["u","",[]], ["v","!",[]], ["_q","",["x"]]]"#,
            ),
            ("ignored", r#"[["_sort","gone"], ["gone",[1]]]"#),
            ("sort", r#"[["a",false], ["b",true]]"#),
            ("offset", "0"),
            ("limit", "7"),
            ("count", "3"),
            ("excluded", r#"["z"]"#),
        ];
        for (name, value) in expected {
            assert_eq!(found[&*format!("fh-data-{name}")], value, "{name}");
        }
        assert!(!found.contains_key("fh-data-by"));
        assert_eq!(headers("_by=a&_by=b", &[])["fh-data-by"], r#"["a", "b"]"#);
    }

    #[test]
    fn long_questions_have_headers_of_bounded_length() {
        let query: Vec<String> = (0..500).map(|number| format!("a{number}=é{number}")).collect();
        let found = headers(&query.join("&"), &[]);
        let value = found["fh-data-filters"].to_str().unwrap();
        assert!(value.len() <= VALUE_BYTES_MAX && serde_json::from_str::<Value>(value).is_ok());
    }
}
