//! Takes from the outbox what is due and brings it to its channels, each at its own pace.
//!
//! A channel is one task at a time, so its notices keep their order and none is sent twice at once; one that is slow or
//! away delays no other. What is not settled when the server stops is due again after the next start.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::Instant;

use super::{Channel, Delivered, Message, NotDelivered, Transport};

/// How often the outbox is looked into, should nobody say that there is something.
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// Deliveries that are taken at a time, of all channels and of one.
const TAKEN_MAX: usize = 256;
const TAKEN_OF_CHANNEL_MAX: usize = 32;

/// Channels that are served at once.
const CHANNELS_AT_ONCE: usize = 16;

/// A channel that failed is left alone at least this long, and by this loop at most that long: what goes beyond is the
/// outbox's, which knows how often it failed.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);

/// How long deliveries under way may take when the server stops.
const STOP_TIME: Duration = Duration::from_secs(3);

/// A message on its way to a channel.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// By which the outbox knows it.
    pub(crate) id: u64,
    /// Where it goes.
    pub(crate) channel: Arc<Channel>,
    /// What is sent.
    pub(crate) message: Message,
}

/// What keeps messages until they are settled. Its methods may wait for a disk.
pub(crate) trait Outbox: Send + Sync + 'static {
    /// What is due, in the order in which it is to arrive, at most `limit`, and none for the channels in `busy`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn due(&self, busy: &HashSet<String>, limit: usize) -> anyhow::Result<Vec<Job>>;

    /// Keeps what became of a job. What may still arrive is due again later, and with it all else for its channel.
    ///
    /// # Errors
    /// When it cannot be kept; then it is asked to again, before anything else goes to this channel.
    fn settled(&self, job: &Job, outcome: &Result<Delivered, NotDelivered>) -> anyhow::Result<()>;
}

/// What brings a message to a channel.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Sends it, once.
    fn deliver(
        &self,
        channel: &Channel,
        message: &Message,
    ) -> impl Future<Output = Result<Delivered, NotDelivered>> + Send;
}

impl Deliver for Transport {
    async fn deliver(&self, channel: &Channel, message: &Message) -> Result<Delivered, NotDelivered> {
        Self::deliver(self, channel, message).await
    }
}

/// What wakes and ends the work.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// Changes when something came into the outbox.
    pub(crate) posted: watch::Receiver<u64>,
    /// Becomes true when the server stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Deliveries at work.
#[derive(Debug)]
pub(crate) struct Notifying {
    runtime: tokio::runtime::Runtime,
    task: JoinHandle<()>,
}

/// Starts to deliver what the outbox has.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start<D: Deliver>(
    outbox: Arc<dyn Outbox>,
    deliver: Arc<D>,
    signals: Signals,
) -> anyhow::Result<Notifying> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(1)
        .max_blocking_threads(4)
        .thread_name("notify")
        .on_thread_start(|| engine::threads::step_back(engine::threads::QUESTIONS))
        .build()
        .context("cannot start the thread that sends notices")?;
    let task = runtime.spawn(Courier::new(outbox, deliver, signals).run());
    Ok(Notifying { runtime, task })
}

impl Notifying {
    /// Waits until deliveries under way have ended, which are the last when the server stops.
    pub(crate) async fn end(self) {
        if tokio::time::timeout(STOP_TIME, self.task).await.is_err() {
            tracing::info!("a notice that is being sent is given up, and sent again after the next start");
        }
        self.runtime.shutdown_background();
    }
}

/// Whether the server stops, or is gone.
fn is_stopping(stopping: &watch::Receiver<bool>) -> bool {
    *stopping.borrow() || stopping.has_changed().is_err()
}

/// Returns when the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    stopping.wait_for(|stopping| *stopping).await.map(drop).unwrap_or_default();
}

/// Gives each channel what is for it.
struct Courier<D> {
    outbox: Arc<dyn Outbox>,
    deliver: Arc<D>,
    signals: Signals,
    /// How long a channel that failed is left alone at least.
    rest: Duration,
    /// One for each channel that is served. How long it is to be left alone then, if it failed.
    tasks: JoinSet<Option<Duration>>,
    served: HashMap<Id, String>,
    resting: HashMap<String, Instant>,
    /// Whether the outbox could be read when it was tried last: that it cannot is said once.
    is_read: bool,
}

impl<D: Deliver> Courier<D> {
    fn new(outbox: Arc<dyn Outbox>, deliver: Arc<D>, signals: Signals) -> Self {
        let (served, resting) = (HashMap::new(), HashMap::new());
        Self { outbox, deliver, signals, rest: REST, tasks: JoinSet::new(), served, resting, is_read: true }
    }

    async fn run(mut self) {
        while !is_stopping(&self.signals.stopping) {
            self.signals.posted.mark_unchanged();
            // Until no channel is left that has something: what is due for one may stand behind all that is for another.
            while self.hand_out().await {}
            self.wait().await;
        }
        while !self.tasks.is_empty() {
            self.one_ends().await;
        }
    }

