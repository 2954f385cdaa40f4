//! SQL over the logs: read-only, bounded in time, memory and rows.

use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider as _, CatalogProviderList as _, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider,
};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::context::{SQLOptions, SessionConfig, SessionContext};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::DataFrame;
use futures::StreamExt as _;
use store::Snapshot;

use crate::QueryError;
use crate::cell::Answer;
use crate::filter::Filter;
use crate::grouping::GroupOnCodes;
use crate::known::Known;
use crate::percentile::SharedHistograms;
use crate::scan::Bounds;
use crate::suggest::suggest;
use crate::table::{LogTable, threads};

/// What one SQL question may take, beside its time.
#[derive(Clone, Copy, Debug)]
pub struct SqlLimits {
    /// Bytes of memory for all questions together, for sorting, joining and grouping.
    pub memory_bytes: usize,
    /// Rows of one answer.
    pub rows_max: usize,
}

/// The SQL engine; one for a server.
#[derive(Debug)]
pub struct Sql {
    /// All but the tables.
    state: SessionState,
    limits: SqlLimits,
}

impl Sql {
    /// Sets up memory and limits.
    ///
    /// # Errors
    /// When the engine cannot be set up.
    pub fn new(limits: SqlLimits) -> Result<Self, QueryError> {
        let runtime =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes))).build_arc();
        let config = SessionConfig::new()
            .with_information_schema(true)
            .with_target_partitions(threads())
            .with_batch_size(8192)
            .with_create_default_catalog_and_schema(false);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.map_err(|error| sql_error(&error))?)
            .with_default_features()
            .with_optimizer_rule(Arc::new(SharedHistograms::default()))
            .with_physical_optimizer_rule(Arc::new(GroupOnCodes))
            .build();
        Ok(Self { state, limits })
    }

    /// A session of its own tables.
    pub(crate) fn session(&self) -> SessionContext {
        let mut state = self.state.clone();
        let catalog = state.config_options().catalog.clone();
        let (catalogs, tables) = (MemoryCatalogProviderList::new(), MemoryCatalogProvider::new());
        // Registering refuses nothing here: the names are not taken.
        let _ = tables.register_schema(&catalog.default_schema, Arc::new(MemorySchemaProvider::new()));
        catalogs.register_catalog(catalog.default_catalog, Arc::new(tables));
        state.register_catalog_list(Arc::new(catalogs));
        SessionContext::new_with_state(state)
    }

    /// Answers an SQL question. Each log is a table under its name.
    ///
    /// # Errors
    /// When the text cannot be planned, asks for a change, or needs more than allowed.
    pub async fn ask(&self, text: &str, logs: Vec<(String, Snapshot)>, bounds: Bounds) -> Result<Answer, QueryError> {
        let session = self.session();
        let names: Vec<String> = logs.iter().map(|(name, _)| name.clone()).collect();
        for (name, snapshot) in logs {
            // Logs that the text does not name are not looked at.
            if !text.contains(&name) && !text.to_ascii_lowercase().contains("information_schema") {
                continue;
            }
            let known = Known::of(&snapshot);
            let table = LogTable::new(Arc::new(snapshot), &known, Filter::All, bounds);
            let reference = datafusion::common::TableReference::bare(name);
            session.register_table(reference, Arc::new(table)).map_err(|error| sql_error(&error))?;
        }
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame =
            session.sql_with_options(text, options).await.map_err(|error| match unknown_table(&error, &names) {
                Some(message) => QueryError::Sql { message },
                None => sql_error(&error),
            })?;
        self.collect(frame, bounds).await
    }

    /// How many rows a frame has, and a frame of the same rows: computed once, unless they are too many to be kept.
    pub(crate) async fn counted(
        &self,
        session: &SessionContext,
        frame: DataFrame,
        bounds: Bounds,
    ) -> Result<(DataFrame, u64), QueryError> {
        let mut schema = Arc::new(frame.schema().as_arrow().clone());
        let mut stream = frame.clone().execute_stream().await.map_err(|error| self.run_error(error, bounds))?;
        let (mut batches, mut rows) = (Vec::new(), 0);
        while let Some(batch) = stream.next().await {
            bounds.check()?;
            let batch = batch.map_err(|error| self.run_error(error, bounds))?;
            rows += batch.num_rows();
            if rows <= self.limits.rows_max {
                schema = batch.schema();
                batches.push(batch);
            } else {
                batches = Vec::new();
            }
        }
        let count = rows as u64;
        if rows > self.limits.rows_max {
            return Ok((frame, count));
        }
        let table = MemTable::try_new(schema, vec![batches]).map_err(|error| sql_error(&error))?;
        Ok((session.read_table(Arc::new(table)).map_err(|error| sql_error(&error))?, count))
    }

    pub(crate) async fn collect(&self, frame: DataFrame, bounds: Bounds) -> Result<Answer, QueryError> {
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let mut stream = frame.execute_stream().await.map_err(|error| self.run_error(error, bounds))?;
        let mut batches = Vec::new();
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            bounds.check()?;
            let batch = batch.map_err(|error| self.run_error(error, bounds))?;
            rows += batch.num_rows();
            if rows > self.limits.rows_max {
                return Err(QueryError::TooLarge {
                    what: "rows in the answer",
                    limit: format!("{} rows", self.limits.rows_max),
                });
            }
            batches.push(batch);
        }
        Ok(Answer::new(&schema, batches))
    }

    fn run_error(&self, error: DataFusionError, bounds: Bounds) -> QueryError {
        if bounds.check().is_err() {
            return QueryError::TooSlow { seconds: bounds.allowed.as_secs() };
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => QueryError::TooLarge {
                what: "memory",
                limit: format!("{} MiB for all questions", self.limits.memory_bytes >> 20),
            },
            _ => sql_error(&error),
        }
    }
}

