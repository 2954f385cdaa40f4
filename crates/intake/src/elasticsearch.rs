//! Documents as clients of Elasticsearch send them: bodies of `_bulk`, and single ones.
//!
//! A body of `_bulk` is lines: an action, `{"index":{"_index":"shop","_id":"7"}}`, and for most actions a document below
//! it. Each action is one item of the answer, in order, whatever it is. The log of an event is the index, its id is
//! `_id`; without one each document is an event of its own, even where two are equal. What a document calls `id` means
//! nothing here.

use std::collections::HashMap;

use event::limits::{DEPTH_MAX, REQUEST_EVENTS_MAX};
use event::{Id, Timestamp, Value};

use crate::decode::{Decoded, Decoder, Door, Limits, Reason, escape_bytes, is_too_deep};

/// Most logs that one request may name.
const LOGS_MAX: usize = 1000;

/// The key of a document that is nested more deeply than an event may be: its value is the document as text.
const TOO_DEEP: &str = "document";

/// What an item asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep the document; if its id is known, it is there already.
    Index,
    /// The same, but a known id is an error.
    Create,
    /// Change a document, which cannot be.
    Update,
    /// Remove a document, which cannot be.
    Delete,
}

impl Action {
    /// Its name in requests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Index, Self::Create, Self::Update, Self::Delete].into_iter().find(|action| action.name() == name)
    }
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the event at this place of its part.
    Kept(u32),
    /// It is no event.
    Refused(Box<Trouble>),
}

/// Why an item is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The id that it named.
    pub id: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// One action of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it asks for.
    pub action: Action,
    /// Its part of the request.
    pub part: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a request has for one log.
#[derive(Debug)]
pub struct Part {
    /// The index as it is named; empty for items that name none.
    pub index: String,
    /// Its events, and what was refused of it.
    pub decoded: Decoded,
}

/// What a request held.
#[derive(Debug, Default)]
pub struct Bulk {
    /// By log.
    pub parts: Vec<Part>,
    /// One for each action, in order.
    pub items: Vec<Item>,
}

/// Reads a body of `_bulk`. `index` is the one of actions that name none, if the path has one.
#[must_use]
pub fn bulk(body: &[u8], index: Option<&str>, limits: Limits, received: Timestamp) -> Bulk {
    let mut reader = Reader {
        lines: Lines { body, utf8: std::str::from_utf8(body).is_ok() },
        index,
        limits,
        received,
        parts: Vec::new(),
        by_index: HashMap::new(),
        items: Vec::with_capacity(body.len() / 256),
        before: None,
    };
    while let Some(line) = reader.lines.next() {
        reader.item(line);
    }
    let parts = reader.parts.into_iter().map(|(index, decoder)| Part { index, decoded: decoder.finish() });
    Bulk { parts: parts.collect(), items: reader.items }
}

/// Reads one document, which is an event or refused.
#[must_use]
pub fn document(body: &[u8], id: Option<&str>, limits: Limits, received: Timestamp) -> Decoded {
    let mut decoder = Decoder::new(Door::Elasticsearch, limits, received);
    let taken = match std::str::from_utf8(body) {
        Ok(text) => take(&mut decoder, text, id),
        Err(_) => {
            let mut taken = Ok(());
            decoder.with_escapes(|decoder| taken = take(decoder, &escape_bytes(body), id));
            taken
        }
    };
    match taken {
        Ok(()) => decoder.kept_one(),
        Err(reason) => decoder.refuse(reason),
    }
    decoder.finish()
}

