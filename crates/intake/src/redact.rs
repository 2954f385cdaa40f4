//! Values that must not be kept, replaced by a mark before anything is stored.
//!
//! A level says how much: `standard` takes out secrets and the e-mail addresses in URLs, headers and forms, `strict` takes
//! out persons too. The owner of a log adds keys and patterns. It works on a batch, behind every decoder, so that no
//! door can forget it; at any depth, in lists, in texts that are JSON and in query strings too.

mod addresses;
mod json;
mod names;
mod numbers;
mod rows;
mod scan;
mod settings;
mod triggers;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use event::{Batch, Value, logical_name, shared};
use hmac::{Hmac, KeyInit as _, Mac as _};
use regex::Regex;
use sha2::Sha256;

use names::{Place, Rule, Verdict, fold};
use scan::Span;
pub use settings::{SettingError, Settings};
use triggers::is_triggered;

/// How an identity begins that was replaced.
const ANONYMOUS: &str = "anon:";

/// Bytes of the hash that are kept: enough to tell all people apart.
const HASH_BYTES: usize = 10;

/// Texts within texts within texts that are looked into.
const NESTED_MAX: u8 = 8;

/// So often a text is looked through in which something was found. One in which more is found every time goes whole.
const ROUNDS_MAX: usize = 4;

/// How much is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing but what the owner of a log names.
    Off,
    /// Secrets, and e-mail addresses in URLs, query strings, headers and forms.
    #[default]
    Standard,
    /// Persons too: a keyed hash takes the place of who somebody is.
    Strict,
}

impl Level {
    /// Reads its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Off, Self::Standard, Self::Strict].into_iter().find(|level| level.name() == name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }
}

/// What identities are hashed with. Who does not have it cannot find out who somebody is by trying names.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// Of these bytes, which come from chance.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What takes the place of an identity: the same for the same person, in whatever type or case it was sent.
    #[must_use]
    pub fn hash(&self, identity: &str) -> String {
        use std::fmt::Write as _;
        let identity = identity.trim();
        let identity = if identity.contains('@') { identity.to_lowercase() } else { identity.to_owned() };
        let mut hashed = ANONYMOUS.to_owned();
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) {
            mac.update(identity.as_bytes());
            for byte in mac.finalize().into_bytes().iter().take(HASH_BYTES) {
                let written = write!(hashed, "{byte:02x}");
                debug_assert!(written.is_ok(), "writing into memory cannot fail");
            }
        }
        hashed
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(…)")
    }
}

/// What is replaced in the events of a log.
#[derive(Clone, Debug, Default)]
pub struct Redact {
    level: Level,
    /// Named keys by their folded names.
    own: HashMap<String, Box<str>>,
    patterns: Vec<(Box<str>, Regex)>,
    key: Option<Key>,
    /// Cookies that the owner of the log asked for.
    asked: Vec<String>,
}

/// How many values were replaced, by the name of the rule.
pub type Redacted = BTreeMap<String, u64>;

/// A value as it is and as it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The rules that say so.
    pub rules: Vec<String>,
    /// The key it stands under.
    pub key: String,
    /// As it is, as JSON.
    pub before: String,
    /// As it would be.
    pub after: String,
}

/// What was replaced so far.
#[derive(Debug, Default)]
struct Tally<'r> {
    /// The rule of each replacement.
    names: Vec<&'r str>,
    /// Each replacement, where they are to be shown.
    changes: Option<Vec<Change>>,
}

/// What becomes of the values under a path.
enum OfPath<'r> {
    /// They go; the path down to the key that says so.
    Secret(String, Rule<'r>),
    Look(Place),
    /// Everlog itself keeps it about the event: no rule is for it.
    Ours,
}

/// How closely a value must be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// Nothing of it has to go.
    Stays,
    /// Nothing has to go but what stands under a name that says so.
    Names,
    Whole,
}

