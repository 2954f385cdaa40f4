//! Nothing is ever lost: sixteen writers, three power cuts, every event once and in its order, in the store and in the
//! tree of text files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::server::{EVENTS, Server, client, until};
use crate::tree::{caught_up, check_ids};

const WRITERS: usize = 16;
const EVENTS_EACH: usize = 10_000;
const BATCH: usize = 200;
const KILLS: usize = 3;

/// Sends `first..first + BATCH` of writer `writer` until it is acknowledged, wherever the server is by then.
async fn deliver(http: &reqwest::Client, address: &watch::Receiver<String>, writer: usize, first: usize) {
    let event = |number: usize| {
        let id = format!("{writer}-{number}");
        json!({"stream": "INFO", "user": "u", "message": format!("id={id}"), "id": id})
    };
    let lines: String = (first..first + BATCH).map(|number| format!("{}\n", event(number))).collect();
    loop {
        let url = address.borrow().clone();
        if let Ok(response) = http.post(format!("{url}{EVENTS}")).body(lines.clone()).send().await
            && response.status() == 200
            && let Ok(receipt) = response.json::<Value>().await
        {
            assert_eq!(receipt["accepted"], BATCH, "{receipt}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_and_three_power_cuts() {
    // Each start stands still for its first five seconds, at the same moment: no name may depend on the time alone.
    let mut server = Server::start_with(&[
        ("EVERLOG_TREE", "true"),
        ("EVERLOG_TREE_LINES_MAX", "20"),
        ("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z+5s"),
    ])
    .await;
    let (moved, address) = watch::channel(server.url().to_owned());
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (address, acknowledged) = (address.clone(), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let http = client();
                for first in (0..EVENTS_EACH).step_by(BATCH) {
                    deliver(&http, &address, writer, first).await;
                    acknowledged.fetch_add(BATCH, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for kill in 1..=KILLS {
        let enough = kill * WRITERS * EVENTS_EACH / (KILLS + 1);
        until("acknowledgements", async || (acknowledged.load(Ordering::Relaxed) >= enough).then_some(())).await;
        server.kill9();
        server.restart().await;
        moved.send(server.url().to_owned()).unwrap();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    check(&server).await;
    let tree = server.data().join("logs");
    caught_up(&server, &tree).await;
    check_ids(&tree, WRITERS, EVENTS_EACH);
    assert_eq!(server.internal("tree_rebuilt").await, 0);
    assert_eq!(server.internal("tree_failed").await, 0);
}

/// Every event is there once, and those of each writer in the order in which it sent them.
async fn check(server: &Server) {
    let mut next = [0; WRITERS];
    let mut path = Some(format!("{EVENTS}?user=u&_sort=_sequence&_c=id&_limit=20000"));
    while let Some(asked) = path {
        let page = server.get(&asked).await;
        for event in page.expect(200).as_array().unwrap() {
            let (writer, number) = event["id"].as_str().unwrap().split_once('-').unwrap();
            let next = &mut next[writer.parse::<usize>().unwrap()];
            assert_eq!(number.parse::<usize>().unwrap(), *next, "writer {writer}");
            *next += 1;
        }
        path = page.next();
    }
    assert_eq!(next, [EVENTS_EACH; WRITERS]);
}
