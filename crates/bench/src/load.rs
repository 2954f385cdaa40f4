//! Sends events over several connections that stay open, with as little work of its own as possible: a thread for each
//! connection, plain sockets, bodies that are ready before the clock starts.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Facts, Generator};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a batch is sent again when the server asks to wait.
const PUSH_BACK_MAX: Duration = Duration::from_secs(60);
const PUSH_BACK_REST: Duration = Duration::from_millis(20);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where to send.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    /// As in `127.0.0.1:7171`.
    pub address: &'a str,
    /// As in `/api/v1/logs/bench/events`.
    pub path: &'a str,
    /// Goes with each request, where one is needed.
    pub token: Option<&'a str>,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// What a body is, and how it is answered when all of it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Our own: the answer counts what was accepted.
    #[default]
    Native,
    /// Elasticsearch's `_bulk`: the answer says that no item failed.
    Bulk,
    /// OpenTelemetry's logs as protobuf, whose answer is empty.
    Otlp,
    /// A Sentry envelope: 200 is all there is to it.
    Sentry,
}

impl Protocol {
    fn content_type(self) -> &'static str {
        match self {
            Self::Native | Self::Bulk => "application/x-ndjson",
            Self::Otlp => "application/x-protobuf",
            Self::Sentry => "application/x-sentry-envelope",
        }
    }

    fn took_all(self, answer: &Answer<'_>, events: u64) -> bool {
        match self {
            Self::Native => answer.accepted() == Some(events),
            Self::Bulk => answer.body.windows(14).take(100).any(|window| window == b"\"errors\":false"),
            Self::Otlp => answer.body.is_empty(),
            Self::Sentry => true,
        }
    }
}

/// Where batches come from.
pub trait Source: Sync {
    /// The next body, which may be made in `room`, with its number of events; nothing when there is no more.
    fn next<'a>(&'a self, room: &'a mut Vec<u8>) -> Option<(&'a [u8], u64)>;

    /// Told after each acknowledged batch.
    fn sent(&self, _events: u64) {}
}

/// What sending was like.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Acknowledged, all of them.
    pub events: u64,
    /// As bodies, in bytes.
    pub bytes: u64,
    /// From before the first request to the last answer.
    pub took: Duration,
    /// From the start of a request to its answer, sorted.
    pub latencies_us: Vec<u32>,
    /// How often the server asked to come again later.
    pub pushed_back: u64,
}

impl Sent {
    /// Events a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// How long the acknowledgement took of this share of the requests.
    #[must_use]
    pub fn within(&self, share: f64) -> Duration {
        let place = ((self.latencies_us.len() as f64 * share) as usize).min(self.latencies_us.len().saturating_sub(1));
        Duration::from_micros(self.latencies_us.get(place).copied().unwrap_or_default().into())
    }

    /// Adds what was sent after this.
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
        self.took += other.took;
        self.pushed_back += other.pushed_back;
        self.latencies_us.extend(other.latencies_us);
        self.latencies_us.sort_unstable();
    }
}

/// Sends all that a source has.
///
/// # Errors
///
/// If the server cannot be reached, or does not take every event.
pub fn send(door: Door<'_>, connections: usize, source: &dyn Source) -> io::Result<Sent> {
    let failed = AtomicBool::new(false);
    let streams = (0..connections.max(1)).map(|_| connect(door.address)).collect::<io::Result<Vec<_>>>()?;
    let started = Instant::now();
    let parts: Vec<io::Result<Sent>> = std::thread::scope(|scope| {
        let spawn = |stream| {
            let failed = &failed;
            scope.spawn(move || {
                let result = one_connection(stream, door, source, failed);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            })
        };
        let threads: Vec<_> = streams.into_iter().map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(other("a sender panicked")))).collect()
    });
    let took = started.elapsed();
    let mut sent = Sent::default();
    for part in parts {
        sent.add(part?);
    }
    Ok(Sent { took, ..sent })
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn one_connection(stream: TcpStream, door: Door<'_>, source: &dyn Source, failed: &AtomicBool) -> io::Result<Sent> {
    let Door { address, path, token, protocol } = door;
    let kind = protocol.content_type();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let fixed = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n{token}Content-Type: {kind}\r\nContent-Length: ");
    let mut connection = Connection { stream, buffer: vec![0; 16 << 10], filled: 0, protocol };
    let (mut room, mut head) = (Vec::new(), Vec::new());
    let mut sent = Sent::default();
    while !failed.load(Ordering::Relaxed) {
        let Some((body, events)) = source.next(&mut room) else { break };
        head.clear();
        head.extend_from_slice(fixed.as_bytes());
        write!(head, "{}\r\n\r\n", body.len())?;
        let before = Instant::now();
        while !connection.ask(&head, body, events)? {
            sent.pushed_back += 1;
            if before.elapsed() > PUSH_BACK_MAX {
                return Err(other("the server was too busy for a minute"));
            }
            rest(PUSH_BACK_REST);
        }
        sent.latencies_us.push(u32::try_from(before.elapsed().as_micros()).unwrap_or(u32::MAX));
        sent.events += events;
        sent.bytes += body.len() as u64;
        source.sent(events);
    }
    Ok(sent)
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    protocol: Protocol,
}

