//! Pages for people: a log as a table, one event, the list of logs. They work without JavaScript and contain none.
//!
//! A page is asked for with `_format=html`, or by a browser that says it wants one. Its forms and links are questions of
//! the URL grammar, so whatever it shows can be linked to, and asked for in another format.

mod event;
mod form;
mod home;
mod html;
mod issues;
mod query;
mod table;

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Instant;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::url::{Columns, Format, Question};
use engine::{IssuesAsked, Scope};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::html::Html;
use self::query::Query;
use self::table::{COLUMNS_MAX, Row, Table};
use super::download::disposition;
use super::issues::PageAsked;
use super::problem::Problem;
use super::{Doors, answer, auth, meta, read};

/// Rows of a page.
const ROWS_MAX: usize = 1000;

/// The one style sheet, in each page.
const STYLE: &str = include_str!("page/style.css");

/// No script, no picture, nothing from elsewhere: only the style sheet, and forms that lead back here.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = base64(&Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Whether an answer is one of our pages, also when it says what is wrong.
pub(super) fn is_page(response: &Response) -> bool {
    response.headers().contains_key(header::CONTENT_SECURITY_POLICY)
}

/// Whether the sender wants a page: `_format` decides; without it, a browser does, and a program that takes anything does not.
pub(super) fn is_wanted(parts: &Parts) -> bool {
    match Query::parse(parts.uri.query().unwrap_or("")).get("_format") {
        Some(format) => format == "html",
        None => wants_page(&parts.headers),
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.contains("text/html") && !accept.contains("json")
}

/// The events or groups of a log as a page.
pub(super) async fn events(doors: &Doors, log: &str, parts: &Parts) -> Response {
    if let Err(problem) = auth::require(doors, parts, Scope::Read, Some(log)) {
        return refused(doors, parts, &problem);
    }
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    if let Some(settled) = query.settled() {
        return moved(&format!("{}{}", parts.uri.path(), settled.link()));
    }
    let started = Instant::now();
    let (status, mut found) = match found(doors, log, &query).await {
        Ok(found) => (StatusCode::OK, found),
        Err(problem) => {
            let mut table = Table::of_events(Vec::new(), &query, None);
            table.streams = streams(doors, log, &table);
            (problem.status, Found { table, problem: Some(problem), ..Found::default() })
        }
    };
    if found.total == Some(0) && found.remarks.is_empty() && query.asks_for_all() {
        found.first = Some(first_event(doors, log, parts));
    }
    let html = tokio::task::block_in_place(|| written(log, &query, &found, started));
    let mut response = response(status, html);
    response.headers_mut().extend(found.headers);
    response
}

fn written(log: &str, query: &Query, found: &Found, started: Instant) -> Html {
    let mut html = begin(log, true);
    if let [document] = &found.documents[..] {
        html.raw("<p>One event</p></header><main>");
        event::write(&mut html, &found.table.rows[0], document, query);
    } else {
        write_found(&mut html, log, query, found);
    }
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    html.raw("</main><footer>Times are UTC. Answered in ").count(milliseconds).raw(" ms.</footer>");
    html
}

/// The command that sends a log its first event, to the address under which this page was asked for.
fn first_event(doors: &Doors, log: &str, parts: &Parts) -> String {
    // It is to be typed into a shell.
    let is_plain = |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let address = match header("host").filter(is_plain) {
        Some(host) if header("x-forwarded-proto") == Some("https") => format!("https://{host}"),
        Some(host) => format!("http://{host}"),
        None => crate::serve::url_of(&doors.config.listen),
    };
    let token = if doors.config.require_token || !auth::is_of_this_machine(parts) {
        " -H \"Authorization: Bearer $EVERLOG_TOKEN\""
    } else {
        ""
    };
    format!("curl '{address}/api/v1/logs/{log}/events'{token} -d '{{\"event\":\"hello\",\"message\":\"It works.\"}}'")
}

/// What a question found, or why nothing.
#[derive(Default)]
struct Found {
    table: Table,
    total: Option<u64>,
    /// Where the next page begins.
    next: Option<Query>,
    /// How many rows were left out before this page, if that is known.
    offset: Option<usize>,
    remarks: Vec<String>,
    problem: Option<Problem>,
    /// The event that was asked for by its id.
    documents: Vec<Value>,
    /// What an answer in another format says beside it.
    headers: HeaderMap,
    /// How a log that is empty gets its first event.
    first: Option<String>,
}

async fn found(doors: &Doors, log: &str, query: &Query) -> Result<Found, Problem> {
    let mut question = read::question(&query.string())?;
    let mut found = Found::default();
    if question.limit > ROWS_MAX {
        found.remarks.push(format!(
            "A page has at most {ROWS_MAX} rows, so _limit={} was not kept to. Download has more.",
            question.limit
        ));
        question.limit = ROWS_MAX;
    }
    if question.by.is_some() {
        return grouped(doors, log, query, question, found).await;
    }
    let is_one =
        question.columns == Columns::All && query.pairs.iter().any(|(key, value)| key == "id" && !value.is_empty());
    if let Columns::Only(names) = &mut question.columns {
        if names.len() > COLUMNS_MAX {
            found
                .remarks
                .push(format!("A page has at most {COLUMNS_MAX} columns: the first of those chosen are shown."));
        }
        // What the rows link to.
        if !names.iter().any(|name| name == "id") {
            names.push("id".to_owned());
        }
    }
    let (events, mut question) = read::ask(doors, log.to_owned(), question).await?;
    let rows: Vec<Row> = tokio::task::block_in_place(|| {
        events.documents.iter().map(|document| answer::cells(document, &question.columns)).collect()
    });
    if let Columns::Only(names) = &mut question.columns
        && !query.pairs.iter().any(|(key, value)| key == "_c" && value == "id")
    {
        names.pop();
    }
    found.table = Table::of_events(rows, query, Some(&question));
    found.table.streams = streams(doors, log, &found.table);
    found.total = events.total;
    found.next = events.next.map(|cursor| query.without(&[]).with("_cursor", &cursor));
    found.offset = question.cursor.is_none().then_some(question.offset);
    if events.unreadable > 0 {
        found.remarks.push(format!(
            "{} events could not be looked at: their bytes on the disk are damaged (see `everlog doctor`).",
            events.unreadable
        ));
    }
    told(&mut found, query, &question, &events.ignored);
    if let ([document], true) = (&events.documents[..], is_one) {
        found.documents.extend(serde_json::from_slice::<Value>(document).ok());
    }
    Ok(found)
}

async fn grouped(doors: &Doors, log: &str, query: &Query, question: Question, found: Found) -> Result<Found, Problem> {
    let mut found = found;
    let answer = read::group(doors, log, &question).await?;
    let chosen = Columns::Only(Vec::new());
    let rows: Vec<Row> = answer::documents(&answer).iter().map(|row| answer::cells(row, &chosen)).collect();
    found.table = Table::of_groups(&answer, rows, &question);
    found.total = answer.total;
    found.offset = Some(question.offset);
    let shown = question.offset + answer.rows();
    if answer.total.is_some_and(|total| total > shown as u64) && answer.rows() > 0 {
        found.next = Some(query.without(&[]).with("_offset", &shown.to_string()));
    }
    told(&mut found, query, &question, &answer.ignored);
    Ok(found)
}

/// The remarks and the headers that events and groups have in common.
fn told(found: &mut Found, query: &Query, question: &Question, ignored: &[String]) {
    if !ignored.is_empty() {
        let names = ignored.join(", ");
        found.remarks.push(format!("No event has these columns, so they were left out of the question: {names}."));
    }
    if let Some(total) = found.total {
        found.headers.insert("x-total-count", HeaderValue::from(total));
    }
    if question.meta {
        meta::add(&mut found.headers, &query.string(), question, ignored);
    }
    if let Some(name) = &question.download {
        let disposition = disposition(Some(name), Format::Html).and_then(|value| HeaderValue::from_str(&value).ok());
        found.headers.extend(disposition.map(|value| (header::CONTENT_DISPOSITION, value)));
    }
}

/// The streams of a log, as far as they are known without reading events, and those on the page.
fn streams(doors: &Doors, log: &str, table: &Table) -> std::collections::BTreeSet<String> {
    let mut streams = doors.engine.streams_in_segments(log).unwrap_or_default();
    let shown = table.rows.iter().filter_map(|row| table::value(row, "stream"));
    streams.extend(shown.filter_map(|value| value.as_str()).map(str::to_owned));
    streams
}

fn write_found(html: &mut Html, log: &str, query: &Query, found: &Found) {
    let table = &found.table;
    let what = if table.by.is_some() { " groups" } else { " events" };
    if let Some(total) = found.total {
        html.raw("<p><b>")
            .count(total)
            .raw("</b>")
            .raw(if total == 1 { what.trim_end_matches('s') } else { what })
            .raw("</p>");
    }
    html.raw("</header><main>");
    form::search(html, query, table);
    form::chips(html, query);
    form::tools(html, log, query, table);
    if let Some(problem) = &found.problem {
        html.raw("<div class=\"problem\" role=\"alert\"><b>This question has no answer.</b><pre>")
            .text(&problem.detail)
            .raw("</pre></div>");
    }
    for remark in &found.remarks {
        html.raw("<p class=\"remark\">").text(remark).raw("</p>");
    }
    table.write(html, query);
    if found.problem.is_some() {
        return;
    }
    if let Some(first) = &found.first {
        html.raw("<p class=\"remark\">This log is empty. Send the first event:</p><pre>").text(first).raw("</pre>");
        return;
    }
    if table.rows.is_empty() {
        let is_beyond = found.total.is_some_and(|total| total > 0);
        html.raw("<p class=\"empty\">").raw(if is_beyond { "No rows here. " } else { "Nothing fits. " });
        let all = query.kept(|key, _| key == "_format");
        html.link(&all.link(), "Show all events").raw("</p>");
        return;
    }
    html.raw("<nav class=\"pager\" aria-label=\"Pages\">");
    let rows = table.rows.len() as u64;
    if let Some(offset) = found.offset {
        html.count(offset as u64 + 1).raw("–").count(offset as u64 + rows);
    } else {
        html.count(rows).raw(" on this page");
    }
    if let Some(total) = found.total {
        html.raw(" of ").count(total);
    }
    if query.has("_cursor") || found.offset.is_some_and(|offset| offset > 0) {
        html.raw(" ").link(&query.without(&[]).link(), "First page");
    }
    if let Some(next) = &found.next {
        html.raw(" <a rel=\"next\"").attr("href", &next.link()).raw(">Next page</a>");
    }
    html.raw("</nav>");
}

/// `/`: the logs that the sender may read.
pub(super) async fn home(doors: &Doors, parts: &Parts) -> Response {
    let grant = match auth::grant(doors, parts) {
        Ok(grant) => grant,
        Err(problem) => return refused(doors, parts, &problem),
    };
    let engine = doors.engine.clone();
    let mut logs = tokio::task::spawn_blocking(move || engine.logs()).await.unwrap_or_default();
    logs.retain(|log| grant.may_read(&log.name));
    let mut html = begin("Logs", false);
    html.raw("<p>Everlog ").raw(env!("CARGO_PKG_VERSION")).raw("</p></header><main>");
    home::write(&mut html, &logs);
    html.raw("</main>");
    response(StatusCode::OK, html)
}

/// Issues of the logs that the sender may read: the open ones, or those that were asked for.
pub(super) async fn issues(doors: &Doors, parts: &Parts) -> Response {
    let found = match issues_found(doors, parts).await {
        Ok(found) => found,
        Err(problem) => return refused(doors, parts, &problem),
    };
    let mut html = begin("Issues", true);
    html.raw("</header><main>");
    issues::list(&mut html, &found);
    html.raw("</main><footer>Times are UTC.</footer>");
    response(StatusCode::OK, html)
}

async fn issues_found(doors: &Doors, parts: &Parts) -> Result<issues::Listed, Problem> {
    let readable = auth::readable(doors, parts)?;
    let PageAsked { asked, log } = super::issues::page_asked(parts)?;
    let logs = match log {
        Some(log) => {
            auth::require(doors, parts, Scope::Read, Some(&log))?;
            vec![log]
        }
        None => readable,
    };
    let query = Query::parse(parts.uri.query().unwrap_or(""));
    super::issues::beside(doors, move |engine| {
        let (offset, limit) = asked.page;
        // Of several logs the issues before the page are read, too: it may begin with any of theirs.
        let is_one = logs.len() == 1;
        let page = if is_one { asked.page } else { (0, offset.saturating_add(limit)) };
        let each = IssuesAsked { page, ..asked };
        let (mut issues, mut total) = (Vec::new(), 0);
        for log in &logs {
            let (of_log, count) = engine.issues(log, &each)?;
            issues.extend(of_log);
            total += count;
        }
        issues.sort_by(|one, two| two["last_seen"].as_str().cmp(&one["last_seen"].as_str()));
        let skipped = if is_one { 0 } else { offset };
        let issues: Vec<Value> = issues.into_iter().skip(skipped).take(limit).collect();
        let next = offset + issues.len();
        let has_next = (next as u64) < total && !issues.is_empty();
        let may_go_on = is_one || next + limit <= engine::ISSUES_MAX;
        let next = has_next.then_some(next).filter(|_| may_go_on);
        Ok::<_, engine::IssueError>(issues::Listed { query, issues, total, offset, next })
    })
    .await
}

/// One issue, with what led to its latest occurrence.
pub(super) async fn issue(doors: &Doors, parts: &Parts, id: &str) -> Response {
    let (engine, asked) = (doors.engine.clone(), id.to_owned());
    let log = tokio::task::spawn_blocking(move || engine.issue_log(&asked).map_err(Problem::from)).await;
    let log = log.unwrap_or_else(|error| Err(Problem::internal(&error)));
    let log = match auth::grant(doors, parts).and(log) {
        Ok(log) => log,
        Err(problem) => return refused(doors, parts, &problem),
    };
    if let Err(problem) = auth::require(doors, parts, Scope::Read, Some(&log)) {
        return refused(doors, parts, &problem);
    }
    let (engine, asked) = (doors.engine.clone(), id.to_owned());
    let found = tokio::task::spawn_blocking(move || {
        let occurrence = engine.occurrences(&asked, (1, None), true)?.occurrences.into_iter().next();
        Ok::<_, engine::IssueError>((engine.issue(&asked)?, occurrence))
    });
    let found = found.await.map_err(|error| Problem::internal(&error)).and_then(|found| found.map_err(Problem::from));
    match found {
        Ok((found, occurrence)) => {
            let mut html = begin(found["title"].as_str().unwrap_or("Issue"), true);
            html.raw("<p>").link("/issues", "Issues").raw("</p></header><main>");
            issues::one(&mut html, &found, occurrence.as_ref());
            html.raw("</main><footer>Times are UTC.</footer>");
            response(StatusCode::OK, html)
        }
        Err(problem) => refused(doors, parts, &problem),
    }
}

/// Why there is no page for this sender, and a way in. A browser asks for name and password where a token would help.
fn refused(doors: &Doors, parts: &Parts, problem: &Problem) -> Response {
    if !matches!(problem.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return not_shown(problem);
    }
    let mut html = begin("Not for everybody", true);
    html.raw("</header><main><div class=\"problem\" role=\"alert\"><pre>").text(&problem.detail).raw("</pre></div>");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    html.raw("<p>")
        .link(path, "Try again")
        .raw(": in a browser, the token is the password, and the name may be anything.</p></main>");
    let mut response = response(problem.status, html);
    // A page of this machine that was reached from another site is only opened again: see the link.
    if problem.status == StatusCode::UNAUTHORIZED && (doors.config.require_token || !auth::is_of_this_machine(parts)) {
        let challenge = HeaderValue::from_static("Basic realm=\"everlog\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Why there is nothing to show, and where there is something.
fn not_shown(problem: &Problem) -> Response {
    let is_missing = problem.status == StatusCode::NOT_FOUND;
    let title = match problem.status {
        StatusCode::NOT_FOUND => "Not here",
        status if status.is_client_error() => "This question has no answer",
        _ => "That did not work",
    };
    let mut html = begin(title, true);
    html.raw("</header><main>");
    if problem.kind == "unknown_issue" {
        html.raw("<p class=\"remark\">There is no issue of this number, or it went with the last of its events.</p>");
    } else if is_missing {
        html.raw("<p class=\"remark\">").text(&problem.detail).raw("</p>");
    } else {
        html.raw("<div class=\"problem\" role=\"alert\"><pre>").text(&problem.detail).raw("</pre></div>");
    }
    html.raw("<p>").link("/issues", "All open issues").raw(" · ").link("/", "All logs").raw("</p></main>");
    response(problem.status, html)
}

fn begin(title: &str, leads_home: bool) -> Html {
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    html.raw("<meta name=\"robots\" content=\"noindex\"><title>")
        .text(title)
        .raw(" – Everlog</title><style>")
        .raw(STYLE);
    html.raw("</style></head><body><header>");
    html.raw(if leads_home { "<a href=\"/\">Everlog</a>" } else { "" }).raw("<h1>").text(title).raw("</h1>");
    html
}

fn response(status: StatusCode, html: Html) -> Response {
    let mut html = html;
    html.raw("</body></html>\n");
    let mut headers = no_store();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    (status, headers, html.into_bytes()).into_response()
}

pub(super) fn moved(place: &str) -> Response {
    let mut headers = no_store();
    // A query string that was written by us is ASCII.
    headers.extend(HeaderValue::from_str(place).ok().map(|place| (header::LOCATION, place)));
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn no_store() -> HeaderMap {
    let vary = (header::VARY, HeaderValue::from_static("accept, authorization"));
    HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("no-store")), vary])
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().chain([&0, &0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = DIGITS[bits >> (18 - 6 * place) & 63];
            let _ = out.write_char(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_the_style_sheet_is_base64() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert!(POLICY.to_str().unwrap().contains("style-src 'sha256-"));
    }

    #[test]
    fn browsers_get_pages_and_programs_do_not() {
        for (accept, wanted) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("*/*", false),
            ("application/json, text/html;q=0.5", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_page(&headers), wanted, "{accept}");
        }
    }
}
