//! What it costs to find the issue of an event.

use divan::Bencher;
use event::{Level, Timestamp};
use issues::{Facts, Issue, Occurrence, Releases, group};

fn main() {
    divan::main();
}

fn bench(bencher: Bencher<'_, '_>, facts: &Facts<'_>) {
    bencher.bench(|| group(divan::black_box(facts)));
}

/// Every event that is stored passes by.
#[divan::bench]
fn no_error(bencher: Bencher<'_, '_>) {
    let facts = Facts {
        stream: "INFO",
        level: Some(Level::Info),
        message: "object 17 created",
        status: Some(200),
        ..Facts::default()
    };
    bench(bencher, &facts);
}

fn python_frames(count: usize) -> String {
    let frame = |place: usize| {
        let of_library = !place.is_multiple_of(3);
        let (module, file) = if of_library {
            ("django.core.handlers.base", "/venv/lib/python3.12/site-packages/django/core/handlers/base.py")
        } else {
            ("shop.orders.views", "/srv/shop/releases/20240501101500/shop/orders/views.py")
        };
        format!(
            r#"{{"function":"function_{place}","module":"{module}","file":"{file}","line":{place},"in_app":{}}}"#,
            !of_library
        )
    };
    format!("[{}]", (0..count).map(frame).collect::<Vec<_>>().join(","))
}

/// As Sentry's SDK for Python sends them.
#[divan::bench(args = [5, 30, 100])]
fn frames_of_python(bencher: Bencher<'_, '_>, count: usize) {
    let frames = python_frames(count);
    let facts =
        Facts { exception_type: "ValueError", exception_message: "no such sku", frames: &frames, ..Facts::default() };
    bench(bencher, &facts);
}

#[divan::bench]
fn frames_of_rust(bencher: Bencher<'_, '_>) {
    let frame = r#"{"function":"<shop::cart::Cart as shop::Pay<alloc::string::String>>::pay::{{closure}}::h0123456789abcdef","file":"/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/shop-1.0.0/src/cart.rs","line":7}"#;
    let frames = format!("[{}]", vec![frame; 30].join(","));
    let facts = Facts {
        exception_type: "panic",
        exception_message: "index out of bounds: the len is 3",
        frames: &frames,
        ..Facts::default()
    };
    bench(bencher, &facts);
}

#[divan::bench]
fn message(bencher: Bencher<'_, '_>) {
    let message = "payment 9f8e7d6c-1111-4222-8333-444455556666 of ann@example.com timed out after 5.0 s at https://pay.example/v1/charges/77";
    bench(bencher, &Facts { level: Some(Level::Error), message, logger: "shop.pay", ..Facts::default() });
}

#[divan::bench]
fn answer(bencher: Bencher<'_, '_>) {
    bench(bencher, &Facts { status: Some(502), method: "GET", path: "/api/v2/orders/17/items", ..Facts::default() });
}

#[divan::bench]
fn traceback_as_text(bencher: Bencher<'_, '_>) {
    let frame = "  File \"/srv/shop/orders/views.py\", line 12, in get\n    return handler(request, *args, **kwargs)\n";
    let text = format!("Traceback (most recent call last):\n{}ValueError: no such sku", frame.repeat(30));
    bench(bencher, &Facts { exception_text: &text, ..Facts::default() });
}

/// An occurrence of an issue that has many users.
#[divan::bench]
fn fold(bencher: Bencher<'_, '_>) {
    let (mut issue, mut releases, mut second) = (Issue::new("1"), Releases::default(), 0_i64);
    releases.see("1.0", Timestamp::from_micros(0));
    bencher.bench_local(|| {
        second += 1;
        let time = Timestamp::from_micros(second * 1_000_000);
        let occurrence = Occurrence {
            id: "0197f3c2",
            fingerprint: "1-0123456789abcdef0123456789abcdef",
            title: "ValueError: no such sku",
            culprit: "shop.orders.views in get",
            level: Level::Error,
            time,
            received: time,
            times: 1,
            release: "1.0",
            environment: "production",
            user: Some(second.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        issue.fold(&occurrence, &releases)
    });
}
