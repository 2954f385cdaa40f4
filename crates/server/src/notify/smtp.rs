//! Sends a notice as a mail: a connection for each, to the server that the channel names.
//!
//! Recipients are asked for one by one, so that one who is gone keeps nobody else from hearing of it.

mod letter;
mod session;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::letter::Letter;
use self::session::Session;
use super::address::{self, AddressError, Guard};
use super::channel::{Mail, Security};
use super::{Channel, Delivered, MailMessage, Missed, NotDelivered, Transport, innermost};

/// How long a server may take to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(4);
/// How long the whole may take. Servers that look for viruses take a while.
const MAIL_TIME: Duration = Duration::from_secs(60);
/// Addresses of a server that are tried.
const ADDRESSES_TRIED_MAX: usize = 4;

/// What connections are encrypted with. Certificates are loaded when the first is.
#[derive(Default)]
pub(super) struct Encryption(OnceLock<Arc<ClientConfig>>);

impl Encryption {
    fn get(&self) -> Result<Arc<ClientConfig>, NotDelivered> {
        if let Some(config) = self.0.get() {
            return Ok(Arc::clone(config));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(|error| NotDelivered::later(format!("no certificates to check servers by: {error}")))?;
        Ok(Arc::clone(self.0.get_or_init(|| Arc::new(config.with_no_client_auth()))))
    }

    #[cfg(test)]
    pub(super) fn with(config: ClientConfig) -> Self {
        Self(OnceLock::from(Arc::new(config)))
    }
}

/// Why an attempt came to nothing.
enum Fault {
    /// The connection could not be encrypted.
    Encryption {
        reason: String,
        /// Whether it may go on without.
        clear: bool,
    },
    Other(NotDelivered),
}

impl From<NotDelivered> for Fault {
    fn from(failed: NotDelivered) -> Self {
        Self::Other(failed)
    }
}

/// An attempt to deliver.
struct Attempt<'a> {
    transport: &'a Transport,
    mail: &'a Mail,
    letter: &'a Letter,
    guard: Guard,
}

