//! The dialogue with a server for mail, as RFC 5321 has it, with the extensions for encryption and passwords.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::{NotDelivered, innermost, told};

/// How long a reply is waited for.
const REPLY_TIME: Duration = Duration::from_secs(30);
/// Bytes of a line of a reply, and lines of one: the standard has 512, and servers have a dozen extensions.
const LINE_BYTES_MAX: usize = 4096;
const LINES_MAX: usize = 64;

/// What a dialogue can be held over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A dialogue.
pub(super) struct Session {
    host: String,
    stream: BufReader<Box<dyn Stream>>,
    is_encrypted: bool,
    /// What the server can, in capitals, line by line.
    extensions: Vec<String>,
}

/// A reply.
struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, told(&self.lines.join(" ")))
    }
}

impl Session {
    pub(super) fn new(host: &str, stream: Box<dyn Stream>) -> Self {
        Self { host: host.to_owned(), stream: BufReader::new(stream), is_encrypted: false, extensions: Vec::new() }
    }

    /// The same dialogue, from now on for nobody else to read.
    ///
    /// # Errors
    /// When the other side is not who it must be, or does not answer as it must; in words.
    pub(super) async fn encrypt(self, config: Arc<ClientConfig>) -> Result<Self, String> {
        // What came before its time was put in by somebody on the way, to be taken for a part of what is encrypted.
        if !self.stream.buffer().is_empty() {
            return Err("something was said that nobody asked for".to_owned());
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let connecting = TlsConnector::from(config).connect(name, self.stream.into_inner());
        let stream = match timeout(REPLY_TIME, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(innermost(&error)),
            Err(_) => return Err("no answer in time".to_owned()),
        };
        let stream: Box<dyn Stream> = Box::new(stream);
        Ok(Self { stream: BufReader::new(stream), is_encrypted: true, extensions: Vec::new(), host: self.host })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Whether the server has an extension, which is named in capitals.
    pub(super) fn offers(&self, extension: &str) -> bool {
        self.extensions.iter().any(|line| line.split_whitespace().next() == Some(extension))
    }

    pub(super) async fn expect_greeting(&mut self) -> Result<(), NotDelivered> {
        let reply = self.reply().await?;
        self.positive(reply, "is it a server for mail?").map(drop)
    }

    /// Says who we are, and hears what the server can.
    pub(super) async fn hello(&mut self, name: &str) -> Result<(), NotDelivered> {
        let reply = self.command(&format!("EHLO {name}")).await?;
        if matches!(reply.code, 500..=504) {
            let reply = self.command(&format!("HELO {name}")).await?;
            return self.positive(reply, "").map(drop);
        }
        let reply = self.positive(reply, "")?;
        self.extensions = reply.lines.iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        Ok(())
    }

    pub(super) async fn start_encryption(&mut self) -> Result<(), NotDelivered> {
        let reply = self.command("STARTTLS").await?;
        self.positive(reply, "it offered encryption and has none now").map(drop)
    }

    pub(super) async fn log_in(&mut self, name: &str, password: &str) -> Result<(), NotDelivered> {
        const HINT: &str = "see user and password in smtp of the channel";
        let has = |mechanism: &str| {
            let lines = self.extensions.iter().filter_map(|line| line.strip_prefix("AUTH"));
            lines.flat_map(|line| line.split([' ', '='])).any(|word| word == mechanism)
        };
        let reply = if has("PLAIN") {
            let both = STANDARD.encode(format!("\0{name}\0{password}"));
            self.command(&format!("AUTH PLAIN {both}")).await?
        } else if has("LOGIN") {
            let mut reply = self.command("AUTH LOGIN").await?;
            for answer in [name, password] {
                if reply.code == 334 {
                    reply = self.command(&STANDARD.encode(answer)).await?;
                }
            }
            reply
        } else {
            let hint = "takes no password by PLAIN or LOGIN: leave user and password out, or use smtps://";
            return Err(NotDelivered::never(format!("{} {hint}", self.host)));
        };
        if reply.code / 100 == 3 {
            return Err(NotDelivered::later(format!("{} asked for more than a name and a password", self.host)));
        }
        self.positive(reply, HINT).map(drop)
    }

    pub(super) async fn from(&mut self, address: &str, utf8: bool) -> Result<(), NotDelivered> {
        let utf8 = if utf8 { " SMTPUTF8" } else { "" };
        let reply = self.command(&format!("MAIL FROM:<{address}>{utf8}")).await?;
        self.positive(reply, "see from of the channel").map(drop)
    }

    pub(super) async fn to(&mut self, address: &str) -> Result<(), NotDelivered> {
        let reply = self.command(&format!("RCPT TO:<{address}>")).await?;
        self.positive(reply, "").map(drop)
    }

    /// Hands the mail over. What the server said then.
    pub(super) async fn data(&mut self, mail: &[u8]) -> Result<String, NotDelivered> {
        let reply = self.command("DATA").await?;
        if reply.code != 354 {
            self.positive(reply, "")?;
            return Err(NotDelivered::later(format!("{} does not say that the mail may come", self.host)));
        }
        self.write(&stuffed(mail)).await?;
        let reply = self.reply().await?;
        self.positive(reply, "").map(|reply| reply.to_string())
    }

    /// Takes leave. Nobody waits for the answer: the mail is there.
    pub(super) async fn quit(&mut self) {
        let leaving = async {
            self.write(b"QUIT\r\n").await.ok();
            self.stream.shutdown().await.ok();
        };
        timeout(Duration::from_secs(1), leaving).await.ok();
    }

    async fn command(&mut self, line: &str) -> Result<Reply, NotDelivered> {
        if line.contains(char::is_control) {
            return Err(NotDelivered::never("an address has a control character: see from and to of the channel"));
        }
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), NotDelivered> {
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(REPLY_TIME, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error.to_string())),
            Err(_) => Err(self.broken("it reads nothing")),
        }
    }

