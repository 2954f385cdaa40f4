//! The way to the server: its address, the token, and what its refusals mean in plain words.
//!
//! On the machine of the server both are found in the data directory. The administrator's token in there is sent only to
//! the server that runs with that directory, never to an address that somebody typed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::DATA_DIRECTORY;
use crate::outward::innermost;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a busy server is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an answer may take that is not a stream. The server gives up a question earlier than that.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Which server, and with whose right.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct Connection {
    /// Address of the server [default: the one running with the data directory]
    #[arg(long, env = "EVERLOG_URL", hide_env_values = true, value_name = "URL")]
    url: Option<String>,
    /// Token to show to the server [default: the administrator's, from the data directory]
    #[arg(long, env = "EVERLOG_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Data directory of the server on this machine
    #[arg(long, env = "EVERLOG_DATA", hide_env_values = true, value_name = "DIR", default_value = DATA_DIRECTORY)]
    data: PathBuf,
}

/// The same for a command whose `--url` is that of something else.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerConnection {
    /// Address of the server, --url elsewhere [default: the one running with the data directory]
    #[arg(long, env = "EVERLOG_URL", hide_env_values = true, value_name = "URL")]
    server: Option<String>,
    /// Token to show to the server [default: the administrator's, from the data directory]
    #[arg(long, env = "EVERLOG_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Data directory of the server on this machine
    #[arg(long, env = "EVERLOG_DATA", hide_env_values = true, value_name = "DIR", default_value = DATA_DIRECTORY)]
    data: PathBuf,
}

impl From<ServerConnection> for Connection {
    fn from(ServerConnection { server, token, data }: ServerConnection) -> Self {
        Self { url: server, token, data }
    }
}

/// What a running server writes into its data directory.
#[derive(Deserialize)]
struct Running {
    url: String,
}

/// A server, and the right to ask it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    /// The data directory in which the address was found.
    data: Option<PathBuf>,
}

