#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let Some((kind, body)) = body.split_first() else { return };
    let encoding = ["gzip", "deflate", "zstd", "br", "gzip, br"][usize::from(*kind) % 5];
    if let Ok(unpacked) = intake::body::unpack(encoding, body, 1 << 20) {
        assert!(unpacked.len() <= 1 << 20);
    }
});
