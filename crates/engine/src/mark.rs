//! Errors get the fingerprint of their issue before they are stored: a question for `fingerprint:…` finds every
//! occurrence, and whoever reacts to errors need not look at anything else.

use alerts::past::is_past;
use event::shared::FINGERPRINT;
use event::{ADDED, Added, Batch, BatchBuilder, Field, KeyIndex, Level, PartAt, Row, Timestamp, Value, logical_name};
use intake::classify::{LOGIN, PROBE};
use issues::{Explanation, Facts, Group, explain, group};
use store::Documents;

/// The event that tells that a release came into use.
pub(crate) const DEPLOY: &str = "deploy";

/// Parts of a fingerprint that a client gave which are looked at: nobody means more.
const PARTS_MAX: usize = 16;

/// Sources of one request that are noticed: who speaks is one, or a collector of some.
const SOURCES_MAX: usize = 16;

/// What a key means to grouping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Other,
    Stream,
    Level,
    ClientKind,
    Event,
    Message,
    Template,
    Logger,
    Source,
    Culprit,
    ExceptionType,
    ExceptionMessage,
    Chain,
    Frames,
    Text,
    Status,
    Method,
    Path,
    Route,
    /// A client's own fingerprint: a text or a list.
    Given,
    /// The same at the top of the event, where our own stands.
    Own,
    /// What was added to a document of Elasticsearch.
    Added,
    /// What a log record of a client of Sentry has: what is an error of it, the client tells as an event of its own.
    SentryRecord,
    /// What detectors look for, and what else is reacted to.
    Noted,
}

impl Column {
    fn of(path: &str) -> Self {
        match &*logical_name(path) {
            // No key that is sent has this path.
            _ if path == ADDED => Self::Added,
            "stream" => Self::Stream,
            "level" => Self::Level,
            "client.kind" => Self::ClientKind,
            "event" => Self::Event,
            "message" => Self::Message,
            "sentry.logentry.message" | "message_template" | "messageTemplate" | "@mt" => Self::Template,
            "logger" => Self::Logger,
            "source" => Self::Source,
            "sentry.transaction" | "rollbar.context" | "transaction" | "culprit" => Self::Culprit,
            "exception.type" => Self::ExceptionType,
            "exception.message" => Self::ExceptionMessage,
            "exception.chain" => Self::Chain,
            "exception.frames" => Self::Frames,
            "exception" => Self::Text,
            "status" => Self::Status,
            "method" => Self::Method,
            "path" => Self::Path,
            "http.route" | "otel.attributes.http.route" | "route" => Self::Route,
            "sentry.body" => Self::SentryRecord,
            "sentry.fingerprint" | "rollbar.fingerprint" => Self::Given,
            FINGERPRINT => Self::Own,
            PROBE | LOGIN => Self::Noted,
            _ => Self::Other,
        }
    }
}

/// A batch whose errors have their fingerprints.
#[derive(Debug)]
pub(crate) struct Marked {
    pub(crate) batch: Batch,
    /// Which rows are errors, in order.
    pub(crate) errors: Vec<Error>,
    /// Whether anything in it is reacted to.
    pub(crate) is_notable: bool,
    /// The sources that speak in it, some of very many.
    pub(crate) sources: Vec<String>,
}

/// An error among the events of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) row: usize,
    pub(crate) group: Group,
}

/// What is read of a row.
#[derive(Default)]
struct Read<'a> {
    facts: Facts<'a>,
    /// The client's own fingerprint, as JSON if it is a list.
    given: Option<Value<'a>>,
    has_own: bool,
    is_noted: bool,
    is_record: bool,
    source: &'a str,
    /// Which keys were added to a document, and where in its row that stands.
    added: Option<(Added, PartAt)>,
}

impl<'a> Read<'a> {
    fn of(row: &Row<'a>, columns: &[Column]) -> Self {
        let mut read = Self::default();
        let column = |key: KeyIndex| columns.get(key as usize).copied().unwrap_or(Column::Other);
        for part in row.parts() {
            let column = column(part.key);
            let Some(field) = (column != Column::Other).then(|| part.field()).flatten() else { continue };
            match column {
                Column::Added => read.added = Some((Added::read(field.value), part.at())),
                _ if field.sent => {}
                _ => read.take(column, field.value),
            }
        }
        read
    }

