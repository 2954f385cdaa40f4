#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    use intake::otel::{Encoding, logs, traces};
    for read in [logs, traces] {
        if let Ok(decoded) = read(body, Encoding::Protobuf, fuzz::limits(), fuzz::now()) {
            fuzz::count(decoded);
        }
    }
    let _ = intake::otel::metrics(body, Encoding::Protobuf);
});