impl Redact {
    /// The rules of a log; `level` holds where it names none. Strict rules without a key replace identities by a mark.
    ///
    /// # Errors
    /// When a pattern cannot be read.
    pub fn new(settings: &Settings, level: Level, key: Option<&Key>) -> Result<Self, SettingError> {
        let compiled =
            |(name, pattern): (&String, &String)| Ok((name.as_str().into(), settings::compile(name, pattern)?));
        Ok(Self {
            level: settings.level.unwrap_or(level),
            own: settings.keys.iter().map(|name| (fold(name), name.as_str().into())).collect(),
            patterns: settings.patterns.iter().map(compiled).collect::<Result<_, _>>()?,
            key: key.cloned(),
            asked: Vec::new(),
        })
    }

    /// The same, but for cookies that the owner asked for by name, `cookies.theme`, unless they look like a session.
    #[must_use]
    pub fn but_for<'k>(mut self, keys: impl Iterator<Item = &'k str>) -> Self {
        let harmless = |cookie: &str| {
            let folded = fold(cookie);
            self.secret(cookie).is_none() && !["sess", "sid", "auth", "login"].iter().any(|part| folded.contains(part))
        };
        self.asked = keys.filter(|key| key.strip_prefix("cookies.").is_some_and(harmless)).map(str::to_owned).collect();
        self
    }

    /// How much they replace.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.level == Level::Off && self.own.is_empty() && self.patterns.is_empty()
    }

    fn of_path(&self, path: &str) -> OfPath<'_> {
        if path == event::ADDED {
            return OfPath::Ours;
        }
        if !self.asked.is_empty() && self.asked.iter().any(|asked| *asked == logical_name(path)) {
            return OfPath::Look(Place::Text);
        }
        let (mut start, mut escaped, mut place) = (0, false, Place::Text);
        for (at, byte) in path.bytes().chain([b'.']).enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'.' => {
                    let is_last = at >= path.len();
                    let segment = logical_name(&path[start..at.min(path.len())]);
                    match self.judge(place, &segment).resolve(place, !is_last) {
                        Verdict::Secret(rule) => return OfPath::Secret(path[..at.min(path.len())].to_owned(), rule),
                        Verdict::Look(below) => place = below,
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        OfPath::Look(place)
    }

    /// The batch without the values that must not be kept, and how many these were.
    ///
    /// Where a shared key was filled from a key that is named, its value goes as well.
    #[must_use]
    pub fn apply(&self, batch: Batch) -> (Batch, Redacted) {
        self.apply_by(batch, |path| self.of_path(path))
    }

    /// The same for visits, whose arguments are parts of a query string or a form: free text is looked at as these are.
    #[must_use]
    pub fn apply_to_visits(&self, batch: Batch) -> (Batch, Redacted) {
        self.apply_by(batch, |path| match self.of_path(path) {
            OfPath::Look(Place::Text) if !matches!(path.split(['.', '\\']).next(), Some("user" | "session")) => {
                OfPath::Look(Place::Address)
            }
            other => other,
        })
    }

    fn is_of_person(&self, place: Place) -> bool {
        matches!(place, Place::Identity | Place::Ip | Place::Phone)
    }

    /// Whether an own pattern finds something in a text.
    fn is_matched(&self, text: &str) -> bool {
        self.patterns.iter().any(|(_, pattern)| pattern.is_match(text))
    }

    /// Whether anything in a text may have to go, but for what has a trigger or matches an own pattern.
    fn may_hold(&self, bytes: &[u8], place: Place) -> bool {
        if self.is_of_person(place) {
            return true;
        }
        if self.level > Level::Off {
            if self.may_hold_address(bytes, place) {
                return true;
            }
            let nested = is_nested(bytes);
            if numbers::may_hold_card(bytes) {
                return true;
            }
            if self.level == Level::Strict && (nested || bytes.iter().filter(|byte| byte.is_ascii_digit()).count() > 8)
            {
                return true;
            }
        }
        !self.own.is_empty() && memchr::memchr3(b'=', b':', b' ', bytes).is_some()
    }

    fn is_number(&self, value: Value<'_>) -> bool {
        matches!(value, Value::Raw(raw) if !raw.starts_with(['{', '[', '"']))
    }

    /// Whether there may be an e-mail address or a password in it, or a name that is percent-encoded.
    fn may_hold_address(&self, bytes: &[u8], place: Place) -> bool {
        let of_address = matches!(place, Place::Address | Place::Request);
        let everywhere = of_address || is_nested(bytes) || self.level == Level::Strict;
        ((everywhere || memchr::memchr3(b'?', b'&', b':', bytes).is_some()) && memchr::memchr(b'@', bytes).is_some())
            || (of_address && memchr::memchr(b'%', bytes).is_some())
    }

    /// What takes the place of a value; `None` when it stays.
    fn new_value<'r>(&'r self, value: Value<'_>, place: Place, depth: Depth, tally: &mut Tally<'r>) -> Option<String> {
        let of_text = self.is_of_person(place) || !self.patterns.is_empty();
        match value {
            Value::Str(text) => self.replaced(text, place, tally, 0),
            Value::Raw(json) if self.is_number(value) => self.replaced_number(json, place, tally),
            Value::Raw(json) => json::rewrite(self, json, (place, depth), tally, 0).flatten(),
            // No float is the number of a card, and no UUID holds anything: neither is written like that.
            Value::Float(_) | Value::Uuid(_) if !of_text => None,
            Value::Int(number) if !of_text && !numbers::is_card(number) => None,
            Value::Int(_) | Value::Float(_) => self.replaced_number(&plain(value), place, tally),
            Value::Uuid(_) => self.replaced(&plain(value), place, tally, 0),
            Value::Null | Value::Bool(_) => None,
        }
    }

    /// What takes the place of a text; `None` when it stays.
    fn replaced<'r>(&'r self, text: &str, place: Place, tally: &mut Tally<'r>, nested: u8) -> Option<String> {
        match place {
            Place::Identity => return self.of_person(text, tally),
            Place::Ip => return truncated(text).inspect(|_| tally.names.push("ip")),
            Place::Phone if text.is_empty() || scan::is_mark(text) => return None,
            Place::Phone => {
                tally.names.push("phone");
                return Some(mark("phone"));
            }
            _ => {}
        }
        let triggered = self.level > Level::Off && is_triggered(text.as_bytes());
        if !triggered && !self.may_hold(text.as_bytes(), place) && !self.is_matched(text) {
            return None;
        }
        if nested < NESTED_MAX
            && text.trim_start().starts_with(['{', '['])
            && let Some(done) = json::rewrite(self, text, (place, Depth::Whole), tally, nested)
        {
            return done;
        }
        let first = scan::spans(self, text, place);
        let mut new = without(text, &first, tally)?;
        // What stands beside a mark may be told only now from what stood beside something else.
        for _ in 1..ROUNDS_MAX {
            let further = scan::spans_beside_marks(self, &new, place);
            match without(&new, &further, tally) {
                Some(newer) => new = newer,
                None => return Some(new),
            }
        }
        first.first().map(|span| mark(span.name))
    }

    /// The same for a number as it was written.
    fn replaced_number<'r>(&'r self, number: &str, place: Place, tally: &mut Tally<'r>) -> Option<String> {
        if self.is_of_person(place) {
            return self.replaced(number, place, tally, 0);
        }
        let is_card = number.len() <= 16 && number.parse().is_ok_and(numbers::is_card);
        if self.level > Level::Off && place != Place::Opaque && is_card {
            tally.names.push("card");
            return Some(mark("card"));
        }
        if self.patterns.is_empty() {
            return None;
        }
        self.replaced(number, Place::Opaque, tally, 0)
    }

    /// The same for a key that has an e-mail address in it, which nobody calls a key unless it is a person.
    fn replaced_key<'r>(&'r self, key: &str, place: Place, tally: &mut Tally<'r>) -> Option<String> {
        if self.level < Level::Strict || !key.contains('@') {
            return None;
        }
        let mut found = Vec::new();
        addresses::find(key, true, &mut found);
        let (mut new, mut at) = (String::new(), 0);
        for span in scan::apart(key, found) {
            let identity = &key[span.start..span.end];
            if !is_hash(identity) {
                tally.names.push(if place == Place::Identity { "identity" } else { "email" });
                new.push_str(&key[at..span.start]);
                new.push_str(&self.hash(identity));
                at = span.end;
            }
        }
        new.push_str(&key[at..]);
        (at > 0).then_some(new)
    }

    fn hash(&self, identity: &str) -> String {
        self.key.as_ref().map_or_else(|| mark("identity"), |key| key.hash(identity))
    }

    fn of_person<'r>(&'r self, identity: &str, tally: &mut Tally<'r>) -> Option<String> {
        if is_hash(identity) || identity.trim().is_empty() || identity == shared::SYSTEM_USER || scan::is_mark(identity)
        {
            return None;
        }
        tally.names.push("identity");
        Some(self.hash(identity))
    }

    /// What takes the place of a text that is handed on by itself; `None` when it stays.
    #[must_use]
    pub fn text(&self, text: &str) -> Option<String> {
        self.replaced(text, Place::Text, &mut Tally { names: Vec::new(), changes: None }, 0)
    }

    /// What these rules would do to an event, as JSON: what would be stored in its place, and each change.
    #[must_use]
    pub fn preview(&self, json: &str) -> (Option<String>, Vec<Change>) {
        let mut tally = Tally { names: Vec::new(), changes: Some(Vec::new()) };
        let new = json::rewrite(self, json, (Place::Text, Depth::Whole), &mut tally, 0).flatten();
        (new, tally.changes.unwrap_or_default())
    }
}

