#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    fuzz::check(body, intake::gelf(body, fuzz::limits(), fuzz::now()));
});
