//! Prints events to standard output as they come, for whoever has the server in a terminal.
//!
//! One thread follows the store and another writes, with a bounded row of lines between them: a terminal that is slow
//! holds up the second alone. What does not fit into the row is counted, and told when there is room again.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use engine::filter::Filter;
use engine::{Engine, LogId};
use event::Level;
use serde_json::Value;
use text::Layout;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

/// Lines that wait for the terminal, and bytes of one of them: 8 MiB at the most.
const LINES_MAX: usize = 1024;
const LINE_BYTES_MAX: usize = 8 << 10;

/// Events that are read at a time.
const STEP: usize = 256;

/// After something came, this long is waited for more of it.
const BREATH: Duration = Duration::from_millis(25);

/// How often it looks for itself, should nobody wake it.
const ROUND: Duration = Duration::from_secs(1);

/// How long what is left may take when the server stops.
const END_TIME: Duration = Duration::from_secs(1);

/// Printing at work.
#[derive(Debug)]
pub(crate) struct Console {
    over: watch::Sender<bool>,
    done: oneshot::Receiver<()>,
}

impl Console {
    /// Starts to print events of a level and above that come from now on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(engine: &Arc<Engine>, level_min: Level, stored: watch::Receiver<u64>) -> anyhow::Result<Self> {
        let (over, is_over) = watch::channel(false);
        let (sender, lines) = sync_channel(LINES_MAX);
        let (finished, done) = oneshot::channel();
        let follower = Follower {
            engine: Arc::clone(engine),
            level_min,
            begin: engine.last_sequence(),
            positions: HashMap::new(),
            row: Row { sender, left_out: 0 },
        };
        let runtime = Handle::current();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("console")
            .spawn(move || {
                engine::threads::step_back(engine::threads::QUESTIONS);
                follower.run(&runtime, stored, is_over);
            })
            .and_then(|_| thread("terminal").spawn(move || print(&lines, finished)))
            .context("cannot start the threads that print events")?;
        Ok(Self { over, done })
    }

    /// Prints what is left, if the terminal takes it soon.
    pub(crate) async fn end(self) {
        let _ = self.over.send(true);
        if tokio::time::timeout(END_TIME, self.done).await.is_err() {
            tracing::info!("events that the terminal did not take are not printed");
        }
    }
}

/// Writes lines until there are no more, or nobody reads them.
fn print(lines: &Receiver<String>, finished: oneshot::Sender<()>) {
    while let Ok(line) = lines.recv() {
        let mut out = std::io::stdout().lock();
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    let _ = finished.send(());
}

/// The lines on their way to the terminal.
struct Row {
    sender: SyncSender<String>,
    left_out: u64,
}

impl Row {
    /// Adds lines, if there is room. False when nobody reads them any more.
    fn push(&mut self, lines: String) -> bool {
        if self.left_out > 0 {
            let told = format!("… {} events were not printed: the terminal is slow\n", self.left_out);
            match self.sender.try_send(told) {
                Ok(()) => self.left_out = 0,
                Err(TrySendError::Full(_)) => {
                    self.left_out += 1;
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        match self.sender.try_send(lines) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.left_out += 1;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

struct Follower {
    engine: Arc<Engine>,
    level_min: Level,
    /// What came before is not printed.
    begin: u64,
    positions: HashMap<LogId, u64>,
    row: Row,
}

impl Follower {
    fn run(mut self, runtime: &Handle, mut stored: watch::Receiver<u64>, mut over: watch::Receiver<bool>) {
        loop {
            let is_over = *over.borrow_and_update();
            stored.mark_unchanged();
            if !self.look() || is_over {
                return;
            }
            runtime.block_on(async {
                tokio::select! {
                    Ok(()) = stored.changed() => tokio::time::sleep(BREATH).await,
                    _ = over.changed() => {}
                    () = tokio::time::sleep(ROUND) => {}
                }
            });
        }
    }

    /// Prints what came to any log. False when nobody reads it any more.
    fn look(&mut self) -> bool {
        for (id, log) in self.engine.log_numbers() {
            // One that is kept in another has its events there; a log that is gone has none.
            let mut position = self.positions.get(&id).copied().unwrap_or(self.begin);
            while let Ok(tailed) = self.engine.tail(&log, &Filter::All, position, STEP) {
                position = tailed.seen.max(position);
                if tailed.documents.is_empty() {
                    break;
                }
                if !self.print(&tailed.documents) {
                    return false;
                }
            }
            self.positions.insert(id, position);
        }
        true
    }

    fn print(&mut self, documents: &[(u64, Vec<u8>)]) -> bool {
        let labels = self.engine.labels();
        documents.iter().all(|(_, document)| {
            let Ok(event) = serde_json::from_slice::<Value>(document) else { return true };
            if text::level_of(&event) < self.level_min {
                return true;
            }
            let mut lines = String::with_capacity(128);
            Layout::Text.write(&labels, &event, &mut lines);
            if lines.len() > LINE_BYTES_MAX {
                lines.truncate(lines.floor_char_boundary(LINE_BYTES_MAX));
                lines.push_str("…\n");
            }
            self.row.push(lines)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::Row;

    /// So many lines into a row with room for three; what the terminal gets, once it reads.
    #[track_caller]
    fn check(lines: usize, expected: &[&str]) {
        let (sender, receiver) = sync_channel(3);
        let mut row = Row { sender, left_out: 0 };
        for line in 0..lines {
            assert!(row.push(format!("{line}\n")));
        }
        let mut got: Vec<String> = receiver.try_iter().collect();
        assert!(row.push("last\n".to_owned()));
        got.extend(receiver.try_iter());
        assert_eq!(got, expected);
        drop(receiver);
        assert!(!row.push("nobody\n".to_owned()));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told() {
        check(2, &["0\n", "1\n", "last\n"]);
        check(9, &["0\n", "1\n", "2\n", "… 6 events were not printed: the terminal is slow\n", "last\n"]);
    }
}
