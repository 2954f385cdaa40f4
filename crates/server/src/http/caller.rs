//! Who is behind a request: the address, the user, the session. What a request says of these counts only when it comes
//! from a proxy that is trusted; anybody can write a header.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use serde_json::{Map, Value};

use super::Peer;

/// Longest value of a header that says who somebody is.
const IDENTITY_BYTES_MAX: usize = 8 << 10;

/// The address of the machine that connected.
fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().map(|peer| peer.0.ip().to_canonical())
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// Whether the request was passed on by a proxy that is trusted.
pub(crate) fn is_by_trusted_proxy(parts: &Parts, trusted: &[IpNet]) -> bool {
    peer(parts).is_some_and(|peer| is_trusted(peer, trusted))
}

/// The address that a request comes from: going back from the machine that connected, the first that is no trusted
/// proxy.
pub(crate) fn address(parts: &Parts, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut address = peer(parts)?;
    if !is_trusted(address, trusted) {
        return Some(address);
    }
    let hops = if parts.headers.contains_key("x-forwarded-for") {
        all(&parts.headers, "x-forwarded-for")
    } else {
        all(&parts.headers, "forwarded")
    };
    for hop in hops.rsplit(',') {
        // What cannot be read ends the chain: the address before it is the last that somebody trusted has vouched for.
        let Some(read) = read_hop(hop.trim()) else { break };
        address = read;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    Some(address)
}

/// All values of a header as one list.
fn all(headers: &HeaderMap, name: &str) -> String {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
}

/// `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, or the same as `for=…` among other parameters (RFC 7239).
fn read_hop(hop: &str) -> Option<IpAddr> {
    let parameter = |part: &str| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"').to_owned())
    };
    let text = if hop.contains('=') { hop.split(';').find_map(parameter)? } else { hop.to_owned() };
    let address = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => &text,
    };
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// `https` when a trusted proxy says that the request came to it so.
pub(crate) fn protocol(parts: &Parts, trusted: &[IpNet]) -> &'static str {
    let said = all(&parts.headers, "x-forwarded-proto");
    let is_https = said.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("https"));
    if is_https && is_by_trusted_proxy(parts, trusted) { "https" } else { "http" }
}

/// What a header says about a user or a session: an id, or a JSON object with an `id` and more.
pub(crate) fn identity(headers: &HeaderMap, name: &HeaderName) -> Map<String, Value> {
    let text = headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).unwrap_or("").trim();
    if text.is_empty() || text.len() > IDENTITY_BYTES_MAX {
        return Map::new();
    }
    if text.starts_with('{') {
        // One that is broken says nothing: as an id it would be a person of its own.
        return serde_json::from_str(text).unwrap_or_default();
    }
    Map::from_iter([("id".to_owned(), Value::from(text))])
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn check(peer: &str, headers: &[(&str, &str)], expected: &str) {
        let trusted: Vec<IpNet> = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap()).into();
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(Peer(peer.parse().unwrap()));
        assert_eq!(address(&parts, &trusted).unwrap().to_string(), expected, "{peer} {headers:?}");
    }

    #[test]
    fn the_first_that_is_no_trusted_proxy() {
        let spoofed = ("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.1.2.3");
        check("192.0.2.1:5", &[spoofed], "192.0.2.1");
        check("192.0.2.1:5", &[("forwarded", "for=1.1.1.1")], "192.0.2.1");
        check("127.0.0.1:5", &[spoofed], "203.0.113.9");
        check("[::ffff:127.0.0.1]:5", &[spoofed], "203.0.113.9");
        check("127.0.0.1:5", &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")], "203.0.113.9");
        check("127.0.0.1:5", &[("x-forwarded-for", "203.0.113.9:4711")], "203.0.113.9");
        check("127.0.0.1:5", &[("x-forwarded-for", "[2001:db8::1]:4711")], "2001:db8::1");
        check("127.0.0.1:5", &[("x-forwarded-for", "::ffff:203.0.113.9")], "203.0.113.9");
        check("127.0.0.1:5", &[("x-forwarded-for", "10.0.0.1, 10.0.0.2")], "10.0.0.1");
        check("127.0.0.1:5", &[("x-forwarded-for", "1.1.1.1, unknown, 10.0.0.2")], "10.0.0.2");
        check("127.0.0.1:5", &[("x-forwarded-for", "")], "127.0.0.1");
        check("127.0.0.1:5", &[], "127.0.0.1");
        check("127.0.0.1:5", &[("forwarded", "for=1.1.1.1, For=\"[2001:db8::2]:80\";proto=https")], "2001:db8::2");
        check("127.0.0.1:5", &[("forwarded", "for=_hidden")], "127.0.0.1");
        check("127.0.0.1:5", &[("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "203.0.113.9")], "203.0.113.9");
    }

    #[test]
    fn an_id_or_an_object() {
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("x-user"), text.parse().unwrap())]);
            Value::Object(identity(&headers, &HeaderName::from_static("x-user"))).to_string()
        };
        assert_eq!(read(" 42 "), r#"{"id":"42"}"#);
        assert_eq!(read(r#"{"id":42,"role":"x"}"#), r#"{"id":42,"role":"x"}"#);
        for nothing in ["", "{", r#"{"id":}"#] {
            assert_eq!(read(nothing), "{}", "{nothing}");
        }
    }
}
