//! Issues: lists, one of them with its occurrences, decisions about it; deploys.

use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use engine::{Engine, Grant, ISSUES_MAX, IssueChange, IssueError, IssuesAsked, Scope};
use event::{Level, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, auth, body, write};

/// Issues, and occurrences, of one page if nobody says how many.
const LIMIT: usize = 100;
const OCCURRENCES: usize = 10;

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        let detail = error.to_string();
        match error {
            IssueError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "unknown_issue", detail),
            IssueError::Refused(_) => Self::new(StatusCode::BAD_REQUEST, "issue", detail),
            IssueError::Merge(_) => Self::new(StatusCode::CONFLICT, "merge", detail),
            IssueError::Log(error) => error.into(),
            IssueError::Write(error) => error.into(),
            IssueError::Ask(error) => error.into(),
            IssueError::Store(error) => error.into(),
        }
    }
}

/// The parameters of a request, each at most once but for those that may be several.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(parts: &Parts, known: &[&str]) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or("").as_bytes();
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query).into_owned().collect();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let hint = engine::suggest(name, known.iter().copied())
                .map_or_else(|| format!("there are {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
            return Err(Problem::bad_request(format!("unknown parameter {name:?}: {hint}")));
        }
        Ok(Self(pairs))
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.one(name) else { return Ok(default) };
        text.parse()
            .ok()
            .filter(|number| *number <= most)
            .ok_or_else(|| Problem::bad_request(format!("{name} is a whole number up to {most}, found {text:?}")))
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.one(name) {
            None => Ok(default),
            Some("y" | "yes" | "true" | "1") => Ok(true),
            Some("n" | "no" | "false" | "0") => Ok(false),
            Some(other) => Err(Problem::bad_request(format!("{name} is y or n, found {other:?}"))),
        }
    }
}

/// Does something that may wait for the disk beside the threads that serve requests.
pub(super) async fn beside<T: Send + 'static, E: Into<Problem> + Send + 'static>(
    doors: &Doors,
    work: impl FnOnce(&Engine) -> Result<T, E> + Send + 'static,
) -> Result<T, Problem> {
    let engine = doors.engine.clone();
    let done = tokio::task::spawn_blocking(move || work(&engine)).await.map_err(|error| Problem::internal(&error))?;
    done.map_err(Into::into)
}

/// The body of a request as JSON; nothing is an empty object.
pub(super) async fn sent<T: DeserializeOwned>(
    doors: &Doors,
    parts: &Parts,
    body: axum::body::Body,
) -> Result<T, Problem> {
    let held = body::read(doors, &parts.headers, body).await?;
    let bytes: &[u8] = if held.bytes.trim_ascii().is_empty() { b"{}" } else { &held.bytes };
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::bad_request(format!("the body is not what is expected here: {error}")))
}

/// Who may see an issue; with `change`, who may decide about it, which a key that only sends events may not.
async fn may(doors: &Doors, parts: &Parts, id: &str, change: bool) -> Result<Grant, Problem> {
    auth::grant(doors, parts)?;
    let asked = id.to_owned();
    let log = beside(doors, move |engine| engine.issue_log(&asked)).await?;
    let grant = auth::require(doors, parts, Scope::Read, Some(&log))?;
    if change { auth::require(doors, parts, Scope::Write, Some(&log)) } else { Ok(grant) }
}

/// What the parameters of a list ask for.
fn asked(parameters: &Parameters) -> Result<IssuesAsked, Problem> {
    let states = ["open", "regressed", "resolved", "ignored"];
    let mut asked = IssuesAsked { text: parameters.one("q").map(str::to_owned), ..IssuesAsked::default() };
    for state in parameters.0.iter().filter(|(name, _)| name == "state").flat_map(|(_, value)| value.split(',')) {
        if !states.contains(&state) {
            return Err(Problem::bad_request(format!("state is one of {}, found {state:?}", states.join(", "))));
        }
        asked.states.push(state.to_owned());
    }
    if let Some(text) = parameters.one("level") {
        let level = Level::parse(text);
        asked.level_min = Some(level.ok_or_else(|| {
            Problem::bad_request(format!(
                "level is trace, debug, info, notice, warning, error or critical, found {text:?}"
            ))
        })?);
    }
    if let Some(text) = parameters.one("since") {
        let time = Timestamp::parse(text).map(|(time, _)| time);
        asked.since = Some(time.ok_or_else(|| {
            Problem::bad_request(format!("since is a moment such as 2026-01-02T03:04:05Z, found {text:?}"))
        })?);
    }
    asked.page = (parameters.number("offset", 0, 1_000_000_000)?, parameters.number("limit", LIMIT, ISSUES_MAX)?);
    Ok(asked)
}

