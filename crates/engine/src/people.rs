//! One person's events in all logs, as one sequence in time.
//!
//! Sequence numbers are those of all logs, so (time, sequence number) is one order for all, and one cursor is a place in each.

use std::collections::BTreeMap;

use query::filter::{Filter, Test};
use query::url::Question;
use query::{Bounds, Cursor, Known, Order, QueryError, Request};
use store::LogId;

use crate::Engine;
use crate::ask::{AskError, Asked, Events, check_columns, documents, shaped};
use crate::logs::LogError;

/// The key by which each event of a timeline names its log. A key of our own: events may have a `log`.
const LOG_KEY: &str = "_log";

/// Events put in order at a time.
const PART_ROWS: usize = 1000;

/// Bytes of documents after which a page ends early.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// So many of the latest events of a log are looked at for users with a name near to one that nobody has.
const NEAR_ROWS: usize = 500;

/// In so many logs.
const NEAR_LOGS: usize = 20;

/// An event on its way into a timeline.
struct Placed {
    /// Its time and its sequence number.
    moment: (i64, u64),
    /// Which log it is of.
    place: usize,
    document: Vec<u8>,
}

/// One log as it was when the question came.
struct Place {
    log: String,
    asked: Asked,
}

impl Engine {
    /// The events of a user in these logs that pass a question: the newest first, or the oldest if it is sorted so. Each
    /// says in `_log` which log it is of. A page that grows too large ends early, with a cursor.
    ///
    /// # Errors
    /// When a log is not known, no event has a column that is asked for, it is to be sorted by anything else than time
    /// or grouped, or it takes too long.
    pub fn timeline(&self, user: &str, logs: &[String], question: &Question) -> Result<Events, AskError> {
        let order = Order::of(&question.sort);
        let Order::Time { descending } = order else {
            return Err(AskError::Timeline { what: "sorted by another key" });
        };
        if question.by.is_some() {
            return Err(AskError::Timeline { what: "grouped" });
        }
        if question.offset > 0 {
            return Err(AskError::Timeline { what: "begun at an _offset (follow the links to the next page)" });
        }
        let mut cursor = question.cursor.as_deref().map(str::parse::<Cursor>).transpose()?;
        if let (Some(text), Some(_)) = (&question.cursor, cursor.filter(|cursor| cursor.moment().is_none())) {
            return Err(QueryError::Cursor { cursor: text.clone() }.into());
        }
        let places = self.places(logs, question.archive)?;
        let (question, ignored) = checked(&places, question)?;
        let of_user = Filter::Field { field: "user".to_owned(), test: Test::Equal(vec![user.into()]) };
        let filter = Filter::and([of_user, question.filter.clone()]);
        let bounds = self.bounds();
        let mut whole = Events { ignored, total: question.total.then_some(0), ..Events::default() };
        let mut bytes = 0;
        let mut first = true;
        while first || (whole.documents.len() < question.limit && bytes < PAGE_BYTES_MAX && cursor.is_some()) {
            let request = Request {
                filter: filter.clone(),
                order: Order::Time { descending },
                offset: 0,
                limit: (question.limit - whole.documents.len()).min(PART_ROWS),
                cursor,
                after_sequence: 0,
                total: question.total && first,
            };
            let (part, next) = merged(&places, &request, &bounds, &mut whole)?;
            bytes += part.iter().map(|placed| placed.document.len()).sum::<usize>();
            whole.documents.extend(part.into_iter().map(|Placed { place, document, .. }| {
                with_log(&places[place].log, &shaped(document, &question.columns))
            }));
            cursor = next;
            whole.next = next.map(|next| next.to_string());
            first = false;
        }
        places.iter().try_for_each(|place| place.asked.check())?;
        Ok(whole)
    }

    /// The logs as they are now, all up to the same sequence number.
    fn places(&self, logs: &[String], archive: bool) -> Result<Vec<Place>, AskError> {
        // Two names of one log are one place, under the name of the log that keeps the events if that is among them.
        let mut kept_in: BTreeMap<LogId, &String> = BTreeMap::new();
        for log in logs {
            let id = self.log(log)?;
            if self.logs.read().id(log) == Some(id) || !kept_in.contains_key(&id) {
                kept_in.insert(id, log);
            }
        }
        let place = |log: &String| Ok(Place { log: log.clone(), asked: self.asked(log, archive)? });
        let mut places = kept_in.into_values().map(place).collect::<Result<Vec<Place>, LogError>>()?;
        let bound = places.iter().map(|place| place.asked.snapshot.last_sequence).min().unwrap_or(0);
        places.iter_mut().for_each(|place| place.asked.snapshot.last_sequence = bound);
        Ok(places)
    }

