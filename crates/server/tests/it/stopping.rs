//! A stop while requests are under way: what was acknowledged is there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::server::{EVENTS, Server, client, until};

/// Sends batches until one is not acknowledged; returns the ids of those that were.
async fn write_until_refused(url: String, writer: usize, acknowledged: Arc<AtomicUsize>) -> Vec<String> {
    let http = client();
    let mut kept = Vec::new();
    for batch in 0.. {
        let ids: Vec<String> = (0..10).map(|item| format!("{writer}-{batch}-{item}")).collect();
        let lines: String = ids.iter().map(|id| json!({"id": id}).to_string() + "\n").collect();
        match http.post(format!("{url}{EVENTS}")).body(lines).send().await {
            Ok(response) if response.status() == 200 => {
                // The receipt is worth something only whole.
                let Ok(receipt) = response.json::<Value>().await else { break };
                assert_eq!(receipt["accepted"], 10);
                kept.extend(ids);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(response) => {
                assert_eq!(response.status(), 503);
                break;
            }
            Err(_) => break,
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_stop_is_there() {
    let mut server = Server::start().await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let write = |writer| tokio::spawn(write_until_refused(server.url().to_owned(), writer, Arc::clone(&acknowledged)));
    let writers: Vec<_> = (0..8).map(write).collect();
    until("acknowledgements", async || (acknowledged.load(Ordering::Relaxed) > 100).then_some(())).await;
    server.stop().await;
    let mut kept = HashSet::new();
    for writer in writers {
        kept.extend(writer.await.unwrap());
    }
    assert!(!server.data().join("server.json").try_exists().unwrap(), "nobody is sent to a server that is gone");
    server.restart().await;
    let events = server.events("_limit=100000&_c=id").await;
    let found: HashSet<String> = events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found.len(), events.len(), "none is there twice");
    assert!(kept.is_subset(&found), "{:?}", kept.difference(&found).collect::<Vec<_>>());
    assert_eq!(server.internal("journal_recovered").await, 0, "a clean stop leaves nothing to recover");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_begun_is_finished() {
    let mut server = Server::start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream
        .write_all(
            format!("POST {EVENTS} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 13\r\n\r\n{{\"begun\"").as_bytes(),
        )
        .await
        .unwrap();
    // Idle ones, before and after their first request, are in nobody's way.
    let idle = TcpStream::connect(server.address()).await.unwrap();
    server.send(&json!({})).await;
    server.terminate();
    until("the stop to begin", async || server.said().contains("stopping").then_some(())).await;
    stream.write_all(b":1}  ").await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"accepted\":1"), "{answer}");
    assert_eq!(server.ended().await.code(), Some(0));
    drop(idle);
    server.restart().await;
    assert_eq!(server.events("begun=1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_all_its_connections_taken_stops_too() {
    let mut server = Server::start_with(&[("EVERLOG_CONNECTIONS_MAX", "3")]).await;
    server.send(&json!({})).await;
    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.push(TcpStream::connect(server.address()).await.unwrap());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_the_start_is_a_clean_one() {
    let mut server = Server::start().await;
    for _ in 0..3 {
        server.stop().await;
        server.restart().await;
    }
    server.kill9();
    server.restart().await;
    server.stop().await;
}
