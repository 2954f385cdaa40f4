#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let _ = intake::azure::key(body);
    fuzz::check(body, intake::azure::track(body, fuzz::limits(), fuzz::now()));
});
