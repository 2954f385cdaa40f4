//! The one door out: events by the URL grammar or the search language, tables by SQL, and what comes after a
//! sequence number.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use event::Timestamp;
use query::filter::Filter;
use query::url::{Columns, LIMIT_MAX, Question};
use query::{Answer, Bounds, Cursor, Known, Order, Page, ParquetWriter, QueryError, Request};
use store::segment::Segment;
use store::{Belongs, Documents, Snapshot};
use thiserror::Error;

use crate::logs::LogError;
use crate::{Engine, select};

/// Rows read at a time.
const PART_ROWS: usize = 1000;

/// Rows read at a time for a file.
const FILE_ROWS: usize = 8192;

/// Bytes of documents after which a page ends early.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// There is no such log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The question cannot be answered as it is.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A timeline is more than one log, in the order of time.
    #[error(
        "the events of a user are of several logs and come in the order of time: they cannot be {what}; ask one log at /api/v1/logs/{{log}}/events?user=… for that"
    )]
    Timeline {
        /// What was asked.
        what: &'static str,
    },
}

/// Events of one page.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Each as the text of a JSON object, in order.
    pub documents: Vec<Vec<u8>>,
    /// How many events pass in all, if that was asked.
    pub total: Option<u64>,
    /// What to give as `_cursor` for the next page; `None` when this is the last.
    pub next: Option<String>,
    /// Events that could not be looked at because their bytes on the disk are damaged.
    pub unreadable: u64,
    /// Columns that the question names and no event has (only when it is not strict).
    pub ignored: Vec<String>,
}

/// Events after a sequence number, in the order in which they were accepted.
#[derive(Clone, Debug, Default)]
pub struct Tailed {
    /// Each with its sequence number.
    pub documents: Vec<(u64, Vec<u8>)>,
    /// Everything up to this sequence number was looked at.
    pub seen: u64,
}

/// An event, for who follows a log.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) sequence: u64,
    pub(crate) id: String,
    /// When it happened.
    pub(crate) timestamp: Timestamp,
    pub(crate) belongs: Belongs,
    pub(crate) document: Vec<u8>,
}

/// Events in the order in which they were accepted, for who follows a log.
#[derive(Debug)]
pub(crate) struct AcceptedEvents {
    pub(crate) events: Vec<Accepted>,
    /// Everything up to this sequence number was looked at.
    pub(crate) seen: u64,
    /// Whether there is more after it.
    pub(crate) more: bool,
}

impl Engine {
    /// Answers a question of the URL grammar that does not group. A page that grows too large ends early, with a cursor.
    ///
    /// # Errors
    /// When the log is not known, a column is not known, or the question takes too long.
    pub fn events(&self, log: &str, question: &Question) -> Result<Events, AskError> {
        let mut whole = Events::default();
        let mut bytes = 0;
        self.each_part(log, question, &mut |part| {
            bytes += part.documents.iter().map(Vec::len).sum::<usize>();
            whole.documents.extend(part.documents);
            whole.ignored.extend(part.ignored);
            whole.unreadable = whole.unreadable.max(part.unreadable);
            whole.total = whole.total.or(part.total);
            whole.next = part.next;
            bytes < PAGE_BYTES_MAX
        })?;
        Ok(whole)
    }

    /// Answers a question part by part, so that a long answer takes little memory. All parts are of one snapshot; the
    /// first has the total. Ends when `emit` returns false.
    ///
    /// # Errors
    /// As [`Engine::events`]; some parts may have been handed over by then.
    pub fn each_part(
        &self,
        log: &str,
        question: &Question,
        emit: &mut dyn FnMut(Events) -> bool,
    ) -> Result<(), AskError> {
        let asked = self.asked(log, question.archive)?;
        let snapshot = &asked.snapshot;
        let (question, mut ignored) = check_columns(snapshot, question)?;
        let mut request = Request {
            filter: question.filter.clone(),
            order: Order::of(&question.sort),
            offset: question.offset,
            limit: question.limit,
            cursor: question.cursor.as_deref().map(str::parse::<Cursor>).transpose()?,
            after_sequence: 0,
            total: question.total,
        };
        let in_parts = !matches!(request.order, Order::Keys(_));
        let mut wanted = request.limit;
        loop {
            request.limit = if in_parts { wanted.min(PART_ROWS) } else { wanted };
            let page = query::scan(snapshot, &request, &self.bounds())?;
            asked.check()?;
            let documents: Vec<Vec<u8>> =
                documents(&page).into_iter().map(|(_, document)| shaped(document, &question.columns)).collect();
            wanted -= documents.len();
            let next = page.next.map(|next| next.to_string());
            let ignored = std::mem::take(&mut ignored);
            let part = Events { documents, total: page.total, next, unreadable: page.unreadable, ignored };
            if !emit(part) || wanted == 0 {
                return Ok(());
            }
            let Some(next) = page.next else { return Ok(()) };
            request.cursor = Some(next);
            request.offset = 0;
            request.total = false;
        }
    }