    fn take(&mut self, column: Column, value: Value<'a>) {
        let facts = &mut self.facts;
        let text = match value {
            Value::Str(text) | Value::Raw(text) => text,
            Value::Int(status) if column == Column::Status => {
                facts.status = u16::try_from(status).ok();
                return;
            }
            _ => return,
        };
        let is_list = matches!(value, Value::Raw(_));
        let slot = match column {
            Column::Chain => &mut facts.chain,
            Column::Frames => &mut facts.frames,
            Column::Given | Column::Own => {
                self.has_own |= column == Column::Own;
                self.given = self.given.or(Some(value));
                return;
            }
            _ if is_list => return,
            Column::Level => {
                facts.level = Level::parse(text);
                return;
            }
            Column::Noted => {
                self.is_noted = true;
                return;
            }
            Column::SentryRecord => {
                self.is_record = true;
                return;
            }
            Column::Stream => &mut facts.stream,
            Column::ClientKind => &mut facts.client_kind,
            Column::Event => &mut facts.event,
            Column::Message => &mut facts.message,
            Column::Template => &mut facts.template,
            Column::Logger => &mut facts.logger,
            Column::Source => &mut self.source,
            Column::Culprit => &mut facts.culprit,
            Column::ExceptionType => &mut facts.exception_type,
            Column::ExceptionMessage => &mut facts.exception_message,
            Column::Text => &mut facts.exception_text,
            Column::Method => &mut facts.method,
            Column::Path => &mut facts.path,
            Column::Route => &mut facts.route,
            Column::Other | Column::Added | Column::Status => return,
        };
        if slot.is_empty() {
            *slot = text;
        }
    }

    /// Whether something else than an issue follows from it.
    fn is_notable(&self) -> bool {
        self.is_noted
            || self.facts.event == issues::CONFIGURATION_ERROR
            || self.facts.event == DEPLOY
            || (self.facts.client_kind == "crawler" && self.facts.status == Some(404))
    }