/// The message without the names of the machinery.
pub(crate) fn sql_error(error: &DataFusionError) -> QueryError {
    let text = error.find_root().strip_backtrace();
    QueryError::Sql { message: plainly(&text) }
}

fn plainly(text: &str) -> String {
    let mut text = text;
    for prefix in [
        "Error during planning: ",
        "Schema error: ",
        "SQL error: ",
        "This feature is not implemented: ",
        "External error: ",
        "Arrow error: ",
        "Internal error: ",
    ] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    // What the parser says stands in quotes, as its type prints itself.
    let parser = ["ParserError(\"", "TokenizerError(\""].iter().find_map(|wrapper| text.strip_prefix(wrapper));
    if let Some(said) = parser.and_then(|rest| rest.strip_suffix("\")")) {
        return said.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\");
    }
    // The engine takes a wrong question for its own mistake. What is wrong stands behind that.
    if let Some((_, after)) = text.split_once("https://github.com/apache/datafusion/issues.") {
        text = after.trim_start();
    }
    if text.starts_with("Dot access not supported") {
        return "a column whose name has a dot is written in quotes, like \"user.id\"".to_owned();
    }
    if ["DML", "DDL", "Statement"].iter().any(|kind| text.starts_with(&format!("{kind} not supported"))) {
        return format!("{text}: only questions are answered, nothing can be changed by SQL");
    }
    text.to_owned()
}

fn unknown_table(error: &DataFusionError, names: &[String]) -> Option<String> {
    let text = error.strip_backtrace();
    let (_, rest) = text.split_once("table '")?;
    let name = rest.split_once("' not found")?.0.rsplit('.').next()?.to_owned();
    let hint = match suggest(&name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the logs are {}", names.join(", ")),
    };
    Some(format!("there is no log {name:?}: {hint}"))
}

#[cfg(test)]
mod tests {
    use super::plainly;

    #[test]
    fn errors_without_the_names_of_the_machinery() {
        for (text, said) in [
            (
                r#"SQL error: ParserError("Expected: an SQL statement, found: \"SELEC\" at Line: 1, Column: 1")"#,
                r#"Expected: an SQL statement, found: "SELEC" at Line: 1, Column: 1"#,
            ),
            (
                r#"SQL error: TokenizerError("Unterminated string literal at Line: 1, Column: 8")"#,
                "Unterminated string literal at Line: 1, Column: 8",
            ),
            (
                "Error during planning: Internal error: Function 'sum' failed.\nThis issue was likely caused by a bug in DataFusion's code. Please help us to resolve this by filing a bug report in our issue tracker: https://github.com/apache/datafusion/issues. No function matches 'sum(Utf8)'.",
                "No function matches 'sum(Utf8)'.",
            ),
            (
                "This feature is not implemented: Dot access not supported for non-string expr: Identifier(x)",
                "a column whose name has a dot is written in quotes, like \"user.id\"",
            ),
            (
                "Error during planning: DML not supported: Delete",
                "DML not supported: Delete: only questions are answered, nothing can be changed by SQL",
            ),
            ("Arrow error: Divide by zero error", "Divide by zero error"),
        ] {
            assert_eq!(plainly(text), said);
        }
    }
}
