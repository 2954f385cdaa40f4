//! What a value says under a name: a level, a duration in milliseconds, the id of a trace.

use std::borrow::Cow;

use event::{Level, Timestamp, Value};

use crate::shaped::path_of;
use crate::vocabulary::{Reading, Shared};

/// Longest name of the type of an exception, in bytes.
const TYPE_BYTES_MAX: usize = 200;

/// Longest method of HTTP that is believed to be one, in bytes.
const METHOD_BYTES_MAX: usize = 20;

/// Whether a value says something under a name of this shared key: if not, a less good name may.
pub(crate) fn says(shared: Shared, reading: Reading, value: Value<'_>) -> bool {
    match shared {
        Shared::Timestamp => !matches!(value, Value::Null | Value::Bool(_) | Value::Raw(_)),
        Shared::Nanoseconds => matches!(value, Value::Int(0..1_000_000_000)),
        Shared::Level => level(value, reading).is_some(),
        Shared::Status => status(value).is_some(),
        Shared::DurationMs => duration_ms(value, reading).is_some(),
        Shared::TraceId | Shared::SpanId => trace_id(value, reading).is_some(),
        Shared::Method => {
            matches!(value, Value::Str(text) if text.len() <= METHOD_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'))
        }
        Shared::Url | Shared::Path | Shared::Request => {
            matches!(value, Value::Str(text) if text.len() > 1 || text == "/")
        }
        Shared::Stack => {
            matches!(value, Value::Str(text) if !text.is_empty()) || matches!(value, Value::Raw(list) if list.len() > 2)
        }
        Shared::Message if reading == Reading::Line => {
            matches!(value, Value::Str(text) if text.trim_start().contains([' ', '\n']))
        }
        Shared::ExceptionType => {
            matches!(value, Value::Str(text) if !text.is_empty() && text.len() <= TYPE_BYTES_MAX && !text.contains('\n'))
        }
        _ => !matches!(value, Value::Str("" | "-") | Value::Null | Value::Bool(_) | Value::Raw(_)),
    }
}

/// A text, or a number as its text. Nothing for `-`, the usual sign for nothing.
pub(crate) fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Str("" | "-") | Value::Null | Value::Bool(_) | Value::Raw(_) => None,
        Value::Str(text) => Some(text.into()),
        other => {
            let mut json = Vec::new();
            other.write_json(&mut json);
            let text = String::from_utf8(json).ok()?;
            Some(text.trim_matches('"').to_owned().into())
        }
    }
}

/// Pushes a text as it is, so that an id that is a UUID stays one.
pub(crate) fn as_text<'v>(value: Value<'v>, room: &'v mut String) -> Option<Value<'v>> {
    match value {
        Value::Str("" | "-") | Value::Null | Value::Bool(_) | Value::Raw(_) => None,
        Value::Str(_) | Value::Uuid(_) => Some(value),
        other => {
            *room = text(other)?.into_owned();
            Some(Value::Str(room))
        }
    }
}

