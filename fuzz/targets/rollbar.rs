#![no_main]
libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let document = intake::rollbar::document(body);
    let _ = intake::rollbar::token(&document);
    fuzz::check(body, intake::rollbar::item(&document, fuzz::limits(), fuzz::now()).decoded);
    let fields = intake::rollbar::deploy_fields(body);
    fuzz::check(body, intake::rollbar::deploy(&fields, fuzz::limits(), fuzz::now()).decoded);
});
