//! Application Insights: the envelopes that Azure Monitor's clients send to `/v2.1/track`.
//!
//! An envelope has tags that all kinds have in common, and the data of its kind:
//! <https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete>. The payload is kept under `azure`, without the
//! instrumentation key, which is a token here.

use std::time::Duration;

use event::{Level, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::decode::{Decoded, Decoder, Door, Limits, Reason};
use crate::frames;
use crate::reading;
use crate::shaped::{Shaped, path_of, snake_case};
use crate::vocabulary::Reading;

/// The key that the first envelope of a body names: a token.
#[must_use]
pub fn key(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let first = sonic_rs::to_array_iter(text.trim()).next().and_then(Result::ok);
    let first = first.as_ref().map_or_else(|| text.trim().lines().next().unwrap_or(""), |item| item.as_raw_str());
    let key = sonic_rs::get(first, &["iKey"]).ok()?;
    sonic_rs::from_str::<String>(key.as_raw_str()).ok()
}

/// Reads a body: an array of envelopes, one alone, or one a line.
#[must_use]
pub fn track(body: &[u8], limits: Limits, received: Timestamp) -> Decoded {
    let mut decoder = Decoder::new(Door::Native, limits, received);
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if !text.starts_with('[') {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| envelope(&mut decoder, line));
        return decoder.finish();
    }
    for item in sonic_rs::to_array_iter(text) {
        match item {
            Ok(item) => envelope(&mut decoder, item.as_raw_str()),
            Err(error) => {
                let message = error.to_string().lines().next().unwrap_or("unreadable").to_owned();
                decoder.refuse(Reason::NotJson { message });
                break;
            }
        }
    }
    decoder.finish()
}

fn envelope(decoder: &mut Decoder, raw: &str) {
    if raw.len() > decoder.limits.event_bytes_max {
        decoder.refuse(Reason::TooLarge { bytes: raw.len(), bytes_max: decoder.limits.event_bytes_max });
        return;
    }
    match serde_json::from_str::<Value>(raw) {
        Ok(Value::Object(envelope)) => {
            let item = Item::new(envelope);
            decoder.shaped(raw.len(), |event| item.fill(event));
        }
        Ok(_) => decoder.refuse(Reason::NotAnObject { found: "something else" }),
        Err(error) => decoder.refuse(Reason::NotJson { message: error.to_string() }),
    }
}

/// One envelope.
struct Item {
    /// As it is kept.
    payload: String,
    envelope: Map<String, Value>,
}

impl Item {
    fn new(mut envelope: Map<String, Value>) -> Self {
        let key = envelope.shift_remove("iKey");
        // Older clients write the key into the name as well.
        let key = key.as_ref().and_then(Value::as_str).unwrap_or("").replace('-', "");
        if let (Some(Value::String(name)), false) = (envelope.get_mut("name"), key.is_empty()) {
            *name = name.replace(&format!("{key}."), "");
        }
        Self { payload: Value::Object(envelope.clone()).to_string(), envelope }
    }

    fn tag(&self, name: &str) -> &str {
        self.envelope.get("tags").and_then(|tags| tags.get(name)?.as_str()).unwrap_or("")
    }

    fn data(&self, key: &str) -> &Value {
        self.envelope.get("data").and_then(|data| data.get("baseData")?.get(key)).unwrap_or(&Value::Null)
    }

    fn text(&self, key: &str) -> &str {
        self.data(key).as_str().unwrap_or("")
    }

