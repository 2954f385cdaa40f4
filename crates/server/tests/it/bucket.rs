//! The archive in a bucket: moto, a stand-in for S3 that people know, and a stub for what moto never does.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::archive::{old_events, work};
use crate::server::{Server, client, until};

/// A running moto, which goes with its value.
struct Moto {
    child: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// Starts it with an empty bucket; none when it is not installed, unless CI says that it has to be.
    async fn start() -> Option<Self> {
        let installed = Command::new("python3").args(["-c", "import moto.server"]).stderr(Stdio::null()).status();
        if !installed.is_ok_and(|status| status.success()) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "moto is not installed: pip install 'moto[server]'");
            let said = writeln!(std::io::stderr(), "skipped, for want of moto: pip install 'moto[server]'");
            said.unwrap();
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("python3")
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self { child, url: format!("http://127.0.0.1:{port}") };
        until("moto", async || {
            let made = client().put(format!("{}/bucket", moto.url)).send().await.ok()?;
            made.status().is_success().then_some(())
        })
        .await;
        Some(moto)
    }
}

/// A request to moto itself, which looks for a signature and not at it.
async fn directly(method: Method, url: &str, body: Vec<u8>) -> reqwest::Response {
    let signature =
        "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    let answer = client().request(method, url).header("authorization", signature).body(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    answer
}

async fn server_on(endpoint: &str) -> Server {
    Server::start_with(&[
        ("EVERLOG_ARCHIVE", "s3://bucket/some/where"),
        ("EVERLOG_ARCHIVE_S3_ENDPOINT", endpoint),
        ("EVERLOG_ARCHIVE_S3_ACCESS_KEY", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_takes_answers_and_gives_back() {
    let Some(moto) = Moto::start().await else { return };
    let mut server = server_on(&moto.url).await;
    old_events(&server, &[1, 10, 40]).await;
    server.as_admin(Method::PUT, "/api/v1/logs/default", &json!({"archive_after": "5d"})).await.expect(200);
    let run = work(&server, "run", &json!({})).await;
    assert!(run["error"].is_null(), "{run}");
    assert_eq!(server.events("age>=0").await.len(), 2);
    server.kill9();
    server.restart().await;
    assert_eq!(server.events("age>=0&_archive=y").await.len(), 6);
    assert_eq!(server.events("_q=day40&_archive=y&_by=stream").await.len(), 2);
    let verified = work(&server, "verify", &json!({})).await;
    assert_eq!((&verified["segments"], &verified["faults"]), (&json!(2), &json!([])), "{verified}");
    let listed = server.as_admin(Method::GET, "/api/v1/archive", &Value::Null).await.expect(200);
    assert_eq!(listed["place"], "s3://bucket/some/where");
    let object = format!("{}/bucket/some/where/{}", moto.url, listed["segments"][0]["file"].as_str().unwrap());
    let sound = directly(Method::GET, &object, Vec::new()).await.bytes().await.unwrap();
    let mut broken = sound.to_vec();
    broken[100] ^= 1;
    directly(Method::PUT, &object, broken).await;
    let verified = work(&server, "verify", &json!({})).await;
    assert_eq!(verified["faults"][0]["file"], listed["segments"][0]["file"], "{verified}");
    directly(Method::DELETE, &object, Vec::new()).await;
    let verified = work(&server, "verify", &json!({})).await;
    assert_eq!(verified["faults"][0]["reason"], "it is missing", "{verified}");
    directly(Method::PUT, &object, sound.to_vec()).await;
    assert_eq!(work(&server, "restore", &json!({"log": "default", "to": "-30d"})).await["events"], 2);
    assert_eq!(server.events("age>=0").await.len(), 4);
    assert_eq!(work(&server, "purge", &json!({"log": "default", "before": "-1d"})).await["events"], 2);
    work(&server, "run", &json!({})).await;
    until("the bucket to be empty", async || {
        let list = format!("{}/bucket?list-type=2", moto.url);
        let list = directly(Method::GET, &list, Vec::new()).await.text().await.ok()?;
        (!list.contains("<Key>")).then_some(())
    })
    .await;
    drop(moto);
    let away = server.events("age>=0").await;
    assert_eq!(away.len(), 4, "what is live does not need the bucket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_says_when_the_bucket_is_away() {
    let Some(moto) = Moto::start().await else { return };
    let mut server = server_on(&moto.url).await;
    old_events(&server, &[1, 40]).await;
    server.as_admin(Method::PUT, "/api/v1/logs/default", &json!({"archive_after": "5d"})).await.expect(200);
    work(&server, "run", &json!({})).await;
    drop(moto);
    server.kill9();
    server.restart().await;
    let away = server.get("/api/v1/logs/default/events?_archive=y").await.problem(503, "archive");
    assert!(away["detail"].as_str().unwrap().contains("archive_s3_endpoint"), "{away}");
    assert_eq!(server.events("age>=0").await.len(), 2);
    assert_eq!(server.internal("segment_damaged").await, 0, "a bucket that is away is no damage");
}

/// A server that answers every request with the same words.
async fn stub(status: &'static str, body: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = vec![0; 1 << 20];
                // Whatever was asked.
                let _ = stream.read(&mut read).await;
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
                while stream.read(&mut read).await.is_ok_and(|bytes| bytes > 0) {}
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_setting() {
    for (status, body, expected) in [
        ("403 Forbidden", "<Error><Code>AccessDenied</Code><Message>no</Message></Error>", "archive_s3_secret_key"),
        ("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>", "there is no bucket for s3://bucket/some/where"),
        ("503 Slow Down", "<Error><Code>SlowDown</Code></Error>", "SlowDown"),
    ] {
        let server = server_on(&stub(status, body).await).await;
        old_events(&server, &[40]).await;
        server.as_admin(Method::PUT, "/api/v1/logs/default", &json!({"archive_after": "5d"})).await.expect(200);
        let failed = work(&server, "run", &json!({})).await;
        let detail = failed["error"]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(expected), "{status}: {failed}");
        assert_eq!(server.events("age=40").await.len(), 2, "nothing is lost");
    }
}
