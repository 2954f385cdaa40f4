//! The kinds of channels, and where each leads.

use std::fmt;

use anyhow::{Context as _, anyhow, bail};
use engine::alerts::TRACKER;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::super::address;
use super::fields::{Fields, suggestion};
use super::{Mail, NAME_BYTES_MAX, TEXT_BYTES_MAX, URL_BYTES_MAX, secrets};

/// Headers of a webhook's own, and the bytes of each.
const HEADERS_MAX: usize = 16;
const HEADER_BYTES_MAX: usize = 4096;

/// The kinds and the keys that each has besides.
const KINDS: [(&str, &[&str]); 7] = [
    ("slack", &["url"]),
    ("email", &["smtp", "username", "password", "from", "to"]),
    ("webhook", &["url", "secret", "headers"]),
    ("teams", &["url"]),
    ("discord", &["url"]),
    ("telegram", &["token", "chat", "url"]),
    (TRACKER, &["dsn"]),
];

/// Headers that are the request's own.
const OWN_HEADERS: [&str; 10] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
];

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(super) String);

impl Secret {
    /// What it is, for those who use it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(secrets::MARK)
    }
}

/// An address whose path gives the right to use it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target(Url);

impl Target {
    /// Where requests go.
    pub(crate) fn reveal(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&secrets::masked_url(self.0.as_str()))
    }
}

/// What a channel is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// An incoming webhook of Slack.
    Slack {
        /// Where it is.
        url: Target,
    },
    /// A workflow or an incoming webhook of Microsoft Teams.
    Teams {
        /// Where it is.
        url: Target,
    },
    /// A webhook of Discord.
    Discord {
        /// Where it is.
        url: Target,
    },
    /// A bot of Telegram.
    Telegram {
        /// The method that sends, with the token of the bot in it.
        url: Target,
        /// The number of a chat, or the name of a public one.
        chat: String,
    },
    /// Anything that takes a request.
    Webhook {
        /// Where requests go.
        url: Target,
        /// What they are signed with.
        secret: Option<Secret>,
        /// What they have besides.
        headers: HeaderMap,
    },
    /// A tracker that takes errors themselves: Sentry, GitLab, or whatever speaks their protocol.
    Sentry {
        /// Where its envelopes go.
        url: Target,
        /// The key of the DSN.
        key: Secret,
    },
    /// Mail.
    Email(Box<Mail>),
}

impl Kind {
    /// The keys that the kind has which is named.
    ///
    /// # Errors
    /// When there is no such kind.
    pub(super) fn keys(fields: &Fields<'_>) -> anyhow::Result<&'static [&'static str]> {
        let kinds = KINDS.map(|(kind, _)| kind);
        let kind = fields.text("kind", TEXT_BYTES_MAX)?;
        let kind = kind.ok_or_else(|| anyhow!("kind is missing: one of {}", kinds.join(", ")))?;
        let found = KINDS.iter().find(|(known, _)| *known == kind).map(|(_, keys)| *keys);
        found.ok_or_else(|| anyhow!("kind: {kind:?} is none{}", suggestion(&kind, &kinds)))
    }

    /// # Errors
    /// When a setting cannot be.
    pub(super) fn read(fields: &Fields<'_>, allow_private: bool) -> anyhow::Result<Self> {
        Ok(match fields.text("kind", TEXT_BYTES_MAX)?.as_deref() {
            Some("slack") => Self::Slack { url: hook(fields, allow_private)? },
            Some("teams") => Self::Teams { url: hook(fields, allow_private)? },
            Some("discord") => Self::Discord { url: hook(fields, allow_private)? },
            Some("telegram") => telegram(fields, allow_private)?,
            Some("webhook") => Self::Webhook {
                url: target(&fields.needed("url", URL_BYTES_MAX, "https://host/path")?, allow_private)?,
                secret: fields.text("secret", TEXT_BYTES_MAX)?.map(Secret),
                headers: headers(fields)?,
            },
            Some(TRACKER) => tracker(fields, allow_private)?,
            _ => Self::Email(Box::new(Mail::read(fields, allow_private)?)),
        })
    }

    /// As `kind` names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Discord { .. } => "discord",
            Self::Telegram { .. } => "telegram",
            Self::Webhook { .. } => "webhook",
            Self::Sentry { .. } => TRACKER,
            Self::Email(_) => "email",
        }
    }

    /// Where requests go; `None` for mail.
    pub(crate) fn url(&self) -> Option<&Url> {
        match self {
            Self::Slack { url }
            | Self::Teams { url }
            | Self::Discord { url }
            | Self::Telegram { url, .. }
            | Self::Webhook { url, .. }
            | Self::Sentry { url, .. } => Some(url.reveal()),
            Self::Email(_) => None,
        }
    }

    /// The host and the port that it leads to.
    pub(crate) fn destination(&self) -> String {
        match self {
            Self::Email(mail) => format!("{}:{}", mail.host, mail.port),
            _ => self.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default(),
        }
    }
}

