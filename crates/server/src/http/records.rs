//! The records of Python's `logging.handlers.HTTPHandler`.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, auth, write};

const NOTHING: &str = "there is no record: send the form of logging.handlers.HTTPHandler";

/// `POST /api/v1/logs/{log}/records`: one record, as a form. 200 once it is durable and visible.
#[utoipa::path(post, path = "/api/v1/logs/{log}/records", tag = "write", operation_id = "send_record", summary = "Send a record of Python's logging",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log")),
    request_body(description = "The attributes of a `LogRecord`", content((shapes::PythonRecord = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "What became of it", body = shapes::Receipt)))]
pub(crate) async fn post(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    write::through(&doors, &log, request, intake::records, NOTHING).await
}

/// `GET /api/v1/logs/{log}/records?name=…&msg=…`: the same of a handler made with `method="GET"`.
#[utoipa::path(get, path = "/api/v1/logs/{log}/records", tag = "write", operation_id = "send_record_by_get", summary = "Send a record of Python's logging in the query",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log"),
        ("msg" = Option<String>, Query, description = "The template of the message, and so on with the other attributes of a `LogRecord`")),
    responses((status = 200, description = "What became of it", body = shapes::Receipt)))]
pub(crate) async fn get(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    // A GET writes here.
    auth::refuse_forged(&parts)?;
    let query = parts.uri.query().unwrap_or_default().to_owned();
    write::through(&doors, &log, Request::from_parts(parts, Body::from(query)), intake::records, NOTHING).await
}
