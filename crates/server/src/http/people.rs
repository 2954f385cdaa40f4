//! One person's events in all logs.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use engine::{QueryError, url};

use super::openapi::{Grammar, shapes};
use super::problem::Problem;
use super::{Doors, answer, auth, read};

/// `GET /api/v1/users/{user}/events?…`: the URL grammar, in the order of time; `_log=NAME` (repeat for several) asks
/// only these logs.
#[utoipa::path(get, path = "/api/v1/users/{user}/events", tag = "read", operation_id = "user_events", summary = "One person's events in all logs",
    params(("user" = String, Path, description = "Name of the user"), ("_log" = Vec<String>, Query, description = "Only these logs"), Grammar),
    responses((status = 200, description = "A page of events, or of groups; X-Total-Count, Link and X-Next-Cursor tell of the others",
        content((Vec<shapes::Event> = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"), (String = "text/html"),
            (String = "text/plain"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(crate) async fn events(
    State(doors): State<Doors>,
    Path(user): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let mut logs = auth::readable(&doors, &parts)?;
    let query = parts.uri.query().unwrap_or("");
    let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
    let (named, pairs): (Vec<_>, Vec<_>) = pairs.partition(|(key, _)| key == "_log");
    if !named.is_empty() {
        for (_, log) in &named {
            auth::require(&doors, &parts, engine::Scope::Read, Some(log))?;
            doors.engine.log(log)?;
        }
        logs.retain(|log| named.iter().any(|(_, name)| name == log));
    }
    let question = url::parse(&pairs, jiff::Timestamp::now()).map_err(QueryError::from)?;
    if question.format == url::Format::Html {
        // A page belongs to one log; anything else sent as a page would be a stranger's markup.
        let detail = "_format=html shows one log: ask /api/v1/logs/{log}/events?user=…&_format=html; a timeline comes as json, ndjson, csv, xlsx, text, logbook or logfmt";
        return Err(Problem::bad_request(detail));
    }
    super::lines::check(&question)?;
    let engine = doors.engine.clone();
    let asked = doors.questions.read(move || {
        let mut events = engine.timeline(&user, &logs, &question)?;
        super::lines::lay_out(&engine, question.format, &mut events.documents);
        // Only where nothing was found at all: a mistyped name, most likely.
        let near = if events.documents.is_empty() && question.cursor.is_none() {
            engine.near_user(&user, &logs)?.filter(|near| *near != user)
        } else {
            None
        };
        Ok((events, question, near))
    });
    let (events, question, near) = asked.await?;
    let mut response = answer::events(events, &question, &read::next_link(parts.uri.path(), query))?;
    if let Some(near) = near {
        answer::set(response.headers_mut(), "x-everlog-hint", &format!("did you mean {near:?}?"));
    }
    Ok(response)
}
