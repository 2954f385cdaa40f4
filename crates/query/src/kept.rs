//! What fuzzing has found and kept is read by the languages of questions.

#[path = "../../../fuzz/src/kept.rs"]
#[expect(unreachable_pub, reason = "two crates have it")]
mod folder;
#[path = "../../../fuzz/src/questions.rs"]
#[expect(unreachable_pub, reason = "the fuzzer has it as a library")]
mod questions;

#[test]
fn what_was_kept_is_read() {
    folder::read(&questions::TARGETS);
}
