use std::net::SocketAddr;
use std::time::{Duration, Instant};

use event::Timestamp;
use intake::{Decoded, Limits, Messages, Pieces, Protocol};
use jiff::tz::TimeZone;
use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

use crate::native::documents;

const RECEIVED: &str = "2026-11-20T16:00:00Z";

fn decode(protocol: Protocol, message: &[u8], sender: Option<&str>) -> Decoded {
    let received = Timestamp::parse(RECEIVED).unwrap().0;
    let mut messages = Messages::new(protocol, Limits::default(), received, TimeZone::UTC);
    messages.push(message, 0, sender);
    let decoded = messages.finish();
    assert_eq!(decoded.received, decoded.batch.len() + decoded.refused.len(), "nothing vanishes");
    decoded
}

/// The event of a message, without what every event has.
#[track_caller]
fn read(protocol: Protocol, message: impl AsRef<[u8]>, sender: Option<&str>) -> Value {
    let decoded = decode(protocol, message.as_ref(), sender);
    assert_eq!((decoded.batch.len(), decoded.refused.len()), (1, 0), "{:?}", decoded.refused);
    let mut event = documents(&decoded).remove(0);
    let keys = event.as_object_mut().unwrap();
    for key in ["id", "stream", "user"] {
        keys.remove(key);
    }
    event
}

#[track_caller]
fn syslog(message: &str, expected: Value) {
    assert_eq!(read(Protocol::Syslog, message, None), expected, "{message}");
}

#[test]
fn rfc_5424() {
    syslog(
        "<165>1 2003-10-11T22:14:15.003-07:00 mymachine.example.com evntslog 17 ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"App\\\"li\\]c\\ation\\\\\"][x@1 a=\"1\" a=\"2\"] \u{feff}An é event",
        json!({"timestamp": "2003-10-12T05:14:15.003000Z", "level": "notice", "message": "An é event", "host": "mymachine.example.com",
            "source": "evntslog", "pid": 17, "syslog": {"facility": 20, "severity": 5, "message_id": "ID47",
            "structured_data": {"exampleSDID@32473": {"iut": "3", "eventSource": "App\"li]c\\ation\\"}, "x@1": {"a": ["1", "2"]}}}}),
    );
    syslog(
        "<0>1 - - - - - -",
        json!({"timestamp": "2026-11-20T16:00:00.000000Z", "level": "critical", "message": "", "syslog": {"facility": 0, "severity": 0}}),
    );
    syslog(
        "<14>1 2026-11-20T15:59:36Z h a - - [broken x=\"1] text",
        json!({"timestamp": "2026-11-20T15:59:36.000000Z", "level": "info", "message": "[broken x=\"1] text", "host": "h", "source": "a",
            "syslog": {"facility": 1, "severity": 6}}),
    );
}

#[test]
fn rfc_3164_and_its_relatives() {
    let header = json!({"facility": 1, "severity": 6});
    let time = "2026-11-20T15:59:36.000000Z";
    syslog(
        "<14>Nov 20 15:59:36 web1 app[12]: it runs",
        json!({"timestamp": time, "level": "info", "message": "it runs", "host": "web1", "source": "app", "pid": 12, "syslog": header}),
    );
    syslog(
        "<14>Nov 20 15:59:36 app[12]: without a host",
        json!({"timestamp": time, "level": "info", "message": "without a host", "source": "app", "pid": 12, "syslog": header}),
    );
    syslog(
        "<14>2026-11-20T15:59:36+00:00 web1 app: x",
        json!({"timestamp": time, "level": "info", "message": "x", "host": "web1", "source": "app", "syslog": header}),
    );
    syslog(
        "<14>Payment failed: no money\0",
        json!({"timestamp": "2026-11-20T16:00:00.000000Z", "level": "info", "message": "Payment failed: no money", "syslog": header}),
    );
    syslog(
        "<189>45: *Nov 20 15:59:36.123 UTC: %SYS-5-CONFIG_I: Configured from console",
        json!({"timestamp": "2026-11-20T15:59:36.123000Z", "level": "notice", "message": "%SYS-5-CONFIG_I: Configured from console",
            "syslog": {"facility": 23, "severity": 5, "message_id": "SYS-5-CONFIG_I", "sequence": 45}}),
    );
    syslog(
        "<166>Mar 01 2024 18:46:11 fw1 : %ASA-6-302013: Built outbound",
        json!({"timestamp": "2024-03-01T18:46:11.000000Z", "level": "info", "message": "%ASA-6-302013: Built outbound", "host": "fw1",
            "syslog": {"facility": 20, "severity": 6, "message_id": "ASA-6-302013"}}),
    );
}

