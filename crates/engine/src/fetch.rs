//! Single events by their ids, as they were sent, and the types of the keys of a log.

use std::collections::{BTreeMap, BTreeSet};

use query::filter::{Filter, Test};
use query::{Known, Order, Request};
use store::Documents;
use store::columns::Kind;

use crate::Engine;
use crate::ask::AskError;

/// Events that may have the same id, or call something else `id`, are looked at until there are so many for each id
/// that is wanted.
const ROWS_OF_ONE: usize = 100;

/// An event as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its sequence number.
    pub sequence: u64,
    /// The text of a JSON object.
    pub document: Vec<u8>,
}

/// The type of the values of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldKind {
    /// A text.
    Text,
    /// A whole number of 64 bits.
    Int,
    /// A number with a fraction.
    Float,
    /// true or false.
    Bool,
}

impl Engine {
    /// The events of a log that have one of these ids, by id, as they were sent, with their time under `time` if they
    /// have nothing there. Where several have the same (sent again after a million others), the first.
    ///
    /// # Errors
    /// When the log is not known or the question takes too long.
    pub fn fetch(&self, log: &str, ids: &[String], time: &str) -> Result<BTreeMap<String, Fetched>, AskError> {
        let snapshot = self.asked(log, false)?.snapshot;
        let wanted = ids.iter().map(|id| id.as_str().into()).collect();
        let request = Request {
            filter: Filter::field("id", Test::Equal(wanted)),
            order: Order::Sequence,
            offset: 0,
            limit: ids.len().saturating_mul(ROWS_OF_ONE),
            cursor: None,
            after_sequence: 0,
            total: false,
        };
        let page = query::scan(&snapshot, &request, &self.bounds())?;
        let mut writers: Vec<Documents<'_>> = page.batches.iter().map(Documents::new).collect();
        let wanted: BTreeSet<&String> = ids.iter().collect();
        let mut found = BTreeMap::new();
        for (batch, row, sequence) in &page.rows {
            let writer = &mut writers[*batch];
            let Some(id) = writer.id(*row).filter(|id| wanted.contains(id) && !found.contains_key(id)) else {
                continue;
            };
            let mut document = Vec::with_capacity(512);
            writer.write_sent(*row, time, &mut document);
            found.insert(id, Fetched { sequence: *sequence, document });
        }
        Ok(found)
    }

    /// The keys of a log that have columns of their own, each with the types of its values.
    ///
    /// # Errors
    /// When the log is not known.
    pub fn fields(&self, log: &str) -> Result<BTreeMap<String, Vec<FieldKind>>, AskError> {
        let known = Known::of(&self.asked(log, false)?.snapshot);
        let kind = |kind: &Kind| match kind {
            Kind::Str | Kind::Uuid => FieldKind::Text,
            Kind::Int => FieldKind::Int,
            Kind::Float => FieldKind::Float,
            Kind::Bool => FieldKind::Bool,
        };
        let fields = known.columns.into_iter().map(|(name, kinds)| {
            let mut kinds: Vec<FieldKind> = kinds.iter().map(kind).collect();
            kinds.sort_unstable();
            kinds.dedup();
            (name, kinds)
        });
        Ok(fields.collect())
    }
}
