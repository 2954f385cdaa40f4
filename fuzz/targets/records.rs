#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    fuzz::check(body, intake::records(body, fuzz::limits(), fuzz::now()));
});
