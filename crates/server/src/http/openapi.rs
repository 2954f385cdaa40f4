//! The description of all doors, at `/openapi.json`.
//!
//! The list of doors in `http.rs` is the router and the document at once: a door gets in with its annotation or not at
//! all. What every door has in common (the token, the problems) is added here, once.

mod grammar;
pub(crate) mod shapes;

use std::sync::OnceLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Info, OpenApi, RefOr, Schema};
use utoipa::{PartialSchema as _, ToSchema};

pub(crate) use grammar::Grammar;

/// What the doors are for, in the order of the document.
const TAGS: [(&str, &str); 6] = [
    ("write", "Send events. 200 means: durable, visible, once."),
    ("read", "Ask for events."),
    ("issues", "What became of errors: which are one problem, what led to them, what was decided."),
    ("alerts", "When somebody is called, where, and what became of it."),
    ("administration", "Logs, streams and tokens."),
    ("health", "Is it well, can it take more, what did it do."),
];

/// Doors that never need a token.
const OPEN: [&str; 4] = ["/", "/healthz", "/readyz", "/openapi.json"];

/// How the paths begin of doors that answer in the shape of another product.
const FOREIGN: [&str; 8] = ["/api/1/", "/api/{number}/", "/v1/", "/v2", "/mp/", "/g/", "/es", "/QuickPulse"];

const ABOUT: &str = "Keeps every event of a web API, and finds any of them in milliseconds. Programs on the machine of the \
                     server need no token to write and to read, unless the setting require_token says so.";

const PROBLEMS: &str = "What was refused, and what to do: 400 not understood, 401 and 403 token, 404 not there, 408 too slow, \
                        409 not now, 413 too large, 415 encoding, 422 too much asked, 429 and 503 later (Retry-After).";

/// `GET /openapi.json`: this document.
#[utoipa::path(get, path = "/openapi.json", tag = "health", summary = "This document",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
pub(crate) async fn openapi() -> Response {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| document().to_string());
    std::future::ready(([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()).await
}

/// The whole document.
fn document() -> Value {
    let (_, mut api) = super::doors().split_for_parts();
    begin(&mut api);
    let mut document = serde_json::to_value(&api).unwrap_or_default();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for (_, operation) in operations.as_object_mut().into_iter().flatten() {
            if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
                // What a door says itself goes before what the grammar says.
                let mut seen = std::collections::HashSet::new();
                parameters.retain(|one| seen.insert((one["name"].to_string(), one["in"].to_string())));
            }
            let open = OPEN.contains(&path.as_str());
            operation["security"] = if open { json!([]) } else { json!([{}, { "token": [] }]) };
            let problem = json!({ "$ref": "#/components/schemas/Problem" });
            operation["responses"]["default"] = json!({
                "description": PROBLEMS,
                "content": { "application/problem+json": { "schema": problem }, "text/html": { "schema": { "type": "string" } } },
            });
            if FOREIGN.iter().any(|start| path.starts_with(start)) {
                let refused = &mut operation["responses"]["default"]["content"];
                refused["application/json"] = json!({ "schema": {} });
                if path.starts_with("/v1/") {
                    // As the request was.
                    let binary = json!({ "schema": { "type": "string", "format": "binary" } });
                    refused["application/x-protobuf"] = binary.clone();
                    operation["responses"]["200"]["content"]["application/x-protobuf"] = binary;
                }
            }
        }
    }
    document
}

fn begin(api: &mut OpenApi) {
    api.info = Info::new("Everlog", env!("CARGO_PKG_VERSION"));
    api.info.description = Some(ABOUT.to_owned());
    api.info.license = Some(utoipa::openapi::License::new("Apache-2.0"));
    let tags = TAGS.iter().map(|(name, about)| {
        let mut tag = utoipa::openapi::Tag::new(name);
        tag.description = Some((*about).to_owned());
        tag
    });
    api.tags = Some(tags.collect());
    let components = api.components.get_or_insert_with(Components::new);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`everlog token create` makes one. Scopes: write, read, admin."))
        .build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    for (name, schema) in [(shapes::Problem::name(), shapes::Problem::schema()), schema_of::<shapes::Event>()] {
        components.schemas.insert(name.into_owned(), schema);
    }
}

fn schema_of<T: ToSchema>() -> (std::borrow::Cow<'static, str>, RefOr<Schema>) {
    (T::name(), T::schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation: `GET /path` and what the document says of it.
    fn operations(document: &Value) -> Vec<(String, Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().iter();
                methods.map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation.clone()))
            })
            .collect()
    }

    #[test]
    fn every_door_is_described() {
        // A door that is added to the router beside the list would be in no document.
        for line in include_str!("../http.rs").lines() {
            let door = line.trim_start().starts_with(concat!(".", "route("));
            assert!(!door, "`{}`: use .routes(routes!(…)) and #[utoipa::path(…)]", line.trim());
        }
        let document = document();
        let found = operations(&document);
        assert!(found.len() >= 16, "{found:?}");
        let tags = TAGS.map(|(name, _)| name);
        for (door, operation) in &found {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            assert!(tags.contains(&tag), "{door} has the tag {tag:?}: {tags:?}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{door} has no summary");
            let parameters = operation.get("parameters");
            assert!(parameters.is_none_or(Value::is_array), "{door}: {parameters:?}");
            let good = operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2'));
            assert!(good, "{door} does not say what it answers when all is well");
            for name in door.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name) {
                let known = operation["parameters"].as_array().into_iter().flatten();
                assert!(known.into_iter().any(|one| one["name"] == name && one["in"] == "path"), "{door}: {name}");
            }
        }
    }

    #[test]
    fn references_lead_somewhere_and_ids_are_unique() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    object.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        let operations = operations(&document);
        let mut ids: Vec<_> = operations.iter().map(|(_, operation)| operation["operationId"].to_string()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), operations.len(), "an operationId is there twice: name it in the annotation");
    }
}
