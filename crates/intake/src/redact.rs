//! Values that must not be kept, replaced by a mark before anything is stored.
//!
//! A rule is the name of a key. It holds at any depth, in lists of objects and in texts that are JSON too; what stands below such a key goes
//! whole. It works on a batch, behind every decoder, so that no door can forget it.

use std::collections::{BTreeMap, HashMap};

use event::limits::DEPTH_MAX;
use event::{Batch, BatchBuilder, Value, logical_name};

use crate::decode::{each_member, is_too_deep};
use crate::normalise::{Role, role, shared_name};

/// Names under which applications send secrets.
const SECRETS: [&str; 19] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "client_secret",
    "private_key",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "csrf_token",
    "csrfmiddlewaretoken",
    "authorization",
    "proxy_authorization",
    "cookie",
    "set_cookie",
    "api_key",
    "x_api_key",
];

/// Which keys lose their values.
#[derive(Clone, Debug, Default)]
pub struct Redact {
    /// The marks by the folded names.
    marks: HashMap<String, Box<str>>,
    /// Whether names that look like those of secrets are meant too: `new_password`, `sessionToken`.
    secrets: bool,
}

/// How many values were replaced, by the name in the rule.
pub type Redacted = BTreeMap<String, u64>;

/// What becomes of a path.
struct Verdict {
    /// The path down to the named key.
    path: String,
    mark: String,
    name: String,
}

