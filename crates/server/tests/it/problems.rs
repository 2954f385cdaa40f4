//! A crash reaches people before complaints do: with what led to it, once, and without what must not be told.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::secrets::files_with;
use crate::server::{Server, ask};
use crate::sinks::{HttpSink, MailSink};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// As a visitor asked for it, and as it is kept.
const URL: &str = "https://shop.example/checkout?email=bob@example.com&step=3";
const KEPT_URL: &str = "https://shop.example/checkout?email=[REDACTED:email]&step=3";

/// Nobody's business, however it is written.
const ADDRESS: [&str; 2] = ["bob@example.com", "bob%40example.com"];

/// How soon people have to know.
const SOON: Duration = Duration::from_secs(5);

/// A server with a channel to each sink, which knows under which address people see it.
async fn start(slack: &HttpSink, mail: &MailSink) -> Server {
    let server = Server::start_with(&[("EVERLOG_PUBLIC_URL", "https://logs.example")]).await;
    server.set_channel("slack", &slack.channel("slack")).await;
    server.set_channel("mail", &mail.channel()).await;
    server
}

/// What user 7 did before: three requests, each under an id of its own.
async fn visit(server: &Server) {
    for (step, method, path) in [("login", "POST", "/login"), ("cart", "GET", "/cart"), ("address", "POST", "/address")]
    {
        let event = json!({
            "event": "request_finished", "level": "info", "message": format!("{method} {path}"), "request_id": format!("r-{step}"),
            "user": "7", "session": "s7", "ip": "203.0.113.9", "user_agent": FIREFOX, "method": method, "status": 200,
            "url": format!("https://shop.example{path}"), "release": "1.0", "environment": "production", "host": "web-1",
        });
        server.send(&event).await;
    }
}

/// The panic of a function, as the log of a Rust service has it.
fn panic_of(function: &str, request: &str) -> Value {
    let backtrace = format!(
        "thread 'worker' panicked at src/{function}.rs:17:9:\nattempt to divide by zero\nstack backtrace:\n   \
         0: rust_begin_unwind\n             at /rustc/90b35a6/library/std/src/panicking.rs:645:5\n   \
         1: core::panicking::panic_fmt\n   2: core::panicking::panic_const::panic_const_div_by_zero\n   \
         3: shop::{function}::total\n             at ./src/{function}.rs:17:9\n   \
         4: shop::{function}::handle\n             at ./src/{function}.rs:8:5\n"
    );
    json!({
        "event": "api.uncaught_exception", "level": "error", "message": "attempt to divide by zero", "exception": backtrace,
        "user": "7", "session": "s7", "ip": "203.0.113.9", "user_agent": FIREFOX, "method": "GET", "url": URL, "status": 500,
        "request_id": request, "release": "1.0", "environment": "production", "host": "web-1",
    })
}

/// The same as an SDK of Sentry sends it.
fn envelope_of(function: &str, request: &str, id: u32) -> String {
    let crumb = |path: &str, second: u32| json!({ "timestamp": 1_767_323_040 + second, "category": "http", "message": path, "data": { "url": URL } });
    let frames = json!([
        { "function": format!("shop::{function}::handle"), "filename": format!("src/{function}.rs"), "lineno": 8, "in_app": true },
        { "function": format!("shop::{function}::total"), "filename": format!("src/{function}.rs"), "lineno": 17, "in_app": true },
    ]);
    let event = json!({
        "event_id": format!("{id:032x}"), "level": "error", "platform": "native", "release": "1.0", "environment": "production",
        "server_name": "web-1", "tags": { "request_id": request }, "user": { "id": "7", "ip_address": "203.0.113.9" },
        "exception": { "values": [{ "type": "panic", "value": "attempt to divide by zero", "stacktrace": { "frames": frames },
            "mechanism": { "type": "panic", "handled": false } }] },
        "request": { "method": "GET", "url": URL, "query_string": "email=bob@example.com&step=3", "headers": { "User-Agent": FIREFOX } },
        "breadcrumbs": { "values": [crumb("POST /login", 1), crumb("GET /cart", 2), crumb("POST /address", 3)] },
    });
    format!("{{\"event_id\":\"{id:032x}\"}}\n{{\"type\":\"event\"}}\n{event}\n")
}

