//! Lines in, records out: which lines belong together.
//!
//! A record of a layout that can go on (a log message, a plain line) is held back until a line comes that is not part of
//! it. The others, such as access lines, are emitted at once.

use super::clock::Clock;
use super::event::{Event, Keeping};
use super::labelled::{ends_with_mark, split_mark};
use super::level::Level;
use super::recognise::{Recognised, is_object, recognise};
use super::text::double_backslashes;
use super::trace::{Trace, announces, is_exception_head, is_indented};
use super::{Format, Record};
use jiff::Timestamp;
use std::borrow::Cow;

/// Size at which a record is closed, though more lines of it may come. Those become a record of their own.
const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// How many empty lines in a row are kept inside a record.
const BLANK_LINES_KEPT_MAX: usize = 2;

/// One line of the input.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) offset: u64,
    /// The line was not UTF-8, and `text` is what `escape` made of it.
    pub(super) not_utf8: bool,
    pub(super) truncated_bytes: u64,
}

/// Puts lines together.
#[derive(Debug)]
pub(super) struct Assembler {
    clock: Clock,
    /// The record that the next line may belong to.
    open: Option<Open>,
    /// A record before `open`, which takes it over if `open` turns out to be the first line of a traceback.
    waiting: Option<Open>,
    /// The time of the last record that had one. Those without were written at about that time, not when they are read.
    last: Option<Timestamp>,
}

/// A record that may go on.
#[derive(Debug)]
struct Open {
    offset: u64,
    format: Format,
    event: Event,
    keeping: Keeping,
    trace: Option<Trace>,
    /// Empty lines since the last line of the record.
    blank_lines: usize,
    held_bytes: usize,
    /// A `{` has been opened, and its `}` will have no indentation.
    in_braces: bool,
    /// A private key has begun: its lines belong together, so that none of them is kept by itself.
    in_key: bool,
}

impl Assembler {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, open: None, waiting: None, last: None }
    }

    /// Takes the next line.
    pub(super) fn line(&mut self, line: &Line<'_>, emit: &mut dyn FnMut(Record)) {
        let text = line.text.trim_end();
        if text.is_empty() && line.truncated_bytes == 0 {
            if let Some(open) = &mut self.open {
                open.blank_lines = (open.blank_lines + 1).min(BLANK_LINES_KEPT_MAX);
            }
            return;
        }
        let mut recognised = None;
        if let Some(open) = &mut self.open {
            if !is_indented(text) {
                recognised = Some(recognise(line, text, &self.clock));
            }
            let is_record = recognised.as_ref().is_some_and(|recognised| recognised.format != Format::Text);
            if open.takes(text, is_record) {
                self.append(line, text, emit);
                return;
            }
        }
        let recognised = recognised.unwrap_or_else(|| recognise(line, text, &self.clock));
        self.start(line, text, recognised, emit);
    }

    /// Emits what is held back.
    pub(super) fn close(&mut self, emit: &mut dyn FnMut(Record)) {
        for open in [self.waiting.take(), self.open.take()].into_iter().flatten() {
            emit(open.finish(&self.clock, &mut self.last));
        }
    }

    pub(super) fn set_now(&mut self, now: Timestamp) {
        self.clock.set_now(now);
    }

    /// Where the first record begins that is held back.
    pub(super) fn held_from(&self) -> Option<u64> {
        self.waiting.as_ref().or(self.open.as_ref()).map(|open| open.offset)
    }

    fn start(&mut self, line: &Line<'_>, text: &str, recognised: Recognised, emit: &mut dyn FnMut(Record)) {
        let open = Open::new(line, text, recognised);
        let may_be_taken_over = open.format == Format::Text
            && is_exception_head(text)
            && self.open.as_ref().is_some_and(|before| {
                before.format != Format::Text && before.trace.is_none() && before.blank_lines == 0
            });
        if may_be_taken_over && self.waiting.is_none() {
            self.waiting = self.open.take();
        } else {
            self.close(emit);
        }
        if open.may_go_on() {
            self.open = Some(open);
        } else {
            emit(open.finish(&self.clock, &mut self.last));
        }
    }

    fn append(&mut self, line: &Line<'_>, text: &str, emit: &mut dyn FnMut(Record)) {
        let Some(open) = &mut self.open else { return };
        if open.held_bytes + text.len() > RECORD_BYTES_MAX {
            let rest = open.split_off(line, text);
            self.close(emit);
            self.open = Some(rest);
            return;
        }
        open.append(line, text);
        if open.trace.is_some()
            && let Some(waiting) = self.waiting.take()
            && let Some(head) = self.open.take()
        {
            self.open = Some(waiting.take_over(head));
        }
    }
}

/// How the last line of a key in PEM begins.
const KEY_END: &str = "-----END ";

/// Whether a private key in PEM begins in a line and does not end there.
fn begins_key(text: &str) -> bool {
    let key = text.rfind("-----BEGIN ").map(|at| &text[at..]);
    key.is_some_and(|key| key.contains("PRIVATE KEY") && !key.contains(KEY_END))
}

impl Open {
    fn new(line: &Line<'_>, text: &str, recognised: Recognised) -> Self {
        let Recognised { format, mut event, not_utf8 } = recognised;
        let trace = if format == Format::Text && event.timestamp.is_none() { Trace::begin(text) } else { None };
        if trace.is_some() {
            event.exception = event.message.take();
        }
        Self {
            offset: line.offset,
            format,
            event,
            keeping: Keeping { not_utf8: line.not_utf8 || not_utf8, truncated_bytes: line.truncated_bytes },
            trace,
            blank_lines: 0,
            held_bytes: text.len(),
            in_braces: format == Format::Text && text == "{",
            in_key: begins_key(text),
        }
    }

