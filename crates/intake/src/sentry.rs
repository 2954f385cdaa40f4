//! Sentry's envelopes, and the single events of its older clients.
//!
//! Each event, transaction, span, log record, measurement and so on becomes an event of its own: the shared keys are
//! filled from what Sentry calls them, and what was sent stands under `sentry`. Item types that mean nothing here
//! (profiles, replays) are refused one by one, which their sender never notices.

mod event;
mod items;
mod parse;

use std::borrow::Cow;

use ::event::limits::DEPTH_MAX;
use ::event::{Timestamp, Value, format_uuid, parse_uuid};
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use crate::body::unpack;
use crate::decode::{Decoded, Decoder, Door, Limits, Reason, escape_bytes, is_too_deep, not_an_object};
use crate::raw::{Shared, elements, member, pick, text};
use event::Kind;
use parse::{Item, Parts};

pub(crate) use event::{headers_of, link, push_object};

/// Types of items that are kept, beside attachments.
const KEPT: [&str; 11] = [
    "event",
    "feedback",
    "transaction",
    "span",
    "log",
    "trace_metric",
    "session",
    "check_in",
    "user_report",
    "sessions",
    "client_report",
];

/// What an envelope held.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// Its events, those of its attachments among them.
    pub decoded: Decoded,
    /// The id that the answer names: of the envelope, or of its first event.
    pub id: Option<String>,
    /// The attachments whose events are in `decoded`. They have to be kept before these are.
    pub attachments: Vec<Attachment<'a>>,
}

/// A file that came with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment<'a> {
    /// The id of its own event, made of what it belongs to and of what it holds.
    pub id: [u8; 16],
    /// When that happened.
    pub timestamp: Timestamp,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// The key in the `dsn` of an envelope's first line, for senders that say it nowhere else.
#[must_use]
pub fn key(body: &[u8]) -> Option<String> {
    parse::key(Parts::new(body).head)
}

/// Reads an envelope. Attachments of more than `attachment_bytes_max` are refused.
#[must_use]
pub fn envelope(body: &[u8], limits: Limits, attachment_bytes_max: usize, received: Timestamp) -> Envelope<'_> {
    let mut parts = Parts::new(body);
    let mut reader = Reader {
        decoder: Decoder::new(Door::Native, limits, received),
        head: parts.head,
        id: text(member(Some(parts.head), "event_id")).as_deref().and_then(uuid),
        belongs: Belongs { timestamp: received, level: None, trace_id: None },
        attachment_bytes_max,
        attachments: Vec::new(),
    };
    while let Some(item) = parts.next() {
        match item {
            Ok(item) => reader.item(&item),
            Err(reason) => reader.decoder.refuse(reason),
        }
    }
    Envelope { decoded: reader.decoder.finish(), id: reader.id.map(|id| plain(&id)), attachments: reader.attachments }
}

/// Reads one event of the door `store`: JSON, or JSON packed with zlib and written as Base64.
#[must_use]
pub fn store(body: &[u8], limits: Limits, received: Timestamp) -> Envelope<'static> {
    let body = body.trim_ascii();
    let packed = || {
        let bytes = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
        unpack("deflate", &bytes, limits.event_bytes_max).map(Cow::into_owned).ok()
    };
    let unpacked = if body.starts_with(b"{") { None } else { packed() };
    let body = unpacked.as_deref().unwrap_or(body);
    let mut reader = Reader {
        decoder: Decoder::new(Door::Native, limits, received),
        head: "",
        id: None,
        belongs: Belongs { timestamp: received, level: None, trace_id: None },
        attachment_bytes_max: 0,
        attachments: Vec::new(),
    };
    reader.item(&Item { head: "", kind: "event".to_owned(), payload: body });
    Envelope { decoded: reader.decoder.finish(), id: reader.id.map(|id| plain(&id)), attachments: Vec::new() }
}

/// What attachments take from the event before them, so that they stay as long as it does.
struct Belongs {
    timestamp: Timestamp,
    level: Option<String>,
    trace_id: Option<String>,
}