async fn crash(server: &Server, door: &str, function: &str, number: u32) {
    let request = format!("req-{function}");
    match door {
        "native" => server.send(&panic_of(function, &request)).await,
        _ => {
            let body = envelope_of(function, &request, number);
            server.post("/api/1/envelope/?sentry_key=any", body).await.expect(200);
        }
    }
}

/// The one issue and its one occurrence.
async fn check_issue(server: &Server, door: &str) -> Value {
    let issue = server.issue("divide by zero", 1).await;
    assert_eq!(server.issues("").await.len(), 1, "{door}");
    let expected =
        json!({ "level": "error", "state": "open", "users": 1, "releases": ["1.0"], "environments": ["production"] });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&issue[key], value, "{door} {key}: {issue}");
    }
    let id = issue["id"].as_str().unwrap();
    let occurrences = server.get(&format!("/api/v1/issues/{id}/occurrences")).await.expect(200);
    let [occurrence] = &occurrences.as_array().unwrap()[..] else { panic!("{door}: one, and not {occurrences}") };
    let expected = json!({ "url": KEPT_URL, "method": "GET", "browser": "Firefox 128", "person": { "id": "7" }, "release": "1.0",
        "host": "web-1", "environment": "production", "ip": "203.0.113.9" });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&occurrence[key], value, "{door} {key}: {occurrence}");
    }
    let crumbs: Vec<&str> =
        occurrence["breadcrumbs"].as_array().unwrap().iter().map(|crumb| crumb["message"].as_str().unwrap()).collect();
    assert_eq!(crumbs, ["POST /login", "GET /cart", "POST /address"], "{door}");
    let exception = &occurrence["exception"];
    assert!(exception["message"].as_str().unwrap().contains("attempt to divide by zero"), "{door}: {exception}");
    assert!(exception["frames"].to_string().contains("total"), "{door}: {exception}");
    issue
}

/// Whoever reads the request's id on the error page, or knows the user, comes to the issue.
async fn check_lookup(server: &Server, door: &str, issue: &Value) {
    let fingerprint = issue["fingerprint"].as_str().unwrap();
    let event = issue["last_event"].as_str().unwrap();
    let queries = ["request_id=req-checkout".to_owned(), "user=7&level=error".to_owned(), format!("id={event}")];
    for query in queries.iter().map(|query| format!("{query}&_c=id&_c=fingerprint")) {
        let found = server.events(&query).await;
        assert_eq!(found, [json!({ "id": event, "fingerprint": fingerprint })], "{door} {query}");
    }
    if door == "native" {
        let lines = server.events("event=api.uncaught_exception").await;
        assert_eq!(lines.len(), 1);
        assert!(lines[0]["exception"].to_string().contains("attempt to divide by zero"), "{}", lines[0]);
    }
}

async fn tells_of_a_crash(door: &'static str) {
    let (slack, mail) = (HttpSink::start().await, MailSink::start().await);
    let mut server = start(&slack, &mail).await;
    visit(&server).await;
    let sent = Instant::now();
    crash(&server, door, "checkout", 1).await;
    let (posts, mails) = (slack.wait(1).await, mail.wait(1).await);
    for (to, at) in [("Slack", posts[0].at), ("mail", mails[0].at)] {
        assert!(at.duration_since(sent) <= SOON, "{door}: {to} after {:?}", at.duration_since(sent));
    }
    assert_eq!(mails[0].to, ["ops@ops.example"]);
    let issue = check_issue(&server, door).await;
    let link = format!("https://logs.example/issues/{}", issue["id"].as_str().unwrap());
    let (slack_text, mail_text) = (posts[0].body.replace("&amp;", "&"), mails[0].text());
    for text in [&slack_text, &mail_text] {
        for part in ["attempt to divide by zero", "production", KEPT_URL, &link] {
            assert!(text.contains(part), "{door}: no {part} in {text}");
        }
    }
    check_lookup(&server, door, &issue).await;
    // Notices of a channel keep their order: when the next one is there, there was one of this.
    server.send(&json!({ "level": "error", "message": "the end" })).await;
    let (posts, mails) = (slack.wait(2).await, mail.wait(2).await);
    assert_eq!((posts.len(), mails.len()), (2, 2), "{door}");
    check_nothing_told(&mut server, &slack, &mail, &issue).await;
}

