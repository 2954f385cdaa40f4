//! The JSON form of the messages, rewritten to their bytes: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>.
//!
//! Ids are hexadecimal; whole numbers of 64 bits may be texts; enumerations may be names; unknown keys mean nothing, and
//! null is the same as no key.

use std::fmt;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use event::varint;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Broken;

/// A message: its fields by name and number.
pub(super) struct Message {
    fields: &'static [Field],
}

struct Field {
    /// As JSON has it; the name in the description of the message, with underscores, is taken too.
    name: &'static str,
    number: u32,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// Bytes that are an id.
    Id,
    Bytes,
    Varint,
    Fixed64,
    Fixed32,
    Double,
    Bool,
    /// What all names begin with, and the names by their numbers.
    Enum(&'static str, &'static [&'static str]),
    Message(&'static Message),
}

const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { name, number, kind }
}

pub(super) static LOGS: Message = Message { fields: &[field(1, "resourceLogs", Kind::Message(&RESOURCE_LOGS))] };
pub(super) static TRACES: Message = Message { fields: &[field(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS))] };
pub(super) static METRICS: Message =
    Message { fields: &[field(1, "resourceMetrics", Kind::Message(&RESOURCE_METRICS))] };

static RESOURCE_LOGS: Message = Message {
    fields: &[
        field(1, "resource", Kind::Message(&RESOURCE)),
        field(2, "scopeLogs", Kind::Message(&SCOPE_LOGS)),
        field(3, "schemaUrl", Kind::Text),
    ],
};
static RESOURCE_SPANS: Message = Message {
    fields: &[
        field(1, "resource", Kind::Message(&RESOURCE)),
        field(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
        field(3, "schemaUrl", Kind::Text),
    ],
};
static RESOURCE_METRICS: Message = Message { fields: &[field(2, "scopeMetrics", Kind::Message(&SCOPE_METRICS))] };
static SCOPE_LOGS: Message = Message {
    fields: &[
        field(1, "scope", Kind::Message(&SCOPE)),
        field(2, "logRecords", Kind::Message(&LOG_RECORD)),
        field(3, "schemaUrl", Kind::Text),
    ],
};
static SCOPE_SPANS: Message = Message {
    fields: &[
        field(1, "scope", Kind::Message(&SCOPE)),
        field(2, "spans", Kind::Message(&SPAN)),
        field(3, "schemaUrl", Kind::Text),
    ],
};
static SCOPE_METRICS: Message = Message { fields: &[field(2, "metrics", Kind::Message(&METRIC))] };
static METRIC: Message = Message {
    fields: &[
        field(5, "gauge", Kind::Message(&POINTS)),
        field(7, "sum", Kind::Message(&POINTS)),
        field(9, "histogram", Kind::Message(&POINTS)),
        field(10, "exponentialHistogram", Kind::Message(&POINTS)),
        field(11, "summary", Kind::Message(&POINTS)),
    ],
};
static POINTS: Message = Message { fields: &[field(1, "dataPoints", Kind::Message(&POINT))] };
/// Counted, never read.
static POINT: Message = Message { fields: &[] };
static RESOURCE: Message = Message {
    fields: &[field(1, "attributes", Kind::Message(&KEY_VALUE)), field(2, "droppedAttributesCount", Kind::Varint)],
};
static SCOPE: Message = Message {
    fields: &[
        field(1, "name", Kind::Text),
        field(2, "version", Kind::Text),
        field(3, "attributes", Kind::Message(&KEY_VALUE)),
        field(4, "droppedAttributesCount", Kind::Varint),
    ],
};
static KEY_VALUE: Message =
    Message { fields: &[field(1, "key", Kind::Text), field(2, "value", Kind::Message(&ANY_VALUE))] };
static ANY_VALUE: Message = Message {
    fields: &[
        field(1, "stringValue", Kind::Text),
        field(2, "boolValue", Kind::Bool),
        field(3, "intValue", Kind::Varint),
        field(4, "doubleValue", Kind::Double),
        field(5, "arrayValue", Kind::Message(&ARRAY_VALUE)),
        field(6, "kvlistValue", Kind::Message(&KEY_VALUE_LIST)),
        field(7, "bytesValue", Kind::Bytes),
    ],
};
static ARRAY_VALUE: Message = Message { fields: &[field(1, "values", Kind::Message(&ANY_VALUE))] };
static KEY_VALUE_LIST: Message = Message { fields: &[field(1, "values", Kind::Message(&KEY_VALUE))] };
static LOG_RECORD: Message = Message {
    fields: &[
        field(1, "timeUnixNano", Kind::Fixed64),
        field(2, "severityNumber", Kind::Enum("SEVERITY_NUMBER_", &SEVERITIES)),
        field(3, "severityText", Kind::Text),
        field(5, "body", Kind::Message(&ANY_VALUE)),
        field(6, "attributes", Kind::Message(&KEY_VALUE)),
        field(7, "droppedAttributesCount", Kind::Varint),
        field(8, "flags", Kind::Fixed32),
        field(9, "traceId", Kind::Id),
        field(10, "spanId", Kind::Id),
        field(11, "observedTimeUnixNano", Kind::Fixed64),
        field(12, "eventName", Kind::Text),
    ],
};
static SPAN: Message = Message {
    fields: &[
        field(1, "traceId", Kind::Id),
        field(2, "spanId", Kind::Id),
        field(3, "traceState", Kind::Text),
        field(4, "parentSpanId", Kind::Id),
        field(5, "name", Kind::Text),
        field(
            6,
            "kind",
            Kind::Enum("SPAN_KIND_", &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]),
        ),
        field(7, "startTimeUnixNano", Kind::Fixed64),
        field(8, "endTimeUnixNano", Kind::Fixed64),
        field(9, "attributes", Kind::Message(&KEY_VALUE)),
        field(10, "droppedAttributesCount", Kind::Varint),
        field(11, "events", Kind::Message(&EVENT)),
        field(12, "droppedEventsCount", Kind::Varint),
        field(13, "links", Kind::Message(&LINK)),
        field(14, "droppedLinksCount", Kind::Varint),
        field(15, "status", Kind::Message(&STATUS)),
        field(16, "flags", Kind::Fixed32),
    ],
};
static EVENT: Message = Message {
    fields: &[
        field(1, "timeUnixNano", Kind::Fixed64),
        field(2, "name", Kind::Text),
        field(3, "attributes", Kind::Message(&KEY_VALUE)),
        field(4, "droppedAttributesCount", Kind::Varint),
    ],
};
static LINK: Message = Message {
    fields: &[
        field(1, "traceId", Kind::Id),
        field(2, "spanId", Kind::Id),
        field(3, "traceState", Kind::Text),
        field(4, "attributes", Kind::Message(&KEY_VALUE)),
        field(5, "droppedAttributesCount", Kind::Varint),
        field(6, "flags", Kind::Fixed32),
    ],
};
static STATUS: Message = Message {
    fields: &[field(2, "message", Kind::Text), field(3, "code", Kind::Enum("STATUS_CODE_", &["UNSET", "OK", "ERROR"]))],
};

const SEVERITIES: [&str; 25] = [
    "UNSPECIFIED",
    "TRACE",
    "TRACE2",
    "TRACE3",
    "TRACE4",
    "DEBUG",
    "DEBUG2",
    "DEBUG3",
    "DEBUG4",
    "INFO",
    "INFO2",
    "INFO3",
    "INFO4",
    "WARN",
    "WARN2",
    "WARN3",
    "WARN4",
    "ERROR",
    "ERROR2",
    "ERROR3",
    "ERROR4",
    "FATAL",
    "FATAL2",
    "FATAL3",
    "FATAL4",
];

/// Rewrites a request.
pub(super) fn to_protobuf(body: &[u8], message: &'static Message) -> Result<Vec<u8>, Broken> {
    let text = std::str::from_utf8(body).map_err(|error| Broken::Json(format!("it is no UTF-8: {error}")))?;
    if !text.trim_start().starts_with('{') {
        return Err(Broken::Json("expected an object".to_owned()));
    }
    let mut out = Vec::with_capacity(body.len() / 2);
    let mut reader = sonic_rs::Deserializer::from_str(text);
    let broken =
        |error: sonic_rs::Error| Broken::Json(error.to_string().lines().next().unwrap_or("unreadable").to_owned());
    Members { out: &mut out, message }.deserialize(&mut reader).map_err(broken)?;
    reader.end().map_err(broken)?;
    Ok(out)
}

impl Field {
    fn is_called(&self, key: &str) -> bool {
        if self.name == key {
            return true;
        }
        if !key.contains('_') {
            return false;
        }
        let mut name = self.name.chars();
        let mut upper = false;
        for character in key.chars() {
            if character == '_' {
                upper = true;
                continue;
            }
            let meant = if upper { character.to_ascii_uppercase() } else { character };
            upper = false;
            if name.next() != Some(meant) {
                return false;
            }
        }
        name.next().is_none()
    }
}

/// The members of an object that is a message.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Key(self.message))? {
            match field {
                Some(field) => map.next_value_seed(Put { out: &mut *self.out, field })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Key(&'static Message);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static Field>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.is_called(key)))
    }
}

/// Writes one value, or each of a list.
struct Put<'o> {
    out: &'o mut Vec<u8>,
    field: &'static Field,
}