    fn may_go_on(&self) -> bool {
        !matches!(self.format, Format::Json | Format::Access | Format::Uwsgi | Format::Journal)
    }

    /// Whether the next line belongs to this record. `is_record` says that another format claims the line.
    fn takes(&mut self, text: &str, is_record: bool) -> bool {
        let after_blank = self.blank_lines > 0;
        if self.in_key && !is_record {
            self.in_key = !text.contains(KEY_END);
            return true;
        }
        if self.in_braces && text.starts_with('}') && !is_record {
            self.in_braces = false;
            return true;
        }
        if let Some(trace) = &mut self.trace {
            let taken = trace.takes(text, after_blank, is_record);
            self.in_braces |= taken && is_indented(text) && text.ends_with(" {");
            return taken;
        }
        if let Some(trace) = Trace::turned_by(text, after_blank) {
            self.in_braces |= text.ends_with(" {");
            self.trace = Some(trace);
            if self.format == Format::Text {
                self.event.exception = self.event.message.take();
            }
            return true;
        }
        if after_blank || is_record {
            return false;
        }
        if let Some(trace) = Trace::begin(text) {
            let belongs = !Trace::at_margin(text) || self.announces_trace();
            self.trace = belongs.then_some(trace);
            return belongs;
        }
        if self.format == Format::ApiLogger && self.event.message.as_deref().is_some_and(ends_with_mark) {
            return false;
        }
        if self.format == Format::ApiLogger && text == "{" {
            self.in_braces = true;
            return true;
        }
        is_indented(text)
    }

    fn announces_trace(&self) -> bool {
        self.format != Format::Text || self.event.message.as_deref().is_some_and(announces)
    }

    fn append(&mut self, line: &Line<'_>, text: &str) {
        self.in_key |= begins_key(text);
        let text = self.escaped_alike(line.not_utf8, text);
        self.held_bytes += text.len() + 1;
        let target = if self.trace.is_some() { &mut self.event.exception } else { &mut self.event.message };
        match target {
            Some(target) => {
                target.extend(std::iter::repeat_n('\n', self.blank_lines + 1));
                target.push_str(&text);
            }
            None => *target = Some(text.into_owned()),
        }
        self.blank_lines = 0;
        self.keeping.truncated_bytes += line.truncated_bytes;
    }

    /// Escapes the record and a text to be added in the same way, so that the escaping can be undone.
    fn escaped_alike<'a>(&mut self, not_utf8: bool, text: &'a str) -> Cow<'a, str> {
        if not_utf8 && !self.keeping.not_utf8 {
            self.event.double_backslashes();
            self.keeping.not_utf8 = true;
        }
        if self.keeping.not_utf8 && !not_utf8 { double_backslashes(text) } else { Cow::Borrowed(text) }
    }

    /// Adds to this record the traceback that began as a record of its own.
    fn take_over(mut self, head: Self) -> Self {
        let exception = head.event.exception.unwrap_or_default();
        self.event.exception = Some(self.escaped_alike(head.keeping.not_utf8, &exception).into_owned());
        self.keeping.truncated_bytes += head.keeping.truncated_bytes;
        self.held_bytes += head.held_bytes;
        self.trace = head.trace;
        self.in_braces = head.in_braces;
        self.in_key = head.in_key;
        self
    }

    /// A record for the rest of this one, which has become too large.
    fn split_off(&mut self, line: &Line<'_>, text: &str) -> Self {
        let in_trace = self.trace.is_some();
        let text_of = |here: bool| here.then(|| text.to_owned());
        Self {
            offset: line.offset,
            format: Format::Text,
            event: Event { message: text_of(!in_trace), exception: text_of(in_trace), ..Event::default() },
            keeping: Keeping { not_utf8: line.not_utf8, truncated_bytes: line.truncated_bytes },
            trace: self.trace.clone(),
            blank_lines: 0,
            held_bytes: text.len(),
            in_braces: self.in_braces,
            in_key: self.in_key,
        }
    }

    fn finish(mut self, clock: &Clock, last: &mut Option<Timestamp>) -> Record {
        if self.format == Format::ApiLogger {
            split_mark(&mut self.event, clock);
        }
        match self.event.timestamp {
            Some(timestamp) => *last = Some(timestamp),
            None => self.event.timestamp = *last,
        }
        if let Some(trace) = self.trace {
            let exception = self.event.exception.as_deref().unwrap_or_default();
            self.event.message.get_or_insert_with(|| trace.headline(exception));
            self.event.level.get_or_insert(Level::Error);
        }
        // A JSON object over several lines is put on one. Inside of it a newline can only be white space.
        if let Some(text) =
            self.event.message.as_deref().filter(|text| self.format == Format::Text && text.starts_with("{\n"))
            && self.event.exception.is_none()
            && self.keeping.truncated_bytes == 0
            && !self.keeping.not_utf8
            && is_object(text)
        {
            return Record { json: text.replace('\n', " "), offset: self.offset, format: Format::Json };
        }
        Record { json: self.event.into_json(self.keeping), offset: self.offset, format: self.format }
    }
}
