use serde_json::json;

use super::*;

fn check(given: &Value) -> Channel {
    Channel::parse("ops", given, None).unwrap_or_else(|error| panic!("{given}: {error:#}"))
}

fn refused(given: &Value, told: &str) {
    let error = format!("{:#}", Channel::parse("ops", given, None).err().unwrap_or_else(|| panic!("{given} is taken")));
    assert!(error.contains(told), "{given}: {error}");
    assert!(!error.contains("hush"), "{given}: {error}");
}

const SLACK: &str = "https://hooks.slack.com/services/T0/B0/hushhushhush";

#[test]
fn every_kind_is_read() {
    let slack = check(&json!({"kind": "slack", "url": SLACK, "name": "ops"}));
    assert_eq!((slack.kind.name(), slack.enabled, slack.allow_private), ("slack", true, false));
    assert_eq!(slack.kind.url().unwrap().as_str(), SLACK);
    let telegram = check(&json!({"kind": "telegram", "token": "12:aB-_", "chat": -100, "environments": "production"}));
    assert_eq!(telegram.kind.url().unwrap().as_str(), "https://api.telegram.org/bot12:aB-_/sendMessage");
    assert!(matches!(&telegram.kind, Kind::Telegram { chat, .. } if chat == "-100"));
    assert_eq!(telegram.environments, ["production"]);
    let hook = json!({"kind": "webhook", "url": "http://h.example/x#y", "secret": "s", "headers": {"X-Key": "k"}, "rules": ["a", "b"]});
    let hook = check(&hook);
    assert_eq!(hook.rules, ["a", "b"]);
    let Kind::Webhook { url, secret, headers } = hook.kind else { panic!() };
    let found =
        (url.reveal().as_str(), secret.unwrap().reveal().to_owned(), headers["x-key"].to_str().unwrap().to_owned());
    assert_eq!(found, ("http://h.example/x", "s".to_owned(), "k".to_owned()));
    for kind in ["teams", "discord"] {
        let channel =
            check(&json!({"kind": kind, "url": "http://127.0.0.1/x", "allow_private": true, "enabled": false}));
        assert_eq!((channel.kind.name(), channel.enabled, channel.allow_private), (kind, false, true));
    }
}

#[test]
fn a_server_for_mail_is_named_by_a_url() {
    for (smtp, host, port, security, login) in [
        ("smtp://m.example", "m.example", 25, Security::Offered, None),
        ("smtp://m.example:1025/", "m.example", 1025, Security::Offered, None),
        ("smtp+starttls://bob:a%2Fb+%26@m.example", "m.example", 587, Security::Required, Some(("bob", "a/b+&"))),
        ("smtps://bob%40x.example:p@m.example", "m.example", 465, Security::Whole, Some(("bob@x.example", "p"))),
        ("smtp://[2606:4700::1]:26", "2606:4700::1", 26, Security::Offered, None),
    ] {
        let given = json!({"kind": "email", "smtp": smtp, "from": "Everlog <e@x.example>", "to": ["a@x.example", "B <b@x.example>"]});
        let Kind::Email(mail) = check(&given).kind else { panic!() };
        let found = mail.login.as_ref().map(|(name, password)| (name.as_str(), password.reveal()));
        assert_eq!((mail.host.as_str(), mail.port, mail.security, found), (host, port, security, login), "{smtp}");
        assert_eq!((mail.from.name.as_deref(), mail.to.len()), (Some("Everlog"), 2));
    }
    let apart = json!({"kind": "email", "smtp": "smtp://m.example", "username": "u", "password": "p@/", "from": "e@x.example", "to": "a@x.example"});
    let Kind::Email(mail) = check(&apart).kind else { panic!() };
    assert_eq!(mail.login.unwrap().1.reveal(), "p@/");
}

