//! Events older than their log keeps them go.

use event::Clock as _;
use serde_json::json;

use crate::server::{Server, until};

#[tokio::test(flavor = "multi_thread")]
async fn old_events_go_when_retention_is_set() {
    let server = Server::start().await;
    let day = 86_400_000_000;
    let now = event::SystemClock.now().as_micros();
    for (age, stream) in [(10, "INFO"), (10, "AUDIT"), (10, "DEBUG"), (0, "INFO"), (0, "DEBUG")] {
        server.send(&json!({"timestamp": (now - age * day), "stream": stream, "age": age})).await;
    }
    server.flush().await;
    assert_eq!(server.events("age>=0").await.len(), 5);
    server.cli_ok(&["logs", "retention", "default", "1d", "--stream", "AUDIT=forever"]);
    until("the old events to go", async || (server.events("age>=0").await.len() == 3).then_some(())).await;
    assert_eq!(server.events("age=10").await[0]["stream"], "AUDIT");
    until("the message", async || (server.internal("retention_applied").await == 1).then_some(())).await;
    let told = &server.events("event=retention_applied").await[0];
    assert_eq!((&told["events"], &told["log"]), (&json!(2), &json!("default")));
    let log = server.get("/api/v1/logs/default").await.expect(200);
    assert_eq!(log["retention"][""], "1d", "{log}");
}
