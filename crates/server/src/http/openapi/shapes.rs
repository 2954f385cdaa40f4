//! The shapes of answers and of bodies that are read without a type of their own.
#![expect(dead_code, reason = "they are described, and never made")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::schema::{AdditionalProperties, Schema, SchemaType};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

/// An event: any JSON object.
pub(crate) struct Event;

impl ToSchema for Event {}

impl PartialSchema for Event {
    fn schema() -> RefOr<Schema> {
        let any = || ObjectBuilder::new().schema_type(SchemaType::AnyValue).build();
        let object = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .description(Some(
                "An event: any JSON object. These keys have a meaning, all are optional, any other is kept.",
            ))
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
            .examples([json!({ "user": "alice", "event": "order_placed", "level": "info", "order": { "id": 17 } })]);
        event::shared::ORDER.iter().fold(object, |object, key| object.property(*key, any())).into()
    }
}

/// One, or an array of them.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Events {
    /// One event.
    One(Event),
    /// Several.
    Several(Vec<Event>),
}

/// An entry of API Logger.
#[derive(ToSchema)]
pub(crate) struct Entry {
    /// Which category; INFO if there is none.
    stream: Option<String>,
    /// A user, or `system`.
    location: Option<String>,
    /// Any JSON.
    message: Option<Value>,
    /// Whether its line of text shows the time.
    timestamp: Option<bool>,
    /// A line above the message.
    heading: Option<String>,
    /// Whether an object is written on several lines of text.
    dict_to_string: Option<bool>,
    /// A message alone, of the stream INFO and the system.
    m: Option<Value>,
}

/// What an SDK of Sentry is answered.
#[derive(ToSchema)]
pub(crate) struct SentryAnswer {
    /// The id of the event, if there is one.
    id: Option<String>,
}

/// An item of Rollbar.
#[derive(ToSchema)]
pub(crate) struct RollbarItem {
    /// A token, if it is not in the header.
    access_token: Option<String>,
    /// What happened: `body`, `level`, `timestamp`, `uuid`, `person`, `request` and so on.
    data: BTreeMap<String, Value>,
}

/// What a client of Rollbar is answered.
#[derive(ToSchema)]
pub(crate) struct RollbarAnswer {
    /// 0.
    err: u8,
    /// `id`, which is null, and `uuid`.
    result: BTreeMap<String, Value>,
}

/// A `LogRecord` of Python, as a form; further attributes are keys of the event.
#[derive(ToSchema)]
pub(crate) struct PythonRecord {
    /// The template of the message.
    msg: String,
    /// What is put into it, as Python prints it.
    args: Option<String>,
    /// As in `WARNING`.
    levelname: Option<String>,
    /// The logger.
    name: Option<String>,
    /// Seconds since 1970.
    created: Option<f64>,
    /// A traceback.
    exc_text: Option<String>,
}

/// A deploy.
#[derive(ToSchema)]
pub(crate) struct RollbarDeploy {
    /// A token, if it is not in the header.
    access_token: Option<String>,
    /// What was deployed: a version or a commit.
    revision: String,
    /// Where to.
    environment: Option<String>,
    /// Who did it.
    local_username: Option<String>,
    /// Why.
    comment: Option<String>,
    /// `started`, `succeeded`, `failed` or `timed_out`.
    status: Option<String>,
}

/// What becomes of a deploy.
#[derive(ToSchema)]
pub(crate) struct RollbarDeployed {
    /// `deploy_id`.
    data: BTreeMap<String, Value>,
}

/// What became of the items of a request.
#[derive(ToSchema)]
pub(crate) struct Receipt {
    /// Items that are kept.
    accepted: u64,
    /// How many of these were there already.
    duplicates: u64,
    /// Items that are not kept.
    refused: Vec<Refused>,
    /// How many more are not kept, beyond those listed.
    #[schema(nullable = false)]
    refused_more: Option<u64>,
    /// The sequence number of the last event stored.
    sequence: u64,
}

/// An item that is not kept.
#[derive(ToSchema)]
pub(crate) struct Refused {
    /// Its place in the body, from 0.
    index: u64,
    /// A stable name of the reason.
    reason: String,
    /// What to do.
    detail: String,
}

