//! The life of an issue: what people decide about it, and who wrote down that they did.

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::server::{Server, ask, until};
use crate::sinks::HttpSink;

fn error(kind: &str, release: &str) -> Value {
    json!({ "level": "error", "message": format!("{kind} happened"), "release": release, "environment": "production",
        "exception": { "type": kind, "message": "x" } })
}

async fn change(server: &Server, id: &str, change: &Value) -> Answer {
    server.as_admin(Method::PATCH, &format!("/api/v1/issues/{id}"), change).await
}

async fn changed(server: &Server, id: &str, to: &Value) -> Value {
    change(server, id, to).await.expect(200)
}

async fn post(server: &Server, id: &str, what: &str, body: &Value) -> Answer {
    server.as_admin(Method::POST, &format!("/api/v1/issues/{id}/{what}"), body).await
}

/// A server with errors of these kinds, and the ids of their issues.
async fn with_issues<const N: usize>(kinds: [&str; N]) -> (Server, [String; N]) {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for kind in kinds {
        server.send(&error(kind, "1.0")).await;
        ids.push(server.issue(kind, 1).await["id"].as_str().unwrap().to_owned());
    }
    (server, ids.try_into().unwrap())
}

/// The last AUDIT event of this name, which must say who did it, to what and why.
async fn check_audit(server: &Server, event: &str, id: &str, parts: &[&str]) {
    let audited = server.events(&format!("stream=AUDIT&event={event}")).await;
    let said = audited.first().unwrap_or_else(|| panic!("no AUDIT event {event}"));
    assert!(
        said["user"].as_str().is_some_and(|user| user.starts_with("token/") && !user.contains("REDACTED")),
        "{said}"
    );
    assert_eq!(said["issue"], id, "{said}");
    let message = said["message"].as_str().unwrap();
    assert!(parts.iter().all(|part| message.contains(part)), "{parts:?} in {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn resolved_ignored_opened_assigned() {
    let (server, [id]) = with_issues(["Lost"]).await;
    let state = changed(&server, &id, &json!({ "state": "resolved", "why": "mended in #17" })).await;
    assert_eq!((&state["state"], &state["resolution"]["kind"]), (&json!("resolved"), &json!("now")), "{state}");
    check_audit(&server, "issue_changed", &id, &["resolved", "mended in #17"]).await;
    let decision = &state["decision"];
    assert_eq!((&decision["what"], &decision["why"]), (&json!("resolved"), &json!("mended in #17")), "{state}");
    assert!(decision["by"] == "the administrator" && decision["at"].as_str().unwrap().ends_with('Z'), "{state}");
    let said = format!("resolved by {}: mended in #17", decision["by"].as_str().unwrap());
    let page = server.get(&format!("/issues/{id}")).await.text();
    let shown = server.cli_ok(&["issues", "show", &id]);
    let report = server.cli_ok(&["issues", "report", &id]).replace('\\', "");
    assert!([page, shown, report].iter().all(|text| text.contains(&said)), "{said}");
    server.send(&error("Lost", "1.0")).await;
    assert_eq!(server.issue("Lost", 2).await["state"], "regressed");
    let state = changed(&server, &id, &json!({ "state": "ignored", "times": 2, "why": "known" })).await;
    assert_eq!(state["state"], "ignored");
    check_audit(&server, "issue_changed", &id, &["ignored for 2 more", "known"]).await;
    for (count, state) in [(3, "ignored"), (4, "ignored"), (5, "open")] {
        server.send(&error("Lost", "1.0")).await;
        assert_eq!(server.issue("Lost", count).await["state"], state, "{count}");
    }
    let state = changed(&server, &id, &json!({ "assignee": "eve", "why": "her code" })).await;
    assert_eq!((&state["assignee"], &state["state"]), (&json!("eve"), &json!("open")));
    check_audit(&server, "issue_changed", &id, &["assigned to eve", "her code"]).await;
    // What is replaced in events is replaced here.
    let nobody = json!({ "state": "ignored", "assignee": "", "why": "paid with 4111 1111 1111 1111" });
    let state = changed(&server, &id, &nobody).await;
    let why = state["decision"]["why"].as_str().unwrap();
    assert!(why.starts_with("paid with [REDACTED") && !why.contains("4111"), "{state}");
    check_audit(&server, "issue_changed", &id, &[why]).await;
    assert_eq!((&state["assignee"], &state["ignore"]["kind"]), (&Value::Null, &json!("for_ever")));
    let until = json!({ "state": "ignored", "until": "2001-01-01T00:00:00Z" });
    assert_eq!(changed(&server, &id, &until).await["ignore"]["kind"], "until");
    server.send(&error("Lost", "1.0")).await;
    assert_eq!(server.issue("Lost", 6).await["state"], "open", "the moment is past");
    assert_eq!(changed(&server, &id, &json!({ "state": "resolved", "in_release": "next" })).await["state"], "resolved");
    server.send(&error("Lost", "1.0")).await;
    assert_eq!(server.issue("Lost", 7).await["state"], "resolved");
    server.send(&error("Lost", "1.1")).await;
    assert_eq!(server.issue("Lost", 8).await["state"], "regressed");
    assert_eq!(changed(&server, &id, &json!({ "state": "open" })).await["state"], "open");
    let counts: Vec<usize> =
        [server.issues("state=open").await.len(), server.issues("state=resolved,ignored,regressed").await.len()].into();
    assert_eq!(counts, [1, 0]);
}

/// The moment comes, and nothing else: the list, the issue and the page know of it, and people hear of what comes after.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_until_a_moment_is_open_after_it() {
    let sink = HttpSink::start().await;
    let mut server = Server::start_with(&[("EVERLOG_TEST_CLOCK", "2026-01-02T03:04:05Z")]).await;
    server.set_channel("hook", &sink.channel("webhook")).await;
    server.send(&error("Lost", "1.0")).await;
    let id = server.issue("Lost", 1).await["id"].as_str().unwrap().to_owned();
    changed(&server, &id, &json!({ "state": "ignored", "until": "2026-01-02T04:00:00Z" })).await;
    for (told, clock, state, ignore) in [(1, "03:59:59", "ignored", "until"), (2, "04:00:00", "open", "")] {
        server.told(told).await;
        server.kill9();
        server.set("EVERLOG_TEST_CLOCK", &format!("2026-01-02T{clock}Z"));
        server.restart().await;
        // Its own issue is there after a look.
        server.send(&error(&format!("At{state}"), "1.0")).await;
        server.issue(&format!("At{state}"), 1).await;
        let listed = until(state, async || server.issues(&format!("state={state}&q=Lost")).await.pop()).await;
        let shown = server.get(&format!("/api/v1/issues/{id}")).await.expect(200);
        for issue in [&listed, &shown] {
            assert_eq!((&issue["state"], &issue["occurrences"]), (&json!(state), &json!(1)), "{issue}");
            assert_eq!(issue["ignore"]["kind"].as_str().unwrap_or(""), ignore, "{issue}");
        }
        let page = server.get(&format!("/issues/{id}")).await.text();
        assert!(page.contains(&format!("<td>{state}")), "{page}");
    }
    sink.wait(3).await;
    for count in [2, 3] {
        server.send(&error("Lost", "1.0")).await;
        server.issue("Lost", count).await;
    }
    server.send(&error("Last", "1.0")).await;
    sink.wait(5).await;
    let told: Vec<(Value, Value)> =
        sink.notices().iter().map(|notice| (notice["trigger"].clone(), notice["issue"].clone())).collect();
    let about: Vec<&Value> = told.iter().filter(|(_, issue)| *issue == *id).map(|(trigger, _)| trigger).collect();
    assert_eq!((about, told.len()), (vec![&json!("new_issue"), &json!("regression")], 5), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_split_and_undone() {
    let (mut server, [one, other]) = with_issues(["Apples", "Pears"]).await;
    server.send(&error("Pears", "1.0")).await;
    server.issue("Pears", 2).await;
    let merged = post(&server, &one, "merge", &json!({ "with": other, "why": "one cause" })).await.expect(200);
    assert_eq!((&merged["occurrences"], merged["fingerprints"].as_array().unwrap().len()), (&json!(3), 2), "{merged}");
    check_audit(&server, "issues_merged", &one, &[&other, &one, "one cause"]).await;
    assert_eq!(server.issues("").await.len(), 1);
    // The number of the one that went leads on, and what is new of it counts here.
    let led = server.get(&format!("/api/v1/issues/{other}")).await.expect(200);
    assert_eq!(led["id"], *one, "{led}");
    server.send(&error("Pears", "1.0")).await;
    server.issue("Apples", 4).await;
    let all = server.get(&format!("/api/v1/issues/{one}/occurrences")).await;
    assert_eq!((all.header("x-total-count"), all.expect(200).as_array().unwrap().len()), ("4", 4));
    server.kill9();
    server.restart().await;
    let back = post(&server, &one, "undo", &json!({ "why": "two causes" })).await.expect(200);
    assert_eq!(back["occurrences"], 1, "{back}");
    check_audit(&server, "issue_undone", &one, &["undone", "two causes"]).await;
    assert_eq!(server.issue("Pears", 3).await["id"], *other);
    // Together again, and apart by fingerprint.
    post(&server, &one, "merge", &json!({ "with": other })).await.expect(200);
    let fingerprint = led["fingerprints"][1].clone();
    let apart =
        post(&server, &one, "split", &json!({ "fingerprints": [fingerprint], "why": "apart" })).await.expect(200);
    assert_eq!((&apart["occurrences"], &apart["fingerprints"]), (&json!(3), &json!([fingerprint])), "{apart}");
    check_audit(&server, "issue_split", &one, &["1 fingerprint", "apart"]).await;
    server.send(&error("Pears", "1.0")).await;
    assert_eq!(server.issue("Pears", 4).await["id"], apart["id"]);
    let whole = post(&server, &one, "undo", &json!({})).await.expect(200);
    assert_eq!(whole["occurrences"], 5, "{whole}");
    post(&server, &one, "undo", &json!({})).await.expect(200);
    post(&server, &one, "undo", &json!({})).await.problem(400, "issue");
    let counts: Vec<Value> = server.issues("").await.iter().map(|issue| issue["occurrences"].clone()).collect();
    assert_eq!(counts.iter().filter_map(Value::as_u64).sum::<u64>(), 5, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_they_are_one() {
    let (server, [id]) = with_issues(["Lost"]).await;
    let explained = server.get(&format!("/api/v1/issues/{id}/explain")).await.expect(200);
    let issue = server.get(&format!("/api/v1/issues/{id}")).await.expect(200);
    let [one] = &explained["fingerprints"].as_array().unwrap()[..] else { panic!("one, and not {explained}") };
    assert_eq!(one["fingerprint"], issue["fingerprint"]);
    assert_eq!((&one["basis"], &one["explained"]), (&json!("exception"), &json!(true)), "{one}");
    let parts: Vec<(&Value, &Value)> =
        one["parts"].as_array().unwrap().iter().map(|part| (&part["kind"], &part["value"])).collect();
    assert!(parts.contains(&(&json!("type"), &json!("Lost"))), "{one}");
    // A fingerprint of the client's own joins what looks different.
    for message in ["alpha broke", "beta burst"] {
        server.send(&json!({ "level": "error", "message": message, "fingerprint": ["payments", "down"] })).await;
    }
    let joined = server.issue("broke", 2).await;
    let explained = server.get(&format!("/api/v1/issues/{}/explain", joined["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(explained["fingerprints"][0]["basis"], "client", "{explained}");
    assert!(explained.to_string().contains("payments"), "{explained}");
    let sent = server.events("message=alpha%20broke").await;
    assert_eq!(sent[0]["fingerprint"], json!(["payments", "down"]), "what was sent stays: {}", sent[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let (server, [id]) = with_issues(["Lost"]).await;
    for (body, hint) in [
        (json!({}), "name state"),
        (json!({ "why": "so" }), "nothing to change"),
        (json!({ "state": "closed" }), "open, resolved or ignored"),
        (json!({ "state": "regressed" }), "comes by itself"),
        (json!({ "state": "open", "in_release": "1.1" }), "in_release goes with"),
        (json!({ "times": 3 }), "times and until go with"),
        (json!({ "state": "ignored", "times": 3, "until": "2027-01-01T00:00:00Z" }), "one of times and until"),
        (json!({ "state": "ignored", "until": "soon" }), "2026-12-01T08:00:00Z"),
        (json!({ "state": "open", "why": "y".repeat(1001) }), "at most 1000"),
    ] {
        let problem = change(&server, &id, &body).await.problem(400, "issue");
        assert!(problem["detail"].as_str().unwrap().contains(hint), "{hint}: {problem}");
    }
    let problem = change(&server, &id, &json!({ "status": "open" })).await.problem(400, "bad_request");
    assert!(problem["detail"].as_str().unwrap().contains("status"), "{problem}");
    for unknown in ["99", "x", "-1", "18446744073709551616"] {
        change(&server, unknown, &json!({ "state": "open" })).await.problem(404, "unknown_issue");
        let problem = server.get(&format!("/api/v1/issues/{unknown}/report")).await.problem(404, "unknown_issue");
        assert!(problem["detail"].as_str().unwrap().contains("/api/v1/logs/"), "{problem}");
    }
    post(&server, &id, "merge", &json!({ "with": id })).await.problem(400, "issue");
    post(&server, &id, "merge", &json!({ "with": "99" })).await.problem(404, "unknown_issue");
    post(&server, &id, "merge", &json!({})).await.problem(400, "bad_request");
    post(&server, &id, "split", &json!({ "fingerprints": ["1-nothing"] })).await.problem(409, "merge");
    post(&server, &id, "undo", &json!({})).await.problem(400, "issue");
    for (query, hint) in [
        ("stat=open", "state"),
        ("state=shut", "resolved"),
        ("level=loud", "warning"),
        ("since=soon", "2026"),
        ("limit=x", "limit"),
        ("limit=5000", "1000"),
    ] {
        let problem = server.get(&format!("/api/v1/logs/default/issues?{query}")).await.problem(400, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains(hint), "{query}: {problem}");
    }
    server.get("/api/v1/logs/nope/issues").await.problem(404, "unknown_log");
    let deploys = "/api/v1/logs/default/deploys";
    for body in ["{}", "{\"release\":\" \"}", "{\"release\":\"1\",\"who\":\"x\"}", "no"] {
        server.post(deploys, body).await.problem(400, "bad_request");
    }
    // What was refused changed nothing.
    let issue = server.issue("Lost", 1).await;
    assert_eq!(issue["state"], "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_decide() {
    let (server, [id]) = with_issues(["Lost"]).await;
    server.post("/api/v1/logs/shop/events", error("Shut", "1.0").to_string()).await.accepted(1, 0);
    let shop = until("the issue", async || {
        let found = server.get("/api/v1/logs/shop/issues").await.expect(200);
        found[0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let token = async |scopes: &[&str], logs: &[&str]| {
        let body = json!({ "label": "a test", "scopes": scopes, "logs": logs });
        server.as_admin(Method::POST, "/api/v1/tokens", &body).await.expect(201)["token"].as_str().unwrap().to_owned()
    };
    let with = async |token: &str, method: Method, id: &str| {
        let request = server.request(method, &format!("/api/v1/issues/{id}")).bearer_auth(token);
        ask(request.json(&json!({ "assignee": "eve" }))).await
    };
    let (writer, reader) = (token(&["write"], &[]).await, token(&["read"], &[]).await);
    let (both, other) = (token(&["read", "write"], &["default"]).await, token(&["read", "write"], &["shop"]).await);
    with(&writer, Method::PATCH, &id).await.problem(403, "forbidden");
    with(&writer, Method::GET, &id).await.problem(403, "forbidden");
    with(&reader, Method::PATCH, &id).await.problem(403, "forbidden");
    with(&reader, Method::GET, &id).await.expect(200);
    with(&other, Method::GET, &id).await.problem(403, "forbidden");
    with(&other, Method::PATCH, &id).await.problem(403, "forbidden");
    with(&both, Method::PATCH, &shop).await.problem(403, "forbidden");
    assert_eq!(with(&both, Method::PATCH, &id).await.expect(200)["assignee"], "eve");
    for what in ["merge", "split", "undo"] {
        let request = server.request(Method::POST, &format!("/api/v1/issues/{id}/{what}")).bearer_auth(&writer);
        ask(request.json(&json!({ "with": shop, "fingerprints": ["x"] }))).await.problem(403, "forbidden");
    }
    let issue = server.issue("Lost", 1).await;
    post(&server, &id, "merge", &json!({ "with": shop })).await.problem(400, "issue");
    assert_eq!(issue["assignee"], "eve");
}

/// Pages of occurrences, the newest first, each once.
#[tokio::test(flavor = "multi_thread")]
async fn occurrences_page_by_page() {
    let (server, [id]) = with_issues(["Lost"]).await;
    for _ in 0..24 {
        server.send(&error("Lost", "1.0")).await;
    }
    server.issue("Lost", 25).await;
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = server.get(&format!("/api/v1/issues/{id}/occurrences?limit=10&trail=n&cursor={cursor}")).await;
        assert_eq!(page.header("x-total-count"), "25");
        let found = page.expect(200);
        seen.extend(found.as_array().unwrap().iter().map(|one| one["timestamp"].as_str().unwrap().to_owned()));
        cursor = page.header("x-next-cursor").to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted_by(|one, other| one >= other), "{seen:?}");
    server.get(&format!("/api/v1/issues/{id}/occurrences?cursor=x")).await.problem(400, "cursor");
    server.get(&format!("/api/v1/issues/{id}/occurrences?limit=101")).await.problem(400, "bad_request");
}

/// What people decided holds after a crash, and while errors pour in.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_hold() {
    let (mut server, [id]) = with_issues(["Lost"]).await;
    let lines: String = (0..500).map(|_| format!("{}\n", error("Lost", "1.0"))).collect();
    for round in 0..4_u64 {
        let who = format!("eve{round}");
        let decision = json!({ "assignee": who });
        let (posted, decided) =
            tokio::join!(server.post(crate::server::EVENTS, lines.clone()), change(&server, &id, &decision));
        posted.accepted(500, 0);
        assert_eq!(decided.expect(200)["assignee"], who);
        server.kill9();
        server.restart().await;
        let issue = server.issue("Lost", 1 + 500 * (round + 1)).await;
        assert_eq!((&issue["id"], &issue["assignee"]), (&json!(id), &json!(who)), "{issue}");
    }
    assert_eq!(server.events("stream=AUDIT&event=issue_changed").await.len(), 4);
}

/// However many keys the events before it have: what makes an issue of an error, or tells a scanner, has a column.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_among_very_many_keys() {
    let server = Server::start().await;
    for part in 0..3 {
        let wide: serde_json::Map<String, Value> =
            (0..150).map(|key| (format!("key_{part}_{key}"), json!(key))).collect();
        server.send(&Value::Object(wide)).await;
    }
    server.send(&error("Lost", "1.0")).await;
    for _ in 0..10 {
        server.send(&json!({ "method": "GET", "path": "/wp-login.php", "status": 404, "ip": "198.51.100.7" })).await;
    }
    server.issue("Lost", 1).await;
    let alerts = until("the scanner", async || {
        let found = server.events("stream=SECURITY%20ALERT").await;
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(alerts.await[0]["count"], 10);
}

/// A traceback in a message says as much as one under `exception`.
#[tokio::test(flavor = "multi_thread")]
async fn tracebacks_in_messages_are_told_apart() {
    let server = Server::start().await;
    let python = |function: &str, raised: &str| {
        format!(
            "Traceback (most recent call last):\n  File \"/srv/shop/cart.py\", line 2, in {function}\n    pay()\n{raised}\n"
        )
    };
    let messages = [
        python("pay", "KeyError: 'price'"),
        python("ship", "ZeroDivisionError: division by zero"),
        format!("job failed\n{}", python("ship", "ZeroDivisionError: division by zero")),
        "job failed\njava.lang.IllegalStateException: no cart\n\tat com.shop.Cart.pay(Cart.java:7)\n\tat com.shop.Main.main(Main.java:3)".to_owned(),
        "job failed\nsee the page at the end".to_owned(),
    ];
    for message in &messages {
        server.send(&json!({ "level": "error", "message": message })).await;
    }
    // The call of a shell says the same.
    server.cli_ok(&["log", "ERROR", "system", &messages[1]]);
    server.issue("division by zero", 3).await;
    for title in ["KeyError: 'price'", "IllegalStateException", "job failed"] {
        server.issue(title, 1).await;
    }
    assert_eq!(server.issues("").await.len(), 4);
    let kept = server.events("exception.type=KeyError").await;
    assert_eq!(kept[0]["message"], messages[0]);
    assert_eq!(kept[0]["exception"]["frames"][0]["function"], "pay", "{}", kept[0]);
}

/// A release that was sent as a number is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_may_be_a_number() {
    let server = Server::start().await;
    let error = |release: f64| json!({ "level": "error", "message": "it broke", "release": release });
    server.send(&error(2.5)).await;
    let issue = server.issue("it broke", 1).await;
    assert_eq!(issue["releases"], json!(["2.5"]));
    let id = issue["id"].as_str().unwrap().to_owned();
    changed(&server, &id, &json!({ "state": "resolved", "in_release": "2.6" })).await;
    server.send(&error(2.5)).await;
    assert_eq!(server.issue("it broke", 2).await["state"], "resolved");
    server.send(&error(2.75)).await;
    assert_eq!(server.issue("it broke", 3).await["state"], "regressed");
}
