//! Sends events on to other systems, each target at its own pace.
//!
//! The targets share a few threads of their own that let everybody else go first; a target that is slow or away is one
//! task that waits. Only the batch that is being sent is in memory, and while a target fails not even that.

mod probe;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use engine::{Backoff, EVENTS_MAX, Engine, Forward, Outgoing, Parcel, Refusal, Verdict};
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, ForwardConfig};
use crate::outward::{chance, innermost};

pub(crate) use probe::probe;

/// How long a target may take to accept a connection, and to answer.
const CONNECT_TIME: Duration = Duration::from_secs(5);
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// After something came, this long is waited for more of it: a busy log makes large batches and not many.
const BREATH: Duration = Duration::from_millis(100);

/// How often a target looks for itself, should nobody wake it.
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// How long requests under way may take when the server stops.
const STOP_TIME: Duration = Duration::from_secs(3);

/// So many events in a row may be refused one by one, as whole requests, before each waits: then it is hardly the events.
const REFUSED_IN_ROW: u32 = 20;

/// Targets at work.
pub(crate) struct Forwarding {
    runtime: tokio::runtime::Runtime,
    tasks: Vec<JoinHandle<()>>,
}

/// What wakes and ends a task.
#[derive(Clone)]
pub(crate) struct Signals {
    pub(crate) stored: watch::Receiver<u64>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Starts a task for each target; `None` when there are none.
///
/// # Errors
/// When a target cannot be as it is configured.
pub(crate) fn start(
    engine: &Arc<Engine>,
    config: &Config,
    addresses: &[SocketAddr],
    signals: &Signals,
) -> anyhow::Result<Option<Forwarding>> {
    let targets = &config.forwards;
    for target in targets {
        refuse_ourselves(target, addresses).with_context(|| format!("[forward.{}]", target.settings.name))?;
    }
    let forwards = engine.configure_forwards(targets.iter().map(|target| target.settings.clone()).collect())?;
    if targets.is_empty() {
        return Ok(None);
    }
    let made = |target: &ForwardConfig| client(target).with_context(|| format!("[forward.{}]", target.settings.name));
    let clients = targets.iter().map(made).collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(1)
        .max_blocking_threads(4)
        .thread_name("forward")
        .on_thread_start(|| engine::threads::step_back(engine::threads::QUESTIONS))
        .build()
        .context("cannot start the thread that forwards events")?;
    let mut tasks = Vec::with_capacity(targets.len());
    for ((target, forward), client) in targets.iter().zip(forwards).zip(clients) {
        let courier = Courier {
            engine: Arc::clone(engine),
            forward,
            target: target.clone(),
            client,
            signals: signals.clone(),
            backoff: Backoff::default(),
            limit: EVENTS_MAX,
            refused_in_row: 0,
        };
        tasks.push(runtime.spawn(courier.run()));
    }
    Ok(Some(Forwarding { runtime, tasks }))
}

impl Forwarding {
    /// Waits until the tasks have ended, which they do when the server stops. What was not sent is sent after the next
    /// start.
    pub(crate) async fn end(self) {
        let all = futures::future::join_all(self.tasks);
        if tokio::time::timeout(STOP_TIME, all).await.is_err() {
            tracing::info!("a batch that is being forwarded is given up, and sent again after the next start");
        }
        self.runtime.shutdown_background();
    }
}

/// Events that are forwarded to ourselves would come round for ever, were it not for their ids.
fn refuse_ourselves(target: &ForwardConfig, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let (host, port) = (target.url.host_str().unwrap_or_default(), target.url.port_or_known_default());
    let host = host.trim_matches(['[', ']']);
    let address: Option<std::net::IpAddr> =
        if host == "localhost" { Some([127, 0, 0, 1].into()) } else { host.parse().ok() };
    let ours = addresses.iter().any(|own| {
        let same = |address: std::net::IpAddr| {
            address == own.ip() || (own.ip().is_unspecified() && address.is_loopback()) || address.is_unspecified()
        };
        Some(own.port()) == port && address.is_some_and(same)
    });
    if ours {
        bail!("{} is this server itself: events are there already", target.settings.shown_url);
    }
    Ok(())
}

fn client(target: &ForwardConfig) -> anyhow::Result<Client> {
    // Fails only if one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("everlog/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIME)
        .timeout(REQUEST_TIME)
        .pool_max_idle_per_host(1)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(file) = &target.ca {
        let pem = std::fs::read(file).with_context(|| format!("ca: {} cannot be read", file.display()))?;
        let found = reqwest::Certificate::from_pem_bundle(&pem);
        let found = found.with_context(|| format!("ca: {} has no certificates in PEM", file.display()))?;
        builder = builder.tls_certs_merge(found);
    } else if target.url.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    if is_near(&target.url) {
        builder = builder.no_proxy();
    }
    builder.build().context("cannot set up a client for HTTP")
}

/// The request that carries a body to a target.
fn request(client: &Client, target: &ForwardConfig, body: Vec<u8>) -> RequestBuilder {
    let kind = engine::content_type(&target.settings.target);
    client.post(target.url.clone()).headers(target.headers.clone()).header(header::CONTENT_TYPE, kind).body(body)
}

fn is_near(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Brings the events of one log to one target.
struct Courier {
    engine: Arc<Engine>,
    forward: Arc<Forward>,
    target: ForwardConfig,
    client: Client,
    signals: Signals,
    backoff: Backoff,
    /// Events sent at a time; fewer after a request that was too large.
    limit: usize,
    refused_in_row: u32,
}

/// Why a parcel is not delivered.
struct Failed {
    reason: String,
    /// How long the target asks to be left alone.
    wait: Option<Duration>,
}

impl Failed {
    fn new(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), wait: None }
    }
}