    /// Writes the events that answer a question as a Parquet file, part by part. `begin` is told how many they are, if
    /// that was asked, before the first byte.
    ///
    /// # Errors
    /// As [`Engine::events`], and when `out` refuses; a part of the file may have been written by then.
    pub fn parquet(
        &self,
        log: &str,
        question: &Question,
        begin: impl FnOnce(Option<u64>),
        out: impl Write + Send,
    ) -> Result<(), AskError> {
        let asked = self.asked(log, question.archive)?;
        let (question, _) = check_columns(&asked.snapshot, question)?;
        let order = Order::of(&question.sort);
        let mut wanted = match order {
            // Only what is in the order of time or of acceptance is found part by part.
            Order::Keys(_) => question.limit.min(LIMIT_MAX),
            _ => question.limit,
        };
        let mut request = Request {
            filter: question.filter.clone(),
            order,
            offset: question.offset,
            limit: 0,
            cursor: question.cursor.as_deref().map(str::parse::<Cursor>).transpose()?,
            after_sequence: 0,
            total: question.total,
        };
        let rows = if matches!(request.order, Order::Keys(_)) { LIMIT_MAX } else { FILE_ROWS };
        let part = |wanted: usize, request: &mut Request| -> Result<Page, AskError> {
            request.limit = wanted.min(rows);
            let page = query::scan(&asked.snapshot, request, &self.bounds())?;
            asked.check()?;
            (request.cursor, request.offset, request.total) = (page.next, 0, false);
            Ok(page)
        };
        let mut page = part(wanted, &mut request)?;
        begin(page.total);
        let mut writer = ParquetWriter::new(&Known::of(&asked.snapshot), &question.columns, out)?;
        loop {
            writer.write(&page)?;
            wanted -= page.rows.len();
            if wanted == 0 || page.next.is_none() {
                return Ok(writer.finish()?);
            }
            page = part(wanted, &mut request)?;
        }
    }

    /// Answers a question of the URL grammar that groups.
    ///
    /// # Errors
    /// As [`Engine::events`].
    pub async fn group(&self, log: &str, question: &Question) -> Result<Answer, AskError> {
        let asked = self.asked(log, question.archive)?;
        let snapshot = asked.snapshot.clone();
        let filter_only = Question { sort: Vec::new(), columns: Columns::All, ..question.clone() };
        let (checked, mut ignored) = check_columns(&snapshot, &filter_only)?;
        let question = Question { filter: checked.filter, ..question.clone() };
        let mut answer = query::group(&self.sql, snapshot, &question, self.bounds()).await?;
        ignored.retain(|name| !answer.ignored.contains(name));
        answer.ignored.extend(ignored);
        asked.check()?;
        Ok(answer)
    }

    /// Answers an SQL question; each of `logs` is a table, with what is in the archive if that is asked.
    ///
    /// # Errors
    /// When the text cannot be planned or needs more than allowed.
    pub async fn sql(&self, text: &str, logs: &[String], archive: bool) -> Result<Answer, AskError> {
        // The text names the tables; those that it does not name are not opened.
        let asked = |name: &String| Ok((name.clone(), self.asked(name, archive && text.contains(name.as_str()))?));
        let asked = logs.iter().map(asked).collect::<Result<Vec<_>, LogError>>()?;
        let tables = asked.iter().map(|(name, asked)| (name.clone(), asked.snapshot.clone())).collect();
        let answer = self.sql.ask(text, tables, self.bounds()).await?;
        asked.iter().try_for_each(|(_, asked)| asked.check())?;
        Ok(answer)
    }

    /// The log as a question sees it.
    pub(crate) fn asked(&self, log: &str, archive: bool) -> Result<Asked, LogError> {
        let log = self.log(log)?;
        if !archive {
            return Ok(Asked { snapshot: self.store.snapshot(log), away: 0 });
        }
        self.store.close_archived();
        let snapshot = self.store.snapshot_with_archive(log);
        let away = snapshot.segments.iter().map(|segment| segment.away().0).sum();
        self.store.open_archived(&snapshot);
        Ok(Asked { snapshot, away })
    }