/// A refusal (RFC 9457).
#[derive(ToSchema)]
pub(crate) struct Problem {
    /// `urn:everlog:problem:` and the code.
    #[schema(example = "urn:everlog:problem:unknown_column")]
    r#type: String,
    title: String,
    status: u16,
    /// A stable name of the kind of problem.
    #[schema(example = "unknown_column")]
    code: String,
    /// What happened and what to do.
    detail: String,
    instance: String,
    /// As in the header X-Request-ID.
    request_id: String,
}

/// A log.
#[derive(ToSchema)]
pub(crate) struct Log {
    name: String,
    number: u64,
    events: u64,
    buffered_events: u64,
    segments: u64,
    bytes: u64,
    #[schema(required = true)]
    first: Option<String>,
    #[schema(required = true)]
    last: Option<String>,
    created: String,
    /// How long events are kept, by stream; "" stands for all others.
    retention: BTreeMap<String, String>,
    archived_events: u64,
    archived_bytes: u64,
    archived_segments: u64,
    /// After what time events go to the archive, by stream; "" stands for all others.
    archive_after: BTreeMap<String, String>,
    /// Bytes of live segments beyond which the oldest go to the archive.
    #[schema(required = true)]
    archive_bytes: Option<u64>,
    /// The settings that stand in the configuration file and cannot be changed here.
    in_file: Vec<String>,
    /// The settings that were made while the server ran.
    at_runtime: Vec<String>,
    #[serde(flatten)]
    options: LogOptions,
}

/// A level (`off`, `standard`, `strict`), names of keys, or both with patterns.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Redact {
    Level(String),
    Keys(Vec<String>),
    Rules {
        level: Option<String>,
        keys: Option<Vec<String>>,
        /// Regular expressions by the names in their marks.
        patterns: Option<BTreeMap<String, String>>,
    },
}

/// What a log does with its events; `null` takes a setting back.
#[derive(ToSchema)]
pub(crate) struct LogOptions {
    /// Keys that the server adds to each event.
    keys: Option<Vec<String>>,
    /// Keys and values of each event of the visitor endpoint.
    fields: Option<BTreeMap<String, serde_json::Value>>,
    /// The log in which the events are kept.
    index: Option<String>,
    /// The path of the visitor endpoint.
    path: Option<String>,
    /// Whether anybody may write to the visitor endpoint.
    public_write: Option<bool>,
    /// The measurement id of Google Analytics 4 whose browsers it takes events of.
    ga4: Option<String>,
    /// Whether an argument that comes several times is kept as a list.
    arrays: Option<bool>,
    /// What is replaced before anything is stored.
    redact: Option<Redact>,
}

/// What is in the archive.
#[derive(ToSchema)]
pub(crate) struct Archive {
    /// The folder or the bucket.
    place: String,
    segments: Vec<Value>,
}

/// A stream.
#[derive(ToSchema)]
pub(crate) struct Stream {
    name: String,
    #[schema(required = true)]
    label: Option<String>,
    kind: String,
    listed: bool,
    events: u64,
}

/// What was removed with a stream.
#[derive(ToSchema)]
pub(crate) struct RemovedStream {
    name: String,
    listed: bool,
    events: u64,
    /// Events in each log.
    logs: BTreeMap<String, u64>,
    /// How many of them are in the archive.
    archived: u64,
    /// How many of them all were purged.
    purged: u64,
    dry_run: bool,
}

/// A token, without its secret.
#[derive(ToSchema)]
pub(crate) struct Token {
    id: String,
    label: String,
    scopes: Vec<String>,
    /// The logs for which it holds; none means all.
    logs: Vec<String>,
    created: String,
}

/// A token that was made now.
#[derive(ToSchema)]
pub(crate) struct NewToken {
    #[schema(inline)]
    #[serde(flatten)]
    info: Token,
    /// Its secret, which is shown this once.
    token: String,
}

/// Rows of an SQL answer, or events of a search.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// To `sql`.
    Rows { columns: Vec<Column>, rows: Vec<BTreeMap<String, Value>> },
    /// To `search`.
    Events { events: Vec<Event>, total: Option<u64>, next: Option<String>, unreadable: u64 },
}

/// A column of an SQL answer.
#[derive(ToSchema)]
pub(crate) struct Column {
    name: String,
    r#type: String,
}

/// How far a numbered sender is.
#[derive(ToSchema)]
pub(crate) struct Producer {
    name: String,
    position: u64,
}

/// How many events were written to segments.
#[derive(ToSchema)]
pub(crate) struct Flushed {
    events: u64,
}