/// `GET /api/v1/logs/{log}/issues`: those seen last first.
#[utoipa::path(get, path = "/api/v1/logs/{log}/issues", tag = "issues", operation_id = "issues", summary = "List the issues of a log",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log"),
        ("state" = Option<String>, Query, description = "Only those in this state: open, regressed, resolved, ignored; several are separated by commas", example = "open,regressed"),
        ("level" = Option<String>, Query, description = "Only those of this level or above", example = "error"),
        ("since" = Option<String>, Query, description = "Only those last seen at this moment or later"),
        ("q" = Option<String>, Query, description = "Only those whose title or culprit holds this text"),
        ("limit" = Option<usize>, Query, description = "How many, up to 1000"), ("offset" = Option<usize>, Query, description = "How many to leave out")),
    responses((status = 200, description = "The issues; X-Total-Count has how many there are in all", body = Vec<shapes::Issue>)))]
pub(crate) async fn list(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, Some(&log))?;
    let asked = asked(&Parameters::of(&parts, &["state", "level", "since", "q", "limit", "offset"])?)?;
    let (issues, total) = beside(&doors, move |engine| engine.issues(&log, &asked)).await?;
    let mut response = Json(Value::Array(issues)).into_response();
    response.headers_mut().insert("x-total-count", HeaderValue::from(total));
    Ok(response)
}

/// `GET /api/v1/issues/{id}`.
#[utoipa::path(get, path = "/api/v1/issues/{id}", tag = "issues", operation_id = "issue", summary = "One issue, with its hours",
    params(("id" = String, Path, description = "Number of an issue", example = "1")),
    responses((status = 200, description = "The issue", body = shapes::WholeIssue)))]
pub(crate) async fn one(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    may(&doors, &parts, &id, false).await?;
    Ok(Json(beside(&doors, move |engine| engine.issue(&id)).await?))
}

/// `PATCH /api/v1/issues/{id}`: what somebody decided.
#[utoipa::path(patch, path = "/api/v1/issues/{id}", tag = "issues", operation_id = "change_issue", summary = "Resolve an issue, ignore it, open it again, assign it",
    params(("id" = String, Path, description = "Number of an issue", example = "1")),
    request_body(content = shapes::IssueChange, example = json!({ "state": "resolved", "in_release": "1.1", "why": "mended in #17" })),
    responses((status = 200, description = "The issue as it is now", body = shapes::WholeIssue)))]
pub(crate) async fn change(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, body) = request.into_parts();
    let by = may(&doors, &parts, &id, true).await?;
    let change: IssueChange = sent(&doors, &parts, body).await?;
    Ok(Json(beside(&doors, move |engine| engine.change_issue(&id, &change, &by)).await?))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct MergeBody {
    /// Number of the issue that goes into this one.
    with: String,
    /// Why.
    #[serde(default)]
    why: String,
}

/// `POST /api/v1/issues/{id}/merge`.
#[utoipa::path(post, path = "/api/v1/issues/{id}/merge", tag = "issues", operation_id = "merge_issues", summary = "Make one issue of two",
    params(("id" = String, Path, description = "Number of the issue that stays", example = "1")),
    request_body(content = MergeBody, example = json!({ "with": "2", "why": "one cause" })),
    responses((status = 200, description = "The issue as it is now", body = shapes::WholeIssue)))]
