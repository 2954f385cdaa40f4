//! The call of API Logger.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, write};

/// `POST /api/v1/logs/{log}/entries`: one entry, an array of them, or one a line; or one as a form. 200 once all that
/// is accepted is durable and visible.
#[utoipa::path(post, path = "/api/v1/logs/{log}/entries", tag = "write", operation_id = "send_entries", summary = "Send entries of API Logger",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log")),
    request_body(description = "An entry, an array of them, or one a line; or one as a form",
        content((shapes::Entry = "application/json"), (String = "application/x-ndjson"), (shapes::Entry = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "What became of them", body = shapes::Receipt)))]
pub(crate) async fn entries(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let decode = if is_form(request.headers()) { intake::form } else { intake::entries };
    let nothing = "the body holds no entry: send {\"stream\": \"INFO\", \"location\": \"alice\", \"message\": \"…\"}, an array of such objects, or one a line";
    write::through(&doors, &log, request, decode, nothing).await
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}
