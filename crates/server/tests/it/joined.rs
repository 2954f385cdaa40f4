//! What all the doors are for: one question finds what every protocol said of one request.

use reqwest::Method;
use serde_json::json;

use crate::server::{EVENTS, Server, ask};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";

const REQUEST: &str = "68b46bf0-a5b8-43f7-a550-e37dee617bff";

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_and_one_request_through_every_door() {
    let server = Server::start().await;
    server.send(&json!({ "message": "native", "trace_id": TRACE, "request_id": REQUEST })).await;
    let document =
        json!({ "message": "elasticsearch", "trace": { "id": TRACE }, "http": { "request": { "id": REQUEST } } });
    let attributes = json!([{ "key": "request_id", "value": { "stringValue": REQUEST } }]);
    let log = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "body": { "stringValue": "log record" }, "traceId": TRACE, "attributes": attributes }] }] }] });
    let span = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{ "name": "span", "traceId": TRACE, "spanId": "eee19b7ec3c1b174", "attributes": attributes }] }] }] });
    let azure = json!([{ "iKey": "any", "tags": { "ai.operation.id": TRACE }, "data": { "baseType": "MessageData", "baseData": { "message": "azure" } } }]);
    let line = json!({ "event": "request_started", "message": "structlog", "request_id": REQUEST, "trace_id": TRACE, "request": "GET /pay/7" });
    let sentry = json!({ "event_id": "fc6d8c0c43fc4630ad850ee518f1b9d0", "message": "sentry", "contexts": { "trace": { "trace_id": TRACE, "span_id": "eee19b7ec3c1b174" } } });
    let bulk = format!("{{\"create\":{{\"_index\":\"default\"}}}}\n{document}\n");
    for (path, body) in [
        ("/es/_bulk", bulk),
        ("/v1/logs", log.to_string()),
        ("/v1/traces", span.to_string()),
        ("/v2.1/track", azure.to_string()),
        ("/api/1/store/?sentry_key=any", sentry.to_string()),
        (EVENTS, line.to_string()),
    ] {
        let sent = server.request(Method::POST, path).header("content-type", "application/json").body(body);
        let answer = ask(sent).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let messages = async |query: &str| {
        let found = server.events(&format!("{query}&_sort=message")).await;
        found.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["azure", "elasticsearch", "log record", "native", "sentry", "span", "structlog"];
    assert_eq!(messages(&format!("trace_id={TRACE}")).await, all);
    // Application Insights and Sentry have no id of a request.
    let with_request = ["elasticsearch", "log record", "native", "span", "structlog"];
    assert_eq!(messages(&format!("request_id={REQUEST}")).await, with_request);
    server.flush().await;
    assert_eq!(messages(&format!("trace_id={TRACE}")).await, all);
    assert_eq!(messages(&format!("request_id={REQUEST}")).await, with_request);
}
