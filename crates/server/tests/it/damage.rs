//! A byte that has changed on the disk: found, told, and of no harm to anything else.

use std::path::PathBuf;

use serde_json::json;

use crate::server::{EVENTS, EVERLOG, Server, program, until};

/// Events of each log.
const COUNT: usize = 400;

/// A stopped server with the events of each of two logs in a segment.
async fn stopped() -> Server {
    let mut server = Server::start().await;
    for log in ["default", "other"] {
        // Texts that do not pack well, so that most of the file is what they say.
        let event = |number: usize| json!({"n": number, "message": format!("{:x}", uuid::Uuid::new_v4().as_u128())});
        let lines: String = (0..COUNT).map(|number| event(number).to_string() + "\n").collect();
        server.post(&format!("/api/v1/logs/{log}/events"), lines).await.accepted(COUNT, 0);
    }
    server.stop().await;
    server
}

/// The segments, oldest first.
fn segments(server: &Server) -> Vec<PathBuf> {
    let files = std::fs::read_dir(server.data().join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = files.filter(|file| file.extension().is_some_and(|ending| ending == "parquet")).collect();
    found.sort();
    found
}

fn flip(file: &PathBuf, place: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[place] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_any_byte_that_changed() {
    let server = stopped().await;
    let said = server.cli_ok(&["doctor"]);
    assert!(said.contains("all well") && said.contains("(800 events"), "{said}");
    let segment = segments(&server).remove(0);
    let name = segment.file_name().unwrap().to_str().unwrap();
    let length = usize::try_from(std::fs::metadata(&segment).unwrap().len()).unwrap();
    for place in (0..=12).map(|step| step * (length - 1) / 12) {
        flip(&segment, place);
        let output = server.cli(&["doctor"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(name), "byte {place} of {length}: {said}");
        flip(&segment, place);
    }
    server.cli_ok(&["doctor"]);
    assert_eq!(server.cli(&["doctor", "--data", "nowhere"]).status.code(), Some(1));
}

/// Segments come and go while doctor looks: none of that is damage.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_looks_while_the_server_works() {
    let server = Server::start().await;
    let (folder, data) = (server.folder().to_owned(), server.data().to_owned());
    let looking = tokio::task::spawn_blocking(move || {
        for _ in 0..10 {
            let output = program(EVERLOG, &folder).arg("doctor").arg("--data").arg(&data).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8(output.stdout).unwrap());
        }
    });
    let mut rounds = 0;
    while !looking.is_finished() {
        let event = |item: usize| json!({"n": rounds * 50 + item, "text": "x".repeat(200)}).to_string() + "\n";
        server.post(EVENTS, (0..50).map(event).collect::<String>()).await.accepted(50, 0);
        server.flush().await;
        rounds += 1;
    }
    looking.await.unwrap();
    assert!(rounds > 10, "{rounds} rounds are too few to have met each other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_costs_its_own_events_only() {
    let mut server = stopped().await;
    let segment = segments(&server).remove(0);
    let length = usize::try_from(std::fs::metadata(&segment).unwrap().len()).unwrap();
    flip(&segment, length / 3);
    server.restart().await;
    let other = server.get("/api/v1/logs/other/events?n>=0&_limit=1000").await;
    let whole = server.get(&format!("{EVENTS}?n>=0&_limit=1000")).await;
    let counts = [&whole, &other].map(|answer| answer.expect(200).as_array().unwrap().len());
    assert!(counts == [0, COUNT] || counts == [COUNT, 0], "one log is whole, the other is not: {counts:?}");
    let damaged = if counts[0] == 0 { whole } else { other };
    assert!(damaged.header("x-everlog-warning").starts_with("400 events"), "{damaged:?}");
    until("the message", async || (server.internal("segment_damaged").await == 1).then_some(())).await;
    let told = server.events("event=segment_damaged").await;
    assert!(told[0]["file"].as_str().unwrap().ends_with(segment.file_name().unwrap().to_str().unwrap()), "{told:?}");
    for (log, count) in ["default", "other"].into_iter().zip(counts) {
        let sql = json!({"sql": format!("SELECT sum(n) AS sum FROM \"{log}\" WHERE message IS NOT NULL")});
        let rows = server.post("/api/v1/query", sql.to_string()).await.expect(200);
        assert_eq!(rows["rows"][0]["sum"].as_u64().unwrap_or(0), (0..count as u64).sum::<u64>(), "{rows}");
    }
    for log in ["default", "other"] {
        server.post(&format!("/api/v1/logs/{log}/events"), "{\"new\":1}").await.accepted(1, 0);
        assert_eq!(
            server.get(&format!("/api/v1/logs/{log}/events?new=1")).await.expect(200).as_array().unwrap().len(),
            1
        );
    }
    server.flush().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_gone_is_told() {
    let mut server = stopped().await;
    let segment = segments(&server).remove(0);
    std::fs::remove_file(&segment).unwrap();
    let output = server.cli(&["doctor"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.code() == Some(1)
            && said.contains(segment.file_stem().unwrap().to_str().unwrap().trim_start_matches('0')),
        "{said}"
    );
    server.restart().await;
    until("the message", async || (server.internal("segment_missing").await == 1).then_some(())).await;
    server.send(&json!({"n": 41})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_told_and_the_rest_is_there() {
    let mut server = Server::start().await;
    for number in 0..20 {
        server.send(&json!({"n": number, "text": "some words to fill a frame"})).await;
    }
    server.kill9();
    let journal = std::fs::read_dir(server.data().join("journal")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&journal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    flip(&journal, used / 2);
    let output = server.cli(&["doctor"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && said.contains(journal.file_name().unwrap().to_str().unwrap()), "{said}");
    server.restart().await;
    assert_eq!(server.events("n>=0").await.len(), 19);
    until("the message", async || (server.internal("journal_damaged").await == 1).then_some(())).await;
    assert_eq!(server.events("event=journal_damaged").await[0]["events"], 1);
}