pub(crate) async fn merge(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, body) = request.into_parts();
    let by = may(&doors, &parts, &id, true).await?;
    let MergeBody { with, why } = sent(&doors, &parts, body).await?;
    may(&doors, &parts, &with, true).await?;
    Ok(Json(beside(&doors, move |engine| engine.merge_issues(&id, &with, &why, &by)).await?))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SplitBody {
    /// The fingerprints that are to be an issue of their own.
    fingerprints: Vec<String>,
    /// Why.
    #[serde(default)]
    why: String,
}

/// `POST /api/v1/issues/{id}/split`.
#[utoipa::path(post, path = "/api/v1/issues/{id}/split", tag = "issues", operation_id = "split_issue", summary = "Make an issue of its own of some fingerprints",
    params(("id" = String, Path, description = "Number of the issue that stays", example = "1")),
    request_body(content = SplitBody, example = json!({ "fingerprints": ["1-0123456789abcdef0123456789abcdef"], "why": "two causes" })),
    responses((status = 200, description = "The issue that was made", body = shapes::WholeIssue)))]
pub(crate) async fn split(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, body) = request.into_parts();
    let by = may(&doors, &parts, &id, true).await?;
    let SplitBody { fingerprints, why } = sent(&doors, &parts, body).await?;
    Ok(Json(beside(&doors, move |engine| engine.split_issue(&id, &fingerprints, &why, &by)).await?))
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct UndoBody {
    /// Why.
    #[serde(default)]
    why: String,
}

/// `POST /api/v1/issues/{id}/undo`: the last merge or split.
#[utoipa::path(post, path = "/api/v1/issues/{id}/undo", tag = "issues", operation_id = "undo_issue", summary = "Undo the last merge or split",
    params(("id" = String, Path, description = "Number of an issue", example = "1")), request_body(content = Option<UndoBody>),
    responses((status = 200, description = "The issue as it is now", body = shapes::WholeIssue)))]
pub(crate) async fn undo(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, body) = request.into_parts();
    let by = may(&doors, &parts, &id, true).await?;
    let UndoBody { why } = sent(&doors, &parts, body).await?;
    Ok(Json(beside(&doors, move |engine| engine.undo_issue(&id, &why, &by)).await?))
}

/// `GET /api/v1/issues/{id}/occurrences`: those that are kept, the newest first, with what led to each.
#[utoipa::path(get, path = "/api/v1/issues/{id}/occurrences", tag = "issues", operation_id = "occurrences", summary = "Occurrences of an issue, with what led to them",
    params(("id" = String, Path, description = "Number of an issue", example = "1"),
        ("limit" = Option<usize>, Query, description = "How many, up to 100"), ("cursor" = Option<String>, Query, description = "X-Next-Cursor of the page before"),
        ("trail" = Option<String>, Query, description = "`n`: without the events before each", example = "y")),
    responses((status = 200, description = "The occurrences; X-Total-Count has how many are kept", body = Vec<shapes::Occurrence>)))]
pub(crate) async fn occurrences(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    may(&doors, &parts, &id, false).await?;
    let parameters = Parameters::of(&parts, &["limit", "cursor", "trail"])?;
    let limit = parameters.number("limit", OCCURRENCES, 100)?.max(1);
    let (trail, cursor) = (parameters.flag("trail", true)?, parameters.one("cursor").map(str::to_owned));
    let found = beside(&doors, move |engine| engine.occurrences(&id, (limit, cursor.as_deref()), trail)).await?;
    let mut response = Json(Value::Array(found.occurrences)).into_response();
    response.headers_mut().insert("x-total-count", HeaderValue::from(found.kept));
    if let Some(next) = found.next.and_then(|next| HeaderValue::from_str(&next).ok()) {
        response.headers_mut().insert("x-next-cursor", next);
    }
    Ok(response)
}

/// `GET /api/v1/issues/{id}/explain`: what made the fingerprint.
#[utoipa::path(get, path = "/api/v1/issues/{id}/explain", tag = "issues", operation_id = "explain_issue", summary = "Why these occurrences are one issue",
    params(("id" = String, Path, description = "Number of an issue", example = "1")),
    responses((status = 200, description = "The parts of each fingerprint", body = shapes::Explained)))]
