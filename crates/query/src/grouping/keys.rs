//! Groups by number: each value of a column gets a code, each combination of codes is a group.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int64Array, StringArray, StringBuilder, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use hashbrown::{DefaultHashBuilder, HashTable};

/// No code.
const NONE: u32 = u32::MAX;

/// Numbers that were seen last, by their hash.
const RECENT: usize = 1 << 10;

/// What the groups of a batch are told apart by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column<'a> {
    /// By the values themselves.
    Values(&'a ArrayRef),
    /// By the span of time in which they lie.
    Spans(&'a ArrayRef, Spans),
}

/// Spans of equal length, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spans {
    pub(super) length: i64,
    pub(super) origin: i64,
    /// Their beginnings are asked for in microseconds times this.
    pub(super) unit: i64,
}

impl Spans {
    fn beginning(self, micros: i64) -> Option<i64> {
        let since = micros.checked_sub(self.origin)?;
        since.checked_sub(since.rem_euclid(self.length))?.checked_add(self.origin)
    }
}

/// Whether values of this type can be told apart here.
pub(super) fn is_supported(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::Boolean
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt64
            | DataType::Timestamp(..)
    )
}

/// All groups so far.
#[derive(Debug)]
pub(super) struct Keys {
    types: Vec<DataType>,
    columns: Vec<Codes>,
    /// The pairs of the codes of the columns up to one and of the next.
    pairs: Vec<Numbers>,
    codes: Vec<u32>,
    combined: Vec<u32>,
}

impl Keys {
    pub(super) fn new(types: Vec<DataType>) -> Self {
        let columns: Vec<Codes> = types.iter().map(Codes::new).collect();
        let pairs = (1..columns.len()).map(|_| Numbers::default()).collect();
        Self { types, columns, pairs, codes: Vec::new(), combined: Vec::new() }
    }

