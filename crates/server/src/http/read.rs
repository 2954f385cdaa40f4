//! The native read doors.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use engine::filter::Filter;
use engine::url::{Format, Question, Sort};
use engine::{Answer, AskError, Events, QueryError, Scope, search, url};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::openapi::{Grammar, shapes};
use super::problem::Problem;
use super::{Doors, auth, body};

/// An answer in lines of more rows is sent while it is read, without a link to the next page.
const STREAM_ROWS: usize = 10_000;

/// Bytes of a file that are sent at a time.
const PIECE_BYTES: usize = 256 << 10;

/// `GET /api/v1/logs/{log}/events?…`: the URL grammar.
#[utoipa::path(get, path = "/api/v1/logs/{log}/events", tag = "read", operation_id = "events", summary = "Ask for the events of a log",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log"), Grammar),
    responses((status = 200, description = "A page of events, or of groups; X-Total-Count, Link and X-Next-Cursor tell of the others",
        content((Vec<shapes::Event> = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"), (String = "text/html"),
            (String = "text/plain"), (Vec<u8> = "application/vnd.apache.parquet"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(crate) async fn events(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    if super::page::is_wanted(&parts) {
        return Ok(super::page::events(&doors, &log, &parts).await);
    }
    auth::require(&doors, &parts, Scope::Read, Some(&log))?;
    let query = parts.uri.query().unwrap_or("");
    let question = question(query)?;
    super::lines::check(&question)?;
    let by_line = question.format == Format::Ndjson || super::lines::layout(question.format).is_some();
    let (mut response, ignored, question) = if question.by.is_some() {
        let answer = group(&doors, &log, &question).await?;
        (super::answer::table(&answer, &question)?, answer.ignored, question)
    } else if question.format == Format::Parquet {
        // A file is of all there is, unless it was said how many.
        let limited = form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "_limit");
        let limit = if limited { question.limit } else { usize::MAX };
        let question = Question { limit, ..question };
        (file(&doors, log, question.clone()).await?, Vec::new(), question)
    } else if by_line && question.limit > STREAM_ROWS {
        streamed(&doors, log, question).await?
    } else {
        let (events, question) = ask(&doors, log, question).await?;
        let ignored = events.ignored.clone();
        let link = next_link(parts.uri.path(), query);
        (super::answer::events(events, &question, &link)?, ignored, question)
    };
    if question.meta {
        super::meta::add(response.headers_mut(), query, &question, &ignored);
    }
    Ok(response)
}

/// The groups of a question.
pub(super) async fn group(doors: &Doors, log: &str, question: &Question) -> Result<Answer, Problem> {
    let (engine, log, question) = (doors.engine.clone(), log.to_owned(), question.clone());
    doors.questions.compute(async move { engine.group(&log, &question).await }).await
}

/// A long answer in lines, sent while it is read. What goes wrong after the beginning breaks the answer off, which a
/// client sees as a body that does not end as it should.
async fn streamed(
    doors: &Doors,
    log: String,
    question: Question,
) -> Result<(Response, Vec<String>, Question), Problem> {
    let (sender, mut receiver) = mpsc::channel(2);
    let engine = doors.engine.clone();
    let asked = question.clone();
    doors.questions.stream(move || {
        let read = engine.each_part(&log, &asked, &mut |mut part| {
            super::lines::lay_out(&engine, asked.format, &mut part.documents);
            sender.blocking_send(Ok(part)).is_ok()
        });
        if let Err(error) = read {
            // When nobody reads any more, nobody has to be told.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let first = receiver.recv().await.ok_or_else(|| Problem::internal(&"the reader ended"))??;
    let format = question.format;
    let begin = super::lines::body(format, &first.documents);
    let ignored = first.ignored.clone();
    let (head, _) = super::answer::events(Events { next: None, ..first }, &question, "")?.into_parts();
    let rest = ReceiverStream::new(receiver)
        .map(move |part| part.map(|part| super::lines::body(format, &part.documents)).map_err(std::io::Error::other));
    let body = Body::from_stream(tokio_stream::once(Ok(begin)).chain(rest));
    Ok((Response::from_parts(head, body), ignored, question))
}

/// What goes to who reads a file: how many events it will have, then its bytes.
enum Piece {
    Begin(Option<u64>),
    Bytes(Bytes),
    Broken(AskError),
}

/// Hands on the bytes of a file in pieces that are worth sending.
struct Pieces {
    sender: mpsc::Sender<Piece>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES { self.flush().map(|()| bytes.len()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Piece::Bytes(std::mem::take(&mut self.piece).into());
        self.sender.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// The events as a Parquet file, sent while it is written. What goes wrong after the beginning breaks it off, and then
/// it has no end by which a reader knows it.
async fn file(doors: &Doors, log: String, question: Question) -> Result<Response, Problem> {
    let (sender, mut receiver) = mpsc::channel(4);
    let (engine, asked) = (doors.engine.clone(), question.clone());
    doors.questions.stream(move || {
        let begin = |total| drop(sender.blocking_send(Piece::Begin(total)));
        let mut out = Pieces { sender: sender.clone(), piece: Vec::new() };
        let written = engine.parquet(&log, &asked, begin, &mut out);
        // When nobody reads any more, nobody has to be told.
        let _ = match written {
            Ok(()) => out.flush(),
            Err(error) => sender.blocking_send(Piece::Broken(error)).map_err(|_| io::ErrorKind::BrokenPipe.into()),
        };
    });
    let total = match receiver.recv().await {
        Some(Piece::Begin(total)) => total,
        Some(Piece::Broken(error)) => return Err(error.into()),
        Some(Piece::Bytes(_)) | None => return Err(Problem::internal(&"the writer ended")),
    };
    let pieces = ReceiverStream::new(receiver).filter_map(|piece| match piece {
        Piece::Begin(_) => None,
        Piece::Bytes(bytes) => Some(Ok(bytes)),
        Piece::Broken(error) => Some(Err(io::Error::other(error))),
    });
    Ok(super::answer::file(&question, total, Body::from_stream(pieces)))
}

/// The question in a query string.
///
/// # Errors
/// 400 that names the parameter.
pub(crate) fn question(query: &str) -> Result<Question, Problem> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Ok(url::parse(&pairs, jiff::Timestamp::now()).map_err(QueryError::from)?)
}

/// The events of a question.
pub(super) async fn ask(doors: &Doors, log: String, question: Question) -> Result<(Events, Question), Problem> {
    let engine = doors.engine.clone();
    let asked = doors.questions.read(move || {
        let mut events = engine.events(&log, &question)?;
        super::lines::lay_out(&engine, question.format, &mut events.documents);
        Ok((events, question))
    });
    asked.await
}

pub(crate) fn next_link(path: &str, query: &str) -> String {
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("_cursor=") && !pair.starts_with("_offset="))
        .collect();
    let mut link = format!("{path}?{}", kept.join("&"));
    if !kept.is_empty() {
        link.push('&');
    }
    link
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    sql: Option<String>,
    search: Option<String>,
    log: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    /// `timestamp` or `-timestamp`, or any other key.
    sort: Option<String>,
    /// Whether to look through the archive too.
    #[serde(default)]
    archive: bool,
}

/// `POST /api/v1/query`: SQL, or a search.
#[utoipa::path(post, path = "/api/v1/query", tag = "read", operation_id = "query", summary = "Ask by SQL, or by the search language",
    request_body(content = Asked, example = json!({ "search": "level:error timeout", "log": "default", "limit": 10 })),
    responses((status = 200, description = "Rows, or events", body = shapes::Answer)))]
pub(crate) async fn query(State(doors): State<Doors>, request: Request) -> Result<Response, Problem> {
    let (parts, sent) = request.into_parts();
    let grant = auth::grant(&doors, &parts)?;
    let held = body::read(&doors, &parts.headers, sent).await?;
    let asked: Asked = serde_json::from_slice(&held.bytes).map_err(|error| {
        Problem::bad_request(format!("expected {{\"sql\": …}} or {{\"search\": …, \"log\": …, \"limit\": …}}: {error}"))
    })?;
    drop(held);
    match (&asked.sql, &asked.search) {
        (Some(sql), None) => {
            let logs: Vec<String> = doors.engine.log_names().into_iter().filter(|log| grant.may_read(log)).collect();
            sql_answer(&doors, sql.clone(), logs, asked.archive).await
        }
        (None, _) => {
            let log = asked.log.clone().unwrap_or_else(|| engine::DEFAULT_LOG.to_owned());
            auth::require(&doors, &parts, Scope::Read, Some(&log))?;
            search_answer(&doors, log, asked).await
        }
        (Some(_), Some(_)) => Err(Problem::bad_request("`sql` and `search` do not go together: send one of them")),
    }
}

async fn sql_answer(doors: &Doors, sql: String, logs: Vec<String>, archive: bool) -> Result<Response, Problem> {
    let engine = doors.engine.clone();
    let answer = doors.questions.compute(async move { engine.sql(&sql, &logs, archive).await }).await?;
    let columns: Vec<_> = answer.columns.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    let mut out = format!("{{\"columns\":{},\"rows\":[", serde_json::Value::from(columns)).into_bytes();
    answer.write_rows(b",\n", &mut out);
    out.extend_from_slice(b"]}\n");
    Ok(([(header::CONTENT_TYPE, "application/json")], out).into_response())
}

async fn search_answer(doors: &Doors, log: String, asked: Asked) -> Result<Response, Problem> {
    let filter = filter(asked.search.as_deref().unwrap_or(""))?;
    let sort = asked
        .sort
        .iter()
        .map(|name| Sort { column: name.trim_start_matches('-').to_owned(), descending: name.starts_with('-') })
        .collect();
    let limit = asked.limit.unwrap_or(url::LIMIT_DEFAULT).min(url::LIMIT_MAX);
    let question =
        Question { filter, sort, limit, cursor: asked.cursor, archive: asked.archive, ..Question::default() };
    let (events, _) = ask(doors, log, question).await?;
    let mut out = b"{\"events\":[".to_vec();
    for (index, document) in events.documents.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b",\n");
        }
        out.extend_from_slice(document);
    }
    let rest = json!({ "total": events.total, "next": events.next, "unreadable": events.unreadable }).to_string();
    out.extend_from_slice(b"],");
    out.extend_from_slice(rest.trim_start_matches('{').as_bytes());
    Ok(([(header::CONTENT_TYPE, "application/json")], out).into_response())
}

/// The filter of a search text.
///
/// # Errors
/// 400 that points at the place.
pub(crate) fn filter(text: &str) -> Result<Filter, Problem> {
    Ok(search::parse(text, jiff::Timestamp::now())
        .map_err(|error| QueryError::Search { pointed: error.pointed(text) })?)
}