impl Put<'_> {
    fn tag(&mut self, wire: u32) {
        varint::write(self.out, u64::from(self.field.number << 3 | wire));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.tag(2);
        varint::write(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Writes a whole number, by its bits.
    fn whole(&mut self, bits: u64) {
        match self.field.kind {
            Kind::Fixed64 => {
                self.tag(1);
                self.out.extend_from_slice(&bits.to_le_bytes());
            }
            Kind::Fixed32 => {
                self.tag(5);
                #[expect(clippy::cast_possible_truncation, reason = "flags have 32 bits")]
                self.out.extend_from_slice(&(bits as u32).to_le_bytes());
            }
            _ => {
                self.tag(0);
                varint::write(self.out, bits);
            }
        }
    }

    fn double(&mut self, number: f64) {
        self.tag(1);
        self.out.extend_from_slice(&number.to_le_bytes());
    }

    fn wrong<E: Error>(&self, found: &str) -> E {
        E::custom(format_args!("{} cannot be {found}", self.field.name))
    }

    fn word<E: Error>(&mut self, text: &str) -> Result<(), E> {
        let unreadable = |put: &Self| Err(put.wrong(&format!("{text:.60?}")));
        match self.field.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Id if text.is_empty() => {}
            Kind::Id => match unhex(text).or_else(|| BASE64_STANDARD.decode(text).ok()) {
                Some(id) => self.bytes(&id),
                None => return unreadable(self),
            },
            Kind::Bytes => {
                let plain = BASE64_STANDARD.decode(text);
                match plain.or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('='))) {
                    Ok(bytes) => self.bytes(&bytes),
                    Err(_) => return unreadable(self),
                }
            }
            // The words for what is no number are those that Rust reads, too.
            Kind::Double => match text.parse() {
                Ok(number) => self.double(number),
                Err(_) => return unreadable(self),
            },
            Kind::Varint | Kind::Fixed64 | Kind::Fixed32 => {
                let number = text.parse::<i64>().map(i64::cast_unsigned).or_else(|_| text.parse::<u64>());
                match number {
                    Ok(bits) => self.whole(bits),
                    Err(_) => return unreadable(self),
                }
            }
            Kind::Enum(prefix, names) => {
                let name = text.strip_prefix(prefix).unwrap_or(text);
                match names.iter().position(|known| *known == name) {
                    Some(number) => self.whole(number as u64),
                    None => return unreadable(self),
                }
            }
            Kind::Bool => match text {
                "true" => self.whole(1),
                "false" => self.whole(0),
                _ => return unreadable(self),
            },
            Kind::Message(_) => return unreadable(self),
        }
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