#[test]
fn a_mistake_is_named_and_no_secret_with_it() {
    let mail = |smtp: &str| json!({"kind": "email", "smtp": smtp, "from": "e@x.example", "to": ["a@x.example"]});
    let addressed =
        |from: &str, to: Value| json!({"kind": "email", "smtp": "smtp://m.example", "from": from, "to": to});
    let hook = |key: &str, value: Value| json!({"kind": "webhook", "url": "https://h.example", key: value});
    for (given, told) in [
        (json!([]), "is an object"),
        (json!({}), "kind is missing: one of slack, email"),
        (json!({"kind": "slck", "url": SLACK}), "kind: \"slck\" is none: did you mean \"slack\"?"),
        (json!({"kind": "slack"}), "url is missing"),
        (json!({"kind": "slack", "url": SLACK, "alow_private": true}), "did you mean \"allow_private\"?"),
        (json!({"kind": "slack", "url": SLACK, "secret": "hush"}), "unknown key \"secret\""),
        (json!({"kind": "slack", "url": SLACK, "name": "other"}), "name: this is the channel \"ops\""),
        (json!({"kind": "slack", "url": 7}), "url takes a text"),
        (json!({"kind": "slack", "url": "hooks.slack.com/hush"}), "expected one like https://"),
        (json!({"kind": "slack", "url": "ftp://h/hush"}), "expected one like https://"),
        (json!({"kind": "slack", "url": "http://h.example/hush"}), "use https://"),
        (json!({"kind": "slack", "url": format!("https://h/{}", "x".repeat(2048))}), "url: at most 2048 bytes"),
        (json!({"kind": "slack", "url": "https://127.0.0.1/hush"}), "url: 127.0.0.1 is 127.0.0.1, this very machine"),
        (json!({"kind": "slack", "url": "https://0x7f.1/hush"}), "allow_private = true"),
        (json!({"kind": "slack", "url": "https://localhost/hush"}), "allow_private = true"),
        (json!({"kind": "slack", "url": SLACK, "enabled": "yes"}), "enabled is true or false"),
        (json!({"kind": "slack", "url": SLACK, "rules": [1]}), "rules takes a list of texts"),
        (json!({"kind": "slack", "url": SLACK, "rules": vec!["r"; 101]}), "rules: at most 100, found 101"),
        (json!({"kind": "slack", "url": SLACK, "environments": ["a\nb"]}), "environments: this must be one line"),
        (json!({"kind": "slack", "url": "https://hooks.slack.com/[REDACTED]"}), "there is none to keep"),
        (json!({"kind": "telegram", "token": "hush", "chat": "1"}), "token: expected one like"),
        (json!({"kind": "telegram", "token": "1:hush/../x", "chat": "1"}), "token: expected one like"),
        (json!({"kind": "telegram", "token": "1:hush"}), "chat is missing"),
        (hook("headers", json!({"Host": "x"})), "headers: host is set by the request itself"),
        (hook("headers", json!({"a b": "x"})), "headers: \"a b\" is no name"),
        (hook("headers", json!({"X-A": "hush\r\nX-B: y"})), "headers: x-a: this cannot stand in one"),
        (hook("headers", json!("hush")), "headers is an object"),
        (hook("secret", json!("")), "secret: this is empty"),
        (json!({"kind": "sentry", "dsn": "https://host.example/hush"}), "dsn: its key stands before the @"),
        (json!({"kind": "sentry", "dsn": "https://hush@host.example/"}), "dsn: expected one like"),
        (json!({"kind": "sentry", "dsn": "https://hush@10.0.0.7/1"}), "allow_private"),
        (json!({"kind": "sentry", "dsn": "https://hush@h.example/1", "hourly_cap": 5}), "no notices: leave it out"),
        (mail("m.example"), "expected one like smtp://"),
        (mail("http://m.example"), "expected one like smtp://"),
        (mail("smtp://u:hush/x@m.example"), "%XX"),
        (mail("smtp://u@m.example"), "a user without a password"),
        (mail("smtp://m.example/x"), "nothing comes after"),
        (mail("smtp://u:hush%0Ax@m.example"), "no control characters"),
        (mail("smtp://m.ex%0aample"), "expected one like smtp://"),
        (mail("smtp://localhost:25"), "smtp: localhost is 127.0.0.1"),
        (mail("smtp://169.254.169.254"), "allow_private"),
        (addressed("nobody", json!(["a@x.example"])), "from: \"nobody\" is no address"),
        (addressed("e@x.example", json!([])), "to is missing"),
        (addressed("e@x.example", json!(["a@x.example", "b"])), "to: \"b\" is no address"),
        (addressed("e@x.example", json!(["a@x.example\r\nBcc: c@x.example"])), "to: this must be one line"),
        (addressed("e@x.example", json!(vec!["a@x.example"; 51])), "to: at most 50"),
    ] {
        refused(&given, told);
    }
    for name in ["", "a b", "ä", ".x", &"n".repeat(65)] {
        assert!(Channel::parse(name, &json!({"kind": "slack", "url": SLACK}), None).is_err(), "{name}");
    }
}