/// How far a parcel is.
struct Progress {
    parcel: Arc<Parcel>,
    /// Which of its events are still to be sent, in order.
    left: Vec<usize>,
    delivered: u64,
    refused: Vec<Refusal>,
}

impl Courier {
    async fn run(mut self) {
        while !self.is_stopping() {
            self.signals.stored.mark_unchanged();
            match self.round().await {
                Ok(true) => {}
                Ok(false) => self.wait_for_more().await,
                Err(failed) => self.wait_after(&failed).await,
            }
        }
    }

    fn is_stopping(&self) -> bool {
        *self.signals.stopping.borrow()
    }

    async fn wait_for_more(&mut self) {
        let came = tokio::select! {
            changed = tokio::time::timeout(LOOK_ROUND, self.signals.stored.changed()) => matches!(changed, Ok(Ok(()))),
            _ = self.signals.stopping.wait_for(|stopping| *stopping) => false,
        };
        if came {
            self.pause(BREATH).await;
        }
    }

    async fn wait_after(&mut self, failed: &Failed) {
        self.engine.forward_failed(&self.forward, &failed.reason);
        let pause = self.backoff.next(chance());
        self.pause(failed.wait.map_or(pause, |asked| asked.max(pause))).await;
    }

    async fn pause(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = self.signals.stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    /// Reads and delivers a batch. True when there is more at once.
    async fn round(&mut self) -> Result<bool, Failed> {
        let (engine, forward) = (Arc::clone(&self.engine), Arc::clone(&self.forward));
        let read = tokio::task::spawn_blocking(move || engine.forward_read(&forward));
        let Some(parcel) = read.await.map_err(Failed::new)?.map_err(Failed::new)? else { return Ok(false) };
        let more = parcel.more;
        if !parcel.events.is_empty() {
            let left = (0..parcel.events.len()).collect();
            let progress = Progress { parcel: Arc::new(parcel), left, delivered: 0, refused: Vec::new() };
            self.deliver(progress).await?;
        }
        Ok(more)
    }

    /// Sends a batch until all of it is settled. It is given back only as long as its settled events are those before
    /// all others: else what is there already would be sent once more.
    async fn deliver(&mut self, mut progress: Progress) -> Result<(), Failed> {
        while !progress.left.is_empty() {
            if self.is_stopping() || !self.engine.forward_goes_on(&self.forward, &progress.parcel) {
                return Ok(());
            }
            let failed = match self.send(&progress).await {
                Ok(verdict) => self.weigh(&mut progress, verdict).await,
                Err(failed) => Some(failed),
            };
            self.settle(&mut progress).await?;
            match failed {
                None => {}
                Some(failed) if progress.is_in_order() => return Err(failed),
                Some(failed) => self.wait_after(&failed).await,
            }
        }
        Ok(())
    }

    /// What the answer means for the batch. A failure when some of it is to be sent again later.
    async fn weigh(&mut self, progress: &mut Progress, verdict: Verdict) -> Option<Failed> {
        let sent = progress.left.len().min(self.limit);
        match verdict {
            Verdict::Taken { refused, again, reason } => {
                let places: Vec<usize> = progress.left.drain(..sent).collect();
                progress.delivered += (sent - refused.len() - again.len()) as u64;
                progress.refuse(refused.into_iter().map(|(at, reason)| (places[at], reason)));
                let failed =
                    (!again.is_empty()).then(|| Failed::new(format!("{} of {sent} events: {reason}", again.len())));
                progress.left.splice(..0, again.into_iter().map(|at| places[at]));
                self.refused_in_row = 0;
                if failed.is_none() {
                    self.limit = (self.limit * 2).min(EVENTS_MAX);
                    self.backoff.reset();
                    self.engine.forward_works(&self.forward);
                }
                failed
            }
            Verdict::Halve(_) if sent > 1 => {
                self.limit = sent / 2;
                None
            }
            Verdict::Halve(reason) => {
                self.refused_in_row += 1;
                let at = progress.left.remove(0);
                progress.refuse([(at, reason.clone())].into_iter());
                if self.refused_in_row > REFUSED_IN_ROW {
                    // What is wrong with so many is the target or how it is configured: they go slowly, and it is told.
                    self.wait_after(&Failed::new(reason)).await;
                }
                None
            }
            Verdict::Later(reason) => Some(Failed::new(reason)),
        }
    }

    /// Keeps what is settled of a batch.
    async fn settle(&self, progress: &mut Progress) -> Result<(), Failed> {
        let Some(up_to) = progress.settled() else { return Ok(()) };
        let done = (std::mem::take(&mut progress.delivered), std::mem::take(&mut progress.refused));
        let (engine, forward, parcel) =
            (Arc::clone(&self.engine), Arc::clone(&self.forward), Arc::clone(&progress.parcel));
        let kept = tokio::task::spawn_blocking(move || engine.forward_settled(&forward, &parcel, up_to, done));
        kept.await.map_err(Failed::new)?.map_err(Failed::new)
    }

    async fn send(&self, progress: &Progress) -> Result<Verdict, Failed> {
        let places: Vec<usize> = progress.left.iter().copied().take(self.limit).collect();
        let sent = places.len();
        let (parcel, target, gzip) =
            (Arc::clone(&progress.parcel), self.target.settings.target.clone(), self.target.gzip);
        let written = tokio::task::spawn_blocking(move || {
            let events = places.iter().map(|at| -> &Outgoing { &parcel.events[*at] });
            let body = engine::write_body(&target, events);
            if gzip { compressed(&body) } else { Ok(body) }
        });
        let body = written.await.map_err(Failed::new)?.map_err(Failed::new)?;
        let target = &self.target.settings.target;
        let mut request = request(&self.client, &self.target, body);
        if gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        let answer = request.send().await.map_err(|error| Failed::new(innermost(&error)))?;
        let (status, wait) = (answer.status().as_u16(), wait(answer.headers()));
        let body = bounded(answer).await?;
        match engine::verdict(target, status, &body, sent) {
            Verdict::Later(reason) => Err(Failed { reason, wait }),
            verdict => Ok(verdict),
        }
    }
}

impl Progress {
    fn refuse(&mut self, refused: impl Iterator<Item = (usize, String)>) {
        for (at, reason) in refused {
            let event = &self.parcel.events[at];
            self.refused.push(Refusal::new(&event.id, event.sequence, &reason));
        }
    }

