//! What an answer means: whether the notice is there, whether another attempt can help, and what a person should do.

use std::time::Duration;

use engine::alerts::backoff::ASKED_MAX;
use reqwest::header::{DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::super::{Delivered, NotDelivered, told};

/// An answer.
pub(super) struct Answer<'a> {
    /// Of which kind of channel.
    pub(super) kind: &'static str,
    pub(super) host: &'a str,
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    /// Its start.
    pub(super) body: &'a [u8],
}

/// # Errors
/// When the notice was not taken.
pub(super) fn judge(answer: &Answer<'_>) -> Result<Delivered, NotDelivered> {
    let Answer { kind, host, status, .. } = *answer;
    let text = String::from_utf8_lossy(answer.body);
    let document: Option<Value> = serde_json::from_str(&text).ok();
    let said = said(&text, document.as_ref());
    let line = |hint: &str| {
        let sentence = format!("{host} answered {} {said}", status.as_u16());
        let sentence = sentence.trim_end().trim_end_matches('.');
        if hint.is_empty() { sentence.to_owned() } else { format!("{sentence}: {hint}") }
    };
    if status.is_success() {
        // The old webhooks of Teams say so whatever became of the message.
        return if kind == "teams" && text.contains("endpoint returned HTTP error") {
            let permanent = !text.contains("error 429") && !text.contains("error 5");
            Err(NotDelivered { permanent, reason: line("Teams took it and lost it"), wait: None })
        } else {
            Ok(Delivered { answer: format!("{} {said}", status.as_u16()).trim_end().to_owned(), missed: Vec::new() })
        };
    }
    if status.is_redirection() {
        let elsewhere = answer.headers.get(LOCATION).and_then(|place| place.to_str().ok()).and_then(origin);
        let elsewhere = elsewhere.map(|place| format!(" to {place}")).unwrap_or_default();
        let hint = format!("a redirect{elsewhere}, which is never followed: put the final address in url");
        let permanent = matches!(status.as_u16(), 301 | 308);
        return Err(NotDelivered { permanent, reason: line(&hint), wait: None });
    }
    let again = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    let hint = match status.as_u16() {
        429 => "too many at once; a later attempt may arrive",
        _ if again => "a later attempt may arrive",
        _ => hint(kind, status, &said),
    };
    let wait = if again { wait(answer.headers, document.as_ref()) } else { None };
    Err(NotDelivered { permanent: !again, reason: line(hint), wait })
}

/// What a person should do about a refusal.
fn hint(kind: &str, status: StatusCode, said: &str) -> &'static str {
    const REMADE: &str = "this webhook was removed; make a new one and put its address in url";
    match (kind, status.as_u16()) {
        ("slack", _) if said.contains("channel_not_found") => {
            "the channel of this webhook is gone; make a new webhook and put its address in url"
        }
        ("slack", _) if said.contains("is_archived") => {
            "the channel of this webhook is archived; unarchive it, or make a webhook for another"
        }
        ("slack", _) if said.contains("user_not_found") => "who this webhook writes to is gone; make a new webhook",
        ("slack", 403) => "the workspace does not allow this webhook; ask its administrator, or make a new webhook",
        ("slack", 400) => "Slack does not take this message; other notices may still arrive",
        ("slack" | "teams" | "discord", 404 | 410) => REMADE,
        ("slack" | "teams" | "discord", 401 | 403) => {
            "the right to write there was taken back; make a new webhook and put its address in url"
        }
        ("sentry", 401 | 403) => "the key of the DSN is not taken; copy the DSN of the project again",
        ("sentry", 404) => "there is no such project; copy the DSN of the project again",
        ("sentry", 413) => "the error is too large for it; others may still arrive",
        ("telegram", 401 | 404) => "there is no bot with this token; ask @BotFather for it and put it in token",
        ("telegram", 403) => "the bot was blocked or put out of the chat; let it in again",
        ("telegram", 400) if said.contains("chat not found") => {
            "the bot knows no such chat; write to the bot or put it in the group, and see chat"
        }
        (_, 401 | 403) => "see secret and headers of the channel",
        (_, 404 | 410) => "nothing is there; see url of the channel",
        (_, 405) => "it takes no POST; see url of the channel",
        (_, 413) => "the message is too large for it",
        (_, 415 | 422) => "it does not take what is sent; see url of the channel",
        _ => "",
    }
}

/// What is said in the answer, in a line.
fn said(text: &str, document: Option<&Value>) -> String {
    let named = document.and_then(|document| {
        ["description", "message", "error", "detail", "title"].iter().find_map(|key| {
            let value = document.get(key)?;
            value.as_str().or_else(|| value.get("message")?.as_str())
        })
    });
    told(named.unwrap_or(text))
}

fn origin(place: &str) -> Option<String> {
    Some(told(&Url::parse(place).ok()?.origin().ascii_serialization()))
}

