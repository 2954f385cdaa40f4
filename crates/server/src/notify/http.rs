//! Sends a notice as a request: to Slack, Teams, Discord, Telegram, or whatever takes one.

mod verdict;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, Url};

use super::address::{self, AddressError, Guard};
use super::{Channel, Delivered, HttpMessage, Kind, Names, NotDelivered, Transport, innermost};

/// How long a target may take to accept a connection, and to answer.
const CONNECT_TIME: Duration = Duration::from_secs(4);
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read: those who answer this way say what is wrong in a line.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What tells one client from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Way {
    /// Whether certificates are needed: they take a while to load.
    encrypted: bool,
    allow_private: bool,
    /// Whether the proxy of the environment is between. It looks names up by itself, so only who may reach all may use
    /// it; and who is spoken to without encryption is no further away than the proxy.
    proxy: bool,
}

/// The clients in use, one for each way: at most five.
#[derive(Default)]
pub(super) struct Clients(Mutex<HashMap<Way, Client>>);

impl Clients {
    fn get(&self, url: &Url, allow_private: bool, names: &Arc<dyn Names>) -> Result<Client, NotDelivered> {
        let encrypted = url.scheme() == "https";
        let way = Way { encrypted, allow_private, proxy: encrypted && allow_private && !is_near(url) };
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&way) {
            return Ok(client.clone());
        }
        let made = client(way, Guard { names: Arc::clone(names), allow_private });
        let made = made.map_err(|error| NotDelivered::later(format!("no client for HTTP: {}", innermost(&error))))?;
        clients.insert(way, made.clone());
        Ok(made)
    }
}

fn client(way: Way, guard: Guard) -> reqwest::Result<Client> {
    // Fails only if one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("everlog/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIME)
        .timeout(REQUEST_TIME)
        .pool_max_idle_per_host(1)
        .dns_resolver(Arc::new(guard))
        .redirect(reqwest::redirect::Policy::none());
    if !way.encrypted {
        builder = builder.tls_certs_only([]);
    }
    if !way.proxy {
        builder = builder.no_proxy();
    }
    builder.build()
}

fn is_near(url: &Url) -> bool {
    address::literal(url).is_some_and(|address| address.is_loopback())
        || url.host_str().is_some_and(address::is_local_name)
}

/// # Errors
/// When the message did not arrive, or was not taken.
pub(super) async fn send(
    transport: &Transport,
    channel: &Channel,
    message: &HttpMessage,
) -> Result<Delivered, NotDelivered> {
    let url = channel.kind.url().ok_or_else(|| NotDelivered::never("a channel for e-mail has no address for HTTP"))?;
    let host = url.host_str().unwrap_or_default();
    // Nobody is asked for the address of a host that is one already.
    address::refuse_written(host, channel.allow_private).map_err(NotDelivered::never)?;
    let client = transport.clients.get(url, channel.allow_private, &transport.names)?;
    let request = client.post(url.clone()).headers(headers(&channel.kind, message)?).body(message.body.clone());
    let answer = request.send().await.map_err(|error| unreached(host, error))?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = start_of(answer).await;
    verdict::judge(&verdict::Answer { kind: channel.kind.name(), host, status, headers: &headers, body: &body })
}

/// The headers of the channel, and over them those of the message.
fn headers(kind: &Kind, message: &HttpMessage) -> Result<HeaderMap, NotDelivered> {
    let mut headers = if let Kind::Webhook { headers, .. } = kind { headers.clone() } else { HeaderMap::new() };
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| NotDelivered::never("a header of the message cannot stand in one"))
    };
    for (name, text) in &message.headers {
        let parsed: HeaderName =
            name.parse().map_err(|_| NotDelivered::never(format!("{name:?} is no name of a header")))?;
        headers.insert(parsed, value(text)?);
    }
    headers.insert(CONTENT_TYPE, value(&message.content_type)?);
    Ok(headers)
}

/// Why there was no answer. The URL does not stand in it.
fn unreached(host: &str, error: reqwest::Error) -> NotDelivered {
    let error = error.without_url();
    let mut cause: &(dyn std::error::Error + 'static) = &error;
    loop {
        if let Some(refused) = cause.downcast_ref::<AddressError>() {
            return match refused {
                AddressError::Private { .. } => NotDelivered::never(refused),
                AddressError::Unknown { .. } => NotDelivered::later(refused),
            };
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => break,
        }
    }
    if error.is_timeout() {
        return NotDelivered::later(format!("{host} did not answer within {} seconds", REQUEST_TIME.as_secs()));
    }
    NotDelivered::later(format!("{host} cannot be reached: {cause}"))
}

/// The start of the answer. One that breaks off is as good: its status is there.
async fn start_of(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(part)) = answer.chunk().await {
        body.extend(part.iter().take(ANSWER_BYTES_MAX - body.len()));
        if body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    body
}

#[cfg(test)]
mod tests;
