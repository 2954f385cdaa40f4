//! Producers number their requests: one that was stored is never stored again.

use reqwest::Method;
use serde_json::json;

use crate::answer::Answer;
use crate::server::{EVENTS, Server, ask};

/// Sends two events without ids as the request at a position.
async fn produce(server: &Server, name: &str, position: &str) -> Answer {
    let request =
        server.request(Method::POST, EVENTS).header("x-everlog-producer", name).header("x-everlog-position", position);
    ask(request.body(format!("{{\"from\":\"{name}\",\"position\":\"{position}\"}}\n{{\"from\":\"{name}\"}}"))).await
}

async fn position(server: &Server, name: &str) -> serde_json::Value {
    server.get(&format!("/api/v1/producers/{name}")).await.expect(200)["position"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_stored_once_across_power_cuts_and_restarts() {
    let mut server = Server::start().await;
    assert_eq!(position(&server, "p").await, 0);
    produce(&server, "p", "7").await.accepted(2, 0);
    for round in 0..4 {
        produce(&server, "p", "7").await.accepted(2, 2);
        produce(&server, "p", "3").await.accepted(2, 2);
        assert_eq!(position(&server, "p").await, 7);
        match round {
            0 => server.kill9(),
            1 => {
                server.flush().await;
                server.kill9();
            }
            2 => server.stop().await,
            _ => break,
        }
        server.restart().await;
    }
    assert_eq!(server.events("from=p").await.len(), 2);
    produce(&server, "p", "8").await.accepted(2, 0);
    produce(&server, "q", "8").await.accepted(2, 0);
    assert_eq!(server.events("from=p").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_an_id_is_stored_once() {
    let mut server = Server::start().await;
    let body = "{\"id\":\"order-1\"}\n{\"id\":\"0197f3c2-0000-7000-8000-000000000001\"}\n{\"id\":\"order-1\"}";
    server.post(EVENTS, body).await.accepted(3, 1);
    server.post(EVENTS, body).await.accepted(3, 3);
    server.kill9();
    server.restart().await;
    server.post(EVENTS, body).await.accepted(3, 3);
    server.stop().await;
    server.restart().await;
    server.post(EVENTS, body).await.accepted(3, 3);
    assert_eq!(server.events("stream!=INTERNAL").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none_are_refused() {
    let server = Server::start().await;
    for (name, number) in
        [("p", "-1"), ("p", "x"), ("p", ""), ("", "1"), ("p", "18446744073709551616"), (&"p".repeat(257), "1")]
    {
        produce(&server, name, number).await.problem(400, "bad_request");
    }
    let alone = server.request(Method::POST, EVENTS).header("x-everlog-position", "1").body("{}");
    ask(alone).await.problem(400, "bad_request");
    produce(&server, &"p".repeat(256), "18446744073709551615").await.accepted(2, 0);
    assert_eq!(server.events("").await.len(), 2);
    assert_eq!(position(&server, &"p".repeat(256)).await, json!(u64::MAX));
}
