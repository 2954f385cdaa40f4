//! From an event to its fingerprint: which events are one problem.

use std::borrow::Cow;

use xxhash_rust::xxh3::Xxh3;

use crate::choose::{Chosen, FUNCTIONS_MAX, choose};
use crate::explain::{Basis, Explanation, FrameUse, Part, PartKind};
use crate::facts::Facts;
use crate::frames::{Exception, Frame, exceptions, is_wrapper};
use crate::judge::{Judged, Standing, culprit, judge};
use crate::mask::{bounded, head, message, route};

/// The version of the algorithm. Whatever changes a fingerprint gets the next one, so that old issues stay what they are.
pub const VERSION: u32 = 1;

/// Longest title, in characters.
pub const TITLE_CHARACTERS_MAX: usize = 255;

/// Longest culprit, in bytes.
pub const CULPRIT_BYTES_MAX: usize = 255;

/// So many types of a chain make a fingerprint: the one that was not caught, and what began it.
const TYPES_MAX: usize = 2;

/// Names of events that say nothing about what happened.
const GENERAL_EVENTS: [&str; 12] = [
    "exception",
    "message",
    "error",
    "log",
    "request",
    "transaction",
    "http_request",
    "request_finished",
    "request_failed",
    "response",
    "access",
    "handled_exception",
];

/// Where an event belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The version of the algorithm, a hyphen, and 32 hexadecimal digits.
    pub fingerprint: String,
    /// `ZeroDivisionError: division by zero`, at most [`TITLE_CHARACTERS_MAX`].
    pub title: String,
    /// `objects.token.permissions in has_permission`, at most [`CULPRIT_BYTES_MAX`].
    pub culprit: String,
}

/// The issue that an event belongs to; none if it is no error.
#[must_use]
pub fn group(facts: &Facts<'_>) -> Option<Group> {
    if !facts.is_error() {
        return None;
    }
    let Keyed { fingerprint, title, culprit, .. } = Keyed::of(facts, Look::UntilDecided);
    Some(Group { fingerprint, title, culprit })
}

/// The same with all that made the fingerprint.
#[must_use]
pub fn explain(facts: &Facts<'_>) -> Option<Explanation> {
    if !facts.is_error() {
        return None;
    }
    let keyed = Keyed::of(facts, Look::AtAll);
    let frames = keyed.frames();
    let Keyed { fingerprint, title, culprit, basis, parts, .. } = keyed;
    Some(Explanation { fingerprint, version: VERSION, basis, title, culprit, parts, frames })
}

/// How many frames are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// All of them.
    AtAll,
    /// Until those farther out change nothing.
    UntilDecided,
}

struct Keyed<'a> {
    fingerprint: String,
    title: String,
    culprit: String,
    basis: Basis,
    parts: Vec<Part>,
    raised: Option<Exception<'a>>,
    judged: Vec<Judged>,
    chosen: Chosen,
}

impl<'a> Keyed<'a> {
    fn of(facts: &Facts<'a>, look: Look) -> Self {
        let mut chain = exceptions(facts);
        let raised = chain.iter().position(|one| !is_wrapper(&one.kind)).unwrap_or(0);
        let types = types(&chain);
        let raised = (raised < chain.len()).then(|| chain.swap_remove(raised));
        let mut keyed = Self {
            fingerprint: String::new(),
            title: title(facts, raised.as_ref()),
            culprit: String::new(),
            basis: Basis::Message,
            parts: Vec::with_capacity(8),
            raised,
            judged: Vec::new(),
            chosen: Chosen::default(),
        };
        keyed.default_parts(facts, types, look);
        keyed.culprit = keyed.culprit(facts);
        if facts.fingerprint.iter().any(|part| !part.is_empty() && !is_variable(part, "default")) {
            keyed.client_parts(facts);
        }
        keyed.fingerprint = hash(&keyed.parts);
        keyed
    }

    fn part(&mut self, kind: PartKind, value: impl Into<String>) {
        self.parts.push(Part { kind, value: value.into() });
    }