    /// Puts the group of each row into `groups`.
    pub(super) fn add(&mut self, columns: &[Column<'_>], groups: &mut Vec<usize>) -> Result<()> {
        for (at, (codes, column)) in self.columns.iter_mut().zip(columns).enumerate() {
            self.codes.clear();
            codes.add(column, &mut self.codes)?;
            let Some(pairs) = at.checked_sub(1).map(|at| &mut self.pairs[at]) else {
                std::mem::swap(&mut self.codes, &mut self.combined);
                continue;
            };
            for (combined, code) in self.combined.iter_mut().zip(&self.codes) {
                *combined = pairs.code(u64::from(*combined) << 32 | u64::from(*code));
            }
        }
        groups.clear();
        groups.extend(self.combined.iter().map(|group| *group as usize));
        Ok(())
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.pairs.last().map_or_else(|| self.columns.first().map_or(0, Codes::len), |pairs| pairs.values.len())
    }

    /// About how many bytes they take.
    pub(super) fn size(&self) -> usize {
        let scratch = (self.codes.capacity() + self.combined.capacity()) * 4;
        let pairs: usize = self.pairs.iter().map(Numbers::size).sum();
        scratch + pairs + self.columns.iter().map(Codes::size).sum::<usize>()
    }

    /// The values of all groups, by column; there are none afterwards.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        let taken = std::mem::replace(self, Self::new(self.types.clone()));
        let mut groups: Vec<u32> = (0..taken.len()).map(|group| u32::try_from(group).unwrap_or(NONE)).collect();
        let mut arrays = Vec::with_capacity(taken.columns.len());
        for (at, (codes, data_type)) in taken.columns.iter().zip(&taken.types).enumerate().rev() {
            let Some(pairs) = at.checked_sub(1).map(|at| &taken.pairs[at]) else {
                arrays.push(codes.values(&groups, data_type)?);
                break;
            };
            let pair = |group: &u32| pairs.values[*group as usize];
            let right: Vec<u32> = groups.iter().map(|group| low(pair(group))).collect();
            arrays.push(codes.values(&right, data_type)?);
            groups = groups.iter().map(|group| low(pair(group) >> 32)).collect();
        }
        arrays.reverse();
        Ok(arrays)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn low(pair: u64) -> u32 {
    pair as u32
}

/// The codes of one column.
#[derive(Debug)]
enum Codes {
    Texts(Box<Texts>),
    Numbers(Numbers),
}

impl Codes {
    fn new(data_type: &DataType) -> Self {
        if *data_type == DataType::Utf8 { Self::Texts(Box::default()) } else { Self::Numbers(Numbers::default()) }
    }

    fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.ends.len(),
            Self::Numbers(numbers) => numbers.values.len(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.size(),
            Self::Numbers(numbers) => numbers.size(),
        }
    }

    fn add(&mut self, column: &Column<'_>, codes: &mut Vec<u32>) -> Result<()> {
        match (self, column) {
            (Self::Texts(texts), Column::Values(array)) => match array.as_dictionary_opt::<Int32Type>() {
                Some(dictionary) => texts.add_dictionary(dictionary, codes)?,
                None => texts.code_all(array.as_string_opt().ok_or_else(|| unexpected(array))?, codes),
            },
            (Self::Numbers(numbers), Column::Values(array)) => numbers.add(array, codes)?,
            (Self::Numbers(numbers), Column::Spans(array, spans)) => numbers.add_spans(array, *spans, codes)?,
            (Self::Texts(_), Column::Spans(array, _)) => return Err(unexpected(array)),
        }
        Ok(())
    }

    fn values(&self, codes: &[u32], data_type: &DataType) -> Result<ArrayRef> {
        match self {
            Self::Texts(texts) => Ok(texts.values(codes)),
            Self::Numbers(numbers) => numbers.values(codes, data_type),
        }
    }
}

fn unexpected(array: &ArrayRef) -> datafusion::error::DataFusionError {
    exec_datafusion_err!("a column to group by came as {}", array.data_type())
}

/// Numbers, or whatever fits into as many bits.
#[derive(Debug)]
struct Numbers {
    recent: Box<[(u64, u32); RECENT]>,
    known: HashTable<(u64, u32)>,
    values: Vec<u64>,
    null: u32,
    hasher: DefaultHashBuilder,
}

impl Default for Numbers {
    fn default() -> Self {
        let recent = Box::new([(0, NONE); RECENT]);
        let hasher = DefaultHashBuilder::default();
        Self { recent, known: HashTable::new(), values: Vec::new(), null: NONE, hasher }
    }
}

impl Numbers {
    #[inline]
    fn code(&mut self, value: u64) -> u32 {
        let slot = (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % RECENT;
        let (known, code) = self.recent[slot];
        if known == value && code != NONE {
            return code;
        }
        let code = self.look_up(value);
        self.recent[slot] = (value, code);
        code
    }

    fn look_up(&mut self, value: u64) -> u32 {
        let hash = self.hasher.hash_one(value);
        if let Some((_, code)) = self.known.find(hash, |(known, _)| *known == value) {
            return *code;
        }
        let code = self.next(value);
        self.known.insert_unique(hash, (value, code), |(known, _)| self.hasher.hash_one(known));
        code
    }

    fn next(&mut self, value: u64) -> u32 {
        self.values.push(value);
        u32::try_from(self.values.len() - 1).unwrap_or(NONE)
    }

    fn null(&mut self) -> u32 {
        if self.null == NONE {
            self.null = self.next(0);
        }
        self.null
    }

    fn add(&mut self, array: &ArrayRef, codes: &mut Vec<u32>) -> Result<()> {
        match array.data_type() {
            DataType::Boolean => {
                codes.extend(array.as_boolean().iter().map(|truth| match truth {
                    Some(truth) => self.code(u64::from(truth)),
                    None => self.null(),
                }));
            }
            DataType::Int32 => self.add(&cast(array, &DataType::Int64)?, codes)?,
            DataType::Int64 | DataType::UInt64 | DataType::Timestamp(..) => {
                let data = array.to_data();
                let values = data.buffer::<u64>(0).iter().take(array.len());
                match array.nulls().filter(|nulls| nulls.null_count() > 0) {
                    None => codes.extend(values.map(|value| self.code(*value))),
                    Some(nulls) => codes.extend(
                        values.zip(nulls).map(|(value, valid)| if valid { self.code(*value) } else { self.null() }),
                    ),
                }
            }
            _ => return Err(unexpected(array)),
        }
        Ok(())
    }

    fn add_spans(&mut self, array: &ArrayRef, spans: Spans, codes: &mut Vec<u32>) -> Result<()> {
        let data = array.to_data();
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let length = spans.length.unsigned_abs();
        // Events are sorted by time: most lie in the span of the one before.
        let (mut start, mut code) = (0_i64, NONE);
        codes.reserve(array.len());
        for (row, micros) in data.buffer::<i64>(0).iter().take(array.len()).enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                codes.push(self.null());
                continue;
            }
            if code == NONE || micros.wrapping_sub(start).cast_unsigned() >= length {
                let beginning = spans.beginning(*micros).and_then(|beginning| {
                    start = beginning;
                    beginning.checked_mul(spans.unit)
                });
                let too_far = || exec_datafusion_err!("a time is too far from 1970 for nanoseconds");
                code = self.code(beginning.ok_or_else(too_far)?.cast_unsigned());
            }
            codes.push(code);
        }
        Ok(())
    }