/// An address of a network in place of that of a machine: the first 24 bits of IPv4, the first 48 of IPv6.
fn truncated(text: &str) -> Option<String> {
    let one = |address: &str| -> Option<String> {
        let address: IpAddr = address.trim().parse().ok()?;
        Some(match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                IpAddr::from([a, b, c, 0]).to_string()
            }
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                IpAddr::from([a, b, c, 0, 0, 0, 0, 0]).to_string()
            }
        })
    };
    let all: Vec<String> = text.split(',').map(|part| one(part).unwrap_or_else(|| part.trim().to_owned())).collect();
    let new = all.join(", ");
    let known = text.split(',').any(|part| one(part).is_some());
    (known && new != text).then_some(new)
}

/// Whether an identity was replaced already.
fn is_hash(identity: &str) -> bool {
    identity.strip_prefix(ANONYMOUS).is_some_and(|hash| {
        hash.len() == 2 * HASH_BYTES && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whether a text may be JSON.
fn is_nested(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'{' | b'[' | b' ' | b'\t' | b'\n' | b'\r' | b'"'))
}

/// A text with marks in place of these parts; `None` when there are none.
fn without<'r>(text: &str, spans: &[Span<'r>], tally: &mut Tally<'r>) -> Option<String> {
    if spans.is_empty() {
        return None;
    }
    let mut new = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        new.push_str(&text[at..span.start]);
        new.push_str(&mark(span.name));
        at = span.end;
        tally.names.push(span.name);
    }
    new.push_str(&text[at..]);
    Some(new)
}

