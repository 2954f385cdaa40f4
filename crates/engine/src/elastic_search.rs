//! Elasticsearch's searches, over the logs that it calls indices.

use std::collections::BTreeSet;

use query::Known;
use query::elastic::{Asked, Context, ElasticError, Found, Logs, Search, Table, filter as elastic_filter, run};
use store::Snapshot;

use crate::{AskError, Engine};

impl Engine {
    /// Answers a search over logs. `read` makes it of what it is told: the time, and, where `with_names` asks for them, all keys
    /// of the logs.
    ///
    /// # Errors
    /// When a log is not known. What is wrong with the search itself is in Elasticsearch's words.
    pub fn search_as_elastic(
        &self,
        logs: &[String],
        with_names: bool,
        read: impl FnOnce(&Context<'_>) -> Result<Search, ElasticError>,
    ) -> Result<Result<Found, ElasticError>, AskError> {
        let mut asked: Vec<(String, Snapshot)> = Vec::with_capacity(logs.len());
        for log in logs {
            asked.push((log.clone(), self.asked(log, false)?.snapshot));
        }
        let mut names: BTreeSet<String> = BTreeSet::new();
        if with_names {
            for (_, snapshot) in &asked {
                names.extend(Known::of(snapshot).names().map(str::to_owned));
            }
        }
        let names: Vec<String> = names.into_iter().collect();
        let context = Context::new(self.clock.now(), &names);
        Ok(read(&context).and_then(|search| run(&search, &asked, &self.bounds())))
    }
}

/// The logs that may be asked, opened when a statement names them.
struct Readable<'e> {
    engine: &'e Engine,
    logs: &'e [String],
}

impl Logs for Readable<'_> {
    fn names(&self) -> Vec<String> {
        self.logs.to_vec()
    }

    fn open(&self, name: &str) -> Result<Snapshot, ElasticError> {
        let asked = self.engine.asked(name, false);
        Ok(asked.map_err(|error| ElasticError::parsing(error.to_string()))?.snapshot)
    }
}

impl Engine {
    /// Answers a statement of Elasticsearch's SQL; each of `logs` is a table. `filter` is a query of its DSL.
    ///
    /// # Errors
    /// None of its own: what is wrong is in Elasticsearch's words.
    pub async fn sql_as_elastic(
        &self,
        mut asked: Asked,
        filter: Option<&serde_json::Value>,
        logs: &[String],
    ) -> Result<Result<Table, ElasticError>, AskError> {
        if let Some(filter) = filter {
            match elastic_filter(filter, &Context::new(self.clock.now(), &[])) {
                Ok(filter) => asked.filter = filter,
                Err(error) => return Ok(Err(error)),
            }
        }
        let readable = Readable { engine: self, logs };
        Ok(self.sql.ask_as_elastic(&asked, &readable, self.bounds()).await)
    }
}