    /// The events that pass a filter and came after a sequence number; at most `limit`.
    ///
    /// # Errors
    /// When the log is not known or the question takes too long.
    pub fn tail(&self, log: &str, filter: &Filter, after: u64, limit: usize) -> Result<Tailed, AskError> {
        let snapshot = self.store.snapshot(self.log(log)?);
        let request = in_sequence(filter.clone(), after, limit);
        let page = query::scan(&snapshot, &request, &self.bounds())?;
        let documents = documents(&page);
        Ok(Tailed { documents, seen: seen(&page, &snapshot) })
    }

    /// The events of a log after a sequence number, wherever they are by now: at most `limit` are looked at, and those
    /// that pass the filter are there, no more of them than make about `bytes_max` bytes of documents.
    ///
    /// The filter takes no part in the search, so that a page never takes long, however rare what passes is.
    ///
    /// # Errors
    /// As [`Engine::tail`], and when a part of the archive cannot be reached: nobody should take the rest for all.
    pub(crate) fn accepted(
        &self,
        log: &str,
        filter: &Filter,
        after: u64,
        (limit, bytes_max): (usize, usize),
    ) -> Result<AcceptedEvents, AskError> {
        let with_archive = self.store.snapshot_with_archive(self.log(log)?);
        let away = |segment: &Arc<Segment>| segment.record().is_some() && segment.info().last_sequence > after;
        let asked = self.asked(log, with_archive.segments.iter().any(away))?;
        let request = in_sequence(Filter::All, after, limit);
        let page = query::scan(&asked.snapshot, &request, &self.bounds())?;
        asked.check()?;
        let mut writers: Vec<Documents<'_>> = page.batches.iter().map(Documents::new).collect();
        let mut found =
            AcceptedEvents { events: Vec::new(), seen: seen(&page, &asked.snapshot), more: page.next.is_some() };
        let passing: Vec<_> = page.batches.iter().map(|batch| query::matches(filter, batch)).collect();
        let mut bytes = 0;
        for (at, (batch, row, sequence)) in page.rows.iter().enumerate() {
            if !passing[*batch].value(*row) {
                continue;
            }
            let writer = &mut writers[*batch];
            let mut document = Vec::with_capacity(512);
            writer.write(*row, &mut document);
            bytes += document.len();
            let (id, timestamp) = (writer.id(*row).unwrap_or_default(), writer.moment(*row));
            let belongs = writer.belongs(*row);
            found.events.push(Accepted { sequence: *sequence, id, timestamp, belongs, document });
            if bytes > bytes_max && at + 1 < page.rows.len() {
                (found.seen, found.more) = (*sequence, true);
                break;
            }
        }
        Ok(found)
    }

    /// The last events that pass a filter, oldest first, and the sequence number up to which they are the last.
    ///
    /// # Errors
    /// As [`Engine::tail`].
    pub fn latest(&self, log: &str, filter: &Filter, limit: usize) -> Result<Tailed, AskError> {
        let snapshot = self.store.snapshot(self.log(log)?);
        let order = Order::Time { descending: true };
        let request =
            Request { filter: filter.clone(), order, offset: 0, limit, cursor: None, after_sequence: 0, total: false };
        let page = query::scan(&snapshot, &request, &self.bounds())?;
        let mut documents = documents(&page);
        documents.reverse();
        Ok(Tailed { documents, seen: snapshot.last_sequence })
    }

    /// The streams of a log as far as its segments go: known without reading them.
    ///
    /// # Errors
    /// When the log is not known.
    pub fn streams_in_segments(&self, log: &str) -> Result<BTreeSet<String>, LogError> {
        let snapshot = self.store.snapshot(self.log(log)?);
        let spans = snapshot.segments.iter().flat_map(|segment| &segment.info().streams);
        Ok(spans.map(|span| span.stream.clone()).collect())
    }

    /// The sequence number of the last event stored.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.store.last_sequence()
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds::new(self.settings.query_time_max)
    }
}

/// What a question looks at.
pub(crate) struct Asked {
    pub(crate) snapshot: Snapshot,
    /// How often its archive could not be reached before.
    away: u64,
}

