//! Bytes in, batches out: a request of a thousand events, and of one.

use bench::{Batches, Generator, Source as _};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use event::Timestamp;
use intake::Limits;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 1000])]
fn native(bencher: Bencher<'_, '_>, events: u64) {
    let batches = Batches::make(&mut Generator::new(7, events), events, events);
    let mut room = Vec::new();
    let body = batches.next(&mut room).map_or(&[][..], |(body, _)| body);
    bencher
        .counter(BytesCount::new(body.len()))
        .counter(ItemsCount::new(events))
        .bench(|| intake::native(divan::black_box(body), Limits::default(), Timestamp::from_micros(0)));
}
