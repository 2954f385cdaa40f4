//! Google Analytics 4: the Measurement Protocol, which servers and apps speak, and what gtag.js sends from browsers.
//!
//! <https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference>. What gtag.js sends is not
//! documented; its parameters are widely known. Each event is one event here, its payload under `ga4`.

use event::Timestamp;
use serde_json::{Map, Value, json};

use crate::decode::{Decoded, Decoder, Door, Limits, Reason};
use crate::shaped::{Shaped, path_of, snake_case};

/// Largest body.
pub const BODY_BYTES_MAX: usize = 130 << 10;

/// Most events of one request.
pub const EVENTS_MAX: usize = 25;

/// Most parameters of one event of a browser, and of what its events share.
const PARAMETERS_MAX: usize = 200;

/// Longest name of an event, in characters.
const NAME_MAX: usize = 40;

/// Longest value of a parameter of a browser, in bytes: addresses fit.
const VALUE_BYTES_MAX: usize = 8 << 10;

/// What the request itself says of who sends.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    /// The measurement id, `G-…`, or the id of an app.
    pub measurement: String,
    /// The address it comes from.
    pub ip: String,
    /// `User-Agent`.
    pub user_agent: String,
}

/// Reads a body of `/mp/collect`.
#[must_use]
pub fn collect(body: &[u8], sender: &Sender, limits: Limits, received: Timestamp) -> Decoded {
    let mut decoder = Decoder::new(Door::Native, limits, received);
    let mut common = match serde_json::from_slice(body) {
        Ok(Value::Object(common)) => common,
        Ok(_) => {
            decoder.refuse(Reason::NotAnObject { found: "something else" });
            return decoder.finish();
        }
        Err(error) => {
            decoder.refuse(Reason::NotJson { message: error.to_string() });
            return decoder.finish();
        }
    };
    let events = common.shift_remove("events");
    let Some(Value::Array(events)) = events else {
        decoder.refuse(wrong("events", "a list of objects", &events.unwrap_or_default()));
        return decoder.finish();
    };
    common.insert("measurement_id".to_owned(), sender.measurement.as_str().into());
    for (index, event) in events.into_iter().enumerate() {
        if index >= EVENTS_MAX {
            decoder.refuse(Reason::TooManyEvents { events_max: EVENTS_MAX });
            continue;
        }
        let mut payload = common.clone();
        match event {
            Value::Object(event) => payload.extend(event),
            other => {
                decoder.refuse(wrong("events", "a list of objects", &other));
                continue;
            }
        }
        keep(&mut decoder, sender, payload);
    }
    decoder.finish()
}

/// Reads what gtag.js sends to `/g/collect`: what all events share in the query, one event a line in the body, or one
/// event in the query alone.
#[must_use]
pub fn gtag(query: &str, body: &[u8], sender: &Sender, limits: Limits, received: Timestamp) -> Decoded {
    let mut decoder = Decoder::new(Door::Native, limits, received);
    let text = String::from_utf8_lossy(body);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let single = if lines.peek().is_none() { Some("") } else { None };
    for (index, line) in single.into_iter().chain(lines).enumerate() {
        if index >= EVENTS_MAX {
            decoder.refuse(Reason::TooManyEvents { events_max: EVENTS_MAX });
            continue;
        }
        match parameters(query, line) {
            Ok(payload) => keep(&mut decoder, sender, payload),
            Err(reason) => decoder.refuse(reason),
        }
    }
    // Anybody can send it.
    Decoded { visit: true, ..decoder.finish() }
}

fn wrong(key: &'static str, expected: &'static str, found: &Value) -> Reason {
    Reason::WrongValue { key, expected, found: found.to_string().chars().take(60).collect() }
}

/// The parameters of gtag.js by the names that the Measurement Protocol gives them.
fn parameters(query: &str, line: &str) -> Result<Map<String, Value>, Reason> {
    let mut payload = Map::new();
    let (mut params, mut properties) = (Map::new(), Map::new());
    let pairs = [query, line].map(str::as_bytes).map(form_urlencoded::parse).into_iter().flatten();
    for (count, (name, value)) in pairs.enumerate() {
        if count >= PARAMETERS_MAX {
            return Err(Reason::TooManyArguments);
        }
        for (what, bytes, bytes_max) in [("name", name.len(), 100), ("value", value.len(), VALUE_BYTES_MAX)] {
            if bytes > bytes_max {
                return Err(Reason::ArgumentTooLong { what, bytes, bytes_max });
            }
        }
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.~-".contains(&byte)) {
            // What it is stays unsaid: anything may stand there, secrets too.
            let found = "something else".to_owned();
            return Err(Reason::WrongValue { key: "name", expected: "letters, digits, `_`, `.`, `~` and `-`", found });
        }
        let text = Value::String(value.clone().into_owned());
        let number = || serde_json::from_str::<serde_json::Number>(&value).map_or_else(|_| text.clone(), Value::Number);
        match name.split_once('.') {
            Some(("ep", name)) => params.insert(name.to_owned(), text),
            Some(("epn", name)) => params.insert(name.to_owned(), number()),
            Some(("up", name)) => properties.insert(name.to_owned(), json!({ "value": text })),
            Some(("upn", name)) => properties.insert(name.to_owned(), json!({ "value": number() })),
            _ => match &*name {
                "tid" => payload.insert("measurement_id".to_owned(), text),
                "cid" => payload.insert("client_id".to_owned(), text),
                "uid" => payload.insert("user_id".to_owned(), text),
                "en" => payload.insert("name".to_owned(), text),
                "dl" => params.insert("page_location".to_owned(), text),
                "dr" => params.insert("page_referrer".to_owned(), text),
                "dt" => params.insert("page_title".to_owned(), text),
                "sid" => params.insert("session_id".to_owned(), text),
                "_et" => params.insert("engagement_time_msec".to_owned(), number()),
                other => payload.insert(other.to_owned(), text),
            },
        };
    }
    for (name, part) in [("params", params), ("user_properties", properties)] {
        if !part.is_empty() {
            payload.insert(name.to_owned(), part.into());
        }
    }
    Ok(payload)
}

