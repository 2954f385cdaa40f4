//! Shared keys filled in from what the document calls them, so that one question is answered the same for all.
//!
//! The document itself stays as it was sent: where a shared key holds something else than its column can show, what
//! was sent is kept beside it.

use std::collections::HashMap;
use std::sync::LazyLock;

use event::{BatchBuilder, Id, KeyIndex, Level, Timestamp, Value, shared};

use crate::decode::Reason;
use crate::exception::Raised;

/// What a path means to the normaliser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing: the value is kept under its own path.
    Plain,
    Id,
    Timestamp,
    Level,
    Stream,
    User,
    /// A shared number (`status`, `duration_ms`), which may come as a text.
    Number,
    Exception,
    /// Another name for a shared key: which one, and how good a name it is (0 is the best).
    Alias(Shared, u8),
    /// The shared key itself.
    Own(Shared),
}

/// Shared keys that may be filled in from other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    Timestamp,
    Level,
    User,
    Message,
    RequestId,
    TraceId,
    SpanId,
    Status,
    DurationMs,
    Ip,
    UserAgent,
    Service,
    Host,
    Environment,
    Request,
}

const SHARED_COUNT: usize = Shared::Request as usize + 1;

/// Other names of shared keys, the best first.
const ALIASES: [(Shared, &str, &[&str]); 14] = [
    (Shared::Timestamp, "", &["@timestamp", "time", "ts", "datetime"]),
    (Shared::Level, "", &["severity", "levelname", "log.level", "loglevel", "severity_text"]),
    (
        Shared::User,
        "",
        &["user.id", r"user\.id", "user_id", "user.username", "user.name", "user.email", "username", "enduser.id"],
    ),
    (Shared::Message, "message", &["msg"]),
    (
        Shared::RequestId,
        "request_id",
        &["request.id", "http.request.id", "requestId", "req_id", "reqId", "correlation_id"],
    ),
    (Shared::TraceId, "trace_id", &["trace.id", r"trace\.id", "traceId"]),
    (Shared::SpanId, "span_id", &["span.id", r"span\.id", "spanId"]),
    (
        Shared::Status,
        "",
        &[
            "status_code",
            "code",
            "http.response.status_code",
            r"http\.response\.status_code",
            "http.status_code",
            "statusCode",
        ],
    ),
    (Shared::DurationMs, "", &["duration_in_ms", "elapsed_ms", "responseTime", "latency_ms"]),
    (Shared::Ip, "ip", &["remote_ip", "client_ip", "remote_addr", "client.ip"]),
    (Shared::UserAgent, "user_agent", &["user_agent.original", "userAgent", r"headers\.User-Agent"]),
    (Shared::Service, "service", &["service.name", r"service\.name"]),
    (Shared::Host, "host", &["host.name", r"host\.name", "hostname"]),
    (Shared::Environment, "environment", &["service.environment", "deployment.environment"]),
];

/// The role of a path.
pub(crate) fn role(path: &str) -> Role {
    static ROLES: LazyLock<HashMap<&'static str, Role>> = LazyLock::new(|| {
        let names = ALIASES.iter().flat_map(|(_, name, aliases)| std::iter::once(name).chain(*aliases));
        let own = ["id", "timestamp", "level", "stream", "user", "status", "duration_ms", "exception", "request"];
        names.chain(&own).map(|path| (*path, find_role(path))).collect()
    });
    ROLES.get(path).copied().unwrap_or(Role::Plain)
}

fn find_role(path: &str) -> Role {
    match path {
        "id" => return Role::Id,
        "timestamp" => return Role::Timestamp,
        "level" => return Role::Level,
        "stream" => return Role::Stream,
        "user" => return Role::User,
        "status" | "duration_ms" => return Role::Number,
        "exception" => return Role::Exception,
        "request" => return Role::Alias(Shared::Request, 0),
        _ => {}
    }
    for (shared, name, aliases) in ALIASES {
        if path == name {
            return Role::Own(shared);
        }
        if let Some(rank) = aliases.iter().position(|alias| *alias == path) {
            return Role::Alias(shared, u8::try_from(rank).unwrap_or(u8::MAX));
        }
    }
    Role::Plain
}

impl Role {
    /// The role for what a stranger sends: what he calls his keys fills no shared key but the one of that name.
    pub(crate) fn of_stranger(self) -> Self {
        match self {
            Self::Alias(..) => Self::Plain,
            other => other,
        }
    }
}

