//! Which segments are merged next.
//!
//! Segments are of one class when their rows lie between the same powers of eight. A run of one class, near in time,
//! becomes one segment when there are eight, or when the next one would make it too large. So an event is written once by
//! its flush, and then at most once for each class between that and a full segment: a bulk load writes it twice, a trickle
//! of single events up to eight times. What is left waiting is at most seven segments of each class.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::segment::Segment;

/// Rows of a merged segment at the most: eight row groups. One that is half as large is not merged any further.
const MERGE_ROWS_MAX: u64 = 1 << 20;

/// So many segments of one class are merged at once.
const MERGE_WIDTH: usize = 8;

const DAY_MICROS: i64 = 86_400_000_000;

/// Picks segments of fewer rows than `rows_max` to merge, when there are some. The small ones come first, because each
/// question pays for each of them.
pub(crate) fn choose(segments: &[Arc<Segment>], rows_max: u64) -> Option<Vec<Arc<Segment>>> {
    let mut classes: BTreeMap<u32, Vec<&Arc<Segment>>> = BTreeMap::new();
    for segment in segments {
        let rows = segment.info().rows.max(1);
        if rows < rows_max.min(MERGE_ROWS_MAX / 2) && segment.is_mergeable() {
            classes.entry(rows.ilog2() / 3).or_default().push(segment);
        }
    }
    classes.into_values().find_map(|mut class| {
        class.sort_by_key(|segment| segment.info().first);
        let run = (0..class.len()).find_map(|from| run(&class[from..]))?;
        Some(run.iter().map(|segment| Arc::clone(segment)).collect())
    })
}

/// The first segments, if they are enough, or if no more of them fit.
fn run<'a, 'b>(segments: &'b [&'a Arc<Segment>]) -> Option<&'b [&'a Arc<Segment>]> {
    let most = MERGE_WIDTH.min(segments.len());
    let end = (2..=most).find(|end| !fits(&segments[..*end])).map_or(most, |end| end - 1);
    let is_full = end == MERGE_WIDTH || end < segments.len();
    (is_full && end > 1).then(|| &segments[..end])
}

/// Whether the merged segment stays within bounds: not too many rows, and not so long a time that retention could
/// no longer drop it at once.
fn fits(segments: &[&Arc<Segment>]) -> bool {
    let infos = || segments.iter().map(|segment| segment.info());
    let rows: u64 = infos().map(|info| info.rows).sum();
    let first = infos().map(|info| info.first.as_micros()).min().unwrap_or(0);
    let last = infos().map(|info| info.last.as_micros()).max().unwrap_or(0);
    let days = match rows {
        0..8_192 => 92,
        8_192..65_536 => 31,
        _ => 7,
    };
    let is_long = |first: i64, last: i64| last.saturating_sub(first) > days * DAY_MICROS;
    rows <= MERGE_ROWS_MAX
        && (!is_long(first, last) || infos().any(|info| is_long(info.first.as_micros(), info.last.as_micros())))
}
