//! Exceptions and frames out of the text of a traceback, for events that have nothing else.

use crate::frames::{CHAIN_MAX, Exception, FRAMES_MAX, Frame};
use crate::place::{Owner, owner};

/// So many lines of a text are read.
const LINES_MAX: usize = 4000;

/// What begins a traceback of Python.
const PYTHON: &str = "Traceback (most recent call last):";

/// What begins the frames of Rust: `stack backtrace:` of a panic, `Stack backtrace:` of an error.
const RUST: &str = "tack backtrace:\n";

/// Reads a traceback of Python, JavaScript, Java, Kotlin, .NET, Rust, Go, Ruby or PHP: the exception that was not caught
/// first, with the frames of each, where it was raised last. Another text is an exception without type.
pub(crate) fn read(text: &str) -> Vec<Exception<'_>> {
    let mut found = if text.contains(PYTHON) {
        python(text)
    } else if text.contains("panicked at ") || is_of_rust(text) {
        vec![rust(text)]
    } else if text.contains("goroutine ") && text.contains(".go:") {
        vec![go(text)]
    } else if text.contains("\n#0 ") {
        php(text)
    } else if text.contains(":in `") || text.contains(":in '") {
        vec![ruby(text)]
    } else if is_of_browser(text) {
        vec![browser(text)]
    } else {
        placed(text)
    };
    found.truncate(CHAIN_MAX);
    found
}

/// Whether it has frames as Rust prints them.
pub(crate) fn is_of_rust(text: &str) -> bool {
    text.contains(RUST)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take(LINES_MAX)
}

fn frame<'a>(function: &'a str, file: &'a str) -> Frame<'a> {
    Frame { function: function.into(), file: file.into(), ..Frame::default() }
}

fn named<'a>(line: &'a str) -> Exception<'a> {
    let line = line.trim();
    let (kind, message) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
    if is_name(kind) {
        Exception { kind: kind.into(), message: message.trim().into(), ..Exception::default() }
    } else {
        Exception { message: line.into(), ..Exception::default() }
    }
}

fn is_name(kind: &str) -> bool {
    !kind.is_empty()
        && kind.len() <= 200
        && kind
            .chars()
            .all(|character| character.is_alphanumeric() || matches!(character, '.' | '_' | '$' | ':' | '\\'))
}

/// Turns frames that come with where it was raised first.
fn turned(mut one: Exception<'_>) -> Exception<'_> {
    one.frames.truncate(FRAMES_MAX);
    one.frames.reverse();
    one
}

fn python(text: &str) -> Vec<Exception<'_>> {
    let mut chain = Vec::new();
    let mut frames: Option<Vec<Frame<'_>>> = None;
    for line in lines(text) {
        let line = line.trim_start_matches(['+', '|']).trim_end();
        let bare = line.trim_start_matches([' ', '+', '|', '-']);
        if bare.ends_with(PYTHON) {
            frames = Some(Vec::new());
            continue;
        }
        let Some(open) = frames.as_mut() else { continue };
        let place = bare.strip_prefix("File \"").and_then(|rest| rest.split_once("\", line "));
        if let Some((file, rest)) = place {
            let function = rest.split_once(", in ").map_or("", |(_, function)| function);
            open.push(frame(function.trim(), file));
        } else if !line.starts_with([' ', '\t']) && !bare.is_empty() {
            let skipped = open.len().saturating_sub(FRAMES_MAX);
            let kept = open.split_off(skipped);
            chain.push(Exception { frames: kept, ..named(bare) });
            frames = None;
        }
    }
    chain.reverse();
    chain
}

