//! Refusals as RFC 9457 problem details: one table from errors to statuses.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{AskError, ForwardError, LogError, QueryError, StorageError, WriteError};
use serde_json::{Map, Value, json};

/// Headers that a refusal keeps when it gets its body; those of CORS it keeps as well.
const KEPT: [HeaderName; 5] = [
    header::WWW_AUTHENTICATE,
    header::ALLOW,
    header::CACHE_CONTROL,
    HeaderName::from_static("x-sentry-error"),
    HeaderName::from_static("x-sentry-rate-limits"),
];

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// A stable name of the kind of problem.
    pub(crate) kind: &'static str,
    /// What happened and what to do.
    pub(crate) detail: String,
    /// Seconds after which it may be tried again.
    pub(crate) retry_after: Option<u32>,
    /// What this kind of problem tells beside the members that all have.
    pub(crate) members: Option<Box<Map<String, Value>>>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), retry_after: None, members: None }
    }

    fn retry(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!("a request failed: {error}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something failed inside Everlog; its own log says what",
        )
    }

    /// The whole answer, with the id of the request.
    pub(crate) fn rendered(&self, request_id: &str, headers: &HeaderMap) -> Response {
        let mut body = json!({
            "type": format!("urn:everlog:problem:{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or("Problem"),
            "status": self.status.as_u16(),
            "code": self.kind,
            "detail": self.detail,
            "instance": format!("urn:request:{request_id}"),
            "request_id": request_id,
        });
        for (name, value) in self.members.iter().flat_map(|members| members.iter()) {
            body[name.as_str()] = value.clone();
        }
        let mut response = (self.status, body.to_string()).into_response();
        let sent = response.headers_mut();
        sent.extend(
            headers
                .iter()
                .filter(|(name, _)| KEPT.contains(name) || name.as_str().starts_with("access-control-"))
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        sent.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            sent.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"everlog\""));
        }
        // The layer that knows the id of the request renders it.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        let detail = error.to_string();
        match error {
            WriteError::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail).retry(1),
            WriteError::DiskFull => Self::new(StatusCode::SERVICE_UNAVAILABLE, "disk_full", detail).retry(10),
            WriteError::Poisoned { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, "poisoned", detail).retry(60),
            WriteError::OverLimit { seconds } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "over_limit", detail).retry(seconds)
            }
            WriteError::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).retry(2),
        }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        let detail = error.to_string();
        match error {
            LogError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "unknown_log", detail),
            LogError::Name { .. } => Self::new(StatusCode::BAD_REQUEST, "log_name", detail),
            LogError::Setting { .. } => Self::new(StatusCode::BAD_REQUEST, "log_setting", detail),
            LogError::InFile { .. } => Self::new(StatusCode::CONFLICT, "in_file", detail),
            LogError::TooMany { .. } => Self::new(StatusCode::CONFLICT, "too_many_logs", detail),
            LogError::Write(error) => error.into(),
            LogError::Store(error) => error.into(),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full => Self::new(StatusCode::SERVICE_UNAVAILABLE, "disk_full", error.to_string()).retry(10),
            StorageError::Archive { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "archive", error.to_string()).retry(60)
            }
            StorageError::Stopped => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string()).retry(2),
            // Work on the archive names the file that is not what it was; what a question meets is told otherwise.
            StorageError::Unreadable { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", error.to_string())
            }
            other => Self::internal(&other),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let detail = error.to_string();
        match error {
            QueryError::Search { .. } => Self::new(StatusCode::BAD_REQUEST, "search", detail),
            QueryError::Url(_) => Self::new(StatusCode::BAD_REQUEST, "parameter", detail),
            QueryError::UnknownColumn { .. } => Self::new(StatusCode::BAD_REQUEST, "unknown_column", detail),
            QueryError::Cursor { .. } => Self::new(StatusCode::BAD_REQUEST, "cursor", detail),
            QueryError::Sql { .. } => Self::new(StatusCode::BAD_REQUEST, "sql", detail),
            QueryError::TooSlow { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too_slow", detail),
            QueryError::TooLarge { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too_large", detail),
            QueryError::Store(error) => error.into(),
        }
    }
}

impl From<ForwardError> for Problem {
    fn from(error: ForwardError) -> Self {
        let detail = error.to_string();
        match error {
            ForwardError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "unknown_forward", detail),
            ForwardError::Setting { .. } => Self::new(StatusCode::BAD_REQUEST, "forward_setting", detail),
            ForwardError::Write(error) => error.into(),
            ForwardError::Log(error) => error.into(),
            ForwardError::Store(error) => error.into(),
        }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Log(error) => error.into(),
            AskError::Query(error) => error.into(),
            AskError::Timeline { .. } => Self::new(StatusCode::BAD_REQUEST, "timeline", error.to_string()),
        }
    }
}

pub(crate) async fn not_found(uri: axum::http::Uri) -> Problem {
    std::future::ready(Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is nothing at {}: docs/protocol.md lists the paths", uri.path()),
    ))
    .await
}

pub(crate) async fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    std::future::ready(Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} is not possible at {}", uri.path()),
    ))
    .await
}
