//! One line of each format, and its event.

use super::{check, event, read, shown, text};
use crate::lines::Format;

/// Lines of all formats, for the tests that put anything beside anything.
pub(super) const LINES: [&str; 24] = [
    r#"example.org:443 ::1 - bob [20/Nov/2026:15:59:36 +0100] "POST /a?b=c HTTP/2.0" 404 - "https://x/\"q\"" "UA \xC3\xA9" "10.0.0.1" 0.004"#,
    r#"2026/11/20 15:59:36 [error] 123#124: *1 open() failed, client: 1.2.3.4, server: x, request: "GET /p HTTP/1.1", host: "x""#,
    "[Fri Nov 20 15:59:36.123456 2026] [core:error] [pid 1:tid 2] [client 1.2.3.4:55] AH1: no, referer: http://x/",
    "[2026-11-20 15:59:36 +0000] [1234] [INFO] Booting worker with pid: 1235",
    "[pid: 13767|app: 0|req: 1/1] 127.0.0.1 () {24 vars in 283 bytes} [Fri Nov 20 16:13:32 2026] GET /pay/7?m=mk1 => generated 2 bytes in 0 msecs (HTTP/1.1 200) 1 headers in 45 bytes (1 switches on core 0)",
    "[2026-11-20 15:59:36.123456+00:00] NOTICE: API/Auto: a car",
    "2026-11-20 15:59:36,123 ERROR shop.cart no money",
    "2026-11-20 15:59:36,123 - shop.cart - ERROR - no money",
    "ERROR:shop.cart:no money",
    "\u{1b}[2m2026-11-20T15:59:36.557202Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m shop::cart: paid id=7",
    "2026-11-20T15:59:36.557202Z  INFO pay{id=7 note=\"}: x\"}: shop::cart: paid",
    "INFO:  Log entry here. § [2024-04-09 20:39:05]",
    "WARNING:  odd ยง [2024-04-09 20:39:05]",
    "[ INTERNAL ]:  archive made",
    "SECURITY ALERT: Break-in\n{\n    \"ip\": \"1.2.3.4\"\n} § [2024-04-09 20:39:05]",
    "<34>1 2026-10-11T22:14:15.003Z host su 77 ID47 [a@1 b=\"c\\]\"][d] \u{feff}failed",
    "<34>Oct 11 22:14:15 host su[77]: failed",
    "Nov 20 15:59:36 host app[123]: msg",
    "2026-11-20T15:59:36.557202+00:00 host app[123]: msg",
    "2026-11-20 17:20:05 status installed foo:amd64 1.0",
    "[2026-11-20 15:59:36,123: INFO/MainProcess] ready",
    "ERROR 2026-11-20 15:59:36,123 views 12 34 message",
    r#"{"__REALTIME_TIMESTAMP":"1795190376557202","MESSAGE":[104,255],"PRIORITY":"6"}"#,
    r#"INFO:     127.0.0.1:5000 - "GET /a HTTP/1.1" 200 OK"#,
];

