//! What the answer of a target means for the events that it was sent.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Target;

/// The first pause after a failure, and the longest: what is back is noticed within seconds.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A target that asks for a longer pause gets at most this.
const ASKED_MAX: Duration = Duration::from_secs(300);

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The target has every event but these.
    Taken {
        /// Refused for good: which one of those sent, and why.
        refused: Vec<(usize, String)>,
        /// Refused for now: to be sent again.
        again: Vec<usize>,
        /// What was said of the first of them.
        reason: String,
    },
    /// The request as a whole is too large or has something in it that the target cannot take: fewer at a time show
    /// which.
    Halve(String),
    /// Nothing was taken, whatever was sent: later.
    Later(String),
}

/// Reads the answer to a request of `sent` events.
#[must_use]
pub fn verdict(target: &Target, status: u16, body: &[u8], sent: usize) -> Verdict {
    match (status, target) {
        (200..=299, Target::Elasticsearch { .. }) => bulk(body, sent),
        (200..=299, Target::Otlp) => partial(body, sent),
        (200..=299, Target::Webhook { .. }) => taken(),
        (400 | 413 | 422, _) => Verdict::Halve(said(status, body)),
        _ => Verdict::Later(said(status, body)),
    }
}

fn taken() -> Verdict {
    Verdict::Taken { refused: Vec::new(), again: Vec::new(), reason: String::new() }
}

#[derive(Deserialize)]
struct Bulk {
    errors: Option<bool>,
    #[serde(default)]
    items: Vec<Value>,
}

/// The answer of `_bulk`: one item for each event, in order. A conflict (409) says that the event is there already.
fn bulk(body: &[u8], sent: usize) -> Verdict {
    let Ok(answer) = serde_json::from_slice::<Bulk>(body) else {
        return Verdict::Later(format!("this is no answer of _bulk: {}", start_of(body)));
    };
    if answer.errors == Some(false) && (answer.items.is_empty() || answer.items.len() == sent) {
        return taken();
    }
    if answer.items.len() != sent {
        return Verdict::Later(format!("_bulk answered {} items, sent were {sent}", answer.items.len()));
    }
    let (mut refused, mut again, mut reason) = (Vec::new(), Vec::new(), String::new());
    for (index, item) in answer.items.iter().enumerate() {
        let result = item.as_object().and_then(|item| item.values().next()).unwrap_or(&Value::Null);
        match result["status"].as_u64().unwrap_or(0) {
            200..=299 | 409 => {}
            400 | 413 | 422 => refused.push((index, item_reason(result))),
            // Too busy, no such index, a key that may not: the next event would fare no better.
            _ => {
                if again.is_empty() {
                    reason = item_reason(result);
                }
                again.push(index);
            }
        }
    }
    Verdict::Taken { refused, again, reason }
}

