//! When events are old enough to go: whole segments at once, mixed ones rewritten when it pays.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use event::Timestamp;

use crate::StoreError;
use crate::columns::{Kind, TIMESTAMP_AT, key_columns};
use crate::segment::SegmentInfo;

/// How long the events of a log are kept, by stream; the empty name stands for every stream not named.
/// A stream that is not covered is kept for ever.
pub type Retention = BTreeMap<String, Duration>;

/// What is to happen to a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Nothing in it is old, or too little to be worth a rewrite yet.
    Keep,
    /// All of it is old.
    Drop,
    /// Enough of it is old: the rest is written anew.
    Rewrite,
}

/// For a stream the moment before which its events are old; none when they never are.
pub(crate) type Cutoff<'a> = &'a dyn Fn(&str) -> Option<Timestamp>;

/// The earliest moment that is still kept for a stream.
pub(crate) fn cutoff(retention: &Retention, stream: &str, now: Timestamp) -> Option<Timestamp> {
    let kept = retention.get(stream).or_else(|| retention.get(""))?;
    let micros = i64::try_from(kept.as_micros()).ok()?;
    Some(Timestamp::from_micros(now.as_micros().saturating_sub(micros)))
}

impl Expiry {
    /// Decides about a segment. A mixed one is rewritten as soon as one of its streams is wholly old, or the oldest
    /// event has outlived its time by a tenth: so no event is written more than about ten times for its age.
    #[must_use]
    pub fn of(info: &SegmentInfo, retention: &Retention, now: Timestamp) -> Self {
        let mut any_kept = false;
        let mut pays = false;
        for span in &info.streams {
            let Some(cutoff) = cutoff(retention, &span.stream, now) else {
                any_kept = true;
                continue;
            };
            if span.last < cutoff {
                pays = true;
                continue;
            }
            any_kept = true;
            let kept_micros = now.as_micros() - cutoff.as_micros();
            pays |= span.first.as_micros() < cutoff.as_micros().saturating_sub(kept_micros / 10);
        }
        match (any_kept, pays) {
            (false, _) if !info.streams.is_empty() => Self::Drop,
            (_, true) => Self::Rewrite,
            _ => Self::Keep,
        }
    }
}

/// How much of a segment is old, to the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coverage {
    Nothing,
    Part,
    All,
}

impl Coverage {
    pub(crate) fn of(info: &SegmentInfo, cutoff: Cutoff<'_>) -> Self {
        let spans = info.streams.iter().map(|span| (span.stream.as_str(), span.first, span.last));
        // A segment that tells no streams has one without a name.
        let nameless = info.streams.is_empty().then_some(("", info.first, info.last));
        let (mut any, mut all) = (false, true);
        for (stream, first, last) in spans.chain(nameless) {
            let cutoff = cutoff(stream);
            any |= cutoff.is_some_and(|cutoff| first < cutoff);
            all &= cutoff.is_some_and(|cutoff| last < cutoff);
        }
        match (any, all) {
            (_, true) => Self::All,
            (true, false) => Self::Part,
            (false, false) => Self::Nothing,
        }
    }
}

/// The rows that are old, or those that are not.
pub(crate) fn side_of(batch: &RecordBatch, cutoff: Cutoff<'_>, old: bool) -> Result<RecordBatch, StoreError> {
    let times = batch.column(TIMESTAMP_AT).as_primitive::<TimestampMicrosecondType>();
    let schema = batch.schema();
    let stream_at =
        key_columns(&schema).find(|(_, path, kind)| *path == "stream" && *kind == Kind::Str).map(|(index, ..)| index);
    let kept: BooleanArray = (0..batch.num_rows())
        .map(|row| {
            let stream =
                stream_at.map(|index| batch.column(index).as_string::<i32>()).filter(|streams| streams.is_valid(row));
            let cutoff = cutoff(stream.map_or("", |streams| streams.value(row)));
            Some(cutoff.is_some_and(|cutoff| times.value(row) < cutoff.as_micros()) == old)
        })
        .collect();
    Ok(filter_record_batch(batch, &kept)?)
}