/// One event on its way, and what its parameters say.
struct Item<'s> {
    sender: &'s Sender,
    payload: Map<String, Value>,
    json: String,
}

fn keep(decoder: &mut Decoder, sender: &Sender, payload: Map<String, Value>) {
    let name = payload.get("name").and_then(Value::as_str).unwrap_or("");
    if name.is_empty() {
        decoder.refuse(wrong(
            "name",
            "the name of an event, such as \"page_view\"",
            payload.get("name").unwrap_or(&Value::Null),
        ));
        return;
    }
    if name.chars().count() > NAME_MAX {
        decoder.refuse(Reason::TooLong { key: "name", bytes: name.len(), bytes_max: NAME_MAX });
        return;
    }
    let item = Item { sender, json: Value::Object(payload.clone()).to_string(), payload };
    decoder.shaped(item.json.len(), |event| item.fill(event));
}

impl Item<'_> {
    fn parameter(&self, name: &str) -> &Value {
        self.payload.get("params").and_then(|params| params.get(name)).unwrap_or(&Value::Null)
    }

    fn fill<'a>(&'a self, event: &mut Shaped<'_, 'a>) -> Result<(), Reason> {
        let micros = |value: &Value| match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        if let Some(micros) = self.payload.get("timestamp_micros").and_then(micros) {
            event.at(Timestamp::from_micros(micros));
        }
        let name = snake_case(self.payload.get("name").and_then(Value::as_str).unwrap_or(""));
        event.text("stream", if matches!(name.as_str(), "page_view" | "screen_view") { "VIEW" } else { "INFO" });
        event.owned("event", name);
        event.text("source", "ga4");
        let ids = ["user_id", "client_id", "app_instance_id"];
        let user = ids.iter().filter_map(|key| self.payload.get(*key)).map(plain).find(|id| !id.is_empty());
        event.owned("user", user.unwrap_or_default());
        event.owned("session", plain(self.parameter("session_id")));
        let url = self.parameter("page_location").as_str().unwrap_or("");
        event.text("url", url);
        if let Some(path) = path_of(url) {
            event.text("path", path.split(['?', '#']).next().unwrap_or(path));
        }
        event.text("referrer", self.parameter("page_referrer").as_str().unwrap_or(""));
        event.text("title", self.parameter("page_title").as_str().unwrap_or(""));
        event.text("ip", &self.sender.ip);
        event.text("user_agent", &self.sender.user_agent);
        event.json("ga4", &self.json)
    }
}

/// An id, as a text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// Something that Google would not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub path: String,
    /// What is wrong.
    pub description: String,
    /// The name that Google gives it.
    pub code: &'static str,
}

/// What is wrong with a body of `/mp/collect`, as `/debug/mp/collect` tells: the first of each kind.
#[must_use]
pub fn faults(body: &[u8], measurement: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |path: String, description: &str, code| {
        faults.push(Fault { path, description: description.to_owned(), code });
    };
    let body: Value = match serde_json::from_slice(body) {
        Ok(body @ Value::Object(_)) => body,
        _ => {
            fault(String::new(), "the body is a JSON object", "VALUE_INVALID");
            return faults;
        }
    };
    if measurement.is_empty() {
        fault(
            "measurement_id".to_owned(),
            "measurement_id (or firebase_app_id) is required in the query",
            "VALUE_REQUIRED",
        );
    }
    let id = |key: &str| body[key].as_str().is_some_and(|id| !id.is_empty());
    if !id("client_id") && !id("app_instance_id") {
        fault("client_id".to_owned(), "client_id (or app_instance_id) is required", "VALUE_REQUIRED");
    }
    match body["events"].as_array() {
        None => fault("events".to_owned(), "events is a list of objects", "VALUE_REQUIRED"),
        Some(events) if events.len() > EVENTS_MAX => {
            fault("events".to_owned(), "at most 25 events are taken with one request", "EXCEEDED_MAX_ENTITIES");
        }
        Some(events) => {
            for (index, event) in events.iter().enumerate() {
                let name = event["name"].as_str().unwrap_or("");
                let mut characters = name.chars();
                let well = characters.next().is_some_and(char::is_alphabetic)
                    && characters.all(|character| character.is_alphanumeric() || character == '_')
                    && name.chars().count() <= NAME_MAX;
                if !well {
                    let description = "a name begins with a letter, has letters, digits and underscores, at most 40";
                    fault(format!("events[{index}].name"), description, "NAME_INVALID");
                }
                if event["params"].as_object().is_some_and(|params| params.len() > 25) {
                    fault(format!("events[{index}].params"), "at most 25 parameters", "EXCEEDED_MAX_ENTITIES");
                }
            }
        }
    }
    faults
}