/// Adds one document to the events of its log. What nobody can mend who only passes it on is kept all the same.
fn take(decoder: &mut Decoder, text: &str, id: Option<&str>) -> Result<(), Reason> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    decoder.given = id.map(Id::new);
    let taken = if text.len() <= decoder.limits.event_bytes_max && is_too_deep(text, DEPTH_MAX) {
        let mut wrapped = format!("{{\"{TOO_DEEP}\":").into_bytes();
        Value::Str(text).write_json(&mut wrapped);
        wrapped.push(b'}');
        // Escapes make it longer than it was sent.
        let bytes_max = std::mem::replace(&mut decoder.limits.event_bytes_max, usize::MAX);
        let taken = std::str::from_utf8(&wrapped).map_or(Err(Reason::TooDeep), |text| decoder.event(text));
        decoder.limits.event_bytes_max = bytes_max;
        taken
    } else {
        decoder.event(text)
    };
    if taken.is_err() {
        decoder.builder.rollback();
    }
    decoder.given = None;
    taken
}

/// The lines of a body that hold something.
#[derive(Debug)]
struct Lines<'a> {
    body: &'a [u8],
    /// Whether all of it is UTF-8.
    utf8: bool,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.body.is_empty() {
            let end = memchr::memchr(b'\n', self.body).unwrap_or(self.body.len());
            let line = self.body[..end].trim_ascii();
            self.body = self.body.get(end + 1..).unwrap_or_default();
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    }
}

/// An action as it stands in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head<'a> {
    action: Action,
    index: Option<std::borrow::Cow<'a, str>>,
    id: Option<std::borrow::Cow<'a, str>>,
}

struct Reader<'a> {
    lines: Lines<'a>,
    index: Option<&'a str>,
    limits: Limits,
    received: Timestamp,
    parts: Vec<(String, Decoder)>,
    by_index: HashMap<String, u32>,
    items: Vec<Item>,
    /// The action line before this one, if it named no id: most are equal to it.
    before: Option<(&'a [u8], Action, u32)>,
}

impl<'a> Reader<'a> {
    fn item(&mut self, line: &'a [u8]) {
        if let Some((before, action, part)) = self.before
            && before == line
        {
            return self.sourced(action, part, None);
        }
        match head(line) {
            Ok(head) => self.act(line, head),
            Err(message) => {
                let part = self.part("");
                self.refuse(Action::Index, part, None, Reason::NotJson { message });
                // What follows is its document, unless it is plainly the next action.
                let rest = self.lines.body;
                if self.lines.next().is_some_and(|line| self::head(line).is_ok()) {
                    self.lines.body = rest;
                }
            }
        }
    }

    fn act(&mut self, line: &'a [u8], head: Head<'a>) {
        let Head { action, index, id } = head;
        let name = index.as_deref().or(self.index).unwrap_or("");
        let part = self.part(name);
        let named = !self.parts[part as usize].0.is_empty();
        let has_document = action != Action::Delete;
        let reason = if !named {
            let what = if name.is_empty() {
                "there is no index: name it as `_index` of the action, or in the path: POST /INDEX/_bulk".to_owned()
            } else {
                format!("a request may name up to {LOGS_MAX} indices: send it in smaller parts")
            };
            Some(Reason::Conflict { what })
        } else if matches!(action, Action::Update | Action::Delete) {
            let what = format!(
                "{} is not possible: what was written stays as it is, until the retention of the log ends; send what has changed as a document of its own",
                action.name()
            );
            Some(Reason::Conflict { what })
        } else if id.as_deref() == Some("") {
            Some(Reason::Conflict { what: "`_id` is empty: leave it out, or name one".to_owned() })
        } else {
            None
        };
        match reason {
            Some(reason) => {
                self.refuse(action, part, id.as_deref(), reason);
                if has_document {
                    self.lines.next();
                }
            }
            None => {
                self.before = id.is_none().then_some((line, action, part));
                self.sourced(action, part, id.as_deref());
            }
        }
    }

