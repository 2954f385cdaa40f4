//! What Everlog warns of becomes an event of the stream INTERNAL, once.

use serde_json::json;

use crate::server::{EVERLOG, Server, program, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_server_is_an_event_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("some.log"), "a line\n").unwrap();
    let data = folder.path().join("data");
    let mut command = program(EVERLOG, folder.path());
    command.arg("serve").arg("--data").arg(&data).args([
        "--listen",
        "127.0.0.1:0",
        "--import",
        "some.log",
        "--log",
        "a/b",
    ]);
    // What is said on standard error is another matter.
    command.env("EVERLOG_TRACE", "off");
    let mut server = Server::start_by(command, folder, move |_| data.clone()).await;
    let told = until("the message", async || {
        let told = server.events("stream=INTERNAL&event=trouble").await;
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert_eq!((told.len(), &told[0]["level"], &told[0]["logger"]), (1, &json!("error"), &json!("everlog::serve")));
    assert!(told[0]["message"].as_str().unwrap().contains("cannot be the name of a log"), "{told:?}");
    assert_eq!(told[0]["user"], "system");
    assert_eq!(server.events("").await.len(), 1, "a message about a message would be another");
    server.kill9();
}
