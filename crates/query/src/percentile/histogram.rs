//! How numbers are spread: exactly while they are few, then in buckets of equal relative width.
//!
//! A bucket is the sign, the exponent and the first [`MANTISSA_BITS`] bits of the mantissa of a double: the largest
//! number in it is at most 1/256 larger than the smallest. The smallest and the largest number of all are kept exactly.

use std::collections::BTreeMap;

/// Bits of the mantissa that tell buckets apart.
const MANTISSA_BITS: u32 = 8;
const SHIFT: u32 = 52 - MANTISSA_BITS;

/// So many numbers are kept as they are.
const EXACT: usize = 128;

/// Buckets that are counted side by side: those within 2^8 above and below the median of the first numbers. What
/// lies outside is counted in a tree, so that a single outlier does not cost megabytes.
const REACH: i32 = 8 << MANTISSA_BITS;

/// Buckets are added in steps of this many.
const STEP: i32 = 64;

/// About what a node of the tree takes for one entry.
const TREE_ENTRY_BYTES: usize = 24;

/// The numbers of one group.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    /// The numbers themselves, as long as there are no buckets.
    few: Vec<f64>,
    /// The bucket of the first of `counts`.
    base: i32,
    counts: Vec<u32>,
    /// The bucket around which `counts` may grow.
    middle: i32,
    outside: BTreeMap<i32, u64>,
    smallest: i64,
    largest: i64,
    /// Whether all are whole numbers, so that no percentile needs to be anything else.
    whole: bool,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            few: Vec::new(),
            base: 0,
            counts: Vec::new(),
            middle: 0,
            outside: BTreeMap::new(),
            smallest: i64::MAX,
            largest: i64::MIN,
            whole: true,
        }
    }
}

/// Whole numbers in the order of the doubles; NaN is the largest, and the two zeros are one.
fn key_of(number: f64) -> i64 {
    let number = if number.is_nan() { f64::NAN.abs() } else { number + 0.0 };
    let bits = number.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

fn number_of(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63).cast_unsigned() >> 1).cast_signed()).cast_unsigned())
}

fn bucket_of(key: i64) -> i32 {
    (key >> SHIFT) as i32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "that is the question"
)]
fn is_whole(number: f64) -> bool {
    (number as i64) as f64 == number
}

impl Histogram {
    /// Adds a number; returns how many bytes more it takes now.
    #[inline]
    pub(crate) fn add(&mut self, number: f64) -> usize {
        let key = key_of(number);
        self.smallest = self.smallest.min(key);
        self.largest = self.largest.max(key);
        if self.whole && !is_whole(number) {
            self.whole = false;
        }
        let bucket = bucket_of(key);
        let at = bucket.wrapping_sub(self.base).cast_unsigned() as usize;
        if let Some(count) = self.counts.get_mut(at)
            && *count < u32::MAX
        {
            *count += 1;
            return 0;
        }
        self.add_slowly(number, bucket)
    }

    #[cold]
    fn add_slowly(&mut self, number: f64, bucket: i32) -> usize {
        let before = self.bytes();
        if !self.counts.is_empty() {
            self.count(bucket, 1);
        } else if self.few.len() < EXACT {
            self.few.push(number);
        } else {
            self.begin_buckets();
            self.count(bucket, 1);
        }
        self.bytes().saturating_sub(before)
    }

    fn begin_buckets(&mut self) {
        let mut few = std::mem::take(&mut self.few);
        few.sort_by(f64::total_cmp);
        self.middle = few.get(few.len() / 2).map_or(0, |median| bucket_of(key_of(*median)));
        self.base = self.middle;
        self.counts = vec![0];
        for number in few {
            self.count(bucket_of(key_of(number)), 1);
        }
    }