    /// A user whose name is near to one that has no events; looked for among the latest events only.
    ///
    /// # Errors
    /// As [`Engine::timeline`].
    pub fn near_user(&self, user: &str, logs: &[String]) -> Result<Option<String>, AskError> {
        let mut users = std::collections::BTreeSet::new();
        for place in self.places(&logs[..logs.len().min(NEAR_LOGS)], false)? {
            let request = Request {
                filter: Filter::All,
                order: Order::Time { descending: true },
                offset: 0,
                limit: NEAR_ROWS,
                cursor: None,
                after_sequence: 0,
                total: false,
            };
            let page = query::scan(&place.asked.snapshot, &request, &self.bounds())?;
            for (_, document) in documents(&page) {
                let parsed: Option<serde_json::Value> = serde_json::from_slice(&document).ok();
                let name = parsed.as_ref().and_then(|event| event.get("user")?.as_str());
                users.extend(name.map(str::to_owned));
            }
        }
        Ok(query::suggest::suggest(user, users.iter().map(String::as_str)).map(str::to_owned))
    }
}

/// Refuses a column that no event of any log has; with `strict` off, leaves it out. A column that only some logs have
/// is asked of all: in the others nothing passes.
fn checked(places: &[Place], question: &Question) -> Result<(Question, Vec<String>), QueryError> {
    let lenient = Question { strict: false, ..question.clone() };
    let mut unknown: Option<Vec<String>> = None;
    for place in places
        .iter()
        .filter(|place| !(place.asked.snapshot.rows.is_empty() && place.asked.snapshot.segments.is_empty()))
    {
        let (_, here) = check_columns(&place.asked.snapshot, &lenient)?;
        unknown = Some(match unknown {
            None => here,
            Some(there) => there.into_iter().filter(|name| here.contains(name)).collect(),
        });
    }
    let unknown = unknown.unwrap_or_default();
    match (unknown.first(), places.first()) {
        (Some(first), Some(place)) if question.strict => Err(Known::of(&place.asked.snapshot).unknown(first)),
        (Some(_), _) => Ok((crate::ask::without_columns(question, &unknown), unknown)),
        (None, _) => Ok((question.clone(), unknown)),
    }
}

/// The next events of all logs in order, and where to go on.
fn merged(
    places: &[Place],
    request: &Request,
    bounds: &Bounds,
    whole: &mut Events,
) -> Result<(Vec<Placed>, Option<Cursor>), QueryError> {
    let descending = request.order == Order::Time { descending: true };
    let rank = |(micros, sequence): (i64, u64)| {
        let sign = if descending { -1 } else { 1 };
        (sign * i128::from(micros), sign * i128::from(sequence))
    };
    let mut best: Vec<Placed> = Vec::new();
    // How far all logs were looked at. A page may be shorter than asked, where a row cannot be read.
    let mut reached: Option<(i64, u64)> = None;
    let mut cut = false;
    let mut unreadable = 0;
    for (at, place) in places.iter().enumerate() {
        let page = query::scan(&place.asked.snapshot, request, bounds)?;
        unreadable += page.unreadable;
        whole.total = whole.total.map(|total| total + page.total.unwrap_or(0));
        if let Some(end) = page.next.and_then(|next| next.moment()) {
            reached = Some(reached.map_or(end, |known| if rank(end) < rank(known) { end } else { known }));
        }
        let moments: Vec<(i64, u64)> = page.moments().collect();
        for (moment, (_, document)) in moments.into_iter().zip(documents(&page)) {
            best.push(Placed { moment, place: at, document });
        }
        best.sort_unstable_by_key(|placed| rank(placed.moment));
        cut |= best.len() > request.limit;
        best.truncate(request.limit);
    }
    if let Some(reached) = reached {
        best.retain(|placed| rank(placed.moment) <= rank(reached));
    }
    whole.unreadable = whole.unreadable.max(unreadable);
    let own = places.first().map_or(0, |place| place.asked.snapshot.last_sequence);
    let bound = request.cursor.map_or(own, |cursor| cursor.bound);
    let end = if best.len() == request.limit { best.last().map(|last| last.moment) } else { reached };
    let next =
        end.filter(|_| cut || reached.is_some()).map(|(micros, sequence)| Cursor::behind(bound, micros, sequence));
    Ok((best, next))
}

fn with_log(log: &str, document: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len() + log.len() + LOG_KEY.len() + 8);
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(LOG_KEY.as_bytes());
    out.extend_from_slice(b"\":");
    event::Value::Str(log).write_json(&mut out);
    match document.get(1..) {
        Some(rest) if rest != b"}" => {
            out.push(b',');
            out.extend_from_slice(rest);
        }
        _ => out.push(b'}'),
    }
    out
}
