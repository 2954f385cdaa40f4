//! Messages of listeners that speak no HTTP: syslog and GELF, each with the address it came from.

use event::Timestamp;
use jiff::tz::TimeZone;

use crate::decode::{Decoded, Decoder, Door, Limits, Reason, escape_bytes};
use crate::gelf::{document, unpacked};
use crate::lines::Messages as Lines;

/// Which protocol a listener speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Syslog, RFC 5424 and RFC 3164.
    Syslog,
    /// GELF 1.1.
    Gelf,
}

/// Collects messages into what the engine takes. An `id` in a JSON message is the event's id only if it is a UUID.
#[derive(Debug)]
pub struct Messages {
    decoder: Decoder,
    lines: Lines,
    protocol: Protocol,
}

impl Messages {
    /// A collection without messages. `zone` is that of times without one.
    #[must_use]
    pub fn new(protocol: Protocol, limits: Limits, received: Timestamp, zone: TimeZone) -> Self {
        let limits = Limits { only_uuid_ids: true, ..limits };
        let now = jiff::Timestamp::from_microsecond(received.as_micros()).unwrap_or(jiff::Timestamp::MAX);
        Self { decoder: Decoder::new(Door::Native, limits, received), lines: Lines::new(zone, now), protocol }
    }

    /// Adds a message, of which `left_out` bytes at the end are not here. One that is empty is none.
    pub fn push(&mut self, message: &[u8], left_out: u64, sender: Option<&str>) {
        match self.protocol {
            Protocol::Syslog => {
                if let Some(json) = self.lines.read(message, left_out, sender) {
                    self.decoder.item(&json);
                }
            }
            Protocol::Gelf => self.push_gelf(message, left_out, sender),
        }
    }

    /// How many messages were added.
    #[must_use]
    pub fn count(&self) -> usize {
        self.decoder.index()
    }

    /// The events.
    #[must_use]
    pub fn finish(self) -> Decoded {
        self.decoder.finish()
    }

    fn push_gelf(&mut self, message: &[u8], left_out: u64, sender: Option<&str>) {
        let bytes_max = self.decoder.limits.event_bytes_max;
        if left_out > 0 {
            let bytes = message.len().saturating_add(usize::try_from(left_out).unwrap_or(usize::MAX));
            return self.decoder.refuse(Reason::TooLarge { bytes, bytes_max });
        }
        let whole = match unpacked(message, bytes_max) {
            Ok(whole) => whole,
            Err(error) => return self.decoder.refuse(Reason::NotJson { message: error.to_string() }),
        };
        let bytes = whole.trim_ascii();
        if bytes.is_empty() {
            return;
        }
        let take = |decoder: &mut Decoder, text: &str| match document(text, sender) {
            Ok(json) => decoder.item(&json),
            Err(reason) => decoder.refuse(reason),
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => take(&mut self.decoder, text),
            Err(_) => self.decoder.escaped(&escape_bytes(bytes), take),
        }
    }
}

/// Reads the body of `POST /gelf`: one message, or one a line.
#[must_use]
pub fn gelf(body: &[u8], limits: Limits, received: Timestamp) -> Decoded {
    let mut messages = Messages::new(Protocol::Gelf, limits, received, TimeZone::UTC);
    let body = body.trim_ascii();
    let lines = || body.split(|byte| *byte == b'\n');
    // One message may stand on several lines, which are no messages.
    let is_one = !lines().next().unwrap_or_default().trim_ascii_end().ends_with(b"}");
    if is_one {
        messages.push(body, 0, None);
    } else {
        lines().for_each(|line| messages.push(line, 0, None));
    }
    messages.finish()
}
