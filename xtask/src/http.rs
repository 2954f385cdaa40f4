//! Just enough HTTP/1.1 to speak with our own server, by hand, so that the chores need no client of somebody else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};

/// The longest answer read, in bytes: a bound for a server gone wild.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
const LINE_BYTES_MAX: u64 = 64 * 1024;
const HEADERS_MAX: usize = 200;
const PATIENCE: Duration = Duration::from_secs(30);

/// One request. The body may be empty.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// `GET target`, without a token.
    pub(crate) fn get(target: &'a str) -> Self {
        Self { method: "GET", target, token: None, content_type: "", body: b"" }
    }

    fn to_bytes(self, host: &str) -> Vec<u8> {
        let Self { method, target, token, content_type, body } = self;
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let kind = Some(content_type).filter(|kind| !kind.is_empty());
        let kind = kind.map(|kind| format!("Content-Type: {kind}\r\n")).unwrap_or_default();
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{token}{kind}\r\n");
        [head.as_bytes(), body].concat()
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, which is given in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The target of the `Link` with `rel="next"`, without scheme and host.
    pub(crate) fn next_target(&self) -> Option<&str> {
        let links = self.headers.iter().filter(|(key, _)| key == "link").flat_map(|(_, value)| value.split(", <"));
        let next = links.into_iter().find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
        let target = next.trim_start_matches('<').split('>').next()?;
        Some(match target.split_once("://") {
            Some((_, after_scheme)) => after_scheme.find('/').map_or("/", |slash| &after_scheme[slash..]),
            None => target,
        })
    }

    /// The start of the body, for an error message.
    pub(crate) fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

/// A connection that is kept for many requests.
pub(crate) struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `address`, as in `127.0.0.1:7171`.
    ///
    /// # Errors
    ///
    /// If nobody listens there.
    pub(crate) fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { address: address.to_owned(), stream: BufReader::new(stream) })
    }

    /// Sends a request and reads its answer, whatever its status.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or what comes is not HTTP. The connection is of no use afterwards.
    pub(crate) fn ask(&mut self, request: Request<'_>) -> anyhow::Result<Answer> {
        self.stream.get_mut().write_all(&request.to_bytes(&self.address))?;
        read_answer(&mut self.stream)
    }
}

fn read_answer(from: &mut impl BufRead) -> anyhow::Result<Answer> {
    let first = read_line(from)?;
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    let Some(status) = status else { bail!("not an HTTP answer: {first}") };
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').with_context(|| format!("not a header: {line}"))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        if headers.len() > HEADERS_MAX {
            bail!("more than {HEADERS_MAX} headers");
        }
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    let length = answer.header("content-length").map(str::parse::<u64>).transpose().context("bad content-length")?;
    if matches!(status, 100..200 | 204 | 304) {
        return Ok(answer);
    }
    if answer.header("transfer-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked")) {
        answer.body = read_chunks(from)?;
    } else if let Some(length) = length {
        read_exactly(from, length, &mut answer.body)?;
    } else {
        from.take(ANSWER_BYTES_MAX).read_to_end(&mut answer.body)?;
    }
    Ok(answer)
}

fn read_chunks(from: &mut impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(from)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = u64::from_str_radix(digits, 16).with_context(|| format!("not the length of a chunk: {line}"))?;
        if length == 0 {
            // Trailers, if any, and the empty line behind them.
            while !read_line(from)?.is_empty() {}
            return Ok(body);
        }
        read_exactly(from, length, &mut body)?;
        read_line(from)?;
    }
}

fn read_exactly(from: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> anyhow::Result<()> {
    if body.len() as u64 + length > ANSWER_BYTES_MAX {
        bail!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
    }
    let read = from.take(length).read_to_end(body)?;
    if (read as u64) < length {
        bail!("the answer ends {} bytes too early", length - read as u64);
    }
    Ok(())
}

fn read_line(from: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = Vec::new();
    from.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        bail!("the connection ends within the head of an answer");
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Answer, Request, read_answer};

    fn check(text: &str) -> Result<(u16, String), String> {
        let answer = read_answer(&mut text.as_bytes()).map_err(|error| error.to_string())?;
        Ok((answer.status, String::from_utf8(answer.body).unwrap()))
    }

    fn next_of(link: &str) -> Option<String> {
        let headers = vec![("link".to_owned(), link.to_owned())];
        Answer { status: 200, headers, body: Vec::new() }.next_target().map(str::to_owned)
    }

    #[test]
    fn bodies_end_where_they_say() {
        let ok = |body: &str| Ok((200, body.to_owned()));
        assert_eq!(check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1"), ok("ok"));
        assert_eq!(
            check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            ok("abc0123456789")
        );
        assert_eq!(check("HTTP/1.0 200 OK\r\n\r\nto the end"), ok("to the end"));
        assert_eq!(check("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1"), Ok((204, String::new())));
    }

    #[test]
    fn a_broken_answer_is_an_error() {
        let refused = |text: &str| check(text).unwrap_err();
        assert_eq!(refused("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"), "the answer ends 3 bytes too early");
        assert_eq!(refused("HTTP/1.1 200 OK\r\n"), "the connection ends within the head of an answer");
        assert_eq!(refused("SSH-2.0\r\n"), "not an HTTP answer: SSH-2.0");
        assert_eq!(
            refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "not the length of a chunk: zz"
        );
    }

    #[test]
    fn the_next_page_is_found() {
        assert_eq!(next_of("</a?_offset=10>; rel=\"next\""), Some("/a?_offset=10".to_owned()));
        assert_eq!(next_of("<http://h:1/a?x=1,2>; rel=\"prev\", <http://h:1/b>; rel=\"next\""), Some("/b".to_owned()));
        assert_eq!(next_of("</a>; rel=\"prev\""), None);
    }

    #[test]
    fn a_request_carries_its_token_and_length() {
        let request = Request { token: Some("t"), body: b"{}", ..Request::get("/x") };
        let text = String::from_utf8(request.to_bytes("h:1")).unwrap();
        assert_eq!(text, "GET /x HTTP/1.1\r\nHost: h:1\r\nContent-Length: 2\r\nAuthorization: Bearer t\r\n\r\n{}");
    }
}