    fn default_parts(&mut self, facts: &Facts<'_>, types: Vec<String>, look: Look) {
        let Some(raised) = &mut self.raised else {
            self.said(facts);
            return;
        };
        if raised.kind.is_empty() && raised.frames.is_empty() && raised.message.is_empty() {
            self.said(facts);
            return;
        }
        let is_overflow = is_overflow(&raised.kind, &raised.message);
        let all = look == Look::AtAll || is_overflow;
        self.judged = judged(&raised.frames, if all { usize::MAX } else { FUNCTIONS_MAX });
        let skipped = raised.frames.len() - self.judged.len();
        raised.frames.drain(..skipped);
        self.chosen = choose(&self.judged, is_overflow);
        let first = types.first().map_or("", String::as_str);
        let text = if raised.message.is_empty() { facts.message } else { &raised.message };
        let masked = match first {
            kind if !self.chosen.counted.is_empty() && !self.chosen.is_weak && is_general(kind) => {
                Some(general_head(text, kind))
            }
            _ if self.chosen.counted.is_empty() || self.chosen.is_weak => Some(message(text, names_the_cause(first))),
            _ => None,
        };
        self.basis = if self.chosen.counted.is_empty() { Basis::Exception } else { Basis::Frames };
        for kind in types {
            self.part(PartKind::Type, kind);
        }
        for place in self.chosen.counted.clone() {
            self.part(PartKind::Function, self.judged[place].name.clone());
        }
        if let Some(place) = self.chosen.called {
            self.part(PartKind::Called, self.judged[place].name.clone());
        }
        if let Some(masked) = masked {
            self.part(PartKind::Message, masked);
        }
    }

    /// A log line, or an answer of which nothing else is known.
    fn said(&mut self, facts: &Facts<'_>) {
        let is_name = !facts.event.is_empty() && !facts.event.contains(' ') && !GENERAL_EVENTS.contains(&facts.event);
        let template = template(facts.template);
        let failed = facts.status.filter(|status| *status >= 500);
        if let (Some(status), None, true) = (failed, &template, !facts.path.is_empty() || !facts.route.is_empty()) {
            self.basis = Basis::Answer;
            self.part(PartKind::Status, status.to_string());
            self.part(PartKind::Method, facts.method.to_ascii_uppercase());
            self.part(PartKind::Route, route_of(facts));
        } else {
            self.basis = Basis::Message;
            let text = if facts.message.is_empty() && !is_name { facts.event } else { facts.message };
            self.part(PartKind::Message, template.unwrap_or_else(|| message(text, false)));
            self.part(PartKind::Logger, bounded(facts.logger, CULPRIT_BYTES_MAX));
        }
        if is_name {
            self.part(PartKind::Event, bounded(facts.event, CULPRIT_BYTES_MAX));
        }
    }

    /// The client's own fingerprint, which may name what the default one is made of.
    fn client_parts(&mut self, facts: &Facts<'_>) {
        let made = std::mem::take(&mut self.parts);
        self.basis = Basis::Client;
        for part in facts.fingerprint {
            let value = match part {
                part if is_variable(part, "default") => {
                    self.parts.extend(made.iter().cloned());
                    continue;
                }
                part if is_variable(part, "type") || is_variable(part, "error.type") => facts.exception_type,
                part if is_variable(part, "message") || is_variable(part, "error.value") => facts.message,
                part if is_variable(part, "transaction") => facts.culprit,
                part if is_variable(part, "logger") => facts.logger,
                part if is_variable(part, "level") => facts.level.map_or("", event::Level::name),
                part => part,
            };
            self.part(PartKind::Client, value);
        }
    }

    fn culprit(&self, facts: &Facts<'_>) -> String {
        let own = self.raised.as_ref().zip(self.chosen.counted.first().copied());
        let of_frame =
            own.and_then(|(raised, place)| Some(culprit(raised.frames.get(place)?, self.judged.get(place)?)));
        let found = match of_frame {
            Some(found) => found,
            None if !facts.culprit.is_empty() => facts.culprit.to_owned(),
            None if self.basis == Basis::Answer => route_of(facts),
            None => facts.logger.to_owned(),
        };
        bounded(&found, CULPRIT_BYTES_MAX).to_owned()
    }

