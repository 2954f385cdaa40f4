//! The settings of a channel for e-mail: which server takes the mails, as whom, and to whom they go.

use anyhow::{Context as _, anyhow, bail};
use lettre::message::Mailbox;
use reqwest::Url;

use super::super::address;
use super::fields::Fields;
use super::{Secret, TEXT_BYTES_MAX, URL_BYTES_MAX};

/// Recipients of a channel: more are a list of the server for mail.
const RECIPIENTS_MAX: usize = 50;
/// Bytes of an address with its name.
const ADDRESS_BYTES_MAX: usize = 320;

/// How the connection is kept from being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// `smtp://`: encrypted if the server can.
    Offered,
    /// `smtp+starttls://`: encrypted before anything is said, or not used.
    Required,
    /// `smtps://`: encrypted from the first byte.
    Whole,
}

/// Where mails go.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// The server that takes them.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// How the connection is kept from being read.
    pub(crate) security: Security,
    /// As whom they are given to it.
    pub(crate) login: Option<(String, Secret)>,
    /// From whom they are.
    pub(crate) from: Mailbox,
    /// To whom they go.
    pub(crate) to: Vec<Mailbox>,
}

impl Mail {
    /// # Errors
    /// When a setting cannot be.
    pub(super) fn read(fields: &Fields<'_>, allow_private: bool) -> anyhow::Result<Self> {
        let text = fields.needed("smtp", URL_BYTES_MAX, "such as smtp+starttls://user:password@mail.example:587")?;
        let (url, security) = server(&text)?;
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        address::refuse_written(&host, allow_private).context("smtp")?;
        let port = url.port().unwrap_or(match security {
            Security::Offered => 25,
            Security::Required => 587,
            Security::Whole => 465,
        });
        let in_url = |text: &str| Some(percent_decoded(text)).filter(|text| !text.is_empty());
        let username = fields.text("username", TEXT_BYTES_MAX)?.or_else(|| in_url(url.username()));
        let password = fields.text("password", TEXT_BYTES_MAX)?.or_else(|| url.password().and_then(in_url));
        let login = match (username, password) {
            (None, None) => None,
            (Some(name), Some(password)) => Some((name, Secret(password))),
            (Some(_), None) => bail!("smtp: a user without a password: smtp://user:password@host"),
            (None, Some(_)) => bail!("smtp: a password without a user: smtp://user:password@host"),
        };
        if login.iter().any(|(name, password)| format!("{name}{}", password.reveal()).contains(char::is_control)) {
            bail!("smtp: a user and a password have no control characters");
        }
        let from = mailbox(&fields.needed("from", ADDRESS_BYTES_MAX, "the address that mails come from")?);
        let to = fields.texts("to", RECIPIENTS_MAX, ADDRESS_BYTES_MAX)?.unwrap_or_default();
        if to.is_empty() {
            bail!("to is missing: a list of addresses");
        }
        let to = to.iter().map(|text| mailbox(text)).collect::<anyhow::Result<_>>().context("to")?;
        Ok(Self { host, port, security, login, from: from.context("from")?, to })
    }
}

fn server(text: &str) -> anyhow::Result<(Url, Security)> {
    // What is wrong with it may be shown, but not the whole: a password may stand in it.
    let expected = "expected one like smtp://host:25, smtp+starttls://user:password@host or smtps://host";
    let url = Url::parse(text).map_err(|error| {
        let hint =
            "; what is none of letters, digits, `_`, `-` and `.` in a password is written %XX, or in the key password";
        anyhow!("smtp: {error}: {expected}{}", if text.contains('@') { hint } else { "" })
    })?;
    let security = match url.scheme() {
        "smtp" => Security::Offered,
        "smtp+starttls" => Security::Required,
        "smtps" => Security::Whole,
        _ => bail!("smtp: {expected}"),
    };
    let host = url.host_str().unwrap_or_default();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if host.is_empty() || !host.bytes().all(good) {
        bail!("smtp: {expected}");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        bail!("smtp: nothing comes after the host and the port: {expected}");
    }
    if url.port() == Some(0) {
        bail!("smtp: 0 is no port");
    }
    Ok((url, security))
}

fn mailbox(text: &str) -> anyhow::Result<Mailbox> {
    let found: Mailbox =
        text.parse().map_err(|_| anyhow!("{text:?} is no address: expected one like Name <name@host>"))?;
    if found.email.to_string().contains(|character: char| character.is_control() || character.is_whitespace()) {
        bail!("{text:?} is no address that mails can go to");
    }
    Ok(found)
}

/// A part of a URL as it is meant.
pub(super) fn percent_decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
