//! What clients call the things that have a shared key: one table for all doors.
//!
//! A name is looked up once for each key of a batch. docs/shared-keys.md shows the same table by client.

use std::sync::LazyLock;

use event::logical_name;
use hashbrown::HashMap;

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
    Number(Shared),
    Exception,
    /// What is within an object `exception`; `foreign` under a name that is none of ours.
    InException {
        foreign: bool,
    },
    /// Another name for a shared key: which one, and its place in the table. A smaller one is a better name.
    Alias(Shared, u16),
    /// The shared key itself.
    Own(Shared),
    /// A shared key of which another may follow: `message` from `event`, `path` from `url`.
    Source(Shared),
}

/// Shared keys that may be filled in from other names, and what fills several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    Timestamp,
    /// What is added to a moment that was sent in whole seconds.
    Nanoseconds,
    Level,
    User,
    Message,
    Event,
    Source,
    Logger,
    RequestId,
    TraceId,
    SpanId,
    Session,
    Method,
    Url,
    Path,
    Status,
    DurationMs,
    Ip,
    UserAgent,
    Release,
    Environment,
    Service,
    Host,
    ExceptionType,
    ExceptionMessage,
    /// The text of a traceback: all that is below `exception`.
    Stack,
    /// A line such as `GET /pay?x=1`: `method` and `path`.
    Request,
}

impl Shared {
    /// The columns that another name of this shared key fills; the first is its own.
    pub(crate) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Timestamp | Self::Nanoseconds => &[],
            Self::Level => &["level"],
            Self::User => &["user"],
            Self::Message => &["message"],
            Self::Event => &["event", "message"],
            Self::Source => &["source"],
            Self::Logger => &["logger"],
            Self::RequestId => &["request_id"],
            Self::TraceId => &["trace_id"],
            Self::SpanId => &["span_id"],
            Self::Session => &["session"],
            Self::Method => &["method"],
            Self::Url => &["url", "path"],
            Self::Path => &["path"],
            Self::Status => &["status"],
            Self::DurationMs => &["duration_ms"],
            Self::Ip => &["ip"],
            Self::UserAgent => &["user_agent"],
            Self::Release => &["release"],
            Self::Environment => &["environment"],
            Self::Service => &["service"],
            Self::Host => &["host"],
            Self::ExceptionType => &["exception.type"],
            Self::ExceptionMessage => &["exception.message", "exception.type"],
            Self::Stack => &["exception.type", "exception.message", "exception.frames", "exception.chain"],
            Self::Request => &["method", "path"],
        }
    }

    /// Its bit in a set of shared keys.
    pub(crate) fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// How a value under some name is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As its shared key is read.
    Usual,
    /// As its shared key is read, in an event that gives its level as the loggers do that use this name.
    OfLogger,
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    /// A duration that has its unit with it: `1.5ms`.
    WithUnit,
    /// Levels of Python: 10 is debug.
    PythonLevel,
    /// Severities of syslog: 0 is the worst.
    SyslogLevel,
    /// Severity numbers of OpenTelemetry.
    OtelLevel,
    /// Levels of Application Insights: 0 is the least.
    AzureLevel,
    /// A line of text, not a word: Docker's `log`, which elsewhere is the name of a log.
    Line,
    /// What follows the last slash: `projects/shop/traces/ID`.
    LastSegment,
}

