//! Which streams a log has, and how many events of each.

use std::collections::BTreeMap;

use arrow::array::AsArray;

use crate::Snapshot;
use crate::columns::{Kind, key_columns};

impl Snapshot {
    /// How many events there are of each stream. Segments know it; what is in memory is counted.
    #[must_use]
    pub fn streams(&self) -> BTreeMap<String, u64> {
        let mut streams: BTreeMap<String, u64> = BTreeMap::new();
        for span in self.segments.iter().flat_map(|segment| &segment.info().streams) {
            *streams.entry(span.stream.clone()).or_default() += span.rows;
        }
        for rows in &self.rows {
            let schema = rows.batch.schema();
            let named = key_columns(&schema).find(|(_, path, kind)| *path == "stream" && *kind == Kind::Str);
            let Some((index, ..)) = named else { continue };
            for stream in rows.batch.column(index).as_string::<i32>().iter().flatten() {
                match streams.get_mut(stream) {
                    Some(count) => *count += 1,
                    None => drop(streams.insert(stream.to_owned(), 1)),
                }
            }
        }
        streams.remove("");
        streams
    }
}