fn item_reason(result: &Value) -> String {
    let status = result["status"].as_u64().unwrap_or(0);
    let error = &result["error"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // Old servers say it in one text.
    let told =
        error.as_str().map_or_else(|| format!("{} {}", text(&error["type"]), text(&error["reason"])), str::to_owned);
    format!("{status} {}", told.trim()).trim_end().to_owned()
}

/// The answer of an OTLP door: how many were refused for good, not which.
fn partial(body: &[u8], sent: usize) -> Verdict {
    let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let partial = &answer["partialSuccess"];
    let rejected = &partial["rejectedLogRecords"];
    let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
    let reason = partial["errorMessage"].as_str().unwrap_or("rejected without a reason");
    let count = usize::try_from(rejected).unwrap_or(sent).min(sent);
    let reason = format!("{count} of {sent} log records, which ones is not said: {reason}");
    Verdict::Taken {
        refused: (0..count).map(|at| (at, reason.clone())).collect(),
        again: Vec::new(),
        reason: String::new(),
    }
}

/// What a refusal says, in a line.
fn said(status: u16, body: &[u8]) -> String {
    let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error = &parsed["error"];
    let told = [&error["reason"], error, &parsed["message"], &parsed["detail"]].into_iter().find_map(Value::as_str);
    let told = told.map_or_else(|| start_of(body), str::to_owned);
    let hint = match status {
        401 | 403 => " (see its username, password, api_key, bearer or headers)",
        404 | 405 => " (see its url)",
        _ => "",
    };
    format!("the answer was {status} {told}").trim_end().to_owned() + hint
}

fn start_of(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The pause that a target asks for by `Retry-After`, which here is a number of seconds.
#[must_use]
pub fn retry_after(header: Option<&str>) -> Option<Duration> {
    let seconds: u64 = header?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(ASKED_MAX))
}

/// Pauses that grow while a target fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// All is well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause. `chance` is any number: by it the pauses of targets that failed at once go apart.
    pub fn next(&mut self, chance: u64) -> Duration {
        let whole = (PAUSE * (1 << self.failures.min(8))).min(PAUSE_MAX);
        self.failures += 1;
        let half = whole / 2;
        half + half.mul_f64((chance % 1000) as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn elasticsearch() -> Target {
        Target::Elasticsearch { index: "log1".to_owned() }
    }

    fn items(items: &Value) -> Verdict {
        verdict(&elasticsearch(), 200, json!({"errors": true, "items": items}).to_string().as_bytes(), 5)
    }

    #[test]
    fn each_item_of_a_bulk_has_its_own_fate() {
        let error = json!({"type": "mapper_parsing_exception", "reason": "failed to parse field [n]"});
        let found = items(&json!([
            {"create": {"status": 201}},
            {"create": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}},
            {"create": {"status": 400, "error": error}},
            {"create": {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue"}}},
            {"create": {"status": 503, "error": "[UnavailableShards]"}},
        ]));
        let refused = vec![(2, "400 mapper_parsing_exception failed to parse field [n]".to_owned())];
        let reason = "429 es_rejected_execution_exception queue".to_owned();
        assert_eq!(found, Verdict::Taken { refused, again: vec![3, 4], reason });
    }

    #[test]
    fn an_answer_that_is_none_is_no_delivery() {
        for body in
            [&b"<html>welcome</html>"[..], b"{}", br#"{"errors":true,"items":[{"create":{"status":201}}]}"#, b""]
        {
            let found = verdict(&elasticsearch(), 200, body, 5);
            assert!(matches!(found, Verdict::Later(_)), "{found:?}");
        }
        assert_eq!(verdict(&elasticsearch(), 200, br#"{"errors":false}"#, 5), taken());
    }

    #[test]
    fn what_a_whole_request_is_told() {
        let webhook = Target::Webhook { array: false };
        assert_eq!(verdict(&webhook, 204, b"", 5), taken());
        assert!(matches!(verdict(&webhook, 413, b"too large", 5), Verdict::Halve(_)));
        for status in [301, 401, 403, 404, 408, 429, 500, 503] {
            assert!(matches!(verdict(&webhook, status, b"", 5), Verdict::Later(_)), "{status}");
        }
        let told = verdict(&webhook, 401, br#"{"error":{"reason":"missing\nkey"}}"#, 5);
        assert!(matches!(&told, Verdict::Later(reason) if reason.contains("missing") && reason.contains("api_key")));
    }

    #[test]
    fn otlp_says_how_many_it_rejected() {
        let body = br#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#;
        let Verdict::Taken { refused, .. } = verdict(&Target::Otlp, 200, body, 5) else { panic!("not taken") };
        assert_eq!(refused.len(), 2);
        assert!(refused[0].1.contains("too old"));
        assert_eq!(verdict(&Target::Otlp, 200, b"{}", 5), taken());
    }

    #[test]
    fn pauses_grow_to_five_seconds_and_no_further() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.next(999).as_millis()).collect();
        assert!(pauses.is_sorted() && pauses[0] >= 100 && pauses[0] <= 200, "{pauses:?}");
        assert!((2500..=5000).contains(&pauses[7]));
        assert!(backoff.next(0) >= PAUSE_MAX / 2);
        backoff.reset();
        assert!(backoff.next(0) <= PAUSE);
        assert_eq!(retry_after(Some("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(Some("86400")), Some(ASKED_MAX));
        assert_eq!(retry_after(Some("Wed, 21 Oct 2015 07:28:00 GMT")), None);
    }
}
