//! The records of Python's `logging.handlers.HTTPHandler`: one a request, as a form or in the query of a `GET`.
//!
//! The handler sends `LogRecord.__dict__` with `str` applied to each value (CPython, `Lib/logging/handlers.py`), so the
//! message is a template, and its arguments are the text of a tuple or of a dictionary. Both are put together here; where
//! the arguments are objects of which only a description came, template and description are kept as they are.

mod format;
mod literal;

use std::borrow::Cow;

use event::{Level, Timestamp, Value, escape_segment};

use crate::decode::{Decoded, Decoder, Door, Limits, Reason};
use crate::reading;
use crate::shaped::Shaped;
use crate::visitor::ARGUMENTS_MAX;
use crate::vocabulary::Reading;

/// What of a record is said by shared keys, or says nothing after the process has ended.
const SAID_OTHERWISE: [&str; 11] = [
    "name",
    "msg",
    "message",
    "args",
    "levelname",
    "levelno",
    "created",
    "msecs",
    "relativeCreated",
    "exc_info",
    "exc_text",
];

/// Attributes of every record that are numbers.
const NUMBERS: [&str; 3] = ["lineno", "thread", "process"];

/// Attributes of every record that are `None` where there is nothing to say.
const OPTIONAL: [&str; 5] = ["stack_info", "taskName", "processName", "threadName", "funcName"];

/// Shared keys that a record fills itself. An extra key of the same name is kept below `extra`.
const FILLED: [&str; 5] = ["timestamp", "level", "logger", "message", "exception"];

/// Reads one record, sent as a form; what begins like JSON is read as by [`crate::native`]. An `id` among the extra keys
/// is the event's id only if it is a UUID.
#[must_use]
pub fn records(body: &[u8], limits: Limits, received: Timestamp) -> Decoded {
    let body = body.trim_ascii();
    let limits = Limits { only_uuid_ids: true, ..limits };
    if matches!(body.first(), Some(b'{' | b'[')) {
        return crate::native(body, limits, received);
    }
    let mut decoder = Decoder::new(Door::Native, limits, received);
    if !body.is_empty() {
        let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(body).take(ARGUMENTS_MAX + 1).collect();
        let record = Record { pairs: &pairs };
        decoder.shaped(body.len(), |event| record.fill(event));
    }
    decoder.finish()
}

/// One record as it was sent.
#[derive(Debug)]
struct Record<'a> {
    pairs: &'a [(Cow<'a, str>, Cow<'a, str>)],
}

impl<'a> Record<'a> {
    /// The text of an attribute; `None` where Python said so.
    fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| &**value);
        found.filter(|value| *value != "None")
    }

    fn fill(&self, event: &mut Shaped<'_, 'a>) -> Result<(), Reason> {
        if self.pairs.len() > ARGUMENTS_MAX {
            return Err(Reason::TooManyArguments);
        }
        if self.get("msg").is_none() && self.get("levelname").is_none() {
            let what = "this is no record of Python's logging: it has neither `msg` nor `levelname`; other forms go to POST /api/v1/logs/{log}/entries";
            return Err(Reason::Conflict { what: what.to_owned() });
        }
        if let Some(created) = self.get("created").and_then(Value::number_in) {
            event.value("timestamp", created);
        }
        self.fill_level(event);
        event.text("logger", self.get("name").unwrap_or_default());
        self.fill_message(event);
        self.fill_exception(event);
        for (key, value) in self.pairs {
            self.fill_other(event, key, value);
        }
        Ok(())
    }

    fn fill_level(&self, event: &mut Shaped<'_, 'a>) {
        let name = self.get("levelname").unwrap_or_default();
        if let Some(level) = Level::parse(name) {
            return event.text("level", level.name());
        }
        // A level of the program's own: its number says between which of the usual ones it stands.
        event.text("levelname", name);
        let Some(number) = self.get("levelno").and_then(|number| number.parse::<i64>().ok()) else { return };
        event.value("levelno", Value::Int(number));
        let level = reading::level(Value::Int(number), Reading::PythonLevel).unwrap_or(Level::Trace);
        event.text("level", level.name());
    }

    fn fill_message(&self, event: &mut Shaped<'_, 'a>) {
        let template = self.get("msg").unwrap_or_default();
        match self.get("args").filter(|args| !matches!(*args, "()" | "{}" | "")) {
            None => event.text("message", template),
            Some(args) => {
                if let Some(message) = literal::arguments(args).and_then(|args| format::fill(template, &args)) {
                    event.owned("message", message);
                } else {
                    event.text("message", template);
                    event.text("args", args);
                }
                // The same for all messages of one place in the program.
                event.text("msg", template);
            }
        }
    }

    /// `exc_text` is there only if another handler formatted the record before; `exc_info` then tells the type at least.
    fn fill_exception(&self, event: &mut Shaped<'_, 'a>) {
        if let Some(text) = self.get("exc_text").filter(|text| !text.is_empty()) {
            return event.text("exception", text);
        }
        let Some(info) = self.get("exc_info") else { return };
        if let Some((kind, message)) = type_and_message(info) {
            event.text("exception.type", kind);
            event.owned("exception.message", message);
        }
        event.text("exc_info", info);
    }

    fn fill_other(&self, event: &mut Shaped<'_, 'a>, key: &'a str, value: &'a str) {
        if SAID_OTHERWISE.contains(&key) || (OPTIONAL.contains(&key) && value == "None") {
            return;
        }
        let path = escape_segment(key, true);
        match Value::number_in(value).filter(|_| NUMBERS.contains(&key)) {
            Some(number) => event.value(&path, number),
            None if FILLED.contains(&key) => event.text(&format!("extra.{key}"), value),
            None => event.text(&path, value),
        }
    }
}

/// Type and message of `(<class 'shop.Declined'>, Declined('no money', 7), <traceback object at 0x7f…>)`.
fn type_and_message(info: &str) -> Option<(&str, String)> {
    let (class, rest) = info.strip_prefix("(<class '")?.split_once("'>, ")?;
    let name = class.rsplit('.').next()?;
    let arguments = rest.strip_prefix(name)?.strip_prefix('(');
    let message = arguments.and_then(literal::first).unwrap_or_default();
    Some((class, message))
}
