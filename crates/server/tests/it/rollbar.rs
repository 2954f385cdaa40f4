//! The doors of Rollbar's clients, over sockets.

use reqwest::{Body, Method};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::server::{Server, ask};

const ITEM: &str = "/api/1/item/";

const EXCEPTION: &str = include_str!("../../../intake/tests/fixtures/rollbar/pyramid-1.json");

async fn send(server: &Server, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let request =
        headers.iter().fold(server.request(Method::POST, path), |request, (name, value)| request.header(*name, *value));
    ask(request.body(body)).await
}

/// A refusal in Rollbar's shape.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    let body = answer.expect(status);
    assert_eq!(body["err"], 1, "{body}");
    body["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_header_or_in_the_body() {
    let server = Server::start_with(&[("EVERLOG_REQUIRE_TOKEN", "yes")]).await;
    let body = json!({ "label": "a test", "scopes": ["write"], "logs": ["shop"] });
    let made = server.as_admin(Method::POST, "/api/v1/tokens", &body).await.expect(201);
    let token = made["token"].as_str().unwrap().replace('-', "");
    let item = |n: u32| json!({ "data": { "body": { "message": { "body": format!("m{n}") } }, "level": "info" } });
    let header = ("x-rollbar-access-token", token.as_str());
    let answer = send(&server, ITEM, &[header], item(1).to_string()).await.expect(200);
    assert_eq!(answer, json!({ "err": 0, "result": { "id": null, "uuid": null } }));
    let mut with_token = item(2);
    with_token["access_token"] = token.clone().into();
    send(&server, "/api/1/item", &[], with_token.to_string()).await.expect(200);
    let form: String =
        form_urlencoded::Serializer::new(String::new()).append_pair("payload", &with_token.to_string()).finish();
    send(&server, ITEM, &[("content-type", "application/x-www-form-urlencoded")], form).await.expect(200);
    assert!(refused(&send(&server, ITEM, &[], item(3).to_string()).await, 401).contains("token"));
    let reader = json!({ "label": "a test", "scopes": ["read"], "logs": [] });
    let reader = server.as_admin(Method::POST, "/api/v1/tokens", &reader).await.expect(201);
    let reader = reader["token"].as_str().unwrap();
    refused(&send(&server, ITEM, &[("x-rollbar-access-token", reader)], item(3).to_string()).await, 403);
    // The token is for one log, so that is where it goes.
    let kept = server.as_admin(Method::GET, "/api/v1/logs/shop/events?event=message&_sort=message", &Value::Null).await;
    let kept = kept.expect(200);
    let kept: Vec<Value> = kept.as_array().unwrap().iter().map(|event| event["message"].clone()).collect();
    assert_eq!(Value::from(kept), json!(["m1", "m2", "m2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_sent_again_is_stored_once() {
    let server = Server::start().await;
    for _ in 0..2 {
        let answer = send(
            &server,
            ITEM,
            &[("x-rollbar-access-token", "any")],
            EXCEPTION.replace("0123456789abcdef0123456789abcdef", "any"),
        )
        .await;
        assert_eq!(answer.expect(200)["result"]["uuid"], "b3767173ba6b44079323".to_owned() + "4042c8b18830");
    }
    let [event] = &server.events("exception.type=Stock&user=7&method=POST").await[..] else { panic!("one") };
    assert_eq!(event["exception"]["chain"][1]["type"], "KeyError");
    assert_eq!(event["rollbar"]["request"]["GET"]["q"], "hé");
    assert_eq!(server.events("request_id=req-pyramid-1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_never_413() {
    let server = Server::start_with(&[("EVERLOG_EVENT_BYTES_MAX", "1KiB"), ("EVERLOG_BODY_BYTES_MAX", "1MiB")]).await;
    let large = |bytes: usize| json!({ "data": { "body": { "message": { "body": "x".repeat(bytes) } } } }).to_string();
    assert!(refused(&send(&server, ITEM, &[], large(2000)).await, 422).contains("event_bytes_max"));
    assert!(refused(&send(&server, ITEM, &[], large(2 << 20)).await, 422).contains("body_bytes_max"));
    refused(&send(&server, ITEM, &[], "not this").await, 400);
    refused(&send(&server, ITEM, &[], "{\"data\":").await, 400);
    let unknown =
        [("x-rollbar-access-token", "00000000-0000-4000-8000-000000000000"), ("origin", "https://shop.example")];
    let refusal = send(&server, ITEM, &unknown, "{}").await;
    refused(&refusal, 401);
    assert_eq!(refusal.header("access-control-allow-origin"), "https://shop.example");
    let preflight = server
        .request(Method::OPTIONS, ITEM)
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-rollbar-access-token");
    let preflight = ask(preflight).await;
    assert!(matches!(preflight.status, 200 | 204));
    assert!(preflight.header("access-control-allow-headers").contains("x-rollbar-access-token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys() {
    let server = Server::start().await;
    let form = "environment=production&revision=abc1&local_username=bob&comment=f%C3%BCr+Zo%C3%AB&status=succeeded";
    let answer = send(&server, "/api/1/deploy/", &[("content-type", "application/x-www-form-urlencoded")], form)
        .await
        .expect(200);
    let id = answer["data"]["deploy_id"].as_str().unwrap();
    let json = json!({ "environment": "staging", "revision": "abc2", "rollbar_username": "eve" });
    send(&server, "/api/1/deploy", &[], json.to_string()).await.expect(200);
    let [event] = &server.events("event=deploy&release=abc1").await[..] else { panic!("one") };
    assert_eq!([&event["id"], &event["user"], &event["environment"]], [id, "bob", "production"]);
    assert_eq!(server.events("event=deploy&user=eve&environment=staging").await.len(), 1);
    refused(&send(&server, "/api/1/deploy/", &[], "environment=x").await, 422);
}