struct Reader<'a> {
    decoder: Decoder,
    /// The first line of the envelope.
    head: &'a str,
    /// Its id, or that of its first event.
    id: Option<[u8; 16]>,
    belongs: Belongs,
    attachment_bytes_max: usize,
    attachments: Vec<Attachment<'a>>,
}

impl<'a> Reader<'a> {
    fn item(&mut self, item: &Item<'a>) {
        if item.kind == "attachment" {
            self.attachment(item);
            return;
        }
        if !KEPT.contains(&item.kind.as_str()) {
            self.decoder.refuse(Reason::Unsupported { kind: item.kind.chars().take(60).collect() });
            return;
        }
        let escaped;
        let payload = match std::str::from_utf8(item.payload) {
            Ok(payload) => payload,
            Err(_) => {
                escaped = escape_bytes(item.payload);
                self.decoder.escaped = true;
                &escaped
            }
        };
        let payload = payload.trim();
        if !payload.starts_with('{') {
            self.decoder.refuse(not_an_object(payload));
        } else if is_too_deep(payload, DEPTH_MAX - 1) {
            self.decoder.refuse(Reason::TooDeep);
        } else {
            self.document(&item.kind, payload);
        }
        self.decoder.escaped = false;
    }

    fn document(&mut self, kind: &str, payload: &str) {
        match kind {
            "event" => self.event(payload, Kind::Event),
            "feedback" => self.event(payload, Kind::Feedback),
            "transaction" => self.transaction(payload),
            "span" => self.container(payload, "span", items::span_v2),
            "log" => self.container(payload, "log", items::log),
            "trace_metric" => self.container(payload, "trace_metric", items::metric),
            "session" => self.once(payload, &items::session(payload)),
            "check_in" => self.once(payload, &items::check_in(payload)),
            "user_report" => self.once(payload, &items::user_report(payload)),
            // Of these, two senders may well send the same.
            "sessions" => self.add(None, &items::sessions(payload), payload),
            _ => self.add(None, &items::client_report(payload), payload),
        }
    }

    fn add(&mut self, id: Option<[u8; 16]>, keys: &Shared<'_>, payload: &str) {
        add(&mut self.decoder, id, keys, payload);
    }

    /// What has no id of its own, and is the same only when it is sent again.
    fn once(&mut self, payload: &str, keys: &Shared<'_>) {
        self.add(Some(derived(&[payload.as_bytes()])), keys, payload);
    }

    /// The id that an event names, or that of its envelope.
    fn event_id(&mut self, named: Option<&str>) -> Option<[u8; 16]> {
        let id = text(named).as_deref().and_then(uuid).or(self.id);
        self.id = self.id.or(id);
        id
    }

    fn event(&mut self, payload: &str, kind: Kind) {
        let (named, keys) = event::shared(payload, kind);
        let id = self.event_id(named);
        self.belongs(&keys);
        self.add(id, &keys, payload);
    }

    fn belongs(&mut self, keys: &Shared<'_>) {
        if let Some((moment, _)) = keys.get("timestamp").and_then(Timestamp::parse) {
            self.belongs.timestamp = moment;
        }
        self.belongs.level = keys.get("level").map(str::to_owned);
        self.belongs.trace_id = keys.get("trace_id").map(str::to_owned);
    }

    /// A transaction, and each of its spans.
    fn transaction(&mut self, payload: &str) {
        let (named, keys) = event::shared(payload, Kind::Transaction);
        let id = self.event_id(named);
        self.belongs(&keys);
        match items::without(payload, "spans") {
            Ok(own) => self.add(id, &keys, &own),
            Err(reason) => return self.decoder.refuse(reason),
        }
        for span in elements(member(Some(payload), "spans")) {
            let mut own = items::span(span);
            own.inherit(&keys, items::INHERITED);
            self.add(Some(span_id(&own, span)), &own, span);
        }
    }