/// The message is on the line after `panicked at FILE:`; in older versions between quotes before it.
fn rust(text: &str) -> Exception<'_> {
    let panic = text.find("panicked at ").map(|at| &text[at + "panicked at ".len()..]);
    let mut one = match panic {
        Some(rest) => {
            let old = rest.strip_prefix('\'').and_then(|rest| rest.split_once("', ").map(|(message, _)| message));
            let message = old.or_else(|| rest.lines().nth(1)).unwrap_or("");
            Exception { kind: "panic".into(), message: message.trim().into(), ..Exception::default() }
        }
        None => named(text.lines().find(|line| !line.trim().is_empty()).unwrap_or("")),
    };
    // What is numbered before are causes.
    let frames = text.find(RUST).map_or(text, |at| &text[at..]);
    for line in lines(frames) {
        let line = line.trim();
        let numbered = line.split_once(": ").filter(|(number, _)| {
            !number.is_empty() && number.len() <= 4 && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        if let Some((_, function)) = numbered.map(|(number, function)| (number, function.trim_start())) {
            // `0x55d0c8a7f1b2 - shop::pay`
            let function = function
                .split_once(" - ")
                .filter(|(address, _)| address.starts_with("0x"))
                .map_or(function, |(_, name)| name);
            one.frames.push(frame(function.trim(), ""));
        } else if let (Some(place), Some(last)) = (line.strip_prefix("at "), one.frames.last_mut()) {
            last.file = without_numbers(place).into();
        }
    }
    turned(one)
}

/// `main.(*Cart).Pay(0xc0000, 0x1)` and, on the next line, `/app/cart.go:12 +0x1a`. The first goroutine is the one that
/// failed.
fn go(text: &str) -> Exception<'_> {
    let head = lines(text).map(str::trim).find(|line| line.starts_with("panic: ") || line.starts_with("fatal error: "));
    let mut one = match head.and_then(|head| head.split_once(": ")) {
        Some((kind, message)) => {
            let message = message.split(" [recovered]").next().unwrap_or(message);
            Exception { kind: kind.into(), message: message.into(), ..Exception::default() }
        }
        None => Exception { kind: "panic".into(), ..Exception::default() },
    };
    let mut function = None;
    let from = text.find("goroutine ").unwrap_or(0);
    for line in lines(&text[from..]).skip(1) {
        if line.starts_with("goroutine ") {
            break;
        }
        let trimmed = line.trim();
        let is_place = line.starts_with(['\t', ' ']) && trimmed.contains(':');
        if let (true, Some(called)) = (is_place, function) {
            one.frames.push(frame(called, without_numbers(trimmed.split(" +0x").next().unwrap_or(trimmed))));
            function = None;
        } else {
            let called = trimmed
                .strip_prefix("created by ")
                .map_or(trimmed, |rest| rest.split(" in goroutine").next().unwrap_or(rest));
            function = Some(
                called.strip_suffix(')').and_then(|called| called.rsplit_once('(')).map_or(called, |(name, _)| name),
            )
            .filter(|name| !name.is_empty());
            if trimmed.starts_with("created by ") {
                // Where the goroutine was started is no part of what it called.
                function = None;
            }
        }
    }
    turned(one)
}