impl Connection {
    /// Sends one request and reads its answer; false if the server asks to come again later.
    fn ask(&mut self, head: &[u8], body: &[u8], events: u64) -> io::Result<bool> {
        let mut slices = [IoSlice::new(head), IoSlice::new(body)];
        let mut left = &mut slices[..];
        while !left.is_empty() {
            match self.stream.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.read(events)
    }

    fn read(&mut self, events: u64) -> io::Result<bool> {
        loop {
            if let Some(answer) = Answer::of(&self.buffer[..self.filled])? {
                let outcome = answer.judge(self.protocol, events);
                let (end, last) = (answer.end, answer.last);
                self.buffer.copy_within(end..self.filled, 0);
                self.filled -= end;
                if last {
                    self.stream = connect(&self.stream.peer_addr()?.to_string())?;
                }
                return outcome;
            }
            if self.filled == self.buffer.len() {
                if self.filled > ANSWER_BYTES_MAX {
                    return Err(other("the answer of the server has no end"));
                }
                self.buffer.resize(self.filled * 2, 0);
            }
            match self.stream.read(&mut self.buffer[self.filled..])? {
                0 => return Err(other("the server closed the connection")),
                read => self.filled += read,
            }
        }
    }
}

/// One answer with a length, the only kind that a writer gets.
struct Answer<'a> {
    status: u16,
    body: &'a [u8],
    end: usize,
    /// Whether the server hangs up after it.
    last: bool,
}

impl<'a> Answer<'a> {
    /// The answer at the start, if all of it is there.
    fn of(bytes: &'a [u8]) -> io::Result<Option<Self>> {
        let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let head = String::from_utf8_lossy(&bytes[..head_end]);
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let (Some(status), Some(length)) = (status, length) else {
            return Err(other(&format!("not an answer to a write: {head}")));
        };
        let last = head.lines().any(|line| line.eq_ignore_ascii_case("connection: close"));
        let start = head_end + 4;
        let body = bytes.get(start..start.saturating_add(length));
        Ok(body.map(|body| Self { status, body, end: start + length, last }))
    }

    fn judge(&self, protocol: Protocol, events: u64) -> io::Result<bool> {
        match self.status {
            200 if protocol.took_all(self, events) => Ok(true),
            429 | 503 => Ok(false),
            status => {
                let said: String = String::from_utf8_lossy(self.body).chars().take(300).collect();
                Err(other(&format!("of {events} events the server did not take all ({status}): {said}")))
            }
        }
    }

    fn accepted(&self) -> Option<u64> {
        let text = std::str::from_utf8(self.body).ok()?;
        let digits = text.split_once("\"accepted\":")?.1;
        digits[..digits.find(|letter: char| !letter.is_ascii_digit())?].parse().ok()
    }
}

/// Batches that were made before.
#[derive(Debug, Default)]
pub struct Batches {
    bytes: Vec<u8>,
    /// Where each ends, and its number of events.
    ends: Vec<(usize, u64)>,
    next: AtomicUsize,
    sent: AtomicU64,
}

impl Batches {
    /// The next `events` events of a day, fewer if it ends before.
    #[must_use]
    pub fn make(day: &mut Generator, events: u64, per_batch: u64) -> Self {
        let mut batches = Self::default();
        let mut made = 0;
        while made < events {
            let size = per_batch.max(1).min(events - made);
            let lines = (0..size).take_while(|_| day.next_line(&mut batches.bytes)).count() as u64;
            if lines > 0 {
                batches.ends.push((batches.bytes.len(), lines));
            }
            if lines < size {
                break;
            }
            made += size;
        }
        batches
    }

    /// Adds a body that was made elsewhere.
    pub fn push(&mut self, body: &[u8], events: u64) {
        self.bytes.extend_from_slice(body);
        self.ends.push((self.bytes.len(), events));
    }

    /// Every body, with its number of events.
    pub fn bodies(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts.zip(&self.ends).map(|(start, (end, events))| (&self.bytes[start..*end], *events))
    }

    /// How many events are acknowledged so far.
    #[must_use]
    pub fn events_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Source for Batches {
    fn next<'a>(&'a self, _room: &'a mut Vec<u8>) -> Option<(&'a [u8], u64)> {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let (end, events) = *self.ends.get(place)?;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before].0);
        Some((&self.bytes[start..end], events))
    }

    fn sent(&self, events: u64) {
        self.sent.fetch_add(events, Ordering::Relaxed);
    }
}

