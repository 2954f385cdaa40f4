//! The columns of shared keys that a document fills under other names.

use std::borrow::Cow;

use event::{BatchBuilder, Value};

use crate::exception::{self, Raised};
use crate::normalise::{Found, Kept, Noticed, push};
use crate::reading;
use crate::vocabulary::Shared;

/// Adds what was found of an event under other names than ours. A column that was sent is never changed.
pub(crate) fn fill(noticed: &Noticed<'_>, builder: &mut BatchBuilder) {
    for found in noticed.others() {
        one(found, builder);
    }
    // What has a name of its own goes before what is a part of something else.
    if let Some(Value::Str(request)) = noticed.alias(Shared::Request).map(Found::value)
        && let Some((method, path)) = reading::request_line(request)
    {
        push(builder, "method", Value::Str(method), false);
        push(builder, "path", Value::Str(path), false);
    }
    if let Some(text) = noticed.url_with_path() {
        push_text(builder, "path", reading::address(text).1);
    }
    if let Some(Value::Str(text)) = noticed.alias(Shared::Url).map(Found::value) {
        let (url, path) = reading::address(text);
        push_text(builder, "url", url);
        push_text(builder, "path", path);
    }
    push_text(builder, "message", noticed.message_in_event());
    exceptions(noticed, builder);
}

fn push_text(builder: &mut BatchBuilder, path: &str, text: Option<&str>) {
    if let Some(text) = text {
        push(builder, path, Value::text(text), false);
    }
}

/// Adds one key of which only one column is made.
fn one(found: &Found<'_>, builder: &mut BatchBuilder) {
    let value = found.value();
    let column = found.shared.columns().first().copied().unwrap_or_default();
    match found.shared {
        Shared::Timestamp
        | Shared::Nanoseconds
        | Shared::Level
        | Shared::User
        | Shared::Request
        | Shared::Url
        | Shared::ExceptionType
        | Shared::ExceptionMessage
        | Shared::Stack => {}
        Shared::Status => {
            if let Some(status) = reading::status(value) {
                push(builder, column, status, false);
            }
        }
        Shared::DurationMs => {
            if let Some(duration) = reading::duration_ms(value, found.reading()) {
                push(builder, column, duration, false);
            }
        }
        Shared::TraceId | Shared::SpanId => {
            push_text(builder, column, reading::trace_id(value, found.reading()).as_deref());
        }
        Shared::Path => {
            if let Value::Str(text) = value {
                let (url, path) = reading::address(text);
                push_text(builder, column, path.or(Some(text)));
                push_text(builder, "url", url);
            }
        }
        _ => {
            let mut room = String::new();
            if let Some(text) = reading::as_text(value, &mut room) {
                push(builder, column, text, false);
            }
        }
    }
}

/// `exception.type`, `.message`, `.frames` and `.chain`, from the key `exception` in whatever form, or from its other
/// names. Nothing is added to an object that was sent, unless the object is kept beside as it was.
fn exceptions(noticed: &Noticed<'_>, builder: &mut BatchBuilder) {
    let own = match noticed.exception.as_ref().map(Kept::value) {
        Some(Value::Str(text)) => Raised::of_text(text),
        Some(Value::Raw(list)) => Raised::of_list(list),
        _ => None,
    };
    if noticed.in_exception {
        if noticed.foreign_exception
            && let Some(object) = noticed.exception_object
            && let Some(raised) = Raised::of_object(object)
        {
            push(builder, "exception", Value::Raw(&crate::decode::on_one_line(object)), true);
            push_raised(builder, &raised);
        }
        return;
    }
    let text = |shared| match noticed.alias(shared).map(Found::value) {
        Some(value) => reading::text(value),
        None => None,
    };
    let (kind, message) = (text(Shared::ExceptionType), text(Shared::ExceptionMessage));
    let stack = match noticed.alias(Shared::Stack).map(Found::value) {
        Some(Value::Str(text)) => Some(Raised::of_stack(text)),
        Some(Value::Raw(list)) => Raised::of_list(list).or_else(|| Raised::of_frames(list)),
        _ => None,
    };
    let raised = joined(own, (kind, message), stack).or_else(|| exception::in_message(noticed.lines()?));
    let Some(raised) = raised else { return };
    push_raised(builder, &raised);
}

/// What the key itself says goes before what is said under other names, and that before what a traceback says.
fn joined(
    own: Option<Raised>,
    (kind, message): (Option<Cow<'_, str>>, Option<Cow<'_, str>>),
    stack: Option<Raised>,
) -> Option<Raised> {
    // A text alone, as `error` often is, may begin with the type.
    let is_named = kind.is_some() || own.is_some() || stack.as_ref().is_some_and(|stack| !stack.kind.is_empty());
    let line = message.as_deref().filter(|_| !is_named);
    let named = line.and_then(exception::type_and_message);
    let named = named.map(|(kind, message)| Raised::named(kind, message));
    let said = (kind.is_some() || message.is_some())
        .then(|| Raised::named(kind.as_deref().unwrap_or_default(), message.as_deref().unwrap_or_default()));
    [own, named, said, stack].into_iter().flatten().reduce(Raised::or).filter(Raised::says)
}

fn push_raised(builder: &mut BatchBuilder, raised: &Raised) {
    for (path, text) in [("exception.type", &raised.kind), ("exception.message", &raised.message)] {
        if !text.is_empty() {
            push(builder, path, Value::Str(text), false);
        }
    }
    let traceback = &raised.traceback;
    for (path, list) in [("exception.frames", &traceback.frames), ("exception.chain", &traceback.chain)] {
        if let Some(list) = list {
            push(builder, path, Value::Raw(list), false);
        }
    }
}
