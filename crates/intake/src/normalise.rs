//! Shared keys filled in from what the document calls them, so that one question is answered the same for all.
//!
//! The document itself stays as it was sent: where a shared key holds something else than its column can show, what
//! was sent is kept beside it.

use event::{BatchBuilder, Id, KeyIndex, Level, Timestamp, Value, shared};

use crate::decode::Reason;
use crate::reading;
use crate::vocabulary::{self, OWN, Reading, Role, Shared};

/// A value that is looked at again once the whole event was read.
#[derive(Clone, Debug)]
pub(crate) enum Kept<'a> {
    /// One that borrows from the body.
    Value(Value<'a>),
    /// A text that had escapes.
    Text(String),
    /// A list that stood on several lines.
    Raw(String),
}

impl Kept<'_> {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Value(value) => *value,
            Self::Text(text) => Value::text(text),
            Self::Raw(raw) => Value::Raw(raw),
        }
    }
}

/// A value under another name of a shared key.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) shared: Shared,
    /// The place of the name in the table: the smallest is the best name.
    place: u16,
    kept: Kept<'a>,
}

impl Found<'_> {
    pub(crate) fn value(&self) -> Value<'_> {
        self.kept.value()
    }

    /// How the value is read.
    pub(crate) fn reading(&self) -> Reading {
        vocabulary::reading(self.place).0
    }
}

/// What was noticed of one event while it was taken apart.
#[derive(Debug)]
pub(crate) struct Noticed<'a> {
    id: Option<Kept<'a>>,
    /// When it happened, said by a door that knows it.
    moment: Option<Timestamp>,
    timestamp: Option<Kept<'a>>,
    level: Option<Kept<'a>>,
    stream: Option<Kept<'a>>,
    user: Option<Kept<'a>>,
    event: Option<Kept<'a>>,
    url: Option<Kept<'a>>,
    pub(crate) exception: Option<Kept<'a>>,
    /// The message, if it has several lines.
    lines: Option<Kept<'a>>,
    /// The object `exception` as it was sent.
    pub(crate) exception_object: Option<&'a str>,
    /// Whether something was sent within `exception`, and whether under a name that is none of ours.
    pub(crate) in_exception: bool,
    pub(crate) foreign_exception: bool,
    /// The best name of each shared key that has other names in this event.
    found: Vec<Found<'a>>,
    /// The shared keys that were sent under their own names, as bits, and those of them that are null.
    present: u32,
    nulls: u32,
}

/// What the normaliser is told about the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) received: Timestamp,
    pub(crate) only_uuid_ids: bool,
    /// Whether the event is a document of Elasticsearch: its id stands beside it, `@timestamp` is its time, and what is
    /// added to it is marked.
    pub(crate) document: bool,
}

fn has_lines(value: Value<'_>) -> bool {
    matches!(value, Value::Str(text) if memchr::memchr(b'\n', text.as_bytes()).is_some())
}

impl<'a> Noticed<'a> {
    pub(crate) fn new() -> Self {
        Self {
            id: None,
            moment: None,
            timestamp: None,
            level: None,
            stream: None,
            user: None,
            event: None,
            url: None,
            exception: None,
            lines: None,
            exception_object: None,
            in_exception: false,
            foreign_exception: false,
            found: Vec::new(),
            present: 0,
            nulls: 0,
        }
    }

    /// Sets when it happened.
    pub(crate) fn at(&mut self, moment: Timestamp) {
        self.moment = Some(moment);
    }

    /// Takes a value according to the role of its path, and adds it to the event. False when the path had one.
    pub(crate) fn take(&mut self, builder: &mut BatchBuilder, key: KeyIndex, role: Role, kept: Kept<'a>) -> bool {
        let slot = match role {
            Role::Plain => return builder.push(key, kept.value(), false),
            Role::Own(shared) => {
                let taken = self.take_own(builder, key, shared, kept.value());
                if shared == Shared::Message && has_lines(kept.value()) {
                    self.lines = Some(kept);
                }
                return taken;
            }
            Role::Source(shared) => {
                let taken = self.take_own(builder, key, shared, kept.value());
                *(if shared == Shared::Event { &mut self.event } else { &mut self.url }) = Some(kept);
                return taken;
            }
            Role::Number(shared) => return self.take_number(builder, key, shared, kept.value()),
            Role::Alias(shared, place) => return self.note_alias(builder, key, (shared, place), kept),
            Role::Exception => {
                let pushed = builder.push(key, kept.value(), false);
                self.exception = Some(kept);
                return pushed;
            }
            Role::InException { foreign } => {
                self.in_exception = true;
                self.foreign_exception |= foreign;
                return builder.push(key, kept.value(), false);
            }
            Role::Id => &mut self.id,
            Role::Timestamp => &mut self.timestamp,
            Role::Level => &mut self.level,
            Role::Stream => &mut self.stream,
            Role::User => &mut self.user,
        };
        slot.replace(kept).is_none()
    }

