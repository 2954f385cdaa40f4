//! Brings notices to people: what a channel is, and how a message that is written already reaches it.
//!
//! Nothing here decides who hears of what, or when it is tried again: that is the outbox's, and what it hands out is
//! delivered or comes back with the reason, in words, and whether another attempt can help.

mod address;
mod channel;
mod courier;
mod http;
mod outbox;
mod smtp;
mod tracker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use event::Timestamp;

pub(crate) use address::{Names, SystemNames, privacy};
pub(crate) use channel::{Channel, Kind, print};
pub(crate) use courier::{Notifying, Outbox, Signals, start};
pub(crate) use outbox::written;

/// Characters of a foreign answer that are kept of a reason.
const TOLD_CHARACTERS_MAX: usize = 200;

/// What is sent: a body that is written for the kind of the channel.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// For all channels that are reached by HTTP.
    Http(HttpMessage),
    /// For e-mail.
    Mail(MailMessage),
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) struct HttpMessage {
    /// What is posted.
    pub(crate) body: Vec<u8>,
    /// Of which type it is.
    pub(crate) content_type: String,
    /// Headers that belong to this body, such as its signature. They win over those of the channel.
    pub(crate) headers: Vec<(String, String)>,
}

/// A mail without its sender and recipients, who are the channel's.
#[derive(Clone, Debug)]
pub(crate) struct MailMessage {
    /// The subject; what cannot stand in one line becomes spaces.
    pub(crate) subject: String,
    /// The body for those who read text.
    pub(crate) text: String,
    /// The body for those who read HTML.
    pub(crate) html: String,
    /// The same whenever this notice is sent, so that a repeat is recognisable: `id@host`, or an id alone.
    pub(crate) message_id: String,
    /// The same for all that belongs together, such as the notices of one issue.
    pub(crate) thread: Option<String>,
    /// When what it tells of was noticed.
    pub(crate) time: Timestamp,
    /// The addresses that are still to get it; all recipients of the channel when there are none here.
    pub(crate) only: Vec<String>,
}

/// A message that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// What the other side said.
    pub(crate) answer: String,
    /// Recipients who did not get it, though others did.
    pub(crate) missed: Vec<Missed>,
}

/// A recipient who did not get what others got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missed {
    /// The address, as [`MailMessage::only`] takes it.
    pub(crate) address: String,
    /// Why.
    pub(crate) reason: String,
    /// Whether another attempt is useless.
    pub(crate) permanent: bool,
}

/// A message that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotDelivered {
    /// Whether another attempt is useless until somebody changes something.
    pub(crate) permanent: bool,
    /// Why, as a sentence that says what to do.
    pub(crate) reason: String,
    /// How long the target asks to be left alone.
    pub(crate) wait: Option<Duration>,
}

impl NotDelivered {
    /// Another attempt may work.
    fn later(reason: impl fmt::Display) -> Self {
        Self { permanent: false, reason: reason.to_string(), wait: None }
    }

    /// No other attempt will work.
    fn never(reason: impl fmt::Display) -> Self {
        Self { permanent: true, reason: reason.to_string(), wait: None }
    }
}

/// What sends.
pub(crate) struct Transport {
    names: Arc<dyn Names>,
    clients: http::Clients,
    encryption: smtp::Encryption,
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl Transport {
    /// One that asks `names` for addresses. It opens nothing until something is sent.
    pub(crate) fn new(names: Arc<dyn Names>) -> Self {
        Self { names, clients: http::Clients::default(), encryption: smtp::Encryption::default() }
    }

    /// Sends a message to a channel, once.
    ///
    /// # Errors
    /// When it did not arrive, or it is not known whether it did. Secrets of the channel do not stand in the reason.
    pub(crate) async fn deliver(&self, channel: &Channel, message: &Message) -> Result<Delivered, NotDelivered> {
        let sent = match (&channel.kind, message) {
            (Kind::Email(mail), Message::Mail(message)) => Box::pin(smtp::send(self, channel, mail, message)).await,
            (Kind::Email(_), Message::Http(_)) => Err(NotDelivered::never("a channel for e-mail sends mails alone")),
            (_, Message::Http(message)) => Box::pin(http::send(self, channel, message)).await,
            (_, Message::Mail(_)) => Err(NotDelivered::never("a mail can be sent by a channel for e-mail alone")),
        };
        match sent {
            Ok(Delivered { answer, missed }) => {
                let conceal = |missed: Missed| Missed { reason: channel.conceal(&missed.reason), ..missed };
                Ok(Delivered { answer: channel.conceal(&answer), missed: missed.into_iter().map(conceal).collect() })
            }
            Err(failed) => Err(NotDelivered { reason: channel.conceal(&failed.reason), ..failed }),
        }
    }
}

/// The start of a foreign text, in one line.
fn told(text: &str) -> String {
    let visible: String =
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(4096).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(TOLD_CHARACTERS_MAX).collect()
}

/// The cause at the bottom, which is the one that a person understands.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
