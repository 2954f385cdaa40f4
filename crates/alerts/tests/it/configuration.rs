//! Configuration errors without a flood of mail.

use alerts::configuration::{ConfigurationError, ConfigurationErrors, ERRORS_MAX, Mailing, RATE_LIMIT_HOURS};
use alerts::render::email;
use proptest::prelude::*;

use crate::at;

/// What is kept of errors, as rows.
type Rows = std::collections::BTreeMap<String, String>;

/// Keeps what changed, and returns how many rows that were.
fn keep(errors: &mut ConfigurationErrors, rows: &mut Rows) -> usize {
    let changed = errors.changed();
    let count = changed.len();
    for (key, body) in changed {
        match body {
            Some(body) => drop(rows.insert(key, body)),
            None => drop(rows.remove(&key)),
        }
    }
    count
}

fn read(rows: &Rows) -> ConfigurationErrors {
    ConfigurationErrors::read(rows.clone().into_iter().collect())
}

fn missing() -> ConfigurationError {
    ConfigurationError {
        message: "'ward_id' configuration is missing".to_owned(),
        object: Some("dashboardwidget:12".to_owned()),
        url: Some("/dash/12".to_owned()),
        config_field: Some("ward_id".to_owned()),
    }
}

#[test]
fn a_hundred_are_one_mail_and_the_next_day_says_how_many() {
    let mut errors = ConfigurationErrors::default();
    let mut mails = Vec::new();
    for second in 0..100 {
        if let Mailing::Mail { held } = errors.see(&missing(), RATE_LIMIT_HOURS, at(second)) {
            mails.push(held);
        }
    }
    let other = ConfigurationError { message: "Ward 99 does not exist".to_owned(), ..missing() };
    assert_eq!(errors.see(&other, RATE_LIMIT_HOURS, at(100)), Mailing::Mail { held: 0 });
    assert_eq!((mails.as_slice(), errors.held()), (&[0][..], 99));
    let mut rows = Rows::new();
    keep(&mut errors, &mut rows);
    let mut errors = read(&rows);
    let elsewhere = ConfigurationError { url: Some("/dash/13".to_owned()), ..missing() };
    let next = errors.see(&elsewhere, RATE_LIMIT_HOURS, at(24 * 3600 + 1));
    assert_eq!((next, errors.held()), (Mailing::Mail { held: 99 }, 0));
    insta::assert_snapshot!(email(&missing().notice("shop", 99, at(86_401))).text, @r##"
    Configuration error

        'ward_id' configuration is missing

    Log: shop
    Level: error
    Object: dashboardwidget:12
    URL: /dash/12
    Field: ward_id
    Held back: 99 more since the last notice
    Time: 2026-01-03 03:04:06 UTC
    "##);
}

#[test]
fn what_is_remembered_is_bounded() {
    let (mut errors, mut rows) = (ConfigurationErrors::default(), Rows::new());
    let count = u64::try_from(ERRORS_MAX).expect("small") + 5000;
    for number in 0..count {
        let error = ConfigurationError { message: format!("error {number}"), ..ConfigurationError::default() };
        assert_eq!(errors.see(&error, 24, at(number)), Mailing::Mail { held: 0 });
        assert_eq!(errors.see(&error, 24, at(number)), Mailing::Held { held: 1 });
        // A look writes what it saw, and not all that is remembered; now and then it forgets a tenth.
        let written = keep(&mut errors, &mut rows);
        assert!(written == 1 || written == 1 + ERRORS_MAX / 10, "{written}");
    }
    assert!(errors.count() <= ERRORS_MAX && rows.len() == errors.count(), "{} {}", errors.count(), rows.len());
    assert_eq!(errors.held() + errors.forgotten(), count);
    let again = read(&rows);
    assert_eq!((again.count(), again.held()), (errors.count(), errors.held()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_error_is_mailed_or_held(
        steps in proptest::collection::vec((0_u64..20_000, 0_u8..4), 0..200),
        hours in 0_u32..30,
    ) {
        let mut errors = ConfigurationErrors::default();
        let (mut now, mut seen, mut told) = (0, 0, 0);
        for (later, number) in steps {
            now += later;
            seen += 1;
            let error = ConfigurationError { message: number.to_string(), ..ConfigurationError::default() };
            if let Mailing::Mail { held } = errors.see(&error, hours, at(now)) {
                told += 1 + held;
            }
            prop_assert_eq!(told + errors.held(), seen);
        }
    }
}
