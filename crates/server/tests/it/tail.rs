//! The live tail: everything once, in the order of acceptance, across broken connections.

use std::collections::VecDeque;

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{EVENTS, Server, client};

const TAIL: &str = "/api/v1/logs/default/tail";

/// An open tail.
struct Tail {
    response: reqwest::Response,
    pending: Vec<u8>,
    messages: VecDeque<Message>,
}

#[derive(Debug)]
struct Message {
    id: String,
    event: Value,
}

impl Tail {
    /// Opens a tail, after the event with the id `last_event_id` if there is one.
    async fn open(server: &Server, query: &str, last_event_id: &str) -> Self {
        let mut request = server.request(Method::GET, &format!("{TAIL}?{query}"));
        if !last_event_id.is_empty() {
            request = request.header("last-event-id", last_event_id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"].to_str().unwrap()),
            (200, &"text/event-stream")
        );
        Self { response, pending: Vec::new(), messages: VecDeque::new() }
    }

    /// The next event; `None` when the tail has ended.
    async fn next(&mut self) -> Option<Message> {
        while self.messages.is_empty() {
            self.pending.extend_from_slice(&self.response.chunk().await.unwrap()?);
            while let Some(end) = memchr::memmem::find(&self.pending, b"\n\n") {
                let block: Vec<u8> = self.pending.drain(..end + 2).collect();
                self.messages.extend(message(std::str::from_utf8(&block).unwrap()));
            }
        }
        self.messages.pop_front()
    }

    async fn take(&mut self, count: usize) -> Vec<Message> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            taken.push(self.next().await.unwrap());
        }
        taken
    }
}

/// A message, unless it is a sign of life.
fn message(block: &str) -> Option<Message> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = field("data")?;
    Some(Message { id: field("id").unwrap_or_default().to_owned(), event: serde_json::from_str(data).unwrap() })
}

/// Writes batches of five as one of several writers.
async fn write(url: String, writer: usize, batches: usize) {
    let http = client();
    for batch in 0..batches {
        let lines: String = (0..5)
            .map(|item| {
                json!({"id": format!("{writer}-{}", batch * 5 + item), "user": writer.to_string()}).to_string() + "\n"
            })
            .collect();
        let response = http.post(format!("{url}{EVENTS}")).body(lines).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

async fn ids_in_order(server: &Server, query: &str) -> Vec<String> {
    let events = server.events(&format!("{query}&_sort=_sequence&_limit=100000")).await;
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

fn ids(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.event["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_and_what_comes_is_one_sequence() {
    let server = Server::start().await;
    write(server.url().to_owned(), 9, 20).await;
    server.flush().await;
    let mut with_past = Tail::open(&server, "_last=50", "").await;
    let mut only_new = Tail::open(&server, "_last=0", "").await;
    let mut filtered = Tail::open(&server, "user=2", "").await;
    let writers: Vec<_> = (0..4).map(|writer| tokio::spawn(write(server.url().to_owned(), writer, 60))).collect();
    let (past, new) = (with_past.take(50).await, with_past.take(1200).await);
    // A reader that is cut off among the events of the past has no number that stands for those it did not get.
    assert!(past[..49].iter().all(|message| message.id.is_empty()) && !past[49].id.is_empty());
    assert_eq!(ids(&past), (50..100).map(|number| format!("9-{number}")).collect::<Vec<_>>());
    for writer in writers {
        writer.await.unwrap();
    }
    let expected = ids_in_order(&server, "user!=9").await;
    assert_eq!(ids(&new), expected);
    assert_eq!(ids(&only_new.take(1200).await), expected);
    assert_eq!(ids(&filtered.take(300).await), ids_in_order(&server, "user=2").await);
    let numbers: Vec<u64> = new.iter().map(|message| message.id.parse().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers[0] > 100, "{numbers:?}");
}

/// An event that is sent as soon as the tail has answered is in it, however soon that is.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_was_answered_misses_nothing() {
    let server = Server::start().await;
    for round in 0..30 {
        let mut tail = Tail::open(&server, "_last=0", "").await;
        server.send(&json!({"id": round.to_string()})).await;
        assert_eq!(tail.next().await.unwrap().event["id"], round.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_tail_goes_on_where_it_was() {
    let mut server = Server::start().await;
    let mut seen = Vec::new();
    let mut last = String::new();
    for round in 0..4 {
        let writing = tokio::spawn(write(server.url().to_owned(), round, 20));
        let mut tail = Tail::open(&server, "user>=0", if last.is_empty() { "0" } else { &last }).await;
        let some = tail.take(70).await;
        last.clone_from(&some[69].id);
        seen.extend(ids(&some));
        drop(tail);
        writing.await.unwrap();
        match round {
            1 => server.flush().await,
            2 => {
                server.kill9();
                server.restart().await;
            }
            _ => {}
        }
    }
    let mut tail = Tail::open(&server, "user>=0", &last).await;
    seen.extend(ids(&tail.take(400 - seen.len()).await));
    assert_eq!(seen, ids_in_order(&server, "user>=0").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_ends_when_the_server_stops() {
    let mut server = Server::start().await;
    let mut tails = Vec::new();
    for _ in 0..3 {
        tails.push(Tail::open(&server, "", "").await);
    }
    server.send(&json!({"id": "last"})).await;
    server.terminate();
    for tail in &mut tails {
        assert_eq!(tail.next().await.unwrap().event["id"], "last");
        assert!(tail.next().await.is_none());
    }
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_cannot_be_is_refused_at_once() {
    let server = Server::start().await;
    server.send(&json!({"n": 1})).await;
    server.get(&format!("{TAIL}?_last=many")).await.problem(400, "bad_request");
    server.get(&format!("{TAIL}?_last=10001")).await.problem(400, "bad_request");
    server.get("/api/v1/logs/nope/tail").await.problem(404, "unknown_log");
    server.get(&format!("{TAIL}?_q=(")).await.problem(400, "parameter");
}