    fn values(&self, codes: &[u32], data_type: &DataType) -> Result<ArrayRef> {
        let found = codes.iter().map(|code| (*code != self.null).then(|| self.values[*code as usize]));
        match data_type {
            DataType::UInt64 => Ok(Arc::new(found.collect::<UInt64Array>())),
            DataType::Boolean => Ok(Arc::new(found.map(|bits| Some(bits? != 0)).collect::<BooleanArray>())),
            _ => Ok(cast(&found.map(|bits| Some(bits?.cast_signed())).collect::<Int64Array>(), data_type)?),
        }
    }

    fn size(&self) -> usize {
        RECENT * 16 + self.known.allocation_size() + self.values.capacity() * 8
    }
}

/// Texts, each kept once.
#[derive(Debug)]
struct Texts {
    known: HashTable<Known>,
    bytes: Vec<u8>,
    /// Where each text ends; it begins where the one before ends.
    ends: Vec<usize>,
    null: u32,
    hasher: DefaultHashBuilder,
    /// The dictionary that was seen last, and the codes of its entries.
    dictionary: Option<StringArray>,
    mapped: Vec<u32>,
    hashes: Vec<u64>,
    met: Vec<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    hash: u64,
    start: usize,
    length: u32,
    code: u32,
}

const UNKNOWN: Known = Known { hash: 0, start: 0, length: 0, code: NONE };

impl Default for Texts {
    fn default() -> Self {
        Self {
            known: HashTable::new(),
            bytes: Vec::new(),
            ends: Vec::new(),
            null: NONE,
            hasher: DefaultHashBuilder::default(),
            dictionary: None,
            mapped: Vec::new(),
            hashes: Vec::new(),
            met: Vec::new(),
        }
    }
}

impl Texts {
    fn code(&mut self, text: &[u8], hash: u64) -> u32 {
        if let Some(known) = self.known.find(hash, |known| self.is(known, text, hash)) {
            return known.code;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        let code = self.next();
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.known.insert_unique(hash, Known { hash, start, length, code }, |known| known.hash);
        code
    }

    fn is(&self, known: &Known, text: &[u8], hash: u64) -> bool {
        known.hash == hash
            && known.length as usize == text.len()
            && self.bytes[known.start..known.start + text.len()] == *text
    }

    /// The codes of many texts. What is known of them lies anywhere in memory: all of it is asked for in one step before
    /// it is compared in the next, so that the processor waits for many places at a time instead of one.
    fn code_all(&mut self, texts: &StringArray, codes: &mut Vec<u32>) {
        let mut hashes = std::mem::take(&mut self.hashes);
        let mut met = std::mem::take(&mut self.met);
        hashes.clear();
        met.clear();
        // What stands where a text is missing is looked up for nothing.
        let text = |row: usize| texts.value(row).as_bytes();
        hashes.extend((0..texts.len()).map(|row| self.hasher.hash_one(text(row))));
        let known = |hash: &u64| self.known.find(*hash, |known| known.hash == *hash).copied();
        met.extend(hashes.iter().map(|hash| known(hash).unwrap_or(UNKNOWN)));
        let nulls = texts.nulls().filter(|nulls| nulls.null_count() > 0);
        codes.reserve(texts.len());
        for (row, (known, hash)) in met.iter().zip(&hashes).enumerate() {
            codes.push(if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                self.null()
            } else if known.code != NONE && self.is(known, text(row), *hash) {
                known.code
            } else {
                self.code(text(row), *hash)
            });
        }
        (self.hashes, self.met) = (hashes, met);
    }