    /// A null waits until it is known whether another name fills the column.
    fn take_own(&mut self, builder: &mut BatchBuilder, key: KeyIndex, shared: Shared, value: Value<'_>) -> bool {
        let bit = shared.bit();
        if (self.present | self.nulls) & bit != 0 {
            return false;
        }
        if value == Value::Null {
            self.nulls |= bit;
            return true;
        }
        self.present |= bit;
        builder.push(key, value, false)
    }

    /// `status` and `duration_ms`: a number in a text is a number to whoever asks.
    fn take_number(&mut self, builder: &mut BatchBuilder, key: KeyIndex, shared: Shared, value: Value<'_>) -> bool {
        match value {
            Value::Str(text) => match Value::number_in(text) {
                Some(number) => self.take_own(builder, key, shared, number) && builder.push(key, value, true),
                None => self.take_own(builder, key, shared, value),
            },
            _ => self.take_own(builder, key, shared, value),
        }
    }

    // What most keys have nothing to do with stays out of the loop over them.
    #[inline(never)]
    fn note_alias(
        &mut self,
        builder: &mut BatchBuilder,
        key: KeyIndex,
        (shared, place): (Shared, u16),
        kept: Kept<'a>,
    ) -> bool {
        let pushed = builder.push(key, kept.value(), false);
        self.note(shared, place, kept);
        pushed
    }

    /// The message, if it has several lines, as one with a traceback in it.
    pub(crate) fn lines(&self) -> Option<&str> {
        let message = self.lines.as_ref().map(Kept::value);
        match message.or_else(|| self.alias(Shared::Message).map(Found::value).filter(|value| has_lines(*value)))? {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The message in the key `event`, where structlog has it: what is no name, if nothing else is the message.
    pub(crate) fn message_in_event(&self) -> Option<&str> {
        match self.event.as_ref().map(Kept::value)? {
            Value::Str(text) if !self.is_present(Shared::Message) && self.alias(Shared::Message).is_none() => {
                Some(text).filter(|text| !reading::is_event_name(text))
            }
            _ => None,
        }
    }

    /// The key `url`, if nothing but it tells the path.
    pub(crate) fn url_with_path(&self) -> Option<&str> {
        match self.url.as_ref().map(Kept::value)? {
            Value::Str(text) if !self.is_present(Shared::Path) => Some(text),
            _ => None,
        }
    }

    /// Whether some shared key may have to be filled.
    fn is_to_fill(&self) -> bool {
        !self.found.is_empty()
            || self.exception.is_some()
            || self.lines.is_some()
            || self.foreign_exception
            || (self.event.is_some() && !self.is_present(Shared::Message))
            || (self.url.is_some() && !self.is_present(Shared::Path))
    }

    /// Keeps the value under the best name of a shared key.
    #[inline(never)]
    fn note(&mut self, shared: Shared, place: u16, kept: Kept<'a>) {
        let known = self.found.iter_mut().find(|found| found.shared == shared);
        if known.as_ref().is_some_and(|known| known.place <= place) {
            return;
        }
        if !reading::says(shared, vocabulary::reading(place).0, kept.value()) {
            return;
        }
        let found = Found { shared, place, kept };
        match known {
            Some(known) => *known = found,
            None => self.found.push(found),
        }
    }

    /// The value under another name of a shared key.
    pub(crate) fn alias(&self, shared: Shared) -> Option<&Found<'a>> {
        self.found.iter().find(|found| found.shared == shared && self.is_usable(found))
    }

    /// Names that mean this only in the events of certain loggers do not count elsewhere.
    fn is_usable(&self, found: &Found<'_>) -> bool {
        found.reading() != Reading::OfLogger || self.is_of_logger()
    }

    /// Whether the event gives its level as pino, Bunyan, Monolog or Python's logging do.
    fn is_of_logger(&self) -> bool {
        let level = self.found.iter().find(|found| found.shared == Shared::Level);
        matches!(self.level.as_ref().map(Kept::value), Some(Value::Int(_)))
            || level.is_some_and(|found| {
                matches!(vocabulary::reading(found.place).1, "levelname" | "level_name" | "levelno")
            })
    }

    /// Whether a shared key was sent under its own name.
    pub(crate) fn is_present(&self, shared: Shared) -> bool {
        self.present & shared.bit() != 0
    }

    /// What was found under other names, but for what is read by itself.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Found<'a>> {
        self.found.iter().filter(|found| !self.is_present(found.shared) && self.is_usable(found))
    }

