//! Writes a mail: its headers, its text, and the same as HTML.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use super::super::channel::Mail;
use super::super::{MailMessage, NotDelivered};

/// Characters of a subject: more is read nowhere.
const SUBJECT_CHARACTERS_MAX: usize = 200;
/// Characters of an id.
const ID_CHARACTERS_MAX: usize = 200;

/// A mail that is ready to go.
pub(super) struct Letter {
    pub(super) from: String,
    /// Who is to get it now.
    pub(super) to: Vec<String>,
    /// Whether an address has letters beyond ASCII.
    pub(super) needs_utf8: bool,
    pub(super) bytes: Vec<u8>,
}

/// # Errors
/// When it has nobody to go to.
pub(super) fn write(mail: &Mail, message: &MailMessage) -> Result<Letter, NotDelivered> {
    let address = |mailbox: &Mailbox| mailbox.email.to_string();
    let from = address(&mail.from);
    let is_wanted = |address: &String| message.only.is_empty() || message.only.contains(address);
    let to: Vec<String> = mail.to.iter().map(address).filter(is_wanted).collect();
    if to.is_empty() {
        return Err(NotDelivered::never("those who were to get this mail are no recipients of the channel any more"));
    }
    let domain = mail.from.email.domain();
    let seconds = u64::try_from(message.time.as_micros() / 1_000_000).unwrap_or(0);
    // The envelope is ours; this one is for the checks of the library alone.
    let envelope = Envelope::new(Some(mail.from.email.clone()), mail.to.iter().map(|to| to.email.clone()).collect());
    let envelope = envelope.map_err(|error| NotDelivered::never(format!("the mail cannot be written: {error}")))?;
    let mut builder = lettre::Message::builder()
        .envelope(envelope)
        .date(UNIX_EPOCH + Duration::from_secs(seconds))
        .from(named(&mail.from))
        .subject(subject(&message.subject))
        .message_id(Some(id(&message.message_id, domain)));
    for to in &mail.to {
        builder = builder.to(named(to));
    }
    if let Some(thread) = &message.thread {
        let thread = id(thread, domain);
        builder = builder.in_reply_to(thread.clone()).references(thread);
    }
    // So that nobody's absence is told to us, nor to anybody by us.
    for (name, value) in [("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")] {
        builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()));
    }
    let body = MultiPart::alternative_plain_html(message.text.clone(), message.html.clone());
    let written = builder.multipart(body);
    let written = written.map_err(|error| NotDelivered::never(format!("the mail cannot be written: {error}")))?;
    let needs_utf8 = !from.is_ascii() || !mail.to.iter().all(|to| to.email.to_string().is_ascii());
    Ok(Letter { from, to, needs_utf8, bytes: written.formatted() })
}

/// A text that stands in one line whatever it was.
fn line(text: &str, characters_max: usize) -> String {
    let separates = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    let visible: String =
        text.chars().take(characters_max * 4).map(|one| if separates(one) { ' ' } else { one }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(characters_max).collect()
}

fn subject(text: &str) -> String {
    let line = line(text, SUBJECT_CHARACTERS_MAX);
    if line.is_empty() { "(no subject)".to_owned() } else { line }
}

fn named(mailbox: &Mailbox) -> Mailbox {
    let name = mailbox.name.as_deref().map(|name| line(name, SUBJECT_CHARACTERS_MAX)).filter(|name| !name.is_empty());
    Mailbox::new(name, mailbox.email.clone())
}

/// An id of a mail or a thread, in brackets.
fn id(text: &str, domain: &str) -> String {
    let good = |character: &char| character.is_ascii_alphanumeric() || ".-_+=@".contains(*character);
    let clean = |text: &str| text.chars().filter(good).take(ID_CHARACTERS_MAX).collect::<String>();
    let (left, right) = text.split_once('@').unwrap_or((text, domain));
    let [left, right] = [left, right].map(|part| clean(part).replace('@', "."));
    let left = if left.is_empty() { "notice".to_owned() } else { left };
    let right = if right.is_empty() { "everlog".to_owned() } else { right };
    format!("<{left}@{right}>")
}

#[cfg(test)]
pub(super) mod tests;