    fn next(&mut self) -> u32 {
        self.ends.push(self.bytes.len());
        u32::try_from(self.ends.len() - 1).unwrap_or(NONE)
    }

    fn null(&mut self) -> u32 {
        if self.null == NONE {
            self.null = self.next();
        }
        self.null
    }

    /// Each entry of a dictionary is looked up when it is met first, and only then.
    fn add_dictionary(&mut self, array: &DictionaryArray<Int32Type>, codes: &mut Vec<u32>) -> Result<()> {
        let texts: &StringArray = array.values().as_string_opt().ok_or_else(|| unexpected(array.values()))?;
        let keys = array.keys();
        let own = keys.null_count() == 0 && keys.len() == texts.len();
        if own && (0..).zip(keys.values()).all(|(row, key): (i32, &i32)| row == *key) {
            self.code_all(texts, codes);
            return Ok(());
        }
        if !self.dictionary.as_ref().is_some_and(|seen| is_same(seen, texts)) {
            self.mapped.clear();
            self.mapped.resize(texts.len(), NONE);
            self.dictionary = Some(texts.clone());
        }
        let nulls = keys.nulls().filter(|nulls| nulls.null_count() > 0);
        codes.reserve(keys.len());
        for (row, key) in keys.values().iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                codes.push(self.null());
                continue;
            }
            let entry = key.cast_unsigned() as usize;
            let mut code = self.mapped.get(entry).copied().unwrap_or(NONE);
            if code == NONE {
                code = if texts.is_null(entry) {
                    self.null()
                } else {
                    let text = texts.value(entry).as_bytes();
                    self.code(text, self.hasher.hash_one(text))
                };
                self.mapped[entry] = code;
            }
            codes.push(code);
        }
        Ok(())
    }

    fn values(&self, codes: &[u32]) -> ArrayRef {
        let mut built = StringBuilder::with_capacity(codes.len(), self.bytes.len());
        for code in codes {
            let at = *code as usize;
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            match std::str::from_utf8(&self.bytes[start..self.ends[at]]) {
                Ok(text) if *code != self.null => built.append_value(text),
                _ => built.append_null(),
            }
        }
        Arc::new(built.finish())
    }

    fn size(&self) -> usize {
        let scratch =
            self.mapped.capacity() * 4 + self.hashes.capacity() * 8 + self.met.capacity() * size_of::<Known>();
        self.known.allocation_size() + self.bytes.capacity() + self.ends.capacity() * 8 + scratch
    }
}

