//! The live tail: server-sent events, each with its sequence number as id.
//!
//! A tail asks the store for what came after the last number it sent, each time it is told that something came. So
//! what was there before and what comes live is one sequence: nothing is missed or doubled between the two, nor after
//! a connection broke and came back with `Last-Event-ID`, however slow the reader is.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use engine::filter::Filter;
use engine::{Scope, Tailed};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::openapi::{Grammar, shapes};
use super::problem::Problem;
use super::{Doors, auth, read};

/// Tails at a time.
pub(crate) const TAILS_MAX: usize = 256;

/// Events asked for at a time.
const STEP: usize = 500;

/// How many events of the past a tail may begin with.
const LAST_MAX: usize = 10_000;

/// After a step, the next one waits this long, so that a busy server answers a tail ten times a second or so.
const BREATH: Duration = Duration::from_millis(50);

/// `GET /api/v1/logs/{log}/tail?…&_last=N`: the URL grammar's filters, live.
#[utoipa::path(get, path = "/api/v1/logs/{log}/tail", tag = "read", operation_id = "tail", summary = "Watch events come in",
    params(("log" = inline(shapes::LogName), Path, description = "Name of a log"), Grammar,
        ("_last" = Option<u64>, Query, description = "Begin with so many of the past", maximum = 10000),
        ("Last-Event-ID" = Option<u64>, Header, description = "Go on after this sequence number")),
    responses((status = 200, description = "Server-sent events: `id` is the sequence number, `data` the event",
        body = String, content_type = "text/event-stream")))]
pub(crate) async fn tail(
    State(doors): State<Doors>,
    Path(log): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, Some(&log))?;
    let (query, last) = split_last(parts.uri.query().unwrap_or(""))?;
    let filter = read::question(&query)?.filter;
    doors.engine.log(&log)?;
    let Ok(place) = doors.tails.clone().try_acquire_owned() else {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_tails",
            format!("{TAILS_MAX} tails are open already: close one"),
        ));
    };
    let resumed = parts.headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let (sender, receiver) = mpsc::channel(64);
    let follow = Follow { doors, log, filter, sender };
    // Where the tail begins is settled before the answer begins: who has the answer misses nothing from then on.
    let begin = match resumed {
        Some(sequence) => Tailed { documents: Vec::new(), seen: sequence.min(follow.doors.engine.last_sequence()) },
        None => follow.ask(Wanted::Latest(last)).await?,
    };
    tokio::spawn(async move {
        let _place = place;
        follow.run(begin).await;
    });
    let stream = ReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response();
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

/// Takes `_last` out of a query string; the rest is the URL grammar.
fn split_last(query: &str) -> Result<(String, usize), Problem> {
    let mut last = 0;
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.strip_prefix("_last=") {
            Some(number) => {
                let read = number.parse::<usize>().ok().filter(|number| *number <= LAST_MAX);
                last = read.ok_or_else(|| {
                    Problem::bad_request(format!("_last is a number from 0 to {LAST_MAX}, found {number:?}"))
                })?;
            }
            None => kept.push(pair),
        }
    }
    Ok((kept.join("&"), last))
}

struct Follow {
    doors: Doors,
    log: String,
    filter: Filter,
    sender: mpsc::Sender<Event>,
}

enum Wanted {
    Latest(usize),
    After(u64),
}

impl Follow {
    async fn run(&self, begin: Tailed) {
        let mut stored = self.doors.stored.clone();
        let mut stopping = self.doors.stopping.clone();
        let mut seen = begin.seen;
        if !self.send(begin, seen).await {
            return;
        }
        let mut ending = false;
        loop {
            stored.mark_unchanged();
            let before = seen;
            let tailed = match self.ask(Wanted::After(seen)).await {
                Ok(tailed) => tailed,
                Err(problem) => {
                    let _ = self.sender.send(Event::default().event("problem").data(problem.detail)).await;
                    return;
                }
            };
            seen = tailed.seen.max(seen);
            if !self.send(tailed, 0).await {
                return;
            }
            if seen > before && self.doors.engine.last_sequence() > seen {
                continue;
            }
            if ending {
                return;
            }
            tokio::select! {
                changed = stored.changed() => if changed.is_err() { return },
                () = self.sender.closed() => return,
                // One more look: what was acknowledged before the stop is sent before the end.
                _ = stopping.wait_for(|stopping| *stopping) => {
                    ending = true;
                    continue;
                }
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    async fn ask(&self, wanted: Wanted) -> Result<Tailed, Problem> {
        let (engine, log, filter) = (self.doors.engine.clone(), self.log.clone(), self.filter.clone());
        let asked = self.doors.questions.read(move || match wanted {
            Wanted::Latest(last) => engine.latest(&log, &filter, last),
            Wanted::After(sequence) => engine.tail(&log, &filter, sequence, STEP),
        });
        asked.await
    }

    /// Sends the events. Those of the past do not come in the order of their numbers: only the last of them carries
    /// the `id`, so that a reader cut off among them does not take them all for read.
    async fn send(&self, tailed: Tailed, id: u64) -> bool {
        let count = tailed.documents.len();
        for (index, (sequence, document)) in tailed.documents.into_iter().enumerate() {
            let mut event = Event::default().data(String::from_utf8_lossy(&document));
            if id == 0 || index + 1 == count {
                event = event.id(if id == 0 { sequence } else { id }.to_string());
            }
            if self.sender.send(event).await.is_err() {
                return false;
            }
        }
        true
    }
}
