use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::notify::{Message, SystemNames};

/// A server that tells what it got, and gives the same answer to all.
async fn sink(answer: String) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut part = [0; 4096];
            while !is_whole(&request) {
                let length = stream.read(&mut part).await.unwrap_or(0);
                if length == 0 {
                    break;
                }
                request.extend_from_slice(&part[..length]);
            }
            sender.send(String::from_utf8(request).unwrap()).ok();
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    (address, receiver)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn channel(settings: Value) -> Channel {
    Channel::parse("ops", &settings, None).unwrap()
}

fn message() -> Message {
    let headers = vec![("X-Everlog-Signature".to_owned(), "t=1,v1=ab".to_owned())];
    Message::Http(HttpMessage {
        body: b"{\"text\":\"x\"}".to_vec(),
        content_type: "application/json".to_owned(),
        headers,
    })
}

#[tokio::test]
async fn a_message_is_posted_with_the_headers_of_both() {
    let (address, mut got) = sink(answer("200 OK", "", "ok")).await;
    let given = json!({
        "kind": "webhook", "url": format!("http://{address}/in?key=1"), "allow_private": true,
        "headers": {"X-Key": "k", "X-Everlog-Signature": "forged"},
    });
    let sent = Transport::new(Arc::new(SystemNames)).deliver(&channel(given), &message()).await.unwrap();
    assert_eq!(sent, Delivered { answer: "200 ok".to_owned(), missed: Vec::new() });
    let request = got.recv().await.unwrap();
    assert!(
        request.starts_with("POST /in?key=1 HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{\"text\":\"x\"}"),
        "{request}"
    );
    for line in ["x-key: k", "x-everlog-signature: t=1,v1=ab", "content-type: application/json"] {
        assert!(request.lines().any(|found| found == line), "{line}: {request}");
    }
    assert!(!request.contains("forged"));
}

async fn check(answer: String, expected: (bool, &str)) {
    let (address, mut got) = sink(answer).await;
    let url = format!("http://{address}/services/hushhushhushhush");
    let channel = channel(json!({"kind": "slack", "url": url, "allow_private": true}));
    let failed = Transport::new(Arc::new(SystemNames)).deliver(&channel, &message()).await.unwrap_err();
    assert!(failed.permanent == expected.0 && failed.reason.contains(expected.1), "{failed:?}");
    assert!(!failed.reason.contains("hush"), "{failed:?}");
    got.recv().await.unwrap();
    assert!(got.try_recv().is_err(), "it was asked once");
}

#[tokio::test]
async fn an_answer_is_understood_and_no_redirect_followed() {
    check(answer("404 Not Found", "", "channel_not_found"), (true, "the channel of this webhook is gone")).await;
    check(
        answer("500 Oh", "", "no /services/hushhushhushhush"),
        (false, "answered 500 no [REDACTED]: a later attempt"),
    )
    .await;
    check(answer("302 Found", "location: http://127.0.0.1:9/x\r\n", ""), (false, "a redirect to http://127.0.0.1:9"))
        .await;
    check(answer("308 Moved", "location: http://10.0.0.1/hush\r\n", ""), (true, "never followed")).await;
    check(
        "HTTP/1.1 503 Oh\r\ncontent-length: 100000000\r\n\r\nx".to_owned() + &"y".repeat(200_000),
        (false, "503 xyy"),
    )
    .await;
    check("hello\r\n\r\n".to_owned(), (false, "127.0.0.1 cannot be reached: ")).await;
    check(String::new(), (false, "127.0.0.1 cannot be reached: ")).await;
}

/// Knows one name, under another address each time it is asked, the last for ever.
struct Fake(Vec<&'static str>, AtomicUsize);

impl Names for Fake {
    fn look_up(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let at = self.1.fetch_add(1, Ordering::Relaxed).min(self.0.len() - 1);
        let found = self.0[at].split(' ').map(|address| address.parse().unwrap()).collect();
        async move { if host == "hooks.example" { Ok(found) } else { Err(io::ErrorKind::NotFound.into()) } }.boxed()
    }
}

async fn named(addresses: &[&'static str], allow_private: bool) -> (Result<Delivered, NotDelivered>, bool) {
    let (address, mut got) = sink(answer("200 OK", "", "ok")).await;
    let url = format!("http://hooks.example:{}/x", address.port());
    let channel = channel(json!({"kind": "webhook", "url": url, "allow_private": allow_private}));
    let transport = Transport::new(Arc::new(Fake(addresses.to_vec(), AtomicUsize::new(0))));
    (transport.deliver(&channel, &message()).await, got.try_recv().is_ok())
}

#[tokio::test]
async fn what_a_name_leads_to_is_judged_when_it_is_connected_to() {
    for inside in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1 127.0.0.1", "169.254.169.254", "fd00:ec2::254"] {
        let (sent, arrived) = named(&[inside], false).await;
        let failed = sent.unwrap_err();
        assert!(failed.permanent && failed.reason.contains("hooks.example is ") && !arrived, "{failed:?}");
    }
    let (sent, arrived) = named(&["127.0.0.1"], true).await;
    assert!(sent.is_ok() && arrived, "{sent:?}");
}

/// What was settled before the rule for addresses changed, or by hand.
#[tokio::test]
async fn an_address_in_a_url_is_judged_too() {
    let (address, mut got) = sink(answer("200 OK", "", "ok")).await;
    let mut channel = channel(json!({"kind": "webhook", "url": format!("http://{address}"), "allow_private": true}));
    channel.allow_private = false;
    let failed = Transport::new(Arc::new(SystemNames)).deliver(&channel, &message()).await.unwrap_err();
    assert!(failed.permanent && failed.reason.contains("allow_private"), "{failed:?}");
    assert!(got.try_recv().is_err());
}

#[tokio::test]
async fn a_name_that_there_is_not_may_be_there_later() {
    let channel = channel(json!({"kind": "webhook", "url": "https://nowhere.example/x"}));
    let transport = Transport::new(Arc::new(Fake(vec!["127.0.0.1"], AtomicUsize::new(0))));
    let failed = transport.deliver(&channel, &message()).await.unwrap_err();
    assert!(!failed.permanent && failed.reason.starts_with("nowhere.example cannot be reached"), "{failed:?}");
}