/// Events of a day at a steady rate, until it is stopped. A server that falls behind is not sent less later on.
#[derive(Debug)]
pub struct Steady {
    day: Mutex<(Generator, u64)>,
    per_batch: u64,
    between: Duration,
    started: Instant,
    stopped: AtomicBool,
}

impl Steady {
    /// From now on, `per_second` events a second.
    #[must_use]
    pub fn new(day: Generator, per_second: u64, per_batch: u64) -> Self {
        let between = Duration::from_secs(per_batch) / u32::try_from(per_second.max(1)).unwrap_or(u32::MAX);
        let (day, stopped) = (Mutex::new((day, 0)), AtomicBool::new(false));
        Self { day, per_batch, between, started: Instant::now(), stopped }
    }

    /// Lets the senders end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Reads the right answers about all that was handed to the senders.
    pub fn facts<T>(&self, read: impl FnOnce(&Facts) -> T) -> T {
        read(self.day.lock().unwrap_or_else(PoisonError::into_inner).0.facts())
    }
}

impl Source for Steady {
    fn next<'a>(&'a self, room: &'a mut Vec<u8>) -> Option<(&'a [u8], u64)> {
        room.clear();
        let mut guard = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        let (day, batches) = &mut *guard;
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let events = (0..self.per_batch).take_while(|_| day.next_line(room)).count() as u64;
        let turn = self.between.saturating_mul(u32::try_from(*batches).unwrap_or(u32::MAX));
        *batches += 1;
        drop(guard);
        rest(turn.saturating_sub(self.started.elapsed()));
        (events > 0).then_some((&room[..], events))
    }
}

#[expect(clippy::disallowed_methods, reason = "the server lives in real time, and so does its load")]
fn rest(duration: Duration) {
    if !duration.is_zero() {
        std::thread::sleep(duration);
    }
}

fn other(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_not_there_yet() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n{\"accepted\":3,\"duplicates\":0,\"refused\":[]}HTTP";
        let answer = Answer::of(text).unwrap().unwrap();
        assert_eq!((answer.status, answer.accepted(), answer.end), (200, Some(3), text.len() - 4));
        assert!(answer.judge(Protocol::Native, 3).unwrap());
        assert!(answer.judge(Protocol::Native, 4).is_err());
        assert!(Answer::of(&text[..60]).unwrap().is_none());
        assert!(Answer::of(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        let busy = Answer::of(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n").unwrap().unwrap();
        assert!(!busy.judge(Protocol::Native, 1).unwrap());
    }

    #[test]
    fn batches_are_the_day() {
        let mut whole = Vec::new();
        let mut day = Generator::new(7, 25);
        while day.next_line(&mut whole) {}
        let batches = Batches::make(&mut Generator::new(7, 25), 100, 10);
        let mut room = Vec::new();
        let mut found = Vec::new();
        let mut sizes = Vec::new();
        while let Some((body, events)) = batches.next(&mut room) {
            found.extend_from_slice(body);
            sizes.push(events);
        }
        assert!(found == whole);
        assert_eq!(sizes, [10, 10, 5]);
    }

    /// Answers each request of one connection with the next of these statuses, and returns what was sent.
    fn serve(listener: &std::net::TcpListener, statuses: &[u16]) -> Vec<String> {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut received, mut bodies) = (Vec::new(), Vec::new());
        for status in statuses {
            let (start, length) = loop {
                let text = String::from_utf8_lossy(&received).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.rsplit_once("Content-Length: ").unwrap().1.parse::<usize>().unwrap();
                    if body.len() >= length {
                        break (head.len() + 4, length);
                    }
                }
                let mut piece = [0; 1000];
                let read = stream.read(&mut piece).unwrap();
                received.extend_from_slice(&piece[..read]);
            };
            let body = String::from_utf8(received.drain(..start + length).skip(start).collect()).unwrap();
            let answer = format!("{{\"accepted\":{},\"duplicates\":0}}", body.lines().count());
            write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
            bodies.push(body);
        }
        bodies
    }

    #[test]
    fn what_is_pushed_back_is_sent_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let batches = Batches::make(&mut Generator::new(7, 20), 20, 10);
        let door = Door { address: &address, path: "/x", token: Some("t"), protocol: Protocol::Native };
        let (sent, bodies) = std::thread::scope(|scope| {
            let server = scope.spawn(|| serve(&listener, &[200, 429, 200]));
            let sent = send(door, 1, &batches).unwrap();
            (sent, server.join().unwrap())
        });
        assert_eq!((sent.events, sent.pushed_back, sent.latencies_us.len()), (20, 1, 2));
        assert_eq!(batches.events_sent(), 20);
        assert_eq!(bodies.len(), 3);
        assert!(bodies[1] == bodies[2] && bodies[0] != bodies[1]);
    }

    #[test]
    fn the_share_of_requests_within_a_time() {
        let sent = Sent { latencies_us: (1..=100).collect(), ..Sent::default() };
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| sent.within(share).as_micros()), [1, 51, 100, 100]);
    }
}
