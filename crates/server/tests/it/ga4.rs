//! Google Analytics 4: the Measurement Protocol with its secret, gtag.js without one.

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::server::{Server, ask};

async fn shop(server: &Server, query: &str) -> Vec<Value> {
    server.get(&format!("/api/v1/logs/shop/events?{query}")).await.expect(200).as_array().unwrap().clone()
}

/// From a browser far away.
async fn send(server: &Server, method: Method, path: &str, body: &str) -> Answer {
    let request = server.request(method, path).header("origin", "https://shop.example").header("user-agent", "Firefox");
    ask(request.header("content-type", "text/plain;charset=UTF-8").body(body.to_owned())).await
}

async fn started() -> Server {
    let server = Server::start().await;
    server.as_admin(Method::PUT, "/api/v1/logs/shop", &json!({ "ga4": "G-SHOP" })).await.expect(200);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn the_measurement_protocol() {
    let server = started().await;
    let wanted = json!({ "label": "ga4", "scopes": ["write"], "logs": ["shop"] });
    let made = server.as_admin(Method::POST, "/api/v1/tokens", &wanted);
    let secret = made.await.expect(201)["token"].as_str().unwrap().to_owned();
    let body = json!({
        "client_id": "1.2", "user_id": "bob", "timestamp_micros": "1767225600000001", "user_properties": { "plan": { "value": "pro" } },
        "events": [
            { "name": "purchase", "params": { "value": 12.5, "session_id": 77, "items": [{ "item_id": "a", "price": 9.99 }] } },
            { "name": "page_view", "params": { "page_location": "https://shop.example/a?b=1", "page_referrer": "https://x.example/", "page_title": "A" } },
            { "name": "" },
        ],
    });
    let path = format!("/mp/collect?measurement_id=G-SHOP&api_secret={secret}");
    let answer = send(&server, Method::POST, &path, &body.to_string()).await;
    assert_eq!(
        (answer.status, answer.body.len(), answer.header("access-control-allow-origin")),
        (204, 0, "https://shop.example")
    );
    let found = shop(&server, "event=purchase").await;
    let event = &found[0];
    assert_eq!(
        (&event["stream"], &event["user"], &event["session"], &event["timestamp"]),
        (&json!("INFO"), &json!("bob"), &json!("77"), &json!("2026-01-01T00:00:00.000001Z"))
    );
    assert_eq!(event["ga4"]["params"]["items"], json!([{ "item_id": "a", "price": 9.99 }]));
    assert_eq!(event["ga4"]["user_properties"], json!({ "plan": { "value": "pro" } }));
    let found = shop(&server, "stream=VIEW").await;
    let view = ["event", "url", "path", "referrer", "title"].map(|key| found[0][key].clone());
    assert_eq!(json!(view), json!(["page_view", "https://shop.example/a?b=1", "/a", "https://x.example/", "A"]));
    assert_eq!(shop(&server, "").await.len(), 2);
    let forged =
        send(&server, Method::POST, "/mp/collect?measurement_id=G-SHOP&api_secret=guess", &body.to_string()).await;
    assert_eq!(forged.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_by_the_debug_path() {
    let server = started().await;
    let answer = send(
        &server,
        Method::POST,
        "/debug/mp/collect?measurement_id=G-SHOP",
        r#"{"client_id":"1","events":[{"name":"ok"}]}"#,
    )
    .await;
    assert_eq!(answer.expect(200), json!({ "validationMessages": [] }));
    let answer =
        send(&server, Method::POST, "/debug/mp/collect?measurement_id=G-SHOP", r#"{"events":[{"name":"7 up"}]}"#).await;
    let messages = answer.expect(200);
    let found: Vec<_> = messages["validationMessages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["fieldPath"].as_str().unwrap(), one["validationCode"].as_str().unwrap()))
        .collect();
    assert_eq!(found, [("client_id", "VALUE_REQUIRED"), ("events[0].name", "NAME_INVALID")]);
    assert_eq!(shop(&server, "").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn gtag_from_a_browser() {
    let server = started().await;
    let shared =
        "/g/collect?v=2&tid=G-SHOP&cid=1.2&sid=77&dl=https%3A%2F%2Fshop.example%2Fa&dr=https%3A%2F%2Fx.example&dt=A";
    let answer = send(&server, Method::GET, &format!("{shared}&en=page_view&up.plan=pro"), "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-credentials")), (204, "true"));
    let answer = send(&server, Method::POST, shared, "en=click&ep.m=a&_et=5\r\nen=scroll&epn.pct=90").await;
    assert_eq!(answer.status, 204);
    let found = shop(&server, "_sort=event").await;
    let events: Vec<_> = found
        .iter()
        .map(|event| {
            [&event["event"], &event["stream"], &event["user"], &event["session"], &event["user_agent"]]
                .map(Value::clone)
        })
        .collect();
    assert_eq!(
        json!(events),
        json!([
            ["click", "INFO", "1.2", "77", "Firefox"],
            ["page_view", "VIEW", "1.2", "77", "Firefox"],
            ["scroll", "INFO", "1.2", "77", "Firefox"]
        ])
    );
    assert_eq!(found[0]["ga4"]["params"]["m"], "a");
    assert_eq!(found[2]["ga4"]["params"]["pct"], 90);
    assert_eq!(
        (&found[1]["title"], &found[1]["ga4"]["user_properties"]["plan"]["value"]),
        (&json!("A"), &json!("pro"))
    );
    // A measurement id that no log names is counted, and answered the same.
    assert_eq!(send(&server, Method::GET, "/g/collect?tid=G-OTHER&en=page_view", "").await.status, 204);
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.lines().any(|line| line.contains("unknown_measurement") && line.ends_with(" 1")), "{metrics}");
    // Nobody can fill the disk with one request.
    let many = "en=x\n".repeat(1000);
    send(&server, Method::POST, shared, &many).await;
    assert_eq!(shop(&server, "event=x").await.len(), 25);
    assert_eq!(send(&server, Method::POST, shared, &"en=y&".repeat(20_000)).await.status, 413);
}