    fn group(&self) -> Option<Group> {
        // One that failed is told by who deploys.
        if !self.facts.is_error() || self.facts.event == DEPLOY || self.is_record {
            return None;
        }
        let parts: Vec<String> = match self.given {
            Some(Value::Str(one)) => vec![one.to_owned()],
            Some(Value::Raw(list)) => parts(list),
            _ => Vec::new(),
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        group(&Facts { fingerprint: &parts, ..self.facts })
    }
}

/// Gives each error its fingerprint. Of days of the past that are taken in `history` says when.
pub(crate) fn mark(batch: Batch, history: Option<Timestamp>) -> Marked {
    let columns: Vec<Column> = batch.keys().iter().map(|path| Column::of(path)).collect();
    let mut is_notable = false;
    // Rows that are written anew: errors, and events whose sender uses our key for something of their own.
    let mut found: Vec<(usize, Changed)> = Vec::new();
    let mut sources: Vec<String> = Vec::new();
    let rows = batch.rows().map(|row| (Read::of(&row, &columns), row.timestamp));
    for (row, (read, time)) in rows.enumerate() {
        // Whose past is taken in does not speak by that.
        let is_past = history.is_some_and(|now| is_past(time, now));
        let is_known = read.source.is_empty() || is_past || sources.iter().any(|known| known == read.source);
        if !is_known && sources.len() < SOURCES_MAX {
            sources.push(read.source.to_owned());
        }
        is_notable |= read.is_notable();
        let group = read.group();
        if group.is_some() || read.has_own {
            found.push((row, Changed { group, has_own: read.has_own, added: read.added }));
        }
    }
    if found.is_empty() {
        return Marked { batch, errors: Vec::new(), is_notable, sources };
    }
    let first = found.first().map_or(0, |(row, ..)| *row);
    let mut builder = BatchBuilder::continuing(&batch, first);
    let mut changed = found.iter().peekable();
    for (index, row) in batch.rows().enumerate().skip(first) {
        let kept = match changed.next_if(|(changed, ..)| *changed == index) {
            Some((_, changed)) => changed.write(&mut builder, &row, &columns),
            None => builder.copy(&row),
        };
        debug_assert!(kept, "a fingerprint fits where an event of a request does");
    }
    let errors: Vec<Error> =
        found.into_iter().filter_map(|(row, changed)| Some(Error { row, group: changed.group? })).collect();
    let is_notable = is_notable || !errors.is_empty();
    Marked { batch: builder.finish(), errors, is_notable, sources }
}

/// What changes in an event.
struct Changed {
    group: Option<Group>,
    has_own: bool,
    added: Option<(Added, PartAt)>,
}

impl Changed {
    /// Writes the event with our fingerprint in the column. What it sent under that name is kept beside it, as it is sent.
    fn write(&self, builder: &mut BatchBuilder, row: &Row<'_>, columns: &[Column]) -> bool {
        let added = self.added.filter(|_| self.group.is_some()).map(|(mut added, at)| {
            added.add(FINGERPRINT);
            (added, at)
        });
        if self.has_own {
            for Field { key, value, sent } in row.fields() {
                match (columns.get(key as usize), added) {
                    (Some(Column::Added), Some((added, _))) => builder.push(key, added.value(), sent),
                    (Some(Column::Own), _) => builder.push(key, value, true),
                    _ => builder.push(key, value, sent),
                };
            }
        } else {
            builder.begin(row);
            if let Some((added, at)) = added {
                builder.replace_number(at, added.number());
            }
        }
        if let Some(group) = &self.group {
            let key = builder.key(FINGERPRINT);
            builder.push(key, Value::Str(&group.fingerprint), false);
        }
        builder.commit(row.id.clone(), row.timestamp)
    }
}

/// What grouping looks at of an event that is stored.
#[derive(Debug, Default)]
pub(crate) struct Known {
    texts: Vec<(Column, String)>,
    given: Vec<String>,
}

/// What is read of it, under each of its names the first that there is.
const TEXTS: [&str; 22] = [
    "stream",
    "level",
    "client.kind",
    "event",
    "message",
    "sentry.logentry.message",
    "message_template",
    "logger",
    "sentry.transaction",
    "rollbar.context",
    "transaction",
    "culprit",
    "exception.type",
    "exception.message",
    "exception",
    "status",
    "method",
    "path",
    "http.route",
    "otel.attributes.http.route",
    "route",
    "rollbar.fingerprint",
];

impl Known {
    pub(crate) fn of(documents: &Documents<'_>, row: usize) -> Self {
        let mut known = Self::default();
        for path in TEXTS {
            if let Some(text) = documents.text(path, row) {
                known.texts.push((Column::of(path), text));
            }
        }
        for path in ["exception.chain", "exception.frames"] {
            known.texts.extend(documents.list(path, row).map(|list| (Column::of(path), list)));
        }
        // Our own fingerprint has the column; what was sent under its name is beside it.
        let given = documents.list("sentry.fingerprint", row).or_else(|| documents.list(FINGERPRINT, row));
        known.given = given.map(|list| parts(&list)).unwrap_or_default();
        known
    }

    fn with<T>(&self, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
        let mut read = Read::default();
        for (column, text) in &self.texts {
            match column {
                Column::Status => read.facts.status = text.parse().ok(),
                Column::Chain | Column::Frames => read.take(*column, Value::Raw(text)),
                _ => read.take(*column, Value::Str(text)),
            }
        }
        let mut given: Vec<&str> = self.given.iter().map(String::as_str).collect();
        if let (true, Some(Value::Str(one))) = (given.is_empty(), read.given) {
            given.push(one);
        }
        ask(&Facts { fingerprint: &given, ..read.facts })
    }

    pub(crate) fn group(&self) -> Option<Group> {
        self.with(group)
    }

    pub(crate) fn explain(&self) -> Option<Explanation> {
        self.with(explain)
    }
}

/// The parts of a fingerprint that a client gave: a list, or one text.
fn parts(json: &str) -> Vec<String> {
    let text = |part: serde_json::Value| match part {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    match serde_json::from_str(json) {
        Ok(serde_json::Value::Array(list)) => list.into_iter().take(PARTS_MAX).map(text).collect(),
        Ok(one) => vec![text(one)],
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_does_not_speak_by_its_past() {
        let (now, _) = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
        let events = r#"[{"source":"now","timestamp":"2026-01-02T02:30:00Z"},{"source":"past","timestamp":"2026-01-01T03:04:05Z"},
            {"source":"received"}]"#;
        let batch = intake::native(events.as_bytes(), intake::Limits::default(), now).batch;
        assert_eq!(mark(batch.clone(), Some(now)).sources, ["now", "received"]);
        assert_eq!(mark(batch, None).sources, ["now", "past", "received"]);
    }
}
