//! A full disk: nothing more is taken, everything is still answered, and it mends itself.

use std::fs::File;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::json;

use crate::server::{EVENTS, EVERLOG, Server, program, until};

/// Starts a server whose data are in a small file system of its own; `None` where nothing may be mounted.
async fn small() -> Option<Server> {
    const ALONE: [&str; 4] = ["--map-root-user", "--mount", "sh", "-c"];
    const MOUNT: &str = "mount -t tmpfs -o size=200m tmpfs \"$1\"";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let tried = program("unshare", folder.path()).args(ALONE).args([MOUNT, "sh"]).arg(&data).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let mut command = program("unshare", folder.path());
    let serve = format!("{MOUNT} && exec \"$0\" serve --data \"$1\" --listen 127.0.0.1:0");
    command.args(ALONE).args([&serve, EVERLOG]).arg(&data);
    let below_root = data.strip_prefix("/").unwrap().to_owned();
    let seen_at = move |process: u32| PathBuf::from(format!("/proc/{process}/root")).join(&below_root);
    Some(Server::start_by(command, folder, seen_at).await)
}

/// Takes all the room that is left.
fn fill(file: &Path) {
    let ballast = File::create(file).unwrap();
    let room = rustix::fs::fstatvfs(&ballast).unwrap();
    let flags = rustix::fs::FallocateFlags::empty();
    rustix::fs::fallocate(&ballast, flags, 0, room.f_bavail * room.f_frsize).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_mends_itself() {
    let Some(server) = small().await else {
        eprintln!("SKIPPED: no file system can be mounted here");
        return;
    };
    server.send(&json!({"n": 1, "place": "segment"})).await;
    server.flush().await;
    server.send(&json!({"n": 2, "place": "buffer"})).await;
    let ballast = server.data().join("ballast");
    fill(&ballast);
    server.as_admin(Method::POST, "/api/v1/flush", &json!({})).await.problem(503, "disk_full");
    for number in 3..13 {
        let answer = server.post(EVENTS, json!({"n": number}).to_string()).await;
        answer.problem(503, "disk_full");
        assert_eq!(answer.header("retry-after"), "10");
        assert_eq!(server.events("n>=1").await.len(), 2, "reading goes on");
    }
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/healthz").await.status, 200);
    std::fs::remove_file(&ballast).unwrap();
    // Whoever looks before he writes is told, too.
    until("room", async || (server.get("/readyz").await.status == 200).then_some(())).await;
    for number in 3..13 {
        server.send(&json!({"n": number})).await;
    }
    server.flush().await;
    assert_eq!(server.events("n>=1").await.len(), 12);
    let told = server.events("stream=INTERNAL").await;
    assert_eq!((told.len(), &told[0]["event"], &told[0]["requests"]), (1, &json!("disk_full"), &json!(10)));
}