/// Whether two arrays are the same piece of memory.
fn is_same(one: &StringArray, other: &StringArray) -> bool {
    one.len() == other.len()
        && std::ptr::eq(one.value_data().as_ptr(), other.value_data().as_ptr())
        && std::ptr::eq(one.value_offsets().as_ptr(), other.value_offsets().as_ptr())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::TimestampMicrosecondArray;
    use arrow::datatypes::TimeUnit;
    use proptest::prelude::*;

    use super::*;

    type Row = (Option<String>, Option<String>, Option<i64>, Option<bool>, Option<i64>);

    fn row() -> impl Strategy<Value = Row> {
        let text = || proptest::option::of("(|a|b|ä€|a longer text of some bytes)");
        let number = prop_oneof![0..5_i64, any::<i64>()];
        let time = proptest::option::of(-3_000_000..3_000_000_i64);
        (text(), text(), proptest::option::of(number), any::<Option<bool>>(), time)
    }

    /// As it comes from a file, from the buffer, and from several columns put together.
    fn arrays(rows: &[Row], coded: bool) -> Vec<ArrayRef> {
        let texts: StringArray = rows.iter().map(|row| row.0.clone()).collect();
        let entries = i32::try_from(texts.len()).unwrap();
        let first: ArrayRef = if coded {
            Arc::new(rows.iter().map(|row| row.0.as_deref()).collect::<DictionaryArray<Int32Type>>())
        } else {
            Arc::new(DictionaryArray::<Int32Type>::try_new((0..entries).collect(), Arc::new(texts)).unwrap())
        };
        vec![
            first,
            Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| row.4).collect::<TimestampMicrosecondArray>()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn equal_rows_are_one_group(
            batches in proptest::collection::vec((proptest::collection::vec(row(), 0..200), any::<bool>()), 1..5),
            wanted in proptest::sample::subsequence(vec![0, 1, 2, 3, 4], 1..=5),
        ) {
            let types = [
                DataType::Utf8, DataType::Utf8, DataType::Int64, DataType::Boolean,
                DataType::Timestamp(TimeUnit::Nanosecond, None),
            ];
            let spans = Spans { length: 700_000, origin: 100_000, unit: 1000 };
            let mut keys = Keys::new(wanted.iter().map(|at| types[*at].clone()).collect());
            // Twice, as after what was found has been handed over.
            for _ in 0..2 {
                let mut known: HashMap<Vec<String>, usize> = HashMap::new();
                for (rows, coded) in &batches {
                    let arrays = arrays(rows, *coded);
                    let column = |at: &usize| if *at == 4 { Column::Spans(&arrays[4], spans) } else { Column::Values(&arrays[*at]) };
                    let mut groups = Vec::new();
                    keys.add(&wanted.iter().map(column).collect::<Vec<_>>(), &mut groups).unwrap();
                    prop_assert_eq!(groups.len(), rows.len());
                    for (row, group) in rows.iter().zip(groups) {
                        let begin = row.4.map(|micros| ((micros - 100_000).div_euclid(700_000) * 700_000 + 100_000) * 1000);
                        let shown = [format!("{:?}", row.0), format!("{:?}", row.1), format!("{:?}", row.2), format!("{:?}", row.3), format!("{begin:?}")];
                        let row: Vec<String> = wanted.iter().map(|at| shown[*at].clone()).collect();
                        let next = known.len();
                        prop_assert_eq!(*known.entry(row).or_insert(next), group);
                    }
                }
                prop_assert_eq!(keys.len(), known.len());
                let values = keys.take().unwrap();
                prop_assert_eq!(keys.len(), 0);
                for (row, group) in known {
                    for ((text, array), at) in row.iter().zip(&values).zip(&wanted) {
                        let found = match at {
                            0 | 1 => format!("{:?}", array.as_string::<i32>().is_valid(group).then(|| array.as_string::<i32>().value(group))),
                            3 => format!("{:?}", array.as_boolean().is_valid(group).then(|| array.as_boolean().value(group))),
                            _ => {
                                let whole = cast(array, &DataType::Int64).unwrap();
                                let whole = whole.as_primitive::<arrow::datatypes::Int64Type>();
                                format!("{:?}", whole.is_valid(group).then(|| whole.value(group)))
                            }
                        };
                        prop_assert_eq!(&found, text);
                    }
                }
            }
        }
    }

    #[test]
    fn a_time_beyond_nanoseconds_is_refused_as_elsewhere() {
        let far: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX / 2]));
        let mut keys = Keys::new(vec![DataType::Timestamp(TimeUnit::Nanosecond, None)]);
        let spans = Spans { length: 1, origin: 0, unit: 1000 };
        assert!(keys.add(&[Column::Spans(&far, spans)], &mut Vec::new()).is_err());
    }
}