    /// Adds the shared keys, and completes the event.
    /// `given` is the id of a document of Elasticsearch that has one.
    pub(crate) fn finish(self, builder: &mut BatchBuilder, now: Now, given: Option<Id>) -> Result<(), Reason> {
        self.push_nulls(builder);
        let sent = builder.position();
        let id = if now.document { self.document_id(builder, now, given)? } else { self.finish_id(builder, now)? };
        let timestamp =
            if now.document { self.document_timestamp(builder, now) } else { self.finish_timestamp(builder, now) };
        let level = self.finish_level(builder);
        self.finish_stream(builder, level);
        self.finish_user(builder);
        if self.is_to_fill() {
            crate::fill::fill(&self, builder);
        }
        if now.document {
            self.mark_added(builder, sent);
        }
        if builder.commit(id, timestamp) { Ok(()) } else { Err(Reason::BatchFull) }
    }

    /// A shared key that was sent as null stands beside what another name fills it with.
    fn push_nulls(&self, builder: &mut BatchBuilder) {
        if self.nulls == 0 {
            return;
        }
        for shared in OWN.iter().filter(|shared| self.nulls & shared.bit() != 0) {
            let name = shared.columns().first().copied().unwrap_or_default();
            let filled = self.found.iter().any(|found| found.shared.columns().contains(&name))
                || (*shared == Shared::Message && self.message_in_event().is_some())
                || (*shared == Shared::Path && self.url_with_path().is_some());
            push(builder, name, Value::Null, filled);
        }
    }

    fn finish_id(&self, builder: &mut BatchBuilder, now: Now) -> Result<Id, Reason> {
        let id = match self.id.as_ref().map(Kept::value) {
            Some(Value::Uuid(bytes)) => Id::Uuid(bytes),
            Some(sent) if now.only_uuid_ids && sent != Value::Null => {
                push_sent(builder, "id", sent);
                Id::fresh(now.received)
            }
            Some(Value::Str(text)) if !text.is_empty() => Id::Text(text.into()),
            None | Some(Value::Null) => Id::fresh(now.received),
            Some(other) => {
                let mut json = Vec::new();
                other.write_json(&mut json);
                push_sent(builder, "id", other);
                if json == b"\"\"" { Id::fresh(now.received) } else { Id::Text(String::from_utf8_lossy(&json).into()) }
            }
        };
        match &id {
            Id::Text(text) if text.len() > event::limits::ID_BYTES_MAX => Err(Reason::IdTooLong { bytes: text.len() }),
            _ => Ok(id),
        }
    }

    /// What a document calls `id` is a value like any other: many documents may have the same.
    fn document_id(&self, builder: &mut BatchBuilder, now: Now, given: Option<Id>) -> Result<Id, Reason> {
        if let Some(sent) = self.id.as_ref().map(Kept::value) {
            push_sent(builder, "id", sent);
        }
        match given {
            Some(Id::Text(text)) if text.len() > event::limits::ID_BYTES_MAX => {
                Err(Reason::IdTooLong { bytes: text.len() })
            }
            Some(id) => Ok(id),
            None => Ok(Id::fresh(now.received)),
        }
    }

    /// `@timestamp` goes before `timestamp`, which is a key like any other to who asks Elasticsearch.
    fn document_timestamp(&self, builder: &mut BatchBuilder, now: Now) -> Timestamp {
        let found = self.found.iter().find(|found| found.shared == Shared::Timestamp && found.place == 0);
        let own = found.and_then(|found| reading::moment(found.value()));
        let Some((moment, _)) = own else { return self.finish_timestamp(builder, now) };
        if let Some(sent) = self.timestamp.as_ref().map(Kept::value) {
            push_sent(builder, "timestamp", sent);
        }
        moment
    }

    /// Notes which shared keys were added after the first `sent` values, so that the document can be shown as it was
    /// sent.
    fn mark_added(&self, builder: &mut BatchBuilder, sent: usize) {
        let was_sent = |name: &str| match name {
            "level" => self.level.is_some(),
            "stream" => self.stream.is_some(),
            "user" => self.user.is_some(),
            _ => false,
        };
        let mut added = event::Added::default();
        if self.timestamp.is_none() {
            added.add("timestamp");
        }
        for path in builder.pushed(sent).filter(|path| !was_sent(path)) {
            added.add(path);
        }
        if builder.pushed(0).take(sent).any(|path| path.starts_with("exception.")) {
            added.remove("exception");
        }
        push(builder, event::ADDED, added.value(), false);
    }

