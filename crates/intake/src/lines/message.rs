//! A message that a listener received: one record, however many lines it has.

use super::assemble::Line;
use super::clock::Clock;
use super::event::{Event, Keeping, write_text};
use super::level;
use super::recognise::recognise;
use super::{syslog, text};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Reads messages.
#[derive(Debug)]
pub(crate) struct Messages {
    clock: Clock,
}

impl Messages {
    pub(crate) fn new(zone: TimeZone, now: Timestamp) -> Self {
        Self { clock: Clock::new(zone, now) }
    }

    /// The event of a message, of which `left_out` bytes at the end are not here; none if it is empty. What has no
    /// priority is read as a line of a file.
    pub(crate) fn read(&self, bytes: &[u8], left_out: u64, sender: Option<&str>) -> Option<String> {
        let (bytes, truncated_bytes) = text::whole_characters(bytes, left_out);
        let (decoded, not_utf8) = text::decode(bytes);
        let text = decoded.trim_end_matches(['\0', '\n', '\r']);
        if text.trim().is_empty() {
            return None;
        }
        let keeping = Keeping { not_utf8, truncated_bytes };
        if let Some(event) = syslog::received(text, &self.clock, sender) {
            return Some(event.into_json(keeping));
        }
        let line = Line { text, offset: 0, not_utf8, truncated_bytes };
        let mut event =
            if text.contains('\n') { Event::with_message(text) } else { recognise(&line, text, &self.clock).event };
        if let Some(sender) = sender {
            let sender = format!("{{\"sender\":{}}}", json_text(sender));
            match &mut event.verbatim {
                // The first of two keys that are the same is the one that gives way.
                Some(object) if object.len() > 2 => object.insert_str(1, &format!("\"syslog\":{sender},")),
                Some(_) => {}
                None => event.json("syslog", &sender),
            }
        }
        Some(event.into_json(keeping))
    }
}

/// A text as JSON.
pub(crate) fn json_text(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    write_text(&mut json, text);
    json
}

/// The name of the level that a severity of syslog is.
pub(crate) fn severity_name(severity: u64) -> &'static str {
    level::from_severity(severity).name()
}
