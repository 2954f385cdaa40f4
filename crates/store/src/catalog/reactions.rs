//! What Everlog made of the events it looked at: issues, notices and their deliveries, and how far it looked.
//!
//! All that follows from one look is one transaction with the position reached, so that after a crash the look is
//! either done or not: nothing is counted twice, nothing is left out.

use std::collections::HashSet;

use event::Timestamp;
use rusqlite::{OptionalExtension as _, Row, ToSql, Transaction, params};

use super::{Catalog, signed, unsigned};
use crate::{LogId, StoreError};

/// What lists are searched for is kept beside the issues: a search reads no bodies. Those of an earlier version get it here.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS issues (
  id INTEGER PRIMARY KEY, log INTEGER NOT NULL, state TEXT NOT NULL, level INTEGER NOT NULL,
  last_seen INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS issues_of_log ON issues (log, last_seen);
CREATE INDEX IF NOT EXISTS issues_ignored_until ON issues (json_extract(body, '$.ignore.time')) WHERE state = 'ignored';
CREATE INDEX IF NOT EXISTS issues_merged_into ON issues (json_extract(body, '$.merged_into')) WHERE state = 'merged';
CREATE TABLE IF NOT EXISTS issue_titles (issue INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
INSERT INTO issue_titles SELECT id, coalesce(json_extract(body, '$.title'), '') || ' ' || coalesce(json_extract(body, '$.culprit'), '')
  FROM issues WHERE id NOT IN (SELECT issue FROM issue_titles);
CREATE TABLE IF NOT EXISTS issue_fingerprints (
  log INTEGER NOT NULL, fingerprint TEXT NOT NULL, issue INTEGER NOT NULL,
  PRIMARY KEY (log, fingerprint)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reacted (log INTEGER PRIMARY KEY, position INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS notices (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS deliveries (
  id INTEGER PRIMARY KEY, notice INTEGER NOT NULL, channel TEXT NOT NULL, state TEXT NOT NULL,
  due INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, due);
CREATE INDEX IF NOT EXISTS deliveries_of_notice ON deliveries (notice);
CREATE TABLE IF NOT EXISTS memories (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

/// An issue as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueRow {
    /// Its number.
    pub id: u64,
    /// The log whose events it stands for.
    pub log: LogId,
    /// `open`, `resolved`, `regressed`, `ignored`; `merged` when its events belong to another.
    pub state: String,
    /// The severity number of the highest level seen.
    pub level: u8,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// All of it, as JSON.
    pub body: String,
}

/// A notice as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRow {
    /// Its number.
    pub id: u64,
    /// When it was made.
    pub time: Timestamp,
    /// All of it, as JSON.
    pub body: String,
}

/// A notice on its way to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its number.
    pub id: u64,
    /// Of which notice; 0 when it is an event itself, which the body names.
    pub notice: u64,
    /// To which channel.
    pub channel: String,
    /// `waiting`, `sent`, `failed` or `held`.
    pub state: String,
    /// When it is tried next, if it waits; else when that ended.
    pub due: Timestamp,
    /// Attempts and what went wrong, as JSON.
    pub body: String,
}

/// What follows from a look at some events, or from what somebody asked for. All of it happens, or nothing.
#[derive(Debug, Default)]
pub struct Reaction {
    /// How far was looked, by log.
    pub positions: Vec<(LogId, u64)>,
    /// Issues that are new or changed.
    pub issues: Vec<IssueRow>,
    /// Which issue a fingerprint belongs to; 0 when it belongs to none any more.
    pub fingerprints: Vec<(LogId, String, u64)>,
    /// Issues that are gone.
    pub removed_issues: Vec<u64>,
    /// Notices.
    pub notices: Vec<NoticeRow>,
    /// Deliveries that are new or changed.
    pub deliveries: Vec<DeliveryRow>,
    /// What is remembered under a name; `None` to forget it.
    pub memories: Vec<(String, Option<String>)>,
}

impl Reaction {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
            && self.issues.is_empty()
            && self.fingerprints.is_empty()
            && self.removed_issues.is_empty()
            && self.notices.is_empty()
            && self.deliveries.is_empty()
            && self.memories.is_empty()
    }

    fn keep(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut prepared = transaction.prepare_cached("INSERT OR REPLACE INTO reacted VALUES (?1, ?2)")?;
        for (log, position) in &self.positions {
            prepared.execute(params![log.0, signed(*position)])?;
        }
        self.keep_issues(transaction)?;
        let mut prepared = transaction.prepare_cached("INSERT OR REPLACE INTO notices VALUES (?1, ?2, ?3)")?;
        for NoticeRow { id, time, body } in &self.notices {
            prepared.execute(params![signed(*id), time.as_micros(), body])?;
        }
        let mut prepared =
            transaction.prepare_cached("INSERT OR REPLACE INTO deliveries VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        for DeliveryRow { id, notice, channel, state, due, body } in &self.deliveries {
            prepared.execute(params![signed(*id), signed(*notice), channel, state, due.as_micros(), body])?;
        }
        for (name, body) in &self.memories {
            match body {
                Some(body) => {
                    transaction.execute("INSERT OR REPLACE INTO memories VALUES (?1, ?2)", params![name, body])?
                }
                None => transaction.execute("DELETE FROM memories WHERE name = ?1", [name])?,
            };
        }
        Ok(())
    }

    fn keep_issues(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut prepared =
            transaction.prepare_cached("INSERT OR REPLACE INTO issues VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        let mut titles = transaction.prepare_cached(
            "INSERT OR REPLACE INTO issue_titles VALUES
             (?1, coalesce(json_extract(?2, '$.title'), '') || ' ' || coalesce(json_extract(?2, '$.culprit'), ''))",
        )?;
        for IssueRow { id, log, state, level, last_seen, body } in &self.issues {
            prepared.execute(params![signed(*id), log.0, state, level, last_seen.as_micros(), body])?;
            titles.execute(params![signed(*id), body])?;
        }
        let mut prepared =
            transaction.prepare_cached("INSERT OR REPLACE INTO issue_fingerprints VALUES (?1, ?2, ?3)")?;
        for (log, fingerprint, issue) in &self.fingerprints {
            if *issue == 0 {
                let delete = "DELETE FROM issue_fingerprints WHERE log = ?1 AND fingerprint = ?2";
                transaction.execute(delete, params![log.0, fingerprint])?;
            } else {
                prepared.execute(params![log.0, fingerprint, signed(*issue)])?;
            }
        }
        for id in &self.removed_issues {
            transaction.execute("DELETE FROM issues WHERE id = ?1", [signed(*id)])?;
            transaction.execute("DELETE FROM issue_titles WHERE issue = ?1", [signed(*id)])?;
        }
        Ok(())
    }
}

/// What issues to read.
#[derive(Clone, Debug, Default)]
pub struct IssueQuery<'a> {
    /// Only those in one of these states; all but `merged` when it is empty.
    pub states: &'a [&'a str],
    /// Only those of this severity number or higher.
    pub level_min: u8,
    /// Only those last seen at this moment or later.
    pub since: Option<Timestamp>,
    /// Only those whose title or culprit holds this text.
    pub text: Option<&'a str>,
    /// How many to leave out, and how many there may be.
    pub page: (usize, usize),
}