    fn count(&mut self, bucket: i32, more: u64) {
        if (bucket - self.middle).abs() < REACH {
            let end = self.base + i32::try_from(self.counts.len()).unwrap_or(i32::MAX);
            if bucket < self.base {
                let base = (bucket - STEP).max(self.middle - REACH);
                self.counts.splice(0..0, (base..self.base).map(|_| 0));
                self.base = base;
            } else if bucket >= end {
                let end = (bucket + STEP).min(self.middle + REACH);
                self.counts.resize((end - self.base).unsigned_abs() as usize, 0);
            }
            let count = &mut self.counts[(bucket - self.base).unsigned_abs() as usize];
            if let Some(sum) = u32::try_from(more).ok().and_then(|more| count.checked_add(more)) {
                *count = sum;
                return;
            }
        }
        *self.outside.entry(bucket).or_default() += more;
    }

    /// Bytes that it takes beside itself.
    pub(crate) fn bytes(&self) -> usize {
        self.few.capacity() * 8 + self.counts.capacity() * 4 + self.outside.len() * TREE_ENTRY_BYTES
    }

    /// Appends what [`Histogram::merge`] reads.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(!self.counts.is_empty()) | u8::from(self.whole) << 1);
        if self.counts.is_empty() {
            self.few.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            return;
        }
        out.extend_from_slice(&self.smallest.to_le_bytes());
        out.extend_from_slice(&self.largest.to_le_bytes());
        for (bucket, count) in self.buckets() {
            out.extend_from_slice(&bucket.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    /// Adds what another one wrote; returns how many bytes more it takes now.
    pub(crate) fn merge(&mut self, written: &[u8]) -> usize {
        let before = self.bytes();
        let Some((flags, rest)) = written.split_first() else { return 0 };
        if flags & 1 == 0 {
            rest.as_chunks().0.iter().for_each(|number| {
                self.add(f64::from_le_bytes(*number));
            });
            return self.bytes().saturating_sub(before);
        }
        let (Some((smallest, rest)), whole) = (rest.split_first_chunk(), flags & 2 != 0) else { return 0 };
        let Some((largest, rest)) = rest.split_first_chunk() else { return 0 };
        self.smallest = self.smallest.min(i64::from_le_bytes(*smallest));
        self.largest = self.largest.max(i64::from_le_bytes(*largest));
        self.whole &= whole;
        let entries = rest.as_chunks::<12>().0.iter().filter_map(|entry| {
            let (bucket, count) = entry.split_first_chunk()?;
            Some((i32::from_le_bytes(*bucket), u64::from_le_bytes(count.try_into().ok()?)))
        });
        if self.counts.is_empty() {
            let few = std::mem::take(&mut self.few);
            // The fullest bucket is in the midst of all.
            self.middle = entries.clone().max_by_key(|(_, count)| *count).map_or(0, |(bucket, _)| bucket);
            self.base = self.middle;
            self.counts = vec![0];
            few.into_iter().for_each(|number| self.count(bucket_of(key_of(number)), 1));
        }
        entries.for_each(|(bucket, count)| self.count(bucket, count));
        self.bytes().saturating_sub(before)
    }

    /// The buckets that have something, in order.
    fn buckets(&self) -> Vec<(i32, u64)> {
        let inside = (self.base..).zip(&self.counts).filter(|(_, count)| **count > 0);
        let mut all: Vec<(i32, u64)> = inside.map(|(bucket, count)| (bucket, u64::from(*count))).collect();
        if !self.outside.is_empty() {
            all.extend(self.outside.iter().map(|(bucket, count)| (*bucket, *count)));
            all.sort_unstable();
            all.dedup_by(|later, first| {
                let same = later.0 == first.0;
                first.1 += if same { later.1 } else { 0 };
                same
            });
        }
        all
    }

    /// The number below which a share of all lies, between the two nearest numbers as SQL's `percentile_cont` has it;
    /// `None` when there are no numbers.
    pub(crate) fn percentile(&self, share: f64) -> Option<f64> {
        if !self.counts.is_empty() {
            let buckets = self.buckets();
            let all = buckets.iter().map(|(_, count)| count).sum();
            return Some(between(share, all, |rank| self.at_rank(&buckets, all, rank)));
        }
        let mut sorted = self.few.clone();
        sorted.sort_by_key(|number| key_of(*number));
        let at = |rank: u64| sorted.get(usize::try_from(rank).unwrap_or(usize::MAX)).copied().unwrap_or(f64::NAN);
        (!sorted.is_empty()).then(|| between(share, sorted.len() as u64, at))
    }

    /// The share of the numbers that are not above one; `None` when there are no numbers.
    pub(crate) fn rank(&self, number: f64) -> Option<f64> {
        let key = key_of(number);
        if self.counts.is_empty() {
            let below = self.few.iter().filter(|one| key_of(**one) <= key).count() as u64;
            return (!self.few.is_empty()).then(|| share_of(below) / share_of(self.few.len() as u64));
        }
        let (buckets, own) = (self.buckets(), bucket_of(key));
        let all: u64 = buckets.iter().map(|(_, count)| count).sum();
        let below: u64 = buckets.iter().filter(|(bucket, _)| *bucket < own).map(|(_, count)| count).sum();
        let within = buckets.iter().find(|(bucket, _)| *bucket == own).map_or(0, |(_, count)| *count);
        let share = match key {
            key if key >= self.largest => 1.0,
            key if key < self.smallest => 0.0,
            // Those of its own bucket lie evenly in it.
            _ => {
                let (low, high) = (self.within(own, 0.0), self.within(own, 1.0));
                if high > low { ((number - low) / (high - low)).clamp(0.0, 1.0) } else { 1.0 }
            }
        };
        Some(if key >= self.largest { 1.0 } else { (share_of(below) + share_of(within) * share) / share_of(all) })
    }

    /// About the number that stands at this place in the order of all.
    fn at_rank(&self, buckets: &[(i32, u64)], all: u64, rank: u64) -> f64 {
        if rank == 0 {
            return number_of(self.smallest);
        }
        if rank + 1 >= all {
            return number_of(self.largest);
        }
        let mut before = 0;
        for (bucket, count) in buckets {
            if rank < before + count {
                return self.within(*bucket, (share_of(rank - before) + 0.5) / share_of(*count));
            }
            before += count;
        }
        number_of(self.largest)
    }

    /// The number at a share of a bucket's width.
    fn within(&self, bucket: i32, share: f64) -> f64 {
        // The bucket of zero holds nothing else that a double has all its digits for.
        for special in [f64::NEG_INFINITY, 0.0, f64::INFINITY, f64::NAN] {
            if bucket == bucket_of(key_of(special)) {
                return special;
            }
        }
        let first = i64::from(bucket) << SHIFT;
        let last = first | ((1 << SHIFT) - 1);
        let (low, high) = (number_of(first.max(self.smallest)), number_of(last.min(self.largest)));
        let number = low + (high - low) * share;
        // A bucket of whole numbers begins with one, seen from zero.
        if self.whole { number.trunc().clamp(low.ceil(), high.floor().max(low.ceil())) } else { number }
    }
}

#[expect(clippy::cast_precision_loss, reason = "more numbers than a double counts exactly do not come together")]
fn share_of(count: u64) -> f64 {
    count as f64
}

/// The number at a share of `count` numbers in order, in a line between the two nearest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank lies between 0 and the count")]
#[expect(clippy::float_cmp, reason = "equal numbers, infinities among them, need no line between them")]
fn between(share: f64, count: u64, at: impl Fn(u64) -> f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * share_of(count - 1);
    let rank = place.floor() as u64;
    let (low, high) = (at(rank), at((rank + 1).min(count - 1)));
    let part = place - place.floor();
    if part == 0.0 || low == high {
        low
    } else if low.is_finite() && high.is_finite() {
        low + (high - low) * part
    } else {
        if part < 0.5 { low } else { high }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        let grown: usize = numbers.iter().map(|number| histogram.add(*number)).sum();
        assert!(grown >= histogram.bytes(), "what it takes is accounted for: {grown} < {}", histogram.bytes());
        histogram
    }

    /// What was written by several and merged.
    fn merged(parts: &[&[f64]]) -> Histogram {
        let mut whole = Histogram::default();
        for part in parts {
            let mut written = Vec::new();
            of(part).write(&mut written);
            whole.merge(&written);
        }
        whole
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-5.0..5.0_f64).prop_map(f64::exp),
            2 => (0..1000_i64).prop_map(|whole| whole as f64),
            1 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO | prop::num::f64::NEGATIVE,
        ]
    }