    /// An action with a document in the next line.
    fn sourced(&mut self, action: Action, part: u32, id: Option<&str>) {
        let Some(line) = self.lines.next() else {
            let message = "the document is missing: the body ends after the action".to_owned();
            return self.refuse(action, part, id, Reason::NotJson { message });
        };
        if self.items.len() >= REQUEST_EVENTS_MAX {
            return self.refuse(action, part, id, Reason::BatchFull);
        }
        let utf8 = self.lines.utf8;
        let decoder = &mut self.parts[part as usize].1;
        let row = u32::try_from(decoder.kept).unwrap_or(u32::MAX);
        let taken = match std::str::from_utf8(line) {
            Ok(text) => take(decoder, text, id),
            Err(_) if utf8 => Err(Reason::NotJson { message: "unreadable".to_owned() }),
            Err(_) => {
                let mut taken = Ok(());
                decoder.with_escapes(|decoder| taken = take(decoder, &escape_bytes(line), id));
                taken
            }
        };
        match taken {
            Ok(()) => {
                decoder.kept_one();
                self.items.push(Item { action, part, outcome: Outcome::Kept(row) });
            }
            Err(reason) => self.refuse(action, part, id, reason),
        }
    }

    fn refuse(&mut self, action: Action, part: u32, id: Option<&str>, reason: Reason) {
        self.parts[part as usize].1.refuse(reason.clone());
        let outcome = Outcome::Refused(Box::new(Trouble { id: id.map(str::to_owned), reason }));
        self.items.push(Item { action, part, outcome });
    }

    /// The part of an index; of one more than there may be, that of no index.
    fn part(&mut self, index: &str) -> u32 {
        if let Some((_, _, part)) = self.before
            && self.parts[part as usize].0 == index
        {
            return part;
        }
        if let Some(part) = self.by_index.get(index) {
            return *part;
        }
        if self.parts.len() >= LOGS_MAX && !index.is_empty() {
            return self.part("");
        }
        let part = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        self.parts.push((index.to_owned(), Decoder::new(Door::Elasticsearch, self.limits, self.received)));
        self.by_index.insert(index.to_owned(), part);
        part
    }
}

/// Reads an action line.
fn head(line: &[u8]) -> Result<Head<'_>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "the action is not UTF-8".to_owned())?;
    if let Some(head) = plain_head(text) {
        return Ok(head);
    }
    // Rare: escapes, numbers, further keys.
    let read: serde_json::Value = if is_too_deep(text, DEPTH_MAX) {
        return Err("the action is nested too deeply".to_owned());
    } else {
        serde_json::from_str(text).map_err(|error| format!("the action is not readable: {error}"))?
    };
    let expected = "expected an action such as {\"index\":{\"_index\":\"NAME\"}}";
    let members = read.as_object().ok_or(expected)?;
    // Some clients write keys of their own beside it.
    let found = members.iter().find_map(|(name, value)| Some((Action::parse(name)?, value)));
    let (action, value) = found.ok_or_else(|| match members.keys().next() {
        Some(name) => format!("{expected}, found {:?}", name.chars().take(64).collect::<String>()),
        None => expected.to_owned(),
    })?;
    if !value.is_object() && !value.is_null() {
        return Err(expected.to_owned());
    }
    let text = |name: &str| match &value[name] {
        serde_json::Value::String(text) => Some(text.clone().into()),
        serde_json::Value::Number(number) => Some(number.to_string().into()),
        serde_json::Value::Bool(truth) => Some(truth.to_string().into()),
        _ => None,
    };
    let create = action == Action::Index && value["op_type"] == "create";
    Ok(Head { action: if create { Action::Create } else { action }, index: text("_index"), id: text("_id") })
}

