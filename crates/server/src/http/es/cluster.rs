//! What clients ask of the cluster before and beside their work.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use base64::Engine as _;
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
