//! The doors that are no HTTP: datagrams, connections, and files that are followed.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{planted, secrets_in, texts};
use crate::server::{EVERLOG, Server, program, until};
use crate::syslog::{listening, wait_for};

/// What is sent by one way, as the application of this name.
fn messages(application: &str) -> Vec<String> {
    let line = |text: &str| format!("<11>1 2026-10-11T22:14:15.003Z web1 {application} - - - {text}");
    let data = "[a@1 password=\"hunter2planted\" url=\"https://bob:pw7urlplanted@shop.example/?email=planted@mail.example\" \
        authorization=\"Bearer Zm9vYmFyplanted1\"]";
    let mut messages: Vec<String> =
        texts().as_array().unwrap().iter().map(|text| line(text.as_str().unwrap())).collect();
    messages.push(format!("<11>1 2026-10-11T22:14:15.003Z web1 {application} - - {data} paid"));
    messages.push(line(&planted().to_string()));
    messages.push(format!("<11>Oct 11 22:14:15 web1 {application}: {}", texts()[0].as_str().unwrap()));
    messages
}

/// Syslog by datagrams and by a connection.
pub(super) async fn plant_by_syslog(server: &Server) {
    let address = listening(server, "listen_syslog");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let by_datagram = messages("datagrams");
    for message in &by_datagram {
        socket.send_to(message.as_bytes(), &address).unwrap();
    }
    let by_connection = messages("connections");
    let counted: String = by_connection.iter().map(|message| format!("{} {message}", message.len())).collect();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(counted.as_bytes()).await.unwrap();
    wait_for(server, "source=datagrams&_limit=100", by_datagram.len()).await;
    wait_for(server, "source=connections&_limit=100", by_connection.len()).await;
}

/// GELF by datagrams and by a connection.
pub(super) async fn plant_by_gelf(server: &Server) {
    let address = listening(server, "listen_gelf");
    let event = planted();
    let message = |host: &str, text: &Value| {
        json!({"version": "1.1", "host": host, "short_message": text, "full_message": text, "_password": "hunter2planted",
            "_url": event["url"], "_request": event["request"].to_string(), "_headers": event["headers"], "_card": event["card"]})
        .to_string()
    };
    let texts = texts();
    let texts = texts.as_array().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    for text in texts {
        socket.send_to(message("datagrams", text).as_bytes(), &address).unwrap();
        stream.write_all(format!("{}\0", message("connections", text)).as_bytes()).await.unwrap();
    }
    for host in ["datagrams", "connections"] {
        wait_for(server, &format!("host={host}&_limit=100"), texts.len()).await;
    }
}

/// Lines of a file that is followed. What the follower keeps for itself has none of them either.
pub(super) async fn plant_in_a_followed_file(server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    let plain: String = texts()
        .as_array()
        .unwrap()
        .iter()
        .map(|text| format!("2026-01-02 03:04:05 ERROR {}\n", text.as_str().unwrap()))
        .collect();
    let access = "203.0.113.9 - - [02/Jan/2026:03:04:05 +0000] \"GET /checkout?email=planted%40mail.example&token=hunter2planted HTTP/1.1\" 200 7 \
        \"https://shop.example/?mail=planted@mail.example\" \"curl/8.0\"\n";
    std::fs::write(folder.path().join("lines.log"), plain).unwrap();
    std::fs::write(folder.path().join("json.log"), format!("{}\n", planted())).unwrap();
    std::fs::write(folder.path().join("access.log"), access).unwrap();
    let mut follower = program(EVERLOG, folder.path())
        .args(["import", "--follow", "*.log", "--zone", "UTC", "--state", "state.json"])
        .env("EVERLOG_URL", server.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let expected = texts().as_array().unwrap().len() + 2;
    until("the lines of all files", async || {
        let events = server.events("_limit=1000").await;
        let of_files = events.iter().filter(|event| event["file"].is_string()).count();
        (of_files >= expected).then_some(())
    })
    .await;
    follower.kill().unwrap();
    follower.wait().unwrap();
    let state = std::fs::read(Path::new(folder.path()).join("state.json")).unwrap();
    assert_eq!(secrets_in(&state).collect::<Vec<_>>(), [""; 0], "{}", String::from_utf8_lossy(&state));
}