impl Catalog {
    /// Keeps what follows from a look at some events.
    ///
    /// # Errors
    /// When SQLite refuses: nothing of it is kept then.
    pub fn react(&self, reaction: &Reaction) -> Result<(), StoreError> {
        self.transaction(|transaction| reaction.keep(transaction))
    }

    /// How far was looked, by log.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn reacted(&self) -> Result<Vec<(LogId, u64)>, StoreError> {
        self.rows("SELECT log, position FROM reacted", &[], |row| Ok((LogId(row.get(0)?), unsigned(row.get(1)?))))
    }

    /// An issue by its number.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn issue(&self, id: u64) -> Result<Option<IssueRow>, StoreError> {
        let connection = self.connection.lock();
        let select = "SELECT id, log, state, level, last_seen, body FROM issues WHERE id = ?1";
        Ok(connection.query_row(select, [signed(id)], read_issue).optional()?)
    }

    /// The number of the issue that a fingerprint belongs to.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn issue_of(&self, log: LogId, fingerprint: &str) -> Result<Option<u64>, StoreError> {
        let connection = self.connection.lock();
        let mut statement =
            connection.prepare_cached("SELECT issue FROM issue_fingerprints WHERE log = ?1 AND fingerprint = ?2")?;
        Ok(statement.query_row(params![log.0, fingerprint], |row| row.get(0).map(unsigned)).optional()?)
    }

    /// Issues of a log, those seen last first, and how many pass in all.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn issues(&self, log: LogId, query: &IssueQuery<'_>) -> Result<(Vec<IssueRow>, u64), StoreError> {
        let states = serde_json::to_string(query.states).unwrap_or_else(|_| "[]".to_owned());
        let since = query.since.map_or(i64::MIN, Timestamp::as_micros);
        let text =
            query.text.map(|text| format!("%{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")));
        let (offset, limit) = query.page;
        let (offset, limit) = (signed(offset as u64), signed(limit as u64));
        let condition = "FROM issues WHERE log = ?1
            AND CASE WHEN ?2 = '[]' THEN state <> 'merged' ELSE state IN (SELECT value FROM json_each(?2)) END
            AND level >= ?3 AND last_seen >= ?4 AND (?5 IS NULL OR
              EXISTS (SELECT 1 FROM issue_titles WHERE issue = id AND text LIKE ?5 ESCAPE '\\'))";
        let connection = self.connection.lock();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT id, log, state, level, last_seen, body {condition} ORDER BY last_seen DESC, id DESC LIMIT ?6 OFFSET ?7"
        ))?;
        let found = statement
            .query_map(params![log.0, states, query.level_min, since, text, limit, offset], read_issue)?
            .collect::<Result<_, _>>()?;
        let mut statement = connection.prepare_cached(&format!("SELECT count(*) {condition}"))?;
        let total = statement
            .query_row(params![log.0, states, query.level_min, since, text], |row| row.get(0).map(unsigned))?;
        Ok((found, total))
    }

    /// Some of the issues that were ignored until this moment or one before it.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn issues_ignored_until(&self, now: Timestamp, limit: usize) -> Result<Vec<(LogId, u64)>, StoreError> {
        let select = "SELECT log, id FROM issues
            WHERE state = 'ignored' AND json_extract(body, '$.ignore.time') <= ?1 LIMIT ?2";
        self.rows(select, &[&now.as_micros(), &signed(limit as u64)], |row| {
            Ok((LogId(row.get(0)?), unsigned(row.get(1)?)))
        })
    }

    /// Issues of a log that were last seen before a moment and that nobody ignores, after one of this time and number: those
    /// seen longest ago first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn issues_seen_before(
        &self,
        log: LogId,
        before: Timestamp,
        (time, number): (Timestamp, u64),
        limit: usize,
    ) -> Result<Vec<IssueRow>, StoreError> {
        let select = "SELECT id, log, state, level, last_seen, body FROM issues
            WHERE log = ?1 AND last_seen < ?2 AND (last_seen, id) > (?3, ?4) AND state NOT IN ('merged', 'ignored')
            ORDER BY last_seen, id LIMIT ?5";
        let (before, time, limit) = (before.as_micros(), time.as_micros(), signed(limit as u64));
        self.rows(select, &[&log.0, &before, &time, &signed(number), &limit], read_issue)
    }

    /// The numbers that lead to an issue, its own among them: those of issues that went into it, and into those.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn issues_leading_to(&self, id: u64) -> Result<Vec<u64>, StoreError> {
        let select = "WITH RECURSIVE leading (number) AS (SELECT ?1 UNION
              SELECT issues.id FROM leading JOIN issues
              ON issues.state = 'merged' AND json_extract(issues.body, '$.merged_into') = leading.number)
            SELECT number FROM leading";
        self.rows(select, &[&signed(id)], |row| row.get(0).map(unsigned))
    }

    /// The highest number of an issue, a notice and a delivery.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn reaction_numbers(&self) -> Result<[u64; 3], StoreError> {
        let connection = self.connection.lock();
        let mut numbers = [0; 3];
        for (number, table) in numbers.iter_mut().zip(["issues", "notices", "deliveries"]) {
            let select = format!("SELECT coalesce(max(id), 0) FROM {table}");
            *number = connection.query_row(&select, [], |row| row.get(0).map(unsigned))?;
        }
        Ok(numbers)
    }

    /// The latest notices before one of this number, newest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn notices(&self, before: u64, limit: usize) -> Result<Vec<NoticeRow>, StoreError> {
        let select = "SELECT id, time, body FROM notices WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
        self.rows(select, &[&signed(before), &signed(limit as u64)], |row| {
            Ok(NoticeRow { id: unsigned(row.get(0)?), time: Timestamp::from_micros(row.get(1)?), body: row.get(2)? })
        })
    }

    /// A notice by its number.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn notice(&self, id: u64) -> Result<Option<NoticeRow>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare_cached("SELECT id, time, body FROM notices WHERE id = ?1")?;
        let read = |row: &Row<'_>| {
            Ok(NoticeRow { id: unsigned(row.get(0)?), time: Timestamp::from_micros(row.get(1)?), body: row.get(2)? })
        };
        Ok(statement.query_row([signed(id)], read).optional()?)
    }

    /// A delivery by its number.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn delivery(&self, id: u64) -> Result<Option<DeliveryRow>, StoreError> {
        let connection = self.connection.lock();
        let select = "SELECT id, notice, channel, state, due, body FROM deliveries WHERE id = ?1";
        Ok(connection.prepare_cached(select)?.query_row([signed(id)], read_delivery).optional()?)
    }

    /// The deliveries of a notice.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn deliveries_of(&self, notice: u64) -> Result<Vec<DeliveryRow>, StoreError> {
        let select = "SELECT id, notice, channel, state, due, body FROM deliveries WHERE notice = ?1 ORDER BY id";
        self.rows(select, &[&signed(notice)], read_delivery)
    }

    /// Deliveries that wait and are due, in the order in which they were posted, and none for these channels. One that was
    /// posted after another of its channel that is to be tried again later waits behind it, unless the body of that one
    /// has a member `alone`: then its failure is its own.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn deliveries_due(
        &self,
        now: Timestamp,
        but: &HashSet<String>,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let but = serde_json::to_string(but).unwrap_or_else(|_| "[]".to_owned());
        let select = "SELECT id, notice, channel, state, due, body FROM deliveries AS one
            WHERE state = 'waiting' AND due <= ?1 AND channel NOT IN (SELECT value FROM json_each(?2))
            AND NOT EXISTS (SELECT 1 FROM deliveries AS earlier
              WHERE earlier.state = 'waiting' AND earlier.due > ?1 AND earlier.channel = one.channel
              AND earlier.id < one.id AND json_extract(earlier.body, '$.alone') IS NULL)
            ORDER BY id LIMIT ?3";
        self.rows(select, &[&now.as_micros(), &but, &signed(limit as u64)], read_delivery)
    }

    /// What is held for a channel until a digest, in the order in which it was posted.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn deliveries_held(&self, channel: &str) -> Result<Vec<DeliveryRow>, StoreError> {
        let select = "SELECT id, notice, channel, state, due, body FROM deliveries
            WHERE state = 'held' AND channel = ?1 ORDER BY id";
        self.rows(select, &[&channel], read_delivery)
    }

    /// The first delivery for a channel that was tried and is to be tried again, and that all later ones wait behind.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn delivery_in_front(&self, channel: &str) -> Result<Option<DeliveryRow>, StoreError> {
        let select = "SELECT id, notice, channel, state, due, body FROM deliveries
            WHERE state = 'waiting' AND channel = ?1 AND json_extract(body, '$.attempts') > 0
            AND json_extract(body, '$.alone') IS NULL ORDER BY id LIMIT 1";
        Ok(self.rows(select, &[&channel], read_delivery)?.pop())
    }

    /// What was tried last for a channel: one that is tried again, or the last that ended.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn delivery_tried_last(&self, channel: &str) -> Result<Option<DeliveryRow>, StoreError> {
        let select = "SELECT id, notice, channel, state, due, body FROM deliveries
            WHERE channel = ?1 AND (state IN ('sent', 'failed')
              OR (state = 'waiting' AND json_extract(body, '$.attempts') > 0))
            ORDER BY state = 'waiting' DESC, due DESC, id DESC LIMIT 1";
        Ok(self.rows(select, &[&channel], read_delivery)?.pop())
    }

    /// When the next delivery is due, and how many wait.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn deliveries_waiting(&self) -> Result<(Option<Timestamp>, u64), StoreError> {
        let connection = self.connection.lock();
        let select = "SELECT min(due), count(*) FROM deliveries WHERE state = 'waiting'";
        Ok(connection.query_row(select, [], |row| {
            let due: Option<i64> = row.get(0)?;
            Ok((due.map(Timestamp::from_micros), unsigned(row.get(1)?)))
        })?)
    }

    /// How many deliveries wait for a channel.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn deliveries_waiting_for(&self, channel: &str) -> Result<u64, StoreError> {
        let connection = self.connection.lock();
        let select = "SELECT count(*) FROM deliveries WHERE state = 'waiting' AND channel = ?1";
        Ok(connection.prepare_cached(select)?.query_row([channel], |row| row.get(0).map(unsigned))?)
    }

    /// Lets go of the oldest notices beyond so many, and of their deliveries, but for those that still wait.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forget_notices(&self, keep: u64) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let old = "id <= (SELECT coalesce(max(id), 0) FROM notices) - ?1
                AND id NOT IN (SELECT notice FROM deliveries WHERE state = 'waiting')";
            transaction.execute(
                &format!("DELETE FROM deliveries WHERE notice IN (SELECT id FROM notices WHERE {old})"),
                [signed(keep)],
            )?;
            transaction.execute(&format!("DELETE FROM notices WHERE {old}"), [signed(keep)])?;
            // Errors that are passed on have no notice.
            let passed = "DELETE FROM deliveries WHERE notice = 0 AND state <> 'waiting'
                AND id <= (SELECT max(id) FROM deliveries) - ?1";
            transaction.execute(passed, [signed(keep)]).map(drop)
        })
    }

    /// What is remembered under names that begin like this, by name.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn memories(&self, beginning: &str) -> Result<Vec<(String, String)>, StoreError> {
        // The last of all characters is in no name: what begins so is a range of the key.
        let end = format!("{beginning}{}", char::MAX);
        let select = "SELECT name, body FROM memories WHERE name >= ?1 AND name < ?2 ORDER BY name";
        self.rows(select, &[&beginning, &end], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn rows<T>(
        &self,
        select: &str,
        parameters: &[&dyn ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare_cached(select)?;
        let rows = statement.query_map(parameters, read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Takes away all that follows from the events of a log.
pub(super) fn forget_log(transaction: &Transaction<'_>, log: LogId) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM issue_titles WHERE issue IN (SELECT id FROM issues WHERE log = ?1)", [log.0])?;
    for table in ["issues", "issue_fingerprints", "reacted"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE log = ?1"), [log.0])?;
    }
    Ok(())
}

fn read_issue(row: &Row<'_>) -> rusqlite::Result<IssueRow> {
    Ok(IssueRow {
        id: unsigned(row.get(0)?),
        log: LogId(row.get(1)?),
        state: row.get(2)?,
        level: row.get(3)?,
        last_seen: Timestamp::from_micros(row.get(4)?),
        body: row.get(5)?,
    })
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        id: unsigned(row.get(0)?),
        notice: unsigned(row.get(1)?),
        channel: row.get(2)?,
        state: row.get(3)?,
        due: Timestamp::from_micros(row.get(4)?),
        body: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use rusqlite::Connection;

    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn what_was_posted_later_waits_behind_what_is_tried_again() {
        let connection = Arc::new(Mutex::new(Connection::open_in_memory().unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let catalog = Catalog::with_connection(connection, disk).unwrap();
        let moment = Timestamp::from_micros;
        let check = |(id, channel, state): (u64, &str, &str), due, body: &str, expected: &[u64]| {
            let (channel, state, body) = (channel.to_owned(), state.to_owned(), body.to_owned());
            let row = DeliveryRow { id, notice: 1, channel, state, due: moment(due), body };
            catalog.react(&Reaction { deliveries: vec![row], ..Reaction::default() }).unwrap();
            let found = catalog.deliveries_due(moment(100), &HashSet::from(["busy".to_owned()]), 10).unwrap();
            assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), expected, "{id}");
        };
        check((3, "ops", "waiting"), 50, "{}", &[3]);
        check((4, "ops", "waiting"), 20, "{}", &[3, 4]);
        check((5, "busy", "waiting"), 20, "{}", &[3, 4]);
        check((6, "team", "waiting"), 10, "{}", &[3, 4, 6]);
        // The first of a channel is to be tried again.
        check((3, "ops", "waiting"), 101, "{\"attempts\":1}", &[6]);
        check((2, "team", "sent"), 101, "{}", &[6]);
        // What failed by itself holds up nobody, nor does what is over.
        check((3, "ops", "waiting"), 101, "{\"alone\":true}", &[4, 6]);
        check((3, "ops", "waiting"), 101, "{}", &[6]);
        check((3, "ops", "failed"), 101, "{}", &[4, 6]);
        check((7, "ops", "waiting"), 101, "{}", &[4, 6]);
    }

    fn row(id: u64, log: u32, title: &str) -> IssueRow {
        let body = format!("{{\"title\":\"{title}\",\"culprit\":\"place {id}\"}}");
        IssueRow {
            id,
            log: LogId(log),
            state: "open".to_owned(),
            level: 17,
            last_seen: Timestamp::from_micros(id.cast_signed()),
            body,
        }
    }

    /// A search reads what issues are called, and none of the bodies; also of issues that a version before kept.
    #[test]
    fn issues_are_found_by_what_they_are_called() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let connection = Arc::new(Mutex::new(Connection::open_in_memory().unwrap()));
        let open = || Catalog::with_connection(Arc::clone(&connection), disk.clone()).unwrap();
        let catalog = open();
        let mut issues: Vec<IssueRow> =
            (1..=30).map(|id| row(id, 1, if id % 2 == 0 { "Apple_1" } else { "Pear%" })).collect();
        issues.push(row(31, 2, "Apple_1"));
        catalog.react(&Reaction { issues, ..Reaction::default() }).unwrap();
        let check = |catalog: &Catalog, log: u32, text: &str, page: (usize, usize), expected: &[u64], all: u64| {
            let query = IssueQuery { text: Some(text), page, ..IssueQuery::default() };
            let (rows, total) = catalog.issues(LogId(log), &query).unwrap();
            assert_eq!((rows.iter().map(|row| row.id).collect::<Vec<_>>(), total), (expected.to_vec(), all), "{text}");
        };
        let check_all = |catalog: &Catalog| {
            check(catalog, 1, "apple_", (0, 3), &[30, 28, 26], 15);
            check(catalog, 1, "apple_", (3, 3), &[24, 22, 20], 15);
            check(catalog, 1, "r%", (14, 3), &[1], 15);
            check(catalog, 1, "apple%1", (0, 3), &[], 0);
            check(catalog, 1, "PLACE 17", (0, 3), &[17], 1);
            check(catalog, 2, "apple", (0, 3), &[31], 1);
        };
        check_all(&catalog);
        connection.lock().execute("DELETE FROM issue_titles", []).unwrap();
        let catalog = open();
        check_all(&catalog);
        connection.lock().execute("UPDATE issues SET body = 'no JSON'", []).unwrap();
        check_all(&catalog);
        let removed = Reaction { removed_issues: vec![17, 30], ..Reaction::default() };
        catalog.react(&removed).unwrap();
        check(&catalog, 1, "place 17", (0, 3), &[], 0);
        catalog.transaction(|transaction| forget_log(transaction, LogId(1))).unwrap();
        let titles: i64 =
            connection.lock().query_row("SELECT count(*) FROM issue_titles", [], |row| row.get(0)).unwrap();
        assert_eq!(titles, 1);
    }

    #[test]
    fn what_is_remembered_is_found_by_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&folder.path().join("catalog"), Arc::new(RealDisk::new(folder.path()).unwrap())).unwrap();
        let names = ["a", "a/", "a/b", "a/\u{10fffe}x", "a0", "b/"];
        let memories = names.iter().map(|name| ((*name).to_owned(), Some("1".to_owned()))).collect();
        catalog.react(&Reaction { memories, ..Reaction::default() }).unwrap();
        let found =
            |beginning| catalog.memories(beginning).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(found("a/"), names[1..4]);
        assert_eq!(found(""), names);
        assert_eq!(found("a/b/"), [""; 0]);
    }
}
