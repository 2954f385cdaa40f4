//! What fuzzing has found and kept, read without a fuzzer.

use std::{fs, panic, thread};

type Target = (&'static str, fn(&[u8]));

/// Runs each target with all that is kept for it.
pub fn read(targets: &'static [Target]) {
    let read_all = move || {
        for (target, run) in targets {
            // Of whichever crate reads it: they stand beside each other.
            let folder = format!("{}/../../fuzz/fixtures/{target}", env!("CARGO_MANIFEST_DIR"));
            let mut read = 0;
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let body = fs::read(&path).unwrap();
                assert!(panic::catch_unwind(|| run(&body)).is_ok(), "{}", path.display());
                read += 1;
            }
            assert!(read > 0, "nothing is kept of {target}");
        }
    };
    // Without optimisation, what is nested as deeply as is allowed takes more than a test's thread has.
    thread::Builder::new().stack_size(16 << 20).spawn(read_all).unwrap().join().unwrap();
}