    fn finish_timestamp(&self, builder: &mut BatchBuilder, now: Now) -> Timestamp {
        if let Some(moment) = self.moment {
            return moment;
        }
        match self.timestamp.as_ref().map(Kept::value) {
            None | Some(Value::Null) => {
                // A number under another name may be a duration: only a moment between 2001 and 2286 is taken.
                let plausible =
                    |moment: Timestamp| (1_000_000_000_000_000..10_000_000_000_000_000).contains(&moment.as_micros());
                let found = self.alias(Shared::Timestamp).map(Found::value);
                match found.and_then(|value| Some((reading::moment(value)?.0, value))) {
                    Some((moment, Value::Str(text))) if !is_number(text) || plausible(moment) => self.exactly(moment),
                    Some((moment, Value::Int(_) | Value::Float(_))) if plausible(moment) => self.exactly(moment),
                    _ => now.received,
                }
            }
            Some(value) => match reading::moment(value) {
                Some((moment, true)) => moment,
                // What the column cannot show is shown as it was sent.
                Some((moment, false)) => {
                    push_sent(builder, "timestamp", value);
                    moment
                }
                None => {
                    push_sent(builder, "timestamp", value);
                    now.received
                }
            },
        }
    }

    /// Log4j and Google Cloud write the part of a second as a number of its own.
    fn exactly(&self, moment: Timestamp) -> Timestamp {
        match self.alias(Shared::Nanoseconds).map(Found::value) {
            Some(Value::Int(nanoseconds)) if moment.as_micros() % 1_000_000 == 0 => {
                Timestamp::from_micros(moment.as_micros() + nanoseconds / 1000)
            }
            _ => moment,
        }
    }

    fn finish_level(&self, builder: &mut BatchBuilder) -> Option<Level> {
        let given = self.level.as_ref().map(Kept::value);
        let level = given.and_then(|value| reading::level(value, Reading::Usual)).or_else(|| {
            let found = self.alias(Shared::Level)?;
            reading::level(found.value(), found.reading())
        });
        match (given, level) {
            (Some(value), Some(level)) => {
                push(builder, "level", Value::Str(level.name()), false);
                if value != Value::Str(level.name()) {
                    push_sent(builder, "level", value);
                }
            }
            (None, Some(level)) => push(builder, "level", Value::Str(level.name()), false),
            (Some(value), None) => push(builder, "level", value, false),
            (None, None) => {}
        }
        level
    }

    fn finish_stream(&self, builder: &mut BatchBuilder, level: Option<Level>) {
        let name = match self.stream.as_ref().map(Kept::value) {
            Some(Value::Str(text)) if !text.is_empty() => shared::stream_name(text),
            _ => shared::stream_of(level),
        };
        push(builder, "stream", Value::Str(name), false);
        if let Some(sent) = self.stream.as_ref().map(Kept::value)
            && sent != Value::Str(name)
        {
            push_sent(builder, "stream", sent);
        }
    }

    fn finish_user(&self, builder: &mut BatchBuilder) {
        let sent = self.user.as_ref().map(Kept::value);
        let given = sent.filter(|value| !matches!(value, Value::Null | Value::Str("") | Value::Raw(_)));
        let user = given.or_else(|| self.alias(Shared::User).map(Found::value));
        let mut text = Vec::new();
        let column = match user {
            None | Some(Value::Null | Value::Str("")) => Value::Str(shared::SYSTEM_USER),
            Some(value @ (Value::Str(_) | Value::Uuid(_))) => value,
            Some(other) => {
                other.write_json(&mut text);
                Value::Str(std::str::from_utf8(&text).unwrap_or(shared::SYSTEM_USER))
            }
        };
        push(builder, "user", column, false);
        if let Some(sent) = sent
            && sent != column
        {
            push_sent(builder, "user", sent);
        }
    }
}

/// Whether a text is a number, which says less surely than a date that it is a moment.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

pub(crate) fn push(builder: &mut BatchBuilder, path: &str, value: Value<'_>, sent: bool) {
    let key = builder.key(path);
    builder.push(key, value, sent);
}

fn push_sent(builder: &mut BatchBuilder, path: &str, value: Value<'_>) {
    push(builder, path, value, true);
}
