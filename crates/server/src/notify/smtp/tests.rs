use std::io;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::letter::tests::message;
use super::session::Stream;
use super::*;
use crate::notify::{Kind, Message, Names};

/// How a server for mail behaves.
#[derive(Clone, Default)]
struct Behaviour {
    /// Lines of the answer to EHLO.
    extensions: Vec<&'static str>,
    /// Encrypted from the first byte.
    whole: bool,
    /// Has no EHLO.
    old: bool,
    /// Beginnings of commands, and what is answered instead of what is usual. The text of a mail is `.`.
    answers: Vec<(&'static str, &'static str)>,
}

/// A server for mail that keeps what it heard.
struct Sink {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    transport: Transport,
}

fn encryption() -> (TlsAcceptor, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(vec!["mail.example".to_owned()]).unwrap();
    let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![certificate.clone()], key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (TlsAcceptor::from(Arc::new(server)), client.with_root_certificates(roots).with_no_client_auth())
}

/// All names are this machine.
struct Here;

impl Names for Here {
    fn look_up(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async { Ok(vec![[127, 0, 0, 1].into()]) }.boxed()
    }
}

async fn sink(behaviour: Behaviour) -> Sink {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (acceptor, config) = encryption();
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            serve(Box::new(stream), &behaviour, &acceptor, &kept).await.ok();
        }
    });
    let transport = Transport { encryption: Encryption::with(config), ..Transport::new(Arc::new(Here)) };
    Sink { port, heard, transport }
}

async fn serve(
    stream: Box<dyn Stream>,
    behaviour: &Behaviour,
    acceptor: &TlsAcceptor,
    heard: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let hear = |line: &str| heard.lock().unwrap().push(line.to_owned());
    let mut stream = BufReader::new(stream);
    if behaviour.whole {
        let encrypted = acceptor.accept(stream.into_inner()).await?;
        stream = BufReader::new(Box::new(encrypted));
        hear("(encrypted)");
    }
    let instead = |line: &str| behaviour.answers.iter().find(|(start, _)| line.starts_with(start)).map(|(_, say)| *say);
    say(&mut stream, instead("").unwrap_or("220 ready")).await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end().to_owned();
        hear(&line);
        let usual = match line.split(' ').next().unwrap_or_default() {
            "EHLO" if behaviour.old => "502 what".to_owned(),
            "EHLO" => format!(
                "250-hi\r\n{}250 HELP",
                behaviour.extensions.iter().map(|one| format!("250-{one}\r\n")).collect::<String>()
            ),
            "DATA" => "354 go on".to_owned(),
            "STARTTLS" => "220 go on".to_owned(),
            "AUTH" if line == "AUTH LOGIN" => "334 VXNlcm5hbWU6".to_owned(),
            "AUTH" => "235 welcome".to_owned(),
            "MAIL" | "RCPT" | "HELO" => "250 fine".to_owned(),
            "QUIT" => return Ok(()),
            _ if line == STANDARD.encode("bob") => "334 UGFzc3dvcmQ6".to_owned(),
            _ => "235 welcome".to_owned(),
        };
        let usual = instead(&line).map_or(usual, str::to_owned);
        say(&mut stream, &usual).await?;
        if line == "STARTTLS" && usual.starts_with("220") {
            let encrypted = acceptor.accept(stream.into_inner()).await?;
            stream = BufReader::new(Box::new(encrypted));
            hear("(encrypted)");
        }
        if line == "DATA" && usual.starts_with("354") {
            let mail = mail(&mut stream).await?;
            hear(&mail);
            say(&mut stream, instead(".").unwrap_or("250 queued as 7")).await?;
        }
    }
}

async fn say(stream: &mut BufReader<Box<dyn Stream>>, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await
}

