//! What people read of a fingerprint: title, culprit, parts, and what became of each frame.

use event::Level;
use issues::{Basis, Facts, explain, group};

fn titled(facts: &Facts<'_>) -> (String, String) {
    let found = group(&Facts { level: Some(Level::Error), ..*facts }).unwrap();
    (found.title, found.culprit)
}

#[test]
fn titles_and_culprits() {
    let check = |facts: Facts<'_>, title: &str, culprit: &str| {
        assert_eq!(titled(&facts), (title.to_owned(), culprit.to_owned()), "{facts:?}");
    };
    let nothing = Facts::default();
    let permission = r#"[{"function":"has_permission","module":"objects.token.permissions","file":"objects/token/permissions.py","in_app":true},
        {"function":"get","module":"rest_framework.request","in_app":false}]"#;
    let error = Facts {
        exception_type: "AttributeError",
        exception_message: "no such\n  attribute",
        frames: permission,
        ..nothing
    };
    check(error, "AttributeError: no such", "objects.token.permissions in has_permission");
    let text = "Traceback (most recent call last):\n  File \"/app/shop/stats.py\", line 4, in average\n    a / b\nZeroDivisionError: division by zero";
    check(Facts { exception_text: text, ..nothing }, "ZeroDivisionError: division by zero", "shop.stats in average");
    let rust = r#"[{"function":"shop::Cart::pay::{{closure}}","file":"src/cart.rs"}]"#;
    check(
        Facts { exception_type: "panic", exception_message: "no", frames: rust, ..nothing },
        "panic: no",
        "shop::Cart::pay",
    );
    check(Facts { message: "payment 17 failed", logger: "shop.pay", ..nothing }, "payment 17 failed", "shop.pay");
    let answer = Facts { status: Some(502), method: "POST", path: "/orders/17?x=1", ..nothing };
    check(answer, "502 POST /orders/{id}", "/orders/{id}");
    check(Facts { culprit: "OrdersController#show", message: "no", ..nothing }, "no", "OrdersController#show");
    check(nothing, "error", "");
    let long = "é".repeat(1000);
    assert_eq!(titled(&Facts { message: &long, ..nothing }).0.chars().count(), 255);
}

#[test]
fn every_frame_says_what_it_did() {
    let frames = r#"[
        {"function":"main","file":"/app/manage.py","in_app":true},
        {"function":"dispatch","file":"/app/shop/base.py","in_app":true},
        {"function":"get","file":"/app/shop/views.py","in_app":true},
        {"function":"walk","file":"/app/shop/tree.py","in_app":true},
        {"function":"walk","file":"/app/shop/tree.py","in_app":true},
        {"function":"<listcomp>","file":"/app/shop/tree.py","in_app":true},
        {"function":"leaf","file":"/app/shop/tree.py","in_app":true},
        {"function":"loads","file":"/usr/lib/python3.11/json/__init__.py"},
        {"function":"decode","file":"/usr/lib/python3.11/json/decoder.py"}]"#;
    let facts = Facts { exception_type: "ValueError", exception_message: "no", frames, ..Facts::default() };
    let found = explain(&facts).unwrap();
    let roles = serde_json::to_value(found.frames.iter().map(|frame| frame.role).collect::<Vec<_>>()).unwrap();
    let expected =
        ["too_far", "counted", "counted", "repeated", "counted", "machinery", "counted", "called", "not_in_app"];
    assert_eq!(roles, serde_json::json!(expected));
    let parts = serde_json::to_value(&found.parts).unwrap();
    let expected = serde_json::json!([
        {"kind":"type","value":"ValueError"}, {"kind":"function","value":"shop/tree:leaf"},
        {"kind":"function","value":"shop/tree:walk"}, {"kind":"function","value":"shop/views:get"},
        {"kind":"function","value":"shop/base:dispatch"}, {"kind":"called","value":"json:loads"}]);
    assert_eq!((parts, found.basis, found.version), (expected, Basis::Frames, 1));
    assert_eq!(group(&facts).unwrap().fingerprint, found.fingerprint);
}

#[test]
fn fingerprints_of_this_version_stay_what_they_are() {
    let text = "Traceback (most recent call last):\n  File \"/app/shop/stats.py\", line 4, in average\n    a / b\nZeroDivisionError: division by zero";
    let check = |facts: Facts<'_>, expected: &str| {
        let found = group(&Facts { level: Some(Level::Error), ..facts }).unwrap();
        assert_eq!(found.fingerprint, expected, "{facts:?}");
    };
    check(Facts { exception_text: text, ..Facts::default() }, "1-703e6fd7d85a4d43342b67e56a7d0b36");
    check(
        Facts { message: "payment 17 failed", logger: "shop.pay", ..Facts::default() },
        "1-786098ba587109364fe3a1454eb3e54f",
    );
    check(
        Facts { status: Some(502), method: "POST", path: "/orders/17", ..Facts::default() },
        "1-4da1de9a620833bd7e0643c58fb464d5",
    );
    check(Facts { fingerprint: &["checkout", "eu"], ..Facts::default() }, "1-d8b2b488db404dbe3dce3a90f3b2ea12");
}

#[test]
fn a_client_that_calls_nothing_its_own_is_judged_by_its_paths() {
    let frames = |own: &str| {
        format!(
            r#"[{{"function":"run","file":"/venv/lib/python3.11/site-packages/celery/app.py","in_app":false}},
                {{"function":"sync","file":"/app/shop/sync.py","in_app":{own}}}]"#
        )
    };
    let found = |own: &str| {
        let frames = frames(own);
        explain(&Facts { exception_type: "E", frames: &frames, ..Facts::default() }).unwrap().fingerprint
    };
    assert_eq!(found("false"), found("true"));
}
