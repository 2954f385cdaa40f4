//! What clients ask of the cluster before and beside their work.

use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use engine::Scope;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Call, Refusal, no_method};

/// The version that clients 7.17, 8 and 9 all agree to talk to.
pub(super) const VERSION: &str = "8.19.0";

/// The name under which Everlog goes as a cluster, and as its only node.
pub(super) const NAME: &str = "everlog";

/// `GET /`, which clients of version 7 ask first. Whoever asks learns nothing of the logs, so that nobody is refused: a
/// client without a token would take a refusal for a server that is no Elasticsearch.
pub(super) fn info(call: &Call) -> Result<Response, Refusal> {
    if !matches!(call.parts.method, Method::GET | Method::HEAD) {
        return Err(no_method(call, &[Method::GET, Method::HEAD]));
    }
    let body = json!({
        "name": NAME,
        "cluster_name": NAME,
        "cluster_uuid": uuid(call),
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "tar",
            "build_hash": format!("everlog-{}", env!("CARGO_PKG_VERSION")),
            "build_date": "2025-07-23T22:10:18.138215839Z",
            "build_snapshot": false,
            "lucene_version": "9.12.2",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    });
    Ok(super::json(StatusCode::OK, &body))
}

/// The same as long as the data directory lives: made of the moment at which it was begun.
pub(super) fn uuid(call: &Call) -> String {
    let begun = call.doors.engine.begun().as_micros().to_le_bytes();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&Sha256::digest(begun)[..16])
}

/// The id of an index: made of that of the cluster and its name.
pub(super) fn index_uuid(call: &Call, index: &str) -> String {
    let named = Sha256::new().chain_update(uuid(call)).chain_update(index).finalize();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&named[..16])
}

/// `/_cluster/health` and such: always well, or nobody would answer.
pub(super) fn health(call: &Call) -> Result<Response, Refusal> {
    call.grant()?;
    let shards = call.doors.engine.log_names().len();
    let body = json!({
        "cluster_name": NAME,
        "status": "green",
        "timed_out": false,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": shards,
        "active_shards": shards,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "unassigned_primary_shards": 0,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
    });
    Ok(super::json(StatusCode::OK, &body))
}

/// `/_cat/health`.
pub(super) fn cat_health(call: &Call) -> Result<Response, Refusal> {
    call.grant()?;
    let shards = call.doors.engine.log_names().len().to_string();
    let now = call.doors.engine.now();
    let row = json!({
        "epoch": (now.as_micros() / 1_000_000).to_string(), "timestamp": now.to_string()[11..19], "cluster": NAME,
        "status": "green", "node.total": "1", "node.data": "1", "shards": shards, "pri": shards, "relo": "0",
        "init": "0", "unassign": "0", "pending_tasks": "0", "max_task_wait_time": "-", "active_shards_percent": "100.0%",
    });
    Ok(super::indices::table(call, &[row]))
}

/// `/_cluster/settings`: there are none of Elasticsearch's; what is put there is accepted and changes nothing.
pub(super) async fn settings(call: &mut Call) -> Result<Response, Refusal> {
    match call.parts.method {
        Method::GET | Method::HEAD => call.grant().map(drop)?,
        Method::PUT => {
            call.require(Scope::Admin, None)?;
            call.json().await?;
        }
        _ => return Err(no_method(call, &[Method::GET, Method::PUT])),
    }
    Ok(super::json(StatusCode::OK, &json!({ "acknowledged": true, "persistent": {}, "transient": {} })))
}

/// `/_nodes` and what is below it: the one there is. Its address is the one by which the client found it.
pub(super) fn nodes(call: &Call) -> Result<Response, Refusal> {
    call.grant()?;
    let host = call.parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let node = json!({
        "name": NAME,
        "transport_address": host,
        "host": host,
        "ip": host,
        "version": VERSION,
        "build_flavor": "default",
        "roles": ["data", "ingest", "master"],
        "http": { "publish_address": host, "bound_address": [host] },
    });
    let body = json!({
        "_nodes": { "total": 1, "successful": 1, "failed": 0 },
        "cluster_name": NAME,
        "nodes": { index_uuid(call, ""): node },
    });
    Ok(super::json(StatusCode::OK, &body))
}

