#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    fuzz::check(body, intake::sentry::store(body, fuzz::limits(), fuzz::now()).decoded);
});