    fn fill<'a>(&'a self, event: &mut Shaped<'_, 'a>) -> Result<(), Reason> {
        let time = self.envelope.get("time").and_then(Value::as_str).and_then(Timestamp::parse);
        if let Some((moment, _)) = time {
            event.at(moment);
        }
        let trace = self.tag("ai.operation.id");
        if trace.bytes().any(|byte| byte != b'0') {
            event.text("trace_id", trace);
        }
        for (tags, key) in [
            (&["ai.cloud.role"][..], "service"),
            (&["ai.cloud.roleInstance", "ai.device.id"], "host"),
            (&["ai.user.authUserId", "ai.user.accountId", "ai.user.id"], "user"),
            (&["ai.session.id"], "session"),
            (&["ai.location.ip"], "ip"),
            (&["ai.application.ver"], "release"),
        ] {
            let found = tags.iter().map(|tag| self.tag(tag)).find(|value| !value.is_empty());
            event.text(key, found.unwrap_or(""));
        }
        let kind = self.envelope.get("data").and_then(|data| data.get("baseType")?.as_str()).unwrap_or("");
        match kind {
            "MessageData" => event.text("message", self.text("message")),
            "ExceptionData" => self.exception(event),
            "EventData" => {
                event.owned("event", snake_case(self.text("name")));
                event.text("message", self.text("name"));
            }
            "RequestData" => self.work(event, "request"),
            "RemoteDependencyData" => self.work(event, "dependency"),
            "AvailabilityData" => self.work(event, "availability"),
            "PageViewData" | "PageViewPerformanceData" => self.page_view(event),
            "MetricData" => self.metric(event),
            other => event.owned("event", snake_case(other)),
        }
        if matches!(kind, "MessageData" | "ExceptionData" | "EventData") {
            let span = self.tag("ai.operation.parentId");
            if span.bytes().any(|byte| byte != b'0') {
                event.text("span_id", span);
            }
            if let Some(level) = severity(self.data("severityLevel")) {
                event.text("level", level.name());
            } else if kind == "ExceptionData" {
                event.text("level", "error");
            }
        }
        event.json("azure", &self.payload)
    }

    fn exception<'a>(&'a self, event: &mut Shaped<'_, 'a>) {
        let list = self.data("exceptions").as_array().map_or(&[][..], Vec::as_slice);
        let text = |exception: &'a Value, key: &str| exception.get(key).and_then(Value::as_str).unwrap_or("");
        let Some(first) = list.first() else { return };
        event.text("message", text(first, "message"));
        event.text("exception.type", text(first, "typeName"));
        let said = raised_with(text(first, "stack"), text(first, "typeName"));
        event.text("exception.message", said.unwrap_or(text(first, "message")));
        if list.len() > 1 {
            let chain = list.iter().take(50);
            let chain: Value =
                chain.map(|one| json!({ "type": text(one, "typeName"), "message": text(one, "message") })).collect();
            event.list("exception.chain", chain.to_string());
        }
        match first.get("parsedStack").and_then(Value::as_array).filter(|stack| !stack.is_empty()) {
            Some(stack) => {
                // The first is where it was raised.
                let frame = |frame: &Value| json!({ "function": frame["method"], "module": frame["assembly"], "file": frame["fileName"], "line": frame["line"] });
                let frames: Value = stack.iter().take(200).rev().map(frame).collect();
                event.list("exception.frames", frames.to_string());
            }
            None => frames::put(event, text(first, "stack")),
        }
    }

    /// A request, a dependency or a test of availability: work that took its time.
    fn work<'a>(&'a self, event: &mut Shaped<'_, 'a>, name: &'static str) {
        event.text("stream", "SPAN");
        event.text("event", name);
        event.text("message", self.text("name"));
        event.text("span_id", self.text("id"));
        if !self.text("id").is_empty() && !self.tag("ai.operation.id").is_empty() {
            // What is sent again is stored once.
            let digest = Sha256::new()
                .chain_update(name)
                .chain_update(self.tag("ai.operation.id"))
                .chain_update(self.text("id"));
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest.finalize()[..16]);
            let id = uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes();
            event.value("id", event::Value::Uuid(id));
        }
        if let Some(duration) = duration(self.text("duration")) {
            event.value("duration_ms", event::Value::Float(duration.as_secs_f64() * 1e3));
        }
        let status = if name == "request" { self.data("responseCode") } else { self.data("resultCode") };
        let status = status.as_str().and_then(|text| text.parse().ok()).or_else(|| status.as_i64());
        let status = status.filter(|status| (100..=599).contains(status));
        if let Some(status) = status {
            event.value("status", event::Value::Int(status));
        }
        let failed = self.data("success") == &Value::Bool(false) || self.text("success").eq_ignore_ascii_case("false");
        match status {
            Some(500..) => event.text("level", "error"),
            Some(400..) => event.text("level", "warning"),
            _ if failed => event.text("level", "error"),
            _ => {}
        }
        let url = if name == "request" { self.text("url") } else { self.text("data") };
        if let Some(path) = path_of(url) {
            event.text("url", url);
            event.text("path", path.split(['?', '#']).next().unwrap_or(path));
        }
        let operation = [self.text("name"), self.tag("ai.operation.name")];
        let method = operation.into_iter().find_map(|name| name.split_once(' ').map(|(method, _)| method));
        if let Some(method) =
            method.filter(|method| method.len() <= 16 && method.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            event.text("method", method);
        }
    }

    fn page_view<'a>(&'a self, event: &mut Shaped<'_, 'a>) {
        event.text("stream", "VIEW");
        event.text("event", "page_view");
        event.text("message", self.text("name"));
        event.text("url", self.text("url"));
        event.text("referrer", self.text("referredUri"));
        if let Some(path) = path_of(self.text("url")) {
            event.text("path", path.split(['?', '#']).next().unwrap_or(path));
        }
        if let Some(duration) = duration(self.text("duration")) {
            event.value("duration_ms", event::Value::Float(duration.as_secs_f64() * 1e3));
        }
    }

    fn metric<'a>(&'a self, event: &mut Shaped<'_, 'a>) {
        event.text("event", "metric");
        event.text("level", "debug");
        let first = self.data("metrics").get(0).and_then(|metric| metric.get("name")?.as_str());
        event.text("message", first.unwrap_or(""));
    }
}

/// `SeverityLevel`: a number, or its name.
fn severity(value: &Value) -> Option<Level> {
    let value = match value {
        Value::Number(number) => event::Value::Int(number.as_i64()?),
        value => event::Value::Str(value.as_str()?),
    };
    reading::level(value, Reading::AzureLevel)
}

/// `1.02:03:04.0056789`, days and fraction left out or not.
fn duration(text: &str) -> Option<Duration> {
    let (hours, rest) = text.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    let whole = |text: &str| text.parse::<u32>().ok().map(u64::from);
    let seconds: f64 = seconds.parse().ok().filter(|seconds| (0.0..1e6).contains(seconds))?;
    let rest = whole(days)? * 86_400 + whole(hours)? * 3600 + whole(minutes)? * 60;
    Some(Duration::from_secs(rest) + Duration::from_secs_f64(seconds))
}

/// What an exception said, by the last line of its traceback: clients of OpenTelemetry put the message of the log record in
/// its place.
fn raised_with<'a>(stack: &'a str, kind: &str) -> Option<&'a str> {
    let last = stack.trim_end().lines().next_back()?;
    let said = last.strip_prefix(kind).or_else(|| last.rsplit_once(kind).map(|(_, said)| said))?.strip_prefix(": ")?;
    (!kind.is_empty() && !said.is_empty()).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("0.00:00:00.022"), Some(Duration::from_millis(22)));
        assert_eq!(duration("00:01:02.5"), Some(Duration::from_millis(62_500)));
        assert_eq!(duration("1.00:00:00"), Some(Duration::from_secs(86_400)));
        for text in ["", "5", "a:b:c", "0:0:-1", "0:0:inf", "9999999999:0:0"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