    /// Up to which sequence number all is settled; `None` when nothing new is.
    fn settled(&self) -> Option<u64> {
        match self.left.first() {
            None => Some(self.parcel.seen),
            Some(first) if self.delivered > 0 || !self.refused.is_empty() => {
                Some(self.parcel.events[*first].sequence - 1)
            }
            Some(_) => None,
        }
    }

    /// Whether what is left is the end of the batch.
    fn is_in_order(&self) -> bool {
        self.left.first().is_none_or(|first| self.parcel.events.len() - first == self.left.len())
    }
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    engine::retry_after(headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()))
}

/// The answer, of which no more than a bound is read.
async fn bounded(mut answer: Response) -> Result<Bytes, Failed> {
    let mut body = BytesMut::new();
    while let Some(part) = answer.chunk().await.map_err(|error| Failed::new(innermost(&error)))? {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Failed::new(format!("the answer has more than {ANSWER_BYTES_MAX} bytes")));
        }
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_no_target_of_ours() {
        let target = |url: &str| {
            let table: toml::Table = format!("to = \"webhook\"\nurl = \"{url}\"").parse().unwrap();
            let all = toml::Table::from_iter([("hook".to_owned(), table.into())]);
            let text = toml::Table::from_iter([("forward".to_owned(), all.into())]).to_string();
            Config::parse(&text).unwrap().forwards.remove(0)
        };
        let listening = |address: &str| [address.parse().unwrap()];
        for (url, address) in [
            ("http://localhost:7171/x", "127.0.0.1:7171"),
            ("http://127.0.0.1:7171", "0.0.0.0:7171"),
            ("http://[::1]:7171", "[::]:7171"),
            ("http://10.0.0.7", "10.0.0.7:80"),
        ] {
            assert!(refuse_ourselves(&target(url), &listening(address)).is_err(), "{url} {address}");
        }
        for (url, address) in [
            ("http://localhost:7172", "127.0.0.1:7171"),
            ("http://10.0.0.8:7171", "0.0.0.0:7171"),
            ("http://es:7171", "127.0.0.1:7171"),
        ] {
            assert!(refuse_ourselves(&target(url), &listening(address)).is_ok(), "{url} {address}");
        }
    }

    #[test]
    fn a_batch_is_settled_up_to_what_is_left() {
        let event = |sequence: u64| Outgoing {
            sequence,
            id: sequence.to_string(),
            timestamp: event::Timestamp::from_micros(0),
            received: event::Timestamp::from_micros(0),
            document: b"{}".to_vec(),
        };
        let parcel = Arc::new(Parcel::new((1..=4).map(|number| event(number * 10)).collect(), 55, true));
        let mut progress = Progress { parcel, left: vec![0, 1, 2, 3], delivered: 0, refused: Vec::new() };
        assert_eq!((progress.settled(), progress.is_in_order()), (None, true));
        (progress.left, progress.delivered) = (vec![2, 3], 2);
        assert_eq!((progress.settled(), progress.is_in_order()), (Some(29), true));
        progress.left = vec![0, 3];
        assert_eq!((progress.settled(), progress.is_in_order()), (Some(9), false));
        progress.left = Vec::new();
        assert_eq!((progress.settled(), progress.is_in_order()), (Some(55), true));
    }
}