pub(crate) async fn explain(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    may(&doors, &parts, &id, false).await?;
    Ok(Json(beside(&doors, move |engine| engine.explain_issue(&id)).await?))
}

/// `GET /api/v1/issues/{id}/report`: as Markdown, or as JSON.
#[utoipa::path(get, path = "/api/v1/issues/{id}/report", tag = "issues", operation_id = "issue_report", summary = "An issue with its latest occurrence and what led to it, to paste into a ticket",
    params(("id" = String, Path, description = "Number of an issue", example = "1"),
        ("format" = Option<String>, Query, description = "`markdown` or `json`", example = "markdown")),
    responses((status = 200, description = "The report", content((String = "text/markdown"), (shapes::Report = "application/json")))))]
pub(crate) async fn report(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    may(&doors, &parts, &id, false).await?;
    let parameters = Parameters::of(&parts, &["format"])?;
    match parameters.one("format") {
        None | Some("markdown" | "md") => {
            let report = beside(&doors, move |engine| engine.issue_report(&id)).await?;
            Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], report).into_response())
        }
        Some("json") => {
            let report = beside(&doors, move |engine| {
                let occurrences = engine.occurrences(&id, (1, None), true)?.occurrences;
                Ok::<_, IssueError>(
                    json!({ "issue": engine.issue(&id)?, "occurrence": occurrences.into_iter().next() }),
                )
            });
            Ok(Json(report.await?).into_response())
        }
        Some(other) => Err(Problem::bad_request(format!("format is markdown or json, found {other:?}"))),
    }
}

/// What the page with the list is asked for.
pub(super) struct PageAsked {
    pub(super) asked: IssuesAsked,
    pub(super) log: Option<String>,
}

/// The same parameters as those of a log; without a state, those that are open.
///
/// # Errors
/// For a parameter that there is not, and one that cannot be read.
pub(super) fn page_asked(parts: &Parts) -> Result<PageAsked, Problem> {
    let parameters = Parameters::of(parts, &["state", "log", "level", "since", "q", "limit", "offset"])?;
    let mut asked = asked(&parameters)?;
    if asked.states.is_empty() {
        asked.states = vec!["open".to_owned(), "regressed".to_owned()];
    }
    Ok(PageAsked { asked, log: parameters.one("log").map(str::to_owned) })
}

/// `GET /issues`: those of the logs that the sender may read, as a page.
#[utoipa::path(get, path = "/issues", tag = "issues", operation_id = "issues_page", summary = "The issues of all logs, as a page",
    params(("log" = Option<String>, Query, description = "Only those of this log"),
        ("state" = Option<String>, Query, description = "Only those in these states, separated by commas; those that are open without it", example = "open,regressed"),
        ("level" = Option<String>, Query, description = "Only those of this level or above", example = "error"),
        ("since" = Option<String>, Query, description = "Only those last seen at this moment or later"),
        ("q" = Option<String>, Query, description = "Only those whose title or culprit holds this text"),
        ("limit" = Option<usize>, Query, description = "How many, up to 1000"), ("offset" = Option<usize>, Query, description = "How many to leave out")),
    responses((status = 200, description = "A page", body = String, content_type = "text/html")))]
pub(crate) async fn page(State(doors): State<Doors>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    super::page::issues(&doors, &parts).await
}

/// The same door as some people write it.
pub(super) fn with_slash() -> Router<Doors> {
    let leads_on = async |uri: Uri| {
        super::page::moved(&uri.query().map_or("/issues".to_owned(), |query| format!("/issues?{query}")))
    };
    Router::new().route("/issues/", axum::routing::get(leads_on))
}

/// `GET /issues/{id}`: where the links of notices lead.
#[utoipa::path(get, path = "/issues/{id}", tag = "issues", operation_id = "issue_page", summary = "One issue, as a page",
    params(("id" = String, Path, description = "Number of an issue", example = "1")),
    responses((status = 200, description = "A page", body = String, content_type = "text/html")))]
pub(crate) async fn page_of_one(State(doors): State<Doors>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    super::page::issue(&doors, &parts, &id).await
}

/// How far the clock of who deploys may be ahead.
const DEPLOY_AHEAD_MICROS: i64 = 3_600_000_000;

