//! The ids of the latest events of a log, read back when it is written to for the first time.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use event::Timestamp;

use super::{Snapshot, Store, Writer};
use crate::columns::{SEQUENCE_AT, key_columns};
use crate::recent::{REMEMBERED, Recent, key};
use crate::segment::Opened;
use crate::{LogId, StoreError};

/// The ids of a log that nobody has written to for so long are forgotten when another log is written to. They can be
/// read back.
const FORGET_AFTER_MICROS: i64 = 10 * 60 * 1_000_000;

impl Store {
    /// The ids of the latest events of a log.
    pub(super) fn recent<'a>(&self, writer: &'a mut Writer, log: LogId, now: Timestamp) -> &'a mut Recent {
        let is_new = !writer.recent.contains_key(&log);
        if is_new {
            writer
                .recent
                .retain(|_, recent| now.as_micros().saturating_sub(recent.used.as_micros()) < FORGET_AFTER_MICROS);
        }
        let recent = writer.recent.entry(log).or_insert_with(|| Recent::of(self.read_recent(log), REMEMBERED, now));
        recent.used = now;
        recent
    }

    /// Reads the ids of the latest events of a log, each with its sequence number: of the buffer, and back from the
    /// segments. Those of segments in the archive are in the catalog, so that no writer ever waits for a bucket.
    fn read_recent(&self, log: LogId) -> Vec<(u64, [u8; 16])> {
        let mut found = Vec::new();
        let Snapshot { mut segments, rows, .. } = self.snapshot_with_archive(log);
        rows.iter().for_each(|rows| ids_of(&rows.batch, &mut found));
        segments.sort_by_key(|segment| std::cmp::Reverse(segment.info().last_sequence));
        for segment in segments {
            if found.len() >= REMEMBERED {
                break;
            }
            if segment.record().is_some() {
                let ids = self.catalog.archived_ids(segment.info().number).unwrap_or_default();
                let sequence = segment.info().last_sequence;
                found.extend(ids.chunks_exact(16).filter_map(|id| Some((sequence, id.try_into().ok()?))));
                continue;
            }
            let Ok(opened) = segment.open() else { continue };
            for group in 0..opened.row_groups().len() {
                if let Err(error) = read_ids(&opened, group, &mut found) {
                    segment.note_damage(group, &error.to_string());
                }
            }
        }
        found
    }
}

/// Adds the ids of a row group, each with its sequence number.
pub(super) fn read_ids(opened: &Opened, group: usize, found: &mut Vec<(u64, [u8; 16])>) -> Result<(), StoreError> {
    let ids = key_columns(opened.schema()).filter(|(_, path, _)| *path == "id").map(|(index, ..)| index);
    let columns: Vec<usize> = std::iter::once(SEQUENCE_AT).chain(ids).collect();
    for batch in opened.read(group, &columns, None, 8192)? {
        ids_of(&batch?, found);
    }
    Ok(())
}

/// Adds the ids of a batch, each with its sequence number.
fn ids_of(batch: &RecordBatch, found: &mut Vec<(u64, [u8; 16])>) {
    let sequences = batch.column(SEQUENCE_AT).as_primitive::<UInt64Type>().values();
    for (index, path, _) in key_columns(&batch.schema()) {
        let column = batch.column(index);
        if path != "id" {
            continue;
        }
        if let Some(uuids) = column.as_fixed_size_binary_opt() {
            found.extend(sequences.iter().zip(uuids).filter_map(|(at, id)| Some((*at, id?.try_into().ok()?))));
        } else if let Some(texts) = column.as_string_opt::<i32>() {
            let keys = texts.iter().map(|text| Some(key(&event::Id::Text(text?.into()))));
            found.extend(sequences.iter().zip(keys).filter_map(|(at, key)| Some((*at, key?.to_le_bytes()))));
        }
    }
}
