//! What our own code warns of becomes an event of the stream INTERNAL, besides standing on standard error.
//!
//! It can never become a loop: what the engine writes as an event itself is left out, and so is whatever is said while
//! an event is being kept; each place in the code is heard at once, and then at most every ten seconds, with how often
//! it spoke meanwhile; and the queue is short: what finds no place in it is counted, and told once.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::Engine;
use event::{Level, Value};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How long the next message of one place in the code waits.
const PAUSE: Duration = Duration::from_secs(10);

/// Messages that may wait, most of all before there is an engine to keep them.
const WAITING_MAX: usize = 256;

/// Longest message.
const BYTES_MAX: usize = 4096;

/// Our crates. Others warn of what concerns their authors.
const OURS: [&str; 7] = ["everlog", "engine", "query", "store", "intake", "text", "event"];

/// Where the engine says what it also writes as an event, or could not write.
const WRITTEN_ALREADY: &str = "engine::internal";

/// What is said at each start, and is no trouble.
pub(crate) const SAID_AT_START: &str = "everlog::start";

thread_local! {
    /// Whether this thread is keeping a message: what it says then is not one of its own.
    static KEEPING: Cell<bool> = const { Cell::new(false) };
}

/// Something that was warned of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    level: Level,
    /// The module.
    logger: &'static str,
    text: String,
    /// How often the same place spoke since it was last heard, without this time.
    again: u64,
}

/// Hears what is traced.
#[derive(Debug)]
pub(crate) struct Collector {
    sender: SyncSender<Message>,
    /// When each place was last heard, and how often it spoke since.
    heard: Mutex<HashMap<Identifier, (Instant, u64)>>,
    dropped: Arc<AtomicU64>,
}

/// What was heard, on its way to an engine.
#[derive(Debug)]
pub(crate) struct Trouble {
    messages: Receiver<Message>,
    dropped: Arc<AtomicU64>,
}

/// A layer for the subscriber, and the end at which its messages come out.
pub(crate) fn collect() -> (Collector, Trouble) {
    let (sender, messages) = sync_channel(WAITING_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let collector = Collector { sender, heard: Mutex::default(), dropped: Arc::clone(&dropped) };
    (collector, Trouble { messages, dropped })
}

impl Collector {
    /// How often a place spoke without being heard, if it is to be heard now.
    fn is_due(&self, place: Identifier) -> Option<u64> {
        let now = Instant::now();
        let mut heard = self.heard.lock().ok()?;
        if let Some((last, unheard)) = heard.get_mut(&place) {
            if now - *last < PAUSE {
                *unheard += 1;
                return None;
            }
            let again = std::mem::take(unheard);
            *last = now;
            return Some(again);
        }
        heard.insert(place, (now, 0));
        Some(0)
    }
}

fn is_ours(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    OURS.contains(&name) && target != WRITTEN_ALREADY && target != SAID_AT_START
}

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > tracing::Level::WARN || !is_ours(metadata.target()) || KEEPING.get() {
            return;
        }
        let Some(again) = self.is_due(metadata.callsite()) else { return };
        let level = if *metadata.level() == tracing::Level::ERROR { Level::Error } else { Level::Warning };
        let mut text = Text(String::new());
        event.record(&mut text);
        let message = Message { level, logger: metadata.target(), text: text.0, again };
        if self.sender.try_send(message).is_err() {
            self.dropped.fetch_add(1 + again, Ordering::Relaxed);
        }
    }
}

/// The message of an event, and its fields behind it.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        debug_assert!(written.is_ok(), "writing into memory cannot fail");
        let end = (0..=BYTES_MAX).rev().find(|end| self.0.is_char_boundary(*end));
        self.0.truncate(end.unwrap_or(0));
    }
}

impl Trouble {
    /// Keeps what was heard, from now on and for as long as there is the engine.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn tell(self, engine: &Arc<Engine>) -> std::io::Result<()> {
        let engine = Arc::downgrade(engine);
        let work = move || {
            self.each(&mut |message| {
                let engine = engine.upgrade();
                if let Some(engine) = &engine {
                    keep(engine, message);
                }
                engine.is_some()
            });
        };
        std::thread::Builder::new().name("trouble".to_owned()).spawn(work).map(drop)
    }

    /// Hands on message after message until `take` wants no more.
    fn each(self, take: &mut dyn FnMut(&Message) -> bool) {
        while let Ok(message) = self.messages.recv() {
            KEEPING.set(true);
            let mut goes_on = take(&message);
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let text = format!("{dropped} more messages came too fast to be kept; they are on standard error");
                goes_on &= take(&Message { level: Level::Warning, logger: module_path!(), text, again: 0 });
            }
            KEEPING.set(false);
            if !goes_on {
                return;
            }
        }
    }
}

fn keep(engine: &Engine, message: &Message) {
    let mut fields = vec![("logger", Value::Str(message.logger))];
    if message.again > 0 {
        fields.push(("again", Value::Int(message.again.cast_signed())));
    }
    engine.keep_message(message.level, "trouble", &message.text, &fields);
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What is told when `speak` is heard, each message by its logger, text and count.
    fn told(speak: impl FnOnce()) -> Vec<(String, u64)> {
        let (collector, trouble) = collect();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(collector), speak);
        let mut told = Vec::new();
        trouble.each(&mut |message| {
            told.push((message.text.clone(), message.again));
            true
        });
        told
    }

    #[test]
    fn only_our_own_trouble_is_told() {
        let heard = told(|| {
            tracing::info!("all is well");
            tracing::warn!(target: "hyper::client", "theirs");
            tracing::error!(target: "engine::internal", "written already");
            tracing::error!(target: "everlog::http", file = "a", "broken: {}", 7);
            tracing::warn!(target: "store::segment", "odd");
        });
        assert_eq!(heard, [("broken: 7 file=\"a\"".to_owned(), 0), ("odd".to_owned(), 0)]);
        let long = told(|| tracing::error!(target: "everlog", "{}", "ä".repeat(BYTES_MAX)));
        assert_eq!(long[0].0.len(), BYTES_MAX);
    }

    #[test]
    fn a_place_that_repeats_itself_is_told_once() {
        let heard = told(|| (0..1000).for_each(|number| tracing::warn!(target: "everlog", "again {number}")));
        assert_eq!(heard, [("again 0".to_owned(), 0)]);
    }

    /// Whoever keeps a message and complains about it is not heard: else each complaint would make another.
    #[test]
    fn keeping_a_message_makes_no_message() {
        let (collector, trouble) = collect();
        let mut heard = Some(tracing::subscriber::set_default(tracing_subscriber::registry().with(collector)));
        tracing::error!(target: "everlog", "the first");
        let mut kept = 0;
        trouble.each(&mut |_| {
            kept += 1;
            tracing::error!(target: "store", "it cannot be kept, for the {kept}th time");
            // Nobody speaks any more: it ends once nothing waits.
            drop(heard.take());
            true
        });
        assert_eq!(kept, 1);
    }

    #[test]
    fn what_finds_no_place_is_counted_and_told_once() {
        let (collector, trouble) = collect();
        for number in 0..WAITING_MAX + 10 {
            let text = number.to_string();
            let message = Message { level: Level::Warning, logger: "everlog", text, again: 0 };
            if collector.sender.try_send(message).is_err() {
                collector.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(collector);
        let mut told = Vec::new();
        trouble.each(&mut |message| {
            told.push(message.text.clone());
            true
        });
        assert_eq!(told.len(), WAITING_MAX + 1);
        assert_eq!(told.iter().filter(|text| text.starts_with("10 more messages")).count(), 1);
    }
}