/// An address that requests can be sent to. What is wrong with it may be said, but not what it is.
fn target(text: &str, allow_private: bool) -> anyhow::Result<Target> {
    let mut url = Url::parse(text).map_err(|error| anyhow!("url: {error}: expected one like https://host/path"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        bail!("url: expected one like https://host/path");
    }
    address::refuse_written(url.host_str().unwrap_or_default(), allow_private).context("url")?;
    url.set_fragment(None);
    Ok(Target(url))
}

/// The address of a webhook that whoever knows it may use: it does not go over the wire for all to read.
fn hook(fields: &Fields<'_>, allow_private: bool) -> anyhow::Result<Target> {
    let found =
        target(&fields.needed("url", URL_BYTES_MAX, "the address that the service gave the webhook")?, allow_private)?;
    encrypted(&found, allow_private)?;
    Ok(found)
}

fn encrypted(target: &Target, allow_private: bool) -> anyhow::Result<()> {
    if target.0.scheme() == "http" && !allow_private {
        bail!("url: over http:// everybody on the way reads what gives the right to write there: use https://");
    }
    Ok(())
}

fn telegram(fields: &Fields<'_>, allow_private: bool) -> anyhow::Result<Kind> {
    let token = fields.needed("token", TEXT_BYTES_MAX, "what @BotFather gave the bot")?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-');
    if !token.bytes().all(good) || !token.contains(':') {
        bail!("token: expected one like 123456:ABC-DEF1234ghIkl, as @BotFather gives it");
    }
    let chat = match fields.0.get("chat") {
        Some(Value::Number(number)) => number.to_string(),
        _ => fields.needed("chat", TEXT_BYTES_MAX, "the number of the chat, or @name of a public one")?,
    };
    let base = fields.text("url", URL_BYTES_MAX)?;
    let mut found = target(base.as_deref().unwrap_or("https://api.telegram.org"), allow_private)?;
    encrypted(&found, allow_private)?;
    let path = format!("{}/bot{token}/sendMessage", found.0.path().trim_end_matches('/'));
    found.0.set_path(&path);
    Ok(Kind::Telegram { url: found, chat })
}

/// A DSN, `https://KEY@host/PROJECT`, whose envelopes go to `https://host/api/PROJECT/envelope/`; what stands before the
/// project stays before `api`.
fn tracker(fields: &Fields<'_>, allow_private: bool) -> anyhow::Result<Kind> {
    const LIKE: &str = "https://KEY@host/PROJECT, as Sentry or GitLab shows it";
    let text = fields.needed("dsn", URL_BYTES_MAX, LIKE)?;
    // What is wrong with it may be said, but not what it is.
    let wrong = || anyhow!("dsn: expected one like {LIKE}");
    let mut found = Url::parse(&text).ok().filter(Url::has_host).ok_or_else(wrong)?;
    let key = found.username().to_owned();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')) {
        bail!("dsn: its key stands before the @: {LIKE}");
    }
    let path = found.path().trim_end_matches('/').to_owned();
    let (before, project) = path.rsplit_once('/').filter(|(_, project)| !project.is_empty()).ok_or_else(wrong)?;
    found.set_path(&format!("{before}/api/{project}/envelope/"));
    found.set_query(None);
    found.set_username("").and_then(|()| found.set_password(None)).map_err(|()| wrong())?;
    let url = target(found.as_str(), allow_private).map_err(|error| anyhow!("dsn: {error:#}"))?;
    encrypted(&url, allow_private).map_err(|error| anyhow!("dsn: {error:#}"))?;
    Ok(Kind::Sentry { url, key: Secret(key) })
}

fn headers(fields: &Fields<'_>) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let Some(given) = fields.0.get("headers") else { return Ok(headers) };
    let given = given.as_object().ok_or_else(|| anyhow!("headers is an object: {{\"X-Key\": \"…\"}}"))?;
    if given.len() > HEADERS_MAX {
        bail!("headers: at most {HEADERS_MAX}, found {}", given.len());
    }
    for (key, value) in given {
        let shown: String = key.chars().take(NAME_BYTES_MAX).collect();
        let name = key.parse::<HeaderName>().ok().filter(|_| key.len() <= NAME_BYTES_MAX);
        let name = name.ok_or_else(|| anyhow!("headers: {shown:?} is no name of a header"))?;
        if OWN_HEADERS.contains(&name.as_str()) {
            bail!("headers: {name} is set by the request itself: leave it out");
        }
        // What it holds is not said.
        let text = value.as_str().filter(|text| text.len() <= HEADER_BYTES_MAX);
        let text = text.ok_or_else(|| anyhow!("headers: {name} takes a text of at most {HEADER_BYTES_MAX} bytes"))?;
        let mut value =
            HeaderValue::from_str(text).map_err(|_| anyhow!("headers: {name}: this cannot stand in one"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
