//! Connections: what was read is stored before more is read, so that a sender who is too fast has to wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use intake::Protocol;
use intake::framing::{Frames, Framing};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::feed::{Feed, Received};

/// Connections at a time, of all listeners together; more wait until one ends.
pub(super) const CONNECTIONS_MAX: usize = 2000;

/// How long a handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection may be silent. Senders open a new one when they have something to say.
const SILENCE_MAX: Duration = Duration::from_secs(3600);

/// How long a line that is complete waits for lines that belong to it.
const QUIET: Duration = Duration::from_millis(200);

/// How much is read at a time.
const READ_BYTES: usize = 128 << 10;

/// When the server stops: how long nothing may come before a connection counts as read to its end, and how long it is
/// read at most.
const STOP_QUIET: Duration = Duration::from_millis(100);
const STOP_TIME_MAX: Duration = Duration::from_secs(2);

/// Takes connections until the server stops; returns once what they brought is stored.
pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, feed: Arc<Feed>, places: Arc<Semaphore>) {
    let mut stop = feed.stop.clone();
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Some((place, Ok((stream, sender)))) => begin(&mut connections, (stream, sender, place), tls.clone(), &feed),
            // Out of file handles, most likely: let some connections end before the next try.
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
    // What was connected before the stop is listened to as well.
    while let Ok(Ok((stream, sender))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { break };
        begin(&mut connections, (stream, sender, place), tls.clone(), &feed);
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn begin(
    connections: &mut JoinSet<()>,
    (stream, sender, place): (TcpStream, SocketAddr, OwnedSemaphorePermit),
    tls: Option<TlsAcceptor>,
    feed: &Arc<Feed>,
) {
    if !feed.admits(sender.ip()) {
        return;
    }
    let feed = Arc::clone(feed);
    connections.spawn(async move {
        match tls {
            None => read(stream, sender, &feed).await,
            Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => read(stream, sender, &feed).await,
                Ok(Err(error)) => tracing::info!("{sender} could not agree on TLS: {error}"),
                Err(_) => tracing::info!("{sender} took too long to agree on TLS"),
            },
        }
        drop(place);
    });
}

/// Reads one connection to its end.
async fn read(mut stream: impl AsyncRead + Unpin, sender: SocketAddr, feed: &Feed) {
    let framing = if feed.protocol == Protocol::Syslog { Framing::Syslog } else { Framing::Nul };
    let mut frames = Frames::new(framing, feed.message_bytes_max);
    let sender = sender.ip().to_canonical().to_string();
    let mut buffer = vec![0; READ_BYTES];
    let mut stop = feed.stop.clone();
    let mut stopping: Option<Instant> = None;
    let mut settled = true;
    loop {
        let patience = match stopping {
            Some(_) => STOP_QUIET,
            None if !settled => QUIET,
            None => SILENCE_MAX,
        };
        let length = tokio::select! {
            length = tokio::time::timeout(patience, stream.read(&mut buffer)) => length,
            _ = stop.wait_for(|stop| *stop), if stopping.is_none() => {
                stopping = Some(Instant::now());
                continue;
            }
        };
        let mut received = Received::default();
        let mut emit = |message: &[u8], left_out| received.push(message, left_out);
        let over = match length {
            Ok(Ok(0) | Err(_)) => true,
            Ok(Ok(length)) => {
                frames.push(&buffer[..length], &mut emit);
                settled = false;
                stopping.is_some_and(|since| since.elapsed() > STOP_TIME_MAX)
            }
            Err(_) if stopping.is_none() && !settled => {
                frames.settle(&mut emit);
                settled = true;
                false
            }
            Err(_) => true,
        };
        if over {
            frames.finish(&mut emit);
        }
        if !received.is_empty() {
            feed.store(&received, &sender).await;
        }
        if over {
            return;
        }
    }
}
