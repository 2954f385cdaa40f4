//! An engine in a temporary directory.

use std::sync::Arc;
use std::time::Duration;

use engine::url::{Question, parse};
use engine::{Engine, Events, Limits, Receipt, Settings, WriteError};
use event::SystemClock;

pub(crate) struct Fixture {
    pub(crate) engine: Arc<Engine>,
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(&directory, Settings::default());
        Self { engine, directory }
    }

    /// With little memory for questions.
    pub(crate) fn small_memory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(&directory, Settings { query_memory_bytes: 4 << 20, ..Settings::default() });
        Self { engine, directory }
    }

    /// Stops the engine and starts it again.
    pub(crate) fn restart(self) -> Self {
        self.engine.close().unwrap();
        drop(self.engine);
        Self { engine: open(&self.directory, Settings::default()), directory: self.directory }
    }

    pub(crate) fn send(&self, log: &str, body: &str) -> Receipt {
        self.try_send(log, body).unwrap()
    }

    pub(crate) fn try_send(&self, log: &str, body: &str) -> Result<Receipt, WriteError> {
        let log = self.engine.log_or_create(log).unwrap();
        let decoded = intake::native(body.as_bytes(), Limits::default(), self.engine.now());
        let (sender, receiver) = std::sync::mpsc::channel();
        self.engine.accept(log, decoded, None, move |result| sender.send(result).unwrap());
        receiver.recv().unwrap()
    }

    pub(crate) fn ask(&self, log: &str, question: &Question) -> Events {
        self.engine.events(log, question).unwrap()
    }

    /// Asks by the URL grammar.
    pub(crate) fn url(&self, log: &str, query: &str) -> Events {
        self.ask(log, &question(query))
    }
}

fn open(directory: &tempfile::TempDir, settings: Settings) -> Arc<Engine> {
    // Nothing is flushed but when a test says so.
    let settings = Settings { flush_after: Duration::from_secs(3600), ..settings };
    Engine::open(directory.path(), settings, Arc::new(SystemClock)).unwrap().0
}

/// The question in a query string that is not percent-encoded.
pub(crate) fn question(query: &str) -> Question {
    let pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            pair.split_once('=')
                .map_or((pair.to_owned(), String::new()), |(key, value)| (key.to_owned(), value.to_owned()))
        })
        .collect();
    parse(&pairs, jiff::Timestamp::now()).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// The ids of events, in order.
pub(crate) fn ids(events: &Events) -> Vec<String> {
    events
        .documents
        .iter()
        .map(|document| {
            serde_json::from_slice::<serde_json::Value>(document).unwrap()["id"].as_str().unwrap_or("").to_owned()
        })
        .collect()
}

/// Runs a question that needs a runtime.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}