impl Client {
    /// A client of the server at `url`.
    ///
    /// # Errors
    /// When `url` is not an address of the web.
    pub(crate) fn new(url: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let base = Url::parse(&with_scheme).with_context(|| format!("{url} is not the address of a server"))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            bail!("{url} is not the address of a server: expected one like http://127.0.0.1:7171");
        }
        Ok(Self { http: http(&base)?, base, token: token.map(str::to_owned), data: None })
    }

    /// The client that options, environment and data directory ask for.
    pub(super) fn connect(connection: &Connection) -> anyhow::Result<Self> {
        let Connection { url, token, data } = connection;
        let given = token.as_deref().filter(|token| !token.is_empty());
        if let Some(url) = url.as_deref().filter(|url| !url.is_empty()) {
            return Self::new(url, given);
        }
        let Some(running) = running(data)? else {
            bail!(
                "no Everlog is running with the data directory {}: start one with `everlog serve`, or name one with --url",
                data.display()
            );
        };
        let found = if given.is_none() { administrator(data)? } else { None };
        let client = Self::new(&running.url, given.or(found.as_deref()))?;
        Ok(Self { data: Some(data.clone()), ..client })
    }

    /// Whether the server is on this machine.
    pub(super) fn is_local(&self) -> bool {
        is_loopback(&self.base)
    }

    /// The address of the server with the name of a user in it, as clients that take one address want it.
    pub(super) fn with_user(&self, user: &str) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        base.replacen("://", &format!("://{user}@"), 1)
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<RequestBuilder> {
        self.request(Method::GET, path)
    }

    pub(super) fn post(&self, path: &str) -> anyhow::Result<RequestBuilder> {
        self.request(Method::POST, path)
    }

    /// A request to a path of the server. The path may have a query string, and may be what a `Link` header named.
    pub(super) fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let url = self.join(path)?;
        let request = self.http.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// The address below which the server lives may itself have a path, if a proxy is in front.
    fn join(&self, path: &str) -> anyhow::Result<Url> {
        let named = if path.contains("://") {
            Url::parse(path)
        } else {
            Url::parse(&format!("{}{path}", self.base.as_str().trim_end_matches('/')))
        };
        let url = named.with_context(|| format!("{path} is not a path"))?;
        if url.origin() != self.base.origin() {
            // The token is for this server only.
            bail!(
                "the server at {} sent us on to {url}, which is another server: give its address with --url",
                self.base
            );
        }
        Ok(url)
    }

    /// Sends a request; an answer that is not a success is a [`Failure`].
    pub(super) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.unreachable(&error).into()),
        };
        if answer.status().is_success() { Ok(answer) } else { Err(self.refused(answer).await.into()) }
    }

    /// Sends a request and reads the JSON of the answer.
    pub(super) async fn ask<Answer: for<'a> Deserialize<'a>>(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let answer = self.send(request.timeout(ANSWER_TIMEOUT)).await?;
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).with_context(|| {
            let start: String = String::from_utf8_lossy(&body).chars().take(120).collect();
            format!("the answer of {} is not what Everlog answers: is it another server, or another version? It says: {start}", self.base)
        })
    }

    /// The same for a request that may arrive twice: a server that is busy is asked again for a while.
    pub(super) async fn ask_patiently<Answer: for<'a> Deserialize<'a>>(
        &self,
        request: RequestBuilder,
    ) -> anyhow::Result<Answer> {
        let started = Instant::now();
        while let Some(again) = request.try_clone() {
            let error = match self.ask(again).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let failure = error.downcast_ref::<Failure>().filter(|failure| failure.status.is_some());
            match failure.and_then(Failure::wait) {
                Some(wait) if started.elapsed() + wait < PATIENCE => tokio::time::sleep(wait).await,
                _ => return Err(error),
            }
        }
        self.ask(request).await
    }

    /// The same, and nothing if the server has no such thing.
    pub(super) async fn ask_if_there<Answer: for<'a> Deserialize<'a>>(
        &self,
        request: RequestBuilder,
    ) -> anyhow::Result<Option<Answer>> {
        match self.ask(request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.downcast_ref::<Failure>().is_some_and(Failure::is_not_found) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a failed transfer means.
    pub(super) fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = self.base.as_str().trim_end_matches('/');
        let sentence = match &self.data {
            _ if error.is_timeout() => {
                format!(
                    "{base} does not answer in time: it is overloaded, or the network is slow. Try again, or ask for less"
                )
            }
            Some(data) if error.is_connect() => format!(
                "the server of {} is not running any more ({base} refuses connections): start it with `everlog serve --data {}`",
                data.display(),
                data.display()
            ),
            None if error.is_connect() => format!(
                "nothing answers at {base}: {}. Is the server running, and is this its address?",
                innermost(error)
            ),
            _ => format!("the connection to {base} broke: {}", innermost(error)),
        };
        Failure { sentence, status: None, retry_after: None, body: Vec::new() }
    }

    async fn refused(&self, answer: Response) -> Failure {
        let status = answer.status();
        let seconds = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.bytes().await.unwrap_or_default();
        let base = self.base.as_str().trim_end_matches('/');
        let told = told(&body).unwrap_or_else(|| format!("the server answered {status}"));
        let sentence = match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => format!(
                "{base} wants a token: give one with --token or EVERLOG_TOKEN. `everlog token create`, run on its machine, makes one"
            ),
            (StatusCode::UNAUTHORIZED, Some(_)) => {
                format!("{base} does not take this token: {told}")
            }
            (StatusCode::FORBIDDEN, _) => {
                format!("this token does not allow that: {told}")
            }
            _ => told,
        };
        Failure { sentence, status: Some(status), retry_after: seconds.map(Duration::from_secs), body: body.into() }
    }
}

/// Why a request did not succeed.
#[derive(Debug)]
pub(super) struct Failure {
    sentence: String,
    /// None if there was no answer.
    pub(super) status: Option<StatusCode>,
    retry_after: Option<Duration>,
    /// The answer as it came.
    pub(super) body: Vec<u8>,
}