    /// Starts a task for each channel that has something due and is neither served nor resting. Whether there was one.
    async fn hand_out(&mut self) -> bool {
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let free = CHANNELS_AT_ONCE.saturating_sub(self.tasks.len());
        if free == 0 || is_stopping(&self.signals.stopping) {
            return false;
        }
        let busy: HashSet<String> = self.served.values().chain(self.resting.keys()).cloned().collect();
        let (outbox, asked) = (Arc::clone(&self.outbox), busy.clone());
        let read = tokio::task::spawn_blocking(move || outbox.due(&asked, TAKEN_MAX)).await;
        let jobs = match read.map_err(anyhow::Error::from).and_then(|jobs| jobs) {
            Ok(jobs) => jobs,
            Err(error) => {
                if std::mem::replace(&mut self.is_read, false) {
                    tracing::warn!("cannot read which notices are to be sent: {error:#}");
                }
                return false;
            }
        };
        self.is_read = true;
        let before = self.tasks.len();
        for (channel, jobs) in sorted(jobs, &busy).into_iter().take(free) {
            let round = Round {
                outbox: Arc::clone(&self.outbox),
                deliver: Arc::clone(&self.deliver),
                stopping: self.signals.stopping.clone(),
                rest: self.rest,
            };
            let id = self.tasks.spawn(round.run(jobs)).id();
            self.served.insert(id, channel);
        }
        self.tasks.len() > before
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        let rested = self.resting.values().map(|until| until.saturating_duration_since(now)).min();
        let pause = rested.map_or(LOOK_ROUND, |rested| rested.min(LOOK_ROUND));
        let Signals { posted, stopping } = &mut self.signals;
        let ended = tokio::select! {
            // When nobody is left who could post, the round looks still.
            Ok(()) = posted.changed() => None,
            () = stopped(stopping) => None,
            () = tokio::time::sleep(pause) => None,
            Some(ended) = self.tasks.join_next_with_id() => Some(ended),
        };
        if let Some(ended) = ended {
            self.ended(ended);
        }
    }

    async fn one_ends(&mut self) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<(Id, Option<Duration>), tokio::task::JoinError>) {
        let (id, rest) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!("sending a notice ended badly: {error}");
                (error.id(), Some(self.rest))
            }
        };
        if let (Some(channel), Some(rest)) = (self.served.remove(&id), rest) {
            self.resting.insert(channel, Instant::now() + rest);
        }
    }
}

/// The jobs of each channel, in the order in which the channels come.
fn sorted(jobs: Vec<Job>, busy: &HashSet<String>) -> Vec<(String, Vec<Job>)> {
    let mut channels: Vec<(String, Vec<Job>)> = Vec::new();
    for job in jobs.into_iter().filter(|job| !busy.contains(&job.channel.name)).take(TAKEN_MAX) {
        match channels.iter_mut().find(|(channel, _)| *channel == job.channel.name) {
            Some((_, jobs)) if jobs.len() < TAKEN_OF_CHANNEL_MAX => jobs.push(job),
            // These are due still, when the first have arrived.
            Some(_) => {}
            None => channels.push((job.channel.name.clone(), vec![job])),
        }
    }
    channels
}

/// What is due for one channel, one after the other.
struct Round<D> {
    outbox: Arc<dyn Outbox>,
    deliver: Arc<D>,
    stopping: watch::Receiver<bool>,
    rest: Duration,
}

impl<D: Deliver> Round<D> {
    /// Delivers until one does not arrive, which may be so for all. How long the channel is to rest then.
    async fn run(mut self, jobs: Vec<Job>) -> Option<Duration> {
        for job in jobs {
            if is_stopping(&self.stopping) {
                return None;
            }
            let outcome = self.deliver.deliver(&job.channel, &job.message).await;
            let rest = match &outcome {
                Err(failed) if !failed.permanent => Some(failed.wait.unwrap_or_default().max(self.rest).min(REST_MAX)),
                _ => None,
            };
            self.keep(job, outcome).await?;
            if rest.is_some() {
                return rest;
            }
        }
        None
    }

    /// Has the outcome kept, until it is: else what arrived would arrive again and again. `None` when the server stops.
    async fn keep(&mut self, job: Job, outcome: Result<Delivered, NotDelivered>) -> Option<()> {
        let settled = Arc::new((job, outcome));
        loop {
            let (outbox, what) = (Arc::clone(&self.outbox), Arc::clone(&settled));
            let kept = tokio::task::spawn_blocking(move || outbox.settled(&what.0, &what.1)).await;
            let Err(error) = kept.map_err(anyhow::Error::from).and_then(|kept| kept) else { return Some(()) };
            tracing::warn!("cannot keep what became of a notice: {error:#}");
            tokio::select! {
                () = tokio::time::sleep(self.rest) => {}
                () = stopped(&mut self.stopping) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