    /// The items of a container, with the attributes of each unpacked.
    fn container(&mut self, payload: &str, kind: &str, keys: fn(&str) -> Shared<'_>) {
        let [items] = pick(Some(payload), ["items"]);
        let Some(items) = items else {
            self.decoder.refuse(Reason::WrongValue { key: "items", expected: "a list", found: "nothing".to_owned() });
            return;
        };
        let head = derived(&[kind.as_bytes(), self.head.as_bytes()]);
        for (index, item) in elements(Some(items)).enumerate() {
            if !item.starts_with('{') {
                self.decoder.refuse(not_an_object(item));
                continue;
            }
            let unpacked = items::unpacked(item);
            let keys = keys(&unpacked);
            let id = if kind == "span" {
                span_id(&keys, item)
            } else {
                let index = index.to_string();
                derived(&[&head, index.as_bytes(), item.as_bytes()])
            };
            self.add(Some(id), &keys, &unpacked);
        }
    }

    fn attachment(&mut self, item: &Item<'a>) {
        let (bytes, bytes_max) = (item.payload.len(), self.attachment_bytes_max);
        if bytes > bytes_max {
            self.decoder.refuse(Reason::AttachmentTooLarge { bytes, bytes_max });
            return;
        }
        let digest = Sha256::digest(item.payload);
        let [name, content_type, kind] = pick(Some(item.head), ["filename", "content_type", "attachment_type"]);
        let owner = self.id.map(|id| format_uuid(&id)).unwrap_or_default();
        let name = text(name);
        let id = derived(&[b"attachment", owner.as_bytes(), name.as_deref().unwrap_or("").as_bytes(), &digest]);
        let timestamp = self.belongs.timestamp;
        let mut keys = Shared::default();
        keys.text("event", Some("attachment".into()));
        keys.text("message", name.clone());
        keys.moment(Some(timestamp));
        keys.text("level", self.belongs.level.clone().map(Cow::Owned));
        keys.text("trace_id", self.belongs.trace_id.clone().map(Cow::Owned));
        keys.text("attachment.event_id", Some(Cow::Owned(owner)));
        keys.text("attachment.filename", name);
        keys.text("attachment.content_type", text(content_type));
        keys.text("attachment.type", text(kind));
        keys.value("attachment.bytes", i64::try_from(bytes).ok().map(Value::Int));
        keys.text("attachment.sha256", Some(Cow::Owned(digest.iter().map(|byte| format!("{byte:02x}")).collect())));
        let kept = self.decoder.kept;
        add(&mut self.decoder, Some(id), &keys, item.head);
        if self.decoder.kept > kept && !self.attachments.iter().any(|one| one.id == id) {
            self.attachments.push(Attachment { id, timestamp, bytes: item.payload });
        }
    }
}

fn add(decoder: &mut Decoder, id: Option<[u8; 16]>, keys: &Shared<'_>, payload: &str) {
    decoder.shaped(payload.len(), |event| {
        event.value("id", id.map_or(Value::Null, Value::Uuid));
        keys.fill(event)?;
        event.json("sentry", payload)
    });
}

/// An id as Sentry's clients write it: with hyphens or without.
pub(crate) fn uuid(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 {
        return parse_uuid(text);
    }
    uuid::Uuid::try_parse(text).ok().map(uuid::Uuid::into_bytes)
}

/// The same the other way round: without hyphens.
pub(crate) fn plain(id: &[u8; 16]) -> String {
    format_uuid(id).replace('-', "")
}

/// An id that is the same whenever the same is sent: a UUID of version 8.
pub(crate) fn derived(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes()
}

/// The id of a span: of its own ids, where it has both.
fn span_id(keys: &Shared<'_>, span: &str) -> [u8; 16] {
    match (keys.get("trace_id"), keys.get("span_id")) {
        (Some(trace), Some(span)) => derived(&[b"span", trace.as_bytes(), span.as_bytes()]),
        _ => derived(&[b"span", span.as_bytes()]),
    }
}
