//! Indices: made, looked at, listed. A log is made by its first document too; what is asked for its mappings, settings
//! and templates is accepted and changes nothing, because any document is kept whatever its keys hold.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{FieldKind, LogInfo, Scope, check_log_name};
use serde_json::{Map, Value, json};

use super::call::is_pattern;
use super::{Call, Refusal, cluster, no_method};
use crate::http::problem::Problem;

/// `/INDEX`: made, looked at, asked whether it is there, removed.
pub(super) async fn one(call: &mut Call, index: &str) -> Result<Response, Refusal> {
    match call.parts.method {
        Method::HEAD => {
            call.logs(index)?;
            Ok(super::json(StatusCode::OK, &json!({})))
        }
        Method::GET => {
            let fields = fields(call, index).await?;
            let logs = infos(call, fields.keys().cloned().collect()).await?;
            let shown = logs.iter().map(|log| {
                let mappings = fields.get(&log.name).map_or(Value::Null, mappings);
                (log.name.clone(), json!({ "aliases": {}, "mappings": mappings, "settings": settings(call, log) }))
            });
            Ok(super::json(StatusCode::OK, &shown.collect()))
        }
        Method::PUT => create(call, index).await,
        Method::DELETE => remove(call, index).await,
        _ => Err(no_method(call, &[Method::GET, Method::HEAD, Method::PUT, Method::DELETE])),
    }
}

async fn create(call: &mut Call, index: &str) -> Result<Response, Refusal> {
    let grant = call.require(Scope::Write, Some(index))?;
    check_log_name(index)?;
    // Mappings and settings: read, so that a broken body is told, and left.
    call.json().await?;
    let engine = call.doors.engine.clone();
    if engine.log_names().iter().any(|log| log == index) {
        let reason = format!("index [{index}/{}] already exists", cluster::index_uuid(call, index));
        let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, "resource_already_exists_exception", reason);
        refusal.index = Some(index.to_owned());
        return Err(refusal);
    }
    if grant.may(Scope::Admin) {
        engine.set_log(index, engine::LogSettings::default())?;
    } else {
        engine.log_or_create(index)?;
    }
    Ok(super::json(StatusCode::OK, &json!({ "acknowledged": true, "shards_acknowledged": true, "index": index })))
}

/// Removes logs with all their events. Each is named: a pattern could take more than was meant.
async fn remove(call: &Call, index: &str) -> Result<Response, Refusal> {
    let grant = call.require(Scope::Admin, None)?;
    if is_pattern(index) {
        let reason = "Wildcard expressions or all indices are not allowed: name what is to go";
        return Err(Refusal::illegal(reason));
    }
    let names: Vec<String> = index.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    for name in &names {
        call.doors.engine.log(name)?;
    }
    let engine = call.doors.engine.clone();
    let remove = move || names.iter().try_for_each(|name| engine.remove_log(name, &grant).map(drop));
    tokio::task::spawn_blocking(remove).await.map_err(|error| Problem::internal(&error))??;
    Ok(super::acknowledged())
}

/// The sizes and settings of these logs.
async fn infos(call: &Call, names: Vec<String>) -> Result<Vec<LogInfo>, Refusal> {
    let engine = call.doors.engine.clone();
    let read = move || Ok(engine.logs().into_iter().filter(|log| names.contains(&log.name)).collect());
    Ok(call.doors.questions.read(read).await?)
}

/// The fields of the logs of an expression.
async fn fields(call: &Call, expression: &str) -> Result<BTreeMap<String, BTreeMap<String, Vec<FieldKind>>>, Refusal> {
    let logs = call.logs(expression)?;
    let engine = call.doors.engine.clone();
    let read = move || logs.into_iter().map(|log| engine.fields(&log).map(|fields| (log, fields))).collect();
    Ok(call.doors.questions.read(read).await?)
}

/// The type of a field as Elasticsearch names it. Of several the one that the others can be shown as.
fn field_type(name: &str, kinds: &[FieldKind]) -> &'static str {
    if matches!(name, "@timestamp" | "timestamp" | "received") {
        return "date";
    }
    match kinds {
        [FieldKind::Int] => "long",
        [FieldKind::Float] | [FieldKind::Int, FieldKind::Float] => "double",
        [FieldKind::Bool] => "boolean",
        _ => "text",
    }
}

