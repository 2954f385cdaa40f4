//! From messages to stored events, for all sockets of one protocol.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::{Engine, Limits, LogError, LogId, WriteError};
use intake::{Messages, Protocol};
use ipnet::IpNet;
use jiff::tz::TimeZone;
use tokio::sync::{oneshot, watch};

use crate::config::Config;

/// How often it is told what was lost.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Pauses between two attempts to store what came over a connection.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long it is tried once the server stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Messages of one sender, one after the other.
#[derive(Default, Debug)]
pub(super) struct Received {
    bytes: Vec<u8>,
    /// Where each ends, and how many bytes of it were left out.
    ends: Vec<(usize, u64)>,
}

impl Received {
    pub(super) fn push(&mut self, message: &[u8], left_out: u64) {
        self.bytes.extend_from_slice(message);
        self.ends.push((self.bytes.len(), left_out));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.ends.iter().scan(0, |start, (end, left_out)| {
            let message = &self.bytes[*start..*end];
            *start = *end;
            Some((message, *left_out))
        })
    }
}

/// What was lost, and not told yet.
#[derive(Default, Debug)]
struct Lost {
    messages: AtomicU64,
    /// From whom nothing is taken.
    strangers: AtomicU64,
}

/// Where the sockets of one protocol put what they receive.
pub(super) struct Feed {
    pub(super) protocol: Protocol,
    pub(super) stop: watch::Receiver<bool>,
    /// Longest message that is kept whole.
    pub(super) message_bytes_max: usize,
    engine: Arc<Engine>,
    log: String,
    allow: Vec<IpNet>,
    zone: TimeZone,
    limits: Limits,
    lost: Arc<Lost>,
}

impl Feed {
    pub(super) fn new(protocol: Protocol, engine: Arc<Engine>, config: &Config, stop: watch::Receiver<bool>) -> Self {
        let (log, allow) = match protocol {
            Protocol::Syslog => (&config.syslog_log, &config.syslog_allow),
            Protocol::Gelf => (&config.gelf_log, &config.gelf_allow),
        };
        let event_bytes_max = config.engine.event_bytes_max;
        Self {
            protocol,
            stop,
            // As JSON it is longer: each quote and each backslash takes two bytes.
            message_bytes_max: if protocol == Protocol::Syslog { event_bytes_max / 2 } else { event_bytes_max },
            engine,
            log: log.clone(),
            allow: allow.clone(),
            zone: TimeZone::system(),
            limits: Limits { event_bytes_max, ..Limits::default() },
            lost: Arc::default(),
        }
    }

    /// Whether a sender is listened to; if not, it is told sooner or later.
    pub(super) fn admits(&self, sender: IpAddr) -> bool {
        let sender = sender.to_canonical();
        let admitted = sender.is_loopback() || self.allow.iter().any(|network| network.contains(&sender));
        if !admitted {
            self.lost.strangers.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    pub(super) fn messages(&self) -> Messages {
        Messages::new(self.protocol, self.limits, self.engine.now(), self.zone.clone())
    }

    pub(super) fn lost(&self, messages: u64) {
        self.lost.messages.fetch_add(messages, Ordering::Relaxed);
    }

    fn log(&self) -> Result<LogId, LogError> {
        self.engine.log_or_create(&self.log)
    }

    /// Hands over datagrams, and does not wait: their senders do not either.
    pub(super) fn offer(&self, messages: Messages) {
        let count = messages.count() as u64;
        let decoded = messages.finish();
        match self.log() {
            Ok(log) => {
                let lost = Arc::clone(&self.lost);
                let events = decoded.batch.len() as u64;
                self.engine.accept(log, decoded, None, move |result| {
                    if result.is_err() {
                        lost.messages.fetch_add(events, Ordering::Relaxed);
                    }
                });
            }
            Err(_) => self.lost(count),
        }
    }

    /// Stores what came over a connection. Returns once it is durable, however long that takes, unless the server stops.
    pub(super) async fn store(&self, received: &Received, sender: &str) {
        let mut pause = PAUSE_MIN;
        let mut stopping = None;
        while let Err(error) = self.try_store(received, sender).await {
            let since = *stopping.get_or_insert_with(Instant::now);
            if !*self.stop.borrow() {
                stopping = None;
            } else if since.elapsed() > STOP_TIME_MAX {
                tracing::warn!(
                    "{} messages of {sender} could not be stored before the stop: {error}",
                    received.ends.len()
                );
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn try_store(&self, received: &Received, sender: &str) -> Result<(), String> {
        let log = self.log().map_err(|error| error.to_string())?;
        let mut messages = self.messages();
        for (message, left_out) in received.each() {
            messages.push(message, left_out, Some(sender));
        }
        let (done, stored) = oneshot::channel::<Result<_, WriteError>>();
        self.engine.accept(log, messages.finish(), None, move |result| drop(done.send(result)));
        match stored.await {
            Ok(result) => result.map(drop).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Tells from time to time what was lost, until the server stops.
    pub(super) async fn tell(self: Arc<Self>) {
        let mut stop = self.stop.clone();
        loop {
            let stopped = tokio::select! {
                () = tokio::time::sleep(TELL_EVERY) => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            self.tell_now();
            if stopped {
                return;
            }
        }
    }

    fn tell_now(&self) {
        let name = if self.protocol == Protocol::Syslog { "syslog" } else { "gelf" };
        let messages = self.lost.messages.swap(0, Ordering::Relaxed);
        if messages > 0 {
            tracing::warn!(
                "{messages} {name} datagrams could not be kept: more came than could be written, or not all pieces of them; TCP waits instead"
            );
        }
        let strangers = self.lost.strangers.swap(0, Ordering::Relaxed);
        if strangers > 0 {
            tracing::warn!(
                "{strangers} {name} datagrams or connections came from addresses that are not listened to: name their networks in {name}_allow"
            );
        }
    }
}
