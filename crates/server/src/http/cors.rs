//! What lets pages of other sites send to the doors that browsers use.

use std::time::Duration;

use axum::http::HeaderName;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

/// How long a browser may remember what it may send.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// For doors that take events and answer nothing worth reading: any page may send, with whatever headers its client
/// adds. `*` would not do for what is sent with credentials (beacons, gtag), so the origin is repeated.
pub(crate) fn layer() -> CorsLayer {
    let shown = ["x-sentry-rate-limits", "x-sentry-error", "retry-after", "x-request-id", "x-event-id"];
    CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .allow_credentials(true)
        .expose_headers(shown.map(HeaderName::from_static))
        .max_age(REMEMBERED)
}
