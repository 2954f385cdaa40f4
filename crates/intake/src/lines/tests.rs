use super::{Format, Lines, Record, Settings};
use jiff::tz::TimeZone;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::Value;

mod formats;
mod traces;

const LINE_BYTES_MAX: usize = 64 * 1024;

fn lines_with(line_bytes_max: usize) -> Lines {
    let now = "2026-11-20T16:00:00Z".parse().unwrap();
    Lines::new(Settings { zone: TimeZone::UTC, now, line_bytes_max })
}

fn read_chunks<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, line_bytes_max: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let mut lines = lines_with(line_bytes_max);
    for chunk in chunks {
        lines.push(chunk, &mut |record| records.push(record));
    }
    lines.finish(&mut |record| records.push(record));
    records
}

fn read(input: impl AsRef<[u8]>) -> Vec<Record> {
    read_chunks([input.as_ref()], LINE_BYTES_MAX)
}

/// The records of an input as lines of offset, format and JSON, in which no text is twice.
fn shown(input: impl AsRef<[u8]>) -> String {
    let show = |record: &Record| format!("{} {} {}", record.offset, record.format.name(), record.json);
    read(input).iter().map(show).collect::<Vec<_>>().join("\n")
}

/// Checks the format and the event of an input that is one record.
#[track_caller]
fn check(input: impl AsRef<[u8]>, format: Format, event: &str) {
    let records = read(input);
    assert_eq!(records.len(), 1, "one record expected: {records:#?}");
    let expected: Value = serde_json::from_str(event).unwrap();
    let found: Value = serde_json::from_str(&records[0].json).unwrap();
    assert_eq!(found, expected, "found: {}", records[0].json);
    assert_eq!(records[0].format, format);
}

fn event(record: &Record) -> Value {
    serde_json::from_str(&record.json).unwrap()
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_default()
}

const MIXED: &str = concat!(
    "{\"event\":\"request_started\",\"level\":\"info\"}\r\n",
    "127.0.0.1 - - [20/Nov/2026:15:59:36 +0000] \"GET /pay/7?m=1 HTTP/1.1\" 500 2 \"-\" \"AccUA/1.0\"\n",
    "\n",
    "2026-11-20 15:59:36,123 ERROR shop.cart it broke\n",
    "Traceback (most recent call last):\n",
    "  File \"a.py\", line 1, in <module>\n",
    "    pay()\n",
    "ValueError: no\n",
    "Starting the shop\n",
    "__CURSOR=s=1\n",
    "__REALTIME_TIMESTAMP=1795190376557202\n",
    "PRIORITY=3\n",
    "MESSAGE\n",
    "\x07\0\0\0\0\0\0\0two\nfol\n",
    "_HOSTNAME=pi\n",
    "\n",
    "  {\"a\":1}  \n",
    "last, without newline",
);

