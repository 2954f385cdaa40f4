//! No event makes the grouping panic, whatever a client wrote, and what it keeps is bounded.

use event::Level;
use issues::{CULPRIT_BYTES_MAX, Facts, TITLE_CHARACTERS_MAX, explain, group};
use proptest::prelude::*;

use crate::corpus::FILES;

fn check(text: &str) {
    let frames = format!(r#"[{{"function":{0},"module":{0},"file":{0}}}]"#, serde_json::to_string(text).unwrap());
    let parts = [text, "{{ default }}"];
    let nothing = Facts { level: Some(Level::Error), ..Facts::default() };
    for facts in [
        Facts { exception_text: text, ..nothing },
        Facts { message: text, template: text, logger: text, event: text, ..nothing },
        Facts { message: text, ..nothing },
        Facts { exception_type: text, exception_message: text, frames: &frames, ..nothing },
        Facts { exception_type: "panic", exception_message: text, ..nothing },
        Facts { frames: text, chain: text, exception_text: text, ..nothing },
        Facts { status: Some(500), method: text, path: text, ..nothing },
        Facts { status: Some(500), path: text, route: text, ..nothing },
        Facts { fingerprint: &parts, exception_type: text, culprit: text, ..nothing },
    ] {
        let made = explain(&facts).unwrap();
        assert_eq!(group(&facts).unwrap().fingerprint, made.fingerprint);
        assert!(made.title.chars().count() <= TITLE_CHARACTERS_MAX && !made.title.is_empty());
        assert!(made.culprit.len() <= CULPRIT_BYTES_MAX);
        assert_eq!(made.fingerprint.len(), 34);
    }
}

/// Pieces of what real texts are made of, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let marks = [
        "\n",
        "\n  at ",
        " (",
        ")",
        ":12",
        ":1:2",
        "<",
        ">",
        "::",
        "{{closure}}",
        "$",
        "\\",
        "/",
        "'",
        "\"",
        "`",
        "%s",
        "%(a",
        "{",
        "}",
        "#0 ",
        "Traceback (most recent call last):\n",
        "  File \"",
        "\", line ",
        ", in ",
        "goroutine 1 [running]:\n",
        "panicked at ",
        "Caused by: ",
        " ---> ",
        "--- End of inner exception stack trace ---\n",
        "@",
        ":in `",
        ".go:",
        "é",
        "\u{0}",
        "😀",
        "<impl ",
        " for ",
        " as ",
        "=",
        "://",
        "[REDACTED:",
        "]",
        "…",
        "0x1f",
        "   0: ",
        "created by ",
        "Mon",
        " 7 ",
        "a",
        "E: b",
        "2024-05-01T10:11:12Z",
    ];
    proptest::collection::vec(proptest::sample::select(marks.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_pieces(text in pieces()) {
        check(&text);
    }

    #[test]
    fn any_text(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_part_of_the_corpus(file in 0..FILES.len(), start in 0..20_000_usize, length in 0..3000_usize) {
        let text: String = FILES[file].chars().skip(start).take(length).collect();
        check(&text);
    }
}

#[test]
fn the_longest_texts() {
    for piece in [
        "a",
        "1 ",
        "<",
        "<impl ",
        "(",
        "'",
        "\n",
        "at a.b(c:1)\n\t",
        "::",
        "/1",
        "%s",
        "{",
        "  File \"a\", line 1, in f\n",
        "é",
    ] {
        check(&piece.repeat(20_000 / piece.len()));
    }
}
