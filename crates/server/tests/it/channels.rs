//! Channels and rules from outside: what is refused, tried again, signed, and told after a crash.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::answer::Answer;
use crate::server::{EVENTS, Server, until};
use crate::sinks::{HttpSink, MailSink, Sent};

const SECRET: &str = "s3cr3t-of-the-hook";

async fn put(server: &Server, name: &str, settings: &Value) -> Answer {
    server.as_admin(Method::PUT, &format!("/api/v1/channels/{name}"), settings).await
}

async fn test(server: &Server, name: &str) -> Answer {
    server.as_admin(Method::POST, &format!("/api/v1/channels/{name}/test"), &json!({})).await
}

async fn fail(server: &Server, message: &str) {
    server.send(&json!({ "level": "error", "message": message, "environment": "production" })).await;
}

/// HMAC-SHA256, as RFC 2104 has it.
fn hmac(secret: &[u8], text: &[u8]) -> String {
    let key: Vec<u8> = (0..64).map(|place| secret.get(place).copied().unwrap_or(0)).collect();
    let pad = |mark: u8| key.iter().map(|byte| byte ^ mark).collect::<Vec<u8>>();
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    let outer = Sha256::digest([pad(0x5c), inner.to_vec()].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn check_signature(sent: &Sent) {
    let header = sent.header("x-everlog-signature");
    let (time, signature) = header.split_once(",v1=").unwrap_or_else(|| panic!("{header}"));
    let seconds = time.strip_prefix("t=").unwrap();
    assert_eq!(hmac(SECRET.as_bytes(), format!("{seconds}.{}", sent.body).as_bytes()), signature);
    assert_eq!(sent.header("content-type"), "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_inside_are_refused() {
    let server = Server::start().await;
    let sink = HttpSink::start().await;
    for url in [
        sink.url("/x"),
        "http://localhost:9/x".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://[::1]:9/".to_owned(),
        "http://[::ffff:127.0.0.1]/".to_owned(),
        "http://2130706433/".to_owned(),
        "https://127.1/".to_owned(),
    ] {
        for kind in ["webhook", "slack"] {
            let problem =
                put(&server, "inside", &json!({ "kind": kind, "url": url })).await.problem(400, "alert_setting");
            assert!(problem["detail"].as_str().unwrap().contains("allow_private"), "{url}: {problem}");
        }
    }
    let mail = json!({ "kind": "email", "smtp": "smtp://127.0.0.1:25", "from": "a@a.example", "to": ["b@b.example"] });
    let problem = put(&server, "inside", &mail).await.problem(400, "alert_setting");
    assert!(problem["detail"].as_str().unwrap().contains("allow_private"), "{problem}");
    assert_eq!(server.as_admin(Method::GET, "/api/v1/channels", &Value::Null).await.expect(200), json!([]));
    assert_eq!(sink.sent().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let (outside, inside) = (HttpSink::start().await, HttpSink::start().await);
    let server = Server::start().await;
    server.set_channel("hook", &outside.channel("webhook")).await;
    outside.refuse([301, 302, 307, 308].map(|status| (status, Some(inside.url("/admin")))));
    for _ in 0..4 {
        let problem = test(&server, "hook").await.problem(502, "not_delivered");
        assert!(problem["detail"].as_str().unwrap().contains("redirect"), "{problem}");
    }
    let answer = test(&server, "hook").await.expect(200);
    assert_eq!(answer["sent"], true, "{answer}");
    assert_eq!((outside.sent().len(), inside.sent().len()), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_under_the_same_key() {
    let sink = HttpSink::start().await;
    let server = Server::start().await;
    let mut channel = sink.channel("webhook");
    channel["secret"] = SECRET.into();
    let shown = server.set_channel("hook", &channel).await;
    assert!(!shown.to_string().contains(SECRET), "{shown}");
    sink.refuse([(500, None), (500, None)]);
    fail(&server, "payment failed").await;
    let sent = sink.wait(3).await;
    let keys: Vec<&str> = sent.iter().map(|sent| sent.header("idempotency-key")).collect();
    assert_eq!((keys[0].len(), keys[1], keys[2]), (32, keys[0], keys[0]));
    assert_eq!((sent[0].body == sent[2].body, &sent[0].json()["notice"]["id"]), (true, &json!(keys[0])));
    sent.iter().for_each(check_signature);
    let told = until("the delivery", async || {
        let told = server.get("/api/v1/notices").await.expect(200);
        (told[0]["deliveries"][0]["state"] == "sent").then(|| told[0]["deliveries"][0].clone())
    })
    .await;
    assert_eq!(told["attempts"], 3, "{told}");
    // Pauses of two and four seconds, each by chance up to a half shorter.
    assert!(sent[1].at.duration_since(sent[0].at) >= Duration::from_millis(900), "not at once");
    assert_eq!(sink.sent().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_survive_a_kill() {
    let sink = HttpSink::start().await;
    let mut server = Server::start().await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    sink.refuse((0..1000).map(|_| (503, None)));
    fail(&server, "payment failed").await;
    fail(&server, "refund failed").await;
    let waiting = async |server: &Server| {
        let told = server.get("/api/v1/notices").await.expect(200);
        let deliveries = told.as_array().unwrap().iter().map(|told| told["deliveries"][0].clone());
        deliveries.filter(|delivery| delivery["state"] == "waiting" && delivery["reason"].is_string()).count()
    };
    until("a failure", async || (waiting(&server).await >= 1).then_some(())).await;
    server.kill9();
    let before = sink.sent().len();
    sink.forgive();
    server.restart().await;
    sink.wait(before + 2).await;
    let titles: BTreeSet<String> =
        sink.notices()[before..].iter().map(|notice| notice["title"].as_str().unwrap().to_owned()).collect();
    assert_eq!(titles, BTreeSet::from(["payment failed".to_owned(), "refund failed".to_owned()]));
}

/// Titles of what a sink was sent, in order.
fn titles(sink: &HttpSink) -> Vec<String> {
    sink.notices().iter().map(|notice| notice["title"].as_str().unwrap().to_owned()).collect()
}

/// What is told later stays behind what does not get through, so that the end of something is not read before its begin.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_notice_overtakes_none() {
    let sink = HttpSink::start().await;
    let mut server = Server::start().await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    sink.refuse([(503, None), (429, None), (500, None)]);
    fail(&server, "first").await;
    sink.wait(1).await;
    for (message, sent) in [("second", 2), ("third", 3)] {
        fail(&server, message).await;
        server.issue(message, 1).await;
        sink.wait(sent).await;
    }
    until("what it waits behind", async || {
        let told = server.get("/api/v1/notices").await.expect(200);
        let first = &told[2]["number"];
        let behind = json!(format!("behind notice {first}"));
        (told[0]["deliveries"][0]["reason"] == behind && told[2]["deliveries"][0]["reason"] != behind).then_some(())
    })
    .await;
    // Not even a restart helps anybody past it.
    server.kill9();
    server.restart().await;
    sink.wait(6).await;
    assert_eq!(titles(&sink), ["first", "first", "first", "first", "second", "third"]);
    // What is refused for what it is holds nobody up.
    sink.refuse([(400, None)]);
    fail(&server, "fourth").await;
    fail(&server, "fifth").await;
    sink.wait(8).await;
    assert_eq!(titles(&sink)[6..], ["fourth", "fifth"]);
    let told = server.get("/api/v1/notices?limit=2").await.expect(200);
    let state = |place: usize| told[place]["deliveries"][0]["state"].clone();
    assert_eq!(state(1), json!("failed"), "{told}");
}

/// One channel that takes nothing holds up neither the others nor what comes in.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_hangs_holds_nobody_up() {
    let (deaf, well) = (HttpSink::start().await, HttpSink::start().await);
    let server = Server::start().await;
    for (name, sink) in [("a-deaf", &deaf), ("b-well", &well)] {
        let mut channel = sink.channel("webhook");
        channel["hourly_cap"] = json!(1000);
        server.set_channel(name, &channel).await;
    }
    deaf.refuse((0..10_000).map(|_| (503, None)));
    const ERRORS: usize = 150;
    let kind = |number: usize| {
        format!(
            "Err{}a{}",
            char::from(b'a' + u8::try_from(number / 26).unwrap()),
            char::from(b'a' + u8::try_from(number % 26).unwrap())
        )
    };
    let lines: String = (0..ERRORS)
        .map(|number| {
            format!(
                "{}\n",
                json!({ "level": "error", "message": "x", "exception": { "type": kind(number), "message": "y" } })
            )
        })
        .collect();
    server.post(EVENTS, lines).await.accepted(ERRORS, 0);
    well.wait(ERRORS).await;
    assert_eq!(server.issues("limit=1000").await.len(), ERRORS);
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_and_rules_choose_the_channel() {
    let (staging, production, all) = (HttpSink::start().await, HttpSink::start().await, HttpSink::start().await);
    let server = Server::start().await;
    for (name, sink, key, value) in [
        ("staging", &staging, "environments", json!(["staging"])),
        ("production", &production, "environments", json!(["production"])),
        ("all", &all, "rules", json!(["new_issue"])),
    ] {
        let mut channel = sink.channel("webhook");
        channel[key] = value;
        server.set_channel(name, &channel).await;
    }
    for (environment, message) in [("staging", "it broke here"), ("production", "it broke there")] {
        server.send(&json!({ "level": "error", "message": message, "environment": environment })).await;
    }
    for (sink, titles) in [
        (&staging, &["it broke here"][..]),
        (&production, &["it broke there"]),
        (&all, &["it broke here", "it broke there"]),
    ] {
        sink.wait(titles.len()).await;
        let told: Vec<Value> = sink.notices().iter().map(|notice| notice["title"].clone()).collect();
        assert_eq!(told, titles);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_ones_own() {
    let sink = HttpSink::start().await;
    let server = Server::start().await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    let rule = json!({ "search": "event:payment_failed", "window": "5m", "threshold": 10, "group_by": ["provider"] });
    let set = server.as_admin(Method::PUT, "/api/v1/rules/failed_payments", &rule).await.expect(200);
    assert_eq!((&set["built_in"], &set["settings"]["threshold"]), (&json!(false), &json!(10.0)), "{set}");
    for number in 0..12 {
        for (provider, most) in [("acme", 12), ("globex", 9)] {
            if number < most {
                server.send(&json!({ "event": "payment_failed", "level": "warning", "provider": provider })).await;
            }
        }
    }
    let sent = sink.wait(1).await;
    let notice = &sent[0].json()["notice"];
    assert_eq!(notice["rule"], "failed_payments", "{notice}");
    assert!(notice["title"].as_str().unwrap().contains("acme"), "{notice}");
    assert_eq!(notice["facts"][1], json!({ "label": "provider", "value": "acme" }), "{notice}");
    // The link shows the events that were counted.
    let link = notice["link"].as_str().unwrap();
    assert!(link.contains("_q=event%3Apayment_failed+provider%3A%22acme%22&_from="), "{link}");
    let asked = link.strip_prefix(server.url()).unwrap().replace("_format=html", "_format=json");
    assert!(server.get(&asked).await.expect(200).as_array().is_some_and(|found| found.len() >= 10), "{asked}");
    let tried = server.as_admin(Method::POST, "/api/v1/rules/failed_payments/test", &json!({})).await.expect(200);
    let groups: Vec<&Value> = tried["told"].as_array().unwrap().iter().map(|told| &told["group"]).collect();
    assert_eq!(groups, ["provider: acme"], "{tried}");
    let states = server.as_admin(Method::GET, "/api/v1/rules/failed_payments", &Value::Null).await.expect(200);
    assert_eq!(states["states"][0]["state"], "firing", "{states}");
    server.as_admin(Method::DELETE, "/api/v1/rules/failed_payments", &Value::Null).await.expect(200);
    server.as_admin(Method::GET, "/api/v1/rules/failed_payments", &Value::Null).await.problem(404, "unknown_alert");
    assert_eq!(sink.sent().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_is_in_the_digest_and_says_so() {
    let sink = HttpSink::start().await;
    let server = Server::start().await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    let until_then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    let rule = json!({ "snooze": until_then.to_string() });
    server.as_admin(Method::PUT, "/api/v1/rules/new_issue", &rule).await.expect(200);
    for message in ["one waits", "another waits"] {
        fail(&server, message).await;
        server.issue(message, 1).await;
    }
    let sent = sink.wait(1).await;
    assert_eq!(sent[0].json()["notice"]["held"], 2, "{}", sent[0].json());
    let told = server.get("/api/v1/notices").await.expect(200);
    let delivery = |place: usize| &told[place]["deliveries"][0];
    let digest = json!(format!("in digest {}", told[0]["number"]));
    for place in [1, 2] {
        assert_eq!((&delivery(place)["state"], &delivery(place)["reason"]), (&json!("digest"), &digest), "{told}");
    }
}

/// What a rule remembers goes with what it looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_written_anew_knows_nothing_of_the_one_before() {
    let sink = HttpSink::start().await;
    let mut server = Server::start().await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    let set = async |server: &Server, rule: &Value| {
        server.as_admin(Method::PUT, "/api/v1/rules/zz", rule).await.expect(200);
    };
    let fires = async |server: &Server| {
        until("it fires", async || {
            let rule = server.get("/api/v1/rules/zz").await.expect(200);
            (rule["states"][0]["state"] == "firing").then_some(())
        })
        .await;
    };
    let is_quiet = async |server: &Server| {
        let rule = server.get("/api/v1/rules/zz").await.expect(200);
        assert_eq!(rule["states"], json!([]), "{rule}");
    };
    set(&server, &json!({ "window": "40s", "search": "event:zz" })).await;
    server.send(&json!({ "event": "zz" })).await;
    fires(&server).await;
    // How often it is told changes nothing.
    set(&server, &json!({ "window": "40s", "search": "event:zz", "repeat": "2h" })).await;
    fires(&server).await;
    set(&server, &json!({ "window": "40s", "search": "event:zz", "threshold": 50 })).await;
    is_quiet(&server).await;
    set(&server, &json!({ "window": "40s", "search": "event:zz" })).await;
    fires(&server).await;
    server.as_admin(Method::DELETE, "/api/v1/rules/zz", &Value::Null).await.expect(200);
    set(&server, &json!({ "window": "40s", "search": "event:other", "threshold": 50 })).await;
    is_quiet(&server).await;
    server.kill9();
    server.restart().await;
    is_quiet(&server).await;
    assert!(sink.notices().iter().all(|notice| notice["resolved"] == false));
}

/// The example of the documentation: a week of a rule with the usual window.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_tried_on_a_week() {
    let server = Server::start().await;
    let week = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(7 * 24);
    let asked = json!({ "settings": { "search": "event:zz" }, "from": week.to_string() });
    let tried = server.as_admin(Method::POST, "/api/v1/rules/idea/test", &asked).await.expect(200);
    assert_eq!(tried["told"], json!([]), "{tried}");
    let asked = json!({ "settings": { "search": "event:zz" }, "from": "2020-01-01T00:00:00Z" });
    let problem = server.as_admin(Method::POST, "/api/v1/rules/idea/test", &asked).await.problem(400, "alert_setting");
    assert!(problem["detail"].as_str().unwrap().contains("on 1w1d16h20m at most"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_that_is_over_is_refused() {
    let server = Server::start().await;
    let rule = json!({ "search": "event:zz", "snooze": "2020-01-01T00:00:00Z" });
    let put = server.as_admin(Method::PUT, "/api/v1/rules/zz", &rule).await.problem(400, "alert_setting");
    assert!(put["detail"].as_str().unwrap().contains("`snooze` is in the past"), "{put}");
    fail(&server, "payment failed").await;
    let id = server.issue("payment failed", 1).await["id"].as_str().unwrap().to_owned();
    for (change, expected) in [
        (json!({ "state": "ignored", "times": 0 }), "times is 0"),
        (json!({ "state": "resolved", "in_release": "" }), "in_release is empty"),
    ] {
        let answer = server.as_admin(Method::PATCH, &format!("/api/v1/issues/{id}"), &change).await;
        assert_eq!(answer.status, 400, "{change}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(expected), "{change}: {}", answer.text());
    }
    let output = server.cli(&["issues", "ignore", &id, "--until", "2020-01-01"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("2020-01-01 is in the past"), "{said}");
    let deploy = json!({ "release": "1.1", "timestamp": "2100-01-01T00:00:00Z" });
    let answer = server.as_admin(Method::POST, "/api/v1/logs/default/deploys", &deploy).await;
    assert!(answer.json()["detail"].as_str().unwrap().contains("more than an hour"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_there_yet_are_told() {
    let sink = HttpSink::start().await;
    let server = Server::start().await;
    let mut channel = sink.channel("webhook");
    channel["rules"] = json!(["new_isue", "later"]);
    let set = server.set_channel("ops", &channel).await;
    assert_eq!(set["warnings"][0], "there is no rule \"new_isue\" yet: did you mean \"new_issue\"?", "{set}");
    let rule = json!({ "search": "event:zz", "channels": ["ops", "opps"] });
    let set = server.as_admin(Method::PUT, "/api/v1/rules/later", &rule).await.expect(200);
    assert_eq!(set["warnings"], json!(["there is no channel \"opps\" yet: did you mean \"ops\"?"]), "{set}");
    let listed = server.get("/api/v1/channels").await.expect(200);
    assert_eq!(listed[0]["warnings"].as_array().unwrap().len(), 1, "{listed}");
    // What is shown may be sent back.
    put(&server, "ops", &listed[0]).await.expect(200);
    let said = server.cli(&["rule", "set", "later", "channels=nobody"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("there is no channel \"nobody\" yet"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_says_what_trouble_it_has() {
    let sink = HttpSink::start().await;
    let server = Server::start().await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    let trouble = async |state: &str| {
        until(state, async || {
            let channel = server.get("/api/v1/channels/hook").await.expect(200);
            (channel["trouble"]["state"].as_str().unwrap_or("none") == state).then_some(channel)
        })
        .await
    };
    sink.refuse([(404, None), (503, None)]);
    fail(&server, "refused").await;
    let broken = trouble("broken").await;
    assert!(broken["trouble"]["reason"].as_str().unwrap().contains("404"), "{broken}");
    fail(&server, "later").await;
    trouble("retrying").await;
    trouble("none").await;
    sink.refuse([(410, None)]);
    fail(&server, "refused again").await;
    trouble("broken").await;
    test(&server, "hook").await.expect(200);
    trouble("none").await;
}

/// What there is to remove, and what not.
#[tokio::test(flavor = "multi_thread")]
async fn removing_a_rule_says_what_is() {
    let server = Server::start().await;
    let remove =
        async |name: &str| server.as_admin(Method::DELETE, &format!("/api/v1/rules/{name}"), &Value::Null).await;
    let problem = remove("new_issue").await.problem(404, "unchanged_alert");
    assert!(problem["detail"].as_str().unwrap().contains("is built in and as it was"), "{problem}");
    let problem = remove("nosuch").await.problem(404, "unknown_alert");
    assert!(problem["detail"].as_str().unwrap().contains("there are new_issue, regression"), "{problem}");
}

/// What the file says of names that nobody defines is said once, at the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_leads_nowhere_is_told_at_the_start() {
    let mut server = Server::start().await;
    let file = "[rules.zz]\nsearch = \"event:zz\"\nchannels = [\"opps\"]\n\n[channels.ops]\nkind = \"discord\"\n\
        url = \"https://discord.com/api/webhooks/1/x\"\nrules = [\"spyke\"]\n";
    std::fs::write(server.folder().join("everlog.toml"), file).unwrap();
    server.kill9();
    server.restart().await;
    let said = server.said();
    for expected in [
        "[rules.zz]: there is no channel \"opps\" yet: did you mean \"ops\"?",
        "[channels.ops]: there is no rule \"spyke\" yet: did you mean \"spike\"?",
    ] {
        assert_eq!(said.matches(expected).count(), 1, "{said}");
    }
    let problem = server.as_admin(Method::DELETE, "/api/v1/rules/zz", &Value::Null).await.problem(409, "in_file");
    assert!(problem["detail"].as_str().unwrap().contains("stands in the configuration file"), "{problem}");
}

/// Built-in rules are narrowed, silenced for a while and switched off by their names.
#[tokio::test(flavor = "multi_thread")]
async fn built_in_rules_by_their_names() {
    let sink = HttpSink::start().await;
    let server = Server::start().await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    let set = async |settings: &Value| {
        server.as_admin(Method::PUT, "/api/v1/rules/new_issue", settings).await.expect(200);
    };
    let failed = async |message: &str, user: &str| {
        server.send(&json!({ "level": "error", "message": message, "user": user })).await;
        server.issue(message, 1).await;
    };
    set(&json!({ "search": "user:7" })).await;
    failed("nobody hears this", "8").await;
    failed("seven is heard", "7").await;
    set(&json!({ "snooze": "2100-01-01T00:00:00Z" })).await;
    failed("this one waits", "7").await;
    set(&json!(false)).await;
    failed("this one is off", "7").await;
    server.as_admin(Method::DELETE, "/api/v1/rules/new_issue", &Value::Null).await.expect(200);
    failed("back to normal", "8").await;
    let sent = sink.wait(2).await;
    let titles: Vec<Value> = sent.iter().map(|sent| sent.json()["notice"]["title"].clone()).collect();
    assert_eq!(titles, ["seven is heard", "back to normal"]);
    let told = server.get("/api/v1/notices").await.expect(200);
    let held: Vec<(&Value, &Value)> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|told| (&told["notice"]["title"], &told["deliveries"][0]))
        .filter(|(_, delivery)| delivery["state"] == "held")
        .collect();
    let [(title, delivery)] = &held[..] else { panic!("one waits, and not {held:?}") };
    assert_eq!((*title, &delivery["reason"]), (&json!("this one waits"), &json!("snoozed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let server = Server::start().await;
    for (settings, hint) in [
        (json!({}), "kind is missing"),
        (json!({ "kind": "slak", "url": "https://hooks.slack.example/x" }), "slack"),
        (json!({ "kind": "slack" }), "url"),
        (json!({ "kind": "slack", "url": "hooks.slack.example" }), "https://"),
        (json!({ "kind": "slack", "url": "http://hooks.slack.example/x" }), "https://"),
        (json!({ "kind": "slack", "url": "https://hooks.slack.example/x", "colour": "red" }), "colour"),
        (json!({ "kind": "webhook", "url": "https://hooks.example/x", "hourly_cap": 0 }), "hourly_cap"),
        (json!({ "kind": "webhook", "url": "https://hooks.example/x", "level_min": "loud" }), "level_min"),
        (json!({ "kind": "webhook", "url": "https://hooks.example/x", "quiet_hours": "night" }), "quiet_hours"),
        (json!({ "kind": "email", "smtp": "smtp://mail.example", "from": "a@a.example" }), "to is missing"),
        (json!({ "kind": "email", "smtp": "mail.example", "from": "a@a.example", "to": ["b@b.example"] }), "smtp"),
    ] {
        let problem = put(&server, "x", &settings).await.problem(400, "alert_setting");
        assert!(problem["detail"].as_str().unwrap().contains(hint), "{hint}: {problem}");
    }
    for (rule, hint) in [
        (json!({ "serch": "x" }), "search"),
        (json!({ "search": "level:(", "threshold": 1 }), "rule x"),
        (json!({ "search": "x", "threshold": 1, "window": "1y" }), "window"),
        (json!({ "on": "everything" }), "on"),
        (json!({ "search": "x", "threshold": 1, "above": 2 }), "one of"),
    ] {
        let problem = server.as_admin(Method::PUT, "/api/v1/rules/x", &rule).await.problem(400, "alert_setting");
        assert!(problem["detail"].as_str().unwrap().contains(hint), "{hint}: {problem}");
    }
    test(&server, "x").await.problem(404, "unknown_alert");
    server.as_admin(Method::DELETE, "/api/v1/channels/x", &Value::Null).await.problem(404, "unknown_alert");
    server.as_admin(Method::DELETE, "/api/v1/rules/x", &Value::Null).await.problem(404, "unknown_alert");
    // Only who may do everything says where notices go.
    let settings = json!({ "kind": "webhook", "url": "https://hooks.example/x" });
    let local = server.request(Method::PUT, "/api/v1/channels/x").json(&settings);
    crate::server::ask(local).await.problem(403, "forbidden");
    server.get("/api/v1/notices?limit=x").await.problem(400, "bad_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_tried_and_its_secrets_stay() {
    let (sink, mail) = (HttpSink::start().await, MailSink::start().await);
    let server = Server::start().await;
    let mut channel = sink.channel("webhook");
    channel["secret"] = SECRET.into();
    server.set_channel("hook", &channel).await;
    server.set_channel("mail", &mail.channel()).await;
    for name in ["hook", "mail"] {
        assert_eq!(test(&server, name).await.expect(200)["sent"], true);
    }
    check_signature(&sink.wait(1).await[0]);
    assert_eq!(sink.sent()[0].json()["event_name"], "test");
    assert!(mail.wait(1).await[0].text().contains("Test: this channel works"));
    // What is shown may be sent back, and the secret with it.
    let mut shown = server.as_admin(Method::GET, "/api/v1/channels/hook", &Value::Null).await.expect(200);
    assert!(!shown.to_string().contains(SECRET) && !shown.to_string().contains("/services/T0"), "{shown}");
    shown["enabled"] = true.into();
    server.set_channel("hook", &shown).await;
    test(&server, "hook").await.expect(200);
    check_signature(&sink.wait(2).await[1]);
    let audited = server.events("stream=AUDIT&event=channel_set&_limit=100").await;
    assert_eq!(audited.len(), 3);
    assert!(!format!("{audited:?}").contains(SECRET));
    assert!(!server.said().contains(SECRET));
}
