//! `everlog log`: one event, said in words.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, bail};
use clap::Args;
use event::{Level, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::LOG;
use super::client::{Client, Connection, log_path};
use super::output::{Output, WrongUsage};

/// Send one event.
#[derive(Args, Debug)]
#[command(after_help = "\
MESSAGE and -m may be `-`: then the message is read from standard input, without the newline at its end.
Bytes that are not UTF-8 are sent as \\xNN, with every backslash doubled, and the event gets not_utf8:true.

--field KEY=VALUE sends a number, true, false, null, an array or an object as such, and all else as text.
--field KEY:=VALUE sends text whatever it looks like, so this is the one to use for a shell variable.

On a terminal the id of the event is printed.

Examples:
  everlog log INFO alice@example.com \"Log entry here.\"
  everlog log -m \"The nightly backup is done.\" --field bytes=1048576
  everlog log LOGIN bob '{\"ip\":\"203.0.113.9\"}' --dict --heading \"New Login\"
  everlog log ERROR system - --log jobs --field job:=\"$JOB\" < stderr.txt")]
pub(super) struct LogArguments {
    /// Stream, such as INFO, WARN, LOGIN, ERROR or "SECURITY ALERT"
    stream: Option<String>,
    /// User to whom the event belongs [default: system]
    user: Option<String>,
    /// What happened
    #[arg(value_name = "MESSAGE")]
    text: Option<OsString>,
    /// What happened, for stream INFO and user system
    #[arg(short, long, conflicts_with_all = ["stream", "user", "text"])]
    message: Option<OsString>,
    /// Log to send it to
    #[arg(long, value_name = "NAME", default_value = LOG)]
    log: String,
    /// Show the time in the text layout too
    #[arg(long)]
    timestamp: bool,
    /// When it happened, RFC 3339 or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<String>,
    /// Line to show above the message, of this event only
    #[arg(long)]
    heading: Option<String>,
    /// The message is a JSON object: its keys are found under `data`, and its text is laid out over several lines
    #[arg(long)]
    dict: bool,
    /// trace, debug, info, notice, warning, error or critical [default: none]
    #[arg(long, value_parser = level)]
    level: Option<String>,
    /// Further key of the event; repeat for several
    #[arg(long = "field", value_name = "KEY=VALUE", value_parser = field)]
    fields: Vec<(String, Value)>,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    connection: Connection,
}

/// The answer of the door for entries.
#[derive(Deserialize)]
struct Receipt {
    #[serde(default)]
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    reason: String,
    #[serde(default)]
    detail: Option<String>,
}

pub(super) async fn run(arguments: LogArguments) -> anyhow::Result<()> {
    let message = match arguments.message.as_deref().or(arguments.text.as_deref()) {
        Some(dash) if dash == OsStr::new("-") => Some(standard_input()?),
        Some(text) => Some(text.as_bytes().to_vec()),
        None => None,
    };
    let entry = entry_of(&arguments, message)?;
    let client = Client::connect(&arguments.connection)?;
    let request = client.post(&log_path(&arguments.log, "/entries"))?.json(&entry);
    let receipt: Receipt = client.ask_patiently(request).await?;
    if let Some(Refused { reason, detail }) = receipt.refused.first() {
        bail!("the server did not take the event: {}", detail.as_deref().unwrap_or(reason));
    }
    let mut output = Output::new();
    if output.is_terminal() && !arguments.quiet {
        output.line(entry["id"].as_str().unwrap_or_default())?;
    }
    output.flush()
}

fn standard_input() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("cannot read the message from standard input")?;
    for end in [b"\n".as_slice(), b"\r"] {
        if bytes.ends_with(end) {
            bytes.pop();
        }
    }
    Ok(bytes)
}

/// What is sent: a call of API Logger.
fn entry_of(arguments: &LogArguments, message: Option<Vec<u8>>) -> anyhow::Result<Value> {
    let LogArguments { stream, user, timestamp, at, heading, dict, level, fields, .. } = arguments;
    if message.is_none() && (fields.is_empty() || *dict) {
        return Err(WrongUsage(nothing_said(stream.as_deref())).into());
    }
    // Made here, so that the same event is stored once even if it has to be sent twice.
    let mut entry = json!({ "id": uuid::Uuid::now_v7().to_string() });
    let mut further = Map::new();
    let mut said = vec!["id", "stream", "user", "message"];
    for (key, value) in [("stream", stream), ("location", user)] {
        if let Some(value) = value {
            entry[key] = json!(value);
        }
    }
    if let Some(bytes) = message {
        let (text, whole) = lossless(bytes);
        if !whole {
            further.insert("not_utf8".to_owned(), json!(true));
        }
        if *dict {
            said.push("data");
        }
        let key = if arguments.message.is_some() { "m" } else { "message" };
        entry[key] = if *dict { object(&text)? } else { json!(text) };
    }
    for (key, field, wanted) in
        [("timestamp", "show_timestamp", *timestamp), ("dict_to_string", "dict_to_string", *dict)]
    {
        if wanted {
            said.push(field);
            entry[key] = json!(true);
        }
    }
    for (key, field, value) in [("at", "timestamp", at), ("heading", "heading", heading), ("level", "level", level)] {
        if let Some(value) = value {
            said.push(field);
            entry[key] = json!(value);
        }
    }
    for (key, value) in fields {
        if said.contains(&key.as_str()) || further.insert(key.clone(), value.clone()).is_some() {
            let again = format!("--field {key}=… says again what was said already: leave one of the two out");
            return Err(WrongUsage(again).into());
        }
    }
    if !further.is_empty() {
        entry["fields"] = Value::Object(further);
    }
    Ok(entry)
}

