use event::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::notify::{Channel, Kind};

/// The settings of a channel for mail, which names `to`.
pub(in super::super) fn mail(from: &str, to: &[&str]) -> Mail {
    let given = serde_json::json!({"kind": "email", "smtp": "smtp://m.example", "from": from, "to": to});
    let Kind::Email(mail) = Channel::parse("ops", &given, None).unwrap().kind else { panic!("{given}") };
    *mail
}

/// A notice as a mail.
pub(in super::super) fn message(subject: &str, text: &str) -> MailMessage {
    MailMessage {
        subject: subject.to_owned(),
        text: text.to_owned(),
        html: format!("<p>{text}</p>"),
        message_id: "notice-7".to_owned(),
        thread: Some("issue-42@shop".to_owned()),
        time: Timestamp::from_micros(784_887_151_000_000),
        only: Vec::new(),
    }
}

/// The names of the headers, and their values with what is folded joined.
fn headers(mail: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(mail).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let mut found: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        if let Some(folded) = line.strip_prefix([' ', '\t']) {
            found.last_mut().unwrap().1.extend([" ", folded]);
        } else {
            let (name, value) = line.split_once(':').unwrap();
            found.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    found
}

const NAMES: [&str; 11] = [
    "Date",
    "From",
    "Subject",
    "Message-ID",
    "To",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
];

fn check(mail: &Mail, message: &MailMessage) -> Vec<(String, String)> {
    let found = headers(&write(mail, message).unwrap().bytes);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, NAMES, "{found:?}");
    found
}

#[test]
fn a_mail_has_what_readers_sort_by() {
    let mail = mail("Everlog <e@x.example>", &["Ops Café <a@x.example>", "b@x.example"]);
    let found = check(&mail, &message("Division durch null — 7×", "a\nb"));
    let value = |name: &str| found.iter().find(|(found, _)| found == name).unwrap().1.clone();
    for (name, expected) in [
        ("Date", "Tue, 15 Nov 1994 08:12:31 +0000"),
        ("From", "Everlog <e@x.example>"),
        ("Message-ID", "<notice-7@x.example>"),
        ("References", "<issue-42@shop>"),
        ("In-Reply-To", "<issue-42@shop>"),
        ("Auto-Submitted", "auto-generated"),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    assert!(value("Subject").is_ascii() && value("Subject").contains("=?utf-8?"), "{}", value("Subject"));
    assert!(value("To").contains("<a@x.example>") && value("To").contains("b@x.example"), "{}", value("To"));
    assert!(value("Content-Type").starts_with("multipart/alternative"));
    let whole = String::from_utf8(write(&mail, &message("s", "ein Käse\n.\n")).unwrap().bytes).unwrap();
    assert!(whole.is_ascii() && whole.contains("text/plain") && whole.contains("text/html"), "{whole}");
}

#[test]
fn only_those_who_are_still_to_get_it_are_asked_for() {
    let mail = mail("e@x.example", &["a@x.example", "B <b@x.example>"]);
    let mut message = message("s", "t");
    message.only = vec!["b@x.example".to_owned(), "gone@x.example".to_owned()];
    let letter = write(&mail, &message).unwrap();
    assert_eq!(letter.to, ["b@x.example"]);
    assert!(headers(&letter.bytes).iter().any(|(name, to)| name == "To" && to.contains("a@x.example")));
    message.only = vec!["gone@x.example".to_owned()];
    assert!(write(&mail, &message).is_err_and(|failed| failed.permanent));
}

proptest! {
    /// Whatever stands in an event, it does not become a header, and the header is a line that servers take.
    #[test]
    fn no_text_becomes_a_header(
        subject in "(\\PC|[\r\n\t\0\u{85}\u{2028}:,<>@=?]){0,300}",
        name in "(\\PC|[\r\n\t\0\u{85}\u{2028}:,<>@=?\"\\\\]){0,100}",
        id in "(\\PC|[\r\n <>@]){0,300}",
    ) {
        let mut mail = mail("e@x.example", &["a@x.example"]);
        // As no parser would let it through.
        mail.from = Mailbox::new(Some(name.clone()), mail.from.email.clone());
        mail.to = vec![Mailbox::new(Some(name), "a@x.example".parse().unwrap())];
        let mut message = message(&subject, "t");
        message.message_id = id.clone();
        message.thread = Some(id);
        let letter = write(&mail, &message).unwrap();
        let found = headers(&letter.bytes);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        prop_assert_eq!(names, NAMES);
        let head = std::str::from_utf8(&letter.bytes).unwrap().split("\r\n\r\n").next().unwrap();
        prop_assert!(head.is_ascii() && head.split("\r\n").all(|line| line.len() <= 998), "{}", head);
    }

    /// The bodies neither.
    #[test]
    fn no_body_breaks_out_of_its_line(text in "(\\PC|[\r\n\t\0.]){0,400}") {
        let letter = write(&mail("e@x.example", &["a@x.example"]), &message("s", &text)).unwrap();
        check(&mail("e@x.example", &["a@x.example"]), &message("s", &text));
        prop_assert!(letter.bytes.is_ascii());
    }
}
