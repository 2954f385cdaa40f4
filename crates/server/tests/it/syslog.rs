//! Syslog over UDP, TCP and TLS, by plain sockets.

use std::net::UdpSocket;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::server::{Server, until};

/// A server that takes syslog, and its address of a kind.
async fn start(listen: &str, more: &[(&str, &str)]) -> (Server, String) {
    let variables = [&[("EVERLOG_LISTEN_SYSLOG", listen)], more].concat();
    let server = Server::start_with(&variables).await;
    let address = listening(&server, "listen_syslog");
    (server, address)
}

/// The first address under a name in what the server says of itself.
pub(crate) fn listening(server: &Server, name: &str) -> String {
    let running: Value = serde_json::from_slice(&std::fs::read(server.data().join("server.json")).unwrap()).unwrap();
    running[name][0].as_str().unwrap().to_owned()
}

/// Waits until so many events answer a query.
pub(crate) async fn wait_for(server: &Server, query: &str, count: usize) -> Vec<Value> {
    until(query, async || Some(server.events(query).await).filter(|events| events.len() >= count)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_become_events() {
    let (mut server, address) = start("127.0.0.1:0", &[]).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for message in [
        "<165>1 2026-10-11T22:14:15.003Z web1 shop 17 ID47 [a@1 b=\"c\"] paid \u{e9}",
        "<11>failed\nTraceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'sku'\0",
        "<14>app: {\"message\": \"json\", \"order\": 7}",
    ] {
        socket.send_to(message.as_bytes(), &address).unwrap();
    }
    let paid = wait_for(&server, "source=shop", 1).await;
    assert_eq!(
        (&paid[0]["message"], &paid[0]["level"], &paid[0]["pid"]),
        (&json!("paid é"), &json!("notice"), &json!(17))
    );
    assert_eq!(paid[0]["syslog"]["sender"], "127.0.0.1");
    assert_eq!(paid[0]["syslog"]["structured_data"]["a@1"]["b"], "c");
    assert_eq!(wait_for(&server, "exception.type=KeyError", 1).await[0]["message"], "failed");
    assert_eq!(wait_for(&server, "order=7", 1).await[0]["source"], "app");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_lose_nothing() {
    const MESSAGES: usize = 10_000;
    let (server, address) = start("tcp://127.0.0.1:0", &[("EVERLOG_SYSLOG_LOG", "net")]).await;
    let senders = ["lines", "counted"].map(|framing| {
        let address = address.clone();
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut bytes = Vec::new();
            for number in 0..MESSAGES {
                let message = format!("<14>1 2026-10-11T22:14:15Z h {framing} - - - {number}");
                match framing {
                    "lines" => bytes.extend_from_slice(format!("{message}\n").as_bytes()),
                    _ => bytes.extend_from_slice(format!("{} {message}", message.len()).as_bytes()),
                }
            }
            for piece in bytes.chunks(7001) {
                stream.write_all(piece).await.unwrap();
            }
        })
    });
    for sender in senders {
        sender.await.unwrap();
    }
    for framing in ["lines", "counted"] {
        let path = format!("/api/v1/logs/net/events?source={framing}&_limit=10000&_c=message");
        let events = until("all messages", async || {
            let events = server.get(&path).await.expect(200).as_array().unwrap().clone();
            (events.len() >= MESSAGES).then_some(events)
        })
        .await;
        let mut numbers: Vec<usize> =
            events.iter().map(|event| event["message"].as_str().unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>(), "{framing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_the_certificate_of_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files =
        [("EVERLOG_SYSLOG_TLS_CERT", cert.to_str().unwrap()), ("EVERLOG_SYSLOG_TLS_KEY", key.to_str().unwrap())];
    let (mut server, address) = start("tls://127.0.0.1:0", &files).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    let stream = TcpStream::connect(&address).await.unwrap();
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let message = "<14>1 - h secret - - - over TLS";
    stream.write_all(format!("{} {message}", message.len()).as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let found = wait_for(&server, "source=secret", 1).await;
    assert_eq!(found[0]["message"], "over TLS");
    // What is no TLS gets nowhere, and disturbs nobody.
    TcpStream::connect(&address).await.unwrap().write_all(b"<14>plain\n").await.unwrap();
    stream.shutdown().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_keeps_what_was_received() {
    let (mut server, address) = start("tcp://127.0.0.1:0", &[]).await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let text: String = (0..5000).map(|number| format!("<14>app: {number}\n")).collect();
    stream.write_all(text.as_bytes()).await.unwrap();
    wait_for(&server, "source=app&_limit=1", 1).await;
    server.stop().await;
    drop(stream);
    server.restart().await;
    let events = server.events("source=app&_limit=10000").await;
    assert_eq!(events.len(), 5000, "all that had arrived before the stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_named_at_the_start() {
    let output = crate::server::program(crate::server::EVERLOG, &std::env::temp_dir())
        .args(["serve", "--print-config"])
        .env("EVERLOG_LISTEN_SYSLOG", "http://127.0.0.1:1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("expected udp://, tcp:// or tls://"), "{said}");
}