/// The columns that another name of this shared key fills.
pub(crate) fn shared_name(shared: Shared) -> &'static [&'static str] {
    match shared {
        Shared::Timestamp => &[],
        Shared::Level => &["level"],
        Shared::User => &["user"],
        Shared::Status => &["status"],
        Shared::DurationMs => &["duration_ms"],
        Shared::Request => &["method", "path"],
        Shared::Message => &["message"],
        Shared::RequestId => &["request_id"],
        Shared::TraceId => &["trace_id"],
        Shared::SpanId => &["span_id"],
        Shared::Ip => &["ip"],
        Shared::UserAgent => &["user_agent"],
        Shared::Service => &["service"],
        Shared::Host => &["host"],
        Shared::Environment => &["environment"],
    }
}

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
    exception: Option<Box<Raised>>,
    aliases: [Option<(u8, Kept<'a>)>; SHARED_COUNT],
    present: [bool; SHARED_COUNT],
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

impl<'a> Noticed<'a> {
    pub(crate) fn new() -> Self {
        Self {
            id: None,
            moment: None,
            timestamp: None,
            level: None,
            stream: None,
            user: None,
            exception: None,
            aliases: [const { None }; SHARED_COUNT],
            present: [false; SHARED_COUNT],
        }
    }

    /// Sets when it happened.
    pub(crate) fn at(&mut self, moment: Timestamp) {
        self.moment = Some(moment);
    }

    /// Takes a value according to the role of its path, and adds it to the event. False when the path had one.
    pub(crate) fn take(&mut self, builder: &mut BatchBuilder, key: KeyIndex, role: Role, kept: Kept<'a>) -> bool {
        let slot = match role {
            Role::Id => &mut self.id,
            Role::Timestamp => &mut self.timestamp,
            Role::Level => &mut self.level,
            Role::Stream => &mut self.stream,
            Role::User => &mut self.user,
            Role::Number => return self.take_number(builder, key, kept.value()),
            Role::Exception => {
                self.exception = match kept.value() {
                    Value::Str(text) => Raised::of_text(text),
                    Value::Raw(list) => Raised::of_list(list),
                    _ => None,
                }
                .map(Box::new);
                return builder.push(key, kept.value(), false);
            }
            Role::Alias(shared, rank) => {
                let pushed = builder.push(key, kept.value(), false);
                let found = &mut self.aliases[shared as usize];
                if kept.value() != Value::Null && found.as_ref().is_none_or(|(known, _)| rank < *known) {
                    *found = Some((rank, kept));
                }
                return pushed;
            }
            Role::Own(shared) => {
                self.present[shared as usize] = kept.value() != Value::Null;
                return builder.push(key, kept.value(), false);
            }
            Role::Plain => return builder.push(key, kept.value(), false),
        };
        slot.replace(kept).is_none()
    }

    /// `status` and `duration_ms`: a number in a text is a number to whoever asks.
    fn take_number(&mut self, builder: &mut BatchBuilder, key: KeyIndex, value: Value<'_>) -> bool {
        let shared = if builder.path(key) == "status" { Shared::Status } else { Shared::DurationMs };
        self.present[shared as usize] = value != Value::Null;
        match value {
            Value::Str(text) => match Value::number_in(text) {
                Some(number) => builder.push(key, number, false) && builder.push(key, value, true),
                None => builder.push(key, value, false),
            },
            _ => builder.push(key, value, false),
        }
    }

    fn alias(&self, shared: Shared) -> Option<Value<'_>> {
        if self.present[shared as usize] { None } else { self.any_alias(shared) }
    }

    fn any_alias(&self, shared: Shared) -> Option<Value<'_>> {
        self.aliases[shared as usize].as_ref().map(|(_, kept)| kept.value())
    }

    /// Adds the shared keys, and completes the event.
    /// `given` is the id of a document of Elasticsearch that has one.
    pub(crate) fn finish(self, builder: &mut BatchBuilder, now: Now, given: Option<Id>) -> Result<(), Reason> {
        let sent = builder.position();
        let id = if now.document { self.document_id(builder, now, given)? } else { self.finish_id(builder, now)? };
        let timestamp =
            if now.document { self.document_timestamp(builder, now) } else { self.finish_timestamp(builder, now) };
        let level = self.finish_level(builder);
        self.finish_stream(builder, level);
        self.finish_user(builder);
        self.finish_others(builder);
        if now.document {
            self.mark_added(builder, sent);
        }
        if builder.commit(id, timestamp) { Ok(()) } else { Err(Reason::BatchFull) }
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
        let found = self.aliases[Shared::Timestamp as usize].as_ref().filter(|(rank, _)| *rank == 0);
        let own = found.and_then(|(_, kept)| match kept.value() {
            Value::Str(text) => Timestamp::parse(text),
            Value::Int(number) => Timestamp::from_epoch(number),
            Value::Float(number) => Timestamp::from_epoch_float(number),
            _ => None,
        });
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
        let read = |value: Value<'_>| match value {
            Value::Str(text) => Timestamp::parse(text),
            Value::Int(number) => Timestamp::from_epoch(number),
            Value::Float(number) => Timestamp::from_epoch_float(number),
            _ => None,
        };
        match self.timestamp.as_ref().map(Kept::value) {
            None | Some(Value::Null) => {
                // A number under another name may be a duration: only a moment between 2001 and 2286 is taken.
                let plausible =
                    |moment: Timestamp| (1_000_000_000_000_000..10_000_000_000_000_000).contains(&moment.as_micros());
                let found = self.alias(Shared::Timestamp).and_then(|value| Some((read(value)?.0, value)));
                match found {
                    Some((moment, Value::Str(_))) => moment,
                    Some((moment, _)) if plausible(moment) => moment,
                    _ => now.received,
                }
            }
            Some(value) => match read(value) {
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

    fn finish_level(&self, builder: &mut BatchBuilder) -> Option<Level> {
        let read = |value: Value<'_>| match value {
            Value::Str(text) => Level::parse(text),
            Value::Int(number) => Level::from_pino(number),
            _ => None,
        };
        let given = self.level.as_ref().map(Kept::value);
        let sent = given.filter(|value| *value != Value::Null);
        let level = sent.or_else(|| self.alias(Shared::Level)).and_then(read);
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
        let user = given.or_else(|| self.any_alias(Shared::User));
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

    fn finish_others(&self, builder: &mut BatchBuilder) {
        if let Some(Value::Str(request)) = self.any_alias(Shared::Request) {
            push_request(builder, request);
        }
        for (shared, name, _) in ALIASES {
            let Some(value) = self.alias(shared) else { continue };
            match (shared, value) {
                (Shared::Timestamp | Shared::Level | Shared::User, _) | (_, Value::Raw(_) | Value::Null) => {}
                (Shared::Status, value) => {
                    if let Some(number @ Value::Int(100..=599)) = as_number(value) {
                        push(builder, "status", number, false);
                    }
                }
                (Shared::DurationMs, value) => {
                    if let Some(number) = as_number(value) {
                        push(builder, "duration_ms", number, false);
                    }
                }
                (_, value) => push(builder, name, value, false),
            }
        }
        if let Some(raised) = &self.exception {
            push(builder, "exception.type", Value::Str(&raised.kind), false);
            push(builder, "exception.message", Value::Str(&raised.message), false);
            for (path, list) in
                [("exception.frames", &raised.traceback.frames), ("exception.chain", &raised.traceback.chain)]
            {
                if let Some(list) = list {
                    push(builder, path, Value::Raw(list), false);
                }
            }
        }
    }
}

fn as_number(value: Value<'_>) -> Option<Value<'_>> {
    match value {
        Value::Int(_) | Value::Float(_) => Some(value),
        Value::Str(text) => Value::number_in(text),
        _ => None,
    }
}

/// A request line, `GET /pay/7?m=1`: django-structlog's key `request`.
fn push_request(builder: &mut BatchBuilder, request: &str) {
    let Some((method, target)) = request.split_once(' ') else { return };
    let is_method = !method.is_empty() && method.len() <= 16 && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_method && target.starts_with('/') {
        push(builder, "method", Value::Str(method), false);
        let path = target.split(['?', ' ']).next().unwrap_or(target);
        push(builder, "path", Value::Str(path), false);
    }
}

fn push(builder: &mut BatchBuilder, path: &str, value: Value<'_>, sent: bool) {
    let key = builder.key(path);
    builder.push(key, value, sent);
}

fn push_sent(builder: &mut BatchBuilder, path: &str, value: Value<'_>) {
    push(builder, path, value, true);
}
