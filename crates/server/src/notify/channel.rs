//! The settings of a channel: where notices go, with whose right, and which of them.
//!
//! Whether they come as JSON or as a table `[channels.NAME]`, they are read by the same code, checked whole, and bounded.

mod fields;
mod mail;
mod secrets;

use std::fmt;

use anyhow::{Context as _, anyhow, bail};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use self::fields::Fields;
pub(crate) use self::mail::{Mail, Security};
use super::address;

/// Bytes of the name of a channel.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of an address, as browsers take them.
const URL_BYTES_MAX: usize = 2048;
/// Headers of a webhook's own, and the bytes of each.
const HEADERS_MAX: usize = 16;
const HEADER_BYTES_MAX: usize = 4096;
/// Environments that a channel is for, and rules it follows; whoever needs more wants all.
const ENVIRONMENTS_MAX: usize = 32;
const RULES_MAX: usize = 100;
/// Bytes of a short text: an environment, a rule, a chat, a secret.
const TEXT_BYTES_MAX: usize = 256;

/// The keys of every channel.
const KEYS: [&str; 5] = ["kind", "allow_private", "environments", "rules", "enabled"];

/// The kinds and the keys that each has besides.
const KINDS: [(&str, &[&str]); 6] = [
    ("slack", &["url"]),
    ("email", &["smtp", "username", "password", "from", "to"]),
    ("webhook", &["url", "secret", "headers"]),
    ("teams", &["url"]),
    ("discord", &["url"]),
    ("telegram", &["token", "chat", "url"]),
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
pub(crate) struct Secret(String);

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

/// A channel as it is set up.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// Its name.
    pub(crate) name: String,
    /// What it is and where it leads.
    pub(crate) kind: Kind,
    /// Whether it may lead to addresses inside.
    pub(crate) allow_private: bool,
    /// The environments whose notices it gets; all when there are none.
    pub(crate) environments: Vec<String>,
    /// The names of the rules whose notices it gets; those built in when there are none.
    pub(crate) rules: Vec<String>,
    /// Whether it gets any.
    pub(crate) enabled: bool,
    /// As it was given.
    given: Given,
}

/// What was given, secrets among it.
#[derive(Clone)]
struct Given(Map<String, Value>);

impl fmt::Debug for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", secrets::masked(&self.0))
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
    /// Mail.
    Email(Box<Mail>),
}

impl Kind {
    /// As `kind` names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Discord { .. } => "discord",
            Self::Telegram { .. } => "telegram",
            Self::Webhook { .. } => "webhook",
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
            | Self::Webhook { url, .. } => Some(url.reveal()),
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

impl Channel {
    /// Reads settings as JSON. Where they have `[REDACTED]` as [`Channel::shown`] has it, what `before` has there stays,
    /// if the channel leads where it led.
    ///
    /// # Errors
    /// When something in them cannot be, with the key and what is right. No secret stands in it.
    pub(crate) fn parse(name: &str, given: &Value, before: Option<&Self>) -> anyhow::Result<Self> {
        check_name(name)?;
        let mut given = given.as_object().cloned().ok_or_else(|| anyhow!("a channel is an object: {{\"kind\": …}}"))?;
        match given.remove("name") {
            None => {}
            Some(Value::String(same)) if same == name => {}
            Some(other) => bail!("name: this is the channel {name:?}, and not {other}"),
        }
        let restored = secrets::restore(&mut given, before.map(|before| &before.given.0))?;
        let channel = Self::read(name, given)?;
        if let (Some(key), Some(before)) = (restored, before)
            && (channel.kind.name() != before.kind.name() || channel.kind.destination() != before.kind.destination())
        {
            bail!("{key}: the channel leads to another place now, which does not get what is kept: give it again");
        }
        Ok(channel)
    }

    /// Reads a table `[channels.NAME]`, in which a text `${VARIABLE}` stands in the environment.
    ///
    /// # Errors
    /// As [`Channel::parse`]; and when a variable is not set.
    pub(crate) fn from_toml(name: &str, table: &toml::Value) -> anyhow::Result<Self> {
        Self::parse(name, &fields::from_toml(table)?, None)
    }

    /// The settings as people may see them.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = secrets::masked(&self.given.0);
        for (key, value) in [
            ("allow_private", Value::Bool(self.allow_private)),
            ("environments", self.environments.clone().into()),
            ("rules", self.rules.clone().into()),
            ("enabled", Value::Bool(self.enabled)),
        ] {
            shown.entry(key).or_insert(value);
        }
        Value::Object(shown)
    }

    /// The settings with their secrets, from which [`Channel::parse`] makes the same channel.
    pub(crate) fn kept(&self) -> Value {
        Value::Object(self.given.0.clone())
    }

    /// A text without the secrets of the channel, should somebody have put them in.
    pub(crate) fn conceal(&self, text: &str) -> String {
        secrets::conceal(&self.given.0, text)
    }

    fn read(name: &str, given: Map<String, Value>) -> anyhow::Result<Self> {
        let fields = Fields(&given);
        let kinds = KINDS.map(|(kind, _)| kind);
        let kind = fields.text("kind", TEXT_BYTES_MAX)?;
        let kind = kind.ok_or_else(|| anyhow!("kind is missing: one of {}", kinds.join(", ")))?;
        let Some((kind, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
            bail!("kind: {kind:?} is none{}", fields::suggestion(&kind, &kinds));
        };
        fields.only(&[&KEYS, *own].concat())?;
        let allow_private = fields.truth("allow_private")?.unwrap_or(false);
        let kind = match *kind {
            "slack" => Kind::Slack { url: hook(&fields, allow_private)? },
            "teams" => Kind::Teams { url: hook(&fields, allow_private)? },
            "discord" => Kind::Discord { url: hook(&fields, allow_private)? },
            "telegram" => telegram(&fields, allow_private)?,
            "webhook" => Kind::Webhook {
                url: target(&fields.needed("url", URL_BYTES_MAX, "https://host/path")?, allow_private)?,
                secret: fields.text("secret", TEXT_BYTES_MAX)?.map(Secret),
                headers: headers(&fields)?,
            },
            _ => Kind::Email(Box::new(Mail::read(&fields, allow_private)?)),
        };
        Ok(Self {
            name: name.to_owned(),
            kind,
            allow_private,
            environments: fields.texts("environments", ENVIRONMENTS_MAX, TEXT_BYTES_MAX)?.unwrap_or_default(),
            rules: fields.texts("rules", RULES_MAX, TEXT_BYTES_MAX)?.unwrap_or_default(),
            enabled: fields.truth("enabled")?.unwrap_or(true),
            given: Given(given),
        })
    }
}

/// The tables `[channels.NAME]` as a file would have them, without their secrets.
pub(crate) fn print(tables: &toml::Table) -> String {
    let mut out = String::new();
    for (name, table) in tables {
        let name = toml::Value::String(name.clone());
        out.extend([format!("\n[channels.{name}]\n")]);
        for (key, value) in table.as_table().into_iter().flatten() {
            out.extend([secrets::printed(key, value)]);
        }
    }
    out
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(good) || name.starts_with('.') {
        bail!("a channel is named with letters, digits, `_`, `-` and `.`, at most {NAME_BYTES_MAX}");
    }
    Ok(())
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

#[cfg(test)]
mod tests;
