//! Who sent a request, and what they may do.
//!
//! Requests from this machine need no token to write and to read, unless the setting `require_token` says so; a
//! request that a proxy passed on, or that a page in a browser made, does not count as coming from this machine.

use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use engine::{Grant, Scope};

use super::problem::Problem;
use super::{Doors, Peer};

/// What the sender of a request may do.
///
/// # Errors
/// 401 when there is a token that is none of ours, or none and one is needed.
pub(crate) fn grant(doors: &Doors, parts: &Parts) -> Result<Grant, Problem> {
    if !parts.method.is_safe() {
        refuse_forged(parts)?;
    }
    if let Some(token) = token(&parts.headers) {
        return doors.engine.authorise(&token).ok_or_else(unknown_token);
    }
    if !doors.config.require_token && is_local(parts) {
        return Ok(Grant::local());
    }
    Err(Problem::new(
        StatusCode::UNAUTHORIZED,
        "token_needed",
        "a token is needed: send the header `Authorization: Bearer TOKEN`; `everlog token create` makes one",
    ))
}

/// The grant, if it allows something on a log.
///
/// # Errors
/// 401 as [`grant`], 403 when the token is for something else.
pub(crate) fn require(doors: &Doors, parts: &Parts, scope: Scope, log: Option<&str>) -> Result<Grant, Problem> {
    allowed(grant(doors, parts)?, scope, log)
}

fn unknown_token() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unknown_token",
        "this token is not known here: it may be revoked, or belong to another server; `everlog token create` makes one",
    )
}

/// The grant, if it allows something on a log.
///
/// # Errors
/// 403 when it does not.
pub(crate) fn allowed(grant: Grant, scope: Scope, log: Option<&str>) -> Result<Grant, Problem> {
    if grant.allows(scope, log) {
        return Ok(grant);
    }
    let place = log.map_or_else(|| " for all logs".to_owned(), |log| format!(" on the log {log:?}"));
    let detail = match scope {
        Scope::Admin => "this needs a token with the scope admin: on the server's machine it stands in the file admin.token of the data directory".to_owned(),
        _ => format!("this token does not allow to {}{place}", scope.name()),
    };
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

/// The same for a door whose clients say their token in a way of their own: `sent` is what they said, if anything.
///
/// Clients that cannot go without a key are given some word for it. On the machine itself, where none is needed, what
/// cannot be a token of ours counts as none.
///
/// # Errors
/// As [`require`].
pub(crate) fn require_sent(
    doors: &Doors,
    parts: &Parts,
    sent: Option<&str>,
    (scope, log): (Scope, Option<&str>),
) -> Result<Grant, Problem> {
    allowed(grant_sent(doors, parts, sent)?, scope, log)
}

/// What such a sender may do.
///
/// # Errors
/// As [`grant`].
pub(crate) fn grant_sent(doors: &Doors, parts: &Parts, sent: Option<&str>) -> Result<Grant, Problem> {
    let sent = sent.map(str::to_owned).or_else(|| token(&parts.headers));
    let Some(sent) = sent else { return grant(doors, parts) };
    refuse_forged(parts)?;
    match doors.engine.authorise(&sent) {
        Some(grant) => Ok(grant),
        None if !engine::is_token(&sent) && !doors.config.require_token && is_local(parts) => Ok(Grant::local()),
        None => Err(unknown_token()),
    }
}

/// The log that a request is for, of a door whose paths name none: the one that the header `X-Everlog-Log` or the
/// parameter `log` names, else the one that the token is good for if it is only one, else `default`.
pub(crate) fn log_of(parts: &Parts, grant: &Grant) -> String {
    let named = parts.headers.get("x-everlog-log").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let query = parts.uri.query().unwrap_or("");
    let asked = || form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "log").map(|(_, log)| log.into());
    named.or_else(asked).or_else(|| grant.only_log().map(str::to_owned)).unwrap_or_else(|| "default".to_owned())
}

/// Whether the request carries a token that allows something on a log: not who is on this machine, nor anybody.
pub(crate) fn has_token_for(doors: &Doors, parts: &Parts, scope: Scope, log: &str) -> bool {
    let sent = refuse_forged(parts).ok().and_then(|()| token(&parts.headers));
    let grant = sent.and_then(|token| doors.engine.authorise(&token));
    grant.is_some_and(|grant| grant.allows(scope, Some(log)))
}

/// The names of the logs that the sender may read.
///
/// # Errors
/// 401 as [`grant`], 403 when there can be none.
pub(crate) fn readable(doors: &Doors, parts: &Parts) -> Result<Vec<String>, Problem> {
    let grant = grant(doors, parts)?;
    let logs: Vec<String> = doors.engine.log_names().into_iter().filter(|log| grant.may_read(log)).collect();
    // Who may read no log at all is told so as for any other question.
    if logs.is_empty() { require(doors, parts, Scope::Read, None).map(|_| logs) } else { Ok(logs) }
}

