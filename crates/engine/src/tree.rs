//! The tree of text files follows the store: a thread reads what came after its position, and writes it.
//!
//! Nobody waits for it, and nothing hangs on it: what it cannot write now, it writes later, from the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event::{Level, Value};
use query::filter::Filter;
use store::Belongs;
use text::{Entry, Found, Layout, Tree, TreeError, TreeSettings};
use thiserror::Error;

use crate::{AskError, DEFAULT_LOG, Engine, Settings};

/// Events read at a time at first, and at the most. In between it goes by their size.
const STEP: usize = 64;
const STEP_MAX: usize = 4096;
const STEP_BYTES: usize = 8 << 20;

/// After a batch it waits this long, so that a busy server makes large batches and not many.
const BREATH: Duration = Duration::from_millis(50);

/// How long it waits after trouble, at first and at the most.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Trouble of one kind is told again after this long at the earliest, if it was over meanwhile: what is told is written
/// to the tree too.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How often it looks whether the directory is still there, when nothing comes.
const LOOK_ROUND: Duration = Duration::from_secs(5);

/// What the file of errors is called: `sys/ERRORS_log.log`.
const ERRORS: &str = "ERRORS";

/// How often it looks for archives that are too old.
const SWEEP_ROUND: Duration = Duration::from_secs(3600);

/// How long it may go on writing when the server stops.
pub(crate) const END_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
enum Trouble {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl Trouble {
    fn kind(&self) -> String {
        match self {
            Self::Tree(error) => error.kind(),
            Self::Ask(_) => "Ask".to_owned(),
        }
    }
}

struct Follower<'a> {
    engine: &'a Engine,
    settings: TreeSettings,
    tree: Option<Tree>,
    /// How many events of a log to read next, and up to where there were none.
    steps: HashMap<String, (usize, u64)>,
    told: HashMap<String, Instant>,
    pause: Duration,
    swept: Option<Instant>,
}

impl Engine {
    /// Starts the thread that writes the tree.
    pub(crate) fn follow(self: &Arc<Self>, settings: TreeSettings) -> std::io::Result<()> {
        let engine = Arc::clone(self);
        let work = move || {
            let (steps, told) = (HashMap::new(), HashMap::new());
            Follower { engine: &engine, settings, tree: None, steps, told, pause: PAUSE, swept: None }.run();
        };
        let thread = std::thread::Builder::new().name("tree".to_owned()).spawn(work)?;
        *self.following.thread.lock() = Some(thread);
        Ok(())
    }
}

