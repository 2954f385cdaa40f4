//! Pages: what was there at the first page is on exactly one of them, whatever comes meanwhile.

use serde_json::json;

use crate::server::{EVENTS, Server};

const COUNT: usize = 60;
const START_SECONDS: i64 = 1_750_000_000;

async fn check(sort: &str) {
    let mut server = Server::start().await;
    for number in 0..COUNT {
        // Several at the same moment, and not in the order of time.
        let moment = START_SECONDS + i64::try_from(number * 37 % 20).unwrap();
        server.send(&json!({"id": format!("old-{number}"), "timestamp": moment, "group": number % 4})).await;
        if number == COUNT / 2 {
            server.flush().await;
        }
    }
    let mut seen = Vec::new();
    let mut path = Some(format!("{EVENTS}?_limit=7{sort}"));
    let mut page = 0;
    while let Some(asked) = path {
        let answer = server.get(&asked).await;
        let events = answer.expect(200);
        assert!(events.as_array().unwrap().len() <= 7);
        if page == 0 {
            assert_eq!(answer.header("x-total-count"), COUNT.to_string());
        }
        seen.extend(events.as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        path = answer.next();
        for moment in [START_SECONDS - 1000, START_SECONDS + 5, START_SECONDS + 1000] {
            server.send(&json!({"id": format!("new-{page}-{moment}"), "timestamp": moment, "group": page % 5})).await;
        }
        match page {
            2 => server.flush().await,
            5 => {
                server.kill9();
                server.restart().await;
            }
            _ => {}
        }
        page += 1;
    }
    assert_eq!((page, seen.len()), (COUNT.div_ceil(7), COUNT));
    seen.sort();
    let mut expected: Vec<String> = (0..COUNT).map(|number| format!("old-{number}")).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_first() {
    check("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oldest_first() {
    check("&_sort=timestamp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_order_of_acceptance() {
    check("&_sort=_sequence").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_key_that_many_share() {
    check("&_sort=group").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_key_downwards_and_filtered() {
    check("&_sort=-group&_sort=timestamp&group>=0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_none_is_refused() {
    let server = Server::start().await;
    server.send(&json!({})).await;
    for cursor in ["x", "1.r.2", "1.o.-1", "9.r.1.1.1"] {
        server.get(&format!("{EVENTS}?_cursor={cursor}")).await.problem(400, "cursor");
    }
}
