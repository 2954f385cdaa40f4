//! Reaction goes on exactly where it stopped: no error uncounted, none counted twice, nobody told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::server::{EVENTS, Server, client, until};
use crate::sinks::HttpSink;

/// Causes, errors of each writer, and how they are sent.
const CAUSES: [&str; 7] = ["Alpha", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf"];
const WRITERS: u64 = 4;
const ERRORS_EACH: u64 = 1500;
const BATCH: u64 = 25;
const KILLS: usize = 5;
const SEED: u64 = 0x5eed_1234;

/// The next of a series of numbers that look like chance (xorshift64).
fn chance(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The answer of the request that an error ended. It is no error of its own, whether it comes before or after it.
fn answer(id: &str) -> Value {
    json!({ "id": format!("{id}-answer"), "method": "GET", "path": "/pay", "status": 500, "request_id": format!("request-{id}") })
}

fn error(cause: &str, id: &str) -> Value {
    json!({ "id": id, "level": "error", "message": format!("it failed with {id}"), "user": "7", "release": "1.0",
        "request_id": format!("request-{id}"), "exception": { "type": format!("{cause}Error"), "message": format!("number {id}") } })
}

/// Sends lines until they are acknowledged, wherever the server is by then.
async fn deliver(http: &reqwest::Client, address: &watch::Receiver<String>, lines: &str, count: u64) {
    loop {
        let url = address.borrow().clone();
        if let Ok(response) = http.post(format!("{url}{EVENTS}")).body(lines.to_owned()).send().await
            && response.status() == 200
            && let Ok(receipt) = response.json::<Value>().await
        {
            assert_eq!(receipt["accepted"], count, "{receipt}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends the errors of one writer. Returns how many of each cause there were.
async fn write(
    writer: u64,
    address: watch::Receiver<String>,
    acknowledged: Arc<AtomicUsize>,
) -> BTreeMap<&'static str, u64> {
    let (http, mut state) = (client(), SEED + writer);
    let mut counts = BTreeMap::new();
    let mut late = String::new();
    for first in (0..ERRORS_EACH).step_by(usize::try_from(BATCH).unwrap()) {
        let mut lines = std::mem::take(&mut late);
        for number in first..first + BATCH {
            let cause = CAUSES[usize::try_from(chance(&mut state) % CAUSES.len() as u64).unwrap()];
            *counts.entry(cause).or_default() += 1;
            let id = format!("{writer}-{number}");
            // With its answer before it, with one in the next request, or with none.
            match chance(&mut state) % 3 {
                0 => lines.extend([answer(&id).to_string(), "\n".to_owned()]),
                1 => late.extend([answer(&id).to_string(), "\n".to_owned()]),
                _ => {}
            }
            lines.extend([error(cause, &id).to_string(), "\n".to_owned()]);
        }
        let count = lines.lines().count() as u64;
        deliver(&http, &address, &lines, count).await;
        acknowledged.fetch_add(usize::try_from(BATCH).unwrap(), Ordering::Relaxed);
        // Some of it comes twice, as from a client that did not hear the answer.
        if chance(&mut state).is_multiple_of(4) {
            deliver(&http, &address, &lines, count).await;
        }
    }
    counts
}

/// How often each issue has been told under each rule, by its title.
async fn told(server: &Server) -> BTreeMap<(String, String), usize> {
    let notices = server.get("/api/v1/notices?limit=500").await.expect(200);
    let mut told = BTreeMap::new();
    for notice in notices.as_array().unwrap().iter().map(|told| &told["notice"]) {
        let key = (notice["title"].as_str().unwrap().to_owned(), notice["trigger"].to_string());
        *told.entry(key).or_default() += 1;
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_counts_once_whatever_happens_to_the_server() {
    let sink = HttpSink::start().await;
    let mut server = Server::start().await;
    let mut channel = sink.channel("webhook");
    channel["hourly_cap"] = json!(1000);
    server.set_channel("hook", &channel).await;
    let (moved, address) = watch::channel(server.url().to_owned());
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(writer, address.clone(), Arc::clone(&acknowledged)))).collect();
    let (all, mut state) = (usize::try_from(WRITERS * ERRORS_EACH).unwrap(), SEED);
    for kill in 1..=KILLS {
        let enough = kill * all / (KILLS + 1) + usize::try_from(chance(&mut state) % 100).unwrap();
        until("acknowledgements", async || (acknowledged.load(Ordering::Relaxed) >= enough).then_some(())).await;
        server.kill9();
        server.restart().await;
        moved.send(server.url().to_owned()).unwrap();
    }
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for writer in writers {
        for (cause, count) in writer.await.unwrap() {
            *expected.entry(cause.to_owned()).or_default() += count;
        }
    }
    until("all to be counted", async || {
        let sum: u64 = server.issues("").await.iter().map(|issue| issue["occurrences"].as_u64().unwrap()).sum();
        assert!(sum <= WRITERS * ERRORS_EACH, "{sum} are more than there were");
        (sum == WRITERS * ERRORS_EACH).then_some(())
    })
    .await;
    let counted: BTreeMap<String, u64> = server
        .issues("")
        .await
        .iter()
        .map(|issue| {
            let title = issue["title"].as_str().unwrap();
            (title.split("Error").next().unwrap().to_owned(), issue["occurrences"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(counted, expected);
    check_told(&server, &sink).await;
}

/// Each issue was told once, and each power of ten; a notice may have come twice, under one id.
async fn check_told(server: &Server, sink: &HttpSink) {
    let told = told(server).await;
    assert!(told.values().all(|times| *times == 1), "{told:?}");
    let powers = |trigger: &str| told.keys().filter(|(_, told)| told == trigger).count();
    assert_eq!(powers("\"new_issue\""), CAUSES.len(), "{told:?}");
    for reached in ["{\"reached\":10}", "{\"reached\":100}"] {
        assert_eq!(powers(reached), CAUSES.len(), "{told:?}");
    }
    let ids = || sink.notices().iter().map(|notice| notice["id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
    until("all notices", async || (ids().len() >= told.len()).then_some(())).await;
    assert_eq!(ids().len(), told.len());
    until("all to be settled", async || {
        let notices = server.get("/api/v1/notices?limit=500").await.expect(200);
        let states = notices.as_array()?.iter().map(|told| &told["deliveries"][0]["state"]).collect::<Vec<_>>();
        states.iter().all(|state| *state == "sent").then_some(())
    })
    .await;
}

/// Errors over the limit are sent again and again, while the server is killed: in the end each counts once.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_counts_once_whatever_happens_to_the_server() {
    const ERRORS: usize = 600;
    let mut server = Server::start().await;
    let set_limit = async |server: &Server, limit: Value| {
        let settings = json!({ "errors_per_minute": limit });
        server.as_admin(reqwest::Method::PUT, "/api/v1/logs/default", &settings).await.expect(200);
    };
    set_limit(&server, json!(20)).await;
    let (mut state, mut kept, mut refused) = (SEED, 0, 0);
    for number in 0..ERRORS {
        // Most are new, and some of those before come again.
        let number = if chance(&mut state).is_multiple_of(3) {
            usize::try_from(chance(&mut state)).unwrap() % (number + 1)
        } else {
            number
        };
        let answer = server.post(EVENTS, error("Alpha", &format!("e-{number}")).to_string()).await;
        match answer.status {
            200 => kept += 1,
            429 => refused += 1,
            _ => panic!("{}", answer.text()),
        }
        if chance(&mut state).is_multiple_of(100) {
            server.kill9();
            server.restart().await;
        }
    }
    assert!(kept >= 20 && refused >= 100, "{kept} {refused}");
    set_limit(&server, Value::Null).await;
    let lines: String = (0..ERRORS).map(|number| format!("{}\n", error("Alpha", &format!("e-{number}")))).collect();
    let receipt = server.post(EVENTS, lines).await.expect(200);
    assert_eq!(receipt["accepted"], ERRORS, "{receipt}");
    server.send(&error("Omega", "last")).await;
    server.issue("Omega", 1).await;
    let counted = server.issues("q=Alpha").await;
    assert_eq!(counted[0]["occurrences"], ERRORS, "{counted:?}");
    assert_eq!(server.events("exception.type=AlphaError&_limit=1000").await.len(), ERRORS);
}

/// A crash of the server between the exception and its answer, in whichever order they come, changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_exception_and_its_answer_are_one_issue_across_a_crash() {
    let mut server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z")]).await;
    let crash = async |server: &mut Server, clock: &str| {
        // What is there was looked at: a later one of its own is counted.
        let number = server.issues("").await.len();
        server.send(&json!({ "level": "error", "exception": { "type": word(number), "message": "y" } })).await;
        server.issue(&word(number), 1).await;
        server.kill9();
        server.set("EVERLOG_TEST_CLOCK", &format!("2026-01-02T{clock}Z"));
        server.restart().await;
    };
    let again = |id: &str| {
        let mut answer = answer("second");
        answer["id"] = id.into();
        answer
    };
    server.send(&error("Alpha", "first")).await;
    server.send(&answer("second")).await;
    server.send(&answer("third")).await;
    crash(&mut server, "03:04:06").await;
    server.send(&answer("first")).await;
    server.send(&error("Bravo", "second")).await;
    // An answer without an exception counts after a while, with its own time and the event that tells of it.
    crash(&mut server, "03:04:07").await;
    let alone = server.issue("500", 1).await;
    assert_eq!(
        (&alone["last_event"], &alone["last_seen"]),
        (&json!("third-answer"), &json!("2026-01-02T03:04:05.000000Z"))
    );
    crash(&mut server, "03:05:04").await;
    server.send(&again("soon")).await;
    crash(&mut server, "03:05:11").await;
    for title in ["Alpha", "Bravo", "500"] {
        server.issue(title, 1).await;
    }
    // Too late for either.
    server.send(&again("late")).await;
    server.send(&error("Charlie", "third")).await;
    crash(&mut server, "03:06:00").await;
    server.issue("500", 2).await;
    server.issue("Charlie", 1).await;
    let issues = server.issues("").await;
    assert_eq!(
        issues.iter().filter(|issue| !issue["title"].as_str().unwrap().starts_with("Err")).count(),
        4,
        "{issues:?}"
    );
}

/// What says what went wrong is told at once, though it has the status of an answer and no exception that is known for one.
#[tokio::test(flavor = "multi_thread")]
async fn an_exception_of_unknown_form_waits_for_nothing() {
    let server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z")]).await;
    let mut crash = answer("first");
    crash["exception"] = "attempt to divide by zero".into();
    server.send(&crash).await;
    let all = server.events("fingerprint").await;
    assert_eq!(all.len(), 1, "{all:?}");
    until("the issue", async || (server.issues("").await.len() == 1).then_some(())).await;
}

/// A word that is another for each number, without digits.
fn word(number: usize) -> String {
    let letters = b"bcdfghjklmnpqrstvwxz";
    let digit = |place: u32| char::from(letters[number / 20_usize.pow(place) % 20]).to_ascii_uppercase();
    let mut out = String::from("Err");
    for place in 0..4 {
        out.push(digit(place));
        out.push('a');
    }
    out
}

async fn flood(server: &Server, count: usize, error: impl Fn(usize) -> Value) {
    for first in (0..count).step_by(1000) {
        let lines: String = (first..first + 1000).map(|number| format!("{}\n", error(number))).collect();
        server.post(EVENTS, lines).await.accepted(1000, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_different_errors_are_bounded_and_all_counted() {
    let sink = HttpSink::start().await;
    let server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z")]).await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    flood(
        &server,
        10_000,
        |number| json!({ "level": "error", "message": "x", "exception": { "type": word(number), "message": "y" } }),
    )
    .await;
    let overflow = server.issue("Further different errors", 9_500).await;
    let issues = server.issues("limit=1000").await;
    assert_eq!(issues.len(), 501);
    let sum: u64 = issues.iter().map(|issue| issue["occurrences"].as_u64().unwrap()).sum();
    assert_eq!(sum, 10_000);
    assert!(issues.iter().all(|issue| issue["id"] == overflow["id"] || issue["occurrences"] == 1));
    // People read twenty of them an hour, and the others in a digest.
    let told = sink.wait(20).await;
    assert_eq!(told.len(), 20);
    server.send(&json!({ "n": 1 })).await;
    assert_eq!(server.events("n=1").await.len(), 1);
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("everlog_"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_of_one_error_are_one_issue() {
    let sink = HttpSink::start().await;
    let server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z")]).await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    flood(&server, 10_000, |number| {
        json!({ "level": "error", "message": format!("order {number} failed"), "user": format!("u{}", number % 100) })
    })
    .await;
    let issue = server.issue("failed", 10_000).await;
    assert_eq!((server.issues("").await.len(), &issue["users"]), (1, &json!(100)), "{issue}");
    sink.wait(5).await;
    let triggers: Vec<Value> = sink.notices().iter().map(|notice| notice["trigger"].clone()).collect();
    let reached = |times: u64| json!({ "reached": times });
    assert_eq!(triggers, [json!("new_issue"), reached(10), reached(100), reached(1000), reached(10_000)]);
}