impl Redact {
    /// The rules of these names. Case, hyphens and underscores do not count.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        Self { marks: names.iter().map(|name| (fold(name), name.as_str().into())).collect(), secrets: false }
    }

    /// These rules, and those for what looks like a secret.
    #[must_use]
    pub fn with_secrets(mut self) -> Self {
        for name in SECRETS {
            self.marks.entry(fold(name)).or_insert_with(|| name.into());
        }
        self.secrets = true;
        self
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The name in the rule that a key falls under.
    fn rule(&self, key: &str) -> Option<&str> {
        let folded = fold(key);
        if let Some(name) = self.marks.get(&folded) {
            return Some(name);
        }
        match () {
            () if !self.secrets => None,
            () if folded.contains("password") || folded.contains("passwd") => Some("password"),
            () if folded.ends_with("token") => Some("token"),
            () if folded.ends_with("secret") => Some("secret"),
            () if folded.ends_with("apikey") => Some("api_key"),
            () => None,
        }
    }

    /// The same for one key of a path: `user.card` and `user[card]` as one key fall under `card` too.
    fn rule_of_segment(&self, key: &str) -> Option<&str> {
        self.rule(key).or_else(|| key.split(['.', '[', ']']).find_map(|part| self.rule(part)))
    }

    fn verdict(&self, path: &str) -> Option<Verdict> {
        let (mut start, mut escaped) = (0, false);
        for (at, byte) in path.bytes().chain([b'.']).enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'.' => {
                    let end = at.min(path.len());
                    if let Some(name) = self.rule_of_segment(&logical_name(&path[start..end])) {
                        return Some(Verdict { path: path[..end].to_owned(), mark: mark(name), name: name.to_owned() });
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        None
    }

    /// The batch without the values that a rule names, and how many these were.
    ///
    /// Where a shared key was filled from a key that is named, its value goes as well.
    #[must_use]
    pub fn apply(&self, batch: Batch) -> (Batch, Redacted) {
        let mut redacted = Redacted::new();
        if self.is_empty() {
            return (batch, redacted);
        }
        let verdicts: Vec<Option<Verdict>> = batch.keys().iter().map(|path| self.verdict(path)).collect();
        let mut ignored = Redacted::new();
        let mut is_named = |value| self.inside(value, &mut ignored).is_some();
        let untouched = verdicts.iter().all(Option::is_none)
            && !batch.rows().any(|row| row.fields().any(|field| is_named(field.value)));
        if untouched {
            return (batch, redacted);
        }
        let mut builder = BatchBuilder::new();
        for index in 0..batch.len() {
            self.row(&batch, index, &verdicts, (&mut builder, &mut redacted));
        }
        (builder.finish(), redacted)
    }

    fn row(
        &self,
        batch: &Batch,
        index: usize,
        verdicts: &[Option<Verdict>],
        (builder, redacted): (&mut BatchBuilder, &mut Redacted),
    ) {
        let row = batch.row(index);
        // Shared keys that may have been filled from what is replaced: which, its text, the mark.
        let mut sources: Vec<(&[&str], String, &str)> = Vec::new();
        for field in row.fields() {
            let path = &*batch.keys()[field.key as usize];
            let Some(verdict) = &verdicts[field.key as usize] else {
                let derived = sources
                    .iter()
                    .find(|(names, text, _)| !field.sent && names.contains(&path) && is_from(field.value, text, names));
                let rewritten = self.inside(field.value, redacted);
                let value = match (derived, &rewritten, field.value) {
                    (Some((_, _, mark)), ..) => Value::Str(mark),
                    (None, Some(json), Value::Raw(_)) => Value::Raw(json),
                    (None, Some(json), _) => Value::Str(json),
                    (None, None, value) => value,
                };
                let key = builder.key(path);
                builder.push(key, value, field.sent);
                continue;
            };
            if let Role::Alias(shared, _) = role(path) {
                sources.push((shared_name(shared), plain(field.value), &verdict.mark));
            }
            let key = builder.key(&verdict.path);
            let is_new = builder.push(key, Value::Str(&verdict.mark), field.sent);
            if is_new && !field.sent && field.value != Value::Str(&verdict.mark) {
                *redacted.entry(verdict.name.clone()).or_default() += 1;
            }
        }
        let kept = builder.commit(row.id.clone(), row.timestamp);
        debug_assert!(kept, "marks for values that fitted into a request fit into a batch");
    }

    /// A list, or a text that is JSON itself, with the values under named keys replaced; `None` when there are none.
    fn inside(&self, value: Value<'_>, redacted: &mut Redacted) -> Option<String> {
        match value {
            Value::Raw(json) => self.json(json, redacted),
            Value::Str(text) => {
                let text = text.trim_start();
                (text.starts_with(['{', '[']) && !is_too_deep(text, DEPTH_MAX)).then(|| self.json(text, redacted))?
            }
            _ => None,
        }
    }

    /// A list or an object with the values under named keys replaced; `None` when there are none.
    fn json(&self, text: &str, redacted: &mut Redacted) -> Option<String> {
        if !text.contains('{') {
            return None;
        }
        if text.starts_with('"') {
            // Each text within a text is escaped once more, so they are soon too long to go any deeper.
            let inner = event::text::unescape(text)?;
            return self.inside(Value::Str(&inner), redacted).map(|json| quoted(&json));
        }
        let mut changed = false;
        let mut parts = Vec::new();
        let is_list = text.starts_with('[');
        if is_list {
            for item in sonic_rs::to_array_iter(text) {
                let item = item.ok()?;
                let raw = item.as_raw_str();
                let rewritten = self.json(raw, redacted);
                changed |= rewritten.is_some();
                parts.push(rewritten.unwrap_or_else(|| raw.to_owned()));
            }
        } else if text.starts_with('{') {
            let walked = each_member(text, |key, raw| {
                let value = match self.rule_of_segment(key) {
                    Some(name) => {
                        *redacted.entry(name.to_owned()).or_default() += 1;
                        Some(quoted(&mark(name)))
                    }
                    None => self.json(raw, redacted),
                };
                changed |= value.is_some();
                parts.push(format!("{}:{}", quoted(key), value.as_deref().unwrap_or(raw)));
                Ok(())
            });
            walked.ok()?;
        }
        let (open, close) = if is_list { ('[', ']') } else { ('{', '}') };
        changed.then(|| format!("{open}{}{close}", parts.join(",")))
    }

    /// A query string without the values of named arguments.
    #[must_use]
    pub fn query(&self, query: &str) -> String {
        let pairs = query.split('&').map(|pair| {
            let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned());
            let rule = name.as_deref().and_then(|name| self.rule_of_segment(name));
            match (rule, pair.split_once('=')) {
                (Some(rule), Some((sent, _))) => format!("{sent}={}", mark(rule)),
                _ => pair.to_owned(),
            }
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn mark(name: &str) -> String {
    format!("[REDACTED:{name}]")
}

fn fold(name: &str) -> String {
    name.chars().filter(|character| !matches!(character, '-' | '_')).flat_map(char::to_lowercase).collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
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

/// Whether a shared key has the value of another name, or a part of it: `GET /pay` fills `method` and `path`.
fn is_from(value: Value<'_>, source: &str, names: &[&str]) -> bool {
    let text = plain(value);
    let number = |text: &str| text.parse::<f64>().ok();
    text == source
        || (number(&text).is_some() && number(&text) == number(source))
        || (names.len() > 1 && source.split([' ', '?']).any(|part| part == text))
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
        let (text, redacted) = redact(&Redact::new(&names), json);
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
            r#"body={"card":"[REDACTED:card]","x":1} user=system"#,
            1,
        );
        check(
            &["card"],
            &format!(r#"{{"body":"{}"}}"#, "[{".repeat(9)),
            &format!("body={} user=system", "[{".repeat(9)),
            0,
        );
        check(&["card"], r#"{"body":"\n {\"card\":1}"}"#, r#"body={"card":"[REDACTED:card]"} user=system"#, 1);
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

    #[test]
    fn secrets_by_their_looks() {
        let rules = Redact::default().with_secrets();
        for name in ["password", "PassWd", "new_password", "sessionToken", "api-key", "Authorization", "client-secret"]
        {
            let (text, redacted) = redact(&rules, &format!(r#"{{"{name}":"s3"}}"#));
            assert!(!text.contains("s3") && redacted.len() == 1, "{text}");
        }
        for name in ["pass", "tokens", "secretary", "cookies", "keyword"] {
            assert!(redact(&rules, &format!(r#"{{"{name}":"s3"}}"#)).0.contains("s3"), "{name}");
        }
        assert_eq!(rules.query("x=1&pass%77ord=a%26b&token&y"), "x=1&pass%77ord=[REDACTED:password]&token&y");
    }
}
