//! What real servers wrote: nginx 1.22 with its access and its error log; Django 5.2 with django-structlog 11 under
//! gunicorn, where JSON, access lines, prints and a traceback stand in one file.

use serde_json::Value;

use crate::server::Server;

const NGINX_ACCESS: &[u8] = include_bytes!("../fixtures/nginx-access.log");
const NGINX_ERROR: &[u8] = include_bytes!("../fixtures/nginx-error.log");
const DJANGO: &[u8] = include_bytes!("../fixtures/django.jsonl");

/// A server that was given these files twice.
async fn with(log: &str, files: &[(&str, &[u8])]) -> Server {
    let server = Server::start().await;
    let folder = server.folder().join("logs");
    std::fs::create_dir(&folder).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let import = || server.cli_ok(&["import", folder.to_str().unwrap(), "--log", log, "--zone", "UTC"]);
    import();
    let once = find(&server, log, "").len();
    import();
    assert_eq!(find(&server, log, "").len(), once, "the second time adds nothing");
    server
}

/// The events that a search finds.
#[track_caller]
fn find(server: &Server, log: &str, search: &str) -> Vec<Value> {
    let found = server.cli_ok(&["query", search, "--log", log, "--limit", "1000"]);
    found.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn check_counts(server: &Server, log: &str, counts: &[(&str, usize)]) {
    for (search, count) in counts {
        let found = find(server, log, search);
        assert_eq!(found.len(), *count, "{search}: {found:#?}");
    }
}

/// The only event that a search finds.
#[track_caller]
fn the_one(server: &Server, log: &str, search: &str) -> Value {
    let mut found = find(server, log, search);
    assert_eq!(found.len(), 1, "{search}: {found:#?}");
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx() {
    let server = with("web", &[("access.log", NGINX_ACCESS), ("error.log", NGINX_ERROR)]).await;
    check_counts(
        &server,
        "web",
        &[
            ("source:access", 38),
            ("source:nginx", 30),
            ("user:alice@example.com", 1),
            ("user:\"Bob Smith\"", 2),
            ("status:404 path:/wp-login.php", 1),
            ("status:>=500", 3),
            ("status:502 level:error", 1),
            ("refused", 1),
            ("日本", 1),
            ("naïve", 1),
            ("quoted", 1),
            ("ip:::1", 1),
            ("path:/private", 6),
            ("source:nginx level:error \"password mismatch\"", 1),
            ("-timestamp:2026-11-20", 0),
            ("request:*", 8),
        ],
    );
    let event = the_one(&server, "web", "source:access user:~mallory");
    for (key, value) in [
        ("user", "mallory\"x"),
        ("method", "GET"),
        ("path", "/private"),
        ("ip", "127.0.0.1"),
        ("user_agent", "curl/7.88.1"),
        ("level", "warning"),
        ("timestamp", "2026-11-20T19:18:19.000000Z"),
        ("protocol", "HTTP/1.1"),
    ] {
        assert_eq!(event[key], value, "{key} of {event}");
    }
    assert_eq!((&event["status"], &event["bytes"]), (&401.into(), &179.into()));
    let event = the_one(&server, "web", "source:access 日本");
    assert_eq!(event["referer"], "https://ref.example/?x=\"y\"");
    let cut = the_one(&server, "web", "source:nginx \"too long URI\"");
    assert_eq!(
        (&cut["message"], &cut["ip"], &cut["path"]),
        (&"client sent too long URI while reading client request line".into(), &"127.0.0.1".into(), &"/".into())
    );
    let upstream = the_one(&server, "web", "source:nginx refused");
    assert_eq!((&upstream["upstream"], &upstream["connection"]), (&"http://127.0.0.1:18099/up/x".into(), &245.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn django() {
    let server = with("django", &[("django.log", DJANGO)]).await;
    check_counts(
        &server,
        "django",
        &[
            ("", 27),
            ("user:1 event:request_failed status:500", 2),
            ("user:mallory", 1),
            ("status:422", 2),
            ("source:access", 4),
            ("source:gunicorn", 3),
            ("ZeroDivisionError", 5),
            ("exception.type:ZeroDivisionError", 5),
            ("exception.type:ValueError exception.message:sku", 1),
            ("exception:views.py", 0),
            ("exception:app.py", 6),
            ("duration_ms:>12", 1),
            ("request_id:843741ef-46cf-454f-bdcc-230a69828f07", 3),
            ("method:GET path:/boom", 4),
            ("order.total:>99", 1),
            ("café", 1),
            ("-timestamp:2026-11-20", 0),
        ],
    );
    let failed = the_one(&server, "django", "event:request_failed request_id:843741ef-46cf-454f-bdcc-230a69828f07");
    for (key, value) in [
        ("user", "1"),
        ("level", "error"),
        ("stream", "ERROR"),
        ("ip", "127.0.0.1"),
        ("logger", "django_structlog.middlewares.request"),
        ("request", "GET /boom?x=1"),
        ("timestamp", "2026-11-20T19:18:59.022757Z"),
    ] {
        assert_eq!(failed[key], value, "{key} of {failed}");
    }
    let printed = the_one(&server, "django", "-event:* -source:* exception:plain");
    assert_eq!(
        (&printed["level"], &printed["message"]),
        (&"error".into(), &"ZeroDivisionError: division by zero".into())
    );
    assert_eq!(printed["timestamp"], "2026-11-20T19:18:59.063318Z", "the time of the line before it");
    let refused = the_one(&server, "django", "event:login_refused");
    assert_eq!((&refused["user"], &refused["user_id"]), (&"mallory".into(), &Value::Null));
    let types =
        server.cli_ok(&["query", "--log", "django", "--filter", "_by=exception.type", "--filter", "exception.type"]);
    assert_eq!(types.lines().count(), 2, "{types}");
}