#[test]
fn each_format() {
    let shown: Vec<String> = LINES.iter().map(shown).collect();
    insta::assert_snapshot!(shown.join("\n"), @r##"
    0 access {"timestamp":"2026-11-20T14:59:36.000000Z","level":"warning","event":"request","source":"access","method":"POST","path":"/a","query":"b=c","protocol":"HTTP/2.0","status":404,"host":"example.org","port":443,"ip":"::1","user":"bob","referer":"https://x/\"q\"","user_agent":"UA é","extra":["10.0.0.1","0.004"]}
    0 nginx-error {"timestamp":"2026-11-20T15:59:36.000000Z","level":"error","message":"open() failed","source":"nginx","pid":123,"thread":124,"connection":1,"ip":"1.2.3.4","server":"x","method":"GET","path":"/p","protocol":"HTTP/1.1","host":"x"}
    0 apache-error {"timestamp":"2026-11-20T15:59:36.123456Z","level":"error","message":"AH1: no","source":"apache","logger":"core","pid":1,"thread":2,"ip":"1.2.3.4","port":55,"referer":"http://x/"}
    0 gunicorn {"timestamp":"2026-11-20T15:59:36.000000Z","level":"info","message":"Booting worker with pid: 1235","source":"gunicorn","pid":1234}
    0 uwsgi {"timestamp":"2026-11-20T16:13:32.000000Z","level":"info","event":"request","source":"uwsgi","pid":13767,"ip":"127.0.0.1","method":"GET","path":"/pay/7","query":"m=mk1","protocol":"HTTP/1.1","status":200,"bytes":2,"duration_ms":0,"extra":["app: 0","req: 1/1","24 vars in 283 bytes","1 headers in 45 bytes (1 switches on core 0)"]}
    0 logbook {"timestamp":"2026-11-20T15:59:36.123456Z","level":"notice","message":"a car","logger":"API/Auto"}
    0 python {"timestamp":"2026-11-20T15:59:36.123000Z","level":"error","message":"no money","logger":"shop.cart"}
    0 python {"timestamp":"2026-11-20T15:59:36.123000Z","level":"error","message":"no money","logger":"shop.cart"}
    0 python {"level":"error","message":"no money","logger":"shop.cart"}
    0 tracing {"timestamp":"2026-11-20T15:59:36.557202Z","level":"info","message":"paid id=7","logger":"shop::cart"}
    0 tracing {"timestamp":"2026-11-20T15:59:36.557202Z","level":"info","message":"paid","logger":"shop::cart","spans":"pay{id=7 note=\"}: x\"}"}
    0 api-logger {"timestamp":"2024-04-09T20:39:05.000000Z","level":"info","message":"Log entry here.","stream":"INFO"}
    0 api-logger {"timestamp":"2024-04-09T20:39:05.000000Z","level":"warning","message":"odd","stream":"WARN"}
    0 api-logger {"level":"info","message":"archive made","stream":"INTERNAL"}
    0 api-logger {"timestamp":"2024-04-09T20:39:05.000000Z","level":"warning","message":"Break-in\n{\n    \"ip\": \"1.2.3.4\"\n}","stream":"SECURITY ALERT"}
    0 syslog {"timestamp":"2026-10-11T22:14:15.003000Z","level":"critical","message":"failed","host":"host","source":"su","pid":77,"syslog":{"facility":4,"severity":2,"message_id":"ID47","structured_data":{"a@1":{"b":"c]"},"d":{}}}}
    0 syslog {"timestamp":"2026-10-11T22:14:15.000000Z","level":"critical","message":"failed","host":"host","source":"su","pid":77,"syslog":{"facility":4,"severity":2}}
    0 syslog {"timestamp":"2026-11-20T15:59:36.000000Z","message":"msg","host":"host","source":"app","pid":123}
    0 syslog {"timestamp":"2026-11-20T15:59:36.557202Z","message":"msg","host":"host","source":"app","pid":123}
    0 text {"timestamp":"2026-11-20T17:20:05.000000Z","message":"2026-11-20 17:20:05 status installed foo:amd64 1.0","source":"dpkg"}
    0 python {"timestamp":"2026-11-20T15:59:36.123000Z","level":"info","message":"ready","process":"MainProcess"}
    0 python {"timestamp":"2026-11-20T15:59:36.123000Z","level":"error","message":"views 12 34 message"}
    0 journal {"timestamp":"2026-11-20T15:59:36.557202Z","level":"info","message":"h\\xFF","not_utf8":true}
    0 access {"level":"info","event":"request","source":"access","method":"GET","path":"/a","protocol":"HTTP/1.1","status":200,"ip":"127.0.0.1","port":5000}
    "##);
}

#[test]
fn access_common_and_malformed() {
    let expected = |request: &str, rest: &str| {
        format!(
            r#"{{"timestamp":"2026-11-20T15:59:36.000000Z","event":"request","source":"access","ip":"1.2.3.4",{request},{rest}}}"#
        )
    };
    let line = |request: &str, rest: &str| format!("1.2.3.4 - - [20/Nov/2026:15:59:36 +0000] \"{request}\" {rest}");
    check(
        line("-", "408 0"),
        Format::Access,
        &expected(r#""request":"-""#, r#""level":"warning","status":408,"bytes":0"#),
    );
    check(
        line(r"\x16\x03", "400 -"),
        Format::Access,
        &expected(r#""request":"\\x16\\x03""#, r#""level":"warning","status":400"#),
    );
    check(
        line("GET /a b HTTP/1.0", "200 1"),
        Format::Access,
        &expected(r#""method":"GET","path":"/a b","protocol":"HTTP/1.0""#, r#""level":"info","status":200,"bytes":1"#),
    );
    check(
        line("GET /", "503 1"),
        Format::Access,
        &expected(r#""method":"GET","path":"/""#, r#""level":"error","status":503,"bytes":1"#),
    );
    check(
        line("GET / HTTP/1.1", r#"200 1 "-" "\xFF""#),
        Format::Access,
        &expected(
            r#""method":"GET","path":"/","protocol":"HTTP/1.1""#,
            r#""level":"info","status":200,"bytes":1,"user_agent":"\\xFF""#,
        ),
    );
}

#[test]
fn escapes_of_nginx_are_undone() {
    check(
        r#"::1 - mallory\x22x [20/Nov/2026:15:59:36 +0000] "GET /caf\xC3\xA9?q=na\xC3\xAFve HTTP/1.1" 200 2 "-" "-""#,
        Format::Access,
        r#"{"timestamp":"2026-11-20T15:59:36.000000Z","level":"info","event":"request","source":"access","method":"GET",
            "path":"/café","query":"q=naïve","protocol":"HTTP/1.1","status":200,"bytes":2,"ip":"::1","user":"mallory\"x"}"#,
    );
}

#[test]
fn an_error_line_that_nginx_has_cut() {
    check(
        r#"2026/11/20 15:59:36 [info] 7#7: *1 client sent too long URI, client: ::1, server: x, request: "GET /?x=aaa"#,
        Format::NginxError,
        r#"{"timestamp":"2026-11-20T15:59:36.000000Z","level":"info","message":"client sent too long URI","source":"nginx",
            "pid":7,"thread":7,"connection":1,"ip":"::1","server":"x","method":"GET","path":"/","query":"x=aaa"}"#,
    );
}

#[test]
fn lines_without_a_time_have_that_of_the_line_before() {
    let input = "before\n{\"timestamp\":\"2026-11-20T15:59:36.5Z\",\"event\":\"a\"}\nprinted\nTraceback (most recent call last):\n  File\nKeyError: 1\n{\"time\":1795190377000,\"msg\":\"b\"}\n{\"no\":\"time\"}\nINFO:     127.0.0.1:5000 - \"GET /a HTTP/1.1\" 200 OK\n";
    insta::assert_snapshot!(shown(input), @r##"
    0 text {"message":"before"}
    7 json {"timestamp":"2026-11-20T15:59:36.5Z","event":"a"}
    58 text {"timestamp":"2026-11-20T15:59:36.500000Z","message":"printed"}
    66 text {"timestamp":"2026-11-20T15:59:36.500000Z","level":"error","message":"KeyError: 1","exception":"Traceback (most recent call last):\n  File\nKeyError: 1"}
    120 json {"time":1795190377000,"msg":"b"}
    153 json {"no":"time"}
    167 access {"timestamp":"2026-11-20T15:59:37.000000Z","level":"info","event":"request","source":"access","method":"GET","path":"/a","protocol":"HTTP/1.1","status":200,"ip":"127.0.0.1","port":5000}
    "##);
}

#[test]
fn lookalikes_are_text() {
    for line in [
        "1.2.3.4 - - [20/Nov/2026:15:59:36 +0000] \"GET / HTTP/1.1\" OK",
        "[done] everything",
        "(1) first",
        "<b>bold</b>",
        "Start-Date: 2026-11-20  17:20:05",
        "*** Operational MODE: single process ***",
        "{not json}",
        "[1, 2, 3]",
        "99 bottles",
        "2026-13-45 99:99:99 ERROR no such day",
        "INFO",
        "INFO:",
    ] {
        let records = read(line);
        assert_eq!((records.len(), records[0].format), (1, Format::Text), "{line}");
    }
}

#[test]
fn nginx_message_that_looks_like_fields() {
    check(
        r#"2026/11/20 15:59:36 [crit] 1#1: open() "/w/a, client: 6.6.6.6, server: y" failed (2: No such file), client: 1.2.3.4, server: x, request: "GET /w/a" HTTP/1.1", upstream: "http://b/""#,
        Format::NginxError,
        r#"{"timestamp":"2026-11-20T15:59:36.000000Z","level":"critical","source":"nginx","pid":1,"thread":1,
            "message":"open() \"/w/a, client: 6.6.6.6, server: y\" failed (2: No such file)",
            "ip":"1.2.3.4","server":"x","method":"GET","path":"/w/a\"","protocol":"HTTP/1.1","upstream":"http://b/"}"#,
    );
}

#[test]
fn syslog_year_is_the_latest_possible() {
    let time = |line: &str| text(&event(&read(line)[0]), "timestamp").to_owned();
    assert_eq!(time("Nov 21 15:59:59 h a: m"), "2026-11-21T15:59:59.000000Z");
    assert_eq!(time("Nov 21 16:00:01 h a: m"), "2025-11-21T16:00:01.000000Z");
    assert_eq!(time("Jan  2 00:00:00 h a: m"), "2026-01-02T00:00:00.000000Z");
    assert_eq!(time("Feb 29 00:00:00 h a: m"), "2024-02-29T00:00:00.000000Z");
}

#[test]
fn an_entry_of_the_journal_has_the_same_id_in_both_forms() {
    let cursor = "s=0639;i=4ece7;b=6c7c;m=4fc7;t=4fca;x=b3b6";
    let export = format!("__CURSOR={cursor}\n__REALTIME_TIMESTAMP=1795190376557202\nMESSAGE=hi\n\n");
    let json =
        format!("{{\"__CURSOR\":\"{cursor}\",\"__REALTIME_TIMESTAMP\":\"1795190376557202\",\"MESSAGE\":\"hi\"}}\n");
    let other = export.replace("i=4ece7", "i=4ece8");
    let id = |input: &str| text(&event(&read(input)[0]), "id").to_owned();
    assert_eq!(id(&export), id(&json));
    assert_ne!(id(&export), id(&other));
    assert_eq!(id(&export).len(), 36);
}

#[test]
fn syslog_variants() {
    check(
        "<11>from Python\0",
        Format::Syslog,
        r#"{"level":"error","message":"from Python","syslog":{"facility":1,"severity":3}}"#,
    );
    check(
        "Nov 20 15:59:36 host last message repeated 3 times",
        Format::Syslog,
        r#"{"timestamp":"2026-11-20T15:59:36.000000Z","host":"host","message":"last message repeated 3 times"}"#,
    );
    check(
        "<34>1 - - - - - -",
        Format::Syslog,
        r#"{"level":"critical","message":"","syslog":{"facility":4,"severity":2}}"#,
    );
}

#[test]
fn python_layouts() {
    let python = |line: &str, logger: &str, message: &str| {
        let record = &read(line)[0];
        let event = event(record);
        assert_eq!((text(&event, "logger"), text(&event, "message")), (logger, message), "{}", record.json);
        assert_eq!((text(&event, "level"), record.format), ("error", Format::Python), "{line}");
        assert_eq!(text(&event, "timestamp"), "2026-11-20T15:59:36.123000Z", "{line}");
    };
    python("2026-11-20 15:59:36,123 [ERROR] shop.cart: no money", "shop.cart", "no money");
    python("2026-11-20 15:59:36,123 [error] no money", "", "no money");
    python("2026-11-20T15:59:36.123Z ERROR No money", "", "No money");
    python("2026-11-20 15:59:36.123+00:00 ERROR: example.com is away", "", "example.com is away");
    python("2026-11-20 16:59:36,123 +0100 - ERROR - no money", "", "no money");
    python("2026-11-20 15:59:36.123 UTC [ERROR] no money", "", "no money");
    python("[2026-11-20 15:59:36,123] ERROR no money", "", "no money");
    python("2026-11-20 15:59:36.123 | ERROR    | shop.cart:pay:12 - no money", "shop.cart:pay:12", "no money");
    python("ERROR 2026-11-20 15:59:36,123 views 12 34 no", "", "views 12 34 no");
}

#[test]
fn times_without_a_zone_are_in_the_zone_of_the_settings() {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
    let now = "2026-11-20T16:00:00Z".parse().unwrap();
    let mut lines = crate::lines::Lines::new(crate::lines::Settings { zone, now, line_bytes_max: 1000 });
    let mut json = String::new();
    lines.push(b"2026-11-20 01:00:00 ERROR x\n2026-11-20 01:00:00Z ERROR y\n", &mut |record| {
        json.push_str(&record.json);
    });
    lines.finish(&mut |record| json.push_str(&record.json));
    assert!(json.contains("2026-11-19T23:00:00.000000Z") && json.contains("2026-11-20T01:00:00.000000Z"), "{json}");
}

#[test]
fn api_logger_heading_and_block() {
    let input = "LOGIN: New Login\n{\n    \"username\": \"u\"\n}\nLOGIN:  plain\nERROR:   Heading\n text § [2024-04-09 20:39:05]\n [ ./a.log ] created on 2026\n";
    insta::assert_snapshot!(shown(input), @r##"
    0 api-logger {"level":"info","message":"New Login\n{\n    \"username\": \"u\"\n}","stream":"LOGIN"}
    41 api-logger {"level":"info","message":"plain","stream":"LOGIN"}
    55 api-logger {"timestamp":"2024-04-09T20:39:05.000000Z","level":"error","message":"Heading\n text","stream":"ERROR"}
    103 text {"timestamp":"2024-04-09T20:39:05.000000Z","message":" [ ./a.log ] created on 2026"}
    "##);
}

#[test]
fn journal_json_keeps_the_other_fields() {
    check(
        r#"{"__REALTIME_TIMESTAMP":"1795190376557202","MESSAGE":"up","PRIORITY":"5","_HOSTNAME":"pi","SYSLOG_IDENTIFIER":"app","_PID":"12","_SYSTEMD_UNIT":"app.service","A":["x","y"],"B":null}"#,
        Format::Journal,
        r#"{"timestamp":"2026-11-20T15:59:36.557202Z","level":"notice","message":"up","host":"pi","source":"app","pid":12,
            "journal":{"_SYSTEMD_UNIT":"app.service","A":["x","y"],"B":null}}"#,
    );
}