impl Failure {
    pub(super) fn is_not_found(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// How long to wait before the same request may succeed; none if it never will.
    pub(super) fn wait(&self) -> Option<Duration> {
        const WAIT: Duration = Duration::from_secs(1);
        match self.status {
            None | Some(StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) => Some(WAIT),
            Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
                Some(self.retry_after.unwrap_or(WAIT))
            }
            Some(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}

/// The sentence in a refusal: the detail of its problem document, or whatever text it has.
fn told(body: &[u8]) -> Option<String> {
    let Ok(problem) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body).trim().to_owned();
        return (!text.is_empty() && !text.starts_with('<')).then_some(text);
    };
    let text = |key: &str| problem.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let told = text("detail").or_else(|| text("title"))?.trim_end();
    // The command line has no parameters and no paths, and says what it asks for otherwise.
    let told = told.strip_prefix("_q: ").unwrap_or(told);
    Some(told.replace("GET /api/v1/logs/LOG/issues lists those of a log", "`everlog issues` lists them"))
}

fn http(base: &Url) -> anyhow::Result<reqwest::Client> {
    // Fails only if one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("everlog/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none());
    if base.scheme() == "http" {
        // Reading the certificates of the system would take longer than sending an event.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    builder.build().context("cannot set up a client for HTTP")
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn running(data: &Path) -> anyhow::Result<Option<Running>> {
    let path = data.join("server.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => {
            return Err(anyhow!("cannot read {}: {error}. Name the server with --url instead", path.display()));
        }
    };
    serde_json::from_slice(&text).map(Some).with_context(|| {
        format!("{} does not say where the server is; it is written at each start of `everlog serve`", path.display())
    })
}

fn administrator(data: &Path) -> anyhow::Result<Option<String>> {
    let path = data.join("admin.token");
    match std::fs::read_to_string(&path) {
        Ok(token) => Ok(Some(token.trim().to_owned()).filter(|token| !token.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow!(
            "cannot read {}: {error}. Run this as the user who owns it, or give a token with --token or EVERLOG_TOKEN",
            path.display()
        )),
    }
}

/// Writes a text so that it can stand in a path or a query string.
pub(super) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])));
        }
    }
    out
}

/// The path of one of the doors of a log.
pub(super) fn log_path(log: &str, door: &str) -> String {
    format!("/api/v1/logs/{}{door}", percent(log))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(url: Option<&str>, data: &Path) -> Connection {
        Connection { url: url.map(str::to_owned), token: None, data: data.to_owned() }
    }

    #[test]
    fn address_and_token_are_found_in_the_data_directory() {
        let directory = tempfile::tempdir().unwrap();
        let error = Client::connect(&connection(None, directory.path())).unwrap_err().to_string();
        assert!(error.starts_with("no Everlog is running with the data directory /"), "{error}");
        std::fs::write(directory.path().join("server.json"), r#"{"url":"http://127.0.0.1:7999","pid":1}"#).unwrap();
        std::fs::write(directory.path().join("admin.token"), "secret\n").unwrap();
        let client = Client::connect(&connection(None, directory.path())).unwrap();
        assert_eq!((client.base.as_str(), client.token.as_deref()), ("http://127.0.0.1:7999/", Some("secret")));
        let client = Client::connect(&connection(Some("https://logs.example.com/everlog/"), directory.path())).unwrap();
        assert_eq!(client.token, None, "the administrator's token must not leave the machine");
        assert_eq!(client.join("/api/v1/logs").unwrap().as_str(), "https://logs.example.com/everlog/api/v1/logs");
        assert!(client.join("https://elsewhere.example.com/api").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!(Client::new("ftp://host", None).is_err());
        assert!(Client::new("http://", None).is_err());
        assert_eq!(Client::new("localhost:7171", None).unwrap().base.as_str(), "http://localhost:7171/");
    }

    #[test]
    fn the_detail_of_a_problem_is_told_line_by_line() {
        assert_eq!(told(br#"{"title":"Bad","detail":"a ~ b\n  ^\n"}"#).as_deref(), Some("a ~ b\n  ^"));
        assert_eq!(told(br#"{"title":"Bad"}"#).as_deref(), Some("Bad"));
        assert_eq!(told(br#"{"detail":"_q: this is not a search"}"#).as_deref(), Some("this is not a search"));
        assert_eq!(told(b"no such page").as_deref(), Some("no such page"));
        assert_eq!(told(b"<html>"), None);
        assert_eq!(told(b""), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let failure = |status, retry_after| Failure { sentence: String::new(), status, retry_after, body: Vec::new() };
        assert_eq!(failure(None, None).wait(), Some(Duration::from_secs(1)));
        let busy = Some(StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(failure(busy, Some(Duration::from_secs(7))).wait(), Some(Duration::from_secs(7)));
        assert_eq!(failure(Some(StatusCode::BAD_REQUEST), None).wait(), None);
    }

    #[test]
    fn percent_signs() {
        assert_eq!(percent("file:a/b é~"), "file%3Aa%2Fb%20%C3%A9~");
        assert_eq!(log_path("my log", "/events"), "/api/v1/logs/my%20log/events");
    }
}
