//! The frames of an exception from the text of its traceback.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::shaped::Shaped;

/// So many frames are kept, those next to where it was raised: of an endless recursion nobody reads more.
pub(crate) const FRAMES_MAX: usize = 200;

/// So many exceptions of a chain are kept.
pub(crate) const CHAIN_MAX: usize = 50;

/// What the text of a traceback says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traceback {
    /// A JSON list of the frames of the exception that was raised, where it was raised last.
    pub(crate) frames: Option<String>,
    /// A JSON list of type and message of each exception, the one that was raised first; none when there is only one.
    pub(crate) chain: Option<String>,
}

/// Reads a traceback of Python, Java, Kotlin, JavaScript, .NET, Rust or Go. Of any other text nothing is found.
pub(crate) fn traceback(text: &str) -> Traceback {
    let mut parts = parts(text);
    let frames = parts.first_mut().map(|part| std::mem::take(&mut part.frames)).filter(|frames| !frames.is_empty());
    let chain: Vec<Value> = parts.iter().filter(|part| part.is_named()).map(Part::said).take(CHAIN_MAX).collect();
    Traceback {
        frames: frames.map(|frames| Value::Array(frames.into()).to_string()),
        chain: (chain.len() > 1).then(|| Value::Array(chain).to_string()),
    }
}

/// The same chain with the frames of each exception, of a text that is there already.
pub(crate) fn chain(text: &str) -> Vec<Value> {
    let named = parts(text).into_iter().filter(Part::is_named).take(CHAIN_MAX);
    let whole = named.map(|mut part| {
        let mut said = part.said();
        said["frames"] = Value::Array(std::mem::take(&mut part.frames).into());
        said
    });
    whole.collect()
}

/// The exceptions of a text, the one that was raised first.
fn parts(text: &str) -> Vec<Part<'_>> {
    if !text.contains("Traceback (most recent call last):") {
        return go(text).unwrap_or_else(|| others(text));
    }
    let mut parts = python(text);
    parts.reverse();
    parts
}

/// Adds what the text of a traceback says to an event.
pub(crate) fn put(event: &mut Shaped<'_, '_>, text: &str) {
    let Traceback { frames, chain } = traceback(text);
    for (path, list) in [("exception.frames", frames), ("exception.chain", chain)] {
        if let Some(list) = list {
            event.list(path, list);
        }
    }
}

/// One exception of a chain.
#[derive(Default)]
struct Part<'a> {
    kind: &'a str,
    message: &'a str,
    frames: VecDeque<Value>,
}

impl<'a> Part<'a> {
    fn name(&mut self, line: &'a str) {
        let (kind, message) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        (self.kind, self.message) = (kind.trim(), message.trim());
    }

    fn is_named(&self) -> bool {
        !self.kind.is_empty()
    }

    fn said(&self) -> Value {
        json!({ "type": self.kind, "message": self.message })
    }

    /// Adds a frame that is nearer to where it was raised than all before it.
    fn nearer(&mut self, frame: Value) {
        self.frames.push_back(frame);
        if self.frames.len() > FRAMES_MAX {
            self.frames.pop_front();
        }
    }

    /// Adds a frame that is farther.
    fn farther(&mut self, frame: Value) {
        if self.frames.len() < FRAMES_MAX {
            self.frames.push_front(frame);
        }
    }
}

fn python(text: &str) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if line.trim_start_matches([' ', '+', '|']).starts_with("Traceback (most recent call last):") {
            parts.push(Part::default());
            open = true;
            continue;
        }
        let Some(part) = parts.last_mut().filter(|_| open) else { continue };
        if let Some(frame) = python_frame(line) {
            part.nearer(frame);
        } else if line.starts_with([' ', '\t']) {
            let code = line.trim();
            let is_mark = code.bytes().all(|byte| matches!(byte, b'~' | b'^' | b' ')) || code.starts_with('[');
            if let (Some(frame), false) = (part.frames.back_mut(), is_mark)
                && frame.get("context_line").is_none()
            {
                frame["context_line"] = code.into();
            }
        } else if !line.trim().is_empty() {
            part.name(line);
            open = false;
        }
    }
    parts
}

/// `  File "/app/shop.py", line 12, in pay`
fn python_frame(line: &str) -> Option<Value> {
    let rest = line.trim_start().strip_prefix("File \"")?;
    let (file, rest) = rest.split_once("\", line ")?;
    let (number, function) = rest.split_once(", in ").unwrap_or((rest, ""));
    let number: u32 = number.trim().parse().ok()?;
    Some(json!({ "function": function.trim(), "file": file, "line": number }))
}