fn nothing_said(stream: Option<&str>) -> String {
    match stream {
        Some(stream) => format!(
            "there is no message. Say `everlog log {stream:?} USER MESSAGE`, or `everlog log -m {stream:?}` if that was it"
        ),
        None => "there is nothing to log. Say `everlog log STREAM USER MESSAGE` or `everlog log -m MESSAGE`".to_owned(),
    }
}

fn object(text: &str) -> anyhow::Result<Value> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(Value::Object(object)),
        Ok(_) => {
            Err(WrongUsage(format!("--dict: expected a JSON object such as {{\"ip\":\"203.0.113.9\"}}, got {text}"))
                .into())
        }
        Err(error) => Err(WrongUsage(format!("--dict: the message is not a JSON object: {error}")).into()),
    }
}

/// The text of a message, and whether its bytes were UTF-8. If not, no byte is lost and the escapes can be undone.
fn lossless(bytes: Vec<u8>) -> (String, bool) {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return (text, true),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    (text, false)
}

fn moment(text: &str) -> Result<String, String> {
    match Timestamp::parse(text) {
        // Digits beyond microseconds are kept by sending what was typed.
        Some((moment, whole)) => Ok(if whole { moment.to_string() } else { text.to_owned() }),
        None => Err("expected a time like 2024-04-09T20:39:05Z, or seconds since 1970".to_owned()),
    }
}

fn level(text: &str) -> Result<String, String> {
    let names = Level::ALL.map(Level::name).join(", ");
    Level::parse(text).map(|level| level.name().to_owned()).ok_or(format!("expected one of {names}"))
}

fn field(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE or KEY:=TEXT")?;
    let (key, value) = match key.strip_suffix(':') {
        Some(key) => (key, json!(value)),
        None => (key, guessed(value)),
    };
    if key.is_empty() { Err("expected a key before the =".to_owned()) } else { Ok((key.to_owned(), value)) }
}

fn guessed(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::String(_)) | Err(_) => json!(text),
        Ok(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        log: LogArguments,
    }

    fn check(words: &[&str]) -> String {
        let words = std::iter::once("log").chain(words.iter().copied());
        let arguments = Line::try_parse_from(words).unwrap().log;
        let message = arguments.message.clone().or(arguments.text.clone()).map(|text| text.as_bytes().to_vec());
        match entry_of(&arguments, message) {
            Ok(entry) => {
                let mut entry: std::collections::BTreeMap<String, Value> = serde_json::from_value(entry).unwrap();
                entry.remove("id").unwrap();
                json!(entry).to_string()
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn entries() {
        insta::assert_snapshot!(check(&["ERROR", "bob", "Log entry here.", "--timestamp", "--at", "2024-04-09T22:39:05+02:00"]),
            @r#"{"at":"2024-04-09T20:39:05.000000Z","location":"bob","message":"Log entry here.","stream":"ERROR","timestamp":true}"#);
        insta::assert_snapshot!(check(&["-m", "hello"]), @r#"{"m":"hello"}"#);
        insta::assert_snapshot!(check(&["LOGIN", "bob", r#"{"ip":"::1"}"#, "--dict", "--heading", "New Login"]),
            @r#"{"dict_to_string":true,"heading":"New Login","location":"bob","message":{"ip":"::1"},"stream":"LOGIN"}"#);
    }

    #[test]
    fn fields_are_guessed_or_forced() {
        insta::assert_snapshot!(
            check(&["-m", "x", "--field", "n=1e3", "--field", "zip=01234", "--field", "a=[1]", "--field", "t=\"q\"",
                "--field", "v:=17", "--field", "e=", "--field", "big=12345678901234567890123", "--level", "WARN"]),
            @r#"{"fields":{"n":1e+3,"zip":"01234","a":[1],"t":"\"q\"","v":"17","e":"","big":12345678901234567890123},"level":"warning","m":"x"}"#);
    }

    #[test]
    fn wrong_usage() {
        insta::assert_snapshot!(check(&[]), @"there is nothing to log. Say `everlog log STREAM USER MESSAGE` or `everlog log -m MESSAGE`");
        insta::assert_snapshot!(check(&["hello"]), @r#"there is no message. Say `everlog log "hello" USER MESSAGE`, or `everlog log -m "hello"` if that was it"#);
        insta::assert_snapshot!(check(&["-m", "x", "--field", "user=7"]), @"--field user=… says again what was said already: leave one of the two out");
        insta::assert_snapshot!(check(&["-m", "[1]", "--dict"]), @r#"--dict: expected a JSON object such as {"ip":"203.0.113.9"}, got [1]"#);
    }

    #[test]
    fn no_byte_is_lost() {
        assert_eq!(lossless(b"a\\b".to_vec()), (r"a\b".to_owned(), true));
        assert_eq!(lossless(b"a\\b\xff\xc3".to_vec()), (r"a\\b\xff\xc3".to_owned(), false));
    }
}
