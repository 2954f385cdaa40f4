//! Which columns there are, and which of them a question looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::Schema;
use event::logical_name;
use store::Snapshot;
use store::columns::{
    Kind, RECEIVED, RECEIVED_AT, REST, REST_AT, SEQUENCE, SEQUENCE_AT, TIMESTAMP, TIMESTAMP_AT, key_columns,
};

use crate::QueryError;
use crate::filter::Filter;
use crate::suggest::suggest;

/// The keys of a log by the names under which they are asked for, with the types of their values.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Types of each key that has a column.
    pub columns: BTreeMap<String, BTreeSet<Kind>>,
    /// Whether some events have more keys, in the overflow.
    pub overflow: bool,
}

impl Known {
    /// Collects the keys of a snapshot. A segment that cannot be opened adds none.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut known = Self::default();
        for rows in &snapshot.rows {
            known.add(&rows.batch.schema());
            known.overflow |= rows.batch.column(REST_AT).null_count() < rows.batch.num_rows();
        }
        // Most segments have the same columns.
        let mut seen = Vec::new();
        for columns in snapshot.segments.iter().filter_map(|segment| segment.columns().ok()) {
            if seen.iter().any(|known| Arc::ptr_eq(known, &columns)) {
                continue;
            }
            known.overflow |= columns.overflow;
            for (path, kind) in columns.keys.iter().filter(|(path, _)| **path != *event::ADDED) {
                known.columns.entry(logical_name(path).into_owned()).or_default().insert(*kind);
            }
            seen.push(columns);
        }
        known
    }

    fn add(&mut self, schema: &Schema) {
        for (_, path, kind) in key_columns(schema).filter(|(_, path, _)| *path != event::ADDED) {
            self.columns.entry(logical_name(path).into_owned()).or_default().insert(kind);
        }
    }

    /// Whether a question may name this key: it has a column, or is one of ours, or an object with such keys.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let below = || {
            let prefix = format!("{name}.");
            self.columns.range(prefix.clone()..).next().is_some_and(|(key, _)| key.starts_with(&prefix))
        };
        matches!(name, TIMESTAMP | RECEIVED)
            || event::shared::ORDER.contains(&name)
            || self.columns.contains_key(name)
            || below()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str).chain([TIMESTAMP, RECEIVED]).chain(event::shared::ORDER)
    }

    /// The error for a name that is not known.
    #[must_use]
    pub fn unknown(&self, name: &str) -> QueryError {
        let hint = suggest(name, self.names()).map_or_else(String::new, |near| format!(": did you mean {near:?}?"));
        QueryError::UnknownColumn { column: name.to_owned(), hint }
    }
}

/// The names that no event of the snapshot has. The overflow is searched for those that have no column.
#[must_use]
pub fn unknown_columns<'a>(known: &Known, snapshot: &Snapshot, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut unknown: Vec<&str> = names.filter(|name| !known.has(name)).collect();
    if unknown.is_empty() || !known.overflow {
        return unknown;
    }
    let mut look = |batch: &arrow::array::RecordBatch| {
        let rest = arrow::array::AsArray::as_string::<i32>(batch.column(batch.num_columns() - 1));
        for object in rest.iter().flatten() {
            for (path, _) in event::rest_leaves(object) {
                let found = logical_name(&path).into_owned();
                unknown.retain(|name| {
                    found != *name && !found.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
                });
            }
        }
        unknown.is_empty()
    };
    for rows in &snapshot.rows {
        if rows.batch.project(&[REST_AT]).is_ok_and(|rest| look(&rest)) {
            return Vec::new();
        }
    }
    for opened in snapshot.segments.iter().filter_map(|segment| segment.open().ok()) {
        if opened.values(REST_AT) == 0 {
            continue;
        }
        for group in 0..opened.row_groups().len() {
            let Ok(reader) = opened.read(group, &[REST_AT], None, 8192) else { continue };
            if reader.map_while(Result::ok).any(|batch| look(&batch)) {
                return Vec::new();
            }
        }
    }
    unknown
}

/// The columns that evaluating a filter needs, as indexes into a schema, with the time and the sequence number.
/// `overflow` says whether any row has an overflow.
#[must_use]
pub(crate) fn columns_of(filter: &Filter, schema: &Schema, overflow: bool) -> Vec<usize> {
    let mut fields: BTreeSet<&str> = filter.fields();
    let mut anywhere = false;
    filter.visit(&mut |part| anywhere |= matches!(part, Filter::Anywhere(_)));
    let mut columns = vec![SEQUENCE_AT, TIMESTAMP_AT];
    if fields.remove(RECEIVED) {
        columns.push(RECEIVED_AT);
    }
    if overflow && *filter != Filter::All {
        columns.push(REST_AT);
    }
    columns.extend(
        key_columns(schema)
            .filter(|(_, path, kind)| {
                let name = logical_name(path);
                let searched = anywhere && !matches!(kind, Kind::Float | Kind::Bool);
                searched
                    || fields.iter().any(|field| {
                        name == *field || name.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'))
                    })
            })
            .map(|(index, ..)| index),
    );
    columns
}

/// The name of one of Everlog's own columns by its place.
pub(crate) const OWN: [&str; 4] = [SEQUENCE, TIMESTAMP, RECEIVED, REST];
