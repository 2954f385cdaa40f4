//! What fuzzing has found and kept, read without a fuzzer.

use std::{fs, panic};

#[path = "../../../fuzz/src/questions.rs"]
#[expect(unreachable_pub, reason = "the fuzzer has it as a library")]
mod questions;

#[test]
fn what_was_kept_is_read() {
    // Without optimisation, what is nested as deeply as is allowed takes more than a test's thread has.
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(read_all).unwrap();
    thread.join().unwrap();
}

fn read_all() {
    for (target, run) in questions::TARGETS {
        let folder = format!("{}/../../fuzz/fixtures/{target}", env!("CARGO_MANIFEST_DIR"));
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let body = fs::read(&path).unwrap();
            assert!(panic::catch_unwind(|| run(&body)).is_ok(), "{}", path.display());
        }
    }
}
