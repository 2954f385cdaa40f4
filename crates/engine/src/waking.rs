//! A thread that follows the store: woken when something was stored, after a breath in which more may come.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How the thread is woken and ended.
#[derive(Debug, Default)]
pub(crate) struct Waking {
    signal: Mutex<Signal>,
    wake: Condvar,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Signal {
    stored: bool,
    /// Until when it may go on at the most.
    end: Option<Instant>,
}

impl Waking {
    /// Called when something was stored.
    pub(crate) fn stored(&self) {
        self.signal.lock().stored = true;
        self.wake.notify_all();
    }

    /// Lets the thread finish what is left, for so long at the most, and waits for its end.
    pub(crate) fn end(&self, time: Duration, what: &str) {
        self.signal.lock().end = Some(Instant::now() + time);
        self.wake.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that {what} ended badly");
        }
    }

    /// Whether it must end now.
    pub(crate) fn is_over(&self) -> bool {
        self.signal.lock().end.is_some_and(|end| Instant::now() >= end)
    }

    /// Whether it is to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.signal.lock().end.is_some()
    }

    /// Waits until something was stored since the last call, or for a round, and then for a breath. False when the
    /// server stops and nothing was stored since.
    pub(crate) fn wait_for_more(&self, round: Duration, breath: Duration) -> bool {
        let mut signal = self.signal.lock();
        let until = Instant::now() + round;
        while !signal.stored && signal.end.is_none() && Instant::now() < until {
            self.wake.wait_until(&mut signal, until);
        }
        let more = std::mem::take(&mut signal.stored);
        drop(signal);
        self.wait(breath) || more
    }

    /// Waits so long. False when the server stops.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut signal = self.signal.lock();
        while signal.end.is_none() && Instant::now() < until {
            self.wake.wait_until(&mut signal, until);
        }
        signal.end.is_none()
    }
}