/// Go: a function, and on the next line, after a tab, where it was called. Where it was raised is first.
fn go(text: &str) -> Option<Vec<Part<'_>>> {
    let mut part = Part::default();
    let mut called = None;
    for line in text.lines() {
        let place = line.strip_prefix('\t').map(|place| place.split(" +0x").next().unwrap_or(place));
        match (called.take(), place) {
            (Some(function), Some(place)) if place.contains(".go:") => {
                let mut frame = go_function(function);
                locate(&mut frame, place);
                part.farther(frame);
            }
            _ => called = Some(line),
        }
    }
    (!part.frames.is_empty()).then(|| vec![part])
}

/// `github.com/shop/pay.(*Cart).Pay(0xc000…)`, also with `created by ` before it.
fn go_function(called: &str) -> Value {
    let called = called.strip_prefix("created by ").unwrap_or(called);
    let arguments = called.strip_suffix(')').and_then(|called| Some((called, called.rfind('(')?)));
    let name = arguments.map_or(called, |(called, at)| &called[..at]);
    let package = name.rfind('/').map_or(0, |at| at + 1);
    match name[package..].split_once('.') {
        Some((last, function)) => json!({ "function": function, "module": format!("{}{last}", &name[..package]) }),
        None => json!({ "function": name }),
    }
}

/// A frame in a list of texts: `/app/Cart.php:7` or ``/app/cart.rb:7:in `pay'``.
pub(crate) fn line_of_list(line: &str) -> Option<Value> {
    let (place, function) = line.split_once(":in ").map_or((line, None), |(place, rest)| (place, Some(rest)));
    let mut frame = match function {
        Some(function) => json!({ "function": function.trim_matches(['`', '\'']) }),
        None => json!({}),
    };
    locate(&mut frame, place.trim());
    frame.get("line").is_some().then_some(frame)
}

/// The languages that begin with the exception and go on with where it was raised.
fn others(text: &str) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = vec![Part::default()];
    // The function of a frame of Rust, whose place is on the line after it.
    let mut function = None;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        // Java's way, and pino's.
        if let Some(cause) = trimmed.strip_prefix("Caused by: ").or_else(|| trimmed.strip_prefix("caused by: ")) {
            parts.push(Part::default());
            if let Some(part) = parts.last_mut() {
                part.name(cause);
            }
            continue;
        }
        let Some(part) = parts.last_mut() else { continue };
        if number == 0 {
            part.name(trimmed);
        }
        if let Some(place) = trimmed.strip_prefix("at ").filter(|_| line.starts_with([' ', '\t'])) {
            let frame = match function.take() {
                Some(function) => rust_frame(function, place),
                None => placed_frame(place),
            };
            part.farther(frame);
        } else {
            function = trimmed.split_once(": ").filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
    parts
}

/// `  12: shop::pay` and, on the next line, `at ./src/pay.rs:7:13`.
fn rust_frame((_, function): (&str, &str), place: &str) -> Value {
    let mut frame = json!({ "function": function.trim() });
    locate(&mut frame, place);
    frame
}

/// `com.shop.Cart.pay(Cart.java:7)`, `pay (/app/cart.js:7:3)`, `file:///app/cart.js:7:3`,
/// `Shop.Cart.Pay(Int32 n) in /src/Cart.cs:line 7`.
fn placed_frame(place: &str) -> Value {
    let place = place.trim_end();
    if let Some((function, place)) = place.split_once(") in ") {
        let function = function.split('(').next().unwrap_or(function);
        let mut frame = json!({ "function": function });
        locate(&mut frame, &place.replacen(":line ", ":", 1));
        return frame;
    }
    let called = place.strip_suffix(')').and_then(|place| place.rsplit_once('('));
    let Some((function, place)) = called else {
        let mut frame = json!({});
        locate(&mut frame, place);
        return frame;
    };
    let mut frame = json!({ "function": function.trim() });
    // Java writes the class before the method, without a blank.
    if !function.ends_with(' ')
        && let Some((module, method)) = function.rsplit_once('.')
    {
        frame = json!({ "function": method, "module": module });
    }
    locate(&mut frame, place);
    frame
}