#[test]
fn a_message_of_json_gives_its_keys() {
    syslog(
        "<14>Nov 20 15:59:36 web1 app[12]: @cee: {\"msg\": \"paid\", \"order\": 7, \"level\": \"error\", \"host\": \"inner\"}",
        json!({"timestamp": "2026-11-20T15:59:36.000000Z", "level": "error", "msg": "paid", "message": "paid", "order": 7, "host": "inner",
            "source": "app", "pid": 12, "syslog": {"facility": 1, "severity": 6}}),
    );
    let event = read(
        Protocol::Syslog,
        "<14>{\"@timestamp\":\"2026-01-02T03:04:05Z\",\"message\":\"m\",\"a\":{\"b\":[1]}}",
        Some("10.0.0.7"),
    );
    assert_eq!((&event["timestamp"], &event["a"]["b"]), (&json!("2026-01-02T03:04:05.000000Z"), &json!([1])));
    assert_eq!(event["syslog"]["sender"], "10.0.0.7");
    let broken = read(Protocol::Syslog, "<14>{\"a\":1", None);
    assert_eq!(broken["message"], "{\"a\":1");
}

#[test]
fn several_lines_and_no_priority() {
    let event = read(
        Protocol::Syslog,
        "<11>failed\nTraceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'sku'\n",
        None,
    );
    assert_eq!((&event["message"], &event["level"]), (&json!("failed"), &json!("error")));
    assert!(event["exception"].as_str().unwrap().starts_with("Traceback"), "{event}");
    let event = read(Protocol::Syslog, "<14>two\nlines", None);
    assert_eq!(event["message"], "two\nlines");
    let event = read(Protocol::Syslog, "{\"a\":1}", Some("::1"));
    assert_eq!((&event["a"], &event["syslog"]), (&json!(1), &json!({"sender": "::1"})));
    let event = read(Protocol::Syslog, b"<14>not \xff utf8", None);
    assert_eq!((&event["message"], &event["not_utf8"]), (&json!("not \\xFF utf8"), &json!(true)));
    assert_eq!(decode(Protocol::Syslog, b"\n\0", None).received, 0);
}

#[test]
fn gelf_fills_the_shared_keys() {
    let sent = json!({"version": "1.1", "host": "web1", "short_message": "paid", "full_message": "paid\nwith details", "timestamp": 1795190376.5,
        "level": 5, "_user": "bob", "_order": 7, "_id": "x", "_level": "inner", "facility": "shop"});
    let event = read(Protocol::Gelf, sent.to_string(), Some("127.0.0.1"));
    assert_eq!(
        (&event["message"], &event["level"], &event["host"]),
        (&json!("paid"), &json!("notice"), &json!("web1"))
    );
    assert_eq!(
        (&event["order"], &event["_id"], &event["_level"], &event["facility"]),
        (&json!(7), &json!("x"), &json!("inner"), &json!("shop"))
    );
    assert_eq!(event["full_message"], "paid\nwith details");
    assert_eq!(event["timestamp"], "2026-11-20T15:59:36.500000Z");
    assert_eq!(event["gelf"], json!({"version": "1.1", "level": 5, "sender": "127.0.0.1"}));
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'sku'";
    let event = read(Protocol::Gelf, json!({"short_message": "failed", "full_message": trace}).to_string(), None);
    assert_eq!(event["exception"], trace);
    let event = read(
        Protocol::Gelf,
        json!({"short_message": "same", "full_message": "same", "_a": 1, "a": 2}).to_string(),
        None,
    );
    assert_eq!((event.get("full_message"), &event["_a"], &event["a"]), (None, &json!(1), &json!(2)));
}

