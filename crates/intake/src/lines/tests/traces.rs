//! Tracebacks: what is held together, and what is not.

use super::{event, read, shown, text};

/// Checks that an input is one event, with this message and all its lines in the exception.
#[track_caller]
fn check_alone(input: &str, message: &str) {
    let records = read(input);
    assert_eq!(records.len(), 1, "{records:#?}");
    let event = event(&records[0]);
    assert_eq!(text(&event, "exception"), input.trim_end());
    assert_eq!((text(&event, "message"), text(&event, "level")), (message, "error"));
}

const PYTHON: &str = r#"Traceback (most recent call last):
  File "a.py", line 3, in pay
    charge()
    ~~~~~~^^
psycopg.errors.UniqueViolation: duplicate key
DETAIL:  Key (id)=(1) already exists.

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "b.py", line 1, in view
    pay()
django.db.utils.IntegrityError: duplicate key

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "c.py", line 1, in <module>
KeyError: 'x'
"#;

const PYTHON_GROUP: &str = "  + Exception Group Traceback (most recent call last):
  |   File \"a.py\", line 1, in <module>
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------
";

const JAVA: &str = "java.lang.IllegalStateException: no money
\tat com.shop.Cart.pay(Cart.java:7)
\tat com.shop.Main.main(Main.java:3)
Caused by: java.io.IOException: closed
\t... 12 more
";

const NODE: &str = "TypeError: x is not a function
    at pay (/app/cart.js:7:3)
    at async Promise.all (index 0)
    at file:///app/main.js:1:2 {
  code: 'X'
}
";

const RUST: &str = "thread 'main' (77) panicked at src/main.rs:1:2:
called `Result::unwrap()` on an `Err` value: cannot pay

Caused by:
    0: no money
stack backtrace:
   0: rust_begin_unwind
             at /rustc/1/library/std/src/panicking.rs:1:5
   1: shop::main
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
";

const GO: &str = "panic: runtime error: invalid memory address
[signal SIGSEGV: segmentation violation code=0x1]

goroutine 1 [running]:
main.pay(0x1)
\t/app/main.go:5 +0x1d
created by main.main in goroutine 1
\t/app/main.go:9 +0x2

goroutine 2 [select]:
main.wait()
\t/app/main.go:15 +0x1d
exit status 2
";

#[test]
fn alone() {
    check_alone(PYTHON, "KeyError: 'x'");
    check_alone(PYTHON_GROUP, "ExceptionGroup: two (2 sub-exceptions)");
    check_alone(JAVA, "java.lang.IllegalStateException: no money");
    check_alone(NODE, "TypeError: x is not a function");
    check_alone(RUST, "called `Result::unwrap()` on an `Err` value: cannot pay");
    check_alone(
        "thread 'main' panicked at 'no', src/main.rs:1:2\nnote: run with\n",
        "thread 'main' panicked at 'no', src/main.rs:1:2",
    );
    check_alone(GO, "panic: runtime error: invalid memory address");
    check_alone(
        "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [select]:\nmain.main()\n\t/a.go:1\n",
        "fatal error: all goroutines are asleep - deadlock!",
    );
}

#[test]
fn after_a_record_it_belongs_to_the_record() {
    for trace in [PYTHON, PYTHON_GROUP, JAVA, NODE, RUST, GO] {
        for head in [
            "2026-11-20 15:59:36,123 CRITICAL shop.cart it broke",
            "[2026-11-20 15:59:36] CRITICAL: shop.cart: it broke",
        ] {
            let records = read(format!("{head}\n{trace}after\n"));
            assert_eq!(records.len(), 2, "{records:#?}");
            let event = event(&records[0]);
            assert_eq!(text(&event, "exception"), trace.trim_end());
            assert_eq!((text(&event, "message"), text(&event, "level")), ("it broke", "critical"));
            assert_eq!(text(&event, "logger"), "shop.cart");
        }
    }
}

#[test]
fn a_plain_line_before_belongs_only_if_it_announces() {
    let input = "Serving on port 80\nTraceback (most recent call last):\n  File\nKeyError: 1\nInternal Server Error: /pay\nTraceback (most recent call last):\n  File\nKeyError: 2\n";
    insta::assert_snapshot!(shown(input), @r##"
    0 text {"message":"Serving on port 80"}
    19 text {"level":"error","message":"KeyError: 1","exception":"Traceback (most recent call last):\n  File\nKeyError: 1"}
    73 text {"level":"error","message":"Internal Server Error: /pay","exception":"Traceback (most recent call last):\n  File\nKeyError: 2"}
    "##);
}

#[test]
fn a_group_is_not_part_of_a_plain_line_before_it() {
    let records = read(format!("Serving on port 80\n{PYTHON_GROUP}"));
    assert_eq!(text(&event(&records[1]), "exception"), PYTHON_GROUP.trim_end());
    assert_eq!(records.len(), 2);
}

#[test]
fn other_records_end_it() {
    let input = "Traceback (most recent call last):\n  File\n{\"a\":1}\nthread 'x' panicked at a.rs:1:2:\nno\n2026-11-20 15:59:36 INFO go on\njava.io.IOException: no\n2026-11-20 15:59:36 INFO go on\n  with this\n\n  not this\n";
    insta::assert_snapshot!(shown(input), @r##"
    0 text {"level":"error","message":"Traceback (most recent call last):","exception":"Traceback (most recent call last):\n  File"}
    42 json {"a":1}
    50 text {"level":"error","message":"no","exception":"thread 'x' panicked at a.rs:1:2:\nno"}
    86 python {"timestamp":"2026-11-20T15:59:36.000000Z","level":"info","message":"go on"}
    117 text {"timestamp":"2026-11-20T15:59:36.000000Z","message":"java.io.IOException: no"}
    141 python {"timestamp":"2026-11-20T15:59:36.000000Z","level":"info","message":"go on\n  with this"}
    185 text {"timestamp":"2026-11-20T15:59:36.000000Z","message":"  not this"}
    "##);
}
