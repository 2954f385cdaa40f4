//! Pages, totals and tails.

use engine::url::Question;

use crate::harness::{Fixture, ids, question};

fn event(number: usize, second: usize) -> String {
    format!(
        "{{\"id\":\"e{number}\",\"timestamp\":\"2026-01-01T00:{:02}:{:02}Z\",\"n\":{number},\"word\":\"w{}\"}}\n",
        second / 60,
        second % 60,
        number % 3
    )
}

/// Pages through with `limit`, doing something between the pages.
fn paged(fixture: &Fixture, query: &str, limit: usize, between: &mut dyn FnMut()) -> Vec<String> {
    let mut found = Vec::new();
    let mut question = Question { limit, ..question(query) };
    for _ in 0..1000 {
        let events = fixture.ask("log", &question);
        found.extend(ids(&events));
        between();
        match events.next {
            Some(next) => question.cursor = Some(next),
            None => return found,
        }
    }
    panic!("the pages never end");
}

#[test]
fn pages_hold_what_was_there_at_the_first_one() {
    for query in ["", "_sort=timestamp", "_sort=-n", "_sort=word&_sort=-n", "word=w1", "_sort=_sequence"] {
        let fixture = Fixture::new();
        let first: String = (0..100).map(|number| event(number, number * 7 % 300)).collect();
        fixture.send("log", &first);
        fixture.engine.flush().unwrap();
        let second: String = (100..150).map(|number| event(number, number * 11 % 300)).collect();
        fixture.send("log", &second);
        let all = ids(&fixture.url("log", &format!("{query}&_limit=1000")));
        let mut late = 1000;
        let pages = paged(&fixture, query, 7, &mut || {
            let more: String = [0, 150, 299].map(|at| event(late + at, at)).concat();
            fixture.send("log", &more);
            late += 1000;
        });
        assert_eq!(pages, all, "{query}");
    }
}

#[test]
fn totals_are_exact_wherever_the_events_are() {
    let fixture = Fixture::new();
    for round in 0..3 {
        let body: String = (round * 1000..(round + 1) * 1000).map(|number| event(number, number)).collect();
        fixture.send("log", &body);
        if round < 2 {
            fixture.engine.flush().unwrap();
        }
    }
    assert_eq!(fixture.url("log", "_limit=5").total, Some(3000));
    assert_eq!(fixture.url("log", "word=w1&_limit=5").total, Some(1000));
    assert_eq!(fixture.url("log", "n>=2990&_limit=5").total, Some(10));
    assert_eq!(fixture.url("log", "_limit=5&_total=n").total, None);
    assert_eq!(ids(&fixture.url("log", "_limit=2&_offset=1")), ["e2998", "e2997"]);
}

#[test]
fn a_tail_misses_nothing_and_doubles_nothing() {
    let fixture = Fixture::new();
    let mut seen = 0;
    let mut found = Vec::new();
    let filter = engine::search::parse("word:w1", jiff::Timestamp::now()).unwrap();
    for round in 0..20 {
        let body: String = (round * 50..(round + 1) * 50).map(|number| event(number, (number * 17) % 3000)).collect();
        fixture.send("log", &body);
        if round % 5 == 4 {
            fixture.engine.flush().unwrap();
        }
        loop {
            let tailed = fixture.engine.tail("log", &filter, seen, 7).unwrap();
            found.extend(tailed.documents.iter().map(|(sequence, _)| *sequence));
            if tailed.seen == seen {
                break;
            }
            seen = tailed.seen;
        }
    }
    assert_eq!(found.len(), 333);
    assert!(found.is_sorted_by(|one, two| one < two));
}

#[test]
fn an_event_sent_again_is_there_once() {
    let fixture = Fixture::new();
    let body: String = (0..10).map(|number| event(number, number)).collect();
    fixture.send("log", &body);
    fixture.engine.flush().unwrap();
    let fixture = fixture.restart();
    let receipt = fixture.send("log", &body);
    assert_eq!((receipt.accepted, receipt.duplicates), (10, 10));
    assert_eq!(fixture.url("log", "").total, Some(10));
}

#[test]
fn an_empty_log_answers_nothing_and_an_unknown_one_is_named() {
    let fixture = Fixture::new();
    assert_eq!(fixture.url("default", "status>=500").total, Some(0));
    let error = fixture.engine.events("defalt", &Question::default()).unwrap_err().to_string();
    assert!(error.contains("did you mean \"default\"?"), "{error}");
}
