//! What fuzzing has found and kept is read by every decoder.

#[path = "../../../../fuzz/src/decoders.rs"]
#[expect(unreachable_pub, reason = "the fuzzer has it as a library")]
mod decoders;
#[path = "../../../../fuzz/src/kept.rs"]
#[expect(unreachable_pub, reason = "two crates have it")]
mod folder;

#[test]
fn what_was_kept_is_read() {
    folder::read(&decoders::TARGETS);
}
