#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let sender = intake::ga4::Sender { measurement: "G-1".into(), ip: String::new(), user_agent: String::new() };
    fuzz::count(intake::ga4::collect(body, &sender, fuzz::limits(), fuzz::now()));
    let text = String::from_utf8_lossy(body);
    let (query, lines) = text.split_once('\n').unwrap_or((&text, ""));
    fuzz::count(intake::ga4::gtag(query, lines.as_bytes(), &sender, fuzz::limits(), fuzz::now()));
    let _ = intake::ga4::faults(body, "G-1");
});