/// `/_license`, which shippers of Elastic ask before they send.
pub(super) fn license(call: &Call) -> Result<Response, Refusal> {
    call.grant()?;
    let begun = call.doors.engine.begun();
    let body = json!({ "license": {
        "status": "active",
        "uid": uuid(call),
        "type": "basic",
        "issue_date": begun.to_string(),
        "issue_date_in_millis": begun.as_micros() / 1000,
        "issued_to": NAME,
        "issuer": NAME,
        "max_nodes": 1000,
        "start_date_in_millis": -1,
    } });
    Ok(super::json(StatusCode::OK, &body))
}

/// `/_xpack`: which of Elastic's further features there are.
pub(super) fn xpack(call: &Call) -> Result<Response, Refusal> {
    call.grant()?;
    let is = |available: bool| json!({ "available": available, "enabled": available });
    let body = json!({
        "build": { "hash": format!("everlog-{}", env!("CARGO_PKG_VERSION")), "date": "2025-07-23T22:10:18.138215839Z" },
        "license": { "uid": uuid(call), "type": "basic", "mode": "basic", "status": "active" },
        "features": { "sql": is(true), "security": is(true), "ilm": is(true), "data_streams": is(true), "ml": is(false),
            "watcher": is(false), "graph": is(false) },
        "tagline": "You know, for X",
    });
    Ok(super::json(StatusCode::OK, &body))
}

/// Templates, pipelines and policies: what is put is accepted and forgotten, and none is ever found, so that a client
/// that looks first goes on to put its own.
pub(super) async fn template(call: &mut Call, kind: &str, name: Option<&str>) -> Result<Response, Refusal> {
    match (&call.parts.method, name) {
        (&Method::PUT | &Method::POST, Some(_)) => {
            if !call.grant()?.may(Scope::Write) {
                call.require(Scope::Write, None)?;
            }
            call.json().await?;
            Ok(super::acknowledged())
        }
        (&Method::GET | &Method::HEAD, None) => {
            call.grant()?;
            let none = match kind {
                "_index_template" => json!({ "index_templates": [] }),
                "_component_template" => json!({ "component_templates": [] }),
                "_data_stream" => json!({ "data_streams": [] }),
                _ => json!({}),
            };
            Ok(super::json(StatusCode::OK, &none))
        }
        (&Method::GET | &Method::HEAD | &Method::DELETE, Some(name)) => {
            call.grant()?;
            let reason = format!("{} matching [{name}] not found", kind.trim_start_matches('_').replace('_', " "));
            Err(Refusal::new(StatusCode::NOT_FOUND, "resource_not_found_exception", reason))
        }
        _ => Err(no_method(call, &[Method::GET, Method::HEAD, Method::PUT, Method::DELETE])),
    }
}

/// `/_alias` and `/_aliases`: there are none.
pub(super) fn alias(call: &Call, index: &str, name: Option<&str>) -> Result<Response, Refusal> {
    if !matches!(call.parts.method, Method::GET | Method::HEAD) {
        let reason = "Everlog has no aliases: name the log itself, or a pattern such as `web-*` where it is asked";
        return Err(Refusal::illegal(reason));
    }
    let logs = call.logs(index)?;
    match name.filter(|name| !matches!(*name, "*" | "_all")) {
        Some(name) => {
            Err(Refusal::new(StatusCode::NOT_FOUND, "aliases_not_found_exception", format!("alias [{name}] missing")))
        }
        None => {
            let none = logs.into_iter().map(|log| (log, json!({ "aliases": {} })));
            Ok(super::json(StatusCode::OK, &none.collect()))
        }
    }
}