/// `PHP Fatal error:  Uncaught Shop\Gone: no in /app/Cart.php:12`, then `#0 /app/Shop.php(7): Shop\Cart->pay(1)`.
fn php(text: &str) -> Vec<Exception<'_>> {
    let mut chain: Vec<Exception<'_>> = Vec::new();
    for line in lines(text) {
        let line = line.trim();
        let numbered = line
            .strip_prefix('#')
            .and_then(|rest| rest.split_once(' '))
            .filter(|(number, _)| number.parse::<u32>().is_ok());
        if let (Some((_, called)), Some(one)) = (numbered, chain.last_mut()) {
            let (place, function) = called.split_once(": ").unwrap_or(("", called));
            let place = place.rsplit_once('(').map_or(place, |(file, _)| file);
            // What a line names was called in the file that the line names; the file of the function is that of the line before.
            one.frames.push(frame(function.split('(').next().unwrap_or(function), place));
            continue;
        }
        let head = line.split_once("Uncaught ").map_or(line, |(_, rest)| rest);
        let head = head.strip_prefix("Next ").unwrap_or(head);
        let head = head.split_once("] ").filter(|(stamp, _)| stamp.starts_with('[')).map_or(head, |(_, rest)| rest);
        if (chain.is_empty() || line.starts_with("Next ")) && !head.is_empty() {
            let said = head.rsplit_once(" in ").map_or(head, |(said, _)| said);
            chain.push(named(said));
        }
    }
    chain.reverse();
    let mut chain: Vec<Exception<'_>> = chain.into_iter().map(turned).collect();
    for one in &mut chain {
        // A function is in the file from which the next one was called.
        let files: Vec<_> = one.frames.iter().skip(1).map(|frame| frame.file.clone()).collect();
        let count = one.frames.len();
        for (frame, file) in one.frames.iter_mut().zip(files) {
            frame.file = file;
        }
        if let Some(last) = one.frames.get_mut(count.saturating_sub(1)) {
            last.file = "".into();
        }
        let raised_in_library = |frame: &Frame<'_>| !frame.file.is_empty() && owner(&frame.file) != Owner::App;
        if let [.., before, last] = one.frames.as_mut_slice()
            && raised_in_library(before)
        {
            last.file = before.file.clone();
        }
    }
    chain
}

/// `/app/cart.rb:12:in 'Cart#pay': no (Shop::Gone)`, then `\tfrom /app/shop.rb:7:in 'run'`; or the message first.
fn ruby(text: &str) -> Exception<'_> {
    let mut one = Exception::default();
    for line in lines(text) {
        let line = line.trim().trim_start_matches("from ");
        let Some((place, rest)) = line.split_once(":in ") else {
            if one.kind.is_empty() && one.frames.is_empty() && !line.is_empty() {
                // `Shop::Gone (no):`, as Rails writes it, or `Shop::Gone: no`.
                one = match line.trim_end_matches(':').split_once(" (") {
                    Some((kind, message)) if is_name(kind) => Exception {
                        kind: kind.into(),
                        message: message.trim_end_matches(')').into(),
                        ..Exception::default()
                    },
                    _ => named(line),
                };
            }
            continue;
        };
        let quoted = rest.trim_start_matches(['`', '\'']);
        let (function, after) = quoted.split_once('\'').unwrap_or((quoted, ""));
        one.frames.push(frame(function, without_numbers(place)));
        if let (1, Some(said)) = (one.frames.len(), after.strip_prefix(": ")) {
            let (message, kind) = said.rsplit_once(" (").unwrap_or((said, ""));
            one.kind = kind.trim_end_matches(')').into();
            one.message = message.into();
        }
    }
    turned(one)
}

fn is_of_browser(text: &str) -> bool {
    let is_frame = |line: &str| {
        line.contains('@') && without_numbers(line).len() < line.len() && !line.trim_start().starts_with("at ")
    };
    text.lines().take(6).any(is_frame)
}

/// Firefox and Safari: `pay@https://shop.example/cart.js:7:3`.
fn browser(text: &str) -> Exception<'_> {
    let mut one = Exception::default();
    for (number, line) in lines(text).enumerate() {
        let line = line.trim();
        match line.split_once('@') {
            Some((function, place)) if without_numbers(place).len() < place.len() || place == "[native code]" => {
                one.frames.push(frame(function, without_numbers(place)));
            }
            _ if number == 0 => one = named(line),
            _ if line == "[native code]" => {}
            _ => {}
        }
    }
    turned(one)
}