fn mappings(fields: &BTreeMap<String, Vec<FieldKind>>) -> Value {
    let mut root = json!({ "properties": { "@timestamp": { "type": "date" } } });
    for (name, kinds) in fields.iter().filter(|(name, _)| *name != "@timestamp") {
        let mut place = &mut root;
        for key in name.split('.') {
            place = &mut place["properties"][key];
        }
        // A key that is also an object is shown as the object.
        if place.get("properties").is_none() {
            *place = match field_type(name, kinds) {
                "text" => {
                    json!({ "type": "text", "fields": { "keyword": { "type": "keyword", "ignore_above": 256 } } })
                }
                other => json!({ "type": other }),
            };
        }
    }
    only_objects(&mut root);
    root
}

/// Takes the type from what has properties: `user` for `user.id`.
fn only_objects(place: &mut Value) {
    let Some(members) = place.as_object_mut() else { return };
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.values_mut().for_each(only_objects);
        members.retain(|key, _| key == "properties");
    }
}

fn settings(call: &Call, log: &LogInfo) -> Value {
    json!({ "index": {
        "creation_date": (log.created.as_micros() / 1000).to_string(),
        "number_of_shards": "1",
        "number_of_replicas": "0",
        "uuid": cluster::index_uuid(call, &log.name),
        "version": { "created": "8190099" },
        "provided_name": log.name,
    } })
}

/// `/INDEX/_mapping`: what the keys of the events hold. What is put there is accepted and changes nothing.
pub(super) async fn mapping(call: &mut Call, index: &str) -> Result<Response, Refusal> {
    match call.parts.method {
        Method::GET | Method::HEAD => {
            let fields = fields(call, index).await?;
            let shown = fields.iter().map(|(log, fields)| (log.clone(), json!({ "mappings": mappings(fields) })));
            Ok(super::json(StatusCode::OK, &shown.collect()))
        }
        Method::PUT | Method::POST => accepted(call, index).await,
        _ => Err(no_method(call, &[Method::GET, Method::PUT])),
    }
}

/// `/INDEX/_settings`, likewise.
pub(super) async fn all_settings(call: &mut Call, index: &str) -> Result<Response, Refusal> {
    match call.parts.method {
        Method::GET | Method::HEAD => {
            let names = call.logs(index)?;
            let logs = infos(call, names).await?;
            let shown = logs.iter().map(|log| (log.name.clone(), json!({ "settings": settings(call, log) })));
            Ok(super::json(StatusCode::OK, &shown.collect()))
        }
        Method::PUT | Method::POST => accepted(call, index).await,
        _ => Err(no_method(call, &[Method::GET, Method::PUT])),
    }
}

/// What is put on an index without an effect.
async fn accepted(call: &mut Call, index: &str) -> Result<Response, Refusal> {
    call.require(Scope::Write, Some(index).filter(|index| !is_pattern(index)))?;
    call.json().await?;
    Ok(super::acknowledged())
}

/// `/_refresh`, `/_flush` and such: all that is acknowledged is durable and found already.
pub(super) fn refresh(call: &Call, index: &str) -> Result<Response, Refusal> {
    if !matches!(call.parts.method, Method::GET | Method::POST) {
        return Err(no_method(call, &[Method::GET, Method::POST]));
    }
    // Who writes asks for it as well, and must not need to read for that.
    if !call.grant()?.may(Scope::Write) {
        call.logs(index)?;
    } else if !is_pattern(index) && !index.is_empty() && !call.flag("ignore_unavailable") {
        for name in index.split(',') {
            call.doors.engine.log(name)?;
        }
    }
    Ok(super::json(StatusCode::OK, &json!({ "_shards": { "total": 1, "successful": 1, "failed": 0 } })))
}

/// `/INDEX/_field_caps`: the types of the fields that match `fields`, of all the logs together.
pub(super) async fn field_caps(call: &mut Call, index: &str) -> Result<Response, Refusal> {
    let body = call.json().await?;
    let texts = |value: &Value| match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let mut patterns = texts(&body["fields"]);
    patterns.extend(call.parameter("fields").iter().flat_map(|list| list.split(',')).map(str::to_owned));
    if patterns.is_empty() {
        return Err(Refusal::illegal("specified fields can't be null or empty: name some, or `*`"));
    }
    let found = fields(call, index).await?;
    let mut caps: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut add = |name: &str, kind: &str| {
        if patterns.iter().any(|pattern| super::call::matches(pattern, name)) {
            let cap =
                json!({ "type": kind, "metadata_field": false, "searchable": true, "aggregatable": kind != "text" });
            caps.entry(name.to_owned()).or_default().insert(kind.to_owned(), cap);
        }
    };
    for fields in found.values() {
        add("@timestamp", "date");
        for (name, kinds) in fields.iter().filter(|(name, _)| *name != "@timestamp") {
            let kind = field_type(name, kinds);
            add(name, kind);
            if kind == "text" {
                add(&format!("{name}.keyword"), "keyword");
            }
        }
    }
    let indices: Vec<&String> = found.keys().collect();
    Ok(super::json(StatusCode::OK, &json!({ "indices": indices, "fields": caps })))
}

