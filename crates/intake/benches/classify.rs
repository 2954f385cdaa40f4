//! What classification costs: a request of a thousand events, with and without what it looks at.

use std::sync::atomic::{AtomicU64, Ordering};

use bench::{Batches, Generator, Source as _};
use divan::Bencher;
use divan::counter::ItemsCount;
use event::{Batch, Timestamp};
use intake::Limits;
use intake::classify::{Attempt, Classifier, Settings, agent};

const EVENTS: u64 = 1000;

fn main() {
    // Loaded once and for all, which is not what is measured here.
    drop(agent("curl/8.0"));
    divan::main();
}

fn decoded(body: &[u8]) -> Batch {
    intake::native(body, Limits::default(), Timestamp::from_micros(0)).batch
}

fn day() -> Vec<u8> {
    let batches = Batches::make(&mut Generator::new(7, EVENTS), EVENTS, EVENTS);
    let mut room = Vec::new();
    batches.next(&mut room).map_or(&[][..], |(body, _)| body).to_vec()
}

/// The same events without some keys.
fn without(keys: &[&str]) -> Batch {
    let mut body = Vec::new();
    for line in day().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut event: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).unwrap_or_default();
        keys.iter().for_each(|key| drop(event.remove(*key)));
        body.extend_from_slice(&serde_json::to_vec(&event).unwrap_or_default());
        body.push(b'\n');
    }
    decoded(&body)
}

fn measure(bencher: Bencher<'_, '_>, batch: &Batch) {
    let classifier = Classifier::new(&Settings::default());
    drop(classifier.apply(batch.clone()));
    let items = bencher.counter(ItemsCount::new(batch.len()));
    items.with_inputs(|| batch.clone()).bench_values(|batch| classifier.apply(divan::black_box(batch)));
}

/// For comparison: how long these events take to be read.
#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let body = day();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| decoded(divan::black_box(&body)));
}

/// Events of requests, with user agents and paths.
#[divan::bench]
fn requests(bencher: Bencher<'_, '_>) {
    measure(bencher, &without(&[]));
}

/// Events with paths alone, none of them a probe.
#[divan::bench]
fn paths(bencher: Bencher<'_, '_>) {
    measure(bencher, &without(&["user_agent"]));
}

/// Events that have only a name; one in forty tells of a login.
#[divan::bench]
fn names(bencher: Bencher<'_, '_>) {
    measure(bencher, &without(&["user_agent", "path", "url"]));
}

/// Events that have nothing to look at.
#[divan::bench]
fn nothing(bencher: Bencher<'_, '_>) {
    measure(bencher, &without(&["user_agent", "path", "url", "event"]));
}

#[divan::bench]
fn agent_that_is_known() -> bool {
    agent(divan::black_box("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"))
        .os()
        .is_some()
}

/// User agents that nobody sent before.
#[divan::bench]
fn agent_that_is_new(bencher: Bencher<'_, '_>) {
    let numbers = AtomicU64::new(0);
    bencher
        .with_inputs(|| {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            format!("Mozilla/5.0 (X{number}; Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/{number}.0")
        })
        .bench_refs(|text| agent(text).os().is_some());
}

#[divan::bench]
fn probe(bencher: Bencher<'_, '_>) {
    let classifier = Classifier::new(&Settings::default());
    bencher.bench(|| classifier.probe(divan::black_box("/api/v2/orders/4711/items"), None).is_some());
}

#[divan::bench]
fn login() -> bool {
    let attempt = Attempt { event: Some(divan::black_box("order_payment_accepted")), ..Attempt::default() };
    attempt.outcome().is_some()
}