async fn mail(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<String> {
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line == ".\r\n" || line.is_empty() {
            return Ok(mail);
        }
        mail.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

impl Sink {
    async fn send(&self, scheme: &str, login: &str, to: &[&str]) -> Result<Delivered, NotDelivered> {
        let smtp = format!("{scheme}://{login}mail.example:{}", self.port);
        let given =
            json!({"kind": "email", "smtp": smtp, "from": "Everlog <e@x.example>", "to": to, "allow_private": true});
        let channel = Channel::parse("ops", &given, None).unwrap();
        self.transport.deliver(&channel, &Message::Mail(message("Division by zero", "first\n.\n..last"))).await
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// Sends a mail, and checks that the commands heard begin with those expected, in order.
async fn check(behaviour: Behaviour, scheme: &str, login: &str, expected: &[&str]) -> Result<Delivered, NotDelivered> {
    let sink = sink(behaviour).await;
    let sent = sink.send(scheme, login, &["a@x.example", "B <b@x.example>"]).await;
    let heard = sink.heard();
    let mut rest = heard.iter();
    for start in expected {
        assert!(rest.any(|line| line.starts_with(start)), "{scheme} {start}: {heard:?} {sent:?}");
    }
    sent
}

fn offering(extensions: &[&'static str]) -> Behaviour {
    Behaviour { extensions: extensions.to_vec(), ..Behaviour::default() }
}

const SENT: [&str; 4] = ["MAIL FROM:<e@x.example>", "RCPT TO:<a@x.example>", "RCPT TO:<b@x.example>", "DATA"];

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let sink = sink(offering(&["8BITMIME"])).await;
    let sent = sink.send("smtp", "", &["a@x.example"]).await.unwrap();
    assert_eq!(sent, Delivered { answer: "250 queued as 7".to_owned(), missed: Vec::new() });
    let heard = sink.heard();
    let mail = heard.iter().find(|line| line.contains("Subject:")).unwrap();
    assert!(mail.contains("Subject: Division by zero\r\n") && mail.contains("\r\nfirst\r\n.\r\n..last\r\n"), "{mail}");
    assert!(heard[0] == "EHLO [127.0.0.1]" && !heard.contains(&"STARTTLS".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn the_scheme_says_how_the_connection_is_kept() {
    let encrypted = [&["STARTTLS", "(encrypted)", "EHLO"][..], &SENT].concat();
    check(offering(&["STARTTLS"]), "smtp", "", &encrypted).await.unwrap();
    check(offering(&["StartTLS"]), "smtp+starttls", "", &encrypted).await.unwrap();
    let whole = Behaviour { whole: true, ..Behaviour::default() };
    check(whole, "smtps", "", &[&["(encrypted)", "EHLO"][..], &SENT].concat()).await.unwrap();
    let old = Behaviour { old: true, ..Behaviour::default() };
    check(old, "smtp", "", &[&["EHLO", "HELO"][..], &SENT].concat()).await.unwrap();
    let failed = check(offering(&[]), "smtp+starttls", "", &["EHLO"]).await.unwrap_err();
    assert!(!failed.permanent && failed.reason.contains("offers no STARTTLS"), "{failed:?}");
}

#[tokio::test]
async fn a_password_goes_where_nobody_reads_it() {
    let plain = format!("AUTH PLAIN {}", STANDARD.encode("\0bob\0hush/1"));
    let (name, password) = (STANDARD.encode("bob"), STANDARD.encode("hush/1"));
    let login = "bob:hush%2F1@";
    let encrypted = ["(encrypted)", "EHLO", &plain, "MAIL"];
    check(offering(&["STARTTLS", "AUTH LOGIN PLAIN"]), "smtp", login, &encrypted).await.unwrap();
    // This machine is where the settings allow to go.
    check(offering(&["AUTH=PLAIN"]), "smtp", login, &[&plain, "MAIL"]).await.unwrap();
    check(offering(&["AUTH LOGIN"]), "smtp", login, &["AUTH LOGIN", &name, &password, "MAIL"]).await.unwrap();
    let refusing = Behaviour { answers: vec![("AUTH", "535 5.7.8 not hush/1")], ..offering(&["AUTH PLAIN"]) };
    let failed = check(refusing, "smtp", login, &["AUTH"]).await.unwrap_err();
    assert!(
        failed.permanent && failed.reason.contains("535 5.7.8 not [REDACTED]: see user and password"),
        "{failed:?}"
    );
    let failed = check(offering(&["AUTH XOAUTH2"]), "smtp", login, &["EHLO"]).await.unwrap_err();
    assert!(failed.permanent && failed.reason.contains("PLAIN or LOGIN"), "{failed:?}");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_checked_is_worth_nothing() {
    for (scheme, whole, arrives) in [("smtp", false, true), ("smtp+starttls", false, false), ("smtps", true, false)] {
        let mut sink = sink(Behaviour { whole, ..offering(&["STARTTLS"]) }).await;
        // Another authority than that of the server.
        sink.transport.encryption = Encryption::with(encryption().1);
        let sent = sink.send(scheme, "", &["a@x.example"]).await;
        assert_eq!(sent.is_ok(), arrives, "{scheme}: {sent:?}");
        let is_told = |failed: &NotDelivered| !failed.permanent && failed.reason.contains("cannot be encrypted: ");
        assert!(sent.as_ref().err().is_none_or(is_told), "{sent:?}");
    }
}

#[tokio::test]
async fn encryption_that_is_refused_is_missed_by_nobody_who_did_without() {
    for (scheme, arrives) in [("smtp", true), ("smtp+starttls", false)] {
        let behaviour = Behaviour { answers: vec![("STARTTLS", "454 not now")], ..offering(&["STARTTLS"]) };
        let sent = check(behaviour, scheme, "", &["STARTTLS"]).await;
        assert_eq!(sent.is_ok(), arrives, "{sent:?}");
    }
    let answers = vec![("STARTTLS", "454 not now"), ("MAIL", "530 encrypt")];
    let failed =
        check(Behaviour { answers, ..offering(&["STARTTLS"]) }, "smtp", "", &["STARTTLS", "EHLO", "MAIL"]).await;
    let failed = failed.unwrap_err();
    assert!(!failed.permanent && failed.reason.contains("530") && failed.reason.contains("454 not now"), "{failed:?}");
}

/// What somebody on the way says in the name of the server before encryption is not taken for what the server says.
#[tokio::test]
async fn nothing_is_put_in_before_encryption() {
    let behaviour =
        Behaviour { answers: vec![("STARTTLS", "220 go on\r\n250-x\r\n250 AUTH PLAIN")], ..offering(&["STARTTLS"]) };
    let failed = check(behaviour, "smtp+starttls", "bob:hush@", &["STARTTLS"]).await.unwrap_err();
    assert!(failed.reason.contains("something was said that nobody asked for"), "{failed:?}");
}

#[tokio::test]
async fn a_refusal_says_whether_another_attempt_can_help() {
    for (start, answer, permanent, told) in [
        ("", "554 no service here", true, "mail.example answered 554 no service here: is it a server for mail?"),
        ("", "421 too busy", false, "421 too busy"),
        ("", "SSH-2.0-OpenSSH", false, "it does not speak SMTP"),
        ("MAIL", "550 5.7.1 not from there", true, "550 5.7.1 not from there: see from of the channel"),
        ("MAIL", "451 later", false, "451 later"),
        ("MAIL", "530 5.7.0 who are you", true, "it asks for more: smtp+starttls://user"),
        ("RCPT", "550 5.1.1 nobody", true, "nobody gets it: mail.example answered 550 5.1.1 nobody; "),
        ("RCPT", "450 greylisted", false, "450 greylisted"),
        ("DATA", "554 no", true, "554 no"),
        ("DATA", "250 what", false, "does not say that the mail may come"),
        (".", "552 too large", true, "552 too large"),
        (".", "452-full\r\n452 up", false, "452 full up"),
    ] {
        let behaviour = Behaviour { answers: vec![(start, answer)], ..Behaviour::default() };
        let failed = check(behaviour, "smtp", "", &[]).await.unwrap_err();
        assert!(failed.permanent == permanent && failed.reason.contains(told), "{start} {answer}: {failed:?}");
    }
}

#[tokio::test]
async fn a_reply_without_an_end_is_given_up() {
    let line: &'static str = "250-x\r\n".repeat(1000).leak();
    let long: &'static str = "x".repeat(100_000).leak();
    for (start, answer) in [("EHLO", line), ("MAIL", long)] {
        let behaviour = Behaviour { answers: vec![(start, answer)], ..Behaviour::default() };
        let failed = check(behaviour, "smtp", "", &[]).await.unwrap_err();
        assert!(!failed.permanent && failed.reason.contains("without an end"), "{failed:?}");
    }
}

#[tokio::test]
async fn one_who_is_refused_keeps_nobody_else_from_it() {
    let answers = vec![("RCPT TO:<a@x.example>", "550 gone"), ("RCPT TO:<c@x.example>", "451 later")];
    let sink = sink(Behaviour { answers, ..Behaviour::default() }).await;
    let sent = sink.send("smtp", "", &["a@x.example", "b@x.example", "c@x.example"]).await.unwrap();
    let missed: Vec<_> = sent.missed.iter().map(|missed| (missed.address.as_str(), missed.permanent)).collect();
    assert_eq!(missed, [("a@x.example", true), ("c@x.example", false)]);
    assert!(sink.heard().iter().any(|line| line.contains("Subject:")));
}

#[tokio::test]
async fn letters_beyond_ascii_need_a_server_that_takes_them() {
    for (extensions, arrives) in [(&["SMTPUTF8"][..], true), (&[][..], false)] {
        let sink = sink(offering(extensions)).await;
        let sent = sink.send("smtp", "", &["käse@x.example"]).await;
        assert_eq!(sent.is_ok(), arrives, "{sent:?}");
        let asked = sink.heard().iter().any(|line| line == "MAIL FROM:<e@x.example> SMTPUTF8");
        assert_eq!(asked, arrives);
    }
}

#[tokio::test]
async fn a_server_inside_is_not_connected_to() {
    let sink = sink(Behaviour::default()).await;
    let smtp = format!("smtp://mail.example:{}", sink.port);
    let given = json!({"kind": "email", "smtp": smtp, "from": "e@x.example", "to": ["a@x.example"]});
    let channel = Channel::parse("ops", &given, None).unwrap();
    assert!(matches!(channel.kind, Kind::Email(_)));
    let failed = sink.transport.deliver(&channel, &Message::Mail(message("s", "t"))).await.unwrap_err();
    assert!(
        failed.permanent && failed.reason.starts_with("mail.example is 127.0.0.1, this very machine"),
        "{failed:?}"
    );
    assert_eq!(sink.heard(), [""; 0]);
}