/// A deploy as it is told.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DeployBody {
    /// What was deployed: a version, a commit.
    release: String,
    /// Where.
    environment: Option<String>,
    /// Who did it.
    user: Option<String>,
    /// What they say about it.
    comment: Option<String>,
    /// When; now if nothing is said.
    timestamp: Option<String>,
}

/// `POST /api/v1/logs/{log}/deploys`: a release came into use. It is an event, `deploy`, like any other.
#[utoipa::path(post, path = "/api/v1/logs/{log}/deploys", tag = "issues", operation_id = "deploy", summary = "Tell of a deploy",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log")),
    request_body(content = DeployBody, example = json!({ "release": "1.1", "environment": "production" })),
    responses((status = 200, description = "It is kept", body = shapes::Receipt)))]
pub(crate) async fn deploy(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    auth::require(&doors, &parts, Scope::Write, Some(&log))?;
    let told: DeployBody = sent(&doors, &parts, body).await?;
    if told.release.trim().is_empty() {
        return Err(Problem::bad_request("release is empty: name what was deployed, a version or a commit"));
    }
    let ahead = told.timestamp.as_deref().and_then(Timestamp::parse).map(|(time, _)| time);
    let last = doors.engine.now().as_micros().saturating_add(DEPLOY_AHEAD_MICROS);
    if let Some(time) = ahead.filter(|time| time.as_micros() > last) {
        return Err(Problem::bad_request(format!(
            "timestamp is {time}, more than an hour from now: tell of a deploy when it is made"
        )));
    }
    let mut event = json!({ "event": "deploy", "level": "notice", "release": told.release });
    let comment = told.comment.unwrap_or_else(|| format!("{} was deployed", told.release));
    for (key, value) in [
        ("environment", told.environment),
        ("user", told.user),
        ("timestamp", told.timestamp),
        ("message", Some(comment)),
    ] {
        if let Some(value) = value {
            event[key] = value.into();
        }
    }
    write::keep_one(&doors, &log, &event).await
}

/// `GET /api/v1/logs/{log}/deploys`: the latest first.
#[utoipa::path(get, path = "/api/v1/logs/{log}/deploys", tag = "issues", operation_id = "deploys", summary = "List the deploys of a log",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log")),
    responses((status = 200, description = "The deploys", body = Vec<shapes::Deploy>)))]
pub(crate) async fn deploys(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, Some(&log))?;
    Ok(Json(beside(&doors, move |engine| engine.deploys(&log)).await?.into()))
}

/// `POST /api/v1/logs/{log}/configuration-errors`: a wrong setting, which is mailed to whom it concerns and is no issue.
#[utoipa::path(post, path = "/api/v1/logs/{log}/configuration-errors", tag = "issues", operation_id = "configuration_error", summary = "Tell of a wrong setting",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log")),
    request_body(content = shapes::ConfigurationError, example = json!({ "message": "'ward_id' configuration is missing", "object": "dashboardwidget:12", "url": "/dash/12", "config_field": "ward_id" })),
    responses((status = 200, description = "It is kept", body = shapes::Receipt)))]
pub(crate) async fn configuration_error(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    auth::require(&doors, &parts, Scope::Write, Some(&log))?;
    let mut told: Map<String, Value> = sent(&doors, &parts, body).await?;
    if told.get("message").and_then(Value::as_str).is_none_or(|message| message.trim().is_empty()) {
        return Err(Problem::bad_request("message is missing: say what is wrong with the setting"));
    }
    if let Some(object) = told.get_mut("object") {
        *object = named(object).into();
    }
    told.insert("event".to_owned(), "configuration_error".into());
    told.entry("level").or_insert_with(|| "error".into());
    write::keep_one(&doors, &log, &Value::Object(told)).await
}

/// The name of an object: `dashboardwidget:12`, also of `{"type": "dashboardwidget", "id": 12}`.
fn named(object: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (object.get("type"), object.get("id")) {
        (Some(kind), Some(id)) => format!("{}:{}", text(kind), text(id)),
        _ => text(object),
    }
}
