#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    fuzz::check(body, intake::entries(body, fuzz::limits(), fuzz::now()));
    fuzz::check(body, intake::form(body, fuzz::limits(), fuzz::now()));
});