impl Follower<'_> {
    fn run(mut self) {
        let following = &self.engine.following;
        while !following.is_over() {
            match self.round() {
                Ok(true) => {}
                Ok(false) => {
                    if !following.wait_for_more(LOOK_ROUND, BREATH) {
                        break;
                    }
                }
                Err(trouble) => {
                    // Opened again, it undoes what was half written.
                    self.tree = None;
                    self.tell(&trouble);
                    let pause = self.pause;
                    self.pause = (pause * 2).min(PAUSE_MAX);
                    if !following.wait(pause) {
                        return;
                    }
                }
            }
        }
        // Once more: what was stored last is written too.
        while !following.is_over() && matches!(self.round(), Ok(true)) {}
        if let Some(tree) = self.tree.take()
            && let Err(error) = tree.close()
        {
            tracing::info!("the tree of text files may be written anew after a power failure: {error}");
        }
    }

    /// Writes a batch of each log that has something new. True when there is more.
    fn round(&mut self) -> Result<bool, Trouble> {
        if self.tree.as_ref().is_some_and(|tree| !tree.is_in_place()) {
            self.tree = None;
        }
        let mut tree = match self.tree.take() {
            Some(tree) => tree,
            None => self.open()?,
        };
        let mut more = false;
        for (id, log) in self.engine.log_numbers() {
            // One that is kept in another has its events there.
            if self.engine.log(&log).is_ok_and(|kept| kept == id) {
                more |= self.step(&mut tree, &log)?;
            }
        }
        if self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP_ROUND) {
            self.swept = Some(Instant::now());
            tree.remove_old(self.engine.now())?;
        }
        self.tree = Some(tree);
        self.pause = PAUSE;
        self.told.retain(|_, told| told.elapsed() < TOLD_AGAIN);
        Ok(more)
    }

    fn step(&mut self, tree: &mut Tree, log: &str) -> Result<bool, Trouble> {
        let position = tree.position(log);
        let (limit, seen) = self.steps.get(log).copied().unwrap_or((STEP, 0));
        let found = self.engine.accepted(log, &Filter::All, position.max(seen), (limit, STEP_BYTES))?;
        let count = found.events.len();
        if count == 0 {
            self.steps.insert(log.to_owned(), (limit, found.seen));
            return Ok(found.more);
        }
        let bytes: usize = found.events.iter().map(|event| event.document.len()).sum();
        let fitting = STEP_BYTES / (bytes / count).max(1);
        self.steps.insert(log.to_owned(), (fitting.clamp(16, (limit * 2).min(STEP_MAX)), 0));
        let labels = self.engine.labels();
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        for event in found.events {
            self.add(&labels, event.belongs, &event.document, &mut entries);
        }
        tree.write(log, log == DEFAULT_LOG, &entries, found.seen)?;
        Ok(found.more)
    }

    /// Adds what the tree has of an event: its entry in the file of its user and stream, and one in the file of errors.
    fn add(&self, labels: &text::Labels, belongs: Belongs, document: &[u8], entries: &mut Vec<Entry>) {
        let Ok(event) = serde_json::from_slice::<serde_json::Value>(document) else { return };
        let level = text::level_of(&event);
        let Settings { tree_level_min, tree_errors, .. } = &self.engine.settings;
        let is_kept = tree_level_min.is_none_or(|least| level >= least);
        let is_error = *tree_errors && level >= Level::Error;
        if !is_kept && !is_error {
            return;
        }
        let mut text = String::with_capacity(128);
        Layout::Text.write(labels, &event, &mut text);
        let Belongs { user, stream, received } = belongs;
        if is_error {
            let (user, stream) = (event::shared::SYSTEM_USER.to_owned(), ERRORS.to_owned());
            entries.push(Entry { user, stream, received, text: text.clone() });
        }
        if is_kept {
            let named = Entry::new(&event, String::new());
            let (user, stream) = (user.unwrap_or(named.user), stream.unwrap_or(named.stream));
            entries.push(Entry { user, stream, received, text });
        }
    }

    fn open(&mut self) -> Result<Tree, TreeError> {
        let last = self.engine.last_sequence();
        let origin = self.engine.log_created(DEFAULT_LOG).map(|created| created.to_string()).unwrap_or_default();
        let (tree, found) = Tree::open(self.settings.clone(), &origin, last)?;
        self.steps.clear();
        let (level, why) = match found {
            Found::Whole => return Ok(tree),
            Found::Nothing if last == 0 => return Ok(tree),
            Found::Nothing => (Level::Info, "there was none".to_owned()),
            Found::Unusable { reason } => (Level::Warning, reason),
        };
        let message = format!(
            "the tree of text files in {} is written anew from the store: {why}",
            self.settings.directory.display()
        );
        self.engine.internal(level, "tree_rebuilt", &message, &[("reason", Value::Str(&why))]);
        Ok(tree)
    }

    /// Tells of trouble: once for each kind, until it went well again.
    fn tell(&mut self, trouble: &Trouble) {
        let kind = trouble.kind();
        if self.told.insert(kind.clone(), Instant::now()).is_none() {
            let message = format!(
                "the tree of text files in {} cannot be written: {trouble}; no event is lost, and it is tried again",
                self.settings.directory.display()
            );
            self.engine.internal(Level::Error, "tree_failed", &message, &[("kind", Value::Str(&kind))]);
        }
    }
}
