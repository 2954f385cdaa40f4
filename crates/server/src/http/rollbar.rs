//! The doors of Rollbar's clients.
//!
//! Its clients send nothing twice, and one of them sends another item for each 413, so that is never answered.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use engine::{Limits, Scope};
use intake::rollbar::{Item, deploy_fields, document};
use serde_json::{Value, json};

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, auth, body, write};

/// A body that has to say itself who sent it is read before that is known: so much of it.
const UNKNOWN_BYTES_MAX: usize = 4 << 20;

/// The same doors as some clients write them.
pub(super) fn without_slash() -> Router<Doors> {
    Router::new().route("/api/1/item", post(item)).route("/api/1/deploy", post(deploy))
}

/// `POST /api/1/item/`: an error or a message.
#[utoipa::path(post, path = "/api/1/item/", tag = "write", operation_id = "rollbar_item", summary = "Send an item of Rollbar",
    params(("X-Rollbar-Access-Token" = Option<String>, Header, description = "A token, if it is not in the body")),
    request_body(description = "An item", content((shapes::RollbarItem = "application/json"), (String = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "It is kept", body = shapes::RollbarAnswer)))]
pub(crate) async fn item(State(doors): State<Doors>, request: Request) -> Response {
    rendered(take_item(&doors, request).await)
}

/// `POST /api/1/deploy/`: what was deployed.
#[utoipa::path(post, path = "/api/1/deploy/", tag = "write", operation_id = "rollbar_deploy", summary = "Tell of a deploy as Rollbar's clients do",
    params(("X-Rollbar-Access-Token" = Option<String>, Header, description = "A token, if it is not in the body")),
    request_body(description = "`revision`, `environment`, `local_username`, `comment`, `status`", content((shapes::RollbarDeploy = "application/json"), (shapes::RollbarDeploy = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "It is kept", body = shapes::RollbarDeployed)))]
pub(crate) async fn deploy(State(doors): State<Doors>, request: Request) -> Response {
    rendered(take_deploy(&doors, request).await)
}

/// The answer in Rollbar's shape, refusals too.
fn rendered(taken: Result<Value, Problem>) -> Response {
    let (status, retry_after, body) = match taken {
        Ok(answer) => (StatusCode::OK, None, answer),
        Err(problem) => {
            let status = match problem.status {
                StatusCode::PAYLOAD_TOO_LARGE => StatusCode::UNPROCESSABLE_ENTITY,
                _ if problem.retry_after.is_some() => StatusCode::TOO_MANY_REQUESTS,
                status => status,
            };
            (status, problem.retry_after, json!({ "err": 1, "message": problem.detail }))
        }
    };
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The body of a request, and the log of the token that came with it: in the header, or in the body.
async fn read(
    doors: &Doors,
    request: Request,
    in_body: fn(&[u8]) -> Option<String>,
) -> Result<(body::Held, String), Problem> {
    let (parts, sent) = request.into_parts();
    let said = parts.headers.get("x-rollbar-access-token").and_then(|value| value.to_str().ok());
    let said = said.filter(|token| !token.is_empty()).map(str::to_owned);
    if let Some(said) = said {
        let log = match log(doors, &parts, Some(&said)) {
            Ok(log) => log,
            Err(problem) => {
                body::refuse(sent).await;
                return Err(problem);
            }
        };
        return Ok((body::read(doors, &parts.headers, sent).await?, log));
    }
    let bytes_max = doors.config.body_bytes_max;
    let known = log(doors, &parts, None).is_ok();
    let bytes_max = if known { bytes_max } else { bytes_max.min(UNKNOWN_BYTES_MAX) };
    let held = body::read_within(doors, &parts.headers, sent, bytes_max).await?;
    let log = log(doors, &parts, in_body(&held.bytes).as_deref())?;
    Ok((held, log))
}

fn log(doors: &Doors, parts: &Parts, said: Option<&str>) -> Result<String, Problem> {
    // Which log it is for is known only when the token is.
    let grant = auth::grant_sent(doors, parts, said)?;
    let log = auth::log_of(parts, &grant);
    auth::allowed(grant, Scope::Write, Some(&log))?;
    Ok(log)
}

async fn take_item(doors: &Doors, request: Request) -> Result<Value, Problem> {
    let (held, log) = read(doors, request, |bytes| intake::rollbar::token(&document(bytes))).await?;
    let item = intake::rollbar::item(&document(&held.bytes), limits(doors), doors.engine.now());
    drop(held);
    let uuid = kept(doors, &log, item).await?;
    Ok(json!({ "err": 0, "result": { "id": null, "uuid": uuid } }))
}

async fn take_deploy(doors: &Doors, request: Request) -> Result<Value, Problem> {
    let token = |bytes: &[u8]| {
        deploy_fields(bytes).into_iter().find(|(name, _)| name == "access_token").map(|(_, token)| token)
    };
    let (held, log) = read(doors, request, token).await?;
    let item = intake::rollbar::deploy(&deploy_fields(&held.bytes), limits(doors), doors.engine.now());
    drop(held);
    let id = kept(doors, &log, item).await?;
    Ok(json!({ "data": { "deploy_id": id } }))
}

fn limits(doors: &Doors) -> Limits {
    Limits { event_bytes_max: doors.engine.settings().event_bytes_max, only_uuid_ids: false }
}

async fn kept(doors: &Doors, log: &str, item: Item) -> Result<Option<String>, Problem> {
    let Item { decoded, uuid } = item;
    let receipt = write::take(doors, log, decoded, None).await?;
    match receipt.refused.first() {
        Some(first) => {
            let readable = !matches!(first.reason.name(), "not_json" | "not_an_object");
            let status = if readable { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            Err(Problem::new(status, first.reason.name(), first.reason.to_string()))
        }
        None => Ok(uuid),
    }
}