impl<'de> DeserializeSeed<'de> for Put<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Put<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a value of {}", self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.whole(value.into()),
            Kind::Text => self.bytes(if value { b"true" } else { b"false" }),
            _ => return Err(self.wrong("a boolean")),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        match self.field.kind {
            #[expect(clippy::cast_precision_loss, reason = "a double is what the message has")]
            Kind::Double => self.double(number as f64),
            Kind::Text => self.bytes(number.to_string().as_bytes()),
            Kind::Id | Kind::Bytes | Kind::Message(_) => return Err(self.wrong("a number")),
            _ => self.whole(number),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        match self.field.kind {
            #[expect(clippy::cast_precision_loss, reason = "a double is what the message has")]
            Kind::Double => self.double(number as f64),
            Kind::Text => self.bytes(number.to_string().as_bytes()),
            Kind::Id | Kind::Bytes | Kind::Message(_) => return Err(self.wrong("a number")),
            _ => self.whole(number.cast_unsigned()),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => self.double(number),
            Kind::Text => self.bytes(number.to_string().as_bytes()),
            Kind::Varint | Kind::Fixed64 | Kind::Fixed32 | Kind::Enum(..)
                if number.fract() == 0.0 && (-9.3e18..9.2e18).contains(&number) =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "whole, and within bounds")]
                self.whole((number as i64).cast_unsigned());
            }
            _ => return Err(self.wrong("a fraction")),
        }
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.word(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Put { out: &mut *self.out, field: self.field })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let Kind::Message(message) = self.field.kind else { return Err(self.wrong("an object")) };
        self.tag(2);
        // The length is written once it is known; a varint may have more bytes than it needs.
        let at = self.out.len();
        self.out.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0]);
        Members { out: &mut *self.out, message }.visit_map(map)?;
        let length = self.out.len() - at - 5;
        for (index, byte) in self.out[at..at + 5].iter_mut().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "seven bits are what is meant")]
            let bits = (length >> (7 * index)) as u8 & 0x7f;
            *byte |= bits;
        }
        Ok(())
    }
}
