//! Whatever JSON object is sent comes back equal.

use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use crate::native::{decode, documents};

fn scalar() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        "-?[1-9][0-9]{0,40}",
        "-?[0-9]\\.[0-9]{1,30}(e-?[0-9]{1,3})?",
        Just("-0".to_owned()),
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number
            .prop_filter_map("a JSON number", |text| serde_json::from_str::<Number>(&text).ok())
            .prop_map(Value::Number),
        any::<String>().prop_map(Value::String),
        "(info|WARN|error|system|GET /a\\?b|404|2026-01-01|1734afac-4628-446d-b344-f39b42f48bd9)"
            .prop_map(Value::String),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c._\\\\]{0,3}",
        "(id|user|level|stream|status|duration_ms|message|msg|event|exception|request|code|user_id|user\\.id|_rest|received|path)",
        any::<String>(),
    ]
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    let value = scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    proptest::collection::vec((key(), value), 0..8).prop_map(|members| members.into_iter().collect())
}

/// Equal as JSON: numbers by their decimal value and by whether they are written as whole numbers.
fn equal(sent: &Value, got: &Value) -> bool {
    match (sent, got) {
        (Value::Number(sent), Value::Number(got)) => {
            let (sent, got) = (sent.to_string(), got.to_string());
            sent == got || (event::Value::number(&sent) == event::Value::number(&got))
        }
        (Value::Array(sent), Value::Array(got)) => {
            sent.len() == got.len() && sent.iter().zip(got).all(|(sent, got)| equal(sent, got))
        }
        (Value::Object(sent), Value::Object(got)) => {
            sent.len() == got.len() && sent.iter().all(|(key, value)| got.get(key).is_some_and(|got| equal(value, got)))
        }
        (sent, got) => sent == got,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_object_comes_back(sent in object()) {
        let body = Value::Object(sent.clone()).to_string();
        let decoded = decode(body.as_bytes());
        if let Some(refused) = decoded.refused.first() {
            prop_assert!(matches!(refused.reason.name(), "too_large" | "id_too_long"), "{:?} {}", refused, body);
            return Ok(());
        }
        let got = documents(&decoded).remove(0);
        for (key, value) in &sent {
            // The server gives an id where none was sent.
            if key == "id" && (value.is_null() || value == "") { continue; }
            prop_assert!(got.get(key).is_some_and(|got| equal(value, got)), "{key}: sent {body}, got {got}");
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes: Vec<u8>) {
        decode(&bytes);
    }

    #[test]
    fn a_broken_document_is_refused_as_serde_does(object in object(), cut in 0.0..1.0_f64, insert in "[\\[\\]{}\",:x0-9]") {
        let text = Value::Object(object).to_string();
        let at = text.floor_char_boundary((text.len() as f64 * cut) as usize);
        let broken = format!("{}{insert}{}", &text[..at], &text[at..]);
        // An array is taken item by item, as far as it goes.
        if broken.contains('\n') || broken.starts_with('[') { return Ok(()); }
        let valid = matches!(serde_json::from_str::<Value>(&broken), Ok(Value::Object(_)));
        let decoded = decode(broken.as_bytes());
        // Lone surrogates are no text to serde_json, yet valid JSON, and kept.
        if valid {
            prop_assert!(decoded.refused.iter().all(|refused| refused.reason.name() != "not_json"), "{broken}: {:?}", decoded.refused);
        } else if !broken.contains("\\u") {
            prop_assert!(decoded.batch.is_empty(), "{broken}");
        }
    }
}
