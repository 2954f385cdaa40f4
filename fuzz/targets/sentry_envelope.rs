#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    fuzz::check(body, intake::sentry::envelope(body, fuzz::limits(), 1 << 12, fuzz::now()).decoded);
    let _ = intake::sentry::key(body);
});
