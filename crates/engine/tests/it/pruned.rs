//! Whatever is asked, the answer with the index is the answer without it.

use std::collections::BTreeMap;

use engine::filter::{Comparison, Filter, Scalar, Test, Text};
use engine::url::Question;
use proptest::prelude::*;

use crate::harness::{Fixture, ids};

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "(alpha|beta gamma|Gamma-delta|alice@example\\.com|x_1|404|500|true)".prop_map(|text| format!("{text:?}")),
        (0..600_i64).prop_map(|number| number.to_string()),
        (0..100_i64).prop_map(|number| format!("{number}.5")),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("[\"alpha\",7]".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        (0..4_u8).prop_map(|digit| format!("\"1734afac-4628-446d-b344-f39b42f48bd{digit}\"")),
        Just("{\"inner\":\"beta\"}".to_owned()),
    ]
}

fn document() -> impl Strategy<Value = String> {
    let key = "(user|status|message|request_id|level|stream|odd|a\\.b)".prop_flat_map(|key| {
        let rare = "(ERROR|error|Error|warn-X|ERROR-X|x_1|INFO|7)".prop_map(|text| format!("{text:?}"));
        let value =
            if key == "stream" || key == "level" { prop_oneof![rare, value()].boxed() } else { value().boxed() };
        (Just(key), value)
    });
    proptest::collection::vec(key, 0..6).prop_map(|members| members.into_iter().collect::<BTreeMap<_, _>>()).prop_map(
        |members| {
            format!(
                "{{{}}}",
                members.iter().map(|(key, value)| format!("{key:?}:{value}")).collect::<Vec<_>>().join(",")
            )
        },
    )
}

/// Every fifth id is a UUID, one of them a value that occurs elsewhere too.
fn id_of(number: usize) -> String {
    if number.is_multiple_of(5) {
        format!("1734afac-4628-446d-b344-f39b42f4{:04}", number + 8)
    } else {
        format!("e{number}")
    }
}

fn scalar() -> impl Strategy<Value = Scalar> {
    "(alpha|beta gamma|Gamma-delta|alice@example\\.com|404|500|7|30\\.5|true|1734afac-4628-446d-b344-f39b42f48bd1|error|ERROR|warn-X|x_1|123456789012345678901234567890)"
        .prop_map(Scalar::new)
}

fn filter() -> impl Strategy<Value = Filter> {
    let test = prop_oneof![
        Just(Test::Present),
        proptest::collection::vec(scalar(), 1..3).prop_map(Test::Equal),
        (scalar(), 0..4_u8).prop_map(|(scalar, which)| {
            let comparison =
                [Comparison::Less, Comparison::LessOrEqual, Comparison::Greater, Comparison::GreaterOrEqual]
                    [usize::from(which)];
            Test::Compare(comparison, scalar)
        }),
        "(lph|AMMA|@exam|40)".prop_map(|text| Test::Contains { text, ignore_case: true }),
        "(al[*]|[*]a|4[?]4|[*])".prop_map(Test::Wildcard),
        "(gamma|beta gamma|alice|GAMMA|error|ERROR|warn|x|7)".prop_map(|text| Test::Words(Text::new(&text))),
    ];
    let leaf = prop_oneof![
        ("(user|status|message|request_id|level|stream|odd|a\\.b|odd\\.inner|id)", test)
            .prop_map(|(field, test)| Filter::field(field, test)),
        "(alpha|gamma|beta gamma|alice@example\\.com|7|404|error|x_1|system|1734afac-4628-446d-b344-f39b42f48bd1|1734afac-4628-446d-b344-f39b42f40008|e17)"
            .prop_map(|text| Filter::Anywhere(Text::new(&text))),
        "(alp|gam|ali)".prop_map(|text| Filter::Anywhere(Text::starting(&text))),
    ];
    // What is asked for most: words within a stream or level.
    let scope =
        ("(stream|level)", "(ERROR|error|warn|x_1|info|7|ERROR-X)", any::<bool>()).prop_map(|(field, text, whole)| {
            let test = if whole { Test::Equal(vec![Scalar::new(&text)]) } else { Test::Words(Text::new(&text)) };
            Filter::field(field, test)
        });
    let leaf = prop_oneof![4 => leaf.clone(), 1 => (scope, proptest::collection::vec(leaf, 1..3)).prop_map(|(scope, others)| {
        Filter::and(std::iter::once(scope).chain(others))
    })];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Filter::and),
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Filter::or),
            inner.prop_map(Filter::not),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn segments_answer_as_the_buffer_does(
        documents in proptest::collection::vec(document(), 1..200),
        filters in proptest::collection::vec(filter(), 20),
    ) {
        // Far more rows than a block holds, so that blocks can be ruled out.
        let plain: String = (0..1500).map(|number| format!("{{\"id\":\"p{number}\",\"stream\":\"INFO\",\"message\":\"nothing here {}\"}}\n", number / 500)).collect();
        let body: String = documents.iter().enumerate().map(|(number, document)| {
            let inner = document.trim_start_matches('{');
            let comma = if inner == "}" { "" } else { "," };
            format!("{{\"id\":\"{}\"{comma}{inner}\n", id_of(number))
        }).collect();
        let (buffered, flushed) = (Fixture::new(), Fixture::new());
        for fixture in [&buffered, &flushed] {
            fixture.send("log", &plain);
            prop_assert_eq!(fixture.send("log", &body).refused.len(), 0);
            fixture.send("log", &plain.replace("\"p", "\"q"));
        }
        flushed.engine.flush().unwrap();
        for filter in filters {
            let question = Question { filter, limit: 100_000, strict: false, ..Question::default() };
            let sorted = |fixture: &Fixture| { let events = fixture.ask("log", &question); let mut found = ids(&events); found.sort(); (events.total, found) };
            let (scanned, pruned) = (sorted(&buffered), sorted(&flushed));
            prop_assert_eq!(scanned.0, Some(scanned.1.len() as u64));
            prop_assert_eq!(scanned, pruned, "{}", question.filter);
        }
    }
}
