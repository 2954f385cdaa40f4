//! Datagrams: as many as wait are taken together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use intake::{Messages, Pieces, Protocol};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

use super::feed::Feed;

/// What the system keeps for us while we are busy; it may give less.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// Largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// Most messages, and their bytes, that are handed on together.
const MESSAGES_MAX: usize = 2000;
const BYTES_MAX: usize = 4 << 20;

/// How often messages are given up whose pieces do not come, where no datagram comes either.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub(super) fn bind(address: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // The system has a limit of its own, which is no reason not to start.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into())?)
}

/// Receives until the server stops, and takes what waits then.
pub(super) async fn receive(socket: UdpSocket, feed: Arc<Feed>) {
    let mut stop = feed.stop.clone();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut pieces = Pieces::default();
    loop {
        let stopping = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => true,
            ready = socket.readable() => {
                if ready.is_err() {
                    return;
                }
                false
            }
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        while take_waiting(&socket, &feed, &mut buffer, &mut pieces) {
            // Others have to have their turn.
            tokio::task::yield_now().await;
        }
        feed.lost(pieces.take_lost(Instant::now()));
        if stopping {
            return;
        }
    }
}

/// Takes what waits, as much as is handed on together. Whether more may wait.
fn take_waiting(socket: &UdpSocket, feed: &Feed, buffer: &mut [u8], pieces: &mut Pieces) -> bool {
    let mut messages = feed.messages();
    let mut bytes = 0;
    let mut more = true;
    while messages.count() < MESSAGES_MAX && bytes < BYTES_MAX {
        match socket.try_recv_from(buffer) {
            Ok((length, sender)) => {
                bytes += length;
                if feed.admits(sender.ip()) {
                    push(&mut messages, feed, pieces, (&buffer[..length], sender));
                }
            }
            // On some systems an answer "nobody listens" to something sent before.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted) => {}
            Err(_) => {
                more = false;
                break;
            }
        }
    }
    if messages.count() > 0 {
        feed.offer(messages);
    }
    more
}

fn push(messages: &mut Messages, feed: &Feed, pieces: &mut Pieces, (datagram, sender): (&[u8], SocketAddr)) {
    let name = sender.ip().to_canonical().to_string();
    match feed.protocol {
        Protocol::Syslog => messages.push(datagram, 0, Some(&name)),
        Protocol::Gelf => {
            if let Some(message) = pieces.take(datagram, sender, Instant::now()) {
                messages.push(&message, 0, Some(&name));
            }
        }
    }
}
