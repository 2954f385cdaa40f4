//! What notices are sent to, on this machine: a server for HTTP and one for mail, which keep all they are given.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::server::until;

/// A request that was sent to a sink.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// When it was there.
    pub(crate) at: Instant,
}

impl Sent {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An answer that is not 200: its status, and where it leads.
pub(crate) type Refusal = (u16, Option<String>);

/// A server for HTTP that takes everything.
#[derive(Clone)]
pub(crate) struct HttpSink {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
    refusals: Arc<Mutex<VecDeque<Refusal>>>,
}

impl HttpSink {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), sent: Arc::default(), refusals: Arc::default() };
        let router = Router::new().fallback(take).with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        sink
    }

    /// Where it is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next requests so, and then 200 again.
    pub(crate) fn refuse(&self, refusals: impl IntoIterator<Item = Refusal>) {
        self.refusals.lock().unwrap().extend(refusals);
    }

    /// Answers 200 from now on.
    pub(crate) fn forgive(&self) {
        self.refusals.lock().unwrap().clear();
    }

    /// All it was sent.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// All it was sent, once there are so many.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Sent> {
        until(&format!("{count} requests at the sink"), async || Some(self.sent()).filter(|sent| sent.len() >= count))
            .await
    }

    /// The notices of a webhook that it was sent.
    pub(crate) fn notices(&self) -> Vec<Value> {
        self.sent().iter().map(|sent| sent.json()["notice"].take()).collect()
    }

    /// The settings of a channel that leads here.
    pub(crate) fn channel(&self, kind: &str) -> Value {
        json!({ "kind": kind, "url": self.url("/services/T0/B0/x"), "allow_private": true })
    }
}

async fn take(State(sink): State<HttpSink>, request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let path = parts.uri.to_string();
    sink.sent.lock().unwrap().push(Sent { path, headers: parts.headers, body, at: Instant::now() });
    match sink.refusals.lock().unwrap().pop_front() {
        None => "ok".into_response(),
        Some((status, place)) => {
            let headers: Vec<(&str, String)> = place.into_iter().map(|place| ("location", place)).collect();
            let mut answer = (StatusCode::from_u16(status).unwrap(), "not now").into_response();
            for (name, value) in headers {
                answer.headers_mut().insert(name, value.parse().unwrap());
            }
            answer
        }
    }
}

/// A mail that was given to a sink.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) to: Vec<String>,
    /// As it was sent.
    pub(crate) raw: String,
    /// When it was there.
    pub(crate) at: Instant,
}

impl Mail {
    /// Its headers and its parts, with their encodings undone.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let mut sections = self.raw.split("\r\n\r\n");
        let mut head = sections.next().unwrap_or("");
        out.push_str(&unfolded(head));
        for section in sections {
            let encoding = head.to_lowercase();
            if encoding.contains("content-transfer-encoding: quoted-printable") {
                out.push_str(&quoted(section));
            } else if encoding.contains("content-transfer-encoding: base64") {
                let lines: String = section.lines().take_while(|line| !line.starts_with("--")).collect();
                let bytes = base64::engine::general_purpose::STANDARD.decode(lines).unwrap_or_default();
                out.push_str(&String::from_utf8_lossy(&bytes));
            }
            out.push_str(section);
            head = section;
        }
        out
    }
}

/// Headers without their folds, words of RFC 2047 decoded.
fn unfolded(head: &str) -> String {
    let joined = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let mut out = String::new();
    for part in joined.split_inclusive("?=") {
        let Some((before, word)) = part.split_once("=?utf-8?") else {
            out.push_str(part);
            continue;
        };
        out.push_str(before.trim_end_matches(' '));
        let text = word.trim_end_matches("?=");
        match text.split_once('?') {
            Some(("b" | "B", text)) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
                out.push_str(&String::from_utf8_lossy(&bytes));
            }
            Some((_, text)) => out.push_str(&quoted(&text.replace('_', " "))),
            None => out.push_str(part),
        }
    }
    out
}

fn quoted(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'=') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A server for mail that takes everything.
#[derive(Clone)]
pub(crate) struct MailSink {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl MailSink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), mails: Arc::default() };
        let kept = Arc::clone(&sink.mails);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&kept)));
            }
        });
        sink
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// All mails, once there are so many.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Mail> {
        until(&format!("{count} mails at the sink"), async || Some(self.mails()).filter(|mails| mails.len() >= count))
            .await
    }

    /// The settings of a channel that leads here.
    pub(crate) fn channel(&self) -> Value {
        json!({ "kind": "email", "smtp": self.url(), "from": "everlog@logs.example", "to": ["ops@ops.example"], "allow_private": true })
    }
}

/// One conversation, as RFC 5321 has it.
async fn converse(stream: TcpStream, mails: Arc<Mutex<Vec<Mail>>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut to = Vec::new();
    stream.write_all(b"220 sink ESMTP\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.trim_end().to_ascii_uppercase();
        let answer = match verb.split([' ', ':']).next().unwrap_or("") {
            "EHLO" => "250-sink\r\n250 8BITMIME",
            "RCPT" => {
                to.extend(line.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0.to_owned())));
                "250 fine"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut raw = String::new();
                while !raw.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut raw).await? == 0 {
                        return Ok(());
                    }
                }
                mails.lock().unwrap().push(Mail { to: std::mem::take(&mut to), raw, at: Instant::now() });
                "250 queued"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 fine",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}