    /// Between the two numbers whose place is next to the share, each at most 1/256 off.
    fn is_near(sorted: &[f64], share: f64, found: f64) -> bool {
        let place = share * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        let slack = |number: f64| number.abs() / 255.0 + f64::MIN_POSITIVE;
        low - slack(low) <= found && found <= high + slack(high)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn percentiles_are_near_the_exact_ones(
            numbers in proptest::collection::vec(number(), 1..2000),
            share in 0.0..=1.0_f64,
            cut in 0.0..1.0_f64,
        ) {
            let cut = (cut * numbers.len() as f64) as usize;
            let mut sorted = numbers.clone();
            sorted.sort_by(f64::total_cmp);
            for histogram in [of(&numbers), merged(&[&numbers[..cut], &numbers[cut..]])] {
                let found = histogram.percentile(share).unwrap();
                prop_assert!(is_near(&sorted, share, found), "{share} is {found}");
                prop_assert_eq!(histogram.percentile(0.0), sorted.first().map(|first| first + 0.0));
                prop_assert_eq!(histogram.percentile(1.0), sorted.last().map(|last| last + 0.0));
            }
        }
    }

    #[test]
    fn few_numbers_and_equal_ones_and_small_whole_ones_are_exact() {
        assert_eq!(of(&[]).percentile(0.5), None);
        assert_eq!(of(&[10.0, 20.0, 40.0]).percentile(0.75), Some(30.0));
        assert_eq!(of(&[58.492; 5000]).percentile(0.37), Some(58.492));
        let statuses: Vec<f64> = (0..5000).map(|row| if row < 4000 { 200.0 } else { 503.0 }).collect();
        for (share, expected) in [(0.0, 200.0), (0.5, 200.0), (0.9, 503.0), (1.0, 503.0)] {
            assert_eq!(of(&statuses).percentile(share), Some(expected));
            assert_eq!(merged(&[&statuses[..100], &statuses[100..]]).percentile(share), Some(expected));
        }
    }

    #[test]
    fn what_is_no_usual_number_has_its_place() {
        let mut numbers = vec![f64::NEG_INFINITY; 1000];
        numbers.extend([-0.0; 1000]);
        numbers.extend([f64::INFINITY; 1000]);
        let histogram = of(&numbers);
        for (share, expected) in [(0.0, f64::NEG_INFINITY), (0.2, f64::NEG_INFINITY), (0.5, 0.0), (0.9, f64::INFINITY)]
        {
            assert_eq!(histogram.percentile(share), Some(expected));
        }
        numbers.extend([f64::NAN; 9000]);
        assert!(of(&numbers).percentile(0.9).unwrap().is_nan());
        assert!(of(&numbers).percentile(1.0).unwrap().is_nan());
    }

    #[test]
    fn numbers_far_apart_do_not_take_the_room_between_them() {
        let numbers: Vec<f64> = (0..10_000).map(|row| if row % 2 == 0 { 1e-300 } else { -1e300 }).collect();
        assert!(of(&numbers).bytes() < 32 << 10);
        assert!(merged(&[&numbers, &numbers]).bytes() < 32 << 10);
    }
}
