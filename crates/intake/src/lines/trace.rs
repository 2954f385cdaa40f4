//! Which lines belong to a traceback: of Python, Java, Node, Rust and Go.
//!
//! All of them indent their frames; what differs is how they begin, and which lines without indentation are part of them.

/// An open traceback.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    stage: Stage,
    /// The line that says what went wrong.
    headline: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Python, before the line with the exception.
    PythonFrames,
    /// Python, after it. A chained exception may follow.
    PythonEnded,
    /// Python, after the sentence that announces a chained exception.
    PythonChained,
    /// Rust: at most so many lines without indentation still belong to the panic's message.
    Rust { message_lines_left: u8 },
    /// Go, before the list of functions.
    GoHead,
    /// Go, in it.
    GoRoutine,
    /// Java and Node.
    Frames,
}

/// How many lines without indentation a panic's message may have, when no note and no backtrace ends it: further ones are
/// more likely the program's ordinary output.
const PANIC_MESSAGE_LINES_MAX: u8 = 8;

const PYTHON_START: &str = "Traceback (most recent call last):";

const PYTHON_GROUP_START: &str = "+ Exception Group Traceback (most recent call last):";

/// What joins the parts of a chained exception in Python.
const PYTHON_CHAINS: [&str; 2] = [
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
];

/// Database errors span several lines; these begin the further ones, and without them a chain would be torn apart.
const PYTHON_DETAILS: [&str; 7] =
    ["DETAIL: ", "HINT: ", "CONTEXT: ", "LINE ", "[SQL: ", "[parameters: ", "(Background on this error at: "];

impl Trace {
    /// Whether a line can only be the beginning of a traceback.
    pub(super) fn begin(text: &str) -> Option<Self> {
        let line = text.trim_start();
        if line.starts_with(PYTHON_START) {
            return Some(Self { stage: Stage::PythonFrames, headline: None });
        }
        if line.starts_with(PYTHON_GROUP_START) {
            // Every line of it is indented, the exception too.
            return Some(Self { stage: Stage::PythonEnded, headline: None });
        }
        if line.starts_with("thread '") && line.contains(" panicked at ") {
            // Since Rust 1.73 the message has lines of its own, and the first line ends in a colon.
            let own_lines = line.ends_with(':');
            let message_lines_left = if own_lines { PANIC_MESSAGE_LINES_MAX } else { 0 };
            let headline = (!own_lines).then(|| line.to_owned());
            return Some(Self { stage: Stage::Rust { message_lines_left }, headline });
        }
        if text.starts_with("panic: ") {
            return Some(Self { stage: Stage::GoHead, headline: Some(text.to_owned()) });
        }
        None
    }

    /// Whether a beginning is not indented under another line. Python itself writes two blanks before a group's.
    pub(super) fn at_margin(text: &str) -> bool {
        !is_indented(text) || text.strip_prefix("  ").is_some_and(|line| line.starts_with(PYTHON_GROUP_START))
    }

    /// Whether a line makes a traceback of the lines before it: the first frame of Java or Node, or Go's list of functions.
    pub(super) fn turned_by(text: &str, after_blank: bool) -> Option<Self> {
        if is_goroutine(text) {
            return Some(Self { stage: Stage::GoRoutine, headline: None });
        }
        (!after_blank && is_frame(text)).then_some(Self { stage: Stage::Frames, headline: None })
    }

