//! GELF 1.1, the Graylog Extended Log Format: one JSON object a message, compressed or not, over UDP in pieces if it is
//! long. (Graylog's documentation, "GELF via UDP".)

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use event::text::unescape;

use crate::body::{BodyError, unpack};
use crate::decode::{Reason, each_member};
use crate::exception::type_and_message;
use crate::lines::{json_text, severity_name};

/// What a datagram begins with that holds a piece of a message.
const PIECE_MAGIC: [u8; 2] = [0x1e, 0x0f];

/// Bytes before the data of a piece: the magic, an id of eight bytes, its number, how many there are.
const PIECE_HEAD_BYTES: usize = 12;

/// Most pieces of a message, by the specification.
const PIECES_MAX: usize = 128;

/// How long the pieces of a message may take to arrive, by the specification.
const PIECES_TIME_MAX: Duration = Duration::from_secs(5);

/// Most messages that may wait for pieces, and their bytes.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Keys that mean something to an event, so that an additional field of that name keeps its underscore.
const OWN_KEYS: [&str; 9] = ["", "id", "timestamp", "level", "message", "host", "exception", "gelf", "full_message"];

/// The text of the event that a message is.
///
/// # Errors
/// When it is no JSON object.
pub(crate) fn document(text: &str, sender: Option<&str>) -> Result<String, Reason> {
    let mut members: Vec<(String, &str)> = Vec::new();
    each_member(text, |key, raw| {
        members.push((key.to_owned(), raw));
        Ok(())
    })?;
    let names: HashSet<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
    let find = |name: &str| members.iter().rfind(|(key, _)| key == name).map(|(_, raw)| *raw);
    let mut json = String::with_capacity(text.len() + 64);
    let mut gelf = String::new();
    let short = find("short_message");
    let full = find("full_message").filter(|full| Some(*full) != short);
    for (key, raw) in &members {
        match key.as_str() {
            "version" => push(&mut gelf, "version", raw),
            "short_message" => push(&mut json, "message", raw),
            "full_message" => push_full(&mut json, (raw, full), short),
            "level" => match raw.parse().ok().filter(|severity| *severity <= 7) {
                Some(severity) => {
                    push(&mut gelf, "level", raw);
                    push(&mut json, "level", &json_text(severity_name(severity)));
                }
                None => push(&mut json, "level", raw),
            },
            key => {
                let bare = key.strip_prefix('_').filter(|bare| !OWN_KEYS.contains(bare) && !names.contains(bare));
                push(&mut json, bare.unwrap_or(key), raw);
            }
        }
    }
    if let Some(sender) = sender {
        push(&mut gelf, "sender", &json_text(sender));
    }
    if !gelf.is_empty() && !names.contains("gelf") {
        push(&mut json, "gelf", &format!("{{{}}}", &gelf[1..]));
    }
    Ok(format!("{{{}}}", json.get(1..).unwrap_or_default()))
}

/// The long text of a message: a traceback, or what there is beside the short one.
fn push_full(json: &mut String, (raw, full): (&str, Option<&str>), short: Option<&str>) {
    let Some(full) = full.filter(|full| *full == raw) else { return };
    let text = unescape(full).unwrap_or_default();
    if text.contains('\n') && type_and_message(&text).is_some() {
        push(json, "exception", full);
    } else {
        push(json, if short.is_some() { "full_message" } else { "message" }, full);
    }
}

fn push(json: &mut String, key: &str, raw: &str) {
    json.push(',');
    json.push_str(&json_text(key));
    json.push(':');
    json.push_str(raw);
}

/// Unpacks a datagram or a whole message: gzip, zlib, or as it is.
///
/// # Errors
/// When it does not unpack, or not within `bytes_max`.
pub(crate) fn unpacked(bytes: &[u8], bytes_max: usize) -> Result<std::borrow::Cow<'_, [u8]>, BodyError> {
    let encoding = match bytes {
        [0x1f, 0x8b, ..] => "gzip",
        // Its two bytes are a multiple of 31 (RFC 1950), which no `{` begins.
        [0x78, second, ..] if (0x7800 + u32::from(*second)).is_multiple_of(31) => "deflate",
        _ => "",
    };
    unpack(encoding, bytes, bytes_max)
}

/// Messages that came in pieces.
#[derive(Debug, Default)]
pub struct Pieces {
    waiting: HashMap<(SocketAddr, [u8; 8]), Waiting>,
    bytes: usize,
    lost: u64,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    pieces: Vec<Option<Vec<u8>>>,
    missing: usize,
    bytes: usize,
}

impl Pieces {
    /// Takes a datagram and returns the message that is now whole: at once, if it did not come in pieces. What was begun
    /// more than five seconds before `now` is given up, and the oldest if too much waits.
    pub fn take(&mut self, datagram: &[u8], sender: SocketAddr, now: Instant) -> Option<Vec<u8>> {
        if !datagram.starts_with(&PIECE_MAGIC) {
            return Some(datagram.to_vec());
        }
        let (head, data) = datagram.split_at_checked(PIECE_HEAD_BYTES)?;
        let id: [u8; 8] = head.get(2..10)?.try_into().ok()?;
        let (number, count) = (usize::from(head[10]), usize::from(head[11]));
        if count == 0 || count > PIECES_MAX || number >= count {
            self.lost += 1;
            return None;
        }
        let key = (sender, id);
        if !self.waiting.contains_key(&key) {
            self.make_room(now);
        }
        let waiting = self.waiting.entry(key).or_insert_with(|| Waiting {
            since: now,
            pieces: vec![None; count],
            missing: count,
            bytes: 0,
        });
        let place = waiting.pieces.get_mut(number).filter(|place| place.is_none())?;
        *place = Some(data.to_vec());
        waiting.missing -= 1;
        waiting.bytes += data.len();
        self.bytes += data.len();
        if waiting.missing > 0 {
            return None;
        }
        let whole = self.waiting.remove(&key)?;
        self.bytes -= whole.bytes;
        Some(whole.pieces.into_iter().flatten().flatten().collect())
    }

    /// How many messages were given up since this was asked last.
    pub fn take_lost(&mut self, now: Instant) -> u64 {
        self.give_up(now);
        std::mem::take(&mut self.lost)
    }

    fn make_room(&mut self, now: Instant) {
        if self.waiting.len() < WAITING_MAX && self.bytes < WAITING_BYTES_MAX {
            return;
        }
        self.give_up(now);
        while self.waiting.len() >= WAITING_MAX || self.bytes >= WAITING_BYTES_MAX {
            let oldest = self.waiting.iter().min_by_key(|(_, waiting)| waiting.since).map(|(key, _)| *key);
            let Some(waiting) = oldest.and_then(|key| self.waiting.remove(&key)) else { return };
            self.bytes -= waiting.bytes;
            self.lost += 1;
        }
    }

    fn give_up(&mut self, now: Instant) {
        let before = self.waiting.len();
        self.waiting.retain(|_, waiting| now.saturating_duration_since(waiting.since) <= PIECES_TIME_MAX);
        self.lost += (before - self.waiting.len()) as u64;
        self.bytes = self.waiting.values().map(|waiting| waiting.bytes).sum();
    }
}
