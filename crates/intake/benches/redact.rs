//! What redaction adds to a request: with nothing to replace, with words that look like it, and with secrets.

use bench::{Batches, Generator, Source as _};
use divan::Bencher;
use divan::counter::ItemsCount;
use event::{Batch, Timestamp};
use intake::Limits;
use intake::redact::{Key, Level, Redact, Settings};

fn main() {
    divan::main();
}

const LEVELS: [Level; 3] = [Level::Off, Level::Standard, Level::Strict];

/// An exception of a Django application as its SDK sends it.
const EXCEPTION: &[u8] = include_bytes!("../tests/fixtures/sentry/django-20kb.envelope");

/// The made-up day as lines of JSON.
fn lines(events: u64) -> Vec<u8> {
    let batches = Batches::make(&mut Generator::new(7, events), events, events);
    let mut room = Vec::new();
    batches.next(&mut room).map_or_else(Vec::new, |(body, _)| body.to_vec())
}

fn native(body: &[u8]) -> Batch {
    intake::native(body, Limits::default(), Timestamp::from_micros(0)).batch
}

fn bench<const LEVEL: usize>(bencher: Bencher<'_, '_>, batch: &Batch) {
    let Ok(rules) = Redact::new(&Settings::default(), LEVELS[LEVEL], Some(&Key::new([7; 32]))) else { return };
    bencher
        .counter(ItemsCount::new(batch.len()))
        .with_inputs(|| batch.clone())
        .bench_values(|batch| rules.apply(batch));
}

#[divan::bench(args = [1, 1000], consts = [0, 1, 2])]
fn day<const LEVEL: usize>(bencher: Bencher<'_, '_>, events: u64) {
    bench::<LEVEL>(bencher, &native(&lines(events)));
}

/// The same as documents of `_bulk`.
#[divan::bench(consts = [0, 1, 2])]
fn bulk<const LEVEL: usize>(bencher: Bencher<'_, '_>) {
    let mut body = Vec::new();
    for line in lines(1000).split_inclusive(|byte| *byte == b'\n') {
        body.extend_from_slice(b"{\"index\":{\"_index\":\"day\"}}\n");
        body.extend_from_slice(line);
    }
    let bulk = intake::elasticsearch::bulk(&body, None, Limits::default(), Timestamp::from_micros(0));
    let Some(part) = bulk.parts.first() else { return };
    bench::<LEVEL>(bencher, &part.decoded.batch);
}

/// Each event has words that look like a secret, one in ten has one.
#[divan::bench(consts = [0, 1, 2])]
fn secrets<const LEVEL: usize>(bencher: Bencher<'_, '_>) {
    let mut body = Vec::new();
    for (number, line) in lines(1000).split_inclusive(|byte| *byte == b'\n').enumerate() {
        let url = if number % 10 == 0 { "/pay?token=abc123" } else { "/pay?step=3" };
        body.extend_from_slice(format!("{{\"note\":\"no token, no password\",\"url\":\"{url}\",").as_bytes());
        body.extend_from_slice(line.strip_prefix(b"{").unwrap_or(line));
    }
    bench::<LEVEL>(bencher, &native(&body));
}

#[divan::bench(consts = [0, 1, 2])]
fn sentry_exception<const LEVEL: usize>(bencher: Bencher<'_, '_>) {
    let envelope = intake::sentry::envelope(EXCEPTION, Limits::default(), 0, Timestamp::from_micros(0));
    bench::<LEVEL>(bencher, &envelope.decoded.batch);
}