    fn frames(&self) -> Vec<FrameUse> {
        let sent = self.raised.iter().flat_map(|raised| &raised.frames);
        let made = self.judged.iter().zip(&self.chosen.roles);
        sent.zip(made)
            .map(|(sent, (judged, role))| FrameUse {
                function: sent.function.to_string(),
                place: if sent.file.is_empty() { &sent.module } else { &sent.file }.to_string(),
                name: judged.name.clone(),
                in_app: matches!(judged.standing, Standing::App | Standing::Anonymous | Standing::Nameless),
                role: *role,
            })
            .collect()
    }
}

/// The frames made comparable, from where it was raised out, until there are so many functions of the application.
fn judged(frames: &[Frame<'_>], functions_max: usize) -> Vec<Judged> {
    let mut judged: Vec<Judged> = Vec::with_capacity(frames.len());
    let mut functions = 0;
    for frame in frames.iter().rev() {
        if functions == functions_max {
            break;
        }
        let next = judge(frame);
        let is_known = |known: &Judged| known.standing == Standing::App && known.name == next.name;
        if next.standing == Standing::App && !judged.iter().any(is_known) {
            functions += 1;
        }
        judged.push(next);
    }
    judged.reverse();
    // A client that calls nothing its own was not told what is.
    if judged.iter().all(|frame| matches!(frame.standing, Standing::Library | Standing::Machinery)) {
        for frame in judged.iter_mut().filter(|frame| frame.standing == Standing::Library && frame.seems_own) {
            frame.standing = if frame.name.is_empty() { Standing::Nameless } else { Standing::App };
        }
    }
    judged
}

/// The types that count: not those of wrappers, and of what was handled not what programs raise to find their way.
fn types(chain: &[Exception<'_>]) -> Vec<String> {
    let only_wrappers = chain.iter().all(|one| is_wrapper(&one.kind));
    let mut kept = chain.iter().filter(|one| only_wrappers || !is_wrapper(&one.kind)).map(|one| type_name(&one.kind));
    let mut types: Vec<String> = kept.next().into_iter().map(Cow::into_owned).collect();
    let began = kept.rfind(|kind| !is_of_control_flow(kind)).map(Cow::into_owned);
    types.extend(began.filter(|kind| !types.contains(kind)));
    types.truncate(TYPES_MAX);
    types
}

/// `ValueError` of `shop.errors.ValueError`: clients of one language differ in whether they send the module.
fn type_name(kind: &str) -> Cow<'_, str> {
    let kind = kind.trim().trim_start_matches("Uncaught ");
    let kind = kind.split(['<', '`', '(']).next().unwrap_or(kind);
    let kind = kind.rsplit(['.', '\\', '/']).next().unwrap_or(kind);
    Cow::Borrowed(bounded(kind, CULPRIT_BYTES_MAX))
}

fn is_of_control_flow(kind: &str) -> bool {
    matches!(
        kind,
        "CancelledError"
            | "KeyError"
            | "AttributeError"
            | "IndexError"
            | "LookupError"
            | "StopIteration"
            | "StopAsyncIteration"
    )
}

/// Errors of which the quoted names are the cause: `'NoneType' object has no attribute 'items'`.
fn names_the_cause(kind: &str) -> bool {
    matches!(
        kind,
        "TypeError"
            | "AttributeError"
            | "NameError"
            | "ReferenceError"
            | "NoMethodError"
            | "ImportError"
            | "ModuleNotFoundError"
            | "UnboundLocalError"
            | "ClassNotFoundException"
            | "NoClassDefFoundError"
            | "NullPointerException"
            | "UndefinedError"
            | "panic"
            | "UndefinedFunctionError"
            | "FieldError"
            | "ImproperlyConfigured"
    )
}

fn is_overflow(kind: &str, message: &str) -> bool {
    let kind = type_name(kind);
    matches!(
        &*kind,
        "RecursionError" | "StackOverflowError" | "SystemStackError" | "StackOverflowException" | "InternalError"
    ) || message.contains("Maximum call stack")
        || message.contains("maximum recursion depth")
        || message.contains("stack overflow")
        || message.contains("goroutine stack exceeds")
}

/// Types that say nothing: only the message tells one cause from another.
fn is_general(kind: &str) -> bool {
    matches!(
        kind,
        "panic"
            | "fatal error"
            | "Error"
            | "Exception"
            | "RuntimeError"
            | "RuntimeException"
            | "StandardError"
            | "ApplicationException"
            | "ErrorException"
            | "Throwable"
            | "anyhow::Error"
            | "TRPCError"
            | "HttpException"
            | "HTTPException"
    )
}

/// What such an error says before the values that it carries.
fn general_head(text: &str, kind: &str) -> String {
    let text = head(text);
    let start = text.strip_prefix("runtime error: ").map_or(0, |rest| text.len() - rest.len());
    let length = text[start..].find(": ").unwrap_or(text.len() - start);
    message(&text[..start + length], matches!(kind, "panic" | "fatal error"))
}

/// A template with its places as marks, as the message would be masked; none if it says nothing by itself.
fn template(template: &str) -> Option<String> {
    if template.is_empty() {
        return None;
    }
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['%', '{']) {
        let (before, place) = rest.split_at(at);
        filled.push_str(before);
        let length = place_length(place);
        filled.push_str(if length > 0 { "0" } else { &place[..1] });
        rest = &place[length.max(1)..];
    }
    filled.push_str(rest);
    let says_something = template_words(&filled);
    says_something.then(|| message(&filled, false))
}

