//! GELF over HTTP. Over UDP and TCP it comes through a listener of its own.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use engine::{Limits, Scope};

use super::problem::Problem;
use super::{Doors, auth, body, write};

/// `POST /gelf`: one message, or one a line. 202 once all that is accepted is durable and visible.
#[utoipa::path(post, path = "/gelf", tag = "write", operation_id = "send_gelf", summary = "Send messages of GELF",
    params(("log" = Option<String>, Query, description = "The log, if it is not `default`")),
    request_body(description = "A JSON object of GELF 1.1, or one a line", content((serde_json::Value = "application/json"))),
    responses((status = 202, description = "It is kept")))]
pub(crate) async fn gelf(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let log = auth::grant(&doors, &parts).map(|grant| auth::log_of(&parts, &grant));
    let allowed = log.and_then(|log| auth::require(&doors, &parts, Scope::Write, Some(&log)).map(|_| log));
    let log = match allowed {
        Ok(log) => log,
        Err(problem) => {
            body::refuse(body).await;
            return Err(problem);
        }
    };
    let held = body::read(&doors, &parts.headers, body).await?;
    let limits = Limits { event_bytes_max: doors.engine.settings().event_bytes_max, ..Limits::default() };
    let received = doors.engine.now();
    let decoded = tokio::task::block_in_place(|| intake::gelf(&held.bytes, limits, received));
    drop(held);
    if decoded.received == 0 {
        return Err(Problem::bad_request("the body holds no message: send a JSON object with `short_message`"));
    }
    let receipt = write::take(&doors, &log, decoded, None).await?;
    // Of several lines the good ones are kept, and the others counted.
    match receipt.refused.first().filter(|_| receipt.accepted == 0) {
        Some(refused) => Err(Problem::new(StatusCode::BAD_REQUEST, refused.reason.name(), refused.reason.to_string())),
        None => Ok(StatusCode::ACCEPTED.into_response()),
    }
}