#[test]
fn mixed_file() {
    insta::assert_snapshot!(shown(MIXED), @r##"
    0 json {"event":"request_started","level":"info"}
    44 access {"timestamp":"2026-11-20T15:59:36.000000Z","level":"error","event":"request","source":"access","method":"GET","path":"/pay/7","query":"m=1","protocol":"HTTP/1.1","status":500,"bytes":2,"ip":"127.0.0.1","user_agent":"AccUA/1.0"}
    136 python {"timestamp":"2026-11-20T15:59:36.123000Z","level":"error","message":"it broke","exception":"Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    pay()\nValueError: no","logger":"shop.cart"}
    280 text {"timestamp":"2026-11-20T15:59:36.123000Z","message":"Starting the shop"}
    298 journal {"timestamp":"2026-11-20T15:59:36.557202Z","level":"error","message":"two\nfol","host":"pi","journal":{"__CURSOR":"s=1"}}
    398 json {"a":1}
    410 text {"timestamp":"2026-11-20T15:59:36.123000Z","message":"last, without newline"}
    "##);
}

#[test]
fn white_space_and_nothing() {
    assert_eq!(shown("\n  \r\n\t\n"), "");
    assert_eq!(shown(""), "");
}

#[test]
fn broken_utf8_is_escaped_and_said() {
    check(b"caf\xE9 C:\\temp", Format::Text, r#"{"message":"caf\\xE9 C:\\\\temp","not_utf8":true}"#);
    check(
        b"2026-11-20 15:59:36 ERROR a\\b\n  \xFF\n  c\\d",
        Format::Python,
        r#"{"timestamp":"2026-11-20T15:59:36.000000Z","level":"error","message":"a\\\\b\n  \\xFF\n  c\\\\d","not_utf8":true}"#,
    );
    check(
        b"1.2.3.4 - - [20/Nov/2026:15:59:36 +0000] \"GET /\xE9 HTTP/1.1\" 200 2 \"-\" \"a \\\"b\\\" \xE9\"",
        Format::Access,
        r#"{"timestamp":"2026-11-20T15:59:36.000000Z","level":"info","event":"request","source":"access","method":"GET",
            "path":"/\\xE9","protocol":"HTTP/1.1","status":200,"bytes":2,"ip":"1.2.3.4","user_agent":"a \\\\\"b\\\\\" \\xE9",
            "not_utf8":true}"#,
    );
}

#[test]
fn long_lines_say_what_is_missing() {
    let long =
        |input: &str| read_chunks([input.as_bytes()], 8).iter().map(|record| record.json.clone()).collect::<Vec<_>>();
    assert_eq!(long("12345678\r\n"), [r#"{"message":"12345678"}"#]);
    assert_eq!(long("123456789\n"), [r#"{"message":"12345678","truncated_bytes":1}"#]);
    assert_eq!(long("1234567é\n"), [r#"{"message":"1234567","truncated_bytes":2}"#]);
    assert_eq!(long("         x"), [r#"{"message":"","truncated_bytes":2}"#]);
    assert_eq!(long("{\"a\":11}x"), [r#"{"message":"{\"a\":11}","truncated_bytes":1}"#]);
}

#[test]
fn a_record_does_not_grow_without_end() {
    let mut input = String::from("2026-11-20 15:59:36 ERROR boom\nTraceback (most recent call last):\n");
    for number in 0..60_000 {
        let name = number.to_string();
        input.extend(["  File \"module_", &name, ".py\", line 1, in call\n"]);
    }
    input.push_str("ValueError: deep\n");
    let records = read(&input);
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record.json.len() < 1_300_000));
    let last = event(&records[2]);
    assert!(text(&last, "exception").ends_with("ValueError: deep"));
    assert_eq!((text(&last, "message"), text(&last, "level")), ("ValueError: deep", "error"));
}

#[test]
fn json_over_several_lines_is_one_event() {
    let records = read("{\n  \"a\": 1,\n  \"b\": {\n    \"c\": 2\n  }\n}\nafter\n");
    assert_eq!(records[0].json, "{   \"a\": 1,   \"b\": {     \"c\": 2   } }");
    assert_eq!((records[0].format, records[1].offset), (Format::Json, 38));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    check("\u{feff}{\"a\":1}", Format::Json, r#"{"a":1}"#);
}

#[test]
fn an_impossible_length_in_a_journal_is_text() {
    let input = "__CURSOR=1\nNAME\nabcdefgh further text\nsecond line\n";
    assert_eq!(
        shown(input),
        concat!(
            "0 journal {\"journal\":{\"NAME\":\"\",\"__CURSOR\":\"1\"}}\n",
            "16 text {\"message\":\"abcdefgh further text\"}\n",
            "38 text {\"message\":\"second line\"}",
        )
    );
}

/// Lines as files have them, and pieces of them.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(MIXED.split_inclusive('\n').chain(formats::LINES).collect::<Vec<_>>());
    let pieces = proptest::sample::select(vec![
        "\n",
        "\n\n",
        "\r\n",
        " ",
        "\t",
        "[",
        "]",
        "\"",
        "\\",
        "{",
        "}",
        "<34>",
        "2026-11-20T15:59:36Z ",
        "Nov 20 15:59:36 ",
        "§ [",
        "INFO:  ",
        "Traceback (most recent call last):\n",
        "    at f (a.js:1:2)\n",
        "Error: x\n",
        "panic: x\n",
        "goroutine 1 [running]:\n",
        "thread 'main' panicked at a.rs:1:2:\n",
        "__CURSOR=1\n",
        "MESSAGE\n",
        "\x03\0\0\0\0\0\0\0abc\n",
        "[20/Nov/2026:15:59:36 +0000] ",
        "é",
        "\u{1b}[32m",
        ", client: ",
        "{a=",
        " => generated ",
    ]);
    let whole = known.prop_map(|line| format!("{line}\n").into_bytes());
    let cut = (proptest::sample::select(formats::LINES.to_vec()), any::<proptest::sample::Index>())
        .prop_map(|(line, at)| line.as_bytes()[at.index(line.len())..].to_vec());
    let head = (proptest::sample::select(formats::LINES.to_vec()), any::<proptest::sample::Index>())
        .prop_map(|(line, at)| line.as_bytes()[..at.index(line.len())].to_vec());
    let piece = pieces.prop_map(|piece| piece.as_bytes().to_vec());
    let bytes = proptest::collection::vec(any::<u8>(), 0..12);
    proptest::collection::vec(prop_oneof![whole, cut, head, piece, bytes], 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn chunks_make_no_difference(input in fragments(), sizes in proptest::collection::vec(1..40_usize, 1..20), max in 1..200_usize) {
        let mut rest = input.as_slice();
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        prop_assert_eq!(read_chunks(chunks, max), read_chunks([input.as_slice()], max));
    }

    #[test]
    fn every_record_is_an_object_and_offsets_ascend(input in fragments(), max in 1..200_usize) {
        let records = read_chunks([input.as_slice()], max);
        for record in &records {
            prop_assert!(!record.json.contains('\n'));
            prop_assert!(super::recognise::is_object(&record.json), "{}", record.json);
            let keys = record.json.matches("\"host\":").count();
            prop_assert!(keys < 2 || record.format == Format::Json, "{}", record.json);
        }
        prop_assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset));
        prop_assert!(records.last().is_none_or(|last| last.offset < input.len() as u64));
    }

    #[test]
    fn nothing_is_lost(input in fragments()) {
        let records = read(&input);
        let starts: Vec<usize> = records.iter().map(|record| usize::try_from(record.offset).unwrap()).collect();
        let first = starts.first().copied().unwrap_or(input.len());
        prop_assert!(input[..first].split(|byte| *byte == b'\n').all(is_blank), "something before the first record");
        for (index, record) in records.iter().enumerate() {
            if record.format != Format::Text {
                continue;
            }
            let end = starts.get(index + 1).copied().unwrap_or(input.len());
            let event = event(record);
            let (message, exception) = (text(&event, "message"), text(&event, "exception"));
            for line in input[starts[index]..end].split(|byte| *byte == b'\n').filter(|line| !is_blank(line)) {
                let line = if event["not_utf8"].is_null() { String::from_utf8(line.to_vec()).unwrap() } else { super::text::escape(line) };
                let line = super::text::decode(line.as_bytes()).0.trim_end().trim_start_matches('\u{feff}').to_owned();
                prop_assert!(message.contains(&line) || exception.contains(&line), "{line:?} is not in {}", record.json);
            }
        }
    }

    #[test]
    fn arbitrary_bytes(input in proptest::collection::vec(any::<u8>(), 0..2000), max in 0..200_usize) {
        let whole = read_chunks([input.as_slice()], max);
        let bytewise = read_chunks(input.chunks(1), max);
        prop_assert_eq!(whole, bytewise);
    }
}

fn is_blank(line: &[u8]) -> bool {
    super::text::decode(line).0.trim().is_empty()
}

#[test]
fn the_lines_of_a_private_key_stay_together() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIabc\n-----END RSA PRIVATE KEY-----";
    for head in ["2026-01-02 03:04:05 ERROR key ", "loaded: ", ""] {
        let records = read(format!("before\n{head}{key}\nMIIafter\n2026-01-02 03:04:06 INFO next\n"));
        let with_key: Vec<String> =
            records.iter().map(|record| record.json.clone()).filter(|json| json.contains("MIIabc")).collect();
        let all = with_key.len() == 1 && with_key[0].contains("BEGIN RSA") && with_key[0].contains("END RSA");
        assert!(all && !with_key[0].contains("MIIafter"), "{head}: {records:#?}");
    }
    // One without an end goes no further than the next record.
    let records = read("x -----BEGIN PRIVATE KEY-----\nMIIabc\n2026-01-02 03:04:06 INFO next\n");
    assert_eq!(records.len(), 2, "{records:#?}");
}