/// A number, which may come as a text.
pub(crate) fn number(value: Value<'_>) -> Option<Value<'_>> {
    match value {
        Value::Int(_) | Value::Float(_) => Some(value),
        Value::Str(text) => Value::number_in(text),
        _ => None,
    }
}

/// A status of HTTP.
pub(crate) fn status(value: Value<'_>) -> Option<Value<'_>> {
    number(value).filter(|number| matches!(number, Value::Int(100..=599)))
}

/// A moment. The second part says whether nothing was lost.
pub(crate) fn moment(value: Value<'_>) -> Option<(Timestamp, bool)> {
    match value {
        Value::Str(text) => Timestamp::parse(text),
        Value::Int(number) => Timestamp::from_epoch(number),
        Value::Float(number) => Timestamp::from_epoch_float(number),
        _ => None,
    }
}

/// A level by its name in any of the languages of loggers, or by its number on the scale of whoever uses this name.
pub(crate) fn level(value: Value<'_>, reading: Reading) -> Option<Level> {
    let whole = |value| match number(value) {
        Some(Value::Int(number)) => Some(number),
        _ => None,
    };
    match (reading, value) {
        (Reading::OtelLevel, value) => Level::from_severity_number(whole(value)?.try_into().ok()?),
        (Reading::SyslogLevel, value) => Level::from_syslog(whole(value)?.try_into().ok()?),
        (Reading::PythonLevel, value) => python_level(whole(value)?),
        (Reading::AzureLevel, Value::Str("Verbose")) => Some(Level::Debug),
        (Reading::AzureLevel, value) => match whole(value) {
            Some(number) => azure_level(number),
            None => level(value, Reading::Usual),
        },
        (_, Value::Str(text)) => Level::parse(text).or_else(|| {
            // Go's slog writes what is between two levels as a difference.
            let (name, _) = text.split_once(['+', '-'])?;
            Level::parse(name)
        }),
        (_, Value::Int(number)) => Level::from_pino(number).or_else(|| monolog_level(number)),
        _ => None,
    }
}

fn python_level(number: i64) -> Option<Level> {
    Some(match number {
        50.. => Level::Critical,
        40.. => Level::Error,
        30.. => Level::Warning,
        20.. => Level::Info,
        10.. => Level::Debug,
        1.. => Level::Trace,
        _ => return None,
    })
}

fn azure_level(number: i64) -> Option<Level> {
    [Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Critical]
        .get(usize::try_from(number).ok()?)
        .copied()
}

fn monolog_level(number: i64) -> Option<Level> {
    Some(match number {
        100 => Level::Debug,
        200 => Level::Info,
        250 => Level::Notice,
        300 => Level::Warning,
        400 => Level::Error,
        500 | 550 | 600 => Level::Critical,
        _ => return None,
    })
}

/// A duration in milliseconds. What is in milliseconds stays the number that it is.
pub(crate) fn duration_ms(value: Value<'_>, reading: Reading) -> Option<Value<'_>> {
    let per_ms = match reading {
        Reading::WithUnit => {
            let Value::Str(text) = value else { return None };
            return milliseconds_in(text).map(Value::Float);
        }
        Reading::Nanoseconds => 1e6,
        Reading::Microseconds => 1e3,
        Reading::Seconds => 1e-3,
        _ => return number(value),
    };
    #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 nanoseconds, which is 104 days")]
    let sent = match number(value)? {
        Value::Int(number) => number as f64,
        Value::Float(number) => number,
        _ => return None,
    };
    Some(Value::Float(rounded(sent / per_ms)))
}

/// To a nanosecond: what is finer comes of the division.
fn rounded(milliseconds: f64) -> f64 {
    if milliseconds.abs() < 1e9 { (milliseconds * 1e6).round() / 1e6 } else { milliseconds }
}

/// `1.5ms`, `0.123s`, `1m2.5s`: numbers with their units, as Go and Google Cloud write them.
fn milliseconds_in(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 9] = [
        ("ns", 1e-6),
        ("us", 1e-3),
        ("µs", 1e-3),
        ("μs", 1e-3),
        ("ms", 1.0),
        ("min", 60_000.0),
        ("s", 1000.0),
        ("m", 60_000.0),
        ("h", 3_600_000.0),
    ];
    let (mut rest, mut sum) = (text.trim(), 0.0);
    if rest.is_empty() || rest.len() > 40 {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        sum += number * factor;
        rest = rest[unit.len()..].trim_start();
    }
    Some(rounded(sum))
}

/// The id of a trace or a span: digits only, in small letters. Nothing but zeros is none.
pub(crate) fn trace_id(value: Value<'_>, reading: Reading) -> Option<Cow<'_, str>> {
    let id = match (text(value)?, reading) {
        (id, Reading::LastSegment) => {
            let (_, id) = id.rsplit_once("/traces/").or_else(|| id.rsplit_once("/spans/"))?;
            Cow::Owned(id.to_owned())
        }
        (id, _) => id,
    };
    let is_plain = id.bytes().all(|byte| !byte.is_ascii_uppercase() && byte != b'-');
    let id = if is_plain { id } else { Cow::Owned(id.replace('-', "").to_ascii_lowercase()) };
    (id.len() <= 72 && id.bytes().any(|digit| digit != b'0')).then_some(id)
}

/// Method and path of a request line, `GET /pay/7?m=1`.
pub(crate) fn request_line(request: &str) -> Option<(&str, &str)> {
    let (method, target) = request.split_once(' ')?;
    let is_method = !method.is_empty() && method.len() <= 16 && method.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_method && target.starts_with('/')).then(|| (method, target.split(['?', ' ']).next().unwrap_or(target)))
}

/// What is an URL in a text, and what is a path: either may come under a name of the other.
pub(crate) fn address(text: &str) -> (Option<&str>, Option<&str>) {
    // The path of a file is none of a request.
    let is_file = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"));
    let target = if text.starts_with('/') { Some(text) } else { path_of(text).filter(|_| !is_file) };
    let path = target.map(|target| target.split(['?', '#']).next().unwrap_or(target)).filter(|path| !path.is_empty());
    (Some(text).filter(|text| text.contains("://")), path)
}

/// Whether the value of `event` is a name (`object_created`) and not what is said (`Payment failed`), as structlog has it.
pub(crate) fn is_event_name(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b':' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let check = |value: Value<'_>, reading: Reading, expected: Option<Value<'_>>| {
            assert_eq!(duration_ms(value, reading), expected, "{value:?} {reading:?}");
        };
        check(Value::Int(22_500_000), Reading::Nanoseconds, Some(Value::Float(22.5)));
        check(Value::Float(0.022), Reading::Seconds, Some(Value::Float(22.0)));
        check(Value::Str("0.022"), Reading::Seconds, Some(Value::Float(22.0)));
        check(Value::Int(22), Reading::Milliseconds, Some(Value::Int(22)));
        check(Value::Int(1500), Reading::Microseconds, Some(Value::Float(1.5)));
        check(Value::Str("-"), Reading::Seconds, None);
        for (text, expected) in [
            ("1.5ms", Some(1.5)),
            ("0.123s", Some(123.0)),
            ("22.3µs", Some(0.0223)),
            ("1m2.5s", Some(62_500.0)),
            ("3 min", Some(180_000.0)),
            ("12", None),
            ("", None),
            ("fast", None),
            ("1.2.3s", None),
            ("5 sheep", None),
        ] {
            check(Value::Str(text), Reading::WithUnit, expected.map(Value::Float));
        }
        check(Value::Int(5), Reading::WithUnit, None);
    }

    #[test]
    fn levels_have_scales() {
        let check = |value: Value<'_>, reading: Reading, expected: Option<Level>| {
            assert_eq!(level(value, reading), expected, "{value:?} {reading:?}");
        };
        check(Value::Int(30), Reading::Usual, Some(Level::Info));
        check(Value::Int(30), Reading::PythonLevel, Some(Level::Warning));
        check(Value::Int(400), Reading::Usual, Some(Level::Error));
        check(Value::Int(3), Reading::SyslogLevel, Some(Level::Error));
        check(Value::Str("3"), Reading::SyslogLevel, Some(Level::Error));
        check(Value::Int(3), Reading::AzureLevel, Some(Level::Error));
        check(Value::Int(17), Reading::OtelLevel, Some(Level::Error));
        check(Value::Int(3), Reading::Usual, None);
        check(Value::Str("ERROR+2"), Reading::Usual, Some(Level::Error));
        check(Value::Str("severe"), Reading::Usual, Some(Level::Error));
        check(Value::Str("gold"), Reading::Usual, None);
        check(Value::Int(-1), Reading::SyslogLevel, None);
    }

    #[test]
    fn ids_of_traces() {
        let check = |id: &str, reading: Reading, expected: Option<&str>| {
            assert_eq!(trace_id(Value::Str(id), reading).as_deref(), expected, "{id}");
        };
        check("0AF7651916CD43DD8448EB211C80319C", Reading::Usual, Some("0af7651916cd43dd8448eb211c80319c"));
        check("00000000000000000000000000000000", Reading::Usual, None);
        check("projects/shop/traces/0af7", Reading::LastSegment, Some("0af7"));
        check("Traceback (most recent call last)", Reading::LastSegment, None);
        check("-", Reading::Usual, None);
    }
}