/// `/_cat/indices`: as a table of text, or with `format=json` as a list whose values are all texts.
pub(super) async fn cat(call: &mut Call, index: &str) -> Result<Response, Refusal> {
    let names = call.logs(index)?;
    let logs = infos(call, names).await?;
    let rows: Vec<Value> = logs
        .iter()
        .map(|log| {
            let size = size(log.size.bytes, call.parameter("bytes").as_deref());
            json!({
                "health": "green", "status": "open", "index": log.name, "uuid": cluster::index_uuid(call, &log.name),
                "pri": "1", "rep": "0", "docs.count": log.size.events.to_string(), "docs.deleted": "0",
                "store.size": size, "pri.store.size": size, "dataset.size": size,
            })
        })
        .collect();
    Ok(table(call, &rows))
}

/// Bytes as a table shows them: `12.3kb`, or a number of the unit that was asked for.
fn size(bytes: u64, unit: Option<&str>) -> String {
    let units = [("gb", 30), ("mb", 20), ("kb", 10)];
    if let Some(unit) = unit {
        let shift = units.iter().find(|(name, _)| unit.starts_with(&name[..1])).map_or(0, |(_, shift)| *shift);
        return (bytes >> shift).to_string();
    }
    match units.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((name, shift)) => {
            let tenths = (bytes * 10) >> shift;
            format!("{}.{}{name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes}b"),
    }
}

/// Rows of a `_cat` door: JSON when that is asked, else columns of text; `h` names columns, `v` wants their names too.
pub(super) fn table(call: &Call, rows: &[Value]) -> Response {
    let chosen = call.parameter("h");
    let first = rows.first().and_then(Value::as_object);
    let names: Vec<String> = match &chosen {
        Some(chosen) => chosen.split(',').map(str::to_owned).collect(),
        None => first.map(|row| row.keys().cloned().collect()).unwrap_or_default(),
    };
    let text = |row: &Value, name: &String| row[name.as_str()].as_str().unwrap_or_default().to_owned();
    let accepts = call.parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let as_json = match call.parameter("format") {
        Some(format) => format == "json",
        None => accepts.contains("json") && !accepts.contains("text/plain"),
    };
    if as_json {
        let rows = rows.iter().map(|row| {
            let members = names.iter().map(|name| (name.clone(), Value::from(text(row, name))));
            Value::Object(members.collect())
        });
        return super::json(StatusCode::OK, &rows.collect());
    }
    let mut cells: Vec<Vec<String>> = Vec::new();
    if call.flag("v") {
        cells.push(names.clone());
    }
    cells.extend(rows.iter().map(|row| names.iter().map(|name| text(row, name)).collect()));
    let width = |at: usize| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join(" ").trim_end())
    };
    let body: String = cells.iter().map(line).collect();
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_nest_and_an_object_wins_over_a_value() {
        let kinds = |kinds: &[FieldKind]| kinds.to_vec();
        let fields = BTreeMap::from([
            ("user".to_owned(), kinds(&[FieldKind::Text])),
            ("user.id".to_owned(), kinds(&[FieldKind::Int])),
            ("n".to_owned(), kinds(&[FieldKind::Int, FieldKind::Float])),
            ("x".to_owned(), kinds(&[FieldKind::Text, FieldKind::Int])),
        ]);
        let shown = mappings(&fields);
        assert_eq!(shown["properties"]["user"], json!({ "properties": { "id": { "type": "long" } } }));
        assert_eq!(shown["properties"]["n"], json!({ "type": "double" }));
        assert_eq!(shown["properties"]["x"]["fields"]["keyword"]["type"], "keyword");
        assert_eq!(shown["properties"]["@timestamp"], json!({ "type": "date" }));
    }

    #[test]
    fn sizes() {
        assert_eq!(["0b", "1.5kb", "2.0mb"], [size(0, None), size(1536, None), size(2 << 20, None)]);
        assert_eq!(size(1536, Some("b")), "1536");
        assert_eq!(size(1536, Some("kb")), "1");
    }
}
