//! A log looked at: questions with their values, pages, workbooks, the values of columns.

use std::io::Cursor;

use calamine::{Data, Range, Reader as _, Xlsx};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::markup::{Page, attribute};
use crate::server::{Server, ask};

const SHOP: &str = "/api/v1/logs/shop/events";

/// Five records.
async fn five() -> Server {
    let server = Server::start().await;
    let records: Vec<Value> = [
        (json!("u1"), 200, 10, "/a"),
        (json!("u2"), 404, 20, "/wp-login.php"),
        (json!("u1"), 500, 30, "/a"),
        (json!("u3"), 200, 40, "/b"),
        (Value::Null, 404, 50, "/a"),
    ]
    .into_iter()
    .enumerate()
    .map(|(at, (user, status, duration, path))| {
        let datetime = format!("2026-01-01T00:00:0{}Z", at + 1);
        json!({"id": (at + 1).to_string(), "datetime": datetime, "user.id": user, "status": status, "duration": duration, "path": path})
    })
    .collect();
    server.post(SHOP, Value::from(records).to_string()).await.accepted(5, 0);
    server
}

async fn get(server: &Server, query: &str) -> Answer {
    server.get(&format!("{SHOP}?{}", query.replace('|', "%7C"))).await
}

/// The ids of what is found, in order of time.
async fn ids(server: &Server, query: &str) -> String {
    let found = get(server, &format!("{query}&_sort=datetime")).await.expect(200);
    found.as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

async fn page(server: &Server, query: &str) -> Page {
    let answer = get(server, &format!("_format=html&{query}")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"), "{}", answer.text());
    Page::read(&answer.text())
}

/// The cells of the sheet `data`, as another program reads them.
fn sheet(answer: &Answer) -> Range<Data> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(answer.body.clone())).unwrap();
    assert_eq!(book.sheet_names(), ["data"]);
    assert!(book.worksheet_formula("data").unwrap().is_empty(), "no cell is a formula");
    book.worksheet_range("data").unwrap()
}