/// A shared key, how it is read, and its names with blanks between them.
type Row = (Shared, Reading, &'static str);

/// The names, dots and all: `user.id` is found nested and as one key. The best name of a shared key comes first.
/// Rows of one shared key differ in how a value is read.
///
/// Not here, because different programs mean different things: `duration`, `elapsed`, `latency` and `took` as bare
/// numbers (s, ms, µs or ns), `http.route` (a pattern and no path), `version`, `caller`, `code` beyond 100 to 599.
const TABLE: [Row; 39] = [
    (
        Shared::Timestamp,
        Reading::Usual,
        "@timestamp time ts datetime @t Timestamp eventTime time_iso8601 timeMillis instant.epochSecond \
            __REALTIME_TIMESTAMP datetime.date msec timestampSeconds",
    ),
    (Shared::Timestamp, Reading::OfLogger, "created"),
    (Shared::Nanoseconds, Reading::Usual, "instant.nanoOfSecond timestampNanos"),
    (
        Shared::Level,
        Reading::Usual,
        "severity levelname log.level loglevel severity_text level_name @l lvl log_level logLevel \
            severityText SeverityText LogLevel Level",
    ),
    (Shared::Level, Reading::OtelLevel, "severity_number severityNumber SeverityNumber"),
    (Shared::Level, Reading::SyslogLevel, "PRIORITY syslog_severity log.syslog.severity.code"),
    (Shared::Level, Reading::PythonLevel, "levelno"),
    (Shared::Level, Reading::AzureLevel, "severityLevel"),
    (
        Shared::User,
        Reading::Usual,
        "user.id user_id user.username user.name user.email username enduser.id userId UserId usr.id \
            usr.name user_AuthenticatedId user_Id req.user.id request.user request.user.id remote_user \
            UserName userName",
    ),
    (
        Shared::Message,
        Reading::Usual,
        "msg short_message MESSAGE @m RenderedMessage renderedMessage Message @mt MessageTemplate \
            textPayload body.text Body",
    ),
    (Shared::Message, Reading::Line, "log"),
    (
        Shared::Event,
        Reading::Usual,
        "event.action event.name event_name eventName EventName microsoft.custom_event.name",
    ),
    (Shared::Source, Reading::Usual, "event.dataset event.module SYSLOG_IDENTIFIER syslog_identifier _COMM"),
    (
        Shared::Logger,
        Reading::Usual,
        "log.logger logger_name loggerName logger.name SourceContext Category scope.name \
            instrumentation_scope.name",
    ),
    (Shared::Logger, Reading::OfLogger, "name channel"),
    (
        Shared::RequestId,
        Reading::Usual,
        "request.id http.request.id requestId req_id reqId correlation_id request.request_id \
            req.headers.x-request-id headers.X-Request-Id headers.X-Request-ID request.headers.x-request-id \
            http.request.header.x-request-id http.request.header.x_request_id x-request-id x_request_id \
            X-Request-ID RequestId http_x_request_id aws_request_id awsRequestId AwsRequestId \
            function_request_id correlationId CorrelationId req.id",
    ),
    (
        Shared::TraceId,
        Reading::Usual,
        "trace.id traceId TraceId traceID @tr otelTraceID operation_Id dd.trace_id xray_trace_id",
    ),
    (Shared::TraceId, Reading::LastSegment, "logging.googleapis.com/trace trace"),
    (
        Shared::SpanId,
        Reading::Usual,
        "span.id spanId SpanId spanID @sp otelSpanID logging.googleapis.com/spanId dd.span_id \
            operation_ParentId transaction.id",
    ),
    (Shared::Session, Reading::Usual, "session.id session_id sessionId SessionId session_Id session_key"),
    (
        Shared::Method,
        Reading::Usual,
        "http.request.method http.method req.method request.method request_method http_method httpMethod \
            httpRequest.requestMethod RequestMethod verb",
    ),
    (
        Shared::Url,
        Reading::Usual,
        "url.full url.original http.url req.url request.url request_url httpRequest.requestUrl http_url \
            uri",
    ),
    (
        Shared::Path,
        Reading::Usual,
        "url.path http.target request_uri request.uri request.path request_path req.path http_path \
            RequestPath requestPath",
    ),
    (
        Shared::Status,
        Reading::Usual,
        "status_code code http.response.status_code http.status_code statusCode res.statusCode \
            response.status_code response.status response.statusCode res.status httpRequest.status \
            http_status http.status StatusCode responseStatus response_code resultCode responseCode",
    ),
    (
        Shared::DurationMs,
        Reading::Milliseconds,
        "duration_in_ms elapsed_ms responseTime latency_ms durationMs DurationMs duration_millis \
            elapsedMs ElapsedMilliseconds elapsedMilliseconds response_time_ms responseTimeMs took_ms",
    ),
    (
        Shared::DurationMs,
        Reading::Nanoseconds,
        "event.duration duration_ns elapsed_ns latency_ns durationNanos duration_nano",
    ),
    (
        Shared::DurationMs,
        Reading::Microseconds,
        "duration_us elapsed_us latency_us transaction.duration.us span.duration.us",
    ),
    (Shared::DurationMs, Reading::Seconds, "request_time duration_s duration_seconds elapsed_seconds latency_seconds"),
    (Shared::DurationMs, Reading::WithUnit, "httpRequest.latency duration elapsed latency latency_human took"),
    (
        Shared::Ip,
        Reading::Usual,
        "remote_ip client_ip remote_addr client.ip client.address source.ip clientIp ClientIp client_IP \
            req.remoteAddress remoteAddress request.remote_addr request.remote_ip httpRequest.remoteIp \
            http.client_ip net.peer.ip net.sock.peer.addr network.peer.address network.client.ip \
            sourceIPAddress callerIpAddress user.ip_address",
    ),
    (
        Shared::UserAgent,
        Reading::Usual,
        "user_agent.original userAgent headers.User-Agent http_user_agent http.user_agent http.useragent \
            req.headers.user-agent request.headers.user-agent request.headers.User-Agent \
            httpRequest.userAgent user-agent UserAgent",
    ),
    (
        Shared::Release,
        Reading::Usual,
        "service.version serviceContext.version app_version appVersion application_Version dd.version",
    ),
    (
        Shared::Environment,
        Reading::Usual,
        "service.environment deployment.environment deployment.environment.name dd.env EnvironmentName \
            env",
    ),
    (
        Shared::Service,
        Reading::Usual,
        "service.name service_name serviceName serviceContext.service otelServiceName cloud_RoleName \
            dd.service Application",
    ),
    (
        Shared::Host,
        Reading::Usual,
        "host.name hostname host.hostname _HOSTNAME MachineName cloud_RoleInstance HOSTNAME",
    ),
    (
        Shared::ExceptionType,
        Reading::Usual,
        "error.type err.type error.kind err.name error.name error.class thrown.name exception.type \
            exception.class exception_class error_type exc_type exceptionType ExceptionType innermostType",
    ),
    (
        Shared::ExceptionMessage,
        Reading::Usual,
        "error.message err.message thrown.message exception.message exception_message error_message \
            errorMessage exceptionMessage innermostMessage error err",
    ),
    (
        Shared::Stack,
        Reading::Usual,
        "error.stack_trace err.stack error.stack exception.stacktrace exception.trace exc_text exc_info \
            @x stack stack_trace stacktrace Exception thrown.extendedStackTrace traceback backtrace \
            errorVerbose full_message",
    ),
    (Shared::Request, Reading::Usual, "request request_line"),
];

/// Added to the place of a name within such an object.
const WITHIN: u16 = 0x4000;

/// The shared keys whose null waits for another name.
pub(crate) const OWN: [Shared; 19] = [
    Shared::Message,
    Shared::Event,
    Shared::Source,
    Shared::Logger,
    Shared::RequestId,
    Shared::TraceId,
    Shared::SpanId,
    Shared::Session,
    Shared::Method,
    Shared::Url,
    Shared::Path,
    Shared::Status,
    Shared::DurationMs,
    Shared::Ip,
    Shared::UserAgent,
    Shared::Release,
    Shared::Environment,
    Shared::Service,
    Shared::Host,
];

/// Members of an object `exception` under which others keep what is called `type`, `message` and `frames` here.
const IN_EXCEPTION: [&str; 11] = [
    "class",
    "name",
    "exc_type",
    "exception_class",
    "value",
    "exc_value",
    "exception_message",
    "stacktrace",
    "stack",
    "stack_trace",
    "trace",
];

/// The name within an object that a client puts around what a line carries. The names of the table and the shared keys
/// themselves count there too, after all that stand outside.
fn within(name: &str) -> Option<&str> {
    let (around, name) = name.split_once('.')?;
    match around {
        // winston; Monolog; OpenTelemetry, and its exporter for Elasticsearch; ECS; Google Cloud; Log4j 2; Logback; Serilog
        "fields" | "context" | "extra" | "attributes" | "Attributes" | "Resource" | "labels" | "jsonPayload"
        | "contextMap" | "mdc" | "Properties" => Some(name),
        "resource" => name.strip_prefix("attributes."),
        _ => None,
    }
}

/// The role of a path.
pub(crate) fn role(path: &str) -> Role {
    if let Some(member) = path.strip_prefix("exception.") {
        return Role::InException { foreign: IN_EXCEPTION.contains(&member) };
    }
    let name = logical_name(path);
    match named(&name) {
        Role::Plain => match within(&name).map(named) {
            Some(Role::Alias(shared, place)) => Role::Alias(shared, WITHIN + place),
            Some(Role::Own(shared) | Role::Source(shared) | Role::Number(shared)) => Role::Alias(shared, OWN_WITHIN),
            Some(Role::User) => Role::Alias(Shared::User, OWN_WITHIN),
            Some(Role::Level) => Role::Alias(Shared::Level, OWN_WITHIN),
            Some(Role::Exception) => Role::Alias(Shared::Stack, OWN_WITHIN),
            _ => Role::Plain,
        },
        role => role,
    }
}

/// The place of a shared key's own name within such an object: before all other names there.
const OWN_WITHIN: u16 = WITHIN - 1;

/// The role of a name.
fn named(name: &str) -> Role {
    static ALIASES: LazyLock<HashMap<&'static str, Role>> = LazyLock::new(|| {
        let rows = TABLE.iter().flat_map(|(shared, _, names)| names.split(' ').map(|name| (name, *shared)));
        rows.zip(0..).map(|((name, shared), place)| (name, Role::Alias(shared, place))).collect()
    });
    match name {
        "id" => Role::Id,
        "timestamp" => Role::Timestamp,
        "level" => Role::Level,
        "stream" => Role::Stream,
        "user" => Role::User,
        "exception" => Role::Exception,
        "event" => Role::Source(Shared::Event),
        "url" => Role::Source(Shared::Url),
        "status" => Role::Number(Shared::Status),
        "duration_ms" => Role::Number(Shared::DurationMs),
        "message" => Role::Own(Shared::Message),
        "source" => Role::Own(Shared::Source),
        "logger" => Role::Own(Shared::Logger),
        "request_id" => Role::Own(Shared::RequestId),
        "trace_id" => Role::Own(Shared::TraceId),
        "span_id" => Role::Own(Shared::SpanId),
        "session" => Role::Own(Shared::Session),
        "method" => Role::Own(Shared::Method),
        "path" => Role::Own(Shared::Path),
        "ip" => Role::Own(Shared::Ip),
        "user_agent" => Role::Own(Shared::UserAgent),
        "release" => Role::Own(Shared::Release),
        "environment" => Role::Own(Shared::Environment),
        "service" => Role::Own(Shared::Service),
        "host" => Role::Own(Shared::Host),
        _ => ALIASES.get(name).copied().unwrap_or(Role::Plain),
    }
}

