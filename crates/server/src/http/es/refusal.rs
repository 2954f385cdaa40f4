//! Refusals in the shape of Elasticsearch.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{AskError, LogError, QueryError, StorageError};
use serde_json::{Value, json};

use crate::http::problem::Problem;

/// A refusal on its way to a client of Elasticsearch.
#[derive(Clone, Debug)]
pub(in crate::http) struct Refusal {
    pub(super) status: StatusCode,
    /// Elasticsearch's name of the kind of error; clients choose their exception by the status, people read this.
    pub(super) kind: &'static str,
    /// What happened and what to do.
    pub(super) reason: String,
    /// The index that it is about.
    pub(super) index: Option<String>,
    retry_after: Option<u32>,
}

impl Refusal {
    pub(in crate::http) fn new(status: StatusCode, kind: &'static str, reason: impl Into<String>) -> Self {
        Self { status, kind, reason: reason.into(), index: None, retry_after: None }
    }

    /// 400 of a request that means nothing.
    pub(in crate::http) fn illegal(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "illegal_argument_exception", reason)
    }

    /// 400 of a body that cannot be read.
    pub(in crate::http) fn parsing(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "parsing_exception", reason)
    }

    /// 404 of an index.
    pub(in crate::http) fn no_index(name: &str) -> Self {
        let mut refusal =
            Self::new(StatusCode::NOT_FOUND, "index_not_found_exception", format!("no such index [{name}]"));
        refusal.index = Some(name.to_owned());
        refusal
    }

    /// Whether the same may be possible in a while.
    pub(super) fn is_for_later(&self) -> bool {
        matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// What stands under `error`.
    pub(in crate::http) fn error(&self) -> Value {
        let mut cause = json!({ "type": self.kind, "reason": self.reason });
        if let Some(index) = &self.index {
            if self.status == StatusCode::NOT_FOUND {
                cause["resource.type"] = "index_or_alias".into();
                cause["resource.id"] = index.as_str().into();
            }
            cause["index_uuid"] = "_na_".into();
            cause["index"] = index.as_str().into();
        }
        let mut error = json!({ "root_cause": [cause] });
        for (name, value) in cause.as_object().into_iter().flatten() {
            error[name.as_str()] = value.clone();
        }
        error
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error(), "status": self.status.as_u16() });
        let mut response = super::json(self.status, &body);
        let sent = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            sent.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let ways = HeaderValue::from_static("Basic realm=\"security\", Bearer realm=\"security\", ApiKey");
            sent.insert(header::WWW_AUTHENTICATE, ways);
        }
        response
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let kind = match (problem.status.as_u16(), problem.kind) {
            (401 | 403, _) => "security_exception",
            (_, "unknown_log") => "index_not_found_exception",
            (_, "log_name") => "invalid_index_name_exception",
            (404, _) => "resource_not_found_exception",
            (409, _) => "illegal_state_exception",
            (413, _) => "content_too_long_exception",
            (429, _) => "es_rejected_execution_exception",
            (503, _) => "cluster_block_exception",
            (422, "too_slow") => "timeout_exception",
            (422, _) => "too_many_buckets_exception",
            (400, "sql" | "search" | "parameter" | "cursor") => "parsing_exception",
            (status, _) if status < 500 => "illegal_argument_exception",
            _ => "exception",
        };
        Self { retry_after: problem.retry_after, ..Self::new(problem.status, kind, problem.detail) }
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unknown { ref name, .. } => Self::no_index(name),
            other => Problem::from(other).into(),
        }
    }
}

impl From<AskError> for Refusal {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Log(error) => error.into(),
            other => Problem::from(other).into(),
        }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Problem::from(error).into()
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        Problem::from(error).into()
    }
}