    /// Whether the next line belongs to the traceback. `is_record` says that another format claims the line.
    pub(super) fn takes(&mut self, text: &str, after_blank: bool, is_record: bool) -> bool {
        let indented = is_indented(text);
        let next = match self.stage {
            Stage::PythonFrames if indented => (!after_blank).then_some(Stage::PythonFrames),
            Stage::PythonFrames => (!after_blank && !is_record && Self::begin(text).is_none()).then(|| {
                self.headline = Some(text.to_owned());
                Stage::PythonEnded
            }),
            Stage::PythonEnded if PYTHON_CHAINS.contains(&text) => Some(Stage::PythonChained),
            Stage::PythonEnded => {
                let detail = PYTHON_DETAILS.iter().any(|detail| text.starts_with(detail));
                (!after_blank && (indented || detail)).then_some(Stage::PythonEnded)
            }
            Stage::PythonChained => text.starts_with(PYTHON_START).then_some(Stage::PythonFrames),
            Stage::Rust { message_lines_left } => self
                .rust(text, after_blank, is_record, message_lines_left)
                .map(|left| Stage::Rust { message_lines_left: left }),
            Stage::GoHead | Stage::GoRoutine if is_goroutine(text) => Some(Stage::GoRoutine),
            Stage::GoHead => (!after_blank && (indented || text.starts_with("[signal "))).then_some(Stage::GoHead),
            Stage::GoRoutine if text.starts_with("exit status ") => Some(Stage::GoRoutine),
            Stage::GoRoutine => (!after_blank && (indented || is_go_function(text))).then_some(Stage::GoRoutine),
            Stage::Frames => (!after_blank && (indented || text.starts_with("Caused by: "))).then_some(Stage::Frames),
        };
        match next {
            Some(stage) => {
                self.stage = stage;
                true
            }
            None => false,
        }
    }

    /// How many message lines may still follow, if the line belongs to the panic.
    fn rust(&mut self, text: &str, after_blank: bool, is_record: bool, message_lines_left: u8) -> Option<u8> {
        if text.starts_with("note: ") || text == "stack backtrace:" || text == "Caused by:" {
            return Some(0);
        }
        if after_blank {
            return None;
        }
        let first_of_message = self.headline.is_none();
        if is_indented(text) && !first_of_message {
            return Some(message_lines_left);
        }
        if message_lines_left == 0 || is_record || Self::begin(text).is_some() {
            return None;
        }
        if first_of_message {
            self.headline = Some(text.trim_start().to_owned());
        }
        Some(message_lines_left - 1)
    }

    /// The line that says what went wrong, for a traceback that stands alone.
    pub(super) fn headline(self, exception: &str) -> String {
        let group = || exception.lines().filter_map(|line| line.strip_prefix("  | ")).find(|line| !is_indented(line));
        let first = || exception.lines().next().unwrap_or_default();
        self.headline.unwrap_or_else(|| group().unwrap_or_else(first).trim().to_owned())
    }
}

/// Whether a line continues the one before it.
pub(super) fn is_indented(text: &str) -> bool {
    text.starts_with([' ', '\t'])
}

/// Whether a line could be an exception's name and message, with frames to follow: `java.io.IOException: no`,
/// `TypeError: x is not a function`.
pub(super) fn is_exception_head(text: &str) -> bool {
    if text.starts_with("Exception in thread \"") {
        return true;
    }
    let (name, _) = text.split_once(": ").unwrap_or((text, ""));
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$'));
    is_name && ["Exception", "Error", "Throwable"].iter().any(|end| name.ends_with(end))
}

/// Whether a plain line announces the traceback that follows it. Any other plain line has nothing to do with it.
pub(super) fn announces(text: &str) -> bool {
    text.ends_with(':') || ["rror", "xception", "ERROR"].iter().any(|word| text.contains(word))
}

/// `\tat com.shop.Cart.pay(Cart.java:7)`, `    at pay (/app/cart.js:7:3)`, `    at file:///app/cart.js:7:3`, `\t... 12 more`.
fn is_frame(text: &str) -> bool {
    let line = text.trim();
    if !is_indented(text) {
        return false;
    }
    if line.starts_with("... ") && line.ends_with(" more") {
        return true;
    }
    let Some(place) = line.strip_prefix("at ") else { return false };
    let place = place.strip_suffix(" {").unwrap_or(place);
    // Rust's tracing also writes `at src/main.rs:7`, with one number, below its records.
    let called = place.ends_with(')') && place.contains('(') && !place.contains(" on ThreadId(");
    called || ends_with_two_numbers(place)
}

fn ends_with_two_numbers(place: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = place.rsplitn(3, ':');
    matches!((parts.next(), parts.next(), parts.next()), (Some(column), Some(line), Some(_)) if is_number(column) && is_number(line))
}

fn is_goroutine(text: &str) -> bool {
    text.strip_prefix("goroutine ")
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()) && rest.ends_with("]:"))
}

fn is_go_function(text: &str) -> bool {
    text.starts_with("created by ") || text.starts_with("...") || (text.ends_with(')') && text.contains('('))
}
