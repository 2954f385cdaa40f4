//! Elasticsearch's questions: its query DSL, its search bodies and its aggregations, over the same snapshots and filters.
//!
//! A body is read once into a [`Search`]: a [`Filter`](crate::filter::Filter), an order and a tree of aggregations. A
//! field is named as there: `service.keyword` is `service`, `@timestamp` the time of the event, `_id` its id. A field
//! that no event has matches nothing and is no error.

mod aggs;
mod answer;
mod buckets;
mod collect;
mod dates;
mod dsl;
mod hits;
mod lucene;
mod metrics;
mod search;
mod source;
mod sql;
mod typed;
mod values;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::QueryError;

pub use search::{Found, Search, WINDOW_MAX, counted, run};
pub use sql::{Asked, Logs, Table};
pub(crate) use values::dig;

/// Why there is no answer, as Elasticsearch says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticError {
    /// The status of the answer.
    pub status: u16,
    /// Its name in Elasticsearch, as `parsing_exception`.
    pub kind: &'static str,
    /// What is wrong, in words.
    pub reason: String,
}

impl ElasticError {
    /// 400: the body cannot be read.
    #[must_use]
    pub fn parsing(reason: impl Into<String>) -> Self {
        Self { status: 400, kind: "parsing_exception", reason: reason.into() }
    }

    /// 400: a value is not allowed.
    #[must_use]
    pub fn illegal(reason: impl Into<String>) -> Self {
        Self { status: 400, kind: "illegal_argument_exception", reason: reason.into() }
    }

    /// 400: more than a bound allows.
    #[must_use]
    pub fn too_many(kind: &'static str, reason: impl Into<String>) -> Self {
        Self { status: 400, kind, reason: reason.into() }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Value {
        let cause = json!({ "type": self.kind, "reason": self.reason });
        json!({ "error": { "root_cause": [cause], "type": self.kind, "reason": self.reason }, "status": self.status })
    }
}

impl std::fmt::Display for ElasticError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.kind, self.reason)
    }
}

impl std::error::Error for ElasticError {}

impl From<QueryError> for ElasticError {
    fn from(error: QueryError) -> Self {
        let (status, kind) = match &error {
            QueryError::TooSlow { .. } => (503, "timeout_exception"),
            QueryError::TooLarge { .. } => (429, "circuit_breaking_exception"),
            QueryError::Sql { .. } | QueryError::UnknownColumn { .. } => (400, "verification_exception"),
            QueryError::Store(_) => (503, "search_phase_execution_exception"),
            QueryError::Search { .. } | QueryError::Url(_) | QueryError::Cursor { .. } => (400, "parsing_exception"),
        };
        Self { status, kind, reason: error.to_string() }
    }
}

/// What a body is read with.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// What `now` is.
    pub now: Timestamp,
    /// The names of all keys, for patterns of fields.
    pub names: &'a [String],
}

impl<'a> Context<'a> {
    /// At a time, with the names of all keys.
    #[must_use]
    pub fn new(now: event::Timestamp, names: &'a [String]) -> Self {
        Self { now: Timestamp::from_microsecond(now.as_micros()).unwrap_or(Timestamp::UNIX_EPOCH), names }
    }

    /// Without known keys: patterns of fields find none.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now, names: &[] }
    }
}

/// Reads a query of the DSL by itself.
///
/// # Errors
/// 400 with Elasticsearch's own names.
pub fn filter(query: &Value, context: &Context<'_>) -> Result<crate::filter::Filter, ElasticError> {
    dsl::query(query, context)
}

/// The key of ours that a field names.
pub(crate) fn key_of(field: &str) -> &str {
    match field {
        "@timestamp" => "timestamp",
        "_id" => "id",
        _ => field.strip_suffix(".keyword").filter(|key| !key.is_empty()).unwrap_or(field),
    }
}

/// Whether a key holds times in a column of ours.
pub(crate) fn is_time(key: &str) -> bool {
    matches!(key, "timestamp" | "received")
}

/// A scalar of JSON as text; none for an object, an array or null.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The object behind a name in a body.
pub(crate) fn object<'v>(value: &'v Value, name: &str) -> Result<&'v serde_json::Map<String, Value>, ElasticError> {
    value.as_object().ok_or_else(|| ElasticError::parsing(format!("[{name}] must be an object")))
}
