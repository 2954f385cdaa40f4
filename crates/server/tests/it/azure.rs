//! Application Insights: what its clients send, and the answers that keep them from dropping or repeating it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::server::{Server, ask};

/// A token in the only form that the clients take for an instrumentation key.
async fn key(server: &Server) -> String {
    let wanted = json!({ "label": "azure", "scopes": ["write"], "logs": ["shop"] });
    let made = server.as_admin(Method::POST, "/api/v1/tokens", &wanted);
    let token = made.await.expect(201)["token"].as_str().unwrap().to_owned();
    let bare = token.replace('-', "");
    format!("{}-{}-{}-{}-{}", &bare[..8], &bare[8..12], &bare[12..16], &bare[16..20], &bare[20..])
}

async fn track(server: &Server, body: impl ToString) -> Answer {
    // From elsewhere, so that only the key counts.
    // The clients put two slashes before the path when the endpoint ends in one, as it does in connection strings.
    let request = server.request(Method::POST, "//v2.1/track").header("x-forwarded-for", "192.0.2.1");
    ask(request.header("content-type", "application/json").body(body.to_string())).await
}

async fn shop(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/api/v1/logs/shop/events?{query}")).await.expect(200);
    answer.as_array().unwrap().clone()
}

fn envelope(key: &str, kind: &str, data: &Value) -> Value {
    json!({
        "name": format!("Microsoft.ApplicationInsights.{}.{}", key.replace('-', ""), kind.trim_end_matches("Data")),
        "time": "2026-01-01T00:00:00.000001Z", "iKey": key,
        "tags": { "ai.cloud.role": "shop", "ai.cloud.roleInstance": "web-1", "ai.operation.id": "ab".repeat(16), "ai.operation.parentId": "cd".repeat(8) },
        "data": { "baseType": kind, "baseData": data },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_becomes_an_event() {
    let server = Server::start().await;
    let key = key(&server).await;
    let stack =
        "Traceback (most recent call last):\n  File \"/app/pay.py\", line 7, in pay\n    charge()\nKeyError: 'sku'";
    let items = [
        envelope(
            &key,
            "MessageData",
            &json!({ "ver": 2, "message": "paid é", "severityLevel": 2, "properties": { "n": "1" } }),
        ),
        envelope(
            &key,
            "ExceptionData",
            &json!({ "severityLevel": 3, "exceptions": [{ "typeName": "KeyError", "message": "'sku'", "hasFullStack": true, "stack": stack }] }),
        ),
        envelope(
            &key,
            "RequestData",
            &json!({ "id": "ef".repeat(8), "name": "GET /pay/7", "url": "http://shop.example/pay/7?m=1", "duration": "0.00:00:00.022", "responseCode": "500", "success": false }),
        ),
        envelope(
            &key,
            "RemoteDependencyData",
            &json!({ "id": "12".repeat(8), "name": "SELECT", "type": "SQL", "data": "SELECT 1", "duration": "00:00:01.5", "success": true }),
        ),
        envelope(&key, "PageViewData", &json!({ "name": "Pay", "url": "http://shop.example/pay" })),
        envelope(&key, "EventData", &json!({ "name": "Cart Opened" })),
        envelope(&key, "MetricData", &json!({ "metrics": [{ "name": "cpu", "value": 0.5 }] })),
    ];
    let answer = track(&server, json!(items)).await;
    assert_eq!(answer.expect(200), json!({ "itemsReceived": 7, "itemsAccepted": 7, "errors": [] }));
    // The requests are the same ones when they are sent again.
    assert_eq!(track(&server, format!("{}\n{}", items[2], items[3])).await.status, 200);
    let shown = |event: &Value, keys: &[&str]| keys.iter().map(|key| event[*key].clone()).collect::<Value>();
    let found = shop(&server, "level=warning").await;
    assert_eq!(
        shown(&found[0], &["message", "service", "host", "trace_id", "span_id", "timestamp"]),
        json!(["paid é", "shop", "web-1", "ab".repeat(16), "cd".repeat(8), "2026-01-01T00:00:00.000001Z"])
    );
    assert_eq!(found[0]["azure"]["data"]["baseData"]["properties"], json!({ "n": "1" }));
    let found = shop(&server, "exception.type=KeyError").await;
    assert_eq!(found[0]["exception"]["frames"][0]["function"], "pay");
    assert_eq!(found[0]["level"], "error");
    let found = shop(&server, "event=request").await;
    assert_eq!(found.len(), 1);
    assert_eq!(
        shown(&found[0], &["stream", "level", "method", "path", "url", "status", "duration_ms", "span_id"]),
        json!(["SPAN", "error", "GET", "/pay/7", "http://shop.example/pay/7?m=1", 500, 22.0, "ef".repeat(8)])
    );
    assert_eq!(shop(&server, "event=dependency&duration_ms=1500").await.len(), 1);
    assert_eq!(shop(&server, "stream=VIEW&event=page_view&path=/pay").await.len(), 1);
    assert_eq!(shop(&server, "event=cart_opened").await.len(), 1);
    // The key is a secret, and kept nowhere.
    let all = server.get("/api/v1/logs/shop/events").await.text();
    assert!(!all.contains(&key) && !all.contains(&key.replace('-', "")), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_named() {
    let server = Server::start().await;
    let key = key(&server).await;
    let message = envelope(&key, "MessageData", &json!({ "message": "kept" }));
    let answer = track(&server, json!([message, 7])).await.expect(206);
    assert_eq!((&answer["itemsReceived"], &answer["itemsAccepted"]), (&json!(2), &json!(1)));
    assert_eq!((&answer["errors"][0]["index"], &answer["errors"][0]["statusCode"]), (&json!(1), &json!(400)));
    let unknown = envelope("00000000-0000-4000-8000-000000000000", "MessageData", &json!({ "message": "x" }));
    assert_eq!(track(&server, json!([unknown])).await.expect(401)["itemsAccepted"], 0);
    assert_eq!(track(&server, "nothing").await.expect(401)["itemsAccepted"], 0);
    let ping = ask(server.request(Method::POST, "/QuickPulseService.svc/ping?ikey=x").body("{}")).await;
    assert_eq!((ping.status, ping.header("x-ms-qps-subscribed")), (200, "false"));
}
