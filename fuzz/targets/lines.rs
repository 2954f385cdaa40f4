#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    use intake::lines::{Lines, Settings};
    let mut lines = Lines::new(Settings { zone: jiff::tz::TimeZone::UTC, now: jiff::Timestamp::UNIX_EPOCH, line_bytes_max: 4096 });
    let mut records = 0;
    let mut emit = |_| records += 1;
    for chunk in body.chunks(997) {
        lines.push(chunk, &mut emit);
    }
    lines.finish(&mut emit);
    assert!(records <= body.len() + 1);
});