    async fn reply(&mut self) -> Result<Reply, NotDelivered> {
        match timeout(REPLY_TIME, read(&mut self.stream)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(self.broken(&error.to_string())),
            Err(_) => Err(self.broken("no answer in time")),
        }
    }

    fn broken(&self, reason: &str) -> NotDelivered {
        NotDelivered::later(format!("the connection to {} broke: {reason}", self.host))
    }

    /// # Errors
    /// When the reply is a refusal; `hint` says what to do about one that stays.
    fn positive(&self, reply: Reply, hint: &str) -> Result<Reply, NotDelivered> {
        if matches!(reply.code, 200..=399) {
            return Ok(reply);
        }
        let permanent = reply.code >= 500;
        let hint = if reply.code == 530 { "it asks for more: smtp+starttls://user:password@host" } else { hint };
        let hint = if permanent && !hint.is_empty() { format!(": {hint}") } else { String::new() };
        Err(NotDelivered { permanent, reason: format!("{} answered {reply}{hint}", self.host), wait: None })
    }
}

async fn read(stream: &mut BufReader<Box<dyn Stream>>) -> std::io::Result<Reply> {
    let wrong = |what: &str| std::io::Error::other(what.to_owned());
    let mut lines = Vec::new();
    loop {
        let line = read_line(stream).await?;
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok()).filter(|code| matches!(code, 200..=599));
        let code = code.ok_or_else(|| wrong("it does not speak SMTP"))?;
        let more = line.as_bytes().get(3) == Some(&b'-');
        lines.push(line.get(4..).unwrap_or_default().to_owned());
        if !more {
            return Ok(Reply { code, lines });
        }
        if lines.len() >= LINES_MAX {
            return Err(wrong("a reply without an end"));
        }
    }
}

async fn read_line(stream: &mut BufReader<Box<dyn Stream>>) -> std::io::Result<String> {
    let mut line = Vec::new();
    loop {
        let buffer = stream.fill_buf().await?;
        if buffer.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(buffer.len(), |end| end + 1);
        line.extend(buffer.iter().take(taken));
        stream.consume(taken);
        if line.len() > LINE_BYTES_MAX {
            return Err(std::io::Error::other("a line without an end"));
        }
        if end.is_some() {
            return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
    }
}

/// A mail as it goes over the wire: lines end in one way only, no line is a dot alone but the last. Otherwise what stands
/// in a mail could be taken for commands.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + mail.len() / 64 + 8);
    let mut at_start = true;
    let mut after_return = false;
    for byte in mail {
        let is_end = matches!(byte, b'\r' | b'\n');
        if is_end {
            if !(*byte == b'\n' && after_return) {
                out.extend_from_slice(b"\r\n");
            }
        } else {
            if at_start && *byte == b'.' {
                out.push(b'.');
            }
            out.push(*byte);
        }
        at_start = is_end;
        after_return = *byte == b'\r';
    }
    if !at_start {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_mail_ends_it() {
        for (mail, wire) in [
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            ("", ".\r\n"),
            (".", "..\r\n.\r\n"),
            ("a\r\n.\r\nQUIT\r\n", "a\r\n..\r\nQUIT\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r\n\r\n..b\r\n", "a\r\n\r\n...b\r\n.\r\n"),
        ] {
            assert_eq!(String::from_utf8(stuffed(mail.as_bytes())).unwrap(), wire, "{mail:?}");
        }
    }
}