/// How the value under the name at this place is read, and the name.
pub(crate) fn reading(place: u16) -> (Reading, &'static str) {
    static READINGS: LazyLock<Vec<(Reading, &'static str)>> = LazyLock::new(|| {
        TABLE.iter().flat_map(|(_, reading, names)| names.split(' ').map(|name| (*reading, name))).collect()
    });
    let place = if place >= WITHIN { place - WITHIN } else { place };
    READINGS.get(usize::from(place)).copied().unwrap_or((Reading::Usual, ""))
}

impl Role {
    /// The role for what a stranger sends: what he calls his keys fills no shared key but the one of that name.
    pub(crate) fn of_stranger(self) -> Self {
        match self {
            Self::Alias(..) => Self::Plain,
            Self::Source(shared) => Self::Own(shared),
            other => other,
        }
    }
}

/// The other names of a shared key.
#[cfg(test)]
pub(crate) fn names(shared: Shared) -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(move |(of, ..)| *of == shared).flat_map(|(.., names)| names.split(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<&str> = TABLE.iter().flat_map(|(.., names)| names.split(' ')).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), names.iter().filter(|name| name.is_empty()).count()), (count, 0));
        for own in OWN {
            let name = own.columns()[0];
            assert!(!names.contains(&name), "{name}");
            assert!(
                matches!(role(name), Role::Own(shared) | Role::Number(shared) | Role::Source(shared) if shared == own)
            );
        }
        assert!(count < usize::from(OWN_WITHIN));
    }

    #[test]
    fn the_page_for_people_has_every_name() {
        let page = include_str!("../../../docs/shared-keys.md");
        let names = TABLE.iter().flat_map(|(.., names)| names.split(' '));
        let missing: Vec<&str> = names.filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "docs/shared-keys.md lacks {missing:?}");
    }

    #[test]
    fn roles_of_paths() {
        let shared = |path: &str| match role(path) {
            Role::Alias(shared, _) => Some(shared),
            _ => None,
        };
        assert_eq!(shared("user.id"), Some(Shared::User));
        assert_eq!(shared(r"user\.id"), Some(Shared::User));
        assert_eq!(shared(r"http.response\.status_code"), Some(Shared::Status));
        assert_eq!(shared("fields.request_id"), Some(Shared::RequestId));
        assert_eq!(shared("fields.user.id"), Some(Shared::User));
        assert_eq!(shared("fields.level"), Some(Shared::Level));
        assert_eq!(shared("context.exception"), Some(Shared::Stack));
        assert_eq!(shared("resource.attributes.service.name"), Some(Shared::Service));
        assert_eq!(shared("fields.id"), None);
        assert_eq!(shared("fields.timestamp"), None);
        assert_eq!(shared("sentry.user.id"), None);
        assert_eq!(role("exception.type"), Role::InException { foreign: false });
        assert_eq!(role("exception.stacktrace"), Role::InException { foreign: true });
        assert_eq!(shared(r"exception\.type"), Some(Shared::ExceptionType));
        assert_eq!(role("msg").of_stranger(), Role::Plain);
        assert_eq!(role("event").of_stranger(), Role::Own(Shared::Event));
        assert!(shared("user.id").is_some_and(|_| role("user.id") != role("fields.user.id")));
    }
}