impl Asked {
    /// Refuses the answer when a part of the archive could not be reached: nobody should take it for the whole.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        let away: Vec<(u64, String)> = self.snapshot.segments.iter().map(|segment| segment.away()).collect();
        if away.iter().map(|(count, _)| count).sum::<u64>() == self.away {
            return Ok(());
        }
        let place = self.snapshot.segments.iter().find_map(|segment| Some(segment.record()?.place.clone()));
        let reason = away.into_iter().map(|(_, reason)| reason).find(|reason| !reason.is_empty());
        let (place, reason) = (place.unwrap_or_default(), reason.unwrap_or_default());
        Err(store::StoreError::Archive { place, reason }.into())
    }
}

/// What came after a sequence number, in the order of acceptance.
fn in_sequence(filter: Filter, after_sequence: u64, limit: usize) -> Request {
    Request { filter, order: Order::Sequence, offset: 0, limit, cursor: None, after_sequence, total: false }
}

/// Up to where a page in the order of acceptance looked. When it is full there may be more right after its last event,
/// which is not on it if its bytes are damaged.
fn seen(page: &Page, snapshot: &Snapshot) -> u64 {
    page.next.and_then(|next| next.moment()).map_or(snapshot.last_sequence, |(_, sequence)| sequence)
}

/// Refuses a question that names a column no event has; with `strict` off, the question without it.
pub(crate) fn check_columns(snapshot: &Snapshot, question: &Question) -> Result<(Question, Vec<String>), QueryError> {
    let mut names: BTreeSet<&str> = question.filter.fields();
    names.extend(question.sort.iter().map(|sort| sort.column.as_str()));
    if let Columns::Only(columns) | Columns::Except(columns) = &question.columns {
        names.extend(columns.iter().map(String::as_str));
    }
    if names.is_empty() || (snapshot.rows.is_empty() && snapshot.segments.is_empty()) {
        return Ok((question.clone(), Vec::new()));
    }
    let known = Known::of(snapshot);
    let unknown: Vec<String> =
        query::unknown_columns(&known, snapshot, names.into_iter().filter(|name| *name != "_sequence"))
            .into_iter()
            .map(str::to_owned)
            .collect();
    match unknown.first() {
        Some(first) if question.strict => Err(known.unknown(first)),
        None => Ok((question.clone(), unknown)),
        Some(_) => Ok((without_columns(question, &unknown), unknown)),
    }
}

/// The question without what it asks of these columns.
pub(crate) fn without_columns(question: &Question, unknown: &[String]) -> Question {
    let mut lenient = question.clone();
    lenient.filter = without(&lenient.filter, unknown);
    lenient.sort.retain(|sort| !unknown.contains(&sort.column));
    if let Columns::Only(columns) | Columns::Except(columns) = &mut lenient.columns {
        columns.retain(|column| !unknown.contains(column));
    }
    lenient
}

fn without(filter: &Filter, unknown: &[String]) -> Filter {
    match filter {
        Filter::And(parts) => Filter::and(parts.iter().map(|part| without(part, unknown))),
        Filter::Or(parts) => {
            let kept: Vec<Filter> =
                parts.iter().map(|part| without(part, unknown)).filter(|part| *part != Filter::All).collect();
            if kept.is_empty() { Filter::All } else { Filter::or(kept) }
        }
        Filter::Not(part) => match without(part, unknown) {
            Filter::All => Filter::All,
            other => Filter::not(other),
        },
        Filter::Field { field, .. } if unknown.contains(field) => Filter::All,
        other => other.clone(),
    }
}

pub(crate) fn documents(page: &Page) -> Vec<(u64, Vec<u8>)> {
    let mut writers: Vec<Documents<'_>> = page.batches.iter().map(Documents::new).collect();
    page.rows
        .iter()
        .map(|(batch, row, sequence)| {
            let mut document = Vec::with_capacity(512);
            writers[*batch].write(*row, &mut document);
            (*sequence, document)
        })
        .collect()
}

pub(crate) fn shaped(document: Vec<u8>, columns: &Columns) -> Vec<u8> {
    match columns {
        Columns::All => document,
        Columns::Only(names) => {
            serde_json::from_slice(&document).map_or(document, |parsed| select::only(&parsed, names))
        }
        Columns::Except(names) => match serde_json::from_slice(&document) {
            Ok(mut parsed) => {
                select::except(&mut parsed, names);
                parsed.to_string().into_bytes()
            }
            Err(_) => document,
        },
    }
}