/// The languages that begin with the exception and go on with `at …`: Java, Kotlin, JavaScript (V8) and .NET.
fn placed(text: &str) -> Vec<Exception<'_>> {
    let mut chain: Vec<Exception<'_>> = Vec::new();
    for line in lines(text) {
        let trimmed = line.trim();
        let cause = trimmed.strip_prefix("Caused by: ").or_else(|| trimmed.strip_prefix("[cause]: "));
        // .NET: ` ---> System.TimeoutException: no`, also behind the first line.
        let cause = cause.or_else(|| trimmed.strip_prefix("---> "));
        if let Some(cause) = cause {
            chain.push(named(cause.trim_end_matches(" {")));
        } else if let (Some(place), Some(one)) =
            (trimmed.strip_prefix("at ").filter(|_| line.starts_with([' ', '\t'])), chain.last_mut())
        {
            one.frames.push(placed_frame(place));
        } else if !trimmed.is_empty() && (chain.is_empty() || is_only_announced(&chain) && is_raised(trimmed)) {
            chain.clear();
            let mut parts = raised_head(trimmed).split(" ---> ");
            chain.extend(parts.next().map(named));
            chain.extend(parts.map(named));
        }
    }
    // .NET writes the frames of the innermost exception first, below all names.
    if text.contains("--- End of inner exception stack trace ---") {
        dotnet_inner(text, &mut chain);
    }
    chain.into_iter().map(turned).collect()
}

/// The line that names what was raised, without what runtimes write before it.
fn raised_head(line: &str) -> &str {
    let after_thread = line.strip_prefix("Exception in thread \"").and_then(|rest| rest.split_once("\" "));
    let mut head = after_thread.map_or(line, |(_, rest)| rest);
    for ahead in ["Unhandled exception. ", "Uncaught ", "(in promise) "] {
        head = head.strip_prefix(ahead).unwrap_or(head);
    }
    head
}

/// Whether all that is known is a line that is no name, as a log line or the place in the source.
fn is_only_announced(chain: &[Exception<'_>]) -> bool {
    let is_level = |kind: &str| kind.bytes().all(|byte| byte.is_ascii_uppercase());
    matches!(chain, [only] if only.frames.is_empty() && is_level(&only.kind))
}

fn is_raised(line: &str) -> bool {
    let one = named(raised_head(line));
    ["Exception", "Error", "Throwable"].iter().any(|end| one.kind.ends_with(end))
}

/// Gives each exception its frames: those of the innermost come first, and a line ends each.
fn dotnet_inner<'a>(text: &'a str, chain: &mut [Exception<'a>]) {
    let mut place = chain.len().saturating_sub(1);
    for one in chain.iter_mut() {
        one.frames.clear();
    }
    for line in lines(text) {
        let trimmed = line.trim();
        if trimmed.starts_with("--- End of inner exception") {
            place = place.saturating_sub(1);
        } else if let (Some(called), Some(one)) = (trimmed.strip_prefix("at "), chain.get_mut(place)) {
            one.frames.push(placed_frame(called));
        }
    }
}

fn placed_frame(place: &str) -> Frame<'_> {
    let place = place.trim_end().trim_end_matches(" {");
    if let Some((function, file)) = place.split_once(") in ") {
        let function = function.split('(').next().unwrap_or(function);
        return frame(function, file.rsplit_once(":line ").map_or(file, |(file, _)| file));
    }
    let called = place.strip_suffix(')').and_then(|place| place.rsplit_once('('));
    let Some((function, file)) = called else { return frame("", without_numbers(place)) };
    let file = without_numbers(file);
    // Java and .NET write the class before the method, without a blank.
    if !function.ends_with(' ')
        && let Some((module, method)) = function.rsplit_once('.')
    {
        return Frame {
            module: module.into(),
            ..frame(
                method,
                if file.contains([' ', ',']) && !file.contains("Native") && !file.contains("Unknown") {
                    ""
                } else {
                    file
                },
            )
        };
    }
    frame(function.trim(), file)
}

