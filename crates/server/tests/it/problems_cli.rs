//! Issues, deploys, rules, channels and notices on the command line.

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use crate::server::{EVENTS, EVERLOG, Server, program, until};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command that must succeed said beside its output.
#[track_caller]
fn told(server: &Server, arguments: &[&str]) -> String {
    let output = server.cli(arguments);
    assert!(output.status.success(), "everlog {arguments:?}: {output:?}");
    said(&output)
}

/// Checks that a command fails with this exit code, and says why.
#[track_caller]
fn refused(server: &Server, arguments: &[&str], code: i32, why: &str) {
    let output = server.cli(arguments);
    assert!(output.status.code() == Some(code) && said(&output).contains(why), "everlog {arguments:?}: {output:?}");
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn issues(server: &Server, more: &[&str]) -> Vec<Value> {
    lines(&server.cli_ok(&[&["issues", "--json"], more].concat()))
}

fn failure(release: &str, user: &str, function: &str) -> Value {
    let frame =
        |name: &str, line: u32| json!({ "function": name, "file": "shop/views.py", "line": line, "in_app": true });
    json!({ "level": "error", "release": release, "environment": "production", "user": user, "method": "POST", "path": "/checkout",
        "exception": { "type": "ZeroDivisionError", "message": "division by zero", "frames": [frame("main", 1), frame(function, 7)] } })
}

/// Sends some errors, and waits until their issues are there.
async fn fail(server: &Server) {
    server.send(&json!({ "event": "login", "user": "alice", "message": "logged in" })).await;
    for (release, user, function) in
        [("1.0", "alice", "checkout"), ("1.1", "bob", "checkout"), ("1.1", "bob", "checkout"), ("1.1", "bob", "pay")]
    {
        server.send(&failure(release, user, function)).await;
    }
    until("the issues", async || {
        let found = issues(server, &[]);
        let counts: u64 = found.iter().filter_map(|issue| issue["occurrences"].as_u64()).sum();
        (found.len() == 2 && counts == 4).then_some(())
    })
    .await;
}

/// The number of the issue whose culprit ends so.
fn number(server: &Server, function: &str) -> String {
    let found = issues(server, &["--search", function]);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_from_the_first_look_to_the_ticket() {
    let server = Server::start().await;
    let nothing = told(&server, &["issues"]);
    assert!(nothing.contains("has no issues") && nothing.contains("everlog log ERROR"), "{nothing}");
    assert!(told(&server, &["deploy", "list"]).contains("nobody told of a deploy"));
    told(&server, &["deploy", "1.1", "--environment", "production", "--user", "bob", "--comment", "faster cart"]);
    until("the deploy", async || server.cli_ok(&["deploy", "list"]).contains("faster cart").then_some(())).await;
    fail(&server).await;
    let table = server.cli_ok(&["issues"]);
    let (heading, first) =
        (table.lines().next().unwrap(), table.lines().find(|line| line.contains("checkout")).unwrap());
    for column in ["id", "level", "state", "title", "where", "times", "users", "first seen", "last seen", "release"] {
        assert!(heading.contains(column), "{column}: {table}");
    }
    assert!(
        first.contains("ZeroDivisionError: division by zero") && first.contains("  3  ") && first.contains("1.1"),
        "{table}"
    );
    assert!(
        issues(&server, &["--state", "resolved,ignored"]).is_empty() && issues(&server, &["--since", "1h"]).len() == 2
    );
    assert!(told(&server, &["issue", "--level", "critical"]).contains("no issue of the log default fits"));
    let id = number(&server, "checkout");
    let shown = server.cli_ok(&["issues", "show", &format!("#{id}")]);
    for part in [
        "ZeroDivisionError: division by zero",
        "POST /checkout",
        "at checkout (shop/views.py:7)",
        "What led to it",
        "1.0, 1.1",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let whole: Value = serde_json::from_str(&server.cli_ok(&["issues", "show", &id, "--json"])).unwrap();
    assert_eq!((&whole["issue"]["occurrences"], &whole["occurrence"]["user"]), (&json!(3), &json!("bob")));
    let report = server.cli_ok(&["issues", "report", &id]);
    assert!(report.starts_with("# ZeroDivisionError") && report.contains("## Exception"), "{report}");
    let explained = server.cli_ok(&["issues", "explain", &id]);
    assert!(explained.contains("type      ZeroDivisionError") && explained.contains("counts"), "{explained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_decide_about_an_issue_is_done_and_kept() {
    let server = Server::start().await;
    fail(&server).await;
    let (checkout, pay) = (number(&server, "checkout"), number(&server, "pay"));
    for (arguments, expected) in [
        (&["resolve", &checkout, "--in-release", "1.2", "--why", "mended in #17"][..], "is resolved in 1.2: "),
        (&["resolve", &checkout, "--next"], "is resolved in the next release: "),
        (&["resolve", &checkout], "is resolved: "),
        (&["open", &checkout], "is open: "),
        (&["ignore", &checkout, "--times", "100"], "is ignored up to 103 occurrences: "),
        (&["ignore", &checkout, "--until", "2100-01-01"], "is ignored until 2100-01-01 "),
        (&["ignore", &checkout, "--why", "a scanner"], "is ignored for ever: "),
        (&["assign", &checkout, "alice"], "assigned to alice: "),
        (&["assign", &checkout, "--nobody"], "is ignored for ever: "),
    ] {
        let line = told(&server, &[&["issues"], arguments].concat());
        assert!(line.contains(expected), "{arguments:?}: {line}");
    }
    let merged = told(&server, &["issue", "merge", &pay, &checkout, "--why", "one cause"]);
    assert!(merged.contains("(4 occurrences)"), "{merged}");
    let whole: Value = serde_json::from_str(&server.cli_ok(&["issues", "show", &checkout, "--json"])).unwrap();
    assert_eq!(whole["issue"]["id"], json!(pay), "the number of the one that went leads to the other");
    assert!(told(&server, &["issue", "undo", &pay]).contains("(1 occurrence)"));
    told(&server, &["issue", "merge", &pay, &checkout]);
    let both: Value = serde_json::from_str(&server.cli_ok(&["issue", "open", &pay, "--json"])).unwrap();
    let last = both["fingerprints"][1].as_str().unwrap();
    let apart: Value = serde_json::from_str(&server.cli_ok(&["issue", "split", &pay, last, "--json"])).unwrap();
    assert!(apart["occurrences"] == 3 && apart["id"] != json!(pay) && apart["id"] != json!(checkout), "{apart}");
    let events = server.events("stream=AUDIT&event=issue_changed&_limit=100").await;
    assert!(events.iter().any(|event| event["message"].as_str().unwrap().ends_with(": mended in #17")), "{events:?}");
    refused(&server, &["issues", "show", "999"], 1, "there is no issue \"999\": `everlog issues` lists them");
    refused(&server, &["issues", "show", "six"], 2, "issues have numbers");
    refused(&server, &["issues", "resolve", &pay, "--next", "--in-release", "2"], 2, "cannot be used with");
    refused(&server, &["issues", "--state", "closed"], 1, "state is one of open, regressed");
    refused(&server, &["issues", "ignore", &pay, "--until", "soon"], 2, "for how long, like 2h");
    refused(&server, &["issues", "undo", apart["id"].as_str().unwrap()], 1, "no merge or split of issue");
    refused(&server, &["deploy"], 2, "<RELEASE>");
    refused(&server, &["issues", "--log", "nowhere"], 1, "nowhere");
}

/// Takes requests, and keeps their bodies.
async fn sink() -> (String, Arc<Mutex<Vec<Bytes>>>) {
    let seen: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let take = async |State(seen): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes| {
        seen.lock().unwrap().push(body);
        "thank you"
    };
    let router = Router::new().fallback(take).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

/// Runs a command with something on its standard input.
fn with_input(server: &Server, arguments: &[&str], input: &str) -> Output {
    let mut command = program(EVERLOG, server.folder());
    command.args(arguments).env("EVERLOG_DATA", server.data());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_set_tried_and_told() {
    let server = Server::start().await;
    let (url, seen) = sink().await;
    let nobody = told(&server, &["channel"]);
    assert!(nobody.contains("nobody is called") && told(&server, &["notices"]).contains("nobody was told"), "{nobody}");
    let set = ["channel", "set", "ops", "--kind", "webhook", "--url", &url, "--stdin"];
    refused(&server, &set[..7], 1, "allow_private");
    let output = with_input(&server, &set, "# a secret\nsecret = 12345678901234\nallow_private=true\n");
    assert!(output.status.success() && said(&output).contains("the channel ops (webhook) is there"), "{output:?}");
    told(&server, &["channel", "set", "ops", "environments=production", "rules=new_issue,regression"]);
    let shown: Value = serde_json::from_str(&server.cli_ok(&["channel", "show", "ops", "--json"])).unwrap();
    assert_eq!((&shown["secret"], &shown["rules"]), (&json!("[REDACTED]"), &json!(["new_issue", "regression"])));
    for command in [&["channel"][..], &["channel", "show", "ops"], &["channels", "--json"]] {
        let text = server.cli_ok(command);
        assert!(text.contains("webhook") && !text.contains("12345678901234"), "{text}");
    }
    assert!(told(&server, &["channel", "test", "ops"]).contains("the channel ops took it"));
    let tried: Value = serde_json::from_slice(&seen.lock().unwrap()[0]).unwrap();
    assert_eq!(tried["event_name"], "test");
    server.send(&failure("1.0", "alice", "checkout")).await;
    until("the notice", async || {
        let notices = lines(&server.cli_ok(&["notices", "--json"]));
        notices.first().filter(|told| told["deliveries"][0]["state"] == "sent").map(drop)
    })
    .await;
    let table = server.cli_ok(&["notices"]);
    assert!(table.contains("[production] New issue: ZeroDivisionError: division by zero (default)"), "{table}");
    assert!(table.contains("ops") && table.contains("sent"), "{table}");
    refused(&server, &["channel", "set", "ops"], 2, "what is to change?");
    refused(&server, &["channel", "set", "new", "kind=pigeon"], 1, "\"pigeon\" is none");
    refused(&server, &["channel", "set", "new", "kind"], 2, "setting 1 has no `=`");
    refused(&server, &["channel", "test", "nowhere"], 1, "there is no channel \"nowhere\"");
    told(&server, &["channel", "set", "ops", "--url", "http://127.0.0.1:1/x", "secret=another"]);
    refused(&server, &["channel", "test", "ops"], 1, "127.0.0.1");
    told(&server, &["channel", "rm", "ops"]);
    refused(&server, &["channel", "show", "ops"], 1, "there is no channel \"ops\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_set_tried_snoozed_and_switched_off() {
    let server = Server::start().await;
    for number in 0..12 {
        let body = json!({ "event": "payment_failed", "provider": "paypal", "n": number });
        server.post(EVENTS, body.to_string()).await.accepted(1, 0);
    }
    let table = server.cli_ok(&["rules"]);
    for rule in ["new_issue", "regression", "reached", "spike", "silence", "security", "disk_full", "delivery_failing"]
    {
        assert!(table.lines().any(|line| line.starts_with(rule) && line.contains("built in")), "{rule}: {table}");
    }
    let search = "search=event:payment_failed";
    let tried = server.cli(&["rule", "test", "payments", search, "threshold=10", "group_by=provider"]);
    assert!(said(&tried).contains("it would have called 1 time between"), "{tried:?}");
    assert!(String::from_utf8_lossy(&tried.stdout).contains("paypal"), "{tried:?}");
    told(
        &server,
        &["rule", "set", "payments", search, "threshold=1000", "window=10m", "group_by=provider", "channels=ops"],
    );
    assert!(told(&server, &["rule", "test", "payments"]).contains("it would not have called"));
    told(&server, &["rule", "set", "payments", "above=2000"]);
    let shown: Value = serde_json::from_str(&server.cli_ok(&["rule", "show", "payments", "--json"])).unwrap();
    let settings = &shown["settings"];
    assert_eq!(
        (&settings["above"], &settings["threshold"], &settings["window"]),
        (&json!(2000.0), &Value::Null, &json!("10m"))
    );
    assert!(told(&server, &["rule", "snooze", "payments", "2h"]).contains("is snoozed until"));
    assert!(told(&server, &["rule", "off", "spike"]).contains("the rule spike is off"));
    let table = server.cli_ok(&["rule"]);
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(
        line("payments").contains("quiet, snoozed until") && line("payments").contains("set at runtime"),
        "{table}"
    );
    assert!(line("spike").contains("off"), "{table}");
    told(&server, &["rule", "snooze", "payments", "off"]);
    told(&server, &["rule", "rm", "spike"]);
    let table = server.cli_ok(&["rule"]);
    assert!(
        !table.contains("snoozed") && table.lines().any(|line| line.starts_with("spike") && line.contains("built in")),
        "{table}"
    );
    told(&server, &["rule", "rm", "payments"]);
    refused(&server, &["rule", "show", "payments"], 1, "there is no rule \"payments\"");
    refused(&server, &["rule", "off", "payments"], 1, "there is no rule \"payments\"");
    refused(&server, &["rule", "set", "idea", "search=level:error", "window=1s"], 1, "10s");
    refused(&server, &["rule", "test", "spike"], 1, "cannot be tried on the past");
    refused(&server, &["rule", "snooze", "spike", "soon"], 2, "for how long, like 2h");
}