fn template_words(filled: &str) -> bool {
    filled.chars().filter(|character| character.is_alphabetic()).count() >= 3
}

/// The length of `%s`, `%(name)s`, `%-5.2f`, `{}` or `{name!r}`.
fn place_length(text: &str) -> usize {
    if text.starts_with('{') {
        return text.find('}').filter(|end| *end <= 60 && !text[..*end].contains([' ', '"'])).map_or(0, |end| end + 1);
    }
    let named =
        text.get(1..).filter(|rest| rest.starts_with('(')).and_then(|rest| rest.find(')')).map_or(1, |end| end + 2);
    let flags = text.get(named..).unwrap_or("");
    let end = flags.find(|character: char| !matches!(character, '0'..='9' | '.' | '-' | '+' | '#' | ' ' | 'l'));
    match end.and_then(|end| flags[end..].chars().next().map(|letter| (end, letter))) {
        Some((end, letter)) if letter.is_ascii_alphabetic() => named + end + 1,
        _ => 0,
    }
}

/// The route, its places named alike.
fn route_of(facts: &Facts<'_>) -> String {
    if facts.route.is_empty() {
        return route(facts.path);
    }
    let segments = facts.route.trim_end_matches(['/', '$']).split('/');
    let named: Vec<&str> =
        segments.map(|segment| if segment.starts_with(['{', ':', '<', '(', '[']) { "{id}" } else { segment }).collect();
    bounded(&named.join("/"), CULPRIT_BYTES_MAX).to_owned()
}

/// `{{ default }}`, with blanks or without.
fn is_variable(part: &str, name: &str) -> bool {
    part.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).is_some_and(|inside| inside.trim() == name)
}

fn title(facts: &Facts<'_>, raised: Option<&Exception<'_>>) -> String {
    let said = raised.filter(|one| !one.kind.is_empty() || !one.message.is_empty());
    let whole = match said {
        Some(one) if one.kind.is_empty() => head(&one.message).to_owned(),
        Some(one) if one.message.is_empty() => one.kind.to_string(),
        Some(one) => format!("{}: {}", &*one.kind, head(&one.message)),
        None if !facts.message.is_empty() => head(facts.message).to_owned(),
        None if facts.status.is_some() && !facts.path.is_empty() => {
            let status = facts.status.map_or(String::new(), |status| status.to_string());
            [status.as_str(), facts.method, &route_of(facts)].join(" ").replace("  ", " ")
        }
        None => facts.event.to_owned(),
    };
    let line: String = whole.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TITLE_CHARACTERS_MAX) {
        Some((end, _)) => line[..end].to_owned(),
        None if line.is_empty() => "error".to_owned(),
        None => line,
    }
}

fn hash(parts: &[Part]) -> String {
    let mut hasher = Xxh3::new();
    for part in parts {
        hasher.update(&[part.kind as u8]);
        hasher.update(&(part.value.len() as u64).to_le_bytes());
        hasher.update(part.value.as_bytes());
    }
    format!("{VERSION}-{:032x}", hasher.digest128())
}