/// Splits `file:line` or `file:line:column`.
fn locate(frame: &mut Value, place: &str) {
    let number = |text: &str| text.parse::<u32>().ok();
    let (rest, last) = place.rsplit_once(':').unwrap_or((place, ""));
    let Some(last) = number(last) else {
        frame["file"] = place.into();
        return;
    };
    match rest.rsplit_once(':').and_then(|(file, line)| Some((file, number(line)?))) {
        Some((file, line)) => {
            frame["file"] = file.into();
            frame["line"] = line.into();
            frame["column"] = last.into();
        }
        None => {
            frame["file"] = rest.into();
            frame["line"] = last.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(text: &str) -> Value {
        serde_json::from_str(&traceback(text).frames.unwrap_or_else(|| "null".to_owned())).unwrap()
    }

    #[test]
    fn of_python_and_its_chains() {
        let text = "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in load\n    return d[\"sku\"]\n           ~^^^^^^^\nKeyError: 'sku'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/app/a.py\", line 9, in <module>\n    pay()\n  File \"/app/b.py\", line 5, in pay\n    raise ValueError(\"no\") from error\nshop.ValueError: no: such sku";
        assert_eq!(
            frames(text),
            json!([{ "function": "<module>", "file": "/app/a.py", "line": 9, "context_line": "pay()" },
                   { "function": "pay", "file": "/app/b.py", "line": 5, "context_line": "raise ValueError(\"no\") from error" }])
        );
        let chain: Value = serde_json::from_str(&traceback(text).chain.unwrap()).unwrap();
        assert_eq!(
            chain,
            json!([{ "type": "shop.ValueError", "message": "no: such sku" }, { "type": "KeyError", "message": "'sku'" }])
        );
    }

    #[test]
    fn of_others() {
        let java = "java.io.IOException: no\n\tat com.shop.Cart.pay(Cart.java:7)\n\tat com.shop.Main.main(Main.java)\nCaused by: a.B: c\n\tat x.Y.z(Y.java:1)\n\t... 2 more";
        assert_eq!(
            frames(java),
            json!([{ "function": "main", "module": "com.shop.Main", "file": "Main.java" },
                   { "function": "pay", "module": "com.shop.Cart", "file": "Cart.java", "line": 7 }])
        );
        assert!(traceback(java).chain.unwrap().contains(r#"{"type":"a.B","message":"c"}"#));
        let node = "TypeError: x is undefined\n    at pay (/app/cart.js:7:3)\n    at file:///app/main.mjs:1:9";
        assert_eq!(
            frames(node),
            json!([{ "file": "file:///app/main.mjs", "line": 1, "column": 9 },
                   { "function": "pay", "file": "/app/cart.js", "line": 7, "column": 3 }])
        );
        let dotnet = "System.Exception: no\n   at Shop.Cart.Pay(Int32 n) in /src/Cart.cs:line 7\n   at Shop.Main()";
        assert_eq!(frames(dotnet)[1], json!({ "function": "Shop.Cart.Pay", "file": "/src/Cart.cs", "line": 7 }));
        let rust = "thread 'main' panicked at src/main.rs:2:3:\nno\nstack backtrace:\n   0: std::panicking::begin_panic\n             at /rustc/1/panicking.rs:5:1\n   1: shop::main\n             at ./src/main.rs:2:3";
        assert_eq!(
            frames(rust)[0],
            json!({ "function": "shop::main", "file": "./src/main.rs", "line": 2, "column": 3 })
        );
        let go = "main.(*Cart).Pay\n\t/app/cart.go:7\nmain.main\n\t/app/main.go:3";
        assert_eq!(
            frames(go),
            json!([{ "function": "main", "module": "main", "file": "/app/main.go", "line": 3 },
                   { "function": "(*Cart).Pay", "module": "main", "file": "/app/cart.go", "line": 7 }])
        );
        let panic =
            "goroutine 1 [running]:\ngithub.com/shop/pay.Card(0xc000, 0x1)\n\t/app/pay/card.go:12 +0x1d\nexit status 2";
        assert_eq!(
            frames(panic),
            json!([{ "function": "Card", "module": "github.com/shop/pay", "file": "/app/pay/card.go", "line": 12 }])
        );
        assert_eq!(traceback("it broke: badly"), Traceback { frames: None, chain: None });
        assert_eq!(traceback(""), Traceback { frames: None, chain: None });
    }

    #[test]
    fn of_an_endless_recursion_the_end_is_kept() {
        let frames: Vec<_> = (1..=1000).map(|line| format!("  File \"a.py\", line {line}, in f\n")).collect();
        let text = format!("Traceback (most recent call last):\n{}RecursionError: too deep", frames.concat());
        let frames = super::tests::frames(&text);
        assert_eq!((frames.as_array().unwrap().len(), &frames[FRAMES_MAX - 1]["line"]), (FRAMES_MAX, &json!(1000)));
    }
}
