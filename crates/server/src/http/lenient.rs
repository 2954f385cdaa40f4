//! Request lines as people type them: `GET /…/events?status>=500`.
//!
//! `<`, `>` and `"` have to be percent-encoded in a request line, and the HTTP library refuses one where they are not;
//! yet curl and many clients send them as they are. This stands between the socket and the library and encodes them,
//! in request lines only. To know where a request line begins it follows the framing of HTTP/1.1 by `Content-Length`;
//! as soon as it meets anything else (HTTP/2, chunked bodies, upgrades) it passes the rest of the connection through.
//!
//! The library counts the time for a head from the moment it knows the version of HTTP, so the time for the first head
//! is counted here: else a connection that never sends one would keep its place for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A head longer than this is passed through; the library refuses it.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How a connection of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose request lines are mended on the way in.
#[derive(Debug)]
pub(crate) struct Lenient<S> {
    inner: S,
    state: State,
    /// Until the first head is there: when it has to be.
    first_head: Option<Pin<Box<Sleep>>>,
    /// Received, and not looked at yet.
    pending: Vec<u8>,
    /// Ready to be read, from `ready_at` on.
    ready: Vec<u8>,
    ready_at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a request.
    Head,
    /// So many bytes of a body to come.
    Body(u64),
    /// Not followed any more.
    Through,
}

impl<S> Lenient<S> {
    /// A connection that has `head_time_max` for its first head.
    pub(crate) fn new(inner: S, head_time_max: Duration) -> Self {
        let first_head = Some(Box::pin(sleep(head_time_max)));
        Self { inner, state: State::Head, first_head, pending: Vec::new(), ready: Vec::new(), ready_at: 0 }
    }

    /// Looks at what is pending at the beginning of a request. False when more is needed.
    fn take_head(&mut self) -> bool {
        // Some clients end a body with a line break too many.
        let breaks = self.pending.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.pending.drain(..breaks);
        if self.pending.starts_with(PREFACE) || self.pending.len() > HEAD_BYTES_MAX {
            return self.pass_through();
        }
        if PREFACE.starts_with(&self.pending) {
            return false;
        }
        let Some(end) = head_end(&self.pending) else { return false };
        let head = &self.pending[..end];
        let line_end = memchr::memchr(b'\n', head).unwrap_or(end);
        let Some(body) = body_bytes(&head[line_end..]) else { return self.pass_through() };
        for byte in &head[..line_end] {
            match byte {
                b'<' => self.ready.extend_from_slice(b"%3C"),
                b'>' => self.ready.extend_from_slice(b"%3E"),
                b'"' => self.ready.extend_from_slice(b"%22"),
                other => self.ready.push(*other),
            }
        }
        self.ready.extend_from_slice(&head[line_end..]);
        self.pending.drain(..end);
        let here = self.pending.len().min(usize::try_from(body).unwrap_or(usize::MAX));
        self.ready.extend(self.pending.drain(..here));
        self.state = if body > here as u64 { State::Body(body - here as u64) } else { State::Head };
        self.first_head = None;
        true
    }

    fn pass_through(&mut self) -> bool {
        self.ready.append(&mut self.pending);
        self.state = State::Through;
        self.first_head = None;
        true
    }

    /// Fails when the first head is not there in time; else sees to it that the task is woken then.
    fn check_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.first_head.as_mut().map(|time| time.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Err(io::Error::new(io::ErrorKind::TimedOut, "no request came")),
            _ => Ok(()),
        }
    }
}

