//! Connects an axum application with Everlog: one event for each request, and any other that it sends.
//!
//! Written by `everlog init`; it needs nothing but axum. Nothing here waits for the network or panics in the application:
//! events go into a bounded queue, and one thread sends them. What it could not send it sends again under the same ids, so
//! that each event is kept once. When the queue is full, new events are dropped, and how many is told in the next event.
//!
//! ```ignore
//! mod everlog_connect;
//! let app = Router::new().route("/", get(home)).layer(axum::middleware::from_fn(everlog_connect::record));
//! everlog_connect::log("info", "order_placed", &[("user", "alice")]);
//! ```
//!
//! `EVERLOG_URL` (plain HTTP: beyond this machine, a tunnel or a proxy that speaks TLS) and `EVERLOG_TOKEN` say where the
//! server is, when it is not on this machine.
#![allow(dead_code, reason = "an application need not use all of it")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

const LOG: &str = "default";
const URL: &str = "http://127.0.0.1:7171";

const EVENTS_MAX: usize = 10_000;
const TIME_MAX: Duration = Duration::from_secs(30);

static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Message {
    Event(String),
    Flush(SyncSender<()>),
}

/// The middleware: an event for each request. The time is that until the answer begins.
pub(crate) async fn record(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let agent = header(&request, "user-agent");
    let request_id = header(&request, "x-request-id").unwrap_or_else(unique);
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let mut event = begin(if status >= 500 { "error" } else { "info" }, "request_finished");
    text(&mut event, "message", &format!("{method} {path} {status}"));
    text(&mut event, "method", &method);
    text(&mut event, "path", &path);
    text(&mut event, "request_id", &request_id);
    if let Some(agent) = agent {
        text(&mut event, "user_agent", &agent);
    }
    let _ = write!(event, ",\"status\":{status},\"duration_ms\":{:.3}}}", start.elapsed().as_secs_f64() * 1000.0);
    put(event);
    response
}

fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Sends one event: its level, its name, and texts that belong to it.
pub(crate) fn log(level: &str, name: &str, fields: &[(&str, &str)]) {
    let mut event = begin(level, name);
    for (key, value) in fields {
        text(&mut event, key, value);
    }
    event.push('}');
    put(event);
}

/// Waits until all is sent, at most so long. True when it is.
pub(crate) fn flush(time_max: Duration) -> bool {
    let (sender, receiver) = sync_channel(1);
    queue().try_send(Message::Flush(sender)).is_ok() && receiver.recv_timeout(time_max).is_ok()
}

fn begin(level: &str, name: &str) -> String {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let mut event = format!("{{\"timestamp\":{micros}");
    text(&mut event, "id", &unique());
    text(&mut event, "level", level);
    text(&mut event, "event", name);
    event
}

/// An id that no other process and no other event has.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static RUN: OnceLock<String> = OnceLock::new();
    let run = RUN.get_or_init(|| {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        format!("{nanos:x}-{random:x}")
    });
    format!("{run}-{:x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Adds a key with a text, as JSON.
fn text(event: &mut String, key: &str, value: &str) {
    for (before, part) in [(",\"", key), ("\":\"", value)] {
        event.push_str(before);
        for character in part.chars() {
            match character {
                '"' | '\\' => event.extend(['\\', character]),
                control if (control as u32) < 0x20 => drop(write!(event, "\\u{:04x}", control as u32)),
                other => event.push(other),
            }
        }
    }
    event.push('"');
}

fn put(event: String) {
    if queue().try_send(Message::Event(event)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn queue() -> &'static SyncSender<Message> {
    static QUEUE: OnceLock<SyncSender<Message>> = OnceLock::new();
    QUEUE.get_or_init(|| {
        let (sender, receiver) = sync_channel(EVENTS_MAX);
        // Without the thread the queue is closed, and events are dropped.
        let _ = std::thread::Builder::new().name("everlog".to_owned()).spawn(move || run(&receiver));
        sender
    })
}

fn run(receiver: &Receiver<Message>) {
    let mut complaints = Complaints(None);
    while let Ok(first) = receiver.recv() {
        let (mut body, mut waiting, mut next) = (String::new(), Vec::new(), Some(first));
        while let Some(message) = next {
            match message {
                Message::Event(event) => {
                    body.push_str(&event);
                    body.push('\n');
                }
                Message::Flush(done) => waiting.push(done),
            }
            next = if body.len() < 1 << 20 { receiver.try_recv().ok() } else { None };
        }
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let mut told = begin("warning", "events_dropped");
            text(&mut told, "message", &format!("{dropped} events were dropped: the queue was full"));
            let _ = writeln!(body, "{told},\"dropped\":{dropped}}}");
        }
        if !body.is_empty() {
            deliver(&body, &mut complaints);
        }
        for done in waiting {
            let _ = done.try_send(());
        }
    }
}

fn deliver(body: &str, complaints: &mut Complaints) {
    let mut pause = Duration::from_millis(100);
    loop {
        match post(body) {
            Ok(200..=299) => return,
            Ok(status @ (408 | 429 | 500..=599)) => complaints.say(&format!("status {status}, events wait")),
            Ok(status) => return complaints.say(&format!("status {status}: events are refused")),
            Err(error) => complaints.say(&format!("cannot be reached, events wait: {error}")),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(15));
    }
}

/// One request, one connection; returns the status.
fn post(body: &str) -> std::io::Result<u16> {
    let url = std::env::var("EVERLOG_URL").unwrap_or_else(|_| URL.to_owned());
    let (address, path) = match url.strip_prefix("http://") {
        Some(rest) => rest.trim_end_matches('/').split_once('/').map_or_else(
            || (rest.trim_end_matches('/').to_owned(), String::new()),
            |(address, path)| (address.to_owned(), format!("/{path}")),
        ),
        None => return Err(std::io::Error::other("EVERLOG_URL has to begin with http://")),
    };
    let token = std::env::var("EVERLOG_TOKEN").map(|token| format!("Authorization: Bearer {token}\r\n"));
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let mut stream = TcpStream::connect(if has_port { address.clone() } else { format!("{address}:80") })?;
    stream.set_read_timeout(Some(TIME_MAX))?;
    stream.set_write_timeout(Some(TIME_MAX))?;
    let head = format!(
        "POST {path}/api/v1/logs/{LOG}/events HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\nConnection: close\r\n{}\r\n",
        body.len(),
        token.unwrap_or_default()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer)?;
    let line = String::from_utf8_lossy(&answer);
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other("the answer is no HTTP"))
}

/// What is said on standard error, once a minute.
struct Complaints(Option<Instant>);

impl Complaints {
    fn say(&mut self, what: &str) {
        if self.0.is_none_or(|last| last.elapsed() > Duration::from_secs(60)) {
            self.0 = Some(Instant::now());
            let _ = writeln!(std::io::stderr(), "everlog_connect: {what}");
        }
    }
}