fn mark(name: &str) -> String {
    format!("{}{name}]", scan::MARK)
}

/// The text of a value, of a text without its quotes.
fn plain(value: Value<'_>) -> String {
    match value {
        Value::Str(text) | Value::Raw(text) => text.to_owned(),
        other => {
            let mut json = Vec::new();
            other.write_json(&mut json);
            String::from_utf8_lossy(&json).trim_matches('"').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use event::Timestamp;

    use super::*;
    use crate::{Limits, native};

    fn redact(rules: &Redact, json: &str) -> (String, Redacted) {
        let decoded = native(json.as_bytes(), Limits::default(), Timestamp::from_micros(0));
        assert_eq!(decoded.refused_count(), 0);
        let (batch, redacted) = rules.apply(decoded.batch);
        let mut leaves: Vec<_> = batch.row(0).fields().filter(|field| !field.sent).collect();
        leaves.retain(|field| !matches!(&*batch.keys()[field.key as usize], "stream"));
        let text: Vec<String> =
            leaves.iter().map(|field| format!("{}={}", batch.keys()[field.key as usize], plain(field.value))).collect();
        (text.join(" "), redacted)
    }

    fn check(names: &[&str], json: &str, expected: &str, count: u64) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let settings = Settings { level: Some(Level::Off), keys: names, ..Settings::default() };
        let (text, redacted) = redact(&Redact::new(&settings, Level::Off, None).unwrap(), json);
        assert_eq!((text.as_str(), redacted.values().sum::<u64>()), (expected, count), "{json}");
    }

    #[test]
    fn values_under_named_keys_are_replaced_whole() {
        check(&["card"], r#"{"card":"4111","n":1}"#, "card=[REDACTED:card] n=1 user=system", 1);
        check(&["card"], r#"{"a":{"CARD":{"number":1,"cvc":[2]}},"b":3}"#, "a.CARD=[REDACTED:card] b=3 user=system", 1);
        check(&["card"], r#"{"a":{"card":[1,{"x":2}]}}"#, "a.card=[REDACTED:card] user=system", 1);
        check(&["card"], r#"{"user.card":"4111"}"#, r"user\.card=[REDACTED:card] user=system", 1);
        check(&["card_number"], r#"{"cardNumber":1}"#, "cardNumber=[REDACTED:card_number] user=system", 1);
        check(
            &["card"],
            r#"{"list":[{"card":{"n":1},"x":1.50},[{"Card":2}],"card"]}"#,
            r#"list=[{"card":"[REDACTED:card]","x":1.50},[{"Card":"[REDACTED:card]"}],"card"] user=system"#,
            2,
        );
        check(
            &["card"],
            r#"{"body":"{\"card\": 4111, \"x\":1}"}"#,
            r#"body={"card": "[REDACTED:card]", "x":1} user=system"#,
            1,
        );
        check(
            &["card"],
            &format!(r#"{{"body":"{}"}}"#, "[{".repeat(9)),
            &format!("body={} user=system", "[{".repeat(9)),
            0,
        );
        check(&["card"], r#"{"body":"\n {\"card\":1}"}"#, "body=\n {\"card\":\"[REDACTED:card]\"} user=system", 1);
        check(
            &["card"],
            r#"{"list":["{\"card\":1}",2]}"#,
            r#"list=["{\"card\":\"[REDACTED:card]\"}",2] user=system"#,
            1,
        );
        check(&["card"], r#"{"payment[card]":"4111"}"#, "payment[card]=[REDACTED:card] user=system", 1);
        check(&["card"], r#"{"discard":1,"text":"card"}"#, "discard=1 text=card user=system", 0);
    }

    #[test]
    fn what_was_derived_goes_too() {
        check(&["username"], r#"{"username":"bob"}"#, "username=[REDACTED:username] user=[REDACTED:username]", 1);
        check(&["username"], r#"{"username":"bob","user":"7"}"#, "username=[REDACTED:username] user=7", 1);
        check(&["user"], r#"{"user":{"id":7,"name":"bob"}}"#, "user=[REDACTED:user]", 1);
        check(&["msg"], r#"{"msg":"hi"}"#, "msg=[REDACTED:msg] user=system message=[REDACTED:msg]", 1);
        check(&["code"], r#"{"code":"404"}"#, "code=[REDACTED:code] user=system status=[REDACTED:code]", 1);
        check(
            &["request"],
            r#"{"request":"GET /pay?card=1"}"#,
            "request=[REDACTED:request] user=system method=[REDACTED:request] path=[REDACTED:request]",
            1,
        );
        check(&["exception"], r#"{"exception":"ValueError: 4111"}"#, "exception=[REDACTED:exception] user=system", 1);
    }

    #[test]
    fn once_is_enough() {
        check(&["card"], r#"{"card":"[REDACTED:card]"}"#, "card=[REDACTED:card] user=system", 0);
    }
}