/// Where a head ends: after an empty line, with or without carriage returns.
fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match bytes.get(at + 1..)? {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// The length of the body that the headers announce; `None` when they announce it in another way.
fn body_bytes(headers: &[u8]) -> Option<u64> {
    let mut length = 0;
    for line in headers.split(|byte| *byte == b'\n') {
        let colon = memchr::memchr(b':', line).unwrap_or(0);
        let name = &line[..colon];
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(&line[colon + 1..]).ok()?.trim().parse().ok()?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") || name.eq_ignore_ascii_case(b"upgrade") {
            return None;
        }
    }
    Some(length)
}

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.ready_at < this.ready.len() {
                let length = (this.ready.len() - this.ready_at).min(buffer.remaining());
                buffer.put_slice(&this.ready[this.ready_at..this.ready_at + length]);
                this.ready_at += length;
                return Poll::Ready(Ok(()));
            }
            this.ready.clear();
            this.ready_at = 0;
            let before = buffer.filled().len();
            if this.state == State::Head && !this.pending.is_empty() && this.take_head() {
                continue;
            }
            match this.state {
                State::Through => return Pin::new(&mut this.inner).poll_read(context, buffer),
                State::Head => {
                    this.check_time(context)?;
                    ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
                    let received = &buffer.filled()[before..];
                    let ended = received.is_empty();
                    this.pending.extend_from_slice(received);
                    buffer.set_filled(before);
                    if ended {
                        this.pass_through();
                        if this.ready.is_empty() {
                            return Poll::Ready(Ok(()));
                        }
                    }
                }
                State::Body(left) => {
                    ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
                    let received = buffer.filled().len() - before;
                    let own = usize::try_from(left).unwrap_or(usize::MAX).min(received);
                    this.pending.extend_from_slice(&buffer.filled()[before + own..]);
                    buffer.set_filled(before + own);
                    let left = left - own as u64;
                    this.state = if left == 0 { State::Head } else { State::Body(left) };
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lenient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, buffers)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What the library reads when `sent` comes in pieces of `step` bytes.
    async fn read(sent: &[u8], step: usize) -> String {
        let (mut writer, reader) = tokio::io::duplex(step);
        let sent = sent.to_vec();
        let writing = tokio::spawn(async move {
            for piece in sent.chunks(step) {
                writer.write_all(piece).await.unwrap();
            }
        });
        let mut out = Vec::new();
        Lenient::new(reader, Duration::from_secs(60)).read_to_end(&mut out).await.unwrap();
        writing.await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn request_lines_are_mended_and_nothing_else() {
        let get = "GET /a?b>=5&c<\"x\" HTTP/1.1\r\nhost: <x>\r\n\r\n";
        let mended = "GET /a?b%3E=5&c%3C%22x%22 HTTP/1.1\r\nhost: <x>\r\n\r\n";
        let post = "POST /a?b>1 HTTP/1.1\r\nContent-Length: 7\r\n\r\n<GET />";
        let post_mended = "POST /a?b%3E1 HTTP/1.1\r\nContent-Length: 7\r\n\r\n<GET />";
        let chunked = "POST /a?b>1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n<>\r\n0\r\n\r\n";
        for step in [1, 2, 3, 7, 50, 1000] {
            assert_eq!(
                read(format!("{get}{post}{get}").as_bytes(), step).await,
                format!("{mended}{post_mended}{mended}"),
                "{step}"
            );
            assert_eq!(read(chunked.as_bytes(), step).await, chunked, "{step}");
            assert_eq!(
                read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n<>", step).await,
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n<>",
                "{step}"
            );
            assert_eq!(read(b"GET /cut>off", step).await, "GET /cut>off", "{step}");
            assert_eq!(read(b"", step).await, "");
        }
    }

    #[tokio::test]
    async fn empty_lines_before_and_no_carriage_returns() {
        for step in [1, 5, 1000] {
            assert_eq!(read(b"\r\nGET /?a>1 HTTP/1.1\r\n\r\n", step).await, "GET /?a%3E1 HTTP/1.1\r\n\r\n", "{step}");
            assert_eq!(
                read(b"GET /?a>1 HTTP/1.1\nhost: <\n\n", step).await,
                "GET /?a%3E1 HTTP/1.1\nhost: <\n\n",
                "{step}"
            );
        }
    }

    #[tokio::test]
    async fn a_first_head_that_does_not_come_ends_the_connection() {
        for sent in [b"".as_slice(), b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n", b"PRI * HTTP"] {
            let (mut writer, reader) = tokio::io::duplex(100);
            writer.write_all(sent).await.unwrap();
            let read = Lenient::new(reader, Duration::from_millis(1)).read_to_end(&mut Vec::new()).await;
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut, "{sent:?}");
        }
    }
}