async fn check_questions(server: &Server, place: &str) {
    for (query, found) in [
        ("status>=500", "3"),
        ("status>=404", "2 3 5"),
        ("status>~=404", "2 3 5"),
        ("duration>10&duration<50", "2 3 4"),
        ("path~=wp", "2"),
        ("path~=WP", ""),
        ("path*=WP", "2"),
        ("user.id!", "5"),
        ("user.id", "1 2 3 4"),
        ("status!=404&status!=500", "1 4"),
        ("colour=red&_strict=n", "1 2 3 4 5"),
    ] {
        assert_eq!(ids(server, query).await, found, "{place}: {query}");
    }
    for (query, rows) in [
        ("_sort=-datetime&_limit=2&_c=path&_c=status", json!([{"path":"/a","status":404},{"path":"/b","status":200}])),
        (
            "_by=status&_c=duration|avg&_c=duration|count&_sort=status",
            json!([{"status":200,"duration|avg":25.0,"duration|count":2},{"status":404,"duration|avg":35.0,"duration|count":2},{"status":500,"duration|avg":30.0,"duration|count":1}]),
        ),
        (
            "_by=status&_c=duration|avg&_c=duration|count&_sort=status&duration|count>1",
            json!([{"status":200,"duration|avg":25.0,"duration|count":2},{"status":404,"duration|avg":35.0,"duration|count":2}]),
        ),
    ] {
        assert_eq!(get(server, query).await.expect(200), rows, "{place}: {query}");
    }
    let unknown = get(server, "colour=red").await.problem(400, "unknown_column");
    assert!(unknown["detail"].as_str().unwrap().contains("colour"), "{unknown}");
    let lenient = get(server, "colour=red&_strict=n&_meta=y").await;
    assert_eq!(
        (lenient.header("x-everlog-ignored"), lenient.header("fh-data-ignored")),
        ("colour", r#"[["colour",["red"]]]"#)
    );
    get(server, "_limit=x").await.problem(400, "parameter");
    let csv = get(server, "_format=csv&_c=datetime&_c=user.id&_c=status&_c=duration&_c=path").await;
    assert!(csv.body.starts_with(&[0xef, 0xbb, 0xbf]));
    assert_eq!(csv.text().lines().count(), 6, "{place}");
    let html = page(server, "_sort=-datetime&_c=datetime&_c=status").await;
    assert_eq!(html.rows()[0], ["2026-01-01T00:00:05Z", "404"], "{place}");
    let sheet = sheet(&get(server, "_format=xlsx&_sort=datetime&_c=user.id&_c=status&_c=path").await);
    let cells =
        |row: u32| (0..3).map(|column| sheet.get_value((row, column)).cloned().unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(cells(0), ["user.id", "status", "path"].map(|name| Data::String(name.into())));
    assert_eq!(cells(2), [Data::String("u2".into()), Data::Float(404.0), Data::String("/wp-login.php".into())]);
    assert_eq!((cells(5)[0].clone(), sheet.height()), (Data::Empty, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_and_their_answers() {
    let mut server = five().await;
    check_questions(&server, "in the buffer").await;
    server.flush().await;
    check_questions(&server, "in a segment").await;
    server.kill9();
    server.restart().await;
    check_questions(&server, "after a restart").await;
    let hostile =
        json!({"id": "6", "datetime": "2026-01-01T00:00:06Z", "message": "<script>alert(1)</script>", "path": "=1+1"});
    server.post(SHOP, hostile.to_string()).await.accepted(1, 0);
    let html = get(&server, "_format=html&_sort=-datetime").await.text();
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !html.contains("<script"));
    let book = sheet(&get(&server, "_format=xlsx&_c=path&message").await);
    assert_eq!(book.get_value((1, 0)), Some(&Data::String("=1+1".into())));
}

/// Whatever somebody logs, or writes into an address, is text on the page.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_stay_texts() {
    const HOSTILE: [&str; 7] = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "javascript:alert(1)",
        "</td></table></style><style>*{display:none}",
        "&lt;b&gt;&amp;",
        "\u{0}\u{202e}\r\n]]>-->",
    ];
    let server = Server::start().await;
    let mut event: serde_json::Map<String, Value> =
        HOSTILE.iter().map(|text| ((*text).to_owned(), json!(text))).collect();
    for key in ["id", "message", "level", "stream", "user", "path", "timestamp", "status"] {
        event.insert(key.to_owned(), json!(format!("{key} {}", HOSTILE.join(" "))));
    }
    server.post(SHOP, Value::from(event).to_string()).await.accepted(1, 0);
    for query in ["", "_by=user", "_by=level&_by=path", "_limit=5000"] {
        assert_eq!(page(&server, query).await.rows().len(), 1, "{query}");
    }
    let list = page(&server, "_c=message").await;
    let shown = &list.rows()[0][0];
    assert!(HOSTILE[..6].iter().all(|text| shown.contains(text)), "{shown}");
    let links = list.tags("a");
    let event = links.iter().filter_map(|link| attribute(link, "href")).rfind(|href| href.contains("id="));
    let event = event.expect("the row leads to its event");
    let one = server.get(&format!("{SHOP}{event}")).await.text();
    assert!(Page::read(&one).text().contains("One event"), "{one}");
    for text in HOSTILE {
        let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for query in [
            format!("{text}={text}&_strict=n"),
            format!("_q={text}"),
            format!("_sort={text}&_from={text}"),
            format!("_by={text}&_c={text}"),
            text.clone(),
            format!("_limit={text}&path~={text}&level>={text}"),
        ] {
            let answer = get(&server, &format!("_format=html&{query}")).await;
            assert!(matches!(answer.status, 200 | 400), "{query}");
            Page::read(&answer.text());
        }
        let nowhere = server.get(&format!("/api/v1/logs/{text}/events?_format=html")).await;
        assert!(matches!(nowhere.status, 400 | 404), "{}", nowhere.status);
        Page::read(&nowhere.text());
    }
}

/// Long keys and values are cut, and a page ends before it becomes a burden.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_bounded() {
    let server = Server::start().await;
    let long = "&".repeat(1200);
    let events: Vec<Value> = (0..100)
        .map(|number| {
            let mut event: serde_json::Map<String, Value> =
                (0..30).map(|key| (format!("k{key}"), json!(format!("{number}{long}")))).collect();
            event.insert(format!("long{long}"), json!(1));
            Value::from(event)
        })
        .collect();
    for part in events.chunks(30) {
        server.post(SHOP, json!(part).to_string()).await.accepted(part.len(), 0);
    }
    let columns: Vec<String> = (0..30).map(|key| format!("_c=k{key}")).collect();
    let answer = get(&server, &format!("_format=html&_limit=1000&{}", columns.join("&"))).await;
    assert!(answer.body.len() < 9 << 20, "{} bytes", answer.body.len());
    assert!(Page::read(&answer.text()).text().contains("are left out"));
    assert!(get(&server, "_format=html").await.body.len() < 8 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_be_sorted_narrowed_and_turned() {
    let server = five().await;
    let answer = get(&server, "_format=html&_limit=2").await;
    let policy = answer.header("content-security-policy");
    for rule in
        ["default-src 'none'", "style-src 'sha256-", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert_eq!(
        (answer.header("cache-control"), answer.header("x-content-type-options"), answer.header("referrer-policy")),
        ("no-store", "nosniff", "no-referrer")
    );
    let first = Page::read(&answer.text());
    assert!(first.text().contains("1–2 of 5"), "{}", first.text());
    let follow = async |link: String| Page::read(&server.get(&format!("{SHOP}{link}")).await.text());
    let second = follow(first.link("Next page")).await;
    let third = follow(second.link("Next page")).await;
    assert_eq!((second.rows().len(), third.rows().len()), (2, 1));
    assert_eq!(follow(third.link("First page")).await.rows(), first.rows());
    let ascending = follow(first.link("duration")).await;
    let heads: Vec<Option<&str>> = ascending.tags("th").into_iter().map(|head| attribute(head, "aria-sort")).collect();
    assert_eq!(heads.iter().flatten().collect::<Vec<_>>(), [&"descending"], "numbers: the largest first");
    assert!(ascending.link("duration").contains("_sort=duration"), "the same heading turns the order around");
    // What a browser sends when the form is submitted, with all the inputs that were left empty.
    let narrowed = page(&server, "status>=404&user.id&_q=&_c=path&_c=status&_c=duration").await;
    assert_eq!((narrowed.input("status>").as_str(), narrowed.rows().len()), ("404", 2));
    let kept = narrowed.input("_keep");
    assert!(kept.contains("user.id") && !kept.contains("404"), "{kept}");
    let submitted: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("_form", "y"),
            ("_keep", kept.as_str()),
            ("_q", ""),
            ("path~", "wp"),
            ("status>", "404"),
            ("status<", ""),
            ("_from", ""),
            ("_limit", ""),
        ])
        .finish();
    let once = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let moved =
        once.get(format!("{}{SHOP}?{submitted}", server.url())).header("accept", "text/html").send().await.unwrap();
    assert_eq!(moved.status(), 303);
    let place = moved.headers()["location"].to_str().unwrap();
    let settled = Page::read(&server.get(place).await.text());
    assert_eq!(settled.rows(), [["/wp-login.php", "404", "20"]], "{place}");
    let all = follow(settled.link("Choose for me")).await;
    assert!(all.rows()[0].len() > 3, "the columns that nobody chose: {:?}", all.rows());
    let groups = page(&server, "_by=status&_c=count&_sort=status").await;
    assert_eq!(groups.rows()[0], ["200", "2"]);
    assert_eq!(follow(groups.link("404")).await.rows().len(), 2, "a group leads to its events");
    let whole = page(&server, "_by=&_c=duration|sum").await;
    assert_eq!(whole.rows(), [["150"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_question_is_a_page_too() {
    let server = five().await;
    for (query, status, said) in [
        ("statsu=5&_q=wp", 400, "did you mean \"status\""),
        ("_limit=x&_q=wp", 400, "_limit"),
        ("_q=wp+level:(", 400, "^"),
        ("_cursor=x&_q=wp", 400, "_cursor"),
    ] {
        let answer = get(&server, &format!("_format=html&{query}")).await;
        let page = Page::read(&answer.text());
        assert_eq!((answer.status, answer.header("content-type")), (status, "text/html; charset=utf-8"), "{query}");
        assert!(page.text().contains(said) && page.input("_q").starts_with("wp"), "{query}: {}", page.text());
    }
    let nowhere = server.get("/api/v1/logs/nope/events?_format=html").await;
    assert!(nowhere.status == 404 && Page::read(&nowhere.text()).text().contains("nope"));
    let saved = get(&server, "_format=html&_download=list&_meta=y&status=404").await;
    assert_eq!(saved.header("content-disposition"), "attachment; filename=\"list.html\"; filename*=UTF-8''list.html");
    assert_eq!((saved.header("fh-data-filters"), saved.header("fh-data-count")), (r#"[["status","",[404]]]"#, "2"));
    let empty = page(&server, "status>=600").await;
    assert!(empty.text().contains("Nothing fits"));
    // A log in which there is nothing yet says how that changes, in a line that works as it stands.
    let address = "/api/v1/logs/default/events";
    let bare = Page::read(&server.get(&format!("{address}?_format=html&_q=")).await.text()).text();
    let command = format!("curl '{}{address}' -d '{{\"event\":\"hello\"", server.url());
    assert!(bare.contains("This log is empty") && bare.contains(&command), "{bare}");
    let narrowed = Page::read(&server.get(&format!("{address}?_format=html&_q=nothing")).await.text());
    assert!(narrowed.text().contains("Nothing fits") && !narrowed.text().contains("curl"));
    let many = page(&server, "_limit=100000").await;
    assert!(many.text().contains("at most 1000 rows"), "{}", many.text());
    // A browser asks for a page without saying it in the address; a program does not.
    let browser =
        ask(server.request(reqwest::Method::GET, SHOP).header("accept", "text/html,application/xhtml+xml,*/*;q=0.8"))
            .await;
    assert_eq!(Page::read(&browser.text()).rows().len(), 5);
    let program = ask(server.request(reqwest::Method::GET, SHOP).header("accept", "*/*")).await;
    assert_eq!(program.expect(200).as_array().unwrap().len(), 5);
    let home = Page::read(&server.get("/?_format=html").await.text());
    assert!(home.rows().iter().any(|row| row[..2] == ["shop", "5"]), "{:?}", home.rows());
    let log = Page::read(&server.get(&home.link("shop")).await.text());
    assert_eq!(log.rows().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_asked_for_the_token() {
    let server = Server::start_with(&[("EVERLOG_REQUIRE_TOKEN", "y")]).await;
    for path in ["/api/v1/logs/default/events?_format=html", "/?_format=html"] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, "Basic realm=\"everlog\", charset=\"UTF-8\"")
        );
        assert!(Page::read(&answer.text()).text().contains("the token is the password"));
        let with = ask(server.request(reqwest::Method::GET, path).basic_auth("me", Some(server.admin_token()))).await;
        assert_eq!(with.status, 200, "{}", with.text());
    }
    let forged = server.request(reqwest::Method::POST, "/api/v1/logs/default/events").body("{}");
    let forged = forged.basic_auth("me", Some(server.admin_token())).header("sec-fetch-site", "cross-site");
    ask(forged).await.problem(403, "cross_site");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_has_typed_cells() {
    let server = Server::start().await;
    let events = [
        json!({"timestamp": "2026-01-01T12:00:00.5Z", "n": 7, "exact": 9_007_199_254_740_992_i64, "big": 9_007_199_254_740_993_i64, "f": -0.25, "yes": true, "text": "=cmd|' /C calc'!A0", "web": "https://example.com", "list": [1, 2], "none": null}),
        json!({"timestamp": "2026-01-02T00:00:00Z", "n": "seven", "long": "x".repeat(40_000), "control": "a\u{1}b<&>\"_x0041_"}),
    ];
    server.post(SHOP, json!(events).to_string()).await.accepted(2, 0);
    let columns = ["timestamp", "n", "exact", "big", "f", "yes", "text", "web", "list", "none", "long", "control"];
    let query: Vec<String> = columns.iter().map(|name| format!("_c={name}")).collect();
    let answer = get(&server, &format!("_format=xlsx&_sort=timestamp&{}", query.join("&"))).await;
    assert_eq!(answer.header("content-type"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"data.xlsx\"; filename*=UTF-8''data.xlsx");
    let book = sheet(&answer);
    let cell = |row: u32, name: &str| {
        let column = columns.iter().position(|one| *one == name).unwrap();
        book.get_value((row, u32::try_from(column).unwrap())).cloned().unwrap_or_default()
    };
    let text = |text: &str| Data::String(text.to_owned());
    let Data::DateTime(moment) = cell(1, "timestamp") else { panic!("{:?}", cell(1, "timestamp")) };
    assert!((moment.as_f64() - (46_023.5 + 0.5 / 86_400.0)).abs() < 1e-9, "{moment:?}");
    assert_eq!((cell(1, "n"), cell(2, "n")), (Data::Float(7.0), text("seven")));
    assert_eq!((cell(1, "exact"), cell(1, "big")), (Data::Float(9_007_199_254_740_992.0), text("9007199254740993")));
    assert_eq!((cell(1, "f"), cell(1, "yes"), cell(1, "none")), (Data::Float(-0.25), Data::Bool(true), Data::Empty));
    assert_eq!((cell(1, "text"), cell(1, "web")), (text("=cmd|' /C calc'!A0"), text("https://example.com")));
    assert_eq!(cell(1, "list"), text("[1,2]"));
    let Data::String(long) = cell(2, "long") else { panic!("no text") };
    assert!(long.len() <= 32_767 + 2 && long.ends_with("csv has all of it]"), "{}", long.len());
    let named = get(&server, "_format=xlsx&_download=Caf%C3%A9.xlsx&_by=n&_c=timestamp|max").await;
    assert_eq!(
        named.header("content-disposition"),
        "attachment; filename=\"Caf_.xlsx\"; filename*=UTF-8''Caf%C3%A9.xlsx"
    );
    let groups = sheet(&named);
    assert!(matches!(groups.get_value((1, 1)), Some(Data::DateTime(_))), "{groups:?}");
    assert_eq!(sheet(&get(&server, "_format=xlsx&n=8").await).height(), 0);
    let out = server.folder().join("shop.xlsx");
    server.cli_ok(&["export", "--log", "shop", "--format", "xlsx", "--out", out.to_str().unwrap()]);
    let mut exported: Xlsx<_> = Xlsx::new(Cursor::new(std::fs::read(out).unwrap())).unwrap();
    assert_eq!(exported.worksheet_range("data").unwrap().height(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_for_the_selects_of_a_form() {
    let server = five().await;
    let values =
        async |query: &str| server.get(&format!("/api/v1/logs/shop/values?{}", query.replace('|', "%7C"))).await;
    for place in ["buffer", "segment"] {
        let found = values("_c=status&_c=user.id&_c=duration|range&_c=timestamp|range&status=404").await.expect(200);
        assert_eq!(
            found,
            json!({
                "status": {"values": [{"value": 200, "count": 2}, {"value": 404, "count": 2}, {"value": 500, "count": 1}], "distinct": 3, "more": false},
                "user.id": {"values": [{"value": "u2", "count": 1}], "distinct": 1, "more": false},
                "duration|range": {"min": 20, "max": 50},
                "timestamp|range": {"min": "2026-01-01T00:00:02.000000Z", "max": "2026-01-01T00:00:05.000000Z"},
            }),
            "{place}"
        );
        let cut = values("_c=user.id&_limit=1").await.expect(200);
        assert_eq!(cut, json!({"user.id": {"values": [{"value": "u1", "count": 2}], "distinct": 3, "more": true}}));
        let problem = values("_c=statsu").await.problem(400, "unknown_column");
        assert!(problem["detail"].as_str().unwrap().contains("status"), "{problem}");
        let lenient = values("_c=statsu&_c=path&_strict=n").await;
        assert_eq!(lenient.header("x-everlog-ignored"), "statsu");
        assert_eq!(lenient.expect(200).as_object().unwrap().keys().collect::<Vec<_>>(), ["path"]);
        server.flush().await;
    }
    for wrong in ["", "_c=status&_limit=0", "_c=status&_limit=x"] {
        values(wrong).await.problem(400, "bad_request");
    }
    server.get("/api/v1/logs/nope/values?_c=a").await.problem(404, "unknown_log");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_counted_paged_and_lenient() {
    let server = five().await;
    let page = get(&server, "_by=status&_sort=-count&_sort=status&_limit=1&_offset=1&_meta=y").await;
    assert_eq!((page.header("x-total-count"), page.expect(200)), ("3", json!([{"status": 404, "count": 2}])));
    for (header, value) in [
        ("by", r#"["status"]"#),
        ("sort", r#"[["count",false], ["status",true]]"#),
        ("offset", "1"),
        ("limit", "1"),
        ("count", "3"),
        ("filters", "[]"),
        ("ignored", "[]"),
    ] {
        assert_eq!(page.header(&format!("fh-data-{header}")), value, "{header}");
    }
    assert_eq!(get(&server, "_by=status&_total=n").await.header("x-total-count"), "");
    let lenient =
        get(&server, "_by=status&_by=colour&_c=colour|max&_c=count&colour|max>=1&_sort=status&_strict=n&_meta=y").await;
    assert_eq!(lenient.expect(200)[0], json!({"status": 200, "count": 2}));
    assert_eq!(lenient.header("x-everlog-ignored"), "colour");
    get(&server, "_by=colour").await.problem(400, "unknown_column");
    get(&server, "_by=colour&_c=colour|max&_strict=n").await.problem(400, "unknown_column");
    for (format, begin) in [("ndjson", "{\"path\":\"/a\""), ("csv", "\u{feff}path,status,count\n/a,200,1")] {
        let text = get(&server, &format!("_by=path&_by=status&_format={format}")).await.text();
        assert!(text.starts_with(begin), "{text}");
    }
}