/// The pause that is asked for: by seconds or a date, in a header or in the body.
fn wait(headers: &HeaderMap, document: Option<&Value>) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = text(RETRY_AFTER).and_then(|asked| {
        asked.parse::<f64>().ok().or_else(|| {
            // By its own clock: ours may go differently.
            let [until, now] = [Some(asked), text(DATE)].map(|date| jiff::fmt::rfc2822::parse(date?).ok());
            Some(until?.timestamp().duration_since(now?.timestamp()).as_secs_f64())
        })
    });
    let in_body = || {
        let document = document?;
        let value = document.get("retry_after").or_else(|| document.get("parameters")?.get("retry_after"));
        value?.as_f64()
    };
    let seconds = seconds.or_else(in_body).filter(|seconds| seconds.is_finite() && *seconds > 0.0)?;
    Some(Duration::from_secs_f64(seconds.min(ASKED_MAX.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &'static str, status: u16, headers: &[(&str, &str)], body: &str) -> Result<Delivered, NotDelivered> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        judge(&Answer { kind, host: "h", status, headers: &headers, body: body.as_bytes() })
    }

    #[test]
    fn an_answer_says_whether_another_attempt_can_help_and_what_to_do() {
        for (kind, status, body, permanent, told) in [
            (
                "slack",
                404,
                "channel_not_found",
                true,
                "h answered 404 channel_not_found: the channel of this webhook is gone; make a new webhook",
            ),
            ("slack", 404, "no_service", true, "this webhook was removed"),
            ("slack", 410, "channel_is_archived", true, "unarchive it"),
            ("slack", 403, "invalid_token", true, "ask its administrator"),
            ("slack", 400, "invalid_payload", true, "Slack does not take this message"),
            ("slack", 429, "rate_limited", false, "h answered 429 rate_limited: too many at once"),
            ("slack", 500, "", false, "h answered 500: a later attempt may arrive"),
            (
                "discord",
                404,
                r#"{"message": "Unknown Webhook", "code": 10015}"#,
                true,
                "404 Unknown Webhook: this webhook was removed",
            ),
            (
                "telegram",
                401,
                r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#,
                true,
                "401 Unauthorized: there is no bot",
            ),
            (
                "telegram",
                400,
                r#"{"ok":false,"description":"Bad Request: chat not found"}"#,
                true,
                "the bot knows no such chat",
            ),
            (
                "teams",
                200,
                "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x.",
                false,
                "lost it",
            ),
            ("teams", 200, "Microsoft Teams endpoint returned HTTP error 400", true, "lost it"),
            ("webhook", 401, "", true, "see secret and headers"),
            ("webhook", 408, "", false, "a later attempt"),
            ("webhook", 503, "<html>\n<b>no</b>\r\n", false, "h answered 503 <html> <b>no</b>: a later"),
            ("webhook", 418, "", true, "h answered 418"),
        ] {
            let failed = check(kind, status, &[], body).unwrap_err();
            assert_eq!(failed.permanent, permanent, "{kind} {status}");
            assert!(failed.reason.contains(told), "{kind} {status}: {}", failed.reason);
        }
        assert_eq!(check("slack", 200, &[], "ok").unwrap().answer, "200 ok");
        assert_eq!(check("discord", 204, &[], "").unwrap().answer, "204");
        let long = check("webhook", 400, &[], &"x".repeat(100_000)).unwrap_err();
        assert!(long.reason.len() < 300);
    }

    #[test]
    fn a_redirect_is_named_and_not_more_of_it_than_its_host() {
        let found = check("webhook", 301, &[("location", "https://in.example/a?key=1")], "").unwrap_err();
        assert!(found.permanent && found.reason.contains("a redirect to https://in.example, which is never followed"));
        let found = check("webhook", 302, &[("location", "/login")], "").unwrap_err();
        assert!(!found.permanent && found.reason.contains("302: a redirect, which"), "{}", found.reason);
    }

    #[test]
    fn the_pause_asked_for_is_kept() {
        let (asked, date) = ("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT");
        for (headers, body, seconds) in [
            (vec![("retry-after", "7")], "", Some(7.0)),
            (vec![("retry-after", " 1.5 ")], "", Some(1.5)),
            (vec![("retry-after", "999999")], "", Some(3600.0)),
            (vec![("retry-after", "-3")], "", None),
            (vec![("retry-after", "NaN")], "", None),
            (vec![("retry-after", asked), ("date", date)], "", Some(30.0)),
            (vec![("retry-after", asked)], "", None),
            (vec![], r#"{"retry_after": 0.25}"#, Some(0.25)),
            (vec![], r#"{"ok":false,"parameters":{"retry_after":35}}"#, Some(35.0)),
            (vec![], "", None),
        ] {
            let wait = check("discord", 429, &headers, body).unwrap_err().wait;
            assert_eq!(wait.map(|wait| wait.as_secs_f64()), seconds, "{headers:?} {body}");
        }
        assert_eq!(check("slack", 404, &[("retry-after", "7")], "").unwrap_err().wait, None);
    }
}
