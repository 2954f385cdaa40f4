//! What `logging.handlers.HTTPHandler` of Python sends.

use serde_json::json;

use crate::server::{Server, ask};

const RECORD: &str = "name=shop&msg=paid+%25s&args=%28%27bob%27%2C%29&levelname=ERROR&levelno=40&exc_info=None&exc_text=None&lineno=7&created=1795190376.5&order=7";

#[tokio::test(flavor = "multi_thread")]
async fn records_come_by_post_and_by_get() {
    let server = Server::start().await;
    let path = "/api/v1/logs/default/records";
    let form = server.request(reqwest::Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
    // The handler's `credentials`: any name, and the token as the password.
    ask(form.basic_auth("any", Some(server.admin_token().trim())).body(RECORD)).await.accepted(1, 0);
    server.get(&format!("{path}?{RECORD}")).await.accepted(1, 0);
    let events = server.events("message=paid%20bob").await;
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!(
            (&event["level"], &event["logger"], &event["order"]),
            (&json!("error"), &json!("shop"), &json!("7"))
        );
        assert_eq!(event["timestamp"], "2026-11-20T15:59:36.500000Z");
    }
    server.post(path, "a=1").await.expect(400);
    let forged =
        server.request(reqwest::Method::GET, &format!("{path}?{RECORD}")).header("sec-fetch-site", "cross-site");
    ask(forged).await.expect(401);
}