/// The name of a log.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", example = "default")]
pub(crate) struct LogName(String);

/// What a target says to a batch without events.
#[derive(ToSchema)]
pub(crate) struct ForwardTest {
    name: String,
    /// Whether it would be sent events.
    works: bool,
    /// The status of its answer, if there was one.
    status: Option<u16>,
    /// What that means.
    detail: String,
    milliseconds: u64,
}

/// A target that events are forwarded to.
#[derive(ToSchema)]
pub(crate) struct Forward {
    name: String,
    log: String,
    /// `elasticsearch`, `otlp` or `webhook`.
    to: String,
    /// Where it is, without any secret.
    url: String,
    index: Option<String>,
    /// Everything up to this sequence number is settled.
    position: u64,
    /// Events of the log after it, whether they pass the filter or not.
    behind_events: u64,
    /// How long the first of them waits.
    behind_seconds: u64,
    delivered: u64,
    /// Events that it refused for good.
    refused: u64,
    /// Events that were removed before it got them.
    missed: u64,
    paused: bool,
    /// Attempts that failed since the start.
    failures: u64,
    /// What went wrong, if the last attempt failed.
    error: Option<String>,
    failing_since: Option<String>,
    last_delivery: Option<String>,
    /// The latest of those refused: id, sequence number, reason.
    refusals: Vec<Value>,
}

/// An issue: all occurrences of one error.
#[derive(ToSchema)]
pub(crate) struct Issue {
    id: String,
    log: String,
    title: String,
    culprit: String,
    level: String,
    /// `open`, `regressed`, `resolved` or `ignored`.
    state: String,
    /// How often it happened: exact, also of what was refused for being too much.
    occurrences: u64,
    /// How many users it met, and whether that is exact (up to 256) or an estimate.
    users: u64,
    users_are_exact: bool,
    first_seen: Option<String>,
    last_seen: Option<String>,
    /// Ids of events.
    first_event: Option<String>,
    last_event: Option<String>,
    releases: Vec<String>,
    environments: Vec<String>,
    fingerprint: Option<String>,
    /// More than one after a merge.
    fingerprints: Vec<String>,
    assignee: Option<String>,
    /// As of when it should not happen again, while it is resolved.
    resolution: Option<Resolution>,
    /// For how long it is ignored, while it is.
    ignore: Option<Ignore>,
    /// What was decided about it last.
    decision: Option<Decision>,
    /// The release that probably brought it, or brought it back.
    suspect_deploy: Option<String>,
    /// The deploy of that release.
    deploy: Option<Deploy>,
}

/// As of when an issue should not happen again.
#[derive(ToSchema)]
pub(crate) struct Resolution {
    /// `now`, `in_release` or `next_release`.
    kind: String,
    /// With `now`: the moment.
    time: Option<String>,
    /// With `in_release`: the release.
    release: Option<String>,
    /// With `now` and `next_release`: the latest release that was known.
    latest: Option<String>,
}

/// For how long an issue is ignored.
#[derive(ToSchema)]
pub(crate) struct Ignore {
    /// `for_ever`, `upto` or `until`.
    kind: String,
    /// With `upto`: while it has at most so many occurrences in all.
    occurrences: Option<u64>,
    /// With `until`: the moment.
    time: Option<String>,
}

/// What somebody decided about an issue.
#[derive(ToSchema)]
pub(crate) struct Decision {
    /// In words: `resolved in 1.4`.
    what: String,
    /// Who: the label of a token, `the administrator`, or `local`.
    by: String,
    /// May be empty.
    why: String,
    at: String,
}

/// An issue, with what is counted of it.
#[derive(ToSchema)]
pub(crate) struct WholeIssue {
    #[serde(flatten)]
    issue: Issue,
    /// The last 14 days by hour: those in which it happened.
    hours: Vec<Hour>,
    /// The last 400 days by day: those in which it happened.
    days: Vec<Day>,
    /// Each release with when it was seen; the last 50.
    releases_seen: BTreeMap<String, Seen>,
    /// Each environment with when it was seen; the last 50.
    environments_seen: BTreeMap<String, Seen>,
    /// The merge or split that can be undone: `merge with 9`.
    can_undo: Option<String>,
}

/// Occurrences of an hour.
#[derive(ToSchema)]
pub(crate) struct Hour {
    /// When it began.
    hour: String,
    occurrences: u64,
}