/// The common form: one action, and in it texts without escapes under `_index` and `_id` alone.
fn plain_head(text: &str) -> Option<Head<'_>> {
    let rest = text.trim_start().strip_prefix('{')?.trim_start().strip_prefix('"')?;
    let (name, rest) = rest.split_once('"')?;
    let mut head = Head { action: Action::parse(name)?, index: None, id: None };
    let mut rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('{')?.trim_start();
    while let Some(key) = rest.strip_prefix('"') {
        let (key, after) = key.split_once('"')?;
        let value = after.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        let end = memchr::memchr2(b'"', b'\\', value.as_bytes())?;
        if value.as_bytes()[end] == b'\\' || value.as_bytes()[..end].iter().any(u8::is_ascii_control) {
            return None;
        }
        let slot = match key {
            "_index" => &mut head.index,
            "_id" => &mut head.id,
            _ => return None,
        };
        if slot.replace(value[..end].into()).is_some() {
            return None;
        }
        rest = value[end + 1..].trim_start();
        match rest.strip_prefix(',') {
            Some(more) => {
                rest = more.trim_start();
                if !rest.starts_with('"') {
                    return None;
                }
            }
            None => break,
        }
    }
    let rest = rest.strip_prefix('}')?.trim_start().strip_prefix('}')?;
    rest.trim_start().is_empty().then_some(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8]) -> Bulk {
        bulk(body, None, Limits::default(), Timestamp::from_micros(1_767_225_600_000_000))
    }

    /// Each item as `action index row` or `action index reason`.
    fn shown(bulk: &Bulk) -> Vec<String> {
        let show = |item: &Item| {
            let outcome = match &item.outcome {
                Outcome::Kept(row) => row.to_string(),
                Outcome::Refused(trouble) => trouble.reason.name().to_owned(),
            };
            format!("{} {} {outcome}", item.action.name(), bulk.parts[item.part as usize].index)
        };
        bulk.items.iter().map(show).collect()
    }

    fn ids(bulk: &Bulk, part: usize) -> Vec<String> {
        bulk.parts[part].decoded.batch.rows().map(|row| row.id.to_string()).collect()
    }

    #[test]
    fn actions_in_every_form() {
        let body = br#"{"index":{"_index":"a","_id":"1"}}
{"n":1}
{ "create" : { "_id" : "2", "_index" : "a" } }
{"n":2}

{"index":{"_index":"b","pipeline":null},"attempts":0}
{"n":3}

{"index":{"_index":"b","_id":7,"routing":"x"}}
{"n":4}
{"index":{"_index":"b","_id":"\u00e9"}}
{"n":5}
{"delete":{"_index":"a","_id":"1"}}
{"update":{"_index":"a","_id":"1"}}
{"doc":{"n":9}}
{"index":{"_index":"a","op_type":"create"}}
{"n":6}"#;
        let found = read(body);
        assert_eq!(
            shown(&found),
            [
                "index a 0",
                "create a 1",
                "index b 0",
                "index b 1",
                "index b 2",
                "delete a conflict",
                "update a conflict",
                "create a 2"
            ]
        );
        assert_eq!(ids(&found, 0)[..2], ["1", "2"]);
        assert_eq!(ids(&found, 1)[1..], ["7", "é"]);
    }

    #[test]
    fn the_index_of_the_path_and_none() {
        let body = b"{\"index\":{}}\n{}\n{\"create\":{}}\n{}\n{\"index\":{\"_index\":\"other\"}}\n{}\n";
        let found = bulk(body, Some("web"), Limits::default(), Timestamp::from_micros(0));
        assert_eq!(shown(&found), ["index web 0", "create web 1", "index other 0"]);
        assert_eq!(shown(&read(body)), ["index  conflict", "create  conflict", "index other 0"]);
    }

    #[test]
    fn broken_lines_take_nothing_with_them() {
        let body = b"{\"index\":{\"_index\":\"a\"}}\n{\"n\":1}\nnonsense\n{\"n\":2}\n{\"index\":{\"_index\":\"a\"}}\n{\"n\":\n{\"index\":{\"_index\":\"a\"}}\n[1]\nnonsense\n{\"index\":{\"_index\":\"a\"}}\n{\"n\":3}\n{\"index\":{\"_index\":\"a\"}}";
        assert_eq!(
            shown(&read(body)),
            [
                "index a 0",
                "index  not_json",
                "index a not_json",
                "index a not_an_object",
                "index  not_json",
                "index a 1",
                "index a not_json"
            ]
        );
    }

    #[test]
    fn what_nobody_can_mend_is_kept() {
        let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
        let body = [
            b"{\"index\":{\"_index\":\"a\"}}\n",
            deep.as_bytes(),
            b"\n{\"index\":{\"_index\":\"a\"}}\n{\"n\":\"\xff\"}\n",
        ]
        .concat();
        let found = read(&body);
        assert_eq!(shown(&found), ["index a 0", "index a 1"]);
        let batch = &found.parts[0].decoded.batch;
        let kept = batch.row(0).fields().find(|field| &*batch.keys()[field.key as usize] == TOO_DEEP);
        assert_eq!(kept.map(|field| field.value), Some(Value::Str(&deep)));
    }

    #[test]
    fn the_id_and_the_time_of_a_document() {
        let body = br#"{"index":{"_index":"a"}}
{"id":5,"@timestamp":"2026-01-02T03:04:05Z","timestamp":"soon"}
{"index":{"_index":"a"}}
{"id":5,"datetime":"2026-11-20 15:42:32Z"}"#;
        let found = read(body);
        let batch = &found.parts[0].decoded.batch;
        assert_eq!(batch.row(0).timestamp.to_string(), "2026-01-02T03:04:05.000000Z");
        assert_eq!(batch.row(1).timestamp.to_string(), "2026-11-20T15:42:32.000000Z");
        assert_ne!(batch.row(0).id, batch.row(1).id, "the id in a document is a value like any other");
    }

    #[test]
    fn no_more_logs_than_there_may_be() {
        let lines: String =
            (0..1100).map(|number| format!("{{\"index\":{{\"_index\":\"i{number}\"}}}}\n{{}}\n")).collect();
        let found = read(lines.as_bytes());
        assert_eq!((found.items.len(), found.parts.len()), (1100, LOGS_MAX + 1));
        assert_eq!(shown(&found)[1099], "index  conflict");
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let action = "\\{ ?\"(index|create|update|delete|other)\" ?: ?(\\{(\"_index\":\"[ab]\")?(,?\"_id\":(\"[0-9]?\"|7|null|\"\\\\\"\"))?\\}|null|7)(,\"attempts\":0)?\\}";
        prop_oneof![
            4 => action.prop_map(String::into_bytes),
            3 => "\\{(\"n\":[0-9])?\\}".prop_map(String::into_bytes),
            1 => "[\\[{\"a:,}\\] ]{0,12}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..12),
        ]
    }

    proptest! {
        #[test]
        fn every_item_is_kept_or_refused(lines in proptest::collection::vec(line(), 0..40), end in any::<bool>()) {
            let mut body = lines.join(&b'\n');
            if end {
                body.push(b'\n');
            }
            let found = read(&body);
            let received: usize = found.parts.iter().map(|part| part.decoded.received).sum();
            prop_assert_eq!(received, found.items.len());
            let mut next = vec![0; found.parts.len()];
            for item in &found.items {
                if let Outcome::Kept(row) = item.outcome {
                    prop_assert_eq!(row, next[item.part as usize]);
                    next[item.part as usize] += 1;
                }
            }
            for (part, kept) in found.parts.iter().zip(next) {
                prop_assert_eq!(part.decoded.batch.len(), kept as usize);
                prop_assert_eq!(part.decoded.received, part.decoded.batch.len() + part.decoded.refused_count());
            }
        }

        #[test]
        fn the_quick_way_reads_what_the_careful_one_reads(line in line()) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if let Some(quick) = plain_head(text.trim()) {
                // A blank more than there is in the common form leaves it to the other reader.
                let careful = text.trim().replacen('}', ",\"routing\":\"x\"}", 1).replacen("{,", "{", 1);
                if let Ok(careful) = head(careful.as_bytes()) {
                    prop_assert_eq!(quick, careful);
                }
            }
        }

        #[test]
        fn one_document(body in proptest::collection::vec(any::<u8>(), 0..40)) {
            let decoded = document(&body, Some("7"), Limits::default(), Timestamp::from_micros(0));
            prop_assert_eq!((decoded.received, decoded.batch.len() + decoded.refused_count()), (1, 1));
        }
    }
}
