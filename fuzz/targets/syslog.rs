#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    use intake::framing::{Frames, Framing};
    let mut messages = intake::Messages::new(intake::Protocol::Syslog, fuzz::limits(), fuzz::now(), jiff::tz::TimeZone::UTC);
    let mut frames = Frames::new(Framing::Syslog, 4096);
    for chunk in body.chunks(61) {
        frames.push(chunk, &mut |message, left_out| messages.push(message, left_out, Some("192.0.2.1")));
    }
    frames.finish(&mut |message, left_out| messages.push(message, left_out, Some("192.0.2.1")));
    fuzz::count(messages.finish());
});
