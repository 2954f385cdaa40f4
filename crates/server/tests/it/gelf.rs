//! GELF over UDP, TCP and HTTP, by plain sockets.

use std::net::UdpSocket;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::server::Server;
use crate::syslog::{listening, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn three_ways_in() {
    let mut server = Server::start_with(&[("EVERLOG_LISTEN_GELF", "127.0.0.1:0")]).await;
    let address = listening(&server, "listen_gelf");
    let message = |way: &str| {
        json!({"version": "1.1", "host": "web1", "short_message": way, "level": 3, "_order": 7}).to_string()
    };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(message("datagram").as_bytes(), &address).unwrap();
    let long = json!({"short_message": "pieces", "_data": "x".repeat(20_000)}).to_string();
    let pieces: Vec<&[u8]> = long.as_bytes().chunks(8000).collect();
    for (number, piece) in pieces.iter().enumerate().rev() {
        let head = [0x1e, 0x0f, 1, 2, 3, 4, 5, 6, 7, 8, number as u8, pieces.len() as u8];
        socket.send_to(&[&head, *piece].concat(), &address).unwrap();
    }
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(format!("{}\0{}\0", message("first"), message("second")).as_bytes()).await.unwrap();
    let sent = server.request(reqwest::Method::POST, "/gelf").body(message("http")).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    server.post("/gelf", "no json").await.expect(400);
    for way in ["datagram", "first", "second", "http"] {
        let found = wait_for(&server, &format!("message={way}"), 1).await;
        assert_eq!(
            (&found[0]["order"], &found[0]["level"], &found[0]["host"]),
            (&json!(7), &json!("error"), &json!("web1"))
        );
    }
    let found = wait_for(&server, "message=pieces", 1).await;
    assert_eq!(found[0]["data"].as_str().unwrap().len(), 20_000);
    drop(stream);
    server.stop().await;
}
