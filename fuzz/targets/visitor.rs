#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    use intake::visitor::{Sent, arguments};
    let text = String::from_utf8_lossy(body);
    let (query, sent) = text.split_once("\\n").unwrap_or((&text, ""));
    for kind in [Sent::Form(sent.as_bytes()), Sent::Json(sent.as_bytes())] {
        let _ = arguments(query, kind, sent.len() % 2 == 0);
    }
});
