use std::fs;

use event::Timestamp;
use intake::{Decoded, Limits, records};
use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

use crate::native::{RECEIVED, documents};

fn decode(body: &[u8]) -> Decoded {
    let decoded = records(body, Limits::default(), Timestamp::parse(RECEIVED).unwrap().0);
    assert_eq!(decoded.received, decoded.batch.len() + decoded.refused.len(), "nothing vanishes");
    decoded
}

/// A body that `HTTPHandler` of Python 3.11 sent, or the query of the path it asked for.
fn sent(name: &str) -> Value {
    let text = fs::read_to_string(format!("{}/tests/fixtures/python/{name}.txt", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let record = text.split_once('?').map_or(&*text, |(_, query)| query);
    documents(&decode(record.as_bytes())).remove(0)
}

#[test]
fn a_message_is_its_template_with_its_arguments() {
    let paid = sent("0-post");
    assert_eq!(paid["message"], "paid Zoë \"the\" 'x' of 3 by \"o'hara\" at 12.50%");
    assert_eq!(paid["msg"], "paid %s of %d by %r at %.2f%%");
    assert_eq!(
        (&paid["level"], &paid["logger"], &paid["stream"]),
        (&json!("warning"), &json!("shop.cart"), &json!("WARN"))
    );
    assert!(paid["timestamp"].as_str().unwrap().starts_with("2026-"), "{paid}");
    assert!(paid["process"].is_u64() && paid["lineno"].is_u64(), "{paid}");
    assert_eq!(paid["filename"], "rec.py");
    for gone in ["exc_info", "exc_text", "stack_info", "args", "levelname", "name"] {
        assert!(paid.get(gone).is_none(), "{gone}: {paid}");
    }
    let plain = sent("1-post");
    assert_eq!((&plain["message"], plain.get("msg")), (&json!("plain 100%"), None));
    let named = sent("2-post");
    assert_eq!(named["message"], "user bob has 007");
    assert_eq!((&named["user"], &named["order"], &named["tags"]), (&json!("bob"), &json!("17"), &json!("['a', 'b']")));
    assert_eq!(named["a.b"], "None");
    assert_eq!(sent("7-get")["message"], "got x&y=z");
}

#[test]
fn objects_among_the_arguments_leave_the_template() {
    let record = sent("3-post");
    assert_eq!(record["message"], "at %s");
    assert_eq!(record["args"], "(datetime.datetime(2026, 1, 2, 0, 0),)");
}

#[test]
fn an_exception_has_type_and_message_with_and_without_its_text() {
    let bare = sent("4-post");
    assert_eq!(bare["exception"], json!({"type": "KeyError", "message": "sku"}));
    let whole = sent("6-post");
    assert!(whole["exception"].as_str().unwrap().starts_with("Traceback"), "{whole}");
    assert!(whole["exception"].as_str().unwrap().ends_with("ZeroDivisionError: division by zero"), "{whole}");
}

#[test]
fn a_level_of_ones_own_is_kept_beside_the_nearest() {
    let record = sent("5-post");
    assert_eq!(
        (&record["level"], &record["levelname"], &record["levelno"]),
        (&json!("info"), &json!("AUDITED"), &json!(25))
    );
}

#[test]
fn formats_and_arguments() {
    let message = |template: &str, args: &str| {
        let body: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("msg", template)
            .append_pair("levelname", "INFO")
            .append_pair("args", args)
            .finish();
        documents(&decode(body.as_bytes()))[0]["message"].as_str().unwrap().to_owned()
    };
    for (template, args, expected) in [
        ("%s", "('a\\n\\x41\\u00e9\\'',)", "a\nAé'"),
        ("%s %s", "(None, True)", "None True"),
        ("%s", "({'a': [1, (2,)]},)", "{'a': [1, (2,)]}"),
        ("%s", "{'a': 1}", "{'a': 1}"),
        ("%5d|%-5s|%+d|%05.1f", "(42, 'ab', 1, -2.25)", "   42|ab   |+1|-02.2"),
        ("%x %X %o", "(255, 255, 8)", "ff FF 10"),
        ("%d", "(3.9,)", "3"),
        ("%.2s", "('abc',)", "ab"),
        ("%(a)s %(a)r", "{'a': 'x'}", "x 'x'"),
        ("100%%", "(1,)", "100%%"),
        ("%s", "(1, 2)", "%s"),
        ("%s %s", "(1,)", "%s %s"),
        ("%d", "('a',)", "%d"),
        ("%q", "(1,)", "%q"),
        ("%9999999999s", "('a',)", "%9999999999s"),
        ("%s", "(<object at 0x7f>,)", "%s"),
        ("%s", "('a", "%s"),
        ("%s", "(1)x", "%s"),
    ] {
        assert_eq!(message(template, args), expected, "{template} % {args}");
    }
}

#[test]
fn what_is_no_record_is_refused_and_json_is_taken() {
    assert_eq!(decode(b"stream=INFO&message=x").refused[0].reason.name(), "conflict");
    assert_eq!(decode(b"").received, 0);
    assert_eq!(documents(&decode(br#"{"msg":"x"}"#))[0]["msg"], "x");
    let id = documents(&decode(b"msg=x&levelname=INFO&id=7&level=mine")).remove(0);
    assert_eq!((&id["id"], &id["extra"]["level"]), (&json!("7"), &json!("mine")));
    let many: String = (0..300).map(|number| format!("msg=x&k{number}=1&")).collect();
    assert_eq!(decode(many.as_bytes()).refused[0].reason.name(), "too_many_arguments");
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(body in any::<Vec<u8>>(), template in "[%()sdfxr.0-9a ]{0,30}", args in "[(){}'\\\\,:xu0-9a ]{0,30}") {
        decode(&body);
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("msg", &template).append_pair("args", &args).finish();
        decode(form.as_bytes());
    }
}