/// # Errors
/// When nobody got it, or it is not known whether they did.
pub(super) async fn send(
    transport: &Transport,
    channel: &Channel,
    mail: &Mail,
    message: &MailMessage,
) -> Result<Delivered, NotDelivered> {
    let letter = letter::write(mail, message)?;
    let guard = Guard { names: Arc::clone(&transport.names), allow_private: channel.allow_private };
    let attempt = Attempt { transport, mail, letter: &letter, guard };
    let late = || NotDelivered::later(format!("{} took longer than {} seconds", mail.host, MAIL_TIME.as_secs()));
    timeout(MAIL_TIME, attempt.run()).await.unwrap_or_else(|_| Err(late()))
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Delivered, NotDelivered> {
        match self.once(true).await {
            // Offered is no more than offered: a certificate that nobody can check is better left alone than no notice.
            Err(Fault::Encryption { clear: true, reason }) => self.once(false).await.map_err(|fault| match fault {
                Fault::Other(failed) => {
                    NotDelivered::later(format!("{}; and {}", failed.reason, self.unencrypted(&reason)))
                }
                Fault::Encryption { reason, .. } => NotDelivered::later(self.unencrypted(&reason)),
            }),
            Err(Fault::Encryption { reason, .. }) => Err(NotDelivered::later(self.unencrypted(&reason))),
            Err(Fault::Other(failed)) => Err(failed),
            Ok(sent) => Ok(sent),
        }
    }

    fn unencrypted(&self, reason: &str) -> String {
        let host = &self.mail.host;
        format!("the connection to {host} cannot be encrypted: {reason}; see its certificate and the address in smtp")
    }

    /// `encrypt`: whether encryption is used if it is only offered.
    async fn once(&self, encrypt: bool) -> Result<Delivered, Fault> {
        let Mail { host, security, login, .. } = self.mail;
        let (stream, peer) = self.connect().await?;
        // Inside, where the settings allow to go, a password is on the way as safe as what it protects.
        let clear_is_fine = login.is_none() || address::privacy(peer).is_some();
        let hello = hello(&stream);
        let mut session = Session::new(host, Box::new(stream));
        let fault =
            |reason: String| Fault::Encryption { reason, clear: *security == Security::Offered && clear_is_fine };
        if *security == Security::Whole {
            session = session.encrypt(self.transport.encryption.get()?).await.map_err(fault)?;
        }
        session.expect_greeting().await?;
        session.hello(&hello).await?;
        let wanted = *security == Security::Required || (*security == Security::Offered && encrypt);
        if wanted && session.offers("STARTTLS") {
            session.start_encryption().await.map_err(|failed| fault(failed.reason))?;
            session = session.encrypt(self.transport.encryption.get()?).await.map_err(fault)?;
            session.hello(&hello).await?;
        } else if *security == Security::Required {
            Err(NotDelivered::later(format!("{host} offers no STARTTLS: use smtps:// or smtp:// if that is right")))?;
        }
        if let Some((name, password)) = login {
            if !session.is_encrypted() && !clear_is_fine {
                Err(NotDelivered::never(format!(
                    "{host} offers no encryption, and the password would be there for all to read: use smtps://, or another server"
                )))?;
            }
            session.log_in(name, password.reveal()).await?;
        }
        Ok(self.transfer(session).await?)
    }

    async fn transfer(&self, mut session: Session) -> Result<Delivered, NotDelivered> {
        let letter = self.letter;
        if letter.needs_utf8 && !session.offers("SMTPUTF8") {
            let reason = "takes no addresses with letters beyond ASCII: write them as the provider of each does";
            return Err(NotDelivered::never(format!("{} {reason}", self.mail.host)));
        }
        session.from(&letter.from, letter.needs_utf8).await?;
        let mut missed = Vec::new();
        for address in &letter.to {
            if let Err(NotDelivered { permanent, reason, .. }) = session.to(address).await {
                missed.push(Missed { address: address.clone(), reason, permanent });
            }
        }
        if missed.len() == letter.to.len() {
            let reasons: Vec<&str> = missed.iter().map(|missed| missed.reason.as_str()).take(3).collect();
            let reason = format!("nobody gets it: {}; see to of the channel", reasons.join("; "));
            let permanent = missed.iter().all(|missed| missed.permanent);
            return Err(NotDelivered { permanent, reason, wait: None });
        }
        let answer = session.data(&letter.bytes).await?;
        session.quit().await;
        Ok(Delivered { answer, missed })
    }

    /// A connection to the server, and where that is.
    async fn connect(&self) -> Result<(TcpStream, IpAddr), NotDelivered> {
        let Mail { host, port, .. } = self.mail;
        let addresses =
            self.guard.addresses(host).await.map_err(|error| match error.downcast_ref::<AddressError>() {
                Some(refused @ AddressError::Private { .. }) => NotDelivered::never(refused),
                _ => NotDelivered::later(format!("{host} cannot be found: {}", innermost(&*error))),
            })?;
        let mut reason = "no answer in time".to_owned();
        for address in addresses.into_iter().take(ADDRESSES_TRIED_MAX) {
            match timeout(CONNECT_TIME, TcpStream::connect(SocketAddr::new(address, *port))).await {
                Ok(Ok(stream)) => return Ok((stream, address)),
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => {}
            }
        }
        Err(NotDelivered::later(format!("{host}:{port} cannot be reached: {reason}")))
    }
}

/// How we call ourselves: by our address, since a machine seldom knows under which name others know it.
fn hello(stream: &TcpStream) -> String {
    match stream.local_addr().map(|address| address.ip().to_canonical()) {
        Ok(IpAddr::V4(address)) => format!("[{address}]"),
        Ok(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        Err(_) => "[127.0.0.1]".to_owned(),
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Encryption").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