fn shown(given: &Value) -> Value {
    let channel = check(given);
    let shown = channel.shown();
    for text in [shown.to_string(), format!("{channel:?}")] {
        assert!(!text.contains("hush"), "{text}");
    }
    let again = Channel::parse("ops", &shown, Some(&channel)).unwrap();
    assert_eq!(again.shown(), shown);
    for (key, value) in given.as_object().unwrap() {
        assert_eq!(again.kept()[key], *value, "{key} stays");
    }
    shown
}

#[test]
fn secrets_are_not_shown_and_stay_when_settings_come_back_as_shown() {
    assert_eq!(
        shown(&json!({"kind": "slack", "url": SLACK})),
        json!({"kind": "slack", "url": "https://hooks.slack.com/[REDACTED]", "allow_private": false, "environments": [], "rules": [], "enabled": true})
    );
    let given = json!({"kind": "webhook", "url": "https://h.example:8443/a?key=hush", "secret": "hush", "headers": {"X-Key": "hush", "X-Other": "hush2"}});
    let found = shown(&given);
    assert_eq!(found["url"], "https://h.example:8443/[REDACTED]");
    assert_eq!(found["headers"], json!({"X-Key": "[REDACTED]", "X-Other": "[REDACTED]"}));
    let given = json!({"kind": "email", "smtp": "smtps://bob:hush@m.example:465", "from": "e@x.example", "to": ["a@x.example"]});
    assert_eq!(shown(&given)["smtp"], "smtps://bob:[REDACTED]@m.example:465");
    assert_eq!(shown(&json!({"kind": "telegram", "token": "1:hush", "chat": 5}))["token"], "[REDACTED]");
}

#[test]
fn a_secret_does_not_go_where_it_was_not_given_for() {
    let before = check(
        &json!({"kind": "webhook", "url": "https://h.example/a", "secret": "hush", "headers": {"X-Key": "hush"}}),
    );
    let again = |given: Value| Channel::parse("ops", &given, Some(&before)).map_err(|error| format!("{error:#}"));
    let moved = again(json!({"kind": "webhook", "url": "https://evil.example/a", "secret": "[REDACTED]"})).unwrap_err();
    assert!(moved.contains("secret: the channel leads to another place now"), "{moved}");
    assert!(
        again(json!({"kind": "webhook", "url": "https://evil.example/a", "headers": {"X-Key": "[REDACTED]"}})).is_err()
    );
    assert!(
        again(json!({"kind": "webhook", "url": "https://h.example/b", "headers": {"X-New": "[REDACTED]"}})).is_err()
    );
    assert!(again(json!({"kind": "webhook", "url": "https://h.example/b", "secret": "x[REDACTED]"})).is_err());
    assert!(again(json!({"kind": "slack", "url": "https://h.example/[REDACTED]"})).is_err());
    let same = again(json!({"kind": "webhook", "url": "https://h.example/b", "secret": "[REDACTED]"})).unwrap();
    assert_eq!(same.kept(), json!({"kind": "webhook", "url": "https://h.example/b", "secret": "hush"}));
}