/// The address is nowhere: not on the disk, in no notice, and in no answer.
async fn check_nothing_told(server: &mut Server, slack: &HttpSink, mail: &MailSink, issue: &Value) {
    let mut texts: Vec<String> = slack.sent().into_iter().map(|sent| sent.body).collect();
    texts.extend(mail.mails().iter().map(|mail| mail.text() + &mail.raw));
    let id = issue["id"].as_str().unwrap();
    let issues = format!("/api/v1/issues/{id}");
    for path in [
        "/api/v1/logs/default/events?_limit=1000".to_owned(),
        "/api/v1/logs/default/issues".to_owned(),
        "/api/v1/notices".to_owned(),
        format!("{issues}/occurrences"),
        format!("{issues}/explain"),
        format!("{issues}/report"),
        format!("{issues}/report?format=json"),
        issues,
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        texts.push(answer.text());
    }
    for text in texts {
        assert!(ADDRESS.iter().all(|address| !text.contains(address)), "{text}");
    }
    server.kill9();
    assert_eq!(files_with(server.folder(), &ADDRESS), [""; 0]);
    server.restart().await;
    server.flush().await;
    server.stop().await;
    assert_eq!(files_with(server.folder(), &ADDRESS), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_reaches_people_with_what_led_to_it() {
    tells_of_a_crash("native").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_an_sdk_of_sentry_tells() {
    tells_of_a_crash("sentry").await;
}

/// From the request to both sinks, of several crashes one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn people_know_within_a_second_or_so() {
    const FUNCTIONS: [&str; 9] =
        ["cart", "login", "search", "address", "voucher", "payment", "invoice", "refund", "parcel"];
    let (slack, mail) = (HttpSink::start().await, MailSink::start().await);
    let server = start(&slack, &mail).await;
    let mut times = Vec::new();
    for (place, function) in FUNCTIONS.into_iter().enumerate() {
        let sent = Instant::now();
        crash(&server, "native", function, 0).await;
        let (posts, mails) = (slack.wait(place + 1).await, mail.wait(place + 1).await);
        let last = posts.iter().map(|post| post.at).chain(mails.iter().map(|mail| mail.at)).max().unwrap();
        times.push(last.duration_since(sent));
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    let said = format!("from a crash to Slack and mail: median {median:?}, longest {:?}\n", times.last().unwrap());
    std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes()).unwrap();
    assert!(times.last().unwrap() <= &SOON, "{times:?}");
}

/// The last fifty events of the request, the session or the user, from whatever source, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn what_led_to_it_is_the_last_fifty() {
    let server = Server::start().await;
    let mut lines = String::new();
    for number in 0..90 {
        let mut event =
            json!({ "event": format!("step{number}"), "source": (["web", "worker", "database"][number % 3]) });
        let (key, value) = [("session", "s7"), ("user", "7"), ("request_id", "req-checkout")][number % 3];
        event[key] = value.into();
        let other = json!({ "event": "other", "session": "s8", "user": "8", "request_id": "r8" });
        lines.extend([format!("{event}\n{other}\n")]);
    }
    server.post(crate::server::EVENTS, lines).await.accepted(180, 0);
    crash(&server, "native", "checkout", 1).await;
    server.send(&json!({ "event": "after", "user": "7", "session": "s7" })).await;
    let issue = server.issue("divide by zero", 1).await;
    let path = format!("/api/v1/issues/{}/occurrences", issue["id"].as_str().unwrap());
    let found = server.get(&path).await.expect(200);
    let trail: Vec<&Value> = found[0]["trail"].as_array().unwrap().iter().map(|step| &step["event"]).collect();
    let expected: Vec<String> = (40..90).map(|number| format!("step{number}")).collect();
    assert_eq!(trail, expected.iter().collect::<Vec<_>>());
    let bare = server.get(&format!("{path}?trail=n")).await.expect(200);
    assert_eq!(bare[0].get("trail"), None, "{bare}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_there_to_paste() {
    let server = Server::start_with(&[("EVERLOG_PUBLIC_URL", "https://logs.example")]).await;
    visit(&server).await;
    crash(&server, "native", "checkout", 1).await;
    let issue = server.issue("divide by zero", 1).await;
    let path = format!("/api/v1/issues/{}/report", issue["id"].as_str().unwrap());
    let report = server.get(&path).await;
    assert_eq!(report.header("content-type"), "text/markdown; charset=utf-8");
    let text = report.text();
    let lines =
        ["| Browser | Firefox 128 |", "| User | 7 |", "| Release | 1.0 |", "| Host | web-1 |", "| Occurrences | 1 |"];
    for line in lines.into_iter().chain(["shop::checkout::total", "## What led to it", "https://logs.example/issues/"])
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    let steps: Vec<usize> =
        ["POST /login", "GET /cart", "POST /address"].iter().map(|step| text.find(step).unwrap()).collect();
    assert!(steps.is_sorted(), "{text}");
    let json = server.get(&format!("{path}?format=json")).await.expect(200);
    assert_eq!((&json["issue"]["id"], &json["occurrence"]["person"]["id"]), (&issue["id"], &json!("7")));
    assert_eq!(json["occurrence"]["trail"].as_array().map(Vec::len), Some(3), "{json}");
    server.get(&format!("{path}?format=pdf")).await.problem(400, "bad_request");
    let writer = json!({ "label": "a test", "scopes": ["write"], "logs": [] });
    let writer = server.as_admin(Method::POST, "/api/v1/tokens", &writer).await.expect(201);
    let writer = writer["token"].as_str().unwrap();
    ask(server.request(Method::GET, &path).bearer_auth(writer)).await.problem(403, "forbidden");
}

/// What a client sent stands on the page, in the report and on the command line, as it is kept, and once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sent_is_told_everywhere() {
    let server = Server::start().await;
    let frames = |function: &str, file: &str, line: u32| json!({ "frames": [{ "function": function, "filename": file, "lineno": line, "in_app": true }] });
    let event = json!({
        "event_id": format!("{:032x}", 7), "level": "error", "platform": "python", "release": "1.0", "server_name": "web-1",
        "message": "the payment <failed>", "tags": { "service": "shop" }, "user": { "id": "7", "ip_address": "203.0.113.9" },
        "exception": { "values": [{ "type": "KeyError", "value": "'sku'", "stacktrace": frames("price", "shop/price.py", 3) },
            { "type": "CartError", "value": "no price", "stacktrace": frames("pay", "shop/cart.py", 7) }] },
        "request": { "method": "POST", "url": "https://shop.example/pay", "headers": { "Accept-Language": "de", "Authorization": "Bearer topsecret123" },
            "data": { "sku": "A-1", "password": "hunter2" } },
        "breadcrumbs": { "values": [{ "timestamp": 1_767_323_041, "category": "ui.click", "message": "button#pay" }] },
    });
    server
        .post("/api/1/envelope/?sentry_key=any", format!("{{}}\n{{\"type\":\"event\"}}\n{event}\n"))
        .await
        .expect(200);
    let issue = server.issue("no price", 1).await;
    let id = issue["id"].as_str().unwrap();
    let occurrences = server.get(&format!("/api/v1/issues/{id}/occurrences")).await.expect(200);
    let cause = json!([{ "function": "price", "file": "shop/price.py", "line": 3, "in_app": true }]);
    assert_eq!(occurrences[0]["exception"]["chain"][1]["frames"], cause, "{occurrences}");
    let page = server.get(&format!("/issues/{id}")).await.text().replace("&#39;", "'").replace("&quot;", "\"");
    let report = server.get(&format!("/api/v1/issues/{id}/report")).await.text();
    let shown = server.cli_ok(&["issues", "show", id]);
    let parts = [
        "203.0.113.9",
        "Accept-Language",
        "A-1",
        "caused by KeyError: 'sku'",
        "button#pay",
        "https://shop.example/pay",
    ];
    for (place, text) in [("page", &page), ("report", &report), ("show", &shown)] {
        for part in parts.into_iter().chain(["shop/price.py:3", "shop/cart.py:7", "the payment "]) {
            // Signs that Markdown takes for its own have a backslash before them.
            assert!(text.replace('\\', "").contains(part), "{place}: no {part}: {text}");
        }
        assert!(!text.contains("hunter2") && !text.contains("topsecret123"), "{place}: {text}");
    }
    assert!(page.contains("&lt;failed&gt;") && !page.contains("<failed>"), "{page}");
    // Without breadcrumbs of the client the trail is told once.
    visit(&server).await;
    crash(&server, "native", "checkout", 1).await;
    let id = server.issue("divide by zero", 1).await["id"].as_str().unwrap().to_owned();
    let report = server.get(&format!("/api/v1/issues/{id}/report")).await.text();
    let page = server.get(&format!("/issues/{id}")).await.text();
    assert!(report.contains("## What led to it") && !report.contains("## Breadcrumbs"), "{report}");
    assert!(page.contains("What led to it") && !page.contains("What the client noted"), "{page}");
}

/// The list as a page: chosen by state, log, level and text, page after page, and calm where there is nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_issues_as_a_page() {
    let server = Server::start().await;
    let mut lines = String::new();
    for number in 0..144 {
        // Numbers are no difference.
        let name: String = format!("{number:03}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
        let event = json!({ "level": "error", "exception": { "type": format!("Broken{name}"), "message": "<x>" } });
        lines.extend([format!("{event}\n")]);
    }
    server.post(crate::server::EVENTS, lines).await.accepted(144, 0);
    let long = json!({ "level": "critical", "message": "y".repeat(119) + "ende" });
    server.post("/api/v1/logs/shop/events", long.to_string()).await.accepted(1, 0);
    let page = async |query: &str| server.get(&format!("/issues{query}")).await;
    let all = crate::server::until("the issues", async || {
        let text = page("").await.text();
        text.contains("100 of 145").then_some(text)
    })
    .await;
    assert!(all.contains("href=\"/issues?offset=100\">Next page") && !all.contains("&lt;x&gt;…"), "{all}");
    let second = page("?offset=100").await.text();
    assert!(second.contains("101–145 of 145") && !second.contains("Next page"), "{second}");
    let shop = page("?log=shop").await.text();
    assert!(shop.contains("1 of 1") && shop.contains(&format!("{}…", "y".repeat(119) + "e")), "{shop}");
    for (query, count) in
        [("?q=Brokenaa", 10), ("?level=critical", 1), ("?state=open,regressed,resolved,ignored&log=default", 144)]
    {
        let text = page(query).await.text();
        assert!(text.contains(&format!(" of {count}<")), "{query}: {text}");
    }
    let one = server.issues("q=Brokenaaa").await.pop().unwrap();
    let path = format!("/api/v1/issues/{}", one["id"].as_str().unwrap());
    server.as_admin(Method::PATCH, &path, &json!({ "state": "resolved" })).await.expect(200);
    let resolved = page("?state=resolved").await.text();
    assert!(resolved.contains("1 of 1") && resolved.contains("Brokenaaa"), "{resolved}");
    assert!(page("?state=ignored").await.text().contains("Nothing fits."));
    for (query, status, hint) in [
        ("?stat=open", 400, "did you mean"),
        ("?state=shut", 400, "resolved"),
        ("?level=%3Cb%3E", 400, "&lt;b&gt;"),
        ("?log=nope", 404, "nope"),
        ("/99999", 404, "no issue of this number"),
        ("/x", 404, "no issue of this number"),
    ] {
        let answer = page(query).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, "text/html; charset=utf-8"), "{query}");
        let text = answer.text();
        assert!(text.contains(hint) && !text.contains("Try again") && !text.contains("<b>&"), "{query}: {text}");
    }
    // The client follows.
    assert!(page("/?q=Brokenaa").await.text().contains("9 of 9"));
}
