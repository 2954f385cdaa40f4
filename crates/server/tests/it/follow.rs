//! `everlog import --follow` on real files: what is written arrives once and in order, whatever happens to the files and
//! to the follower.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::server::{EVERLOG, Server, program, until};

/// A follower of files, which ends with the test.
struct Follower(Child);

impl Follower {
    fn start(server: &Server, folder: &Path, pattern: &str) -> Self {
        let child = program(EVERLOG, folder)
            .args(["import", "--follow", pattern, "--zone", "UTC", "--state", "state.json"])
            .env("EVERLOG_URL", server.url())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(folder.join("follower.err")).unwrap())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill9(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    async fn stop(&mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let status = until("the follower's end", async || self.0.try_wait().unwrap()).await;
        assert!(status.success(), "{status}");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn append(path: &Path, text: &str) {
    File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The messages that came from files whose names begin so, in the order in which they were stored.
async fn messages(server: &Server, file: &Path) -> Vec<String> {
    let answer = server.get("/api/v1/logs/default/events?stream!=INTERNAL&_sort=timestamp&_limit=100000").await;
    let events = answer.expect(200).as_array().unwrap().clone();
    let of = |event: &Value| event["file"].as_str().is_some_and(|name| Path::new(name).ends_with(file));
    events.iter().filter(|event| of(event)).map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

async fn wait_for(server: &Server, file: &str, expected: &[String], folder: &Path) {
    let found = until("the lines", async || {
        let found = messages(server, Path::new(file)).await;
        (found.len() >= expected.len()).then_some(found)
    })
    .await;
    let said = fs::read_to_string(folder.join("follower.err")).unwrap_or_default();
    assert_eq!(found, expected, "{file}: {said}");
}

fn lines(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_followed_through_rotation_truncation_and_restart() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    append(&path, &text(&lines(0..3)));
    let mut follower = Follower::start(&server, folder.path(), "app.log");
    wait_for(&server, "app.log", &lines(0..3), folder.path()).await;
    // Renamed, with a last word, while a new file begins.
    fs::rename(&path, folder.path().join("app.log.1")).unwrap();
    append(&folder.path().join("app.log.1"), &text(&lines(3..4)));
    wait_for(&server, "app.log", &lines(0..4), folder.path()).await;
    append(&path, &text(&lines(4..6)));
    wait_for(&server, "app.log", &lines(0..6), folder.path()).await;
    // Renamed while nobody looks.
    follower.stop().await;
    append(&path, &text(&lines(6..7)));
    fs::rename(&path, folder.path().join("app.log.2")).unwrap();
    follower = Follower::start(&server, folder.path(), "app.log");
    wait_for(&server, "app.log", &lines(0..7), folder.path()).await;
    append(&path, &text(&lines(7..9)));
    wait_for(&server, "app.log", &lines(0..9), folder.path()).await;
    // Copied and truncated, while nobody looks and while somebody does.
    for (number, killed) in [(9, true), (12, false)] {
        if killed {
            follower.kill9();
        }
        append(&path, &text(&lines(number..number + 1)));
        fs::copy(&path, folder.path().join(format!("app.log.{number}"))).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        if killed {
            follower = Follower::start(&server, folder.path(), "app.log");
        }
        wait_for(&server, "app.log", &lines(0..number + 1), folder.path()).await;
        append(&path, &text(&lines(number + 1..number + 3)));
        wait_for(&server, "app.log", &lines(0..number + 3), folder.path()).await;
    }
    // The last line waits for its end, and files that come later are found by their pattern.
    append(&path, "half");
    append(&path, " a line\n");
    let expected = [lines(0..15), vec!["half a line".to_owned()]].concat();
    wait_for(&server, "app.log", &expected, folder.path()).await;
    follower.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traceback_that_is_being_written_is_one_event() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    append(&path, "2026-11-20 15:59:36,123 ERROR shop: failed\nTraceback (most recent call last):\n");
    let _follower = Follower::start(&server, folder.path(), "*.log");
    append(&path, "  File \"a.py\", line 1, in f\nKeyError: 'sku'\n2026-11-20 15:59:37,000 INFO shop: next\n");
    wait_for(&server, "app.log", &["failed".to_owned(), "next".to_owned()], folder.path()).await;
    assert_eq!(server.events("exception.type=KeyError").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_every_line_arrives_once_and_in_order() {
    let server = Server::start().await;
    for seed in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let names = [format!("a{seed}.log"), format!("b{seed}.log")];
        let mut random = Random(seed);
        let mut follower = Follower::start(&server, folder.path(), "*.log");
        let mut written = [0_usize, 0];
        // What was written before the file was renamed or truncated last.
        let mut before = [0_usize, 0];
        let mut copies = 0;
        for _ in 0..60 {
            let which = random.below(2);
            let path = folder.path().join(&names[which]);
            let action = random.below(12);
            if action < 2 {
                if written[which] == before[which] {
                    continue;
                }
                // A file that nobody ever saw under its name cannot be known under another.
                until("the first line", async || settled(&server, &names[which], before[which] + 1).await).await;
                before[which] = written[which];
            }
            match action {
                0 => {
                    copies += 1;
                    fs::rename(&path, rotated(&path, copies)).unwrap();
                }
                1 => {
                    copies += 1;
                    fs::copy(&path, rotated(&path, copies)).unwrap();
                    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
                    // A second truncation before the first was seen would take the only copy of what came between.
                    until("the truncation", async || settled(&server, &names[which], written[which]).await).await;
                }
                2 | 3 => {
                    follower.kill9();
                    follower = Follower::start(&server, folder.path(), "*.log");
                }
                4 => tokio::time::sleep(std::time::Duration::from_millis(random.below(400) as u64)).await,
                _ => {
                    let count = 1 + random.below(40);
                    append(&path, &text(&lines(written[which]..written[which] + count)));
                    written[which] += count;
                }
            }
        }
        for (name, count) in names.iter().zip(written) {
            wait_for(&server, name, &lines(0..count), folder.path()).await;
        }
        follower.stop().await;
    }
}

async fn settled(server: &Server, name: &str, count: usize) -> Option<()> {
    (messages(server, Path::new(name)).await.len() >= count).then_some(())
}

fn rotated(path: &Path, number: usize) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound) as usize
    }
}
