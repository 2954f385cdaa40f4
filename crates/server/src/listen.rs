//! Listeners that speak no HTTP: syslog and GELF, over UDP, TCP and TLS.
//!
//! Nobody shows a token there, so only this machine and the networks that a setting names are listened to. What came
//! over a connection is read on only once what was read before is stored; of datagrams, what cannot be kept is counted
//! and told.

mod feed;
mod tcp;
mod udp;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use engine::Engine;
use intake::Protocol;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use self::feed::Feed;
use crate::config::Config;

/// How often a free port is looked for that both UDP and TCP can have.
const PORTS_TRIED_MAX: usize = 20;

/// How bytes travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// Where to listen. Without a transport: UDP and TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) transport: Option<Transport>,
    pub(crate) address: SocketAddr,
}

impl Place {
    /// Reads `udp://127.0.0.1:5514`, or an address alone.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (transport, address) = match text.split_once("://") {
            Some(("udp", rest)) => (Some(Transport::Udp), rest),
            Some(("tcp", rest)) => (Some(Transport::Tcp), rest),
            Some(("tls", rest)) => (Some(Transport::Tls), rest),
            Some(_) => bail!("expected udp://, tcp:// or tls:// and an address such as 127.0.0.1:5514, found {text:?}"),
            None => (None, text),
        };
        Ok(Self { transport, address: crate::config::address(address)? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Some(Transport::Udp) => "udp://",
            Some(Transport::Tcp) => "tcp://",
            Some(Transport::Tls) => "tls://",
            None => "",
        };
        write!(formatter, "{scheme}{}", self.address)
    }
}

/// Something to receive from.
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// All listeners, bound and not yet read from.
pub(crate) struct Listeners(Vec<(Protocol, Socket)>);

impl Listeners {
    /// Binds what the settings name.
    ///
    /// # Errors
    /// When an address cannot be had, or the certificate cannot be read.
    pub(crate) async fn bind(config: &Config) -> anyhow::Result<Self> {
        let mut sockets = Vec::new();
        for (protocol, places) in [(Protocol::Syslog, &config.listen_syslog), (Protocol::Gelf, &config.listen_gelf)] {
            for place in places {
                bind(*place, config, protocol, &mut sockets)
                    .await
                    .with_context(|| format!("cannot listen on {place}"))?;
            }
        }
        Ok(Self(sockets))
    }

    /// The addresses of a protocol, each once.
    pub(crate) fn addresses(&self, protocol: Protocol) -> Vec<String> {
        let mut addresses = Vec::new();
        for (_, socket) in self.0.iter().filter(|(of, _)| *of == protocol) {
            let address = match socket {
                Socket::Udp(socket) => socket.local_addr(),
                Socket::Tcp(listener, _) => listener.local_addr(),
            };
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Receives until `stop` is true; returns once what was received is stored.
    pub(crate) async fn serve(self, engine: Arc<Engine>, config: Arc<Config>, stop: watch::Receiver<bool>) {
        let feeds = [Protocol::Syslog, Protocol::Gelf]
            .map(|protocol| Arc::new(Feed::new(protocol, Arc::clone(&engine), &config, stop.clone())));
        let places = Arc::new(tokio::sync::Semaphore::new(tcp::CONNECTIONS_MAX));
        let mut tasks = JoinSet::new();
        for (protocol, socket) in self.0 {
            let feed = Arc::clone(if protocol == Protocol::Syslog { &feeds[0] } else { &feeds[1] });
            match socket {
                Socket::Udp(socket) => tasks.spawn(udp::receive(socket, feed)),
                Socket::Tcp(listener, tls) => tasks.spawn(tcp::accept(listener, tls, feed, Arc::clone(&places))),
            };
        }
        for feed in &feeds {
            tasks.spawn(Arc::clone(feed).tell());
        }
        while tasks.join_next().await.is_some() {}
    }
}

async fn bind(
    place: Place,
    config: &Config,
    protocol: Protocol,
    sockets: &mut Vec<(Protocol, Socket)>,
) -> anyhow::Result<()> {
    let Place { transport, address } = place;
    match transport {
        Some(Transport::Udp) => sockets.push((protocol, Socket::Udp(udp::bind(address)?))),
        Some(Transport::Tcp) => sockets.push((protocol, Socket::Tcp(TcpListener::bind(address).await?, None))),
        Some(Transport::Tls) => {
            let acceptor = acceptor(config)?;
            sockets.push((protocol, Socket::Tcp(TcpListener::bind(address).await?, Some(acceptor))));
        }
        None => {
            let (tcp, udp) = both(address).await?;
            sockets.extend([(protocol, Socket::Udp(udp)), (protocol, Socket::Tcp(tcp, None))]);
        }
    }
    Ok(())
}

/// The same port over TCP and UDP.
async fn both(address: SocketAddr) -> anyhow::Result<(TcpListener, UdpSocket)> {
    let mut tried = 0;
    loop {
        let tcp = TcpListener::bind(address).await?;
        tried += 1;
        match udp::bind(tcp.local_addr()?) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) if address.port() != 0 || tried >= PORTS_TRIED_MAX => return Err(error),
            Err(_) => {}
        }
    }
}

fn acceptor(config: &Config) -> anyhow::Result<TlsAcceptor> {
    let (cert, key) = (&config.syslog_tls_cert, &config.syslog_tls_key);
    if cert.as_os_str().is_empty() || key.as_os_str().is_empty() {
        bail!("tls:// needs the settings syslog_tls_cert and syslog_tls_key: files in PEM form");
    }
    Ok(TlsAcceptor::from(Arc::new(tls(cert, key)?)))
}

fn tls(cert: &Path, key: &Path) -> anyhow::Result<rustls::ServerConfig> {
    let chain =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| {
            anyhow!("syslog_tls_cert: {} holds no certificate that can be read: {error}", cert.display())
        })?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow!("syslog_tls_key: {} holds no key that can be read: {error}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    builder.with_no_client_auth().with_single_cert(chain, key).context("syslog_tls_cert and syslog_tls_key")
}