#[test]
fn what_others_say_is_kept_without_our_secrets() {
    let channel = check(
        &json!({"kind": "webhook", "url": "https://h.example/a/hushhushhushhush?key=hush", "secret": "hush1", "headers": {"X-Key": "hush2"}}),
    );
    let said = "no POST /a/hushhushhushhush?key=hush with hush2 and hush1; hushhushhushhush";
    assert!(!channel.conceal(said).contains("hush"), "{}", channel.conceal(said));
    let mail = check(
        &json!({"kind": "email", "smtp": "smtp://u:hush%21@m.example", "from": "e@x.example", "to": ["a@x.example"]}),
    );
    assert_eq!(mail.conceal("535 hush! is wrong"), "535 [REDACTED] is wrong");
}

#[test]
fn a_table_is_read_and_printed_alike() {
    let text = format!(
        "[ops]\nkind = \"slack\"\nurl = \"{SLACK}\"\nrules = [\"a\"]\n[mail]\nkind = \"email\"\nsmtp = \"${{MAIL_HOST}}\"\npassword = \"hush\"\n"
    );
    let tables: toml::Table = text.parse().unwrap();
    let slack = Channel::from_toml("ops", &tables["ops"]).unwrap();
    assert_eq!((slack.kind.name(), &slack.rules[..]), ("slack", &["a".to_owned()][..]));
    let error = Channel::from_toml("mail", &tables["mail"]).unwrap_err();
    assert!(format!("{error:#}").contains("smtp: the variable MAIL_HOST is not set"), "{error:#}");
    let printed = print(&tables);
    assert!(!printed.contains("hush"), "{printed}");
    for line in [
        "[channels.\"ops\"]",
        "# url = \"(set)\"",
        "smtp = \"${MAIL_HOST}\"",
        "# password = \"(set)\"",
        "rules = [\"a\"]",
    ] {
        assert!(printed.lines().any(|found| found == line), "{line}: {printed}");
    }
    assert_eq!(printed.matches("# Secrets are not shown: fill in").count(), 2, "{printed}");
    for part in ["https://hooks.slack.com/${FOO}", "${A}/${B}", "x${FOO}"] {
        let table: toml::Table = format!("kind = \"slack\"\nurl = \"{part}\"").parse().unwrap();
        let error = format!("{:#}", Channel::from_toml("ops", &table.into()).unwrap_err());
        assert!(error.contains("url: a variable is the whole value, \"${NAME}\""), "{error}");
    }
    // What comes over the wire asks nothing of the environment.
    let wire = check(&json!({"kind": "webhook", "url": "https://h.example", "secret": "${HOME}"}));
    assert_eq!(wire.kept()["secret"], "${HOME}");
}

#[test]
fn a_dsn_says_where_envelopes_go() {
    for (dsn, url, shown) in [
        ("https://k3y@o1.example/42", "https://o1.example/api/42/envelope/", "https://[REDACTED]@o1.example/42"),
        (
            "https://k3y:s3cret@h.example:8443/42/",
            "https://h.example:8443/api/42/envelope/",
            "https://[REDACTED]@h.example:8443/42/",
        ),
        (
            "https://glet_k3y@gitlab.example/api/v4/error_tracking/collector/12",
            "https://gitlab.example/api/v4/error_tracking/collector/api/12/envelope/",
            "https://[REDACTED]@gitlab.example/api/v4/error_tracking/collector/12",
        ),
    ] {
        let channel = check(&json!({"kind": "sentry", "dsn": dsn, "environments": ["production"]}));
        let Kind::Sentry { url: found, key } = &channel.kind else { panic!() };
        assert_eq!(found.reveal().as_str(), url);
        assert!(key.reveal().ends_with("k3y"));
        assert_eq!(channel.shown()["dsn"], shown);
        assert!(!format!("{channel:?}").contains("k3y"), "{channel:?}");
    }
}
