#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let bulk = intake::elasticsearch::bulk(body, Some("shop"), fuzz::limits(), fuzz::now());
    for part in bulk.parts {
        fuzz::check(body, part.decoded);
    }
    fuzz::check(body, intake::elasticsearch::document(body, None, fuzz::limits(), fuzz::now()));
});