/// Occurrences of a day.
#[derive(ToSchema)]
pub(crate) struct Day {
    /// When it began.
    day: String,
    occurrences: u64,
}

/// From when to when something was seen, and how often.
#[derive(ToSchema)]
pub(crate) struct Seen {
    first: String,
    last: String,
    times: u64,
}

/// A decision about an issue. What is not named stays.
#[derive(ToSchema)]
pub(crate) struct IssueChange {
    /// `open`, `resolved` or `ignored`.
    state: Option<String>,
    /// With `resolved`: the release in which it does not happen any more, or `next`.
    in_release: Option<String>,
    /// With `ignored`: for so many more occurrences.
    times: Option<u64>,
    /// With `ignored`: until this moment.
    until: Option<String>,
    /// Who looks after it; an empty text for nobody.
    assignee: Option<String>,
    /// Why, for the AUDIT event.
    why: Option<String>,
}

/// An occurrence: the shared keys of its event, what led to it, and the event.
#[derive(ToSchema)]
pub(crate) struct Occurrence {
    id: Option<String>,
    timestamp: String,
    level: Option<String>,
    user: Option<String>,
    method: Option<String>,
    url: Option<String>,
    browser: Option<String>,
    os: Option<String>,
    release: Option<String>,
    environment: Option<String>,
    host: Option<String>,
    ip: Option<String>,
    session: Option<String>,
    service: Option<String>,
    request_id: Option<String>,
    trace_id: Option<String>,
    /// The request as the client sent it: headers, body, and what else it told.
    request: Option<Value>,
    /// Type, message, frames, and the chain of causes, each with its frames as far as the client sent them.
    exception: Option<Value>,
    /// Those that the client sent, else the trail.
    breadcrumbs: Option<Vec<Value>>,
    /// The last events before it of the same request, session or user, the oldest first.
    trail: Option<Vec<Value>>,
    event_document: Value,
}

/// What made the fingerprints of an issue.
#[derive(ToSchema)]
pub(crate) struct Explained {
    issue: String,
    title: String,
    fingerprints: Vec<Value>,
}

/// An issue and its latest occurrence.
#[derive(ToSchema)]
pub(crate) struct Report {
    issue: WholeIssue,
    occurrence: Option<Occurrence>,
}

/// A deploy.
#[derive(ToSchema)]
pub(crate) struct Deploy {
    release: String,
    environment: String,
    time: String,
    user: String,
    comment: String,
}

/// A wrong setting. Further keys are kept as those of any event.
#[derive(ToSchema)]
pub(crate) struct ConfigurationError {
    /// What is wrong.
    message: String,
    /// Which object holds the wrong setting: `dashboardwidget:12`, or its type and id.
    object: Option<Value>,
    /// Where it was met.
    url: Option<String>,
    /// Which setting.
    config_field: Option<String>,
}

/// A rule.
#[derive(ToSchema)]
pub(crate) struct Rule {
    name: String,
    /// Whether only the file can change it.
    in_file: bool,
    /// Whether it is there without anybody writing one.
    built_in: bool,
    /// All of its settings.
    settings: Value,
    /// Groups that are pending or firing, and since when.
    states: Vec<Value>,
    /// What leads nowhere: channels that are not there.
    warnings: Vec<String>,
}

/// A channel, without its secrets.
#[derive(ToSchema)]
pub(crate) struct Channel {
    name: String,
    kind: String,
    in_file: bool,
    /// What leads nowhere: rules that are not there.
    warnings: Vec<String>,
    /// `{"state":"retrying"|"broken","since","reason"}`, if what is sent does not get there.
    trouble: Option<Value>,
}

/// What a channel said to a test.
#[derive(ToSchema)]
pub(crate) struct ChannelTest {
    sent: bool,
    /// What the other side answered, or why it did not arrive.
    answer: String,
}

/// What a rule would have said.
#[derive(ToSchema)]
pub(crate) struct RuleTest {
    from: String,
    to: String,
    told: Vec<Value>,
}

/// A notice and what became of it.
#[derive(ToSchema)]
pub(crate) struct NoticeTold {
    /// What to give as `before` for those before it.
    number: u64,
    notice: Value,
    deliveries: Vec<Value>,
}

/// What is gone.
#[derive(ToSchema)]
pub(crate) struct Removed {
    /// Its name.
    removed: String,
}