fn token(headers: &HeaderMap) -> Option<String> {
    if let Some(token) = headers.get("x-everlog-token").and_then(|value| value.to_str().ok()) {
        return Some(token.to_owned());
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    // `ApiKey` holds an id and a key in the same form, or the key as it is.
    let is_pair = scheme.eq_ignore_ascii_case("apikey") && !engine::is_token(rest);
    if scheme.eq_ignore_ascii_case("basic") || is_pair {
        // As `curl -u :TOKEN` or `-u TOKEN:` sends it.
        let decoded = decode_base64(rest.trim())?;
        let (user, password) = decoded.split_once(':').unwrap_or((decoded.as_str(), ""));
        return Some(if password.is_empty() { user } else { password }.to_owned());
    }
    Some(rest.trim().to_owned())
}

/// Refuses what a web page of another site makes a browser send with the password that it remembers for us. For
/// whatever changes something: who only reads cannot see the answer from there.
///
/// # Errors
/// 403.
pub(crate) fn refuse_forged(parts: &Parts) -> Result<(), Problem> {
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_remembered = authorization.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic "));
    if !(is_remembered && comes_from_another_page(&parts.headers)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "cross_site",
        "a web page of another site may not change anything with the password that a browser remembers: send the token as `Authorization: Bearer TOKEN`",
    ))
}

/// The few bytes of a Basic header; `None` for what is none.
fn decode_base64(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0);
    for character in text.trim_end_matches('=').bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    String::from_utf8(bytes).ok()
}

/// What proxies add to a request that they pass on.
const PROXY_HEADERS: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
    "cf-connecting-ip",
    "true-client-ip",
];

/// Whether a request was made by a program on this machine, and not passed on or made by a web page.
fn is_local(parts: &Parts) -> bool {
    is_of_this_machine(parts) && !comes_from_another_page(&parts.headers)
}

/// Whether a request was made on this machine, by a program or by a browser, and not passed on.
pub(crate) fn is_of_this_machine(parts: &Parts) -> bool {
    let peer = parts.extensions.get::<Peer>().is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    let passed_on = PROXY_HEADERS.iter().any(|name| parts.headers.contains_key(*name));
    peer && !passed_on && names_this_machine(parts)
}

/// A name that a stranger's DNS made point here is not this machine's.
fn names_this_machine(parts: &Parts) -> bool {
    let sent = parts
        .headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    let Some(host) = sent else { return true };
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

fn comes_from_another_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    match (origin, host) {
        (Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, name)| name != host),
        (Some(_), None) => true,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn local(peer: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(Peer(peer.parse().unwrap()));
        is_local(&parts)
    }

    #[test]
    fn only_programs_of_this_machine_are_local() {
        assert!(local("127.0.0.1:5", &[("host", "localhost:7171")]));
        assert!(local("[::1]:5", &[("host", "[::1]:7171")]));
        assert!(local("127.0.0.1:5", &[("host", "127.0.0.1:7171"), ("origin", "http://127.0.0.1:7171")]));
        assert!(!local("192.0.2.1:5", &[("host", "localhost")]));
        assert!(!local("127.0.0.1:5", &[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")]));
        assert!(!local("127.0.0.1:5", &[("host", "evil.example:7171")]));
        assert!(!local("127.0.0.1:5", &[("host", "localhost"), ("origin", "https://evil.example")]));
        assert!(!local("127.0.0.1:5", &[("host", "localhost"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn a_remembered_password_changes_nothing_for_another_site() {
        let forged = |method: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method).uri("/").header("host", "logs.example");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            refuse_forged(&request.body(()).unwrap().into_parts().0).is_err()
        };
        let (basic, foreign) = (("authorization", "Basic OmFiYw=="), ("sec-fetch-site", "cross-site"));
        assert!(forged("POST", &[basic, foreign]));
        assert!(forged("DELETE", &[("authorization", "basic OmFiYw=="), ("origin", "https://evil.example")]));
        assert!(!forged("POST", &[basic]));
        assert!(!forged("POST", &[("authorization", "Bearer abc"), foreign]));
    }

    #[test]
    fn tokens_in_headers() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            token(&headers)
        };
        assert_eq!(read("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("Basic OmFiYw==").as_deref(), Some("abc"));
        assert_eq!(read("Basic YWJjOg==").as_deref(), Some("abc"));
        assert_eq!(read("Basic !").as_deref(), None);
    }
}