/// A place without `:line` and `:line:column`.
fn without_numbers(place: &str) -> &str {
    let mut place = place;
    for _ in 0..2 {
        match place.rsplit_once(':') {
            Some((rest, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                place = rest;
            }
            _ => break,
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let shown: Vec<String> = read(text)
            .iter()
            .map(|one| {
                let frames: Vec<String> = one
                    .frames
                    .iter()
                    .map(|frame| {
                        format!(
                            "{}{}{}@{}",
                            &*frame.module,
                            if frame.module.is_empty() { "" } else { "." },
                            &*frame.function,
                            &*frame.file
                        )
                    })
                    .collect();
                format!("{} | {} | {}", &*one.kind, &*one.message, frames.join(" "))
            })
            .collect();
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn of_python() {
        check(
            "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in load\n    x\nKeyError: 'sku'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/app/b.py\", line 9, in pay\n    y\nshop.Gone: no: x",
            &["shop.Gone | no: x | pay@/app/b.py", "KeyError | 'sku' | load@/app/a.py"],
        );
    }

    #[test]
    fn of_javascript() {
        check(
            "TypeError: x\n    at pay (/app/cart.js:7:3)\n    at /app/main.js:1:9",
            &["TypeError | x | @/app/main.js pay@/app/cart.js"],
        );
        check(
            "TypeError: x\npay@https://a.b/cart.js:7:3\n@https://a.b/m.js:1:9",
            &["TypeError | x | @https://a.b/m.js pay@https://a.b/cart.js"],
        );
    }

    #[test]
    fn of_java_and_dotnet() {
        check(
            "Exception in thread \"main\" java.io.IOException: no\n\tat com.shop.Cart.pay(Cart.java:7)\nCaused by: a.B: c\n\tat x.Y.z(Y.java:1)\n\t... 2 more",
            &["java.io.IOException | no | com.shop.Cart.pay@Cart.java", "a.B | c | x.Y.z@Y.java"],
        );
        check(
            "System.Exception: no\n ---> System.TimeoutException: slow\n   at Shop.Db.Get() in /src/Db.cs:line 2\n   --- End of inner exception stack trace ---\n   at Shop.Cart.Pay(Int32 n) in /src/Cart.cs:line 7\n   at Shop.Main()",
            &[
                "System.Exception | no | Shop.Main@ Shop.Cart.Pay@/src/Cart.cs",
                "System.TimeoutException | slow | Shop.Db.Get@/src/Db.cs",
            ],
        );
    }

    #[test]
    fn of_rust_and_go() {
        check(
            "thread 'main' panicked at src/main.rs:2:3:\nno\nstack backtrace:\n   0: std::panicking::begin_panic\n             at /rustc/1/panicking.rs:5:1\n   1: shop::main\n             at ./src/main.rs:2:3",
            &["panic | no | shop::main@./src/main.rs std::panicking::begin_panic@/rustc/1/panicking.rs"],
        );
        check("thread 'main' panicked at 'no', src/main.rs:2:3", &["panic | no | "]);
        check(
            "panic: no\n\ngoroutine 1 [running]:\nmain.(*Cart).Pay(0xc000, 0x1)\n\t/app/cart.go:12 +0x1a\nmain.main()\n\t/app/main.go:3 +0x2b\nexit status 2",
            &["panic | no | main.main@/app/main.go main.(*Cart).Pay@/app/cart.go"],
        );
    }

    #[test]
    fn of_ruby_and_php() {
        check(
            "/app/cart.rb:12:in `pay': no such sku (Shop::Gone)\n\tfrom /app/shop.rb:7:in `block in run'",
            &["Shop::Gone | no such sku | block in run@/app/shop.rb pay@/app/cart.rb"],
        );
        check(
            "PHP Fatal error:  Uncaught Shop\\Gone: no in /app/Cart.php:12\nStack trace:\n#0 /app/Shop.php(7): Shop\\Cart->pay(1)\n#1 {main}\n  thrown in /app/Cart.php on line 12",
            &["Shop\\Gone | no | {main}@/app/Shop.php Shop\\Cart->pay@"],
        );
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in [
            "",
            "\n#0 ",
            "a:in `",
            "@:1:2",
            "goroutine .go:",
            "panicked at ",
            "Traceback (most recent call last):",
            "at \n at",
            "é: ü\n\tat (",
        ] {
            read(text);
        }
    }
}