#[test]
fn gelf_is_unpacked_within_bounds() {
    use std::io::Write as _;
    let text = br#"{"short_message":"packed"}"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(text).unwrap();
    for packed in [gzip.finish().unwrap(), zlib.finish().unwrap()] {
        assert_eq!(read(Protocol::Gelf, packed, None)["message"], "packed");
    }
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&vec![b' '; 10 << 20]).unwrap();
    assert_eq!(decode(Protocol::Gelf, &bomb.finish().unwrap(), None).refused.len(), 1);
    assert_eq!(decode(Protocol::Gelf, b"no json", None).refused.len(), 1);
}

#[test]
fn gelf_over_http_is_one_message_or_one_a_line() {
    let received = Timestamp::parse(RECEIVED).unwrap().0;
    let count = |body: &str| intake::gelf(body.as_bytes(), Limits::default(), received).batch.len();
    assert_eq!(count("{\n \"short_message\": \"x\"\n}"), 1);
    assert_eq!(count("{\"short_message\":\"x\"}\n{\"short_message\":\"y\"}\n"), 2);
    assert_eq!(count(""), 0);
}

#[test]
fn pieces_come_in_any_order_and_not_for_ever() {
    let sender: SocketAddr = "127.0.0.1:5".parse().unwrap();
    let piece =
        |id: u8, number: u8, count: u8, data: &[u8]| [&[0x1e, 0x0f], &[id; 8][..], &[number, count], data].concat();
    let start = Instant::now();
    let mut pieces = Pieces::default();
    assert_eq!(pieces.take(b"whole", sender, start).unwrap(), b"whole");
    assert_eq!(pieces.take(&piece(1, 1, 2, b"cd"), sender, start), None);
    assert_eq!(pieces.take(&piece(1, 1, 2, b"cd"), sender, start), None);
    assert_eq!(pieces.take(&piece(1, 0, 2, b"ab"), sender, start).unwrap(), b"abcd");
    assert_eq!(pieces.take(&piece(2, 0, 2, b"ab"), sender, start), None);
    assert_eq!(pieces.take_lost(start + Duration::from_secs(6)), 1);
    assert_eq!(pieces.take(&piece(3, 5, 2, b""), sender, start), None);
    assert_eq!(pieces.take(&piece(3, 0, 0, b""), sender, start), None);
    for id in 0..=255_u8 {
        for port in 1..10 {
            pieces.take(&piece(id, 0, 2, &[0; 1000]), SocketAddr::new(sender.ip(), port), start);
        }
    }
    assert_eq!(pieces.take_lost(start), 2 + 9 * 256 - 1024);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in any::<Vec<u8>>(), text in "(<[0-9]{1,3}>)?1? ?[-A-Za-z0-9:. \\[\\]\"=%{}@\n]{0,80}") {
        for protocol in [Protocol::Syslog, Protocol::Gelf] {
            decode(protocol, &bytes, Some("::1"));
            decode(protocol, text.as_bytes(), None);
        }
        let mut pieces = Pieces::default();
        pieces.take(&[&[0x1e, 0x0f][..], &bytes].concat(), "127.0.0.1:1".parse().unwrap(), Instant::now());
    }

    #[test]
    fn every_object_of_gelf_is_an_event(key in "_?[a-z_]{0,12}", number in any::<i64>()) {
        let sent = json!({"short_message": "x", key: number});
        assert_eq!(decode(Protocol::Gelf, sent.to_string().as_bytes(), None).batch.len(), 1);
    }
}
